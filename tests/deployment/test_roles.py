"""What each role may do, tried on the emulator, which enforces IAM: the table of SECURITY.md, word by word.

The run leaves the table in build/tests/roles.md; where it differs from SECURITY.md, one of them has to change.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from belay.adapters.aws.ledger import DynamoLedger, Tables
from belay.cli.desk import tables_of
from belay.domain.account import StopLevel, strictest
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.local.programs import ROOT
from belay.local.stack import Stack
from belay.workflows.integrity import examine
from tests.builders import make_decision, make_events, make_orders, make_slot
from tests.deployment.desk import (
    STRATEGY,
    SYMBOL,
    ReplayedAccount,
    client_as,
    intent_event,
    intents_held,
    invoke,
    market_crossing_at,
    role_session,
    until,
)

CROSS = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROLES = ("EvaluatorRole", "ExecutorRole", "ReconcilerRole")
KEYS = {"executor": "/belay/dev/executor/roles", "reconciler": "/belay/dev/reconciler/roles"}
BEGIN, END = "<!-- roles: begin -->\n", "<!-- roles: end -->\n"

type Clients = Callable[[str], Any]


@dataclass(frozen=True)
class Scene:
    """An account with one order that was filled, and everything that somebody could want to change of it."""

    account: ReplayedAccount
    order: Order

    @property
    def stack(self) -> Stack:
        return self.account.stack

    @property
    def tables(self) -> Tables:
        return tables_of(self.stack.outputs)

    @property
    def collection(self) -> str:
        return f"DECISION#{self.order.decision_id}"

    def item(self, table: str, pk: str, sk: str) -> dict[str, Any]:
        """An item as it is stored; one that is not there yet has a body that is no record."""
        found = self.stack.client("dynamodb").get_item(TableName=table, Key=key(pk, sk), ConsistentRead=True)
        return found.get("Item", {**key(pk, sk), "body": {"S": "{}"}})  # type: ignore[no-any-return]

    def keep(self, table: str, item: dict[str, Any]) -> None:
        self.stack.client("dynamodb").put_item(TableName=table, Item=item)

    @property
    def event(self) -> str:
        return f"ORDER#{self.order.order_id}#EVENT#000001"

    @property
    def fill(self) -> str:
        (fill, *_) = self.account.desk.ledger.fills(self.account.name, 9)
        return f"ORDER#{self.order.order_id}#FILL#{fill.key}"


def key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


@pytest.fixture(scope="module")
def scene(trading: Stack) -> Iterator[Scene]:
    account = ReplayedAccount(trading, "roles")
    account.open(market_crossing_at(CROSS, CROSS + timedelta(hours=4)), CROSS)
    account.tick(CROSS)
    account.settle()
    (order,) = account.orders()
    assert order.state is OrderState.FILLED
    for name in KEYS.values():
        value = json.dumps({"apiKey": "none", "secret": "none"})
        trading.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
    yield Scene(account, order)
    for name in KEYS.values():
        trading.client("ssm").delete_parameter(Name=name)


# --- what somebody could try -----------------------------------------------------------------------------------------

type Try = Callable[[Clients, Scene], object]


def putting(table: str, pk: Callable[[Scene], str], sk: Callable[[Scene], str]) -> Try:
    """Write an item over, altered in a way that changes its digest, and put it back as it was."""

    def attempt(clients: Clients, scene: Scene) -> str:
        name: str = getattr(scene.tables, table)
        before = scene.item(name, pk(scene), sk(scene))
        altered = {**before, "body": {"S": before["body"]["S"].replace("{", "{ ", 1)}}
        clients("dynamodb").put_item(TableName=name, Item=altered)
        shown = examine(scene.account.desk.ledger, scene.order).flaw
        scene.keep(name, before)
        return shown

    return attempt


def deleting(sk: Callable[[Scene], str]) -> Try:
    return lambda clients, scene: clients("dynamodb").delete_item(
        TableName=scene.tables.ledger, Key=key(scene.collection, sk(scene))
    )


def of_the_account(scene: Scene) -> str:
    return f"ACCOUNT#{scene.account.name}"


def of_the_decision(scene: Scene) -> str:
    return scene.collection


def forge(clients: Clients, scene: Scene) -> str:
    """An order that no decision names, in the collection of a real one."""
    forged = scene.order.model_copy(update={"order_id": "f" * 32, "version": 0, "state": OrderState.CREATED})
    sk = f"ORDER#{forged.order_id}"
    item = {**key(scene.collection, sk), "body": {"S": forged.model_dump_json()}, "version": {"N": "0"}}
    clients("dynamodb").put_item(TableName=scene.tables.ledger, Item=item)
    shown = examine(scene.account.desk.ledger, forged).flaw
    scene.stack.client("dynamodb").delete_item(TableName=scene.tables.ledger, Key=key(scene.collection, sk))
    return shown


def decide(clients: Clients, scene: Scene) -> None:
    item = {**key("DECISION#roles", "DECISION"), "body": {"S": "{}"}}
    clients("dynamodb").put_item(TableName=scene.tables.ledger, Item=item)
    scene.stack.client("dynamodb").delete_item(TableName=scene.tables.ledger, Key=key("DECISION#roles", "DECISION"))


def invoking(output: str) -> Try:
    return lambda clients, scene: clients("lambda").invoke(
        FunctionName=scene.stack.outputs[output], InvocationType="DryRun", Payload=b"{}"
    )


TRIES: dict[str, Try] = {
    "read the executor's API key": lambda c, _: c("ssm").get_parameter(Name=KEYS["executor"], WithDecryption=True),
    "read the reconciler's API key": lambda c, _: c("ssm").get_parameter(Name=KEYS["reconciler"], WithDecryption=True),
    "read the kill switch": lambda c, s: c("ssm").get_parameter(Name=s.stack.outputs["KillSwitchParameterName"]),
    "write the kill switch": lambda c, s: c("ssm").put_parameter(
        Name=s.stack.outputs["KillSwitchParameterName"], Value="{}", Type="String", Overwrite=True
    ),
    "change an account document": putting("configuration", of_the_account, lambda _: "CONFIG#CURRENT"),
    "drop an operator's stop": putting("configuration", of_the_account, lambda _: "STOPS"),
    "change an account's positions, reservations or incidents' stops": putting(
        "accounts", of_the_account, lambda _: "STATE"
    ),
    "store a proof": putting("accounts", of_the_account, lambda _: "PROOF#roles"),
    "open or resolve an incident": putting("accounts", of_the_account, lambda _: "INCIDENT#roles"),
    "change where an order's story ends": putting("accounts", of_the_account, lambda s: f"ANCHOR#{s.order.order_id}"),
    "store a decision": decide,
    "write over a decision": putting("ledger", of_the_decision, lambda _: "DECISION"),
    "write over an order": putting("ledger", of_the_decision, lambda s: f"ORDER#{s.order.order_id}"),
    "write over an event": putting("ledger", of_the_decision, lambda s: s.event),
    "write over a fill": putting("ledger", of_the_decision, lambda s: s.fill),
    "store an order that no decision names": forge,
    "delete an event": deleting(lambda s: s.event),
    "delete a fill": deleting(lambda s: s.fill),
    "read all of the ledger at once": lambda c, s: c("dynamodb").scan(TableName=s.tables.ledger, Limit=1),
    "publish an intent": lambda c, s: c("sqs").send_message(
        QueueUrl=s.stack.outputs["IntentsQueueUrl"],
        MessageBody="{}",
        MessageGroupId="roles",
        MessageDeduplicationId="roles",
    ),
    "take an intent out of its queue": lambda c, s: c("sqs").receive_message(
        QueueUrl=s.stack.outputs["IntentsQueueUrl"], VisibilityTimeout=0
    ),
    # Delayed past the end of this run, so that no reconciliation meets what the other attempts write over.
    "ask for an account's reconciliation (a follow-up)": lambda c, s: c("sqs").send_message(
        QueueUrl=s.stack.outputs["FollowUpsQueueUrl"],
        MessageBody=json.dumps({"account": s.account.name}),
        DelaySeconds=900,
    ),
    "take a follow-up out of its queue": lambda c, s: c("sqs").receive_message(
        QueueUrl=s.stack.outputs["FollowUpsQueueUrl"], VisibilityTimeout=0
    ),
    "tell on-call": lambda c, s: c("sns").publish(TopicArn=s.stack.outputs["IncidentsTopicArn"], Message="roles"),
    "trade at the paper venue": lambda c, s: c("dynamodb").put_item(
        TableName=s.stack.outputs["PaperVenueTableName"], Item=key("TEST#roles", "row")
    ),
    "invoke the evaluator": invoking("EvaluatorFunctionName"),
    "invoke the executor": invoking("ExecutorFunctionName"),
    "invoke the reconciler": invoking("ReconcilerFunctionName"),
}
NO, YES, SHOWS = "no", "yes", "yes, and it shows"
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}


def outcome(attempt: Try, clients: Clients, scene: Scene) -> str:
    try:
        shown = attempt(clients, scene)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED:
            return NO
        raise
    return SHOWS if isinstance(shown, str) and shown else YES


def table(rows: dict[str, list[str]]) -> str:
    head = ["| | evaluator (runs the strategies) | executor | reconciler |", "|---|---|---|---|"]
    return "".join(f"{line}\n" for line in (*head, *(f"| {what} | {' | '.join(row)} |" for what, row in rows.items())))


def test_security_md_says_what_each_role_may_do(scene: Scene) -> None:
    rows: dict[str, list[str]] = {what: [] for what in TRIES}
    with intents_held(scene.stack):
        for role in ROLES:
            with role_session(scene.stack, role) as credentials:
                clients = partial(client_as, scene.stack, credentials)
                for what, attempt in TRIES.items():
                    rows[what].append(outcome(attempt, clients, scene))
        for queue in 2 * ("IntentsQueueUrl", "FollowUpsQueueUrl"):
            scene.stack.client("sqs").purge_queue(QueueUrl=scene.stack.outputs[queue])
    made = table(rows)
    file = ROOT / "build/tests/roles.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made)
    assert examine(scene.account.desk.ledger, scene.order).flaw == ""
    text = (ROOT / "SECURITY.md").read_text()
    assert BEGIN in text
    assert text.split(BEGIN)[1].split(END)[0] == made, f"SECURITY.md and {file.relative_to(ROOT)} differ"


# --- what comes of what shows -------------------------------------------------------------------------------------


def test_an_order_record_that_was_forged_with_the_evaluators_rights_is_not_sent(trading: Stack) -> None:
    account = ReplayedAccount(trading, "roles-forged")
    account.open(market_crossing_at(CROSS, CROSS + timedelta(hours=4)), CROSS)
    stranger = make_decision(slot=make_slot(7, account=account.name, strategy=STRATEGY)).order_ids
    slot = make_slot(account=account.name, strategy=STRATEGY)
    record = make_decision(slot=slot, order_ids=stranger)
    orders = make_orders(record)
    with role_session(trading, "EvaluatorRole") as credentials:
        client = client_as(trading, credentials, "dynamodb")
        evaluator = DynamoLedger(client, tables_of(trading.outputs))
        evaluator.record_decision(record, orders, make_events(record, orders))
    answer = invoke(trading, "ExecutorFunctionName", intent_event(orders[0].order_id)).answer
    assert answer["results"][0]["result"] == "waiting"
    assert answer["results"][0]["detail"].startswith("records: ")
    assert account.submissions() == ()
    is_stopped(account, orders[0].order_id)


def test_an_order_that_was_written_over_while_it_is_open_stops_its_account(trading: Stack) -> None:
    account = ReplayedAccount(trading, "roles-open")
    account.open(market_crossing_at(CROSS, CROSS + timedelta(hours=4)), CROSS)
    with intents_held(trading):
        (order_id,) = account.tick(CROSS)["order_ids"]
        order = account.desk.ledger.order(order_id)
        assert order is not None
        table_name, pk, sk = tables_of(trading.outputs).ledger, f"DECISION#{order.decision_id}", f"ORDER#{order_id}"
        scene = Scene(account, order)
        item = scene.item(table_name, pk, sk)
        altered = order.model_copy(update={"notional": order.notional and order.notional * 2})
        with role_session(trading, "EvaluatorRole") as credentials:
            client_as(trading, credentials, "dynamodb").put_item(
                TableName=table_name, Item={**item, "body": {"S": altered.model_dump_json()}}
            )
        is_stopped(account, order_id)
    until(trading.queues_empty, "the queues are empty")
    assert account.submissions() == ()


def is_stopped(account: ReplayedAccount, order_id: str) -> None:
    """By the second look, ten seconds after the first."""
    ledger = account.desk.ledger
    for seconds in (0, 10):
        account.move_clock(CROSS + timedelta(seconds=seconds))
        assert not account.reconcile()["clean"]
    assert strictest(ledger.account(account.name).stops, STRATEGY, SYMBOL)[0] is StopLevel.HALTED
    told = {(incident.kind, incident.subject) for incident in ledger.incidents(account.name)}
    assert (IncidentKind.BROKEN_RECORD, order_id) in told
