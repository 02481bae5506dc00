"""Many runs: mutations, single faults and random histories on all cores, merged in a fixed order into one summary."""

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import batched, count
from multiprocessing import get_context
from typing import Any

from belay.adapters.memory.drawers import Drawer
from tests.simulation.mutations import MUTATIONS
from tests.simulation.run import Run, run
from tests.simulation.single import SEED, Case, base_cases, beside_cases, every_case
from tests.simulation.venue import PROFILES

MUTATION_HISTORIES = 400
SINGLE_BATCH, HISTORY_BATCH = 60, 12
GARBAGE_THRESHOLD, PARSED = 50_000, 4_096


@dataclass(frozen=True)
class Failure:
    """A run that broke a promise, by what it takes to run it again."""

    seed: int
    profile: str
    promises: tuple[str, ...]
    choices: dict[str, int]


@dataclass
class Tally:
    """What a batch of runs adds up to."""

    runs: int = 0
    effects: int = 0
    decisions: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, done: Run) -> None:
        self.runs += 1
        self.effects += done.effects
        self.decisions += done.decisions
        self.fired.update(done.fired)
        self.incidents.update(done.incidents)
        self.beside.update(done.beside)
        if done.violations:
            self.failures.append(Failure(done.seed, done.profile, done.broken, done.made))

    def merge(self, other: "Tally") -> None:
        self.runs += other.runs
        self.effects += other.effects
        self.decisions += other.decisions
        self.fired.update(other.fired)
        self.incidents.update(other.incidents)
        self.beside.update(other.beside)
        self.failures.extend(other.failures)


def profile_of(seed: int) -> str:
    """Each seed stands for one venue class, so that a seed alone names a run."""
    return tuple(PROFILES)[seed % len(PROFILES)]


# --- batches: what one worker does at a time -------------------------------------------------------------------------


def run_cases(cases: tuple[Case, ...]) -> Tally:
    tally = Tally()
    for case in cases:
        tally.add(run(SEED, case.profile, case.choices))
    return tally


def run_histories(seeds: tuple[int, ...]) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(run(seed, profile_of(seed)))
    return tally


def find_mutation(number: int) -> tuple[int, tuple[str, ...]]:
    """Apply one mutation until a history breaks a promise: how many it took, and which. (0, ()) for a survivor.

    The base scenarios of the single faults come first, or what may happen beside Belay; then random histories.
    """
    cases = beside_cases() if MUTATIONS[number].beside else base_cases()
    scenarios = [(SEED, case.profile, case.choices) for case in cases]
    histories = [(seed, profile_of(seed), None) for seed in range(MUTATION_HISTORIES)]
    with MUTATIONS[number].applied():
        for needed, arguments in enumerate((*scenarios, *histories), start=1):
            broken = run(*arguments).broken
            if broken:
                return needed, broken
    return 0, ()


# --- the whole -------------------------------------------------------------------------------------------------------


@contextmanager
def workers(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over fresh processes; over this one where there is one job."""
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=hurry) as pool:
        yield pool.map


def hurry() -> None:
    """Make a process that does nothing else faster: parse each stored text once, collect garbage seldom."""
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
    parse = lru_cache(PARSED)(lambda model, text: model.model_validate_json(text))
    Drawer.__getitem__ = lambda drawer, key: parse(drawer._model, drawer._bodies[key])  # type: ignore[method-assign]


def simulate(seconds: float, jobs: int) -> dict[str, Any]:
    """Everything within about `seconds`: mutations and single faults in full, histories in what time is left."""
    began = time.monotonic()
    with workers(jobs) as spread:
        mutations = _mutations(spread)
        singles = Tally()
        cases = tuple(every_case())
        for tally in spread(run_cases, batched(cases, SINGLE_BATCH, strict=False)):
            singles.merge(tally)
            say(f"single faults  {singles.runs} of {len(cases)}, {len(singles.failures)} broke a promise")
        histories, spent = _histories(spread, began + seconds, jobs)
    return _summary(mutations, singles, histories, spent, time.monotonic() - began)


def _mutations(spread: Callable[..., Iterable[Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for mutation, (needed, broken) in zip(MUTATIONS, spread(find_mutation, range(len(MUTATIONS))), strict=True):
        found[mutation.name] = {"histories": needed, "promises": list(broken)}
        say(f"mutation  {mutation.name}: {f'caught by history {needed}' if needed else 'SURVIVED'}")
    return found


def _histories(spread: Callable[..., Iterable[Any]], until: float, jobs: int) -> tuple[Tally, float]:
    """Seeds from 0 on, in rounds, at least one round."""
    total, began = Tally(), time.monotonic()
    for round_number in count():
        size = HISTORY_BATCH * jobs * 2
        seeds = range(round_number * size, (round_number + 1) * size)
        for tally in spread(run_histories, batched(seeds, HISTORY_BATCH, strict=False)):
            total.merge(tally)
        say(f"histories  {total.runs}, {total.effects} effects, {len(total.failures)} broke a promise")
        if time.monotonic() >= until:
            return total, time.monotonic() - began
    raise AssertionError("rounds never end")


def _summary(
    mutations: dict[str, dict[str, Any]], singles: Tally, histories: Tally, spent: float, seconds: float
) -> dict[str, Any]:
    failures = [*singles.failures, *histories.failures]
    return {
        "effects": singles.effects + histories.effects,
        "single_faults": singles.runs,
        "random_histories": histories.runs,
        "mean_effects_per_history": round(histories.effects / max(histories.runs, 1), 1),
        "mean_decisions_per_history": round(histories.decisions / max(histories.runs, 1), 1),
        "faults_fired": dict(sorted((singles.fired + histories.fired).items())),
        "beside_belay": dict(sorted(histories.beside.items())),
        "incidents_opened": dict(sorted((singles.incidents + histories.incidents).items())),
        "violations": len(failures),
        "failures": [vars(failure) for failure in failures[:20]],
        "mutations": {
            "total": len(mutations),
            "caught": sum(1 for found in mutations.values() if found["histories"]),
            "by_name": mutations,
        },
        "histories_per_second": round(histories.runs / max(spent, 0.001), 1),
        "seconds": round(seconds, 1),
    }


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
