"""`make demo`: a market replayed through the deployed functions; its summary, its checker, its report."""
