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
    """One symbol's rules: `tick` for prices, `step` for quantities, smallest quantity and notional."""

    symbol: str
    base: str
    quote: str
    start_price: Decimal
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal


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

    def at(self, symbol: str, when: datetime) -> Decimal:
        for pinned_at, price in reversed(self._pins.get(symbol, [])):
            if pinned_at <= when:
                return price if price is not None else self._path(symbol, when)
        return self._path(symbol, when)

    def bid(self, symbol: str, when: datetime) -> Decimal:
        """What a market sell gets: one tick below the price."""
        return self.at(symbol, when) - self.markets[symbol].tick

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
