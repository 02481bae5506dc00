"""The ledger on three DynamoDB tables: which item holds which record, and what each write requires.

ledger: what was decided and what became of it. The evaluator may write here, and nowhere else.

    pk                        sk                                holds
    DECISION#<decision id>    DECISION                          the decision           } one collection per
                              ORDER#<order id>                  an order of it         } decision, so that one
                              ORDER#<order id>#EVENT#<seq>      one of its transitions } query tells the whole
                              ORDER#<order id>#FILL#<trade>     one of its fills       } story
    ORDER#<order id>          ORDER                             which decision's collection it is in
    ACCOUNT#<account>         CANCEL#<order id>                 a cancel request
                              SCHEDULE#<strategy>#<symbol>#<timeframe>   the latest tick
                              REFUSED#<subject>                 an event that the evaluator could not act on

accounts: what binds orders. Executor and reconciler write here.

    ACCOUNT#<account>         STATE                             the versioned account
                              ANCHOR#<order id>                 version and head of an order's story
                              ANCHOR#<order id>#ACCEPTED        a person's word on it
                              PROOF#<fingerprint>               the newest proof of a deployment
                              CURSOR#<symbol>                   how far trades were read
                              UNATTRIBUTED#<trade>              a trade that matched no order
                              VENUEORDER#<symbol>#<venue id>    whose venue order it is
                              SUSPICION                         the mismatches of the last reconciliation
                              INCIDENT#<id>                     what needs a person

configuration: what operators say. No function writes here.

    ACCOUNT#<account>         CONFIG#CURRENT, CONFIG#v000001    the account's document and the history of it
                              STOPS                             the operators' stops
    ACCOUNTS                  <account>                         the list of accounts

Index `open-orders` holds the orders that are not settled; index `timeline` decisions by strategy and candle, orders and
fills by account and time. The local index `standing`, whose reads are consistent, holds what still stands of requests,
schedules, refused events, loose trades and incidents. Nothing is deleted. It decides nothing: rules are in the domain.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from belay.adapters.aws.table import ABSENT, STANDING, Condition, Item, Lost, Part, Table
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
from belay.domain.account import Account, OperatorStops
from belay.domain.chain import Acceptance, Anchor, History, Stored
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict
from belay.domain.fills import Fill
from belay.domain.incidents import Incident
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, digest, iso
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Story, Suspicion

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACCOUNTS = "ACCOUNTS"
OPEN_ORDERS, OPEN_ACCOUNT = "open-orders", "open_account"
TIMELINE, TIMELINE_PK = "timeline", "timeline_pk"


class Tables(NamedTuple):
    """The names of the ledger's tables."""

    ledger: str
    accounts: str
    configuration: str


class OrderPointer(Record):
    """In which decision's collection an order lies."""

    decision_id: str


class VenueOrderOwner(Record):
    """Which of our orders a venue order belongs to."""

    order_id: str


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
        self._ledger = Table(client, tables.ledger, sleep)
        self._accounts = Table(client, tables.accounts, sleep)
        self._configuration = Table(client, tables.configuration, sleep)

    @property
    def table_id(self) -> str:
        return "|".join(table.table_id for table in (self._ledger, self._accounts, self._configuration))

    # --- accounts and their documents -------------------------------------------------------------

    def accounts(self) -> tuple[str, ...]:
        return tuple(item.sk for item in self._configuration.partition(ACCOUNTS))

    def configuration(self, account: str) -> Configuration | None:
        return _read(self._configuration, Configuration, _account(account), "CONFIG#CURRENT")

    def store_configuration(self, configuration: Configuration) -> None:
        table, account, version = self._configuration, configuration.document.account, configuration.version
        body = configuration.model_dump_json()
        current = Item(_account(account), "CONFIG#CURRENT", body, {"version": version})
        history = Item(_account(account), f"CONFIG#v{version:06}", body, {"version": version})
        lost = table.write(
            [
                Part("configuration", table.putting(current, _at_version(version - 1))),
                Part("configuration", table.putting(history, ABSENT)),
                Part("accounts", table.putting(Item(ACCOUNTS, account, "{}"))),
            ]
        )
        _unless_repeated(lost, body)

    def operator_stops(self, account: str) -> OperatorStops:
        stored = _read(self._configuration, OperatorStops, _account(account), "STOPS")
        return stored or OperatorStops(account=account)

    def save_operator_stops(self, stops: OperatorStops) -> None:
        item = _stops_item(stops)
        lost = self._configuration.put(item, _at_version(stops.version - 1), "operators' stops")
        _unless_repeated(lost, item.body)

    def account(self, account: str) -> Account:
        return _read(self._accounts, Account, _account(account), "STATE") or Account(account=account)

    def save_account(self, account: Account) -> None:
        item = _account_item(account)
        lost = self._accounts.put(item, _at_version(account.version - 1), "account")
        _unless_repeated(lost, item.body)

    # --- decisions --------------------------------------------------------------------------------

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return _read(self._ledger, DecisionRecord, _decision(decision_id), "DECISION")

    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        """Who loses gets what is stored, be it its own record that an earlier try had stored unnoticed."""
        table, item = self._ledger, _decision_item(record)
        if record.held is not None:
            return _winner(record, table.put(item, ABSENT, "decision"))
        parts = [Part("decision", table.putting(item, ABSENT))]
        for order in orders:
            pointer = OrderPointer(decision_id=order.decision_id).model_dump_json()
            parts.append(Part("order", table.putting(_order_item(order), ABSENT)))
            parts.append(Part("order", table.putting(Item(_order(order.order_id), "ORDER", pointer), ABSENT)))
            parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        for event in events:
            parts.append(Part("order", table.putting(_event_item(event, record), ABSENT)))
        parts += [Part("cancel", table.putting(_cancel_item(request))) for request in cancels_of(record)]
        if account is not None:
            previous = _at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(_account_item(account), previous)))
        winner = _winner(record, table.write(parts))
        for order in orders if winner.write_id == record.write_id else ():
            self._written(order)
        return winner

    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        found = self._ledger.latest(TIMELINE, TIMELINE_PK, _decisions_line(account, strategy), limit)
        return tuple(DecisionRecord.model_validate_json(item.body) for item in found)

    def story(self, decision_id: str) -> Story | None:
        found = self._collection(decision_id)
        if found.decision is None:
            return None
        orders = [order.record for order in found.orders.values()]
        return told(
            found.decision.record, orders, [event.record for event in found.events], [f.record for f in found.fills]
        )

    def history(self, order: Order) -> History:
        sk = _anchor(order.order_id)
        # Another id may begin with this one: only these two keys count.
        beside = {item.sk: item.body for item in self._accounts.partition(_account(order.account), sk)}
        found = self._collection(order.decision_id)
        return History(
            order=found.orders.get(order.order_id),
            decision=found.decision,
            events=tuple(event for event in found.events if event.record.order_id == order.order_id),
            fills=tuple(fill for fill in found.fills if fill.record.order_id == order.order_id),
            anchor=Anchor.model_validate_json(beside[sk]) if sk in beside else None,
            acceptance=Acceptance.model_validate_json(beside[said]) if (said := _accepted(sk)) in beside else None,
        )

    def _collection(self, decision_id: str) -> "Collection":
        found = Collection()
        for item in self._ledger.partition(_decision(decision_id)):
            match item.sk.split("#", 3):
                case ["DECISION"]:
                    found.decision = Stored(DecisionRecord.model_validate_json(item.body), digest(item.body))
                case ["ORDER", order_id]:
                    order = Order.model_validate_json(item.body)
                    found.orders[order_id] = Stored(order, order_digest(item.body, order.head))
                case ["ORDER", _, "EVENT", _]:
                    found.events.append(Stored(OrderEvent.model_validate_json(item.body), digest(item.body)))
                case ["ORDER", _, "FILL", _]:
                    found.fills.append(Stored(Fill.model_validate_json(item.body), digest(item.body)))
        return found

    def register_schedule(self, tick: Tick) -> None:
        seen = iso(tick.scheduled_time)
        sk = f"SCHEDULE#{schedule_key(tick)}"
        item = Item(_account(tick.account), sk, tick.model_dump_json(), {"scheduled_time": seen, STANDING: sk})
        self._ledger.put(item, _absent_or("scheduled_time <= :seen", {":seen": seen}))

    def drop_schedule(self, schedule: Tick) -> None:
        self._ledger.withdraw(_account(schedule.account), f"SCHEDULE#{schedule_key(schedule)}")

    def schedules(self, account: str) -> tuple[Tick, ...]:
        return _standing(self._ledger, Tick, account, "SCHEDULE#")

    def refuse(self, event: RefusedEvent) -> None:
        self._ledger.put(_refused_item(event))

    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]:
        return _standing(self._ledger, RefusedEvent, account, "REFUSED#")

    def clear_refused(self, event: RefusedEvent) -> None:
        self._ledger.withdraw(_account(event.account), _refused(event))

    # --- orders -----------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        pointer = _read(self._ledger, OrderPointer, _order(order_id), "ORDER")
        return _read(self._ledger, Order, _decision(pointer.decision_id), _order(order_id)) if pointer else None

    def open_orders(self, account: str) -> tuple[Order, ...]:
        found = self._ledger.index(OPEN_ORDERS, OPEN_ACCOUNT, account)
        return tuple(Order.model_validate_json(item.body) for item in found)

    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        found = self._ledger.latest(TIMELINE, TIMELINE_PK, f"ORDERS#{account}", limit)
        return tuple(Order.model_validate_json(item.body) for item in found)

    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        found = self._ledger.latest(TIMELINE, TIMELINE_PK, f"FILLS#{account}", limit)
        return tuple(Fill.model_validate_json(item.body) for item in found)

    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        owner = _read(self._accounts, VenueOrderOwner, _account(account), _venue_order(symbol, venue_order_id))
        return owner.order_id if owner else None

    def commit(self, change: Change) -> None:
        """One transaction. It may lose although it had succeeded: the write id of what is stored tells.

        this writer   commit v2 ─► written, response lost          commit v2 again ─► condition fails
        someone else                                      commit v3
        stored        order v1     order v2, event 2 by us         order v3, event 2 still by us
        """
        order, account, ledger = change.order, change.account, self._ledger
        parts = [
            Part("order", ledger.putting(_order_item(order), _stored_at_version(change.previous_version))),
            Part("order", ledger.putting(_event_item(change.event, order), ABSENT)),
        ]
        if account is not None:
            previous = _at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(_account_item(account), previous)))
        if change.fill is not None:
            parts.append(Part("fill", ledger.putting(_fill_item(change.fill), ABSENT)))
        parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        parts.append(self._anchoring(change))
        if change.requirement is not None:
            parts += self._requiring(order.account, change.requirement)
        lost = ledger.write(parts)
        if not any(part.stored and part.stored.attributes.get("write_id") == order.write_id for part in lost):
            _refuse(lost)
        self._written(order)

    def _anchoring(self, change: Change) -> Part:
        """The head moves on from the one that this change was computed from, beside the account."""
        order, head = change.order, change.previous_head
        anchor = Anchor(account=order.account, order_id=order.order_id, version=order.version, head=order.head)
        from_there = Condition("anchored = :anchored", {":anchored": f"{change.previous_version}#{head}"})
        condition = from_there if change.previous_version else ABSENT
        return Part("anchor", self._accounts.putting(_anchor_item(anchor), condition))

    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        version = _stored_at_version(acceptance.version)
        order = self._ledger.checking(_decision(decision_id), _order(acceptance.order_id), version)
        anchor = Anchor.model_validate(acceptance.model_dump(include=set(Anchor.model_fields)))
        parts = [
            Part("order", order),
            Part("anchor", self._accounts.putting(_anchor_item(anchor))),
            Part("acceptance", self._accounts.putting(_acceptance_item(acceptance))),
        ]
        _refuse(self._accounts.write(parts))

    def _owning(self, order: Order, venue_order_id: str) -> Part:
        """One venue order belongs to one of our orders, for good."""
        owner = VenueOrderOwner(order_id=order.order_id).model_dump_json()
        sk = _venue_order(order.symbol, venue_order_id)
        item = Item(_account(order.account), sk, owner, {"order_id": order.order_id})
        condition = _absent_or("order_id = :order_id", {":order_id": order.order_id})
        return Part("venue order", self._accounts.putting(item, condition))

    def _requiring(self, account: str, requirement: Requirement) -> Iterator[Part]:
        version, stops = _stored_at_version(requirement.configuration_version), _at_version(requirement.stops_version)
        yield Part("configuration", self._configuration.checking(_account(account), "CONFIG#CURRENT", version))
        yield Part("operators' stops", self._configuration.checking(_account(account), "STOPS", stops))
        if requirement.proof_fingerprint is not None:
            checked = iso(requirement.proof_completed_at or EPOCH)
            condition = Condition("completed_at >= :checked", {":checked": checked})
            sk = f"PROOF#{requirement.proof_fingerprint}"
            yield Part("proof", self._accounts.checking(_account(account), sk, condition))

    # --- reconciliation ---------------------------------------------------------------------------

    def proof(self, account: str, fingerprint: str) -> Proof | None:
        return _read(self._accounts, Proof, _account(account), f"PROOF#{fingerprint}")

    def store_proof(self, proof: Proof) -> None:
        table, completed = self._accounts, iso(proof.completed_at)
        body = proof.model_dump_json()
        item = Item(_account(proof.account), f"PROOF#{proof.fingerprint}", body, {"completed_at": completed})
        not_older = _absent_or("completed_at <= :completed", {":completed": completed})
        unchanged = _at_version(proof.account_version)
        lost = table.write(
            [
                Part("proof", table.putting(item, not_older)),
                Part("account", table.checking(_account(proof.account), "STATE", unchanged)),
            ]
        )
        _unless_repeated(lost, body)

    def cursor(self, account: str, symbol: str) -> Cursor | None:
        return _read(self._accounts, Cursor, _account(account), f"CURSOR#{symbol}")

    def store_cursor(self, account: str, cursor: Cursor) -> None:
        until = iso(cursor.read_until)
        sk = f"CURSOR#{cursor.symbol}"
        item = Item(_account(account), sk, cursor.model_dump_json(), {"read_until": until})
        self._accounts.put(item, _absent_or("read_until <= :until", {":until": until}))

    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        return _standing(self._accounts, VenueTrade, account, "UNATTRIBUTED#")

    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.put(_unattributed_item(account, trade))

    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.withdraw(_account(account), _unattributed(trade))

    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        return _standing(self._ledger, CancelRequest, account, "CANCEL#")

    def request_cancel(self, request: CancelRequest) -> None:
        self._ledger.put(_cancel_item(request))

    def clear_cancel(self, account: str, order_id: str) -> None:
        self._ledger.withdraw(_account(account), f"CANCEL#{order_id}")

    def suspicion(self, account: str) -> Suspicion | None:
        return _read(self._accounts, Suspicion, _account(account), "SUSPICION")

    def store_suspicion(self, suspicion: Suspicion) -> None:
        self._accounts.put(Item(_account(suspicion.account), "SUSPICION", suspicion.model_dump_json()))

    def incidents(self, account: str) -> tuple[Incident, ...]:
        stored = self._accounts.partition(_account(account), "INCIDENT#")
        return tuple(sorted((Incident.model_validate_json(item.body) for item in stored), key=incident_position))

    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return _standing(self._accounts, Incident, account, "INCIDENT#")

    def incident(self, account: str, incident_id: str) -> Incident | None:
        return _read(self._accounts, Incident, _account(account), f"INCIDENT#{incident_id}")

    def open_incident(self, incident: Incident) -> bool:
        item = _incident_item(incident)
        lost = self._accounts.put(item, _absent_or("incident_status <> :open", {":open": "open"}))
        return not lost or _repeated(lost, item.body)

    def resolve_incident(self, account: str, incident_id: str, resolution: str) -> bool:
        incident = self.incident(account, incident_id)
        if incident is None or incident.status == "resolved":
            return False
        item = _incident_item(incident.model_copy(update={"status": "resolved", "resolution": resolution}))
        # Lost to someone who resolved it, perhaps to a new opening after that: neither is ours to touch.
        as_read = Condition(
            "incident_status <> :resolved AND opened_at = :opened",
            {":resolved": "resolved", ":opened": iso(incident.opened_at)},
        )
        lost = self._accounts.put(item, as_read)
        return not lost or _repeated(lost, item.body)


class Collection:
    """What the partition of one decision holds."""

    def __init__(self) -> None:
        self.decision: Stored[DecisionRecord] | None = None
        self.orders: dict[str, Stored[Order]] = {}
        self.events: list[Stored[OrderEvent]] = []
        self.fills: list[Stored[Fill]] = []


def _read[R: Record](table: Table, model: type[R], pk: str, sk: str) -> R | None:
    body = table.body(pk, sk)
    return model.model_validate_json(body) if body is not None else None


def _standing[R: Record](table: Table, model: type[R], account: str, prefix: str) -> tuple[R, ...]:
    """What still stands of one kind in an account, in the order of the index."""
    return tuple(model.model_validate_json(item.body) for item in table.standing(_account(account), prefix))


# --- keys -----------------------------------------------------------------------------------------


def _decision(decision_id: str) -> str:
    return f"DECISION#{decision_id}"


def _order(order_id: str) -> str:
    return f"ORDER#{order_id}"


def _account(account: str) -> str:
    return f"ACCOUNT#{account}"


def _venue_order(symbol: str, venue_order_id: str) -> str:
    return f"VENUEORDER#{symbol}#{venue_order_id}"


def _anchor(order_id: str) -> str:
    return f"ANCHOR#{order_id}"


def _accepted(anchor: str) -> str:
    return f"{anchor}#ACCEPTED"


def _unattributed(trade: VenueTrade) -> str:
    return f"UNATTRIBUTED#{trade.key}"


def _refused(event: RefusedEvent) -> str:
    return f"REFUSED#{event.subject}"


def _decisions_line(account: str, strategy: str) -> str:
    return f"DECISIONS#{account}#{strategy}"


# --- items ----------------------------------------------------------------------------------------


def _decision_item(record: DecisionRecord) -> Item:
    attributes = {
        "write_id": record.write_id,
        TIMELINE_PK: _decisions_line(record.slot.account, record.slot.strategy),
        "timeline_sk": decision_position(record),
    }
    return Item(_decision(record.decision_id), "DECISION", record.model_dump_json(), attributes)


def _order_item(order: Order) -> Item:
    position = order_position(order)
    attributes: dict[str, str | int] = {
        "version": order.version,
        "write_id": order.write_id,
        TIMELINE_PK: f"ORDERS#{order.account}",
        "timeline_sk": position,
    }
    if not order.settled:
        attributes |= {OPEN_ACCOUNT: order.account, "open_since": position}
    return Item(_decision(order.decision_id), _order(order.order_id), order.model_dump_json(), attributes)


def _event_item(event: OrderEvent, source: DecisionRecord | Order) -> Item:
    """The event of a change to an order, or of the decision that created it."""
    sk = f"{_order(event.order_id)}#EVENT#{event.sequence:06}"
    return Item(_decision(source.decision_id), sk, event.model_dump_json(), {"write_id": source.write_id})


def _fill_item(fill: Fill) -> Item:
    attributes = {TIMELINE_PK: f"FILLS#{fill.account}", "timeline_sk": fill_position(fill)}
    sk = f"{_order(fill.order_id)}#FILL#{fill.key}"
    return Item(_decision(fill.decision_id), sk, fill.model_dump_json(), attributes)


def _account_item(account: Account) -> Item:
    return Item(_account(account.account), "STATE", account.model_dump_json(), {"version": account.version})


def _stops_item(stops: OperatorStops) -> Item:
    return Item(_account(stops.account), "STOPS", stops.model_dump_json(), {"version": stops.version})


def _anchor_item(anchor: Anchor) -> Item:
    attributes = {"anchored": f"{anchor.version}#{anchor.head}"}
    return Item(_account(anchor.account), _anchor(anchor.order_id), anchor.model_dump_json(), attributes)


def _acceptance_item(acceptance: Acceptance) -> Item:
    sk = _accepted(_anchor(acceptance.order_id))
    return Item(_account(acceptance.account), sk, acceptance.model_dump_json())


def _cancel_item(request: CancelRequest) -> Item:
    sk, standing = f"CANCEL#{request.order_id}", {STANDING: f"CANCEL#{cancel_position(request)}"}
    return Item(_account(request.account), sk, request.model_dump_json(), standing)


def _refused_item(event: RefusedEvent) -> Item:
    standing = {STANDING: f"REFUSED#{refused_position(event)}"}
    return Item(_account(event.account), _refused(event), event.model_dump_json(), standing)


def _unattributed_item(account: str, trade: VenueTrade) -> Item:
    standing = {STANDING: f"UNATTRIBUTED#{trade_position(trade)}"}
    return Item(_account(account), _unattributed(trade), trade.model_dump_json(), standing)


def _incident_item(incident: Incident) -> Item:
    sk = f"INCIDENT#{incident.incident_id}"
    status = incident.status if incident.told or incident.status == "resolved" else "untold"
    attributes = {"incident_status": status, "opened_at": iso(incident.opened_at)}
    if incident.status == "open":
        attributes[STANDING] = f"INCIDENT#{incident_position(incident)}"
    return Item(_account(incident.account), sk, incident.model_dump_json(), attributes)


# --- conditions -----------------------------------------------------------------------------------


def _stored_at_version(version: int) -> Condition:
    return Condition("version = :version", {":version": version})


def _at_version(version: int) -> Condition:
    """Version 0 of an account or a configuration means that nothing is stored."""
    return _stored_at_version(version) if version else ABSENT


def _absent_or(expression: str, values: dict[str, str]) -> Condition:
    return Condition(f"{ABSENT.expression} OR {expression}", dict(values))


def _refuse(lost: list[Lost]) -> None:
    if lost:
        raise Conflict(lost[0].what)


def _repeated(lost: list[Lost], body: str) -> bool:
    """Whether what is stored is the very record to be written: then an earlier try had succeeded."""
    return any(part.stored is not None and part.stored.body == body for part in lost)


def _unless_repeated(lost: list[Lost], body: str) -> None:
    if not _repeated(lost, body):
        _refuse(lost)


def _winner(record: DecisionRecord, lost: list[Lost]) -> DecisionRecord:
    """The decision that the slot has: the stored one where ours was refused."""
    if lost and lost[0].what == "decision" and lost[0].stored is not None:
        return DecisionRecord.model_validate_json(lost[0].stored.body)
    _refuse(lost)
    return record
