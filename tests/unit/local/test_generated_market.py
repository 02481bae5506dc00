"""The generated market that goes on by the wall clock: the same candles whenever it runs, none before their time."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from belay.adapters.paper.candle_files import generated_candles
from belay.adapters.paper.clock import ReplayClock, ReplayMarketData
from belay.adapters.paper.store import InMemoryPaperStore
from belay.cli.documents import example_document
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.market import check_candles
from belay.domain.slots import TIMEFRAMES
from belay.local.generated_market import HISTORY, GeneratedMarket, merged, minutes

START = datetime(2026, 10, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SYMBOL = "BTC/USD"


def document(*symbols: str) -> AccountDocument:
    example = json.loads(example_document())
    del example["paper"]["exchange"]
    example["paper"]["replay"] = True
    return AccountDocument.parse(json.dumps(example | {"symbols": symbols or [SYMBOL]}))


def market(
    store: InMemoryPaperStore, *timeframes: str, seed: int = 7, symbols: tuple[str, ...] = ()
) -> GeneratedMarket:
    return GeneratedMarket(store, document(*symbols), seed, START, timeframes or ("1h",))


def as_seen(store: InMemoryPaperStore) -> ReplayMarketData:
    settings = document().paper
    assert settings is not None
    return ReplayMarketData(store, settings, ReplayClock(store))


def test_an_hours_minutes_go_from_its_open_to_its_close_within_its_high_and_low() -> None:
    for hour in generated_candles(3, 100, "1h", START):
        rows = list(minutes(hour, 3))
        assert [row.at for row in rows] == [hour.open_time + number * MINUTE for number in range(60)]
        assert all(later.open == earlier.close for earlier, later in pairwise(rows))
        (whole,) = merged(rows, "1h")
        assert (whole.open, whole.close) == (hour.open, hour.close)
        assert hour.low <= whole.low < whole.high <= hour.high


def test_candles_of_every_timeframe_are_made_of_the_same_minutes() -> None:
    made = market(InMemoryPaperStore("paper"))
    first, last = NOW.replace(hour=0, minute=0, second=0), NOW.replace(hour=23, minute=59)
    fine = made.candles(SYMBOL, "1m", first, last)
    check_candles(fine, "1m")
    for timeframe in TIMEFRAMES:
        coarse = made.candles(SYMBOL, timeframe, first, last)
        check_candles(coarse, timeframe)
        assert sum(candle.volume for candle in coarse) == sum(candle.volume for candle in fine)
        assert max(candle.high for candle in coarse) == max(candle.high for candle in fine)
        assert min(candle.low for candle in coarse) == min(candle.low for candle in fine)
        assert (coarse[0].open, coarse[-1].close) == (fine[0].open, fine[-1].close)


def test_the_same_seed_gives_the_same_candles_whenever_and_in_whatever_pieces_they_are_asked_for() -> None:
    whole = market(InMemoryPaperStore("paper")).candles(SYMBOL, "5m", NOW - 40 * HOUR, NOW + 220 * HOUR)
    later = market(InMemoryPaperStore("paper"))
    pieces = later.candles(SYMBOL, "5m", NOW + 200 * HOUR, NOW + 220 * HOUR)
    assert whole[-len(pieces) :] == pieces
    assert later.candles(SYMBOL, "5m", NOW - 40 * HOUR, NOW) == whole[: 40 * 12 + 1]
    other = market(InMemoryPaperStore("paper"), seed=8)
    assert other.candles(SYMBOL, "5m", NOW, NOW + HOUR) != later.candles(SYMBOL, "5m", NOW, NOW + HOUR)


def test_symbols_do_not_move_alike() -> None:
    made = market(InMemoryPaperStore("paper"), symbols=(SYMBOL, "ETH/USD"))
    assert made.candles(SYMBOL, "1h", NOW - HOUR, NOW) != made.candles("ETH/USD", "1h", NOW - HOUR, NOW)


def test_at_first_there_is_a_history_of_each_timeframe_that_is_asked_for_and_of_minutes() -> None:
    store = InMemoryPaperStore("paper")
    market(store, "1h", "15m").move(NOW)
    for timeframe in ("1m", "15m", "1h"):
        seen = as_seen(store).candles(SYMBOL, timeframe, NOW, HISTORY + 10)
        assert len(seen) == HISTORY
        check_candles(seen, timeframe)
        assert seen[-1].open_time + TIMEFRAMES[timeframe] <= NOW < seen[-1].open_time + 2 * TIMEFRAMES[timeframe]


def test_nothing_is_shown_before_its_time_and_the_price_is_the_open_of_the_minute() -> None:
    store = InMemoryPaperStore("paper")
    made = market(store)
    made.move(NOW)
    (minute,) = made.candles(SYMBOL, "1m", NOW, NOW)
    seen = as_seen(store)
    assert seen.price(SYMBOL).value == minute.open
    assert seen.price(SYMBOL).at == NOW
    assert seen.candles(SYMBOL, "1m", NOW + HOUR, 1)[-1].open_time == minute.open_time - MINUTE


def test_it_goes_on_without_a_gap_however_long_it_runs() -> None:
    store = InMemoryPaperStore("paper")
    made = market(store)
    for late in range(0, 9 * 3600, 1_700):
        made.move(NOW + timedelta(seconds=late))
        for timeframe in ("1m", "1h"):
            seen = as_seen(store).candles(SYMBOL, timeframe, NOW + timedelta(seconds=late), 70)
            check_candles(seen, timeframe)
            assert seen[-1].open_time + 2 * TIMEFRAMES[timeframe] > NOW + timedelta(seconds=late)


def test_after_a_pause_it_goes_on_as_if_it_had_run_all_the_time() -> None:
    resumed, unbroken = InMemoryPaperStore("paper"), InMemoryPaperStore("paper")
    later = NOW + 9 * 24 * HOUR
    market(resumed).move(NOW)
    market(resumed).move(later)
    market(unbroken).move(later)
    for timeframe in ("1m", "1h"):
        seen = [as_seen(store).candles(SYMBOL, timeframe, later, HISTORY) for store in (resumed, unbroken)]
        assert seen[0] == seen[1]


def test_its_time_does_not_go_back() -> None:
    made = market(InMemoryPaperStore("paper"))
    made.move(NOW)
    with pytest.raises(InvalidInput, match="cannot go back"):
        made.move(NOW - MINUTE)


def test_a_day_that_is_not_over_is_merged_from_the_minutes_there_are() -> None:
    (hour,) = generated_candles(1, 1, "1h", START)
    (day,) = merged(minutes(hour, 1), "1d")
    assert (day.open_time, day.open, day.close) == (START, hour.open, hour.close)
