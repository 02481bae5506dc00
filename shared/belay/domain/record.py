"""What every stored or exchanged value has in common: immutable, strict about fields, Decimal and UTC inside."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints
from pydantic_core import to_json

# What this version writes. A stored record names the lowest schema that may act on it, see `Record.understood`.
SCHEMA = 2


class Record(BaseModel):
    """An immutable value. Unknown fields are errors; money is `Decimal`, instants are aware UTC datetimes.

    Only what is read back from a store may have fields that this version does not know (`stored`): they are kept, and
    stand in `text` and `digest` at the end of each object. So a later version appends its new fields at the end of a
    model: then texts and digests that the version before computes of its records stay equal.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )
    _reads_from: int = PrivateAttr(default=1)

    @classmethod
    def stored(cls, text: str, reads_from: int = 1) -> Self:
        """Read a record back from its stored text, with the lowest schema that may act on it.

        Raises:
            ValidationError: this version cannot read it at all.
        """
        record = cls.model_validate_json(text, extra="allow")
        if reads_from > record.needs:
            record._reads_from = reads_from
        return record

    @property
    def reads_from(self) -> int:
        """The lowest schema that may act on this record: of what was stored, and of what it says now."""
        return max(self._reads_from, self.needs)

    @property
    def needs(self) -> int:
        """The lowest schema that knows what everything in this record means; beyond 1 where it says more than that."""
        return 1

    def reading_from(self, schema: int) -> Self:
        """The record as one that an earlier schema may not act on."""
        raised = self.model_copy()
        raised._reads_from = max(self._reads_from, schema)
        return raised

    @property
    def understood(self) -> bool:
        """Whether this version may act on the record. Otherwise it shows it, and leaves it to a later one."""
        return self.reads_from <= SCHEMA

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """The dotted paths of the fields that this version does not know."""
        return tuple(_unknown(self, ""))

    @property
    def text(self) -> str:
        """The JSON text as which this record is stored."""
        if next(_unknown(self, ""), None) is None:
            return self.model_dump_json()
        return to_json(_merged(self, self.model_dump(mode="json"))).decode()

    @property
    def digest(self) -> str:
        """The digest of the text as which this record is stored."""
        return digest(self.text)


def _parts(value: object) -> Iterator[tuple[Any, object]]:
    """What a value consists of, by the key or index under which it stands in JSON."""
    match value:
        case Record():
            fields = type(value).model_fields
            yield from ((fields[name].alias or name, part) for name, part in vars(value).items())
        case dict():
            yield from value.items()
        case tuple() | list():
            yield from enumerate(value)


def _unknown(value: object, path: str) -> Iterator[str]:
    for key, part in _parts(value):
        yield from _unknown(part, f"{path}{key}.")
    if isinstance(value, Record):
        yield from (f"{path}{name}" for name in value.model_extra or ())


def _merged(value: object, dumped: Any) -> Any:
    """What was dumped of a value, with the unknown fields that pydantic leaves out."""
    for key, part in _parts(value):
        if not isinstance(dumped, dict) or key in dumped:  # what is left out has nothing unknown in it
            dumped[key] = _merged(part, dumped[key])
    if isinstance(value, Record):
        dumped |= value.model_extra or {}
    return dumped


class OpenEnum(StrEnum):
    """A word of a fixed list. One that only a later version knows is read as itself, and is not `known`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word

    @property
    def known(self) -> bool:
        return self.value in type(self)._value2member_map_


def digest(text: str) -> str:
    """128 bits of SHA-256, as 32 hex characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _utc(instant: datetime) -> datetime:
    """In UTC; years at the edge of the calendar are refused, since no time zone or timeframe can be applied to them."""
    if not 1900 <= instant.year < 9000:
        raise ValueError("is not between the years 1900 and 9000")
    return instant.astimezone(UTC)


Utc = Annotated[AwareDatetime, AfterValidator(_utc)]
# Far beyond any price or quantity, and small enough that products stay within Decimal's range.
SMALLEST, LARGEST = Decimal("1e-18"), Decimal("1e18")
Positive = Annotated[Decimal, Field(ge=SMALLEST, le=LARGEST)]
NonNegative = Annotated[Decimal, Field(ge=0, le=LARGEST)]
Amount = Annotated[Decimal, Field(ge=-LARGEST, le=LARGEST)]
Fraction = Annotated[Decimal, Field(ge=0, lt=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
SYMBOL = re.compile(r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")
Symbol = Annotated[str, StringConstraints(pattern=SYMBOL.pattern)]

ZERO = Decimal(0)


def plain(number: Decimal) -> str:
    """A decimal as digits with a point, never in exponent form, without zeros that say nothing; zero is 0."""
    digits = f"{number:f}"
    stripped = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if stripped in ("-0", "") else stripped


def iso(instant: datetime) -> str:
    """An instant as text of fixed width, so that text order is time order: 2019-10-17T08:00:00.000000Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def joined(*parts: str, by: str = "|") -> str:
    """Parts as one key from which they can be told again, whatever they hold; ordinary ones stand in it unchanged.

    A separator within a part is written as a URL writes it (`%7C`), and so is `%`; `by` is one ASCII character.
    """
    return by.join(part.replace("%", "%25").replace(by, _escape(by)) for part in parts)


def parted(key: str, by: str = "|") -> tuple[str, ...]:
    """The parts that a key was `joined` of."""
    return tuple(part.replace(_escape(by), by).replace("%25", "%") for part in key.split(by))


def _escape(by: str) -> str:
    return f"%{ord(by):02X}"


def base_asset(symbol: str) -> str:
    return symbol.split("/")[0]


def quote_asset(symbol: str) -> str:
    return symbol.split("/")[1]
