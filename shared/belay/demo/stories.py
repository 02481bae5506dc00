"""The story of an order as one time line of what the ledger, the venue and the injected faults recorded. Pure.

The ledger's events keep their order. What the venue recorded, and what was done to the request on its way, is put
beside them by the attempt it belongs to and by venue time, since neither knows the functions' clocks.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from belay.adapters.paper.state import ACCEPTED, FaultKind, InjectedFault, PaperOrder, Submission
from belay.demo.exported import Exported
from belay.domain.decisions import DecisionRecord
from belay.domain.fills import Fill
from belay.domain.orders import FEE_CORRECTED, NEVER_SENT, UNRESOLVED, Order, OrderEvent, OrderState
from belay.domain.venues import OutcomeKind
from belay.pages.page import decimal


class Kind(NamedTuple):
    """A kind of fault in words: what it is called, and what it means for whoever sent the order."""

    name: str
    meaning: str


KINDS = {
    FaultKind.ANSWER_LOST: Kind("answer lost", "The venue accepted the order, but its answer never arrived."),
    FaultKind.DELAYED: Kind("delayed", "Nobody answered, and the request reached the venue seconds later."),
    FaultKind.EXPIRED: Kind("expired", "The request reached the venue only after its fence, which refused it."),
    FaultKind.REFUSED: Kind("refused", "The venue answered that it takes no new entries now."),
    FaultKind.DROPPED: Kind("dropped", "The request never arrived, and nobody answered."),
    FaultKind.SERVER_ERROR: Kind("server error", "The venue answered with a 5xx error, which proves nothing."),
    FaultKind.PARTIAL_FILL: Kind("partial fill", "Only a part of the order filled at once."),
    FaultKind.LATE_FILLS: Kind("late fills", "The venue's history showed the trades only seconds later."),
    FaultKind.OUT_OF_ORDER_FILLS: Kind("fills out of order", "A later trade was shown before an earlier one."),
    FaultKind.LAGGING_LOOKUP: Kind("lagging look-up", "For some seconds the venue's look-ups did not show the order."),
    FaultKind.CRASH_BEFORE_SEND: Kind("crash before sending", "The function's process ended just before it sent."),
    FaultKind.CRASH_AFTER_ACCEPT: Kind(
        "crash after accepting", "The venue accepted, and the function's process ended before it heard so."
    ),
}


class Moment(NamedTuple):
    """One line of a story. `source` is who recorded it: ledger, venue or fault; `state` is what the order became.

    `venue_time` and `recorded_at` are the two clocks; None where that clock was not read.
    """

    source: str
    venue_time: datetime | None
    recorded_at: datetime | None
    title: str
    text: str = ""
    state: OrderState | None = None


class Check(NamedTuple):
    """One check of the limits, with a line per limit: name, value, bound, verdict."""

    venue_time: datetime | None
    led_to: str
    lines: list[dict[str, str]]


class OrderStory(NamedTuple):
    order: Order
    moments: list[Moment]
    checks: list[Check]
    faults: list[InjectedFault]
    fills: list[Fill]
    submissions: list[Submission]
    venue_orders: list[PaperOrder]

    @property
    def verdict(self) -> str:
        """Was it submitted exactly once? Answered by the venue's own books."""
        if len(self.venue_orders) > 1:
            return f"No: the venue holds {len(self.venue_orders)} orders for it."
        if self.venue_orders:
            return "Yes: the venue holds one order under this order id."
        if self.order.state in UNRESOLVED:
            return "Unknown: the outcome is not proven, so nothing is sent again."
        if self.order.state in NEVER_SENT:
            return "It was never sent."
        return "It was sent, and the venue's books hold no order for it."


class Story(NamedTuple):
    decision: DecisionRecord
    orders: list[OrderStory]

    @property
    def kinds(self) -> list[FaultKind]:
        """The kinds of faults that its orders met, in the order of `KINDS`."""
        met = {fault.kind for order in self.orders for fault in order.faults}
        return [kind for kind in KINDS if kind in met]

    @property
    def fault_names(self) -> list[str]:
        return [KINDS[kind].name for kind in self.kinds]

    @property
    def length(self) -> int:
        return sum(len(order.moments) for order in self.orders)


def stories(run: Exported) -> list[Story]:
    """Every decision that asked for an order, in time order."""
    return [story_of(run, decision) for decision in run.decisions if any(decision.order_ids)]


def story_of(run: Exported, decision: DecisionRecord) -> Story:
    orders = [run.orders[order_id] for order_id in decision.order_ids if order_id in run.orders]
    return Story(decision, [_order_story(run, order) for order in orders])


def most_telling(told: Iterable[Story]) -> Story | None:
    """Of the decisions that met a fault and filled, the one with the longest story; else the longest there is."""

    def weight(story: Story) -> tuple[bool, bool, int]:
        return (bool(story.kinds), any(order.fills for order in story.orders), story.length)

    return max(told, key=weight, default=None)


def _order_story(run: Exported, order: Order) -> OrderStory:
    events, faults = run.events[order.order_id], run.faults[order.order_id]
    submissions = run.submissions[order.order_id]
    # Of the same second: first what the venue did, then what was done to its answer, then to its fills.
    beside = [(submission.request.claimed_at, _submission(submission)) for submission in submissions]
    beside += [(fault.claimed_at, _fault(fault)) for fault in faults]
    beside.sort(key=lambda attempt: attempt[1].venue_time or attempt[0])
    return OrderStory(
        order=order,
        moments=_merged(order, events, beside),
        checks=[_check(event) for event in events if "limits" in event.detail],
        faults=faults,
        fills=run.fills_of(order.order_id),
        submissions=submissions,
        venue_orders=run.venue_orders[order.order_id],
    )


# --- one time line --------------------------------------------------------------------------------


def _merged(order: Order, events: list[OrderEvent], beside: list[tuple[datetime, Moment]]) -> list[Moment]:
    """The ledger's events, and after each claim what else is known of its attempt, by venue time."""
    told: list[Moment] = []
    waiting: list[Moment] = []
    for event in events:
        told += _taken(waiting, lambda moment, event=event: _before(moment, event))  # type: ignore[misc]
        told.append(_moment(order, event))
        if event.cause == "claimed":
            claimed_at = datetime.fromisoformat(event.detail["request"]["claimed_at"])
            waiting += [moment for claimed, moment in beside if claimed == claimed_at]
    return told + waiting


def _before(moment: Moment, event: OrderEvent) -> bool:
    """Whether something beside the ledger came before its next event. In the same second it did."""
    now = event.exchange_time
    return moment.venue_time is None or now is None or moment.venue_time <= now


def _taken(waiting: list[Moment], wanted: Callable[[Moment], bool]) -> list[Moment]:
    found = [moment for moment in waiting if wanted(moment)]
    waiting[:] = [moment for moment in waiting if not wanted(moment)]
    return found


def _fault(fault: InjectedFault) -> Moment:
    return Moment("fault", fault.at, None, f"Fault: {KINDS[fault.kind].name}", fault.detail)


def _submission(submission: Submission) -> Moment:
    if submission.code == ACCEPTED and submission.venue_order is not None:
        text = f"venue order {submission.venue_order.venue_order_id}"
        return Moment("venue", submission.received_at, None, "The venue accepts the request", text)
    return Moment("venue", submission.received_at, None, "The venue refuses the request", submission.code)


# --- the ledger's events in words -----------------------------------------------------------------

OUTCOMES = {
    OutcomeKind.ACCEPTED: "The venue's answer: accepted",
    OutcomeKind.REJECTED: "The venue's answer: rejected",
    OutcomeKind.NOT_SENT: "Not sent",
    OutcomeKind.UNKNOWN: "No proof of what became of it: unknown",
    OutcomeKind.CONFIGURATION: "The venue refuses this account as configured",
}


def _moment(order: Order, event: OrderEvent) -> Moment:
    title, text = _words(order, event)
    moved = event.to_state if event.to_state is not event.from_state or event.sequence == 0 else None
    return Moment("ledger", event.exchange_time, event.recorded_at, title, text, moved)


def _words(order: Order, event: OrderEvent) -> tuple[str, str]:
    """An event's title and text. A cause without words of its own stands for itself."""
    if event.cause in WORDS:
        return WORDS[event.cause](order, event)
    if "outcome" in event.detail:
        code, detail = event.detail["code"], event.detail["detail"]
        return OUTCOMES[OutcomeKind(event.detail["outcome"])], f"{code} {detail}".strip()
    head, colon, tail = event.cause.partition(": ")
    if colon and head in HEADS:
        return HEADS[head], tail
    if event.cause.endswith("confirmed"):
        return "Settled", f"{event.cause}; nothing more is expected"
    return event.cause[:1].upper() + event.cause[1:], ""


def _claimed(_order: Order, event: OrderEvent) -> tuple[str, str]:
    request = event.detail["request"]
    price = f"limit {decimal(request['limit_price'])}" if request["limit_price"] else "market"
    fence = f"; the venue refuses it after {request['fence_at'][11:19]}" if request["fence_at"] else ""
    checked = f"{len(event.detail['limits'])} limits checked"
    asked = f"{request['side']} {decimal(request['quantity'])} {request['symbol']} at {price}"
    return "Claimed: the right to send, once", f"{checked}; {asked}{fence}"


def _filled(_order: Order, event: OrderEvent) -> tuple[str, str]:
    trade = event.detail["trade"]
    fees = ", ".join(f"{decimal(fee)} {asset}" for asset, fee in trade["fees"].items()) or "none"
    traded = f"traded {trade['at'][11:19]} as {trade['trade_id']}, fee {fees}"
    return f"Fill counted: {decimal(trade['quantity'])} at {decimal(trade['price'])}", traded


def _fee_corrected(_order: Order, event: OrderEvent) -> tuple[str, str]:
    fees = ", ".join(f"{decimal(fee)} {asset}" for asset, fee in event.detail["fees"].items()) or "none"
    return "Fee corrected, as the venue's ledger tells it", fees


def _seen(_order: Order, event: OrderEvent) -> tuple[str, str]:
    seen = event.detail["venue_order"]
    filled = f"{decimal(seen['filled_quantity'])} of {decimal(seen['quantity'])} filled"
    return "Seen at the venue under its order id", f"venue order {seen['venue_order_id']}, {seen['status']}, {filled}"


def _missed(_order: Order, event: OrderEvent) -> tuple[str, str]:
    count = len(event.detail["not_found_at"])
    return "Looked up, not found", f"after fence and grace; {count} of the 2 misses that prove absence"


def _absent(_order: Order, event: OrderEvent) -> tuple[str, str]:
    times = " and ".join(at[11:19] for at in event.detail["not_found_at"])
    return "Absence proven: it never became an order", f"not found at {times}, and nothing else moved"


def _says(title: str, text: str = "") -> Callable[[Order, OrderEvent], tuple[str, str]]:
    return lambda _order, _event: (title, text)


WORDS: Mapping[str, Callable[[Order, OrderEvent], tuple[str, str]]] = {
    "decided": lambda order, _: ("Decided", order.reason),
    "claimed": _claimed,
    "filled": _filled,
    FEE_CORRECTED: _fee_corrected,
    "seen at venue": _seen,
    "not found": _missed,
    "absence proven": _absent,
    "no answer": _says("No answer was stored: unknown", "nothing is guessed, and nothing is sent again"),
    "published again": _says("Published again", "the reconciler hands it to the executor once more"),
    "absence confirmed, may be sent again": _says(
        "Absence confirmed", "an exit may be claimed again, under the same id"
    ),
    "settled": _says("Settled", "the fills explain what the venue says; its reservation is given back"),
    "expired before it was claimed": _says("Lapsed", "its time was over before it could be claimed"),
    "refused": lambda _, event: ("Late news refused", event.detail.get("refused", "")),
}
HEADS = {"waiting": "Waits", "denied": "Denied", "cancelled": "Cancelled before it was sent"}


def _check(event: OrderEvent) -> Check:
    moved = event.to_state is not event.from_state
    return Check(event.exchange_time, event.to_state if moved else event.cause, event.detail["limits"])
