"""Orders: their states, the one table of legal transitions, and the events that record each move."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from belay.domain.decisions import Buy, Cancel, DecisionRecord, Leg, Reduce, Side, TimeInForce, leg_notional, leg_side
from belay.domain.errors import IllegalTransition
from belay.domain.record import ZERO, Amount, NonNegative, OpenEnum, Positive, Record, Symbol, Utc, digest
from belay.domain.venues import OrderRequest, VenueOrder, VenueProfile

# What an order id may consist of: ours are 32 hex characters, adopted orders keep theirs. It is a part of keys.
ORDER_ID = r"^[A-Za-z0-9._:/-]{1,64}$"


class OrderState(OpenEnum):
    CREATED = "CREATED"
    SUBMITTED = "SUBMITTED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    DENIED = "DENIED"
    LAPSED = "LAPSED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"


S = OrderState
SEEN_AT_VENUE = frozenset({S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.EXPIRED})

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    S.CREATED: frozenset({S.SUBMITTED, S.DENIED, S.LAPSED}),
    S.SUBMITTED: SEEN_AT_VENUE | {S.REJECTED, S.NOT_SENT, S.UNKNOWN},
    S.UNKNOWN: SEEN_AT_VENUE | {S.REJECTED, S.NOT_SENT},
    S.ACKNOWLEDGED: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED}),
    S.PARTIALLY_FILLED: frozenset({S.FILLED, S.CANCELLED, S.EXPIRED}),
    # One delivery ended without an order; venue evidence revives it, and a proven-absent exit may be claimed again.
    S.REJECTED: SEEN_AT_VENUE,
    S.NOT_SENT: SEEN_AT_VENUE | {S.SUBMITTED},
    # A fill may arrive after a cancel: the state changes only when nothing is left to fill.
    S.CANCELLED: frozenset({S.FILLED}),
    S.EXPIRED: frozenset({S.FILLED}),
    S.FILLED: frozenset(),
    S.DENIED: frozenset(),
    S.LAPSED: frozenset(),
}

# What an operator said of an order, the venue may show to be otherwise: then it is what the venue shows.
REOPENED: dict[OrderState, frozenset[OrderState]] = {
    S.CANCELLED: frozenset({S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.FILLED, S.EXPIRED}),
    S.NOT_SENT: SEEN_AT_VENUE,
}

NEVER_SENT = frozenset({S.CREATED, S.DENIED, S.LAPSED})
UNRESOLVED = frozenset({S.SUBMITTED, S.UNKNOWN})
WORKING = frozenset({S.ACKNOWLEDGED, S.PARTIALLY_FILLED})
TERMINAL = frozenset({S.FILLED, S.DENIED, S.LAPSED, S.REJECTED, S.NOT_SENT, S.CANCELLED, S.EXPIRED})

# The cause of an event that puts a trade's true fee in place of its estimate: its detail tells `trade` and `fees`.
FEE_CORRECTED = "fee corrected"


class Attempt(Record):
    """One right to send: who holds it, until when the venue accepts it, and the exact request, valued at `price`."""

    attempt_id: str
    number: int
    request: OrderRequest
    price: Positive

    @property
    def fence_at(self) -> datetime | None:
        return self.request.fence_at


class Verdict(StrEnum):
    """What an operator may say of an order of which the venue says nothing, or not enough."""

    ABSENT = "absent"
    CANCELLED = "cancelled"
    FILLED = "filled"


class Word(Record):
    """An operator's word about an order, at venue time `at`, after the venue itself was asked."""

    verdict: Verdict
    author: str
    reason: str
    at: Utc


class Order(Record):
    """An order and everything known about it. Quantities in base, notionals in quote currency.

    `quantity` is None while a notional is still to be turned into one, and for a `Reduce` of the whole position.
    `reducing`: an exit. `resizable`: may be made smaller by its cap. `assumed_cost`: fee plus slippage, as a fraction
    of notional, that the strategy assumes. `market_time`: close of the last candle that the decision used.
    `venue_filled`: the venue's cumulative filled quantity, which the recorded fills (`filled_quantity`) must come to
    explain. `misses`: venue times of well-formed look-ups that found nothing for the current attempt.
    `publications`: how often the intent was published again. `settled`: nothing about it is expected to change.
    `write_id` names the last writer; `head` is the digest of the last event, see `chain`. `estimated`: keys of trades
    whose fee the venue's ledger has yet to confirm. `word`: the operator's, where the order ended by it; evidence of
    the venue that says more takes its place. `given`: quantities by key of the fills that rest on rows which a person
    copied, not on the venue's answer; `replaced`: keys of such fills that count no longer, since true trades do.
    """

    order_id: Annotated[str, Field(pattern=ORDER_ID)]
    decision_id: str
    account: str
    strategy: str
    symbol: Symbol
    side: Side
    reducing: bool
    resizable: bool = True
    quantity: Positive | None
    notional: Positive | None
    limit_price: Positive | None
    time_in_force: TimeInForce
    assumed_cost: NonNegative = ZERO
    reason: str
    market_time: Utc
    created_at: Utc
    expires_at: Utc
    state: OrderState = OrderState.CREATED
    version: int = Field(default=0, ge=0, le=1_000_000)
    write_id: str
    attempt: Attempt | None = None
    venue_order_ids: tuple[str, ...] = ()
    venue_filled: NonNegative = ZERO
    filled_quantity: NonNegative = ZERO
    filled_notional: NonNegative = ZERO
    fees: dict[str, Amount] = {}
    misses: tuple[Utc, ...] = ()
    terminal_at: Utc | None = None
    settled: bool = False
    publications: int = Field(default=0, ge=0, le=1_000_000)
    head: str = ""
    estimated: tuple[str, ...] = Field(default=(), exclude_if=lambda keys: not keys)
    word: Word | None = Field(default=None, exclude_if=lambda word: word is None)
    given: dict[str, Positive] = Field(default={}, exclude_if=lambda given: not given)
    replaced: tuple[str, ...] = Field(default=(), exclude_if=lambda keys: not keys)

    @property
    def needs(self) -> int:
        """Schema 1 counts every fill."""
        return 2 if self.replaced else 1

    @property
    def understood(self) -> bool:
        """Not in a state that only a later version knows, either."""
        return super().understood and self.state.known

    @property
    def bare_digest(self) -> str:
        """The digest of the order without its head, as its last event holds it."""
        return self.model_copy(update={"head": ""}).digest

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_notional / self.filled_quantity if self.filled_quantity else None

    @property
    def following(self) -> frozenset[OrderState]:
        """The states that the venue's evidence may lead to from here."""
        reopened = REOPENED.get(self.state) if self.word is not None else None
        return TRANSITIONS.get(self.state, frozenset()) if reopened is None else reopened

    @property
    def explained(self) -> bool:
        """Whether the recorded fills account for what the venue says was filled."""
        return self.filled_quantity >= self.venue_filled

    @property
    def remaining(self) -> Decimal:
        requested = self.attempt.request.quantity if self.attempt else self.quantity or ZERO
        return max(requested - self.filled_quantity, ZERO)

    @property
    def deduplication_id(self) -> str:
        """Of the message that publishes it: another for each deliberate publication, and not to be foreseen."""
        return f"{self.order_id}-{self.publications}-{digest(self.write_id)[:12]}"

    @property
    def message_group(self) -> str:
        """Entries of one symbol queue behind each other; exits never wait for an entry."""
        return f"{self.account}:{self.symbol.replace('/', '-')}{':exit' if self.reducing else ''}"


class OrderEvent(Record):
    """One line of an order's story. `sequence` is the order's version that this event produced.

    `exchange_time` is venue time (None where the venue said nothing), `recorded_at` the function's own clock.
    `previous` is the digest of the record before it in this story: an event, a fill, for the first one the decision;
    `order_digest` that of the order as this event left it, without its head.
    """

    order_id: str
    sequence: int
    from_state: OrderState
    to_state: OrderState
    cause: str
    attempt_id: str | None = None
    exchange_time: Utc | None = None
    recorded_at: Utc
    detail: dict[str, Any] = {}
    previous: str
    order_digest: str


def claimable(order: Order, profile: VenueProfile) -> bool:
    """Whether an attempt may be claimed: never before, or again for an exit whose absence is proven and confirmed."""
    if order.state is OrderState.CREATED:
        return True
    again = order.reducing and profile.resend == "after_absence"
    return again and order.state is OrderState.NOT_SENT and bool(order.misses) and not order.settled


def same_order(order: Order, seen: VenueOrder) -> bool:
    """Whether the venue's order is what the current attempt sent: symbol, side, quantity and price."""
    if order.attempt is None:
        return False
    sent = order.attempt.request
    return (sent.symbol, sent.side, sent.quantity, sent.limit_price) == (
        seen.symbol,
        seen.side,
        seen.quantity,
        seen.limit_price,
    )


def require_legal(order: Order, after: OrderState) -> None:
    """Raises IllegalTransition unless the table holds the move or the state stays."""
    if after is not order.state and after not in order.following:
        raise IllegalTransition(f"{order.state} to {after} is not a transition of an order")


def seal(order: Order, previous: str, **event: Any) -> tuple[Order, OrderEvent]:
    """An order with the event that led to it, as the next link of its story.

    Args:
        previous: the digest of the record before it.
        event: the fields of the event that do not follow from the order.
    """
    made = OrderEvent(
        order_id=order.order_id, sequence=order.version, previous=previous, order_digest=order.bare_digest, **event
    )
    return order.model_copy(update={"head": made.digest}), made


def created_orders(record: DecisionRecord, expires_at: datetime, assumed_cost: Decimal) -> tuple[Order, ...]:
    """The orders that the legs of a decision ask for, all `CREATED`; cancels ask for none."""
    legs = zip(record.trade_legs, record.order_ids, strict=True)
    return tuple(
        _created(record, leg, order_id, expires_at, assumed_cost) for leg, order_id in legs if order_id is not None
    )


def _created(record: DecisionRecord, leg: Leg, order_id: str, expires_at: datetime, assumed_cost: Decimal) -> Order:
    if isinstance(leg, Cancel):
        raise TypeError("a cancel asks for no order")
    order = Order(
        order_id=order_id,
        decision_id=record.decision_id,
        account=record.slot.account,
        strategy=record.slot.strategy,
        symbol=leg.symbol,
        side=leg_side(leg),
        reducing=not isinstance(leg, Buy),
        resizable=isinstance(leg, Buy | Reduce),
        quantity=leg.quantity,
        notional=leg_notional(leg),
        limit_price=leg.limit_price,
        time_in_force=leg.time_in_force,
        assumed_cost=assumed_cost,
        reason=leg.reason,
        market_time=record.market_time or record.decided_at,
        created_at=record.decided_at,
        expires_at=expires_at,
        write_id=record.write_id,
    )
    return _first(order, record)[0]


def created_event(order: Order, record: DecisionRecord) -> OrderEvent:
    """The first line of a created order's story."""
    return _first(order, record)[1]


def _first(order: Order, record: DecisionRecord) -> tuple[Order, OrderEvent]:
    return seal(
        order,
        record.digest,
        from_state=OrderState.CREATED,
        to_state=OrderState.CREATED,
        cause="decided",
        exchange_time=record.decided_at,
        recorded_at=record.recorded_at,
        detail={"reason": order.reason},
    )
