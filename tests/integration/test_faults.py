"""The real workflows on the paper venue with faults: whatever it injects, the ledger comes to the venue's truth.

Time moves as in the demo: not while functions run, then by some seconds at a time with a reconciliation each.
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import count, islice
from random import Random
from typing import Any, NamedTuple

import pytest

from belay.adapters.paper.deck import CRASH_KINDS, Hand, Way, dealt_card, dealt_hand
from belay.adapters.paper.faults import FAULTY_PROFILE, FaultyPaperVenue
from belay.adapters.paper.state import FaultKind, FaultState, Step, VenueState
from belay.domain.documents import FaultSettings
from belay.domain.incidents import IncidentKind
from belay.domain.orders import UNRESOLVED, Order, OrderState
from belay.domain.venues import Fence
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy, make_candles, make_document, make_paper_settings
from tests.world import Crash, World, make_reduce

K, S = FaultKind, OrderState
# An exit is given up after 300 s; its last attempt takes at most 50 s more to be proven absent and to be released.
SETTLING_SECONDS = 360
LAST_STEPS = 3
HELD = "0.1"


class Venue(FaultyPaperVenue):
    """Its process ends as an exception that no handler of the code under test survives."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "end_process": self._end})

    @staticmethod
    def _end(status: int) -> None:
        raise Crash(f"exit {status}")


class HastyVenue(Venue):
    """A venue whose profile promises what it does not keep: that look-ups show an order once its fence is over."""

    profile = FAULTY_PROFILE.model_copy(update={"fence": Fence(window_seconds=10, grace_seconds=0, definitive=True)})


class Faults(World):
    """The world of the other tests, at a venue that injects faults by seed. `ended` counts processes that did."""

    def __init__(self, seed: int, crashes: int = 0, crashed: int = 0, **world: Any) -> None:
        balances = {"USD": "100000", "BTC": "0"}
        paper = make_paper_settings(balances=balances, faults={"seed": seed, "crashes": crashes})
        super().__init__(**{"venue_type": Venue, **world}, document=make_document(paper=paper))
        self.ended = 0
        if crashed:
            self.store.commit(Step(state=VenueState(balances=paper.balances, faults=FaultState(crashes=crashed))))
        self.open_gate()

    def work_off(self) -> None:
        """Until every queue is empty, with the follow-up's reconciliation; what an ended process held comes back."""
        while self.queue.intents:
            try:
                self.deliver()
            except Crash:
                self.ended += 1
        self.reconcile()

    def step(self, seconds: float) -> None:
        self.advance(seconds=seconds)
        self.reconcile()
        self.work_off()

    def settle(self, seconds: float) -> int:
        """As the demo after each slot. Returns how many steps it took."""
        most = int(SETTLING_SECONDS / seconds)
        for taken in range(most + 1):
            if not any(map(needs_time, self.ledger.open_orders(ACCOUNT))):
                return taken
            self.step(seconds)
        raise AssertionError(f"not settled in {SETTLING_SECONDS} s")

    def finish(self, seconds: float) -> None:
        self.settle(seconds)
        for _ in range(LAST_STEPS):
            self.step(max(seconds, 10))
            self.settle(seconds)

    def check(self) -> None:
        """Every promise, and every row: no incident but of an exit that was not placed in its time."""
        exits = [order for order in self.ledger.orders(ACCOUNT, 1000) if order.reducing and not order.filled_quantity]
        subjects = [incident.subject for incident in self.incidents()]
        assert set(subjects) <= {order.order_id for order in exits if order.state in (S.NOT_SENT, S.LAPSED)}
        self.check_promises(*[IncidentKind.EXIT_NOT_PLACED] * len(subjects))
        never = [row for row in self.store.faults() if not row.placed and row.kind is not K.REFUSED]
        assert self.not_sent() == Counter((row.client_order_id, f"{row.claimed_at:%FT%TZ}") for row in never)
        assert self.ended == sum(row.kind in CRASH_KINDS for row in self.store.faults())

    def not_sent(self) -> Counter[tuple[str, str]]:
        """The attempts that the ledger moved to NOT_SENT, by order and time of the claim."""
        found: Counter[tuple[str, str]] = Counter()
        for order in self.ledger.orders(ACCOUNT, 1000):
            story = self.ledger.story(order.decision_id)
            assert story is not None
            claimed_at = ""
            for event in story.events:
                if event.order_id != order.order_id:
                    continue
                if event.cause == "claimed":
                    claimed_at = event.detail["request"]["claimed_at"]
                if event.to_state is S.NOT_SENT and event.from_state is not S.NOT_SENT:
                    found[order.order_id, claimed_at] += 1
        return found


def needs_time(order: Order) -> bool:
    """Whether some seconds more may bring news of an order; a rest that waits for the next candle needs no seconds."""
    waiting = order.state is S.CREATED or (order.reducing and order.state is S.NOT_SENT)
    return waiting or order.state in UNRESOLVED or not order.explained


class Case(NamedTuple):
    """What one delivery meets, and the rows that say so."""

    rows: frozenset[FaultKind]
    kind: FaultKind | None
    way: Way
    hand: Hand
    placed: bool


def case(kind: FaultKind | None, way: Way, placed: bool, **hand: bool) -> Case:
    told = {
        K.PARTIAL_FILL: hand.get("partial"),
        K.LATE_FILLS: hand.get("late"),
        K.OUT_OF_ORDER_FILLS: hand.get("partial") and hand.get("late"),
        K.LAGGING_LOOKUP: hand.get("lagging"),
    }
    rows = {row for row, is_told in told.items() if is_told} | ({kind} if kind else set())
    return Case(frozenset(rows), kind, way, Hand(**hand), placed)


HIDDEN = {"partial": True, "late": True, "lagging": True}
CASES = [
    case(None, Way.AT_ONCE, True),
    case(K.ANSWER_LOST, Way.AT_ONCE, True),
    case(K.DELAYED, Way.LATER, True),
    case(K.EXPIRED, Way.LATER, False),
    case(K.REFUSED, Way.REFUSED, False),
    case(K.DROPPED, Way.NEVER, False),
    case(K.SERVER_ERROR, Way.AT_ONCE, True),
    case(K.SERVER_ERROR, Way.NEVER, False),
    case(K.CRASH_BEFORE_SEND, Way.NEVER, False),
    case(K.CRASH_AFTER_ACCEPT, Way.AT_ONCE, True),
    case(None, Way.AT_ONCE, True, partial=True),
    case(None, Way.AT_ONCE, True, late=True),
    case(None, Way.AT_ONCE, True, lagging=True),
    case(None, Way.AT_ONCE, True, partial=True, late=True),
    case(None, Way.AT_ONCE, True, **HIDDEN),
    case(K.ANSWER_LOST, Way.AT_ONCE, True, **HIDDEN),
    case(K.DELAYED, Way.LATER, True, **HIDDEN),
    case(K.CRASH_AFTER_ACCEPT, Way.AT_ONCE, True, **HIDDEN),
]


def name(met: Case) -> str:
    return f"{met.way.name.lower()}:{'+'.join(sorted(met.rows)) or 'orderly'}"


each_case = pytest.mark.parametrize("met", CASES, ids=name)
each_step = pytest.mark.parametrize("seconds", [5, 10, 15])


def meeting(met: Case, place: int = 1, **world: Any) -> Faults:
    """A world in which the delivery at `place` meets this, the ones before it nothing, the later ones what is dealt."""
    crashed = int(met.kind is K.CRASH_AFTER_ACCEPT)  # every second crash is one

    def fits(seed: int) -> bool:
        settings = FaultSettings(seed=seed, crashes=crashed + 1)
        for number in range(1, place):
            if dealt_card(settings, number, crashed).kind or dealt_hand(settings, number) != Hand():
                return False
        card, hand = dealt_card(settings, place, crashed), dealt_hand(settings, place)
        return (card.kind, card.way) == (met.kind, met.way) and (not met.placed or hand == met.hand)

    return Faults(next(seed for seed in count(1) if fits(seed)), crashes=crashed + 1, crashed=crashed, **world)


def rows_of(world: Faults, sequence: int) -> frozenset[FaultKind]:
    return frozenset(row.kind for row in world.store.faults() if row.sequence == sequence)


# --- one fault ---------------------------------------------------------------------------------------------------


@each_step
@each_case
def test_an_entry_that_meets_a_fault_is_settled_as_the_venue_has_it(met: Case, seconds: int) -> None:
    world = meeting(met)
    order = world.buy(quantity=HELD)
    world.work_off()
    world.execute(order.order_id)  # the queue delivers it once more
    began = world.now
    world.settle(seconds)
    assert world.now - began <= timedelta(seconds=60)
    world.finish(seconds)
    expected = S.FILLED if met.placed else S.REJECTED if met.kind is K.REFUSED else S.NOT_SENT
    assert world.state(order) is expected
    assert world.accepted(order) == met.placed
    assert rows_of(world, 1) == met.rows
    assert world.incidents() == []
    world.check()


@each_step
@each_case
def test_an_exit_that_meets_a_fault_leaves_or_pages(met: Case, seconds: int) -> None:
    world = meeting(met, place=2)
    world.buy(quantity=HELD)
    world.work_off()
    world.finish(seconds)
    world.advance(seconds=(NOW + timedelta(hours=1) - world.now).total_seconds())
    world.reconcile()
    (exit_,) = world.decide(make_reduce())
    world.work_off()
    world.execute(exit_.order_id)
    world.finish(seconds)
    met_rows = met.rows - {K.REFUSED}  # the venue takes every exit
    assert rows_of(world, 2) >= met_rows
    paged = [incident.subject for incident in world.incidents()]
    assert paged == [exit_.order_id] if paged else world.state(exit_) is S.FILLED and not world.position()
    if met.placed or met.kind is K.REFUSED:
        assert world.state(exit_) is S.FILLED
    world.check()


@each_case
def test_an_hour_without_anybody_looking_changes_nothing(met: Case) -> None:
    world = meeting(met)
    order = world.buy(quantity=HELD)
    with suppress(Crash):
        world.deliver()
    world.ended += met.kind in CRASH_KINDS
    world.advance(hours=1)
    world.reconcile()
    world.work_off()
    world.settle(10)
    world.finish(10)
    assert world.accepted(order) == met.placed == (world.state(order) is S.FILLED)
    world.check()


@pytest.mark.parametrize(("venue_type", "misled"), [(Venue, False), (HastyVenue, True)])
def test_only_a_profile_that_promises_too_much_misleads_the_reconciler(venue_type: type[Venue], misled: bool) -> None:
    """A delayed order that rests, and that look-ups show late, moves no balance: nothing but the grace tells of it."""

    def fits(seed: int) -> bool:
        settings = FaultSettings(seed=seed)
        return dealt_card(settings, 1, 0).kind is K.DELAYED and dealt_hand(settings, 1).lagging

    kinds = set()
    for seed in islice(filter(fits, count(1)), 40):
        world = Faults(seed, venue_type=venue_type)
        order = world.buy(quantity=HELD, limit_price="5000")
        world.work_off()
        for _ in range(20):
            world.step(1)
        kinds |= set(world.kinds())
        assert misled or world.state(order) is S.ACKNOWLEDGED
    assert kinds == ({IncidentKind.WRONG_ABSENCE_PROOF} if misled else set())


# --- all of them ---------------------------------------------------------------------------------------------------

DELIVERIES = 80
CRASHES = 4


def moving_candles(seed: int, hours: int) -> Any:
    """Hourly candles until `hours` after noon whose price moves by about one per cent each."""
    chance, closes = Random(seed), [10_000.0]
    for _ in range(hours + 24):
        closes.append(round(max(closes[-1] * (1 + chance.gauss(0, 0.01)), 100), 2))
    return make_candles(closes, NOW + timedelta(hours=hours))


@pytest.mark.parametrize("seed", range(1, 21))
def test_eighty_deliveries_of_two_strategies_end_as_the_venue_has_them(seed: int) -> None:
    hours, seconds = 150, (5, 7, 10, 12, 15)[seed % 5]
    world = Faults(seed, crashes=CRASHES, candles=moving_candles(seed, hours))
    for hour in range(1, hours):
        at = NOW + timedelta(hours=hour)
        world.advance(seconds=(at - world.now).total_seconds())
        world.reconcile()
        world.settle(seconds)
        for strategy in ("trend", "reversion"):
            held = world.account.position(strategy, SYMBOL).quantity
            world.decide(make_reduce() if held else make_buy(quantity=None, notional="1000"), at=at, strategy=strategy)
        world.work_off()
        world.settle(seconds)
        state = world.store.state()
        if state is not None and state.faults.deliveries >= DELIVERIES:
            break
    world.finish(seconds)
    world.check()
    told = Counter(row.kind for row in world.store.faults())
    often = (K.ANSWER_LOST, K.DROPPED, K.SERVER_ERROR, K.PARTIAL_FILL, K.LATE_FILLS, K.LAGGING_LOOKUP)
    assert all(told[kind] >= 10 for kind in often), told
    assert all(told[kind] >= 5 for kind in (K.DELAYED, K.EXPIRED, K.OUT_OF_ORDER_FILLS)), told
    assert (told[K.CRASH_BEFORE_SEND], told[K.CRASH_AFTER_ACCEPT]) == (2, 2)
    assert len([incident for incident in world.incidents() if incident.kind is IncidentKind.EXIT_NOT_PLACED]) <= 2
