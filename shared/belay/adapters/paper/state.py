"""What can change in a paper account, and what is recorded of every change: values only. Decides nothing."""

from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from belay.adapters.paper.market import Bar
from belay.domain.decisions import Side, TimeInForce
from belay.domain.flows import VenueFlow
from belay.domain.record import ZERO, NonNegative, Positive, Record, Symbol, Utc
from belay.domain.venues import OrderRequest, VenueOrder, VenueStatus, VenueTrade

VENUE = "paper"
ACCEPTED = "ACCEPTED"
SUSPENDED = "BUYS_SUSPENDED"


class PaperOrder(Record):
    """An order in the venue's books. `matched` is the open time of the last candle it was matched with.

    `lock_price`: what each unit not yet bought may cost before fees; the limit, or the last price a market
    order saw.
    """

    venue_order_id: str
    client_order_id: str
    symbol: Symbol
    side: Side
    quantity: Positive
    limit_price: Positive | None
    time_in_force: TimeInForce
    lock_price: Positive
    filled_quantity: NonNegative = ZERO
    status: VenueStatus = VenueStatus.OPEN
    arrived_at: Utc
    updated_at: Utc
    matched: Utc | None = None

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled_quantity

    def shown(self) -> VenueOrder:
        return VenueOrder.model_validate(self.model_dump(include=set(VenueOrder.model_fields)))

    def waits_for(self, bar: Bar) -> bool:
        if self.matched is not None:
            return bar.open_time > self.matched
        # The candle that begins as a market order arrives is the one whose open it was offered already.
        return bar.open_time > self.arrived_at if self.limit_price is None else bar.open_time >= self.arrived_at


class FaultKind(StrEnum):
    ANSWER_LOST = "answer_lost"
    DELAYED = "delayed"
    EXPIRED = "expired"
    REFUSED = "refused"
    DROPPED = "dropped"
    SERVER_ERROR = "server_error"
    CRASH_BEFORE_SEND = "crash_before_send"
    CRASH_AFTER_ACCEPT = "crash_after_accept"
    PARTIAL_FILL = "partial_fill"
    LATE_FILLS = "late_fills"
    OUT_OF_ORDER_FILLS = "out_of_order_fills"
    LAGGING_LOOKUP = "lagging_lookup"


class InjectedFault(Record):
    """One kind of fault that met one delivery, the `sequence`-th. `placed`: whether that could become an order."""

    sequence: int
    kind: FaultKind
    client_order_id: str
    symbol: Symbol
    side: Side
    quantity: Positive
    claimed_at: Utc
    at: Utc
    placed: bool
    detail: str


class Delivery(Record):
    """The `sequence`-th request that was sent. It reaches the venue at `at`."""

    sequence: int
    request: OrderRequest
    submission_id: str
    at: Utc


class Rest(Record):
    """The market comes back at `at` for what it left of an order, whose first trade is shown from `first_from`."""

    sequence: int
    request: OrderRequest
    venue_order_id: str
    first_from: Utc | None
    at: Utc


class FaultState(Record):
    """What injected faults leave under way; empty where none are injected.

    `deliveries` and `crashes` count those dealt so far; `lost` are the client order ids of the last ones that never
    come to be orders. `orders_from` and `trades_from`: by id, when a hidden order or trade begins to be shown.
    """

    deliveries: int = 0
    crashes: int = 0
    lost: tuple[str, ...] = ()
    coming: tuple[Delivery | Rest, ...] = ()
    orders_from: dict[str, Utc] = {}
    trades_from: dict[str, Utc] = {}


class VenueState(Record):
    """Everything about one account that can still change. `time` is the latest venue time acted on; `movements` came or
    went without a trade, as far as the venue keeps a record of them."""

    balances: dict[str, NonNegative]
    orders: dict[str, PaperOrder] = Field(default_factory=dict)
    next_order: int = 1
    next_trade: int = 1
    next_submission: int = 1
    time: Utc | None = None
    version: int = 0
    faults: FaultState = FaultState()
    movements: tuple[VenueFlow, ...] = ()


class Submission(Record):
    """One received request and what the venue did with it: `code` is `ACCEPTED` or why not."""

    submission_id: str
    sequence: int
    received_at: Utc
    request: OrderRequest
    code: str
    venue_order: VenueOrder | None = None


class Step(Record):
    """A new state and what is to be stored with it. Not `complete`: more of the past is to be matched."""

    state: VenueState
    trades: tuple[VenueTrade, ...] = ()
    closed: tuple[PaperOrder, ...] = ()
    submission: Submission | None = None
    faults: tuple[InjectedFault, ...] = ()
    complete: bool = True

    def then(self, following: "Step") -> "Step":
        return following.model_copy(
            update={
                "trades": self.trades + following.trades,
                "closed": self.closed + following.closed,
                "faults": self.faults + following.faults,
            }
        )


def numbered(number: int) -> str:
    """The id of the venue's n-th order or trade; ids sort as their numbers do."""
    return f"{number:012d}"
