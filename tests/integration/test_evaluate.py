"""The evaluator's workflow in a world of memory: one slot, one decision, whatever goes wrong around it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.decisions import Cancel, Hold, Trade
from belay.domain.errors import InvalidInput
from belay.domain.orders import OrderState
from belay.domain.slots import Tick
from belay.workflows.updates import refuse_event
from tests.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    SYMBOL,
    make_buy,
    make_candles,
    make_document,
    make_limits,
    make_tick,
)
from tests.world import (
    COSTS,
    FAULTS,
    Crash,
    Fault,
    World,
    afterwards,
    blaming,
    disturbed,
    flat_candles,
    make_reduce,
    meanwhile,
    refuse,
    stop_after,
    stop_before,
)

CALM_HOLD = Hold(reason="quiet")


def decisions(world: World) -> int:
    return len(world.ledger.decisions(ACCOUNT, STRATEGY, 100))


def buying(world: World, **changes: Any) -> World:
    world.strategy.says = Trade(legs=(make_buy(**changes),))
    return world


def held(world: World, **changes: Any) -> str:
    """The reason with which a tick was held."""
    record = world.tick(**changes)
    assert record.held is not None, record.decision
    assert world.queue.intents == []
    assert world.ledger.decision(record.decision_id) == record
    return record.held.reason


# --- one slot, one decision (P1) -------------------------------------------------------------------------------------


def test_a_tick_becomes_a_stored_decision_a_created_order_and_a_message_that_carries_only_its_id() -> None:
    world = World()
    (order,) = world.decide(make_buy())
    assert order.state is OrderState.CREATED
    assert order.expires_at == NOW + timedelta(seconds=300)
    assert [message.body for message in world.queue.intents] == [{"order_id": order.order_id}]


def test_a_repeated_tick_publishes_the_stored_decision_even_when_the_data_was_revised() -> None:
    world = World()
    first = buying(world).tick()
    world.load_candles(flat_candles(price=Decimal(20_000)))
    world.strategy.says = Trade(legs=(make_reduce(),))
    world.advance(seconds=90)
    assert world.tick(at=NOW) == first
    assert decisions(world) == 1
    assert len(world.strategy.seen) == 1
    assert {message.body["order_id"] for message in world.queue.intents} == set(first.order_ids)


def test_twenty_ticks_anywhere_in_the_hour_give_one_decision_and_one_order() -> None:
    world = buying(World())
    for minute in range(20):
        world.tick(at=NOW + timedelta(minutes=minute), max_lateness_seconds=3600)
    assert decisions(world) == 1
    assert len(world.ledger.orders(ACCOUNT, 100)) == 1


def test_the_loser_of_the_put_publishes_the_stored_decision_not_its_own() -> None:
    world = buying(World(), quantity="0.1")
    tick = world.make_tick()

    def somebody_decides_otherwise() -> None:
        world.strategy.says = Trade(legs=(make_buy(quantity="0.2"),))
        world.evaluate(tick)
        world.strategy.says = CALM_HOLD

    world.steps.next("ledger.record_decision", meanwhile(somebody_decides_otherwise))
    record = world.evaluate(tick)
    assert isinstance(record.decision, Trade)
    assert world.order(record.order_ids[0] or "").quantity == make_buy(quantity="0.2").quantity
    assert decisions(world) == 1
    assert {message.body["order_id"] for message in world.queue.intents} == set(record.order_ids)


def test_an_order_that_was_taken_up_already_is_not_published_again() -> None:
    world = World()
    world.open_gate()
    buying(world).tick()
    world.deliver()
    mark = len(world.steps.calls)
    world.tick()
    assert world.steps.since(mark, "queue.") == []


# --- any single step may fail ----------------------------------------------------------------------------------------


def an_hour_with_a_known_schedule() -> World:
    world = World()
    world.open_gate()
    world.tick()
    world.advance(hours=1)
    world.reconcile()
    return buying(world)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_of_an_evaluation_leaves_one_decision_and_at_most_one_order(fault: Fault) -> None:
    """Catalyst #315, corpus rows 42 and 43: nothing but the schedule and the reconciler comes back to the slot."""
    slots = 2
    for step, world in disturbed(an_hour_with_a_known_schedule, World.tick, fault):
        with blaming(step):
            world.minutes(8)
            world.check_promises()
            assert decisions(world) == slots
            orders = world.ledger.orders(ACCOUNT, 10)
            assert [order.state for order in orders] == [OrderState.FILLED]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_tick_that_failed_anywhere_can_be_sent_again(fault: Fault) -> None:
    def make() -> World:
        world = World()
        world.open_gate()
        return buying(world)

    for step, world in disturbed(make, World.tick, fault):
        with blaming(step):
            world.tick()
            world.minutes(3)
            world.check_promises()
            assert decisions(world) == 1


def test_the_first_tick_of_a_schedule_is_ticked_again_when_the_evaluator_dies_of_it() -> None:
    world = buying(World())
    world.open_gate()
    world.steps.next("ledger.record_decision", stop_before)
    with pytest.raises(Crash):
        world.tick()
    world.minutes(4)
    assert [order.state for order in world.ledger.orders(ACCOUNT, 10)] == [OrderState.FILLED]


def test_an_intent_whose_message_was_never_sent_is_published_by_the_reconciler() -> None:
    world = buying(World())
    world.open_gate()
    world.steps.next("queue.publish_intent", stop_before)
    with pytest.raises(Crash):
        world.tick()
    world.minutes(2)
    assert [order.state for order in world.ledger.orders(ACCOUNT, 10)] == [OrderState.FILLED]


# --- bad ticks -------------------------------------------------------------------------------------------------------


def test_a_tick_ahead_of_its_time_is_refused_and_leaves_the_slot_to_the_one_that_comes_then() -> None:
    world = buying(World())
    ahead = NOW + timedelta(hours=1)
    with pytest.raises(InvalidInput, match="has not come"):
        world.tick(ahead)
    assert decisions(world) == 0
    world.load_candles(make_candles([10_000, 10_000], ahead))
    world.advance(hours=1)
    assert isinstance(world.tick(ahead).decision, Trade)


def test_a_tick_ahead_by_no_more_than_clocks_differ_decides() -> None:
    assert isinstance(buying(World()).tick(NOW + timedelta(seconds=60)).decision, Trade)


def test_a_late_tick_holds_and_says_when_it_was_due() -> None:
    world = buying(World())
    world.advance(seconds=301)
    assert held(world, at=NOW) == "late_tick"


def test_a_tick_at_the_bound_of_lateness_still_decides() -> None:
    world = buying(World())
    world.advance(seconds=300)
    assert isinstance(world.tick(at=NOW).decision, Trade)


def test_an_unsubstituted_schedule_attribute_is_refused_by_name_and_kept_as_an_incident() -> None:
    world = World()
    event = {**make_tick().model_dump(mode="json"), "scheduled_time": "<aws.scheduler.scheduled-time>"}
    with pytest.raises(InvalidInput, match=r"^tick\.scheduled_time: .*not substituted") as refused:
        Tick.parse(event)
    refuse_event(world.services(), event, refused.value)
    assert world.kinds() == ["invalid_event"]
    assert len(world.alerts.incidents) == 1


def test_an_unknown_algorithm_holds_and_lists_the_known_ones() -> None:
    record = World().tick(algorithm="moon_phase")
    assert record.held is not None
    assert record.held.reason == "invalid_input"
    assert "tick.algorithm" in record.held.detail
    assert "ema_cross" in record.held.detail


def test_an_account_without_a_document_holds() -> None:
    record = World().tick(account="nobody")
    assert record.held is not None
    assert record.held.reason == "account_not_configured"


def test_a_symbol_that_the_account_does_not_trade_holds() -> None:
    assert held(World(), symbol="DOGE/USD") == "unknown_symbol"


def test_a_bad_parameter_holds_and_names_the_field_without_repeating_its_value() -> None:
    record = World().tick(parameters={**COSTS, "fee": "-0.777"})
    assert record.held is not None
    assert record.held.reason == "invalid_input"
    assert "tick.parameters.fee" in record.held.detail
    assert "0.777" not in record.held.detail


def test_an_unknown_parameter_holds() -> None:
    record = World().tick(parameters={**COSTS, "leverage": 10})
    assert record.held is not None
    assert "leverage" in record.held.detail


# --- bad market data -------------------------------------------------------------------------------------------------


def test_a_market_that_does_not_answer_holds() -> None:
    world = World()
    world.steps.always("market.candles", refuse)
    assert held(world) == "market_data_unavailable"


def test_no_candles_at_all_hold() -> None:
    world = World(candles=make_candles([10_000] * 3, NOW + timedelta(hours=9)))
    assert held(world) == "bad_candles"


def test_a_gap_in_the_candles_holds_and_names_the_candle() -> None:
    world = World(candles=flat_candles())
    candles = world.store.candles_until(SYMBOL, "1h", NOW, 5)
    world.steps.always("market.candles", lambda _call, _perform: (candles[0], *candles[2:4]))
    record = world.tick()
    assert record.held is not None
    assert record.held.reason == "bad_candles"
    assert f"{candles[2].open_time:%H:%M}" in record.held.detail


def test_a_candle_published_within_the_bound_is_waited_for() -> None:
    world = buying(World(candles=make_candles([10_000] * 24, NOW - timedelta(hours=1))))
    published = afterwards(lambda: world.load_candles(make_candles([10_000], NOW)))
    world.steps.next("clock.sleep", published, skip=3)
    assert isinstance(world.tick().decision, Trade)
    assert len(world.steps.since(0, "clock.sleep")) == 4


def test_candles_that_could_not_be_read_are_asked_for_again_within_the_bound() -> None:
    world = buying(World())
    world.steps.next("market.candles", refuse)
    assert isinstance(world.tick().decision, Trade)


def test_candles_that_cannot_be_read_within_the_bound_hold() -> None:
    world = buying(World())
    world.steps.always("market.candles", refuse)
    assert held(world, candle_wait_seconds=5) == "market_data_unavailable"
    assert len(world.steps.since(0, "market.candles")) == 6


def test_a_candle_not_published_within_the_bound_holds() -> None:
    bound = make_limits(max_input_age_seconds=7200)
    world = World(document=make_document(limits=bound), candles=make_candles([10_000] * 24, NOW - timedelta(hours=1)))
    assert held(world, candle_wait_seconds=5) == "candle_not_published"
    assert len(world.steps.since(0, "clock.sleep")) == 5


def test_candles_older_than_the_freshness_limit_hold() -> None:
    """freqtrade #11725: candles 5,148 minutes stale."""
    world = World(candles=make_candles([10_000] * 24, NOW - timedelta(minutes=5160)))
    assert held(world) == "stale_candles"


def test_the_strategy_sees_closed_candles_only() -> None:
    """freqtrade #746: signals on partial candles."""
    world = World()
    world.advance(minutes=4)
    world.tick(at=NOW)
    (state,) = world.strategy.seen
    assert state.markets[SYMBOL].candles[-1].open_time == NOW - timedelta(hours=1)


def test_the_strategy_sees_its_own_position_and_open_orders_only() -> None:
    """freqtrade #8666, #4470: ownership is in the ledger."""
    world = World()
    world.holding()
    world.decide(make_buy(limit_price="9000", quantity="0.05"))
    world.deliver()
    world.advance(seconds=5)
    world.strategy.says = CALM_HOLD
    world.tick(strategy="other", at=NOW + timedelta(hours=1))
    other = world.strategy.seen[-1]
    assert other.markets[SYMBOL].position.quantity == 0
    assert other.open_orders == ()
    world.advance(minutes=60)
    world.tick(at=NOW + timedelta(hours=2))
    own = world.strategy.seen[-1]
    assert own.markets[SYMBOL].position.quantity == world.position()
    assert len(own.open_orders) == 1


# --- strategies that fail --------------------------------------------------------------------------------------------


def test_a_strategy_that_raises_holds_with_its_error() -> None:
    world = World()
    world.strategy.says = ZeroDivisionError("division by zero")
    record = world.tick()
    assert record.held is not None
    assert record.held.reason == "strategy_error"
    assert "ZeroDivisionError: division by zero" in record.held.detail


@pytest.mark.parametrize("answer", [None, "buy", {"kind": "hold", "reason": "a dictionary"}])
def test_a_strategy_that_answers_something_else_than_a_decision_holds(answer: Any) -> None:
    world = World()
    world.strategy.says = answer
    assert held(world) == "strategy_error"


@pytest.mark.parametrize("function", ["candles_needed", "symbols"])
def test_a_strategy_that_fails_before_it_decides_holds_too(function: str) -> None:
    def fail(*_arguments: Any) -> Any:
        raise KeyError("slow")

    world = World()
    setattr(world.strategy, function, fail)
    assert held(world) == "strategy_error"


def test_a_strategy_that_cannot_even_be_imported_holds() -> None:
    world = World()

    def broken(_algorithm: str) -> Any:
        raise ImportError("no module named talib")

    world.load = broken
    assert held(world) == "strategy_error"


def test_a_decision_about_a_symbol_that_the_account_does_not_trade_holds() -> None:
    world = World()
    world.strategy.says = Trade(legs=(make_buy(symbol="DOGE/USD"),))
    assert held(world) == "unknown_symbol"


def test_a_cancel_of_somebody_elses_order_holds() -> None:
    world = World()
    world.strategy.says = Trade(legs=(Cancel(order_id="f" * 32, reason="not mine"),))
    assert held(world) == "strategy_error"


def test_a_cancel_is_stored_with_the_decision_and_asked_for_by_the_reconciler() -> None:
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.advance(hours=1)
    world.strategy.says = Trade(legs=(Cancel(order_id=order.order_id, reason="changed its mind"),))
    world.steps.next("ledger.record_decision", stop_after)
    with pytest.raises(Crash):
        world.tick()
    world.minutes(2)
    assert world.state(order) is OrderState.CANCELLED
    assert world.ledger.cancel_requests(ACCOUNT) == ()
    world.check_promises()
