"""Whether a balance that is to be taken as it is stands still, and was read whole. Writes nothing."""

from collections.abc import Iterable
from decimal import Decimal

from belay.domain.in_flight import touches
from belay.domain.record import Utc
from belay.domain.venues import UnreadRow, VenueOrder, readable
from belay.workflows.gaps import Gap
from belay.workflows.session import Session
from belay.workflows.views import Views


def filled(orders: Iterable[VenueOrder]) -> dict[tuple[str, str], Decimal]:
    """How much of each venue order is filled: where that moves, balances do."""
    return {(order.symbol, order.venue_order_id): order.filled_quantity for order in orders}


def steady(session: Session, views: Views) -> Utc | None:
    """The venue time between two equal readings of balances and of what is filled: what the second shows was so then.
    None where something moved between them."""
    at = session.market_data.time()
    again = filled(readable(session.venue.open_orders())), session.venue.balances().total
    return at if again == (filled(views.venue.open_orders), views.venue.balances.total) else None


def unread_about(views: Views, asset: str) -> Gap | UnreadRow | None:
    """What could not be read and may have moved this asset, or hides its balance: then a difference may come of that
    alone. What something is worth moves nothing. What trades of a symbol that is not traded have moved does not become
    known by waiting: should it one day, it is in the balance already."""
    account, document = views.ledger.account, views.ledger.document
    told = (gap for gap in views.gaps if not gap.of_price and gap.kind != "unavailable")
    gaps = (gap for gap in told if touches(gap.symbol, asset, account, document))
    rows = (row for row in views.venue.balances.unread if not row.assets or asset in row.assets)
    return next(gaps, None) or next(rows, None)
