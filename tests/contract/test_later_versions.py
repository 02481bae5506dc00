"""What a later version wrote stays as it wrote it, in every ledger; stops, operators' stops and cancels go on."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.errors import Conflict, Unreadable, WrittenByLater
from belay.domain.orders import Order
from belay.domain.transitions import lapse
from belay.ports import CancelRequest, Cursor, Ledger, Suspicion
from tests import later
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    SYMBOL,
    make_account,
    make_claim,
    make_configuration,
    make_flow,
    make_incident,
    make_proof,
    make_requirement,
    make_stamp,
    make_stop,
    seconds,
)
from tests.contract.situations import decided
from tests.later import LATER, taken_over


def lapsed(order: Order) -> Any:
    return lapse(order, make_stamp(), "expired", False)


# --- nothing is written over it -------------------------------------------------------------------


def test_an_order_of_a_later_version_is_read_and_not_moved(ledger: Ledger) -> None:
    order = decided(ledger)
    text = taken_over(ledger, later.order_place(order), leverage="3")
    read = ledger.order(order.order_id)
    assert read is not None
    assert (read.text, read.reads_from, read.understood) == (text, LATER, False)
    assert [one.order_id for one in ledger.open_orders(ACCOUNT)] == [order.order_id]
    with pytest.raises(WrittenByLater, match="order was written by a later version"):
        ledger.commit(lapsed(order))
    assert later.text_of(ledger, later.order_place(order)) == text


def test_an_order_is_not_claimed_on_an_account_of_a_later_version(ledger: Ledger) -> None:
    order = decided(ledger)
    ledger.store_configuration(make_configuration())
    ledger.save_account(make_account().with_stop(make_stop()))
    ledger.store_proof(make_proof(account_version=1))
    account = ledger.account(ACCOUNT)
    text = taken_over(ledger, later.STATE)
    with pytest.raises(Conflict) as lost:
        ledger.commit(make_claim(order, account))
    assert lost.value.what == "account"
    assert later.text_of(ledger, later.STATE) == text


@pytest.mark.parametrize(("place", "what"), [(later.DOCUMENT, "configuration"), (later.PROOF, "proof")])
def test_no_claim_rests_on_a_record_of_a_later_version(ledger: Ledger, place: later.Place, what: str) -> None:
    order = decided(ledger)
    ledger.store_configuration(make_configuration())
    ledger.store_proof(make_proof())
    requirement = make_requirement(proof_fingerprint=FINGERPRINT, proof_completed_at=NOW)
    taken_over(ledger, place)
    with pytest.raises(Conflict) as lost:
        ledger.commit(make_claim(order, ledger.account(ACCOUNT), requirement=requirement))
    assert lost.value.what == what


WRITES: dict[str, tuple[Callable[[Ledger], Any], later.Place, Callable[[Ledger], Any]]] = {
    "configuration": (
        lambda ledger: ledger.store_configuration(make_configuration()),
        later.DOCUMENT,
        lambda ledger: ledger.store_configuration(make_configuration(version=2)),
    ),
    "proof": (
        lambda ledger: ledger.store_proof(make_proof()),
        later.PROOF,
        lambda ledger: ledger.store_proof(make_proof("run-2", completed_at=NOW + seconds(60))),
    ),
    "cursor": (
        lambda ledger: ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW)),
        later.CURSOR,
        lambda ledger: ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW + seconds(60))),
    ),
    "suspicion": (
        lambda ledger: ledger.store_suspicion(Suspicion(account=ACCOUNT, first_seen={})),
        later.SUSPICION,
        lambda ledger: ledger.store_suspicion(Suspicion(account=ACCOUNT, first_seen={"x": NOW})),
    ),
    "account": (
        lambda ledger: ledger.save_account(make_account().with_stop(make_stop())),
        later.STATE,
        lambda ledger: ledger.save_account(ledger.account(ACCOUNT).bumped(traded={"USD": Decimal(1)})),
    ),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_goes_over_what_this_version_wrote_and_not_over_a_later_ones(ledger: Ledger, what: str) -> None:
    first, place, again = WRITES[what]
    first(ledger)
    text = taken_over(ledger, place, since="0.2.0")
    with pytest.raises(WrittenByLater):
        again(ledger)
    assert later.text_of(ledger, place) == text
    assert later.reads_from_of(ledger, place) == LATER
    taken_over(ledger, place, reads_from=1)
    again(ledger)


def test_an_incident_of_a_later_version_is_neither_opened_anew_nor_resolved(ledger: Ledger) -> None:
    incident = make_incident()
    assert ledger.open_incident(incident)
    text = taken_over(ledger, later.incident_place(incident.incident_id), told=False)
    assert not ledger.open_incident(incident)
    assert not ledger.resolve_incident(ACCOUNT, incident.incident_id, "looked at it")
    assert later.text_of(ledger, later.incident_place(incident.incident_id)) == text


# --- what goes on ---------------------------------------------------------------------------------


def test_a_stop_on_an_account_of_a_later_version_keeps_its_fields_and_its_schema(ledger: Ledger) -> None:
    ledger.save_account(make_account().with_stop(make_stop(incident="a:b")))
    before = taken_over(ledger, later.STATE, margin={"USD": "1.50"})
    ledger.save_account(ledger.account(ACCOUNT).with_stop(make_stop(reason="second")))
    after = later.text_of(ledger, later.STATE)
    assert len(ledger.account(ACCOUNT).stops) == 2
    assert after.endswith(',"margin":{"USD":"1.50"}}')
    assert before.endswith(',"margin":{"USD":"1.50"}}')
    assert later.reads_from_of(ledger, later.STATE) == LATER
    lifted = ledger.account(ACCOUNT).without_stops(frozenset({"a:b"}))
    ledger.save_account(lifted)
    ledger.save_account(lifted)  # the response was lost
    assert [stop.reason for stop in ledger.account(ACCOUNT).stops] == ["second"]


def test_a_stop_and_something_else_at_once_is_refused(ledger: Ledger) -> None:
    ledger.save_account(make_account().with_stop(make_stop()))
    taken_over(ledger, later.STATE)
    account = ledger.account(ACCOUNT)
    with pytest.raises(WrittenByLater):
        ledger.save_account(account.with_stop(make_stop()).model_copy(update={"opening": {}}))
    ledger.save_account(account.with_stop(make_stop()))


def test_operators_stops_are_taken_over_those_of_a_later_version(ledger: Ledger) -> None:
    ledger.save_operator_stops(ledger.operator_stops(ACCOUNT).with_stop(make_stop()))
    taken_over(ledger, later.STOPS, until="noon")
    ledger.save_operator_stops(ledger.operator_stops(ACCOUNT).with_stop(make_stop(symbol=SYMBOL)))
    assert len(ledger.operator_stops(ACCOUNT).stops) == 2
    assert later.text_of(ledger, later.STOPS).endswith(',"until":"noon"}')
    assert later.reads_from_of(ledger, later.STOPS) == LATER


def test_a_cancel_is_taken_for_an_order_of_a_later_version(ledger: Ledger) -> None:
    order = decided(ledger)
    taken_over(ledger, later.order_place(order))
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="asked", requested_at=NOW)
    ledger.request_cancel(request)
    assert ledger.cancel_requests(ACCOUNT) == (request,)


def test_every_stored_record_says_which_schema_may_act_on_it(ledger: Ledger) -> None:
    order = decided(ledger)
    ledger.save_account(make_account().with_stop(make_stop()))
    ledger.store_configuration(make_configuration())
    ledger.commit(lapsed(order))
    places = (later.STATE, later.DOCUMENT, later.order_place(order), later.anchor_place(order))
    assert [later.reads_from_of(ledger, place) for place in places] == [1] * 4
    flow = make_flow()
    ledger.record_flow(flow, ledger.account(ACCOUNT).with_flow(flow))
    assert later.reads_from_of(ledger, later.STATE) == 2


# --- what cannot be read --------------------------------------------------------------------------


def test_an_order_that_only_a_later_version_can_read_is_told_from_a_broken_one(ledger: Ledger) -> None:
    order = decided(ledger)
    later.overwrite(ledger, later.order_place(order), '{"order":"in another form"}')
    assert ledger.order(order.order_id) is None
    assert ledger.is_later(order.order_id)
    assert ledger.open_orders(ACCOUNT) == ()
    assert any(order.order_id in key for key in ledger.later(ACCOUNT))
    assert ledger.unreadable(ACCOUNT) == ()
    assert not ledger.is_later("f" * 32)


def test_a_decision_that_only_a_later_version_can_read_keeps_its_slot(ledger: Ledger) -> None:
    order = decided(ledger)
    record = ledger.decision(order.decision_id)
    assert record is not None
    later.overwrite(ledger, later.decision_place(order), '{"decision":"in another form"}')
    assert ledger.decision(order.decision_id) is None
    assert ledger.is_later(order.decision_id)
    assert ledger.history(order).later
    with pytest.raises(WrittenByLater):
        ledger.record_decision(record, (), ())


@pytest.mark.parametrize(
    ("place", "read"),
    [
        (later.STATE, lambda ledger: ledger.account(ACCOUNT)),
        (later.DOCUMENT, lambda ledger: ledger.configuration(ACCOUNT)),
        (later.STOPS, lambda ledger: ledger.operator_stops(ACCOUNT)),
        (later.CURSOR, lambda ledger: ledger.cursor(ACCOUNT, SYMBOL)),
    ],
    ids=("state", "document", "stops", "cursor"),
)
def test_what_nothing_can_be_done_without_is_named(ledger: Ledger, place: later.Place, read: Any) -> None:
    ledger.store_configuration(make_configuration())
    ledger.save_account(make_account().with_stop(make_stop()))
    ledger.save_operator_stops(ledger.operator_stops(ACCOUNT).with_stop(make_stop()))
    ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW))
    read(ledger)
    later.overwrite(ledger, place, '{"form":"another"}')
    with pytest.raises(Unreadable, match="later version of Belay"):
        read(ledger)


def test_proof_and_suspicion_of_a_later_version_are_none(ledger: Ledger) -> None:
    ledger.store_proof(make_proof())
    ledger.store_suspicion(Suspicion(account=ACCOUNT, first_seen={"x": NOW}))
    assert ledger.proof(ACCOUNT, FINGERPRINT) is not None
    assert ledger.suspicion(ACCOUNT) is not None
    taken_over(ledger, later.PROOF)
    taken_over(ledger, later.SUSPICION)
    assert ledger.proof(ACCOUNT, FINGERPRINT) is None
    assert ledger.suspicion(ACCOUNT) is None


@pytest.mark.parametrize(
    "attribute", [{"S": "1"}, {"N": "0"}, {"N": "-3"}, {"N": "1.5"}, {"BOOL": False}, {"NULL": True}, {"L": []}]
)
def test_an_absurd_schema_is_a_later_one(dynamodb: Any, attribute: dict[str, Any]) -> None:
    from belay.adapters.aws.ledger import DynamoLedger
    from tests.contract.conftest import TABLES

    ledger = DynamoLedger(dynamodb, TABLES)
    order = decided(ledger)
    later.mark(ledger, later.order_place(order), attribute)
    read = ledger.order(order.order_id)
    assert read is not None
    assert not read.understood
    with pytest.raises(WrittenByLater):
        ledger.commit(lapsed(order))
