"""One account at one venue as it really is: orders, trades, wallets and the matching. Speaks no venue's language.

Times come in as arguments. A market order takes the price at once; a limit order that does not cross rests, and
fills at its limit when the price path reaches it; a stop waits for its price. What a look-up shows may lag behind
what is so; balances never do.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import count
from typing import Any

from tests.venue_server.fees import Fees
from tests.venue_server.market import Market, Prices
from tests.venue_server.orders import ZERO, NewOrder, Order, Plan, Refusal, Refused, Status, Trade
from tests.venue_server.wallets import Wallets

__all__ = ["ZERO", "Books", "Fees", "NewOrder", "Order", "Plan", "Refusal", "Refused", "Status", "Trade"]

NEVER = datetime.max.replace(tzinfo=UTC)
# Runs an action at a time of the server's, or only when released.
Schedule = Callable[[datetime | None, Callable[[datetime], None]], None]


class Books:
    """The account. `ids` gives the next id of "order", "trade" and so on in a symbol, in the venue's own style."""

    def __init__(self, prices: Prices, ids: Callable[[str, str], str], schedule: Schedule, fees: Fees) -> None:
        self.prices = prices
        self.orders: list[Order] = []
        self.trades: list[Trade] = []
        self.wallets = Wallets(ids)
        self.fees = fees
        self.trades_per_fill = 1
        # For how long the venue's ledger does not show what a trade moved.
        self.entry_lag = 0.0
        self._ids = ids
        self._schedule = schedule
        self._lists = count(1)
        self._spoilt: dict[Trade, tuple[dict[str, Any], frozenset[str]]] = {}
        self._matched_until: datetime | None = None

    # --- what is so ----------------------------------------------------------------------------------

    @property
    def balances(self) -> dict[str, Decimal]:
        return self.wallets.balances

    def open(self) -> list[Order]:
        return [order for order in self.orders if order.status is Status.OPEN]

    def locked(self, asset: str) -> Decimal:
        """What is held back of an asset: by open orders, by a list of them once, and by other services.

        Binance: an order list locks what its largest leg needs (open: the documentation says it nowhere outright), a
        pending leg nothing (REST, order lists: placed when the working order is fully filled).
        """
        held: dict[int | str, Decimal] = {}
        for order in self.open():
            if not order.pending and self._lock_asset(order.request) == asset:
                group = order.linked or order.venue_order_id + order.request.symbol
                held[group] = max(held.get(group, ZERO), self._lock(order))
        return sum(held.values(), self.wallets.elsewhere.get(asset, ZERO))

    def free(self, asset: str) -> Decimal:
        return self.wallets.owned(asset) - self.locked(asset)

    def truth(self) -> dict[str, Any]:
        """Everything as JSON values: what a ledger must agree with in the end."""
        return {
            "orders": [order.truth() for order in self.orders],
            "trades": [trade.truth() for trade in self.trades],
            "balances": {asset: str(amount) for asset, amount in sorted(self.balances.items())},
            "wallets": self.wallets.truth(self.locked),
            "bookings": [booking.truth() for booking in self.wallets.bookings],
        }

    # --- what look-ups show -----------------------------------------------------------------------------

    def shown_orders(self, now: datetime) -> list[Order]:
        """Oldest first."""
        return [order for order in self.orders if order.visible_from <= now]

    def shown_trades(self, now: datetime) -> list[Trade]:
        """Oldest first."""
        return sorted((trade for trade in self.trades if trade.visible_from <= now), key=lambda trade: trade.at)

    def spoil_trade(self, trade: Trade, raw: dict[str, Any], without: Iterable[str] = ()) -> None:
        """Its row says this instead, and lacks these fields."""
        self._spoilt[trade] = raw, frozenset(without)

    def row_of(self, trade: Trade, shown: dict[str, Any]) -> dict[str, Any]:
        """The venue's row of a trade as a test wants it seen."""
        raw, without = self._spoilt.get(trade, ({}, frozenset()))
        return {name: value for name, value in (shown | raw).items() if name not in without}

    # --- what changes it ---------------------------------------------------------------------------------

    def deposit(self, asset: str, amount: Decimal) -> None:
        """Money that comes, or goes if negative, without any record of the venue's."""
        self.wallets.move(asset, amount, "given")

    def place(self, request: NewOrder, at: datetime, plan: Plan, **links: Any) -> Order:
        """Take the order, or raise Refused. A client order id is refused only while an open order bears it."""
        self._check(request, at, pending=links.get("pending", False))
        order = self._enter(request, at, plan, **links)
        self._match_arrival(order, at)
        return order

    def place_list(self, working: NewOrder | None, others: Iterable[NewOrder], at: datetime) -> list[Order]:
        """An order list: of one or two `others` that cancel each other, behind a `working` order if there is one.

        Binance REST, order lists: OCO (others only), OTO and OTOCO (the others pend until `working` is fully filled).
        """
        number = next(self._lists)
        legs = [*([(working, False)] if working else []), *((leg, working is not None) for leg in others)]
        if working is None:
            for leg, _pending in legs:
                self._check(leg, at)
        placed = [self._enter(leg, at, Plan(), linked=number, pending=pending) for leg, pending in legs]
        for order in placed:
            if order.status is Status.OPEN:
                self._match_arrival(order, at)
        return placed

    def cancel(self, order: Order, at: datetime) -> None:
        """Binance REST, cancel order list: "canceling an individual order from an order list will cancel the entire
        order list"."""
        assert order.status is Status.OPEN, "an ended order is unknown to a cancel"
        for leg in self._list_of(order):
            self._end(leg, Status.CANCELLED, at)

    def edit(
        self, order: Order, at: datetime, quantity: Decimal | None = None, limit_price: Decimal | None = None
    ) -> None:
        """Changed at the venue under the same id (Binance: order amend keep priority; Kraken: AmendOrder)."""
        old = order.request
        order.request = replace(old, quantity=quantity or old.quantity, limit_price=limit_price or old.limit_price)
        order.lock_price = self._price_bound(order.request, at)
        order.updated_at = at
        if order.remaining <= 0:
            self._end(order, Status.FILLED, at)

    def forget(self, order: Order) -> None:
        """No look-up shows it any more."""
        order.visible_from = NEVER

    def match(self, until: datetime) -> None:
        """Fill every resting order that the price reached since the last call, at the time it did."""
        since, self._matched_until = self._matched_until or until, until
        if until <= since or not (self._resting() or self._waiting()):
            return
        for moment in self.prices.steps(since, until):
            self.reprice(moment)

    def reprice(self, at: datetime) -> None:
        """Fill the resting orders that the price of this moment reaches."""
        for order in self._waiting():
            if order.status is Status.OPEN and self._reached(order, at):
                order.waits = False
                self._expire_siblings(order, at)
                self._match_arrival(order, at)
        for order in self._resting():
            if order.status is Status.OPEN and self._crosses(order.request, at):
                self._fill(order, order.remaining, order.request.limit_price, at, maker=True)

    def _enter(self, request: NewOrder, at: datetime, plan: Plan, **links: Any) -> Order:
        order = Order(
            venue_order_id=self._ids("order", request.symbol),
            request=request,
            plan=plan,
            lock_price=self._price_bound(request, at),
            created_at=at,
            updated_at=at,
            visible_from=at + timedelta(seconds=plan.order_lag),
            waits=request.stop_price is not None or request.trailing is not None,
            best=self._price(request, at),
            **links,
        )
        self.orders.append(order)
        return order

    # --- matching -------------------------------------------------------------------------------------------

    def _match_arrival(self, order: Order, at: datetime) -> None:
        request, plan = order.request, order.plan
        crosses = self._crosses(request, at)
        if order.pending or order.waits:
            return
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
        """One trade and what it moves: base, quote and fee, each by its own wallet's rounding."""
        request = order.request
        market = self._market(request)
        charge = self.fees.charge(
            market.base,
            market.quote,
            quantity,
            quantity * price,
            in_base=request.fee_in == "base",
            maker=maker,
            held=self.free,
            price=lambda asset: self.prices.worth(asset, market.quote, at),
        )
        trade = Trade(
            trade_id=self._ids("trade", request.symbol),
            venue_order_id=order.venue_order_id,
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            price=price,
            quantity=quantity,
            fee=self.wallets.kept(charge.asset, charge.amount),
            fee_asset=charge.asset,
            fee_value=charge.value,
            maker=maker,
            at=at,
            visible_from=at + timedelta(seconds=order.plan.trade_lag),
        )
        order.filled += quantity
        order.cost += trade.notional
        order.fee_value += charge.value
        order.trades.append(trade)
        self.trades.append(trade)
        sign = 1 if request.side == "buy" else -1
        moved = {market.base: sign * quantity, market.quote: -sign * trade.notional}
        for asset, amount in {charge.asset: ZERO, **moved}.items():
            fee = charge.amount if asset == charge.asset else ZERO
            self.wallets.post(asset, amount, "trade", trade.trade_id, at, fee=fee, lag=self.entry_lag)
        self._expire_siblings(order, at)
        self._close(order, quantity, at)

    def _close(self, order: Order, quantity: Decimal, at: datetime) -> None:
        """Kraken AddOrder: a conditional close is one order for each fill of the primary; nothing is held before."""
        if order.closes is None:
            return
        try:
            self.place(replace(order.closes, quantity=quantity), at, Plan(), follows=order.venue_order_id)
        except Refused:
            """open: what becomes of a close that is refused; here there is none."""

    def _end(self, order: Order, status: Status, at: datetime) -> None:
        order.status = status
        order.updated_at = at
        for leg in self._list_of(order):
            if leg.pending and status is Status.FILLED:
                leg.pending, leg.updated_at = False, at
                self._match_arrival(leg, at)
            elif leg.pending and not order.pending:
                leg.pending = False
                self._end(leg, Status.EXPIRED, at)

    def _expire_siblings(self, order: Order, at: datetime) -> None:
        """Binance REST, OCO: "activation of one order immediately cancels the other"."""
        for leg in self._list_of(order):
            if leg is not order and not leg.pending:
                self._end(leg, Status.EXPIRED, at)

    def _list_of(self, order: Order) -> list[Order]:
        """The open orders of its list, or itself alone."""
        return [order] if order.linked is None else [leg for leg in self.open() if leg.linked == order.linked]

    # --- rules ------------------------------------------------------------------------------------------------

    def _check(self, request: NewOrder, at: datetime, pending: bool = False) -> None:
        market = self._market(request)
        limit, quantity = request.limit_price, request.quantity
        at_market = request.kind == "market"
        needed = ZERO if pending else self._needed(request, at)
        rules = (
            (Refusal.CLOSED, not self.prices.takes(request.symbol, at_market) or self._price(request, at) <= 0),
            (Refusal.LOT_SIZE, quantity % market.step != 0),
            (Refusal.MINIMUM, quantity < market.min_quantity),
            (Refusal.MAXIMUM, quantity > market.max_quantity),
            (Refusal.MARKET_MAXIMUM, at_market and quantity > (market.max_market_quantity or quantity)),
            (Refusal.POSITION, request.side == "buy" and self._position(market, quantity) > market.max_position),
            (Refusal.PRICE, limit is not None and (limit <= 0 or limit % market.tick != 0)),
            (Refusal.NOTIONAL, quantity * self._price_bound(request, at) < market.min_notional),
            (Refusal.DUPLICATE, self._in_use(request.client_order_id)),
            (Refusal.FUNDS, needed > self.free(self._lock_asset(request))),
        )
        for refusal, broken in rules:
            if broken:
                raise Refused(refusal)

    def _position(self, market: Market, quantity: Decimal) -> Decimal:
        """Binance filters, MAX_POSITION: free and locked balance of the base asset and all open buys; buys only."""
        buys = (order for order in self.open() if order.request.side == "buy")
        waiting = (order.remaining for order in buys if self._market(order.request).base == market.base)
        return sum(waiting, self.wallets.owned(market.base) + quantity)

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
        rate = self.fees.highest if request.fee_in == fee_on_top else ZERO
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
        """The limit, the stop, or what the market asks."""
        prices = (request.limit_price, request.stop_price, self._taker(request, at))
        return next(price for price in prices if price is not None)

    def _crosses(self, request: NewOrder, at: datetime) -> bool:
        if request.limit_price is None:
            return True
        price = self._taker(request, at)
        return price <= request.limit_price if request.side == "buy" else price >= request.limit_price

    def _execution_price(self, request: NewOrder, at: datetime) -> Decimal:
        """The market's price if it is better than the limit, else the limit."""
        return self._taker(request, at) if self._crosses(request, at) else self._price_bound(request, at)

    def _price(self, request: NewOrder, at: datetime) -> Decimal:
        return self.prices.at(request.symbol, at)

    def _reached(self, order: Order, at: datetime) -> bool:
        """Whether the last price is where the stop is; a trailing one follows the best price so far."""
        request, price = order.request, self._price(order.request, at)
        falls = (request.side == "sell") != request.form.startswith("take_profit")
        stop = request.stop_price
        if request.trailing is not None:
            order.best = max(order.best or price, price) if falls else min(order.best or price, price)
            stop = order.best - request.trailing if falls else order.best + request.trailing
        assert stop is not None, "an order that waits has a stop"
        return price <= stop if falls else price >= stop

    def _active(self) -> list[Order]:
        return [order for order in self.open() if not order.pending and self.prices.trades(order.request.symbol)]

    def _waiting(self) -> list[Order]:
        return [order for order in self._active() if order.waits]

    def _resting(self) -> list[Order]:
        return [order for order in self._active() if order.request.limit_price is not None and not order.waits]
