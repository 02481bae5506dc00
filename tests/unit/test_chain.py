"""The chain of an order's story: what was written holds together; what is replaced, taken out or put in is found."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.records import order_digest
from belay.domain.chain import History, Stored, flaw
from belay.domain.decisions import Trade
from belay.domain.orders import Order, OrderState, created_event, created_orders
from belay.domain.record import Record, digest
from belay.domain.transitions import note, record_fill
from tests.builders import ACCOUNT, NOW, make_buy, make_decision, make_slot, make_stamp, make_trade, seconds
from tests.contract.situations import claimed, observed, settled


def lived() -> tuple[InMemoryLedger, Order]:
    """An order that was claimed, seen, filled in two parts and released."""
    ledger = InMemoryLedger()
    order = claimed(ledger)
    change = observed(ledger, order)
    ledger.commit(change)
    for number, name in enumerate(("T1", "T2")):
        trade = make_trade(name, quantity="0.05", at=NOW + seconds(number))
        change = record_fill(change.order, ledger.account(ACCOUNT), trade, make_stamp(f"fill-{name}"))
        ledger.commit(change)
    return ledger, settled(ledger, change.order)


LEDGER, ORDER = lived()
WHOLE = LEDGER.history(ORDER)


def restored[R: Record](record: R) -> Stored[R]:
    """As it would be read after it was written over."""
    return Stored(record, digest(record.model_dump_json()))


def restored_order(order: Order) -> Stored[Order]:
    return Stored(order, order_digest(order.model_dump_json(), order.head))


def test_what_was_written_holds_together() -> None:
    assert flaw(WHOLE) == ""
    assert len(WHOLE.events) == ORDER.version + 1
    assert len(WHOLE.fills) == 2


def test_an_order_holds_together_at_every_step() -> None:
    ledger = InMemoryLedger()
    order = claimed(ledger)
    assert flaw(ledger.history(order)) == ""
    for number in range(3):
        change = note(order, "remark", make_stamp(f"note-{number}"), {"number": number})
        ledger.commit(change)
        order = change.order
        assert flaw(ledger.history(order)) == ""


def changed_event(number: int, **changes: Any) -> Callable[[History], History]:
    def change(history: History) -> History:
        events = list(history.events)
        events[number] = restored(events[number].record.model_copy(update=changes))
        return history._replace(events=tuple(events))

    return change


def changed_fill(**changes: Any) -> Callable[[History], History]:
    def change(history: History) -> History:
        first, *others = history.fills
        return history._replace(fills=(restored(first.record.model_copy(update=changes)), *others))

    return change


def changed_order(**changes: Any) -> Callable[[History], History]:
    def change(history: History) -> History:
        assert history.order is not None
        return history._replace(order=restored_order(history.order.record.model_copy(update=changes)))

    return change


def changed_decision(**changes: Any) -> Callable[[History], History]:
    def change(history: History) -> History:
        assert history.decision is not None
        return history._replace(decision=restored(history.decision.record.model_copy(update=changes)))

    return change


TAMPERED: dict[str, tuple[Callable[[History], History], str]] = {
    "an event in the middle": (changed_event(1, detail={}), "event 2 does not go on from"),
    "the last event": (changed_event(-1, cause="never mind"), "not as its event 5 left it"),
    "a fill": (changed_fill(recorded_at=NOW - seconds(60)), "does not go on from"),
    "the order": (changed_order(settled=False), "not as its event 5 left it"),
    "the order's state": (changed_order(state=OrderState.CREATED), "not as its event 5 left it"),
    "the order's size": (changed_order(quantity=Decimal(7)), "its quantity is not what its decision asked for"),
    "the order's strategy": (changed_order(strategy="other"), "its strategy is not what its decision asked for"),
    "the order's sums": (changed_order(filled_quantity=Decimal(0)), "not as its event 5 left it"),
    "the order's version": (changed_order(version=0), "it is at version 0, its events are"),
    "the order's head": (changed_order(head="0" * 32), "not as its event 5 left it"),
    "the decision": (changed_decision(parameters={}), "event 0 does not go on from"),
    "the decision's leg": (
        changed_decision(decision=Trade(legs=(make_buy(quantity="7"),))),
        "its quantity is not what its decision asked for",
    ),
    "the decision's ids": (changed_decision(order_ids=()), "its decision does not name it"),
    "the decision's slot": (changed_decision(slot=make_slot(1)), "ids of its decision are not those"),
    "no order": (lambda history: history._replace(order=None), "the ledger has no such order"),
    "no decision": (lambda history: history._replace(decision=None), "is not in the ledger"),
    "no event": (lambda history: history._replace(events=()), "its events are []"),
    "an event less": (lambda history: history._replace(events=history.events[:-1]), "its events are [0, 1, 2, 3, 4]"),
    "a fill less": (lambda history: history._replace(fills=history.fills[1:]), "does not go on from"),
    "no anchor": (lambda history: history._replace(anchor=None), "is not what its decision asked for"),
    "another order beside the account": (
        lambda history: history._replace(
            anchor=history.anchor and history.anchor.model_copy(update={"order_digest": "0" * 32})
        ),
        "it is not the order that is known beside the account",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_written_over_taken_out_or_put_in_is_found(what: str) -> None:
    change, found = TAMPERED[what]
    assert found in flaw(change(WHOLE))


def test_a_fill_that_no_event_counts_is_found() -> None:
    loose = restored(WHOLE.fills[0].record.model_copy(update={"trade": make_trade("T9"), "previous": ORDER.head}))
    assert "fill" in flaw(WHOLE._replace(fills=(*WHOLE.fills, loose)))
    assert "is counted by no event" in flaw(WHOLE._replace(fills=(*WHOLE.fills, loose)))


def test_a_story_that_was_written_anew_from_end_to_end_is_found_beside_the_account() -> None:
    """Whoever may write decisions, orders, events and fills can make a whole story, but not its anchor."""
    ledger = InMemoryLedger()
    forged = claimed(ledger, write_id="forged")
    history = ledger.history(forged)
    assert flaw(history) == ""
    assert "beside the account version" in flaw(history._replace(anchor=WHOLE.anchor))


def test_an_order_taken_back_to_its_beginning_is_found_beside_the_account() -> None:
    """The attack that would have it sent a second time."""
    assert WHOLE.decision is not None
    (created,) = created_orders(WHOLE.decision.record, ORDER.expires_at, ORDER.assumed_cost)
    first = WHOLE.events[0]
    assert created_event(created, WHOLE.decision.record) == first.record
    young = WHOLE._replace(order=restored_order(created), events=(first,), fills=())
    assert flaw(young) == "it is at version 0, beside the account version 5 of it is known"
    assert flaw(young._replace(anchor=None)) == ""


def test_a_forged_decision_under_another_slots_ids_is_found() -> None:
    order = make_decision(slot=make_slot(3)).order_ids[0]
    assert order is not None
    forged = make_decision(order_ids=(order,))
    ledger = InMemoryLedger()
    assert "ids of its decision" in flaw(ledger.history(claimed(ledger, forged)))


@given(
    st.integers(0, len(WHOLE.events) + len(WHOLE.fills) + 1),
    st.integers(0, 2**31),
    st.sampled_from("0123456789abcdefZ ,"),
)
def test_no_single_character_of_a_story_can_be_changed_unnoticed(part: int, at: int, to: str) -> None:
    """The texts as they are stored; those that no longer are a record cannot be read at all."""
    assert WHOLE.order is not None
    assert WHOLE.decision is not None
    stored: list[Stored[Any]] = [*WHOLE.events, *WHOLE.fills, WHOLE.order, WHOLE.decision]
    target = stored[part]
    text = target.record.model_dump_json()
    at %= len(text)
    altered = text[:at] + to + text[at + 1 :]
    if altered == text:
        return
    try:
        record = type(target.record).model_validate_json(altered)
    except ValueError:
        return
    is_order = isinstance(record, Order)
    stored[part] = Stored(record, order_digest(altered, record.head) if is_order else digest(altered))
    count = len(WHOLE.events)
    history = WHOLE._replace(
        events=tuple(stored[:count]), fills=tuple(stored[count:-2]), order=stored[-2], decision=stored[-1]
    )
    assert flaw(history)
