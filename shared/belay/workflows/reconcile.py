"""Ledger and venue are compared and brought together until nothing differs; then that is proven and stored.

Never submits: what is still to be sent is published again for the executor. What fails of one order, trade or symbol
is that one's: it is told, its symbol waits, and the rest goes on.
"""

from collections.abc import Callable, Container
from functools import partial
from typing import NamedTuple

from belay.domain.balances import rounded_now, uncompared
from belay.domain.errors import Conflict, Unreadable, VenueUnavailable
from belay.domain.given import Shown
from belay.domain.identity import identity_of
from belay.domain.incidents import IncidentKind
from belay.domain.proofs import Proof
from belay.domain.reconciliation import Filled, Finding, Mismatch, Observed, Unattributed, compared
from belay.domain.reconciliation import reconcile as compare
from belay.domain.record import ZERO, Record
from belay.domain.texts import bounded
from belay.domain.venues import VenueTrade
from belay.ports import Services
from belay.workflows import integrity
from belay.workflows.fills import count_fill
from belay.workflows.findings import Failures, Judged, facts, judge, open_incidents
from belay.workflows.flows import extend_opening, read_flows
from belay.workflows.identity import keep_identity, require_identity
from belay.workflows.integrity import Examination, beyond
from belay.workflows.leaving import follow_exits
from belay.workflows.outage import clock_mismatch, end_outage, note_outage, venue_time
from belay.workflows.pending import publish_again, repeat_cancels, tell_again, tick_missed_slots
from belay.workflows.positions import positions_astray
from belay.workflows.resolve import attach
from belay.workflows.restore import first_proven
from belay.workflows.session import Session, open_session
from belay.workflows.settling import owed_fills, settle_orders
from belay.workflows.still import steady
from belay.workflows.views import Views, next_cursor, read
from belay.workflows.windows import Budget

PASSES = 5
MOST_OF_A_REASON = 300
# Facts that cannot be a race between two reads; every other mismatch must be seen by two runs, spaced.
CERTAIN = frozenset(
    {
        IncidentKind.WRONG_ABSENCE_PROOF,
        IncidentKind.WRONG_WORD,
        IncidentKind.OVERFILL,
        IncidentKind.DUPLICATE_VENUE_ORDER,
    }
)


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
    """Both sides, and what is to be said and done about them. `aside`: ids of orders that are left as they are."""

    views: Views
    aside: dict[str, str]
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
    session = _opened(account, services)
    return session if isinstance(session, Reconciled) else _reconcile(session, Budget(remaining_seconds))


def _reconcile(session: Session, budget: Budget) -> Reconciled:
    services, account = session.services, session.document.account
    run_id, left, repairs, alarmed, waiting = services.new_id(), Failures(), 0, False, dict[str, int]()
    judged = unfinished = Judged("repairs have not come to an end", {})
    examination = Examination(services.ledger, account)
    aside: Container[str] = ()
    services.ledger.unreadable(account), services.ledger.later(account)  # what was met before this run
    try:
        for _ in range(PASSES):
            failures = Failures()
            both = compare_both(session, read(session, budget), examination)
            views, aside = both.views, both.aside
            certain = [m for m in both.mismatches if m.kind in CERTAIN and not _sent_again(session, m, views)]
            open_incidents(session, certain, views)
            alarmed = alarmed or bool(certain)
            changed = _repair(session, both, failures) + settle_orders(session, views, aside, failures)
            changed += _open_books(session, views)
            changed = changed or _explain(session, views, failures)
            repairs += changed
            if changed:
                continue
            waiting = waiting or _move_on(session, left, aside)
            left.kept("exits", None, partial(follow_exits, session, views), otherwise=None)
            if views.failure is not None:
                note_outage(session, views.failure, services.clock.now())
            failed = [*failures.found.values(), *left.found.values()]
            judged = judge(session, [*both.mismatches, *failed], views, owed_fills(views))
            if judged.ended:
                judged = unfinished
                continue
            judged = judged._replace(reason=judged.reason or _prove(session, run_id, views, judged, alarmed))
            if not judged.reason:
                keep_identity(session, views.ledger.account, views.venue)
                end_outage(session, views)
            break
    except VenueUnavailable as error:
        judged = Judged(f"{error.told_as}: {error}", {})
        note_outage(session, error, services.clock.now())
    except Unreadable as error:
        judged, aside = Judged(str(error), {}), EVERY_ORDER
    waiting = waiting or _move_on(session, left, aside)
    return Reconciled(
        account=account,
        clean=not judged.reason,
        reason=judged.reason,
        repairs=repairs,
        uncovered=judged.uncovered,
        **waiting,
    )


# --- whether this version, and this document, may act on the account at all ------------------------------------------


class _EveryOrder:
    """Contains the id of each."""

    def __contains__(self, _: object) -> bool:
        return True


EVERY_ORDER = _EveryOrder()


def _opened(account: str, services: Services) -> Session | Reconciled:
    """The account, or what a run does of one that it leaves alone: it tells, and repeats the cancels that were asked
    for where they are this venue's. Nothing is compared, repaired or proven."""
    left, cancels, published = Failures(), 0, 0
    try:
        session = open_session(services, account)
        reason = beyond(services.ledger.account(account), session.configuration)
    except Unreadable as error:
        return _left_alone(account, services, str(error))
    if reason:
        cancels = repeat_cancels(session, venue_time(session), left, EVERY_ORDER)
    elif reason := require_identity(session, services.clock.now()):
        published = publish_again(session, session.clock.now(), left)
    return _left_alone(account, services, reason, cancels, published) if reason else session


def _left_alone(account: str, services: Services, reason: str, cancels: int = 0, published: int = 0) -> Reconciled:
    tell_again(services, account)
    return Reconciled(
        account=account, clean=False, reason=reason, repairs=0, cancels=cancels, published=published, ticked=0
    )


# --- comparing -------------------------------------------------------------------------------------------------------


def compare_both(session: Session, views: Views, examination: Examination) -> Compared:
    """What differs, what could not be read, and which records do not hold together or are a later version's."""
    ledger, account = session.services.ledger, session.document.account
    flawed = examination.flawed(views.ledger.orders, views.missing)
    listed = (f"what is stored under {key}" for key in ledger.later(account))
    later = (*views.later, *(f"order {order_id}" for order_id in examination.later), *listed)
    views = views.model_copy(update={"later": later})
    findings = compare(views.ledger, views.venue)
    mismatches = [f for f in findings if isinstance(f, Mismatch) and f.subject not in examination.later]
    mismatches += [
        *facts(session, views),
        *positions_astray(session, views),
        *integrity.mismatches(flawed, ledger.unreadable(account)),
        *clock_mismatch(views),
    ]
    return Compared(views, {**flawed, **examination.later}, findings, mismatches)


def _explain(session: Session, views: Views, failures: Failures) -> int:
    """Let what the venue says beside orders explain the balances: assets that come into use, flows, true fees."""
    act = partial(extend_opening, session, views)
    changed = failures.kept("the opening", None, act, otherwise=0)
    return changed or failures.kept("flows", None, partial(read_flows, session, views), otherwise=0)


def _sent_again(session: Session, mismatch: Mismatch, views: Views) -> bool:
    """Whether an order proven absent was claimed anew since it was read: what is seen is the new attempt's."""
    if mismatch.kind is not IncidentKind.WRONG_ABSENCE_PROOF:
        return False
    latest = session.services.ledger.order(mismatch.subject)
    return latest is not None and latest.attempt != views.ledger.orders[mismatch.subject].attempt


# --- bringing together -----------------------------------------------------------------------------------------------


def _move_on(session: Session, failures: Failures, aside: Container[str]) -> dict[str, int]:
    """What waits, whatever could be read: cancelled, published, ticked, told."""
    now = venue_time(session)
    done = {
        "cancels": repeat_cancels(session, now, failures, aside),
        "published": publish_again(session, now, failures, aside),
        "ticked": tick_missed_slots(session, now, failures),
    }
    failures.kept("alerts", None, partial(tell_again, session.services, session.document.account), otherwise=None)
    return done


def _repair(session: Session, both: Compared, failures: Failures) -> int:
    """Attach, count fills, keep the trades that match nothing; only then do the cursors move past what was read.

    An order whose records do not hold together is left as it is; its trades wait.
    """
    views, changed = both.views, 0
    for finding in both.findings:
        if isinstance(finding, Mismatch):
            continue
        subject, symbol = _about(finding, views)
        changed += failures.kept(subject, symbol, partial(_repaired, session, finding, both), otherwise=0)
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


def _repaired(session: Session, finding: Finding, both: Compared) -> int:
    services, views = session.services, both.views
    match finding:
        case Observed() if finding.order_id not in both.aside:
            return attach(services, finding.order_id, finding.seen, views.read_at) is not None
        case Filled() if finding.order_id not in both.aside:
            told = frozenset(trade.key for trade in views.venue.trades)
            shown = Shown(views.venue.lookups.get(finding.order_id), told)
            return count_fill(services, finding.order_id, finding.trade, shown=shown)
        case Filled() | Unattributed() if finding.trade.key not in views.waiting:
            services.ledger.store_unattributed(session.document.account, finding.trade)
    return 0


def _open_books(session: Session, views: Views) -> bool:
    """The first reconciliation of an account records the balances that everything later is compared with.

    Its time lies between two equal readings, so that a fill of an order that was there before is either in the balances
    or in the history since then, never in both.
    """
    account, venue = views.ledger.account, views.venue
    if account.opening is not None or account.traded or account.reservations or not views.clocks_agree:
        return False
    balances, opened_at = venue.balances.total, steady(session, views)
    if opened_at is None:
        return True
    opening = {asset: balances.get(asset, ZERO) for asset in sorted(session.document.assets | balances.keys())}
    try:
        identity = identity_of(session.document, venue.balances.account)
        opened = account.bumped(opening=opening, opened_at=opened_at, identity=identity)
        session.services.ledger.save_account(opened)
    except Conflict:
        return False
    return True


# --- proving ---------------------------------------------------------------------------------------------------------


def _prove(session: Session, run_id: str, views: Views, judged: Judged, alarmed: bool) -> str:
    """Store the proof that opens the gate, for every symbol that is covered. Returns why not."""
    if alarmed:
        return "this run opened an incident"
    silent = {gap.symbol for gap in views.gaps if gap.kind == "silent"}
    if views.refusal is not None or silent.issuperset(session.document.symbols):
        return f"not everything could be read: {'; '.join(map(str, views.gaps))}"
    account, last = views.ledger.account, views.ledger.last_proof
    found, exposed = compared(views.ledger, views.venue), account.exposed_symbols(session.document)
    rounding, bookings = rounded_now(found, last)
    known = {**(last.prices if last else {}), **views.prices}
    entering = uncompared(account, session.document)
    because = {
        **dict.fromkeys(account.given_up.intersection(session.document.symbols), "it is retired"),
        **dict.fromkeys(entering, "an asset of it has yet to enter the opening"),
        **judged.uncovered,
    }
    proof = Proof(
        account=account.account,
        fingerprint=session.fingerprint,
        run_id=run_id,
        started_at=views.venue.time,
        completed_at=views.read_at,
        account_version=account.version,
        open_orders=len(views.venue.open_orders),
        trades_read=len(views.venue.trades),
        residuals={asset: difference.residual for asset, difference in found.items()},
        uncovered=tuple(sorted(because)),
        rounding=rounding,
        bookings=bookings,
        prices={symbol: price for symbol, price in sorted(known.items()) if symbol in exposed},
        because={symbol: bounded(why, MOST_OF_A_REASON) for symbol, why in sorted(because.items())},
    )
    try:
        session.services.ledger.store_proof(proof)
    except Conflict as conflict:
        return str(conflict)
    first_proven(session.services.ledger, proof.account, proof.started_at)
    return ""
