"""Lists in which one row is not understood: it stands as that, named and safe, and every other row is read.

Rows of venues without a described answer go through the real ccxt class, as a read's do.
"""

import base64
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from belay.adapters.live.asset_names import AssetNames, listed_assets
from belay.adapters.live.history import Found, Query, Window, read_page
from belay.adapters.live.profiles import load_profile
from belay.adapters.live.profiles.answers import rows_of
from belay.adapters.live.public_market import exchange_class
from belay.adapters.live.reading import Unbelievable
from belay.adapters.live.redaction import Redaction
from belay.adapters.live.rows import (
    MOST_UNREAD,
    UnreadOrder,
    Wallets,
    read_balances,
    read_orders,
    read_trades,
)
from belay.adapters.live.tolerant import read_rows_apart
from belay.domain.venues import UnreadRow, VenueOrder, VenueStatus
from tests.unit.live.test_reading import BINANCE_ORDER, BINANCE_TRADE, KRAKEN_ORDER, KRAKEN_TRADE, ORDER_ID

BINANCE, KRAKEN = load_profile("binance"), load_profile("kraken")
MARKETS = {
    "BTCUSDT": "BTC/USDT",
    "ETHUSDT": "ETH/USDT",
    "币安人生USDT": "币安人生/USDT",
    "XBTUSD": "BTC/USD",
    "XXBTZUSD": "BTC/USD",
    "BTC/USDT": "BTC/USDT",
    "BTC-USDT": "BTC/USDT",
    "BTC-USD": "BTC/USD",
    "BTC/USD": "BTC/USD",
    "BTC_USDT": "BTC/USDT",
}
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
told = Redaction([SECRET, "a key of ours 1234567"]).told


def orders(profile: Any, *rows: dict[str, Any]) -> tuple[VenueOrder | UnreadOrder, ...]:
    return read_orders(profile, rows, MARKETS.get, told)


def unread(profile: Any, row: dict[str, Any]) -> UnreadRow:
    [found] = orders(profile, row)
    assert isinstance(found, UnreadOrder)
    return found.row


def parsed(venue: str, method: str, rows: list[Any], symbol: str = "BTC/USDT") -> list[dict[str, Any]]:
    """What ccxt's class makes of the rows of a list."""
    exchange = exchange_class(venue)({})
    exchange.number = str
    base, quote = symbol.split("/")
    market = {
        "id": next(name for name, known in MARKETS.items() if known == symbol and ("/" not in name)),
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "type": "spot",
        "spot": True,
        "precision": {"amount": "0.00000001", "price": "0.1"},
        "limits": {},
    }
    exchange.set_markets([market])
    read_rows_apart(exchange)
    result: list[dict[str, Any]] = getattr(exchange, method)(rows, exchange.markets[symbol])
    return result


# --- R1, R8: orders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "symbol", "assets"),
    [
        ({"status": "HALTED_BY_COURT"}, "HALTED_BY_COURT", "BTC/USDT", ("BTC",)),
        ({"symbol": "NOPEUSDT"}, "PARTIALLY_FILLED", None, ()),
        ({"symbol": "币安人生USDT", "side": "BUY"}, "PARTIALLY_FILLED", None, ("USDT",)),
        ({"origQty": None}, "PARTIALLY_FILLED", "BTC/USDT", ("BTC",)),
        ({"origQty": "0.00000000", "side": "BUY"}, "PARTIALLY_FILLED", "BTC/USDT", ("USDT",)),
        ({"side": "BOTH"}, "PARTIALLY_FILLED", "BTC/USDT", ("BTC", "USDT")),
        ({"price": "much"}, "PARTIALLY_FILLED", "BTC/USDT", ("BTC",)),
    ],
    ids=["status", "pair", "name", "no amount", "a quote-sized buy", "side", "price"],
)
def test_r01_a_foreign_order_that_is_not_understood_is_named_and_the_others_are_read(
    change: dict[str, Any], status: str, symbol: str | None, assets: tuple[str, ...]
) -> None:
    strange = {**BINANCE_ORDER, "orderId": 99, "clientOrderId": "web_17", **change}
    first, second, third = orders(BINANCE, BINANCE_ORDER, strange, {**BINANCE_ORDER, "orderId": 3})
    assert isinstance(second, UnreadOrder)
    row = second.row
    assert (row.what, row.reference, row.market) == ("order", "99", strange["symbol"])
    assert (row.status, row.symbol, row.assets) == (status, symbol, assets)
    assert [seen.venue_order_id for seen in (first, third) if isinstance(seen, VenueOrder)] == ["28457", "3"]


def test_of_a_row_that_is_nothing_at_all_is_told_that_it_is_there() -> None:
    rows = rows_of({"error": [], "result": {"open": {"OAAAAA": None}}}, KRAKEN.reading.open_rows)  # type: ignore[union-attr]
    assert rows is not None
    [found] = orders(KRAKEN, *rows)
    assert isinstance(found, UnreadOrder)
    assert (found.row.reference, found.row.assets, found.may_be(ORDER_ID)) == ("OAAAAA", (), True)


def test_rows_without_an_id_are_told_apart() -> None:
    nameless = {name: value for name, value in BINANCE_ORDER.items() if name != "orderId"}
    keys = {unread(BINANCE, {**nameless, "time": time}).key for time in (1, 2)}
    assert len(keys) == 2


@pytest.mark.parametrize("text", [SECRET, base64.b64encode(SECRET.encode()).decode(), "\x1b[31mred\u202e", "x" * 5000])
def test_what_is_told_of_a_row_is_safe(text: str) -> None:
    row = unread(BINANCE, {**BINANCE_ORDER, "orderId": text, "symbol": text, "status": text})
    shown = (row.reference, row.market, row.status, *row.assets)
    assert all(len(part) <= 64 and part.isprintable() and SECRET[:8] not in part for part in shown)


def test_an_answer_of_which_nothing_is_understood_is_one_problem_not_thousands() -> None:
    strange = [{"orderId": number} for number in range(MOST_UNREAD + 1)]
    assert len(orders(BINANCE, *strange[1:])) == MOST_UNREAD
    with pytest.raises(Unbelievable, match=f"{MOST_UNREAD + 1} rows"):
        orders(BINANCE, *strange)


@pytest.mark.parametrize(
    ("client_id", "may_be"),
    [(ORDER_ID, True), ("web_17", False), ("", False), (None, False), ({}, True), ("[redacted]", True), (17, False)],
)
def test_a_row_may_be_ours_if_it_bears_our_id_or_none_that_can_be_read(client_id: object, may_be: bool) -> None:
    [found] = orders(BINANCE, {**BINANCE_ORDER, "status": "NEWEST", "clientOrderId": client_id})
    assert isinstance(found, UnreadOrder)
    assert found.may_be(ORDER_ID) is may_be


# Shapes: OKX "Get order details", https://www.okx.com/docs-v5; Coinbase "List Orders",
# https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/orders/list-orders; HTX "Get all open orders",
# https://www.htx.com/en-us/opend; Gate "List all open orders", https://www.gate.com/docs/developers/apiv4.
OKX_ORDER = {
    "instType": "SPOT", "instId": "BTC-USDT", "ordId": "312269865356374016", "clOrdId": ORDER_ID, "px": "62000",
    "sz": "0.3", "accFillSz": "0", "state": "live", "ordType": "limit", "side": "buy", "avgPx": "", "fee": "",
    "cTime": "1709294400000", "uTime": "1709294400000", "tgtCcy": "",
}  # fmt: skip
COINBASE_BRACKET = {
    "order_id": "0000-000000-000000", "product_id": "BTC-USD", "client_order_id": "11111-000000-000000",
    "order_configuration": {
        "trigger_bracket_gtc": {"base_size": "0.001", "limit_price": "70000", "stop_trigger_price": "50000"}
    },
    "side": "SELL", "status": "CANCEL_PARTLY", "created_time": "2024-03-01T12:00:00Z", "filled_size": "0",
    "order_type": "BRACKET", "fee": "", "total_fees": "0",
}  # fmt: skip


def test_r08_a_status_that_ccxt_passes_on_as_it_is_concerns_its_own_row() -> None:
    rows = parsed("okx", "parse_orders", [{**OKX_ORDER, "ordId": "7", "clOrdId": "x", "state": "paused"}, OKX_ORDER])
    okx = load_profile("okx")
    found = {type(seen): seen for seen in orders(okx, *rows)}
    assert (found[UnreadOrder].row.reference, found[UnreadOrder].row.status) == ("7", "paused")  # type: ignore[union-attr]
    assert found[VenueOrder].venue_order_id == "312269865356374016"  # type: ignore[union-attr]


def test_r08_a_bracket_that_ccxt_gives_no_amount_is_one_row_and_its_client_id_tells_whose_it_is() -> None:
    rows = parsed("coinbase", "parse_orders", [COINBASE_BRACKET], "BTC/USD")
    [found] = orders(load_profile("coinbase"), *rows)
    assert isinstance(found, UnreadOrder)
    assert (found.row.reference, found.row.assets) == ("0000-000000-000000", ("BTC",))
    assert (found.may_be(ORDER_ID), found.may_be("11111-000000-000000")) == (False, True)


@pytest.mark.parametrize("state", ["PENDING", "QUEUED", "CANCEL_QUEUED"])
def test_what_coinbase_has_not_put_on_its_book_yet_is_open(state: str) -> None:
    plain = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "50000", "post_only": False}}
    shown = {**COINBASE_BRACKET, "status": state, "order_configuration": plain, "order_type": "LIMIT"}
    [found] = orders(load_profile("coinbase"), *parsed("coinbase", "parse_orders", [shown], "BTC/USD"))
    assert isinstance(found, VenueOrder)
    assert found.status is VenueStatus.OPEN


def test_a_row_over_which_ccxt_stumbles_is_left_raw_and_the_others_are_parsed() -> None:
    wrong = {**OKX_ORDER, "ordId": "9", "clOrdId": "by hand", "sz": "a lot"}
    rows = parsed("okx", "parse_orders", [wrong, None, OKX_ORDER])
    found = orders(load_profile("okx"), *rows)
    left = [seen for seen in found if isinstance(seen, UnreadOrder)]
    assert sum(isinstance(seen, VenueOrder) for seen in found) == 1
    by_hand = next(seen for seen in left if seen.row.reference == "9")
    assert (by_hand.row.market, by_hand.row.symbol, by_hand.may_be(ORDER_ID)) == ("BTC-USDT", "BTC/USDT", False)
    assert "ccxt cannot parse it" in by_hand.row.problem


def test_a_row_without_its_time_or_with_another_symbol_is_looked_at_all_the_same() -> None:
    """ccxt would leave both out of what it returns, and the look-up would be a miss."""
    nowhere = {**OKX_ORDER, "instId": 7}
    [found] = orders(load_profile("okx"), *parsed("okx", "parse_orders", [nowhere]))
    assert isinstance(found, UnreadOrder)
    assert found.may_be(ORDER_ID)
    timeless = parsed("okx", "parse_trades", [{**OKX_TRADE, "ts": None}])
    assert len(read_trades(load_profile("okx"), timeless, MARKETS.get, str, told).unread) == 1


# --- R6: closed -------------------------------------------------------------------------------------------------------

# Bybit "Get Order History", https://bybit-exchange.github.io/docs/v5/order/order-list; KuCoin "Get Order By OrderId".
BYBIT_ORDER = {
    "orderId": "1523347543495541248", "orderLinkId": ORDER_ID, "symbol": "BTCUSDT", "side": "Buy",
    "orderType": "Market", "price": "0", "qty": "0.1", "cumExecQty": "0.04", "leavesQty": "0.06",
    "orderStatus": "PartiallyFilledCanceled", "createdTime": "1709294400000", "updatedTime": "1709294400123",
    "avgPrice": "62000", "cumExecValue": "2480", "marketUnit": "baseCoin",
}  # fmt: skip


def test_r06_an_order_that_ccxt_calls_closed_is_filled_only_if_all_of_it_was() -> None:
    bybit = load_profile("bybit")
    partly, wholly = (
        orders(bybit, *parsed("bybit", "parse_orders", [{**BYBIT_ORDER, "orderStatus": status, "cumExecQty": filled}]))[
            0
        ]
        for status, filled in (("PartiallyFilledCanceled", "0.04"), ("Filled", "0.1"))
    )
    assert isinstance(partly, VenueOrder)
    assert isinstance(wholly, VenueOrder)
    assert (partly.status, partly.filled_quantity) == (VenueStatus.CANCELLED, Decimal("0.04"))
    assert (wholly.status, wholly.filled_quantity) == (VenueStatus.FILLED, Decimal("0.1"))


def test_a_raw_status_is_held_to_the_same_rule() -> None:
    [partly] = orders(KRAKEN, {**KRAKEN_ORDER, "status": "closed"})
    assert isinstance(partly, VenueOrder)
    assert (partly.status, partly.filled_quantity) == (VenueStatus.CANCELLED, Decimal("0.1"))


# --- R2, R7, R13: trades ----------------------------------------------------------------------------------------------

# Gate "List personal trading history"; OKX "Get transaction details"; both as ccxt quotes them.
GATE_TRADE = {
    "id": "5736713", "user_id": "1000001", "order_id": "30784428", "currency_pair": "BTC_USDT",
    "create_time": "1709294400", "create_time_ms": "1709294400123.456", "side": "buy", "amount": "0.1",
    "role": "taker", "price": "62000.1", "fee": "0", "fee_currency": "BTC", "point_fee": "0.4024342356", "gt_fee": "0",
}  # fmt: skip
OKX_TRADE = {
    "side": "sell", "fillSz": "0.1", "fillPx": "62000.1", "fee": "0.00480013", "ordId": "312269865356374016",
    "instType": "SPOT", "instId": "BTC-USDT", "clOrdId": "", "posSide": "net", "billId": "312269865356374017",
    "tag": "0", "execType": "M", "tradeId": "8", "feeCcy": "USDT", "ts": "1709294400123",
}  # fmt: skip


def trade(venue: str, row: dict[str, Any]) -> Any:
    rows = parsed(venue, "parse_trades", [row])
    [found] = read_trades(load_profile(venue), rows, MARKETS.get, str, told).trades
    return found


def test_r07_every_fee_counts_with_its_asset_and_its_sign() -> None:
    assert trade("gate", GATE_TRADE).fees == {"GATEPOINT": Decimal("0.4024342356")}
    assert trade("okx", OKX_TRADE).fees == {"USDT": Decimal("-0.00480013")}
    several = {**GATE_TRADE, "fee": "0.0002", "gt_fee": "0.5"}
    gt = {"BTC": Decimal("0.0002"), "GT": Decimal("0.5"), "GATEPOINT": Decimal("0.4024342356")}
    assert trade("gate", several).fees == gt


def test_a_rebate_of_a_described_venue_is_negative() -> None:
    [found] = read_trades(BINANCE, [{**BINANCE_TRADE, "commission": "-0.5"}], MARKETS.get, str, told).trades
    assert (found.fees, found.asset_changes()["BNB"]) == ({"BNB": Decimal("-0.5")}, Decimal("0.5"))


def test_a_trade_of_whose_fee_nothing_is_said_counts_and_says_so() -> None:
    rows = [{**parsed("okx", "parse_trades", [OKX_TRADE])[0], "fee": {"cost": None, "currency": None}, "fees": []}]
    [found] = read_trades(load_profile("okx"), rows, MARKETS.get, str, told).trades
    assert (found.fees, found.estimated) == ({}, True)


def test_krakens_fee_is_an_estimate_until_its_ledger_tells() -> None:
    [found] = read_trades(KRAKEN, [KRAKEN_TRADE], MARKETS.get, str, told).trades
    assert (found.trade_id, found.estimated) == ("THVRQM-33VKH-UCI7BS", True)
    [exact] = read_trades(BINANCE, [BINANCE_TRADE], MARKETS.get, str, told).trades
    assert not exact.estimated


def test_r13_what_a_trade_moved_is_what_the_venue_says() -> None:
    [binance] = read_trades(BINANCE, [{**BINANCE_TRADE, "quoteQty": "6200.01"}], MARKETS.get, str, told).trades
    [kraken] = read_trades(KRAKEN, [{**KRAKEN_TRADE, "cost": "6200.0099"}], MARKETS.get, str, told).trades
    assert (binance.cost, binance.asset_changes()["USDT"]) == (Decimal("6200.01"), Decimal("6200.01"))
    assert (kraken.cost, kraken.asset_changes()["USD"]) == (Decimal("6200.0099"), Decimal("-6216.1299"))
    untold = {name: value for name, value in BINANCE_TRADE.items() if name != "quoteQty"}
    [computed] = read_trades(BINANCE, [untold], MARKETS.get, str, told).trades
    assert (computed.cost, computed.notional) == (None, Decimal("6200.01"))
    for wrong in ("much", -1, 0.5):
        read = read_trades(BINANCE, [{**BINANCE_TRADE, "quoteQty": wrong}], MARKETS.get, str, told)
        assert (len(read.trades), len(read.unread)) == (0, 1)


def test_r02_a_trade_that_is_not_understood_is_named_and_the_others_count() -> None:
    strange = {**BINANCE_TRADE, "id": 18, "commission": None}
    read = read_trades(BINANCE, [BINANCE_TRADE, strange, {**BINANCE_TRADE, "id": 19}], MARKETS.get, str, told)
    assert [found.trade_id for found in read.trades] == ["17", "19"]
    [row] = read.unread
    assert (row.what, row.reference, row.symbol, row.assets) == ("trade", "18", "BTC/USDT", ("BTC", "USDT", "BNB"))


START, END = datetime(2024, 3, 1, 12, tzinfo=UTC), datetime(2024, 3, 1, 13, tzinfo=UTC)


def paged(profile: Any, symbol: str, answers: dict[Any, list[dict[str, Any]]], page: str | None = None) -> Any:
    def ask(query: Query) -> Found:
        rows = answers[query.params.get("ofs", query.params.get("fromId", query.since))]
        read = read_trades(profile, rows, MARKETS.get, str, told)
        return Found(read, {"result": {"count": 999}})

    return read_page(profile, ask, Window(symbol, START, END, page))


def test_a_strange_trade_belongs_to_its_symbol_or_where_that_is_not_known_to_each() -> None:
    strange = {**KRAKEN_TRADE, "fee": "?"}
    nowhere = {**strange, "@key": "T2", "pair": {}}
    answers = {0: [strange, nowhere]}
    assert [row.reference for row in paged(KRAKEN, "BTC/USD", answers).unread] == ["THVRQM-33VKH-UCI7BS", "T2"]
    assert [row.reference for row in paged(KRAKEN, "ETH/USD", answers).unread] == ["T2"]


def test_paging_goes_on_behind_a_strange_trade() -> None:
    small = BINANCE.model_copy(update={"history": BINANCE.history.model_copy(update={"page_size": 2})})
    strange = {**BINANCE_TRADE, "id": 18, "qty": "?"}
    first = paged(small, "BTC/USDT", {1709294400000: [BINANCE_TRADE, strange]})
    assert first.next_page == "id:19"
    last = paged(small, "BTC/USDT", {"19": [strange]}, first.next_page)
    assert last.next_page is None


def test_r04_an_empty_page_ends_a_list_that_counts_more_rows_than_it_has() -> None:
    first = paged(KRAKEN, "BTC/USD", {0: [KRAKEN_TRADE]})
    assert (len(first.trades), first.next_page) == (1, "1")
    last = paged(KRAKEN, "BTC/USD", {1: []}, first.next_page)
    assert (last.trades, last.next_page) == ((), None)


def test_r44_a_full_page_whose_paging_is_not_verified_gives_what_it_has_and_says_that_it_is_full() -> None:
    okx = load_profile("okx")
    rows = parsed("okx", "parse_trades", [{**OKX_TRADE, "tradeId": str(number)} for number in range(100)])
    page = paged(okx, "BTC/USDT", {1709294400000: rows})
    assert (len(page.trades), page.full, page.next_page) == (100, True, None)
    assert paged(okx, "BTC/USDT", {1709294400000: rows[1:]}).full is False


def test_the_end_of_a_window_is_asked_for_so_that_a_shorter_one_has_fewer_rows() -> None:
    asked: list[Query] = []

    def ask(query: Query) -> Found:
        asked.append(query)
        return Found(read_trades(load_profile("htx"), [], MARKETS.get, str, told), [])

    following = None
    for _ in range(3):
        end = datetime(2024, 3, 6, 12, tzinfo=UTC)
        following = read_page(load_profile("htx"), ask, Window("BTC/USDT", START, end, following)).next_page
    hours = [(query.params["until"] + 1 - (query.since or 0)) / 3_600_000 for query in asked]
    assert hours[:2] == [48, 48]
    assert 24 <= hours[2] < 25
    assert following is None


# --- R5, R12: balances ------------------------------------------------------------------------------------------------

# Kraken "Get Asset Info" and "Get Extended Balance", https://docs.kraken.com/api-reference.
ASSETS = {
    "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5, "status": "enabled"},
    "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2, "status": "enabled"},
    "XXRP": {"aclass": "currency", "altname": "XRP", "decimals": 8, "display_decimals": 5, "status": "enabled"},
    "LDO": {"aclass": "currency", "altname": "LDO", "decimals": 10, "display_decimals": 5, "status": "enabled"},
    "XBT.F": {"aclass": "currency", "altname": "XBT.F", "decimals": 8, "display_decimals": 5, "status": "enabled"},
    "XBT.M": {"aclass": "currency", "altname": "XBT.M", "decimals": 10, "display_decimals": 5, "status": "enabled"},
}


def kraken_wallets(result: dict[str, Any]) -> Wallets:
    exchange = exchange_class("kraken")({})
    exchange.publicGetAssets = lambda _params: {"error": [], "result": ASSETS}
    names = AssetNames(listed_assets(exchange.fetch_currencies()), KRAKEN.market.spendable)
    assert KRAKEN.reading is not None
    rows = rows_of({"error": [], "result": result}, KRAKEN.reading.balance_rows)
    assert rows is not None

    def code(name: str) -> str:
        found = names.find(name)
        return found.code if found else name

    def decimals(name: str) -> int | None:
        found = names.find(name)
        return found.decimals if found else None

    return read_balances(KRAKEN.reading.balances, rows, code, decimals, told)


def wallet(balance: str, held: str = "0") -> dict[str, str]:
    return {"balance": balance, "hold_trade": held}


def test_r12_what_is_spent_through_an_asset_counts_with_it() -> None:
    read = kraken_wallets(
        {
            "XXBT": wallet("0.1", "0.04"),
            "XBT.F": wallet("0.2"),
            "XBT.M": wallet("5"),
            "USD.F": wallet("7.5"),
            "LDO": wallet("3"),
            "XXRP": wallet("4"),
        }
    )
    assert read.total == {
        "BTC": Decimal("0.3"),
        "BTC.M": Decimal(5),
        "USD": Decimal("7.5"),
        "LDO": Decimal(3),
        "XRP": Decimal(4),
    }
    assert read.free["BTC"] == Decimal("0.26")
    assert (read.decimals["BTC"], read.decimals["USD"], read.decimals["XRP"]) == (8, 4, 8)


def test_a_name_counts_with_an_asset_only_if_that_is_one() -> None:
    read = kraken_wallets({"FOO.F": wallet("1"), "XBT.X": wallet("2")})
    assert read.total == {"FOO.F": Decimal(1), "XBT.X": Decimal(2)}


def test_r12_an_earn_position_of_binance_is_no_part_of_the_asset_that_can_be_traded() -> None:
    assert BINANCE.reading is not None
    rows = [{"asset": asset, "free": "1", "locked": "0"} for asset in ("BTC", "LDBTC", "LDO")]
    read = read_balances(BINANCE.reading.balances, rows, str, lambda _name: None, told)
    assert read.total == dict.fromkeys(("BTC", "LDBTC", "LDO"), Decimal(1))
    assert read.decimals == dict.fromkeys(("BTC", "LDBTC", "LDO"), 8)


def test_with_one_wallet_of_an_asset_not_understood_nothing_of_the_asset_is_told() -> None:
    read = kraken_wallets({"XXBT": wallet("0.1"), "XBT.F": wallet("?"), "ZUSD": wallet("2")})
    assert read.total == {"USD": Decimal(2)}
    assert [(row.reference, row.assets) for row in read.unread] == [("XBT.F", ("BTC",))]


def test_an_account_that_was_never_funded_has_no_balances() -> None:
    assert KRAKEN.reading is not None
    assert rows_of({"error": []}, KRAKEN.reading.balance_rows) == []
    others: list[dict[str, Any]] = [{}, {"error": None}, {"error": ["EService:Busy"]}, {"error": [], "result": []}]
    for broken in others:
        assert rows_of(broken, KRAKEN.reading.balance_rows) is None
