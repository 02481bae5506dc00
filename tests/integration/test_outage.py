"""A venue that refuses the account or falls silent: entries stop with one incident, and go on when it is over."""

from datetime import timedelta

import pytest

from belay.domain.account import StopLevel, strictest
from belay.domain.errors import AccountRefused, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from belay.domain.venues import Outcome, OutcomeKind, TradePage
from tests.builders import NOW, SYMBOL
from tests.world import FAULTS, Fault, World, blaming, changed, disturbed, instead, lose_answer, make_reduce

K = IncidentKind
REFUSED = AccountRefused("-2015", "Store a valid key.")


def ready() -> World:
    world = World()
    world.open_gate()
    return world


def level(world: World) -> StopLevel:
    return strictest(world.account.stops, "ema-cross", SYMBOL)[0]


def test_a_refused_reconciliation_stops_entries_with_one_incident_that_says_what_to_do() -> None:
    world = ready()
    world.steps.always("venue.open_orders", instead(REFUSED))
    world.minutes(3)
    (incident,) = world.incidents()
    assert (incident.kind, incident.action) == (K.VENUE_CONFIGURATION, "Store a valid key.")
    assert "-2015" in incident.actual
    assert level(world) is StopLevel.REDUCE_ONLY
    assert len(world.alerts.incidents) == 1


def test_it_ends_by_itself_once_the_venue_is_read_again() -> None:
    world = ready()
    world.steps.always("venue.open_orders", instead(REFUSED))
    world.minutes(2)
    world.steps.calm()
    world.minutes(1)
    assert world.incidents() == []
    assert level(world) is StopLevel.RUNNING
    order = world.buy()
    world.deliver()
    assert world.state(order) is OrderState.FILLED


def test_an_executor_whose_key_is_refused_sends_nothing_and_goes_on_when_the_key_is_good_again() -> None:
    world = ready()
    world.steps.always("venue.balances", instead(REFUSED))
    order = world.buy()
    world.deliver()
    assert world.state(order) is OrderState.CREATED
    assert world.kinds() == [K.VENUE_CONFIGURATION]
    assert level(world) is StopLevel.REDUCE_ONLY
    world.steps.calm()
    world.minutes(2)
    assert world.state(order) is OrderState.FILLED
    assert world.incidents() == []
    world.check_promises()


def test_two_keys_refused_at_once_are_one_incident() -> None:
    world = ready()
    for call in ("venue.balances", "venue.open_orders"):
        world.steps.always(call, instead(REFUSED))
    world.buy()
    world.minutes(3)
    assert world.kinds() == [K.VENUE_CONFIGURATION]


def test_a_refused_order_stays_an_incident_until_a_person_resolves_it() -> None:
    world = ready()
    refusal = Outcome(kind=OutcomeKind.CONFIGURATION, code="-2015")
    world.steps.next("venue.submit", instead(refusal))
    world.buy()
    world.deliver()
    world.minutes(3)
    assert world.kinds() == [K.VENUE_CONFIGURATION]
    assert level(world) is StopLevel.REDUCE_ONLY


def test_an_exit_still_goes_out_while_a_refusal_stops_entries() -> None:
    world = World()
    world.holding("0.1")
    world.steps.always("venue.open_orders", instead(REFUSED))
    world.reconcile()
    world.steps.calm()
    (order,) = world.decide(make_reduce())
    world.deliver()
    assert world.state(order) is OrderState.FILLED


def test_silence_is_an_incident_only_once_it_has_lasted() -> None:
    world = ready()
    world.steps.always("venue.open_orders", instead(VenueUnavailable("no answer")))
    world.minutes(9)
    assert world.incidents() == []
    world.minutes(3)
    assert world.kinds() == [K.VENUE_UNREACHABLE]
    assert "no answer" in world.incidents()[0].actual
    assert level(world) is StopLevel.RUNNING  # the gate keeps entries back


def test_silence_that_is_broken_now_and_then_starts_anew() -> None:
    world = ready()
    for _ in range(4):
        world.steps.always("venue.open_orders", instead(VenueUnavailable("no answer")))
        world.minutes(6)
        world.steps.calm()
        world.minutes(1)
    assert world.incidents() == []


def test_hours_of_silence_lose_no_order_and_repeat_none() -> None:
    world = ready()
    world.steps.next("venue.submit", instead(Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")))
    order = world.buy()
    world.deliver()
    world.steps.always("venue.lookup", instead(VenueUnavailable("no answer")))
    world.steps.always("venue.open_orders", instead(VenueUnavailable("no answer")))
    world.minutes(180)
    assert world.state(order) is OrderState.UNKNOWN
    assert K.VENUE_UNREACHABLE in world.kinds()
    world.steps.calm()
    world.minutes(3)
    assert world.state(order) is OrderState.NOT_SENT
    assert K.VENUE_UNREACHABLE not in world.kinds()
    assert world.now == NOW + timedelta(minutes=183)


def test_a_part_that_stays_unread_is_an_incident_too_and_ends_by_itself() -> None:
    world = ready()
    world.steps.always("venue.trades", instead(VenueUnavailable("no answer")))
    world.minutes(12)
    assert world.kinds() == [K.VENUE_UNREACHABLE]
    assert "trades of" in world.incidents()[0].actual
    world.steps.calm()
    world.minutes(1)
    assert world.incidents() == []
    world.check_promises()


def test_clocks_that_differ_are_one_incident_until_they_agree_again() -> None:
    world = ready()
    world.steps.always("clock.now", lambda _call, perform: perform() + timedelta(seconds=30))
    world.buy()
    world.deliver()
    assert world.incidents() == []  # one slow answer looks the same
    world.minutes(3)
    assert world.kinds() == [K.CLOCK_OFFSET]
    world.steps.calm()
    world.minutes(2)
    assert world.incidents() == []
    assert len(world.fills()) == 1


def lost(world: World) -> str:
    """An order that the venue took, whose answer did not arrive."""
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    assert world.state(order) is OrderState.UNKNOWN
    return order.order_id


@pytest.mark.parametrize("hours", [-6, 6])
def test_nothing_is_settled_proven_or_given_up_by_a_clock_that_is_hours_wrong(hours: int) -> None:
    world = ready()
    order_id = lost(world)
    world.steps.always("market.time", changed(lambda now: now + timedelta(hours=hours)))
    world.steps.always("venue.lookup", changed(lambda _found: None))
    world.steps.always("venue.trades", changed(lambda _page: TradePage(trades=())))
    before = world.account
    world.minutes(3)
    order = world.order(order_id)
    assert (order.state, order.settled) == (OrderState.UNKNOWN, False)
    assert world.account.reservations == before.reservations
    assert world.kinds() == [K.CLOCK_OFFSET]
    assert level(world) is StopLevel.RUNNING  # the executor waits for the clock by itself
    world.steps.calm()
    world.minutes(2)
    assert world.incidents() == []
    assert len(world.fills()) == 1
    world.check_promises()


def test_an_exit_outlives_a_clock_that_is_hours_ahead() -> None:
    world = ready()
    world.holding("0.1")
    world.reconcile()
    (exit_order,) = world.decide(make_reduce())
    world.steps.always("market.time", changed(lambda now: now + timedelta(hours=6)))
    world.deliver()
    world.reconcile()
    assert world.state(exit_order) is OrderState.CREATED
    world.steps.calm()
    world.minutes(2)
    assert world.state(exit_order) is OrderState.FILLED


def refuse_then_read(world: World) -> None:
    world.steps.next("venue.open_orders", instead(REFUSED))
    world.reconcile()
    world.advance(minutes=1)
    world.reconcile()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_refusal_and_its_end_may_stop_or_fail_anywhere(fault: Fault) -> None:
    for step, world in disturbed(ready, refuse_then_read, fault):
        with blaming(step):
            world.minutes(2)
            assert world.incidents() == []
            assert level(world) is StopLevel.RUNNING
            assert world.account.stops == ()
