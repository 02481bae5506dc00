"""One instance of a venue's ccxt class for a live account, without what could send twice or show a key. Asks nobody."""

import threading
import time
from typing import Any

from belay.adapters.ccxt_market import exchange_class
from belay.adapters.ccxt_profiles import CcxtProfile
from belay.adapters.ccxt_wire import SILENT, Budget, Wire
from belay.adapters.secrets import Credentials
from belay.domain.account import LIVE_OPTIONS, AccountDocument
from belay.ports import Clock

# Set last, whatever document or profile say.
FORCED = {"enableRateLimit": False, "verbose": False, "validateServerSsl": True, "verify": True}
FORCED_OPTIONS = {"maxRetriesOnFailure": 0, "adjustForTimeDifference": False}


def open_wire(document: AccountDocument, profile: CcxtProfile, budget: Budget, order_path: str | None = None) -> Wire:
    """The transport of one instance. The document's `timeout`, in milliseconds, may make the profile's shorter."""
    bound = float(document.options.get("timeout", 60_000)) / 1000
    return Wire(
        min(profile.connect_timeout_seconds, bound),
        min(profile.read_timeout_seconds, bound),
        budget,
        order_path=order_path,
        used=profile.budget.used_header,
        bound=profile.budget.used_bound,
    )


def open_budget(document: AccountDocument, profile: CcxtProfile, clock: Clock) -> Budget:
    per_minute = document.requests_per_minute or profile.budget.requests_per_minute
    return Budget(per_minute, profile.budget.kept_for_submissions, lambda: clock.now().timestamp())


def connect(document: AccountDocument, profile: CcxtProfile, wire: Wire, credentials: Credentials | None = None) -> Any:
    """An instance of the venue's class: the document's options, the profile's over them, then what is never given up.

    Raises:
        InvalidInput: ccxt has no such exchange.
    """
    chosen = {name: value for name, value in document.options.items() if name in LIVE_OPTIONS - {"timeout"}}
    exchange = exchange_class(document.venue)({**chosen, **FORCED, **(credentials.options() if credentials else {})})
    exchange.options = exchange.deep_extend(exchange.options, profile.preflight.options, FORCED_OPTIONS)
    if document.sandbox:
        exchange.set_sandbox_mode(True)
    # Numbers are kept as the venue wrote them: ccxt would make floats of them, and of decimals as well.
    exchange.number = str
    exchange.session.close()
    exchange.session, exchange.logger = wire, SILENT
    for name in profile.preflight.skip:
        setattr(exchange, name, _nothing)
    return exchange


def _nothing(*_arguments: object, **_options: object) -> bool:
    return True


class RisingNonce:
    """Nonces that rise within this process and, by the machine's clock in microseconds, across processes."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000)
            return self._last
