"""What needs a person: list, show, resolve."""

from typing import Annotated

import typer

from belay.cli import operations, views
from belay.cli.exits import FAILED
from belay.cli.options import Author
from belay.cli.rendering import back as told_back
from belay.cli.rendering import operations as told
from belay.cli.session import Session, begin, command
from belay.workflows.updates import NO_ACCOUNT

# Incidents about events that named no account.
NOWHERE = (NO_ACCOUNT,)

app = typer.Typer(help="What needs a person: list, show, resolve.", epilog="Example: belay incidents list")
app.callback()(begin)


@command(app, "belay incidents list --all", name="list")
def list_incidents(
    session: Session,
    resolved_too: Annotated[bool, typer.Option("--all", help="The resolved ones too.")] = False,
) -> None:
    """List open incidents: what was compared, both values, what to do."""
    desk = session.open()
    accounts = session.accounts(desk, NOWHERE) if session.account else (*session.accounts(desk), *NOWHERE)
    found = views.incidents(desk.ledger, accounts, resolved_too=resolved_too)
    session.show(found, told.incidents)


@command(app, "belay incidents show balance_mismatch:USD", name="show")
def show_incident(
    session: Session,
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="As `belay incidents list` shows it.")],
) -> None:
    """Show an incident and its history: what was found, changed and said, when, by whom, why."""
    desk = session.open()
    session.show(views.incident(desk.ledger, session.one_account(desk, NOWHERE), incident_id), told.incident)


@command(app, 'belay incidents resolve balance_mismatch:USD --reason "a fee, paid by hand"', name="resolve")
def resolve_incident(
    session: Session,
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="As `belay incidents list` shows it.")],
    reason: Annotated[str, typer.Option(help="What was found and done.")],
    author: Author = "operator",
) -> None:
    """Say that an incident is dealt with: its fact is looked at first, and where it stands, so does the incident.

    Exit code 1 if it stays open.
    """
    desk = session.open()
    wish = {"incident_id": incident_id, "reason": reason, "author": author}
    answer = operations.ask(desk, session.one_account(desk, NOWHERE), "resolve", wish)
    session.show(answer, told_back.looked)
    if answer["status"] != "resolved":
        raise typer.Exit(FAILED)
