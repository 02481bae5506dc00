"""What is known of each venue, as data: one validated file per venue. Sends nothing and knows no account.

Whatever nobody has verified is named in the file's `unverified` and is conservative there: such a code proves nothing,
such a fence never proves absence, such a venue never takes a second attempt.
"""

import base64
import binascii
import re
from collections.abc import Callable
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.record import Record
from belay.domain.venues import Fence, VenueProfile, VenueStatus

GENERIC = "generic"
KEY = "@key"
ONLY = "only"


# --- client order ids ------------------------------------------------------------------------------------------------


ORDER_ID = r"[0-9a-f]{32}"


class ClientIdFormat(NamedTuple):
    """A reversible way to write an order id, 32 hex characters, as a venue wants its client order ids."""

    pattern: str
    to_venue: Callable[[str], str]
    from_venue: Callable[[str], str]


def _dashed(order_id: str) -> str:
    return "-".join([order_id[:8], order_id[8:12], order_id[12:16], order_id[16:20], order_id[20:]])


def _base64(order_id: str) -> str:
    return "t-" + base64.urlsafe_b64encode(bytes.fromhex(order_id)).decode().rstrip("=")


FORMATS = {
    "hex32": ClientIdFormat(ORDER_ID, str, str),
    "uuid": ClientIdFormat(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", _dashed, lambda text: text.replace("-", "").lower()
    ),
    "0xhex32": ClientIdFormat(r"0x[0-9a-f]{32}", lambda order_id: f"0x{order_id}", lambda text: text[2:]),
    "t-base64": ClientIdFormat(
        r"t-[A-Za-z0-9_-]{22}", _base64, lambda text: base64.urlsafe_b64decode(text[2:] + "==").hex()
    ),
}


class ClientId(Record):
    """How the client order id is written and handed over. `cancel` None: it is given in place of the venue's id."""

    format: Literal["hex32", "uuid", "0xhex32", "t-base64"]
    create: str
    cancel: str | None

    def to_venue(self, order_id: str) -> str:
        """An adopted order keeps the id that it had at the venue, which is none of ours."""
        return FORMATS[self.format].to_venue(order_id) if re.fullmatch(ORDER_ID, order_id) else order_id

    def from_venue(self, text: str) -> str | None:
        """The order id that was written so; None where the text is none of ours."""
        way = FORMATS[self.format]
        if not re.fullmatch(way.pattern, text):
            return None
        try:
            order_id = way.from_venue(text)
        except (ValueError, binascii.Error):
            return None
        return order_id if way.to_venue(order_id) in (text, text.lower()) else None


# --- what an answer means --------------------------------------------------------------------------------------------


class Meaning(StrEnum):
    """What a raw code proves. Only `rejected` and `not_placed` say that no order came of the request."""

    REJECTED = "rejected"
    NOT_PLACED = "not_placed"
    DUPLICATE = "duplicate"
    CONFIGURATION = "configuration"
    MISSING = "missing"
    TRY_AGAIN = "try_again"
    UNKNOWN = "unknown"


class Rule(Record):
    """Codes with one meaning, where the HTTP status is one of `statuses`.

    Without codes the status alone decides; `message` must be the venue's whole text, where one is given.
    """

    codes: tuple[str, ...] = ()
    message: str | None = None
    statuses: tuple[int, ...] = Field(min_length=1)


class Errors(Record):
    """Where an answer names its error: the fields of an object, or a list of texts."""

    kind: Literal["fields", "list"]
    code: str
    message: str | None = None


# --- how an answer is read -------------------------------------------------------------------------------------------
# A path names a value by dots; `only` is the single element of a list, `@key` the key of a row in an object.


class Rows(Record):
    """Where an answer holds its rows: a list, or an object whose keys are the rows' ids. `count`: how many in all."""

    path: str
    kind: Literal["list", "object"]
    count: str | None = None


class OrderFields(Record):
    """Where a row names what an order is. `limit_types`: its types that have a limit price. `updated`: first wins."""

    id: str
    client_id: str | None
    market: str
    side: str
    type: str
    limit_types: tuple[str, ...]
    quantity: str
    price: str
    filled: str
    status: str
    statuses: dict[str, VenueStatus]
    updated: tuple[str, ...]
    unit: Literal["s", "ms"]


class TradeFields(Record):
    """Where a row names what a trade is. Without `fee_asset` the fee is in quote currency."""

    id: str
    order_id: str
    client_id: str | None = None
    market: str
    side: str
    sides: dict[str, Literal["buy", "sell"]]
    quantity: str
    price: str
    fee: str
    fee_asset: str | None
    time: str
    unit: Literal["s", "ms"]


class BalanceFields(Record):
    """Where a row names an asset (`@key` in an object) and the parts that make up its total."""

    asset: str
    total: tuple[str, ...] = Field(min_length=1)


class Reply(Record):
    """The answer to a submission: where the venue's order id is; `whole`: it is an order's row in all its fields."""

    id: str
    whole: bool


class Reading(Record):
    """How this venue's raw answers are read. A venue without it is read through ccxt's unified structures."""

    errors: Errors
    reply: Reply
    orders: OrderFields
    trades: TradeFields
    balances: BalanceFields
    open_rows: Rows
    closed_rows: Rows | None
    trade_rows: Rows
    balance_rows: Rows


# --- what is done ----------------------------------------------------------------------------------------------------


class FenceProfile(Record):
    """How the venue refuses a stale request, and how the claim's time is pinned in it.

    `receive_window`: `key` gives the window in ms, counted from the claim's time, which is signed as `claim_key`
    (None: as the class's own clock for that one call). `deadline`: `key` gives the moment, RFC 3339 in whole seconds.
    `expiry_header`: the header `key` gives it in ms. `engine_delay_seconds`: how long after its last check the engine
    may still take the order; `lookup_lag_seconds`: how long an order may then be missing from look-ups.
    """

    kind: Literal["receive_window", "deadline", "expiry_header"]
    key: str
    via: Literal["param", "option", "header"]
    claim_key: str | None = None
    window_seconds: int = Field(gt=0, le=60)
    engine_delay_seconds: int = Field(ge=0)
    lookup_lag_seconds: int = Field(ge=0)
    definitive: bool


class Lookup(Record):
    """One way to find an order by client order id, handed over as `param`; None: the rows are searched for it."""

    method: Literal[
        "fetch_order", "fetch_open_orders", "fetch_closed_orders", "fetch_canceled_and_closed_orders", "fetch_orders"
    ]
    param: str | None
    retention_seconds: int = Field(gt=0)


class TradeHistory(Record):
    """How trades are paged. `scope`: one request shows one symbol's, or all of the account's.

    `from_id`: windows of `window_hours`, then by trade id; `offset`: newest first, by number; `none`: one page, which
    must not be full.
    """

    scope: Literal["symbol", "account"]
    paging: Literal["from_id", "offset", "none"]
    page_size: int = Field(gt=0)
    window_hours: int | None = None
    client_id: bool = False


class Preflight(Record):
    """What keeps ccxt from other requests inside `create_order`: constructor options, methods that then do nothing,
    and methods asked beforehand."""

    options: dict[str, Any] = {}
    skip: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()


class MarketDetails(Record):
    """What of ccxt's markets its class needs beyond the filters: keys of `info` (None: it is not known, so all of it),
    and the option that indexes them."""

    info: tuple[str, ...] | None = None
    index_option: str | None = None
    index_by: str | None = None


class BudgetProfile(Record):
    """Requests per minute of one account in one process, what of it reads leave to submissions; `used_header` tells
    the venue's own count, of which reads use no more than `used_bound`."""

    requests_per_minute: int = Field(gt=0)
    kept_for_submissions: int = Field(ge=0)
    used_header: str | None = None
    used_bound: int = 0


class CcxtProfile(Record):
    """Everything that Belay knows of one venue; see the module's first lines for what is not verified.

    `order_path`: how the path of the order's request ends, empty where that is not known. `order_id`: what a
    believable venue order id looks like. `market_buys`: whether a market buy takes a base quantity. `rising_nonce`:
    the nonces of a key must rise. `sections`: the names of the class's hosts that are used; empty where that is not
    known, so that all of them may be.
    """

    name: str
    unsupported: str | None = None
    client_id: ClientId | None
    uniqueness: Literal["idempotent", "unique", "open_only", "none"]
    second_attempt: Literal["never", "after_absence"]
    fence: FenceProfile | None
    history_lag_seconds: int = Field(ge=0)
    miss_spacing_seconds: int = Field(gt=0)
    connect_timeout_seconds: float = Field(gt=0)
    read_timeout_seconds: float = Field(gt=0)
    order_path: str = ""
    order_id: str = "[A-Za-z0-9_-]{1,64}"
    create_params: dict[str, str] = {}
    rising_nonce: bool = False
    market_buys: bool = False
    codes: dict[Meaning, tuple[Rule, ...]] = {}
    lookups: tuple[Lookup, ...] = Field(min_length=1)
    reading: Reading | None = None
    history: TradeHistory
    preflight: Preflight = Preflight()
    market: MarketDetails = MarketDetails()
    budget: BudgetProfile
    credentials: tuple[str, ...] = ("apiKey", "secret")
    sections: tuple[str, ...] = ()
    sandbox: bool = False
    fee_quirks: str = ""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_conservative(self) -> Self:
        for path in self.unverified:
            if not _has_path(self, path):
                raise ValueError(f"unverified names {path}, which the profile does not have")
        for meaning in (Meaning.REJECTED, Meaning.NOT_PLACED):
            if not all(rule.codes for rule in self.codes.get(meaning, ())):
                raise ValueError(f"{meaning} needs the venue's own codes: a status alone proves nothing")
        if self.client_id is None and self.unsupported is None:
            raise ValueError("a venue that cannot carry our order ids is unsupported")
        if self.fence and self.fence.definitive and "fence" in self.unverified:
            raise ValueError("a fence that is not verified is not definitive")
        if self.second_attempt != "never" and not (self.fence and self.fence.definitive):
            raise ValueError("a second attempt needs a definitive fence")
        return self

    def rules(self, meaning: Meaning) -> tuple[Rule, ...]:
        """The rules that may be relied on: unverified ones prove nothing."""
        return () if f"codes.{meaning}" in self.unverified else self.codes.get(meaning, ())

    def ours(self, venue_client_id: str | None) -> str | None:
        """The order id behind a client order id; a foreign one stays as it is."""
        if not venue_client_id or self.client_id is None:
            return venue_client_id or None
        return self.client_id.from_venue(venue_client_id) or venue_client_id

    def domain(self) -> VenueProfile:
        """What the workflows have to know."""
        fence = self.fence and Fence(
            window_seconds=self.fence.window_seconds,
            grace_seconds=self.fence.engine_delay_seconds + self.fence.lookup_lag_seconds,
            definitive=self.fence.definitive,
        )
        return VenueProfile(
            name=self.name,
            uniqueness=self.uniqueness,
            fence=fence,
            miss_spacing_seconds=self.miss_spacing_seconds,
            history_lag_seconds=self.history_lag_seconds,
            closed_retention_seconds=min(lookup.retention_seconds for lookup in self.lookups),
            resend=self.second_attempt,
            submit_timeout_seconds=int(self.connect_timeout_seconds + self.read_timeout_seconds + 1),
        )


def _has_path(value: Any, path: str) -> bool:
    for part in path.split("."):
        if isinstance(value, Record):
            value = getattr(value, part, None)
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return False
    return value is not None


# --- the files -------------------------------------------------------------------------------------------------------


def known_venues() -> tuple[str, ...]:
    """The venues that have a profile of their own, supported or not."""
    names = (entry.name.removesuffix(".json") for entry in _folder().iterdir() if entry.name.endswith(".json"))
    return tuple(sorted(name for name in names if name != GENERIC))


def load_profile(venue: str) -> CcxtProfile:
    """The profile of a venue.

    Raises:
        InvalidInput: there is none, or its file is malformed.
    """
    if venue not in known_venues():
        problem = f"{venue!r} has no venue profile"
        remedy = f'Use one of {", ".join(known_venues())}, or set "venue_profile": "generic", which assumes nothing.'
        raise InvalidInput("account.venue", problem, remedy)
    return _read(venue)


def profile_of(document: AccountDocument) -> CcxtProfile:
    """The profile that an account asks for: its venue's, or the generic one where the document says so.

    Raises:
        InvalidInput: there is none, it is malformed, or the venue cannot be traded with it.
    """
    generic = document.venue_profile == GENERIC
    profile = _read(GENERIC).model_copy(update={"name": document.venue}) if generic else load_profile(document.venue)
    if profile.unsupported is not None:
        raise InvalidInput("account.venue", f"{profile.name}: {profile.unsupported}", "Use another venue.")
    if document.sandbox and not profile.sandbox:
        problem = f"{profile.name} has no test host"
        raise InvalidInput("account.sandbox", problem, "Say false, and start with small limits.")
    return profile


def _read(name: str) -> CcxtProfile:
    try:
        return CcxtProfile.model_validate_json((_folder() / f"{name}.json").read_text())
    except ValidationError as error:
        raise InvalidInput.from_validation(f"profile {name}", error, "Correct the profile's file.") from None


def _folder() -> Any:
    return files("belay.adapters.live.profiles")


# --- reading by path -------------------------------------------------------------------------------------------------


def dig(value: Any, path: str) -> Any:
    """What lies at a path; None where there is nothing."""
    for part in path.split(".") if path else ():
        if part == ONLY:
            value = value[0] if isinstance(value, list) and len(value) == 1 else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def rows_of(body: Any, rows: Rows) -> list[dict[str, Any]] | None:
    """The rows of an answer; None where the answer does not have the shape it must have."""
    found = dig(body, rows.path)
    if rows.kind == "object":
        if not isinstance(found, dict):
            return None
        found = [{KEY: key, **row} if isinstance(row, dict) else row for key, row in found.items()]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        return None
    return found
