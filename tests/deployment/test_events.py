"""Every sample in events/ through the vendor's runtime emulator, against the built functions on the deployed stack.

A file that is added there runs here by itself, last; give it a place in `STORY` to hold it to an outcome.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from belay.domain.record import iso
from belay.local.build import build, machine_architecture
from belay.local.port import free_port
from belay.local.programs import REGION, ROOT
from belay.local.stack import Stack
from belay.workflows.updates import NO_ACCOUNT
from tests.deployment.desk import (
    EVENTS,
    ReplayedAccount,
    intents_held,
    market_crossing_at,
    reconcile_all,
    role_session,
    sample,
    until,
)

ACCOUNT = "paper"
TICK_AT = datetime(2019, 10, 17, 8, tzinfo=UTC)
LATE_INTENTS_TICK_AT = datetime(2019, 10, 16, 8, tzinfo=UTC)
EMULATOR = ROOT / ".tools/sam/lib/python3.13/site-packages/samcli/local/rapid"
# What the Lambda runtime itself brings besides the standard library; everything else comes from the build.
RUNTIME = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")

Answer = dict[str, Any]


# --- the runtime -----------------------------------------------------------------------------------


class Runtime:
    """One built function under the vendor's runtime emulator, which answers on a port of its own."""

    def __init__(self, stack: Stack, function: str, credentials: dict[str, str], folder: Path) -> None:
        self._port, self._log = free_port(), folder / f"{function}.log"
        built = build()
        configuration = stack.client("lambda").get_function_configuration(
            FunctionName=stack.outputs[f"{function.title()}FunctionName"]
        )
        environment = {
            **configuration["Environment"]["Variables"],
            **credentials,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": stack.endpoint,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(built / f"{function.title()}Function"),
            "NO_PROXY": "127.0.0.1",
            "PATH": os.defpath,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{built / 'BelayLayer/python'}{os.pathsep}{runtime_folder(folder)}",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(emulator(), "--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{free_port()}"),
                    *(sys.executable, "-S", "-m", "awslambdaric", "app.handler"),  # -S: without this environment
                ],
                cwd=built / f"{function.title()}Function",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, event: object) -> Answer:
        """What the function answers, or how it failed (`errorMessage`)."""
        url = f"http://127.0.0.1:{self._port}/2015-03-31/functions/function/invocations"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        until(lambda: listens(self._port), f"the runtime emulator listens (log: {self._log})")
        with opener.open(url, json.dumps(event).encode(), timeout=90) as response:
            answer: Answer = json.loads(response.read())
        return answer

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def emulator() -> Path:
    binary = EMULATOR / f"aws-lambda-rie-{machine_architecture()}"
    if not binary.exists():
        pytest.fail(f"{binary} is missing: run make setup")
    return binary


def runtime_folder(folder: Path) -> Path:
    """A folder with the runtime's own modules and nothing else of this environment."""
    chosen = folder / "runtime"
    if not chosen.exists():
        chosen.mkdir()
        for path in Path(sysconfig.get_path("platlib")).iterdir():
            if path.name.split(".")[0] in RUNTIME:
                (chosen / path.name).symlink_to(path)
    return chosen


# --- the story ---------------------------------------------------------------------------------------
# Each file in the order in which it makes sense, with what its function must answer.

TRADE = "dev.paper.ema-cross-btc.BTC/USD.1h.2019-10-17T07:00Z"


def order_id_in(name: str) -> str:
    return str(json.loads(sample(name)["Records"][0]["body"])["order_id"])


def trades(answer: Answer) -> bool:
    named = order_id_in("executor/intent")
    return (answer["kind"], answer["decision_id"], answer["order_ids"]) == ("trade", TRADE, [named])


def holds_as_late(answer: Answer) -> bool:
    return (answer["kind"], answer["reason"], answer["order_ids"]) == ("hold", "late_tick", [])


def refuses_the_schedule_attribute(answer: Answer) -> bool:
    return (answer["kind"], answer["error"].split(":")[0]) == ("refused", "tick.scheduled_time")


def refuses_the_message(answer: Answer) -> bool:
    (result,) = answer["results"]
    return (result["result"], result["error"].split(":")[0]) == ("refused", "message.order_id")


def results_in(result: str, name: str) -> Callable[[Answer], bool]:
    def check(answer: Answer) -> bool:
        (found,) = answer["results"]
        return (found["result"], found["order_id"]) == (result, order_id_in(name))

    return check


def reconciles_cleanly(answer: Answer) -> bool:
    (result,) = [found for found in answer["results"] if found["account"] == ACCOUNT]
    return bool(result["clean"])


def asks_for_each_account(answer: Answer) -> bool:
    return answer == {"results": []}


STORY: dict[str, Callable[[Answer], bool]] = {
    "executor/late-intent": results_in("lapsed", "executor/late-intent"),
    "evaluator/tick": trades,
    "evaluator/repeated-tick": trades,
    "evaluator/late-tick": holds_as_late,
    "reconciler/scheduled-run": asks_for_each_account,
    "reconciler/follow-up": reconciles_cleanly,
    "executor/intent": results_in("submitted", "executor/intent"),
    "executor/duplicate-intent": results_in("already done", "executor/duplicate-intent"),
    "executor/malformed-intent": refuses_the_message,
    "evaluator/unsubstituted-tick": refuses_the_schedule_attribute,
}
FILES = {str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json")}
IN_ORDER = [*STORY, *sorted(FILES - STORY.keys())]


@pytest.fixture(scope="module")
def account(trading: Stack) -> ReplayedAccount:
    return ReplayedAccount(trading, ACCOUNT)


@pytest.fixture(scope="module")
def answered(
    trading: Stack, account: ReplayedAccount, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Answer]]:
    """What each event was answered. The late intent's decision is made a day before, at its own time."""
    account.open(market_crossing_at(LATE_INTENTS_TICK_AT, TICK_AT), LATE_INTENTS_TICK_AT)
    with intents_held(trading), runtimes(trading, tmp_path_factory.mktemp("rie")) as functions:
        functions["evaluator"].run(sample("evaluator/tick") | {"scheduled_time": iso(LATE_INTENTS_TICK_AT)})
        account.move_clock(TICK_AT)
        yield {name: functions[name.split("/")[0]].run(sample(name)) for name in IN_ORDER}
    account.settle()


@contextmanager
def runtimes(stack: Stack, folder: Path) -> Iterator[dict[str, Runtime]]:
    """The three functions, each with the rights of its own role."""
    with ExitStack() as ending:
        started = {}
        for function in sorted({name.split("/")[0] for name in FILES}):
            credentials = ending.enter_context(role_session(stack, f"{function.title()}Role"))
            started[function] = Runtime(stack, function, credentials, folder)
            ending.callback(started[function].stop)
        yield started


@pytest.mark.parametrize("name", IN_ORDER)
def test_each_sample_event_has_the_outcome_it_is_named_for(answered: dict[str, Answer], name: str) -> None:
    answer = answered[name]
    assert "errorMessage" not in answer
    assert name not in STORY or STORY[name](answer), answer


def test_the_samples_left_one_filled_order_and_one_lapsed(
    answered: dict[str, Answer], account: ReplayedAccount
) -> None:
    account.reconcile()
    states = {order.order_id: order.state for order in account.orders()}
    assert states == {
        order_id_in("executor/intent"): OrderState.FILLED,
        order_id_in("executor/late-intent"): OrderState.LAPSED,
    }
    (venue_order,) = account.venue_orders()
    assert venue_order.client_order_id == order_id_in("executor/intent")


def test_the_refused_samples_are_kept_as_incidents(answered: dict[str, Answer], account: ReplayedAccount) -> None:
    reconcile_all(account.stack)
    ledger = account.desk.ledger
    (tick,) = ledger.incidents(ACCOUNT)
    assert (tick.kind, tick.subject.split(":")[0]) == (IncidentKind.INVALID_EVENT, "tick.scheduled_time")
    assert any("buy everything" in incident.actual for incident in ledger.incidents(NO_ACCOUNT))
