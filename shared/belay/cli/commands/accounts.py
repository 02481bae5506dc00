"""Account documents: set, show, validate, example."""

from pathlib import Path
from typing import Annotated

import typer

from belay.cli import operations, views
from belay.cli.documents import example_document, read_document
from belay.cli.options import Author
from belay.cli.rendering import operations as told
from belay.cli.session import Session, begin, command
from belay.domain.errors import InvalidInput

app = typer.Typer(help="Account documents: set, show, validate, example.", epilog="Example: belay account show")
app.callback()(begin)

File = Annotated[Path, typer.Argument(metavar="FILE", help="An account document in JSON; - reads standard input.")]
SameVenue = Annotated[
    str,
    typer.Option(metavar="REASON", help="Why other hosts than before are the same venue: its balances are compared."),
]


@command(app, "belay account set account.json", name="set")
def set_account(session: Session, file: File, author: Author = "operator", same_venue: SameVenue = "") -> None:
    """Store a document as the next version; closes the gate until the next clean reconciliation."""
    document, desk = read_document(file), session.open()
    stored = operations.set_document(desk, document, author, same_venue)
    if same_venue:
        operations.confirm_venue(desk, document.account, same_venue, author)
    session.show(stored, told.stored)


@command(app, "belay account show --account paper", name="show")
def show_account(session: Session) -> None:
    """Print the stored document of an account."""
    desk = session.open()
    name = session.one_account(desk)
    configuration = desk.ledger.configuration(name)
    if configuration is None:
        raise InvalidInput("--account", f"{name} has no document", "Store one with `belay account set FILE`.")
    session.show(views.stored(configuration), told.configuration)


@command(app, "belay account validate account.json", name="validate")
def validate_account(session: Session, file: File) -> None:
    """Check a document without storing it, and name the limits it lacks."""
    document = read_document(file)
    missing = views.missing_limits(document)
    session.show({"account": document.account, "valid": True, "missing_limits": missing}, told.validated)


@command(app, "belay account example > account.json", name="example")
def example_account(_: Session) -> None:
    """Print a document for a paper account, to start from."""
    print(example_document(), end="")
