"""`belay up`, `down`, `tick` and `demo` at the command line: what they hand on of what was said, and how they end."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from belay.cli.exits import BAD_INPUT, FAILED, INTERRUPTED, OK
from belay.cli.main import app
from belay.demo import run as demo
from belay.demo.check import Finding as Broken
from belay.demo.check import Result as Checked
from belay.demo.market import Market
from belay.local import up
from belay.local.place import Place
from belay.local.ticker import Cron, Schedule
from belay.local.variables import Variables


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environment)


# --- up ---------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Place, Variables, bool]]:
    """What `up` was asked to start, which it says that it did."""
    asked: list[tuple[Place, Variables, bool]] = []

    def start(place: Place, variables: Variables, *, same_key: bool) -> int:
        asked.append((place, variables, same_key))
        return 0

    monkeypatch.setattr(up, "start", start)
    return asked


def test_up_hands_on_everything_that_was_said(started: list[tuple[Place, Variables, bool]], tmp_path: Path) -> None:
    said = ["--account", "a.json", "--venue", "kraken", "--mode", "live", "--venue-options", "{}"]
    done = run("up", *said, "--symbols", "BTC/USD", "--sandbox", "false", "--same-key", "--folder", str(tmp_path))
    assert (done.exit_code, done.stderr) == (OK, "")
    ((place, variables, same_key),) = started
    assert variables == Variables("a.json", "kraken", "live", "{}", "BTC/USD", "false")
    assert (place.folder, same_key) == (tmp_path, True)


def test_the_empty_variables_of_make_say_nothing(started: list[tuple[Place, Variables, bool]]) -> None:
    names = ("account", "venue", "mode", "venue-options", "symbols", "sandbox", "same-key")
    assert run("up", *(f"--{name}=" for name in names)).exit_code == OK
    ((_, variables, same_key),) = started
    assert (variables, same_key) == (Variables(), False)


def test_up_ends_as_the_daemon_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "start", lambda *_, **__: 7)
    assert run("up").exit_code == 7


def test_an_interrupted_start_says_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "start", interrupt)
    done = run("up")
    assert (done.exit_code, done.stderr) == (INTERRUPTED, "belay: interrupted; what was started is stopped\n")


# --- tick -------------------------------------------------------------------------------------------


@pytest.fixture
def fired(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was delivered of two schedules that are deployed where a stack runs."""
    delivered: list[tuple[str, str]] = []
    hourly, payload = Cron("0 * * * *"), '{"at": "<aws.scheduler.scheduled-time>"}'
    schedules = [Schedule(name, f"arn:{name}", hourly, "evaluator", payload) for name in ("one", "two")]
    monkeypatch.setattr(up, "announcement", lambda _: {})
    monkeypatch.setattr(up, "local_clients", lambda _: lambda _service: None)
    monkeypatch.setattr(up, "deployed_schedules", lambda _: schedules)
    monkeypatch.setattr(up, "deliver_with", lambda _: lambda *fired: delivered.append(fired))
    return delivered


def test_a_tick_fires_each_schedule_for_its_last_time(fired: list[tuple[str, str]]) -> None:
    done = run("tick", "--at", "2026-11-20T13:30:00+01:00")
    assert (done.exit_code, done.stderr) == (OK, "")
    assert done.stdout == "".join(f"{name} fired for 2026-11-20 12:00:00Z\n" for name in ("one", "two"))
    assert fired == [("evaluator", '{"at": "2026-11-20T12:00:00Z"}')] * 2


def test_a_tick_of_one_schedule_fires_no_other(fired: list[tuple[str, str]]) -> None:
    assert run("tick", "two", "--at", "2026-11-20T12:00:00Z").stdout == "two fired for 2026-11-20 12:00:00Z\n"
    assert len(fired) == 1


def test_a_tick_of_a_schedule_that_there_is_not_names_those_there_are(fired: list[tuple[str, str]]) -> None:
    refused = run("tick", "three")
    assert refused.stderr == "belay: SCHEDULE: there is no schedule three. Schedules: one, two.\n"
    assert (refused.exit_code, fired) == (BAD_INPUT, [])


# --- demo -------------------------------------------------------------------------------------------

SUMMARY: dict[str, Any] = {
    "market": "generated, seed 7",
    "candles": 60,
    "slots": 24,
    "decisions": {"hold": 24},
    "holds_by_reason": {"no_cross": 24},
    "orders": {},
    "venue_orders": 0,
    "duplicate_venue_orders": 0,
    "fills": 0,
    "faults_injected": {},
    "function_crashes_injected": 0,
    "unknown_open": 0,
    "incidents_open": 0,
    "balances_match": True,
    "equity": {"start": "10000", "end": "10000"},
    "seconds": 1,
}


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool, Path]]:
    """Slots, seed, chaos and folder of each demo that was run, without a stack."""
    runs: list[tuple[int, int, bool, Path]] = []

    def live_through(market: Market, seed: int, chaos: bool, folder: Path, *_: object) -> dict[str, Any]:
        runs.append((len(market.slots), seed, chaos, folder))
        return SUMMARY

    monkeypatch.setattr(demo, "live_through", live_through)
    monkeypatch.setattr(demo, "examine", lambda _: [Checked("fills", "0 fills")])
    return runs


def test_a_demo_takes_what_its_options_say_before_what_the_variables_of_make_say(
    lived: list[tuple[int, int, bool, Path]], tmp_path: Path
) -> None:
    variables = {"HOURS": "24", "SEED": "7", "CHAOS": "0", "OUTPUT": str(tmp_path / "one"), "CANDLES": ""}
    assert run("demo", **variables).exit_code == OK
    options = ["--hours", "48", "--seed", "8", "--chaos", "1", "--output", str(tmp_path / "two")]
    assert run("demo", *options, **variables).exit_code == OK
    assert lived == [(24, 7, False, tmp_path / "one"), (48, 8, True, tmp_path / "two")]


def test_a_demo_has_its_own_hours_and_faults_where_nothing_is_said(
    lived: list[tuple[int, int, bool, Path]], tmp_path: Path
) -> None:
    unsaid = {"HOURS": "", "CHAOS": "", "SEED": "7", "CANDLES": ""}
    assert run("demo", **unsaid, OUTPUT=str(tmp_path / "demo")).exit_code == OK
    assert lived == [(240, 7, True, tmp_path / "demo")]


@pytest.mark.usefixtures("lived")
def test_a_demo_prints_its_summary_for_a_person_or_as_one_document(tmp_path: Path) -> None:
    asked = ["demo", "--hours", "24", "--seed", "7", "--output", str(tmp_path / "demo")]
    read = run(*asked)
    assert f"The whole story: {tmp_path}/demo/report.html" in "".join(read.stdout.splitlines())
    assert "Nothing doubled, nothing unknown" in read.stdout
    assert json.loads(run(*asked, "--json").stdout) == json.loads(run("--json", *asked).stdout) == SUMMARY


@pytest.mark.usefixtures("lived")
def test_a_demo_that_is_not_clean_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Checked("fills", "0 fills", (Broken("fills", "f1", "0", "1"),))
    monkeypatch.setattr(demo, "examine", lambda _: [broken])
    done = run("demo", "--hours", "24", "--seed", "7", "--output", str(tmp_path / "demo"))
    assert (done.exit_code, done.stderr) == (FAILED, "")


@pytest.mark.usefixtures("lived")
def test_every_signal_to_end_unwinds_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "live_through", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    done = run("demo", "--hours", "24", "--seed", "7", "--output", str(tmp_path / "demo"))
    assert (done.exit_code, done.stderr) == (INTERRUPTED, "belay: interrupted; the local stack is stopped\n")
