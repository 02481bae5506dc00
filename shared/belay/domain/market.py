"""Market facts: candles and what a venue accepts for a symbol. Validates what it is given; fetches nothing."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from itertools import pairwise
from typing import Self

from pydantic import model_validator

from belay.domain.errors import InvalidInput
from belay.domain.record import NonNegative, Positive, Record, Symbol, Utc
from belay.domain.slots import TIMEFRAMES


class Candle(Record):
    """Open, high, low, close in quote currency; volume in base currency; `open_time` is the candle's start."""

    open_time: Utc
    open: Positive
    high: Positive
    low: Positive
    close: Positive
    volume: NonNegative

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError("low <= open, close <= high does not hold")
        return self


class Price(Record):
    """A reference price in quote currency and the venue's time of it."""

    value: Positive
    at: Utc


class Market(Record):
    """A venue's filters and fees for one symbol; steps and minimums in the units they limit."""

    symbol: Symbol
    quantity_step: Positive
    price_tick: Positive
    min_quantity: NonNegative
    min_notional: NonNegative
    taker_fee: NonNegative
    maker_fee: NonNegative

    def floor_quantity(self, quantity: Decimal) -> Decimal:
        """The largest multiple of the venue's step that is not above `quantity`."""
        return _to_step(quantity, self.quantity_step, ROUND_FLOOR)

    def round_price(self, price: Decimal, side: str) -> Decimal:
        """The nearest tick that is not worse for the order than `price`: down for a buy, up for a sell."""
        return _to_step(price, self.price_tick, ROUND_FLOOR if side == "buy" else ROUND_CEILING)

    def too_small(self, quantity: Decimal, price: Decimal) -> bool:
        return quantity <= 0 or quantity < self.min_quantity or quantity * price < self.min_notional


def _to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    # The division rounds in the same direction: else 28 digits of nines would become the next step.
    with localcontext(rounding=rounding):
        return (value / step).to_integral_value(rounding=rounding) * step


def check_candles(candles: Sequence[Candle], timeframe: str) -> None:
    """Refuse a series that is empty, unsorted, doubled or gapped.

    Raises:
        InvalidInput: names the first offending candle.
    """
    if not candles:
        raise InvalidInput("candles", "there are none", "Give at least one candle.")
    for earlier, later in pairwise(candles):
        step = later.open_time - earlier.open_time
        if step == TIMEFRAMES[timeframe]:
            continue
        problem = "unsorted or doubled" if step <= TIMEFRAMES[timeframe] * 0 else f"not one {timeframe} after"
        raise InvalidInput(
            "candles",
            f"the candle of {later.open_time:%Y-%m-%dT%H:%MZ} is {problem} that of {earlier.open_time:%Y-%m-%dT%H:%MZ}",
            "Sort the candles and fill the gap.",
        )
