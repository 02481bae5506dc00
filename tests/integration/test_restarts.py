"""The worker process dies at the worst moments and another one takes over, on the real adapters and a mocked AWS.

Each worker is a Python process of its own (`worker.py`) with its own clients; only AWS lives on in the test's process.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws

from belay.adapters.aws.kill_switch import SsmKillSwitch
from belay.adapters.aws.ledger import DynamoLedger
from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.state import ACCEPTED
from belay.adapters.paper.table import DynamoPaperStore
from belay.bootstrap import evaluator_services, reconciler_services
from belay.domain.account import StopLevel
from belay.domain.decisions import Trade
from belay.domain.orders import Order, OrderState
from belay.workflows.evaluate import evaluate
from belay.workflows.reconcile import reconcile
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy, make_configuration, make_document, make_tick
from tests.contract.conftest import TABLES, make_paper_table, make_tables
from tests.integration.worker import DIED
from tests.world import COSTS, Scripted, flat_candles

ROOT = Path(__file__).parents[2]
REGION = "eu-west-1"
SWITCH = "/belay/dev/kill-switch"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
S = OrderState


# --- an AWS that outlives the workers --------------------------------------------------------------------------------


class MockedAws(BaseHTTPRequestHandler):
    """Passes the requests of other processes on to the mock in this one, one at a time, as each is atomic."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lock = Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service = re.search(r"Credential=[^/]+/\d+/[^/]+/(\w+)/", self.headers["Authorization"])
        assert service is not None, self.headers
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        with self.lock:
            answer = requests.post(
                f"https://{service[1]}.{REGION}.amazonaws.com{self.path}", data=body, headers=headers, timeout=10
            )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""


class Deployment:
    """The stack's resources, one paper account in replay, and workers that are started for one invocation each."""

    def __init__(self, endpoint: str, volume: str) -> None:
        dynamodb, sqs, ssm, sns = (boto3.client(name) for name in ("dynamodb", "sqs", "ssm", "sns"))
        make_tables(dynamodb)
        make_paper_table(dynamodb, "paper")
        fifo = {"FifoQueue": "true"}
        self._sqs = sqs
        self._intents = sqs.create_queue(QueueName="intents.fifo", Attributes=fifo)["QueueUrl"]
        self.environment = {
            "STAGE": "dev",
            "LAYER_VERSION": "layer:1",
            **{f"{name.upper()}_TABLE_NAME": table for name, table in TABLES._asdict().items()},
            "PAPER_TABLE_NAME": "paper",
            "INTENTS_QUEUE_URL": self._intents,
            "FOLLOW_UPS_QUEUE_URL": sqs.create_queue(QueueName="follow-ups")["QueueUrl"],
            "FOLLOW_UP_SECONDS": "5",
            "KILL_SWITCH_PARAMETER": SWITCH,
            "INCIDENTS_TOPIC_ARN": sns.create_topic(Name="incidents")["TopicArn"],
            "EVALUATOR_FUNCTION_NAME": "evaluator",
        }
        self._process = {
            **CREDENTIALS,
            **self.environment,
            "AWS_ENDPOINT_URL": endpoint,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "shared"),
        }
        self.ledger = DynamoLedger(dynamodb, TABLES)
        self.store = DynamoPaperStore(dynamodb, "paper", ACCOUNT)
        self.document = make_document()
        self.ledger.store_configuration(make_configuration())
        SsmKillSwitch(ssm, SWITCH).write(StopLevel.RUNNING, "as told", "operator", NOW)
        load_candles(self.store, self.document, SYMBOL, "1h", flat_candles(volume))
        self.at(NOW)

    def at(self, moment: Any) -> None:
        set_replay_clock(self.store, self.document, moment)

    def intent(self) -> Order:
        """The gate is open, the evaluator has decided to buy, and the message waits."""
        assert reconcile(ACCOUNT, reconciler_services(self.environment)).clean
        strategy: Any = Scripted()
        strategy.says = Trade(legs=(make_buy(),))
        tick = make_tick(parameters=COSTS)
        record = evaluate(tick, evaluator_services(self.environment), lambda _algorithm: strategy)
        (order_id,) = record.order_ids
        return self.order(order_id or "")

    def order(self, order_id: str) -> Order:
        order = self.ledger.order(order_id)
        assert order is not None
        return order

    def executor(self, *dying: str) -> dict[str, Any]:
        """A new process receives the message; only one that returns lets it be deleted."""
        received = self._sqs.receive_message(QueueUrl=self._intents, VisibilityTimeout=0)["Messages"]
        result = self._worker("executor", json.loads(received[0]["Body"])["order_id"], *dying)
        if not dying:
            self._sqs.delete_message(QueueUrl=self._intents, ReceiptHandle=received[0]["ReceiptHandle"])
        return result

    def reconciler(self, *dying: str) -> dict[str, Any]:
        return self._worker("reconciler", ACCOUNT, *dying)

    def _worker(self, *arguments: str) -> dict[str, Any]:
        dying = len(arguments) > 2
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.worker", *arguments],
            cwd=ROOT,
            env=self._process,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == (DIED if dying else 0), done.stderr
        return {} if dying else json.loads(done.stdout.splitlines()[-1])  # what is logged comes before

    def venue_orders(self) -> list[str]:
        """The order ids in the venue's own audit of what it accepted."""
        return [s.request.client_order_id for s in self.store.submissions() if s.code == ACCEPTED]

    def assert_sound(self, order: Order, quantity: str) -> None:
        """Books and venue agree, nothing is held or open any longer."""
        account = self.ledger.account(ACCOUNT)
        assert self.order(order.order_id).settled
        assert account.reservations == {}
        assert account.position(order.strategy, SYMBOL).quantity == Decimal(quantity)
        state = self.store.state()
        balances = state.balances if state else {"USD": Decimal(10_000), "BTC": Decimal(0)}
        assert account.expected_balances() == balances
        trades = self.store.trades(SYMBOL, NOW, NOW + timedelta(days=1)).trades
        assert sorted(fill.key for fill in self.ledger.fills(ACCOUNT, 100)) == sorted(t.key for t in trades)
        assert [incident for incident in self.ledger.incidents(ACCOUNT) if incident.status == "open"] == []


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws(), ThreadingHTTPServer(("127.0.0.1", 0), MockedAws) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# --- the three stops -------------------------------------------------------------------------------------------------


def test_stopped_after_the_claim_and_before_sending(endpoint: str) -> None:
    """Nothing left the machine, nobody can know: after the fence the absence is proven, and nothing is sent."""
    stack = Deployment(endpoint, volume="100")
    order = stack.intent()
    stack.executor("before", "venue.submit")
    assert stack.order(order.order_id).state is S.SUBMITTED
    assert stack.executor()["result"] == "unresolved"
    stack.at(NOW + timedelta(seconds=15))
    stack.reconciler()
    stack.at(NOW + timedelta(seconds=20))
    stack.reconciler()
    assert stack.order(order.order_id).state is S.NOT_SENT
    assert stack.store.submissions() == ()
    stack.assert_sound(order, "0")


def test_stopped_after_sending_and_before_storing_the_answer(endpoint: str) -> None:
    """The order exists and the ledger does not know it: the next process looks it up, and sends nothing."""
    stack = Deployment(endpoint, volume="100")
    order = stack.intent()
    stack.executor("after", "venue.submit")
    assert stack.order(order.order_id).state is S.SUBMITTED
    assert stack.venue_orders() == [order.order_id]
    assert stack.executor()["result"] == "resolved"
    assert stack.order(order.order_id).state is S.FILLED
    stack.at(NOW + timedelta(seconds=15))
    assert stack.reconciler()["clean"]
    assert stack.venue_orders() == [order.order_id]
    stack.assert_sound(order, "0.1")


def test_stopped_after_a_partial_fill_and_before_processing_it(endpoint: str) -> None:
    """Half of the order has filled and the process dies over it: the fill counts once, and so does the rest."""
    stack = Deployment(endpoint, volume="0.5")
    order = stack.intent()
    stack.executor()
    assert stack.order(order.order_id).state is S.PARTIALLY_FILLED
    stack.at(NOW + timedelta(seconds=15))
    stack.reconciler("before", "ledger.commit")
    assert stack.order(order.order_id).filled_quantity == 0
    assert stack.reconciler()["clean"]
    assert stack.order(order.order_id).filled_quantity == Decimal("0.05")
    stack.at(NOW + timedelta(hours=1))
    assert stack.reconciler()["clean"]
    assert stack.order(order.order_id).state is S.FILLED
    assert stack.venue_orders() == [order.order_id]
    stack.assert_sound(order, "0.1")
