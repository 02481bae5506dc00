"""The paper venue: an exchange of our own over real or replayed candles, with its faults. Trades no money."""
