"""The server's own time, and what is still to happen at one. Nothing here waits."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

Action = Callable[[datetime], None]


class Now(Protocol):
    """A clock to start from; a test's own clock will do."""

    def now(self) -> datetime: ...


class WallTime:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualTime:
    """A clock that only a test moves."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class ServerClock:
    """A base clock plus the seconds by which this server is wrong."""

    def __init__(self, base: Now) -> None:
        self._base = base
        self.offset_seconds = 0.0

    def now(self) -> datetime:
        return self._base.now() + timedelta(seconds=self.offset_seconds)

    def advance(self, seconds: float) -> None:
        """Moves a base that is this package's own; another one is moved by whoever owns it."""
        if not isinstance(self._base, ManualTime):
            raise TypeError("the base clock is not a ManualTime: move it where it was made, or set offset_seconds")
        self._base.advance(seconds)


@dataclass(order=True)
class Event:
    """Something that happens at `due`; with no time (`None` sorts last, as the end of time) only when released."""

    due: datetime
    sequence: int
    action: Action = field(compare=False)


class Agenda:
    """Events in the order of their times. Whoever holds it says what time it is."""

    NEVER = datetime.max.replace(tzinfo=UTC)

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._sequence = count()

    def add(self, due: datetime | None, action: Action) -> None:
        heapq.heappush(self._events, Event(due or self.NEVER, next(self._sequence), action))

    def next_due(self, now: datetime) -> Event | None:
        """Takes the first event that is due."""
        return heapq.heappop(self._events) if self._events and self._events[0].due <= now else None

    def run(self, now: datetime, before: Action) -> None:
        """Let happen what is due, each at its time, and `before` it whatever came until then; also until now."""
        while event := self.next_due(now):
            before(event.due)
            event.action(event.due)
        before(now)

    def take_all(self) -> list[Event]:
        """Takes everything that waits, due or not, in order."""
        taken, self._events = sorted(self._events), []
        return taken

    def __len__(self) -> int:
        return len(self._events)
