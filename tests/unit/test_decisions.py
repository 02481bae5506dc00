"""What a strategy may say: legs, holds, and the order ids of a decision."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from belay.domain.decisions import MAX_LEGS, Buy, Cancel, DecisionRecord, Hold, Reduce, Trade, leg_order_ids
from tests.builders import SYMBOL, make_buy, make_decision, make_hold, make_sell, make_slot

REDUCE = Reduce(symbol=SYMBOL, reason="out")
CANCEL = Cancel(order_id="0" * 32, reason="stale")


def test_reducing_legs_come_first_and_entries_last() -> None:
    """An exit must never wait for the entry of the same decision."""
    trade = Trade(legs=(make_buy(), CANCEL, make_sell(), make_buy(reason="more"), REDUCE))
    assert [leg.kind for leg in trade.legs] == ["sell", "reduce", "cancel", "buy", "buy"]
    assert [leg.reason for leg in trade.legs[-2:]] == ["fast crossed above slow", "more"]


def test_a_stored_decision_keeps_the_order_of_its_legs() -> None:
    record = make_decision(make_buy(), REDUCE)
    assert DecisionRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("size", [{}, {"quantity": "1", "notional": "100"}], ids=["none", "both"])
def test_a_buy_has_exactly_one_size(size: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give either quantity or notional"):
        Buy(symbol=SYMBOL, reason="in", **size)


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN", "Infinity"])
def test_a_size_is_a_positive_number(quantity: str) -> None:
    with pytest.raises(ValidationError):
        make_buy(quantity=quantity)
    with pytest.raises(ValidationError):
        make_sell(quantity=quantity)


def test_a_buy_by_notional_has_no_quantity_yet() -> None:
    assert make_buy(quantity=None, notional="100").notional == Decimal(100)


def test_a_trade_without_legs_is_refused() -> None:
    with pytest.raises(ValidationError):
        Trade(legs=())


def test_a_trade_has_no_more_legs_than_one_transaction_can_store() -> None:
    assert len(Trade(legs=(make_buy(),) * MAX_LEGS).legs) == MAX_LEGS
    with pytest.raises(ValidationError):
        Trade(legs=(make_buy(),) * (MAX_LEGS + 1))


def test_an_unknown_kind_of_leg_is_refused() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Trade).validate_python({"legs": [{"kind": "short", "symbol": SYMBOL, "reason": "x"}]})


def test_an_unknown_field_of_a_leg_is_refused() -> None:
    with pytest.raises(ValidationError):
        make_buy(leverage=3)


def test_a_cancel_gets_no_order_id_and_every_other_leg_its_own() -> None:
    legs = Trade(legs=(make_buy(), make_buy(), CANCEL, make_sell(), REDUCE)).legs
    ids = leg_order_ids(make_slot(), legs)
    assert [one is None for one in ids] == [False, False, True, False, False]
    assert len({one for one in ids if one}) == 4


def test_the_same_decision_of_the_same_slot_names_the_same_orders() -> None:
    """nautilus_trader #3176: orders created again at every restart."""
    assert make_decision().order_ids == make_decision().order_ids
    assert make_decision().order_ids != make_decision(slot=make_slot(1)).order_ids


def test_a_hold_has_no_legs_and_a_trade_is_no_hold() -> None:
    held, traded = make_hold(reason="late_tick"), make_decision()
    assert (held.trade_legs, held.held) == ((), Hold(reason="late_tick"))
    assert (len(traded.trade_legs), traded.held) == (1, None)
