"""Orders by an operator's hand: order, cancel, adopt. Sends nothing to a venue itself."""

import sys
import time
import uuid
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from belay.cli import operations, trading
from belay.cli.desk import Desk
from belay.cli.exits import FAILED
from belay.cli.options import Author, NewStrategy, Reason
from belay.cli.rendering import operations as told_operations
from belay.cli.rendering import orders as told
from belay.cli.session import Session, command
from belay.cli.terminal import terminal_console
from belay.domain.adoption import AdoptRequest
from belay.domain.decisions import Side, TimeInForce
from belay.domain.errors import InvalidInput
from belay.domain.manual import ManualOrder
from belay.domain.orders import OrderState
from belay.domain.texts import shown

PANEL = "Orders by hand"

app = typer.Typer()


@command(app, "belay order --symbol BTC/USD --side buy --notional 100 --limit-price 42000 --wait", panel=PANEL)
def order(
    session: Session,
    symbol: Annotated[str, typer.Option(help="Such as BTC/USD.")],
    side: Annotated[Side, typer.Option(help="Whether it buys or sells.")],
    quantity: Annotated[str | None, typer.Option(help="In base currency; a sell takes `all`, too.")] = None,
    notional: Annotated[str | None, typer.Option(help="What a buy spends, in quote currency.")] = None,
    limit_price: Annotated[str | None, typer.Option(help="In quote currency; without it, at market.")] = None,
    time_in_force: Annotated[TimeInForce, typer.Option(help="How long it waits.")] = TimeInForce.GTC,
    strategy: Annotated[str, typer.Option(help="Whose position it changes.")] = "manual",
    cost: Annotated[str, typer.Option(help="Fee and slippage it may meet, as a fraction of notional.")] = "0.005",
    new_strategy: NewStrategy = False,
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
    if side is Side.SELL and quantity is None:
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
    placed = trading.place(desk, asked, uuid.uuid4().hex, new_strategy=new_strategy)
    if wait:
        _follow(session, desk, asked.order_id, timeout)
    else:
        session.show(placed, told.order)


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
                told.order_event(terminal_console(), event)
    except KeyboardInterrupt:
        print("belay: no longer watching; the order goes on as it was", file=sys.stderr)
    document = trading.outcome(desk, order_id)
    session.show(document, told.order)
    if document["state"] != OrderState.FILLED:
        if not document["settled"]:
            print(f"belay: not settled yet; see `belay explain {shown(order_id)}`", file=sys.stderr)
        raise typer.Exit(FAILED)


@command(app, 'belay cancel 0123456789abcdef0123456789abcdef --reason "too late"', panel=PANEL)
def cancel(
    session: Session,
    order_id: Annotated[str, typer.Argument(metavar="ID", help="An order id, as `belay orders --open` shows it.")],
    reason: Reason,
) -> None:
    """Ask for a cancel: each reconciliation repeats it at the venue until the order is done. Fills still count."""
    session.show(trading.cancel(session.open(), order_id, reason), told.cancelling)


@command(app, "belay adopt --strategy ema-cross-btc --symbol BTC/USD --quantity all --price 41000", panel=PANEL)
def adopt(
    session: Session,
    strategy: Annotated[str | None, typer.Option(help="Whose it becomes.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Of a balance: such as BTC/USD.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Of a balance: in base currency, or `all` that is left.")] = None,
    price: Annotated[str | None, typer.Option(help="Of a balance: what a unit cost, in quote currency.")] = None,
    orders: Annotated[
        list[str] | None, typer.Option("--order", metavar="ID", help="An open order's client order id; repeatable.")
    ] = None,
    all_orders: Annotated[bool, typer.Option("--all-orders", help="Every open order that is nobody's.")] = False,
    new_strategy: NewStrategy = False,
    author: Author = "operator",
) -> None:
    """Give a strategy what was at the venue before Belay: balances, open orders. Without options, list them."""
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
    session.show(operations.adopt(desk, session.one_account(desk), request), told_operations.adopted)
