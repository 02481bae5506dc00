"""The transport: how far each request came, what may be sent once only, and how a budget is spent."""

import gzip
import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.live.bounds import Deadline, within
from belay.adapters.live.redaction import Redaction
from belay.adapters.live.wire import Budget, Call, ForeignHost, Phase, SecondRequest, Wire
from belay.domain.errors import VenueUnavailable

NOWHERE = "http://127.0.0.1:9/order"


class Spoken:
    """What the server answers to every request, and the paths it was asked for. `instead` is sent once in the place of
    an answer, which then comes over the same connection ahead of the next one."""

    def __init__(self) -> None:
        self.status = 200
        self.body: str | bytes = "{}"
        self.headers: dict[str, str] = {}
        self.instead = b""
        self.silent = threading.Event()
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def server() -> Iterator[Spoken]:
    spoken = Spoken()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        late = b""

        def do_GET(self) -> None:
            spoken.asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if spoken.silent.is_set():
                spoken.silent.wait(5)
                self.close_connection = True
                return
            body = spoken.body.encode() if isinstance(spoken.body, str) else spoken.body
            self.wfile.write(self.late or spoken.instead)
            if spoken.instead:
                spoken.instead, self.late = b"", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                return
            self.send_response(spoken.status)
            for name, value in {"Content-Length": str(len(body)), **spoken.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up waiting is no news."""

    http = Server(("127.0.0.1", 0), Handler)
    spoken.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield spoken
    finally:
        spoken.silent.clear()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def spoken() -> Iterator[Spoken]:
    with server() as speaking:
        yield speaking


class Anywhere(frozenset[str]):
    """Every origin there is."""

    def __contains__(self, origin: object) -> bool:
        return origin is not None


def wire(**options: Any) -> Wire:
    opened = Wire(1, 0.2, options.pop("budget", Budget(1000, 0, lambda: 0.0)), **options)
    opened.origins = Anywhere()
    return opened


# --- how far a request came ---------------------------------------------------------------------------


def test_an_answered_request_tells_its_status_and_text(spoken: Spoken) -> None:
    spoken.status, spoken.body = 404, '{"a": 0.1}'
    with wire() as asking:
        asking.request("GET", f"{spoken.url}/path?secret=1")
    assert asking.last == Call("GET", "/path", Phase.ANSWERED, 404, '{"a": 0.1}')
    assert str(asking.last.document()["a"]) == "0.1"


@pytest.mark.parametrize("url", [NOWHERE, "https://name.invalid/order"])
def test_without_a_connection_nothing_can_have_left(url: str) -> None:
    with wire() as asking, suppress(requests.ConnectionError):
        asking.request("POST", url)
    assert asking.last is not None
    assert asking.last.phase is Phase.NOT_CONNECTED


def test_a_request_that_is_not_answered_may_have_arrived(spoken: Spoken) -> None:
    spoken.silent.set()
    with wire() as asking, suppress(requests.RequestException):
        asking.request("POST", f"{spoken.url}/order", data="x")
    assert asking.last is not None
    assert (asking.last.phase, spoken.asked) == (Phase.NO_ANSWER, ["POST /order"])


def test_an_answer_that_is_not_whole_is_none(spoken: Spoken) -> None:
    spoken.headers = {"Content-Length": "5000"}
    with wire() as asking, suppress(requests.RequestException):
        asking.request("POST", f"{spoken.url}/order")
    assert asking.last is not None
    assert (asking.last.phase, asking.last.status, asking.last.body) == (Phase.NO_ANSWER, None, "")


def test_what_cannot_be_told_from_a_request_counts_as_if_it_might_have_arrived(spoken: Spoken) -> None:
    with wire() as asking, suppress(requests.RequestException):
        asking.request("POST", f"{spoken.url}/order", headers={"X": "a\nb"})
    assert asking.last is not None
    assert asking.last.phase is Phase.NO_ANSWER


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        *dict.fromkeys((101, 102, 103, 199), Phase.OUT_OF_BOUNDS).items(),
        *dict.fromkeys((204, 304), Phase.ANSWERED).items(),
    ],
)
def test_no_request_reads_what_was_left_of_the_answer_before(spoken: Spoken, status: int, phase: Phase) -> None:
    """An interim status is no answer, and neither does the connection serve again, where the real one may follow."""
    spoken.instead, spoken.body = b"HTTP/1.1 %d Odd\r\n\r\n" % status, "the first"
    with wire() as asking:
        with suppress(VenueUnavailable):
            asking.request("POST", f"{spoken.url}/order")
        assert asking.last is not None
        assert (asking.last.phase, asking.last.body) == (phase, "")
        spoken.body = "the second"
        assert asking.request("GET", spoken.url).text == "the second"


def test_the_answer_behind_a_100_is_the_answer(spoken: Spoken) -> None:
    spoken.instead = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    with wire() as asking:
        assert asking.request("GET", spoken.url).text == "[]"


# --- where it goes ------------------------------------------------------------------------------------


def test_a_request_goes_only_where_the_instance_was_opened_for(spoken: Spoken) -> None:
    with wire(order_path="/order") as asking:
        asking.origins = frozenset({"https://api.example:443", spoken.url})
        asking.request("POST", f"{spoken.url}/order")
        for url in ("https://evil.example/order", "http://api.example/order", "https://api.example:444/", NOWHERE):
            with pytest.raises(ForeignHost):
                asking.request("GET", url)
    assert len(asking.calls) == 1


@pytest.mark.parametrize("url", ["http://name.invalid/order", "nowhere:/order", "http://127.0.0.1:9@name.invalid/"])
def test_nothing_is_sent_in_the_clear_but_to_this_machine(url: str) -> None:
    """Whatever the instance was opened with."""
    with wire() as asking, pytest.raises(ForeignHost):
        asking.request("POST", url)
    assert list(asking.calls) == []


def test_a_session_that_nobody_opened_for_anything_goes_nowhere(spoken: Spoken) -> None:
    with wire() as asking:
        asking.origins = frozenset()
        with pytest.raises(ForeignHost):
            asking.request("GET", spoken.url)
    assert spoken.asked == []


# --- what an answer may cost --------------------------------------------------------------------------

SPACES = 17 * 1_048_576
BROKEN: dict[str, tuple[bytes, dict[str, str], str]] = {
    "a bomb": (gzip.compress(b" " * SPACES), {"Content-Encoding": "gzip"}, "longer than"),
    "another encoding": (b"{}", {"Content-Encoding": "br"}, "not asked for"),
    "a depth": (b"[" * 5000 + b"]" * 5000, {}, "deeper than"),
    "a number": (b'{"price": "1e999999999"}', {}, "a number of more than"),
    "many items": (b'{"trades": [' + b"{}," * 10_000 + b"{}]}", {}, "items in one list"),
    "many values": (b"[" + b"0," * 1_100_000 + b"0]", {}, "values"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("status", [200, 302, 503])
def test_an_answer_out_of_bounds_is_none_and_says_which_bound(spoken: Spoken, broken: str, status: int) -> None:
    body, headers, problem = BROKEN[broken]
    spoken.status, spoken.body, spoken.headers = status, body, {**headers, "Location": f"{spoken.url}/elsewhere"}
    with wire() as asking, pytest.raises(VenueUnavailable, match=problem) as refused:
        asking.request("POST", f"{spoken.url}/order")
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert asking.last is not None
    assert (asking.last.phase, asking.last.status, asking.last.body) == (Phase.OUT_OF_BOUNDS, None, "")
    assert problem in asking.last.problem


def test_who_signs_is_answered_shortly(spoken: Spoken) -> None:
    spoken.body = b" " * 3_000_000
    with wire() as asking:
        asking.request("GET", spoken.url)
    with wire(redact=str) as asking, pytest.raises(VenueUnavailable, match="longer than 2097152"):
        asking.request("GET", spoken.url)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_answer_is_read(spoken: Spoken, encoding: str, compress: Any) -> None:
    spoken.body, spoken.headers = compress(b'{"a": 1}'), {"Content-Encoding": encoding}
    with wire() as asking:
        response = asking.request("GET", spoken.url)
    assert (response.text, response.json(), asking.last and asking.last.body) == ('{"a": 1}', {"a": 1}, '{"a": 1}')


def test_a_request_has_one_deadline_for_all_of_its_parts(spoken: Spoken) -> None:
    """Time passes with each look at the clock: the wait for the answer has what connecting has left of it."""
    watch = Stopwatch()

    def clock() -> float:
        watch.seconds += 0.5
        return watch.seconds

    with wire(clock=clock) as asking, suppress(requests.RequestException):
        asking.request("POST", f"{spoken.url}/order")
    assert asking.last is not None
    assert asking.last.phase in (Phase.NO_ANSWER, Phase.NOT_CONNECTED)


def test_the_parts_of_something_share_its_deadline(spoken: Spoken) -> None:
    watch = Stopwatch()
    with wire() as asking, within(Deadline(10, watch)):
        asking.request("GET", spoken.url)
        watch.seconds += 10
        with pytest.raises(VenueUnavailable, match="no time is left"):
            asking.request("GET", spoken.url)
    assert len(spoken.asked) == 1


def test_all_addresses_of_a_host_have_one_timeout_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with many dead addresses would otherwise take a timeout each."""
    watch, tried = Stopwatch(), []

    def dead(address: tuple[str, int], timeout: float, **_options: Any) -> None:
        tried.append((address[0], timeout))
        watch.seconds += 0.4
        raise TimeoutError

    found = [(2, 1, 6, "", (f"192.0.2.{number}", 443)) for number in range(50)]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments: found)
    monkeypatch.setattr("urllib3.util.connection.create_connection", dead)
    with wire(clock=watch) as asking, suppress(requests.ConnectionError):
        asking.request("POST", "https://name.invalid/order")
    assert asking.last is not None
    assert asking.last.phase is Phase.NOT_CONNECTED
    assert [address for address, _ in tried] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    assert [round(timeout, 1) for _, timeout in tried] == [1.0, 0.6, 0.2]


# --- what an answer does not show ---------------------------------------------------------------------


def test_no_answer_shows_the_key_to_anybody(spoken: Spoken) -> None:
    redaction = Redaction(("PlantedKey0123456789", "Planted/Secret+9876543210=="))
    escaped = "".join(f"\\u{ord(character):04x}" for character in "PlantedKey")
    spoken.body = (
        f'{{"id": "PlantedKey0123456789", "a\\"b": "{escaped}0123\\n", "c": "Planted\\/Secret+98765\\u0041"}}'.encode()
    )
    with wire(redact=redaction.clear) as asking:
        response = asking.request("GET", spoken.url)
    assert response.json() == {"id": "[redacted]", 'a"b': "[redacted]\n", "c": "[redacted]A"}
    assert asking.last is not None
    assert asking.last.document() == response.json()


@pytest.mark.parametrize("redact", [None, str])
def test_every_text_of_an_answer_can_be_stored(spoken: Spoken, redact: Any) -> None:
    """Half a character is none; a whole one and what only looks like an escape stay."""
    spoken.body = r'{"\ud800": ["\uDBFF\ud83d\uDe00", "\\ud800 \\\udfff", "\ud83d\n\ude00"], "a": "\u00e9"}'
    with wire(redact=redact) as asking:
        read = asking.request("GET", spoken.url).json()
    assert read == {
        "\ufffd": ["\ufffd\U0001f600", "\\ud800 \\\ufffd", "\ufffd\n\ufffd"],
        "a": "\u00e9",
    }
    assert asking.last is not None
    assert (asking.last.document(), asking.last.body.isascii()) == (read, False)


def test_a_key_across_half_a_character_leaves_no_half(spoken: Spoken) -> None:
    spoken.body = r'["\ud83d\udc4d"]'
    with wire(redact=lambda text: text.replace(r"\udc4d", "[redacted]")) as asking:
        assert asking.request("GET", spoken.url).json() == ["\ufffd[redacted]"]


def test_the_transports_own_log_tells_nothing(spoken: Spoken, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    spoken.headers = {"bad header": "planted"}
    with wire() as asking:
        asking.request("GET", f"{spoken.url}/?signature=planted")
    assert "planted" not in caplog.text


# --- what it never does -------------------------------------------------------------------------------


def test_a_redirect_is_not_followed(spoken: Spoken) -> None:
    spoken.status, spoken.headers = 302, {"Location": f"{spoken.url}/elsewhere"}
    with wire() as asking:
        assert asking.request("POST", f"{spoken.url}/order", allow_redirects=True).status_code == 302
    assert spoken.asked == ["POST /order"]


def test_an_order_is_requested_once(spoken: Spoken) -> None:
    with wire(order_path="/order") as asking:
        asking.request("GET", f"{spoken.url}/order")
        asking.request("POST", f"{spoken.url}/order")
        asking.request("POST", f"{spoken.url}/accounts")
        with pytest.raises(SecondRequest):
            asking.request("POST", f"{spoken.url}/order")
    assert spoken.asked == ["GET /order", "POST /order", "POST /accounts"]
    assert [call.path for call in asking.orders()] == ["/order"]


def test_where_the_orders_path_is_not_known_every_post_may_be_the_order(spoken: Spoken) -> None:
    with wire(order_path="") as asking:
        for method, path in (("GET", "markets"), ("POST", "accounts"), ("POST", "trade")):
            asking.request(method, f"{spoken.url}/{path}")
    assert [call.path for call in asking.orders()] == ["/accounts", "/trade"]


def test_a_session_that_sends_no_order_has_none(spoken: Spoken) -> None:
    with wire() as asking:
        asking.request("POST", f"{spoken.url}/order")
    assert asking.orders() == []


# --- the budget ---------------------------------------------------------------------------------------


class Stopwatch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def reads(budget: Budget) -> int:
    """How many reads are allowed right now."""
    for allowed in range(10_000):
        try:
            budget.take(urgent=False)
        except VenueUnavailable:
            return allowed
    raise AssertionError("no end of reads")


def test_reads_leave_what_is_kept_and_the_budget_refills_steadily() -> None:
    watch = Stopwatch()
    budget = Budget(60, 10, watch)
    assert reads(budget) == 50
    watch.seconds += 5
    assert reads(budget) == 5
    watch.seconds += 3600
    assert reads(budget) == 50


@given(number=st.integers(0, 200))
def test_what_is_urgent_is_never_refused(number: int) -> None:
    budget = Budget(10, 5, Stopwatch())
    budget.pause(60)
    for _ in range(number):
        budget.take(urgent=True)


def test_urgent_requests_are_paid_for_by_later_reads() -> None:
    watch = Stopwatch()
    budget = Budget(60, 0, watch)
    for _ in range(60):
        budget.take(urgent=True)
    assert reads(budget) == 0
    watch.seconds += 1
    assert reads(budget) == 1


def test_a_clock_that_is_set_back_neither_refills_nor_prolongs_anything() -> None:
    watch = Stopwatch()
    watch.seconds = 1000
    budget = Budget(60, 0, watch)
    budget.pause(30)
    watch.seconds = 0
    assert reads(budget) == 60
    watch.seconds = 1
    assert reads(budget) == 1


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7),
        ("999999999", 259_200),
        *((malformed, 60) for malformed in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "9" * 5000, "²", "7 ", "")),
        (None, 60),
    ],
)
def test_a_venue_that_asks_to_wait_is_not_read_until_then(spoken: Spoken, told: str | None, seconds: int) -> None:
    watch = Stopwatch()
    budget = Budget(1000, 0, watch)
    spoken.status, spoken.headers = 429, {"Retry-After": told} if told else {}
    with wire(budget=budget) as asking:
        asking.request("GET", spoken.url)
        watch.seconds += seconds - 0.1
        with pytest.raises(VenueUnavailable, match="asked to wait"):
            asking.request("GET", spoken.url)
        watch.seconds += 0.1
        asking.request("GET", spoken.url)
    assert len(spoken.asked) == 2


def test_the_venues_own_count_is_heeded(spoken: Spoken) -> None:
    budget = Budget(1000, 0, Stopwatch())
    with wire(budget=budget, used="x-used", bound=4800) as asking:
        spoken.headers = {"X-Used": "4799"}
        asking.request("GET", spoken.url)
        spoken.headers = {"X-Used": "4800"}
        asking.request("GET", spoken.url)
        with pytest.raises(VenueUnavailable, match="asked to wait"):
            asking.request("GET", spoken.url)


def test_a_refused_read_was_not_requested(spoken: Spoken) -> None:
    with wire(budget=Budget(1, 1, Stopwatch())) as asking, pytest.raises(VenueUnavailable):
        asking.request("GET", spoken.url)
    assert (list(asking.calls), spoken.asked) == ([], [])
