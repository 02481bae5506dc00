"""Ledger and venue are compared and brought together until nothing differs; then that is proven and stored.

Never submits: what is still to be sent is published again for the executor.
"""

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from belay.domain.account import Account, StopLevel
from belay.domain.errors import Conflict, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.reconciliation import Filled, Finding, Mismatch, Observed, Unattributed, residuals
from belay.domain.reconciliation import reconcile as compare
from belay.domain.record import ZERO, Record
from belay.domain.transitions import Change, Stamp, record_fill
from belay.domain.venues import VenueOrder, VenueTrade, readable
from belay.ports import Services, Suspicion
from belay.workflows import integrity
from belay.workflows.integrity import Examination
from belay.workflows.outage import UNREACHABLE, clock_mismatch, end_outage, note_outage
from belay.workflows.pending import publish_again, repeat_cancels, tell_again, tick_missed_slots
from belay.workflows.resolve import attach, close_unknown
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
    session, run_id = open_session(services, account), services.new_id()
    repairs, alarmed, reason = 0, False, "repairs have not come to an end"
    examination, flawed = Examination(services.ledger, account), dict[str, str]()
    services.ledger.unreadable(account)  # what was met before this run
    try:
        for _ in range(PASSES):
            views = read(session)
            flawed = examination.flawed(views.ledger.orders, views.missing)
            findings = compare(views.ledger, views.venue)
            mismatches = [finding for finding in findings if isinstance(finding, Mismatch)]
            mismatches += integrity.mismatches(flawed, services.ledger.unreadable(account))
            mismatches += clock_mismatch(views)
            certain = [m for m in mismatches if m.kind in CERTAIN and not _sent_again(session, m, views)]
            _open(session, certain, views.venue.time)
            alarmed = alarmed or bool(certain)
            changed = _repair(session, findings, views, flawed) + settle_orders(session, views, flawed)
            changed += _open_books(session, views)
            repairs += changed
            if not changed:
                if views.failure is not None:
                    note_outage(session, views.failure, services.clock.now())
                reason = _suspect(session, mismatches, views) or _prove(session, run_id, views, alarmed)
                if not reason:
                    end_outage(session, views.ledger.account)
                break
    except VenueUnavailable as error:
        reason = f"venue unavailable: {error}"
        note_outage(session, error, services.clock.now())
    tell_again(services, account)
    now = _now(session)
    return Reconciled(
        account=account,
        clean=not reason,
        reason=reason,
        repairs=repairs,
        cancels=repeat_cancels(session, now, flawed),
        published=publish_again(session, now, flawed),
        ticked=tick_missed_slots(session, now),
    )


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
    if account.opening is not None or account.traded or account.reservations or not views.clocks_agree:
        return False
    balances, opened_at = venue.balances.total, session.market_data.time()
    again = _filled(readable(session.venue.open_orders())), session.venue.balances().total
    if again != (_filled(venue.open_orders), balances):
        return True
    opening = {asset: balances.get(asset, ZERO) for asset in sorted(session.document.assets)}
    try:
        session.services.ledger.save_account(account.bumped(opening=opening, opened_at=opened_at))
    except Conflict:
        return False
    return True


def _filled(orders: Iterable[VenueOrder]) -> dict[tuple[str, str], Decimal]:
    return {(order.symbol, order.venue_order_id): order.filled_quantity for order in orders}


def _suspect(session: Session, mismatches: list[Mismatch], views: Views) -> str:
    """Open an incident for each mismatch that an earlier run saw too. Returns what stands against a proof."""
    ledger, account = session.services.ledger, session.document.account
    if mismatches and _moved(session, views):
        return "inconclusive: account or balances changed under this run"
    doubtful = DERIVED if views.gaps else frozenset()
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
    proof = Proof(
        account=session.document.account,
        fingerprint=session.fingerprint,
        run_id=run_id,
        started_at=views.venue.time,
        completed_at=views.read_at,
        account_version=views.ledger.account.version,
        open_orders=len(views.venue.open_orders),
        trades_read=len(views.venue.trades),
        residuals=residuals(views.ledger, views.venue),
    )
    try:
        session.services.ledger.store_proof(proof)
    except Conflict as conflict:
        return str(conflict)
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
