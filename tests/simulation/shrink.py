"""From a failing run to the shortest one that breaks the same promise: leave out choices until none can be spared."""

from collections.abc import Callable, Mapping

from tests.simulation.run import Run, run

BUDGET = 400


def shrink(failing: Run, budget: int = BUDGET, again: Callable[..., Run] = run) -> Run:
    """Delta-debug the choices of a failing run.

    Args:
        budget: how many runs may be tried.

    Returns:
        A run that breaks one of the same promises, and from whose choices no part that was tried can be left out.
    """
    promises = set(failing.broken)
    best = again(failing.seed, failing.profile, failing.made)
    if not promises & set(best.broken):
        return failing
    parts, tried = 2, 0
    while tried < budget and best.made:
        keys = list(best.made)
        size = max(len(keys) // parts, 1)
        for first in range(0, len(keys), size):
            tried += 1
            left = _without(best.made, keys[first : first + size])
            candidate = again(failing.seed, failing.profile, left)
            if promises & set(candidate.broken) and len(candidate.made) < len(best.made):
                best, parts = candidate, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(keys))
    return best


def _without(made: Mapping[str, int], keys: list[str]) -> dict[str, int]:
    return {key: answer for key, answer in made.items() if key not in keys}
