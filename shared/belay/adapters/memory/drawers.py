"""Where the ledger in memory keeps its records: as JSON text, by key. Knows no record of Belay.

As text, sharing an object or losing a type in storage shows here too.
"""

from collections.abc import Callable

from belay.domain.chain import Stored
from belay.domain.record import Record, digest


class Drawer[K, R: Record]:
    """Records of one kind by key, as JSON text."""

    def __init__(self, model: type[R]) -> None:
        self._model = model
        self._bodies: dict[K, str] = {}

    def __getitem__(self, key: K) -> R:
        return self._model.model_validate_json(self._bodies[key])

    def __setitem__(self, key: K, record: R) -> None:
        self._bodies[key] = record.model_dump_json()

    def __contains__(self, key: K) -> bool:
        return key in self._bodies

    def get(self, key: K) -> R | None:
        return self[key] if key in self._bodies else None

    def text(self, key: K) -> str:
        return self._bodies[key]

    def stored(self, key: K) -> Stored[R] | None:
        return Stored(self[key], digest(self._bodies[key])) if key in self._bodies else None

    def keys(self) -> tuple[K, ...]:
        return tuple(self._bodies)

    def holds(self, key: K, record: R) -> bool:
        return self._bodies.get(key) == record.model_dump_json()

    def drop(self, key: K) -> None:
        self._bodies.pop(key, None)

    def all(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record, sorted by position."""
        return tuple(sorted((self[key] for key in self._bodies), key=position))


class Line[R: Record](Drawer[str, R]):
    """Records by their position on a time line."""

    def latest(self, limit: int | None) -> tuple[R, ...]:
        return tuple(self[position] for position in sorted(self._bodies, reverse=True)[:limit])


class Standing[R: Record](Drawer[str, R]):
    """Records of which some still stand; the others are kept, and no longer listed."""

    def __init__(self, model: type[R]) -> None:
        super().__init__(model)
        self.standing: set[str] = set()

    def __setitem__(self, key: str, record: R) -> None:
        super().__setitem__(key, record)
        self.standing.add(key)

    def withdraw(self, key: str) -> None:
        self.standing.discard(key)

    def all(self, position: Callable[[R], str]) -> tuple[R, ...]:
        """Every record that stands, sorted by position."""
        return tuple(sorted((self[key] for key in self.standing), key=position))
