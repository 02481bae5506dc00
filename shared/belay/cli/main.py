"""The command `belay`: status, stopping and releasing, decisions, orders, explanations, account documents.

Reads arguments, calls one operation or view, prints its document. Every failure is one line on stderr: exit code
2 for bad input, 1 for anything else.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperGroup

from belay.cli import doctor as examination
from belay.cli import explain as explanation
from belay.cli import operations, render, trading, views
from belay.cli.desk import Desk
from belay.cli.documents import example_document, read_document
from belay.cli.places import open_desk
from belay.cli.terminal import Terminal, as_json, terminal_console
from belay.domain.account import StopLevel
from belay.domain.adoption import AdoptRequest
from belay.domain.documents import AccountDocument
from belay.domain.errors import BelayError, InvalidInput
from belay.domain.manual import ManualOrder
from belay.domain.orders import OrderState
from belay.domain.texts import shown
from belay.local.programs import ROOT

BAD_INPUT = 2
FAILURE = 1

# Options of the whole command, accepted before and after the subcommand; how many values each takes.
EVERYWHERE = {"--stage": 1, "--account": 1, "--local": 0, "--json": 0}


class Command(TyperGroup):
    """A group whose own options may stand anywhere and whose errors are one line."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        given = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False  # errors come here instead of being printed in many lines
        try:
            _require_text(given)
            code = super().main(_own_options_first(given), **extra)
        except InvalidInput as error:
            _fail(str(error), BAD_INPUT)
        except BelayError as error:
            _fail(f"{error}. Try again", FAILURE)
        except typer.TyperException as error:
            _fail(_usage_problem(error), BAD_INPUT)
        except (BotoCoreError, ClientError) as error:
            _fail(f"AWS refused or did not answer: {error}", FAILURE)
        except Exception as error:  # a person at a terminal gets a line, never a traceback
            _fail(str(error) or type(error).__name__, FAILURE)
        sys.exit(code or 0)


def _require_text(args: Sequence[str]) -> None:
    """What is no UTF-8 arrives as lone surrogates, which nothing can store."""
    for argument in args:
        if any("\ud800" <= sign <= "\udfff" for sign in argument):
            raise InvalidInput(argument, "is not written in UTF-8", "Set the terminal to UTF-8, or leave accents out.")


def _own_options_first(args: list[str]) -> list[str]:
    """Move the options that every command has in front of the subcommand."""
    own: list[str] = []
    rest: list[str] = []
    remaining = iter(args)
    for argument in remaining:
        name = argument.partition("=")[0]
        if argument == "--":
            rest.extend(["--", *remaining])
        elif name in EVERYWHERE:
            own.append(argument)
            if EVERYWHERE[name] and "=" not in argument:
                own.append(_value(name, remaining))
        else:
            rest.append(argument)
    return [*own, *rest]


def _value(option: str, remaining: Iterator[str]) -> str:
    try:
        return next(remaining)
    except StopIteration:
        raise InvalidInput(option, "a value is missing", f"Write {option} and the value.") from None


def _usage_problem(error: typer.TyperException) -> str:
    described = getattr(error, "format_message", None)
    return f"{described() if described else error} See `belay --help`."


def _fail(message: str, code: int) -> NoReturn:
    print(f"belay: {shown(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)


@dataclass(frozen=True)
class Session:
    """What the options of the whole command said; `open` reaches the stage once a command needs it."""

    open: Callable[[], Desk]
    account: str | None
    as_json: bool
    stage: str

    def show(self, document: Any, on_terminal: Callable[[Terminal, Any], None]) -> None:
        if self.as_json:
            print(as_json(document))
            return
        on_terminal(terminal_console(), document)

    def accounts(self, desk: Desk) -> tuple[str, ...]:
        """The account asked for, else all."""
        stored = desk.ledger.accounts()
        if self.account is not None and self.account not in stored:
            known = ", ".join(stored) or "none is stored yet"
            raise InvalidInput("--account", f"there is no account {self.account}", f"Accounts: {known}.")
        return (self.account,) if self.account else stored

    def one_account(self, desk: Desk) -> str:
        """The account asked for, else the only one there is."""
        accounts = self.accounts(desk)
        if len(accounts) != 1:
            known = ", ".join(accounts) or "none is stored yet"
            raise InvalidInput("--account", "say which account is meant", f"Accounts: {known}.")
        return accounts[0]


app = typer.Typer(
    cls=Command,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Belay's operator command. Its options may stand before or after the subcommand.",
)
account_app = typer.Typer(help="Account documents: set, show, validate, example.", rich_markup_mode=None)
incidents_app = typer.Typer(help="What needs a person: list, resolve.", rich_markup_mode=None)
app.add_typer(account_app, name="account")
app.add_typer(incidents_app, name="incidents")


@app.callback()
def command(
    context: typer.Context,
    stage: Annotated[str, typer.Option(envvar="BELAY_STAGE", help="Stage to act on.")] = "dev",
    local: Annotated[bool, typer.Option("--local", help="Act on the local stack instead of AWS.")] = False,
    account: Annotated[str | None, typer.Option(help="Account to act on; default: all, or the only one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        return
    opened: Callable[[str, bool], Desk] = context.obj or open_desk
    context.obj = Session(open=lambda: opened(stage, local), account=account, as_json=as_json, stage=stage)


Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
Author = Annotated[str, typer.Option(envvar="USER", help="Who acts.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")]
Strategy = Annotated[str | None, typer.Option(help="Only this strategy.")]
Scope = Annotated[str, typer.Option(help="all (every account and the switch) or account.")]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol; with --scope account.")]


@app.command()
def status(context: typer.Context) -> None:
    """Show the switch and, for each account, what allows or stops trading now."""
    session: Session = context.obj
    desk = session.open()
    session.show(views.status(desk, session.accounts(desk)), render.status)


@app.command()
def halt(
    context: typer.Context,
    scope: Scope = "all",
    strategy: Strategy = None,
    symbol: Symbol = None,
    level: Annotated[str, typer.Option(help="halted (nothing new) or reduce-only (exits only).")] = "halted",
    reason: Reason = "halted by the operator",
    author: Author = "operator",
) -> None:
    """Stop: no new order leaves; fills, cancels and reconciliation go on. By default it stops everything."""
    session: Session = context.obj
    stop_level = _choice("--level", level, [StopLevel.HALTED, StopLevel.REDUCE_ONLY])
    everything = _is_everything(session, scope, strategy, symbol)
    desk = session.open()
    if everything:
        document = operations.halt_everything(desk, StopLevel(stop_level), reason, author)
    else:
        name = session.one_account(desk)
        stopped = operations.halt_account(desk, name, StopLevel(stop_level), reason, author, strategy, symbol)
        document = {"accounts": [stopped]}
    session.show(document, render.halted)


@app.command()
def release(
    context: typer.Context,
    scope: Scope = "all",
    strategy: Strategy = None,
    symbol: Symbol = None,
    reason: Reason = "released by the operator",
    author: Author = "operator",
) -> None:
    """Lift the operators' stops of one scope; an incident's stop stays until the incident is resolved."""
    session: Session = context.obj
    everything = _is_everything(session, scope, strategy, symbol)
    desk = session.open()
    if everything:
        document = operations.release_everything(desk, reason, author)
    else:
        document = operations.release_one(desk, session.one_account(desk), strategy, symbol)
    session.show(document, render.released)


def _is_everything(session: Session, scope: str, strategy: str | None, symbol: str | None) -> bool:
    _choice("--scope", scope, ["all", "account"])
    narrower = {"--strategy": strategy, "--symbol": symbol, "--account": session.account}
    if scope == "all" and (given := next((option for option, value in narrower.items() if value), None)):
        raise InvalidInput(given, "narrows an account, but the scope is all", "Add --scope account.")
    return scope == "all"


def _choice(option: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise InvalidInput(option, f"{value} is not a choice", f"Use one of {', '.join(allowed)}.")
    return value


@app.command()
def decisions(context: typer.Context, strategy: Strategy = None, limit: Limit = 20) -> None:
    """List the latest decisions, the holds too, with reasons and order ids."""
    session: Session = context.obj
    desk = session.open()
    session.show(views.decisions(desk.ledger, session.accounts(desk), strategy, limit), render.decisions)


@app.command()
def orders(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only this state, such as UNKNOWN or FILLED.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only orders that are not settled.")] = False,
    limit: Limit = 20,
) -> None:
    """List the latest orders and what became of them."""
    session: Session = context.obj
    wanted = _choice("--state", state.upper(), [known.value for known in OrderState]) if state else None
    desk = session.open()
    session.show(views.orders(desk.ledger, session.accounts(desk), wanted, open_only, limit), render.orders)


@app.command()
def order(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="Such as BTC/USD.")],
    side: Annotated[str, typer.Option(help="buy or sell.")],
    quantity: Annotated[str | None, typer.Option(help="In base currency; a sell takes `all`, too.")] = None,
    notional: Annotated[str | None, typer.Option(help="What a buy spends, in quote currency.")] = None,
    limit_price: Annotated[str | None, typer.Option(help="In quote currency; without it, at market.")] = None,
    time_in_force: Annotated[str, typer.Option(help="gtc or ioc.")] = "gtc",
    strategy: Annotated[str, typer.Option(help="Whose position it changes.")] = "manual",
    cost: Annotated[str, typer.Option(help="Fee and slippage it may meet, as a fraction of notional.")] = "0.005",
    expires: Annotated[int, typer.Option(help="Seconds after which it lapses unsent.")] = 300,
    reason: Reason = "asked for by an operator",
    author: Author = "operator",
    order_id: Annotated[str | None, typer.Option("--id", help="Repeat the order of this id.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow it until it is settled; exit code 0 if it filled.")
    ] = False,
    timeout: Annotated[int, typer.Option(min=1, help="How many seconds to follow it.")] = 120,
) -> None:
    """Place one order by hand, through the same checks and the same executor as every other. Prints its id first."""
    session: Session = context.obj
    if side == "sell" and quantity is None:
        raise InvalidInput("--quantity", "is missing", "Give a quantity, or `all` for the whole position.")
    desk = session.open()
    asked = read_order(
        order_id=order_id or uuid.uuid4().hex,
        account=session.one_account(desk),
        strategy=strategy,
        symbol=symbol,
        side=side,
        quantity=None if quantity == "all" else quantity,
        notional=notional,
        limit_price=limit_price,
        time_in_force=time_in_force,
        cost=cost,
        expiry_seconds=expires,
        reason=reason,
        author=author,
    )
    print(f"order {asked.order_id}: to repeat it safely, add --id {asked.order_id}", file=sys.stderr, flush=True)
    placed = trading.place(desk, asked, uuid.uuid4().hex)
    if wait:
        _follow(session, desk, asked.order_id, timeout)
    else:
        session.show(placed, render.order)


def read_order(**asked: Any) -> ManualOrder:
    """Raises InvalidInput naming the option that is wrong."""
    try:
        return ManualOrder.model_validate({name: value for name, value in asked.items() if value is not None})
    except ValidationError as error:
        raise InvalidInput.from_validation("order", error, "See `belay order --help`.") from None


def _follow(session: Session, desk: Desk, order_id: str, seconds: int) -> None:
    """Show each event as it comes. The order goes on without us: an interrupt only ends the watching."""
    try:
        for event in trading.follow(desk, order_id, seconds, time.sleep):
            if not session.as_json:
                render.order_event(terminal_console(), event)
    except KeyboardInterrupt:
        print("belay: no longer watching; the order goes on as it was", file=sys.stderr)
    document = trading.outcome(desk, order_id)
    session.show(document, render.order)
    if document["state"] != OrderState.FILLED:
        if not document["settled"]:
            print(f"belay: not settled yet; see `belay explain {shown(order_id)}`", file=sys.stderr)
        raise typer.Exit(FAILURE)


@app.command()
def cancel(
    context: typer.Context,
    order_id: Annotated[str, typer.Argument(metavar="ID", help="An order id, as `belay orders --open` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")],
) -> None:
    """Ask for a cancel: each reconciliation repeats it at the venue until the order is done. Fills still count."""
    session: Session = context.obj
    session.show(trading.cancel(session.open(), order_id, reason), render.cancelling)


@app.command()
def adopt(
    context: typer.Context,
    strategy: Annotated[str | None, typer.Option(help="Whose it becomes.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Of a balance: such as BTC/USD.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Of a balance: in base currency, or `all` that is left.")] = None,
    price: Annotated[str | None, typer.Option(help="Of a balance: what a unit cost, in quote currency.")] = None,
    orders: Annotated[
        list[str] | None, typer.Option("--order", metavar="ID", help="An open order's client order id; repeatable.")
    ] = None,
    all_orders: Annotated[bool, typer.Option("--all-orders", help="Every open order that is nobody's.")] = False,
    new_strategy: Annotated[
        bool, typer.Option("--new-strategy", help="The strategy has no tick yet: its name cannot be checked.")
    ] = False,
    author: Author = "operator",
) -> None:
    """Give a strategy what was at the venue before Belay: balances, open orders. Without options, list them."""
    session: Session = context.obj
    asked = {"strategy": strategy, "symbol": symbol, "price": price, "author": author}
    request = AdoptRequest.parse(
        {
            **{name: value for name, value in asked.items() if value is not None},
            **({"whole": True} if quantity == "all" else {"quantity": quantity}),
            "orders": tuple(orders or ()),
            "all_orders": all_orders,
            "new_strategy": new_strategy,
        }
    )
    desk = session.open()
    session.show(operations.adopt(desk, session.one_account(desk), request), render.adopted)


@app.command()
def doctor(context: typer.Context) -> None:
    """Examine stage and accounts before they trade: keys, limits, market, on-call. Exit code 1 if a check fails."""
    session: Session = context.obj
    desk = session.open()
    document = examination.doctor(desk, session.accounts(desk))
    session.show(document, render.doctor)
    if document["fail"]:
        raise typer.Exit(FAILURE)


@app.command()
def venues(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A venue; default: every one.")] = None,
) -> None:
    """List the venues that have a profile, or tell all of one: fence, second attempts, what nobody has verified."""
    session: Session = context.obj
    if name is None:
        session.show(examination.venues(), render.venues)
    else:
        session.show(examination.venue(name), render.venue)


@app.command()
def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="A decision id or an order id.")],
) -> None:
    """Tell one decision's whole story: inputs, limits, submission, fills, where it stands."""
    session: Session = context.obj
    session.show(explanation.explain(session.open(), name), render.explain)


@incidents_app.command("list")
def list_incidents(
    context: typer.Context,
    resolved_too: Annotated[bool, typer.Option("--all", help="The resolved ones too.")] = False,
) -> None:
    """List open incidents: what was compared, both values, what to do."""
    session: Session = context.obj
    desk = session.open()
    found = views.incidents(desk.ledger, session.accounts(desk), resolved_too=resolved_too)
    session.show(found, render.incidents)


@incidents_app.command("resolve")
def resolve_incident(
    context: typer.Context,
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="As `belay incidents list` shows it.")],
    reason: Annotated[str, typer.Option(help="What was found and done.")],
    author: Author = "operator",
) -> None:
    """Close an incident and lift the stops that it set."""
    session: Session = context.obj
    desk = session.open()
    name = session.one_account(desk)
    document = operations.resolve_incident(desk, name, incident_id, reason, author)
    session.show(document, render.resolved)


@app.command()
def replay(
    context: typer.Context,
    strategies: Annotated[
        list[str] | None, typer.Argument(metavar="STRATEGY", help="As scheduled in template.yaml; default: all.")
    ] = None,
    candles: Annotated[
        list[str] | None,
        typer.Option(help="CSV: timestamp in ms, open, high, low, close, volume. SYMBOL=FILE for one more."),
    ] = None,
    timeframe: Annotated[str, typer.Option(help="Of the candles, and of the schedules to run.")] = "1h",
    hours: Annotated[int | None, typer.Option(min=1, help="Only the last so many; default: all.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="Run this one, scheduled or not, with --parameters.")] = None,
    parameters: Annotated[str | None, typer.Option(help="JSON; of one scheduled strategy, those to change.")] = None,
    symbol: Annotated[str | None, typer.Option(help="With --algorithm; default: the account's first.")] = None,
    account_document: Annotated[
        Path | None, typer.Option(help="A paper account's document; default: `belay account example`.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the charts to this HTML file.")] = None,
) -> None:
    """Run strategies over candles from a file, in memory, with the real workflows: decisions, fills, P&L. No AWS."""
    from belay.replay import command, plan, showing  # its charts are not loaded for every command

    session: Session = context.obj
    document = read_document(account_document) if account_document else AccountDocument.parse(example_document())
    if session.account not in (None, document.account):
        remedy = "Give its document as --account-document."
        raise InvalidInput("--account", f"the document is of account {document.account}", remedy)
    request = plan.Request(
        strategies=strategies or (),
        candles=candles or (),
        timeframe=timeframe,
        hours=hours,
        algorithm=algorithm,
        parameters=parameters,
        symbol=symbol,
        plot=plot,
    )
    session.show(
        command.run(request, document, session.stage, ROOT, Console(stderr=True)),
        showing.show,
    )


File = Annotated[Path, typer.Argument(metavar="FILE", help="An account document in JSON; - reads standard input.")]


@account_app.command("set")
def set_account(context: typer.Context, file: File, author: Author = "operator") -> None:
    """Store a document as the next version; closes the gate until the next clean reconciliation."""
    session: Session = context.obj
    document = read_document(file)
    session.show(operations.set_document(session.open(), document, author), render.stored)


@account_app.command("show")
def show_account(context: typer.Context) -> None:
    """Print the stored document of an account."""
    session: Session = context.obj
    desk = session.open()
    name = session.one_account(desk)
    configuration = desk.ledger.configuration(name)
    if configuration is None:
        raise InvalidInput("--account", f"{name} has no document", "Store one with `belay account set FILE`.")
    session.show(configuration.model_dump(mode="json", exclude_none=True), render.configuration)


@account_app.command("validate")
def validate_account(context: typer.Context, file: File) -> None:
    """Check a document without storing it, and name the limits it lacks."""
    session: Session = context.obj
    document = read_document(file)
    missing = views.missing_limits(document)
    session.show({"account": document.account, "valid": True, "missing_limits": missing}, render.validated)


@account_app.command("example")
def example_account() -> None:
    """Print a document for a paper account, to start from."""
    print(example_document(), end="")


if __name__ == "__main__":
    app()
