"""What the command says of versions: its own beside the stack's, and what is left to a later one."""

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from belay.adapters.memory.ledger import InMemoryLedger
from belay.cli.desk import VERSION, Desk
from belay.cli.main import app
from belay.domain.account import Account, StopLevel
from belay.ports import SwitchReading
from tests import later
from tests.builders import (
    ACCOUNT,
    NOW,
    make_account,
    make_configuration,
    make_decision,
    make_events,
    make_incident,
    make_orders,
    make_stop,
)
from tests.world import World


class Running:
    """A switch that is on."""

    def read(self) -> SwitchReading:
        return SwitchReading(level=StopLevel.RUNNING, reason="")

    def write(self, *_: Any) -> None:
        """Nothing reads it back here."""


@pytest.fixture
def desk() -> Desk:
    ledger = InMemoryLedger()
    ledger.store_configuration(make_configuration())
    return Desk(
        stage="dev",
        ledger=ledger,
        switch=Running(),
        proof_of=lambda _configuration: None,
        venue_time=lambda _document: NOW,
        publish=lambda _order: None,
        ask_reconciler=lambda _event: {},
    )


def run(desk: Desk, *arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: desk)
    assert result.exit_code == 0, result.stderr
    return result


def test_nothing_is_said_while_command_and_stack_are_of_one_version(desk: Desk) -> None:
    result = run(desk, "status", "--json")
    assert result.stderr == ""
    assert json.loads(result.stdout)["versions"] == {"command": VERSION, "stack": VERSION}


@pytest.mark.parametrize(("stack", "told"), [("9.9.9", "the stack is 9.9.9"), (None, "the stack is an older one")])
def test_one_line_says_that_command_and_stack_differ(desk: Desk, stack: str | None, told: str) -> None:
    result = run(replace(desk, stack_version=stack), "status", "--json")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"belay: this command is version {VERSION}, {told}")
    assert "install the command of the stack's version, or deploy this one's" in line
    assert json.loads(result.stdout)["versions"] == {"command": VERSION, "stack": stack}


def unknown_limit(desk: Desk) -> None:
    body = json.loads(later.text_of(desk.ledger, later.DOCUMENT))
    body["document"]["limits"]["max_loss"] = "100"
    later.overwrite(desk.ledger, later.DOCUMENT, json.dumps(body), 1)


def test_unknown_fields_of_a_document_are_shown_with_their_paths(desk: Desk) -> None:
    unknown_limit(desk)
    (account,) = json.loads(run(desk, "status", "--json").stdout)["accounts"]
    assert account["unknown_fields"] == ["limits.max_loss"]
    assert "limits.max_loss; entries wait" in run(desk, "status").stdout
    shown = json.loads(run(desk, "account", "show", "--json").stdout)
    assert shown["document"]["limits"]["max_loss"] == "100"
    assert shown["unknown_fields"] == ["document.limits.max_loss"]
    assert "document.limits.max_loss" in run(desk, "account", "show").stdout


def test_what_is_left_to_a_later_version_is_shown(desk: Desk) -> None:
    record = make_decision()
    orders = make_orders(record)
    desk.ledger.record_decision(record, orders, make_events(record, orders))
    desk.ledger.save_account(make_account().with_stop(make_stop()))
    later.taken_over(desk.ledger, later.STATE)
    later.taken_over(desk.ledger, later.order_place(orders[0]), state="PARKED")
    (account,) = json.loads(run(desk, "status", "--json").stdout)["accounts"]
    assert account["later"] == [
        "the state of account paper is of a later version (schema 3)",
        f"order {orders[0].order_id}",
    ]
    assert account["open_orders"] == {"PARKED": 1}
    assert "left alone" in run(desk, "status").stdout
    assert "PARKED" in run(desk, "orders").stdout


def test_words_of_a_later_version_are_shown_as_they_are(desk: Desk) -> None:
    account = make_account().with_stop(make_stop())
    desk.ledger.save_account(account)
    later.overwrite(desk.ledger, later.STATE, account.text.replace('"halted"', '"frozen"'), 1)
    assert Account.stored(later.text_of(desk.ledger, later.STATE)).stops[0].level.value == "frozen"
    incident = make_incident()
    desk.ledger.open_incident(incident)
    place = later.incident_place(incident.incident_id)
    later.overwrite(desk.ledger, place, incident.text.replace("balance_mismatch", "loss_limit"), 1)
    told = run(desk, "status").stdout
    assert "frozen" in told
    assert "loss_limit" in told
    assert "loss_limit" in run(desk, "incidents", "list").stdout


def test_a_halt_works_where_the_account_and_its_document_cannot_be_read(desk: Desk) -> None:
    desk.ledger.save_account(make_account().with_stop(make_stop()))
    later.overwrite(desk.ledger, later.STATE, '{"form":"another"}')
    later.overwrite(desk.ledger, later.DOCUMENT, '{"form":"another"}')
    run(desk, "halt", "--reason", "rolled back")
    assert [stop.reason for stop in desk.ledger.operator_stops(ACCOUNT).stops] == ["rolled back"]


def test_an_unreadable_account_is_named_and_not_a_traceback(desk: Desk) -> None:
    desk.ledger.save_account(make_account().with_stop(make_stop()))
    later.overwrite(desk.ledger, later.STATE, '{"form":"another"}')
    result = CliRunner().invoke(app, ["status"], obj=lambda _stage, _local: desk)
    assert result.exit_code == 2
    assert "the state of account paper: cannot be read: it was written by a later version of Belay" in result.stderr


def test_an_incident_of_a_later_version_is_resolved_with_that_version(desk: Desk) -> None:
    incident, world = make_incident(), World()
    world.ledger.open_incident(incident)
    later.taken_over(world.ledger, later.incident_place(incident.incident_id))
    arguments = ["incidents", "resolve", incident.incident_id, "--reason", "looked"]
    result = CliRunner().invoke(app, arguments, obj=lambda _stage, _local: replace(desk, ask_reconciler=world.ask))
    assert result.exit_code == 2
    assert "was opened by a later version of Belay" in result.stderr


def test_a_cancel_is_taken_for_an_order_of_a_later_version_as_far_as_it_can_be_read(desk: Desk) -> None:
    record = make_decision()
    orders = make_orders(record)
    desk.ledger.record_decision(record, orders, make_events(record, orders))
    place, order_id = later.order_place(orders[0]), orders[0].order_id
    later.taken_over(desk.ledger, place)
    run(desk, "cancel", order_id, "--reason", "asked")
    assert [request.order_id for request in desk.ledger.cancel_requests(ACCOUNT)] == [order_id]
    later.overwrite(desk.ledger, place, '{"form":"another"}')
    result = CliRunner().invoke(app, ["cancel", order_id, "--reason", "asked"], obj=lambda _stage, _local: desk)
    assert result.exit_code == 2
    assert "only a later version of Belay can read" in result.stderr
