"""Runs every function as a greenlet, one call through a port at a time, in virtual time. Knows nothing about orders.

Each call that leaves a process is one effect: the process stops there until the scheduler lets it go on, fails it,
freezes it or ends it. Between two effects of a process any other may run.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

from tests.simulation.choices import Choices
from tests.simulation.faults import PASS, THEME_WEIGHTS, Fault, faults_of, weights_of
from tests.simulation.injection import INJECTIONS, Call
from tests.simulation.processes import Crash, Effect, Process, Step

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
# What a sandbox that was frozen past its timeout still does before the platform ends it.
AFTERLIFE_MS = 3_000
# The clocks of the machines against the venue's, in seconds; the last stands still while its sandbox is frozen.
CLOCKS = (0.0, 1.5, -1.5, 4.0, -4.0, 30.0, -30.0, 0.0)
CLOCK_WEIGHTS = (100, 3, 3, 2, 2, 2, 2, 10)


class Scheduler:
    """The one thread: a heap of what happens when, and the processes that wait for their effects."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.theme = choices.pick("theme", THEME_WEIGHTS)
        self.now_ms = 0
        # By how much every machine's clock is off the venue's, besides its own error.
        self.drift_ms = 0
        self.trace: list[Step] = []
        # The key of each effect's fault, with the process and the effect.
        self.taken: list[tuple[str, str, str]] = []
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
        return self.now + timedelta(milliseconds=process.offset_ms + self.drift_ms)

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
            greenlet=greenlet(body),
            finished=_once(finished),
            layer_version=layer_version,
        )
        self.alive.append(process)
        self.tell(name, "starts")
        self.after(timeout_seconds * 1000, lambda: self._time_out(process))
        self.after(0, lambda: self.resume(process, process))
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

    def resume(self, process: Process, answer: Any, error: BaseException | None = None) -> None:
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

    def crash(self, process: Process, why: str) -> None:
        if process.alive:
            self._kill(process)
            self.tell(process.name, why)
            process.finished(False)

    def _time_out(self, process: Process) -> None:
        """The platform ends an invocation at its timeout; a frozen sandbox it cannot reach, only give up."""
        if process.alive and process.frozen:
            process.finished(False)
        else:
            self.crash(process, "is ended by its timeout")

    # --- effects ---

    def _take(self, process: Process, effect: Effect) -> None:
        """A process has asked for an effect: choose what happens to it."""
        key = f"{process.name}/{process.effects}"
        process.effects += 1
        self.effects += 1
        self.taken.append((key, process.name, effect.name))
        fault = faults_of(effect.name)[self.choices.pick(key, weights_of(effect.name, self.theme))]
        self.before(process, effect)
        if fault is not PASS:
            self.fired[str(fault.kind)] += 1
        INJECTIONS[fault.kind](Call(self, process, effect, fault))

    def freeze(self, process: Process, seconds: float, then: Callable[[], None]) -> None:
        if not process.alive:
            return
        process.frozen = True
        self.tell(process.name, f"is frozen for {seconds:g} s")

        def thaw() -> None:
            if process.alive:
                process.frozen = False
                process.offset_ms -= int(seconds * 1000) if process.stands_still else 0
                if self.now_ms > process.deadline:
                    self.after(AFTERLIFE_MS, lambda: self.crash(process, "is ended after its timeout"))
                then()

        self.after(seconds * 1000, thaw)

    def perform(self, process: Process, effect: Effect, fault: Fault) -> Any:
        """Let an effect take place, and the watch look at it."""
        try:
            answer = effect.perform()
        except Exception as error:
            self.record(process, effect, fault, error)
            raise
        self.record(process, effect, fault, answer)
        self.watch(process, effect, answer)
        return answer

    def record(self, process: Process, effect: Effect, fault: Fault, answer: Any) -> None:
        self.trace.append(Step(self.now_ms, process.name, effect.name, fault, effect.arguments, answer))


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
