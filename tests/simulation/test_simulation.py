"""A minute of the simulation: each mutation is found, a slice of everything else holds, and a seed is a whole run."""

import json
import os
import subprocess
import sys
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.beside import DELAYS, EVENTS, Beside
from tests.simulation.choices import Choices
from tests.simulation.faults import Fault, Kind
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.run import run
from tests.simulation.runner import find_mutation, profile_of, run_cases, run_histories
from tests.simulation.shrink import shrink
from tests.simulation.single import SCENARIOS, SEED, Case, Scenario, beside_cases, disturbed, every_case
from tests.simulation.story import story, trace
from tests.simulation.venue import PROFILES
from tests.simulation.world import SLOTS

ROOT = Path(__file__).parents[2]
HISTORIES = 100
# One single fault in so many.
SLICE = 40


@pytest.mark.parametrize("number", range(len(MUTATIONS)), ids=[mutation.name for mutation in MUTATIONS])
def test_each_mutation_is_found(number: int) -> None:
    needed, broken = find_mutation(number)
    assert needed, f"nothing noticed that the code {MUTATIONS[number].name}"
    assert broken


def test_each_mutation_takes_what_the_code_gives_it() -> None:
    """A bug that fails where it is called would be found for that."""
    for mutation in MUTATIONS:
        for owner, name, bug in mutation.patches:
            original = getattr(owner, name)
            if callable(original):
                signature(bug).bind(*signature(original).parameters)


def test_a_slice_of_the_single_faults_breaks_no_promise() -> None:
    assert run_cases(tuple(islice(every_case(), 0, None, SLICE))).failures == []


@pytest.mark.parametrize("remainder", range(len(PROFILES)), ids=list(PROFILES))
def test_random_histories_break_no_promise(remainder: int) -> None:
    tally = run_histories(tuple(seed for seed in range(HISTORIES) if seed % len(PROFILES) == remainder))
    assert tally.failures == []
    assert tally.effects / tally.runs >= 40
    assert tally.decisions / tally.runs >= 3


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_the_base_scenarios_trade_and_break_no_promise(scenario: Scenario, profile: str) -> None:
    done = run(SEED, profile, scenario.choices(profile))
    states = {order.state for order in done.world.ledger.orders("paper", 100)}
    assert not done.violations
    assert states & {"FILLED", "CANCELLED"}
    assert done.world.venue.receptions


# What stands at the venue is told by which incident.
TOLD = {
    "a withdrawal, and then money without a record": "balance_mismatch",
    "money without a record": "balance_mismatch",
    "an order by hand, said to be over": "unknown_venue_order",
    "an order by hand, cancelled": "unknown_venue_order",
    "a trade by hand, called foreign": "unattributed_trade",
    "an order that nobody understands": "unreadable_row",
    "a trade that nobody understands": "unreadable_row",
    "a symbol that is not to be had": "symbol_unavailable",
}
BETWEEN_LOOKS = 60


@pytest.mark.parametrize("case", beside_cases(), ids=[f"{c.scenario}, {c.profile}" for c in beside_cases()])
def test_what_happens_beside_belay_is_told_within_the_lag_and_two_looks_and_is_led_back(case: Case) -> None:
    done = run(SEED, case.profile, case.choices)
    assert not done.violations
    kind = TOLD.get(case.scenario)
    if kind is None:
        return
    told = [s.at for s in done.trace if s.what == "ledger.open_incident" and s.arguments[0].kind == kind]
    lag = PROFILES[case.profile].history_lag_seconds
    assert told[0] <= (_begun(case) + lag + 2 * BETWEEN_LOOKS) * 1000
    assert not [one for one in done.world.ledger.open_incidents("paper") if one.kind == kind]


def _begun(case: Case) -> float:
    """When the last of what the case chooses happens, in seconds after the start."""
    minutes = [int(key.split("/")[1]) for key in case.choices if key.startswith("beside/") and key.count("/") == 1]
    return 60 * max(minutes) + DELAYS[0]


def test_random_histories_are_full_of_what_happens_beside_belay() -> None:
    drawn = [Beside.names(Choices(seed), 4) for seed in range(HISTORIES * 10)]
    assert {name for names in drawn for name in names} == set(EVENTS)
    assert sum(any(name != "nothing" for name in names) for names in drawn) / len(drawn) >= 0.2


# What the simulation found in the code: a process that was frozen among its reads, and what it made of them.
FOUND = {
    "a cancel seen late was dated early, and settled before its last fill could be known": (
        "binance",
        SCENARIOS[1].choices,
        "reconciler 12:01#2",
        "venue.open_orders",
        Fault(Kind.FREEZE_BEFORE, 40),
    ),
    "an exit that was sent again looked like a wrong proof of its absence, and halted the account": (
        "binance",
        SCENARIOS[2].choices,
        "reconciler 12:03#1",
        "venue.open_orders",
        Fault(Kind.FREEZE_BEFORE, 40),
    ),
    "a proof counted as fresh from when it was stored, however old what it had read": (
        "kraken",
        lambda _: {"slots": SLOTS.index(5), **{f"reconcilers/{m}": 1 for m in (2, 3, 4)}, "script/alpha/12:05": 1},
        "reconciler 12:01#1",
        "venue.balances",
        Fault(Kind.FREEZE_BEFORE, 200),
    ),
}


@pytest.mark.parametrize("found", FOUND.values(), ids=list(FOUND))
def test_what_was_found_once_stays_mended(found: Any) -> None:
    profile, base, process, effect, fault = found
    runs = [run(SEED, profile, choices) for choices in disturbed(profile, base(profile), process, effect, fault)]
    assert runs
    assert [done.broken for done in runs] == [()] * len(runs)


def test_a_seed_gives_the_same_run_byte_for_byte_in_another_process() -> None:
    told = {_traced(seed=7, hash_seed=hash_seed) for hash_seed in ("0", "1", "random")}
    assert told == {"\n".join(trace(run(7, profile_of(7)))) + "\n"}


def test_the_choices_of_a_run_give_the_same_run_again() -> None:
    drawn = run(11, profile_of(11))
    again = run(11, profile_of(11), json.loads(json.dumps(drawn.made)))
    assert list(trace(again)) == list(trace(drawn))


def test_a_failing_run_shrinks_to_a_short_one_that_breaks_the_same_promise() -> None:
    with _mutation("sends again without proof of absence").applied():
        failing = next(done for seed in range(100) if (done := run(seed, profile_of(seed))).violations)
        found = shrink(failing)
        assert set(found.broken) & set(failing.broken)
        assert len(found.made) <= 5 < len(failing.made)
        assert any(line.startswith("BROKEN") for line in story(found))


def test_without_choices_nothing_happens_and_nothing_is_broken() -> None:
    calm = run(SEED, "kraken", {})
    assert not calm.violations
    assert not calm.fired
    assert not calm.incidents


def test_an_answer_depends_on_seed_and_question_alone() -> None:
    first, second = Choices(3), Choices(3)
    weights = (1, 1, 1, 1)
    asked = [first.pick(f"question {number}", weights) for number in range(50)]
    backwards = [second.pick(f"question {number}", weights) for number in reversed(range(50))]
    assert asked == backwards[::-1]
    assert len(set(asked)) == len(weights)


def _traced(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def _mutation(name: str) -> Mutation:
    return next(mutation for mutation in MUTATIONS if mutation.name == name)
