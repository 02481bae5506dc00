"""Ledger and venue are compared and brought together until nothing differs; then that is proven and stored.

Never submits: what is still to be sent is published again for the executor. What fails of one order, trade or symbol
is that one's: it is told, its symbol waits, and the rest goes on.
"""

from collections.abc import Callable, Container, Iterable
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from belay.domain.errors import Conflict, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.proofs import Proof
from belay.domain.reconciliation import Filled, Finding, Mismatch, Observed, Unattributed, residuals
from belay.domain.reconciliation import reconcile as compare
from belay.domain.record import ZERO, Record
from belay.domain.transitions import record_fill
from belay.domain.venues import VenueOrder, VenueTrade, readable
from belay.ports import Services
from belay.workflows import integrity
from belay.workflows.findings import Failures, Judged, facts, judge, open_incidents
from belay.workflows.integrity import Examination
from belay.workflows.outage import clock_mismatch, end_outage, note_outage, venue_time
from belay.workflows.pending import publish_again, repeat_cancels, tell_again, tick_missed_slots
from belay.workflows.resolve import attach, close_unknown
from belay.workflows.session import Session, open_session
from belay.workflows.settling import owed_fills, settle_orders
from belay.workflows.updates import update_order
from belay.workflows.views import Views, next_cursor, read
from belay.workflows.windows import Budget

PASSES = 5
# Facts that cannot be a race between two reads; every other mismatch must be seen by two runs, spaced.
CERTAIN = frozenset({IncidentKind.WRONG_ABSENCE_PROOF, IncidentKind.OVERFILL, IncidentKind.DUPLICATE_VENUE_ORDER})


class Reconciled(Record):
    """What one run did. `clean` means that a proof was stored; otherwise `reason` says why not. `uncovered`: of which
    symbols it proves nothing, and why."""

    account: str
    clean: bool
    reason: str
    repairs: int
    cancels: int
    published: int
    ticked: int
    uncovered: dict[str, str] = {}


class Compared(NamedTuple):
    """Both sides, and what is to be said and done about them."""

    views: Views
    flawed: dict[str, str]
    findings: tuple[Finding, ...]
    mismatches: list[Mismatch]


def reconcile(
    account: str, services: Services, remaining_seconds: Callable[[], float] = lambda: float("inf")
) -> Reconciled:
    """Compare and repair until a pass changes nothing, then prove it; move on what still waits.

    Two runs at once are safe: every repair is conditional and idempotent.

    Args:
        remaining_seconds: how long this invocation may still run; reading ends before that.

    Raises:
        InvalidInput: the account has no document.
    """
    session, run_id, budget = open_session(services, account), services.new_id(), Budget(remaining_seconds)
    left, repairs, alarmed, waiting = Failures(), 0, False, dict[str, int]()
    judged = unfinished = Judged("repairs have not come to an end", {})
    examination, flawed = Examination(services.ledger, account), dict[str, str]()
    services.ledger.unreadable(account)  # what was met before this run
    try:
        for _ in range(PASSES):
            failures = Failures()
            compared = compare_both(session, read(session, budget), examination)
            views, flawed = compared.views, compared.flawed
            certain = [m for m in compared.mismatches if m.kind in CERTAIN and not _sent_again(session, m, views)]
            open_incidents(session, certain, views)
            alarmed = alarmed or bool(certain)
            changed = _repair(session, compared, failures) + settle_orders(session, views, flawed, failures)
            changed += _open_books(session, views)
            repairs += changed
            if changed:
                continue
            waiting = waiting or _move_on(session, left, flawed)
            if views.failure is not None:
                note_outage(session, views.failure, services.clock.now())
            failed = [*failures.found.values(), *left.found.values()]
            judged = judge(session, [*compared.mismatches, *failed], views, owed_fills(views))
            if judged.ended:
                judged = unfinished
                continue
            judged = judged._replace(reason=judged.reason or _prove(session, run_id, views, judged, alarmed))
            if not judged.reason:
                end_outage(session, views)
            break
    except VenueUnavailable as error:
        judged = Judged(f"{error.told_as}: {error}", {})
        note_outage(session, error, services.clock.now())
    waiting = waiting or _move_on(session, left, flawed)
    return Reconciled(
        account=account,
        clean=not judged.reason,
        reason=judged.reason,
        repairs=repairs,
        uncovered=judged.uncovered,
        **waiting,
    )


def compare_both(session: Session, views: Views, examination: Examination) -> Compared:
    """What differs, what could not be read, and which records do not hold together."""
    ledger, account = session.services.ledger, session.document.account
    flawed = examination.flawed(views.ledger.orders, views.missing)
    findings = compare(views.ledger, views.venue)
    mismatches = [finding for finding in findings if isinstance(finding, Mismatch)]
    mismatches += [*facts(views), *integrity.mismatches(flawed, ledger.unreadable(account)), *clock_mismatch(views)]
    return Compared(views, flawed, findings, mismatches)


def _move_on(session: Session, failures: Failures, flawed: Container[str]) -> dict[str, int]:
    """What waits, whatever could be read: cancelled, published, ticked, told."""
    now = venue_time(session)
    done = {
        "cancels": repeat_cancels(session, now, failures, flawed),
        "published": publish_again(session, now, failures, flawed),
        "ticked": tick_missed_slots(session, now, failures),
    }
    failures.kept("alerts", None, partial(tell_again, session.services, session.document.account), otherwise=None)
    return done


def _repair(session: Session, compared: Compared, failures: Failures) -> int:
    """Attach, count fills, keep the trades that match nothing; only then do the cursors move past what was read.

    An order whose records do not hold together is left as it is; its trades wait.
    """
    views, changed = compared.views, 0
    for finding in compared.findings:
        if isinstance(finding, Mismatch):
            continue
        subject, symbol = _about(finding, views)
        changed += failures.kept(subject, symbol, partial(_repaired, session, finding, compared), otherwise=0)
    for trade in views.no_longer_waiting:
        failures.kept(trade.symbol, trade.symbol, partial(_drop, session, trade), otherwise=None)
    failed = {failure.symbol for failure in failures.found.values()}
    for symbol in sorted(views.read_until.keys() - failed) if views.clocks_agree else ():
        # What was not kept of a symbol is read again.
        failures.kept(symbol, symbol, partial(_move_cursor, session, views, symbol), otherwise=None)
    return changed


def _drop(session: Session, trade: VenueTrade) -> None:
    session.services.ledger.drop_unattributed(session.document.account, trade)


def _move_cursor(session: Session, views: Views, symbol: str) -> None:
    session.services.ledger.store_cursor(session.document.account, next_cursor(views, symbol))


def _about(finding: Observed | Filled | Unattributed, views: Views) -> tuple[str, str]:
    if isinstance(finding, Unattributed):
        return finding.trade.symbol, finding.trade.symbol
    return finding.order_id, views.ledger.orders[finding.order_id].symbol


def _repaired(session: Session, finding: Finding, compared: Compared) -> int:
    services, views = session.services, compared.views
    match finding:
        case Observed() if finding.order_id not in compared.flawed:
            return attach(services, finding.order_id, finding.seen, views.read_at) is not None
        case Filled() if finding.order_id not in compared.flawed:
            return _count(services, finding.order_id, finding.trade)
        case Filled() | Unattributed() if finding.trade.key not in views.waiting:
            services.ledger.store_unattributed(session.document.account, finding.trade)
    return 0


def _count(services: Services, order_id: str, trade: VenueTrade) -> bool:
    filled = update_order(
        services, order_id, trade.at, lambda order, account, stamp: record_fill(order, account, trade, stamp)
    )
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


def _sent_again(session: Session, mismatch: Mismatch, views: Views) -> bool:
    """Whether an order proven absent was claimed anew since it was read: what is seen is the new attempt's."""
    if mismatch.kind is not IncidentKind.WRONG_ABSENCE_PROOF:
        return False
    latest = session.services.ledger.order(mismatch.subject)
    return latest is not None and latest.attempt != views.ledger.orders[mismatch.subject].attempt


def _prove(session: Session, run_id: str, views: Views, judged: Judged, alarmed: bool) -> str:
    """Store the proof that opens the gate, for every symbol that is covered. Returns why not."""
    if alarmed:
        return "this run opened an incident"
    silent = {gap.symbol for gap in views.gaps if gap.kind == "silent"}
    if views.refusal is not None or silent.issuperset(session.document.symbols):
        return f"not everything could be read: {'; '.join(map(str, views.gaps))}"
    ledger, account = session.services.ledger, views.ledger.account
    last = ledger.last_proof(account.account)
    exposed = account.exposed_symbols(session.document)
    known = {**(last.prices if last else {}), **views.prices}
    proof = Proof(
        account=account.account,
        fingerprint=session.fingerprint,
        run_id=run_id,
        started_at=views.venue.time,
        completed_at=views.read_at,
        account_version=account.version,
        open_orders=len(views.venue.open_orders),
        trades_read=len(views.venue.trades),
        residuals=residuals(views.ledger, views.venue),
        uncovered=tuple(judged.uncovered),
        prices={symbol: price for symbol, price in sorted(known.items()) if symbol in exposed},
    )
    try:
        ledger.store_proof(proof)
    except Conflict as conflict:
        return str(conflict)
    return ""
