"""How it stands and what was done: status, decisions, orders, explain. Changes nothing."""

from typing import Annotated

import typer

from belay.cli import books, views
from belay.cli.csv_text import as_csv
from belay.cli.explain import explain as tell
from belay.cli.options import AsCsv, Limit, Strategy
from belay.cli.rendering import orders as told_orders
from belay.cli.rendering import state as told_state
from belay.cli.rendering import story
from belay.cli.session import Session, command
from belay.cli.targets import Target, require_known
from belay.domain.orders import OrderState

PANEL = "How it stands"

app = typer.Typer()


@command(app, "belay status --stage prod", panel=PANEL)
def status(session: Session) -> None:
    """Show the switch and, for each account, what allows or stops trading now."""
    desk = session.open()
    session.show(views.status(desk, session.accounts(desk)), told_state.status)


@command(app, "belay decisions --strategy ema-cross-btc --limit 5", panel=PANEL)
def decisions(session: Session, strategy: Strategy = None, limit: Limit = 20) -> None:
    """List the latest decisions, the holds too, with reasons and order ids."""
    desk = session.open()
    accounts = session.accounts(desk)
    require_known(desk.ledger, accounts, Target(strategy))
    session.show(views.decisions(desk.ledger, accounts, strategy, limit), told_state.decisions)


@command(app, "belay orders --open", panel=PANEL)
def orders(
    session: Session,
    state: Annotated[OrderState | None, typer.Option(case_sensitive=False, help="Only this state.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only orders that are not settled.")] = False,
    limit: Limit = 20,
    csv: AsCsv = False,
) -> None:
    """List the latest orders and what became of them."""
    desk = session.open()
    found = views.latest_orders(desk.ledger, session.accounts(desk), state, open_only, limit)
    if session.writes_csv(csv):
        print(as_csv(books.ORDER_COLUMNS, books.fee_rows(map(books.order_row, found))), end="")
        return
    session.show([views.order_line(order) for order in found], told_orders.orders)


@command(app, "belay explain 0123456789abcdef0123456789abcdef", panel=PANEL)
def explain(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="ID", help="A decision id or an order id.")],
) -> None:
    """Tell one decision's whole story: inputs, limits, submission, fills, where it stands."""
    session.show(tell(session.open(), name), story.explain)
