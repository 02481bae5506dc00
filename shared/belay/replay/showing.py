"""What a replay shows on a terminal: how far it is, and what came of it in a few lines. Computes no figure."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from belay.cli import words
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]

MODEL = (
    "Fills are a model: a market order takes the open that follows its decision, worsened by the account's slippage,"
    " up to its share of the volume. No venue's faults, latency or order book are in it."
)


def shown[T](slots: Sequence[T], console: Console) -> Iterator[T]:
    """The slots, with a progress bar on a terminal and a line now and then elsewhere."""
    if console.is_terminal:
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("slots"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            yield from bar.track(slots)
        return
    step = max(len(slots) // 10, 1)
    for number, slot in enumerate(slots):
        if number % step == 0:
            console.print(f"Replaying slot {number + 1} of {len(slots)}", highlight=False)
        yield slot


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
    listed = Table.grid(padding=(0, 2))
    for name, fact in facts(document, quote):
        listed.add_row(name, fact)
    out.print(listed)
    out.print(MODEL, style="dim")


def facts(document: Document, quote: str) -> Iterator[tuple[str, str]]:
    """Each figure that is shown, by its name."""
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
