"""Tells a run: as a time line for people, or line by line and complete, for comparing two runs byte for byte."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from belay.domain.decisions import DecisionRecord
from belay.domain.flows import Flow
from belay.domain.incidents import Incident
from belay.domain.orders import Order
from belay.domain.record import Record, iso
from belay.domain.slots import Tick
from belay.domain.transitions import Change
from belay.domain.venues import OrderRequest, Outcome, VenueOrder
from belay.ports import SwitchReading
from tests.simulation.faults import PASS
from tests.simulation.processes import Step
from tests.simulation.run import Run
from tests.simulation.scheduler import START

# Calls that change nothing and went well are left out of a story.
QUIET = ("ledger.", "venue.", "market.", "clock.", "alerts.", "queue.", "switch.")
ORDER_ID_LENGTH = 32
LOUD = frozenset(
    {
        "ledger.commit",
        "ledger.record_decision",
        "ledger.open_incident",
        "ledger.resolve_incident",
        "ledger.save_account",
        "ledger.record_flow",
        "ledger.save_operator_stops",
    }
    | {"ledger.request_cancel", "ledger.store_configuration", "venue.submit", "venue.cancel", "switch.write"}
    | {"queue.publish_intent"}
)


def trace(run: Run) -> Iterator[str]:
    """Every step of a run with everything that was asked and answered."""
    for step in run.trace:
        asked = " ".join(_whole(argument) for argument in step.arguments)
        yield f"{step.at} {step.process} {step.what} [{step.fault}] {asked} -> {_whole(step.answer)}"


def story(run: Run) -> Iterator[str]:
    """What mattered: `time  who  what  ** fault **  details`, then the promises that were broken."""
    yield f"seed {run.seed}, venue class {run.profile}; what was not calm:"
    for key, answer in run.made.items():
        yield f"    {key} = {answer}"
    yield ""
    busy = {step.process for step in run.trace if _matters(step) and step.what not in ("starts", "ends")}
    for step in run.trace:
        if step.process in busy and _matters(step):
            at = START.timestamp() + step.at / 1000
            clock = datetime.fromtimestamp(at, START.tzinfo).strftime("%H:%M:%S.%f")[:-3]
            fault = "" if step.fault is PASS else f"  ** {step.fault} **"
            yield f"{clock}  {step.process:<30}  {step.what}{fault}  {_details(step, run)}".rstrip()
    yield ""
    for violation in run.violations:
        yield f"BROKEN  {violation}"


def _matters(step: Step) -> bool:
    if step.fault is not PASS or step.what in LOUD or "." not in step.what:
        return True
    return not step.what.startswith(QUIET)


def _details(step: Step, run: Run) -> str:
    told = [_told(argument, run) for argument in step.arguments]
    if step.answer is not None and step.what not in ("ledger.record_decision",):
        told.append(f"-> {_told(step.answer, run)}")
    return "  ".join(part for part in told if part)


def _told(value: Any, run: Run) -> str:
    """A value in a few words; an order by its label."""
    label = run.world.label
    for kind, tell in TELLING.items():
        if isinstance(value, kind):
            return tell(value, label)
    return str(value)


Label = Callable[[str], str]


def _change(change: Change, label: Label) -> str:
    event = change.event
    moved = f"{event.from_state} -> {event.to_state}" if event.from_state != event.to_state else str(event.to_state)
    return f"{label(change.order.order_id)}: {moved} ({event.cause})"


def _request(request: OrderRequest, label: Label) -> str:
    fence = f", fence {request.fence_at:%H:%M:%S}" if request.fence_at else ""
    price = f" at {request.limit_price}" if request.limit_price else ""
    return f"{label(request.client_order_id)}: {request.side} {request.quantity} {request.symbol}{price}{fence}"


def _decision(record: DecisionRecord, _: Label) -> str:
    held = record.held
    return f"holds: {held.reason}" if held else ", ".join(leg.kind for leg in record.trade_legs)


def _record(value: Record, _: Label) -> str:
    names = ("result", "clean", "reason", "version")
    return " ".join(f"{name}={getattr(value, name)}" for name in names if hasattr(value, name))


TELLING: dict[type, Callable[[Any, Label], str]] = {
    Change: _change,
    Order: lambda order, label: f"{label(order.order_id)} ({order.state})",
    OrderRequest: _request,
    Outcome: lambda outcome, _: f"{outcome.kind} ({outcome.code})",
    VenueOrder: lambda seen, _: (
        f"{seen.venue_order_id} {seen.status}, {seen.filled_quantity} of {seen.quantity} filled"
    ),
    DecisionRecord: _decision,
    Flow: lambda flow, _: f"{flow.kind} {flow.flow_id}: {flow.amounts}",
    Incident: lambda incident, _: f"{incident.incident_id}: expected {incident.expected}, actual {incident.actual}",
    SwitchReading: lambda reading, _: str(reading.level),
    Tick: lambda tick, _: f"{tick.strategy} {tick.scheduled_time:%H:%M}",
    Record: _record,
    tuple: lambda values, _: f"{len(values)} of them" if values else "",
    Exception: lambda error, _: f"{type(error).__name__}: {error}",
    datetime: lambda at, _: f"{at:%H:%M:%S}",
    str: lambda text, label: label(text) if len(text) == ORDER_ID_LENGTH else text,
}


def _whole(value: Any) -> str:
    match value:
        case Record():
            return value.model_dump_json()
        case dict():
            return f"{{{', '.join(f'{_whole(key)}: {_whole(part)}' for key, part in value.items())}}}"
        case tuple() | list():
            return f"[{', '.join(_whole(part) for part in value)}]"
        case datetime():
            return iso(value)
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case _ if callable(value):
            return "a function"
    return str(value)
