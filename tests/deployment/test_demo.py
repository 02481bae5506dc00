"""The demo as a stranger runs it, shorter: its exit code, its summary, and the summary's figures counted once more."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HOURS = 24
KEYS = {
    *("market", "candles", "slots", "evaluations", "decisions", "holds_by_reason", "orders", "venue_orders"),
    *("duplicate_venue_orders", "fills", "unknown_open", "incidents_open", "balances_match", "equity", "seconds"),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which a demo of a generated market ran, and the summary that it printed."""
    folder = tmp_path_factory.mktemp("demo") / "output"
    command = [
        sys.executable,
        "-m",
        "belay.cli.demo",
        "--hours",
        str(HOURS),
        "--seed",
        "4",
        "--output",
        str(folder),
        "--json",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in {"CANDLES", "HOURS", "SEED"}}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return folder, json.loads(finished.stdout)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows" / name).read_text().splitlines()]


def test_the_demo_trades_and_finds_nothing_doubled_unknown_or_unexplained(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = demo
    assert summary.keys() == KEYS
    assert summary == json.loads((folder / "summary.json").read_text())
    assert (summary["slots"], summary["evaluations"]) == (HOURS, HOURS)
    assert summary["venue_orders"] > 0
    assert summary["fills"] > 0
    assert (summary["duplicate_venue_orders"], summary["unknown_open"], summary["balances_match"]) == (0, 0, True)
    assert "generated" in summary["market"]


def test_the_demos_figures_are_those_of_its_raw_rows(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = demo
    kinds = Counter(row["sk"].split("#")[2] if row["sk"].count("#") > 1 else "" for row in rows(folder, "ledger.jsonl"))
    decisions = [row for row in rows(folder, "ledger.jsonl") if row["sk"] == "DECISION"]
    assert len(decisions) == sum(summary["decisions"].values()) == HOURS
    assert kinds["FILL"] == summary["fills"]
    requests = [row for row in rows(folder, "paper.jsonl") if row["sk"].startswith("SUBMISSION#")]
    client_ids = Counter(json.loads(row["body"])["request"]["client_order_id"] for row in requests)
    assert set(client_ids.values()) == {1}
    assert len(client_ids) == summary["venue_orders"] == sum(summary["orders"].values())
