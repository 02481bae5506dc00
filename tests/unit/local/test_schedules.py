"""The schedules as read from a template: which are found, what each ticks, and how a mistake is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from belay.domain.errors import InvalidInput
from belay.local.schedules import read_schedules
from tests.scheduled import own_schedules

PROJECT = Path(__file__).parents[3] / "template.yaml"
TICK = {
    "scheduled_time": "<aws.scheduler.scheduled-time>",
    "account": "paper",
    "strategy": "dip-btc",
    "algorithm": "dip",
    "symbol": "BTC/USD",
    "timeframe": "1h",
    "parameters": {"notional": "100", "fee": "0.001", "slippage": "0.0005"},
}
EVENTS = """
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "belay-${Stage}"}}
  EvaluatorFunction:
    Type: AWS::Serverless::Function
    Properties:
      Role: !GetAtt Role.Arn
      Policies: [!Ref Shared, !If [IsProd, {Sid: !Ref Name}, !Ref "AWS::NoValue"]]
      Events:
"""


def written(folder: Path, *inputs: Any, **properties: Any) -> Path:
    """A template with one schedule for each input; text is written as it is, anything else as JSON."""
    template = folder / "template.yaml"
    text = EVENTS
    for number, given in enumerate(inputs):
        event = {"ScheduleExpression": "rate(1 hour)", "Input": given if isinstance(given, str) else json.dumps(given)}
        event = {name: value for name, value in {**event, **properties}.items() if value is not None}
        text += f"        Dip{number}: {{Type: ScheduleV2, Properties: {json.dumps(event)}}}\n"
    template.write_text(text)
    return template


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in TICK.items() if key != name}


def test_the_projects_own_strategies_are_found_in_the_order_of_the_template() -> None:
    schedules = own_schedules(PROJECT)
    assert [(schedule.name, schedule.strategy) for schedule in schedules] == [
        ("EmaCrossBtc", "ema-cross-btc"),
        ("RsiReversionBtc", "rsi-reversion-btc"),
    ]
    assert {schedule.expression for schedule in schedules} == {"cron(0 * * * ? *)"}


def test_an_event_is_the_tick_but_for_its_scheduled_time(tmp_path: Path) -> None:
    (schedule,) = read_schedules(written(tmp_path, TICK))
    assert schedule.event == without("scheduled_time")
    assert (schedule.name, schedule.expression, schedule.strategy) == ("Dip0", "rate(1 hour)", "dip-btc")


def test_what_is_no_schedule_of_the_evaluator_is_left_out(tmp_path: Path) -> None:
    template = written(tmp_path, TICK)
    template.write_text(
        template.read_text()
        + """
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}
  ReconcilerFunction:
    Type: AWS::Serverless::Function
    Properties: {Events: {Every: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), Input: "{}"}}}}
"""
    )
    assert [schedule.name for schedule in read_schedules(template)] == ["Dip0"]


def test_a_template_may_have_no_schedules(tmp_path: Path) -> None:
    template = written(tmp_path)
    template.write_text(template.read_text().replace("      Events:\n", "      Events: {}\n"))
    assert read_schedules(template) == ()


@pytest.mark.parametrize(
    ("given", "properties", "field"),
    [
        ("not JSON", {}, "template.yaml: Dip0.Input"),
        ([], {}, "template.yaml: Dip0.Input"),
        (TICK, {"Input": None}, "template.yaml: Dip0.Input"),
        (TICK, {"Input": {"a": 1}}, "template.yaml: Dip0.Input"),
        (without("scheduled_time"), {}, "template.yaml: Dip0.Input"),
        (without("symbol"), {}, "template.yaml: Dip0.Input: tick.symbol"),
        ({**TICK, "timeframe": "1w"}, {}, "template.yaml: Dip0.Input: tick.timeframe"),
        ({**TICK, "account": "${Account}"}, {}, "template.yaml: Dip0.Input: tick.account"),
        ({**TICK, "leverage": 3}, {}, "template.yaml: Dip0.Input: tick.leverage"),
        (TICK, {"ScheduleExpression": None}, "template.yaml: Dip0.ScheduleExpression"),
    ],
)
def test_a_mistake_in_a_schedule_is_named_by_its_field(
    tmp_path: Path, given: Any, properties: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_schedules(written(tmp_path, given, **properties))
    assert refused.value.field == field
    assert refused.value.remedy


NO_EVENTS = "Resources: {EvaluatorFunction: {Properties: {Events: [a]}}}"


@pytest.mark.parametrize("text", ["", "- a\n- list", "Resources: {}", NO_EVENTS, "a: [", "a: !!x y"])
def test_a_file_that_is_no_template_of_belay_is_one_clear_error(tmp_path: Path, text: str) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(text)
    with pytest.raises(InvalidInput, match=r"template\.yaml"):
        read_schedules(template)


def test_a_template_that_is_not_there_or_not_text_is_one_clear_error(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for template in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_schedules(template)
