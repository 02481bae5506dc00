"""EMA cross: buy when the fast average crosses above the slow one, leave when it crosses below."""

from typing import Self

from pydantic import Field, model_validator
from talipp.indicators import EMA

from belay.domain.decisions import Buy, Hold, Reduce, Trade
from belay.domain.record import Positive
from belay.domain.slots import Slot
from belay.domain.strategy import State, StrategyParameters

# An EMA's start value has lost all but 2 % of its weight after twice its period.
WARM_UP = 3


class Parameters(StrategyParameters):
    """`fast` and `slow` are EMA periods in candles; `notional` is what one entry spends, in quote currency."""

    fast: int = Field(gt=0, le=200)
    slow: int = Field(gt=0, le=200)
    notional: Positive

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError("fast must be smaller than slow")
        return self


def candles_needed(parameters: Parameters) -> int:
    return parameters.slow * WARM_UP


def symbols(slot: Slot, _: Parameters) -> tuple[str, ...]:
    return (slot.symbol,)


def decide(state: State[Parameters]) -> Hold | Trade:
    """Trade on the cross of the last closed candle; without one, or while an order is open, hold."""
    parameters, symbol = state.parameters, state.slot.symbol
    market = state.markets[symbol]
    closes = [float(candle.close) for candle in market.candles]
    if len(closes) < parameters.slow + 1:
        return Hold(reason="warming_up", detail=f"{len(closes)} of {parameters.slow + 1} candles")
    fast, slow = EMA(parameters.fast, closes), EMA(parameters.slow, closes)
    before, now = fast[-2] - slow[-2], fast[-1] - slow[-1]
    inputs = {"ema_fast": f"{fast[-1]:.8f}", "ema_slow": f"{slow[-1]:.8f}", "close": str(market.candles[-1].close)}
    if state.open_orders:
        return Hold(reason="order_open", inputs=inputs)
    close, sellable = market.candles[-1].close, market.market.floor_quantity(market.position.quantity)
    held = not market.market.too_small(sellable, close)
    if before <= 0 < now and not held:
        spend = parameters.notional / (1 + parameters.assumed_cost)
        reason = "the fast average crossed above the slow one"
        return Trade(legs=(Buy(symbol=symbol, notional=spend, reason=reason),), inputs=inputs)
    if now < 0 and held:
        reason = "the fast average is below the slow one"
        return Trade(legs=(Reduce(symbol=symbol, reason=reason),), inputs=inputs)
    return Hold(reason="no_cross", inputs=inputs)
