"""What deployment tests do with a deployed stack: set up an account on a market of its own, invoke, wait, read.

Asserts nothing and decides nothing; each account has its own name, so tests do not disturb each other.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import boto3

from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.state import PaperOrder, Submission
from belay.adapters.paper.table import DynamoPaperStore
from belay.cli import operations
from belay.cli.desk import Desk, desk_over
from belay.cli.documents import example_document
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.market import Candle
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.record import iso
from belay.local.programs import REGION, ROOT
from belay.local.stack import CLIENT_CONFIG, STACK_NAME, Stack

STAGE, STRATEGY, SYMBOL, TIMEFRAME = "dev", "ema-cross-btc", "BTC/USD", "1h"
EVENTS = ROOT / "events"
HOUR = timedelta(hours=1)
WARM_UP, AFTERWARDS = 60, 6  # candles before the first and after the last cross
LIMIT = 100
DEADLINE_SECONDS = 60
POLL_SECONDS = 0.05
TRUST_ANYONE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)
DEAD_LETTERS = (
    "IntentsDeadLetterQueueUrl",
    "FollowUpsDeadLetterQueueUrl",
    "TicksDeadLetterQueueUrl",
    "EvaluatorFailuresQueueUrl",
    "ReconcilerFailuresQueueUrl",
)


# --- the market ------------------------------------------------------------------------------------


def market_crossing_at(*crosses: datetime) -> tuple[Candle, ...]:
    """Hourly candles that fall steadily, with one high close at each of these times (at least four hours apart).

    There, and only there, the fast average (5) crosses above the slow one (20); two candles later it is below again.
    """
    first = crosses[0] - WARM_UP * HOUR
    count = (crosses[-1] - first) // HOUR + AFTERWARDS
    closes = [Decimal(20_000 - 10 * number) for number in range(count)]
    for cross in crosses:
        closes[(cross - first) // HOUR - 1] += 1_000
    opens = [closes[0], *closes]
    return tuple(
        Candle(
            open_time=first + number * HOUR,
            open=opens[number],
            high=max(opens[number], close),
            low=min(opens[number], close),
            close=close,
            volume=Decimal(100),
        )
        for number, close in enumerate(closes)
    )


# --- events and invocations --------------------------------------------------------------------------


def sample(name: str) -> dict[str, Any]:
    """One of the files in events/, such as `executor/intent`."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def intent_event(order_id: str) -> dict[str, Any]:
    event = sample("executor/intent")
    event["Records"][0]["body"] = json.dumps({"order_id": order_id})
    return event


class FunctionFailed(Exception):
    """A function raised instead of answering."""


class Invocation(NamedTuple):
    """What a direct invocation answered and logged, and when the caller saw it begin and end."""

    answer: dict[str, Any]
    log: str
    began: float
    ended: float


def invoke(stack: Stack, output: str, event: object) -> Invocation:
    """Invoke the function whose name is the output, and wait. Raises FunctionFailed."""
    functions = _functions(stack)
    began = time.time()
    response = functions.invoke(FunctionName=stack.outputs[output], Payload=json.dumps(event).encode(), LogType="Tail")
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise FunctionFailed(f"{stack.outputs[output]}: {answer}")
    log = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")
    return Invocation(answer, log, began, time.time())


@cache
def _functions(stack: Stack) -> Any:
    """One client for all threads: making one takes longer than a warm invocation."""
    return stack.client("lambda")


def reconcile_all(stack: Stack) -> None:
    """What the schedule does each minute, and what it asks for: each account in an invocation of its own."""
    invoke(stack, "ReconcilerFunctionName", sample("reconciler/scheduled-run"))
    for account in open_desk(stack).ledger.accounts():
        invoke(stack, "ReconcilerFunctionName", {"account": account})


def at_the_same_time[T](count: int, action: Callable[[], T]) -> list[T]:
    """Run an action in as many threads, none of which starts before all of them can."""
    barrier = threading.Barrier(count)

    def run(_: int) -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds. Raises TimeoutError, which says what was waited for."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {DEADLINE_SECONDS} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def intents_held(stack: Stack) -> Iterator[None]:
    """Leave every intent in its queue meanwhile; afterwards wait until all of them were worked off."""
    functions = stack.client("lambda")
    executor = stack.outputs["ExecutorFunctionName"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=executor)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
        until(stack.queues_empty, "the queues are empty")


def dead_letters(stack: Stack) -> int:
    """Messages in all dead-letter queues and failure destinations."""
    return sum(stack.messages_in(output) for output in DEAD_LETTERS)


# --- roles -------------------------------------------------------------------------------------------


@contextmanager
def role_session(stack: Stack, role: str) -> Iterator[dict[str, str]]:
    """Credentials with exactly the policies of a deployed role, which itself trusts nobody but Lambda."""
    iam, formation = stack.client("iam"), stack.client("cloudformation")
    resource = formation.describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=role)
    deployed = resource["StackResourceDetail"]["PhysicalResourceId"]
    copy = f"test-{role}"
    created = iam.create_role(RoleName=copy, AssumeRolePolicyDocument=TRUST_ANYONE)
    names = iam.list_role_policies(RoleName=deployed)["PolicyNames"]
    for name in names:
        document = iam.get_role_policy(RoleName=deployed, PolicyName=name)["PolicyDocument"]
        iam.put_role_policy(RoleName=copy, PolicyName=name, PolicyDocument=json.dumps(document))
    try:
        given = stack.client("sts").assume_role(RoleArn=created["Role"]["Arn"], RoleSessionName="test")["Credentials"]
        yield {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }
    finally:
        for name in names:
            iam.delete_role_policy(RoleName=copy, PolicyName=name)
        iam.delete_role(RoleName=copy)


def client_as(stack: Stack, credentials: dict[str, str], service: str) -> Any:
    """A client of the emulator that may do what a role session may."""
    access: dict[str, Any] = {name.lower(): value for name, value in credentials.items()}
    session: Any = boto3.session.Session(**access, region_name=REGION)
    return session.client(service, endpoint_url=stack.endpoint, config=CLIENT_CONFIG)


# --- an account --------------------------------------------------------------------------------------


def open_desk(stack: Stack) -> Desk:
    return desk_over(STAGE, stack.outputs, stack.client)


def set_switch(desk: Desk, level: StopLevel) -> None:
    desk.switch.write(level, "a deployment test", "tests", datetime.now(UTC))


class ReplayedAccount:
    """A paper account on the deployed stack whose market and clock are the test's.

    `desk` reads the ledger; `books` are the venue's own records.
    """

    def __init__(self, stack: Stack, name: str) -> None:
        example = json.loads(example_document())
        del example["paper"]["exchange"]
        example["paper"]["replay"] = True
        self.name = name
        self.stack = stack
        self.desk = open_desk(stack)
        self.document = AccountDocument.parse(json.dumps(example | {"account": name}))
        self.books = DynamoPaperStore(stack.client("dynamodb"), stack.outputs["PaperVenueTableName"], name)

    def open(self, candles: Sequence[Candle], at: datetime) -> None:
        """Store document and candles, begin the replay at a time, and prove that the books agree."""
        operations.set_document(self.desk, self.document, "tests")
        load_candles(self.books, self.document, SYMBOL, TIMEFRAME, candles)
        self.move_clock(at)
        self.reconcile()

    def move_clock(self, at: datetime) -> None:
        set_replay_clock(self.books, self.document, at)

    def reconcile(self) -> dict[str, Any]:
        (result,) = invoke(self.stack, "ReconcilerFunctionName", {"account": self.name}).answer["results"]
        return dict(result)

    def tick(self, at: datetime) -> dict[str, Any]:
        """Send the tick that was scheduled for a time; returns the evaluator's answer."""
        event = sample("evaluator/tick") | {"account": self.name, "scheduled_time": iso(at)}
        return invoke(self.stack, "EvaluatorFunctionName", event).answer

    def settle(self) -> None:
        """Wait until no message is left anywhere and none of the account's orders is open."""
        until(self.stack.queues_empty, "the queues are empty")
        until(lambda: not self.desk.ledger.open_orders(self.name), f"no order of {self.name} is open")

    # --- what the ledger holds ---

    def orders(self) -> tuple[Order, ...]:
        return self.desk.ledger.orders(self.name, LIMIT)

    def proof(self) -> Proof | None:
        """The proof that the deployed functions would accept now."""
        configuration = self.desk.ledger.configuration(self.name)
        return self.desk.proof_of(configuration) if configuration else None

    # --- what the venue holds ---

    def submissions(self) -> tuple[Submission, ...]:
        """Every request that the venue ever received."""
        return self.books.submissions()

    def venue_orders(self) -> list[PaperOrder]:
        """Every order in the venue's books, open or closed."""
        state = self.books.state()
        asked = {submission.request.client_order_id for submission in self.submissions()}
        closed = [order for client_order_id in sorted(asked) for order in self.books.closed_orders(client_order_id)]
        return [*(state.orders.values() if state else ()), *closed]
