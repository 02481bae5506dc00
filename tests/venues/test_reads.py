"""Broken answers to reads while an order's outcome is open: never evidence. The gate closes, nothing is lost, and all
of it goes on by itself once the venue answers again."""

from itertools import product

import pytest

from belay.domain.decisions import Side
from belay.domain.orders import UNRESOLVED, Order, OrderState
from tests.venues.desk import LIMITS, Desk, NewDesk

S = OrderState
BROKEN = (
    "accept_html",
    "accept_empty",
    "accept_truncated",
    "accept_braces",
    "accept_status",
    "accept_hang",
    "redirect",
    "rate_limited",
    "banned",
)
LOOKUPS = {"binance": "query_order", "kraken": "closed_orders"}
READS = ("lookup", "open_orders", "trades", "balances", "time")
# Answers after which nothing is asked for a while, whatever the symbol.
WAITS_WITH_EVERYTHING = ("rate_limited", "banned")
OUTAGE_SECONDS = 150
GATE_SECONDS = 120


def strict(new_desk: NewDesk, venue: str) -> Desk:
    """A desk in two symbols whose gate closes soon."""
    desk = new_desk(venue, bases=("BTC", "ETH"))
    limits = desk.document.limits.model_copy(update={"max_reconciliation_age_seconds": GATE_SECONDS})
    desk.configure(desk.document.model_copy(update={"limits": limits}))
    desk.open_gate()
    return desk


def nothing_goes_out(desk: Desk) -> Order:
    """An entry in another symbol: it waits for the gate."""
    entry = desk.by_hand(2, symbol=desk.pair("ETH"))
    desk.deliver()
    assert (desk.state(entry), desk.sent(entry)) == (S.CREATED, [])
    assert desk.causes(entry)[-1].startswith("waiting: ")
    return entry


def entered(desk: Desk, fault: str, **order: object) -> Order:
    desk.server.add_fault(fault)
    entry = desk.enter(**order)
    desk.deliver()
    assert desk.state(entry) is S.UNKNOWN
    return entry


@pytest.mark.parametrize(("venue", "read", "fault"), [*product(LOOKUPS, READS, BROKEN)])
def test_a_lost_answer_is_not_concluded_from_broken_reads_and_is_found_afterwards(
    new_desk: NewDesk, venue: str, read: str, fault: str
) -> None:
    desk = strict(new_desk, venue)
    order = entered(desk, "accept_close")
    desk.server.add_fault(fault, kind=LOOKUPS[venue] if read == "lookup" else read, times=None)
    desk.go_on(OUTAGE_SECONDS)
    assert not any(run.clean and order.symbol not in run.uncovered for run in desk.reconciled[1:])
    elsewhere = desk.by_hand(2, symbol=desk.pair("ETH"))
    desk.deliver()
    # What cannot be looked up keeps its own symbol from being covered, and no other.
    assert bool(desk.sent(elsewhere)) == (read == "lookup" and fault not in WAITS_WITH_EVERYTHING)
    desk.server.clear_faults()
    desk.settle()
    # Trades that are not understood are an incident of each symbol, which stops it.
    stopped = (read, fault) == ("trades", "accept_braces")
    assert (desk.state(order), desk.state(elsewhere)) == (S.FILLED, S.DENIED if stopped else S.FILLED)
    desk.go_on(120)  # an incident is over once two runs have not seen its fact
    desk.check()


@pytest.mark.parametrize(("venue", "fault"), [*product(LOOKUPS, BROKEN)])
def test_absence_is_not_concluded_while_nothing_can_be_read_and_is_proven_afterwards(
    new_desk: NewDesk, venue: str, fault: str
) -> None:
    desk = strict(new_desk, venue)
    order = entered(desk, "drop")
    desk.server.add_fault(fault, kind=None, times=None)
    desk.go_on(OUTAGE_SECONDS)
    assert (desk.state(order), desk.order(order.order_id).misses) == (S.UNKNOWN, ())
    desk.server.clear_faults()
    waiting = nothing_goes_out(desk)
    desk.settle()
    assert (desk.state(order), desk.state(waiting)) == (S.NOT_SENT, S.FILLED)
    desk.check()


def shown_nowhere(desk: Desk) -> None:
    """A resting order whose answer was lost, while every list and look-up of orders answers `{}`."""
    order = entered(desk, "accept_empty", limit_price=LIMITS[Side.BUY])
    for kind in (LOOKUPS[desk.venue], "open_orders"):
        desk.server.add_fault("accept_braces", kind=kind, times=None)
    desk.go_on(300)
    assert desk.state(order) in UNRESOLVED
    desk.server.clear_faults()
    desk.settle()
    desk.check()
    assert desk.state(order) is S.FILLED


@pytest.mark.parametrize("venue", LOOKUPS)
def test_an_order_that_is_shown_nowhere_because_nothing_is_shown_is_not_absent(new_desk: NewDesk, venue: str) -> None:
    shown_nowhere(strict(new_desk, venue))
