"""The transport under a ccxt class: what was asked, how far it came, what was answered. Judges nothing.

ccxt's exceptions do not tell whether a request ever left or which of several requests failed. This session does:
every request is one `Call`. It goes only where the instance was opened for, follows no redirect, uses no proxy, reads
no setting of the environment and repeats nothing. An answer that is out of bounds is none; no answer shows a key.
"""

import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ReadTimeout
from requests.exceptions import ConnectionError as ConnectionFailed
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, ReadTimeoutError

from belay.adapters.live.bounds import (
    PRIVATE_BYTES,
    PUBLIC_BYTES,
    Deadline,
    OutOfBounds,
    TimedAdapter,
    believable_text,
    current,
    inflated,
    within,
)
from belay.domain.errors import BelayError, VenueUnavailable
from belay.domain.live_options import origin_of
from belay.domain.texts import NO_CHARACTER

# Their lines hold the addresses of signed requests and what was answered; ccxt's hold the keys.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
SILENT = logging.Logger("belay.silent", logging.CRITICAL + 1)  # noqa: LOG001

DEFAULT_PAUSE_SECONDS = 60
# No venue is known to ban for longer: Binance names two minutes to three days.
LONGEST_PAUSE_SECONDS = 259_200
ASKED_TO_WAIT = frozenset({418, 429})
CHUNK_BYTES = 65_536
PLAIN_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u00([2-7][0-9a-fA-F])")
# A surrogate that is written as an escape; kept are a pair, which is one character, and what is no escape at all.
SURROGATE = re.compile(
    r"\\(?P<kept>\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


class Phase(StrEnum):
    """How far one request came."""

    NOT_REQUESTED = "not_requested"
    NOT_CONNECTED = "not_connected"
    NO_ANSWER = "no_answer"
    OUT_OF_BOUNDS = "unbelievable_answer"
    ANSWERED = "answered"


@dataclass
class Call:
    """One request: until it is fully answered, it may have reached the venue. `body` is the answer's text, `problem`
    the bound that an answer broke."""

    method: str
    path: str
    phase: Phase = Phase.NO_ANSWER
    status: int | None = None
    body: str = ""
    problem: str = ""

    def document(self) -> Any:
        """The answer as JSON, numbers as written; None where it is none."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None


class SecondRequest(BelayError):
    """Something was about to send an order twice."""


class ForeignHost(BelayError):
    """Something was about to send a request where this account has nothing to say."""


class Budget:
    """How many requests an account may still make: refilled steadily, shared by everything that reads or sends.

    Reads are refused while fewer than `kept` are left or while the venue has asked to wait; submissions and cancels
    never are. It never sleeps.

    Args:
        per_minute: what is refilled, and the most that can be saved up.
        kept: how many of them reads leave to submissions.
        clock: seconds, from any start. It may be set back; that neither refills nor prolongs anything.
    """

    def __init__(self, per_minute: int, kept: int, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._kept = kept
        self._clock = clock
        self._left = float(per_minute)
        self._at = clock()
        self._pause = (self._at, self._at)
        self._lock = threading.Lock()

    def take(self, *, urgent: bool) -> None:
        """Spend one request.

        Raises:
            VenueUnavailable: a read has to wait.
        """
        with self._lock:
            now = self._clock()
            refilled = max(now - self._at, 0) * self._per_minute / 60
            self._left, self._at = min(self._left + refilled, self._per_minute), now
            asked_at, until = self._pause
            if not urgent and asked_at <= now < until:
                raise VenueUnavailable(f"the venue asked to wait for {until - now:.0f} s more")
            if not urgent and self._left < self._kept + 1:
                raise VenueUnavailable("this account's request budget is used up for the moment")
            self._left = max(self._left - 1, 0)

    def pause(self, seconds: float) -> None:
        with self._lock:
            now, (asked_at, until) = self._clock(), self._pause
            self._pause = (now, max(now + seconds, until if asked_at <= now else now))


class Wire(requests.Session):
    """A `requests.Session` that writes down every request.

    `origins` are where requests may go, `redact` takes a key out of every answer, `seconds` is how long one request may
    take in all: until the last byte of its answer, whatever was connected to before.

    Args:
        connect, read: timeouts in seconds; `read` bounds each wait for a part of the answer.
        budget: spent by every request.
        order_path: how the path of the order's request ends, which may be made once; empty where that is not known,
            so that every POST may be the order; None for a session that sends none.
        used, bound: the answer's header that tells how much of the venue's own limit is used up, and the most of it
            that reads may use.
        redact: takes the key out of an answer; None for a session that signs nothing.
        clock: seconds, from any start.
    """

    KEPT_CALLS = 50

    def __init__(
        self,
        connect: float,
        read: float,
        budget: Budget,
        *,
        order_path: str | None = None,
        used: str | None = None,
        bound: int = 0,
        redact: Callable[[str], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.urgent = False
        self.origins: frozenset[str] = frozenset()
        self.seconds = connect + read
        self.calls: deque[Call] = deque(maxlen=1 if order_path is None else self.KEPT_CALLS)
        self._timeouts = (connect, read)
        self._budget = budget
        self._order_path = order_path
        self._used = used
        self._bound = bound
        self._redact = redact
        self._clock = clock
        for scheme in ("https://", "http://"):
            self.mount(scheme, TimedAdapter())

    @property
    def last(self) -> Call | None:
        return self.calls[-1] if self.calls else None

    def orders(self) -> list[Call]:
        """The requests that may have carried the order."""
        return [call for call in self.calls if self._is_order(call)]

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        call = Call(method=str(method), path=urlsplit(str(url)).path)
        if origin_of(str(url)) not in self.origins:
            raise ForeignHost("a request was about to go where this account has nothing to say")
        if self._order_path and self._is_order(call) and self.orders():
            raise SecondRequest(f"{call.path} was requested already")
        deadline = self._deadline()
        self._budget.take(urgent=self.urgent or self._order_path is not None)
        self.calls.append(call)
        options.update(timeout=self._timeouts, allow_redirects=False, proxies=None, verify=True, cert=None, stream=True)
        try:
            with within(deadline):
                response = super().request(method, url, *args, **options)
                self._heed(response.status_code, response.headers)
                call.body = self._text(response)
        except ConnectionFailed as error:
            if _never_connected(error):
                call.phase = Phase.NOT_CONNECTED
            raise
        except OutOfBounds as error:
            call.phase, call.problem = Phase.OUT_OF_BOUNDS, str(error)
        else:
            call.phase, call.status = Phase.ANSWERED, response.status_code
            response._content = call.body.encode()
            return response
        raise VenueUnavailable(f"no believable answer: {call.problem}")

    def _deadline(self) -> Deadline:
        """Of one request, within that of what it is a part of."""
        whole, own = current(), Deadline(self.seconds, self._clock)
        try:
            deadline = own if whole is None else whole.within(self.seconds)
            deadline.left()
        except TimeoutError:
            raise VenueUnavailable("no time is left for another request") from None
        return deadline

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No redirect is followed, nor even read: `requests` would take in its whole body."""

    def _text(self, response: requests.Response) -> str:
        """The answer's text, whole and within its bounds, without a key in it; every part of it can be stored."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        most = PUBLIC_BYTES if self._redact is None else PRIVATE_BYTES
        try:
            text = believable_text(inflated(_chunks(response), encoding, most))
        except Exception:
            response.close()
            raise
        if self._redact is not None:
            text = self._redact(PLAIN_ESCAPE.sub(_character, text) if "\\u00" in text else text)
        return SURROGATE.sub(_storable, text) if "\\ud" in text.lower() else text

    def _is_order(self, call: Call) -> bool:
        return self._order_path is not None and call.method == "POST" and call.path.endswith(self._order_path)

    def _heed(self, status: int, headers: Mapping[str, str]) -> None:
        if status in ASKED_TO_WAIT:
            asked = _whole(headers.get("Retry-After"), DEFAULT_PAUSE_SECONDS)
            self._budget.pause(min(asked, LONGEST_PAUSE_SECONDS))
        elif self._used is not None and _whole(headers.get(self._used), 0) >= self._bound:
            self._budget.pause(DEFAULT_PAUSE_SECONDS - time.time() % DEFAULT_PAUSE_SECONDS)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it came, still compressed; what breaks meanwhile as `requests` would tell it."""
    while True:
        try:
            chunk = response.raw.read(CHUNK_BYTES, decode_content=False)
        except ReadTimeoutError:
            raise ReadTimeout("Read timed out.") from None
        except (HTTPError, OSError):
            raise ChunkedEncodingError("Connection broken: the body is not whole") from None
        if not chunk:
            return
        yield chunk


def _character(escape: re.Match[str]) -> str:
    """A plain character that was written as an escape, which could hide a key; JSON's own two stay as they are."""
    character = chr(int(escape[2], 16))
    return escape[0] if character in '"\\\x7f' else escape[1] + character


def _storable(escape: re.Match[str]) -> str:
    """As `texts.storable`, before an escape becomes half a character."""
    return escape[0] if escape["kept"] else NO_CHARACTER


def _never_connected(error: ConnectionFailed) -> bool:
    """Whether there was no connection, so that nothing can have left: unresolved, refused or timed out before it."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, ConnectTimeoutError)


def _whole(text: str | None, otherwise: int) -> int:
    """A number as a header tells it: digits, and no more of them than any that is meant."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else otherwise
