"""Runs every function as a greenlet, one call through a port at a time, in virtual time. Knows nothing about orders.

Each call that leaves a process is one effect: the process stops there until the scheduler lets it go on, fails it,
freezes it or ends it. Between two effects of a process any other may run.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

from tests.simulation.choices import Choices
from tests.simulation.faults import PASS, SUBMIT_ANSWERS, Fault, Kind, failure, faults_of

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
LATENCY_MS = 20
# What a sandbox that was frozen past its timeout still does before the platform ends it.
AFTERLIFE_MS = 3_000
# The clocks of the machines against the venue's, in seconds; the last stands still while its sandbox is frozen.
CLOCKS = (0.0, 1.5, -1.5, 4.0, -4.0, 30.0, -30.0, 0.0)
CLOCK_WEIGHTS = (100, 3, 3, 2, 2, 2, 2, 10)


class Crash(BaseException):
    """The process ends here. Not an Exception: no handler of the code under test may survive it."""


@dataclass(frozen=True)
class Effect:
    """One call through a port: its name such as `ledger.commit`, its arguments, and how to perform it."""

    name: str
    arguments: tuple[Any, ...]
    perform: Callable[[], Any]
    takes_ms: int = LATENCY_MS


@dataclass(frozen=True)
class Step:
    """One line of a run's trace, `at` in milliseconds since the start."""

    at: int
    process: str
    what: str
    fault: Fault = PASS
    arguments: tuple[Any, ...] = ()
    answer: Any = None


@dataclass(eq=False)
class Process:
    """One invocation of one function."""

    name: str
    function: str
    deadline: int
    offset_ms: int
    stands_still: bool
    greenlet: greenlet
    finished: Callable[[bool], None]
    layer_version: str
    effects: int = 0
    frozen: bool = False
    alive: bool = True
    # What the invariants remember of it between two effects.
    notes: dict[str, Any] = field(default_factory=dict)


class Scheduler:
    """The one thread: a heap of what happens when, and the processes that wait for their effects."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.now_ms = 0
        self.trace: list[Step] = []
        self.fired: Counter[str] = Counter()
        self.effects = 0
        self.alive: list[Process] = []
        self.watch: Callable[[Process, Effect, Any], None] = lambda _process, _effect, _answer: None
        self.before: Callable[[Process, Effect], None] = lambda _process, _effect: None
        self.stale: Callable[[Effect], Any] = lambda effect: effect.perform()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._names: Counter[str] = Counter()
        self._ids = count(1)

    # --- time ---

    @property
    def now(self) -> datetime:
        return START + timedelta(milliseconds=self.now_ms)

    def after(self, milliseconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now_ms + int(milliseconds), next(self._order), act))

    def at(self, milliseconds: int, act: Callable[[], None]) -> None:
        self.after(max(milliseconds - self.now_ms, 0), act)

    def run_until(self, milliseconds: int) -> None:
        while self._heap and self._heap[0][0] <= milliseconds:
            self.now_ms, _, act = heapq.heappop(self._heap)
            act()
        self.now_ms = max(self.now_ms, milliseconds)

    def local(self, process: Process) -> datetime:
        return self.now + timedelta(milliseconds=process.offset_ms)

    # --- processes ---

    def start(
        self,
        what: str,
        function: str,
        timeout_seconds: float,
        body: Callable[[Process], Any],
        finished: Callable[[bool], None],
        layer_version: str,
    ) -> Process:
        """Begin an invocation; `finished` is told once whether it returned, when it did or when its time is over."""
        self._names[what] += 1
        name = f"{what}#{self._names[what]}"
        clock = self.choices.pick(f"{name}/clock", CLOCK_WEIGHTS)
        process = Process(
            name=name,
            function=function,
            deadline=self.now_ms + int(timeout_seconds * 1000),
            offset_ms=int(CLOCKS[clock] * 1000),
            stands_still=clock == len(CLOCKS) - 1,
            greenlet=greenlet(lambda _: body(process)),
            finished=_once(finished),
            layer_version=layer_version,
        )
        self.alive.append(process)
        self.tell(name, "starts")
        self.after(timeout_seconds * 1000, lambda: self._time_out(process))
        self.after(0, lambda: self._resume(process, None))
        return process

    def tell(self, process: str, what: str, *arguments: Any) -> None:
        self.trace.append(Step(self.now_ms, process, what, arguments=arguments))

    def call(self, process: Process, effect: Effect) -> Any:
        """Called inside a process: hand the effect to the scheduler and wait for its answer."""
        assert getcurrent() is process.greenlet, "an effect outside its process"
        return process.greenlet.parent.switch(effect)

    def new_id(self) -> str:
        return f"w{next(self._ids):05}"

    def end(self) -> None:
        """Nothing goes on: what is still alive is dropped without a further word."""
        for process in tuple(self.alive):
            self._kill(process)

    def _resume(self, process: Process, answer: Any, error: BaseException | None = None) -> None:
        if not process.alive:
            return
        try:
            result = process.greenlet.switch(answer) if error is None else process.greenlet.throw(error)
        except Crash:
            return
        except Exception as raised:
            self._over(process, f"fails: {type(raised).__name__}: {raised}", False)
            return
        if process.greenlet.dead:
            self._over(process, "ends", True, result)
        else:
            self._take(process, result)

    def _over(self, process: Process, what: str, returned: bool, result: Any = None) -> None:
        process.alive = False
        self.alive.remove(process)
        self.tell(process.name, what, *([] if result is None else [result]))
        process.finished(returned)

    def _kill(self, process: Process) -> None:
        process.alive = False
        self.alive.remove(process)
        try:
            process.greenlet.throw(Crash())
        except Crash:
            return

    def _crash(self, process: Process, why: str) -> None:
        if process.alive:
            self._kill(process)
            self.tell(process.name, why)
            process.finished(False)

    def _time_out(self, process: Process) -> None:
        """The platform ends an invocation at its timeout; a frozen sandbox it cannot reach, only give up."""
        if process.alive and process.frozen:
            process.finished(False)
        else:
            self._crash(process, "is ended by its timeout")

    # --- effects ---

    def _take(self, process: Process, effect: Effect) -> None:
        """A process has asked for an effect: choose what happens to it."""
        key = f"{process.name}/{process.effects}"
        process.effects += 1
        self.effects += 1
        faults = faults_of(effect.name)
        fault = faults[self.choices.pick(key, [fault.weight for fault in faults])]
        if fault is not PASS:
            self.fired[str(fault.kind)] += 1
        self.before(process, effect)
        self._inject(process, effect, fault)

    def _inject(self, process: Process, effect: Effect, fault: Fault) -> None:
        perform = partial(self._perform, process, effect, fault)
        unheard = partial(_quietly, perform)
        answer = partial(self._answer, process)
        lost = partial(self._failed, process, effect)
        match fault.kind:
            case Kind.FAIL:
                self._record(process, effect, fault, None)
                self.after(LATENCY_MS, lost)
            case Kind.LOSE:
                self.after(LATENCY_MS, lambda: (unheard(), lost()))
            case Kind.TWICE:
                self.after(LATENCY_MS, lambda: (unheard(), answer(perform)))
            case Kind.CRASH_BEFORE:
                self._record(process, effect, fault, None)
                self._crash(process, "crashes")
            case Kind.CRASH_AFTER:
                self.after(LATENCY_MS, lambda: (unheard(), self._crash(process, "crashes")))
            case Kind.SLOW:
                self.after(fault.seconds * 1000, lambda: answer(perform))
            case Kind.FREEZE_BEFORE:
                self._freeze(process, fault, lambda: answer(perform))
            case Kind.FREEZE_AFTER:
                self.after(LATENCY_MS, lambda: self._freeze(process, fault, partial(answer, _kept(perform))))
            case Kind.STALE:
                self.after(LATENCY_MS, lambda: answer(partial(self._stale, process, effect, fault)))
            case Kind.LATE:
                self.after(fault.seconds * 1000, lambda: _quietly(partial(perform, departed=True)))
                self.after(LATENCY_MS, lost)
            case Kind.REFUSED | Kind.REJECTED | Kind.CONFIGURATION:
                self._record(process, effect, fault, SUBMIT_ANSWERS[fault.kind])
                self.after(LATENCY_MS, partial(self._resume, process, SUBMIT_ANSWERS[fault.kind]))
            case Kind.GARBLED:
                self.after(LATENCY_MS, lambda: (unheard(), self._resume(process, SUBMIT_ANSWERS[fault.kind])))
            case _:
                self.after(effect.takes_ms, lambda: answer(perform))

    def _freeze(self, process: Process, fault: Fault, then: Callable[[], Any]) -> None:
        if not process.alive:
            return
        process.frozen = True
        self.tell(process.name, f"is frozen for {fault.seconds:g} s")

        def thaw() -> None:
            if process.alive:
                process.frozen = False
                process.offset_ms -= int(fault.seconds * 1000) if process.stands_still else 0
                if self.now_ms > process.deadline:
                    self.after(AFTERLIFE_MS, lambda: self._crash(process, "is ended after its timeout"))
                then()

        self.after(fault.seconds * 1000, thaw)

    def _perform(self, process: Process, effect: Effect, fault: Fault, departed: bool = False) -> Any:
        """Let an effect take place. One that has left the machine does so whatever became of its process."""
        if not process.alive and not departed:
            return None
        try:
            answer = effect.perform()
        except Exception as error:
            self._record(process, effect, fault, error)
            raise
        self._record(process, effect, fault, answer)
        self.watch(process, effect, answer)
        return answer

    def _stale(self, process: Process, effect: Effect, fault: Fault) -> Any:
        answer = self.stale(effect)
        self._record(process, effect, fault, answer)
        return answer

    def _record(self, process: Process, effect: Effect, fault: Fault, answer: Any) -> None:
        self.trace.append(Step(self.now_ms, process.name, effect.name, fault, effect.arguments, answer))

    def _answer(self, process: Process, perform: Callable[[], Any]) -> None:
        try:
            answer = perform()
        except Exception as error:
            return self._resume(process, None, error)
        return self._resume(process, answer)

    def _failed(self, process: Process, effect: Effect) -> None:
        self._answer(process, lambda: failure(effect.name))


def _kept(perform: Callable[[], Any]) -> Callable[[], Any]:
    """Perform now; the answer, or the error, is handed out later."""
    try:
        answer = perform()
    except Exception as error:
        raised = error

        def again() -> Any:
            raise raised

        return again
    return lambda: answer


def _quietly(perform: Callable[[], Any]) -> None:
    """Perform what nobody hears of: not even that it was refused."""
    with suppress(Exception):
        perform()


def _once(act: Callable[[bool], None]) -> Callable[[bool], None]:
    left: Iterator[Callable[[bool], None]] = iter([act])

    def run(value: bool) -> None:
        for first in left:
            first(value)

    return run


class Port:
    """Stands in for one port of one process: every call of it is one effect."""

    def __init__(self, scheduler: Scheduler, process: Process, name: str, target: Any) -> None:
        self._scheduler, self._process, self._name, self._target = scheduler, process, name, target

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._target, method)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            perform = partial(found, *arguments, **named)
            given = (*arguments, *named.values())
            return self._scheduler.call(self._process, Effect(f"{self._name}.{method}", given, perform))

        return call
