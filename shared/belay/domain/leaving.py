"""An exit that did not go out, and what is so of it by now: what is left to sell, and whether another exit sells it."""

from collections.abc import Iterable

from belay.domain.account import Account
from belay.domain.incidents import BY_ANOTHER_EXIT, LEAVES, Incident, IncidentKind
from belay.domain.orders import TERMINAL, Order
from belay.domain.record import Utc, plain


def nothing_left(account: Account, order: Order) -> bool:
    """Whether nothing is left of what an exit was to sell."""
    return account.position(order.strategy, order.symbol).quantity <= 0


def not_placed(order: Order, why: str, account: Account, orders: Iterable[Order], at: Utc) -> Incident:
    """What a person is told of an exit, as of now.

    Args:
        orders: among which another exit of the same position may be.
    """
    held, selling = account.position(order.strategy, order.symbol).quantity, _selling(order, orders)
    still = f"{order.strategy} still holds {plain(held)} {order.symbol}"
    action = (
        f"{still}, and its exit {selling.order_id} is {selling.state}: wait for that."
        if selling
        else f"{still}. Sell it with belay order, or let the strategy decide again."
    )
    return Incident(
        account=order.account,
        kind=IncidentKind.EXIT_NOT_PLACED,
        subject=order.order_id,
        symbol=order.symbol,
        expected=f"{order.strategy}{LEAVES}{order.symbol}{BY_ANOTHER_EXIT if selling else ''}",
        actual=why,
        action=f"{action} This ends by itself once nothing of it is left to sell.",
        opened_at=at,
    )


def _selling(order: Order, orders: Iterable[Order]) -> Order | None:
    """The exit that was decided again, or came to life again."""
    exits = (one for one in orders if one.reducing and one.state not in TERMINAL)
    return next((one for one in exits if (one.strategy, one.symbol) == (order.strategy, order.symbol)), None)
