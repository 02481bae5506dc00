"""A venue that refuses the account, or gives no answer for long: one incident while it lasts, ended when it is over.

Nothing is lost meanwhile: intents wait and lapse, what is open stays as it is known, the gate closes by itself.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal

from belay.domain.account import Account, StopLevel
from belay.domain.errors import AccountRefused, NotUnderstood, VenueUnavailable, WrittenByLater
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.reconciliation import Mismatch
from belay.ports import Ledger, Services, Suspicion
from belay.workflows.session import CLOCKS_APART, Session
from belay.workflows.updates import end_incident, open_incident
from belay.workflows.views import Views

# One that lasts less mends itself before a person could look.
UNREACHABLE_BOUND = timedelta(minutes=10)
# What was refused: reading for a reconciliation, reading before a claim, an order. Each function has its own key.
RECONCILING, CHECKING, SUBMITTING = "reconciling", "checking", "submitting"
CLOCKS = f"{IncidentKind.CLOCK_OFFSET}:machine"
# As the executor notes it, and how long after the first note a second one is no accident.
WAITS = "waiting: clock_offset_seconds"
CLOCK_SPACING = timedelta(seconds=20)
UNREACHABLE = f"{IncidentKind.VENUE_UNREACHABLE}:{RECONCILING}"
NOT_UNDERSTOOD = f"{IncidentKind.NOT_RECONCILED}:{RECONCILING}"
STALE = f"{IncidentKind.STALE_PROOF}:proof"


def gone_since(ledger: Ledger, account: str, symbol: str) -> datetime | None:
    """Since when an open incident says that the venue does not trade a symbol; None without one."""
    known = ledger.incident(account, f"{IncidentKind.SYMBOL_UNAVAILABLE}:{symbol}")
    return known.opened_at if known is not None and known.status == "open" else None


def note_outage(session: Session, error: VenueUnavailable, at: datetime) -> None:
    """A run could not read the venue. A refusal stops entries at once; silence, and answers that are not understood,
    are an incident once they have lasted."""
    if isinstance(error, AccountRefused):
        account_refused(session.services, session.document.account, RECONCILING, error.code, error.remedy, at)
        return
    since = _silent_since(session, at)
    if at >= since + UNREACHABLE_BOUND:
        describe = _not_understood if isinstance(error, NotUnderstood) else _unreachable
        open_incident(session.services, describe(session.document.account, since, error, at))


def end_outage(session: Session, views: Views) -> None:
    """A clean run has read with this function's key: what kept it from reading is over, and so is a proof that was too
    old, and a difference of the clocks that is back within the account's bound.

    Where something gave no answer still, the venue is not back.
    """
    services, account = session.services, views.ledger.account
    stopped_by = {stop.incident for stop in account.stops}
    ended = [refusal(RECONCILING), NOT_UNDERSTOOD, STALE]
    if views.failure is None:
        ended.append(UNREACHABLE)
    if abs(session.market_data.time() - session.clock.now()) <= _bound(session):
        ended.append(CLOCKS)
    standing = {incident.incident_id for incident in services.ledger.open_incidents(account.account)}
    for incident_id in ended:
        if incident_id in stopped_by | standing:
            end_incident(services, account.account, incident_id, "the venue was read again")


def venue_time(session: Session) -> datetime:
    """Venue time, or our own clock while the venue does not answer: intents must lapse even then. Where one of the
    two is broken, the earlier: an exit that waits is not given up by a wrong clock."""
    local = session.clock.now()
    try:
        venue = session.market_data.time()
    except VenueUnavailable:
        return local
    return venue if abs(venue - local) <= CLOCKS_APART else min(venue, local)


def end_refusal(services: Services, account: Account) -> bool:
    """Everything was read that a check needs: the key is good again. True when there was a stop to lift.

    A refused order is not mended by that: whether the key may trade, a person has to say.
    """
    incident_id = refusal(CHECKING)
    if all(stop.incident != incident_id for stop in account.stops):
        return False
    end_incident(services, account.account, incident_id, "the venue was read again")
    return True


def clock_mismatch(views: Views) -> tuple[Mismatch, ...]:
    """The venue's clock is too far from the machine's to conclude anything from it; seen twice, a person is asked."""
    if views.clocks_agree:
        return ()
    mismatch = Mismatch(
        kind=IncidentKind.CLOCK_OFFSET,
        subject="machine",
        symbol=None,
        expected=f"the venue's clock within {CLOCKS_APART.total_seconds():.0f} s of this machine's",
        actual=f"{views.offset.total_seconds():.0f} s",
        action="Look at both clocks. No order is proven absent, settled or given up by a wrong clock; this ends by "
        "itself once they agree.",
    )
    return (mismatch,)


def clocks_differ(session: Session, order: Order, offset: Decimal, at: datetime) -> None:
    """An order waits since the clocks differ too much. One slow answer looks like that too: a second wait is told."""
    story = session.services.ledger.story(order.decision_id)
    waits = [e for e in story.events if (e.order_id, e.cause) == (order.order_id, WAITS)] if story else []
    if not waits or at < waits[0].recorded_at + CLOCK_SPACING:
        return
    incident = Incident(
        account=order.account,
        kind=IncidentKind.CLOCK_OFFSET,
        subject="machine",
        expected=f"the venue's clock within {_bound(session).total_seconds():.0f} s of this machine's",
        actual=f"{offset} s",
        action="Wait for the machine's clock, or look at the venue's; nothing is sent before they agree.",
        opened_at=at,
    )
    open_incident(session.services, incident)


def _bound(session: Session) -> timedelta:
    return timedelta(seconds=session.document.limits.clock_offset_seconds or 0)


def refusal(subject: str) -> str:
    """The incident id of a refusal."""
    return f"{IncidentKind.VENUE_CONFIGURATION}:{subject}"


def account_refused(services: Services, account: str, subject: str, code: str, remedy: str, at: datetime) -> None:
    """The venue refuses this account as configured: no further entries until it is mended.

    While another refusal has stopped them already, this one is left to whoever meets it after that is over.
    """
    stopped_by = {stop.incident for stop in services.ledger.account(account).stops}
    if stopped_by & {refusal(other) for other in (RECONCILING, CHECKING, SUBMITTING) if other != subject}:
        return
    incident = Incident(
        account=account,
        kind=IncidentKind.VENUE_CONFIGURATION,
        subject=subject,
        expected="the venue accepts this account's requests",
        actual=f"{subject} is refused with {code}",
        action=remedy,
        opened_at=at,
    )
    open_incident(services, incident, StopLevel.REDUCE_ONLY)


def _silent_since(session: Session, at: datetime) -> datetime:
    """When the silence was first noticed; a run that reads everything forgets it."""
    ledger, account = session.services.ledger, session.document.account
    before = ledger.suspicion(account) or Suspicion(account=account, first_seen={})
    if UNREACHABLE not in before.first_seen:
        noted = {**before.first_seen, UNREACHABLE: at}
        with suppress(WrittenByLater):
            ledger.store_suspicion(before.model_copy(update={"first_seen": noted}))
    return before.first_seen.get(UNREACHABLE, at)


def _unreachable(account: str, since: datetime, error: VenueUnavailable, at: datetime) -> Incident:
    return Incident(
        account=account,
        kind=IncidentKind.VENUE_UNREACHABLE,
        subject=RECONCILING,
        expected="the venue can be read",
        actual=f"no run could read it since {since:%FT%TZ}: {error}",
        action="Look at the venue's status page and at the network; entries go on by themselves once it answers.",
        opened_at=at,
    )


def _not_understood(account: str, since: datetime, error: VenueUnavailable, at: datetime) -> Incident:
    return Incident(
        account=account,
        kind=IncidentKind.NOT_RECONCILED,
        subject=RECONCILING,
        expected="the venue's answers are understood",
        actual=f"none of them was in full since {since:%FT%TZ}: {error}",
        action="The venue answers, so it is not down: see whether a newer version of Belay reads it. Entries go on by "
        "themselves once a run understands it.",
        opened_at=at,
    )
