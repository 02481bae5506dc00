"""How it stands, and what was decided, as text for a terminal. Formats; looks nothing up."""

from typing import Any

from rich.padding import Padding
from rich.table import Table

from belay.cli import words
from belay.cli.rendering import phrases
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]


@shows
def status(out: Terminal, document: Document) -> None:
    switch = document["switch"]
    out.print(f"Stage {document['stage']}   switch {words.level(switch['level'])} {words.reason(switch['reason'])}")
    if not document["accounts"]:
        out.print("No account yet: store one with `belay account set FILE` (see `belay account example`).")
    for account in document["accounts"]:
        _account(out, account)


def _account(out: Terminal, account: Document) -> None:
    version = account["configuration_version"]
    configured = f"{account['venue']}, {account['mode']}, document v{version}" if version else "no document"
    out.print(f"\n[bold]Account {account['account']}[/]   {configured}   {', '.join(account['symbols'])}")
    rows = Table.grid(padding=(0, 2))
    rows.add_row("gate", _gate(account["gate"]))
    rows.add_row("last proof", _proof(account["last_proof"]))
    if account["unknown_fields"]:
        unknown = ", ".join(account["unknown_fields"])
        rows.add_row("document", f"[yellow]unknown to this version[/]: {unknown}; entries wait")
    if account["later"]:
        rows.add_row("left alone", "\n".join(f"[yellow]of a later version[/]: {one}" for one in account["later"]))
    rows.add_row("stops", "\n".join(phrases.stop(stop) for stop in account["stops"]) or "none")
    rows.add_row("open orders", words.counts(account["open_orders"]))
    if account["unresolved"]:
        rows.add_row("unresolved", "\n".join(f"[bold red]{order_id}[/]" for order_id in account["unresolved"]))
    rows.add_row("incidents", "\n".join(phrases.incident(incident) for incident in account["incidents"]) or "none open")
    rows.add_row("positions", "\n".join(_position(position) for position in account["positions"]) or "none")
    rows.add_row("strategies", "\n".join(_latest(latest) for latest in account["strategies"]) or "none has ticked yet")
    out.print(Padding(rows, (0, 0, 0, 2), expand=False))


def _gate(gate: Document) -> str:
    if gate["open"]:
        return f"[green]open[/]: reconciled {words.age(gate['age_seconds'])} ago"
    age = f" ({words.age(gate['age_seconds'])} ago)" if gate["age_seconds"] is not None else ""
    return f"[yellow]closed[/]: {gate['reason']}{age}; no entries until the next clean reconciliation"


def _proof(proof: Document | None) -> str:
    if proof is None:
        return "none yet"
    uncovered = (f"[yellow]nothing is proven of {symbol}[/]: {why}" for symbol, why in proof["uncovered"].items())
    return "\n".join([words.second(proof["completed_at"]), *uncovered])


def _position(position: Document) -> str:
    cost = f" at average cost {words.number(position['average_cost'])}" if position["average_cost"] else ""
    held = f"{words.number(position['quantity'])} {position['symbol']}{cost}"
    return f"{position['strategy']}: {held}, realised P&L {words.number(position['realised_pnl'])}"


def _latest(latest: Document) -> str:
    decision = latest["last_decision"]
    if decision is None:
        return f"{latest['strategy']}: no decision yet"
    return f"{latest['strategy']}: {phrases.decided(decision)} (candle {words.minute(decision['candle_open'])})"


@shows
def decisions(out: Terminal, documents: list[Document]) -> None:
    """Two lines per decision: what and why, then the ids that `belay explain` takes."""
    for document in documents:
        out.print(
            f"[bold]{words.minute(document['candle_open'])}[/]  {document['strategy']}  {phrases.decided(document)}"
        )
        if document["detail"]:
            out.print(f"    {document['detail']}")
        out.print(f"    [dim]{document['decision_id']}[/]")
        for leg in document["legs"]:
            out.print(f"    [dim]order {leg['order_id']}[/]")
    if not documents:
        out.print("No decisions.")
