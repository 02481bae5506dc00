"""One instance of a venue's ccxt class for a live account, without what could send twice or show a key. Asks nobody."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from belay.adapters.aws.secrets import Credentials
from belay.adapters.live.profiles import profile_of
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.public_market import configured
from belay.adapters.live.wire import SILENT, Budget, Wire
from belay.domain.documents import AccountDocument
from belay.domain.live_options import HOSTNAME, LIVE_OPTIONS, origin_of
from belay.ports import Clock

# Set last, whatever document or profile say.
FORCED = {"enableRateLimit": False, "verbose": False, "validateServerSsl": True, "verify": True}
FORCED_OPTIONS = {"maxRetriesOnFailure": 0, "adjustForTimeDifference": False}


def timeouts(document: AccountDocument, profile: CcxtProfile) -> tuple[float, float]:
    """Seconds to connect and to read. The document's `timeout`, in milliseconds, may make the profile's shorter."""
    bound = float(document.options.get("timeout", 60_000)) / 1000
    return min(profile.connect_timeout_seconds, bound), min(profile.read_timeout_seconds, bound)


def open_wire(
    document: AccountDocument,
    profile: CcxtProfile,
    budget: Budget,
    order_path: str | None = None,
    redact: Callable[[str], str] | None = None,
) -> Wire:
    """The transport of one instance.

    Args:
        redact: takes the key out of every answer; None where nothing is signed.
    """
    return Wire(
        *timeouts(document, profile),
        budget,
        order_path=order_path,
        used=profile.budget.used_header,
        bound=profile.budget.used_bound,
        redact=redact,
    )


def open_budget(document: AccountDocument, profile: CcxtProfile, clock: Clock) -> Budget:
    per_minute = document.requests_per_minute or profile.budget.requests_per_minute
    return Budget(per_minute, profile.budget.kept_for_submissions, lambda: clock.now().timestamp())


def connect(document: AccountDocument, profile: CcxtProfile, wire: Wire, credentials: Credentials | None = None) -> Any:
    """An instance of the venue's class: the document's options, the profile's over them, then what is never given up.

    Raises:
        InvalidInput: ccxt has no such exchange; its class has no place for an option of the document.
    """
    exchange = _instance(document, credentials.options() if credentials else {})
    exchange.options = exchange.deep_extend(exchange.options, profile.preflight.options, FORCED_OPTIONS)
    # Numbers are kept as the venue wrote them: ccxt would make floats of them, and of decimals as well.
    exchange.number = str
    attach(exchange, wire, profile.sections)
    for name in profile.preflight.skip:
        setattr(exchange, name, _nothing)
    return exchange


def attach(exchange: Any, wire: Wire, sections: Iterable[str] = ()) -> None:
    """Let an instance ask over this transport only, and nobody but the hosts that it has now."""
    wire.origins = _origins(exchange, sections)
    exchange.session.close()
    exchange.session, exchange.logger = wire, SILENT


def origins_of(document: AccountDocument) -> tuple[str, ...]:
    """Every `scheme://host:port` that a live account talks to, and its key may be sent to.

    Raises:
        InvalidInput: its venue has no profile, or ccxt no such exchange; its class has no place for an option.
    """
    profile = profile_of(document)
    return tuple(sorted(_origins(_instance(document, {}), profile.sections)))


def _instance(document: AccountDocument, credentials: dict[str, str]) -> Any:
    chosen = {name: value for name, value in document.options.items() if name in LIVE_OPTIONS - {"timeout"}}
    exchange = configured(document.venue, chosen, {**FORCED, **credentials})
    if document.sandbox:
        exchange.set_sandbox_mode(True)
    return exchange


def _origins(exchange: Any, sections: Iterable[str]) -> frozenset[str]:
    """What an instance's addresses come to, with each name that ccxt may put into them."""
    api, names = exchange.urls.get("api"), [exchange.hostname, *_texts(exchange.urls.get("hostnames"))]
    used = {name: api[name] for name in sections if name in api} if isinstance(api, dict) and sections else api
    addresses = {text.replace(HOSTNAME, name or "") for text in _texts(used) for name in names}
    return frozenset(origin for address in addresses if (origin := origin_of(address)) is not None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)


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
