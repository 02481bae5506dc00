"""What the pages show of sam and of replays, tried with the tools and the candles that they need."""

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from belay.adapters.paper.candle_files import COLUMNS, generated_candles
from belay.cli.main import app
from belay.domain.slots import EPOCH
from belay.local.programs import ROOT, SAM
from belay.replay.plan import load_strategies
from tests.pages import page, pages

SHOWN = sorted({command for page in pages() for command in page.shown()})
GUIDE = page("functions/README.md")


@pytest.mark.parametrize("command", [command for command in SHOWN if command.startswith("sam ")])
def test_sam_takes_what_the_pages_give_it(command: str) -> None:
    """`--help` comes last: what stands before it is read, but nothing is done."""
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    words = [str(SAM), *shlex.split(command)[1:], "--help"]
    asked = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr


def write_candles(file: Path, hours: int) -> None:
    with file.open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(COLUMNS)
        for c in generated_candles(7, hours, "1h", datetime(2024, 1, 1, tzinfo=UTC)):
            at = (c.open_time - EPOCH) // timedelta(milliseconds=1)
            rows.writerow([at, c.open, c.high, c.low, c.close, c.volume])


@pytest.fixture
def dip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The guide's first strategy, where strategies are looked for."""
    strategies = sys.modules[load_strategies(ROOT).__module__]
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "dip.py").write_text(GUIDE.section("## Adding a strategy").blocks("python")[0])
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(folder)])
    yield
    sys.modules.pop("strategies.dip", None)


@pytest.mark.parametrize("command", [command for command in GUIDE.shown() if command.startswith("belay replay ")])
def test_a_replay_of_the_guide_runs_as_it_is_written(
    command: str, dip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_candles(tmp_path / "btc.csv", 800 if "--hours 720" in command else 100)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.stderr
    assert done.stdout
    assert (tmp_path / "replay.html").exists() == ("--plot replay.html" in command)
