"""What a venue would refuse, or take otherwise than it was meant, found before anything is sent. Asks nobody."""

from decimal import Decimal
from typing import Any

from belay.domain.decisions import Side
from belay.domain.market import Market
from belay.domain.record import LARGEST
from belay.domain.venues import OrderRequest


def broken_rule(request: OrderRequest, market: Market, limits: dict[str, Any], *, market_buys: bool) -> str | None:
    """The first rule of the venue that a request breaks, such as `price_tick`.

    Args:
        limits: ccxt's, whose largest values `market` leaves out.
        market_buys: whether a market order can buy a quantity of the base currency.
    """
    quantity, price = request.quantity, request.limit_price
    notional = None if price is None else quantity * price
    largest = [_most(limits, "amount")] if price is not None else [_most(limits, "amount"), _most(limits, "market")]
    broken = {
        "market_buy": price is None and request.side is Side.BUY and not market_buys,
        "quantity_step": market.floor_quantity(quantity) != quantity,
        "price_tick": price is not None and market.round_price(price, request.side) != price,
        "min_quantity": quantity < market.min_quantity,
        "max_quantity": quantity > min(largest),
        "min_notional": notional is not None and notional < market.min_notional,
        "max_notional": notional is not None and notional > _most(limits, "cost"),
    }
    return next((rule for rule, is_broken in broken.items() if is_broken), None)


def _most(limits: dict[str, Any], of: str) -> Decimal:
    """The largest value that a venue takes; zero and nothing mean that it names none."""
    return Decimal((limits.get(of) or {}).get("max") or 0) or LARGEST
