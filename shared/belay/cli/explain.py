"""The five questions about one decision, answered from its stored story alone. Reads; guesses nothing."""

import re
from typing import Any

from belay.cli.desk import Desk
from belay.cli.views import gate, incidents, order_line, standing_stops, text
from belay.domain.decisions import DecisionRecord
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.money import corrected
from belay.domain.orders import NEVER_SENT, UNRESOLVED, Order, OrderEvent
from belay.domain.record import iso
from belay.ports import Ledger, Story
from belay.workflows.integrity import examine

type Document = dict[str, Any]

ORDER_ID = re.compile(r"[0-9a-f]{32}")


def explain(desk: Desk, name: str) -> Document:
    """Everything about the decision that `name` (a decision id or one of its order ids) belongs to.

    Returns:
        A document with `decision`, `orders` (one per leg that asked for an order, each with `checks`,
        `submission`, `fills`, `state` and `events`) and `account` (stops, gate, incidents as they are now).

    Raises:
        InvalidInput: the ledger has no such decision or order.
    """
    story = find_story(desk.ledger, name)
    return {
        "decision": _decision(story.decision),
        "orders": [_order(order, story, desk.ledger) for order in story.orders],
        "account": _account(desk, story),
    }


def find_story(ledger: Ledger, name: str) -> Story:
    """The story of a decision id, or of the decision that an order id belongs to."""
    order = ledger.order(name)  # an adopted order bears the id that its maker gave it, whatever it looks like
    story = ledger.story(order.decision_id if order else name)
    if story is None:
        kind = "order" if ORDER_ID.fullmatch(name) else "decision"
        remedy = "See `belay decisions` and `belay orders` for ids; check --stage and --local."
        raise InvalidInput("id", f"the ledger has no {kind} {name}", remedy)
    return story


def _decision(record: DecisionRecord) -> Document:
    slot, decision = record.slot, record.decision
    held = record.held
    return {
        "decision_id": record.decision_id,
        "account": slot.account,
        "strategy": slot.strategy,
        "algorithm": record.algorithm,
        "parameters": record.parameters,
        "symbol": slot.symbol,
        "timeframe": slot.timeframe,
        "candle_open": iso(slot.candle_open),
        "candle_close": iso(slot.candle_close),
        "kind": decision.kind,
        "reason": held.reason if held else "; ".join(leg.reason for leg in record.trade_legs),
        "detail": held.detail if held else "",
        "legs": [leg.model_dump(mode="json", exclude_none=True) for leg in record.trade_legs],
        "inputs": decision.inputs,
        "market_time": iso(record.market_time) if record.market_time else None,
        "decided_at": iso(record.decided_at),
        "recorded_at": iso(record.recorded_at),
        "configuration_version": record.configuration_version,
        "layer_version": record.layer_version,
    }


def _order(order: Order, story: Story, ledger: Ledger) -> Document:
    events = [event for event in story.events if event.order_id == order.order_id]
    fills = [corrected(fill, story.events) for fill in story.fills if fill.order_id == order.order_id]
    return {
        **order_line(order),
        "checks": [_check(event) for event in events if "limits" in event.detail],
        "submission": _submission(order, events),
        "fills": [_fill(fill, fill.key in order.replaced) for fill in fills],
        "venue_filled": str(order.venue_filled),
        "explained": order.explained,
        "cancel_requested": any(r.order_id == order.order_id for r in ledger.cancel_requests(order.account)),
        "events": [_event(event) for event in events],
        "records": examine(ledger, order).flaw or "whole",
        "head": order.head,
    }


def _check(event: OrderEvent) -> Document:
    """One check of the limits: the state it led to, if it moved the order, and a line per limit."""
    state = event.to_state if event.to_state is not event.from_state else None
    return {"at": _time(event), "led_to": state, "cause": event.cause, "limits": event.detail["limits"]}


def _submission(order: Order, events: list[OrderEvent]) -> Document:
    """How often the order was claimed and what each claim led to. `verdict` is what that proves."""
    claims = [event for event in events if event.cause == "claimed"]
    return {
        "verdict": _verdict(order, len(claims)),
        "claims": [
            {
                "attempt_id": event.attempt_id,
                "at": _time(event),
                "fence_at": event.detail.get("request", {}).get("fence_at"),
                "answers": [
                    {"outcome": after.detail["outcome"], "code": after.detail.get("code", ""), "at": _time(after)}
                    for after in events
                    if after.attempt_id == event.attempt_id and "outcome" in after.detail
                ],
            }
            for event in claims
        ],
        "venue_order_ids": list(order.venue_order_ids),
    }


def _verdict(order: Order, claims: int) -> str:
    if len(order.venue_order_ids) > 1:
        return "more than once"
    if order.attempt and not claims:
        return "adopted"
    if order.venue_order_ids:
        return "exactly once"
    if order.state in UNRESOLVED:
        return "unknown"
    if order.state in NEVER_SENT or claims == 0:
        return "never sent"
    return "no order at the venue"


def _fill(fill: Fill, replaced: bool) -> Document:
    """`given`: a person copied it; `replaced`: it counts no longer, since a true trade does in its place."""
    trade = fill.trade
    marks = {name: True for name, stands in (("given", fill.given), ("replaced", replaced)) if stands}
    return {
        "trade_id": trade.trade_id,
        "venue_order_id": trade.venue_order_id,
        "at": iso(trade.at),
        "recorded_at": iso(fill.recorded_at),
        "quantity": str(trade.quantity),
        "price": str(trade.price),
        "notional": str(trade.notional),
        "fees": {asset: str(fee) for asset, fee in trade.fees.items()},
        **marks,
    }


def _event(event: OrderEvent) -> Document:
    return {
        "sequence": event.sequence,
        "from": event.from_state.value,
        "to": event.to_state.value,
        "cause": event.cause,
        "attempt_id": event.attempt_id,
        "exchange_time": text(event.exchange_time and iso(event.exchange_time)),
        "recorded_at": iso(event.recorded_at),
    }


def _time(event: OrderEvent) -> str:
    return iso(event.exchange_time or event.recorded_at)


def _account(desk: Desk, story: Story) -> Document:
    """What surrounds the decision now: the switch, stops that cover it, the gate, open incidents."""
    slot = story.decision.slot
    configuration, stops = desk.ledger.configuration(slot.account), standing_stops(desk.ledger, slot.account)
    gate_now = gate(desk, configuration)
    news = [iso(event.exchange_time) for event in story.events if event.exchange_time]
    proof_at = gate_now["proof_completed_at"]
    return {
        "switch": desk.switch.read().model_dump(mode="json"),
        "stops": [stop.model_dump(mode="json") for stop in stops if stop.covers(slot.strategy, slot.symbol)],
        "gate": gate_now,
        "last_news_at": max(news, default=None),
        "reconciled_since": bool(proof_at and proof_at >= max(news, default=iso(story.decision.decided_at))),
        "incidents": incidents(desk.ledger, (slot.account,), resolved_too=False),
    }
