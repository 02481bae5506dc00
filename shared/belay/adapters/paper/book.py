"""The paper venue's book while one call works on it: what is locked, filled and closed. No I/O, no clock."""

from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from belay.adapters.paper.market import Bar, Quote, paper_market
from belay.adapters.paper.state import VENUE, PaperOrder, Step, VenueState, numbered
from belay.domain.decisions import Side
from belay.domain.documents import PaperSettings
from belay.domain.flows import VenueFlow
from belay.domain.record import ZERO, base_asset, quote_asset
from belay.domain.venues import OrderRequest, VenueStatus, VenueTrade

FEE_UNIT = Decimal("0.00000001")


class Book:
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
        """The most of the quote currency that buying one unit at `price` can cost."""
        fee = max(self.settings.taker_fee, self.settings.maker_fee) if self.settings.fee_asset == "quote" else ZERO
        return price * (1 + fee)

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
        trade = VenueTrade(
            venue=VENUE,
            symbol=order.symbol,
            venue_order_id=order.venue_order_id,
            side=order.side,
            trade_id=numbered(self._next_trade),
            quantity=quantity,
            price=price,
            fees=self._fees(order, quantity, price, fee_rate),
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

    def _fees(self, order: PaperOrder, quantity: Decimal, price: Decimal, rate: Decimal) -> dict[str, Decimal]:
        """The fee of one trade, in the asset that it is taken in, floored to what the venue keeps."""
        base, quote = order.symbol.split("/")
        fee_asset, fee_price = self.settings.fee_asset, self.settings.fee_token_price
        value = quantity * price
        if fee_price is not None:
            fee = (value * rate / fee_price).quantize(FEE_UNIT, rounding=ROUND_FLOOR)
            moved = {Side.BUY: {base: quantity, quote: -value}, Side.SELL: {base: -quantity, quote: value}}[order.side]
            if self.spendable(fee_asset, excluding=order.venue_order_id) + moved.get(fee_asset, ZERO) >= fee:
                return {fee_asset: fee}
        if fee_asset != "quote" and order.side is Side.BUY:
            return {base: (quantity * rate).quantize(FEE_UNIT, rounding=ROUND_FLOOR)}
        return {quote: (value * rate).quantize(FEE_UNIT, rounding=ROUND_FLOOR)}

    def move(self, flow: VenueFlow) -> None:
        """Something comes or goes without a trade."""
        for asset, amount in flow.amounts.items():
            if amount < -self.spendable(asset):
                raise ArithmeticError(f"{flow.flow_id} overdraws {asset}")
            self._balances[asset] = self._balances.get(asset, ZERO) + amount

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


# --- matching -------------------------------------------------------------------------------------


def _allowance(book: Book, order: PaperOrder, volume: Decimal, most: Decimal | None = None) -> Decimal:
    """The most of an order that a candle of this volume may fill."""
    market, share = paper_market(order.symbol, book.settings), volume * book.settings.participation
    return min(order.remaining, market.floor_quantity(share if most is None else min(share, most)))


def slipped(order: PaperOrder | OrderRequest, price: Decimal, settings: PaperSettings) -> Decimal:
    """The price after slippage, on a tick, both against the order."""
    market = paper_market(order.symbol, settings)
    if order.side is Side.BUY:
        return market.round_price(price * (1 + settings.slippage), Side.SELL)
    return max(market.round_price(price * (1 - settings.slippage), Side.BUY), settings.price_tick)


def take(book: Book, order: PaperOrder, quote: Quote, at: datetime) -> PaperOrder:
    """A market order takes what the market gives; a buy whose rest can no longer be paid is cancelled."""
    price = slipped(order, quote.price, book.settings)
    payable = _payable(book, order, price)
    short = payable < order.remaining
    quantity = min(_allowance(book, order, quote.volume, quote.most), payable)
    order = book.fill(order, quantity, price, book.settings.taker_fee, at)
    if order.status is not VenueStatus.OPEN:
        return order
    if short:
        return book.close(order, VenueStatus.CANCELLED, at)
    return book.keep(order, lock_price=price)


def _payable(book: Book, order: PaperOrder, price: Decimal) -> Decimal:
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


def cross(book: Book, order: PaperOrder, quote: Quote, at: datetime) -> PaperOrder:
    """An arriving limit order takes if the market is at its price or better, and never does worse than it."""
    limit = order.lock_price
    if order.side is Side.BUY:
        crosses, better = quote.price <= limit, min
    else:
        crosses, better = quote.price >= limit, max
    if not crosses:
        return order
    price = better(limit, slipped(order, quote.price, book.settings))
    quantity = _allowance(book, order, quote.volume, quote.most)
    return book.fill(order, quantity, price, book.settings.taker_fee, at)


def make(book: Book, order: PaperOrder, bar: Bar, at: datetime) -> None:
    """A resting limit order fills at its limit if the candle traded through it; touching it is not enough."""
    limit, candle = order.limit_price, bar.closed
    if limit is None or candle is None:
        return
    if (candle.low < limit) if order.side is Side.BUY else (candle.high > limit):
        book.fill(order, _allowance(book, order, candle.volume), limit, book.settings.maker_fee, at)
