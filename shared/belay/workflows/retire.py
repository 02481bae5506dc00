"""A symbol is retired: the positions in it are written off at cost, and it may leave the account document. Asks no
venue, since one that has delisted it answers nothing.

Each position is one conditional step; a repetition finishes what a stop left undone. A symbol that trades again is
taken back in one more.
"""

from collections.abc import Mapping
from typing import Any

from belay.domain.errors import Conflict, InvalidInput
from belay.domain.flows import Flow
from belay.domain.incidents import IncidentKind
from belay.domain.record import Record, Symbol
from belay.domain.retirement import RetireRequest, require_gone, require_known, require_quiet, taken_back, written_off
from belay.ports import Services
from belay.workflows.outage import gone_since
from belay.workflows.requests import Answer, answered, end_incidents
from belay.workflows.session import Session, open_session
from belay.workflows.updates import TRIES


class Retired(Record):
    """What was written off, a record for each position, and which incidents ended; `already`: nothing was left to do.

    `listed`: the account document still has the symbol.
    """

    account: str
    symbol: Symbol
    written_off: tuple[Flow, ...]
    already: bool
    listed: bool
    resolved: tuple[str, ...]


class TakenBack(Record):
    """`record` is that of taking the symbol back; None where it was not retired: nothing was left to do.

    `listed`: the account document has the symbol, so that it is traded again once a reconciliation has read it.
    """

    account: str
    symbol: Symbol
    record: Flow | None
    listed: bool


def answer(event: Mapping[str, Any], services: Services) -> Answer:
    return answered(event, "retire", lambda account, wish: retire(account, RetireRequest.parse(wish), services))


def answer_take_back(event: Mapping[str, Any], services: Services) -> Answer:
    field = "take_back"
    return answered(event, field, lambda account, wish: take_back(account, RetireRequest.parse(wish, field), services))


def retire(account: str, request: RetireRequest, services: Services) -> Retired:
    """Write off what is held of a symbol, and remember that it is retired. Asked twice, it is done once.

    Raises:
        InvalidInput: the venue has not said for a day that it does not trade it, an order is open in it, a trade in it
            waits for its order, or entries in it are not stopped.
        Conflict: others kept changing the account.
    """
    session = open_session(services, account)
    done = []
    while (flow := _step(session, request)) is not None:
        done.append(flow)
    ended = [f"{IncidentKind.SYMBOL_UNAVAILABLE}:{request.symbol}"]
    return Retired(
        account=account,
        symbol=request.symbol,
        written_off=tuple(done),
        already=not done,
        listed=request.symbol in session.document.symbols,
        resolved=end_incidents(services, account, ended, f"retired: {request.reason}", request.author),
    )


def take_back(account: str, request: RetireRequest, services: Services) -> TakenBack:
    """Make a retired symbol an ordinary one again. Asked twice, it is done once.

    Raises:
        InvalidInput: it is not one of the account's symbols.
        Conflict: others kept changing the account.
    """
    session = open_session(services, account)
    listed = request.symbol in session.document.symbols
    for _ in range(TRIES):
        held = services.ledger.account(account)
        require_known(request.symbol, held, session.document, "take_back.symbol")
        found = taken_back(held, request, session.clock.now())
        if found is None:
            return TakenBack(account=account, symbol=request.symbol, record=None, listed=listed)
        try:
            services.ledger.record_flow(*found)
        except Conflict:
            continue
        return TakenBack(account=account, symbol=request.symbol, record=found[0], listed=listed)
    raise Conflict(f"account {account}")


def _step(session: Session, request: RetireRequest) -> Flow | None:
    services, name = session.services, session.document.account
    for _ in range(TRIES):
        account = services.ledger.account(name)
        require_known(request.symbol, account, session.document)
        found = written_off(account, request, session.clock.now())
        if found is None:
            return None
        require_gone(request.symbol, session.clock.now(), gone_since(services.ledger, name, request.symbol))
        require_quiet(request.symbol, account, services.ledger.operator_stops(name))
        _require_nothing_waits(session, request.symbol)
        flow, after = found
        try:
            services.ledger.record_flow(flow, after)
        except Conflict:
            continue
        return flow
    raise Conflict(f"account {name}")


def _require_nothing_waits(session: Session, symbol: str) -> None:
    ledger, name = session.services.ledger, session.document.account
    for order in ledger.open_orders(name):
        if order.symbol == symbol:
            problem = f"order {order.order_id} in {symbol} is {order.state} and not settled"
            raise InvalidInput("retire.symbol", problem, "Cancel it, resolve it, or wait until it is settled.")
    if any(trade.symbol == symbol for trade in ledger.unattributed_trades(name)):
        remedy = f"First: belay trades attribute, or belay trades foreign --symbol {symbol}."
        raise InvalidInput("retire.symbol", f"a trade in {symbol} waits for its order", remedy)
