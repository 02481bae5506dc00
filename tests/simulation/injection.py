"""How each kind of fault is done to one effect: when it takes place, if at all, and what its process comes to hear."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.faults import SUBMIT_ANSWERS, Fault, Kind, failure, mixed_up
from tests.simulation.processes import LATENCY_MS, Effect, Process

if TYPE_CHECKING:
    from tests.simulation.scheduler import Scheduler


@dataclass(frozen=True)
class Call:
    """One effect that a process waits for, and the fault that has been chosen for it."""

    scheduler: "Scheduler"
    process: Process
    effect: Effect
    fault: Fault

    def perform(self, departed: bool = False) -> Any:
        """Let it take place now. What has left the machine does so whatever became of its process."""
        if self.process.alive or departed:
            return self.scheduler.perform(self.process, self.effect, self.fault)
        return None

    def perform_unheard(self, departed: bool = False) -> None:
        """Let it take place; nobody hears of it, not even that it was refused."""
        with suppress(Exception):
            self.perform(departed)

    def answer(self, give: Callable[[], Any]) -> None:
        """Let the process go on with what this gives or raises."""
        try:
            answer = give()
        except Exception as error:
            return self.scheduler.resume(self.process, None, error)
        return self.scheduler.resume(self.process, answer)

    def answer_with_failure(self) -> None:
        self.answer(lambda: failure(self.effect.name))

    def crash(self) -> None:
        self.scheduler.crash(self.process, "crashes")

    def freeze(self, then: Callable[[], None]) -> None:
        self.scheduler.freeze(self.process, self.fault.seconds, then)

    def later(self, act: Callable[[], None]) -> None:
        self.scheduler.after(LATENCY_MS, act)

    def not_performed(self, answer: Any = None) -> None:
        self.scheduler.record(self.process, self.effect, self.fault, answer)


def _pass(call: Call) -> None:
    call.scheduler.after(call.effect.takes_ms, lambda: call.answer(call.perform))


def _fail(call: Call) -> None:
    call.not_performed()
    call.later(call.answer_with_failure)


def _lose(call: Call) -> None:
    def act() -> None:
        call.perform_unheard()
        call.answer_with_failure()

    call.later(act)


def _twice(call: Call) -> None:
    """A client that got no answer to the first request repeats it."""

    def act() -> None:
        call.perform_unheard()
        call.answer(call.perform)

    call.later(act)


def _crash_before(call: Call) -> None:
    call.not_performed()
    call.crash()


def _crash_after(call: Call) -> None:
    def act() -> None:
        call.perform_unheard()
        call.crash()

    call.later(act)


def _slow(call: Call) -> None:
    call.scheduler.after(call.fault.seconds * 1000, lambda: call.answer(call.perform))


def _freeze_before(call: Call) -> None:
    call.freeze(lambda: call.answer(call.perform))


def _freeze_after(call: Call) -> None:
    def act() -> None:
        answer = _kept(call.perform)
        call.freeze(lambda: call.answer(answer))

    call.later(act)


def _stale(call: Call) -> None:
    def give() -> Any:
        answer = call.scheduler.stale(call.effect)
        call.not_performed(answer)
        return answer

    call.later(lambda: call.answer(give))


def _late(call: Call) -> None:
    """The request is on its way for long after its sender has given up on an answer."""
    call.scheduler.after(call.fault.seconds * 1000, lambda: call.perform_unheard(departed=True))
    call.later(call.answer_with_failure)


def _answered_otherwise(call: Call) -> None:
    answer = SUBMIT_ANSWERS[call.fault.kind]
    call.not_performed(answer)
    call.later(lambda: call.answer(lambda: answer))


def _garbled(call: Call) -> None:
    def act() -> None:
        call.perform_unheard()
        call.answer(lambda: SUBMIT_ANSWERS[call.fault.kind])

    call.later(act)


def _mixed_up(call: Call) -> None:
    def act() -> None:
        call.perform_unheard()
        call.answer(partial(mixed_up, call.effect.name, call.effect.arguments))

    call.later(act)


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


INJECTIONS: dict[Kind, Callable[[Call], None]] = {
    Kind.PASS: _pass,
    Kind.FAIL: _fail,
    Kind.LOSE: _lose,
    Kind.TWICE: _twice,
    Kind.CRASH_BEFORE: _crash_before,
    Kind.CRASH_AFTER: _crash_after,
    Kind.SLOW: _slow,
    Kind.FREEZE_BEFORE: _freeze_before,
    Kind.FREEZE_AFTER: _freeze_after,
    Kind.STALE: _stale,
    Kind.LATE: _late,
    Kind.REFUSED: _answered_otherwise,
    Kind.REJECTED: _answered_otherwise,
    Kind.CONFIGURATION: _answered_otherwise,
    Kind.GARBLED: _garbled,
    Kind.MIXED_UP: _mixed_up,
}
