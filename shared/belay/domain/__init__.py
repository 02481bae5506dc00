"""The rules of Belay as pure values and functions: no I/O, no clock, no randomness, no environment."""
