"""Emulators whose owner was killed: finds them by their state folder, and ends them. Linux only."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from belay.local.programs import STOP_SECONDS


def leftovers(state: Path) -> list[int]:
    """The processes of an emulator that runs on this state folder, its functions included. Linux only."""
    mark = f"STATE_DIR={state.resolve() / 'state'}".encode()
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if mark in _environment_of(process)]


def end_leftovers(state: Path) -> bool:
    """End an emulator whose owner was killed; it may still store its state. Returns whether there was one."""
    found = leftovers(state)
    for process in found:
        with suppress(ProcessLookupError):
            if os.getsid(process) == process:  # the emulator itself, which ends its functions
                os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while found and leftovers(state) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in leftovers(state):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return bool(found)


def _environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # someone else's, or it has ended
        return []
