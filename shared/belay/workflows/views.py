"""Read what reconciliation compares: the ledger first, then the venue, then whose it is. Writes nothing."""

from datetime import datetime, timedelta

from belay.domain.errors import AccountRefused, VenueUnavailable
from belay.domain.market import Price
from belay.domain.reconciliation import LedgerView, VenueView
from belay.domain.record import Record, Utc
from belay.domain.venues import UnreadRow, VenueTrade
from belay.ports import Cursor
from belay.workflows.gaps import Gap, Gaps
from belay.workflows.ledger_view import read_cursors, read_kept, read_orders
from belay.workflows.owners import find_owners
from belay.workflows.session import CLOCKS_APART, Session
from belay.workflows.venue_view import read_histories, read_prices, read_shown
from belay.workflows.windows import Budget

OVERLAP = timedelta(seconds=60)


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
        return passing | self._sighted

    @property
    def moved_unseen(self) -> frozenset[str]:
        """The symbols of which there may be trades that moved a balance and were not read this time. What an order may
        have done whose outcome could not be asked for, its reservation bounds."""
        passing = (gap for gap in self.gaps if gap.kind in ("silent", "behind") and not gap.of_price)
        return frozenset(gap.symbol for gap in passing if not gap.of_outcome) | self._sighted

    @property
    def _sighted(self) -> frozenset[str]:
        return frozenset(trade.symbol for trade in self.venue.trades if trade.key in self.venue.sightings)


def read(session: Session, budget: Budget | None = None) -> Views:
    """Account, orders and cursors from the ledger; open orders, look-ups, balances, trades and prices from the venue.

    Raises:
        VenueUnavailable: time, open orders or balances could not be read; nothing can be compared then.
    """
    ledger, account_name = session.services.ledger, session.document.account
    gaps, budget = Gaps(), budget or Budget()
    lag = timedelta(seconds=session.venue.profile.history_lag_seconds)

    account = ledger.account(account_name)
    # The index may lag, and lies where a strategy's process can write; a reservation does not.
    named = {order.order_id for order in ledger.open_orders(account_name)} | account.reservations.keys()
    now = session.market_data.time()
    known = read_orders(session, account, named, now)
    gaps.gone = known.gone
    offset = now - session.clock.now()

    shown = read_shown(session, known, gaps, budget)
    cursors = read_cursors(session, known.symbols, gaps)
    histories = read_histories(session, known, cursors, max(OVERLAP, lag), now, gaps, budget)
    kept = read_kept(session, known, gaps)
    told = (trade for history in histories for trade in history.trades)
    trades = {trade.key: trade for trade in (*kept.said, *kept.waiting, *told) if trade.key not in kept.later}

    remembered = {key for cursor in cursors.values() if cursor for key in cursor.recent_keys}
    owned = find_owners(session, known, kept, shown, trades.values(), frozenset(remembered - kept.keys), now, gaps)
    return Views(
        ledger=owned.ledger,
        venue=VenueView(
            time=now,
            open_orders=shown.open_orders,
            lookups=shown.lookups | owned.seen,
            trades=tuple(sorted(trades.values(), key=lambda trade: (trade.at, trade.key))),
            balances=shown.balances,
            sightings=owned.sightings,
        ),
        fully_read=tuple(history.symbol for history in histories if history.read_until == now),
        read_until={history.symbol: history.read_until for history in histories},
        prices=read_prices(session, account, now, gaps),
        gaps=tuple(gaps),
        unread=(*shown.unread, *(row for history in histories for row in history.unread)),
        refusal=gaps.refusal,
        waiting=frozenset(trade.key for trade in kept.waiting),
        no_longer_waiting=tuple(trade for trade in kept.waiting if trade.key in owned.counted),
        offset=offset,
        lag=lag,
        missing=known.missing,
        later=(*gaps.later, *(f"the order {order_id}" for order_id in known.later)),
        read_at=max(now, session.market_data.time() if owned.seen else shown.balances.at),
    )


def next_cursor(views: Views, symbol: str) -> Cursor:
    """Where reading goes on: past what was read, remembering which trades of the next overlap are dealt with."""
    until = views.read_until[symbol]
    since = until - 2 * max(OVERLAP, views.lag)
    recent = tuple(trade.key for trade in views.venue.trades if trade.symbol == symbol and trade.at >= since)
    return Cursor(symbol=symbol, read_until=until, recent_keys=recent)
