"""An intent becomes at most one venue order: load, gather, check, claim, guard, send once, settle.

The only workflow that submits. It acts on ledger records, never on a message body.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from belay.domain.account import Account, StopLevel
from belay.domain.errors import AccountRefused, Conflict, InvalidInput, Unreadable, VenueUnavailable
from belay.domain.identity import of_this_account
from belay.domain.market import Price
from belay.domain.orders import UNRESOLVED, Attempt, Order, OrderState, claimable, same_order
from belay.domain.record import Record
from belay.domain.restore import Precaution
from belay.domain.risk import LineVerdict, Situation, Verdict, check, identity_line
from belay.domain.transitions import Change, Requirement, Stamp, claim, deny, note, settle
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind, VenueOrder, readable, unread
from belay.ports import Services
from belay.workflows.integrity import MOVED_ON, beyond, examine
from belay.workflows.outage import CHECKING, SUBMITTING, account_refused, clocks_differ, end_refusal
from belay.workflows.resolve import resolve
from belay.workflows.restore import forgotten
from belay.workflows.session import CLOCKS_APART, Session, open_session
from belay.workflows.updates import TRIES, exit_not_placed, lapse_order, stamp, update_as_judged, update_order

GUARD_MARGIN_SECONDS = 2
OF_LATER = "the order is of a later version"
# Denials of an exit that nobody needs to act on: there is nothing to sell, or too little for the venue.
NOTHING_LEFT = frozenset({"nothing_to_sell", "dust"})


class Executed(Record):
    """What one message led to: `result` is what was done, such as `submitted` or `waiting`; `state` is the order's.

    `submitted` means that the request left; whether the venue took it is in `state`.
    """

    order_id: str
    result: str
    state: OrderState | None = None
    detail: str = ""


def execute(order_id: str, services: Services, remaining_seconds: Callable[[], float]) -> Executed:
    """Take one order as far as it may go now. Repeating it at any time, also at the same time, is harmless.

    Args:
        order_id: 32 hex characters, as published by the evaluator or the reconciler.
        remaining_seconds: how long this invocation may still run.

    Raises:
        InvalidInput: there is no such order, or its account has no document.
    """
    order = services.ledger.order(order_id)
    if order is None:
        if services.ledger.is_later(order_id):
            return Executed(order_id=order_id, result="waiting", detail=OF_LATER)
        raise InvalidInput("message.order_id", f"the ledger has no order {order_id}", "Look for a restored table.")
    try:
        session = open_session(services, order.account)
    except Unreadable as error:
        return _leave(order, str(error))
    return _take(order, session, remaining_seconds)


def _take(order: Order, session: Session, remaining_seconds: Callable[[], float]) -> Executed:
    services, order_id = session.services, order.order_id
    for _ in range(TRIES):
        if not order.understood:
            return _leave(order, OF_LATER)
        account = _account_of(order, session)
        if isinstance(account, Executed):
            return account
        if not claimable(order, session.venue.profile):
            return _find_out(order, session)
        situation = _read(order, account, session)
        if isinstance(situation, Executed):
            return situation
        if end_refusal(services, account):
            continue
        if situation.flaw == MOVED_ON:
            order = services.ledger.order(order_id) or order
            continue
        verdict = check(order, account, session.document, situation)
        held_back = _held_back(order, session, situation, verdict)
        if held_back := held_back or _forgotten(order, account, session, situation):
            return held_back
        change = _claim(order, account, session, situation, verdict)
        try:
            services.ledger.commit(change)
        except Conflict:
            order = services.ledger.order(order_id) or order
            continue
        outcome = _guard(change.order, session, situation, remaining_seconds) or _submit(change.order, session)
        return _settle(change.order, session, situation, outcome)
    return _wait(order, session, services.clock.now(), "contended", {})


def _account_of(order: Order, session: Session) -> Account | Executed:
    """The account, or what follows where it is a later version's to act on, or another than the document means: then
    the venue is not even asked."""
    try:
        account = session.services.ledger.account(order.account)
    except Unreadable as error:
        return _leave(order, str(error))
    if later := beyond(account, session.configuration):
        return _leave(order, later)
    line = identity_line(account, session.document)
    if line.verdict is LineVerdict.PASS:
        return account
    detail = {"limits": [line.model_dump(mode="json")]}
    return _wait(order, session, session.services.clock.now(), line.limit, detail)


def _read(order: Order, account: Account, session: Session) -> Situation | Executed:
    """Everything that is checked, or what follows where a part of it cannot be read."""
    try:
        return _gather(order, account, session)
    except Unreadable as error:
        return _leave(order, str(error))
    except VenueUnavailable as error:
        return _unread(order, session, error)


def _held_back(order: Order, session: Session, situation: Situation, verdict: Verdict) -> Executed | None:
    """What keeps an order from being claimed now. Records that do not hold together wait for the reconciler, which has
    them looked at; what is late lapses, unless a clock is broken that says so."""
    if situation.flaw:
        return _leave(order, f"records: {situation.flaw}")
    if not situation.stops.understood:
        return _leave(order, "the operators' stops are of a later version")
    if situation.now >= order.expires_at:
        if abs(situation.offset_seconds) > CLOCKS_APART.total_seconds():
            return _wait(order, session, situation.now, "clock_offset_seconds", _limits(verdict))
        lapsed = lapse_order(session.services, order.order_id, situation.now)
        return Executed(order_id=order.order_id, result="lapsed", state=(lapsed or order).state)
    if verdict.action is LineVerdict.DENY:
        return _deny(order, session, situation, verdict)
    return _postpone(order, session, situation, verdict) if verdict.action is LineVerdict.WAIT else None


def _leave(order: Order, why: str) -> Executed:
    """Wait, and write nothing of it: whoever may act on the order finds it as it was."""
    return Executed(order_id=order.order_id, result="waiting", state=order.state, detail=why)


def _forgotten(order: Order, account: Account, session: Session, situation: Situation) -> Executed | None:
    """What may have been sent before the table was restored is looked up before its first claim."""
    try:
        doubt = forgotten(order, session, account.reservations, situation.venue_orders, situation.now)
    except VenueUnavailable as error:
        return _unread(order, session, error)
    if doubt is Precaution.LAPSE:
        lapsed = session.services.ledger.order(order.order_id) or order
        return Executed(order_id=order.order_id, result="lapsed", state=lapsed.state)
    return _wait(order, session, situation.now, "restored table", {}) if doubt is Precaution.WAIT else None


def _find_out(order: Order, session: Session) -> Executed:
    """Someone claimed it, now or earlier: never send, only look."""
    if order.state not in UNRESOLVED:
        return Executed(order_id=order.order_id, result="already done", state=order.state)
    with suppress(Conflict):  # others keep changing it, or it was written over: the next look tells
        order = resolve(order, session.services, session.venue, session.market_data)
    session.services.queue.follow_up(order.account, session.services.follow_up_seconds)
    result = "unresolved" if order.state in UNRESOLVED else "resolved"
    return Executed(order_id=order.order_id, result=result, state=order.state)


def _unread(order: Order, session: Session, error: VenueUnavailable) -> Executed:
    """Without the venue's side nothing is checked, so nothing is sent."""
    now = session.services.clock.now()
    if isinstance(error, AccountRefused):
        account_refused(session.services, order.account, CHECKING, error.code, error.remedy, now)
    return _wait(order, session, now, f"{error.told_as}: {error}", {})


def _gather(order: Order, account: Account, session: Session) -> Situation:
    """Everything the check looks at, read after the account: the claim then checks the account's version."""
    services, venue, market_data = session.services, session.venue, session.market_data
    exposed = () if order.reducing else account.exposed_symbols(session.document)
    symbols = sorted({order.symbol, *exposed})
    reads: dict[str, Callable[[], Any]] = {
        "times": lambda: (market_data.time(), session.clock.now()),
        "market": lambda: market_data.market(order.symbol),
        "balances": lambda: of_this_account(account, venue.balances()),
        "open orders": venue.open_orders,
        "switch": services.kill_switch.read,
        "proof": lambda: services.ledger.proof(order.account, session.fingerprint),
        "stops": lambda: services.ledger.operator_stops(order.account),
        "records": lambda: examine(services.ledger, order),
    }
    reads |= {f"price of {symbol}": partial(_price, session, symbol, order.symbol) for symbol in symbols}
    found = services.gather(reads)
    venue_time, local_time = found["times"]
    return Situation(
        now=venue_time,
        offset_seconds=Decimal(str((venue_time - local_time).total_seconds())),
        switch=found["switch"].level,
        switch_reason=found["switch"].reason,
        stops=found["stops"],
        flaw=found["records"].problem,
        accepted=found["records"].accepted,
        market=found["market"],
        prices={symbol: price for symbol in symbols if (price := found[f"price of {symbol}"]) is not None},
        balances=found["balances"],
        venue_orders=readable(found["open orders"]),
        proof=found["proof"],
        unread=unread(found["open orders"]),
    )


def _price(session: Session, symbol: str, own: str) -> Price | None:
    """Of another symbol that is held, what it is valued at can do without."""
    try:
        return session.market_data.price(symbol)
    except AccountRefused:
        raise
    except VenueUnavailable:
        if symbol == own:
            raise
        return None


def _claim(order: Order, account: Account, session: Session, situation: Situation, verdict: Verdict) -> Change:
    request = OrderRequest(
        client_order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=verdict.quantity,
        limit_price=order.limit_price and situation.market.round_price(order.limit_price, order.side),
        time_in_force=order.time_in_force,
        claimed_at=situation.now,
        fence_at=session.venue.profile.fence_at(situation.now),
    )
    proof = None if order.reducing else situation.proof
    requirement = Requirement(
        configuration_version=session.configuration.version,
        stops_version=situation.stops.version,
        proof_fingerprint=proof.fingerprint if proof else None,
        proof_completed_at=proof.completed_at if proof else None,
    )
    detail = {**_limits(verdict), "request": request.model_dump(mode="json")}
    return claim(order, account, request, verdict.price, requirement, stamp(session.services, situation.now), detail)


def _guard(
    order: Order, session: Session, situation: Situation, remaining_seconds: Callable[[], float]
) -> Outcome | None:
    """The last look before sending; None lets the order go."""
    fence_at, needed = _attempt(order).fence_at, session.venue.profile.submit_timeout_seconds + GUARD_MARGIN_SECONDS
    allowed = StopLevel.REDUCE_ONLY if order.reducing else StopLevel.RUNNING
    switch = session.services.kill_switch.read()
    if switch.level.rank > allowed.rank:
        return _not_sent("stopped", f"{switch.level}: {switch.reason}")
    if remaining_seconds() < needed:
        return _not_sent("no_time_left", f"less than {needed} s of this invocation remain")
    if fence_at is not None and _venue_time(session, situation) >= fence_at:
        return _not_sent("fence_passed", f"the request was good until {fence_at:%FT%TZ}")
    return None


def _venue_time(session: Session, situation: Situation) -> datetime:
    """Our clock plus the offset just measured: what the venue's clock shows, without asking it again."""
    return session.clock.now() + timedelta(seconds=float(situation.offset_seconds))


def _submit(order: Order, session: Session) -> Outcome:
    """Send, once, in this thread. An error that the adapter did not foresee, or an answer about another order than
    was asked for, leaves the outcome unknown like everything else that is not proven."""
    try:
        outcome = session.venue.submit(_attempt(order).request)
    except Exception as error:
        return Outcome(kind=OutcomeKind.UNKNOWN, code="adapter_error", detail=type(error).__name__)
    if outcome.kind is OutcomeKind.ACCEPTED and not _believable(order, outcome.venue_order):
        return Outcome(kind=OutcomeKind.UNKNOWN, code="unbelievable_answer", detail=outcome.code)
    return outcome


def _believable(order: Order, seen: VenueOrder | None) -> bool:
    return seen is not None and seen.client_order_id in (None, order.order_id) and same_order(order, seen)


def _settle(order: Order, session: Session, situation: Situation, outcome: Outcome) -> Executed:
    services, attempt_id = session.services, _attempt(order).attempt_id
    stored = update_order(
        services,
        order.order_id,
        outcome.exchange_time or _venue_time(session, situation),
        lambda latest, account, written: settle(latest, account, attempt_id, outcome, written),
    )
    services.queue.follow_up(order.account, services.follow_up_seconds)
    if outcome.kind is OutcomeKind.CONFIGURATION:
        remedy = "Check the executor's API key, its permissions and the region; then resolve."
        at = outcome.exchange_time or services.clock.now()
        account_refused(services, order.account, SUBMITTING, f"{outcome.code} {outcome.detail}".strip(), remedy, at)
    state = stored.state if stored else None
    result = "not sent" if outcome.kind is OutcomeKind.NOT_SENT else "submitted"
    return Executed(order_id=order.order_id, result=result, state=state, detail=outcome.code)


def _attempt(order: Order) -> Attempt:
    if order.attempt is None:
        raise ValueError(f"order {order.order_id} was not claimed")
    return order.attempt


def _not_sent(code: str, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.NOT_SENT, code=code, detail=detail)


def _limits(verdict: Verdict) -> dict[str, Any]:
    return {"limits": [line.model_dump(mode="json") for line in verdict.lines]}


def _wait(order: Order, session: Session, at: datetime, reason: str, detail: dict[str, Any]) -> Executed:
    """Leave the intent where it is: the reconciler publishes it again until it lapses."""
    waiting = f"waiting: {reason}"
    with suppress(Conflict):  # a remark is not worth a message
        update_as_judged(session.services, order, at, lambda latest, _, written: note(latest, waiting, written, detail))
    return Executed(order_id=order.order_id, result="waiting", state=order.state, detail=reason)


def _postpone(order: Order, session: Session, situation: Situation, verdict: Verdict) -> Executed:
    if verdict.reason == "clock_offset_seconds":
        clocks_differ(session, order, situation.offset_seconds, session.services.clock.now())
    return _wait(order, session, situation.now, verdict.reason, _limits(verdict))


def _deny(order: Order, session: Session, situation: Situation, verdict: Verdict) -> Executed:
    """Refuse the intent. An exit sent before and proven absent stays NOT_SENT: only a first claim is denied."""
    cause, at, services = f"denied: {verdict.reason}", situation.now, session.services
    pages = order.reducing and verdict.reason not in NOTHING_LEFT

    def refuse(latest: Order, _account: Account, written: Stamp) -> Change:
        if latest.state is OrderState.CREATED:
            return deny(latest, cause, written, _limits(verdict), settled=not pages)
        return note(latest, cause, written, _limits(verdict))

    denied = update_as_judged(services, order, at, refuse)
    if denied is None:
        # Someone claimed or changed it since it was read: what was checked is no longer what is stored.
        return _find_out(services.ledger.order(order.order_id) or order, session)
    if pages:
        exit_not_placed(services, denied, f"denied by {verdict.reason}", at)
    return Executed(order_id=order.order_id, result="denied", state=denied.state, detail=verdict.reason)
