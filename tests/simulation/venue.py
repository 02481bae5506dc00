"""The venue as it really is: what it received, holds and filled, under the rules of one profile class.

What it shows lags behind what is so, within the bounds of the profile. It never looks at the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial
from typing import Any

from belay.adapters.live.profiles import load_profile
from belay.domain.decisions import Side, TimeInForce
from belay.domain.errors import SymbolUnavailable, VenueUnavailable
from belay.domain.flows import FlowPage, VenueFlow
from belay.domain.market import Candle, Market, Price
from belay.domain.record import ZERO, base_asset
from belay.domain.venues import (
    Balances,
    OrderRequest,
    Outcome,
    OutcomeKind,
    TradePage,
    UnreadRow,
    VenueOrder,
    VenueProfile,
    VenueStatus,
    VenueTrade,
)
from tests.simulation.books import FEE, HOLDINGS, Books, fees_of
from tests.simulation.scheduler import Scheduler

# The classes of venues, as their profiles say: which ids are unique, who enforces a fence, what may be sent again.
PROFILES = {venue: load_profile(venue).domain() for venue in ("binance", "kraken", "bybit", "coinbase", "bitfinex")}
# Which venues name the client order id in their trades.
TRADES_NAME_CLIENT_ID = frozenset({"bybit"})

# What an asset costs where nothing moves it.
BASE_PRICES = {"BTC/USD": Decimal(10000), "ETH/USD": Decimal(500)}
# In what an account pays its fees, what it holds at first, and whether its wallets round: of each account once.
FEES, FEE_WEIGHTS = ("quote", "base", "token", "rebate"), (6, 3, 2, 1)
HOLDING_WEIGHTS, ROUNDING_WEIGHTS = (3, 1), (3, 1)
STEP, TICK = Decimal("0.0001"), Decimal("0.01")
PAGE = 2

# Each plan: seconds after acceptance and the part of the order that then fills; a status ends the order there.
PLANS: dict[str, tuple[tuple[tuple[float, Any], ...], ...]] = {
    "market": (
        ((0, 1),),
        ((0, 0.5), (20, 1)),
        ((15, 1),),
        ((0, 0.3), (1, 0.6), (2, 1)),
        ((3, VenueStatus.REJECTED),),
        ((0, 0.5), (5, VenueStatus.CANCELLED)),
        ((90, 1),),
    ),
    "limit": (
        ((30, 1),),
        (),
        ((10, 0.5),),
        ((0, 1),),
        ((5, 0.4), (40, VenueStatus.EXPIRED)),
        ((2, VenueStatus.REJECTED),),
        ((5, 0.3), (12, 0.6), (70, 1)),
    ),
    "ioc": (((0, 1),), ((0, 0.5), (0, VenueStatus.EXPIRED)), ((0, VenueStatus.EXPIRED),)),
}
PLAN_WEIGHTS = (6, 2, 2, 2, 1, 1, 1)
# How a cancel goes: at once, not at all, late, or with a fill that is reported only after it.
CANCELS = ("at once", "ignored", "late", "crossed by a fill", "late and crossed")
CANCEL_WEIGHTS = (6, 1, 2, 2, 1)
# How much of the bound on its lag an order's visibility and each of its trades use up.
LAGS, LAG_WEIGHTS = (0.0, 0.1, 0.5, 0.95), (8, 2, 2, 2)


@dataclass
class TrueTrade:
    """An execution; from `spoiled_ms` until `readable_ms` its row is one that nobody understands."""

    trade: VenueTrade
    visible_ms: int
    spoiled_ms: int = 0
    readable_ms: int = 0

    @property
    def row(self) -> UnreadRow:
        trade = self.trade
        reference = f"{trade.venue_order_id}/{trade.trade_id}"
        return UnreadRow(
            what="trade", reference=reference, market=trade.symbol, symbol=trade.symbol, problem="side is 'SIDEWAYS'"
        )


@dataclass
class TrueOrder:
    """An order as it is; `reported` are the states that it shows, each from a time on.

    Until `readable_ms` its row in the list of open orders is one that nobody understands, since `spoiled_ms`.
    """

    venue_order_id: str
    label: str
    request: OrderRequest
    accepted_ms: int
    visible_ms: int
    cancels: int = 0
    status: VenueStatus = VenueStatus.OPEN
    filled: Decimal = ZERO
    closed_ms: int | None = None
    reported: list[tuple[int, VenueStatus, Decimal]] = field(default_factory=list)
    trades: list[TrueTrade] = field(default_factory=list)
    spoiled_ms: int = 0
    readable_ms: int = 0

    @property
    def row(self) -> UnreadRow:
        symbol = self.request.symbol
        return UnreadRow(
            what="order", reference=self.venue_order_id, market=symbol, symbol=symbol, problem="type is 'ODD'"
        )


@dataclass(frozen=True)
class Reception:
    """One submission as it reached the engine, and what became of it."""

    at_ms: int
    request: OrderRequest
    code: str
    venue_order_id: str | None


class TrueVenue:
    """One account's orders, trades and balances, in the scheduler's time.

    Args:
        label: names an order for the choices about it, by its client order id.
    """

    def __init__(self, profile: VenueProfile, scheduler: Scheduler, label: Callable[[str], str]) -> None:
        self.profile = profile
        self.receptions: list[Reception] = []
        self.orders: list[TrueOrder] = []
        # What others than Belay placed in the account, what came and went, and since when a symbol is not to be had.
        self.foreign: list[TrueOrder] = []
        self.records: list[tuple[int, VenueFlow]] = []
        self.unavailable: dict[str, int] = {}
        chosen = scheduler.choices.pick("venue/holdings", HOLDING_WEIGHTS)
        rounds = scheduler.choices.pick("venue/rounding", ROUNDING_WEIGHTS) == 1
        self.books = Books(HOLDINGS[chosen], rounds)
        self.accepted: Callable[[TrueOrder], None] = lambda _order: None
        self.reachable = True
        self._scheduler = scheduler
        self._label = label

    # --- time and prices ---

    @property
    def now_ms(self) -> int:
        return self._scheduler.now_ms

    def price(self, symbol: str, at: datetime | None = None) -> Decimal:
        minute = (at or self._scheduler.now).replace(second=0, microsecond=0)
        move = self._scheduler.choices.pick(f"price/{symbol}/{minute:%H:%M}", (8, 1, 1))
        factor = (Decimal(1), Decimal("1.003"), Decimal("0.997"))[move]
        return (BASE_PRICES[symbol] * factor).quantize(TICK)

    @property
    def balances(self) -> dict[str, Decimal]:
        return self.books.balances

    # --- what a connection asks ---

    def submit(self, request: OrderRequest) -> Outcome:
        """The request reaches the venue now."""
        if not self.reachable:
            return Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")
        code, order = self._receive(request)
        found = order.venue_order_id if order else None
        self.receptions.append(Reception(self.now_ms, request, code, found))
        at = self._scheduler.now
        if order is not None:
            return Outcome(
                kind=OutcomeKind.ACCEPTED, code=code, venue_order=self._shown(order, self.now_ms), exchange_time=at
            )
        kind = {
            "FENCE_PASSED": OutcomeKind.NOT_SENT,
            "INSUFFICIENT_FUNDS": OutcomeKind.REJECTED,
            "MARKET_CLOSED": OutcomeKind.REJECTED,
        }.get(code, OutcomeKind.UNKNOWN)
        return Outcome(kind=kind, code=code, exchange_time=at)

    def _receive(self, request: OrderRequest) -> tuple[str, TrueOrder | None]:
        if self._too_late(request):
            return "FENCE_PASSED", None
        known = [o for o in self.orders if o.request.client_order_id == request.client_order_id]
        match self.profile.uniqueness:
            case "idempotent" if known:
                return "ORIGINAL", known[0]
            case "unique" if known:
                return "DUPLICATE", None
            case "open_only" if any(order.closed_ms is None for order in known):
                return "DUPLICATE", None
        if request.symbol in self.unavailable:
            return "MARKET_CLOSED", None
        if not self._affordable(request):
            return "INSUFFICIENT_FUNDS", None
        return "ACCEPTED", self._accept(request)

    def _too_late(self, request: OrderRequest) -> bool:
        """What an engine refuses; where only the gateway looks, a request may have been held up behind it."""
        fence, fence_at = self.profile.fence, request.fence_at
        if fence is None or fence_at is None or self._scheduler.now <= fence_at:
            return False
        label = self._label(request.client_order_id)
        return fence.definitive or self._scheduler.choices.pick(f"venue/{label}/gateway", (1, 1)) == 0

    def _affordable(self, request: OrderRequest) -> bool:
        if request.side is Side.BUY:
            price = request.limit_price or self.price(request.symbol)
            return self.balances["USD"] >= request.quantity * price * (1 + FEE)
        return self.balances[base_asset(request.symbol)] >= request.quantity

    def _accept(self, request: OrderRequest) -> TrueOrder:
        label = self._label(request.client_order_id)
        grace = self.profile.fence.grace_seconds if self.profile.fence else self.profile.history_lag_seconds
        lag = self._lag(f"venue/{label}/visible") * grace
        number = f"V{len(self.orders) + 1}"
        order = self._new_order(number, label, request, self.now_ms + int(lag * 1000))
        self.orders.append(order)
        self._scheduler.tell("venue", "accepts", order.venue_order_id, request)
        self.accepted(order)
        style = "limit" if request.limit_price else "market"
        style = "ioc" if request.time_in_force is TimeInForce.IOC else style
        plans = PLANS[style]
        plan = plans[self._scheduler.choices.pick(f"venue/{label}/fills", PLAN_WEIGHTS[: len(plans)])]
        for seconds, what in plan:
            self._later(seconds, order, what)
        return order

    def _new_order(self, number: str, label: str, request: OrderRequest, visible_ms: int) -> TrueOrder:
        order = TrueOrder(number, label, request, self.now_ms, visible_ms)
        order.reported.append((self.now_ms, VenueStatus.OPEN, ZERO))
        return order

    def _later(self, seconds: float, order: TrueOrder, what: Any) -> None:
        def act() -> None:
            if isinstance(what, VenueStatus):
                self._close(order, what)
            else:
                self._fill(order, Decimal(str(what)))

        if seconds:
            self._scheduler.after(seconds * 1000, act)
        else:
            act()

    def _lag(self, key: str) -> float:
        return LAGS[self._scheduler.choices.pick(key, LAG_WEIGHTS)]

    # --- what happens to an order ---

    def _fill(self, order: TrueOrder, part: Decimal, reported_ms: int | None = None) -> None:
        """Fill an order up to a part of its quantity, unless it is closed."""
        request = order.request
        upto = (request.quantity * part).quantize(STEP, ROUND_DOWN) if part < 1 else request.quantity
        quantity = upto - order.filled
        if order.closed_ms is not None or quantity <= 0:
            return
        order.filled = upto
        number = len(order.trades) + 1
        lag = self._lag(f"venue/{order.label}/trade {number}") * self.profile.history_lag_seconds
        trade = self._trade(order, number, quantity)
        left = 1000 if reported_ms is None else 500
        order.trades.append(TrueTrade(trade, (reported_ms or self.now_ms) + int(lag * left)))
        self.books.execute(trade.symbol, trade.side, trade.quantity, trade.price, trade.fees)
        if order.filled == request.quantity:
            order.status, order.closed_ms = VenueStatus.FILLED, self.now_ms
        order.reported.append((reported_ms or self.now_ms, order.status, order.filled))
        self._scheduler.tell("venue", "fills", order.venue_order_id, quantity)

    def _trade(self, order: TrueOrder, number: int, quantity: Decimal) -> VenueTrade:
        request, price = order.request, order.request.limit_price or self.price(order.request.symbol)
        fees = FEES[self._scheduler.choices.pick("venue/fees", FEE_WEIGHTS)]
        return VenueTrade(
            venue="simulated",
            symbol=request.symbol,
            venue_order_id=order.venue_order_id,
            client_order_id=self._named(order) if self.profile.name in TRADES_NAME_CLIENT_ID else None,
            side=request.side,
            trade_id=f"T{number}",
            quantity=quantity,
            price=price,
            fees=fees_of(fees, request.symbol, request.side, quantity, price),
            at=self._scheduler.now,
        )

    def _close(self, order: TrueOrder, status: VenueStatus, crossing: bool = False) -> None:
        """End an order. A crossing fill took place before, and is reported after."""
        if order.closed_ms is not None:
            return
        if status is VenueStatus.REJECTED and order.filled:
            return
        shown = order.filled
        if crossing:
            half = (order.filled / order.request.quantity + 1) / 2
            self._fill(order, half, self.now_ms + self.profile.history_lag_seconds * 500)
        order.status, order.closed_ms = status, self.now_ms
        order.reported.append((self.now_ms, status, shown))
        order.reported.append((self.now_ms + self.profile.history_lag_seconds * 500, status, order.filled))
        order.reported.sort(key=lambda line: line[0])
        self._scheduler.tell("venue", f"shows as {status}", order.venue_order_id)

    def cancel(self, symbol: str, client_order_id: str) -> None:
        self._reached(symbol)
        for order in self.orders:
            if order.request.client_order_id == client_order_id and order.closed_ms is None:
                order.cancels += 1
                key = f"venue/{order.label}/cancel {order.cancels}"
                how = CANCELS[self._scheduler.choices.pick(key, CANCEL_WEIGHTS)]
                close = partial(self._close, order, VenueStatus.CANCELLED, "crossed" in how)
                if how != "ignored":
                    self._scheduler.after(15_000 if "late" in how else 0, close)

    # --- what others do in the account ---

    def by_hand(self, symbol: str, quantity: Decimal, limit: Decimal | None) -> TrueOrder:
        """Somebody buys; at the market it fills at once."""
        number = f"H{len(self.foreign) + 1}"
        request = OrderRequest(
            client_order_id=f"by hand {number}",
            symbol=symbol,
            side=Side.BUY,
            quantity=quantity,
            limit_price=limit,
            time_in_force=TimeInForce.GTC,
            claimed_at=self._scheduler.now,
            fence_at=None,
        )
        order = self._new_order(number, f"by hand {number}", request, self.now_ms)
        self.foreign.append(order)
        self._scheduler.tell("owner", f"places {number}", request)
        if limit is None:
            self._fill(order, Decimal(1))
        return order

    def cancel_by_hand(self, order: TrueOrder) -> None:
        self._close(order, VenueStatus.CANCELLED)

    def move(self, asset: str, amount: Decimal, record: VenueFlow | None, shown_after: float) -> None:
        """Money comes or goes without a trade, with the venue's record of it or none."""
        self.books.book(asset, amount, record.kind.value if record else "no record")
        if record is not None:
            self.records.append((self.now_ms + int(shown_after * 1000), record))
        self._scheduler.tell("owner", f"moves {amount} {asset}, {record.kind.value if record else 'without a record'}")

    def calm(self) -> None:
        """Every row can be read again from now on."""
        for order in (*self.orders, *self.foreign):
            order.readable_ms = min(order.readable_ms, self.now_ms)
            for true in order.trades:
                true.readable_ms = min(true.readable_ms, self.now_ms)

    # --- what it shows ---

    def _reached(self, symbol: str | None = None) -> None:
        if not self.reachable:
            raise VenueUnavailable("the venue gives no answer")
        if symbol in self.unavailable:
            raise SymbolUnavailable(f"{symbol} is not listed")

    def _named(self, order: TrueOrder) -> str | None:
        """The client order id that it shows: whoever trades by hand gives none."""
        return None if order in self.foreign else order.request.client_order_id

    def _shown(self, order: TrueOrder, at_ms: int) -> VenueOrder:
        known = [line for line in order.reported if line[0] <= at_ms] or order.reported[:1]
        _, status, filled = known[-1]
        request = order.request
        return VenueOrder(
            venue_order_id=order.venue_order_id,
            client_order_id=self._named(order),
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity,
            limit_price=request.limit_price,
            filled_quantity=filled,
            status=status,
            updated_at=self._scheduler.now,
        )

    def shown_balances(self) -> Balances:
        self._reached()
        return Balances(total=dict(self.balances), at=self._scheduler.now, decimals=dict(self.books.decimals))

    def open_orders(self) -> tuple[VenueOrder | UnreadRow, ...]:
        self._reached()
        known = [order for order in (*self.orders, *self.foreign) if order.visible_ms <= self.now_ms]
        shown = [(order, self._shown(order, self.now_ms)) for order in known]
        return tuple(
            order.row if self.now_ms < order.readable_ms else seen
            for order, seen in shown
            if seen.status is VenueStatus.OPEN
        )

    def lookup(self, symbol: str, client_order_id: str, venue_order_id: str | None = None) -> VenueOrder | None:
        self._reached()
        forgotten = self.now_ms - self.profile.closed_retention_seconds * 1000
        for order in reversed((*self.foreign, *self.orders)):
            known = order.visible_ms <= self.now_ms and (order.closed_ms is None or order.closed_ms > forgotten)
            named = self._named(order) == client_order_id
            if venue_order_id is not None:
                named = order.venue_order_id == venue_order_id
            if known and named and order.request.symbol == symbol:
                return self._shown(order, self.now_ms)
        return None

    def flows(self, start: datetime, end: datetime) -> FlowPage:
        self._reached()
        shown = [record for visible_ms, record in self.records if visible_ms <= self.now_ms]
        return FlowPage(flows=tuple(r for r in shown if start <= r.at <= end), read_until=end)

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        self._reached(symbol)
        found = [
            true
            for order in (*self.orders, *self.foreign)
            for true in order.trades
            if order.request.symbol == symbol and true.visible_ms <= self.now_ms and start <= true.trade.at <= end
        ]
        found.sort(key=lambda true: (true.trade.at, true.trade.key))
        first = int(page or 0)
        following = str(first + PAGE) if first + PAGE < len(found) else None
        rows = found[first : first + PAGE]
        return TradePage(
            trades=tuple(true.trade for true in rows if true.readable_ms <= self.now_ms),
            unread=tuple(true.row for true in rows if true.readable_ms > self.now_ms),
            next_page=following,
        )

    # --- market data ---

    def time(self) -> datetime:
        self._reached()
        return self._scheduler.now

    def market(self, symbol: str) -> Market:
        self._reached(symbol)
        return Market(
            symbol=symbol,
            quantity_step=STEP,
            price_tick=TICK,
            min_quantity=STEP,
            min_notional=Decimal(10),
            taker_fee=FEE,
            maker_fee=FEE,
        )

    def price_of(self, symbol: str) -> Price:
        self._reached(symbol)
        return Price(value=self.price(symbol), at=self._scheduler.now)

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        """One-minute candles of a market that stands still within the minute; published two seconds after they end."""
        self._reached(symbol)
        published = self._scheduler.now - timedelta(seconds=2)
        opens = [until - timedelta(minutes=number) for number in range(limit, 0, -1)]
        return tuple(
            Candle(open_time=at, open=p, high=p, low=p, close=p, volume=Decimal(100))
            for at in opens
            if at + timedelta(minutes=1) <= published
            for p in [self.price(symbol, at)]
        )


class Connection:
    """Implements `ports.Venue` and `ports.MarketData` over the true venue."""

    def __init__(self, venue: TrueVenue) -> None:
        self._venue = venue
        self.profile = venue.profile
        self.balances = venue.shown_balances
        self.open_orders = venue.open_orders
        self.trades = venue.trades
        self.flows = venue.flows
        self.lookup = venue.lookup
        self.submit = venue.submit
        self.cancel = venue.cancel
        self.time = venue.time
        self.market = venue.market
        self.price = venue.price_of
        self.candles = venue.candles
