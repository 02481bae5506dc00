"""What the ledger says of an account: orders to ask about, how far trades were read, which it keeps. Writes nothing.

Whose the venue's trades are is told by `owners`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import NamedTuple

from belay.domain.account import Account
from belay.domain.errors import Unreadable
from belay.domain.orders import Order
from belay.domain.reconciliation import MANY
from belay.domain.record import digest
from belay.domain.venues import VenueTrade
from belay.ports import Cursor
from belay.workflows.gaps import Gaps
from belay.workflows.session import Session
from belay.workflows.sightings import MAY_BE_SIGHTED

# Flows among which an order's missing fills are looked for.
LATEST = 100


class Known(NamedTuple):
    """What the ledger says before the venue is asked. `orders`: by id, those that are open, hold a reservation, or
    ended by an operator's word and have their turn. `watched`: those of them that the venue is asked about. `symbols`:
    whose trades are read, `gone` those that are neither listed in the document nor held. `missing` are ids that hold a
    reservation and are not in the ledger, `later` those that only a later version can read."""

    account: Account
    orders: dict[str, Order]
    watched: tuple[Order, ...]
    symbols: tuple[str, ...]
    gone: frozenset[str]
    missing: tuple[str, ...]
    later: tuple[str, ...]


class Kept(NamedTuple):
    """Trades that the ledger keeps. `waiting`: without an order, so far; `later`: the same, a later version's to act
    on. `said`: those that a person spoke of, and that prove to be fills which the venue still owes to an order."""

    waiting: tuple[VenueTrade, ...]
    later: frozenset[str]
    said: tuple[VenueTrade, ...]

    @property
    def keys(self) -> frozenset[str]:
        """Of all that are acted on here."""
        return frozenset(trade.key for trade in (*self.waiting, *self.said))


def read_orders(session: Session, account: Account, named: Iterable[str], now: datetime) -> Known:
    """The orders `named`, and those that ended by word."""
    ledger = session.services.ledger
    found = {order_id: order for order_id in sorted(named) if (order := ledger.order(order_id))}
    found |= {order.order_id: order for order in _ended_by_word(session, account, now)}
    ours = (order for order in found.values() if order.account == session.document.account)
    watched = tuple(order for order in ours if not order.settled or order.word is not None)
    listed = frozenset({*session.document.symbols, *account.held_symbols()} - account.given_up)
    asked = frozenset(order.symbol for order in watched)
    absent = [order_id for order_id in account.reservations if order_id not in found]
    later = tuple(order_id for order_id in absent if ledger.is_later(order_id))
    return Known(
        account=account,
        orders=found,
        watched=watched,
        symbols=tuple(sorted(listed | asked)),
        gone=asked - listed,
        missing=tuple(order_id for order_id in absent if order_id not in later),
        later=later,
    )


def _ended_by_word(session: Session, account: Account, now: datetime) -> Iterator[Order]:
    """The orders that ended by an operator's word and are looked up in this run: each once an hour, in a minute of its
    own, and while a trade stands that could be of it. What the venue shows as open, and trades that name their order,
    are seen without."""
    ledger = session.services.ledger
    for order_id in (order_id for order_id, until in account.watched.items() if now < until):
        due = int(digest(order_id)[:8], 16) % 60 == now.minute
        order = ledger.order(order_id)
        if order is None or order.word is None:
            continue
        loose = () if due else ledger.loose_trades(account.account, order.symbol, MANY)
        if due or any(trade.side == order.side for trade in loose):
            yield order


def read_cursors(session: Session, symbols: Iterable[str], gaps: Gaps) -> dict[str, Cursor | None]:
    """By symbol. Where one cannot be read, it is not known where to read on: nothing of the symbol is."""
    ledger, found = session.services.ledger, dict[str, Cursor | None]()
    for symbol in symbols:
        try:
            found[symbol] = ledger.cursor(session.document.account, symbol)
        except Unreadable as error:
            gaps.later += (error.field,)
        except Exception as error:
            gaps.note(symbol, "cursor", error)
    return found


def read_kept(session: Session, known: Known, gaps: Gaps) -> Kept:
    waiting = _waiting(session, known)
    later = frozenset(trade.key for trade in waiting if not trade.understood)
    gaps.later += tuple(f"the trade {key} that waits for its order" for key in sorted(later))
    understood = tuple(trade for trade in waiting if trade.key not in later)
    return Kept(waiting=understood, later=later, said=_said(session, known))


def _waiting(session: Session, known: Known) -> tuple[VenueTrade, ...]:
    """The trades without an order that may still find theirs, and the latest of the others, to tell of them."""
    hopeful = {order.symbol for order in known.watched if order.state in MAY_BE_SIGHTED or not order.explained}
    stopped = {stop.symbol for stop in known.account.stops if stop.incident and stop.symbol}
    loose = partial(session.services.ledger.loose_trades, session.document.account)
    return tuple(
        trade
        for symbol in sorted({*known.symbols, *stopped})
        for trade in loose(symbol, None if symbol in hopeful else MANY)
    )


def _said(session: Session, known: Known) -> tuple[VenueTrade, ...]:
    """The trades that a person spoke of, and that prove to be fills which the venue still owes to an order."""
    account = known.account
    owed = {(order.symbol, name) for order in known.watched if not order.explained for name in order.venue_order_ids}
    flows = session.services.ledger.flows(account.account, LATEST) if owed and account.external else ()
    trades = (flow.trade for flow in flows if flow.trade is not None and flow.fill_of is None)
    return tuple(trade for trade in trades if (trade.symbol, trade.venue_order_id) in owed)
