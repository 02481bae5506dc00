"""What came of a replay: a few lines for the terminal, and one page of charts. Computes nothing of it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.table import Table

from belay.cli import words
from belay.cli.terminal import Terminal, shows
from belay.domain import texts
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.market import Candle
from belay.pages.figures import Point, decisions_figure, drawdown_figure, equity_figure, price_figure
from belay.pages.page import Section, chart, page

type Document = dict[str, Any]
type Markets = Mapping[str, tuple[Candle, ...]]

MODEL = (
    "Fills are a model: a market order takes the open that follows its decision, worsened by the account's slippage,"
    " up to its share of the volume. No venue's faults, latency or order book are in it."
)


@shows
def show(out: Terminal, document: Document) -> None:
    """The replay in a few lines."""
    quote = document["quote"]
    out.print(
        f"{document['slots']} slots of {document['timeframe']}, {words.minute(document['first_close'])} to "
        f"{words.minute(document['last_close'])}; account {document['account']}, stage {document['stage']}"
    )
    reasons = Table("strategy", "decision", "slots", box=None, pad_edge=False)
    for strategy, counts in document["decisions"].items():
        for reason, times in sorted(counts.items(), key=lambda pair: -pair[1]):
            reasons.add_row(strategy, reason, str(times))
    out.print(reasons)
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(document, quote):
        facts.add_row(name, fact)
    out.print(facts)
    out.print(MODEL, style="dim")


def _facts(document: Document, quote: str) -> Iterator[tuple[str, str]]:
    denied = words.counts(document["denied_by"])
    by_state = words.counts(document["orders_by_state"])
    yield "orders", by_state + (f" (denied: {denied})" if document["denied_by"] else "")
    yield "fills", f"{len(document['fills'])}, fees {words.amounts(document['fees'], words.money)}"
    yield "realised P&L", f"{words.money(document['realised_pnl'])} {quote}, fees included"
    start, end, fall = document["equity_start"], document["equity_end"], document["max_drawdown"]
    yield "equity", f"{words.money(start)} > {words.money(end)} {quote} ({words.change(start, end)})"
    peak, trough = words.minute(fall["peak_at"]), words.minute(fall["trough_at"])
    yield "max drawdown", f"{words.share(fall['fraction'])}, {peak} to {trough}"
    for symbol, held in document["buy_and_hold"].items():
        change, worth = words.change(held["first_close"], held["last_close"]), words.money(held["equity_end"])
        yield f"{symbol} held", f"{worth} {quote} ({change}), for comparison, without costs"
    if document["incidents_open"]:
        yield "incidents", f"{document['incidents_open']} open"


def write_plot(file: Path, document: Document, markets: Markets, fills: Sequence[Fill]) -> None:
    """Write one self-contained page of the charts that fit a replay of these candles.

    Raises:
        InvalidInput: the file cannot be written.
    """
    title = f"Replay of {', '.join(tick['strategy'] for tick in document['strategies'])}"
    content = page(title, list(_sections(document, markets, fills)), _lead(document))
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("--plot", f"{file} cannot be written: {error.strerror}", "Give another file.") from None


def _lead(document: Document) -> Markup:
    facts = [f"{name}: {fact}" for name, fact in _facts(document, document["quote"])]
    listed = Markup("").join(Markup("<li>{}</li>").format(texts.shown(fact)) for fact in facts)
    return Markup("<ul>{}</ul><p>{}</p>").format(listed, MODEL)


def _sections(document: Document, markets: Markets, fills: Sequence[Fill]) -> Iterator[Section]:
    charts = [
        chart(
            f"price-{number}",
            price_figure(candles, [fill for fill in fills if fill.trade.symbol == symbol]),
            f"Price of {symbol} with every fill",
            f"{symbol}. A triangle up is an entry, one down an exit, where it filled.",
        )
        for number, (symbol, candles) in enumerate(markets.items())
    ]
    yield Section("market", "Price, entries and exits", Markup("").join(charts))
    begin = {"at": document["first_close"], "equity": document["equity_start"]}
    rows = [begin, *document["equity"]]
    points = [Point(datetime.fromisoformat(row["at"]), Decimal(row["equity"])) for row in rows]
    quote = document["quote"]
    worth = chart("equity", equity_figure(points), "Equity over time", f"Everything held, in {quote}, at each close.")
    fallen = chart("drawdown", drawdown_figure(points), "Drawdown over time", "Below the highest value so far.")
    yield Section("equity", "Equity and drawdown", worth + fallen)
    reasons = decisions_figure(document["decisions"])
    caption = "How often each strategy said what."
    yield Section("decisions", "Decisions", chart("decisions", reasons, "Decisions by reason", caption))
