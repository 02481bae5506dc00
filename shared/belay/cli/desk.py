"""The operator's place: ledger and switch of one stage, on AWS or on the local stack. Opens them, no more."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import boto3

from belay.adapters.aws import client_configuration
from belay.adapters.clock import SystemClock
from belay.adapters.dynamodb import DynamoLedger
from belay.adapters.paper_store import DynamoPaperStore
from belay.adapters.replay import ReplayClock
from belay.adapters.ssm import SsmKillSwitch
from belay.cli.stack import ADMIN, REGION, ROOT
from belay.domain.account import AccountDocument, Configuration, StopLevel
from belay.domain.errors import InvalidInput
from belay.domain.proofs import Proof, fingerprint
from belay.ports import Clock, KillSwitch, Ledger

LOCAL_STACK = ROOT / ".local/stack.json"

type MakeClient = Callable[[str], Any]


class Switch(KillSwitch, Protocol):
    """The operators' switch with the right to set it."""

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None: ...


@dataclass(frozen=True)
class Desk:
    """What a command is handed. `proof_of` finds the proof that the deployed functions would accept now.

    `venue_time` is an account's clock, the market's on a replay account; `now` is the operator's own.
    """

    stage: str
    ledger: Ledger
    switch: Switch
    proof_of: Callable[[Configuration], Proof | None]
    venue_time: Callable[[AccountDocument], datetime]

    def now(self) -> datetime:
        return datetime.now(UTC)


def open_desk(stage: str, local: bool) -> Desk:
    """Find the stage's resources in the outputs of its stack, named belay-<stage> on AWS.

    Raises:
        InvalidInput: no local stack is running.
        botocore.exceptions.ClientError: there is no such stack, or it may not be read.
    """
    outputs, make_client = _local_stack() if local else _aws_stack(stage)
    return desk_over(stage, outputs, make_client)


def desk_over(stage: str, outputs: Mapping[str, str], make_client: MakeClient) -> Desk:
    """The desk of the stack with these outputs."""
    dynamodb = make_client("dynamodb")
    ledger = DynamoLedger(dynamodb, outputs["LedgerTableName"])

    def proof_of(configuration: Configuration) -> Proof | None:
        name = fingerprint(configuration, outputs["LayerVersionArn"], ledger.table_id)
        return ledger.proof(configuration.document.account, name)

    def venue_time(document: AccountDocument) -> datetime:
        replayed = document.paper is not None and document.paper.replay
        store = DynamoPaperStore(dynamodb, outputs["PaperVenueTableName"], document.account)
        clock: Clock = ReplayClock(store) if replayed else SystemClock()
        return clock.now()

    switch = SsmKillSwitch(make_client("ssm"), outputs["KillSwitchParameterName"])
    return Desk(stage=stage, ledger=ledger, switch=switch, proof_of=proof_of, venue_time=venue_time)


def _aws_stack(stage: str) -> tuple[dict[str, str], MakeClient]:
    session: Any = boto3.session.Session()

    def make_client(service: str) -> Any:
        return session.client(service, config=client_configuration())

    (found,) = make_client("cloudformation").describe_stacks(StackName=f"belay-{stage}")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}, make_client


def _local_stack() -> tuple[dict[str, str], MakeClient]:
    try:
        found = json.loads(LOCAL_STACK.read_text())
    except FileNotFoundError:
        remedy = "Start `make demo`, or leave --local out to act on AWS."
        raise InvalidInput("--local", "no local stack is running", remedy) from None
    session: Any = boto3.session.Session(
        aws_access_key_id=ADMIN["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ADMIN["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )

    def make_client(service: str) -> Any:
        return session.client(service, endpoint_url=found["endpoint"], config=client_configuration())

    return found["outputs"], make_client


@contextmanager
def announced(endpoint: str, outputs: Mapping[str, str]) -> Iterator[None]:
    """Let `belay --local` find a running local stack, until it ends."""
    LOCAL_STACK.parent.mkdir(exist_ok=True)
    LOCAL_STACK.write_text(json.dumps({"endpoint": endpoint, "outputs": dict(outputs)}))
    try:
        yield
    finally:
        LOCAL_STACK.unlink(missing_ok=True)
