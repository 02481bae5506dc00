"""What a strategy is given and what it must be: a pure function from state to decision with typed parameters."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from belay.domain.account import Position
from belay.domain.decisions import Hold, Trade
from belay.domain.documents import Limits
from belay.domain.market import Candle, Market
from belay.domain.orders import Order
from belay.domain.record import Fraction, Record, Utc
from belay.domain.slots import Slot


class StrategyParameters(Record):
    """What every strategy is parameterised with: the costs it assumes, as fractions of notional."""

    fee: Fraction
    slippage: Fraction

    @property
    def assumed_cost(self) -> Decimal:
        return self.fee + self.slippage


class MarketState(Record):
    """One symbol as the strategy sees it: closed candles oldest first, filters, and its own position."""

    candles: tuple[Candle, ...]
    market: Market
    position: Position


class State[P: StrategyParameters](Record):
    """All that `decide` may look at: `markets` by symbol, the strategy's own `open_orders`, `now` in venue time."""

    slot: Slot
    parameters: P
    now: Utc
    markets: Mapping[str, MarketState]
    open_orders: tuple[Order, ...]
    limits: Limits


class Strategy[P: StrategyParameters](Protocol):
    """A module in the evaluator's `strategies` folder that holds these names."""

    Parameters: type[P]

    def candles_needed(self, parameters: P, /) -> int:
        """How many closed candles `decide` wants to see."""

    def symbols(self, slot: Slot, parameters: P, /) -> tuple[str, ...]:
        """The symbols whose markets `decide` wants to see."""

    def decide(self, state: State[P]) -> Hold | Trade:
        """Pure: the same state always gives the same decision."""
