"""What a run has found against a proof: facts that a person must know, when they are told, and when they are over.

A fact needs two runs to become an incident, and two to be gone, each pair apart by the venue's lag; the second one is
asked for at once.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.errors import WrittenByLater
from belay.domain.incidents import ENDS_BY_RULE, WITHIN_A_DAY, Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.reconciliation import Mismatch, compared
from belay.domain.record import base_asset, plain, quote_asset
from belay.domain.venues import UnreadRow
from belay.domain.verdicts import SYMBOL_GONE_FOR
from belay.ports import Suspicion
from belay.workflows.gaps import Gap, told
from belay.workflows.outage import UNREACHABLE, gone_since
from belay.workflows.session import Session
from belay.workflows.updates import end_incident, open_incident
from belay.workflows.views import Views

SPACING = timedelta(seconds=10)
# Of the account's item: DynamoDB takes 400 KB.
MOST_BYTES = 200_000
# Where more than new entries stops: what the ledger says cannot be relied on. While clocks differ, the executor waits
# by itself, with whatever it has.
LEVELS: dict[IncidentKind, StopLevel | None] = {
    IncidentKind.WRONG_ABSENCE_PROOF: StopLevel.HALTED,
    IncidentKind.BROKEN_RECORD: StopLevel.HALTED,
    IncidentKind.CLOCK_OFFSET: None,
}
# Conclusions that say nothing while something is of a later version.
NOT_KNOWN_HERE = frozenset(
    {
        IncidentKind.UNATTRIBUTED_TRADE,
        IncidentKind.BALANCE_MISMATCH,
        IncidentKind.UNKNOWN_VENUE_ORDER,
        IncidentKind.MISSING_ORDER,
    }
)
TRADE_ROW, FLOW_ROW = (f"{IncidentKind.UNREADABLE_ROW}:{what}|" for what in ("trade", "flow"))
LOOK_AT_THE_ROW = (
    "Look the row up at the venue. This ends by itself once the row is gone or a version of Belay that reads it is "
    "deployed. A trade's row stays. If it is of an order of ours: belay resolve ORDER --filled "
    "rows.json. If not, take it as it is, belay incidents resolve, and what it moved, belay rebase."
)


class Failures:
    """Keeps one thing's failure from stopping the others, and remembers it."""

    def __init__(self) -> None:
        self.found: dict[str, Mismatch] = {}

    def kept[T](self, subject: str, symbol: str | None, act: Callable[[], T], otherwise: T) -> T:
        """What an act gives; `otherwise` where it fails, which is noted under its subject."""
        try:
            return act()
        except Exception as error:
            self.found[subject] = _not_reconciled(subject, symbol, told(error))
            return otherwise


class Judged(NamedTuple):
    """`reason`: what stands against a proof, if anything; `uncovered`: for which symbols it would say nothing, and why.
    `ended`: incidents are over, so that the account is another by now."""

    reason: str
    uncovered: dict[str, str]
    ended: bool = False


def facts(session: Session, views: Views) -> Iterator[Mismatch]:
    """What the reading itself has met: rows and symbols, each told as what it is."""
    for row in views.unread:
        yield _unreadable(row, views)
    for gap in views.gaps:
        if gap.kind in ("unavailable", "not_understood", "failed"):
            yield _told_of(session, gap, views)
    size = len(views.ledger.account.text)
    if size > MOST_BYTES:
        yield _too_large(size)


def open_incidents(session: Session, mismatches: Iterable[Mismatch], views: Views) -> None:
    """Stop new entries in what a mismatch affects, everything where a proof or a record was wrong, and tell on-call."""
    for mismatch in mismatches:
        level = LEVELS.get(mismatch.kind, StopLevel.REDUCE_ONLY) if mismatch.stops else None
        open_incident(session.services, mismatch.incident(session.document.account, views.venue.time), level)


def judge(session: Session, mismatches: Iterable[Mismatch], views: Views, owed: Container[str]) -> Judged:
    """Open an incident for each mismatch that an earlier run saw too, end those whose fact two runs have not seen.

    Args:
        owed: ids of incidents about orders which stand as long as the order does.
    """
    ledger, account, now = session.services.ledger, session.document.account, views.venue.time
    seen = {mismatch.key: mismatch for mismatch in mismatches}
    standing = [one for one in ledger.open_incidents(account) if one.kind in ENDS_BY_RULE]
    missing = [one for one in standing if one.incident_id not in seen and one.incident_id not in owed]
    if (seen or missing) and _moved(session, views):
        return Judged("inconclusive: account or balances changed under this run", {})
    doubtful = {key for key, mismatch in seen.items() if _doubtful(mismatch.kind, mismatch.subject, views)}
    found = {key: mismatch for key, mismatch in seen.items() if key not in doubtful}
    before = ledger.suspicion(account) or Suspicion(account=account, first_seen={})
    # A trade that the history still owes may explain what is seen meanwhile.
    spacing = max(SPACING, views.lag)
    confirmed = [m for key, m in found.items() if key in before.first_seen and now >= before.first_seen[key] + spacing]
    open_incidents(session, confirmed, views)
    undecided = {key for key in before.first_seen if key not in seen and _doubtful(*_parted(key), views)}
    undecided |= (doubtful | ({UNREACHABLE} if views.failure else set())) & before.first_seen.keys()
    gone = {one.incident_id: before.gone.get(one.incident_id, now) for one in missing if looked_at(one, views)}
    over = [incident_id for incident_id, since in gone.items() if now >= since + spacing]
    after = Suspicion(
        account=account,
        first_seen={key: before.first_seen.get(key, now) for key in sorted({*found, *undecided})},
        gone={key: since for key, since in sorted(gone.items()) if key not in over},
    )
    if after != before:
        with suppress(WrittenByLater):
            ledger.store_suspicion(after)
    if after.first_seen.keys() - before.first_seen.keys() or after.gone.keys() - before.gone.keys():
        session.services.queue.follow_up(account, int(spacing.total_seconds()) + 1)
    for incident_id in over:
        resolution = f"gone in two looks, at {gone[incident_id]:%FT%TZ} and {now:%FT%TZ}"
        end_incident(session.services, account, incident_id, resolution)
    reasons = (
        ("mismatch", _against(after, found)),
        ("not conclusive yet", sorted(key for key in doubtful if seen[key].symbol is None)),
        ("of a later version, or not to be read", views.later),
        ("not conclusive yet", sorted(i.incident_id for i in missing if _in_flight(i.kind, i.subject, views))),
    )
    reason = next((f"{why}: {', '.join(of)}" for why, of in reasons if of), "")
    return Judged(reason, _uncovered(views, found), bool(over))


def _against(after: Suspicion, found: Mapping[str, Mismatch]) -> list[str]:
    """What concerns the whole account. The rest only keeps its symbol from being covered."""
    scoped = {key for key, mismatch in found.items() if mismatch.symbol or not mismatch.stops}
    return [key for key in after.first_seen if key not in scoped and key != UNREACHABLE]


def _uncovered(views: Views, found: Mapping[str, Mismatch]) -> dict[str, str]:
    why = {mismatch.symbol: key for key, mismatch in found.items() if mismatch.symbol}
    for gap in views.gaps:
        why[gap.symbol] = str(gap)
    for symbol in views.unsettled:
        why.setdefault(symbol, "a trade may be that of an order whose outcome is open")
    for order in owing(views):  # what is held of it is not known until they are counted
        counted = f"{plain(order.venue_filled)} filled at the venue, {plain(order.filled_quantity)} counted"
        why.setdefault(order.symbol, f"trades of order {order.order_id} are owed: {counted}")
    return dict(sorted(why.items()))


def owing(views: Views) -> tuple[Order, ...]:
    """The orders of which the venue shows more as filled than there are trades of."""
    return tuple(order for order in views.ledger.orders.values() if not order.settled and not order.explained)


def _moved(session: Session, views: Views) -> bool:
    """Whether what was compared is no longer so: then a difference may only be that of two moments."""
    version = session.services.ledger.account(session.document.account).version
    return version != views.ledger.account.version or session.venue.balances().total != views.venue.balances.total


def _parted(key: str) -> tuple[str, str]:
    kind, _, subject = key.partition(":")
    return kind, subject


def _doubtful(kind: str, subject: str, views: Views) -> bool:
    """Whether a conclusion from everything together may come of what could not be read this time, or only by a later
    version, which may know whose a venue order is."""
    if views.later and kind in NOT_KNOWN_HERE:
        return True
    if kind == IncidentKind.UNATTRIBUTED_TRADE:
        return subject in views.unsettled
    if kind != IncidentKind.BALANCE_MISMATCH:
        return False
    shared = {asset for symbol in views.moved_unseen for asset in (base_asset(symbol), quote_asset(symbol))}
    return subject in shared or any(subject in row.assets for row in views.unread if row.what == "balance")


def of_record(incident: Incident) -> bool:
    """Whether it is about a row of the venue's history that is not understood: one that stays there for good."""
    return incident.incident_id.startswith((TRADE_ROW, FLOW_ROW))


def looked_at(incident: Incident, views: Views) -> bool:
    """Whether this run could have seen the fact of an incident, were it still there."""
    if incident.kind is IncidentKind.STALE_PROOF or incident.incident_id.startswith(FLOW_ROW):
        return False  # neither is among what a run finds
    if incident.symbol in {gap.symbol for gap in views.gaps}:
        return False
    if incident.kind is IncidentKind.UNATTRIBUTED_TRADE and incident.symbol in views.unsettled:
        return False
    if _in_flight(incident.kind, incident.subject, views):
        return False
    return not _doubtful(incident.kind, incident.subject, views)


def _in_flight(kind: str, subject: str, views: Views) -> bool:
    """Whether only an order at the venue explains a balance: a difference that stands may be hidden by it."""
    if kind != IncidentKind.BALANCE_MISMATCH:
        return False
    difference = compared(views.ledger, views.venue).get(subject)
    return difference is not None and not difference.explained_at_rest and difference.explained


# --- in words --------------------------------------------------------------------------------------------------------


def _not_reconciled(subject: str, symbol: str | None, problem: str) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.NOT_RECONCILED,
        subject=subject,
        symbol=symbol,
        expected="it can be compared and brought forward",
        actual=problem,
        action="Read the reconciler's log of it. The rest of the account goes on; this ends by itself once a run gets "
        "through with it.",
    )


def _told_of(session: Session, gap: Gap, views: Views) -> Mismatch:
    if gap.kind == "unavailable":
        since = gone_since(session.services.ledger, session.document.account, gap.symbol)
        gone = since is not None and views.venue.time >= since + SYMBOL_GONE_FOR
        return _unavailable(gap.symbol, str(gap), gone)
    return _not_reconciled(gap.symbol, gap.symbol, f"the answer came and is not understood: {gap}").model_copy(
        update={"actual": str(gap)} if gap.kind == "failed" else {}
    )


def _unavailable(symbol: str, problem: str, gone: bool) -> Mismatch:
    """`gone`: for so long that it may be retired."""
    retire = (
        "If it is gone for good: belay symbols retire writes that off; then leave it out of the document, belay "
        "account set."
        if gone
        else "It may only be halted; once this has lasted a day, what is held can be written off: belay symbols retire."
    )
    return Mismatch(
        kind=IncidentKind.SYMBOL_UNAVAILABLE,
        subject=symbol,
        symbol=symbol,
        expected=f"{symbol} is listed and traded{'' if gone else WITHIN_A_DAY}",
        actual=problem,
        action="Look at the venue's announcements. Its entries wait, everything else goes on; what is held of it is "
        f"valued at its last price or its cost. {retire}",
    )


def _unreadable(row: UnreadRow, views: Views) -> Mismatch:
    what = " ".join(part for part in (row.what, row.reference, row.market, row.status) if part)
    symbol = row.symbol if row.what != "balance" else None
    return Mismatch(
        kind=IncidentKind.UNREADABLE_ROW,
        subject=row.key,
        symbol=symbol,
        expected=f"a {row.what} that is understood",
        actual=f"{what}: {row.problem}",
        action=LOOK_AT_THE_ROW,
        stops=symbol is not None or _may_concern_us(row, views.ledger.document, views),
    )


def _may_concern_us(row: UnreadRow, document: AccountDocument, views: Views) -> bool:
    """A row of another market whose assets are known and none of ours concerns nothing here."""
    held = {asset for symbol in views.ledger.account.held_symbols() for asset in symbol.split("/")}
    return not row.assets or any(asset in document.assets | held for asset in row.assets)


def _too_large(size: int) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.NOT_RECONCILED,
        subject="account item",
        symbol=None,
        expected=f"an account of at most {MOST_BYTES} bytes",
        actual=f"{size} bytes; at 400 KB nothing of it can be written any more",
        action="See what it is full of: belay status. Resolve incidents that hold stops, and move on to a new account.",
        stops=False,
    )
