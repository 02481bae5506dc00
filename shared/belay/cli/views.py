"""What the ledger says, as plain documents for `--json` and for the terminal. Reads; changes nothing."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from belay.cli.desk import VERSION, Desk
from belay.domain import way_back
from belay.domain.account import Account, Stop
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import InvalidInput
from belay.domain.incidents import Incident
from belay.domain.orders import UNRESOLVED, Order
from belay.domain.record import ZERO, iso, plain
from belay.ports import Ledger
from belay.workflows.integrity import beyond

type Document = dict[str, Any]

SEARCHED_ORDERS = 1_000


def status(desk: Desk, accounts: tuple[str, ...]) -> Document:
    """The switch, and for each account everything that allows or stops trading now."""
    return {
        "stage": desk.stage,
        "versions": versions(desk),
        "switch": desk.switch.read().model_dump(mode="json"),
        "accounts": [_account(desk, name) for name in accounts],
    }


def versions(desk: Desk) -> Document:
    return {"command": VERSION, "stack": desk.stack_version}


def _account(desk: Desk, name: str) -> Document:
    ledger = desk.ledger
    account, configuration = ledger.account(name), ledger.configuration(name)
    open_orders = ledger.open_orders(name)
    return {
        "account": name,
        **_configured(configuration),
        "gate": gate(desk, configuration),
        "last_proof": _last_proof(ledger, name),
        "unknown_fields": list(configuration.document.unknown_fields) if configuration else [],
        "later": _later(ledger, account, configuration, open_orders),
        "stops": [stop.model_dump(mode="json") for stop in standing_stops(ledger, name)],
        "open_orders": dict(Counter(order.state.value for order in open_orders)),
        "unresolved": [order.order_id for order in open_orders if order.state in UNRESOLVED],
        "incidents": incidents(ledger, (name,), resolved_too=False),
        "positions": _positions(account),
        "strategies": [_latest(ledger, name, strategy) for strategy in strategies(ledger, name)],
    }


def _later(
    ledger: Ledger, account: Account, configuration: Configuration | None, open_orders: tuple[Order, ...]
) -> list[str]:
    """What only a later version may act on."""
    resting = [later] if configuration and (later := beyond(account, configuration)) else []
    orders = [f"order {order.order_id}" for order in open_orders if not order.understood]
    return [*resting, *orders, *(f"what is stored under {key}" for key in ledger.later(account.account))]


def standing_stops(ledger: Ledger, account: str) -> tuple[Stop, ...]:
    """Every stop of an account: the operators' and those of incidents."""
    return (*ledger.operator_stops(account).stops, *ledger.account(account).stops)


def stored(configuration: Configuration) -> Document:
    """A document as it is stored, with the fields that this version does not know."""
    if not configuration.unknown_fields:
        return configuration.model_dump(mode="json", exclude_none=True)
    return {**json.loads(configuration.text), "unknown_fields": list(configuration.unknown_fields)}


def _configured(configuration: Configuration | None) -> Document:
    if configuration is None:
        return {"mode": None, "venue": None, "symbols": [], "configuration_version": None}
    document = configuration.document
    return {
        "mode": document.mode,
        "venue": document.venue,
        "symbols": list(document.symbols),
        "configuration_version": configuration.version,
    }


def gate(desk: Desk, configuration: Configuration | None) -> Document:
    """Whether the last clean reconciliation of this deployment is recent enough for an entry; ages in seconds.

    `reason` says why the gate is closed, None while it is open.
    """
    document = configuration.document if configuration else None
    bound = document.limits.max_reconciliation_age_seconds if document else None
    proof = desk.proof_of(configuration) if configuration else None
    age = (desk.venue_time(document) - proof.started_at).total_seconds() if document and proof else None
    reason = _why_closed(document, bound, age)
    return {
        "open": reason is None,
        "reason": reason,
        "proof_completed_at": iso(proof.completed_at) if proof else None,
        "age_seconds": None if age is None else round(age),
        "bound_seconds": bound,
    }


def _last_proof(ledger: Ledger, name: str) -> Document | None:
    """When a run was last clean, whichever deployment's, and of which symbols it proved nothing, and why."""
    proof = ledger.last_proof(name)
    if proof is None:
        return None
    uncovered = {symbol: proof.because.get(symbol, "not told") for symbol in proof.uncovered}
    return {"completed_at": iso(proof.completed_at), "uncovered": uncovered}


def _why_closed(document: AccountDocument | None, bound: int | None, age: float | None) -> str | None:
    reasons = {
        "the account has no document": document is None,
        "the document has no max_reconciliation_age_seconds": bound is None,
        "not reconciled yet by this deployment with this account document": age is None,
        "the last clean reconciliation is too old": bound is not None and age is not None and age > bound,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _positions(account: Account) -> list[Document]:
    return [
        {
            "strategy": strategy,
            "symbol": symbol,
            "quantity": plain(position.quantity),
            "average_cost": plain(position.cost / position.quantity) if position.quantity > ZERO else None,
            "realised_pnl": plain(position.realised_pnl),
        }
        for strategy, held in account.positions.items()
        for symbol, position in held.items()
    ]


def strategies(ledger: Ledger, account: str) -> tuple[str, ...]:
    """The strategies whose schedule has ticked at least once, by name."""
    return tuple(sorted({tick.strategy for tick in ledger.schedules(account)}))


def _latest(ledger: Ledger, account: str, strategy: str) -> Document:
    latest = ledger.decisions(account, strategy, 1)
    return {"strategy": strategy, "last_decision": decision(latest[0]) if latest else None}


def decisions(ledger: Ledger, accounts: tuple[str, ...], strategy: str | None, limit: int) -> list[Document]:
    """The latest decisions, newest first, of one strategy or of all that have ticked."""
    found = [
        record
        for account in accounts
        for name in ([strategy] if strategy else strategies(ledger, account))
        for record in ledger.decisions(account, name, limit)
    ]
    found.sort(key=lambda record: record.slot.candle_open, reverse=True)
    return [decision(record) for record in found[:limit]]


def decision(record: DecisionRecord) -> Document:
    """One decision in short: kind, reason, legs with their order ids."""
    held = record.held
    return {
        "decision_id": record.decision_id,
        "account": record.slot.account,
        "strategy": record.slot.strategy,
        "symbol": record.slot.symbol,
        "candle_open": iso(record.slot.candle_open),
        "decided_at": iso(record.decided_at),
        "kind": record.decision.kind,
        "reason": held.reason if held else "; ".join(leg.reason for leg in record.trade_legs),
        "detail": held.detail if held else "",
        "legs": [
            {
                **leg.model_dump(mode="json", exclude_none=True),
                "order_id": order_id or leg.model_dump().get("order_id"),
            }
            for leg, order_id in zip(record.trade_legs, record.order_ids, strict=True)
        ],
    }


def latest_orders(
    ledger: Ledger, accounts: tuple[str, ...], state: str | None, open_only: bool, limit: int
) -> list[Order]:
    """The latest orders, newest first; a state is looked for among the latest 1,000 of each account."""
    depth = SEARCHED_ORDERS if state else limit
    found = [
        order
        for account in accounts
        for order in (ledger.open_orders(account) if open_only else ledger.orders(account, depth))
        if state in (None, order.state)
    ]
    found.sort(key=lambda order: (order.created_at, order.order_id), reverse=True)
    return found[:limit]


def order_line(order: Order) -> Document:
    """One order in short; quantities in base currency, `notional` and prices in quote currency."""
    asked = order.attempt.request.quantity if order.attempt else order.quantity
    return {
        "order_id": order.order_id,
        "decision_id": order.decision_id,
        "account": order.account,
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side.value,
        "reducing": order.reducing,
        "quantity": text(asked),
        "notional": text(order.notional),
        "limit_price": text(order.limit_price),
        "state": order.state.value,
        "settled": order.settled,
        "filled_quantity": plain(order.filled_quantity),
        "average_price": text(order.average_price),
        "fees": {asset: plain(fee) for asset, fee in order.fees.items()},
        "venue_order_ids": list(order.venue_order_ids),
        "created_at": iso(order.created_at),
        "expires_at": iso(order.expires_at),
        "reason": order.reason,
    }


def loose_trades(ledger: Ledger, accounts: tuple[str, ...]) -> list[Document]:
    """The trades that wait for their order, oldest first."""
    return [
        {"account": account, "key": trade.key, **trade.model_dump(mode="json")}
        for account in accounts
        for trade in ledger.unattributed_trades(account)
    ]


def incidents(ledger: Ledger, accounts: tuple[str, ...], *, resolved_too: bool) -> list[Document]:
    """What needs a person, newest last."""
    return [
        _incident(incident)
        for account in accounts
        for incident in ledger.incidents(account)
        if resolved_too or incident.status == "open"
    ]


def incident(ledger: Ledger, account: str, incident_id: str) -> Document:
    """One incident with everything that was ever said of it, oldest first.

    Raises:
        InvalidInput: the account has no such incident.
    """
    found = ledger.incident(account, incident_id)
    if found is None:
        problem = f"account {account} has no incident {incident_id}"
        raise InvalidInput("ID", problem, "See `belay incidents list --all`.")
    history = ledger.incident_history(account, incident_id)
    lines = [entry.model_dump(mode="json", include={"at", "what", "author", "reason"}) for entry in history]
    return {**_incident(found), "history": lines}


def _incident(found: Incident) -> Document:
    commands = way_back.commands(found) if found.status == "open" else ()
    return {"incident_id": found.incident_id, **found.model_dump(mode="json"), "commands": list(commands)}


def missing_limits(document: AccountDocument) -> list[str]:
    """The limits that the document leaves out: each denies every entry until it is given."""
    limits = document.limits
    missing = [name for name, value in limits if value is None]
    unbounded = [symbol for symbol in document.symbols if symbol not in limits.max_position_notional]
    return [*missing, *(f"max_position_notional.{symbol}" for symbol in unbounded)]


def text(value: object) -> str | None:
    """A value as text, a number never in exponent form."""
    if isinstance(value, Decimal):
        return plain(value)
    return None if value is None else str(value)
