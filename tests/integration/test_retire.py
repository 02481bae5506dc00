"""A symbol is retired: what is held of it is written off at cost, with a record, and it may leave the document."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import Position, StopLevel
from belay.domain.decisions import Hold, Side
from belay.domain.errors import InvalidInput
from belay.domain.flows import FlowKind
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.record import ZERO
from belay.domain.retirement import RetireRequest
from belay.workflows.retire import Retired, TakenBack, answer, retire, take_back
from tests.builders import ACCOUNT, STRATEGY, SYMBOL, make_incident, make_limits, make_stop
from tests.world import FAULTS, World, blaming, disturbed, meanwhile

OTHER = "ETH/USD"
WISH = {"symbol": SYMBOL, "reason": "delisted", "author": "ada"}


def retiring(world: World, **wish: Any) -> Retired:
    return retire(ACCOUNT, RetireRequest.parse({**WISH, **wish}), world.services())


def stopped(world: World) -> World:
    stops = world.ledger.operator_stops(ACCOUNT)
    world.ledger.save_operator_stops(stops.with_stop(make_stop(level=StopLevel.REDUCE_ONLY, symbol=SYMBOL)))
    return unavailable(world)


def unavailable(world: World, since: timedelta = timedelta(days=1)) -> World:
    """The venue says for so long that it does not trade the symbol."""
    told = make_incident(kind=IncidentKind.SYMBOL_UNAVAILABLE, subject=SYMBOL, symbol=SYMBOL)
    world.ledger.open_incident(told.model_copy(update={"opened_at": world.now - since}))
    return world


def holding() -> World:
    """0.1 BTC of a strategy, entries in it stopped by the operator."""
    world = World()
    world.holding()
    return stopped(world)


def test_r19_a_position_that_cannot_be_sold_is_written_off_at_cost_and_shown_in_the_profit() -> None:
    world = holding()
    cost = world.account.position(STRATEGY, SYMBOL).cost
    told = retiring(world)
    position = world.account.position(STRATEGY, SYMBOL)
    assert (position.quantity, position.cost, position.realised_pnl) == (ZERO, ZERO, -cost)
    assert world.account.retired == (SYMBOL,)
    (flow,) = told.written_off
    assert (flow.kind, flow.strategy, flow.author) == (FlowKind.ADJUSTMENT, STRATEGY, "ada")
    assert f"cost of {cost:f}: delisted" in flow.evidence
    assert [kept.text for kept in world.ledger.flows(ACCOUNT, 9)] == [flow.text]


def test_r19_a_retired_symbol_may_leave_the_document_and_is_read_no_more() -> None:
    world = holding()
    retiring(world)
    assert world.account.held_symbols() == frozenset()
    limits = make_limits(max_position_notional={OTHER: "5000"})
    world.configure(world.document.model_copy(update={"symbols": (OTHER,), "limits": limits}))
    asked: list[str] = []

    def noted(_call: str, perform: Any) -> Any:
        asked.append(perform.args[0])
        return perform()

    world.steps.always("venue.trades", noted)
    world.reconcile()
    assert set(asked) == {OTHER}


def test_nothing_moves_at_the_venue_by_it() -> None:
    world = holding()
    before = world.account.expected_balances()
    retiring(world)
    assert world.account.expected_balances() == before
    assert world.reconcile().clean


def test_its_incident_ends() -> None:
    world = holding()
    assert retiring(world).resolved == (f"symbol_unavailable:{SYMBOL}",)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_any_step_a_repetition_writes_it_off_once(fault: Any) -> None:
    for step, world in disturbed(holding, retiring, fault):
        with blaming(step):
            retiring(world)
            assert len(world.ledger.flows(ACCOUNT, 9)) == 1
            assert world.account.retired == (SYMBOL,)
            assert world.position() == 0


def test_asked_twice_it_is_done_once() -> None:
    world = holding()
    retiring(world)
    before = world.account
    told = retiring(world)
    assert (told.already, told.written_off) == (True, ())
    assert world.account == before


def test_a_fill_that_is_counted_meanwhile_is_written_off_too() -> None:
    world = holding()
    before = world.account.position(STRATEGY, SYMBOL)
    grown = before.moved(Decimal("0.05"), Decimal(500))
    positions = {STRATEGY: {SYMBOL: grown}}
    bump = meanwhile(lambda: world.ledger.save_account(world.account.bumped(positions=positions)))
    world.steps.next("ledger.record_flow", bump)
    retiring(world)
    assert world.account.position(STRATEGY, SYMBOL).realised_pnl == -grown.cost


def test_while_an_order_is_open_in_it_it_is_refused() -> None:
    world = World()
    world.holding()
    order = world.buy(limit_price="9000")
    world.deliver()
    stopped(world)
    with pytest.raises(InvalidInput, match=f"order {order.order_id} is open in {SYMBOL}"):
        retiring(world)
    assert world.position() == Decimal("0.1")


def test_while_an_intent_waits_in_it_it_is_refused() -> None:
    world = World()
    world.holding()
    world.buy()
    stopped(world)
    with pytest.raises(InvalidInput, match="is CREATED and not settled"):
        retiring(world)


def test_while_a_trade_in_it_waits_for_its_order_it_is_refused() -> None:
    world = holding()
    world.trade_by_hand(Side.BUY)
    world.minutes(2)
    unavailable(world)
    with pytest.raises(InvalidInput, match="waits for its order"):
        retiring(world)


def test_a_symbol_that_trades_is_not_retired() -> None:
    world = World()
    world.holding()
    with pytest.raises(InvalidInput, match=f"no incident says that the venue does not trade {SYMBOL}"):
        retiring(world)
    assert world.position() == Decimal("0.1")


def test_a_symbol_that_may_only_be_halted_is_not_retired() -> None:
    world = World()
    world.holding()
    unavailable(world, timedelta(hours=23))
    with pytest.raises(InvalidInput, match=r"which may be a halt\. Ask again after 2024-03-01T14:00:00Z"):
        retiring(world)
    assert world.position() == Decimal("0.1")


def test_while_entries_in_it_may_go_on_it_is_refused() -> None:
    world = World()
    world.holding()
    unavailable(world)
    with pytest.raises(InvalidInput, match=f"entries in {SYMBOL} are not stopped"):
        retiring(world)


def test_what_is_no_symbol_of_the_account_is_refused() -> None:
    world = holding()
    told = answer({"account": ACCOUNT, "retire": {"symbol": OTHER, "reason": "x"}}, world.services())
    assert (told["error"], told["problem"]) == ("retire.symbol", f"{OTHER} is not one of the account's symbols")
    assert answer({"account": ACCOUNT, "retire": {"symbol": SYMBOL}}, world.services())["error"] == "retire.reason"


# --- it trades again --------------------------------------------------------------------------------------------------


def taking_back(world: World, **wish: Any) -> TakenBack:
    return take_back(ACCOUNT, RetireRequest.parse({**WISH, "reason": "listed again", **wish}), world.services())


def retired() -> World:
    """The symbol is retired, still in the document, and the operator's stop is gone."""
    world = holding()
    retiring(world)
    stops = world.ledger.operator_stops(ACCOUNT)
    world.ledger.save_operator_stops(stops.changed(()))
    world.reconcile()
    return world


def lines_of(world: World, order: Order) -> dict[str, dict[str, str]]:
    story = world.ledger.story(order.decision_id)
    assert story is not None
    (checked,) = [event.detail["limits"] for event in story.events if "limits" in event.detail]
    return {line["limit"]: line for line in checked}


def test_an_entry_in_a_retired_symbol_is_denied_and_says_how_it_is_taken_back() -> None:
    world = retired()
    order = world.buy(quantity="0.02")
    world.deliver()
    assert world.state(order) is OrderState.DENIED
    line = lines_of(world, order)["retired"]
    assert (line["value"], line["verdict"]) == (f"{SYMBOL} is retired", "deny")
    assert f"belay symbols take-back {SYMBOL}" in line["bound"]


def test_a_retired_symbol_that_is_taken_back_trades_once_it_was_read() -> None:
    world = retired()
    told = taking_back(world)
    assert (told.listed, world.account.retired) == (True, ())
    (record, *_) = world.ledger.flows(ACCOUNT, 9)
    assert record == told.record
    assert (record.amounts, record.author) == ({}, "ada")
    assert "listed again" in record.evidence
    waiting = world.buy(quantity="0.02")
    world.deliver()
    assert world.state(waiting) is OrderState.CREATED, "no proof has read the symbol yet"
    world.strategy.says = Hold(reason="quiet")
    world.minutes(3)
    assert world.state(waiting) is OrderState.FILLED
    assert world.reconcile().clean
    world.move(recorded=False, BTC="-0.01")
    world.minutes(2)
    assert world.kinds() == [IncidentKind.BALANCE_MISMATCH], "it is compared again"


def test_taken_back_twice_it_is_done_once() -> None:
    world = retired()
    taking_back(world)
    before = world.account
    assert taking_back(world).record is None
    assert world.account == before


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_any_step_a_repetition_takes_it_back_once(fault: Any) -> None:
    for step, world in disturbed(retired, taking_back, fault):
        with blaming(step):
            taking_back(world)
            assert len(world.ledger.flows(ACCOUNT, 9)) == 2
            assert world.account.retired == ()


def test_what_is_no_symbol_of_the_account_cannot_be_taken_back() -> None:
    with pytest.raises(InvalidInput, match=f"{OTHER} is not one of the account's symbols"):
        taking_back(retired(), symbol=OTHER)


def test_a_position_in_a_retired_symbol_is_compared_and_counts_in_the_limits() -> None:
    """It came after all, such as by a trade that was given to the strategy: retired or not, it is there."""
    world = retired()
    positions = {STRATEGY: {SYMBOL: Position(quantity=Decimal("0.1"), cost=Decimal(1000))}}
    world.ledger.save_account(world.account.bumped(positions=positions))
    assert world.account.given_up == frozenset()
    assert SYMBOL in world.account.exposed_symbols(world.document) - world.account.given_up
    world.move(recorded=False, BTC="-0.05")
    world.minutes(3)
    assert IncidentKind.BALANCE_MISMATCH in world.kinds()
