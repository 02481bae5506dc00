"""Ledgers in the situations that the contract tests start from."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from belay.domain.decisions import DecisionRecord
from belay.domain.orders import Order
from belay.domain.transitions import Change, observe, record_fill, release
from belay.domain.venues import VenueOrder, VenueTrade
from belay.ports import Ledger
from tests.builders import (
    make_claim,
    make_configuration,
    make_decision,
    make_events,
    make_orders,
    make_stamp,
    make_trade,
    make_venue_order,
)

THREADS = 20


def decided(ledger: Ledger, record: DecisionRecord | None = None) -> Order:
    """Store a decision to trade; gives the first order of it as stored."""
    record = record or make_decision()
    orders = make_orders(record)
    ledger.record_decision(record, orders, make_events(record, orders))
    return orders[0]


def configured(ledger: Ledger) -> None:
    ledger.store_configuration(make_configuration())


def claimed(ledger: Ledger, record: DecisionRecord | None = None, write_id: str = "claim-1") -> Order:
    """An order with a committed claim."""
    if ledger.configuration("paper") is None:
        configured(ledger)
    order = decided(ledger, record)
    change = make_claim(order, ledger.account(order.account), write_id=write_id)
    ledger.commit(change)
    return change.order


def filled(ledger: Ledger, trade: VenueTrade | None = None, order: Order | None = None, write_id: str = "") -> Change:
    """The change that counts one trade of a claimed order, not committed."""
    order = order or claimed(ledger)
    trade = trade or make_trade()
    stamp = make_stamp(write_id or f"fill-{trade.trade_id}")
    return record_fill(order, ledger.account(order.account), trade, stamp)


def observed(ledger: Ledger, order: Order, seen: VenueOrder | None = None, write_id: str = "seen-1") -> Change:
    """The change that attaches the venue's order, not committed."""
    seen = seen or make_venue_order(order)
    change = observe(order, ledger.account(order.account), seen, "accepted", make_stamp(write_id))
    assert change is not None
    return change


def settled(ledger: Ledger, order: Order) -> Order:
    change = release(order, ledger.account(order.account), make_stamp(f"settle-{order.order_id}"), "explained")
    ledger.commit(change)
    return change.order


def together[T](action: Callable[[int], T]) -> list[T]:
    """Run an action in many threads that start at the same moment and give way to each other at every step.

    `action` gets the thread's number.
    """
    start = Barrier(THREADS)

    def run(number: int) -> T:
        start.wait()
        return action(number)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(run, range(THREADS)))
    finally:
        sys.setswitchinterval(usual)
