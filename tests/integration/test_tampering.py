"""Somebody writes over the ledger, as a strategy's process can: nothing of it is sent, the account stops.

The intruder has the evaluator's rights: decisions, orders, events and fills, not what lies beside the account.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from belay.cli import operations
from belay.cli.desk import Desk
from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import DecisionRecord
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState, created_event, created_orders, seal
from tests.builders import (
    ACCOUNT,
    NOW,
    STAGE,
    STRATEGY,
    SYMBOL,
    make_buy,
    make_decision,
    make_events,
    make_orders,
    make_slot,
)
from tests.world import WALL, World, lose_answer, make_reduce, refuse

S = OrderState
FIRST = {
    "from_state": S.CREATED,
    "to_state": S.CREATED,
    "cause": "decided",
    "exchange_time": NOW,
    "recorded_at": NOW,
    "detail": {},
}


def ready(**options: Any) -> World:
    world = World(**options)
    world.open_gate()
    return world


def desk(world: World) -> Desk:
    unused: Any = lambda *_: None  # noqa: E731 never called
    return Desk(STAGE, world.ledger, world.switch, unused, unused, unused, world.ask)


def overwrite(world: World, order: Order, **changes: Any) -> Order:
    """Put another text where the order's is; whatever else there is stays."""
    altered = order.model_copy(update=changes)
    world.ledger._keep(altered)
    return altered


def is_stopped_and_told(world: World, order_id: str) -> None:
    """By the second look, since a change between two reads looks like this once."""
    assert not world.reconcile().clean
    assert IncidentKind.BROKEN_RECORD not in world.kinds()
    world.minutes(1)
    assert strictest(world.account.stops, STRATEGY, SYMBOL)[0] is StopLevel.HALTED
    told = [i for i in world.incidents() if i.kind is IncidentKind.BROKEN_RECORD]
    assert [incident.subject for incident in told] == [order_id]
    assert order_id in {i.subject for i in world.alerts.incidents if i.kind is IncidentKind.BROKEN_RECORD}


def look_at(world: World, order_id: str) -> None:
    """A person has looked, and takes the records as they are."""
    wish = {"incident_id": f"{IncidentKind.BROKEN_RECORD}:{order_id}", "reason": "looked at it", "author": "operator"}
    assert operations.ask(desk(world), ACCOUNT, "resolve", wish)["status"] == "resolved"


def goes_on(world: World) -> None:
    """Everything is as it was: clean, without a stop, and the next order goes out."""
    world.minutes(6)
    assert world.account.stops == ()
    assert world.reconcile().clean
    world.advance(minutes=60 - world.now.minute)
    world.reconcile()
    order = world.buy(quantity="0.01")
    world.deliver()
    assert world.state(order) is S.FILLED


# --- before it is sent ---------------------------------------------------------------------------------------------


def another_size(world: World, order: Order) -> None:
    overwrite(world, order, quantity=Decimal("0.19"))


def another_expiry(world: World, order: Order) -> None:
    overwrite(world, order, expires_at=order.expires_at.replace(year=2030))


def another_decision(world: World, order: Order) -> None:
    decision = world.ledger.decision(order.decision_id)
    assert decision is not None
    world.ledger._decisions[order.decision_id] = decision.model_copy(update={"parameters": {"notional": "1"}})


def a_decision_that_does_not_name_it(world: World, order: Order) -> None:
    decision = world.ledger.decision(order.decision_id)
    assert decision is not None
    world.ledger._decisions[order.decision_id] = decision.model_copy(update={"order_ids": ("f" * 32,)})


def another_event(world: World, order: Order) -> None:
    events = world.ledger._events[order.order_id]
    events[0] = events[0].model_copy(update={"detail": {}})


def a_claim_that_never_was(world: World, order: Order) -> None:
    overwrite(world, order, version=1)


TAMPERS: tuple[Callable[[World, Order], None], ...] = (
    another_size,
    another_expiry,
    another_decision,
    a_decision_that_does_not_name_it,
    another_event,
    a_claim_that_never_was,
)


@pytest.mark.parametrize("tamper", TAMPERS)
def test_an_order_that_was_written_over_is_not_sent(tamper: Callable[[World, Order], None]) -> None:
    world = ready()
    order = world.buy()
    tamper(world, order)
    (executed,) = world.deliver()
    assert executed.result == "waiting"
    assert executed.detail.startswith("records: ")
    is_stopped_and_told(world, order.order_id)
    world.minutes(7)
    assert world.accepted(order) == 0


@pytest.mark.parametrize("tamper", TAMPERS)
def test_what_was_never_sent_is_set_aside_and_the_account_goes_on(tamper: Callable[[World, Order], None]) -> None:
    world = ready()
    order = world.buy()
    tamper(world, order)
    world.queue.intents.clear()
    is_stopped_and_told(world, order.order_id)
    look_at(world, order.order_id)
    goes_on(world)
    assert world.accepted(order) == 0


def test_an_exit_that_was_written_over_and_set_aside_lets_the_next_exit_leave() -> None:
    world = ready()
    world.buy()
    world.deliver()
    world.advance(minutes=60 - world.now.minute)
    world.reconcile()
    (order,) = world.decide(make_reduce())
    overwrite(world, order, notional=Decimal(5))
    world.deliver()
    is_stopped_and_told(world, order.order_id)
    look_at(world, order.order_id)
    world.minutes(1)
    world.advance(minutes=60 - world.now.minute)
    world.reconcile()
    (leaving,) = world.decide(make_reduce())
    world.deliver()
    assert world.accepted(order) == 0
    assert world.state(leaving) is S.FILLED


def test_an_order_that_nobody_decided_is_not_sent() -> None:
    """A forged record and its intent, without a decision of the slot."""
    world = ready()
    order, *_ = make_orders(make_decision(slot=make_slot(1)))
    world.ledger._keep(order)
    world.queue.publish_intent(order)
    world.deliver()
    is_stopped_and_told(world, order.order_id)
    assert world.accepted(order) == 0


def test_a_decision_under_ids_that_are_not_its_slots_is_not_sent() -> None:
    world = ready()
    stranger = make_decision(slot=make_slot(5)).order_ids
    record: DecisionRecord = make_decision(order_ids=stranger)
    orders = make_orders(record)
    world.ledger.record_decision(record, orders, make_events(record, orders))
    world.queue.publish_intent(orders[0])
    world.deliver()
    is_stopped_and_told(world, orders[0].order_id)
    assert world.accepted(orders[0]) == 0


# --- after it was sent ---------------------------------------------------------------------------------------------


def test_a_filled_order_taken_back_to_its_beginning_is_not_sent_again() -> None:
    """Every record that the intruder may write is as it was before the claim; what lies beside the account is not."""
    world = ready()
    order = world.buy()
    world.deliver()
    world.minutes(2)
    assert world.order(order.order_id).settled
    decision = world.ledger.decision(order.decision_id)
    assert decision is not None
    (created,) = created_orders(decision, world.now.replace(year=2030), Decimal("0.0015"))
    world.ledger._keep(created)
    events = world.ledger._events[order.order_id]
    for sequence in events.keys()[1:]:
        events.drop(sequence)
    events[0] = created_event(created, decision)
    world.queue.publish_intent(created.model_copy(update={"publications": 9}))
    world.deliver()
    is_stopped_and_told(world, order.order_id)
    world.minutes(2)
    assert world.accepted(order) == 1


def test_an_order_hidden_from_the_list_of_open_ones_is_found_by_its_reservation() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    assert world.state(order) is S.UNKNOWN
    overwrite(world, world.order(order.order_id), settled=True)
    is_stopped_and_told(world, order.order_id)


def test_an_order_whose_record_is_gone_is_found_by_its_reservation_which_a_person_gives_back() -> None:
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = world.buy()
    world.deliver()
    world.ledger._orders.drop(order.order_id)
    world.ledger._open_orders.clear()
    world.ledger._order_lines.clear()
    is_stopped_and_told(world, order.order_id)
    assert "the ledger has no such order" in world.incidents()[0].actual
    look_at(world, order.order_id)
    goes_on(world)


def test_an_order_that_names_another_account_is_found() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    overwrite(world, world.order(order.order_id), account="ghost")
    is_stopped_and_told(world, order.order_id)


def test_a_sent_order_that_was_written_over_is_left_as_it_is_until_a_person_looked() -> None:
    """Nothing is settled from records that do not hold together, and nothing of what the venue says is lost."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    altered = overwrite(world, world.order(order.order_id), reason="harmless")
    is_stopped_and_told(world, order.order_id)
    world.minutes(3)
    assert world.order(order.order_id) == altered
    look_at(world, order.order_id)
    world.minutes(3)
    assert world.state(order) is S.FILLED
    assert world.account.position(STRATEGY, SYMBOL).quantity > 0
    goes_on(world)


def test_looking_at_an_order_does_not_hide_what_is_written_over_later() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    overwrite(world, world.order(order.order_id), reason="harmless")
    is_stopped_and_told(world, order.order_id)
    look_at(world, order.order_id)
    overwrite(world, world.order(order.order_id), reason="harmful", state=S.CANCELLED, settled=True)
    look_at(world, order.order_id)  # the incident is over: nothing is taken as it is by this
    assert not world.reconcile().clean
    assert IncidentKind.BROKEN_RECORD in world.kinds()


def test_one_order_that_was_written_over_does_not_keep_another_from_being_settled() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    first = world.buy()
    world.deliver()
    world.minutes(1)
    world.advance(hours=1)
    world.reconcile()
    second = world.buy(limit_price="9000")
    world.deliver()
    overwrite(world, world.order(second.order_id), reason="harmless")
    is_stopped_and_told(world, second.order_id)
    world.minutes(2)
    assert world.order(first.order_id).settled


# --- whatever changes it must have started from what is known beside the account --------------------------------------


def unknown(world: World) -> Order:
    """An exit whose answer was lost, and which the venue has."""
    world.buy()
    world.deliver()
    world.advance(minutes=60 - world.now.minute)
    world.reconcile()
    world.steps.next("venue.submit", lose_answer)
    (order,) = world.decide(make_reduce(), order_expiry_seconds=7200)
    world.deliver()
    return world.order(order.order_id)


def test_an_exit_made_to_look_absent_is_not_sent_twice_whatever_else_fails_meanwhile() -> None:
    world = ready()
    order = unknown(world)
    assert order.state is S.UNKNOWN
    overwrite(world, order, state=S.NOT_SENT, misses=(world.now,), terminal_at=world.now)
    world.steps.next("venue.balances", refuse)
    for publication in range(4):
        world.queue.publish_intent(order.model_copy(update={"publications": publication + 1}))
        world.deliver()
    world.minutes(5)
    assert world.accepted(order) == 1
    assert IncidentKind.BROKEN_RECORD in world.kinds()


@pytest.mark.parametrize(
    "changes",
    [
        {"state": S.CREATED, "attempt": None},
        {"state": S.CREATED, "attempt": None, "expires_at": WALL.replace(year=2020)},
        {"venue_filled": Decimal(5)},
        {"state": S.REJECTED},
    ],
    ids=str,
)
def test_nothing_is_concluded_from_an_order_that_was_written_over(changes: dict[str, Any]) -> None:
    world = ready()
    order = unknown(world)
    altered = overwrite(world, order, **changes)
    world.queue.publish_intent(altered.model_copy(update={"publications": 3}))
    world.deliver()
    world.minutes(6)
    assert world.order(order.order_id) == altered
    assert world.accepted(order) == 1
    assert IncidentKind.BROKEN_RECORD in world.kinds()


def test_what_a_person_took_as_it_is_is_never_sent_again() -> None:
    world = ready()
    world.buy()
    world.deliver()
    world.advance(minutes=60 - world.now.minute)
    world.reconcile()
    world.steps.next("venue.submit", refuse)
    (order,) = world.decide(make_reduce(), order_expiry_seconds=7200)
    world.deliver()
    overwrite(world, world.order(order.order_id), reason="harmless")
    is_stopped_and_told(world, order.order_id)
    look_at(world, order.order_id)
    world.minutes(10)
    assert world.accepted(order) == 0


@pytest.mark.parametrize("algorithm", ["manual", "adopted"])
def test_a_decision_in_a_persons_name_without_a_word_beside_the_account_is_not_sent(algorithm: str) -> None:
    world = ready()
    record = make_decision(algorithm=algorithm, parameters={"author": "alice"})
    orders = make_orders(record)
    world.ledger.record_decision(record, orders, make_events(record, orders))
    world.ledger._anchors.drop((ACCOUNT, orders[0].order_id))  # the evaluator cannot have written it
    world.queue.publish_intent(orders[0])
    world.deliver()
    is_stopped_and_told(world, orders[0].order_id)
    assert world.accepted(orders[0]) == 0


def test_an_order_that_never_was_is_no_filled_one() -> None:
    world = ready()
    record = make_decision(slot=make_slot(1))
    (order,) = make_orders(record)
    bare = order.model_copy(update={"state": S.FILLED, "filled_quantity": Decimal("0.1")})
    forged, event = seal(bare, record.digest, **FIRST)
    world.ledger.record_decision(record, (forged,), (event,))
    is_stopped_and_told(world, order.order_id)


def test_a_change_that_commits_while_an_order_is_examined_opens_nothing() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.execute(order.order_id)
    history = world.ledger.history
    torn = [world.ledger.history(world.order(order.order_id))]
    torn[0] = torn[0]._replace(events=torn[0].events[:-1])

    def reading(asked: Order) -> Any:
        return torn.pop() if torn else history(asked)

    world.ledger.history = reading  # type: ignore[assignment, method-assign]
    assert not world.reconcile().clean
    world.minutes(1)
    assert world.reconcile().clean
    assert world.incidents() == []


def test_make_buy_is_what_the_strategy_asks_for() -> None:
    """The samples above are legs that a strategy may ask for, so that what is refused is refused for its record."""
    world = ready()
    (order,) = world.decide(make_buy())
    world.deliver()
    assert world.state(order) is S.FILLED
