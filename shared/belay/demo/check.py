"""Checks a demo run from its exported rows, with code of its own: imports nothing of Belay, so that it can disagree.

    python -m belay.demo.check build/demo [--json]

Reads summary.json, rows/*.jsonl (the tables ledger, accounts, configuration and paper, and the evaluations) and the
emulator's log aws/ministack.log. Computes every figure of the summary again, and looks whether ledger and venue tell
the same story. Exit code 0: green; 1: red.
"""

import argparse
import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from belay.demo.check_figures import FAULT_SEED, FIGURES
from belay.demo.check_rows import Database
from belay.demo.check_rules import CHECKS, Check

SUMMARY = "summary.json"
# The emulator's log has this line once for each worker that ended while it was invoked, in the entry of its function.
DIED = "Worker process died"
ENTRY = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ \[lambda\] (?:ESM: )?Lambda (\S+) ")
GENERATED = re.compile(r"generated, seed (\d+)")
SHOWN = 5  # findings of one check that a person sees; --json has them all
MISSING = object()


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be: which check says so, in which row, what it expected and what it found."""

    check: str
    row: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.row}: expected {self.expected}; found {self.found}"


@dataclass(frozen=True)
class Result:
    """One check: what it looked at, in figures, and what breaks it."""

    check: str
    figures: str
    findings: tuple[Finding, ...] = ()


class Unreadable(Exception):
    """Something that has to be read cannot be. Its arguments: where, what was expected there, what was found."""


def check(folder: Path) -> list[Finding]:
    """What is not as it must be in the run that `folder` holds; nothing when all checks hold. Never raises."""
    return [finding for result in examine(folder) for finding in result.findings]


def examine(folder: Path) -> list[Result]:
    """Every check of the run that `folder` holds. What cannot be read is a finding, too."""
    with closing(Database()) as database:
        try:
            summary = _load(database, folder)
            return [*(_judged(database, asked) for asked in CHECKS), _summary(database, summary)]
        except Unreadable as problem:
            name = "everything can be read"
            return [Result(name, str(folder), (Finding(name, *problem.args),))]


def _judged(database: Database, asked: Check) -> Result:
    try:
        ((figures,),) = database.ask(asked.figures)
        broken = database.ask(asked.broken)
    except sqlite3.Error as error:
        raise Unreadable(f"rows, asked whether {asked.name}", "values that make sense", str(error)) from error
    findings = (Finding(asked.name, *map(str, found)) for found in broken)
    return Result(asked.name, str(figures or "none"), tuple(findings))


# --- the summary -----------------------------------------------------------------------------------------------------


def _summary(database: Database, summary: dict[str, Any]) -> Result:
    """Every key of the summary against what the rows say, and no key besides."""
    name = "every figure of the summary is that of the rows"
    try:
        expected = {key: figure.shape(database.ask(figure.question)) for key, figure in FIGURES.items()}
        expected |= _stated(database, summary)
    except (sqlite3.Error, IndexError) as error:
        raise Unreadable("rows, summed up", "values that make sense", str(error)) from error
    keys = [*expected, *(key for key in summary if key not in expected)]
    compared = {key: (_text(expected.get(key, MISSING)), _text(summary.get(key, MISSING))) for key in keys}
    findings = (Finding(name, f"{SUMMARY} {key}", *pair) for key, pair in compared.items() if pair[0] != pair[1])
    return Result(name, f"{len(expected)} figures", tuple(findings))


def _stated(database: Database, summary: dict[str, Any]) -> dict[str, Any]:
    """What is not in the rows, or not in them alone: what was replayed, how long it took, and from which seed."""
    market, seconds, seed = (summary.get(key) for key in ("market", "seconds", "seed"))
    if generated := GENERATED.fullmatch(str(market)):
        seed = int(generated[1])
    for (drawn_from,) in database.ask(FAULT_SEED):
        seed = drawn_from
    return {
        "market": market if isinstance(market, str) and market else "a label",
        "seed": seed if seed is None or type(seed) is int else "a whole number or null",
        "seconds": seconds if type(seconds) in (int, float) else "a number",
    }


def _text(value: object) -> str:
    return "nothing" if value is MISSING else json.dumps(value, sort_keys=True)


# --- reading ---------------------------------------------------------------------------------------------------------


def _load(database: Database, folder: Path) -> dict[str, Any]:
    """Put everything that the run left into the database; gives its summary."""
    for file in ("ledger", "accounts", "configuration", "paper"):
        for row, item in _rows(folder / "rows" / f"{file}.jsonl"):
            pk, sk = str(item.get("pk")), str(item.get("sk"))
            named = f"{row} {sk}"
            # The venue's index from client order id to venue order id holds no record.
            text = str(item.get("body"))
            body = None if sk.startswith("CLIENT#") else _object(named, text)
            database.put_item(file, named, pk, sk, body, text)
    for row, evaluated in _rows(folder / "rows" / "evaluations.jsonl"):
        database.put_evaluation(row, evaluated.get("request"), evaluated.get("response"))
    for function in _died(_read(folder / "aws" / "ministack.log")):
        database.put_death(function)
    try:
        database.arrange()
    except sqlite3.Error as error:
        raise Unreadable("rows", "values that make sense", str(error)) from error
    return _object(SUMMARY, _read(folder / SUMMARY))


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_read(file).split("\n"), 1):
        if line:
            row = f"{file.name}:{number}"
            yield row, _object(row, line)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        raise Unreadable(file.name, "a file", error.strerror) from error


def _object(row: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreadable(row, "a JSON object", text[:80])
    return found


def _died(log: str) -> Iterator[str]:
    """The function of each worker that ended while it was invoked."""
    function = "unknown"
    for line in log.splitlines():
        if entry := ENTRY.match(line):
            function = entry[1]
        elif line == DIED:
            yield function


# --- the command -----------------------------------------------------------------------------------------------------


def lines(results: Sequence[Result]) -> Iterator[str]:
    """The checks for a person: a line each, what breaks it below, and the verdict."""
    for result in results:
        yield f"{'RED' if result.findings else 'ok ':3}  {result.check}: {_plain(result.figures)}"
        yield from (f"       {_plain(str(finding))}" for finding in result.findings[:SHOWN])
        if len(result.findings) > SHOWN:
            yield f"       and {len(result.findings) - SHOWN} more"
    broken = sum(bool(result.findings) for result in results)
    yield f"red: {broken} of {len(results)} checks broken" if broken else f"green: all {len(results)} checks hold"


def _plain(text: str) -> str:
    """On one line, and nothing in it acts on a terminal: what is no letter, sign or space stands as an escape."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the checks of one run; exit code 0 only when all hold."""
    parser = argparse.ArgumentParser(prog="check", description="Check a demo run from the rows that it exported.")
    parser.add_argument("folder", nargs="?", default="build/demo", type=Path, help="the folder that the demo wrote")
    parser.add_argument("--json", action="store_true", help="print checks and findings as JSON and nothing else")
    options = parser.parse_args(arguments)
    results = examine(options.folder)
    green = not any(result.findings for result in results)
    if options.json:
        print(json.dumps({"green": green, "checks": [asdict(result) for result in results]}, indent=2))
    else:
        print("\n".join(lines(results)))
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
