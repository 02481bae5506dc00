"""The venue server through the real ccxt classes: both venues' documented rules, and every fault as clients meet it."""

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import ccxt
import pytest

from tests.venue_server import Deck, Key, ManualTime, VenueServer
from tests.venue_server.binance import SCRIPTED
from tests.venue_server.faults import NAMES, Script, fault
from tests.venue_server.market import LISTED, Prices, listed_markets

ROOT = Path(__file__).parents[2]
START = datetime(2024, 3, 1, 12, tzinfo=UTC)
QUOTES = {"binance": "USDT", "kraken": "USD"}
PATIENCE_MS, IMPATIENT_MS = 5000, 300
FAR_BELOW = "30000"
MARKETS: dict[str, dict[str, Any]] = {}
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])


@dataclass
class Trader:
    """A client of one venue: the real class with one key, whose clock is the market's plus what it is wrong by."""

    server: VenueServer
    venue: str
    key: Key
    wrong_seconds: float = 0
    ccxt: Any = field(init=False)

    def __post_init__(self) -> None:
        options = {"apiKey": self.key.api_key, "secret": self.key.secret, "enableRateLimit": False}
        self.ccxt = getattr(ccxt, self.venue)({**options, **self.server.client_options(self.venue)})
        self.ccxt.timeout = PATIENCE_MS
        self.ccxt.milliseconds = lambda: int(self.now().timestamp() * 1000)
        self._load_markets()

    def _load_markets(self) -> None:
        """Read from the server once for each venue; they are the same in every test."""
        if self.venue not in MARKETS:
            MARKETS[self.venue] = self.ccxt.load_markets()
        self.ccxt.set_markets(MARKETS[self.venue])
        self.ccxt.options["marketsByAltname"] = {market.get("altname"): market for market in self.ccxt.markets.values()}

    @property
    def symbol(self) -> str:
        return f"BTC/{QUOTES[self.venue]}"

    def now(self) -> datetime:
        return self.server.clock.now() + timedelta(seconds=self.wrong_seconds)

    def new_id(self) -> str:
        return uuid.uuid4().hex if self.venue == "binance" else str(uuid.uuid4())

    def order(self, client_order_id: str, side: str = "buy", quantity: str = "0.1", **params: Any) -> Any:
        """A market order, or a limit order where a `limit` is given."""
        limit = params.pop("limit", None)
        kind = "market" if limit is None else "limit"
        sent = {"clientOrderId": client_order_id, **params}
        return self.ccxt.create_order(self.symbol, kind, side, quantity, limit, sent)

    def fenced(self, seconds: float) -> dict[str, Any]:
        """The venue's own way to say until when an order may be taken."""
        if self.venue == "binance":
            return {"recvWindow": int(seconds * 1000)}
        return {"deadline": (self.now() + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")}

    def found(self, client_order_id: str) -> list[Any]:
        """Every order with this client order id, as the venue lets it be looked up."""
        if self.venue == "kraken":
            wanted = {"clientOrderId": client_order_id}
            opened = self.ccxt.fetch_open_orders(None, None, None, wanted)
            return list(opened + self.ccxt.fetch_closed_orders(None, None, None, wanted))
        try:
            return [self.ccxt.fetch_order(None, self.symbol, {"clientOrderId": client_order_id})]
        except ccxt.OrderNotFound:
            return []

    def total(self, asset: str) -> Decimal:
        return Decimal(str(self.ccxt.fetch_balance()["total"].get(asset, 0)))

    def created(self, client_order_id: str) -> tuple[str, ...]:
        """The truth: which orders the venue made of it."""
        return self.server.audit.orders_per_client_id()[client_order_id]

    def pin(self, price: str) -> None:
        self.server.exchange.pin_price(self.venue, self.symbol, Decimal(price))

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Gives up soon, where it is known that no answer comes."""
        self.ccxt.timeout = IMPATIENT_MS
        yield
        self.ccxt.timeout = PATIENCE_MS


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VenueServer]:
    with VenueServer(ManualTime(START), seed=7, audit_file=tmp_path / "audit.jsonl") as running:
        yield running


NewTrader = Callable[..., Trader]


@pytest.fixture
def new_trader(server: VenueServer) -> Iterator[NewTrader]:
    made: list[Trader] = []

    def make(venue: str, name: str = "executor", wrong_seconds: float = 0, **flags: bool) -> Trader:
        key = server.add_key(venue, name, **flags)
        made.append(Trader(server, venue, key, wrong_seconds))
        return made[-1]

    yield make
    for trader in made:
        trader.ccxt.session.close()


@pytest.fixture
def trader(new_trader: NewTrader, venue: str) -> Trader:
    found = new_trader(venue)
    found.pin("62000")
    return found


@pytest.fixture
def binance(new_trader: NewTrader) -> Trader:
    return new_trader("binance")


@pytest.fixture
def kraken(new_trader: NewTrader) -> Trader:
    return new_trader("kraken")


# --- public data -----------------------------------------------------------------------------------


@BOTH
def test_the_real_class_reads_markets_with_their_steps_and_minimums(trader: Trader) -> None:
    markets = trader.ccxt.load_markets(reload=True)
    assert len(markets) == len(LISTED) >= 20
    market = markets[trader.symbol]
    assert market["precision"]["amount"] == 0.00001
    assert market["precision"]["price"] == 0.1
    assert market["limits"]["amount"]["min"] == 0.00005
    assert market["limits"]["cost"]["min"] == 5
    assert market["active"]


@BOTH
def test_the_venue_tells_its_own_time_even_if_that_is_wrong(trader: Trader, server: VenueServer) -> None:
    server.clock.offset_seconds = -30
    assert trader.ccxt.fetch_time() == int((START - timedelta(seconds=30)).timestamp() * 1000)
    assert trader.ccxt.last_response_headers["Date"] == "Fri, 01 Mar 2024 11:59:30 GMT"


@BOTH
def test_the_ticker_has_the_price_between_bid_and_ask(trader: Trader) -> None:
    ticker = trader.ccxt.fetch_ticker(trader.symbol)
    assert (ticker["bid"], ticker["last"], ticker["ask"]) == (61999.9, 62000, 62000.1)


@BOTH
def test_candles_are_aligned_continuous_and_end_with_the_one_still_open(trader: Trader, server: VenueServer) -> None:
    server.advance(1800)
    rows = trader.ccxt.fetch_ohlcv(trader.symbol, "1h")
    hours = [row[0] for row in rows]
    hour = 3_600_000
    assert hours[-1] == int(START.timestamp() * 1000)
    assert {later - earlier for earlier, later in pairwise(hours)} == {hour}
    assert all(low <= min(opened, close) <= max(opened, close) <= high for _, opened, high, low, close, _ in rows)
    since = hours[-4]
    assert [row[0] for row in trader.ccxt.fetch_ohlcv(trader.symbol, "1h", since=since, limit=2)] == hours[-4:-2]


def test_the_price_path_is_the_same_for_a_seed_and_another_for_another_seed() -> None:
    markets = listed_markets("USD", 3)
    moments = [START + timedelta(minutes=minute) for minute in range(200)]

    def path(seed: int) -> list[Decimal]:
        prices = Prices(markets, seed)
        return [prices.at("ETH/USD", moment) for moment in moments]

    assert path(1) == path(1)
    assert path(1) != path(2)
    assert all(price % markets["ETH/USD"].tick == 0 and abs(price / 3400 - 1) < Decimal("0.06") for price in path(1))
    assert len(set(path(1))) > 100


def test_a_candle_still_open_shows_nothing_to_come() -> None:
    prices = Prices(listed_markets("USD"), seed=3)
    now = START + timedelta(minutes=30)
    for symbol in prices.markets:
        seen = [prices.at(symbol, START + timedelta(seconds=10 * step)) for step in range(181)]
        [candle] = prices.candles(symbol, 3600, START, START, now)
        assert min(seen) <= candle.low <= candle.high <= max(seen)
        assert (candle.open, candle.close) == (seen[0], seen[-1])


# --- the life of an order --------------------------------------------------------------------------


@BOTH
def test_a_market_order_lives_from_submission_to_its_trade_and_the_balances(trader: Trader) -> None:
    client_order_id = trader.new_id()
    sent = trader.order(client_order_id, quantity="0.1")
    [order] = trader.found(client_order_id)
    assert (order["id"], order["status"], order["filled"], order["average"]) == (sent["id"], "closed", 0.1, 62000.1)
    [trade] = trader.ccxt.fetch_my_trades(trader.symbol)
    assert (trade["order"], trade["amount"], trade["price"], trade["side"]) == (sent["id"], 0.1, 62000.1, "buy")
    fee = {"binance": ("BTC", 0.0001), "kraken": ("USD", 6.20001)}[trader.venue]
    assert (trade["fee"]["currency"], float(trade["fee"]["cost"])) == fee
    quote = QUOTES[trader.venue]
    spent = Decimal("6200.01") + (Decimal("6.20001") if fee[0] == quote else 0)
    assert trader.total(quote) == 100_000 - spent
    assert trader.total("BTC") == Decimal("0.1") - (Decimal("0.0001") if fee[0] == "BTC" else 0)


@BOTH
def test_a_limit_order_rests_and_fills_at_its_limit_when_the_price_reaches_it(trader: Trader) -> None:
    client_order_id = trader.new_id()
    order = trader.order(client_order_id, limit="61000")
    assert [open_order["id"] for open_order in trader.ccxt.fetch_open_orders(trader.symbol)] == [order["id"]]
    assert trader.found(client_order_id)[0]["status"] == "open"
    assert trader.ccxt.fetch_balance()[QUOTES[trader.venue]]["used"] >= 6100
    trader.pin("60500")
    [filled] = trader.found(client_order_id)
    assert (filled["status"], filled["average"]) == ("closed", 61000)
    assert trader.ccxt.fetch_open_orders(trader.symbol) == []
    assert trader.ccxt.fetch_balance()[QUOTES[trader.venue]]["used"] == 0


@BOTH
def test_a_resting_order_is_met_by_the_price_path_while_time_passes(new_trader: NewTrader, venue: str) -> None:
    trader = new_trader(venue)
    prices = trader.server.exchange.dialects[venue].prices
    moments = [START + timedelta(seconds=10 * step) for step in range(1, 360)]
    reached = min(moments, key=lambda moment: prices.ask(trader.symbol, moment))
    client_order_id = trader.new_id()
    trader.order(client_order_id, quantity="0.01", limit=str(prices.ask(trader.symbol, reached)))
    trader.server.advance((reached - START).total_seconds())
    [order] = trader.found(client_order_id)
    assert (order["status"], order["lastUpdateTimestamp"]) == ("closed", int(reached.timestamp() * 1000))


@BOTH
def test_a_limit_that_crosses_on_arrival_takes_the_better_price(trader: Trader) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id, limit="63000")
    assert trader.found(client_order_id)[0]["average"] == 62000.1


@BOTH
def test_what_an_immediate_order_cannot_fill_expires(trader: Trader) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id, limit="61000", timeInForce="IOC")
    [order] = trader.found(client_order_id)
    assert (order["status"], order["filled"]) == ({"binance": "expired", "kraken": "canceled"}[trader.venue], 0)


@BOTH
def test_an_open_order_is_cancelled_once_and_its_money_is_free_again(trader: Trader) -> None:
    client_order_id = trader.new_id()
    order = trader.order(client_order_id, limit="61000")
    trader.ccxt.cancel_order(order["id"], trader.symbol)
    assert trader.found(client_order_id)[0]["status"] == "canceled"
    assert trader.ccxt.fetch_balance()[QUOTES[trader.venue]]["used"] == 0
    with pytest.raises(ccxt.OrderNotFound):
        trader.ccxt.cancel_order(order["id"], trader.symbol)


@BOTH
def test_an_order_is_cancelled_by_its_client_order_id(trader: Trader) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id, limit="61000")
    trader.ccxt.cancel_order(None, trader.symbol, {"clientOrderId": client_order_id})
    assert trader.found(client_order_id)[0]["status"] == "canceled"


@BOTH
def test_an_order_is_found_by_its_venue_order_id(trader: Trader) -> None:
    order = trader.order(trader.new_id())
    assert trader.ccxt.fetch_order(order["id"], trader.symbol)["status"] == "closed"
    with pytest.raises(ccxt.OrderNotFound):
        trader.ccxt.fetch_order("99999" if trader.venue == "binance" else "OAAAAA-BBBBB-CCCCCC", trader.symbol)


def test_binance_numbers_orders_and_trades_by_symbol(binance: Trader) -> None:
    bitcoin = binance.order(binance.new_id())
    other = binance.ccxt.create_order("ETH/USDT", "market", "buy", "1")
    assert bitcoin["id"] == other["id"]
    assert bitcoin["trades"][0]["id"] == other["trades"][0]["id"]


def test_kraken_takes_the_fee_of_a_sale_in_base_currency_unless_the_order_says_otherwise(kraken: Trader) -> None:
    kraken.server.exchange.deposit("kraken", "BTC", Decimal(1))
    kraken.order(kraken.new_id(), side="sell", quantity="0.1", oflags="fciq")
    assert kraken.total("BTC") == Decimal("0.9")
    kraken.order(kraken.new_id(), side="sell", quantity="0.1")
    assert kraken.total("BTC") == Decimal("0.7999")


@pytest.mark.parametrize(("venue", "enough"), [("binance", True), ("kraken", False)])
def test_a_fee_in_quote_currency_must_be_paid_beside_the_price(trader: Trader, enough: bool) -> None:
    """All the money there is: 2 at 50000."""
    client_order_id = trader.new_id()
    if enough:
        trader.order(client_order_id, quantity="2", limit="50000")
    else:
        with pytest.raises(ccxt.InsufficientFunds):
            trader.order(client_order_id, quantity="2", limit="50000")
    assert len(trader.created(client_order_id)) == int(enough)


def test_binance_archives_what_never_filled_after_ninety_days(binance: Trader) -> None:
    filled, unfilled = binance.new_id(), binance.new_id()
    binance.order(filled)
    binance.order(unfilled, limit=FAR_BELOW, timeInForce="IOC")
    binance.server.advance(90 * 86_400)
    assert binance.found(unfilled)[0]["status"] == "expired"
    binance.server.advance(1)
    with pytest.raises(ccxt.ExchangeError, match="-2026"):
        binance.found(unfilled)
    assert binance.found(filled)[0]["status"] == "closed"


def test_a_client_order_id_leads_kraken_s_ccxt_look_up_to_a_bad_request(kraken: Trader) -> None:
    """Why nobody may rely on `fetch_order` there: it sends the id as a user reference, and `txid=None`."""
    client_order_id = kraken.new_id()
    kraken.order(client_order_id)
    with pytest.raises(ccxt.BadRequest, match="EGeneral:Invalid arguments"):
        kraken.ccxt.fetch_order(None, kraken.symbol, {"clientOrderId": client_order_id})


# --- paging ----------------------------------------------------------------------------------------


def test_binance_s_trades_are_read_page_by_page_from_a_trade_id(binance: Trader) -> None:
    binance.server.exchange.books("binance").trades_per_fill = 10
    for _ in range(3):
        binance.order(binance.new_id(), quantity="0.01")
    assert len(binance.server.truth("binance")["trades"]) == 30
    pages: list[list[Any]] = []
    cursor = 0
    while not pages or pages[-1]:
        page = binance.ccxt.fetch_my_trades(binance.symbol, None, 12, {"fromId": cursor})
        pages.append(page)
        cursor = int(page[-1]["id"]) + 1 if page else cursor
    assert [len(page) for page in pages] == [12, 12, 6, 0]
    truth = [trade["trade_id"] for trade in binance.server.truth("binance")["trades"]]
    assert [trade["id"] for page in pages for trade in page] == truth
    assert [trade["id"] for trade in binance.ccxt.fetch_my_trades(binance.symbol, None, 5)] == truth[-5:]


def test_binance_reads_trades_of_one_day_at_most(binance: Trader) -> None:
    binance.order(binance.new_id())
    binance.server.advance(2 * 86_400)
    binance.order(binance.new_id())
    start = int(START.timestamp() * 1000)
    assert len(binance.ccxt.fetch_my_trades(binance.symbol, start)) == 1
    assert len(binance.ccxt.fetch_my_trades(binance.symbol)) == 2
    with pytest.raises(ccxt.BadRequest, match="-1127"):
        binance.ccxt.fetch_my_trades(binance.symbol, start, None, {"until": start + 86_400_001})
    with pytest.raises(ccxt.BadRequest, match="-1128"):
        binance.ccxt.fetch_my_trades(binance.symbol, start, None, {"fromId": 1})


def test_kraken_s_trades_and_closed_orders_are_read_latest_first_fifty_at_a_time(kraken: Trader) -> None:
    kraken.server.exchange.books("kraken").trades_per_fill = 2
    for _ in range(60):
        kraken.order(kraken.new_id(), quantity="0.0002")
        kraken.server.advance(1)
    trades = [kraken.ccxt.fetch_my_trades(kraken.symbol, None, None, {"ofs": offset}) for offset in (0, 50, 100, 150)]
    assert [len(page) for page in trades] == [50, 50, 20, 0]
    assert len({trade["id"] for page in trades for trade in page}) == 120
    assert min(trade["timestamp"] for trade in trades[0]) >= max(trade["timestamp"] for trade in trades[1])
    orders = [kraken.ccxt.fetch_closed_orders(None, None, None, {"ofs": offset}) for offset in (0, 50)]
    assert [len(page) for page in orders] == [50, 10]


def test_kraken_s_window_of_trades_excludes_its_start_and_includes_its_end(kraken: Trader) -> None:
    for _ in range(3):
        kraken.order(kraken.new_id(), quantity="0.0002")
        kraken.server.advance(10)
    first = int(START.timestamp())
    window = {"start": first, "end": first + 10}
    [trade] = kraken.ccxt.fetch_my_trades(kraken.symbol, None, None, window)
    assert trade["timestamp"] == (first + 10) * 1000


# --- uniqueness ------------------------------------------------------------------------------------


@BOTH
def test_a_client_order_id_is_unique_among_open_orders_only(trader: Trader) -> None:
    client_order_id = trader.new_id()
    order = trader.order(client_order_id, limit=FAR_BELOW)
    error, text = {
        "binance": (ccxt.InvalidOrder, "Duplicate order sent."),
        "kraken": (ccxt.ExchangeError, "cl_ord_id not unique"),
    }[trader.venue]
    with pytest.raises(error, match=text):
        trader.order(client_order_id, limit=FAR_BELOW)
    trader.ccxt.cancel_order(order["id"], trader.symbol)
    trader.order(client_order_id)
    trader.order(client_order_id)
    assert len(trader.created(client_order_id)) == 3


@BOTH
def test_of_many_requests_at_once_with_one_id_one_becomes_a_resting_order(new_trader: NewTrader, venue: str) -> None:
    traders = [new_trader(venue, f"key {number}") for number in range(6)]
    client_order_id = traders[0].new_id()

    def attempt(trader: Trader) -> str:
        try:
            return str(trader.order(client_order_id, quantity="0.01", limit=FAR_BELOW)["id"])
        except ccxt.ExchangeError:
            return "refused"

    with ThreadPoolExecutor(6) as pool:
        answers = Counter(pool.map(attempt, traders))
    [created] = traders[0].created(client_order_id)
    assert answers == {created: 1, "refused": 5}


def test_kraken_shows_every_order_that_bore_an_id_and_binance_the_latest(binance: Trader, kraken: Trader) -> None:
    for trader, shown in ((binance, 1), (kraken, 2)):
        client_order_id = trader.new_id()
        trader.order(client_order_id)
        latest = trader.order(client_order_id)
        found = trader.found(client_order_id)
        assert len(found) == shown
        assert latest["id"] in {order["id"] for order in found}


# --- refusals --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A request that the venue refuses: raw code and ccxt's class for it."""

    venue: str
    code: str
    error: type[Exception]
    asked: Callable[[Trader], Any]

    @property
    def name(self) -> str:
        return f"{self.venue} {self.code}"


def raw_order(**changes: Any) -> Callable[[Trader], Any]:
    """An order past ccxt's own checks and rounding; None leaves a parameter out."""

    def send(trader: Trader) -> Any:
        sent: dict[str, Any]
        if trader.venue == "binance":
            limit = {"type": "LIMIT", "timeInForce": "GTC", "price": FAR_BELOW}
            sent = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", **limit, **changes}
            return trader.ccxt.privatePostOrder({name: value for name, value in sent.items() if value is not None})
        sent = {"pair": "XXBTZUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": FAR_BELOW, **changes}
        return trader.ccxt.privatePostAddOrder({name: value for name, value in sent.items() if value is not None})

    return send


def with_wrong_secret(trader: Trader) -> Any:
    trader.ccxt.secret = "b3RoZXI="
    return trader.ccxt.fetch_balance()


def with_unknown_key(trader: Trader) -> Any:
    trader.ccxt.apiKey = "0" * 64
    return trader.ccxt.fetch_balance()


def with_malformed_key(trader: Trader) -> Any:
    trader.ccxt.apiKey = "short"
    return trader.ccxt.fetch_balance()


def with_old_nonce(trader: Trader) -> Any:
    trader.ccxt.nonce = lambda: 1
    trader.ccxt.options["lastNonce"] = 1
    return trader.ccxt.fetch_balance()


def kraken_deadline(seconds: float) -> Callable[[Trader], Any]:
    return lambda trader: trader.order(trader.new_id(), **trader.fenced(seconds))


REFUSALS = [
    Refusal("binance", "-1121", ccxt.BadSymbol, raw_order(symbol="NOPE")),
    Refusal("binance", "-1102", ccxt.BadRequest, raw_order(symbol=None)),
    Refusal("binance", "-1102", ccxt.BadRequest, raw_order(quantity="many")),
    Refusal("binance", "-1117", ccxt.BadRequest, raw_order(side="HOLD")),
    Refusal("binance", "-1116", ccxt.BadRequest, raw_order(type="STOP")),
    Refusal("binance", "-1115", ccxt.BadRequest, raw_order(timeInForce="SOON")),
    Refusal("binance", "-1106", ccxt.BadRequest, raw_order(type="MARKET")),
    Refusal("binance", "-1111", ccxt.BadRequest, raw_order(price="30000.123456789")),
    Refusal("binance", "-1100", ccxt.BadRequest, raw_order(newClientOrderId="not an id")),
    Refusal("binance", "LOT_SIZE", ccxt.InvalidOrder, raw_order(quantity="0.100001")),
    Refusal("binance", "LOT_SIZE", ccxt.InvalidOrder, raw_order(quantity="0.00004")),
    Refusal("binance", "PRICE_FILTER", ccxt.InvalidOrder, raw_order(price="30000.05")),
    Refusal("binance", "NOTIONAL", ccxt.BadRequest, raw_order(quantity="0.0001")),
    Refusal("binance", "insufficient balance", ccxt.InsufficientFunds, raw_order(quantity="9")),
    Refusal("binance", "-2013", ccxt.OrderNotFound, lambda trader: trader.ccxt.fetch_order("1", trader.symbol)),
    Refusal("binance", "-2011", ccxt.OrderNotFound, lambda trader: trader.ccxt.cancel_order("1", trader.symbol)),
    Refusal("binance", "-1131", ccxt.ExchangeError, lambda trader: trader.order(trader.new_id(), recvWindow=60_001)),
    Refusal("binance", "-1120", ccxt.BadRequest, lambda trader: trader.ccxt.fetch_ohlcv(trader.symbol, "3m")),
    Refusal("binance", "-1022", ccxt.AuthenticationError, with_wrong_secret),
    Refusal("binance", "-2014", ccxt.AuthenticationError, with_malformed_key),
    # ccxt takes a refused key for a ban once the key had worked.
    Refusal("binance", "-2015", ccxt.DDoSProtection, with_unknown_key),
    Refusal("kraken", "EQuery:Unknown asset pair", ccxt.ExchangeError, raw_order(pair="NOPE")),
    Refusal("kraken", "EGeneral:Invalid arguments", ccxt.BadRequest, raw_order(type="hold")),
    Refusal("kraken", "EGeneral:Invalid arguments:volume", ccxt.InvalidOrder, raw_order(volume="many")),
    Refusal("kraken", "EGeneral:Invalid arguments:volume", ccxt.InvalidOrder, raw_order(volume="0.100001")),
    Refusal("kraken", "EGeneral:Invalid arguments:price", ccxt.InvalidOrder, raw_order(price="low")),
    Refusal("kraken", "EGeneral:Invalid arguments:cl_ord_id", ccxt.ExchangeError, raw_order(cl_ord_id="no id" * 9)),
    Refusal("kraken", "EOrder:Order minimum not met", ccxt.InvalidOrder, raw_order(volume="0.00004")),
    Refusal("kraken", "EOrder:Cost minimum not met", ccxt.ExchangeError, raw_order(volume="0.0001")),
    Refusal("kraken", "EOrder:Tick size check failed", ccxt.ExchangeError, raw_order(price="30000.05")),
    Refusal("kraken", "EOrder:Insufficient funds", ccxt.InsufficientFunds, raw_order(volume="9")),
    Refusal("kraken", "EOrder:Unknown order", ccxt.OrderNotFound,
            lambda trader: trader.ccxt.cancel_order("OAAAAA-BBBBB-CCCCCC")),
    Refusal("kraken", "EService:Deadline elapsed", ccxt.ExchangeError, kraken_deadline(-1)),
    Refusal("kraken", "EGeneral:Invalid arguments:deadline", ccxt.ExchangeError, kraken_deadline(1)),
    Refusal("kraken", "EGeneral:Invalid arguments:deadline", ccxt.ExchangeError, kraken_deadline(61)),
    Refusal("kraken", "EAPI:Invalid key", ccxt.AuthenticationError, with_unknown_key),
    Refusal("kraken", "EAPI:Invalid signature", ccxt.ExchangeError, with_wrong_secret),
    Refusal("kraken", "EAPI:Invalid nonce", ccxt.InvalidNonce, with_old_nonce),
]  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_refusal_carries_the_venue_s_raw_code_and_makes_no_order(new_trader: NewTrader, refusal: Refusal) -> None:
    trader = new_trader(refusal.venue)
    trader.ccxt.fetch_balance()
    with pytest.raises(refusal.error) as refused:
        refusal.asked(trader)
    assert type(refused.value) is refusal.error
    assert refusal.code in trader.ccxt.last_http_response
    assert refusal.code in trader.server.audit.decisions()[-1]["code"]
    assert trader.server.truth(refusal.venue)["orders"] == []


@pytest.mark.parametrize(
    ("venue", "code", "error"),
    [("binance", "-2015", ccxt.AuthenticationError), ("kraken", "EGeneral:Permission denied", ccxt.PermissionDenied)],
)
def test_a_key_may_do_only_what_it_was_given(
    new_trader: NewTrader, venue: str, code: str, error: type[Exception]
) -> None:
    reader = new_trader(venue, "reader", trade=False)
    reader.ccxt.options["hasAlreadyAuthenticatedSuccessfully"] = False
    with pytest.raises(error, match=code):
        reader.order(reader.new_id())
    assert reader.total(QUOTES[venue]) == 100_000


@pytest.mark.parametrize(("venue", "code"), [("binance", "-2015"), ("kraken", "EAPI:Invalid key")])
def test_a_revoked_key_is_refused_from_then_on(new_trader: NewTrader, venue: str, code: str) -> None:
    trader = new_trader(venue)
    trader.server.exchange.change_key(venue, "executor", revoked=True)
    with pytest.raises(ccxt.AuthenticationError, match=code):
        trader.ccxt.fetch_balance()


def test_each_venue_tells_the_owner_what_a_key_may_do(new_trader: NewTrader) -> None:
    binance = new_trader("binance", withdraw=True)
    told = binance.ccxt.sapiGetAccountApiRestrictions()
    assert (told["enableWithdrawals"], told["enableSpotAndMarginTrading"]) == (True, True)
    kraken = new_trader("kraken", trade=False)
    told = kraken.ccxt.privatePostGetApiKeyInfo()["result"]["permissions"]
    assert told == ["query-funds", "query-open-trades", "query-closed-trades", "query-ledger"]


# --- clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong_seconds", "window_ms", "text"),
    [
        (1.0, 10_000, "1000ms ahead"),
        (0.999, 10_000, None),
        (-3.0, 3000, None),
        (-3.001, 3000, "outside of the recvWindow"),
        (30.0, 60_000, "1000ms ahead"),
        (-30.0, 3000, "outside of the recvWindow"),
    ],
)
def test_binance_accepts_a_timestamp_within_its_window_and_hardly_ahead(
    binance: Trader, wrong_seconds: float, window_ms: int, text: str | None
) -> None:
    binance.wrong_seconds = wrong_seconds
    client_order_id = binance.new_id()
    if text is None:
        binance.order(client_order_id, recvWindow=window_ms)
    else:
        with pytest.raises(ccxt.InvalidNonce, match=f"-1021.*{text}"):
            binance.order(client_order_id, recvWindow=window_ms)
    assert len(binance.created(client_order_id)) == (0 if text else 1)


@pytest.mark.parametrize(
    ("wrong_seconds", "text"),
    [(0, None), (-3, None), (30, None), (-6, "EService:Deadline elapsed"), (56, "Invalid arguments:deadline")],
)
def test_kraken_judges_a_deadline_by_its_own_clock(kraken: Trader, wrong_seconds: float, text: str | None) -> None:
    kraken.wrong_seconds = wrong_seconds
    kraken.ccxt.options["lastNonce"] = int(START.timestamp() * 1000)
    client_order_id = kraken.new_id()
    if text is None:
        kraken.order(client_order_id, **kraken.fenced(5))
    else:
        with pytest.raises(ccxt.ExchangeError, match=text):
            kraken.order(client_order_id, **kraken.fenced(5))
    assert len(kraken.created(client_order_id)) == (0 if text else 1)


# --- faults: what the client sees, and what is so --------------------------------------------------

NO_ANSWER = {
    "accept_hang": ccxt.RequestTimeout,
    "accept_status": ccxt.ExchangeNotAvailable,
    "accept_reset": ccxt.NetworkError,
    "accept_close": ccxt.NetworkError,
    "accept_cut": ccxt.NetworkError,
    "accept_html": None,
    "accept_empty": None,
    "accept_truncated": None,
    "accept_braces": None,
    "accept_error": {"binance": ccxt.RequestTimeout, "kraken": ccxt.ExchangeNotAvailable},
    "drop": ccxt.NetworkError,
    "drop_reset": ccxt.NetworkError,
    "drop_hang": ccxt.RequestTimeout,
    "drop_status": ccxt.ExchangeNotAvailable,
    "drop_html": None,
    "drop_error": {"binance": ccxt.RequestTimeout, "kraken": ccxt.ExchangeNotAvailable},
    "redirect": None,
    "rate_limited": {"binance": ccxt.DDoSProtection, "kraken": ccxt.RateLimitExceeded},
    "banned": ccxt.DDoSProtection,
    # ccxt reads Binance's "no longer available" as a bad request.
    "maintenance": {"binance": ccxt.BadRequest, "kraken": ccxt.ExchangeNotAvailable},
    "restricted": ccxt.ExchangeNotAvailable,
}
UNKNOWN_STATUS = {"binance": "-1007", "kraken": "EService:Busy"}


@pytest.mark.parametrize("limit", [None, FAR_BELOW], ids=["market", "limit"])
@pytest.mark.parametrize("name", NO_ANSWER)
@BOTH
def test_a_client_without_an_answer_cannot_tell_whether_its_order_exists(
    trader: Trader, name: str, limit: str | None
) -> None:
    settings = {"error": UNKNOWN_STATUS[trader.venue]} if name.endswith("error") else {}
    trader.server.add_fault(name, **settings)
    client_order_id = trader.new_id()
    seen = NO_ANSWER[name]
    expected = seen[trader.venue] if isinstance(seen, dict) else seen
    with trader.impatient():
        if expected is None:
            assert trader.order(client_order_id, limit=limit)["id"] is None
        else:
            with pytest.raises(expected) as failed:
                trader.order(client_order_id, limit=limit)
            assert type(failed.value) is expected
    exists = name.startswith("accept")
    assert len(trader.created(client_order_id)) == len(trader.found(client_order_id)) == int(exists)
    request = trader.server.audit.requests("create_order", client_order_id)[0]
    [answer] = trader.server.audit.answers(request["request"])
    assert request["fault"] == name
    assert answer["answer"].endswith(NAMES[name]["answer"])


def test_every_fault_that_takes_the_answer_away_is_among_them() -> None:
    orderly = {"none", "hold", "copied", "replayed", "partial_fill", "partial_expire", "late_fill",
               "lagging_lookup", "lagging_trades"}  # fmt: skip
    assert set(NAMES) == set(NO_ANSWER) | orderly


CODES = [
    *(("binance", code, str(status)) for code, (status, _message) in SCRIPTED.items()),
    *(("kraken", code, "200") for code in ("EService:Unavailable", "EService:Busy", "EService:Timeout",
      "EGeneral:Internal error", "EAPI:Rate limit exceeded", "EGeneral:Temporary lockout")),
]  # fmt: skip


@pytest.mark.parametrize(("venue", "code", "status"), CODES)
def test_any_raw_code_may_be_answered_for_an_order_that_exists(trader: Trader, code: str, status: str) -> None:
    trader.server.add_fault("accept_error", error=code)
    client_order_id = trader.new_id()
    with pytest.raises(ccxt.BaseError):
        trader.order(client_order_id)
    assert code in trader.ccxt.last_http_response
    assert len(trader.created(client_order_id)) == 1
    assert trader.server.audit.rows[-1]["answer"] == f"{status} error"


@BOTH
def test_a_redirect_is_followed_as_a_get_unless_the_client_forbids_it(trader: Trader) -> None:
    trader.server.add_fault("redirect", times=2)
    trader.order(trader.new_id())
    assert [row["method"] for row in trader.server.audit.followed()] == ["GET"]
    follow = trader.ccxt.session.request
    trader.ccxt.session.request = lambda *args, **options: follow(*args, **options, allow_redirects=False)
    trader.order(trader.new_id())
    assert len(trader.server.audit.followed()) == 1


@pytest.mark.parametrize(
    ("name", "words"), [("drop_reset", "Connection reset by peer"), ("drop", "closed connection without response")]
)
@BOTH
def test_a_reset_and_an_orderly_close_look_different_on_the_wire(trader: Trader, name: str, words: str) -> None:
    trader.server.add_fault(name)
    with pytest.raises(ccxt.NetworkError) as failed:
        trader.order(trader.new_id())
    assert words in str(failed.value.__cause__)


@BOTH
def test_a_rate_limit_says_how_long_to_wait(trader: Trader) -> None:
    trader.server.add_fault("rate_limited", kind="balances", retry_after=17)
    with pytest.raises(ccxt.NetworkError):
        trader.ccxt.fetch_balance()
    assert trader.ccxt.last_response_headers["Retry-After"] == "17"


@BOTH
def test_a_look_up_may_fail_like_everything_else(trader: Trader) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id)
    kind = {"binance": "query_order", "kraken": "closed_orders"}[trader.venue]
    trader.server.add_fault("drop_html", kind=kind, client_order_id=client_order_id)
    assert [order["id"] for order in trader.found(client_order_id)] in ([None], [])
    assert trader.found(client_order_id)[0]["id"] == trader.created(client_order_id)[0]


@BOTH
def test_a_fault_hits_only_the_requests_it_is_meant_for(trader: Trader) -> None:
    ids = [trader.new_id() for _ in range(4)]
    trader.server.add_fault("drop", skip=1, times=1)
    trader.server.add_fault("drop_status", client_order_id=ids[3], times=None)
    sent = []
    for client_order_id in ids:
        try:
            trader.order(client_order_id, quantity="0.001")
            sent.append(client_order_id)
        except ccxt.NetworkError:
            continue
    assert sent == [ids[0], ids[2]]
    trader.server.clear_faults()
    assert trader.order(ids[3], quantity="0.001")["id"]


# --- held requests ---------------------------------------------------------------------------------


@BOTH
def test_a_held_order_is_accepted_after_its_client_gave_up(trader: Trader) -> None:
    trader.server.add_fault("hold", seconds=3)
    client_order_id = trader.new_id()
    with trader.impatient(), pytest.raises(ccxt.RequestTimeout):
        trader.order(client_order_id, **trader.fenced(5))
    assert trader.found(client_order_id) == []
    trader.server.advance(2.9)
    assert trader.created(client_order_id) == ()
    trader.server.advance(0.1)
    assert len(trader.created(client_order_id)) == len(trader.found(client_order_id)) == 1
    [decision] = [row for row in trader.server.audit.decisions(client_order_id) if row["created"]]
    assert decision["at"] == (START + timedelta(seconds=3)).isoformat()


@BOTH
def test_an_order_held_past_its_window_is_refused_by_the_last_check(trader: Trader) -> None:
    trader.server.add_fault("hold", seconds=6)
    client_order_id = trader.new_id()
    with trader.impatient(), pytest.raises(ccxt.RequestTimeout):
        trader.order(client_order_id, **trader.fenced(5))
    trader.server.advance(600)
    [decision] = [row for row in trader.server.audit.decisions(client_order_id) if row["kind"] == "create_order"]
    assert {"binance": "-1021", "kraken": "EService:Deadline elapsed"}[trader.venue] in decision["code"]
    assert trader.created(client_order_id) == ()
    assert trader.found(client_order_id) == []


@pytest.mark.parametrize(("venue", "accepted"), [("binance", True), ("kraken", False)])
def test_binance_s_engine_may_take_an_order_after_the_window_and_kraken_s_may_not(
    trader: Trader, accepted: bool
) -> None:
    """The receive window is checked before the matching engine, which may be slow; the deadline by the engine."""
    trader.server.exchange.engine_delay_seconds = 10
    client_order_id = trader.new_id()
    with trader.impatient(), pytest.raises(ccxt.RequestTimeout):
        trader.order(client_order_id, **trader.fenced(5))
    trader.server.advance(10)
    assert len(trader.created(client_order_id)) == int(accepted)


@BOTH
def test_an_order_held_on_its_way_meets_every_check_late(trader: Trader) -> None:
    trader.server.add_fault("hold", hold_at="gateway", seconds=None)
    client_order_id = trader.new_id()
    with trader.impatient(), pytest.raises(ccxt.RequestTimeout):
        trader.order(client_order_id)
    trader.server.exchange.change_key(trader.venue, "executor", revoked=True)
    trader.server.advance(3600)
    assert trader.server.audit.decisions(client_order_id) == []
    trader.server.release()
    [decision] = trader.server.audit.decisions(client_order_id)
    assert {"binance": "-2015", "kraken": "EAPI:Invalid key"}[trader.venue] in decision["code"]


@BOTH
def test_what_the_gateway_refuses_is_not_held(trader: Trader) -> None:
    trader.server.add_fault("hold", seconds=None)
    with pytest.raises(ccxt.BaseError, match={"binance": "-1117", "kraken": "EGeneral"}[trader.venue]):
        raw_order(**{"binance": {"side": "X"}, "kraken": {"type": "x"}}[trader.venue])(trader)


@BOTH
def test_on_the_machine_s_clock_a_held_request_is_answered_when_its_time_has_come(venue: str) -> None:
    with VenueServer() as server:
        trader = Trader(server, venue, server.add_key(venue))
        server.add_fault("hold", seconds=0.2)
        client_order_id = trader.new_id()
        assert trader.order(client_order_id)["id"] == trader.created(client_order_id)[0]
        request, decision = server.audit.requests("create_order")[0], server.audit.decisions(client_order_id)[0]
        held = datetime.fromisoformat(decision["at"]) - datetime.fromisoformat(request["at"])
        assert held == timedelta(seconds=0.2)
        trader.ccxt.session.close()


# --- two copies ------------------------------------------------------------------------------------


@BOTH
def test_two_copies_of_a_market_order_are_two_orders(trader: Trader) -> None:
    trader.server.add_fault("copied")
    client_order_id = trader.new_id()
    answered = trader.order(client_order_id, quantity="0.01")
    assert trader.created(client_order_id)[0] == answered["id"]
    assert len(trader.created(client_order_id)) == 2


@BOTH
def test_the_second_copy_of_a_resting_order_is_refused_as_a_duplicate(trader: Trader) -> None:
    trader.server.add_fault("copied")
    client_order_id = trader.new_id()
    trader.order(client_order_id, limit=FAR_BELOW)
    codes = [row["code"] for row in trader.server.audit.decisions(client_order_id)]
    assert codes[0] == "ok"
    assert {"binance": "Duplicate order sent.", "kraken": "not unique"}[trader.venue] in codes[1]
    assert len(trader.created(client_order_id)) == 1


@pytest.mark.parametrize(("venue", "orders"), [("binance", 2), ("kraken", 1)])
def test_a_replayed_request_stops_at_kraken_s_nonce_only(trader: Trader, orders: int) -> None:
    trader.server.add_fault("replayed")
    client_order_id = trader.new_id()
    trader.order(client_order_id, quantity="0.01")
    assert len(trader.created(client_order_id)) == orders


# --- fills, and what look-ups show -----------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, FAR_BELOW], ids=["market", "limit"])
@BOTH
def test_a_part_fills_now_and_the_rest_later(trader: Trader, limit: str | None) -> None:
    trader.server.add_fault("partial_fill", fraction="0.4", rest_after=5)
    client_order_id = trader.new_id()
    trader.order(client_order_id, limit=limit)
    [part] = trader.found(client_order_id)
    assert (part["status"], part["filled"]) == ("open", 0.04)
    trader.server.advance(5)
    [whole] = trader.found(client_order_id)
    assert (whole["status"], whole["filled"]) == ("closed", 0.1)
    assert [trade["amount"] for trade in trader.ccxt.fetch_my_trades(trader.symbol)] == [0.04, 0.06]


@BOTH
def test_a_part_fills_and_the_rest_expires(trader: Trader) -> None:
    trader.server.add_fault("partial_expire")
    client_order_id = trader.new_id()
    trader.order(client_order_id)
    [order] = trader.found(client_order_id)
    assert (order["status"], order["filled"]) == ({"binance": "expired", "kraken": "canceled"}[trader.venue], 0.04)


@BOTH
def test_a_late_fill_comes_after_the_order_was_shown_as_ended(trader: Trader) -> None:
    trader.server.add_fault("late_fill", fraction="0.5", rest_after=5)
    client_order_id = trader.new_id()
    trader.order(client_order_id)
    ended = {"binance": "expired", "kraken": "canceled"}[trader.venue]
    [before] = trader.found(client_order_id)
    assert (before["status"], before["filled"]) == (ended, 0)
    trader.server.advance(5)
    [after] = trader.found(client_order_id)
    assert (after["status"], after["filled"]) == (ended, 0.05)
    assert len(trader.ccxt.fetch_my_trades(trader.symbol)) == 1
    assert trader.total("BTC") > 0


@BOTH
def test_look_ups_may_lag_behind_while_the_balances_do_not(trader: Trader) -> None:
    trader.server.add_fault("lagging_lookup", order_lag=3, trade_lag=4)
    client_order_id = trader.new_id()
    trader.order(client_order_id, **trader.fenced(5))
    assert trader.total("BTC") > 0
    shown = []
    for _ in range(5):
        shown.append((len(trader.found(client_order_id)), len(trader.ccxt.fetch_my_trades(trader.symbol))))
        trader.server.advance(1)
    assert shown == [(0, 0), (0, 0), (0, 0), (1, 0), (1, 1)]


@BOTH
def test_a_trade_that_is_shown_late_bears_the_time_it_happened(trader: Trader) -> None:
    trader.server.add_fault("lagging_trades", trade_lag=60)
    trader.order(trader.new_id())
    trader.server.advance(60)
    assert trader.ccxt.fetch_my_trades(trader.symbol)[0]["timestamp"] == int(START.timestamp() * 1000)


# --- scripts and decks -----------------------------------------------------------------------------


def test_a_deck_deals_each_fault_its_number_of_times_and_the_same_for_a_seed() -> None:
    cards = {"accept_hang": 2, "drop": 1, "hold": 1}
    deck = Deck(cards, plain=6, seed=4, settings={"hold": {"seconds": 9}})
    dealt = [deck.deal(number) for number in range(100)]
    assert Counter(card.name for card in dealt) == {"accept_hang": 20, "drop": 10, "hold": 10, "none": 60}
    assert {card.seconds for card in dealt if card.name == "hold"} == {9}
    assert dealt == [deck.deal(number) for number in range(100)]
    assert dealt != [Deck(cards, plain=6, seed=5).deal(number) for number in range(100)]


def test_a_deck_is_dealt_to_new_orders_alone(binance: Trader) -> None:
    binance.server.load_faults([{"deck": {"drop": 1}, "plain": 1, "seed": 3}])
    outcomes: Counter[str] = Counter()
    for _ in range(10):
        binance.ccxt.fetch_balance()
        try:
            binance.order(binance.new_id(), quantity="0.001")
            outcomes["taken"] += 1
        except ccxt.NetworkError:
            outcomes["dropped"] += 1
    assert outcomes == {"taken": 5, "dropped": 5}
    assert binance.server.exchange.script.hits == {"drop": 5}


@pytest.mark.parametrize(
    "wrong",
    [{"name": "nonsense"}, {"name": "drop", "colour": 1}, {"name": "drop", "answer": "shout"}, {"name": "drop_error"}],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fault|answer|error"):
        Script().load([wrong])


def test_a_fault_survives_its_way_through_json() -> None:
    rule = fault("partial_fill", venue="kraken", times=None)
    assert fault(**json.loads(json.dumps(rule.as_json()))) == rule


# --- the audit, and the server itself --------------------------------------------------------------


@BOTH
def test_the_audit_holds_every_request_and_no_secret(trader: Trader, tmp_path: Path) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id)
    trader.found(client_order_id)
    audit = trader.server.audit
    [request] = audit.requests("create_order")
    assert (request["venue"], request["key"], request["client_order_id"]) == (trader.venue, "executor", client_order_id)
    assert request["symbol"] == trader.symbol
    assert request["params"][{"binance": "quantity", "kraken": "volume"}[trader.venue]] == "0.1"
    assert audit.orders_per_client_id() == {client_order_id: trader.created(client_order_id)}
    written = (tmp_path / "audit.jsonl").read_text()
    assert [json.loads(line) for line in written.splitlines()] == audit.rows
    for secret in (trader.key.api_key, trader.key.secret, "signature", "API-Sign"):
        assert secret not in written
    assert trader.key.secret not in repr(trader.key)


@BOTH
def test_the_truth_is_the_orders_the_trades_and_the_balances(trader: Trader) -> None:
    client_order_id = trader.new_id()
    order = trader.order(client_order_id, quantity="0.01")
    truth = trader.server.truth(trader.venue)
    [placed], [trade] = truth["orders"], truth["trades"]
    assert (placed["venue_order_id"], placed["filled"], placed["status"]) == (order["id"], "0.01", "filled")
    assert (trade["client_order_id"], trade["quantity"], trade["price"]) == (client_order_id, "0.01", "62000.1")
    changes = {asset: Decimal(amount) for asset, amount in truth["balances"].items()}
    assert changes[QUOTES[trader.venue]] < 100_000
    assert changes["BTC"] > 0


@BOTH
def test_a_stopped_server_is_unreachable_and_knows_everything_when_it_is_back(trader: Trader) -> None:
    client_order_id = trader.new_id()
    trader.order(client_order_id)
    trader.server.stop()
    with pytest.raises(ccxt.NetworkError):
        trader.found(client_order_id)
    trader.server.start()
    assert trader.found(client_order_id)[0]["status"] == "closed"


def say(url: str, **order: Any) -> Any:
    request = Request(f"{url}/_control", json.dumps(order).encode())  # noqa: S310 the server just started
    with urlopen(request, timeout=10) as answer:  # nosec B310 # noqa: S310 the same
        return json.load(answer)


def test_the_server_runs_as_a_process_that_is_told_what_to_do(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"name": "accept_close"}]))
    audit = tmp_path / "audit.jsonl"
    arguments = ["--audit", str(audit), "--seed", "5", "--markets", "20", "--faults", str(faults)]
    command = [sys.executable, "-m", "tests.venue_server", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        key = say(url, do="add_key", venue="binance", name="executor", withdraw=False)
        paths = {"public": "/api/v3", "private": "/api/v3"}
        urls = {"api": {name: url + path for name, path in paths.items()}}
        client = ccxt.binance(
            {"apiKey": key["apiKey"], "secret": key["secret"], "urls": urls, "enableRateLimit": False}
        )
        client.options |= {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
        assert len(client.load_markets()) == 20
        say(url, do="pin_price", venue="binance", symbol="ETH/USDT", price="3000")
        with pytest.raises(ccxt.NetworkError):
            client.create_order("ETH/USDT", "market", "buy", "1", None, {"clientOrderId": "abc"})
        client.session.close()
        assert say(url, do="orders_per_client_id") == {"abc": ["1001"]}
        assert say(url, do="truth", venue="binance")["trades"][0]["price"] == "3000.01"
        assert say(url, do="state")["faults_dealt"] == {"accept_close": 1}
        with pytest.raises(HTTPError) as refused:
            say(url, do="nonsense")
        refused.value.close()
        assert say(url, do="audit") == {"rows": [json.loads(line) for line in audit.read_text().splitlines()]}
        assert key["secret"] not in audit.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("order", "changed"),
    [
        ({"do": "offset", "seconds": -30}, lambda server: server.clock.now() == START - timedelta(seconds=30)),
        ({"do": "advance", "seconds": 5}, lambda server: server.clock.now() == START + timedelta(seconds=5)),
        ({"do": "engine_delay", "seconds": 2}, lambda server: server.exchange.engine_delay_seconds == 2),
        ({"do": "deposit", "venue": "kraken", "asset": "ETH", "amount": "2"},
         lambda server: server.truth("kraken")["balances"]["ETH"] == "2"),
        ({"do": "faults", "faults": [{"name": "drop"}], "clear": True},
         lambda server: server.exchange.script.draw("kraken", "create_order", None, None).name == "drop"),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_control_request_does_what_it_says(
    server: VenueServer, order: dict[str, Any], changed: Callable[[VenueServer], bool]
) -> None:
    say(server.url, **order)
    assert changed(server)


def test_a_control_request_changes_and_releases(server: VenueServer, binance: Trader) -> None:
    binance.server.add_fault("hold", seconds=None)
    client_order_id = binance.new_id()
    with binance.impatient(), pytest.raises(ccxt.RequestTimeout):
        binance.order(client_order_id)
    say(server.url, do="release")
    assert len(binance.created(client_order_id)) == 1
    say(server.url, do="change_key", venue="binance", name="executor", revoked=True)
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        binance.ccxt.fetch_balance()
