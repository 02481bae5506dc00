"""Positions, fills and flows as text for a terminal. Formats; looks nothing up."""

from typing import Any

from rich.table import Table

from belay.cli import words
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]

DUST = {True: "[yellow]dust[/]", False: "", None: ""}


@shows
def positions(out: Terminal, documents: list[Document]) -> None:
    """For each account a line per position, then fees and equity."""
    for document in documents:
        out.print(f"[bold]Account {document['account']}[/]   in {document['quote']}")
        if document["positions"]:
            out.print(_positions(document["positions"]))
        else:
            out.print("  No positions.")
        fees, equity = document["fees"], document["equity"]
        if fees["parts"]:
            out.print(f"  fees of the latest {fees['fills']} fills: {_worth(fees)}", soft_wrap=True)
        out.print(f"  equity: {_worth(equity)}", soft_wrap=True)
    if not documents:
        out.print("No account yet.")


def _positions(held: list[Document]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("strategy", "symbol", "quantity", "average cost", "price", "unrealised", "realised", ""):
        table.add_column(column, overflow="fold")
    for position in held:
        table.add_row(
            position["strategy"],
            position["symbol"],
            words.number(position["quantity"]),
            words.number(position["average_cost"] or ""),
            _price(position),
            words.number(position["unrealised_pnl"] or "not known"),
            words.number(position["realised_pnl"]),
            DUST[position["dust"]],
        )
    return table


def _price(valued: Document) -> str:
    if not valued["price"]:
        return "not known"
    source = valued["price_source"].replace("_", " ")
    return f"{words.number(valued['price'])} ({source}, {words.minute(valued['price_at'])})"


def _worth(worth: Document) -> str:
    parts = "; ".join(_part(part) for part in worth["parts"])
    missing = f"; without {', '.join(worth['unpriced'])}, of which no price is known" if worth["unpriced"] else ""
    return f"{words.number(worth['total'])} {worth['quote']}{f' ({parts}{missing})' if parts else ''}"


def _part(part: Document) -> str:
    amount = f"{words.number(part['amount'])} {part['asset']}"
    return f"{amount} at {_price(part)}" if part["price"] else amount


@shows
def fills(out: Terminal, documents: list[Document]) -> None:
    for fill in documents:
        size = f"{words.number(fill['quantity'])} {fill['symbol']} at {words.number(fill['price'])}"
        estimated = " (estimated)" if fill["fees_estimated"] else ""
        fees = f"fees {words.amounts(fill['fees'])}{estimated}"
        out.print(f"[bold]{words.second(fill['at'])}[/]  {fill['strategy']}  {fill['side']} {size}, {fees}")
        out.print(f"    [dim]order {fill['order_id']}, trade {fill['trade_id']}[/]")
    if not documents:
        out.print("No fills.")


@shows
def flows(out: Terminal, documents: list[Document]) -> None:
    for flow in documents:
        strategy = f"  {flow['strategy']}" if flow["strategy"] else ""
        out.print(f"[bold]{words.second(flow['at'])}[/]  {flow['kind']}{strategy}  {words.amounts(flow['amounts'])}")
        out.print(f"    {flow['evidence']} (by {flow['author']})  [dim]{flow['flow_id']}[/]")
    if not documents:
        out.print("No flows.")
