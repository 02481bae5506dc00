"""Which candles the demo replays: a file's, a live exchange's, or a generated market that is labelled so."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from belay.adapters.live.public_market import CcxtMarketData
from belay.adapters.paper.candle_files import generated_candles, read_candles
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.market import Candle, check_candles
from belay.domain.record import iso

SYMBOL, TIMEFRAME = "BTC/USD", "1h"
WARM_UP = 60  # candles before the first slot: as many as the hungriest scheduled strategy looks at
GENERATED_FROM = datetime(2024, 1, 1, tzinfo=UTC)
GENERATED_SEED = 4  # a market that turns within its first days
LIVE_EXCHANGE, LIVE_SECONDS = "kraken", 6


class Market(NamedTuple):
    """The candles of one run, warm-up first, and what to call them."""

    label: str
    candles: tuple[Candle, ...]

    @property
    def slots(self) -> tuple[Candle, ...]:
        return self.candles[WARM_UP:]


def find_market(file: str | None, hours: int, seed: int | None, say: Callable[[str], None]) -> Market:
    """The last `hours` candles of a file; without one a live exchange's; else, or with a seed, a generated market.

    Raises:
        InvalidInput: the file is malformed or too short.
    """
    wanted = WARM_UP + hours
    if file is not None:
        return Market(Path(file).name, _last(_read(file), wanted, file))
    if seed is None:
        say(f"No CANDLES given: asking {LIVE_EXCHANGE} for its public {SYMBOL} candles")
        if live := _within(LIVE_SECONDS, lambda: _live_candles(wanted)):
            return Market(f"{LIVE_EXCHANGE} {SYMBOL} {TIMEFRAME} until {iso(live[-1].open_time)}", live)
        say(f"{LIVE_EXCHANGE} cannot be reached or has too few: using a generated market instead")
    seed = GENERATED_SEED if seed is None else seed
    return Market(f"generated, seed {seed}", generated_candles(seed, wanted, TIMEFRAME, GENERATED_FROM))


def _read(file: str) -> tuple[Candle, ...]:
    try:
        return read_candles(Path(file), TIMEFRAME)
    except InvalidInput as error:
        raise InvalidInput("CANDLES", f"{error.field}: {error.problem}", error.remedy) from None


def _last(candles: tuple[Candle, ...], wanted: int, file: str) -> tuple[Candle, ...]:
    if len(candles) >= wanted:
        return candles[-wanted:]
    problem = f"{file}: {len(candles)} candles; {wanted - WARM_UP} hours need {wanted}, {WARM_UP} of them to warm up"
    possible = len(candles) - WARM_UP
    remedy = f"Use HOURS={possible} or less." if possible > 0 else f"Give at least {WARM_UP + 1} candles."
    raise InvalidInput("CANDLES", problem, remedy)


def _live_candles(wanted: int) -> tuple[Candle, ...] | None:
    source = CcxtMarketData(LIVE_EXCHANGE, {"timeout": LIVE_SECONDS * 500})
    try:
        candles = source.candles(SYMBOL, TIMEFRAME, datetime.now(UTC), wanted)
        check_candles(candles, TIMEFRAME)
    except (VenueUnavailable, InvalidInput):
        return None
    return candles if len(candles) == wanted else None


def _within[T](seconds: float, ask: Callable[[], T]) -> T | None:
    """What `ask` returns within a time, else None; it is not waited for any longer."""
    answers: list[T] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None
