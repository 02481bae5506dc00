"""Rows as CSV that a spreadsheet or the standard library reads: plain numbers, ISO times, texts that do nothing.

A text that a spreadsheet would take for a formula stands behind an apostrophe; signs that act on a terminal are
escaped. Numbers are no texts, and stay as they are.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from belay.domain.record import plain
from belay.domain.texts import shown

FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBERS = re.compile(r"-?[0-9]+(\.[0-9]+)?(;-?[0-9]+(\.[0-9]+)?)*")


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A heading and a line for each row; what is missing or None is empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal() | int():
            return plain(Decimal(value))
    text = str(value)
    acts = text.startswith(FORMULA) and not NUMBERS.fullmatch(text)
    return f"'{shown(text)}" if acts else shown(text)
