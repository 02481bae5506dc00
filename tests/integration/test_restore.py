"""A restored table meets orders that it has forgotten (R28)."""

from copy import deepcopy
from threading import RLock

from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from tests.builders import make_buy
from tests.world import World, make_reduce


def restored(world: World) -> World:
    """What the world's table held at this moment, under a new id, beside the same venue."""
    again = World(document=world.document)
    again.store = world.store
    again.ledger = deepcopy(world.ledger, {id(world.ledger.lock): RLock()})
    again.ledger.table_id = "restored"
    return again


def test_r28_an_exit_that_was_sent_before_the_restore_is_not_sent_again() -> None:
    world = World()
    world.holding()
    (leave,) = world.decide(make_reduce())
    again = restored(world)
    world.deliver()
    assert world.state(leave) is OrderState.FILLED
    assert again.execute(leave.order_id).detail in ("nothing_to_sell", "available_balance", "restored table")
    assert world.accepted(leave) == 1


def test_r28_an_exit_whose_first_life_is_found_waits_and_pages() -> None:
    world = World()
    world.holding("0.2")
    (leave,) = world.decide(make_reduce(quantity="0.1"))
    again = restored(world)
    world.deliver()
    done = again.execute(leave.order_id)
    assert (done.result, done.detail) == ("waiting", "restored table")
    assert again.kinds() == [IncidentKind.ORDER_MISMATCH]
    assert world.accepted(leave) == 1


def test_r28_also_after_the_restored_table_was_proven() -> None:
    world = World()
    world.holding("0.2")
    (leave,) = world.decide(make_reduce(quantity="0.1"))
    again = restored(world)
    again.advance(seconds=1)
    assert again.reconcile().clean
    world.deliver()
    assert again.execute(leave.order_id).detail == "restored table"
    assert world.accepted(leave) == 1


def test_r28_an_entry_whose_first_life_is_found_lapses() -> None:
    world = World()
    world.open_gate()
    entry = world.buy(limit_price="9000")
    again = restored(world)
    world.deliver()
    world.venue().cancel(entry.symbol, entry.order_id)
    again.advance(seconds=1)
    assert again.reconcile().clean
    assert again.execute(entry.order_id).result == "lapsed"
    assert world.accepted(entry) == 1


def test_r28_a_table_that_was_never_restored_asks_for_nothing_more() -> None:
    world = World()
    world.open_gate()
    world.advance(hours=1)
    world.reconcile()
    (entry,) = world.decide(make_buy())
    mark = len(world.steps.calls)
    world.execute(entry.order_id)
    assert "venue.lookup" not in world.steps.since(mark)
    assert world.state(entry) is OrderState.FILLED
