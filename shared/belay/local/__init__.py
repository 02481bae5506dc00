"""The deployed stack on this machine: emulator, schedules, the market of a paper account. Never reaches AWS."""
