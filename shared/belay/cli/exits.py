"""The exit codes of `belay`, and what they mean. Ends nothing itself."""

from collections.abc import Iterator
from contextlib import contextmanager

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

EXIT_CODES = {
    OK: "done",
    FAILED: "failed, or the answer is no: a check, an order that did not fill, an incident that stays open, a demo that is not clean",
    BAD_INPUT: "bad input; nothing was done",
    INTERRUPTED: "interrupted",
}


class Interrupted(Exception):
    """A person ended a command; says what became of what it was doing."""


@contextmanager
def interrupted_with(outcome: str) -> Iterator[None]:
    """Raises Interrupted, which says the outcome, for an interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {outcome}") from None
