"""The pipeline on the deployed stack, judged by the venue's own records: how many orders there really are."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

import pytest

from belay.domain.account import StopLevel
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import OrderState
from belay.local.stack import Stack
from belay.workflows.updates import NO_ACCOUNT
from tests.builders import make_decision, make_events, make_orders, make_slot
from tests.deployment.desk import (
    LIMIT,
    STRATEGY,
    SYMBOL,
    ReplayedAccount,
    at_the_same_time,
    dead_letters,
    intent_event,
    intents_held,
    invoke,
    market_crossing_at,
    open_desk,
    reconcile_all,
    set_switch,
    until,
)

CROSS = datetime(2024, 3, 1, 12, tzinfo=UTC)
NEXT_CROSS = CROSS + timedelta(hours=4)
TICKS, TICKS_AT_ONCE = 20, 4
EXECUTORS = 20
NUMBERS = count(1)


@pytest.fixture
def account(trading: Stack) -> ReplayedAccount:
    """An account of the test's own, at the moment when its market crosses for the first time."""
    opened = ReplayedAccount(trading, f"pipeline-{next(NUMBERS)}")
    opened.open(market_crossing_at(CROSS, NEXT_CROSS), CROSS)
    return opened


# --- the whole way -----------------------------------------------------------------------------------


def test_a_tick_becomes_fills_and_a_proof_through_the_real_queues(account: ReplayedAccount) -> None:
    decided = account.tick(CROSS)
    account.settle()

    (order,) = account.orders()
    assert decided["kind"] == "trade"
    assert decided["order_ids"] == [order.order_id]
    assert order.state is OrderState.FILLED

    story = account.desk.ledger.story(order.decision_id)
    assert story is not None
    assert sum(fill.trade.quantity for fill in story.fills) == order.filled_quantity > 0
    trades = account.books.trades(SYMBOL, CROSS, CROSS + timedelta(minutes=1)).trades
    assert {trade.trade_id for trade in trades} == {fill.trade.trade_id for fill in story.fills}

    held = account.desk.ledger.account(account.name)
    assert held.position(STRATEGY, SYMBOL).quantity == order.filled_quantity
    assert held.reservations == {}
    proof = account.proof()
    assert proof is not None
    assert proof.account_version == held.version
    assert not any(proof.residuals.values())
    assert account.desk.ledger.incidents(account.name) == ()


def test_the_same_tick_sent_twenty_times_gives_one_decision_and_one_venue_order(account: ReplayedAccount) -> None:
    rounds = [at_the_same_time(TICKS_AT_ONCE, lambda: account.tick(CROSS)) for _ in range(TICKS // TICKS_AT_ONCE)]
    answers = [answer for together in rounds for answer in together]
    account.settle()

    (decision,) = account.desk.ledger.decisions(account.name, STRATEGY, LIMIT)
    (order,) = account.orders()
    assert decision.order_ids == (order.order_id,)
    assert len(answers) == TICKS
    assert all(answer == answers[0] for answer in answers)
    assert_one_venue_order(account, order.order_id)


def assert_one_venue_order(account: ReplayedAccount, order_id: str) -> None:
    """By the venue's own records: one request received, and one order made of it."""
    (submission,) = account.submissions()
    (venue_order,) = account.venue_orders()
    assert submission.request.client_order_id == venue_order.client_order_id == order_id
    assert submission.code == "ACCEPTED"


# --- many executors at once --------------------------------------------------------------------------


class Interval(NamedTuple):
    """From when to when an intent was worked on, in seconds of one clock."""

    began: float
    ended: float


def most_at_once(intervals: list[Interval]) -> int:
    """The largest number of intervals that share a moment."""
    return max(sum(one.began <= began < one.ended for one in intervals) for began, _ in intervals)


def test_twenty_simultaneous_executors_of_one_intent_give_one_venue_order(
    account: ReplayedAccount, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with intents_held(account.stack):
        (order_id,) = account.tick(CROSS)["order_ids"]
        at_the_same_time(EXECUTORS, lambda: invoke(account.stack, "ExecutorFunctionName", {"Records": []}))
        event = intent_event(order_id)
        invocations = at_the_same_time(EXECUTORS, lambda: invoke(account.stack, "ExecutorFunctionName", event))
    account.settle()

    assert_one_venue_order(account, order_id)
    (order,) = account.orders()
    assert order.state is OrderState.FILLED
    results = Counter(invocation.answer["results"][0]["result"] for invocation in invocations)
    assert results["submitted"] == 1, results
    assert results.keys() <= {"submitted", "already done", "resolved", "unresolved"}, results

    asked = most_at_once([Interval(invocation.began, invocation.ended) for invocation in invocations])
    worked = most_at_once([interval for one in invocations if (interval := logged(one.log, order_id))])
    figures = {"invocations_at_once": asked, "executors_at_work_at_once": worked, "results": dict(results)}
    for name, figure in figures.items():
        record_testsuite_property(name, figure)
    sys.stdout.write(f"{figures}\n")
    assert asked == EXECUTORS
    assert worked >= EXECUTORS // 4, "most of the functions' intervals did not overlap, or their logs were cut"


def logged(log: str, order_id: str) -> Interval | None:
    """The function's own interval, from its log lines on receiving the intent and on its outcome.

    None where the emulator cut the log short.
    """
    times = {}
    for line in log.splitlines():
        if line.startswith("{") and line.endswith("}"):
            said = json.loads(line)
            if said.get("correlation_id") == order_id:
                times[said["message"]] = datetime.fromisoformat(said["timestamp"]).timestamp()
    return Interval(times["received"], times["executed"]) if {"received", "executed"} <= times.keys() else None


# --- stopping ----------------------------------------------------------------------------------------


def test_a_halted_switch_denies_the_intent_and_the_next_slot_after_the_release_trades(account: ReplayedAccount) -> None:
    set_switch(account.desk, StopLevel.HALTED)
    try:
        account.tick(CROSS)
        account.settle()
    finally:
        set_switch(account.desk, StopLevel.RUNNING)
    (denied,) = account.orders()
    assert denied.state is OrderState.DENIED
    assert account.submissions() == ()

    account.move_clock(NEXT_CROSS)
    account.reconcile()
    (order_id,) = account.tick(NEXT_CROSS)["order_ids"]
    account.settle()
    assert_one_venue_order(account, order_id)


# --- what cannot be acted on ---------------------------------------------------------------------------


@pytest.fixture
def new_incidents(trading: Stack) -> Iterator[Callable[[], list[Incident]]]:
    """The incidents without a known account since the test began. Nothing may go to a dead-letter queue meanwhile."""
    ledger, dead = open_desk(trading).ledger, dead_letters(trading)
    before = {incident.incident_id for incident in ledger.incidents(NO_ACCOUNT)}
    yield lambda: [found for found in ledger.incidents(NO_ACCOUNT) if found.incident_id not in before]
    until(trading.queues_empty, "the queues are empty")
    assert dead_letters(trading) == dead


@pytest.mark.parametrize("body", ["no JSON", "{}", "[1]", '{"order_id": "0123"}', '{"order_id": null}'])
def test_a_malformed_intent_is_kept_as_an_incident(
    trading: Stack, new_incidents: Callable[[], list[Incident]], body: str
) -> None:
    send_intent(trading, body)
    until(lambda: bool(new_incidents()), "an incident")
    (incident,) = new_incidents()
    assert incident.kind is IncidentKind.INVALID_EVENT
    assert "message.order_id" in incident.subject
    assert json.dumps(body) in incident.actual


def test_an_intent_that_the_ledger_does_not_know_is_kept_as_an_incident(
    trading: Stack, new_incidents: Callable[[], list[Incident]]
) -> None:
    send_intent(trading, json.dumps({"order_id": "f" * 32}))
    until(lambda: bool(new_incidents()), "an incident")
    assert f"the ledger has no order {'f' * 32}" in new_incidents()[0].actual


def test_an_intent_of_an_account_without_a_document_is_kept_as_an_incident(
    trading: Stack, new_incidents: Callable[[], list[Incident]]
) -> None:
    decision = make_decision(slot=make_slot(account="undocumented"))
    (order,) = orders = make_orders(decision)
    open_desk(trading).ledger.record_decision(decision, orders, make_events(decision, orders))
    send_intent(trading, json.dumps({"order_id": order.order_id}))
    until(lambda: bool(new_incidents()), "an incident")
    (incident,) = new_incidents()
    assert "undocumented has no document" in incident.actual
    assert order.order_id in incident.actual


@pytest.mark.parametrize("body", ["no JSON", "{}", "[1]", '{"account": "nobody"}'])
def test_a_malformed_follow_up_is_kept_as_an_incident(
    trading: Stack, new_incidents: Callable[[], list[Incident]], body: str
) -> None:
    trading.client("sqs").send_message(QueueUrl=trading.outputs["FollowUpsQueueUrl"], MessageBody=body)
    until(lambda: bool(new_incidents()), "an incident")
    (incident,) = new_incidents()
    assert incident.kind is IncidentKind.INVALID_EVENT


@pytest.mark.parametrize("event", [{}, [], "text", {"scheduled_time": "yesterday"}, {"account": "x" * 100}])
def test_a_malformed_tick_is_refused_and_kept_as_an_incident(
    trading: Stack, new_incidents: Callable[[], list[Incident]], event: object
) -> None:
    answer = invoke(trading, "EvaluatorFunctionName", event).answer
    assert answer["kind"] == "refused"
    assert answer["error"].startswith("tick")
    assert new_incidents() == []  # the evaluator may tell nobody
    reconcile_all(trading)
    (incident,) = new_incidents()
    assert incident.kind is IncidentKind.INVALID_EVENT


def send_intent(stack: Stack, body: str) -> None:
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["IntentsQueueUrl"],
        MessageBody=body,
        MessageGroupId="pipeline",
        MessageDeduplicationId=str(hash(body)),
    )


# --- roles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["Evaluator", "Executor", "Reconciler"])
def test_each_function_runs_under_its_own_role(trading: Stack, function: str) -> None:
    deployed = trading.client("lambda").get_function_configuration(
        FunctionName=trading.outputs[f"{function}FunctionName"]
    )
    assert f"{function}Role" in deployed["Role"]
