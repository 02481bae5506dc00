"""Why the paper venue refuses a request as it arrives: one table, the first reason counts. Changes nothing."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from belay.adapters.paper.book import Book, slipped
from belay.adapters.paper.market import Quote
from belay.domain.decisions import Side
from belay.domain.record import base_asset, quote_asset
from belay.domain.venues import OrderRequest

MAX_OPEN_ORDERS = 200
CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


class Arrival(NamedTuple):
    """A request before it is judged. `quote`: None for a symbol that the venue does not have."""

    book: Book
    request: OrderRequest
    symbols: Sequence[str]
    quote: Quote | None
    at: datetime

    @property
    def market_quote(self) -> Quote:
        if self.quote is None:
            raise ValueError(f"no quote for {self.request.symbol}")
        return self.quote


def _off_step(value: Decimal, step: Decimal) -> bool:
    try:
        return value % step != 0
    except InvalidOperation:  # so many steps that they cannot be counted
        return True


def _passed(arrival: Arrival) -> bool:
    return arrival.request.fence_at is not None and arrival.at > arrival.request.fence_at


def _lot_size(arrival: Arrival) -> bool:
    quantity, settings = arrival.request.quantity, arrival.book.settings
    return quantity < settings.min_quantity or _off_step(quantity, settings.quantity_step)


def _price_filter(arrival: Arrival) -> bool:
    limit = arrival.request.limit_price
    return limit is not None and _off_step(limit, arrival.book.settings.price_tick)


def _min_notional(arrival: Arrival) -> bool:
    price = arrival.request.limit_price or arrival.market_quote.price
    return arrival.request.quantity * price < arrival.book.settings.min_notional


def _duplicate(arrival: Arrival) -> bool:
    taken = {order.client_order_id for order in arrival.book.orders.values()}
    return arrival.request.client_order_id in taken


def _insufficient_funds(arrival: Arrival) -> bool:
    book, request = arrival.book, arrival.request
    if request.side is Side.SELL:
        return request.quantity > book.spendable(base_asset(request.symbol))
    price = request.limit_price or slipped(request, arrival.market_quote.price, book.settings)
    return request.quantity * book.unit_cost(price) > book.spendable(quote_asset(request.symbol))


REFUSALS: tuple[tuple[str, Callable[[Arrival], bool]], ...] = (
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
