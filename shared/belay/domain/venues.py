"""What a venue says and promises: its profile, its orders and trades, the outcome of one submission."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from belay.domain.decisions import Side, TimeInForce
from belay.domain.record import ZERO, Amount, NonNegative, Positive, Record, Symbol, Utc, joined


class Fence(Record):
    """How the venue itself refuses a stale request.

    `window_seconds` from the claim to the last moment the request is accepted; `grace_seconds` covers the engine's
    delay after its last check plus the look-up lag; `definitive` is False for a gateway-only or unverified fence,
    which is never by itself permission to conclude absence.
    """

    window_seconds: int
    grace_seconds: int
    definitive: bool


class VenueProfile(Record):
    """What may be concluded from a venue's silence. Seconds throughout.

    `history_lag_seconds`: how long trades of a finished order may still be missing from the history.
    `closed_retention_seconds`: how long a closed order can be looked up by client order id.
    `resend`: may an exit proven absent be submitted again under the same id?
    `pending_days`: for how long a movement may be recorded before it is final; 0 where only what is final is.
    """

    name: str
    uniqueness: Literal["idempotent", "unique", "open_only", "none"]
    fence: Fence | None
    miss_spacing_seconds: int
    history_lag_seconds: int
    closed_retention_seconds: int
    resend: Literal["never", "after_absence"]
    submit_timeout_seconds: int
    pending_days: int = 0

    def fence_at(self, claimed_at: datetime) -> datetime | None:
        return claimed_at + timedelta(seconds=self.fence.window_seconds) if self.fence else None

    def absence_provable_from(self, fence_at: datetime | None) -> datetime | None:
        """The venue time from which a well-formed look-up miss counts, None where absence cannot be proven."""
        if self.fence is None or not self.fence.definitive or fence_at is None:
            return None
        return fence_at + timedelta(seconds=self.fence.grace_seconds)


class OrderRequest(Record):
    """Exactly what is sent once: sizes in base currency, prices in quote currency, `fence_at` in venue time."""

    client_order_id: str
    symbol: Symbol
    side: Side
    quantity: Positive
    limit_price: Positive | None
    time_in_force: TimeInForce
    claimed_at: Utc
    fence_at: Utc | None


class VenueStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class VenueOrder(Record):
    """An order as the venue reports it. `filled_quantity` is cumulative; `updated_at` is the venue's time."""

    venue_order_id: str
    client_order_id: str | None
    symbol: Symbol
    side: Side
    quantity: Positive
    limit_price: Positive | None
    filled_quantity: NonNegative
    status: VenueStatus
    updated_at: Utc

    @property
    def remaining(self) -> Decimal:
        return max(self.quantity - self.filled_quantity, ZERO)


class UnreadRow(Record):
    """A row of a venue's answer that is not understood: what it is known by, and what it may concern.

    `reference`, `market` and `status` as the venue writes them, as far as it does; `symbol` where its market is one
    that is known. `assets` are those that it may lock or have moved: empty where that is not known.
    """

    what: Literal["order", "trade", "balance", "flow"]
    reference: str
    market: str = ""
    status: str = ""
    symbol: Symbol | None = None
    assets: tuple[str, ...] = ()
    problem: str

    @property
    def key(self) -> str:
        return joined(self.what, self.market, self.reference)


class VenueTrade(Record):
    """One execution as the venue reports it.

    `fees` by asset; a rebate is negative. `cost`: what moved in quote currency where the venue tells it, else price
    times quantity. `estimated`: the venue's ledger may say another fee, in another asset, than its list of trades.
    """

    venue: str
    symbol: Symbol
    venue_order_id: str
    client_order_id: str | None = None
    side: Side
    trade_id: str
    quantity: Positive
    price: Positive
    fees: dict[str, Amount] = {}
    at: Utc
    cost: NonNegative | None = None
    estimated: bool = False

    @property
    def key(self) -> str:
        """Unique within an account: trade ids alone repeat across symbols and venues (hummingbot #3317)."""
        return joined(self.venue, self.symbol, self.venue_order_id, self.side, self.trade_id)

    @property
    def notional(self) -> Decimal:
        return self.quantity * self.price if self.cost is None else self.cost

    @property
    def needs(self) -> int:
        """Schema 1 booked price times quantity, and fees that are costs in the asset that the trade names."""
        said = self.cost not in (None, self.quantity * self.price) or self.estimated
        return 2 if said or any(fee < 0 for fee in self.fees.values()) else 1

    @property
    def bookings(self) -> dict[str, int]:
        """How many amounts were booked by asset: each may have been rounded to what its wallet keeps."""
        counts = dict.fromkeys(self.symbol.split("/"), 1)
        for asset in self.fees:
            counts[asset] = counts.get(asset, 0) + 1
        return counts

    def costing(self, fees: Mapping[str, Decimal]) -> "VenueTrade":
        """The same trade with the fees that it really cost."""
        return self.model_copy(update={"fees": dict(fees), "estimated": False})

    def asset_changes(self) -> dict[str, Decimal]:
        """What this trade did to the balances, by asset, fees in whatever asset they were taken."""
        base, quote = self.symbol.split("/")
        sign = 1 if self.side is Side.BUY else -1
        changes = {base: sign * self.quantity, quote: -sign * self.notional}
        for asset, fee in self.fees.items():
            changes[asset] = changes.get(asset, ZERO) - fee
        return changes


def readable(rows: Iterable[VenueOrder | UnreadRow]) -> tuple[VenueOrder, ...]:
    """The orders among the rows of a list."""
    return tuple(row for row in rows if isinstance(row, VenueOrder))


def unread(rows: Iterable[VenueOrder | UnreadRow]) -> tuple[UnreadRow, ...]:
    """The rows of a list that are not understood."""
    return tuple(row for row in rows if isinstance(row, UnreadRow))


class TradePage(Record):
    """A part of a closed time window, oldest first; `next_page` is opaque, None when the window is fully read.

    `full`: the venue gave as many rows as it gives at most, and how to read on is not known.
    """

    trades: tuple[VenueTrade, ...]
    next_page: str | None = None
    unread: tuple[UnreadRow, ...] = ()
    full: bool = False


class Balances(Record):
    """Totals by asset, amounts locked in open orders included, as of venue time `at`.

    `free`: what of them is not locked, by whatever; empty where the venue does not tell. `decimals`: how many the
    wallet of an asset keeps, where that is known. `account`: the venue's own id of the account that they are of, where
    it tells one.
    """

    total: dict[str, Decimal]
    at: Utc
    free: dict[str, Decimal] = {}
    decimals: dict[str, int] = {}
    unread: tuple[UnreadRow, ...] = ()
    account: str | None = None


class OutcomeKind(StrEnum):
    """What one submission is known to have led to. Everything not proven is UNKNOWN."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    CONFIGURATION = "configuration"


class Outcome(Record):
    """The classified result of one submission: `code` is the venue's own or a phase such as `no_answer`."""

    kind: OutcomeKind
    code: str
    detail: str = ""
    venue_order: VenueOrder | None = None
    exchange_time: Utc | None = None
