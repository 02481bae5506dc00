"""The account document: venue, mode, hosts, limits and tolerances of one account, as a person writes it."""

import json
import re
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from belay.domain.errors import InvalidInput
from belay.domain.live_options import credential_in, require_live_options
from belay.domain.record import (
    SYMBOL,
    ZERO,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Record,
    Symbol,
    Utc,
    base_asset,
    quote_asset,
)


class Limits(Record):
    """The account's limits. None of them has a default: an entry is denied by the first one that is missing.

    Notionals and exposure in quote currency; ages in seconds. `reserved_exit_submissions` of the submissions per
    minute are kept for exits. `clock_offset_seconds` bounds the difference between venue and local clock.
    """

    max_order_notional: Positive | None = None
    max_position_notional: dict[Symbol, Positive] = {}
    max_aggregate_exposure: Positive | None = None
    submissions_per_minute: int | None = Field(default=None, gt=0)
    reserved_exit_submissions: int | None = Field(default=None, ge=0)
    max_price_age_seconds: int | None = Field(default=None, gt=0)
    max_balance_age_seconds: int | None = Field(default=None, gt=0)
    max_input_age_seconds: int | None = Field(default=None, gt=0)
    max_reconciliation_age_seconds: int | None = Field(default=None, gt=0)
    clock_offset_seconds: int | None = Field(default=None, gt=0)


class FaultSettings(Record):
    """What goes wrong at the paper venue, decided by `seed`. `crashes`: at most so many ends of a process in all."""

    seed: int
    crashes: int = Field(default=0, ge=0)


class PaperSettings(Record):
    """The paper venue of one account. `participation`: the most of a candle's volume that one order may take.

    `replay`: match against stored candles on a replay clock; otherwise against the live public market of `exchange`.
    `faults`: injected on purpose; without them the venue is a faultless one. `fee_asset`: what fees are taken in:
    "quote", "received" (base of a buy, quote of a sell), or an asset of its own, whose unit is worth `fee_token_price`
    in quote currency; where there is too little of that, what is received.
    """

    balances: dict[str, NonNegative]
    taker_fee: Fraction
    maker_fee: Fraction
    slippage: Fraction
    participation: Fraction
    quantity_step: Positive
    price_tick: Positive
    min_quantity: NonNegative
    min_notional: NonNegative
    replay: bool = False
    exchange: str | None = None
    faults: FaultSettings | None = None
    fee_asset: Literal["quote", "received"] | Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$")] = "quote"
    fee_token_price: Positive | None = None

    @model_validator(mode="after")
    def _has_a_market(self) -> Self:
        if self.replay == (self.exchange is not None):
            raise ValueError("give either replay = true or the exchange whose public market is used")
        if (self.fee_asset in ("quote", "received")) != (self.fee_token_price is None):
            raise ValueError("fee_token_price belongs to a fee_asset of its own, and to it only")
        return self


MAX_DOCUMENT_BYTES = 16_384
BYTE_ORDER_MARK = "\ufeff"
# Where keys are stored; what stands in a document is a name.
SECRETS = "/belay/"
# No venue takes as much; whoever writes more has written percent.
LARGEST_FEE, SAMPLE_FEE = Decimal("0.05"), "0.0026"


class AccountDocument(Record):
    """One account's configuration: the venue, how to reach it, its limits and tolerances.

    `options` are constructor options of the venue class; secrets appear by name only. `balance_tolerance` is the
    residual by asset, in units of the asset, that reconciliation accepts; an asset that is not listed must match.

    For a live account: `venue_profile` "generic" trades at a venue of which nothing is known; `sandbox` says whether
    it is the venue's test host; `requests_per_minute` replaces the venue profile's request budget.
    """

    account: Name
    venue: str
    mode: Literal["paper", "live"]
    symbols: tuple[Symbol, ...] = Field(min_length=1)
    options: dict[str, Any] = {}
    executor_secret: str | None = None
    reconciler_secret: str | None = None
    limits: Limits = Limits()
    balance_tolerance: dict[str, NonNegative] = {}
    paper: PaperSettings | None = None
    venue_profile: Literal["generic"] | None = None
    sandbox: bool | None = None
    requests_per_minute: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        if (self.mode == "paper") != (self.paper is not None):
            raise ValueError("paper settings belong to mode paper, and to it only")
        quotes = {quote_asset(symbol) for symbol in self.symbols}
        if len(quotes) > 1:
            raise ValueError("all symbols of an account share one quote currency, in which its limits are given")
        return self

    @field_validator("options")
    @classmethod
    def _names_secrets_only(cls, options: dict[str, Any]) -> dict[str, Any]:
        if place := credential_in(options):
            raise ValueError(f"{place} is a credential; store it as a secret and give the secret's name")
        return options

    def require_live(self, stage: str) -> None:
        """Refuse a live account that leaves out something that must be said, or says what it may not.

        Raises:
            InvalidInput: names the first thing that is missing or refused.
        """
        self.require_trusted(stage)
        for name in Limits.model_fields:
            if getattr(self.limits, name) is None:
                raise InvalidInput(f"account.limits.{name}", "is missing", "A live account states every limit.")
        if missing := [symbol for symbol in self.symbols if symbol not in self.limits.max_position_notional]:
            remedy = "State it for every symbol."
            raise InvalidInput("account.limits.max_position_notional", f"{missing[0]} is missing", remedy)

    def require_trusted(self, stage: str) -> None:
        """Refuse a live account whose keys could go where they must not: what every function asks before it opens one,
        however its document came into the ledger. A limit that is missing denies entries; it keeps nobody from looking.

        Raises:
            InvalidInput: names the first thing that is missing or refused.
        """
        for function in ("executor", "reconciler"):
            field, folder = f"{function}_secret", f"/belay/{stage}/{function}/"
            name = getattr(self, field) or ""
            if not re.fullmatch(re.escape(folder) + r"[A-Za-z0-9_.-]{1,100}", name):
                problem = f"is not the name of a key under {folder}" if name else "is missing"
                remedy = f"Store a key of its own for the {function} as a SecureString under {folder} and name it here."
                raise InvalidInput(f"account.{field}", problem, remedy)
        if self.sandbox is None:
            raise InvalidInput("account.sandbox", "is missing", "Say true for the venue's test host, else false.")
        require_live_options(self.options)
        if self.sandbox and self.options.keys() & {"hostname", "urls"}:
            remedy = "Give either sandbox true or hosts of your own."
            raise InvalidInput("account.options", "hosts are given and the venue's test host is asked for", remedy)

    @property
    def quote(self) -> str:
        return quote_asset(self.symbols[0])

    @property
    def assets(self) -> frozenset[str]:
        return frozenset({self.quote, *(base_asset(symbol) for symbol in self.symbols)})

    @classmethod
    def parse(cls, text: str) -> "AccountDocument":
        """Read a document from JSON text.

        Raises:
            InvalidInput: not JSON, too large, an unknown field or a bad value; names the field.
        """
        text = text.removeprefix(BYTE_ORDER_MARK)
        if len(text.encode()) > MAX_DOCUMENT_BYTES:
            raise InvalidInput("account", f"larger than {MAX_DOCUMENT_BYTES} bytes", "Shorten the document.")
        try:
            document = cls.model_validate_json(text)
        except ValidationError as error:
            raise _refusal(error) from None
        read_json(text)
        document.require_plausible()
        return document

    def require_plausible(self) -> None:
        """Refuse what is well-formed and cannot be meant. Asked of what a person hands in, not of what is stored.

        Raises:
            InvalidInput: names the field.
        """
        for field in ("executor_secret", "reconciler_secret"):
            if not (getattr(self, field) or SECRETS).startswith(SECRETS):
                remedy = (
                    f"Store the key as a SecureString under {SECRETS} and name it here. If this was a key, revoke it."
                )
                raise InvalidInput(f"account.{field}", f"is not the name of a key under {SECRETS}", remedy)
        for number, symbol in enumerate(self.symbols):
            if base_asset(symbol) == quote_asset(symbol):
                remedy = "Name what is traded, then what it is paid in."
                raise InvalidInput(f"account.symbols.{number}", f"{symbol} trades an asset for itself", remedy)
            if symbol in self.symbols[:number]:
                raise InvalidInput(f"account.symbols.{number}", f"{symbol} is given twice", "Leave one of the two out.")
        total, reserved = self.limits.submissions_per_minute, self.limits.reserved_exit_submissions
        if total is not None and reserved is not None and reserved > total:
            problem = f"{reserved} of {total} submissions per minute cannot be kept for exits"
            raise InvalidInput("account.limits.reserved_exit_submissions", problem, "Reserve fewer than there are.")
        for name in ("taker_fee", "maker_fee"):
            fee = getattr(self.paper, name, ZERO)
            if fee > LARGEST_FEE:
                remedy = f"Give it as a fraction of the notional: 0.26 % is {SAMPLE_FEE}."
                raise InvalidInput(f"account.paper.{name}", f"{fee} is a fee of {fee * 100:f} %", remedy)


def _refusal(error: ValidationError) -> InvalidInput:
    """What is wrong with a document, first thing first. A name among the limits that is none may be a pasted key: it
    is not repeated."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = first["loc"]
    if place[:1] == ("limits",) and first["type"] == "extra_forbidden":
        meant = get_close_matches(str(place[1]), Limits.model_fields, 1)
        remedy = f"Did you mean {meant[0]}?" if meant else f"The limits are {', '.join(Limits.model_fields)}."
        return InvalidInput("account.limits", "has a name that is no limit's", remedy)
    if place[:2] == ("limits", "max_position_notional") and not SYMBOL.fullmatch(str(place[2]) if place[2:] else "A/A"):
        remedy = "State it by symbol, like BTC/USDT."
        return InvalidInput("account.limits.max_position_notional", "has a name that is no symbol", remedy)
    return InvalidInput.from_validation("account", error, "Correct the account document.")


def read_json(text: str) -> Any:
    """What an account document's text says, a byte order mark before it skipped.

    Raises:
        ValueError: it is not JSON.
        InvalidInput: an object names a key twice; tells where.
    """
    value = json.loads(text.removeprefix(BYTE_ORDER_MARK), object_pairs_hook=_Object)
    if place := _given_twice(value, "account"):
        raise InvalidInput(place, "is given twice", "Leave one of the two out: only one can be meant.")
    return value


class _Object(dict[str, Any]):
    """A JSON object that remembers the first of its keys that was given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.twice: str | None = None
        for name, _ in pairs:
            if name in seen:
                self.twice = self.twice or name
            seen.add(name)


def _given_twice(value: Any, place: str) -> str | None:
    """Where an object names a key twice."""
    if isinstance(value, list):
        return next((found for n, inner in enumerate(value) if (found := _given_twice(inner, f"{place}.{n}"))), None)
    if not isinstance(value, _Object):
        return None
    if value.twice is not None:
        return f"{place}.{value.twice}"
    return next((found for name, inner in value.items() if (found := _given_twice(inner, f"{place}.{name}"))), None)


class Configuration(Record):
    """An account document as stored: `version` counts from 1, and the history is kept."""

    version: int
    document: AccountDocument
    author: str
    stored_at: Utc
