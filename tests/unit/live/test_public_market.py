"""Public market data through the real ccxt class, against a small server that speaks Kraken's public REST."""

import json
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from belay.adapters.live.public_market import CcxtMarketData, exchange_class
from belay.adapters.live.wire import ForeignHost
from belay.domain.errors import InvalidInput, SymbolUnavailable, VenueUnavailable
from belay.domain.market import Price

BTC = "BTC/USD"
START = datetime(2024, 3, 1, tzinfo=UTC)
SECONDS = int(START.timestamp())


def pair(base: str, quote: str, altname: str) -> dict[str, Any]:
    return {
        "altname": altname,
        "wsname": f"{base}/{quote}",
        "base": base,
        "quote": quote,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "leverage_buy": [],
        "leverage_sell": [],
        "ordermin": "0.00005",
        "costmin": "0.5",
        "status": "online",
    }


def row(minute: int, *prices: str) -> list[Any]:
    opened, high, low, close = prices or ("62000.1", "62100.7", "61900.3", "62050.9")
    return [SECONDS + 60 * minute, opened, high, low, close, "62000.0", "1.23456789", 42]


ANSWERS: dict[str, Any] = {
    "AssetPairs": {"XXBTZUSD": pair("XXBT", "ZUSD", "XBTUSD"), "XETHZUSD": pair("XETH", "ZUSD", "ETHUSD")},
    "Time": {"unixtime": SECONDS},
    "Ticker": {"XXBTZUSD": {"c": ["62345.6", "0.5"], "a": ["1", "1", "1"], "b": ["1", "1", "1"]}},
    "OHLC": {"XXBTZUSD": [row(minute) for minute in range(5)], "last": SECONDS},
}


class Exchange:
    """What the server answers, by the last part of the path; a string is sent as it is."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.status = 200
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.url = ""

    def body(self, path: str) -> str:
        url = urlsplit(path)
        name = url.path.rsplit("/", 1)[-1]
        self.asked.append((name, parse_qs(url.query)))
        answer = self.answers[name]
        return answer if isinstance(answer, str) else json.dumps({"error": [], "result": answer})

    def market_data(self, **options: Any) -> CcxtMarketData:
        return CcxtMarketData("kraken", {"urls": {"api": {"public": self.url}}, **options})


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    spoken = Exchange()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = spoken.body(self.path).encode()
            self.send_response(spoken.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up waiting is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    spoken.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield spoken
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_time_is_the_exchanges(exchange: Exchange) -> None:
    assert exchange.market_data().time() == START


def test_a_market_has_the_exchanges_filters_and_fees_exactly(exchange: Exchange) -> None:
    market = exchange.market_data().market(BTC)
    assert market.symbol == BTC
    assert (market.quantity_step, market.price_tick) == (Decimal("0.00000001"), Decimal("0.1"))
    assert (market.min_quantity, market.min_notional) == (Decimal("0.00005"), Decimal("0.5"))
    assert (market.taker_fee, market.maker_fee) == (Decimal("0.004"), Decimal("0.0025"))


@pytest.mark.parametrize("unixtime", [10**18, "soon", None])
def test_a_time_that_cannot_be_is_no_evidence(exchange: Exchange, unixtime: object) -> None:
    exchange.answers["Time"] = {"unixtime": unixtime}
    with pytest.raises(VenueUnavailable, match="kraken"):
        exchange.market_data().time()


def test_a_price_is_exact_and_as_of_its_receipt_where_the_exchange_gives_no_time(exchange: Exchange) -> None:
    before = datetime.now(UTC)
    price = exchange.market_data().price(BTC)
    assert price.value == Decimal("62345.6")
    assert before <= price.at <= datetime.now(UTC)


def test_candles_are_exact_closed_by_the_asked_time_and_the_last_of_them(exchange: Exchange) -> None:
    candles = exchange.market_data().candles(BTC, "1m", START + timedelta(minutes=4, seconds=59), 3)
    assert [candle.open_time for candle in candles] == [START + timedelta(minutes=n) for n in (1, 2, 3)]
    first = candles[0]
    assert (first.open, first.high, first.low, first.close) == tuple(
        Decimal(price) for price in ("62000.1", "62100.7", "61900.3", "62050.9")
    )
    assert first.volume == Decimal("1.23456789")


def test_the_candle_that_is_still_forming_is_not_shown_whatever_is_asked(exchange: Exchange) -> None:
    now = datetime.now(UTC)
    minute = (int(now.timestamp()) - SECONDS) // 60
    exchange.answers["OHLC"] = {"XXBTZUSD": [row(minute - 1), row(minute), row(minute + 60)]}
    candles = exchange.market_data().candles(BTC, "1m", now + timedelta(hours=5), 5)
    assert all(candle.open_time + timedelta(minutes=1) <= datetime.now(UTC) for candle in candles)
    assert candles[0].open_time == START + timedelta(minutes=minute - 1)


def test_only_as_many_candles_as_needed_are_asked_for(exchange: Exchange) -> None:
    exchange.market_data().candles(BTC, "1m", START + timedelta(minutes=4), 2)
    name, query = exchange.asked[-1]
    assert name == "OHLC"
    assert int(query["since"][0]) >= SECONDS - 60
    assert query["interval"] == ["1"]


def test_markets_are_listed_once_for_all_symbols_and_threads_of_one_connection(exchange: Exchange) -> None:
    data = exchange.market_data()
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: data.price(BTC).value, range(4)))) == 1
    data.market("ETH/USD")
    data.price(BTC)
    assert [name for name, _ in exchange.asked].count("AssetPairs") == 1


BROKEN: dict[str, Any] = {
    "an empty body": "",
    "a page of HTML": "<html>ok</html>",
    "truncated JSON": '{"error": [], "result": {"XXBT',
    "an empty object": "{}",
    "null": "null",
    "a list": "[]",
    "an error of the exchange": '{"error": ["EService:Unavailable"]}',
    "an empty result": {},
    "a result of null": None,
}
READS: dict[str, Any] = {
    "Time": lambda data: data.time(),
    "AssetPairs": lambda data: data.market(BTC),
    "Ticker": lambda data: data.price(BTC),
    "OHLC": lambda data: data.candles(BTC, "1m", START + timedelta(minutes=4), 3),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("name", READS)
def test_an_answer_that_is_missing_or_malformed_is_no_evidence(exchange: Exchange, name: str, broken: str) -> None:
    exchange.answers[name] = BROKEN[broken]
    with pytest.raises(VenueUnavailable, match="kraken"):
        READS[name](exchange.market_data())


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
@pytest.mark.parametrize("name", READS)
def test_an_error_status_is_no_evidence(exchange: Exchange, name: str, status: int) -> None:
    data = exchange.market_data()
    if name != "AssetPairs":
        data.market(BTC)
    exchange.status = status
    exchange.answers[name] = "nothing here"
    with pytest.raises(VenueUnavailable, match="kraken"):
        READS[name](data)


@pytest.mark.parametrize(
    "rows",
    [
        [row(0), row(0)],
        [row(0, "0", "1", "0", "1")],
        [row(0, "10", "9", "8", "9")],
        [row(0, "NaN", "NaN", "NaN", "NaN")],
        [row(0)[:3]],
        [[None] * 8],
        ["row"],
    ],
    ids=["doubled", "zero", "inconsistent", "no numbers", "short", "empty", "no list"],
)
def test_candles_that_cannot_be_are_no_evidence(exchange: Exchange, rows: list[Any]) -> None:
    exchange.answers["OHLC"] = {"XXBTZUSD": rows}
    with pytest.raises(VenueUnavailable, match="kraken"):
        READS["OHLC"](exchange.market_data())


@pytest.mark.parametrize("last", ["0", "-1", "NaN", "much", None])
def test_a_price_that_cannot_be_is_no_evidence(exchange: Exchange, last: str | None) -> None:
    exchange.answers["Ticker"] = {"XXBTZUSD": {"c": [last, "1"]}}
    with pytest.raises(VenueUnavailable, match="kraken"):
        exchange.market_data().price(BTC)


@pytest.mark.parametrize("missing", ["pair_decimals", "lot_decimals"])
def test_a_market_without_its_steps_is_no_evidence(exchange: Exchange, missing: str) -> None:
    told = {key: value for key, value in pair("XXBT", "ZUSD", "XBTUSD").items() if key != missing}
    exchange.answers["AssetPairs"] = {"XXBTZUSD": told}
    with pytest.raises(VenueUnavailable, match="market of BTC/USD"):
        exchange.market_data().market(BTC)


def test_an_exchange_that_cannot_be_reached_is_no_evidence() -> None:
    data = CcxtMarketData("kraken", {"urls": {"api": {"public": "http://127.0.0.1:9"}}})
    for read in READS.values():
        with pytest.raises(VenueUnavailable, match="kraken"):
            read(data)


def test_an_exchange_that_does_not_answer_in_time_is_no_evidence(exchange: Exchange) -> None:
    stuck = threading.Event()
    answer = exchange.body
    exchange.body = lambda path: answer(path) if stuck.wait(5) else ""  # type: ignore[method-assign]
    with pytest.raises(VenueUnavailable, match="kraken fetch_time failed: RequestTimeout"):
        exchange.market_data(timeout=50).time()
    stuck.set()


def test_what_an_exchange_answers_is_bounded_on_paper_too(exchange: Exchange) -> None:
    exchange.answers["Time"] = '{"error": [], "result": {"unixtime": "1e999999999"}}'
    with pytest.raises(VenueUnavailable, match="a number of more than 64 digits"):
        exchange.market_data().time()


@pytest.mark.parametrize(
    "options",
    [
        {"urls": None}, {"urls": []}, {"urls": {"api": None}}, {"urls": {"api": {"public": {}}}}, {"options": [1]},
        {"hostname": 5}, {"hostname": "broker.example"}, {"session": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_of_an_unexpected_shape_is_named(options: dict[str, Any]) -> None:
    """Also on paper, where a document may set anything that ccxt's constructor takes."""
    with pytest.raises(InvalidInput, match=r"^account\.options"):
        CcxtMarketData("kraken", options)


def test_nobody_is_asked_in_the_clear_but_this_machine_whatever_the_options_say() -> None:
    data = CcxtMarketData("kraken", {"urls": {"api": {"public": "http://169.254.169.254/latest"}}})
    with pytest.raises(ForeignHost):
        data.time()


def test_an_error_of_ccxt_which_holds_the_whole_answer_is_not_chained_to_ours(exchange: Exchange) -> None:
    exchange.answers["Time"] = '{"error": ["EService:Unavailable planted"]}'
    with pytest.raises(VenueUnavailable) as refused:
        exchange.market_data().time()
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert "planted" not in "".join(traceback.format_exception(refused.value))


def test_what_ccxt_was_handling_when_the_transport_refused_is_not_chained_either(exchange: Exchange) -> None:
    data = exchange.market_data()

    def again() -> None:
        try:
            int("https://host/?planted")
        except ValueError:
            data._exchange.session.request("GET", "http://evil.example")

    data._exchange.fetch_time = again
    with pytest.raises(ForeignHost) as refused:
        data.time()
    assert "planted" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("unknown", ["nowhere", "base", "Kraken", "../kraken", "os", "", "static_dependencies"])
def test_an_unknown_exchange_is_bad_input(unknown: str) -> None:
    with pytest.raises(InvalidInput, match="ccxt has no exchange"):
        CcxtMarketData(unknown, {})


def test_an_unknown_timeframe_is_bad_input_and_an_unknown_symbol_is_not_to_be_had(exchange: Exchange) -> None:
    data = exchange.market_data()
    with pytest.raises(SymbolUnavailable, match="no spot market DOGE/USD"):
        data.price("DOGE/USD")
    with pytest.raises(InvalidInput, match="no 7m candles"):
        data.candles(BTC, "7m", START, 1)


def test_an_exchange_without_fixed_steps_has_prices_but_no_market(exchange: Exchange) -> None:
    data = exchange.market_data(precisionMode=3)
    assert isinstance(data.price(BTC), Price)
    with pytest.raises(InvalidInput, match="no steps"):
        data.market(BTC)


def test_one_exchange_is_loaded_without_the_others() -> None:
    program = (
        "import sys; from belay.adapters.live.public_market import exchange_class; exchange_class('kraken');"
        "print(sorted(m for m in sys.modules if m.count('.') == 1 and m.startswith('ccxt.')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    loaded = set(shown.stdout.strip("[]\n").replace("'", "").split(", "))
    assert loaded <= {"ccxt.abstract", "ccxt.base", "ccxt.kraken", "ccxt.static_dependencies"}
    assert exchange_class("kraken").__name__ == "kraken"
