"""What both dialects share: requests and replies as values, and what a dialect must be able to do."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import parse_qsl

from tests.venue_server.account import Account
from tests.venue_server.books import Books, Order, Plan, Refusal
from tests.venue_server.keys import Key, Keys
from tests.venue_server.market import Prices

# Headers that may be written down: neither the API key nor a signature is among them.
PLAIN_HEADERS = ("content-type", "content-length", "user-agent", "connection")


@dataclass(frozen=True)
class Raw:
    """A request as it came over the wire; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str

    @property
    def params(self) -> dict[str, str]:
        """Query and body together; the query wins, as Binance documents it."""
        pairs = parse_qsl(self.body, keep_blank_values=True) + parse_qsl(self.query, keep_blank_values=True)
        return dict(pairs)

    @property
    def plain_headers(self) -> dict[str, str]:
        return {name: self.headers[name] for name in PLAIN_HEADERS if name in self.headers}


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    status: int
    body: str
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(content: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(content), headers=headers)


@dataclass(frozen=True)
class Call:
    """A request that was understood: what kind it is, by whose key, about which order and symbol."""

    number: int
    kind: str
    raw: Raw
    params: dict[str, str]
    key: Key | None
    client_order_id: str | None
    symbol: str | None


class VenueError(Exception):
    """A refusal in the venue's own words: raw code, message, HTTP status."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Route:
    """An endpoint: its kind, what the key must be allowed ("": any key will do, None: no key), and what answers it."""

    kind: str
    permission: str | None
    answer: Callable[[Call, datetime], Any] | None = None


class Dialect(Protocol):
    """One venue's REST surface over the books."""

    venue: str
    keys: Keys
    account: Account
    books: Books
    prices: Prices
    refusals: dict[Refusal, tuple[str, str]]

    def understands(self, path: str) -> bool: ...
    def read(self, number: int, raw: Raw) -> Call: ...
    def gateway(self, call: Call, now: datetime) -> None:
        """Everything checked on arrival; raises VenueError."""

    def recheck(self, call: Call, now: datetime) -> None:
        """The time check repeated just before (Binance) or in (Kraken) the matching engine."""

    @property
    def may_wait_after_recheck(self) -> bool:
        """Whether an order may still wait between its last time check and the matching."""

    def place(self, call: Call, now: datetime, plan: Plan) -> Order:
        """Into the books; raises Refused or VenueError."""

    def placed(self, call: Call, order: Order) -> Reply: ...
    def answer(self, call: Call, now: datetime) -> Reply:
        """Every other request; raises VenueError or Refused."""

    def error(self, error: VenueError) -> Reply: ...
    def scripted(self, answer: str, code: str | None, retry_after: int) -> Reply:
        """`error`, `rate_limited`, `banned`, `maintenance` or `restricted` in the venue's words."""


def decimal_of(text: str | None) -> Decimal | None:
    """A plain decimal number, None for anything else."""
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def fixed(number: Decimal, places: int = 8) -> str:
    """With all its decimal places, as venues write amounts."""
    return f"{number:.{places}f}"


def places_of(unit: Decimal) -> int:
    """The decimal places of a tick or a step: 0.001 has 3."""
    exponent = unit.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def moment(milliseconds_since_epoch: float) -> datetime:
    return datetime.fromtimestamp(milliseconds_since_epoch / 1000, UTC)
