"""Messages in every queue: they carry an id, keep their group, and a repetition is dropped unless it is meant."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Protocol

import boto3
import pytest

from belay.adapters.aws.queue import SqsQueue
from belay.adapters.memory.ports import InMemoryQueue
from belay.domain.errors import InvalidInput
from belay.domain.slots import Tick
from belay.ports import Queue
from tests.builders import ACCOUNT, make_order, make_tick
from tests.contract.conftest import aws_client


class Mailbox(Protocol):
    """A queue with a way to see what was sent: bodies, message groups, delays in seconds."""

    @property
    def queue(self) -> Queue: ...
    def intents(self) -> list[tuple[Any, str]]: ...
    def follow_ups(self) -> list[tuple[Any, int]]: ...


class InMemoryMailbox:
    def __init__(self) -> None:
        self.queue = InMemoryQueue()

    def intents(self) -> list[tuple[Any, str]]:
        return [(message.body, message.group) for message in self.queue.intents]

    def follow_ups(self) -> list[tuple[Any, int]]:
        return [(message.body, message.delay_seconds) for message in self.queue.follow_ups]


class Noting:
    """An SQS client that notes what is sent to one queue: a delayed message itself would come too late."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url
        self.noted: list[tuple[Any, int]] = []

    def send_message(self, **message: Any) -> None:
        self._client.send_message(**message)
        if message["QueueUrl"] == self._queue_url:
            self.noted.append((json.loads(message["MessageBody"]), message["DelaySeconds"]))


class SqsMailbox:
    """Real queues of moto."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._intents = client.create_queue(QueueName="intents.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        follow_ups = client.create_queue(QueueName="follow-ups")["QueueUrl"]
        self._follow_ups = Noting(client, follow_ups)
        sender: Any = self._follow_ups
        self.queue = SqsQueue(sender, intents_url=self._intents, follow_ups_url=follow_ups)

    def intents(self) -> list[tuple[Any, str]]:
        received: list[tuple[Any, str]] = []
        while messages := self._receive():
            for message in messages:
                received.append((json.loads(message["Body"]), message["Attributes"]["MessageGroupId"]))
                self._client.delete_message(QueueUrl=self._intents, ReceiptHandle=message["ReceiptHandle"])
        return received

    def _receive(self) -> list[Any]:
        answer = self._client.receive_message(QueueUrl=self._intents, AttributeNames=["All"], MaxNumberOfMessages=10)
        return list(answer.get("Messages", []))

    def follow_ups(self) -> list[tuple[Any, int]]:
        return self._follow_ups.noted


@pytest.fixture(params=["memory", "sqs"])
def mailbox(request: pytest.FixtureRequest) -> Mailbox:
    if request.param == "memory":
        return InMemoryMailbox()
    request.getfixturevalue("aws")
    return SqsMailbox(aws_client("sqs"))


def test_an_intent_carries_the_order_id_and_nothing_to_act_on(mailbox: Mailbox) -> None:
    order = make_order()
    mailbox.queue.publish_intent(order)
    assert mailbox.intents() == [({"order_id": order.order_id}, "paper:BTC-USD")]


def test_exits_travel_in_a_group_of_their_own(mailbox: Mailbox) -> None:
    order = make_order(reducing=True)
    mailbox.queue.publish_intent(order)
    assert mailbox.intents() == [({"order_id": order.order_id}, "paper:BTC-USD:exit")]


def test_an_intent_that_is_published_again_is_dropped(mailbox: Mailbox) -> None:
    for _ in range(3):
        mailbox.queue.publish_intent(make_order())
    assert len(mailbox.intents()) == 1


def test_an_intent_that_counts_another_publication_is_delivered_again(mailbox: Mailbox) -> None:
    for publications in (0, 1, 1, 2):
        mailbox.queue.publish_intent(make_order(publications=publications))
    assert len(mailbox.intents()) == 3


def test_a_follow_up_carries_the_account_and_its_delay(mailbox: Mailbox) -> None:
    mailbox.queue.follow_up(ACCOUNT, 5)
    mailbox.queue.follow_up(ACCOUNT, 0)
    assert mailbox.follow_ups() == [({"account": ACCOUNT}, 5), ({"account": ACCOUNT}, 0)]


@pytest.mark.parametrize(("asked", "granted"), [(86_400, 900), (-1, 0)])
def test_a_follow_up_waits_between_nothing_and_a_quarter_of_an_hour(mailbox: Mailbox, asked: int, granted: int) -> None:
    mailbox.queue.follow_up(ACCOUNT, asked)
    assert mailbox.follow_ups() == [({"account": ACCOUNT}, granted)]


# --- ticks: SQS has no part in them ---------------------------------------------------------------


def test_a_tick_in_memory_is_kept_for_the_evaluator() -> None:
    queue = InMemoryQueue()
    queue.tick(make_tick())
    assert queue.ticks == [make_tick()]


@contextmanager
def lambda_service() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A Lambda service on this machine that accepts invocations: its address, and path, type, event of each."""
    invocations: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            invocations.append((self.path, self.headers["X-Amz-Invocation-Type"], event))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Keep the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", invocations
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_tick_invokes_the_evaluator_without_waiting_for_it() -> None:
    with lambda_service() as (address, invocations):
        functions: Any = boto3.client(
            "lambda",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        SqsQueue(aws_client("sqs"), functions, evaluator="belay-dev-evaluator").tick(make_tick())
        functions.close()
    ((path, kind, event),) = invocations
    assert path.endswith("/functions/belay-dev-evaluator/invocations")
    assert kind == "Event"
    assert Tick.parse(event) == make_tick()


def test_a_destination_that_a_function_was_not_given_is_named() -> None:
    queue = SqsQueue(aws_client("sqs"))
    with pytest.raises(InvalidInput, match="INTENTS_QUEUE_URL"):
        queue.publish_intent(make_order())
    with pytest.raises(InvalidInput, match="FOLLOW_UPS_QUEUE_URL"):
        queue.follow_up(ACCOUNT, 5)
    with pytest.raises(InvalidInput, match="EVALUATOR_FUNCTION_NAME"):
        queue.tick(make_tick())
