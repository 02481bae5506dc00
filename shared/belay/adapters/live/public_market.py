"""Public market data of a live exchange through ccxt. Reads only; holds no key and knows no account."""

import importlib
import importlib.util
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

from belay.adapters.live.tolerant import make_up_no_price, read_markets_apart
from belay.domain.errors import (
    BelayError,
    InvalidInput,
    NotUnderstood,
    SymbolUnavailable,
    VenueUnavailable,
    unchained,
)
from belay.domain.live_options import HOSTNAME
from belay.domain.market import Candle, Market, Price
from belay.domain.record import ZERO
from belay.domain.slots import EPOCH, TIMEFRAMES

TIMEOUT_MILLISECONDS, LONGEST_MILLISECONDS = 5_000, 60_000
TICK_SIZE = 4  # ccxt.base.decimal_to_precision.TICK_SIZE
UNCOUNTED = 1_000_000  # requests per minute: nobody else shares them
# Outside these a clock is broken, however well it is told.
EARLIEST, LATEST = datetime(2009, 1, 3, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# What is asked besides: most of Binance's list of markets would be permissions that nobody here reads.
LISTING = {"binance": {"showPermissionSets": "false"}}

# What ccxt raises over an answer that came, and what of it is wrong. Anything else may be the way there.
FAILURES: dict[str, type[VenueUnavailable]] = {
    "BadSymbol": SymbolUnavailable,
    **dict.fromkeys(("AttributeError", "IndexError", "KeyError", "TypeError", "ValueError"), NotUnderstood),
}


def exchange_class(exchange_id: str) -> type[Any]:
    """The ccxt class of one exchange, without loading the hundred others.

    `import ccxt` loads every exchange, which takes seconds on a cold start. An empty package of that name,
    which only knows where its files are, lets one of them be imported.

    Raises:
        InvalidInput: ccxt has no such exchange.
    """
    if "ccxt" not in sys.modules:
        specification = importlib.util.find_spec("ccxt")
        if specification is None:
            raise InvalidInput("exchange", "ccxt is not installed", "Install the project's requirements.")
        package = ModuleType("ccxt")
        package.__path__ = list(specification.submodule_search_locations or ())
        sys.modules["ccxt"] = package
    found = None
    if re.fullmatch(r"[a-z0-9]+", exchange_id):
        try:
            found = getattr(importlib.import_module(f"ccxt.{exchange_id}"), exchange_id, None)
        except ModuleNotFoundError:
            found = None
    if not isinstance(found, type):
        raise InvalidInput("exchange", f"ccxt has no exchange {exchange_id!r}", "Use an exchange id of ccxt.")
    return found


def configured(exchange_id: str, options: Mapping[str, Any], forced: Mapping[str, Any]) -> Any:
    """An instance of the class with a document's options, and what is set whatever they say.

    Raises:
        InvalidInput: ccxt has no such exchange; an option that its class would ignore, or cannot be made with.
    """
    found = exchange_class(exchange_id)
    if options.keys() & {"hostname", "options", "urls"}:
        _require_places(_untouched(exchange_id), options)
    try:
        return found({**options, **forced})
    except Exception as error:
        problem = type(error).__name__
    raise _refused_options(exchange_id, problem)


@cache
def _untouched(exchange_id: str) -> Any:
    """The class as it is by itself, made once: a submission, which opens an instance of its own, has little time."""
    return exchange_class(exchange_id)()


def _refused_options(exchange_id: str, problem: str) -> InvalidInput:
    return InvalidInput(
        "account.options", f"ccxt's {exchange_id} cannot be made with them ({problem})", "Correct or leave them out."
    )


def _require_places(own: Any, options: Mapping[str, Any]) -> None:
    """Each option has the shape of the class's own, and a host stands where the class takes one from: any other would
    be ignored, and a key sent where nobody meant it to go."""
    place = _misplaced(options.get("urls", {}), own.urls, "urls", known=True)
    place = place or _misplaced(options.get("options", {}), own.options, "options", known=False)
    if place:
        problem = f"ccxt's {own.id} has no such place, or another kind of value there"
        raise InvalidInput(f"account.options.{place}", problem, "Correct it, or leave it out.")
    uses_hostname = HOSTNAME in json.dumps(own.urls.get("api"), default=str)
    if "hostname" in options and not (uses_hostname and isinstance(options["hostname"], str)):
        raise InvalidInput(
            "account.options.hostname", f"no address of ccxt's {own.id} is made with it", "Set urls, or leave it out."
        )


def _misplaced(given: Any, own: Any, place: str, *, known: bool) -> str | None:
    """The first place where `given` has another shape than `own`, or, if each must be `known`, that it lacks."""
    if _shape(given) is not _shape(own):
        return place
    for name, value in given.items() if isinstance(given, dict) else ():
        inner, theirs = f"{place}.{name}", own.get(name)
        absent = inner if known else None
        found = absent if theirs is None else _misplaced(value, theirs, inner, known=known)
        if found:
            return found
    return None


def _shape(value: Any) -> type:
    return next((shape for shape in (dict, list) if isinstance(value, shape)), object)


def connect_public(exchange_id: str, options: Mapping[str, Any]) -> Any:
    """An instance that signs nothing, over the same transport as a live one: within bounds, to its own hosts."""
    # Only where a venue is asked: these take time to import.
    from belay.adapters.live.connect import attach
    from belay.adapters.live.wire import Budget, Wire

    exchange = configured(exchange_id, options, {"enableRateLimit": False})
    asked = options.get("timeout", TIMEOUT_MILLISECONDS)
    milliseconds = asked if isinstance(asked, int | float) else TIMEOUT_MILLISECONDS
    seconds = min(max(milliseconds, 1), LONGEST_MILLISECONDS) / 1000
    try:
        attach(exchange, Wire(seconds, seconds, Budget(UNCOUNTED, 0, time.monotonic)))
    except Exception as error:
        problem = type(error).__name__
    else:
        return exchange
    raise _refused_options(exchange_id, problem)


class CcxtMarketData:
    """Implements `ports.MarketData` for one exchange.

    Args:
        exchange_id: ccxt's, such as `kraken`.
        options: of the ccxt class's constructor, such as `timeout` in milliseconds, `urls` or `hostname`.
        connect: makes an instance of the class.

    Raises:
        InvalidInput: unknown exchange; a timeframe it does not have.
        SymbolUnavailable: from what is read of a symbol, when the exchange does not list it or shows no price of it.
        NotUnderstood: from every read, when the answer is malformed or not to be believed.
        VenueUnavailable: when there is none.
    """

    def __init__(
        self,
        exchange_id: str,
        options: Mapping[str, Any],
        connect: Callable[[str, Mapping[str, Any]], Any] = connect_public,
    ) -> None:
        self._exchange = connect(exchange_id, options)
        # Numbers are kept as the exchange wrote them: ccxt would make floats of them.
        self._exchange.number = Decimal
        read_markets_apart(self._exchange)
        make_up_no_price(self._exchange)
        self._listed: dict[str, Any] = {}
        self._markets: dict[str, Any] = {}
        self._lock = threading.Lock()

    def time(self) -> datetime:
        """The exchange's clock; the local one for an exchange that does not tell."""
        if not self._exchange.has.get("fetchTime"):
            return datetime.now(UTC)
        try:
            return self._believed("time", self._told_time)
        except NotUnderstood as error:
            problem = str(error)
        # A venue that does not even tell its time so is not the one that answers.
        raise VenueUnavailable(problem)

    def _told_time(self) -> datetime:
        told = self._instant(self._ask("fetch_time"))
        if not EARLIEST <= told <= LATEST:
            raise ValueError("is no time of today")
        return told

    def market(self, symbol: str) -> Market:
        return self._believed(f"market of {symbol}", lambda: self._read_market(symbol))

    def _read_market(self, symbol: str) -> Market:
        market = self._market(symbol)
        if self._exchange.precisionMode != TICK_SIZE:
            raise InvalidInput(
                "exchange",
                f"{self._exchange.id} gives no steps for quantity and price",
                "Use another exchange.",
            )
        minimum = {of: (market["limits"].get(of) or {}).get("min") for of in ("amount", "cost")}
        return Market(
            symbol=symbol,
            quantity_step=_decimal(market["precision"]["amount"]),
            price_tick=_decimal(market["precision"]["price"]),
            min_quantity=_decimal(minimum["amount"] or ZERO),
            min_notional=_decimal(minimum["cost"] or ZERO),
            # A rebate is not counted on: what an entry must be able to pay is never less than its price.
            taker_fee=max(_decimal(market["taker"]), ZERO),
            maker_fee=max(_decimal(market["maker"]), ZERO),
        )

    def price(self, symbol: str) -> Price:
        """The last traded price, as of the exchange's time of it or, where it gives none, of its receipt.

        Of a market that is closed there is none: what is shown there no longer moves, and may bear the time of today.
        """
        return self._believed(f"price of {symbol}", lambda: self._read_price(symbol))

    def _read_price(self, symbol: str) -> Price:
        if not self._is_open(self._market(symbol)):
            raise SymbolUnavailable(f"{self._exchange.id} does not trade {symbol} at present")
        ticker = self._ask("fetch_ticker", symbol)
        stamp, last, raw = ticker.get("timestamp"), ticker["last"], ticker.get("info")
        untold = last is None and isinstance(raw, dict | list) and bool(raw)  # else the answer was no ticker at all
        price = ZERO if untold else _decimal(last)
        if price == 0:
            raise SymbolUnavailable(f"{self._exchange.id} has no price of {symbol}")
        at = self._received_at() if stamp is None else self._instant(stamp)
        return Price(value=price, at=at)

    def _is_open(self, market: Mapping[str, Any]) -> bool:
        """Whether anything can be traded; an exchange that does not say so is taken to be open."""
        return market.get("active") is not False

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        """Closed candles only, whatever `until` says: exchanges also show the one that is still forming."""
        return self._believed(f"candles of {symbol}", lambda: self._read_candles(symbol, timeframe, until, limit))

    def _read_candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        self._market(symbol)
        if timeframe not in TIMEFRAMES or timeframe not in (self._exchange.timeframes or {}):
            raise InvalidInput("timeframe", f"{self._exchange.id} has no {timeframe} candles", "Use another timeframe.")
        length = TIMEFRAMES[timeframe]
        closed_at = min(until, self._received_at())
        since = (closed_at - length * (limit + 1) - EPOCH) // timedelta(milliseconds=1)
        rows = self._ask("fetch_ohlcv", symbol, timeframe, since, limit + 2)
        candles = [self._candle(row) for row in rows]
        # No rows are also what ccxt makes of an answer that it does not understand.
        if not rows or any(later.open_time <= earlier.open_time for earlier, later in pairwise(candles)):
            raise self._unbelievable(f"candles of {symbol}")
        return tuple(candle for candle in candles if candle.open_time + length <= closed_at)[-limit:]

    def _received_at(self) -> datetime:
        """When an answer came that is only now at hand."""
        return datetime.now(UTC)

    def _candle(self, row: Any) -> Candle:
        open_time, *prices, volume = row
        opened, high, low, close = (_decimal(price) for price in prices)
        return Candle(
            open_time=self._instant(open_time),
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=_decimal(volume),
        )

    def _market(self, symbol: str) -> Any:
        """The exchange's description of one symbol. ccxt indexes the asked symbols only, not thousands."""
        with self._lock:
            if symbol not in self._markets:
                found = self._find_market(symbol)
                if found is None:
                    raise SymbolUnavailable(f"{self._exchange.id} has no spot market {symbol}")
                self._exchange.set_markets([*self._markets.values(), found])
                self._markets[symbol] = self._exchange.markets[symbol]
            return self._markets[symbol]

    def _find_market(self, symbol: str) -> Any:
        if not self._listed:
            self._listed = self._list_markets()
        return self._listed.get(symbol)

    def _list_markets(self) -> dict[str, Any]:
        """Every spot market by symbol, as ccxt describes it."""
        asked = self._ask("fetch_markets", LISTING.get(self._exchange.id, {}))
        listed = {market["symbol"]: market for market in asked if market.get("spot")}
        if not listed:
            raise self._unbelievable("list of markets")
        return listed

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return getattr(self._exchange, method)(*arguments)
        except BelayError as error:
            known = error
        except Exception as error:
            kind = FAILURES.get(type(error).__name__, VenueUnavailable)
            known = kind(f"{self._exchange.id} {method} failed: {type(error).__name__}")
        raise unchained(known)

    def _believed[T](self, what: str, read: Callable[[], T]) -> T:
        """What can be made of an answer. What is wrong with one is not told on: it could repeat what was answered."""
        try:
            return read()
        except BelayError as error:
            known = error
        except Exception:
            known = self._unbelievable(what)
        raise unchained(known)

    def _instant(self, milliseconds: Any) -> datetime:
        return EPOCH + timedelta(milliseconds=milliseconds)

    def _unbelievable(self, what: str) -> NotUnderstood:
        return NotUnderstood(f"{self._exchange.id} gave no believable {what}")


def _decimal(value: Any) -> Decimal:
    """A number as the exchange wrote it.

    Raises:
        TypeError: there is none.
    """
    if value is None or isinstance(value, bool):
        raise TypeError("a number is missing")
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise TypeError("not a number") from None
