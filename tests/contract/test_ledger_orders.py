"""Changes to orders in every ledger: written whole or not at all, refused when what was read has moved."""

from decimal import Decimal
from typing import Any

import pytest

from belay.adapters.aws.ledger import DynamoLedger
from belay.domain.errors import Conflict
from belay.domain.orders import Order, OrderState
from belay.domain.record import Record
from belay.domain.transitions import Change, deny, lapse, note
from belay.domain.venues import VenueStatus
from belay.ports import Ledger
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    QUANTITY,
    SYMBOL,
    make_buy,
    make_claim,
    make_configuration,
    make_decision,
    make_order,
    make_proof,
    make_requirement,
    make_slot,
    make_stamp,
    make_stop,
    make_trade,
    make_venue_order,
    seconds,
)
from tests.contract.conftest import TABLES
from tests.contract.situations import claimed, configured, decided, filled, observed, settled, together


class Picture(Record):
    """Everything that a change to the sample account's orders could touch, as text."""

    parts: tuple[str, ...]


def picture(ledger: Ledger) -> Picture:
    orders = ledger.orders(ACCOUNT, 100)
    stories = [ledger.story(order.decision_id) for order in orders]
    records = [*orders, *ledger.open_orders(ACCOUNT), *ledger.fills(ACCOUNT, 100), ledger.account(ACCOUNT)]
    records += [*ledger.unattributed_trades(ACCOUNT), *(story for story in stories if story)]
    return Picture(parts=tuple(record.model_dump_json() for record in records))


def assert_refused(ledger: Ledger, change: Change, what: str) -> None:
    """The change loses because of `what`, and leaves no trace."""
    before = picture(ledger)
    with pytest.raises(Conflict) as lost:
        ledger.commit(change)
    assert lost.value.what == what
    assert picture(ledger) == before


# --- claims ---------------------------------------------------------------------------------------


def test_a_claim_moves_the_order_and_reserves_in_the_account(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    change = make_claim(order)
    ledger.commit(change)
    assert ledger.order(order.order_id) == change.order
    assert change.order.state is OrderState.SUBMITTED
    account = ledger.account(ACCOUNT)
    assert account == change.account
    assert account.version == 1
    assert account.reservations[order.order_id].quantity == QUANTITY


def test_of_twenty_threads_that_claim_an_order_at_once_exactly_one_wins(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)

    def claim(number: int) -> str | None:
        try:
            ledger.commit(make_claim(order, write_id=f"thread-{number}"))
        except Conflict:
            return None
        return f"thread-{number}"

    (winner,) = [won for won in together(claim) if won]
    stored = ledger.order(order.order_id)
    assert stored is not None
    assert stored.attempt is not None
    assert stored.attempt.attempt_id == winner
    assert ledger.account(ACCOUNT).version == 1
    story = ledger.story(order.decision_id)
    assert story is not None
    assert [event.cause for event in story.events] == ["decided", "claimed"]


def test_a_claim_from_an_order_that_has_moved_is_refused(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.commit(note(order, "noted", make_stamp("someone-else"), {}))
    assert_refused(ledger, make_claim(order), "order")


def test_a_claim_of_an_order_that_does_not_exist_is_refused(ledger: Ledger) -> None:
    configured(ledger)
    assert_refused(ledger, make_claim(make_order()), "order")


def test_a_claim_from_an_account_that_has_moved_is_refused(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    read = ledger.account(ACCOUNT)
    ledger.save_account(read.with_stop(make_stop()))
    assert_refused(ledger, make_claim(order, read), "account")
    ledger.commit(make_claim(order, ledger.account(ACCOUNT)))


def test_two_claims_from_the_same_reading_of_the_account_exclude_each_other(ledger: Ledger) -> None:
    configured(ledger)
    first = decided(ledger)
    second = decided(ledger, make_decision(slot=make_slot(1)))
    read = ledger.account(ACCOUNT)
    ledger.commit(make_claim(first, read, write_id="a"))
    assert_refused(ledger, make_claim(second, read, write_id="b"), "account")


def test_a_claim_checked_against_limits_that_were_replaced_is_refused(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.store_configuration(make_configuration(2))
    assert_refused(ledger, make_claim(order), "configuration")


def test_a_claim_in_an_account_without_a_document_is_refused(ledger: Ledger) -> None:
    order = decided(ledger)
    assert_refused(ledger, make_claim(order), "configuration")


def test_a_claim_that_needs_a_proof_is_refused_without_one(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    needed = make_requirement(proof_fingerprint=FINGERPRINT, proof_completed_at=NOW)
    assert_refused(ledger, make_claim(order, requirement=needed), "proof")


def test_a_claim_is_refused_when_only_another_deployment_has_a_proof(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.store_proof(make_proof(fingerprint="another"))
    needed = make_requirement(proof_fingerprint=FINGERPRINT, proof_completed_at=NOW)
    assert_refused(ledger, make_claim(order, requirement=needed), "proof")


def test_a_claim_is_refused_when_the_proof_is_older_than_the_one_that_was_checked(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.store_proof(make_proof(completed_at=NOW))
    needed = make_requirement(proof_fingerprint=FINGERPRINT, proof_completed_at=NOW + seconds(1))
    assert_refused(ledger, make_claim(order, requirement=needed), "proof")


@pytest.mark.parametrize("later", [0, 60])
def test_a_claim_accepts_the_proof_that_was_checked_or_a_newer_one(ledger: Ledger, later: int) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.store_proof(make_proof(completed_at=NOW + seconds(later)))
    needed = make_requirement(proof_fingerprint=FINGERPRINT, proof_completed_at=NOW)
    ledger.commit(make_claim(order, requirement=needed))


# --- repeated writes ------------------------------------------------------------------------------


def test_a_change_that_is_written_again_by_its_own_writer_succeeds(ledger: Ledger) -> None:
    configured(ledger)
    change = make_claim(decided(ledger))
    ledger.commit(change)
    once = picture(ledger)
    ledger.commit(change)
    assert picture(ledger) == once


def test_a_change_that_is_written_again_after_someone_else_went_on_succeeds_and_changes_nothing(
    ledger: Ledger,
) -> None:
    configured(ledger)
    change = make_claim(decided(ledger))
    ledger.commit(change)
    ledger.commit(note(change.order, "noted", make_stamp("someone-else"), {}))
    after = picture(ledger)
    ledger.commit(change)
    assert picture(ledger) == after


def test_a_fill_that_is_written_again_by_its_own_writer_is_counted_once(ledger: Ledger) -> None:
    change = filled(ledger)
    ledger.commit(change)
    ledger.commit(change)
    assert ledger.account(ACCOUNT).symbol_quantity(SYMBOL) == QUANTITY
    assert len(ledger.fills(ACCOUNT, 10)) == 1


# --- listings -------------------------------------------------------------------------------------


def test_orders_are_listed_by_creation_newest_first_up_to_the_limit(ledger: Ledger) -> None:
    orders = [decided(ledger, make_decision(slot=make_slot(hour))) for hour in (2, 1, 3)]
    decided(ledger, make_decision(slot=make_slot(4, account="other")))
    assert ledger.orders(ACCOUNT, 2) == (orders[2], orders[0])
    assert ledger.orders(ACCOUNT, 10) == (orders[2], orders[0], orders[1])


def test_an_order_is_listed_as_open_until_it_is_settled(ledger: Ledger) -> None:
    denied, lapsed, working = (decided(ledger, make_decision(slot=make_slot(hour))) for hour in range(3))
    assert ledger.open_orders(ACCOUNT) == (denied, lapsed, working)
    ledger.commit(deny(denied, "max_order_notional", make_stamp("a"), {}))
    ledger.commit(lapse(lapsed, make_stamp("b"), "expired", asked_for=False))
    assert ledger.open_orders(ACCOUNT) == (working,)
    assert ledger.open_orders("other") == ()


def test_a_settled_order_that_fills_after_all_is_open_again(ledger: Ledger) -> None:
    order = claimed(ledger)
    cancelled = observed(ledger, order, make_venue_order(order, status=VenueStatus.CANCELLED))
    ledger.commit(cancelled)
    order = settled(ledger, cancelled.order)
    assert ledger.open_orders(ACCOUNT) == ()
    change = filled(ledger, order=order)
    ledger.commit(change)
    assert ledger.open_orders(ACCOUNT) == (change.order,)


def test_listings_of_more_than_a_megabyte_are_complete(ledger: Ledger) -> None:
    reason = "x" * 200_000
    for hour in range(8):
        decided(ledger, make_decision(slot=make_slot(hour), write_id=reason))
    assert len(ledger.open_orders(ACCOUNT)) == 8
    assert len(ledger.orders(ACCOUNT, 8)) == 8
    assert len(ledger.orders(ACCOUNT, 7)) == 7


# --- fills ----------------------------------------------------------------------------------------


def test_a_fill_changes_order_position_flows_and_reservation_together(ledger: Ledger) -> None:
    change = filled(ledger, make_trade(quantity="0.04"))
    ledger.commit(change)
    (fill,) = ledger.fills(ACCOUNT, 10)
    assert fill == change.fill
    order = ledger.order(fill.order_id)
    assert order is not None
    assert (order.state, order.filled_quantity) == (OrderState.PARTIALLY_FILLED, Decimal("0.04"))
    account = ledger.account(ACCOUNT)
    assert account.symbol_quantity(SYMBOL) == Decimal("0.04")
    assert account.traded == {"BTC": Decimal("0.04"), "USD": Decimal(-401)}
    assert account.reservations[order.order_id].quantity == Decimal("0.06")


def test_the_same_trade_is_refused_a_second_time(ledger: Ledger) -> None:
    change = filled(ledger, make_trade(quantity="0.04"))
    ledger.commit(change)
    assert_refused(ledger, filled(ledger, make_trade(quantity="0.04"), change.order, "someone-else"), "fill")


def test_trades_with_the_same_id_in_two_symbols_are_two_fills(ledger: Ledger) -> None:
    bitcoin = claimed(ledger)
    ether = claimed(ledger, make_decision(make_buy(symbol="ETH/USD"), slot=make_slot(symbol="ETH/USD")), "claim-2")
    ledger.commit(filled(ledger, make_trade("T1"), bitcoin))
    ledger.commit(filled(ledger, make_trade("T1", symbol="ETH/USD"), ether))
    assert len(ledger.fills(ACCOUNT, 10)) == 2
    assert ledger.order_of_venue_id(ACCOUNT, SYMBOL, "V1") == bitcoin.order_id
    assert ledger.order_of_venue_id(ACCOUNT, "ETH/USD", "V1") == ether.order_id


def test_fills_are_listed_by_venue_time_newest_first_up_to_the_limit(ledger: Ledger) -> None:
    order = claimed(ledger)
    for number, at in enumerate([7, 5, 9]):
        trade = make_trade(f"T{number}", quantity="0.01", at=NOW + seconds(at))
        change = filled(ledger, trade, order)
        ledger.commit(change)
        order = change.order
    listed = [fill.trade.trade_id for fill in ledger.fills(ACCOUNT, 10)]
    assert listed == ["T2", "T0", "T1"]
    assert [fill.trade.trade_id for fill in ledger.fills(ACCOUNT, 2)] == ["T2", "T0"]
    assert ledger.fills("other", 10) == ()


def test_a_trade_that_was_counted_meanwhile_is_dropped_from_the_unattributed_ones(ledger: Ledger) -> None:
    ledger.store_unattributed(ACCOUNT, make_trade("T1"))
    ledger.store_unattributed(ACCOUNT, make_trade("T2"))
    for _ in range(2):
        ledger.drop_unattributed(ACCOUNT, make_trade("T1"))
    assert ledger.unattributed_trades(ACCOUNT) == (make_trade("T2"),)


# --- venue orders ---------------------------------------------------------------------------------


def test_a_venue_order_leads_to_its_order(ledger: Ledger) -> None:
    order = claimed(ledger)
    assert ledger.order_of_venue_id(ACCOUNT, SYMBOL, "V1") is None
    change = observed(ledger, order)
    ledger.commit(change)
    second = observed(ledger, change.order, make_venue_order(order, venue_order_id="V2"), "seen-2")
    ledger.commit(second)
    assert ledger.order_of_venue_id(ACCOUNT, SYMBOL, "V1") == order.order_id
    assert ledger.order_of_venue_id(ACCOUNT, SYMBOL, "V2") == order.order_id
    assert ledger.order_of_venue_id("other", SYMBOL, "V1") is None


def test_a_venue_order_never_belongs_to_two_orders(ledger: Ledger) -> None:
    first = claimed(ledger)
    second = claimed(ledger, make_decision(slot=make_slot(1)), "claim-2")
    ledger.commit(observed(ledger, first))
    assert_refused(ledger, observed(ledger, second, make_venue_order(second), "seen-2"), "venue order")


# --- what a log keeps -----------------------------------------------------------------------------


def test_every_order_that_was_stored_is_told_with_its_head_and_none_that_was_refused(dynamodb: Any) -> None:
    told: list[Order] = []
    ledger = DynamoLedger(dynamodb, TABLES, written=told.append)
    configured(ledger)
    order = decided(ledger)
    change = make_claim(order)
    ledger.commit(change)
    with pytest.raises(Conflict):
        ledger.commit(make_claim(order, write_id="too late"))
    assert [(one.version, one.head) for one in told] == [(0, order.head), (1, change.order.head)]
