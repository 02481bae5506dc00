"""Candles and a venue's filters: what is refused, and how quantities and prices are rounded."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.domain.errors import InvalidInput
from belay.domain.market import Candle, check_candles
from tests.builders import NOW, make_candles, make_market, seconds

STEPS = st.sampled_from([Decimal(step) for step in ("1E-8", "0.0001", "0.0003", "0.05", "1", "7", "100")])
AMOUNTS = st.decimals(Decimal("1E-12"), Decimal("1E12"), places=12)
HOUR = seconds(3600)


# --- candles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"low": "101"}, {"high": "99"}, {"close": "0"}, {"volume": "-1"}, {"open": "NaN"}, {"high": "Infinity"}],
    ids=lambda change: next(iter(change)),
)
def test_a_candle_that_cannot_be_is_refused(change: dict[str, str]) -> None:
    candle: dict[str, Any] = {"open": "100", "high": "110", "low": "90", "close": "105", "volume": "1", **change}
    with pytest.raises(ValidationError):
        Candle(open_time=NOW, **candle)


def test_a_candle_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        Candle(open_time=NOW.replace(tzinfo=None), open=1, high=1, low=1, close=1, volume=0)


def test_consecutive_candles_are_accepted() -> None:
    check_candles(make_candles([1, 2, 3]), "1h")
    check_candles(make_candles([1]), "1h")


def test_no_candles_at_all_are_refused() -> None:
    with pytest.raises(InvalidInput, match="there are none"):
        check_candles((), "1h")


def test_a_gap_is_refused_and_both_sides_of_it_are_named() -> None:
    first, _, third = make_candles([1, 2, 3])
    with pytest.raises(InvalidInput, match="11:00Z is not one 1h after that of 2024-03-01T09:00Z"):
        check_candles((first, third), "1h")


def test_a_candle_of_another_timeframe_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not one 1h after"):
        check_candles(make_candles([1, 2], timeframe="15m"), "1h")


@pytest.mark.parametrize("order", [(1, 0), (0, 0)], ids=["unsorted", "doubled"])
def test_unsorted_and_doubled_candles_are_refused(order: tuple[int, int]) -> None:
    candles = make_candles([1, 2])
    with pytest.raises(InvalidInput, match="unsorted or doubled"):
        check_candles([candles[number] for number in order], "1h")


# --- filters ----------------------------------------------------------------------------------------------------------


@given(quantity=AMOUNTS, step=STEPS)
def test_a_quantity_is_floored_to_the_largest_multiple_of_the_step(quantity: Decimal, step: Decimal) -> None:
    floored = make_market(quantity_step=step).floor_quantity(quantity)
    assert floored % step == 0
    assert floored <= quantity < floored + step


def test_a_quantity_is_never_rounded_up_however_many_digits_it_has() -> None:
    """30 nines are more than the 28 digits of the arithmetic."""
    almost = Decimal("0." + "9" * 30)
    assert make_market(quantity_step="1").floor_quantity(almost) == 0
    assert make_market(quantity_step="0.0003").floor_quantity(Decimal("0.0009") - Decimal("1E-31")) == Decimal("0.0006")


@given(price=AMOUNTS, tick=STEPS)
def test_a_price_is_rounded_to_the_tick_that_is_not_worse_for_the_order(price: Decimal, tick: Decimal) -> None:
    market = make_market(price_tick=tick)
    bid, ask = market.round_price(price, "buy"), market.round_price(price, "sell")
    assert bid % tick == ask % tick == 0
    assert price - tick < bid <= price <= ask < price + tick


@pytest.mark.parametrize(
    ("quantity", "price", "small"),
    [
        ("0.0009", "1000000", True),
        ("0.001", "10000", False),
        ("0.001", "9999.99", True),
        ("0.002", "5000", False),
        ("0", "10000", True),
        ("-1", "10000", True),
    ],
)
def test_a_quantity_below_either_minimum_is_too_small(quantity: str, price: str, small: bool) -> None:
    market = make_market(min_quantity="0.001", min_notional="10")
    assert market.too_small(Decimal(quantity), Decimal(price)) is small


def test_nothing_is_too_small_even_where_the_venue_has_no_minimum() -> None:
    assert make_market(min_quantity="0", min_notional="0").too_small(Decimal(0), Decimal(1))
