"""Deliberate bugs between ccxt and the wire, each a patch of the real adapter: the cases of this folder find them.

Without the bug the same cases pass: they are tests of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
import requests

from belay.adapters.live import connect
from belay.adapters.live import venue as live_venue
from belay.adapters.live.fence import pin
from belay.adapters.live.outcomes import classify, errors_in
from belay.adapters.live.venue import CcxtVenue
from belay.adapters.live.wire import Phase, Wire
from belay.domain.errors import VenueUnavailable
from belay.domain.slots import EPOCH
from belay.domain.venues import Outcome, OutcomeKind
from tests.venues.desk import Desk, NewDesk
from tests.venues.test_every_fault import meet
from tests.venues.test_processes import thawed_after_the_fence
from tests.venues.test_reads import shown_nowhere, strict

Patches = Callable[[pytest.MonkeyPatch], None]


# --- the bugs --------------------------------------------------------------------------------------------------------


def ccxt_retries(patch: pytest.MonkeyPatch) -> None:
    """Its own retries are on, and the session forgets that the order was requested already."""
    request = Wire.request

    def forgetful(wire: Wire, *arguments: Any, **options: Any) -> requests.Response:
        wire.calls.clear()
        return request(wire, *arguments, **options)

    patch.setitem(connect.FORCED_OPTIONS, "maxRetriesOnFailure", 2)
    patch.setattr(Wire, "request", forgetful)


def submits_again(patch: pytest.MonkeyPatch) -> None:
    """No answer came, so it is ordered again under the same id, as if that were unique for ever."""
    submit = CcxtVenue.submit

    def again(venue: CcxtVenue, request: Any) -> Outcome:
        outcome = submit(venue, request)
        return submit(venue, request) if outcome.code == Phase.NO_ANSWER else outcome

    patch.setattr(CcxtVenue, "submit", again)


def follows_redirects(patch: pytest.MonkeyPatch) -> None:
    request = requests.Session.request

    def following(session: requests.Session, *arguments: Any, **options: Any) -> requests.Response:
        return request(session, *arguments, **{**options, "allow_redirects": True})

    patch.setattr(requests.Session, "request", following)
    patch.setattr(Wire, "get_redirect_target", requests.Session.get_redirect_target)


def fence_of_now(patch: pytest.MonkeyPatch) -> None:
    """The request is signed with the time of sending, as ccxt does by itself."""

    def fresh(fence: Any, request: Any, exchange: Any) -> Any:
        now = EPOCH + timedelta(milliseconds=exchange.milliseconds())
        later = now + (request.fence_at - request.claimed_at)
        return pin(fence, request.model_copy(update={"claimed_at": now, "fence_at": later}), exchange)

    patch.setattr(live_venue, "pin", fresh)


def errors_are_rejections(patch: pytest.MonkeyPatch) -> None:
    """Whatever the venue calls an error has rejected the order."""

    def read(profile: Any, request: Any, sent: Any, symbol_of: Any) -> Outcome:
        errors = errors_in(profile, sent.orders[-1]) if sent.phase is Phase.ANSWERED else ()
        if errors:
            return Outcome(kind=OutcomeKind.REJECTED, code=errors[0].code, exchange_time=sent.at)
        return classify(profile, request, sent, symbol_of)

    patch.setattr(live_venue, "classify", read)


def nothing_shown_is_not_found(patch: pytest.MonkeyPatch) -> None:
    """An answer in which no order can be read says that there is none."""
    look, rows = CcxtVenue._look, live_venue._rows

    def lenient(venue: CcxtVenue, *arguments: Any) -> Any:
        try:
            return look(venue, *arguments)
        except VenueUnavailable as error:
            if "no believable order" in str(error):
                return ()
            raise

    def none_of_them(answer: Any, where: Any) -> Any:
        return [] if answer.document == {} else rows(answer, where)

    patch.setattr(CcxtVenue, "_look", lenient)
    patch.setattr(live_venue, "_rows", none_of_them)


# --- the cases that find them ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """A bug, the case that meets it, and what that case says then."""

    patch: Patches
    case: Callable[[NewDesk, str], None]
    says: str


def _matrix(name: str, kind: str, way: str) -> Callable[[NewDesk, str], None]:
    def case(new_desk: NewDesk, venue: str) -> None:
        desk: Desk = new_desk(venue)
        meet(desk, name, kind, way)

    return case


def _thawed(exits: bool) -> Callable[[NewDesk, str], None]:
    return lambda new_desk, venue: thawed_after_the_fence(new_desk(venue), exits=exits)


TWICE, BOTH_THERE = "an entry was sent twice", "two orders of one id"
MADE, FOLLOWED = "and the venue made", "a redirect was followed"
MUTATIONS = {
    "ccxt retries, an entry": Mutation(ccxt_retries, _matrix("accept_hang", "market", "entry"), TWICE),
    "ccxt retries, an exit": Mutation(ccxt_retries, _matrix("accept_close", "market", "exit"), BOTH_THERE),
    "no answer is followed by another order, an entry": Mutation(
        submits_again, _matrix("accept_reset", "market", "entry"), TWICE
    ),
    "no answer is followed by another order, an exit": Mutation(
        submits_again, _matrix("accept_cut", "market", "exit"), BOTH_THERE
    ),
    "redirects are followed": Mutation(follows_redirects, _matrix("redirect", "limit", "entry"), FOLLOWED),
    "the fence is not pinned, an entry": Mutation(fence_of_now, _thawed(exits=False), MADE),
    "the fence is not pinned, an exit": Mutation(fence_of_now, _thawed(exits=True), "accepted"),
    "an error is read as a rejection": Mutation(
        errors_are_rejections, _matrix("accept_error", "market", "entry"), MADE
    ),
    "nothing shown is not found": Mutation(
        nothing_shown_is_not_found, lambda new_desk, venue: shown_nowhere(strict(new_desk, venue)), MADE
    ),
}


@pytest.mark.parametrize(("venue", "name"), [*product(["binance", "kraken"], MUTATIONS)])
def test_a_bug_on_the_wire_is_found(new_desk: NewDesk, venue: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = MUTATIONS[name]
    mutation.patch(monkeypatch)
    with pytest.raises(AssertionError, match=mutation.says):
        mutation.case(new_desk, venue)
