"""Candles from files, and a generated market for where there is no file. Stores nothing."""

import csv
import io
import os
import random
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import ValidationError

from belay.domain.errors import InvalidInput
from belay.domain.market import Candle, check_candles
from belay.domain.slots import EPOCH, TIMEFRAMES

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]
TICK = Decimal("0.01")
VOLUME_STEP = Decimal("0.0001")
# Two years of one-minute candles have some 60 MB. All of them are held in memory, where they take twenty times as much.
MOST_BYTES = 64 * 2**20
# Milliseconds since 1970 that are believed of a candle: from 2009, before which there was none, to 2100.
EARLIEST, LATEST = 1_230_768_000_000, 4_102_444_800_000
SHOWN = 40  # signs of what is wrong that an error repeats


def read_candles(path: Path, timeframe: str) -> tuple[Candle, ...]:
    """Read a CSV file with the columns timestamp (ms since 1970, UTC), open, high, low, close, volume and a
    header.

    Raises:
        InvalidInput: no regular file, larger than MOST_BYTES, unreadable, empty, malformed, unsorted, doubled or
            gapped; names the file, line and column.
    """
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("timeframe", f"{timeframe} is not known", f"Use one of {', '.join(TIMEFRAMES)}.")
    candles: list[Candle] = []
    for where, row in _rows(path):
        candle = _candle(where, row)
        if (candle.open_time - EPOCH) % TIMEFRAMES[timeframe]:
            raise _wrong(where, "timestamp", f"{row[0]} is not the start of a {timeframe} candle in UTC")
        if candles:
            _check_follows(where, candles[-1], candle, timeframe)
        candles.append(candle)
    if not candles:
        raise InvalidInput(str(path), "holds no candles", "Give at least one line below the header.")
    return tuple(candles)


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line that is not blank, with its place; checks the header."""
    try:
        lines = csv.reader(io.StringIO(_content(path).decode("utf-8-sig"), newline=""), strict=True)
        header = [column.strip() for column in next(lines, [])]
        if header != COLUMNS:
            raise InvalidInput(f"{path}, line 1", "is not the header", f"Begin the file with: {','.join(COLUMNS)}")
        for row in lines:
            if row:
                yield f"{path}, line {lines.line_num}", row
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read: {error.strerror}", "Give the path of a CSV file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), f"is not a CSV file: {error}", "Give a CSV file in UTF-8.") from None


def _content(path: Path) -> bytes:
    """What was opened is what is judged, whatever the path names by then; opening waits for nobody."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput(str(path), "is not a regular file", "Give the path of a CSV file.")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES + 1)  # a file may grow, and some of the system's own tell no size
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        remedy = "Give fewer candles, or candles of a longer timeframe."
        raise InvalidInput(str(path), f"is larger than {MOST_BYTES // 2**20} MiB", remedy)
    return content


def _candle(where: str, row: list[str]) -> Candle:
    if len(row) != len(COLUMNS):
        raise InvalidInput(where, f"{len(row)} columns", f"Give {len(COLUMNS)}: {', '.join(COLUMNS)}.")
    values = {column: _number(where, column, text) for column, text in zip(COLUMNS, row, strict=True)}
    open_time = _instant(where, values.pop("timestamp"))
    try:
        return Candle(open_time=open_time, **values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        column = str(first["loc"][0]) if first["loc"] else "low to high"
        raise _wrong(where, column, first["msg"].removeprefix("Value error, ")) from None


def _number(where: str, column: str, text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise _wrong(where, column, f"{text[:SHOWN]!r} is not a number")
    return number


def _instant(where: str, milliseconds: Decimal) -> datetime:
    # Bounded before it is an int, which of a number such as 1E+4000000 would be computed for hours.
    if not EARLIEST <= milliseconds <= LATEST:
        problem = f"{milliseconds:.20g} is not a time in milliseconds between {EARLIEST} and {LATEST}"
        raise _wrong(where, "timestamp", problem)
    if milliseconds != int(milliseconds):
        raise _wrong(where, "timestamp", f"{milliseconds:.20g} is not a whole number of milliseconds")
    return EPOCH + timedelta(milliseconds=int(milliseconds))


def _check_follows(where: str, earlier: Candle, later: Candle, timeframe: str) -> None:
    try:
        check_candles((earlier, later), timeframe)
    except InvalidInput as error:
        raise InvalidInput(f"{where}, column timestamp", error.problem, error.remedy) from None


def _wrong(where: str, column: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{where}, column {column}", problem, "Correct the file.")


def generated_candles(seed: int, count: int, timeframe: str, start: datetime) -> tuple[Candle, ...]:
    """A made-up market of `count` candles from `start` on: the same seed gives the same candles.

    A price near 8000 wanders with trends that turn every day or so, in ticks of 0.01; volumes of some hundred
    units rise with the size of the move. It resembles a market enough to exercise a strategy and says nothing
    about one.

    Raises:
        InvalidInput: a count below one, or a start that is not the open time of a candle.
    """
    if count < 1:
        raise InvalidInput("count", f"{count} candles cannot be generated", "Give one or more.")
    if timeframe not in TIMEFRAMES or (start - EPOCH) % TIMEFRAMES[timeframe]:
        raise InvalidInput("start", f"not the open time of a {timeframe} candle", "Give an aligned time in UTC.")
    rng = random.Random(seed)  # noqa: S311 repeatable
    price, trend = 8000.0, 0.0
    candles: list[Candle] = []
    for number in range(count):
        if rng.random() < 1 / 18:
            trend = rng.gauss(0, 0.0025)
        opened, price = price, price * (1 + trend + rng.gauss(0, 0.005))
        # Far from where it began, the price is drawn back.
        price *= 1 + 0.01 * (8000 - price) / 8000
        top, bottom = max(opened, price), min(opened, price)
        move = abs(price - opened) / opened
        candles.append(
            Candle(
                open_time=(start + number * TIMEFRAMES[timeframe]).astimezone(UTC),
                open=_at(opened, TICK),
                high=_at(top * (1 + abs(rng.gauss(0, 0.002))), TICK),
                low=_at(bottom * (1 - abs(rng.gauss(0, 0.002))), TICK),
                close=_at(price, TICK),
                volume=_at(rng.lognormvariate(5.3, 0.5) * (1 + 60 * move), VOLUME_STEP),
            )
        )
    return tuple(candles)


def _at(value: float, step: Decimal) -> Decimal:
    return Decimal(value).quantize(step)
