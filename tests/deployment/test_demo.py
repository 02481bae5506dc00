"""The demo as a stranger runs it, shorter: exit code, summary, report, its checker, and the same orders in a replay."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from belay.adapters.paper.candle_files import COLUMNS, generated_candles
from belay.demo.market import GENERATED_FROM, SYMBOL, TIMEFRAME, WARM_UP
from belay.local.programs import ROOT
from belay.local.schedules import read_schedules
from tests.scheduled import own_schedules

HOURS, SEED = 24, 4
# A schedule that was added to the demo's market is part of its run, and one of another account or market is not.
MARKET = {"account": "paper", "symbol": SYMBOL, "timeframe": TIMEFRAME}
STRATEGIES = sum(MARKET.items() <= schedule.event.items() for schedule in read_schedules(ROOT / "template.yaml"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which a demo of a generated market ran, and the summary that it printed."""
    folder = tmp_path_factory.mktemp("demo") / "output"
    command = [
        sys.executable,
        "-m",
        "belay.cli.main",
        "demo",
        "--hours",
        str(HOURS),
        "--seed",
        str(SEED),
        "--output",
        str(folder),
        "--json",
    ]
    own = {"CANDLES", "HOURS", "SEED", "CHAOS"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return folder, json.loads(finished.stdout)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows" / name).read_text().splitlines()]


def test_the_demo_trades_under_faults_and_finds_nothing_doubled_unknown_or_unexplained(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    folder, summary = demo
    assert summary == json.loads((folder / "summary.json").read_text())
    assert (summary["slots"], summary["evaluations"]) == (HOURS, HOURS * STRATEGIES)
    assert (summary["seed"], summary["chaos"]) == (SEED, True)
    assert summary["venue_orders"] > 0
    assert summary["fills"] > 0
    assert sum(summary["faults_injected"].values()) > 0
    assert (summary["duplicate_venue_orders"], summary["unknown_open"], summary["balances_match"]) == (0, 0, True)
    assert "generated" in summary["market"]


def test_the_demos_figures_are_those_of_its_raw_rows(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = demo
    kinds = Counter(row["sk"].split("#")[2] if row["sk"].count("#") > 1 else "" for row in rows(folder, "ledger.jsonl"))
    decisions = [row for row in rows(folder, "ledger.jsonl") if row["sk"] == "DECISION"]
    assert len(decisions) == sum(summary["decisions"].values()) == HOURS * STRATEGIES
    assert kinds["FILL"] == summary["fills"]
    requests = [json.loads(r["body"]) for r in rows(folder, "paper.jsonl") if r["sk"].startswith("SUBMISSION#")]
    accepted = Counter(r["request"]["client_order_id"] for r in requests if r["code"] == "ACCEPTED")
    assert set(accepted.values()) == {1}
    assert len(accepted) == summary["venue_orders"]


def test_the_checker_agrees_until_a_row_is_planted(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    command = [sys.executable, "-m", "belay.demo.check", str(folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    paper, told = folder / "rows/paper.jsonl", (folder / "rows/paper.jsonl").read_text()
    order = next(row for row in rows(folder, "paper.jsonl") if row["sk"].startswith("ORDER#"))
    twin = {**json.loads(order["body"]), "venue_order_id": "999999999999"}
    try:
        with paper.open("a") as file:
            file.write(json.dumps({**order, "sk": "ORDER#999999999999", "body": json.dumps(twin)}) + "\n")
        planted = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        paper.write_text(told)
    assert planted.returncode == 1
    assert "999999999999" in planted.stdout


def test_the_report_is_one_page_that_tells_each_faulted_decision(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    page = (folder / "report.html").read_text()
    assert "plotly" in page
    faulted = {json.loads(r["body"])["client_order_id"] for r in rows(folder, "paper.jsonl") if "FAULT#" in r["sk"]}
    assert faulted
    assert all(order_id in page for order_id in faulted)


def test_a_replay_without_aws_decides_the_same_orders(demo: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Of the strategies that decide from the candles alone: what others hold depends on the demo's faults."""
    folder, _ = demo
    own = [schedule.strategy for schedule in own_schedules(ROOT / "template.yaml")]
    market = tmp_path / "candles.csv"
    with market.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for candle in generated_candles(SEED, WARM_UP + HOURS, TIMEFRAME, GENERATED_FROM):
            values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            lines.writerow((int(candle.open_time.timestamp() * 1000), *values))
    asked = ["replay", *own, "--candles", str(market), "--hours", str(HOURS), "--json"]
    command = [str(Path(sys.executable).with_name("belay")), *asked]
    replayed = subprocess.run(command, capture_output=True, text=True, check=True)
    placed = [row for row in rows(folder, "ledger.jsonl") if row["pk"].startswith("ORDER#")]
    strategies = {row["pk"].split("#")[1]: json.loads(row["body"])["decision_id"].split(".")[2] for row in placed}
    deployed = {order_id for order_id, strategy in strategies.items() if strategy in own}
    assert {order["order_id"] for order in json.loads(replayed.stdout)["orders"]} == deployed
