"""The operators' switch as one SSM parameter, made outside the stack. What cannot be read is halted."""

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import field_validator

from belay.domain.account import StopLevel
from belay.domain.record import Record, Utc
from belay.ports import SwitchReading

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


class SwitchValue(Record):
    """The parameter's JSON value: the level, why, who set it and when."""

    level: StopLevel
    reason: str
    author: str
    at: Utc

    @field_validator("level")
    @classmethod
    def _is_known(cls, level: StopLevel) -> StopLevel:
        if not level.known:
            raise ValueError("is not a level")
        return level


def read_switch(text: str) -> SwitchReading:
    """Read the parameter's text; anything but a well-formed value is halted."""
    try:
        value = SwitchValue.model_validate_json(text)
    except ValueError:
        return SwitchReading(level=StopLevel.HALTED, reason="the kill switch is malformed; set it again")
    return SwitchReading(level=value.level, reason=value.reason)


class SsmKillSwitch:
    """The switch in parameter `parameter_name`, such as /belay/prod/kill-switch."""

    def __init__(self, client: "SSMClient", parameter_name: str) -> None:
        self._client = client
        self._name = parameter_name

    def read(self) -> SwitchReading:
        """Ask SSM now; nothing is cached between two reads."""
        try:
            text = self._client.get_parameter(Name=self._name)["Parameter"]["Value"]
        except self._client.exceptions.ParameterNotFound:
            reason = f"the kill switch {self._name} does not exist; release it to create it"
            return SwitchReading(level=StopLevel.HALTED, reason=reason)
        except Exception as error:  # no failure to read may look like permission to trade
            reason = f"the kill switch {self._name} cannot be read: {type(error).__name__}"
            return SwitchReading(level=StopLevel.HALTED, reason=reason)
        return read_switch(text)

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None:
        """Set the switch, creating the parameter where it is missing.

        Raises:
            botocore.exceptions.ClientError: SSM refused; the switch is as it was.
        """
        value = SwitchValue(level=level, reason=reason, author=author, at=at)
        self._client.put_parameter(Name=self._name, Value=value.model_dump_json(), Type="String", Overwrite=True)
