"""Stopping and letting go: halt, release."""

from enum import StrEnum
from typing import Annotated

import typer

from belay.cli import operations
from belay.cli.desk import Desk
from belay.cli.options import Author, Reason, Strategy
from belay.cli.rendering import operations as told
from belay.cli.session import Session, command
from belay.cli.targets import Target, knowing
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


ScopeOption = Annotated[
    Scope | None,
    typer.Option(help="Every account and the switch, or one account; follows from what is named.", show_default=False),
]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol.")]
NotYetKnown = Annotated[
    bool, typer.Option("--not-yet-known", help="What is named has no tick, document or position yet: stop it anyway.")
]


@command(app, 'belay halt --symbol BTC/USD --level reduce-only --reason "a fork is near"', panel=PANEL)
def halt(
    session: Session,
    scope: ScopeOption = None,
    strategy: Strategy = None,
    symbol: Symbol = None,
    level: Annotated[HaltLevel, typer.Option(help="Nothing new, or exits only.")] = HaltLevel.HALTED,
    not_yet_known: NotYetKnown = False,
    reason: Reason = "halted by the operator",
    author: Author = "operator",
) -> None:
    """Stop: no new order leaves; fills, cancels and reconciliation go on. Without a name it stops everything.

    A strategy or symbol is stopped in every account that has it, or in the one that is named.
    """
    target, stop_level = Target(strategy, symbol), StopLevel(level.value)
    everything = _is_everything(session, scope, target)
    if everything and not_yet_known:
        raise InvalidInput("--not-yet-known", "names nothing", "Leave it out: everything is stopped.")
    desk = session.open()
    if everything:
        session.show(operations.halt_everything(desk, stop_level, reason, author), told.halted)
        return
    accounts = _not_yet_known(session, desk) if not_yet_known else _meant(session, desk, target)
    session.show(operations.halt_accounts(desk, accounts, stop_level, reason, author, target), told.halted)


@command(app, 'belay release --reason "looked at it"', panel=PANEL)
def release(
    session: Session,
    scope: ScopeOption = None,
    strategy: Strategy = None,
    symbol: Symbol = None,
    reason: Reason = "released by the operator",
    author: Author = "operator",
) -> None:
    """Lift the operators' stops of one scope; an incident's stop stays until the incident is resolved."""
    target = Target(strategy, symbol)
    everything = _is_everything(session, scope, target)
    desk = session.open()
    if everything:
        session.show(operations.release_everything(desk, reason, author), told.released)
        return
    accounts = _stopped(session, desk, target) or _meant(session, desk, target)
    session.show(operations.release_accounts(desk, accounts, target), told.released)


def _is_everything(session: Session, scope: Scope | None, target: Target) -> bool:
    narrower = target.named | ({"--account": session.account} if session.account else {})
    if scope is Scope.ALL and narrower:
        raise InvalidInput(next(iter(narrower)), "narrows what --scope all widens", "Leave out one of the two.")
    return scope is not Scope.ACCOUNT and not narrower


def _meant(session: Session, desk: Desk, target: Target) -> tuple[str, ...]:
    """The accounts that know what is named; where nothing of them is, the one."""
    if not target.named:
        return (session.one_account(desk),)
    return knowing(desk.ledger, session.accounts(desk), target)


def _not_yet_known(session: Session, desk: Desk) -> tuple[str, ...]:
    """The account that is named, whether or not there is such a one yet; else the only one."""
    return (session.one_account(desk, besides=(session.account,) if session.account else ()),)


def _stopped(session: Session, desk: Desk, target: Target) -> tuple[str, ...]:
    """The accounts in which just this is stopped: it need not be known otherwise."""
    asked = session.accounts(desk, besides=(session.account,) if session.account else ())
    return tuple(name for name in asked if operations.is_stopped(desk.ledger, name, target))
