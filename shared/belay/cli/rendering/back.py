"""What a person said of orders, trades, balances and symbols, and what came of it, as text for a terminal."""

from decimal import Decimal
from typing import Any

from belay.cli import words
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]


@shows
def resolved_order(out: Terminal, document: Document) -> None:
    """What the venue says, what the operator said, and what may be said."""
    state = words.state(document["state"])
    out.print(f"Order {document['order_id']}: {state}, {words.number(document['filled_quantity'])} filled")
    shown, word = document["shown"], document["word"]
    if shown:
        out.print(f"  The venue shows it as {shown['venue_order_id']}, {shown['status']}; that was followed.")
    elif document["no_symbol"]:
        out.print(f"  The venue has no such symbol: {document['no_symbol']}")
    elif document["choices"] or not word:
        out.print("  The venue does not know it.")
    if not document["trades_read"]:
        out.print("  [yellow]The trades of its symbol could not be read.[/]")
    if word:
        already = " [dim](already)[/]" if document["already"] else ""
        by = f"{word['author']}, {words.minute(word['at'])}"
        out.print(f"  [green]said to be {word['verdict']}[/]: {word['reason']} ({by}){already}")
        out.print("  It is never sent again, and looked up on for a while.")
    for choice in document["choices"]:
        told = f"{choice['problem']}. {choice['remedy']}" if choice["problem"] else "may be said now, with a reason"
        out.print(f"    --{choice['verdict']}: {told}")
    _ended(out, document)


@shows
def loose_trades(out: Terminal, documents: list[Document]) -> None:
    for trade in documents:
        out.print(f"{_trade(trade)}   [dim]account {trade['account']}, venue order {trade['venue_order_id']}[/]")
        out.print(f"    {trade['key']}", soft_wrap=True)
    if not documents:
        out.print("No trade waits for its order.")


@shows
def said(out: Terminal, document: Document) -> None:
    out.print(f"[bold]Account {document['account']}[/]")
    for one in document["said"]:
        already = " [dim](already)[/]" if one["already"] else ""
        whose = f"given to {one['strategy']}" if one["strategy"] else "foreign"
        out.print(f"  [green]{whose}[/]: {_trade(one['trade'])}{already}")
        if one.get("taken"):  # an older reconciler does not say it
            out.print(f"    A rebase took {', '.join(one['taken'])} with it: nothing more of that is counted.")
    _ended(out, document)
    out.print(f"  {len(document['left'])} trade(s) still wait for their order.")


def _trade(trade: Document) -> str:
    fees = words.amounts(trade["fees"]) if trade["fees"] else "no fee"
    size = f"{words.number(trade['quantity'])} {trade['symbol']} at {words.number(trade['price'])}"
    return f"{words.second(trade['at'])}  {trade['side']} {size}, {fees}"


@shows
def retired(out: Terminal, document: Document) -> None:
    out.print(f"Account {document['account']}: {document['symbol']} is retired")
    for flow in document["written_off"]:
        out.print(f"  {flow['strategy'] or 'no strategy'}: {flow['evidence']}")
    if document["already"]:
        out.print("  Nothing was left to write off.")
    if document["listed"]:
        out.print("  It may leave the account document now: `belay account set FILE`.")
    _ended(out, document)


@shows
def written_off(out: Terminal, document: Document) -> None:
    record, short = document["record"], document["short"]
    out.print(f"Account {document['account']}: {record['strategy']}: {record['evidence']}")
    out.print(f"  It holds {words.number(document['left'])} {document['symbol']} now.")
    if Decimal(short) > 0:
        out.print(f"  [yellow]{words.number(short)} is short still[/]: belay write-off takes that from whom it was.")
    out.print("  Coins that come back are no strategy's: `belay adopt`.")


@shows
def taken_back(out: Terminal, document: Document) -> None:
    already = "" if document["record"] else " [dim](already)[/]"
    out.print(f"Account {document['account']}: {document['symbol']} is not retired{already}")
    if document["listed"]:
        out.print("  Entries go out in it once a reconciliation has read it, unless a stop stands: `belay status`.")
    else:
        out.print("  The account document does not have it: `belay account set FILE`.")


@shows
def rebased(out: Terminal, document: Document) -> None:
    outcome = "taken as it is" if document["taken"] else "differs"
    for asset, shift in document["shifts"].items():
        before, after = words.number(shift["before"]), words.number(shift["after"])
        out.print(f"  {asset} {outcome}: expected {before}, there are {after}, by {words.number(shift['amount'])}")
    if not document["shifts"]:
        out.print("No balance differs.")
    elif not document["taken"]:
        out.print('To take one as it is: belay rebase --asset ASSET --amount ASSET=AMOUNT --reason "…"')
    for problem in document["unread"]:
        out.print(f"  [yellow]not read[/]: {problem}")
    _ended(out, document)


@shows
def looked(out: Terminal, document: Document) -> None:
    """How an incident stands after a look at its fact."""
    if document["status"] == "resolved":
        out.print(
            f"Account {document['account']}: {document['incident_id']} resolved, {document['lifted']} stop(s) lifted"
        )
        return
    out.print(f"Account {document['account']}: {document['incident_id']} [bold red]stays open[/]")
    out.print(f"  expected {document['expected']}; actual {document['actual']}")
    out.print(f"  {document['problem']}. {document['remedy']}")
    for command in document["commands"]:
        out.print(f"    {command}", soft_wrap=True)


def _ended(out: Terminal, document: Document) -> None:
    for incident_id in document["resolved"]:
        out.print(f"  resolved incident {incident_id}")
