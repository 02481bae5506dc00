"""Charts of a run as plotly.js figures: plain data in, a figure out. Reads nothing; decides nothing.

A figure is a dict with `data` and `layout`. Its colours are names such as `var(--good)`, which the page that shows it
resolves, light or dark. Decimals become floats here and nowhere before; instants are UTC.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import accumulate
from textwrap import wrap
from typing import Any, NamedTuple

from belay.domain.fills import Fill
from belay.domain.market import Candle
from belay.domain.record import ZERO, plain
from belay.domain.texts import bounded

type Figure = dict[str, Any]

# Candles are drawn while one can be told from the next, then the closes as a line.
MOST_CANDLES = 1_000
LABEL_WIDTH, LABEL_LENGTH = 28, 200
BAR_HEIGHT, LINE_HEIGHT, AXES_HEIGHT = 14, 17, 76
PAGE, CARD, LINE = "var(--page)", "var(--card)", "var(--line)"
INK, MUTED = "var(--ink)", "var(--muted)"
GOOD, WARN, BAD, BAD_TINT, QUIET = "var(--good)", "var(--warn)", "var(--bad)", "var(--bad-tint)", "var(--quiet)"
SERIES = ("var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)")
STATES = {
    "FILLED": GOOD,
    "PARTIALLY_FILLED": "var(--series-1)",
    "ACKNOWLEDGED": "var(--series-1)",
    "NOT_SENT": QUIET,
    "REJECTED": WARN,
    "UNKNOWN": BAD,
    "SUBMITTED": BAD,
}
SIDES = {"buy": ("triangle-up", "entry"), "sell": ("triangle-down", "exit")}


class Point(NamedTuple):
    """A value at a moment, in the unit of its series."""

    at: datetime
    value: Decimal


def price_figure(candles: Sequence[Candle], fills: Sequence[Fill], links: Mapping[str, str] | None = None) -> Figure:
    """The market with every fill where and when it traded, by strategy and side.

    Args:
        candles: of one symbol, in time order.
        fills: of the same symbol; a buy points up, a sell down.
        links: by order id, the id of the element that tells the order's story; a click on the fill goes there.
    """
    market = _candlesticks(candles) if len(candles) <= MOST_CANDLES else _closes(candles)
    strategies = sorted({fill.strategy for fill in fills})
    marks = [
        _marks(strategy, side, SERIES[number % len(SERIES)], fills, links or {})
        for number, strategy in enumerate(strategies)
        for side in SIDES
    ]
    layout = _layout(440, xaxis=_time_axis(rangeslider={"visible": False}), yaxis=_axis(tickformat=",~f"))
    return {"data": [market, *marks], "layout": layout | {"hovermode": "closest"}}


def _candlesticks(candles: Sequence[Candle]) -> dict[str, Any]:
    prices = {name: [float(getattr(c, name)) for c in candles] for name in ("open", "high", "low", "close")}
    rising, falling = ({"line": {"color": QUIET, "width": 1}, "fillcolor": colour} for colour in (PAGE, QUIET))
    times = [_instant(candle.open_time) for candle in candles]
    look = {"increasing": rising, "decreasing": falling, "whiskerwidth": 0}
    return {"type": "candlestick", "name": "price", "x": times, **prices, **look, "showlegend": False}


def _closes(candles: Sequence[Candle]) -> dict[str, Any]:
    closes = [float(candle.close) for candle in candles]
    return _line("price", [_instant(candle.open_time) for candle in candles], closes, QUIET) | {"showlegend": False}


def _marks(strategy: str, side: str, colour: str, fills: Sequence[Fill], links: Mapping[str, str]) -> dict[str, Any]:
    shown = [fill for fill in fills if (fill.strategy, fill.trade.side) == (strategy, side)]
    symbol, what = SIDES[side]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{_plain(strategy)} {what}",
        "x": [_instant(fill.trade.at) for fill in shown],
        "y": [float(fill.trade.price) for fill in shown],
        "text": [plain(fill.trade.quantity) for fill in shown],
        "customdata": [links.get(fill.order_id, "") for fill in shown],
        "hovertemplate": f"{what} %{{text}} at %{{y:,.2f}}<br>%{{x}}<extra>{_plain(strategy)}</extra>",
        "marker": {"symbol": symbol, "size": 10, "color": colour, "line": {"color": CARD, "width": 1}},
    }


def equity_figure(points: Sequence[Point]) -> Figure:
    """Equity in quote currency over time; dotted where it began."""
    values = [float(point.value) for point in points]
    line = _line("equity", [_instant(point.at) for point in points], values, SERIES[0])
    line |= {"hovertemplate": "%{y:,.2f}<br>%{x}<extra></extra>"}
    began = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": values[0], "y1": values[0]} if values else {}
    layout = _layout(260, xaxis=_time_axis(), yaxis=_axis(tickformat=",~f"), showlegend=False)
    layout["shapes"] = [began | {"line": {"color": MUTED, "width": 1, "dash": "dot"}}] if began else []
    return {"data": [line], "layout": layout}


def drawdowns(points: Sequence[Point]) -> list[Point]:
    """How far each value lies below the highest before it, as a fraction from -1 to 0; 0 while nothing was held."""
    peaks = accumulate((point.value for point in points), max)
    below = zip(points, peaks, strict=True)
    return [Point(point.at, point.value / peak - 1 if peak > 0 else ZERO) for point, peak in below]


def drawdown_figure(points: Sequence[Point]) -> Figure:
    """The drawdown from the peak of an equity series, in percent."""
    below = drawdowns(points)
    values = [float(point.value) for point in below]
    line = _line("drawdown", [_instant(point.at) for point in below], values, BAD)
    line |= {"fill": "tozeroy", "fillcolor": BAD_TINT, "hovertemplate": "%{y:.2%}<br>%{x}<extra></extra>"}
    yaxis = _axis(tickformat=".1~%", rangemode="tozero")
    return {"data": [line], "layout": _layout(180, xaxis=_time_axis(), yaxis=yaxis, showlegend=False)}


def decisions_figure(reasons: Mapping[str, Mapping[str, int]]) -> Figure:
    """How often each strategy gave each reason: counts by strategy, then reason."""
    totals: Counter[str] = Counter()
    for counts in reasons.values():
        totals.update(counts)
    colours = {name: SERIES[number % len(SERIES)] for number, name in enumerate(sorted(reasons))}
    return _bars({name: (colours[name], reasons[name]) for name in sorted(reasons)}, totals)


def faults_figure(outcomes: Mapping[str, Mapping[str, int]]) -> Figure:
    """Deliveries by kind of fault, then by the state that their order ended in."""
    totals = Counter({kind: sum(states.values()) for kind, states in outcomes.items()})
    states = sorted({state for counts in outcomes.values() for state in counts}, key=_state_order)
    return _bars(
        {
            state: (STATES.get(state, MUTED), {kind: counts.get(state, 0) for kind, counts in outcomes.items()})
            for state in states
        },
        totals,
    )


def _state_order(state: str) -> tuple[int, str]:
    known = list(STATES)
    return (known.index(state) if state in known else len(known), state)


def latency_figure(seconds: Mapping[str, Sequence[float]], axis: str, *, log: bool = False) -> Figure:
    """The share of orders that had come so far by then: one rising line per step, seconds by step."""
    end = max((value for values in seconds.values() for value in values), default=1) * (1.3 if log else 1.05)
    lines = [
        _share(step, sorted(values), end, SERIES[number % len(SERIES)])
        for number, (step, values) in enumerate(seconds.items())
        if values
    ]
    title = {"text": axis, "standoff": 12, "font": {"size": 13}}
    xaxis = _axis(title=title, ticksuffix=" s", type="log" if log else "linear")
    xaxis |= {"dtick": 1} if log else {"rangemode": "tozero"}
    yaxis = _axis(tickformat=".0%", range=[0, 1.04])
    return {"data": lines, "layout": _layout(280, xaxis=xaxis, yaxis=yaxis)}


def _share(step: str, values: Sequence[float], end: float, colour: str) -> dict[str, Any]:
    """Starts on the ground at its first value, rises by one order at each, and stays on top until `end`."""
    shares = [number / len(values) for number in range(len(values) + 1)]
    line = _line(step, [values[0], *values, end], [*shares, 1.0], colour)
    return line | {"line": {**line["line"], "shape": "vh"}, "hovertemplate": "%{y:.0%} within %{x:.3~f} s"}


# --- parts ----------------------------------------------------------------------------------------


def _bars(series: Mapping[str, tuple[str, Mapping[str, int]]], totals: Counter[str]) -> Figure:
    """Stacked horizontal bars, the largest total on top, each with its figure."""
    order = [name for name, _ in reversed(totals.most_common())]
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": _plain(name),
            "y": [_label(category) for category in order if counts.get(category)],
            "x": [counts[category] for category in order if counts.get(category)],
            "text": [str(counts[category]) for category in order if counts.get(category)],
            "textposition": "auto",
            "insidetextanchor": "middle",
            "textangle": 0,
            "cliponaxis": False,
            "hovertemplate": "%{y}: %{x}",
            "marker": {"color": colour},
            "insidetextfont": {"color": CARD},
            "outsidetextfont": {"color": INK},
        }
        for name, (colour, counts) in series.items()
    ]
    names = [_label(category) for category in order]
    # Also where all of them look like numbers or dates.
    yaxis = _axis(type="category", categoryorder="array", categoryarray=names, showgrid=False)
    xaxis = _axis(rangemode="tozero", dtick=_whole_step(max(totals.values(), default=1)))
    lines = max((name.count("<br>") + 1 for name in names), default=1)
    height = AXES_HEIGHT + (BAR_HEIGHT + LINE_HEIGHT * lines) * max(len(order), 2)
    layout = _layout(height, xaxis=xaxis, yaxis=yaxis)
    return {"data": bars, "layout": layout | {"barmode": "stack", "bargap": 0.3, "hovermode": "closest"}}


def _whole_step(largest: int) -> int:
    """The distance of about five ticks, as people count: 1, 2, 5, 10, 20 ..."""
    steps = [digit * int(10**power) for power in range(9) for digit in (1, 2, 5)]
    return next(step for step in steps if step * 6 >= largest)


def _line(name: str, x: Sequence[Any], y: Sequence[float], colour: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.75}
    return {"type": "scatter", "mode": "lines", "name": _plain(name), "x": list(x), "y": list(y), "line": line}


def _layout(height: int, **parts: Any) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8, "pad": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "inherit", "size": 13, "color": MUTED},
        "hovermode": "x",
        "hoverlabel": {"bgcolor": CARD, "bordercolor": LINE, "font": {"color": INK, "family": "inherit"}},
        "legend": {
            "font": {"color": INK},
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        "showlegend": True,
        **parts,
    }


def _axis(**parts: Any) -> dict[str, Any]:
    quiet = {"gridcolor": LINE, "linecolor": LINE, "zeroline": False, "automargin": True, "fixedrange": False}
    return {**quiet, **parts}


def _time_axis(**parts: Any) -> dict[str, Any]:
    return _axis(type="date", showgrid=False, hoverformat="%Y-%m-%d %H:%M:%S", showline=True, **parts)


def _instant(at: datetime) -> str:
    """As plotly.js takes it: it knows no zones, so that all is UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def _label(text: str) -> str:
    return "<br>".join(_plain(line) for line in wrap(bounded(text, LABEL_LENGTH), LABEL_WIDTH)) or "–"


def _plain(text: str) -> str:
    """Text that plotly.js takes neither for markup nor for a name to put a value in place of."""
    return escape(bounded(text, LABEL_LENGTH), quote=False).replace("%{", "%&#123;")
