"""One account's replay within this process: the real workflows over in-memory adapters, slot by slot. Decides nothing.

It moves the market's clock, ticks, hands on the messages and reconciles just as the demo does with the deployed
functions, so that the same candles give the same order ids. Nothing reaches AWS or an exchange; no fault is injected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch, InMemoryQueue, gather_in_order
from belay.adapters.paper.clock import ReplayClock, ReplayFeed, ReplayMarketData, load_candles, set_replay_clock
from belay.adapters.paper.store import InMemoryPaperStore, PaperStore
from belay.adapters.paper.venue import PaperVenue
from belay.domain.account import StopLevel
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.market import Candle
from belay.domain.record import iso
from belay.domain.slots import Tick
from belay.ports import Clock, MarketData, Services, Venue
from belay.replay.pace import LAST_RECONCILIATIONS, MOST_STEPS, STEP, needs_time
from belay.workflows.evaluate import LoadStrategy, evaluate
from belay.workflows.execute import execute
from belay.workflows.reconcile import reconcile

AUTHOR = "replay"
LAYER_VERSION = "replay"
# What a function may still run when it begins; in a process of our own time never runs out.
REMAINING_SECONDS = 60.0
EVERYTHING = 10**9


def replay_document(document: AccountDocument) -> AccountDocument:
    """A paper account's document, on stored candles instead of an exchange's and without faults.

    Raises:
        InvalidInput: the account is a live one.
    """
    if document.paper is None:
        problem = f"{document.account} is a live account: its document has no balances and fees to replay with"
        raise InvalidInput("--account-document", problem, "Give a paper account's; see `belay account example`.")
    on_candles = document.paper.model_dump() | {"exchange": None, "replay": True}
    on_candles.pop("faults", None)
    return AccountDocument.model_validate(document.model_dump() | {"paper": on_candles})


@dataclass(frozen=True)
class ReplayVenues:
    """Implements `ports.Venues` for the one account."""

    only_clock: Clock
    only_market_data: MarketData
    only_venue: Venue

    def clock(self, _document: AccountDocument) -> Clock:
        return self.only_clock

    def market_data(self, _document: AccountDocument) -> MarketData:
        return self.only_market_data

    def venue(self, _document: AccountDocument) -> Venue:
        return self.only_venue


class ReplayEngine:
    """An account with its market, from its first slot on.

    Args:
        document: a paper account's with replay.
        stage: part of every slot, and so of every order id.
        ticks: the events of the strategies' schedules, without their scheduled time.
        load: finds a strategy by its algorithm.
    """

    def __init__(
        self, document: AccountDocument, stage: str, ticks: Sequence[Mapping[str, Any]], load: LoadStrategy
    ) -> None:
        if document.paper is None:
            raise InvalidInput("account", f"{document.account} is not a paper account", "Set mode paper.")
        self.document = document
        self.ledger = InMemoryLedger()
        self._store = InMemoryPaperStore(document.account)
        self._clock = ReplayClock(self._store)
        self._queue = InMemoryQueue()
        self._switch = InMemoryKillSwitch()
        self._ticks = ticks
        self._load = load
        self._ids = count(1)
        market_data = ReplayMarketData(self._store, document.paper, self._clock)
        self._services = Services(
            stage=stage,
            layer_version=LAYER_VERSION,
            ledger=self.ledger,
            venues=ReplayVenues(self._clock, market_data, self._venue(self._store)),
            kill_switch=self._switch,
            queue=self._queue,
            alerts=InMemoryAlerts(),
            gather=gather_in_order,
            clock=self._clock,
            new_id=self._new_id,
            follow_up_seconds=0,
        )

    def prepare(self, markets: Mapping[str, Sequence[Candle]], timeframe: str, begin: datetime) -> None:
        """Store the account's document and each symbol's candles, and begin: nothing is stopped from here on.

        Raises:
            InvalidInput: the account does not trade a symbol, or candles are missing between others.
        """
        for symbol, candles in markets.items():
            load_candles(self._store, self.document, symbol, timeframe, candles)
        self._move_clock(begin)
        stored = Configuration(version=1, document=self.document, author=AUTHOR, stored_at=begin)
        self.ledger.store_configuration(stored)
        self._reconcile()
        self._switch.write(StopLevel.RUNNING, "released for the replay", AUTHOR, begin)

    def slot(self, closed: datetime) -> tuple[DecisionRecord, ...]:
        """Live through the moment at which a candle has closed; returns what each strategy decided."""
        self._move_clock(closed)
        self._reconcile()
        self._settle()
        decided = tuple(self._evaluate({"scheduled_time": iso(closed), **tick}) for tick in self._ticks)
        self._work_off()
        self._settle()
        return decided

    def finish(self) -> None:
        """Let everything settle that still can without another candle."""
        for _ in range(LAST_RECONCILIATIONS):
            self._step()
            self._settle()

    def _venue(self, store: PaperStore) -> Venue:
        """The venue as the account's document wants it, without its faults."""
        return PaperVenue(self.document, store, ReplayFeed(store), new_id=self._new_id, pause=lambda _seconds: None)

    def _new_id(self) -> str:
        return f"replay-{next(self._ids):09}"

    def fills(self) -> tuple[Fill, ...]:
        """Every fill so far, in time order."""
        return tuple(reversed(self.ledger.fills(self.document.account, EVERYTHING)))

    def _settle(self) -> None:
        """Give orders the seconds they need until it is proven what became of them."""
        for _ in range(MOST_STEPS):
            if not any(map(needs_time, self.ledger.open_orders(self.document.account))):
                return
            self._step()

    def _step(self) -> None:
        self._move_clock(self._clock.now() + STEP)
        self._reconcile()
        self._work_off()

    def _work_off(self) -> None:
        """Hand every message on until none is left; as many follow-ups as there are, one reconciliation does."""
        queue = self._queue
        while queue.intents or queue.follow_ups or queue.ticks:
            intents, queue.intents = queue.intents, []
            for message in intents:
                self._execute(message.body["order_id"])
            ticks, queue.ticks = queue.ticks, []
            for tick in ticks:
                evaluate(tick, self._services, self._load)
            follow_ups, queue.follow_ups = queue.follow_ups, []
            if follow_ups:
                self._reconcile()

    def _evaluate(self, event: Mapping[str, Any]) -> DecisionRecord:
        return evaluate(Tick.parse(event), self._services, self._load)

    def _execute(self, order_id: str) -> None:
        execute(order_id, self._services, lambda: REMAINING_SECONDS)

    def _reconcile(self) -> None:
        reconcile(self.document.account, self._services)

    def _move_clock(self, at: datetime) -> None:
        set_replay_clock(self._store, self.document, at)
