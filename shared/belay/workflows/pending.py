"""What still has to happen: cancels to repeat, intents to publish again or to lapse, slots that nobody evaluated."""

from collections.abc import Container
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from belay.domain.errors import VenueUnavailable
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import NEVER_SENT, Order, claimable
from belay.domain.slots import Slot
from belay.domain.transitions import note, release
from belay.ports import Services
from belay.workflows.session import Session
from belay.workflows.updates import lapse_order, open_incident, tell_refused, update_order

PUBLISH_AGAIN_AFTER = timedelta(seconds=30)
TICK_GRACE = timedelta(seconds=120)


def repeat_cancels(session: Session, now: datetime, flawed: Container[str] = ()) -> int:
    """Ask again for every requested cancel whose order may still be open. Returns how many were asked.

    Args:
        flawed: ids of orders whose records do not hold together: a cancel of them is asked for, nothing is recorded.
    """
    services, asked = session.services, 0
    for request in services.ledger.cancel_requests(session.document.account):
        order = services.ledger.order(request.order_id)
        if request.order_id in flawed:
            if order is not None and order.attempt is not None:
                with suppress(VenueUnavailable):
                    session.venue.cancel(order.symbol, order.order_id)
        elif order is None or order.settled:
            services.ledger.clear_cancel(request.account, request.order_id)
        elif order.state in NEVER_SENT:
            lapse_order(services, request.order_id, now, request.reason)
        elif claimable(order, session.venue.profile):
            _release(session, order, now, f"cancelled: {request.reason}")
        else:
            try:
                session.venue.cancel(order.symbol, order.order_id)
            except VenueUnavailable:
                continue
            asked += 1
            _note(session, order, now, "cancel requested", {"reason": request.reason})
    return asked


def publish_again(session: Session, now: datetime, flawed: Container[str] = ()) -> int:
    """Send the messages of intents that still wait, in case the first was lost; give up those that expired."""
    services, published = session.services, 0
    for indexed in services.ledger.open_orders(session.document.account):
        if indexed.order_id in flawed:
            continue
        order = services.ledger.order(indexed.order_id)
        if order is None or not claimable(order, session.venue.profile):
            continue
        if now >= order.expires_at:
            # Only what was never sent: an exit that was is given up where it is looked up once more.
            lapse_order(services, order.order_id, now)
        elif now >= order.created_at + PUBLISH_AGAIN_AFTER:
            again = _note(session, order, now, "published again", {}, publications=order.publications + 1)
            if again is not None:
                services.queue.publish_intent(again)
                published += 1
    return published


def tell_again(services: Services, account: str) -> None:
    """Tell what the evaluator refused, and the open incidents whose alerts could not be delivered."""
    tell_refused(services, account)
    for incident in services.ledger.open_incidents(account):
        if not incident.told:
            open_incident(services, incident)


def _release(session: Session, order: Order, now: datetime, cause: str) -> Order | None:
    return update_order(
        session.services,
        order.order_id,
        now,
        lambda latest, account, stamp: release(latest, account, stamp, cause),
        only_version=order.version,
    )


def _note(
    session: Session, order: Order, now: datetime, cause: str, detail: dict[str, Any], **updates: Any
) -> Order | None:
    return update_order(
        session.services,
        order.order_id,
        now,
        lambda latest, _, stamp: note(latest, cause, stamp, detail, **updates),
        only_version=order.version,
    )


def tick_missed_slots(session: Session, now: datetime) -> int:
    """Ask for each strategy's latest slot that is overdue; page when one since its last tick is too late for it.

    The slots of a short timeframe follow each other faster than a tick is late: each is asked for once, and silence is
    counted from the first that nobody decided.
    """
    services, ticked = session.services, 0
    for schedule in services.ledger.schedules(session.document.account):
        last, lateness = Slot.of(schedule, services.stage), timedelta(seconds=schedule.max_lateness_seconds)
        due = last.at(now - TICK_GRACE)
        if due.candle_open < last.candle_open or _decided(due, services):
            continue
        if now - due.candle_close <= lateness:
            services.queue.tick(schedule.model_copy(update={"scheduled_time": due.candle_close}))
            ticked += 1
        first_missed = last.following() if _decided(last, services) else last
        if now - first_missed.candle_close > lateness:
            open_incident(services, _missed_slot(first_missed, now))
    return ticked


def _decided(slot: Slot, services: Services) -> bool:
    return services.ledger.decision(slot.decision_id) is not None


def _missed_slot(slot: Slot, now: datetime) -> Incident:
    return Incident(
        account=slot.account,
        kind=IncidentKind.MISSED_SLOT,
        subject=slot.schedule_id,
        symbol=slot.symbol,
        expected=f"a decision for {slot.decision_id}",
        actual="none was made in time",
        action="Check the schedule and the evaluator's log; resolve it once ticks arrive again, or to retire it.",
        opened_at=now,
    )
