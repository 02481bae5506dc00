"""What a demo run left behind, read back as records: its ledger, the venue's books, its summary. Changes nothing."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from belay.adapters.aws.ledger import Tables
from belay.adapters.paper.state import FaultKind, InjectedFault, PaperOrder, Submission, VenueState
from belay.domain.account import Account
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.incidents import Incident
from belay.domain.market import Candle
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof

SUMMARY, PAPER = "summary.json", "rows/paper.jsonl"
LEDGER = tuple(f"rows/{name}.jsonl" for name in Tables._fields)


@dataclass
class Exported:
    """One account's run. What belongs to an order lies under its order id."""

    summary: dict[str, Any]
    configuration: Configuration
    account: Account
    proof: Proof | None = None
    decisions: list[DecisionRecord] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    events: defaultdict[str, list[OrderEvent]] = field(default_factory=lambda: defaultdict(list))
    fills: list[Fill] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    candles: defaultdict[tuple[str, str], list[Candle]] = field(default_factory=lambda: defaultdict(list))
    submissions: defaultdict[str, list[Submission]] = field(default_factory=lambda: defaultdict(list))
    venue_orders: defaultdict[str, list[PaperOrder]] = field(default_factory=lambda: defaultdict(list))
    faults: defaultdict[str, list[InjectedFault]] = field(default_factory=lambda: defaultdict(list))

    def fills_of(self, order_id: str) -> list[Fill]:
        return [fill for fill in self.fills if fill.order_id == order_id]


def read_exported(folder: Path) -> Exported:
    """Read a folder as the demo leaves it: summary.json, the rows of the ledger's tables and rows/paper.jsonl.

    Raises:
        InvalidInput: a file is missing or is not what the demo writes.
    """
    try:
        run = _ledger(
            json.loads((folder / SUMMARY).read_text()), [row for name in LEDGER for row in _rows(folder / name)]
        )
        _venue(run, _rows(folder / PAPER))
    except (OSError, ValueError, LookupError) as error:
        problem = f"is not what a demo leaves: {type(error).__name__}: {error}"
        raise InvalidInput(str(folder), problem, "Run `make demo` and give its folder.") from error
    return run


def _rows(file: Path) -> Iterator[Mapping[str, str]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _ledger(summary: dict[str, Any], rows: list[Mapping[str, str]]) -> Exported:
    (configuration,) = (row["body"] for row in rows if row["sk"] == "CONFIG#CURRENT")
    (account,) = (row["body"] for row in rows if row["pk"].startswith("ACCOUNT#") and row["sk"] == "STATE")
    run = Exported(summary, Configuration.model_validate_json(configuration), Account.model_validate_json(account))
    for row in rows:
        _keep(run, row["pk"].split("#")[0], row["sk"].split("#", 3), row["body"])
    run.decisions.sort(key=lambda record: (record.slot.candle_open, record.decision_id))
    for events in run.events.values():
        events.sort(key=lambda event: event.sequence)
    run.fills.sort(key=lambda fill: (fill.trade.at, fill.trade.trade_id))
    run.incidents.sort(key=lambda incident: (incident.opened_at, incident.incident_id))
    return run


def _keep(run: Exported, collection: str, key: list[str], body: str) -> None:
    match collection, key:
        case "DECISION", ["DECISION"]:
            run.decisions.append(DecisionRecord.model_validate_json(body))
        case "DECISION", ["ORDER", order_id]:
            run.orders[order_id] = Order.model_validate_json(body)
        case "DECISION", ["ORDER", order_id, "EVENT", _]:
            run.events[order_id].append(OrderEvent.model_validate_json(body))
        case "DECISION", ["ORDER", _, "FILL", _]:
            run.fills.append(Fill.model_validate_json(body))
        case "ACCOUNT", ["INCIDENT", *_]:
            run.incidents.append(Incident.model_validate_json(body))
        case "ACCOUNT", ["PROOF", _]:
            proof = Proof.model_validate_json(body)
            if run.proof is None or run.proof.completed_at < proof.completed_at:
                run.proof = proof


def _venue(run: Exported, rows: Iterator[Mapping[str, str]]) -> None:
    for row in rows:
        _book(run, row["pk"].split("#"), row["sk"].split("#"), row["body"])
    for candles in run.candles.values():
        candles.sort(key=lambda candle: candle.open_time)
    for faults in run.faults.values():
        faults.sort(key=lambda fault: (fault.sequence, list(FaultKind).index(fault.kind)))
    for submissions in run.submissions.values():
        submissions.sort(key=lambda submission: submission.sequence)


def _book(run: Exported, collection: list[str], key: list[str], body: str) -> None:
    match collection, key:
        case [_, _], ["ORDER", _]:
            order = PaperOrder.model_validate_json(body)
            run.venue_orders[order.client_order_id].append(order)
        case [_, _], ["STATE"]:
            for order in VenueState.model_validate_json(body).orders.values():
                run.venue_orders[order.client_order_id].append(order)
        case [_, _], ["SUBMISSION", _]:
            submission = Submission.model_validate_json(body)
            run.submissions[submission.request.client_order_id].append(submission)
        case [_, _], ["FAULT", *_]:
            fault = InjectedFault.model_validate_json(body)
            run.faults[fault.client_order_id].append(fault)
        case [_, _, "CANDLES", symbol, timeframe], _:
            run.candles[symbol, timeframe].append(Candle.model_validate_json(body))
