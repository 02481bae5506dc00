"""The test venue's books against the venues' own numbers: rounding, fees, locks, movements. In memory, no Belay."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.venue_server import kraken_shapes
from tests.venue_server.account import QUOTES
from tests.venue_server.fees import Fees
from tests.venue_server.orders import Refusal, Refused
from tests.venue_server.solo import Solo
from tests.venue_server.wallets import unbalanced

D = Decimal
START = datetime(2024, 3, 1, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
NewSolo = Callable[..., Any]


@pytest.fixture
def new_solo() -> Any:
    """Accounts whose BTC stands at 62000; whatever was done to them, nothing came of nothing."""
    made: list[Solo] = []

    def make(venue: str, **terms: Any) -> Solo:
        solo = Solo(venue, START, seed=7, markets=2)
        solo.act("set_terms", **terms)
        solo.pin(pair(solo), D(62000))
        made.append(solo)
        return solo

    yield make
    for solo in made:
        assert unbalanced(solo.truth()) == {}


def pair(solo: Solo, base: str = "BTC") -> str:
    return f"{base}/{QUOTES[solo.venue]}"


def give(solo: Solo, asset: str, amount: str) -> None:
    solo.books.deposit(asset, D(amount))


def order(solo: Solo, side: str, quantity: str, limit: str | None = None, **kind: Any) -> Any:
    wanted = {"symbol": pair(solo), "side": side, "quantity": D(quantity), "limit": D(limit) if limit else None}
    return solo.act("order", **wanted, **kind)


def refused(solo: Solo, *arguments: Any, **kind: Any) -> Refusal:
    with pytest.raises(Refused) as error:
        order(solo, *arguments, **kind)
    return error.value.refusal


def wallet(solo: Solo, asset: str) -> Any:
    return solo.books.wallets.balance(asset)


def rows(solo: Solo, kind: str) -> list[tuple[str, str, Decimal, Decimal]]:
    return [(e.subtype, e.asset, e.amount, e.fee) for e in solo.books.wallets.entries if e.kind == kind]


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


# --- free and locked --------------------------------------------------------------------------------------


def test_the_legs_of_an_oco_lock_once_and_one_ends_the_other(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1.0999")
    symbol = pair(solo)
    profit, stop = solo.act(
        "oco", symbol=symbol, side="sell", quantity=D(1), limit=D(90000), stop=D(50500), stop_limit=D(50000)
    )
    assert (solo.books.locked("BTC"), solo.books.free("BTC")) == (1, D("0.0999"))
    assert [leg.request.kind for leg in (profit, stop)] == ["limit_maker", "stop_loss_limit"]
    assert refused(solo, "sell", "0.1") is Refusal.FUNDS
    solo.pin(symbol, D(90001))
    assert (profit.status, stop.status, solo.books.locked("BTC")) == ("filled", "expired", 0)


def test_a_triggered_stop_ends_the_limit_of_its_oco(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    profit, stop = solo.act("oco", symbol=pair(solo), side="sell", quantity=D(1), limit=D(90000), stop=D(50500))
    solo.pin(pair(solo), D(50400))
    assert (profit.status, stop.status, stop.trades[0].price) == ("expired", "filled", D("50399.9"))
    assert wallet(solo, "BTC") == 0


def test_cancelling_one_leg_cancels_the_list(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    legs = solo.act("oco", symbol=pair(solo), side="sell", quantity=D(1), limit=D(90000), stop=D(50500))
    solo.act("cancel", order_id=legs[0].venue_order_id, symbol=pair(solo))
    assert [leg.status for leg in legs] == ["cancelled", "cancelled"]


def test_the_pending_leg_of_an_oto_locks_nothing_before_the_first_is_filled(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    working = {"side": "buy", "quantity": D("0.1"), "limit": D(61000)}
    then = {"side": "sell", "quantity": D("0.05"), "limit": D(65000)}
    first, second = solo.act("oto", symbol=pair(solo), working=working, then=then)
    assert (solo.books.locked("USDT"), solo.books.locked("BTC"), second.pending) == (6100, 0, True)
    solo.pin(pair(solo), D(60900))
    assert (first.status, second.pending, solo.books.locked("BTC")) == ("filled", False, D("0.05"))


def test_an_oto_that_is_cancelled_never_places_its_second(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    working = {"side": "buy", "quantity": D("0.1"), "limit": D(61000)}
    legs = solo.act(
        "oco", symbol=pair(solo), side="sell", quantity=D("0.1"), limit=D(70000), stop=D(50000), working=working
    )
    solo.act("cancel", order_id=legs[0].venue_order_id, symbol=pair(solo))
    solo.pin(pair(solo), D(71000))
    assert {leg.status for leg in legs} == {"cancelled"}
    assert solo.books.trades == []


def test_a_conditional_close_is_one_order_for_each_fill_and_holds_nothing_before(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    closes = {"limit": D(65000), "fee_in": "quote"}
    primary = order(solo, "buy", "0.1", "63000", closes=closes, fraction=D("0.4"))
    assert solo.books.locked("BTC") == D("0.04")
    solo.act("cancel", order_id=primary.venue_order_id)
    [_primary, close] = solo.books.orders
    assert (close.request.side, close.request.quantity, close.follows) == ("sell", D("0.04"), primary.venue_order_id)


def test_what_other_services_lock_is_not_free(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    solo.act("lock_elsewhere", asset="BTC", amount=D("0.4"))
    assert refused(solo, "sell", "0.7") is Refusal.FUNDS
    solo.act("lock_elsewhere", asset="BTC", amount=D("-0.4"))
    assert order(solo, "sell", "0.7").filled == D("0.7")


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


# --- orders of other kinds, markets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "price", "named"),
    [
        ({"stop": D(61000)}, "60999", "stop_loss"),
        ({"stop": D(61000), "limit": D(60000)}, "60999", "stop_loss_limit"),
        ({"profit": D(63000)}, "63001", "take_profit"),
        ({"profit": D(63000), "limit": D(62500)}, "63001", "take_profit_limit"),
    ],
)
def test_a_stop_waits_for_its_price_and_locks_meanwhile(
    new_solo: NewSolo, kind: dict[str, Any], price: str, named: str
) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    placed = solo.act("order", symbol=pair(solo), side="sell", quantity=D(1), **kind)
    assert (placed.request.kind, placed.status, solo.books.free("BTC")) == (named, "open", 0)
    solo.pin(pair(solo), D(62050))
    assert placed.status == "open"
    solo.pin(pair(solo), D(price))
    assert (placed.status, placed.trades[0].price) == ("filled", D(price) - D("0.1"))


def test_a_trailing_stop_follows_the_best_price(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    give(solo, "BTC", "1.1")
    placed = order(solo, "sell", "1", trailing=D(1000))
    for price, status in (("63000", "open"), ("62001", "open"), ("62000", "filled")):
        solo.pin(pair(solo), D(price))
        assert placed.status == status, price


def test_an_order_sized_in_quote_buys_what_that_pays(new_solo: NewSolo) -> None:
    solo = new_solo("kraken")
    bought = solo.act("order", symbol=pair(solo), side="buy", quantity=None, spend=D(1000))
    assert (bought.filled, bought.request.quote_amount) == (D("0.01612"), 1000)
    shown = kraken_shapes.order(bought, solo.books.prices.markets[pair(solo)], with_trades=False)
    assert (shown["vol"], shown["vol_exec"], "viqc" in shown["oflags"]) == ("1000.00000000", "999.44161200", True)


def test_an_order_edited_at_the_venue(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    placed = order(solo, "buy", "0.1", "61000")
    solo.act("edit", order_id=placed.venue_order_id, quantity=D("0.05"), limit=D(60000))
    assert (placed.request.quantity, solo.books.locked("USDT")) == (D("0.05"), 3000)
    other = solo.act("edit", order_id=placed.venue_order_id, quantity=D("0.02"), replaced=True)
    assert (placed.status, other.status, other.venue_order_id != placed.venue_order_id) == ("cancelled", "open", True)


@BOTH
def test_an_order_that_the_venue_forgot(new_solo: NewSolo, venue: str) -> None:
    solo = new_solo(venue)
    placed = order(solo, "buy", "0.1", "61000")
    assert solo.books.shown_orders(solo.now) == [placed]
    solo.act("forget", order_id=placed.venue_order_id)
    solo.advance(86_400)
    assert (placed.status, solo.books.shown_orders(solo.now)) == ("cancelled", [])


@pytest.mark.parametrize(
    ("rule", "quantity", "limit", "refusal"),
    [
        ({"max_quantity": D("0.5")}, "0.50001", "61000", Refusal.MAXIMUM),
        ({"max_market_quantity": D("0.2")}, "0.20001", None, Refusal.MARKET_MAXIMUM),
        ({"max_position": D("1.3")}, "0.20001", None, Refusal.POSITION),
    ],
)
def test_the_largest_order_and_the_largest_position(
    new_solo: NewSolo, rule: dict[str, Decimal], quantity: str, limit: str | None, refusal: Refusal
) -> None:
    """One coin is held and a tenth is being bought; MAX_POSITION counts both."""
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    order(solo, "buy", "0.1", "50000")
    solo.act("change_market", symbol=pair(solo), **rule)
    assert refused(solo, "buy", quantity, limit) is refusal
    order(solo, "buy", str(D(quantity) - D("0.00001")), limit)
    if refusal is Refusal.POSITION:
        order(solo, "sell", "1")


@BOTH
def test_a_halted_market_takes_no_order_and_fills_none(new_solo: NewSolo, venue: str) -> None:
    solo = new_solo(venue)
    resting = order(solo, "buy", "0.1", "61000")
    solo.act("set_status", symbol=pair(solo), status={"binance": "BREAK", "kraken": "cancel_only"}[venue])
    assert refused(solo, "buy", "0.1") is Refusal.CLOSED
    solo.pin(pair(solo), D(60000))
    assert resting.status == "open"
    solo.act("set_status", symbol=pair(solo), status="")
    solo.advance(10)
    assert resting.status == "filled"


def test_a_delisted_coin_is_still_held_and_its_orders_are_gone(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    resting = order(solo, "sell", "1", "70000")
    solo.act("delist", symbol=pair(solo))
    assert (resting.status, wallet(solo, "BTC"), pair(solo) in solo.books.prices.listed()) == ("cancelled", 1, False)


def test_a_price_of_nothing_and_a_last_trade_long_ago(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    solo.pin(pair(solo), D(0))
    assert refused(solo, "buy", "0.1") is Refusal.CLOSED
    assert solo.books.prices.bid(pair(solo), solo.now) == 0
    solo.act("last_trade", symbol=pair(solo, "ETH"))
    before = solo.books.prices.at(pair(solo, "ETH"), solo.now)
    solo.advance(3 * 86_400)
    assert solo.books.prices.at(pair(solo, "ETH"), solo.now) == before
    assert solo.books.prices.went_quiet(pair(solo, "ETH"), solo.now)


# --- conservation -----------------------------------------------------------------------------------------


def cancel_the_oldest(solo: Solo) -> None:
    for order in solo.books.open()[:1]:
        solo.books.cancel(order, solo.now)


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
