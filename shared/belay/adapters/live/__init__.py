"""What speaks to an exchange, over ccxt: its profile, its wire, its answers. Holds no rule of trading."""
