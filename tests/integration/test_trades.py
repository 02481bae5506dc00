"""Trades that no order explains: given to a strategy or called foreign, counted once, and the account goes on."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from belay.domain.account import Position, summed
from belay.domain.decisions import Hold, Side
from belay.domain.errors import InvalidInput, SymbolUnavailable, VenueUnavailable
from belay.domain.flows import FlowKind
from belay.domain.foreign import TradesRequest, flow_of
from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from belay.domain.rebase import RebaseRequest
from belay.domain.record import digest
from belay.domain.venues import TradePage, VenueTrade
from belay.domain.verdicts import VerdictRequest
from belay.ports import Cursor
from belay.workflows.rebase import rebase
from belay.workflows.resolve_order import resolve_order
from belay.workflows.trades import MOST_ASKED, Trades, answer, trades
from tests.builders import ACCOUNT, NOW, STRATEGY, SYMBOL
from tests.world import (
    FAULTS,
    World,
    afterwards,
    blaming,
    disturbed,
    instead,
    lose_answer,
    meanwhile,
)

K = IncidentKind
FOREIGN = {"reason": "ada tried the app", "author": "ada"}


def say(world: World, **wish: Any) -> Trades:
    return trades(ACCOUNT, TradesRequest.parse({**FOREIGN, **wish}), world.services())


def traded_by_hand(world: World | None = None, **changes: Any) -> World:
    """Somebody bought 0.01 BTC at the venue; its trade is an incident that stops entries in the symbol."""
    world = world or World()
    world.open_gate()
    world.trade_by_hand(**changes)
    world.minutes(2)
    assert K.UNATTRIBUTED_TRADE in world.kinds()
    return world


def waiting(world: World) -> VenueTrade:
    (trade,) = world.ledger.unattributed_trades(ACCOUNT)
    return trade


def require_ended(world: World) -> None:
    """No trade waits for a person or stops anything. (The balances that were off with it end by their own rule.)"""
    assert set(world.kinds()) <= {K.BALANCE_MISMATCH}
    assert not [stop for stop in world.account.stops if str(stop.incident).startswith(K.UNATTRIBUTED_TRADE)]


# --- there and back --------------------------------------------------------------------------------------------------


def test_r15_a_trade_by_hand_that_is_called_foreign_leaves_a_clean_account() -> None:
    world = traded_by_hand()
    trade = waiting(world)
    said = say(world, foreign=(trade.key,))
    assert [incident_id.partition(":")[0] for incident_id in said.resolved] == [K.UNATTRIBUTED_TRADE]
    assert said.left == ()
    world.minutes(1)
    assert world.reconcile().clean
    require_ended(world)
    assert world.account.external == {"BTC": Decimal("0.01"), "USD": -trade.notional - trade.fees["USD"]}
    assert world.position() == 0
    (flow,) = world.ledger.flows(ACCOUNT, 10)
    assert (flow.kind, flow.flow_id, flow.author, flow.evidence) == (
        FlowKind.TRADE,
        trade.key,
        "ada",
        FOREIGN["reason"],
    )
    assert flow.at == trade.at


def test_r15_a_trade_by_hand_that_is_given_to_a_strategy_is_its_position() -> None:
    world = traded_by_hand()
    trade = waiting(world)
    said = say(world, attribute=trade.trade_id, strategy=STRATEGY, new_strategy=True)
    assert [(one.strategy, one.already) for one in said.said] == [(STRATEGY, False)]
    world.minutes(1)
    assert world.reconcile().clean
    assert world.position() == Decimal("0.01")
    position = world.account.position(STRATEGY, SYMBOL)
    assert position.cost == trade.notional + trade.fees["USD"]


def test_r15_a_purchase_that_was_sold_again_by_hand_is_called_foreign_by_its_symbol() -> None:
    world = World()
    world.open_gate()
    world.trade_by_hand()
    world.trade_by_hand(Side.SELL)
    world.minutes(2)
    assert len(say(world, symbol=SYMBOL).said) == 2
    world.minutes(1)
    assert world.reconcile().clean
    require_ended(world)
    assert world.account.external["BTC"] == 0


def test_a_trade_that_is_read_again_from_an_older_time_is_still_known() -> None:
    world = traded_by_hand()
    say(world, foreign=(waiting(world).key,))
    before = world.account
    world.ledger._cursors[ACCOUNT, SYMBOL] = Cursor(symbol=SYMBOL, read_until=NOW)  # a cursor that was lost
    world.minutes(2)
    assert world.ledger.unattributed_trades(ACCOUNT) == ()
    assert (world.account.external, world.account.traded) == (before.external, before.traded)
    require_ended(world)
    assert world.reconcile().clean


def test_what_a_trade_cost_the_account_is_no_profit_of_a_strategy() -> None:
    world = traded_by_hand()
    say(world, foreign=(waiting(world).key,))
    assert world.account.positions == {}


# --- once, whatever happens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_any_step_a_repetition_counts_the_trade_once(fault: Any) -> None:
    def act(world: World) -> None:
        say(world, attribute=world.venue_trades()[0].key, strategy=STRATEGY, new_strategy=True)

    for step, world in disturbed(traded_by_hand, act, fault):
        with blaming(step):
            act(world)
            world.minutes(1)
            assert world.reconcile().clean
            assert world.position() == Decimal("0.01")
            require_ended(world)
            assert len(world.ledger.flows(ACCOUNT, 10)) == 1


def test_two_operators_at_once_count_it_once() -> None:
    world = traded_by_hand()
    key = waiting(world).key
    world.steps.next("ledger.record_flow", meanwhile(lambda: say(world, foreign=(key,), author="bob")))
    assert [(one.already, one.author) for one in say(world, foreign=(key,)).said] == [(True, "bob")]
    assert len(world.ledger.flows(ACCOUNT, 10)) == 1


def test_two_operators_who_say_different_things_are_not_both_believed() -> None:
    world = traded_by_hand()
    key = waiting(world).key
    world.steps.next("ledger.record_flow", meanwhile(lambda: say(world, foreign=(key,))))
    with pytest.raises(InvalidInput, match="was called foreign by ada"):
        say(world, attribute=key, strategy=STRATEGY, new_strategy=True)
    assert world.position() == 0


def test_a_trade_that_becomes_a_fill_meanwhile_is_no_flow() -> None:
    """It was said to be absent; a run finds it, and counts its fill, while a person calls its trade foreign."""
    world = said_to_be_absent()
    come_to_its_minute(world)
    trade = waiting(world)

    def found() -> None:
        world.steps.calm()
        world.reconcile()

    world.steps.next("ledger.record_flow", meanwhile(found))
    with pytest.raises(InvalidInput, match="is a fill of order"):
        say(world, foreign=(trade.key,))
    assert world.ledger.flows(ACCOUNT, 10) == ()
    assert len(world.fills()) == 1


def test_a_trade_that_a_run_counts_as_a_fill_after_it_was_said_to_be_foreign_counts_once() -> None:
    world = unresolved_with_a_trade()
    trade = waiting(world)
    order = world.ledger.orders(ACCOUNT, 1)[0]
    world.ledger.save_account(world.account.with_resolution(order.order_id, False))
    world.steps.always("venue.lookup", lambda _call, perform: perform())
    # The run has read everything, and attaches the order; just before it counts the fill, the flow is recorded.
    flow = TradesRequest.parse({**FOREIGN, "foreign": (trade.key,)})

    def record() -> None:
        made = flow_of(trade, flow, world.account, world.wall.now())
        world.ledger.record_flow(made, world.account.with_flow(made))

    world.steps.next("ledger.commit", afterwards(record))
    world.reconcile()
    require_fill_instead_of_flow(world)


# --- a trade that proves to be ours ----------------------------------------------------------------------------------

SAID: dict[str, Callable[[World], Any]] = {
    "foreign": lambda world: say(world, foreign=(world.venue_trades()[0].key,)),
    "given to its strategy": lambda world: say(world, attribute=world.venue_trades()[0].key, strategy=STRATEGY),
    "given to another": lambda world: say(
        world, attribute=world.venue_trades()[0].key, strategy="other", new_strategy=True
    ),
}


def said_to_be_absent() -> World:
    """A person said that an order was absent; its trade waits."""
    world = unresolved_with_a_trade()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(15)
    order = world.ledger.orders(ACCOUNT, 1)[0]
    word = {"order": order.order_id, "verdict": "absent", "author": "ada", "reason": "not there"}
    resolve_order(ACCOUNT, VerdictRequest.parse(word), world.services())
    return world


def come_to_its_minute(world: World) -> None:
    """When the order is looked up again."""
    while int(digest(world.ledger.orders(ACCOUNT, 1)[0].order_id)[:8], 16) % 60 != world.now.minute:
        world.advance(minutes=1)


def spoken_of(said: str) -> World:
    """A person said that an order was absent, and whose its trade was; the next run's look-up shows the order."""
    world = said_to_be_absent()
    SAID[said](world)
    world.minutes(2)
    assert world.reconcile().clean
    world.steps.calm()
    come_to_its_minute(world)
    return world


def require_fill_instead_of_flow(world: World) -> None:
    order = world.ledger.orders(ACCOUNT, 1)[0]
    assert (order.filled_quantity, len(world.fills())) == (order.venue_filled, 1)
    assert {asset: change for asset, change in world.account.external.items() if change} == {}
    assert world.position() == order.filled_quantity
    others = [held for strategy, held in world.account.positions.items() if strategy != STRATEGY]
    assert [position for held in others for position in held.values() if position != Position()] == []
    back, said = sorted(world.ledger.flows(ACCOUNT, 10), key=lambda flow: flow.fill_of is None)
    assert (back.fill_of, back.flow_id, said.fill_of) == (order.order_id, f"{said.flow_id}|ours", None)
    assert summed(back.amounts, said.amounts) == dict.fromkeys(said.amounts, 0)
    balances = world.venue().balances().total
    expected = world.account.expected_balances()
    assert {asset: expected[asset] - balances[asset] for asset in expected} == dict.fromkeys(expected, 0)


@pytest.mark.parametrize("said", SAID)
def test_a_trade_that_proves_to_be_our_orders_is_its_fill_and_no_flow_any_more(said: str) -> None:
    world = spoken_of(said)
    world.reconcile()
    world.minutes(5)
    require_fill_instead_of_flow(world)
    assert world.ledger.orders(ACCOUNT, 1)[0].settled
    assert world.kinds() == [K.WRONG_WORD]
    assert world.reconcile().clean
    position = world.account.position(STRATEGY, SYMBOL)
    trade = world.fills()[0].trade
    assert position.cost == trade.notional + trade.fees["USD"]
    assert position.realised_pnl == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_wherever_a_run_stops_that_turns_a_flow_into_a_fill_it_counts_once(fault: Any) -> None:
    for step, world in disturbed(partial(spoken_of, "given to another"), lambda world: world.reconcile(), fault):
        with blaming(step):
            world.minutes(2)
            world.advance(minutes=58)  # where it stopped before the look-up, that comes again
            world.reconcile()
            world.minutes(2)
            require_fill_instead_of_flow(world)


def test_nothing_more_can_be_said_of_a_trade_that_is_our_orders() -> None:
    world = spoken_of("foreign")
    world.reconcile()
    with pytest.raises(InvalidInput, match=r"is a fill of order .*; ada had called it foreign"):
        SAID["foreign"](world)
    require_fill_instead_of_flow(world)


def test_two_runs_that_turn_a_flow_into_a_fill_at_once_count_it_once() -> None:
    world = spoken_of("foreign")
    world.steps.next("ledger.record_flow", meanwhile(lambda: world.reconcile()))
    world.reconcile()
    world.minutes(2)
    require_fill_instead_of_flow(world)


# --- after a rebase --------------------------------------------------------------------------------------------------


def rebased(world: World) -> World:
    """The history does not show a trade yet; a person took the balances with it in them. Now it shows it."""
    world.advance(seconds=30)
    world.reconcile()
    wish = RebaseRequest(whole=True, reason="the app", author="ada")
    assert rebase(ACCOUNT, wish, world.services()).taken
    world.steps.calm()
    world.minutes(1)
    return world


def require_explained(world: World) -> None:
    balances, expected = world.venue().balances().total, world.account.expected_balances()
    assert {asset: expected[asset] - balances[asset] for asset in expected} == dict.fromkeys(expected, 0)
    world.minutes(3)
    assert world.reconcile().clean
    assert K.BALANCE_MISMATCH not in world.kinds()


@pytest.mark.parametrize("strategy", [None, STRATEGY])
def test_a_trade_that_a_rebase_took_counts_no_more_in_the_balances_whosever_it_is(strategy: str | None) -> None:
    world = World()
    world.open_gate()
    world.advance(seconds=1)
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.trade_by_hand()
    rebased(world)
    key = waiting(world).key
    wish = {"attribute": key, "strategy": strategy, "new_strategy": True} if strategy else {"foreign": (key,)}
    assert [one.taken for one in say(world, **wish).said] == [("BTC", "USD")]
    assert [one.taken for one in say(world, **wish).said] == [("BTC", "USD")]
    assert world.position() == (Decimal("0.01") if strategy else 0)
    require_explained(world)


def test_a_fill_that_a_rebase_took_is_its_orders_and_counts_no_more_in_the_balances() -> None:
    """Said to be absent, its balances taken by a rebase; then the order and its fill show up after all."""
    world = unresolved_with_a_trade(shown=False)
    world.strategy.says = Hold(reason="quiet")
    world.minutes(15)
    order = world.ledger.orders(ACCOUNT, 1)[0]
    word = {"order": order.order_id, "verdict": "absent", "author": "ada", "reason": "not there"}
    resolve_order(ACCOUNT, VerdictRequest.parse(word), world.services())
    rebased(world)
    world.minutes(62)
    found = world.order(order.order_id)
    assert (found.state, found.filled_quantity, found.settled) == (OrderState.FILLED, found.venue_filled, True)
    assert world.position() == found.filled_quantity
    require_explained(world)


# --- refused ---------------------------------------------------------------------------------------------------------


def unresolved_with_a_trade(*, shown: bool = True) -> World:
    """An entry whose answer was lost, and which no look-up finds; its trade shows up and belongs to nobody, or (not
    `shown`) does not show up either."""
    world = World()
    world.open_gate()
    world.buy()
    world.steps.next("venue.submit", lose_answer)
    world.steps.always("venue.lookup", instead(None))
    if not shown:
        world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.deliver()
    world.advance(seconds=3)
    world.reconcile()
    return world


def test_a_trade_that_may_be_an_unresolved_orders_waits_for_that_order() -> None:
    world = unresolved_with_a_trade()
    order = world.ledger.orders(ACCOUNT, 1)[0]
    with pytest.raises(InvalidInput) as refused:
        say(world, foreign=(waiting(world).key,))
    assert refused.value.field == "trades.trade"
    assert f"{order.order_id}, which is {order.state}" in refused.value.problem
    assert world.ledger.flows(ACCOUNT, 10) == ()


def test_r15_a_trade_that_the_venue_shows_to_be_our_orders_is_not_called_foreign() -> None:
    """The order was said to be absent, so that nothing here ties the trade to it; the venue, asked by its id, does."""
    world = said_to_be_absent()
    order = world.ledger.orders(ACCOUNT, 1)[0]
    trade = waiting(world)
    world.steps.calm()
    told = world.ask({"account": ACCOUNT, "trades": {"foreign": [trade.key], **FOREIGN}})
    assert told["error"] == "trades.trade"
    assert f"is a fill of order {order.order_id}" in told["problem"]
    assert world.ledger.flows(ACCOUNT, 10) == ()
    come_to_its_minute(world)
    world.reconcile()
    assert [fill.order_id for fill in world.fills()] == [order.order_id]


@pytest.mark.parametrize("wish", [{"foreign": True}, {"strategy": STRATEGY, "new_strategy": True}])
def test_r15_a_trade_that_the_venue_does_not_show_is_not_believed(wish: dict[str, Any]) -> None:
    world = traded_by_hand()
    key, before = waiting(world).key, world.account
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    with pytest.raises(InvalidInput, match="the venue shows no such trade"):
        say(world, **({"foreign": (key,)} if "foreign" in wish else {"attribute": key, **wish}))
    assert world.account == before
    assert waiting(world).key == key
    assert K.UNATTRIBUTED_TRADE in world.kinds()
    world.steps.calm()
    say(world, foreign=(key,))
    world.minutes(1)
    require_ended(world)


def test_r31_a_trade_of_a_symbol_that_left_the_venue_is_called_foreign_though_the_venues_lists_leave_it_out() -> None:
    world = traded_by_hand()
    key = waiting(world).key
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    for call in ("market.market", "market.price"):
        world.steps.always(call, instead(SymbolUnavailable(f"{SYMBOL} is not listed")))
    (said,) = say(world, foreign=(key,)).said
    assert (said.trade.key, said.strategy, said.already) == (key, None, False)
    assert K.UNATTRIBUTED_TRADE not in world.kinds()


def test_a_trade_that_the_venue_shows_otherwise_is_not_believed() -> None:
    world = traded_by_hand()
    trade = waiting(world)
    world.steps.always("venue.lookup", instead(None))
    otherwise = TradePage(trades=(trade.model_copy(update={"quantity": trade.quantity * 2}),))
    world.steps.always("venue.trades", instead(otherwise))
    with pytest.raises(InvalidInput, match=r"is 0\.01 at .* here, and the venue shows 0\.02"):
        say(world, foreign=(trade.key,))


@pytest.mark.parametrize("call", ["venue.lookup", "venue.trades"])
def test_while_the_venue_cannot_be_asked_nothing_is_called_foreign(call: str) -> None:
    world = traded_by_hand()
    key = waiting(world).key
    world.steps.always("venue.lookup", instead(None))
    world.steps.always(call, instead(VenueUnavailable("no answer")))
    told = world.ask({"account": ACCOUNT, "trades": {"foreign": [key], **FOREIGN}})
    assert "could not be asked" in told["problem"]
    assert waiting(world).key == key


def test_a_trade_in_a_symbol_that_is_gone_is_called_foreign_by_what_was_read_of_it() -> None:
    world = traded_by_hand()
    world.steps.always("venue.lookup", instead(SymbolUnavailable("it is not listed")))
    assert [one.strategy for one in say(world, symbol=SYMBOL).said] == [None]


def test_a_trade_of_somebodys_order_is_foreign_although_an_order_of_ours_is_unresolved() -> None:
    """The venue says whose it is: so nobody has to find out what became of the other order first."""
    world = unresolved_with_a_trade()
    by_hand = world.trade_by_hand()
    ours = waiting(world)
    world.advance(seconds=30)
    world.reconcile()
    world.steps.always("venue.lookup", _shown_by_venue_id)
    (key,) = {trade.key for trade in world.ledger.unattributed_trades(ACCOUNT)} - {ours.key}
    assert by_hand.venue_order_id in key
    assert [one.trade.key for one in say(world, foreign=(key,)).said] == [key]
    assert [trade.key for trade in world.ledger.unattributed_trades(ACCOUNT)] == [ours.key]


def _shown_by_venue_id(_call: str, perform: Any) -> Any:
    return perform() if perform.keywords.get("venue_order_id") else None


def test_of_many_orders_in_a_symbol_the_venue_is_asked_about_a_few_and_a_repetition_goes_on() -> None:
    world = World()
    world.open_gate()
    for _ in range(MOST_ASKED + 2):
        world.trade_by_hand(quantity="0.001")
    world.minutes(2)
    mark = len(world.steps.calls)
    first = say(world, symbol=SYMBOL)
    assert (len(first.said), len(first.left)) == (MOST_ASKED, 2)
    assert len(world.steps.since(mark, "venue.lookup")) == MOST_ASKED
    assert len(say(world, symbol=SYMBOL).left) == 0
    world.minutes(2)
    require_ended(world)


REFUSALS: dict[str, tuple[Callable[[VenueTrade], dict[str, Any]], str, str]] = {
    "unknown": (lambda _: {"foreign": ("T99",)}, "trades.trade", "known as T99"),
    "misspelt": (lambda t: {"attribute": t.key, "strategy": "ema-corss"}, "trades.strategy", "no tick of ema-corss"),
    "no reason": (lambda t: {"foreign": (t.key,), "reason": " "}, "trades", "give a reason"),
    "no strategy": (lambda t: {"attribute": t.key}, "trades", "together"),
    "both": (lambda t: {"foreign": (t.key,), "symbol": SYMBOL}, "trades", "give one of"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused_by_its_field_and_changes_nothing(name: str) -> None:
    wish, field, problem = REFUSALS[name]
    world = traded_by_hand()
    before = world.account
    with pytest.raises(InvalidInput) as refused:
        say(world, **wish(waiting(world)))
    assert refused.value.field == field
    assert problem in refused.value.problem
    assert world.account == before
    assert len(world.ledger.unattributed_trades(ACCOUNT)) == 1


def test_of_several_trades_none_is_recorded_if_one_is_refused() -> None:
    world = traded_by_hand()
    with pytest.raises(InvalidInput):
        say(world, foreign=(waiting(world).key, "T99"))
    assert world.ledger.flows(ACCOUNT, 10) == ()


def test_a_strategy_cannot_have_sold_what_it_does_not_have() -> None:
    world = World()
    held = world.holding("0.01")
    traded_by_hand(world)
    say(world, foreign=(waiting(world).key,))
    world.trade_by_hand(Side.SELL, held * 2)
    world.minutes(2)
    with pytest.raises(InvalidInput, match=f"{STRATEGY} has {held} to sell"):
        say(world, attribute=waiting(world).key, strategy=STRATEGY)
    assert world.position() == held


def test_a_symbol_that_nobody_trades_is_refused_with_what_waits() -> None:
    world = traded_by_hand()
    with pytest.raises(InvalidInput, match=f"nobody trades XYZ/ABC; trades wait in {SYMBOL}"):
        say(world, symbol="XYZ/ABC")
    assert say(world, symbol=SYMBOL).said
    assert not say(world, symbol=SYMBOL).said  # a repetition is none's mistake
    with pytest.raises(InvalidInput, match="nobody trades XYZ/ABC; none waits"):
        say(world, symbol="XYZ/ABC")


def test_a_strategy_that_holds_something_is_known_without_a_tick() -> None:
    world = traded_by_hand()
    say(world, attribute=waiting(world).key, strategy=STRATEGY, new_strategy=True)
    world.trade_by_hand()
    world.minutes(2)
    say(world, attribute=waiting(world).key, strategy=STRATEGY)
    assert world.position() == Decimal("0.02")


def test_the_reconciler_answers_with_what_stands_against_it() -> None:
    world = traded_by_hand()
    told = answer({"account": ACCOUNT, "trades": {"foreign": ["T99"], "reason": "x"}}, world.services())
    assert told["error"] == "trades.trade"
    listed = answer({"account": ACCOUNT, "trades": {}}, world.services())
    assert [trade["symbol"] for trade in listed["left"]] == [SYMBOL]
    assert answer({"account": "none", "trades": {}}, world.services())["error"] == "account"


def test_the_orders_state_is_unmoved_by_what_is_said_of_others_trades() -> None:
    world = traded_by_hand()
    order = world.buy()
    say(world, symbol=SYMBOL)
    assert world.state(order) is OrderState.CREATED
