"""What a strategy may say for a slot, and the record that keeps it. Holds no rule about sending."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from belay.domain.record import Positive, Record, Symbol, Utc
from belay.domain.slots import Slot, order_id


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"


class Buy(Record):
    """Enter: buy a `quantity` in base currency or a `notional` in quote currency, at market or at a limit price."""

    kind: Literal["buy"] = "buy"
    symbol: Symbol
    quantity: Positive | None = None
    notional: Positive | None = None
    limit_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reason: str

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.quantity is None) == (self.notional is None):
            raise ValueError("give either quantity or notional")
        return self


class Sell(Record):
    """Exit exactly `quantity` of the strategy's own position; more than it owns is denied."""

    kind: Literal["sell"] = "sell"
    symbol: Symbol
    quantity: Positive
    limit_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reason: str


class Reduce(Record):
    """Exit up to `quantity` of the strategy's own position, all of it when None; never past flat."""

    kind: Literal["reduce"] = "reduce"
    symbol: Symbol
    quantity: Positive | None = None
    limit_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reason: str


class Cancel(Record):
    """Ask the venue to cancel one of the strategy's own open orders."""

    kind: Literal["cancel"] = "cancel"
    order_id: str
    reason: str


Leg = Annotated[Buy | Sell | Reduce | Cancel, Field(discriminator="kind")]
# A decision is stored in one transaction of at most 100 items: itself, and three for each leg.
MAX_LEGS = 33
# The algorithms of decisions that people make.
MANUAL, ADOPTED = "manual", "adopted"
BY_PEOPLE = frozenset({MANUAL, ADOPTED})
LEG_ORDER = {"reduce": 0, "sell": 0, "cancel": 1, "buy": 2}


class Hold(Record):
    """Do nothing in this slot. `reason` is a short code such as `no_cross`; `detail` is for a person."""

    kind: Literal["hold"] = "hold"
    reason: str
    detail: str = ""
    inputs: dict[str, str] = {}


class Trade(Record):
    """Act in this slot. Legs are stored reducing ones first, so that an exit never waits for an entry."""

    kind: Literal["trade"] = "trade"
    legs: Annotated[tuple[Leg, ...], Field(min_length=1, max_length=MAX_LEGS)]
    inputs: dict[str, str] = {}

    @field_validator("legs")
    @classmethod
    def _reducing_first(cls, legs: tuple[Leg, ...]) -> tuple[Leg, ...]:
        return tuple(sorted(legs, key=lambda leg: LEG_ORDER[leg.kind]))


Decision = Annotated[Hold | Trade, Field(discriminator="kind")]


class DecisionRecord(Record):
    """The one stored decision of a slot, with what it was made from.

    `market_time` is the close of the last candle used, None when none was read; `decided_at` is venue time and
    `recorded_at` the function's own clock; `order_ids` belong to the legs in order, None for a cancel.
    """

    decision_id: str
    slot: Slot
    algorithm: str
    parameters: dict[str, Any]
    decision: Decision
    order_ids: tuple[str | None, ...] = ()
    market_time: Utc | None = None
    decided_at: Utc
    recorded_at: Utc
    configuration_version: int | None = None
    layer_version: str = ""
    write_id: str

    @property
    def by_a_person(self) -> bool:
        """Whether no strategy made it: a manual order, or one that was adopted."""
        return self.algorithm in BY_PEOPLE

    @property
    def held(self) -> Hold | None:
        return self.decision if isinstance(self.decision, Hold) else None

    @property
    def trade_legs(self) -> tuple[Leg, ...]:
        return self.decision.legs if isinstance(self.decision, Trade) else ()


def leg_side(leg: Leg) -> Side:
    return Side.BUY if isinstance(leg, Buy) else Side.SELL


def leg_order_ids(slot: Slot, legs: tuple[Leg, ...]) -> tuple[str | None, ...]:
    """One order id per leg, by leg number; a cancel names an existing order instead."""
    return tuple(
        None if isinstance(leg, Cancel) else order_id(slot, leg_side(leg), number) for number, leg in enumerate(legs)
    )


def leg_notional(leg: Leg) -> Decimal | None:
    return leg.notional if isinstance(leg, Buy) else None
