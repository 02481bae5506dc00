"""What is traded and at which price: markets, and a price path that a seed and the time determine.

The price is a step function: three triangle waves and a little noise, all in integers, so that any moment can be
asked for and gives the same answer everywhere. A pin replaces the path from its time on.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from hashlib import sha256

STEP_SECONDS = 10
# Amplitude in hundredths of a basis point, period in steps: about five minutes, two hours, two days.
WAVES = ((2_000, 30), (12_000, 720), (40_000, 17_280))
NOISE = 300
UNIT = Decimal(1_000_000)
SAMPLES = 6
REMEMBERED = 200_000
MANY = Decimal(9_000_000)
DELISTED = "delisted"
# What a market's status must be for it to trade, in either venue's words; no status is an orderly market.
TRADES = frozenset({"", "TRADING", "online", "post_only", "limit_only"})

# Base asset, price, tick, lot step, smallest order; every market is base/quote of its venue.
LISTED = (
    ("BTC", "62000", "0.1", "0.00001", "0.00005"),
    ("ETH", "3400", "0.01", "0.0001", "0.001"),
    ("SOL", "145", "0.01", "0.001", "0.02"),
    ("XRP", "0.52", "0.0001", "0.1", "5"),
    ("ADA", "0.45", "0.0001", "0.1", "5"),
    ("DOGE", "0.125", "0.00001", "1", "20"),
    ("LTC", "82", "0.01", "0.001", "0.05"),
    ("DOT", "6.8", "0.001", "0.01", "0.5"),
    ("LINK", "14.2", "0.001", "0.01", "0.2"),
    ("AVAX", "35", "0.01", "0.01", "0.1"),
    ("ATOM", "8.1", "0.001", "0.01", "0.5"),
    ("UNI", "9.4", "0.001", "0.01", "0.5"),
    ("XLM", "0.11", "0.00001", "1", "20"),
    ("ETC", "26", "0.01", "0.01", "0.1"),
    ("FIL", "5.6", "0.001", "0.01", "0.5"),
    ("NEAR", "6.2", "0.001", "0.1", "1"),
    ("ALGO", "0.18", "0.0001", "1", "20"),
    ("AAVE", "92", "0.01", "0.001", "0.05"),
    ("GRT", "0.27", "0.0001", "0.1", "10"),
    ("SAND", "0.43", "0.0001", "1", "10"),
    ("CRV", "0.41", "0.0001", "0.1", "10"),
    ("MANA", "0.44", "0.0001", "1", "10"),
    ("BCH", "470", "0.1", "0.0001", "0.01"),
    ("ICP", "12.3", "0.001", "0.01", "0.2"),
)


@dataclass(frozen=True)
class Market:
    """One symbol's rules: `tick` for prices, `step` for quantities, smallest and largest quantity and notional.

    `max_market_quantity`: of a market order, None for no rule of its own. `max_position`: of the base asset.
    """

    symbol: str
    base: str
    quote: str
    start_price: Decimal
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    max_quantity: Decimal = MANY
    max_market_quantity: Decimal | None = None
    max_position: Decimal = Decimal("Infinity")


def listed_markets(quote: str, number: int = len(LISTED)) -> dict[str, Market]:
    """The first `number` markets against one quote currency, by symbol."""
    if not 0 < number <= len(LISTED):
        raise ValueError(f"{number} markets: there are 1 to {len(LISTED)}")
    markets = (
        Market(f"{base}/{quote}", base, quote, Decimal(price), Decimal(tick), Decimal(step), Decimal(least), Decimal(5))
        for base, price, tick, step, least in LISTED[:number]
    )
    return {market.symbol: market for market in markets}


@dataclass(frozen=True)
class Candle:
    """Open, high, low, close in quote currency, volume in base currency."""

    opened: datetime
    closed: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Prices:
    """The price of every market at any time."""

    def __init__(self, markets: dict[str, Market], seed: int) -> None:
        self.markets = markets
        self._seed = seed
        self._phases = {symbol: self._draw_phases(symbol) for symbol in markets}
        self._remembered = lru_cache(REMEMBERED)(self._price_of_step)
        self._pins: dict[str, list[tuple[datetime, Decimal | None]]] = {}
        self.statuses: dict[str, str] = {}
        self.last_trades: dict[str, datetime] = {}
        self.announced: dict[str, datetime] = {}

    # --- which markets there are --------------------------------------------------------------------------

    def add_market(self, market: Market) -> None:
        """A market more, or one with other rules."""
        self.markets[market.symbol] = market
        self._phases[market.symbol] = self._draw_phases(market.symbol)

    def listed(self) -> dict[str, Market]:
        """What the venue's list of markets names: a delisted one is not there any more, its past still is."""
        return {symbol: market for symbol, market in self.markets.items() if self.statuses.get(symbol) != DELISTED}

    def trades(self, symbol: str) -> bool:
        return self.statuses.get(symbol, "") in TRADES

    def takes(self, symbol: str, at_market: bool) -> bool:
        """Whether a new order of this kind may come. Kraken system status: limit_only and post_only take no market
        orders."""
        return self.trades(symbol) and not (at_market and self.statuses.get(symbol, "").endswith("_only"))

    def went_quiet(self, symbol: str, when: datetime) -> bool:
        """Whether the last trade was before this."""
        return symbol in self.last_trades and self.last_trades[symbol] < when

    def worth(self, asset: str, quote: str, when: datetime) -> Decimal | None:
        """The price of an asset, through a third one if there is no market of the two; None if there is no way."""
        if asset == quote:
            return Decimal(1)
        if f"{asset}/{quote}" in self.markets:
            return self.at(f"{asset}/{quote}", when)
        for through in {market.quote for market in self.markets.values()} - {quote}:
            if f"{asset}/{through}" in self.markets and f"{quote}/{through}" in self.markets:
                return self.at(f"{asset}/{through}", when) / self.at(f"{quote}/{through}", when)
        return None

    # --- at which price -------------------------------------------------------------------------------------

    def at(self, symbol: str, when: datetime) -> Decimal:
        when = min(when, self.last_trades.get(symbol, when))
        for pinned_at, price in reversed(self._pins.get(symbol, [])):
            if pinned_at <= when:
                return price if price is not None else self._path(symbol, when)
        return self._path(symbol, when)

    def bid(self, symbol: str, when: datetime) -> Decimal:
        """What a market sell gets: one tick below the price."""
        return max(self.at(symbol, when) - self.markets[symbol].tick, Decimal(0))

    def ask(self, symbol: str, when: datetime) -> Decimal:
        """What a market buy pays: one tick above the price."""
        return self.at(symbol, when) + self.markets[symbol].tick

    def pin(self, symbol: str, price: Decimal | None, when: datetime) -> None:
        """Hold the price from now on; None lets it follow the path again."""
        self._pins.setdefault(symbol, []).append((when, price))

    def steps(self, start: datetime, end: datetime) -> list[datetime]:
        """The times in (start, end] at which the path may have another price."""
        first = int(start.timestamp()) // STEP_SECONDS + 1
        last = int(end.timestamp()) // STEP_SECONDS
        return [datetime.fromtimestamp(step * STEP_SECONDS, UTC) for step in range(first, last + 1)]

    def candles(self, symbol: str, seconds: int, first: datetime, last: datetime, now: datetime) -> list[Candle]:
        """The candles opened in [first, last], from a few samples of the path each; the one still open as of now."""
        opened = -(-first.timestamp() // seconds) * seconds
        opens = (datetime.fromtimestamp(at, UTC) for at in range(int(opened), int(last.timestamp()) + 1, seconds))
        return [self._candle(symbol, start, timedelta(seconds=seconds), now) for start in opens]

    def _candle(self, symbol: str, start: datetime, width: timedelta, now: datetime) -> Candle:
        moments = [start + width * sample / SAMPLES for sample in range(SAMPLES + 1)]
        prices = [self.at(symbol, moment) for moment in moments if moment <= now]
        if now < moments[-1]:
            prices.append(self.at(symbol, now))
        volume = Decimal(self._hash(f"{symbol}:{start.timestamp()}") % 100_000 + 1) / 100
        return Candle(start, moments[-1], prices[0], max(prices), min(prices), prices[-1], volume)

    def _path(self, symbol: str, when: datetime) -> Decimal:
        return self._remembered(symbol, int(when.timestamp()) // STEP_SECONDS)

    def _price_of_step(self, symbol: str, step: int) -> Decimal:
        moves = (
            _triangle(step + phase, period) * amplitude // period
            for (amplitude, period), phase in zip(WAVES, self._phases[symbol], strict=True)
        )
        noise = (step * 2_654_435_761 + self._phases[symbol][2]) % (2 * NOISE + 1) - NOISE
        market = self.markets[symbol]
        price = market.start_price * (UNIT + sum(moves) + noise) / UNIT
        return (price / market.tick).quantize(Decimal(1), ROUND_HALF_UP) * market.tick

    def _draw_phases(self, symbol: str) -> tuple[int, ...]:
        return tuple(self._hash(f"{symbol}:{period}") % period for _, period in WAVES)

    def _hash(self, text: str) -> int:
        return int.from_bytes(sha256(f"{self._seed}:{text}".encode()).digest()[:8])


def _triangle(position: int, period: int) -> int:
    """From -period to +period and back again within one period."""
    at = position % period * 4
    return at - period if at <= 2 * period else 3 * period - at
