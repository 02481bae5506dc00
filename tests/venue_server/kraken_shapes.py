"""How Kraken writes things down: pairs, orders, trades, balances as JSON values. Decides nothing."""

from datetime import datetime, timedelta
from decimal import Decimal
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
# Kinds of order by hand in the venue's words (Add Order, ordertype).
TYPES = {
    "stop_loss": "stop-loss",
    "stop_loss_limit": "stop-loss-limit",
    "take_profit": "take-profit",
    "take_profit_limit": "take-profit-limit",
    "trailing_stop": "trailing-stop",
    "limit_maker": "limit",
}


def alternative_name(asset: str) -> str:
    """`BTC.F` is XBT.F."""
    bare, dot, kept_as = asset.partition(".")
    return RENAMED.get(bare, bare) + dot + kept_as


def asset_id(asset: str) -> str:
    return PREFIXED.get(asset, "") + alternative_name(asset)


def asset_named(name: str) -> str:
    """The asset behind an id or an alternative name."""
    bare, dot, kept_as = name.partition(".")
    ours = next((ours for ours in (*PREFIXED, *RENAMED) if bare in (asset_id(ours), alternative_name(ours))), bare)
    return ours + dot + kept_as


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


def pair(market: Market, fees: Fees, prices: Prices) -> dict[str, Any]:
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
        "status": prices.statuses.get(market.symbol) or "online",
    }


def assets(books: Books, markets: dict[str, Market]) -> dict[str, Any]:
    """Kraken, Get Asset Info: `decimals` is what wallets are kept to, `display_decimals` is cosmetic."""
    names = {asset for market in markets.values() for asset in (market.base, market.quote)} | set(books.balances)
    quotes = {market.quote for market in markets.values()}
    return {
        asset_id(name): {
            "aclass": "currency",
            "altname": alternative_name(name),
            "decimals": books.wallets.places(name),
            "display_decimals": 2 if name in quotes else 5,
            "status": "enabled",
        }
        for name in sorted(names)
    }


def system_status(now: datetime) -> dict[str, str]:
    return {"status": "online", "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"}


def amount_of(books: Books, asset: str, amount: Decimal) -> str:
    """As long as the wallet is kept, once it is."""
    return fixed(amount, books.wallets.places(asset) if books.wallets.rounded else 10)


def balances(books: Books) -> dict[str, str]:
    """Kraken, Get Account Balance: net of pending withdrawals."""
    return {asset_id(asset): amount_of(books, asset, amount) for asset, amount in sorted(books.balances.items())}


def extended_balances(books: Books) -> dict[str, dict[str, str]]:
    """open: which wallet shows the hold of an asset that has two; here the bare one first."""
    shown = {}
    for asset, amount in sorted(books.balances.items()):
        held = books.locked(asset)
        for through in books.wallets.spent_through:
            bare = asset.removesuffix(through)
            if books.balances.get(asset + through):
                held = min(held, max(amount, ZERO))
            elif bare != asset:
                held = max(books.locked(bare) - books.balances.get(bare, ZERO), ZERO)
        shown[asset_id(asset)] = {
            "balance": amount_of(books, asset, amount),
            "hold_trade": amount_of(books, asset, held),
        }
    return shown


def description(shown: Order, market: Market) -> str:
    request = shown.request
    places, kind = places_of(market.tick), TYPES.get(request.kind, request.kind)
    prices = [price for price in _prices(shown) if price is not None]
    told = " -> limit ".join(fixed(price, places) for price in prices)
    return f"{request.side} {fixed(_volume(shown))} {pair_alternative_name(market)} @ {kind} {told}".strip()


def _prices(shown: Order) -> tuple[Decimal | None, Decimal | None]:
    """`price` and `price2`: the limit alone, or the trigger and the limit behind it (Add Order)."""
    request = shown.request
    trigger = request.stop_price if request.trailing is None else request.trailing
    return (request.limit_price, None) if trigger is None else (trigger, request.limit_price)


def _volume(shown: Order) -> Decimal:
    """Get Open Orders: "base currency unless viqc set in oflags"."""
    return shown.request.quote_amount or shown.request.quantity


def order(shown: Order, market: Market, with_trades: bool) -> dict[str, Any]:
    request = shown.request
    places = places_of(market.tick)
    average = shown.cost / shown.filled if shown.filled else ZERO
    price, price2 = _prices(shown)
    flags = ["viqc"] if request.quote_amount else []
    flags += ["post"] if request.kind == "limit_maker" else []
    result: dict[str, Any] = {
        "refid": shown.follows,
        "userref": None,
        "cl_ord_id": request.client_order_id,
        "status": STATUSES[shown.status],
        "opentm": _seconds(shown.created_at),
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": pair_alternative_name(market),
            "type": request.side,
            "ordertype": TYPES.get(request.kind, request.kind),
            "price": fixed(price or ZERO, places),
            "price2": "0" if price2 is None else fixed(price2, places),
            "leverage": "none",
            "order": description(shown, market),
            "close": f"close position @ {shown.closes.kind}" if shown.closes else "",
        },
        "vol": fixed(_volume(shown)),
        "vol_exec": fixed(shown.cost if request.quote_amount else shown.filled),
        "cost": fixed(shown.cost, COST_PLACES),
        "fee": fixed(shown.fee_value),
        "price": fixed(average, max(places, COST_PLACES)),
        "stopprice": fixed(request.stop_price or ZERO, COST_PLACES),
        "limitprice": "0.00000",
        "misc": "",
        "oflags": ",".join(["fcib" if request.fee_in == "base" else "fciq", *flags]),
        "reason": REASONS.get(shown.status),
    }
    if shown.status is not Status.OPEN:
        result["closetm"] = _seconds(shown.updated_at)
    if with_trades:
        result["trades"] = [trade.trade_id for trade in shown.trades]
    if request.shown_quantity is not None:
        result["displayvol"] = fixed(request.shown_quantity)
    return shown.row(result)


def trade(shown: Trade, books: Books, prices: Prices) -> dict[str, Any]:
    """The fee is told in quote currency, whichever currency it was taken in."""
    market = prices.markets[shown.symbol]
    placed = next(order for order in books.orders if order.venue_order_id == shown.venue_order_id)
    row = {
        "ordertxid": shown.venue_order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_id(market),
        "aclass": "forex",
        "time": _seconds(shown.at),
        "type": shown.side,
        "ordertype": TYPES.get(placed.request.kind, placed.request.kind),
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
    return books.row_of(shown, row)


def trades(group: list[Trade], books: Books, prices: Prices) -> dict[str, Any]:
    """Several trades as one: sums, and the average price."""
    row = trade(group[0], books, prices)
    if len(group) == 1:
        return row
    volume, cost, fee = (
        sum((getattr(one, name) for one in group), ZERO) for name in ("quantity", "notional", "fee_value")
    )
    price = {"price": fixed(cost / volume, COST_PLACES), "cost": fixed(cost, COST_PLACES)}
    return row | price | {"vol": fixed(volume), "fee": fixed(fee)}


def ticker(market: Market, prices: Prices, now: datetime) -> dict[str, Any]:
    places = places_of(market.tick)
    bid, ask = fixed(prices.bid(market.symbol, now), places), fixed(prices.ask(market.symbol, now), places)
    last = fixed(prices.at(market.symbol, now), places)
    quiet = prices.went_quiet(market.symbol, now - timedelta(hours=24))
    volume, number = ("0.00000000", 0) if quiet else ("1000.00000000", 100)
    return {
        "a": [ask, "10", "10.000"],
        "b": [bid, "10", "10.000"],
        "c": [last, "0.10000000"],
        "v": [volume, volume],
        "p": [last, last],
        "t": [number, number],
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
