"""Answers that are strange in one place, on the wire: the rest is read, and the place is told as what it is."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from belay.domain.errors import AccountRefused, NotUnderstood, SymbolUnavailable, VenueUnavailable
from belay.domain.flows import FlowKind
from belay.domain.venues import UnreadRow, VenueStatus, readable, unread
from tests.unit.live.trading import BOTH, FAR_BELOW, START, Trading, answering

Change = Callable[[Any], Any]
OPEN = {"binance": "/openOrders", "kraken": "/OpenOrders"}
TRADES = {"binance": "/myTrades", "kraken": "/TradesHistory"}
BALANCES = {"binance": "/account", "kraken": "/BalanceEx"}
MARKETS = {"binance": "/exchangeInfo", "kraken": "/AssetPairs"}
TICKER = {"binance": "/ticker/24hr", "kraken": "/Ticker"}
REAL = requests.Session.request


def answer(patch: pytest.MonkeyPatch, path: str, change: Change, status: int | None = None) -> list[str]:
    """Let the venue answer what it does, changed in one place; the bodies of what was asked there."""
    asked: list[str] = []

    def request(session: Any, method: str, url: str, **options: Any) -> requests.Response:
        response = REAL(session, method, url, **options)
        if not urlsplit(url).path.endswith(path):
            return response
        asked.append(str(options.get("data") or urlsplit(url).query))
        body = response.raw.read(decode_content=True)
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        told = change(document)
        text = told if isinstance(told, str) else json.dumps(told)
        return answering(status or response.status_code, text)()

    patch.setattr(requests.Session, "request", request)
    return asked


def rows_in(venue: str, document: Any, name: str) -> dict[str, Any] | list[Any]:
    found: dict[str, Any] | list[Any] = document if venue == "binance" else document["result"][name]
    return found


def each_row(venue: str, name: str, change: Callable[[dict[str, Any]], None], which: int) -> Change:
    """Change one row of a list, counted as the venue shows them."""

    def changed(document: Any) -> Any:
        rows = rows_in(venue, document, name)
        change((list(rows.values()) if isinstance(rows, dict) else rows)[which])
        return document

    return changed


# --- orders -----------------------------------------------------------------------------------------------------------


@BOTH
def test_r01_one_foreign_order_that_is_not_understood_leaves_the_others_readable(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    trading.placed(account, limit_price=FAR_BELOW)
    ours, _ = trading.placed(account, limit_price=FAR_BELOW)
    answer(
        monkeypatch, OPEN[trading.venue], each_row(trading.venue, "open", lambda row: row.update(status="haunted"), 0)
    )
    listed = account.venue.open_orders()
    assert [seen.client_order_id for seen in readable(listed)] == [ours.client_order_id]
    [row] = unread(listed)
    assert (row.status, row.symbol, row.assets) == ("haunted", trading.symbol, (trading.symbol.split("/")[1],))


@BOTH
def test_what_ccxt_would_stumble_over_is_one_row_as_well(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trading.open()
    trading.placed(account, limit_price=FAR_BELOW)
    trading.placed(account, limit_price=FAR_BELOW)
    vol = {"binance": "origQty", "kraken": "vol"}[trading.venue]
    answer(monkeypatch, OPEN[trading.venue], each_row(trading.venue, "open", lambda row: row.update({vol: "a lot"}), 0))
    assert [type(seen).__name__ for seen in account.venue.open_orders()].count("VenueOrder") == 1


def test_r01_a_look_up_by_client_id_that_shows_what_is_not_understood_is_no_miss(
    kraken: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = kraken.open()
    request, _ = kraken.placed(account, limit_price=FAR_BELOW)
    answer(monkeypatch, OPEN["kraken"], each_row("kraken", "open", lambda row: row.update(status="haunted"), 0))
    with pytest.raises(NotUnderstood, match="what may be this order: O"):
        account.venue.lookup(kraken.symbol, request.client_order_id)


def searching(trading: Trading) -> Any:
    """A venue of which nothing is known: a look-up searches the list of open orders."""
    profile = {"venue_profile": "generic"}
    options = {**trading.document().options, "options": {"warnOnFetchOpenOrdersWithoutSymbol": False}}
    return trading.open(**profile, options=options)


def test_r08_a_look_up_that_searches_a_list_passes_over_what_is_anothers(
    binance: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = searching(binance)
    binance.placed(account, limit_price=FAR_BELOW)
    ours, _ = binance.placed(account, limit_price=FAR_BELOW)
    answer(monkeypatch, OPEN["binance"], each_row("binance", "", lambda row: row.update(origQty="a lot"), 0))
    found = account.venue.lookup(binance.symbol, ours.client_order_id)
    assert found is not None
    assert (found.client_order_id, found.status) == (ours.client_order_id, VenueStatus.OPEN)
    assert account.venue.lookup(binance.symbol, uuid.uuid4().hex) is None


@pytest.mark.parametrize("client_id", ["ours", None, {"a": 1}])
def test_r08_a_look_up_that_searches_a_list_stops_at_what_may_be_ours(
    binance: Trading, monkeypatch: pytest.MonkeyPatch, client_id: object
) -> None:
    account = searching(binance)
    ours, _ = binance.placed(account, limit_price=FAR_BELOW)

    def strange(row: dict[str, Any]) -> None:
        row["origQty"] = "a lot"
        if client_id != "ours":
            row["clientOrderId"] = client_id

    answer(monkeypatch, OPEN["binance"], each_row("binance", "", strange, 0))
    if client_id is None:
        assert account.venue.lookup(binance.symbol, ours.client_order_id) is None
    else:
        with pytest.raises(NotUnderstood, match="may be this order"):
            account.venue.lookup(binance.symbol, ours.client_order_id)


# --- trades -----------------------------------------------------------------------------------------------------------


@BOTH
def test_r02_one_trade_that_is_not_understood_leaves_the_others_counted(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    for _ in range(3):
        trading.placed(account)
    answer(monkeypatch, TRADES[trading.venue], each_row(trading.venue, "trades", lambda row: row.update(price="?"), 1))
    page = account.venue.trades(trading.symbol, START, START + timedelta(seconds=1))
    assert (len(page.trades), [row.symbol for row in page.unread]) == (2, [trading.symbol])


def test_r04_krakens_count_may_be_larger_than_what_it_shows(kraken: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = kraken.open()
    kraken.placed(account)

    def more(document: Any) -> Any:
        document["result"]["count"] += 3
        return document

    answer(monkeypatch, TRADES["kraken"], more)
    first = account.venue.trades(kraken.symbol, START, START)
    assert (len(first.trades), first.next_page) == (1, "1")
    last = account.venue.trades(kraken.symbol, START, START, first.next_page)
    assert (last.trades, last.next_page) == ((), None)


@BOTH
def test_r13_a_trade_costs_what_the_venue_says(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trading.open()
    trading.placed(account)
    name = {"binance": "quoteQty", "kraken": "cost"}[trading.venue]
    told = each_row(trading.venue, "trades", lambda row: row.update({name: "619.98765432"}), 0)
    answer(monkeypatch, TRADES[trading.venue], told)
    [trade] = account.venue.trades(trading.symbol, START, START).trades
    assert trade.cost == trade.notional == Decimal("619.98765432")


# --- balances ---------------------------------------------------------------------------------------------------------


def test_r05_kraken_leaves_out_the_result_for_an_account_without_funds(
    kraken: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = kraken.open()
    answer(monkeypatch, BALANCES["kraken"], lambda _document: {"error": []})
    read = account.venue.balances()
    assert (read.total, read.free, read.unread) == ({}, {}, ())
    answer(monkeypatch, BALANCES["kraken"], lambda _document: {})
    with pytest.raises(NotUnderstood):
        account.venue.balances()


def test_r12_krakens_wallets_count_by_its_own_list_of_assets(kraken: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = kraken.open()
    before = account.venue.balances()

    def more(document: Any) -> Any:
        document["result"] |= {
            name: {"balance": amount, "hold_trade": "0"}
            for name, amount in {"XBT.F": "0.5", "USD.F": "2", "FOO.F": "1", "XBT.M": "9"}.items()
        }
        return document

    answer(monkeypatch, BALANCES["kraken"], more)
    read = account.venue.balances()
    assert read.total["BTC"] == before.total.get("BTC", 0) + Decimal("0.5")
    assert read.total["USD"] == before.total["USD"] + 2
    assert [read.total["FOO.F"], read.total["BTC.M"]] == [1, 9]
    assert (read.decimals["USD"], read.decimals["BTC"]) == (4, 10)


@BOTH
def test_what_is_free_is_told_apart_from_what_orders_lock(trading: Trading) -> None:
    account = trading.open()
    quote = trading.symbol.split("/")[1]
    trading.placed(account, limit_price=FAR_BELOW, quantity="0.1")
    read = account.venue.balances()
    locked = read.total[quote] - read.free[quote]
    assert locked >= FAR_BELOW / 10
    assert read.decimals[quote] == {"binance": 8, "kraken": 4}[trading.venue]


@BOTH
def test_a_balance_that_is_not_understood_is_its_assets_alone(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    trading.placed(account)

    def strange(document: Any) -> Any:
        rows = document["balances"] if trading.venue == "binance" else document["result"]
        row = next(row for row in rows if row["asset"] == "BTC") if isinstance(rows, list) else rows["XXBT"]
        row["free" if trading.venue == "binance" else "balance"] = None
        return document

    answer(monkeypatch, BALANCES[trading.venue], strange)
    read = account.venue.balances()
    assert set(read.total) == {trading.symbol.split("/")[1]}
    assert [row.assets for row in read.unread] == [("BTC",)]


# --- R9: told as what it is -------------------------------------------------------------------------------------------


def error_of(venue: str, code: str) -> Any:
    return {"code": int(code), "msg": "x"} if venue == "binance" else {"error": [code]}


ERRORS: dict[str, list[tuple[str, int, type[VenueUnavailable]]]] = {
    "binance": [
        ("-1102", 400, NotUnderstood),
        ("-9999", 400, NotUnderstood),
        ("-1121", 400, SymbolUnavailable),
        ("-1000", 400, VenueUnavailable),
        ("-1003", 429, VenueUnavailable),
        ("-9999", 503, VenueUnavailable),
        ("-2015", 401, AccountRefused),
    ],
    "kraken": [
        ("EGeneral:Invalid arguments", 200, NotUnderstood),
        ("EQuery:Unknown asset pair", 200, SymbolUnavailable),
        ("EService:Unavailable", 200, VenueUnavailable),
        ("EAPI:Rate limit exceeded", 200, VenueUnavailable),
        ("EAPI:Invalid key", 200, AccountRefused),
    ],
}


@pytest.mark.parametrize(("venue", "case"), [(venue, case) for venue, cases in ERRORS.items() for case in cases])
def test_r09_an_error_is_told_as_what_it_says(
    trading: Trading, monkeypatch: pytest.MonkeyPatch, case: tuple[str, int, type[VenueUnavailable]]
) -> None:
    account = trading.open()
    account.venue.balances()
    code, status, kind = case
    answer(monkeypatch, TRADES[trading.venue], lambda _document: error_of(trading.venue, code), status)
    with pytest.raises(VenueUnavailable, match=trading.venue if kind is not AccountRefused else code) as raised:
        account.venue.trades(trading.symbol, START, START)
    assert type(raised.value) is kind


@BOTH
@pytest.mark.parametrize("body", ['{"what": "is this"}', "[[]]", '"text"', "17"])
def test_r09_an_answer_that_is_another_than_was_asked_for_is_not_understood(
    trading: Trading, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    account = trading.open()
    account.venue.balances()
    answer(monkeypatch, BALANCES[trading.venue], lambda _document: body)
    with pytest.raises(VenueUnavailable, match=trading.venue) as raised:
        account.venue.balances()
    assert type(raised.value) is NotUnderstood or body in ('"text"', "17")


@BOTH
def test_silence_and_a_page_for_people_are_no_matter_of_understanding(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    account.venue.balances()
    answer(monkeypatch, BALANCES[trading.venue], lambda _document: "<html>back soon</html>")
    with pytest.raises(VenueUnavailable) as raised:
        account.venue.balances()
    assert type(raised.value) is VenueUnavailable


@BOTH
def test_r32_a_symbol_that_is_no_longer_listed_is_told_as_that_and_the_others_are_read(trading: Trading) -> None:
    gone = trading.pair("GONE")
    account = trading.open(symbols=(trading.symbol, gone))
    for read in (
        lambda: account.venue.lookup(gone, uuid.uuid4().hex),
        lambda: account.market_data.price(gone),
        lambda: account.market_data.market(gone),
    ):
        with pytest.raises(SymbolUnavailable, match=gone):
            read()
    assert account.market_data.price(trading.symbol).value > 0
    assert account.venue.open_orders() == ()


# --- markets ----------------------------------------------------------------------------------------------------------


def market_row(trading: Trading, document: Any, symbol: str) -> dict[str, Any]:
    base, quote = symbol.split("/")
    if trading.venue == "binance":
        return next(row for row in document["symbols"] if row["symbol"] == base + quote)
    name = {"BTC": "XBT"}.get(base, base) + quote
    return next(row for row in document["result"].values() if row["altname"] == name)


def with_market(trading: Trading, **changes: Any) -> Change:
    def changed(document: Any) -> Any:
        market_row(trading, document, trading.symbol).update(changes)
        return document

    return changed


@BOTH
@pytest.mark.parametrize("price", ["0", "0.00000000", None])
def test_r31_a_price_of_nothing_is_the_symbols_trouble_and_none_is_made_up(
    trading: Trading, monkeypatch: pytest.MonkeyPatch, price: str | None
) -> None:
    account = trading.open()
    account.market_data.market(trading.symbol)

    def worthless(document: Any) -> Any:
        if trading.venue == "binance":
            return {**document, "lastPrice": price}
        for row in document["result"].values():
            row["c"][0] = price
        return document

    answer(monkeypatch, TICKER[trading.venue], worthless)
    with pytest.raises(SymbolUnavailable, match=f"no price of {trading.symbol}"):
        account.market_data.price(trading.symbol)


@pytest.mark.parametrize(
    ("venue", "status"), [("binance", "BREAK"), ("kraken", "cancel_only"), ("kraken", "maintenance")]
)
def test_r31_a_market_that_is_halted_has_no_price_but_still_its_rules(
    trading: Trading, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    answer(monkeypatch, MARKETS[trading.venue], with_market(trading, status=status))
    account = trading.open()
    with pytest.raises(SymbolUnavailable, match=f"does not trade {trading.symbol}"):
        account.market_data.price(trading.symbol)
    assert account.market_data.market(trading.symbol).min_quantity > 0


@pytest.mark.parametrize("status", ["limit_only", "post_only", "reduce_only"])
def test_a_market_in_which_an_exit_may_still_go_keeps_its_price(
    kraken: Trading, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    answer(monkeypatch, MARKETS["kraken"], with_market(kraken, status=status))
    assert kraken.open().market_data.price(kraken.symbol).value > 0


def test_r07_a_market_that_pays_its_makers_is_read_and_the_rebate_is_not_counted_on(
    kraken: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, MARKETS["kraken"], with_market(kraken, fees_maker=[[0, -0.02]]))
    market = kraken.open().market_data.market(kraken.symbol)
    assert market.maker_fee == 0
    assert market.taker_fee > 0


def test_a_market_that_cannot_be_read_is_its_symbols_trouble_alone(
    binance: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, MARKETS["binance"], with_market(binance, filters=17, baseAsset=None))
    account = binance.open(symbols=(binance.symbol, "ETH/USDT"))
    assert account.market_data.market("ETH/USDT").symbol == "ETH/USDT"
    with pytest.raises((SymbolUnavailable, NotUnderstood), match=binance.symbol):
        account.market_data.market(binance.symbol)


# --- flows ------------------------------------------------------------------------------------------------------------


def test_krakens_ledger_is_asked_for_as_it_is_documented(kraken: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = kraken.open()
    row = {
        "refid": "QYYASTH-UKMJJW-RN3TMB", "time": START.timestamp() + 0.5, "type": "deposit", "subtype": "",
        "aclass": "currency", "asset": "XXBT", "amount": "0.5000000000", "fee": "0.0000000000", "balance": "0.5",
    }  # fmt: skip
    told = {"error": [], "result": {"ledger": {"L4UESK-KG3EQ-UFO4T5": row}, "count": 1}}
    asked = answer(monkeypatch, "/Ledgers", lambda _document: told, 200)
    page = account.venue.flows(START, START + timedelta(minutes=1))
    [flow] = page.flows
    assert (flow.kind, flow.amounts) == (FlowKind.DEPOSIT, {"BTC": Decimal("0.5")})
    assert (page.covered, page.read_until) == (True, START + timedelta(minutes=1))
    [query] = asked
    assert "type=all" in query
    assert f"start={int(START.timestamp()) - 6}" in query


def test_a_key_without_the_right_to_krakens_ledger_still_trades(
    kraken: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = kraken.open()
    answer(monkeypatch, "/Ledgers", lambda _document: {"error": ["EGeneral:Permission denied"]}, 200)
    page = account.venue.flows(START, START + timedelta(minutes=1))
    assert (page.covered, page.read_until) == (False, START)
    [row] = page.unread
    assert isinstance(row, UnreadRow)
    assert "Query ledger entries" in row.problem
    assert account.venue.balances().total


def test_binances_lists_are_asked_for_as_they_are_documented(binance: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    account = binance.open()
    at = int(START.timestamp() * 1000)
    deposit = {"id": "7", "amount": "0.5", "coin": "BTC", "status": 1, "insertTime": at, "walletType": 0}
    asked = answer(monkeypatch, "/capital/deposit/hisrec", lambda _document: [deposit], 200)
    page = account.venue.flows(START, START + timedelta(minutes=1))
    assert {flow.flow_id: flow.amounts for flow in page.flows} == {"deposit:7": {"BTC": Decimal("0.5")}}
    [query] = asked
    assert f"startTime={at}" in query
    assert "limit=1000" in query
    assert "offset=0" in query


@BOTH
def test_whatever_a_venue_says_of_its_flows_the_key_is_not_told(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    account.venue.balances()
    secret = trading.keys.values["secret"]
    row = {
        "id": secret,
        "refid": secret,
        "type": secret,
        "status": secret,
        "coin": secret,
        "asset": secret,
        "amount": "?",
    }
    paths = {"binance": "/capital/deposit/hisrec", "kraken": "/Ledgers"}
    told = [row] if trading.venue == "binance" else {"error": [], "result": {"ledger": {"L1": row}, "count": 1}}
    answer(monkeypatch, paths[trading.venue], lambda _document: told, 200)
    page = account.venue.flows(START, START + timedelta(minutes=1))
    assert page.unread
    assert secret[:8] not in page.model_dump_json()
