"""What somebody else does in the account: orders of every kind, edits, odd rows. In the venue's app, not by the API.

Each takes the time; orders are named by their id and, where ids are counted by symbol, the symbol.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import count
from typing import Any

from tests.venue_server.books import Books
from tests.venue_server.market import DELISTED, Market
from tests.venue_server.orders import NewOrder, Order, Plan, Status, Trade

# The commission is taken out of what is received (Binance commission FAQ); Kraken's default is the quote currency when
# buying and the base currency when selling (Add Order, oflags), which is the other way round.
FEE_IN = {"binance": {"buy": "base", "sell": "quote"}, "kraken": {"buy": "quote", "sell": "base"}}


class Hand:
    """The owner, in the venue's own app."""

    def __init__(self, venue: str, books: Books) -> None:
        self._venue = venue
        self._books = books
        self._numbers = count(1)

    # --- orders -------------------------------------------------------------------------------------------

    def order(self, symbol: str, side: str, quantity: Decimal | None, at: datetime, **kind: Any) -> Order:
        """An order of any kind: see `_wanted` for what may be said of it; `fraction` fills of it at once."""
        plan = Plan(fraction=kind.pop("fraction", None))
        closes = kind.pop("closes", None)
        wanted = self._wanted(symbol, side, quantity, at, **kind)
        # Kraken Add Order, close[ordertype]: the other side of the same pair, of the size of each fill.
        other = "sell" if side == "buy" else "buy"
        close = self._wanted(symbol, other, wanted.quantity, at, **closes) if closes else None
        return self._books.place(wanted, at, plan, closes=close)

    def oco(
        self,
        symbol: str,
        side: str,
        quantity: Decimal,
        at: datetime,
        *,
        limit: Decimal,
        stop: Decimal,
        stop_limit: Decimal | None = None,
        working: dict[str, Any] | None = None,
    ) -> list[Order]:
        """A limit and a stop; one cancels the other. With `working` (side, quantity, limit) before them: OTOCO."""
        legs = (
            self._wanted(symbol, side, quantity, at, limit=limit, form="limit_maker"),
            self._wanted(symbol, side, quantity, at, limit=stop_limit, stop=stop),
        )
        first = self._wanted(symbol, at=at, **working) if working else None
        return self._books.place_list(first, legs, at)

    def oto(self, symbol: str, at: datetime, working: dict[str, Any], then: dict[str, Any]) -> list[Order]:
        """The second is placed when the first is fully filled (each with side, quantity, limit and so on)."""
        return self._books.place_list(self._wanted(symbol, at=at, **working), [self._wanted(symbol, at=at, **then)], at)

    def _wanted(
        self,
        symbol: str,
        side: str,
        quantity: Decimal | None,
        at: datetime,
        *,
        limit: Decimal | None = None,
        stop: Decimal | None = None,
        profit: Decimal | None = None,
        trailing: Decimal | None = None,
        shown: Decimal | None = None,
        spend: Decimal | None = None,
        form: str = "",
        client_order_id: str | None = None,
        fee_in: str | None = None,
    ) -> NewOrder:
        """`stop`, `profit`: triggers of a stop-loss, a take-profit; `shown`: of an iceberg; `spend`: sized in quote."""
        if spend is not None:
            market = self._books.prices.markets[symbol]
            steps = (spend / self._books.prices.ask(symbol, at) / market.step).to_integral_value(ROUND_DOWN)
            quantity = steps * market.step
        if quantity is None:
            raise ValueError("an order needs a quantity, or what to spend")
        triggered = {"stop_loss": stop, "take_profit": profit}
        named = next((name for name, price in triggered.items() if price is not None), "")
        named = named + "_limit" if named and limit is not None else named
        named = "trailing_stop" if trailing is not None else "iceberg" if shown is not None else named
        own_id = client_order_id or (f"web_{next(self._numbers):032x}" if self._venue == "binance" else None)
        return NewOrder(
            client_order_id=own_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            limit_price=limit,
            time_in_force="GTC",
            immediate=limit is None,
            fee_in=fee_in or FEE_IN[self._venue][side],
            form=form or named,
            stop_price=stop if stop is not None else profit,
            trailing=trailing,
            shown_quantity=shown,
            quote_amount=spend,
        )

    def cancel(self, order_id: str, at: datetime, symbol: str | None = None) -> Order:
        order = self.find(order_id, symbol)
        self._books.cancel(order, at)
        return order

    def forget(self, order_id: str, at: datetime, symbol: str | None = None) -> Order:
        """Cancelled, and no look-up knows it any more."""
        order = self.find(order_id, symbol)
        if order.status is Status.OPEN:
            self._books.cancel(order, at)
        self._books.forget(order)
        return order

    def edit(
        self,
        order_id: str,
        at: datetime,
        *,
        quantity: Decimal | None = None,
        limit: Decimal | None = None,
        symbol: str | None = None,
        replaced: bool = False,
    ) -> Order:
        """Under the same id, or `replaced` by a new order (Binance: cancelReplace; Kraken: EditOrder)."""
        order = self.find(order_id, symbol)
        if not replaced:
            self._books.edit(order, at, quantity, limit)
            return order
        self._books.cancel(order, at)
        old = order.request
        new = replace(old, quantity=quantity or order.remaining, limit_price=limit or old.limit_price)
        return self._books.place(new, at, Plan(), follows=order.venue_order_id)

    # --- rows as no rule explains them -----------------------------------------------------------------------

    def spoil_order(
        self, order_id: str, raw: dict[str, Any], symbol: str | None = None, without: Iterable[str] = ()
    ) -> Order:
        """Its row says what `raw` does and lacks the fields `without`: an odd status, a null, a strange name."""
        order = self.find(order_id, symbol)
        order.raw, order.without = raw, frozenset(without)
        return order

    def spoil_trade(
        self, trade_id: str, raw: dict[str, Any], symbol: str | None = None, without: Iterable[str] = ()
    ) -> Trade:
        trades = (trade for trade in self._books.trades if symbol in (None, trade.symbol))
        trade = next(trade for trade in trades if trade.trade_id == trade_id)
        self._books.spoil_trade(trade, raw, without)
        return trade

    def find(self, order_id: str, symbol: str | None = None) -> Order:
        orders = (order for order in self._books.orders if symbol in (None, order.request.symbol))
        return next(order for order in orders if order.venue_order_id == order_id)

    # --- markets ---------------------------------------------------------------------------------------------------

    def list_market(self, symbol: str, price: Decimal, **rules: Any) -> Market:
        """A market more, or a known one with other rules (`tick`, `step`, `max_quantity` and so on)."""
        base, quote = symbol.split("/")
        defaults = {"tick": Decimal("0.01"), "step": Decimal("0.00001"), "min_quantity": Decimal("0.00001")}
        market = Market(symbol, base, quote, price, **{**defaults, "min_notional": Decimal(0), **rules})
        self._books.prices.add_market(market)
        return market

    def change_market(self, symbol: str, **rules: Any) -> Market:
        market = replace(self._books.prices.markets[symbol], **rules)
        self._books.prices.add_market(market)
        return market

    def set_status(self, symbol: str, status: str) -> None:
        """In the venue's words: Binance TRADING, HALT, BREAK (enums, symbol status); Kraken online, cancel_only,
        post_only, limit_only, reduce_only (Get Tradable Asset Pairs). Empty for an orderly market."""
        self._books.prices.statuses[symbol] = status

    def announce_delisting(self, symbol: str, at: datetime) -> None:
        """The venue says when it will delist; it happens by `delist`."""
        self._books.prices.announced[symbol] = at

    def delist(self, symbol: str, at: datetime) -> None:
        """The list of markets does not name it any more, and its open orders are gone; what is held of it stays."""
        for order in self._books.open():
            if order.request.symbol == symbol and order.status is Status.OPEN:
                self._books.cancel(order, at)
        self.set_status(symbol, DELISTED)

    def last_trade(self, symbol: str, at: datetime) -> None:
        """Nobody trades it since then: its price stays that of that time."""
        self._books.prices.last_trades[symbol] = at

    def lock_elsewhere(self, asset: str, amount: Decimal) -> None:
        self._books.wallets.lock_elsewhere(asset, amount)
