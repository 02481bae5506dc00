"""What the venues record of movements, foreign orders and dead markets, read by the real ccxt classes over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.request import Request, urlopen

import ccxt
import pytest

from tests.venue_server import ManualTime, VenueServer
from tests.venue_server.wallets import unbalanced

D = Decimal
START = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOON = int(START.timestamp() * 1000)
DAY_MS = 86_400_000
DAY = 86_400
SYMBOLS = {"binance": "BTC/USDT", "kraken": "BTC/USD"}
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
MARKETS: dict[str, Any] = {}


class Reader:
    """A client of one venue, and the account behind it."""

    def __init__(self, server: VenueServer, venue: str, **flags: bool) -> None:
        self.server, self.venue = server, venue
        key = server.add_key(venue, "reader", **{"ledger": True, **flags})
        options = {"apiKey": key.api_key, "secret": key.secret, "enableRateLimit": False}
        self.ccxt: Any = getattr(ccxt, venue)({**options, **server.client_options(venue)})
        self.ccxt.milliseconds = lambda: int(server.clock.now().timestamp() * 1000)
        if venue not in MARKETS:
            MARKETS[venue] = self.ccxt.load_markets()
        self.ccxt.set_markets(MARKETS[venue])
        self.ccxt.options["marketsByAltname"] = {market.get("altname"): market for market in self.ccxt.markets.values()}
        self.symbol = SYMBOLS[venue]
        server.exchange.pin_price(venue, self.symbol, D(62000))

    def act(self, name: str, **arguments: Any) -> Any:
        return self.server.act(self.venue, name, **arguments)

    def give(self, asset: str, amount: str) -> None:
        self.server.exchange.deposit(self.venue, asset, D(amount))


@pytest.fixture
def server() -> Iterator[VenueServer]:
    with VenueServer(ManualTime(START), seed=7, markets=2) as running:
        yield running
        for venue in SYMBOLS:
            assert unbalanced(running.truth(venue)) == {}


@pytest.fixture
def reader(server: VenueServer, venue: str) -> Iterator[Reader]:
    made = Reader(server, venue)
    yield made
    made.ccxt.session.close()


@pytest.fixture
def binance(server: VenueServer) -> Iterator[Reader]:
    made = Reader(server, "binance")
    yield made
    made.ccxt.session.close()


@pytest.fixture
def kraken(server: VenueServer) -> Iterator[Reader]:
    made = Reader(server, "kraken")
    yield made
    made.ccxt.session.close()


# --- deposits and withdrawals ---------------------------------------------------------------------------


@BOTH
def test_deposits_with_what_became_of_them(reader: Reader) -> None:
    reader.act("deposit_from_outside", asset="BTC", amount=D("0.5"))
    reader.server.advance(60)
    reader.act("deposit_from_outside", asset="BTC", amount=D("0.25"), credited_after=600)
    last = reader.act("deposit_from_outside", asset="ETH", amount=D(3), credited_after=600)
    reader.act("fail_deposit", movement=last.movement_id)
    told = {row["amount"]: row["status"] for row in reader.ccxt.fetch_deposits()}
    # ccxt knows no word for Binance's 2, which is rejected.
    assert told == {0.5: "ok", 0.25: "pending", 3.0: "2" if reader.venue == "binance" else "failed"}
    assert reader.ccxt.fetch_balance()["total"]["BTC"] == 0.5
    assert [row["amount"] for row in reader.ccxt.fetch_deposits("BTC", since=NOON + 1000)] == [0.25]


def test_binances_credited_deposit_is_not_yet_to_be_withdrawn_and_the_funding_wallets_is_not_here(
    binance: Reader,
) -> None:
    binance.act("deposit_from_outside", asset="BTC", amount=D("0.5"), unlocked_after=600)
    binance.act("deposit_from_outside", asset="ETH", amount=D(2), funding=True)
    rows = binance.ccxt.sapi_get_capital_deposit_hisrec()
    assert [(row["coin"], row["status"], row["walletType"]) for row in rows] == [("ETH", 1, 1), ("BTC", 6, 0)]
    assert binance.ccxt.fetch_balance()["total"] == {"USDT": 100_000, "BTC": 0.5}


@BOTH
def test_a_withdrawal_with_its_fee_apart(reader: Reader) -> None:
    reader.give("BTC", "1")
    pending = reader.act("withdraw", asset="BTC", amount=D("0.2"), fee=D("0.0005"), done_after=None)
    assert reader.ccxt.fetch_balance()["total"]["BTC"] == 0.7995
    [row] = reader.ccxt.fetch_withdrawals()
    assert (row["id"], row["amount"], row["fee"]["cost"], row["status"]) == (
        pending.movement_id,
        0.2,
        0.0005,
        "pending",
    )
    reader.act("fail_withdrawal", movement=pending.movement_id)
    assert [row["status"] for row in reader.ccxt.fetch_withdrawals()] == ["failed"]
    assert reader.ccxt.fetch_balance()["total"]["BTC"] == 1


def test_binances_times_of_withdrawals_are_text_and_its_withdrawing_is_shown_elsewhere(binance: Reader) -> None:
    binance.act("withdraw", asset="USDT", amount=D(50), fee=D(1), done_after=90)
    [row] = binance.ccxt.sapi_get_capital_withdraw_history()
    assert (row["applyTime"], "completeTime" in row) == ("2024-03-01 12:00:00", False)
    [asset] = binance.ccxt.sapiv3_post_asset_getuserasset()
    assert (asset["free"], asset["withdrawing"]) == ("99949.00000000", "51.00000000")
    binance.server.advance(90)
    [row] = binance.ccxt.sapi_get_capital_withdraw_history()
    assert (row["status"], row["completeTime"]) == (6, "2024-03-01 12:01:30")


def test_binances_windows(binance: Reader) -> None:
    binance.act("deposit_from_outside", asset="BTC", amount=D(1))
    binance.server.advance(100 * DAY)
    assert binance.ccxt.sapi_get_capital_deposit_hisrec() == []
    assert len(binance.ccxt.sapi_get_capital_deposit_hisrec({"startTime": NOON - 1})) == 1
    with pytest.raises(ccxt.ExchangeError, match="90 days"):
        binance.ccxt.sapi_get_capital_deposit_hisrec({"startTime": NOON - 1, "endTime": NOON + 91 * DAY_MS})
    with pytest.raises(ccxt.ExchangeError, match="endTime"):
        binance.ccxt.sapi_get_convert_tradeflow({"startTime": NOON})
    with pytest.raises(ccxt.ExchangeError, match="type"):
        binance.ccxt.sapi_get_asset_transfer()


def test_binances_fiat_orders(binance: Reader) -> None:
    binance.act("deposit_from_outside", asset="EUR", amount=D(15), fiat=True)
    binance.act("withdraw", asset="EUR", amount=D(10), fee=D("1.5"), fiat=True)
    [paid_in] = binance.ccxt.fetch_deposits(params={"fiat": True})
    [paid_out] = binance.ccxt.fetch_withdrawals(params={"fiat": True})
    assert (paid_in["amount"], paid_out["amount"], paid_out["fee"]["cost"]) == (15, 10, 1.5)
    assert binance.ccxt.fetch_balance()["total"]["EUR"] == 3.5
    assert binance.ccxt.fetch_deposits() == []


def test_krakens_pages_of_withdrawals(kraken: Reader) -> None:
    for _number in range(3):
        kraken.act("withdraw", asset="USD", amount=D(1))
        kraken.server.advance(1)
    first = kraken.ccxt.private_post_withdrawstatus({"cursor": "true", "limit": 2})["result"]
    rest = kraken.ccxt.private_post_withdrawstatus({"cursor": first["next_cursor"], "limit": 2})["result"]
    times = [row["time"] for row in first["withdrawals"] + rest["withdrawals"]]
    assert ([NOON // 1000 + 2, NOON // 1000 + 1, NOON // 1000], "next_cursor" in rest) == (
        [int(t) for t in times],
        False,
    )


# --- Binance: what the venue gives, converts, moves ------------------------------------------------------


def test_binances_dividends_have_a_direction_and_pages_of_twenty(binance: Reader) -> None:
    for _number in range(21):
        binance.act("dividend", asset="BTC", amount=D("0.001"))
    binance.server.advance(1)
    binance.act("dividend", asset="BTC", amount=D("-0.0005"))
    told = binance.ccxt.sapi_get_asset_assetdividend()
    assert (told["total"], len(told["rows"])) == (22, 20)
    assert (told["rows"][0]["amount"], told["rows"][0]["direction"], told["rows"][1]["direction"]) == (
        "0.0005",
        -1,
        1,
    )
    assert len(binance.ccxt.sapi_get_asset_assetdividend({"limit": 500})["rows"]) == 22
    assert binance.ccxt.fetch_balance()["total"]["BTC"] == 0.0205


def test_binances_dust(binance: Reader) -> None:
    binance.give("ETH", "0.001")
    binance.give("BTC", "0.00001")
    dust = {"ETH": D("0.001"), "BTC": D("0.00001")}
    binance.act(
        "sweep_dust", amounts=dust, target="BNB", received={"ETH": D("0.006"), "BTC": D("0.001")}, fee=D("0.00014")
    )
    [log] = binance.ccxt.sapi_get_asset_dribblet()["userAssetDribblets"]
    assert (log["totalTransferedAmount"], log["totalServiceChargeAmount"]) == ("0.00686000", "0.00014000")
    assert [row["fromAsset"] for row in log["userAssetDribbletDetails"]] == ["ETH", "BTC"]
    assert binance.ccxt.fetch_balance()["total"]["BNB"] == 0.00686
    binance.server.act("binance", "list_market", symbol="BNB/USDT", price=D(600))
    binance.ccxt.load_markets(reload=True)
    assert [trade["amount"] for trade in binance.ccxt.fetch_my_dust_trades()] == [0.001, 0.00001]


def test_binances_conversions(binance: Reader) -> None:
    binance.act("convert", asset="USDT", amount=D(20), target="BTC", received=D("0.0003"))
    [told] = binance.ccxt.fetch_convert_trade_history()
    assert (told["fromCurrency"], told["fromAmount"], told["toCurrency"], told["toAmount"]) == (
        "USDT",
        20,
        "BTC",
        0.0003,
    )
    assert binance.ccxt.fetch_my_trades(binance.symbol) == []


def test_binances_transfers_are_listed_by_type_only(binance: Reader) -> None:
    binance.act("transfer", asset="USDT", amount=D(25), other="FUNDING")
    binance.act("transfer", asset="USDT", amount=D(5), other="FUNDING", out=False)
    binance.act("transfer", asset="USDT", amount=D(7), other="SUB")
    assert binance.ccxt.fetch_transfers() == []
    [gone] = binance.ccxt.fetch_transfers(params={"type": "MAIN_FUNDING"})
    [back] = binance.ccxt.fetch_transfers(params={"type": "FUNDING_MAIN"})
    assert (gone["amount"], back["amount"]) == (25, 5)
    [sub] = binance.ccxt.sapi_get_sub_account_transfer_subuserhistory()
    assert (sub["qty"], sub["type"]) == ("7", 2)
    assert binance.ccxt.sapi_get_sub_account_transfer_subuserhistory({"type": 1}) == []
    assert binance.ccxt.fetch_balance()["total"]["USDT"] == 99_973
    binance.server.advance(8 * DAY)
    assert binance.ccxt.fetch_transfers(params={"type": "MAIN_FUNDING"}) == []
    assert len(binance.ccxt.fetch_transfers(since=NOON, params={"type": "MAIN_FUNDING"})) == 1


def test_binances_earn_histories_and_positions(binance: Reader) -> None:
    binance.give("LDO", "5")
    binance.act("earn", asset="LDO", amount=D(2), automatic=True)
    binance.act("earn", asset="USDT", amount=D(100), product="locked")
    binance.act("earn_reward", asset="LDO", amount=D("0.1"))
    binance.act("earn", asset="LDO", amount=D(1), out=True)
    api = binance.ccxt
    [subscribed] = api.sapi_get_simple_earn_flexible_history_subscriptionrecord()["rows"]
    assert (subscribed["type"], subscribed["amtFromSpot"], "purchaseId" in subscribed) == ("AUTO", "2.00000000", True)
    [redeemed] = api.sapi_get_simple_earn_flexible_history_redemptionrecord()["rows"]
    assert (redeemed["amount"], redeemed["destAccount"]) == ("1.00000000", "SPOT")
    [reward] = api.sapi_get_simple_earn_flexible_history_rewardsrecord({"type": "REALTIME"})["rows"]
    assert (reward["rewards"], [name for name in reward if name.endswith("Id")]) == ("0.10000000", ["productId"])
    with pytest.raises(ccxt.ExchangeError, match="type"):
        api.sapi_get_simple_earn_flexible_history_rewardsrecord()
    [position] = api.sapi_get_simple_earn_flexible_position()["rows"]
    assert (position["asset"], position["totalAmount"]) == ("LDO", "1.10000000")
    assert len(api.sapi_get_simple_earn_locked_history_subscriptionrecord()["rows"]) == 1
    assert api.fetch_balance()["total"] == {"LDO": 4, "LDLDO": 1.1, "USDT": 99_900}


def test_binance_tells_whether_fees_are_burnt(binance: Reader) -> None:
    assert binance.ccxt.sapi_get_bnbburn()["spotBNBBurn"] is False
    binance.act("set_terms", token=True, maker="0.0002")
    assert binance.ccxt.sapi_get_bnbburn()["spotBNBBurn"] is True
    commission = binance.ccxt.private_get_account_commission({"symbol": "BTCUSDT"})
    assert (commission["standardCommission"]["maker"], commission["discount"]["enabledForAccount"]) == (
        "0.00020000",
        True,
    )


# --- Kraken's ledger -----------------------------------------------------------------------------------------


def test_krakens_ledger_tells_each_side_of_a_trade_and_what_the_wallet_held_then(kraken: Reader) -> None:
    kraken.act("set_terms", rounded=True)
    kraken.act("order", symbol=kraken.symbol, side="buy", quantity=D("0.01234"))
    trades = kraken.ccxt.private_post_tradeshistory({"ledgers": "true"})["result"]["trades"]
    [(trade_id, trade)] = trades.items()
    assert (trade["cost"], trade["fee"]) == ("765.08123", "0.76508123")
    entries = kraken.ccxt.fetch_ledger_entries_by_ids(trade["ledgers"])
    told = {
        entry["currency"]: (entry["info"]["amount"], entry["info"]["fee"], entry["info"]["balance"])
        for entry in entries
    }
    assert told == {
        "USD": ("-765.0812", "0.7651", "99234.1537"),
        "BTC": ("0.0123400000", "0.0000000000", "0.0123400000"),
    }
    assert {entry["referenceId"] for entry in entries} == {trade_id}
    balance = kraken.ccxt.private_post_balanceex()["result"]
    assert balance["ZUSD"]["balance"] == "99234.1537"


def test_krakens_pages_of_the_ledger_by_offset_time_and_id(kraken: Reader) -> None:
    for _number in range(52):
        kraken.act("dividend", asset="USD", amount=D(1))
        kraken.server.advance(1)
    api = kraken.ccxt
    first = api.private_post_ledgers()["result"]
    assert (first["count"], len(first["ledger"])) == (52, 50)
    rest = list(api.private_post_ledgers({"ofs": 50})["result"]["ledger"])
    assert len(rest) == 2
    second, oldest = rest
    assert list(api.private_post_ledgers({"end": second})["result"]["ledger"]) == [second, oldest]
    assert len(api.private_post_ledgers({"start": second, "ofs": 0})["result"]["ledger"]) == 50
    noon = NOON // 1000
    inside = api.private_post_ledgers({"start": noon, "end": noon + 2})["result"]["ledger"]
    assert [float(row["time"]) - noon for row in inside.values()] == [2, 1]
    assert "count" not in api.private_post_ledgers({"without_count": "true"})["result"]


def test_krakens_filter_knows_fewer_types_than_its_rows(kraken: Reader) -> None:
    kraken.act("convert", asset="USD", amount=D(100), target="BTC", received=D("0.0016"))
    kraken.act("dividend", asset="BTC", amount=D("0.01"), fee=D("0.003"))
    with pytest.raises(ccxt.ExchangeError, match="Invalid arguments"):
        kraken.ccxt.fetch_ledger(params={"type": "spend"})
    assert [row["info"]["type"] for row in kraken.ccxt.fetch_ledger(params={"type": "staking"})] == ["staking"]
    assert {row["info"]["type"] for row in kraken.ccxt.fetch_ledger()} == {"spend", "receive", "staking"}
    assert [row["currency"] for row in kraken.ccxt.fetch_ledger("USD")] == ["USD"]
    assert kraken.ccxt.fetch_my_trades(kraken.symbol) == []


def test_krakens_ledger_needs_a_permission_of_its_own(server: VenueServer) -> None:
    reader = Reader(server, "kraken", ledger=False)
    for call in (reader.ccxt.private_post_ledgers, reader.ccxt.private_post_withdrawstatus):
        with pytest.raises(ccxt.PermissionDenied):
            call()
    reader.ccxt.session.close()
    assert "query-ledger" not in reader.ccxt.private_post_getapikeyinfo()["result"]["permissions"]
    server.exchange.change_key("kraken", "reader", ledger=True)
    assert "query-ledger" in reader.ccxt.private_post_getapikeyinfo()["result"]["permissions"]
    assert reader.ccxt.private_post_ledgers()["result"]["ledger"] == {}
    reader.ccxt.session.close()


def test_krakens_earn_wallets_have_names_of_their_own(kraken: Reader) -> None:
    kraken.give("BTC", "1")
    kraken.act("set_terms", earning=["USD"])
    kraken.act("earn", asset="BTC", amount=D("0.4"), product="yield")
    balance = kraken.ccxt.private_post_balanceex()["result"]
    assert {name: float(row["balance"]) for name, row in balance.items()} == {
        "XXBT": 0.6,
        "XBT.B": 0.4,
        "ZUSD": 0,
        "USD.F": 100_000,
    }
    assert kraken.ccxt.public_get_assets()["result"]["XBT.B"]["decimals"] == 10
    kraken.act("order", symbol=kraken.symbol, side="buy", quantity=D("0.1"), limit=D(61000))
    balance = kraken.ccxt.private_post_balanceex()["result"]
    assert (float(balance["ZUSD"]["hold_trade"]), float(balance["USD.F"]["hold_trade"])) == (0, 6106.1)
    rows = kraken.ccxt.private_post_ledgers({"asset": "XBT,XBT.B"})["result"]["ledger"].values()
    assert {(row["asset"], row["subtype"]) for row in rows} == {("XXBT", "allocation"), ("XBT.B", "allocation")}


def test_kraken_merges_the_taker_trades_of_an_order_unless_asked_not_to(kraken: Reader) -> None:
    kraken.act("set_terms", consolidates=True)
    kraken.server.exchange.books("kraken").trades_per_fill = 3
    kraken.act("order", symbol=kraken.symbol, side="buy", quantity=D("0.1"))
    [merged] = kraken.ccxt.private_post_tradeshistory({"ledgers": "true"})["result"]["trades"].values()
    assert (merged["vol"], merged["cost"], len(merged["ledgers"])) == ("0.10000000", "6200.01000", 6)
    assert len(kraken.ccxt.private_post_tradeshistory({"consolidate_taker": "false"})["result"]["trades"]) == 3


# --- orders and markets as other people leave them ---------------------------------------------------------


KINDS: dict[str, dict[str, Any]] = {
    "stop": {"stop": D(60000)},
    "stop_limit": {"stop": D(60000), "limit": D(59000)},
    "profit": {"profit": D(65000)},
    "profit_limit": {"profit": D(65000), "limit": D(64000)},
    "trailing": {"trailing": D(620)},
    "iceberg": {"limit": D(65000), "shown": D("0.1")},
}
NAMED = {
    "binance": ["STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "STOP_LOSS", "LIMIT"],
    "kraken": ["stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit", "trailing-stop", "iceberg"],
}


@BOTH
def test_foreign_orders_of_every_kind_are_open_and_lock(reader: Reader) -> None:
    reader.give("BTC", "10")
    for kind in KINDS.values():
        reader.act("order", symbol=reader.symbol, side="sell", quantity=D(1), **kind)
    orders = sorted(reader.ccxt.fetch_open_orders(reader.symbol), key=lambda order: order["id"])
    placed = [row["venue_order_id"] for row in reader.server.truth(reader.venue)["orders"]]
    by_id = {order["id"]: order for order in orders}
    infos = [by_id[one]["info"] for one in placed]
    assert [info["type"] if reader.venue == "binance" else info["descr"]["ordertype"] for info in infos] == NAMED[
        reader.venue
    ]
    assert {order["clientOrderId"] is None for order in orders} == {reader.venue == "kraken"}
    locked = 6 if reader.venue == "binance" else 6 * 1.001
    assert reader.ccxt.fetch_balance()["BTC"]["used"] == pytest.approx(locked)


def test_the_legs_of_binances_lists_bear_its_number_and_lock_once(binance: Reader) -> None:
    binance.give("BTC", "1")
    working = {"side": "buy", "quantity": D("0.1"), "limit": D(61000)}
    binance.act("oco", symbol=binance.symbol, side="sell", quantity=D(1), limit=D(90000), stop=D(50500))
    binance.act(
        "oto", symbol=binance.symbol, working=working, then={"side": "sell", "quantity": D("0.05"), "limit": D(70000)}
    )
    rows = binance.ccxt.private_get_openorders()
    assert [(row["orderListId"], row["status"]) for row in rows] == [
        (1, "NEW"),
        (1, "NEW"),
        (2, "NEW"),
        (2, "PENDING_NEW"),
    ]
    assert binance.ccxt.fetch_balance()["used"] == {"BTC": 1, "USDT": 6100}


@BOTH
def test_a_row_may_say_anything(reader: Reader) -> None:
    placed = reader.act("order", symbol=reader.symbol, side="buy", quantity=D("0.1"), limit=D(61000))
    raw = {"status": "EXPIRED_IN_MATCH", "note": "币安人生", "origQty": None}
    reader.act("spoil_order", order_id=placed.venue_order_id, raw=raw, without=["time", "opentm"])
    if reader.venue == "binance":
        [row] = reader.ccxt.private_get_openorders()
    else:
        [row] = reader.ccxt.private_post_openorders()["result"]["open"].values()
    assert {name: row[name] for name in raw} == raw
    assert not {"time", "opentm"} & set(row)
    bought = reader.act("order", symbol=reader.symbol, side="buy", quantity=D("0.1"))
    reader.act("spoil_trade", trade_id=bought.trades[0].trade_id, raw={"commissionAsset": None, "fee": None})
    [trade] = reader.ccxt.fetch_my_trades(reader.symbol)
    assert trade["info"].get("commissionAsset", trade["info"].get("fee")) is None


@BOTH
def test_a_market_that_is_halted_then_gone(reader: Reader) -> None:
    reader.give("BTC", "1")
    word = {"binance": "BREAK", "kraken": "cancel_only"}[reader.venue]
    reader.act("set_status", symbol=reader.symbol, status=word)
    assert reader.ccxt.load_markets(reload=True)[reader.symbol]["active"] is False
    with pytest.raises(ccxt.BaseError, match=r"Market (is closed|in cancel_only mode)"):
        reader.ccxt.create_order(reader.symbol, "market", "sell", 0.1)
    reader.act("delist", symbol=reader.symbol)
    assert reader.symbol not in reader.ccxt.load_markets(reload=True)
    reader.ccxt.set_markets(MARKETS[reader.venue])
    with pytest.raises(ccxt.BaseError, match=r"Invalid symbol|Unknown asset pair"):
        reader.ccxt.create_order(reader.symbol, "market", "sell", 0.1)
    with pytest.raises(ccxt.BaseError, match=r"Invalid symbol|Unknown asset pair"):
        reader.ccxt.fetch_ticker(reader.symbol)
    assert reader.ccxt.fetch_balance()["total"]["BTC"] == 1


@BOTH
def test_an_asset_without_any_market_is_held_and_named(reader: Reader) -> None:
    reader.act("dividend", asset="FLR", amount=D(7), why="airdrop")
    assert reader.ccxt.fetch_balance()["total"]["FLR"] == 7
    assert "FLR" in reader.ccxt.fetch_currencies()


@BOTH
def test_a_market_that_nobody_trades_any_more_has_a_price_and_no_volume(reader: Reader) -> None:
    reader.act("last_trade", symbol=reader.symbol)
    reader.server.advance(3 * DAY)
    ticker = reader.ccxt.fetch_ticker(reader.symbol)
    assert (ticker["last"], ticker["baseVolume"]) == (62000, 0)
    reader.server.exchange.pin_price(reader.venue, reader.symbol, D(1))
    assert reader.ccxt.fetch_ticker(reader.symbol)["last"] == 62000


@BOTH
def test_a_market_with_another_quote_is_traded_by_hand(reader: Reader) -> None:
    reader.give("BTC", "1")
    reader.act("list_market", symbol="ETH/BTC", price=D("0.05"), tick=D("0.00001"))
    reader.server.exchange.pin_price(reader.venue, "ETH/BTC", D("0.05"))
    reader.act("order", symbol="ETH/BTC", side="buy", quantity=D(2))
    reader.ccxt.load_markets(reload=True)
    [trade] = reader.ccxt.fetch_my_trades("ETH/BTC")
    assert (trade["amount"], trade["price"]) == (2, 0.05001)


def test_binances_largest_orders(binance: Reader) -> None:
    binance.act("change_market", symbol=binance.symbol, max_quantity=D(2), max_market_quantity=D(1), max_position=D(3))
    market = binance.ccxt.load_markets(reload=True)[binance.symbol]
    assert (market["limits"]["amount"]["max"], market["limits"]["market"]["max"]) == (2, 1)
    binance.give("BTC", "2.9")
    for kind, side, quantity, named in (
        ("limit", "sell", 2.1, "LOT_SIZE"),
        ("market", "sell", 1.1, "MARKET_LOT_SIZE"),
        ("limit", "buy", 0.2, "MAX_POSITION"),
    ):
        with pytest.raises(ccxt.ExchangeError, match=f"Filter failure: {named}"):
            binance.ccxt.create_order(binance.symbol, kind, side, quantity, 61000)


# --- from another process ---------------------------------------------------------------------------------


def test_another_process_acts_in_json(kraken: Reader) -> None:
    def control(**order: Any) -> Any:
        request = Request(f"{kraken.server.url}/_control", json.dumps(order).encode(), method="POST")  # noqa: S310
        with urlopen(request) as answer:  # noqa: S310
            return json.loads(answer.read())

    told = control(do="act", venue="kraken", name="deposit_from_outside", asset="BTC", amount="0.5", credited_after=60)
    assert told["result"][0]["status"] == "pending"
    control(do="act", venue="kraken", name="fail_deposit", movement=told["result"][0]["id"])
    closes = {"limit": "65000", "fee_in": "quote"}
    [order] = control(
        do="act", venue="kraken", name="order", symbol="BTC/USD", side="buy", quantity="0.1", closes=closes
    )["result"]
    assert order["status"] == "filled"
    assert kraken.ccxt.fetch_balance()["BTC"] == {"free": 0, "used": 0.1, "total": 0.1}
