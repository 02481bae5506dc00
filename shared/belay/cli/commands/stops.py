"""Stopping and letting go: halt, release."""

from enum import StrEnum
from typing import Annotated

import typer

from belay.cli import operations
from belay.cli.options import Author, Reason, Strategy
from belay.cli.rendering import operations as told
from belay.cli.session import Session, command
from belay.domain.account import StopLevel
from belay.domain.errors import InvalidInput

PANEL = "Stopping"

app = typer.Typer()


class Scope(StrEnum):
    """How much is stopped: every account and the switch, or one account or a part of it."""

    ALL = "all"
    ACCOUNT = "account"


class HaltLevel(StrEnum):
    """The levels that stop anything: nothing new, or exits only."""

    HALTED = StopLevel.HALTED.value
    REDUCE_ONLY = StopLevel.REDUCE_ONLY.value


ScopeOption = Annotated[Scope, typer.Option(help="Every account and the switch, or one account.")]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol; with --scope account.")]


@command(app, 'belay halt --scope account --symbol BTC/USD --level reduce-only --reason "a fork is near"', panel=PANEL)
def halt(
    session: Session,
    scope: ScopeOption = Scope.ALL,
    strategy: Strategy = None,
    symbol: Symbol = None,
    level: Annotated[HaltLevel, typer.Option(help="Nothing new, or exits only.")] = HaltLevel.HALTED,
    reason: Reason = "halted by the operator",
    author: Author = "operator",
) -> None:
    """Stop: no new order leaves; fills, cancels and reconciliation go on. By default it stops everything."""
    everything, stop_level = _is_everything(session, scope, strategy, symbol), StopLevel(level.value)
    desk = session.open()
    if everything:
        document = operations.halt_everything(desk, stop_level, reason, author)
    else:
        name = session.one_account(desk)
        stopped = operations.halt_account(desk, name, stop_level, reason, author, strategy, symbol)
        document = {"accounts": [stopped]}
    session.show(document, told.halted)


@command(app, 'belay release --reason "looked at it"', panel=PANEL)
def release(
    session: Session,
    scope: ScopeOption = Scope.ALL,
    strategy: Strategy = None,
    symbol: Symbol = None,
    reason: Reason = "released by the operator",
    author: Author = "operator",
) -> None:
    """Lift the operators' stops of one scope; an incident's stop stays until the incident is resolved."""
    everything = _is_everything(session, scope, strategy, symbol)
    desk = session.open()
    if everything:
        document = operations.release_everything(desk, reason, author)
    else:
        document = operations.release_one(desk, session.one_account(desk), strategy, symbol)
    session.show(document, told.released)


def _is_everything(session: Session, scope: Scope, strategy: str | None, symbol: str | None) -> bool:
    narrower = {"--strategy": strategy, "--symbol": symbol, "--account": session.account}
    if scope is Scope.ALL and (given := next((option for option, value in narrower.items() if value), None)):
        raise InvalidInput(given, "narrows an account, but the scope is all", "Add --scope account.")
    return scope is Scope.ALL
