"""Account documents: what is accepted, and how a mistake is named."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from belay.cli.documents import read_document
from belay.domain.documents import MAX_DOCUMENT_BYTES, AccountDocument, Configuration, Limits
from belay.domain.errors import InvalidInput
from belay.domain.proofs import fingerprint
from tests.builders import make_configuration, make_document

DOCUMENT = json.loads(make_document().model_dump_json())


def parsed(**changes: Any) -> AccountDocument:
    return AccountDocument.parse(json.dumps({**DOCUMENT, **changes}))


def paper(**changes: Any) -> dict[str, Any]:
    return {"paper": {**DOCUMENT["paper"], **changes}}


def limits(**changes: Any) -> dict[str, Any]:
    return {"limits": {**DOCUMENT["limits"], **changes}}


def test_a_document_survives_being_stored() -> None:
    assert parsed() == make_document()


def test_no_limit_has_a_default() -> None:
    """Nothing has a plausible default: what is missing denies and names itself."""
    assert {name: value for name, value in Limits() if value} == {}


def test_numbers_are_read_as_they_are_written() -> None:
    text = json.dumps(DOCUMENT).replace('"max_order_notional": "2000"', '"max_order_notional": 0.1')
    assert AccountDocument.parse(text).limits.max_order_notional == Decimal("0.1")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_leverage": 3}, "max_leverage"),
        (limits(max_ordr_notional="1"), "limits"),
        (limits(max_order_notional="0"), "limits.max_order_notional"),
        (limits(max_order_notional="-1"), "limits.max_order_notional"),
        (limits(max_order_notional="NaN"), "limits.max_order_notional"),
        (limits(max_position_notional={"BTC/USD": "0"}), "limits.max_position_notional.BTC/USD"),
        (limits(submissions_per_minute=0), "limits.submissions_per_minute"),
        (limits(reserved_exit_submissions=-1), "limits.reserved_exit_submissions"),
        (limits(max_price_age_seconds=0.5), "limits.max_price_age_seconds"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["BTCUSD"]}, "symbols.0"),
        ({"mode": "test"}, "mode"),
        ({"account": "My account"}, "account"),
        ({"balance_tolerance": {"USD": "-1"}}, "balance_tolerance.USD"),
        (paper(taker_fee="1"), "paper.taker_fee"),
        (paper(quantity_step="0"), "paper.quantity_step"),
        (paper(balances={"USD": "-1"}), "paper.balances.USD"),
    ],
)
def test_a_mistake_in_a_document_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(**changes)
    assert refused.value.field.startswith(f"account.{field}")
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mode": "live"}, "paper settings belong to mode paper"),
        ({"paper": None}, "paper settings belong to mode paper"),
        ({"symbols": ["BTC/USD", "ETH/EUR"]}, "one quote currency"),
        (paper(replay=False), "either replay = true or the exchange"),
        (paper(exchange="kraken"), "either replay = true or the exchange"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parsed(**changes)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"account": NaN}'])
def test_text_that_is_no_document_is_one_clear_error(text: str) -> None:
    with pytest.raises(InvalidInput, match="account"):
        AccountDocument.parse(text)


def test_a_document_may_be_exactly_as_large_as_the_bound() -> None:
    text = json.dumps(DOCUMENT)
    AccountDocument.parse(text.ljust(MAX_DOCUMENT_BYTES))
    with pytest.raises(InvalidInput, match="larger than"):
        AccountDocument.parse(text.ljust(MAX_DOCUMENT_BYTES + 1))


def test_a_refused_value_is_not_repeated_since_it_may_be_a_secret() -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(executor_secret={"key": "hunter2"})
    assert refused.value.field == "account.executor_secret"
    assert "hunter2" not in str(refused.value)


PASTED = "hunter2SECRET"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"executor_secret": PASTED}, "executor_secret"),
        ({"reconciler_secret": PASTED}, "reconciler_secret"),
        (limits(**{PASTED: "1"}), "limits"),
        (limits(max_position_notional={PASTED: "1"}), "limits.max_position_notional"),
    ],
)
def test_a_key_that_was_pasted_for_a_name_is_refused_and_not_repeated(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(**changes)
    assert refused.value.field == f"account.{field}"
    assert PASTED not in str(refused.value)


def test_a_live_account_does_not_repeat_what_is_no_name_of_its_key() -> None:
    document = make_document(executor_secret=PASTED)
    with pytest.raises(InvalidInput, match="is not the name of a key under /belay/dev/executor/") as refused:
        document.require_trusted("dev")
    assert PASTED not in str(refused.value)


def test_a_mistyped_limit_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidInput, match="Did you mean max_order_notional"):
        parsed(**limits(max_ordr_notional="1"))


@pytest.mark.parametrize(
    ("symbols", "problem"),
    [
        (["BTC/USD", "USD/USD"], "account.symbols.1: USD/USD trades an asset for itself"),
        (["BTC/USD", "ETH/USD", "BTC/USD"], "account.symbols.2: BTC/USD is given twice"),
    ],
)
def test_a_symbol_that_cannot_be_meant_is_refused_by_its_place(symbols: list[str], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parsed(symbols=symbols)


@pytest.mark.parametrize("name", ["apiKey", "secret", "password", "privateKey", "APIKEY", "passphrase"])
def test_a_credential_among_the_options_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidInput, match="give the secret's name") as refused:
        parsed(options={name: "hunter2"})
    assert refused.value.field == "account.options"
    with pytest.raises(InvalidInput, match=rf"options\.options\.deeper\.0\.{name} is a credential") as refused:
        parsed(options={"options": {"deeper": [{name: "hunter2"}]}})
    assert "hunter2" not in str(refused.value)


def test_a_documents_assets_are_those_of_its_symbols() -> None:
    document = make_document(symbols=("BTC/USD", "ETH/USD"))
    assert (document.quote, document.assets) == ("USD", frozenset({"BTC", "ETH", "USD"}))


BEFORE = (make_configuration(), "layer:1", "table-1")


@pytest.mark.parametrize(
    "after",
    [
        (make_configuration(), "layer:2", "table-1"),
        (make_configuration(2), "layer:1", "table-1"),
        (make_configuration(venue="other"), "layer:1", "table-1"),
        (make_configuration(executor_secret="key"), "layer:1", "table-1"),
        (make_configuration(reconciler_secret="key"), "layer:1", "table-1"),
        (make_configuration(), "layer:1", "table-2"),
        (make_configuration(options={"timeout": 5000}), "layer:1", "table-1"),
        (make_configuration(symbols=("ETH/USD",)), "layer:1", "table-1"),
        (make_configuration(balance_tolerance={"USD": "1000000"}), "layer:1", "table-1"),
    ],
    ids=[
        *("deployment", "configuration", "venue", "executor's key", "reconciler's key", "restored table"),
        *("options under the same version", "symbols", "tolerance"),
    ],
)
def test_every_change_of_the_deployment_closes_the_gate(after: tuple[Configuration, str, str]) -> None:
    """Corpus 51 and 60: a deploy in the middle of an order, a table restored to an hour ago."""
    assert fingerprint(*BEFORE) == fingerprint(*BEFORE)
    assert fingerprint(*after) != fingerprint(*BEFORE)


def test_a_document_that_was_stored_and_read_again_leaves_the_gate_open() -> None:
    configuration, layer, table = BEFORE
    stored = Configuration.model_validate_json(configuration.model_dump_json())
    assert fingerprint(stored, layer, table) == fingerprint(*BEFORE)


# --- what is well-formed and cannot be meant (R47) -------------------------------------------------------------------


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        AccountDocument.parse(text)
    return caught.value


def test_r47_a_key_that_is_given_twice_is_refused_with_its_place() -> None:
    text = json.dumps(DOCUMENT).replace('"max_order_notional":', '"max_order_notional": "9", "max_order_notional":')
    assert (refused(text).field, refused(text).problem) == ("account.limits.max_order_notional", "is given twice")


def test_r47_a_key_given_twice_within_a_list_is_refused_with_its_place() -> None:
    text = json.dumps({**DOCUMENT, "options": {"urls": [{"mark": 1}]}}).replace('"mark": 1', '"a": 1, "a": 2')
    assert refused(text).field == "account.options.urls.0.a"


@pytest.mark.parametrize("name", ["taker_fee", "maker_fee"])
def test_r47_a_fee_in_percent_is_refused_with_how_to_write_it(name: str) -> None:
    error = refused(json.dumps({**DOCUMENT, **paper(**{name: "0.26"})}))
    assert (error.field, error.problem) == (f"account.paper.{name}", "0.26 is a fee of 26.00 %")
    assert "0.0026" in error.remedy


def test_r47_the_largest_fee_is_five_percent() -> None:
    parsed(**paper(taker_fee="0.05"))
    assert refused(json.dumps({**DOCUMENT, **paper(taker_fee="0.0501")})).field == "account.paper.taker_fee"


def test_r47_no_more_can_be_kept_for_exits_than_there_are_submissions() -> None:
    most = {"submissions_per_minute": 5}
    error = refused(json.dumps({**DOCUMENT, **limits(**most, reserved_exit_submissions=6)}))
    assert error.field == "account.limits.reserved_exit_submissions"
    parsed(**limits(**most, reserved_exit_submissions=5))


def test_r47_a_key_among_the_inner_options_is_refused_with_its_place() -> None:
    error = refused(json.dumps({**DOCUMENT, "options": {"options": {"apiKey": "hidden"}}}))
    assert "options.options.apiKey" in str(error)
    assert "hidden" not in str(error)


def test_r47_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert AccountDocument.parse("\ufeff" + json.dumps(DOCUMENT)) == make_document()
    file = tmp_path / "account.json"
    file.write_text(json.dumps(DOCUMENT), encoding="utf-8-sig")
    assert read_document(file) == make_document()


def test_r47_what_is_stored_already_is_still_read() -> None:
    """A document that an earlier version took must not keep its account from being looked after."""
    stored = json.dumps({**DOCUMENT, **paper(taker_fee="0.26")})
    assert AccountDocument.model_validate_json(stored).paper is not None


def test_a_fee_token_needs_its_price_and_nothing_else_has_one() -> None:
    for changes in ({"fee_asset": "BNB"}, {"fee_token_price": "300"}, {"fee_asset": "bnb", "fee_token_price": "300"}):
        assert "account.paper" in refused(json.dumps({**DOCUMENT, **paper(**changes)})).field
    parsed(**paper(fee_asset="BNB", fee_token_price="3"))
