"""What orders lock at the test venue, and orders and markets of every kind. In memory, without Belay."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.venue_accounts import BOTH, D, give, order, pair, refused, wallet
from tests.venue_server import kraken_shapes
from tests.venue_server.orders import Refusal

NewSolo = Callable[..., Any]


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


def test_a_triggered_stop_whose_own_limit_rests_has_ended_the_other_leg(new_solo: NewSolo) -> None:
    solo = new_solo("binance")
    give(solo, "BTC", "1")
    legs = solo.act(
        "oco", symbol=pair(solo), side="sell", quantity=D(1), limit=D(90000), stop=D(50500), stop_limit=D(50450)
    )
    solo.pin(pair(solo), D(50400))
    assert [leg.status for leg in legs] == ["expired", "open"]
    assert solo.books.locked("BTC") == 1


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
