"""What still has to happen: cancels to repeat, intents to publish again or to lapse, slots that nobody evaluated."""

from collections.abc import Container
from datetime import datetime, timedelta
from functools import partial

from belay.domain.account import Account
from belay.domain.errors import VenueUnavailable
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import NEVER_SENT, Order, claimable
from belay.domain.slots import Slot, Tick
from belay.domain.transitions import Change, Stamp, note, release
from belay.ports import CancelRequest, Services
from belay.workflows.findings import Failures
from belay.workflows.session import Session
from belay.workflows.updates import lapse_order, open_incident, tell_refused, update_as_judged

PUBLISH_AGAIN_AFTER = timedelta(seconds=30)
TICK_GRACE = timedelta(seconds=120)


def repeat_cancels(session: Session, now: datetime, failures: Failures, flawed: Container[str] = ()) -> int:
    """Ask again for every requested cancel whose order may still be open. Returns how many were asked.

    Args:
        flawed: ids of orders whose records do not hold together: a cancel of them is asked for, nothing is recorded.
    """
    ledger, asked = session.services.ledger, 0
    for request in ledger.cancel_requests(session.document.account):
        order = ledger.order(request.order_id)
        act = partial(_cancel, request, order, session, now, request.order_id in flawed)
        asked += failures.kept(request.order_id, order.symbol if order else None, act, otherwise=False)
    return asked


def _cancel(request: CancelRequest, order: Order | None, session: Session, now: datetime, flawed: bool) -> bool:
    """Ask the venue, or end here what never got there. Whether it was asked."""
    services = session.services
    if flawed or (order is not None and not order.understood):
        return order is not None and order.attempt is not None and _asked(order, session)
    if order is None and services.ledger.is_later(request.order_id):
        return False
    if order is None or order.settled:
        services.ledger.clear_cancel(request.account, request.order_id)
        return False
    if order.state in NEVER_SENT:
        lapse_order(services, request.order_id, now, request.reason)
        return False
    if claimable(order, session.venue.profile):
        cause = f"cancelled: {request.reason}"
        update_as_judged(services, order, now, lambda o, account, stamp: release(o, account, stamp, cause))
        return False
    if not _asked(order, session):
        return False
    if request.asked == 0:  # once in the order's story; how often, the request itself says
        evidence = {"reason": request.reason}
        update_as_judged(services, order, now, lambda o, _, stamp: note(o, "cancel requested", stamp, evidence))
    services.ledger.request_cancel(request.model_copy(update={"asked": request.asked + 1}))
    return True


def _asked(order: Order, session: Session) -> bool:
    try:
        session.venue.cancel(order.symbol, order.order_id)
    except VenueUnavailable:
        return False
    return True


def publish_again(session: Session, now: datetime, failures: Failures, flawed: Container[str] = ()) -> int:
    """Send the messages of intents that still wait, in case the first was lost; give up those that expired."""
    waiting = session.services.ledger.open_orders(session.document.account)
    return sum(
        failures.kept(order.order_id, order.symbol, partial(_publish, order.order_id, session, now), otherwise=False)
        for order in waiting
        if order.order_id not in flawed
    )


def _publish(order_id: str, session: Session, now: datetime) -> bool:
    services, order = session.services, session.services.ledger.order(order_id)
    if order is None or not order.understood or not claimable(order, session.venue.profile):
        return False
    if now >= order.expires_at:
        # Only what was never sent: an exit that was is given up where it is looked up once more.
        lapse_order(services, order.order_id, now)
    elif now >= order.created_at + PUBLISH_AGAIN_AFTER:
        again = update_as_judged(services, order, now, _published_again)
        if again is not None:
            services.queue.publish_intent(again)
            return True
    return False


def tell_again(services: Services, account: str) -> None:
    """Tell what the evaluator refused, and the open incidents whose alerts could not be delivered."""
    tell_refused(services, account)
    for incident in services.ledger.open_incidents(account):
        if not incident.told and incident.understood:
            open_incident(services, incident)


def _published_again(order: Order, _: Account, stamp: Stamp) -> Change:
    return note(order, "published again", stamp, {}, publications=order.publications + 1)


def tick_missed_slots(session: Session, now: datetime, failures: Failures) -> int:
    """Ask for each strategy's latest slot that is overdue; page when one since its last tick is too late for it.

    The slots of a short timeframe follow each other faster than a tick is late: each is asked for once, and silence is
    counted from the first that nobody decided.
    """
    return sum(
        failures.kept(
            Slot.of(schedule, session.services.stage).schedule_id,
            schedule.symbol,
            partial(_tick, schedule, session.services, now),
            otherwise=False,
        )
        for schedule in session.services.ledger.schedules(session.document.account)
        if schedule.understood
    )


def _tick(schedule: Tick, services: Services, now: datetime) -> bool:
    last, lateness, ticked = Slot.of(schedule, services.stage), timedelta(seconds=schedule.max_lateness_seconds), False
    due = last.at(now - TICK_GRACE)
    if due.candle_open < last.candle_open or _decided(due, services):
        return False
    if now - due.candle_close <= lateness:
        services.queue.tick(schedule.model_copy(update={"scheduled_time": due.candle_close}))
        ticked = True
    first_missed = last.following() if _decided(last, services) else last
    if now - first_missed.candle_close > lateness:
        open_incident(services, _missed_slot(first_missed, now))
    return ticked


def _decided(slot: Slot, services: Services) -> bool:
    ledger = services.ledger
    return ledger.decision(slot.decision_id) is not None or ledger.is_later(slot.decision_id)


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
