"""One live account at a venue, through ccxt's synchronous class. Sends an order once and repeats nothing of it.

What an answer means is decided from the raw answer, by the venue's profile; ccxt builds and signs the requests. A read
gives evidence or raises `VenueUnavailable`. No key, and nothing that could hold one, leaves this module: the transport
takes it out of every answer, every text is redacted before it is cut, and exceptions are never chained to ccxt's.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from functools import wraps
from typing import Any, Concatenate, NamedTuple

from belay.adapters.aws.secrets import Credentials, Secrets
from belay.adapters.live.account_market import LiveMarketData
from belay.adapters.live.bounds import Deadline, within
from belay.adapters.live.connect import RisingNonce, connect, open_wire, timeouts
from belay.adapters.live.fence import milliseconds, pin
from belay.adapters.live.history import Found, Query, Window, read_page
from belay.adapters.live.outcomes import OK, Sent, classify, errors_in, meaning_of
from belay.adapters.live.profiles import CcxtProfile, Lookup, Meaning, Rows, dig, rows_of
from belay.adapters.live.reading import Unbelievable, read_balances, read_order, read_trade, unified_balances
from belay.adapters.live.redaction import CODE_LENGTH, Redaction
from belay.adapters.live.wire import Budget, Call, Phase, Wire
from belay.domain.checkup import RESTRICTED, Access
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, BelayError, VenueUnavailable
from belay.domain.market import Market
from belay.domain.record import LARGEST
from belay.domain.venues import Balances, OrderRequest, Outcome, OutcomeKind, TradePage, VenueOrder, VenueStatus

READ_TRIES = 3
REMEDY = "check the API key, its permissions, its allowed addresses and the region"
READ_MEANINGS = (Meaning.MISSING, Meaning.TRY_AGAIN, Meaning.CONFIGURATION)


class Key:
    """The credentials of one function for one account: read when first needed, and again once they were refused."""

    def __init__(self, secrets: Secrets | None, name: str | None, needed: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._name = name
        self._needed = needed
        self._credentials: Credentials | None = None
        self.redaction = Redaction()

    def get(self) -> Credentials:
        """Raises AccountRefused where there is no usable key."""
        if self._credentials is None:
            if self._secrets is None or self._name is None:
                raise AccountRefused("no_key", "this function holds no key")
            credentials = self._secrets.read(self._name)
            if not credentials.has(self._needed):
                raise AccountRefused("key_incomplete", f"{self._name} must hold {', '.join(self._needed)}")
            self.redaction.learn(credentials.options().values())
            self._credentials = credentials
        return self._credentials

    def digest(self) -> str:
        """Tells this key from another one, and nothing else of it."""
        options = self.get().options()
        named = options.get("apiKey") or json.dumps(options, sort_keys=True)
        return hashlib.sha256(f"belay key {named}".encode()).hexdigest()[:16]

    def forget(self) -> None:
        """Read it anew before it is used again. What it was is never told all the same."""
        self._credentials = None


class Rights(NamedTuple):
    """Where a venue tells what a key may do: the method of its class; in its answer, a list of rights or an object of
    them with true and false, and what binds the key to addresses. `harmless` rights are not worth a word.
    """

    method: str
    path: str
    bound: str
    names: dict[str, tuple[str, ...]]
    harmless: frozenset[str]


RIGHTS = {
    "binance": Rights(
        method="sapiGetAccountApiRestrictions",
        path="",
        bound="ipRestrict",
        names={
            "read": ("enableReading",),
            "trade": ("enableSpotAndMarginTrading",),
            "cancel": ("enableSpotAndMarginTrading",),
            "withdraw": ("enableWithdrawals",),
        },
        harmless=frozenset({"enableFixReadOnly", "ipRestrict"}),
    ),
    "kraken": Rights(
        method="privatePostGetApiKeyInfo",
        path="result.permissions",
        bound="result.ipAllowlist",
        names={
            "read": ("query-funds", "query-open-trades", "query-closed-trades"),
            "trade": ("modify-trades",),
            "cancel": ("close-trades",),
            "withdraw": ("withdraw-funds",),
        },
        harmless=frozenset({"export-data", "query-ledger"}),
    ),
}


RIGHT = re.compile(r"[\w-]{1,60}")


def read_rights(rights: Rights, document: Any) -> Access:
    """Raises `Unbelievable`. What an object does not name is not told; what a list does not name is not given."""
    found = dig(document, rights.path)
    if not isinstance(found, dict | list) or not all(isinstance(name, str) and RIGHT.fullmatch(name) for name in found):
        raise Unbelievable("shape")
    known = rights.harmless.union(*rights.names.values())
    if isinstance(found, dict):
        given = {name: value for name, value in found.items() if isinstance(value, bool)}
    else:
        given = dict.fromkeys(known, False) | dict.fromkeys(found, True)
    bound = dig(document, rights.bound)
    return Access(
        **{what: _all_given([given.get(name) for name in names]) for what, names in rights.names.items()},
        bound=bool(bound) if isinstance(bound, bool | list) else None,
        more=tuple(sorted(name for name, value in given.items() if value and name not in known)),
    )


def _all_given(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


@dataclass(frozen=True)
class Answer:
    """A believable answer to a read: the raw document and what ccxt made of it. `missing`: it is not there."""

    document: Any
    returned: Any
    missing: bool = False


def _evidence[**P, T](read: Callable[Concatenate["CcxtVenue", P], T]) -> Callable[Concatenate["CcxtVenue", P], T]:
    """A read gives evidence, or says in words that may be told that it has none; nothing is chained to those."""

    @wraps(read)
    def asked(venue: "CcxtVenue", /, *arguments: P.args, **options: P.kwargs) -> T:
        told = venue._key.redaction.told
        try:
            return read(venue, *arguments, **options)
        except AccountRefused as error:
            left: VenueUnavailable = AccountRefused(told(error.code, CODE_LENGTH), told(error.remedy))
        except BelayError as error:
            left = VenueUnavailable(told(error))
        except Exception as error:
            left = venue._unavailable(f"{read.__name__} failed: {type(error).__name__}")
        raise left

    return asked


class CcxtVenue:
    """Implements `ports.Venue` for one live account.

    Args:
        market_data: the same account's, whose clock and markets are used.
        key: this function's credentials.
        budget: the account's, shared with `market_data`.
    """

    def __init__(
        self, document: AccountDocument, profile: CcxtProfile, market_data: LiveMarketData, key: Key, budget: Budget
    ) -> None:
        self.profile = profile.domain()
        self._document = document
        self._venue = profile
        self._market_data = market_data
        self._key = key
        self._budget = budget
        self._nonce = RisingNonce()
        # One private read at a time: nonces must arrive in their order.
        self._lock = threading.RLock()
        self._reader: Any = None
        self._window: tuple[datetime, dict[tuple[Any, ...], Found]] | None = None

    # --- reads ---

    @_evidence
    def balances(self) -> Balances:
        answer = self._ask("fetch_balance")
        total = self._believe("balances", lambda: self._totals(answer))
        return Balances(total=total, at=self._market_data.time())

    def _totals(self, answer: Answer) -> dict[str, Decimal]:
        reading = self._venue.reading
        if reading is None:
            return unified_balances(answer.returned)
        rows = _rows(answer, reading.balance_rows)
        return read_balances(reading.balances, rows, self._asset_of)

    @_evidence
    def open_orders(self) -> tuple[VenueOrder, ...]:
        reading = self._venue.reading
        return self._orders(self._ask("fetch_open_orders"), reading.open_rows if reading else None)

    @_evidence
    def lookup(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """By each of the profile's look-ups in its order; the open order, else the latest closed one."""
        for lookup in self._venue.lookups:
            found = [o for o in self._look(lookup, symbol, client_order_id) if o.client_order_id == client_order_id]
            if found:
                return max(found, key=lambda order: (order.status is VenueStatus.OPEN, order.updated_at))
        return None

    def _look(self, lookup: Lookup, symbol: str, client_order_id: str) -> tuple[VenueOrder, ...]:
        filtered = {lookup.param: self._client_id(client_order_id)} if lookup.param else {}
        single = lookup.method == "fetch_order"
        arguments = (None, symbol, filtered) if single else (symbol, None, None, filtered)
        answer = self._ask(lookup.method, *arguments, market=symbol)
        if answer.missing:
            return ()
        found = (self._single(answer),) if single else self._orders(answer, self._closed_or_open_rows(lookup))
        if filtered and any(order.client_order_id != client_order_id for order in found):
            raise self._unavailable("showed another order than was asked for")
        return found

    def _closed_or_open_rows(self, lookup: Lookup) -> Rows | None:
        reading = self._venue.reading
        if reading is None:
            return None
        return reading.open_rows if lookup.method == "fetch_open_orders" else reading.closed_rows

    def _single(self, answer: Answer) -> VenueOrder:
        row = answer.returned if self._venue.reading is None else answer.document
        if not isinstance(row, dict):
            raise self._unavailable("gave no believable order")
        return self._believe("order", lambda: read_order(self._venue, row, self._symbol_of))

    def _orders(self, answer: Answer, rows: Rows | None) -> tuple[VenueOrder, ...]:
        return self._believe(
            "list of orders",
            lambda: tuple(read_order(self._venue, row, self._symbol_of) for row in _rows(answer, rows)),
        )

    @_evidence
    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        """Where the venue shows the whole account's trades, one answer serves every symbol of the same window."""
        return self._believe(
            "list of trades",
            lambda: read_page(self._venue, lambda query: self._found(query, end), Window(symbol, start, end, page)),
        )

    def _found(self, query: Query, end: datetime) -> Found:
        if self._venue.history.scope == "symbol":
            return self._fetch_trades(query)
        with self._lock:
            if self._window is None or self._window[0] != end:
                self._window = (end, {})
            known, key = self._window[1], tuple(sorted(query.params.items()))
            if key not in known:
                known[key] = self._fetch_trades(query)
            return known[key]

    def _fetch_trades(self, query: Query) -> Found:
        answer = self._ask("fetch_my_trades", query.symbol, query.since, query.limit, query.params, market=query.symbol)
        rows = _rows(answer, self._venue.reading.trade_rows if self._venue.reading else None)
        read = (read_trade(self._venue, row, self._symbol_of, self._asset_of) for row in rows)
        return Found(trades=tuple(trade for trade in read if trade is not None), document=answer.document)

    # --- orders ---

    def submit(self, request: OrderRequest) -> Outcome:
        """Send once, over a connection of its own, signed with the claim's time where the venue judges it."""
        whole = Deadline(sum(timeouts(self._document, self._venue)), time.monotonic)
        try:
            with within(whole):  # whatever has to be asked before it
                outcome = self._refused_here(request) or self._submitted(request)
        except Exception as error:
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, code="adapter_error", detail=type(error).__name__)
        if outcome.kind is OutcomeKind.CONFIGURATION:
            self._key.forget()
        told = self._key.redaction.told
        return outcome.model_copy(update={"code": told(outcome.code, CODE_LENGTH), "detail": told(outcome.detail)})

    def _submitted(self, request: OrderRequest) -> Outcome:
        redact = self._key.redaction.clear
        wire = open_wire(self._document, self._venue, self._budget, self._venue.order_path, redact)
        returned, failure = self._create(wire, request)
        orders = wire.orders()
        sent = Sent(orders=orders, returned=returned, at=self._market_data.clock.estimate())
        try:
            outcome = classify(self._venue, request, sent, self._market_data.known_symbol)
        except Exception as error:
            return Outcome(kind=OutcomeKind.UNKNOWN, code="unbelievable_answer", detail=type(error).__name__)
        return outcome if outcome.detail or orders else outcome.model_copy(update={"detail": failure})

    def _create(self, wire: Wire, request: OrderRequest) -> tuple[Any, str]:
        """What ccxt returned, or the name of what it raised: an exception holds the signed request."""
        limit = request.limit_price
        params: dict[str, Any] = {**self._venue.create_params}
        try:
            exchange = self._connect(wire, request.symbol)
            if self._venue.client_id is not None:
                params[self._venue.client_id.create] = self._client_id(request.client_order_id)
            if self._venue.fence is not None:
                params |= pin(self._venue.fence, request, exchange)
            if limit is not None:
                params["timeInForce"] = request.time_in_force.upper()
            kind, price = ("market", None) if limit is None else ("limit", format(limit, "f"))
            with localcontext():  # ccxt leaves its own rounding behind
                quantity = format(request.quantity, "f")
                return exchange.create_order(request.symbol, kind, str(request.side), quantity, price, params), ""
        except BelayError as error:
            return None, str(error)
        except Exception as error:
            return None, type(error).__name__
        finally:
            wire.close()

    def _refused_here(self, request: OrderRequest) -> Outcome | None:
        """What the venue would refuse, or would take otherwise than it was meant, is not sent at all."""
        at = self._market_data.clock.estimate()
        try:
            market, entry = self._market_data.market(request.symbol), self._entry(request.symbol)
            refused = broken_rule(request, market, entry.get("limits") or {}, market_buys=self._venue.market_buys)
        except Exception as error:
            detail = str(error) if isinstance(error, BelayError) else type(error).__name__
            return Outcome(kind=OutcomeKind.NOT_SENT, code="market_unknown", detail=detail, exchange_time=at)
        if refused is None:
            return None
        return Outcome(kind=OutcomeKind.REJECTED, code=f"local_{refused}", exchange_time=at)

    @_evidence
    def cancel(self, symbol: str, client_order_id: str) -> None:
        """By client order id, or by the venue's own where it takes no other."""
        client_id = self._venue.client_id
        if client_id is not None and client_id.cancel is not None:
            named = {client_id.cancel: self._client_id(client_order_id)}
            self._ask("cancel_order", None, symbol, named, market=symbol, urgent=True)
        else:
            seen = self.lookup(symbol, client_order_id)
            if seen is not None:
                self._ask("cancel_order", seen.venue_order_id, symbol, market=symbol, urgent=True)

    # --- what the key may do ---

    @_evidence
    def access(self) -> Access:
        """A public request comes first: a region that is refused must not be taken for a key that is."""
        self._reach()
        rights = None if self._document.sandbox else RIGHTS.get(self._venue.name)
        if rights is None:
            self.balances()  # so much can be told by any venue: the key is accepted, and reads
            told = Access(read=True)
        else:
            document = self._ask(rights.method).document
            told = self._believe("rights of the key", lambda: read_rights(rights, document))
        closed = (symbol for symbol in self._document.symbols if self._entry(symbol).get("active") is False)
        more = tuple(self._key.redaction.told(right) for right in told.more)
        return told.model_copy(update={"more": more, "key": self._key.digest(), "closed": tuple(closed)})

    def _reach(self) -> None:
        wire = open_wire(self._document, self._venue, self._budget)
        with suppress(Exception):  # the wire has seen what was answered; whatever else is wrong shows in the reads
            connect(self._document, self._venue, wire).fetch_time()
        wire.close()
        code = f"http_{wire.last.status}" if wire.last else ""
        if code in RESTRICTED:
            raise AccountRefused(code, f"{self._venue.name} refuses this region or network")

    # --- one read ---

    def _ask(self, method: str, *arguments: Any, market: str | None = None, urgent: bool = False) -> Answer:
        """Ask until an answer can be believed. Reads may be repeated: they change nothing.

        Raises:
            AccountRefused: the venue refuses this account as it is configured.
            VenueUnavailable: no answer, or none that is evidence.
        """
        problem = ""
        for _ in range(READ_TRIES):
            with self._lock:
                call, returned, failure = self._once(method, arguments, market, urgent=urgent)
            answer, problem, again = self._judged(call, returned, failure)
            if answer is not None:
                return answer
            if not again:
                break
        raise self._unavailable(f"{method}: {problem}")

    def _once(
        self, method: str, arguments: tuple[Any, ...], market: str | None, *, urgent: bool
    ) -> tuple[Call | None, Any, str]:
        """One call of ccxt: the last request it made, what it returned, the name of what it raised."""
        self._market_data.time()  # the request is signed with it
        exchange = self._private(market)
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

    def _judged(self, call: Call | None, returned: Any, failure: str) -> tuple[Answer | None, str, bool]:
        """The answer, else what is wrong with it and whether to ask again."""
        if call is None:
            return None, failure or "asked nothing", False
        if call.phase is not Phase.ANSWERED:
            # A connection that was kept while the process was frozen breaks at once; a silent venue is not waited for.
            return None, f"{call.phase}: {call.problem}".rstrip(": "), failure == "NetworkError"
        errors = errors_in(self._venue, call)
        meaning = meaning_of(self._venue, call, errors, READ_MEANINGS)
        code = errors[0].code if errors else f"http_{call.status}"
        if meaning is Meaning.MISSING or self._missing(call, failure):
            return Answer(document=None, returned=None, missing=True), "", False
        if meaning is Meaning.CONFIGURATION:
            self._forget()
            raise AccountRefused(code, f"{self._venue.name} refuses this account: {REMEDY}")
        document = call.document()
        if errors or failure or call.status != OK or not isinstance(document, dict | list):
            return None, f"{code} {failure}".strip(), meaning is Meaning.TRY_AGAIN
        return Answer(document=document, returned=returned), "", False

    def _missing(self, call: Call, failure: str) -> bool:
        """At a venue whose answers are not described ccxt's word has to do; there a miss proves no absence anyway."""
        return self._venue.reading is None and failure == "OrderNotFound" and isinstance(call.document(), dict)

    # --- instances ---

    def _private(self, market: str | None) -> Any:
        """The instance that reads; made anew once the key was refused."""
        if self._reader is None:
            wire = open_wire(self._document, self._venue, self._budget, redact=self._key.redaction.clear)
            self._reader = self._connect(wire, market)
        elif market is not None and market not in self._reader.markets:
            self._load_markets(self._reader, market)
        return self._reader

    def _forget(self) -> None:
        with self._lock:
            self._key.forget()
            if self._reader is not None:
                self._reader.session.close()
            self._reader = None

    def _connect(self, wire: Wire, market: str | None) -> Any:
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

    def _entry(self, symbol: str) -> dict[str, Any]:
        return next((entry for entry in self._market_data.entries(symbol) if entry["symbol"] == symbol), {})

    # --- words ---

    def _client_id(self, order_id: str) -> str:
        return self._venue.client_id.to_venue(order_id) if self._venue.client_id else order_id

    def _symbol_of(self, market_id: str) -> str | None:
        return self._market_data.symbol_of(market_id)

    def _asset_of(self, code: str) -> str | None:
        with self._lock:
            return str(self._private(None).safe_currency_code(code))

    def _believe[T](self, what: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except BelayError:
            raise
        except Exception as error:
            problem = f": {error}" if isinstance(error, Unbelievable) else ""
        raise self._unavailable(f"gave no believable {what}{problem}")

    def _unavailable(self, problem: str) -> VenueUnavailable:
        return VenueUnavailable(f"{self._venue.name} {problem}")


def _rows(answer: Answer, rows: Rows | None) -> list[dict[str, Any]]:
    """The rows of an answer. Where its shape is not described, none is believed only where it shows an empty list."""
    if rows is not None:
        found = rows_of(answer.document, rows)
    else:
        found = answer.returned if isinstance(answer.returned, list) else None
        if found == [] and not _shows_nothing(answer.document):
            found = None
    if answer.missing or found is None:
        raise Unbelievable("shape")
    return found


def _shows_nothing(document: Any) -> bool:
    """Whether an empty list is to be seen anywhere in an answer."""
    if isinstance(document, dict):
        return any(_shows_nothing(value) for value in document.values())
    return isinstance(document, list) and not document


def broken_rule(request: OrderRequest, market: Market, limits: dict[str, Any], *, market_buys: bool) -> str | None:
    """The first rule of the venue that a request breaks, such as `price_tick`.

    Args:
        limits: ccxt's, whose largest values `market` leaves out.
        market_buys: whether a market order can buy a quantity of the base currency.
    """
    quantity, price = request.quantity, request.limit_price
    notional = None if price is None else quantity * price
    largest = [_most(limits, "amount")] if price is not None else [_most(limits, "amount"), _most(limits, "market")]
    broken = {
        "market_buy": price is None and request.side is Side.BUY and not market_buys,
        "quantity_step": market.floor_quantity(quantity) != quantity,
        "price_tick": price is not None and market.round_price(price, request.side) != price,
        "min_quantity": quantity < market.min_quantity,
        "max_quantity": quantity > min(largest),
        "min_notional": notional is not None and notional < market.min_notional,
        "max_notional": notional is not None and notional > _most(limits, "cost"),
    }
    return next((rule for rule, is_broken in broken.items() if is_broken), None)


def _most(limits: dict[str, Any], of: str) -> Decimal:
    """The largest value that a venue takes; zero and nothing mean that it names none."""
    return Decimal((limits.get(of) or {}).get("max") or 0) or LARGEST
