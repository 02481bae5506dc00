"""What the pages show works as it stands there, where they point there is something, and nothing is left unsaid.

What needs the tools of `make setup`, or takes longer, is in tests/integration/test_docs.py.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore import xform_name
from botocore.session import get_session
from typer.testing import CliRunner

from belay.adapters.live.profiles import profile_of
from belay.cli.main import app
from belay.cli.terminal import Terminal
from belay.cli.views import missing_limits
from belay.demo import run as demo
from belay.demo.check_rules import CHECKS as CHECKS_OF_A_RUN
from belay.demo.summary import count
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.incidents import IncidentKind
from belay.local.stack import STAGE
from tests.pages import ROOT, page, pages
from tests.rights import MAY_WRITE
from tests.unit.cli.test_cli import Office, Switch
from tests.unit.demo.test_summary import evaluations, ledger, paper
from tests.unit.test_template import ALARMS, FUNCTIONS, TEMPLATE

LANGUAGES = {"json", "python", "sh", "text"}
# Of these only the form is looked at here: sam is asked in tests/integration/test_docs.py.
OPTIONS_OF_AWS = {"query", "region", "profile", "output"}
# What a reader is to write there.
NOT_YET = {"functions/evaluator/strategies/above_average.py"}
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
# These open nothing and ask nobody: they are run as they stand.
HARMLESS = ("account example", "venues")

PATHS = [page.path for page in pages()]
COMMANDS = sorted({command for page in pages() for command in page.shown()})
MENTIONS = sorted({command for page in pages() for command in page.mentioned()} - set(COMMANDS))


# --- pages and links -------------------------------------------------------------------------------------------------


def test_every_room_has_its_page() -> None:
    rooms = {"", "events", "functions", "shared", "shared/belay/adapters/live", "tests"}
    assert {str(Path(room) / "README.md") for room in rooms} <= set(PATHS)
    assert {"CHANGELOG.md", "SECURITY.md", "shared/RUNBOOK.md"} <= set(PATHS)


def test_the_first_page_is_short_enough_to_be_read_whole() -> None:
    assert len(page("README.md").text.splitlines()) <= 250


@pytest.mark.parametrize("path", PATHS)
def test_every_link_of_a_page_leads_somewhere(path: str) -> None:
    folder = (ROOT / path).parent
    for link in page(path).links:
        target, _, anchor = link.partition("#")
        file = (folder / target).resolve() if target else ROOT / path
        assert file.exists(), f"{link}: there is no such file"
        assert file.is_relative_to(ROOT), f"{link}: leads out of the project"
        if anchor:
            assert anchor in page(str(file.relative_to(ROOT))).anchors, f"{link}: there is no such heading"


@pytest.mark.parametrize("path", PATHS)
def test_every_file_that_a_page_names_is_there(path: str) -> None:
    """A path in backticks that begins at the root of the project."""
    named = {span for span in page(path).spans if re.fullmatch(r"(functions|shared|tests|events)/[\w./-]+", span)}
    missing = {
        span for span in named - NOT_YET if not (ROOT / span).exists() and not (Path(path).parent / span).exists()
    }
    assert missing == set()


@pytest.mark.parametrize("path", PATHS)
def test_every_block_says_what_it_is(path: str) -> None:
    """A block that is not marked as commands would not be tried."""
    assert page(path).languages() <= LANGUAGES


@pytest.mark.parametrize("path", [p for p in PATHS if p not in ("README.md", "CHANGELOG.md")])
def test_a_page_can_be_reached_from_the_first_one(path: str) -> None:
    reached, to_read = set[str](), ["README.md"]
    while to_read:
        here = to_read.pop()
        reached.add(here)
        targets = {(ROOT / here).parent / link.partition("#")[0] for link in page(here).links if link[0] != "#"}
        found = {str(target.resolve().relative_to(ROOT)) for target in targets}
        to_read += (found & set(PATHS)) - reached
    assert path in reached


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_python_block_is_python_and_every_json_block_json(path: str) -> None:
    for source in page(path).blocks("python"):
        compile(source, path, "exec")
    for text in page(path).blocks("json"):
        json.loads(text)


def test_the_live_account_is_whole_and_its_venue_is_known() -> None:
    (text,) = page("shared/belay/adapters/live/README.md").blocks("json")
    document = AccountDocument.parse(text)
    document.require_live("prod")
    assert missing_limits(document) == []
    assert profile_of(document).name == document.venue


def test_the_environment_for_one_function_is_the_one_that_the_template_gives_it() -> None:
    (text,) = page("events/README.md").blocks("json")
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    for function, given in json.loads(text).items():
        declared = {**shared, **FUNCTIONS[function]["Environment"]["Variables"]}
        assert given.keys() == {name for name, value in declared.items() if "Ref" in value} - {"STAGE"}


# --- commands --------------------------------------------------------------------------------------------------------


def parsed_only() -> Any:
    """The whole command, with every option and argument as it is, and nothing behind it."""

    def emptied(command: Any) -> None:
        command.callback = lambda **_: None
        for part in getattr(command, "commands", {}).values():
            emptied(part)

    command = typer.main.get_command(app)
    emptied(command)
    return command


def belay(words: list[str], _: Path) -> None:
    """Read whole, with the values that are there; what can be done without a stage is done."""
    with pytest.raises(SystemExit) as ended:
        parsed_only().main(args=words, prog_name="belay")
    assert ended.value.code == 0
    if " ".join(words).startswith(HARMLESS):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
        assert done.stdout


def make(words: list[str], _: Path) -> None:
    """The targets exist and take these variables."""
    dry_run(words)


def dry_run(words: list[str]) -> str:
    """What make would run; nothing is made."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    tried = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, env=kept, capture_output=True, text=True, check=False
    )
    assert tried.returncode == 0, tried.stderr
    return tried.stdout


def python(words: list[str], _: Path) -> None:
    """The module takes these options; pytest finds what is asked for."""
    assert words[0] == "-m"
    assert importlib.util.find_spec(words[1]) is not None
    last = "--collect-only" if words[1] == "pytest" else "--help"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT)])}
    asked = subprocess.run(
        [sys.executable, *words, last], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    if last == "--help":  # argparse asks nothing of the others then
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", asked.stdout))


def aws(words: list[str], _: Path) -> None:
    """The operation exists, has each of these options, and needs no other."""
    operation = {xform_name(name, "-"): name for name in get_session().get_service_model(words[0]).operation_names}
    shape = get_session().get_service_model(words[0]).operation_model(operation[words[1]]).input_shape
    assert shape is not None
    given = {word.removeprefix("--") for word in words if word.startswith("--")} - OPTIONS_OF_AWS
    assert given <= {xform_name(name, "-") for name in shape.members}
    assert {xform_name(name, "-") for name in shape.required_members} <= given
    if "--log-group-name" in words:
        groups = [body["Properties"]["LogGroupName"]["Fn::Sub"] for body in of_type("AWS::Logs::LogGroup")]
        assert words[words.index("--log-group-name") + 1] in {group.replace("${Stage}", "prod") for group in groups}


def of_type(kind: str) -> Iterable[dict[str, Any]]:
    return (body for body in TEMPLATE["Resources"].values() if body["Type"] == kind)


def sam(words: list[str], _: Path) -> None:
    """Its files and functions exist; its options are tried where sam is."""
    given = dict(pairwise(words))
    assert (ROOT / given.get("--event", "events")).exists()
    assert words[:2] != ["local", "invoke"] or words[2] in FUNCTIONS


CHECKS: dict[str, Callable[[list[str], Path], None]] = {
    ".venv/bin/python": python,
    "aws": aws,
    "belay": belay,
    "make": make,
    "sam": sam,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_shown_can_be_given_so(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = shlex.split(command)
    assert program in CHECKS, f"nobody tries `{program}` yet: say how"
    for name in (word for word in words if word.endswith((".json", ".csv"))):
        if "/" not in name:
            (tmp_path / name.split("=")[-1]).write_text("{}")
    monkeypatch.chdir(tmp_path)
    CHECKS[program](words, tmp_path)


@pytest.mark.parametrize("command", MENTIONS)
def test_every_command_that_is_mentioned_exists_with_each_of_its_options(command: str, tmp_path: Path) -> None:
    """Values are left out there. `--help` comes last: what stands before it is read, but nothing is done."""
    program, *words = shlex.split(command)
    if program != "belay":
        CHECKS[program](words, tmp_path)
        return
    asked = CliRunner().invoke(app, [*words, "--help"])
    assert asked.exit_code == 0, asked.stderr
    assert "Usage: " in asked.stdout


def test_the_first_start_on_paper_goes_as_the_first_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands one after the other at one desk, whose switch is halted until it is released."""
    office = Office(switch=Switch(level=StopLevel.HALTED))
    monkeypatch.chdir(tmp_path)
    lines = [line for line in page("README.md").section("## Deploying in paper mode").shown() if line[:6] == "belay "]
    printed = {line: office.text(*shlex.split(line)[1:]) for line in lines[:1]}
    (tmp_path / "account.json").write_text(printed["belay account example"])
    printed |= {line: office.text(*shlex.split(line)[1:]) for line in lines[1:]}
    assert len(lines) == 4
    assert office.switch.level is StopLevel.RUNNING
    assert "Account paper" in printed[lines[-1]]


def test_the_schedule_that_is_fired_by_hand_is_one_of_the_templates() -> None:
    (command,) = [command for command in page("events/README.md").shown() if "belay tick " in command]
    names = [event["Properties"]["Name"]["Fn::Sub"] for event in FUNCTIONS["EvaluatorFunction"]["Events"].values()]
    assert command.split()[-1] in {name.replace("${Stage}", STAGE) for name in names}


# --- what is said to be whole ----------------------------------------------------------------------------------------


def row_names(text: str) -> list[str]:
    """The first cells of the rows of a table, below its heading."""
    return [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")][1:]


def entries(title: str) -> dict[str, str]:
    """The entries of a chapter of the runbook, by name."""
    chapter = page("shared/RUNBOOK.md").section(title).text
    names = re.findall(r"^### (.+)$", chapter, re.MULTILINE)
    assert len(names) == len(set(names))
    return dict(zip(names, re.split(r"^### .+$", chapter, flags=re.MULTILINE)[1:], strict=True))


def test_the_runbook_has_an_entry_for_every_alarm_and_no_other() -> None:
    alarms = {alarm["AlarmName"]["Fn::Sub"].removeprefix("belay-${Stage}-") for alarm in ALARMS.values()}
    assert entries("## Alarms").keys() == alarms


def test_the_runbook_has_an_entry_for_every_incident_and_no_other() -> None:
    assert entries("## Incidents").keys() == {kind.value for kind in IncidentKind}


@pytest.mark.parametrize(
    ("chapter", "name"), [(chapter, name) for chapter in ("## Alarms", "## Incidents") for name in entries(chapter)]
)
def test_an_entry_of_the_runbook_says_what_it_means_where_to_look_and_how_to_go_on(chapter: str, name: str) -> None:
    parts = re.findall(r"^- \*\*(.+?):\*\* \S", entries(chapter)[name], re.MULTILINE)
    assert parts == ["Means", "First look", "Way on"]


def test_the_table_of_who_may_write_is_that_of_the_roles() -> None:
    told = page("shared/README.md").text.split("<!-- writers: begin -->")[1].split("<!-- writers: end -->")[0]
    heading, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.strip().splitlines()]
    found = {row[0]: {table for table, cell in zip(heading, row, strict=True) if cell == "writes"} for row in rows}
    assert found == {who: set(tables) for who, tables in MAY_WRITE.items()}


def test_every_room_of_the_package_and_every_tier_of_the_tests_is_in_its_pages_table() -> None:
    house, tests = page("shared/README.md").section("## Rooms"), page("tests/README.md")
    rooms = {entry.name for entry in (ROOT / "shared/belay").iterdir() if (entry / "__init__.py").exists()}
    assert rooms <= {name.rpartition("/")[2] for name in house.links}
    tiers = {folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name[0] not in "_."}
    assert tiers <= {link.strip("/") for link in tests.links}


def test_the_first_page_shows_the_demos_figures_as_it_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines by name, in their order; the figures are those of one run."""
    counted = count(ledger(), paper(), evaluations())
    demo.show_summary(Terminal(width=100), {"market": "a market", **counted, "seconds": 1})
    assert names_of(printed_by_the_demo()) == names_of(capsys.readouterr().out)


def test_the_first_page_shows_what_make_test_runs() -> None:
    (shown,) = [body for body in page("README.md").blocks("text") if "pytest" in body]
    assert [line for line in shown.splitlines() if line != "…"] == [
        line for line in dry_run(["test"]).splitlines() if "-m pytest" in line
    ]


def test_the_first_page_shows_checks_of_the_demo_by_their_names_and_how_many_there_are() -> None:
    shown = re.findall(r"^ok   (.+?): ", printed_by_the_demo(), re.MULTILINE)
    assert shown
    assert set(shown) <= {check.name for check in CHECKS_OF_A_RUN}
    assert f"green: all {len(CHECKS_OF_A_RUN) + 1} checks hold" in printed_by_the_demo()  # and that of the summary


def printed_by_the_demo() -> str:
    (shown,) = [body for body in page("README.md").blocks("text") if "The whole run" in body]
    return shown


def names_of(text: str) -> list[str]:
    """What each line of the figures begins with."""
    figures = text.split("The whole run")[1].split("Nothing doubled")[0].split("Not clean")[0]
    return [line.split()[0] for line in figures.splitlines() if re.match(r"[a-z]+  ", line)]


def test_the_license_is_the_standard_text() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"], project["readme"]) == ("Apache-2.0", ["LICENSE"], "README.md")
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
