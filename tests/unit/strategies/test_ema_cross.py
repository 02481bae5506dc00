"""The EMA cross: when it buys, when it leaves, when it holds and says why."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.domain.account import Position
from belay.domain.decisions import Buy, Hold, Reduce, Trade
from belay.domain.errors import InvalidInput
from belay.domain.strategy import MarketState, State
from strategies import ema_cross, load
from tests.builders import NOW, SYMBOL, make_candles, make_limits, make_market, make_order, make_slot, seconds

PARAMETERS = {"fast": 2, "slow": 4, "notional": "1000", "fee": "0.001", "slippage": "0.0005"}
FALLING, FLAT = [110, 108, 106, 104, 102, 100], [100] * 6
CROSS_UP, STILL_UP = [*FALLING, 120], [*FALLING, 120, 121]
CROSS_DOWN, STILL_DOWN = [100, 102, 104, 106, 108, 90], [100, 102, 104, 106, 108, 90, 89]


def parameters(**changes: Any) -> ema_cross.Parameters:
    return ema_cross.Parameters.model_validate({**PARAMETERS, **changes})


def state(closes: list[Any], position: str = "0", **changes: Any) -> State[ema_cross.Parameters]:
    market = MarketState(
        candles=make_candles(closes),
        market=make_market(**changes.pop("market", {})),
        position=Position(quantity=Decimal(position)),
    )
    told: dict[str, Any] = {
        "slot": make_slot(),
        "parameters": parameters(),
        "now": NOW + seconds(2),
        "markets": {SYMBOL: market},
        "open_orders": (),
        "limits": make_limits(),
    }
    return State(**{**told, **changes})


def decide(closes: list[Any], position: str = "0", **changes: Any) -> Hold | Trade:
    return ema_cross.decide(state(closes, position, **changes))


def reason(decision: Hold | Trade) -> str:
    assert isinstance(decision, Hold)
    return decision.reason


def test_it_buys_when_the_fast_average_crosses_above_the_slow_one() -> None:
    decision = decide(CROSS_UP)
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Buy)
    assert (leg.symbol, leg.quantity, leg.limit_price) == (SYMBOL, None, None)


def test_an_entry_spends_its_notional_with_the_assumed_costs_included() -> None:
    decision = decide(CROSS_UP)
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Buy)
    assert leg.notional is not None
    assert abs(leg.notional * Decimal("1.0015") - 1000) < Decimal("1E-20")


def leaves(decision: Hold | Trade) -> str:
    """Why, for a decision to sell everything and nothing else."""
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Reduce)
    assert (leg.symbol, leg.quantity, leg.limit_price) == (SYMBOL, None, None)
    return leg.reason


def test_it_leaves_with_everything_when_the_fast_average_crosses_below() -> None:
    assert leaves(decide(CROSS_DOWN, "0.5")) == "the fast average crossed below the slow one"


@pytest.mark.parametrize("closes", [CROSS_UP, CROSS_DOWN])
def test_what_a_cross_leads_to_depends_on_the_candles_alone(closes: list[int]) -> None:
    """Else a fill that comes late, or an order that does not, would change every order id that follows."""
    alone = decide(closes)
    assert isinstance(alone, Trade)
    assert decide(closes, "0.5") == decide(closes, "0.5", open_orders=(make_order(),)) == alone


@pytest.mark.parametrize(("closes", "position"), [(STILL_UP, "0"), (STILL_UP, "0.5"), (STILL_DOWN, "0"), (FLAT, "0")])
def test_it_holds_where_nothing_crosses(closes: list[int], position: str) -> None:
    assert reason(decide(closes, position)) == "no_cross"


@pytest.mark.parametrize("closes", [STILL_DOWN, FLAT])
def test_an_exit_that_failed_is_decided_again(closes: list[int]) -> None:
    assert leaves(decide(closes, "0.5")) == "still holding below the slow average: the exit failed"


def test_averages_that_meet_and_part_again_have_crossed_twice() -> None:
    """Down to equal and up again: an exit, then an entry. Else the second entry would come on top of the first."""
    met = [100, *[110] * 12]
    assert leaves(decide(met)) == "the fast average crossed below the slow one"
    assert isinstance(decide([*met[1:], 120]), Trade)


def test_an_exit_is_not_decided_again_while_an_order_is_open() -> None:
    """hummingbot #7294: a retried close beside one that had not failed."""
    assert reason(decide(STILL_DOWN, "0.5", open_orders=(make_order(),))) == "order_open"


PRICES = st.lists(st.integers(99, 101) | st.integers(9_000, 11_000), min_size=30, max_size=60)


@given(PRICES)
def test_crosses_up_and_down_take_turns(closes: list[int]) -> None:
    """From one slot to the next, each slot seeing its own last candles: none is missed and none is seen twice."""
    needed = ema_cross.candles_needed(parameters())
    decisions = [decide(closes[max(0, end - needed) : end]) for end in range(6, len(closes) + 1)]
    sides = [type(decision.legs[0]) for decision in decisions if isinstance(decision, Trade)]
    assert all(earlier is not later for earlier, later in pairwise(sides))


def test_it_warms_up_until_there_are_enough_candles_for_two_slow_averages() -> None:
    short = decide([100, 101, 102, 103])
    assert isinstance(short, Hold)
    assert (short.reason, short.detail) == ("warming_up", "4 of 5 candles")
    assert reason(decide([100, 101, 102, 103, 104])) != "warming_up"
    assert reason(decide([100])) == "warming_up"


@pytest.mark.parametrize(
    ("position", "market"),
    [("0.0009", {"min_quantity": "0.001"}), ("0.05", {"min_notional": "10"}), ("0.9", {"quantity_step": "1"})],
    ids=["below the minimum quantity", "below the minimum notional", "below one step"],
)
def test_a_residue_that_the_venue_would_not_sell_is_not_a_position(position: str, market: dict[str, str]) -> None:
    """freqtrade #12322: a trade that could not die. It is no exit that failed."""
    assert reason(decide(STILL_DOWN, position, market=market)) == "no_cross"


def test_a_position_that_can_just_be_sold_is_one() -> None:
    assert isinstance(decide(STILL_DOWN, "0.2", market={"min_notional": "17.8"}), Trade)
    assert reason(decide(STILL_DOWN, "0.2", market={"min_notional": "17.81"})) == "no_cross"


def test_every_decision_shows_the_averages_it_was_made_from() -> None:
    for decision in (decide(CROSS_UP), decide(FLAT), decide(CROSS_DOWN, "0.5")):
        assert set(decision.inputs) == {"ema_fast", "ema_slow", "gap_before", "close"}
    flat = {"ema_fast": "100.00000000", "ema_slow": "100.00000000", "gap_before": "0.00000000", "close": "100"}
    assert decide(FLAT).inputs == flat


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40), st.sampled_from(["0", "0.5"]))
def test_the_same_state_always_gives_the_same_decision(closes: list[int], position: str) -> None:
    assert decide(closes, position) == decide(closes, position)


def test_it_asks_for_more_candles_than_it_must_have_so_that_the_start_value_fades() -> None:
    assert ema_cross.candles_needed(parameters(fast=5, slow=20)) == 61
    assert ema_cross.symbols(make_slot(), parameters()) == (SYMBOL,)


@pytest.mark.parametrize(
    "bad",
    [
        {"fast": 4},
        {"fast": 0},
        {"slow": 201},
        {"notional": "0"},
        {"notional": "NaN"},
        {"fee": "1"},
        {"fee": "-0.1"},
        {"leverage": 3},
        {"fast": "two"},
    ],
)
def test_bad_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parameters(**bad)


@pytest.mark.parametrize("name", ["fee", "slippage", "fast", "slow", "notional"])
def test_no_parameter_has_a_default(name: str) -> None:
    with pytest.raises(ValidationError):
        ema_cross.Parameters.model_validate({key: value for key, value in PARAMETERS.items() if key != name})


def test_a_state_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        state(FLAT, now=NOW.replace(tzinfo=None))


def test_a_strategy_is_found_by_its_file_name() -> None:
    assert load("ema_cross") is ema_cross


@pytest.mark.parametrize("name", ["nobody_wrote_this", "__init__", "os", "", "ema_cross.decide"])
def test_an_unknown_strategy_is_one_clear_error(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"Use one of: .*\bema_cross\b") as refused:
        load(name)
    assert refused.value.field == "tick.algorithm"
