"""What is examined before an account trades, as text for a terminal. Formats; looks nothing up."""

from typing import Any

from rich.padding import Padding
from rich.table import Table

from belay.cli import words
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]


@shows
def doctor(out: Terminal, document: Document) -> None:
    """One line per check."""
    out.print(f"[bold]Stage {document['stage']}[/]")
    _checks(out, document["checks"])
    for account in document["accounts"]:
        traded = f"   {account['venue']}, {account['mode']}" if account["mode"] else ""
        out.print(f"[bold]Account {account['account']}[/]{traded}")
        _checks(out, account["checks"])
    out.print(f"{document['ok']} ok, {document['warn']} warn, {document['fail']} fail")


def _checks(out: Terminal, checks: list[Document]) -> None:
    for check in checks:
        level = words.check(check["level"])
        remedy = f"  > {check['remedy']}" if check["remedy"] else ""
        out.print(f"  {level}  {check['check']}: {check['found']}{remedy}", soft_wrap=True)


@shows
def venues(out: Terminal, documents: list[Document]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("venue", "client order id", "fence", "absence", "second attempt", "unverified"):
        table.add_column(column, overflow="fold")
    for document in documents:
        known = (
            document["venue"],
            document["uniqueness"],
            document["fence"],
            "provable" if document["absence_provable"] else "not provable",
            document["second_attempt"],
            ", ".join(document["unverified"]) or "nothing",
        )
        unsupported = (
            document["venue"],
            "[yellow]cannot be traded[/]",
            "",
            "",
            "",
            document["unsupported"] or "",
        )
        table.add_row(*(unsupported if document["unsupported"] else known))
    out.print(table)
    out.print('Any other venue of ccxt: "venue_profile": "generic", which assumes nothing and sends nothing twice.')


@shows
def venue(out: Terminal, document: Document) -> None:
    looked_up = (f"{lookup['method']} for {words.age(lookup['retention_seconds'])}" for lookup in document["lookups"])
    rows = Table.grid(padding=(0, 2))
    rows.add_row("client order id", f"uniqueness {document['uniqueness']}")
    rows.add_row("fence", f"{document['fence']}, absence {'' if document['absence_provable'] else 'not '}provable")
    rows.add_row("second attempt", document["second_attempt"])
    rows.add_row("look-ups", ", ".join(looked_up))
    rows.add_row("market buys", "of a base quantity" if document["market_buys"] else "refused: limit prices only")
    rows.add_row("fees", document["fee_quirks"] or "nothing is known to be special")
    rows.add_row("test host", "yes" if document["sandbox"] else "none")
    rows.add_row("a key holds", ", ".join(document["credentials"]))
    rows.add_row("unverified", ", ".join(document["unverified"]) or "nothing")
    rows.add_row("notes", "\n".join(document["notes"]) or "none")
    refused = f"   [yellow]cannot be traded: {document['unsupported']}[/]" if document["unsupported"] else ""
    out.print(f"[bold]{document['venue']}[/]{refused}")
    out.print(Padding(rows, (0, 0, 0, 2), expand=False))
