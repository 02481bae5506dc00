"""A venue's rows as exact values: what is read from them, and that a wrong part is never guessed."""

from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.live.profiles import load_profile
from belay.adapters.live.profiles.answers import dig
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import SymbolOf, Unbelievable, number, read_order, read_trade
from belay.adapters.live.rows import Wallets, read_balances, unified_balances
from belay.domain.decisions import Side
from belay.domain.venues import VenueStatus

BINANCE, KRAKEN, OKX = load_profile("binance"), load_profile("kraken"), load_profile("okx")
ORDER_ID = "0123456789abcdef0123456789abcdef"
MARKETS = {"BTCUSDT": "BTC/USDT", "XBTUSD": "BTC/USD", "XXBTZUSD": "BTC/USD", "BTC/USDT": "BTC/USDT"}
ASSETS = {"XXBT": "BTC", "ZUSD": "USD"}


def balances(venue: CcxtProfile, rows: list[dict[str, Any]], asset_of: SymbolOf = str) -> Wallets:
    assert venue.reading is not None
    return read_balances(venue.reading.balances, rows, asset_of, lambda _name: None, str)


BINANCE_ORDER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 28457,
    "clientOrderId": ORDER_ID,
    "price": "62000.10000000",
    "origQty": "0.30000000",
    "executedQty": "0.10000000",
    "status": "PARTIALLY_FILLED",
    "type": "LIMIT",
    "side": "SELL",
    "time": 1709294400000,
    "updateTime": 1709294400123,
}
KRAKEN_ORDER: dict[str, Any] = {
    "@key": "OUF4EM-FRGI2-MQMWZD",
    "cl_ord_id": "01234567-89AB-CDEF-0123-456789ABCDEF",
    "status": "canceled",
    "opentm": Decimal("1709294400.123456"),
    "closetm": Decimal("1709294401.5"),
    "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "62000.1"},
    "vol": "0.3",
    "vol_exec": "0.1",
}
BINANCE_TRADE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "id": 17,
    "orderId": 28457,
    "price": "62000.10000000",
    "qty": "0.10000000",
    "commission": "0.00000700",
    "commissionAsset": "BNB",
    "quoteQty": "6200.01000000",
    "time": 1709294400123,
    "isBuyer": False,
}
KRAKEN_TRADE: dict[str, Any] = {
    "@key": "THVRQM-33VKH-UCI7BS",
    "ordertxid": "OUF4EM-FRGI2-MQMWZD",
    "pair": "XXBTZUSD",
    "time": Decimal("1709294400.123456"),
    "type": "buy",
    "price": "62000.10000",
    "cost": "6200.01000",
    "fee": "16.12",
    "vol": "0.1",
}


def test_an_order_of_binance_is_read_exactly() -> None:
    order = read_order(BINANCE, BINANCE_ORDER, MARKETS.get)
    assert (order.venue_order_id, order.client_order_id, order.symbol) == ("28457", ORDER_ID, "BTC/USDT")
    assert (order.side, order.status) == (Side.SELL, VenueStatus.OPEN)
    assert [order.quantity, order.limit_price, order.filled_quantity] == [
        Decimal("0.3"),
        Decimal("62000.1"),
        Decimal("0.1"),
    ]
    assert order.updated_at == datetime(2024, 3, 1, 12, 0, 0, 123000, UTC)


def test_an_order_of_kraken_is_read_exactly() -> None:
    order = read_order(KRAKEN, KRAKEN_ORDER, MARKETS.get)
    assert (order.venue_order_id, order.client_order_id, order.symbol) == ("OUF4EM-FRGI2-MQMWZD", ORDER_ID, "BTC/USD")
    assert (order.side, order.status, order.limit_price) == (Side.BUY, VenueStatus.CANCELLED, Decimal("62000.1"))
    assert order.updated_at == datetime(2024, 3, 1, 12, 0, 1, 500000, UTC)


def test_a_market_order_has_no_limit_price_whatever_price_is_shown() -> None:
    for price in ("0.00000000", "62000.1"):
        shown = {**BINANCE_ORDER, "type": "MARKET", "price": price}
        assert read_order(BINANCE, shown, MARKETS.get).limit_price is None


def test_a_time_that_is_not_told_yet_is_passed_over() -> None:
    """Kraken shows an open order without, or with an empty, closing time."""
    for closed in ({}, {"closetm": 0}, {"closetm": None}):
        shown = {name: value for name, value in KRAKEN_ORDER.items() if name != "closetm"} | closed
        assert read_order(KRAKEN, shown, MARKETS.get).updated_at == datetime(2024, 3, 1, 12, 0, 0, 123456, UTC)


def test_a_fee_is_in_the_asset_that_the_trade_names() -> None:
    trade = read_trade(BINANCE, BINANCE_TRADE, MARKETS.get, lambda asset: asset)
    assert trade is not None
    assert (trade.fees, trade.side, trade.trade_id) == ({"BNB": Decimal("0.000007")}, Side.SELL, "17")
    free = read_trade(BINANCE, {**BINANCE_TRADE, "commission": "0"}, MARKETS.get, lambda asset: asset)
    assert free is not None
    assert free.fees == {}


def test_a_fee_whose_asset_is_not_named_is_in_quote_currency() -> None:
    trade = read_trade(KRAKEN, KRAKEN_TRADE, MARKETS.get, ASSETS.get)
    assert trade is not None
    assert trade.fees == {"USD": Decimal("16.12")}
    assert trade.at == datetime(2024, 3, 1, 12, 0, 0, 123456, UTC)


def test_a_trade_in_a_market_that_is_not_known_is_nobodys() -> None:
    assert read_trade(KRAKEN, {**KRAKEN_TRADE, "pair": "NOPE"}, MARKETS.get, ASSETS.get) is None


def test_an_order_in_a_market_that_is_not_known_cannot_be_shown() -> None:
    with pytest.raises(Unbelievable, match="market"):
        read_order(BINANCE, {**BINANCE_ORDER, "symbol": "NOPE"}, MARKETS.get)


def test_balances_are_totals_and_zeros_are_left_out() -> None:
    rows = [{"asset": "BTC", "free": "1.5", "locked": "0.25"}, {"asset": "ETH", "free": "0.0", "locked": "0"}]
    assert balances(BINANCE, rows).total == {"BTC": Decimal("1.75")}
    held = [{"@key": "XXBT", "balance": "1"}, {"@key": "ZUSD", "balance": "2.50"}]
    assert balances(KRAKEN, held, ASSETS.get).total == {"BTC": Decimal(1), "USD": Decimal("2.50")}
    assert unified_balances({"total": {"BTC": "1.75", "ETH": "0"}}, str).total == {"BTC": Decimal("1.75")}


def test_what_is_free_and_the_decimals_are_what_the_venue_says() -> None:
    [read] = [balances(BINANCE, [{"asset": "BTC", "free": "1.5", "locked": "0.25"}])]
    assert (read.free, read.decimals) == ({"BTC": Decimal("1.5")}, {"BTC": 8})
    held = [{"@key": "ZUSD", "balance": "2.50", "hold_trade": "2"}, {"@key": "XXBT", "balance": "1"}]
    assert balances(KRAKEN, held, ASSETS.get).free == {"USD": Decimal("0.50")}
    told = {"total": {"BTC": "1.75", "USD": "1"}, "free": {"BTC": "1.5", "USD": None}}
    assert unified_balances(told, str).free == {"BTC": Decimal("1.5")}


@pytest.mark.parametrize("told", [{}, {"total": None}])
def test_unified_balances_without_totals_are_none(told: dict[str, Any]) -> None:
    with pytest.raises(Unbelievable):
        unified_balances(told, str)


@pytest.mark.parametrize("amount", [None, 1.5, "NaN"])
def test_a_balance_without_an_exact_number_is_not_understood_and_the_others_are_read(amount: object) -> None:
    read = unified_balances({"total": {"BTC": amount, "USD": "1"}}, str)
    assert read.total == {"USD": Decimal(1)}
    assert [(row.what, row.reference, row.assets) for row in read.unread] == [("balance", "BTC", ("BTC",))]


def test_money_that_went_through_a_float_is_not_believed() -> None:
    assert [number(value) for value in ("0.1", 3, Decimal("0.1"))] == [Decimal("0.1"), 3, Decimal("0.1")]
    unbelievable: tuple[Any, ...] = (0.1, True, None, "", "NaN", "Infinity", "much", [], {})
    for value in unbelievable:
        with pytest.raises(Unbelievable):
            number(value)


WRONG_IDS = ["", "x" * 65, "with space", "a|b", "a\nb", "\x1b[31m", "[redacted]", "é", True, {}, 1.5]
WRONG_WORDS = ["x" * 65, "a\nb", "\x1b[31m", "it was [redacted]", "\u202e"]


@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_an_id_has_the_shape_of_one_since_it_becomes_a_part_of_keys(wrong: object) -> None:
    for row in ({**BINANCE_TRADE, "id": wrong}, {**BINANCE_TRADE, "orderId": wrong}):
        with pytest.raises(Unbelievable):
            read_trade(BINANCE, row, MARKETS.get, str)
    with pytest.raises(Unbelievable):
        read_order(BINANCE, {**BINANCE_ORDER, "orderId": wrong}, MARKETS.get)


@pytest.mark.parametrize("wrong", WRONG_WORDS)
def test_names_are_short_printable_and_nothing_was_taken_out_of_them(wrong: str) -> None:
    with pytest.raises(Unbelievable):
        read_order(BINANCE, {**BINANCE_ORDER, "clientOrderId": wrong}, MARKETS.get)
    with pytest.raises(Unbelievable):
        read_trade(BINANCE, {**BINANCE_TRADE, "commissionAsset": wrong}, MARKETS.get, str)
    for read in (
        balances(BINANCE, [{"asset": wrong, "free": "1", "locked": "0"}]),
        unified_balances({"total": {wrong: "1"}}, str),
    ):
        assert (read.total, len(read.unread)) == ({}, 1)


def test_an_order_that_somebody_named_in_words_is_read() -> None:
    seen = read_order(BINANCE, {**BINANCE_ORDER, "clientOrderId": "cron 17/é"}, MARKETS.get)
    assert seen.client_order_id == "cron 17/é"


@pytest.mark.parametrize("value", ["1e100", "-1e100", "1e-100", "9" * 65, 10**65, "NaN", "1_000_x", float("inf")])
def test_a_number_out_of_bounds_is_not_believed(value: object) -> None:
    with pytest.raises(Unbelievable):
        number(value)
    for money in ("9" * 64, "1e30", "0E-18", -5):
        assert number(money) == Decimal(money)


def test_what_ccxt_makes_of_an_answer_is_read_where_answers_are_not_described() -> None:
    row = {
        "id": "17",
        "clientOrderId": ORDER_ID,
        "symbol": "BTC/USDT",
        "side": "buy",
        "type": "limit",
        "amount": "0.3",
        "price": "62000.1",
        "filled": "0.3",
        "status": "closed",
        "timestamp": 1709294400000,
    }
    order = read_order(OKX, row, MARKETS.get)
    assert (order.client_order_id, order.status, order.quantity) == (ORDER_ID, VenueStatus.FILLED, Decimal("0.3"))


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["-1", "1e400", "1e-400", "0", "99999999999999999999999999", 10**30, -1]),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
ROWS: dict[str, tuple[dict[str, Any], Any]] = {
    "an order of binance": (BINANCE_ORDER, lambda row: read_order(BINANCE, row, MARKETS.get)),
    "an order of kraken": (KRAKEN_ORDER, lambda row: read_order(KRAKEN, row, MARKETS.get)),
    "a trade of binance": (BINANCE_TRADE, lambda row: read_trade(BINANCE, row, MARKETS.get, lambda asset: asset)),
    "a trade of kraken": (KRAKEN_TRADE, lambda row: read_trade(KRAKEN, row, MARKETS.get, ASSETS.get)),
}


@pytest.mark.parametrize("what", ROWS)
@given(data=st.data())
def test_a_row_with_a_wrong_part_is_unbelievable_or_still_means_something(what: str, data: st.DataObject) -> None:
    sample, read = ROWS[what]
    row = deepcopy(sample)
    name = data.draw(st.sampled_from(sorted(row)))
    row[name] = data.draw(WRONG)
    with suppress(Unbelievable):
        found = read(row)
        assert found is None or found.quantity > 0


@pytest.mark.parametrize("what", ROWS)
def test_a_row_that_lacks_a_part_is_unbelievable(what: str) -> None:
    sample, read = ROWS[what]
    dispensable = {"clientOrderId", "cl_ord_id", "time", "updateTime", "opentm", "closetm"}
    for name in sample.keys() - (dispensable if what.startswith("an order") else {"cost", "quoteQty"}):
        with pytest.raises(Unbelievable):
            read({other: value for other, value in sample.items() if other != name})
    assert dig(sample, "nothing.here") is None
