"""RSI reversion: when it buys, when it leaves, when it holds and says why."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.domain.account import Position
from belay.domain.decisions import Buy, Hold, Reduce, Trade
from belay.domain.strategy import MarketState, State
from strategies import load, rsi_reversion
from tests.builders import NOW, SYMBOL, make_candles, make_limits, make_market, make_order, make_slot, seconds

PARAMETERS = {"period": 2, "oversold": 20, "exit_above": 65, "notional": "500", "fee": "0.001", "slippage": "0.0005"}
NEEDED = 60
# Prices that wave around 1000, and then fall until RSI is near zero.
FALLEN = [*(1000 + (5 if number % 2 else -5) for number in range(NEEDED)), 990, 980, 970]
RECOVERING = [*FALLEN, 974]
RECOVERED = [*RECOVERING, 985]
STILL_ABOVE = [*RECOVERED, 990]
LEAPT = [*FALLEN, 1010]


def parameters(**changes: Any) -> rsi_reversion.Parameters:
    return rsi_reversion.Parameters.model_validate({**PARAMETERS, **changes})


def decide(closes: list[Any], position: str = "0", **changes: Any) -> Hold | Trade:
    """What it says of the last closes, as many as it asks for."""
    asked = changes.pop("parameters", parameters())
    market = MarketState(
        candles=make_candles(closes[-rsi_reversion.candles_needed(asked) :]),
        market=make_market(**changes.pop("market", {})),
        position=Position(quantity=Decimal(position)),
    )
    told: dict[str, Any] = {
        "slot": make_slot(),
        "parameters": asked,
        "now": NOW + seconds(2),
        "markets": {SYMBOL: market},
        "open_orders": (),
        "limits": make_limits(),
    }
    return rsi_reversion.decide(State(**{**told, **changes}))


def reason(decision: Hold | Trade) -> str:
    assert isinstance(decision, Hold)
    return decision.reason


def leaves(decision: Hold | Trade) -> str:
    """Why, for a decision to sell everything and nothing else."""
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Reduce)
    assert (leg.symbol, leg.quantity, leg.limit_price) == (SYMBOL, None, None)
    return leg.reason


def wilder(closes: list[int], period: int) -> float:
    """RSI as Wilder defined it, started as talipp starts it: from the first `period - 1` changes."""
    changes = [later - earlier for earlier, later in pairwise(closes)]
    gain = sum(max(change, 0) for change in changes[: period - 1]) / (period - 1)
    loss = sum(max(-change, 0) for change in changes[: period - 1]) / (period - 1)
    for change in changes[period - 1 :]:
        gain = (gain * (period - 1) + max(change, 0)) / period
        loss = (loss * (period - 1) + max(-change, 0)) / period
    return 100 * gain / (gain + loss) if loss else 100.0


def test_it_buys_when_rsi_crosses_up_out_of_being_oversold() -> None:
    decision = decide(RECOVERING)
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Buy)
    assert (leg.symbol, leg.quantity, leg.limit_price) == (SYMBOL, None, None)
    assert leg.reason == "RSI crossed above 20"


def test_an_entry_spends_its_notional_with_the_assumed_costs_included() -> None:
    decision = decide(RECOVERING)
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, Buy)
    assert leg.notional is not None
    assert abs(leg.notional * Decimal("1.0015") - 500) < Decimal("1E-20")


def test_it_leaves_with_everything_when_rsi_crosses_above_the_exit() -> None:
    assert leaves(decide(RECOVERED, "0.5")) == "RSI crossed above 65"


@pytest.mark.parametrize("closes", [RECOVERING, RECOVERED])
def test_what_a_crossing_leads_to_depends_on_the_candles_alone(closes: list[int]) -> None:
    """Else a fill that comes late, or an order that does not, would change every order id that follows."""
    alone = decide(closes)
    assert isinstance(alone, Trade)
    assert decide(closes, "0.5") == decide(closes, "0.5", open_orders=(make_order(),)) == alone


def test_one_candle_that_leaps_over_both_is_no_entry() -> None:
    assert reason(decide([*RECOVERED, 960, 950, 940, 1010])) == "left_already"


def test_such_a_leap_leaves_what_was_entered_before_it() -> None:
    assert leaves(decide([*RECOVERING, 960, 950, 940, 1010])) == "RSI crossed above 65"


def test_where_the_last_entry_is_too_far_back_to_be_seen_it_leaves() -> None:
    """There may have been one; with nothing to sell the exit is denied."""
    falling = [*FALLEN, *range(969, 969 - NEEDED, -1)]
    assert leaves(decide([*falling, 1010])) == "RSI crossed above 65"


def test_after_an_exit_there_is_nothing_to_leave_until_the_next_entry() -> None:
    again = [*STILL_ABOVE, 984, 995]
    assert reason(decide(again)) == "left_already"
    entered = [*STILL_ABOVE, 980, 970, 960, 964]
    assert isinstance(decide(entered), Trade)
    assert leaves(decide([*entered, 975])) == "RSI crossed above 65"


@pytest.mark.parametrize("closes", [STILL_ABOVE, [*STILL_ABOVE, 984, 995]])
def test_an_exit_that_failed_is_decided_again(closes: list[int]) -> None:
    assert leaves(decide(closes, "0.5")) == "still holding with RSI above 65: the exit failed"


def test_an_exit_is_not_decided_again_while_an_order_is_open() -> None:
    assert reason(decide(STILL_ABOVE, "0.5", open_orders=(make_order(),))) == "order_open"


def test_a_residue_that_the_venue_would_not_sell_is_no_exit_that_failed() -> None:
    assert reason(decide(STILL_ABOVE, "0.0009", market={"min_quantity": "0.001"})) == "no_cross"


@pytest.mark.parametrize("closes", [FALLEN, STILL_ABOVE])
def test_it_holds_where_nothing_is_crossed(closes: list[int]) -> None:
    assert reason(decide(closes)) == "no_cross"


def test_it_warms_up_until_it_sees_as_many_candles_as_every_other_slot() -> None:
    short = decide(RECOVERING[: NEEDED - 1])
    assert isinstance(short, Hold)
    assert (short.reason, short.detail) == ("warming_up", "59 of 60 candles")
    assert reason(decide(RECOVERING[:NEEDED])) != "warming_up"


def test_every_decision_shows_the_values_it_was_made_from() -> None:
    for closes in (RECOVERING, RECOVERED, FALLEN):
        shown = decide(closes).inputs
        assert set(shown) == {"rsi", "rsi_before", "close"}
        assert float(shown["rsi"]) == pytest.approx(wilder(closes[-40:], 2))
        assert float(shown["rsi_before"]) == pytest.approx(wilder(closes[-41:-1], 2))


def test_short_periods_ask_for_sixty_candles_and_long_ones_for_what_they_must_forget() -> None:
    assert [rsi_reversion.candles_needed(parameters(period=period)) for period in (2, 8, 14)] == [60, 60, 90]
    assert rsi_reversion.symbols(make_slot(), parameters()) == (SYMBOL,)


CLOSES = st.lists(st.integers(900, 1100), min_size=100, max_size=140)


@given(CLOSES, st.integers(2, 14), st.integers(0, 60))
def test_a_value_is_the_same_wherever_the_history_begins(closes: list[int], period: int, earlier: int) -> None:
    asked = parameters(period=period)
    assert decide(closes, parameters=asked) == decide(closes[-90 - earlier :], parameters=asked)


@settings(max_examples=20)
@given(CLOSES, st.integers(2, 14))
def test_what_a_slot_saw_the_next_one_sees_before_it(closes: list[int], period: int) -> None:
    asked = parameters(period=period)
    decisions = [decide(closes[:end], parameters=asked) for end in range(90, len(closes) + 1)]
    assert all(before.inputs["rsi"] == after.inputs["rsi_before"] for before, after in pairwise(decisions))


@settings(max_examples=40)
@given(CLOSES)
def test_there_is_no_second_exit_without_an_entry_in_sight(closes: list[int]) -> None:
    legs = [decision.legs[0] for decision in map(decide, _endings(closes)) if isinstance(decision, Trade)]
    assert not any(isinstance(one, Reduce) and isinstance(other, Reduce) for one, other in pairwise(legs))


def _endings(closes: list[int]) -> list[list[int]]:
    """The closes up to each of twenty slots: an exit that is out of sight for the last of them was not made."""
    return [closes[:end] for end in range(len(closes) - 19, len(closes) + 1)]


@pytest.mark.parametrize(
    "bad",
    [
        {"oversold": 65},
        {"oversold": 0},
        {"exit_above": 100},
        {"exit_above": "NaN"},
        {"period": 1},
        {"period": 51},
        {"period": "two"},
        {"notional": "0"},
        {"fee": "1"},
        {"leverage": 3},
    ],
)
def test_bad_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parameters(**bad)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_no_parameter_has_a_default(name: str) -> None:
    with pytest.raises(ValidationError):
        rsi_reversion.Parameters.model_validate({key: value for key, value in PARAMETERS.items() if key != name})


def test_it_is_found_by_its_file_name() -> None:
    assert load("rsi_reversion") is rsi_reversion
