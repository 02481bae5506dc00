"""Count a trade as a fill of an order of ours, once, whatever was said of it before, and correct its fee. Asks no
venue."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from belay.domain.account import Account
from belay.domain.errors import Conflict
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.foreign import back_id, fee_id, fee_taken_back, taken_back
from belay.domain.given import NOTHING_SHOWN, Shown, replaced_by
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.record import Utc
from belay.domain.transitions import Change, Stamp, correct_fee, record_fill
from belay.domain.venues import VenueTrade
from belay.ports import Services
from belay.workflows.resolve import close_unknown
from belay.workflows.updates import TRIES, update_order


def count_fill(
    services: Services,
    order_id: str,
    trade: VenueTrade,
    detail: dict[str, Any] | None = None,
    *,
    given: bool = False,
    shown: Shown = NOTHING_SHOWN,
) -> bool:
    """Count a trade as a fill of an order, unless it is one already.

    One that the venue tells takes the place of rows that a person gave for it: all of it in one change, so that it
    counts once. `given`: it is such a row itself.

    A trade that counts as a flow is taken back as such first, by another flow of a fixed id; where a process stops
    before the fill, the next run counts that. The account is read before the flows are looked for, and each of them
    moves it on: so nothing counts twice.
    """

    def owed(order: Order, account: Account) -> Flow | None:
        known = _known(services, order, trade, shown, given)
        flow = None if known.counted else _owed(services, order, account, known)
        counts = flow is not None and trade.key not in order.given and _is_fill(services, order, trade)
        return None if counts else flow

    _take_back(services, order_id, owed)

    def counted(order: Order, account: Account, stamp: Stamp) -> Change | None:
        known = _known(services, order, trade, shown, given)
        if known.counted or _owed(services, order, account, known) is not None:
            return None  # said meanwhile: the next run takes it back
        instead_of = known.instead_of
        return record_fill(order, account, known.trade, stamp, detail, given=given, instead_of=instead_of)

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


class _Known(NamedTuple):
    """A trade as it is to count: of one that was counted and replaced before, as it was counted then. `counted`: it is
    a fill of the order. `instead_of`: the fills that it takes the place of."""

    trade: VenueTrade
    counted: bool
    instead_of: tuple[VenueTrade, ...]


def _known(services: Services, order: Order, trade: VenueTrade, shown: Shown, given: bool) -> _Known:
    if not order.given and not order.replaced:
        return _Known(trade, False, ())  # whether it is one, the ledger says when it is written
    fills = {fill.key: fill for fill in _fills(services, order)}
    before = fills.get(trade.key)
    if before is not None and trade.key in order.given and not given:
        return _Known(trade, False, (before.trade,))
    if before is not None and trade.key not in order.replaced:
        return _Known(trade, True, ())
    trade = before.trade if before is not None else trade
    rows = [fills[key].trade for key in order.given if key in fills]
    return _Known(trade, False, () if given else replaced_by(order, trade, rows, shown))


def _owed(services: Services, order: Order, account: Account, known: _Known) -> Flow | None:
    """The flow that is to be recorded before the trade may count as a fill; None where there is none, or it is."""
    ledger, now, trade = services.ledger, services.clock.now(), known.trade
    if trade.key in order.given:  # what it was counted as before, was taken back when it was given
        told = taken_back(account, None, trade, order.order_id, now, instead_of=known.instead_of)
        return _unrecorded(services, told and told.model_copy(update={"flow_id": back_id(f"{trade.key}|told")}))
    spoken_of = ledger.flow(order.account, trade.key)
    fee = ledger.flow(order.account, fee_id(trade.key)) if spoken_of is not None else None
    back = taken_back(account, spoken_of, trade, order.order_id, now, fee, known.instead_of)
    return _unrecorded(services, back)


def _unrecorded(services: Services, flow: Flow | None) -> Flow | None:
    return flow if flow is not None and services.ledger.flow(flow.account, flow.flow_id) is None else None


def _is_fill(services: Services, order: Order, trade: VenueTrade) -> bool:
    return trade.key not in order.replaced and any(fill.key == trade.key for fill in _fills(services, order))


def _fills(services: Services, order: Order) -> tuple[Fill, ...]:
    story = services.ledger.story(order.decision_id)
    return tuple(fill for fill in story.fills if fill.order_id == order.order_id) if story else ()
