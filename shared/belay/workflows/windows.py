"""Read a symbol's trades in closed windows, as many of them as one run may ask for. Keeps nothing itself.

What was read of a window counts only whole: the cursor can be moved on to where the last whole one ended.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from belay.domain.errors import NotUnderstood
from belay.domain.venues import UnreadRow, VenueTrade
from belay.workflows.session import Session

LONGEST, SHORTEST = timedelta(days=1), timedelta(seconds=1)
# Of one window: what holds more is read in halves.
MOST_PAGES = 10
# What one run may ask for in all: requests for trades, and what must be left of its invocation when it asks.
MOST_REQUESTS, RESERVED_SECONDS = 60, 20.0


class Budget:
    """What one run may still ask for. Each symbol has its share, so that one that is far behind starves no other."""

    def __init__(self, remaining_seconds: Callable[[], float] = lambda: float("inf")) -> None:
        self._remaining_seconds = remaining_seconds

    @property
    def has_time(self) -> bool:
        return self._remaining_seconds() > RESERVED_SECONDS

    def share(self, symbols: int) -> int:
        return max(MOST_REQUESTS // max(symbols, 1), 2)


class Window(NamedTuple):
    """What a closed window held. `whole`: all of it was read; else it holds more than can be read at once."""

    trades: tuple[VenueTrade, ...]
    unread: tuple[UnreadRow, ...]
    whole: bool
    requests: int


class History(NamedTuple):
    """What was read of one symbol. `read_until`: up to there every row was read and understood. `behind`: the venue
    has more, for the next run to read."""

    symbol: str
    trades: tuple[VenueTrade, ...]
    unread: tuple[UnreadRow, ...]
    read_until: datetime
    behind: bool


def read_history(
    session: Session,
    symbol: str,
    start: datetime,
    now: datetime,
    budget: Budget,
    share: int,
    taken: Callable[[UnreadRow], bool],
) -> History:
    """A symbol's trades from `start` to `now`, or as far as its share of the run goes.

    Args:
        share: how many requests it may take.
        taken: whether a person has taken a row that is not understood as it is.

    Raises:
        VenueUnavailable: a window could not be read; what came before it is read again by the next run.
    """
    trades: list[VenueTrade] = []
    unread: list[UnreadRow] = []
    at, length, understood = start, LONGEST, start
    while at < now or at == start:
        end = min(at + length, now)
        if share <= 0 or not budget.has_time:
            return History(symbol, tuple(trades), tuple(unread), understood, behind=True)
        window = _window(session, symbol, at, end)
        share -= window.requests
        if not window.whole:
            if end - at <= SHORTEST:
                raise NotUnderstood(f"{symbol} has more trades within a second of {at:%FT%TZ} than one page shows")
            length = max((end - at) / 2, SHORTEST)
            continue
        trades += window.trades
        unread += [row for row in window.unread if not taken(row)]
        understood = understood if unread else end
        if end == now:
            break
        at = end
    return History(symbol, tuple(trades), tuple(unread), understood, behind=False)


def _window(session: Session, symbol: str, start: datetime, end: datetime) -> Window:
    """Every page of a window; the first ones of one that has too many, or whose pages cannot be turned."""
    trades: list[VenueTrade] = []
    unread: list[UnreadRow] = []
    following: str | None = None
    for number in range(1, MOST_PAGES + 1):
        page = session.venue.trades(symbol, start, end, following)
        trades += page.trades
        unread += page.unread
        following = page.next_page
        if following is None:
            return Window(tuple(trades), tuple(unread), not page.full, number)
    return Window((), (), False, MOST_PAGES)
