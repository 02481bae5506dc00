"""The paper venue's matching engine: pure functions on an immutable state. No I/O, no clock, no look-ahead.

A market order takes the current price, moved against it by the slippage, and at most `participation` of the
last closed candle's volume; what is left takes the opens of later candles, each once. A limit order that
crosses the current price on arrival takes likewise, at its limit or better; otherwise it rests and fills at
its limit when a later candle, opened at or after its arrival, has closed and traded through the limit. Fees
are taken in the asset that the settings name.

Funds of open orders are locked, so no balance ever goes negative. Matching is driven by candles in time
order, each order remembering the last candle it was matched with: how often it is advanced makes no
difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from belay.adapters.paper.book import Book, cross, make, take
from belay.adapters.paper.market import Bar, Quote, Tape
from belay.adapters.paper.refusals import REFUSALS, Arrival
from belay.adapters.paper.state import ACCEPTED, PaperOrder, Step, Submission, VenueState
from belay.domain.decisions import TimeInForce
from belay.domain.documents import PaperSettings
from belay.domain.flows import VenueFlow
from belay.domain.venues import OrderRequest, VenueStatus

# A step is stored in one transaction of at most 100 items: it ends early when it has this many.
MAX_ITEMS = 80


def advance(
    state: VenueState,
    settings: PaperSettings,
    tapes: Mapping[str, Tape],
    until: datetime,
    dated: datetime | None = None,
) -> Step:
    """Match the open orders against the market up to `until`, or as far as every tape reaches.

    Args:
        tapes: by symbol, for each symbol with open orders, without a gap since they were last matched.
        dated: the venue time to report fills at where candles become known late; None: each at its own time.
    """
    book = Book(state, settings)
    horizon = min([until, *(tape.until for tape in tapes.values())])
    for event in _events(state, tapes, horizon):
        if book.items >= MAX_ITEMS:
            return book.step(complete=False)
        order = book.orders.get(event.venue_order_id)
        if order is None:
            continue
        order = book.keep(order, matched=event.bar.open_time)
        at = dated or event.at
        if order.limit_price is None:
            take(book, order, Quote(price=event.bar.open, volume=event.bar.volume_before, at=event.at), at)
        else:
            make(book, order, event.bar, at)
    return book.step(complete=horizon == until)


def receive(
    state: VenueState,
    settings: PaperSettings,
    symbols: Sequence[str],
    request: OrderRequest,
    quote: Quote | None,
    at: datetime,
    submission_id: str,
    refused: str = "",
) -> Step:
    """Judge a request at venue time `at`; if it is accepted, match it at once. Either way it is recorded.

    Args:
        state: already advanced to `at`.
        quote: None for a symbol that is not in `symbols`.
        refused: a code to refuse it with, whatever it asks for; no quote is needed then.
    """
    book = Book(state, settings)
    arrival = Arrival(book, request, symbols, quote, at)
    code = refused or next((code for code, refuses in REFUSALS if refuses(arrival)), ACCEPTED)
    shown = _accept(arrival).shown() if code == ACCEPTED else None
    submission = Submission(
        submission_id=submission_id,
        sequence=state.next_submission,
        received_at=at,
        request=request,
        code=code,
        venue_order=shown,
    )
    step = book.step(time=at, next_submission=state.next_submission + 1)
    return step.model_copy(update={"submission": submission})


def take_rest(state: VenueState, settings: PaperSettings, venue_order_id: str, quote: Quote, at: datetime) -> Step:
    """Offer an open order the market once more, as if it arrived now; without such an order nothing happens."""
    order = state.orders.get(venue_order_id)
    if order is None:
        return Step(state=state)
    book = Book(state, settings)
    (take if order.limit_price is None else cross)(book, order, quote, at)
    return book.step(time=at)


def cancel(state: VenueState, settings: PaperSettings, symbol: str, client_order_id: str, at: datetime) -> Step:
    """Take an open order out of the book; without such an order nothing happens."""
    order = open_order(state, symbol, client_order_id)
    if order is None:
        return Step(state=state)
    book = Book(state, settings)
    book.close(order, VenueStatus.CANCELLED, at)
    return book.step(time=at)


def move(state: VenueState, settings: PaperSettings, flow: VenueFlow, *, recorded: bool, at: datetime) -> Step:
    """Let something come or go without a trade; `recorded`: the venue's own records tell it."""
    book = Book(state, settings)
    book.move(flow)
    return book.step(time=at, movements=(*state.movements, flow) if recorded else state.movements)


def open_order(state: VenueState, symbol: str, client_order_id: str) -> PaperOrder | None:
    """The open order under a client order id: there is at most one."""
    wanted = (symbol, client_order_id)
    return next((order for order in state.orders.values() if (order.symbol, order.client_order_id) == wanted), None)


def _accept(arrival: Arrival) -> PaperOrder:
    book, request, quote, at = arrival.book, arrival.request, arrival.market_quote, arrival.at
    order = book.open(request, request.limit_price or quote.price, at)
    order = (take if request.limit_price is None else cross)(book, order, quote, at)
    if order.status is VenueStatus.OPEN and request.time_in_force is TimeInForce.IOC:
        return book.close(order, VenueStatus.EXPIRED, at)
    return order


# --- an order meets candles -----------------------------------------------------------------------

# What a candle traded comes before what the next one opens at.
AT_CLOSE, AT_OPEN = 0, 1


class _Event(NamedTuple):
    """An order meets a candle: when, and in which turn among the events then. They sort by their fields."""

    at: datetime
    turn: int
    symbol: str
    venue_order_id: str
    bar: Bar


def _events(state: VenueState, tapes: Mapping[str, Tape], until: datetime) -> list[_Event]:
    met = (event for order in state.orders.values() for event in _meetings(order, tapes[order.symbol].bars))
    return sorted((event for event in met if event.at <= until), key=lambda event: event[:4])


def _meetings(order: PaperOrder, tape: Sequence[Bar]) -> Iterator[_Event]:
    for bar in tape:
        if not order.waits_for(bar):
            continue
        if order.limit_price is None:
            yield _Event(bar.open_time, AT_OPEN, order.symbol, order.venue_order_id, bar)
        elif bar.closed is not None:
            yield _Event(bar.close_time, AT_CLOSE, order.symbol, order.venue_order_id, bar)
