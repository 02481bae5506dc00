"""What a write of the ledger requires of what is stored, and what a lost one means. Reads and writes nothing."""

from pydantic import ValidationError

from belay.adapters.aws.locked import of_later, reads_from
from belay.adapters.aws.table import ABSENT, Condition, Lost
from belay.domain.decisions import DecisionRecord
from belay.domain.errors import Conflict, WrittenByLater


def stored_at_version(version: int) -> Condition:
    return Condition("version = :version", {":version": version})


def at_version(version: int) -> Condition:
    """Version 0 of an account or a configuration means that nothing is stored."""
    return stored_at_version(version) if version else ABSENT


def absent_or(expression: str, values: dict[str, str]) -> Condition:
    return Condition(f"{ABSENT.expression} OR {expression}", dict(values))


def raise_lost(lost: list[Lost]) -> None:
    if not lost:
        return
    what, stored = lost[0]
    raise WrittenByLater(what) if stored is not None and of_later(stored) else Conflict(what)


def raise_later(lost: list[Lost]) -> None:
    """Nothing was written; that matters where a later version wrote what is stored, and not where it is newer."""
    if any(part.stored is not None and of_later(part.stored) for part in lost):
        raise_lost(lost)


def repeated(lost: list[Lost], body: str) -> bool:
    """Whether what is stored is the very record to be written: then an earlier try had succeeded."""
    return any(part.stored is not None and part.stored.body == body for part in lost)


def unless_repeated(lost: list[Lost], body: str) -> None:
    if not repeated(lost, body):
        raise_lost(lost)


def winner(record: DecisionRecord, lost: list[Lost]) -> DecisionRecord:
    """The decision that the slot has: the stored one where ours was refused."""
    if lost and lost[0].what == "decision" and lost[0].stored is not None:
        stored = lost[0].stored
        try:
            return DecisionRecord.stored(stored.body, reads_from(stored))
        except ValidationError:
            raise_lost(lost)
    raise_lost(lost)
    return record
