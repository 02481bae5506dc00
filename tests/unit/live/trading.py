"""A live account against the venue server: its clock, its key, and what it is asked to do."""

import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import pytest
import requests
from urllib3 import HTTPResponse

from belay.adapters.aws.secrets import Credentials
from belay.adapters.live.account_market import InMemoryMarketCache, LiveMarketData
from belay.adapters.live.accounts import LiveAccount, LiveAccounts
from belay.adapters.live.key import Key
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.venue import CcxtVenue
from belay.adapters.live.wire import Budget
from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import AccountDocument
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind
from tests.builders import make_document, make_limits
from tests.venue_server import Key as VenueKey
from tests.venue_server import ManualTime, VenueServer

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
QUOTES = {"binance": "USDT", "kraken": "USD"}
PATIENCE_MS = 300
FAR_BELOW = Decimal(30000)


@dataclass
class MachineClock:
    """The machine's clock: the market's plus what it is wrong by. Implements `ports.Clock`."""

    base: ManualTime
    wrong_seconds: float = 0

    def now(self) -> datetime:
        return self.base.now() + timedelta(seconds=self.wrong_seconds)

    def sleep(self, seconds: float) -> None:
        self.base.advance(seconds)


@dataclass
class KeyStore:
    """Implements `secrets.Secrets`: one key, which may be changed under its name."""

    values: dict[str, str]
    read_names: list[str] = field(default_factory=list)

    def read(self, name: str) -> Credentials:
        self.read_names.append(name)
        return Credentials(self.values)


@dataclass
class Trading:
    """One venue, one account there, and what it is traded with."""

    venue: str
    server: VenueServer
    base: ManualTime
    clock: MachineClock
    keys: KeyStore
    cache: InMemoryMarketCache = field(default_factory=InMemoryMarketCache)

    @property
    def symbol(self) -> str:
        return self.pair("BTC")

    def pair(self, base: str) -> str:
        return f"{base}/{QUOTES[self.venue]}"

    def document(self, **changes: Any) -> AccountDocument:
        document: dict[str, Any] = {
            "account": "main",
            "venue": self.venue,
            "mode": "live",
            "paper": None,
            "symbols": (self.symbol,),
            "options": {**self.server.client_options(self.venue), "timeout": PATIENCE_MS},
            "executor_secret": "/belay/dev/executor/main",
            "reconciler_secret": "/belay/dev/reconciler/main",
            "sandbox": False,
        }
        document |= changes
        limits = make_limits(max_position_notional=dict.fromkeys(document["symbols"], "5000"))
        return make_document(**{"limits": limits, **document})

    def open(self, **changes: Any) -> LiveAccount:
        accounts = LiveAccounts("dev", self.keys, "executor_secret", self.cache, self.clock)
        return accounts.open(self.document(**changes))

    @cached_property
    def kept(self) -> LiveAccount:
        """An account that has asked for everything it keeps, with any number of requests left."""
        account = self.open(requests_per_minute=10**9)
        account.venue.balances()
        account.market_data.market(self.symbol)
        return account

    def open_with(self, profile: CcxtProfile, budget: Budget | None = None, **changes: Any) -> LiveAccount:
        """As `open`, with another profile than the venue's own."""
        document, budget = self.document(**changes), budget or Budget(10_000, 0, lambda: 0.0)
        market_data = LiveMarketData(document, profile, budget, self.clock, self.cache)
        key = Key(self.keys, "main", profile.credentials)
        return LiveAccount(market_data, CcxtVenue(document, profile, market_data, key, budget))

    def request(self, account: LiveAccount, **changes: Any) -> OrderRequest:
        """A market buy of 0.01, claimed now."""
        claimed_at = account.market_data.time()
        request: dict[str, Any] = {
            "client_order_id": uuid.uuid4().hex,
            "symbol": self.symbol,
            "side": Side.BUY,
            "quantity": "0.01",
            "limit_price": None,
            "time_in_force": TimeInForce.GTC,
            "claimed_at": claimed_at,
            "fence_at": account.venue.profile.fence_at(claimed_at),
        }
        return OrderRequest(**{**request, **changes})

    def placed(self, account: LiveAccount, **changes: Any) -> tuple[OrderRequest, Outcome]:
        request = self.request(account, **changes)
        outcome = account.venue.submit(request)
        assert outcome.kind is OutcomeKind.ACCEPTED, outcome
        return request, outcome

    def sent(self) -> list[dict[str, Any]]:
        """Every request for an order, as the venue received it."""
        return self.server.audit.requests("create_order")

    def orders(self) -> int:
        """How many orders there really are."""
        return len(self.server.truth(self.venue)["orders"])


def trading_at(venue: str, server: VenueServer, base: ManualTime) -> Trading:
    key: VenueKey = server.add_key(venue, "executor")
    keys = KeyStore({"apiKey": key.api_key, "secret": key.secret})
    return Trading(venue, server, base, MachineClock(base), keys)


def answering(status: int, body: str) -> Callable[..., requests.Response]:
    def answer(*_arguments: Any, **_options: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = status
        response.raw = HTTPResponse(io.BytesIO(body.encode()), preload_content=False)
        return response

    return answer
