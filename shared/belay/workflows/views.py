"""Read what reconciliation compares: the ledger first, then the venue. Writes nothing."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from belay.domain.account import Account
from belay.domain.errors import AccountRefused, Unreadable, VenueUnavailable
from belay.domain.orders import NEVER_SENT, Order
from belay.domain.reconciliation import LedgerView, VenueView
from belay.domain.record import Record, digest
from belay.domain.venues import VenueOrder, VenueTrade, readable
from belay.ports import Cursor
from belay.workflows.session import CLOCKS_APART, Session

OVERLAP = timedelta(seconds=60)
MOST_PAGES = 1000  # of a symbol's trades in one run; more than a run has time for


class Gaps(list[str]):
    """What could not be read, and why."""

    refusal: tuple[str, str] | None = None

    def note(self, what: str, error: VenueUnavailable) -> None:
        self.append(f"{what}: {error}")
        if isinstance(error, AccountRefused):
            self.refusal = (error.code, error.remedy)


class Views(Record):
    """Both sides as read. `fully_read` are the symbols whose trade window was read to its end; `gaps` says what
    could not be read: with a gap nothing is proven, but everything that was read still counts. `waiting` are the keys
    of the trades that are kept as unattributed, `no_longer_waiting` those of them that were counted meanwhile.
    `refusal` is code and remedy where the venue refuses a part to this key. `offset` is how far the venue's clock was
    from the machine's. `missing` are orders that hold a reservation and are not in the ledger. `later` says what only
    a later version can act on: with any of it, too, nothing is proven; trades that it keeps are left to it."""

    ledger: LedgerView
    venue: VenueView
    fully_read: tuple[str, ...]
    gaps: tuple[str, ...]
    refusal: tuple[str, str] | None = None
    waiting: frozenset[str]
    no_longer_waiting: tuple[VenueTrade, ...]
    missing: tuple[str, ...]
    later: tuple[str, ...] = ()
    offset: timedelta

    @property
    def clocks_agree(self) -> bool:
        """Otherwise one of the two is broken, and nothing is concluded from the time that passed."""
        return abs(self.offset) <= CLOCKS_APART

    @property
    def failure(self) -> VenueUnavailable | None:
        """What kept a part from being read: a refusal of this key before mere silence."""
        if self.refusal is not None:
            return AccountRefused(*self.refusal)
        return VenueUnavailable("; ".join(self.gaps)) if self.gaps else None

    @property
    def read_at(self) -> datetime:
        """Venue time once everything was read. `venue.time` was read first: a frozen process may lie between them."""
        return max(self.venue.time, self.venue.balances.at)


def read(session: Session) -> Views:
    """Account, open orders and cursors from the ledger; open orders, look-ups, trades and balances from the venue.

    Raises:
        VenueUnavailable: time, open orders or balances could not be read; nothing can be compared then.
    """
    ledger, account_name = session.services.ledger, session.document.account
    gaps = Gaps()
    account = ledger.account(account_name)
    # The index may lag, and lies where a strategy's process can write; a reservation does not.
    named = {order.order_id for order in ledger.open_orders(account_name)} | account.reservations.keys()
    now = session.market_data.time()
    kept = ledger.unattributed_trades(account_name)
    waiting = [trade for trade in kept if trade.understood]
    not_ours = {trade.key for trade in kept if not trade.understood}
    found = {order_id: order for order_id in sorted(named) if (order := ledger.order(order_id))}
    found |= {order.order_id: order for order in _ended_by_word(session, account, waiting, now)}
    ours = (order for order in found.values() if order.account == account_name)
    watched = {order.order_id: order for order in ours if not order.settled or order.word is not None}
    offset = now - session.clock.now()
    listed = session.venue.open_orders()
    shown = readable(listed)
    lookups = _look_up(session, watched.values(), shown, gaps)
    unexplained = [order for order in watched.values() if not order.explained]
    symbols = sorted({*session.document.symbols, *account.held_symbols(), *(o.symbol for o in watched.values())})
    later: list[str] = []
    cursors = _cursors(session, symbols, later)
    overlap = max(OVERLAP, timedelta(seconds=session.venue.profile.history_lag_seconds))
    starts = {symbol: _start(symbol, cursor, overlap, account, unexplained, now) for symbol, cursor in cursors.items()}
    windows = {
        symbol: window
        for symbol, start in starts.items()
        if (window := _window(session, symbol, start, now, gaps)) is not None
    }
    later += [f"the trade {key} that waits for its order" for key in sorted(not_ours)]
    trades = {trade.key: trade for trade in (*waiting, *(trade for window in windows.values() for trade in window))}
    dealt_with = {key for cursor in cursors.values() if cursor for key in cursor.recent_keys}
    dealt_with -= {trade.key for trade in waiting}
    trades = {key: trade for key, trade in trades.items() if key not in not_ours}
    new_trades = [trade for trade in trades.values() if trade.key not in dealt_with]
    balances = session.venue.balances()
    orders, by_venue_id = _match(session, found, shown, lookups, new_trades)
    compared = LedgerView(
        account=account,
        document=session.document,
        orders=orders,
        by_venue_id=by_venue_id,
        recorded_trades=frozenset(dealt_with),
        last_proof=ledger.last_proof(account_name),
    )
    stored = frozenset(trade.key for trade in waiting)
    counted = _counted(session, compared, new_trades, stored)
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
        ),
        fully_read=tuple(windows),
        gaps=tuple(gaps),
        refusal=gaps.refusal,
        waiting=stored,
        no_longer_waiting=tuple(trade for trade in waiting if trade.key in counted),
        offset=offset,
        missing=tuple(order_id for order_id in absent if order_id not in unreadable),
        later=(*later, *(f"the order {order_id}" for order_id in unreadable)),
    )


def _cursors(session: Session, symbols: Iterable[str], later: list[str]) -> dict[str, Cursor | None]:
    """By symbol. Where one cannot be read, it is not known where to read on: nothing of the symbol is."""
    found: dict[str, Cursor | None] = {}
    for symbol in symbols:
        try:
            found[symbol] = session.services.ledger.cursor(session.document.account, symbol)
        except Unreadable as error:
            later.append(error.field)
    return found


def _look_up(
    session: Session, watched: Iterable[Order], shown: tuple[VenueOrder, ...], gaps: Gaps
) -> dict[str, VenueOrder | None]:
    """Every order that was ever sent and is not among the venue's open ones, by client order id."""
    open_ids = {seen.client_order_id for seen in shown}
    found: dict[str, VenueOrder | None] = {}
    for order in watched:
        if order.state in NEVER_SENT or order.order_id in open_ids:
            continue
        try:
            found[order.order_id] = session.venue.lookup(order.symbol, order.order_id)
        except VenueUnavailable as error:
            gaps.note(f"look-up of {order.order_id}", error)
    return found


def _start(
    symbol: str,
    cursor: Cursor | None,
    overlap: timedelta,
    account: Account,
    unexplained: Iterable[Order],
    now: datetime,
) -> datetime:
    """Where to read on: with overlap, and again from the claim of an order whose fills the history still owes us."""
    opened_at = account.opened_at or now
    owed = (o.attempt.request.claimed_at for o in unexplained if o.symbol == symbol and o.attempt is not None)
    return max(opened_at, min(cursor.read_until - overlap if cursor else opened_at, *owed, now))


def _window(session: Session, symbol: str, start: datetime, now: datetime, gaps: Gaps) -> list[VenueTrade] | None:
    """A closed window, every page of it; None when a page could not be read, or there is no end of them."""
    found: list[VenueTrade] = []
    following: str | None = None
    try:
        for _ in range(MOST_PAGES):
            page = session.venue.trades(symbol, start, now, following)
            found.extend(page.trades)
            following = page.next_page
            if following is None:
                return found
    except VenueUnavailable as error:
        gaps.note(f"trades of {symbol}", error)
    else:
        gaps.note(f"trades of {symbol}", VenueUnavailable(f"more than {MOST_PAGES} pages"))
    return None


def _match(
    session: Session,
    found: dict[str, Order],
    shown: tuple[VenueOrder, ...],
    lookups: dict[str, VenueOrder | None],
    new_trades: list[VenueTrade],
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
        order_id = seen.client_order_id or ledger.order_of_venue_id(account, *key)
        order = orders.get(order_id) or ledger.order(order_id) if order_id else None
        if order is not None and order.account == account:
            orders[order.order_id] = order
            by_venue_id[key] = order.order_id
    return orders, by_venue_id


def _counted(
    session: Session, view: LedgerView, trades: Collection[VenueTrade], waiting: frozenset[str]
) -> frozenset[str]:
    """The fills of the orders that these trades belong to, and the flows: a cursor that was not moved on does not know
    of them. What waits without an owner is no flow, or it would not wait."""
    owners = {order.decision_id for trade in trades if (order := view.order_for(trade))}
    stories = (session.services.ledger.story(decision_id) for decision_id in sorted(owners))
    fills = {fill.key for story in stories if story for fill in story.fills}
    # Where nobody ever recorded a flow, none is looked for.
    doubtful = [trade for trade in trades if trade.key not in fills] if view.account.external else []
    asked = (trade.key for trade in doubtful if trade.key not in waiting or view.owner(trade))
    flows = {key for key in asked if session.services.ledger.flow(session.document.account, key)}
    return frozenset(fills | flows)


def _ended_by_word(
    session: Session, account: Account, waiting: Collection[VenueTrade], now: datetime
) -> Iterator[Order]:
    """The orders that ended by an operator's word and are looked up in this run: each once an hour, in a minute of its
    own, and while a trade stands that could be of it. What the venue shows as open, and trades that name their order,
    are seen without."""
    for order_id in (order_id for order_id, until in account.watched.items() if now < until):
        due = int(digest(order_id)[:8], 16) % 60 == now.minute
        order = session.services.ledger.order(order_id) if due or waiting else None
        could_be = order and any((trade.symbol, trade.side) == (order.symbol, order.side) for trade in waiting)
        if order is not None and order.word is not None and (due or could_be):
            yield order


def next_cursor(views: Views, symbol: str) -> Cursor:
    """Where reading goes on: past this window, remembering which trades of the next overlap are dealt with."""
    since = views.venue.time - 2 * OVERLAP
    recent = tuple(trade.key for trade in views.venue.trades if trade.symbol == symbol and trade.at >= since)
    return Cursor(symbol=symbol, read_until=views.venue.time, recent_keys=recent)
