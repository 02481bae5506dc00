"""This version beside a later one: it shows what the other wrote, stops and cancels for it, and does nothing else."""

import json
from typing import Any

import pytest

from belay.domain.account import StopLevel
from belay.domain.adoption import AdoptRequest
from belay.domain.decisions import Hold
from belay.domain.errors import InvalidInput
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.record import SCHEMA
from belay.ports import CancelRequest
from belay.workflows.adopt import adopt
from tests import later
from tests.builders import ACCOUNT, NOW, make_buy, make_stop
from tests.later import taken_over
from tests.world import World, make_reduce

S = OrderState


def ready(**world: Any) -> World:
    made = World(**world)
    made.open_gate()
    return made


def resting(world: World) -> Order:
    """A limit buy that was sent and lies open at the venue."""
    order = world.buy(limit_price="9000")
    world.deliver()
    assert world.state(order) is S.ACKNOWLEDGED
    return order


def documented(world: World, text: str, reads_from: int = 1) -> None:
    configuration = world.ledger.configuration(ACCOUNT)
    assert configuration is not None
    place = later.DOCUMENT._replace(key=(ACCOUNT, configuration.version))
    later.overwrite(world.ledger, place, text, reads_from)


def with_unknown_limit(world: World) -> None:
    configuration = world.ledger.configuration(ACCOUNT)
    assert configuration is not None
    body = json.loads(configuration.text)
    body["document"]["limits"]["max_loss"] = "100"
    documented(world, json.dumps(body))


# --- the executor ---------------------------------------------------------------------------------


def test_an_order_of_a_later_version_waits_and_nothing_is_written_of_it() -> None:
    world = ready()
    order = world.buy()
    text = taken_over(world.ledger, later.order_place(order), leverage="3")
    result = world.execute(order.order_id)
    assert (result.result, result.detail) == ("waiting", "the order is of a later version")
    assert later.text_of(world.ledger, later.order_place(order)) == text
    assert "venue.submit" not in world.steps.calls
    taken_over(world.ledger, later.order_place(order), reads_from=SCHEMA)
    assert world.execute(order.order_id).result == "waiting"  # its records: leverage is in no event


def test_an_order_that_only_a_later_version_can_read_waits() -> None:
    world = ready()
    order = world.buy()
    later.overwrite(world.ledger, later.order_place(order), '{"form":"another"}')
    assert world.execute(order.order_id).result == "waiting"
    assert "venue.submit" not in world.steps.calls
    with pytest.raises(InvalidInput, match="has no order"):
        world.execute("f" * 32)


@pytest.mark.parametrize(
    ("place_of", "named"),
    [
        (lambda _: later.STATE, "the state of account paper is of a later version"),
        (lambda _: later.DOCUMENT, "the document of account paper is of a later version"),
        (later.decision_place, "its decision is of a later version"),
    ],
    ids=("account", "document", "decision"),
)
@pytest.mark.parametrize("reducing", [False, True], ids=("entry", "exit"))
def test_an_order_waits_for_the_later_version_of_what_it_rests_on(place_of: Any, named: str, reducing: bool) -> None:
    world = ready()
    if reducing:
        assert world.holding() > 0
    (order,) = world.decide(make_reduce() if reducing else make_buy())
    taken_over(world.ledger, place_of(order))
    mark = len(world.steps.calls)
    result = world.execute(order.order_id)
    assert result.result == "waiting"
    assert named in result.detail
    assert "venue.submit" not in world.steps.since(mark)
    assert "ledger.commit" not in world.steps.since(mark)


def test_an_order_waits_while_the_operators_stops_are_of_a_later_version() -> None:
    world = ready()
    stops = world.ledger.operator_stops(ACCOUNT)
    world.ledger.save_operator_stops(stops.with_stop(make_stop(symbol="ETH/USD")))
    order = world.buy()
    taken_over(world.ledger, later.STOPS)
    result = world.execute(order.order_id)
    assert (result.result, result.detail) == ("waiting", "the operators' stops are of a later version")


@pytest.mark.parametrize("place", [later.STATE, later.DOCUMENT], ids=("state", "document"))
def test_an_order_waits_while_account_or_document_cannot_be_read(place: later.Place) -> None:
    world = ready()
    order = world.buy()
    later.overwrite(world.ledger, place, '{"form":"another"}')
    result = world.execute(order.order_id)
    assert result.result == "waiting"
    assert "cannot be read: it was written by a later version" in result.detail
    reconciled = world.reconcile()
    assert not reconciled.clean
    assert "cannot be read" in reconciled.reason


def test_an_entry_waits_for_an_unknown_field_of_the_document_and_an_exit_goes() -> None:
    world = ready()
    assert world.holding() > 0
    with_unknown_limit(world)
    world.advance(seconds=1)
    assert world.reconcile().clean
    entry, leaving = world.decide(make_buy(), make_reduce())[::-1]
    result = world.execute(entry.order_id)
    assert (result.result, result.detail) == ("waiting", "document")
    story = world.ledger.story(entry.decision_id)
    assert story is not None
    checked = [event.detail["limits"] for event in story.events if "limits" in event.detail][-1]
    (line,) = (line for line in checked if line["limit"] == "document")
    assert (line["value"], line["bound"]) == ("limits.max_loss", "known fields")
    assert world.execute(leaving.order_id).result == "submitted"


def test_a_stop_of_an_unknown_level_halts() -> None:
    world = ready()
    account = world.account.with_stop(make_stop(level=StopLevel.REDUCE_ONLY))
    world.ledger.save_account(account)
    later.overwrite(world.ledger, later.STATE, account.text.replace("reduce-only", "frozen"), 1)
    order = world.buy()
    result = world.execute(order.order_id)
    assert (result.result, result.detail) == ("denied", "stop")


# --- the reconciler -------------------------------------------------------------------------------


def test_an_order_of_a_later_version_is_left_alone_and_nothing_is_proven() -> None:
    world = ready()
    order = resting(world)
    text = taken_over(world.ledger, later.order_place(order))
    world.advance(minutes=30)
    mark = len(world.steps.calls)
    result = world.reconcile()
    assert not result.clean
    assert "of a later version" in result.reason
    assert order.order_id in result.reason
    assert "ledger.commit" not in world.steps.since(mark)
    assert later.text_of(world.ledger, later.order_place(order)) == text
    assert world.ledger.open_incidents(ACCOUNT) == ()


def test_a_cancel_is_repeated_for_an_order_of_a_later_version_without_an_event() -> None:
    world = ready()
    order = resting(world)
    text = taken_over(world.ledger, later.order_place(order))
    world.ledger.request_cancel(
        CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="asked", requested_at=NOW)
    )
    assert world.reconcile().cancels == 1
    assert "venue.cancel" in world.steps.calls
    assert later.text_of(world.ledger, later.order_place(order)) == text
    assert len(world.ledger.cancel_requests(ACCOUNT)) == 1


def test_an_account_of_a_later_version_is_neither_compared_nor_proven_and_its_cancels_go_on() -> None:
    world = ready()
    order = resting(world)
    text = taken_over(world.ledger, later.STATE)
    world.trade_by_hand()  # would be a mismatch
    world.ledger.request_cancel(
        CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="asked", requested_at=NOW)
    )
    for _ in range(3):
        world.advance(minutes=1)
        result = world.reconcile()
        assert (result.clean, result.cancels, result.repairs) == (False, 1, 0)
        assert "the state of account paper is of a later version" in result.reason
    assert later.text_of(world.ledger, later.STATE) == text
    assert world.ledger.open_incidents(ACCOUNT) == ()


def test_what_only_a_later_version_can_read_is_no_broken_record() -> None:
    world = ready()
    order = resting(world)
    later.overwrite(world.ledger, later.order_place(order), '{"form":"another"}')
    for _ in range(4):
        world.advance(minutes=1)
        result = world.reconcile()
        assert not result.clean
        assert "of a later version" in result.reason
    assert [i for i in world.ledger.open_incidents(ACCOUNT) if i.kind is IncidentKind.BROKEN_RECORD] == []
    assert world.account.stops == ()


def test_a_cursor_of_a_later_version_leaves_its_symbol_unread() -> None:
    world = ready()
    text = taken_over(world.ledger, later.CURSOR)
    world.advance(minutes=1)
    result = world.reconcile()
    assert not result.clean
    assert "the cursor of BTC/USD" in result.reason
    assert later.text_of(world.ledger, later.CURSOR) == text
    taken_over(world.ledger, later.CURSOR, reads_from=SCHEMA)
    world.advance(minutes=1)
    assert world.reconcile().clean


def test_records_with_unknown_fields_that_this_version_may_act_on_are_acted_on_and_keep_them() -> None:
    world = ready()
    taken_over(world.ledger, later.STATE, reads_from=SCHEMA, margin={"USD": "1.50"})
    order = world.buy()
    world.deliver()
    world.advance(minutes=1)
    assert world.reconcile().clean
    assert world.state(order) is S.FILLED
    assert later.text_of(world.ledger, later.STATE).endswith(',"margin":{"USD":"1.50"}}')


def deposited(world: World) -> str:
    """A deposit that counts; the id of its flow."""
    world.advance(seconds=1)
    world.move(USD="25")
    world.advance(minutes=1)
    assert world.reconcile().clean
    (flow,) = world.ledger.flows(ACCOUNT, 10)
    return flow.flow_id


def overwritten(world: World, flow_id: str, reads_from: int, **fields: Any) -> None:
    """A later version writes a flow and its line anew."""
    flows, lines = world.ledger._flows[ACCOUNT], world.ledger._flow_lines[ACCOUNT]
    text = json.dumps({**json.loads(flows.text(flow_id)), **fields})
    for drawer, key in ((flows, flow_id), (lines, next(iter(lines.keys())))):
        drawer.plant(key, text, reads_from)


@pytest.mark.parametrize("reads_from", [SCHEMA, later.LATER])
def test_r48_a_flow_of_a_kind_that_only_a_later_version_knows_counts_once_and_is_shown(reads_from: int) -> None:
    world = ready()
    flow_id = deposited(world)
    overwritten(world, flow_id, reads_from, kind="loan")
    world.move(USD="10")
    world.minutes(20)
    assert world.reconcile().clean
    assert world.account.external == {"USD": 35}
    assert world.kinds() == []
    kinds = {str(flow.kind): flow.kind.known for flow in world.ledger.flows(ACCOUNT, 10)}
    assert kinds == {"loan": False, "deposit": True}


def test_r48_a_flow_that_only_a_later_version_can_read_is_told_as_what_it_is() -> None:
    world = ready()
    flow_id = deposited(world)
    overwritten(world, flow_id, later.LATER, amounts="another form")
    world.move(USD="10")
    world.minutes(2)
    told = " ".join(f"{incident.actual}" for incident in world.incidents())
    assert f"flow {flow_id} of account {ACCOUNT}" in told
    assert "later version" in told


# --- adoption, evaluation -------------------------------------------------------------------------


def test_nothing_is_adopted_for_an_account_of_a_later_version() -> None:
    world = ready()
    taken_over(world.ledger, later.STATE)
    request = AdoptRequest.parse({"strategy": "ema-cross", "orders": ["hand"], "author": "ann"})
    with pytest.raises(InvalidInput, match="of a later version"):
        adopt(ACCOUNT, request, world.services())


def test_a_tick_on_an_account_of_a_later_version_is_a_hold() -> None:
    world = ready()
    taken_over(world.ledger, later.STATE)
    world.strategy.says = Hold(reason="quiet")
    record = world.tick()
    assert record.held is not None
    assert record.held.reason == "later_version"
    assert world.strategy.seen == []


def test_the_slot_that_a_later_version_decided_stays_decided() -> None:
    world = ready()
    order = world.buy()
    later.overwrite(world.ledger, later.decision_place(order), '{"form":"another"}')
    world.queue.intents.clear()
    with pytest.raises(InvalidInput, match="later version"):
        world.tick()
    assert world.queue.intents == []
