"""The Makefile as it is typed: what a variable says is text, to make, to the shell and to every recipe."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from belay.local.programs import ROOT

# Each recipe with the variables that it reads.
READ = {
    "build": ["ARCHITECTURE"],
    "demo": ["CANDLES", "HOURS", "SEED", "CHAOS", "OUTPUT"],
    "up": ["ACCOUNT", "VENUE", "MODE", "VENUE_OPTIONS", "SYMBOLS", "SANDBOX", "SAME_KEY"],
    "down": ["CLEAN"],
    "simulate": ["SECONDS", "SEED"],
    "soak": ["SEEDS", "INTENTS", "SEED"],
}
CASES = [(target, name) for target, names in READ.items() for name in names]
# What the others must be, for a variable to be looked at.
BESIDES = {
    ("up", "SYMBOLS"): {"MODE": "live", "VENUE": "binance", "SANDBOX": "true"},
    ("up", "SANDBOX"): {"MODE": "live", "VENUE": "binance"},
}
PREREQUISITES = ("setup", ".venv/.ready", ".tools/sam/.ready", ".tools/ministack/.ready")
VARIABLES = {name for names in READ.values() for name in names} | {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}

Finished = subprocess.CompletedProcess[str]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What is there once anything of a hostile value was run."""
    return tmp_path / "marker"


@pytest.fixture
def hostile(marker: Path) -> str:
    """Every way in which make or a shell could take it for its own: as it is, or in quotes of either kind."""
    run = f"touch {marker}"
    alone = ("$(shell {})", "$({})", "`{}`", "| {}", "&& {}", "; {} ;", "${{x:-$({})}}")
    ways = (*alone, '"; {} ; "', "'; {} ; '", "# {}")
    return " ".join(way.format(run) for way in ways)


def make(
    target: str, given: dict[str, str], environment: dict[str, str] | None = None, folder: Path = ROOT
) -> Finished:
    """Run a target as if everything that it needs were made. `given` are on the command line."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    made = [part for name in PREREQUISITES for part in ("-o", name)]
    command = ["make", "--no-print-directory", *made, target, *(f"{name}={value}" for name, value in given.items())]
    return subprocess.run(
        command, cwd=folder, env=kept | (environment or {}), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("target", "name"), CASES)
def test_a_hostile_value_is_refused_by_the_name_of_its_variable_and_nothing_of_it_runs(
    target: str, name: str, hostile: str, marker: Path, tmp_path: Path
) -> None:
    # A path that no folder can be made at: were it a good one, the demo would be run.
    value = hostile if name != "OUTPUT" else f"/dev/null/{hostile}"
    done = make(target, BESIDES.get((target, name), {}) | {name: value})
    assert done.returncode == 2, done.stdout + done.stderr
    told, ended = done.stderr.splitlines()
    assert re.search(rf": {name}[.:]", told)
    assert ended.startswith("make: *** ")
    assert not marker.exists()


# --- what arrives --------------------------------------------------------------------------------------------------

FAKE = f"""#!{sys.executable} -I
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, where a program that tells what it was called with stands in for Python and the command."""
    folder = tmp_path / "checkout"
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for program in (folder / ".venv/bin/python", folder / ".venv/bin/belay"):
        program.write_text(FAKE)
        program.chmod(0o755)
    return folder


@pytest.mark.parametrize("on_command_line", [True, False], ids=["on the command line", "in the environment"])
@pytest.mark.parametrize(("target", "name"), CASES)
def test_a_value_arrives_as_it_was_written(
    target: str, name: str, on_command_line: bool, checkout: Path, hostile: str, marker: Path
) -> None:
    given = {name: hostile}
    done = make(target, given, folder=checkout) if on_command_line else make(target, {}, given, folder=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    arguments, environment = json.loads(done.stdout)
    option = f"--{name.lower().replace('_', '-')}={hostile}"
    assert option in arguments or (target == "demo" and environment[name] == hostile)
    assert not marker.exists()


@pytest.mark.parametrize("target", ["demo", "up", "down"])
def test_what_runs_here_is_a_command_of_belay(target: str, checkout: Path) -> None:
    (checkout / ".venv/bin/python").unlink()
    arguments, _ = json.loads(make(target, {}, folder=checkout).stdout)
    assert arguments[0] == target


def test_what_is_no_variable_of_the_makefile_is_refused_so_that_none_of_its_own_is_replaced(
    checkout: Path, marker: Path
) -> None:
    for name in ("BIN", "SHELL", "BASH_ENV", "HOUR"):
        done = make("demo", {name: f"$(shell touch {marker})"}, folder=checkout)
        assert done.returncode == 2
        assert f"{name}: no such variable; these can be given: ACCOUNT " in done.stderr
    assert not marker.exists()
