"""Small effects that the workflows share: change an order, open an incident. Decides nothing by itself."""

import json
from collections.abc import Callable
from typing import Literal

from belay.domain.account import Account, Stop, StopLevel
from belay.domain.errors import Conflict, IllegalTransition, InvalidInput, WrittenByLater
from belay.domain.incidents import ENDS_BY_RULE, FOLLOWED, Incident, IncidentEntry, IncidentKind
from belay.domain.leaving import not_placed, nothing_left
from belay.domain.orders import Order, OrderState
from belay.domain.record import Utc
from belay.domain.transitions import Change, Stamp, lapse, note
from belay.ports import RefusedEvent, Services

TRIES = 8
AUTHOR = "belay"
# Where incidents go that concern no known account, and how much of a refused event they repeat.
NO_ACCOUNT = "none"
EVENT_TEXT = 500
# Not in the words of whoever stored the event.
CORRECT_THE_SENDER = "Look at what sends this to the evaluator, such as a schedule's Input, and correct it."


def stamp(services: Services, exchange_time: Utc | None) -> Stamp:
    return Stamp(write_id=services.new_id(), exchange_time=exchange_time, recorded_at=services.clock.now())


def update_order(
    services: Services,
    order_id: str,
    exchange_time: Utc | None,
    change_of: Callable[[Order, Account, Stamp], Change | None],
    only_version: int | None = None,
) -> Order | None:
    """Read order and account, compute a change, commit it; start over when either moved meanwhile.

    Args:
        only_version: give up when the order is no longer at the version that the caller judged.

    Returns:
        The order as stored, or None when there was nothing to change or the change was refused (which is recorded), and
        where only a later version may change it.

    Raises:
        Conflict: others kept winning; nothing of this change was written.
    """
    for _ in range(TRIES):
        order = services.ledger.order(order_id)
        if order is None or only_version not in (None, order.version):
            return None
        account = services.ledger.account(order.account)
        if not (order.understood and account.understood):
            return None
        written, refused = stamp(services, exchange_time), False
        try:
            change = change_of(order, account, written)
        except IllegalTransition as illegal:
            change, refused = note(order, "refused", written, {"refused": str(illegal)}), True
        if change is None:
            return None
        try:
            services.ledger.commit(change)
            return None if refused else change.order
        except Conflict as lost:
            if lost.what == "fill" or isinstance(lost, WrittenByLater):
                return None
    raise Conflict(f"order {order_id}")


def update_as_judged(
    services: Services,
    order: Order,
    exchange_time: Utc | None,
    change_of: Callable[[Order, Account, Stamp], Change | None],
) -> Order | None:
    """Like `update_order`, but only while the order is as the caller judged it: None, too, when it moved meanwhile."""
    return update_order(services, order.order_id, exchange_time, change_of, only_version=order.version)


def open_incident(services: Services, incident: Incident, stop: StopLevel | None = None) -> None:
    """Stop what an incident affects, tell on-call, record it; one that is open already is not told again.

    The stop comes first, since it is what protects. Telling comes before recording: whoever dies between the two leaves
    an incident that the next run tells once more. What could not be told is recorded as such, and told again later.
    What is said of a fact that is looked at again follows it.
    """
    if stop is not None:
        _stop(services, incident, stop)
    known = services.ledger.incident(incident.account, incident.incident_id)
    if known is not None and known.status == "open" and not known.understood:
        return  # the version that opened it tells it, and tells it again
    if known is None or known.status == "resolved":
        _append(services, incident, "opened")
    if known is None or known.status == "resolved" or not known.told:
        told = services.alerts.incident(incident)
        services.ledger.open_incident(incident.model_copy(update={"told": told}))
    elif known.wording != incident.wording and incident.kind in FOLLOWED:
        _append(services, incident, "changed")
        expected, actual, action = incident.wording
        services.ledger.follow_incident(
            known.model_copy(update={"expected": expected, "actual": actual, "action": action})
        )


def end_incident(services: Services, account: str, incident_id: str, resolution: str, author: str = AUTHOR) -> int:
    """Lift the stops of an incident whose reason is gone, then resolve it: a stop may stand without its incident, where
    a process ended in between. What a later version opened, it ends. Returns how many stops were lifted."""
    known = services.ledger.incident(account, incident_id)
    if known is not None and not known.understood:
        return 0
    lifted = lift_stops(services, account, frozenset({incident_id}))
    close_incident(services, account, incident_id, resolution, author)
    return lifted


def close_incident(services: Services, account: str, incident_id: str, resolution: str, author: str = AUTHOR) -> None:
    """Resolve an incident that is open, and leave its stops, if it has any."""
    known = services.ledger.incident(account, incident_id)
    if known is None or known.status == "resolved":
        return
    at = services.clock.now()
    entry = IncidentEntry(
        account=account, incident_id=incident_id, at=at, what="resolved", author=author, reason=resolution
    )
    services.ledger.append_incident_entry(entry)
    services.ledger.resolve_incident(account, incident_id, resolution, author, at)


def _append(services: Services, incident: Incident, what: Literal["opened", "changed"]) -> None:
    """Before the incident itself is written: a line too many is seen, a missing one is not."""
    entry = IncidentEntry(
        account=incident.account,
        incident_id=incident.incident_id,
        at=services.clock.now(),
        what=what,
        author=AUTHOR,
        reason=f"expected {incident.expected}, found {incident.actual}",
    )
    services.ledger.append_incident_entry(entry)


def lift_stops(services: Services, name: str, incidents: frozenset[str]) -> int:
    """Take back the stops that these incidents have set, and no other. Returns how many that were.

    One stop stands for all incidents of its kind and symbol: it passes to one that is still open.
    """
    for _ in range(TRIES):
        account = services.ledger.account(name)
        lifted = [stop for stop in account.stops if stop.incident in incidents]
        if not lifted:
            return 0
        kept = tuple(stop for stop in account.stops if stop.incident not in incidents)
        heirs = _heirs(services, name, lifted, incidents)
        try:
            services.ledger.save_account(account.bumped(stops=(*kept, *heirs)))
        except Conflict:
            continue
        return len(lifted) - len(heirs)
    raise Conflict(f"account {name}")


def _heirs(services: Services, name: str, lifted: list[Stop], ended: frozenset[str]) -> list[Stop]:
    open_ones = [one for one in services.ledger.open_incidents(name) if one.incident_id not in ended]
    return [
        stop.model_copy(update={"incident": heir.incident_id, "reason": f"incident {heir.incident_id}"})
        for stop in lifted
        if (heir := next((one for one in open_ones if _shares(stop, one)), None)) is not None
    ]


def _shares(stop: Stop, incident: Incident) -> bool:
    """Whether the stop of another incident is this one's, too. Only where each is looked at again by every run."""
    same_kind = (stop.incident or "").partition(":")[0] == incident.kind
    return same_kind and stop.symbol == incident.symbol and incident.kind in ENDS_BY_RULE


def _stop(services: Services, incident: Incident, level: StopLevel) -> None:
    for _ in range(TRIES):
        account = services.ledger.account(incident.account)
        if any(held.incident == incident.incident_id or _shares(held, incident) for held in account.stops):
            return None
        stop = Stop(
            level=level,
            symbol=incident.symbol,
            reason=f"incident {incident.incident_id}",
            author=AUTHOR,
            at=incident.opened_at,
            incident=incident.incident_id,
        )
        try:
            return services.ledger.save_account(account.with_stop(stop))
        except Conflict:
            continue
    raise Conflict(f"account {incident.account}")


def exit_not_placed(services: Services, order: Order, why: str, at: Utc) -> None:
    """An exit that does not go out pages a person, unless nothing is left to sell; an entry is merely missed."""
    if not order.reducing:
        return
    account = services.ledger.account(order.account)
    if not nothing_left(account, order):
        open_incident(services, not_placed(order, why, account, (), at))


def lapse_order(services: Services, order_id: str, at: Utc, cancelled: str = "") -> Order | None:
    """Give up an intent that nobody claimed: its time is over, which pages for an exit, or it was `cancelled`."""
    cause = f"cancelled: {cancelled}" if cancelled else "expired before it was claimed"
    lapsed = update_order(
        services,
        order_id,
        at,
        lambda order, _, written: (
            lapse(order, written, cause, bool(cancelled)) if order.state is OrderState.CREATED else None
        ),
    )
    if lapsed is not None and not cancelled:
        exit_not_placed(services, lapsed, cause, at)
    return lapsed


def refuse_event(services: Services, event: object, error: InvalidInput) -> None:
    """Keep an event that cannot be acted on as an incident, so that no message is lost without a record."""
    open_incident(services, _invalid_event(refused(services, event, error), error.remedy))


def refused(services: Services, event: object, error: InvalidInput) -> RefusedEvent:
    """What is kept of an event that cannot be acted on: of its account, where there is such a one."""
    account = event.get("account") if isinstance(event, dict) else None
    known = isinstance(account, str) and account in services.ledger.accounts()
    return RefusedEvent(
        account=str(account) if known else NO_ACCOUNT,
        field=error.field,
        problem=error.problem,
        received=json.dumps(event, default=str, sort_keys=True)[:EVENT_TEXT],
        at=services.clock.now(),
    )


def tell_refused(services: Services, account: str) -> None:
    """Make incidents of the events that the evaluator refused: it may neither open one nor tell anybody."""
    for event in services.ledger.refused_events(account):
        if not event.understood:
            continue
        open_incident(services, _invalid_event(event, CORRECT_THE_SENDER))
        services.ledger.clear_refused(event)


def _invalid_event(event: RefusedEvent, action: str) -> Incident:
    return Incident(
        account=event.account,
        kind=IncidentKind.INVALID_EVENT,
        subject=event.subject,
        expected="an event that names what to act on",
        actual=f"{event.field}: {event.problem}; received {event.received}",
        action=action,
        opened_at=event.at,
    )
