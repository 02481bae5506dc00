"""What an operator changed, and documents and incidents to act on, as text for a terminal. Looks nothing up."""

from decimal import Decimal
from typing import Any

from rich.highlighter import JSONHighlighter

from belay.cli import words
from belay.cli.rendering import phrases
from belay.cli.terminal import Terminal, as_json, shows, written

type Document = dict[str, Any]


@shows
def halted(out: Terminal, document: Document) -> None:
    if "switch" in document:
        out.print(f"Switch: {words.level(document['switch']['level'])} {words.reason(document['switch']['reason'])}")
    for account in document["accounts"]:
        out.print(f"Account {account['account']}: {phrases.stop(account['stop'])}")
        out.print(f"  {_fence(account['last_outstanding_fence'])}")
    if not document["accounts"]:
        out.print("No account is stored, so there was no account to stop.")


def _fence(fence: str | None) -> str:
    if fence is None:
        return "No request is on its way: the outcome of every submitted order is known."
    if fence == "unbounded":
        return "[bold red]A request is on its way without a fence: it may be accepted at any time (unbounded).[/]"
    return f"[yellow]A request is on its way and may still be accepted until {words.second(fence)} (venue time).[/]"


@shows
def released(out: Terminal, document: Document) -> None:
    if "switch" in document:
        out.print(f"Switch: {words.level(document['switch']['level'])} {words.reason(document['switch']['reason'])}")
    for account in document["accounts"]:
        out.print(f"Account {account['account']}: {len(account['released'])} stop(s) released")
        for stop in account["remaining"]:
            out.print(f"  still standing: {phrases.stop(stop)}")


@shows
def adopted(out: Terminal, document: Document) -> None:
    """What was adopted, what that resolved, and what is left to adopt."""
    out.print(f"[bold]Account {document['account']}[/]")
    if document["reconciled"]:
        out.print("  Its books were opened just now.")
    for done in document["adopted"]:
        already = " [dim](already)[/]" if done["already"] else ""
        out.print(f"  [green]adopted[/] by {done['strategy']}: {_adopted(done)}{already}")
    for incident_id in document["resolved"]:
        out.print(f"  resolved incident {incident_id}")
    left = [_balance(balance) for balance in document["balances"] if Decimal(balance["left"])]
    left += [_foreign(order) for order in document["orders"]]
    out.print("  Left to adopt:" if left else "  Nothing is left to adopt.")
    for line in left:
        out.print(f"    {line}")


def _adopted(done: Document) -> str:
    if done["order_id"]:
        price = phrases.priced({"limit_price": done["price"]})
        return f"order {done['order_id']}, {done['side']} {phrases.sized(done)} {price}"
    return f"{phrases.sized(done)} at a cost of {words.number(done['price'])}"


def _balance(balance: Document) -> str:
    opening = f", {words.number(balance['opening'])} at the opening"
    return f"balance  {words.number(balance['left'])} {balance['symbol']}{opening}"


def _foreign(foreign: Document) -> str:
    seen = foreign["seen"]
    name = seen["client_order_id"] or f"(venue order {seen['venue_order_id']})"
    asked = f"order    {name}  {seen['side']} {phrases.sized(seen)} {phrases.priced(seen)}"
    if not foreign["problem"]:
        return asked
    return f"{asked}\n      [yellow]cannot be adopted[/]: {foreign['problem']}. {foreign['remedy']}"


@shows
def stored(out: Terminal, document: Document) -> None:
    outcome = "stored" if document["stored"] else "unchanged"
    out.print(f"Account {document['account']}: {outcome}, version {document['version']}")


@shows
def incidents(out: Terminal, documents: list[Document]) -> None:
    for document in documents:
        _incident(out, document)
    if not documents:
        out.print("No open incidents.")


def _incident(out: Terminal, document: Document) -> None:
    done = f"  [green]resolved[/]: {document['resolution']}" if document["status"] == "resolved" else ""
    out.print(phrases.incident(document) + (f"\n{done}" if done else ""))


@shows
def incident(out: Terminal, document: Document) -> None:
    """The incident as the list has it, then what happened to it: when, what, by whom, why."""
    _incident(out, document)
    for line in document["history"]:
        out.print(f"  {words.second(line['at'])}  {line['what']} by {line['author']}: {line['reason']}")
    if not document["history"]:
        out.print("  [dim]No history of it was kept: an earlier version of Belay opened it.[/]")


@shows
def validated(out: Terminal, document: Document) -> None:
    out.print(f"Account {document['account']}: the document is valid")
    for limit in document["missing_limits"]:
        out.print(f"  [yellow]missing limit[/] {limit}: entries are denied until it is given")


def configuration(out: Terminal, document: Document) -> None:
    """The document itself stands there exactly, as it may be stored again."""
    author, at = written(document["author"]), words.second(document["stored_at"])
    out.print(f"[bold]Account {document['document']['account']}[/]   v{document['version']}, by {author}, {at}")
    if unknown := document.get("unknown_fields"):
        out.print(f"  [yellow]unknown to this version[/] {written(', '.join(unknown))}: entries wait")
    out.print(JSONHighlighter()(as_json(document["document"])), soft_wrap=True)
