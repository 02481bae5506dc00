"""`make up` and `make down` without an emulator: who owns the folder, which account and market, what is said."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from typer.testing import CliRunner, Result

from belay.cli import places
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.cli.places import open_desk
from belay.domain.account import Stop, StopLevel
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.local import daemon, up
from belay.local.account import (
    exchange_answers,
    first_document,
    generated,
    paper_settings,
    require_same_market,
    source,
)
from belay.local.announcement import announced, announcement
from belay.local.daemon import PERIOD_SECONDS, each_second, stopped_by_signals
from belay.local.leftovers import end_leftovers, leftovers
from belay.local.place import Begun, Place
from belay.local.programs import StackError
from belay.local.stack import Administrator, Stack
from tests.builders import SYMBOL, make_stop
from tests.unit.cli.test_cli import Office

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXAMPLE = AccountDocument.parse(example_document())
OUTPUTS = {"LedgerTableName": "ledger"}
ADMINISTRATOR = Administrator("one", "planted")


def document(account: str = "paper", **paper: Any) -> AccountDocument:
    example = json.loads(example_document()) | {"account": account}
    example["paper"] |= paper
    return AccountDocument.parse(json.dumps(example))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "up")


@pytest.fixture
def local_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Where the two local stacks announce themselves, away from the developer's own."""
    files = {"make up": tmp_path / "up/stack.json", "make demo": tmp_path / "stack.json"}
    monkeypatch.setattr(places, "LOCAL_STACKS", files)
    return files


# --- the folder ----------------------------------------------------------------------------------------


def test_a_place_is_owned_by_one_process_and_by_none_afterwards(place: Place) -> None:
    assert place.owner() is None
    with place.owned():
        assert place.owner() == os.getpid()
        with pytest.raises(StackError, match="at work here"), place.owned():
            pytest.fail("owned twice")
        assert place.owner() == os.getpid()
    assert place.owner() is None


def test_a_process_that_is_killed_owns_nothing_any_more(place: Place) -> None:
    script = (
        "import sys, time; from pathlib import Path; from belay.local.place import Place\n"
        "with Place(Path(sys.argv[1])).owned(): print('owned', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(place.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert place.owner() == process.pid
        process.kill()
    assert place.owner() is None
    with place.owned():
        assert place.owner() == os.getpid()


def test_what_was_begun_is_read_back_as_it_was(place: Place) -> None:
    assert place.begun() is None
    place.folder.mkdir()
    begun = Begun(document=EXAMPLE, seed=7, start=NOW)
    place.keep(begun)
    assert place.begun() == begun


def test_what_another_version_began_says_how_to_begin_anew(place: Place) -> None:
    place.folder.mkdir()
    (place.folder / "begun.json").write_text('{"document": {"account": "paper"}, "seed": 7}')
    with pytest.raises(InvalidInput, match=r"begun\.json: .*CLEAN=1"):
        place.begun()


# --- the account and its market --------------------------------------------------------------------------


def answering(yes: bool) -> Callable[[AccountDocument], bool]:
    return lambda _: yes


def test_the_example_trades_live_prices_where_they_can_be_had_and_generated_ones_otherwise() -> None:
    said: list[str] = []
    assert first_document(None, answering(True), said.append).document == EXAMPLE
    offline = first_document(None, answering(False), said.append).document
    assert offline == generated(EXAMPLE)
    assert (source(EXAMPLE), source(offline)) == ("the live public prices of kraken", "a generated market")
    assert said[-1] == "kraken cannot be reached: generating a market"


def test_who_names_an_exchange_gets_no_other_market() -> None:
    said: list[str] = []
    named = document(exchange="binance")
    assert first_document(named, answering(False), said.append).document == named
    assert said[-1] == "binance cannot be reached: decisions hold until it can"


def test_a_document_for_a_replay_gets_a_generated_market_and_asks_no_exchange() -> None:
    def unasked(_: AccountDocument) -> bool:
        pytest.fail("no exchange is named")

    replayed = document(exchange=None, replay=True)
    begun = first_document(replayed, unasked, print)
    assert begun.document == replayed
    assert (begun.start.hour, begun.start.minute) == (0, 0)


OTHERS = {
    "another account": (document("other"), "it is account other, but this stack was begun with account paper"),
    "another exchange": (document(exchange="binance"), "prices of binance, but .* on the live public prices of kraken"),
    "a generated market": (generated(EXAMPLE), "a generated market, but .* on the live public prices of kraken"),
}


@pytest.mark.parametrize(("wanted", "problem"), OTHERS.values(), ids=OTHERS)
def test_a_stack_does_not_change_its_account_or_market(wanted: AccountDocument, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"ACCOUNT: .*{problem}.*CLEAN=1"):
        require_same_market(EXAMPLE, wanted)


def test_everything_else_of_an_account_may_change() -> None:
    require_same_market(EXAMPLE, document(slippage="0.01"))


def test_a_live_account_has_no_paper_settings() -> None:
    with pytest.raises(InvalidInput, match=r"account\.mode: paper does not trade on paper"):
        paper_settings(EXAMPLE.model_copy(update={"mode": "live", "paper": None}))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_exchange_that_does_not_answer_is_no_market() -> None:
    nowhere = {"urls": {"api": {"public": f"http://127.0.0.1:{closed_port()}"}}}
    assert not exchange_answers(EXAMPLE.model_copy(update={"options": nowhere}))


def test_an_exchange_that_does_not_exist_is_said_to_be_one() -> None:
    with pytest.raises(InvalidInput, match="ccxt has no exchange 'nosuch'"):
        exchange_answers(document(exchange="nosuch"))


# --- the daemon --------------------------------------------------------------------------------------------


class Seconds:
    """A clock that moves only by waiting, and how often it was waited."""

    def __init__(self) -> None:
        self.waited = 0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.waited)

    def sleep(self, seconds: float) -> None:
        assert seconds == PERIOD_SECONDS
        self.waited += 1


def test_each_second_has_its_step_and_what_keeps_failing_is_said_once() -> None:
    clock, steps, said = Seconds(), list[datetime](), list[str]()

    def step(now: datetime) -> None:
        steps.append(now)
        if clock.waited in (2, 3, 4, 7):
            raise VenueUnavailable("the table gave no answer")

    each_second(step, lambda: clock.waited < 10, said.append, clock)
    assert steps == [NOW + timedelta(seconds=second) for second in range(10)]
    assert said == ["VenueUnavailable: the table gave no answer"] * 2


def test_the_first_signal_unwinds_and_the_next_ones_disturb_nothing() -> None:
    before, unwound = signal.getsignal(signal.SIGTERM), []

    def stopped_twice() -> None:
        with stopped_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                for number in (signal.SIGTERM, signal.SIGINT):
                    os.kill(os.getpid(), number)
                    unwound.append(number)

    with pytest.raises(KeyboardInterrupt):
        stopped_twice()
    assert unwound == [signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


WHAT_LEAVES: dict[str, tuple[StopLevel, tuple[Stop, ...], str]] = {
    "running": (StopLevel.RUNNING, (), r"^It trades\.$"),
    "a symbol stopped": (StopLevel.RUNNING, (make_stop(symbol=SYMBOL),), r"^It trades, except what is stopped\.$"),
    "exits only": (StopLevel.REDUCE_ONLY, (), "sends exits only: no entry before it is released"),
    "the account halted": (StopLevel.RUNNING, (make_stop(), make_stop(symbol=SYMBOL)), r"sends no order before[^,]*$"),
    "the account's exits only": (StopLevel.RUNNING, (make_stop(level=StopLevel.REDUCE_ONLY),), "sends exits only"),
    "halted": (StopLevel.HALTED, (make_stop(level=StopLevel.REDUCE_ONLY),), "sends no order before it is released"),
}


@pytest.mark.parametrize(("switch", "stops", "told"), WHAT_LEAVES.values(), ids=WHAT_LEAVES)
def test_up_says_what_is_sent_by_the_strictest_of_switch_and_stops(
    switch: StopLevel, stops: tuple[Stop, ...], told: str
) -> None:
    assert re.search(told, up.what_leaves(up.level_of_all(switch, stops), stops))


class KeptStack:
    """A local stack that was deployed before, as `halt_after_loss` sees it."""

    def read_outputs(self) -> dict[str, str]:
        return OUTPUTS

    def client(self, _service: str) -> None: ...


def test_after_a_run_that_was_not_stored_a_paper_account_is_halted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    office.ledger.store_configuration(Configuration(version=1, document=EXAMPLE, author="ann", stored_at=NOW))
    monkeypatch.setattr(daemon, "desk_over", lambda *_: office.desk())
    daemon.halt_after_loss(cast("Stack", KeptStack()), print)
    assert office.switch.level is StopLevel.HALTED
    assert [stop.level for stop in office.ledger.operator_stops(EXAMPLE.account).stops] == [StopLevel.HALTED]


def test_a_stack_of_which_too_little_was_stored_says_how_to_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    office.switch.broken = True
    monkeypatch.setattr(daemon, "desk_over", lambda *_: office.desk())
    with pytest.raises(StackError, match=r"NOT everything is stopped: .*CLEAN=1"):
        daemon.halt_after_loss(cast("Stack", KeptStack()), print)


# --- the emulator's process and port -------------------------------------------------------------------------


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the environment of an emulator on `tmp_path`, which stores its state when it is asked to end."""
    script = (
        "import pathlib, signal, sys, time\n"
        "def store(*_):\n"
        "    pathlib.Path(sys.argv[1]).touch()\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, store)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "stored")],
        env={"STATE_DIR": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_an_emulator_whose_daemon_was_killed_is_found_and_may_store_its_state(
    orphan: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert leftovers(tmp_path / "elsewhere") == []
    assert not end_leftovers(tmp_path / "elsewhere")
    assert leftovers(tmp_path) == [orphan.pid]
    assert end_leftovers(tmp_path)
    assert orphan.wait(10) == 0
    assert (tmp_path / "stored").exists()


def test_a_stack_answers_on_the_same_port_whenever_it_runs_on_its_state(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "port").write_text(str(port))
        stack = Stack(tmp_path)
        assert stack.endpoint == f"http://127.0.0.1:{port}"
        with pytest.raises(StackError, match=rf"port {port}, .* is in use.*`ss -ltnp 'sport = :{port}'`.*CLEAN=1"):
            stack.start()
    assert not stack.running


def test_a_stack_that_never_ran_has_lost_nothing(tmp_path: Path) -> None:
    assert Stack(tmp_path).stop()


# --- who is announced ------------------------------------------------------------------------------------------


def announcing(endpoint: str, process: int) -> dict[str, Any]:
    administrator = {"access_key": "one", "secret": "planted"}
    return {"endpoint": endpoint, "administrator": administrator, "outputs": OUTPUTS, "pid": process}


def test_a_stack_is_announced_while_its_process_lives(local_stacks: dict[str, Path]) -> None:
    file = local_stacks["make demo"]
    with announced("http://127.0.0.1:1", ADMINISTRATOR, OUTPUTS, file):
        assert announcement(file) == announcing("http://127.0.0.1:1", os.getpid())
        assert [stat.S_IMODE(held.stat().st_mode) for held in (file.parent, file)] == [0o700, 0o600]
    assert announcement(file) is None
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    file.write_text(json.dumps(announcing("http://127.0.0.1:1", int(ended.stdout))))
    assert announcement(file) is None


def test_the_stack_of_another_user_is_not_announced(
    local_stacks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> NoReturn:
        raise PermissionError

    file = local_stacks["make up"]
    with announced("http://127.0.0.1:1", ADMINISTRATOR, OUTPUTS, file), monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", forbidden)
        assert announcement(file) is None


def test_the_end_of_one_stack_leaves_the_announcement_of_its_successor(local_stacks: dict[str, Path]) -> None:
    file = local_stacks["make demo"]
    with announced("http://127.0.0.1:1", ADMINISTRATOR, OUTPUTS, file):
        file.write_text(json.dumps(announcing("http://127.0.0.1:2", os.getpid())))
    assert announcement(file) is not None


def test_local_acts_on_what_make_up_runs_and_says_that_a_demo_runs_beside_it(
    local_stacks: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        announced("http://127.0.0.1:1", ADMINISTRATOR, OUTPUTS, local_stacks["make demo"]),
        announced("http://127.0.0.1:2", ADMINISTRATOR, OUTPUTS, local_stacks["make up"]),
    ):
        outputs, make_client = places._local_stack()
        assert outputs == OUTPUTS
        client = make_client("sqs")
        assert client.meta.endpoint_url == "http://127.0.0.1:2"
        assert client._get_credentials().secret_key == ADMINISTRATOR.secret
    assert capsys.readouterr().err == "belay: acting on the stack of `make up`; that of `make demo` runs beside it\n"


def test_local_without_a_stack_says_how_to_start_one(local_stacks: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match=r"no local stack is running.*make up.*make demo"):
        open_desk("dev", local=True)


# --- the commands ------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_down_is_harmless_where_nothing_runs(place: Place) -> None:
    for switched in ([], ["--clean"], ["--clean=1"], ["--clean", "1"], ["--clean="], ["--clean=0"]):
        done = run("down", *switched, "--folder", str(place.folder))
        assert (done.exit_code, done.stdout, done.stderr) == (0, "Nothing runs here.\n", "")
    assert not place.folder.exists()


def run_until_stopped(place: Place, stored: bool) -> subprocess.Popen[bytes]:
    """A daemon of `place` that owns it until it is asked to stop."""
    script = (
        "import pathlib, signal, sys; from belay.local.place import Place\n"
        "place, stored = Place(pathlib.Path(sys.argv[1])), sys.argv[2] == 'True'\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with place.owned():\n"
        "    place.unstored.touch()\n"
        "    print('owned', flush=True)\n"
        "    signal.pause()\n"
        "    if stored: place.unstored.unlink()\n"
    )
    command = [sys.executable, "-c", script, str(place.folder), str(stored)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    owner.stdout.readline()
    return owner


def test_down_says_that_all_is_kept_where_it_is(place: Place) -> None:
    with run_until_stopped(place, stored=True):
        done = run("down", "--folder", str(place.folder))
    assert (done.exit_code, done.stdout) == (0, "Stopped; all is kept.\n")


def test_down_fails_where_the_last_run_was_not_stored(place: Place) -> None:
    with run_until_stopped(place, stored=False):
        failed = run("down", "--folder", str(place.folder))
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "stopped, but what happened since the last clean stop could not be stored" in failed.stderr
    assert place.unstored.exists()


def test_down_deletes_a_run_that_was_not_stored(place: Place) -> None:
    with run_until_stopped(place, stored=False):
        done = run("down", "--clean", "--folder", str(place.folder))
    assert (done.exit_code, done.stdout) == (0, f"Stopped.\nDeleted {place.folder}\n")


def test_clean_deletes_what_was_kept_and_no_folder_that_is_no_stacks(place: Place) -> None:
    with place.owned():
        place.keep(Begun(document=EXAMPLE, seed=7, start=NOW))
    other = place.folder.parent / "other"
    other.mkdir()
    assert run("down", "--clean=0", "--folder", str(place.folder)).exit_code == 0
    assert place.folder.exists()
    assert run("down", "--clean", "--folder", str(other)).exit_code == 0
    assert run("down", "--folder", str(place.folder), "--clean").exit_code == 0
    assert other.exists()
    assert not place.folder.exists()


BAD_ACCOUNTS = {
    "no file": (None, "cannot be read"),
    "no JSON": ("{", "account: Invalid JSON"),
    "a field too many": (example_document().replace('"venue"', '"colour": "red", "venue"'), "account.colour"),
}


@pytest.mark.parametrize(("text", "problem"), BAD_ACCOUNTS.values(), ids=BAD_ACCOUNTS)
def test_a_bad_account_file_is_refused_before_anything_is_started(place: Place, text: str | None, problem: str) -> None:
    file = place.folder.parent / "account.json"
    if text is not None:
        file.write_text(text)
    refused = run("up", "--account", str(file), "--folder", str(place.folder))
    assert refused.exit_code == 2
    assert problem in refused.stderr
    assert not place.folder.exists()


def test_while_another_command_is_at_work_up_says_so(place: Place) -> None:
    with place.owned():
        failed = run("up", "--folder", str(place.folder))
    assert failed.exit_code == 1
    assert failed.stderr == "belay: it is being started or stopped just now; try again in a moment\n"


USAGE = {
    "an unknown command": ["restart"],
    "a switch that is neither on nor off": ["down", "--clean", "perhaps"],
    "a time without a zone": ["tick", "--at", "2026-11-20T12:00:00"],
    "no time": ["tick", "--at", "noon"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_a_usage_error_is_one_line(arguments: list[str]) -> None:
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


def test_a_tick_by_hand_needs_a_running_stack(place: Place) -> None:
    failed = run("tick", "--folder", str(place.folder), "--at", "2026-11-20T12:00:00+01:00")
    assert (failed.exit_code, failed.stderr) == (1, "belay: nothing runs here; start it with `make up`\n")


@pytest.mark.parametrize(("asked", "today"), [("start", "up"), ("stop", "down"), ("tick", "tick"), ("restart", "up")])
def test_the_commands_of_yesterday_name_those_of_today_and_do_nothing(
    asked: str, today: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up.main([asked, "--folder", str(place.folder)]) == 2
    assert f"this is `belay {today}` now" in capsys.readouterr().err
    assert not place.folder.exists()
