"""Stands in for EventBridge Scheduler on the local stack: fires its schedules, with their attributes substituted.

The emulator delivers `<aws.scheduler.scheduled-time>` as it stands, so the stack is deployed with its schedules
disabled, and this does what the service would: each schedule at its time, by an asynchronous invocation. Time comes in
as an argument. Like the service it gives up a firing that is older than its `MaximumEventAgeInSeconds` or was refused
too often; unlike it, it sends none of these to a dead-letter queue. After a pause, such as a laptop's sleep, a schedule
fires for the last time that it missed, and only while that is not older than this age: what else was missed is the
reconciler's, which asks for fresh slots again and opens an incident for the others.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from cronsim import CronSim, CronSimError

from belay.domain.errors import InvalidInput

UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
CRON = re.compile(r"cron\(([^()]+)\)")
YEARS = re.compile(r"(\d{4})(?:-(\d{4}))?")
# A number that names a day of the week: not the n-th of a month, nor a step.
DAY_NUMBER = re.compile(r"(?<![#/\d])\d+")
# What the service does where a schedule says nothing.
MAX_AGE, MAX_RETRIES = timedelta(days=1), 185
SCHEDULE_TYPE = "AWS::Scheduler::Schedule"
SWITCHED_BY_PARAMETER = {"Ref": "ScheduleState"}

type Say = Callable[[str], None]
# Hands a JSON payload to the function with this ARN, without waiting for what it does.
type Deliver = Callable[[str, str], None]


class Expression(Protocol):
    """When a schedule fires."""

    def last(self, since: datetime, until: datetime) -> datetime | None:
        """The last time with since < time <= until."""


@dataclass(frozen=True)
class Rate:
    """`rate(5 minutes)`: every so long, counted from when the schedule was created."""

    interval: timedelta
    start: datetime

    def last(self, since: datetime, until: datetime) -> datetime | None:
        found = self.start + (until - self.start) // self.interval * self.interval
        return found if found > max(since, self.start) else None


@dataclass(frozen=True)
class Cron:
    """`cron(0 * * * ? *)` in UTC: `fields` in plain cron's form, `years` as pairs of first and last, none for all."""

    fields: str
    years: tuple[tuple[int, int], ...] = ()

    def last(self, since: datetime, until: datetime) -> datetime | None:
        # Strictly before a moment that is just past `until`.
        for found in CronSim(self.fields, until.replace(microsecond=0) + timedelta(seconds=1), reverse=True):
            if found <= since:
                return None
            if not self.years or any(first <= found.year <= last for first, last in self.years):
                return found
        return None


@dataclass(frozen=True)
class Schedule:
    """A deployed schedule. `function` is its target's ARN, `payload` its Input, attributes not yet substituted."""

    name: str
    arn: str
    expression: Expression
    function: str
    payload: str
    description: str = ""
    max_age: timedelta = MAX_AGE
    max_retries: int = MAX_RETRIES


class Firing(NamedTuple):
    """One schedule at one time; attempts count from 1."""

    schedule: Schedule
    at: datetime
    attempt: int = 1

    def event(self, execution_id: str) -> str:
        """The payload as the service delivers it."""
        values = {
            "scheduled-time": f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            "schedule-arn": self.schedule.arn,
            "execution-id": execution_id,
            "attempt-number": str(self.attempt),
        }
        payload = self.schedule.payload
        for name, value in values.items():
            payload = payload.replace(f"<aws.scheduler.{name}>", value)
        return payload


def due(schedules: Iterable[Schedule], since: datetime, until: datetime) -> tuple[Firing, ...]:
    """What is to fire for since < time <= until, in time order: each schedule at most once, for its last time."""
    times = ((schedule, schedule.expression.last(since, until)) for schedule in schedules)
    return tuple(sorted((Firing(schedule, at) for schedule, at in times if at), key=lambda firing: firing.at))


class Ticker:
    """Fires schedules from `since` on, whenever it is told how late it is.

    Args:
        deliver: raises whatever keeps a firing from being accepted; it is then tried again.
        say: receives what a person may want to know.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        since: datetime,
        deliver: Deliver,
        say: Say,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._schedules = schedules
        self._since = since
        self._deliver = deliver
        self._say = say
        self._new_id = new_id
        self._waiting: tuple[Firing, ...] = ()

    def tick(self, now: datetime) -> None:
        """Fire what became due since the last call, and again what could not be delivered then."""
        firings = (*self._waiting, *due(self._schedules, self._since, now))
        self._since = max(now, self._since)
        tried = [self._fire(firing, now) for firing in firings]
        self._waiting = tuple(firing for firing in tried if firing)

    def _fire(self, firing: Firing, now: datetime) -> Firing | None:
        """Returns the attempt that is to follow, if any."""
        schedule, name = firing.schedule, f"{firing.schedule.name} for {firing.at:%Y-%m-%dT%H:%M:%SZ}"
        if now - firing.at > schedule.max_age:
            self._say(f"{name} did not fire: it is older than {schedule.max_age.total_seconds():.0f} s")
            return None
        try:
            self._deliver(schedule.function, firing.event(self._new_id()))
        except Exception as error:  # whatever it was: the other schedules go on
            self._say(f"{name}, attempt {firing.attempt}, was not accepted: {error}")
            return firing._replace(attempt=firing.attempt + 1) if firing.attempt <= schedule.max_retries else None
        return None


# --- what is deployed ----------------------------------------------------------------------------------------------


def read_schedules(formation: Any, scheduler: Any, stack_name: str) -> tuple[Schedule, ...]:
    """The schedules of a deployed stack, without those that its template itself disables.

    Args:
        formation, scheduler: boto3 clients of the emulator.

    Raises:
        InvalidInput: a schedule that the emulator would fire as well, or one that only the service can fire.
    """
    template = formation.get_template(StackName=stack_name, TemplateStage="Processed")["TemplateBody"]
    resources = formation.describe_stack_resources(StackName=stack_name)["StackResources"]
    found = []
    for resource in resources:
        if resource["ResourceType"] != SCHEDULE_TYPE:
            continue
        name = resource["PhysicalResourceId"]
        state = template["Resources"][resource["LogicalResourceId"]]["Properties"].get("State")
        if state not in ("DISABLED", SWITCHED_BY_PARAMETER):
            remedy = "Write `State: !Ref ScheduleState` in template.yaml."
            raise InvalidInput(f"schedule {name}", "the emulator would fire it, too", remedy)
        if state != "DISABLED":
            found.append(parse_schedule(scheduler.get_schedule(Name=name)))
    return tuple(found)


def parse_schedule(answer: dict[str, Any]) -> Schedule:
    """A schedule as `GetSchedule` describes it.

    Raises:
        InvalidInput: an expression, a time zone or a target that is not supported here; names the schedule.
    """
    where, target = f"schedule {answer['Name']}", answer["Target"]
    if answer.get("ScheduleExpressionTimezone", "UTC") != "UTC":
        remedy = "Use UTC: local times are skipped or repeated when the clocks change."
        raise InvalidInput(where, f"its time zone is {answer['ScheduleExpressionTimezone']}", remedy)
    if ":lambda:" not in target["Arn"]:
        raise InvalidInput(where, f"its target {target['Arn']} is no function", "Give it a function as its target.")
    retry = target.get("RetryPolicy", {})
    age = retry.get("MaximumEventAgeInSeconds")
    return Schedule(
        name=answer["Name"],
        arn=answer["Arn"],
        expression=parse_expression(where, answer["ScheduleExpression"], answer["CreationDate"].astimezone(UTC)),
        function=target["Arn"],
        payload=target.get("Input", "{}"),
        description=answer.get("Description", ""),
        max_age=MAX_AGE if age is None else timedelta(seconds=age),
        max_retries=retry.get("MaximumRetryAttempts", MAX_RETRIES),
    )


def parse_expression(where: str, text: str, created_at: datetime) -> Expression:
    """Read a schedule expression, `cron(...)` or `rate(...)`.

    Raises:
        InvalidInput: neither of them, or not well-formed.
    """
    if (rate := RATE.fullmatch(text)) and int(rate[1]):
        return Rate(int(rate[1]) * UNITS[rate[2]], created_at.replace(microsecond=0))
    if cron := CRON.fullmatch(text):
        try:
            return _cron(cron[1].split())
        except (CronSimError, ValueError) as error:
            raise InvalidInput(where, f"{text}: {error}", "Correct its ScheduleExpression.") from None
    raise InvalidInput(where, f"{text} is neither rate(...) nor cron(...)", "Use one of these.")


def _cron(fields: list[str]) -> Cron:
    """AWS counts days of the week from Sunday = 1 and adds a year; plain cron counts from 0 and knows no `?`."""
    minute, hour, day, month, weekday, year = fields if len(fields) == 6 else [""] * 6
    if (day == "?") == (weekday == "?"):
        raise ValueError("wants six fields, with ? for the day of the month or for the day of the week")
    plain = [minute, hour, "*" if day == "?" else day, month]
    plain.append("*" if weekday == "?" else DAY_NUMBER.sub(_from_sunday, weekday))
    CronSim(" ".join(plain), datetime(2000, 1, 1, tzinfo=UTC))  # raises where a field is wrong
    return Cron(" ".join(plain), () if year == "*" else tuple(_years(part) for part in year.split(",")))


def _from_sunday(number: re.Match[str]) -> str:
    if not 1 <= int(number[0]) <= 7:
        raise ValueError(f"{number[0]} is no day of the week from 1 (Sunday) to 7")
    return str(int(number[0]) - 1)


def _years(text: str) -> tuple[int, int]:
    found = YEARS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is neither a year nor a range of years")
    return int(found[1]), int(found[2] or found[1])


def tick_of(schedule: Schedule) -> dict[str, Any] | None:
    """The strategy's tick that a schedule sends, without its time; None for one that ticks no strategy."""
    try:
        event = json.loads(schedule.payload)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "strategy" in event else None
