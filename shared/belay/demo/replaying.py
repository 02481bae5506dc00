"""One account's replay on a deployed stack: moves the market's clock, ticks, waits, reconciles. Decides nothing.

The clock moves only while every queue is empty: by a candle from slot to slot, and in between by some seconds at a time
while an order still needs time to be resolved.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.table import DynamoPaperStore
from belay.cli import operations
from belay.cli.desk import Desk
from belay.demo.market import SYMBOL, TIMEFRAME, Market
from belay.domain.documents import AccountDocument
from belay.domain.market import Candle
from belay.domain.orders import Order
from belay.domain.record import iso
from belay.domain.slots import EPOCH, TIMEFRAMES
from belay.local.programs import StackError
from belay.local.stack import Stack
from belay.replay.pace import LAST_RECONCILIATIONS, MOST_STEPS, STEP, needs_time

STUCK_SECONDS = 120
PATIENCE_SECONDS = 5
POLL_SECONDS = 0.05


class Replay:
    """What the schedules and the market's clock do on AWS, done slot by slot.

    Args:
        ticks: the events of the strategies' schedules, without their scheduled time.
        say: receives what a person should know while it goes on.
    """

    def __init__(
        self,
        stack: Stack,
        desk: Desk,
        document: AccountDocument,
        ticks: Sequence[dict[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._desk = desk
        self._document = document
        self._ticks = ticks
        self._say = say
        self._lambda = stack.client("lambda")
        self._store = DynamoPaperStore(stack.client("dynamodb"), stack.outputs["PaperVenueTableName"], document.account)
        self._now = EPOCH

    def prepare(self, market: Market) -> None:
        """Store the account's document and the candles, and let the functions trade."""
        operations.set_document(self._desk, self._document, "demo")
        load_candles(self._store, self._document, SYMBOL, TIMEFRAME, market.candles)
        self._move_clock(market.slots[0].open_time)
        self._reconcile()
        operations.release_everything(self._desk, "released for the demo", "demo")

    def slot(self, candle: Candle) -> Iterator[dict[str, Any]]:
        """Live through the end of one candle; yields each tick's request and response."""
        closed = candle.open_time + TIMEFRAMES[TIMEFRAME]
        self._move_clock(closed)
        self._reconcile()
        self._settle()
        for tick in self._ticks:
            request = {"scheduled_time": iso(closed), **tick}
            response = self._invoke("EvaluatorFunctionName", request)
            if response.get("kind") == "refused":
                raise StackError(f"the evaluator refused the tick: {response['error']}")
            yield {"request": request, "response": response}
        self._settle()

    def finish(self) -> None:
        """Let everything settle that still can without another candle."""
        for _ in range(LAST_RECONCILIATIONS):
            self._step()
            self._settle()
        self._wait_for_queues()

    def _settle(self) -> None:
        """Give orders the seconds they need until it is proven what became of them."""
        for _ in range(MOST_STEPS):
            if self._open_orders():
                self._wait_for_queues()
            if not any(map(needs_time, self._open_orders())):
                return
            self._step()

    def _open_orders(self) -> tuple[Order, ...]:
        return self._desk.ledger.open_orders(self._document.account)

    def _step(self) -> None:
        self._wait_for_queues()
        self._move_clock(self._now + STEP)
        self._reconcile()

    def _reconcile(self) -> None:
        self._invoke("ReconcilerFunctionName", {"account": self._document.account})

    def _move_clock(self, at: datetime) -> None:
        set_replay_clock(self._store, self._document, at)
        self._now = at

    def _invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self._lambda.invoke(
            FunctionName=self._stack.outputs[function],
            InvocationType="RequestResponse",
            Payload=json.dumps(event).encode(),
        )
        response: dict[str, Any] = json.loads(answer["Payload"].read() or b"{}")
        if "FunctionError" in answer:
            problem = response.get("errorMessage", response)
            raise StackError(f"{self._stack.outputs[function]} failed: {problem} (log: {self._stack.log})")
        return response

    def _wait_for_queues(self) -> None:
        """Until no message waits, is delayed or is being worked on."""
        started, told = time.monotonic(), False
        while not self._stack.queues_empty():
            waited = time.monotonic() - started
            if waited > STUCK_SECONDS:
                raise StackError(f"messages were not worked off in {STUCK_SECONDS} s (log: {self._stack.log})")
            if waited > PATIENCE_SECONDS and not told:
                self._say(f"{iso(self._now)}: a function exited; its message comes back after the visibility timeout")
                told = True
            time.sleep(POLL_SECONDS)
