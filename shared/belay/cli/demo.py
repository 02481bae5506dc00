"""`make demo`: replays candles through the deployed functions on the paper venue, and shows what became of them.

Deploys to the local emulator, never to AWS. The replay clock moves only while every queue is empty. The summary is
computed afterwards from the exported rows.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from belay.adapters.candle_files import generated_candles, read_candles
from belay.adapters.ccxt_market import CcxtMarketData
from belay.adapters.paper_store import DynamoPaperStore
from belay.adapters.replay import load_candles, set_replay_clock
from belay.cli import operations, render
from belay.cli.desk import Desk, announced, desk_over
from belay.cli.explain import explain
from belay.cli.main import example_document, terminal_console
from belay.cli.stack import Stack, StackError
from belay.cli.summary import summarise
from belay.domain.account import AccountDocument
from belay.domain.errors import BelayError, InvalidInput, VenueUnavailable
from belay.domain.market import Candle, check_candles
from belay.domain.record import iso
from belay.domain.slots import TIMEFRAMES

FOLDER = Path("build/demo")
STAGE, ACCOUNT, STRATEGY, SYMBOL, TIMEFRAME = "dev", "paper", "ema-cross-btc", "BTC/USD", "1h"
TICK = {
    "account": ACCOUNT,
    "strategy": STRATEGY,
    "algorithm": "ema_cross",
    "symbol": SYMBOL,
    "timeframe": TIMEFRAME,
    "parameters": {"fast": 5, "slow": 20, "notional": "1000", "fee": "0.001", "slippage": "0.0005"},
}
WARM_UP = 60  # candles before the first slot: three times the slow average's period
DEFAULT_HOURS = 240
DEFAULT_SEED = 4  # a market that crosses within its first days
GENERATED_FROM = datetime(2024, 1, 1, tzinfo=UTC)
LIVE_EXCHANGE, LIVE_SECONDS = "kraken", 6
STUCK_SECONDS = 120
POLL_SECONDS = 0.05
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_RECONCILIATIONS = 3

HEALTHY: dict[str, object] = {"duplicate_venue_orders": 0, "unknown_open": 0, "balances_match": True}


class Market(NamedTuple):
    """The candles of one run, warm-up first, and what to call them."""

    label: str
    candles: tuple[Candle, ...]

    @property
    def slots(self) -> tuple[Candle, ...]:
        return self.candles[WARM_UP:]


# --- the market ------------------------------------------------------------------------------------


def find_market(file: str | None, hours: int, seed: int | None, say: Callable[[str], None]) -> Market:
    """The last `hours` candles of a file; without one a live exchange's; else, or with a seed, a generated market.

    Raises:
        InvalidInput: the file is malformed or too short.
    """
    wanted = WARM_UP + hours
    if file is not None:
        return Market(Path(file).name, _last(read_candles(Path(file), TIMEFRAME), wanted, file))
    if seed is None:
        say(f"No CANDLES given: asking {LIVE_EXCHANGE} for its public {SYMBOL} candles")
        if live := _within(LIVE_SECONDS, lambda: _live_candles(wanted)):
            return Market(f"{LIVE_EXCHANGE} {SYMBOL} {TIMEFRAME} until {iso(live[-1].open_time)}", live)
        say(f"{LIVE_EXCHANGE} cannot be reached or has too few: using a generated market instead")
    seed = DEFAULT_SEED if seed is None else seed
    return Market(f"generated, seed {seed}", generated_candles(seed, wanted, TIMEFRAME, GENERATED_FROM))


def _last(candles: tuple[Candle, ...], wanted: int, file: str) -> tuple[Candle, ...]:
    if len(candles) >= wanted:
        return candles[-wanted:]
    problem = f"{len(candles)} candles; {wanted - WARM_UP} hours need {wanted}, {WARM_UP} of them to warm up"
    possible = len(candles) - WARM_UP
    remedy = f"Use HOURS={possible} or less." if possible > 0 else f"Give at least {WARM_UP + 1} candles."
    raise InvalidInput(file, problem, remedy)


def _live_candles(wanted: int) -> tuple[Candle, ...] | None:
    source = CcxtMarketData(LIVE_EXCHANGE, {"timeout": LIVE_SECONDS * 500})
    try:
        candles = source.candles(SYMBOL, TIMEFRAME, datetime.now(UTC), wanted)
        check_candles(candles, TIMEFRAME)
    except (VenueUnavailable, InvalidInput):
        return None
    return candles if len(candles) == wanted else None


def _within[T](seconds: float, ask: Callable[[], T]) -> T | None:
    """What `ask` returns within a time, else None; it is not waited for any longer."""
    answers: list[T] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


# --- the replay ------------------------------------------------------------------------------------


class Replay:
    """One account's replay on a deployed stack: moves its clock, ticks, waits, reconciles."""

    def __init__(self, stack: Stack, desk: Desk, document: AccountDocument) -> None:
        self._stack = stack
        self._desk = desk
        self._document = document
        self._lambda = stack.client("lambda")
        self._store = DynamoPaperStore(stack.client("dynamodb"), stack.outputs["PaperVenueTableName"], document.account)

    def prepare(self, market: Market) -> None:
        """Store the account's document and the candles, and let the functions trade."""
        operations.set_document(self._desk, self._document, "demo")
        load_candles(self._store, self._document, SYMBOL, TIMEFRAME, market.candles)
        self._move_clock(market.slots[0].open_time)
        self.reconcile()
        operations.release_everything(self._desk, "released for the demo", "demo")

    def slot(self, candle: Candle) -> dict[str, Any]:
        """Live through the end of one candle; returns the tick's request and response."""
        closed = candle.open_time + TIMEFRAMES[TIMEFRAME]
        self._move_clock(closed)
        self.reconcile()
        tick = {"scheduled_time": iso(closed), **TICK}
        response = self._invoke("EvaluatorFunctionName", tick)
        if response.get("kind") == "refused":
            raise StackError(f"the evaluator refused the tick: {response['error']}")
        self._wait_for_queues()
        return {"request": tick, "response": response}

    def finish(self) -> None:
        """Reconcile until nothing is left to settle."""
        for _ in range(LAST_RECONCILIATIONS):
            self.reconcile()
            self._wait_for_queues()
            if not self._desk.ledger.open_orders(ACCOUNT):
                return

    def reconcile(self) -> None:
        self._invoke("ReconcilerFunctionName", {"account": ACCOUNT})

    def _move_clock(self, at: datetime) -> None:
        set_replay_clock(self._store, self._document, at)

    def _invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self._lambda.invoke(
            FunctionName=self._stack.outputs[function],
            InvocationType="RequestResponse",
            Payload=json.dumps(event).encode(),
        )
        response: dict[str, Any] = json.loads(answer["Payload"].read() or b"{}")
        if "FunctionError" in answer:
            problem = response.get("errorMessage", response)
            raise StackError(f"{self._stack.outputs[function]} failed: {problem} (log: {self._stack.log})")
        return response

    def _wait_for_queues(self) -> None:
        """Until no message waits, is delayed or is being worked on."""
        deadline = time.monotonic() + STUCK_SECONDS
        while not self._stack.queues_empty():
            if time.monotonic() > deadline:
                raise StackError(f"messages were not worked off in {STUCK_SECONDS} s (log: {self._stack.log})")
            time.sleep(POLL_SECONDS)


def run(market: Market, folder: Path, out: Console, progress: Console) -> dict[str, Any]:
    """Deploy, replay, export to `folder`; returns the summary. `out` gets the answers, `progress` what goes on."""
    started, rows_folder = time.monotonic(), folder / "rows"
    document = _replay_document()
    with Stack(folder / "aws", lambda line: progress.print(line, highlight=False)) as stack:
        outputs = stack.deploy()
        desk = desk_over(STAGE, outputs, stack.client)
        with announced(stack.endpoint, outputs):
            replay = Replay(stack, desk, document)
            replay.prepare(market)
            with (rows_folder / "evaluations.jsonl").open("w") as rows:
                for candle in _shown(market.slots, progress):
                    rows.write(json.dumps(replay.slot(candle)) + "\n")
            replay.finish()
            _export(stack, outputs["LedgerTableName"], rows_folder / "ledger.jsonl")
            _export(stack, outputs["PaperVenueTableName"], rows_folder / "paper.jsonl")
            summary = summarise(rows_folder, market.label, time.monotonic() - started)
            (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            out.rule("One decision, explained")
            render.explain(out, explain(desk, _most_telling(desk)))
    return summary


def _replay_document() -> AccountDocument:
    """The example account, on stored candles instead of an exchange's."""
    example = json.loads(example_document())
    del example["paper"]["exchange"]
    example["paper"]["replay"] = True
    return AccountDocument.parse(json.dumps(example))


def _shown(slots: Sequence[Candle], console: Console) -> Iterator[Candle]:
    """The slots, with a progress bar on a terminal and a line now and then elsewhere."""
    if console.is_terminal:
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("slots"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            yield from bar.track(slots)
        return
    step = max(len(slots) // 10, 1)
    for number, candle in enumerate(slots):
        if number % step == 0:
            console.print(f"Replaying slot {number + 1} of {len(slots)}", highlight=False)
        yield candle


def _export(stack: Stack, table: str, file: Path) -> None:
    """Every item of a table as one JSON line, its attributes as they are stored."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    with file.open("w") as rows:
        for item in (item for page in pages for item in page["Items"]):
            plain = {name: next(iter(value.values())) for name, value in item.items()}
            rows.write(json.dumps(plain) + "\n")


def _most_telling(desk: Desk) -> str:
    """The order to explain: the one with most fills, an entry if possible; else the latest decision."""
    filled = [order for order in desk.ledger.orders(ACCOUNT, 1_000) if order.filled_quantity]
    if not filled:
        return desk.ledger.decisions(ACCOUNT, STRATEGY, 1)[0].decision_id
    fills = [fill.order_id for fill in desk.ledger.fills(ACCOUNT, 1_000)]
    return max(filled, key=lambda order: (fills.count(order.order_id), not order.reducing)).order_id


# --- the command -----------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Bad options are one line, too."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput("demo", message, "See `python -m belay.cli.demo --help`.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; exit code 0 only for a run without duplicate, unknown or unexplained."""
    progress = Console(stderr=True)
    try:
        with _stopped_by_signals():
            return _demo(arguments, progress)
    except InvalidInput as error:
        return _problem(str(error), 2)
    except (StackError, BelayError) as error:
        return _problem(str(error), 1)
    except KeyboardInterrupt:
        return _problem("interrupted; the local stack is stopped", 130)
    except Exception as error:  # a stranger gets a line, not a traceback
        return _problem(f"{type(error).__name__}: {error}", 1)


def _problem(message: str, code: int) -> int:
    print(f"demo: {message}", file=sys.stderr)
    return code


def _demo(arguments: Sequence[str] | None, progress: Console) -> int:
    parser = Parser(prog="demo", description="Replay candles through the deployed functions, locally.")
    parser.add_argument("--candles", default=os.environ.get("CANDLES") or None, help="CSV file of 1h candles")
    parser.add_argument("--hours", default=os.environ.get("HOURS") or str(DEFAULT_HOURS), help="slots to replay")
    parser.add_argument("--seed", default=os.environ.get("SEED") or None, help="generate a market from this seed")
    parser.add_argument("--output", default=str(FOLDER), help="folder for summary and rows, made anew")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON and nothing else")
    options = parser.parse_args(arguments)
    hours = _whole("HOURS", options.hours, 1)
    seed = None if options.seed is None else _whole("SEED", options.seed, 0)

    market = find_market(options.candles, hours, seed, lambda line: progress.print(line, highlight=False))
    folder = _own_folder(options.output)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "rows").mkdir(parents=True)
    terminal = terminal_console(quiet=options.json)
    summary = run(market, folder, terminal, progress)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        show_summary(terminal, summary, folder)
    return 0 if is_healthy(summary) else 1


def _own_folder(name: str) -> Path:
    """The folder to make anew; one that holds anything but an earlier demo is left alone."""
    folder = Path(name)
    if folder.exists() and any(folder.iterdir()) and not (folder / "rows").is_dir():
        raise InvalidInput("--output", f"{folder} holds something else", "Name a new folder.")
    return folder


def _whole(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise InvalidInput(name, f"{text!r} is not a whole number from {least} up", f"Write it like {name}=240.")
    return int(text)


def is_healthy(summary: dict[str, Any]) -> bool:
    return all(summary[name] == value for name, value in HEALTHY.items())


def show_summary(out: Console, summary: dict[str, Any], folder: Path) -> None:
    """The run in a few lines."""
    pairs = {
        "market": f"{summary['market']}, {summary['candles']} candles, {summary['slots']} slots",
        "decisions": f"{_counts(summary['decisions'])} (holds: {_counts(summary['holds_by_reason'])})",
        "orders": _counts(summary["orders"]),
        "venue": f"{summary['venue_orders']} orders, {summary['duplicate_venue_orders']} duplicate, "
        f"{summary['fills']} fills in the ledger",
        "unknown": f"{summary['unknown_open']} open, incidents {summary['incidents_open']} open",
        "balances": "explained by the fills" if summary["balances_match"] else "NOT explained by the fills",
        "equity": f"{summary['equity']['start']} > {summary['equity']['end']}",
        "time": f"{summary['seconds']} s",
    }
    out.rule("The whole run")
    for name, value in pairs.items():
        out.print(f"{name:<10} {value}")
    verdict = "[green]Nothing doubled, nothing unknown[/]" if is_healthy(summary) else "[bold red]Not clean[/]"
    out.print(f"{verdict}. {folder}/summary.json was computed from the rows in {folder}/rows")


def _counts(tally: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in tally.items()) or "none"


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


if __name__ == "__main__":
    sys.exit(main())
