"""What a table that may have been restored asks before it claims."""

from datetime import datetime
from typing import Any

import pytest

from belay.domain.decisions import Side
from belay.domain.orders import Order
from belay.domain.restore import Precaution, is_doubtful, newest_of_ours, precaution
from tests.builders import NOW, make_claim, make_decision, make_order, make_sell, make_venue_order, seconds

EARLIER, LATER = NOW - seconds(1), NOW + seconds(1)
FORGOTTEN = "ab" * 16


def leaving() -> Order:
    return make_order(make_decision(make_sell()))


@pytest.mark.parametrize(("proven", "doubtful"), [(None, True), (LATER, True), (NOW, False), (EARLIER, False)])
def test_r28_an_id_whose_slot_closed_before_the_tables_first_proof_is_looked_up(
    proven: datetime | None, doubtful: bool
) -> None:
    assert is_doubtful(make_order(), proven) is doubtful


def test_r28_what_this_table_claimed_itself_is_in_no_doubt() -> None:
    assert not is_doubtful(make_claim(make_order()).order, None)


@pytest.mark.parametrize(
    ("order", "seen", "newest", "expected"),
    [
        (make_order(), None, None, Precaution.CLAIM),
        (make_order(), None, EARLIER, Precaution.CLAIM),
        (make_order(), None, NOW, Precaution.LAPSE),
        (make_order(), None, LATER, Precaution.LAPSE),
        (make_order(), make_venue_order(), None, Precaution.LAPSE),
        (leaving(), None, None, Precaution.CLAIM),
        (leaving(), None, NOW, Precaution.WAIT),
        (leaving(), make_venue_order(side=Side.SELL), None, Precaution.WAIT),
    ],
)
def test_r28_slots_not_later_than_the_newest_forgotten_order_lapse_or_wait(
    order: Order, seen: Any, newest: datetime | None, expected: Precaution
) -> None:
    assert precaution(order, seen, newest) is expected


def test_r28_only_orders_with_an_id_like_ours_that_this_table_does_not_know_count_as_forgotten() -> None:
    known = make_order().order_id
    shown = [
        make_venue_order(client_order_id=known, updated_at=LATER),
        make_venue_order(client_order_id="by-hand", updated_at=LATER),
        make_venue_order(client_order_id=None, updated_at=LATER),
        make_venue_order(client_order_id=FORGOTTEN, updated_at=EARLIER),
    ]
    assert newest_of_ours(shown, {known}) == EARLIER
    assert newest_of_ours(shown[:3], {known}) is None
