"""The daemon that `make up` leaves behind: owns the emulator, fires the schedules, moves a generated market on.

Never reaches AWS, and releases nothing: after a run that did not end cleanly, and before a live account is given its
keys, it halts everything.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

from botocore.exceptions import BotoCoreError, ClientError

from belay.adapters.clock import SystemClock
from belay.adapters.paper.table import DynamoPaperStore
from belay.cli import operations
from belay.cli.desk import Desk, desk_over
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.errors import BelayError, InvalidInput
from belay.domain.slots import TIMEFRAMES
from belay.domain.texts import paragraph
from belay.local import keys as api_keys
from belay.local.account import exchange_answers, first_document, require_same_market
from belay.local.announcement import announced
from belay.local.generated_market import GeneratedMarket
from belay.local.leftovers import end_leftovers
from belay.local.place import DELETE_ALL, Begun, Place
from belay.local.programs import StackError
from belay.local.stack import STACK_NAME, STAGE, Stack
from belay.local.ticker import Deliver, Say, Schedule, Ticker, read_schedules, tick_of
from belay.ports import Clock

AUTHOR = "make up"
PERIOD_SECONDS = 1.0
DRAIN_SECONDS, POLL_SECONDS = 10.0, 0.1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Voice:
    """What the daemon says: to its log always, and to whoever started it until the stack is ready."""

    def __init__(self) -> None:
        self._heard = True

    def __call__(self, line: str) -> None:
        line = paragraph(line)
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}", file=sys.stderr, flush=True)
        if not self._heard:
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self.leave()
            raise KeyboardInterrupt from None  # nobody waits for it any more

    def leave(self) -> None:
        """Close standard output, which tells the listener that there is no more to come."""
        self._heard = False
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class Given(NamedTuple):
    """What a new daemon is handed through a pipe, which leaves no trace: keys are in no file and no argument list."""

    document: AccountDocument | None = None
    keys: api_keys.Keys = {}

    def to_json(self) -> str:
        document = self.document.model_dump(mode="json") if self.document else None
        return json.dumps({"document": document, "keys": api_keys.to_json(self.keys)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Nothing at all is nothing given. Raises InvalidInput."""
        values = json.loads(text) if text else {}
        document = values.get("document")
        parsed = AccountDocument.parse(json.dumps(document)) if document else None
        return cls(parsed, api_keys.from_json(values.get("keys", {})))


def run(place: Place, given: Given) -> int:
    """Be the daemon: returns after a signal to stop, or when something went wrong."""
    say = Voice()
    try:
        with stopped_by_signals(), place.owned():
            keep_running(place, given, say)
    except KeyboardInterrupt:
        say("Stopped")
        return 0
    except InvalidInput as error:
        say(f"up: {error}")
        return 2
    except (StackError, BelayError) as error:
        say(f"up: {error}")
    except Exception as error:  # the listener gets a line, the log the traceback
        traceback.print_exc()
        say(f"up: {type(error).__name__}: {error} (log: {place.log})")
    return 1


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """The first request to stop unwinds everything; later ones must not keep the emulator from storing its state."""

    def unwind(_number: int, _frame: object) -> NoReturn:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, unwind) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def keep_running(place: Place, given: Given, say: Voice) -> None:
    """Start, deploy, prepare the account, and follow schedules and market until a signal unwinds it."""
    place.announcement.unlink(missing_ok=True)  # of a daemon that was killed
    if (kept := place.begun()) and given.document:
        require_same_market(kept.document, given.document)
    if end_leftovers(place.state):
        say("Ended an emulator whose daemon was killed")
    unstored = place.unstored.exists()
    place.unstored.touch()
    stack = Stack(place.state, say)
    try:
        stack.start()
        if unstored:
            halt_after_loss(stack, say)
            unstored = False
        if given.keys:
            hold_live(stack, say)
            api_keys.store(stack.client("ssm"), given.keys)
        outputs = stack.deploy()
        desk = desk_over(STAGE, outputs, stack.client)
        begun = prepare(place, given.document, desk, say)
        schedules = read_schedules(stack.client("cloudformation"), stack.client("scheduler"), STACK_NAME)
        market = market_of(begun, schedules, stack)
        if market:
            market.move(datetime.now(UTC))
        say(f"Reconciling account {begun.document.account}: {reconciled(stack, begun.document.account)}")
        ticker = Ticker(schedules, datetime.now(UTC), deliver_with(stack.client("lambda")), say)
        with drained(stack), announced(stack.endpoint, stack.administrator, outputs, place.announcement):
            say.leave()
            follow(stack, market, ticker, say)
    finally:
        if stack.stop() and not unstored:
            place.unstored.unlink()


def hold_live(stack: Stack, say: Say) -> None:
    """A live account waits for a person at each start: whatever was released before, not even an exit leaves now."""
    try:
        outputs = stack.read_outputs()
    except ClientError:
        return  # a new deployment has no switch, which stops it
    switch = desk_over(STAGE, outputs, stack.client).switch
    if switch.read().level is not StopLevel.HALTED:
        switch.write(StopLevel.HALTED, "a live account starts halted", AUTHOR, datetime.now(UTC))
        say("Halted: a live account is released anew after each start")


def halt_after_loss(stack: Stack, say: Say) -> None:
    """What the emulator held since its last clean stop may be lost, a stop that an operator had set included.

    Raises:
        StackError: so little was stored that nothing can be halted.
    """
    say("The last run did not end with `make down`: what happened since the last clean stop may be lost")
    try:
        outputs = stack.read_outputs()
    except ClientError:
        return  # not even the deployment was stored; a new one starts halted
    desk = desk_over(STAGE, outputs, stack.client)
    try:
        operations.halt_everything(desk, StopLevel.HALTED, "the local stack did not end cleanly", AUTHOR)
    except operations.Incomplete as error:
        raise StackError(f"{error}. If it stays so, {DELETE_ALL}") from None
    say("Everything is halted until you have looked and released it")


def prepare(place: Place, given: AccountDocument | None, desk: Desk, say: Say) -> Begun:
    """Store the account's document: the one given, else the one that is stored, which an operator may have changed."""
    kept = place.begun()
    if kept is None:
        begun = first_document(given, exchange_answers, say)
    else:
        stored = desk.ledger.configuration(kept.document.account)
        begun = kept.model_copy(update={"document": given or (stored.document if stored else kept.document)})
        require_same_market(kept.document, begun.document)
    place.keep(begun)
    operations.set_document(desk, begun.document, AUTHOR)
    return begun


def market_of(begun: Begun, schedules: Sequence[Schedule], stack: Stack) -> GeneratedMarket | None:
    """The market that is to be moved on; None where an exchange does that."""
    settings = begun.document.paper
    if settings is None or settings.exchange:
        return None
    ticks = [tick for schedule in schedules if (tick := tick_of(schedule))]
    store = DynamoPaperStore(stack.client("dynamodb"), stack.outputs["PaperVenueTableName"], begun.document.account)
    timeframes = {tick["timeframe"] for tick in ticks} & TIMEFRAMES.keys()
    return GeneratedMarket(store, begun.document, begun.seed, begun.start, timeframes)


def reconciled(stack: Stack, account: str) -> str:
    """Run one reconciliation and say how it went; the schedule's own follow each minute."""
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["ReconcilerFunctionName"], Payload=json.dumps({"account": account}).encode()
    )
    response = json.loads(answer["Payload"].read() or b"{}")
    if "FunctionError" in answer:
        return f"it failed: {response.get('errorMessage', response)}"
    return ", ".join("clean" if result["clean"] else result["reason"] for result in response["results"])


def deliver_with(functions: Any) -> Deliver:
    """Asynchronous invocations, as the service makes them, through a Lambda client."""

    def deliver(function: str, payload: str) -> None:
        functions.invoke(FunctionName=function, InvocationType="Event", Payload=payload.encode())

    return deliver


def follow(stack: Stack, market: GeneratedMarket | None, ticker: Ticker, say: Say) -> NoReturn:
    """Move the market to the wall clock's time and then fire what is due, each second.

    Raises:
        StackError: the emulator has ended.
    """

    def step(now: datetime) -> None:
        if market:
            market.move(now)
        ticker.tick(now)

    each_second(step, lambda: stack.running, say, SystemClock())
    raise StackError(f"the AWS emulator ended by itself (log: {stack.log})")


def each_second(step: Callable[[datetime], None], wanted: Callable[[], bool], say: Say, clock: Clock) -> None:
    """Take steps while they are wanted. One that fails is tried again with the next second, and said once."""
    said = ""
    while wanted():
        problem = ""
        try:
            step(clock.now())
        except (BelayError, BotoCoreError, ClientError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem not in ("", said):
            say(problem)
        said = problem
        clock.sleep(PERIOD_SECONDS)


@contextmanager
def drained(stack: Stack) -> Iterator[None]:
    """In the end wait a little until no message is left: what is under way is then stored as done."""
    try:
        yield
    finally:
        deadline = time.monotonic() + DRAIN_SECONDS
        with suppress(BotoCoreError, ClientError):
            while stack.running and not stack.queues_empty() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
