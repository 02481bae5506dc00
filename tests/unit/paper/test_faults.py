"""The paper venue with faults: what is dealt, what each does, that its rows are true, and who may have it."""

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import belay
from belay.adapters.paper import faults
from belay.adapters.paper.clock import ReplayFeed, load_candles, set_replay_clock
from belay.adapters.paper.deck import CRASH_KINDS, DECK, HANDS, Hand, Way, dealt_card, dealt_hand
from belay.adapters.paper.faults import FAULTY_PROFILE, FaultyPaperVenue
from belay.adapters.paper.state import ACCEPTED, FaultKind, FaultState, InjectedFault, Step, Submission, VenueState
from belay.adapters.paper.store import InMemoryPaperStore
from belay.adapters.paper.venue import LiveFeed, PaperVenue
from belay.bootstrap import PaperVenues
from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import AccountDocument, FaultSettings
from belay.domain.errors import Conflict, InvalidInput, VenueUnavailable
from belay.domain.market import Candle, Market, Price
from belay.domain.venues import (
    OrderRequest,
    Outcome,
    OutcomeKind,
    TradePage,
    VenueOrder,
    VenueStatus,
    VenueTrade,
)
from tests.builders import NOW, SYMBOL, make_candles, make_document, make_paper_settings

K = FaultKind
SOURCES = Path(belay.__file__).parent
OUTSIDE = {"cli", "demo", "local", "pages", "replay"}
HANDS_KINDS = {K.PARTIAL_FILL, K.LATE_FILLS, K.OUT_OF_ORDER_FILLS, K.LAGGING_LOOKUP}
NEVER_PLACED = {K.DROPPED, K.EXPIRED, K.REFUSED, K.CRASH_BEFORE_SEND}


class Ended(BaseException):
    """The process ends here: no handler of the code under test may survive it."""


class TroubledStore(InMemoryPaperStore):
    """Books whose next commits meet trouble, one planned step each."""

    def __init__(self) -> None:
        super().__init__("paper")
        self.before_commit: list[Callable[[], None]] = []
        self.after_commit: list[Callable[[], None]] = []

    def commit(self, step: Step) -> None:
        if self.before_commit:
            self.before_commit.pop(0)()
        super().commit(step)
        if self.after_commit:
            self.after_commit.pop(0)()


def no_answer() -> None:
    raise VenueUnavailable("no answer")


def lost() -> None:
    raise Conflict("paper STATE")


class World:
    """One account whose venue injects faults by seed, at noon, and its trader. Prices stand still at 100."""

    def __init__(self, seed: int = 1, crashes: int = 0, **changes: Any) -> None:
        free = {"taker_fee": "0", "maker_fee": "0", "slippage": "0", "min_notional": "1"}
        settings = {**free, "balances": {"USD": "100000", "BTC": "100"}, "faults": {"seed": seed, "crashes": crashes}}
        self.document = make_document(paper=make_paper_settings(**{**settings, **changes}))
        self.store = TroubledStore()
        self._ids = count(1)
        load_candles(self.store, self.document, SYMBOL, "1h", make_candles([100] * 96, NOW + timedelta(hours=72)))
        set_replay_clock(self.store, self.document, NOW)
        self.venue = self.process()

    def process(self) -> FaultyPaperVenue:
        """A process of its own that shares the books. Its end is an exception."""
        feed = ReplayFeed(self.store)
        return FaultyPaperVenue(self.document, self.store, feed, pause=lambda _: None, end_process=self.end)

    @staticmethod
    def end(status: int) -> None:
        raise Ended(status)

    @property
    def now(self) -> datetime:
        now = self.store.replay_time()
        assert now is not None
        return now

    def advance(self, seconds: float) -> None:
        set_replay_clock(self.store, self.document, self.now + timedelta(seconds=seconds))

    def request(self, side: Side = Side.BUY, quantity: object = 1, **changes: Any) -> OrderRequest:
        request = {
            "client_order_id": f"{next(self._ids):032x}",
            "symbol": SYMBOL,
            "side": side,
            "quantity": str(quantity),
            "limit_price": None,
            "time_in_force": TimeInForce.GTC,
            "claimed_at": self.now,
            "fence_at": FAULTY_PROFILE.fence_at(self.now),
        }
        return OrderRequest.model_validate({**request, **changes})

    def send(self, request: OrderRequest | None = None) -> Outcome | None:
        """What the sender hears of one delivery; None when its process ended."""
        with suppress(Ended):
            return self.process().submit(request or self.request())
        return None

    def send_many(self, number: int, seconds: float = 0) -> int:
        """Buys and sells in turn, so far apart. Returns how many processes ended."""
        ended = 0
        for place in range(number):
            ended += self.send(self.request((Side.BUY, Side.SELL)[place % 2])) is None
            self.advance(seconds)
        return ended

    # --- what is so, whatever the venue shows ---

    def rows(self) -> dict[FaultKind, InjectedFault]:
        """The rows of the only delivery that met anything."""
        rows = self.store.faults()
        assert len({row.sequence for row in rows}) <= 1
        return {row.kind: row for row in rows}

    def accepted(self) -> list[Submission]:
        return [submission for submission in self.store.submissions() if submission.code == ACCEPTED]

    def trades(self) -> tuple[VenueTrade, ...]:
        return self.store.trades(SYMBOL, NOW - timedelta(days=1), NOW + timedelta(days=9)).trades

    # --- what the venue shows ---

    def shown_trades(self) -> tuple[VenueTrade, ...]:
        return self.venue.trades(SYMBOL, NOW - timedelta(days=1), self.now).trades

    def look(self, request: OrderRequest) -> VenueOrder | None:
        return self.venue.lookup(SYMBOL, request.client_order_id)

    def step_until(self, happens: Callable[[], object], most: int) -> int:
        """How many seconds pass until something is so, looked at each second."""
        for waited in range(most + 1):
            if happens():
                return waited
            self.advance(1)
        raise AssertionError(f"not within {most} s")


def meeting(kind: FaultKind | None = None, hand: Hand | None = None, way: Way | None = None, **changes: Any) -> World:
    """A world whose first delivery meets this (None: no fault), and whose first order that hand, or nothing."""
    crashed = int(kind is K.CRASH_AFTER_ACCEPT)  # every second crash is one
    for seed in count(1):
        card = dealt_card(FaultSettings(seed=seed, crashes=crashed + 1), 1, crashed)
        met = dealt_hand(FaultSettings(seed=seed), 1)
        if card.kind == kind and way in (None, card.way) and met == (hand or Hand()):
            break
    world = World(seed, crashes=crashed + 1, **changes)
    if crashed:
        balances = dict(world.venue.balances().total)
        world.store.commit(Step(state=VenueState(balances=balances, faults=FaultState(crashes=1))))
    return world


# --- what is dealt --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_deck_of_twelve_deliveries_meets_the_same_faults_in_another_order(seed: int) -> None:
    settings = FaultSettings(seed=seed)
    decks = [[dealt_card(settings, 12 * deck + place, 0).kind for place in range(1, 13)] for deck in range(6)]
    expected = {
        K.ANSWER_LOST: 2,
        K.DROPPED: 2,
        K.SERVER_ERROR: 2,
        K.DELAYED: 1,
        K.EXPIRED: 1,
        K.REFUSED: 1,
        None: 3,
    }
    assert [Counter(deck) for deck in decks] == [Counter(expected)] * 6
    assert len({tuple(deck) for deck in decks}) == 6


def test_of_twelve_placed_orders_five_meet_each_fault_of_fills_and_look_ups() -> None:
    hands = [dealt_hand(FaultSettings(seed=3), number) for number in range(1, 13)]
    assert sorted(hands) == sorted(HANDS)
    assert [sum(dealt) for dealt in zip(*hands, strict=True)] == [5, 5, 5]
    assert sum(hand.partial and hand.late for hand in hands) == 2


def test_a_crash_comes_once_in_each_of_the_first_decks_alternately_before_and_after() -> None:
    settings, crashed, dealt = FaultSettings(seed=5, crashes=3), 0, []
    for sequence in range(1, 73):
        kind = dealt_card(settings, sequence, crashed).kind
        if kind in CRASH_KINDS:
            dealt.append(((sequence - 1) // 12, kind))
            crashed += 1
    assert dealt == [(0, K.CRASH_BEFORE_SEND), (1, K.CRASH_AFTER_ACCEPT), (2, K.CRASH_BEFORE_SEND)]


@pytest.mark.parametrize("seed", range(1, 21))
def test_seventy_deliveries_meet_enough_of_everything_by_any_seed(seed: int) -> None:
    world = World(seed, crashes=3, balances={"USD": "100000", "BTC": "100"})
    world.send_many(70)
    early = Counter(row.kind for row in _settled_rows(world))
    world.send_many(10)
    late = Counter(row.kind for row in _settled_rows(world))
    often = (K.ANSWER_LOST, K.DROPPED, K.SERVER_ERROR, K.PARTIAL_FILL, K.LATE_FILLS, K.LAGGING_LOOKUP)
    assert all(early[kind] >= 10 for kind in often), early
    assert all(late[kind] >= 5 for kind in (K.DELAYED, K.EXPIRED, K.OUT_OF_ORDER_FILLS)), late
    assert (late[K.CRASH_BEFORE_SEND], late[K.CRASH_AFTER_ACCEPT]) == (2, 1)
    check_rows(world)


def _settled_rows(world: World) -> tuple[InjectedFault, ...]:
    world.advance(60)
    world.venue.balances()
    return world.store.faults()


def check_rows(world: World) -> None:
    """What the rows say against what the books hold: nothing may still be under way."""
    rows, sent = world.store.faults(), Counter(s.request.client_order_id for s in world.accepted())
    assert all(times == 1 for times in sent.values())
    by_kind = {kind: [row for row in rows if row.kind is kind] for kind in K}
    assert all(row.placed == bool(sent[row.client_order_id]) for row in rows)
    assert not any(row.placed for kind in NEVER_PLACED for row in by_kind[kind])
    trades = Counter(trade.venue_order_id for trade in world.trades())
    order_of = {s.request.client_order_id: s.venue_order for s in world.accepted()}
    for row in by_kind[K.PARTIAL_FILL]:
        shown = order_of[row.client_order_id]
        assert shown is not None
        assert 0 < shown.filled_quantity < shown.quantity
    for row in (*by_kind[K.LATE_FILLS], *by_kind[K.OUT_OF_ORDER_FILLS]):
        shown = order_of[row.client_order_id]
        assert shown is not None
        assert trades[shown.venue_order_id] >= (2 if row.kind is K.OUT_OF_ORDER_FILLS else 1)


def test_a_seed_deals_the_same_again() -> None:
    def rows(seed: int) -> tuple[InjectedFault, ...]:
        world = World(seed, crashes=2)
        for _ in range(30):
            world.send()
            world.advance(7)
        return world.store.faults()

    assert rows(7) == rows(7)
    assert rows(7) != rows(8)


def test_processes_share_one_deck() -> None:
    world = World(4, crashes=2)
    requests = [world.request(quantity="0.1") for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(world.send, requests))
    assert (state := world.store.state()) is not None
    assert state.faults.deliveries == 24
    rows = [row for row in _settled_rows(world) if row.kind not in HANDS_KINDS]
    dealt = Counter(card.kind for card in DECK if card.kind)
    assert Counter(row.kind for row in rows if row.kind not in CRASH_KINDS) == {k: 2 * n for k, n in dealt.items()}
    assert Counter(row.kind for row in rows if row.kind in CRASH_KINDS) == dict.fromkeys(CRASH_KINDS, 1)
    check_rows(world)


# --- what each fault does -------------------------------------------------------------------------

# The fault, how the request comes to the venue, what its sender hears, whether it is an order in the end.
DELIVERIES = [
    (None, Way.AT_ONCE, OutcomeKind.ACCEPTED, ACCEPTED, True),
    (K.ANSWER_LOST, Way.AT_ONCE, OutcomeKind.UNKNOWN, "NO_ANSWER", True),
    (K.DELAYED, Way.LATER, OutcomeKind.UNKNOWN, "NO_ANSWER", True),
    (K.EXPIRED, Way.LATER, OutcomeKind.UNKNOWN, "NO_ANSWER", False),
    (K.DROPPED, Way.NEVER, OutcomeKind.UNKNOWN, "NO_ANSWER", False),
    (K.SERVER_ERROR, Way.AT_ONCE, OutcomeKind.UNKNOWN, "INTERNAL_SERVER_ERROR", True),
    (K.SERVER_ERROR, Way.NEVER, OutcomeKind.UNKNOWN, "INTERNAL_SERVER_ERROR", False),
    (K.REFUSED, Way.REFUSED, OutcomeKind.REJECTED, "BUYS_SUSPENDED", False),
    (K.CRASH_BEFORE_SEND, Way.NEVER, None, "", False),
    (K.CRASH_AFTER_ACCEPT, Way.AT_ONCE, None, "", True),
]
each_delivery = pytest.mark.parametrize(
    ("kind", "way", "heard", "code", "placed"), DELIVERIES, ids=[f"{d[0]}-{d[1].name}".lower() for d in DELIVERIES]
)


@each_delivery
def test_a_delivery_is_what_its_row_says(
    kind: FaultKind | None, way: Way, heard: OutcomeKind | None, code: str, placed: bool
) -> None:
    world = meeting(kind, way=way)
    request = world.request()
    outcome = world.send(request)
    assert (outcome and outcome.kind, outcome.code if outcome else "") == (heard, code)
    rows = world.rows()
    assert set(rows) == ({kind} if kind else set())
    for row in rows.values():
        assert (row.sequence, row.placed, row.at, row.side, row.quantity) == (1, placed, NOW, Side.BUY, Decimal(1))
        assert (row.client_order_id, row.claimed_at) == (request.client_order_id, request.claimed_at)
        assert row.detail
    world.advance(60)
    assert bool(world.look(request)) == placed
    assert len(world.accepted()) == placed
    assert world.venue.balances().total["BTC"] == 100 + placed
    assert world.rows() == rows


@each_delivery
def test_rows_and_books_are_one_write(
    kind: FaultKind | None, way: Way, heard: OutcomeKind | None, code: str, placed: bool
) -> None:
    """Whoever is stopped before it has done nothing, whoever is stopped after it has done all of it."""
    world = meeting(kind, way=way)
    before = world.store.state()
    world.store.before_commit = [partial(World.end, 9)]
    assert world.send() is None
    assert (world.store.state(), world.store.faults(), world.store.submissions()) == (before, (), ())

    world.store.after_commit = [partial(World.end, 9)]
    request = world.request()
    assert world.send(request) is None
    assert set(world.rows()) == ({kind} if kind else set())
    world.advance(60)
    assert bool(world.look(request)) == placed
    check_rows(world)


@each_delivery
@pytest.mark.parametrize("trouble", [no_answer, lost], ids=["no answer", "repeated"])
def test_a_write_whose_answer_is_lost_is_what_its_row_says(
    kind: FaultKind | None, way: Way, heard: OutcomeKind | None, code: str, placed: bool, trouble: Callable[[], None]
) -> None:
    """The table wrote, and its answer was lost or the SDK wrote again: no second number, no second request."""
    world = meeting(kind, way=way)
    world.store.after_commit = [trouble]
    outcome = world.send()
    assert (outcome and outcome.kind, outcome.code if outcome else "") == (heard, code)
    assert (state := world.store.state()) is not None
    assert state.faults.deliveries == 1
    world.advance(60)
    world.venue.balances()
    assert len(world.accepted()) == placed
    check_rows(world)


@each_delivery
def test_a_write_that_did_not_take_place_leaves_nothing(
    kind: FaultKind | None, way: Way, heard: OutcomeKind | None, code: str, placed: bool
) -> None:
    world = meeting(kind, way=way)
    before = world.store.state()
    world.store.before_commit = [no_answer]
    outcome = world.send()
    assert outcome is not None
    assert (outcome.kind, world.store.faults(), world.store.state()) == (OutcomeKind.UNKNOWN, (), before)


@pytest.mark.parametrize("kind", [K.ANSWER_LOST, K.SERVER_ERROR, K.CRASH_AFTER_ACCEPT])
def test_what_the_venue_itself_refuses_is_answered_as_ever(kind: FaultKind) -> None:
    world = meeting(kind, way=Way.AT_ONCE)
    outcome = world.send(world.request(quantity="0.00001"))
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "LOT_SIZE")
    assert world.store.faults() == ()
    assert (state := world.store.state()) is not None
    assert state.faults.crashes == (kind is K.CRASH_AFTER_ACCEPT)


def test_an_exit_is_never_refused() -> None:
    world = meeting(K.REFUSED)
    outcome = world.send(world.request(Side.SELL))
    assert outcome is not None
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert world.store.faults() == ()


@pytest.mark.parametrize("kind", [K.DELAYED, K.DROPPED, K.ANSWER_LOST])
@pytest.mark.parametrize(("fence", "code"), [(None, "FENCE_REQUIRED"), (timedelta(seconds=-1), "FENCE_PASSED")])
def test_who_comes_behind_the_fence_hears_it(kind: FaultKind, fence: timedelta | None, code: str) -> None:
    world = meeting(kind)
    outcome = world.send(world.request(fence_at=None if fence is None else NOW + fence))
    assert outcome is not None
    assert (outcome.code, world.store.faults()) == (code, ())


# --- requests on their way ------------------------------------------------------------------------

CALLS: list[Callable[[World], object]] = [
    lambda world: world.venue.balances(),
    lambda world: world.venue.open_orders(),
    lambda world: world.shown_trades(),
    lambda world: world.venue.lookup(SYMBOL, "f" * 32),
    lambda world: world.venue.cancel(SYMBOL, "f" * 32),
    lambda world: world.send(),
]


@pytest.mark.parametrize("call", CALLS, ids=["balances", "open orders", "trades", "look-up", "cancel", "submit"])
def test_a_delayed_request_is_brought_by_whoever_comes_next_in_due_time(call: Callable[[World], object]) -> None:
    world = meeting(K.DELAYED)
    request = world.request()
    world.send(request)
    world.advance(2.5)
    assert world.look(request) is None
    world.advance(10)
    call(world)
    arrived = next(s for s in world.accepted() if s.request == request)
    assert timedelta(seconds=3) <= arrived.received_at - NOW <= timedelta(seconds=8)
    assert next(trade.at for trade in world.trades()) == arrived.received_at
    check_rows(world)


def test_a_delayed_request_arrives_once_whoever_comes_at_the_same_time() -> None:
    world = meeting(K.DELAYED)
    request = world.request()
    world.send(request)
    world.advance(9)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: world.process().balances(), range(16)))
    assert [s.request for s in world.store.submissions()] == [request]
    assert world.venue.balances().total["BTC"] == 101


def test_a_delayed_request_is_stopped_from_arriving_twice_wherever_its_bringer_stops() -> None:
    for planned in ("before_commit", "after_commit"):
        world = meeting(K.DELAYED)
        world.send()
        world.advance(9)
        setattr(world.store, planned, [partial(World.end, 9)])
        with pytest.raises(Ended):
            world.venue.balances()
        assert world.venue.balances().total["BTC"] == 101
        assert len(world.store.submissions()) == 1


def test_who_loses_the_race_to_bring_a_delayed_request_still_sends_their_own() -> None:
    world = meeting(K.DELAYED)
    delayed = world.request()
    world.send(delayed)
    world.advance(9)

    def another_brings_it() -> None:
        world.process().balances()

    world.store.before_commit = [another_brings_it]
    world.send()
    assert [s.request for s in world.store.submissions()].count(delayed) == 1
    assert (state := world.store.state()) is not None
    assert state.faults.deliveries == 2


def test_a_delayed_request_never_comes_behind_its_fence() -> None:
    world = meeting(K.DELAYED)
    request = world.request(fence_at=NOW + timedelta(seconds=1))
    world.send(request)
    world.advance(60)
    assert world.look(request) is not None
    assert [s.received_at for s in world.accepted()] == [NOW + timedelta(seconds=1)]


def test_a_delayed_request_that_is_refused_on_arrival_has_its_row_set_right() -> None:
    world = meeting(K.DELAYED, balances={"USD": "150", "BTC": "0"})
    request = world.request()
    world.send(request)
    assert world.rows()[K.DELAYED].placed
    world.send(world.request(quantity="0.9"))  # takes the funds
    assert [s.code for s in world.accepted()] == [ACCEPTED]
    world.advance(60)
    assert world.look(request) is None
    row = next(row for row in world.store.faults() if row.kind is K.DELAYED)
    assert (row.sequence, row.placed, row.claimed_at) == (1, False, NOW)
    assert "INSUFFICIENT_FUNDS" in row.detail
    check_rows(world)


def test_an_expired_request_is_recorded_when_it_comes_and_becomes_no_order() -> None:
    world = meeting(K.EXPIRED)
    request = world.request()
    world.send(request)
    world.advance(10)
    assert world.look(request) is None
    assert world.store.submissions() == ()
    world.advance(4)
    assert world.look(request) is None
    (submission,) = world.store.submissions()
    assert (submission.code, submission.venue_order, submission.request) == ("FENCE_PASSED", None, request)
    assert request.fence_at is not None
    assert submission.received_at > request.fence_at


def test_a_delayed_request_cannot_land_after_a_look_up_missed_it_behind_the_fence() -> None:
    """Even where faults were switched off meanwhile, and with them the delivery of what was on its way."""
    world = meeting(K.DELAYED)
    request = world.request()
    world.send(request)
    world.advance(20)
    faultless = PaperVenue(world.document, world.store, ReplayFeed(world.store))
    assert faultless.lookup(SYMBOL, request.client_order_id) is None
    assert world.look(request) is None
    assert [s.code for s in world.store.submissions()] == ["FENCE_PASSED"]
    assert not world.rows()[K.DELAYED].placed


# --- fills and look-ups ---------------------------------------------------------------------------


def test_a_partial_fill_is_completed_within_seconds() -> None:
    world = meeting(hand=Hand(partial=True))
    request = world.request()
    outcome = world.send(request)
    assert outcome is not None
    assert outcome.venue_order is not None
    first = outcome.venue_order.filled_quantity
    assert outcome.venue_order.status is VenueStatus.OPEN
    assert Decimal("0.2") <= first <= Decimal("0.8")
    assert set(world.rows()) == {K.PARTIAL_FILL}
    waited = world.step_until(lambda: world.venue.open_orders() == (), 10)
    assert 3 <= waited <= 6
    assert [trade.quantity for trade in world.shown_trades()] == [first, 1 - first]
    assert set(world.rows()) == {K.PARTIAL_FILL}


def test_the_rest_of_a_partial_fill_takes_no_more_of_a_candle_than_any_order() -> None:
    world = meeting(hand=Hand(partial=True), participation="0.008")  # of a candle of 100
    request = world.request()
    world.send(request)
    world.advance(60)
    order = world.look(request)
    assert order is not None
    assert (order.status, order.filled_quantity) == (VenueStatus.OPEN, Decimal("0.8"))
    world.advance(3600)
    assert world.look(request) == order.model_copy(
        update={"status": VenueStatus.FILLED, "filled_quantity": 1, "updated_at": NOW + timedelta(hours=1)}
    )


def test_without_a_second_trade_no_fills_are_out_of_order() -> None:
    world = meeting(hand=Hand(partial=True, late=True), participation="0.002")  # all of it is taken at once
    world.send()
    world.advance(60)
    assert [trade.quantity for trade in world.shown_trades()] == [Decimal("0.2")]
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS}


def test_a_second_trade_that_happens_once_the_first_is_shown_is_not_out_of_order() -> None:
    """Where faults were switched off for a while, and with them the return of the market."""
    world = meeting(hand=Hand(partial=True, late=True))
    world.send()
    world.advance(30)
    PaperVenue(world.document, world.store, ReplayFeed(world.store)).lookup(SYMBOL, "f" * 32)
    assert len(world.shown_trades()) == 2
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS}


def test_the_rest_of_a_partial_fill_that_was_cancelled_does_not_come() -> None:
    world = meeting(hand=Hand(partial=True, late=True))
    request = world.request()
    world.send(request)
    world.venue.cancel(SYMBOL, request.client_order_id)
    world.advance(60)
    assert sum(trade.quantity for trade in world.shown_trades()) < 1
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS}
    assert (state := world.store.state()) is not None
    assert state.faults.coming == ()


def test_a_partial_fill_or_kill_has_no_rest() -> None:
    world = meeting(hand=Hand(partial=True, late=True))
    outcome = world.send(world.request(time_in_force=TimeInForce.IOC))
    assert outcome is not None
    assert outcome.venue_order is not None
    assert outcome.venue_order.status is VenueStatus.EXPIRED
    world.advance(60)
    assert len(world.shown_trades()) == 1
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS}


@pytest.mark.parametrize("changes", [{"quantity": "0.0001"}, {"limit_price": "50"}], ids=["one step", "not crossing"])
def test_what_does_not_fill_in_part_is_not_called_so(changes: dict[str, Any]) -> None:
    world = meeting(hand=Hand(partial=True, late=True), min_notional="0")
    outcome = world.send(world.request(**changes))
    assert outcome is not None
    assert outcome.kind is OutcomeKind.ACCEPTED
    filled = bool(world.trades())
    assert filled == ("quantity" in changes)
    assert set(world.rows()) == ({K.LATE_FILLS} if filled else set())


def test_late_fills_are_in_the_history_some_seconds_after_they_moved_the_balance() -> None:
    world = meeting(hand=Hand(late=True))
    request = world.request()
    world.send(request)
    assert world.venue.balances().total == {"USD": 99_900, "BTC": 101}
    shown = world.look(request)
    assert shown is not None
    assert (shown.status, shown.filled_quantity) == (VenueStatus.FILLED, Decimal(1))
    waited = world.step_until(world.shown_trades, 15)
    assert 5 <= waited <= 15
    assert set(world.rows()) == {K.LATE_FILLS}


@pytest.mark.parametrize("limit", [None, "50"], ids=["closed", "open"])
def test_a_lagging_look_up_shows_an_order_some_seconds_after_it_was_placed(limit: str | None) -> None:
    world = meeting(hand=Hand(lagging=True))
    request = world.request(limit_price=limit)
    outcome = world.send(request)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.ACCEPTED

    def seen() -> bool:
        open_ids = {order.client_order_id for order in world.venue.open_orders()}
        found = world.look(request)
        assert (request.client_order_id in open_ids) == (found is not None and limit is not None)
        return found is not None

    assert 2 <= world.step_until(seen, 5) <= 5
    assert set(world.rows()) == {K.LAGGING_LOOKUP}


def test_out_of_order_fills_show_the_second_trade_before_the_first() -> None:
    world = meeting(hand=Hand(partial=True, late=True))
    world.send()
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS}
    seen = []
    for _ in range(16):
        seen.append(tuple(int(trade.trade_id) for trade in world.shown_trades()))
        world.advance(1)
    assert list(dict.fromkeys(seen)) == [(), (2,), (1, 2)]
    assert set(world.rows()) == {K.PARTIAL_FILL, K.LATE_FILLS, K.OUT_OF_ORDER_FILLS}


def test_a_placed_order_meets_its_hand_whatever_met_its_delivery() -> None:
    world = meeting(K.DELAYED, Hand(partial=True, late=True, lagging=True))
    world.send()
    world.advance(60)
    assert len(world.shown_trades()) == 2
    assert set(world.rows()) == {K.DELAYED, K.PARTIAL_FILL, K.LATE_FILLS, K.OUT_OF_ORDER_FILLS, K.LAGGING_LOOKUP}


def test_nothing_stays_hidden_and_the_state_does_not_grow() -> None:
    world = World(2)
    world.send_many(100, 60)
    assert world.shown_trades() == world.trades()
    assert (state := world.store.state()) is not None
    assert len(state.faults.orders_from) + len(state.faults.trades_from) + len(state.faults.coming) <= 4


def test_every_lag_is_within_the_profile() -> None:
    fence = FAULTY_PROFILE.fence
    assert fence is not None
    assert fence.definitive
    assert faults.LOOKUP_LAG[1] <= 5 < fence.grace_seconds
    assert max(faults.HISTORY_LAG[1], faults.FIRST_LAG[1]) <= 15 < FAULTY_PROFILE.history_lag_seconds
    assert faults.DELAY[1] < fence.window_seconds
    assert faults.PAST_FENCE[0] > 0
    assert faults.REST_AFTER[1] < faults.FIRST_LAG[0]


def test_it_shows_nothing_of_which_it_does_not_know_yet_whether_it_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process places an order, and hides it, between the two reads of a look at the history."""
    world = meeting(hand=Hand(late=True))
    read = world.store.trades

    def meanwhile(*window: Any) -> TradePage:
        monkeypatch.undo()
        world.send()
        return read(*window)

    monkeypatch.setattr(world.store, "trades", meanwhile)
    assert world.shown_trades() == ()
    assert len(world.trades()) == 1


# --- ends of processes ----------------------------------------------------------------------------


def test_a_process_ends_only_after_its_row_is_written() -> None:
    world = meeting(K.CRASH_BEFORE_SEND)
    written: list[tuple[FaultKind, ...]] = []

    def end(_status: int) -> None:
        written.append(tuple(world.rows()))

    venue = FaultyPaperVenue(world.document, world.store, ReplayFeed(world.store), end_process=end)
    assert venue.submit(world.request()).kind is OutcomeKind.UNKNOWN
    assert written == [(K.CRASH_BEFORE_SEND,)]


@pytest.mark.parametrize("crashes", [0, 1, 4])
def test_no_more_processes_end_than_the_account_asks_for(crashes: int) -> None:
    world = World(9, crashes=crashes)
    assert world.send_many(84, 30) == crashes == sum(row.kind in CRASH_KINDS for row in world.store.faults())


def test_only_a_submission_ends_a_process() -> None:
    world = meeting(K.CRASH_BEFORE_SEND)
    for call in CALLS[:-1]:
        call(world)
    assert world.send() is None


def test_processes_end_without_any_clean_up_by_default() -> None:
    assert FaultyPaperVenue.__init__.__defaults__ is not None
    assert os._exit in FaultyPaperVenue.__init__.__defaults__


# --- on a live market -----------------------------------------------------------------------------


class LiveMarket:
    """A live exchange's public data: the price stands at 100, every minute trades 100."""

    now = NOW

    def time(self) -> datetime:
        return self.now

    def market(self, symbol: str) -> Market:
        raise AssertionError(f"the exchange's filters of {symbol} do not count on paper")

    def price(self, symbol: str) -> Price:
        return Price(value=Decimal(100), at=self.now)

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        return make_candles([100] * limit, until.replace(second=0, microsecond=0), timeframe)


def test_on_a_live_market_requests_are_delayed_and_rests_come_as_on_a_replay() -> None:
    replay = meeting(K.DELAYED, Hand(partial=True, late=True))
    assert replay.document.paper is not None
    paper = replay.document.paper.model_copy(update={"replay": False, "exchange": "kraken"})
    document = replay.document.model_copy(update={"paper": paper})
    market, store, request = LiveMarket(), InMemoryPaperStore("paper"), replay.request()
    venue = FaultyPaperVenue(document, store, LiveFeed(market))
    replay.send(request)
    assert venue.submit(request).kind is OutcomeKind.UNKNOWN
    replay.advance(300)
    market.now = replay.now
    assert venue.trades(SYMBOL, NOW, market.now).trades == replay.shown_trades()
    assert store.faults() == replay.store.faults()


# --- who may have it ------------------------------------------------------------------------------

ASKING = {"seed": 1, "crashes": 1}


def test_the_venue_with_faults_is_for_paper_accounts_that_ask_for_it() -> None:
    store = InMemoryPaperStore("paper")
    asking = make_document(paper=make_paper_settings(faults=ASKING))
    live = make_document(mode="live", paper=None)
    unfit = [make_document(), live, asking.model_copy(update={"mode": "live"})]  # the last one passed by the validators
    for document in unfit:
        with pytest.raises(InvalidInput, match="not a paper account"):
            FaultyPaperVenue(document, store, ReplayFeed(store))
    assert FaultyPaperVenue(asking, store, ReplayFeed(store)).profile == FAULTY_PROFILE


def test_a_live_account_cannot_ask_for_faults() -> None:
    asking = json.loads(make_document(paper=make_paper_settings(faults=ASKING)).model_dump_json())
    assert AccountDocument.parse(json.dumps(asking)).paper is not None
    with pytest.raises(InvalidInput, match="paper settings belong to mode paper"):
        AccountDocument.parse(json.dumps({**asking, "mode": "live"}))
    without = {name: value for name, value in asking.items() if name != "paper"}
    with pytest.raises(InvalidInput, match=r"account\.faults: Extra inputs"):
        AccountDocument.parse(json.dumps({**without, "mode": "live", "faults": ASKING}))


def test_only_a_paper_account_that_asks_for_faults_is_given_them() -> None:
    client: Any = object()
    for faulty in (False, True):
        for market in ({"replay": True}, {"replay": False, "exchange": "kraken"}):
            paper = make_paper_settings(**market, faults=ASKING if faulty else None)
            venue = PaperVenues(client, "paper").venue(make_document(paper=paper))
            assert type(venue) is (FaultyPaperVenue if faulty else PaperVenue)
    asking_live = make_document(paper=make_paper_settings(faults=ASKING)).model_copy(update={"mode": "live"})
    with pytest.raises(InvalidInput):
        PaperVenues(client, "paper").venue(asking_live)


# The word, wherever it is not a part of "default".
FAULT = re.compile(r"(?<!de)fault", re.IGNORECASE)


def _names(source: str) -> Iterator[str]:
    """Every name, attribute, keyword, import and text of a module but its comments and docstrings."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and _documented(n)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        for field in ("id", "attr", "arg", "name", "module", "value"):
            if isinstance(found := getattr(node, field, None), str):
                yield found


def _documented(node: Any) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr)


def test_nothing_of_the_functions_but_the_paper_venue_knows_of_faults() -> None:
    """The operator's command, which is no part of the layer, reports them."""
    sources = [*SOURCES.rglob("*.py"), *(SOURCES.parents[1] / "functions").rglob("*.py")]
    knowing = {
        str(file.relative_to(SOURCES.parents[1]))
        for file in sources
        if not OUTSIDE & {*file.parts} and any(FAULT.search(name) for name in _names(file.read_text()))
    }
    assert knowing == {
        "shared/belay/adapters/paper/deck.py",
        "shared/belay/adapters/paper/faults.py",
        "shared/belay/adapters/paper/state.py",
        "shared/belay/adapters/paper/store.py",
        "shared/belay/bootstrap.py",
        "shared/belay/domain/documents.py",
    }


def test_the_venue_with_faults_is_made_in_one_place_from_what_the_paper_settings_ask() -> None:
    tree = ast.parse((SOURCES / "bootstrap.py").read_text())
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "FaultyPaperVenue"]
    (choice,) = [node for node in ast.walk(tree) if isinstance(node, ast.IfExp) and node.body in used]
    assert len(used) == 1
    assert ast.unparse(choice) == "FaultyPaperVenue if settings.faults else PaperVenue"
