"""What the venues record of movements, read by the real ccxt classes over HTTP."""

from collections.abc import Callable

import ccxt
import pytest

from tests.venue_accounts import BOTH, DAY, NOON, D, Reader

DAY_MS = DAY * 1000
NewReader = Callable[..., Reader]


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
    binance_reader: Reader,
) -> None:
    binance_reader.act("deposit_from_outside", asset="BTC", amount=D("0.5"), unlocked_after=600)
    binance_reader.act("deposit_from_outside", asset="ETH", amount=D(2), funding=True)
    rows = binance_reader.ccxt.sapi_get_capital_deposit_hisrec()
    assert [(row["coin"], row["status"], row["walletType"]) for row in rows] == [("ETH", 1, 1), ("BTC", 6, 0)]
    assert binance_reader.ccxt.fetch_balance()["total"] == {"USDT": 100_000, "BTC": 0.5}


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


def test_binances_times_of_withdrawals_are_text_and_its_withdrawing_is_shown_elsewhere(binance_reader: Reader) -> None:
    binance_reader.act("withdraw", asset="USDT", amount=D(50), fee=D(1), done_after=90)
    [row] = binance_reader.ccxt.sapi_get_capital_withdraw_history()
    assert (row["applyTime"], "completeTime" in row) == ("2024-03-01 12:00:00", False)
    [asset] = binance_reader.ccxt.sapiv3_post_asset_getuserasset()
    assert (asset["free"], asset["withdrawing"]) == ("99949.00000000", "51.00000000")
    binance_reader.server.advance(90)
    [row] = binance_reader.ccxt.sapi_get_capital_withdraw_history()
    assert (row["status"], row["completeTime"]) == (6, "2024-03-01 12:01:30")


def test_binances_windows(binance_reader: Reader) -> None:
    binance_reader.act("deposit_from_outside", asset="BTC", amount=D(1))
    binance_reader.server.advance(100 * DAY)
    assert binance_reader.ccxt.sapi_get_capital_deposit_hisrec() == []
    assert len(binance_reader.ccxt.sapi_get_capital_deposit_hisrec({"startTime": NOON - 1})) == 1
    with pytest.raises(ccxt.ExchangeError, match="90 days"):
        binance_reader.ccxt.sapi_get_capital_deposit_hisrec({"startTime": NOON - 1, "endTime": NOON + 91 * DAY_MS})
    with pytest.raises(ccxt.ExchangeError, match="endTime"):
        binance_reader.ccxt.sapi_get_convert_tradeflow({"startTime": NOON})
    with pytest.raises(ccxt.ExchangeError, match="type"):
        binance_reader.ccxt.sapi_get_asset_transfer()


def test_binances_fiat_orders(binance_reader: Reader) -> None:
    binance_reader.act("deposit_from_outside", asset="EUR", amount=D(15), fiat=True)
    binance_reader.act("withdraw", asset="EUR", amount=D(10), fee=D("1.5"), fiat=True)
    [paid_in] = binance_reader.ccxt.fetch_deposits(params={"fiat": True})
    [paid_out] = binance_reader.ccxt.fetch_withdrawals(params={"fiat": True})
    assert (paid_in["amount"], paid_out["amount"], paid_out["fee"]["cost"]) == (15, 10, 1.5)
    assert binance_reader.ccxt.fetch_balance()["total"]["EUR"] == 3.5
    assert binance_reader.ccxt.fetch_deposits() == []


def test_krakens_pages_of_withdrawals(kraken_reader: Reader) -> None:
    for _number in range(3):
        kraken_reader.act("withdraw", asset="USD", amount=D(1))
        kraken_reader.server.advance(1)
    first = kraken_reader.ccxt.private_post_withdrawstatus({"cursor": "true", "limit": 2})["result"]
    rest = kraken_reader.ccxt.private_post_withdrawstatus({"cursor": first["next_cursor"], "limit": 2})["result"]
    times = [row["time"] for row in first["withdrawals"] + rest["withdrawals"]]
    assert ([NOON // 1000 + 2, NOON // 1000 + 1, NOON // 1000], "next_cursor" in rest) == (
        [int(t) for t in times],
        False,
    )


# --- Binance: what the venue gives, converts, moves ------------------------------------------------------


def test_binances_dividends_have_a_direction_and_pages_of_twenty(binance_reader: Reader) -> None:
    for _number in range(21):
        binance_reader.act("dividend", asset="BTC", amount=D("0.001"))
    binance_reader.server.advance(1)
    binance_reader.act("dividend", asset="BTC", amount=D("-0.0005"))
    told = binance_reader.ccxt.sapi_get_asset_assetdividend()
    assert (told["total"], len(told["rows"])) == (22, 20)
    assert (told["rows"][0]["amount"], told["rows"][0]["direction"], told["rows"][1]["direction"]) == (
        "0.0005",
        -1,
        1,
    )
    assert len(binance_reader.ccxt.sapi_get_asset_assetdividend({"limit": 500})["rows"]) == 22
    assert binance_reader.ccxt.fetch_balance()["total"]["BTC"] == 0.0205


def test_binances_dust(binance_reader: Reader) -> None:
    binance_reader.give("ETH", "0.001")
    binance_reader.give("BTC", "0.00001")
    dust = {"ETH": D("0.001"), "BTC": D("0.00001")}
    binance_reader.act(
        "sweep_dust", amounts=dust, target="BNB", received={"ETH": D("0.006"), "BTC": D("0.001")}, fee=D("0.00014")
    )
    [log] = binance_reader.ccxt.sapi_get_asset_dribblet()["userAssetDribblets"]
    assert (log["totalTransferedAmount"], log["totalServiceChargeAmount"]) == ("0.00686000", "0.00014000")
    assert [row["fromAsset"] for row in log["userAssetDribbletDetails"]] == ["ETH", "BTC"]
    assert binance_reader.ccxt.fetch_balance()["total"]["BNB"] == 0.00686
    binance_reader.server.act("binance", "list_market", symbol="BNB/USDT", price=D(600))
    binance_reader.ccxt.load_markets(reload=True)
    assert [trade["amount"] for trade in binance_reader.ccxt.fetch_my_dust_trades()] == [0.001, 0.00001]


def test_binances_conversions(binance_reader: Reader) -> None:
    binance_reader.act("convert", asset="USDT", amount=D(20), target="BTC", received=D("0.0003"))
    [told] = binance_reader.ccxt.fetch_convert_trade_history()
    assert (told["fromCurrency"], told["fromAmount"], told["toCurrency"], told["toAmount"]) == (
        "USDT",
        20,
        "BTC",
        0.0003,
    )
    assert binance_reader.ccxt.fetch_my_trades(binance_reader.symbol) == []


def test_binances_transfers_are_listed_by_type_only(binance_reader: Reader) -> None:
    binance_reader.act("transfer", asset="USDT", amount=D(25), other="FUNDING")
    binance_reader.act("transfer", asset="USDT", amount=D(5), other="FUNDING", out=False)
    binance_reader.act("transfer", asset="USDT", amount=D(7), other="SUB")
    assert binance_reader.ccxt.fetch_transfers() == []
    [gone] = binance_reader.ccxt.fetch_transfers(params={"type": "MAIN_FUNDING"})
    [back] = binance_reader.ccxt.fetch_transfers(params={"type": "FUNDING_MAIN"})
    assert (gone["amount"], back["amount"]) == (25, 5)
    [sub] = binance_reader.ccxt.sapi_get_sub_account_transfer_subuserhistory()
    assert (sub["qty"], sub["type"]) == ("7", 2)
    assert binance_reader.ccxt.sapi_get_sub_account_transfer_subuserhistory({"type": 1}) == []
    assert binance_reader.ccxt.fetch_balance()["total"]["USDT"] == 99_973
    binance_reader.server.advance(8 * DAY)
    assert binance_reader.ccxt.fetch_transfers(params={"type": "MAIN_FUNDING"}) == []
    assert len(binance_reader.ccxt.fetch_transfers(since=NOON, params={"type": "MAIN_FUNDING"})) == 1


def test_binances_earn_histories_and_positions(binance_reader: Reader) -> None:
    binance_reader.give("LDO", "5")
    binance_reader.act("earn", asset="LDO", amount=D(2), automatic=True)
    binance_reader.act("earn", asset="USDT", amount=D(100), product="locked")
    binance_reader.act("earn_reward", asset="LDO", amount=D("0.1"))
    binance_reader.act("earn", asset="LDO", amount=D(1), out=True)
    api = binance_reader.ccxt
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


def test_binance_tells_whether_fees_are_burnt(binance_reader: Reader) -> None:
    assert binance_reader.ccxt.sapi_get_bnbburn()["spotBNBBurn"] is False
    binance_reader.act("set_terms", token=True, maker="0.0002")
    assert binance_reader.ccxt.sapi_get_bnbburn()["spotBNBBurn"] is True
    commission = binance_reader.ccxt.private_get_account_commission({"symbol": "BTCUSDT"})
    assert (commission["standardCommission"]["maker"], commission["discount"]["enabledForAccount"]) == (
        "0.00020000",
        True,
    )


# --- Kraken's ledger -----------------------------------------------------------------------------------------


def test_krakens_ledger_tells_each_side_of_a_trade_and_what_the_wallet_held_then(kraken_reader: Reader) -> None:
    kraken_reader.act("set_terms", rounded=True)
    kraken_reader.act("order", symbol=kraken_reader.symbol, side="buy", quantity=D("0.01234"))
    trades = kraken_reader.ccxt.private_post_tradeshistory({"ledgers": "true"})["result"]["trades"]
    [(trade_id, trade)] = trades.items()
    assert (trade["cost"], trade["fee"]) == ("765.08123", "0.76508123")
    entries = kraken_reader.ccxt.fetch_ledger_entries_by_ids(trade["ledgers"])
    told = {
        entry["currency"]: (entry["info"]["amount"], entry["info"]["fee"], entry["info"]["balance"])
        for entry in entries
    }
    assert told == {
        "USD": ("-765.0812", "0.7651", "99234.1537"),
        "BTC": ("0.0123400000", "0.0000000000", "0.0123400000"),
    }
    assert {entry["referenceId"] for entry in entries} == {trade_id}
    balance = kraken_reader.ccxt.private_post_balanceex()["result"]
    assert balance["ZUSD"]["balance"] == "99234.1537"


def test_krakens_pages_of_the_ledger_by_offset_time_and_id(kraken_reader: Reader) -> None:
    for _number in range(52):
        kraken_reader.act("dividend", asset="USD", amount=D(1))
        kraken_reader.server.advance(1)
    api = kraken_reader.ccxt
    first = api.private_post_ledgers()["result"]
    assert (first["count"], len(first["ledger"])) == (52, 50)
    rest = list(api.private_post_ledgers({"ofs": 50})["result"]["ledger"])
    assert len(rest) == 2
    second, oldest = rest
    assert list(api.private_post_ledgers({"end": second})["result"]["ledger"]) == [second, oldest]
    newest, before, *_others = first["ledger"]
    assert list(api.private_post_ledgers({"start": before})["result"]["ledger"]) == [newest]
    noon = NOON // 1000
    inside = api.private_post_ledgers({"start": noon, "end": noon + 2})["result"]["ledger"]
    assert [float(row["time"]) - noon for row in inside.values()] == [2, 1]
    assert "count" not in api.private_post_ledgers({"without_count": "true"})["result"]


def test_krakens_filter_knows_fewer_types_than_its_rows(kraken_reader: Reader) -> None:
    kraken_reader.act("convert", asset="USD", amount=D(100), target="BTC", received=D("0.0016"))
    kraken_reader.act("dividend", asset="BTC", amount=D("0.01"), fee=D("0.003"))
    with pytest.raises(ccxt.ExchangeError, match="Invalid arguments"):
        kraken_reader.ccxt.fetch_ledger(params={"type": "spend"})
    assert [row["info"]["type"] for row in kraken_reader.ccxt.fetch_ledger(params={"type": "staking"})] == ["staking"]
    assert {row["info"]["type"] for row in kraken_reader.ccxt.fetch_ledger()} == {"spend", "receive", "staking"}
    assert [row["currency"] for row in kraken_reader.ccxt.fetch_ledger("USD")] == ["USD"]
    assert kraken_reader.ccxt.fetch_my_trades(kraken_reader.symbol) == []


def test_krakens_ledger_needs_a_permission_of_its_own(new_reader: NewReader) -> None:
    reader = new_reader("kraken", ledger=False)
    for call in (reader.ccxt.private_post_ledgers, reader.ccxt.private_post_withdrawstatus):
        with pytest.raises(ccxt.PermissionDenied):
            call()
    assert "query-ledger" not in reader.ccxt.private_post_getapikeyinfo()["result"]["permissions"]
    reader.server.exchange.change_key("kraken", "reader", ledger=True)
    assert "query-ledger" in reader.ccxt.private_post_getapikeyinfo()["result"]["permissions"]
    assert reader.ccxt.private_post_ledgers()["result"]["ledger"] == {}


def test_krakens_earn_wallets_have_names_of_their_own(kraken_reader: Reader) -> None:
    kraken_reader.give("BTC", "1")
    kraken_reader.act("set_terms", earning=["USD"])
    kraken_reader.act("earn", asset="BTC", amount=D("0.4"), product="yield")
    balance = kraken_reader.ccxt.private_post_balanceex()["result"]
    assert {name: float(row["balance"]) for name, row in balance.items()} == {
        "XXBT": 0.6,
        "XBT.B": 0.4,
        "ZUSD": 0,
        "USD.F": 100_000,
    }
    assert kraken_reader.ccxt.public_get_assets()["result"]["XBT.B"]["decimals"] == 10
    kraken_reader.act("order", symbol=kraken_reader.symbol, side="buy", quantity=D("0.1"), limit=D(61000))
    balance = kraken_reader.ccxt.private_post_balanceex()["result"]
    assert (float(balance["ZUSD"]["hold_trade"]), float(balance["USD.F"]["hold_trade"])) == (0, 6106.1)
    rows = kraken_reader.ccxt.private_post_ledgers({"asset": "XBT,XBT.B"})["result"]["ledger"].values()
    assert {(row["asset"], row["subtype"]) for row in rows} == {("XXBT", "allocation"), ("XBT.B", "allocation")}


def test_kraken_merges_the_taker_trades_of_an_order_unless_asked_not_to(kraken_reader: Reader) -> None:
    kraken_reader.act("set_terms", consolidates=True)
    kraken_reader.server.exchange.books("kraken").trades_per_fill = 3
    kraken_reader.act("order", symbol=kraken_reader.symbol, side="buy", quantity=D("0.1"))
    [merged] = kraken_reader.ccxt.private_post_tradeshistory({"ledgers": "true"})["result"]["trades"].values()
    assert (merged["vol"], merged["cost"], len(merged["ledgers"])) == ("0.10000000", "6200.01000", 6)
    assert len(kraken_reader.ccxt.private_post_tradeshistory({"consolidate_taker": "false"})["result"]["trades"]) == 3
