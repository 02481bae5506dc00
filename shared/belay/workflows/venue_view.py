"""What the venue says: open orders, look-ups, balances, trades and prices. Writes nothing.

Each order, symbol and price is read on its own: what fails is a gap in what is known of its symbol.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from belay.domain.account import Account
from belay.domain.identity import of_this_account
from belay.domain.incidents import IncidentKind
from belay.domain.market import Price
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.venues import Balances, UnreadRow, VenueOrder, readable, unread
from belay.ports import Cursor
from belay.workflows.gaps import LOOK_UP, Gap, Gaps, price_of
from belay.workflows.ledger_view import Known
from belay.workflows.session import Session
from belay.workflows.updates import AUTHOR
from belay.workflows.windows import Budget, History, read_history

# How far back the history is read again for an order whose fills it still owes.
OWED = timedelta(days=1)
# A price of something held that is older than this is no price any more: its market stands still.
PRICE_BOUND = timedelta(hours=1)


class Shown(NamedTuple):
    """Orders and balances as the venue shows them. `lookups`: by order id, None for a miss; without those that could
    not be looked up. `unread`: rows among the open orders and balances that are not understood."""

    open_orders: tuple[VenueOrder, ...]
    lookups: dict[str, VenueOrder | None]
    balances: Balances
    unread: tuple[UnreadRow, ...]


def read_shown(session: Session, known: Known, gaps: Gaps, budget: Budget) -> Shown:
    """Balances last: what an order did until it was looked at is in them.

    Raises:
        VenueUnavailable: open orders or balances could not be read.
    """
    listed = session.venue.open_orders()
    shown = readable(listed)
    lookups = _look_up(session, known.watched, shown, gaps, budget)
    balances = of_this_account(known.account, session.venue.balances())
    return Shown(shown, lookups, balances, unread=(*unread(listed), *balances.unread))


def _look_up(
    session: Session, watched: Iterable[Order], shown: tuple[VenueOrder, ...], gaps: Gaps, budget: Budget
) -> dict[str, VenueOrder | None]:
    """Every order that was ever sent and is not among the venue's open ones, by client order id."""
    open_ids = {seen.client_order_id for seen in shown}
    found: dict[str, VenueOrder | None] = {}
    for order in watched:
        if order.state in NEVER_SENT or order.order_id in open_ids:
            continue
        what = f"{LOOK_UP}{order.order_id}"
        if not budget.has_time:
            gaps.append(Gap(symbol=order.symbol, what=what, problem="no time left in this run", kind="behind"))
            continue
        try:
            found[order.order_id] = session.venue.lookup(order.symbol, order.order_id)
        except Exception as error:
            gaps.note(order.symbol, what, error)
    return found


def read_histories(
    session: Session,
    known: Known,
    cursors: dict[str, Cursor | None],
    overlap: timedelta,
    now: datetime,
    gaps: Gaps,
    budget: Budget,
) -> tuple[History, ...]:
    """The trades of each symbol since its cursor, `overlap` of it once more."""
    found: list[History] = []
    share, taken = budget.share(len(cursors)), partial(_taken_as_they_are, session)
    for symbol, cursor in cursors.items():
        start = _start(cursor, overlap, known.account, [o for o in known.watched if o.symbol == symbol], now)
        what = f"trades of {symbol}"
        history = gaps.tried(symbol, what, partial(read_history, session, symbol, start, now, budget, share, taken))
        if history is None:
            continue
        if history.behind:
            problem = f"read until {history.read_until:%FT%TZ}, the next run goes on"
            gaps.append(Gap(symbol=symbol, what=what, problem=problem, kind="behind"))
        found.append(history)
    return tuple(found)


def _start(
    cursor: Cursor | None, overlap: timedelta, account: Account, orders: Iterable[Order], now: datetime
) -> datetime:
    """Where to read on: with overlap, and again from the claim of an order whose fills the history still owes us. A
    symbol that was never read starts at its first order, or now."""
    opened_at = account.opened_at or now
    claims = [(o, o.attempt.request.claimed_at) for o in orders if o.attempt is not None]
    if cursor is None:
        return max(opened_at, min([now, *(claimed_at for _, claimed_at in claims)]))
    owed = [claimed_at for order, claimed_at in claims if not order.explained]
    earliest = cursor.read_until - max(OWED, overlap)
    return max(opened_at, earliest, min(cursor.read_until - overlap, now, *owed))


def _taken_as_they_are(session: Session, row: UnreadRow) -> bool:
    """Whether a person ended the incident about a row that nothing else can end."""
    incident_id = f"{IncidentKind.UNREADABLE_ROW}:{row.key}"
    known = session.services.ledger.incident(session.document.account, incident_id)
    return known is not None and known.status == "resolved" and known.resolved_by not in ("", AUTHOR)


def read_prices(session: Session, account: Account, now: datetime, gaps: Gaps) -> dict[str, Price]:
    """Of everything that is held, which is what others' limits are judged by."""
    exposed = sorted(account.exposed_symbols(session.document) - account.given_up)
    ask = session.market_data.price
    tried = {symbol: gaps.tried(symbol, price_of(symbol), partial(ask, symbol)) for symbol in exposed}
    prices = {symbol: price for symbol, price in tried.items() if price is not None}
    for symbol, price in prices.items():
        if now - price.at > PRICE_BOUND and not _dust(session, account, symbol, price):
            problem = f"the last one is of {price.at:%FT%TZ}"
            gaps.append(Gap(symbol=symbol, what=price_of(symbol), problem=problem, kind="unavailable"))
    return prices


def _dust(session: Session, account: Account, symbol: str, price: Price) -> bool:
    """Whether too little is held of it to be sold at all. What cannot be judged is none."""
    with suppress(Exception):
        return session.market_data.market(symbol).too_small(account.symbol_quantity(symbol), price.value)
    return False
