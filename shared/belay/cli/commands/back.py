"""The way back from what needs a person: orders without an end, foreign trades, balances, dead symbols.

Each asks the reconciler, which has the venue's key; what does not fit is refused there, and nothing is changed.
"""

from pathlib import Path
from typing import Annotated

import typer

from belay.cli import operations, views
from belay.cli.documents import read_rows
from belay.cli.options import Author, NewStrategy
from belay.cli.rendering import back as told
from belay.cli.session import Session, begin, command
from belay.domain.errors import InvalidInput
from belay.domain.foreign import TradesRequest
from belay.domain.retirement import RetireRequest
from belay.domain.verdicts import VerdictRequest
from belay.domain.write_off import WriteOffRequest

PANEL = "The way back"

app = typer.Typer()
trades = typer.Typer(
    help="Trades that no order explains: list, attribute, foreign.", epilog="Example: belay trades list"
)
trades.callback()(begin)
symbols = typer.Typer(
    help="Symbols: retire, take-back.", epilog='Example: belay symbols retire BTC/USD --reason "delisted"'
)
symbols.callback()(begin)

Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
MaybeWhy = Annotated[
    str, typer.Option("--reason", help="Why; it is kept, and must be given where anything is changed.")
]


@command(app, 'belay resolve 0123456789abcdef0123456789abcdef --absent --reason "not in its history"', panel=PANEL)
def resolve(
    session: Session,
    order_id: Annotated[str, typer.Argument(metavar="ORDER", help="An order id, as `belay orders --open` shows it.")],
    absent: Annotated[bool, typer.Option("--absent", help="It never came to the venue.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="The venue had it, and no longer has.")] = False,
    filled: Annotated[
        Path | None,
        typer.Option("--filled", metavar="ROWS.json", help="It filled: the venue's rows of its trades, - for stdin."),
    ] = None,
    reason: MaybeWhy = "",
    author: Author = "operator",
) -> None:
    """Ask the venue what became of an order; where it does not know, end the order by your word.

    Rows are a list of objects with trade_id, venue_order_id, side, quantity, price, fees (amount by asset) and time.
    """
    said = {"absent": absent, "cancelled": cancelled, "filled": filled is not None}
    given = [verdict for verdict, was_said in said.items() if was_said]
    if len(given) > 1:
        raise InvalidInput(f"--{given[1]}", f"stands beside --{given[0]}", "Say one of the two.")
    wish = {
        "order": order_id,
        "reason": reason,
        "author": author,
        **({"verdict": given[0]} if given else {}),
        **({"trades": read_rows(filled)} if filled else {}),
    }
    request = VerdictRequest.parse(wish)
    desk = session.open()
    account = session.account or operations.account_of(desk, order_id)
    answer = operations.ask(desk, account, "resolve_order", request)
    session.show(answer, told.resolved_order)


@command(app, 'belay rebase --asset USD --reason "a deposit of the first of May"', panel=PANEL)
def rebase(
    session: Session,
    assets: Annotated[
        list[str] | None, typer.Option("--asset", help="Take the balance of this asset as it is; repeatable.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every asset that differs.")] = False,
    amounts: Annotated[
        list[str] | None,
        typer.Option("--amount", metavar="ASSET=AMOUNT", help="Only if it differs by just that; repeatable."),
    ] = None,
    reason: MaybeWhy = "",
    author: Author = "operator",
) -> None:
    """Take balances as they are, where no record of the venue explains them. Without options, tell what differs."""
    wish = {
        "assets": list(assets or ()),
        "whole": everything,
        "amounts": dict(map(_amount, amounts or ())),
        "reason": reason,
        "author": author,
    }
    desk = session.open()
    session.show(operations.ask(desk, session.one_account(desk), "rebase", wish), told.rebased)


def _amount(given: str) -> tuple[str, str]:
    asset, equals, amount = given.partition("=")
    if not equals:
        raise InvalidInput("--amount", f"{given} has no =", "Write it as USD=-12.5: actual minus expected.")
    return asset, amount


@command(app, 'belay write-off BTC/USD --strategy ema-cross-btc --price 60000 --reason "sold in the app"', panel=PANEL)
def write_off(
    session: Session,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    strategy: Annotated[str, typer.Option(help="Whose position it was.")],
    reason: Why,
    quantity: Annotated[
        str | None, typer.Option(help="In base currency; without it, what is short.", show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            help="What a unit brought, in quote currency; without it nothing. Of what was oversold: what it is bought "
            "for; without it, what it was sold for.",
            show_default=False,
        ),
    ] = None,
    author: Author = "operator",
) -> None:
    """Take from a strategy's position what the account has no longer, or make up what it sold of another's."""
    wish = {"symbol": symbol, "strategy": strategy, "quantity": quantity, "price": price}
    request = WriteOffRequest.parse({**wish, "reason": reason, "author": author})
    desk = session.open()
    session.show(operations.ask(desk, session.one_account(desk), "write_off", request), told.written_off)


@command(trades, "belay trades list", name="list")
def list_trades(session: Session) -> None:
    """List the trades that wait for their order, each with its key."""
    desk = session.open()
    session.show(views.loose_trades(desk.ledger, session.accounts(desk)), told.loose_trades)


@command(trades, 'belay trades attribute 000000000001 --strategy ema-cross-btc --reason "by hand"', name="attribute")
def attribute(
    session: Session,
    trade: Annotated[str, typer.Argument(metavar="TRADE", help="Its key, or its id where only one trade bears it.")],
    strategy: Annotated[str, typer.Option(help="Whose position it moves.")],
    reason: Why,
    new_strategy: NewStrategy = False,
    author: Author = "operator",
) -> None:
    """Give a trade to a strategy: its position moves by it."""
    wish = {"attribute": trade, "strategy": strategy, "new_strategy": new_strategy, "reason": reason, "author": author}
    _say(session, TradesRequest.parse(wish))


@command(trades, 'belay trades foreign --symbol BTC/USD --reason "ada tried the app"', name="foreign")
def foreign(
    session: Session,
    reason: Why,
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="TRADE", help="Its key, or its id where only one trade bears it; several may stand."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="All that wait in this symbol.")] = None,
    author: Author = "operator",
) -> None:
    """Call trades foreign: balances are expected as they left them, no strategy has them."""
    if not named and symbol is None:
        raise InvalidInput("TRADE", "is missing", "Name trades, or a symbol with --symbol.")
    wish = {"foreign": tuple(named or ()), "symbol": symbol, "reason": reason, "author": author}
    _say(session, TradesRequest.parse(wish))


def _say(session: Session, request: TradesRequest) -> None:
    desk = session.open()
    session.show(operations.ask(desk, session.one_account(desk), "trades", request), told.said)


@command(symbols, 'belay symbols retire BTC/USD --reason "delisted"', name="retire")
def retire(
    session: Session,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    reason: Why,
    author: Author = "operator",
) -> None:
    """Write off at cost what is held of a symbol, so that it can leave the account document."""
    request = RetireRequest.parse({"symbol": symbol, "reason": reason, "author": author})
    desk = session.open()
    session.show(operations.ask(desk, session.one_account(desk), "retire", request), told.retired)


@command(symbols, 'belay symbols take-back BTC/USD --reason "listed again"', name="take-back")
def take_back(
    session: Session,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    reason: Why,
    author: Author = "operator",
) -> None:
    """Make a retired symbol an ordinary one again: it is read and compared, and takes entries."""
    request = RetireRequest.parse({"symbol": symbol, "reason": reason, "author": author}, "take_back")
    desk = session.open()
    session.show(operations.ask(desk, session.one_account(desk), "take_back", request), told.taken_back)
