"""A made-up market that goes on by the wall clock: for a paper account where no exchange can be reached.

The same seed and start give the same candles at the same times, whenever they are asked for. Stores candles of some
hours to come, which the replayed market shows nobody before their time.
"""

import random
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, takewhile
from math import sqrt
from typing import NamedTuple

from belay.adapters.paper.candle_files import TICK, VOLUME_STEP, generated_candles
from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.store import PaperStore
from belay.domain.documents import AccountDocument
from belay.domain.market import Candle
from belay.domain.slots import EPOCH, TIMEFRAMES

HOUR, MINUTE = TIMEFRAMES["1h"], TIMEFRAMES["1m"]
MINUTES = HOUR // MINUTE
FINEST = "1m"  # what the paper venue matches against, as it does on a live exchange
AHEAD, REFILL = timedelta(hours=3), timedelta(hours=1)
# How many candles of each timeframe there are to begin with. An order that rests while this runs nowhere misses what
# the market did before the last so many minutes, as one on a live exchange's market would.
HISTORY = 500
RESERVE_HOURS = 7 * 24  # hours that are generated at a time
# An hour's usual move of half a percent, spread over its minutes.
MOVE, WICK = 0.005 / sqrt(MINUTES), 0.0003


class Row(NamedTuple):
    """One minute; prices and volume are rounded to the market's steps already."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


def minutes(candle: Candle, seed: int) -> Iterator[Row]:
    """An hour's candle as sixty minutes that wander from its open to its close, within its high and low."""
    rng = random.Random(f"{seed} {candle.open_time:%FT%H}")  # noqa: S311 repeatable
    steps = [0.0]
    for _ in range(MINUTES):
        steps.append(steps[-1] + rng.gauss(0, MOVE))
    opened, closed, low, high = (float(price) for price in (candle.open, candle.close, candle.low, candle.high))

    def price(number: int) -> float:
        share = number / MINUTES
        wandered = opened + (closed - opened) * share + opened * (steps[number] - share * steps[-1])
        thrown_back = low + abs(high - abs(high - wandered) - low)
        return min(max(thrown_back, low), high)

    for number in range(MINUTES):
        first, last = price(number), price(number + 1)
        above, below = (abs(rng.gauss(0, WICK)) for _ in range(2))
        yield Row(
            at=candle.open_time + number * MINUTE,
            open=round(first, 2),
            high=round(min(max(first, last) * (1 + above), high), 2),
            low=round(max(min(first, last) * (1 - below), low), 2),
            close=round(last, 2),
            volume=round(float(candle.volume) / MINUTES * rng.uniform(0.5, 1.5), 4),
        )


def merged(rows: Iterable[Row], timeframe: str) -> list[Candle]:
    """Consecutive minutes as candles of a timeframe."""
    length = TIMEFRAMES[timeframe]
    groups = groupby(rows, lambda row: (row.at - EPOCH) // length)
    return [_candle(EPOCH + number * length, list(group)) for number, group in groups]


def _candle(open_time: datetime, rows: list[Row]) -> Candle:
    return Candle(
        open_time=open_time,
        open=_at(rows[0].open, TICK),
        high=_at(max(row.high for row in rows), TICK),
        low=_at(min(row.low for row in rows), TICK),
        close=_at(rows[-1].close, TICK),
        volume=_at(sum(row.volume for row in rows), VOLUME_STEP),
    )


def _at(value: float, step: Decimal) -> Decimal:
    return Decimal(value).quantize(step)


class GeneratedMarket:
    """The market of one account's symbols.

    Args:
        start: midnight UTC, before anything that will be asked for.
        timeframes: those that strategies ask for; candles of a minute there are always.
    """

    def __init__(
        self, store: PaperStore, document: AccountDocument, seed: int, start: datetime, timeframes: Iterable[str]
    ) -> None:
        self._store = store
        self._document = document
        self._seed = seed
        self._start = start
        self._timeframes = sorted({FINEST, *timeframes}, key=list(TIMEFRAMES).index)
        self._hours: dict[str, tuple[Candle, ...]] = {}
        self._stored_until: datetime | None = None

    def move(self, now: datetime) -> None:
        """Let it be `now` in this market: store the candles that are missing, then move its clock.

        Raises:
            InvalidInput: `now` is before the time it has reached.
            VenueUnavailable: the table gave no answer.
        """
        if self._stored_until is None or self._stored_until < now + REFILL:
            until = now + AHEAD
            for timeframe in self._timeframes:
                for symbol in self._document.symbols:
                    candles = self.candles(symbol, timeframe, self._from(timeframe, now), until)
                    load_candles(self._store, self._document, symbol, timeframe, candles)
            self._stored_until = until
        set_replay_clock(self._store, self._document, now)

    def _from(self, timeframe: str, now: datetime) -> datetime:
        oldest = now - HISTORY * TIMEFRAMES[timeframe]
        return max(oldest, self._stored_until or oldest, self._start)

    def candles(self, symbol: str, timeframe: str, first: datetime, last: datetime) -> list[Candle]:
        """The candles that contain `first`, `last` and every moment between them."""
        length = TIMEFRAMES[timeframe]
        begin = EPOCH + (first - EPOCH) // length * length
        end = EPOCH + (last - EPOCH) // length * length + length
        seed = zlib.crc32(f"{self._seed} {symbol}".encode())
        hours = self._hours_until(symbol, seed, end)[(begin - self._start) // HOUR :]
        shown = takewhile(lambda hour: hour.open_time < end, hours)
        rows = (row for hour in shown for row in minutes(hour, seed) if begin <= row.at < end)
        return merged(rows, timeframe)

    def _hours_until(self, symbol: str, seed: int, end: datetime) -> tuple[Candle, ...]:
        known = self._hours.get(symbol, ())
        wanted = -((self._start - end) // HOUR)  # rounded up
        if len(known) < wanted:
            known = generated_candles(seed, wanted + RESERVE_HOURS, "1h", self._start)
            self._hours[symbol] = known
        return known
