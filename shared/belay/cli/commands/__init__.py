"""The commands of `belay`, a file for each group: each reads its arguments, calls one operation, shows its document."""
