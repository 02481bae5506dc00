"""Positions beside balances: strategies never have more of an asset than there should be, and none less than nothing.

More is held where coins that were a strategy's left by another way than its orders: withdrawn, converted, sold by hand,
taken as another's fee. Less than nothing has who sold another's. Whose they were, and what came of them, only a person
knows.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field, ValidationError

from belay.domain.account import Account, Position
from belay.domain.errors import InvalidInput
from belay.domain.flows import Flow, FlowKind
from belay.domain.market import Price
from belay.domain.record import ZERO, NonNegative, Positive, Record, Symbol, Utc, base_asset, joined, plain, quote_asset

# A price that a person states is of the order of what is known: at most twice the highest, and, while the market's is
# of the last day, at least half of the lowest.
FACTOR = 2
FRESH = timedelta(days=1)


class WriteOffRequest(Record):
    """What a strategy no longer has of a symbol: `quantity` in base currency, or all that is short without one;
    `price` in quote currency is what a unit brought, nothing without one.

    Of a strategy that sold more than it had: what it is to have had after all, all of it without a quantity, as bought
    at `price`, or at what it was sold for.
    """

    symbol: Symbol
    strategy: str = Field(min_length=1, max_length=200)
    quantity: Positive | None = None
    price: NonNegative | None = None
    reason: str = Field(min_length=1, max_length=500)
    author: str = Field(default="operator", min_length=1, max_length=200)

    @classmethod
    def parse(cls, wish: object) -> "WriteOffRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("write_off", error, "See `belay write-off --help`.") from None


def oversold(account: Account) -> dict[str, dict[str, Decimal]]:
    """By symbol and strategy, how much more was sold than there was, where no open buy may still explain it."""
    buying = {(held.strategy, held.symbol) for held in account.reservations.values() if not held.reducing}
    found = dict[str, dict[str, Decimal]]()
    for strategy, held in sorted(account.positions.items()):
        for symbol, position in sorted(held.items()):
            if position.quantity < 0 and (strategy, symbol) not in buying:
                found.setdefault(symbol, {})[strategy] = -position.quantity
    return found


def short_symbols(account: Account) -> dict[str, Decimal]:
    """The symbols in which positions are held of an asset that is short, with how much of it is."""
    short = {symbol: account.short(base_asset(symbol)) for symbol in sorted(account.held_symbols())}
    return {symbol: amount for symbol, amount in short.items() if amount > 0}


def written_off_of(
    account: Account, request: WriteOffRequest, known: Price | None, recorded_at: Utc
) -> tuple[Flow, Account]:
    """The record of a write-off, and the account after it. Nothing moves at the venue by it: it has no amounts.

    Args:
        known: the market's price of the symbol, as far as one is known.

    Raises:
        InvalidInput: so much is not short, or the strategy does not have it, or an order may move it, or the price is
            not of the order of what is known.
    """
    symbol, strategy = request.symbol, request.strategy
    position = account.position(strategy, symbol)
    if position.quantity < 0:
        quantity, told = _made_up(account, request, position), "made up"
        moved, at = quantity, request.price or _rounded(_unit_cost(position))
        paid = moved * request.price if request.price else position.cost * (moved / position.quantity)
    else:
        quantity, told = _gone(account, request), "written off"
        moved, at = -quantity, request.price or ZERO
        paid = moved * at
    if request.price:
        _require_likely(request.price, symbol, _known_prices(position, known), _is_fresh(known, recorded_at))
    flow = Flow(
        account=account.account,
        flow_id=joined("write-off", symbol, strategy, str(account.version)),
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=recorded_at,
        recorded_at=recorded_at,
        author=request.author,
        evidence=f"{quantity:f} {symbol} {told} at {plain(at)}: {request.reason}",
        strategy=strategy,
    )
    return flow, account.with_position(strategy, symbol, position.moved(moved, paid))


def _gone(account: Account, request: WriteOffRequest) -> Decimal:
    asset, short = base_asset(request.symbol), account.short(base_asset(request.symbol))
    free = account.left_to_sell(request.strategy, request.symbol)
    quantity = request.quantity or min(short, free)
    if short <= 0 or quantity > short:
        problem = f"strategies hold {plain(short)} {asset} more than the account should have, no more"
        raise InvalidInput("write_off.quantity", problem, "See `belay positions`. What is there is sold: belay order.")
    if quantity <= 0 or quantity > free:
        problem = f"{request.strategy} has {plain(free)} {request.symbol} that no exit is selling"
        raise InvalidInput("write_off.strategy", problem, "See `belay positions` for who holds it.")
    return quantity


def _made_up(account: Account, request: WriteOffRequest, position: Position) -> Decimal:
    quantity = request.quantity or -position.quantity
    if quantity > -position.quantity:
        problem = f"{request.strategy} has sold {plain(-position.quantity)} {request.symbol} more than it had, no more"
        raise InvalidInput("write_off.quantity", problem, "See `belay positions`.")
    if request.strategy not in oversold(account).get(request.symbol, {}):
        problem = f"a buy of {request.strategy} in {request.symbol} is open, and may explain it"
        raise InvalidInput("write_off.strategy", problem, "Wait until it is settled: belay orders --open.")
    return quantity


def _unit_cost(position: Position) -> Decimal:
    return position.cost / position.quantity if position.quantity else ZERO


def _rounded(price: Decimal) -> Decimal:
    """To be read, not to be counted with."""
    return Decimal(f"{price:.8g}")


def _known_prices(position: Position, known: Price | None) -> dict[str, Decimal]:
    """What a unit may be worth, by where that is from."""
    prices = {f"the market's of {known.at:%FT%TZ}": known.value} if known is not None else {}
    return prices | ({"what it cost": _unit_cost(position)} if _unit_cost(position) > 0 else {})


def _is_fresh(known: Price | None, now: datetime) -> bool:
    return known is not None and now - known.at <= FRESH


def _require_likely(price: Decimal, symbol: str, known: dict[str, Decimal], fresh: bool) -> None:
    """A price that has a digit too many counts as profit or loss for good.

    Raises:
        InvalidInput: with the price and its bounds.
    """
    if not known:
        return
    low, high = min(known.values()) / FACTOR if fresh else ZERO, max(known.values()) * FACTOR
    if not low <= price <= high:
        told = ", ".join(f"{where} {plain(_rounded(value))}" for where, value in known.items())
        least, most = plain(_rounded(low)), plain(_rounded(high))
        bounds = f"between {least} and {most}" if low else f"at most {most}"
        problem = f"{plain(price)} {quote_asset(symbol)} a unit is not {bounds} (known are: {told})"
        raise InvalidInput("write_off.price", problem, "Give what a unit brought, fees taken off.")
