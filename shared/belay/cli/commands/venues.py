"""What is to be known before an account trades: doctor, venues. Changes nothing."""

from typing import Annotated

import typer

from belay.adapters.live.profiles import known_venues
from belay.cli import doctor as examination
from belay.cli.exits import FAILED
from belay.cli.rendering import checks as told
from belay.cli.session import Session, command

PANEL = "Before trading"

app = typer.Typer()


@command(app, "belay doctor --stage prod --account main", panel=PANEL)
def doctor(session: Session) -> None:
    """Examine stage and accounts before they trade: keys, limits, market, on-call. Exit code 1 if a check fails."""
    desk = session.open()
    document = examination.doctor(desk, session.accounts(desk))
    session.show(document, told.doctor)
    if document["fail"]:
        raise typer.Exit(FAILED)


@command(app, "belay venues kraken", panel=PANEL)
def venues(
    session: Session,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A venue; default: every one.", autocompletion=known_venues),
    ] = None,
) -> None:
    """List the venues that have a profile, or tell all of one: fence, second attempts, what nobody has verified."""
    if name is None:
        session.show(examination.venues(), told.venues)
    else:
        session.show(examination.venue(name), told.venue)
