"""A decision that changes the account with it, as an adopted order does: all of it in every ledger, or nothing."""

from typing import Any

import pytest

from belay.adapters.aws.ledger import DynamoLedger
from belay.domain.account import OperatorStops, StopLevel
from belay.domain.adoption import Takeover, Terms, take_over
from belay.domain.decisions import DecisionRecord
from belay.domain.errors import Conflict
from belay.domain.transitions import record_fill
from belay.ports import Ledger
from tests.builders import (
    ACCOUNT,
    NOW,
    PRICE,
    STRATEGY,
    SYMBOL,
    make_stamp,
    make_stop,
    make_trade,
    make_venue_order,
    seconds,
)
from tests.contract.conftest import TABLES
from tests.contract.situations import claimed, observed, together
from tests.contract.test_dynamodb_failures import SentTwice


def opened(ledger: Ledger) -> None:
    stopped = ledger.account(ACCOUNT).with_stop(make_stop(level=StopLevel.REDUCE_ONLY))
    ledger.save_account(stopped)


def taking(ledger: Ledger, name: str = "cron-17", write_id: str = "write-1", venue_order_id: str = "V1") -> Takeover:
    terms = Terms(
        stage="dev",
        strategy=STRATEGY,
        author="ann",
        at=NOW,
        cost_rate=0,
        configuration_version=1,
        layer_version="layer:1",
    )
    seen = make_venue_order(client_order_id=name, venue_order_id=venue_order_id, limit_price=PRICE)
    stops = OperatorStops(account=ACCOUNT)
    return take_over(seen, PRICE, ledger.account(ACCOUNT), stops, terms, make_stamp(write_id))


def store(ledger: Ledger, taken: Takeover) -> DecisionRecord:
    return ledger.record_decision(taken.record, (taken.order,), (taken.event,), taken.account)


def test_an_adopted_order_is_stored_with_its_decision_its_venue_order_and_its_reservation(ledger: Ledger) -> None:
    opened(ledger)
    taken = taking(ledger)
    assert store(ledger, taken) == taken.record
    assert ledger.order("cron-17") == taken.order
    assert ledger.account(ACCOUNT) == taken.account
    assert ledger.order_of_venue_id(ACCOUNT, SYMBOL, "V1") == "cron-17"
    assert ledger.open_orders(ACCOUNT) == (taken.order,)
    story = ledger.story(taken.record.decision_id)
    assert story is not None
    assert (story.orders, story.events) == ((taken.order,), (taken.event,))


def test_nothing_is_stored_when_the_account_has_moved_on(ledger: Ledger) -> None:
    opened(ledger)
    taken = taking(ledger)
    moved = ledger.account(ACCOUNT).bumped()
    ledger.save_account(moved)
    with pytest.raises(Conflict) as lost:
        store(ledger, taken)
    assert lost.value.what == "account"
    assert ledger.order("cron-17") is None
    assert ledger.decision(taken.record.decision_id) is None
    assert ledger.account(ACCOUNT) == moved


def test_who_adopts_second_gets_the_first_decision_and_changes_nothing(ledger: Ledger) -> None:
    opened(ledger)
    first, second = taking(ledger), taking(ledger, write_id="write-2")
    store(ledger, first)
    assert store(ledger, second) == first.record
    assert ledger.account(ACCOUNT) == first.account


def test_a_venue_order_that_has_an_owner_is_not_adopted(ledger: Ledger) -> None:
    order = claimed(ledger)
    ledger.commit(observed(ledger, order))
    opened(ledger)
    before = ledger.account(ACCOUNT)
    with pytest.raises(Conflict) as lost:
        store(ledger, taking(ledger))
    assert lost.value.what == "venue order"
    assert ledger.order("cron-17") is None
    assert ledger.account(ACCOUNT) == before


def test_several_orders_adopted_in_one_minute_are_all_listed(ledger: Ledger) -> None:
    opened(ledger)
    for number in range(3):
        store(ledger, taking(ledger, f"cron-{number}", f"write-{number}", f"V{number}"))
    listed = [record.order_ids for record in ledger.decisions(ACCOUNT, STRATEGY, 9)]
    assert sorted(listed) == [("cron-0",), ("cron-1",), ("cron-2",)]
    assert len(ledger.account(ACCOUNT).reservations) == 3


def test_an_adopted_order_takes_fills_like_any_other(ledger: Ledger) -> None:
    opened(ledger)
    store(ledger, taking(ledger))
    order = ledger.order("cron-17")
    assert order is not None
    trade = make_trade(at=NOW + seconds(9))
    ledger.commit(record_fill(order, ledger.account(ACCOUNT), trade, make_stamp("fill")))
    assert [fill.order_id for fill in ledger.fills(ACCOUNT, 9)] == ["cron-17"]
    assert ledger.account(ACCOUNT).reservations["cron-17"].quantity == 0


def test_of_twenty_threads_that_adopt_one_order_all_see_the_one_that_won(ledger: Ledger) -> None:
    opened(ledger)
    winners = set(together(lambda number: store(ledger, taking(ledger, write_id=f"thread-{number}")).write_id))
    (order,) = ledger.open_orders(ACCOUNT)
    assert winners == {order.write_id}


def test_an_adoption_whose_answer_was_lost_is_known_to_be_stored(dynamodb: Any) -> None:
    client: Any = SentTwice(dynamodb)
    ledger = DynamoLedger(client, TABLES)
    opened(ledger)
    taken = taking(ledger)
    assert store(ledger, taken) == taken.record
    assert ledger.account(ACCOUNT) == taken.account
