"""How Kraken writes things down: pairs, orders, trades, balances as JSON values. Decides nothing."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from tests.venue_server.books import ZERO, Books, Fees, Order, Status, Trade
from tests.venue_server.market import Candle, Market, Prices
from tests.venue_server.wire import fixed, places_of

# Assets that keep their old prefix, and those that go by another name.
PREFIXED = {"BTC": "X", "ETH": "X", "XRP": "X", "LTC": "X", "XLM": "X", "ETC": "X", "DOGE": "X", "USD": "Z", "EUR": "Z"}
RENAMED = {"BTC": "XBT", "DOGE": "XDG"}
UNPREFIXED_PAIRS = frozenset({"DOGE"})
STATUSES = {Status.OPEN: "open", Status.FILLED: "closed", Status.CANCELLED: "canceled", Status.EXPIRED: "canceled"}
REASONS = {Status.CANCELLED: "User requested", Status.EXPIRED: "Order expired"}
COST_PLACES = 5


def alternative_name(asset: str) -> str:
    return RENAMED.get(asset, asset)


def asset_id(asset: str) -> str:
    return PREFIXED.get(asset, "") + alternative_name(asset)


def pair_alternative_name(market: Market) -> str:
    return alternative_name(market.base) + alternative_name(market.quote)


def pair_id(market: Market) -> str:
    """The long form for the oldest pairs, the short one for the rest."""
    old = market.base in PREFIXED and market.base not in UNPREFIXED_PAIRS
    return asset_id(market.base) + asset_id(market.quote) if old else pair_alternative_name(market)


def pair_names(market: Market) -> tuple[str, ...]:
    return pair_id(market), pair_alternative_name(market), _websocket_name(market)


def _websocket_name(market: Market) -> str:
    return f"{alternative_name(market.base)}/{alternative_name(market.quote)}"


def pair(market: Market, fees: Fees) -> dict[str, Any]:
    return {
        "altname": pair_alternative_name(market),
        "wsname": _websocket_name(market),
        "aclass_base": "currency",
        "base": asset_id(market.base),
        "aclass_quote": "currency",
        "quote": asset_id(market.quote),
        "lot": "unit",
        "pair_decimals": places_of(market.tick),
        "cost_decimals": COST_PLACES,
        "lot_decimals": places_of(market.step),
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, float(fees.taker * 100)]],
        "fees_maker": [[0, float(fees.maker * 100)]],
        "fee_volume_currency": "ZUSD",
        "ordermin": str(market.min_quantity),
        "costmin": str(market.min_notional),
        "tick_size": str(market.tick),
        "status": "online",
    }


def assets(markets: dict[str, Market]) -> dict[str, Any]:
    names = {asset for market in markets.values() for asset in (market.base, market.quote)}
    quotes = {market.quote for market in markets.values()}
    return {
        asset_id(name): {
            "aclass": "currency",
            "altname": alternative_name(name),
            "decimals": 4 if name in quotes else 10,
            "display_decimals": 2 if name in quotes else 5,
            "status": "enabled",
        }
        for name in sorted(names)
    }


def system_status(now: datetime) -> dict[str, str]:
    return {"status": "online", "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"}


def balances(books: Books) -> dict[str, str]:
    return {asset_id(asset): fixed(amount, 10) for asset, amount in sorted(books.balances.items())}


def extended_balances(books: Books) -> dict[str, dict[str, str]]:
    return {
        asset_id(asset): {"balance": fixed(amount, 10), "hold_trade": fixed(books.locked(asset), 10)}
        for asset, amount in sorted(books.balances.items())
    }


def description(shown: Order, market: Market) -> str:
    request = shown.request
    price = "market" if request.limit_price is None else f"limit {fixed(request.limit_price, places_of(market.tick))}"
    return f"{request.side} {fixed(request.quantity)} {pair_alternative_name(market)} @ {price}"


def order(shown: Order, market: Market, with_trades: bool) -> dict[str, Any]:
    request = shown.request
    places = places_of(market.tick)
    average = shown.cost / shown.filled if shown.filled else ZERO
    result: dict[str, Any] = {
        "refid": None,
        "userref": None,
        "cl_ord_id": request.client_order_id,
        "status": STATUSES[shown.status],
        "opentm": _seconds(shown.created_at),
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": pair_alternative_name(market),
            "type": request.side,
            "ordertype": request.kind,
            "price": fixed(request.limit_price or ZERO, places),
            "price2": "0",
            "leverage": "none",
            "order": description(shown, market),
            "close": "",
        },
        "vol": fixed(request.quantity),
        "vol_exec": fixed(shown.filled),
        "cost": fixed(shown.cost, COST_PLACES),
        "fee": fixed(shown.fee_value),
        "price": fixed(average, max(places, COST_PLACES)),
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": "fcib" if request.fee_in == "base" else "fciq",
        "reason": REASONS.get(shown.status),
    }
    if shown.status is not Status.OPEN:
        result["closetm"] = _seconds(shown.updated_at)
    if with_trades:
        result["trades"] = [trade.trade_id for trade in shown.trades]
    return result


def trade(shown: Trade, books: Books, prices: Prices) -> dict[str, Any]:
    """The fee is told in quote currency, whichever currency it was taken in."""
    market = prices.markets[shown.symbol]
    placed = next(order for order in books.orders if order.venue_order_id == shown.venue_order_id)
    return {
        "ordertxid": shown.venue_order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_id(market),
        "aclass": "forex",
        "time": _seconds(shown.at),
        "type": shown.side,
        "ordertype": placed.request.kind,
        "price": fixed(shown.price, max(places_of(market.tick), COST_PLACES)),
        "cost": fixed(shown.notional, COST_PLACES),
        "fee": fixed(shown.fee_value),
        "vol": fixed(shown.quantity),
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": int.from_bytes(sha256(shown.trade_id.encode()).digest()[:4]),
        "maker": shown.maker,
    }


def ticker(market: Market, prices: Prices, now: datetime) -> dict[str, Any]:
    places = places_of(market.tick)
    bid, ask = fixed(prices.bid(market.symbol, now), places), fixed(prices.ask(market.symbol, now), places)
    last = fixed(prices.at(market.symbol, now), places)
    return {
        "a": [ask, "10", "10.000"],
        "b": [bid, "10", "10.000"],
        "c": [last, "0.10000000"],
        "v": ["1000.00000000", "1000.00000000"],
        "p": [last, last],
        "t": [100, 100],
        "l": [last, last],
        "h": [last, last],
        "o": last,
    }


def candle(market: Market, shown: Candle) -> list[Any]:
    places = places_of(market.tick)
    prices = [fixed(price, places) for price in (shown.open, shown.high, shown.low, shown.close, shown.close)]
    return [int(shown.opened.timestamp()), *prices, fixed(shown.volume), 100]


def _seconds(at: datetime) -> float:
    return round(at.timestamp(), 6)
