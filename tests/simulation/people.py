"""What people do: operators who stop, release, deploy, cancel and answer incidents, with the commands that Belay gives.

What needs the venue is asked of the reconciler's function, as `belay` does it: its effects may fail like any other's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from belay.cli import operations
from belay.cli.desk import Desk
from belay.cli.targets import Target
from belay.domain.account import StopLevel
from belay.domain.errors import BelayError
from belay.domain.incidents import ENDS_BY_RULE, Incident, IncidentKind
from belay.domain.orders import NEVER_SENT
from belay.ports import CancelRequest, Services
from belay.workflows.answers import REQUESTS
from tests.builders import ACCOUNT, STAGE
from tests.simulation.processes import Process
from tests.simulation.scheduler import Port

if TYPE_CHECKING:
    from tests.simulation.world import World

WORD = {"reason": "looked it up", "author": "operator"}
# A person says what became of an order only once the venue must have shown it, were it there.
SURELY_SHOWN = timedelta(seconds=150)
# What an operator may do in half a minute, by how often; the first is nothing.
ACTS = (
    "",
    "halt",
    "reduce_only",
    "stop_symbol",
    "deploy",
    "configure",
    "cancel",
    "lose_switch",
    "redrive",
    "resolve",
    "rebase",
    "call_foreign",
    "say_of_orders",
)
ACT_WEIGHTS = (40, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1.5)
ENDED_BY_PEOPLE = ENDS_BY_RULE | {IncidentKind.UNKNOWN_OUTCOME}


@dataclass(frozen=True)
class SimulatedDesk(Desk):
    """The operator's desk in virtual time."""

    clock: Callable[[], datetime]

    def now(self) -> datetime:
        return self.clock()


class People:
    """The operators of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    # --- how they work ---

    def operate(self, what: str, work: Callable[[SimulatedDesk], Any], function: str = "operator") -> None:
        """Run a command.

        Args:
            function: whose rights and timeout it has: "reconciler" where that is asked.
        """

        def run(process: Process, services: Services) -> Any:
            work(self._desk(process, services))

        self._world.start(f"operator {what}", function, lambda _: None, run)

    def _desk(self, process: Process, services: Services) -> SimulatedDesk:
        scheduler = self._world.scheduler
        return SimulatedDesk(
            stage=STAGE,
            ledger=services.ledger,
            switch=Port(scheduler, process, "switch", self._world.switch),
            proof_of=lambda _: None,
            venue_time=lambda _: scheduler.now,
            publish=lambda _: None,
            ask_reconciler=lambda event: _answered(event, services),
            clock=lambda: scheduler.now,
        )

    def ask(self, what: str, name: str, wishes: Callable[[SimulatedDesk], list[dict[str, Any]]]) -> None:
        """Ask the reconciler for something, once for each wish; what it refuses, it refuses."""

        def work(desk: SimulatedDesk) -> None:
            for wish in wishes(desk):
                desk.ask_reconciler({"account": ACCOUNT, name: wish})

        self.operate(what, work, "reconciler")

    def schedule(self, slots: int) -> None:
        world = self._world
        for number in range(1, slots * 2):
            name = ACTS[world.choices.pick(f"operator/{number}", ACT_WEIGHTS)]
            act = getattr(self, name) if name else None
            if act is not None:
                delay = (0.35, 0.55, 5, 20)[world.choices.pick(f"operator/{number}/delay", (1, 1, 1, 1))]
                world.scheduler.at(int((30 * (number + 1) + delay) * 1000), act)

    # --- stops, deployments, configuration ---

    def halt(self) -> None:
        self.operate("halts", lambda desk: operations.halt_everything(desk, StopLevel.HALTED, "drill", "operator"))
        self._world.scheduler.after(50_000, self.release)

    def release(self) -> None:
        self.operate("releases", lambda desk: operations.release_everything(desk, "over", "operator"))

    def reduce_only(self) -> None:
        level = StopLevel.REDUCE_ONLY
        self.operate(
            "stops entries",
            lambda desk: operations.halt_accounts(desk, [ACCOUNT], level, "drill", "operator", Target()),
        )
        self._world.scheduler.after(70_000, self.release)

    def stop_symbol(self) -> None:
        symbol, level = self._world.document.symbols[0], StopLevel.HALTED
        self.operate(
            "stops a symbol",
            lambda desk: operations.halt_accounts(desk, [ACCOUNT], level, "drill", "operator", Target(symbol=symbol)),
        )
        release = partial(operations.release_account, account=ACCOUNT, target=Target(symbol=symbol))
        self._world.scheduler.after(60_000, lambda: self.operate("releases a symbol", lambda desk: release(desk)))

    def deploy(self) -> None:
        self._world.layer += 1
        self._world.scheduler.tell("operator", f"deploys layer:{self._world.layer}")

    def configure(self) -> None:
        world = self._world
        age = 600 + world.scheduler.now_ms // 1000
        limits = world.document.limits.model_copy(update={"max_input_age_seconds": age})
        document = world.document.model_copy(update={"limits": limits})
        self.operate("configures", lambda desk: operations.set_document(desk, document, "operator"))

    def cancel(self) -> None:
        def work(desk: SimulatedDesk) -> None:
            for order in desk.ledger.open_orders(ACCOUNT):
                request = CancelRequest(
                    account=ACCOUNT, order_id=order.order_id, reason="drill", requested_at=desk.now()
                )
                desk.ledger.request_cancel(request)

        self.operate("cancels", work)

    def lose_switch(self) -> None:
        self._world.switch.text = None
        self._world.scheduler.tell("operator", "removes the kill switch")
        self._world.scheduler.after(40_000, self.release)

    def redrive(self) -> None:
        self._world.scheduler.tell("operator", "redrives the dead-letter queue")
        self._world.queue.redrive()

    # --- the way back ---

    def resolve(self) -> None:
        """Say of every incident that it is over; a trade's row that may still be read is left to wait for."""

        def wishes(desk: SimulatedDesk) -> list[dict[str, Any]]:
            asked = [one for one in desk.ledger.incidents(ACCOUNT) if not _row_of_a_trade(one)]
            return [{"incident_id": incident.incident_id, **WORD} for incident in asked]

        self.ask("resolves incidents", "resolve", wishes)

    def rebase(self) -> None:
        self.ask("rebases", "rebase", lambda _: [{"whole": True, **WORD}])

    def call_foreign(self) -> None:
        """Say of the trades by hand, which a person knows, that they are nobody's here."""

        def wishes(desk: SimulatedDesk) -> list[dict[str, Any]]:
            theirs = {true.trade.key for order in self._world.venue.foreign for true in order.trades}
            keys = [t.key for t in desk.ledger.unattributed_trades(ACCOUNT) if t.key in theirs]
            return [{"foreign": keys, **WORD}] if keys else []

        self.ask("calls trades foreign", "trades", wishes)

    def say_of_orders(self) -> None:
        """Ask about each order that is not over, and say of it what may be said, if anything."""

        def work(desk: SimulatedDesk) -> None:
            for order in desk.ledger.open_orders(ACCOUNT):
                sent = None if order.attempt is None else order.attempt.request.claimed_at
                if order.state in NEVER_SENT or sent is None or desk.now() < sent + SURELY_SHOWN:
                    continue
                told = desk.ask_reconciler({"account": ACCOUNT, "resolve_order": {"order": order.order_id}})
                said = [choice["verdict"] for choice in told.get("choices", ()) if not choice["problem"]]
                for verdict in (v for v in said if v != "filled"):
                    wish = {"order": order.order_id, "verdict": verdict, **WORD}
                    desk.ask_reconciler({"account": ACCOUNT, "resolve_order": wish})
                    break

        self.operate("says what became of orders", work, "reconciler")

    def asked_back(self) -> bool:
        """Whether something stands that people end, and would."""
        return any(incident.kind in ENDED_BY_PEOPLE for incident in self._world.ledger.open_incidents(ACCOUNT))

    def lead_back(self) -> None:
        """Deal with what is open as its incidents say, then let Belay look."""
        world = self._world
        world.scheduler.tell("operator", "deals with what is open")
        world.beside.cancel_all()
        world.beside.list_all()
        minute = 70_000
        for number, act in enumerate((self.cancel, self.call_foreign, self.say_of_orders, self.rebase, self.resolve)):
            world.scheduler.after(number * minute + 100, act)
        world.scheduler.after(2 * minute, lambda: world.reconcile(ACCOUNT, lambda _: None))
        world.scheduler.run_until(world.scheduler.now_ms + 5 * minute)


def _answered(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """What the reconciler's function answers to a request; a failure of it is an answer, too."""
    name = next(name for name in REQUESTS if name in event)
    try:
        return REQUESTS[name](event, services)
    except BelayError as error:
        return {"error": name, "problem": str(error), "remedy": ""}


def _row_of_a_trade(incident: Incident) -> bool:
    return incident.kind is IncidentKind.UNREADABLE_ROW and incident.subject.startswith("trade|")
