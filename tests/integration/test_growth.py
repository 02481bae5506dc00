"""What a run reads depends on what is open and new, not on how long an account has been there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from belay.adapters.memory.drawers import Drawer
from belay.adapters.paper.clock import load_candles
from belay.adapters.records import fill_position, order_position
from belay.domain.errors import NotUnderstood
from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from belay.domain.reconciliation import MANY
from belay.domain.venues import TradePage, VenueTrade
from belay.ports import CancelRequest
from belay.workflows.findings import MOST_BYTES
from belay.workflows.windows import MOST_REQUESTS
from tests.builders import ACCOUNT, NOW, SYMBOL, make_document, make_incident, make_limits, make_stop, make_trade
from tests.world import UnfencedVenue, World, flat_candles, instead, refuse

K, S = IncidentKind, OrderState
ETHER = "ETH/USD"


def ready(**world: Any) -> World:
    made = World(**world)
    made.open_gate()
    return made


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every record that is read, whatever drawer of the ledger it lies in."""
    read: list[Any] = []
    found = Drawer.__getitem__

    def counting(drawer: Any, key: Any) -> Any:
        read.append((drawer._model.__name__, key))
        return found(drawer, key)

    with monkeypatch.context() as patched:
        patched.setattr(Drawer, "__getitem__", counting)
        yield read


def grown(orders: int, incidents: int, foreign: int) -> World:
    """A clean account with one settled order, and copies of it, of resolved incidents and of foreign trades."""
    world = ready()
    order = world.buy()
    world.deliver()
    world.minutes(3)
    (settled,), (fill,) = world.ledger.orders(ACCOUNT, 1), world.ledger.fills(ACCOUNT, 1)
    assert settled.settled
    ledger: Any = world.ledger
    told, filled = settled.model_dump_json(), fill.model_dump_json()
    for number in range(orders):
        order_id = f"{number:032x}"
        text = told.replace(order.order_id, order_id)
        ledger._orders._bodies[order_id] = text
        ledger._order_lines[ACCOUNT]._bodies[f"{order_position(settled)}{number}"] = text
        ledger._fill_lines[ACCOUNT]._bodies[f"{fill_position(fill)}{number}"] = filled
        ledger._venue_orders[ACCOUNT, SYMBOL, f"old {number}"] = order_id
    for number in range(incidents):
        incident = make_incident(subject=f"A{number}")
        world.ledger.open_incident(incident)
        world.ledger.resolve_incident(ACCOUNT, incident.incident_id, "explained", "anna", NOW)
    for number in range(foreign):
        world.ledger.store_unattributed(ACCOUNT, make_trade(f"F{number}", at=NOW - timedelta(minutes=number)))
    world.minutes(3)
    return world


def test_r40_r41_a_run_reads_as_much_of_a_large_account_as_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, calls = [], []
    for size in ((100, 0, MANY), (100_000, 2_500, 200)):
        world = grown(*size)
        mark = len(world.steps.calls)
        with counted(monkeypatch) as read:
            world.advance(minutes=1)
            world.reconcile()
        reads.append(sorted(name for name, _ in read))
        calls.append(world.steps.since(mark))
    assert len(reads[0]) == len(reads[1]), "the same number of items"
    assert reads[0] == reads[1]
    assert calls[0] == calls[1]


def test_r40_resolved_incidents_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = grown(0, 50, 0)
    with counted(monkeypatch) as read:
        world.reconcile()
    assert not [key for name, key in read if name == "Incident"]


def test_r41_two_hundred_foreign_trades_are_one_incident_and_one_stop() -> None:
    world = grown(0, 0, 200)
    (incident,) = world.incidents()
    assert (incident.kind, incident.subject) == (K.UNATTRIBUTED_TRADE, SYMBOL)
    assert incident.actual.startswith(f"{MANY} or more")
    assert "trade F0" in incident.actual, "the latest"
    (stop,) = world.account.stops
    assert stop.symbol == SYMBOL
    mark = len(world.steps.calls)
    world.minutes(1)
    assert world.steps.since(mark, "ledger.store_unattributed") == []


def test_r41_an_account_that_nears_what_an_item_may_hold_is_told_long_before_and_stops_nothing() -> None:
    world = ready()
    stops = tuple(make_stop(strategy=f"strategy-{number}", reason="x" * 200) for number in range(800))
    world.ledger.save_account(world.account.bumped(stops=stops))
    assert MOST_BYTES < len(world.account.model_dump_json()) < 400_000
    world.minutes(2)
    (incident,) = world.incidents()
    assert (incident.kind, incident.subject) == (K.NOT_RECONCILED, "account item")
    assert world.account.stops == stops
    assert world.reconcile().clean


def test_r42_a_standing_cancel_of_an_unresolved_order_is_one_event_and_a_counter() -> None:
    world = ready(venue_type=UnfencedVenue)
    world.steps.next("venue.submit", refuse)
    order = world.buy(limit_price="9000")
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.minutes(6)
    assert world.state(order) is S.UNKNOWN
    assert world.causes(order).count("cancel requested") == 1
    (standing,) = world.ledger.cancel_requests(ACCOUNT)
    assert standing.asked == 6


# --- a long way behind -----------------------------------------------------------------------------------------------


def runs_until_covered(world: World) -> list[datetime]:
    """Where the cursor stood after each run; each run asks for a bounded number of pages."""
    stood = []
    for _ in range(20):
        mark = len(world.steps.calls)
        done = world.reconcile()
        assert len(world.steps.since(mark, "venue.trades")) <= MOST_REQUESTS + 1
        cursor = world.ledger.cursor(ACCOUNT, SYMBOL)
        assert cursor is not None
        stood.append(cursor.read_until)
        if SYMBOL not in done.uncovered:
            return stood
        assert f"read until {cursor.read_until:%FT%TZ}" in done.uncovered[SYMBOL]
        world.advance(minutes=1)
    raise AssertionError(stood)


def test_r43_a_years_outage_is_read_in_bounded_steps_that_are_kept() -> None:
    world = ready()
    world.advance(days=365)
    stood = runs_until_covered(world)
    assert stood == sorted(set(stood)), "each run gets further"
    assert len(stood) == 7
    assert world.incidents() == []


def test_r43_a_symbol_added_to_a_year_old_account_starts_now() -> None:
    world = ready()
    world.advance(days=365)
    runs_until_covered(world)
    limits = make_limits(max_position_notional={SYMBOL: "5000", ETHER: "5000"})
    world.configure(make_document(symbols=(SYMBOL, ETHER), limits=limits))
    load_candles(world.store, world.document, ETHER, "1h", flat_candles())
    world.advance(minutes=1)
    mark = len(world.steps.calls)
    done = world.reconcile()
    assert (done.clean, done.uncovered) == (True, {})
    # Two passes, since the symbol's asset enters the opening: one window of each symbol in each.
    assert len(world.steps.since(mark, "venue.trades")) == 2 * 2


def test_r43_one_symbol_that_is_far_behind_keeps_no_other_from_being_read() -> None:
    limits = make_limits(max_position_notional={SYMBOL: "5000", ETHER: "5000"})
    world = ready(document=make_document(symbols=(SYMBOL, ETHER), limits=limits))
    world.advance(days=365)
    world.reconcile()
    reached = [world.ledger.cursor(ACCOUNT, symbol) for symbol in (SYMBOL, ETHER)]
    assert all(cursor is not None and cursor.read_until > NOW + timedelta(days=25) for cursor in reached)


def test_r43_balances_are_read_before_trades() -> None:
    world = ready()
    mark = len(world.steps.calls)
    world.reconcile()
    calls = world.steps.since(mark, "venue.")
    assert calls.index("venue.balances") < calls.index("venue.trades")


def of_at_most(size: int, trades: list[VenueTrade]) -> Any:
    """A venue that gives so many rows at most, and no way to turn the page."""

    def page(_call: str, perform: Any) -> TradePage:
        _, start, end, *_ = perform.args
        inside = tuple(trade for trade in trades if start <= trade.at <= end)
        return TradePage(trades=inside[:size], full=len(inside) >= size)

    return page


def test_r44_a_full_page_is_read_in_halves_until_it_is_not_full() -> None:
    world = ready()
    trades = [make_trade(f"F{number}", at=NOW + timedelta(minutes=number)) for number in range(40)]
    world.steps.always("venue.trades", of_at_most(10, trades))
    world.advance(minutes=45)
    world.reconcile()
    assert {trade.trade_id for trade in world.ledger.unattributed_trades(ACCOUNT)} == {f"F{n}" for n in range(40)}
    cursor = world.ledger.cursor(ACCOUNT, SYMBOL)
    assert cursor is not None
    assert cursor.read_until == world.now


def test_r44_more_trades_in_one_second_than_a_page_holds_are_told_as_that() -> None:
    world = ready()
    world.advance(minutes=1)
    world.steps.always("venue.trades", instead(TradePage(trades=(), full=True)))
    done = world.reconcile()
    assert "more trades within a second" in done.uncovered[SYMBOL]
    assert NotUnderstood.told_as not in done.reason
