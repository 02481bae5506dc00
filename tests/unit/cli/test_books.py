"""Positions, fills, orders and flows on the terminal, as JSON and as CSV that the standard library reads back."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from belay.cli.csv_text import cell
from belay.domain.flows import Flow, FlowKind
from belay.domain.market import Price
from belay.domain.record import ZERO
from belay.domain.transitions import correct_fee, record_fill
from tests.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    SYMBOL,
    make_configuration,
    make_flow,
    make_proof,
    make_stamp,
    make_trade,
    seconds,
)
from tests.hostile import HOSTILE, acting
from tests.unit.cli.test_cli import Office, claimed, decided, filled


@pytest.fixture
def office() -> Office:
    """An account with a filled entry, and one that filled in two parts, with fees in three assets."""
    office = Office()
    office.ledger.store_configuration(make_configuration())
    account = office.ledger.account(ACCOUNT)
    office.ledger.save_account(account.bumped(opening={"USD": Decimal(10_000), "BTC": ZERO}, opened_at=NOW))
    filled(office.ledger, claimed(office.ledger, decided(office.ledger)))
    second = claimed(office.ledger, decided(office.ledger, hour=1))
    parts: tuple[dict[str, Any], ...] = (
        {"trade_id": "T2", "quantity": "0.04", "price": "11000", "fees": {"BTC": "0.00004", "BNB": "0.001"}},
        {"trade_id": "T3", "quantity": "0.06", "price": "11100", "fees": {"USD": "-0.00000001"}},
    )
    for number, part in enumerate(parts):
        trade = make_trade(venue_order_id="V2", at=NOW + seconds(60 + number), **part)
        order = office.ledger.order(second.order_id)
        assert order is not None
        change = record_fill(order, office.ledger.account(ACCOUNT), trade, make_stamp(f"part-{number}"))
        office.ledger.commit(change)
    return office


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_fills_as_csv_give_the_position_again(office: Office) -> None:
    """With nothing but the standard library, as a person with a spreadsheet would."""
    found = rows(office.text("fills", "--csv"))
    position = office.ledger.account(ACCOUNT).position(STRATEGY, SYMBOL)
    assert sum((Decimal(row["base_change"]) for row in found), ZERO) == position.quantity
    assert -sum((Decimal(row["quote_change"]) for row in found), ZERO) == position.cost
    paid: dict[str, Decimal] = {}
    for row in found:
        for asset, fee in zip(row["fee_assets"].split(";"), row["fees"].split(";"), strict=True):
            paid[asset] = paid.get(asset, ZERO) + Decimal(fee)
    assert paid == {"USD": Decimal("0.99999999"), "BTC": Decimal("0.00004"), "BNB": Decimal("0.001")}
    assert [row["at"] for row in found] == sorted((row["at"] for row in found), reverse=True)
    assert found[0]["fees"] == "-0.00000001"


def test_fees_that_were_corrected_since_are_shown_as_they_were_corrected(office: Office) -> None:
    """In the fills, in the story of their order, and in the account's sum."""
    order = claimed(office.ledger, decided(office.ledger, hour=2))
    guessed = make_trade("T9", venue_order_id="V3", fees={"USD": "7"}, at=NOW + seconds(90), estimated=True)
    counted = record_fill(order, office.ledger.account(ACCOUNT), guessed, make_stamp("guessed"))
    assert counted is not None
    office.ledger.commit(counted)
    assert office.json("fills")[0]["fees_estimated"] is True
    change = correct_fee(
        counted.order, office.ledger.account(ACCOUNT), guessed, {"BNB": Decimal("0.5")}, make_stamp("true")
    )
    assert change is not None
    office.ledger.commit(change)
    (latest, *_) = office.json("fills")
    assert (latest["fees"], latest["fees_estimated"]) == ({"BNB": "0.5"}, False)
    assert office.json("explain", order.order_id)["orders"][0]["fills"][0]["fees"] == {"BNB": "0.5"}
    (books,) = office.json("positions")
    paid = {part["asset"]: part["amount"] for part in books["fees"]["parts"]}
    assert paid == {"USD": "0.99999999", "BTC": "0.00004", "BNB": "0.501"}


@pytest.mark.parametrize("command", ["positions", "fills", "orders", "flows"])
def test_no_number_of_a_csv_has_an_exponent_and_each_row_has_each_column(office: Office, command: str) -> None:
    office.ledger.record_flow(make_flow("dust:1", USD="1E-8"), office.ledger.account(ACCOUNT).bumped())
    found = rows(office.text(command, "--csv"))
    assert found
    for row in found:
        assert None not in row.values()
        for name, text in row.items():
            if name not in ("order_id", "decision_id", "flow_id"):
                assert "E-" not in text, (name, text)


def test_a_position_says_what_it_cost_what_it_is_worth_and_by_which_price(office: Office) -> None:
    proof = make_proof(
        prices={SYMBOL: Price(value=Decimal(12000), at=NOW + seconds(300))},
        account_version=office.ledger.account(ACCOUNT).version,
    )
    office.ledger.store_proof(proof)
    (document,) = office.json("positions")
    (position,) = document["positions"]
    assert position["quantity"] == "0.19996"
    assert (position["price"], position["price_source"], position["dust"]) == ("12000", "reconciliation", False)
    assert Decimal(position["unrealised_pnl"]) == Decimal("0.19996") * 12000 - Decimal(position["cost"])
    assert document["fees"]["unpriced"] == ["BNB"]
    assert document["equity"]["unpriced"] == ["BNB"]
    told = office.text("positions")
    assert "reconciliation" in told
    assert "without BNB, of which no price is known" in told


def test_without_a_proofs_price_the_last_fills_is_taken_and_named(office: Office) -> None:
    (document,) = office.json("positions")
    assert (document["positions"][0]["price"], document["positions"][0]["price_source"]) == ("11100", "last_fill")


def test_orders_as_csv_are_the_orders(office: Office) -> None:
    found = rows(office.text("orders", "--csv"))
    assert [row["order_id"] for row in found] == [order["order_id"] for order in office.json("orders")]
    assert {row["symbol"] for row in found} == {SYMBOL}


def test_a_flow_has_a_row_for_each_amount_and_one_without_any_has_one(office: Office) -> None:
    ledger = office.ledger
    ledger.record_flow(make_flow(USD="100", BTC="-0.5"), ledger.account(ACCOUNT).bumped())
    retired = Flow(
        account=ACCOUNT,
        flow_id="retired:1",
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=NOW,
        recorded_at=NOW,
        author="ada",
        evidence="written off",
    )
    ledger.record_flow(retired, ledger.account(ACCOUNT).bumped())
    found = rows(office.text("flows", "--csv"))
    assert sorted((row["asset"], row["amount"]) for row in found) == [("", ""), ("BTC", "-0.5"), ("USD", "100")]
    assert "written off (by ada)" in office.text("flows")


def test_csv_and_json_at_once_are_refused(office: Office) -> None:
    result = office.run("fills", "--csv", "--json")
    assert (result.exit_code, result.stderr) == (2, "belay: --csv: stands beside --json. Ask for one of the two.\n")


@pytest.mark.parametrize("command", ["positions", "fills", "orders", "flows"])
def test_an_account_with_nothing_has_a_heading_alone(command: str) -> None:
    office = Office()
    office.ledger.store_configuration(make_configuration())
    assert rows(office.text(command, "--csv")) == []
    assert office.text(command)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_in_a_cell_is_text(name: str) -> None:
    written = cell(HOSTILE[name])
    assert acting(written) == set()
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_number_below_zero_stays_a_number() -> None:
    assert cell(Decimal("-1E-8")) == "-0.00000001"
    assert cell("-1+cmd") == "'-1+cmd"
