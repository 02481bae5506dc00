"""Decisions in every ledger: one per slot, stored whole, listed by candle, told as one story."""

from datetime import timedelta

from belay.domain.decisions import Cancel
from belay.domain.transitions import note
from belay.ports import CancelRequest, Ledger
from tests.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    make_buy,
    make_decision,
    make_events,
    make_hold,
    make_orders,
    make_sell,
    make_slot,
    make_stamp,
    make_tick,
    make_trade,
    seconds,
)
from tests.contract.situations import claimed, configured, decided, filled, together


def test_a_stored_hold_reads_back_as_it_was(ledger: Ledger) -> None:
    hold = make_hold(parameters={"fast": 5, "ratio": 0.25, "names": ["a", "b"]})
    assert ledger.record_decision(hold, (), ()) == hold
    assert ledger.decision(hold.decision_id) == hold


def test_a_stored_trade_reads_back_with_its_orders_and_their_first_events(ledger: Ledger) -> None:
    record = make_decision(make_sell(), make_buy(notional="1000", quantity=None))
    orders = make_orders(record)
    events = make_events(record, orders)
    assert ledger.record_decision(record, orders, events) == record
    assert ledger.decision(record.decision_id) == record
    assert tuple(ledger.order(order.order_id) for order in orders) == orders
    story = ledger.story(record.decision_id)
    assert story is not None
    assert (story.decision, story.orders) == (record, orders)
    assert {event.order_id for event in story.events} == {order.order_id for order in orders}


def test_an_unknown_decision_order_or_story_is_none(ledger: Ledger) -> None:
    assert ledger.decision("dev.paper.nothing") is None
    assert ledger.order("0" * 32) is None
    assert ledger.story("dev.paper.nothing") is None


def test_the_second_decision_of_a_slot_is_answered_with_the_first(ledger: Ledger) -> None:
    first = make_hold(write_id="first")
    ledger.record_decision(first, (), ())
    second = make_decision(write_id="second")
    orders = make_orders(second)
    assert ledger.record_decision(second, orders, make_events(second, orders)) == first
    assert ledger.order(orders[0].order_id) is None
    assert ledger.open_orders(ACCOUNT) == ()


def test_a_hold_never_replaces_a_trade(ledger: Ledger) -> None:
    order = decided(ledger)
    stored = ledger.record_decision(make_hold(write_id="late"), (), ())
    assert stored.order_ids == (order.order_id,)
    assert ledger.order(order.order_id) == order


def test_a_decision_that_is_stored_again_by_its_own_writer_stays_as_it_is(ledger: Ledger) -> None:
    record = make_decision()
    order = decided(ledger, record)
    moved = note(order, "noted", make_stamp(), {})
    ledger.commit(moved)
    orders = make_orders(record)
    assert ledger.record_decision(record, orders, make_events(record, orders)) == record
    assert ledger.order(order.order_id) == moved.order


def test_of_twenty_threads_that_decide_at_once_one_wins_and_all_see_it(ledger: Ledger) -> None:
    def decide(number: int) -> str:
        record = make_decision(make_buy(quantity=number + 1), write_id=f"thread-{number}")
        orders = make_orders(record)
        return ledger.record_decision(record, orders, make_events(record, orders)).write_id

    winners = set(together(decide))
    assert len(winners) == 1
    (order,) = ledger.open_orders(ACCOUNT)
    assert {order.write_id} == winners


def test_decisions_are_listed_by_candle_newest_first_up_to_the_limit(ledger: Ledger) -> None:
    for hour in (3, 1, 4, 2):
        ledger.record_decision(make_hold(make_slot(hour)), (), ())
    ledger.record_decision(make_hold(make_slot(5, strategy="other")), (), ())
    ledger.record_decision(make_hold(make_slot(5, account="other")), (), ())
    listed = ledger.decisions(ACCOUNT, STRATEGY, 3)
    assert [record.slot for record in listed] == [make_slot(4), make_slot(3), make_slot(2)]
    assert len(ledger.decisions(ACCOUNT, STRATEGY, 10)) == 4
    assert ledger.decisions(ACCOUNT, "unheard-of", 10) == ()


def test_decisions_for_the_same_candle_in_several_symbols_and_timeframes_are_all_listed(ledger: Ledger) -> None:
    opened = make_slot().candle_open
    slots = [
        make_slot(symbol=symbol, timeframe=timeframe, candle_open=opened)
        for symbol in ("BTC/USD", "ETH/USD")
        for timeframe in ("15m", "1h")
    ]
    for slot in slots:
        ledger.record_decision(make_hold(slot), (), ())
    assert [record.slot for record in ledger.decisions(ACCOUNT, STRATEGY, 10)] == slots[::-1]


def test_the_cancels_of_a_decision_become_standing_requests_once_each(ledger: Ledger) -> None:
    record = make_decision(
        Cancel(order_id="a" * 32, reason="stale"),
        Cancel(order_id="b" * 32, reason="too far"),
        Cancel(order_id="a" * 32, reason="really stale"),
    )
    assert make_orders(record) == ()
    ledger.record_decision(record, (), ())
    assert ledger.cancel_requests(ACCOUNT) == (
        CancelRequest(account=ACCOUNT, order_id="a" * 32, reason="really stale", requested_at=record.decided_at),
        CancelRequest(account=ACCOUNT, order_id="b" * 32, reason="too far", requested_at=record.decided_at),
    )


def test_the_cancels_of_a_decision_that_lost_are_not_requested(ledger: Ledger) -> None:
    ledger.record_decision(make_hold(), (), ())
    ledger.record_decision(make_decision(Cancel(order_id="a" * 32, reason="stale"), write_id="late"), (), ())
    assert ledger.cancel_requests(ACCOUNT) == ()


def test_a_decision_with_as_many_legs_as_are_allowed_is_stored_in_one_step(ledger: Ledger) -> None:
    record = make_decision(*[make_buy(reason=f"rung {number}") for number in range(33)])
    decided(ledger, record)
    assert len(ledger.open_orders(ACCOUNT)) == 33


def test_a_story_holds_every_order_event_and_fill_in_order(ledger: Ledger) -> None:
    configured(ledger)
    record = make_decision(make_sell(), make_buy())
    entry = decided(ledger, record)
    order = claimed(ledger, make_decision(slot=make_slot(1)))
    half = {"quantity": "0.05", "venue_order_id": "V7"}
    first = filled(ledger, make_trade("T2", at=NOW + seconds(6), **half), order)
    ledger.commit(first)
    ledger.commit(filled(ledger, make_trade("T1", at=NOW + seconds(5), **half), first.order))

    story = ledger.story(order.decision_id)
    assert story is not None
    assert [o.order_id for o in story.orders] == [order.order_id]
    assert [event.sequence for event in story.events] == [0, 1, 2, 3]
    assert [event.cause for event in story.events] == ["decided", "claimed", "filled", "filled"]
    assert [fill.trade.trade_id for fill in story.fills] == ["T1", "T2"]
    other = ledger.story(entry.decision_id)
    assert other is not None
    assert tuple(o.order_id for o in other.orders) == record.order_ids
    assert other.fills == ()


def test_the_events_of_one_order_keep_their_sequence_when_a_clock_goes_back(ledger: Ledger) -> None:
    order = decided(ledger)
    for number, recorded_at in enumerate([NOW + seconds(9), NOW + seconds(1), NOW + seconds(5)]):
        change = note(order, f"note {number}", make_stamp(f"w{number}", recorded_at=recorded_at), {})
        ledger.commit(change)
        order = change.order
    story = ledger.story(order.decision_id)
    assert story is not None
    assert [event.sequence for event in story.events] == [0, 1, 2, 3]


def test_a_story_of_more_than_a_megabyte_is_complete(ledger: Ledger) -> None:
    order = decided(ledger)
    for number in range(6):
        change = note(order, "large", make_stamp(f"w{number}"), {"text": "x" * 250_000})
        ledger.commit(change)
        order = change.order
    story = ledger.story(order.decision_id)
    assert story is not None
    assert [event.sequence for event in story.events] == list(range(7))


def test_the_latest_tick_of_each_schedule_is_remembered(ledger: Ledger) -> None:
    later = make_tick(scheduled_time=NOW + timedelta(hours=1))
    other = make_tick(strategy="another", symbol="ETH/USD")
    for tick in (make_tick(), later, make_tick(), other, make_tick(account="elsewhere")):
        ledger.register_schedule(tick)
    assert ledger.schedules(ACCOUNT) == (other, later)
    assert ledger.schedules("unheard-of") == ()


def test_a_retired_schedule_is_forgotten_until_its_next_tick(ledger: Ledger) -> None:
    ledger.register_schedule(make_tick())
    for _ in range(2):
        ledger.drop_schedule(make_tick())
    assert ledger.schedules(ACCOUNT) == ()
    ledger.register_schedule(make_tick())
    assert ledger.schedules(ACCOUNT) == (make_tick(),)
