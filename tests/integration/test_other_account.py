"""R26: the venue's own id of the account: kept from its first sight on, and a key of another account is refused."""

from typing import Any

import pytest

from belay.domain.flows import FlowKind
from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from tests.builders import ACCOUNT
from tests.world import FAULTS, Fault, World, blaming, changed, disturbed, make_reduce

K, S = IncidentKind, OrderState
OURS, ANOTHER = "354937868", "112"


def tells(world: World, account: str | None) -> None:
    """The venue names the account that a key is of with its balances."""
    world.steps.always("venue.balances", changed(lambda told: told.model_copy(update={"account": account})))


def opened(account: str | None = OURS) -> World:
    world = World()
    tells(world, account)
    world.holding()
    return world


def known(world: World) -> str | None:
    return world.account.identity.venue_account if world.account.identity else None


def test_r26_the_opening_keeps_the_venues_own_id_of_the_account() -> None:
    world = opened()
    assert known(world) == OURS
    assert world.ledger.flows(ACCOUNT, 10) == ()


def test_r26_with_a_key_of_another_account_nothing_is_compared_or_sent_until_the_right_one_is_back() -> None:
    world = opened()
    (leave,) = world.decide(make_reduce())
    tells(world, ANOTHER)
    before = world.account.external, world.account.opening, world.account.positions
    result = world.reconcile()
    assert not result.clean
    assert f"is of the venue's account {ANOTHER}" in result.reason
    assert [done.result for done in world.deliver()] == ["waiting"]
    assert (world.state(leave), world.accepted(leave)) == (S.CREATED, 0)
    (incident,) = world.incidents()
    assert incident.kind is K.VENUE_CONFIGURATION
    assert f"is about {OURS}" in incident.action
    assert (world.account.external, world.account.opening, world.account.positions) == before
    tells(world, OURS)
    world.minutes(4)
    assert (world.state(leave), world.kinds(), world.account.stops) == (S.FILLED, [], ())
    assert world.reconcile().clean


def test_r26_the_executor_sees_by_itself_that_its_key_is_another_accounts() -> None:
    world = opened()
    (leave,) = world.decide(make_reduce())
    tells(world, ANOTHER)
    mark = len(world.steps.calls)
    assert world.execute(leave.order_id).result == "waiting"
    assert not world.steps.since(mark, "venue.submit")
    assert [incident.subject for incident in world.incidents()] == ["checking"]


REQUESTS: dict[str, dict[str, Any]] = {
    "rebase": {"whole": True, "reason": "x", "author": "ada"},
    "same_venue": {"reason": "x", "author": "ada"},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_r26_a_person_takes_nothing_from_another_account(name: str) -> None:
    world = opened()
    if name == "same_venue":
        identity = world.account.identity
        assert identity is not None
        moved = identity.model_copy(update={"hosts": ("old.example",)})
        world.ledger.save_account(world.account.bumped(identity=moved))
    tells(world, ANOTHER)
    before = world.account
    told = world.ask({"account": ACCOUNT, name: REQUESTS[name]})
    assert f"is about {OURS}" in told["problem"]
    assert world.account == before


def test_r26_with_a_key_of_another_account_nothing_is_said_of_an_order() -> None:
    world = opened()
    (leave,) = world.decide(make_reduce(limit_price="11000"))
    world.deliver()
    tells(world, ANOTHER)
    word = {"order": leave.order_id, "verdict": "cancelled", "reason": "gone", "author": "ada"}
    told = world.ask({"account": ACCOUNT, "resolve_order": word})
    assert f"is about {OURS}" in told["problem"]
    assert world.state(leave) is S.ACKNOWLEDGED


def test_r26_the_doctor_names_both_accounts() -> None:
    world = opened()
    tells(world, ANOTHER)
    told = world.ask({"account": ACCOUNT, "doctor": {"function": "reconciler"}})
    (found,) = [finding for finding in told["findings"] if finding["check"] == "balances"]
    assert (found["level"], ANOTHER in found["found"], OURS in found["found"]) == ("fail", True, True)


def test_r26_an_old_account_keeps_the_id_at_its_first_sight_tells_it_once_and_goes_on() -> None:
    world = opened(None)
    assert known(world) is None
    tells(world, OURS)
    world.advance(minutes=1)
    assert world.reconcile().clean
    assert known(world) == OURS
    for _ in range(3):
        world.advance(minutes=1)
        assert world.reconcile().clean
    (flow,) = world.ledger.flows(ACCOUNT, 10)
    assert (flow.kind, flow.amounts, OURS in flow.evidence) == (FlowKind.ADJUSTMENT, {}, True)
    assert (world.kinds(), world.account.stops) == ([], ())
    tells(world, ANOTHER)
    assert not world.reconcile().clean


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_r26_wherever_a_run_stops_the_id_is_told_once(fault: Fault) -> None:
    def first_sight() -> World:
        world = opened(None)
        tells(world, OURS)
        world.advance(minutes=1)
        return world

    for step, world in disturbed(first_sight, lambda world: world.reconcile(), fault):
        with blaming(step):
            tells(world, OURS)
            world.minutes(2)
            assert known(world) == OURS
            assert len(world.ledger.flows(ACCOUNT, 10)) == 1


def test_r26_a_venue_that_tells_no_id_for_once_stops_nothing() -> None:
    world = opened()
    tells(world, None)
    world.advance(minutes=1)
    assert world.reconcile().clean
    assert known(world) == OURS
