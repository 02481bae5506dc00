"""Whose the venue's orders and trades are, and which trades are counted already. Writes nothing."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import NamedTuple

from belay.domain.orders import Order
from belay.domain.reconciliation import LedgerView
from belay.domain.venues import VenueOrder, VenueTrade
from belay.workflows.gaps import Gaps
from belay.workflows.ledger_view import Kept, Known
from belay.workflows.session import Session
from belay.workflows.sightings import sight
from belay.workflows.venue_view import Shown


class Owned(NamedTuple):
    """The ledger's side with everything that the venue refers to. `seen`: by order id, what the venue shows of orders
    whose trades gave them away; `sightings`: keys of trades of which it has not said yet whose they are. `counted`:
    keys of trades that are fills or flows already, though no cursor says so."""

    ledger: LedgerView
    seen: dict[str, VenueOrder]
    sightings: frozenset[str]
    counted: frozenset[str]


def find_owners(
    session: Session,
    known: Known,
    kept: Kept,
    shown: Shown,
    trades: Iterable[VenueTrade],
    dealt_with: frozenset[str],
    now: datetime,
    gaps: Gaps,
) -> Owned:
    """Ask for the owner of everything shown, and of each of `trades` that no cursor has `dealt_with`, by its key."""
    ledger, account = session.services.ledger, session.document.account
    new = [trade for trade in trades if trade.key not in dealt_with]
    orders, by_venue_id = _match(session, known, shown, new, gaps)
    strays = [trade for trade in new if not _named(trade, orders, by_venue_id)]
    flows = {trade.key for trade in strays if ledger.flow(account, trade.key) is not None}
    strays = [trade for trade in strays if trade.key not in flows]
    seen, sightings = sight(session, known.watched, strays, now)
    by_venue_id |= {(order.symbol, order.venue_order_id): order_id for order_id, order in seen.items()}
    view = LedgerView(
        account=known.account,
        document=session.document,
        orders=orders,
        by_venue_id=by_venue_id,
        recorded_trades=dealt_with | flows,
        last_proof=ledger.last_proof(account),
        owing=tuple(flow.trade for key in known.account.owing if (flow := ledger.flow(account, key)) and flow.trade),
    )
    counted = _counted(session, view, new, kept)
    view = view.model_copy(update={"recorded_trades": view.recorded_trades | counted})
    return Owned(view, seen, sightings, counted)


def _match(
    session: Session,
    known: Known,
    shown: Shown,
    trades: Iterable[VenueTrade],
    gaps: Gaps,
) -> tuple[dict[str, Order], dict[tuple[str, str], str]]:
    """The orders that anything at the venue refers to, settled ones included, and which venue order is whose."""
    ledger, account = session.services.ledger, session.document.account
    orders = dict(known.orders)
    by_venue_id = {(s.symbol, s.venue_order_id): order_id for order_id, s in shown.lookups.items() if s is not None}
    mentioned: tuple[VenueOrder | VenueTrade, ...] = (*shown.open_orders, *trades)
    for seen in mentioned:
        key = (seen.symbol, seen.venue_order_id)
        if key in by_venue_id:
            continue
        owner = partial(ledger.order_of_venue_id, account, *key)
        order_id = seen.client_order_id or gaps.tried(seen.symbol, f"owner of {seen.venue_order_id}", owner)
        order = orders.get(order_id) or ledger.order(order_id) if order_id else None
        if order is not None and order.account == account:
            orders[order.order_id] = order
            by_venue_id[key] = order.order_id
    return orders, by_venue_id


def _named(trade: VenueTrade, orders: dict[str, Order], by_venue_id: dict[tuple[str, str], str]) -> bool:
    return trade.client_order_id in orders or (trade.symbol, trade.venue_order_id) in by_venue_id


def _counted(
    session: Session,
    view: LedgerView,
    trades: Collection[VenueTrade],
    kept: Kept,
) -> frozenset[str]:
    """The fills of the orders that these trades belong to, and the flows: a cursor that was not moved on does not know
    of them. What waits without an owner is no flow, or it would not wait."""
    waiting, said = {trade.key for trade in kept.waiting}, {trade.key for trade in kept.said}
    owners = {order.decision_id for trade in trades if (order := view.order_for(trade))}
    stories = (session.services.ledger.story(decision_id) for decision_id in sorted(owners))
    known = [story for story in stories if story]
    doubtful_ones = {key for story in known for order in story.orders for key in (*order.replaced, *order.given)}
    fills = {fill.key for story in known for fill in story.fills} - doubtful_ones
    # Where nobody ever recorded a flow, none is looked for.
    doubtful = [trade for trade in trades if trade.key not in {*fills, *said}] if view.account.external else []
    asked = (trade.key for trade in doubtful if trade.key not in waiting or view.owner(trade))
    flows = {key for key in asked if session.services.ledger.flow(session.document.account, key)}
    return frozenset(fills | flows)
