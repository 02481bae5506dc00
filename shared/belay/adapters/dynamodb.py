"""The ledger on one DynamoDB table: which item holds which record, and what each write requires.

    pk                        sk                                holds
    DECISION#<decision id>    DECISION                          the decision           } one collection per
                              ORDER#<order id>                  an order of it         } decision, so that one
                              ORDER#<order id>#EVENT#<seq>      one of its transitions } query tells the whole
                              ORDER#<order id>#FILL#<trade>     one of its fills       } story
    ORDER#<order id>          ORDER                             which decision's collection it is in
    ACCOUNT#<account>         STATE                             the versioned account
                              CONFIG#CURRENT, CONFIG#v000001    its document and the history of it
                              PROOF#<fingerprint>               the newest proof of a deployment
                              CURSOR#<symbol>                   how far trades were read
                              UNATTRIBUTED#<trade>              a trade that matches no order yet
                              VENUEORDER#<symbol>#<venue id>    whose venue order it is
                              CANCEL#<order id>                 a standing cancel request
                              SUSPICION                         the mismatches of the last reconciliation
                              INCIDENT#<id>                     what needs a person
                              SCHEDULE#<strategy>#<symbol>#<timeframe>   the latest tick
    ACCOUNTS                  <account>                         the list of accounts

Index `open-orders` holds the orders that are not settled; index `timeline` decisions by strategy and candle,
orders and fills by account and time. It decides nothing: rules are in the domain.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from belay.adapters.records import (
    cancel_position,
    cancels_of,
    decision_position,
    fill_position,
    incident_position,
    order_position,
    schedule_key,
    told,
    trade_position,
)
from belay.adapters.table import ABSENT, Condition, Item, Lost, Part, Table
from belay.domain.account import Account, Configuration
from belay.domain.decisions import DecisionRecord
from belay.domain.errors import Conflict
from belay.domain.fills import Fill
from belay.domain.incidents import Incident
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, iso
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, Story, Suspicion

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACCOUNTS = "ACCOUNTS"
OPEN_ORDERS, OPEN_ACCOUNT = "open-orders", "open_account"
TIMELINE, TIMELINE_PK = "timeline", "timeline_pk"


class OrderPointer(Record):
    """In which decision's collection an order lies."""

    decision_id: str


class VenueOrderOwner(Record):
    """Which of our orders a venue order belongs to."""

    order_id: str


class DynamoLedger:
    """`ports.Ledger` on table `table_name`. Errors other than `Conflict` are botocore's."""

    def __init__(self, client: "DynamoDBClient", table_name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = Table(client, table_name, sleep)

    @property
    def table_id(self) -> str:
        return self._table.table_id

    # --- accounts and their documents -------------------------------------------------------------

    def accounts(self) -> tuple[str, ...]:
        return tuple(item.sk for item in self._table.partition(ACCOUNTS))

    def configuration(self, account: str) -> Configuration | None:
        return self._read(Configuration, _account(account), "CONFIG#CURRENT")

    def store_configuration(self, configuration: Configuration) -> None:
        table, account, version = self._table, configuration.document.account, configuration.version
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

    def account(self, account: str) -> Account:
        return self._read(Account, _account(account), "STATE") or Account(account=account)

    def save_account(self, account: Account) -> None:
        item = _account_item(account)
        lost = self._table.put(item, _at_version(account.version - 1), "account")
        _unless_repeated(lost, item.body)

    # --- decisions --------------------------------------------------------------------------------

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._read(DecisionRecord, _decision(decision_id), "DECISION")

    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        """Who loses gets what is stored, be it its own record that an earlier try had stored unnoticed."""
        table, item = self._table, _decision_item(record)
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
            parts.append(Part("account", table.putting(_account_item(account), _at_version(account.version - 1))))
        return _winner(record, table.write(parts))

    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        found = self._table.latest(TIMELINE, TIMELINE_PK, _decisions_line(account, strategy), limit)
        return tuple(DecisionRecord.model_validate_json(item.body) for item in found)

    def story(self, decision_id: str) -> Story | None:
        decision: DecisionRecord | None = None
        orders: list[Order] = []
        events: list[OrderEvent] = []
        fills: list[Fill] = []
        for item in self._table.partition(_decision(decision_id)):
            match item.sk.split("#", 3):
                case ["DECISION"]:
                    decision = DecisionRecord.model_validate_json(item.body)
                case ["ORDER", _]:
                    orders.append(Order.model_validate_json(item.body))
                case ["ORDER", _, "EVENT", _]:
                    events.append(OrderEvent.model_validate_json(item.body))
                case ["ORDER", _, "FILL", _]:
                    fills.append(Fill.model_validate_json(item.body))
        return told(decision, orders, events, fills) if decision else None

    def register_schedule(self, tick: Tick) -> None:
        seen = iso(tick.scheduled_time)
        sk = f"SCHEDULE#{schedule_key(tick)}"
        item = Item(_account(tick.account), sk, tick.model_dump_json(), {"scheduled_time": seen})
        self._table.put(item, _absent_or("scheduled_time <= :seen", {":seen": seen}))

    def drop_schedule(self, schedule: Tick) -> None:
        self._table.delete(_account(schedule.account), f"SCHEDULE#{schedule_key(schedule)}")

    def schedules(self, account: str) -> tuple[Tick, ...]:
        return tuple(self._all(Tick, account, "SCHEDULE#"))

    # --- orders -----------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        pointer = self._read(OrderPointer, _order(order_id), "ORDER")
        return self._read(Order, _decision(pointer.decision_id), _order(order_id)) if pointer else None

    def open_orders(self, account: str) -> tuple[Order, ...]:
        found = self._table.index(OPEN_ORDERS, OPEN_ACCOUNT, account)
        return tuple(Order.model_validate_json(item.body) for item in found)

    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        found = self._table.latest(TIMELINE, TIMELINE_PK, f"ORDERS#{account}", limit)
        return tuple(Order.model_validate_json(item.body) for item in found)

    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        found = self._table.latest(TIMELINE, TIMELINE_PK, f"FILLS#{account}", limit)
        return tuple(Fill.model_validate_json(item.body) for item in found)

    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        owner = self._read(VenueOrderOwner, _account(account), _venue_order(symbol, venue_order_id))
        return owner.order_id if owner else None

    def commit(self, change: Change) -> None:
        """One transaction. It may lose although it had succeeded: the write id of what is stored tells.

        this writer   commit v2 ─► written, response lost          commit v2 again ─► condition fails
        someone else                                      commit v3
        stored        order v1     order v2, event 2 by us         order v3, event 2 still by us
        """
        order, account, table = change.order, change.account, self._table
        parts = [
            Part("order", table.putting(_order_item(order), _stored_at_version(change.previous_version))),
            Part("order", table.putting(_event_item(change.event, order), ABSENT)),
        ]
        if account is not None:
            previous = _at_version(account.version - 1)
            parts.append(Part("account", table.putting(_account_item(account), previous)))
        if change.fill is not None:
            parts += self._counting(change.fill)
        parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        if change.requirement is not None:
            parts += self._requiring(order.account, change.requirement)
        lost = table.write(parts)
        if any(part.stored and part.stored.attributes.get("write_id") == order.write_id for part in lost):
            return
        _refuse(lost)

    def _counting(self, fill: Fill) -> Iterator[Part]:
        yield Part("fill", self._table.putting(_fill_item(fill), ABSENT))
        yield Part("unattributed", self._table.deleting(*_unattributed(fill.account, fill.trade)))

    def _owning(self, order: Order, venue_order_id: str) -> Part:
        """One venue order belongs to one of our orders, for good."""
        owner = VenueOrderOwner(order_id=order.order_id).model_dump_json()
        sk = _venue_order(order.symbol, venue_order_id)
        item = Item(_account(order.account), sk, owner, {"order_id": order.order_id})
        condition = _absent_or("order_id = :order_id", {":order_id": order.order_id})
        return Part("venue order", self._table.putting(item, condition))

    def _requiring(self, account: str, requirement: Requirement) -> Iterator[Part]:
        version = _stored_at_version(requirement.configuration_version)
        yield Part("configuration", self._table.checking(_account(account), "CONFIG#CURRENT", version))
        if requirement.proof_fingerprint is not None:
            checked = iso(requirement.proof_completed_at or EPOCH)
            condition = Condition("completed_at >= :checked", {":checked": checked})
            sk = f"PROOF#{requirement.proof_fingerprint}"
            yield Part("proof", self._table.checking(_account(account), sk, condition))

    # --- reconciliation ---------------------------------------------------------------------------

    def proof(self, account: str, fingerprint: str) -> Proof | None:
        return self._read(Proof, _account(account), f"PROOF#{fingerprint}")

    def store_proof(self, proof: Proof) -> None:
        table, completed = self._table, iso(proof.completed_at)
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
        return self._read(Cursor, _account(account), f"CURSOR#{symbol}")

    def store_cursor(self, account: str, cursor: Cursor) -> None:
        until = iso(cursor.read_until)
        sk = f"CURSOR#{cursor.symbol}"
        item = Item(_account(account), sk, cursor.model_dump_json(), {"read_until": until})
        self._table.put(item, _absent_or("read_until <= :until", {":until": until}))

    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        return tuple(sorted(self._all(VenueTrade, account, "UNATTRIBUTED#"), key=trade_position))

    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._table.put(Item(*_unattributed(account, trade), trade.model_dump_json()))

    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._table.delete(*_unattributed(account, trade))

    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        return tuple(sorted(self._all(CancelRequest, account, "CANCEL#"), key=cancel_position))

    def request_cancel(self, request: CancelRequest) -> None:
        self._table.put(_cancel_item(request))

    def clear_cancel(self, account: str, order_id: str) -> None:
        self._table.delete(_account(account), f"CANCEL#{order_id}")

    def suspicion(self, account: str) -> Suspicion | None:
        return self._read(Suspicion, _account(account), "SUSPICION")

    def store_suspicion(self, suspicion: Suspicion) -> None:
        self._table.put(Item(_account(suspicion.account), "SUSPICION", suspicion.model_dump_json()))

    def incidents(self, account: str) -> tuple[Incident, ...]:
        return tuple(sorted(self._all(Incident, account, "INCIDENT#"), key=incident_position))

    def incident(self, account: str, incident_id: str) -> Incident | None:
        return self._read(Incident, _account(account), f"INCIDENT#{incident_id}")

    def open_incident(self, incident: Incident) -> bool:
        item = _incident_item(incident)
        lost = self._table.put(item, _absent_or("incident_status <> :open", {":open": "open"}))
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
        lost = self._table.put(item, as_read)
        return not lost or _repeated(lost, item.body)

    # --- reading ----------------------------------------------------------------------------------

    def _read[R: Record](self, model: type[R], pk: str, sk: str) -> R | None:
        body = self._table.body(pk, sk)
        return model.model_validate_json(body) if body is not None else None

    def _all[R: Record](self, model: type[R], account: str, prefix: str) -> Iterator[R]:
        for item in self._table.partition(_account(account), prefix):
            yield model.model_validate_json(item.body)


# --- keys -----------------------------------------------------------------------------------------


def _decision(decision_id: str) -> str:
    return f"DECISION#{decision_id}"


def _order(order_id: str) -> str:
    return f"ORDER#{order_id}"


def _account(account: str) -> str:
    return f"ACCOUNT#{account}"


def _venue_order(symbol: str, venue_order_id: str) -> str:
    return f"VENUEORDER#{symbol}#{venue_order_id}"


def _unattributed(account: str, trade: VenueTrade) -> tuple[str, str]:
    return _account(account), f"UNATTRIBUTED#{trade.key}"


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


def _cancel_item(request: CancelRequest) -> Item:
    return Item(_account(request.account), f"CANCEL#{request.order_id}", request.model_dump_json())


def _incident_item(incident: Incident) -> Item:
    sk = f"INCIDENT#{incident.incident_id}"
    status = incident.status if incident.told or incident.status == "resolved" else "untold"
    attributes = {"incident_status": status, "opened_at": iso(incident.opened_at)}
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
