"""The command as a whole: its pages, where its options may stand, what it completes, how it ends, what it loads."""

import json
import os
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from botocore.exceptions import EndpointConnectionError
from typer.main import get_command
from typer.testing import CliRunner, Result

from belay.cli.commands.local import Timeframe
from belay.cli.exits import BAD_INPUT, EXIT_CODES, FAILED, INTERRUPTED, OK
from belay.cli.main import app, told_of
from belay.cli.session import SHARED, WRITTEN
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.slots import TIMEFRAMES
from belay.local.programs import ROOT, StackError
from tests.builders import make_configuration
from tests.unit.cli.test_cli import Office

WIDE = {"COLUMNS": "300"}


def pages(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and every group, by the words that lead to it."""
    for name, below in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from pages(below, (*path, name))


PAGES = list(pages(get_command(app)))
COMMANDS = [path for path in PAGES if not any(other[:-1] == path for other in PAGES)]
EACH_PAGE = pytest.mark.parametrize("path", PAGES, ids=" ".join)


def run(*arguments: str, obj: object = None, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=obj, env=WIDE | environment)


@pytest.fixture
def office() -> Office:
    office = Office()
    office.ledger.store_configuration(make_configuration())
    return office


# --- pages ----------------------------------------------------------------------------------------


def test_there_is_one_command_line_for_everything() -> None:
    assert {path[0] for path in COMMANDS} >= {"status", "account", "replay", "demo", "up", "down", "tick"}


@EACH_PAGE
def test_every_page_gives_an_example_of_its_command_that_can_be_typed(path: tuple[str, ...]) -> None:
    page = run(*path, "--help").stdout
    (example,) = [line.partition("Example: ")[2].strip() for line in page.splitlines() if "Example: " in line]
    words = shlex.split(example.partition(" > ")[0])
    assert words[: len(path) + 1] == ["belay", *path]
    typed = run(*words[1:], "--help")  # everything before it is read, and nothing is done
    assert (typed.exit_code, typed.stderr) == (OK, "")


@EACH_PAGE
def test_a_page_is_shown_for_h_too(path: tuple[str, ...]) -> None:
    assert run(*path, "-h").stdout == run(*path, "--help").stdout != ""


def test_the_first_page_groups_the_commands_and_tells_every_exit_code() -> None:
    page = run("-h").stdout
    for title in ("How it stands", "Stopping", "Orders by hand", "Before trading", "On this machine", "Shared options"):
        assert f" {title} " in page
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in page
    assert run().stdout == page


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert run("--version").stdout == f"belay {project['version']}\n"


# --- where options may stand ------------------------------------------------------------------------


class Opened:
    """Which stage was asked for."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, stage: str, local: bool) -> Any:
        self.asked.append((stage, local))
        return self.office.desk()


@pytest.mark.parametrize(
    "arguments",
    [
        "--stage prod --account paper --json account show",
        "account --stage prod --account paper --json show",
        "account show --stage=prod --account paper --json",
        "--account paper account --json show --stage prod",
        "--stage dev account --stage test show --stage prod --account=paper --json",
    ],
)
def test_a_shared_option_stands_before_or_after_and_the_nearest_one_wins(office: Office, arguments: str) -> None:
    opened = Opened(office)
    done = run(*arguments.split(), obj=opened, BELAY_STAGE="another")
    assert json.loads(done.stdout)["version"] == 1
    assert opened.asked == [("prod", False)]


@pytest.mark.parametrize("arguments", ["--local status", "status --local", "status --local --stage dev"])
def test_the_local_stack_has_its_own_stage_whatever_the_environment_names(office: Office, arguments: str) -> None:
    opened = Opened(office)
    done = run(*arguments.split(), obj=opened, BELAY_STAGE="prod")
    assert done.exit_code == OK
    assert opened.asked == [("dev", True)]


@pytest.mark.parametrize("arguments", ["--local --stage prod halt", "--stage prod halt --local"])
def test_another_stage_beside_local_is_refused_and_nothing_is_opened(office: Office, arguments: str) -> None:
    opened = Opened(office)
    refused = run(*arguments.split(), obj=opened)
    assert (refused.exit_code, refused.stdout) == (BAD_INPUT, "")
    assert refused.stderr.startswith("belay: --stage: prod was named, but --local acts on the stack of this machine")
    assert opened.asked == []


@pytest.mark.parametrize(("environment", "stage"), [({"BELAY_STAGE": "prod"}, "prod"), ({"BELAY_STAGE": ""}, "dev")])
def test_the_stage_is_that_of_the_environment_where_none_is_named(
    office: Office, environment: dict[str, str], stage: str
) -> None:
    opened = Opened(office)
    assert run("status", obj=opened, **environment).exit_code == OK
    assert opened.asked == [(stage, False)]


def test_what_looks_like_a_shared_option_may_be_the_value_of_another(office: Office) -> None:
    office.text("halt", "--reason", "--json")
    assert [reason for _, reason, _ in office.switch.writes] == ["--json"]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_shared_option_in_front_of_a_command_that_does_not_have_it_is_refused(path: tuple[str, ...]) -> None:
    shown = run(*path, "--help").stdout.partition("Shared options")[2]
    for name in (name for name in SHARED if f"{WRITTEN[name]} " not in shown):
        value = [] if name in ("local", "as_json") else ["x"]
        refused = run(WRITTEN[name], *value, *path)
        assert refused.stderr == f"belay: {WRITTEN[name]}: belay {' '.join(path)} has no such option. Leave it out.\n"
        assert (refused.exit_code, refused.stdout) == (BAD_INPUT, "")


def test_only_what_runs_here_lacks_a_shared_option() -> None:
    pages = {path: run(*path, "--help").stdout.partition("Shared options")[2] for path in COMMANDS}
    lacking = {path[0] for path, page in pages.items() if not all(f"{option} " in page for option in WRITTEN.values())}
    assert lacking == {"up", "down", "tick", "demo"}


def _nowhere(_stage: str, _local: bool) -> Any:
    raise ConnectionError("no route to the stage")


# --- choices and completion -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        ("halt --level x", "'halted', 'reduce-only'"),
        ("release --scope x", "'all', 'account'"),
        ("orders --state x", "'created', 'submitted', 'acknowledged'"),
        ("order --symbol BTC/USD --side x", "'buy', 'sell'"),
        ("order --symbol BTC/USD --side buy --time-in-force x", "'gtc', 'ioc'"),
        ("replay --timeframe x", "'1m', '5m', '15m', '30m', '1h', '4h', '1d'"),
    ],
)
def test_what_is_no_choice_is_refused_with_the_list_and_the_page_to_read(arguments: str, choices: str) -> None:
    words = arguments.split()
    refused = run(*words, obj=_nowhere)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (BAD_INPUT, "", 1)
    assert refused.stderr.startswith(f"belay: Invalid value for '{words[-2]}': 'x' is not one of {choices}")
    assert refused.stderr.endswith(f". See `belay {words[0]} --help`.\n")


def test_every_timeframe_there_is_can_be_replayed() -> None:
    assert get_args(Timeframe) == tuple(TIMEFRAMES)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("belay ha", ["halt"]),
        ("belay account s", ["set", "show"]),
        ("belay halt --level ", ["halted", "reduce-only"]),
        ("belay orders --state UNK", ["UNKNOWN"]),
        ("belay venues kra", ["kraken"]),
        ("belay --local up --venue kra", ["kraken"]),
        ("belay halt --sta", ["--stage"]),
    ],
)
def test_the_shell_is_offered_what_can_be_typed(typed: str, offered: list[str]) -> None:
    completing = {
        "_BELAY_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    assert run(**completing).stdout.split() == offered


def test_completion_is_shown_and_installed_for_the_shell_in_use(tmp_path: Path) -> None:
    program = f"{shlex.quote(sys.executable)} -m belay.cli.main"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("_TYPER")}

    def in_bash(option: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"{program} {option}; exit $?"],
            env=environment | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )

    assert "_BELAY_COMPLETE=complete_bash" in in_bash("--show-completion").stdout
    assert list(tmp_path.iterdir()) == []
    in_bash("--install-completion")
    assert "_BELAY_COMPLETE=complete_bash" in (tmp_path / ".bash_completions/belay.sh").read_text()


# --- how it ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        ("", "belay"),
        ("account", "belay account"),
        ("account set", "belay account set"),
        ("incidents resolve x", "belay incidents resolve"),
        ("demo", "belay demo"),
    ],
)
def test_a_mistake_names_the_page_of_the_command_that_it_was_made_in(arguments: str, page: str) -> None:
    refused = run(*arguments.split(), "--xyzzy")
    assert (refused.exit_code, refused.stdout) == (BAD_INPUT, "")
    assert refused.stderr == f"belay: No such option: --xyzzy. See `{page} --help`.\n"


def test_an_interrupt_is_one_line_and_its_own_exit_code() -> None:
    def interrupted(_stage: str, _local: bool) -> Any:
        raise KeyboardInterrupt

    done = run("status", obj=interrupted)
    assert (done.exit_code, done.stdout, done.stderr) == (INTERRUPTED, "", "belay: interrupted\n")


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (InvalidInput("--x", "is wrong", "Correct it."), "--x: is wrong. Correct it.", BAD_INPUT),
        (VenueUnavailable("the table gave no answer"), "the table gave no answer. Try again", FAILED),
        (typer.BadParameter("not that"), "Invalid value: not that. See `belay --help`.", BAD_INPUT),
        (StackError("it ended\nwhy it ended"), "it ended\nwhy it ended", FAILED),
        (ValueError("one\ntwo"), "one two", FAILED),
        (ValueError(), "ValueError", FAILED),
    ],
)
def test_each_failure_has_its_words_and_its_exit_code(error: Exception, message: str, code: int) -> None:
    assert told_of(error) == (message, code)
    assert code in EXIT_CODES


def test_aws_that_does_not_answer_is_named() -> None:
    message, code = told_of(EndpointConnectionError(endpoint_url="https://sqs.example"))
    assert message.startswith("AWS refused or did not answer: ")
    assert code == FAILED


# --- what it loads, and what it was -------------------------------------------------------------------


def test_no_charts_and_no_exchange_are_loaded_by_what_does_not_need_them() -> None:
    """A command that looks at a stage starts at once."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from belay.cli.main import app\n"
        "def nowhere(stage, local): raise ConnectionError('no route')\n"
        "assert CliRunner().invoke(app, ['status'], obj=nowhere).stderr == 'belay: no route\\n'\n"
        "print(*sys.modules)\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "belay.cli.main" in loaded
    heavy = ("plotly", "ccxt", "jinja2", "belay.demo", "belay.replay", "belay.pages", "belay.local.up")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_the_demo_as_it_was_started_once_names_the_command_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("belay.demo", run_name="__main__")
    assert ended.value.code == BAD_INPUT
    assert "this is `belay demo` now" in capsys.readouterr().err
