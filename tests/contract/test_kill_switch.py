"""The operators' switch: read fresh each time, and halted whenever it cannot be read."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from belay.adapters.aws.kill_switch import SsmKillSwitch
from belay.adapters.memory.ports import InMemoryKillSwitch
from belay.domain.account import StopLevel
from tests.builders import NOW
from tests.contract.conftest import aws_client

NAME = "/belay/dev/kill-switch"
Switch = SsmKillSwitch | InMemoryKillSwitch
Overwrite = Callable[[str], None]


@pytest.fixture(params=["memory", "ssm"])
def switch(request: pytest.FixtureRequest) -> tuple[Switch, Overwrite]:
    """A switch that was never written, and a way to put any text into it."""
    if request.param == "memory":
        in_memory = InMemoryKillSwitch()
        return in_memory, lambda text: setattr(in_memory, "text", text)
    request.getfixturevalue("aws")
    client = aws_client("ssm")
    return SsmKillSwitch(client, NAME), lambda text: client.put_parameter(
        Name=NAME, Value=text, Type="String", Overwrite=True
    )


def test_a_switch_that_was_never_written_is_halted(switch: tuple[Switch, Overwrite]) -> None:
    reading = switch[0].read()
    assert reading.level is StopLevel.HALTED
    assert "does not exist" in reading.reason


@pytest.mark.parametrize("level", list(StopLevel))
def test_a_written_level_is_read_back_with_its_reason(switch: tuple[Switch, Overwrite], level: StopLevel) -> None:
    switch[0].write(level, "maintenance", "operator", NOW)
    reading = switch[0].read()
    assert (reading.level, reading.reason) == (level, "maintenance")


def test_every_reading_is_fresh(switch: tuple[Switch, Overwrite]) -> None:
    switch[0].write(StopLevel.RUNNING, "ready", "operator", NOW)
    assert switch[0].read().level is StopLevel.RUNNING
    switch[0].write(StopLevel.HALTED, "stop", "operator", NOW)
    assert switch[0].read().level is StopLevel.HALTED


@pytest.mark.parametrize(
    "text",
    [
        "running",
        "{}",
        "null",
        '"running"',
        '{"level": "running"}',
        '{"level": "go", "reason": "", "author": "x", "at": "2024-03-01T12:00:00Z"}',
        '{"level": "running", "reason": "", "author": "x", "at": "2024-03-01T12:00:00"}',
        '{"level": "running", "reason": "", "author": "x", "at": "2024-03-01T12:00:00Z", "more": 1}',
        '{"level": "running", "reason": "", "author": "x", "at": "2024-03-01T12:00:00Z"',
    ],
)
def test_a_malformed_switch_is_halted(switch: tuple[Switch, Overwrite], text: str) -> None:
    switch[1](text)
    reading = switch[0].read()
    assert reading.level is StopLevel.HALTED
    assert "malformed" in reading.reason


def test_a_switch_that_cannot_be_reached_is_halted() -> None:
    client: Any = boto3.client(
        "ssm",
        endpoint_url="http://127.0.0.1:1",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
    )
    reading = SsmKillSwitch(client, NAME).read()
    assert reading.level is StopLevel.HALTED
    assert "cannot be read" in reading.reason
