"""Retiring a symbol: what strategies hold of it is written off at cost, so that it can leave the account document.

Until a person takes it back no entry goes out in it.
"""

from typing import Self

from pydantic import Field, ValidationError

from belay.domain.account import Account, OperatorStops, StopLevel, strictest
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.flows import Flow, FlowKind
from belay.domain.record import Record, Symbol, Utc, joined
from belay.domain.way_back import ending


class RetireRequest(Record):
    """The symbol that a person retires, or takes back, with the reason, which is kept."""

    symbol: Symbol
    reason: str = Field(min_length=1, max_length=500)
    author: str = Field(default="operator", min_length=1, max_length=200)

    @classmethod
    def parse(cls, wish: object, field: str = "retire") -> Self:
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation(field, error, "See `belay symbols --help`.") from None


def require_known(symbol: str, account: Account, document: AccountDocument, field: str = "retire.symbol") -> None:
    """Raises InvalidInput: nothing is known of the symbol."""
    known = {*document.symbols, *account.held_symbols(), *account.retired}
    if symbol not in known:
        problem = f"{symbol} is not one of the account's symbols"
        raise InvalidInput(field, problem, f"Use one of {', '.join(sorted(known))}.")


def require_quiet(symbol: str, account: Account, stops: OperatorStops) -> None:
    """Nothing may be at work in the symbol, and nothing new may begin.

    Raises:
        InvalidInput: an order holds a reservation, or entries are not stopped.
    """
    open_ones = sorted(held.order_id for held in account.reservations.values() if held.symbol == symbol)
    if open_ones:
        remedy = ending(open_ones[0])
        raise InvalidInput("retire.symbol", f"order {open_ones[0]} is open in {symbol}", remedy)
    for strategy, held in account.positions.items():
        if symbol in held and held[symbol].quantity < 0:
            problem = f"{strategy} has sold {-held[symbol].quantity} {symbol} more than it bought"
            raise InvalidInput("retire.symbol", problem, "Wait for the missing fills, or find them: `belay fills`.")
    level, _ = strictest((*stops.stops, *account.stops), "", symbol)
    if level is StopLevel.RUNNING:
        remedy = f'First: belay halt --symbol {symbol} --level reduce-only --reason "…".'
        raise InvalidInput("retire.symbol", f"entries in {symbol} are not stopped", remedy)


def written_off(account: Account, request: RetireRequest, recorded_at: Utc) -> tuple[Flow, Account] | None:
    """The next position to write off, with the record of it; None when the symbol is retired and nothing is held.

    Nothing moves at the venue by it: the record has no amounts, its evidence says what was lost.
    """
    symbol = request.symbol
    holders = (strategy for strategy, held in account.positions.items() if symbol in held and held[symbol].quantity)
    strategy = next(holders, None)
    if strategy is None and symbol in account.retired:
        return None
    told = "nothing was held"
    after = account
    if strategy is not None:
        position = account.position(strategy, symbol)
        told = f"{position.quantity:f} {symbol} written off at its cost of {position.cost:f}"
        after = account.with_write_off(strategy, symbol)
    flow = _record("retired", told, account, request, recorded_at, strategy)
    # One step of the account: its version moves on by one.
    return flow, after.with_retired(symbol).model_copy(update={"version": account.version + 1})


def taken_back(account: Account, request: RetireRequest, recorded_at: Utc) -> tuple[Flow, Account] | None:
    """The record of taking a symbol back; None where it is not retired.

    What was written off stays so: coins that are still there are from now on in the account and no strategy's.
    """
    if request.symbol not in account.retired:
        return None
    flow = _record("taken-back", f"{request.symbol} is no longer retired", account, request, recorded_at, None)
    return flow, account.without_retired(request.symbol)


def _record(
    what: str, told: str, account: Account, request: RetireRequest, recorded_at: Utc, strategy: str | None
) -> Flow:
    return Flow(
        account=account.account,
        flow_id=joined(what, request.symbol, strategy or "", str(account.version)),
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=recorded_at,
        recorded_at=recorded_at,
        author=request.author,
        evidence=f"{told}: {request.reason}",
        strategy=strategy,
    )
