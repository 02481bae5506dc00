"""What may be adopted, and what an adoption would store: judged on values alone."""

from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import Account, OperatorStops, Position, StopLevel
from belay.domain.adoption import (
    AdoptRequest,
    Candidate,
    Takeover,
    Terms,
    adopt_balance,
    adopted_before,
    obstacle,
    take_over,
)
from belay.domain.decisions import Side
from belay.domain.errors import InvalidInput
from belay.domain.orders import OrderState
from belay.domain.record import ZERO
from belay.domain.transitions import record_fill
from belay.domain.venues import VenueOrder, VenueStatus
from tests.builders import (
    ACCOUNT,
    NOW,
    PRICE,
    STRATEGY,
    SYMBOL,
    make_account,
    make_document,
    make_reservation,
    make_stamp,
    make_stop,
    make_trade,
    make_venue_order,
    seconds,
)

DOCUMENT = make_document()
STOPS = OperatorStops(account=ACCOUNT)


def opened(btc: str = "0.5", **changes: Any) -> Account:
    """An account that began with some bitcoin and takes no entries now."""
    opening = {"BTC": Decimal(btc), "USD": Decimal(10_000)}
    stopped = make_stop(level=StopLevel.REDUCE_ONLY)
    return make_account(**{"opening": opening, "opened_at": NOW, "stops": (stopped,), **changes})


def asking(**changes: Any) -> AdoptRequest:
    return AdoptRequest.parse({"strategy": STRATEGY, "symbol": SYMBOL, "price": "9000", "quantity": "0.2", **changes})


def given(account: Account, **changes: Any) -> Account:
    return adopt_balance(account, STOPS, DOCUMENT, asking(**changes), NOW)


def foreign(**changes: Any) -> VenueOrder:
    return make_venue_order(**{"client_order_id": "cron-17", "limit_price": "9500", **changes})


def candidate(counted: str = "0", namesakes: int = 1, taken: bool = False, **changes: Any) -> Candidate:
    return Candidate(foreign(**changes), DOCUMENT, Decimal(counted), namesakes, taken)


def taken(account: Account, seen: VenueOrder | None = None, **terms: Any) -> Takeover:
    agreed: dict[str, Any] = {
        "stage": "dev",
        "strategy": STRATEGY,
        "author": "ann",
        "at": NOW,
        "cost_rate": "0.001",
        "configuration_version": 1,
        "layer_version": "layer:1",
    }
    seen = seen or foreign()
    agreed_terms = Terms(**{**agreed, **terms})
    return take_over(seen, seen.limit_price or PRICE, account, STOPS, agreed_terms, make_stamp())


# --- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"strategy": STRATEGY}, "name the strategy and what it adopts"),
        ({"all_orders": True}, "name the strategy and what it adopts"),
        ({"strategy": STRATEGY, "quantity": "1"}, "symbol, quantity and price together"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "whole": True}, "symbol, quantity and price together"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "all_orders": True}, "symbol, quantity and price together"),
        ({"strategy": STRATEGY, "orders": ("a",), "all_orders": True}, "either some orders or all"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "price": "1", "quantity": "1", "whole": True}, "either a quantity"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "price": "0", "quantity": "1"}, "adopt.price"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "price": "1", "quantity": "-1"}, "adopt.quantity"),
        ({"strategy": STRATEGY, "symbol": SYMBOL, "price": "1", "quantity": "lots"}, "adopt.quantity"),
        ({"strategy": STRATEGY, "symbol": "BTCUSD", "price": "1", "quantity": "1"}, "adopt.symbol"),
        ({"strategy": "EMA Cross", "all_orders": True}, "adopt.strategy"),
        ({"everything": True}, "adopt.everything"),
        (["all"], "adopt"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_by_its_field(wish: object, named: str) -> None:
    with pytest.raises(InvalidInput, match=named) as refused:
        AdoptRequest.parse(wish)
    assert refused.value.field.startswith("adopt")
    assert refused.value.remedy


def test_no_wish_at_all_is_a_question() -> None:
    assert not AdoptRequest.parse({}).wants_something


# --- balances --------------------------------------------------------------------------------------------------------


def test_an_adopted_balance_is_a_position_at_the_given_cost() -> None:
    account = given(opened())
    assert account.position(STRATEGY, SYMBOL) == Position(quantity=Decimal("0.2"), cost=Decimal(1800))
    assert account.unowned("BTC") == Decimal("0.3")


def test_adopting_changes_neither_what_is_held_in_all_nor_what_the_venue_should_hold() -> None:
    before, after = opened(), given(opened())
    assert after.symbol_quantity(SYMBOL) == before.symbol_quantity(SYMBOL) == Decimal("0.5")
    assert after.expected_balances() == before.expected_balances()
    assert after.version == before.version + 1


def test_a_symbol_whose_opening_was_adopted_and_sold_is_no_longer_exposed() -> None:
    account = given(opened(), whole=True, quantity=None)
    assert account.exposed_symbols(DOCUMENT) == {SYMBOL}
    sold = account.with_fill(STRATEGY, "x", make_trade(side=Side.SELL, quantity="0.5", fees={}))
    assert sold.exposed_symbols(DOCUMENT) == frozenset()
    assert sold.symbol_quantity(SYMBOL) == ZERO


def test_a_sale_of_adopted_coins_realises_against_the_given_cost() -> None:
    sold = given(opened()).with_fill(STRATEGY, "x", make_trade(side=Side.SELL, quantity="0.2", fees={}))
    assert sold.position(STRATEGY, SYMBOL).realised_pnl == Decimal(200)


def test_an_adoption_joins_what_the_strategy_bought_itself() -> None:
    account = given(opened().with_fill(STRATEGY, "x", make_trade(quantity="0.1", fees={})))
    assert account.position(STRATEGY, SYMBOL) == Position(quantity=Decimal("0.3"), cost=Decimal(2800))


def test_several_strategies_share_an_opening_and_all_of_it_is_what_the_others_left() -> None:
    account = given(given(opened()), strategy="other", quantity=None, whole=True)
    assert account.position("other", SYMBOL).quantity == Decimal("0.3")
    assert account.unowned("BTC") == ZERO


@pytest.mark.parametrize(("quantity", "adopts"), [("0.3", True), ("0.30000001", False)])
def test_no_more_is_adopted_than_is_there_less_what_was_adopted_before(quantity: str, adopts: bool) -> None:
    account = given(opened())
    if adopts:
        assert given(account, quantity=quantity).unowned("BTC") == ZERO
        return
    with pytest.raises(InvalidInput, match=r"0.3 BTC are no strategy's and left") as refused:
        given(account, quantity=quantity)
    assert refused.value.field == "adopt.quantity"


def test_all_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 BTC are no strategy's and left"):
        given(opened("0"), whole=True, quantity=None)


def test_a_symbol_of_another_quote_currency_cannot_take_the_same_coins() -> None:
    with pytest.raises(InvalidInput, match=r"adopt.symbol: BTC/EUR is not one of the account's symbols"):
        given(opened(), symbol="BTC/EUR")


@pytest.mark.parametrize("wish", [{}, {"whole": True, "quantity": None}])
def test_a_repeated_wish_is_recognised(wish: dict[str, Any]) -> None:
    account = given(opened(), **wish)
    assert adopted_before(account, asking(**wish)) == account.adoptions[0]
    for other in ({"price": "9001"}, {"strategy": "other"}):
        assert adopted_before(account, asking(**{**wish, **other})) is None


def test_all_that_is_left_is_no_repetition_while_something_is_left() -> None:
    assert adopted_before(given(opened()), asking(whole=True, quantity=None)) is None


@pytest.mark.parametrize(
    ("stops", "allowed"),
    [
        ((), False),
        ((make_stop(strategy="other"),), False),
        ((make_stop(symbol="ETH/USD"),), False),
        ((make_stop(level=StopLevel.REDUCE_ONLY),), True),
        ((make_stop(),), True),
        ((make_stop(strategy=STRATEGY),), True),
        ((make_stop(symbol=SYMBOL),), True),
    ],
)
def test_nothing_is_adopted_by_a_strategy_that_may_enter_meanwhile(stops: tuple[Any, ...], allowed: bool) -> None:
    account = opened(stops=stops)
    if allowed:
        given(account)
        taken(account)
        return
    for adopting in (given, taken):
        with pytest.raises(InvalidInput, match="Stop it first: belay halt"):
            adopting(account)


# --- orders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (candidate(client_order_id=None), "venue order V1 has no client order id"),
        (candidate(client_order_id="cron#17"), "cannot keep"),
        (candidate(client_order_id=""), "cannot keep"),
        (candidate(client_order_id="x" * 65), "cannot keep"),
        (candidate(symbol="ETH/USD"), "does not list"),
        (candidate(namesakes=2), "shares its client order id"),
        (candidate(taken=True), "bears the id of an order of another account"),
        (candidate(filled_quantity="0.05"), "was filled, in part at least, before"),
        (candidate(filled_quantity="0.05", counted="0.04"), "was filled, in part at least, before"),
        (candidate(filled_quantity="0.1", status=VenueStatus.FILLED), "was filled, in part at least, before"),
        (candidate(status=VenueStatus.CANCELLED), "is over and was never filled"),
    ],
)
def test_an_order_that_cannot_be_adopted_says_why_and_what_to_do(found: Candidate, problem: str) -> None:
    refused = obstacle(found)
    assert refused is not None
    assert problem in refused.problem
    assert refused.remedy


@pytest.mark.parametrize(
    "found",
    [
        candidate(),
        candidate(client_order_id="x-1.2:3/4_5"),
        candidate(limit_price=None),
        candidate(filled_quantity="0.05", counted="0.05"),
        candidate(filled_quantity="0.05", counted="0.07"),
        candidate(filled_quantity="0.1", counted="0.1", status=VenueStatus.FILLED),
    ],
)
def test_an_order_is_adopted_if_all_that_filled_of_it_filled_after_the_opening(found: Candidate) -> None:
    assert obstacle(found) is None


def test_an_adopted_order_is_as_the_venue_shows_it_acknowledged_and_reserved() -> None:
    made = taken(opened())
    order = made.order
    assert (order.order_id, order.state, order.venue_order_ids) == ("cron-17", OrderState.ACKNOWLEDGED, ("V1",))
    assert order.attempt is not None
    assert (order.attempt.number, order.attempt.fence_at, order.attempt.request.claimed_at) == (1, None, NOW)
    assert (order.attempt.request.quantity, order.attempt.request.limit_price) == (Decimal("0.1"), Decimal(9500))
    held = made.account.reservations["cron-17"]
    assert (held.notional, held.unresolved, held.reducing) == (Decimal("950.95"), False, False)
    assert made.account.submissions == (), "Belay submitted nothing"


def test_an_adopted_orders_decision_and_event_say_who_adopted_what() -> None:
    made = taken(opened())
    record, event = made.record, made.event
    assert record.decision_id == f"dev.paper.{STRATEGY}.{SYMBOL}.adopted.cron-17"
    assert (record.algorithm, record.parameters, record.order_ids) == ("adopted", {"author": "ann"}, ("cron-17",))
    assert (event.cause, event.sequence, event.from_state, event.to_state) == (
        "adopted",
        0,
        OrderState.ACKNOWLEDGED,
        OrderState.ACKNOWLEDGED,
    )
    assert event.detail["venue_order"]["venue_order_id"] == "V1"


def test_a_sell_is_adopted_up_to_what_the_strategy_has_and_no_exit_of_it_sells_already() -> None:
    sell = foreign(side=Side.SELL, quantity="0.1")
    with pytest.raises(InvalidInput, match=r"cron-17 sells 0.1 BTC/USD, ema-cross has 0 to sell"):
        taken(opened(), sell)
    account = given(opened())
    first = taken(account, sell)
    assert first.account.reservations["cron-17"].reducing
    leaving = make_reservation("x", side=Side.SELL, reducing=True, quantity="0.11")
    with pytest.raises(InvalidInput, match=r"ema-cross has 0.09 to sell"):
        taken(account.bumped(reservations={"x": leaving}), sell)


def test_another_strategys_exits_and_its_own_entries_take_nothing_from_a_sell() -> None:
    account = given(opened(), quantity="0.1")
    held = {
        "x": make_reservation("x", strategy="other", side=Side.SELL, reducing=True, quantity="0.4"),
        "y": make_reservation("y", quantity="0.4"),
    }
    assert taken(account.bumped(reservations=held), foreign(side=Side.SELL, quantity="0.1")).order.reducing


def test_a_market_order_is_valued_at_the_price_it_is_given() -> None:
    made = taken(opened(), foreign(limit_price=None))
    assert made.account.reservations["cron-17"].price == PRICE


def test_a_fill_of_an_adopted_order_shrinks_its_reservation_and_moves_the_strategys_position() -> None:
    made = taken(opened())
    trade = make_trade(quantity="0.04", price="9500", fees={}, at=NOW + seconds(9))
    change = record_fill(made.order, made.account, trade, make_stamp("fill"))
    assert change.order.state is OrderState.PARTIALLY_FILLED
    assert change.account is not None
    assert change.account.reservations["cron-17"].quantity == Decimal("0.06")
    assert change.account.position(STRATEGY, SYMBOL).quantity == Decimal("0.04")
