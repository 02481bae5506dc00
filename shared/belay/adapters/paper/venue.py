"""The paper venue: a simulated exchange account behind the same port as a live one. Never talks to a real
account.

Its books are stored, so every process sees the same venue. Each call first matches what the market did since
the last one; a change is one conditional write, and whoever loses the race computes it again from what is
stored then.

The fence is the matching engine's own: each request is judged against the venue time of the very state it is
written over. A look-up that finds nothing first records its time in that state, so no request judged earlier
can land later.
"""

import random
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from belay.adapters.paper import engine
from belay.adapters.paper.market import Quote, Tape, paper_market, visible_bars
from belay.adapters.paper.state import ACCEPTED, SUSPENDED, VENUE, PaperOrder, Step, VenueState
from belay.adapters.paper.store import PaperStore
from belay.domain.checkup import Access
from belay.domain.documents import AccountDocument, PaperSettings
from belay.domain.errors import Conflict, InvalidInput, VenueUnavailable
from belay.domain.flows import FlowKind, FlowPage, VenueFlow
from belay.domain.market import Candle, Market, Price
from belay.domain.record import ZERO
from belay.domain.slots import TIMEFRAMES
from belay.domain.venues import (
    Balances,
    Fence,
    OrderRequest,
    Outcome,
    OutcomeKind,
    TradePage,
    VenueOrder,
    VenueProfile,
)
from belay.ports import MarketData

# Client order ids are unique among open orders only, and trades do not carry them: as hard as venues get.
PAPER_PROFILE = VenueProfile(
    name=VENUE,
    uniqueness="open_only",
    fence=Fence(window_seconds=10, grace_seconds=2, definitive=True),
    miss_spacing_seconds=1,
    history_lag_seconds=0,
    closed_retention_seconds=10 * 365 * 86_400,
    resend="after_absence",
    submit_timeout_seconds=10,
)

# What each of the venue's answers proves. A code that is not listed proves nothing.
OUTCOMES = {
    ACCEPTED: OutcomeKind.ACCEPTED,
    "FENCE_PASSED": OutcomeKind.NOT_SENT,
    "NOT_DELIVERED": OutcomeKind.NOT_SENT,
    "FENCE_REQUIRED": OutcomeKind.REJECTED,
    "INVALID_CLIENT_ORDER_ID": OutcomeKind.REJECTED,
    "INVALID_SYMBOL": OutcomeKind.REJECTED,
    "LOT_SIZE": OutcomeKind.REJECTED,
    "PRICE_FILTER": OutcomeKind.REJECTED,
    "MIN_NOTIONAL": OutcomeKind.REJECTED,
    "MAX_NUM_ORDERS": OutcomeKind.REJECTED,
    "INSUFFICIENT_FUNDS": OutcomeKind.REJECTED,
    SUSPENDED: OutcomeKind.REJECTED,
}

TRIES = 20
LIVE_TIMEFRAME = "1m"
LIVE_BARS = 500


class Feed(Protocol):
    """The market that the venue matches against. Raises `VenueUnavailable` where it has nothing.

    `lags`: candles become known only some time after they closed, so that fills are dated when they are
    found.
    """

    lags: bool

    def time(self) -> datetime: ...
    def quote(self, symbol: str, at: datetime) -> Quote: ...
    def tape(self, symbol: str, start: datetime, at: datetime) -> Tape:
        """The bars from the one before `start` up to `at`, or the earlier part of them."""


class LiveFeed:
    """A live exchange's public market: the last price, and closed one-minute candles."""

    lags = True

    def __init__(self, market_data: MarketData) -> None:
        self._market_data = market_data

    def time(self) -> datetime:
        return self._market_data.time()

    def quote(self, symbol: str, at: datetime) -> Quote:
        price = self._market_data.price(symbol)
        closed = self._market_data.candles(symbol, LIVE_TIMEFRAME, at, 1)
        return Quote(price=price.value, volume=closed[-1].volume if closed else ZERO, at=price.at)

    def tape(self, symbol: str, start: datetime, at: datetime) -> Tape:
        """Orders that were left alone for longer than `LIVE_BARS` minutes miss what the market did before."""
        count = (at - start) // TIMEFRAMES[LIVE_TIMEFRAME] + 2
        candles = self._market_data.candles(symbol, LIVE_TIMEFRAME, at, min(count, LIVE_BARS))
        return Tape(bars=visible_bars(candles, LIVE_TIMEFRAME, at), until=at)


class PaperMarketData:
    """Implements `ports.MarketData`: a live exchange's, under the filters and fees of the paper account."""

    def __init__(self, market_data: MarketData, settings: PaperSettings) -> None:
        self._market_data = market_data
        self._settings = settings

    def time(self) -> datetime:
        return self._market_data.time()

    def market(self, symbol: str) -> Market:
        return paper_market(symbol, self._settings)

    def price(self, symbol: str) -> Price:
        return self._market_data.price(symbol)

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        return self._market_data.candles(symbol, timeframe, until, limit)


# What follows upon the state as matched up to a venue time. It may be asked again, about a later state.
Act = Callable[[Step, datetime], Step]


class PaperVenue:
    """Implements `ports.Venue` for one paper account.

    Args:
        document: the account's, of mode paper.
        feed: a `ReplayFeed`, or a `LiveFeed` of the exchange that the document names.
        new_id: gives fresh unique ids.
        pause: waits a number of seconds before a lost race is run again.
    """

    profile = PAPER_PROFILE

    def __init__(
        self,
        document: AccountDocument,
        store: PaperStore,
        feed: Feed,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if document.paper is None:
            raise InvalidInput("account", f"{document.account} is not a paper account", "Set mode paper.")
        self._settings = document.paper
        self._symbols = document.symbols
        self._store = store
        self._feed = feed
        self._new_id = new_id
        self._pause = pause

    # --- reads ---

    def balances(self) -> Balances:
        state, at = self._current()
        return Balances(total=dict(state.balances), at=at)

    def open_orders(self) -> tuple[VenueOrder, ...]:
        state, _ = self._current()
        return tuple(order.shown() for order in state.orders.values())

    def flows(self, start: datetime, end: datetime) -> FlowPage:
        state, _ = self._current()
        return FlowPage(flows=tuple(flow for flow in state.movements if start <= flow.at <= end), read_until=end)

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        self._current()
        return self._store.trades(symbol, start, end, page)

    def lookup(self, symbol: str, client_order_id: str, venue_order_id: str | None = None) -> VenueOrder | None:
        """The open order of this id, else the latest closed one. A miss shuts out requests judged earlier."""
        found: list[PaperOrder] = []

        def look(now: Step, at: datetime) -> Step:
            if venue_order_id is None:
                found[:] = self._find(now, at, symbol, client_order_id)
            else:
                found[:] = self._find_by_venue_id(now, symbol, venue_order_id)
            return Step(state=now.state if found else now.state.model_copy(update={"time": at}))

        self._evidence(look)
        return found[0].shown() if found else None

    def _find(self, now: Step, _at: datetime, symbol: str, client_order_id: str) -> list[PaperOrder]:
        """Open, closed by this very step, or closed before: the latest first."""
        if order := engine.open_order(now.state, symbol, client_order_id):
            return [order]
        just_closed = [order for order in reversed(now.closed) if order.client_order_id == client_order_id]
        closed = [*just_closed, *self._store.closed_orders(client_order_id)]
        return [order for order in closed if order.symbol == symbol]

    def _find_by_venue_id(self, now: Step, symbol: str, venue_order_id: str) -> list[PaperOrder]:
        closed = self._store.closed_order(venue_order_id)
        known = (*now.state.orders.values(), *now.closed, *((closed,) if closed else ()))
        return [order for order in known if (order.symbol, order.venue_order_id) == (symbol, venue_order_id)]

    def _current(self) -> tuple[VenueState, datetime]:
        """The state matched up to venue time, and that time."""
        times: list[datetime] = []

        def read(now: Step, at: datetime) -> Step:
            times.append(at)
            return Step(state=now.state)

        step = self._evidence(read)
        return step.state, times[-1]

    # --- orders ---

    def submit(self, request: OrderRequest) -> Outcome:
        """Send once. Never raises; once a write was tried, whatever goes wrong leaves the outcome unknown."""
        submission_id, tried = self._new_id(), False

        def receive(now: Step, at: datetime) -> Step:
            nonlocal tried
            step = self._receive(now.state, request, submission_id, at)
            tried = True
            return step

        try:
            step = self._transact(receive)
        except Exception as error:
            return outcome("NO_ANSWER" if tried else "NOT_DELIVERED", detail=f"{type(error).__name__}: {error}")
        return self._answer(step)

    def _receive(self, state: VenueState, request: OrderRequest, submission_id: str, at: datetime) -> Step:
        quote = self._quote(request, at)
        return engine.receive(state, self._settings, self._symbols, request, quote, at, submission_id)

    def _quote(self, request: OrderRequest, at: datetime) -> Quote | None:
        return self._feed.quote(request.symbol, at) if request.symbol in self._symbols else None

    def _answer(self, step: Step) -> Outcome:
        submission = step.submission
        if submission is None:
            return outcome("NO_ANSWER")
        return outcome(submission.code, order=submission.venue_order, at=submission.received_at)

    def cancel(self, symbol: str, client_order_id: str) -> None:
        self._evidence(lambda now, at: engine.cancel(now.state, self._settings, symbol, client_order_id, at))

    def move(self, kind: FlowKind, *, recorded: bool = True, **amounts: str) -> None:
        """A person deposits, withdraws or converts at the venue: by asset, negative what goes."""

        def act(now: Step, at: datetime) -> Step:
            flow = VenueFlow(
                flow_id=f"{kind}:{self._new_id()}",
                kind=kind,
                amounts={asset: Decimal(amount) for asset, amount in amounts.items()},
                at=at,
                evidence=f"{kind} at the paper venue",
            )
            return engine.move(now.state, self._settings, flow, recorded=recorded, at=at)

        self._evidence(act)

    def access(self) -> Access:
        """Needs no key: whoever may write the table may trade on paper."""
        return Access(read=True, trade=True, cancel=True, withdraw=False)

    # --- one change ---

    def _evidence(self, act: Act) -> Step:
        try:
            return self._transact(act)
        except Conflict as conflict:
            raise VenueUnavailable("the paper venue is busy") from conflict

    def _transact(self, act: Act) -> Step:
        """Match up to now, act on the result and store both, as one change of the state.

        Raises:
            Conflict: others kept changing the state.
        """
        lost = 0
        while True:
            now = self._feed.time()
            state = self._store.state() or VenueState(balances=self._settings.balances)
            at = max(now, state.time or now)
            step = self._advanced(state, at)
            if step.complete:
                step = step.then(act(step, at))
            try:
                if step.state != state:
                    self._commit(step)
            except Conflict:
                # It may have lost to itself: written, the response lost, repeated.
                if step.complete and (stored := self._stored(step)):
                    return stored
                lost += 1
                if lost == TRIES:
                    raise
                self._pause(random.uniform(0, 0.01 * min(lost, 10)))  # noqa: S311 a pause
                continue
            if step.complete:
                return step

    def _commit(self, step: Step) -> None:
        self._store.commit(step)

    def _stored(self, step: Step) -> Step | None:
        """A step that left a record of its own, as that was stored; None where it was not."""
        stored = self._store.submission(step.submission.submission_id) if step.submission else None
        return step.model_copy(update={"submission": stored}) if stored else None

    def _advanced(self, state: VenueState, at: datetime) -> Step:
        """Match the open orders up to `at`, or as far as the bars reach that one read gives."""
        starts: dict[str, datetime] = {}
        for order in state.orders.values():
            since = order.matched or order.arrived_at
            starts[order.symbol] = min(since, starts.get(order.symbol, since))
        tapes = {symbol: self._feed.tape(symbol, start, at) for symbol, start in starts.items()}
        return engine.advance(state, self._settings, tapes, at, dated=at if self._feed.lags else None)


def outcome(code: str, *, order: VenueOrder | None = None, at: datetime | None = None, detail: str = "") -> Outcome:
    kind = OUTCOMES.get(code, OutcomeKind.UNKNOWN)
    return Outcome(kind=kind, code=code, detail=detail, venue_order=order, exchange_time=at)
