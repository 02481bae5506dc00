"""The order of effects, and nothing else: evaluate, execute, reconcile. Rules are in the domain, I/O behind ports."""
