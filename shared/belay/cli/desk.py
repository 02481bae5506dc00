"""The operator's place: ledger and switch of one stage, on AWS or on the local stack. Opens them, no more."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from belay.adapters.aws.client import client_configuration
from belay.adapters.aws.kill_switch import SsmKillSwitch, SwitchValue
from belay.adapters.aws.ledger import DynamoLedger, Tables
from belay.adapters.aws.queue import SqsQueue
from belay.adapters.clock import SystemClock
from belay.adapters.paper.clock import ReplayClock
from belay.adapters.paper.table import DynamoPaperStore
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import BelayError
from belay.domain.orders import Order
from belay.domain.proofs import Proof, fingerprint
from belay.domain.surroundings import Subscription, Surroundings, SwitchView
from belay.ports import Clock, KillSwitch, Ledger

INVOCATION = Config(connect_timeout=5, read_timeout=90, retries={"total_max_attempts": 1})

type MakeClient = Callable[[str], Any]


class FunctionFailed(BelayError):
    """A function raised instead of answering."""


# Of this command, as it is installed.
VERSION = version("belay")


class Switch(KillSwitch, Protocol):
    """The operators' switch with the right to set it."""

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None: ...


def _out_of_reach(*_: object) -> Any:
    raise FunctionFailed("this cannot be reached from here")


@dataclass(frozen=True)
class Desk:
    """What a command is handed. `proof_of` finds the proof that the deployed functions would accept now; `publish`
    gives an order to the executor; `ask_reconciler` and `ask_executor` invoke the functions that have the venue's keys,
    each its own, and wait for the answer; `surroundings` are read with the operator's own rights.

    `stack_version` is what the stack says of itself; None where it does not yet: such a stack is an older one.
    `venue_time` is an account's clock, the market's on a replay account; `now` is the operator's own.
    """

    stage: str
    ledger: Ledger
    switch: Switch
    proof_of: Callable[[Configuration], Proof | None]
    venue_time: Callable[[AccountDocument], datetime]
    publish: Callable[[Order], None]
    ask_reconciler: Callable[[Mapping[str, Any]], dict[str, Any]]
    ask_executor: Callable[[Mapping[str, Any]], dict[str, Any]] = field(default=_out_of_reach, kw_only=True)
    surroundings: Callable[[], Surroundings] = field(default=_out_of_reach, kw_only=True)

    stack_version: str | None = field(default=VERSION, kw_only=True)

    @property
    def versions_differ(self) -> str:
        """What a person is told where command and stack are not of the same version; empty where they are."""
        if self.stack_version == VERSION:
            return ""
        stack = self.stack_version or "an older one that does not say which"
        remedy = "install the command of the stack's version, or deploy this one's"
        return f"this command is version {VERSION}, the stack is {stack}: {remedy}"

    def now(self) -> datetime:
        return datetime.now(UTC)


def desk_over(stage: str, outputs: Mapping[str, str], make_client: MakeClient) -> Desk:
    """The desk of the stack with these outputs."""
    dynamodb = make_client("dynamodb")
    ledger = DynamoLedger(dynamodb, tables_of(outputs))

    def proof_of(configuration: Configuration) -> Proof | None:
        name = fingerprint(configuration, outputs["LayerVersionArn"], ledger.table_id)
        return ledger.proof(configuration.document.account, name)

    def venue_time(document: AccountDocument) -> datetime:
        replayed = document.paper is not None and document.paper.replay
        store = DynamoPaperStore(dynamodb, outputs["PaperVenueTableName"], document.account)
        clock: Clock = ReplayClock(store) if replayed else SystemClock()
        return clock.now()

    switch = SsmKillSwitch(make_client("ssm"), outputs["KillSwitchParameterName"])
    queue = SqsQueue(make_client("sqs"), intents_url=outputs["IntentsQueueUrl"])
    return Desk(
        stage=stage,
        ledger=ledger,
        switch=switch,
        proof_of=proof_of,
        venue_time=venue_time,
        publish=queue.publish_intent,
        ask_reconciler=partial(_invoke, make_client, outputs, "ReconcilerFunctionName"),
        ask_executor=partial(_invoke, make_client, outputs, "ExecutorFunctionName"),
        surroundings=partial(_surroundings, make_client, outputs),
        stack_version=outputs.get("Version"),
    )


def tables_of(outputs: Mapping[str, str]) -> Tables:
    """The ledger's tables by the outputs of its stack."""
    return Tables(*(outputs[f"{name.capitalize()}TableName"] for name in Tables._fields))


def _surroundings(make_client: MakeClient, outputs: Mapping[str, str]) -> Surroundings:
    subscriptions, unseen = _subscriptions(make_client("sns"), outputs["IncidentsTopicArn"])
    switch, unread = _stored_switch(make_client("ssm"), outputs["KillSwitchParameterName"])
    return Surroundings(subscriptions=subscriptions, unseen=unseen, switch=switch, unread=unread)


def _subscriptions(client: Any, topic: str) -> tuple[tuple[Subscription, ...] | None, str]:
    """Who is told, or why that cannot be seen. What is not confirmed has no ARN yet."""
    try:
        pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [one for page in pages for one in page["Subscriptions"]]
    except (BotoCoreError, ClientError) as error:
        return None, _refusal(error)
    return tuple(
        Subscription(
            protocol=one["Protocol"],
            # An address on the web may end in a token.
            endpoint=urlsplit(one["Endpoint"]).hostname or one["Endpoint"],
            confirmed=one["SubscriptionArn"].startswith("arn:"),
        )
        for one in found
    ), ""


def _stored_switch(client: Any, name: str) -> tuple[SwitchView | None, str]:
    """The switch's parameter, or why there is none to read."""
    try:
        value = SwitchValue.model_validate_json(client.get_parameter(Name=name)["Parameter"]["Value"])
    except (BotoCoreError, ClientError) as error:
        return None, _refusal(error)
    except ValidationError:
        return None, "it is malformed"
    return SwitchView(level=value.level, reason=value.reason), ""


def _refusal(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _invoke(
    make_client: MakeClient, outputs: Mapping[str, str], output: str, event: Mapping[str, Any]
) -> dict[str, Any]:
    """What a function answers. It may run for as long as its timeout allows, and is asked once.

    Raises:
        FunctionFailed: it raised instead of answering.
    """
    function = outputs[output]
    response = make_client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    answer: dict[str, Any] = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise FunctionFailed(f"{function} failed: {answer.get('errorMessage', 'no message')}; see its log")
    return answer


def patience(service: str) -> Config:
    """An invocation lasts as long as its function; every other call is short."""
    return INVOCATION if service == "lambda" else client_configuration()
