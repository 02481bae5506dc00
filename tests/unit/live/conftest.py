"""A venue server of this process, and accounts at it."""

from collections.abc import Iterator

import pytest

from tests.unit.live.trading import START, Trading, trading_at
from tests.venue_server import ManualTime, VenueServer


@pytest.fixture
def base() -> ManualTime:
    return ManualTime(START)


@pytest.fixture
def server(base: ManualTime) -> Iterator[VenueServer]:
    with VenueServer(base) as running:
        yield running


@pytest.fixture
def trading(venue: str, server: VenueServer, base: ManualTime) -> Trading:
    return trading_at(venue, server, base)


@pytest.fixture
def binance(server: VenueServer, base: ManualTime) -> Trading:
    return trading_at("binance", server, base)


@pytest.fixture
def kraken(server: VenueServer, base: ManualTime) -> Trading:
    return trading_at("kraken", server, base)
