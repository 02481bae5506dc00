"""The account: positions and flows from fills alone, reservations, the rate window, stops."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.domain.account import Account, OperatorStops, Position, StopLevel, strictest
from belay.domain.decisions import Side
from belay.domain.venues import VenueTrade
from tests.builders import (
    ACCOUNT,
    NOW,
    PRICE,
    QUANTITY,
    STRATEGY,
    SYMBOL,
    make_account,
    make_reservation,
    make_stop,
    make_trade,
    seconds,
)

ZERO = Decimal(0)
AMOUNTS = st.decimals(Decimal("0.0001"), Decimal(100), places=4)
FEES = st.dictionaries(st.sampled_from(["USD", "BTC", "BNB"]), st.decimals(ZERO, Decimal("0.01"), places=4))
TRADES = st.builds(
    make_trade,
    trade_id=st.uuids().map(str),
    side=st.sampled_from(Side),
    symbol=st.sampled_from([SYMBOL, "ETH/USD"]),
    quantity=AMOUNTS,
    price=AMOUNTS,
    fees=FEES,
)
FILLS = st.lists(st.tuples(st.sampled_from(["ema-cross", "other"]), st.sampled_from(["r1", "r2", "r3"]), TRADES))


def bought(quantity: str, price: str, **changes: Any) -> VenueTrade:
    return make_trade(quantity=quantity, price=price, fees={}, **changes)


def sold(quantity: str, price: str, **changes: Any) -> VenueTrade:
    return bought(quantity, price, side=Side.SELL, **changes)


def after(*trades: VenueTrade) -> Position:
    position = Position()
    for trade in trades:
        position = position.after(trade)
    return position


# --- positions --------------------------------------------------------------------------------------------------------


def test_buys_add_up_to_quantity_and_cost() -> None:
    assert after(bought("1", "100"), bought("3", "200")) == Position(quantity=Decimal(4), cost=Decimal(700))


def test_a_sell_realises_against_the_average_cost() -> None:
    held = after(bought("1", "100"), bought("3", "200"), sold("2", "300"))
    assert held == Position(quantity=Decimal(2), cost=Decimal(350), realised_pnl=Decimal(250))


def test_a_complete_exit_leaves_no_cost_behind() -> None:
    assert after(bought("2", "100"), sold("2", "90")) == Position(realised_pnl=Decimal(-20))


def test_a_fee_in_the_base_currency_makes_the_position_smaller() -> None:
    """LEAN #4851, nautilus_trader #2689: the position exceeded the wallet by the fee."""
    held = after(make_trade(quantity="1", price="100", fees={"BTC": "0.001"}))
    assert held == Position(quantity=Decimal("0.999"), cost=Decimal(100))


def test_a_fee_in_the_quote_currency_is_part_of_the_cost_and_of_the_result() -> None:
    fee = {"USD": "1"}
    held = after(make_trade(quantity="1", price="100", fees=fee))
    assert held.cost == Decimal(101)
    assert held.after(make_trade(quantity="1", price="100", fees=fee, side=Side.SELL)).realised_pnl == Decimal(-2)


def test_a_fee_in_a_third_asset_moves_that_balance_only() -> None:
    account = make_account().with_fill(STRATEGY, "r1", make_trade(fees={"BNB": "0.5"}))
    assert account.traded == {"BTC": QUANTITY, "USD": -QUANTITY * PRICE, "BNB": Decimal("-0.5")}
    assert account.position(STRATEGY, SYMBOL) == Position(quantity=QUANTITY, cost=QUANTITY * PRICE)


def test_a_sell_counted_before_its_buy_realises_only_when_the_buy_arrives() -> None:
    """Fills arrive out of order; else a lost day would look like a gain of everything that was sold."""
    early = after(sold("2", "90"))
    assert early == Position(quantity=Decimal(-2), cost=Decimal(-180))
    assert early.after(bought("2", "100")) == Position(realised_pnl=Decimal(-20))


@pytest.mark.parametrize(
    "trade",
    [bought("1", "150"), sold("0.5", "150"), bought("3", "90"), sold("1", "80")],
    ids=lambda t: f"{t.side} {t.quantity}",
)
def test_a_trade_that_is_taken_back_leaves_what_was_before_it(trade: VenueTrade) -> None:
    held = after(bought("1", "100"), bought("1", "120"))
    assert held.after(trade).before(trade) == held


@pytest.mark.parametrize("later", [sold("2", "130"), sold("3", "130"), bought("1", "70"), sold("1.5", "10")])
@pytest.mark.parametrize("trade", [bought("1", "150"), sold("1", "150")], ids=lambda t: str(t.side))
def test_what_was_paid_stays_the_sum_whatever_was_traded_before_a_trade_is_taken_back(
    trade: VenueTrade, later: VenueTrade
) -> None:
    start = after(bought("2", "100"))
    held, never = start.after(trade).after(later).before(trade), start.after(later)
    assert held.quantity == never.quantity
    assert round(held.cost - held.realised_pnl, 9) == round(never.cost - never.realised_pnl, 9)


def test_a_sell_beyond_the_position_closes_it_and_opens_the_rest() -> None:
    held = after(bought("1", "100"), sold("3", "200"))
    assert held == Position(quantity=Decimal(-2), cost=Decimal(-400), realised_pnl=Decimal(100))


@given(FILLS)
def test_positions_and_flows_are_the_sum_of_the_fills_and_no_reservation_goes_below_zero(
    fills: list[tuple[str, str, VenueTrade]],
) -> None:
    """nautilus_trader #4736, freqtrade #9128: positions are derived from fills and from nothing else."""
    account = make_account(
        opening={"USD": Decimal(1000)},
        reservations={"r1": make_reservation("r1"), "r2": make_reservation("r2", quantity="50", unresolved=True)},
    )
    for strategy, order_id, trade in fills:
        account = account.with_fill(strategy, order_id, trade)
    changes: dict[str, Decimal] = {}
    held: dict[tuple[str, str], Decimal] = {}
    for strategy, _, trade in fills:
        base = trade.symbol.split("/")[0]
        for asset, change in trade.asset_changes().items():
            changes[asset] = changes.get(asset, ZERO) + change
        key = (strategy, trade.symbol)
        held[key] = held.get(key, ZERO) + trade.asset_changes()[base]
    assert account.traded == changes
    expected = {"USD": ZERO, **changes}
    expected["USD"] += 1000
    assert account.expected_balances() == expected
    assert {key: account.position(*key).quantity for key in held} == held
    for symbol in (SYMBOL, "ETH/USD"):
        owned = sum((max(quantity, ZERO) for (_, traded), quantity in held.items() if traded == symbol), ZERO)
        assert account.symbol_quantity(symbol) == max(owned, changes.get(symbol.split("/")[0], ZERO))
    assert all(reservation.quantity >= 0 for reservation in account.reservations.values())
    assert set(account.reservations) == {"r1", "r2"}
    assert account.version == len(fills)


@given(st.lists(TRADES.map(lambda trade: trade.model_copy(update={"symbol": SYMBOL})), min_size=1))
def test_what_was_paid_is_either_cost_or_result(trades: list[VenueTrade]) -> None:
    held = after(*trades)
    paid = sum((-trade.asset_changes()["USD"] for trade in trades), ZERO)
    assert abs(held.cost - held.realised_pnl - paid) < Decimal("1E-18")
    assert held.quantity != 0 or held.cost == 0 or trades[-1].quantity == trades[-1].fees.get("BTC")


def test_the_quantity_of_a_symbol_is_summed_over_strategies() -> None:
    """freqtrade #8666: two bots on one account; who owns what is in the ledger."""
    account = make_account()
    for strategy, quantity in (("one", "0.1"), ("two", "0.3")):
        account = account.with_fill(strategy, "r1", bought(quantity, "100"))
    assert account.symbol_quantity(SYMBOL) == Decimal("0.4")
    assert account.position("one", SYMBOL).quantity == Decimal("0.1")
    assert account.position("three", SYMBOL) == Position()


def test_a_closed_position_is_not_held() -> None:
    account = make_account()
    for trade in (bought("1", "100"), sold("1", "100"), bought("1", "100", symbol="ETH/USD")):
        account = account.with_fill(STRATEGY, "r1", trade)
    assert account.held_symbols() == {"ETH/USD"}


# --- reservations and the rate window ---------------------------------------------------------------------------------


def test_a_fill_shrinks_its_own_reservation_and_resolves_it() -> None:
    account = make_account(
        reservations={"r1": make_reservation("r1", unresolved=True), "r2": make_reservation("r2", unresolved=True)}
    )
    account = account.with_fill(STRATEGY, "r1", bought("0.04", "10000"))
    told = {key: (held.quantity, held.unresolved) for key, held in account.reservations.items()}
    assert told == {"r1": (Decimal("0.06"), False), "r2": (QUANTITY, True)}


def test_a_buys_reservation_includes_the_costs_that_were_assumed() -> None:
    assert make_reservation(cost_rate="0.01").notional == Decimal("1010")


def test_a_submission_counts_for_a_minute_and_no_longer() -> None:
    """freqtrade PR #6943: an age that was always true. Both sides of the bound."""
    account = make_account().with_reservation(make_reservation(), NOW)
    assert account.submissions_since(NOW) == 1
    assert account.submissions_since(NOW + seconds(59.999)) == 1
    assert account.submissions_since(NOW + seconds(60)) == 0


def test_the_rate_window_does_not_grow_with_history() -> None:
    account = make_account()
    for minute in range(10):
        account = account.with_reservation(make_reservation(f"r{minute}"), NOW + timedelta(minutes=minute))
    assert account.submissions == (NOW + timedelta(minutes=9),)
    assert len(account.reservations) == 10


def test_giving_back_one_reservation_keeps_the_others() -> None:
    account = make_account(reservations={"r1": make_reservation("r1"), "r2": make_reservation("r2")})
    assert set(account.without_reservation("r1").reservations) == {"r2"}


def test_every_change_raises_the_version_by_one() -> None:
    account = make_account()
    changes: tuple[Callable[[Account], Account], ...] = (
        lambda a: a.with_reservation(make_reservation(unresolved=True), NOW),
        lambda a: a.with_resolution("r1", unresolved=False),
        lambda a: a.with_fill(STRATEGY, "r1", make_trade()),
        lambda a: a.with_stop(make_stop()),
        lambda a: a.without_reservation("r1"),
    )
    for version, change in enumerate(changes, start=1):
        account = change(account)
        assert account.version == version


def test_an_account_survives_being_stored() -> None:
    account = make_account(opening={"USD": Decimal("0.1")}, opened_at=NOW, stops=(make_stop(),))
    account = account.with_reservation(make_reservation(), NOW).with_fill(STRATEGY, "r1", make_trade())
    assert Account.model_validate_json(account.model_dump_json()) == account


# --- stops ------------------------------------------------------------------------------------------------------------


def test_nothing_stops_an_account_without_stops() -> None:
    assert strictest(make_account().stops, STRATEGY, SYMBOL) == (StopLevel.RUNNING, "")


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ({}, True),
        ({"strategy": STRATEGY}, True),
        ({"symbol": SYMBOL}, True),
        ({"strategy": STRATEGY, "symbol": SYMBOL}, True),
        ({"strategy": "other"}, False),
        ({"symbol": "ETH/USD"}, False),
        ({"strategy": STRATEGY, "symbol": "ETH/USD"}, False),
        ({"strategy": "other", "symbol": SYMBOL}, False),
    ],
)
def test_a_stop_covers_its_scope_and_nothing_else(scope: dict[str, str], covered: bool) -> None:
    """Lean.Brokerages.TradeStation #104: one symbol's error must not stop every symbol."""
    level, _ = strictest(make_account(stops=(make_stop(**scope),)).stops, STRATEGY, SYMBOL)
    assert level is (StopLevel.HALTED if covered else StopLevel.RUNNING)


@pytest.mark.parametrize("order", [1, -1])
def test_the_strictest_stop_wins_whatever_came_first(order: int) -> None:
    stops = (
        make_stop(level=StopLevel.REDUCE_ONLY, reason="loss"),
        make_stop(level=StopLevel.HALTED, symbol=SYMBOL, reason="listing"),
    )
    account = make_account(stops=stops[::order])
    assert strictest(account.stops, STRATEGY, SYMBOL) == (StopLevel.HALTED, "listing")
    assert strictest(account.stops, STRATEGY, "ETH/USD") == (StopLevel.REDUCE_ONLY, "loss")


def test_the_levels_rise_from_running_to_halted() -> None:
    assert [level.rank for level in (StopLevel.RUNNING, StopLevel.REDUCE_ONLY, StopLevel.HALTED)] == [0, 1, 2]


def test_an_operators_stop_replaces_only_the_same_authors_stop_of_the_same_scope() -> None:
    operators = OperatorStops(account=ACCOUNT)
    for changes in ({}, {"author": "bob"}, {"symbol": SYMBOL}, {"level": StopLevel.REDUCE_ONLY}, {"reason": "again"}):
        operators = operators.with_stop(make_stop(**changes))
    assert (len(operators.stops), operators.version) == (4, 5)
    assert operators.stops[-1].reason == "again"


def test_the_stops_of_incidents_are_lifted_by_incident_and_an_account_without_them_stays_as_it_is() -> None:
    account = make_account(stops=(make_stop(incident="i1"), make_stop(incident="i2")))
    lifted = account.without_stops(frozenset({"i1", "i3"}))
    assert ([stop.incident for stop in lifted.stops], lifted.version) == (["i2"], 1)
    assert lifted.without_stops(frozenset({"i1"})) is lifted
