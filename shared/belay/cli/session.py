"""What a command acts on and how it answers, as the options say that every command shares. Opens a desk when asked.

Each command declares the options that it takes; they may also stand before it, where the nearer one wins.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Self

import typer

from belay.cli.desk import Desk
from belay.cli.places import open_desk
from belay.cli.terminal import Terminal, as_json, terminal_console
from belay.domain.errors import InvalidInput
from belay.domain.texts import shown
from belay.local.stack import STAGE as LOCAL_STAGE

PANEL = "Shared options"

Stage = Annotated[str, typer.Option(envvar="BELAY_STAGE", help="Stage to act on.", rich_help_panel=PANEL)]
Account = Annotated[
    str | None, typer.Option(help="Account to act on; default: all, or the only one.", rich_help_panel=PANEL)
]
Local = Annotated[bool, typer.Option("--local", help="Act on the local stack instead of AWS.", rich_help_panel=PANEL)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=PANEL)]

# Each shared option by the name of its parameter: how it is declared, and its default.
SHARED: dict[str, tuple[Any, Any]] = {
    "stage": (Stage, "dev"),
    "account": (Account, None),
    "local": (Local, False),
    "as_json": (Json, False),
}
WRITTEN = {"stage": "--stage", "account": "--account", "local": "--local", "as_json": "--json"}

type Run = Callable[..., None]
type Open = Callable[[str, bool], Desk]


@dataclass(frozen=True)
class Session:
    """What the shared options said; `open` reaches the stage once a command needs it, and tells on stderr
    where its version is another one."""

    opened: Open = open_desk
    stage: str = "dev"
    account: str | None = None
    local: bool = False
    as_json: bool = False
    said: frozenset[str] = frozenset()  # which of them were written on the command line

    def narrowed(self, context: typer.Context, names: Iterable[str] = SHARED) -> Self:
        """As the options at this command say, where they say anything."""
        said = {name for name in names if _source(context, name) == "COMMANDLINE"}
        return replace(self, **{name: context.params[name] for name in said}, said=self.said | said)

    def open(self) -> Desk:
        """The desk of the stage, or of the local stack, whose stage is its own whatever the environment names.

        Raises:
            InvalidInput: another stage was written beside --local.
        """
        if self.local and "stage" in self.said and self.stage != LOCAL_STAGE:
            problem = f"{self.stage} was named, but --local acts on the stack of this machine, stage {LOCAL_STAGE}"
            raise InvalidInput("--stage", problem, "Leave out one of the two.")
        desk = self.opened(LOCAL_STAGE if self.local else self.stage, self.local)
        if told := desk.versions_differ:
            print(f"belay: {shown(told)}", file=sys.stderr)
        return desk

    def show(self, document: Any, on_terminal: Callable[[Terminal, Any], None]) -> None:
        if self.as_json:
            print(as_json(document))
            return
        on_terminal(terminal_console(), document)

    def writes_csv(self, wanted: bool) -> bool:
        """Whether CSV is wanted. Raises InvalidInput where JSON is, too."""
        if wanted and self.as_json:
            raise InvalidInput("--csv", "stands beside --json", "Ask for one of the two.")
        return wanted

    def accounts(self, desk: Desk, besides: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The account asked for, else all; `besides` them, these may be asked for."""
        stored = desk.ledger.accounts()
        if self.account not in (None, *stored, *besides):
            known = ", ".join(stored) or "none is stored yet"
            raise InvalidInput("--account", f"there is no account {self.account}", f"Accounts: {known}.")
        return (self.account,) if self.account else stored

    def one_account(self, desk: Desk, besides: tuple[str, ...] = ()) -> str:
        """The account asked for, else the only one there is."""
        accounts = self.accounts(desk, besides)
        if len(accounts) != 1:
            known = ", ".join(accounts) or "none is stored yet"
            raise InvalidInput("--account", "say which account is meant", f"Accounts: {known}.")
        return accounts[0]


def _source(context: typer.Context, name: str) -> str | None:
    source = context.get_parameter_source(name)
    return source.name if source else None


def begin(
    context: typer.Context,
    stage: Stage = "dev",
    account: Account = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Keep what the shared options say in front of a command, for it; the outermost knows the environment, too."""
    if not isinstance(context.obj, Session):
        outermost = Session(opened=context.obj or open_desk, stage=stage, account=account, local=local, as_json=as_json)
        context.obj = outermost
    context.obj = context.obj.narrowed(context)


def command(
    app: typer.Typer,
    example: str,
    *,
    name: str | None = None,
    panel: str | None = None,
    options: Iterable[str] = SHARED,
    **settings: Any,
) -> Callable[[Run], Run]:
    """Add a command that is handed a Session, with an example on its page and these of the shared options."""

    def register(run: Run) -> Run:
        declared = _with_shared(run, tuple(options))
        app.command(name, epilog=f"Example: {example}", rich_help_panel=panel, **settings)(declared)
        return run

    return register


def _with_shared(run: Run, names: tuple[str, ...]) -> Run:
    """What typer is to read: the command's own parameters and the shared ones, which become one Session."""

    @wraps(run)
    def declared(context: typer.Context, **given: Any) -> None:
        own = {name: value for name, value in given.items() if name not in names}
        run(_session(context, names), **own)

    own = list(signature(run).parameters.values())[1:]
    parameters = [
        Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own),
        *(_parameter(name) for name in names),
    ]
    declared.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    declared.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return declared


def _parameter(name: str) -> Parameter:
    annotation, default = SHARED[name]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _session(context: typer.Context, names: tuple[str, ...]) -> Session:
    """Raises InvalidInput for a shared option in front of a command that has no use for it."""
    session: Session = context.obj
    if unused := sorted(session.said - set(names)):
        raise InvalidInput(WRITTEN[unused[0]], f"{context.command_path} has no such option", "Leave it out.")
    return session.narrowed(context, names)
