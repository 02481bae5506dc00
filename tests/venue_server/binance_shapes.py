"""How Binance writes things down: orders, trades, balances, markets as JSON values. Decides nothing."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.venue_server.books import ZERO, Books, Order, Status, Trade
from tests.venue_server.keys import Key
from tests.venue_server.market import MANY, Candle, Market, Prices
from tests.venue_server.wire import fixed, milliseconds

ENDED = {Status.FILLED: "FILLED", Status.CANCELLED: "CANCELED", Status.EXPIRED: "EXPIRED"}
# Kinds of order by hand in the venue's words (enums, order types); an iceberg is a limit order that shows a part.
TYPES = {"trailing_stop": "STOP_LOSS", "iceberg": "LIMIT"}


def symbol_id(name: str) -> str:
    return name.replace("/", "")


def order(shown: Order) -> dict[str, Any]:
    request = shown.request
    working = "PENDING_NEW" if shown.pending else "NEW" if shown.filled == 0 else "PARTIALLY_FILLED"
    by_quote = request.quote_amount is not None
    row = {
        "symbol": symbol_id(request.symbol),
        "orderId": int(shown.venue_order_id),
        "orderListId": shown.linked or -1,
        "clientOrderId": request.client_order_id,
        "price": fixed(request.limit_price or ZERO),
        "origQty": fixed(request.quantity),
        "executedQty": fixed(shown.filled),
        "cummulativeQuoteQty": fixed(shown.cost),
        "status": ENDED.get(shown.status, working),
        "timeInForce": request.time_in_force,
        "type": TYPES.get(request.kind, request.kind.upper()),
        "side": request.side.upper(),
        "stopPrice": fixed(request.stop_price or ZERO),
        "icebergQty": fixed(request.shown_quantity or ZERO),
        "time": milliseconds(shown.created_at),
        "updateTime": milliseconds(shown.updated_at),
        "isWorking": not (shown.pending or shown.waits),
        "workingTime": -1 if shown.pending or shown.waits else milliseconds(shown.created_at),
        "origQuoteOrderQty": fixed(request.quote_amount or ZERO),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    # open: what origQty says of an order sized in quote currency; here what was bought.
    sized = {"origQty": fixed(shown.filled)} if by_quote else {}
    # Binance REST, conditional fields: trailingDelta in basis points, only for trailing stops.
    trailing = {"trailingDelta": int(request.trailing / shown.lock_price * 10_000)} if request.trailing else {}
    return shown.row(row | sized | trailing)


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
        "uid": key.account,  # Binance spot REST API, Account information (USER_DATA): the account's own number
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


def symbol(market: Market, known: Prices) -> dict[str, Any]:
    prices = {"minPrice": fixed(market.tick), "maxPrice": fixed(MANY), "tickSize": fixed(market.tick)}
    lots = {"minQty": fixed(market.min_quantity), "maxQty": fixed(market.max_quantity), "stepSize": fixed(market.step)}
    notional = {"minNotional": fixed(market.min_notional), "applyMinToMarket": True, "maxNotional": fixed(MANY)}
    further: list[dict[str, Any]] = []
    if market.max_market_quantity is not None:
        largest = {"maxQty": fixed(market.max_market_quantity), "minQty": fixed(ZERO), "stepSize": fixed(ZERO)}
        further.append({"filterType": "MARKET_LOT_SIZE", **largest})
    if market.max_position.is_finite():
        further.append({"filterType": "MAX_POSITION", "maxPosition": fixed(market.max_position)})
    return {
        "symbol": symbol_id(market.symbol),
        "status": known.statuses.get(market.symbol) or "TRADING",
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
            *further,
        ],
        "permissions": ["SPOT"],
    }


def kline(candle: Candle) -> list[Any]:
    prices = [fixed(price) for price in (candle.open, candle.high, candle.low, candle.close)]
    closed, quote_volume = milliseconds(candle.closed) - 1, fixed(candle.volume * candle.close)
    return [milliseconds(candle.opened), *prices, fixed(candle.volume), closed, quote_volume, 1, "0", "0", "0"]


def day(opened: Decimal, price: Decimal, quiet: bool) -> dict[str, Any]:
    """A day's statistics from its first and its last price; a day without trades has none to count."""
    return {
        "priceChange": fixed(price - opened),
        "lastPrice": fixed(price),
        "openPrice": fixed(opened),
        "highPrice": fixed(max(price, opened)),
        "lowPrice": fixed(min(price, opened)),
        "volume": fixed(Decimal(0 if quiet else 1000)),
        "quoteVolume": fixed(price * (0 if quiet else 1000)),
        "count": 0 if quiet else 100,
    }
