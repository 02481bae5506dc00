"""Every change to an order as one value: what it changes together, and what no order of news can break."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.domain.account import Account
from belay.domain.decisions import Side
from belay.domain.errors import IllegalTransition
from belay.domain.orders import TERMINAL, TRANSITIONS, UNRESOLVED, WORKING, Order, OrderState
from belay.domain.transitions import (
    Change,
    conclude_absent,
    deny,
    lapse,
    note,
    observe,
    presume_unknown,
    record_fill,
    release,
    settle,
)
from belay.domain.venues import Outcome, OutcomeKind, VenueStatus, VenueTrade
from tests.builders import (
    NOW,
    PRICE,
    QUANTITY,
    STRATEGY,
    SYMBOL,
    make_account,
    make_buy,
    make_claim,
    make_decision,
    make_order,
    make_requirement,
    make_sell,
    make_stamp,
    make_trade,
    make_venue_order,
)

S = OrderState
STAMP = make_stamp("later")


def claimed(**changes: Any) -> tuple[Order, Account]:
    """A claimed order and its account; `changes` are to the order afterwards."""
    change = make_claim(make_order())
    assert change.account is not None
    return change.order.model_copy(update=changes), change.account


def outcome(kind: OutcomeKind, **changes: Any) -> Outcome:
    return Outcome(**{"kind": kind, "code": str(kind), **changes})


def applied(change: Change | None, account: Account) -> tuple[Order, Account]:
    assert change is not None
    return change.order, change.account or account


# --- claim ------------------------------------------------------------------------------------------------------------


def test_a_claim_reserves_what_the_request_may_do_in_the_same_change() -> None:
    order = make_order()
    change = make_claim(order, requirement=make_requirement(configuration_version=3))
    assert (change.previous_version, change.order.version, change.order.state) == (0, 1, S.SUBMITTED)
    assert change.order.attempt is not None
    assert (change.order.attempt.attempt_id, change.order.attempt.number) == ("claim-1", 1)
    assert change.requirement == make_requirement(configuration_version=3)
    assert change.account is not None
    held = change.account.reservations[order.order_id]
    assert (held.quantity, held.price, held.unresolved) == (QUANTITY, PRICE, True)
    assert held.notional == QUANTITY * PRICE * (1 + order.assumed_cost)
    assert change.account.submissions == (change.order.attempt.request.claimed_at,)
    assert change.account.version == 1


@pytest.mark.parametrize("state", sorted(set(S) - {S.CREATED, S.NOT_SENT}))
def test_a_claim_of_an_order_that_may_be_at_the_venue_is_illegal(state: OrderState) -> None:
    with pytest.raises(IllegalTransition):
        make_claim(make_order().model_copy(update={"state": state}))


def test_a_verdict_is_given_once() -> None:
    denied, lapsed = make_order(state="DENIED"), make_order(state="LAPSED")
    unknown, absent = make_order(state="UNKNOWN"), make_order(state="NOT_SENT")
    repeated: tuple[Callable[[], Change], ...] = (
        lambda: deny(denied, "stop", STAMP, {}),
        lambda: lapse(lapsed, STAMP, "expired", asked_for=False),
        lambda: presume_unknown(unknown, "no answer", STAMP),
        lambda: conclude_absent(absent, make_account(), {}, STAMP),
    )
    for again in repeated:
        with pytest.raises(IllegalTransition, match="already"):
            again()


def test_a_second_attempt_keeps_one_reservation_and_counts_up() -> None:
    order, account = claimed()
    order, account = applied(conclude_absent(order, account, {}, STAMP), account)
    again = make_claim(order, account, write_id="claim-2")
    assert again.order.attempt is not None
    assert (again.order.attempt.number, again.order.misses, again.order.terminal_at) == (2, (), None)
    assert again.account is not None
    assert [held.unresolved for held in again.account.reservations.values()] == [True]


def test_an_intent_is_denied_or_lapses_only_before_a_claim() -> None:
    for change in (
        deny(make_order(), "max_order_notional", STAMP, {}),
        lapse(make_order(), STAMP, "expired", asked_for=False),
    ):
        assert change.order.settled
        assert change.account is None
    order, _ = claimed()
    with pytest.raises(IllegalTransition):
        deny(order, "max_order_notional", STAMP, {})
    with pytest.raises(IllegalTransition):
        lapse(order, STAMP, "expired", asked_for=False)


# --- settle -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "state", "unresolved"),
    [
        (OutcomeKind.REJECTED, S.REJECTED, False),
        (OutcomeKind.NOT_SENT, S.NOT_SENT, False),
        (OutcomeKind.UNKNOWN, S.UNKNOWN, True),
        (OutcomeKind.CONFIGURATION, S.UNKNOWN, True),
    ],
)
def test_an_outcome_leads_to_its_state_and_keeps_the_reservation(
    kind: OutcomeKind, state: OrderState, unresolved: bool
) -> None:
    """hummingbot #7294: a failure is not "not placed"; the reservation stays until a look-up confirms."""
    order, account = claimed()
    order, account = applied(settle(order, account, "claim-1", outcome(kind), STAMP), account)
    assert (order.state, order.settled) == (state, False)
    assert account.reservations[order.order_id].unresolved is unresolved
    assert account.reservations[order.order_id].quantity == QUANTITY


def test_an_accepted_order_is_attached() -> None:
    order, account = claimed()
    accepted = outcome(OutcomeKind.ACCEPTED, venue_order=make_venue_order(order))
    order, account = applied(settle(order, account, "claim-1", accepted, STAMP), account)
    assert (order.state, order.venue_order_ids) == (S.ACKNOWLEDGED, ("V1",))
    assert not account.reservations[order.order_id].unresolved


def test_an_acceptance_without_an_order_is_unknown() -> None:
    """Corpus 55: the venue returns 200 with nothing that can be believed."""
    order, account = claimed()
    order, _ = applied(settle(order, account, "claim-1", outcome(OutcomeKind.ACCEPTED), STAMP), account)
    assert order.state is S.UNKNOWN


def test_only_the_attempt_that_sent_may_settle() -> None:
    order, account = claimed()
    assert settle(order, account, "claim-0", outcome(OutcomeKind.NOT_SENT), STAMP) is None
    assert settle(make_order(), account, "claim-1", outcome(OutcomeKind.NOT_SENT), STAMP) is None


@pytest.mark.parametrize("state", sorted(set(S) - UNRESOLVED))
@pytest.mark.parametrize("kind", OutcomeKind)
def test_a_late_outcome_never_overwrites_better_news(state: OrderState, kind: OutcomeKind) -> None:
    """Corpus 46: a process frozen while another one resolved its order."""
    order, account = claimed(state=state)
    late = outcome(kind, venue_order=make_venue_order(order))
    assert settle(order, account, "claim-1", late, STAMP) is None


@pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.NOT_SENT])
def test_the_sender_itself_may_still_say_what_became_of_an_unknown_order(kind: OutcomeKind) -> None:
    order, account = claimed(state=S.UNKNOWN)
    order, account = applied(settle(order, account, "claim-1", outcome(kind), STAMP), account)
    assert order.state in (S.REJECTED, S.NOT_SENT)
    assert not account.reservations[order.order_id].unresolved


def test_an_unknown_outcome_of_an_unknown_order_is_recorded_and_changes_nothing() -> None:
    order, account = claimed(state=S.UNKNOWN)
    change = settle(order, account, "claim-1", outcome(OutcomeKind.UNKNOWN), STAMP)
    assert change is not None
    assert (change.order.state, change.account) == (S.UNKNOWN, None)


# --- observe ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.CREATED, S.DENIED, S.LAPSED])
def test_the_venue_cannot_have_an_order_that_was_never_sent(state: OrderState) -> None:
    order = make_order().model_copy(update={"state": state})
    with pytest.raises(IllegalTransition, match="the venue has an order"):
        observe(order, make_account(), make_venue_order(order), "seen", STAMP)
    with pytest.raises(IllegalTransition, match="reports a fill"):
        record_fill(order, make_account(), make_trade(), STAMP)


def test_the_same_sight_twice_is_no_news() -> None:
    order, account = claimed()
    seen = make_venue_order(order, filled_quantity="0.04")
    order, account = applied(observe(order, account, seen, "seen", STAMP), account)
    assert order.state is S.PARTIALLY_FILLED
    assert observe(order, account, seen, "seen", STAMP) is None


def test_an_older_sight_does_not_take_back_what_the_venue_filled() -> None:
    order, account = claimed()
    order, account = applied(
        observe(order, account, make_venue_order(order, filled_quantity="0.04"), "", STAMP), account
    )
    assert observe(order, account, make_venue_order(order, filled_quantity="0.01"), "", STAMP) is None


def test_a_second_venue_order_is_kept_beside_the_first() -> None:
    order, account = claimed()
    for venue_order_id in ("V1", "V2"):
        seen = make_venue_order(order, venue_order_id=venue_order_id)
        order, account = applied(observe(order, account, seen, "seen", STAMP), account)
    assert order.venue_order_ids == ("V1", "V2")


@pytest.mark.parametrize("state", [S.REJECTED, S.NOT_SENT])
def test_venue_evidence_revives_an_order_that_was_believed_dead(state: OrderState) -> None:
    """hummingbot #3374: six "dead" buys fill later."""
    order, account = claimed(state=state, terminal_at=NOW)
    order, account = applied(observe(order, account, make_venue_order(order), "seen", STAMP), account)
    assert (order.state, order.terminal_at, order.settled) == (S.ACKNOWLEDGED, None, False)
    assert not account.reservations[order.order_id].unresolved


@pytest.mark.parametrize("news", ["order", "fill"])
def test_an_order_that_comes_back_to_life_holds_its_reservation_again(news: str) -> None:
    """Released after a rejection, and open at the venue after all: limits and exit caps must count it."""
    order, account = claimed()
    order, account = applied(settle(order, account, "claim-1", outcome(OutcomeKind.REJECTED), STAMP), account)
    order, account = applied(release(order, account, STAMP, "absence confirmed"), account)
    assert not account.reservations
    version = account.version
    if news == "order":
        change = observe(order, account, make_venue_order(order), "seen", STAMP)
    else:
        change = record_fill(order, account, make_trade(quantity="0.04"), STAMP)
    order, account = applied(change, account)
    assert account.version == version + 1
    held = account.reservations[order.order_id]
    assert (held.quantity, held.price, held.unresolved) == (order.remaining, PRICE, False)


def test_filled_means_all_of_it_so_the_fills_must_still_come() -> None:
    """freqtrade #9128: an unfilled order recorded as filled."""
    order, account = claimed()
    seen = make_venue_order(order, status=VenueStatus.FILLED, filled_quantity="0")
    order, account = applied(observe(order, account, seen, "seen", STAMP), account)
    assert (order.state, order.venue_filled, order.filled_quantity) == (S.FILLED, QUANTITY, Decimal(0))
    assert not order.explained
    assert account.positions == {}
    with pytest.raises(IllegalTransition, match="cannot be released"):
        release(order, account, STAMP, "settled")


def test_a_rejection_after_a_partial_fill_ends_the_order_as_cancelled() -> None:
    """Else the order would stay at work for ever: what was partly filled was not rejected."""
    order, account = claimed()
    refused = make_venue_order(order, status=VenueStatus.REJECTED)
    order, account = applied(observe(order, account, refused, "seen", STAMP), account)
    assert order.state is S.REJECTED
    order, account = applied(record_fill(order, account, make_trade(quantity="0.04"), STAMP), account)
    assert order.state is S.PARTIALLY_FILLED
    order, account = applied(observe(order, account, refused, "seen", STAMP), account)
    assert order.state is S.CANCELLED


# --- fills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(S) - {S.CREATED, S.DENIED, S.LAPSED}))
def test_a_fill_counts_in_every_state_that_was_ever_sent(state: OrderState) -> None:
    """hummingbot #4738, corpus 56: after a cancel, after a rejection, before the acknowledgement."""
    order, account = claimed(state=state)
    order, account = applied(record_fill(order, account, make_trade(quantity="0.04"), STAMP), account)
    assert order.filled_quantity == Decimal("0.04")
    assert account.position(STRATEGY, SYMBOL).quantity == Decimal("0.04")
    assert account.traded == {"BTC": Decimal("0.04"), "USD": Decimal("-401")}
    assert not account.reservations[order.order_id].unresolved


def test_the_last_fill_completes_an_order_even_after_a_cancel() -> None:
    """Corpus 57: the cancel crosses the fill."""
    order, account = claimed(state=S.CANCELLED)
    order, account = applied(record_fill(order, account, make_trade("T1", quantity="0.04"), STAMP), account)
    assert order.state is S.CANCELLED
    order, account = applied(record_fill(order, account, make_trade("T2", quantity="0.06"), STAMP), account)
    assert order.state is S.FILLED
    assert account.reservations[order.order_id].quantity == 0


def test_an_order_collects_the_fees_of_its_fills_by_asset() -> None:
    order, account = claimed()
    trades = [
        make_trade("T1", quantity="0.04", fees={"USD": "1", "BNB": "0.1"}),
        make_trade("T2", quantity="0.06", fees={"USD": "2"}),
    ]
    for trade in trades:
        order, account = applied(record_fill(order, account, trade, STAMP), account)
    assert order.fees == {"USD": Decimal(3), "BNB": Decimal("0.1")}
    assert order.filled_notional == QUANTITY * PRICE


def test_a_fill_of_a_settled_order_opens_it_again() -> None:
    order, account = claimed(state=S.CANCELLED)
    order, account = applied(release(order, account, STAMP, "settled"), account)
    order, _ = applied(record_fill(order, account, make_trade(quantity="0.04"), STAMP), account)
    assert not order.settled


# --- absence and release ----------------------------------------------------------------------------------------------


def test_a_claim_without_an_answer_becomes_unknown_and_keeps_everything() -> None:
    order, account = claimed()
    change = presume_unknown(order, "no answer", STAMP)
    assert (change.order.state, change.account) == (S.UNKNOWN, None)
    assert account.reservations[order.order_id].unresolved


@pytest.mark.parametrize("state", sorted(WORKING | {S.CANCELLED, S.EXPIRED, S.FILLED, S.CREATED, S.REJECTED}))
def test_absence_is_concluded_only_of_an_order_whose_outcome_is_open(state: OrderState) -> None:
    """freqtrade #4403: not found just after creation. An order that was seen cannot be absent."""
    order, account = claimed(state=state)
    with pytest.raises(IllegalTransition):
        conclude_absent(order, account, {}, STAMP)


@pytest.mark.parametrize("state", sorted(UNRESOLVED | WORKING | {S.CREATED}))
def test_a_reservation_is_not_released_while_the_order_may_still_act(state: OrderState) -> None:
    """The reconciler gives up an expired exit at the moment the executor claims it again."""
    order, account = claimed(state=state)
    with pytest.raises(IllegalTransition, match="cannot be released"):
        release(order, account, STAMP, "expired")


def test_a_reservation_is_not_released_before_its_fills_explain_the_venues_quantity() -> None:
    order, account = claimed(state=S.CANCELLED, venue_filled=Decimal("0.04"))
    with pytest.raises(IllegalTransition):
        release(order, account, STAMP, "settled")
    order, account = applied(record_fill(order, account, make_trade(quantity="0.04"), STAMP), account)
    order, account = applied(release(order, account, STAMP, "settled"), account)
    assert order.settled
    assert not account.reservations


def test_releasing_twice_leaves_the_account_alone() -> None:
    order, account = claimed(state=S.CANCELLED)
    order, account = applied(release(order, account, STAMP, "settled"), account)
    assert release(order, account, STAMP, "settled").account is None


def test_every_change_is_told_by_one_event_with_both_clocks() -> None:
    order, _ = claimed()
    change = note(order, "published again", STAMP, {"why": "lost"}, publications=1)
    assert change.order.publications == 1
    event = change.event
    assert (event.sequence, event.from_state, event.to_state) == (2, S.SUBMITTED, S.SUBMITTED)
    assert (event.cause, event.attempt_id, event.detail) == ("published again", "claim-1", {"why": "lost"})
    assert (event.exchange_time, event.recorded_at) == (STAMP.exchange_time, STAMP.recorded_at)


# --- any news in any order --------------------------------------------------------------------------------------------

PORTIONS = ("0.02", "0.03", "0.05", "0.04")
SIGHTS = st.tuples(st.sampled_from(VenueStatus), st.sampled_from(("0", "0.05", "0.1")), st.sampled_from(("V1", "V2")))
NEWS = st.one_of(
    st.tuples(st.just("sight"), SIGHTS),
    st.tuples(st.just("fill"), st.sampled_from(range(len(PORTIONS)))),
    st.tuples(st.just("outcome"), st.tuples(st.sampled_from(OutcomeKind), st.sampled_from(("claim-1", "claim-2")))),
    st.tuples(st.just("silence"), st.none()),
    st.tuples(st.just("absence"), st.none()),
    st.tuples(st.just("release"), st.none()),
    st.tuples(st.just("claim"), st.none()),
)


@dataclass
class Book:
    """An order and its account as a ledger would keep them: a trade that is already recorded is refused."""

    order: Order
    account: Account
    trades: dict[str, VenueTrade] = field(default_factory=dict)

    def hear(self, kind: str, news: Any) -> None:
        change = getattr(self, kind)(news)
        if change is None:
            return
        before, after = change.event.from_state, change.event.to_state
        assert before is self.order.state
        assert after is before or after in TRANSITIONS[before]
        assert change.previous_version == self.order.version
        assert change.order.version == change.event.sequence == self.order.version + 1
        if change.account is not None:
            assert change.account.version == self.account.version + 1
        self.order, self.account = change.order, change.account or self.account

    def sight(self, news: tuple[VenueStatus, str, str]) -> Change | None:
        status, filled, venue_id = news
        seen = make_venue_order(self.order, status=status, filled_quantity=filled, venue_order_id=venue_id)
        return observe(self.order, self.account, seen, "seen", STAMP)

    def fill(self, number: int) -> Change | None:
        trade = make_trade(f"T{number}", side=self.order.side, quantity=PORTIONS[number])
        if trade.key in self.trades:
            return None
        self.trades[trade.key] = trade
        return record_fill(self.order, self.account, trade, STAMP)

    def outcome(self, news: tuple[OutcomeKind, str]) -> Change | None:
        kind, attempt_id = news
        heard = outcome(kind, venue_order=make_venue_order(self.order))
        return settle(self.order, self.account, attempt_id, heard, STAMP)

    def silence(self, _: None) -> Change | None:
        return presume_unknown(self.order, "no answer", STAMP) if self.order.state is S.SUBMITTED else None

    def absence(self, _: None) -> Change | None:
        if self.order.state not in UNRESOLVED:
            return None
        return conclude_absent(self.order, self.account, {}, STAMP)

    def release(self, _: None) -> Change | None:
        releasable = self.order.state in TERMINAL and self.order.explained
        return release(self.order, self.account, STAMP, "settled") if releasable else None

    def claim(self, _: None) -> Change | None:
        again = self.order.state is S.NOT_SENT and not self.order.settled
        return make_claim(self.order, self.account, write_id="claim-2") if again else None

    def check(self) -> None:
        order, held = self.order, self.account.reservations.get(self.order.order_id)
        filled = sum((trade.quantity for trade in self.trades.values()), Decimal(0))
        sign = 1 if order.side is Side.BUY else -1
        assert order.filled_quantity == filled <= order.venue_filled
        assert order.filled_notional == filled * PRICE
        assert self.account.position(STRATEGY, SYMBOL).quantity == sign * filled
        assert (order.terminal_at is not None) == (order.state in TERMINAL)
        assert order.state is not S.FILLED or order.venue_filled >= QUANTITY
        assert not order.settled or (order.state in TERMINAL and held is None)
        if order.state in UNRESOLVED | WORKING:
            assert held is not None
        if held is not None:
            assert held.quantity == order.remaining
            assert held.unresolved == (order.state in UNRESOLVED)


@given(selling=st.booleans(), news=st.lists(NEWS, max_size=14))
def test_no_order_of_news_breaks_an_order_or_its_account(selling: bool, news: list[tuple[str, Any]]) -> None:
    """Late, repeated, dropped, out of order: nautilus_trader #3046, freqtrade #11461, corpus 53, 56 and 57."""
    change = make_claim(make_order(make_decision(make_sell() if selling else make_buy())))
    assert change.account is not None
    book = Book(change.order, change.account)
    book.check()
    for kind, heard in news:
        book.hear(kind, heard)
        book.check()


@given(st.permutations([*range(len(PORTIONS)), *range(len(PORTIONS))]))
def test_the_order_and_the_number_of_times_that_fills_arrive_make_no_difference(numbers: list[int]) -> None:
    """hummingbot #3317: the same fill logged twice."""
    order, account = claimed()
    book = Book(order, account)
    for number in numbers:
        book.hear("fill", number)
    held = book.account.position(STRATEGY, SYMBOL)
    assert (book.order.state, book.order.filled_quantity) == (S.FILLED, Decimal("0.14"))
    assert (held.quantity, held.cost) == (Decimal("0.14"), Decimal("1404"))
