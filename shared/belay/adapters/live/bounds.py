"""What one answer may cost: time, bytes, depth, numbers. Held to before anything is computed with it; judges nothing.

Whoever answers may be broken or hostile: it may send a byte each second, a gigabyte in a kilobyte, or a number that
takes an hour to multiply.
"""

import http.client
import io
import json
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError
from urllib3.util.connection import allowed_gai_family

MIB = 1_048_576
# Decoded. The largest honest answer is Binance's list of markets, asked for without its permission sets: a copy of some
# years ago has 4.1 MB, about 2 KB and 100 values for each symbol, so that the 3,500 of today make some 7 MB. Kraken's
# is a tenth of that. What an account is answered is shorter: a page of 1,000 trades has 0.3 MB.
PUBLIC_BYTES, PRIVATE_BYTES = 16 * MIB, 2 * MIB
VALUES = 1_000_000
# Of one list or object. The longest honest ones are lists of markets and of assets, a few thousand; pages end at 1,000.
ITEMS = 10_000
# Honest answers are six deep.
DEPTH = 32
# The longest honest number has 27 digits; an exponent is written in few, and seldom.
DIGITS, EXPONENT_DIGITS = 64, 2

ENCODINGS = {"": None, "identity": None, "gzip": 47, "x-gzip": 47, "deflate": 47}
TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
NO_SHAPE = bytes(sorted(set(range(256)) - set(b'[]{},"')))
ESCAPE, UNESCAPED_TEXT = re.compile(rb"\\.", re.DOTALL), re.compile(rb'"[^"]*+"')
INNERMOST = re.compile(rb"[\[{],*+[\]}]")
# Where there may be a number out of bounds: only then all of them are looked at. Escapes may hide one.
SUSPECT = re.compile(r"[\d.]\s*[eE]\s*[+-]?[\d_]{3}|[\d._]{65}|\\u")
# Whatever ccxt would take for a number.
NUMBER = re.compile(r"\s*+[+-]?[\d_]*+(?:\.[\d_]*+)?\s*+(?:[eE]\s*+[+-]?(?P<exponent>[\d_]*+))?\s*+")
HEX_ID = re.compile(r"[0-9a-f]{32}")
# A body that is sent all the same is left in the connection.
WITHOUT_BODY = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)


class OutOfBounds(Exception):
    """An answer that is not read on; says which bound, never what was answered."""


class _Written(str):
    """A number, as it is written."""


# --- bytes and text ------------------------------------------------------------------------------------------------


def inflated(chunks: Iterable[bytes], encoding: str, most: int) -> bytes:
    """The body that these chunks make up, never more of it than `most` bytes.

    Raises:
        OutOfBounds: it is longer, compressed in a way that was not asked for, or does not end as it should.
    """
    if encoding not in ENCODINGS:
        raise OutOfBounds("compressed in a way that was not asked for")
    bits, body, came = ENCODINGS[encoding], bytearray(), 0
    inflater = zlib.decompressobj(bits) if bits else None
    for chunk in chunks:
        came += len(chunk)
        try:
            body += inflater.decompress(chunk, most + 1 - len(body)) if inflater else chunk
        except zlib.error:
            raise OutOfBounds("not to be decompressed") from None
        if max(len(body), came) > most:
            raise OutOfBounds(f"longer than {most} bytes")
    if inflater and came and (not inflater.eof or inflater.unused_data):
        raise OutOfBounds("not one whole compressed body")
    return bytes(body)


def believable_text(body: bytes) -> str:
    """The text of a body in which nothing is out of bounds.

    Raises:
        OutOfBounds: too many values, too many of them in one list or object, too deep, or a number that nobody should
            compute with.
    """
    if max(sum(map(body.count, (b",", b"[", b"{"))), sum(map(body.count, (b"]", b"}")))) > VALUES:
        raise OutOfBounds(f"more than {VALUES} values")
    if _too_deep(body):
        raise OutOfBounds(f"deeper than {DEPTH} levels")
    if _too_many_items(body):
        raise OutOfBounds(f"more than {ITEMS} items in one list or object")
    text = body.decode("utf-8", "replace")
    if SUSPECT.search(text) and _has_unbelievable_number(text):
        raise OutOfBounds(f"a number of more than {DIGITS} digits, or with an exponent of more than {EXPONENT_DIGITS}")
    return text


def _too_deep(body: bytes) -> bool:
    left = body.translate(None, NO_BRACKETS)
    for _ in range(DEPTH):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    if not left:
        return False
    depth = deepest = 0  # brackets within texts, or none that are balanced: now one by one
    for bracket in TEXTS.sub(b"", body).translate(None, NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > DEPTH


def _too_many_items(body: bytes) -> bool:
    """Whether a list or an object has more than `ITEMS`: from the inside out, what is left of one are its commas."""
    if body.count(b",") < ITEMS:
        return False
    # Without a pair of quotes two texts may become one: what stood within texts still does.
    shape = ESCAPE.sub(b"", body).translate(None, NO_SHAPE).replace(b'""', b"")
    left, removed = UNESCAPED_TEXT.sub(b"", shape), 1
    while removed and b"," * ITEMS not in left:
        left, removed = INNERMOST.subn(b"", left)
    return removed > 0


def _has_unbelievable_number(text: str) -> bool:
    """Also among texts, as which venues write their numbers; an id of hex digits is none."""
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(text, parse_int=_Written, parse_float=_Written))]
    except (ValueError, RecursionError):
        return False  # no JSON, so nobody computes with it
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((name, inner) for inner in value)
        elif isinstance(value, str) and not _is_believable(name, value):
            return True
    return False


def _is_believable(name: str, value: str) -> bool:
    found = NUMBER.fullmatch(value)
    if found is None or (name.lower().endswith("id") and not isinstance(value, _Written) and HEX_ID.fullmatch(value)):
        return True
    return len(value) <= DIGITS and len(found["exponent"] or "") <= EXPONENT_DIGITS


# --- time ------------------------------------------------------------------------------------------------------------


class Deadline:
    """When something has to be over: it may take `seconds` in all from when it is first asked for what is left.

    Args:
        clock: seconds, from any start.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._at: float | None = None

    def left(self) -> float:
        """Raises TimeoutError once nothing is left."""
        now = self._clock()
        self._at = now + self._seconds if self._at is None else self._at
        if self._at <= now:
            raise TimeoutError("it took too long in all")
        return self._at - now

    def within(self, seconds: float) -> "Deadline":
        """So many seconds, and no longer than this one."""
        return Deadline(min(seconds, self.left()), self._clock)


_CURRENT = threading.local()


def current() -> Deadline | None:
    """What this thread has to keep to at the moment."""
    return getattr(_CURRENT, "deadline", None)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Every connection that this thread opens or reads from meanwhile keeps the deadline."""
    before = current()
    _CURRENT.deadline = deadline
    try:
        yield
    finally:
        _CURRENT.deadline = before


class TimedSocket(io.RawIOBase):
    """What is read from a socket by a deadline. Each wait for a part of it is bounded by the socket's timeout, too."""

    def __init__(self, connected: socket.socket, deadline: Deadline | None) -> None:
        self._socket = connected
        self._deadline = deadline
        self._each = connected.gettimeout()
        self._parts: Any = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline.left()
            self._socket.settimeout(left if self._each is None else min(left, self._each))
        read: int | None = self._parts.readinto(buffer)
        return read

    def close(self) -> None:
        self._parts.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As `http.client` asks a socket for it: status, headers and body all come from here."""
        return io.BufferedReader(self)


class TimedResponse(http.client.HTTPResponse):
    """What is answered by a deadline, and whose end is certain: behind any other, the connection is not used again,
    since the next request would read what is left of this answer as its own."""

    def __init__(self, connected: socket.socket, *arguments: Any, **options: Any) -> None:
        timed: Any = TimedSocket(connected, current())
        super().__init__(timed, *arguments, **options)

    def begin(self) -> None:
        """Raises OutOfBounds for an interim answer: only 100 is waited behind, and `http.client` takes any other for
        the answer itself."""
        super().begin()
        if self.status < http.HTTPStatus.OK:
            raise OutOfBounds("an interim status instead of an answer")
        if self.status in WITHOUT_BODY:
            self.will_close = True


def _by(deadline: Deadline, connected: socket.socket) -> socket.socket:
    """The same socket, whose next steps have what is left of the time."""
    try:
        connected.settimeout(deadline.left())
    except TimeoutError:
        connected.close()
        raise
    return connected


class _TimedConnection(HTTPConnection):
    response_class = TimedResponse

    def _new_conn(self) -> socket.socket:
        """All addresses of the host, and what follows of the handshake, together take no longer than one timeout."""
        host, timeout, deadline = self._dns_host, self.timeout, current()
        if deadline is None or timeout is None:
            return super()._new_conn()
        connecting = deadline.within(timeout)
        refused: ConnectTimeoutError | None = None
        try:
            for address in self._addresses():
                self._dns_host, self.timeout = address, connecting.left()
                try:
                    return _by(connecting, super()._new_conn())
                except ConnectTimeoutError as error:
                    refused = error
        except TimeoutError:
            refused = ConnectTimeoutError(self, "no address of the host answered in time")
        finally:
            self._dns_host, self.timeout = host, timeout
        raise refused or ConnectTimeoutError(self, "the host has no address")

    def _addresses(self) -> Iterable[str]:
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        return dict.fromkeys(str(address[0]) for *_, address in found)


class _TimedTlsConnection(_TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTlsConnection


class TimedAdapter(HTTPAdapter):
    """Connections that keep the deadline of the request they are used for."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
