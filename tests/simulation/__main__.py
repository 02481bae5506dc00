"""`python -m tests.simulation`: everything within a time, or one run again, told as a story."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from belay.cli.make_variables import whole
from belay.domain.errors import InvalidInput
from tests.simulation.run import Run, run
from tests.simulation.runner import profile_of, say, simulate
from tests.simulation.shrink import shrink
from tests.simulation.story import story, trace
from tests.simulation.venue import PROFILES

BUILD = Path("build/simulation")


def main(given: Sequence[str] | None = None) -> int:
    arguments = _arguments(given)
    try:
        if not arguments.seed:
            return _everything(float(whole("SECONDS", arguments.seconds or "300", 1)), arguments.jobs)
        return _again(arguments, whole("SEED", arguments.seed, 0))
    except InvalidInput as error:
        sys.stderr.write(f"simulation: {error}\n")
        return 2


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", help="about how long everything may take; default: 300")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2), help="processes to use")
    parser.add_argument("--seed", help="run this one history again and tell it")
    parser.add_argument("--profile", choices=list(PROFILES), help="the venue class; by default the seed's own")
    parser.add_argument("--choices", type=json.loads, help="JSON: the only choices of the run that are not calm")
    parser.add_argument("--trace", action="store_true", help="print every step of the run in full instead of its story")
    return parser.parse_args(given)


def _again(arguments: argparse.Namespace, seed: int) -> int:
    done = run(seed, arguments.profile or profile_of(seed), arguments.choices)
    _print(trace(done) if arguments.trace else story(done))
    return 1 if done.violations else 0


def _everything(seconds: float, jobs: int) -> int:
    summary = simulate(seconds, jobs)
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    for failure in summary["failures"][:1]:
        _tell(failure)
    survivors = [name for name, found in summary["mutations"]["by_name"].items() if not found["histories"]]
    for name in survivors:
        _print([f"SURVIVED  {name}"])
    _print([_headline(summary), f"Written to {path}"])
    return 1 if summary["violations"] or survivors else 0


def _tell(failure: dict[str, Any]) -> None:
    """The shortest run that fails in the same way, and how to run it again."""
    say(f"seed {failure['seed']} breaks {', '.join(failure['promises'])}; looking for the shortest such run")
    found: Run = shrink(run(failure["seed"], failure["profile"], failure["choices"]))
    _print(story(found))
    choices = json.dumps(found.made)
    command = f"python -m tests.simulation --seed {found.seed} --profile {found.profile} --choices '{choices}'"
    _print(["", f"Run it again: {command}"])


def _headline(summary: dict[str, Any]) -> str:
    mutations = summary["mutations"]
    return (
        f"{summary['single_faults']} single faults, {summary['random_histories']} histories of "
        f"{summary['mean_effects_per_history']} effects and {summary['mean_decisions_per_history']} decisions: "
        f"{summary['violations']} violations; {mutations['caught']} of {mutations['total']} mutations caught"
    )


def _print(lines: Any) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
