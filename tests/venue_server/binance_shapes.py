"""How Binance writes things down: orders, trades, balances, markets as JSON values. Decides nothing."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.venue_server.books import ZERO, Books, Order, Status, Trade
from tests.venue_server.keys import Key
from tests.venue_server.market import Candle, Market
from tests.venue_server.wire import fixed, milliseconds

ENDED = {Status.FILLED: "FILLED", Status.CANCELLED: "CANCELED", Status.EXPIRED: "EXPIRED"}
MANY = Decimal(9_000_000)


def symbol_id(name: str) -> str:
    return name.replace("/", "")


def order(shown: Order) -> dict[str, Any]:
    request = shown.request
    working = "NEW" if shown.filled == 0 else "PARTIALLY_FILLED"
    return {
        "symbol": symbol_id(request.symbol),
        "orderId": int(shown.venue_order_id),
        "orderListId": -1,
        "clientOrderId": request.client_order_id,
        "price": fixed(request.limit_price or ZERO),
        "origQty": fixed(request.quantity),
        "executedQty": fixed(shown.filled),
        "cummulativeQuoteQty": fixed(shown.cost),
        "status": ENDED.get(shown.status, working),
        "timeInForce": request.time_in_force,
        "type": request.kind.upper(),
        "side": request.side.upper(),
        "stopPrice": fixed(ZERO),
        "icebergQty": fixed(ZERO),
        "time": milliseconds(shown.created_at),
        "updateTime": milliseconds(shown.updated_at),
        "isWorking": True,
        "workingTime": milliseconds(shown.created_at),
        "origQuoteOrderQty": fixed(ZERO),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def fill(shown: Trade) -> dict[str, Any]:
    return {
        "price": fixed(shown.price),
        "qty": fixed(shown.quantity),
        "commission": fixed(shown.fee),
        "commissionAsset": shown.fee_asset,
        "tradeId": int(shown.trade_id),
    }


def trade(shown: Trade) -> dict[str, Any]:
    parts = fill(shown)
    return {
        "symbol": symbol_id(shown.symbol),
        "id": parts.pop("tradeId"),
        "orderId": int(shown.venue_order_id),
        "orderListId": -1,
        **parts,
        "quoteQty": fixed(shown.notional),
        "time": milliseconds(shown.at),
        "isBuyer": shown.side == "buy",
        "isMaker": shown.maker,
        "isBestMatch": True,
    }


def account(books: Books, key: Key, now: datetime) -> dict[str, Any]:
    balances = [
        {"asset": asset, "free": fixed(books.free(asset)), "locked": fixed(books.locked(asset))}
        for asset in sorted(books.balances)
    ]
    return {
        "makerCommission": int(books.fees.maker * 10_000),
        "takerCommission": int(books.fees.taker * 10_000),
        "canTrade": key.trade,
        "canWithdraw": key.withdraw,
        "canDeposit": True,
        "updateTime": milliseconds(now),
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
    }


def restrictions(key: Key) -> dict[str, Any]:
    """What a key may do, as the venue tells its owner."""
    return {
        "ipRestrict": False,
        "enableReading": key.read,
        "enableSpotAndMarginTrading": key.trade,
        "enableWithdrawals": key.withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
    }


def symbol(market: Market) -> dict[str, Any]:
    prices = {"minPrice": fixed(market.tick), "maxPrice": fixed(MANY), "tickSize": fixed(market.tick)}
    lots = {"minQty": fixed(market.min_quantity), "maxQty": fixed(MANY), "stepSize": fixed(market.step)}
    notional = {"minNotional": fixed(market.min_notional), "applyMinToMarket": True, "maxNotional": fixed(MANY)}
    return {
        "symbol": symbol_id(market.symbol),
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", **prices},
            {"filterType": "LOT_SIZE", **lots},
            {"filterType": "NOTIONAL", **notional, "applyMaxToMarket": False, "avgPriceMins": 5},
        ],
        "permissions": ["SPOT"],
    }


def kline(candle: Candle) -> list[Any]:
    prices = [fixed(price) for price in (candle.open, candle.high, candle.low, candle.close)]
    closed, quote_volume = milliseconds(candle.closed) - 1, fixed(candle.volume * candle.close)
    return [milliseconds(candle.opened), *prices, fixed(candle.volume), closed, quote_volume, 1, "0", "0", "0"]


def day(opened: Decimal, price: Decimal) -> dict[str, str]:
    """A day's statistics from its first and its last price."""
    return {
        "priceChange": fixed(price - opened),
        "lastPrice": fixed(price),
        "openPrice": fixed(opened),
        "highPrice": fixed(max(price, opened)),
        "lowPrice": fixed(min(price, opened)),
        "volume": fixed(Decimal(1000)),
        "quoteVolume": fixed(price * 1000),
    }
