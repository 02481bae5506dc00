"""A movement is recorded before it is final: it counts once, however late that is and whatever was rebased."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.real_account.lives import VENUES, placed
from tests.real_account.truth import wrong
from tests.real_account.way_back import lead_back
from tests.real_account.world import ACCOUNT, Place, World

AMOUNT, FEE = Decimal(40), Decimal(1)


@pytest.fixture(
    params=[(venue, wire) for venue in VENUES for wire in (False, True)], ids=lambda of: "-".join(map(str, of))
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    venue, wire = request.param
    with placed(venue, 1, wire=wire) as place:
        yield place


@pytest.fixture
def world(place: Place) -> World:
    """An account whose books are open."""
    world = World(place)
    pass_by(world, 3)
    assert world.ledger.account(ACCOUNT).opening is not None
    return world


def quote(world: World) -> str:
    return world.symbols[0].split("/")[1]


def pass_by(world: World, minutes: int) -> None:
    for _ in range(minutes):
        world.minute()


def deposit(world: World, **how: Any) -> Any:
    return world.place.act("deposit_from_outside", asset=quote(world), amount=AMOUNT, **how)


def withdraw(world: World, **how: Any) -> Any:
    return world.place.act("withdraw", asset=quote(world), amount=AMOUNT, fee=FEE, **how)


def rebase(world: World) -> None:
    """The owner's own money comes without a record, and is taken as it is."""
    world.place.books.deposit(quote(world), Decimal(7))
    pass_by(world, 2)
    done = world.command("rebase", "--asset", quote(world), "--reason", "I know of it")
    assert done.exit_code == 0, done.stderr


def require_counted(world: World, *amounts: Decimal) -> None:
    """Besides the rebases, flows of these amounts; nothing is open, and nothing differs from the venue's books."""
    flows = [f for f in world.ledger.flows(ACCOUNT, 50) if f.kind not in ("rebase", "opening") and f.amounts]
    assert sorted(flow.amounts[quote(world)] for flow in flows) == sorted(amounts)
    assert world.unexplained() == {}
    assert wrong(world) == []
    assert world.incidents() == ()


def rebases(world: World) -> int:
    return sum(flow.kind == "rebase" for flow in world.ledger.flows(ACCOUNT, 50))


def test_a_withdrawal_counts_when_it_is_asked_for_and_nothing_differs_while_it_is_pending(world: World) -> None:
    withdraw(world, done_after=10 * 60)
    for _ in range(20):
        world.minute()
        assert world.incidents() == ()
    require_counted(world, -AMOUNT - FEE)


def test_a_withdrawal_that_fails_counts_back(world: World) -> None:
    movement = withdraw(world, done_after=None)
    pass_by(world, 5)
    world.place.act("fail_withdrawal", movement=movement)
    pass_by(world, 10)
    require_counted(world, -AMOUNT - FEE, AMOUNT + FEE)


def test_r14_a_withdrawal_that_was_pending_when_its_balance_was_rebased_counts_back_when_it_fails(world: World) -> None:
    movement = withdraw(world, done_after=None)
    pass_by(world, 2)
    rebase(world)
    pass_by(world, 3)
    world.place.act("fail_withdrawal", movement=movement)
    pass_by(world, 10)
    require_counted(world, -AMOUNT - FEE, AMOUNT + FEE)
    assert rebases(world) == 1


def test_a_withdrawal_that_a_rebase_took_with_it_counts_back_when_it_fails(world: World) -> None:
    """Its row comes so late that nobody knew of it when the balance was taken."""
    movement = withdraw(world, done_after=None, lag=5 * 60, entry_lag=5 * 60)
    rebase(world)
    assert rebases(world) == 1
    pass_by(world, 10)
    world.place.act("fail_withdrawal", movement=movement)
    pass_by(world, 10)
    require_counted(world, AMOUNT + FEE)


def test_a_withdrawal_that_a_rebase_took_with_it_is_not_counted_when_it_is_done(world: World) -> None:
    withdraw(world, done_after=20 * 60, lag=5 * 60, entry_lag=5 * 60)
    rebase(world)
    pass_by(world, 30)
    require_counted(world)
    assert rebases(world) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_r14_a_deposit_that_was_not_there_yet_when_its_balance_was_rebased_counts_when_it_is_credited(
    world: World, times: int
) -> None:
    deposit(world, credited_after=40 * 60)
    for _ in range(times):
        rebase(world)
        pass_by(world, 3)
    pass_by(world, 50)
    require_counted(world, AMOUNT)
    assert rebases(world) == times


def test_a_deposit_that_a_rebase_took_with_it_is_not_counted_again_when_its_row_comes(world: World) -> None:
    deposit(world, unlocked_after=30 * 60, lag=20 * 60)
    rebase(world)
    pass_by(world, 45)
    if world.place.venue == "binance":
        require_counted(world)
    assert world.unexplained() == {}
    assert rebases(world) == 1


def test_a_deposit_that_is_taken_back_counts_back(world: World) -> None:
    movement = deposit(world)
    pass_by(world, 6)
    world.place.act("fail_deposit", movement=movement)
    pass_by(world, 10)
    require_counted(world, AMOUNT, -AMOUNT)


def test_a_deposit_that_was_pending_when_the_books_were_opened_counts_when_it_is_credited(place: Place) -> None:
    world = World(place)
    deposit(world, credited_after=30 * 60)
    pass_by(world, 45)
    require_counted(world, AMOUNT)


def test_a_withdrawal_that_was_pending_when_the_books_were_opened_is_in_the_opening(place: Place) -> None:
    world = World(place)
    withdraw(world, done_after=10 * 60)
    pass_by(world, 30)
    require_counted(world)


def test_what_was_final_before_anybody_saw_that_it_was_not_is_taken_by_the_command_that_its_incident_prints(
    world: World, tmp_path: Any
) -> None:
    """No record tells when it was credited, and none was read in between. Kraken's ledger tells by itself."""
    deposit(world, credited_after=150)
    rebase(world)
    world.place.advance(40)
    pass_by(world, 5)
    if world.place.venue == "binance":
        assert [incident.subject for incident in world.incidents()] == [quote(world)]
    lead_back(world, tmp_path)
    assert world.unexplained() == {}
    assert wrong(world) == []
