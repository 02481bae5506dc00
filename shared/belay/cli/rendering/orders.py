"""Orders and what became of them, as text for a terminal. Formats; looks nothing up."""

from typing import Any

from belay.cli import words
from belay.cli.rendering import phrases
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]


@shows
def orders(out: Terminal, documents: list[Document]) -> None:
    """Two lines per order: what became of it, then its id."""
    for document in documents:
        out.print(
            f"[bold]{words.minute(document['created_at'])}[/]  {phrases.request(document)}  {phrases.became(document)}"
        )
        out.print(f"    [dim]{document['order_id']}[/]  {document['strategy']}: {document['reason']}")
    if not documents:
        out.print("No orders.")


@shows
def order(out: Terminal, document: Document) -> None:
    _order(out, document)


def _order(out: Terminal, document: Document) -> None:
    out.print(f"{phrases.request(document)}  {phrases.became(document)}")
    out.print(f"[dim]{document['order_id']}[/]  {document['strategy']}: {document['reason']}")


@shows
def order_event(out: Terminal, event: Document) -> None:
    venue = f"venue {words.second(event['exchange_time'])}" if event["exchange_time"] else "the venue said nothing"
    out.print(
        f"{words.state(event['to'])}  {event['cause']}  [dim]{venue}, recorded {words.second(event['recorded_at'])}[/]"
    )


@shows
def cancelling(out: Terminal, document: Document) -> None:
    _order(out, document)
    out.print("A cancel is requested: each reconciliation repeats it at the venue until the order is done.")
