"""The intents queue, the follow-ups and the asynchronous ticks as AWS delivers them: at least once, late, twice.

First in first out within a group; a message comes back when its receiver does not return in time, and goes to the
dead-letter queue after too many receives.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from belay.domain.orders import Order
from belay.domain.slots import Tick
from tests.simulation.scheduler import Scheduler

VISIBILITY_SECONDS = 45
DEDUPLICATION_SECONDS = 300
MAX_RECEIVES = 5
DELIVERY_SECONDS, DELIVERY_WEIGHTS = (0.05, 2.0, 20.0, 100.0), (40, 4, 2, 1)
ASYNCHRONOUS_RETRY_SECONDS = (60, 120)

Finished = Callable[[bool], None]


@dataclass(eq=False)
class Message:
    """One intent on its way: the receiver learns nothing but the order id."""

    name: str
    order_id: str
    receives: int = 0


class SimulatedQueue:
    """Implements `ports.Queue`.

    Args:
        label: names an order for the choices about its messages.
    """

    def __init__(self, scheduler: Scheduler, label: Callable[[str], str]) -> None:
        self.execute: Callable[[str, Finished], None]
        self.reconcile: Callable[[str, Finished], None]
        self.evaluate: Callable[[Tick, Finished], None]
        self.groups: defaultdict[str, list[Message]] = defaultdict(list)
        self.dead: list[Message] = []
        self.follow_ups = 0
        self._busy: set[str] = set()
        self._sent: dict[str, int] = {}
        self._scheduler = scheduler
        self._label = label

    @property
    def waiting(self) -> int:
        return sum(map(len, self.groups.values())) + self.follow_ups

    # --- intents ---

    def publish_intent(self, order: Order) -> None:
        name = f"{self._label(order.order_id)}-{order.publications}"
        sent = self._sent.get(name)
        if sent is not None and self._scheduler.now_ms - sent < DEDUPLICATION_SECONDS * 1000:
            return
        self._sent[name] = self._scheduler.now_ms
        self.groups[order.message_group].append(Message(name, order.order_id))
        self._deliver(order.message_group)

    def _deliver(self, group: str) -> None:
        if group in self._busy or not self.groups[group]:
            return
        self._busy.add(group)
        message = self.groups[group][0]
        message.receives += 1
        if message.receives > MAX_RECEIVES:
            self.groups[group].remove(message)
            self.dead.append(message)
            self._scheduler.tell("queue", "gives up", message.name)
            self._free(group)
            return
        key = f"message/{message.name}/{message.receives}"
        delay = DELIVERY_SECONDS[self._scheduler.choices.pick(f"{key}/delay", DELIVERY_WEIGHTS)]
        self._scheduler.after(delay * 1000, lambda: self._receive(group, message))
        if self._scheduler.choices.pick(f"{key}/twice", (20, 1)):
            self._scheduler.after(delay * 1000 + 150, lambda: self.execute(message.order_id, lambda _: None))

    def _receive(self, group: str, message: Message) -> None:
        invisible_until = self._scheduler.now_ms + VISIBILITY_SECONDS * 1000
        self.execute(message.order_id, lambda returned: self._received(group, message, returned))
        self._scheduler.at(invisible_until, lambda: self._reappear(group, message, message.receives))

    def _received(self, group: str, message: Message, returned: bool) -> None:
        if returned and message in self.groups[group]:
            self.groups[group].remove(message)
            self._free(group)

    def _reappear(self, group: str, message: Message, receives: int) -> None:
        if message in self.groups[group] and message.receives == receives:
            self._free(group)

    def _free(self, group: str) -> None:
        self._busy.discard(group)
        self._deliver(group)

    def redrive(self) -> None:
        """An operator moves what is in the dead-letter queue back."""
        dead, self.dead = self.dead, []
        for message in dead:
            message.receives = 0
            self.groups[f"redriven {message.name}"].append(message)
            self._deliver(f"redriven {message.name}")

    # --- follow-ups and ticks ---

    def follow_up(self, account: str, delay_seconds: int) -> None:
        self.follow_ups += 1
        self._scheduler.after(delay_seconds * 1000, lambda: self._follow(account, 1))

    def _follow(self, account: str, receives: int) -> None:
        def finished(returned: bool) -> None:
            if returned or receives == MAX_RECEIVES:
                self.follow_ups -= 1
            else:
                self._scheduler.after(VISIBILITY_SECONDS * 1000, lambda: self._follow(account, receives + 1))

        self.reconcile(account, finished)

    def tick(self, tick: Tick, tries: int = 0) -> None:
        """Lambda tries an asynchronous event twice more."""

        def finished(returned: bool) -> None:
            if not returned and tries < len(ASYNCHRONOUS_RETRY_SECONDS):
                self._scheduler.after(ASYNCHRONOUS_RETRY_SECONDS[tries] * 1000, lambda: self.tick(tick, tries + 1))

        self.evaluate(tick, finished)
