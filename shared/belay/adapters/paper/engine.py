"""The paper venue's matching engine: pure functions on an immutable state. No I/O, no clock, no look-ahead.

A market order takes the current price, moved against it by the slippage, and at most `participation` of the
last closed candle's volume; what is left takes the opens of later candles, each once. A limit order that
crosses the current price on arrival takes likewise, at its limit or better; otherwise it rests and fills at
its limit when a later candle, opened at or after its arrival, has closed and traded through the limit. Fees
are taken in quote currency.

Funds of open orders are locked, so no balance ever goes negative. Matching is driven by candles in time
order, each order remembering the last candle it was matched with: how often it is advanced makes no
difference.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import PaperSettings
from belay.domain.market import Candle, Market
from belay.domain.record import ZERO, NonNegative, Positive, Record, Symbol, Utc, base_asset, quote_asset
from belay.domain.slots import TIMEFRAMES
from belay.domain.venues import OrderRequest, VenueOrder, VenueStatus, VenueTrade

VENUE = "paper"
ACCEPTED = "ACCEPTED"
SUSPENDED = "BUYS_SUSPENDED"
MAX_OPEN_ORDERS = 200
# A step is stored in one transaction of at most 100 items: it ends early when it has this many.
MAX_ITEMS = 80
FEE_UNIT = Decimal("0.00000001")
CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


# --- values ---------------------------------------------------------------------------------------


class Bar(Record):
    """What a candle shows at one moment: its open once it began, the whole of it (`closed`) once it closed.

    `volume_before` is the volume of the candle before it, zero where that is not known.
    """

    open_time: Utc
    close_time: Utc
    open: Positive
    volume_before: NonNegative
    closed: Candle | None


class Tape(Record):
    """The bars of one symbol, oldest first, which hold everything that was to be seen `until` then."""

    bars: tuple[Bar, ...]
    until: Utc


class Quote(Record):
    """The current price in quote currency, its time, and the last closed candle's volume in base currency.

    `most`: what one order may take of it where that is less than its participation in the volume.
    """

    price: Positive
    volume: NonNegative
    at: Utc
    most: NonNegative | None = None


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
    """Everything about one account that can still change. `time` is the latest venue time acted on."""

    balances: dict[str, NonNegative]
    orders: dict[str, PaperOrder] = Field(default_factory=dict)
    next_order: int = 1
    next_trade: int = 1
    next_submission: int = 1
    time: Utc | None = None
    version: int = 0
    faults: FaultState = FaultState()


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


def paper_market(symbol: str, settings: PaperSettings) -> Market:
    """The filters and fees of a symbol at the paper venue."""
    return Market(
        symbol=symbol,
        quantity_step=settings.quantity_step,
        price_tick=settings.price_tick,
        min_quantity=settings.min_quantity,
        min_notional=settings.min_notional,
        taker_fee=settings.taker_fee,
        maker_fee=settings.maker_fee,
    )


def visible_bars(candles: Sequence[Candle], timeframe: str, at: datetime) -> tuple[Bar, ...]:
    """What ascending candles show at `at`: of those still to come nothing, of an unclosed one its open."""
    bars: list[Bar] = []
    volume_before = ZERO
    for candle in candles:
        close_time = candle.open_time + TIMEFRAMES[timeframe]
        if candle.open_time > at:
            break
        bars.append(
            Bar(
                open_time=candle.open_time,
                close_time=close_time,
                open=candle.open,
                volume_before=volume_before,
                closed=candle if close_time <= at else None,
            )
        )
        volume_before = candle.volume
    return tuple(bars)


# --- what may happen ------------------------------------------------------------------------------


def advance(
    state: VenueState,
    settings: PaperSettings,
    tapes: Mapping[str, Tape],
    until: datetime,
    dated: datetime | None = None,
) -> Step:
    """Match the open orders against the market up to `until`, or as far as every tape reaches.

    Args:
        tapes: by symbol, for each symbol with open orders, without a gap since they were last matched.
        dated: the venue time to report fills at where candles become known late; None: each at its own time.
    """
    book = _Book(state, settings)
    horizon = min([until, *(tape.until for tape in tapes.values())])
    for event in _events(state, tapes, horizon):
        if book.items >= MAX_ITEMS:
            return book.step(complete=False)
        order = book.orders.get(event.venue_order_id)
        if order is None:
            continue
        order = book.keep(order, matched=event.bar.open_time)
        at = dated or event.at
        if order.limit_price is None:
            _take(book, order, Quote(price=event.bar.open, volume=event.bar.volume_before, at=event.at), at)
        else:
            _make(book, order, event.bar, at)
    return book.step(complete=horizon == until)


def receive(
    state: VenueState,
    settings: PaperSettings,
    symbols: Sequence[str],
    request: OrderRequest,
    quote: Quote | None,
    at: datetime,
    submission_id: str,
    refused: str = "",
) -> Step:
    """Judge a request at venue time `at`; if it is accepted, match it at once. Either way it is recorded.

    Args:
        state: already advanced to `at`.
        quote: None for a symbol that is not in `symbols`.
        refused: a code to refuse it with, whatever it asks for; no quote is needed then.
    """
    book = _Book(state, settings)
    arrival = _Arrival(book, request, symbols, quote, at)
    code = refused or next((code for code, refuses in REFUSALS if refuses(arrival)), ACCEPTED)
    shown = _accept(arrival).shown() if code == ACCEPTED else None
    submission = Submission(
        submission_id=submission_id,
        sequence=state.next_submission,
        received_at=at,
        request=request,
        code=code,
        venue_order=shown,
    )
    step = book.step(time=at, next_submission=state.next_submission + 1)
    return step.model_copy(update={"submission": submission})


def take_rest(state: VenueState, settings: PaperSettings, venue_order_id: str, quote: Quote, at: datetime) -> Step:
    """Offer an open order the market once more, as if it arrived now; without such an order nothing happens."""
    order = state.orders.get(venue_order_id)
    if order is None:
        return Step(state=state)
    book = _Book(state, settings)
    (_take if order.limit_price is None else _cross)(book, order, quote, at)
    return book.step(time=at)


def cancel(state: VenueState, settings: PaperSettings, symbol: str, client_order_id: str, at: datetime) -> Step:
    """Take an open order out of the book; without such an order nothing happens."""
    order = open_order(state, symbol, client_order_id)
    if order is None:
        return Step(state=state)
    book = _Book(state, settings)
    book.close(order, VenueStatus.CANCELLED, at)
    return book.step(time=at)


def open_order(state: VenueState, symbol: str, client_order_id: str) -> PaperOrder | None:
    """The open order under a client order id: there is at most one."""
    wanted = (symbol, client_order_id)
    return next((order for order in state.orders.values() if (order.symbol, order.client_order_id) == wanted), None)


# --- matching -------------------------------------------------------------------------------------


class _Book:
    """The working copy of a state within one function call."""

    def __init__(self, state: VenueState, settings: PaperSettings) -> None:
        self.settings = settings
        self.orders = dict(state.orders)
        self._state = state
        self._balances = dict(state.balances)
        self._next_order = state.next_order
        self._next_trade = state.next_trade
        self._trades: list[VenueTrade] = []
        self._closed: list[PaperOrder] = []

    @property
    def items(self) -> int:
        """How many items it takes to store what happened so far."""
        return len(self._trades) + 2 * len(self._closed)

    def spendable(self, asset: str, excluding: str = "") -> Decimal:
        """The balance minus what the open orders, but for one, have locked of it."""
        locks = (self._lock(order) for key, order in self.orders.items() if key != excluding)
        return self._balances.get(asset, ZERO) - sum((amount for held, amount in locks if held == asset), ZERO)

    def _lock(self, order: PaperOrder) -> tuple[str, Decimal]:
        if order.side is Side.SELL:
            return base_asset(order.symbol), order.remaining
        return quote_asset(order.symbol), order.remaining * self.unit_cost(order.lock_price)

    def unit_cost(self, price: Decimal) -> Decimal:
        """The most that buying one unit at `price` can cost."""
        return price * (1 + max(self.settings.taker_fee, self.settings.maker_fee))

    def open(self, request: OrderRequest, lock_price: Decimal, at: datetime) -> PaperOrder:
        order = PaperOrder(
            venue_order_id=numbered(self._next_order),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity,
            limit_price=request.limit_price,
            time_in_force=request.time_in_force,
            lock_price=lock_price,
            arrived_at=at,
            updated_at=at,
        )
        self._next_order += 1
        self.orders[order.venue_order_id] = order
        return order

    def keep(self, order: PaperOrder, **changes: object) -> PaperOrder:
        changed = order.model_copy(update=changes)
        self.orders[order.venue_order_id] = changed
        return changed

    def close(self, order: PaperOrder, status: VenueStatus, at: datetime) -> PaperOrder:
        del self.orders[order.venue_order_id]
        closed = order.model_copy(update={"status": status, "updated_at": at})
        self._closed.append(closed)
        return closed

    def fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, fee_rate: Decimal, at: datetime) -> PaperOrder:
        """Execute a part of an order: balances, trade, cumulative quantity. Zero does nothing."""
        if quantity <= 0:
            return order
        quote = quote_asset(order.symbol)
        fee = (quantity * price * fee_rate).quantize(FEE_UNIT, rounding=ROUND_FLOOR)
        trade = VenueTrade(
            venue=VENUE,
            symbol=order.symbol,
            venue_order_id=order.venue_order_id,
            side=order.side,
            trade_id=numbered(self._next_trade),
            quantity=quantity,
            price=price,
            fees={quote: fee},
            at=at,
        )
        self._next_trade += 1
        self._trades.append(trade)
        for asset, change in trade.asset_changes().items():
            self._balances[asset] = self._balances.get(asset, ZERO) + change
            if self._balances[asset] < 0:
                raise ArithmeticError(f"order {order.venue_order_id} overdraws {asset}")
        order = self.keep(order, filled_quantity=order.filled_quantity + quantity, updated_at=at)
        return order if order.remaining else self.close(order, VenueStatus.FILLED, at)

    def step(self, *, complete: bool = True, **changes: object) -> Step:
        state = self._state.model_copy(
            update={
                "balances": self._balances,
                "orders": self.orders,
                "next_order": self._next_order,
                "next_trade": self._next_trade,
                **changes,
            }
        )
        return Step(state=state, trades=tuple(self._trades), closed=tuple(self._closed), complete=complete)


# What a candle traded comes before what the next one opens at.
AT_CLOSE, AT_OPEN = 0, 1


class _Event(NamedTuple):
    """An order meets a candle: when, and in which turn among the events then. They sort by their fields."""

    at: datetime
    turn: int
    symbol: str
    venue_order_id: str
    bar: Bar


def _events(state: VenueState, tapes: Mapping[str, Tape], until: datetime) -> list[_Event]:
    met = (event for order in state.orders.values() for event in _meetings(order, tapes[order.symbol].bars))
    return sorted((event for event in met if event.at <= until), key=lambda event: event[:4])


def _meetings(order: PaperOrder, tape: Sequence[Bar]) -> Iterator[_Event]:
    for bar in tape:
        if not order.waits_for(bar):
            continue
        if order.limit_price is None:
            yield _Event(bar.open_time, AT_OPEN, order.symbol, order.venue_order_id, bar)
        elif bar.closed is not None:
            yield _Event(bar.close_time, AT_CLOSE, order.symbol, order.venue_order_id, bar)


def _allowance(book: _Book, order: PaperOrder, volume: Decimal, most: Decimal | None = None) -> Decimal:
    """The most of an order that a candle of this volume may fill."""
    market, share = paper_market(order.symbol, book.settings), volume * book.settings.participation
    return min(order.remaining, market.floor_quantity(share if most is None else min(share, most)))


def _slipped(order: PaperOrder | OrderRequest, price: Decimal, settings: PaperSettings) -> Decimal:
    """The price after slippage, on a tick, both against the order."""
    market = paper_market(order.symbol, settings)
    if order.side is Side.BUY:
        return market.round_price(price * (1 + settings.slippage), Side.SELL)
    return max(market.round_price(price * (1 - settings.slippage), Side.BUY), settings.price_tick)


def _take(book: _Book, order: PaperOrder, quote: Quote, at: datetime) -> PaperOrder:
    """A market order takes what the market gives; a buy whose rest can no longer be paid is cancelled."""
    price = _slipped(order, quote.price, book.settings)
    payable = _payable(book, order, price)
    short = payable < order.remaining
    quantity = min(_allowance(book, order, quote.volume, quote.most), payable)
    order = book.fill(order, quantity, price, book.settings.taker_fee, at)
    if order.status is not VenueStatus.OPEN:
        return order
    if short:
        return book.close(order, VenueStatus.CANCELLED, at)
    return book.keep(order, lock_price=price)


def _payable(book: _Book, order: PaperOrder, price: Decimal) -> Decimal:
    """How much of an order's rest can be paid at `price`."""
    if order.side is Side.SELL:
        return order.remaining
    spendable = book.spendable(quote_asset(order.symbol), excluding=order.venue_order_id)
    cost = book.unit_cost(price)
    if order.remaining * cost <= spendable:
        return order.remaining
    market = paper_market(order.symbol, book.settings)
    quantity = market.floor_quantity(spendable / cost)
    # The quotient is rounded to the context's precision, which may have lifted it over a step.
    return quantity if quantity * cost <= spendable else quantity - market.quantity_step


def _cross(book: _Book, order: PaperOrder, quote: Quote, at: datetime) -> PaperOrder:
    """An arriving limit order takes if the market is at its price or better, and never does worse than it."""
    limit = order.lock_price
    if order.side is Side.BUY:
        crosses, better = quote.price <= limit, min
    else:
        crosses, better = quote.price >= limit, max
    if not crosses:
        return order
    price = better(limit, _slipped(order, quote.price, book.settings))
    quantity = _allowance(book, order, quote.volume, quote.most)
    return book.fill(order, quantity, price, book.settings.taker_fee, at)


def _make(book: _Book, order: PaperOrder, bar: Bar, at: datetime) -> None:
    """A resting limit order fills at its limit if the candle traded through it; touching it is not enough."""
    limit, candle = order.limit_price, bar.closed
    if limit is None or candle is None:
        return
    if (candle.low < limit) if order.side is Side.BUY else (candle.high > limit):
        book.fill(order, _allowance(book, order, candle.volume), limit, book.settings.maker_fee, at)


# --- arrival --------------------------------------------------------------------------------------


class _Arrival(NamedTuple):
    book: _Book
    request: OrderRequest
    symbols: Sequence[str]
    quote: Quote | None
    at: datetime

    @property
    def market_quote(self) -> Quote:
        if self.quote is None:
            raise ValueError(f"no quote for {self.request.symbol}")
        return self.quote


def _accept(arrival: _Arrival) -> PaperOrder:
    book, request, quote, at = arrival.book, arrival.request, arrival.market_quote, arrival.at
    order = book.open(request, request.limit_price or quote.price, at)
    order = (_take if request.limit_price is None else _cross)(book, order, quote, at)
    if order.status is VenueStatus.OPEN and request.time_in_force is TimeInForce.IOC:
        return book.close(order, VenueStatus.EXPIRED, at)
    return order


def _off_step(value: Decimal, step: Decimal) -> bool:
    try:
        return value % step != 0
    except InvalidOperation:  # so many steps that they cannot be counted
        return True


def _passed(arrival: _Arrival) -> bool:
    return arrival.request.fence_at is not None and arrival.at > arrival.request.fence_at


def _lot_size(arrival: _Arrival) -> bool:
    quantity, settings = arrival.request.quantity, arrival.book.settings
    return quantity < settings.min_quantity or _off_step(quantity, settings.quantity_step)


def _price_filter(arrival: _Arrival) -> bool:
    limit = arrival.request.limit_price
    return limit is not None and _off_step(limit, arrival.book.settings.price_tick)


def _min_notional(arrival: _Arrival) -> bool:
    price = arrival.request.limit_price or arrival.market_quote.price
    return arrival.request.quantity * price < arrival.book.settings.min_notional


def _duplicate(arrival: _Arrival) -> bool:
    taken = {order.client_order_id for order in arrival.book.orders.values()}
    return arrival.request.client_order_id in taken


def _insufficient_funds(arrival: _Arrival) -> bool:
    book, request = arrival.book, arrival.request
    if request.side is Side.SELL:
        return request.quantity > book.spendable(base_asset(request.symbol))
    price = request.limit_price or _slipped(request, arrival.market_quote.price, book.settings)
    return request.quantity * book.unit_cost(price) > book.spendable(quote_asset(request.symbol))


REFUSALS: tuple[tuple[str, Callable[[_Arrival], bool]], ...] = (
    ("FENCE_REQUIRED", lambda arrival: arrival.request.fence_at is None),
    ("FENCE_PASSED", _passed),
    (
        "INVALID_CLIENT_ORDER_ID",
        lambda arrival: not CLIENT_ORDER_ID.fullmatch(arrival.request.client_order_id),
    ),
    ("INVALID_SYMBOL", lambda arrival: arrival.request.symbol not in arrival.symbols),
    ("LOT_SIZE", _lot_size),
    ("PRICE_FILTER", _price_filter),
    ("MIN_NOTIONAL", _min_notional),
    ("DUPLICATE_CLIENT_ORDER_ID", _duplicate),
    ("MAX_NUM_ORDERS", lambda arrival: len(arrival.book.orders) >= MAX_OPEN_ORDERS),
    ("INSUFFICIENT_FUNDS", _insufficient_funds),
)
