"""Ticks and slots: which closed candle a scheduled time is about. Never looks at a clock."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from belay.domain.errors import InvalidInput
from belay.domain.record import Name, Record, Symbol, Utc

TIMEFRAMES = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _known_timeframe(value: str) -> str:
    if value not in TIMEFRAMES:
        raise ValueError(f"not a timeframe; use one of {', '.join(TIMEFRAMES)}")
    return value


Timeframe = Annotated[str, AfterValidator(_known_timeframe)]


class Tick(Record):
    """One firing of a strategy's schedule, as its `Input` in template.yaml says.

    `max_lateness_seconds`: a tick seen later than this after its scheduled time holds.
    `candle_wait_seconds`: how long the evaluator waits for a candle that is not yet published.
    `order_expiry_seconds`: an order not claimed within this time after the candle closed lapses.
    """

    scheduled_time: Annotated[Utc, Field(ge=EPOCH)]
    account: Name
    strategy: Name
    algorithm: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    symbol: Symbol
    timeframe: Timeframe
    parameters: dict[str, Any] = {}
    max_lateness_seconds: Annotated[int, Field(gt=0, le=86_400)] = 300
    candle_wait_seconds: Annotated[int, Field(ge=0, le=40)] = 20
    order_expiry_seconds: Annotated[int, Field(gt=0, le=86_400)] = 300

    @classmethod
    def parse(cls, event: object) -> "Tick":
        """Read a tick from a Lambda event.

        Raises:
            InvalidInput: names the field, e.g. a schedule attribute that was delivered unsubstituted.
        """
        scheduled = event.get("scheduled_time") if isinstance(event, dict) else None
        if isinstance(scheduled, str) and scheduled.startswith("<aws."):
            raise InvalidInput(
                "tick.scheduled_time",
                "the schedule attribute was not substituted",
                "Send this event through EventBridge Scheduler, or put a time such as 2019-10-17T08:00:00Z.",
            )
        try:
            return cls.model_validate(event)
        except ValidationError as error:
            raise InvalidInput.from_validation("tick", error, "Correct the schedule's Input.") from None


class Slot(Record):
    """What one decision is about: the candle of `timeframe` that opened at `candle_open` and has closed."""

    stage: Name
    account: Name
    strategy: Name
    symbol: Symbol
    timeframe: Timeframe
    candle_open: Utc

    @classmethod
    def of(cls, tick: Tick, stage: str) -> "Slot":
        """The slot of a tick: the last candle closed at or before the scheduled time."""
        return cls(
            stage=stage,
            account=tick.account,
            strategy=tick.strategy,
            symbol=tick.symbol,
            timeframe=tick.timeframe,
            candle_open=last_closed(tick.scheduled_time, tick.timeframe),
        )

    @property
    def candle_close(self) -> datetime:
        return self.candle_open + TIMEFRAMES[self.timeframe]

    def at(self, instant: datetime) -> "Slot":
        """The slot of the same strategy whose candle was the last to have closed at an instant."""
        return self.model_copy(update={"candle_open": last_closed(instant, self.timeframe)})

    def following(self) -> "Slot":
        return self.at(self.candle_close + TIMEFRAMES[self.timeframe])

    @property
    def schedule_id(self) -> str:
        """Which schedule's ticks lead to slots like this one."""
        return f"{self.strategy}.{self.symbol}.{self.timeframe}"

    @property
    def decision_id(self) -> str:
        """The readable key of the one decision of this slot."""
        opened = self.candle_open.strftime("%Y-%m-%dT%H:%MZ")
        return ".".join([self.stage, self.account, self.strategy, self.symbol, self.timeframe, opened])


def last_closed(at: datetime, timeframe: str) -> datetime:
    """The open time of the last candle of `timeframe` that has closed at `at`; candles align to the UTC epoch."""
    length = TIMEFRAMES[timeframe]
    return EPOCH + (at - EPOCH) // length * length - length


def order_id(slot: Slot, side: str, leg: int) -> str:
    """128 bits of SHA-256 over slot, side and leg number, as 32 hex characters.

    The same value is the ledger key, the client order id and the correlation id, so that any repetition of the same
    decision names the same order (the lesson of kalshi-starter-code-python #135 and hummingbot #4673).
    """
    opened = slot.candle_open.strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = [slot.stage, slot.account, slot.strategy, slot.symbol, slot.timeframe, opened, side, leg]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()[:32]
