"""The other ports in memory: queue, kill switch, alerts, clock and gather. Reads no clock and no randomness."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import RLock
from typing import Any

from belay.adapters.aws.kill_switch import SwitchValue, read_switch
from belay.adapters.aws.queue import possible_delay
from belay.domain.account import StopLevel
from belay.domain.incidents import Incident
from belay.domain.orders import Order
from belay.domain.record import Record
from belay.domain.slots import Tick
from belay.ports import SwitchReading


class IntentMessage(Record):
    """What the intents queue carries; `group` is delivered in order, `deduplication_id` once."""

    body: dict[str, str]
    group: str
    deduplication_id: str


class FollowUpMessage(Record):
    body: dict[str, str]
    delay_seconds: int


class InMemoryQueue:
    """Messages in the order of sending, for a test or a simulation to take out and deliver.

    A deduplication id is dropped for good, since nothing here knows when five minutes are over.
    """

    def __init__(self) -> None:
        self.intents: list[IntentMessage] = []
        self.follow_ups: list[FollowUpMessage] = []
        self.ticks: list[Tick] = []
        self._sent: set[str] = set()
        self._lock = RLock()

    def publish_intent(self, order: Order) -> None:
        message = IntentMessage(
            body={"order_id": order.order_id},
            group=order.message_group,
            deduplication_id=order.deduplication_id,
        )
        with self._lock:
            if message.deduplication_id not in self._sent:
                self._sent.add(message.deduplication_id)
                self.intents.append(message)

    def follow_up(self, account: str, delay_seconds: int) -> None:
        self.follow_ups.append(FollowUpMessage(body={"account": account}, delay_seconds=possible_delay(delay_seconds)))

    def tick(self, tick: Tick) -> None:
        self.ticks.append(Tick.model_validate_json(tick.model_dump_json()))


class InMemoryKillSwitch:
    """The switch as text, as SSM would hold it; None is a missing one, which reads as halted."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def read(self) -> SwitchReading:
        if self.text is None:
            reason = "the kill switch does not exist; release it to create it"
            return SwitchReading(level=StopLevel.HALTED, reason=reason)
        return read_switch(self.text)

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None:
        self.text = SwitchValue(level=level, reason=reason, author=author, at=at).model_dump_json()


class InMemoryAlerts:
    """Incidents in the order in which on-call was told."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []

    def incident(self, incident: Incident) -> bool:
        self.incidents.append(incident)
        return True


class ManualClock:
    """Time that passes only by `sleep` and `set`."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def set(self, now: datetime) -> None:
        self._now = now


def gather_in_order(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run the calls one after the other, in the order given."""
    return {name: call() for name, call in calls.items()}
