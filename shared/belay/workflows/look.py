"""Look at an incident's fact again because a person says that it is dealt with: it ends only where the fact is gone.

What no look can tell, such as whether a position was sold by hand, is the person's word.
"""

from collections.abc import Callable, Mapping
from typing import Any

from belay.domain import way_back
from belay.domain.account import Account
from belay.domain.chain import Acceptance, Anchor
from belay.domain.errors import BelayError, Conflict, InvalidInput, VenueUnavailable
from belay.domain.incidents import ENDS_BY_RULE, Incident, IncidentKind, Looked, ResolveRequest
from belay.domain.orders import NEVER_SENT, UNRESOLVED
from belay.domain.reconciliation import Mismatch
from belay.domain.record import plain
from belay.domain.slots import Slot
from belay.ports import Services
from belay.workflows.findings import looked_at, of_record, owing
from belay.workflows.identity import standing_change
from belay.workflows.integrity import Examination
from belay.workflows.outage import CLOCKS, NOT_UNDERSTOOD, RECONCILING, STALE, UNREACHABLE, refusal
from belay.workflows.reconcile import compare_both
from belay.workflows.schedule import stale_proof
from belay.workflows.session import Session, open_session
from belay.workflows.settling import fills_owed, owed_fills
from belay.workflows.updates import NO_ACCOUNT, TRIES, end_incident, open_incident
from belay.workflows.views import Views, read

# How many of the latest orders are searched for one that its id no longer leads to.
LATEST = 1000
# What a run that reads everything ends.
OF_READING = frozenset({UNREACHABLE, NOT_UNDERSTOOD, refusal(RECONCILING)})
AGAIN = "Ask again once the venue can be read."
STANDS = "the fact still stands"


def answer(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Answer an event like `{"account": "paper", "resolve": {"incident_id": "balance_mismatch:USD", "reason": "..."}}`;
    what stands against it is data, too."""
    try:
        request = ResolveRequest.parse(event["resolve"])
        looked = look(str(event.get("account", "")), request, services)
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except BelayError as error:
        return {"error": "resolve", "problem": str(error), "remedy": "Ask again: nothing is ended twice."}
    return looked.model_dump(mode="json")


def look(account: str, request: ResolveRequest, services: Services) -> Looked:
    """End an incident whose fact is gone, or that is a person's to end; asked twice, it ends once.

    Raises:
        InvalidInput: the account has no document, or no such incident, or a later version opened it.
        Conflict: others kept changing the account.
    """
    incident = services.ledger.incident(account, request.incident_id)
    if incident is None:
        problem = f"account {account} has no incident {request.incident_id}"
        raise InvalidInput("resolve.incident_id", problem, "See `belay incidents list`.")
    if not incident.understood:
        problem = f"{incident.incident_id} was opened by a later version of Belay"
        raise InvalidInput("resolve.incident_id", problem, "Deploy that version again; it ends it.")
    if incident.status == "resolved":
        lifted = end_incident(services, account, incident.incident_id, incident.resolution)  # had that been left undone
        return _looked(incident, status="resolved", resolution=incident.resolution, lifted=lifted)
    if account != NO_ACCOUNT:  # which has no document, and incidents about events only
        session = open_session(services, account)
        if refused := _stands(incident, session):
            return refused
        if carry_out := CARRIED_OUT.get(incident.kind):
            carry_out(incident, request, session)
    lifted = end_incident(services, account, incident.incident_id, request.reason, request.author)
    return _looked(incident, status="resolved", resolution=request.reason, lifted=lifted)


def _looked(incident: Incident, **changes: Any) -> Looked:
    """`expected`, `actual` and `action` of a fact that stands are those of now."""
    expected, actual, action = changes.pop("wording", incident.wording)
    told = {"account": incident.account, "incident_id": incident.incident_id, "expected": expected, "actual": actual}
    if changes["status"] == "open":
        told |= {"remedy": action, "commands": way_back.commands(incident)}
    return Looked(**{**told, **changes})


# --- does it still stand? --------------------------------------------------------------------------------------------


def _stands(incident: Incident, session: Session) -> Looked | None:
    """The answer to whoever asks while the fact stands, or cannot be looked at."""
    by_reading = incident.kind in ENDS_BY_RULE or incident.incident_id in (*OF_READING, CLOCKS)
    looks = by_reading or incident.kind in (IncidentKind.UNKNOWN_OUTCOME, IncidentKind.IDENTITY_CHANGED)
    if not looks or (of_record(incident) and not _of_an_order_of_ours(incident, session)):
        return None
    if changed := standing_change(session, incident.opened_at):  # what is read is another account's
        if incident.kind is IncidentKind.IDENTITY_CHANGED:
            return _looked(incident, status="open", wording=changed.wording, problem=STANDS)
        problem = "the account's document means another account than its history is about"
        return _looked(incident, status="open", problem=problem, remedy=f"First: {changed.action}")
    if incident.kind is IncidentKind.IDENTITY_CHANGED:
        return None
    try:
        views = read(session)
    except VenueUnavailable as error:
        return _looked(incident, status="open", problem=f"{error.told_as}: {error}", remedy=AGAIN)
    return _by_reading(incident, session, views)


def _of_an_order_of_ours(incident: Incident, session: Session) -> bool:
    """Whether the row may be one of the trades that an order of its symbol is owed, by what the ledger knows."""
    orders = session.services.ledger.open_orders(incident.account)
    return any(order.symbol == incident.symbol and not order.explained for order in orders)


def _owed(incident: Incident, views: Views) -> Looked | None:
    """A row that is taken as it is counts as nothing: the position would stay wrong, and nobody would be told."""
    order = next((order for order in owing(views) if order.symbol == incident.symbol), None)
    if order is None:
        return None
    missing = f"{plain(order.venue_filled)} filled at the venue, {plain(order.filled_quantity)} counted"
    problem = f"order {order.order_id} is owed trades, of which this row may be one: {missing}"
    command = way_back.commands(fills_owed(order, incident.opened_at))
    remedy = "Give the venue's rows of the order; then ask again. Trades that arrive are counted by themselves."
    return _looked(incident, status="open", problem=problem).model_copy(update={"remedy": remedy, "commands": command})


def _by_reading(incident: Incident, session: Session, views: Views) -> Looked | None:
    if of_record(incident):
        return _owed(incident, views)
    if incident.incident_id in OF_READING:
        return _looked(incident, status="open", problem=str(views.failure)) if views.failure else None
    if incident.kind is IncidentKind.UNKNOWN_OUTCOME:
        order = session.services.ledger.order(incident.subject)
        if order is None or order.state not in UNRESOLVED:
            return None
        return _looked(incident, status="open", problem=f"the order is still {order.state}")
    if incident.incident_id == STALE:
        found = stale_proof(incident.account, session.services)
        return _looked(incident, status="open", wording=found.wording, problem=STANDS) if found else None
    return _among_the_facts(incident, session, views)


def _among_the_facts(incident: Incident, session: Session, views: Views) -> Looked | None:
    examination = Examination(session.services.ledger, incident.account)
    both = compare_both(session, views, examination)
    views, seen = both.views, {found.key: found for found in both.mismatches}
    standing = seen.get(incident.incident_id)
    if standing is not None:
        _follow(incident, standing, session)
        return _looked(incident, status="open", wording=_wording(standing), problem=STANDS)
    if incident.incident_id in owed_fills(views):
        return _looked(incident, status="open", problem="the fills are still missing")
    if not looked_at(incident, views):
        why = "; ".join(map(str, (*views.gaps, *views.later))) or "an order whose outcome is open may explain it"
        return _looked(incident, status="open", problem=f"it could not be looked at: {why}", remedy=AGAIN)
    return None


def _wording(standing: Mismatch) -> tuple[str, str, str]:
    return standing.expected, standing.actual, standing.action


def _follow(incident: Incident, standing: Mismatch, session: Session) -> None:
    open_incident(session.services, standing.incident(incident.account, incident.opened_at))


# --- what goes with a person's word ----------------------------------------------------------------------------------


def _forget_schedule(incident: Incident, _request: ResolveRequest, session: Session) -> None:
    """If the schedule of a missed slot is alive, its next tick makes it expected again."""
    ledger, stage = session.services.ledger, session.services.stage
    for schedule in ledger.schedules(incident.account):
        if Slot.of(schedule, stage).schedule_id == incident.subject:
            ledger.drop_schedule(schedule)


def _take_records(incident: Incident, request: ResolveRequest, session: Session) -> None:
    """Take the story of an order that was sent as it stands; what was never sent, or cannot be read, is set aside."""
    ledger, account, subject = session.services.ledger, incident.account, incident.subject
    order = ledger.order(subject)
    if order is None and (lost := next((o for o in ledger.orders(account, LATEST) if o.order_id == subject), None)):
        ledger.restore_pointer(lost)  # its own records are judged by the next run
        return
    if order is None:
        _change_account(session.services, account, lambda held: held.without_reservation_of(subject))
    if order is None or ledger.history(order).anchor is None or order.state in NEVER_SENT:
        ledger.set_aside(subject)
        return
    at = session.services.clock.now()
    acceptance = Acceptance(anchor=Anchor.of(order), author=request.author, reason=request.reason, at=at)
    ledger.accept_history(acceptance, order.decision_id)


CARRIED_OUT: dict[IncidentKind, Callable[[Incident, ResolveRequest, Session], None]] = {
    IncidentKind.MISSED_SLOT: _forget_schedule,
    IncidentKind.BROKEN_RECORD: _take_records,
}


def _change_account(services: Services, name: str, change: Callable[[Account], Account]) -> None:
    for _ in range(TRIES):
        account = services.ledger.account(name)
        changed = change(account)
        if changed is account:
            return None
        try:
            return services.ledger.save_account(changed)
        except Conflict:
            continue
    raise Conflict(f"account {name}")
