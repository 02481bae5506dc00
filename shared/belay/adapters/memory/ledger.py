"""The ledger in memory, with the semantics of the one on tables. Reads no clock and no randomness."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate

from belay.adapters.memory.books import Books
from belay.adapters.memory.drawers import Drawer
from belay.adapters.records import (
    cancel_position,
    cancels_of,
    decision_position,
    fill_position,
    flow_position,
    incident_position,
    order_digest,
    order_position,
    refused_position,
    resolved,
    schedule_key,
    told,
    trade_position,
)
from belay.domain.account import Account, OperatorStops
from belay.domain.chain import Acceptance, Anchor, History, Stored
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict, Unreadable, WrittenByLater
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.slots import Tick
from belay.domain.transitions import Change
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Story, Suspicion


def _locked[**P, T](
    method: Callable[Concatenate["InMemoryLedger", P], T],
) -> Callable[Concatenate["InMemoryLedger", P], T]:
    """Run a method as one step that no other thread sees half done."""

    @wraps(method)
    def run(self: "InMemoryLedger", /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return run


class InMemoryLedger(Books):
    """`ports.Ledger` in one process, safe between threads: each method is one step under `lock`."""

    # --- accounts and their documents -------------------------------------------------------------

    @_locked
    def accounts(self) -> tuple[str, ...]:
        return tuple(sorted(self._versions))

    @_locked
    def configuration(self, account: str) -> Configuration | None:
        key = (account, self._versions.get(account, 0))
        return self._needed(self._configurations, key, f"the document of account {account}")

    @_locked
    def store_configuration(self, configuration: Configuration) -> None:
        account, version = configuration.document.account, configuration.version
        if self._configurations.of_later((account, self._versions.get(account, 0))):
            raise WrittenByLater("configuration")
        if self._versions.get(account, 0) == version - 1:
            self._configurations[account, version] = configuration
            self._versions[account] = version
        elif not self._configurations.holds((account, version), configuration):
            raise Conflict("configuration")

    @_locked
    def operator_stops(self, account: str) -> OperatorStops:
        return self._stops_of(account)

    @_locked
    def save_operator_stops(self, stops: OperatorStops) -> None:
        if self.operator_stops(stops.account).version == stops.version - 1:
            self._operator_stops[stops.account] = stops
        elif not self._operator_stops.holds(stops.account, stops):
            raise Conflict("operators' stops")

    @_locked
    def account(self, account: str) -> Account:
        return self._account_of(account)

    @_locked
    def save_account(self, account: Account) -> None:
        stored = self.account(account.account)
        if self._accounts.holds(account.account, account):
            return
        if not (account.understood and stored.understood) and not account.differs_in_stops_only(stored):
            raise WrittenByLater("account")
        if stored.version == account.version - 1:
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
            if (decided := self._decisions.get(record.decision_id)) is None:
                raise WrittenByLater("decision")
            return decided
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
            if record.by_a_person:
                self._anchors[order.account, order.order_id] = Anchor.of(order)
        for event in events:
            self._append(event, record.write_id)
        for request in cancels_of(record):
            self._cancels[request.account][request.order_id] = request
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
        if self._schedules[tick.account].of_later(schedule_key(tick)):
            return
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
        if not self._refused[event.account].of_later(event.subject):
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
            later=self._beyond(order),
        )

    def _beyond(self, order: Order) -> str:
        """A part of an order's records that only a later version can read."""
        key = (order.account, order.order_id)
        parts = {
            "order": order.order_id in self._orders.beyond(),
            "decision": order.decision_id in self._decisions.beyond(),
            "event": bool(self._events[order.order_id].beyond()),
            "fill": bool(self._fills[order.order_id].beyond()),
            "anchor": key in self._anchors.beyond(),
            "acceptance": key in self._acceptances.beyond(),
        }
        return next((f"what is stored as its {what}" for what, later in parts.items() if later), "")

    @_locked
    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        anchor = acceptance.anchor
        order = self._orders.get(anchor.order_id)
        if order is None or (order.decision_id, order.version) != (decision_id, anchor.version):
            raise Conflict("order")
        key = (anchor.account, anchor.order_id)
        if self._orders.of_later(anchor.order_id) or self._anchors.of_later(key) or self._acceptances.of_later(key):
            raise WrittenByLater("order")
        self._anchors[anchor.account, anchor.order_id] = anchor
        self._acceptances[anchor.account, anchor.order_id] = acceptance

    @_locked
    def unreadable(self, account: str) -> tuple[str, ...]:  # noqa: ARG002 the port's
        """Nothing is stored here but what was read before."""
        return ()

    @_locked
    def later(self, account: str) -> tuple[str, ...]:
        lists: dict[str, Drawer[str, Any]] = {
            "ORDER": self._open_orders[account],
            "SCHEDULE": self._schedules[account],
            "REFUSED": self._refused[account],
            "CANCEL": self._cancels[account],
            "CANCEL ": self._asked_cancels[account],
            "UNATTRIBUTED": self._unattributed[account],
            "INCIDENT": self._incidents[account],
        }
        return tuple(sorted(f"{kind.strip()}#{key}" for kind, drawer in lists.items() for key in drawer.beyond()))

    @_locked
    def is_later(self, name: str) -> bool:
        return self._orders.of_later(name) or self._decisions.of_later(name)

    @_locked
    def restore_pointer(self, order: Order) -> None:
        """Orders are found by their ids here."""

    @_locked
    def set_aside(self, subject: str) -> None:
        if (order := self._orders.get(subject)) is not None:
            position = order_position(order)
            self._open_orders[order.account].drop(position)
            self._order_lines[order.account].drop(position)

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
        if later := self._of_later(change):
            if self._written_by_us(change):
                return None
            raise WrittenByLater(later[0])
        lost = self._lost(change)
        if not lost:
            return self._apply(change)
        if self._written_by_us(change):
            return None
        raise Conflict(lost[0])

    # --- reconciliation ---------------------------------------------------------------------------

    @_locked
    def proof(self, account: str, fingerprint: str) -> Proof | None:
        proof = self._proofs.get((account, fingerprint))
        return proof if proof is not None and proof.understood else None

    @_locked
    def store_proof(self, proof: Proof) -> None:
        key = (proof.account, proof.fingerprint)
        stored = self._proofs.get(key)
        if self._proofs.holds(key, proof):
            return
        known = (stored, self.last_proof(proof.account))
        if any(other is not None and other.completed_at > proof.completed_at for other in known):
            raise Conflict("proof")
        if self._proofs.of_later(key) or self._accounts.of_later(proof.account):
            raise WrittenByLater("proof" if self._proofs.of_later(key) else "account")
        if self.account(proof.account).version != proof.account_version:
            raise Conflict("account")
        self._proofs[key] = proof
        self._last_proofs[proof.account] = proof

    @_locked
    def last_proof(self, account: str) -> Proof | None:
        return self._last_proofs.get(account)

    @_locked
    def flow(self, account: str, flow_id: str) -> Flow | None:
        return self._flows[account].get(flow_id)

    @_locked
    def flows(self, account: str, limit: int) -> tuple[Flow, ...]:
        return self._flow_lines[account].latest(limit)

    @_locked
    def record_flow(self, flow: Flow, account: Account) -> None:
        stored = self._flows[flow.account]
        if flow.flow_id in stored:
            if stored.holds(flow.flow_id, flow):
                return
            raise Conflict("flow")
        if self._accounts.holds(account.account, account):
            raise Conflict("account")  # what another wrote, which comes to the same
        self.save_account(account)
        stored[flow.flow_id] = flow
        self._flow_lines[flow.account][flow_position(flow)] = flow

    @_locked
    def cursor(self, account: str, symbol: str) -> Cursor | None:
        what = f"the cursor of {symbol}"
        if self._cursors.of_later((account, symbol)):
            raise Unreadable(what, later=True)
        return self._needed(self._cursors, (account, symbol), what)

    @_locked
    def store_cursor(self, account: str, cursor: Cursor) -> None:
        stored = self._cursors.get((account, cursor.symbol))
        if self._cursors.of_later((account, cursor.symbol)):
            raise WrittenByLater("cursor")
        if stored is None or stored.read_until <= cursor.read_until:
            self._cursors[account, cursor.symbol] = cursor

    @_locked
    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        return self._unattributed[account].all(trade_position)

    @_locked
    def loose_trades(self, account: str, symbol: str, limit: int | None) -> tuple[VenueTrade, ...]:
        return self._loose_lines[account, symbol].latest(limit)

    @_locked
    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        if not self._unattributed[account].of_later(trade.key):
            self._unattributed[account][trade.key] = trade
            self._loose_lines[account, trade.symbol][trade_position(trade)] = trade

    @_locked
    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._unattributed[account].withdraw(trade.key)
        self._loose_lines[account, trade.symbol].drop(trade_position(trade))

    @_locked
    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        standing = (*self._cancels[account].all(cancel_position), *self._asked_cancels[account].all(cancel_position))
        return tuple(sorted({one.order_id: one for one in standing}.values(), key=cancel_position))

    @_locked
    def request_cancel(self, request: CancelRequest) -> None:
        self._asked_cancels[request.account][request.order_id] = request

    @_locked
    def clear_cancel(self, account: str, order_id: str) -> None:
        self._cancels[account].withdraw(order_id)
        self._asked_cancels[account].withdraw(order_id)

    @_locked
    def suspicion(self, account: str) -> Suspicion | None:
        suspicion = self._suspicions.get(account)
        return suspicion if suspicion is not None and suspicion.understood else None

    @_locked
    def store_suspicion(self, suspicion: Suspicion) -> None:
        if self._suspicions.of_later(suspicion.account):
            raise WrittenByLater("suspicion")
        self._suspicions[suspicion.account] = suspicion

    @_locked
    def incidents(self, account: str) -> tuple[Incident, ...]:
        return self._incidents[account].kept(incident_position)

    @_locked
    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return self._incidents[account].all(incident_position)

    @_locked
    def incident(self, account: str, incident_id: str) -> Incident | None:
        return self._incidents[account].get(incident_id)

    @_locked
    def open_incident(self, incident: Incident) -> bool:
        incidents, key = self._incidents[incident.account], incident.incident_id
        stored = incidents.get(key)
        if incidents.of_later(key):
            return False
        if stored is not None and stored.status == "open" and stored.told:
            return incidents.holds(key, incident)
        incidents[key] = incident
        return True

    @_locked
    def follow_incident(self, incident: Incident) -> bool:
        stored = self._incidents[incident.account].get(incident.incident_id)
        if stored is None or stored.status == "resolved" or stored.opened_at != incident.opened_at:
            return False
        self._incidents[incident.account][incident.incident_id] = incident
        return True

    @_locked
    def resolve_incident(
        self, account: str, incident_id: str, resolution: str, author: str = "belay", at: datetime | None = None
    ) -> bool:
        incident = self._incidents[account].get(incident_id)
        if incident is None or not incident.understood or incident.status == "resolved":
            return False
        self._incidents[account][incident_id] = resolved(incident, resolution, author, at)
        self._incidents[account].withdraw(incident_id)
        return True

    @_locked
    def append_incident_entry(self, entry: IncidentEntry) -> None:
        self._incident_entries[entry.account, entry.incident_id][entry.position] = entry

    @_locked
    def incident_history(self, account: str, incident_id: str) -> tuple[IncidentEntry, ...]:
        return self._incident_entries[account, incident_id].all(lambda entry: entry.position)


def _sequence(event: OrderEvent) -> str:
    return f"{event.sequence:06}"
