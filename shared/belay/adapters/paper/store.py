"""Where the paper venue keeps its books: one versioned state per account, append-only history, stored candles.

Knows no rule of matching. Every change of the state is one atomic, conditional write of everything that belongs to it.

    PAPER#<account>                               STATE, CLOCK, MARKET#<symbol>
                                                  ORDER#<venue order id>                     a closed order
                                                  CLIENT#<client order id>#<venue order id>  which closed order it named
                                                  SUBMISSION#<submission id>                 a request as received
                                                  FAULT#<delivery>#<kind>                    a fault as injected
    PAPER#<account>#TRADES#<symbol>               <time>#<trade id>
    PAPER#<account>#CANDLES#<symbol>#<timeframe>  <open time>
"""

import threading
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from belay.adapters.paper.state import FaultKind, InjectedFault, PaperOrder, Step, Submission, VenueState
from belay.domain.errors import Conflict, InvalidInput, VenueUnavailable
from belay.domain.market import Candle
from belay.domain.record import Record, Utc, iso
from belay.domain.slots import TIMEFRAMES
from belay.domain.venues import TradePage, VenueTrade

# Appended to a sort key: before everything that follows it, and after everything that extends it.
AFTER, LAST = " ", "~"
# DynamoDB's bound.
MAX_TRANSACTION = 100


class Put(NamedTuple):
    """One item to write. `over`: the version it replaces, 0 where there must be none, None for any."""

    pk: str
    sk: str
    body: str
    over: int | None = None


class ReplayTime(Record):
    """How far the replay of an account has come."""

    at: Utc
    version: int


class LoadedCandles(Record):
    """Which timeframes of a symbol have stored candles."""

    timeframes: tuple[str, ...] = ()
    version: int = 0


class PaperStore(ABC):
    """The books of one account over four primitive operations, which the subclasses implement.

    Raises:
        VenueUnavailable: from every method, when the table gave no answer or one that cannot be read. After a
            write, whether it took place is then not known.
    """

    page_size = 200

    def __init__(self, account: str) -> None:
        self._account = f"PAPER#{account}"

    # --- the venue's books ---

    def state(self) -> VenueState | None:
        """Consistent read; None before the account's first change."""
        return _read(VenueState, self._get(self._account, "STATE"))

    def commit(self, step: Step) -> None:
        """Write `step.state` over the version it was computed from, with the history that belongs to it.

        Raises:
            Conflict: the state was changed meanwhile, or the submission is recorded already; nothing was
                written.
        """
        version = step.state.version
        state = step.state.model_copy(update={"version": version + 1})
        puts = [Put(self._account, "STATE", state.text, over=version)]
        for order in step.closed:
            puts.append(Put(self._account, f"ORDER#{order.venue_order_id}", order.text, over=0))
            named = f"CLIENT#{order.client_order_id}#{order.venue_order_id}"
            puts.append(Put(self._account, named, order.venue_order_id, over=0))
        for trade in step.trades:
            puts.append(Put(self._trades(trade.symbol), _trade_key(trade), trade.text, over=0))
        if step.submission is not None:
            key = f"SUBMISSION#{step.submission.submission_id}"
            puts.append(Put(self._account, key, step.submission.text, over=0))
        for fault in step.faults:
            puts.append(Put(self._account, _fault_key(fault.sequence, fault.kind), fault.text))
        self._write(puts)

    def closed_order(self, venue_order_id: str) -> PaperOrder | None:
        return _read(PaperOrder, self._get(self._account, f"ORDER#{venue_order_id}"))

    def closed_orders(self, client_order_id: str) -> tuple[PaperOrder, ...]:
        """The closed orders that bore a client order id, latest first; usually one, at most a hundred."""
        prefix = f"CLIENT#{client_order_id}#"
        named = self._span(self._account, prefix, prefix + LAST, 100, newest=True)
        found = (self.closed_order(venue_order_id) for _, venue_order_id in named)
        return tuple(order for order in found if order is not None)

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        """One page of the trades with start <= time <= end, oldest first."""
        low = page + AFTER if page else iso(start)
        found = self._span(self._trades(symbol), low, f"{iso(end)}#{LAST}", self.page_size + 1)
        shown = found[: self.page_size]
        return TradePage(
            trades=tuple(_parsed(VenueTrade, body) for _, body in shown),
            next_page=shown[-1][0] if len(found) > len(shown) else None,
        )

    def submission(self, submission_id: str) -> Submission | None:
        return _read(Submission, self._get(self._account, f"SUBMISSION#{submission_id}"))

    def submissions(self) -> tuple[Submission, ...]:
        """Every request ever received, in order of arrival."""
        return tuple(sorted(self._every(Submission, "SUBMISSION#"), key=lambda submission: submission.sequence))

    def fault(self, sequence: int, kind: FaultKind) -> InjectedFault | None:
        return _read(InjectedFault, self._get(self._account, _fault_key(sequence, kind)))

    def faults(self) -> tuple[InjectedFault, ...]:
        """Every fault ever injected, by delivery."""
        return tuple(self._every(InjectedFault, "FAULT#"))

    # --- the market of a replay ---

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """The timeframes of a symbol's stored candles, finest first."""
        return self._loaded(symbol).timeframes

    def candles_from(self, symbol: str, timeframe: str, start: datetime, end: datetime, limit: int) -> list[Candle]:
        """The first `limit` candles with start <= open time <= end, oldest first."""
        found = self._span(self._candles(symbol, timeframe), iso(start), iso(end), limit)
        return [_parsed(Candle, body) for _, body in found]

    def candles_until(self, symbol: str, timeframe: str, end: datetime, limit: int) -> list[Candle]:
        """The last `limit` candles with open time <= end, oldest first."""
        found = self._span(self._candles(symbol, timeframe), "", iso(end), limit, newest=True)
        return [_parsed(Candle, body) for _, body in reversed(found)]

    def save_candles(self, symbol: str, timeframe: str, candles: Sequence[Candle]) -> None:
        """Store candles, each over an earlier one of the same time."""
        pk = self._candles(symbol, timeframe)
        self._load([Put(pk, iso(candle.open_time), candle.text) for candle in candles])
        loaded = self._loaded(symbol)
        if timeframe not in loaded.timeframes:
            timeframes = sorted({*loaded.timeframes, timeframe}, key=list(TIMEFRAMES).index)
            changed = LoadedCandles(timeframes=tuple(timeframes), version=loaded.version + 1)
            self._write([Put(self._account, f"MARKET#{symbol}", changed.text, over=loaded.version)])

    def replay_time(self) -> datetime | None:
        """Consistent read; None for an account whose replay was never begun."""
        stored = self._clock()
        return stored.at if stored else None

    def set_replay_time(self, at: datetime) -> None:
        """Move the replay on.

        Raises:
            InvalidInput: `at` is before the time the replay has reached.
            Conflict: someone else moved it meanwhile.
        """
        stored = self._clock()
        if stored is not None and at < stored.at:
            raise InvalidInput("replay clock", f"it cannot go back from {iso(stored.at)}", "Give a later time.")
        version = stored.version if stored else 0
        clock = ReplayTime(at=at, version=version + 1)
        self._write([Put(self._account, "CLOCK", clock.text, over=version)])

    # --- keys ---

    def _trades(self, symbol: str) -> str:
        return f"{self._account}#TRADES#{symbol}"

    def _candles(self, symbol: str, timeframe: str) -> str:
        return f"{self._account}#CANDLES#{symbol}#{timeframe}"

    def _every[R: Record](self, model: type[R], prefix: str) -> Iterator[R]:
        """The account's records of one kind, by sort key."""
        low = prefix
        while page := self._span(self._account, low, prefix + LAST, self.page_size):
            yield from (_parsed(model, body) for _, body in page)
            low = page[-1][0] + AFTER

    def _loaded(self, symbol: str) -> LoadedCandles:
        return _read(LoadedCandles, self._get(self._account, f"MARKET#{symbol}")) or LoadedCandles()

    def _clock(self) -> ReplayTime | None:
        return _read(ReplayTime, self._get(self._account, "CLOCK"))

    # --- primitives ---

    @abstractmethod
    def _get(self, pk: str, sk: str) -> str | None:
        """The body of one item, read consistently."""

    @abstractmethod
    def _span(self, pk: str, low: str, high: str, limit: int, *, newest: bool = False) -> list[tuple[str, str]]:
        """Up to `limit` (sort key, body), low <= sort key <= high, in order or `newest` first."""

    @abstractmethod
    def _write(self, puts: Sequence[Put]) -> None:
        """Write all or nothing; Conflict where a version is not the one to be replaced."""

    @abstractmethod
    def _load(self, puts: Sequence[Put]) -> None:
        """Write many items unconditionally, not atomically; repeatable."""


class InMemoryPaperStore(PaperStore):
    """The same books within one process, kept as text like the table's. Safe to share between threads."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self._lock = threading.Lock()
        self._items: dict[str, dict[str, tuple[int, str]]] = {}
        self._sorted: dict[str, list[str]] = {}

    def _get(self, pk: str, sk: str) -> str | None:
        with self._lock:
            found = self._items.get(pk, {}).get(sk)
        return found[1] if found else None

    def _span(self, pk: str, low: str, high: str, limit: int, *, newest: bool = False) -> list[tuple[str, str]]:
        with self._lock:
            keys = self._sorted.get(pk, [])
            first, end = bisect_left(keys, low), bisect_right(keys, high)
            within = keys[max(first, end - limit) : end][::-1] if newest else keys[first : min(first + limit, end)]
            return [(key, self._items[pk][key][1]) for key in within]

    def _write(self, puts: Sequence[Put]) -> None:
        if len(puts) > MAX_TRANSACTION:
            raise VenueUnavailable(f"the table refuses {len(puts)} items in one transaction")
        with self._lock:
            for put in puts:
                version, _ = self._items.get(put.pk, {}).get(put.sk, (0, ""))
                if put.over not in (None, version):
                    raise Conflict(f"paper {put.sk}")
            self._store(puts)

    def _load(self, puts: Sequence[Put]) -> None:
        with self._lock:
            self._store(puts)

    def _store(self, puts: Sequence[Put]) -> None:
        for put in puts:
            items = self._items.setdefault(put.pk, {})
            if put.sk not in items:
                insort(self._sorted.setdefault(put.pk, []), put.sk)
            items[put.sk] = ((put.over or 0) + 1, put.body)


def _fault_key(sequence: int, kind: FaultKind) -> str:
    return f"FAULT#{sequence:06d}#{kind}"


def _trade_key(trade: VenueTrade) -> str:
    return f"{iso(trade.at)}#{trade.trade_id}"


def _parsed[R: Record](model: type[R], body: str) -> R:
    try:
        return model.stored(body)
    except ValidationError as error:
        raise VenueUnavailable(f"the paper venue's {model.__name__} cannot be read") from error


def _read[R: Record](model: type[R], body: str | None) -> R | None:
    return None if body is None else _parsed(model, body)
