"""What the paper venue's market shows at one moment, and its symbols' filters. Shows nothing that is still to come."""

from collections.abc import Sequence
from datetime import datetime

from belay.domain.documents import PaperSettings
from belay.domain.market import Candle, Market
from belay.domain.record import ZERO, NonNegative, Positive, Record, Utc
from belay.domain.slots import TIMEFRAMES


class Bar(Record):
    """What a candle shows at one moment: its open once it began, the whole of it (`closed`) once it closed.

    `volume_before` is the volume of the candle before it, zero where that is not known.
    """

    open_time: Utc
    close_time: Utc
    open: Positive
    volume_before: NonNegative
    closed: Candle | None


class Tape(Record):
    """The bars of one symbol, oldest first, which hold everything that was to be seen `until` then."""

    bars: tuple[Bar, ...]
    until: Utc


class Quote(Record):
    """The current price in quote currency, its time, and the last closed candle's volume in base currency.

    `most`: what one order may take of it where that is less than its participation in the volume.
    """

    price: Positive
    volume: NonNegative
    at: Utc
    most: NonNegative | None = None


def paper_market(symbol: str, settings: PaperSettings) -> Market:
    """The filters and fees of a symbol at the paper venue."""
    return Market(
        symbol=symbol,
        quantity_step=settings.quantity_step,
        price_tick=settings.price_tick,
        min_quantity=settings.min_quantity,
        min_notional=settings.min_notional,
        taker_fee=settings.taker_fee,
        maker_fee=settings.maker_fee,
    )


def visible_bars(candles: Sequence[Candle], timeframe: str, at: datetime) -> tuple[Bar, ...]:
    """What ascending candles show at `at`: of those still to come nothing, of an unclosed one its open."""
    bars: list[Bar] = []
    volume_before = ZERO
    for candle in candles:
        close_time = candle.open_time + TIMEFRAMES[timeframe]
        if candle.open_time > at:
            break
        bars.append(
            Bar(
                open_time=candle.open_time,
                close_time=close_time,
                open=candle.open,
                volume_before=volume_before,
                closed=candle if close_time <= at else None,
            )
        )
        volume_before = candle.volume
    return tuple(bars)
