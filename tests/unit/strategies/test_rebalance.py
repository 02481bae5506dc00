"""Rebalancing: what it trades to come back to its weights, what it leaves alone, and what it never does."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.domain.account import Position
from belay.domain.decisions import Buy, Hold, Reduce, Side, Trade
from belay.domain.strategy import MarketState, State
from strategies import load, rebalance
from tests.builders import NOW, make_candles, make_limits, make_market, make_order, make_slot, make_trade, seconds

BTC, ETH = "BTC/USD", "ETH/USD"
COST = Decimal("1.0015")
PARAMETERS = {
    "weights": {BTC: "0.5", ETH: "0.3"},
    "budget": "10000",
    "band": "0.05",
    "fee": "0.001",
    "slippage": "0.0005",
}
CLOSES = {BTC: "10000", ETH: "500"}
NOTHING: dict[str, Position] = {}


def held(quantity: str, cost: str, realised: str = "0") -> Position:
    return Position(quantity=Decimal(quantity), cost=Decimal(cost), realised_pnl=Decimal(realised))


BALANCED = {BTC: held("0.5", "5000"), ETH: held("6", "3000")}


def parameters(**changes: Any) -> rebalance.Parameters:
    return rebalance.Parameters.model_validate({**PARAMETERS, **changes})


def markets(
    positions: Mapping[str, Position], closes: Mapping[str, Any], filters: Mapping[str, Any]
) -> dict[str, MarketState]:
    return {
        symbol: MarketState(
            candles=make_candles([close]),
            market=make_market(symbol=symbol, **filters),
            position=positions.get(symbol, Position()),
        )
        for symbol, close in closes.items()
    }


def decide(
    positions: Mapping[str, Position] = NOTHING, closes: Mapping[str, Any] = CLOSES, **changes: Any
) -> Hold | Trade:
    told: dict[str, Any] = {
        "slot": make_slot(),
        "parameters": changes.pop("parameters", parameters()),
        "now": NOW + seconds(2),
        "markets": markets(positions, closes, changes.pop("market", {})),
        "open_orders": (),
        "limits": make_limits(),
    }
    return rebalance.decide(State(**{**told, **changes}))


def reason(decision: Hold | Trade) -> str:
    assert isinstance(decision, Hold)
    return decision.reason


def sells(decision: Hold | Trade) -> dict[str, Decimal]:
    legs = decision.legs if isinstance(decision, Trade) else ()
    return {leg.symbol: leg.quantity or Decimal("NaN") for leg in legs if isinstance(leg, Reduce)}


def buys(decision: Hold | Trade) -> dict[str, Decimal]:
    legs = decision.legs if isinstance(decision, Trade) else ()
    return {leg.symbol: leg.notional or Decimal("NaN") for leg in legs if isinstance(leg, Buy)}


def test_it_begins_by_buying_every_target_weight_of_its_budget() -> None:
    decision = decide()
    assert sells(decision) == {}
    assert buys(decision) == {BTC: Decimal(5000), ETH: Decimal(3000)}


def test_costs_are_kept_back_where_the_weights_take_everything() -> None:
    bought = buys(decide(parameters=parameters(weights={BTC: "0.5", ETH: "0.5"})))
    assert bought[BTC] == bought[ETH]
    assert Decimal(9999) < sum(bought.values()) * COST <= 10000


def test_it_holds_while_every_weight_is_within_the_band() -> None:
    assert reason(decide(BALANCED)) == "within_band"
    assert reason(decide(BALANCED, {BTC: "11000", ETH: "480"})) == "within_band"


def test_it_sells_what_outgrew_its_weight_back_to_the_target() -> None:
    decision = decide(BALANCED, {BTC: "15000", ETH: "500"})
    # Equity 12500: 6250 of BTC are wanted, 7500 are there. ETH is 3000 of 3750: 6 points below, so bought as well.
    assert sells(decision) == {BTC: Decimal("0.0833")}
    assert buys(decision) == {ETH: Decimal(750)}
    assert isinstance(decision, Trade)
    assert [leg.kind for leg in decision.legs] == ["reduce", "buy"]


def test_a_weight_that_is_off_by_exactly_the_band_is_left_alone() -> None:
    positions = {BTC: held("0.55", "5500"), ETH: held("6", "3000")}
    assert reason(decide(positions)) == "within_band"
    assert sells(decide(positions, parameters=parameters(band="0.0499"))) == {BTC: Decimal("0.05")}


def test_buys_spend_only_the_cash_that_is_there_and_leave_the_proceeds_for_a_later_slot() -> None:
    """The exit may fill late, or never."""
    everything = parameters(weights={BTC: "0.5", ETH: "0.5"})
    positions = {BTC: held("0.9", "9000"), ETH: held("1.6", "800")}
    decision = decide(positions, parameters=everything)
    assert sells(decision) == {BTC: Decimal("0.4")}
    assert sum(buys(decision).values()) * COST <= 200


def test_its_equity_is_its_budget_with_what_its_own_positions_won_and_lost() -> None:
    positions = {BTC: held("0", "0", "-4000"), ETH: held("2", "900", "500")}
    decision = decide(positions)
    assert decision.inputs["cash"] == "5600"  # 10000 - 4000 + 500 - 900
    assert decision.inputs["equity"] == "6600"
    assert buys(decision) == {BTC: 3300, ETH: 980}


def test_a_symbol_of_weight_zero_is_left_whole_even_within_the_band() -> None:
    positions = {BTC: held("0.5", "5000"), ETH: held("0.8", "400")}
    decision = decide(positions, parameters=parameters(weights={BTC: "0.5", ETH: "0"}))
    assert (sells(decision), buys(decision)) == ({ETH: Decimal("0.8")}, {})


def test_a_strategy_that_lost_everything_holds() -> None:
    assert reason(decide({BTC: held("0", "0", "-10000")})) == "no_equity"


def test_it_holds_while_any_of_its_orders_is_open() -> None:
    assert reason(decide(open_orders=(make_order(),))) == "order_open"


def test_it_holds_while_a_sell_is_counted_before_its_buy() -> None:
    assert reason(decide({BTC: held("-0.1", "-1000")})) == "fills_missing"


@pytest.mark.parametrize("filters", [{"min_notional": "6000"}, {"min_quantity": "7"}, {"quantity_step": "7"}])
def test_it_holds_where_the_venue_would_take_none_of_it(filters: dict[str, str]) -> None:
    assert reason(decide(market=filters)) == "too_small_or_no_cash"


def test_a_leg_that_is_too_small_does_not_keep_the_others_back() -> None:
    assert buys(decide(market={"min_notional": "4000"})) == {BTC: 5000}


def test_every_symbol_with_a_weight_is_looked_at_one_candle_each() -> None:
    assert rebalance.symbols(make_slot(), parameters()) == (BTC, ETH)
    assert rebalance.candles_needed(parameters()) == 1


AMOUNT = st.decimals("0", "100", places=4)
PRICE = st.decimals("0.5", "50000", places=2)
WEIGHT = st.integers(0, 50).map(lambda percent: Decimal(percent) / 100)


@given(
    quantities=st.tuples(AMOUNT, AMOUNT),
    costs=st.tuples(AMOUNT, AMOUNT),
    prices=st.tuples(PRICE, PRICE),
    weights=st.tuples(WEIGHT, WEIGHT),
    budget=st.decimals("0.01", "1000000", places=2),
    band=st.decimals("0.01", "0.5", places=2),
)
def test_it_never_sells_more_than_it_owns_nor_spends_more_than_it_has(
    quantities: tuple[Decimal, Decimal],
    costs: tuple[Decimal, Decimal],
    prices: tuple[Decimal, Decimal],
    weights: tuple[Decimal, Decimal],
    budget: Decimal,
    band: Decimal,
) -> None:
    symbols = (BTC, ETH)
    positions = {
        symbol: Position(quantity=quantity, cost=quantity * cost)
        for symbol, quantity, cost in zip(symbols, quantities, costs, strict=True)
    }
    asked = parameters(weights=dict(zip(symbols, weights, strict=True)), budget=budget, band=band)
    decision = decide(positions, dict(zip(symbols, prices, strict=True)), parameters=asked)
    cash = budget - sum(position.cost for position in positions.values())
    assert all(quantity <= positions[symbol].quantity for symbol, quantity in sells(decision).items())
    assert sum(buys(decision).values()) * COST <= max(cash, Decimal(0))
    assert not sells(decision).keys() & buys(decision).keys()


@given(st.lists(st.tuples(PRICE, PRICE), min_size=1, max_size=12), st.lists(st.booleans(), min_size=24, max_size=24))
def test_slot_after_slot_it_spends_its_budget_and_what_it_won_and_no_more(
    closes: list[tuple[Decimal, Decimal]], fills: list[bool]
) -> None:
    """Each leg fills at the close, its fee on top, or not at all; cash is counted here from the trades alone."""
    cash, positions, comes = Decimal(10000), {BTC: Position(), ETH: Position()}, iter(fills)
    asked = parameters(weights={BTC: "0.6", ETH: "0.4"})
    for prices in closes:
        now = dict(zip((BTC, ETH), prices, strict=True))
        decision = decide(positions, now, parameters=asked)
        ordered = [(Side.SELL, symbol, quantity) for symbol, quantity in sells(decision).items()]
        ordered += [(Side.BUY, symbol, amount / now[symbol]) for symbol, amount in buys(decision).items()]
        for side, symbol, quantity in ordered:
            if not next(comes, False):
                continue
            fee = {"USD": quantity * now[symbol] / 1000}
            trade = make_trade(symbol=symbol, side=side, quantity=quantity, price=now[symbol], fees=fee)
            cash += trade.asset_changes()["USD"]
            positions[symbol] = positions[symbol].after(trade)
            assert positions[symbol].quantity >= 0
            assert cash >= 0
        told = rebalance.cash_of(asked, markets(positions, now, {}))
        assert abs(told - cash) < Decimal("1e-12")


@pytest.mark.parametrize(
    "bad",
    [
        {"weights": {}},
        {"weights": {BTC: "0.6", ETH: "0.5"}},
        {"weights": {BTC: "-0.1"}},
        {"weights": {"BTCUSD": "0.5"}},
        {"weights": {f"A{number}/USD": "0.01" for number in range(34)}},
        {"budget": "0"},
        {"band": "0"},
        {"band": "1"},
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
        rebalance.Parameters.model_validate({key: value for key, value in PARAMETERS.items() if key != name})


def test_it_is_found_by_its_file_name() -> None:
    assert load("rebalance") is rebalance
