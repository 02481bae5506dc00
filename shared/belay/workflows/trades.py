"""Trades that no order explains: a person gives them to a strategy, or calls them foreign.

The venue is asked first whose they are. Then each trade is one conditional step, a flow under the trade's own key; a
repetition finishes what a stop left undone.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from belay.domain.account import Account
from belay.domain.errors import Conflict, InvalidInput, SymbolUnavailable
from belay.domain.flows import Flow
from belay.domain.foreign import LIST, TradesRequest, back_id, flow_of, named, require_owned
from belay.domain.incidents import IncidentKind
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.record import Name, Record, Symbol
from belay.domain.venues import VenueOrder, VenueTrade
from belay.ports import Services
from belay.workflows.identity import refuse_other_identity
from belay.workflows.requests import Answer, answered, end_incidents, require_strategy
from belay.workflows.session import Session, open_session
from belay.workflows.sightings import MAY_BE_SIGHTED
from belay.workflows.updates import TRIES

# How many venue orders the venue is asked about at once: of a symbol's trades the others are left for the next time.
MOST_ASKED = 10
# Around a trade, where the venue's list is asked for it.
AROUND = timedelta(seconds=1)

type Shown = Mapping[str, VenueOrder | None]


class Said(Record):
    """A trade that is `strategy`'s now, or nobody's here; `already`: it was said before. `taken`: assets whose balances
    were taken with it in them, by a rebase: of those it counts nothing more."""

    trade: VenueTrade
    strategy: Name | None
    author: str
    reason: str
    already: bool
    taken: tuple[str, ...] = ()


class Trades(Record):
    """What was said of trades, which incidents that ended, and the trades that still wait for their order."""

    account: str
    said: tuple[Said, ...]
    resolved: tuple[str, ...]
    left: tuple[VenueTrade, ...]


def answer(event: Mapping[str, Any], services: Services) -> Answer:
    return answered(event, "trades", lambda account, wish: trades(account, TradesRequest.parse(wish), services))


def trades(account: str, request: TradesRequest, services: Services) -> Trades:
    """Record what is said of trades, or say which there are. Asked twice, it counts them once.

    Raises:
        InvalidInput: one of them cannot be what is said; then none of it is recorded.
        VenueUnavailable: the venue could not be asked whose they are; likewise.
        Conflict: others kept changing the account.
    """
    session = open_session(services, account)
    refuse_other_identity(session)
    if request.strategy is not None:
        require_strategy(session, request.strategy, request.new_strategy, "trades.strategy")
    wanted = _wanted(session, request)
    shown = _ask(session, (trade for trade, flow in wanted if flow is None))
    before = services.ledger.account(account)
    for trade, flow in wanted:
        if flow is None:
            _require_nobodys(session, before, request, trade, shown)
    said = tuple(_say(session, request, trade, shown) for trade, _ in wanted)
    for one in said:
        services.ledger.drop_unattributed(account, one.trade)
    left = services.ledger.unattributed_trades(account)
    resolved = _end_incidents(services, account, said, left)
    return Trades(account=account, said=said, resolved=resolved, left=left)


def _end_incidents(
    services: Services, account: str, said: tuple[Said, ...], left: tuple[VenueTrade, ...]
) -> tuple[str, ...]:
    """Those about these trades, and about their symbols once no trade in them waits any longer."""
    waiting, resolved = {trade.symbol for trade in left}, tuple[str, ...]()
    for one in said:
        subjects = [one.trade.key, *({one.trade.symbol} - waiting)]
        about = [f"{IncidentKind.UNATTRIBUTED_TRADE}:{subject}" for subject in subjects]
        resolved += end_incidents(services, account, about, f"{_whose(one.strategy)}: {one.reason}", one.author)
    return resolved


def _whose(strategy: str | None) -> str:
    return f"given to {strategy}" if strategy else "called foreign"


def _wanted(session: Session, request: TradesRequest) -> list[tuple[VenueTrade, Flow | None]]:
    """The trades that are meant, each with the flow that it is already."""
    ledger, account = session.services.ledger, session.document.account
    waiting = ledger.unattributed_trades(account)
    if request.symbol is not None:
        meant = [trade for trade in waiting if trade.symbol == request.symbol]
        _require_known(session, request.symbol, waiting, meant)
        at_once = sorted({trade.venue_order_id for trade in meant})[:MOST_ASKED]
        return [(trade, ledger.flow(account, trade.key)) for trade in meant if trade.venue_order_id in at_once]
    names = request.foreign if request.attribute is None else (request.attribute,)
    found = {}
    for name in names:
        trade = named(name, waiting)
        flow = ledger.flow(account, trade.key if trade else name)
        trade = trade or (flow.trade if flow else None)
        if flow is not None and (back := ledger.flow(account, back_id(flow.flow_id))) is not None:
            raise InvalidInput("trades.trade", f"{flow.flow_id} is {back.evidence}", "Nothing is to be done.")
        if trade is None:
            raise InvalidInput("trades.trade", f"no trade without an order is known as {name}", LIST)
        _require_same(flow, request, trade)
        found[trade.key] = (trade, flow)
    return list(found.values())


def _require_known(
    session: Session, symbol: Symbol, waiting: Iterable[VenueTrade], meant: Collection[VenueTrade]
) -> None:
    """Where nothing waits in a symbol, that is so because all is said, or because nobody trades in it: a typo."""
    if (
        meant
        or symbol in session.document.symbols
        or symbol in session.services.ledger.account(session.document.account).held_symbols()
    ):
        return
    others = ", ".join(sorted({trade.symbol for trade in waiting}))
    problem = f"nobody trades {symbol}; trades wait in {others}" if others else f"nobody trades {symbol}; none waits"
    raise InvalidInput("trades.symbol", problem, LIST)


def _require_same(flow: Flow | None, request: TradesRequest, trade: VenueTrade) -> None:
    if flow is not None and flow.strategy != request.strategy:
        problem = f"{trade.key} was {_whose(flow.strategy)} by {flow.author}: {flow.evidence}"
        raise InvalidInput("trades.trade", problem, "It is counted, once; `belay flows` tells it.")


def _ask(session: Session, trades: Iterable[VenueTrade]) -> Shown:
    """By the trade's key, the venue's order behind it, whoever's that is; None where the venue does not show it, or has
    no such symbol any more.

    Raises:
        InvalidInput: the venue shows neither the order nor the trade.
    """
    shown: dict[tuple[str, str], VenueOrder | None] = {}
    found: dict[str, VenueOrder | None] = {}
    for trade in trades:
        place = (trade.symbol, trade.venue_order_id)
        try:
            if place not in shown:
                shown[place] = session.venue.lookup(trade.symbol, "", venue_order_id=trade.venue_order_id)
            if shown[place] is None:
                _require_shown(session, trade)
        except SymbolUnavailable:
            shown[place] = None
        found[trade.key] = shown[place]
    return found


def _require_shown(session: Session, trade: VenueTrade) -> None:
    page = session.venue.trades(trade.symbol, trade.at - AROUND, trade.at + AROUND)
    while trade.key not in (rows := {row.key: row for row in page.trades}) and page.next_page is not None:
        page = session.venue.trades(trade.symbol, trade.at - AROUND, trade.at + AROUND, page.next_page)
    told = rows.get(trade.key)
    if told is None:  # some venues' lists leave out what they no longer list, and say nothing of it: this does
        session.market_data.market(trade.symbol)
    if told is None or (told.quantity, told.price) != (trade.quantity, trade.price):
        shows = f"{told.quantity} at {told.price}" if told else "no such trade"
        problem = f"{trade.key} is {trade.quantity} at {trade.price} here, and the venue shows {shows}"
        raise InvalidInput("trades.trade", problem, "Look it up at the venue; ask again once it shows the trade.")


def _require_nobodys(
    session: Session, account: Account, request: TradesRequest, trade: VenueTrade, shown: Shown
) -> None:
    """Refuse a trade that an order of ours owns, or may own: then the order says what it was."""
    ledger, name = session.services.ledger, session.document.account
    seen = shown.get(trade.key)
    told = trade.client_order_id or (seen.client_order_id if seen else None)
    owner_id = told or ledger.order_of_venue_id(name, trade.symbol, trade.venue_order_id)
    owner = ledger.order(owner_id) if owner_id else None
    if owner is not None and owner.account == name and owner.state not in NEVER_SENT and _fits(owner, trade):
        problem = f"{trade.key} is a fill of order {owner.order_id}, which is {owner.state}"
        remedy = f"The next reconciliation counts it; to see to it now: belay resolve {owner.order_id}."
        raise InvalidInput("trades.trade", problem, remedy)
    held = () if told else account.reservations.values()  # of another's order nothing is ours
    for order in (ledger.order(reservation.order_id) for reservation in held):
        if order is None or order.attempt is None or order.state not in MAY_BE_SIGHTED or not _fits(order, trade):
            continue
        if order.attempt.request.claimed_at > trade.at:
            continue
        problem = f"{trade.key} may be a fill of order {order.order_id}, which is {order.state}"
        raise InvalidInput("trades.trade", problem, f"First find out: belay resolve {order.order_id}.")
    flow = flow_of(trade, request, account, session.services.clock.now())
    require_owned(account, flow, partial(_is_dust, session, trade))


def _is_dust(session: Session, trade: VenueTrade, quantity: Decimal) -> bool:
    """Whether so much is too little to be sold at all. What cannot be judged is none."""
    with suppress(Exception):
        return session.market_data.market(trade.symbol).too_small(quantity, trade.price)
    return False


def _fits(order: Order, trade: VenueTrade) -> bool:
    return (order.symbol, order.side) == (trade.symbol, trade.side)


def _say(session: Session, request: TradesRequest, trade: VenueTrade, shown: Shown) -> Said:
    """One step: the flow, and the account with it. The account is read before its orders are: whoever counts the trade
    as a fill meanwhile moves the account on."""
    services, name = session.services, session.document.account
    for _ in range(TRIES):
        account = services.ledger.account(name)
        known = services.ledger.flow(name, trade.key)
        flow = known or flow_of(trade, request, account, services.clock.now())
        if known is None:
            _require_nobodys(session, account, request, trade, shown)
            try:
                services.ledger.record_flow(flow, account.with_flow(flow))
            except Conflict:
                continue
        _require_same(flow, request, trade)
        return Said(
            trade=trade,
            strategy=flow.strategy,
            author=flow.author,
            reason=flow.evidence,
            already=known is not None,
            taken=tuple(sorted(trade.asset_changes().keys() - flow.amounts.keys())),
        )
    raise Conflict(f"account {name}")
