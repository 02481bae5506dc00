"""Fills: trades of the venue that belong to one of our orders. Append-only, each counted once."""

from pydantic import Field

from belay.domain.record import Record, Utc
from belay.domain.venues import VenueTrade


class Fill(Record):
    """A venue trade attributed to an order. `trade.at` is venue time, `recorded_at` the function's own clock.

    `previous`: the digest of the event before it in the order's story, see `chain`. `given`: as a person copied it.
    """

    account: str
    strategy: str
    decision_id: str
    order_id: str
    trade: VenueTrade
    recorded_at: Utc
    previous: str
    given: bool = Field(default=False, exclude_if=lambda given: not given)

    @property
    def needs(self) -> int:
        return self.trade.needs

    @property
    def key(self) -> str:
        return self.trade.key
