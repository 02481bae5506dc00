"""How a replayed market moves on while an order needs time: `belay replay` and the demo alike. Moves nothing."""

from datetime import timedelta

from belay.domain.orders import UNRESOLVED, Order, OrderState

STEP = timedelta(seconds=20)
MOST_STEPS = 18  # six minutes of a market hour: an exit lapses after five, and is then looked up once more
LAST_RECONCILIATIONS = 3


def needs_time(order: Order) -> bool:
    """Whether some seconds more may bring news of an order; a rest that waits for the next candle needs no seconds."""
    waiting = order.state is OrderState.CREATED or (order.reducing and order.state is OrderState.NOT_SENT)
    return waiting or order.state in UNRESOLVED or not order.explained
