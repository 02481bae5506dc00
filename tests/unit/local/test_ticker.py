"""The ticker: which schedules are due, what their events say, and what becomes of a firing that is not accepted."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from belay.domain.errors import InvalidInput
from belay.local.ticker import (
    Cron,
    Expression,
    Firing,
    Rate,
    Schedule,
    Ticker,
    due,
    parse_expression,
    parse_schedule,
    read_schedules,
    tick_of,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURLY = Cron("0 * * * *")


def schedule(name: str = "hourly", expression: Expression = HOURLY, payload: str = "{}", **of: Any) -> Schedule:
    return Schedule(
        name=name,
        arn=f"arn:aws:scheduler:us-east-1:000000000000:schedule/default/{name}",
        expression=expression,
        function=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        payload=payload,
        **of,
    )


# --- when ------------------------------------------------------------------------------------------

EXPRESSIONS = {
    "every hour": ("cron(0 * * * ? *)", NOON),
    "every five minutes": ("cron(0/5 * * * ? *)", NOON + 30 * MINUTE),
    "weekdays, by number, Sunday is 1": ("cron(15 9 ? * 2-6 *)", datetime(2026, 11, 20, 9, 15, tzinfo=UTC)),
    "weekdays by name": ("cron(15 9 ? * MON-THU *)", datetime(2026, 11, 19, 9, 15, tzinfo=UTC)),
    "Sundays": ("cron(0 0 ? * 1 *)", datetime(2026, 11, 15, tzinfo=UTC)),
    "every second day of the week": ("cron(0 0 ? * 2-6/2 *)", datetime(2026, 11, 20, tzinfo=UTC)),
    "the second Monday of a month": ("cron(0 6 ? * 2#2 *)", datetime(2026, 11, 9, 6, tzinfo=UTC)),
    "the last Friday of a month": ("cron(0 6 ? * 6L *)", datetime(2026, 10, 30, 6, tzinfo=UTC)),
    "the last day of a month": ("cron(0 0 L * ? *)", datetime(2026, 10, 31, tzinfo=UTC)),
    "only in some months": ("cron(0 0 1 JAN,JUL ? *)", datetime(2026, 7, 1, tzinfo=UTC)),
    "only in some years": ("cron(0 0 1 1 ? 2020-2023,2025)", datetime(2025, 1, 1, tzinfo=UTC)),
    "a year to come": ("cron(0 * * * ? 2030)", None),
    "a rate of minutes, from its creation on": ("rate(7 minutes)", datetime(2026, 11, 20, 12, 31, 5, tzinfo=UTC)),
    "a rate of one hour": ("rate(1 hour)", datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC)),
    "a rate of days": ("rate(3 days)", datetime(2026, 11, 19, 12, 0, 5, tzinfo=UTC)),
}
CREATED = datetime(2026, 11, 1, 12, 0, 5, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(("text", "last"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_names_the_last_time_until_now(text: str, last: datetime | None) -> None:
    expression = parse_expression("schedule", text, CREATED)
    assert expression.last(NOON - 3_660 * DAY, NOON + 32 * MINUTE) == last


@pytest.mark.parametrize("expression", [HOURLY, Rate(HOUR, NOON - 5 * HOUR)])
def test_a_time_is_due_at_its_own_moment_and_once(expression: Expression) -> None:
    assert expression.last(NOON - SECOND, NOON) == NOON
    assert expression.last(NOON, NOON + HOUR - SECOND) is None
    assert expression.last(NOON - SECOND, NOON - timedelta(microseconds=1)) is None
    assert expression.last(NOON, NOON + HOUR + timedelta(microseconds=1)) == NOON + HOUR


def test_a_rate_begins_one_interval_after_its_creation() -> None:
    rate = Rate(MINUTE, NOON)
    assert rate.last(NOON - DAY, NOON + 59 * SECOND) is None
    assert rate.last(NOON - DAY, NOON + MINUTE) == NOON + MINUTE


def test_however_often_one_looks_every_time_is_due_exactly_once() -> None:
    expression = parse_expression("schedule", "cron(0/7 * ? * * *)", CREATED)
    steps = [NOON + number * timedelta(seconds=13) for number in range(1_000)]
    seen = [at for since, until in pairwise(steps) if (at := expression.last(since, until))]
    minutes = [NOON + number * MINUTE for number in range(1, 217)]
    assert seen == [minute for minute in minutes if minute.minute % 7 == 0]


REFUSED = {
    "a time of its own": "at(2026-11-20T12:00:00)",
    "a rate of nothing": "rate(0 minutes)",
    "a rate of seconds": "rate(10 seconds)",
    "plain cron": "cron(0 * * * *)",
    "two days at once": "cron(0 0 1 * MON *)",
    "no question mark": "cron(0 * * * * *)",
    "a day that its month never has": "cron(0 0 30 2 ? *)",
    "an hour too many": "cron(0 24 * * ? *)",
    "an eighth day of the week": "cron(0 0 ? * 8 *)",
    "day zero": "cron(0 0 ? * 0 *)",
    "a year in words": "cron(0 0 1 1 ? soon)",
    "nothing": "",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_an_expression_that_cannot_be_followed_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="schedule belay-dev-x"):
        parse_expression("schedule belay-dev-x", text, CREATED)


def test_after_a_long_sleep_each_schedule_is_due_once_for_its_last_time() -> None:
    hourly, minutely = schedule("hourly"), schedule("minutely", Rate(MINUTE, NOON - DAY))
    found = due([hourly, minutely], NOON - 8 * HOUR, NOON + 30 * SECOND)
    assert [(firing.schedule.name, firing.at) for firing in found] == [("hourly", NOON), ("minutely", NOON)]


def test_what_is_due_comes_in_time_order() -> None:
    late, early = schedule("late", Cron("30 * * * *")), schedule("early", Cron("10 * * * *"))
    assert [firing.schedule.name for firing in due([late, early], NOON, NOON + HOUR)] == ["early", "late"]


# --- what an event says ------------------------------------------------------------------------------


def test_every_attribute_is_substituted_wherever_it_stands() -> None:
    names = ("scheduled-time", "schedule-arn", "execution-id", "attempt-number")
    payload = json.dumps(
        {name: f"<aws.scheduler.{name}>" for name in names} | {"both": "<aws.scheduler.scheduled-time>"}
    )
    firing = Firing(schedule(payload=payload), NOON, attempt=2)
    assert json.loads(firing.event("d32c5kddcf5bb8c3")) == {
        "scheduled-time": "2026-11-20T12:00:00Z",
        "schedule-arn": firing.schedule.arn,
        "execution-id": "d32c5kddcf5bb8c3",
        "attempt-number": "2",
        "both": "2026-11-20T12:00:00Z",
    }


# --- firing --------------------------------------------------------------------------------------------


class Functions:
    """Takes what is delivered; refuses the first `refusals` of them."""

    def __init__(self, refusals: int = 0) -> None:
        self.accepted: list[tuple[str, str]] = []
        self._refusals = refusals

    def deliver(self, function: str, payload: str) -> None:
        if self._refusals:
            self._refusals -= 1
            raise ConnectionError("throttled")
        self.accepted.append((function.rsplit(":", 1)[-1], payload))


def ticker(functions: Functions, *schedules: Schedule, said: list[str] | None = None) -> Ticker:
    heard = [] if said is None else said
    return Ticker(schedules, NOON - HOUR, functions.deliver, heard.append, new_id=lambda: "id")


ATTEMPT = "<aws.scheduler.scheduled-time> <aws.scheduler.attempt-number>"


def test_a_schedule_fires_at_its_time_and_not_again() -> None:
    functions = Functions()
    running = ticker(functions, schedule(payload="<aws.scheduler.scheduled-time>"))
    for late in range(5):
        running.tick(NOON - SECOND + late * SECOND)
    assert functions.accepted == [("hourly", "2026-11-20T12:00:00Z")]


def test_time_that_goes_back_fires_nothing_twice() -> None:
    functions = Functions()
    running = ticker(functions, schedule())
    for now in (NOON, NOON - MINUTE, NOON, NOON + MINUTE):
        running.tick(now)
    assert len(functions.accepted) == 1


def test_a_refused_firing_is_tried_again_with_its_own_time_and_the_next_attempts_number() -> None:
    functions = Functions(refusals=2)
    running = ticker(functions, schedule(payload=ATTEMPT, max_retries=2, max_age=MINUTE))
    for late in range(5):
        running.tick(NOON + late * SECOND)
    assert functions.accepted == [("hourly", "2026-11-20T12:00:00Z 3")]


def test_a_firing_is_given_up_after_its_retries_or_when_it_is_too_old() -> None:
    for max_retries, max_age in ((1, HOUR), (100, SECOND)):
        functions, said = Functions(refusals=50), list[str]()
        running = ticker(functions, schedule(max_retries=max_retries, max_age=max_age), said=said)
        for late in range(10):
            running.tick(NOON + late * SECOND)
        assert functions.accepted == []
        refused = [line for line in said if line.endswith("was not accepted: throttled")]
        assert refused[0] == "hourly for 2026-11-20T12:00:00Z, attempt 1, was not accepted: throttled"
        assert len(refused) == 2


def test_after_a_sleep_only_what_is_young_enough_fires() -> None:
    functions, said = Functions(), list[str]()
    old, young = schedule("old", max_age=MINUTE), schedule("young", Rate(MINUTE, NOON - DAY), max_age=MINUTE)
    ticker(functions, old, young, said=said).tick(NOON + 20 * MINUTE + 30 * SECOND)
    assert [name for name, _ in functions.accepted] == ["young"]
    assert said == ["old for 2026-11-20T12:00:00Z did not fire: it is older than 60 s"]


def test_one_schedule_that_is_refused_does_not_keep_the_others_from_firing() -> None:
    functions = Functions(refusals=1)
    ticker(functions, schedule("first", max_retries=0), schedule("second")).tick(NOON)
    assert [name for name, _ in functions.accepted] == ["second"]


# --- what is deployed ------------------------------------------------------------------------------------


def answer(**changes: Any) -> dict[str, Any]:
    """What GetSchedule answers."""
    return {
        "Name": "belay-dev-hourly",
        "Arn": "arn:aws:scheduler:us-east-1:000000000000:schedule/default/belay-dev-hourly",
        "ScheduleExpression": "cron(0 * * * ? *)",
        "ScheduleExpressionTimezone": "UTC",
        "CreationDate": CREATED.astimezone(timezone(timedelta(hours=2))),
        "Target": {
            "Arn": "arn:aws:lambda:us-east-1:000000000000:function:belay-dev-evaluator",
            "Input": '{"strategy": "x"}',
            "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
        },
        **changes,
    }


def test_a_schedule_is_read_with_its_retry_policy() -> None:
    read = parse_schedule(answer())
    assert (read.max_age, read.max_retries) == (MINUTE, 0)
    assert tick_of(read) == {"strategy": "x"}
    assert parse_schedule(answer(ScheduleExpression="rate(1 day)")).expression == Rate(
        DAY, CREATED.replace(microsecond=0)
    )


def test_a_schedule_without_a_retry_policy_or_input_has_the_services_own() -> None:
    read = parse_schedule(answer(Target={"Arn": "arn:aws:lambda:us-east-1:000000000000:function:x"}))
    assert (read.max_age, read.max_retries, read.payload) == (DAY, 185, "{}")
    assert tick_of(read) is None


UNSUPPORTED = {
    "another time zone": {"ScheduleExpressionTimezone": "Europe/Berlin"},
    "another kind of target": {"Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:queue"}},
    "another expression": {"ScheduleExpression": "at(2026-11-20T12:00:00)"},
}


@pytest.mark.parametrize("changes", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_schedule_that_cannot_be_followed_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="schedule belay-dev-hourly: "):
        parse_schedule(answer(**changes))


class Deployed:
    """CloudFormation and Scheduler of a stack with one queue and some schedules, whose template says these states."""

    def __init__(self, **states: object) -> None:
        self._states = states

    def get_template(self, **_: str) -> dict[str, Any]:
        resources = {name: {"Properties": {"State": state}} for name, state in self._states.items()}
        return {"TemplateBody": {"Resources": resources}}

    def describe_stack_resources(self, **_: str) -> dict[str, Any]:
        kinds = {"Queue": "AWS::SQS::Queue"} | dict.fromkeys(self._states, "AWS::Scheduler::Schedule")
        rows = [(name, f"belay-dev-{name.lower()}", kind) for name, kind in kinds.items()]
        names = ("LogicalResourceId", "PhysicalResourceId", "ResourceType")
        return {"StackResources": [dict(zip(names, row, strict=True)) for row in rows]}

    def get_schedule(self, Name: str) -> dict[str, Any]:  # noqa: N803
        return answer(Name=Name)


def test_the_stacks_schedules_are_read_without_those_that_its_template_disables() -> None:
    deployed = Deployed(Ema={"Ref": "ScheduleState"}, Paused="DISABLED")
    assert [read.name for read in read_schedules(deployed, deployed, "belay-local")] == ["belay-dev-ema"]


@pytest.mark.parametrize("state", ["ENABLED", None])
def test_a_schedule_that_the_emulator_would_fire_as_well_is_refused(state: str | None) -> None:
    deployed = Deployed(Ema=state)
    with pytest.raises(InvalidInput, match="schedule belay-dev-ema: the emulator would fire it, too"):
        read_schedules(deployed, deployed, "belay-local")
