"""The errors Belay raises on purpose. Each names the fact that caused it and what to do."""

from pydantic import ValidationError

from belay.domain.texts import bounded

# The longest name of a field, which a sender of unknown fields makes up: it becomes a part of an incident's key.
FIELD = 200


class BelayError(Exception):
    """Base of every error raised on purpose."""


class InvalidInput(BelayError):
    """Something handed to Belay is malformed: `field` is where, `problem` is what, `remedy` what to do."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy

    @classmethod
    def from_validation(cls, what: str, error: ValidationError, remedy: str) -> "InvalidInput":
        """Name the first offending field of a pydantic error; the offending value itself is never repeated."""
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = bounded(".".join([what, *(str(part) for part in first["loc"])]), FIELD)
        return cls(field, first["msg"].removeprefix("Value error, "), remedy)


class IllegalTransition(BelayError):
    """An order was asked to make a move that the transition table does not hold."""


class Conflict(BelayError):
    """A conditional write lost: the stored record is not the one the change was computed from."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was changed by someone else since it was read")
        self.what = what


class WrittenByLater(Conflict):
    """A write that was refused because a later version wrote what is stored, which this one may not write over."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.args = (f"{what} was written by a later version of Belay, which this one does not write over",)


class Unreadable(InvalidInput):
    """A stored record without which nothing can be done cannot be read by this version."""

    def __init__(self, what: str, *, later: bool) -> None:
        why = "was written by a later version of Belay" if later else "is broken"
        remedy = "Deploy that version again, or use its command." if later else "Store it again, or restore it."
        super().__init__(what, f"cannot be read: it {why}", remedy)


class VenueUnavailable(BelayError):
    """A read from the venue gave no evidence: no answer, or one that cannot be believed. `told_as`: as what it is told
    to a person."""

    told_as = "venue unavailable"


class NotUnderstood(VenueUnavailable):
    """The answer came and is not understood: neither the network nor the venue's health is at fault."""

    told_as = "answer not understood"


class SymbolUnavailable(VenueUnavailable):
    """The venue does not list, or does not trade, the symbol that was asked for."""

    told_as = "symbol unavailable"


class AccountRefused(VenueUnavailable):
    """The venue refuses this account as it is configured, or its key cannot be had: a person has to act.

    `code` is the venue's own word or ours, such as `-2015` or `key_unreadable`; `remedy` says what to do. Neither
    holds a secret.
    """

    def __init__(self, code: str, remedy: str) -> None:
        super().__init__(f"{code}: {remedy}")
        self.code = code
        self.remedy = remedy


def unchained[E: BelayError](error: E) -> E:
    """The same without what it was raised from or during, which could hold what must not be shown."""
    error.__cause__ = error.__context__ = None
    return error
