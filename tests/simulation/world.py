"""The world in a box: the real workflows between simulated stores, queues, schedules, people and a venue.

A run is described by its seed, its profile class and, where given, the choices that are kept. Nothing here judges.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from belay.adapters.memory.drawers import Drawer
from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch
from belay.adapters.records import order_position
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.orders import Order
from belay.domain.slots import Tick
from belay.ports import Services
from belay.workflows.evaluate import evaluate
from belay.workflows.execute import execute
from belay.workflows.reconcile import reconcile
from tests.builders import ACCOUNT, STAGE, make_document, make_limits, make_tick
from tests.rights import Restricted
from tests.simulation.beside import Beside
from tests.simulation.choices import Choices
from tests.simulation.faults import THEMES
from tests.simulation.people import People
from tests.simulation.processes import Effect, Process
from tests.simulation.queues import Finished, SimulatedQueue
from tests.simulation.scheduler import START, Port, Scheduler
from tests.simulation.strategy import Scripted
from tests.simulation.venue import PROFILES as PROFILES
from tests.simulation.venue import Connection, TrueVenue

SYMBOLS = {"alpha": "BTC/USD", "beta": "ETH/USD"}
TIMEOUT_SECONDS = {"evaluator": 60, "executor": 30, "reconciler": 60, "operator": 300}
SLOTS = (4, 3, 5, 6)
# After the last tick the world goes on being hostile for this long.
AFTERMATH_SECONDS = 100
LIMITS = make_limits(
    max_order_notional="1000",
    max_position_notional={"BTC/USD": "2000", "ETH/USD": "2000"},
    max_aggregate_exposure="3000",
    submissions_per_minute=6,
    reserved_exit_submissions=2,
    max_reconciliation_age_seconds=150,
)
# When each tick of a slot arrives, in seconds after its scheduled time; none is a missing tick.
TICKS = ((0.3,), (-2.0,), (30.0,), (200.0,), (400.0,), (0.3, 0.3), (0.3, 45.0), ())
TICK_WEIGHTS = (30, 1, 2, 1, 1, 3, 2, 2)
# From which minute on the machines' clocks are how many seconds off.
DRIFTS = ((0, 0), (0, 3), (0, -3), (2, 30), (3, -30), (3, 600))
DRIFT_WEIGHTS = (20, 2, 2, 2, 2, 2)
RECONCILERS = ((0.0,), (), (0.0, 0.0), (20.0,), (0.0, 0.03), (-24.5, -18.5, 0.0))
RECONCILER_WEIGHTS = (20, 3, 2, 2, 2, 2)
# Where sends go astray, clocks drift and reconciliations hurry more often.
ASTRAY_DRIFT_WEIGHTS, ASTRAY_RECONCILER_WEIGHTS = (6, 1, 1, 3, 1, 3), (6, 1, 1, 1, 1, 6)
OUTAGES = ((0, 0), (5, 30), (20, 90), (50, 240), (30, 3 * 3600))
OUTAGE_WEIGHTS = (30, 2, 2, 2, 0.5)
# Rounds of calm, in seconds, until nothing changes any more.
REST = (*[60] * 6, *[300] * 4, *[700] * 4)
# After the last thing beside Belay: two looks, a lag apart.
QUIET_MS = 150_000
# How often people look at what still stands.
WAYS_BACK = 5


class SimulatedLedger(InMemoryLedger):
    """The ledger, remembering what its index of open orders showed before the last write."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier: dict[str, str] = {}

    def _keep(self, order: Order) -> None:
        self._earlier = dict(self._open_orders[order.account]._bodies)
        super()._keep(order)

    def earlier_open_orders(self) -> tuple[Order, ...]:
        drawer = Drawer[str, Order](Order)
        drawer._bodies = self._earlier
        return drawer.all(order_position)


@dataclass(frozen=True)
class LocalClock:
    """A machine's own clock, which may be wrong."""

    world: "World"
    process: Process

    def now(self) -> datetime:
        return self.world.scheduler.local(self.process)

    def sleep(self, seconds: float) -> None:
        raise AssertionError("only an effect sleeps")


class SleepingClock:
    """The account's clock of one process: reading it is an effect, sleeping lets the others run."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world, self._process, self._clock = world, process, LocalClock(world, process)

    def now(self) -> datetime:
        at: datetime = self._world.scheduler.call(self._process, Effect("clock.now", (), self._clock.now))
        return at

    def sleep(self, seconds: float) -> None:
        effect = Effect("clock.sleep", (seconds,), lambda: None, int(seconds * 1000))
        self._world.scheduler.call(self._process, effect)


@dataclass(frozen=True)
class Connections:
    """Implements `ports.Venues` for one process."""

    world: "World"
    process: Process

    def clock(self, _document: AccountDocument) -> SleepingClock:
        return SleepingClock(self.world, self.process)

    def market_data(self, _document: AccountDocument) -> Any:
        return Port(self.world.scheduler, self.process, "market", Connection(self.world.venue))

    def venue(self, _document: AccountDocument) -> Any:
        return Port(self.world.scheduler, self.process, "venue", Connection(self.world.venue))


class World:
    """One account at one venue, two strategies that follow a script, and everything that may go wrong."""

    def __init__(self, seed: int, profile: str, kept: Mapping[str, int] | None = None) -> None:
        self.choices = Choices(seed, kept)
        self.scheduler = Scheduler(self.choices)
        self.labels: dict[str, str] = {}
        self.ledger = SimulatedLedger()
        self.switch = InMemoryKillSwitch()
        self.alerts = InMemoryAlerts()
        self.queue = SimulatedQueue(self.scheduler, self.label)
        self.venue = TrueVenue(PROFILES[profile], self.scheduler, self.label)
        self.beside = Beside(self.venue, self.scheduler)
        self.people = People(self)
        self.strategy = Scripted(self.choices)
        self.layer = 1
        self.last_tick = START
        # Since when it has been calm.
        self.rested_ms = 0
        self.document = make_document(symbols=tuple(SYMBOLS.values()), limits=LIMITS)
        self.scheduler.stale = self._stale
        self.queue.execute, self.queue.reconcile, self.queue.evaluate = self.execute, self.reconcile, self.evaluate
        self.ledger.store_configuration(
            Configuration(version=1, document=self.document, author="operator", stored_at=START)
        )
        self.switch.write(StopLevel.RUNNING, "first start", "operator", START)

    # --- names for people ---

    def label(self, order_id: str) -> str:
        """Which order this is, such as `alpha 12:01 leg 0`."""
        if order_id not in self.labels:
            self._label_all()
        return self.labels.get(order_id, order_id[:8])

    def _label_all(self) -> None:
        for strategy in SYMBOLS:
            for record in self.ledger.decisions(ACCOUNT, strategy, 100):
                for number, order_id in enumerate(record.order_ids):
                    if order_id is not None:
                        self.labels[order_id] = f"{strategy} {record.slot.candle_close:%H:%M} leg {number}"

    # --- wiring ---

    def services_of(self, process: Process) -> Services:
        port = partial(Port, self.scheduler, process)
        return Services(
            stage=STAGE,
            layer_version=process.layer_version,
            ledger=port("ledger", Restricted(self.ledger, process.function)),
            venues=Connections(self, process),
            kill_switch=port("switch", self.switch),
            queue=port("queue", self.queue),
            alerts=port("alerts", self.alerts),
            gather=partial(self._gather, process),
            clock=LocalClock(self, process),
            new_id=self.scheduler.new_id,
        )

    def _gather(self, process: Process, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Run the calls one at a time, in an order that is chosen."""
        waiting, found = list(calls), {}
        while waiting:
            key = f"{process.name}/{process.effects}/gather"
            name = waiting.pop(self.choices.pick(key, [4] + [1] * (len(waiting) - 1)))
            found[name] = calls[name]()
        return {name: found[name] for name in calls}

    def _stale(self, effect: Effect) -> Any:
        return self.ledger.earlier_open_orders()

    def start(self, what: str, function: str, finished: Finished, work: Callable[[Process, Services], Any]) -> None:
        def body(process: Process) -> Any:
            return work(process, self.services_of(process))

        layer = f"layer:{self.layer}"
        self.scheduler.start(what, function, TIMEOUT_SECONDS[function], body, finished, layer)

    # --- functions ---

    def evaluate(self, tick: Tick, finished: Finished) -> None:
        """Evaluate a tick; the schedule's last one over, nobody asks for more."""
        if tick.scheduled_time > self.last_tick:
            return finished(True)

        def work(process: Process, services: Services) -> Any:
            process.notes["slot"] = tick.scheduled_time.replace(second=0, microsecond=0) - timedelta(minutes=1)
            return evaluate(tick, services, self._load)

        self.start(f"evaluator {tick.strategy} {tick.scheduled_time:%H:%M}", "evaluator", finished, work)
        return None

    def _load(self, _algorithm: str) -> Any:
        return self.strategy

    def execute(self, order_id: str, finished: Finished) -> None:
        def work(process: Process, services: Services) -> Any:
            return execute(order_id, services, partial(self._remaining, process, process.offset_ms))

        self.start(f"executor {self.label(order_id)}", "executor", finished, work)

    def reconcile(self, account: str, finished: Finished) -> None:
        def work(process: Process, services: Services) -> Any:
            remaining = partial(self._remaining, process, process.offset_ms)
            return reconcile(account, services, remaining)

        self.start(f"reconciler {self.scheduler.now:%H:%M}", "reconciler", finished, work)

    def _remaining(self, process: Process, began_with: int) -> float:
        """The seconds that an invocation has left, by its own clock."""
        shown = self.scheduler.now_ms + process.offset_ms - began_with
        return (process.deadline - shown) / 1000

    # --- one run ---

    def run(self) -> None:
        """A few minutes of trading while anything may go wrong, then calm until nothing changes."""
        slots = SLOTS[self.choices.pick("slots", (6, 2, 2, 1))]
        self._schedule_drift()
        self._schedule_ticks(slots)
        end = slots * 60 + AFTERMATH_SECONDS + self._schedule_outage()
        self._schedule_reconcilers(end)
        self.people.schedule(slots)
        self.beside.schedule(slots)
        self.scheduler.run_until(end * 1000)
        self.choices.end()
        self.venue.reachable = True
        self.venue.calm()
        self.queue.redrive()
        self.rest()

    @property
    def _astray(self) -> bool:
        return "venue.submit" in THEMES[self.scheduler.theme]

    def _schedule_ticks(self, slots: int) -> None:
        for number in range(1, slots + 1):
            scheduled = self.last_tick = START + timedelta(minutes=number)
            for strategy, symbol in SYMBOLS.items():
                tick = make_tick(
                    scheduled_time=scheduled,
                    strategy=strategy,
                    symbol=symbol,
                    timeframe="1m",
                    parameters={"fee": "0.001", "slippage": "0.0005"},
                )
                for at in TICKS[self.choices.pick(f"tick/{strategy}/{number}", TICK_WEIGHTS)]:
                    send = partial(self.queue.tick, tick)
                    self.scheduler.at(int((number * 60 + at) * 1000), send)

    def _schedule_drift(self) -> None:
        """All machines' clocks may drift away from the venue's, within the bound on it and beyond."""
        minute, seconds = DRIFTS[self.choices.pick("drift", ASTRAY_DRIFT_WEIGHTS if self._astray else DRIFT_WEIGHTS)]
        if seconds:
            self.scheduler.tell("clocks", f"will be {seconds} s off the venue's from minute {minute} on")
            self.scheduler.at(minute * 60_000 + 4_000, partial(setattr, self.scheduler, "drift_ms", seconds * 1000))

    def _schedule_outage(self) -> int:
        """The venue may be unreachable, for minutes or hours. Returns by how much the run becomes longer."""
        begins, lasts = OUTAGES[self.choices.pick("outage", OUTAGE_WEIGHTS)]
        if lasts:
            self.scheduler.at((60 + begins) * 1000, partial(self._reach, False))
            self.scheduler.at((60 + begins + lasts) * 1000, partial(self._reach, True))
        return lasts if lasts > 600 else 0

    def _reach(self, reachable: bool) -> None:
        self.venue.reachable = reachable
        self.scheduler.tell("venue", "can be reached again" if reachable else "can no longer be reached")

    def _schedule_reconcilers(self, end: int) -> None:
        """Every minute; seldom through a long outage, whose hours are all alike."""
        self.scheduler.at(2_000, lambda: self.reconcile(ACCOUNT, lambda _: None))
        weights = ASTRAY_RECONCILER_WEIGHTS if self._astray else RECONCILER_WEIGHTS
        minutes = [m for m in range(end // 60 + 1) if m < 15 or m % 20 == 0 or end // 60 - m < 5]
        for minute in minutes:
            for delay in RECONCILERS[self.choices.pick(f"reconcilers/{minute}", weights)]:
                at = int((minute * 60 + 30 + delay) * 1000)
                self.scheduler.at(at, lambda: self.reconcile(ACCOUNT, lambda _: None))

    def rest(self) -> None:
        """No more faults, a venue that answers, schedules that fire: until two rounds in a row change nothing."""
        self.rested_ms, before = self.scheduler.now_ms, ""
        for seconds in REST:
            self.scheduler.after(1_000, lambda: self.reconcile(ACCOUNT, lambda _: None))
            self.scheduler.run_until(self.scheduler.now_ms + seconds * 1000)
            state = self.state()
            quiet = self.scheduler.now_ms >= self.beside.until_ms + QUIET_MS
            if (
                quiet
                and state == before
                and not self.queue.waiting
                and not self.scheduler.alive
                and self._nothing_expected()
            ):
                break
            before = state

    def lead_back(self) -> None:
        """People deal with what stands until nothing of it does, or they have tried often enough."""
        for _ in range(WAYS_BACK):
            if not self.people.asked_back():
                break
            self.people.lead_back()
            self.rest()

    def _nothing_expected(self) -> bool:
        """Each order is settled, at work at the venue, or unknown with a person asked."""
        at_work = {o.request.client_order_id for o in self.venue.orders if o.closed_ms is None}
        at_work |= {o.order_id for o in self.ledger.orders(ACCOUNT, 1000) if o.symbol in self.venue.unavailable}
        asked = {i.subject for i in self.ledger.incidents(ACCOUNT) if i.status == "open"}
        return all(
            order.settled or (order.order_id in at_work and order.venue_order_ids) or order.order_id in asked
            for order in self.ledger.orders(ACCOUNT, 1000)
        )

    def state(self) -> str:
        """What may still change, in short."""
        orders = [(order.order_id, order.version) for order in self.ledger.orders(ACCOUNT, 1000)]
        incidents = [(i.incident_id, i.status) for i in self.ledger.incidents(ACCOUNT)]
        suspicion, proof = self.ledger.suspicion(ACCOUNT), self.ledger.last_proof(ACCOUNT)
        uncovered = proof.uncovered if proof else None
        return f"{orders} {self.ledger.account(ACCOUNT).version} {incidents} {suspicion} {uncovered}"
