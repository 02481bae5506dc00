"""The operator's command over an in-memory ledger: what it prints, what it changes, how it fails."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from belay.adapters.memory.ledger import InMemoryLedger
from belay.cli import words
from belay.cli.desk import Desk, FunctionFailed, desk_over
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.cli.operations import change_account
from belay.domain.account import Account, OperatorStops, Position, StopLevel, strictest
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import Conflict
from belay.domain.incidents import IncidentEntry, IncidentKind
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.record import iso
from belay.domain.transitions import Change, claim, conclude_absent, deny, observe, record_fill, release
from belay.domain.venues import VenueStatus
from belay.ports import Ledger, SwitchReading
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    PRICE,
    STRATEGY,
    SYMBOL,
    make_configuration,
    make_decision,
    make_document,
    make_events,
    make_hold,
    make_incident,
    make_orders,
    make_proof,
    make_request,
    make_requirement,
    make_slot,
    make_stamp,
    make_stop,
    make_tick,
    make_trade,
    make_venue_order,
    seconds,
)

LIMIT_LINES = [
    {"limit": "stop", "value": "running", "bound": "running", "verdict": "pass"},
    {"limit": "max_order_notional", "value": "1000", "bound": "2000", "verdict": "pass"},
]


@dataclass
class Switch:
    """A switch that remembers who wrote it; `broken` refuses every write."""

    level: StopLevel = StopLevel.RUNNING
    reason: str = ""
    writes: list[tuple[StopLevel, str, str]] = field(default_factory=list)
    broken: bool = False

    def read(self) -> SwitchReading:
        return SwitchReading(level=self.level, reason=self.reason)

    def write(self, level: StopLevel, reason: str, author: str, at: datetime) -> None:
        if self.broken:
            raise OSError("no connection")
        self.level, self.reason = level, reason
        self.writes.append((level, reason, author))
        assert at.tzinfo is not None


@dataclass
class Office:
    """A ledger, a switch, and the command run over them."""

    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    switch: Switch = field(default_factory=Switch)
    venue_time: datetime = NOW + timedelta(seconds=61)
    published: list[Order] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)

    def desk(self) -> Desk:
        return Desk(
            stage="dev",
            ledger=self.ledger,
            switch=self.switch,
            proof_of=self._proof_of,
            venue_time=lambda _document: self.venue_time,
            publish=self.published.append,
            ask_reconciler=self._ask,
        )

    def _ask(self, event: Any) -> dict[str, Any]:
        self.asked.append(event)
        return self.answer

    def _proof_of(self, configuration: Configuration) -> Proof | None:
        return self.ledger.proof(configuration.document.account, FINGERPRINT)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: self.desk())

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def text(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout


@pytest.fixture
def office() -> Office:
    """One configured paper account."""
    office = Office()
    office.ledger.store_configuration(make_configuration())
    return office


def decided(ledger: Ledger, hour: int = 0) -> Order:
    """A stored decision to buy; its order as created."""
    record = make_decision(slot=make_slot(hour))
    orders = make_orders(record)
    ledger.record_decision(record, orders, make_events(record, orders))
    ledger.register_schedule(make_tick())
    return orders[0]


def claimed(ledger: Ledger, order: Order, **request: Any) -> Order:
    asked = make_request(order, **request)
    detail = {"limits": LIMIT_LINES, "request": asked.model_dump(mode="json")}
    stamp = make_stamp(f"claim-{order.order_id}")
    change = claim(order, ledger.account(ACCOUNT), asked, PRICE, make_requirement(), stamp, detail)
    ledger.commit(change)
    return change.order


def filled(ledger: Ledger, order: Order) -> Order:
    """Accepted, filled by one trade, settled."""
    answer = {"outcome": "accepted", "code": "OK", "detail": ""}
    seen = make_venue_order(order, status=VenueStatus.FILLED, filled_quantity="0.1")
    steps: tuple[Callable[[Order, Account], Change | None], ...] = (
        lambda now, account: observe(now, account, seen, "accepted", make_stamp("answer"), answer),
        lambda now, account: record_fill(now, account, make_trade(), make_stamp("fill")),
        lambda now, account: release(now, account, make_stamp("settled"), "settled"),
    )
    for step in steps:
        change = step(order, ledger.account(ACCOUNT))
        assert change is not None
        ledger.commit(change)
        order = change.order
    return order


# --- status ---------------------------------------------------------------------------------------


def test_status_of_a_stage_without_accounts_says_how_to_store_one() -> None:
    assert "belay account set FILE" in Office().text("status")


def test_status_shows_switch_gate_stops_orders_incidents_positions_and_last_decision(office: Office) -> None:
    filled(office.ledger, claimed(office.ledger, decided(office.ledger)))
    claimed(office.ledger, decided(office.ledger, hour=1))
    office.ledger.open_incident(make_incident())
    change_account(office.ledger, ACCOUNT, lambda account: account.with_stop(make_stop()))
    account = office.json("status")["accounts"][0]
    assert account["mode"] == "paper"
    assert account["gate"]["open"] is False
    assert [stop["reason"] for stop in account["stops"]] == ["maintenance"]
    assert account["open_orders"] == {"SUBMITTED": 1}
    assert len(account["unresolved"]) == 1
    assert [incident["kind"] for incident in account["incidents"]] == ["balance_mismatch"]
    assert account["positions"] == [
        {
            "strategy": STRATEGY,
            "symbol": SYMBOL,
            "quantity": "0.1",
            "average_cost": "10010",
            "realised_pnl": "0",
        }
    ]
    assert account["strategies"][0]["last_decision"]["kind"] == "trade"


def test_the_gate_is_open_while_the_proof_is_recent_enough(office: Office) -> None:
    office.ledger.store_proof(make_proof())
    gate = office.json("status")["accounts"][0]["gate"]
    assert (gate["open"], gate["age_seconds"], gate["bound_seconds"]) == (True, 61, 300)
    assert "open: reconciled 61 s ago" in office.text("status")


def test_the_gate_is_closed_once_the_proof_is_too_old(office: Office) -> None:
    office.ledger.store_proof(make_proof())
    office.venue_time = NOW + timedelta(minutes=10)
    assert office.json("status")["accounts"][0]["gate"]["open"] is False
    assert "too old (10 min ago)" in office.text("status")


# --- halt and release -----------------------------------------------------------------------------


def test_halt_sets_the_switch_and_stops_every_account(office: Office) -> None:
    office.ledger.store_configuration(make_configuration(account="second"))
    document = office.json("halt", "--reason", "something smells", "--author", "ann")
    assert office.switch.writes == [(StopLevel.HALTED, "something smells", "ann")]
    assert [account["account"] for account in document["accounts"]] == [ACCOUNT, "second"]
    for account in (ACCOUNT, "second"):
        (stop,) = office.ledger.operator_stops(account).stops
        assert (stop.level, stop.reason, stop.author, stop.incident) == (
            "halted",
            "something smells",
            "ann",
            None,
        )


def test_halt_says_that_nothing_is_on_its_way(office: Office) -> None:
    assert office.json("halt")["accounts"][0]["last_outstanding_fence"] is None
    assert "No request is on its way" in office.text("halt")


def test_halt_prints_the_last_fence_of_a_request_that_may_be_on_its_way(office: Office) -> None:
    claimed(office.ledger, decided(office.ledger))
    claimed(office.ledger, decided(office.ledger, hour=1), fence_at=NOW + seconds(40))
    assert office.json("halt")["accounts"][0]["last_outstanding_fence"] == iso(NOW + seconds(40))
    assert "until 2024-03-01 12:00:40Z (venue time)" in office.text("halt")


def test_halt_says_unbounded_where_a_request_has_no_fence(office: Office) -> None:
    claimed(office.ledger, decided(office.ledger))
    claimed(office.ledger, decided(office.ledger, hour=1), fence_at=None)
    assert office.json("halt")["accounts"][0]["last_outstanding_fence"] == "unbounded"
    assert "unbounded" in office.text("halt")


def test_halt_stops_the_accounts_even_when_the_switch_cannot_be_written(office: Office) -> None:
    office.switch.broken = True
    result = office.run("halt")
    assert result.exit_code == 1
    assert "NOT everything is stopped: failed for the switch (no connection)" in result.stderr
    assert "accounts stopped: paper" in result.stderr
    assert office.ledger.operator_stops(ACCOUNT).stops


def test_halt_of_one_symbol_leaves_the_switch_and_the_rest_running(office: Office) -> None:
    office.json("halt", "--scope", "account", "--symbol", SYMBOL, "--level", "reduce-only")
    assert office.switch.writes == []
    stops = office.ledger.operator_stops(ACCOUNT).stops
    assert strictest(stops, STRATEGY, SYMBOL)[0] is StopLevel.REDUCE_ONLY
    assert strictest(stops, STRATEGY, "ETH/USD")[0] is StopLevel.RUNNING


@pytest.mark.parametrize("strategy", [STRATEGY, "holder", "manual"])
def test_halt_of_one_strategy_is_for_what_ticked_what_holds_something_and_orders_by_hand(
    office: Office, strategy: str
) -> None:
    office.ledger.register_schedule(make_tick())
    held = {"holder": {SYMBOL: Position(quantity=Decimal(1), cost=Decimal(1))}}
    change_account(office.ledger, ACCOUNT, lambda account: account.bumped(positions=held))
    office.json("halt", "--scope", "account", "--strategy", strategy)
    assert [stop.strategy for stop in office.ledger.operator_stops(ACCOUNT).stops] == [strategy]
    refused = office.run("halt", "--scope", "account", "--strategy", "typo")
    assert f"Known: {', '.join(sorted(['holder', 'manual', STRATEGY]))}." in refused.stderr


def test_a_stop_is_written_again_when_another_was_set_meanwhile(office: Office) -> None:
    class Contended(InMemoryLedger):
        lost = 3

        def save_operator_stops(self, stops: OperatorStops) -> None:
            if self.lost:
                self.lost -= 1
                raise Conflict("operators' stops")
            super().save_operator_stops(stops)

    office.ledger = Contended()
    office.ledger.store_configuration(make_configuration())
    office.json("halt", "--scope", "account")
    assert office.ledger.operator_stops(ACCOUNT).stops


def test_release_lifts_the_operators_stops_and_sets_the_switch_to_running(office: Office) -> None:
    office.json("halt")
    document = office.json("release", "--author", "bob")
    assert office.switch.writes[-1] == (StopLevel.RUNNING, "released by the operator", "bob")
    assert len(document["accounts"][0]["released"]) == 1
    assert office.ledger.operator_stops(ACCOUNT).stops == ()


def test_release_leaves_the_stop_of_an_incident_and_says_why(office: Office) -> None:
    stop = make_stop(incident="overfill:abc", reason="incident overfill:abc", author="belay")
    change_account(office.ledger, ACCOUNT, lambda account: account.with_stop(stop))
    office.json("halt")
    text = office.text("release")
    assert "still standing: halted whole account: incident overfill:abc" in text
    assert office.ledger.account(ACCOUNT).stops == (stop,)


def test_release_of_a_narrow_scope_keeps_the_wider_stop(office: Office) -> None:
    office.json("halt", "--scope", "account")
    office.json("halt", "--scope", "account", "--symbol", SYMBOL)
    document = office.json("release", "--scope", "account", "--symbol", SYMBOL)
    assert [stop["symbol"] for stop in document["accounts"][0]["remaining"]] == [None]


def test_a_release_that_lifts_nothing_does_not_touch_the_account(office: Office) -> None:
    office.json("release", "--scope", "account")
    assert office.ledger.account(ACCOUNT).version == 0


# --- decisions and orders -------------------------------------------------------------------------


def test_decisions_lists_holds_and_trades_newest_first_with_reasons_and_order_ids(office: Office) -> None:
    order = decided(office.ledger)
    hold = make_hold(make_slot(1))
    office.ledger.record_decision(hold, (), ())
    listed = office.json("decisions")
    assert [(line["kind"], line["reason"]) for line in listed] == [
        ("hold", "no_cross"),
        ("trade", "fast crossed above slow"),
    ]
    assert listed[1]["legs"][0]["order_id"] == order.order_id
    assert order.order_id in office.text("decisions", "--strategy", STRATEGY)


def test_decisions_stops_at_the_limit(office: Office) -> None:
    for hour in range(3):
        decided(office.ledger, hour)
    assert len(office.json("decisions", "--limit", "2")) == 2


def test_orders_can_be_narrowed_to_a_state_and_to_open_ones(office: Office) -> None:
    done = filled(office.ledger, claimed(office.ledger, decided(office.ledger)))
    waiting = decided(office.ledger, hour=1)
    assert [line["order_id"] for line in office.json("orders")] == [waiting.order_id, done.order_id]
    assert [line["order_id"] for line in office.json("orders", "--state", "filled")] == [done.order_id]
    assert [line["order_id"] for line in office.json("orders", "--open")] == [waiting.order_id]


# --- explain --------------------------------------------------------------------------------------


def test_explain_answers_the_five_questions_by_order_id_and_by_decision_id(office: Office) -> None:
    order = filled(office.ledger, claimed(office.ledger, decided(office.ledger)))
    version = office.ledger.account(ACCOUNT).version
    office.ledger.store_proof(make_proof(completed_at=NOW + seconds(30), account_version=version))
    document = office.json("explain", order.order_id)
    assert document == office.json("explain", order.decision_id)
    (told,) = document["orders"]
    assert document["decision"]["legs"][0]["reason"] == "fast crossed above slow"
    assert told["checks"][0]["limits"] == LIMIT_LINES
    assert told["submission"]["verdict"] == "exactly once"
    assert told["submission"]["claims"][0]["answers"][0]["outcome"] == "accepted"
    assert told["submission"]["venue_order_ids"] == ["V1"]
    assert [(fill["quantity"], fill["price"], fill["fees"]) for fill in told["fills"]] == [
        ("0.1", "10000", {"USD": "1"})
    ]
    assert (told["state"], told["settled"]) == ("FILLED", True)
    assert document["account"]["reconciled_since"] is True


def test_explain_reads_as_five_answered_questions(office: Office) -> None:
    order = filled(office.ledger, claimed(office.ledger, decided(office.ledger)))
    text = office.text("explain", order.order_id)
    for answer in (
        "1. What was decided",
        "buy 0.1 BTC/USD at market: fast crossed above slow",
        "max_order_notional",
        "Yes: the venue has one order for it.",
        "0.1 of 0.1 BTC/USD at average 10000, fees 1 USD",
        "FILLED, settled, nothing more is expected",
        "Not reconciled since: not reconciled yet by this deployment",
        "Open incidents: none.",
    ):
        assert answer in text


def test_explain_says_when_an_orders_records_were_written_over(office: Office) -> None:
    order = claimed(office.ledger, decided(office.ledger))
    told = office.json("explain", order.order_id)["orders"][0]
    assert (told["records"], told["head"]) == ("whole", order.head)
    office.ledger._keep(order.model_copy(update={"reason": "another"}))
    assert "Its records do not hold together: its reason is not what its decision asked" in office.text(
        "explain", order.order_id
    )


def test_explain_of_a_hold_says_why_and_that_nothing_followed(office: Office) -> None:
    record = make_hold()
    office.ledger.record_decision(record, (), ())
    text = office.text("explain", record.decision_id)
    assert "hold, no_cross" in text
    assert "No order was asked for" in text


def test_explain_of_a_denied_order_shows_the_limit_that_denied_it(office: Office) -> None:
    order = decided(office.ledger)
    line = {"limit": "max_order_notional", "value": "3000", "bound": "2000", "verdict": "deny"}
    office.ledger.commit(deny(order, "max_order_notional", make_stamp("deny"), {"limits": [line]}))
    told = office.json("explain", order.order_id)["orders"][0]
    assert told["checks"] == [
        {"at": iso(NOW + seconds(3)), "led_to": "DENIED", "cause": "max_order_notional", "limits": [line]}
    ]
    assert told["submission"]["verdict"] == "never sent"
    assert "deny" in office.text("explain", order.order_id)


@pytest.mark.parametrize(
    ("become", "verdict"),
    [
        (lambda _order, _account: None, "unknown"),
        (
            lambda order, account: conclude_absent(order, account, {}, make_stamp("absent")),
            "no order at the venue",
        ),
    ],
)
def test_explain_never_claims_more_than_is_proven(office: Office, become: Any, verdict: str) -> None:
    order = claimed(office.ledger, decided(office.ledger))
    if change := become(order, office.ledger.account(ACCOUNT)):
        office.ledger.commit(change)
    assert office.json("explain", order.order_id)["orders"][0]["submission"]["verdict"] == verdict


def test_explain_shows_a_second_venue_order(office: Office) -> None:
    order = claimed(office.ledger, decided(office.ledger))
    for venue_order_id in ("V1", "V2"):
        seen = make_venue_order(order, venue_order_id=venue_order_id)
        change = observe(order, office.ledger.account(ACCOUNT), seen, "seen", make_stamp(venue_order_id))
        assert change is not None
        office.ledger.commit(change)
        order = change.order
    assert office.json("explain", order.order_id)["orders"][0]["submission"]["verdict"] == "more than once"


# --- incidents --------------------------------------------------------------------------------------


def test_incidents_lists_open_ones_with_both_values_and_what_to_do(office: Office) -> None:
    office.ledger.open_incident(make_incident())
    text = office.text("incidents", "list")
    assert "balance_mismatch:USD" in text
    assert "expected 10000 USD; actual 9990 USD" in text
    assert "Find the withdrawal that explains the difference." in text


def test_an_incident_is_shown_with_everything_that_was_said_of_it(office: Office) -> None:
    incident = make_incident()
    office.ledger.open_incident(incident)
    said = (("opened", "belay", "expected 10000 USD, found 9990 USD"), ("resolved", "ann", "a fee, paid by hand"))
    for number, (what, author, reason) in enumerate(said):
        line = {"what": what, "author": author, "reason": reason, "at": NOW + seconds(number)}
        office.ledger.append_incident_entry(
            IncidentEntry.model_validate({"account": ACCOUNT, "incident_id": incident.incident_id, **line})
        )
    text = office.text("incidents", "show", incident.incident_id, "--account", ACCOUNT)
    assert "expected 10000 USD; actual 9990 USD" in text
    assert f"{words.second(NOW)}  opened by belay: expected 10000 USD, found 9990 USD" in text
    assert "resolved by ann: a fee, paid by hand" in text
    told = office.json("incidents", "show", incident.incident_id, "--account", ACCOUNT)
    assert [(line["what"], line["author"], line["reason"]) for line in told["history"]] == list(said)


def test_an_incident_that_there_is_not_is_refused(office: Office) -> None:
    result = office.run("incidents", "show", "overfill:x", "--account", ACCOUNT)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"belay: ID: account {ACCOUNT} has no incident overfill:x.")


def test_an_incident_about_an_event_of_no_account_is_listed_and_can_be_ended(office: Office) -> None:
    incident = make_incident(account="none", kind=IncidentKind.INVALID_EVENT, subject="tick.account")
    office.ledger.open_incident(incident)
    (listed,) = office.json("incidents", "list")
    assert listed["commands"] == ['belay incidents resolve invalid_event:tick.account --reason "…" --account none']
    office.answer = {"status": "resolved", "incident_id": incident.incident_id, "account": "none", "lifted": 0}
    office.text("incidents", "resolve", incident.incident_id, "--reason", "a schedule", "--account", "none")
    assert office.asked[-1]["account"] == "none"


# --- adopt ----------------------------------------------------------------------------------------


def test_adopt_asks_the_reconciler_which_can_read_the_venue(office: Office) -> None:
    nothing_left: dict[str, Any] = {"adopted": [], "resolved": [], "balances": [], "orders": [], "reconciled": None}
    office.answer = {"account": ACCOUNT, **nothing_left}
    assert "Nothing is left to adopt." in office.text("adopt")
    orders = ["--order", "cron-1", "--order", "cron-2"]
    office.json("adopt", "--strategy", STRATEGY, *orders, "--author", "ann")
    office.json("adopt", "--strategy", STRATEGY, "--symbol", SYMBOL, "--quantity", "0.50", "--price", "41000")
    wishes = [event["adopt"] for event in office.asked]
    assert [event["account"] for event in office.asked] == [ACCOUNT] * 3
    assert wishes[1] == {"strategy": STRATEGY, "orders": ["cron-1", "cron-2"], "author": "ann"}
    assert (wishes[2]["quantity"], wishes[2]["price"]) == ("0.50", "41000")


def test_what_the_reconciler_refuses_to_adopt_is_one_line_and_exit_code_2(office: Office) -> None:
    office.answer = {"error": "adopt.orders", "problem": "cron-1 has no coins", "remedy": "Adopt them first."}
    refused = office.run("adopt", "--strategy", STRATEGY, "--order", "cron-1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "belay: adopt.orders: cron-1 has no coins. Adopt them first.\n"


def test_a_wish_that_is_no_wish_reaches_nobody(office: Office) -> None:
    assert office.run("adopt", "--strategy", STRATEGY).exit_code == 2
    assert office.asked == []


@dataclass
class Functions:
    """A Lambda service whose one function answers this."""

    answer: Any
    raises: bool = False
    invoked: list[tuple[str, Any]] = field(default_factory=list)

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.invoked.append((request["FunctionName"], json.loads(request["Payload"])))
        failed = {"FunctionError": "Unhandled"} if self.raises else {}
        return {"Payload": BytesIO(json.dumps(self.answer).encode()), **failed}


OUTPUTS = {
    "LedgerTableName": "ledger",
    "AccountsTableName": "accounts",
    "ConfigurationTableName": "configuration",
    "KillSwitchParameterName": "switch",
    "IntentsQueueUrl": "queue",
    "ReconcilerFunctionName": "belay-dev-reconciler",
}


def test_the_desk_invokes_the_reconciler_and_gives_what_it_answers() -> None:
    functions = Functions({"account": ACCOUNT})
    desk = desk_over("dev", OUTPUTS, lambda _service: functions)
    assert desk.ask_reconciler({"adopt": {}}) == {"account": ACCOUNT}
    assert functions.invoked == [("belay-dev-reconciler", {"adopt": {}})]


def test_a_reconciler_that_raised_is_told_with_its_message() -> None:
    functions = Functions({"errorMessage": "no table"}, raises=True)
    with pytest.raises(FunctionFailed, match="belay-dev-reconciler failed: no table"):
        desk_over("dev", OUTPUTS, lambda _service: functions).ask_reconciler({})


# --- account documents ----------------------------------------------------------------------------


def test_a_document_may_not_leave_out_a_symbol_that_is_held(office: Office, tmp_path: Path) -> None:
    held = {"ema-cross": {"BTC/USD": Position(quantity=Decimal(1))}}
    change_account(office.ledger, ACCOUNT, lambda account: account.bumped(positions=held))
    file = tmp_path / "paper.json"
    file.write_text(make_document(symbols=("ETH/USD",)).model_dump_json())
    result = office.run("account", "set", str(file))
    assert result.exit_code == 2
    assert "account.symbols: BTC/USD is missing" in result.stderr


def test_a_live_document_that_names_no_key_is_refused_when_it_is_set(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "live.json"
    file.write_text(make_document(mode="live", paper=None, venue="binance").model_dump_json())
    result = office.run("account", "set", str(file))
    assert result.exit_code == 2
    assert "account.executor_secret: is missing" in result.stderr


def test_the_example_document_is_valid_and_lacks_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "paper.json"
    file.write_text(Office().text("account", "example"))
    assert Office().json("account", "validate", str(file)) == {
        "account": "paper",
        "valid": True,
        "missing_limits": [],
    }


def test_the_limits_of_the_example_document_let_a_notional_of_1000_through() -> None:
    limits = AccountDocument.parse(example_document()).limits
    assert limits.max_order_notional is not None
    assert limits.max_order_notional >= Decimal(1000)


def test_account_set_stores_versions_and_leaves_an_equal_document_alone(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "paper.json"
    file.write_text(make_document(symbols=[SYMBOL, "ETH/USD"]).model_dump_json())
    assert office.json("account", "set", str(file)) == {"account": ACCOUNT, "version": 2, "stored": True}
    assert office.json("account", "set", str(file)) == {"account": ACCOUNT, "version": 2, "stored": False}
    assert office.json("account", "show")["document"]["symbols"] == [SYMBOL, "ETH/USD"]


def test_account_validate_names_the_limits_that_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "paper.json"
    document = json.loads(example_document())
    del document["limits"]["max_order_notional"], document["limits"]["max_position_notional"]
    file.write_text(json.dumps(document))
    missing = Office().json("account", "validate", str(file))["missing_limits"]
    assert missing == ["max_order_notional", "max_position_notional.BTC/USD"]


# --- bad input and failures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["explain", "0" * 32], "the ledger has no order"),
        (["explain", "nonsense"], "the ledger has no decision nonsense"),
        (["orders", "--state", "ASLEEP"], "'--state': 'ASLEEP' is not one of 'created'"),
        (["decisions", "--limit", "0"], "--limit"),
        (
            ["halt", "--level", "running"],
            "'--level': 'running' is not one of 'halted', 'reduce-only'. See `belay halt --help`.",
        ),
        (["halt", "--scope", "all", "--symbol", SYMBOL], "Leave out one of the two"),
        (
            ["halt", "--scope", "account", "--symbol", "DOGE/USD"],
            "there is no symbol DOGE/USD in account paper. Known: BTC/USD.",
        ),
        (["halt", "--strategy", "typo"], "there is no strategy typo in account paper. Known: manual."),
        (["halt", "--not-yet-known"], "--not-yet-known: names nothing"),
        (
            ["release", "--scope", "planet"],
            "'--scope': 'planet' is not one of 'all', 'account'. See `belay release --help`.",
        ),
        (["status", "--account", "nobody"], "there is no account nobody"),
        (["account", "set", "/no/such/file.json"], "cannot be read"),
        (["account"], "Missing command"),
        (["stauts"], "No such command"),
        (["explain"], "Missing argument"),
        (["incidents", "resolve", "overfill:x"], "--reason"),
        (["status", "--colour"], "--colour"),
        (["status", "--account"], "--account"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(office: Office, arguments: list[str], named: str) -> None:
    result = office.run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert named in result.stderr
    assert result.stderr.startswith("belay: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "account"),
        (example_document().replace('"mode"', '"mood"'), "account."),
        (example_document().replace('"1200"', '"-5"'), "account.limits.max_order_notional"),
        ("x" * 20_000, "larger than 16384 bytes"),
    ],
)
def test_a_bad_document_names_the_field_and_stores_nothing(
    office: Office, tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    result = office.run("account", "set", str(file))
    assert result.exit_code == 2
    assert named in result.stderr
    configuration = office.ledger.configuration(ACCOUNT)
    assert configuration is not None
    assert configuration.version == 1


def test_a_failure_is_one_line_and_exit_code_1() -> None:
    def unreachable(_stage: str, _local: bool) -> Desk:
        raise ConnectionError("no route to the stage")

    result = CliRunner().invoke(app, ["status"], obj=unreachable)
    assert result.exit_code == 1
    assert result.stderr == "belay: no route to the stage\n"


def test_an_account_must_be_named_where_there_are_several(office: Office) -> None:
    office.ledger.store_configuration(make_configuration(account="second"))
    result = office.run("account", "show")
    assert result.exit_code == 2
    assert "Accounts: paper, second" in result.stderr
    assert office.json("account", "show", "--account", "second")["document"]["account"] == "second"


def test_the_common_options_may_stand_before_or_after_the_command(office: Office) -> None:
    assert office.json("status") == json.loads(office.text("--json", "--account=paper", "status"))


def test_belay_alone_prints_its_help() -> None:
    assert "explain" in Office().text()
