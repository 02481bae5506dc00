"""Find out, read-only, what became of an order whose outcome is open. Attaches what it finds; concludes no absence."""

from datetime import datetime

from belay.domain.errors import VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, same_order
from belay.domain.transitions import observe
from belay.domain.venues import VenueOrder
from belay.ports import MarketData, Services, Venue
from belay.workflows.updates import close_incident, update_order


def resolve(order: Order, services: Services, venue: Venue, market_data: MarketData) -> Order:
    """Look an order up by its client order id, once. A miss or a mismatch is left for the reconciler to judge.

    Venue time is read after the look-up: an end dated before it was seen would seem to have had time for its fills.
    """
    try:
        seen = venue.lookup(order.symbol, order.order_id)
        at = market_data.time()
    except VenueUnavailable:
        return order
    if seen is None or not same_order(order, seen):
        return order
    return attach(services, order.order_id, seen, at) or order


def attach(services: Services, order_id: str, seen: VenueOrder, at: datetime) -> Order | None:
    """Store what the venue shows of an order, and close the incident that asked about it."""
    stored = update_order(
        services, order_id, at, lambda order, account, stamp: observe(order, account, seen, "seen at venue", stamp)
    )
    if stored is not None:
        close_unknown(services, stored, f"the venue shows {seen.venue_order_id}")
    return stored


def close_unknown(services: Services, order: Order, resolution: str) -> None:
    close_incident(services, order.account, f"{IncidentKind.UNKNOWN_OUTCOME}:{order.order_id}", resolution)
