"""One invocation of a function in a process of its own, which may be made to die at one call. For test_restarts.py.

python -m tests.integration.worker executor <order id> [before|after <call>]
python -m tests.integration.worker reconciler <account> [before|after <call>]
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from belay.bootstrap import executor_services, reconciler_services
from belay.domain.documents import AccountDocument
from belay.ports import Clock, MarketData, Services, Venue, Venues
from belay.workflows.execute import execute
from belay.workflows.reconcile import reconcile
from tests.world import Fault, Perform, Stepping, Steps

DIED = 17
INVOCATION_SECONDS = 30.0


def die_before(_call: str, _perform: Perform) -> Any:
    os._exit(DIED)


def die_after(_call: str, perform: Perform) -> Any:
    perform()
    os._exit(DIED)


FAULTS: dict[str, Fault] = {"before": die_before, "after": die_after}


@dataclass(frozen=True)
class SteppingVenues:
    """Connections whose venue may kill the process; everything else about them is real."""

    venues: Venues
    steps: Steps

    def clock(self, document: AccountDocument) -> Clock:
        return self.venues.clock(document)

    def market_data(self, document: AccountDocument) -> MarketData:
        return self.venues.market_data(document)

    def venue(self, document: AccountDocument) -> Venue:
        venue: Any = Stepping("venue", self.venues.venue(document), self.steps)
        return venue  # type: ignore[no-any-return]


def stepping(services: Services, steps: Steps) -> Services:
    ledger: Any = Stepping("ledger", services.ledger, steps)
    return replace(services, ledger=ledger, venues=SteppingVenues(services.venues, steps))


def main(function: str, subject: str, when: str = "", call: str = "") -> str:
    steps = Steps()
    if when:
        steps.next(call, FAULTS[when])
    runs: dict[str, Callable[[], Any]] = {
        "executor": lambda: execute(
            subject, stepping(executor_services(os.environ), steps), lambda: INVOCATION_SECONDS
        ),
        "reconciler": lambda: reconcile(subject, stepping(reconciler_services(os.environ), steps)),
    }
    result: str = runs[function]().model_dump_json()
    return result


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]))
