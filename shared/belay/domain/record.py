"""What every stored or exchanged value has in common: immutable, strict about fields, Decimal and UTC inside."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints


class Record(BaseModel):
    """An immutable value. Unknown fields are errors; money is `Decimal`, instants are aware UTC datetimes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    @property
    def digest(self) -> str:
        """The digest of the text as which this record is stored."""
        return digest(self.model_dump_json())


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
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")]

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
