"""Where a local stack says that it runs, for this user only, and how it is reached from there. Starts nothing."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from belay.cli.desk import MakeClient, patience
from belay.local.private import private_folder, write_private
from belay.local.programs import ROOT
from belay.local.stack import Administrator

# Where each says that it runs, the one that `--local` acts on first: neither touches the other's.
UP_STACK, DEMO_STACK = ROOT / ".local/up/stack.json", ROOT / ".local/stack.json"
LOCAL_STACKS = {"make up": UP_STACK, "make demo": DEMO_STACK}


def local_clients(found: Mapping[str, Any]) -> MakeClient:
    """Makes clients of an announced local stack, as its administrator."""
    session = Administrator(**found["administrator"]).session()

    def make_client(service: str) -> Any:
        return session.client(service, endpoint_url=found["endpoint"], config=patience(service))

    return make_client


def announcement(file: Path) -> dict[str, Any] | None:
    """What the owner of a local stack wrote (`endpoint`, `administrator`, `outputs`, its process `pid`).

    None where it does not run, or runs for another user.
    """
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        os.kill(found["pid"], 0)
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None
    return found


@contextmanager
def announced(
    endpoint: str, administrator: Administrator, outputs: Mapping[str, str], file: Path = DEMO_STACK
) -> Iterator[None]:
    """Let the `belay --local` of this user find a local stack of this process, until it ends."""
    private_folder(file.parent)
    found = {"endpoint": endpoint, "administrator": asdict(administrator), "outputs": dict(outputs), "pid": os.getpid()}
    text = json.dumps(found)
    write_private(file, text)
    try:
        yield
    finally:
        if file.exists() and file.read_text() == text:
            file.unlink()
