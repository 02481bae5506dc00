"""Where a venue's raw answers say what, as a profile describes it, and how to find it there. Judges nothing."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from belay.domain.record import Record
from belay.domain.venues import VenueStatus

KEY = "@key"
ONLY = "only"


# --- what an answer means --------------------------------------------------------------------------------------------


class Meaning(StrEnum):
    """What a raw code proves. Only `rejected` and `not_placed` say that no order came of the request."""

    REJECTED = "rejected"
    NOT_PLACED = "not_placed"
    DUPLICATE = "duplicate"
    CONFIGURATION = "configuration"
    MISSING = "missing"
    NOT_LISTED = "not_listed"
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
    """Where an answer names its error: the fields of an object, or a list of texts. `success`: codes that are none."""

    kind: Literal["fields", "list"]
    code: str
    message: str | None = None
    success: tuple[str, ...] = ()


# --- how an answer is read -------------------------------------------------------------------------------------------
# A path names a value by dots; `only` is the single element of a list, `@key` the key of a row in an object.


class Rows(Record):
    """Where an answer holds its rows: a list, or an object whose keys are the rows' ids. `count`: how many in all.

    `omitted`: the path of an empty list beside which no rows at all are the same as none.
    """

    path: str
    kind: Literal["list", "object"]
    count: str | None = None
    omitted: str | None = None


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
    """Where a row names what a trade is. Without `fee_asset` the fee is in quote currency.

    `cost`: what moved in quote currency, where the venue tells it. `fees`: a list of `cost` and `currency`, which goes
    before the one fee. `estimated`: the venue's ledger may tell another fee.
    """

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
    cost: str | None = None
    fees: str | None = None
    estimated: bool = False


class BalanceFields(Record):
    """Where a row names an asset (`@key` in an object) and the parts that make up its total.

    What is free of it: one part, or the total without what is `held`. `decimals`: how many every wallet keeps, where
    that is the same for all.
    """

    asset: str
    total: tuple[str, ...] = Field(min_length=1)
    free: str | None = None
    held: str | None = None
    decimals: int | None = None


class Reply(Record):
    """The answer to a submission: where the venue's order id is; `whole`: it is an order's row in all its fields."""

    id: str
    whole: bool


class Reading(Record):
    """How this venue's raw answers are read. A venue without it is read through ccxt's unified structures.

    `account`: where the answer about balances names the account itself; empty where it does not.
    """

    errors: Errors
    reply: Reply
    orders: OrderFields
    trades: TradeFields
    balances: BalanceFields
    open_rows: Rows
    closed_rows: Rows | None
    trade_rows: Rows
    balance_rows: Rows
    account: str = ""


class RightNames(Record):
    """The venue's own names of the rights that a function's key needs, or must not have. All of them must be given."""

    read: tuple[str, ...] = Field(min_length=1)
    trade: tuple[str, ...] = Field(min_length=1)
    cancel: tuple[str, ...] = Field(min_length=1)
    withdraw: tuple[str, ...] = Field(min_length=1)
    records: tuple[str, ...] = ()


class Rights(Record):
    """Where a venue tells what a key may do: the method of its class; in its answer, a list of rights or an object of
    them with true and false, and what binds the key to addresses. `harmless` rights are not worth a word. `account`:
    where the answer names the account that the key is of; empty where it does not.
    """

    method: str = Field(pattern=r"^[a-z][A-Za-z0-9]*$")
    path: str
    bound: str
    names: RightNames
    harmless: tuple[str, ...] = ()
    account: str = ""


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
    """The rows of an answer; None where the answer does not have the shape it must have.

    What is no object stands as an empty one: it is a row, of which nothing is known.
    """
    found = dig(body, rows.path)
    if found is None and rows.omitted is not None and dig(body, rows.omitted) == []:
        return []
    if rows.kind == "object":
        if not isinstance(found, dict):
            return None
        return [{KEY: key, **(row if isinstance(row, dict) else {})} for key, row in found.items()]
    if not isinstance(found, list):
        return None
    return [row if isinstance(row, dict) else {} for row in found]
