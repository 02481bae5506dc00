"""`python -m tests.soak`: hundreds of orders by hand at each venue's server, with every fault; then books and ledger.

Writes build/soak/summary.json. Exit code 0: no order twice, none unaccounted for, nine of ten in the venue's books.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.soak.compare import Compared
from tests.soak.plan import FAULTS, WHOLE_RUN
from tests.soak.run import soak

BUILD = Path("build/soak")
SHARES = {"binance": 1.0, "kraken": 0.12}  # the second run is a smaller one
FEWEST = 50  # what it takes to deal every fault once
SYMBOLS, REACHED = 20, 0.9


def main() -> int:
    arguments = _arguments()
    began, done = time.monotonic(), list[Compared]()
    for venue in arguments.venues.split(","):
        number = max(int(arguments.intents * SHARES[venue]), FEWEST)
        done.append(soak(venue, BUILD / venue, arguments.seed, number))
    summary = _summary(done, arguments.seed, time.monotonic() - began)
    path = BUILD / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    _show(Console(highlight=False), done, summary)
    sys.stdout.write(f"Written to {path}\n")
    return 0 if summary["passed"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--intents",
        type=int,
        default=WHOLE_RUN,
        help=f"orders at Binance's server, {FEWEST} at least; fewer at Kraken's",
    )
    parser.add_argument("--seed", type=int, default=1, help="of orders, faults and prices")
    parser.add_argument("--venues", default=",".join(SHARES), help="separated by commas")
    return parser.parse_args()


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
