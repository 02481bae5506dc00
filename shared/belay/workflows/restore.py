"""Ask the venue before the first claim of an order that an earlier life of this table may have sent."""

from collections.abc import Container

from belay.domain.incidents import WAS_NEVER_SENT, Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.record import Utc
from belay.domain.restore import Precaution, is_doubtful, newest_of_ours, precaution
from belay.domain.venues import VenueOrder
from belay.ports import Cursor, Ledger
from belay.workflows.session import Session
from belay.workflows.updates import lapse_order, open_incident


def first_proven(ledger: Ledger, account: str, at: Utc) -> None:
    """Remember when this very table was first proven, and never later than that."""
    if ledger.cursor(account, first_proof(ledger)) is None:
        ledger.store_cursor(account, Cursor(symbol=first_proof(ledger), read_until=at))


def forgotten(
    order: Order, session: Session, known: Container[str], shown: tuple[VenueOrder, ...], at: Utc
) -> Precaution:
    """Look an order up that this table may have forgotten to have sent; an entry that was lapses, an exit pages.

    Raises:
        VenueUnavailable: the venue could not be asked.
    """
    ledger = session.services.ledger
    mark = ledger.cursor(order.account, first_proof(ledger))
    if not is_doubtful(order, mark.read_until if mark else None):
        return Precaution.CLAIM
    seen = session.venue.lookup(order.symbol, order.order_id)
    found = precaution(order, seen, newest_of_ours(shown, known))
    if found is Precaution.LAPSE:
        lapse_order(session.services, order.order_id, at, cancelled="it may have been sent before a restore")
    if found is Precaution.WAIT:
        open_incident(session.services, _may_be_sent(order, seen, at))
    return found


def first_proof(ledger: Ledger) -> str:
    """What the cursor is called that stands where this very table was first proven."""
    return f"first proof of {ledger.table_id}"


def _may_be_sent(order: Order, seen: VenueOrder | None, at: Utc) -> Incident:
    sent = f"{seen.status} as {seen.venue_order_id}, {seen.filled_quantity} filled" if seen else "not shown"
    return Incident(
        account=order.account,
        kind=IncidentKind.ORDER_MISMATCH,
        subject=order.order_id,
        symbol=order.symbol,
        expected=f"an exit that {WAS_NEVER_SENT}",
        actual=f"{sent}; the venue has orders of ours that this table does not know: it was restored",
        action="Look at the position and at the venue's orders. The exit lapses; sell by hand what is left, then "
        "resolve.",
        opened_at=at,
    )
