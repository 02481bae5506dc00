"""The transport under a ccxt class: what was asked, how far it came, what was answered. Judges nothing.

ccxt's exceptions do not tell whether a request ever left or which of several requests failed. This session does:
every request is one `Call`. It follows no redirect, uses no proxy, reads no setting of the environment and repeats
nothing.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectionError as ConnectionFailed
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError

from belay.domain.errors import BelayError, VenueUnavailable

# Its lines hold the addresses of signed requests; ccxt's hold the keys.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
SILENT = logging.Logger("belay.silent", logging.CRITICAL + 1)  # noqa: LOG001

DEFAULT_PAUSE_SECONDS = 60
ASKED_TO_WAIT = frozenset({418, 429})


class Phase(StrEnum):
    """How far one request came."""

    NOT_REQUESTED = "not_requested"
    NOT_CONNECTED = "not_connected"
    NO_ANSWER = "no_answer"
    ANSWERED = "answered"


@dataclass
class Call:
    """One request: until it is fully answered, it may have reached the venue. `body` is the answer's text."""

    method: str
    path: str
    phase: Phase = Phase.NO_ANSWER
    status: int | None = None
    body: str = ""

    def document(self) -> Any:
        """The answer as JSON, numbers as written; None where it is none."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except ValueError:
            return None


class SecondRequest(BelayError):
    """Something was about to send an order twice."""


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

    Args:
        connect, read: timeouts in seconds; `read` bounds each wait for a part of the answer.
        budget: spent by every request.
        order_path: how the path of the order's request ends, which may be made once; empty where that is not known,
            so that every POST may be the order; None for a session that sends none.
        used, bound: the answer's header that tells how much of the venue's own limit is used up, and the most of it
            that reads may use.
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
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.urgent = False
        self.calls: deque[Call] = deque(maxlen=self.KEPT_CALLS)
        self._timeouts = (connect, read)
        self._budget = budget
        self._order_path = order_path
        self._used = used
        self._bound = bound

    @property
    def last(self) -> Call | None:
        return self.calls[-1] if self.calls else None

    def orders(self) -> list[Call]:
        """The requests that may have carried the order."""
        return [call for call in self.calls if self._is_order(call)]

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        call = Call(method=str(method), path=urlsplit(str(url)).path)
        if self._order_path and self._is_order(call) and self.orders():
            raise SecondRequest(f"{call.path} was requested already")
        self._budget.take(urgent=self.urgent or self._order_path is not None)
        self.calls.append(call)
        options.update(timeout=self._timeouts, allow_redirects=False, proxies=None)
        try:
            response = super().request(method, url, *args, **options)
        except ConnectionFailed as error:
            if _never_connected(error):
                call.phase = Phase.NOT_CONNECTED
            raise
        call.phase, call.status = Phase.ANSWERED, response.status_code
        call.body = response.content.decode("utf-8", "replace")
        self._heed(call, response.headers)
        return response

    def _is_order(self, call: Call) -> bool:
        return self._order_path is not None and call.method == "POST" and call.path.endswith(self._order_path)

    def _heed(self, call: Call, headers: Mapping[str, str]) -> None:
        if call.status in ASKED_TO_WAIT:
            self._budget.pause(_whole(headers.get("Retry-After"), DEFAULT_PAUSE_SECONDS))
        elif self._used is not None and _whole(headers.get(self._used), 0) >= self._bound:
            self._budget.pause(DEFAULT_PAUSE_SECONDS - time.time() % DEFAULT_PAUSE_SECONDS)


def _never_connected(error: ConnectionFailed) -> bool:
    """Whether there was no connection, so that nothing can have left: unresolved, refused or timed out before it."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, ConnectTimeoutError)


def _whole(text: str | None, otherwise: int) -> int:
    with suppress(TypeError, ValueError):
        return max(int(text or ""), 0)
    return otherwise
