"""What came to an account or left it without an order: read from the venue's own records, and counted once each.

A flow shifts what is expected and is nobody's profit. What an asset held before it was first used enters the opening.

A movement that is recorded before it is final may move a balance after that was taken as it was (at the opening, or
by a rebase), although it was asked for before. So what is seen not to be final after a balance was taken is noted: a
deposit that is noted counts when it is credited, a withdrawal that is noted counts back when it fails.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache

from belay.domain.account import Account
from belay.domain.balances import unopened
from belay.domain.errors import Conflict, VenueUnavailable
from belay.domain.flows import TAKES, FeeRow, Flow, FlowKind, FlowPage, VenueFlow
from belay.domain.foreign import fee_corrected
from belay.domain.given import as_told
from belay.domain.in_flight import in_flight, touches, uncounted
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.reconciliation import compared
from belay.domain.record import ZERO, iso, joined, parted
from belay.domain.venues import UnreadRow, VenueTrade, readable
from belay.domain.verdicts import DATING
from belay.ports import Cursor, Ledger, Services
from belay.workflows.fills import correct_fill
from belay.workflows.session import Session
from belay.workflows.still import filled, unread_about
from belay.workflows.updates import AUTHOR, TRIES, close_incident, open_incident
from belay.workflows.views import Views

CURSOR = "flows"
EVERY = timedelta(minutes=15)
# How far back the records are read again, since a row may come after rows of a later time: always, and where they
# explain nothing else.
OVERLAPS = (timedelta(hours=1), timedelta(days=1))
# By then a row has left what is read again: what is still shown, such as a right that the key lacks, stands.
TOLD_AGAIN = OVERLAPS[-1] + 2 * EVERY
FEES_OWED = timedelta(days=1)  # how long the fee of a trade that is no order's is waited for
MOST_READS = 10  # of the venue's records, in one look
LATEST = 100  # flows that are asked where the account does not know of an asset when its balance was taken


def read_flows(session: Session, views: Views) -> int:
    """Count what the venue recorded beside our orders, where a balance or a fee asks for it, or it is time.

    The cursor moves only past what was read to its end and stored. Records that cannot be read now leave everything as
    it is: the balance that they would explain stays what it is.

    Returns:
        How much changed by it: then balances are to be compared again.
    """
    account, now = views.ledger.account, views.venue.time
    if account.opening is None or account.opened_at is None or not views.clocks_agree:
        return 0
    cursor = session.services.ledger.cursor(account.account, CURSOR)
    unexplained = any(not difference.explained for difference in compared(views.ledger, views.venue).values())
    owing = [order for order in views.ledger.orders.values() if order.estimated and not order.settled]
    pending = timedelta(days=session.venue.profile.pending_days)
    taken = max((account.opened_at, *account.taken.values()))
    just_taken = pending and now < taken + EVERY  # what is not final then has to be seen before it is
    awaited = unexplained or owing or account.owing or just_taken
    if cursor is not None and now < cursor.read_until + EVERY and not awaited:
        return 0
    earliest = account.opened_at - pending
    since = cursor.read_until if cursor else earliest
    owed = [order.attempt.request.claimed_at for order in owing if order.attempt]
    owed += [trade.at - DATING for trade in views.ledger.owing]
    changed = 0
    try:
        for overlap in OVERLAPS if unexplained else OVERLAPS[:1]:
            start = max(earliest, min(since - overlap, *owed, now))
            changed += _read(session, account, owing, start, now)
            if changed:
                break
    except VenueUnavailable:
        pass  # what they would have explained stays as it is
    return changed + _give_up(session.services, account.account)


def _read(session: Session, account: Account, owing: list[Order], start: datetime, end: datetime) -> int:
    """Page by page, the cursor behind it."""
    ledger, changed = session.services.ledger, 0
    for _ in range(MOST_READS):
        page = session.venue.flows(start, end)
        changed += _count(session.services, account.account, page)
        changed += sum(_correct(session.services, order, page.fees, page.read_until) for order in owing)
        changed += _correct_flows(session.services, account.account, page.fees)
        for unread in page.unread:
            _tell(session.services, account.account, unread, end)
        reached = min(page.read_until, end)
        if reached > start:
            ledger.store_cursor(account.account, Cursor(symbol=CURSOR, read_until=reached))
        if not start < reached < end:
            break
        start = reached
    return changed


def _count(services: Services, name: str, page: FlowPage) -> int:
    """Whatever of a page counts, or is to be noted."""
    done = sum(record(services, name, row) for row in page.flows)
    done += sum(record(services, name, row, Moves.BACK) for row in page.void)
    for moves, rows in ((Moves.COMING, page.coming), (Moves.OUT, page.out)):
        done += sum(_note(services, name, row, moves, page.as_of) for row in rows if page.as_of is not None)
    return done


class Moves(StrEnum):
    """What follows a movement's own id in the ids of what is stored of it besides: `COMING`, `OUT`: it was seen not to
    be final after a balance was taken, which is named behind that; `BACK`: it came back."""

    COMING = "coming"
    OUT = "out"
    BACK = "back"


def record(services: Services, name: str, row: VenueFlow, moves: Moves | None = None) -> bool:
    """Store one movement, or that it came back, with what the account becomes by it; False where that counts already,
    or never will.

    What came or went before an asset's balance was last taken as it was is in that balance, unless it is noted.
    """
    for _ in range(TRIES):
        account = services.ledger.account(name)
        flow = flow_of(services, account, row, moves)
        if flow is None:
            return False
        try:
            services.ledger.record_flow(flow, account.with_flow(flow))
        except Conflict:
            continue
        return True
    raise Conflict(f"account {name}")


def flow_of(services: Services, account: Account, row: VenueFlow, moves: Moves | None = None) -> Flow | None:
    """What a movement counts as in an account, or that it came back; None where it counts as nothing more."""
    ledger, name = services.ledger, account.account
    flow_id = joined(row.flow_id, moves) if moves else row.flow_id
    if ledger.flow(name, flow_id) is not None:
        return None
    taken = taken_at(ledger, account)
    amounts = _went_back(ledger, name, row, taken) if moves else _came(ledger, name, row, taken)
    if not amounts:
        return None
    return Flow(
        account=name,
        flow_id=flow_id,
        kind=row.kind,
        amounts=amounts,
        at=row.at,
        recorded_at=services.clock.now(),
        author=AUTHOR,
        evidence=f"{row.evidence}: it came back" if moves else row.evidence,
    )


def _came(ledger: Ledger, name: str, row: VenueFlow, taken: Callable[[str], datetime]) -> dict[str, Decimal]:
    """What of a movement is not in a balance that was taken as it was."""

    def counts(asset: str) -> bool:
        return row.at > taken(asset) or _noted(ledger, name, row, Moves.COMING, taken(asset))

    return {asset: amount for asset, amount in row.amounts.items() if counts(asset)}


def _went_back(ledger: Ledger, name: str, row: VenueFlow, taken: Callable[[str], datetime]) -> dict[str, Decimal]:
    """What of a movement that is void counts back: it counted, or was in a balance that was taken as it was, and that
    was not taken again since."""
    flow = ledger.flow(name, row.flow_id)
    counted = flow.amounts if flow is not None and flow.understood else {}

    def counts(asset: str) -> bool:
        at = taken(asset)
        since = asset in counted and (row.at > at or _noted(ledger, name, row, Moves.COMING, at))
        return since or (row.at <= at and _noted(ledger, name, row, Moves.OUT, at))

    return {asset: -amount for asset, amount in row.amounts.items() if counts(asset)}


def _note(services: Services, name: str, row: VenueFlow, moves: Moves, seen_at: datetime) -> bool:
    """Note of a movement that it was not final after a balance of its assets was taken: once for each such time."""
    ledger = services.ledger
    for _ in range(TRIES):
        account = ledger.account(name)
        times = {at for asset in row.amounts if row.at <= (at := taken_at(ledger, account)(asset)) < seen_at}
        wanted = sorted(at for at in times if not _noted(ledger, name, row, moves, at))
        if not wanted:
            return False
        said = "not there yet" if moves is Moves.COMING else "not final"
        flow = Flow(
            account=name,
            flow_id=_note_id(row, moves, wanted[0]),
            kind=row.kind,
            amounts={},
            at=seen_at,
            recorded_at=services.clock.now(),
            author=AUTHOR,
            evidence=f"{row.evidence}: {said} when the balance was taken",
        )
        try:
            ledger.record_flow(flow, account.with_flow(flow))
        except Conflict:
            continue
        return True
    raise Conflict(f"account {name}")


def _noted(ledger: Ledger, name: str, row: VenueFlow, moves: Moves, taken: datetime) -> bool:
    return ledger.flow(name, _note_id(row, moves, taken)) is not None


def _note_id(row: VenueFlow, moves: Moves, taken: datetime) -> str:
    return joined(row.flow_id, moves, iso(taken))


def taken_at(ledger: Ledger, account: Account) -> Callable[[str], datetime]:
    """By asset, when its balance was last taken as it was: at the opening, when it entered that, or by a rebase."""
    if account.opened_at is None:
        raise ValueError(f"the books of {account.account} are not open")
    opened_at = account.opened_at

    @cache
    def before() -> dict[str, datetime]:
        """What was taken before the account kept it."""
        flows = (flow for flow in reversed(ledger.flows(account.account, LATEST)) if flow.kind in TAKES)
        return {asset: flow.at for flow in flows for asset in flow.amounts}

    return lambda asset: account.taken.get(asset) or before().get(asset, opened_at)


def _correct(services: Services, order: Order, rows: Iterable[FeeRow], at: datetime) -> int:
    """Put what the venue's ledger tells in place of an order's estimates; how many it told."""
    told = {row.trade_id: row.fees for row in rows}
    wanted = {key for key in order.estimated if parted(key)[-1] in told}
    story = services.ledger.story(order.decision_id) if wanted else None
    counted = [as_told(fill, story.events) for fill in story.fills if fill.key in wanted] if story else []
    return sum(_correct_one(services, order.order_id, trade, told[trade.trade_id], at) for trade in counted)


def _correct_one(
    services: Services, order_id: str, trade: VenueTrade, fees: Mapping[str, Decimal], at: datetime
) -> bool:
    corrected = correct_fill(services, order_id, trade, fees, at)
    if corrected is not None and not corrected.estimated:
        owed = f"{IncidentKind.FEE_UNCONFIRMED}:{order_id}"
        close_incident(services, corrected.account, owed, "the venue's ledger told the fees")
    return corrected is not None


def _correct_flows(services: Services, name: str, rows: Iterable[FeeRow]) -> int:
    """The same for trades that count as flows, each by another flow of a fixed id; how many it told."""
    told = {row.trade_id: row.fees for row in rows}
    owing = services.ledger.account(name).owing if told else ()
    return sum(_correct_flow(services, name, key, told[parted(key)[-1]]) for key in owing if parted(key)[-1] in told)


def _correct_flow(services: Services, name: str, key: str, fees: Mapping[str, Decimal]) -> bool:
    ledger = services.ledger
    for _ in range(TRIES):
        account, flow = ledger.account(name), ledger.flow(name, key)
        corrected = fee_corrected(account, flow, fees, services.clock.now()) if flow is not None else None
        if corrected is None:
            return False
        try:
            ledger.record_flow(corrected, account.with_flow(corrected))
        except Conflict:
            continue
        return True
    raise Conflict(f"account {name}")


def _give_up(services: Services, name: str) -> int:
    """Wait no longer for fees that the venue's ledger did not tell in a day: they count as estimated, and what a
    balance then differs by is told as that, with the way back that has. Returns how many."""
    ledger, late = services.ledger, services.clock.now() - FEES_OWED
    account = ledger.account(name)
    flows = [(key, ledger.flow(name, key)) for key in account.owing]
    given_up = [key for key, flow in flows if flow is None or flow.recorded_at < late]
    if given_up:
        ledger.save_account(account.bumped(owing=tuple(key for key in account.owing if key not in given_up)))
    return len(given_up)


def _tell(services: Services, account: str, row: UnreadRow, at: datetime) -> None:
    """A row of the venue's records that is not understood counts as nothing; a person is told, once. Not every run
    looks at the records, so only a person ends it; what is shown long after that is told anew."""
    incident = Incident(
        account=account,
        kind=IncidentKind.UNREADABLE_ROW,
        subject=row.key,
        expected="a movement that can be counted",
        actual=f"{row.reference} {row.market} {row.status}: {row.problem}",
        action="Look it up at the venue. If a balance differs by it, belay rebase takes it. Then: belay incidents "
        "resolve.",
        opened_at=at,
    )
    known = services.ledger.incident(account, incident.incident_id)
    ended = (known.resolved_at or known.opened_at) if known is not None and known.status == "resolved" else None
    if ended is None or services.clock.now() >= ended + TOLD_AGAIN:
        open_incident(services, incident)


# --- assets that come into use --------------------------------------------------------------------------------------


def extend_opening(session: Session, views: Views) -> int:
    """Let each asset that came into use since the books were opened enter the opening: what two equal readings show of
    it beyond what is known to have moved. Once by asset, and only while nothing can be moving it.

    Returns:
        How many entered.
    """
    account, entered = views.ledger.account, 0
    missing = [asset for asset in sorted(unopened(account, session.document)) if _quiet(asset, views)]
    if not missing or not views.clocks_agree:
        return 0
    at = session.market_data.time()
    if filled(readable(session.venue.open_orders())) != filled(views.venue.open_orders):
        return 0
    before, again = views.venue.balances.total, session.venue.balances().total
    for asset in missing:
        if (held := again.get(asset, ZERO)) == before.get(asset, ZERO):
            flow = _entering(account, asset, held, at, session.services.clock.now())
            try:
                session.services.ledger.record_flow(flow, account := account.with_flow(flow))
            except Conflict:
                return entered
            entered += 1
    return entered


def _quiet(asset: str, views: Views) -> bool:
    """Whether nothing that is known of may be moving an asset, and nothing about it is unread."""
    ledger, venue = views.ledger, views.venue
    moving = in_flight(ledger, venue, asset) or uncounted(ledger, venue, asset) or unread_about(views, asset)
    return not moving and not any(touches(t.symbol, asset, ledger.account, ledger.document) for t in ledger.owing)


def _entering(account: Account, asset: str, held: Decimal, at: datetime, recorded_at: datetime) -> Flow:
    return Flow(
        account=account.account,
        flow_id=f"{FlowKind.OPENING}:{asset}",
        kind=FlowKind.OPENING,
        amounts={asset: held - account.expected_balances().get(asset, ZERO)},
        at=at,
        recorded_at=recorded_at,
        author=AUTHOR,
        evidence=f"{asset} is used from now on; two readings of {held}",
    )
