"""The ledger against the server's books, order by order, trade by trade and asset by asset. Changes nothing.

It shares no code with the reconciler: whatever that believes, this reads both sides for itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from belay.domain.orders import Order, OrderState
from belay.ports import Ledger
from tests.soak.local import ACCOUNT
from tests.soak.plan import FAULTS

if TYPE_CHECKING:
    from tests.soak.run import Run

ALL = 100_000
S = OrderState
NO_ORDER = frozenset({S.DENIED, S.LAPSED, S.NOT_SENT, S.REJECTED})
# The states that say what the books say of an order that did not fill in whole.
ENDED = {"cancelled": {S.CANCELLED}, "expired": {S.EXPIRED, S.CANCELLED}, "open": {S.ACKNOWLEDGED, S.PARTIALLY_FILLED}}


@dataclass
class Compared:
    """What became of a run. `received` of the orders came to the server, `reached` got into its books.

    `unaccounted` says of each order what is wrong with it; `differences` what else the two sides disagree about.
    """

    venue: str
    intents: int
    each: int
    received: int = 0
    reached: int = 0
    duplicates: int = 0
    unaccounted: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    incidents: list[str] = field(default_factory=list)
    symbols: int = 0
    kills: int = 0
    resolved: int = 0
    dead_letters: int = 0
    settled: bool = False

    @property
    def too_few(self) -> list[str]:
        """The faults that did not come often enough."""
        return [name for name in FAULTS if self.faults.get(name, 0) < self.each]

    @property
    def problems(self) -> list[str]:
        checks = (
            (self.duplicates, f"{self.duplicates} orders more than once at the venue"),
            (self.unaccounted, f"{len(self.unaccounted)} orders unaccounted for: {'; '.join(self.unaccounted[:5])}"),
            (self.differences, f"ledger and books differ: {'; '.join(self.differences[:5])}"),
            (self.incidents, f"incidents are open: {'; '.join(self.incidents[:5])}"),
            (self.dead_letters, f"{self.dead_letters} messages in the dead-letter queues"),
            (not self.settled, "it did not settle"),
            (self.too_few, f"fewer than {self.each} times: {', '.join(self.too_few)}"),
        )
        return [text for wrong, text in checks if wrong]


def compare(run: "Run", *, settled: bool) -> Compared:
    ledger, truth = run.local.desk.ledger, run.server.truth()
    received = run.received.all()
    orders = {order.order_id: order for order in ledger.orders(ACCOUNT, ALL)}
    books: dict[str, list[dict[str, Any]]] = {}
    for row in truth["orders"]:
        books.setdefault(row["client_order_id"], []).append(row)
    names = {order_id: run.server.client_id(order_id) for order_id in run.placed}
    open_incidents = {
        f"{incident.incident_id} ({incident.expected}; {incident.actual})": incident.subject
        for incident in ledger.incidents(ACCOUNT)
        if incident.status == "open"
    }
    asked_about = set(open_incidents.values())
    unknown = {order_id for order_id, order in orders.items() if order.state is S.UNKNOWN and order_id in asked_about}
    return Compared(
        venue=run.server.venue,
        intents=len(run.plan.asked),
        each=run.plan.each,
        received=sum(name in received for name in names.values()),
        reached=sum(name in books for name in names.values()),
        duplicates=sum(len(rows) > 1 for rows in books.values()),
        unaccounted=[
            f"{order_id} {problem}"
            for order_id, name in names.items()
            if (problem := _wrong(orders.get(order_id), books.get(name, []), order_id in unknown))
        ],
        differences=[
            *_foreign(books, names.values(), orders, names),
            *_trades(ledger, truth),
            *_balances(ledger, truth, run.free_assets()),
        ],
        outcomes=dict(Counter(orders[order_id].state.value for order_id in names if order_id in orders)),
        faults={name: times for name, times in sorted(run.server.dealt().items()) if name in FAULTS},
        incidents=[text for text, subject in open_incidents.items() if subject not in unknown],
        symbols=len({row["symbol"] for row in truth["orders"]}),
        kills=run.kills,
        resolved=run.resolved,
        dead_letters=run.local.dead(),
        settled=settled,
    )


def _wrong(order: Order | None, rows: list[dict[str, Any]], asked_about: bool) -> str:
    """What is wrong with what the ledger says of one order; nothing where it is the books' truth, or openly unknown."""
    if order is None:
        return "is not in the ledger"
    filled = sum((Decimal(row["filled"]) for row in rows), Decimal(0))
    if order.filled_quantity != filled:
        return f"{order.state} filled {order.filled_quantity}, in the books {filled}"
    if order.state is S.UNKNOWN:
        return "" if asked_about else "UNKNOWN without an open incident"
    if not rows:
        return "" if order.state in NO_ORDER else f"{order.state}, and there is no order in the books"
    row = rows[0]
    right = {S.FILLED} if filled >= Decimal(row["quantity"]) else ENDED.get(row["status"], set())
    if {row["venue_order_id"] for row in rows} != set(order.venue_order_ids):
        return f"{order.state} as {order.venue_order_ids}, in the books {[row['venue_order_id'] for row in rows]}"
    return "" if order.state in right else f"{order.state}, in the books {row['status']} with {filled} filled"


def _foreign(books: Mapping[str, Any], names: Iterable[str], orders: Iterable[str], asked: Iterable[str]) -> list[str]:
    """Orders that nobody asked for, on either side."""
    at_venue = [f"order {name} in the books is nobody's" for name in books.keys() - set(names)]
    return at_venue + [f"order {order_id} in the ledger is nobody's" for order_id in set(orders) - set(asked)]


def _trades(ledger: Ledger, truth: Mapping[str, Any]) -> list[str]:
    told: Counter[Any] = Counter(
        (row["symbol"], row["trade_id"], Decimal(row["quantity"]), Decimal(row["price"]), Decimal(row["fee"]))
        for row in truth["trades"]
    )
    counted: Counter[Any] = Counter(
        (fill.trade.symbol, fill.trade.trade_id, fill.trade.quantity, fill.trade.price, sum(fill.trade.fees.values()))
        for fill in ledger.fills(ACCOUNT, ALL)
    )
    return [f"trade {key} {told[key]} times in the books, counted {counted[key]}" for key in told | counted
            if told[key] != counted[key]]  # fmt: skip


def _balances(ledger: Ledger, truth: Mapping[str, Any], held: Mapping[str, Decimal]) -> list[str]:
    really = {asset: Decimal(amount) for asset, amount in truth["balances"].items()}
    expected = ledger.account(ACCOUNT).expected_balances()
    wrong = [
        f"{asset} {expected.get(asset, Decimal(0))}, in the books {really.get(asset, Decimal(0))}"
        for asset in sorted({*really, *expected})
        if really.get(asset, Decimal(0)) != expected.get(asset, Decimal(0))
    ]
    return wrong + [
        f"position {quantity} {asset}, in the books {really.get(asset, Decimal(0))}"
        for asset, quantity in held.items()
        if quantity != really.get(asset, Decimal(0))
    ]
