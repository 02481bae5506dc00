"""Records as text: read strictly from people, tolerantly from a store, and written back as they were stored."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.domain.account import Account, StopLevel, strictest
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import InvalidInput
from belay.domain.incidents import Incident
from belay.domain.orders import Order, OrderState, require_legal
from belay.domain.record import SCHEMA, Record, digest, plain
from tests.builders import (
    make_account,
    make_configuration,
    make_document,
    make_incident,
    make_order,
    make_proof,
    make_reservation,
    make_stop,
)

RECORDS: tuple[Record, ...] = (
    make_account(
        positions={"ema-cross": {"BTC/USD": {"quantity": "0.10", "cost": "1E+3"}}},
        reservations={"r1": make_reservation("r1")},
        stops=(make_stop(), make_stop(symbol="BTC/USD")),
    ),
    make_configuration(),
    make_order(fees={"USD": "1.50"}),
    make_incident(),
    make_proof(),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8).filter(lambda text: text.isprintable()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner),
    max_leaves=4,
)
UNKNOWN = st.dictionaries(st.from_regex(r"later_[a-z]{1,6}", fullmatch=True), VALUES, max_size=2)


class Anything(Record):
    """Writes what pydantic writes."""

    value: Any


def written(value: Any) -> str:
    return Anything(value=value).model_dump_json().removeprefix('{"value":').removesuffix("}")


def extended(record: Any, dumped: Any, draw: Any) -> Any:
    """What was dumped of a record, with unknown fields at the end of every record within it."""
    if isinstance(record, Record):
        names = {field.alias or name: name for name, field in type(record).model_fields.items()}
        known = {key: extended(getattr(record, names[key]), part, draw) for key, part in dumped.items()}
        return {**known, **draw(UNKNOWN)}
    if isinstance(record, dict):
        return {key: extended(record[key], part, draw) for key, part in dumped.items()}
    if isinstance(record, tuple):
        return [extended(part, other, draw) for part, other in zip(record, dumped, strict=True)]
    return dumped


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_without_unknown_fields_is_stored_as_ever(record: Record) -> None:
    assert record.text == record.model_dump_json()
    assert type(record).stored(record.text) == record


@given(record=st.sampled_from(RECORDS), data=st.data())
def test_a_record_of_a_later_version_is_written_back_byte_for_byte(record: Record, data: st.DataObject) -> None:
    text = written(extended(record, record.model_dump(mode="json"), data.draw))
    read = type(record).stored(text)
    assert read.text == text
    assert read.digest == digest(text)
    assert bool(read.unknown_fields) == (text != record.text)


def test_unknown_fields_are_named_by_their_paths() -> None:
    body = json.loads(make_configuration().text)
    body["document"]["limits"]["max_loss"] = "3"
    body["document"]["region"] = None
    read = Configuration.stored(json.dumps(body))
    assert read.unknown_fields == ("document.limits.max_loss", "document.region")


def test_unknown_fields_and_the_schema_survive_a_change() -> None:
    text = make_order(head="").text[:-1] + ',"later":{"a":[1]}}'
    changed = Order.stored(text, 7).model_copy(update={"head": "abc"})
    assert changed.text == text.replace('"head":""', '"head":"abc"')
    assert changed.reads_from == 7
    assert changed.bare_digest == digest(text)


def test_a_record_says_whether_this_version_may_act_on_it() -> None:
    assert make_order().understood
    assert Order.stored(make_order().text, SCHEMA).understood
    assert not Order.stored(make_order().text, SCHEMA + 1).understood
    assert Order.stored(make_order().text, SCHEMA + 1) != make_order()


def test_what_a_person_hands_in_may_hold_no_unknown_field() -> None:
    text = make_document().text[:-1] + ',"region":"eu"}'
    with pytest.raises(InvalidInput) as refused:
        AccountDocument.parse(text)
    assert refused.value.field == "account.region"
    with pytest.raises(ValidationError):
        AccountDocument.model_validate_json(text)


# --- words ----------------------------------------------------------------------------------------


def test_a_stop_of_an_unknown_level_counts_as_halted_and_stays_as_it_was_written() -> None:
    text = make_account(stops=(make_stop(level=StopLevel.REDUCE_ONLY),)).text.replace("reduce-only", "frozen")
    account = Account.stored(text)
    level, _ = strictest((*account.stops, make_stop(level=StopLevel.REDUCE_ONLY)), "ema-cross", "BTC/USD")
    assert (level.value, level.rank, level.known) == ("frozen", StopLevel.HALTED.rank, False)
    assert account.text == text


def test_an_incident_of_an_unknown_kind_is_its_text() -> None:
    text = make_incident().text.replace("balance_mismatch", "loss_limit")
    incident = Incident.stored(text)
    assert incident.incident_id == "loss_limit:USD"
    assert incident.text == text


def test_an_order_in_an_unknown_state_is_not_understood_and_moves_nowhere() -> None:
    order = Order.stored(make_order().text.replace('"state":"CREATED"', '"state":"PARKED"'))
    assert not order.understood
    assert order.state.value == "PARKED"
    assert make_order().understood
    with pytest.raises(Exception, match="PARKED to SUBMITTED is not a transition"):
        require_legal(order, OrderState.SUBMITTED)


@pytest.mark.parametrize(
    ("number", "shown"), [("0.50000000", "0.5"), ("100000.00", "100000"), ("1E+5", "100000"), ("0.00001", "0.00001")]
)
def test_numbers_are_shown_plainly(number: str, shown: str) -> None:
    assert plain(Decimal(number)) == shown
