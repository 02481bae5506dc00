"""What may happen to one effect, as tables: which fault fits which call, how long it lasts and how often it comes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from belay.domain.account import StopLevel
from belay.domain.decisions import Side
from belay.domain.errors import VenueUnavailable
from belay.domain.venues import Outcome, OutcomeKind, VenueOrder, VenueStatus
from belay.ports import SwitchReading


class Kind(StrEnum):
    PASS = "pass"
    FAIL = "fails before"
    LOSE = "answer lost"
    TWICE = "performed twice"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    SLOW = "slow"
    FREEZE_BEFORE = "freeze before"
    FREEZE_AFTER = "freeze after"
    STALE = "stale answer"
    LATE = "held in the network"
    REFUSED = "connection refused"
    REJECTED = "rejected by the venue"
    CONFIGURATION = "refused as configured"
    GARBLED = "unbelievable answer"
    MIXED_UP = "answer about another order"


@dataclass(frozen=True)
class Fault:
    """One thing that may happen to an effect: `seconds` it lasts, `weight` against a pass of 1000."""

    kind: Kind
    seconds: float = 0
    weight: float = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.seconds:g} s" if self.seconds else str(self.kind)


PASS = Fault(Kind.PASS, weight=1000)
CALL = (
    Fault(Kind.FAIL, weight=8),
    Fault(Kind.SLOW, 3, weight=4),
    Fault(Kind.FREEZE_BEFORE, 40, weight=1),
    Fault(Kind.FREEZE_BEFORE, 200, weight=1),
)
READ = (PASS, *CALL)
INDEX_READ = (*READ, Fault(Kind.STALE, weight=20))
WRITE = (
    *READ,
    Fault(Kind.LOSE, weight=8),
    Fault(Kind.TWICE, weight=8),
    Fault(Kind.CRASH_BEFORE, weight=5),
    Fault(Kind.CRASH_AFTER, weight=8),
    Fault(Kind.FREEZE_AFTER, 40, weight=2),
    Fault(Kind.FREEZE_AFTER, 200, weight=2),
)
CLOCK = (PASS, Fault(Kind.FREEZE_BEFORE, 12, weight=2), Fault(Kind.FREEZE_BEFORE, 75, weight=2))
SUBMIT = (
    PASS,
    Fault(Kind.FAIL, weight=30),
    Fault(Kind.LOSE, weight=40),
    Fault(Kind.CRASH_BEFORE, weight=20),
    Fault(Kind.CRASH_AFTER, weight=30),
    Fault(Kind.SLOW, 4, weight=20),
    Fault(Kind.FREEZE_BEFORE, 8, weight=10),
    Fault(Kind.FREEZE_BEFORE, 75, weight=20),
    Fault(Kind.FREEZE_BEFORE, 200, weight=20),
    Fault(Kind.FREEZE_AFTER, 75, weight=10),
    Fault(Kind.FREEZE_AFTER, 200, weight=10),
    Fault(Kind.LATE, 2.5, weight=30),
    Fault(Kind.LATE, 4.5, weight=30),
    Fault(Kind.LATE, 9.5, weight=30),
    Fault(Kind.LATE, 100, weight=20),
    Fault(Kind.REFUSED, weight=20),
    Fault(Kind.REJECTED, weight=20),
    Fault(Kind.CONFIGURATION, weight=5),
    Fault(Kind.GARBLED, weight=20),
    Fault(Kind.MIXED_UP, weight=20),
)
LOOKUP = (*READ, Fault(Kind.MIXED_UP, weight=20))
CANCEL = (PASS, Fault(Kind.FAIL, weight=30), Fault(Kind.LOSE, weight=20), *WRITE[7:])

READS = frozenset(
    {"accounts", "configuration", "decision", "decisions", "story", "schedules", "order", "orders", "fills"}
    | {"order_of_venue_id", "account", "proof", "last_proof", "cursor", "unattributed_trades", "cancel_requests"}
    | {"suspicion", "flow", "flows"}
    | {"incident", "incidents", "open_incidents", "history", "operator_stops", "refused_events", "read"}
)
BY_NAME = {
    "ledger.open_orders": INDEX_READ,
    "clock.now": CLOCK,
    "clock.sleep": (PASS,),
    "venue.submit": SUBMIT,
    "venue.cancel": CANCEL,
    "venue.lookup": LOOKUP,
}


@cache
def faults_of(effect: str) -> tuple[Fault, ...]:
    """What may happen to a call such as `ledger.commit`; the first is that nothing does."""
    port, _, method = effect.partition(".")
    if effect in BY_NAME:
        return BY_NAME[effect]
    return READ if port in ("venue", "market") or method in READS else WRITE


@cache
def weights_of(effect: str, theme: int = 0) -> tuple[float, ...]:
    """How often each of the faults comes, in a history of this theme."""
    factor = next((factor for prefix, factor in THEMES[theme].items() if effect.startswith(prefix)), 1)
    first, *rest = faults_of(effect)
    return (first.weight, *(fault.weight * factor for fault in rest))


# What a history dwells on: by how much the faults of an effect are more or less frequent in it.
THEMES: tuple[dict[str, float], ...] = (
    {},
    {"venue.submit": 8, "": 0.3},
    {"clock.now": 10, "switch.read": 10, "ledger.commit": 4},
    {"venue.": 5, "market.": 5},
)
THEME_WEIGHTS = (3, 2, 1, 1)


class Unreachable(Exception):
    """What an AWS adapter raises when a service gives no answer."""


def _raises(error: Callable[[str], Exception]) -> Callable[[str], Any]:
    def fail(effect: str) -> Any:
        raise error(f"{effect} gave no answer")

    return fail


def _unreadable(_: str) -> SwitchReading:
    return SwitchReading(level=StopLevel.HALTED, reason="the kill switch cannot be read")


# Each port's own way to fail: reads of the venue raise, the switch reads as halted, alerts are swallowed.
FAILURES: dict[str, Callable[[str], Any]] = {
    "ledger": _raises(Unreachable),
    "queue": _raises(Unreachable),
    "venue": _raises(VenueUnavailable),
    "market": _raises(VenueUnavailable),
    "clock": _raises(VenueUnavailable),
    "switch": _unreadable,
    "alerts": lambda _: False,
}


def failure(effect: str) -> Any:
    """Answer, or raise, what the caller of a port sees when it gets no answer."""
    if effect == "venue.submit":
        return Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")
    return FAILURES[effect.partition(".")[0]](effect)


SUBMIT_ANSWERS = {
    Kind.REFUSED: Outcome(kind=OutcomeKind.NOT_SENT, code="connection_refused"),
    Kind.REJECTED: Outcome(kind=OutcomeKind.REJECTED, code="PRICE_FILTER"),
    Kind.CONFIGURATION: Outcome(kind=OutcomeKind.CONFIGURATION, code="PERMISSION_DENIED"),
    Kind.GARBLED: Outcome(kind=OutcomeKind.ACCEPTED, code="accepted", detail="without an order"),
}


def mixed_up(effect: str, arguments: tuple[Any, ...]) -> Any:
    """The venue answers about another order than was asked for."""
    symbol, asked = (arguments[0].symbol, None) if effect == "venue.submit" else arguments
    other = VenueOrder(
        venue_order_id="V0",
        client_order_id=asked,
        symbol=symbol,
        side=Side.BUY,
        quantity=Decimal("0.7777"),
        limit_price=None,
        filled_quantity=Decimal(0),
        status=VenueStatus.OPEN,
        updated_at=datetime(2024, 3, 1, tzinfo=UTC),
    )
    return Outcome(kind=OutcomeKind.ACCEPTED, code="ACCEPTED", venue_order=other) if asked is None else other
