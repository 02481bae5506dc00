"""What SQL has no words for: amounts as text, multiplied and summed as Decimal, symbols and instants. Knows no table.

Imports nothing of Belay.
"""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

EXACT = Context(prec=100)


def teach(database: sqlite3.Connection) -> None:
    """Let questions use `FUNCTIONS` and the aggregate `money_sum`."""
    for name, (arguments, function) in FUNCTIONS.items():
        database.create_function(name, arguments, _of_nothing_nothing(function), deterministic=True)
    database.create_aggregate("money_sum", 1, MoneySum)


def _of_nothing_nothing(function: Callable[..., str]) -> Callable[..., str | None]:
    """As everywhere in SQL: what is computed from NULL is NULL."""
    return lambda *arguments: None if None in arguments else function(*arguments)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize(EXACT):f}" if amount else "0"


def _money(amount: str) -> str:
    return _plain(Decimal(amount))


def _times(one: str, other: str) -> str:
    return _plain(EXACT.multiply(Decimal(one), Decimal(other)))


def _signed(amount: str, positive: int) -> str:
    return _plain(Decimal(amount) if positive else Decimal(amount).copy_negate())


def _amounts(by_asset: str) -> str:
    """Amounts by asset, in order, without zeros."""
    found = {asset: _plain(Decimal(amount)) for asset, amount in json.loads(by_asset).items()}
    return ", ".join(f"{found[asset]} {asset}" for asset in sorted(found) if found[asset] != "0")


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()


def _base(symbol: str) -> str:
    return symbol.split("/")[0]


def _quote(symbol: str) -> str:
    return symbol.split("/")[1]


class MoneySum:
    """The aggregate `money_sum`; nothing adds nothing."""

    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, amount: Any) -> None:
        self._sum = EXACT.add(self._sum, Decimal(amount or 0))

    def finalize(self) -> Any:
        return _plain(self._sum)


FUNCTIONS: dict[str, tuple[int, Callable[..., str]]] = {
    "amounts": (1, _amounts),
    "base": (1, _base),
    "moment": (1, _moment),
    "money": (1, _money),
    "quote": (1, _quote),
    "signed": (2, _signed),
    "times": (2, _times),
}
