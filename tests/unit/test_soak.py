"""The soak run's plan and its comparison: every fault is dealt often enough, and whatever is wrong is noticed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from belay.adapters.memory.ports import ManualClock
from belay.domain.orders import Order, OrderState
from tests.soak import compare as comparing
from tests.soak.compare import Compared, compare
from tests.soak.plan import FAULTS, NEVER, READS, TWO_COPIES, Plan, make_plan
from tests.venue_server import VenueServer
from tests.venue_server.faults import Deck
from tests.venues.desk import ACCOUNT, OTHERS_COINS, START, Desk

SEEDS = range(1, 6)
Books = dict[str, Any]

# --- the plan --------------------------------------------------------------------------------------------


def dealt(plan: Plan) -> Counter[str]:
    """What is dealt in all, if nine of ten orders are sent."""
    deck = {name: value for name, value in plan.deck.items() if name in ("plain", "seed", "settings")}
    cards = Deck(cards=plan.deck["deck"], **deck)
    sent = int(len(plan.asked) * 0.9) - sum(asked.rule is not None for asked in plan.asked)
    names = [cards.deal(number).name for number in range(sent)]
    own = [asked.rule for asked in plan.asked if asked.rule]
    return Counter([*names, *own, *(fault["name"] for asked in plan.asked for fault in asked.reads)])


@pytest.mark.parametrize("venue", READS)
@pytest.mark.parametrize("seed", SEEDS)
def test_of_500_orders_every_fault_is_dealt_fifteen_times_though_one_of_ten_is_never_sent(
    venue: str, seed: int
) -> None:
    counts = dealt(make_plan(venue, seed, 500))
    assert {name for name in FAULTS if counts[name] < 15} == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_few_orders_are_kept_from_the_books_and_two_copies_come_of_resting_orders_only(seed: int) -> None:
    plan = make_plan("binance", seed, 500)
    assert sum(times for name, times in plan.deck["deck"].items() if name in NEVER) <= 50
    assert set(TWO_COPIES).isdisjoint(plan.deck["deck"])
    assert {asked.kind for asked in plan.asked if asked.rule in TWO_COPIES} == {"resting"}


def test_the_same_seed_asks_for_the_same_and_another_one_for_something_else() -> None:
    assert make_plan("kraken", 1, 60) == make_plan("kraken", 1, 60)
    assert make_plan("kraken", 1, 60) != make_plan("kraken", 2, 60)


# --- the comparison -----------------------------------------------------------------------------------------


class Finished:
    """A run that has ended: two orders bought and settled at a venue server, in the form that `compare` reads."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        orders = desk.ledger.orders(ACCOUNT, 100)
        self.books: Books = desk.server.truth(desk.venue)
        self.plan = SimpleNamespace(asked=orders, each=0)
        self.placed = {order.order_id: (0.0, None) for order in orders}
        self.received = SimpleNamespace(all=lambda: desk.server.audit.orders_per_client_id())
        self.server = SimpleNamespace(
            venue=desk.venue,
            truth=lambda: self.books,
            dealt=dict,
            client_id=lambda order_id: desk.client_id(SimpleNamespace(order_id=order_id)),  # type: ignore[arg-type]
        )
        self.local = SimpleNamespace(desk=desk, dead=lambda: 0)
        self.kills = self.resolved = 0

    def free_assets(self) -> dict[str, Decimal]:
        return {"BTC": self.desk.position() + OTHERS_COINS}

    def compared(self) -> Compared:
        return compare(self, settled=True)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def desk() -> Desk:
    clock = ManualClock(START)
    with VenueServer(clock, seed=7, markets=2) as server:
        desk = Desk("kraken", server, clock)
        desk.open_gate()
        for number in (1, 2):
            desk.by_hand(number)
            desk.deliver()
            desk.settle()
        return desk


@pytest.fixture
def finished(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Finished:
    monkeypatch.setattr(comparing, "ACCOUNT", ACCOUNT)
    return Finished(desk)


def test_a_run_in_which_ledger_and_books_agree_has_no_problems(finished: Finished) -> None:
    compared = finished.compared()
    assert compared.problems == []
    assert (compared.intents, compared.received, compared.reached) == (2, 2, 2)
    assert compared.outcomes == {"FILLED": 2}


def twice(books: Books) -> None:
    books["orders"].append(books["orders"][0] | {"venue_order_id": "OTWICE-OTWICE-OTWICE"})


def unheard_of(books: Books) -> None:
    books["orders"].append(books["orders"][0] | {"venue_order_id": "OX", "client_order_id": "somebody's"})


def vanished(books: Books) -> None:
    del books["orders"][0]


def less_filled(books: Books) -> None:
    books["orders"][0]["filled"] = "0.05"


def another_trade(books: Books) -> None:
    books["trades"].append(books["trades"][0] | {"trade_id": "another"})


def trade_at_another_price(books: Books) -> None:
    books["trades"][0]["price"] = "1"


def richer(books: Books) -> None:
    books["balances"]["USD"] = str(Decimal(books["balances"]["USD"]) + 1)


TAMPERED: dict[str, tuple[Callable[[Books], None], str]] = {
    "two orders of one id": (twice, "1 orders more than once"),
    "an order that nobody asked for": (unheard_of, "order somebody's in the books is nobody's"),
    "an order that is not there": (vanished, "1 orders unaccounted for"),
    "a part of an order": (less_filled, "in the books 0.05"),
    "a trade that was not counted": (another_trade, "1 times in the books, counted 0"),
    "a trade at another price": (trade_at_another_price, "0 times in the books, counted 1"),
    "a balance": (richer, "ledger and books differ: USD"),
}


@pytest.mark.parametrize(("tamper", "problem"), TAMPERED.values(), ids=TAMPERED)
def test_whatever_the_books_hold_otherwise_is_noticed(
    finished: Finished, tamper: Callable[[Books], None], problem: str
) -> None:
    tamper(finished.books)
    assert problem in " ".join(finished.compared().problems)


def test_an_order_is_unknown_only_while_an_incident_asks_about_it(finished: Finished) -> None:
    (order, _) = finished.desk.ledger.orders(ACCOUNT, 2)
    rows = [row for row in finished.books["orders"] if row["client_order_id"] == finished.desk.client_id(order)]
    unknown = order.model_copy(update={"state": OrderState.UNKNOWN})
    assert comparing._wrong(unknown, rows, asked_about=True) == ""
    assert comparing._wrong(unknown, rows, asked_about=False) == "UNKNOWN without an open incident"


NEVER_PLACED = [OrderState.DENIED, OrderState.LAPSED, OrderState.NOT_SENT, OrderState.REJECTED]


@pytest.mark.parametrize("state", OrderState)
def test_only_an_order_that_was_never_placed_may_be_missing_from_the_books(
    finished: Finished, state: OrderState
) -> None:
    (order, _) = finished.desk.ledger.orders(ACCOUNT, 2)
    missing: Order = order.model_copy(update={"state": state, "filled_quantity": Decimal(0)})
    assert (comparing._wrong(missing, [], asked_about=True) == "") == (state in [*NEVER_PLACED, OrderState.UNKNOWN])


def test_a_run_fails_for_each_thing_that_may_go_wrong_beside_the_books(finished: Finished) -> None:
    good = finished.compared()
    wrong = [
        replace(good, settled=False),
        replace(good, dead_letters=1),
        replace(good, incidents=["an incident"]),
        replace(good, each=1),
    ]
    assert [len(compared.problems) for compared in wrong] == [1, 1, 1, 1]
