"""`report.html`: one self-contained page that shows what a demo run did. Reads its files; computes no verdict anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from markupsafe import Markup

from belay.demo.exported import Exported, read_exported
from belay.demo.series import equity_points, function_seconds, market_seconds
from belay.demo.stories import KINDS, Story, most_telling, stories
from belay.domain.market import Candle
from belay.domain.record import ZERO, base_asset
from belay.domain.slots import TIMEFRAMES
from belay.domain.texts import shown
from belay.domain.venues import VenueTrade
from belay.pages import figures
from belay.pages.page import Section, chart, money, page, part

FILE, TEMPLATE = "report.html", "report.html.jinja"


def write_report(folder: Path) -> Path:
    """Write `report.html` into a folder as the demo leaves it, beside summary.json and rows/; returns its path.

    Raises:
        InvalidInput: the folder's files are missing or are not the demo's.
    """
    run = read_exported(folder)
    file = folder / FILE
    file.write_text(page("Belay demo report", _sections(run), _lead(run)), encoding="utf-8")
    return file


def _sections(run: Exported) -> list[Section]:
    told = stories(run)
    faulted = [story for story in told if story.kinds]
    featured = most_telling(told)
    parts = {
        "faults": ("Injected faults", _faults(run)),
        "market": ("Price, entries and exits", _market(run, faulted)),
        "equity": ("Equity and drawdown", _equity(run)),
        "decisions": ("Decisions", _decisions(run)),
        "latency": ("How long it took", _latencies(run)),
        "answers": ("One decision, five answers", _answers(run, featured) if featured else None),
        "stories": ("Faulted decisions, one by one", _stories(faulted) if faulted else None),
        "incidents": ("Incidents", part(TEMPLATE, "incidents", run.incidents) if run.incidents else None),
        "about": ("Check it yourself", part(TEMPLATE, "about", run.summary, len(run.decisions), len(run.orders))),
    }
    return [Section(anchor, title, body) for anchor, (title, body) in parts.items() if body is not None]


# --- the lead: what the run was, and whether it held ----------------------------------------------


class Fact(NamedTuple):
    name: str
    value: str
    note: str


class VerdictBox(NamedTuple):
    good: bool
    title: str
    lines: list[str]


def _lead(run: Exported) -> Markup:
    return part(TEMPLATE, "lead", _sentence(run), _verdict(run.summary), _facts(run))


def _sentence(run: Exported) -> str:
    summary, document = run.summary, run.configuration.document
    strategies = sorted({record.slot.strategy for record in run.decisions})
    frames = sorted({record.slot.timeframe for record in run.decisions})
    traded = (
        f"{' and '.join(strategies)} traded {', '.join(document.symbols)} over {summary['slots']:,} candles of "
        f"{', '.join(frames)} ({summary['market']}), through the functions as they are deployed, on a paper exchange"
    )
    if not summary["chaos"]:
        return f"{traded}. No faults were injected."
    faults, crashes = sum(summary["faults_injected"].values()), summary["function_crashes_injected"]
    ended = f", and {_count(crashes, 'process', 'processes')} ended in the middle of sending an order"
    misbehaves = f"that misbehaves on purpose: {_count(faults, 'fault')} by seed {summary['seed']}"
    return f"{traded} {misbehaves}{ended if crashes else ''}."


def _verdict(summary: Mapping[str, Any]) -> VerdictBox:
    """In plain words, from the summary's own figures."""
    doubled, unknown = summary["duplicate_venue_orders"], summary["unknown_open"]
    broken = [
        (doubled, f"{_count(doubled, 'order')} at the venue {'is' if doubled == 1 else 'are'} a duplicate."),
        (unknown, f"{_count(unknown, 'order')} still {'has' if unknown == 1 else 'have'} an unknown outcome."),
        (not summary["balances_match"], "The venue's balances are not what the recorded fills explain."),
    ]
    problems = [line for wrong, line in broken if wrong]
    waiting = summary["incidents_open"]
    open_incidents = [f"{_count(waiting, 'incident')} for a person to look at: see below."] if waiting else []
    if problems:
        return VerdictBox(False, "This run broke a promise.", [*problems, *open_incidents])
    explained = (
        "No order id has two orders at the exchange, no outcome is left unknown, and opening balances plus the "
        "recorded fills give the exchange's final balances to the last digit."
    )
    return VerdictBox(True, "Every order was placed once, or provably not at all.", [explained, *open_incidents])


BALANCES = {True: "balances match", False: "balances differ"}


def _facts(run: Exported) -> list[Fact]:
    summary, quote = run.summary, run.configuration.document.quote
    faults = summary["faults_injected"]
    equity = [Decimal(summary["equity"][end]) for end in ("start", "end")]
    return [
        Fact("Orders at the venue", f"{summary['venue_orders']:,}", f"{summary['duplicate_venue_orders']} duplicate"),
        Fact("Outcomes unknown", str(summary["unknown_open"]), f"of {len(run.orders):,} orders asked for"),
        Fact("Fills counted", f"{summary['fills']:,}", BALANCES[summary["balances_match"]]),
        Fact("Faults injected", f"{sum(faults.values()):,}", f"{_count(len(faults), 'kind')}"),
        Fact("Crashes injected", str(summary["function_crashes_injected"]), "while sending an order"),
        Fact("Open incidents", str(summary["incidents_open"]), f"{_count(len(run.incidents), 'incident')} in all"),
        Fact(f"Equity, {quote}", money(equity[1]), f"from {money(equity[0])}"),
        Fact("Decisions", f"{sum(summary['decisions'].values()):,}", _tallied(summary["decisions"])),
    ]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _tallied(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items())


# --- sections -------------------------------------------------------------------------------------


def _faults(run: Exported) -> Markup:
    met = [fault for faults in run.faults.values() for fault in faults]
    counts = Counter(fault.kind for fault in met)
    outcomes: dict[str, Counter[str]] = {}
    for fault in met:
        state = run.orders[fault.client_order_id].state
        outcomes.setdefault(KINDS[fault.kind].name, Counter())[state] += 1
    figure = chart(
        "faults",
        figures.faults_figure(outcomes),
        "Deliveries by kind of fault and by the state their order ended in",
        "What became of the orders: by kind of fault, the state in which the order ended. A delivery may meet several "
        "faults. NOT_SENT means that its absence at the exchange was proven.",
    )
    return part(TEMPLATE, "faults", [(*kind, counts[name]) for name, kind in KINDS.items() if counts[name]], figure)


def _market(run: Exported, faulted: Sequence[Story]) -> Markup:
    links = {told.order.order_id: shown(story.decision.decision_id) for story in faulted for told in story.orders}
    return Markup().join(
        chart(
            f"price-{number}",
            figures.price_figure(candles, [fill for fill in run.fills if fill.trade.symbol == symbol], links),
            f"{symbol} candles with entries and exits",
            f"{symbol}, {timeframe} candles in {symbol.split('/')[1]}, UTC. Each triangle is a fill: up for an entry, "
            "down for an exit. A click on one whose order met a fault opens its story.",
        )
        for number, ((symbol, timeframe), candles) in enumerate(sorted(_evaluated(run).items()))
    )


def _evaluated(run: Exported) -> dict[tuple[str, str], list[Candle]]:
    """The candles of the slots that were decided, by symbol and timeframe, without those only looked back at."""
    opened: dict[tuple[str, str], list[datetime]] = {}
    for record in run.decisions:
        opened.setdefault((record.slot.symbol, record.slot.timeframe), []).append(record.slot.candle_open)
    return {
        key: [candle for candle in run.candles[key] if min(times) <= candle.open_time <= max(times)]
        for key, times in opened.items()
        if key in run.candles
    }


def _equity(run: Exported) -> Markup:
    paper, evaluated = run.configuration.document.paper, _evaluated(run)
    if paper is None:
        raise ValueError("the demo's account is a paper account")
    timeframe = min((timeframe for _, timeframe in evaluated), key=list(TIMEFRAMES).index)
    candles = {base_asset(symbol): series for (symbol, frame), series in evaluated.items() if frame == timeframe}
    points = equity_points(paper.balances, run.fills, candles, timeframe)
    deepest = min(point.value for point in figures.drawdowns(points))
    quote = run.configuration.document.quote
    return chart(
        "equity",
        figures.equity_figure(points),
        "Equity over time",
        f"Equity in {quote}: balances from the recorded fills, valued at each close. From {money(points[0].value)} to "
        f"{money(points[-1].value)}; the dotted line is where it began.",
    ) + chart(
        "drawdown",
        figures.drawdown_figure(points),
        "Drawdown from the peak over time",
        f"Drawdown from the highest equity so far. The deepest was {-deepest:.2%}.",
    )


class StrategyRow(NamedTuple):
    strategy: str
    decisions: int
    holds: int
    orders: dict[str, int]
    fills: int
    fees: Decimal
    realised: Decimal


def _decisions(run: Exported) -> Markup:
    reasons: dict[str, Counter[str]] = {}
    for record in run.decisions:
        said = [record.held.reason] if record.held else [f"{leg.kind}: {leg.reason}" for leg in record.trade_legs]
        reasons.setdefault(record.slot.strategy, Counter()).update(said)
    figure = chart(
        "decisions",
        figures.decisions_figure(reasons),
        "Decisions by reason and strategy",
        "How often each strategy gave each reason. Most candles are no reason to trade, and that is stored, too.",
    )
    rows = [_strategy(run, strategy) for strategy in sorted(reasons)]
    return part(TEMPLATE, "decisions", rows, figure, run.configuration.document.quote)


def _strategy(run: Exported, strategy: str) -> StrategyRow:
    decided = [record for record in run.decisions if record.slot.strategy == strategy]
    fills = [fill for fill in run.fills if fill.strategy == strategy]
    quote = run.configuration.document.quote
    states = Counter(order.state.value for order in run.orders.values() if order.strategy == strategy)
    return StrategyRow(
        strategy=strategy,
        decisions=len(decided),
        holds=sum(record.held is not None for record in decided),
        orders=dict(states.most_common()),
        fills=len(fills),
        fees=sum((_fee(fill.trade, quote) for fill in fills), ZERO),
        realised=sum((held.realised_pnl for held in run.account.positions.get(strategy, {}).values()), ZERO),
    )


def _fee(trade: VenueTrade, quote: str) -> Decimal:
    """In quote currency; what was taken in base at the trade's own price."""
    return trade.fees.get(quote, ZERO) + trade.fees.get(base_asset(trade.symbol), ZERO) * trade.price


# --- latencies ------------------------------------------------------------------------------------


def _latencies(run: Exported) -> Markup:
    market, functions = market_seconds(run), function_seconds(run)
    known, answered = market["outcome known"], functions["claim to answer"]
    settled = sum(order.settled for order in run.orders.values())
    return Markup('<div class="pair">{}{}</div>').format(
        chart(
            "latency-market",
            figures.latency_figure(market, "market seconds since the claim"),
            "Share of orders by market seconds since the claim",
            "Market time from the claim of the right to send until its outcome was known, and until the first trade."
            f"{_most('Known', known)} An orderly answer takes no market time: a replay's clock stands still while "
            f"functions work. {settled:,} of {len(run.orders):,} orders are settled: nothing about them is expected to "
            "change any more.",
        ),
        chart(
            "latency-functions",
            figures.latency_figure(functions, "seconds on the functions' clocks", log=True),
            "Share of orders by seconds on the functions' clocks",
            f"The functions' own time, from decision to claim, and from claim to the venue's answer, where one came."
            f"{_most('Answered', answered)} Measured on a local emulator.",
        ),
    )


def _most(done: str, seconds: Sequence[float]) -> str:
    """Median and maximum as a sentence."""
    return f" {done}: half within {_span(median(seconds))}, all within {_span(max(seconds))}." if seconds else ""


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 or not seconds else f"{seconds * 1000:.3g} ms"


# --- stories --------------------------------------------------------------------------------------


def _answers(run: Exported, story: Story) -> Markup:
    quote = run.configuration.document.quote
    return part(TEMPLATE, "answers", story, run.account, run.proof, run.summary["incidents_open"], quote)


def _stories(faulted: Sequence[Story]) -> Markup:
    counts = Counter(kind for story in faulted for kind in story.kinds)
    buttons = [(name, kind.name, counts[name]) for name, kind in KINDS.items() if counts[name]]
    return part(TEMPLATE, "stories", faulted, buttons)
