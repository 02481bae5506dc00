"""What one submission is known to have led to: a table over phase, HTTP status, raw code and the answer's shape.

Exception classes play no part. Rejected and not sent are allow-lists; whatever is on none is unknown.

    no request for an order was made                       not sent
    there was no connection for it                         not sent
    no complete answer came, or one out of bounds          unknown
    answered: codes that the profile lists for the status  rejected, not sent, configuration
              an order with a believable id, and our       accepted
              client order id where the venue repeats it
              anything else                                unknown
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from belay.adapters.live.profiles.answers import Errors, Meaning, Rule, dig
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import SymbolOf, Unbelievable, read_order
from belay.adapters.live.wire import Call, Phase
from belay.domain.record import ZERO
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind, VenueOrder, VenueStatus

OK = 200
PHASES = {
    Phase.NOT_REQUESTED: OutcomeKind.NOT_SENT,
    Phase.NOT_CONNECTED: OutcomeKind.NOT_SENT,
    Phase.NO_ANSWER: OutcomeKind.UNKNOWN,
    Phase.OUT_OF_BOUNDS: OutcomeKind.UNKNOWN,
}
# In this order; what an answer means for a submission.
MEANINGS = {
    Meaning.REJECTED: OutcomeKind.REJECTED,
    Meaning.NOT_PLACED: OutcomeKind.NOT_SENT,
    Meaning.CONFIGURATION: OutcomeKind.CONFIGURATION,
    Meaning.DUPLICATE: OutcomeKind.UNKNOWN,
}


class VenueError(NamedTuple):
    """One error as the venue names it."""

    code: str
    message: str


@dataclass(frozen=True)
class Sent:
    """What is known after one submission: the requests that may have carried the order, what ccxt made of the answer
    (only for venues whose answers are not described), and the venue's time."""

    orders: Sequence[Call]
    returned: Any
    at: datetime

    @property
    def phase(self) -> Phase:
        if not self.orders:
            return Phase.NOT_REQUESTED
        phases = {call.phase for call in self.orders}
        return phases.pop() if len(phases) == 1 else Phase.NO_ANSWER


def classify(profile: CcxtProfile, request: OrderRequest, sent: Sent, symbol_of: SymbolOf) -> Outcome:
    """The outcome of one submission. Code and detail are the venue's own words: whoever tells them on redacts and cuts
    them first.

    Args:
        symbol_of: the symbol of a venue's market id.
    """
    if sent.phase is not Phase.ANSWERED:
        problem = next((call.problem for call in sent.orders if call.phase is Phase.OUT_OF_BOUNDS), "")
        return Outcome(kind=PHASES[sent.phase], code=sent.phase, detail=problem, exchange_time=sent.at)
    call = sent.orders[-1]
    errors = errors_in(profile, call)
    meaning = meaning_of(profile, call, errors, MEANINGS)
    if meaning is not None and not (errors and _names_an_order(profile, call)):
        code, message = errors[0] if errors else (f"http_{call.status}", "")
        return Outcome(kind=MEANINGS[meaning], code=code, detail=message, exchange_time=sent.at)
    if errors or call.status != OK:
        code, message = errors[0] if errors else (f"http_{call.status}", "")
        return _unknown(code, sent.at, message)
    try:
        order = _accepted(profile, request, sent, symbol_of)
    except Unbelievable as doubt:
        return _unknown("unbelievable_answer", sent.at, str(doubt))
    return Outcome(kind=OutcomeKind.ACCEPTED, code="accepted", venue_order=order, exchange_time=order.updated_at)


def errors_in(profile: CcxtProfile, call: Call) -> tuple[VenueError, ...]:
    """What the venue names as errors in an answer of the documented shape; nothing where it names none."""
    document = call.document()
    if profile.reading is None or not isinstance(document, dict):
        return ()
    return tuple(_errors(profile.reading.errors, document))


def _errors(shape: Errors, document: dict[str, Any]) -> Iterable[VenueError]:
    found = dig(document, shape.code)
    if shape.kind == "list":
        yield from (VenueError(str(error), "") for error in (found if isinstance(found, list) else ()))
    elif isinstance(found, int | str) and not isinstance(found, bool) and str(found) not in shape.success:
        message = dig(document, shape.message) if shape.message else None
        yield VenueError(str(found), message if isinstance(message, str) else "")


def meaning_of(
    profile: CcxtProfile, call: Call, errors: tuple[VenueError, ...], meanings: Iterable[Meaning]
) -> Meaning | None:
    """The first of `meanings` whose rules cover every error of an answer, or its status alone."""
    for meaning in meanings:
        rules = [rule for rule in profile.rules(meaning) if call.status in rule.statuses]
        if any(not rule.codes for rule in rules) or (errors and all(_covered(error, rules) for error in errors)):
            return meaning
    return None


def _covered(error: VenueError, rules: Iterable[Rule]) -> bool:
    return any(error.code in rule.codes and rule.message in (None, error.message) for rule in rules)


def _names_an_order(profile: CcxtProfile, call: Call) -> bool:
    """Whether an answer with an error speaks of an order all the same, which contradicts it."""
    path = profile.reading.reply.id if profile.reading else ""
    return bool(dig(call.document(), path.split(".", maxsplit=1)[0]))


def _accepted(profile: CcxtProfile, request: OrderRequest, sent: Sent, symbol_of: SymbolOf) -> VenueOrder:
    """The order that the venue says it has.

    Raises:
        Unbelievable: it does not say so in a way that can be believed.
    """
    document = sent.orders[-1].document()
    if profile.reading is None:
        return _accepted_unified(profile, request, sent, document)
    venue_order_id = _believable_id(profile, dig(document, profile.reading.reply.id))
    if not profile.reading.reply.whole:
        return _as_requested(request, venue_order_id, sent.at)
    order = read_order(profile, document, symbol_of)
    if order.client_order_id != request.client_order_id:
        raise Unbelievable("client order id")
    return order


def _accepted_unified(profile: CcxtProfile, request: OrderRequest, sent: Sent, document: Any) -> VenueOrder:
    returned = sent.returned
    if not isinstance(returned, dict) or not isinstance(document, dict):
        raise Unbelievable("answer")
    venue_order_id = _believable_id(profile, returned.get("id"))
    if venue_order_id not in sent.orders[-1].body:
        raise Unbelievable("venue order id")
    repeated = returned.get("clientOrderId")
    if repeated is not None and profile.ours(str(repeated)) != request.client_order_id:
        raise Unbelievable("client order id")
    return _as_requested(request, venue_order_id, sent.at)


def _believable_id(profile: CcxtProfile, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not re.fullmatch(profile.order_id, str(value)):
        raise Unbelievable("venue order id")
    return str(value)


def _as_requested(request: OrderRequest, venue_order_id: str, at: datetime) -> VenueOrder:
    """The venue named only its id: it has taken exactly what was asked, and says nothing yet of fills."""
    return VenueOrder(
        venue_order_id=venue_order_id,
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        limit_price=request.limit_price,
        filled_quantity=ZERO,
        status=VenueStatus.OPEN,
        updated_at=at,
    )


def _unknown(code: str, at: datetime, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.UNKNOWN, code=code, detail=detail, exchange_time=at)
