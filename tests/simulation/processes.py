"""What a scheduler runs: invocations of functions, the effects they ask for, and the trace that they leave."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import greenlet

from tests.simulation.faults import PASS, Fault

LATENCY_MS = 20


class Crash(BaseException):
    """The process ends here. Not an Exception: no handler of the code under test may survive it."""


@dataclass(frozen=True)
class Effect:
    """One call through a port: its name such as `ledger.commit`, its arguments, and how to perform it."""

    name: str
    arguments: tuple[Any, ...]
    perform: Callable[[], Any]
    takes_ms: int = LATENCY_MS


@dataclass(frozen=True)
class Step:
    """One line of a run's trace, `at` in milliseconds since the start."""

    at: int
    process: str
    what: str
    fault: Fault = PASS
    arguments: tuple[Any, ...] = ()
    answer: Any = None


@dataclass(eq=False)
class Process:
    """One invocation of one function."""

    name: str
    function: str
    deadline: int
    offset_ms: int
    stands_still: bool
    greenlet: greenlet
    finished: Callable[[bool], None]
    layer_version: str
    effects: int = 0
    frozen: bool = False
    alive: bool = True
    # What the invariants remember of it between two effects.
    notes: dict[str, Any] = field(default_factory=dict)
