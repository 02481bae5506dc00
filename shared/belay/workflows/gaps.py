"""What a run could not read, and why. A gap is in what is known of its symbol, and no more. Reads nothing itself."""

from collections.abc import Callable
from typing import Literal

from pydantic import ValidationError

from belay.domain.errors import AccountRefused, BelayError, NotUnderstood, SymbolUnavailable, VenueUnavailable
from belay.domain.record import Record, Symbol


class Gap(Record):
    """Something of a symbol that could not be read. `silent` and `behind` mend themselves; the others are told."""

    symbol: Symbol
    what: str
    problem: str
    kind: Literal["silent", "behind", "unavailable", "not_understood", "failed"]

    @property
    def of_price(self) -> bool:
        """Whether it is only not known what something is worth: no balance hangs on that."""
        return self.what == price_of(self.symbol)

    @property
    def of_outcome(self) -> bool:
        """Whether it is only not known what became of an order: it may have done what its reservation holds."""
        return self.what.startswith(LOOK_UP)

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


LOOK_UP = "look-up of "


def price_of(symbol: str) -> str:
    return f"price of {symbol}"


class Gaps(list[Gap]):
    """What could not be read, and why. `gone`: symbols that are neither listed here nor held; that the venue has them
    no longer is no news. Orders that a person ended are still asked about in them. `later`: what only a later version
    can act on."""

    refusal: tuple[str, str] | None = None
    gone: frozenset[str] = frozenset()
    later: tuple[str, ...] = ()

    def note(self, symbol: str, what: str, error: Exception) -> None:
        if isinstance(error, SymbolUnavailable) and symbol in self.gone:
            return
        self.append(Gap(symbol=symbol, what=what, problem=told(error), kind=_kind(error)))
        if isinstance(error, AccountRefused):
            self.refusal = (error.code, error.remedy)

    def tried[T](self, symbol: str, what: str, read: Callable[[], T]) -> T | None:
        """What a read gives; None where it fails, which is noted."""
        try:
            return read()
        except Exception as error:
            self.note(symbol, what, error)
            return None


def _kind(error: Exception) -> Literal["silent", "unavailable", "not_understood", "failed"]:
    match error:
        case SymbolUnavailable():
            return "unavailable"
        case NotUnderstood():
            return "not_understood"
        case VenueUnavailable():
            return "silent"
    return "failed"


def told(error: Exception) -> str:
    """An error in words; of one that is not ours only what cannot hold a secret."""
    if isinstance(error, BelayError):
        return str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return f"{error.title}.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return type(error).__name__
