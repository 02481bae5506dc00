"""What a profile may say of a venue: each field, and what must go together. Reads no file and no answer."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from belay.adapters.live.profiles.answers import Meaning, Reading, Rights, Rule
from belay.adapters.live.profiles.client_ids import ClientId
from belay.adapters.live.profiles.flows import FlowRecords
from belay.domain.record import Record
from belay.domain.venues import Fence, VenueProfile


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

    `from_id`: windows of `window_hours`, then by trade id; `offset`: newest first, by number; `none`: one page, of such
    a window where there is one; `until`: ccxt takes its end, too.
    """

    scope: Literal["symbol", "account"]
    paging: Literal["from_id", "offset", "none"]
    page_size: int = Field(gt=0)
    window_hours: int | None = None
    client_id: bool = False
    until: bool = False


class Preflight(Record):
    """What keeps ccxt from other requests inside `create_order`: constructor options, methods that then do nothing,
    and methods asked beforehand."""

    options: dict[str, Any] = {}
    skip: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()


class MarketDetails(Record):
    """What of ccxt's markets its class needs beyond the filters: keys of `info` (None: it is not known, so all of it),
    and the option that indexes them.

    `open`: states of a market, by `info.status`, in which ccxt calls it inactive although something can be traded.
    `assets`: the venue has a public list of its assets, with their names and decimals. `spendable`: what follows the
    dot in the name of a wallet that is spent through the asset before it, such as `F` in `XBT.F`.
    """

    info: tuple[str, ...] | None = None
    index_option: str | None = None
    index_by: str | None = None
    open: tuple[str, ...] = ()
    assets: bool = False
    spendable: tuple[str, ...] = ()


class BudgetProfile(Record):
    """Requests per minute of one account in one process, what of it reads leave to submissions; `used_header` tells
    the venue's own count, of which reads use no more than `used_bound`."""

    requests_per_minute: int = Field(gt=0)
    kept_for_submissions: int = Field(ge=0)
    used_header: str | None = None
    used_bound: int = 0


class CcxtProfile(Record):
    """Everything that Belay knows of one venue; see the package's first lines for what is not verified.

    `order_path`: how the path of the order's request ends, empty where that is not known. `order_id`: what a
    believable venue order id looks like. `market_buys`: whether a market buy takes a base quantity. `rising_nonce`:
    the nonces of a key must rise. `sections`: the names of the class's hosts that are used; empty where that is not
    known, so that all of them may be. `rights` None: the venue does not tell what a key may do. `flows` None: where the
    venue records what came and went without a trade is not described.
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
    rights: Rights | None = None
    flows: FlowRecords | None = None
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
            pending_days=self.flows.pending_days if self.flows else 0,
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
