"""The page of a replay: one self-contained file of the charts that fit it. Computes no figure."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from markupsafe import Markup

from belay.domain import texts
from belay.domain.errors import InvalidInput
from belay.pages.figures import Point, decisions_figure, drawdown_figure, equity_figure, price_figure
from belay.pages.page import Section, chart, page
from belay.replay.engine import ReplayEngine
from belay.replay.plan import Plan
from belay.replay.showing import MODEL, facts

type Document = dict[str, Any]


def require_place(file: Path) -> None:
    """Raises InvalidInput where no file can be written."""
    if file.is_dir() or not file.parent.is_dir():
        raise InvalidInput("--plot", f"{file} cannot be written", "Give a file in a folder that exists.")


def write_plot(file: Path, document: Document, plan: Plan, engine: ReplayEngine) -> None:
    """Write one self-contained page of the charts that fit a replay."""
    title = f"Replay of {', '.join(tick['strategy'] for tick in plan.ticks)}"
    content = page(title, list(_sections(document, plan, engine)), _lead(document))
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("--plot", f"{file} cannot be written: {error.strerror}", "Give another file.") from None


def _lead(document: Document) -> Markup:
    told = [f"{name}: {fact}" for name, fact in facts(document, document["quote"])]
    listed = Markup("").join(Markup("<li>{}</li>").format(texts.shown(fact)) for fact in told)
    return Markup("<ul>{}</ul><p>{}</p>").format(listed, MODEL)


def _sections(document: Document, plan: Plan, engine: ReplayEngine) -> Iterator[Section]:
    fills = engine.fills()
    charts = [
        chart(
            f"price-{number}",
            price_figure(candles[plan.warm_up :], [fill for fill in fills if fill.trade.symbol == symbol]),
            f"Price of {symbol} with every fill",
            f"{symbol}. A triangle up is an entry, one down an exit, where it filled.",
        )
        for number, (symbol, candles) in enumerate(plan.markets.items())
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
