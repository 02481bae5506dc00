"""Orders: the table of legal transitions, how legs become orders, and when one may be claimed."""

from datetime import timedelta
from decimal import Decimal

import pytest

from belay.domain.decisions import Cancel, Reduce, Side
from belay.domain.errors import IllegalTransition
from belay.domain.orders import (
    NEVER_SENT,
    TERMINAL,
    TRANSITIONS,
    UNRESOLVED,
    WORKING,
    Order,
    OrderState,
    Verdict,
    Word,
    claimable,
    created_event,
    created_orders,
    require_legal,
)
from belay.domain.venues import Fence, VenueProfile
from tests.builders import NOW, SYMBOL, make_buy, make_claim, make_decision, make_hold, make_order, make_sell, seconds

S = OrderState


def profile(resend: str = "after_absence") -> VenueProfile:
    return VenueProfile.model_validate(
        {
            "name": "paper",
            "uniqueness": "open_only",
            "fence": Fence(window_seconds=10, grace_seconds=2, definitive=True),
            "miss_spacing_seconds": 1,
            "history_lag_seconds": 0,
            "closed_retention_seconds": 3600,
            "resend": resend,
            "submit_timeout_seconds": 5,
        }
    )


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_state_has_a_row_and_belongs_to_exactly_one_kind() -> None:
    assert set(TRANSITIONS) == set(S)
    kinds = [{S.CREATED}, UNRESOLVED, WORKING, TERMINAL]
    assert all(sum(state in kind for kind in kinds) == 1 for state in S)


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_what_the_table_does_not_hold_is_refused(before: OrderState, after: OrderState) -> None:
    if after is before or after in TRANSITIONS[before]:
        require_legal(make_order(state=before), after)
        return
    with pytest.raises(IllegalTransition, match=f"{before} to {after}"):
        require_legal(make_order(state=before), after)


def test_denied_and_lapsed_are_reached_only_from_created_and_left_never() -> None:
    for state in (S.DENIED, S.LAPSED):
        assert [before for before in S if state in TRANSITIONS[before]] == [S.CREATED]
        assert not TRANSITIONS[state]


def test_nothing_leaves_filled() -> None:
    assert not TRANSITIONS[S.FILLED]


def test_only_a_first_intent_or_a_proven_absent_order_can_be_claimed() -> None:
    assert {before for before in S if S.SUBMITTED in TRANSITIONS[before]} == {S.CREATED, S.NOT_SENT}


def test_an_unknown_order_never_ages_into_a_local_verdict() -> None:
    """nautilus_trader #4152: an ambiguous submission aged into REJECTED. Only venue evidence or a proof ends it."""
    assert not TRANSITIONS[S.UNKNOWN] & {S.CREATED, S.SUBMITTED, S.DENIED, S.LAPSED}


def test_no_transition_leads_back_to_created_or_from_the_venue_to_unknown() -> None:
    assert not any(S.CREATED in after for after in TRANSITIONS.values())
    assert [before for before in S if S.UNKNOWN in TRANSITIONS[before]] == [S.SUBMITTED]


def test_every_state_that_was_sent_can_still_reach_filled() -> None:
    """hummingbot #4738: after a cancel that said "not open" the fill was lost. Terminal orders stay fillable."""
    for state in set(S) - NEVER_SENT - {S.FILLED}:
        assert S.FILLED in TRANSITIONS[state]


# --- from legs to orders ----------------------------------------------------------------------------------------------


def created(*legs: object) -> tuple[Order, ...]:
    return created_orders(make_decision(*legs), NOW + seconds(300), Decimal("0.0015"))  # type: ignore[arg-type]


def test_each_leg_becomes_an_order_of_its_side_and_kind() -> None:
    orders = created(make_buy(), Reduce(symbol=SYMBOL, reason="out"), make_sell())
    told = [(order.side, order.reducing, order.resizable, order.quantity) for order in orders]
    assert told == [
        (Side.SELL, True, True, None),
        (Side.SELL, True, False, Decimal("0.1")),
        (Side.BUY, False, True, Decimal("0.1")),
    ]


def test_an_order_carries_its_decisions_ids_times_and_costs() -> None:
    record = make_decision()
    (order,) = created_orders(record, NOW + seconds(300), Decimal("0.0015"))
    assert (order.order_id,) == record.order_ids
    assert (order.decision_id, order.write_id) == (record.decision_id, record.write_id)
    assert (order.market_time, order.created_at, order.expires_at) == (NOW, record.decided_at, NOW + seconds(300))
    assert (order.state, order.version, order.assumed_cost) == (S.CREATED, 0, Decimal("0.0015"))


def test_a_cancel_makes_no_order_and_a_hold_neither() -> None:
    assert created(Cancel(order_id="0" * 32, reason="stale")) == ()
    assert created_orders(make_hold(), NOW, Decimal(0)) == ()


def test_the_first_event_of_an_order_tells_why_it_was_decided() -> None:
    record = make_decision()
    event = created_event(make_order(record), record)
    assert (event.sequence, event.cause, event.detail) == (0, "decided", {"reason": "fast crossed above slow"})
    assert (event.exchange_time, event.recorded_at) == (record.decided_at, record.recorded_at)


def test_exits_do_not_share_a_message_group_with_entries() -> None:
    entry, exit_ = make_order(), make_order(make_decision(make_sell()))
    assert entry.message_group == "paper:BTC-USD"
    assert exit_.message_group == "paper:BTC-USD:exit"


# --- what is left -----------------------------------------------------------------------------------------------------


def test_what_remains_is_what_was_requested_less_what_filled_and_never_negative() -> None:
    order = make_order()
    assert order.remaining == Decimal("0.1")
    assert order.model_copy(update={"quantity": None}).remaining == 0
    claimed = make_claim(order).order
    assert claimed.model_copy(update={"filled_quantity": Decimal("0.04")}).remaining == Decimal("0.06")
    assert claimed.model_copy(update={"filled_quantity": Decimal("0.2")}).remaining == 0


def test_an_average_price_needs_fills() -> None:
    """freqtrade #9128: an order that had not filled was recorded as filled."""
    order = make_order()
    assert order.average_price is None
    filled = order.model_copy(update={"filled_quantity": Decimal("0.1"), "filled_notional": Decimal(1000)})
    assert filled.average_price == Decimal(10_000)


def test_fills_explain_an_order_only_when_they_reach_what_the_venue_says() -> None:
    order = make_order(venue_filled="0.1", filled_quantity="0.0999")
    assert not order.explained
    assert order.model_copy(update={"filled_quantity": Decimal("0.1")}).explained


# --- when it may be claimed -------------------------------------------------------------------------------------------


def absent(*, reducing: bool = True, confirmed: bool = True, settled: bool = False) -> Order:
    order = make_order(make_decision(make_sell() if reducing else make_buy()))
    misses = (NOW + timedelta(seconds=20),) if confirmed else ()
    return order.model_copy(update={"state": S.NOT_SENT, "misses": misses, "settled": settled})


@pytest.mark.parametrize("state", S)
def test_of_all_entries_only_a_created_one_may_be_claimed(state: OrderState) -> None:
    """scrtlabs/catalyst #317: a timeout, "ordering again", the order placed twice."""
    order = make_order().model_copy(update={"state": state, "misses": (NOW,)})
    assert claimable(order, profile()) is (state is S.CREATED)


def test_an_exit_whose_absence_is_proven_and_confirmed_may_be_claimed_again() -> None:
    assert claimable(absent(), profile())


@pytest.mark.parametrize("why", [{"reducing": False}, {"confirmed": False}, {"settled": True}])
def test_otherwise_a_proven_absent_order_is_not_claimed_again(why: dict[str, bool]) -> None:
    assert not claimable(absent(**why), profile())


def test_a_venue_that_forbids_resending_forbids_it_for_exits_too() -> None:
    assert not claimable(absent(), profile(resend="never"))


@pytest.mark.parametrize("state", sorted(set(S) - {S.CREATED, S.NOT_SENT}))
def test_an_exit_that_may_be_at_the_venue_is_never_claimed_again(state: OrderState) -> None:
    """hummingbot #7294: the executor retried a close that had not failed, and both filled."""
    assert not claimable(absent().model_copy(update={"state": state}), profile())


def test_an_order_of_which_nothing_was_said_is_stored_as_it_was_before_words_were_known() -> None:
    """Its text, and so its digest, are those that an older version wrote."""
    assert "word" not in make_order().model_dump(mode="json")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_a_person_said_gives_way_to_the_venue_and_never_to_another_attempt(verdict: Verdict) -> None:
    word = Word(verdict=verdict, author="ada", reason="looked", at=NOW)
    for state in (S.NOT_SENT, S.CANCELLED):
        said = make_order(state=state, word=word)
        assert {S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.FILLED} <= said.following
        assert S.SUBMITTED not in said.following
    assert S.ACKNOWLEDGED not in make_order(state=S.CANCELLED).following
