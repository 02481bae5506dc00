"""What a replay amounted to, read from its ledger: rows, and the figures that follow from them. Writes nothing.

The document holds every row that a figure was computed from, so that anyone can compute it again: money and quantities
are exact decimal texts, times are UTC.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from belay.domain.account import Account
from belay.domain.fills import Fill
from belay.domain.orders import Order
from belay.domain.record import ZERO, base_asset, iso, plain
from belay.pages.figures import Point, drawdowns
from belay.ports import Ledger

type Document = dict[str, Any]

EVERYTHING = 10**9


class Close(NamedTuple):
    """A moment at which candles closed: their closes in quote currency, by symbol."""

    at: datetime
    prices: dict[str, Decimal]


def figures(ledger: Ledger, account_name: str, quote: str, closes: Sequence[Close]) -> Document:
    """Everything that the ledger says of a replay that is over.

    Args:
        closes: those of the slots that were lived through, in time order.

    Returns:
        `equity_start` is what the opening balances were worth at the first close, before anything was traded; the rows
        of `equity` are as of each close, after what was traded on it. The drawdown is over both.
    """
    account = ledger.account(account_name)
    orders = tuple(reversed(ledger.orders(account_name, EVERYTHING)))
    fills = tuple(reversed(ledger.fills(account_name, EVERYTHING)))
    opening = account.opening or {}
    begin = Point(closes[0].at, _worth(opening, quote, closes[0]))
    points = equity(opening, quote, fills, closes)
    rows = [_order_row(order, ledger) for order in orders]
    return {
        "opening": _texts(opening),
        "orders_by_state": _tally(order.state for order in orders),
        "denied_by": _tally(row["cause"].removeprefix("denied: ") for row in rows if row["state"] == "DENIED"),
        "positions": _positions(account),
        "realised_pnl": plain(_realised(account)),
        "fees": _fees(fills),
        "equity_start": plain(begin.value),
        "equity_end": plain(points[-1].value),
        "max_drawdown": _deepest((begin, *points)),
        "buy_and_hold": {symbol: _held(symbol, begin.value, closes) for symbol in closes[0].prices},
        "incidents_open": sum(incident.status == "open" for incident in ledger.incidents(account_name)),
        "orders": rows,
        "fills": [_fill_row(fill) for fill in fills],
        "equity": [_equity_row(point, close) for point, close in zip(points, closes, strict=True)],
    }


def equity(
    opening: Mapping[str, Decimal], quote: str, fills: Iterable[Fill], closes: Sequence[Close]
) -> tuple[Point, ...]:
    """All balances in quote currency at each close, after what was traded on it until the next one."""
    times = [close.at for close in closes]
    traded: list[list[Fill]] = [[] for _ in closes]
    for fill in fills:
        traded[max(bisect_right(times, fill.trade.at) - 1, 0)].append(fill)
    balances, points = dict(opening), []
    for close, just_traded in zip(closes, traded, strict=True):
        for fill in just_traded:
            for asset, change in fill.trade.asset_changes().items():
                balances[asset] = balances.get(asset, ZERO) + change
        points.append(Point(close.at, _worth(balances, quote, close)))
    return tuple(points)


def _worth(balances: Mapping[str, Decimal], quote: str, close: Close) -> Decimal:
    """Everything in quote currency; an asset without a price counts for nothing."""
    prices = {base_asset(symbol): price for symbol, price in close.prices.items()} | {quote: Decimal(1)}
    return sum((held * prices.get(asset, ZERO) for asset, held in balances.items()), ZERO)


def _deepest(points: Sequence[Point]) -> Document:
    """The largest fall of equity from a peak before it."""
    lowest = min(drawdowns(points), key=lambda point: point.value)
    before = [point for point in points if point.at <= lowest.at]
    peak = max(before, key=lambda point: point.value)
    return {
        "fraction": plain(-lowest.value),
        "amount": plain(peak.value - before[-1].value),
        "peak_at": iso(peak.at),
        "trough_at": iso(lowest.at),
    }


def _held(symbol: str, begin: Decimal, closes: Sequence[Close]) -> Document:
    """What the opening equity had become, spent on a symbol at the first close and left alone, without any costs."""
    first, last = closes[0].prices[symbol], closes[-1].prices[symbol]
    return {"first_close": plain(first), "last_close": plain(last), "equity_end": plain(begin * last / first)}


def _positions(account: Account) -> Document:
    return {
        strategy: {
            symbol: {
                "quantity": plain(position.quantity),
                "cost": plain(position.cost),
                "realised_pnl": plain(position.realised_pnl),
            }
            for symbol, position in held.items()
        }
        for strategy, held in sorted(account.positions.items())
    }


def _realised(account: Account) -> Decimal:
    return sum((position.realised_pnl for held in account.positions.values() for position in held.values()), ZERO)


def _fees(fills: Iterable[Fill]) -> dict[str, str]:
    total: dict[str, Decimal] = {}
    for fill in fills:
        for asset, fee in fill.trade.fees.items():
            total[asset] = total.get(asset, ZERO) + fee
    return _texts(total)


def _order_row(order: Order, ledger: Ledger) -> Document:
    """`cause` is that of the event which brought the order to its state."""
    story = ledger.story(order.decision_id)
    if story is None:
        raise ValueError(f"order {order.order_id} has no decision")
    events = (event for event in story.events if event.order_id == order.order_id)
    cause = next(event.cause for event in events if event.to_state is order.state)
    return {
        "order_id": order.order_id,
        "decision_id": order.decision_id,
        "strategy": order.strategy,
        "symbol": order.symbol,
        "candle_open": iso(story.decision.slot.candle_open),
        "side": order.side,
        "reason": order.reason,
        "state": order.state,
        "cause": cause,
        "filled_quantity": plain(order.filled_quantity),
        "average_price": plain(order.average_price) if order.average_price is not None else None,
        "fees": _texts(order.fees),
    }


def _fill_row(fill: Fill) -> Document:
    trade = fill.trade
    return {
        "order_id": fill.order_id,
        "strategy": fill.strategy,
        "symbol": trade.symbol,
        "side": trade.side,
        "trade_id": trade.trade_id,
        "quantity": plain(trade.quantity),
        "price": plain(trade.price),
        "fees": _texts(trade.fees),
        "at": iso(trade.at),
    }


def _equity_row(point: Point, close: Close) -> Document:
    return {"at": iso(point.at), "closes": _texts(close.prices), "equity": plain(point.value)}


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: plain(amount) for name, amount in sorted(amounts.items())}


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
