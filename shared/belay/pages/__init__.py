"""Charts and self-contained pages from plain data, for the demo's report and for replays. Computes no figure."""
