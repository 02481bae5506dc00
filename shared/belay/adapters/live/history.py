"""Trades of a closed window, page by page, the way the venue pages them. Decides only what to ask for next."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from belay.adapters.live.fence import milliseconds
from belay.adapters.live.profiles.answers import dig
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import Unbelievable
from belay.adapters.live.rows import Trades
from belay.domain.slots import EPOCH
from belay.domain.venues import TradePage

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1) // timedelta(milliseconds=1)


@dataclass(frozen=True)
class Query:
    """One request for trades, as ccxt takes it."""

    symbol: str | None
    since: int | None
    limit: int | None
    params: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """Its answer: every row it held, and the raw document."""

    read: Trades
    document: Any


Ask = Callable[[Query], Found]


@dataclass(frozen=True)
class Window:
    """The closed window that is read, and where in it: `page` as the page before named it."""

    symbol: str
    start: datetime
    end: datetime
    page: str | None


@dataclass(frozen=True)
class Page:
    """The rows of one page, and how the next one is named. `full`: there may be more, and no way to them."""

    read: Trades
    following: str | None = None
    full: bool = False


def read_page(profile: CcxtProfile, ask: Ask, window: Window) -> TradePage:
    """One page of a symbol's trades with start <= time <= end, oldest first within the page.

    A row that is not understood belongs to it unless its market is another one.
    """
    page = PAGING[profile.history.paging](profile, ask, window)
    kept = [t for t in page.read.trades if t.symbol == window.symbol and window.start <= t.at <= window.end]
    return TradePage(
        trades=tuple(sorted(kept, key=lambda trade: (trade.at, trade.key))),
        next_page=page.following,
        unread=tuple(row for row in page.read.unread if row.symbol in (None, window.symbol)),
        full=page.full,
    )


def _from_id(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """Windows of time until a full page; from there on by trade id, which may not be combined with times."""
    size, end = profile.history.page_size, milliseconds(window.end)
    kind, _, value = (window.page or f"time:{milliseconds(window.start)}").partition(":")
    if kind == "id":
        read = ask(Query(window.symbol, None, size, {"fromId": value})).read
        ended = read.rows < size or any(trade.at > window.end for trade in read.trades)
        return Page(read, None if ended else _after(read, int(value)))
    since = int(value)
    until = min(since + (_longest(profile) or 24 * HOUR) - 1, end + 1)
    read = ask(Query(window.symbol, since, size, {"endTime": until})).read
    if read.rows >= size:
        return Page(read, _after(read, 0))
    return Page(read, f"time:{until + 1}" if until < end else None)


def _after(read: Trades, first: int) -> str:
    """The page behind these rows. Some of them may not tell their id, but it must go on."""
    last = max((int(told) for told in read.ids if told.isascii() and told.isdecimal()), default=-1)
    if last < first or not all(trade.trade_id.isdecimal() for trade in read.trades):
        raise Unbelievable("trade id")
    return f"id:{last + 1}"


def _offset(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """Newest first, by number, of all symbols. Trades that appear meanwhile push others to later pages: none is lost.

    Times are whole seconds, the first one excluded. An empty page ends it: the venue may count more than it shows.
    """
    first, rows = int(window.page or 0), profile.reading.trade_rows if profile.reading else None
    bounds = {"start": (window.start - EPOCH) // SECOND - 1, "end": (window.end - EPOCH) // SECOND + 1, "ofs": first}
    found = ask(Query(None, None, None, bounds))
    count = dig(found.document, rows.count) if rows and rows.count else None
    if not isinstance(count, int) or isinstance(count, bool):
        raise Unbelievable("number of trades")
    shown = found.read.rows
    return Page(found.read, str(first + shown) if shown and first + shown < count else None)


def _one_page(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """How this venue pages is not verified: of what does not fit into one page of a part of the window, no more is
    read."""
    history, end, longest = profile.history, milliseconds(window.end), _longest(profile)
    since = int((window.page or f"time:{milliseconds(window.start)}").removeprefix("time:"))
    until = min(since + longest - 1, end + 1) if longest else end + 1
    params = {"until": until} if history.until else {}
    read = ask(Query(window.symbol, since, history.page_size, params)).read
    full = read.rows >= history.page_size
    return Page(read, f"time:{until + 1}" if until < end and not full else None, full)


def _longest(profile: CcxtProfile) -> int | None:
    """The longest window of one request, in ms."""
    return profile.history.window_hours * HOUR if profile.history.window_hours else None


PAGING = {"from_id": _from_id, "offset": _offset, "none": _one_page}
