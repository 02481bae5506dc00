"""One live account at a venue, through ccxt's synchronous class. Sends an order once and repeats nothing of it.

What an answer means is decided from the raw answer, by the venue's profile; ccxt builds and signs the requests. A read
gives evidence, with what it does not understand named among it, or raises `VenueUnavailable`. No key, and nothing that
could hold one, leaves the account: the transport takes it out of every answer, every text is redacted before it is cut,
and exceptions are never chained to ccxt's.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import localcontext
from functools import wraps
from typing import Any, Concatenate

from belay.adapters.live.account_market import LiveMarketData
from belay.adapters.live.bounds import Deadline, within
from belay.adapters.live.connect import connect, open_wire, timeouts
from belay.adapters.live.fence import pin
from belay.adapters.live.filters import broken_rule
from belay.adapters.live.flows import FlowReader
from belay.adapters.live.history import Found, Query, Window, read_page
from belay.adapters.live.key import Key
from belay.adapters.live.outcomes import Sent, classify
from belay.adapters.live.profiles.answers import Rows, rows_of
from belay.adapters.live.profiles.model import CcxtProfile, Lookup
from belay.adapters.live.reading import Unbelievable, read_account, read_order, read_rights
from belay.adapters.live.redaction import CODE_LENGTH
from belay.adapters.live.rows import UnreadOrder, Wallets, read_balances, read_orders, read_trades, unified_balances
from belay.adapters.live.signed import Answer, SignedRequests
from belay.adapters.live.wire import Budget, Wire
from belay.domain.checkup import RESTRICTED, Access
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, BelayError, VenueUnavailable
from belay.domain.flows import FlowPage
from belay.domain.venues import (
    Balances,
    OrderRequest,
    Outcome,
    OutcomeKind,
    TradePage,
    UnreadRow,
    VenueOrder,
    VenueStatus,
)


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
            kind = type(error) if isinstance(error, VenueUnavailable) else VenueUnavailable
            left = kind(told(error))
        except Exception as error:
            left = venue._signed.unavailable(f"{read.__name__} failed: {type(error).__name__}")
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
        self._signed = SignedRequests(document, profile, market_data, key, budget)
        self._flows = FlowReader(profile, document, self._signed, key.redaction.told)
        self._window: tuple[datetime, dict[tuple[Any, ...], Found]] | None = None

    # --- reads ---

    @_evidence
    def balances(self) -> Balances:
        answer = self._signed.ask("fetch_balance")
        read = self._believe("balances", lambda: self._wallets(answer))
        return Balances(
            total=read.total,
            at=self._market_data.time(),
            free=read.free,
            decimals=read.decimals,
            unread=read.unread,
            account=read_account(answer.document, self._venue.reading.account if self._venue.reading else ""),
        )

    def _wallets(self, answer: Answer) -> Wallets:
        reading, signed = self._venue.reading, self._signed
        if reading is None:
            return unified_balances(answer.returned, self._told)
        rows = _rows(answer, reading.balance_rows)
        return read_balances(reading.balances, rows, signed.asset_of, signed.decimals_of, self._told)

    @_evidence
    def open_orders(self) -> tuple[VenueOrder | UnreadRow, ...]:
        reading = self._venue.reading
        found = self._orders(self._signed.ask("fetch_open_orders"), reading.open_rows if reading else None)
        return tuple(seen.row if isinstance(seen, UnreadOrder) else seen for seen in found)

    @_evidence
    def lookup(self, symbol: str, client_order_id: str, venue_order_id: str | None = None) -> VenueOrder | None:
        """By each of the profile's look-ups in its order; the open order, else the latest closed one."""
        if venue_order_id is not None:
            return self._by_venue_id(symbol, venue_order_id)
        for lookup in self._venue.lookups:
            found = [o for o in self._look(lookup, symbol, client_order_id) if o.client_order_id == client_order_id]
            if found:
                return max(found, key=lambda order: (order.status is VenueStatus.OPEN, order.updated_at))
        return None

    def _by_venue_id(self, symbol: str, venue_order_id: str) -> VenueOrder | None:
        """Where the venue shows a single order; elsewhere nothing is found that its lists do not show."""
        if all(lookup.method != "fetch_order" for lookup in self._venue.lookups):
            return None
        answer = self._signed.ask("fetch_order", venue_order_id, symbol, market=symbol)
        if answer.missing:
            return None
        found = self._single(answer)
        if (found.symbol, found.venue_order_id) != (symbol, venue_order_id):
            raise self._signed.unavailable("showed another order than was asked for")
        return found

    def _look(self, lookup: Lookup, symbol: str, client_order_id: str) -> tuple[VenueOrder, ...]:
        """The readable orders that it shows. What is not understood may be passed over only where it is another's."""
        filtered = {lookup.param: self._client_id(client_order_id)} if lookup.param else {}
        single = lookup.method == "fetch_order"
        arguments = (None, symbol, filtered) if single else (symbol, None, None, filtered)
        answer = self._signed.ask(lookup.method, *arguments, market=symbol)
        if answer.missing:
            return ()
        found = (self._single(answer),) if single else self._orders(answer, self._closed_or_open_rows(lookup))
        unread = [seen for seen in found if isinstance(seen, UnreadOrder)]
        orders = tuple(seen for seen in found if not isinstance(seen, UnreadOrder))
        doubt = next((seen.row for seen in unread if filtered or seen.may_be(client_order_id)), None)
        if doubt is not None:
            raise self._signed.not_understood(f"shows what may be this order: {doubt.reference}, {doubt.problem}")
        if filtered and any(order.client_order_id != client_order_id for order in orders):
            raise self._signed.not_understood("showed another order than was asked for")
        return orders

    def _closed_or_open_rows(self, lookup: Lookup) -> Rows | None:
        reading = self._venue.reading
        if reading is None:
            return None
        return reading.open_rows if lookup.method == "fetch_open_orders" else reading.closed_rows

    def _single(self, answer: Answer) -> VenueOrder:
        row = answer.returned if self._venue.reading is None else answer.document
        if not isinstance(row, dict):
            raise self._signed.not_understood("gave no believable order")
        return self._believe("order", lambda: read_order(self._venue, row, self._symbol_of))

    def _orders(self, answer: Answer, rows: Rows | None) -> tuple[VenueOrder | UnreadOrder, ...]:
        return self._believe(
            "list of orders",
            lambda: read_orders(self._venue, _rows(answer, rows), self._symbol_of, self._told),
        )

    @_evidence
    def flows(self, start: datetime, end: datetime) -> FlowPage:
        return self._believe("list of flows", lambda: self._flows.read(start, end))

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
        with self._signed.lock:
            if self._window is None or self._window[0] != end:
                self._window = (end, {})
            known, key = self._window[1], tuple(sorted(query.params.items()))
            if key not in known:
                known[key] = self._fetch_trades(query)
            return known[key]

    def _fetch_trades(self, query: Query) -> Found:
        answer = self._signed.ask(
            "fetch_my_trades", query.symbol, query.since, query.limit, query.params, market=query.symbol
        )
        rows = _rows(answer, self._venue.reading.trade_rows if self._venue.reading else None)
        read = read_trades(self._venue, rows, self._symbol_of, self._signed.asset_of, self._told)
        return Found(read, answer.document)

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
            exchange = self._signed.connect(wire, request.symbol)
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
            self._signed.ask("cancel_order", None, symbol, named, market=symbol, urgent=True)
        else:
            seen = self.lookup(symbol, client_order_id)
            if seen is not None:
                self._signed.ask("cancel_order", seen.venue_order_id, symbol, market=symbol, urgent=True)

    # --- what the key may do ---

    @_evidence
    def access(self) -> Access:
        """A public request comes first: a region that is refused must not be taken for a key that is."""
        self._reach()
        rights = None if self._document.sandbox else self._venue.rights
        if rights is None:
            # So much can be told by any venue: the key is accepted, and reads.
            told = Access(read=True, account=self.balances().account)
        else:
            document = self._signed.ask(rights.method).document
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

    # --- words ---

    def _entry(self, symbol: str) -> dict[str, Any]:
        return next((entry for entry in self._market_data.entries(symbol) if entry["symbol"] == symbol), {})

    def _client_id(self, order_id: str) -> str:
        return self._venue.client_id.to_venue(order_id) if self._venue.client_id else order_id

    def _symbol_of(self, market_id: str) -> str | None:
        return self._market_data.symbol_of(market_id)

    def _told(self, text: object) -> str:
        return self._key.redaction.told(text)

    def _believe[T](self, what: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except BelayError:
            raise
        except Exception as error:
            problem = f": {error}" if isinstance(error, Unbelievable) else ""
        raise self._signed.not_understood(f"gave no believable {what}{problem}")


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
