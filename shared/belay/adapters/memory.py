"""The ports in memory, with the semantics of the real ones. Reads no clock and no randomness.

Records are kept as JSON text, so that sharing an object or losing a type in storage shows here too.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from threading import RLock
from typing import Any, Concatenate

from belay.adapters.aws.kill_switch import SwitchValue, read_switch
from belay.adapters.aws.queue import possible_delay
from belay.adapters.records import (
    cancel_position,
    cancels_of,
    decision_position,
    fill_position,
    incident_position,
    order_digest,
    order_position,
    refused_position,
    schedule_key,
    told,
    trade_position,
)
from belay.domain.account import Account, OperatorStops, StopLevel
from belay.domain.chain import Acceptance, Anchor, History, Stored
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict
from belay.domain.fills import Fill
from belay.domain.incidents import Incident
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, digest
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Story, Suspicion, SwitchReading


class Drawer[K, R: Record]:
    """Records of one kind by key, as JSON text."""

    def __init__(self, model: type[R]) -> None:
        self._model = model
        self._bodies: dict[K, str] = {}

    def __getitem__(self, key: K) -> R:
        return self._model.model_validate_json(self._bodies[key])

    def __setitem__(self, key: K, record: R) -> None:
        self._bodies[key] = record.model_dump_json()

    def __contains__(self, key: K) -> bool:
        return key in self._bodies

    def get(self, key: K) -> R | None:
        return self[key] if key in self._bodies else None

    def text(self, key: K) -> str:
        return self._bodies[key]

    def stored(self, key: K) -> Stored[R] | None:
        return Stored(self[key], digest(self._bodies[key])) if key in self._bodies else None

    def keys(self) -> tuple[K, ...]:
        return tuple(self._bodies)

    def holds(self, key: K, record: R) -> bool:
        return self._bodies.get(key) == record.model_dump_json()

    def drop(self, key: K) -> None:
        self._bodies.pop(key, None)

    def all(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record, sorted by position."""
        return tuple(sorted((self[key] for key in self._bodies), key=position))


class Line[R: Record](Drawer[str, R]):
    """Records by their position on a time line."""

    def latest(self, limit: int) -> tuple[R, ...]:
        return tuple(self[position] for position in sorted(self._bodies, reverse=True)[:limit])


class Standing[R: Record](Drawer[str, R]):
    """Records of which some still stand; the others are kept, and no longer listed."""

    def __init__(self, model: type[R]) -> None:
        super().__init__(model)
        self.standing: set[str] = set()

    def __setitem__(self, key: str, record: R) -> None:
        super().__setitem__(key, record)
        self.standing.add(key)

    def withdraw(self, key: str) -> None:
        self.standing.discard(key)

    def all(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record that stands, sorted by position."""
        return tuple(sorted((self[key] for key in self.standing), key=position))


def _locked[**P, T](
    method: Callable[Concatenate["InMemoryLedger", P], T],
) -> Callable[Concatenate["InMemoryLedger", P], T]:
    """Run a method as one step that no other thread sees half done."""

    @wraps(method)
    def run(self: "InMemoryLedger", /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return run


class InMemoryLedger:
    """`ports.Ledger` in one process, safe between threads."""

    def __init__(self, table_id: str = "in-memory") -> None:
        self.table_id = table_id
        self.lock = RLock()
        self._versions: dict[str, int] = {}
        self._configurations = Drawer[tuple[str, int], Configuration](Configuration)
        self._operator_stops = Drawer[str, OperatorStops](OperatorStops)
        self._accounts = Drawer[str, Account](Account)
        self._anchors = Drawer[tuple[str, str], Anchor](Anchor)
        self._acceptances = Drawer[tuple[str, str], Acceptance](Acceptance)
        self._decisions = Drawer[str, DecisionRecord](DecisionRecord)
        self._orders = Drawer[str, Order](Order)
        self._writers: dict[tuple[str, int], str] = {}
        self._proofs = Drawer[tuple[str, str], Proof](Proof)
        self._cursors = Drawer[tuple[str, str], Cursor](Cursor)
        self._suspicions = Drawer[str, Suspicion](Suspicion)
        self._venue_orders: dict[tuple[str, str, str], str] = {}
        # By order.
        self._events = defaultdict[str, Drawer[int, OrderEvent]](lambda: Drawer(OrderEvent))
        self._fills = defaultdict[str, Drawer[str, Fill]](lambda: Drawer(Fill))
        # By account.
        self._schedules = defaultdict[str, Standing[Tick]](lambda: Standing(Tick))
        self._refused = defaultdict[str, Standing[RefusedEvent]](lambda: Standing(RefusedEvent))
        self._unattributed = defaultdict[str, Standing[VenueTrade]](lambda: Standing(VenueTrade))
        self._cancels = defaultdict[str, Standing[CancelRequest]](lambda: Standing(CancelRequest))
        self._incidents = defaultdict[str, Drawer[str, Incident]](lambda: Drawer(Incident))
        # What the indexes of the table hold.
        self._open_orders = defaultdict[str, Line[Order]](lambda: Line(Order))
        self._decision_lines = defaultdict[tuple[str, str], Line[DecisionRecord]](lambda: Line(DecisionRecord))
        self._order_lines = defaultdict[str, Line[Order]](lambda: Line(Order))
        self._fill_lines = defaultdict[str, Line[Fill]](lambda: Line(Fill))

    # --- accounts and their documents -------------------------------------------------------------

    @_locked
    def accounts(self) -> tuple[str, ...]:
        return tuple(sorted(self._versions))

    @_locked
    def configuration(self, account: str) -> Configuration | None:
        return self._configurations.get((account, self._versions.get(account, 0)))

    @_locked
    def store_configuration(self, configuration: Configuration) -> None:
        account, version = configuration.document.account, configuration.version
        if self._versions.get(account, 0) == version - 1:
            self._configurations[account, version] = configuration
            self._versions[account] = version
        elif not self._configurations.holds((account, version), configuration):
            raise Conflict("configuration")

    @_locked
    def operator_stops(self, account: str) -> OperatorStops:
        return self._operator_stops.get(account) or OperatorStops(account=account)

    @_locked
    def save_operator_stops(self, stops: OperatorStops) -> None:
        if self.operator_stops(stops.account).version == stops.version - 1:
            self._operator_stops[stops.account] = stops
        elif not self._operator_stops.holds(stops.account, stops):
            raise Conflict("operators' stops")

    @_locked
    def account(self, account: str) -> Account:
        return self._accounts.get(account) or Account(account=account)

    @_locked
    def save_account(self, account: Account) -> None:
        if self.account(account.account).version == account.version - 1:
            self._accounts[account.account] = account
        elif not self._accounts.holds(account.account, account):
            raise Conflict("account")

    # --- decisions --------------------------------------------------------------------------------

    @_locked
    def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._decisions.get(decision_id)

    @_locked
    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        if record.decision_id in self._decisions:
            return self._decisions[record.decision_id]
        if any(order.order_id in self._orders for order in orders):
            raise Conflict("order")
        if not all(self._owns(order) for order in orders):
            raise Conflict("venue order")
        if account is not None:
            self.save_account(account)
        slot = record.slot
        self._decisions[record.decision_id] = record
        self._decision_lines[slot.account, slot.strategy][decision_position(record)] = record
        for order in orders:
            self._keep(order)
        for event in events:
            self._append(event, record.write_id)
        for request in cancels_of(record):
            self.request_cancel(request)
        return record

    @_locked
    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        return self._decision_lines[account, strategy].latest(limit)

    @_locked
    def story(self, decision_id: str) -> Story | None:
        decision = self._decisions.get(decision_id)
        if decision is None:
            return None
        orders = [order for order_id in decision.order_ids if order_id and (order := self._orders.get(order_id))]
        events = [event for order in orders for event in self._events[order.order_id].all(_sequence)]
        fills = [fill for order in orders for fill in self._fills[order.order_id].all(fill_position)]
        return told(decision, orders, events, fills)

    @_locked
    def register_schedule(self, tick: Tick) -> None:
        known = self._schedules[tick.account].get(schedule_key(tick))
        if known is None or known.scheduled_time <= tick.scheduled_time:
            self._schedules[tick.account][schedule_key(tick)] = tick

    @_locked
    def drop_schedule(self, schedule: Tick) -> None:
        self._schedules[schedule.account].withdraw(schedule_key(schedule))

    @_locked
    def schedules(self, account: str) -> tuple[Tick, ...]:
        return self._schedules[account].all(schedule_key)

    @_locked
    def refuse(self, event: RefusedEvent) -> None:
        self._refused[event.account][event.subject] = event

    @_locked
    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]:
        return self._refused[account].all(refused_position)

    @_locked
    def clear_refused(self, event: RefusedEvent) -> None:
        self._refused[event.account].withdraw(event.subject)

    # --- orders -----------------------------------------------------------------------------------

    @_locked
    def history(self, order: Order) -> History:
        found, key = self._orders.get(order.order_id), (order.account, order.order_id)
        stored = Stored(found, order_digest(self._orders.text(order.order_id), found.head)) if found else None
        events, fills = self._events[order.order_id], self._fills[order.order_id]
        return History(
            order=stored,
            decision=self._decisions.stored(order.decision_id),
            events=tuple(event for number in sorted(events.keys()) if (event := events.stored(number))),
            fills=tuple(fill for name in sorted(fills.keys()) if (fill := fills.stored(name))),
            anchor=self._anchors.get(key),
            acceptance=self._acceptances.get(key),
        )

    @_locked
    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        order = self._orders.get(acceptance.order_id)
        if order is None or (order.decision_id, order.version) != (decision_id, acceptance.version):
            raise Conflict("order")
        key = (acceptance.account, acceptance.order_id)
        self._anchors[key] = Anchor.model_validate(acceptance.model_dump(include=set(Anchor.model_fields)))
        self._acceptances[key] = acceptance

    @_locked
    def order(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    @_locked
    def open_orders(self, account: str) -> tuple[Order, ...]:
        return self._open_orders[account].all(order_position)

    @_locked
    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        return self._order_lines[account].latest(limit)

    @_locked
    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        return self._fill_lines[account].latest(limit)

    @_locked
    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        return self._venue_orders.get((account, symbol, venue_order_id))

    @_locked
    def commit(self, change: Change) -> None:
        lost = self._lost(change)
        if not lost:
            return self._apply(change)
        if self._written_by_us(change):
            return None
        raise Conflict(lost[0])

    def _lost(self, change: Change) -> list[str]:
        """The parts of a change that are not as they were read, in the order in which they are written."""
        order, account, fill = change.order, change.account, change.fill
        stored = self._orders.get(order.order_id)
        conditions = {
            "order": stored is not None
            and stored.version == change.previous_version
            and change.event.sequence not in self._events[order.order_id],
            "account": account is None or self.account(account.account).version == account.version - 1,
            "fill": fill is None or fill.key not in self._fills[fill.order_id],
            "venue order": self._owns(order),
            "anchor": self._anchored(change),
            **self._requirements(order.account, change.requirement),
        }
        return [what for what, holds in conditions.items() if not holds]

    def _anchored(self, change: Change) -> bool:
        """Whether what is known beside the account is where this change goes on from."""
        anchor = self._anchors.get((change.order.account, change.order.order_id))
        known = (anchor.version, anchor.head) if anchor else None
        return known == ((change.previous_version, change.previous_head) if change.previous_version else None)

    def _owns(self, order: Order) -> bool:
        """Whether each of the order's venue orders is its own or nobody's."""
        keys = ((order.account, order.symbol, venue_id) for venue_id in order.venue_order_ids)
        return all(self._venue_orders.get(key, order.order_id) == order.order_id for key in keys)

    def _requirements(self, account: str, requirement: Requirement | None) -> dict[str, bool]:
        if requirement is None:
            return {}
        required = {
            "configuration": self._versions.get(account) == requirement.configuration_version,
            "operators' stops": self.operator_stops(account).version == requirement.stops_version,
        }
        if requirement.proof_fingerprint is None:
            return required
        proof = self._proofs.get((account, requirement.proof_fingerprint))
        checked = requirement.proof_completed_at or EPOCH
        return {**required, "proof": proof is not None and proof.completed_at >= checked}

    def _written_by_us(self, change: Change) -> bool:
        """Whether the change had been written before: its order or its event bears its writer's id."""
        ours, stored = change.order.write_id, self._orders.get(change.order.order_id)
        if stored is not None and stored.version != change.previous_version and stored.write_id == ours:
            return True
        return self._writers.get((change.order.order_id, change.event.sequence)) == ours

    def _apply(self, change: Change) -> None:
        order, fill = change.order, change.fill
        self._keep(order)
        self._append(change.event, order.write_id)
        anchor = Anchor(account=order.account, order_id=order.order_id, version=order.version, head=order.head)
        self._anchors[order.account, order.order_id] = anchor
        if change.account is not None:
            self._accounts[change.account.account] = change.account
        if fill is not None:
            self._fills[fill.order_id][fill.key] = fill
            self._fill_lines[fill.account][fill_position(fill)] = fill

    def _keep(self, order: Order) -> None:
        self._orders[order.order_id] = order
        for venue_id in order.venue_order_ids:
            self._venue_orders[order.account, order.symbol, venue_id] = order.order_id
        self._order_lines[order.account][order_position(order)] = order
        if order.settled:
            self._open_orders[order.account].drop(order_position(order))
        else:
            self._open_orders[order.account][order_position(order)] = order

    def _append(self, event: OrderEvent, writer: str) -> None:
        self._events[event.order_id][event.sequence] = event
        self._writers[event.order_id, event.sequence] = writer

    # --- reconciliation ---------------------------------------------------------------------------

    @_locked
    def proof(self, account: str, fingerprint: str) -> Proof | None:
        return self._proofs.get((account, fingerprint))

    @_locked
    def store_proof(self, proof: Proof) -> None:
        key = (proof.account, proof.fingerprint)
        stored = self._proofs.get(key)
        if self._proofs.holds(key, proof):
            return
        if stored is not None and stored.completed_at > proof.completed_at:
            raise Conflict("proof")
        if self.account(proof.account).version != proof.account_version:
            raise Conflict("account")
        self._proofs[key] = proof

    @_locked
    def cursor(self, account: str, symbol: str) -> Cursor | None:
        return self._cursors.get((account, symbol))

    @_locked
    def store_cursor(self, account: str, cursor: Cursor) -> None:
        stored = self._cursors.get((account, cursor.symbol))
        if stored is None or stored.read_until <= cursor.read_until:
            self._cursors[account, cursor.symbol] = cursor

    @_locked
    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        return self._unattributed[account].all(trade_position)

    @_locked
    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._unattributed[account][trade.key] = trade

    @_locked
    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._unattributed[account].withdraw(trade.key)

    @_locked
    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        return self._cancels[account].all(cancel_position)

    @_locked
    def request_cancel(self, request: CancelRequest) -> None:
        self._cancels[request.account][request.order_id] = request

    @_locked
    def clear_cancel(self, account: str, order_id: str) -> None:
        self._cancels[account].withdraw(order_id)

    @_locked
    def suspicion(self, account: str) -> Suspicion | None:
        return self._suspicions.get(account)

    @_locked
    def store_suspicion(self, suspicion: Suspicion) -> None:
        self._suspicions[suspicion.account] = suspicion

    @_locked
    def incidents(self, account: str) -> tuple[Incident, ...]:
        return self._incidents[account].all(incident_position)

    @_locked
    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return tuple(incident for incident in self.incidents(account) if incident.status == "open")

    @_locked
    def incident(self, account: str, incident_id: str) -> Incident | None:
        return self._incidents[account].get(incident_id)

    @_locked
    def open_incident(self, incident: Incident) -> bool:
        incidents, key = self._incidents[incident.account], incident.incident_id
        stored = incidents.get(key)
        if stored is not None and stored.status == "open" and stored.told:
            return incidents.holds(key, incident)
        incidents[key] = incident
        return True

    @_locked
    def resolve_incident(self, account: str, incident_id: str, resolution: str) -> bool:
        incident = self._incidents[account].get(incident_id)
        if incident is None or incident.status == "resolved":
            return False
        resolved = incident.model_copy(update={"status": "resolved", "resolution": resolution})
        self._incidents[account][incident_id] = resolved
        return True


def _sequence(event: OrderEvent) -> str:
    return f"{event.sequence:06}"


# --- the other ports ------------------------------------------------------------------------------


class IntentMessage(Record):
    """What the intents queue carries; `group` is delivered in order, `deduplication_id` once."""

    body: dict[str, str]
    group: str
    deduplication_id: str


class FollowUpMessage(Record):
    body: dict[str, str]
    delay_seconds: int


class InMemoryQueue:
    """Messages in the order of sending, for a test or a simulation to take out and deliver.

    A deduplication id is dropped for good, since nothing here knows when five minutes are over.
    """

    def __init__(self) -> None:
        self.intents: list[IntentMessage] = []
        self.follow_ups: list[FollowUpMessage] = []
        self.ticks: list[Tick] = []
        self._sent: set[str] = set()
        self._lock = RLock()

    def publish_intent(self, order: Order) -> None:
        message = IntentMessage(
            body={"order_id": order.order_id},
            group=order.message_group,
            deduplication_id=f"{order.order_id}-{order.publications}",
        )
        with self._lock:
            if message.deduplication_id not in self._sent:
                self._sent.add(message.deduplication_id)
                self.intents.append(message)

    def follow_up(self, account: str, delay_seconds: int) -> None:
        self.follow_ups.append(FollowUpMessage(body={"account": account}, delay_seconds=possible_delay(delay_seconds)))

    def tick(self, tick: Tick) -> None:
        self.ticks.append(Tick.model_validate_json(tick.model_dump_json()))


class InMemoryKillSwitch:
    """The switch as text, as SSM would hold it; None is a missing one, which reads as halted."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def read(self) -> SwitchReading:
        if self.text is None:
            reason = "the kill switch does not exist; release it to create it"
            return SwitchReading(level=StopLevel.HALTED, reason=reason)
        return read_switch(self.text)

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None:
        self.text = SwitchValue(level=level, reason=reason, author=author, at=at).model_dump_json()


class InMemoryAlerts:
    """Incidents in the order in which on-call was told."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []

    def incident(self, incident: Incident) -> bool:
        self.incidents.append(incident)
        return True


class ManualClock:
    """Time that passes only by `sleep` and `set`."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def set(self, now: datetime) -> None:
        self._now = now


def gather_in_order(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run the calls one after the other, in the order given."""
    return {name: call() for name, call in calls.items()}
