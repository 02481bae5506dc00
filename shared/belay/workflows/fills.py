"""Count a trade as a fill of an order of ours, once, whatever was said of it before, and correct its fee. Asks no
venue."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from belay.domain.account import Account
from belay.domain.errors import Conflict
from belay.domain.flows import Flow
from belay.domain.foreign import fee_id, fee_taken_back, taken_back
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.record import Utc
from belay.domain.transitions import Change, Stamp, correct_fee, record_fill
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
    _take_back(services, order_id, lambda order, account: _owed_before(services, order, account, trade))

    def counted(order: Order, account: Account, stamp: Stamp) -> Change | None:
        if _owed(services, order, account, trade) is not None:
            return None  # said meanwhile: the next run takes it back
        return record_fill(order, account, trade, stamp, detail)

    filled = update_order(services, order_id, trade.at, counted)
    if filled is not None:
        close_unknown(services, filled, f"the venue reports trade {trade.trade_id}")
    return filled is not None


def correct_fill(
    services: Services, order_id: str, trade: VenueTrade, fees: Mapping[str, Decimal], at: Utc
) -> Order | None:
    """Put a fill's true fee in place of its estimate, once; None where it is none, or no longer.

    What of it must not count is taken back first, as above.
    """

    def owed(order: Order, account: Account) -> Flow | None:
        if trade.key not in order.estimated:
            return None
        return _unrecorded(services, fee_taken_back(account, trade, fees, order.order_id, services.clock.now()))

    _take_back(services, order_id, owed)

    def corrected(order: Order, account: Account, stamp: Stamp) -> Change | None:
        return None if owed(order, account) is not None else correct_fee(order, account, trade, fees, stamp)

    return update_order(services, order_id, at, corrected)


def _take_back(services: Services, order_id: str, owed: Callable[[Order, Account], Flow | None]) -> None:
    ledger = services.ledger
    for _ in range(TRIES):
        order = ledger.order(order_id)
        if order is None or not order.understood or order.state in NEVER_SENT:
            return None
        account = ledger.account(order.account)
        flow = owed(order, account) if account.understood else None
        if flow is None:
            return None
        try:
            return ledger.record_flow(flow, account.with_flow(flow))
        except Conflict:
            continue
    raise Conflict(f"account of order {order_id}")


def _owed_before(services: Services, order: Order, account: Account, trade: VenueTrade) -> Flow | None:
    flow = _owed(services, order, account, trade)
    return None if flow is None or _is_fill(services, order, trade) else flow


def _owed(services: Services, order: Order, account: Account, trade: VenueTrade) -> Flow | None:
    """The flow that is to be recorded before the trade may count as a fill; None where there is none, or it is."""
    ledger, now = services.ledger, services.clock.now()
    spoken_of = ledger.flow(order.account, trade.key)
    fee = ledger.flow(order.account, fee_id(trade.key)) if spoken_of is not None else None
    return _unrecorded(services, taken_back(account, spoken_of, trade, order.order_id, now, fee))


def _unrecorded(services: Services, flow: Flow | None) -> Flow | None:
    return flow if flow is not None and services.ledger.flow(flow.account, flow.flow_id) is None else None


def _is_fill(services: Services, order: Order, trade: VenueTrade) -> bool:
    story = services.ledger.story(order.decision_id)
    return story is not None and any(fill.key == trade.key for fill in story.fills)
