"""The executor's workflow in a world of memory: at most one venue order per order id, and nothing guessed."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import Reduce
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.venues import Outcome, OutcomeKind, VenueOrder, VenueStatus
from belay.ports import CancelRequest
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy, make_document, make_limits, make_stop
from tests.world import (
    FAULTS,
    Crash,
    Fault,
    LaggingVenue,
    UnfencedVenue,
    World,
    afterwards,
    blaming,
    disturbed,
    instead,
    lose_answer,
    make_reduce,
    meanwhile,
    refuse,
    stop_after,
    stop_before,
)

S = OrderState


def ready(**world: Any) -> World:
    """A world with an open gate."""
    made = World(**world)
    made.open_gate()
    return made


def entered(world: World, **changes: Any) -> Order:
    """An entry whose message was delivered once."""
    order = world.buy(**changes)
    world.deliver()
    return order


def holding(**world: Any) -> World:
    made = World(**world)
    assert made.holding() > 0
    return made


def leaving(world: World, **changes: Any) -> Order:
    """An exit whose message waits."""
    return world.decide(make_reduce(**changes))[0]


def limits_of(world: World, order: Order) -> dict[str, str]:
    """The verdict by limit that the last check of an order recorded."""
    story = world.ledger.story(order.decision_id)
    assert story is not None
    mine = [event.detail for event in story.events if event.order_id == order.order_id]
    checked = [detail["limits"] for detail in mine if "limits" in detail]
    return {line["limit"]: line["verdict"] for line in checked[-1]}


# --- the seven steps -------------------------------------------------------------------------------------------------


def test_an_intent_becomes_one_filled_order_whose_story_shows_every_step() -> None:
    world = ready()
    order = entered(world)
    world.minutes(1)
    assert world.state(order) is S.FILLED
    assert world.causes(order) == ["decided", "claimed", "accepted", "filled", "settled"]
    assert set(limits_of(world, order).values()) == {"pass"}
    assert world.accepted(order) == 1
    assert world.position() == Decimal("0.1")
    world.check_promises()


def test_the_account_is_read_before_the_venue_and_the_switch_is_read_again_after_the_claim() -> None:
    world = ready()
    order = world.buy()
    mark = len(world.steps.calls)
    world.deliver()
    calls = world.steps.since(mark)
    assert calls.index("ledger.account") < calls.index("venue.balances")
    claim, send = calls.index("ledger.commit"), calls.index("venue.submit")
    assert calls[claim + 1 : send] == ["switch.read", "clock.now"]
    assert world.state(order) is S.FILLED


def test_a_reconciliation_is_asked_for_soon_after_each_submission_and_each_look_up() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world, limit_price="9000")
    world.execute(order.order_id)
    asked = [(message.body, message.delay_seconds) for message in world.queue.follow_ups]
    assert asked == [({"account": ACCOUNT}, 5)] * 2


def test_twenty_deliveries_of_one_intent_give_one_venue_order() -> None:
    """kalshi-starter-code-python #135: the same id, whatever is repeated."""
    world = ready()
    order = world.buy()
    for _ in range(20):
        world.execute(order.order_id)
    assert world.accepted(order) == 1
    world.minutes(1)
    world.check_promises()


def test_an_order_id_that_the_ledger_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"^message\.order_id: the ledger has no order f+"):
        World().execute("f" * 32)


# --- denied, waiting, lapsed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        "max_order_notional",
        "max_position_notional",
        "max_aggregate_exposure",
        "submissions_per_minute",
        "reserved_exit_submissions",
        "max_price_age_seconds",
        "max_balance_age_seconds",
        "max_input_age_seconds",
        "max_reconciliation_age_seconds",
        "clock_offset_seconds",
    ],
)
def test_a_missing_limit_denies_an_entry_and_names_itself(limit: str) -> None:
    missing: dict[str, Any] = {limit: {} if limit == "max_position_notional" else None}
    world = ready(document=make_document(limits=make_limits(**missing)))
    order = entered(world)
    assert world.state(order) is S.DENIED
    assert limits_of(world, order)[limit] == "deny"
    assert world.causes(order)[-1] == f"denied: {limit}"
    assert world.account.reservations == {}


def test_an_order_that_the_venues_step_floors_to_nothing_is_denied_never_enlarged() -> None:
    world = ready()
    order = entered(world, quantity="0.00009")
    assert world.state(order) is S.DENIED
    assert world.store.submissions() == ()


def test_an_entry_too_large_for_a_limit_is_made_smaller() -> None:
    world = ready(document=make_document(limits=make_limits(max_order_notional="500")))
    order = entered(world)
    assert world.order(order.order_id).filled_quantity == 0
    world.minutes(1)
    assert world.order(order.order_id).filled_quantity == Decimal("0.05")


def test_an_entry_waits_for_the_gate_and_goes_out_when_the_reconciler_publishes_it_again() -> None:
    world = World()
    order = entered(world)
    assert world.state(order) is S.CREATED
    assert world.causes(order)[-1] == "waiting: max_reconciliation_age_seconds"
    world.advance(seconds=31)
    assert world.reconcile().clean
    assert world.deliver()[-1].result == "submitted"
    assert world.accepted(order) == 1


def test_an_entry_that_waits_too_long_lapses_and_nobody_is_paged() -> None:
    world = World()
    order = entered(world)
    world.advance(seconds=300)
    world.execute(order.order_id)
    assert world.state(order) is S.LAPSED
    assert world.kinds() == []


def test_a_message_redriven_a_day_later_lapses_the_order() -> None:
    """Corpus row 48."""
    world = ready()
    order = world.buy()
    world.advance(hours=24)
    assert world.deliver()[-1].result == "lapsed"
    assert world.state(order) is S.LAPSED
    assert world.store.submissions() == ()


def test_an_exit_that_lapses_pages() -> None:
    world = holding()
    order = leaving(world)
    world.advance(seconds=300)
    world.deliver()
    assert world.state(order) is S.LAPSED
    assert world.kinds() == [IncidentKind.EXIT_NOT_PLACED]


def test_an_exit_waits_while_everything_is_halted_and_pages_if_it_lapses() -> None:
    world = holding()
    world.set_switch(StopLevel.HALTED)
    order = leaving(world)
    world.deliver()
    assert world.state(order) is S.CREATED
    world.advance(seconds=300)
    world.reconcile()
    assert world.state(order) is S.LAPSED
    assert world.kinds() == [IncidentKind.EXIT_NOT_PLACED]


def test_an_exit_that_waited_for_the_release_of_a_halt_goes_out_then() -> None:
    world = holding()
    world.set_switch(StopLevel.HALTED)
    order = leaving(world)
    world.deliver()
    world.set_switch(StopLevel.RUNNING)
    world.advance(seconds=60)
    world.reconcile()
    world.deliver()
    assert world.state(order) is S.FILLED


def test_limits_gate_and_reduce_only_stops_never_trap_an_exit() -> None:
    world = holding()
    world.set_switch(StopLevel.REDUCE_ONLY)
    world.configure(make_document(limits={"clock_offset_seconds": 5}))
    order = leaving(world)
    world.deliver()
    assert world.state(order) is S.FILLED


def test_an_intent_waits_while_the_venue_does_not_answer_and_lapses_if_it_never_does() -> None:
    world = ready()
    world.steps.always("venue.balances", refuse)
    order = entered(world)
    assert world.causes(order)[-1].startswith("waiting: venue unavailable")
    world.minutes(6)
    assert world.state(order) is S.LAPSED


# --- the claim -------------------------------------------------------------------------------------------------------


def test_an_executor_that_loses_the_claim_to_another_never_sends() -> None:
    world = ready()
    order = world.buy()
    world.steps.next("ledger.commit", meanwhile(lambda: world.execute(order.order_id)))
    executed = world.execute(order.order_id)
    assert executed.result == "already done"
    assert len(world.store.submissions()) == 1


def test_a_claim_whose_account_moved_is_checked_again() -> None:
    world = ready(document=make_document(limits=make_limits(max_aggregate_exposure="1500")))
    first, second = world.decide(make_buy(), make_buy(reason="again"))
    world.steps.next("ledger.commit", meanwhile(lambda: world.execute(first.order_id)))
    world.execute(second.order_id)
    assert limits_of(world, second)["max_aggregate_exposure"] == "resize"
    bought = [submission.request.quantity for submission in world.store.submissions()]
    assert bought[0] == Decimal("0.1")
    assert Decimal("0.04") < bought[1] < Decimal("0.05")


def test_a_stop_set_between_check_and_claim_lets_no_claim_commit() -> None:
    world = ready()
    order = world.buy()
    stopped = world.account.with_stop(make_stop())
    world.steps.next("ledger.commit", meanwhile(partial(world.ledger.save_account, stopped)))
    world.execute(order.order_id)
    assert world.state(order) is S.DENIED
    assert world.store.submissions() == ()


def test_limits_changed_between_check_and_claim_are_checked_again() -> None:
    world = ready()
    order = world.buy()
    tighter = make_document(limits=make_limits(max_order_notional="500"))
    world.steps.next("ledger.commit", meanwhile(lambda: world.configure(tighter)))
    world.execute(order.order_id)
    assert world.store.submissions() == ()


# --- the guard -------------------------------------------------------------------------------------------------------


def sent_nothing(world: World, order: Order, code: str) -> None:
    """The order is NOT_SENT, holds its reservation until a look-up confirms it, and gives it back then."""
    assert world.state(order) is S.NOT_SENT
    assert world.causes(order)[-1] == code
    assert order.order_id in world.account.reservations
    world.reconcile()
    assert order.order_id in world.account.reservations, "released before the history lag"
    world.minutes(1)
    assert world.order(order.order_id).settled
    assert world.store.submissions() == ()
    world.check_promises()


def test_a_switch_set_between_check_and_send_sends_nothing() -> None:
    """Corpus row 49."""
    world = ready(venue_type=LaggingVenue)
    order = world.buy()
    world.steps.next("switch.read", meanwhile(lambda: world.set_switch(StopLevel.HALTED)), skip=1)
    assert world.deliver()[-1].result == "not sent"
    sent_nothing(world, order, "stopped")


def test_a_switch_that_cannot_be_read_before_sending_sends_nothing() -> None:
    """Corpus row 50."""
    world = ready(venue_type=LaggingVenue)
    order = world.buy()
    world.steps.next("switch.read", refuse, skip=1)
    world.deliver()
    sent_nothing(world, order, "stopped")


@pytest.mark.parametrize("text", [None, "", "running", '{"level": "sprinting"}'])
def test_a_switch_that_is_missing_or_malformed_denies(text: str | None) -> None:
    """Corpus row 50: unreadable means stopped."""
    world = ready()
    world.switch.text = text
    order = entered(world)
    assert world.state(order) is S.DENIED
    assert limits_of(world, order)["stop"] == "deny"


def test_an_invocation_with_too_little_time_left_sends_nothing() -> None:
    world = ready(venue_type=LaggingVenue)
    order = world.buy()
    world.queue.intents.clear()
    needed = world.profile.submit_timeout_seconds + 2
    world.execute(order.order_id, remaining=needed - 0.1)
    sent_nothing(world, order, "no_time_left")


def test_an_invocation_with_just_enough_time_left_sends() -> None:
    world = ready()
    order = world.buy()
    world.execute(order.order_id, remaining=world.profile.submit_timeout_seconds + 2)
    assert world.state(order) is S.FILLED


def test_a_process_that_froze_after_the_claim_sends_nothing_once_the_fence_passed() -> None:
    world = ready(venue_type=LaggingVenue)
    order = world.buy()
    world.steps.next("ledger.commit", afterwards(lambda: world.advance(seconds=10)))
    world.deliver()
    sent_nothing(world, order, "fence_passed")


def test_a_process_that_froze_after_its_last_look_is_refused_by_the_venue_itself() -> None:
    """Corpus row 46: thawed after the order was resolved, its request meets the fence."""
    world = ready()
    order = world.buy()

    def the_world_goes_on() -> None:
        world.minutes(3)
        assert world.state(order) is S.NOT_SENT
        assert world.order(order.order_id).settled

    world.steps.next("venue.submit", meanwhile(the_world_goes_on))
    executed = world.execute(order.order_id)
    assert executed.detail == "FENCE_PASSED"
    assert world.accepted(order) == 0
    world.minutes(1)
    world.check_promises()


def test_a_frozen_exit_and_its_successor_are_one_venue_order() -> None:
    world = holding()
    order = leaving(world)

    def the_world_goes_on() -> None:
        world.minutes(3)
        assert world.state(order) is S.FILLED

    world.steps.next("venue.submit", meanwhile(the_world_goes_on))
    executed = world.execute(order.order_id)
    assert executed.detail == "FENCE_PASSED"
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1
    world.minutes(1)
    world.check_promises()


def test_the_late_word_of_a_frozen_attempt_says_nothing_about_its_successor() -> None:
    """The first attempt was never sent; the second may well have been: it stays unknown."""
    world = holding()
    order = leaving(world)
    world.queue.intents.clear()

    def a_second_attempt_loses_its_answer() -> None:
        while world.order(order.order_id).attempt.number == 1:  # type: ignore[union-attr]
            world.advance(seconds=20)
            world.reconcile()
            world.steps.next("venue.submit", lose_answer)
            world.deliver()
        assert world.state(order) is S.UNKNOWN

    world.steps.next("venue.submit", meanwhile(a_second_attempt_loses_its_answer))
    assert world.execute(order.order_id).detail == "FENCE_PASSED"
    assert world.state(order) is S.UNKNOWN
    world.minutes(1)
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1
    world.check_promises()


# --- unknown outcomes ------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_unknown_and_blocks_new_entries_in_the_symbol_until_a_look_up_attaches_the_order() -> None:
    """Catalyst #317: a read timeout, "ordering again", order placed twice."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    assert world.state(order) is S.UNKNOWN
    assert world.account.reservations[order.order_id].unresolved
    (blocked,) = world.decide(make_buy(), strategy="other")
    world.deliver()
    assert limits_of(world, blocked)["unresolved_order_in_symbol"] == "deny"
    world.minutes(1)
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1
    world.check_promises()


def test_a_redelivered_message_of_a_lost_answer_looks_up_at_once_and_attaches() -> None:
    """ccxt #2599: the order lands after the timeout and may already be closed."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    assert world.execute(order.order_id).result == "resolved"
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1


def test_an_adapter_that_raises_while_sending_leaves_the_outcome_unknown() -> None:
    world = ready()
    world.steps.next("venue.submit", instead(ValueError("unexpected json")))
    order = entered(world)
    assert world.state(order) is S.UNKNOWN


def test_an_answer_without_a_believable_order_is_unknown() -> None:
    """Corpus row 55."""
    world = ready()
    world.steps.next("venue.submit", instead(Outcome(kind=OutcomeKind.ACCEPTED, code="200")))
    order = entered(world)
    assert world.state(order) is S.UNKNOWN


def test_an_answer_about_somebody_elses_order_is_unknown() -> None:
    world = ready()
    other = VenueOrder(
        venue_order_id="V999",
        client_order_id="another",
        symbol=SYMBOL,
        side="sell",
        quantity="7",
        limit_price=None,
        filled_quantity="7",
        status=VenueStatus.FILLED,
        updated_at=NOW,
    )
    world.steps.next("venue.submit", instead(Outcome(kind=OutcomeKind.ACCEPTED, code="200", venue_order=other)))
    order = entered(world)
    assert world.state(order) is S.UNKNOWN
    assert world.order(order.order_id).venue_order_ids == ()


def test_absence_is_proven_by_two_spaced_misses_after_fence_and_grace_and_an_entry_is_not_sent_again() -> None:
    """nautilus_trader #4152: an ambiguous submit must not age into a verdict."""
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    world.advance(seconds=11.9)
    world.reconcile()
    assert world.order(order.order_id).misses == ()
    world.advance(seconds=0.1)
    world.reconcile()
    assert world.state(order) is S.UNKNOWN
    assert len(world.order(order.order_id).misses) == 1
    world.advance(seconds=0.9)
    world.reconcile()
    assert world.state(order) is S.UNKNOWN, "two misses closer than the profile's spacing are one"
    world.advance(seconds=0.1)
    world.reconcile()
    assert world.state(order) is S.NOT_SENT
    world.minutes(4)
    assert world.order(order.order_id).settled
    assert world.store.submissions() == ()
    world.check_promises()


def test_a_claim_whose_answer_never_came_becomes_unknown_and_is_found() -> None:
    """Corpus row 45."""
    world = ready()
    order = world.buy(limit_price="9000")
    world.steps.next("venue.submit", stop_after)
    with pytest.raises(Crash):
        world.deliver()
    assert world.state(order) is S.SUBMITTED
    world.steps.always("venue.lookup", refuse)
    world.steps.always("venue.open_orders", instead(()))
    world.minutes(1)
    assert world.state(order) is S.UNKNOWN
    world.steps.calm()
    world.minutes(1)
    assert world.state(order) is S.ACKNOWLEDGED
    assert world.accepted(order) == 1


def test_an_unexplained_trade_since_the_claim_forbids_to_conclude_absence() -> None:
    """ccxt #2599: it may be the order's own, however often the look-up misses."""
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    world.trade_by_hand()
    world.minutes(5)
    assert world.state(order) is S.UNKNOWN
    assert order.order_id in world.account.reservations


def test_absence_is_not_concluded_while_the_trades_of_the_symbol_cannot_be_read() -> None:
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    world.steps.always("venue.trades", refuse)
    world.minutes(5)
    assert world.state(order) is S.UNKNOWN
    world.steps.calm()
    world.minutes(1)
    assert world.state(order) is S.NOT_SENT


def test_an_unknown_order_that_cannot_be_looked_up_asks_a_person() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    world.steps.always("venue.lookup", refuse)
    world.minutes(12)
    assert world.state(order) is S.UNKNOWN
    assert IncidentKind.UNKNOWN_OUTCOME in world.kinds()
    world.steps.calm()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_an_outage_of_ours_alone_asks_nobody() -> None:
    """The reconciler was away for longer than the bound: absence is proven as soon as it is back, without a page."""
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    world.advance(minutes=30)
    world.minutes(3)
    assert world.state(order) is S.NOT_SENT
    assert world.alerts.incidents == []


def test_a_venue_without_a_fence_keeps_the_order_unknown_and_asks_a_person() -> None:
    world = ready(venue_type=UnfencedVenue)
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    world.minutes(9)
    assert world.state(order) is S.UNKNOWN
    assert world.kinds() == []
    world.minutes(60)
    assert world.state(order) is S.UNKNOWN
    assert world.kinds() == [IncidentKind.UNKNOWN_OUTCOME]
    assert order.order_id in world.account.reservations


def test_an_order_that_arrives_late_at_a_venue_without_a_fence_is_attached_and_the_incident_closes() -> None:
    world = ready(venue_type=UnfencedVenue)
    order = world.buy()
    world.steps.next("venue.submit", meanwhile(lambda: world.minutes(15)))
    world.execute(order.order_id)
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1
    world.check_promises()


# --- rejected, and late news -----------------------------------------------------------------------------------------


def test_a_rejection_keeps_the_reservation_until_a_delayed_look_up_confirms_it() -> None:
    world = ready(venue_type=LaggingVenue)
    rejected = Outcome(kind=OutcomeKind.REJECTED, code="INSUFFICIENT_FUNDS", exchange_time=world.now)
    world.steps.next("venue.submit", instead(rejected))
    order = entered(world)
    assert world.state(order) is S.REJECTED
    world.reconcile()
    assert order.order_id in world.account.reservations
    world.minutes(1)
    assert world.order(order.order_id).settled
    world.check_promises()


def test_a_rejection_that_was_none_is_revived_by_the_venues_evidence() -> None:
    """hummingbot #7294: a failure event is not "not placed"."""
    world = ready()

    def accept_but_reject(_call: str, perform: Any) -> Outcome:
        perform()
        return Outcome(kind=OutcomeKind.REJECTED, code="INSUFFICIENT_FUNDS", exchange_time=world.now)

    world.steps.next("venue.submit", accept_but_reject)
    order = entered(world)
    world.minutes(2)
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_a_refused_exit_pages() -> None:
    world = holding()
    rejected = Outcome(kind=OutcomeKind.REJECTED, code="MIN_NOTIONAL", exchange_time=world.now)
    world.steps.next("venue.submit", instead(rejected))
    order = leaving(world)
    world.deliver()
    world.minutes(2)
    assert world.state(order) is S.REJECTED
    assert world.kinds() == [IncidentKind.EXIT_NOT_PLACED]


def test_a_late_generic_error_does_not_overwrite_an_order_that_was_attached_meanwhile() -> None:
    world = ready()
    order = world.buy()

    def slow_and_lost(_call: str, perform: Any) -> Outcome:
        perform()
        world.reconcile()
        assert world.state(order) is S.FILLED
        return Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")

    world.steps.next("venue.submit", slow_and_lost)
    world.deliver()
    assert world.state(order) is S.FILLED
    world.minutes(1)
    world.check_promises()


def test_a_fill_that_is_counted_before_the_acknowledgement_stays_counted() -> None:
    """Corpus row 56."""
    world = ready(volume="0.5")
    order = world.buy()

    def acknowledged_late(_call: str, perform: Any) -> Any:
        outcome = perform()
        world.reconcile()
        assert world.order(order.order_id).filled_quantity == Decimal("0.05")
        return outcome

    world.steps.next("venue.submit", acknowledged_late)
    world.deliver()
    assert world.state(order) is S.PARTIALLY_FILLED
    assert world.position() == Decimal("0.05")
    world.advance(hours=1)
    world.minutes(2)
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_a_refused_configuration_stops_entries_and_asks_a_person() -> None:
    world = ready()
    refused = Outcome(kind=OutcomeKind.CONFIGURATION, code="INVALID_KEY", exchange_time=world.now)
    world.steps.next("venue.submit", instead(refused))
    order = entered(world)
    assert world.state(order) is S.UNKNOWN
    assert world.kinds() == [IncidentKind.VENUE_CONFIGURATION]
    assert strictest(world.account.stops, "ema-cross", SYMBOL)[0] is StopLevel.REDUCE_ONLY


# --- exits -----------------------------------------------------------------------------------------------------------


def test_an_exit_proven_absent_is_sent_again_under_the_same_id_and_only_one_order_exists() -> None:
    world = holding()
    world.steps.next("venue.submit", refuse)
    order = leaving(world)
    world.deliver()
    assert world.state(order) is S.UNKNOWN
    world.minutes(4)
    assert world.state(order) is S.FILLED
    assert world.order(order.order_id).attempt.number == 2  # type: ignore[union-attr]
    assert world.accepted(order) == 1
    assert world.position() == 0
    world.check_promises()


def test_an_exit_proven_absent_is_not_sent_again_once_it_was_cancelled() -> None:
    world = holding()
    world.steps.next("venue.submit", refuse)
    order = leaving(world)
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.minutes(5)
    assert world.state(order) is S.NOT_SENT
    assert world.causes(order)[-1] == "cancelled: enough"
    assert world.accepted(order) == 0
    assert world.kinds() == []
    assert world.ledger.cancel_requests(ACCOUNT) == ()
    world.check_promises()


def test_an_exit_proven_absent_too_late_to_be_sent_again_pages() -> None:
    world = holding()
    world.steps.next("venue.submit", refuse)
    order = leaving(world)
    world.deliver()
    world.advance(seconds=301)
    world.minutes(3)
    assert world.state(order) is S.NOT_SENT
    assert world.accepted(order) == 0
    world.check_promises(IncidentKind.EXIT_NOT_PLACED)


def test_an_exit_behind_an_unresolved_entry_waits_for_it() -> None:
    world = holding()
    world.steps.next("venue.submit", lose_answer)
    entry = entered(world, quantity="0.05")
    world.advance(minutes=60)
    order = leaving(world)
    world.deliver()
    assert world.state(entry) is S.UNKNOWN
    assert world.causes(order)[-1] == "waiting: unresolved_entry"
    world.minutes(3)
    assert world.state(order) is S.FILLED
    assert world.position() == 0
    world.check_promises()


def test_two_exits_together_never_sell_more_than_the_position() -> None:
    """freqtrade #13332, PR #2799: double sell."""
    world = holding(volume="100")
    first, second = world.decide(make_reduce(), make_reduce(reason="and again"))
    world.deliver()
    world.minutes(2)
    assert world.state(first) is S.FILLED
    assert world.state(second) is S.DENIED
    assert world.position() == 0


def test_an_exit_that_expired_before_its_second_attempt_says_what_it_is() -> None:
    world = holding()
    world.steps.next("venue.submit", refuse)
    order = leaving(world)
    world.deliver()
    for _ in range(3):
        world.advance(seconds=20)
        world.reconcile()
    assert world.state(order) is S.NOT_SENT
    world.advance(seconds=300)
    executed = world.execute(order.order_id)
    assert (executed.result, executed.state) == ("lapsed", S.NOT_SENT)


# --- any single step may fail ----------------------------------------------------------------------------------------


def deliver(world: World) -> None:
    world.deliver()


def an_entry_waits() -> World:
    world = ready()
    world.buy()
    world.advance(seconds=1)
    return world


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_of_an_entry_leaves_at_most_one_order_and_sound_books(fault: Fault) -> None:
    """Corpus rows 44, 45, 47 and 52."""
    for step, world in disturbed(an_entry_waits, deliver, fault):
        with blaming(step):
            world.minutes(6)
            world.check_promises()
            (order,) = world.ledger.orders(ACCOUNT, 10)
            assert order.state in (S.FILLED, S.NOT_SENT, S.DENIED)
            assert order.state is S.FILLED or world.accepted(order) == 0


def an_exit_waits() -> World:
    world = holding()
    world.decide(Reduce(symbol=SYMBOL, reason="time to leave"))
    world.advance(seconds=1)
    return world


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_of_an_exit_still_gets_it_out_exactly_once(fault: Fault) -> None:
    """Only a switch that cannot be read stops an exit, and then a person is told."""
    for step, world in disturbed(an_exit_waits, deliver, fault):
        with blaming(step):
            world.minutes(6)
            exit_ = next(order for order in world.ledger.orders(ACCOUNT, 10) if order.reducing)
            if exit_.state is S.DENIED:
                assert "switch.read" in step
                world.check_promises(IncidentKind.EXIT_NOT_PLACED)
                continue
            world.check_promises()
            assert exit_.state is S.FILLED
            assert world.accepted(exit_) == 1
            assert world.position() == 0


def a_halted_exit_waits() -> World:
    world = an_exit_waits()
    world.set_switch(StopLevel.HALTED)
    return world


def an_expired_exit_waits() -> World:
    world = an_exit_waits()
    world.advance(seconds=300)
    return world


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("make", [a_halted_exit_waits, an_expired_exit_waits])
def test_a_fault_at_any_step_of_an_exit_that_is_not_placed_never_keeps_it_from_paging(
    make: Callable[[], World], fault: Fault
) -> None:
    for step, world in disturbed(make, deliver, fault):
        with blaming(step):
            world.minutes(6)
            world.check_promises(IncidentKind.EXIT_NOT_PLACED)


def test_a_message_that_is_delivered_again_while_the_first_executor_still_runs_sends_nothing() -> None:
    """Corpus row 47: a visibility timeout expires while the first executor runs, wherever it is."""
    rehearsal = an_entry_waits()
    mark = len(rehearsal.steps.calls)
    deliver(rehearsal)
    for number, call in enumerate(rehearsal.steps.since(mark)):
        world = an_entry_waits()
        (order,) = world.ledger.orders(ACCOUNT, 10)
        world.steps.at(number, meanwhile(partial(world.execute, order.order_id)))
        with blaming(call):
            world.execute(order.order_id)
            assert world.accepted(order) == 1
            world.minutes(2)
            assert world.state(order) is S.FILLED
            world.check_promises()


def test_a_reconciler_that_runs_at_any_step_of_an_executor_disturbs_nothing() -> None:
    """Corpus row 53."""
    rehearsal = an_entry_waits()
    mark = len(rehearsal.steps.calls)
    deliver(rehearsal)
    for number, call in enumerate(rehearsal.steps.since(mark)):
        world = an_entry_waits()
        world.steps.at(number, meanwhile(world.reconcile))
        with blaming(call):
            world.deliver()
            world.minutes(3)
            (order,) = world.ledger.orders(ACCOUNT, 10)
            assert world.state(order) is S.FILLED
            assert world.alerts.incidents == []
            world.check_promises()


def test_a_venue_that_fails_while_the_look_up_runs_leaves_the_order_unknown() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    world.steps.next("venue.lookup", instead(VenueUnavailable("502")))
    assert world.execute(order.order_id).result == "unresolved"
    assert world.state(order) is S.UNKNOWN


def test_a_claim_is_refused_while_the_clocks_disagree() -> None:
    """ccxt #2281, corpus row 59: clock of the Lambda 30 s off."""
    world = ready()
    order = world.buy()
    world.steps.next("clock.now", instead(world.now - timedelta(seconds=30)))
    world.deliver()
    assert limits_of(world, order)["clock_offset_seconds"] == "wait"
    assert world.store.submissions() == ()


def test_a_crash_before_the_claim_leaves_the_message_to_be_delivered_again() -> None:
    world = ready()
    order = world.buy()
    world.steps.next("ledger.commit", stop_before)
    with pytest.raises(Crash):
        world.deliver()
    assert world.state(order) is S.CREATED
    assert world.deliver()[-1].result == "submitted"
    assert world.accepted(order) == 1


@pytest.mark.parametrize("answer", [None, Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")])
def test_an_executor_that_was_overtaken_after_it_read_the_order_says_what_became_of_it(answer: Outcome | None) -> None:
    world = ready()
    order = world.buy()
    if answer is not None:
        world.steps.next("venue.submit", instead(answer))
    world.steps.next("ledger.account", meanwhile(lambda: world.execute(order.order_id)))
    overtaken = world.execute(order.order_id)
    assert overtaken.result in ("already done", "unresolved")
    assert overtaken.state is world.state(order)
    assert world.accepted(order) <= 1
