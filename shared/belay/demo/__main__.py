"""The demo is a command of `belay` now: says so, and does nothing else."""

import sys

from belay.cli.exits import BAD_INPUT

if __name__ == "__main__":
    print("demo: this is `belay demo` now. See `belay demo --help`.", file=sys.stderr)
    sys.exit(BAD_INPUT)
