"""What a replay shows on a terminal: how far it is, and what came of it in a few lines. Computes no figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

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
        f"{document['slots']} slots of {document['timeframe']}, {document['first_close'][:16]}Z to "
        f"{document['last_close'][:16]}Z; account {document['account']}, stage {document['stage']}"
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
    denied = _counts(document["denied_by"])
    yield "orders", _counts(document["orders_by_state"]) + (f" (denied: {denied})" if document["denied_by"] else "")
    yield "fills", f"{len(document['fills'])}, fees {_amounts(document['fees'])}"
    yield "realised P&L", f"{_short(document['realised_pnl'])} {quote}, fees included"
    yield "equity", f"{_short(document['equity_start'])} > {_short(document['equity_end'])} {quote} ({_gain(document)})"
    fall = document["max_drawdown"]
    yield "max drawdown", f"{float(fall['fraction']):.2%}, {fall['peak_at'][:16]}Z to {fall['trough_at'][:16]}Z"
    for symbol, held in document["buy_and_hold"].items():
        change = float(held["last_close"]) / float(held["first_close"]) - 1
        yield f"{symbol} held", f"{_short(held['equity_end'])} {quote} ({change:+.2%}), for comparison, without costs"
    if document["incidents_open"]:
        yield "incidents", f"{document['incidents_open']} open"


def _gain(document: Document) -> str:
    start = float(document["equity_start"])
    return f"{float(document['equity_end']) / start - 1:+.2%}" if start else "from nothing"


def _counts(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in tally.items()) or "none"


def _amounts(amounts: Mapping[str, str]) -> str:
    return ", ".join(f"{_short(amount)} {asset}" for asset, amount in amounts.items()) or "none"


def _short(amount: str) -> str:
    return f"{float(amount):,.2f}"
