"""`make up MODE=live` at a venue server: an order by hand is filled, and the keys are nowhere but in memory.

One stack lives through it: it is started, releases and fills an order, and is stopped.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from belay.cli import operations, trading
from belay.cli.desk import Desk, announcement, desk_over, local_clients
from belay.cli.local.keys import without_keys
from belay.cli.local.place import Place
from belay.cli.local.stack import leftovers
from belay.domain.account import StopLevel
from belay.domain.decisions import Side
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order, OrderState
from tests.deployment.desk import STAGE, until
from tests.venue_server import VenueServer

ACCOUNT, SYMBOL = "live", "BTC/USDT"
Finished = subprocess.CompletedProcess[str]


class Live:
    """A local stack with a live account at the server, worked by its commands and looked at from outside."""

    def __init__(self, folder: Path, server: VenueServer) -> None:
        self.place = Place(folder / "up")
        self.server = server
        self.keys = {name: server.add_key("binance", name) for name in ("executor", "reconciler")}

    def command(self, *arguments: str, keys: bool = True) -> Finished:
        command = [sys.executable, "-m", "belay.cli.local.up", *arguments, "--folder", str(self.place.folder)]
        held = {
            f"BELAY_{name.upper()}_{part}": value
            for name, key in self.keys.items()
            for part, value in (("KEY", key.api_key), ("SECRET", key.secret))
        }
        environment = without_keys(os.environ) | (held if keys else {})
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def up(self) -> Finished:
        options = json.dumps(self.server.client_options("binance"))
        return self.command("start", "--venue", "binance", "--mode", "live", "--venue-options", options)

    def desk(self) -> Desk:
        found = announcement(self.place.announcement)
        assert found is not None
        return desk_over(STAGE, found["outputs"], local_clients(found["endpoint"]))

    def planted(self) -> list[bytes]:
        return [value.encode() for key in self.keys.values() for value in (key.api_key, key.secret)]

    def files_with_a_key(self) -> list[Path]:
        """Of all in the stack's folder but the layers that its functions were given."""
        files = [file for file in self.place.folder.rglob("*") if file.is_file() and "layer_0" not in file.parts]
        return [file for file in files if any(value in file.read_bytes() for value in self.planted())]

    def processes(self) -> list[int]:
        owner = self.place.owner()
        return [*leftovers(self.place.state), *([owner] if owner else [])]


class Story(NamedTuple):
    """What was said and seen, in order; `environments` and `files` are those of the stack while it ran."""

    up: Finished
    at_first: StopLevel
    order: Order
    venue_orders: list[dict[str, Any]]
    environments: bytes
    files: list[Path]
    down: Finished
    left: list[int]
    up_without_keys: Finished


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with VenueServer(seed=7, markets=2) as server:
        made = Live(tmp_path_factory.mktemp("live"), server)
        yield made
        made.command("stop", "--clean")


@pytest.fixture(scope="module")
def story(live: Live) -> Story:
    up = live.up()
    assert up.returncode == 0, up.stdout + up.stderr
    desk = live.desk()
    at_first = desk.switch.read().level
    operations.release_everything(desk, "a deployment test", "tests")
    asked = ManualOrder(order_id=uuid.uuid4().hex, account=ACCOUNT, symbol=SYMBOL, side=Side.BUY, notional="500")
    trading.place(desk, asked, uuid.uuid4().hex)

    def order() -> Order:
        found = desk.ledger.order(asked.order_id)
        assert found is not None
        return found

    until(lambda: trading.is_done(order()), "the order is done")
    done = order()
    environments = b"".join(Path(f"/proc/{process}/environ").read_bytes() for process in live.processes())
    files = live.files_with_a_key()
    down = live.command("stop")
    return Story(
        up=up,
        at_first=at_first,
        order=done,
        venue_orders=live.server.truth("binance")["orders"],
        environments=environments,
        files=files,
        down=down,
        left=live.processes(),
        up_without_keys=live.command("start", keys=False),
    )


def test_up_says_that_orders_are_real_where_they_go_and_that_it_waits_to_be_released(live: Live, story: Story) -> None:
    for said in (
        f"binance, live at {live.server.url}: ORDERS ARE REAL",
        "none ticks this account",
        "gate         open",
    ):
        assert said in story.up.stdout
    assert story.at_first is StopLevel.HALTED


def test_an_order_by_hand_is_filled_at_the_venue_once(story: Story) -> None:
    (placed,) = story.venue_orders
    assert story.order.state is OrderState.FILLED
    assert placed["client_order_id"] == story.order.order_id
    assert Decimal(placed["filled"]) == story.order.filled_quantity


def test_down_leaves_no_process(story: Story) -> None:
    assert story.down.stdout == "Stopped; all is kept.\n"
    assert story.left == []


def test_the_keys_are_in_no_file_no_log_no_process_and_nothing_that_was_said(live: Live, story: Story) -> None:
    kept = {file.name for file in live.place.folder.rglob("*") if file.is_file()}
    assert {"up.log", "ministack.log", "ssm.json"} <= kept
    assert (story.files, live.files_with_a_key()) == ([], [])
    said = "".join(finished.stdout + finished.stderr for finished in (story.up, story.down, story.up_without_keys))
    assert not any(value in story.environments + said.encode() for value in live.planted())


def test_the_next_up_asks_for_the_keys_again(story: Story) -> None:
    assert story.up_without_keys.returncode == 2
    assert story.up_without_keys.stderr.startswith("up: BELAY_EXECUTOR_KEY: is not set.")


@pytest.fixture(scope="module")
def started_again(live: Live, story: Story) -> Finished:
    """With the keys, after it had been released and stopped."""
    return live.up()


def test_what_was_released_is_halted_again_by_the_next_start(live: Live, started_again: Finished) -> None:
    assert started_again.returncode == 0, started_again.stderr
    assert "Halted: a live account is released anew after each start" in started_again.stderr
    assert live.desk().switch.read().level is StopLevel.HALTED


@pytest.mark.usefixtures("started_again")
def test_an_emulator_that_stored_keys_on_its_own_does_not_keep_them(live: Live) -> None:
    """Whoever shuts the machine down ends the emulator with its daemon, before that could delete them."""
    owner, emulators = live.place.owner(), leftovers(live.place.state)
    assert owner is not None
    os.kill(owner, signal.SIGKILL)
    until(lambda: live.place.owner() is None, "the daemon is gone")
    for process in emulators:
        if os.getsid(process) == process:
            os.kill(process, signal.SIGTERM)
    until(lambda: leftovers(live.place.state) == [], "the emulator is gone")
    stored = live.place.state / "state" / "ssm.json"
    assert live.files_with_a_key() == [stored]
    live.command("stop")
    assert live.files_with_a_key() == []
    assert b"kill-switch" in stored.read_bytes()
