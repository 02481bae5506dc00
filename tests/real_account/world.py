"""Belay at a venue that keeps its own books, minute by minute, with its ledger in memory and an operator's desk.

How it reaches the venue is the place's business: in memory (`venue.InMemory`) or over the wire (`served.Served`).
"""

import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import count
from typing import Any, NamedTuple, Protocol

from typer.main import get_command

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch, InMemoryQueue, gather_in_order
from belay.cli.desk import Desk
from belay.cli.main import app
from belay.domain.account import StopLevel
from belay.domain.decisions import Hold, Trade
from belay.domain.documents import AccountDocument, Configuration, Limits
from belay.domain.errors import BelayError
from belay.domain.incidents import Incident
from belay.domain.proofs import fingerprint
from belay.domain.slots import Slot, Tick
from belay.domain.strategy import State, StrategyParameters
from belay.ports import Clock, Services, Venues
from belay.workflows.answers import REQUESTS
from belay.workflows.evaluate import evaluate
from belay.workflows.execute import execute
from belay.workflows.reconcile import Reconciled, reconcile
from tests.rights import Restricted
from tests.venue_server.books import Books
from tests.venue_server.movements import Movements

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
ACCOUNT, STRATEGY, STAGE, LAYER = "real", "trend", "dev", "layer:1"
MINUTE = timedelta(minutes=1)
COSTS = {"fee": "0.003", "slippage": "0.001"}
BASES = ("BTC", "ETH", "XRP")


# Made once: typer would read every signature again for each of the hundreds of commands of a life.
COMMAND = get_command(app)


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Told:
    """A strategy that says, once, what the test told it to."""

    Parameters = StrategyParameters

    def __init__(self) -> None:
        self.legs: tuple[Any, ...] = ()

    def candles_needed(self, _parameters: StrategyParameters) -> int:
        return 2

    def symbols(self, slot: Slot, _parameters: StrategyParameters) -> tuple[str, ...]:
        return (slot.symbol,)

    def decide(self, _state: State[Any]) -> Hold | Trade:
        legs, self.legs = self.legs, ()
        return Trade(legs=legs) if legs else Hold(reason="quiet")


class Place(Protocol):
    """An account of the test venue: its own books, what may be done in it beside Belay, and how a function reaches it.

    `options`: of the account's document, that its venue is found.
    """

    venue: str
    options: dict[str, Any]

    @property
    def now(self) -> datetime: ...
    @property
    def books(self) -> Books: ...
    @property
    def movements(self) -> Movements: ...
    def act(self, name: str, /, **arguments: Any) -> Any: ...
    def pin(self, symbol: str, price: Decimal | None) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def truth(self) -> dict[str, Any]: ...
    def connect(self, function: str, clock: Clock) -> Venues:
        """The connections of one function that starts cold."""


class World:
    """One account at its place. It is the machines' clock, too: both are on the venue's time."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._warm: dict[str, Venues] = {}
        self.ledger = InMemoryLedger()
        self.switch = InMemoryKillSwitch()
        self.queue = InMemoryQueue()
        self.alerts = InMemoryAlerts()
        self.strategy = Told()
        self._ids = count(1)
        self._later: list[tuple[datetime, Callable[[], object]]] = []
        quote = "USD" if place.venue == "kraken" else "USDT"
        self.symbols = tuple(f"{base}/{quote}" for base in BASES)
        self.document = document(place.venue, self.symbols, place.options)
        stored = Configuration(version=1, document=self.document, author="operator", stored_at=self.now())
        self.ledger.store_configuration(stored)
        self.switch.write(StopLevel.RUNNING, "first start", "operator", self.now())

    def listed(self) -> tuple[str, ...]:
        """The symbols that the venue still lists."""
        return tuple(symbol for symbol in self.symbols if symbol in self.place.books.prices.listed())

    def accepted(self) -> list[str]:
        """The client order ids, in the venue's spelling, of the orders in its books that came by its API."""
        named = (order.request.client_order_id for order in self.place.books.orders)
        return [name for name in named if name is not None and not name.startswith("web_")]

    # --- time ---

    def later(self, minutes: int, act: Callable[[], object]) -> None:
        """Something that happens by itself so many minutes from now."""
        self._later.append((self.now() + minutes * MINUTE, act))

    def now(self) -> datetime:
        return self.place.now

    def sleep(self, seconds: float) -> None:
        self.place.advance(seconds)

    # --- what the functions do ---

    def services(self, function: str) -> Services:
        ledger: Any = Restricted(self.ledger, function)
        return Services(
            stage=STAGE,
            layer_version=LAYER,
            ledger=ledger,
            venues=self._venues(function),
            kill_switch=self.switch,
            queue=self.queue,
            alerts=self.alerts,
            gather=gather_in_order,
            clock=self,
            new_id=lambda: f"id-{next(self._ids):06}",
        )

    def _venues(self, function: str) -> Venues:
        if function not in self._warm:
            self._warm[function] = self.place.connect(function, self)
        return self._warm[function]

    def restart(self) -> None:
        """Every function starts cold."""
        self._warm.clear()

    def reconcile(self) -> Reconciled:
        return reconcile(ACCOUNT, self.services("reconciler"))

    def decide(self, symbol: str, *legs: Any) -> None:
        """The schedule fires for the candle that has just closed, and the strategy says this."""
        self.strategy.legs = legs
        tick = Tick.model_validate(
            {
                "account": ACCOUNT,
                "strategy": STRATEGY,
                "algorithm": STRATEGY,
                "symbol": symbol,
                "timeframe": "1m",
                "scheduled_time": self.now(),
                "parameters": COSTS,
            }
        )
        evaluate(tick, self.services("evaluator"), lambda _: self.strategy)
        self.deliver()

    def deliver(self) -> None:
        """Every message that waits, follow-ups at their time."""
        while self.queue.intents:
            message = self.queue.intents.pop(0)
            execute(message.body["order_id"], self.services("executor"), lambda: 30.0)
        self.queue.ticks.clear()

    def minute(self) -> Reconciled:
        """A minute goes by with all that was asked for in it, then the schedule's run."""
        for at, act in [one for one in self._later if one[0] <= self.now()]:
            self._later.remove((at, act))
            act()
        due = sorted({min(message.delay_seconds, 55) for message in self.queue.follow_ups if message.delay_seconds})
        self.queue.follow_ups.clear()
        passed = 0
        for seconds in due:
            self.sleep(seconds - passed)
            passed = seconds
            self.reconcile()
            self.deliver()
        self.sleep(60 - passed)
        done = self.reconcile()
        self.deliver()
        return done

    # --- what a person does ---

    def desk(self) -> Desk:
        def ask(event: Mapping[str, Any]) -> dict[str, Any]:
            handed = json.loads(json.dumps(event))
            for name in REQUESTS.keys() & handed.keys():
                return json.loads(json.dumps(REQUESTS[name](handed, self.services("reconciler"))))  # type: ignore[no-any-return]
            return {"results": [json.loads(self.reconcile().model_dump_json())]}

        return OnTime(
            stage=STAGE,
            ledger=self.ledger,
            switch=self.switch,
            proof_of=lambda stored: self.ledger.proof(ACCOUNT, fingerprint(stored, LAYER, self.ledger.table_id)),
            venue_time=lambda _: self.now(),
            publish=self.queue.publish_intent,
            ask_reconciler=ask,
            clock=self.now,
        )

    def command(self, *arguments: str) -> Done:
        """Run `belay` with these arguments."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                COMMAND.main(list(arguments), prog_name="belay", obj=lambda _stage, _local: self.desk())
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return Done(code, out.getvalue(), err.getvalue())

    def incidents(self) -> tuple[Incident, ...]:
        return self.ledger.open_incidents(ACCOUNT)

    # --- what is so ---

    def compared(self) -> set[str]:
        """The assets whose balance has to add up: those in use."""
        account = self.ledger.account(ACCOUNT)
        written_off = {symbol.split("/")[0] for symbol in account.retired}
        return {*self.document.assets, *account.traded} - written_off

    def unexplained(self) -> dict[str, Decimal]:
        """By asset, what the venue holds beyond opening, fills, flows and recorded rounding; assets in use only. What a
        wallet's rounding may have made of the bookings that no proof has absorbed yet is no more than half a unit each.
        """
        account, proof = self.ledger.account(ACCOUNT), self.ledger.last_proof(ACCOUNT)
        assert proof is not None
        expected, wallets = account.expected_balances(), self.place.books.wallets
        differing: dict[str, Decimal] = {}
        for asset in sorted(self.compared()):
            known = expected.get(asset, Decimal(0)) + proof.rounding.get(asset, Decimal(0))
            residual = wallets.owned(asset) - known
            since = account.bookings.get(asset, 0) - proof.bookings.get(asset, 0)
            if abs(residual) > since * Decimal(5).scaleb(-(wallets.places(asset) if wallets.rounded else 18) - 1):
                differing[asset] = residual
        return differing


@dataclass(frozen=True)
class OnTime(Desk):
    """The operator's desk on the venue's time."""

    clock: Callable[[], datetime]

    def now(self) -> datetime:
        return self.clock()


def document(venue: str, symbols: tuple[str, ...], options: dict[str, Any]) -> AccountDocument:
    """A live account of a small desk, every limit stated."""
    return AccountDocument(
        account=ACCOUNT,
        venue=venue,
        mode="live",
        sandbox=False,
        options=options,
        symbols=symbols,
        executor_secret=f"/belay/{STAGE}/executor/real",
        reconciler_secret=f"/belay/{STAGE}/reconciler/real",
        limits=Limits(
            max_order_notional=Decimal(5000),
            max_position_notional=dict.fromkeys(symbols, Decimal(20000)),
            max_aggregate_exposure=Decimal(1_000_000),
            submissions_per_minute=60,
            reserved_exit_submissions=10,
            max_price_age_seconds=120,
            max_balance_age_seconds=60,
            max_input_age_seconds=600,
            max_reconciliation_age_seconds=300,
            clock_offset_seconds=2,
        ),
    )


__all__ = ["ACCOUNT", "STAGE", "START", "STRATEGY", "BelayError", "Place", "World"]
