"""Read what reconciliation compares: the ledger first, then the venue. Writes nothing.

Each order, symbol and price is read on its own: what fails is a gap in what is known of its symbol, and no more.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from pydantic import ValidationError

from belay.domain.account import Account
from belay.domain.errors import (
    AccountRefused,
    BelayError,
    NotUnderstood,
    SymbolUnavailable,
    Unreadable,
    VenueUnavailable,
)
from belay.domain.identity import of_this_account
from belay.domain.incidents import IncidentKind
from belay.domain.market import Price
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.reconciliation import MANY, LedgerView, VenueView
from belay.domain.record import Record, Symbol, Utc, digest
from belay.domain.venues import UnreadRow, VenueOrder, VenueTrade, readable, unread
from belay.ports import Cursor
from belay.workflows.session import CLOCKS_APART, Session
from belay.workflows.sightings import MAY_BE_SIGHTED, sight
from belay.workflows.updates import AUTHOR
from belay.workflows.windows import Budget, History, read_history

OVERLAP = timedelta(seconds=60)
# How far back the history is read again for an order whose fills it still owes.
OWED = timedelta(days=1)
# A price of something held that is older than this is no price any more: its market stands still.
PRICE_BOUND = timedelta(hours=1)
# Flows among which an order's missing fills are looked for.
LATEST = 100


class Gap(Record):
    """Something of a symbol that could not be read. `silent` and `behind` mend themselves; the others are told."""

    symbol: Symbol
    what: str
    problem: str
    kind: Literal["silent", "behind", "unavailable", "not_understood", "failed"]

    @property
    def of_price(self) -> bool:
        """Whether it is only not known what something is worth: no balance hangs on that."""
        return self.what == price_of(self.symbol)

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


def price_of(symbol: str) -> str:
    return f"price of {symbol}"


class Gaps(list[Gap]):
    """What could not be read, and why. `gone`: symbols that are neither listed here nor held; that the venue has them
    no longer is no news. Orders that a person ended are still asked about in them."""

    refusal: tuple[str, str] | None = None
    gone: frozenset[str] = frozenset()

    def note(self, symbol: str, what: str, error: Exception) -> None:
        if isinstance(error, SymbolUnavailable) and symbol in self.gone:
            return
        self.append(Gap(symbol=symbol, what=what, problem=told(error), kind=_kind(error)))
        if isinstance(error, AccountRefused):
            self.refusal = (error.code, error.remedy)

    def tried[T](self, symbol: str, what: str, read: Callable[[], T]) -> T | None:
        """What a read gives; None where it fails, which is noted."""
        try:
            return read()
        except Exception as error:
            self.note(symbol, what, error)
            return None


def _kind(error: Exception) -> Literal["silent", "unavailable", "not_understood", "failed"]:
    match error:
        case SymbolUnavailable():
            return "unavailable"
        case NotUnderstood():
            return "not_understood"
        case VenueUnavailable():
            return "silent"
    return "failed"


def told(error: Exception) -> str:
    """An error in words; of one that is not ours only what cannot hold a secret."""
    if isinstance(error, BelayError):
        return str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return f"{error.title}.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return type(error).__name__


class Views(Record):
    """Both sides as read. `gaps` says what could not be read: for its symbol nothing is proven, but everything that was
    read still counts. `fully_read` are the symbols whose trades were read to the end, `read_until` how far those of
    each were. `unread` are rows that are not understood. `waiting` are keys of trades kept as unattributed,
    `no_longer_waiting` those of them that were counted meanwhile. `prices` are those of what is held. `refusal` is code
    and remedy where the venue refuses a part to this key. `offset` is how far the venue's clock was from the machine's.
    `missing` are orders that hold a reservation and are not in the ledger. `later` says what only a later version can
    act on: with any of it, too, nothing is proven; trades that it keeps are left to it. `read_at` is venue time once
    the last order was read, `venue.time` before the first: a frozen process may lie between them."""

    ledger: LedgerView
    venue: VenueView
    fully_read: tuple[str, ...]
    read_until: dict[str, datetime]
    gaps: tuple[Gap, ...]
    unread: tuple[UnreadRow, ...]
    prices: dict[str, Price]
    refusal: tuple[str, str] | None = None
    waiting: frozenset[str]
    no_longer_waiting: tuple[VenueTrade, ...]
    missing: tuple[str, ...]
    later: tuple[str, ...] = ()
    offset: timedelta
    lag: timedelta
    read_at: Utc

    @property
    def clocks_agree(self) -> bool:
        """Otherwise one of the two is broken, and nothing is concluded from the time that passed."""
        return abs(self.offset) <= CLOCKS_APART

    @property
    def failure(self) -> VenueUnavailable | None:
        """What kept a part from being read, as far as that is the venue's silence or its refusal of this key."""
        if self.refusal is not None:
            return AccountRefused(*self.refusal)
        silent = [str(gap) for gap in self.gaps if gap.kind == "silent"]
        return VenueUnavailable("; ".join(silent)) if silent else None

    @property
    def unsettled(self) -> frozenset[str]:
        """The symbols of which the next run may know more: what does not match there may only be unread, or be a trade
        of an order whose outcome is still open."""
        passing = frozenset(gap.symbol for gap in self.gaps if gap.kind in ("silent", "behind"))
        return passing | {trade.symbol for trade in self.venue.trades if trade.key in self.venue.sightings}


def read(session: Session, budget: Budget | None = None) -> Views:
    """Account, orders and cursors from the ledger; open orders, look-ups, balances, trades and prices from the venue.

    Raises:
        VenueUnavailable: time, open orders or balances could not be read; nothing can be compared then.
    """
    ledger, account_name = session.services.ledger, session.document.account
    gaps, budget = Gaps(), budget or Budget()
    account = ledger.account(account_name)
    # The index may lag, and lies where a strategy's process can write; a reservation does not.
    named = {order.order_id for order in ledger.open_orders(account_name)} | account.reservations.keys()
    now = session.market_data.time()
    found = {order_id: order for order_id in sorted(named) if (order := ledger.order(order_id))}
    found |= {order.order_id: order for order in _ended_by_word(session, account, now)}
    ours = (order for order in found.values() if order.account == account_name)
    watched = {order.order_id: order for order in ours if not order.settled or order.word is not None}
    gaps.gone = frozenset(order.symbol for order in watched.values()) - _listed(session, account)
    offset = now - session.clock.now()
    listed = session.venue.open_orders()
    shown = readable(listed)
    lookups = _look_up(session, watched.values(), shown, gaps, budget)
    balances = of_this_account(account, session.venue.balances())
    symbols = _symbols(session, account, watched.values())
    later: list[str] = []
    cursors = _cursors(session, symbols, gaps, later)
    histories = list(_histories(session, account, watched.values(), cursors, now, gaps, budget))
    kept = _waiting(session, account, watched.values(), symbols)
    waiting = [trade for trade in kept if trade.understood]
    not_ours = {trade.key for trade in kept if not trade.understood}
    later += [f"the trade {key} that waits for its order" for key in sorted(not_ours)]
    said = _said(session, account, watched.values())
    told = (trade for history in histories for trade in history.trades)
    trades = {trade.key: trade for trade in (*said, *waiting, *told)}
    trades = {key: trade for key, trade in trades.items() if key not in not_ours}
    dealt_with = {key for cursor in cursors.values() if cursor for key in cursor.recent_keys}
    dealt_with -= {trade.key for trade in (*said, *waiting)}
    new_trades = [trade for trade in trades.values() if trade.key not in dealt_with]
    orders, by_venue_id = _match(session, found, shown, lookups, new_trades, gaps)
    strays = [trade for trade in new_trades if not _named(trade, orders, by_venue_id)]
    dealt_with |= {trade.key for trade in strays if ledger.flow(account_name, trade.key) is not None}
    strays = [trade for trade in strays if trade.key not in dealt_with]
    seen, sightings = sight(session, watched.values(), strays, now)
    lookups |= seen
    by_venue_id |= {(order.symbol, order.venue_order_id): order_id for order_id, order in seen.items()}
    compared = LedgerView(
        account=account,
        document=session.document,
        orders=orders,
        by_venue_id=by_venue_id,
        recorded_trades=frozenset(dealt_with),
        last_proof=ledger.last_proof(account_name),
        owing=tuple(flow.trade for key in account.owing if (flow := ledger.flow(account_name, key)) and flow.trade),
    )
    stored = frozenset(trade.key for trade in waiting)
    counted = _counted(session, compared, new_trades, stored, {trade.key for trade in said})
    absent = [order_id for order_id in account.reservations if order_id not in found]
    unreadable = [order_id for order_id in absent if ledger.is_later(order_id)]
    return Views(
        ledger=compared.model_copy(update={"recorded_trades": compared.recorded_trades | counted}),
        venue=VenueView(
            time=now,
            open_orders=shown,
            lookups=lookups,
            trades=tuple(sorted(trades.values(), key=lambda trade: (trade.at, trade.key))),
            balances=balances,
            sightings=sightings,
        ),
        fully_read=tuple(history.symbol for history in histories if history.read_until == now),
        read_until={history.symbol: history.read_until for history in histories},
        prices=_prices(session, account, now, gaps),
        gaps=tuple(gaps),
        unread=(*unread(listed), *balances.unread, *(row for history in histories for row in history.unread)),
        refusal=gaps.refusal,
        waiting=stored,
        no_longer_waiting=tuple(trade for trade in waiting if trade.key in counted),
        offset=offset,
        lag=timedelta(seconds=session.venue.profile.history_lag_seconds),
        missing=tuple(order_id for order_id in absent if order_id not in unreadable),
        later=(*later, *(f"the order {order_id}" for order_id in unreadable)),
        read_at=max(now, session.market_data.time() if seen else balances.at),
    )


# --- orders ----------------------------------------------------------------------------------------------------------


def _look_up(
    session: Session, watched: Iterable[Order], shown: tuple[VenueOrder, ...], gaps: Gaps, budget: Budget
) -> dict[str, VenueOrder | None]:
    """Every order that was ever sent and is not among the venue's open ones, by client order id."""
    open_ids = {seen.client_order_id for seen in shown}
    found: dict[str, VenueOrder | None] = {}
    for order in watched:
        if order.state in NEVER_SENT or order.order_id in open_ids:
            continue
        what = f"look-up of {order.order_id}"
        if not budget.has_time:
            gaps.append(Gap(symbol=order.symbol, what=what, problem="no time left in this run", kind="behind"))
            continue
        try:
            found[order.order_id] = session.venue.lookup(order.symbol, order.order_id)
        except Exception as error:
            gaps.note(order.symbol, what, error)
    return found


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


# --- symbols ---------------------------------------------------------------------------------------------------------


def _symbols(session: Session, account: Account, watched: Iterable[Order]) -> list[str]:
    return sorted(_listed(session, account) | {order.symbol for order in watched})


def _listed(session: Session, account: Account) -> frozenset[str]:
    return frozenset({*session.document.symbols, *account.held_symbols()} - account.given_up)


def _cursors(session: Session, symbols: Iterable[str], gaps: Gaps, later: list[str]) -> dict[str, Cursor | None]:
    """By symbol. Where one cannot be read, it is not known where to read on: nothing of the symbol is."""
    ledger, found = session.services.ledger, dict[str, Cursor | None]()
    for symbol in symbols:
        try:
            found[symbol] = ledger.cursor(session.document.account, symbol)
        except Unreadable as error:
            later.append(error.field)
        except Exception as error:
            gaps.note(symbol, "cursor", error)
    return found


def _histories(
    session: Session,
    account: Account,
    watched: Iterable[Order],
    cursors: dict[str, Cursor | None],
    now: datetime,
    gaps: Gaps,
    budget: Budget,
) -> Iterator[History]:
    lag = timedelta(seconds=session.venue.profile.history_lag_seconds)
    share = budget.share(len(cursors))
    for symbol, cursor in cursors.items():
        start = _start(cursor, max(OVERLAP, lag), account, [o for o in watched if o.symbol == symbol], now)
        what = f"trades of {symbol}"
        taken = partial(_taken_as_they_are, session)
        history = gaps.tried(symbol, what, partial(read_history, session, symbol, start, now, budget, share, taken))
        if history is None:
            continue
        if history.behind:
            problem = f"read until {history.read_until:%FT%TZ}, the next run goes on"
            gaps.append(Gap(symbol=symbol, what=what, problem=problem, kind="behind"))
        yield history


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


def _prices(session: Session, account: Account, now: datetime, gaps: Gaps) -> dict[str, Price]:
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


# --- trades ----------------------------------------------------------------------------------------------------------


def _waiting(
    session: Session, account: Account, watched: Iterable[Order], symbols: Iterable[str]
) -> tuple[VenueTrade, ...]:
    """The trades without an order that may still find theirs, and the latest of the others, to tell of them."""
    hopeful = {order.symbol for order in watched if order.state in MAY_BE_SIGHTED or not order.explained}
    stopped = {stop.symbol for stop in account.stops if stop.incident and stop.symbol}
    loose = partial(session.services.ledger.loose_trades, session.document.account)
    return tuple(
        trade for symbol in sorted({*symbols, *stopped}) for trade in loose(symbol, None if symbol in hopeful else MANY)
    )


def _said(session: Session, account: Account, watched: Iterable[Order]) -> tuple[VenueTrade, ...]:
    """The trades that a person spoke of, and that prove to be fills which the venue still owes to an order."""
    owed = {(order.symbol, name) for order in watched if not order.explained for name in order.venue_order_ids}
    flows = session.services.ledger.flows(account.account, LATEST) if owed and account.external else ()
    trades = (flow.trade for flow in flows if flow.trade is not None and flow.fill_of is None)
    return tuple(trade for trade in trades if (trade.symbol, trade.venue_order_id) in owed)


def _named(trade: VenueTrade, orders: dict[str, Order], by_venue_id: dict[tuple[str, str], str]) -> bool:
    return trade.client_order_id in orders or (trade.symbol, trade.venue_order_id) in by_venue_id


def _match(
    session: Session,
    found: dict[str, Order],
    shown: tuple[VenueOrder, ...],
    lookups: dict[str, VenueOrder | None],
    new_trades: list[VenueTrade],
    gaps: Gaps,
) -> tuple[dict[str, Order], dict[tuple[str, str], str]]:
    """The orders that anything at the venue refers to, settled ones included, and which venue order is whose."""
    ledger, account = session.services.ledger, session.document.account
    orders = dict(found)
    by_venue_id = {(s.symbol, s.venue_order_id): order_id for order_id, s in lookups.items() if s is not None}
    mentioned: tuple[VenueOrder | VenueTrade, ...] = (*shown, *new_trades)
    for seen in mentioned:
        key = (seen.symbol, seen.venue_order_id)
        if key in by_venue_id:
            continue
        owner = partial(ledger.order_of_venue_id, account, *key)
        order_id = seen.client_order_id or gaps.tried(seen.symbol, f"owner of {seen.venue_order_id}", owner)
        order = orders.get(order_id) or ledger.order(order_id) if order_id else None
        if order is not None and order.account == account:
            orders[order.order_id] = order
            by_venue_id[key] = order.order_id
    return orders, by_venue_id


def _counted(
    session: Session,
    view: LedgerView,
    trades: Collection[VenueTrade],
    waiting: frozenset[str],
    said: Collection[str],
) -> frozenset[str]:
    """The fills of the orders that these trades belong to, and the flows: a cursor that was not moved on does not know
    of them. What waits without an owner is no flow, or it would not wait."""
    owners = {order.decision_id for trade in trades if (order := view.order_for(trade))}
    stories = (session.services.ledger.story(decision_id) for decision_id in sorted(owners))
    fills = {fill.key for story in stories if story for fill in story.fills}
    # Where nobody ever recorded a flow, none is looked for.
    doubtful = [trade for trade in trades if trade.key not in {*fills, *said}] if view.account.external else []
    asked = (trade.key for trade in doubtful if trade.key not in waiting or view.owner(trade))
    flows = {key for key in asked if session.services.ledger.flow(session.document.account, key)}
    return frozenset(fills | flows)


def next_cursor(views: Views, symbol: str) -> Cursor:
    """Where reading goes on: past what was read, remembering which trades of the next overlap are dealt with."""
    until = views.read_until[symbol]
    since = until - 2 * max(OVERLAP, views.lag)
    recent = tuple(trade.key for trade in views.venue.trades if trade.symbol == symbol and trade.at >= since)
    return Cursor(symbol=symbol, read_until=until, recent_keys=recent)
