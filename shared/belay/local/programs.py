"""The programs behind a local stack: where they are, what they may know of the caller, how they run and end.

Nothing of the caller's own AWS account reaches one of them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SAM = ROOT / ".tools/sam/bin/sam"
MINISTACK = ROOT / ".tools/ministack/bin/python"
REGION = "us-east-1"
STOP_SECONDS = 30
LOG_TAIL_LINES = 40

# What a child process may know of the caller, never an AWS setting: functions run inside the emulator and see
# what it sees; building also needs to find packages.
KEPT_VARIABLES = {"LANG", "LC_ALL", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TERM"}
KEPT_FOR_BUILDING = {"HOME", "REQUESTS_CA_BUNDLE", "TMPDIR"}
KEPT_PREFIXES_FOR_BUILDING = ("PIP_", "PYENV_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class StackError(Exception):
    """A step of building, starting or deploying failed; the message ends with the tail of its log."""


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def tool(program: Path) -> Path:
    """Raises StackError where `make setup` has not installed it."""
    if not program.exists():
        raise StackError(f"{program.relative_to(ROOT)} is missing: run `make setup` in {ROOT}")
    return program


def environment(*, building: bool) -> dict[str, str]:
    """What a child process is given: of the caller's variables only those that are harmless."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_VARIABLES
        or (building and (name in KEPT_FOR_BUILDING or name.startswith(KEPT_PREFIXES_FOR_BUILDING)))
    }
    # The interpreter's own folder first: SAM looks for python3.13 on PATH.
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', os.defpath)}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": REGION,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "SAM_CLI_TELEMETRY": "0",
    }


def run(command: list[str | Path], log: Path, more: Mapping[str, str]) -> None:
    """Run a command of SAM to its end, over its own log. Raises StackError. `more`: variables of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 a program of ours
            command,
            cwd=ROOT,
            env=environment(building=True) | dict(more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            kill_group(process.pid)
            raise
    if code != 0:
        raise StackError(f"`sam {command[1]}` ended with code {code}\n{tail(log)}")


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([*lines[-LOG_TAIL_LINES:], f"(whole log: {log})"])


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
