"""Accounts at the test venue. Whatever a test did to them, every balance is what was there and what was booked."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.venue_accounts import START, SYMBOLS, D, Reader, pair
from tests.venue_server import ManualTime, VenueServer
from tests.venue_server.solo import Solo
from tests.venue_server.wallets import unbalanced


@pytest.fixture
def new_solo() -> Iterator[Callable[..., Any]]:
    """Accounts in memory, whose BTC stands at 62000."""
    made: list[Solo] = []

    def make(venue: str, **terms: Any) -> Solo:
        solo = Solo(venue, START, seed=7, markets=2)
        solo.act("set_terms", **terms)
        solo.pin(pair(solo), D(62000))
        made.append(solo)
        return solo

    yield make
    for solo in made:
        assert unbalanced(solo.truth()) == {}


@pytest.fixture
def new_reader() -> Iterator[Callable[..., Reader]]:
    """Clients of one server, whose BTC stands at 62000."""
    made: list[Reader] = []
    with VenueServer(ManualTime(START), seed=7, markets=2) as server:

        def make(venue: str, **flags: bool) -> Reader:
            made.append(Reader(server, venue, **flags))
            return made[-1]

        yield make
        for reader in made:
            reader.ccxt.session.close()
        for venue in SYMBOLS:
            assert unbalanced(server.truth(venue)) == {}


@pytest.fixture
def reader(new_reader: Callable[..., Reader], venue: str) -> Reader:
    return new_reader(venue)


@pytest.fixture
def binance_reader(new_reader: Callable[..., Reader]) -> Reader:
    return new_reader("binance")


@pytest.fixture
def kraken_reader(new_reader: Callable[..., Reader]) -> Reader:
    return new_reader("kraken")
