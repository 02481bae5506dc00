"""Fees that only the venue's ledger tells: of trades that are no order's, and of what a rebase has taken already."""

from decimal import Decimal

import pytest

from belay.domain.decisions import Hold, Side
from belay.domain.flows import FeeRow
from belay.domain.foreign import fee_id
from belay.domain.incidents import IncidentKind
from belay.domain.rebase import RebaseRequest
from belay.domain.venues import TradePage, VenueTrade
from belay.domain.verdicts import VerdictRequest
from belay.workflows.rebase import rebase
from belay.workflows.resolve_order import resolve_order
from tests.builders import ACCOUNT, STRATEGY, SYMBOL
from tests.integration.test_trades import come_to_its_minute, say, unresolved_with_a_trade, waiting
from tests.world import FAULTS, Fault, World, blaming, changed, disturbed, instead, meanwhile

K = IncidentKind
D = Decimal


def guess(trade: VenueTrade) -> VenueTrade:
    """As a list of trades tells it that only estimates the fee, half as much again, and in quote currency always."""
    fee = trade.notional * D("0.0015")
    return trade.model_copy(update={"fees": {"USD": fee}, "estimated": True})


def estimates(world: World) -> None:
    told = changed(lambda page: page.model_copy(update={"trades": tuple(map(guess, page.trades))}))
    world.steps.always("venue.trades", told)


def tells_fees(world: World) -> None:
    """The venue's ledger tells what was taken."""
    rows = tuple(FeeRow(trade_id=trade.trade_id, fees=trade.fees) for trade in world.venue_trades())
    world.steps.always("venue.flows", changed(lambda page: page.model_copy(update={"fees": rows})))


def called(strategy: str | None) -> World:
    """A trade by hand whose fee is an estimate; a person says whose it is."""
    world = World()
    world.open_gate()
    estimates(world)
    world.trade_by_hand()
    world.minutes(2)
    key = waiting(world).key
    say(world, **({"attribute": key, "strategy": strategy, "new_strategy": True} if strategy else {"foreign": (key,)}))
    world.advance(minutes=1)
    return world


def balanced(world: World) -> bool:
    balances, expected = world.venue().balances().total, world.account.expected_balances()
    return {asset: amount for asset, amount in expected.items() if amount != balances.get(asset, 0)} == {}


# --- of a trade that is no order's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [None, STRATEGY])
def test_r15_the_fee_of_a_trade_that_is_no_orders_is_an_interval_and_then_corrected_once(strategy: str | None) -> None:
    world = called(strategy)
    for _ in range(2):
        assert world.reconcile().clean, "its true fee is within what is expected"
        world.advance(minutes=1)
    assert not balanced(world)
    tells_fees(world)
    world.minutes(3)
    (trade,) = world.venue_trades()
    said, correction = sorted(world.ledger.flows(ACCOUNT, 10), key=lambda flow: flow.flow_id)
    assert (correction.flow_id, correction.true_fees) == (fee_id(said.flow_id), trade.fees)
    assert correction.amounts == {"USD": said.trade.fees["USD"] - trade.fees["USD"]} if said.trade else False
    assert (balanced(world), world.account.owing, world.kinds()) == (True, (), [])
    position = world.account.position(STRATEGY, SYMBOL)
    assert position.cost == (trade.notional + trade.fees["USD"] if strategy else 0)
    assert world.reconcile().clean


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_run_stops_the_fee_of_a_foreign_trade_is_corrected_once(fault: Fault) -> None:
    def told() -> World:
        world = called(None)
        tells_fees(world)
        return world

    for step, world in disturbed(told, lambda world: world.reconcile(), fault):
        with blaming(step):
            estimates(world)
            tells_fees(world)
            world.minutes(2)
            assert len(world.ledger.flows(ACCOUNT, 10)) == 2
            assert (balanced(world), world.account.owing) == (True, ())


def test_two_runs_at_once_correct_it_once() -> None:
    world = called(None)
    tells_fees(world)
    world.steps.next("ledger.record_flow", meanwhile(lambda: world.reconcile()))
    world.reconcile()
    assert len(world.ledger.flows(ACCOUNT, 10)) == 2
    assert balanced(world)


def test_a_fee_that_the_ledger_never_tells_counts_as_estimated_after_a_day_and_its_balance_is_rebased() -> None:
    world = called(None)
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    assert K.BALANCE_MISMATCH not in world.kinds()
    world.advance(hours=24)
    world.minutes(3)
    assert (world.account.owing, world.kinds()) == ((), [K.BALANCE_MISMATCH])
    assert world.ask({"account": ACCOUNT, "rebase": {"whole": True, "reason": "its fee", "author": "ada"}})["taken"]
    world.minutes(2)
    assert (balanced(world), world.kinds()) == (True, [])


@pytest.mark.parametrize("strategy", [None, "other"])
def test_a_trade_whose_fee_was_corrected_and_that_proves_to_be_ours_counts_once(strategy: str | None) -> None:
    world = unresolved_with_a_trade()
    estimates(world)
    world.strategy.says = Hold(reason="quiet")
    world.minutes(15)
    order = called_absent(world)
    key = waiting(world).key
    say(world, **({"attribute": key, "strategy": strategy, "new_strategy": True} if strategy else {"foreign": (key,)}))
    tells_fees(world)
    world.minutes(3)
    assert balanced(world)
    world.steps.always("venue.lookup", lambda _call, perform: perform())
    come_to_its_minute(world)
    world.reconcile()
    world.minutes(3)
    found = world.order(order)
    (trade,) = world.venue_trades()
    assert (found.filled_quantity, found.settled, found.fees) == (D("0.1"), True, trade.fees)
    assert balanced(world)
    assert world.position() == D("0.1")
    assert world.account.position(STRATEGY, SYMBOL).cost == trade.notional + trade.fees["USD"]
    assert world.account.position("other", SYMBOL).quantity == 0
    assert world.account.position("other", SYMBOL).cost == world.account.position("other", SYMBOL).realised_pnl == 0
    assert world.kinds() == [K.WRONG_WORD]


def called_absent(world: World) -> str:
    order = world.ledger.orders(ACCOUNT, 1)[0]
    word = {"order": order.order_id, "verdict": "absent", "author": "ada", "reason": "not there"}
    resolve_order(ACCOUNT, VerdictRequest.parse(word), world.services())
    return order.order_id


# --- of what a rebase has taken --------------------------------------------------------------------------------------


def taken(world: World) -> None:
    wish = RebaseRequest(whole=True, reason="the app", author="ada")
    assert rebase(ACCOUNT, wish, world.services()).taken


def rebased_with_a_fill() -> World:
    """Said to be absent, its balances taken by a rebase; then the order and its fill show up, the fee estimated."""
    world = unresolved_with_a_trade(shown=False)
    world.strategy.says = Hold(reason="quiet")
    world.minutes(15)
    called_absent(world)
    world.advance(seconds=30)
    world.reconcile()
    taken(world)
    world.steps.calm()
    estimates(world)
    come_to_its_minute(world)
    world.reconcile()
    world.minutes(1)
    tells_fees(world)
    world.advance(minutes=1)
    return world


def require_counted_once(world: World) -> None:
    (trade,) = world.venue_trades()
    (order,) = world.ledger.orders(ACCOUNT, 10)
    assert (order.fees, order.settled, order.filled_quantity) == (trade.fees, True, trade.quantity)
    assert world.causes(order).count("fee corrected") == 1
    assert balanced(world)
    assert world.account.position(STRATEGY, SYMBOL).cost == trade.notional + trade.fees["USD"]
    assert world.reconcile().clean


def test_r14_the_fee_of_a_fill_that_a_rebase_took_is_corrected_and_moves_no_balance() -> None:
    world = rebased_with_a_fill()
    world.minutes(3)
    require_counted_once(world)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_run_stops_the_fee_of_a_fill_that_a_rebase_took_counts_once(fault: Fault) -> None:
    for step, world in disturbed(rebased_with_a_fill, lambda world: world.reconcile(), fault):
        with blaming(step):
            estimates(world)
            tells_fees(world)
            world.minutes(3)
            require_counted_once(world)


def test_the_fee_of_a_foreign_trade_that_a_rebase_took_moves_no_balance() -> None:
    world = World()
    world.open_gate()
    world.advance(seconds=1)
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.trade_by_hand()
    world.advance(seconds=30)
    world.reconcile()
    taken(world)
    estimates(world)
    world.minutes(1)
    say(world, foreign=(waiting(world).key,))
    tells_fees(world)
    world.minutes(3)
    assert balanced(world)
    assert sorted(flow.flow_id.partition("|")[0] for flow in world.ledger.flows(ACCOUNT, 10))[-1].startswith("rebase")
    assert (world.account.owing, world.kinds()) == ((), [])


def test_the_fee_of_a_fill_after_a_rebase_is_corrected_in_the_balance() -> None:
    world = World()
    world.open_gate()
    world.move(recorded=False, USD="25")
    world.minutes(3)
    taken(world)
    estimates(world)
    world.advance(minutes=1)
    world.trade_by_hand(Side.BUY)
    world.minutes(2)
    say(world, foreign=(waiting(world).key,))
    tells_fees(world)
    world.minutes(3)
    assert balanced(world)


def test_an_order_that_ended_by_a_word_settles_once_its_fees_are_known() -> None:
    """It filled in part; the rest is said to be cancelled before the venue's ledger told the fee of what filled."""
    world = World(volume="0.4")
    world.open_gate()
    estimates(world)
    order = world.buy()
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.open_orders", instead(()))
    word = {"order": order.order_id, "verdict": "cancelled", "author": "ada", "reason": "gone"}
    assert not resolve_order(ACCOUNT, VerdictRequest.parse(word), world.services()).settled
    told = world.ask({"account": ACCOUNT, "rebase": {"whole": True, "reason": "off", "author": "ada"}})
    assert "error" in told or not told["taken"], "nothing is taken while its fee may explain what differs"
    tells_fees(world)
    world.minutes(2)
    assert world.order(order.order_id).settled
    assert world.causes(order).count("fee corrected") == 1
    assert world.account.reservations == {}
