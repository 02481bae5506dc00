"""Binance spot REST over the books: signatures, receive window, filters, raw codes. Keeps no state but ids.

Sources: the venue's public REST and error documentation. What it leaves open is decided against the client and
marked "open:" here.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import count
from operator import itemgetter
from typing import Any

from tests.venue_server import binance_shapes as shapes
from tests.venue_server.account import Account
from tests.venue_server.binance_records import Records
from tests.venue_server.books import NewOrder, Order, Plan, Refusal, Status
from tests.venue_server.keys import Key, Keys, same
from tests.venue_server.market import Market, Prices
from tests.venue_server.wire import (
    Call,
    Raw,
    Reply,
    Route,
    VenueError,
    decimal_of,
    fixed,
    json_reply,
    milliseconds,
    moment,
)

PREFIXES = ("/api/", "/sapi/", "/fapi/", "/dapi/")
DEFAULT_WINDOW_MS, MAX_WINDOW_MS, MAX_AHEAD_MS = 5000, 60_000, 1000
CLIENT_ORDER_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
API_KEY = re.compile(r"[A-Za-z0-9]{64}")
SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")
PAGE, MAX_PAGE = 500, 1000
HISTORY_WINDOW = timedelta(hours=24)
ARCHIVED_AFTER = timedelta(days=90)
FIRST_ID = 1001
INTERVALS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}

REFUSALS = {
    Refusal.DUPLICATE: ("-2010", "Duplicate order sent."),
    Refusal.FUNDS: ("-2010", "Account has insufficient balance for requested action."),
    Refusal.LOT_SIZE: ("-1013", "Filter failure: LOT_SIZE"),
    Refusal.MINIMUM: ("-1013", "Filter failure: LOT_SIZE"),
    Refusal.MAXIMUM: ("-1013", "Filter failure: LOT_SIZE"),
    Refusal.MARKET_MAXIMUM: ("-1013", "Filter failure: MARKET_LOT_SIZE"),
    Refusal.POSITION: ("-1013", "Filter failure: MAX_POSITION"),
    Refusal.CLOSED: ("-2010", "Market is closed."),
    Refusal.NOTIONAL: ("-1013", "Filter failure: NOTIONAL"),
    Refusal.PRICE: ("-1013", "Filter failure: PRICE_FILTER"),
    Refusal.UNKNOWN_ORDER: ("-2011", "Unknown order sent."),
}
# Codes that a test may ask for, with the HTTP status and the words they come with.
SCRIPTED = {
    "-1000": (500, "An unknown error occurred while processing the request."),
    "-1001": (500, "Internal error; unable to process your request. Please try again."),
    "-1003": (429, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."),
    "-1006": (500, "An unexpected response was received from the message bus. Execution status unknown."),
    "-1007": (504, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
    "-1008": (503, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    "-1013": (400, "Market is closed."),
    "-1015": (429, "Too many new orders; current limit is 100 orders per TEN_SECONDS."),
    "-1016": (503, "This service is no longer available."),
    "-2010": (400, "Market is closed."),
    "-2015": (401, "Invalid API-key, IP, or permissions for action."),
}
TIMES_IN_FORCE = {"GTC": False, "IOC": True, "FOK": True}


def ids() -> Callable[[str, str], str]:
    """Order and trade ids are counted by symbol, so the same number names different things in two symbols."""
    counters: dict[tuple[str, str], count[int]] = {}
    return lambda what, symbol: str(next(counters.setdefault((what, symbol), count(FIRST_ID))))


def missing(name: str) -> VenueError:
    return VenueError("-1102", f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class Binance:
    """Implements `wire.Dialect`."""

    venue = "binance"
    refusals = REFUSALS
    # The window is checked before the order is handed to the engine, which may take seconds more.
    may_wait_after_recheck = True

    def __init__(self, keys: Keys, account: Account, prices: Prices) -> None:
        self.keys = keys
        self.account = account
        self.books = account.books
        self.prices = prices
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/api/v3/ping"): Route("ping", None, lambda _call, _now: {}),
            ("GET", "/api/v3/time"): Route("time", None, lambda _call, now: {"serverTime": milliseconds(now)}),
            ("GET", "/api/v3/exchangeInfo"): Route("markets", None, self._exchange_info),
            ("GET", "/fapi/v1/exchangeInfo"): Route("markets", None, lambda _call, _now: {"symbols": []}),
            ("GET", "/dapi/v1/exchangeInfo"): Route("markets", None, lambda _call, _now: {"symbols": []}),
            ("GET", "/api/v3/klines"): Route("candles", None, self._klines),
            ("GET", "/api/v3/ticker/24hr"): Route("ticker", None, self._ticker_24h),
            ("GET", "/api/v3/ticker/price"): Route("ticker", None, self._ticker_price),
            ("GET", "/api/v3/ticker/bookTicker"): Route("ticker", None, self._book_ticker),
            ("GET", "/sapi/v1/system/status"): Route(
                "status", None, lambda _call, _now: {"status": 0, "msg": "normal"}
            ),
            ("GET", "/sapi/v1/capital/config/getall"): Route("assets", "read", self._assets),
            ("GET", "/sapi/v1/margin/allPairs"): Route("assets", "read", lambda _call, _now: []),
            ("GET", "/sapi/v1/margin/isolated/allPairs"): Route("assets", "read", lambda _call, _now: []),
            ("GET", "/sapi/v1/account/apiRestrictions"): Route("key_info", "", self._restrictions),
            ("GET", "/api/v3/account"): Route("balances", "read", self._account),
            ("POST", "/api/v3/order"): Route("create_order", "trade"),
            ("DELETE", "/api/v3/order"): Route("cancel_order", "trade", self._cancel),
            ("GET", "/api/v3/order"): Route("query_order", "read", self._query),
            ("GET", "/api/v3/openOrders"): Route("open_orders", "read", self._open_orders),
            ("GET", "/api/v3/allOrders"): Route("closed_orders", "read", self._all_orders),
            ("GET", "/api/v3/myTrades"): Route("trades", "read", self._my_trades),
            **Records(account).routes(),
        }

    @property
    def _markets(self) -> dict[str, Market]:
        return {market.base + market.quote: market for market in self.prices.listed().values()}

    # --- requests ---------------------------------------------------------------------------------------

    def understands(self, path: str) -> bool:
        return path.startswith(PREFIXES)

    def read(self, number: int, raw: Raw) -> Call:
        params = raw.params
        route = self._routes.get((raw.method, raw.path))
        market = self._markets.get(params.get("symbol", ""))
        return Call(
            number=number,
            kind=route.kind if route else "unknown",
            raw=raw,
            params={name: value for name, value in params.items() if name != "signature"},
            key=self.keys.find(raw.headers.get("x-mbx-apikey")),
            client_order_id=params.get("newClientOrderId") or params.get("origClientOrderId"),
            symbol=market.symbol if market else None,
        )

    def gateway(self, call: Call, now: datetime) -> None:
        route = self._routes.get((call.raw.method, call.raw.path))
        if route is None:
            raise VenueError("-1000", "no such endpoint", 404)
        if route.permission is not None:
            self._authenticate(call, route.permission, now)
        if call.kind == "create_order":
            self._check_order(call)

    def recheck(self, call: Call, now: datetime) -> None:
        timestamp, window = self._timing(call)
        if milliseconds(now) - timestamp > window:
            raise VenueError("-1021", "Timestamp for this request is outside of the recvWindow.")

    def answer(self, call: Call, now: datetime) -> Reply:
        respond = self._routes[(call.raw.method, call.raw.path)].answer
        assert respond is not None, "an order is placed, not answered"
        return json_reply(respond(call, now))

    def error(self, error: VenueError) -> Reply:
        return json_reply({"code": int(error.code), "msg": error.message}, error.status)

    def scripted(self, answer: str, code: str | None, retry_after: int) -> Reply:
        wait = {"Retry-After": str(retry_after)}
        match answer:
            case "rate_limited":
                return self._scripted("-1003", headers=wait)
            case "banned":
                return json_reply({"code": -1003, "msg": "Way too much request weight used; IP banned."}, 418, **wait)
            case "maintenance":
                return self._scripted("-1016")
            case "restricted":
                return json_reply({"code": 0, "msg": "Service unavailable from a restricted location."}, 451)
        return self._scripted(code or "-1000")

    def _scripted(self, code: str, headers: dict[str, str] | None = None) -> Reply:
        status, message = SCRIPTED.get(code, (400, "scripted"))
        return json_reply({"code": int(code), "msg": message}, status, **(headers or {}))

    # --- who, and when ------------------------------------------------------------------------------------

    def _authenticate(self, call: Call, permission: str, now: datetime) -> None:
        given = call.raw.headers.get("x-mbx-apikey", "")
        if not API_KEY.fullmatch(given):
            raise VenueError("-2014", "API-key format invalid.", 401)
        key = call.key
        if key is None or key.revoked or (permission and not getattr(key, permission)):
            raise VenueError("-2015", "Invalid API-key, IP, or permissions for action.", 401)
        self._check_signature(call.raw, key)
        timestamp, _window = self._timing(call)
        if timestamp >= milliseconds(now) + MAX_AHEAD_MS:
            raise VenueError("-1021", "Timestamp for this request was 1000ms ahead of the server's time.")
        self.recheck(call, now)

    def _check_signature(self, raw: Raw, key: Key) -> None:
        given = SIGNATURE.search(raw.query) or SIGNATURE.search(raw.body)
        if given is None:
            raise missing("signature")
        signed = SIGNATURE.sub("", raw.query) + SIGNATURE.sub("", raw.body)
        if not same(given.group(1).lower(), key.binance_signature(signed)):
            raise VenueError("-1022", "Signature for this request is not valid.")

    def _timing(self, call: Call) -> tuple[int, int]:
        timestamp, window = call.params.get("timestamp", ""), call.params.get("recvWindow", str(DEFAULT_WINDOW_MS))
        if not timestamp.isdigit():
            raise missing("timestamp")
        if not window.isdigit() or int(window) > MAX_WINDOW_MS:
            raise VenueError("-1131", "recvWindow must be less than 60000.")
        return int(timestamp), int(window)

    # --- orders ---------------------------------------------------------------------------------------------

    def _check_order(self, call: Call) -> None:
        """What can be refused by reading the request alone."""
        params = call.params
        self._market(call)
        if params.get("side") not in ("BUY", "SELL"):
            raise VenueError("-1117", "Invalid side.")
        if params.get("type") not in ("LIMIT", "MARKET"):
            raise VenueError("-1116", "Invalid orderType.")
        self._check_amounts(params)
        if not CLIENT_ORDER_ID.fullmatch(params.get("newClientOrderId", "x")):
            raise VenueError("-1100", "Illegal characters found in parameter 'newClientOrderId'.")

    def _check_amounts(self, params: dict[str, str]) -> None:
        limit = params["type"] == "LIMIT"
        amounts = ("quantity", "price") if limit else ("quoteOrderQty" if "quoteOrderQty" in params else "quantity",)
        for name in amounts:
            number = decimal_of(params.get(name))
            if number is None or number <= 0:
                raise missing(name)
            if number != number.quantize(Decimal("1e-8")):
                raise VenueError("-1111", f"Parameter '{name}' has too much precision.")
        if not limit and ("price" in params or "timeInForce" in params):
            raise VenueError("-1106", "Parameter 'price' or 'timeInForce' sent when not required.")
        if limit and params.get("timeInForce") not in TIMES_IN_FORCE:
            raise VenueError("-1115", "Invalid timeInForce.")

    def place(self, call: Call, now: datetime, plan: Plan) -> Order:
        params, market = call.params, self._market(call)
        limit = decimal_of(params.get("price"))
        side = params["side"].lower()
        request = NewOrder(
            client_order_id=params.get("newClientOrderId") or f"auto{call.number}",
            symbol=market.symbol,
            side=side,
            quantity=decimal_of(params.get("quantity")) or self._bought_for(market, params["quoteOrderQty"], now),
            limit_price=limit,
            time_in_force=params.get("timeInForce", "GTC"),
            immediate=limit is None or TIMES_IN_FORCE[params["timeInForce"]],
            # The commission is taken out of what is received.
            fee_in="base" if side == "buy" else "quote",
        )
        return self.books.place(request, now, plan)

    def _bought_for(self, market: Market, amount: str, now: datetime) -> Decimal:
        steps = Decimal(amount) / self.prices.ask(market.symbol, now) / market.step
        return steps.to_integral_value(ROUND_DOWN) * market.step

    def placed(self, call: Call, order: Order) -> Reply:
        shown = shapes.order(order)
        kept = ["symbol", "orderId", "orderListId", "clientOrderId"]
        kind = call.params.get("newOrderRespType", "FULL" if order.request.kind == "market" else "ACK")
        if kind != "ACK":
            kept += ["price", "origQty", "executedQty", "cummulativeQuoteQty", "status", "timeInForce", "type", "side"]
        content = {name: shown[name] for name in kept} | {"transactTime": milliseconds(order.created_at)}
        if kind == "FULL":
            content["fills"] = [shapes.fill(trade) for trade in order.trades]
        return json_reply(content)

    def _cancel(self, call: Call, now: datetime) -> Any:
        order = self._find(call, now)
        if order is None or order.status is not Status.OPEN:
            raise VenueError(*REFUSALS[Refusal.UNKNOWN_ORDER])
        self.books.cancel(order, now)
        shown = shapes.order(order)
        return shown | {"origClientOrderId": shown["clientOrderId"], "clientOrderId": f"cancel{call.number}"}

    def _query(self, call: Call, now: datetime) -> Any:
        order = self._find(call, now)
        if order is None:
            raise VenueError("-2013", "Order does not exist.")
        if order.status is not Status.OPEN and order.filled == 0 and now - order.updated_at > ARCHIVED_AFTER:
            raise VenueError(
                "-2026", "Order was canceled or expired with no executed qty over 90 days ago and has been archived."
            )
        return shapes.order(order)

    def _find(self, call: Call, now: datetime) -> Order | None:
        """By order id, else by client order id. open: several may have borne it; the latest is shown."""
        market, params = self._market(call), call.params
        name = "orderId" if params.get("orderId") else "origClientOrderId"
        wanted = params.get(name)
        if not wanted or (name == "orderId" and not wanted.isdigit()):
            raise missing(name)
        for order in reversed(self.books.shown_orders(now)):
            identity = order.venue_order_id if name == "orderId" else order.request.client_order_id
            if identity == wanted and order.request.symbol == market.symbol:
                return order
        return None

    def _open_orders(self, call: Call, now: datetime) -> Any:
        symbol = self._market(call).symbol if "symbol" in call.params else None
        shown = (order for order in self.books.shown_orders(now) if order.status is Status.OPEN)
        return [shapes.order(order) for order in shown if symbol in (None, order.request.symbol)]

    def _all_orders(self, call: Call, now: datetime) -> Any:
        symbol = self._market(call).symbol
        orders = [order for order in self.books.shown_orders(now) if order.request.symbol == symbol]
        rows = [(order.created_at, int(order.venue_order_id), shapes.order(order)) for order in orders]
        return self._page(call, rows, "orderId")

    def _my_trades(self, call: Call, now: datetime) -> Any:
        symbol, wanted = self._market(call).symbol, call.params.get("orderId")
        trades = [trade for trade in self.books.shown_trades(now) if trade.symbol == symbol]
        rows = [
            (trade.at, int(trade.trade_id), self.books.row_of(trade, shapes.trade(trade)))
            for trade in trades
            if wanted in (None, trade.venue_order_id)
        ]
        return self._page(call, rows, "fromId")

    def _page(self, call: Call, rows: list[tuple[datetime, int, Any]], cursor: str) -> list[Any]:
        """Oldest first. open: a start alone reads 24 h from it, an end alone the 24 h before it; from a start or a
        cursor the oldest come first, else the latest."""
        params = call.params
        limit, first_id = _integer(params, "limit") or PAGE, _integer(params, cursor)
        start, end = self._times(params)
        if first_id is not None and (start is not None or end is not None):
            raise VenueError("-1128", "Combination of optional parameters invalid.")
        inside = [
            (number, content)
            for at, number, content in rows
            if number >= (first_id or 0)
            and (start is None or start <= milliseconds(at))
            and (end is None or milliseconds(at) <= end)
        ]
        ordered = [content for _number, content in sorted(inside, key=itemgetter(0))]
        size = min(limit, MAX_PAGE)
        return ordered[-size:] if first_id is None and "startTime" not in params else ordered[:size]

    def _times(self, params: dict[str, str]) -> tuple[int | None, int | None]:
        window = int(HISTORY_WINDOW.total_seconds()) * 1000
        start, end = _integer(params, "startTime"), _integer(params, "endTime")
        if start is not None and end is not None and end - start > window:
            raise VenueError("-1127", "More than 24 hours between startTime and endTime.")
        if start is not None:
            return start, end if end is not None else start + window
        return (end - window if end is not None else None), end

    # --- the account, and public data ------------------------------------------------------------------------

    def _account(self, call: Call, now: datetime) -> Any:
        assert call.key is not None
        return shapes.account(self.books, call.key, now)

    def _restrictions(self, call: Call, _now: datetime) -> Any:
        assert call.key is not None
        return shapes.restrictions(call.key)

    def _exchange_info(self, _call: Call, now: datetime) -> Any:
        symbols = [shapes.symbol(market, self.prices) for market in self._markets.values()]
        return {"timezone": "UTC", "serverTime": milliseconds(now), "rateLimits": [], "symbols": symbols}

    def _assets(self, _call: Call, _now: datetime) -> Any:
        """Every asset of the venue, also one that no market has."""
        names = {asset for market in self.prices.markets.values() for asset in (market.base, market.quote)}
        names |= set(self.books.balances)
        return [{"coin": name, "name": name, "trading": True, "networkList": []} for name in sorted(names)]

    def _klines(self, call: Call, now: datetime) -> Any:
        market, params = self._market(call), call.params
        seconds = INTERVALS.get(params.get("interval", ""))
        if seconds is None:
            raise VenueError("-1120", "Invalid interval.")
        limit = min(_integer(params, "limit") or PAGE, MAX_PAGE)
        start, until = _integer(params, "startTime"), milliseconds(now)
        last = min(_integer(params, "endTime") or until, until)
        first = start if start is not None else last - limit * seconds * 1000
        if start is not None:
            last = min(last, first + limit * seconds * 1000)
        candles = self.prices.candles(market.symbol, seconds, moment(first), moment(last), now)
        rows = [shapes.kline(candle) for candle in candles]
        return rows[-limit:] if start is None else rows[:limit]

    def _ticker_24h(self, call: Call, now: datetime) -> Any:
        symbol = self._market(call).symbol
        opened, price = self.prices.at(symbol, now - HISTORY_WINDOW), self.prices.at(symbol, now)
        quiet = self.prices.went_quiet(symbol, now - HISTORY_WINDOW)
        times = {"openTime": milliseconds(now - HISTORY_WINDOW), "closeTime": milliseconds(now)}
        return self._book_ticker(call, now) | shapes.day(opened, price, quiet) | times

    def _ticker_price(self, call: Call, now: datetime) -> Any:
        symbol = self._market(call).symbol
        return {"symbol": shapes.symbol_id(symbol), "price": fixed(self.prices.at(symbol, now))}

    def _book_ticker(self, call: Call, now: datetime) -> Any:
        symbol = self._market(call).symbol
        bid, ask = fixed(self.prices.bid(symbol, now)), fixed(self.prices.ask(symbol, now))
        sizes = {"bidQty": "10.00000000", "askQty": "10.00000000"}
        return {"symbol": shapes.symbol_id(symbol), "bidPrice": bid, "askPrice": ask, **sizes}

    def _market(self, call: Call) -> Market:
        """open: whether the past of a delisted symbol can be read; here it cannot."""
        name = call.params.get("symbol")
        if not name:
            raise missing("symbol")
        if name not in self._markets:
            raise VenueError("-1121", "Invalid symbol.")
        return self._markets[name]


def _integer(params: dict[str, str], name: str) -> int | None:
    """A parameter that must be a whole number if it is there."""
    value = params.get(name)
    if value is not None and not value.isdigit():
        raise VenueError("-1100", f"Illegal characters found in parameter '{name}'.")
    return None if value is None else int(value)
