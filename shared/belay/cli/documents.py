"""Account documents and rows on the operator's machine: the example to start from, and files read. Stores nothing."""

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput


def example_document() -> str:
    return resources.files("belay.cli").joinpath("paper-account.json").read_text()


def read_document(file: Path) -> AccountDocument:
    """Raises InvalidInput when the file cannot be read or does not hold a valid document."""
    return AccountDocument.parse(_text(file))


def read_rows(file: Path) -> list[Any]:
    """Rows that a person copied from a venue; every number is kept as it is written.

    Raises:
        InvalidInput: the file cannot be read, or is no list in JSON.
    """
    try:
        rows = json.loads(_text(file), parse_float=str, parse_int=str)
    except ValueError:
        raise InvalidInput(str(file), "is no JSON", "Give a list of rows in JSON.") from None
    if not isinstance(rows, list):
        raise InvalidInput(str(file), "is no list", "Give a list of rows, [{…}, {…}].")
    return rows


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(str(file), f"cannot be read: {reason}", "Give a JSON file.") from None
