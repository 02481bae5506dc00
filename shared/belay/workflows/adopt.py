"""Make a strategy's own what is no strategy's: balances, and open orders. Sends nothing to the venue.

Every write is conditional and complete in itself, so that a repetition finishes what a stop left undone.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from belay.domain.adoption import (
    AdoptRequest,
    Candidate,
    Terms,
    adopt_balance,
    adopted_before,
    adoption_id,
    left_to_adopt,
    obstacle,
    take_over,
)
from belay.domain.decisions import Side
from belay.domain.errors import BelayError, Conflict, InvalidInput
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.reconciliation import compared
from belay.domain.record import ZERO, Record, Symbol, Utc, base_asset, parted, plain
from belay.domain.venues import VenueOrder
from belay.ports import Services
from belay.workflows.identity import refuse_other_identity
from belay.workflows.integrity import beyond
from belay.workflows.reconcile import Reconciled, reconcile
from belay.workflows.requests import require_strategy
from belay.workflows.session import Session, open_session
from belay.workflows.updates import TRIES, end_incident, stamp
from belay.workflows.views import Views, read


class Adopted(Record):
    """One thing that belongs to a strategy now, or did `already`: a part of a balance, or an order.

    `quantity` in base, `price` in quote currency: the cost of a unit, or the order's limit. `order_id` and `side` are
    an order's.
    """

    strategy: str
    symbol: Symbol
    quantity: Decimal | None
    price: Decimal | None
    order_id: str | None = None
    side: Side | None = None
    already: bool


class Balance(Record):
    """The opening balance behind a symbol, in base currency, and how much there is no strategy's, `left` to adopt."""

    symbol: Symbol
    opening: Decimal
    left: Decimal


class Foreign(Record):
    """An open order of the venue that is nobody's. `problem` and `remedy`: why it cannot be adopted, if so."""

    seen: VenueOrder
    problem: str = ""
    remedy: str = ""


class Adoptable(Record):
    """What was adopted, which incidents that resolved, and what is left to adopt.

    `reconciled`: the run that opened the account's books, if they were not open yet.
    """

    account: str
    reconciled: Reconciled | None
    adopted: tuple[Adopted, ...]
    resolved: tuple[str, ...]
    balances: tuple[Balance, ...]
    orders: tuple[Foreign, ...]


class Wanted(NamedTuple):
    """An order to take over, what it is valued at, and on what terms."""

    seen: VenueOrder
    price: Decimal
    terms: Terms


def answer(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Adopt what an event like `{"account": "paper", "adopt": {}}` asks for; what stands against it is data, too."""
    try:
        adopted = adopt(str(event.get("account", "")), AdoptRequest.parse(event["adopt"]), services)
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except BelayError as error:
        return {"error": "adopt", "problem": str(error), "remedy": "Ask again: what is adopted stays adopted."}
    return adopted.model_dump(mode="json")


def adopt(account: str, request: AdoptRequest, services: Services) -> Adoptable:
    """Adopt what is asked for, or say what could be adopted. Asked twice, it adopts once.

    Raises:
        InvalidInput: a part of it cannot be adopted, and then none of it is; or the account's books cannot be opened.
        VenueUnavailable: the venue could not be read.
        Conflict: others kept changing the account.
    """
    session = open_session(services, account)
    _require_understood(session)
    refuse_other_identity(session)
    reconciled = _open_books(session)
    views = read(session)
    adopted: tuple[Adopted, ...] = ()
    resolved: tuple[str, ...] = ()
    if request.strategy is not None:
        require_strategy(session, request.strategy, request.new_strategy, "adopt.strategy")
        adopted = _carry_out(request.strategy, request, session, views)
        resolved = _close_incidents(session, request)
    return Adoptable(
        account=account,
        reconciled=reconciled,
        adopted=adopted,
        resolved=resolved,
        balances=_balances(session),
        orders=_left(session, views),
    )


def _require_understood(session: Session) -> None:
    ledger, account = session.services.ledger, session.document.account
    later = beyond(ledger.account(account), session.configuration)
    if not later and not ledger.operator_stops(account).understood:
        later = "the operators' stops are of a later version"
    if later:
        raise InvalidInput("account", later, "Deploy that version again, and adopt with it.")


def _open_books(session: Session) -> Reconciled | None:
    """What there is to adopt is known from the first reconciliation on."""
    services, account = session.services, session.document.account
    if services.ledger.account(account).opening is not None:
        return None
    done = reconcile(account, services)
    if services.ledger.account(account).opening is None:
        problem = f"the balances of {account} at its start are not known: {done.reason}"
        raise InvalidInput("account", problem, "Ask again once a reconciliation has recorded them.")
    return done


# --- what there is ---------------------------------------------------------------------------------------------------


def _balances(session: Session) -> tuple[Balance, ...]:
    account = session.services.ledger.account(session.document.account)
    opening = account.opening or {}
    balances = (
        Balance(symbol=symbol, opening=opening.get(base_asset(symbol), ZERO), left=left_to_adopt(account, symbol))
        for symbol in session.document.symbols
    )
    return tuple(balance for balance in balances if balance.opening or balance.left)


def _left(session: Session, views: Views) -> tuple[Foreign, ...]:
    """The open orders that were read and still are nobody's."""
    left = []
    for seen in _foreign(views):
        if _ours(seen.client_order_id, session) is None:
            refused = obstacle(_candidate(seen, session, views))
            told = {"problem": refused.problem, "remedy": refused.remedy} if refused else {}
            left.append(Foreign(seen=seen, **told))
    return tuple(left)


def _foreign(views: Views) -> list[VenueOrder]:
    return [seen for seen in views.venue.open_orders if views.ledger.order_for(seen) is None]


def _ours(client_order_id: str | None, session: Session) -> Order | None:
    order = session.services.ledger.order(client_order_id) if client_order_id else None
    return order if order is not None and order.account == session.document.account else None


def _candidate(seen: VenueOrder, session: Session, views: Views) -> Candidate:
    of_it = (
        trade.quantity
        for trade in views.venue.trades
        if (trade.symbol, trade.venue_order_id) == (seen.symbol, seen.venue_order_id)
    )
    namesakes = [other for other in views.venue.open_orders if other.client_order_id == seen.client_order_id]
    stored = session.services.ledger.order(seen.client_order_id) if seen.client_order_id else None
    taken = stored is not None or session.services.ledger.is_later(seen.client_order_id or "")
    return Candidate(seen, session.document, sum(of_it, ZERO), len(namesakes), taken=taken)


# --- adopting it -----------------------------------------------------------------------------------------------------


def _carry_out(strategy: str, request: AdoptRequest, session: Session, views: Views) -> tuple[Adopted, ...]:
    known, wanted = _asked_for(strategy, request, session, views)
    if request.symbol is not None:
        _require_there(base_asset(request.symbol), views)
    _rehearse(request, session, wanted, views.venue.time)
    done = [_adopt_balance(request, session, views.venue.time)] if request.wants_balance else []
    done += [_adopted(order, already=True) for order in known]
    return (*done, *(_take_over(each, session) for each in wanted))


def _asked_for(
    strategy: str, request: AdoptRequest, session: Session, views: Views
) -> tuple[list[Order], list[Wanted]]:
    """The orders that the strategy has adopted already, and those that it is to take over."""
    if request.all_orders:
        open_ids = (seen.client_order_id for seen in views.venue.open_orders)
        ours = [order for client_order_id in open_ids if (order := _ours(client_order_id, session))]
        known, shown = [order for order in ours if _adopted_by(strategy, order, session)], _foreign(views)
    else:
        stored = {name: session.services.ledger.order(name) for name in request.orders}
        known = [_require_same(strategy, order, session) for order in stored.values() if order is not None]
        shown = [_find(name, session, views) for name, order in stored.items() if order is None]
    return known, [_wanted(strategy, seen, request, session, views) for seen in shown]


def _adopted_by(strategy: str, order: Order, session: Session) -> bool:
    named = adoption_id(session.services.stage, session.document.account, strategy, order.symbol, order.order_id)
    return order.decision_id == named


def _require_same(strategy: str, order: Order, session: Session) -> Order:
    if not _adopted_by(strategy, order, session):
        problem = f"{order.order_id} is an order of {order.strategy} in account {order.account}"
        raise InvalidInput("adopt.orders", problem, "Leave it out; belay explain tells its story.")
    return order


def _find(client_order_id: str, session: Session, views: Views) -> VenueOrder:
    """Among the open orders, else by look-up: it may have filled since the account was opened."""
    for seen in _foreign(views):
        if seen.client_order_id == client_order_id:
            return seen
    for symbol in session.document.symbols:
        if found := session.venue.lookup(symbol, client_order_id):
            return found
    raise InvalidInput("adopt.orders", f"the venue has no order {client_order_id}", "belay adopt lists what is open.")


def _wanted(strategy: str, seen: VenueOrder, request: AdoptRequest, session: Session, views: Views) -> Wanted:
    if refused := obstacle(_candidate(seen, session, views)):
        raise refused
    terms = Terms(
        stage=session.services.stage,
        strategy=strategy,
        author=request.author,
        at=views.venue.time,
        cost_rate=session.market_data.market(seen.symbol).taker_fee,
        configuration_version=session.configuration.version,
        layer_version=session.services.layer_version,
    )
    return Wanted(seen, seen.limit_price or session.market_data.price(seen.symbol).value, terms)


def _require_there(asset: str, views: Views) -> None:
    """What is adopted has to be there, and not only expected."""
    found = compared(views.ledger, views.venue).get(asset)
    if found is not None and found.residual < 0 and not found.explained:
        problem = f"the account has {plain(found.actual)} {asset}, {plain(-found.residual)} less than it should"
        raise InvalidInput("adopt.symbol", problem, "First find out where it is: belay flows, belay rebase.")


def _rehearse(request: AdoptRequest, session: Session, wanted: Iterable[Wanted], at: Utc) -> None:
    """Try it all on a copy of the account: what would fail halfway is refused before anything is written."""
    ledger, name = session.services.ledger, session.document.account
    account, stops = ledger.account(name), ledger.operator_stops(name)
    if request.wants_balance and adopted_before(account, request) is None:
        account = adopt_balance(account, stops, session.document, request, at)
    for each in wanted:
        account = take_over(each.seen, each.price, account, stops, each.terms, stamp(session.services, at)).account


def _adopt_balance(request: AdoptRequest, session: Session, at: Utc) -> Adopted:
    ledger, name = session.services.ledger, session.document.account
    for _ in range(TRIES):
        account = ledger.account(name)
        adoption = before = adopted_before(account, request)
        if adoption is None:
            account = adopt_balance(account, ledger.operator_stops(name), session.document, request, at)
            adoption = account.adoptions[-1]
            try:
                ledger.save_account(account)
            except Conflict:
                continue
        return Adopted(
            strategy=adoption.strategy,
            symbol=adoption.symbol,
            quantity=adoption.quantity,
            price=adoption.price,
            already=before is not None,
        )
    raise Conflict(f"account {name}")


def _take_over(wanted: Wanted, session: Session) -> Adopted:
    """Decision, order and reservation in one step; the account's version keeps every claim out of it."""
    services, name = session.services, session.document.account
    for _ in range(TRIES):
        order = services.ledger.order(str(wanted.seen.client_order_id))
        if order is not None:
            return _adopted(_require_same(wanted.terms.strategy, order, session), already=True)
        account, stops = services.ledger.account(name), services.ledger.operator_stops(name)
        written = stamp(services, wanted.terms.at)
        taken = take_over(wanted.seen, wanted.price, account, stops, wanted.terms, written)
        try:
            stored = services.ledger.record_decision(taken.record, (taken.order,), (taken.event,), taken.account)
        except Conflict:
            continue
        return _adopted(taken.order, already=stored.write_id != written.write_id)
    raise Conflict(f"account {name}")


def _adopted(order: Order, *, already: bool) -> Adopted:
    return Adopted(
        strategy=order.strategy,
        symbol=order.symbol,
        quantity=order.quantity,
        price=order.limit_price,
        order_id=order.order_id,
        side=order.side,
        already=already,
    )


# --- what it settles -------------------------------------------------------------------------------------------------


def _close_incidents(session: Session, request: AdoptRequest) -> tuple[str, ...]:
    """Resolve the incidents about venue orders that are ours by now, whichever run adopted them.

    Their stops go first: whoever dies in between leaves an open incident, which the next run finds.
    """
    ledger, name = session.services.ledger, session.document.account
    incidents = [incident for incident in ledger.open_incidents(name) if incident.understood]
    ended = [incident.incident_id for incident in incidents if _has_owner(incident, session)]
    resolution = f"{request.strategy} adopted the order"
    for incident_id in ended:
        end_incident(session.services, name, incident_id, resolution, request.author)
    return tuple(ended)


def _has_owner(incident: Incident, session: Session) -> bool:
    ledger, symbol = session.services.ledger, incident.symbol
    if symbol is None:
        return False
    match incident.kind:
        case IncidentKind.UNKNOWN_VENUE_ORDER:
            venue_ids = {parted(incident.subject, by=":")[-1]}  # once stored without its symbol
        case IncidentKind.UNATTRIBUTED_TRADE:
            venue_ids = {trade.venue_order_id for trade in ledger.loose_trades(incident.account, symbol, None)}
        case _:
            return False
    return all(ledger.order_of_venue_id(incident.account, symbol, venue_id) for venue_id in venue_ids)
