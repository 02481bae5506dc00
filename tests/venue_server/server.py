"""The HTTP surface on loopback: reads requests, hands them to the exchange, and answers as the fault says.

Runs as a thread of a test or as a process (see __main__). POST /_control takes the same orders from outside.
"""

import gzip
import os
import re
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.venue_server.audit import Audit
from tests.venue_server.control import control
from tests.venue_server.exchange import Exchange, Handled
from tests.venue_server.faults import Deck, Fault, fault
from tests.venue_server.keys import Key
from tests.venue_server.market import LISTED
from tests.venue_server.timing import Now, ServerClock, WallTime
from tests.venue_server.wire import Raw, Reply, json_reply

CONTROL = "/_control"
FOLLOWED = "/_followed/"
# How often a waiting request looks whether its time has come or its client has gone.
LOOK_SECONDS = 0.02
STOP_SECONDS = 0.005
BINANCE_PATHS = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1",
    "dapiPublic": "/dapi/v1",
}


class VenueServer:
    """The server and everything a test needs of it. A context manager; keeps its state when stopped and started."""

    def __init__(
        self,
        base: Now | None = None,
        *,
        seed: int = 0,
        markets: int = len(LISTED),
        audit_file: Path | None = None,
        port: int = 0,
    ) -> None:
        self.clock = ServerClock(base or WallTime())
        self.exchange = Exchange(self.clock, seed=seed, markets=markets, audit_file=audit_file)
        self._port = port
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None

    # --- running ----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen on loopback; after `stop` on the same port again."""
        self._http = _Http(("127.0.0.1", self._port), self.exchange)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(STOP_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Unreachable from now on: connections are refused, open ones end."""
        if self._http is None or self._thread is None:
            return
        self._http.shutdown()
        self._http.end_connections()
        self._http.server_close()
        self._thread.join()
        self._http = self._thread = None

    def close(self) -> None:
        self.stop()
        self.exchange.audit.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def client_options(self, venue: str) -> dict[str, Any]:
        """What to merge into the constructor options of ccxt's class, so that it talks to this server."""
        if venue == "binance":
            return {"urls": {"api": {name: self.url + path for name, path in BINANCE_PATHS.items()}}}
        return {"urls": {"api": {"public": self.url, "private": self.url}}}

    # --- what a test says to it --------------------------------------------------------------------------

    @property
    def audit(self) -> Audit:
        """As of now: everything that is due has happened."""
        self.exchange.run_due()
        return self.exchange.audit

    def add_key(self, venue: str, name: str = "executor", **flags: bool) -> Key:
        return self.exchange.add_key(venue, name, **flags)

    def add_fault(self, name: str, **fields_set: Any) -> Fault:
        """The next matching request (by default the next new order) fares like this."""
        rule = fault(name, **fields_set)
        with self.exchange.lock:
            self.exchange.script.add(rule)
        return rule

    def clear_faults(self) -> None:
        """Orderly from now on; what is held stays held."""
        with self.exchange.lock:
            self.exchange.script.clear()

    def use_deck(self, deck: Deck) -> None:
        with self.exchange.lock:
            self.exchange.script.use(deck)

    def load_faults(self, items: Sequence[Mapping[str, Any]]) -> None:
        with self.exchange.lock:
            self.exchange.script.load(items)

    def advance(self, seconds: float) -> None:
        self.exchange.advance(seconds)

    def release(self) -> None:
        self.exchange.release()

    def act(self, venue: str, name: str, **arguments: Any) -> Any:
        return self.exchange.act(venue, name, **arguments)

    def truth(self, venue: str) -> dict[str, Any]:
        return self.exchange.truth(venue)


class _Http(ThreadingHTTPServer):
    """One thread for each connection; the threads end before the server is closed."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], exchange: Exchange) -> None:
        self.exchange = exchange
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        self.stopping.set()
        for connection in list(self._connections):
            _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error; everything else is a bug of this server and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive between requests as the venues do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        raw = Raw(self.command, url.path, url.query, headers, body)
        exchange = self.server.exchange
        if raw.path == CONTROL:
            self._send(control(exchange, raw))
        elif raw.path.startswith(FOLLOWED):
            exchange.followed(int(raw.path.removeprefix(FOLLOWED)), raw.method)
            self._send(json_reply({}))
        elif dialect := exchange.speaks(raw.path):
            self._answer(exchange.handle(dialect, raw))
        else:
            self._send(json_reply({}, 404))

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the audit says more."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the server's clock."""
        return super().date_time_string(timestamp or self.server.exchange.clock.now().timestamp())

    # --- answers ---------------------------------------------------------------------------------------------

    def _answer(self, handled: Handled) -> None:
        end = ENDINGS.get(handled.fault.answer)
        if end is not None:
            self.server.exchange.answered(handled, handled.fault.answer)
            end(self)
            return
        reply = self._reply(handled)
        if reply is None:
            self.server.exchange.answered(handled, "client gone")
            self.close_connection = True
            return
        self.server.exchange.answered(handled, f"{reply.status} {handled.fault.answer}")
        if handled.fault.answer == "cut":
            self._cut(reply)
        elif handled.fault.answer == "bomb":
            self._send(reply, bomb() + gzip.compress(reply.body.encode()), **{"Content-Encoding": "gzip"})
        else:
            self._send(reply)

    def _reply(self, handled: Handled) -> Reply | None:
        """The reply as the fault distorts it; None if the client went away before there was one."""
        distort = BODIES.get(handled.fault.answer)
        if distort is not None:
            return distort(handled)
        while not handled.ready.wait(LOOK_SECONDS):
            self.server.exchange.run_due()
            if self.server.stopping.is_set() or _gone(self.connection):
                return None
        reply = handled.reply
        assert reply is not None
        spoil = SPOILT.get(handled.fault.answer)
        return Reply(reply.status, spoil(reply.body), reply.content_type, reply.headers) if spoil else reply

    def _send(self, reply: Reply, body: bytes | None = None, **headers: str) -> None:
        body = reply.body.encode() if body is None else body
        self._send_head(reply, len(body), **headers)
        self.wfile.write(body)

    def _cut(self, reply: Reply) -> None:
        """The connection ends in the middle of a body whose length was announced."""
        body = reply.body.encode()
        self._send_head(reply, len(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def _send_head(self, reply: Reply, length: int, **headers: str) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(length))
        for name, value in (reply.headers | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def close_cleanly(self) -> None:
        self.close_connection = True

    def hang(self) -> None:
        """No byte until the client gives up."""
        while not (self.server.stopping.is_set() or _gone(self.connection)):
            select.select([self.connection], [], [], LOOK_SECONDS)
        self.close_connection = True

    def drip(self) -> None:
        """A header that goes on, byte by byte, until the client gives up."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: ")
        while not (self.server.stopping.is_set() or _gone(self.connection)):
            self.wfile.write(b".")
            select.select([self.connection], [], [], LOOK_SECONDS)
        self.close_connection = True

    def reset(self) -> None:
        """A reset instead of an orderly end: closing with nothing left to linger for."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


ENDINGS: dict[str, Callable[[_Handler], None]] = {
    "hang": _Handler.hang,
    "close": _Handler.close_cleanly,
    "reset": _Handler.reset,
    "drip": _Handler.drip,
}
HTML = "<html><body>ok</body></html>"
BODIES: dict[str, Callable[[Handled], Reply]] = {
    "html": lambda _handled: Reply(200, HTML, "text/html"),
    "empty": lambda _handled: Reply(200, ""),
    "braces": lambda _handled: Reply(200, "{}"),
    "redirect": lambda handled: Reply(302, "", headers={"Location": f"{FOLLOWED}{handled.number}"}),
    "status": lambda handled: Reply(handled.fault.status, HTML, "text/html"),
    "interim": lambda _handled: Reply(103, ""),
    "half": lambda _handled: Reply(400, HALF),
}
HALF = r'{"code": "\ud800", "msg": "\uDFFF", "error": ["\ud800:\uDFFF"]}'
LEVELS, DIGITS, ITEMS = 100_000, 5_000, 100_000
# A good reply, spoilt: what is behind it can still be read by whoever reads without bounds.
SPOILT: dict[str, Callable[[str], str]] = {
    "truncated": lambda body: body[: len(body) // 2],
    "deep": lambda body: _beside(body, "[" * LEVELS + "]" * LEVELS),
    "items": lambda body: _beside(body, "[" + "{}," * ITEMS + "{}]"),
    "number": lambda body: _beside(re.sub(r'"[0-9]+\.?[0-9]*"', '"1e999999999"', body), "1e999999999"),
    "long_id": lambda body: re.sub(
        r'("orderId": |"txid": \["|^\[?)(?=[0-9A-Z])', lambda found: found[0] + "9" * DIGITS, body
    ),
}


def _beside(body: str, value: str) -> str:
    """The same with another value in front."""
    return body.replace("{", f'{{"beside": {value}, ', 1) if "{" in body else f"[{value}]"


@cache
def bomb() -> bytes:
    """64 MiB of spaces in front of whatever follows, which JSON allows."""
    return gzip.compress(b" " * 67_108_864)


def _gone(connection: socket.socket) -> bool:
    """Whether the client closed its end."""
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        """It ended by itself."""
