"""What a live account asks of its venue under its own key, until an answer can be believed. Submits nothing.

What it raises names codes as the venue wrote them: who tells of it redacts it first.
"""

import threading
from dataclasses import dataclass
from decimal import localcontext
from typing import Any

from belay.adapters.live.account_market import LiveMarketData
from belay.adapters.live.connect import RisingNonce, connect, open_wire
from belay.adapters.live.fence import milliseconds
from belay.adapters.live.key import Key
from belay.adapters.live.outcomes import OK, errors_in, meaning_of
from belay.adapters.live.profiles.answers import Meaning
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.tolerant import read_rows_apart
from belay.adapters.live.wire import ASKED_TO_WAIT, Budget, Call, Phase, Wire
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, BelayError, NotUnderstood, SymbolUnavailable, VenueUnavailable

READ_TRIES = 3
REMEDY = "check the API key, its permissions, its allowed addresses and the region"
READ_MEANINGS = (Meaning.MISSING, Meaning.NOT_LISTED, Meaning.TRY_AGAIN, Meaning.CONFIGURATION)
# What a read is answered while a venue is busy, down or has been asked too often: in a minute it may be otherwise.
PASSING = (Meaning.UNKNOWN, Meaning.NOT_PLACED, Meaning.TRY_AGAIN)
SERVER_ERRORS = 500
GONE = frozenset({404, 405, 410})
# What ccxt raises over a part of an answer that it does not understand.
UNPARSABLE = frozenset(
    {
        "ArithmeticError", "AttributeError", "BadResponse", "IndexError", "InvalidOperation", "KeyError",
        "NullResponse", "TypeError", "ValueError",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A believable answer to a read: the raw document and what ccxt made of it. `missing`: it is not there."""

    document: Any
    returned: Any
    missing: bool = False


# What is raised, of which problem, and whether to ask again before.
Failure = tuple[type[VenueUnavailable], str, bool]


class SignedRequests:
    """The account's instance of ccxt for reads and cancels, made anew once the key was refused.

    `lock`: one private read at a time, since nonces must arrive in their order.
    """

    def __init__(
        self, document: AccountDocument, profile: CcxtProfile, market_data: LiveMarketData, key: Key, budget: Budget
    ) -> None:
        self.lock = threading.RLock()
        self._document = document
        self._venue = profile
        self._market_data = market_data
        self._key = key
        self._budget = budget
        self._nonce = RisingNonce()
        self._reader: Any = None

    def ask(self, method: str, *arguments: Any, market: str | None = None, urgent: bool = False) -> Answer:
        """Ask until an answer can be believed. Reads may be repeated: they change nothing.

        Raises:
            AccountRefused: the venue refuses this account as it is configured.
            SymbolUnavailable: the venue does not list `market`.
            NotUnderstood: there is an answer, of which nothing is understood.
            VenueUnavailable: no answer, or none that is evidence.
        """
        kind, problem = VenueUnavailable, ""
        for _ in range(READ_TRIES):
            with self.lock:
                call, returned, failure = self._once(method, arguments, market, urgent=urgent)
            judged = self._judged(call, returned, failure)
            if isinstance(judged, Answer):
                return judged
            kind, problem, again = judged
            if not again:
                break
        raise kind(f"{self._venue.name} {method}: {problem}")

    def _once(
        self, method: str, arguments: tuple[Any, ...], market: str | None, *, urgent: bool
    ) -> tuple[Call | None, Any, str]:
        """One call of ccxt: the last request it made, what it returned, the name of what it raised."""
        self._market_data.time()  # the request is signed with it
        exchange = self._private(market)
        if market is not None and market not in exchange.markets:
            raise self._market_data.missing(market)
        wire = exchange.session
        wire.calls.clear()
        wire.urgent = urgent
        try:
            with localcontext():
                return_value = getattr(exchange, method)(*arguments)
        except BelayError:
            if wire.last is None or not wire.last.problem:
                raise
            return wire.last, None, ""
        except Exception as error:
            return wire.last, None, type(error).__name__
        return wire.last, return_value, ""

    def _judged(self, call: Call | None, returned: Any, failure: str) -> Answer | Failure:
        """Where answers are described, whatever ccxt could not make of one is as good as made: nobody reads it."""
        if call is None:
            return VenueUnavailable, failure or "asked nothing", False
        if call.phase is not Phase.ANSWERED:
            # A connection that was kept while the process was frozen breaks at once; a silent venue is not waited for.
            again = failure == "NetworkError"
            return VenueUnavailable, f"{call.phase}: {call.problem}".rstrip(": "), again
        errors = errors_in(self._venue, call)
        meaning = meaning_of(self._venue, call, errors, READ_MEANINGS)
        code = errors[0].code if errors else f"http_{call.status}"
        if meaning is Meaning.MISSING or self._missing(call, failure):
            return Answer(document=None, returned=None, missing=True)
        if meaning is Meaning.NOT_LISTED:
            return SymbolUnavailable, f"{code}: it does not list the symbol", False
        if meaning is Meaning.CONFIGURATION:
            self._forget()
            raise AccountRefused(code, f"{self._venue.name} refuses this account: {REMEDY}")
        document = call.document()
        told = not errors and call.status == OK and isinstance(document, dict | list)
        if told and (not failure or self._venue.reading is not None):
            return Answer(document=document, returned=returned)
        passing = meaning_of(self._venue, call, errors, PASSING) is not None
        refused = (bool(errors) or call.status in GONE) and not passing and not _is_busy(call)
        clear = refused or (told and failure in UNPARSABLE)
        kind = NotUnderstood if clear else VenueUnavailable
        return kind, f"{code} {failure}".strip(), meaning is Meaning.TRY_AGAIN

    def _missing(self, call: Call, failure: str) -> bool:
        """At a venue whose answers are not described ccxt's word has to do; there a miss proves no absence anyway."""
        return self._venue.reading is None and failure == "OrderNotFound" and isinstance(call.document(), dict)

    # --- instances ---

    def _private(self, market: str | None) -> Any:
        """The instance that reads; made anew once the key was refused."""
        if self._reader is None:
            wire = open_wire(self._document, self._venue, self._budget, redact=self._key.redaction.clear)
            self._reader = self.connect(wire, market)
            read_rows_apart(self._reader)
        elif market is not None and market not in self._reader.markets:
            self._load_markets(self._reader, market)
        return self._reader

    def _forget(self) -> None:
        with self.lock:
            self._key.forget()
            if self._reader is not None:
                self._reader.session.close()
            self._reader = None

    def connect(self, wire: Wire, market: str | None) -> Any:
        exchange = connect(self._document, self._venue, wire, self._key.get())
        exchange.milliseconds = self._milliseconds
        if self._venue.rising_nonce:
            exchange.incrementing_nonce = self._nonce
        self._load_markets(exchange, market)
        for method in self._venue.preflight.preload:
            getattr(exchange, method)()
        return exchange

    def _milliseconds(self) -> int:
        """Venue time: a machine whose clock is wrong could not even look."""
        return milliseconds(self._market_data.clock.estimate())

    def _load_markets(self, exchange: Any, market: str | None) -> None:
        entries, details = self._market_data.entries(market), self._venue.market
        exchange.set_markets(entries)
        if details.index_option is not None:
            exchange.options[details.index_option] = exchange.index_by(entries, details.index_by)

    # --- words ---

    def asset_of(self, name: str) -> str | None:
        """The asset that a wallet counts for: by the venue's own list, where it has one."""
        known = self._market_data.asset(name)
        if known is not None:
            return known.code
        with self.lock:
            return str(self._private(None).safe_currency_code(name))

    def decimals_of(self, name: str) -> int | None:
        """How many decimals a wallet keeps, where the venue tells it."""
        known = self._market_data.asset(name)
        return known.decimals if known is not None else None

    def unavailable(self, problem: str) -> VenueUnavailable:
        return VenueUnavailable(f"{self._venue.name} {problem}")

    def not_understood(self, problem: str) -> NotUnderstood:
        return NotUnderstood(f"{self._venue.name} {problem}")


def _is_busy(call: Call) -> bool:
    return call.status is None or call.status >= SERVER_ERRORS or call.status in ASKED_TO_WAIT
