"""The commands of the way back: what they ask of the reconciler, and what they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from belay.domain.incidents import IncidentKind
from tests.builders import ACCOUNT, SYMBOL, make_configuration, make_incident, make_trade
from tests.unit.cli.test_cli import Office, decided

ROW = '[{"trade_id": "T1", "venue_order_id": "V1", "side": "buy", "quantity": 0.10, "price": 10000.123456789012345678,'
ROW += ' "fees": {"USD": "1"}, "time": "2024-03-01T12:00:00Z"}]'


@pytest.fixture
def office() -> Office:
    office = Office()
    office.ledger.store_configuration(make_configuration())
    return office


def resolved(**changes: Any) -> dict[str, Any]:
    told = {
        "account": ACCOUNT,
        "order_id": "mine",
        "state": "UNKNOWN",
        "settled": False,
        "filled_quantity": "0",
        "shown": None,
        "trades_read": True,
        "no_symbol": "",
        "word": None,
        "already": False,
        "choices": [{"verdict": "absent", "problem": "", "remedy": ""}],
        "resolved": [],
    }
    return {**told, **changes}


def asked(office: Office, name: str) -> Any:
    (event,) = office.asked
    assert event["account"] == ACCOUNT
    return event[name]


def test_resolve_asks_about_the_order_in_its_own_account(office: Office) -> None:
    order = decided(office.ledger)
    office.answer = resolved()
    told = office.text("resolve", order.order_id)
    assert asked(office, "resolve_order")["order"] == order.order_id
    assert "The venue does not know it." in told
    assert "--absent: may be said now, with a reason" in told


@pytest.mark.parametrize("verdict", ["absent", "cancelled"])
def test_resolve_says_what_the_operator_says_with_author_and_reason(office: Office, verdict: str) -> None:
    order = decided(office.ledger)
    word = {"verdict": verdict, "author": "ada", "reason": "looked", "at": "2024-03-01T12:00:00.000000Z"}
    office.answer = resolved(word=word, choices=[])
    told = office.text("resolve", order.order_id, f"--{verdict}", "--reason", "looked", "--author", "ada")
    assert asked(office, "resolve_order") == {
        "order": order.order_id,
        "verdict": verdict,
        "reason": "looked",
        "author": "ada",
    }
    assert f"said to be {verdict}: looked (ada, 2024-03-01 12:00Z)" in told


def test_rows_are_sent_with_every_digit_that_they_have(office: Office, tmp_path: Path) -> None:
    order = decided(office.ledger)
    office.answer = resolved()
    rows = tmp_path / "rows.json"
    rows.write_text(ROW)
    office.text("resolve", order.order_id, "--filled", str(rows), "--reason", "looked")
    (row,) = asked(office, "resolve_order")["trades"]
    assert (row["quantity"], row["price"]) == ("0.10", "10000.123456789012345678")


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "two verdicts": (("--absent", "--cancelled", "--reason", "x"), "--cancelled: stands beside --absent"),
    "no reason": (("--absent",), "resolve_order: give a reason"),
    "no rows": (("--filled", "rows.json", "--reason", "x"), "rows.json: cannot be read"),
    "no list": (("--filled", "object.json", "--reason", "x"), "object.json: is no list"),
    "no JSON": (("--filled", "text.json", "--reason", "x"), "text.json: is no JSON"),
    "half a row": (("--filled", "half.json", "--reason", "x"), "resolve_order.trades.0.price: Field required"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_before_anybody_is_asked(
    office: Office, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("object.json").write_text("{}")
    Path("text.json").write_text("T1, buy")
    half = json.loads(ROW)
    del half[0]["price"]
    Path("half.json").write_text(json.dumps(half))
    options, problem = REFUSED[name]
    result = office.run("resolve", decided(office.ledger).order_id, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"belay: {problem}")
    assert office.asked == []


def test_an_order_that_is_not_there_is_named(office: Office) -> None:
    assert office.run("resolve", "f" * 32).stderr.startswith(f"belay: ORDER: the ledger has no order {'f' * 32}")


def test_what_the_reconciler_refuses_is_told_with_its_field(office: Office) -> None:
    office.answer = {"error": "trades.trade", "problem": "no trade is known as T9", "remedy": "See the list."}
    result = office.run("trades", "foreign", "T9", "--reason", "x")
    assert (result.exit_code, result.stderr) == (
        2,
        "belay: trades.trade: no trade is known as T9. See the list.\n",
    )


def test_trades_that_wait_are_listed_with_their_keys(office: Office) -> None:
    trade = make_trade()
    office.ledger.store_unattributed(ACCOUNT, trade)
    assert trade.key in office.text("trades", "list")
    (listed,) = office.json("trades", "list")
    assert (listed["key"], listed["account"], listed["quantity"]) == (trade.key, ACCOUNT, "0.1")


def test_trades_are_given_to_a_strategy_or_called_foreign(office: Office) -> None:
    office.answer = {"account": ACCOUNT, "said": [], "resolved": ["unattributed_trade:T1"], "left": []}
    told = office.text("trades", "attribute", "T1", "--strategy", "ema-cross", "--new-strategy", "--reason", "x")
    assert "resolved incident unattributed_trade:T1" in told
    wish = asked(office, "trades")
    assert (wish["attribute"], wish["strategy"], wish["new_strategy"]) == ("T1", "ema-cross", True)
    office.asked.clear()
    office.text("trades", "foreign", "T1", "T2", "--reason", "x")
    assert asked(office, "trades")["foreign"] == ["T1", "T2"]
    office.asked.clear()
    office.text("trades", "foreign", "--symbol", SYMBOL, "--reason", "x")
    assert asked(office, "trades")["symbol"] == SYMBOL


def test_foreign_without_a_trade_says_what_is_missing(office: Office) -> None:
    assert office.run("trades", "foreign", "--reason", "x").stderr.startswith("belay: TRADE: is missing.")
    assert "Missing option '--reason'" in office.run("trades", "foreign", "T1").stderr


def test_a_symbol_is_retired(office: Office) -> None:
    office.answer = {
        "account": ACCOUNT,
        "symbol": SYMBOL,
        "written_off": [{"strategy": "ema-cross", "evidence": "0.1 BTC/USD written off at its cost of 1000: gone"}],
        "already": False,
        "listed": True,
        "resolved": [],
    }
    told = office.text("symbols", "retire", SYMBOL, "--reason", "gone")
    assert asked(office, "retire")["symbol"] == SYMBOL
    assert "written off at its cost of 1000" in told
    assert "may leave the account document now" in told


def test_a_symbol_is_taken_back(office: Office) -> None:
    office.answer = {"account": ACCOUNT, "symbol": SYMBOL, "record": {"flow_id": "x"}, "listed": True}
    told = office.text("symbols", "take-back", SYMBOL, "--reason", "listed again")
    assert asked(office, "take_back")["symbol"] == SYMBOL
    assert f"{SYMBOL} is not retired" in told
    office.answer = {**office.answer, "record": None, "listed": False}
    told = office.text("symbols", "take-back", SYMBOL, "--reason", "listed again")
    assert "(already)" in told
    assert "belay account set FILE" in told


def test_a_rebase_tells_what_differs_and_takes_it_when_it_is_asked_to(office: Office) -> None:
    shift = {"before": "100", "after": "90", "amount": "-10"}
    empty = {"account": ACCOUNT, "taken": False, "flow_id": None, "resolved": []}
    office.answer = {**empty, "shifts": {"USD": shift}, "unread": ["price of ETH/USD: halted"]}
    told = office.text("rebase")
    assert "USD differs: expected 100, there are 90, by -10" in told
    assert "not read: price of ETH/USD: halted" in told
    office.asked.clear()
    office.answer = {**office.answer, "taken": True}
    told = office.text("rebase", "--asset", "USD", "--amount", "USD=-10", "--reason", "a fee by hand")
    wish = asked(office, "rebase")
    assert (wish["assets"], wish["amounts"], wish["reason"]) == (["USD"], {"USD": "-10"}, "a fee by hand")
    assert "USD taken as it is" in told
    assert office.run("rebase", "--amount", "USD").stderr.startswith("belay: --amount: USD has no =.")


def looked(**changes: Any) -> dict[str, Any]:
    told = {"account": ACCOUNT, "incident_id": "overfill:x", "status": "resolved", "expected": "0.1", "actual": "0.2"}
    return {**told, "problem": "", "remedy": "", "commands": [], "resolution": "sold", "lifted": 1, **changes}


def test_an_incident_is_looked_at_before_it_ends(office: Office) -> None:
    office.answer = looked()
    told = office.text("incidents", "resolve", "overfill:x", "--reason", "sold", "--author", "ada")
    assert asked(office, "resolve") == {"incident_id": "overfill:x", "reason": "sold", "author": "ada"}
    assert "overfill:x resolved, 1 stop(s) lifted" in told


def test_an_incident_whose_fact_stands_stays_open_and_says_what_ends_it(office: Office) -> None:
    told = {"remedy": "Look at it.", "commands": ["belay explain x"], "lifted": 0}
    office.answer = looked(status="open", problem="the fact still stands", **told)
    result = office.run("incidents", "resolve", "overfill:x", "--reason", "sold")
    assert result.exit_code == 1
    assert "stays open" in result.stdout
    assert "the fact still stands. Look at it." in result.stdout
    assert "    belay explain x\n" in result.stdout


def test_an_incident_prints_the_commands_that_lead_back(office: Office) -> None:
    incident = make_incident(kind=IncidentKind.MISSING_ORDER, subject="mine")
    office.ledger.open_incident(incident)
    assert f'belay resolve mine --cancelled --reason "…" --account {ACCOUNT}' in office.text("incidents", "list")
    (listed,) = office.json("incidents", "list")
    assert listed["commands"][0] == f"belay resolve mine --account {ACCOUNT}"
    assert listed["commands"] == office.json("status")["accounts"][0]["incidents"][0]["commands"]
