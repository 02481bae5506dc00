"""Keys that are made of parts: two facts never share one, whatever a venue puts into its ids."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from belay.adapters.records import trade_position
from belay.domain.adoption import CLIENT_ORDER_ID, adoption_id
from belay.domain.incidents import IncidentKind
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order
from belay.domain.reconciliation import Mismatch
from belay.domain.record import joined, parted
from belay.domain.slots import TIMEFRAMES, Slot
from tests.builders import NOW, SYMBOL, make_incident, make_order, make_slot, make_trade

# Few signs, so that separators, escapes and what looks like them meet often.
PART = st.text("ab|%#:.27C5E", max_size=6)
PARTS = st.lists(PART, min_size=1, max_size=4).map(tuple)


@pytest.mark.parametrize("by", ["|", "#", ":", "."])
@given(one=PARTS, other=PARTS)
def test_different_parts_give_different_keys(by: str, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (joined(*one, by=by) == joined(*other, by=by)) == (one == other)
    assert parted(joined(*one, by=by), by) == one


def test_ordinary_parts_stand_in_a_key_as_they_are() -> None:
    assert make_trade("T-1:2/3#4", venue_order_id="0x1f.a_b").key == "paper|BTC/USD|0x1f.a_b|buy|T-1:2/3#4"


TRADE = st.fixed_dictionaries({"venue": PART, "venue_order_id": PART, "trade_id": PART})


@given(one=TRADE, other=TRADE)
@example(
    one={"venue": "v", "venue_order_id": "1", "trade_id": "2|buy|3"},
    other={"venue": "v", "venue_order_id": "1|buy|2", "trade_id": "3"},
)
def test_two_trades_never_share_a_key_or_a_position(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = make_trade(**one), make_trade(**other)
    assert (first.key == second.key) == (one == other)
    assert (trade_position(first) == trade_position(second)) == (one == other)


FACT = st.tuples(st.sampled_from(IncidentKind), PART)


@given(one=FACT, other=FACT)
def test_two_facts_never_share_an_incident(one: tuple[IncidentKind, str], other: tuple[IncidentKind, str]) -> None:
    def opened(kind: IncidentKind, subject: str) -> str:
        return make_incident(kind=kind, subject=subject).incident_id

    assert (opened(*one) == opened(*other)) == (one == other)


@given(kind=st.sampled_from(IncidentKind), subject=PART)
def test_the_kind_of_a_mismatch_can_be_told_from_its_key(kind: IncidentKind, subject: str) -> None:
    mismatch = Mismatch(kind=kind, subject=subject, symbol=None, expected="", actual="", action="")
    assert mismatch.key == mismatch.incident("paper", NOW).incident_id
    assert mismatch.key.partition(":")[0] == kind


NAME = st.sampled_from(["a", "a-b", "manual", "adopted"])
SLOT = st.builds(
    lambda **parts: make_slot(**parts).decision_id,
    stage=NAME,
    account=NAME,
    strategy=NAME,
    symbol=st.sampled_from(["BTC/USD", "A/B"]),
    timeframe=st.sampled_from(sorted(TIMEFRAMES)),
)
MANUAL = st.builds(
    lambda stage, account, order_id: manual(account, order_id).decision_id(stage),
    NAME,
    NAME,
    st.sampled_from(["0" * 32, "1" * 32]),
)
ADOPTED = st.builds(
    adoption_id, NAME, NAME, NAME, st.sampled_from(["BTC/USD", "A/B"]), st.from_regex(CLIENT_ORDER_ID, fullmatch=True)
)


def manual(account: str, order_id: str) -> ManualOrder:
    return ManualOrder(order_id=order_id, account=account, symbol=SYMBOL, side="buy", quantity="1")


@given(slot=SLOT, manual=MANUAL, adopted=ADOPTED)
def test_decisions_of_strategies_persons_and_adoptions_never_share_an_id(slot: str, manual: str, adopted: str) -> None:
    assert len({slot, manual, adopted}) == 3


@given(one=st.tuples(NAME, NAME, NAME), other=st.tuples(NAME, NAME, NAME))
def test_slots_of_different_stages_accounts_or_strategies_never_share_an_id(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    def slot(stage: str, account: str, strategy: str) -> Slot:
        return make_slot(stage=stage, account=account, strategy=strategy)

    assert (slot(*one).decision_id == slot(*other).decision_id) == (one == other)
    assert (slot(*one).schedule_id == slot(*other).schedule_id) == (one[2] == other[2])


ORDER = st.tuples(NAME, st.sampled_from(["A/B", "AB/C", "A/BC"]), st.booleans())


@given(one=ORDER, other=ORDER)
def test_orders_queue_together_exactly_if_account_symbol_and_direction_are_the_same(
    one: tuple[str, str, bool], other: tuple[str, str, bool]
) -> None:
    def order(account: str, symbol: str, reducing: bool) -> Order:
        return make_order(account=account, symbol=symbol, reducing=reducing)

    assert (order(*one).message_group == order(*other).message_group) == (one == other)
