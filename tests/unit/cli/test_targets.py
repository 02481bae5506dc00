"""What a command names exists, or the error lists what does; a stop needs no more than the name (R30, U9, U15)."""

from typing import Any

import pytest

from belay.adapters.memory.ledger import InMemoryLedger
from belay.domain.account import Account, OperatorStops, StopLevel
from belay.domain.errors import Unreadable
from tests.builders import ACCOUNT, STRATEGY, SYMBOL, make_configuration, make_tick
from tests.unit.cli.test_cli import Office

OTHER = "second"
BUY = ("order", "--symbol", SYMBOL, "--side", "buy", "--quantity", "0.1")


@pytest.fixture
def office() -> Office:
    """Two accounts; the strategy ticks in the first, another in the second."""
    office = Office()
    office.ledger.store_configuration(make_configuration())
    office.ledger.register_schedule(make_tick())
    office.ledger.store_configuration(make_configuration(account=OTHER, symbols=(SYMBOL, "ETH/USD")))
    office.ledger.register_schedule(make_tick(account=OTHER, strategy="other"))
    return office


def stops(office: Office, account: str = ACCOUNT) -> list[tuple[str | None, str | None]]:
    return [stop.scope for stop in office.ledger.operator_stops(account).stops]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("halt", "--strategy", "ema-corss"), "there is no strategy ema-corss in account paper, second"),
        (("halt", "--symbol", "DOGE/USD"), "Known: BTC/USD, ETH/USD."),
        (("halt", "--account", "papr"), "there is no account papr"),
        (("halt", "--account", ACCOUNT, "--strategy", "other"), f"Known: {STRATEGY}, manual."),
        (("halt", "--strategy", STRATEGY, "--symbol", "ETH/USD"), "no account has both"),
        (("release", "--strategy", "ema-corss"), "there is no strategy ema-corss"),
        (("decisions", "--strategy", "ema-corss"), "there is no strategy ema-corss"),
        (("fills", "--strategy", "ema-corss"), "there is no strategy ema-corss"),
        ((*BUY, "--account", ACCOUNT, "--strategy", "ema-corss"), "has no strategy ema-corss"),
    ],
)
def test_r30_a_name_that_nothing_bears_is_refused_with_the_names_that_there_are(
    office: Office, arguments: tuple[str, ...], named: str
) -> None:
    result = office.run(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert stops(office) == stops(office, OTHER) == []
    assert office.ledger.orders(ACCOUNT, 10) == ()


@pytest.mark.parametrize(
    ("named", "account"),
    [(("--strategy", STRATEGY), ACCOUNT), (("--strategy", "other"), OTHER), (("--symbol", "ETH/USD"), OTHER)],
)
def test_r30_the_scope_of_a_stop_follows_from_what_is_named(
    office: Office, named: tuple[str, str], account: str
) -> None:
    office.json("halt", *named)
    assert len(stops(office, account)) == 1
    assert len(stops(office, ACCOUNT)) + len(stops(office, OTHER)) == 1
    assert office.switch.writes == []
    office.json("release", *named)
    assert stops(office, account) == []


def test_r30_what_several_accounts_have_is_stopped_in_each(office: Office) -> None:
    told = office.json("halt", "--symbol", SYMBOL)
    assert [stopped["account"] for stopped in told["accounts"]] == [ACCOUNT, OTHER]
    assert stops(office) == stops(office, OTHER) == [(None, SYMBOL)]


def test_r30_a_named_account_is_stopped_whole_and_the_other_goes_on(office: Office) -> None:
    office.json("halt", "--account", OTHER)
    assert (stops(office), stops(office, OTHER)) == ([], [(None, None)])
    assert office.switch.writes == []


def test_r30_what_is_not_yet_known_is_stopped_where_a_person_says_so_and_can_be_let_go_again(office: Office) -> None:
    office.json("halt", "--account", ACCOUNT, "--strategy", "next-week", "--not-yet-known")
    assert stops(office) == [("next-week", None)]
    office.json("release", "--strategy", "next-week")
    assert stops(office) == []


def test_r30_an_account_can_be_stopped_before_it_has_a_document(office: Office) -> None:
    office.json("halt", "--account", "next", "--not-yet-known")
    assert stops(office, "next") == [(None, None)]
    office.json("release", "--account", "next")
    assert stops(office, "next") == []


def test_r30_the_stop_of_everything_reads_nothing_before_the_switch_is_written(office: Office) -> None:
    class Slow(InMemoryLedger):
        def accounts(self) -> tuple[str, ...]:
            assert [level for level, *_ in office.switch.writes] == [StopLevel.HALTED]
            raise OSError("no answer")

        def account(self, account: str) -> Account:
            raise AssertionError(f"{account} was read")

    office.ledger = Slow()
    result = office.run("halt")
    assert result.exit_code == 1
    assert "NOT everything is stopped: failed for the list of accounts (no answer)" in result.stderr


def test_r30_an_account_of_a_later_version_is_stopped_by_name_too(office: Office, monkeypatch: Any) -> None:
    def later(_account: str) -> Account:
        raise Unreadable("the account", later=True)

    monkeypatch.setattr(office.ledger, "account", later)
    office.json("halt", "--account", ACCOUNT, "--strategy", STRATEGY)
    assert stops(office) == [(STRATEGY, None)]


def test_r30_one_account_that_cannot_be_stopped_keeps_no_other_from_it(office: Office, monkeypatch: Any) -> None:
    save = office.ledger.save_operator_stops

    def fails_for_the_first(changed: OperatorStops) -> None:
        if changed.account == ACCOUNT:
            raise OSError("no answer")
        save(changed)

    monkeypatch.setattr(office.ledger, "save_operator_stops", fails_for_the_first)
    result = office.run("halt", "--symbol", SYMBOL)
    assert result.exit_code == 1
    assert f"failed for account {ACCOUNT} (no answer); accounts stopped: {OTHER}" in result.stderr
    assert stops(office, OTHER) == [(None, SYMBOL)]


def test_r30_a_new_strategy_is_bought_for_where_a_person_says_that_it_is_new(office: Office) -> None:
    bought = office.json(*BUY, "--account", ACCOUNT, "--strategy", "next-week", "--new-strategy")
    assert bought["strategy"] == "next-week"
