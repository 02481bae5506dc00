"""What an account is worth, exactly: positions at average cost, profit, fees by asset, equity. Prices name a source.

What cannot be valued is told as such and counted by nothing; nothing is rounded here.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum

from belay.domain.account import Account, summed
from belay.domain.fills import Fill
from belay.domain.given import as_told
from belay.domain.market import Price
from belay.domain.orders import FEE_CORRECTED, Order, OrderEvent
from belay.domain.record import ZERO, NonNegative, Positive, Record, Utc


class Source(StrEnum):
    """Where a price is from."""

    RECONCILIATION = "reconciliation"
    LAST_FILL = "last_fill"


class Mark(Record):
    """What a unit of a symbol's base asset is valued at, in quote currency, as of venue time `at`."""

    value: Positive
    at: Utc
    source: Source


class Minimum(Record):
    """The smallest order that a venue takes: in base currency, and in quote currency."""

    quantity: NonNegative
    notional: NonNegative


class Holding(Record):
    """What a strategy holds of a symbol. `cost` and `average_cost` in quote currency, fees included.

    `value` and `unrealised_pnl` are None without a mark. `dust`: too small for the venue to take; None where the
    venue's minimum, or a price, is not known.
    """

    strategy: str
    symbol: str
    quantity: Decimal
    cost: Decimal
    average_cost: Decimal | None
    realised_pnl: Decimal
    mark: Mark | None
    value: Decimal | None
    unrealised_pnl: Decimal | None
    dust: bool | None


class Valued(Record):
    """An amount of an asset, and what that is in quote currency; None without a mark. The quote currency needs none."""

    asset: str
    amount: Decimal
    value: Decimal | None
    mark: Mark | None


class Worth(Record):
    """Amounts with the sum of what could be valued, in `quote` currency; `unpriced` are the assets that could not."""

    quote: str
    total: Decimal
    parts: tuple[Valued, ...]
    unpriced: tuple[str, ...]


def marks(prices: Mapping[str, Price], fills: Iterable[Fill]) -> dict[str, Mark]:
    """The latest price known of each symbol: what a reconciliation stored, or what a fill was made at.

    Args:
        prices: of the last proof.
        fills: in any order.
    """
    found = {
        symbol: Mark(value=price.value, at=price.at, source=Source.RECONCILIATION) for symbol, price in prices.items()
    }
    for fill in fills:
        trade = fill.trade
        known = found.get(trade.symbol)
        if known is None or known.at < trade.at:
            found[trade.symbol] = Mark(value=trade.price, at=trade.at, source=Source.LAST_FILL)
    return found


def holdings(account: Account, known: Mapping[str, Mark], minimums: Mapping[str, Minimum]) -> tuple[Holding, ...]:
    """Every position that is held, or that something was realised with, by strategy and symbol."""
    return tuple(
        _holding(account, strategy, symbol, known.get(symbol), minimums.get(symbol))
        for strategy, held in sorted(account.positions.items())
        for symbol in sorted(held)
    )


def _holding(account: Account, strategy: str, symbol: str, mark: Mark | None, minimum: Minimum | None) -> Holding:
    position = account.position(strategy, symbol)
    value = None if mark is None else position.quantity * mark.value
    return Holding(
        strategy=strategy,
        symbol=symbol,
        quantity=position.quantity,
        cost=position.cost,
        average_cost=position.cost / position.quantity if position.quantity else None,
        realised_pnl=position.realised_pnl,
        mark=mark,
        value=value,
        unrealised_pnl=None if value is None else value - position.cost,
        dust=_is_dust(abs(position.quantity), mark, minimum),
    )


def _is_dust(quantity: Decimal, mark: Mark | None, minimum: Minimum | None) -> bool | None:
    if quantity == 0:
        return False
    if minimum is None:
        return None
    if quantity < minimum.quantity:
        return True
    if mark is None:
        return None if minimum.notional else False
    return quantity * mark.value < minimum.notional


def worth(amounts: Mapping[str, Decimal], quote: str, known: Mapping[str, Mark]) -> Worth:
    """Amounts by asset in quote currency, by the marks of the symbols that have each as base."""
    parts = tuple(_valued(asset, amount, quote, known) for asset, amount in sorted(amounts.items()) if amount)
    return Worth(
        quote=quote,
        total=sum((part.value for part in parts if part.value is not None), ZERO),
        parts=parts,
        unpriced=tuple(part.asset for part in parts if part.value is None),
    )


def _valued(asset: str, amount: Decimal, quote: str, known: Mapping[str, Mark]) -> Valued:
    if asset == quote:
        return Valued(asset=asset, amount=amount, value=amount, mark=None)
    mark = known.get(f"{asset}/{quote}")
    return Valued(asset=asset, amount=amount, value=None if mark is None else amount * mark.value, mark=mark)


def fees(fills: Iterable[Fill], orders: Iterable[Order] = ()) -> dict[str, Decimal]:
    """What fills cost in fees, by asset; a rebate is negative.

    Args:
        orders: of those among the fills that are estimated: an order knows its fees as they were corrected since. Of
            one that has fills beyond these, what each was counted with stands.
    """
    by_order = dict[str, list[Fill]]()
    for fill in fills:
        by_order.setdefault(fill.order_id, []).append(fill)
    known = {order.order_id: order for order in orders}
    paid: dict[str, Decimal] = {}
    for order_id, held in by_order.items():
        order = known.get(order_id)
        estimated = any(fill.trade.estimated for fill in held)
        if order is not None and estimated and order.filled_quantity == sum(fill.trade.quantity for fill in held):
            paid = summed(paid, order.fees)
        else:
            for fill in held:
                paid = summed(paid, fill.trade.fees)
    return paid


def corrected(fill: Fill, events: Iterable[OrderEvent]) -> Fill:
    """A fill as the venue told it since, where a person gave it, and with the fee that its ledger told since, where it
    was counted with an estimate."""
    story = tuple(events)
    trade = as_told(fill, story)
    for event in story:
        if event.cause == FEE_CORRECTED and event.detail.get("trade") == fill.key:
            trade = trade.costing({asset: Decimal(fee) for asset, fee in event.detail["fees"].items()})
            break
    return fill if trade is fill.trade else fill.model_copy(update={"trade": trade})


def equity(account: Account, quote: str, known: Mapping[str, Mark]) -> Worth:
    """What the account holds by its own books, in quote currency."""
    return worth(account.expected_balances(), quote, known)
