"""One paper account with everything in memory: the real workflows on a clock, a queue and a venue that a test drives.

Every call that a workflow makes through a port is counted by `Steps`, which can stop the process before or after any
of them, repeat it, fail it or let someone else act first. Nothing here decides what a workflow should do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch, InMemoryQueue, ManualClock, gather_in_order
from belay.adapters.paper.clock import ReplayClock, ReplayFeed, ReplayMarketData, load_candles, set_replay_clock
from belay.adapters.paper.state import ACCEPTED
from belay.adapters.paper.store import InMemoryPaperStore
from belay.adapters.paper.venue import PAPER_PROFILE, PaperVenue
from belay.domain.account import Account, StopLevel
from belay.domain.decisions import DecisionRecord, Hold, Reduce, Side, Trade
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import BelayError, InvalidInput, VenueUnavailable
from belay.domain.fills import Fill
from belay.domain.flows import FlowKind
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.market import Candle
from belay.domain.orders import Order, OrderState
from belay.domain.slots import Slot, Tick
from belay.domain.strategy import State, StrategyParameters
from belay.domain.venues import (
    OrderRequest,
    Outcome,
    OutcomeKind,
    VenueOrder,
    VenueProfile,
    VenueTrade,
)
from belay.ports import Clock, MarketData, Services, SwitchReading, Venue
from belay.workflows.answers import REQUESTS
from belay.workflows.evaluate import LoadStrategy, evaluate
from belay.workflows.execute import Executed, execute
from belay.workflows.reconcile import Reconciled, reconcile
from tests.builders import ACCOUNT, NOW, PRICE, STAGE, SYMBOL, make_buy, make_candles, make_document, make_tick
from tests.rights import Restricted

# The machines' clock is far from the market's, as in every replay: whoever mixes the two is found out.
WALL = datetime(2031, 1, 1, tzinfo=UTC)
HOURS_BEFORE, HOURS_AFTER = 24, 24
COSTS = {"fee": "0.001", "slippage": "0.0005"}


# --- faults: what may happen to one call -----------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here. Not an Exception: no handler of the code under test may survive it."""


Perform = Callable[[], Any]
Fault = Callable[[str, Perform], Any]


def stop_before(call: str, _perform: Perform) -> Any:
    raise Crash(f"before {call}")


def stop_after(call: str, perform: Perform) -> Any:
    perform()
    raise Crash(f"after {call}")


def twice(_call: str, perform: Perform) -> Any:
    perform()
    return perform()


def refuse(call: str, _perform: Perform) -> Any:
    """The call does not get through, and fails as its port fails."""
    return _failed(call)


def changed(change: Any) -> Any:
    """A fault that lets the call through and changes its answer."""

    def fault(_call: str, perform: Perform) -> Any:
        return change(perform())

    return fault


def lose_answer(call: str, perform: Perform) -> Any:
    """The call takes effect, but its answer never arrives."""
    perform()
    return _failed(call)


def instead(answer: Any) -> Fault:
    """Answer without doing anything; an exception is raised."""

    def reply(_call: str, _perform: Perform) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return reply


def meanwhile(act: Callable[[], Any]) -> Fault:
    """Somebody else acts just before the call."""

    def interrupt(_call: str, perform: Perform) -> Any:
        act()
        return perform()

    return interrupt


def afterwards(act: Callable[[], Any]) -> Fault:
    """Somebody else acts after the call took effect, before its caller goes on."""

    def interrupt(_call: str, perform: Perform) -> Any:
        answer = perform()
        act()
        return answer

    return interrupt


class Unreachable(Exception):
    """What an AWS adapter raises when a service gives no answer."""


def _failed(call: str) -> Any:
    """Each port's own way to fail: the switch reads as halted, alerts are not delivered, a submission is unknown."""
    port = call.split(".")[0]
    match port, call:
        case "switch", _:
            return SwitchReading(level=StopLevel.HALTED, reason="the kill switch cannot be read")
        case "alerts", _:
            return False
        case _, "venue.submit":
            return Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")
        case (("venue" | "market" | "clock"), _):
            raise VenueUnavailable(f"{call} gave no answer")
    raise Unreachable(call)


class Steps:
    """Counts the calls through the ports; a fault waits for the n-th call, or for the next one of a name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._at: dict[int, Fault] = {}
        self._next: dict[str, list[Fault | None]] = {}
        self._always: dict[str, Fault] = {}

    def at(self, number: int, fault: Fault) -> None:
        """At the call number `number` from now on, counting from 0."""
        self._at[len(self.calls) + number] = fault

    def next(self, call: str, fault: Fault, skip: int = 0) -> None:
        """At the next call of this name, or after `skip` undisturbed ones."""
        self._next[call] = [*([None] * skip), fault]

    def always(self, call: str, fault: Fault) -> None:
        self._always[call] = fault

    def calm(self) -> None:
        """No fault waits any longer."""
        self._at, self._next, self._always = {}, {}, {}

    def since(self, mark: int, prefix: str = "") -> list[str]:
        return [call for call in self.calls[mark:] if call.startswith(prefix)]

    def take(self, call: str, perform: Perform) -> Any:
        number = len(self.calls)
        self.calls.append(call)
        fault = self._at.pop(number, None)
        if fault is None and self._next.get(call):
            fault = self._next[call].pop(0)
        fault = fault or self._always.get(call)
        return fault(call, perform) if fault else perform()


class Stepping:
    """Stands in for one port: every call of it is one step."""

    def __init__(self, port: str, target: Any, steps: Steps) -> None:
        self._port, self._target, self._steps = port, target, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._steps.take(f"{self._port}.{name}", partial(found, *args, **kwargs))


# --- a venue without a fence, a strategy that says what it is told ---------------------------------------------------


class UnfencedVenue(PaperVenue):
    """A venue that accepts a request however late it comes."""

    profile = PAPER_PROFILE.model_copy(update={"fence": None, "resend": "never"})

    def submit(self, request: OrderRequest) -> Outcome:
        endless = request.model_copy(update={"fence_at": request.claimed_at + timedelta(days=365)})
        return super().submit(endless)


class LaggingVenue(PaperVenue):
    """A venue whose history may be incomplete for a while after an order ended."""

    profile = PAPER_PROFILE.model_copy(update={"history_lag_seconds": 20})


class Scripted:
    """A strategy that says what the test told it to; an exception is raised. `seen` are the states it was given."""

    Parameters = StrategyParameters

    def __init__(self) -> None:
        self.says: Any = Hold(reason="quiet")
        self.seen: list[State[Any]] = []

    def candles_needed(self, _parameters: StrategyParameters) -> int:
        return 3

    def symbols(self, slot: Slot, _parameters: StrategyParameters) -> tuple[str, ...]:
        return (slot.symbol,)

    def decide(self, state: State[Any]) -> Any:
        self.seen.append(state)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


# --- the world -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorldVenues:
    """Implements `ports.Venues` for the one account."""

    world: "World"

    def clock(self, _document: AccountDocument) -> Clock:
        clock: Clock = self.world.stepping("clock", ReplayClock(self.world.store))
        return clock

    def market_data(self, document: AccountDocument) -> MarketData:
        assert document.paper is not None
        replay = ReplayMarketData(self.world.store, document.paper, ReplayClock(self.world.store))
        market_data: MarketData = self.world.stepping("market", replay)
        return market_data

    def venue(self, document: AccountDocument) -> Venue:
        venue: Venue = self.world.stepping("venue", self.world.venue(document))
        return venue


class World:
    """An account, its venue and its market at noon; the gate is closed until `reconcile` has been clean."""

    def __init__(
        self,
        *,
        volume: str = "100",
        venue_type: type[PaperVenue] = PaperVenue,
        document: AccountDocument | None = None,
        candles: Iterable[Candle] | None = None,
    ) -> None:
        self.document = document or make_document()
        self.steps = Steps()
        self.ledger = InMemoryLedger()
        self.store = InMemoryPaperStore(ACCOUNT)
        self.switch = InMemoryKillSwitch()
        self.queue = InMemoryQueue()
        self.alerts = InMemoryAlerts()
        self.wall = ManualClock(WALL)
        self.strategy = Scripted()
        self.load: LoadStrategy = self._scripted
        self._venue_type = venue_type
        self._ids = count(1)
        self.load_candles(candles if candles is not None else flat_candles(volume))
        set_replay_clock(self.store, self.document, NOW)
        self.configure(self.document)
        self.set_switch(StopLevel.RUNNING)

    # --- wiring ---

    def stepping(self, port: str, target: Any) -> Any:
        return Stepping(port, target, self.steps)

    def venue(self, document: AccountDocument | None = None) -> PaperVenue:
        return self._venue_type(
            document or self.document,
            self.store,
            ReplayFeed(self.store),
            new_id=lambda: f"submission-{next(self._ids):06}",
            pause=lambda _seconds: None,
        )

    @property
    def profile(self) -> VenueProfile:
        return self._venue_type.profile

    def services(self, layer_version: str = "layer:1", function: str = "reconciler") -> Services:
        return Services(
            stage=STAGE,
            layer_version=layer_version,
            ledger=self.stepping("ledger", Restricted(self.ledger, function)),
            venues=WorldVenues(self),
            kill_switch=self.stepping("switch", self.switch),
            queue=self.stepping("queue", self.queue),
            alerts=self.stepping("alerts", self.alerts),
            gather=gather_in_order,
            clock=self.wall,
            new_id=lambda: f"id-{next(self._ids):06}",
        )

    # --- what the outside does ---

    def load_candles(self, candles: Iterable[Candle], symbol: str = SYMBOL, timeframe: str = "1h") -> None:
        load_candles(self.store, self.document, symbol, timeframe, tuple(candles))

    def configure(self, document: AccountDocument) -> None:
        before = self.ledger.configuration(ACCOUNT)
        version = before.version + 1 if before else 1
        self.document = document
        self.ledger.store_configuration(
            Configuration(version=version, document=document, author="operator", stored_at=WALL)
        )

    def set_switch(self, level: StopLevel) -> None:
        self.switch.write(level, "as told", "operator", WALL)

    @property
    def now(self) -> datetime:
        at = self.store.replay_time()
        assert at is not None
        return at

    def advance(self, **duration: float) -> None:
        """Let time pass, in the market and for the machines."""
        step = timedelta(**duration)
        set_replay_clock(self.store, self.document, self.now + step)
        self.wall.sleep(step.total_seconds())

    def trade_by_hand(self, side: Side = Side.BUY, quantity: str | Decimal = "0.01", **changes: Any) -> VenueOrder:
        """Somebody trades in this account at the venue itself."""
        request = {
            "client_order_id": f"hand-{next(self._ids)}",
            "symbol": SYMBOL,
            "side": side,
            "quantity": quantity,
            "limit_price": None,
            "time_in_force": "gtc",
            "claimed_at": self.now,
            "fence_at": self.now + timedelta(minutes=1),
        }
        outcome = self.venue().submit(OrderRequest.model_validate({**request, **changes}))
        assert outcome.venue_order is not None, outcome
        return outcome.venue_order

    def move(self, kind: FlowKind = FlowKind.DEPOSIT, *, recorded: bool = True, **amounts: str) -> None:
        """Somebody deposits or (negative) withdraws at the venue, by asset; unrecorded, its records do not tell."""
        self.venue().move(kind, recorded=recorded, **amounts)

    # --- what the functions do ---

    def tick(self, at: datetime | None = None, **changes: Any) -> DecisionRecord:
        """The schedule fires, at `at` or now."""
        return self.evaluate(self.make_tick(at, **changes))

    def make_tick(self, at: datetime | None = None, **changes: Any) -> Tick:
        return make_tick(**{"scheduled_time": at or self.now, "parameters": COSTS, **changes})

    def evaluate(self, tick: Tick) -> DecisionRecord:
        return evaluate(tick, self.services(function="evaluator"), self.load)

    def _scripted(self, algorithm: str) -> Any:
        if algorithm != "ema_cross":
            raise InvalidInput("tick.algorithm", f"no strategy is called {algorithm}", "Use one of: ema_cross.")
        return self.strategy

    def execute(self, order_id: str, remaining: float = 30.0) -> Executed:
        return execute(order_id, self.services(function="executor"), lambda: remaining)

    def reconcile(self, layer_version: str = "layer:1") -> Reconciled:
        return reconcile(ACCOUNT, self.services(layer_version))

    def ask(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the reconciler answers to a person's request."""
        (name,) = REQUESTS.keys() & event.keys()
        return REQUESTS[name](event, self.services())

    # --- whole stories ---

    def open_gate(self) -> None:
        assert self.reconcile().clean

    def decide(self, *legs: Any, at: datetime | None = None, **changes: Any) -> tuple[Order, ...]:
        """The strategy trades in this slot; the orders it created."""
        self.strategy.says = Trade(legs=legs)
        record = self.tick(at, **changes)
        return tuple(self.order(order_id) for order_id in record.order_ids if order_id)

    def buy(self, **changes: Any) -> Order:
        return self.decide(make_buy(**changes))[0]

    def deliver(self) -> list[Executed]:
        """Every message that waits, once; one whose receiver does not return stays and is delivered again."""
        done = []
        for tick in self._taken(self.queue.ticks):
            self.evaluate(tick)
            self.queue.ticks.remove(tick)
        for message in self._taken(self.queue.intents):
            done.append(self.execute(message.body["order_id"]))
            self.queue.intents.remove(message)
        return done

    @staticmethod
    def _taken[M](messages: list[M]) -> list[M]:
        return list(messages)

    def minutes(self, count: int) -> None:
        """The schedules and queues go on for a while, undisturbed."""
        for _ in range(count):
            self.advance(minutes=1)
            self.deliver()
            self.reconcile()

    def holding(self, quantity: str = "0.1") -> Decimal:
        """Buy, see it through, and be in the next hour with a clean account; what the strategy now holds."""
        self.open_gate()
        self.buy(quantity=quantity)
        self.deliver()
        self.minutes(2)
        self.advance(seconds=(NOW + timedelta(hours=1) - self.now).total_seconds())
        self.reconcile()
        return self.position()

    # --- what is known afterwards ---

    def order(self, order_id: str) -> Order:
        order = self.ledger.order(order_id)
        assert order is not None, f"the ledger has no order {order_id}"
        return order

    def state(self, order: Order) -> OrderState:
        return self.order(order.order_id).state

    @property
    def account(self) -> Account:
        return self.ledger.account(ACCOUNT)

    def position(self) -> Decimal:
        return self.account.position("ema-cross", SYMBOL).quantity

    def fills(self) -> tuple[Fill, ...]:
        return self.ledger.fills(ACCOUNT, 1000)

    def incidents(self) -> list[Incident]:
        return [incident for incident in self.ledger.incidents(ACCOUNT) if incident.status == "open"]

    def kinds(self) -> list[IncidentKind]:
        return [incident.kind for incident in self.incidents()]

    def accepted(self, order: Order) -> int:
        """How many orders the venue's own audit holds under this order id."""
        ids = [s.request.client_order_id for s in self.store.submissions() if s.code == ACCEPTED]
        return ids.count(order.order_id)

    def venue_trades(self) -> tuple[VenueTrade, ...]:
        self.venue().balances()  # matches what the market did meanwhile
        return self.store.trades(SYMBOL, NOW - timedelta(days=1), self.now).trades

    def causes(self, order: Order) -> list[str]:
        story = self.ledger.story(order.decision_id)
        assert story is not None
        return [event.cause for event in story.events if event.order_id == order.order_id]

    def check_promises(self, *incidents: IncidentKind) -> None:
        """What holds once the dust has settled: nothing doubled, lost, guessed or still held; these incidents only."""
        sent = [s.request.client_order_id for s in self.store.submissions() if s.code == ACCEPTED]
        assert len(sent) == len(set(sent)), f"the venue has two orders of one id: {sent}"
        assert {f.key for f in self.fills()} == {t.key for t in self.venue_trades()}
        assert len(self.fills()) == len(self.venue_trades())
        for order in self.ledger.orders(ACCOUNT, 1000):
            assert order.settled, f"{order.order_id} is {order.state} and not settled"
            assert (order.order_id in sent) == bool(order.venue_order_ids), f"{order.order_id} {order.state}"
        assert self.account.reservations == {}
        expected, actual = self.account.expected_balances(), self.venue().balances().total
        assert {asset: amount for asset, amount in expected.items() if amount} == {
            asset: amount for asset, amount in actual.items() if amount
        }
        assert sorted(self.kinds()) == sorted(incidents), self.incidents()


def make_reduce(**changes: Any) -> Reduce:
    return Reduce(**{"symbol": SYMBOL, "reason": "time to leave", **changes})


def flat_candles(volume: str = "100", price: Decimal = PRICE) -> tuple[Candle, ...]:
    """A market that does not move, from a day before noon to a day after it."""
    closes = [price] * (HOURS_BEFORE + HOURS_AFTER)
    until = NOW + timedelta(hours=HOURS_AFTER)
    return tuple(candle.model_copy(update={"volume": Decimal(volume)}) for candle in make_candles(closes, until))


# --- every single step -----------------------------------------------------------------------------------------------

EFFECTS = frozenset(
    {
        "ledger.clear_cancel",
        "ledger.commit",
        "ledger.open_incident",
        "ledger.record_decision",
        "ledger.record_flow",
        "ledger.register_schedule",
        "ledger.request_cancel",
        "ledger.resolve_incident",
        "ledger.save_account",
        "ledger.store_cursor",
        "ledger.store_proof",
        "ledger.store_suspicion",
        "ledger.store_unattributed",
        "queue.follow_up",
        "queue.publish_intent",
        "queue.tick",
        "alerts.incident",
        "venue.submit",
        "venue.cancel",
    }
)
FAULTS = (stop_before, stop_after, twice, refuse, lose_answer)


def meets(fault: Fault, call: str) -> bool:
    """Whether a fault says something new at a call: between effects all stops are alike, and reads can only fail.

    Nothing ever repeats a submission: no client, no proxy, no queue stands between the executor and the venue.
    """
    if call not in EFFECTS:
        return fault is refuse
    return not (fault is twice and call == "venue.submit")


def disturbed(make: Callable[[], World], act: Callable[[World], Any], fault: Fault) -> Iterator[tuple[str, World]]:
    """A fresh world for every call of `act`, in which the fault met `act` at that call and nothing else happened."""
    rehearsal = make()
    mark = len(rehearsal.steps.calls)
    act(rehearsal)
    for number, call in enumerate(rehearsal.steps.since(mark)):
        if meets(fault, call):
            world = make()
            world.steps.at(number, fault)
            with suppress(Crash, Unreachable, BelayError):
                act(world)
            world.steps.calm()
            yield f"{fault.__name__} {call}, call {number}", world


@contextmanager
def blaming(step: str) -> Iterator[None]:
    """Say at which step the fault was when what follows fails."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"after {step}")
        raise
