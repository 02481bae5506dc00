"""The ledger's records as items: key, body, and what indexes and conditions look at. Reads and writes nothing."""

from collections.abc import Iterable
from contextlib import suppress

from pydantic import ValidationError

from belay.adapters.aws import keys
from belay.adapters.aws.table import STANDING, Item
from belay.adapters.records import (
    cancel_position,
    decision_position,
    fill_position,
    flow_position,
    incident_position,
    order_digest,
    order_position,
    refused_position,
    trade_position,
)
from belay.domain.account import Account, OperatorStops
from belay.domain.chain import Acceptance, Anchor, Stored
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record, digest, iso
from belay.domain.slots import Tick
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Suspicion


class OrderPointer(Record):
    """In which decision's collection an order lies."""

    decision_id: str


class VenueOrderOwner(Record):
    """Which of our orders a venue order belongs to."""

    order_id: str


class Collection:
    """What the partition of one decision holds."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.decision: Stored[DecisionRecord] | None = None
        self.orders: dict[str, Stored[Order]] = {}
        self.events: list[Stored[OrderEvent]] = []
        self.fills: list[Stored[Fill]] = []
        for item in items:
            with suppress(ValidationError):  # what cannot be read is missing in its story, which is told of that
                self._take(item)

    def _take(self, item: Item) -> None:
        match item.sk.split("#", 3):
            case ["DECISION"]:
                self.decision = Stored(DecisionRecord.model_validate_json(item.body), digest(item.body))
            case ["ORDER", order_id]:
                order = Order.model_validate_json(item.body)
                self.orders[order_id] = Stored(order, order_digest(item.body, order.head))
            case ["ORDER", _, "EVENT", _]:
                self.events.append(Stored(OrderEvent.model_validate_json(item.body), digest(item.body)))
            case ["ORDER", _, "FILL", _]:
                self.fills.append(Stored(Fill.model_validate_json(item.body), digest(item.body)))


# --- what was decided and what became of it -------------------------------------------------------


def decision(record: DecisionRecord) -> Item:
    attributes = {
        "write_id": record.write_id,
        keys.TIMELINE_PK: keys.decisions_line(record.slot.account, record.slot.strategy),
        "timeline_sk": decision_position(record),
    }
    return Item(keys.decision(record.decision_id), keys.DECISION, record.model_dump_json(), attributes)


def order(order: Order) -> Item:
    position = order_position(order)
    attributes: dict[str, str | int] = {
        "version": order.version,
        "write_id": order.write_id,
        keys.TIMELINE_PK: keys.orders_line(order.account),
        "timeline_sk": position,
    }
    if not order.settled:
        attributes |= {keys.OPEN_ACCOUNT: order.account, "open_since": position}
    return Item(keys.decision(order.decision_id), keys.order(order.order_id), order.model_dump_json(), attributes)


def pointer(order: Order) -> Item:
    body = OrderPointer(decision_id=order.decision_id).model_dump_json()
    return Item(keys.order(order.order_id), keys.ORDER, body)


def event(event: OrderEvent, source: DecisionRecord | Order) -> Item:
    """The event of a change to an order, or of the decision that created it."""
    sk = keys.event(event.order_id, event.sequence)
    return Item(keys.decision(source.decision_id), sk, event.model_dump_json(), {"write_id": source.write_id})


def fill(fill: Fill) -> Item:
    attributes = {keys.TIMELINE_PK: keys.fills_line(fill.account), "timeline_sk": fill_position(fill)}
    sk = keys.fill(fill.order_id, fill.key)
    return Item(keys.decision(fill.decision_id), sk, fill.model_dump_json(), attributes)


def cancel(request: CancelRequest) -> Item:
    standing = {STANDING: f"{keys.CANCELS}{cancel_position(request)}"}
    return Item(keys.account(request.account), keys.cancel(request.order_id), request.model_dump_json(), standing)


def schedule(tick: Tick) -> Item:
    sk = keys.schedule(tick)
    attributes = {"scheduled_time": iso(tick.scheduled_time), STANDING: sk}
    return Item(keys.account(tick.account), sk, tick.model_dump_json(), attributes)


def refused(event: RefusedEvent) -> Item:
    standing = {STANDING: f"{keys.REFUSED}{refused_position(event)}"}
    return Item(keys.account(event.account), keys.refused(event), event.model_dump_json(), standing)


# --- what binds orders ----------------------------------------------------------------------------


def account(account: Account) -> Item:
    return Item(keys.account(account.account), keys.STATE, account.model_dump_json(), {"version": account.version})


def anchor(anchor: Anchor) -> Item:
    attributes = {"anchored": anchor.place}
    return Item(keys.account(anchor.account), keys.anchor(anchor.order_id), anchor.model_dump_json(), attributes)


def acceptance(acceptance: Acceptance) -> Item:
    sk = keys.accepted(acceptance.anchor.order_id)
    return Item(keys.account(acceptance.anchor.account), sk, acceptance.model_dump_json())


def owner(order: Order, venue_order_id: str) -> Item:
    body = VenueOrderOwner(order_id=order.order_id).model_dump_json()
    sk = keys.venue_order(order.symbol, venue_order_id)
    return Item(keys.account(order.account), sk, body, {"order_id": order.order_id})


def proof(proof: Proof, sk: str | None = None) -> Item:
    completed = {"completed_at": iso(proof.completed_at)}
    return Item(keys.account(proof.account), sk or keys.proof(proof.fingerprint), proof.model_dump_json(), completed)


def flow(flow: Flow) -> Item:
    standing = {STANDING: f"{keys.FLOWS}{flow_position(flow)}"}
    return Item(keys.account(flow.account), keys.flow(flow.flow_id), flow.model_dump_json(), standing)


def cursor(account: str, cursor: Cursor) -> Item:
    until = {"read_until": iso(cursor.read_until)}
    return Item(keys.account(account), keys.cursor(cursor.symbol), cursor.model_dump_json(), until)


def unattributed(account: str, trade: VenueTrade) -> Item:
    standing = {STANDING: f"{keys.loose(trade.symbol)}{trade_position(trade)}"}
    return Item(keys.account(account), keys.unattributed(trade), trade.model_dump_json(), standing)


def suspicion(suspicion: Suspicion) -> Item:
    return Item(keys.account(suspicion.account), keys.SUSPICION, suspicion.model_dump_json())


def incident(incident: Incident) -> Item:
    status = incident.status if incident.told or incident.status == "resolved" else "untold"
    attributes = {"incident_status": status, "opened_at": iso(incident.opened_at)}
    if incident.status == "open":
        attributes[STANDING] = f"{keys.INCIDENTS}{incident_position(incident)}"
    sk = keys.incident(incident.incident_id)
    return Item(keys.account(incident.account), sk, incident.model_dump_json(), attributes)


def incident_entry(entry: IncidentEntry) -> Item:
    sk = f"{keys.history(entry.incident_id)}{entry.position}"
    return Item(keys.account(entry.account), sk, entry.model_dump_json())


# --- what operators say ---------------------------------------------------------------------------


def configuration(configuration: Configuration, sk: str = keys.CONFIGURATION) -> Item:
    version = {"version": configuration.version}
    return Item(keys.account(configuration.document.account), sk, configuration.model_dump_json(), version)


def listed(account: str) -> Item:
    return Item(keys.ACCOUNTS, account, "{}")


def stops(stops: OperatorStops) -> Item:
    return Item(keys.account(stops.account), keys.STOPS, stops.model_dump_json(), {"version": stops.version})
