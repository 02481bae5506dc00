"""Orders that a person asks for: the records of a strategy's decision, under an id of their own. Stores nothing."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from belay.domain.decisions import MANUAL, Buy, DecisionRecord, Leg, Reduce, Sell, Side, TimeInForce, Trade
from belay.domain.orders import Order, OrderEvent, created_event, created_orders
from belay.domain.record import Fraction, Name, Positive, Record, Symbol
from belay.domain.slots import Slot, last_closed
from belay.domain.transitions import Stamp

SLOT_TIMEFRAME = "1m"


class ManualOrder(Record):
    """What a person asks for: a buy of a `quantity` (base currency) or a `notional` (quote currency), a sell of a
    `quantity` or, without one, of the whole position of `strategy`.

    `cost`: what fee and slippage may come to, as a fraction of notional. It lapses after `expiry_seconds`.
    """

    order_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    account: Name
    strategy: Name = MANUAL
    symbol: Symbol
    side: Side
    quantity: Positive | None = None
    notional: Positive | None = None
    limit_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    cost: Fraction = Decimal("0.005")
    expiry_seconds: Annotated[int, Field(gt=0, le=86_400)] = 300
    reason: str = "asked for by an operator"
    author: str = "operator"

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.side is Side.BUY and (self.quantity is None) == (self.notional is None):
            raise ValueError("a buy needs either a quantity or a notional")
        if self.side is Side.SELL and self.notional is not None:
            raise ValueError("a sell is sized by quantity, or without one sells the whole position")
        return self

    @property
    def sells_all(self) -> bool:
        return self.side is Side.SELL and self.quantity is None

    def decision_id(self, stage: str) -> str:
        return f"{stage}.{self.account}.{MANUAL}.{self.order_id}"

    def differs_from(self, stored: DecisionRecord) -> str | None:
        """The first field in which an earlier order of the same id asked for something else."""
        earlier = stored.parameters
        fields = self.model_dump(mode="json", exclude={"reason", "author"})
        return next((name for name, value in fields.items() if earlier.get(name) != value), None)


def decided(
    asked: ManualOrder, stage: str, now: datetime, configuration_version: int, stamp: Stamp
) -> tuple[DecisionRecord, Order, OrderEvent]:
    """The decision of a manual order with the order that it asks for. `now` in venue time: the order is as fresh as it.

    The order expires `expiry_seconds` after `now`.
    """
    slot = Slot(
        stage=stage,
        account=asked.account,
        strategy=asked.strategy,
        symbol=asked.symbol,
        timeframe=SLOT_TIMEFRAME,
        candle_open=last_closed(now, SLOT_TIMEFRAME),
    )
    record = DecisionRecord(
        decision_id=asked.decision_id(stage),
        slot=slot,
        algorithm=MANUAL,
        parameters=asked.model_dump(mode="json"),
        decision=Trade(legs=(_leg(asked),)),
        order_ids=(asked.order_id,),
        market_time=now,
        decided_at=now,
        recorded_at=stamp.recorded_at,
        configuration_version=configuration_version,
        write_id=stamp.write_id,
    )
    (order,) = created_orders(record, now + timedelta(seconds=asked.expiry_seconds), asked.cost)
    return record, order, created_event(order, record)


def _leg(asked: ManualOrder) -> Leg:
    shared = asked.model_dump(include={"symbol", "limit_price", "time_in_force", "reason"})
    if asked.side is Side.BUY:
        return Buy(quantity=asked.quantity, notional=asked.notional, **shared)
    return Sell(quantity=asked.quantity, **shared) if asked.quantity else Reduce(**shared)
