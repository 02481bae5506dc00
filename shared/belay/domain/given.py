"""Rows that a person gave for an order's fills, and the true trades that take their place. Asks nobody."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from belay.domain.fills import Fill
from belay.domain.orders import WORKING, Order, OrderEvent
from belay.domain.record import ZERO
from belay.domain.venues import VenueOrder, VenueStatus, VenueTrade

# How far apart the times of a trade and of its copy may be: pages show whole seconds.
SAME_TIME = timedelta(seconds=1)


class Shown(NamedTuple):
    """What the venue shows beside a trade: its order, if it does, and the keys of the trades that it tells now."""

    order: VenueOrder | None = None
    trades: frozenset[str] = frozenset()


NOTHING_SHOWN = Shown()


def replaced_by(order: Order, trade: VenueTrade, given: Iterable[VenueTrade], shown: Shown) -> tuple[VenueTrade, ...]:
    """The rows of the order that `trade`, which the venue tells, proves to have been copied wrongly.

    Those are the likest ones, where it makes more of the order than was asked for, or than the venue says was filled,
    and they make room for it; and of an order that is over, one that differs in nothing but its ids. What the venue
    tells under its own key is never among them.
    """
    if order.attempt is None:
        return ()
    rows = sorted((row for row in given if row.key not in shown.trades), key=lambda row: _unlikeness(row, trade))
    beyond = order.filled_quantity + trade.quantity - _most(order, order.attempt.request.quantity, shown.order)
    if beyond <= 0:
        return tuple(row for row in rows[:1] if order.state not in WORKING and _is_copy(row, trade))
    found, room = list[VenueTrade](), ZERO
    for row in rows:
        if room < beyond:
            found.append(row)
            room += row.quantity
    return tuple(found) if room >= beyond else ()


def as_told(fill: Fill, events: Iterable[OrderEvent]) -> VenueTrade:
    """A fill's trade, where a person gave it as the venue told it since."""
    for event in events if fill.given else ():
        trade = event.detail.get("trade")
        if "instead_of" in event.detail and fill.key in event.detail["instead_of"]:
            told = VenueTrade.model_validate(trade)
            return told if told.key == fill.key else fill.trade
    return fill.trade


def _most(order: Order, asked: Decimal, seen: VenueOrder | None) -> Decimal:
    """The most that can be filled of it."""
    if seen is None or seen.status in (VenueStatus.OPEN, VenueStatus.FILLED):
        return asked
    return max(seen.filled_quantity, order.venue_filled)


def _unlikeness(row: VenueTrade, trade: VenueTrade) -> tuple[object, ...]:
    differs = row.quantity != trade.quantity, row.venue_order_id != trade.venue_order_id, row.price != trade.price
    return (*differs, abs(row.at - trade.at), -row.quantity, row.key)


def _is_copy(row: VenueTrade, trade: VenueTrade) -> bool:
    same = (row.side, row.quantity, row.price) == (trade.side, trade.quantity, trade.price)
    return same and abs(row.at - trade.at) < SAME_TIME
