"""Orders and markets as others leave them, read by the real ccxt classes over HTTP; acts of another process."""

import json
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import ccxt
import pytest

from tests.venue_accounts import BOTH, DAY, MARKETS, D, Reader

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


def test_the_legs_of_binances_lists_bear_its_number_and_lock_once(binance_reader: Reader) -> None:
    binance_reader.give("BTC", "1")
    working = {"side": "buy", "quantity": D("0.1"), "limit": D(61000)}
    binance_reader.act("oco", symbol=binance_reader.symbol, side="sell", quantity=D(1), limit=D(90000), stop=D(50500))
    binance_reader.act(
        "oto",
        symbol=binance_reader.symbol,
        working=working,
        then={"side": "sell", "quantity": D("0.05"), "limit": D(70000)},
    )
    rows = binance_reader.ccxt.private_get_openorders()
    assert [(row["orderListId"], row["status"]) for row in rows] == [
        (1, "NEW"),
        (1, "NEW"),
        (2, "NEW"),
        (2, "PENDING_NEW"),
    ]
    assert binance_reader.ccxt.fetch_balance()["used"] == {"BTC": 1, "USDT": 6100}


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


def test_binance_announces_a_delisting(binance_reader: Reader) -> None:
    when = binance_reader.server.clock.now() + timedelta(days=7)
    binance_reader.act("announce_delisting", symbol="ETH/USDT", at=when)
    [told] = binance_reader.ccxt.sapi_get_spot_delist_schedule()
    assert told == {"delistTime": int(when.timestamp() * 1000), "symbols": ["ETHUSDT"]}


@BOTH
def test_an_asset_without_any_market_is_held_and_named(reader: Reader) -> None:
    reader.act("dividend", asset="FLR", amount=D(7), why="airdrop")
    assert reader.ccxt.fetch_balance()["total"]["FLR"] == 7
    assert "FLR" in reader.ccxt.fetch_currencies()


@BOTH
def test_a_market_that_nobody_trades_any_more_has_a_price_and_no_volume(reader: Reader) -> None:
    reader.act("last_trade", symbol=reader.symbol, at=reader.server.clock.now())
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


def test_binances_largest_orders(binance_reader: Reader) -> None:
    binance_reader.act(
        "change_market", symbol=binance_reader.symbol, max_quantity=D(2), max_market_quantity=D(1), max_position=D(3)
    )
    market = binance_reader.ccxt.load_markets(reload=True)[binance_reader.symbol]
    assert (market["limits"]["amount"]["max"], market["limits"]["market"]["max"]) == (2, 1)
    binance_reader.give("BTC", "2.9")
    for kind, side, quantity, named in (
        ("limit", "sell", 2.1, "LOT_SIZE"),
        ("market", "sell", 1.1, "MARKET_LOT_SIZE"),
        ("limit", "buy", 0.2, "MAX_POSITION"),
    ):
        with pytest.raises(ccxt.ExchangeError, match=f"Filter failure: {named}"):
            binance_reader.ccxt.create_order(binance_reader.symbol, kind, side, quantity, 61000)


def test_another_process_acts_in_json(kraken_reader: Reader) -> None:
    def control(**order: Any) -> Any:
        request = Request(f"{kraken_reader.server.url}/_control", json.dumps(order).encode(), method="POST")  # noqa: S310
        with urlopen(request) as answer:  # nosec B310 # noqa: S310
            return json.loads(answer.read())

    told = control(do="act", venue="kraken", name="deposit_from_outside", asset="BTC", amount="0.5", credited_after=60)
    assert told["result"][0]["status"] == "pending"
    control(do="act", venue="kraken", name="fail_deposit", movement=told["result"][0]["id"])
    closes = {"limit": "65000", "fee_in": "quote"}
    [order] = control(
        do="act", venue="kraken", name="order", symbol="BTC/USD", side="buy", quantity="0.1", closes=closes
    )["result"]
    assert order["status"] == "filled"
    with pytest.raises(HTTPError, match="400"):
        control(do="act", venue="kraken", name="steal")
    assert kraken_reader.ccxt.fetch_balance()["BTC"] == {"free": 0, "used": 0.1, "total": 0.1}
