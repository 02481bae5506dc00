"""Public market data of a live exchange through ccxt. Reads only; holds no key and knows no account."""

import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.market import Candle, Market, Price
from belay.domain.record import ZERO
from belay.domain.slots import EPOCH, TIMEFRAMES

TIMEOUT_MILLISECONDS = 5_000
TICK_SIZE = 4  # ccxt.base.decimal_to_precision.TICK_SIZE


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


def connect_public(exchange_id: str, options: Mapping[str, Any]) -> Any:
    return exchange_class(exchange_id)({"timeout": TIMEOUT_MILLISECONDS, "enableRateLimit": False, **options})


class CcxtMarketData:
    """Implements `ports.MarketData` for one exchange.

    Args:
        exchange_id: ccxt's, such as `kraken`.
        options: of the ccxt class's constructor, such as `timeout` in milliseconds, `urls` or `hostname`.
        connect: makes an instance of the class.

    Raises:
        InvalidInput: unknown exchange; a symbol or timeframe it does not have.
        VenueUnavailable: from every read, when the answer is missing, malformed or not to be believed.
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
        self._listed: dict[str, Any] = {}
        self._markets: dict[str, Any] = {}
        self._lock = threading.Lock()

    def time(self) -> datetime:
        """The exchange's clock; the local one for an exchange that does not tell."""
        if not self._exchange.has.get("fetchTime"):
            return datetime.now(UTC)
        return self._instant(self._ask("fetch_time"))

    def market(self, symbol: str) -> Market:
        market = self._market(symbol)
        if self._exchange.precisionMode != TICK_SIZE:
            raise InvalidInput(
                "exchange",
                f"{self._exchange.id} gives no steps for quantity and price",
                "Use another exchange.",
            )
        minimum = {of: (market["limits"].get(of) or {}).get("min") for of in ("amount", "cost")}
        try:
            return Market(
                symbol=symbol,
                quantity_step=_decimal(market["precision"]["amount"]),
                price_tick=_decimal(market["precision"]["price"]),
                min_quantity=_decimal(minimum["amount"] or ZERO),
                min_notional=_decimal(minimum["cost"] or ZERO),
                taker_fee=_decimal(market["taker"]),
                maker_fee=_decimal(market["maker"]),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise self._unbelievable(f"market of {symbol}") from error

    def price(self, symbol: str) -> Price:
        """The last traded price, as of the exchange's time of it or, where it gives none, of its receipt."""
        self._market(symbol)
        ticker = self._ask("fetch_ticker", symbol)
        try:
            stamp = ticker.get("timestamp")
            at = self._received_at() if stamp is None else self._instant(stamp)
            return Price(value=_decimal(ticker["last"]), at=at)
        except (AttributeError, KeyError, TypeError, ValidationError) as error:
            raise self._unbelievable(f"price of {symbol}") from error

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        """Closed candles only, whatever `until` says: exchanges also show the one that is still forming."""
        self._market(symbol)
        if timeframe not in TIMEFRAMES or timeframe not in (self._exchange.timeframes or {}):
            raise InvalidInput("timeframe", f"{self._exchange.id} has no {timeframe} candles", "Use another timeframe.")
        length = TIMEFRAMES[timeframe]
        closed_at = min(until, self._received_at())
        since = (closed_at - length * (limit + 1) - EPOCH) // timedelta(milliseconds=1)
        rows = self._ask("fetch_ohlcv", symbol, timeframe, since, limit + 2)
        if not rows:  # which is also what ccxt makes of an answer it does not understand
            raise self._unbelievable(f"candles of {symbol}")
        try:
            candles = [self._candle(row) for row in rows]
        except (TypeError, ValueError, ValidationError) as error:
            raise self._unbelievable(f"candles of {symbol}") from error
        if any(later.open_time <= earlier.open_time for earlier, later in pairwise(candles)):
            raise self._unbelievable(f"order of the candles of {symbol}")
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
                    raise InvalidInput(
                        "symbol", f"{self._exchange.id} has no spot market {symbol}", "Correct the symbol."
                    )
                self._exchange.set_markets([*self._markets.values(), found])
                self._markets[symbol] = self._exchange.markets[symbol]
            return self._markets[symbol]

    def _find_market(self, symbol: str) -> Any:
        if not self._listed:
            self._listed = self._list_markets()
        return self._listed.get(symbol)

    def _list_markets(self) -> dict[str, Any]:
        """Every spot market by symbol, as ccxt describes it."""
        listed = {market["symbol"]: market for market in self._ask("fetch_markets") if market.get("spot")}
        if not listed:
            raise self._unbelievable("list of markets")
        return listed

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return getattr(self._exchange, method)(*arguments)
        except VenueUnavailable:
            raise
        except Exception as error:
            raise VenueUnavailable(f"{self._exchange.id} {method} failed: {type(error).__name__}") from error

    def _instant(self, milliseconds: Any) -> datetime:
        try:
            return EPOCH + timedelta(milliseconds=milliseconds)
        except (TypeError, OverflowError) as error:
            raise self._unbelievable("time") from error

    def _unbelievable(self, what: str) -> VenueUnavailable:
        return VenueUnavailable(f"{self._exchange.id} gave no believable {what}")


def _decimal(value: Any) -> Decimal:
    """A number as the exchange wrote it.

    Raises:
        TypeError: there is none.
    """
    if value is None or isinstance(value, bool):
        raise TypeError("a number is missing")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise TypeError("not a number") from error
