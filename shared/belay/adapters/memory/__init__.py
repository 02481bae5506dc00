"""The ports in memory, for tests, simulations and replays, with the semantics of the real ones. Speaks to nobody."""
