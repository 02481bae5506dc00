"""Trades that no order explains, and that may be those of an order of ours whose outcome is open. Writes nothing."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from belay.domain.orders import UNRESOLVED, Order, OrderState, same_order
from belay.domain.venues import VenueOrder, VenueTrade
from belay.workflows.session import Session

# How long such a trade is taken for a sighting, and not for a stranger's.
SIGHTING_BOUND = timedelta(minutes=5)
# How many are looked up in one run.
MOST_LOOKED_UP = 5
MAY_BE_SIGHTED = UNRESOLVED | {OrderState.REJECTED, OrderState.NOT_SENT}


def sight(
    session: Session, watched: Iterable[Order], strays: Iterable[VenueTrade], now: datetime
) -> tuple[dict[str, VenueOrder], frozenset[str]]:
    """Trades without an order that may be one of ours whose outcome is open: it is looked up by the venue's id.

    Returns:
        What was found of orders of ours, and the keys of the trades of which the venue has not said yet whose they are.
    """
    candidates = [order for order in watched if order.state in MAY_BE_SIGHTED]
    shown: dict[str, VenueOrder | None] = {}
    seen: dict[str, VenueOrder] = {}
    sightings: set[str] = set()
    for trade in strays:
        for order in (candidate for candidate in candidates if _may_be_of(trade, candidate)):
            if trade.venue_order_id not in shown and len(shown) < MOST_LOOKED_UP:
                shown[trade.venue_order_id] = _shown(session, order, trade)
            found = shown.get(trade.venue_order_id)
            if found is not None and found.client_order_id == order.order_id and same_order(order, found):
                seen[order.order_id] = found
            elif found is None or found.client_order_id is None:
                open_still = order.state in UNRESOLVED and now < trade.at + SIGHTING_BOUND
                sightings |= {trade.key} if open_still else set()
    return seen, frozenset(sightings)


def _shown(session: Session, order: Order, trade: VenueTrade) -> VenueOrder | None:
    with suppress(Exception):  # no evidence, this time
        return session.venue.lookup(order.symbol, order.order_id, venue_order_id=trade.venue_order_id)
    return None


def _may_be_of(trade: VenueTrade, order: Order) -> bool:
    if order.attempt is None or trade.client_order_id not in (None, order.order_id):
        return False
    ours = (order.symbol, order.side) == (trade.symbol, trade.side)
    return ours and trade.quantity <= order.remaining and trade.at >= order.attempt.request.claimed_at
