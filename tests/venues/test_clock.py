"""Clocks that are wrong: the machine's by half a minute either way, the venue's own, and one that jumps.

Everything is judged in venue time, so nothing wrong is ever concluded. While machine and venue disagree by more than
the account allows, nothing is claimed; what waits goes out by itself once they agree again.
"""

from itertools import product

import pytest

from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from tests.venues.desk import Desk, NewDesk
from tests.venues.test_every_fault import CASES, meet
from tests.venues.test_processes import thawed_after_the_fence

S = OrderState
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
WRONG = pytest.mark.parametrize("seconds", [-30, 30])
# Both sides of the fence, every phase in which an answer is lost.
FAULTS = (
    "accept_close",
    "drop",
    "lost and lagging",
    "held before the engine past the fence",
    "held as long as can be",
)


def tolerant(desk: Desk, seconds: float) -> Desk:
    """The machine's clock is wrong, and the account's limit lets it be."""
    desk.machine.wrong_seconds = seconds
    limits = desk.document.limits.model_copy(update={"clock_offset_seconds": 60})
    desk.configure(desk.document.model_copy(update={"limits": limits}))
    return desk


@WRONG
@pytest.mark.parametrize(("venue", "name"), [*product(("binance", "kraken"), FAULTS)])
def test_an_entry_and_an_exit_on_a_machine_whose_clock_is_wrong_fare_as_on_any_other(
    new_desk: NewDesk, venue: str, name: str, seconds: float
) -> None:
    """Corpus row 59. The exit sells what was bought before."""
    meet(tolerant(new_desk(venue), seconds), name, "market", "exit")


@BOTH
@WRONG
@pytest.mark.parametrize("exits", [False, True], ids=["entry", "exit"])
def test_the_fence_of_a_frozen_process_holds_whatever_its_clock_shows(
    new_desk: NewDesk, venue: str, exits: bool, seconds: float
) -> None:
    thawed_after_the_fence(tolerant(new_desk(venue), seconds), exits=exits)


@BOTH
@WRONG
def test_35_what_waits_for_the_clocks_to_agree_goes_out_once_they_do(
    new_desk: NewDesk, venue: str, seconds: float
) -> None:
    """ccxt #2281: a clock error, -1021 at every request."""
    desk = new_desk(venue)
    desk.machine.wrong_seconds = seconds
    desk.open_gate()
    order = desk.enter()
    desk.deliver()
    assert desk.causes(order)[-1] == "waiting: clock_offset_seconds"
    desk.go_on(150)
    assert (desk.state(order), desk.sent(order)) == (S.CREATED, [])
    assert all(run.clean for run in desk.reconciled)
    desk.machine.wrong_seconds = 0
    desk.settle()
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)
    desk.check()


@BOTH
@WRONG
def test_an_order_that_waits_too_long_for_the_clocks_lapses_and_an_exit_pages(
    new_desk: NewDesk, venue: str, seconds: float
) -> None:
    desk = new_desk(venue)
    desk.hold()
    desk.machine.wrong_seconds = seconds
    exit_order, entry = desk.leave(), desk.by_hand(2)
    desk.deliver()
    desk.settle()
    assert (desk.state(entry), desk.state(exit_order)) == (S.LAPSED, S.LAPSED)
    assert desk.sent(entry) == desk.sent(exit_order) == []
    desk.check(IncidentKind.CLOCK_OFFSET, IncidentKind.EXIT_NOT_PLACED)


@BOTH
@WRONG
@pytest.mark.parametrize("name", ["accept_close", "drop", "held before the engine past the fence"])
def test_a_clock_that_jumps_while_an_outcome_is_open_changes_nothing(
    new_desk: NewDesk, venue: str, name: str, seconds: float
) -> None:
    desk = tolerant(new_desk(venue), 0)
    desk.open_gate()
    desk.server.add_fault(CASES[name].fault, **CASES[name].settings(venue))
    order = desk.enter()
    desk.deliver()
    desk.go_on(5)
    desk.machine.wrong_seconds = seconds
    desk.settle()
    assert desk.state(order) is (S.FILLED if name == "accept_close" else S.NOT_SENT)
    desk.check()


@BOTH
@WRONG
def test_a_venue_whose_own_clock_is_wrong_is_followed(new_desk: NewDesk, venue: str, seconds: float) -> None:
    desk = tolerant(new_desk(venue), 0)
    desk.server.clock.offset_seconds = seconds
    meet(desk, "accept_close", "market", "exit")
