"""The documents of `views`, `explain` and `operations` as text for a terminal, a file for each kind of page."""
