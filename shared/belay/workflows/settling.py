"""What became of each order that was sent: judge absence, confirm, release. Submits nothing."""

from collections.abc import Container
from datetime import datetime, timedelta
from functools import partial

from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import NEVER_SENT, TERMINAL, UNRESOLVED, Order, OrderState
from belay.domain.reconciliation import at_rest
from belay.domain.transitions import accept_fees, conclude_absent, note, presume_unknown, release
from belay.domain.venues import VenueStatus
from belay.workflows.findings import Failures, owing
from belay.workflows.resolve import close_unknown
from belay.workflows.session import Session
from belay.workflows.updates import close_incident, exit_not_placed, open_incident, update_as_judged, update_order
from belay.workflows.views import Views

ANSWER_BOUND = timedelta(seconds=60)
UNKNOWN_BOUND = timedelta(minutes=10)
MISSES_NEEDED = 2
NOT_PLACED = NEVER_SENT | {OrderState.REJECTED, OrderState.NOT_SENT}


def settle_orders(session: Session, views: Views, flawed: Container[str], failures: Failures) -> int:
    """Move every order as far as the evidence goes, but for the flawed, and only by a clock that can be believed.

    Returns how many changed state or were released.
    """
    if not views.clocks_agree:
        return 0
    open_ones = [order for key, order in views.ledger.orders.items() if not order.settled and key not in flawed]
    return sum(
        failures.kept(order.order_id, order.symbol, partial(_settle, order, session, views), otherwise=False)
        for order in open_ones
    )


def owed_fills(views: Views) -> frozenset[str]:
    """The ids of the incidents about fills that the venue still owes, were there one for each such order."""
    return frozenset(f"{IncidentKind.FILLS_MISSING}:{order.order_id}" for order in owing(views))


def _settle(order: Order, session: Session, views: Views) -> bool:
    missed = views.venue.lookups.get(order.order_id, order) is None
    if order.state in UNRESOLVED:
        return not _seen(order, views) and _judge_absence(order, missed, session, views)
    if order.state in (OrderState.REJECTED, OrderState.NOT_SENT):
        return (missed or _shown_rejected(order, views)) and _confirm(order, session, views)
    return order.state in TERMINAL and _release(order, session, views)


def _shown_rejected(order: Order, views: Views) -> bool:
    seen = views.venue.lookups.get(order.order_id)
    return seen is not None and seen.status is VenueStatus.REJECTED


def _seen(order: Order, views: Views) -> bool:
    shown = (*views.venue.open_orders, views.venue.lookups.get(order.order_id))
    return any(seen is not None and seen.client_order_id == order.order_id for seen in shown)


def _judge_absence(order: Order, missed: bool, session: Session, views: Views) -> bool:
    """A miss proves nothing before fence and grace; after them, two spaced ones do, if nothing else moved.

    Args:
        missed: a well-formed look-up did not find it; otherwise it could not be looked up.
    """
    services, now, profile = session.services, views.venue.time, session.venue.profile
    if order.attempt is None:
        raise ValueError(f"order {order.order_id} is {order.state} without a claim")
    claimed_at = order.attempt.request.claimed_at
    if order.state is OrderState.SUBMITTED and now >= claimed_at + ANSWER_BOUND:
        unknown = update_as_judged(services, order, now, lambda o, _, stamp: presume_unknown(o, "no answer", stamp))
        return unknown is not None
    provable = profile.absence_provable_from(order.attempt.fence_at)
    retained = now <= claimed_at + timedelta(seconds=profile.closed_retention_seconds)
    counts = missed and retained and provable is not None and now >= provable
    if now >= (provable or claimed_at) + UNKNOWN_BOUND and (not counts or len(order.misses) >= MISSES_NEEDED):
        open_incident(services, _unknown_outcome(order, now))
    spaced = not order.misses or now >= order.misses[-1] + timedelta(seconds=profile.miss_spacing_seconds)
    return counts and spaced and _count_miss(order, session, views)


def _count_miss(order: Order, session: Session, views: Views) -> bool:
    """One more miss that counts; True when it was the last one needed."""
    services, now = session.services, views.venue.time
    misses = (*order.misses, now)[-MISSES_NEEDED:]
    evidence = {"not_found_at": [f"{at:%FT%TZ}" for at in misses]}
    if len(misses) < MISSES_NEEDED or _something_moved(order, views):
        update_as_judged(services, order, now, lambda o, _, stamp: note(o, "not found", stamp, evidence, misses=misses))
        return False
    absent = update_as_judged(
        services, order, views.read_at, lambda o, account, stamp: conclude_absent(o, account, evidence, stamp)
    )
    if absent is None:
        return False
    close_unknown(services, order, "absence proven")
    return True


def _something_moved(order: Order, views: Views) -> bool:
    """Whether a trade without an order, or a balance without an explanation, could be this order's, or is unread."""
    ledger, venue = views.ledger, views.venue
    if order.symbol not in views.fully_read or order.attempt is None:
        return True
    foreign = (
        trade
        for trade in venue.trades
        if trade.symbol == order.symbol
        and trade.at >= order.attempt.request.claimed_at
        and trade.key not in ledger.recorded_trades
        and ledger.order_for(trade) is None
    )
    if next(foreign, None) is not None:
        return True
    return not at_rest(ledger, venue, order.symbol.split("/"))


def _confirm(order: Order, session: Session, views: Views) -> bool:
    """One delayed look-up after a rejection or a proof of absence; an exit that may go out again keeps its place."""
    now = views.venue.time
    if order.terminal_at is None or now < order.terminal_at + views.lag:
        return False
    resend = session.venue.profile.resend == "after_absence"
    again = order.reducing and order.state is OrderState.NOT_SENT and resend
    if again and now < order.expires_at:
        if not order.misses:
            cause = "absence confirmed, may be sent again"
            update_as_judged(session.services, order, now, lambda o, _, stamp: note(o, cause, stamp, {}, misses=(now,)))
        return False
    return _release(order, session, views, f"{order.state} confirmed")


def _release(order: Order, session: Session, views: Views, cause: str = "settled") -> bool:
    """Settle a finished order once its fills explain what the venue says was filled, after the history lag."""
    now, lag = views.venue.time, views.lag
    if order.terminal_at is None or now < order.terminal_at + lag:
        return False
    overdue = now >= order.terminal_at + lag + UNKNOWN_BOUND
    if not order.explained:
        if overdue and not _just_read(order, views):
            open_incident(session.services, fills_owed(order, now))
        return False
    if overdue:
        incident = fills_owed(order, now).incident_id
        close_incident(session.services, order.account, incident, "the fills have arrived")
    if order.estimated and not _fees_known(order, session, overdue, now):
        return False
    if order.state in NOT_PLACED:
        # Before it is settled: were it the other way round, a crash in between would leave nobody to tell.
        exit_not_placed(session.services, order, f"the order is {order.state}", now)
    released = update_as_judged(session.services, order, now, lambda o, a, stamp: release(o, a, stamp, cause))
    return released is not None


def _fees_known(order: Order, session: Session, overdue: bool, now: datetime) -> bool:
    """Whether nobody has to wait any longer for what the venue's ledger says of an order's fees.

    Where it says nothing for long, a person is asked; once that is resolved, they are taken as estimated.
    """
    services, incident = session.services, _fees_owed(order, now)
    known = services.ledger.incident(order.account, incident.incident_id) if overdue else None
    if overdue and known is None:
        open_incident(services, incident)
    if known is None or known.status == "open":
        return False
    detail = {"incident": incident.incident_id, "resolution": known.resolution}
    update_order(services, order.order_id, now, lambda o, _, stamp: accept_fees(o, stamp, detail))
    return False  # settled by the next look, which finds none estimated


def _fees_owed(order: Order, now: datetime) -> Incident:
    return Incident(
        account=order.account,
        kind=IncidentKind.FEE_UNCONFIRMED,
        subject=order.order_id,
        symbol=order.symbol,
        expected=f"the fees of {len(order.estimated)} trades in the venue's ledger",
        actual=f"estimated: {', '.join(f'{fee} {asset}' for asset, fee in sorted(order.fees.items()))}",
        action="Check that the reconciler's key may query ledger entries; what comes is counted by itself. Resolve "
        "this, and they are taken as estimated; a balance that differs then is told by belay rebase.",
        opened_at=now,
    )


def _just_read(order: Order, views: Views) -> bool:
    """Whether this very pass has read a fill of it, which is counted by now: the venue was silent, not the history."""
    owners = (views.ledger.owner(trade) for trade in views.ledger.uncounted(views.venue.trades))
    return any(owner is not None and owner.order_id == order.order_id for owner in owners)


def fills_owed(order: Order, now: datetime) -> Incident:
    return Incident(
        account=order.account,
        kind=IncidentKind.FILLS_MISSING,
        subject=order.order_id,
        symbol=order.symbol,
        expected=f"trades of {order.venue_filled} {order.symbol}, as the venue says of the order",
        actual=f"trades of {order.filled_quantity}",
        action="Look for the order's trades at the venue; the position is wrong until they are counted. If the history "
        f'does not show them, the venue\'s rows are: belay resolve {order.order_id} --filled rows.json --reason "…".',
        opened_at=now,
    )


def _unknown_outcome(order: Order, now: datetime) -> Incident:
    return Incident(
        account=order.account,
        kind=IncidentKind.UNKNOWN_OUTCOME,
        subject=order.order_id,
        symbol=order.symbol,
        expected="the venue shows the order, or its absence can be proven",
        actual=f"{order.state} since {order.attempt.request.claimed_at:%FT%TZ}" if order.attempt else order.state,
        action="Search the venue's order history for this client order id. If the order is there, it is attached once "
        f"the look-up shows it. belay resolve {order.order_id} asks once more and tells what may be said.",
        opened_at=now,
    )
