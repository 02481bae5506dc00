"""Kraken spot REST over the books: signatures, nonces, deadlines, error envelopes. Keeps no state but nonces and ids.

Sources: the venue's public REST documentation. What it leaves open is decided against the client and marked "open:"
here.
"""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from hashlib import sha256
from itertools import count
from typing import Any

from tests.venue_server import kraken_shapes as shapes
from tests.venue_server.account import Account
from tests.venue_server.books import NewOrder, Order, Plan, Refusal, Status, Trade
from tests.venue_server.keys import Key, Keys, same
from tests.venue_server.kraken_records import Records
from tests.venue_server.market import Market, Prices
from tests.venue_server.wire import Call, Raw, Reply, Route, VenueError, decimal_of, json_reply, moment

PREFIX = "/0/"
PAGE = 50
CANDLES = 720
DEADLINE_AHEAD = (timedelta(seconds=2), timedelta(seconds=60))
# A UUID, with or without hyphens, or a short free text.
CLIENT_ORDER_ID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[ -~]{1,18}")
TXID = re.compile(r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")
INTERVALS = frozenset({1, 5, 15, 30, 60, 240, 1440, 10080, 21600})

INVALID_ARGUMENTS = "EGeneral:Invalid arguments"
DEADLINE_ELAPSED = "EService:Deadline elapsed"
REFUSALS = {
    # open: the documentation has no text for it; this one is what users report.
    Refusal.DUPLICATE: (f"{INVALID_ARGUMENTS}:cl_ord_id not unique", ""),
    Refusal.FUNDS: ("EOrder:Insufficient funds", ""),
    Refusal.LOT_SIZE: (f"{INVALID_ARGUMENTS}:volume", ""),
    Refusal.MINIMUM: ("EOrder:Order minimum not met", ""),
    # open: no largest order is documented (AssetPairs has ordermin and costmin only); the text is a guess.
    Refusal.MAXIMUM: (f"{INVALID_ARGUMENTS}:volume", ""),
    Refusal.MARKET_MAXIMUM: (f"{INVALID_ARGUMENTS}:volume", ""),
    Refusal.POSITION: ("EOrder:Positions limit exceeded", ""),
    Refusal.CLOSED: ("EService:Market in cancel_only mode", ""),
    Refusal.NOTIONAL: ("EOrder:Cost minimum not met", ""),
    Refusal.PRICE: ("EOrder:Tick size check failed", ""),
    Refusal.UNKNOWN_ORDER: ("EOrder:Unknown order", ""),
}
PERMISSIONS = {
    "read": ["query-funds", "query-open-trades", "query-closed-trades"],
    "trade": ["modify-trades", "close-trades"],
    "withdraw": ["withdraw-funds"],
    "ledger": ["query-ledger"],
}


def ids(seed: int) -> Callable[[str, str], str]:
    """Transaction ids in the venue's form: O..... for orders, T..... for trades."""
    numbers = count(1)

    def draw(what: str, symbol: str) -> str:
        drawn = sha256(f"{seed}:{what}:{symbol}:{next(numbers)}".encode()).digest()
        text = base64.b32encode(drawn).decode()
        return f"{what[0].upper()}{text[:5]}-{text[5:10]}-{text[10:16]}"

    return draw


class Kraken:
    """Implements `wire.Dialect`."""

    venue = "kraken"
    refusals = REFUSALS
    # The deadline is judged by the matching engine itself: nothing can happen between that and the matching.
    may_wait_after_recheck = False

    def __init__(self, keys: Keys, account: Account, prices: Prices) -> None:
        self.keys = keys
        self.account = account
        self.books = account.books
        self.prices = prices
        self._records = Records(account)
        self._routes: dict[str, Route] = {
            "public/Time": Route("time", None, self._time),
            "public/SystemStatus": Route("status", None, lambda _call, now: shapes.system_status(now)),
            "public/Assets": Route("assets", None, lambda _call, _now: shapes.assets(self.books, prices.markets)),
            "public/AssetPairs": Route("markets", None, self._pairs),
            "public/Ticker": Route("ticker", None, self._ticker),
            "public/OHLC": Route("candles", None, self._ohlc),
            "private/Balance": Route("balances", "read", lambda _call, _now: shapes.balances(self.books)),
            "private/BalanceEx": Route("balances", "read", lambda _call, _now: shapes.extended_balances(self.books)),
            "private/GetApiKeyInfo": Route("key_info", "", self._key_info),
            "private/AddOrder": Route("create_order", "trade"),
            "private/CancelOrder": Route("cancel_order", "trade", self._cancel),
            "private/QueryOrders": Route("query_order", "read", self._query),
            "private/OpenOrders": Route("open_orders", "read", self._open_orders),
            "private/ClosedOrders": Route("closed_orders", "read", self._closed_orders),
            "private/TradesHistory": Route("trades", "read", self._trades),
            **self._records.routes(),
        }

    @property
    def _markets(self) -> dict[str, Market]:
        return {name: market for market in self.prices.listed().values() for name in shapes.pair_names(market)}

    # --- requests -----------------------------------------------------------------------------------------

    def understands(self, path: str) -> bool:
        return path.startswith(PREFIX)

    def read(self, number: int, raw: Raw) -> Call:
        params = raw.params
        route = self._routes.get(raw.path.removeprefix(PREFIX))
        market = self._markets.get(params.get("pair", ""))
        return Call(
            number=number,
            kind=route.kind if route else "unknown",
            raw=raw,
            params=params,
            key=self.keys.find(raw.headers.get("api-key")),
            client_order_id=params.get("cl_ord_id"),
            symbol=market.symbol if market else None,
        )

    def gateway(self, call: Call, now: datetime) -> None:
        route = self._routes.get(call.raw.path.removeprefix(PREFIX))
        if route is None:
            raise VenueError("EGeneral:Unknown method")
        if route.permission is not None:
            self._authenticate(call, route.permission)
        if call.kind == "create_order":
            self._check_order(call)
            self._check_deadline(call, now)

    def recheck(self, call: Call, now: datetime) -> None:
        deadline = _deadline(call)
        if deadline is not None and now > deadline:
            raise VenueError(DEADLINE_ELAPSED)

    def answer(self, call: Call, now: datetime) -> Reply:
        respond = self._routes[call.raw.path.removeprefix(PREFIX)].answer
        assert respond is not None, "an order is placed, not answered"
        return _envelope(respond(call, now))

    def error(self, error: VenueError) -> Reply:
        return json_reply({"error": [error.code]})

    def scripted(self, answer: str, code: str | None, retry_after: int) -> Reply:
        """The API itself answers 200 whatever happens; other statuses are pages of the network in front of it."""
        page = "<html><body>error</body></html>"
        wait = {"Retry-After": str(retry_after)}
        match answer:
            case "rate_limited":
                return Reply(429, page, "text/html", wait)
            case "banned":
                return Reply(418, page, "text/html", wait)
            case "restricted":
                return Reply(403, page, "text/html")
            case "maintenance":
                return self.error(VenueError("EService:Unavailable"))
        return self.error(VenueError(code or "EGeneral:Internal error"))

    # --- who, and when --------------------------------------------------------------------------------------

    def _authenticate(self, call: Call, permission: str) -> None:
        key = call.key
        if call.raw.method != "POST":
            raise VenueError("EGeneral:Unknown method")
        if key is None or key.revoked:
            raise VenueError("EAPI:Invalid key")
        nonce = call.params.get("nonce", "")
        given = call.raw.headers.get("api-sign", "")
        if not same(given, key.kraken_signature(call.raw.path, nonce, call.raw.body)):
            raise VenueError("EAPI:Invalid signature")
        self._take_nonce(key, nonce)
        if permission and not getattr(key, permission):
            raise VenueError("EGeneral:Permission denied")

    def _take_nonce(self, key: Key, nonce: str) -> None:
        """Strictly increasing for each key; it is spent whatever becomes of the request."""
        if not nonce.isdigit() or int(nonce) <= key.last_nonce:
            raise VenueError("EAPI:Invalid nonce")
        key.last_nonce = int(nonce)

    def _check_deadline(self, call: Call, now: datetime) -> None:
        """open: the text for a deadline outside +2 s to +60 s; one already passed is taken as elapsed.

        open: whether a request without a deadline gets one; here it never expires.
        """
        deadline = _deadline(call)
        self.recheck(call, now)
        least, most = DEADLINE_AHEAD
        if deadline is not None and not least <= deadline - now <= most:
            raise VenueError(f"{INVALID_ARGUMENTS}:deadline")

    # --- orders -------------------------------------------------------------------------------------------------

    def _check_order(self, call: Call) -> None:
        params = call.params
        if params.get("pair", "") not in self._markets:
            raise VenueError("EQuery:Unknown asset pair")
        kind, volume, price = params.get("ordertype"), decimal_of(params.get("volume")), decimal_of(params.get("price"))
        cl_ord_id = params.get("cl_ord_id")
        wrong = (
            ("", params.get("type") not in ("buy", "sell")),
            (":ordertype", kind not in ("market", "limit")),
            (":volume", volume is None or volume <= 0),
            (":price", kind == "limit" and (price is None or price <= 0)),
            (":timeinforce", params.get("timeinforce", "GTC") not in ("GTC", "IOC")),
            (":cl_ord_id", cl_ord_id is not None and not CLIENT_ORDER_ID.fullmatch(cl_ord_id)),
            ("", "viqc" in params.get("oflags", "") and kind != "market"),
        )
        for detail, broken in wrong:
            if broken:
                raise VenueError(INVALID_ARGUMENTS + detail)

    def place(self, call: Call, now: datetime, plan: Plan) -> Order:
        params, market = call.params, self._markets[call.params["pair"]]
        side, flags = params["type"], params.get("oflags", "").split(",")
        limit = decimal_of(params.get("price")) if params["ordertype"] == "limit" else None
        volume = Decimal(params["volume"])
        time_in_force = params.get("timeinforce", "GTC")
        request = NewOrder(
            client_order_id=params.get("cl_ord_id"),
            symbol=market.symbol,
            side=side,
            quantity=self._bought_for(market, volume, now) if "viqc" in flags else volume,
            limit_price=limit,
            time_in_force=time_in_force,
            immediate=limit is None or time_in_force == "IOC",
            fee_in=_fee_in(side, flags),
        )
        return self.books.place(request, now, plan)

    def _bought_for(self, market: Market, amount: Decimal, now: datetime) -> Decimal:
        steps = amount / self.prices.ask(market.symbol, now) / market.step
        return steps.to_integral_value(ROUND_DOWN) * market.step

    def placed(self, call: Call, order: Order) -> Reply:
        description = shapes.description(order, self.prices.markets[order.request.symbol])
        return _envelope({"descr": {"order": description}, "txid": [order.venue_order_id]})

    def _cancel(self, call: Call, now: datetime) -> Any:
        name = "txid" if "txid" in call.params else "cl_ord_id"
        wanted = call.params.get(name)
        if not wanted:
            raise VenueError(INVALID_ARGUMENTS)
        if name == "txid" and not TXID.fullmatch(wanted):
            raise VenueError("EOrder:Invalid order")
        for order in self.books.open():
            if order.visible_from <= now and wanted in (order.venue_order_id, order.request.client_order_id):
                self.books.cancel(order, now)
                return {"count": 1}
        raise VenueError(*REFUSALS[Refusal.UNKNOWN_ORDER])

    def _query(self, call: Call, now: datetime) -> Any:
        """By transaction ids only. open: that a client order id alone would do; it narrows the result here."""
        txids = call.params.get("txid", "").split(",")
        if not all(TXID.fullmatch(txid) for txid in txids) or not call.params.get("userref", "0").isdigit():
            raise VenueError(INVALID_ARGUMENTS)
        found = [order for order in self._shown(call, now) if order.venue_order_id in txids]
        return self._as_result(call, found)

    def _open_orders(self, call: Call, now: datetime) -> Any:
        orders = [order for order in self._shown(call, now) if order.status is Status.OPEN]
        return {"open": self._as_result(call, orders)}

    def _closed_orders(self, call: Call, now: datetime) -> Any:
        """The latest first, 50 at a time. `start` excludes and `end` includes its own time."""
        closetime = call.params.get("closetime", "both")
        orders = [
            order
            for order in reversed(self._shown(call, now))
            if order.status is not Status.OPEN and any(_inside(call, at) for at in _times(order, closetime))
        ]
        return {"closed": self._as_result(call, _page(call, orders)), "count": len(orders)}

    def _trades(self, call: Call, now: datetime) -> Any:
        """The latest first, 50 at a time, of every pair together. Get Trades History: `consolidate_taker` (default
        true) merges, `ledgers` names the ledger's entries of each."""
        trades = [trade for trade in reversed(self.books.shown_trades(now)) if _inside(call, trade.at)]
        merges = self.account.consolidates and call.params.get("consolidate_taker", "true").lower() == "true"
        groups = _consolidated(trades) if merges else [[trade] for trade in trades]
        shown = {}
        for group in _page(call, groups):
            row = shapes.trades(group, self.books, self.prices)
            if call.params.get("ledgers", "").lower() == "true":
                row["ledgers"] = self._records.ledger_ids([trade.trade_id for trade in group], now)
            shown[group[0].trade_id] = row
        counted = call.params.get("without_count", "").lower() != "true"
        return {"trades": shown, "count": len(groups)} if counted else {"trades": shown}

    def _shown(self, call: Call, now: datetime) -> list[Order]:
        """Every visible order, or those that bore a client order id: uniqueness is for open orders only."""
        wanted = call.params.get("cl_ord_id")
        orders = self.books.shown_orders(now)
        return [order for order in orders if wanted in (None, order.request.client_order_id)]

    def _as_result(self, call: Call, orders: list[Order]) -> dict[str, Any]:
        with_trades = call.params.get("trades", "").lower() == "true"
        markets = self.prices.markets
        return {
            order.venue_order_id: shapes.order(order, markets[order.request.symbol], with_trades) for order in orders
        }

    # --- the key, and public data ---------------------------------------------------------------------------------

    def _key_info(self, call: Call, _now: datetime) -> Any:
        assert call.key is not None
        granted = [name for flag, names in PERMISSIONS.items() if getattr(call.key, flag) for name in names]
        # Kraken REST, Get API Key Info: `iban` is the account that the key is of; no other answer of ours names it.
        iban = f"AA00 N84G {call.key.account:08d}"
        return {"apiKeyName": call.key.name, "permissions": granted, "iban": iban, "ipAllowlist": []}

    def _time(self, _call: Call, now: datetime) -> Any:
        return {"unixtime": int(now.timestamp()), "rfc1123": f"{now:%a, %d %b %y %H:%M:%S} +0000"}

    def _pairs(self, _call: Call, _now: datetime) -> Any:
        listed = self.prices.listed().values()
        return {shapes.pair_id(market): shapes.pair(market, self.books.fees, self.prices) for market in listed}

    def _ticker(self, call: Call, now: datetime) -> Any:
        names = call.params["pair"].split(",") if "pair" in call.params else list(self._markets)
        markets = [self._pair(name) for name in names]
        return {shapes.pair_id(market): shapes.ticker(market, self.prices, now) for market in markets}

    def _ohlc(self, call: Call, now: datetime) -> Any:
        market = self._pair(call.params.get("pair", ""))
        interval = call.params.get("interval", "1")
        if not interval.isdigit() or int(interval) not in INTERVALS:
            raise VenueError(INVALID_ARGUMENTS)
        seconds = int(interval) * 60
        since = decimal_of(call.params.get("since")) or Decimal(0)
        first = max(moment(int(since * 1000)), now - timedelta(seconds=seconds * CANDLES))
        candles = self.prices.candles(market.symbol, seconds, first, now, now)
        rows = [shapes.candle(market, candle) for candle in candles[-CANDLES:]]
        return {shapes.pair_id(market): rows, "last": rows[-2][0] if len(rows) > 1 else int(first.timestamp())}

    def _pair(self, name: str) -> Market:
        if name not in self._markets:
            raise VenueError("EQuery:Unknown asset pair")
        return self._markets[name]


def _consolidated(trades: list[Trade]) -> list[list[Trade]]:
    """The taker trades of one order and moment together."""
    groups: dict[object, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(trade if trade.maker else (trade.venue_order_id, trade.at), []).append(trade)
    return list(groups.values())


def _envelope(result: Any) -> Reply:
    return json_reply({"error": [], "result": result})


def _deadline(call: Call) -> datetime | None:
    text = call.params.get("deadline")
    if text is None:
        return None
    try:
        deadline = datetime.fromisoformat(text)
    except ValueError:
        raise VenueError(f"{INVALID_ARGUMENTS}:deadline") from None
    if deadline.tzinfo is None:
        raise VenueError(f"{INVALID_ARGUMENTS}:deadline")
    return deadline.astimezone(UTC)


def _fee_in(side: str, flags: list[str]) -> str:
    """As documented: in quote currency when buying, in base currency when selling, unless a flag says otherwise.

    open: the flags say "prefer"; whether the other currency pays where there is too little. Here the order is refused.
    """
    asked = {"fciq": "quote", "fcib": "base"}
    return next((asked[flag] for flag in flags if flag in asked), "quote" if side == "buy" else "base")


def _times(order: Order, closetime: str) -> list[datetime]:
    return {"open": [order.created_at], "close": [order.updated_at]}.get(
        closetime, [order.created_at, order.updated_at]
    )


def _inside(call: Call, at: datetime) -> bool:
    bounds = [call.params.get(name) for name in ("start", "end")]
    numbers = [decimal_of(bound) for bound in bounds]
    if any(bound is not None and number is None for bound, number in zip(bounds, numbers, strict=True)):
        raise VenueError(INVALID_ARGUMENTS)
    start, end = numbers
    seconds = Decimal(str(at.timestamp()))
    return (start is None or seconds > start) and (end is None or seconds <= end)


def _page[T](call: Call, rows: list[T]) -> list[T]:
    offset = call.params.get("ofs", "0")
    if not offset.isdigit():
        raise VenueError(INVALID_ARGUMENTS)
    return rows[int(offset) : int(offset) + PAGE]
