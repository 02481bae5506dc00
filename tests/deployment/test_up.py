"""`make up` as a stranger runs it: a decision on a schedule, down and up again, and a daemon that was killed.

One stack in a folder of its own lives through all of it, a fixture for each chapter. Its account is not the one that
the template's schedules tick, so nothing but the test's own ticks ever trades.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from belay.adapters.paper.table import DynamoPaperStore
from belay.cli import operations
from belay.cli.desk import Desk, desk_over
from belay.cli.documents import example_document
from belay.domain.account import Account, Stop, StopLevel
from belay.domain.decisions import DecisionRecord
from belay.domain.orders import Order, OrderState
from belay.domain.record import iso
from belay.local.announcement import announcement, local_clients
from belay.local.leftovers import leftovers
from belay.local.place import Place
from tests.deployment.desk import STAGE, until

ACCOUNT, STRATEGY, SYMBOL = "kept", "half-in-btc", "BTC/USD"
SCHEDULE = "belay-dev-ema-cross-btc"
HOURS = 2 * 3600  # the tick of the last full hour is late by less, and must still trade
EVENT = {
    "scheduled_time": "<aws.scheduler.scheduled-time>",
    "account": ACCOUNT,
    "strategy": STRATEGY,
    "algorithm": "rebalance",
    "symbol": SYMBOL,
    "timeframe": "1h",
    "parameters": {"weights": {SYMBOL: "0.5"}, "budget": "1000", "band": "0.05", "fee": "0.001", "slippage": "0.0005"},
    "max_lateness_seconds": HOURS,
    "order_expiry_seconds": HOURS,
}
LIMIT = 10

Finished = subprocess.CompletedProcess[str]


class Books(NamedTuple):
    """What ledger and venue hold at one moment, of decisions the first; a later hour's would only hold.

    `stops` are the operators', `requests` is how many the venue ever received.
    """

    decision: DecisionRecord
    orders: tuple[Order, ...]
    account: Account
    stops: tuple[Stop, ...]
    switch: StopLevel
    balances: dict[str, str]
    requests: int


class Local:
    """One local stack, worked by its commands and looked at from outside."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / "up")
        self._document = folder / "account.json"
        example = json.loads(example_document())
        del example["paper"]["exchange"]
        example["paper"]["replay"] = True
        example["limits"]["max_input_age_seconds"] = HOURS
        self._document.write_text(json.dumps(example | {"account": ACCOUNT}))

    def command(self, *arguments: str) -> Finished:
        command = [sys.executable, "-m", "belay.cli.main", *arguments, "--folder", str(self.place.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def up(self) -> Finished:
        return succeeded(self.command("up", "--account", str(self._document)))

    def down(self) -> Finished:
        return succeeded(self.command("down"))

    def kill_the_daemon(self) -> None:
        owner = self.place.owner()
        assert owner
        os.kill(owner, signal.SIGKILL)
        until(lambda: self.place.owner() is None, "the daemon is gone")

    def processes(self) -> list[int]:
        """All that runs for this stack: the emulator, its functions, the daemon."""
        owner = self.place.owner()
        return [*leftovers(self.place.state), *([owner] if owner else [])]

    # --- the stack itself ---

    @property
    def announced(self) -> dict[str, Any]:
        found = announcement(self.place.announcement)
        assert found is not None
        return found

    def client(self, service: str) -> Any:
        return local_clients(self.announced)(service)

    def desk(self) -> Desk:
        return desk_over(STAGE, self.announced["outputs"], self.client)

    def books(self) -> Books:
        desk = self.desk()
        venue = DynamoPaperStore(self.client("dynamodb"), self.announced["outputs"]["PaperVenueTableName"], ACCOUNT)
        state = venue.state()
        return Books(
            decision=desk.ledger.decisions(ACCOUNT, STRATEGY, LIMIT)[-1],
            orders=desk.ledger.orders(ACCOUNT, LIMIT),
            account=desk.ledger.account(ACCOUNT),
            stops=desk.ledger.operator_stops(ACCOUNT).stops,
            switch=desk.switch.read().level,
            balances={asset: str(held) for asset, held in state.balances.items()} if state else {},
            requests=len(venue.submissions()),
        )

    def set_schedule(self) -> None:
        """Let a deployed schedule tick the test's strategy instead of the template's."""
        scheduler = self.client("scheduler")
        found = scheduler.get_schedule(Name=SCHEDULE)
        scheduler.update_schedule(
            Name=SCHEDULE,
            ScheduleExpression=found["ScheduleExpression"],
            FlexibleTimeWindow=found["FlexibleTimeWindow"],
            State=found["State"],
            Target=found["Target"] | {"Input": json.dumps(EVENT)},
        )

    def evaluate(self, scheduled_time: str) -> dict[str, Any]:
        """What the evaluator answers to a tick."""
        name = self.announced["outputs"]["EvaluatorFunctionName"]
        event = json.dumps(EVENT | {"scheduled_time": scheduled_time}).encode()
        answer: dict[str, Any] = json.loads(
            self.client("lambda").invoke(FunctionName=name, Payload=event)["Payload"].read()
        )
        return answer


def succeeded(finished: Finished) -> Finished:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


# --- the chapters ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    made = Local(tmp_path_factory.mktemp("local"))
    yield made
    made.command("down", "--clean")


class Begun(NamedTuple):
    up: Finished
    switch: StopLevel
    up_again: Finished


@pytest.fixture(scope="module")
def begun(local: Local) -> Begun:
    """The stack was started, and a second `make up` came while it ran."""
    up = local.up()
    return Begun(up, local.desk().switch.read().level, local.up())


@pytest.fixture(scope="module")
def traded(local: Local, begun: Begun) -> Books:
    """A person released it, and a schedule fired."""
    operations.release_everything(local.desk(), "a deployment test", "tests")
    local.set_schedule()
    succeeded(local.command("tick", SCHEDULE))

    def settled() -> bool:
        return [order.settled for order in local.desk().ledger.orders(ACCOUNT, LIMIT)] == [True]

    until(settled, "the decision's order is settled")
    return local.books()


class Resumed(NamedTuple):
    down: Finished
    left: list[int]
    down_again: Finished
    up: Finished
    books: Books
    answer: dict[str, Any]
    books_after: Books


@pytest.fixture(scope="module")
def resumed(local: Local, traded: Books) -> Resumed:
    """It was stopped and started again; then the same tick came once more."""
    down, left, down_again = local.down(), local.processes(), local.down()
    up, books = local.up(), local.books()
    answer = local.evaluate(iso(traded.decision.slot.candle_close))
    return Resumed(down, left, down_again, up, books, answer, local.books())


class Recovered(NamedTuple):
    orphans: set[int]
    up: Finished
    books: Books
    down: Finished
    left: list[int]


@pytest.fixture(scope="module")
def recovered(local: Local, resumed: Resumed) -> Recovered:
    """The daemon was killed, the stack started again, and stopped."""
    before = local.processes()
    local.kill_the_daemon()
    up, books = local.up(), local.books()
    orphans = {*before} & {*local.processes()}
    return Recovered(orphans, up, books, local.down(), local.processes())


# --- what must be true of them -----------------------------------------------------------------------


def test_up_says_what_trades_on_which_market_and_that_it_waits_to_be_released(begun: Begun) -> None:
    for said in ("a generated market, whose prices are made up", "BTC/USD 1h: ema-cross-btc", "gate       open"):
        assert said in begun.up.stdout
    assert "sends no order before it is released" in begun.up.stdout
    assert begun.switch is StopLevel.HALTED


def test_a_second_up_says_that_it_runs_already(begun: Begun) -> None:
    assert begun.up_again.stdout.startswith("Already running; `make down` stops it.")


def test_a_schedule_fires_with_its_time_substituted_and_its_decision_trades(traded: Books) -> None:
    (order,) = traded.orders
    assert traded.decision.order_ids == (order.order_id,)
    assert traded.decision.slot.candle_close.minute == 0
    assert order.state is OrderState.FILLED
    assert traded.requests == 1
    assert traded.balances[SYMBOL.split("/")[0]] == str(order.filled_quantity)


def test_down_leaves_no_process_and_is_harmless_when_nothing_runs(resumed: Resumed) -> None:
    assert (resumed.down.stdout, resumed.down_again.stdout) == ("Stopped; all is kept.\n", "Nothing runs here.\n")
    assert resumed.left == []


def test_up_goes_on_with_the_same_ledger_switch_and_balances(traded: Books, resumed: Resumed) -> None:
    assert "It trades." in resumed.up.stdout
    assert resumed.books == traded
    assert resumed.books.switch is StopLevel.RUNNING


def test_the_same_tick_after_a_restart_yields_the_same_decision_and_no_order_more(
    traded: Books, resumed: Resumed
) -> None:
    assert resumed.answer["decision_id"] == traded.decision.decision_id
    assert resumed.answer["order_ids"] == list(traded.decision.order_ids)
    assert resumed.books_after == traded


def test_a_killed_daemon_leaves_nothing_that_blocks_the_next_up_which_halts_everything(
    traded: Books, recovered: Recovered
) -> None:
    assert recovered.orphans == set()
    assert "may be lost" in recovered.up.stderr
    assert recovered.books.switch is StopLevel.HALTED
    assert [stop.level for stop in recovered.books.stops] == [StopLevel.HALTED]
    assert recovered.books.decision == traded.decision
    assert recovered.left == []
