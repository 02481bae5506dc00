"""The ledger on three DynamoDB tables: what each read returns and what each write requires. Nothing is deleted.

`keys` says what is stored under which key, `items` how. It decides nothing: rules are in the domain.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from belay.adapters.aws import items, keys
from belay.adapters.aws.conditions import (
    absent_or,
    at_version,
    raise_later,
    raise_lost,
    repeated,
    stored_at_version,
    unless_repeated,
    winner,
)
from belay.adapters.aws.locked import LockedTable, of_later, reads_from
from belay.adapters.aws.table import ABSENT, Condition, Item, Part, Table
from belay.adapters.records import cancel_position, cancels_of, incident_position, resolved, told, trade_position
from belay.domain.account import Account, OperatorStops
from belay.domain.chain import Acceptance, Anchor, History, place
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import Unreadable, WrittenByLater
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, digest, iso, joined, parted
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Story, Suspicion

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# Longer than any key that a record of ours has, and short enough to name an incident.
LONGEST_KEY = 500
# How many refused events are handed out at once: the others wait for the next run.
MOST_REFUSED = 50
# The same of cancel requests.
MOST_CANCELS = 200
# How many times as many loose trades are read where they are not listed by symbol.
OLD_PLACES = 10


class Tables(NamedTuple):
    """The names of the ledger's tables."""

    ledger: str
    accounts: str
    configuration: str


class DynamoLedger:
    """`ports.Ledger`. Errors other than `Conflict` are botocore's.

    `written` is handed every order that was stored, with the head of its story: what a log keeps of it, nobody who can
    write the tables can change.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        tables: Tables,
        sleep: Callable[[float], None] = time.sleep,
        written: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        self._written = written
        self._unreadable = defaultdict[str, set[str]](set)
        self._later = defaultdict[str, set[str]](set)
        self._ledger = LockedTable(client, tables.ledger, sleep)
        self._accounts = LockedTable(client, tables.accounts, sleep)
        self._configuration = LockedTable(client, tables.configuration, sleep)

    @property
    def table_id(self) -> str:
        return "|".join(table.table_id for table in (self._ledger, self._accounts, self._configuration))

    # --- accounts and their documents -------------------------------------------------------------

    def accounts(self) -> tuple[str, ...]:
        return tuple(item.sk for item in self._configuration.partition(keys.ACCOUNTS))

    def configuration(self, account: str) -> Configuration | None:
        what = f"the document of account {account}"
        return _needed(self._configuration, Configuration, keys.account(account), keys.CONFIGURATION, what)

    def store_configuration(self, configuration: Configuration) -> None:
        table, version = self._configuration, configuration.version
        current = items.configuration(configuration)
        history = items.configuration(configuration, keys.configuration(version))
        listed = items.listed(configuration.document.account)
        lost = table.write(
            [
                Part("configuration", table.putting(current, at_version(version - 1))),
                Part("configuration", table.putting(history, ABSENT)),
                Part("accounts", table.putting(listed)),
            ]
        )
        unless_repeated(lost, current.body)

    def operator_stops(self, account: str) -> OperatorStops:
        what = f"the operators' stops of account {account}"
        stored = _needed(self._configuration, OperatorStops, keys.account(account), keys.STOPS, what)
        return stored or OperatorStops(account=account)

    def save_operator_stops(self, stops: OperatorStops) -> None:
        item = items.stops(stops)
        lost = self._configuration.put(item, at_version(stops.version - 1), "operators' stops")
        unless_repeated(lost, item.body)

    def account(self, account: str) -> Account:
        what = f"the state of account {account}"
        stored = _needed(self._accounts, Account, keys.account(account), keys.STATE, what)
        return stored or Account(account=account)

    def save_account(self, account: Account) -> None:
        item = items.account(account)
        if not account.understood and not self._changes_stops_only(account, item):
            raise WrittenByLater("account")
        lost = self._accounts.put(item, at_version(account.version - 1), "account")
        unless_repeated(lost, item.body)

    def _changes_stops_only(self, account: Account, item: Item) -> bool:
        """Or was written already, by a try whose response was lost."""
        stored = self.account(account.account)
        return account.differs_in_stops_only(stored) or stored.text == item.body

    # --- decisions --------------------------------------------------------------------------------

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return _read(self._ledger, DecisionRecord, keys.decision(decision_id), keys.DECISION)

    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        """Who loses gets what is stored, be it its own record that an earlier try had stored unnoticed."""
        table, item = self._ledger, items.decision(record)
        if record.held is not None:
            return winner(record, table.put(item, ABSENT, "decision"))
        parts = [Part("decision", table.putting(item, ABSENT))]
        for order in orders:
            parts.append(Part("order", table.putting(items.order(order), ABSENT)))
            parts.append(Part("order", table.putting(items.pointer(order), ABSENT)))
            parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        for event in events:
            parts.append(Part("order", table.putting(items.event(event, record), ABSENT)))
        parts += [Part("cancel", table.putting_over(items.cancel(request))) for request in cancels_of(record)]
        if record.by_a_person:
            parts += [Part("anchor", self._accounts.putting(items.anchor(Anchor.of(one)), ABSENT)) for one in orders]
        if account is not None:
            previous = at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(items.account(account), previous)))
        won = winner(record, table.write(parts))
        for order in orders if won.write_id == record.write_id else ():
            self._written(order)
        return won

    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.decisions_line(account, strategy), limit)
        return self._listed(DecisionRecord, account, found)

    def story(self, decision_id: str) -> Story | None:
        found = self._collection(decision_id)
        if found.decision is None:
            return None
        orders = [order.record for order in found.orders.values()]
        return told(
            found.decision.record, orders, [event.record for event in found.events], [f.record for f in found.fills]
        )

    def history(self, order: Order) -> History:
        anchored, accepted = keys.anchor(order.order_id), keys.accepted(order.order_id)
        # Another id may begin with this one: only these two keys count.
        beside = {item.sk: item for item in self._accounts.partition(keys.account(order.account), anchored)}
        anchor, acceptance = beside.get(anchored), beside.get(accepted)
        found = self._collection(order.decision_id)
        later = [sk for sk in found.later if sk == keys.DECISION or keys.of_order(sk, order.order_id)]
        read_anchor, read_acceptance = _understandable(Anchor, anchor), _understandable(Acceptance, acceptance)
        for item, read in ((anchor, read_anchor), (acceptance, read_acceptance)):
            later += [item.sk] if item is not None and read is None and of_later(item) else []
        return History(
            order=found.orders.get(order.order_id),
            decision=found.decision,
            events=tuple(event for event in found.events if event.record.order_id == order.order_id),
            fills=tuple(fill for fill in found.fills if fill.record.order_id == order.order_id),
            anchor=read_anchor,
            acceptance=read_acceptance,
            later=f"what is stored under {later[0]}" if later else "",
        )

    def _collection(self, decision_id: str) -> items.Collection:
        return items.Collection(self._ledger.partition(keys.decision(decision_id)))

    def register_schedule(self, tick: Tick) -> None:
        not_later = absent_or("scheduled_time <= :seen", {":seen": iso(tick.scheduled_time)})
        self._ledger.put(items.schedule(tick), not_later)

    def drop_schedule(self, schedule: Tick) -> None:
        self._ledger.withdraw(keys.account(schedule.account), keys.schedule(schedule))

    def schedules(self, account: str) -> tuple[Tick, ...]:
        return self._listed(Tick, account, self._ledger.standing(keys.account(account), keys.SCHEDULES))

    def refuse(self, event: RefusedEvent) -> None:
        self._ledger.put(items.refused(event))

    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]:
        found = self._ledger.standing(keys.account(account), keys.REFUSED, MOST_REFUSED)
        return self._listed(RefusedEvent, account, found)

    def clear_refused(self, event: RefusedEvent) -> None:
        self._ledger.withdraw(keys.account(event.account), keys.refused(event))

    # --- orders -----------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        pointer = _read(self._ledger, items.OrderPointer, keys.order(order_id), keys.ORDER)
        if pointer is None:
            return None
        order = _read(self._ledger, Order, keys.decision(pointer.decision_id), keys.order(order_id))
        # A record under another's key is not the order that was asked for.
        ours = order is not None and (order.order_id, order.decision_id) == (order_id, pointer.decision_id)
        return order if ours else None

    def open_orders(self, account: str) -> tuple[Order, ...]:
        found = self._ledger.index(keys.OPEN_ORDERS, keys.OPEN_ACCOUNT, account)
        return self._listed(Order, account, found)

    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.orders_line(account), limit)
        return self._listed(Order, account, found)

    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.fills_line(account), limit)
        return self._listed(Fill, account, found)

    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        # Beside the body, since every version's conditions look there.
        item = self._accounts.item(keys.account(account), keys.venue_order(symbol, venue_order_id))
        return str(item.attributes.get("order_id", "")) or None if item is not None else None

    def commit(self, change: Change) -> None:
        """One transaction. It may lose although it had succeeded: the write id of what is stored tells.

        this writer   commit v2 ─► written, response lost          commit v2 again ─► condition fails
        someone else                                      commit v3
        stored        order v1     order v2, event 2 by us         order v3, event 2 still by us
        """
        order, account, ledger = change.order, change.account, self._ledger
        parts = [
            Part("order", ledger.putting(items.order(order), stored_at_version(change.previous_version))),
            Part("order", ledger.putting(items.event(change.event, order), ABSENT)),
        ]
        if account is not None:
            previous = at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(items.account(account), previous)))
        if change.fill is not None:
            parts.append(Part("fill", ledger.putting(items.fill(change.fill), ABSENT)))
        parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        parts.append(self._anchoring(change))
        if change.requirement is not None:
            parts += self._requiring(order.account, change.requirement)
        lost = ledger.write(parts)
        if not any(part.stored and part.stored.attributes.get("write_id") == order.write_id for part in lost):
            raise_lost(lost)
        self._written(order)

    def _anchoring(self, change: Change) -> Part:
        """The head moves on from the one that this change was computed from, beside the account."""
        before = place(change.previous_version, change.previous_head, change.previous_digest)
        condition = Condition("anchored = :anchored", {":anchored": before})
        if not change.previous_version:
            condition = absent_or(condition.expression, {":anchored": before})
        return Part("anchor", self._accounts.putting(items.anchor(Anchor.of(change.order)), condition))

    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        anchor = acceptance.anchor
        version = stored_at_version(anchor.version)
        order = self._ledger.checking(keys.decision(decision_id), keys.order(anchor.order_id), version)
        parts = [
            Part("order", order),
            Part("anchor", self._accounts.putting(items.anchor(anchor))),
            Part("acceptance", self._accounts.putting(items.acceptance(acceptance))),
        ]
        raise_lost(self._accounts.write(parts))

    def _owning(self, order: Order, venue_order_id: str) -> Part:
        """One venue order belongs to one of our orders, for good."""
        condition = absent_or("order_id = :order_id", {":order_id": order.order_id})
        return Part("venue order", self._accounts.putting(items.owner(order, venue_order_id), condition))

    def _requiring(self, account: str, requirement: Requirement) -> Iterator[Part]:
        version, stops = stored_at_version(requirement.configuration_version), at_version(requirement.stops_version)
        yield Part("configuration", self._configuration.checking(keys.account(account), keys.CONFIGURATION, version))
        yield Part("operators' stops", self._configuration.checking(keys.account(account), keys.STOPS, stops))
        if requirement.proof_fingerprint is not None:
            checked = iso(requirement.proof_completed_at or EPOCH)
            condition = Condition("completed_at >= :checked", {":checked": checked})
            sk = keys.proof(requirement.proof_fingerprint)
            yield Part("proof", self._accounts.checking(keys.account(account), sk, condition))

    # --- reconciliation ---------------------------------------------------------------------------

    def proof(self, account: str, fingerprint: str) -> Proof | None:
        return _if_understood(_read(self._accounts, Proof, keys.account(account), keys.proof(fingerprint)))

    def store_proof(self, proof: Proof) -> None:
        table, completed, item = self._accounts, iso(proof.completed_at), items.proof(proof)
        not_older = absent_or("completed_at <= :completed", {":completed": completed})
        unchanged = at_version(proof.account_version)
        lost = table.write(
            [
                Part("proof", table.putting(item, not_older)),
                Part("proof", table.putting(items.proof(proof, keys.LAST_PROOF), not_older)),
                Part("account", table.checking(keys.account(proof.account), keys.STATE, unchanged)),
            ]
        )
        unless_repeated(lost, item.body)

    def last_proof(self, account: str) -> Proof | None:
        return _if_understood(_read(self._accounts, Proof, keys.account(account), keys.LAST_PROOF))

    def flow(self, account: str, flow_id: str) -> Flow | None:
        what = f"flow {flow_id} of account {account}"
        return _needed(self._accounts, Flow, keys.account(account), keys.flow(flow_id), what)

    def flows(self, account: str, limit: int) -> tuple[Flow, ...]:
        found = self._accounts.standing(keys.account(account), keys.FLOWS, limit, latest=True)
        return self._listed(Flow, account, found)

    def record_flow(self, flow: Flow, account: Account) -> None:
        item, table = items.flow(flow), self._accounts
        lost = table.write(
            [
                Part("flow", table.putting(item, ABSENT)),
                Part("account", table.putting(items.account(account), at_version(account.version - 1))),
            ]
        )
        unless_repeated(lost, item.body)

    def cursor(self, account: str, symbol: str) -> Cursor | None:
        what = f"the cursor of {symbol}"
        cursor = _needed(self._accounts, Cursor, keys.account(account), keys.cursor(symbol), what)
        if cursor is not None and not cursor.understood:
            raise Unreadable(what, later=True)
        return cursor

    def store_cursor(self, account: str, cursor: Cursor) -> None:
        not_later = absent_or("read_until <= :until", {":until": iso(cursor.read_until)})
        raise_later(self._accounts.put(items.cursor(account, cursor), not_later, "cursor"))

    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        found = self._listed(VenueTrade, account, self._accounts.standing(keys.account(account), keys.UNATTRIBUTED))
        return tuple(sorted(found, key=trade_position))

    def loose_trades(self, account: str, symbol: str, limit: int | None) -> tuple[VenueTrade, ...]:
        pk = keys.account(account)
        found = self._accounts.standing(pk, keys.loose(symbol), limit, latest=True)
        # Where 0.1 stored them, whichever their symbol: by time alone.
        before = self._accounts.standing(pk, f"{keys.UNATTRIBUTED}2", limit and OLD_PLACES * limit, latest=True)
        trades = {trade.key: trade for trade in self._listed(VenueTrade, account, (*found, *before))}
        of_symbol = (trade for trade in trades.values() if trade.symbol == symbol)
        return tuple(sorted(of_symbol, key=trade_position, reverse=True)[:limit])

    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.put(items.unattributed(account, trade))

    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.withdraw(keys.account(account), keys.unattributed(trade))

    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        pk = keys.account(account)
        asked = self._listed(CancelRequest, account, self._accounts.standing(pk, keys.CANCELS, MOST_CANCELS))
        decided = self._listed(CancelRequest, account, self._ledger.standing(pk, keys.CANCELS, MOST_CANCELS))
        return tuple(sorted({one.order_id: one for one in (*decided, *asked)}.values(), key=cancel_position))

    def request_cancel(self, request: CancelRequest) -> None:
        """A person's request lies where no strategy can take it back; a decision's lies beside the decision."""
        raise_lost(self._accounts.write([Part("cancel", self._accounts.putting_over(items.cancel(request)))]))

    def clear_cancel(self, account: str, order_id: str) -> None:
        for table in (self._accounts, self._ledger):
            table.withdraw(keys.account(account), keys.cancel(order_id))

    def suspicion(self, account: str) -> Suspicion | None:
        return _if_understood(_read(self._accounts, Suspicion, keys.account(account), keys.SUSPICION))

    def store_suspicion(self, suspicion: Suspicion) -> None:
        raise_later(self._accounts.put(items.suspicion(suspicion), what="suspicion"))

    def incidents(self, account: str) -> tuple[Incident, ...]:
        stored = self._accounts.partition(keys.account(account), keys.INCIDENTS)
        return tuple(sorted(self._listed(Incident, account, stored), key=incident_position))

    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return self._listed(Incident, account, self._accounts.standing(keys.account(account), keys.INCIDENTS))

    def incident(self, account: str, incident_id: str) -> Incident | None:
        return _read(self._accounts, Incident, keys.account(account), keys.incident(incident_id))

    def open_incident(self, incident: Incident) -> bool:
        item = items.incident(incident)
        lost = self._accounts.put(item, absent_or("incident_status <> :open", {":open": "open"}))
        return not lost or repeated(lost, item.body)

    def follow_incident(self, incident: Incident) -> bool:
        return self._rewritten(incident)

    def resolve_incident(
        self, account: str, incident_id: str, resolution: str, author: str = "belay", at: datetime | None = None
    ) -> bool:
        incident = self.incident(account, incident_id)
        if incident is None or not incident.understood or incident.status == "resolved":
            return False
        return self._rewritten(resolved(incident, resolution, author, at))

    def _rewritten(self, incident: Incident) -> bool:
        """Over the one that was read. Lost to someone who resolved it, perhaps to a new opening after that: neither is
        ours to touch."""
        item = items.incident(incident)
        as_read = Condition(
            "incident_status <> :resolved AND opened_at = :opened",
            {":resolved": "resolved", ":opened": iso(incident.opened_at)},
        )
        lost = self._accounts.put(item, as_read)
        return not lost or repeated(lost, item.body)

    def append_incident_entry(self, entry: IncidentEntry) -> None:
        self._accounts.put(items.incident_entry(entry))

    def incident_history(self, account: str, incident_id: str) -> tuple[IncidentEntry, ...]:
        found = self._accounts.partition(keys.account(account), keys.history(incident_id))
        return self._listed(IncidentEntry, account, found)

    # --- what cannot be read ----------------------------------------------------------------------

    def later(self, account: str) -> tuple[str, ...]:
        return tuple(sorted(self._later.pop(account, ())))

    def is_later(self, name: str) -> bool:
        item = self._ledger.item(keys.order(name), keys.ORDER)
        pointer = _understandable(items.OrderPointer, item)
        if pointer is not None:
            item = self._ledger.item(keys.decision(pointer.decision_id), keys.order(name))
        item = item or self._ledger.item(keys.decision(name), keys.DECISION)
        return item is not None and of_later(item)

    def unreadable(self, account: str) -> tuple[str, ...]:
        return tuple(sorted(self._unreadable.pop(account, ())))

    def restore_pointer(self, order: Order) -> None:
        self._ledger.put(items.pointer(order))

    def set_aside(self, subject: str) -> None:
        pointer = _read(self._ledger, items.OrderPointer, keys.order(subject), keys.ORDER)
        key = (keys.decision(pointer.decision_id), keys.order(subject)) if pointer else parted(subject)
        if len(key) == 2:
            self._ledger.set_aside(*key)

    def _listed[R: Record](self, model: type[R], account: str, found: Iterable[Item]) -> tuple[R, ...]:
        """The records of an account's list. What cannot be read, or is another account's, is remembered, and the others
        are given; what has a key that no record of ours has is taken off the list at once, unless a later version has.
        """
        records = []
        for item in found:
            record = _understandable(model, item)
            if record is not None and getattr(record, "account", account) == account:
                records.append(record)
                continue
            key = joined(item.pk, item.sk)
            if record is None and of_later(item):
                self._later[account].add(key)
                continue
            if len(key) > LONGEST_KEY:
                self._ledger.set_aside(item.pk, item.sk)
                key = f"a key of {len(key)} characters, {digest(key)}"
            self._unreadable[account].add(key)
        return tuple(records)


def _understandable[R: Record](model: type[R], item: Item | None) -> R | None:
    """The record of an item; None where there is none, or none that can be read."""
    try:
        return model.stored(item.body, reads_from(item)) if item is not None else None
    except ValidationError:
        return None


def _read[R: Record](table: Table, model: type[R], pk: str, sk: str) -> R | None:
    return _understandable(model, table.item(pk, sk))


def _needed[R: Record](table: Table, model: type[R], pk: str, sk: str, what: str) -> R | None:
    """A record without which nothing can be done. Raises Unreadable where there is one that cannot be read."""
    item = table.item(pk, sk)
    record = _understandable(model, item)
    if item is not None and record is None:
        raise Unreadable(what, later=of_later(item))
    return record


def _if_understood[R: Record](record: R | None) -> R | None:
    return record if record is not None and record.understood else None
