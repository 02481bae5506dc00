"""What the workflows need from the world, as protocols. Adapters implement them; nothing here does anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import Field

from belay.domain.account import Account, OperatorStops, StopLevel
from belay.domain.chain import Acceptance, History
from belay.domain.checkup import Access
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.fills import Fill
from belay.domain.flows import Flow, FlowPage
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.market import Candle, Market, Price
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, Utc, digest
from belay.domain.slots import Tick
from belay.domain.transitions import Change
from belay.domain.venues import (
    Balances,
    OrderRequest,
    Outcome,
    TradePage,
    UnreadRow,
    VenueOrder,
    VenueProfile,
    VenueTrade,
)


class Story(Record):
    """One decision with everything that followed from it, each list in time order."""

    decision: DecisionRecord
    orders: tuple[Order, ...]
    events: tuple[OrderEvent, ...]
    fills: tuple[Fill, ...]


class Cursor(Record):
    """How far a symbol's trades were fully read: `read_until` in venue time, and the keys within the overlap."""

    symbol: str
    read_until: Utc
    recent_keys: tuple[str, ...] = ()


class CancelRequest(Record):
    """A standing request to cancel one order, repeated until the order is terminal. `asked`: how often it was."""

    account: str
    order_id: str
    reason: str
    requested_at: Utc
    asked: int = 0


class Suspicion(Record):
    """The mismatches that the last reconciliation saw: the venue time at which each was first seen, by key.

    One needs a second, later run to become an incident, and to be `gone` in two for the incident to end.
    """

    account: str
    first_seen: dict[str, Utc]
    gone: dict[str, Utc] = {}


class RefusedEvent(Record):
    """An event that the evaluator could not act on, for the reconciler to tell. `received` is its text."""

    account: str
    field: Annotated[str, Field(max_length=200)]
    problem: Annotated[str, Field(max_length=2_000)]
    received: Annotated[str, Field(max_length=2_000)]
    at: Utc

    @property
    def subject(self) -> str:
        """The same for the same event and field, however often it comes."""
        return f"{self.field}:{digest(self.received)[:12]}"


class Ledger(Protocol):
    """The durable record. Every write is conditional and atomic; a lost condition raises `Conflict`.

    A write whose response was lost and that is repeated succeeds: the record carries its writer's `write_id`. Nothing
    is ever deleted: what is done with is marked, and no longer listed.

    A record may be of a later version, see `Record.understood`: it is read as far as this one can, and nothing is
    written over it (`WrittenByLater`) but stops, operators' stops and cancel requests. Account, document and stops
    raise `Unreadable` where there are some that cannot be read at all; what else cannot be, is as if it were not there.

    The record lies in three tables, which
    differ in who may write them: see the roles in template.yaml.
    """

    @property
    def table_id(self) -> str:
        """Names these very tables: restored copies have another id."""

    # --- configuration: written by operators only ---

    def accounts(self) -> tuple[str, ...]: ...
    def configuration(self, account: str) -> Configuration | None: ...
    def store_configuration(self, configuration: Configuration) -> None:
        """Store version n+1 over version n; Conflict if another one was stored meanwhile. The history is kept."""

    def operator_stops(self, account: str) -> OperatorStops:
        """Consistent read; an account in which no operator ever set a stop has none at version 0."""

    def save_operator_stops(self, stops: OperatorStops) -> None:
        """Write version n+1 over version n."""

    # --- ledger: decisions, orders and their stories, schedules, cancel requests ---

    def decision(self, decision_id: str) -> DecisionRecord | None: ...
    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        """Store a decision and its orders in one step unless the slot has one; returns the stored decision.

        `account`: what becomes of the account with it; Conflict, and nothing stored, if that moved on meanwhile.
        """

    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        """The latest decisions of a strategy by candle time, newest first."""

    def story(self, decision_id: str) -> Story | None: ...
    def register_schedule(self, tick: Tick) -> None:
        """Remember the latest tick of a strategy and symbol, so that a silent schedule can be noticed."""

    def schedules(self, account: str) -> tuple[Tick, ...]: ...
    def drop_schedule(self, schedule: Tick) -> None:
        """Expect no more ticks of a schedule that is retired; the next tick registers it again."""

    def refuse(self, event: RefusedEvent) -> None:
        """Keep an event for the reconciler to tell; the same one is kept once."""

    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]: ...
    def clear_refused(self, event: RefusedEvent) -> None:
        """It was told."""

    def order(self, order_id: str) -> Order | None: ...
    def history(self, order: Order) -> History:
        """Everything stored about an order, and the anchor of it; read at two moments, between which it may move."""

    def open_orders(self, account: str) -> tuple[Order, ...]:
        """Orders that are not settled, from the sparse index: may lag the last writes a little."""

    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        """The latest orders of an account by creation time, newest first."""

    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        """The latest fills of an account by venue time, newest first."""

    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        """Whose venue order this is; venues number orders by symbol, so an id alone may name two."""

    def commit(self, change: Change) -> None:
        """Write one change atomically. Conflict if order, account or requirement is no longer what was read."""

    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]: ...
    def request_cancel(self, request: CancelRequest) -> None: ...
    def clear_cancel(self, account: str, order_id: str) -> None: ...

    # --- accounts: state, proofs, cursors, notes, incidents ---

    def account(self, account: str) -> Account:
        """Consistent read; an account never written is empty at version 0."""

    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        """Take an order's story as it stands; Conflict if the order is no longer at the accepted version."""

    def unreadable(self, account: str) -> tuple[str, ...]:
        """The keys of what was listed for an account since this was last asked, and could not be read."""

    def later(self, account: str) -> tuple[str, ...]:
        """The same of what only a later version can read: it is not broken, and is left alone."""

    def is_later(self, name: str) -> bool:
        """Whether what is stored as this order or decision is a later version's to act on, readable here or not."""

    def restore_pointer(self, order: Order) -> None:
        """Let an order be found by its id again."""

    def set_aside(self, subject: str) -> None:
        """Take an order id, or what is stored under an unreadable key, off every list. It is kept."""

    def save_account(self, account: Account) -> None:
        """Write version n+1 over version n."""

    def proof(self, account: str, fingerprint: str) -> Proof | None:
        """None, too, where it cannot be understood."""

    def store_proof(self, proof: Proof) -> None:
        """Store a proof over one that is not newer; Conflict unless the account is still at the proof's version."""

    def last_proof(self, account: str) -> Proof | None:
        """The newest proof of an account, whichever deployment stored it."""

    def flow(self, account: str, flow_id: str) -> Flow | None: ...
    def flows(self, account: str, limit: int) -> tuple[Flow, ...]:
        """The latest flows of an account by venue time, newest first."""

    def record_flow(self, flow: Flow, account: Account) -> None:
        """Store a flow and what the account becomes with it, in one step. Conflict if either is not new."""

    def cursor(self, account: str, symbol: str) -> Cursor | None:
        """Raises Unreadable where it is broken or of a later version: how far was read is then not known."""

    def store_cursor(self, account: str, cursor: Cursor) -> None:
        """Advance a cursor; an older one is ignored."""

    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]: ...
    def loose_trades(self, account: str, symbol: str, limit: int | None) -> tuple[VenueTrade, ...]:
        """The unattributed trades of one symbol, latest first, and no more of them is read than `limit`."""

    def store_unattributed(self, account: str, trade: VenueTrade) -> None: ...
    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        """A trade no longer waits for its order, because it was counted meanwhile."""

    def suspicion(self, account: str) -> Suspicion | None: ...
    def store_suspicion(self, suspicion: Suspicion) -> None: ...
    def incidents(self, account: str) -> tuple[Incident, ...]: ...
    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        """Those that are not resolved, and no more is read."""

    def incident(self, account: str, incident_id: str) -> Incident | None: ...
    def open_incident(self, incident: Incident) -> bool:
        """Open it unless it is open already and on-call was told; True if this call stored it."""

    def follow_incident(self, incident: Incident) -> bool:
        """Let an open incident say what is so by now; False when it is not the one that was read any more."""

    def resolve_incident(
        self, account: str, incident_id: str, resolution: str, author: str = "belay", at: datetime | None = None
    ) -> bool:
        """Resolve it if it is open, as it was read; False when there was nothing to resolve or it changed meanwhile."""

    def append_incident_entry(self, entry: IncidentEntry) -> None: ...
    def incident_history(self, account: str, incident_id: str) -> tuple[IncidentEntry, ...]:
        """Everything that was appended about an incident, in time order."""


class MarketData(Protocol):
    """A venue's public data. Every read raises `VenueUnavailable` when it gives no believable answer."""

    def time(self) -> datetime: ...
    def market(self, symbol: str) -> Market: ...
    def price(self, symbol: str) -> Price: ...
    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        """The last `limit` candles closed at `until`, oldest first; fewer where there are fewer."""


class Venue(Protocol):
    """One account at a venue. Reads raise `VenueUnavailable` when they give no evidence; `submit` never raises."""

    profile: VenueProfile

    def balances(self) -> Balances: ...
    def open_orders(self) -> tuple[VenueOrder | UnreadRow, ...]:
        """Every open order; a row that is not understood stands as such among them."""

    def flows(self, start: datetime, end: datetime) -> FlowPage:
        """What the venue recorded with start <= time <= end beside trades: deposits, withdrawals, interest, transfers.

        Reads as much of the window, from its start, as one run may ask for: `read_until` says how far that was.
        """

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        """One page of the account's trades with start <= time <= end, oldest first."""

    def lookup(self, symbol: str, client_order_id: str, venue_order_id: str | None = None) -> VenueOrder | None:
        """Find an order by client order id among open and closed ones; None is a well-formed miss.

        With the `venue_order_id` that a trade told, by that one: whoever's order it is, it is given as it stands.
        """

    def submit(self, request: OrderRequest) -> Outcome:
        """Send once. Whatever happens is classified; nothing is retried."""

    def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask for a cancel; that the venue does not find the order changes nothing."""

    def access(self) -> Access:
        """What this function's key may do. Raises `AccountRefused` where the venue refuses key or region."""


class Clock(Protocol):
    """A clock of this process; on a replay account, the market's."""

    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class Venues(Protocol):
    """How an account's document becomes connections. The evaluator's gives market data only."""

    def clock(self, document: AccountDocument) -> Clock:
        """The clock that is compared with the venue's."""

    def market_data(self, document: AccountDocument) -> MarketData: ...
    def venue(self, document: AccountDocument) -> Venue: ...


class SwitchReading(Record):
    """The operators' switch as read now; unreadable or malformed reads as halted, with the reason."""

    level: StopLevel
    reason: str


class KillSwitch(Protocol):
    def read(self) -> SwitchReading:
        """A fresh read, never a cached one. Never raises: what cannot be read is halted."""


class Queue(Protocol):
    """Messages to the other functions; each carries an id, never a fact to act on."""

    def publish_intent(self, order: Order) -> None:
        """At least once; deduplicated by order id and `order.publications`."""

    def follow_up(self, account: str, delay_seconds: int) -> None:
        """Ask for a reconciliation of one account after a delay."""

    def tick(self, tick: Tick) -> None:
        """Ask the evaluator for a missed slot."""


class Alerts(Protocol):
    def incident(self, incident: Incident) -> bool:
        """Tell on-call; False when it could not be delivered. Never raises: the incident must reach the ledger."""


class Gather(Protocol):
    def __call__(self, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Run independent reads, in parallel where that is possible; the first error is raised."""


@dataclass(frozen=True)
class Services:
    """Everything a workflow is handed. `clock` stamps what is recorded; `new_id` gives fresh unique ids.

    `follow_up_seconds`: how long after a submission its account is reconciled.
    """

    stage: str
    layer_version: str
    ledger: Ledger
    venues: Venues
    kill_switch: KillSwitch
    queue: Queue
    alerts: Alerts
    gather: Gather
    clock: Clock
    new_id: Callable[[], str]
    follow_up_seconds: int = 5
