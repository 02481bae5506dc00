"""Client timeouts without luck: only a request that will get no answer times out, and not before the server has it.

A timeout short enough for hundreds of tests would now and then meet an answer that a busy machine was slow to give.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from belay.adapters.live.wire import Wire
from tests.venue_server import Fault, VenueServer
from tests.venue_server.wire import Raw

GIVE_UP_SECONDS = 0.05
# How long a request may take that is answered byte by byte, so that no single wait for it is long.
DRIPPING_SECONDS = 0.5
LONGEST_SECONDS = 20.0


def give_up_only_on_silence(patch: pytest.MonkeyPatch, server_at: Callable[[int | None], VenueServer | None]) -> None:
    """Patch the transport.

    Args:
        server_at: the server that listens on a port.
    """
    request = Wire.request

    def patient(wire: Wire, method: Any, url: Any, *arguments: Any, **options: Any) -> requests.Response:
        address = urlsplit(str(url))
        server = server_at(address.port)
        silent = server is not None and _will(server, str(method), address.path, _keeps_silent)
        drips = server is not None and _will(server, str(method), address.path, lambda fault: fault.answer == "drip")
        wire._timeouts = (LONGEST_SECONDS, GIVE_UP_SECONDS if silent else LONGEST_SECONDS)
        wire.seconds = DRIPPING_SECONDS if drips else 2 * LONGEST_SECONDS
        received = _received(server, address.path)
        try:
            return request(wire, method, url, *arguments, **options)
        except requests.Timeout:
            until = time.monotonic() + LONGEST_SECONDS
            while _received(server, address.path) <= received and time.monotonic() < until:
                time.sleep(0.005)
            raise

    patch.setattr(Wire, "request", patient)


def _will(server: VenueServer, method: str, path: str, fares: Callable[[Fault], bool]) -> bool:
    """Whether the next request of its kind will fare so."""
    dialect = server.exchange.speaks(path)
    kind = dialect.read(0, Raw(method, path, "", {}, "")).kind if dialect else None
    return any(
        rule.fault.kind in (None, kind) and fares(rule.fault) and _is_to_come(rule.fault, rule._met)
        for rule in server.exchange.script._rules
    )


def _keeps_silent(fault: Fault) -> bool:
    """Before time moves on."""
    return fault.answer == "hang" or fault.process == "held"


def _is_to_come(fault: Fault, met: int) -> bool:
    return fault.times is None or met < fault.skip + fault.times


def _received(server: VenueServer | None, path: str) -> int:
    rows = list(server.exchange.audit.rows) if server else []
    return sum(1 for row in rows if row["row"] == "request" and row["path"] == path)
