"""An order whose end the venue does not tell: it is asked first; then a person's word ends it, and is kept."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import StopLevel
from belay.domain.decisions import Hold
from belay.domain.errors import InvalidInput, SymbolUnavailable, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState, Verdict, claimable
from belay.domain.record import digest
from belay.domain.retirement import RetireRequest
from belay.domain.venues import UnreadRow, VenueOrder, VenueStatus
from belay.domain.verdicts import VerdictRequest
from belay.workflows.resolve_order import Resolved, answer, resolve_order
from belay.workflows.retire import retire
from belay.workflows.updates import end_incident
from tests.builders import ACCOUNT, NOW, SYMBOL, make_limits
from tests.world import (
    FAULTS,
    UnfencedVenue,
    World,
    blaming,
    changed,
    disturbed,
    instead,
    lose_answer,
    make_reduce,
    meanwhile,
    refuse,
)

K, S = IncidentKind, OrderState
WORD = {"author": "ada", "reason": "the venue's support said so"}


def resolve(world: World, order: Order, **wish: Any) -> Resolved:
    return resolve_order(ACCOUNT, VerdictRequest.parse({"order": order.order_id, **WORD, **wish}), world.services())


def unknown(minutes: int = 12, *, lands: bool = False, **changes: Any) -> tuple[World, Order]:
    """An entry of which nothing is known where absence cannot be proven; `lands`: it is there all the same."""
    world = World(venue_type=UnfencedVenue)
    world.open_gate()
    order = world.buy(**changes)
    world.steps.next("venue.submit", lose_answer if lands else refuse)
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.open_orders", instead(()))
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(minutes)
    return world, world.order(order.order_id)


def forgotten() -> tuple[World, Order]:
    """A resting entry that the venue acknowledged and then no longer knows."""
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(1)
    forget(world)
    world.minutes(3)
    assert world.kinds() == [K.MISSING_ORDER]
    return world, world.order(order.order_id)


def forget(world: World) -> None:
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.open_orders", instead(()))


def remember(world: World) -> None:
    world.steps.calm()


def row(world: World, **changes: Any) -> dict[str, Any]:
    """The venue's row of its only trade."""
    (trade,) = world.venue_trades()
    told = {
        "trade_id": trade.trade_id,
        "venue_order_id": trade.venue_order_id,
        "side": trade.side.value,
        "quantity": str(trade.quantity),
        "price": str(trade.price),
        "fees": {asset: str(fee) for asset, fee in trade.fees.items()},
        "time": trade.at.isoformat(),
        "cost": None if trade.cost is None else str(trade.cost),
    }
    return {**told, **changes}


def its_minute(world: World, order: Order) -> None:
    """The minute of the hour in which this order is looked up."""
    due = int(digest(order.order_id)[:8], 16) % 60
    world.advance(minutes=(due - world.now.minute) % 60 or 60)


# --- a symbol that is gone -------------------------------------------------------------------------------------------


def delisted() -> tuple[World, Order]:
    """A resting entry in a symbol that the venue then no longer has: nothing can be looked up in it."""
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(1)
    for call in OF_A_SYMBOL:
        world.steps.always(call, gone)
    world.steps.always("venue.open_orders", instead(()))
    world.minutes(3)
    assert world.kinds() == [K.SYMBOL_UNAVAILABLE]
    return world, world.order(order.order_id)


OF_A_SYMBOL = ("venue.trades", "venue.lookup", "market.price", "market.market")


def gone(_call: str, perform: Any) -> Any:
    if perform.args[0] == SYMBOL:
        raise SymbolUnavailable(f"{SYMBOL} is not listed")
    return perform()


def retired(world: World) -> None:
    retire(ACCOUNT, RetireRequest(symbol=SYMBOL, reason="delisted", author="ada"), world.services())


def test_an_order_in_a_symbol_that_is_gone_for_a_day_ends_by_a_persons_word() -> None:
    world, order = delisted()
    world.advance(hours=24)
    told = resolve(world, order, verdict="cancelled")
    assert (told.state, told.settled, told.no_symbol) == (S.CANCELLED, True, f"{SYMBOL} is not listed")
    story = world.ledger.story(order.decision_id)
    assert story is not None
    assert story.events[-1].detail["no_symbol"] == f"{SYMBOL} is not listed"
    assert world.account.reservations == {}
    retired(world)
    assert world.account.retired == (SYMBOL,)


def test_before_a_day_is_over_nothing_can_be_said_of_it_since_it_may_only_be_halted() -> None:
    world, order = delisted()
    world.advance(hours=23)
    assert all("Ask again after 2024-03-02T12:0" in choice.remedy for choice in resolve(world, order).choices)
    for verdict in ("absent", "cancelled"):
        with pytest.raises(InvalidInput, match=f"the venue says that it has no {SYMBOL}"):
            resolve(world, order, verdict=verdict)
    assert world.order(order.order_id) == order


def test_a_day_counts_only_while_the_venue_says_so_throughout() -> None:
    world, order = delisted()
    end_incident(world.services(), ACCOUNT, f"{K.SYMBOL_UNAVAILABLE}:{SYMBOL}", "it is traded again")
    world.advance(hours=25)
    with pytest.raises(InvalidInput, match="Ask again once an incident has said so for a day"):
        resolve(world, order, verdict="cancelled")


def test_what_the_venue_acknowledged_is_not_absent_where_its_symbol_is_gone_either() -> None:
    world, order = delisted()
    world.advance(hours=24)
    with pytest.raises(InvalidInput, match="the venue had it as"):
        resolve(world, order, verdict="absent")
    assert world.order(order.order_id) == order


def test_an_order_that_is_listed_as_open_where_its_symbol_is_gone_is_followed() -> None:
    world, order = delisted()
    shown = world.venue().lookup(SYMBOL, order.order_id)
    world.advance(hours=24)
    world.steps.always("venue.open_orders", instead((shown,)))
    told = resolve(world, order, verdict="cancelled")
    assert told.shown is not None
    assert (told.word, told.state) == (None, S.ACKNOWLEDGED)


def test_nothing_is_said_of_it_while_a_row_of_the_open_orders_is_not_understood() -> None:
    world, order = delisted()
    world.advance(hours=24)
    row = UnreadRow(what="order", reference="77", problem="its status is not known")
    world.steps.always("venue.open_orders", instead((row,)))
    with pytest.raises(VenueUnavailable, match="of its open orders order"):
        resolve(world, order, verdict="cancelled")
    assert world.order(order.order_id) == order


def test_one_that_ended_so_is_asked_about_on_and_its_retired_symbol_is_no_news() -> None:
    world, order = delisted()
    world.advance(hours=24)
    resolve(world, order, verdict="cancelled")
    retired(world)
    limits = make_limits(max_position_notional={"ETH/USD": "5000"})
    world.configure(world.document.model_copy(update={"symbols": ("ETH/USD",), "limits": limits}))
    its_minute(world, order)
    mark = len(world.steps.calls)
    for _ in range(4):
        world.advance(seconds=12)
        world.reconcile()
    assert "venue.lookup" in world.steps.since(mark)
    assert K.SYMBOL_UNAVAILABLE not in world.kinds()


# --- absent ----------------------------------------------------------------------------------------------------------


def test_r18_an_unknown_order_ends_by_a_persons_word_and_its_symbol_takes_entries_again() -> None:
    world, order = unknown()
    assert world.kinds() == [K.UNKNOWN_OUTCOME]
    told = resolve(world, order, verdict="absent")
    assert (told.state, told.settled, told.shown) == (S.NOT_SENT, True, None)
    assert told.resolved == (f"unknown_outcome:{order.order_id}",)
    ended = world.order(order.order_id)
    assert ended.word is not None
    assert (ended.word.author, ended.word.reason, ended.word.verdict) == ("ada", WORD["reason"], Verdict.ABSENT)
    story = world.ledger.story(order.decision_id)
    assert story is not None
    assert story.events[-1].cause == "said to be absent"
    assert story.events[-1].detail["word"]["author"] == "ada"
    assert world.reconcile().clean
    world.check_promises()
    world.advance(hours=1)
    world.reconcile()
    assert world.state(world.buy()) is S.CREATED
    world.deliver()
    assert S.DENIED not in {o.state for o in world.ledger.orders(ACCOUNT, 9)}


def test_an_exit_that_was_said_to_be_absent_is_never_sent_again() -> None:
    world = World(venue_type=UnfencedVenue)
    world.holding()
    (order,) = world.decide(make_reduce())
    world.steps.next("venue.submit", refuse)
    world.deliver()
    world.minutes(12)
    resolve(world, order, verdict="absent")
    assert not claimable(world.order(order.order_id), UnfencedVenue.profile)
    again = UnfencedVenue.profile.model_copy(update={"resend": "after_absence"})
    assert not claimable(world.order(order.order_id), again)
    world.minutes(3)
    assert world.execute(order.order_id).result != "submitted"
    assert world.accepted(order) == 0
    assert world.position() == Decimal("0.1")


def test_absence_is_not_said_before_the_venue_could_have_told_of_the_order() -> None:
    world, order = unknown(minutes=9)
    before = world.order(order.order_id)
    with pytest.raises(InvalidInput) as refused:
        resolve(world, order, verdict="absent")
    assert refused.value.field == "resolve_order.absent"
    assert "is UNKNOWN, and may still show up" in refused.value.problem
    assert world.order(order.order_id) == before


def test_an_order_that_the_venue_acknowledged_is_never_called_absent() -> None:
    world, order = forgotten()
    world.advance(hours=5)
    with pytest.raises(InvalidInput, match="ACKNOWLEDGED: the venue had it as"):
        resolve(world, order, verdict="absent")
    assert world.state(order) is S.ACKNOWLEDGED


def test_without_a_word_it_says_what_may_be_said() -> None:
    world, order = unknown()
    told = resolve(world, order)
    assert [(c.verdict, c.problem == "") for c in told.choices] == [
        (Verdict.ABSENT, True),
        (Verdict.CANCELLED, False),
        (Verdict.FILLED, True),
    ]
    assert told.state is S.UNKNOWN
    assert world.kinds() == [K.UNKNOWN_OUTCOME]


# --- the venue goes first --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [None, "absent", "cancelled"])
def test_what_the_venue_shows_is_followed_whatever_is_said(verdict: str | None) -> None:
    world, order = unknown(lands=True, limit_price="9000")
    remember(world)
    told = resolve(world, order, **({"verdict": verdict} if verdict else {}))
    assert told.shown is not None
    assert (told.state, told.word) == (S.ACKNOWLEDGED, None)
    assert told.resolved == (f"unknown_outcome:{order.order_id}",)
    assert world.reconcile().clean


def test_while_the_venue_cannot_be_asked_nothing_is_said() -> None:
    world, order = unknown()
    world.steps.always("venue.lookup", instead(VenueUnavailable("no answer")))
    told = answer(
        {"account": ACCOUNT, "resolve_order": {"order": order.order_id, "verdict": "absent", **WORD}}, world.services()
    )
    assert told["error"] == "resolve_order"
    assert "could not be asked" in told["problem"]
    assert world.state(order) is S.UNKNOWN


def test_fills_that_the_venue_shows_are_counted_before_anything_is_said() -> None:
    """It filled, and then the venue forgot the order: what is left of it may be called cancelled, no more."""
    world = World(volume="0.4")
    world.open_gate()
    order = world.buy()
    world.deliver()
    forget(world)
    told = resolve(world, world.order(order.order_id), verdict="cancelled")
    filled = Decimal(told.filled_quantity)
    assert 0 < filled < Decimal("0.1")
    assert filled == world.position()
    assert told.state is S.CANCELLED
    world.minutes(2)
    assert world.account.reservations == {}


def test_r17_an_order_that_was_changed_at_the_venue_is_taken_as_it_is() -> None:
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()

    def edit(seen: Any) -> Any:
        ours = {"quantity": Decimal("0.05"), "limit_price": Decimal("9100")}
        change: Callable[[VenueOrder], VenueOrder] = lambda one: one.model_copy(update=ours)  # noqa: E731
        return tuple(map(change, seen)) if isinstance(seen, tuple) else seen and change(seen)

    for call in ("venue.open_orders", "venue.lookup"):
        world.steps.always(call, changed(edit))
    world.minutes(3)
    assert world.kinds() == [K.ORDER_MISMATCH]
    with pytest.raises(InvalidInput, match=r"shows it changed: buy 0\.05"):
        resolve(world, order, reason="")
    told = resolve(world, order)
    assert told.resolved == (f"order_mismatch:{order.order_id}",)
    taken = world.order(order.order_id)
    assert taken.attempt is not None
    assert (taken.attempt.request.quantity, taken.attempt.request.limit_price) == (Decimal("0.05"), Decimal(9100))
    assert world.account.reservations[order.order_id].quantity == Decimal("0.05")
    assert world.reconcile().clean
    assert world.kinds() == []


# --- cancelled -------------------------------------------------------------------------------------------------------


def test_r17_a_working_order_that_the_venue_lost_is_called_cancelled() -> None:
    world, order = forgotten()
    told = resolve(world, order, verdict="cancelled")
    assert (told.state, told.settled) == (S.CANCELLED, True)
    assert told.resolved == (f"missing_order:{order.order_id}",)
    assert world.account.reservations == {}
    assert world.reconcile().clean
    assert world.kinds() == []
    assert world.account.stops == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_any_step_a_repetition_ends_it_once(fault: Any) -> None:
    orders: list[Order] = []

    def make() -> World:
        world, order = forgotten()
        orders[:] = [order]
        return world

    def act(world: World) -> None:
        resolve(world, world.ledger.orders(ACCOUNT, 1)[0], verdict="cancelled")

    for step, world in disturbed(make, act, fault):
        with blaming(step):
            forget(world)
            act(world)
            assert world.causes(world.ledger.orders(ACCOUNT, 1)[0]).count("said to be cancelled") == 1
            assert world.reconcile().clean
            assert world.kinds() == []


def test_said_twice_it_changes_nothing_twice() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    before = world.order(order.order_id), world.account
    told = resolve(world, order, verdict="cancelled", author="bob")
    assert (told.already, told.word and told.word.author) == (True, "ada")
    assert (world.order(order.order_id), world.account) == before


def test_two_words_at_once_are_one() -> None:
    world, order = forgotten()
    world.steps.next("ledger.commit", meanwhile(lambda: resolve(world, order, verdict="cancelled", author="bob")))
    told = answer(
        {"account": ACCOUNT, "resolve_order": {"order": order.order_id, "verdict": "cancelled", **WORD}},
        world.services(),
    )
    assert told["already"]
    assert world.causes(order).count("said to be cancelled") == 1


# --- filled ----------------------------------------------------------------------------------------------------------


def test_r17_the_venues_rows_are_fills_and_the_same_trades_count_once_when_they_arrive() -> None:
    world, order = unknown(lands=True)
    world.steps.always("venue.trades", changed(lambda page: page.model_copy(update={"trades": ()})))
    told = resolve(world, order, verdict="filled", trades=[row(world)])
    assert (told.state, told.settled, told.filled_quantity) == (S.FILLED, True, "0.1")
    (fill,) = world.fills()
    assert fill.key == world.venue_trades()[0].key
    story = world.ledger.story(order.decision_id)
    assert story is not None
    told_of = next(event for event in story.events if event.cause == "filled")
    assert (told_of.detail["author"], told_of.detail["reason"]) == ("ada", WORD["reason"])
    remember(world)
    world.minutes(70)
    assert world.reconcile().clean
    assert len(world.fills()) == 1
    world.check_promises()


def test_fills_that_the_venue_owes_are_given_by_its_rows() -> None:
    world = World()
    world.open_gate()
    order = world.buy()
    world.deliver()
    world.steps.always("venue.trades", changed(lambda page: page.model_copy(update={"trades": ()})))
    world.minutes(12)
    assert K.FILLS_MISSING in world.kinds()
    told = resolve(world, order, verdict="filled", trades=[row(world)])
    assert told.shown is not None
    assert f"fills_missing:{order.order_id}" in told.resolved
    remember(world)
    world.minutes(2)
    assert world.reconcile().clean
    assert len(world.fills()) == 1
    assert world.order(order.order_id).settled


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "side": ({"side": "sell"}, "side"),
    "too much": ({"quantity": "0.2"}, "quantity"),
    "before its claim": ({"time": (NOW - timedelta(hours=1)).isoformat()}, "time"),
    "tomorrow": ({"time": (NOW + timedelta(days=1)).isoformat()}, "time"),
    "no fee": ({"fees": None}, "fees"),
    "no id": ({"trade_id": ""}, "trade_id"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_cannot_be_this_orders_are_refused_with_their_place(name: str) -> None:
    change, field = REFUSED[name]
    world, order = unknown(lands=True)
    before = world.order(order.order_id), world.account
    with pytest.raises(InvalidInput) as refused:
        resolve(world, order, verdict="filled", trades=[row(world, **change)])
    assert refused.value.field == f"resolve_order.trades.0.{field}"
    assert (world.order(order.order_id), world.account) == before


def test_the_same_row_twice_and_rows_of_another_order_are_refused() -> None:
    world, order = unknown(lands=True)
    half = row(world, quantity="0.05")
    with pytest.raises(InvalidInput, match="stands there twice"):
        resolve(world, order, verdict="filled", trades=[half, half])
    other = {**half, "trade_id": "other", "venue_order_id": "V9"}
    with pytest.raises(InvalidInput, match=r"trades\.1\.venue_order_id"):
        resolve(world, order, verdict="filled", trades=[half, other])
    assert world.fills() == ()


# --- what an order must be ------------------------------------------------------------------------------------------


def test_an_order_that_was_never_sent_or_is_settled_is_refused_with_its_state() -> None:
    world = World()
    world.open_gate()
    created = world.buy()
    with pytest.raises(InvalidInput, match="is CREATED and was never sent"):
        resolve(world, created, verdict="absent")
    world.deliver()
    world.minutes(2)
    with pytest.raises(InvalidInput, match="is FILLED and settled"):
        resolve(world, created, verdict="cancelled")
    with pytest.raises(InvalidInput, match="has no order"):
        resolve(world, created.model_copy(update={"order_id": "f" * 32}))


def test_a_word_needs_a_reason() -> None:
    world, order = unknown()
    with pytest.raises(InvalidInput, match="give a reason"):
        resolve(world, order, verdict="absent", reason="  ")


# --- afterwards ------------------------------------------------------------------------------------------------------


def test_an_order_that_was_called_absent_and_shows_up_is_followed_again_and_told() -> None:
    world, order = unknown(lands=True, limit_price="9000")
    resolve(world, order, verdict="absent")
    remember(world)
    world.reconcile()
    assert world.state(order) is S.ACKNOWLEDGED
    assert world.order(order.order_id).word is None
    assert order.order_id in world.account.reservations
    assert world.kinds() == [K.WRONG_WORD]
    assert [stop.level for stop in world.account.stops] == [StopLevel.REDUCE_ONLY]


def test_a_fill_of_an_order_that_was_called_cancelled_counts_and_reopens_what_was_said() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    remember(world)
    world.reconcile()
    assert world.state(order) is S.ACKNOWLEDGED
    assert world.kinds() == [K.WRONG_WORD]


def test_an_order_that_filled_unseen_is_found_by_its_hourly_look_up() -> None:
    """Its trade does not name it, so that only the look-up tells whose it is."""
    world, order = unknown(lands=True)
    resolve(world, order, verdict="absent")
    world.steps.calm()
    world.steps.always("venue.trades", changed(lambda page: page.model_copy(update={"trades": ()})))
    its_minute(world, order)
    world.reconcile()
    assert world.state(order) is S.FILLED
    assert K.WRONG_WORD in world.kinds()
    world.steps.calm()
    world.minutes(2)
    assert world.position() == Decimal("0.1")
    assert len(world.fills()) == 1


def test_a_trade_that_could_be_of_it_has_it_looked_up_at_once() -> None:
    world, order = unknown(lands=True)
    world.steps.always("venue.trades", changed(lambda page: page.model_copy(update={"trades": ()})))
    resolve(world, order, verdict="absent")
    world.steps.calm()
    world.reconcile()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert world.ledger.unattributed_trades(ACCOUNT) == ()
    assert world.position() == Decimal("0.1")


def test_a_look_up_once_an_hour_is_all_that_it_costs() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    mark = len(world.steps.calls)
    world.minutes(60)
    assert len(world.steps.since(mark, "venue.lookup")) == 1
    assert world.state(order) is S.CANCELLED


def test_an_agreeing_answer_of_the_venue_is_no_news() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    remember(world)
    world.venue().cancel(SYMBOL, order.order_id)
    seen = world.venue().lookup(SYMBOL, order.order_id)
    assert seen is not None
    assert seen.status is VenueStatus.CANCELLED
    its_minute(world, order)
    world.reconcile()
    assert world.kinds() == []
    assert world.order(order.order_id).settled


def test_asking_again_about_an_order_that_shows_up_reopens_it_and_tells_it() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    remember(world)
    told = resolve(world, order)
    assert told.shown is not None
    assert (told.state, told.word) == (S.ACKNOWLEDGED, None)
    assert world.kinds() == [K.WRONG_WORD]
