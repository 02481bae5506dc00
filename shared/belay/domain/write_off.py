"""Positions beside balances: strategies never hold more of an asset than the account should have of it.

More is held where coins that were a strategy's left by another way than its orders: withdrawn, converted, sold by hand.
Which strategy's they were, and what came of them, only a person knows.
"""

from decimal import Decimal

from pydantic import Field, ValidationError

from belay.domain.account import Account
from belay.domain.errors import InvalidInput
from belay.domain.flows import Flow, FlowKind
from belay.domain.record import ZERO, NonNegative, Positive, Record, Symbol, Utc, base_asset, joined, plain


class WriteOffRequest(Record):
    """What a strategy no longer has of a symbol: `quantity` in base currency, or all that is short without one;
    `price` in quote currency is what a unit brought, nothing without one."""

    symbol: Symbol
    strategy: str = Field(min_length=1, max_length=200)
    quantity: Positive | None = None
    price: NonNegative = ZERO
    reason: str = Field(min_length=1, max_length=500)
    author: str = Field(default="operator", min_length=1, max_length=200)

    @classmethod
    def parse(cls, wish: object) -> "WriteOffRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("write_off", error, "See `belay write-off --help`.") from None


def held_of(account: Account, asset: str) -> Decimal:
    """What strategies hold of an asset, whichever symbols it is the base of."""
    positions = (item for held in account.positions.values() for item in held.items())
    return sum((position.quantity for symbol, position in positions if base_asset(symbol) == asset), ZERO)


def short_of(account: Account, asset: str) -> Decimal:
    """How much more strategies hold of an asset than the account should have; zero where it is not known yet."""
    if asset not in (account.opening or {}):
        return ZERO
    return max(held_of(account, asset) - account.expected_balances().get(asset, ZERO), ZERO)


def short_symbols(account: Account) -> dict[str, Decimal]:
    """The symbols in which positions are held of an asset that is short, with how much of it is."""
    short = {symbol: short_of(account, base_asset(symbol)) for symbol in sorted(account.held_symbols())}
    return {symbol: amount for symbol, amount in short.items() if amount > 0}


def written_off_of(account: Account, request: WriteOffRequest, recorded_at: Utc) -> tuple[Flow, Account]:
    """The record of a write-off, and the account after it. Nothing moves at the venue by it: it has no amounts.

    Raises:
        InvalidInput: so much is not short, or the strategy does not have it, or an exit is selling it.
    """
    symbol, strategy = request.symbol, request.strategy
    position, short = account.position(strategy, symbol), short_of(account, base_asset(symbol))
    free = account.left_to_sell(strategy, symbol)
    quantity = request.quantity or min(short, free)
    if short <= 0 or quantity > short:
        problem = f"strategies hold {plain(short)} {base_asset(symbol)} more than the account should have, no more"
        raise InvalidInput("write_off.quantity", problem, "See `belay positions`. What is there is sold: belay order.")
    if quantity <= 0 or quantity > free:
        problem = f"{strategy} has {plain(free)} {symbol} that no exit is selling"
        raise InvalidInput("write_off.strategy", problem, "See `belay positions` for who holds it.")
    after = position.moved(-quantity, -quantity * request.price)
    flow = Flow(
        account=account.account,
        flow_id=joined("write-off", symbol, strategy, str(account.version)),
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=recorded_at,
        recorded_at=recorded_at,
        author=request.author,
        evidence=f"{quantity:f} {symbol} written off at {request.price:f}: {request.reason}",
        strategy=strategy,
    )
    held = {**account.positions[strategy], symbol: after}
    return flow, account.bumped(positions={**account.positions, strategy: held})
