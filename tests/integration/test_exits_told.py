"""An exit that did not go out: what is told of it follows what is left to sell, and ends once nothing is."""

import shlex
from decimal import Decimal

import pytest

from belay.domain.account import StopLevel
from belay.domain.decisions import Hold, Reduce
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.record import ZERO
from belay.domain.way_back import commands
from tests.builders import ACCOUNT, STRATEGY, SYMBOL
from tests.integration.test_way_back import sell_by_hand
from tests.world import FAULTS, Fault, World, blaming, disturbed, make_reduce

K, S = IncidentKind, OrderState
SELL = f"belay order --symbol {SYMBOL} --side sell --quantity all --strategy {STRATEGY}"


def not_placed() -> tuple[World, Order]:
    """An exit that lapsed behind a stop, which is released by now."""
    world = World()
    world.holding()
    world.set_switch(StopLevel.HALTED)
    (order,) = world.decide(make_reduce())
    world.strategy.says = Hold(reason="quiet")
    world.minutes(8)
    world.set_switch(StopLevel.RUNNING)
    return world, order


def told(world: World) -> Incident:
    (incident,) = world.incidents()
    assert incident.kind is K.EXIT_NOT_PLACED
    return incident


def decided_again(world: World, **changes: object) -> Order:
    world.advance(minutes=52)  # the next slot
    (again,) = world.decide(make_reduce(**changes))
    return again


def test_while_it_is_held_it_says_how_much_and_prints_the_command_of_its_own_strategy() -> None:
    world, _ = not_placed()
    assert f"{STRATEGY} still holds 0.1 {SYMBOL}" in told(world).action
    assert commands(told(world))[0].startswith(SELL)


def test_r58_an_exit_that_was_sold_by_hand_is_over_by_itself_and_the_account_is_clean() -> None:
    world, order = not_placed()
    sold = sell_by_hand(world)
    world.deliver()
    world.minutes(2)
    assert (world.state(sold), world.position()) == (S.FILLED, ZERO)
    assert (world.kinds(), world.account.stops) == ([], ())
    ended = world.ledger.incident(ACCOUNT, f"{K.EXIT_NOT_PLACED}:{order.order_id}")
    assert ended is not None
    assert ended.resolution == f"{STRATEGY} holds nothing of {SYMBOL} any more"
    assert world.reconcile().clean


def test_r58_while_another_exit_is_on_its_way_no_sale_is_printed_and_its_fill_ends_it() -> None:
    world, _ = not_placed()
    again = decided_again(world, limit_price="11000")
    world.reconcile()
    assert f"its exit {again.order_id} is CREATED: wait for that" in told(world).action
    world.deliver()
    world.reconcile()
    assert f"its exit {again.order_id} is ACKNOWLEDGED" in told(world).action
    printed = commands(told(world))
    assert not [command for command in printed if "--side sell" in command]
    assert shlex.split(printed[0])[:3] == ["belay", "orders", "--open"]
    world.venue().cancel(SYMBOL, again.order_id)
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    assert commands(told(world))[0].startswith(SELL), "that one is over, and it is still held"
    sell_by_hand(world)
    world.deliver()
    world.minutes(2)
    assert world.kinds() == []


def test_once_a_part_was_sold_it_says_what_is_left() -> None:
    world, _ = not_placed()
    half = world.position() / 2
    sell = Reduce(symbol=SYMBOL, quantity=half, reason="half of it")
    world.advance(minutes=52)
    world.decide(sell)
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    assert f"still holds 0.05 {SYMBOL}" in told(world).action
    history = world.ledger.incident_history(ACCOUNT, told(world).incident_id)
    assert [entry.what for entry in history][:2] == ["opened", "changed"]


def test_of_what_is_too_little_to_be_sold_nothing_is_asked() -> None:
    world, _ = not_placed()
    world.configure(world.document.model_copy(update={"paper": tiny_is_enough(world)}))
    world.minutes(2)
    assert world.kinds() == []


def tiny_is_enough(world: World) -> object:
    assert world.document.paper is not None
    return world.document.paper.model_copy(update={"min_notional": Decimal(2_000_000)})


def test_an_exit_of_which_nothing_is_left_when_it_is_given_up_asks_nobody() -> None:
    """It waits behind a stop; meanwhile what it was to sell is sold."""
    world = World()
    world.holding()
    (order,) = world.decide(make_reduce())
    world.queue.intents.clear()
    world.strategy.says = Hold(reason="quiet")
    sold = sell_by_hand(world)
    world.execute(sold.order_id)
    world.reconcile()
    assert world.position() == ZERO
    world.minutes(8)
    assert world.state(order) in (S.LAPSED, S.DENIED)
    assert world.kinds() == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_run_stops_it_is_over_once_nothing_is_left(fault: Fault) -> None:
    def sold() -> World:
        world, _ = not_placed()
        sell_by_hand(world)
        world.deliver()
        world.advance(minutes=1)
        return world

    for step, world in disturbed(sold, lambda world: world.reconcile(), fault):
        with blaming(step):
            world.minutes(2)
            assert (world.kinds(), world.position()) == ([], ZERO)
