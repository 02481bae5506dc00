"""`belay replay`: strategies over candles from a file, on the real workflows in memory. Touches no AWS."""
