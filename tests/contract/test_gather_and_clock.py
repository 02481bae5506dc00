"""Reading several things at once, or in order; and a clock that only moves when told."""

from threading import Barrier
from typing import Any

import pytest

from belay.adapters.aws.client import client_configuration
from belay.adapters.gather import gather_in_threads
from belay.adapters.memory.ports import ManualClock, gather_in_order
from belay.ports import Gather
from tests.builders import NOW, seconds

BOTH = pytest.mark.parametrize("gather", [gather_in_threads, gather_in_order])


@BOTH
def test_results_come_by_name_in_the_order_asked(gather: Gather) -> None:
    gathered = gather({"b": lambda: 2, "a": lambda: 1})
    assert list(gathered.items()) == [("b", 2), ("a", 1)]


@BOTH
def test_nothing_asked_is_nothing_gathered(gather: Gather) -> None:
    assert gather({}) == {}


@BOTH
def test_the_first_error_in_the_order_asked_is_raised(gather: Gather) -> None:
    def fail(name: str) -> None:
        raise ValueError(name)

    with pytest.raises(ValueError, match="second"):
        gather({"first": lambda: 1, "second": lambda: fail("second"), "third": lambda: fail("third")})


def test_threads_really_run_at_the_same_time() -> None:
    meeting = Barrier(3, timeout=10)
    gathered = gather_in_threads(dict.fromkeys("abc", meeting.wait))
    assert sorted(gathered.values()) == [0, 1, 2]


def test_a_manual_clock_moves_by_sleeping_and_setting_only() -> None:
    clock = ManualClock(NOW)
    assert clock.now() == clock.now() == NOW
    clock.sleep(1.5)
    assert clock.now() == NOW + seconds(1.5)
    clock.set(NOW)
    assert clock.now() == NOW


def test_a_client_gives_up_within_seconds() -> None:
    configuration: Any = client_configuration()
    assert (configuration.connect_timeout, configuration.read_timeout) == (1, 2)
    assert configuration.retries == {"total_max_attempts": 3, "mode": "standard"}
    assert configuration.tcp_keepalive
