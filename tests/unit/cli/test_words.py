"""How numbers, times and states are written on the terminal."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from belay.cli import words
from belay.domain.account import StopLevel
from belay.domain.orders import OrderState

INSTANT = "2019-10-17T08:09:10.500000Z"


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [
        (words.number, "0.123456789", "0.12345678"),
        (words.number, "-10.5000", "-10.5"),
        (words.number, "100", "100"),
        (words.number, "1.2.3", "1.2.3"),
        (words.number, "2019-10-17T08:00:00.5Z", "2019-10-17T08:00:00.5Z"),
        (words.money, "12345.6", "12,345.60"),
        (words.share, "0.0156", "1.56%"),
        (words.counts, {"FILLED": 3, "DENIED": 1}, "3 FILLED, 1 DENIED"),
        (words.counts, {}, "none"),
        (words.amounts, {"USD": "1.50", "BTC": "0.1"}, "1.5 USD, 0.1 BTC"),
        (words.amounts, {}, "none"),
        (words.pairs, {"fast": 5, "cost": "0.10", "on": None}, "fast 5, cost 0.1, on null"),
        (words.minute, INSTANT, "2019-10-17 08:09Z"),
        (words.second, INSTANT, "2019-10-17 08:09:10Z"),
        (words.second, datetime(2019, 10, 17, 10, tzinfo=timezone(timedelta(hours=2))), "2019-10-17 08:00:00Z"),
        (words.clock, INSTANT, "08:09:10"),
        (words.age, 119, "119 s"),
        (words.age, 120, "2 min"),
        (words.age, 7_200, "2 h"),
        (words.age, 172_800, "2 d"),
        (words.reason, "", ""),
        (words.reason, "tired", "(tired)"),
    ],
)
def test_a_value_is_written_for_reading(write: Callable[[Any], str], value: Any, written: str) -> None:
    assert write(value) == written


def test_a_change_is_a_share_of_what_was_before() -> None:
    assert words.change("10000", "10150") == "+1.50%"
    assert words.change("0", "5") == "from nothing"


def test_every_level_has_a_colour_and_every_state_stands_as_it_is_called() -> None:
    for level in StopLevel:
        assert words.level(level).endswith(f"]{level.value}[/]")
    for state in OrderState:
        assert state.value in words.state(state)
    assert words.state("FILLED") == "[green]FILLED[/]"
    assert (words.verdict("deny"), words.check("ok")) == ("[bold red]deny[/]", "[green]ok  [/]")
