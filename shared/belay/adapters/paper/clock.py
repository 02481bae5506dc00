"""A replayed market: stored candles under a stored clock. For paper accounts only; shows nothing to come."""

from collections.abc import Sequence
from datetime import datetime

from belay.adapters.paper.market import Quote, Tape, paper_market, visible_bars
from belay.adapters.paper.store import PaperStore
from belay.domain.documents import AccountDocument, PaperSettings
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.market import Candle, Market, Price, check_candles
from belay.domain.slots import TIMEFRAMES
from belay.ports import Clock

MAX_BARS = 500


class ReplayClock:
    """Implements `ports.Clock` with the time that the replay has reached. Waiting does not move it."""

    def __init__(self, store: PaperStore) -> None:
        self._store = store

    def now(self) -> datetime:
        """Raises VenueUnavailable before the replay was given a time."""
        at = self._store.replay_time()
        if at is None:
            raise VenueUnavailable("the replay has no time yet")
        return at

    def sleep(self, seconds: float) -> None:
        """Returns at once."""


class ReplayFeed:
    """What the paper venue matches against in a replay: the finest stored candles of each symbol."""

    lags = False

    def __init__(self, store: PaperStore) -> None:
        self._store = store
        self._clock = ReplayClock(store)

    def time(self) -> datetime:
        return self._clock.now()

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The open of the candle that contains `at`, else the close of the last one closed."""
        timeframe = self._timeframe(symbol)
        bars = visible_bars(self._store.candles_until(symbol, timeframe, at, 2), timeframe, at)
        if not bars:
            raise VenueUnavailable(f"no candle of {symbol} has begun by {at:%Y-%m-%dT%H:%M:%SZ}")
        last = bars[-1]
        if last.closed is not None:
            return Quote(price=last.closed.close, volume=last.closed.volume, at=last.close_time)
        return Quote(price=last.open, volume=last.volume_before, at=at)

    def tape(self, symbol: str, start: datetime, at: datetime) -> Tape:
        timeframe = self._timeframe(symbol)
        before = self._store.candles_until(symbol, timeframe, start, 2)
        later = self._store.candles_from(symbol, timeframe, start, at, MAX_BARS)
        candles = [candle for candle in before if candle.open_time < start] + later
        until = later[-1].open_time if len(later) == MAX_BARS else at
        return Tape(bars=visible_bars(candles, timeframe, at), until=until)

    def _timeframe(self, symbol: str) -> str:
        timeframes = self._store.timeframes(symbol)
        if not timeframes:
            raise VenueUnavailable(f"no candles of {symbol} are stored")
        return timeframes[0]


class ReplayMarketData:
    """Implements `ports.MarketData` on stored candles, as of the replay's time."""

    def __init__(self, store: PaperStore, settings: PaperSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._feed = ReplayFeed(store)

    def time(self) -> datetime:
        return self._clock.now()

    def market(self, symbol: str) -> Market:
        return paper_market(symbol, self._settings)

    def price(self, symbol: str) -> Price:
        """As of now while there is a candle of now; otherwise as of the last close."""
        quote = self._feed.quote(symbol, self.time())
        return Price(value=quote.price, at=quote.at)

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        if timeframe not in self._store.timeframes(symbol):
            raise VenueUnavailable(f"no {timeframe} candles of {symbol} are stored")
        last_open = min(until, self.time()) - TIMEFRAMES[timeframe]
        return tuple(self._store.candles_until(symbol, timeframe, last_open, limit))


def load_candles(
    store: PaperStore, document: AccountDocument, symbol: str, timeframe: str, candles: Sequence[Candle]
) -> None:
    """Store a symbol's candles for an account's replay.

    Raises:
        InvalidInput: the account is not one of paper mode with replay, does not trade the symbol, or the
            candles are empty, unsorted, doubled or gapped.
    """
    _require_replay(document)
    if symbol not in document.symbols:
        raise InvalidInput("symbol", f"{symbol} is not one of the account's", f"Use {', '.join(document.symbols)}.")
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("timeframe", f"{timeframe} is not known", f"Use one of {', '.join(TIMEFRAMES)}.")
    check_candles(candles, timeframe)
    store.save_candles(symbol, timeframe, candles)


def set_replay_clock(store: PaperStore, document: AccountDocument, at: datetime) -> None:
    """Move an account's replay on to `at`.

    Raises:
        InvalidInput: the account is not one of paper mode with replay, or `at` is before the time already
            reached.
    """
    _require_replay(document)
    store.set_replay_time(at)


def _require_replay(document: AccountDocument) -> None:
    if document.paper is None or not document.paper.replay:
        raise InvalidInput(
            "account",
            f"{document.account} is not a paper account with replay",
            "Set mode paper and paper.replay true.",
        )
