"""Desks at venue servers of their own; every server is closed after its test."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from belay.adapters.memory.ports import ManualClock
from tests.venue_server import VenueServer
from tests.venues.desk import START, Desk, NewDesk
from tests.venues.patience import give_up_only_on_silence


@pytest.fixture
def new_desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[NewDesk]:
    servers: dict[int | None, VenueServer] = {}
    with ExitStack() as running:

        def make(venue: str, markets: int = 2, **desk: Any) -> Desk:
            clock = ManualClock(START)
            server = running.enter_context(VenueServer(clock, seed=7, markets=markets))
            servers[urlsplit(server.url).port] = server
            return Desk(venue, server, clock, **desk)

        give_up_only_on_silence(monkeypatch, servers.get)
        yield make
