"""Accounts at the test venue, in memory or behind a real ccxt class, for the tests of the venue. No Belay here."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.venue_server import VenueServer
from tests.venue_server.account import QUOTES
from tests.venue_server.orders import Refusal, Refused
from tests.venue_server.solo import Solo

D = Decimal
START = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOON = int(START.timestamp() * 1000)
DAY = 86_400
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
SYMBOLS = {"binance": "BTC/USDT", "kraken": "BTC/USD"}
MARKETS: dict[str, Any] = {}


def pair(solo: Solo, base: str = "BTC") -> str:
    return f"{base}/{QUOTES[solo.venue]}"


def give(solo: Solo, asset: str, amount: str) -> None:
    solo.books.deposit(asset, D(amount))


def order(solo: Solo, side: str, quantity: str, limit: str | None = None, **kind: Any) -> Any:
    wanted = {"symbol": pair(solo), "side": side, "quantity": D(quantity), "limit": D(limit) if limit else None}
    return solo.act("order", **wanted, **kind)


def refused(solo: Solo, *arguments: Any, **kind: Any) -> Refusal:
    with pytest.raises(Refused) as error:
        order(solo, *arguments, **kind)
    return error.value.refusal


def wallet(solo: Solo, asset: str) -> Any:
    return solo.books.wallets.balance(asset)


def rows(solo: Solo, kind: str) -> list[tuple[str, str, Decimal, Decimal]]:
    return [(e.subtype, e.asset, e.amount, e.fee) for e in solo.books.wallets.entries if e.kind == kind]


class Reader:
    """A client of one venue, and the account behind it."""

    def __init__(self, server: VenueServer, venue: str, **flags: bool) -> None:
        self.server, self.venue = server, venue
        key = server.add_key(venue, "reader", **{"ledger": True, **flags})
        options = {"apiKey": key.api_key, "secret": key.secret, "enableRateLimit": False}
        self.ccxt: Any = getattr(ccxt, venue)({**options, **server.client_options(venue)})
        self.ccxt.milliseconds = lambda: int(server.clock.now().timestamp() * 1000)
        if venue not in MARKETS:
            MARKETS[venue] = self.ccxt.load_markets()
        self.ccxt.set_markets(MARKETS[venue])
        self.ccxt.options["marketsByAltname"] = {market.get("altname"): market for market in self.ccxt.markets.values()}
        self.symbol = SYMBOLS[venue]
        server.exchange.pin_price(venue, self.symbol, D(62000))

    def act(self, name: str, **arguments: Any) -> Any:
        return self.server.act(self.venue, name, **arguments)

    def give(self, asset: str, amount: str) -> None:
        self.server.exchange.deposit(self.venue, asset, D(amount))
