"""The functions and the layer by `sam build`: for AWS (`make build`), or for an emulator. Deploys nothing."""

import argparse
import fcntl
import hashlib
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from belay.domain.errors import InvalidInput
from belay.local.programs import ROOT, SAM, run, tell, tool

ARCHITECTURES = ("arm64", "x86_64")
BUILDS = ROOT / ".aws-sam"
# The rooms that the layer does not carry.
NOT_IN_THE_LAYER = frozenset({"cli", "demo", "local", "pages", "replay"})


def command(architecture: str) -> list[str]:
    """What builds for AWS, in .aws-sam/build, for an architecture, by default the first. Raises InvalidInput."""
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


# --- for an emulator on this machine --------------------------------------------------------------


def machine_architecture() -> str:
    """This machine's architecture in Lambda's words, `arm64` or `x86_64`."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"


def build(architecture: str | None = None, say: Callable[[str], None] = tell) -> Path:
    """Run `sam build` for an architecture (default: this machine's); return the folder of the built template.

    Nothing runs when the sources are those of the last build. Raises StackError.
    """
    architecture = architecture or machine_architecture()
    folder = BUILDS / architecture
    with _alone(BUILDS / f"{architecture}.lock"):
        fingerprint = _fingerprint(architecture)
        stamp = BUILDS / f"{architecture}.built"
        if (folder / "template.yaml").exists() and stamp.exists() and stamp.read_text() == fingerprint:
            return folder
        say(f"Building functions and layer for {architecture}")
        stamp.unlink(missing_ok=True)
        sam_build: list[str | Path] = [
            tool(SAM), "build", "--template-file", ROOT / "template.yaml", "--build-dir", folder,
            "--parameter-overrides", f"Architecture={architecture}",
        ]  # fmt: skip
        run(sam_build, BUILDS / f"{architecture}.log", {"PYTHON": sys.executable})
        stamp.write_text(fingerprint)
    return folder


def _fingerprint(architecture: str) -> str:
    digest = hashlib.sha256(architecture.encode())
    for path in sorted(_sources()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    """What a build reads: the template, the functions and shared/, without caches and this command line."""
    yield ROOT / "template.yaml"
    for folder in (ROOT / "functions", ROOT / "shared"):
        for path in folder.rglob("*"):
            parts = path.relative_to(ROOT).parts
            cached = "__pycache__" in parts or any(part.endswith(".egg-info") for part in parts)
            if (
                path.is_file()
                and not cached
                and (parts[:2] != ("shared", "belay") or parts[2] not in NOT_IN_THE_LAYER)
                and path.suffix != ".md"
            ):
                yield path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
