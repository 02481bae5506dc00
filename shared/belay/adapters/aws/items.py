"""The ledger's records as items: key, body, and what indexes and conditions look at. Reads and writes nothing."""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from belay.adapters.aws import keys
from belay.adapters.aws.locked import READS_FROM, of_later, reads_from
from belay.adapters.aws.table import STANDING, Attribute, Item
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
        self.later: list[str] = []  # the sort keys of what only a later version can read
        for item in items:
            try:
                self._take(item)
            except ValidationError:  # what cannot be read is missing in its story, which is told of that
                if of_later(item):
                    self.later.append(item.sk)

    def _take(self, item: Item) -> None:
        match item.sk.split("#", 3):
            case ["DECISION"]:
                self.decision = Stored(DecisionRecord.stored(item.body, reads_from(item)), digest(item.body))
            case ["ORDER", order_id]:
                order = Order.stored(item.body, reads_from(item))
                self.orders[order_id] = Stored(order, order_digest(item.body, order.head))
            case ["ORDER", _, "EVENT", _]:
                self.events.append(Stored(OrderEvent.stored(item.body, reads_from(item)), digest(item.body)))
            case ["ORDER", _, "FILL", _]:
                self.fills.append(Stored(Fill.stored(item.body, reads_from(item)), digest(item.body)))


# --- what was decided and what became of it -------------------------------------------------------


def decision(record: DecisionRecord) -> Item:
    attributes = {
        "write_id": record.write_id,
        keys.TIMELINE_PK: keys.decisions_line(record.slot.account, record.slot.strategy),
        "timeline_sk": decision_position(record),
    }
    return _item(keys.decision(record.decision_id), keys.DECISION, record, attributes)


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
    return _item(keys.decision(order.decision_id), keys.order(order.order_id), order, attributes)


def pointer(order: Order) -> Item:
    return _item(keys.order(order.order_id), keys.ORDER, OrderPointer(decision_id=order.decision_id))


def event(event: OrderEvent, source: DecisionRecord | Order) -> Item:
    """The event of a change to an order, or of the decision that created it."""
    sk = keys.event(event.order_id, event.sequence)
    return _item(keys.decision(source.decision_id), sk, event, {"write_id": source.write_id})


def fill(fill: Fill) -> Item:
    attributes = {keys.TIMELINE_PK: keys.fills_line(fill.account), "timeline_sk": fill_position(fill)}
    sk = keys.fill(fill.order_id, fill.key)
    return _item(keys.decision(fill.decision_id), sk, fill, attributes)


def cancel(request: CancelRequest) -> Item:
    standing = {STANDING: f"{keys.CANCELS}{cancel_position(request)}"}
    return _item(keys.account(request.account), keys.cancel(request.order_id), request, standing)


def schedule(tick: Tick) -> Item:
    sk = keys.schedule(tick)
    attributes = {"scheduled_time": iso(tick.scheduled_time), STANDING: sk}
    return _item(keys.account(tick.account), sk, tick, attributes)


def refused(event: RefusedEvent) -> Item:
    standing = {STANDING: f"{keys.REFUSED}{refused_position(event)}"}
    return _item(keys.account(event.account), keys.refused(event), event, standing)


# --- what binds orders ----------------------------------------------------------------------------


def account(account: Account) -> Item:
    attributes = {"version": account.version}
    return _item(keys.account(account.account), keys.STATE, account, attributes)


def anchor(anchor: Anchor) -> Item:
    attributes = {"anchored": anchor.place}
    return _item(keys.account(anchor.account), keys.anchor(anchor.order_id), anchor, attributes)


def acceptance(acceptance: Acceptance) -> Item:
    sk = keys.accepted(acceptance.anchor.order_id)
    return _item(keys.account(acceptance.anchor.account), sk, acceptance)


def owner(order: Order, venue_order_id: str) -> Item:
    owner, sk = VenueOrderOwner(order_id=order.order_id), keys.venue_order(order.symbol, venue_order_id)
    return _item(keys.account(order.account), sk, owner, {"order_id": order.order_id})


def proof(proof: Proof, sk: str | None = None) -> Item:
    completed = {"completed_at": iso(proof.completed_at)}
    return _item(keys.account(proof.account), sk or keys.proof(proof.fingerprint), proof, completed)


def flow(flow: Flow) -> Item:
    standing = {STANDING: f"{keys.FLOWS}{flow_position(flow)}"}
    return _item(keys.account(flow.account), keys.flow(flow.flow_id), flow, standing)


def cursor(account: str, cursor: Cursor) -> Item:
    until = {"read_until": iso(cursor.read_until)}
    return _item(keys.account(account), keys.cursor(cursor.symbol), cursor, until)


def unattributed(account: str, trade: VenueTrade) -> Item:
    standing = {STANDING: f"{keys.loose(trade.symbol)}{trade_position(trade)}"}
    return _item(keys.account(account), keys.unattributed(trade), trade, standing)


def suspicion(suspicion: Suspicion) -> Item:
    return _item(keys.account(suspicion.account), keys.SUSPICION, suspicion)


def incident(incident: Incident) -> Item:
    status = incident.status if incident.told or incident.status == "resolved" else "untold"
    attributes = {"incident_status": status, "opened_at": iso(incident.opened_at)}
    if incident.status == "open":
        attributes[STANDING] = f"{keys.INCIDENTS}{incident_position(incident)}"
    sk = keys.incident(incident.incident_id)
    return _item(keys.account(incident.account), sk, incident, attributes)


def incident_entry(entry: IncidentEntry) -> Item:
    sk = f"{keys.history(entry.incident_id)}{entry.position}"
    return _item(keys.account(entry.account), sk, entry)


# --- what operators say ---------------------------------------------------------------------------


def configuration(configuration: Configuration, sk: str = keys.CONFIGURATION) -> Item:
    version = {"version": configuration.version}
    return _item(keys.account(configuration.document.account), sk, configuration, version)


def listed(account: str) -> Item:
    return Item(keys.ACCOUNTS, account, "{}", {READS_FROM: 1})


def stops(stops: OperatorStops) -> Item:
    attributes = {"version": stops.version}
    return _item(keys.account(stops.account), keys.STOPS, stops, attributes)


def _item(pk: str, sk: str, record: Record, attributes: Mapping[str, Attribute] = {}) -> Item:
    """Every item names the lowest schema that may act on it."""
    return Item(pk, sk, record.text, {**attributes, READS_FROM: record.reads_from})
