"""The chain of an order's story: each record carries the digest of the one before, so that replacing one is evident.

    decision <── event 0 <── event 1 <── fill <── event 2        each arrow: `previous`
                    │           │                    │  ▲
                  order 0     order 1             order 2 ── `head`      `order_digest` of each event
                                                     account: anchor of version 2, the same head and digest

Decision, orders, events and fills lie where the evaluator may write; the anchor lies beside the account, where it may
not, and moves in the transaction that moves the order, only from the very order that the change was computed from. An
order without an anchor is as its decision created it; what a person decided has one from the beginning. Judges what was
read; reads and repairs nothing.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from belay.domain.decisions import DecisionRecord, leg_order_ids
from belay.domain.fills import Fill
from belay.domain.given import as_told
from belay.domain.orders import FEE_CORRECTED, Order, OrderEvent, created_orders
from belay.domain.record import ZERO, Record, Utc

# What a decision says of its order for good; everything else about an order may change, or is its events' to tell.
DECIDED = (
    *("decision_id", "account", "strategy", "symbol", "side", "reducing", "resizable", "quantity", "notional"),
    *("limit_price", "time_in_force", "reason", "market_time", "created_at"),
)


class Anchor(Record):
    """Where an order's story ends, kept beside the account. `order_digest` is that of the order without its head."""

    account: str
    order_id: str
    version: int
    head: str
    order_digest: str

    @classmethod
    def of(cls, order: Order) -> "Anchor":
        return cls(
            account=order.account,
            order_id=order.order_id,
            version=order.version,
            head=order.head,
            order_digest=order.bare_digest,
        )

    @property
    def place(self) -> str:
        """What a change must have been computed from to go on from here."""
        return place(self.version, self.head, self.order_digest)


def place(version: int, head: str, order_digest: str) -> str:
    return f"{version}#{head}#{order_digest}"


class Acceptance(Record):
    """A person's word that the story up to this version and head is taken as it stands, however it came about."""

    anchor: Anchor
    author: str
    reason: str
    at: Utc


class Stored[R: Record](NamedTuple):
    """A record as it was read, with the digest of the text that is stored (for an order: without its head)."""

    record: R
    digest: str


class History(NamedTuple):
    """Everything stored about one order, events by sequence. None stands for what is not there.

    `later`: a part that is there and that only a later version can read.
    """

    order: Stored[Order] | None
    decision: Stored[DecisionRecord] | None
    events: tuple[Stored[OrderEvent], ...]
    fills: tuple[Stored[Fill], ...]
    anchor: Anchor | None
    acceptance: Acceptance | None
    later: str = ""


class Whole(NamedTuple):
    """A history in which no part is missing; events up to the sequence `accepted` are not judged (-1: all are)."""

    order: Stored[Order]
    decision: Stored[DecisionRecord]
    events: tuple[Stored[OrderEvent], ...]
    fills: tuple[Stored[Fill], ...]
    anchor: Anchor | None
    accepted: int
    accepted_head: str


def of_later(history: History) -> str:
    """The first part of an order's records on which only a later version may act; empty where there is none."""
    parts: tuple[tuple[str, Record | None], ...] = (
        ("the order", history.order and history.order.record),
        ("its decision", history.decision and history.decision.record),
        *((f"its event {event.record.sequence}", event.record) for event in history.events),
        *((f"its fill {fill.record.key}", fill.record) for fill in history.fills),
        ("its anchor", history.anchor),
        ("its acceptance", history.acceptance),
    )
    return history.later or next((name for name, part in parts if part is not None and not part.understood), "")


def flaw(history: History) -> str:
    """The first thing in an order's records that does not hold together; empty where everything does."""
    if history.order is None:
        return "the ledger has no such order"
    if history.decision is None:
        return f"its decision {history.order.record.decision_id} is not in the ledger"
    accepted = (history.acceptance.anchor.version, history.acceptance.anchor.head) if history.acceptance else (-1, "")
    whole = Whole(history.order, history.decision, history.events, history.fills, history.anchor, *accepted)
    return next((found for find in FINDERS if (found := find(whole))), "")


def _not_decided(whole: Whole) -> str:
    """An order is one that its decision names, under the id that follows from the decision, and as its leg asks."""
    order, decision = whole.order.record, whole.decision.record
    if whole.accepted >= 0:
        return ""  # whoever decided it: it was sent, and never will be again
    if order.order_id not in decision.order_ids:
        return "its decision does not name it"
    ids = leg_order_ids(decision.slot, decision.trade_legs)
    if not decision.by_a_person and (decision.decision_id, decision.order_ids) != (decision.slot.decision_id, ids):
        return "the ids of its decision are not those of the decision's slot"
    asked = created_orders(decision, order.expires_at, order.assumed_cost)
    (wanted,) = (created for created in asked if created.order_id == order.order_id)
    names = DECIDED if whole.anchor else tuple(Order.model_fields)
    if order.unknown_fields or any(event.record.unknown_fields for event in whole.events):
        # Its head is that of texts which cannot be made again here; it is compared with what is stored, see _altered.
        names = tuple(name for name in names if name != "head")
    differing = next((name for name in names if getattr(wanted, name) != getattr(order, name)), None)
    return f"its {differing} is not what its decision asked for" if differing else ""


def _incomplete(whole: Whole) -> str:
    version = whole.order.record.version
    found = [event.record.sequence for event in whole.events if event.record.sequence > whole.accepted]
    if found == list(range(whole.accepted + 1, version + 1)):
        return ""
    return f"it is at version {version}, its events are {found}"


def _unlinked(whole: Whole) -> str:
    """Each record goes on from the one before; a fill stands between the event before it and the one that counts it."""
    fills = {fill.digest: fill for fill in whole.fills}
    expected = whole.decision.digest
    for event in whole.events:
        fill = fills.pop(event.record.previous, None)
        before = fill.record.previous if fill else event.record.previous
        if before != expected and event.record.sequence > whole.accepted:
            return f"event {event.record.sequence} does not go on from what is stored before it"
        expected = whole.accepted_head if event.record.sequence == whole.accepted else event.digest
    if fills and whole.accepted < 0:
        return f"fill {next(iter(fills.values())).record.key} is counted by no event"
    return ""


def _altered(whole: Whole) -> str:
    if whole.order.record.version <= whole.accepted:
        return ""
    last, order = whole.events[-1], whole.order
    if (order.record.head, order.digest) != (last.digest, last.record.order_digest):
        return f"it is not as its event {last.record.sequence} left it"
    return ""


def _uncounted(whole: Whole) -> str:
    """An order's sums are those of its fills, fees as they were corrected since, without those that were replaced."""
    order = whole.order.record
    events = [event.record for event in whole.events]
    trades = [as_told(fill.record, events) for fill in whole.fills if fill.record.key not in order.replaced]
    counted = sum((trade.quantity for trade in trades), ZERO)
    paid = sum((trade.notional for trade in trades), ZERO)
    corrected = {
        event.record.detail["trade"]: {asset: Decimal(fee) for asset, fee in event.record.detail["fees"].items()}
        for event in whole.events
        if event.record.cause == FEE_CORRECTED
    }
    fees: dict[str, Decimal] = {}
    for trade in trades:
        for asset, fee in corrected.get(trade.key, trade.fees).items():
            fees[asset] = fees.get(asset, ZERO) + fee
    told = (order.filled_quantity, order.filled_notional, _charged(order.fees))
    if whole.accepted < 0 and (counted, paid, _charged(fees)) != told:
        return f"it says that {order.filled_quantity} filled, its fills add up to {counted}"
    return ""


def _charged(fees: dict[str, Decimal]) -> dict[str, Decimal]:
    return {asset: fee for asset, fee in fees.items() if fee}


def _unanchored(whole: Whole) -> str:
    """The one part that the evaluator cannot write: it exists from the first change after the decision on, and from the
    decision on where a person made it."""
    order, anchor = whole.order.record, whole.anchor
    if anchor is None:
        unknown = f"it is at version {order.version}, and beside the account nothing is known of that"
        return unknown if order.version or whole.decision.record.by_a_person else ""
    if (anchor.version, anchor.head) != (order.version, order.head):
        return f"it is at version {order.version}, beside the account version {anchor.version} of it is known"
    return "" if anchor.order_digest == whole.order.digest else "it is not the order that is known beside the account"


FINDERS: tuple[Callable[[Whole], str], ...] = (
    _not_decided,
    _incomplete,
    _unlinked,
    _altered,
    _uncounted,
    _unanchored,
)
