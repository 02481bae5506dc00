"""Ticks and slots: which candle a scheduled time is about, and the ids that follow from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.domain.decisions import Side
from belay.domain.errors import InvalidInput
from belay.domain.slots import TIMEFRAMES, Slot, Tick, last_closed, order_id
from tests.builders import NOW, STAGE, make_slot, make_tick, seconds

EVENT = {
    "scheduled_time": "2024-03-01T12:00:00Z",
    "account": "paper",
    "strategy": "ema-cross",
    "algorithm": "ema_cross",
    "symbol": "BTC/USD",
    "timeframe": "1h",
}
INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def event(**changes: Any) -> dict[str, Any]:
    return {**EVENT, **changes}


# --- slots ------------------------------------------------------------------------------------------------------------


@given(st.timedeltas(timedelta(0), timedelta(hours=1) - timedelta.resolution))
def test_any_time_within_the_hour_after_the_close_names_the_same_slot(late: timedelta) -> None:
    """EventBridge Scheduler fires anywhere within the minute, and a retry fires later still."""
    assert Slot.of(make_tick(scheduled_time=NOW + late), STAGE) == make_slot()


def test_the_last_instant_before_the_close_is_about_the_candle_before() -> None:
    """freqtrade #746: a signal on a candle that is still open."""
    tick = make_tick(scheduled_time=NOW - timedelta.resolution)
    assert Slot.of(tick, STAGE) == make_slot(-1)


@given(at=INSTANTS, timeframe=st.sampled_from(sorted(TIMEFRAMES)))
def test_the_slots_candle_is_the_last_one_that_has_closed(at: datetime, timeframe: str) -> None:
    opened = last_closed(at, timeframe)
    close = opened + TIMEFRAMES[timeframe]
    assert close <= at < close + TIMEFRAMES[timeframe]
    assert (opened - datetime(1970, 1, 1, tzinfo=UTC)) % TIMEFRAMES[timeframe] == timedelta(0)


def test_a_daylight_saving_change_does_not_move_a_slot() -> None:
    """lumibot PR #662: the same instant, told in another offset, is the same slot."""
    summer = Tick.parse(event(scheduled_time="2024-03-31T03:00:00+02:00"))
    winter = Tick.parse(event(scheduled_time="2024-03-31T02:00:00+01:00"))
    assert summer.scheduled_time.tzinfo is UTC
    assert Slot.of(summer, STAGE) == Slot.of(winter, STAGE)


def test_a_slot_reads_as_its_decision_id() -> None:
    assert make_slot().decision_id == "dev.paper.ema-cross.BTC/USD.1h.2024-03-01T11:00Z"


# --- order ids --------------------------------------------------------------------------------------------------------


def test_an_order_id_never_changes_between_versions() -> None:
    """Pinned: SHA-256 of ["dev","paper","ema-cross","BTC/USD","1h","2024-03-01T11:00:00Z","buy",0], 32 characters.

    kalshi-starter-code-python #135: an id that differs on a retry defeats the venue's own deduplication.
    """
    assert order_id(make_slot(), Side.BUY, 0) == "d893fd0237d18a858a95a8eb7b8ee571"


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "prod"},
        {"account": "other"},
        {"strategy": "other"},
        {"symbol": "ETH/USD"},
        {"timeframe": "4h"},
        {"candle_open": NOW},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_slot_is_in_the_order_id(change: dict[str, Any]) -> None:
    """hummingbot #4673: ids of two instances collided; stage and account are part of ours."""
    assert order_id(make_slot(**change), "buy", 0) != order_id(make_slot(), "buy", 0)


def test_sides_and_legs_of_one_slot_have_their_own_order_ids() -> None:
    ids = {order_id(make_slot(), side, leg) for side in Side for leg in range(3)}
    assert len(ids) == 6
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids)


@given(offset=st.integers(-12, 14))
def test_the_order_id_does_not_depend_on_how_the_time_was_written(offset: int) -> None:
    local = make_slot().candle_open.astimezone(datetime.strptime(f"{offset:+03d}00", "%z").tzinfo)
    assert order_id(make_slot(candle_open=local), "buy", 0) == order_id(make_slot(), "buy", 0)


# --- ticks ------------------------------------------------------------------------------------------------------------


def test_a_tick_is_read_from_the_schedules_input() -> None:
    assert Tick.parse(event()).scheduled_time == NOW


def test_a_schedule_attribute_that_was_not_substituted_is_named() -> None:
    with pytest.raises(InvalidInput, match="not substituted") as refused:
        Tick.parse(event(scheduled_time="<aws.scheduler.scheduled-time>"))
    assert refused.value.field == "tick.scheduled_time"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scheduled_time", "2024-03-01T12:00:00"),
        ("scheduled_time", "yesterday"),
        ("scheduled_time", None),
        ("scheduled_time", "1969-12-31T23:59:59Z"),
        ("scheduled_time", "0001-01-01T00:00:00+14:00"),
        ("scheduled_time", "9999-12-31T23:59:00-14:00"),
        ("account", "Paper"),
        ("account", ""),
        ("account", "paper\n"),
        ("strategy", "x" * 41),
        ("algorithm", "../os"),
        ("symbol", "BTCUSD"),
        ("symbol", "btc/usd"),
        ("timeframe", "2h"),
        ("timeframe", "1H"),
        ("max_lateness_seconds", 0),
        ("max_lateness_seconds", 86_401),
        ("candle_wait_seconds", -1),
        ("candle_wait_seconds", 41),
        ("order_expiry_seconds", 0),
        ("order_expiry_seconds", "soon"),
        ("parameters", []),
        ("leverage", 3),
    ],
)
def test_a_bad_field_of_a_tick_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        Tick.parse(event(**{field: value}))
    assert refused.value.field == f"tick.{field}"
    assert refused.value.remedy


@pytest.mark.parametrize(("field", "value"), [("max_lateness_seconds", 1), ("max_lateness_seconds", 86_400)])
def test_the_edges_of_a_bound_are_allowed(field: str, value: int) -> None:
    assert getattr(Tick.parse(event(**{field: value})), field) == value


@pytest.mark.parametrize("malformed", [None, [], "tick", 7, {}])
def test_what_is_not_a_tick_at_all_is_one_clear_error(malformed: object) -> None:
    with pytest.raises(InvalidInput, match="tick"):
        Tick.parse(malformed)


def test_a_missing_field_of_a_tick_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"tick\.symbol: Field required"):
        Tick.parse({name: value for name, value in EVENT.items() if name != "symbol"})


def test_the_refused_value_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        Tick.parse(event(account="SECRET-KEY-IN-THE-WRONG-PLACE"))
    assert "SECRET" not in str(refused.value)


def test_a_slot_closes_one_timeframe_after_it_opens() -> None:
    assert make_slot().candle_close == NOW
    assert make_slot(timeframe="1m", candle_open=NOW).candle_close == NOW + seconds(60)
