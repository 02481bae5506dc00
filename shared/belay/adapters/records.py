"""What every ledger agrees on: the order in which records are read, and what storing a decision implies."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from heapq import merge

from belay.domain.decisions import Cancel, DecisionRecord
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.incidents import Incident
from belay.domain.orders import Order, OrderEvent
from belay.domain.record import digest, iso
from belay.domain.slots import Tick
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, RefusedEvent, Story

# --- positions on a time line: text whose order is time order, unique within its line -------------


def decision_position(record: DecisionRecord) -> str:
    return f"{iso(record.slot.candle_open)}#{record.decision_id}"


def order_position(order: Order) -> str:
    return f"{iso(order.created_at)}#{order.order_id}"


def fill_position(fill: Fill) -> str:
    return trade_position(fill.trade)


def trade_position(trade: VenueTrade) -> str:
    return f"{iso(trade.at)}#{trade.key}"


def flow_position(flow: Flow) -> str:
    return f"{iso(flow.at)}#{flow.flow_id}"


def incident_position(incident: Incident) -> str:
    return f"{iso(incident.opened_at)}#{incident.incident_id}"


def cancel_position(request: CancelRequest) -> str:
    return f"{iso(request.requested_at)}#{request.order_id}"


def refused_position(event: RefusedEvent) -> str:
    return f"{iso(event.at)}#{event.subject}"


def schedule_key(tick: Tick) -> str:
    return f"{tick.strategy}#{tick.symbol}#{tick.timeframe}"


# --- incidents ------------------------------------------------------------------------------------


def resolved(incident: Incident, resolution: str, author: str, at: datetime | None) -> Incident:
    """An incident that is over."""
    changes = {"status": "resolved", "resolution": resolution, "resolved_by": author, "resolved_at": at}
    return incident.model_copy(update=changes)


# --- digests of what is stored ----------------------------------------------------------------------


def order_digest(text: str, head: str) -> str:
    """The digest of an order's stored text without its head, as its last event holds it."""
    return digest(text.replace(f'"head":"{head}"', '"head":""', 1))


# --- decisions ------------------------------------------------------------------------------------


def cancels_of(record: DecisionRecord) -> tuple[CancelRequest, ...]:
    """The cancel requests that a decision makes, one for each order it names."""
    reasons = {leg.order_id: leg.reason for leg in record.trade_legs if isinstance(leg, Cancel)}
    return tuple(
        CancelRequest(account=record.slot.account, order_id=order_id, reason=reason, requested_at=record.decided_at)
        for order_id, reason in reasons.items()
    )


def told(
    decision: DecisionRecord, orders: Iterable[Order], events: Iterable[OrderEvent], fills: Iterable[Fill]
) -> Story:
    """A decision's records as a story: orders as its legs ask for them, events and fills in time order."""
    legs = {order_id: number for number, order_id in enumerate(decision.order_ids)}
    orders = [order for order in orders if order.order_id in legs]  # others are nobody's
    return Story(
        decision=decision,
        orders=tuple(sorted(orders, key=lambda order: legs[order.order_id])),
        events=_in_time(events),
        fills=tuple(sorted(fills, key=fill_position)),
    )


def _in_time(events: Iterable[OrderEvent]) -> tuple[OrderEvent, ...]:
    """Events of several orders by their recorders' clocks; those of one order always by sequence."""
    by_order: defaultdict[str, list[OrderEvent]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.order_id, event.sequence)):
        by_order[event.order_id].append(event)
    return tuple(merge(*by_order.values(), key=_recorded_at))


def _recorded_at(event: OrderEvent) -> datetime:
    return event.recorded_at
