"""`make up MODE=live` at a venue server: an order by hand is filled, and the keys are nowhere but in memory.

One stack lives through it: it is started, releases and fills an order, is stopped and started again, is attacked by
another user of the machine and by a page in a browser, and is killed.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from botocore.credentials import Credentials

from belay.cli import operations, trading
from belay.cli.desk import Desk, desk_over
from belay.domain.account import StopLevel
from belay.domain.decisions import Side
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order, OrderState
from belay.local.announcement import announcement, local_clients
from belay.local.keys import FUNCTIONS, without_keys
from belay.local.leftovers import leftovers
from belay.local.place import Place
from tests.chromium import Chromium, find_chromium
from tests.deployment.attacks import (
    FOREIGN_HOST,
    NOBODY,
    PAGE,
    Request,
    Website,
    as_nobody,
    as_oneself,
    ask_from_page,
    guessed,
    listening,
    parameter_call,
    signed,
    submit_from_page,
    with_header,
)
from tests.deployment.desk import STAGE, until
from tests.venue_server import VenueServer

ACCOUNT, SYMBOL = "live", "BTC/USDT"
Finished = subprocess.CompletedProcess[str]


class Live:
    """A local stack with a live account at the server, worked by its commands and looked at from outside."""

    def __init__(self, folder: Path, server: VenueServer) -> None:
        self.place = Place(folder / "up")
        self.server = server
        self.keys = {name: server.add_key("binance", name) for name in FUNCTIONS}

    def command(self, *arguments: str, keys: bool = True) -> Finished:
        command = [sys.executable, "-m", "belay.cli.main", *arguments, "--folder", str(self.place.folder)]
        held = {
            f"BELAY_{name.upper()}_{part}": value
            for name, key in self.keys.items()
            for part, value in (("KEY", key.api_key), ("SECRET", key.secret))
        }
        environment = without_keys(os.environ) | (held if keys else {})
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def announced(self) -> dict[str, Any]:
        found = announcement(self.place.announcement)
        assert found is not None
        return found

    @property
    def port(self) -> int:
        return int(urlsplit(self.announced["endpoint"]).port or 0)

    def client(self, service: str) -> Any:
        return local_clients(self.announced)(service)

    def up(self) -> Finished:
        options = json.dumps(self.server.client_options("binance"))
        return self.command("up", "--venue", "binance", "--mode", "live", "--venue-options", options)

    def desk(self) -> Desk:
        return desk_over(STAGE, self.announced["outputs"], self.client)

    def planted(self) -> list[bytes]:
        return [value.encode() for key in self.keys.values() for value in (key.api_key, key.secret)]

    def held(self) -> list[Path]:
        """Every file and folder of the stack."""
        return [self.place.folder, *self.place.folder.rglob("*")]

    def files_with_a_key(self) -> list[Path]:
        """Of all in the stack's folder but the layers that its functions were given."""
        files = [file for file in self.held() if file.is_file() and "layer_0" not in file.parts]
        return [file for file in files if any(value in file.read_bytes() for value in self.planted())]

    def processes(self) -> list[int]:
        owner = self.place.owner()
        return [*leftovers(self.place.state), *([owner] if owner else [])]


class Story(NamedTuple):
    """What was said and seen, in order; `environments` and `files` are those of the stack while it ran."""

    up: Finished
    administrator: dict[str, str]
    at_first: StopLevel
    order: Order
    venue_orders: list[dict[str, Any]]
    environments: bytes
    files: list[Path]
    down: Finished
    left: list[int]
    up_without_keys: Finished


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with VenueServer(seed=7, markets=2) as server, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # only the stack's own folder keeps others out
        made = Live(Path(folder), server)
        yield made
        made.command("down", "--clean")


@pytest.fixture(scope="module")
def story(live: Live) -> Story:
    up = live.up()
    assert up.returncode == 0, up.stdout + up.stderr
    administrator, desk = live.announced["administrator"], live.desk()
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
    down = live.command("down")
    return Story(
        up=up,
        administrator=administrator,
        at_first=at_first,
        order=done,
        venue_orders=live.server.truth("binance")["orders"],
        environments=environments,
        files=files,
        down=down,
        left=live.processes(),
        up_without_keys=live.command("up", keys=False),
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
    assert story.up_without_keys.stderr.startswith("belay: BELAY_EXECUTOR_KEY: is not set.")


@pytest.fixture(scope="module")
def started_again(live: Live, story: Story) -> Finished:
    """With the keys, after it had been released and stopped."""
    return live.up()


def test_what_was_released_is_halted_again_by_the_next_start(live: Live, started_again: Finished) -> None:
    assert started_again.returncode == 0, started_again.stderr
    assert "Halted: a live account is released anew after each start" in started_again.stderr
    assert live.desk().switch.read().level is StopLevel.HALTED


# --- the attacks -----------------------------------------------------------------------------------------------------


class Secrets(NamedTuple):
    """What an attacker is after: the keys and the switch, by name; `value` would release the switch."""

    keys: tuple[str, ...]
    switch: str
    value: str

    def calls(self) -> list[Request]:
        return [
            *(parameter_call("GetParameter", {"Name": key, "WithDecryption": True}) for key in self.keys),
            parameter_call("GetParametersByPath", {"Path": "/", "Recursive": True, "WithDecryption": True}),
            parameter_call("PutParameter", self.write()),
        ]

    def write(self) -> dict[str, Any]:
        return {"Name": self.switch, "Value": self.value, "Type": "String", "Overwrite": True}


@pytest.fixture(scope="module")
def wanted(live: Live, started_again: Finished) -> Secrets:
    name = live.announced["outputs"]["KillSwitchParameterName"]
    held = live.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert live.desk().switch.read().level is StopLevel.HALTED
    names = tuple(f"/belay/{STAGE}/{function}/{ACCOUNT}" for function in FUNCTIONS)
    released = json.dumps(json.loads(held) | {"level": StopLevel.RUNNING})
    return Secrets(names, name, released)


@pytest.fixture(scope="module")
def guesses(live: Live, wanted: Secrets) -> dict[str, Credentials]:
    """The keys that the emulator by itself would give to the functions; the reconciler has run, and has some."""
    functions, outputs = live.client("lambda"), live.announced["outputs"]
    names = {function: outputs[f"{function.capitalize()}FunctionName"] for function in FUNCTIONS}
    held = {function: functions.get_function_configuration(FunctionName=name) for function, name in names.items()}
    return {function: guessed(found["FunctionArn"], found["Role"]) for function, found in held.items()}


def unchanged(live: Live, wanted: Secrets) -> bool:
    """Whether the stack still holds everything, and is halted."""
    stored = live.client("ssm").get_parameters(Names=[*wanted.keys], WithDecryption=True)["Parameters"]
    holds = " ".join(parameter["Value"] for parameter in stored)
    return (
        all(key.secret in holds for key in live.keys.values()) and live.desk().switch.read().level is StopLevel.HALTED
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_another_user_reads_no_key_and_writes_no_switch_whatever_the_request_is_signed_with(
    live: Live, story: Story, wanted: Secrets, guesses: dict[str, Credentials]
) -> None:
    port, now = live.port, live.announced["administrator"]
    keys = {
        "the emulator's root": Credentials("test", "test"),
        "an account": Credentials("000000000000", "test"),
        **guesses,
        "a function without its token": Credentials(guesses["reconciler"].access_key, guesses["reconciler"].secret_key),
        "the last run": Credentials(story.administrator["access_key"], story.administrator["secret"]),
        "this run, another secret": Credentials(now["access_key"], story.administrator["secret"]),
    }
    asked = [
        *wanted.calls(),
        *(signed(call, credentials, port) for credentials in keys.values() for call in wanted.calls()),
        *(Request("POST", path, {}, "") for path in ("/_ministack/reset", "/_ministack/config")),
        *(Request("GET", path, {}, "") for path in ("/", "/_ministack/health", "/latest/meta-data/iam/")),
        Request("OPTIONS", "/", {"Origin": "http://127.0.0.1"}, ""),
    ]
    told = as_nobody(port, asked, [])
    assert told.user == NOBODY
    assert [status for status, _ in told.answers] == [403] * len(asked)
    assert not any(value.decode() in body for value in live.planted() for _, body in told.answers)
    assert unchanged(live, wanted)


def test_what_names_an_origin_or_another_host_is_refused_though_its_key_is_right(live: Live, wanted: Secrets) -> None:
    port, administrator = live.port, live.announced["administrator"]
    key = Credentials(administrator["access_key"], administrator["secret"])
    read = wanted.calls()[0]
    tried = {
        "as it should be": signed(read, key, port),
        "by its other name": signed(read, key, port, "localhost"),
        "with an origin": with_header(signed(read, key, port), "Origin", f"http://127.0.0.1:{port}"),
        "with no name of an origin": with_header(signed(read, key, port), "Origin", "null"),
        "for another host": signed(read, key, port, FOREIGN_HOST),
        "for another port": signed(read, key, port + 1),
        "with another body": signed(read, key, port)._replace(body=read.body + " "),
    }
    answers = dict(zip(tried, as_oneself(port, list(tried.values())).answers, strict=True))
    assert {name for name, (status, _) in answers.items() if status == 200} == {"as it should be", "by its other name"}
    assert {status for status, _ in answers.values() if status != 200} == {403}


@needs_root
def test_another_user_opens_no_file_of_the_stack_and_no_process(live: Live, wanted: Secrets) -> None:
    processes = [Path(f"/proc/{process}") for process in live.processes()]
    secret = [process / name for process in processes for name in ("environ", "mem", "fd")]
    told = as_nobody(live.port, [], [*live.held(), *secret])
    assert (told.user, told.readable) == (NOBODY, [])
    open_to_others = [held for held in live.held() if not held.is_symlink() and held.stat().st_mode & 0o077]
    assert open_to_others == []


def test_no_argument_of_a_process_is_a_secret_and_none_leaves_a_core(live: Live, wanted: Secrets) -> None:
    secret = [*live.planted(), *(value.encode() for value in live.announced["administrator"].values())]
    processes = live.processes()
    assert len(processes) > 2  # daemon, emulator and a function at least
    for process in processes:
        arguments = Path(f"/proc/{process}/cmdline").read_bytes()
        assert not any(value in arguments for value in secret)
        assert resource.prlimit(process, resource.RLIMIT_CORE) == (0, 0)


def test_a_stack_listens_on_one_port_of_this_machine_alone(live: Live, wanted: Secrets) -> None:
    assert listening(live.processes()) == {("0100007F", live.port)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    with Chromium(program) as chromium:
        yield chromium


def test_a_page_of_another_origin_reads_no_key_and_changes_nothing(
    live: Live, wanted: Secrets, browser: Chromium
) -> None:
    fetches = [(call.path, options) for call in wanted.calls() for options in fetch_options(call, live.port)]
    fetches += [(path, {"method": "POST", "mode": "no-cors"}) for path in ("/_ministack/reset", "/")]
    text, rest = json.dumps(wanted.write())[:-1] + ', "x": "', '"}'
    forms = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    with Website().serving() as page, Website().serving() as witness:
        browser.visit(page.url)
        for base in (live.announced["endpoint"], f"http://localhost:{live.port}", witness.url):
            told = ask_from_page(browser, base, fetches)
            for enctype in forms:
                for path in ("/", "/_ministack/reset"):
                    submit_from_page(browser, base + path, enctype, text, rest)
            if base == witness.url:  # the browser itself holds nothing of it back
                assert ["cors", PAGE] in told
                assert len([method for method, *_ in witness.taken if method == "POST"]) > len(forms)
            else:
                assert {kind for kind, _ in told} == {"failed", "opaque"}
                assert {body for kind, body in told if kind == "opaque"} == {""}
    assert unchanged(live, wanted)


def fetch_options(call: Request, port: int) -> list[dict[str, Any]]:
    """A call as a page may try it: with every header and any key, and as what needs no preflight."""
    headers = signed(call, Credentials("test", "test"), port).headers
    own = {name: value for name, value in headers.items() if name != "Host"}
    return [
        {"method": call.method, "mode": "cors", "headers": own, "body": call.body},
        {"method": call.method, "mode": "no-cors", "headers": own, "body": call.body},
        {"method": call.method, "mode": "cors", "headers": {"Content-Type": "text/plain"}, "body": call.body},
        {"method": "GET", "mode": "cors"},
    ]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_killed_daemon_takes_emulator_and_functions_with_it_and_no_key_is_left(live: Live, wanted: Secrets) -> None:
    """The emulator stores its state before it ends, as it does where somebody shuts the machine down."""
    owner, processes = live.place.owner(), live.processes()
    assert owner is not None
    os.kill(owner, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes), "all of it has ended")
    assert live.processes() == []
    assert live.files_with_a_key() == []
    assert wanted.switch.encode() in (live.place.state / "state" / "ssm.json").read_bytes()


def test_down_after_that_finds_nothing_and_leaves_no_key(live: Live, wanted: Secrets) -> None:
    assert live.command("down").stdout == "Nothing runs here.\n"
    assert live.files_with_a_key() == []
