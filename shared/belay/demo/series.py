"""Series over a demo run: equity by close, seconds by step of an order. Pure; says nothing about what is good."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from belay.demo.exported import Exported
from belay.domain.fills import Fill
from belay.domain.market import Candle
from belay.domain.orders import UNRESOLVED, OrderEvent
from belay.domain.record import ZERO
from belay.domain.slots import TIMEFRAMES
from belay.pages.figures import Point


def equity_points(
    opening: Mapping[str, Decimal], fills: Iterable[Fill], candles: Mapping[str, Sequence[Candle]], timeframe: str
) -> list[Point]:
    """Equity in quote currency at each close, before what was decided on it, and once more after the last fill.

    Args:
        candles: by base asset, of the same times.
        fills: in time order.
    """
    held, waiting, points = dict(opening), list(fills), []
    closes = {asset: {candle.open_time: candle.close for candle in series} for asset, series in candles.items()}
    times = sorted(set[datetime]().union(*closes.values()))
    for opened in times:
        closed = opened + TIMEFRAMES[timeframe]
        while waiting and waiting[0].trade.at < closed:
            _book(held, waiting.pop(0))
        points.append(Point(closed, _valued(held, closes, opened)))
    if waiting and times:
        last = waiting[-1].trade.at
        for fill in waiting:
            _book(held, fill)
        points.append(Point(last, _valued(held, closes, times[-1])))
    return points


def _book(held: dict[str, Decimal], fill: Fill) -> None:
    for asset, change in fill.trade.asset_changes().items():
        held[asset] = held.get(asset, ZERO) + change


def _valued(held: Mapping[str, Decimal], closes: Mapping[str, Mapping[datetime, Decimal]], opened: datetime) -> Decimal:
    """What is not priced by a candle is quote currency."""
    return sum((amount * (closes[asset][opened] if asset in closes else 1) for asset, amount in held.items()), ZERO)


# --- latencies ------------------------------------------------------------------------------------


def market_seconds(run: Exported) -> dict[str, list[float]]:
    """Seconds of venue time from each claim to the first event that says so, before the next claim."""
    steps = {
        "outcome known": lambda event: event.to_state not in UNRESOLVED,
        "first trade at the venue": lambda event: event.cause == "filled",
    }
    found: dict[str, list[float]] = {step: [] for step in steps}
    for claim, later in _attempts(run):
        for step, reached in steps.items():
            event = next(filter(reached, later), None)
            if event and event.exchange_time and claim.exchange_time:
                found[step].append((event.exchange_time - claim.exchange_time).total_seconds())
    return found


def function_seconds(run: Exported) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"decision to claim": [], "claim to answer": []}
    for events in run.events.values():
        claim = next((event for event in events if event.cause == "claimed"), None)
        if claim:
            found["decision to claim"].append((claim.recorded_at - events[0].recorded_at).total_seconds())
    for claim, later in _attempts(run):
        answer = next((event for event in later if event.detail.get("outcome") in ("accepted", "rejected")), None)
        if answer:
            found["claim to answer"].append((answer.recorded_at - claim.recorded_at).total_seconds())
    return found


def _attempts(run: Exported) -> Iterator[tuple[OrderEvent, list[OrderEvent]]]:
    """Each claim with the events between it and the next one of its order."""
    for events in run.events.values():
        claims = [number for number, event in enumerate(events) if event.cause == "claimed"]
        for start, end in pairwise([*claims, len(events)]):
            yield events[start], events[start + 1 : end]
