"""RSI reversion: buy when the market recovers from being oversold, leave when it has come back far enough."""

from typing import Self

from pydantic import Field, model_validator
from talipp.indicators import RSI

from belay.domain.decisions import Buy, Hold, Reduce, Trade
from belay.domain.record import Positive
from belay.domain.slots import Slot
from belay.domain.strategy import State, StrategyParameters

# A value is made from so many closes, whenever the history began: at least 40, and five times the period, after which
# Wilder's average has forgotten all but 2 % of its start. So many values are looked back upon.
WINDOW, PERIODS, LOOK_BACK = 40, 5, 20


class Parameters(StrategyParameters):
    """`period` in candles; `oversold` and `exit_above` are RSI values; `notional` is spent by one entry, in quote."""

    period: int = Field(ge=2, le=50)
    oversold: float = Field(gt=0, lt=100)
    exit_above: float = Field(gt=0, lt=100)
    notional: Positive

    @model_validator(mode="after")
    def _leaves_above_its_entry(self) -> Self:
        if self.oversold >= self.exit_above:
            raise ValueError("oversold must be smaller than exit_above")
        return self


def candles_needed(parameters: Parameters) -> int:
    return _window(parameters) + LOOK_BACK


def symbols(slot: Slot, _: Parameters) -> tuple[str, ...]:
    return (slot.symbol,)


def decide(state: State[Parameters]) -> Hold | Trade:
    """Trade on what the last closed candle crossed, whatever is held; leave again what should have been left already.

    What is crossed depends on the candles alone, so that the same candles always give the same orders: the account's
    limits bound the entries, and an exit with nothing to sell is denied, while a fill may still be on its way to it.
    Being above the exit and still holding with no order open means that an exit failed: it is decided again.
    """
    parameters, symbol = state.parameters, state.slot.symbol
    market = state.markets[symbol]
    closes = [float(candle.close) for candle in market.candles]
    if len(closes) < candles_needed(parameters):
        return Hold(reason="warming_up", detail=f"{len(closes)} of {candles_needed(parameters)} candles")
    before, now = _rsi(closes, 1, parameters), _rsi(closes, 0, parameters)
    close, sellable = market.candles[-1].close, market.market.floor_quantity(market.position.quantity)
    inputs = {"rsi": f"{now:.8f}", "rsi_before": f"{before:.8f}", "close": str(close)}
    leaves = before <= parameters.exit_above < now
    if leaves and _entered_since_exit(closes, parameters):
        reason = f"RSI crossed above {parameters.exit_above:g}"
        return Trade(legs=(Reduce(symbol=symbol, reason=reason),), inputs=inputs)
    if now > parameters.exit_above and not market.market.too_small(sellable, close):
        if state.open_orders:
            return Hold(reason="order_open", inputs=inputs)
        reason = f"still holding with RSI above {parameters.exit_above:g}: the exit failed"
        return Trade(legs=(Reduce(symbol=symbol, reason=reason),), inputs=inputs)
    if leaves:
        return Hold(reason="left_already", inputs=inputs)
    if before <= parameters.oversold < now:
        spend = parameters.notional / (1 + parameters.assumed_cost)
        reason = f"RSI crossed above {parameters.oversold:g}"
        return Trade(legs=(Buy(symbol=symbol, notional=spend, reason=reason),), inputs=inputs)
    return Hold(reason="no_cross", inputs=inputs)


def _entered_since_exit(closes: list[float], parameters: Parameters) -> bool:
    """Whether the last crossing before this one was an entry, or is too far back to be seen.

    One candle that leaps from oversold over the exit is no entry, since it would have been left at once.
    """
    for back in range(1, LOOK_BACK):
        before, now = _rsi(closes, back + 1, parameters), _rsi(closes, back, parameters)
        if before <= parameters.exit_above < now:
            return False
        if before <= parameters.oversold < now:
            return True
    return True


def _window(parameters: Parameters) -> int:
    return max(WINDOW, PERIODS * parameters.period)


def _rsi(closes: list[float], back: int, parameters: Parameters) -> float:
    """The value of so many candles back, as it was then: from as many closes before it."""
    end = len(closes) - back
    return float(RSI(parameters.period, closes[end - _window(parameters) : end])[-1])
