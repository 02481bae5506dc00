"""How numbers, times and states are written on the terminal, wherever a document has them. Knows no document.

Instants are ISO 8601 texts in UTC, as documents hold them; decimals are texts. What is written may hold Belay's own
markup, so it is for a `Terminal`, and every text in it was made `readable` before.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from belay.cli.terminal import STAND_INS
from belay.domain.record import iso

LEVEL_STYLES = {"running": "green", "reduce-only": "yellow", "halted": "bold red"}
STATE_STYLES = {
    "FILLED": "green",
    "UNKNOWN": "bold red",
    "SUBMITTED": "yellow",
    "DENIED": "yellow",
    "REJECTED": "yellow",
}
CHECK_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
VERDICT_STYLES = {"pass": "green", "resize": "yellow", "wait": "yellow", "deny": "bold red"}

# --- states ---------------------------------------------------------------------------------------


def level(name: str) -> str:
    """How much a stop or the switch forbids."""
    return f"[{LEVEL_STYLES.get(name, LEVEL_STYLES['halted'])}]{name}[/]"


def state(name: str) -> str:
    """An order's; those that need no attention have no colour."""
    style = STATE_STYLES.get(name)
    return f"[{style}]{name}[/]" if style else name


def check(name: str) -> str:
    """How a check of `doctor` went, four columns wide."""
    return f"[{CHECK_STYLES[name]}]{name:<4}[/]"


def verdict(name: str) -> str:
    """What a limit said of an order."""
    return f"[{VERDICT_STYLES.get(name, 'none')}]{name}[/]"


def reason(text: str) -> str:
    """In brackets, or nothing."""
    return f"({text})" if text else ""


# --- numbers --------------------------------------------------------------------------------------


def number(value: str) -> str:
    """A decimal cut to eight places for reading; anything else as it is."""
    whole, point, decimals = value.partition(".")
    if not point or not (whole.lstrip("-") + decimals).isdigit():
        return value
    return f"{whole}.{decimals[:8]}".rstrip("0").rstrip(".")


def money(amount: str) -> str:
    """A decimal of quote currency to two places: 12,345.60."""
    return f"{float(amount):,.2f}"


def change(before: str, after: str) -> str:
    """From one decimal to another, as a share of the first: +1.50%."""
    return f"{float(after) / float(before) - 1:+.2%}" if float(before) else "from nothing"


def share(fraction: str) -> str:
    """1.50%."""
    return f"{float(fraction):.2%}"


def amounts(held: Mapping[str, str], write: Callable[[str], str] = number) -> str:
    """How much of each asset: 1.5 USD, 0.1 BTC."""
    return ", ".join(f"{write(amount)} {asset}" for asset, amount in held.items()) or "none"


def counts(tally: Mapping[str, int]) -> str:
    """How many of each: 3 FILLED, 1 DENIED."""
    return ", ".join(f"{count} {name}" for name, count in tally.items()) or "none"


def pairs(values: Mapping[str, Any]) -> str:
    """Names with their values, of whatever kind these are."""
    return ", ".join(f"{name} {number(_value(value))}" for name, value in values.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).translate(STAND_INS)


# --- times ----------------------------------------------------------------------------------------


def minute(instant: str) -> str:
    """2019-10-17 08:00Z."""
    return f"{instant[:10]} {instant[11:16]}Z"


def second(instant: str | datetime) -> str:
    """2019-10-17 08:00:00Z."""
    written = iso(instant) if isinstance(instant, datetime) else instant
    return f"{written[:10]} {written[11:19]}Z"


def clock(instant: str) -> str:
    """08:00:00."""
    return instant[11:19]


def age(seconds: int) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h, 2 d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
