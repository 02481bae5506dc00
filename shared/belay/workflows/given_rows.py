"""Rows of the venue that a person gives for an order's fills: nothing is believed that something known contradicts.

The venue was asked just now; what it told, and what the ledger holds, goes before what was copied by hand.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from belay.domain.account import summed
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.given import as_told
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, same_order
from belay.domain.venues import VenueOrder, VenueTrade
from belay.domain.verdicts import DATING, VerdictRequest, evidenced, require_as_told, require_fitting, require_plausible
from belay.workflows.fills import count_fill
from belay.workflows.requests import end_incidents
from belay.workflows.session import Session

# Fills that are read at first, and how many times as many where they do not reach back to the order's claim.
LATEST, MORE = 100, 10


class GivenBeside(NamedTuple):
    """What the venue told when it was asked at `at`: the order, if it shows it, and its symbol's trades. Of a symbol
    that is gone it can be asked nothing."""

    shown: VenueOrder | None
    trades: tuple[VenueTrade, ...]
    at: datetime
    symbol_is_gone: bool


def count_rows(session: Session, order: Order, request: VerdictRequest, beside: GivenBeside) -> bool:
    """Count the rows as fills, with who gave them; True if they all were counted before.

    Raises:
        InvalidInput: names the row and its field; nothing of them is counted then.
        VenueUnavailable: the venue could not be asked whose a venue order is.
    """
    services, name = session.services, order.account
    trades = evidenced(order, request.trades, session.venue.profile)
    fills: Sequence[Fill] = _fills_since(session, order)
    story = services.ledger.story(order.decision_id)  # consistent, where the list of fills may lag a little
    mine = (fill for fill in story.fills if fill.order_id == order.order_id) if story else ()
    events = story.events if story else ()
    own = [fill for fill in mine if fill.key not in order.replaced]
    fills = [fill for fill in fills if fill.key not in order.replaced]
    counted = frozenset(fill.key for fill in own)
    waiting = {trade.key: trade for trade in services.ledger.unattributed_trades(name)}
    flows = (services.ledger.flow(name, trade.key) for trade in trades)
    spoken_of = [flow.trade for flow in flows if flow is not None and flow.trade is not None]
    told = {trade.key: trade for trade in (*beside.trades, *waiting.values(), *spoken_of)}
    known_trades = [*(as_told(fill, events) for fill in own), *(fill.trade for fill in fills if fill not in own)]
    require_fitting(order, request.trades, trades, counted, beside.at, beside.shown)
    for number, trade in enumerate(trades):
        _require_free(session, order, number, trade, fills)
        require_as_told(number, trade, [*told.values(), *known_trades])
    _require_plausible(session, order, trades, {*told, *counted})
    _require_its_venue_orders(session, order, trades, beside)
    evidence = {"author": request.author, "reason": request.reason, "evidence": "the venue's rows, by an operator"}
    for trade in trades:
        known = waiting.get(trade.key)
        count_fill(services, order.order_id, told.get(trade.key, trade), evidence, given=trade.key not in told)
        if known is not None:
            services.ledger.drop_unattributed(name, known)
            waited = [f"{IncidentKind.UNATTRIBUTED_TRADE}:{known.key}"]
            end_incidents(services, name, waited, f"a fill of {order.order_id}: {request.reason}", request.author)
    return {trade.key for trade in trades} <= counted


def _fills_since(session: Session, order: Order) -> tuple[Fill, ...]:
    """The account's fills since the order was claimed, whosever they are; before that none can be its own."""
    if order.attempt is None:
        raise ValueError(f"{order.order_id} was never sent")
    since, most = order.attempt.request.claimed_at - DATING, LATEST
    while True:
        fills = session.services.ledger.fills(order.account, most)
        if len(fills) < most or fills[-1].trade.at < since:
            return fills
        most *= MORE


def _require_plausible(session: Session, order: Order, trades: Iterable[VenueTrade], known: Container[str]) -> None:
    """Raises InvalidInput: a row that nothing else tells has an amount that cannot be meant."""
    if order.attempt is None:
        raise ValueError(f"{order.order_id} was never sent")
    held = session.services.ledger.account(order.account).expected_balances()
    for number, trade in enumerate(trades):
        if trade.key not in known:
            require_plausible(number, trade, order.attempt, held)
            held = summed(held, {asset: -fee for asset, fee in trade.fees.items()})


def _require_free(session: Session, order: Order, number: int, trade: VenueTrade, fills: Iterable[Fill]) -> None:
    """Raises InvalidInput: the row is of another order of ours, or a flow that is not known to be this one's."""
    ledger, field = session.services.ledger, f"resolve_order.trades.{number}"
    others = (fill for fill in fills if fill.order_id != order.order_id and fill.trade.side is trade.side)
    same = next((o for o in others if (o.trade.symbol, o.trade.trade_id) == (trade.symbol, trade.trade_id)), None)
    if same is not None:
        problem = f"trade {trade.trade_id} is a fill of order {same.order_id}"
        raise InvalidInput(f"{field}.trade_id", problem, "Give the rows of this order.")
    owner = ledger.order_of_venue_id(order.account, trade.symbol, trade.venue_order_id)
    if owner not in (None, order.order_id):
        problem = f"the venue's order {trade.venue_order_id} is our order {owner}"
        raise InvalidInput(f"{field}.venue_order_id", problem, "Give the rows of this order.")
    flow = ledger.flow(order.account, trade.key)
    if flow is not None and trade.venue_order_id not in order.venue_order_ids:
        problem = f"trade {trade.trade_id} was counted by {flow.author} as a flow"
        raise InvalidInput(f"{field}.trade_id", problem, "It counts once; `belay flows` tells it.")


def _require_its_venue_orders(
    session: Session, order: Order, trades: Iterable[VenueTrade], beside: GivenBeside
) -> None:
    """Ask the venue whose a venue order is that nothing ties to this order yet.

    Raises InvalidInput: it is another's, or is not what was sent.
    """
    if beside.symbol_is_gone:
        return
    asked: set[str] = set(order.venue_order_ids)
    for number, trade in enumerate(trades):
        if trade.venue_order_id in asked:
            continue
        asked.add(trade.venue_order_id)
        found = session.venue.lookup(order.symbol, order.order_id, venue_order_id=trade.venue_order_id)
        if found is None or found.venue_order_id != trade.venue_order_id or found.client_order_id == order.order_id:
            continue
        if found.client_order_id is not None or not same_order(order, found):
            whose = f"of client order id {found.client_order_id}" if found.client_order_id else "of no client order id"
            problem = f"the venue's order {trade.venue_order_id} is {whose}: {found.side} {found.quantity}"
            raise InvalidInput(f"resolve_order.trades.{number}.venue_order_id", problem, "Give the rows of this order.")
