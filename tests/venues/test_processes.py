"""Functions that freeze, die or run twice around a submission, at both venues: one order or none, and the truth."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from belay.domain.decisions import Side
from belay.domain.orders import Order, OrderState
from belay.workflows.execute import Executed
from tests.venues.desk import LIMITS, Desk, NewDesk
from tests.world import Crash, meanwhile, stop_after, stop_before

S = OrderState
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
WAYS = pytest.mark.parametrize("exits", [False, True], ids=["entry", "exit"])
KINDS = pytest.mark.parametrize("kind", ["market", "limit"])
TOO_LATE = {"binance": "-1021", "kraken": "EService:Deadline elapsed"}


def waiting(desk: Desk, *, exits: bool, kind: str = "market") -> Order:
    """An order whose message waits, undelivered."""
    if exits:
        desk.hold()
    else:
        desk.open_gate()
    limit = {"limit_price": LIMITS[Side.SELL if exits else Side.BUY]} if kind == "limit" else {}
    return desk.leave(**limit) if exits else desk.enter(**limit)


def settled(desk: Desk, order: Order) -> None:
    desk.settle()
    desk.check()
    assert desk.order(order.order_id).settled


# --- frozen ----------------------------------------------------------------------------------------------------------


def frozen(desk: Desk, order: Order, meantime: Callable[[], object]) -> Executed:
    """The executor freezes after its last look, before it sends; others take over; then it thaws and sends."""
    first = desk.executor

    def somebody_else_goes_on() -> None:
        desk.restart()
        meantime()

    desk.steps.next("venue.submit", meanwhile(somebody_else_goes_on))
    executed = desk.execute(order, first)
    desk.watch()
    return executed


def thawed_after_the_fence(desk: Desk, *, exits: bool, kind: str = "market") -> None:
    """Whatever was concluded while it was frozen stays true: the venue itself refuses what comes so late."""
    order = waiting(desk, exits=exits, kind=kind)
    executed = frozen(desk, order, lambda: desk.go_on(240))
    assert executed.detail == TOO_LATE[desk.venue]
    assert len(desk.placed(order)) == int(exits)
    assert len(desk.sent(order)) == 1 + int(exits)
    settled(desk, order)
    assert desk.state(order) is (S.FILLED if exits else S.NOT_SENT)


@BOTH
@WAYS
@KINDS
def test_a_process_that_thaws_after_the_fence_is_refused_by_the_venue_itself(
    new_desk: NewDesk, venue: str, exits: bool, kind: str
) -> None:
    """Corpus row 46."""
    thawed_after_the_fence(new_desk(venue), exits=exits, kind=kind)


@BOTH
@WAYS
def test_a_process_that_thaws_within_the_fence_places_the_order_and_nobody_else_did(
    new_desk: NewDesk, venue: str, exits: bool
) -> None:
    desk = new_desk(venue)
    order = waiting(desk, exits=exits)
    frozen(desk, order, lambda: desk.go_on(4))
    assert len(desk.placed(order)) == 1
    settled(desk, order)
    assert desk.state(order) is S.FILLED


@BOTH
@pytest.mark.parametrize("seconds", [6, 11, 20, 60, 150, 3_600])
def test_however_long_it_was_frozen_an_entry_that_was_given_up_never_comes_to_be(
    new_desk: NewDesk, venue: str, seconds: int
) -> None:
    desk = new_desk(venue)
    order = waiting(desk, exits=False)
    frozen(desk, order, lambda: desk.advance(seconds))
    desk.advance(60)
    settled(desk, order)
    assert len(desk.placed(order)) == int(desk.state(order) is S.FILLED) == int(venue == "kraken" and seconds < 10)


# --- killed ----------------------------------------------------------------------------------------------------------


@BOTH
@WAYS
@KINDS
@pytest.mark.parametrize("lag", [0, 3])
def test_a_function_killed_between_sending_and_the_answer_leaves_one_order(
    new_desk: NewDesk, venue: str, exits: bool, kind: str, lag: float
) -> None:
    """Corpus row 45. Its message is delivered again at once, before a look-up may show anything, and later again."""
    desk = new_desk(venue)
    order = waiting(desk, exits=exits, kind=kind)
    desk.server.add_fault("lagging_lookup", order_lag=lag, trade_lag=lag)
    desk.steps.next("venue.submit", stop_after)
    with pytest.raises(Crash):
        desk.deliver()
    assert desk.state(order) is S.SUBMITTED
    desk.restart()
    desk.execute(order)
    assert (desk.state(order) in (S.SUBMITTED, S.UNKNOWN)) == bool(lag)
    settled(desk, order)
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)


@BOTH
@WAYS
@KINDS
def test_a_function_killed_just_before_sending_leaves_no_order_and_only_an_exit_goes_out_again(
    new_desk: NewDesk, venue: str, exits: bool, kind: str
) -> None:
    desk = new_desk(venue)
    order = waiting(desk, exits=exits, kind=kind)
    desk.steps.next("venue.submit", stop_before)
    with pytest.raises(Crash):
        desk.deliver()
    desk.restart()
    desk.execute(order)
    assert desk.sent(order) == []
    settled(desk, order)
    assert len(desk.sent(order)) == int(exits)
    assert desk.state(order) is (S.FILLED if exits else S.NOT_SENT)


@BOTH
@WAYS
def test_a_function_killed_while_it_waits_for_an_answer_that_never_comes_leaves_one_order(
    new_desk: NewDesk, venue: str, exits: bool
) -> None:
    desk = new_desk(venue)
    order = waiting(desk, exits=exits)
    desk.server.add_fault("accept_hang")
    desk.steps.next("venue.submit", stop_after)
    with pytest.raises(Crash):
        desk.deliver()
    desk.restart()
    settled(desk, order)
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)


# --- twice -----------------------------------------------------------------------------------------------------------


@BOTH
@WAYS
def test_an_executor_that_runs_between_the_check_and_the_claim_of_another_is_the_only_one_to_send(
    new_desk: NewDesk, venue: str, exits: bool
) -> None:
    desk = new_desk(venue)
    order = waiting(desk, exits=exits)
    second = desk.function("executor_secret")
    desk.steps.next("ledger.commit", meanwhile(lambda: desk.execute(order, second)))
    assert desk.execute(order).result in ("already done", "resolved")
    settled(desk, order)
    assert len(desk.sent(order)) == 1


@BOTH
@WAYS
def test_executors_that_run_at_the_same_time_send_once(new_desk: NewDesk, venue: str, exits: bool) -> None:
    """At Kraken they share a key, whose nonces may overtake each other: then the only one that sends may be refused."""
    desk = new_desk(venue)
    order = waiting(desk, exits=exits)
    executors = [desk.function("executor_secret") for _ in range(4)]
    together = Barrier(len(executors))

    def run(number: int) -> str:
        together.wait()
        return desk.execute(order, executors[number]).result

    with ThreadPoolExecutor(len(executors)) as threads:
        results = list(threads.map(run, range(len(executors))))
    assert results.count("submitted") + results.count("not sent") <= 1
    assert len(desk.sent(order)) == 1
    settled(desk, order)
    assert len(desk.placed(order)) == 1 or (venue == "kraken" and not exits)


@BOTH
def test_two_deliveries_beside_a_reconciliation_give_one_order(new_desk: NewDesk, venue: str) -> None:
    """Corpus rows 47 and 53."""
    desk = new_desk(venue)
    order = waiting(desk, exits=True)
    second = desk.function("executor_secret")

    def everybody_at_once() -> None:
        desk.reconcile()
        desk.execute(order, second)
        desk.reconcile()

    desk.server.add_fault("accept_close")
    desk.steps.next("venue.submit", meanwhile(everybody_at_once))
    desk.execute(order)
    settled(desk, order)
    assert len(desk.sent(order)) == 1
