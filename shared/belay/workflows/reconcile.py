"""Ledger and venue are compared and brought together until nothing differs; then that is proven and stored.

Never submits: what is still to be sent is published again for the executor.
"""

from collections.abc import Container, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from belay.domain.account import Account, StopLevel
from belay.domain.balances import rounded_now, uncompared
from belay.domain.errors import Conflict, Unreadable, VenueUnavailable, WrittenByLater
from belay.domain.identity import identity_of
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.reconciliation import Filled, Finding, Mismatch, Observed, Unattributed, compared
from belay.domain.reconciliation import reconcile as compare
from belay.domain.record import ZERO, Record
from belay.domain.transitions import Change, Stamp, record_fill
from belay.domain.venues import VenueTrade, readable
from belay.ports import Services, Suspicion
from belay.workflows import integrity
from belay.workflows.flows import extend_opening, filled, read_flows
from belay.workflows.identity import keep_identity, require_identity
from belay.workflows.integrity import Examination, beyond
from belay.workflows.outage import UNREACHABLE, clock_mismatch, end_outage, note_outage
from belay.workflows.pending import publish_again, repeat_cancels, tell_again, tick_missed_slots
from belay.workflows.resolve import attach, close_unknown
from belay.workflows.restore import first_proven
from belay.workflows.session import CLOCKS_APART, Session, open_session
from belay.workflows.settling import settle_orders
from belay.workflows.updates import open_incident, update_order
from belay.workflows.views import Views, next_cursor, read

PASSES = 5
SPACING = timedelta(seconds=10)
# Facts that cannot be a race between two reads; every other mismatch must be seen by two runs, spaced.
CERTAIN = frozenset(
    {
        IncidentKind.WRONG_ABSENCE_PROOF,
        IncidentKind.WRONG_WORD,
        IncidentKind.OVERFILL,
        IncidentKind.DUPLICATE_VENUE_ORDER,
    }
)
# Where more than new entries stops: what the ledger says cannot be relied on. While clocks differ, the executor waits
# by itself, with whatever it has.
LEVELS: dict[IncidentKind, StopLevel | None] = {
    IncidentKind.WRONG_ABSENCE_PROOF: StopLevel.HALTED,
    IncidentKind.BROKEN_RECORD: StopLevel.HALTED,
    IncidentKind.CLOCK_OFFSET: None,
}
# Conclusions from everything together: they say nothing while a part of it could not be read.
DERIVED = frozenset({IncidentKind.UNATTRIBUTED_TRADE, IncidentKind.BALANCE_MISMATCH, IncidentKind.VENUE_UNREACHABLE})
# The same while something is of a later version, which may know whose a venue order is.
NOT_KNOWN_HERE = DERIVED | {IncidentKind.UNKNOWN_VENUE_ORDER, IncidentKind.MISSING_ORDER}


class Reconciled(Record):
    """What one run did. `clean` means that a proof was stored; otherwise `reason` says why not."""

    account: str
    clean: bool
    reason: str
    repairs: int
    cancels: int
    published: int
    ticked: int


def reconcile(account: str, services: Services) -> Reconciled:
    """Compare and repair until a pass changes nothing, then prove it; move on what still waits.

    Two runs at once are safe: every repair is conditional and idempotent.

    Raises:
        InvalidInput: the account has no document.
    """
    try:
        session = open_session(services, account)
        held_back = beyond(services.ledger.account(account), session.configuration)
    except Unreadable as error:
        tell_again(services, account)
        return _left_alone(account, str(error), 0)
    if held_back:
        tell_again(services, account)
        return _left_alone(account, held_back, repeat_cancels(session, _now(session), EVERY_ORDER))
    if against := require_identity(session, services.clock.now()):
        tell_again(services, account)
        published = publish_again(session, session.clock.now(), {})
        return _left_alone(account, against, 0, published)
    run_id = services.new_id()
    repairs, alarmed, reason = 0, False, "repairs have not come to an end"
    examination, flawed = Examination(services.ledger, account), dict[str, str]()
    services.ledger.unreadable(account), services.ledger.later(account)  # what was met before this run
    aside: Container[str] = flawed
    try:
        for _ in range(PASSES):
            views = read(session)
            flawed = examination.flawed(views.ledger.orders, views.missing)
            later = _later(views, examination, services.ledger.later(account))
            aside = {*flawed, *examination.later}
            findings = compare(views.ledger, views.venue)
            mismatches = [found for found in findings if isinstance(found, Mismatch)]
            mismatches = [found for found in mismatches if found.subject not in examination.later]
            mismatches += integrity.mismatches(flawed, services.ledger.unreadable(account))
            mismatches += clock_mismatch(views)
            certain = [m for m in mismatches if m.kind in CERTAIN and not _sent_again(session, m, views)]
            _open(session, certain, views.venue.time)
            alarmed = alarmed or bool(certain)
            changed = _repair(session, findings, views, aside) + settle_orders(session, views, aside)
            changed += _open_books(session, views)
            changed = changed or extend_opening(session, views) or read_flows(session, views)
            repairs += changed
            if not changed:
                if views.failure is not None:
                    note_outage(session, views.failure, services.clock.now())
                reason = _suspect(session, mismatches, views, bool(later)) or later
                reason = reason or _prove(session, run_id, views, alarmed)
                if not reason:
                    keep_identity(session, views.ledger.account)
                    end_outage(session, views.ledger.account)
                break
    except VenueUnavailable as error:
        reason = f"venue unavailable: {error}"
        note_outage(session, error, services.clock.now())
    except Unreadable as error:
        reason, aside = str(error), EVERY_ORDER
    tell_again(services, account)
    now = _now(session)
    return Reconciled(
        account=account,
        clean=not reason,
        reason=reason,
        repairs=repairs,
        cancels=repeat_cancels(session, now, aside),
        published=publish_again(session, now, aside),
        ticked=tick_missed_slots(session, now),
    )


class _EveryOrder:
    """Contains the id of each."""

    def __contains__(self, _: object) -> bool:
        return True


EVERY_ORDER = _EveryOrder()


def _left_alone(account: str, reason: str, cancels: int, published: int = 0) -> Reconciled:
    """Nothing of an account that only a later version may act on is compared, repaired, published or proven."""
    return Reconciled(
        account=account, clean=False, reason=reason, repairs=0, cancels=cancels, published=published, ticked=0
    )


def _later(views: Views, examination: Examination, listed: Iterable[str]) -> str:
    """What stands against a proof since only a later version may act on it; empty where nothing does."""
    orders = (f"order {order_id}" for order_id in examination.later)
    found = (*views.later, *orders, *(f"what is stored under {key}" for key in listed))
    return f"of a later version, or not to be read: {', '.join(found)}" if found else ""


def _repair(session: Session, findings: Iterable[Finding], views: Views, flawed: Container[str]) -> int:
    """Attach, count fills, keep the trades that match nothing; only then do the cursors move past what was read.

    An order whose records do not hold together is left as it is; its trades wait.
    """
    services, account, changed = session.services, session.document.account, 0
    for finding in findings:
        match finding:
            case Observed() if finding.order_id not in flawed:
                changed += attach(services, finding.order_id, finding.seen, views.read_at) is not None
            case Filled() if finding.order_id not in flawed:
                changed += count_fill(services, finding.order_id, finding.trade)
            case Filled() | Unattributed() if finding.trade.key not in views.waiting:
                services.ledger.store_unattributed(account, finding.trade)
    for trade in views.no_longer_waiting:
        services.ledger.drop_unattributed(account, trade)
    for symbol in views.fully_read if views.clocks_agree else ():
        with suppress(WrittenByLater):
            services.ledger.store_cursor(account, next_cursor(views, symbol))
    return changed


def count_fill(services: Services, order_id: str, trade: VenueTrade, detail: dict[str, Any] | None = None) -> bool:
    """Count a trade as a fill of an order, unless it is one already, or a flow. The account is read before the flow is
    looked for, and either of the two moves it on: so it is never both."""

    def counted(order: Order, account: Account, stamp: Stamp) -> Change | None:
        if services.ledger.flow(order.account, trade.key) is not None:
            return None
        return record_fill(order, account, trade, stamp, detail)

    filled = update_order(services, order_id, trade.at, counted)
    if filled is not None:
        close_unknown(services, filled, f"the venue reports trade {trade.trade_id}")
    return filled is not None


def _open_books(session: Session, views: Views) -> bool:
    """The first reconciliation of an account records the balances that everything later is compared with.

    Its time lies between two equal readings, so that a fill of an order that was there before is either in the balances
    or in the history since then, never in both.
    """
    account, venue = views.ledger.account, views.venue
    if (
        not account.understood
        or account.opening is not None
        or account.traded
        or account.reservations
        or not views.clocks_agree
    ):
        return False
    balances, opened_at = venue.balances.total, session.market_data.time()
    again = filled(readable(session.venue.open_orders())), session.venue.balances().total
    if again != (filled(venue.open_orders), balances):
        return True
    opening = {asset: balances.get(asset, ZERO) for asset in sorted(session.document.assets | balances.keys())}
    try:
        opened = account.bumped(opening=opening, opened_at=opened_at, identity=identity_of(session.document))
        session.services.ledger.save_account(opened)
    except Conflict:
        return False
    return True


def _suspect(session: Session, mismatches: list[Mismatch], views: Views, later: bool) -> str:
    """Open an incident for each mismatch that an earlier run saw too. Returns what stands against a proof."""
    ledger, account = session.services.ledger, session.document.account
    if mismatches and _moved(session, views):
        return "inconclusive: account or balances changed under this run"
    doubtful = NOT_KNOWN_HERE if later else DERIVED if views.gaps else frozenset()
    found = {mismatch.key: mismatch for mismatch in mismatches if mismatch.kind not in doubtful}
    before, now = ledger.suspicion(account), views.venue.time
    seen_before = before.first_seen if before else {}
    # A trade that the history still owes may explain what is seen meanwhile.
    spacing = max(SPACING, timedelta(seconds=session.venue.profile.history_lag_seconds))
    confirmed = (m for key, m in found.items() if key in seen_before and now >= seen_before[key] + spacing)
    _open(session, confirmed, now)
    undecided = {key for key in seen_before if key.partition(":")[0] in doubtful}
    first_seen = {key: seen_before.get(key, now) for key in sorted({*found, *undecided})}
    if first_seen != seen_before:
        with suppress(WrittenByLater):
            ledger.store_suspicion(Suspicion(account=account, first_seen=first_seen))
    against = [key for key in first_seen if key != UNREACHABLE]
    return f"mismatch: {', '.join(against)}" if against else ""


def _moved(session: Session, views: Views) -> bool:
    """Whether what was compared is no longer so: then a difference may only be that of two moments."""
    version = session.services.ledger.account(session.document.account).version
    return version != views.ledger.account.version or session.venue.balances().total != views.venue.balances.total


def _open(session: Session, mismatches: Iterable[Mismatch], at: datetime) -> None:
    """Stop new entries in what a mismatch affects, everything where a proof or a record was wrong, and tell on-call."""
    for mismatch in mismatches:
        level = LEVELS.get(mismatch.kind, StopLevel.REDUCE_ONLY)
        open_incident(session.services, mismatch.incident(session.document.account, at), level)


def _sent_again(session: Session, mismatch: Mismatch, views: Views) -> bool:
    """Whether an order proven absent was claimed anew since it was read: what is seen is the new attempt's."""
    if mismatch.kind is not IncidentKind.WRONG_ABSENCE_PROOF:
        return False
    latest = session.services.ledger.order(mismatch.subject)
    return latest is not None and latest.attempt != views.ledger.orders[mismatch.subject].attempt


def _prove(session: Session, run_id: str, views: Views, alarmed: bool) -> str:
    """Store the proof that opens the gate, unless something was not read or moved meanwhile. Returns why not."""
    if alarmed:
        return "this run opened an incident"
    if views.gaps:
        return f"not everything could be read: {'; '.join(views.gaps)}"
    found, last = compared(views.ledger, views.venue), views.ledger.last_proof
    rounding, bookings = rounded_now(found, last)
    proof = Proof(
        account=session.document.account,
        fingerprint=session.fingerprint,
        run_id=run_id,
        started_at=views.venue.time,
        completed_at=views.read_at,
        account_version=views.ledger.account.version,
        open_orders=len(views.venue.open_orders),
        trades_read=len(views.venue.trades),
        residuals={asset: difference.residual for asset, difference in found.items()},
        uncovered=uncompared(views.ledger.account, views.ledger.document),
        rounding=rounding,
        bookings=bookings,
    )
    try:
        session.services.ledger.store_proof(proof)
    except Conflict as conflict:
        return str(conflict)
    first_proven(session.services.ledger, proof.account, proof.started_at)
    return ""


def _now(session: Session) -> datetime:
    """Venue time, or our own clock while the venue does not answer: intents must lapse even then. Where one of the
    two is broken, the earlier: an exit that waits is not given up by a wrong clock."""
    local = session.clock.now()
    try:
        venue = session.market_data.time()
    except VenueUnavailable:
        return local
    return venue if abs(venue - local) <= CLOCKS_APART else min(venue, local)
