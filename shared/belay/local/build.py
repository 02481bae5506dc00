"""`make build`: the functions and the layer for AWS, in .aws-sam/build, by `sam build`. Deploys nothing."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from belay.domain.errors import InvalidInput
from belay.local.stack import ROOT, SAM

ARCHITECTURES = ("arm64", "x86_64")


def command(architecture: str) -> list[str]:
    """What builds for an architecture, by default the first. Raises InvalidInput."""
    chosen = architecture or ARCHITECTURES[0]
    if chosen not in ARCHITECTURES:
        raise InvalidInput("ARCHITECTURE", f"{chosen!r} is none", f"Use one of {', '.join(ARCHITECTURES)}.")
    return [str(SAM), "build", "--parameter-overrides", f"Architecture={chosen}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of `sam`, or 2 for an architecture that there is not."""
    parser = argparse.ArgumentParser(prog="build", description="Build for AWS.")
    parser.add_argument("--architecture", default="", help="arm64 or x86_64; default: arm64")
    try:
        wanted = command(parser.parse_args(arguments).architecture)
    except InvalidInput as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return subprocess.run(wanted, cwd=ROOT, check=False).returncode  # noqa: S603 a program of ours


if __name__ == "__main__":
    sys.exit(main())
