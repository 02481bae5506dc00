"""Every kind of fault at every effect of each workflow, one at a time, on base scenarios and every venue class."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.simulation.beside import EVENTS, LASTS
from tests.simulation.faults import Fault, Kind, faults_of
from tests.simulation.people import ACTS
from tests.simulation.run import Run, run
from tests.simulation.strategy import SCRIPTS
from tests.simulation.venue import CANCELS, FEES, PROFILES
from tests.simulation.world import DRIFTS, RECONCILERS, SLOTS

SEED = 0
# Which of an operator's acts is which answer: see `people.ACTS`.
RESOLVES, REBASES, CALLS_FOREIGN, SAYS = map(ACTS.index, ("resolve", "rebase", "call_foreign", "say_of_orders"))
WORKFLOWS = ("evaluator", "executor", "reconciler")


@dataclass(frozen=True)
class Scenario:
    """What happens without the fault: a script, how the venue fills, and at which sends something goes wrong anyway."""

    name: str
    script: dict[str, str]
    venue: dict[str, int]
    sends: dict[str, Fault]
    world: dict[str, int] = field(default_factory=dict)

    def choices(self, profile: str) -> dict[str, int]:
        names = tuple(SCRIPTS)
        made = {f"script/{slot}": names.index(says) for slot, says in self.script.items()}
        made |= {f"venue/{key}": answer for key, answer in self.venue.items()}
        made |= {"slots": SLOTS.index(3), "reconcilers/0": RECONCILERS.index(()), **self.world}
        for order, fault in self.sends.items():
            met = _just_in_time(profile) if fault.kind is Kind.LATE else fault
            made = next(disturbed(profile, made, f"executor {order}#", "venue.submit", met))
        return made


def _just_in_time(profile: str) -> Fault:
    """The longest time in the network after which the venue still takes the request."""
    fence = PROFILES[profile].fence
    held = [fault for fault in faults_of("venue.submit") if fault.kind is Kind.LATE]
    return max((f for f in held if fence is None or f.seconds < fence.window_seconds), key=lambda f: f.seconds)


def disturbed(profile: str, base: dict[str, int], process: str, effect: str, fault: Fault) -> Iterator[dict[str, int]]:
    """The choices of a run with one fault more, at each effect of this name in the processes whose name begins so."""
    faults = [(known.kind, known.seconds) for known in faults_of(effect)]
    number = faults.index((fault.kind, fault.seconds))
    for key, name, what in run(SEED, profile, base).world.scheduler.taken:
        if what == effect and name.startswith(process):
            yield {**base, key: number}


SCENARIOS = (
    Scenario(
        "an entry and its exit, the entry filled in two parts",
        {"alpha/12:01": "buy", "alpha/12:03": "reduce"},
        {"alpha 12:01 leg 0/fills": 1},
        {},
    ),
    Scenario(
        "a limit order, half filled, its cancel crossed by a fill, while another strategy enters the same symbol",
        {"beta/12:01": "buy at a limit", "beta/12:02": "cancel", "alpha/12:02": "reduce and buy the other"},
        {"beta 12:01 leg 0/fills": 2, "beta 12:01 leg 0/cancel 1": CANCELS.index("crossed by a fill")},
        {},
    ),
    Scenario(
        "an exit that never reached the venue, and an entry whose answer was lost",
        {"alpha/12:01": "buy", "alpha/12:02": "reduce", "beta/12:03": "buy"},
        {},
        {"alpha 12:02 leg 0": Fault(Kind.FAIL), "beta 12:03 leg 0": Fault(Kind.LOSE)},
    ),
    Scenario(
        "a send held in the network until its fence, while the machines' clocks run ahead",
        {"beta/12:03": "buy"},
        {},
        {"beta 12:03 leg 0": Fault(Kind.LATE)},
        {"drift": DRIFTS.index((3, 600)), "reconcilers/3": RECONCILERS.index((-24.5, -18.5, 0.0))},
    ),
)


def _event(name: str) -> int:
    return tuple(EVENTS).index(name)


@dataclass(frozen=True)
class Case:
    """One fault at one effect of one scenario: the choices that make it so."""

    scenario: str
    profile: str
    effect: str
    fault: str
    choices: dict[str, int]


def cases(scenario: Scenario, profile: str, done: set[tuple[str, ...]]) -> Iterator[Case]:
    """Each fault at each effect; of evaluators and reconcilers that did the very same, only the first is disturbed.

    Args:
        done: what was disturbed before, on this venue class.
    """
    base = scenario.choices(profile)
    rehearsal = run(SEED, profile, base)
    for key, effect in _effects(rehearsal, done):
        if key in base:
            continue
        for number, fault in _kinds(effect):
            yield Case(scenario.name, profile, effect, str(fault), {**base, key: number})


def _kinds(effect: str) -> Iterator[tuple[int, Fault]]:
    """Each kind of fault that fits an effect, in its first duration; for a submission, in every one.

    A read that is slow is one that is delayed, as behind a freeze; histories do both.
    """
    faults = faults_of(effect)
    delayed_only = Kind.LOSE not in {fault.kind for fault in faults}
    told = {Kind.SLOW} if delayed_only else set()
    for number, fault in enumerate(faults):
        if number and (effect == "venue.submit" or fault.kind not in told):
            told.add(fault.kind)
            yield number, fault


def _effects(rehearsal: Run, done: set[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    by_process: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, process, effect in rehearsal.world.scheduler.taken:
        if process.startswith(WORKFLOWS):
            by_process[process].append((key, effect))
    for process, taken in by_process.items():
        did = (process.split()[0], *(effect for _, effect in taken))
        if process.startswith("executor") or did not in done:
            done.add(did)
            yield from taken


@cache
def base_cases() -> tuple[Case, ...]:
    """The scenarios themselves, on every venue class."""
    return tuple(
        Case(scenario.name, profile, "", "", scenario.choices(profile))
        for scenario in SCENARIOS
        for profile in PROFILES
    )


LAGS = ("kraken", "bybit")
# What happens beside Belay in the second minute, and what people do about it in the fourth; the rest is calm.
BESIDE: dict[str, dict[str, int]] = {
    "a deposit that is recorded late": {"beside/2": _event("a deposit"), "beside/2/recorded": 1},
    "a withdrawal, and then money without a record": {
        "beside/2": _event("a withdrawal"),
        "beside/3": _event("money without a record"),
    },
    "interest": {"beside/2": _event("interest")},
    "money without a record, taken as it is": {"beside/2": _event("money without a record"), "operator/7": REBASES},
    "money without a record": {"beside/2": _event("money without a record")},
    "an order by hand, said to be over": {
        "beside/2": _event("an order by hand"),
        "beside/2/lasts": LASTS.index(None),
        "operator/7": RESOLVES,
    },
    "an order by hand, cancelled": {"beside/2": _event("an order by hand"), "beside/2/lasts": LASTS.index(150)},
    "a trade by hand, called foreign": {"beside/2": _event("a trade by hand"), "operator/7": CALLS_FOREIGN},
    "an order that nobody understands": {
        "beside/2": _event("an unreadable order"),
        "beside/2/lasts": LASTS.index(None),
        "beside/2/unreadable": 1,
    },
    "a trade that nobody understands": {"beside/2": _event("an unreadable trade"), "beside/2/unreadable": 1},
    "a symbol that is not to be had": {
        "beside/2": _event("a symbol unavailable"),
        "beside/2/symbol": 1,
        "beside/2/lasts": LASTS.index(None),
    },
    "fees in a token, wallets that round, money without a record": {
        "venue/fees": FEES.index("token"),
        "venue/rounding": 1,
        "beside/2": _event("money without a record"),
    },
    "an order that is at work, asked about": {
        "script/beta/12:01": tuple(SCRIPTS).index("buy at a limit"),
        "venue/beta 12:01 leg 0/fills": 1,
        "operator/7": SAYS,
    },
}


@cache
def beside_cases() -> tuple[Case, ...]:
    """What happens beside Belay, with an entry and an exit meanwhile, where the history lags a little and long."""
    names = tuple(SCRIPTS)
    trades = {"slots": SLOTS.index(5), "script/alpha/12:01": names.index("buy")}
    trades |= {"script/alpha/12:03": names.index("reduce")}
    return tuple(Case(name, profile, "", "", {**trades, **made}) for name, made in BESIDE.items() for profile in LAGS)


def every_case() -> Iterator[Case]:
    for profile in PROFILES:
        done: set[tuple[str, ...]] = set()
        for scenario in SCENARIOS:
            yield from cases(scenario, profile, done)
