"""The corpus: what went wrong elsewhere, row by row, and the tests which prove that it does not here. It runs no test.

`python -m tests.corpus` writes the rows of corpus.toml as a table into README.md beside it.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator

from belay.domain.errors import InvalidInput
from belay.domain.record import Record

TESTS = Path(__file__).parent
ROOT = TESTS.parent
ROWS, PAGE = TESTS / "corpus.toml", TESTS / "README.md"
BEGIN, END = "<!-- corpus: begin -->\n", "<!-- corpus: end -->\n"
HEAD = "| row | happens | right | promise | proven by | seen at |\n|---|---|---|---|---|---|\n"
PROMISE = re.compile(r"^\| (P[1-9]) \|", re.MULTILINE)
# A test which bears the id of a row: test_07_… that of row 7, test_r10_… that of row R10.
NUMBERED = re.compile(r"test_(r?)0*([1-9][0-9]*)_")
REMEDY = "Correct tests/corpus.toml."

# A cell of the table.
Text = Annotated[str, StringConstraints(pattern=r"^[^\s|][^\n|]*$")]


class Known(NamedTuple):
    """What rows may refer to: the promises that README.md makes, and the tests there are, each as file::name."""

    promises: frozenset[str]
    tests: frozenset[str]


class Row(Record):
    """One failure. `test` is a function's name, or file::name where two files have it; several make a list."""

    id: Annotated[str, StringConstraints(pattern=r"^R?[1-9][0-9]*$")]
    happens: Text
    right: Text
    promise: str
    test: Annotated[tuple[str, ...], Field(min_length=1)]
    seen: Text | None = None
    """Where it was reported; nothing where this design itself invites it."""

    @field_validator("promise")
    @classmethod
    def _is_made(cls, promise: str, info: ValidationInfo[Known]) -> str:
        if promise not in info.context.promises:
            raise ValueError(f"{promise!r} is none of the promises in README.md")
        return promise

    @field_validator("test", mode="before")
    @classmethod
    def _one_or_several(cls, test: object) -> object:
        return (test,) if isinstance(test, str) else test

    @field_validator("test")
    @classmethod
    def _exist(cls, test: tuple[str, ...], info: ValidationInfo[Known]) -> tuple[str, ...]:
        return tuple(_found(name, info.context.tests) for name in test)


def _found(name: str, tests: Iterable[str]) -> str:
    """The one test of that name, as file::name."""
    found = sorted(test for test in tests if name in (test, _name(test)))
    if len(found) > 1:
        raise ValueError(f"{name!r} is in several files: name it as one of {', '.join(found)}")
    if not found:
        raise ValueError(f"there is no test {name!r}")
    return found[0]


def _name(test: str) -> str:
    return test.rpartition("::")[2]


# --- reading ---------------------------------------------------------------------------------------------------------


def known() -> Known:
    """Promises and tests as they stand in this checkout; test files are parsed and not imported."""
    promises = PROMISE.findall((ROOT / "README.md").read_text())
    tests = (test for file in TESTS.rglob("test_*.py") for test in collected(file.relative_to(ROOT), file.read_text()))
    return Known(frozenset(promises), frozenset(tests))


def collected(file: Path, source: str) -> list[str]:
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return [f"{file.as_posix()}::{node.name}" for node in functions if node.name.startswith("test_")]


def read(text: str, known: Known) -> tuple[Row, ...]:
    """The rows of a corpus.toml; raises InvalidInput with the row and the field that is wrong."""
    rows = tuple(_row(number, raw, known) for number, raw in enumerate(_raw(text), 1))
    _each_id_once(rows)
    _each_numbered_test_in_its_row(rows, known)
    return rows


def _raw(text: str) -> list[dict[str, object]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("corpus", str(error), REMEDY) from error
    match document:
        case {"row": [{}, *_] as rows} if len(document) == 1:
            return list(rows)
    raise InvalidInput("corpus", "is not a list of [[row]] and nothing else", REMEDY)


def _row(number: int, raw: dict[str, object], known: Known) -> Row:
    try:
        return Row.model_validate(raw, context=known)
    except ValidationError as error:
        raise InvalidInput.from_validation(f"row {raw.get('id', f'number {number}')}", error, REMEDY) from error


def _each_id_once(rows: Iterable[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise InvalidInput(f"row {row.id}.id", "is the id of another row, too", REMEDY)
        seen.add(row.id)


def _each_numbered_test_in_its_row(rows: Iterable[Row], known: Known) -> None:
    proven = {row.id: row.test for row in rows}
    for test in sorted(known.tests):
        if not (number := NUMBERED.match(_name(test))):
            continue
        row = number[1].upper() + number[2]
        if row not in proven:
            raise InvalidInput(f"row {row}", f"is missing, and {test} bears its id", REMEDY)
        if test not in proven[row]:
            raise InvalidInput(f"row {row}.test", f"does not name {test}, which bears its id", REMEDY)


# --- writing ---------------------------------------------------------------------------------------------------------


def table(rows: Iterable[Row]) -> str:
    return HEAD + "".join(f"| {' | '.join(_cells(row))} |\n" for row in rows)


def _cells(row: Row) -> tuple[str, ...]:
    proofs = ", ".join(f"[`{_name(test)}`]({test.rpartition('::')[0].removeprefix('tests/')})" for test in row.test)
    return row.id, row.happens, row.right, row.promise, proofs, row.seen or ""


def filled(page: str, rows: Iterable[Row]) -> str:
    """The page with the table between its marks, and everything else as it was."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InvalidInput("tests/README.md", "lacks the marks of the table", f"Add {BEGIN.strip()} and {END.strip()}.")
    return before + begin + table(rows) + end + after


def main() -> int:
    try:
        PAGE.write_text(filled(PAGE.read_text(), read(ROWS.read_text(), known())))
    except InvalidInput as error:
        sys.stderr.write(f"corpus: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
