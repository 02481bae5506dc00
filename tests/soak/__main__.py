"""`python -m tests.soak`: the demo for many seeds, then hundreds of orders by hand at each venue's server, with every
fault; then books and ledger; then a thousand lives of an ordinary account in memory, and twenty over the wire.

Writes build/soak/summary.json. Exit code 0: no order twice, none unaccounted for, nine of ten in the venue's books.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from belay.cli.make_variables import whole
from belay.domain.errors import InvalidInput
from tests.soak.compare import Compared
from tests.soak.plan import FAULTS, WHOLE_RUN
from tests.soak.run import soak

BUILD = Path("build/soak")
SHARES = {"binance": 1.0, "kraken": 0.12}  # the second run is a smaller one
FEWEST = 50  # what it takes to deal every fault once
SYMBOLS, REACHED = 20, 0.9
WIRED_LIVES = ["--wire", "--runs", "20"]
SEEDS = "1 2 3 4 5 6 7 8 9 10"


def main(given: Sequence[str] | None = None) -> int:
    arguments = _arguments(given)
    try:
        seeds = [whole("SEEDS", seed, 0) for seed in (arguments.seeds or SEEDS).split()]
        intents = whole("INTENTS", arguments.intents or str(WHOLE_RUN), 1)
        seed = whole("SEED", arguments.seed or "1", 0)
    except InvalidInput as error:
        sys.stderr.write(f"soak: {error}\n")
        return 2
    if failed := [str(seed) for seed in seeds if not _demo(seed)]:
        sys.stderr.write(f"soak: the demo failed for seed {', '.join(failed)}\n")
        return 1
    began, done = time.monotonic(), list[Compared]()
    for venue in arguments.venues.split(","):
        done.append(soak(venue, BUILD / venue, seed, max(int(intents * SHARES[venue]), FEWEST)))
    summary = _summary(done, seed, time.monotonic() - began)
    path = BUILD / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    _show(Console(highlight=False), done, summary)
    sys.stdout.write(f"Written to {path}\n")
    return 0 if summary["passed"] and _lives() else 1


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seeds", help=f"of the demos, separated by blanks; default: {SEEDS}")
    parser.add_argument("--intents", help=f"orders at Binance's server, {FEWEST} at least; fewer at Kraken's")
    parser.add_argument("--seed", help="of orders, faults and prices; default: 1")
    parser.add_argument("--venues", default=",".join(SHARES), help="separated by commas")
    return parser.parse_args(given)


def _demo(seed: int) -> bool:
    """Whether the demo finds nothing wrong."""
    sys.stdout.write(f"Demo, seed {seed}\n")
    sys.stdout.flush()
    environment = os.environ | {"SEED": str(seed), "OUTPUT": str(BUILD / f"demo-{seed}")}
    command = [sys.executable, "-m", "belay.cli.main", "demo"]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _lives() -> bool:
    """Whether every account that lives beside Belay ends clean, or says how it becomes clean: in memory, then over the
    wire."""
    lives = [sys.executable, "-m", "tests.real_account"]
    return all(subprocess.run([*lives, *which], check=False).returncode == 0 for which in ([], WIRED_LIVES))


def _summary(done: list[Compared], seed: int, seconds: float) -> dict[str, Any]:
    intents, reached = sum(run.intents for run in done), sum(run.reached for run in done)
    problems = [f"{run.venue}: {problem}" for run in done for problem in run.problems]
    if reached < REACHED * intents:
        problems.append(f"only {reached} of {intents} orders are in the venues' books")
    if max(run.symbols for run in done) < min(SYMBOLS, intents // 5):
        problems.append(f"fewer than {SYMBOLS} symbols")
    return {
        "passed": not problems,
        "problems": problems,
        "seed": seed,
        "seconds": round(seconds),
        "intents": intents,
        "reached": reached,
        "duplicates": sum(run.duplicates for run in done),
        "unaccounted": sum(len(run.unaccounted) for run in done),
        "venues": {run.venue: asdict(run) for run in done},
    }


def _show(console: Console, done: list[Compared], summary: dict[str, Any]) -> None:
    table = Table("", *(run.venue for run in done), box=None)
    rows: dict[str, list[object]] = {
        "orders asked for": [run.intents for run in done],
        "received by the server": [run.received for run in done],
        "in its books": [run.reached for run in done],
        "symbols": [run.symbols for run in done],
        "duplicates": [run.duplicates for run in done],
        "unaccounted for": [len(run.unaccounted) for run in done],
        "other differences": [len(run.differences) for run in done],
        "executors killed": [run.kills for run in done],
    }
    states = sorted({state for run in done for state in run.outcomes})
    rows |= {state: [run.outcomes.get(state, 0) for run in done] for state in states}
    rows |= {f"fault {name}": [run.faults.get(name, 0) for run in done] for name in FAULTS}
    for name, values in rows.items():
        table.add_row(name, *map(str, values))
    console.print(table)
    for problem in summary["problems"]:
        console.print(f"FAILED  {problem}")
    minutes, seconds = divmod(summary["seconds"], 60)
    verdict = "passed" if summary["passed"] else "FAILED"
    console.print(f"{verdict}: seed {summary['seed']}, {summary['intents']} orders in {minutes}:{seconds:02}")


if __name__ == "__main__":
    sys.exit(main())
