"""Which stack a command acts on: that of a stage on AWS, or the one that runs on this machine. Changes neither."""

import sys
from typing import Any

import boto3

from belay.cli.desk import Desk, MakeClient, desk_over, patience
from belay.domain.errors import InvalidInput
from belay.local.announcement import LOCAL_STACKS, announcement, local_clients


def open_desk(stage: str, local: bool) -> Desk:
    """Find the stage's resources in the outputs of its stack, named belay-<stage> on AWS.

    Raises:
        InvalidInput: no local stack is running.
        botocore.exceptions.ClientError: there is no such stack, or it may not be read.
    """
    outputs, make_client = _local_stack() if local else _aws_stack(stage)
    return desk_over(stage, outputs, make_client)


def _aws_stack(stage: str) -> tuple[dict[str, str], MakeClient]:
    session: Any = boto3.session.Session()

    def make_client(service: str) -> Any:
        return session.client(service, config=patience(service))

    (found,) = make_client("cloudformation").describe_stacks(StackName=f"belay-{stage}")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}, make_client


def _local_stack() -> tuple[dict[str, str], MakeClient]:
    running = {name: found for name, file in LOCAL_STACKS.items() if (found := announcement(file))}
    if not running:
        remedy = "Start `make up` or `make demo`, or leave --local out to act on AWS."
        raise InvalidInput("--local", "no local stack is running", remedy)
    (name, found), *others = running.items()
    for other, _ in others:
        print(f"belay: acting on the stack of `{name}`; that of `{other}` runs beside it", file=sys.stderr)
    return found["outputs"], local_clients(found)
