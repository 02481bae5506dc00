"""The test venue's wallets and fees against the venues' own numbers. In memory, without Belay."""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.venue_accounts import BOTH, START, D, give, order, pair, rows, wallet
from tests.venue_server import kraken_shapes
from tests.venue_server.account import QUOTES
from tests.venue_server.fees import Fees
from tests.venue_server.orders import Refused
from tests.venue_server.solo import Solo
from tests.venue_server.wallets import unbalanced

NewSolo = Callable[..., Any]


# --- wallets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asset", "exact", "kept"),
    [
        ("USD", "1.45406823", "1.4541"),  # Kraken support 201988998
        ("PENGU", "39148.13654", "39148.1365"),  # freqtrade issue 11765, quoting Kraken: half-even
        ("USD", "0.00005", "0.0000"),
        ("USD", "0.00015", "0.0002"),
        ("USD.F", "0.00005", "0.0000"),
        ("BTC", "0.00000000005", "0.0000000000"),
        ("BTC", "0.0000000001", "0.0000000001"),
    ],
)
def test_kraken_keeps_a_wallet_to_the_assets_decimals(new_solo: NewSolo, asset: str, exact: str, kept: str) -> None:
    solo = new_solo("kraken", rounded=True)
    solo.books.wallets.decimals["PENGU"] = 4
    assert solo.books.wallets.kept(asset, D(exact)) == D(kept)


def test_a_kraken_trade_is_told_with_more_digits_than_its_wallets_keep(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True)
    solo.act("change_market", symbol="BTC/USD", step=D("0.00000001"))
    [trade] = order(solo, "buy", "0.01612903").trades
    assert (trade.notional, wallet(solo, "USD")) == (D("1000.001472903"), D("98998.9985"))
    shown = kraken_shapes.trade(trade, solo.books, solo.books.prices)
    assert (shown["cost"], shown["fee"]) == ("1000.00147", "1.00000147")
    amount, fee = [booking for booking in solo.truth()["bookings"] if booking["asset"] == "USD"]
    assert (amount["amount"], amount["reason"], D(amount["rounding"])) == ("-1000.0015", "trade", D("-0.000027097"))
    assert (fee["amount"], fee["reason"], D(fee["rounding"])) == ("-1.0000", "fee", D("0.000001472903"))


def test_amount_and_fee_are_rounded_apart(new_solo: NewSolo) -> None:
    """Together they would have been rounded to 0.0001."""
    solo = new_solo("kraken", rounded=True)
    solo.books.wallets.post("USD", D("-0.00004"), "trade", "T", START, fee=D("0.00004"))
    assert wallet(solo, "USD") == 100_000
    assert rows(solo, "trade") == []


def test_wallets_are_exact_unless_told_otherwise(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    order(solo, "buy", "0.01234")
    assert wallet(solo, "USD") == 100_000 - D("0.01234") * D("62000.1") - D("0.76508123")


# --- fees -----------------------------------------------------------------------------------------------


def burning(new_solo: NewSolo, held: str) -> Any:
    solo = new_solo("binance", token=True)
    solo.act("list_market", symbol="BNB/USDT", price=D(600))
    solo.pin("BNB/USDT", D(600))
    give(solo, "BNB", held)
    return solo


def test_binance_takes_three_quarters_of_the_fee_in_bnb(new_solo: NewSolo) -> None:
    solo = burning(new_solo, "1.5")
    [trade] = order(solo, "buy", "0.1").trades
    assert (trade.fee, trade.fee_asset) == (D("0.00775001"), "BNB")
    assert (wallet(solo, "BNB"), wallet(solo, "BTC")) == (D("1.49224999"), D("0.1"))


@pytest.mark.parametrize(("held", "fee"), [("0.00775001", (D("0.00775001"), "BNB")), ("0.00775", (D("0.0001"), "BTC"))])
def test_too_little_bnb_leaves_the_full_fee_to_what_is_received(
    new_solo: NewSolo, held: str, fee: tuple[Decimal, str]
) -> None:
    solo = burning(new_solo, held)
    [trade] = order(solo, "buy", "0.1").trades
    assert (trade.fee, trade.fee_asset) == fee


def test_bnb_that_an_order_locks_pays_no_fee(new_solo: NewSolo) -> None:
    solo = burning(new_solo, "1.5")
    solo.act("order", symbol="BNB/USDT", side="sell", quantity=D("1.5"), limit=D(700))
    assert order(solo, "buy", "0.1").trades[0].fee_asset == "BTC"


def test_the_fee_in_bnb_of_a_pair_without_the_tokens_quote_goes_through_a_third(new_solo: NewSolo) -> None:
    solo = burning(new_solo, "1.5")
    solo.act("list_market", symbol="ETH/BTC", price=D("0.05"), tick=D("0.00001"))
    give(solo, "BTC", "1")
    solo.pin("ETH/BTC", D("0.05"))
    [trade] = solo.act("order", symbol="ETH/BTC", side="buy", quantity=D(1)).trades
    assert trade.fee == (D("0.05001") * 62000 * D("0.00075") / 600).quantize(D("1e-8"))


def test_the_example_of_binances_commission_faq() -> None:
    """Its fictional discount asks 0.25 of the standard commission; tax and special commission have none."""
    fees = Fees(
        taker=D("0.00000020") + D("0.00000040"),
        extra=D("0.00000114") + D("0.00000116") + D("0.02") + D("0.04"),
        token="BNB",
        token_share=D("0.25"),
    )
    notional = D(35000) * D("0.49975")

    def charged(held: str) -> tuple[str, Decimal]:
        charge = fees.charge(
            "BTC",
            "USDT",
            D("0.49975"),
            notional,
            in_base=False,
            maker=False,
            held=lambda _asset: D(held),
            price=lambda _asset: D(260),
        )
        return charge.asset, charge.amount

    assert charged("5") == ("BNB", D("4.03660713"))
    asset, full = charged("4")
    assert asset == "USDT"
    assert abs(full - (D("0.01049475") + D("0.04022988") + D("1049.475"))) <= D("1e-8")


@BOTH
def test_a_negative_maker_fee_is_paid_to_the_account(new_solo: NewSolo, venue: str) -> None:
    solo = new_solo(venue, maker="-0.0001")
    bought = order(solo, "buy", "0.1", "61000")
    solo.pin(pair(solo), D(60900))
    [trade] = bought.trades
    base = venue == "binance"
    assert (trade.maker, trade.fee) == (True, D("-0.00001") if base else D("-0.61"))
    assert wallet(solo, "BTC") == D("0.10001" if base else "0.1")
    assert wallet(solo, QUOTES[venue]) == D(93_900) + (0 if base else D("0.61"))


def test_a_rebate_is_never_paid_in_bnb(new_solo: NewSolo) -> None:
    solo = burning(new_solo, "1.5")
    solo.act("set_terms", maker="-0.0001")
    bought = order(solo, "buy", "0.1", "61000")
    solo.pin(pair(solo), D(60900))
    assert [(trade.fee, trade.fee_asset) for trade in bought.trades] == [(D("-0.00001"), "BTC")]


def test_krakens_fee_is_told_in_quote_and_taken_where_the_order_says(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True)
    give(solo, "BTC", "1")
    [trade] = order(solo, "sell", "0.1", fee_in="base").trades
    shown = kraken_shapes.trade(trade, solo.books, solo.books.prices)
    assert shown["fee"] == "6.19999000"
    assert rows(solo, "trade") == [("", "BTC", D("-0.1"), D("0.0001")), ("", "USD", D("6199.99"), D(0))]
    [other] = order(solo, "sell", "0.1", fee_in="quote").trades
    assert rows(solo, "trade")[2:] == [("", "USD", D("6199.99"), D("6.2000")), ("", "BTC", D("-0.1"), D(0))]
    assert (other.fee, other.fee_asset) == (D("6.2000"), "USD")


def test_fee_credits_are_used_first_and_have_a_row_of_their_own(new_solo: NewSolo) -> None:
    solo = new_solo("kraken", rounded=True, token=True)
    give(solo, "KFEE", "1000")
    [trade] = order(solo, "buy", "0.1").trades
    assert rows(solo, "trade")[0] == ("", "KFEE", D(0), D("620.00"))
    assert (wallet(solo, "KFEE"), wallet(solo, "USD")) == (D("380.00"), D("93799.99"))
    assert kraken_shapes.trade(trade, solo.books, solo.books.prices)["fee"] == "6.20001000"
    assert order(solo, "buy", "0.1").trades[0].fee_asset == "USD"


# --- conservation -----------------------------------------------------------------------------------------


def cancel_the_oldest(solo: Solo) -> None:
    for oldest in solo.books.open()[:1]:
        solo.books.cancel(oldest, solo.now)


def something(solo: Solo, draw: random.Random) -> None:
    """One step of whatever may happen; what the venue refuses changes nothing."""
    amount = D(draw.randint(1, 99_999)) / 10_000
    price = D(draw.randint(58_000, 66_000))
    asset = draw.choice(["BTC", "ETH", QUOTES[solo.venue]])
    acts: list[Callable[[], Any]] = [
        lambda: order(solo, draw.choice(["buy", "sell"]), str(amount / 10), draw.choice([None, str(price)])),
        lambda: solo.pin(pair(solo), price),
        lambda: solo.act("deposit_from_outside", asset=asset, amount=amount, credited_after=draw.choice([0, 30])),
        lambda: solo.act("withdraw", asset=asset, amount=amount, fee=amount / 1000, done_after=draw.choice([None, 20])),
        lambda: solo.act("dividend", asset=asset, amount=amount * D("0.1234567"), fee=amount / 100),
        lambda: solo.act("convert", asset=asset, amount=amount, target="BTC", received=amount / 8),
        lambda: solo.act("earn", asset="BTC", amount=amount / 16, out=draw.choice([True, False])),
        lambda: solo.act("oco", symbol=pair(solo), side="sell", quantity=amount / 10, limit=D(67_000), stop=D(57_000)),
        lambda: cancel_the_oldest(solo),
        lambda: solo.advance(draw.randint(1, 60)),
    ]
    try:
        draw.choice(acts)()
    except Refused:
        """Nothing changed."""


@pytest.mark.parametrize("terms", [{}, {"rounded": True}, {"rounded": True, "token": True, "maker": "-0.0002"}])
@BOTH
def test_whatever_happens_opening_and_bookings_are_the_balance_to_the_last_digit(
    new_solo: NewSolo, venue: str, terms: dict[str, Any]
) -> None:
    trades = 0
    for seed in range(3):
        solo = new_solo(venue, **terms)
        draw = random.Random(seed)
        for step in range(100):
            something(solo, draw)
            assert step % 10 or unbalanced(solo.truth()) == {}
        trades += len(solo.books.trades)
        for asset in ("BTC", "ETH", QUOTES[venue]):
            wallets = solo.books.wallets
            told = sum(entry.amount - entry.fee for entry in wallets.entries if entry.asset == asset)
            assert told == wallet(solo, asset) - wallets.opening.get(asset, 0)
            assert not terms or wallet(solo, asset) == round(wallet(solo, asset), wallets.places(asset))
    assert trades > 15


def test_a_balance_that_moved_without_a_booking_is_noticed(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    solo.books.balances["USD"] += D("0.0001")
    assert unbalanced(solo.truth()) == {"USD": D("0.0001")}
    solo.books.balances["USD"] -= D("0.0001")
    booking = solo.books.wallets.bookings
    solo.books.deposit("USD", D(1))
    booking[-1] = replace(booking[-1], amount=D(2))
    assert unbalanced(solo.truth()) == {"USD": D(-1)}
    booking[-1] = replace(booking[-1], amount=D(1))
