"""Where the ledger in memory keeps its records: as JSON text, by key. Knows no record of Belay.

As text, sharing an object or losing a type in storage shows here too.
"""

from collections.abc import Callable

from pydantic import ValidationError

from belay.domain.chain import Stored
from belay.domain.record import SCHEMA, Record, digest


class Drawer[K, R: Record]:
    """Records of one kind by key, as JSON text."""

    def __init__(self, model: type[R]) -> None:
        self._model = model
        self._bodies: dict[K, str] = {}
        self._reads_from: dict[K, int] = {}

    def __getitem__(self, key: K) -> R:
        return self._model.stored(self._bodies[key], self.reads_from(key))

    def __setitem__(self, key: K, record: R) -> None:
        self.plant(key, record.text, record.reads_from)

    def plant(self, key: K, text: str, reads_from: int) -> None:
        """Keep a text as another version would have stored it."""
        self._bodies[key] = text
        self._reads_from[key] = reads_from

    def reads_from(self, key: K) -> int:
        return self._reads_from.get(key, 1)

    def of_later(self, key: K) -> bool:
        """Whether a later version's record lies here, which is not written over."""
        return self.reads_from(key) > SCHEMA

    def readable(self, key: K) -> bool:
        return self.get(key) is not None

    def beyond(self) -> tuple[K, ...]:
        """The keys of what only a later version can read."""
        return tuple(key for key in self.listed() if self.of_later(key) and not self.readable(key))

    def listed(self) -> tuple[K, ...]:
        return tuple(self._bodies)

    def __contains__(self, key: K) -> bool:
        return key in self._bodies

    def get(self, key: K) -> R | None:
        """None where there is no record, or none that can be read."""
        try:
            return self[key] if key in self._bodies else None
        except ValidationError:
            return None

    def text(self, key: K) -> str:
        return self._bodies[key]

    def stored(self, key: K) -> Stored[R] | None:
        record = self.get(key)
        return Stored(record, digest(self._bodies[key])) if record is not None else None

    def keys(self) -> tuple[K, ...]:
        return tuple(self._bodies)

    def holds(self, key: K, record: R) -> bool:
        return self._bodies.get(key) == record.text

    def drop(self, key: K) -> None:
        self._bodies.pop(key, None)

    def all(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record that is listed and can be read, sorted by position."""
        return tuple(sorted((record for key in self.listed() if (record := self.get(key))), key=position))


    def kept(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record that can be read, listed or not, sorted by position."""
        return tuple(sorted((record for key in self._bodies if (record := self.get(key))), key=position))


class Line[R: Record](Drawer[str, R]):
    """Records by their position on a time line."""

    def latest(self, limit: int | None) -> tuple[R, ...]:
        latest = sorted(self._bodies, reverse=True)[:limit]
        return tuple(record for position in latest if (record := self.get(position)))


class Standing[R: Record](Drawer[str, R]):
    """Records of which some still stand; the others are kept, and no longer listed."""

    def __init__(self, model: type[R]) -> None:
        super().__init__(model)
        self.standing: set[str] = set()

    def plant(self, key: str, text: str, reads_from: int) -> None:
        super().plant(key, text, reads_from)
        self.standing.add(key)

    def withdraw(self, key: str) -> None:
        if not self.of_later(key):
            self.standing.discard(key)

    def listed(self) -> tuple[str, ...]:
        return tuple(self.standing)
