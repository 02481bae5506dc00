"""The operator's side, run on a person's machine and never inside a function: commands, demo, local stack."""
