"""What moves the test venue's balances without a trade: earn products and movements. In memory, without Belay."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.venue_accounts import BOTH, D, give, order, refused, rows, wallet
from tests.venue_server.orders import Refusal

NewSolo = Callable[..., Any]


# --- earn -----------------------------------------------------------------------------------------------


def test_auto_earn_leaves_the_bare_asset_at_nothing_and_is_spent_through_it(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True, earning=["BTC", "USD"])
    assert (wallet(solo, "USD"), wallet(solo, "USD.F")) == (0, 100_000)
    assert rows(solo, "earn") == [
        ("autoallocation", "USD", D(-100_000), D(0)),
        ("autoallocation", "USD.F", D(100_000), D(0)),
    ]
    order(solo, "buy", "0.1")
    assert (wallet(solo, "BTC"), wallet(solo, "BTC.F"), solo.books.free("BTC")) == (0, D("0.1"), D("0.1"))
    order(solo, "sell", "0.05")
    assert wallet(solo, "BTC.F") == D("0.04995")


def test_a_trade_that_two_wallets_pay_has_a_row_for_each(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True)
    solo.act("earn", asset="USD", amount=D(95_000))
    order(solo, "buy", "0.1")
    assert rows(solo, "trade") == [
        ("", "USD", D(-5000), D(0)),
        ("", "USD.F", D("-1200.0100"), D("6.2000")),
        ("", "BTC", D("0.1"), D(0)),
    ]


@pytest.mark.parametrize(("venue", "product", "name"), [("binance", "flexible", "LDBTC"), ("kraken", "yield", "BTC.B")])
def test_what_is_in_another_earn_product_is_there_and_not_free(
    new_solo: NewSolo, venue: str, product: str, name: str
) -> None:
    solo = new_solo(venue)
    give(solo, "BTC", "1")
    solo.act("earn", asset="BTC", amount=D("0.9"), product=product)
    assert (wallet(solo, name), solo.books.free("BTC")) == (D("0.9"), D("0.1"))
    assert refused(solo, "sell", "0.2") is Refusal.FUNDS
    solo.act("earn_reward", asset="BTC", amount=D("0.01"), product=product)
    solo.act("earn", asset="BTC", amount=D("0.91"), product=product, out=True)
    assert (wallet(solo, name), solo.books.free("BTC")) == (0, D("1.01"))


def test_binances_names_of_earn_wallets_are_no_prefix_rule(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    for asset in ("LDO", "BAKE"):
        give(solo, asset, "5")
        solo.act("earn", asset=asset, amount=D(2))
    assert (wallet(solo, "LDO"), wallet(solo, "LDLDO"), wallet(solo, "LDBAKET")) == (3, 2, 2)
    solo.act("earn", asset="LDO", amount=D(1), product="locked")
    assert wallet(solo, "LDO") == 2
    assert solo.movements.in_products("locked") == {"LDO": 1}


# --- movements --------------------------------------------------------------------------------------------


@BOTH
def test_a_deposit_is_pending_then_credited_then_final(new_solo: NewSolo, venue: str) -> None:
    solo = new_solo(venue)
    deposit = solo.act("deposit_from_outside", asset="BTC", amount=D(2), credited_after=60, unlocked_after=60)
    assert (deposit.status, wallet(solo, "BTC")) == ("pending", 0)
    solo.advance(60)
    assert (deposit.status, wallet(solo, "BTC")) == ("credited", 2)
    solo.advance(60)
    assert deposit.status == "done"
    solo.act("fail_deposit", movement=deposit)
    assert (deposit.status, wallet(solo, "BTC")) == ("failed", 0)


def test_a_pending_deposit_that_fails_never_comes(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    deposit = solo.act("deposit_from_outside", asset="BTC", amount=D(2), credited_after=60)
    solo.act("fail_deposit", movement=deposit.movement_id)
    solo.advance(60)
    assert (deposit.status, wallet(solo, "BTC")) == ("failed", 0)


@BOTH
def test_a_withdrawal_falls_at_the_request_by_amount_and_fee_and_returns_when_it_fails(
    new_solo: NewSolo, venue: str
) -> None:
    solo = new_solo(venue)
    give(solo, "BTC", "1")
    withdrawal = solo.act("withdraw", asset="BTC", amount=D("0.5"), fee=D("0.0002"), done_after=None)
    assert (withdrawal.status, wallet(solo, "BTC")) == ("pending", D("0.4998"))
    assert solo.movements.withdrawing("BTC") == D("0.5002")
    solo.act("fail_withdrawal", movement=withdrawal)
    assert (wallet(solo, "BTC"), solo.movements.withdrawing("BTC")) == (1, 0)


def test_a_record_may_come_later_than_the_balance(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", entry_lag=5)
    solo.act("dividend", asset="USD", amount=D(3), fee=D(1), lag=30)
    order(solo, "buy", "0.1")
    assert wallet(solo, "USD") == 100_002 - D("6206.21001")
    assert (solo.movements.shown(solo.now, "dividend"), solo.books.wallets.shown_entries(solo.now)) == ([], [])
    solo.advance(5)
    assert {entry.kind for entry in solo.books.wallets.shown_entries(solo.now)} == {"trade"}
    solo.advance(25)
    assert next(entry.balance for entry in solo.books.wallets.shown_entries(solo.now)) == 100_002
    assert len(solo.movements.shown(solo.now, "dividend")) == 1


def test_krakens_rows_of_what_is_no_trade(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True)
    give(solo, "BTC", "1")
    give(solo, "ETH", "0.001")
    solo.act("convert", asset="USD", amount=D(100), target="BTC", received=D("0.0016"))
    solo.act("sweep_dust", amounts={"ETH": D("0.001")}, target="USD", received={"ETH": D("3.4")}, fee=D("0.1"))
    solo.act("dividend", asset="BTC", amount=D("0.01"), fee=D("0.003"), why="reward")
    solo.act("dividend", asset="FLR", amount=D(7), why="airdrop")
    solo.act("transfer", asset="USD", amount=D(10))
    solo.act("convert_delisted", asset="ETH", amount=D(0), target="USD", received=D(0))
    assert rows(solo, "spend") == [("", "USD", D(-100), D(0)), ("dustsweeping", "ETH", D("-0.001"), D(0))]
    assert rows(solo, "receive") == [("", "BTC", D("0.0016"), D(0)), ("dustsweeping", "USD", D("3.4"), D("0.1"))]
    assert rows(solo, "earn") == [("reward", "BTC", D("0.01"), D("0.003"))]
    assert rows(solo, "transfer") == [("", "FLR", D(7), D(0)), ("spottofutures", "USD", D(-10), D(0))]
    assert wallet(solo, "BTC") == D("1.0086")


def test_a_delisted_coin_is_converted_in_two_moves_days_apart(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    give(solo, "ETH", "2")
    solo.act("convert_delisted", asset="ETH", amount=D(2), target="USD", received=D(5000), days=2)
    assert (wallet(solo, "ETH"), wallet(solo, "USD")) == (0, 100_000)
    solo.advance(2 * 86_400)
    assert wallet(solo, "USD") == 105_000
    out, paid = solo.books.wallets.entries
    assert out.refid != paid.refid
    assert {out.subtype, paid.subtype} == {"delistingconversion"}
