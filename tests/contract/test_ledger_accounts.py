"""Accounts and their documents in every ledger: versioned, replaced only by who read the latest."""

from decimal import Decimal

import pytest

from belay.domain.account import Account
from belay.domain.errors import Conflict
from belay.ports import Ledger
from tests.builders import ACCOUNT, make_account, make_configuration, make_stop
from tests.contract.situations import together


def test_an_account_that_was_never_written_is_empty_at_version_0(ledger: Ledger) -> None:
    assert ledger.account(ACCOUNT) == Account(account=ACCOUNT)


def test_a_saved_account_reads_back_as_it_was(ledger: Ledger) -> None:
    account = make_account().bumped(opening={"USD": Decimal("10000.10"), "BTC": Decimal(0)}, stops=(make_stop(),))
    ledger.save_account(account)
    assert ledger.account(ACCOUNT) == account


def test_an_account_is_replaced_only_by_its_next_version(ledger: Ledger) -> None:
    first = make_account().bumped()
    ledger.save_account(first)
    ledger.save_account(first.with_stop(make_stop()))
    for stale in (first.with_stop(make_stop(reason="another")), make_account().bumped(traded={"USD": Decimal(1)})):
        with pytest.raises(Conflict) as lost:
            ledger.save_account(stale)
        assert lost.value.what == "account"
    assert ledger.account(ACCOUNT) == first.with_stop(make_stop())


def test_an_account_cannot_start_at_a_later_version(ledger: Ledger) -> None:
    with pytest.raises(Conflict):
        ledger.save_account(make_account(version=2))
    assert ledger.account(ACCOUNT).version == 0


def test_saving_the_same_account_again_succeeds(ledger: Ledger) -> None:
    account = make_account().with_stop(make_stop())
    ledger.save_account(account)
    ledger.save_account(account)
    assert ledger.account(ACCOUNT) == account


def test_of_twenty_threads_that_save_an_account_at_once_one_wins(ledger: Ledger) -> None:
    def save(number: int) -> bool:
        try:
            ledger.save_account(make_account().with_stop(make_stop(reason=f"thread {number}")))
        except Conflict:
            return False
        return True

    assert sum(together(save)) == 1
    assert ledger.account(ACCOUNT).version == 1


def test_an_account_without_a_document_has_no_configuration(ledger: Ledger) -> None:
    assert ledger.configuration(ACCOUNT) is None
    assert ledger.accounts() == ()


def test_the_latest_configuration_is_read_back(ledger: Ledger) -> None:
    ledger.store_configuration(make_configuration(1))
    second = make_configuration(2, balance_tolerance={"USD": "0.01"})
    ledger.store_configuration(second)
    assert ledger.configuration(ACCOUNT) == second


@pytest.mark.parametrize("version", [1, 2, 4])
def test_only_the_next_version_of_a_configuration_is_stored(ledger: Ledger, version: int) -> None:
    ledger.store_configuration(make_configuration(1))
    ledger.store_configuration(make_configuration(2))
    with pytest.raises(Conflict) as lost:
        ledger.store_configuration(make_configuration(version, balance_tolerance={"USD": "1"}))
    assert lost.value.what == "configuration"
    assert ledger.configuration(ACCOUNT) == make_configuration(2)


def test_storing_the_same_configuration_again_succeeds(ledger: Ledger) -> None:
    ledger.store_configuration(make_configuration(1))
    ledger.store_configuration(make_configuration(1))
    assert ledger.configuration(ACCOUNT) == make_configuration(1)


def test_every_configured_account_is_listed_by_name(ledger: Ledger) -> None:
    for account in ("paper", "alpha", "beta"):
        ledger.store_configuration(make_configuration(1, account=account))
    assert ledger.accounts() == ("alpha", "beta", "paper")
