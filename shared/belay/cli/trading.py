"""What an operator may ask of single orders: a manual order, a cancel, and news of either. Sends nothing to a venue.

A manual order takes the way of every order: stored with its decision, published, then checked, claimed and sent by the
executor alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

from belay.cli.desk import Desk
from belay.cli.targets import strategies
from belay.cli.views import order_line
from belay.domain.errors import InvalidInput
from belay.domain.manual import ManualOrder, decided
from belay.domain.orders import Order, OrderEvent, OrderState
from belay.domain.record import iso, plain
from belay.domain.transitions import Stamp
from belay.ports import CancelRequest

type Document = dict[str, Any]

POLL_SECONDS = 1.0


def place(desk: Desk, asked: ManualOrder, write_id: str, *, new_strategy: bool = False) -> Document:
    """Store a manual order and publish it; the same one again is published again while it still waits.

    Args:
        new_strategy: its strategy need not be known yet.

    Raises:
        InvalidInput: the account has no document, or not this symbol or strategy, or the id names another order; or the
            whole of a position is to be sold and there is none.
    """
    configuration = desk.ledger.configuration(asked.account)
    if configuration is None:
        raise InvalidInput("--account", f"{asked.account} has no document", "Store one with `belay account set FILE`.")
    document = configuration.document
    if asked.symbol not in document.symbols:
        known = ", ".join(document.symbols)
        raise InvalidInput("--symbol", f"{asked.symbol} is not one of the account's symbols", f"Use one of {known}.")
    stored = desk.ledger.decision(asked.decision_id(desk.stage))
    if stored is None:
        if desk.ledger.order(asked.order_id) is not None:
            raise InvalidInput("--id", "names an order that was not placed by hand", "Leave --id out for a new one.")
        if not new_strategy:
            _require_strategy(desk, asked)
        _require_something_to_sell(desk, asked)
        stamp = Stamp(write_id=write_id, exchange_time=None, recorded_at=desk.now())
        made = decided(asked, desk.stage, desk.venue_time(document), configuration.version, stamp)
        stored = desk.ledger.record_decision(made[0], (made[1],), (made[2],))
    if field := asked.differs_from(stored):
        problem = f"{asked.order_id} was placed with another {field}"
        raise InvalidInput(f"--{field.replace('_', '-')}", problem, "Repeat it unchanged, or leave --id out.")
    order = _order(desk, asked.order_id)
    if order.state is OrderState.CREATED:
        desk.publish(order)
    return order_line(order)


def _require_strategy(desk: Desk, asked: ManualOrder) -> None:
    """What a misspelt strategy bought, nobody would ever sell."""
    known = strategies(desk.ledger, asked.account)
    if asked.strategy not in known:
        problem = f"account {asked.account} has no strategy {asked.strategy} that ticked or holds anything"
        remedy = f"Known: {', '.join(sorted(known))}. If it is new, add --new-strategy."
        raise InvalidInput("--strategy", problem, remedy)


def _require_something_to_sell(desk: Desk, asked: ManualOrder) -> None:
    """An exit that finds nothing would only lapse, and be one more incident."""
    if not asked.sells_all:
        return
    held = desk.ledger.account(asked.account).position(asked.strategy, asked.symbol).quantity
    if held <= 0:
        problem = f"there is nothing to sell: {asked.strategy} holds {plain(held)} {asked.symbol}"
        remedy = "See `belay positions`. If an incident asked for it: `belay incidents resolve ID --reason …`."
        raise InvalidInput("--quantity", problem, remedy)


def cancel(desk: Desk, order_id: str, reason: str) -> Document:
    """Store a standing request to cancel one order; the reconciler repeats it at the venue until the order is done.

    Raises:
        InvalidInput: there is no such order, or nothing of it can be cancelled any more.
    """
    order = desk.ledger.order(order_id)
    if order is None and desk.ledger.is_later(order_id):
        problem = f"{order_id} is in a form that only a later version of Belay can read"
        raise InvalidInput("id", problem, "Cancel it with the command of that version, or at the venue.")
    if order is None:
        raise InvalidInput("id", f"the ledger has no order {order_id}", "See `belay orders --open`.")
    if order.settled:
        raise InvalidInput("id", f"the order is {order.state} and settled", "There is nothing to cancel.")
    request = CancelRequest(account=order.account, order_id=order_id, reason=reason, requested_at=desk.now())
    desk.ledger.request_cancel(request)
    return order_line(order)


def follow(desk: Desk, order_id: str, seconds: float, sleep: Callable[[float], None]) -> Iterator[Document]:
    """Each event of an order once, as it comes, until nothing more is expected of it or the time is over."""
    told = -1
    for _ in range(int(seconds / POLL_SECONDS) + 1):
        order = _order(desk, order_id)
        story = desk.ledger.story(order.decision_id)
        events = [event for event in story.events if event.order_id == order_id] if story else []
        yield from (_event(event) for event in events if event.sequence > told)
        told = max([told, *(event.sequence for event in events)])
        if is_done(order):
            return
        sleep(POLL_SECONDS)


def is_done(order: Order) -> bool:
    """Whether what became of it is known, fills included."""
    return order.settled or (order.state is OrderState.FILLED and order.explained)


def outcome(desk: Desk, order_id: str) -> Document:
    return order_line(_order(desk, order_id))


def _event(event: OrderEvent) -> Document:
    return {
        "order_id": event.order_id,
        "sequence": event.sequence,
        "from": event.from_state.value,
        "to": event.to_state.value,
        "cause": event.cause,
        "exchange_time": iso(event.exchange_time) if event.exchange_time else None,
        "recorded_at": iso(event.recorded_at),
    }


def _order(desk: Desk, order_id: str) -> Order:
    order = desk.ledger.order(order_id)
    if order is None:
        raise InvalidInput("--id", f"the ledger has no order {order_id}", "See `belay orders`.")
    return order
