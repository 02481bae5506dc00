"""`belay replay`: runs strategies over candle files with the real workflows, without AWS; writes nothing but its plot.

What to run comes from the schedules in template.yaml, or from an algorithm and its parameters; the venue is the paper
venue. How an account is lived through is in `engine`, what came of it in `figures`, how that is told in `result`.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from belay.adapters.paper.candle_files import read_candles
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.market import Candle
from belay.domain.record import iso
from belay.domain.slots import EPOCH, TIMEFRAMES, Slot, Tick
from belay.domain.strategy import Strategy
from belay.local.schedules import read_schedules
from belay.replay.engine import ReplayEngine, replay_document
from belay.replay.figures import Close, figures
from belay.replay.result import write_plot
from belay.workflows.evaluate import LoadStrategy

type Document = dict[str, Any]

OPTIONS = {"tick.strategy": "STRATEGY", "tick.symbol": "--symbol"}
NAMED_FILE = re.compile(r"([A-Z0-9]+/[A-Z0-9]+)=(.+)")


class Request(NamedTuple):
    """What was asked for on the command line; None or empty where nothing was said."""

    strategies: Sequence[str] = ()
    candles: Sequence[str] = ()
    timeframe: str = "1h"
    hours: int | None = None
    algorithm: str | None = None
    parameters: str | None = None
    symbol: str | None = None
    plot: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be run: ticks by their events, and each symbol's candles, the same times for all of them.

    The first `warm_up` candles are only looked back upon; each of the others is a slot.
    """

    ticks: tuple[Document, ...]
    markets: dict[str, tuple[Candle, ...]]
    timeframe: str
    warm_up: int

    @property
    def closes(self) -> tuple[Close, ...]:
        """The closes of each slot."""
        length = TIMEFRAMES[self.timeframe]
        columns = [candles[self.warm_up :] for candles in self.markets.values()]
        return tuple(
            Close(row[0].open_time + length, {s: c.close for s, c in zip(self.markets, row, strict=True)})
            for row in zip(*columns, strict=True)
        )

    @property
    def begin(self) -> datetime:
        return next(iter(self.markets.values()))[self.warm_up].open_time


def run(request: Request, document: AccountDocument, stage: str, root: Path, progress: Console) -> Document:
    """Replay what was asked for; returns the document that `result.show` prints.

    Args:
        document: a paper account's; the market is replayed whatever it says of one.
        stage: part of every order id.
        root: the checkout that holds template.yaml and the strategies.
        progress: where it says how far it is.

    Raises:
        InvalidInput: anything about the request, the files or the strategies is not as it must be.
    """
    if request.plot is not None:
        _require_place(request.plot)
    account, load = replay_document(document), load_strategies(root)
    plan = make_plan(request, account, root, load)
    engine = ReplayEngine(account, stage, plan.ticks, load)
    engine.prepare(plan.markets, plan.timeframe, plan.begin)
    reasons: dict[str, Counter[str]] = {tick["strategy"]: Counter() for tick in plan.ticks}
    for close in shown(plan.closes, progress):
        for record in engine.slot(close.at):
            held = record.held
            given = [held.reason] if held else [leg.reason for leg in record.trade_legs]
            reasons[record.slot.strategy].update(given)
    engine.finish()
    made = {
        "stage": stage,
        "account": account.account,
        "quote": account.quote,
        "timeframe": plan.timeframe,
        "slots": len(plan.closes),
        "first_close": iso(plan.closes[0].at),
        "last_close": iso(plan.closes[-1].at),
        "strategies": list(plan.ticks),
        "decisions": {strategy: dict(sorted(counts.items())) for strategy, counts in reasons.items()},
        **figures(engine.ledger, account.account, account.quote, plan.closes),
    }
    if request.plot is not None:
        looked_at = {symbol: candles[plan.warm_up :] for symbol, candles in plan.markets.items()}
        write_plot(request.plot, made, looked_at, engine.fills())
    return made


def _require_place(file: Path) -> None:
    if file.is_dir() or not file.parent.is_dir():
        raise InvalidInput("--plot", f"{file} cannot be written", "Give a file in a folder that exists.")


# --- what to run ----------------------------------------------------------------------------------


def load_strategies(root: Path) -> LoadStrategy:
    """The evaluator's own way to find a strategy, from a checkout and as the deployed function sees it.

    Raises:
        InvalidInput: this is no checkout.
    """
    folder = root / "functions" / "evaluator"
    if not (folder / "strategies" / "__init__.py").is_file():
        remedy = "Install belay with `make setup` in a checkout of the project, and run it from there."
        raise InvalidInput("strategies", f"there are none in {folder}", remedy)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    load: LoadStrategy = import_module("strategies").load
    return load


def make_plan(request: Request, document: AccountDocument, root: Path, load: LoadStrategy) -> Plan:
    """Choose the strategies and cut the candles to what they need. Raises InvalidInput."""
    if request.timeframe not in TIMEFRAMES:
        problem = f"{request.timeframe} is not a timeframe"
        raise InvalidInput("--timeframe", problem, f"Use one of {', '.join(TIMEFRAMES)}.")
    ticks = _chosen(request, document, root)
    asked = [_needs(tick, load) for tick in ticks]
    symbols = sorted({ticks[0]["symbol"], *(symbol for needed in asked for symbol in needed.symbols)})
    if unknown := [symbol for symbol in symbols if symbol not in document.symbols]:
        problem = f"account {document.account} does not trade {unknown[0]}"
        raise InvalidInput("--symbol", problem, "Add it to an account document, and give that as --account-document.")
    files = _files(request.candles, ticks[0]["symbol"], symbols)
    read = {symbol: read_candles(Path(file), request.timeframe) for symbol, file in files.items()}
    warm_up = max(needed.candles for needed in asked)
    return Plan(
        ticks=ticks,
        markets=_last_slots(_together(read), request.hours, request.timeframe, warm_up),
        timeframe=request.timeframe,
        warm_up=warm_up,
    )


def _chosen(request: Request, document: AccountDocument, root: Path) -> tuple[Document, ...]:
    parameters = _parameters(request.parameters)
    if request.algorithm is not None:
        return (_unscheduled(request, request.algorithm, parameters or {}, document),)
    if request.symbol is not None:
        raise InvalidInput("--symbol", "a schedule names its own", "Give --algorithm with it.")
    scheduled = [
        schedule.event
        for schedule in read_schedules(root / "template.yaml")
        if (schedule.event["account"], schedule.event["timeframe"]) == (document.account, request.timeframe)
    ]
    known = list(dict.fromkeys(event["strategy"] for event in scheduled))
    listed = f"{request.timeframe} schedules of account {document.account}: {', '.join(known) or 'none'}"
    if unknown := [name for name in request.strategies if name not in known]:
        raise InvalidInput("STRATEGY", f"{unknown[0]} is not scheduled", f"There are these {listed}.")
    chosen = [event for event in scheduled if event["strategy"] in (request.strategies or known)]
    if not chosen:
        raise InvalidInput("STRATEGY", "nothing is scheduled", f"Give --algorithm. There are these {listed}.")
    if parameters is None:
        return tuple(chosen)
    if len(chosen) > 1:
        raise InvalidInput("--parameters", f"they are of one schedule, not of {len(chosen)}", "Name one strategy.")
    return ({**chosen[0], "parameters": {**chosen[0]["parameters"], **parameters}},)


def _unscheduled(request: Request, algorithm: str, parameters: Document, document: AccountDocument) -> Document:
    if len(request.strategies) > 1:
        raise InvalidInput("STRATEGY", "one algorithm is one strategy", "Give one name, or none.")
    return {
        "account": document.account,
        "strategy": request.strategies[0] if request.strategies else algorithm.replace("_", "-"),
        "algorithm": algorithm,
        "symbol": request.symbol or document.symbols[0],
        "timeframe": request.timeframe,
        "parameters": parameters,
    }


def _parameters(given: str | None) -> Document | None:
    if given is None:
        return None
    try:
        parameters = json.loads(given)
    except json.JSONDecodeError as error:
        raise InvalidInput("--parameters", f"is not JSON: {error}", "Write it like '{\"fast\": 5}'.") from None
    if not isinstance(parameters, dict):
        raise InvalidInput("--parameters", "is not a JSON object", "Write it like '{\"fast\": 5}'.")
    return parameters


class Needs(NamedTuple):
    """What a strategy looks at: the symbols, and how many closed candles of each."""

    symbols: tuple[str, ...]
    candles: int


def _needs(event: Document, load: LoadStrategy) -> Needs:
    """Ask the strategy now: what it would refuse in every slot is one clear error instead."""
    try:
        strategy: Strategy[Any] = load(event["algorithm"])
        tick = _tick(event)
        parameters = strategy.Parameters.model_validate(tick.parameters)
        symbols = tuple(strategy.symbols(Slot.of(tick, "replay"), parameters))
        return Needs(symbols, int(strategy.candles_needed(parameters)))
    except InvalidInput:
        raise
    except ValidationError as error:
        raise InvalidInput.from_validation(f"{event['strategy']}.parameters", error, "Correct --parameters.") from None
    except Exception as error:
        problem = f"the strategy {event['algorithm']} cannot be used: {type(error).__name__}: {error}"
        raise InvalidInput(event["strategy"], problem, "Correct its file.") from error


def _tick(event: Document) -> Tick:
    """The first tick that an event could lead to. Its fields have other names on the command line."""
    try:
        return Tick.parse({"scheduled_time": iso(EPOCH + TIMEFRAMES[event["timeframe"]]), **event})
    except InvalidInput as error:
        raise InvalidInput(OPTIONS.get(error.field, error.field), error.problem, "Correct it.") from None


# --- the candles ----------------------------------------------------------------------------------


def _files(given: Sequence[str], first: str, symbols: Sequence[str]) -> dict[str, str]:
    """Which file holds each symbol's candles. One that names no symbol is that of the first strategy."""
    files: dict[str, str] = {}
    for entry in given:
        named = NAMED_FILE.fullmatch(entry)
        symbol, file = named.groups() if named else (first, entry)
        if symbol in files:
            raise InvalidInput("--candles", f"two files for {symbol}", "Write another symbol's as SYMBOL=FILE.")
        files[symbol] = file
    if missing := [symbol for symbol in symbols if symbol not in files]:
        remedy = f"Add --candles {missing[0]}=FILE." if files else "Give --candles FILE."
        raise InvalidInput("--candles", f"there is no file for {missing[0]}", remedy)
    if extra := [symbol for symbol in files if symbol not in symbols]:
        raise InvalidInput("--candles", f"no strategy here looks at {extra[0]}", "Leave that file out.")
    return files


def _together(markets: Mapping[str, tuple[Candle, ...]]) -> dict[str, tuple[Candle, ...]]:
    """Each symbol's candles of the time that all files cover."""
    begin = max(candles[0].open_time for candles in markets.values())
    end = min(candles[-1].open_time for candles in markets.values())
    if begin > end:
        raise InvalidInput("--candles", "the files have no time in common", "Give files of the same time.")
    return {s: tuple(c for c in candles if begin <= c.open_time <= end) for s, candles in markets.items()}


def _last_slots(
    markets: Mapping[str, tuple[Candle, ...]], hours: int | None, timeframe: str, warm_up: int
) -> dict[str, tuple[Candle, ...]]:
    """The last `hours` with what warms up for them, or everything."""
    there = len(next(iter(markets.values())))
    wanted = there if hours is None else warm_up + timedelta(hours=hours) // TIMEFRAMES[timeframe]
    if there <= warm_up or wanted <= warm_up or there < wanted:
        asked = "" if hours is None else f"; {hours} hours need {max(wanted, warm_up + 1)}"
        problem = f"{there} candles{asked}, {warm_up} of them to warm up"
        raise InvalidInput("--candles", problem, "Give more candles, or other --hours.")
    return {symbol: candles[-wanted:] for symbol, candles in markets.items()}


def shown[T](slots: Sequence[T], console: Console) -> Iterator[T]:
    """The slots, with a progress bar on a terminal and a line now and then elsewhere."""
    if console.is_terminal:
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("slots"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            yield from bar.track(slots)
        return
    step = max(len(slots) // 10, 1)
    for number, slot in enumerate(slots):
        if number % step == 0:
            console.print(f"Replaying slot {number + 1} of {len(slots)}", highlight=False)
        yield slot
