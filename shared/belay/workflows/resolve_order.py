"""An order of which the venue tells no end: it is asked once more, and then an operator's word may end the order.

What the venue says goes first and is followed; a word is kept with author, reason and evidence. Nothing is sent. Each
write is conditional and complete in itself, so that a repetition finishes what a stop left undone.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from belay.domain.account import StopLevel
from belay.domain.errors import Conflict, InvalidInput, NotUnderstood, SymbolUnavailable, VenueUnavailable
from belay.domain.given import Shown
from belay.domain.identity import of_this_account
from belay.domain.incidents import IncidentKind
from belay.domain.orders import TERMINAL, Order, OrderState, Verdict, Word, same_order
from belay.domain.reconciliation import wrong_word
from belay.domain.record import Record
from belay.domain.transitions import end_by_word, take_as_shown
from belay.domain.venues import UnreadRow, VenueOrder, VenueStatus, VenueTrade, readable
from belay.domain.verdicts import (
    VerdictRequest,
    obstacle,
    require_sent,
    symbol_obstacle,
    watched_until,
)
from belay.ports import Services
from belay.workflows.fills import count_fill
from belay.workflows.given_rows import GivenBeside, count_rows
from belay.workflows.identity import refuse_other_identity
from belay.workflows.integrity import examine
from belay.workflows.outage import gone_since
from belay.workflows.requests import Answer, answered, end_incidents
from belay.workflows.resolve import attach
from belay.workflows.session import CLOCKS_APART, Session, open_session
from belay.workflows.updates import AUTHOR, open_incident, update_as_judged
from belay.workflows.views import OVERLAP

MOST_PAGES = 50


class Choice(Record):
    """A verdict that could be given now; else `problem` and `remedy` say why not."""

    verdict: Verdict
    problem: str = ""
    remedy: str = ""


class Resolved(Record):
    """How an order stands now, and why.

    `shown`: what the venue answered, if it knows the order: then that is followed. `word`: the operator's that ended
    it, `already` if it was said before. `choices`: what may be said while the venue does not know it. `resolved` are
    the incidents that ended. `trades_read` is False where the symbol's trades could not be read. `no_symbol`: the
    venue's words where it has no such symbol.
    """

    account: str
    order_id: str
    state: OrderState
    settled: bool
    filled_quantity: str
    shown: VenueOrder | None
    trades_read: bool
    word: Word | None
    already: bool = False
    choices: tuple[Choice, ...] = ()
    resolved: tuple[str, ...] = ()
    no_symbol: str = ""


class Asked(NamedTuple):
    """What the venue said: the order as it shows it, if it is ours; the symbol's trades, None where unreadable.

    `no_symbol`: its words where it has no such symbol, so that nothing can be looked up in it.
    """

    shown: VenueOrder | None
    trades: tuple[VenueTrade, ...] | None
    at: datetime
    no_symbol: str = ""


def answer(event: Mapping[str, Any], services: Services) -> Answer:
    return answered(
        event, "resolve_order", lambda account, wish: resolve_order(account, VerdictRequest.parse(wish), services)
    )


def resolve_order(account: str, request: VerdictRequest, services: Services) -> Resolved:
    """Ask the venue about an order, and follow it; where it knows nothing, end the order as the operator says.

    Raises:
        InvalidInput: what is said does not fit the order, with its state named, or the document means another account;
            nothing is changed then.
        VenueUnavailable: the venue could not be asked.
        Conflict: the order or the account kept moving.
    """
    session = open_session(services, account)
    refuse_other_identity(session)  # what another account does not know says nothing of an order
    order = _order(session, request.order)
    standing = frozenset(one.incident_id for one in services.ledger.open_incidents(account))
    if order.word is not None and order.word.verdict is request.verdict and not request.trades:
        return _told(session, order, standing, None, already=True)
    require_sent(order)
    _require_whole(session, order)
    asked = _ask(session, order)
    for trade in asked.trades or () if order.word is None else ():  # those of another, the next run counts and tells
        if _is_of(order, trade):
            told = frozenset(one.key for one in asked.trades or ())
            count_fill(services, order.order_id, trade, shown=Shown(asked.shown, told))
    if asked.shown is not None:
        _follow(session, order, asked.shown, request, asked.at)
    order = _order(session, order.order_id)
    if request.verdict is None or (asked.shown is not None and request.verdict is not Verdict.FILLED):
        return _told(session, order, standing, asked)
    if asked.shown is None and (refused := _obstacle(session, order, request.verdict, asked)):
        raise refused
    if request.verdict is Verdict.FILLED:
        already = count_rows(session, order, request, _beside(asked))
        order = _order(session, order.order_id)
        if already and order.word is not None:
            return _told(session, order, standing, asked, already=True)
    if asked.shown is None:
        order = _end(session, order, request, asked)
    return _told(session, order, standing, asked)


# --- what there is ---------------------------------------------------------------------------------------------------


def _order(session: Session, order_id: str) -> Order:
    order = session.services.ledger.order(order_id)
    if order is None or order.account != session.document.account:
        problem = f"account {session.document.account} has no order {order_id}"
        raise InvalidInput("resolve_order.order", problem, "See `belay orders`, or name its account.")
    return order


def _require_whole(session: Session, order: Order) -> None:
    if flaw := examine(session.services.ledger, order).flaw:
        remedy = f"If it stays so, first end {IncidentKind.BROKEN_RECORD}:{order.order_id}."
        raise InvalidInput("resolve_order.order", f"{order.order_id} is {order.state}, and {flaw}", remedy)


def _ask(session: Session, order: Order) -> Asked:
    """Look the order up, and read its symbol's trades; the venue's time is read after the look-up.

    Raises:
        InvalidInput: another order of the venue bears its id, or one of the clocks is broken.
        AccountRefused: the key is another account's, which cannot know the order.
    """
    of_this_account(session.services.ledger.account(order.account), session.venue.balances())
    seen, no_symbol = _look_up(session, order)
    now = session.market_data.time()
    if abs(now - session.clock.now()) > CLOCKS_APART:
        raise InvalidInput("resolve_order.order", "the clocks differ: no time can be believed", "Look at both clocks.")
    if seen is not None and (seen.symbol, seen.side) != (order.symbol, order.side):
        if seen.status is VenueStatus.OPEN:
            problem = (
                f"{order.order_id} is {order.state}, and the venue's order of that id is a {seen.side} of {seen.symbol}"
            )
            raise InvalidInput("resolve_order.order", problem, "Somebody uses this id: cancel that order at the venue.")
        seen = None
    return Asked(seen, _trades(session, order, now), now, no_symbol)


def _look_up(session: Session, order: Order) -> tuple[VenueOrder | None, str]:
    """The order as the venue knows it. Where the venue has no such symbol, its words for that: what it lists as open
    beyond the symbol must be readable then, and is believed."""
    try:
        return session.venue.lookup(order.symbol, order.order_id), ""
    except SymbolUnavailable as error:
        listed = session.venue.open_orders()
        if unread := [row.key for row in listed if isinstance(row, UnreadRow)]:
            raise NotUnderstood(f"{error}, and of its open orders {unread[0]} is not understood") from None
        return next((seen for seen in readable(listed) if _is_ours(order, seen)), None), str(error)


def _is_ours(order: Order, seen: VenueOrder) -> bool:
    by_venue = seen.symbol == order.symbol and seen.venue_order_id in order.venue_order_ids
    return by_venue or seen.client_order_id == order.order_id


def _obstacle(session: Session, order: Order, verdict: Verdict, asked: Asked) -> InvalidInput | None:
    """What stands against a word of an order that the venue does not show."""
    if asked.no_symbol:
        since = gone_since(session.services.ledger, order.account, order.symbol)
        if refused := symbol_obstacle(order, verdict, asked.at, since):
            return refused
    return obstacle(order, verdict, asked.at, session.venue.profile)


def _trades(session: Session, order: Order, now: datetime) -> tuple[VenueTrade, ...] | None:
    """The symbol's trades since they were last fully read, which may be since the order's claim."""
    if order.attempt is None:
        raise ValueError(f"{order.order_id} was never sent")
    cursor = session.services.ledger.cursor(order.account, order.symbol)
    read_before = cursor.read_until - OVERLAP if cursor else order.attempt.request.claimed_at
    start = min(max(order.attempt.request.claimed_at - timedelta(seconds=60), read_before), now)
    found: list[VenueTrade] = []
    following: str | None = None
    try:
        for _ in range(MOST_PAGES):
            page = session.venue.trades(order.symbol, start, now, following)
            found.extend(page.trades)
            following = page.next_page
            if following is None:
                return tuple(found)
    except VenueUnavailable:
        return None
    return None


def _is_of(order: Order, trade: VenueTrade) -> bool:
    named = trade.client_order_id == order.order_id or trade.venue_order_id in order.venue_order_ids
    return named and (trade.symbol, trade.side) == (order.symbol, order.side)


def _follow(session: Session, order: Order, seen: VenueOrder, request: VerdictRequest, at: datetime) -> None:
    """Attach what the venue shows. One that was changed there is taken as it is, if the operator gives a reason."""
    services = session.services
    if not same_order(order, seen):
        changed = f"{seen.side} {seen.quantity} {seen.symbol} at {seen.limit_price or 'market'}"
        if not request.reason.strip():
            problem = f"{order.order_id} is {order.state}, and the venue shows it changed: {changed}"
            raise InvalidInput("resolve_order.reason", problem, "Add --reason to take it as the venue shows it.")
        said = {"author": request.author, "reason": request.reason}
        taken = update_as_judged(services, order, at, lambda o, a, stamp: take_as_shown(o, a, seen, said, stamp))
        if taken is None:
            raise Conflict(f"order {order.order_id}")
    if contradicted := wrong_word(order, seen):
        open_incident(services, contradicted.incident(order.account, at), StopLevel.REDUCE_ONLY)
    attach(services, order.order_id, seen, at)


# --- what is said of it ----------------------------------------------------------------------------------------------


def _beside(asked: Asked) -> GivenBeside:
    return GivenBeside(asked.shown, asked.trades or (), asked.at, bool(asked.no_symbol))


def _end(session: Session, order: Order, request: VerdictRequest, asked: Asked) -> Order:
    """End the order by the word, if it still is what was judged."""
    if request.verdict is None:
        raise ValueError("nothing was said")
    profile = session.venue.profile
    word = Word(verdict=request.verdict, author=request.author, reason=request.reason, at=asked.at)
    foreign = [
        trade.key
        for trade in session.services.ledger.unattributed_trades(order.account)
        if (trade.symbol, trade.side) == (order.symbol, order.side)
    ]
    evidence = {
        "not_found_at": f"{asked.at:%FT%TZ}",
        "trades_read": asked.trades is not None,
        **({"no_symbol": asked.no_symbol} if asked.no_symbol else {}),
        "unattributed_trades": foreign,
    }
    until = watched_until(order, profile)
    ended = update_as_judged(
        session.services, order, asked.at, lambda o, a, stamp: end_by_word(o, a, word, evidence, until, stamp)
    )
    if ended is None:
        raise Conflict(f"order {order.order_id}")
    return ended


# --- what came of it -------------------------------------------------------------------------------------------------


def _told(
    session: Session, order: Order, standing: Collection[str], asked: Asked | None, *, already: bool = False
) -> Resolved:
    """How it stands now. `standing`: the incidents that were open before; following the venue ends some by itself."""
    shown = asked.shown if asked else None
    settled_by = order.word
    answered_by = _answered_by(order) if shown is not None or settled_by is not None else ()
    resolution = f"said to be {settled_by.verdict}: {settled_by.reason}" if settled_by else "found"
    author = settled_by.author if settled_by else AUTHOR
    end_incidents(session.services, order.account, answered_by, resolution, author)
    return Resolved(
        account=order.account,
        order_id=order.order_id,
        state=order.state,
        settled=order.settled,
        filled_quantity=f"{order.filled_quantity:f}",
        shown=shown,
        trades_read=asked is None or asked.trades is not None,
        word=settled_by,
        already=already,
        choices=() if answered_by or asked is None else _choices(order, asked, session),
        resolved=tuple(incident_id for incident_id in answered_by if incident_id in standing),
        no_symbol=asked.no_symbol if asked else "",
    )


def _choices(order: Order, asked: Asked, session: Session) -> tuple[Choice, ...]:
    """What could be said now; of an order that is over, only fills that are owed."""
    if order.state in TERMINAL and order.explained:
        return ()
    found = ((verdict, _obstacle(session, order, verdict, asked)) for verdict in Verdict)
    return tuple(
        Choice(verdict=verdict, problem=refused.problem, remedy=refused.remedy) if refused else Choice(verdict=verdict)
        for verdict, refused in found
    )


def _answered_by(order: Order) -> tuple[str, ...]:
    """The incidents that asked what has been answered by now."""
    kinds = [IncidentKind.UNKNOWN_OUTCOME, IncidentKind.MISSING_ORDER, IncidentKind.ORDER_MISMATCH]
    kinds += [IncidentKind.FILLS_MISSING] if order.explained else []
    return tuple(f"{kind}:{order.order_id}" for kind in kinds)
