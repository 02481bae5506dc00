"""Trades of a closed window, page by page, the way the venue pages them. Decides only what to ask for next."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from belay.adapters.live.fence import milliseconds
from belay.adapters.live.profiles.answers import dig, rows_of
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import Unbelievable
from belay.domain.slots import EPOCH
from belay.domain.venues import TradePage, VenueTrade

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Query:
    """One request for trades, as ccxt takes it."""

    symbol: str | None
    since: int | None
    limit: int | None
    params: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """Its answer: every trade it held, and the raw document."""

    trades: tuple[VenueTrade, ...]
    document: Any


Ask = Callable[[Query], Found]


@dataclass(frozen=True)
class Window:
    """The closed window that is read, and where in it: `page` as the page before named it."""

    symbol: str
    start: datetime
    end: datetime
    page: str | None


Page = tuple[tuple[VenueTrade, ...], str | None]


def read_page(profile: CcxtProfile, ask: Ask, window: Window) -> TradePage:
    """One page of a symbol's trades with start <= time <= end, oldest first within the page."""
    trades, following = PAGING[profile.history.paging](profile, ask, window)
    kept = [t for t in trades if t.symbol == window.symbol and window.start <= t.at <= window.end]
    return TradePage(trades=tuple(sorted(kept, key=lambda trade: (trade.at, trade.key))), next_page=following)


def _from_id(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """Windows of time until a full page; from there on by trade id, which may not be combined with times."""
    size, end = profile.history.page_size, milliseconds(window.end)
    kind, _, value = (window.page or f"time:{milliseconds(window.start)}").partition(":")
    if kind == "id":
        trades = ask(Query(window.symbol, None, size, {"fromId": value})).trades
        ended = len(trades) < size or max(trade.at for trade in trades) > window.end
        return trades, None if ended else _after(trades)
    since, length = int(value), timedelta(hours=profile.history.window_hours or 24) // timedelta(milliseconds=1)
    until = min(since + length - 1, end + 1)
    trades = ask(Query(window.symbol, since, size, {"endTime": until})).trades
    if len(trades) >= size:
        return trades, _after(trades)
    return trades, f"time:{until + 1}" if until < end else None


def _after(trades: tuple[VenueTrade, ...]) -> str:
    if not all(trade.trade_id.isdecimal() for trade in trades):
        raise Unbelievable("trade id")
    return f"id:{max(int(trade.trade_id) for trade in trades) + 1}"


def _offset(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """Newest first, by number, of all symbols. Trades that appear meanwhile push others to later pages: none is lost.

    Times are whole seconds, the first one excluded.
    """
    first, rows = int(window.page or 0), profile.reading.trade_rows if profile.reading else None
    bounds = {"start": (window.start - EPOCH) // SECOND - 1, "end": (window.end - EPOCH) // SECOND + 1, "ofs": first}
    found = ask(Query(None, None, None, bounds))
    count = dig(found.document, rows.count) if rows and rows.count else None
    if rows is None or not isinstance(count, int) or isinstance(count, bool):
        raise Unbelievable("number of trades")
    read = len(rows_of(found.document, rows) or ())
    if first + read >= count:
        return found.trades, None
    if not read:
        raise Unbelievable("page of trades")
    return found.trades, str(first + read)


def _one_page(profile: CcxtProfile, ask: Ask, window: Window) -> Page:
    """How this venue pages is not verified: what does not fit into one page cannot be read."""
    size = profile.history.page_size
    trades = ask(Query(window.symbol, milliseconds(window.start), size, {})).trades
    if len(trades) >= size:
        raise Unbelievable("page of trades: it is full, and how to read on is not verified")
    return trades, None


PAGING = {"from_id": _from_id, "offset": _offset, "none": _one_page}
