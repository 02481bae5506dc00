"""The command `belay`: its groups of commands put together, and every failure told in one line on stderr.

A command reads its arguments, calls one operation or view, and prints its document. How it ends is in `exits`.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer.core import TyperGroup

from belay.cli import session
from belay.cli.commands import accounts, back, books, incidents, local, orders, state, stops, venues
from belay.cli.exits import BAD_INPUT, EXIT_CODES, FAILED, INTERRUPTED, OK, Interrupted
from belay.domain.errors import BelayError, InvalidInput
from belay.domain.texts import paragraph, shown
from belay.local.programs import StackError

NAME = "belay"


class Command(TyperGroup):
    """The whole command, whose errors are one line and whose exit codes are those of the table."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        given = sys.argv[1:] if args is None else list(args)
        # Errors come here instead of being printed in many lines.
        extra |= {"standalone_mode": False, "prog_name": NAME}
        try:
            _require_text(given)
            code = super().main(given, **extra)
        except Exception as error:  # a person at a terminal gets a line, never a traceback
            message, code = told_of(error)
            print(f"{NAME}: {message}", file=sys.stderr)
        sys.exit(code or OK)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


def told_of(error: Exception) -> tuple[str, int]:
    """What a person is told of a failure, and the exit code."""
    match error:
        case InvalidInput():
            message, code = str(error), BAD_INPUT
        case BelayError():
            message, code = f"{error}. Try again", FAILED
        case typer.TyperException():
            message, code = _usage_problem(error), BAD_INPUT
        case Interrupted():
            message, code = str(error), INTERRUPTED
        case BotoCoreError() | ClientError():
            message, code = f"AWS refused or did not answer: {error}", FAILED
        case StackError():
            return paragraph(str(error)), FAILED  # the last lines of a log tell why
        case _:
            message, code = str(error) or type(error).__name__, FAILED
    return shown(" ".join(message.split())), code


def _usage_problem(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    problem = error.format_message().replace(": Value error, ", ": ")  # pydantic's words, who reads the values
    stop = "" if problem.endswith((".", "?")) else "."
    return f"{problem}{stop} See `{context.command_path if context else NAME} --help`."


def _require_text(args: Sequence[str]) -> None:
    """What is no UTF-8 arrives as lone surrogates, which nothing can store."""
    for argument in args:
        if any("\ud800" <= sign <= "\udfff" for sign in argument):
            raise InvalidInput(argument, "is not written in UTF-8", "Set the terminal to UTF-8, or leave accents out.")


def _codes() -> str:
    return "\n\n".join(["Exit codes:", *(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())])


app = typer.Typer(
    cls=Command,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_codes(),
    help="Belay's operator command. The shared options may stand before or after the command.",
)
for group in (state, books, stops, orders, back, venues):
    app.add_typer(group.app)
app.add_typer(back.trades, name="trades", rich_help_panel=back.PANEL)
app.add_typer(back.symbols, name="symbols", rich_help_panel=back.PANEL)
app.add_typer(incidents.app, name="incidents", rich_help_panel=state.PANEL)
app.add_typer(accounts.app, name="account", rich_help_panel=venues.PANEL)
app.add_typer(local.app)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {version(NAME)}")
        raise typer.Exit


@app.callback()
def command(
    context: typer.Context,
    stage: session.Stage = "dev",
    account: session.Account = None,
    local: session.Local = False,
    as_json: session.Json = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        return
    session.begin(context, stage, account, local, as_json)


if __name__ == "__main__":
    app()
