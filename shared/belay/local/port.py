"""The port of a local emulator: kept with its state, and taken before it starts: nobody else answers on it."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from belay.local.programs import StackError

IN_USE = (
    "port {port}, which this stack was deployed with, is in use. `ss -ltnp 'sport = :{port}'` shows by which program: "
    "end that one, or try again later. Only `make down CLEAN=1` lets the stack take another, and it gives up the ledger"
)


def port_file(state: Path) -> Path:
    return state / "port"


def kept_port(state: Path) -> int:
    file = port_file(state)
    return int(file.read_text()) if file.exists() else free_port()


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """The port, taken before the emulator starts: no other program can answer in its place. Raises StackError."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also right after a stop
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            door.bind(("127.0.0.1", port))
            door.listen()
        except OSError:
            raise StackError(IN_USE.format(port=port)) from None
        yield door


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refuses_strangers(url: str) -> bool:
    """Whether the emulator answers yet. Raises StackError where it answers who has no key."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            raise StackError("the AWS emulator answers without a key; it is not used")
    except urllib.error.HTTPError as error:
        with error:
            return error.code == HTTPStatus.FORBIDDEN
    except OSError:
        return False
