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
    return parameters.slow * WARM_UP + 1


def symbols(slot: Slot, _: Parameters) -> tuple[str, ...]:
    return (slot.symbol,)


def decide(state: State[Parameters]) -> Hold | Trade:
    """Trade on the cross of the last closed candle, whatever is held; leave again what should have been left already.

    A cross depends on the candles alone, so that the same candles always give the same orders: the account's limits
    bound the entries, and an exit with nothing to sell is denied, while a fill may still be on its way to it. Being
    below and still holding with no order open means that an exit failed: it is decided again.
    """
    parameters, symbol = state.parameters, state.slot.symbol
    market = state.markets[symbol]
    closes = [float(candle.close) for candle in market.candles]
    if len(closes) < parameters.slow + 1:
        return Hold(reason="warming_up", detail=f"{len(closes)} of {parameters.slow + 1} candles")
    fast, slow = _averages(closes, parameters)
    fast_before, slow_before = _averages(closes[:-1], parameters)
    before, now = fast_before - slow_before, fast - slow
    close, sellable = market.candles[-1].close, market.market.floor_quantity(market.position.quantity)
    inputs = {"ema_fast": f"{fast:.8f}", "ema_slow": f"{slow:.8f}", "gap_before": f"{before:.8f}", "close": str(close)}
    if now > 0 >= before:
        spend = parameters.notional / (1 + parameters.assumed_cost)
        reason = "the fast average crossed above the slow one"
        return Trade(legs=(Buy(symbol=symbol, notional=spend, reason=reason),), inputs=inputs)
    if now <= 0 < before:
        reason = "the fast average crossed below the slow one"
        return Trade(legs=(Reduce(symbol=symbol, reason=reason),), inputs=inputs)
    if now <= 0 and not market.market.too_small(sellable, close):
        if state.open_orders:
            return Hold(reason="order_open", inputs=inputs)
        reason = "still holding below the slow average: the exit failed"
        return Trade(legs=(Reduce(symbol=symbol, reason=reason),), inputs=inputs)
    return Hold(reason="no_cross", inputs=inputs)


def _averages(closes: list[float], parameters: Parameters) -> tuple[float, float]:
    """Fast and slow average, always from as many closes: what is `before` in one slot is what was `now` in the last.

    Else a cross too close to call could be missed by both.
    """
    seen = closes[-parameters.slow * WARM_UP :]
    return EMA(parameters.fast, seen)[-1], EMA(parameters.slow, seen)[-1]
