"""Orders and trades as values: what a client asks for, and what became of it. Decides nothing."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

ZERO = Decimal(0)


class Refusal(StrEnum):
    """Why the matching engine takes no order; each venue has its own words for it."""

    DUPLICATE = "duplicate"
    FUNDS = "funds"
    LOT_SIZE = "lot_size"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    MARKET_MAXIMUM = "market_maximum"
    POSITION = "position"
    NOTIONAL = "notional"
    PRICE = "price"
    CLOSED = "closed"
    UNKNOWN_ORDER = "unknown_order"


class Refused(Exception):
    """The engine refused a request; nothing changed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class Status(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Trade:
    """One execution. `fee` is what was taken in `fee_asset`; `fee_value` is its estimate in quote currency."""

    trade_id: str
    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    fee_value: Decimal
    maker: bool
    at: datetime
    visible_from: datetime

    @property
    def notional(self) -> Decimal:
        return self.price * self.quantity

    def truth(self) -> dict[str, Any]:
        return {
            "trade_id": self.trade_id,
            "venue_order_id": self.venue_order_id,
            "client_order_id": self.client_order_id,
            "symbol": self.symbol,
            "side": self.side,
            "price": str(self.price),
            "quantity": str(self.quantity),
            "fee": str(self.fee),
            "fee_asset": self.fee_asset,
            "at": self.at.isoformat(),
        }


@dataclass(frozen=True)
class NewOrder:
    """What a client asks for. `immediate`: what does not fill at once expires. `fee_in`: "base" or "quote".

    `form` is the kind of an order that is neither a plain market nor a plain limit order: "stop_loss", "take_profit",
    each with "_limit" too, "trailing_stop", "iceberg", "limit_maker". One with a `stop_price` or a `trailing` distance
    waits until the market reaches it. `quote_amount`: it was sized in quote currency.
    """

    client_order_id: str | None
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: str
    immediate: bool
    fee_in: str
    form: str = ""
    stop_price: Decimal | None = None
    trailing: Decimal | None = None
    shown_quantity: Decimal | None = None
    quote_amount: Decimal | None = None

    @property
    def kind(self) -> str:
        return self.form or ("market" if self.limit_price is None else "limit")


@dataclass(frozen=True)
class Plan:
    """How an accepted order is to fare, where a test wants it otherwise. Seconds throughout.

    `fraction` of it fills at once; the rest after `rest_after` (None: when released), or expires if `rest_expires`.
    `terminal_first`: it is shown as expired before anything filled; the fills come after that.
    `order_lag` and `trade_lag`: for how long look-ups do not show the order, or its trades.
    """

    fraction: Decimal | None = None
    rest_after: float | None = None
    rest_expires: bool = False
    terminal_first: bool = False
    order_lag: float = 0
    trade_lag: float = 0


@dataclass
class Order:
    """An order in the books; it changes only here.

    `linked`: its list, if it has one. `pending`: not placed before the order it hangs on is filled. `waits`: its stop
    was not reached yet. `closes`: an order of this form follows each of its fills (Kraken's conditional close).
    `raw`: what its row says instead, `without`: which fields its row lacks.
    """

    venue_order_id: str
    request: NewOrder
    plan: Plan
    lock_price: Decimal
    created_at: datetime
    updated_at: datetime
    visible_from: datetime
    status: Status = Status.OPEN
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee_value: Decimal = ZERO
    trades: list[Trade] = field(default_factory=list)
    linked: int | None = None
    pending: bool = False
    waits: bool = False
    best: Decimal | None = None
    closes: NewOrder | None = None
    follows: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()

    @property
    def remaining(self) -> Decimal:
        return self.request.quantity - self.filled

    def row(self, shown: dict[str, Any]) -> dict[str, Any]:
        """The venue's row as a test wants it seen."""
        return {name: value for name, value in (shown | self.raw).items() if name not in self.without}

    def truth(self) -> dict[str, Any]:
        request = self.request
        return {
            "venue_order_id": self.venue_order_id,
            "client_order_id": request.client_order_id,
            "symbol": request.symbol,
            "side": request.side,
            "type": request.kind,
            "quantity": str(request.quantity),
            "limit_price": None if request.limit_price is None else str(request.limit_price),
            "filled": str(self.filled),
            "status": self.status.value,
            "created_at": self.created_at.isoformat(),
        }
