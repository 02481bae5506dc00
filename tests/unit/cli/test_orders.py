"""`belay order` and `belay cancel` at the command line: what they print first, what they store, how they fail."""

import pytest

from belay.domain.orders import OrderState
from belay.domain.transitions import lapse, release
from tests.builders import ACCOUNT, SYMBOL, make_configuration, make_stamp
from tests.unit.cli.test_cli import Office

ID = "0123456789abcdef0123456789abcdef"
BUY = ("order", "--symbol", SYMBOL, "--side", "buy", "--quantity", "0.1")


@pytest.fixture
def office() -> Office:
    office = Office()
    office.ledger.store_configuration(make_configuration())
    return office


def test_the_order_id_is_told_before_anything_is_stored(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.ledger, "record_decision", _fails)
    result = office.run(*BUY)
    told = result.stderr.split()[1].rstrip(":")
    assert result.exit_code == 1
    assert len(told) == 32
    assert office.ledger.order(told) is None


def _fails(*_: object) -> None:
    raise OSError("the table is out of reach")


def test_an_order_is_stored_and_published_once_its_id_was_told(office: Office) -> None:
    document = office.json(*BUY, "--id", ID, "--reason", "a test", "--author", "ada")
    assert (document["order_id"], document["state"], document["strategy"]) == (ID, "CREATED", "manual")
    assert [order.order_id for order in office.published] == [ID]
    record = office.ledger.decision(f"dev.{ACCOUNT}.manual.{ID}")
    assert record is not None
    assert record.parameters["author"] == "ada"


def test_repeating_an_order_by_its_id_stores_nothing_new(office: Office) -> None:
    first = office.json(*BUY, "--id", ID)
    assert office.json(*BUY, "--id", ID) == first
    assert len(office.ledger.orders(ACCOUNT, 10)) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("order", "--symbol", SYMBOL, "--side", "buy"), "either a quantity or a notional"),
        (("order", "--symbol", SYMBOL, "--side", "sell"), "--quantity"),
        (("order", "--symbol", SYMBOL, "--side", "sell", "--notional", "100", "--quantity", "1"), "sized by quantity"),
        ((*BUY, "--limit-price", "cheap"), "order.limit_price"),
        ((*BUY, "--time-in-force", "day"), "'day' is not one of 'gtc', 'ioc'"),
        ((*BUY, "--id", "17"), "order.order_id"),
        (("order", "--symbol", SYMBOL, "--side", "hold", "--quantity", "1"), "'hold' is not one of 'buy', 'sell'"),
        (("order", "--symbol", "DOGE/USD", "--side", "buy", "--quantity", "1"), "--symbol"),
        (("cancel", ID, "--reason", "x"), "has no order"),
    ],
)
def test_bad_input_is_one_line_that_names_it(office: Office, arguments: tuple[str, ...], named: str) -> None:
    result = office.run(*arguments)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("belay: ")]
    assert (result.exit_code, named in line) == (2, True), line
    assert office.published == []


def test_waiting_shows_each_event_and_fails_for_what_did_not_fill(office: Office) -> None:
    office.json(*BUY, "--id", ID)
    order = office.ledger.order(ID)
    assert order is not None
    office.ledger.commit(lapse(order, make_stamp("lapsed"), "expired before it was claimed", asked_for=True))
    result = office.run(*BUY, "--id", ID, "--wait")
    assert result.exit_code == 1
    assert "expired before it was claimed" in result.stdout
    assert "LAPSED" in result.stdout


def test_a_cancel_is_stored_and_says_what_happens_next(office: Office) -> None:
    office.json(*BUY, "--id", ID)
    assert "each reconciliation repeats it" in office.text("cancel", ID, "--reason", "changed my mind")
    (request,) = office.ledger.cancel_requests(ACCOUNT)
    assert (request.order_id, request.reason) == (ID, "changed my mind")


def test_what_is_over_cannot_be_cancelled(office: Office) -> None:
    office.json(*BUY, "--id", ID)
    order = office.ledger.order(ID)
    assert order is not None
    change = lapse(order, make_stamp("lapsed"), "expired before it was claimed", asked_for=False)
    office.ledger.commit(change)
    if not change.order.settled:
        office.ledger.commit(release(change.order, office.ledger.account(ACCOUNT), make_stamp("released"), "settled"))
    assert OrderState.LAPSED in office.run("cancel", ID, "--reason", "x").stderr
