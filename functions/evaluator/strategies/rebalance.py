"""Rebalance: keep the strategy's own money at target weights; sell what has grown beyond them, buy what has fallen."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from belay.domain.decisions import MAX_LEGS, Buy, Hold, Reduce, Trade
from belay.domain.record import ZERO, Positive, Symbol
from belay.domain.slots import Slot
from belay.domain.strategy import MarketState, State, StrategyParameters

# Notionals are rounded down to it, so that their sum never exceeds the cash that they divide.
QUOTE_UNIT = Decimal("1e-8")


class Parameters(StrategyParameters):
    """`weights` of the strategy's equity by symbol, the rest stays in quote currency; 0 leaves a symbol.

    `budget` is what the strategy began with, in quote currency; its equity is the budget with all that its own
    positions won or lost since. `band`: how far a weight may be off before it is traded back; 0.05 is five points.
    """

    weights: Annotated[dict[Symbol, Annotated[Decimal, Field(ge=0, le=1)]], Field(min_length=1, max_length=MAX_LEGS)]
    budget: Positive
    band: Annotated[Decimal, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Self:
        if sum(self.weights.values()) > 1:
            raise ValueError("the weights add up to more than 1")
        return self


def candles_needed(_: Parameters) -> int:
    return 1


def symbols(_: Slot, parameters: Parameters) -> tuple[str, ...]:
    return tuple(parameters.weights)


def decide(state: State[Parameters]) -> Hold | Trade:
    """Trade every symbol whose weight is off by more than the band back to its target; sells stand before buys.

    Buys spend the cash that is there, costs kept back: the proceeds of this slot's sells are spent in a later one,
    once they are counted. While an order is open nothing is known for certain, so it holds.
    """
    parameters, markets = state.parameters, state.markets
    if state.open_orders:
        return Hold(reason="order_open")
    if any(market.position.quantity < 0 for market in markets.values()):
        return Hold(reason="fills_missing", detail="more was sold than was bought, so far as fills are counted")
    cash = cash_of(parameters, markets)
    values = {symbol: _value(market) for symbol, market in markets.items()}
    equity = cash + sum(values.values())
    inputs = {"cash": f"{cash}", "equity": f"{equity}"} | {f"value_{symbol}": f"{v}" for symbol, v in values.items()}
    if equity <= 0:
        return Hold(reason="no_equity", inputs=inputs)
    missing = {symbol: weight * equity - values[symbol] for symbol, weight in parameters.weights.items()}
    off = {symbol: amount for symbol, amount in missing.items() if abs(amount) > _band(parameters, symbol) * equity}
    if not off:
        return Hold(reason="within_band", inputs=inputs)
    legs = (*_sells(off, state), *_buys(off, cash, state))
    return Trade(legs=legs, inputs=inputs) if legs else Hold(reason="too_small_or_no_cash", inputs=inputs)


def cash_of(parameters: Parameters, markets: Mapping[str, MarketState]) -> Decimal:
    """Quote currency that is the strategy's own: the budget less what its positions cost, plus what it realised."""
    positions = [market.position for market in markets.values()]
    return parameters.budget + sum((position.realised_pnl - position.cost for position in positions), ZERO)


def _value(market: MarketState) -> Decimal:
    return market.position.quantity * market.candles[-1].close


def _band(parameters: Parameters, symbol: str) -> Decimal:
    """A symbol that is to be left is left whole."""
    return parameters.band if parameters.weights[symbol] else ZERO


def _sells(off: Mapping[str, Decimal], state: State[Parameters]) -> list[Reduce]:
    legs = []
    for symbol, amount in off.items():
        market = state.markets[symbol]
        close, held = market.candles[-1].close, market.position.quantity
        surplus = min(-amount / close, held) if state.parameters.weights[symbol] else held
        quantity = market.market.floor_quantity(surplus)
        if not market.market.too_small(quantity, close):
            legs.append(Reduce(symbol=symbol, quantity=quantity, reason=_reason(symbol, state)))
    return legs


def _buys(off: Mapping[str, Decimal], cash: Decimal, state: State[Parameters]) -> list[Buy]:
    missing = {symbol: amount for symbol, amount in off.items() if amount > 0}
    spendable = max(cash, ZERO) / (1 + state.parameters.assumed_cost)
    share = min(Decimal(1), spendable / sum(missing.values())) if missing else ZERO
    legs = []
    for symbol, amount in missing.items():
        notional = (amount * share).quantize(QUOTE_UNIT, rounding=ROUND_FLOOR)
        market, close = state.markets[symbol].market, state.markets[symbol].candles[-1].close
        if not market.too_small(market.floor_quantity(notional / close), close):
            legs.append(Buy(symbol=symbol, notional=notional, reason=_reason(symbol, state)))
    return legs


def _reason(symbol: str, state: State[Parameters]) -> str:
    return f"off its target weight of {state.parameters.weights[symbol]:%}"
