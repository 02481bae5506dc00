"""What the account earned, paid and holds: positions, fills, flows. Changes nothing."""

from typing import Annotated

import typer

from belay.cli import books as read
from belay.cli.csv_text import as_csv
from belay.cli.options import AsCsv, Limit, Strategy
from belay.cli.rendering import books as told
from belay.cli.session import Session, command
from belay.cli.targets import Target, require_known

PANEL = "How it stands"

app = typer.Typer()


@command(app, "belay positions --csv > positions.csv", panel=PANEL)
def positions(session: Session, csv: AsCsv = False) -> None:
    """Show positions at average cost, profit, fees and equity; each value says where its price is from."""
    desk = session.open()
    accounts = session.accounts(desk)
    if session.writes_csv(csv):
        print(as_csv(read.POSITION_COLUMNS, read.position_rows(desk.ledger, accounts)), end="")
        return
    session.show(read.positions(desk.ledger, accounts), told.positions)


@command(app, "belay fills --strategy ema-cross-btc --csv > fills.csv", panel=PANEL)
def fills(session: Session, strategy: Strategy = None, limit: Limit = 20, csv: AsCsv = False) -> None:
    """List the latest fills: amounts, fees with their assets, what each changed."""
    desk = session.open()
    accounts = session.accounts(desk)
    require_known(desk.ledger, accounts, Target(strategy))
    found = read.fills(desk.ledger, accounts, strategy, limit)
    if session.writes_csv(csv):
        print(as_csv(read.FILL_COLUMNS, read.fee_rows(found)), end="")
        return
    session.show(read.plained(found), told.fills)


@command(app, "belay flows --limit 100 --csv > flows.csv", panel=PANEL)
def flows(
    session: Session,
    limit: Limit = 20,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row for each amount.")] = False,
) -> None:
    """List what came and went without an order: deposits, interest, foreign trades, what a person took as it is."""
    desk = session.open()
    found = read.flows(desk.ledger, session.accounts(desk), limit)
    if session.writes_csv(csv):
        print(as_csv(read.FLOW_COLUMNS, read.flow_rows(found)), end="")
        return
    session.show(read.plained(found), told.flows)
