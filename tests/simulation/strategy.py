"""A strategy that follows a script: what it says depends on slot, choices and the state it is shown, no more."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from belay.domain.decisions import Buy, Cancel, Hold, Reduce, Sell, TimeInForce, Trade
from belay.domain.slots import Slot
from belay.domain.strategy import State, StrategyParameters
from tests.simulation.choices import Choices

Says = Callable[[State[Any]], tuple[Any, ...]]
OTHER = {"BTC/USD": "ETH/USD", "ETH/USD": "BTC/USD"}


def _price(state: State[Any]) -> Decimal:
    return state.markets[state.slot.symbol].candles[-1].close


def _buy(state: State[Any], notional: str = "800", **changes: Any) -> Buy:
    return Buy(**{"symbol": state.slot.symbol, "notional": Decimal(notional), "reason": "scripted", **changes})


def _limit(state: State[Any], factor: str, **changes: Any) -> Buy:
    price = (_price(state) * Decimal(factor)).quantize(Decimal("0.01"))
    return _buy(state, limit_price=price, **changes)


def _half(state: State[Any]) -> tuple[Any, ...]:
    held = state.markets[state.slot.symbol].position.quantity
    if held <= 0:
        return ()
    return (Sell(symbol=state.slot.symbol, quantity=held / 2, reason="scripted"),)


def _reduce(state: State[Any], **changes: Any) -> Reduce:
    return Reduce(**{"symbol": state.slot.symbol, "reason": "scripted", **changes})


def _cancels(state: State[Any]) -> tuple[Any, ...]:
    return tuple(Cancel(order_id=order.order_id, reason="scripted") for order in state.open_orders)


SCRIPTS: dict[str, Says] = {
    "hold": lambda _: (),
    "buy": lambda state: (_buy(state),),
    "buy at a limit": lambda state: (_limit(state, "0.999"),),
    "reduce": lambda state: (_reduce(state),),
    "sell half": _half,
    "cancel": _cancels,
    "reduce and buy the other": lambda state: (
        _reduce(state),
        _buy(state, "300", symbol=OTHER[state.slot.symbol]),
    ),
    "buy at once or not": lambda state: (_limit(state, "1.001", time_in_force=TimeInForce.IOC),),
    "buy too much": lambda state: (_buy(state, "1500"), _buy(state, "900", symbol=OTHER[state.slot.symbol])),
    "reduce at a limit": lambda state: (_reduce(state, limit_price=_price(state)),),
    "reduce twice": lambda state: (_reduce(state, limit_price=_price(state)), _reduce(state)),
}
WEIGHTS = (1, 8, 3, 6, 3, 2, 3, 2, 3, 2, 3)


class Scripted:
    """Implements `domain.strategy.Strategy`."""

    Parameters = StrategyParameters

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def candles_needed(self, _parameters: StrategyParameters) -> int:
        return 2

    def symbols(self, slot: Slot, _parameters: StrategyParameters) -> tuple[str, ...]:
        return (slot.symbol, OTHER[slot.symbol])

    def decide(self, state: State[Any]) -> Hold | Trade:
        slot = state.slot
        key = f"script/{slot.strategy}/{slot.candle_close:%H:%M}"
        name = tuple(SCRIPTS)[self._choices.pick(key, WEIGHTS)]
        legs = SCRIPTS[name](state)
        return Trade(legs=legs) if legs else Hold(reason="quiet", detail=name)
