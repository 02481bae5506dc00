"""The paper venue with faults on purpose: answers get lost, requests come late or never, fills hide, processes end.

For paper accounts that ask for it, never for another. What is injected is dealt by seed, and every fault is a row of
the venue's books, written in the very transaction that makes it true, before anybody can notice it:

    the delivery's number + what becomes of the request + its fault rows     one write, all or nothing
    then                                                                     an answer, none, or the end of the process

No fault is worse than the venue's profile says: who keeps to the profile is never misled.
"""

import os
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from belay.adapters.paper import engine
from belay.adapters.paper.deck import CRASH_KINDS, DECK, ORDERLY, Card, Hand, Way, dealt_card, dealt_hand
from belay.adapters.paper.market import Quote, paper_market
from belay.adapters.paper.state import (
    SUSPENDED,
    Delivery,
    FaultKind,
    InjectedFault,
    PaperOrder,
    Rest,
    Step,
    VenueState,
    numbered,
)
from belay.adapters.paper.store import PaperStore
from belay.adapters.paper.venue import PAPER_PROFILE, Feed, PaperVenue, outcome
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.record import ZERO
from belay.domain.venues import Fence, OrderRequest, Outcome, TradePage, VenueOrder, VenueStatus, VenueTrade

Kind = FaultKind

# Every lag below is within what this says: the look-ups' within the grace, the fills' within the history lag.
FAULTY_PROFILE = PAPER_PROFILE.model_copy(
    update={"fence": Fence(window_seconds=10, grace_seconds=8, definitive=True), "history_lag_seconds": 20}
)

# Bounds in seconds, both included.
DELAY = (3, 8)  # from sending to an arrival that is late, but never behind the fence
PAST_FENCE = (1, 4)  # from the fence to an arrival that is too late
LOOKUP_LAG = (2, 5)  # from placing to the first look-up that shows the order
HISTORY_LAG = (5, 15)  # from a trade to the first history that shows it
REST_AFTER = (3, 6)  # from placing to the second trade of a partial fill
FIRST_LAG = (12, 15)  # the history lag of a first trade that shows after the second
PART = (20, 80)  # per cent of an order that fill at once
CRASH_STATUS = 1
MOST_LOST = 3  # deliveries of one exit


# What its sender learns of a delivery that met one of these; otherwise the venue's own answer.
ANSWERS = {
    Kind.ANSWER_LOST: "NO_ANSWER",
    Kind.DELAYED: "NO_ANSWER",
    Kind.EXPIRED: "NO_ANSWER",
    Kind.DROPPED: "NO_ANSWER",
    Kind.SERVER_ERROR: "INTERNAL_SERVER_ERROR",
}
# What a row says that has nothing more to say, by kind and whether the request was placed.
DETAILS = {
    (Kind.ANSWER_LOST, True): "accepted, and the answer is lost",
    (Kind.SERVER_ERROR, True): "answered with 500, although it was placed",
    (Kind.SERVER_ERROR, False): "answered with 500, and not placed",
    (Kind.DROPPED, False): "the request never arrives, and nobody answers",
    (Kind.REFUSED, False): "the venue takes no new buys",
    (Kind.CRASH_BEFORE_SEND, False): "the process ends before the request leaves",
    (Kind.CRASH_AFTER_ACCEPT, True): "accepted, and the process ends before it hears of it",
}


# --- the venue ------------------------------------------------------------------------------------


class FaultyPaperVenue(PaperVenue):
    """Implements `ports.Venue` for one paper account whose document asks for faults.

    Args:
        end_process: ends this process with an exit status, at once and without any clean-up.

    Raises:
        InvalidInput: the document is not one of mode paper with `paper.faults`.
    """

    profile = FAULTY_PROFILE

    def __init__(
        self,
        document: AccountDocument,
        store: PaperStore,
        feed: Feed,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        pause: Callable[[float], None] = time.sleep,
        end_process: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(document, store, feed, new_id, pause)
        if document.mode != "paper" or self._settings.faults is None:
            problem = f"{document.account} is not a paper account with faults"
            raise InvalidInput("account.paper.faults", problem, "Use the venue without faults.")
        self._faults = self._settings.faults
        self._end_process = end_process

    # --- reads: what is hidden is not shown ---

    def open_orders(self) -> tuple[VenueOrder, ...]:
        state, at = self._current()
        return tuple(order.shown() for order in state.orders.values() if _order_shows(order, state, at))

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        state, at = self._current()
        found = self._store.trades(symbol, start, end, page)
        return found.model_copy(update={"trades": tuple(t for t in found.trades if _trade_shows(t, state, at))})

    def _find(self, now: Step, at: datetime, symbol: str, client_order_id: str) -> list[PaperOrder]:
        found = super()._find(now, at, symbol, client_order_id)
        return [order for order in found if _order_shows(order, now.state, at)]

    # --- a request is sent ---

    def _receive(self, state: VenueState, request: OrderRequest, submission_id: str, at: datetime) -> Step:
        sequence = state.faults.deliveries + 1
        card = self._card(state, request, sequence, at)
        delivery = Delivery(sequence=sequence, request=request, submission_id=submission_id, at=at)
        lost = (*state.faults.lost, request.client_order_id)[-len(DECK) :] if card.is_lost else state.faults.lost
        state = _with_faults(state, deliveries=sequence, lost=lost)
        if card.kind is None:
            return self._place(state, delivery)
        return WAYS[card.way](self, state, delivery, card.kind)

    def _card(self, state: VenueState, request: OrderRequest, sequence: int, at: datetime) -> Card:
        """As dealt; but who comes without a fence or behind it hears that, and exits are never refused nor lost for
        good: an exit is sent again, and may be lost only so often that it gets through before it lapses."""
        card = dealt_card(self._faults, sequence, state.faults.crashes)
        fenced_off = request.fence_at is None or at >= request.fence_at
        lost_enough = card.is_lost and state.faults.lost.count(request.client_order_id) >= MOST_LOST
        spared = request.side is Side.SELL and (card.way is Way.REFUSED or lost_enough)
        return ORDERLY if fenced_off or spared else card

    def _accept(self, state: VenueState, delivery: Delivery, kind: FaultKind) -> Step:
        """Placed, but its sender does not hear of it. What the venue itself refuses is answered as ever."""
        step = self._place(state, delivery)
        return _told(step, delivery, kind, placed=True) if _placed(step) else step

    def _lose(self, state: VenueState, delivery: Delivery, kind: FaultKind) -> Step:
        return _told(Step(state=state), delivery, kind, placed=False)

    def _refuse(self, state: VenueState, delivery: Delivery, kind: FaultKind) -> Step:
        step = self._judge(state, delivery, None, SUSPENDED)
        return _told(step, delivery, kind, placed=False)

    def _send_later(self, state: VenueState, delivery: Delivery, kind: FaultKind) -> Step:
        fence_at = delivery.request.fence_at or delivery.at
        if kind is Kind.EXPIRED:
            arrival = fence_at + self._seconds(delivery, "past the fence", PAST_FENCE)
        else:
            arrival = min(delivery.at + self._seconds(delivery, "delay", DELAY), fence_at)
        on_its_way = delivery.model_copy(update={"at": arrival})
        step = Step(state=_with_faults(state, coming=(*state.faults.coming, on_its_way)))
        told = f"nobody answers, and it reaches the venue at {arrival:%H:%M:%S}"
        return _told(step, delivery, kind, placed=kind is Kind.DELAYED, detail=told)

    def _answer(self, step: Step) -> Outcome:
        kinds = [fault.kind for fault in step.faults]
        if any(kind in CRASH_KINDS for kind in kinds):
            self._end_process(CRASH_STATUS)
        unheard = next((ANSWERS[kind] for kind in kinds if kind in ANSWERS), None)
        return super()._answer(step) if unheard is None else outcome(unheard)

    # --- one write ---

    def _commit(self, step: Step) -> None:
        """Where the table's answer is lost, the books tell whether it was written: what a row says must then happen."""
        try:
            super()._commit(step)
        except VenueUnavailable:
            if not (step.complete and self._stored(step)):
                raise

    def _stored(self, step: Step) -> Step | None:
        told = any(self._store.fault(fault.sequence, fault.kind) == fault for fault in step.faults)
        return step if told else super()._stored(step)

    # --- a request arrives ---

    def _place(self, state: VenueState, delivery: Delivery) -> Step:
        """The venue's own judgement; what it accepts may fill in part, and show late."""
        hand, quote = dealt_hand(self._faults, state.next_order), self._quote(delivery.request, delivery.at)
        step = self._judge(state, delivery, self._thinned(quote, delivery) if hand.partial else quote)
        order = _placed(step)
        if order is None:
            return step
        if hand.partial and ZERO < order.filled_quantity < order.quantity:
            step = self._leave_a_rest(step, delivery, order, hand)
        if hand.late and step.trades:
            step = self._hide_trades(step, delivery, hand)
        return self._hide_order(step, delivery, order) if hand.lagging else step

    def _judge(self, state: VenueState, delivery: Delivery, quote: Quote | None, refused: str = "") -> Step:
        request, at, submission_id = delivery.request, delivery.at, delivery.submission_id
        return engine.receive(state, self._settings, self._symbols, request, quote, at, submission_id, refused)

    def _thinned(self, quote: Quote | None, delivery: Delivery) -> Quote | None:
        """A market that gives only a part of what is asked for, if that can be parted."""
        quantity = delivery.request.quantity
        share = Decimal(self._number(delivery, "part", PART)) / 100
        part = paper_market(delivery.request.symbol, self._settings).floor_quantity(quantity * share)
        return quote.model_copy(update={"most": part}) if quote and ZERO < part < quantity else quote

    def _leave_a_rest(self, step: Step, delivery: Delivery, order: VenueOrder, hand: Hand) -> Step:
        told = f"{order.filled_quantity} of {order.quantity} fill at once"
        step = _told(step, delivery, Kind.PARTIAL_FILL, placed=True, detail=told)
        if order.status is not VenueStatus.OPEN:
            return step
        rest = Rest(
            sequence=delivery.sequence,
            request=delivery.request,
            venue_order_id=order.venue_order_id,
            first_from=self._trades_from(delivery, hand) if hand.late else None,
            at=delivery.at + self._seconds(delivery, "rest", REST_AFTER),
        )
        return step.model_copy(update={"state": _with_faults(step.state, coming=(*step.state.faults.coming, rest))})

    def _hide_trades(self, step: Step, delivery: Delivery, hand: Hand) -> Step:
        shown_from = self._trades_from(delivery, hand)
        told = f"its trades are in the history from {shown_from:%H:%M:%S}"
        hidden = {**_still(step.state.faults.trades_from, delivery.at), **{t.trade_id: shown_from for t in step.trades}}
        step = step.model_copy(update={"state": _with_faults(step.state, trades_from=hidden)})
        return _told(step, delivery, Kind.LATE_FILLS, placed=True, detail=told)

    def _trades_from(self, delivery: Delivery, hand: Hand) -> datetime:
        return delivery.at + self._seconds(delivery, "history", FIRST_LAG if hand.partial else HISTORY_LAG)

    def _hide_order(self, step: Step, delivery: Delivery, order: VenueOrder) -> Step:
        shown_from = delivery.at + self._seconds(delivery, "look-up", LOOKUP_LAG)
        told = f"look-ups show it from {shown_from:%H:%M:%S}"
        hidden = {**_still(step.state.faults.orders_from, delivery.at), order.venue_order_id: shown_from}
        step = step.model_copy(update={"state": _with_faults(step.state, orders_from=hidden)})
        return _told(step, delivery, Kind.LAGGING_LOOKUP, placed=True, detail=told)

    # --- what was under way ---

    def _advanced(self, state: VenueState, at: datetime) -> Step:
        """What was to come by `at` comes one by one, each as of its own time and in one write with what it leads to."""
        due = min((c for c in state.faults.coming if c.at <= at), key=lambda c: (c.at, c.sequence), default=None)
        if due is None:
            return super()._advanced(state, at)
        # Never before what was acted on already: a look-up that missed has shut it out.
        then = max(due.at, state.time or due.at)
        step = super()._advanced(state, then)
        if not step.complete:
            return step
        left = tuple(coming for coming in state.faults.coming if coming != due)
        state = _with_faults(step.state, coming=left)
        arrived = self._arrive(state, due, then) if isinstance(due, Delivery) else self._come_back(state, due, then)
        return step.then(arrived).model_copy(update={"complete": False})

    def _arrive(self, state: VenueState, delivery: Delivery, at: datetime) -> Step:
        """A delayed request that the venue refuses after all never becomes an order: its row is set right."""
        step = self._place(state, delivery.model_copy(update={"at": at}))
        expired = delivery.request.fence_at is not None and delivery.at > delivery.request.fence_at
        if expired or _placed(step) or step.submission is None:
            return step
        told = f"the venue refuses it on arrival: {step.submission.code}"
        return _told(step, delivery, Kind.DELAYED, placed=False, detail=told)

    def _come_back(self, state: VenueState, rest: Rest, at: datetime) -> Step:
        """The rest of a partial fill, as far as the candle that began it still gives."""
        quote = self._quote(rest.request, at)
        order = state.orders.get(rest.venue_order_id)
        if quote is None or order is None:
            return Step(state=state)
        left = max(quote.volume * self._settings.participation - order.filled_quantity, ZERO)
        quote = quote.model_copy(update={"most": left})
        step = engine.take_rest(state, self._settings, rest.venue_order_id, quote, at)
        if not step.trades or rest.first_from is None or at >= rest.first_from:
            return step
        told = f"its second trade shows at once, its first from {rest.first_from:%H:%M:%S}"
        return _told(step, rest, Kind.OUT_OF_ORDER_FILLS, placed=True, detail=told)

    # --- numbers by seed ---

    def _seconds(self, delivery: Delivery, what: str, bounds: tuple[int, int]) -> timedelta:
        return timedelta(seconds=self._number(delivery, what, bounds))

    def _number(self, delivery: Delivery, what: str, bounds: tuple[int, int]) -> int:
        return random.Random(f"{self._faults.seed}:{delivery.sequence}:{what}").randint(*bounds)  # noqa: S311 repeatable


WAYS: dict[Way, Callable[[FaultyPaperVenue, VenueState, Delivery, FaultKind], Step]] = {
    Way.AT_ONCE: FaultyPaperVenue._accept,
    Way.LATER: FaultyPaperVenue._send_later,
    Way.NEVER: FaultyPaperVenue._lose,
    Way.REFUSED: FaultyPaperVenue._refuse,
}


def _told(step: Step, met: Delivery | Rest, kind: FaultKind, *, placed: bool, detail: str = "") -> Step:
    """A step with the row of one fault more."""
    fault = InjectedFault(
        sequence=met.sequence,
        kind=kind,
        client_order_id=met.request.client_order_id,
        symbol=met.request.symbol,
        side=met.request.side,
        quantity=met.request.quantity,
        claimed_at=met.request.claimed_at,
        at=met.at,
        placed=placed,
        detail=detail or DETAILS[kind, placed],
    )
    crashes = step.state.faults.crashes + (kind in CRASH_KINDS)
    return step.model_copy(update={"state": _with_faults(step.state, crashes=crashes), "faults": (*step.faults, fault)})


def _with_faults(state: VenueState, **changes: Any) -> VenueState:
    return state.model_copy(update={"faults": state.faults.model_copy(update=changes)})


def _placed(step: Step) -> VenueOrder | None:
    """The order that a request became as it arrived, if it did."""
    return step.submission.venue_order if step.submission else None


def _order_shows(order: PaperOrder, state: VenueState, at: datetime) -> bool:
    return _shows(order.venue_order_id, state.next_order, state.faults.orders_from, at)


def _trade_shows(trade: VenueTrade, state: VenueState, at: datetime) -> bool:
    return _shows(trade.trade_id, state.next_trade, state.faults.trades_from, at)


def _shows(key: str, next_number: int, hidden: Mapping[str, datetime], at: datetime) -> bool:
    """Of what is newer than the state, it is not known whether it is hidden."""
    return key < numbered(next_number) and at >= hidden.get(key, at)


def _still(hidden: Mapping[str, datetime], at: datetime) -> dict[str, datetime]:
    return {key: shown_from for key, shown_from in hidden.items() if shown_from > at}
