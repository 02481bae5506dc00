"""Every change to an order as one value that is written atomically: the order, its event, its fill, its account.

Each function takes what was read and returns the `Change` that would follow; the ledger refuses it with `Conflict`
when what was read has changed meanwhile. Nothing here reads or writes anything.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from belay.domain.account import Account, Reservation, summed
from belay.domain.errors import IllegalTransition
from belay.domain.fills import Fill
from belay.domain.orders import (
    FEE_CORRECTED,
    NEVER_SENT,
    TERMINAL,
    UNRESOLVED,
    WORKING,
    Attempt,
    Order,
    OrderEvent,
    OrderState,
    Verdict,
    Word,
    require_legal,
    seal,
)
from belay.domain.record import ZERO, Record, Utc
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind, VenueOrder, VenueStatus, VenueTrade


class Stamp(Record):
    """Who writes and when: a fresh `write_id`, the venue's time if known, the function's own clock."""

    write_id: str
    exchange_time: Utc | None
    recorded_at: Utc


class Requirement(Record):
    """What must still hold in the ledger when a claim commits: the checked limits, the operators' stops and, for an
    entry, the proof."""

    configuration_version: int
    stops_version: int
    proof_fingerprint: str | None
    proof_completed_at: Utc | None


class Change(Record):
    """One transaction. `order.version` is `previous_version + 1`; `account.version` likewise, where present.

    `previous_digest`: of the order that the change was computed from, without its head.
    """

    order: Order
    previous_version: int
    previous_digest: str
    event: OrderEvent
    account: Account | None = None
    fill: Fill | None = None
    requirement: Requirement | None = None

    @property
    def previous_head(self) -> str:
        """The head of the story that this change goes on from."""
        return self.fill.previous if self.fill else self.event.previous


def _move(
    order: Order,
    to: OrderState,
    cause: str,
    stamp: Stamp,
    detail: dict[str, Any],
    fill: Fill | None = None,
    **updates: Any,
) -> Change:
    require_legal(order, to)
    version = order.version + 1
    if to is not order.state:
        updates["terminal_at"] = (stamp.exchange_time or stamp.recorded_at) if to in TERMINAL else None
    moved = order.model_copy(update={**updates, "state": to, "version": version, "write_id": stamp.write_id})
    if fill is not None:
        moved = moved.reading_from(fill.reads_from)  # who cannot read a fill may not act on its order
    moved, event = seal(
        moved,
        fill.digest if fill else order.head,
        from_state=order.state,
        to_state=to,
        cause=cause,
        attempt_id=moved.attempt.attempt_id if moved.attempt else None,
        exchange_time=stamp.exchange_time,
        recorded_at=stamp.recorded_at,
        detail=detail,
    )
    return Change(
        order=moved, previous_version=order.version, previous_digest=order.bare_digest, event=event, fill=fill
    )


def _advance(order: Order, to: OrderState, cause: str, stamp: Stamp, detail: dict[str, Any], **updates: Any) -> Change:
    """A move that must be one: nobody claims or concludes what has been claimed or concluded already."""
    if order.state is to:
        raise IllegalTransition(f"{order.order_id} is {to} already")
    return _move(order, to, cause, stamp, detail, **updates)


def note(order: Order, cause: str, stamp: Stamp, detail: dict[str, Any], **updates: Any) -> Change:
    """Record something about an order that changes no state."""
    return _move(order, order.state, cause, stamp, detail, **updates)


def deny(order: Order, reason: str, stamp: Stamp, detail: dict[str, Any], *, settled: bool = True) -> Change:
    """Refuse an intent for good. Not `settled`: somebody still has to be told about it."""
    return _advance(order, OrderState.DENIED, reason, stamp, detail, settled=settled)


def lapse(order: Order, stamp: Stamp, cause: str, asked_for: bool) -> Change:
    """Give up an intent that nobody claimed. An exit stays unsettled until a person was told, unless `asked_for`."""
    detail = {"expires_at": order.expires_at}
    return _advance(order, OrderState.LAPSED, cause, stamp, detail, settled=asked_for or not order.reducing)


def claim(
    order: Order,
    account: Account,
    request: OrderRequest,
    price: Decimal,
    requirement: Requirement,
    stamp: Stamp,
    detail: dict[str, Any],
) -> Change:
    """Give one attempt the right to send, and reserve what the request may do to the account."""
    number = order.attempt.number + 1 if order.attempt else 1
    attempt = Attempt(attempt_id=stamp.write_id, number=number, request=request, price=price)
    change = _advance(order, OrderState.SUBMITTED, "claimed", stamp, detail, attempt=attempt, misses=(), settled=False)
    return change.model_copy(
        update={
            "account": account.with_reservation(reservation_of(change.order, attempt), request.claimed_at),
            "requirement": requirement,
        }
    )


def reservation_of(order: Order, attempt: Attempt) -> Reservation:
    """What an attempt may still do to the account."""
    return Reservation(
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        reducing=order.reducing,
        quantity=order.remaining,
        price=attempt.price,
        cost_rate=order.assumed_cost,
        unresolved=order.state in UNRESOLVED,
        at_market=attempt.request.limit_price is None,
    )


OUTCOME_STATES = {
    OutcomeKind.REJECTED: OrderState.REJECTED,
    OutcomeKind.NOT_SENT: OrderState.NOT_SENT,
    OutcomeKind.UNKNOWN: OrderState.UNKNOWN,
    OutcomeKind.CONFIGURATION: OrderState.UNKNOWN,
}


def settle(order: Order, account: Account, attempt_id: str, outcome: Outcome, stamp: Stamp) -> Change | None:
    """Store the outcome of one submission; None when there is already better news about the order.

    Only the attempt that sent may settle, and only while nobody else has resolved its order.
    """
    if order.attempt is None or order.attempt.attempt_id != attempt_id or order.state not in UNRESOLVED:
        return None
    detail = {"outcome": outcome.kind, "code": outcome.code, "detail": outcome.detail}
    if outcome.kind is OutcomeKind.ACCEPTED and outcome.venue_order is not None:
        return observe(order, account, outcome.venue_order, "accepted", stamp, detail)
    state = OUTCOME_STATES.get(outcome.kind, OrderState.UNKNOWN)
    if state is order.state:
        return note(order, outcome.code, stamp, detail)
    change = _move(order, state, outcome.code, stamp, detail, misses=())
    return _resolved(change, account)


VENUE_STATES = {
    VenueStatus.FILLED: OrderState.FILLED,
    VenueStatus.CANCELLED: OrderState.CANCELLED,
    VenueStatus.EXPIRED: OrderState.EXPIRED,
    VenueStatus.REJECTED: OrderState.REJECTED,
}


class Reading(Record):
    """What an order comes to be when the venue's word is followed."""

    state: OrderState
    venue_filled: Decimal
    venue_order_ids: tuple[str, ...]


def reading(order: Order, seen: VenueOrder) -> Reading | None:
    """Follow the venue's word as far as the transition table lets it; None when it says nothing new and better.

    "Filled" means all of it, whatever quantity stands beside the word, so that the fills must still come (freqtrade
    #9128). What was partly filled was not rejected: the rest of it was cancelled.
    """
    filled = max(seen.filled_quantity, order.venue_filled)
    if seen.status is VenueStatus.FILLED:
        filled = max(filled, seen.quantity)
    any_filled = max(filled, order.filled_quantity) > 0
    state = VENUE_STATES.get(seen.status, OrderState.PARTIALLY_FILLED if any_filled else OrderState.ACKNOWLEDGED)
    if state is OrderState.REJECTED and any_filled:
        state = OrderState.CANCELLED
    if state not in order.following:
        state = order.state
    venue_ids = _with(order.venue_order_ids, seen.venue_order_id)
    if (state, filled, venue_ids) == (order.state, order.venue_filled, order.venue_order_ids):
        return None
    return Reading(state=state, venue_filled=filled, venue_order_ids=venue_ids)


def observe(
    order: Order, account: Account, seen: VenueOrder, cause: str, stamp: Stamp, detail: dict[str, Any] | None = None
) -> Change | None:
    """Attach the venue's order and follow its state; None when it says nothing that is new and better."""
    if order.state in NEVER_SENT:
        raise IllegalTransition(f"the venue has an order for {order.order_id}, which is {order.state}")
    news = reading(order, seen)
    if news is None:
        return None
    story = {**(detail or {}), "venue_order": seen.model_dump(mode="json")}
    updates: dict[str, Any] = {"venue_filled": news.venue_filled, "venue_order_ids": news.venue_order_ids}
    if order.word is None or (news.state, news.venue_filled) != (order.state, order.filled_quantity):
        updates |= {"settled": False, "word": None}
    change = _move(order, news.state, cause, stamp, story, **updates, misses=())
    return _resolved(change, account)


def record_fill(
    order: Order,
    account: Account,
    trade: VenueTrade,
    stamp: Stamp,
    detail: dict[str, Any] | None = None,
    *,
    given: bool = False,
    instead_of: tuple[VenueTrade, ...] = (),
) -> Change:
    """Count one trade: position, balance flows, reservation and order in one change. Accepted in any sent state.

    Args:
        given: a person copied it, and the venue's own answer does not tell it.
        instead_of: given ones that it takes the place of: they count no longer. It may be one of them itself, as a
            person copied it. A fill that was replaced and proves true after all counts again, as it was.
    """
    if order.state in NEVER_SENT:
        raise IllegalTransition(f"the venue reports a fill of {order.order_id}, which is {order.state}")
    filled = order.filled_quantity + trade.quantity - sum((one.quantity for one in instead_of), ZERO)
    complete = order.attempt is not None and filled >= order.attempt.request.quantity
    state = OrderState.FILLED if complete else OrderState.PARTIALLY_FILLED
    if state is not order.state and state not in order.following:
        state = order.state
    fees = summed(order.fees, trade.fees)
    notional = order.filled_notional + trade.notional
    for one in instead_of:
        fees = {asset: fee for asset, fee in summed(fees, {a: -f for a, f in one.fees.items()}).items() if fee}
        notional -= one.notional
    gone = [one.key for one in instead_of]
    standing_rows = {key: quantity for key, quantity in order.given.items() if key not in gone}
    fill = Fill(
        account=order.account,
        strategy=order.strategy,
        decision_id=order.decision_id,
        order_id=order.order_id,
        trade=trade,
        recorded_at=stamp.recorded_at,
        previous=order.head,
        given=given,
    )
    change = _move(
        order,
        state,
        "filled",
        stamp,
        {**(detail or {}), "trade": trade.model_dump(mode="json"), **({"instead_of": gone} if gone else {})},
        None if trade.key in (*order.replaced, *gone) else fill,
        filled_quantity=filled,
        filled_notional=notional,
        fees=fees,
        venue_filled=order.venue_filled if given else max(order.venue_filled, filled),
        given={**standing_rows, trade.key: trade.quantity} if given else standing_rows,
        replaced=tuple(key for key in (*order.replaced, *gone) if key != trade.key),
        venue_order_ids=_with(order.venue_order_ids, trade.venue_order_id),
        estimated=(*order.estimated, trade.key) if trade.estimated else order.estimated,
        settled=False,
        word=None,
    )
    standing = _standing(order, account) if state in WORKING else account
    counted = standing.with_fill(order.strategy, order.order_id, trade, instead_of)
    return change.model_copy(update={"account": counted, "order": change.order.reading_from(2 if gone else 1)})


def correct_fee(
    order: Order, account: Account, trade: VenueTrade, fees: Mapping[str, Decimal], stamp: Stamp
) -> Change | None:
    """Count a trade's true fee in place of its estimate; None where it is no estimate, or no longer one.

    Args:
        trade: as it was counted.
        fees: what it really cost, by asset.
    """
    if trade.key not in order.estimated:
        return None
    true = trade.costing(fees)
    changes = summed({asset: -fee for asset, fee in trade.fees.items()}, true.fees)
    change = note(
        order,
        FEE_CORRECTED,
        stamp,
        {"trade": trade.key, "fees": {asset: str(fee) for asset, fee in sorted(true.fees.items())}},
        fees={asset: fee for asset, fee in summed(order.fees, changes).items() if fee},
        estimated=tuple(key for key in order.estimated if key != trade.key),
    )
    return change.model_copy(update={"account": account.with_fee(order.strategy, trade, true)})


def accept_fees(order: Order, stamp: Stamp, detail: dict[str, Any]) -> Change | None:
    """Take what is estimated for what it was: a person says so. None where nothing is."""
    if not order.estimated:
        return None
    return note(order, "fees taken as estimated", stamp, {**detail, "trades": list(order.estimated)}, estimated=())


def presume_unknown(order: Order, cause: str, stamp: Stamp) -> Change:
    """A claim whose answer never came: nothing is guessed."""
    return _advance(order, OrderState.UNKNOWN, cause, stamp, {})


def conclude_absent(order: Order, account: Account, evidence: dict[str, Any], stamp: Stamp) -> Change:
    """Absence is proven: the request never became an order. One more delayed look-up has to confirm it."""
    change = _advance(order, OrderState.NOT_SENT, "absence proven", stamp, evidence, misses=())
    return _resolved(change, account)


def release(order: Order, account: Account, stamp: Stamp, cause: str) -> Change:
    """Nothing more is expected of this order: give its reservation back.

    Raises:
        IllegalTransition: the order may still do something to the account, e.g. it was claimed again meanwhile.
    """
    if order.state not in TERMINAL or not order.explained or order.estimated:
        raise IllegalTransition(f"{order.order_id} is {order.state} and cannot be released yet")
    change = note(order, cause, stamp, {}, settled=True)
    held = order.order_id in account.reservations
    return change.model_copy(update={"account": account.without_reservation(order.order_id) if held else None})


SAID = {
    Verdict.ABSENT: OrderState.NOT_SENT,
    Verdict.CANCELLED: OrderState.CANCELLED,
    Verdict.FILLED: OrderState.CANCELLED,  # of what is left, once the fills are counted
}


def end_by_word(
    order: Order, account: Account, word: Word, evidence: dict[str, Any], watched_until: Utc, stamp: Stamp
) -> Change:
    """End an order as an operator says: its reservation is given back, it is never sent again, and looked up on.

    Raises:
        IllegalTransition: the order cannot come to that, or the venue says that more of it filled than is counted.
    """
    if not order.explained:
        raise IllegalTransition(f"{order.order_id} has {order.venue_filled} filled, {order.filled_quantity} counted")
    state = order.state if order.state in TERMINAL and word.verdict is Verdict.FILLED else SAID[word.verdict]
    detail = {"word": word.model_dump(mode="json"), **evidence}
    settled = not order.estimated  # else once the venue's ledger has told its fees
    change = _move(order, state, f"said to be {word.verdict}", stamp, detail, settled=settled, misses=(), word=word)
    freed = account.without_reservation_of(order.order_id)
    watching = freed.watching(order.order_id, watched_until, word.at)
    return change.model_copy(update={"account": watching.model_copy(update={"version": account.version + 1})})


def take_as_shown(
    order: Order, account: Account, seen: VenueOrder, detail: dict[str, Any], stamp: Stamp
) -> Change | None:
    """Take an order as it was changed at the venue for the order that was sent: its quantity and price, from now on.

    None where symbol or side differ: that is no change of this order.
    """
    sent = order.attempt
    if sent is None or (seen.symbol, seen.side) != (order.symbol, order.side):
        return None
    request = sent.request.model_copy(update={"quantity": seen.quantity, "limit_price": seen.limit_price})
    price = seen.limit_price or sent.price
    attempt = sent.model_copy(update={"request": request, "price": price})
    story = {**detail, "venue_order": seen.model_dump(mode="json"), "sent": sent.request.model_dump(mode="json")}
    change = note(order, "taken as the venue shows it", stamp, story, attempt=attempt)
    if order.order_id not in account.reservations:
        return change
    reservations = {**account.reservations, order.order_id: reservation_of(change.order, attempt)}
    return change.model_copy(update={"account": account.bumped(reservations=reservations)})


def _resolved(change: Change, account: Account) -> Change:
    """Keep the reservation equal to the order's state: its `unresolved` mark, and that an order at work has one."""
    order = change.order
    unresolved = order.state in UNRESOLVED
    standing = _standing(order, account) if order.state in WORKING else account
    held = standing.reservations.get(order.order_id)
    if held is None or (standing is account and held.unresolved == unresolved):
        return change
    return change.model_copy(update={"account": standing.with_resolution(order.order_id, unresolved)})


def _standing(order: Order, account: Account) -> Account:
    """The account, where a revived order that had given its reservation back holds one again."""
    if order.attempt is None or order.order_id in account.reservations:
        return account
    reservations = {**account.reservations, order.order_id: reservation_of(order, order.attempt)}
    return account.model_copy(update={"reservations": reservations})


def _with(ids: tuple[str, ...], new: str) -> tuple[str, ...]:
    return ids if new in ids else (*ids, new)
