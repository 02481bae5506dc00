"""One run: a world, the watch over it, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.builders import ACCOUNT
from tests.simulation.invariants import Violation, Watch
from tests.simulation.processes import Step
from tests.simulation.world import SYMBOLS, World


@dataclass(frozen=True)
class Run:
    """What a run did.

    `made` are its choices that were not calm, `incidents` how many of each kind were told, `beside` what happened
    beside Belay.
    """

    seed: int
    profile: str
    made: dict[str, int]
    effects: int
    decisions: int
    fired: Counter[str]
    violations: tuple[Violation, ...]
    incidents: Counter[str]
    beside: tuple[str, ...]
    trace: tuple[Step, ...]
    world: World

    @property
    def broken(self) -> tuple[str, ...]:
        return tuple(violation.promise for violation in self.violations)


def run(seed: int, profile: str, kept: Mapping[str, int] | None = None) -> Run:
    """Simulate one history. The same arguments give the same run, everywhere and always.

    Args:
        kept: the only choices that are not calm; by default the seed draws them all.
    """
    world = World(seed, profile, kept)
    watch = Watch(world)
    world.run()
    watch.at_rest()
    if not watch.violations and world.people.asked_back():
        world.lead_back()
        watch.led_back()
    world.scheduler.end()
    decided = [record for strategy in SYMBOLS for record in world.ledger.decisions(ACCOUNT, strategy, 1000)]
    return Run(
        seed=seed,
        profile=profile,
        made=dict(world.choices.made),
        effects=world.scheduler.effects,
        decisions=len(decided),
        fired=world.scheduler.fired,
        violations=tuple(watch.violations),
        incidents=Counter(kind for kind, _ in {(one.kind.value, one.subject) for one in world.alerts.incidents}),
        beside=tuple(world.beside.happened),
        trace=tuple(world.scheduler.trace),
        world=world,
    )
