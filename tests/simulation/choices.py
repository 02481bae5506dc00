"""Every open question of a run, answered by its seed or from a list. Nothing else in the simulation is random."""

from collections.abc import Mapping, Sequence
from random import Random

CALM = 0


class Choices:
    """Answers questions by their keys; answer 0 is always the calm one: no fault, no delay, nothing decided.

    Each answer depends on seed and key alone, never on what was asked before. So a run is described by its seed, or by
    the answers that were not calm, and leaving one of those out leaves the others as they were.

    Args:
        seed: draws the answers.
        kept: where given, these answers and no others are not calm; the seed then decides nothing.
    """

    def __init__(self, seed: int, kept: Mapping[str, int] | None = None) -> None:
        self.seed = seed
        self.made: dict[str, int] = {}
        self._kept = kept
        self._asked: dict[str, int] = {}
        self._ended = False

    def pick(self, key: str, weights: Sequence[float]) -> int:
        """The index of one of the weighted answers; the same question always gets the same answer."""
        if self._ended:
            return CALM
        if key not in self._asked:
            self._asked[key] = self._answer(key, weights)
            if self._asked[key]:
                self.made[key] = self._asked[key]
        return self._asked[key]

    def _answer(self, key: str, weights: Sequence[float]) -> int:
        if self._kept is not None:
            return min(self._kept.get(key, CALM), len(weights) - 1)
        return Random(f"{self.seed}|{key}").choices(range(len(weights)), weights)[0]

    def end(self) -> None:
        """From now on every answer is calm: what follows shows whether the system comes to rest."""
        self._ended = True
