"""Count a trade as a fill of an order of ours, once, whatever was said of it before. Asks no venue."""

from typing import Any

from belay.domain.account import Account
from belay.domain.errors import Conflict
from belay.domain.flows import Flow
from belay.domain.foreign import taken_back
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.transitions import Change, Stamp, record_fill
from belay.domain.venues import VenueTrade
from belay.ports import Services
from belay.workflows.resolve import close_unknown
from belay.workflows.updates import TRIES, update_order


def count_fill(services: Services, order_id: str, trade: VenueTrade, detail: dict[str, Any] | None = None) -> bool:
    """Count a trade as a fill of an order, unless it is one already.

    A trade that counts as a flow is taken back as such first, by another flow of a fixed id; where a process stops
    before the fill, the next run counts that. The account is read before the flows are looked for, and each of them
    moves it on: so nothing counts twice.
    """
    _take_back(services, order_id, trade)

    def counted(order: Order, account: Account, stamp: Stamp) -> Change | None:
        if _owed(services, order, account, trade) is not None:
            return None  # said meanwhile: the next run takes it back
        return record_fill(order, account, trade, stamp, detail)

    filled = update_order(services, order_id, trade.at, counted)
    if filled is not None:
        close_unknown(services, filled, f"the venue reports trade {trade.trade_id}")
    return filled is not None


def _take_back(services: Services, order_id: str, trade: VenueTrade) -> None:
    ledger = services.ledger
    for _ in range(TRIES):
        order = ledger.order(order_id)
        if order is None or not order.understood or order.state in NEVER_SENT:
            return None
        account = ledger.account(order.account)
        flow = _owed(services, order, account, trade) if account.understood else None
        if flow is None or _is_fill(services, order, trade):
            return None
        try:
            return ledger.record_flow(flow, account.with_flow(flow))
        except Conflict:
            continue
    raise Conflict(f"account of order {order_id}")


def _owed(services: Services, order: Order, account: Account, trade: VenueTrade) -> Flow | None:
    """The flow that is to be recorded before the trade may count as a fill; None where there is none, or it is."""
    ledger = services.ledger
    flow = taken_back(account, ledger.flow(order.account, trade.key), trade, order.order_id, services.clock.now())
    known = flow is None or ledger.flow(order.account, flow.flow_id) is not None
    return None if known else flow


def _is_fill(services: Services, order: Order, trade: VenueTrade) -> bool:
    story = services.ledger.story(order.decision_id)
    return story is not None and any(fill.key == trade.key for fill in story.fills)
