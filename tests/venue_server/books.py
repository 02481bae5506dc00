"""One account at one venue as it really is: orders, trades, balances and the matching. Speaks no venue's language.

Times come in as arguments. A market order takes the price at once; a limit order that does not cross rests, and
fills at its limit when the price path reaches it. What a look-up shows may lag behind what is so; balances never do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Any

from tests.venue_server.market import Market, Prices

ZERO = Decimal(0)
FEE_UNIT = Decimal("0.00000001")


class Refusal(StrEnum):
    """Why the matching engine takes no order; each venue has its own words for it."""

    DUPLICATE = "duplicate"
    FUNDS = "funds"
    LOT_SIZE = "lot_size"
    MINIMUM = "minimum"
    NOTIONAL = "notional"
    PRICE = "price"
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
    """One execution. `fee` is in `fee_asset`; `fee_value` is the same in quote currency."""

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


@dataclass(frozen=True)
class NewOrder:
    """What a client asks for. `immediate`: what does not fill at once expires. `fee_in`: "base" or "quote"."""

    client_order_id: str | None
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: str
    immediate: bool
    fee_in: str

    @property
    def kind(self) -> str:
        return "market" if self.limit_price is None else "limit"


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
    """An order in the books; it changes only here."""

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

    @property
    def remaining(self) -> Decimal:
        return self.request.quantity - self.filled

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


@dataclass(frozen=True)
class Fees:
    """Rates of the notional (or of the quantity, for a fee in base currency)."""

    taker: Decimal = Decimal("0.001")
    maker: Decimal = Decimal("0.001")


# Runs an action at a time of the server's, or only when released.
Schedule = Callable[[datetime | None, Callable[[datetime], None]], None]


class Books:
    """The account. `ids` gives the next id of "order" or "trade" in a symbol, in the venue's own style."""

    def __init__(self, prices: Prices, ids: Callable[[str, str], str], schedule: Schedule, fees: Fees) -> None:
        self.prices = prices
        self.orders: list[Order] = []
        self.trades: list[Trade] = []
        self.balances: dict[str, Decimal] = {}
        self.fees = fees
        self.trades_per_fill = 1
        self._ids = ids
        self._schedule = schedule
        self._matched_until: datetime | None = None

    # --- what is so ----------------------------------------------------------------------------------

    def open(self) -> list[Order]:
        return [order for order in self.orders if order.status is Status.OPEN]

    def locked(self, asset: str) -> Decimal:
        """What open orders hold back of an asset."""
        return sum((self._lock(order) for order in self.open() if self._lock_asset(order.request) == asset), ZERO)

    def free(self, asset: str) -> Decimal:
        return self.balances.get(asset, ZERO) - self.locked(asset)

    def truth(self) -> dict[str, Any]:
        """Everything as JSON values: what a ledger must agree with in the end."""
        trades = [
            {
                "trade_id": trade.trade_id,
                "venue_order_id": trade.venue_order_id,
                "client_order_id": trade.client_order_id,
                "symbol": trade.symbol,
                "side": trade.side,
                "price": str(trade.price),
                "quantity": str(trade.quantity),
                "fee": str(trade.fee),
                "fee_asset": trade.fee_asset,
                "at": trade.at.isoformat(),
            }
            for trade in self.trades
        ]
        balances = {asset: str(amount) for asset, amount in sorted(self.balances.items())}
        return {"orders": [order.truth() for order in self.orders], "trades": trades, "balances": balances}

    # --- what look-ups show -----------------------------------------------------------------------------

    def shown_orders(self, now: datetime) -> list[Order]:
        """Oldest first."""
        return [order for order in self.orders if order.visible_from <= now]

    def shown_trades(self, now: datetime) -> list[Trade]:
        """Oldest first."""
        return sorted((trade for trade in self.trades if trade.visible_from <= now), key=lambda trade: trade.at)

    # --- what changes it ---------------------------------------------------------------------------------

    def deposit(self, asset: str, amount: Decimal) -> None:
        """Money from outside; negative for a withdrawal."""
        self.balances[asset] = self.balances.get(asset, ZERO) + amount

    def place(self, request: NewOrder, at: datetime, plan: Plan) -> Order:
        """Take the order, or raise Refused. A client order id is refused only while an open order bears it."""
        self._check(request, at)
        order = Order(
            venue_order_id=self._ids("order", request.symbol),
            request=request,
            plan=plan,
            lock_price=self._price_bound(request, at),
            created_at=at,
            updated_at=at,
            visible_from=at + timedelta(seconds=plan.order_lag),
        )
        self.orders.append(order)
        self._match_arrival(order, at)
        return order

    def cancel(self, order: Order, at: datetime) -> None:
        assert order.status is Status.OPEN, "an ended order is unknown to a cancel"
        self._end(order, Status.CANCELLED, at)

    def match(self, until: datetime) -> None:
        """Fill every resting limit order that the price reached since the last call, at the time it did."""
        since, self._matched_until = self._matched_until or until, until
        if until <= since or not self._resting():
            return
        for moment in self.prices.steps(since, until):
            self.reprice(moment)

    def reprice(self, at: datetime) -> None:
        """Fill the resting limit orders that the price of this moment reaches."""
        for order in self._resting():
            if self._crosses(order.request, at):
                self._fill(order, order.remaining, order.request.limit_price, at, maker=True)

    # --- matching -------------------------------------------------------------------------------------------

    def _match_arrival(self, order: Order, at: datetime) -> None:
        request, plan = order.request, order.plan
        crosses = self._crosses(request, at)
        if plan.terminal_first:
            self._end(order, Status.EXPIRED, at)
            self._fill_later(order, self._share(order), plan.rest_after)
        elif plan.fraction is not None:
            self._fill(order, self._share(order), self._execution_price(request, at), at, maker=not crosses)
            self._rest(order, at)
        elif crosses:
            self._fill(order, order.remaining, self._execution_price(request, at), at, maker=False)
        elif request.immediate:
            self._end(order, Status.EXPIRED, at)

    def _rest(self, order: Order, at: datetime) -> None:
        if order.status is not Status.OPEN:
            return
        if order.plan.rest_expires:
            self._end(order, Status.EXPIRED, at)
        else:
            self._fill_later(order, order.remaining, order.plan.rest_after)

    def _fill_later(self, order: Order, quantity: Decimal, after: float | None) -> None:
        due = None if after is None else order.created_at + timedelta(seconds=after)

        def fill(at: datetime) -> None:
            left = min(quantity, order.remaining)
            if order.status is Status.OPEN or order.plan.terminal_first:
                limit = order.request.limit_price
                self._fill(order, left, limit or self._taker(order.request, at), at, maker=limit is not None)

        self._schedule(due, fill)

    def _share(self, order: Order) -> Decimal:
        """The part that fills at once, at least one lot step and never everything unless that was asked for."""
        step = self._market(order.request).step
        fraction = Decimal(1) if order.plan.fraction is None else order.plan.fraction
        steps = (order.request.quantity * fraction / step).to_integral_value(ROUND_DOWN)
        return min(max(steps, Decimal(1)) * step, order.request.quantity)

    def _fill(self, order: Order, quantity: Decimal, price: Decimal | None, at: datetime, maker: bool) -> None:
        assert price is not None
        for piece in self._pieces(order, quantity):
            self._execute(order, piece, price, at, maker)
        order.updated_at = at
        if order.remaining == 0 and order.status is Status.OPEN:
            self._end(order, Status.FILLED, at)

    def _pieces(self, order: Order, quantity: Decimal) -> Iterable[Decimal]:
        step = self._market(order.request).step
        pieces = min(self.trades_per_fill, int(quantity / step))
        size = (quantity / pieces / step).to_integral_value(ROUND_DOWN) * step
        return [size] * (pieces - 1) + [quantity - size * (pieces - 1)]

    def _execute(self, order: Order, quantity: Decimal, price: Decimal, at: datetime, maker: bool) -> None:
        request = order.request
        market = self._market(request)
        rate = self.fees.maker if maker else self.fees.taker
        fee_value = (quantity * price * rate).quantize(FEE_UNIT)
        in_base = request.fee_in == "base"
        trade = Trade(
            trade_id=self._ids("trade", request.symbol),
            venue_order_id=order.venue_order_id,
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            price=price,
            quantity=quantity,
            fee=(quantity * rate).quantize(FEE_UNIT) if in_base else fee_value,
            fee_asset=market.base if in_base else market.quote,
            fee_value=fee_value,
            maker=maker,
            at=at,
            visible_from=at + timedelta(seconds=order.plan.trade_lag),
        )
        order.filled += quantity
        order.cost += trade.notional
        order.fee_value += fee_value
        order.trades.append(trade)
        self.trades.append(trade)
        sign = 1 if request.side == "buy" else -1
        self.deposit(market.base, sign * quantity)
        self.deposit(market.quote, -sign * trade.notional)
        self.deposit(trade.fee_asset, -trade.fee)

    def _end(self, order: Order, status: Status, at: datetime) -> None:
        order.status = status
        order.updated_at = at

    # --- rules ------------------------------------------------------------------------------------------------

    def _check(self, request: NewOrder, at: datetime) -> None:
        market = self._market(request)
        limit = request.limit_price
        rules = (
            (Refusal.LOT_SIZE, request.quantity % market.step != 0),
            (Refusal.MINIMUM, request.quantity < market.min_quantity),
            (Refusal.PRICE, limit is not None and (limit <= 0 or limit % market.tick != 0)),
            (Refusal.NOTIONAL, request.quantity * self._price_bound(request, at) < market.min_notional),
            (Refusal.DUPLICATE, self._in_use(request.client_order_id)),
            (Refusal.FUNDS, self._needed(request, at) > self.free(self._lock_asset(request))),
        )
        for refusal, broken in rules:
            if broken:
                raise Refused(refusal)

    def _in_use(self, client_order_id: str | None) -> bool:
        """Only open orders count: an id is free again as soon as its order is filled, cancelled or expired."""
        open_ids = {order.request.client_order_id for order in self.open()}
        return client_order_id is not None and client_order_id in open_ids

    def _needed(self, request: NewOrder, at: datetime) -> Decimal:
        return self._lock_of(request, request.quantity, self._price_bound(request, at))

    def _lock(self, order: Order) -> Decimal:
        return self._lock_of(order.request, order.remaining, order.lock_price)

    def _lock_of(self, request: NewOrder, quantity: Decimal, price: Decimal) -> Decimal:
        """A fee in the currency that is given away comes on top of what is given away."""
        given, fee_on_top = (quantity * price, "quote") if request.side == "buy" else (quantity, "base")
        rate = max(self.fees.taker, self.fees.maker) if request.fee_in == fee_on_top else ZERO
        return given * (1 + rate)

    def _lock_asset(self, request: NewOrder) -> str:
        market = self._market(request)
        return market.quote if request.side == "buy" else market.base

    def _market(self, request: NewOrder) -> Market:
        return self.prices.markets[request.symbol]

    def _taker(self, request: NewOrder, at: datetime) -> Decimal:
        side = self.prices.ask if request.side == "buy" else self.prices.bid
        return side(request.symbol, at)

    def _price_bound(self, request: NewOrder, at: datetime) -> Decimal:
        return self._taker(request, at) if request.limit_price is None else request.limit_price

    def _crosses(self, request: NewOrder, at: datetime) -> bool:
        if request.limit_price is None:
            return True
        price = self._taker(request, at)
        return price <= request.limit_price if request.side == "buy" else price >= request.limit_price

    def _execution_price(self, request: NewOrder, at: datetime) -> Decimal:
        """The market's price if it is better than the limit, else the limit."""
        return self._taker(request, at) if self._crosses(request, at) else self._price_bound(request, at)

    def _resting(self) -> list[Order]:
        return [order for order in self.open() if order.request.limit_price is not None]
