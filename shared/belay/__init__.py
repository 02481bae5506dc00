"""Belay runs scheduled trading strategies so that every order is placed once, or provably not at all."""
