"""The account over the wire: the real adapters with the real ccxt classes, at a server that keeps the same books.

Nothing is done to it but under the server's lock, and every request is answered at the moment in which it is made: time
is moved only by the world. Nothing waits by the machine's clock, since `connect.FORCED` switches ccxt's throttle off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from belay.adapters.live.account_market import InMemoryMarketCache
from belay.adapters.live.accounts import LiveAccounts
from belay.bootstrap import Connections, KeptVenues
from belay.domain.documents import AccountDocument
from belay.ports import Clock, Venues
from tests.real_account.venue import MARKETS
from tests.real_account.world import STAGE
from tests.venue_server import ManualTime, VenueServer
from tests.venue_server.books import Books
from tests.venue_server.movements import Movements
from tests.venues.desk import KeyStore

FUNCTIONS = ("executor", "reconciler")


class Served:
    """Implements `world.Place`. Each function has a key of its own, and all share what is kept of the markets."""

    def __init__(self, venue: str, server: VenueServer) -> None:
        self.venue = venue
        self.server = server
        self.options = server.client_options(venue)
        self._account = server.exchange.dialects[venue].account
        self._keys, self._cache = KeyStore(), InMemoryMarketCache()
        for function in FUNCTIONS:
            key = server.add_key(venue, function)
            self._keys.keys[f"/belay/{STAGE}/{function}/real"] = {"apiKey": key.api_key, "secret": key.secret}

    @property
    def now(self) -> datetime:
        return self.server.clock.now()

    @property
    def books(self) -> Books:
        return self._account.books

    @property
    def movements(self) -> Movements:
        return self._account.movements

    def act(self, name: str, /, **arguments: Any) -> Any:
        return self.server.act(self.venue, name, **arguments)

    def pin(self, symbol: str, price: Decimal | None) -> None:
        self.server.exchange.pin_price(self.venue, symbol, price)

    def advance(self, seconds: float) -> None:
        self.server.advance(seconds)

    def truth(self) -> dict[str, Any]:
        return self.server.truth(self.venue)

    def connect(self, function: str, clock: Clock) -> Venues:
        secret = f"{function}_secret" if function in FUNCTIONS else None
        return Wired(LiveAccounts(STAGE, self._keys, secret, self._cache, clock), clock)


class Wired(KeptVenues):
    def __init__(self, accounts: LiveAccounts, clock: Clock) -> None:
        super().__init__()
        self._accounts, self._clock = accounts, clock

    def _connect(self, document: AccountDocument) -> Connections:
        account = self._accounts.open(document)
        return Connections(self._clock, account.market_data, account.venue)


@contextmanager
def served(venue: str, start: datetime, seed: int = 0) -> Iterator[Served]:
    """An account at a server of its own."""
    with VenueServer(ManualTime(start), seed=seed, markets=MARKETS) as server:
        yield Served(venue, server)
