"""A small demo without the emulator: the scheduled strategies, the real workflows and the faulty paper venue in memory.

Leaves what a run of the demo leaves: every record as the item that a table would hold, and the summary of them.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from belay.adapters.aws import items as stored
from belay.adapters.aws.ledger import Tables
from belay.adapters.aws.table import STANDING, Item
from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import ManualClock
from belay.adapters.paper.candle_files import generated_candles
from belay.adapters.paper.clock import set_replay_clock
from belay.adapters.paper.faults import FaultyPaperVenue
from belay.adapters.paper.store import InMemoryPaperStore, PaperStore
from belay.adapters.paper.venue import Feed, PaperVenue
from belay.cli.documents import example_document
from belay.demo.summary import summarise
from belay.domain.documents import AccountDocument
from belay.domain.flows import FlowKind
from belay.domain.proofs import fingerprint
from belay.domain.record import iso
from belay.domain.slots import Tick
from belay.local.programs import ROOT
from belay.ports import Services
from belay.replay.pace import LAST_RECONCILIATIONS, MOST_STEPS, STEP, needs_time
from tests.builders import NOW
from tests.scheduled import own_schedules
from tests.world import Crash, World

type Row = dict[str, str]
type Moves = Mapping[FlowKind, Mapping[str, str]]

WARM_UP, CRASHES = 60, 4
LAYER = "layer:1"
# The machines' clock, far from the market's.
WALL = datetime(2031, 1, 1, tzinfo=UTC)
CALL = timedelta(milliseconds=7)
VISIBILITY_SECONDS = 20


class WorkingClock(ManualClock):
    """A machine's clock: whoever looks at it has worked for a moment."""

    def now(self) -> datetime:
        self.sleep(CALL.total_seconds())
        return super().now()


class CrashingVenue(FaultyPaperVenue):
    """Ends the invocation where the real one ends its process."""

    def __init__(self, document: AccountDocument, store: PaperStore, feed: Feed, **named: Any) -> None:
        super().__init__(document, store, feed, **named, end_process=_crash)


def _crash(status: int) -> None:
    raise Crash(f"exit status {status}")


class Demo(World):
    """A world in which the project's own schedules trade a generated market, slot by slot.

    `instances`: how many there are of each, under names of their own. `moves`: what comes to the account or leaves it,
    without a trade, before the slot of that number.
    """

    def __init__(
        self, hours: int, seed: int, *, chaos: bool = True, instances: int = 1, moves: Mapping[int, Moves] | None = None
    ) -> None:
        self.candles = generated_candles(seed, WARM_UP + hours, "1h", NOW - timedelta(hours=WARM_UP))
        document = _document({"seed": seed, "crashes": CRASHES} if chaos else None)
        super().__init__(venue_type=CrashingVenue if chaos else PaperVenue, document=document, candles=self.candles)
        self.slots = self.candles[WARM_UP:]
        self.wall = WorkingClock(WALL)
        self.load = _strategies()
        self.ticks = [
            {**schedule.event, "strategy": f"{schedule.strategy}{f'-{number}' if number else ''}"}
            for number in range(instances)
            for schedule in own_schedules(ROOT / "template.yaml")
        ]
        self.evaluations: list[dict[str, Any]] = []
        self.moves = moves or {}

    def services(self, layer_version: str = LAYER, function: str = "reconciler") -> Services:
        return super().services(layer_version, function)

    def trade(self) -> None:
        """Live through every slot as `belay.demo.replaying` does, and let everything settle."""
        self.reconcile()
        for number, candle in enumerate(self.slots):
            closed = candle.open_time + timedelta(hours=1)
            self._move_on(closed)
            for kind, amounts in self.moves.get(number, {}).items():
                self.move(kind, recorded=True, **amounts)
            self._settle()
            for tick in self.ticks:
                self._tick({"scheduled_time": iso(closed), **tick})
            self._work_off()
            self._settle()
        for _ in range(LAST_RECONCILIATIONS):
            self._move_on(self.now + STEP)
            self._settle()

    def _tick(self, request: dict[str, Any]) -> None:
        record = self.evaluate(Tick.parse(request))
        order_ids = [order_id for order_id in record.order_ids if order_id]
        response = {"decision_id": record.decision_id, "kind": record.decision.kind, "order_ids": order_ids}
        self.evaluations.append({"request": request, "response": response})

    def _move_on(self, at: datetime) -> None:
        set_replay_clock(self.store, self.document, at)
        self.wall.sleep(0.4)
        self.reconcile()
        self._work_off()

    def _settle(self) -> None:
        for _ in range(MOST_STEPS):
            if not any(map(needs_time, self.ledger.open_orders(self.document.account))):
                return
            self._move_on(self.now + STEP)

    def _work_off(self) -> None:
        """Every message until none is left; one whose function ended comes back after the visibility timeout."""
        while self.queue.intents or self.queue.ticks:
            with suppress(Crash):
                self.deliver()
                continue
            self.wall.sleep(VISIBILITY_SECONDS)


def _document(faults: dict[str, int] | None) -> AccountDocument:
    """The example account as the demo changes it."""
    example = json.loads(example_document())
    del example["paper"]["exchange"]
    example["paper"] |= {"replay": True, "faults": faults, "fee_asset": "received"}
    return AccountDocument.parse(json.dumps(example))


def _strategies() -> Callable[[str], Any]:
    """The evaluator's own strategies, found where it finds them."""
    if (package := str(ROOT / "functions" / "evaluator")) not in sys.path:
        sys.path.insert(0, package)
    from strategies import load

    return load


# --- rows ------------------------------------------------------------------------------------------


def write_demo(folder: Path, hours: int, seed: int = 7, **options: Any) -> Path:
    """Trade so many hours and leave summary.json and rows/*.jsonl in `folder`; returns it."""
    demo = Demo(hours, seed, **options)
    demo.trade()
    rows = folder / "rows"
    rows.mkdir(parents=True)
    for table, items in ledger_rows(demo.ledger, demo.document.account).items():
        write_rows(rows / f"{table}.jsonl", items)
    write_rows(rows / "paper.jsonl", paper_rows(demo.store))
    write_rows(rows / "evaluations.jsonl", demo.evaluations)
    write_summary(folder, seed)
    return folder


def write_summary(folder: Path, seed: int = 7) -> None:
    """The summary of the rows as they are now."""
    summary = summarise(folder / "rows", f"generated, seed {seed}", 1.0, seed=seed)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def write_rows(file: Path, rows: list[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def paper_rows(store: InMemoryPaperStore) -> list[Row]:
    """The venue's books as the items that its table would hold."""
    return [{"pk": pk, "sk": sk, "body": body} for pk, items in store._items.items() for sk, (_, body) in items.items()]


def ledger_rows(ledger: InMemoryLedger, account: str) -> dict[str, list[Row]]:
    """The ledger's records as the items that its tables would hold, by table."""
    tables: dict[str, list[Row]] = {name: [] for name in Tables._fields}
    for table, item in (*_configuration(ledger, account), *_account(ledger, account), *_decided(ledger, account)):
        attributes = {name: str(value) for name, value in item.attributes.items()}
        tables[table].append({"pk": item.pk, "sk": item.sk, "body": item.body, **attributes})
    return tables


type Placed = Iterator[tuple[str, Item]]


def _configuration(ledger: InMemoryLedger, account: str) -> Placed:
    configuration = ledger.configuration(account)
    assert configuration is not None
    yield "configuration", stored.listed(account)
    yield "configuration", stored.configuration(configuration)
    yield "configuration", stored.configuration(configuration, f"CONFIG#v{configuration.version:06}")


def _account(ledger: InMemoryLedger, account: str) -> Placed:
    configuration = ledger.configuration(account)
    assert configuration is not None
    items = [stored.account(ledger.account(account))]
    items += map(stored.incident, ledger.incidents(account))
    if proof := ledger.proof(account, fingerprint(configuration, LAYER, ledger.table_id)):
        items.append(stored.proof(proof))
    if last := ledger.last_proof(account):
        items.append(stored.proof(last, "PROOF"))
    items += map(stored.flow, ledger.flows(account, 100_000))
    if suspicion := ledger.suspicion(account):
        items.append(stored.suspicion(suspicion))
    waiting = ledger._unattributed[account]
    items += [_noted(waiting, key, stored.unattributed(account, waiting[key])) for key in waiting.keys()]  # noqa: SIM118 no dict
    cursors = ledger._cursors
    items += [stored.cursor(account, cursors[key]) for key in cursors.keys()]  # noqa: SIM118 no dict
    items += [stored.anchor(ledger._anchors[key]) for key in ledger._anchors.keys()]  # noqa: SIM118 no dict
    for order in ledger.orders(account, 100_000):
        for venue_order_id in order.venue_order_ids:
            items.append(stored.owner(order, venue_order_id))
    yield from (("accounts", item) for item in items)


def _noted(kept: Any, key: str, item: Item) -> Item:
    """An item of what stands, or stood and was withdrawn."""
    attributes = {n: v for n, v in item.attributes.items() if key in kept.standing or n != STANDING}
    return item._replace(attributes=attributes)


def _decided(ledger: InMemoryLedger, account: str) -> Placed:
    cancels = ledger._cancels[account]
    for order_id in cancels.keys():  # noqa: SIM118 no dict
        yield "ledger", _noted(cancels, order_id, stored.cancel(cancels[order_id]))
    for tick in ledger.schedules(account):
        yield "ledger", stored.schedule(tick)
        for record in ledger.decisions(account, tick.strategy, 100_000):
            yield from (("ledger", item) for item in _story(ledger, record.decision_id))


def _story(ledger: InMemoryLedger, decision_id: str) -> Iterator[Item]:
    story = ledger.story(decision_id)
    assert story is not None
    yield stored.decision(story.decision)
    for order in story.orders:
        yield stored.order(order)
        yield stored.pointer(order)
    orders = {order.order_id: order for order in story.orders}
    for event in story.events:
        writer = ledger._writers[event.order_id, event.sequence]
        yield stored.event(event, orders[event.order_id].model_copy(update={"write_id": writer}))
    yield from map(stored.fill, story.fills)
