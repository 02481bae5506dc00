"""`belay demo`: replays candles through the deployed functions on the paper venue, and shows what became of them.

Deploys to the local emulator, never to AWS. Unless CHAOS is 0, the paper venue injects faults and ends processes, as
the seed says. The summary is computed afterwards from the exported rows, and then checked by other code.
"""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from belay.adapters.aws.ledger import Tables
from belay.cli import words
from belay.cli.desk import Desk, desk_over, tables_of
from belay.cli.documents import example_document
from belay.cli.explain import explain
from belay.cli.make_variables import switch, whole
from belay.cli.rendering import story
from belay.cli.terminal import Terminal, shows, terminal_console, written
from belay.cli.terminal import as_json as exact
from belay.demo.check import examine, lines
from belay.demo.market import GENERATED_SEED, SYMBOL, TIMEFRAME, Market, find_market
from belay.demo.replaying import Replay
from belay.demo.report import write_report
from belay.demo.summary import summarise
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.local.announcement import announced
from belay.local.private import private_folder
from belay.local.programs import ROOT
from belay.local.schedules import read_schedules
from belay.local.stack import Stack
from belay.replay.showing import shown

STAGE = "dev"
# What a demo leaves there.
LEFT = {"aws", "report.html", "rows", "summary.json"}
ROWS = {f"{name}.jsonl" for name in ("evaluations", "paper", *Tables._fields)}
CRASHES = 3  # each holds its message for the visibility timeout
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

HEALTHY: dict[str, object] = {"duplicate_venue_orders": 0, "unknown_open": 0, "balances_match": True}


def live_through(
    market: Market, seed: int, chaos: bool, folder: Path, out: Terminal, progress: Terminal
) -> dict[str, Any]:
    """Deploy, replay, export to `folder`; returns the summary. `out` gets the answers, `progress` what goes on."""

    def say(line: str) -> None:
        progress.print(written(line))

    started, rows = time.monotonic(), folder / "rows"
    document = _replay_document(seed if chaos else None)
    ticks = scheduled(document)
    with Stack(folder / "aws", say) as stack:
        outputs = stack.deploy({"FollowUpSeconds": "0"})
        desk = desk_over(STAGE, outputs, stack.client)
        with announced(stack.endpoint, stack.administrator, outputs):
            replay = Replay(stack, desk, document, ticks, say)
            replay.prepare(market)
            with (rows / "evaluations.jsonl").open("w") as evaluations:
                for evaluated in chain.from_iterable(map(replay.slot, shown(market.slots, progress))):
                    evaluations.write(json.dumps(evaluated) + "\n")
            replay.finish()
            for name, table in tables_of(outputs)._asdict().items():
                _export(stack, table, rows / f"{name}.jsonl")
            _export(stack, outputs["PaperVenueTableName"], rows / "paper.jsonl")
            out.rule("One decision, explained")
            story.explain(out, explain(desk, _most_telling(desk, document.account)))
    summary = summarise(rows, market.label, time.monotonic() - started, seed=seed)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    write_report(folder)
    return summary


def scheduled(document: AccountDocument) -> list[dict[str, Any]]:
    """The events of the schedules that trade the demo's market in its account, without their scheduled time."""
    wanted = {"account": document.account, "symbol": SYMBOL, "timeframe": TIMEFRAME}
    schedules = read_schedules(ROOT / "template.yaml")
    return [schedule.event for schedule in schedules if wanted.items() <= schedule.event.items()]


def _replay_document(seed: int | None) -> AccountDocument:
    """The example account, on stored candles instead of an exchange's, with fees in what is received and faults by
    seed."""
    example = json.loads(example_document())
    del example["paper"]["exchange"]
    example["paper"] |= {"replay": True, "fee_asset": "received"}
    if seed is not None:
        example["paper"]["faults"] = {"seed": seed, "crashes": CRASHES}
    return AccountDocument.parse(json.dumps(example))


def _export(stack: Stack, table: str, file: Path) -> None:
    """Every item of a table as one JSON line, its attributes as they are stored."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    with file.open("w") as rows:
        for item in (item for page in pages for item in page["Items"]):
            plain = {name: next(iter(value.values())) for name, value in item.items()}
            rows.write(json.dumps(plain) + "\n")


def _most_telling(desk: Desk, account: str) -> str:
    """The order to explain: of those that filled, the one that went through most; else the latest decision's."""
    filled = [order for order in desk.ledger.orders(account, 1_000) if order.filled_quantity]
    if filled:
        return max(filled, key=lambda order: order.version).order_id
    latest = [desk.ledger.decisions(account, tick.strategy, 1)[0] for tick in desk.ledger.schedules(account)]
    return latest[0].decision_id


# --- the command -----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """What was said on the command line or in a variable of make, as text; None where nothing was said."""

    candles: str | None
    hours: str
    seed: str | None
    chaos: str
    output: str


def run(asked: Asked, *, as_json: bool) -> bool:
    """Run the demo and print what came of it; whether nothing was duplicate, unknown or unexplained.

    Raises:
        InvalidInput: names the variable that is wrong.
        KeyboardInterrupt: for every signal to end; the local stack was stopped.
    """
    progress, terminal = Terminal(stderr=True), terminal_console(quiet=as_json)
    with _stopped_by_signals():
        hours = whole("HOURS", asked.hours, 1)
        seed = None if asked.seed is None else whole("SEED", asked.seed, 0)
        chaos = switch("CHAOS", asked.chaos)
        folder = own_folder(asked.output)
        market = find_market(asked.candles, hours, seed, lambda line: progress.print(written(line)))
        make_anew(folder)
        summary = live_through(market, GENERATED_SEED if seed is None else seed, chaos, folder, terminal, progress)
        checks = examine(folder)
    if as_json:
        print(exact(summary))
    else:
        show_summary(terminal, summary)
        terminal.rule("Checked again, by other code, from the exported rows")
        terminal.print("\n".join(lines(checks)), markup=False)
        terminal.print(written(f"The whole story: {folder}/report.html"))
    return is_healthy(summary) and not any(check.findings for check in checks)


def own_folder(name: str) -> Path:
    """A folder that may be deleted: it is empty or missing, or holds nothing but what an earlier demo left.

    Raises:
        InvalidInput: it holds anything else, or is no folder.
    """
    folder = Path(name)
    try:
        held = {path.name for path in folder.iterdir()}
        rows = {path.name for path in (folder / "rows").iterdir()} if "rows" in held else set()
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise InvalidInput("OUTPUT", f"{folder} cannot be used: {error.strerror}", "Name a new folder.") from None
    if held and not ("rows" in held and held <= LEFT and rows <= ROWS):
        raise InvalidInput("OUTPUT", f"{folder} holds something else than a demo", "Name a new folder.")
    return folder


def make_anew(folder: Path) -> None:
    """Leave nothing in the folder but an empty one for rows, open to nobody else. Raises InvalidInput."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        private_folder(private_folder(folder) / "rows")
    except OSError as error:
        problem = f"{folder} cannot be made: {error.strerror or error}"
        raise InvalidInput("OUTPUT", problem, "Name a new folder.") from None


def is_healthy(summary: dict[str, Any]) -> bool:
    return all(summary[name] == value for name, value in HEALTHY.items())


@shows
def show_summary(out: Terminal, summary: dict[str, Any]) -> None:
    """The run in a few lines."""
    pairs = {
        "market": f"{summary['market']}, {summary['candles']} candles, {summary['slots']} slots",
        "decisions": f"{words.counts(summary['decisions'])} (holds: {words.counts(summary['holds_by_reason'])})",
        "orders": words.counts(summary["orders"]),
        "venue": f"{summary['venue_orders']} orders, {summary['duplicate_venue_orders']} duplicate, "
        f"{summary['fills']} fills in the ledger",
        "faults": words.counts(summary["faults_injected"]),
        "crashes": f"{summary['function_crashes_injected']} functions ended in their work",
        "unknown": f"{summary['unknown_open']} open, incidents {summary['incidents_open']} open",
        "balances": "explained by the fills" if summary["balances_match"] else "NOT explained by the fills",
        "equity": f"{summary['equity']['start']} > {summary['equity']['end']}",
        "time": f"{summary['seconds']} s",
    }
    out.rule("The whole run")
    for name, value in pairs.items():
        out.print(f"{name:<10} {value}")
    verdict = "[green]Nothing doubled, nothing unknown[/]" if is_healthy(summary) else "[bold red]Not clean[/]"
    out.print(f"{verdict}. summary.json was computed from the rows beside it")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Unwind on every request to end, so that the emulator is stopped."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
