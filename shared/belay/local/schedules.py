"""The strategies' schedules as template.yaml has them. Reads that file; deploys and changes nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from belay.domain.errors import InvalidInput
from belay.domain.record import iso
from belay.domain.slots import EPOCH, Tick

FUNCTION = "EvaluatorFunction"


class Schedule(NamedTuple):
    """One strategy instance: its event in the template, when it fires, and the tick that it sends.

    `event` is `belay.domain.slots.Tick` as the schedule's `Input` writes it, but for the scheduled time.
    """

    name: str
    expression: str
    event: dict[str, Any]

    @property
    def strategy(self) -> str:
        return str(self.event["strategy"])


def read_schedules(template: Path) -> tuple[Schedule, ...]:
    """Every `ScheduleV2` event of the evaluator, in the order of the template.

    Raises:
        InvalidInput: the file cannot be read, has no such function, or an event's `Input` is not a tick.
    """
    document = _document(template)
    try:
        events = document["Resources"][FUNCTION]["Properties"]["Events"]
        scheduled = {name: event["Properties"] for name, event in events.items() if event["Type"] == "ScheduleV2"}
        return tuple(_schedule(f"{template.name}: {name}", name, properties) for name, properties in scheduled.items())
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            template.name,
            f"has no events of {FUNCTION} as a SAM template has them ({type(error).__name__}: {error})",
            "Give the project's own template.yaml.",
        ) from None


def _schedule(where: str, name: str, properties: Mapping[str, Any]) -> Schedule:
    expression = properties.get("ScheduleExpression")
    if not isinstance(expression, str):
        raise InvalidInput(f"{where}.ScheduleExpression", "is missing", "Write it like cron(0 * * * ? *).")
    try:
        event = json.loads(properties.get("Input", ""))
    except (TypeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{where}.Input", f"is not JSON: {error}", "Give the tick as one JSON object.") from None
    if not isinstance(event, dict) or "scheduled_time" not in event:
        remedy = 'Begin it with {"scheduled_time": "<aws.scheduler.scheduled-time>", ...}.'
        raise InvalidInput(f"{where}.Input", "does not send its scheduled time", remedy)
    del event["scheduled_time"]
    try:
        Tick.parse({"scheduled_time": iso(EPOCH), **event})
    except InvalidInput as error:
        raise InvalidInput(f"{where}.Input: {error.field}", error.problem, error.remedy) from None
    return Schedule(name=name, expression=expression, event=event)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which CloudFormation's own tags (`!Sub`, `!Ref`, `!GetAtt` ...) are what they are applied to."""


def _untagged(loader: _Loader, _tag: str, node: yaml.Node) -> Any:
    match node:
        case yaml.MappingNode():
            return loader.construct_mapping(node, deep=True)
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
    raise TypeError(f"{node} is not YAML")


_Loader.add_multi_constructor("!", _untagged)


def _document(template: Path) -> Any:
    try:
        text = template.read_text()
        return yaml.load(text, _Loader)  # nosec B506 # noqa: S506 a SafeLoader with more tags
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(str(template), f"cannot be read: {reason}", "Run this in the project's folder.") from None
    except yaml.YAMLError as error:
        raise InvalidInput(str(template), f"is not YAML: {error}", "Correct the template.") from None
