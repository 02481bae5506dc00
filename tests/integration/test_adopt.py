"""An account that traded before Belay came: its coins and its open orders become a strategy's, and then live on."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from belay.adapters.paper.venue import PaperVenue
from belay.cli.desk import Desk
from belay.cli.main import app
from belay.domain.account import Adoption, StopLevel
from belay.domain.adoption import AdoptRequest
from belay.domain.decisions import Side
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.market import Candle
from belay.domain.orders import OrderState
from belay.ports import CancelRequest
from belay.workflows.adopt import Adoptable, adopt, answer
from tests.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    SYMBOL,
    make_decision,
    make_document,
    make_limits,
    make_orders,
    make_paper_settings,
    make_slot,
    make_stop,
    make_tick,
)
from tests.world import (
    FAULTS,
    LaggingVenue,
    World,
    afterwards,
    blaming,
    disturbed,
    flat_candles,
    instead,
    make_reduce,
    meanwhile,
    refuse,
)

S = OrderState
K = IncidentKind
BUY, SELL = "cron-buy", "cron-sell"
COINS = {"strategy": STRATEGY, "symbol": SYMBOL, "whole": True, "price": "8000"}
EVERYTHING = {**COINS, "all_orders": True}


def market(*ranges: tuple[int, int], volume: str = "100") -> tuple[Candle, ...]:
    """A market at 10000, that reaches down and up to these prices in the hours after noon."""
    candles = list(flat_candles(volume))
    noon = next(number for number, candle in enumerate(candles) if candle.open_time == NOW)
    for hour, (low, high) in enumerate(ranges):
        reached = {"low": Decimal(low), "high": Decimal(high)}
        candles[noon + hour] = candles[noon + hour].model_copy(update=reached)
    return tuple(candles)


# Down to the buy in the first hour, up to the sell in the second.
BOTH_FILL = ((8900, 10000), (10000, 11100))


def before_belay(candles: Iterable[Candle] = market(*BOTH_FILL), venue_type: type[PaperVenue] = PaperVenue) -> World:
    """0.5 BTC, a resting buy and a resting sell of somebody's script; Belay has not looked yet and takes no entries."""
    paper = make_paper_settings(balances={"USD": "10000", "BTC": "0.5"})
    limits = make_limits(max_position_notional={SYMBOL: "20000"}, max_aggregate_exposure="20000")
    world = World(document=make_document(paper=paper, limits=limits), candles=candles, venue_type=venue_type)
    world.trade_by_hand(client_order_id=BUY, quantity="0.1", limit_price="9000")
    world.trade_by_hand(Side.SELL, client_order_id=SELL, quantity="0.2", limit_price="11000")
    world.ledger.save_account(world.account.with_stop(make_stop(level=StopLevel.REDUCE_ONLY)))
    return world


def suspected(candles: Iterable[Candle] = market(*BOTH_FILL), venue_type: type[PaperVenue] = PaperVenue) -> World:
    """The same after some minutes: the books are open, and the foreign orders have become incidents with stops."""
    world = before_belay(candles, venue_type)
    world.minutes(3)
    assert world.kinds() == [K.UNKNOWN_VENUE_ORDER] * 2
    assert len(world.account.stops) == 2, "the operator's, and one of both orders' incidents"
    return world


def adopting(world: World, **wish: Any) -> Adoptable:
    asked = AdoptRequest.parse({"new_strategy": True, **wish} if wish else {})
    return adopt(ACCOUNT, asked, world.services())


def go_on(world: World, hours: int = 3) -> None:
    """Hours in which the schedules run."""
    for _ in range(hours):
        world.advance(hours=1)
        world.reconcile()
    world.minutes(1)


def release(world: World) -> None:
    world.ledger.save_account(world.account.bumped(stops=()))


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_without_a_wish_it_lists_what_could_be_adopted_and_changes_nothing() -> None:
    world = suspected()
    before = world.account
    listed = adopting(world)
    assert [(b.symbol, b.opening, b.left) for b in listed.balances] == [(SYMBOL, Decimal("0.5"), Decimal("0.5"))]
    assert [(o.seen.client_order_id, o.problem) for o in listed.orders] == [(BUY, ""), (SELL, "")]
    assert (listed.adopted, listed.resolved, listed.reconciled) == ((), (), None)
    assert world.account == before


def test_the_first_question_opens_the_books() -> None:
    world = before_belay()
    listed = adopting(world)
    assert listed.reconciled is not None
    assert world.account.opening == {"BTC": Decimal("0.5"), "USD": Decimal(10_000)}
    assert len(listed.orders) == 2


def test_adopted_balances_and_orders_fill_and_the_ledger_equals_the_venue() -> None:
    world = suspected()
    done = adopting(world, **EVERYTHING)
    assert [(a.order_id, a.already) for a in done.adopted] == [(None, False), (BUY, False), (SELL, False)]
    assert (done.balances[0].left, done.orders) == (Decimal(0), ())
    world.minutes(1)
    assert world.reconcile().clean, "the balances are explained, and nothing is foreign any more"
    go_on(world)
    assert {order.order_id: order.state for order in world.ledger.orders(ACCOUNT, 9)} == {BUY: S.FILLED, SELL: S.FILLED}
    assert world.position() == Decimal("0.4")
    assert world.account.symbol_quantity(SYMBOL) == world.venue().balances().total["BTC"]
    world.check_promises()


def test_the_strategy_can_sell_what_it_adopted() -> None:
    world = suspected()
    adopting(world, **COINS, orders=(BUY,))
    world.venue().cancel(SYMBOL, SELL)
    go_on(world, 2)
    release(world)
    (order,) = world.decide(make_reduce())
    world.deliver()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert world.position() == Decimal(0)
    assert world.account.exposed_symbols(world.document) == frozenset()
    # 0.6 sold at 9995 less a fee of 0.1 %; 0.5 had cost 8000 each, 0.1 was bought at 9000 plus 0.05 %.
    assert world.account.position(STRATEGY, SYMBOL).realised_pnl == Decimal("1090.553")
    world.check_promises()  # the other order, which somebody cancelled at the venue, is gone and so is its incident


def test_an_exit_leaves_alone_what_an_adopted_sell_is_selling() -> None:
    world = suspected(market())
    adopting(world, **EVERYTHING)
    world.advance(hours=1)
    world.minutes(1)
    (order,) = world.decide(make_reduce())
    world.deliver()
    world.minutes(1)
    assert world.order(order.order_id).filled_quantity == Decimal("0.3")
    assert set(world.account.reservations) == {BUY, SELL}


def test_adoption_takes_neither_the_rate_nor_the_gate_nor_a_claim() -> None:
    world = suspected()
    mark = len(world.steps.calls)
    adopting(world, **EVERYTHING)
    assert world.steps.since(mark, "venue.submit") == []
    assert world.steps.since(mark, "venue.cancel") == []
    assert world.account.submissions == ()


# --- what becomes of adopted orders ----------------------------------------------------------------------------------


def test_an_adopted_order_that_fills_in_parts_over_several_runs_is_counted_part_by_part() -> None:
    world = before_belay(market((8900, 10000), (8900, 10000), (8900, 10000), volume="0.4"))
    adopting(world, strategy=STRATEGY, orders=(BUY,))
    quantities = []
    for _ in range(3):
        world.advance(hours=1)
        world.reconcile()
        quantities.append(world.account.reservations[BUY].quantity if BUY in world.account.reservations else 0)
    assert quantities == [Decimal("0.06"), Decimal("0.02"), 0]
    assert world.ledger.order(BUY).state is S.FILLED  # type: ignore[union-attr]
    assert world.position() == Decimal("0.1")


def test_a_fill_whose_trade_the_history_shows_late_is_counted_when_it_shows() -> None:
    world = suspected(venue_type=LaggingVenue)
    adopting(world, **EVERYTHING)
    found = world.venue().trades
    world.steps.always("venue.trades", instead(found(SYMBOL, NOW, NOW)))
    go_on(world)
    assert world.order(BUY).state is S.FILLED
    assert world.fills() == ()
    world.steps.calm()
    world.minutes(2)
    world.check_promises()


def test_an_adopted_order_is_cancelled_like_any_other() -> None:
    world = suspected()
    adopting(world, **EVERYTHING)
    for order_id in (BUY, SELL):
        request = CancelRequest(account=ACCOUNT, order_id=order_id, reason="enough", requested_at=world.now)
        world.ledger.request_cancel(request)
    world.minutes(2)
    assert {order.state for order in world.ledger.orders(ACCOUNT, 9)} == {S.CANCELLED}
    assert world.ledger.cancel_requests(ACCOUNT) == ()
    world.check_promises()


def test_an_adopted_order_that_somebody_cancels_at_the_venue_is_released() -> None:
    world = suspected()
    adopting(world, **EVERYTHING)
    world.venue().cancel(SYMBOL, SELL)
    world.minutes(1)
    assert world.order(SELL).settled
    assert set(world.account.reservations) == {BUY}


def test_the_strategy_sees_an_adopted_order_among_its_own() -> None:
    world = suspected()
    adopting(world, **EVERYTHING)
    world.tick()
    assert {order.order_id for order in world.strategy.seen[-1].open_orders} == {BUY, SELL}
    assert world.strategy.seen[-1].markets[SYMBOL].position.quantity == Decimal("0.5")


def test_the_story_of_an_adopted_order_is_whole() -> None:
    world = suspected()
    adopting(world, **EVERYTHING, author="ann")
    go_on(world)
    story = world.ledger.story(world.order(BUY).decision_id)
    assert story is not None
    assert story.decision.parameters == {"author": "ann"}
    assert story.events[0].cause == "adopted"
    assert len(story.fills) == 1
    listed = [record.algorithm for record in world.ledger.decisions(ACCOUNT, STRATEGY, 9)]
    assert listed.count("adopted") == 2


# --- while it is adopted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last_read", ["market.market", "ledger.record_decision"])
def test_a_fill_between_reading_the_venue_and_storing_the_order_is_counted_once(last_read: str) -> None:
    world = suspected()
    world.steps.next(last_read, meanwhile(lambda: world.advance(hours=1)))
    adopting(world, **EVERYTHING)
    assert world.order(BUY).state is S.ACKNOWLEDGED
    go_on(world)
    world.check_promises()
    assert world.order(BUY).filled_quantity == Decimal("0.1")


def test_a_fill_that_a_reconciliation_saw_in_between_is_counted_once() -> None:
    world = suspected()

    def fills_and_is_seen() -> None:
        world.advance(hours=1)
        world.reconcile()

    world.steps.next("ledger.record_decision", meanwhile(fills_and_is_seen))
    adopting(world, **EVERYTHING)
    go_on(world)
    world.check_promises()


def test_an_order_that_filled_since_the_opening_is_adopted_by_its_id_and_its_trades_find_it() -> None:
    """It fills while the person still types: without this, nothing would ever explain the balances again."""
    world = suspected()
    world.advance(hours=1)
    world.minutes(2)
    assert sorted(world.kinds()) == [K.BALANCE_MISMATCH] * 2 + [K.UNATTRIBUTED_TRADE, K.UNKNOWN_VENUE_ORDER]
    done = adopting(
        world,
        **EVERYTHING,
    )
    assert [a.order_id for a in done.adopted] == [None, SELL], "the buy is no longer open"
    done = adopting(world, strategy=STRATEGY, orders=(BUY,))
    assert {incident.split(":")[0] for incident in done.resolved} == {K.UNATTRIBUTED_TRADE}
    go_on(world)
    assert world.reconcile().clean
    world.check_promises()
    assert world.position() == Decimal("0.4")


@pytest.mark.parametrize("read", ["ledger.account", "venue.open_orders", "venue.balances", "ledger.store_cursor"])
def test_a_reconciliation_that_runs_meanwhile_opens_no_incident_for_what_is_adopted(read: str) -> None:
    world = before_belay()
    world.reconcile()
    world.advance(minutes=1)
    world.steps.next(read, afterwards(lambda: adopting(world, **EVERYTHING)))
    world.reconcile()
    assert world.position() == Decimal("0.5")
    assert world.incidents() == []


def test_an_incident_that_a_run_opened_too_late_is_resolved_by_asking_again() -> None:
    world = before_belay()
    world.reconcile()
    world.advance(minutes=1)
    world.steps.next("ledger.suspicion", meanwhile(lambda: adopting(world, **EVERYTHING)))
    world.reconcile()
    assert world.kinds() == [K.UNKNOWN_VENUE_ORDER] * 2
    again = adopting(world, **EVERYTHING)
    assert (len(again.resolved), world.incidents(), len(world.account.stops)) == (2, [], 1)


def test_a_claim_that_commits_meanwhile_counts_against_the_order_to_be_adopted() -> None:
    """Several hold the coins: what an exit has just begun to sell is no longer there for an adopted sell."""
    world = suspected()
    adopting(world, strategy="other", symbol=SYMBOL, quantity="0.2", price="8000")
    adopting(world, **COINS)
    (order,) = world.decide(make_reduce())
    world.steps.next("ledger.record_decision", meanwhile(lambda: world.execute(order.order_id)))
    with pytest.raises(InvalidInput, match=r"cron-sell sells 0.2 BTC/USD, ema-cross has 0.0 to sell"):
        adopting(world, strategy=STRATEGY, orders=(SELL,))
    assert world.ledger.order(SELL) is None
    assert adopting(world, strategy="other", orders=(SELL,)).adopted


# --- stopped, repeated -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [before_belay, suspected])
@pytest.mark.parametrize("fault", FAULTS)
def test_wherever_adopting_stops_a_repetition_completes_it(begin: Callable[[], World], fault: Any) -> None:
    for step, world in disturbed(begin, lambda world: adopting(world, **EVERYTHING), fault):
        with blaming(step):
            done = adopting(world, **EVERYTHING)
            assert [a.order_id for a in done.adopted] == [None, BUY, SELL]
            assert len(world.account.adoptions) == 1
            assert set(world.account.reservations) == {BUY, SELL}
            assert world.position() == Decimal("0.5")
            assert world.incidents() == []
            assert [stop.incident for stop in world.account.stops] == [None]
            go_on(world)
            world.check_promises()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stop_leaves_nothing_that_later_runs_stumble_over(fault: Any) -> None:
    """Nobody repeats it: what was adopted is whole, and what was not is as foreign as it was."""
    for step, world in disturbed(suspected, lambda world: adopting(world, **EVERYTHING), fault):
        with blaming(step):
            world.minutes(2)
            for order_id in (BUY, SELL):
                order = world.ledger.order(order_id)
                assert (order is not None) == (order_id in world.account.reservations)
                assert (order is not None) == (
                    world.ledger.order_of_venue_id(ACCOUNT, SYMBOL, _venue_id(world, order_id)) is not None
                )
            assert set(world.kinds()) <= {K.UNKNOWN_VENUE_ORDER}


def _venue_id(world: World, client_order_id: str) -> str:
    found = world.venue().lookup(SYMBOL, client_order_id)
    assert found is not None
    return found.venue_order_id


def test_adopting_twice_adopts_once_and_says_so() -> None:
    world = suspected()
    adopting(world, **EVERYTHING)
    after = world.account
    again = adopting(world, **EVERYTHING)
    assert [(a.order_id, a.already) for a in again.adopted] == [(None, True), (BUY, True), (SELL, True)]
    named = adopting(world, strategy=STRATEGY, orders=(SELL, BUY, SELL))
    assert [(a.order_id, a.already) for a in named.adopted] == [(SELL, True), (BUY, True)]
    assert world.account == after


def test_two_who_adopt_the_same_at_once_adopt_it_once() -> None:
    world = suspected()
    world.steps.next("ledger.record_decision", meanwhile(lambda: adopting(world, **EVERYTHING)))
    done = adopting(world, **EVERYTHING)
    assert [(a.order_id, a.already) for a in done.adopted] == [(None, False), (BUY, True), (SELL, True)]
    assert len(world.account.adoptions) == 1
    go_on(world)
    world.check_promises()


def test_of_two_strategies_that_adopt_one_order_at_once_one_is_refused() -> None:
    world = suspected()
    world.steps.next("ledger.record_decision", meanwhile(lambda: adopting(world, strategy="other", orders=(BUY,))))
    with pytest.raises(InvalidInput, match="cron-buy is an order of other"):
        adopting(world, strategy=STRATEGY, orders=(BUY,))
    assert world.order(BUY).strategy == "other"


def test_a_balance_is_adopted_once_although_the_account_changes_under_it() -> None:
    world = suspected()
    world.steps.next("ledger.save_account", meanwhile(lambda: world.ledger.save_account(world.account.bumped())))
    adopting(world, **COINS)
    assert world.position() == Decimal("0.5")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_was_partly_filled_before_the_opening_is_refused_and_nothing_else_is_adopted_with_it() -> None:
    world = before_belay(market((8900, 10000), volume="0.4"))
    world.advance(hours=1, minutes=1)
    listed = adopting(world)
    assert "before the account was opened" in listed.orders[0].problem
    assert "Cancel it at the venue" in listed.orders[0].remedy
    with pytest.raises(InvalidInput, match="cron-buy was filled, in part at least, before"):
        adopting(world, **EVERYTHING)
    assert world.account.adoptions == ()
    assert adopting(world, **COINS, orders=(SELL,)).adopted[1].order_id == SELL


def test_a_sell_without_its_coins_is_refused_and_says_how() -> None:
    world = suspected()
    with pytest.raises(InvalidInput, match=r"cron-sell sells 0.2 BTC/USD, ema-cross has 0 to sell. Let it adopt"):
        adopting(world, strategy=STRATEGY, all_orders=True)
    assert world.ledger.orders(ACCOUNT, 9) == ()


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({**COINS, "whole": False, "quantity": "0.51"}, "0.5 BTC are no strategy's and left"),
        ({**COINS, "symbol": "ETH/USD"}, "ETH/USD is not one of the account's symbols"),
        ({"strategy": STRATEGY, "orders": ("nobody",)}, "the venue has no order nobody"),
        ({**COINS, "new_strategy": False}, "no tick of ema-cross has come yet; known are: none"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_with_what_to_do(wish: dict[str, Any], problem: str) -> None:
    world = suspected()
    before = world.account
    with pytest.raises(InvalidInput, match=problem):
        adopting(world, **wish)
    assert world.account == before


def test_a_strategy_that_has_ticked_needs_no_further_word_and_a_misspelt_one_is_named() -> None:
    world = suspected()
    world.ledger.register_schedule(make_tick())
    with pytest.raises(InvalidInput, match="no tick of ema-crass has come yet; known are: ema-cross"):
        adopting(world, **{**COINS, "strategy": "ema-crass"}, new_strategy=False)
    assert adopting(world, **COINS, new_strategy=False).adopted


def test_nothing_is_adopted_while_the_strategy_may_enter() -> None:
    world = before_belay()
    world.reconcile()
    release(world)
    with pytest.raises(InvalidInput, match="Stop it first: belay halt"):
        adopting(world, **EVERYTHING)
    assert adopting(world).orders, "looking is always allowed"


def test_an_order_of_belays_own_is_refused() -> None:
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()
    with pytest.raises(InvalidInput, match="is an order of ema-cross in account paper"):
        adopting(world, strategy=STRATEGY, orders=(order.order_id,))


def test_an_order_whose_id_another_account_has_is_refused_before_anything_is_adopted() -> None:
    world = suspected()
    record = make_decision(slot=make_slot(account="other"), order_ids=(BUY,))
    world.ledger.record_decision(record, make_orders(record), ())
    assert "another account" in adopting(world).orders[0].problem
    with pytest.raises(InvalidInput, match="cron-buy bears the id of an order of another account"):
        adopting(world, **EVERYTHING)
    assert world.account.adoptions == ()


def test_books_that_cannot_be_opened_are_told_with_their_reason() -> None:
    world = before_belay()
    world.steps.always("venue.balances", refuse)
    with pytest.raises(InvalidInput, match="not known: venue unavailable"):
        adopting(world)


@pytest.mark.parametrize(
    ("read", "skip"),
    [
        ("venue.open_orders", 0),
        ("venue.trades", 0),
        ("venue.balances", 0),
        ("market.time", 1),
        ("venue.open_orders", 1),
        ("venue.balances", 1),
    ],
)
def test_a_fill_while_the_books_are_opened_is_in_the_opening_and_not_in_the_history(read: str, skip: int) -> None:
    world = before_belay()
    world.steps.next(read, meanwhile(lambda: world.advance(hours=1, minutes=1)), skip)
    adopting(world, **COINS, orders=(SELL,))
    assert world.account.opening == {"BTC": Decimal("0.6"), "USD": Decimal("9099.55")}
    world.minutes(2)
    assert world.reconcile().clean
    assert world.incidents() == []


def test_a_fill_after_the_books_were_read_is_in_the_history_and_not_in_the_opening() -> None:
    world = before_belay()
    world.steps.next("ledger.save_account", meanwhile(lambda: world.advance(hours=1, minutes=1)))
    adopting(world, **COINS, orders=(BUY, SELL))
    assert world.account.opening == {"BTC": Decimal("0.5"), "USD": Decimal(10_000)}
    go_on(world)
    world.check_promises()


# --- as an event and as a command ------------------------------------------------------------------------------------


def test_the_answer_to_an_event_is_data_whatever_comes_of_it() -> None:
    world = suspected()
    listed = answer({"account": ACCOUNT, "adopt": {}}, world.services())
    assert json.loads(json.dumps(listed))["orders"][0]["seen"]["client_order_id"] == BUY
    refused = answer({"account": ACCOUNT, "adopt": {"strategy": 1}}, world.services())
    assert refused["error"] == "adopt.strategy"
    assert answer({"account": "nobody", "adopt": {}}, world.services())["error"] == "account"
    world.steps.always("venue.open_orders", instead(VenueUnavailable("no answer")))
    assert answer({"account": ACCOUNT, "adopt": {}}, world.services())["problem"] == "no answer"


def command(world: World, *arguments: str) -> Any:
    """Run `belay` where the reconciler is the real workflow, and what passes between them is text."""

    def ask(event: Any) -> Any:
        return json.loads(json.dumps(answer(json.loads(json.dumps(event)), world.services())))

    desk = Desk(
        stage="dev",
        ledger=world.ledger,
        switch=world.switch,
        proof_of=lambda _: None,
        venue_time=lambda _: world.now,
        publish=lambda _: None,
        ask_reconciler=ask,
    )
    return CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: desk)


def test_the_command_lists_adopts_and_explains() -> None:
    world = suspected()
    listed = command(world, "adopt").stdout
    assert "balance  0.5 BTC/USD, 0.5 at the opening" in listed
    assert "order    cron-buy  buy 0.1 BTC/USD at limit 9000" in listed
    wish = ["--strategy", STRATEGY, "--symbol", SYMBOL, "--quantity", "all", "--price", "8000", "--all-orders"]
    done = command(world, "adopt", *wish, "--new-strategy", "--author", "ann")
    assert done.exit_code == 0, done.stderr
    assert f"adopted by {STRATEGY}: 0.5 BTC/USD at a cost of 8000" in done.stdout
    assert f"adopted by {STRATEGY}: order cron-sell, sell 0.2 BTC/USD at limit 11000" in done.stdout
    assert done.stdout.count("resolved incident unknown_venue_order:") == 2
    assert "Nothing is left to adopt." in done.stdout
    assert "(already)" in command(world, "adopt", *wish, "--new-strategy").stdout
    go_on(world)
    story = command(world, "explain", "cron-buy").stdout
    for told in (
        "buy 0.1 BTC/USD at limit 9000: adopted by ann",
        "None: it was at the venue before and was adopted.",
        "Belay sent nothing, and the venue has one order for it.",
        "0.1 of 0.1 BTC/USD at average 9000",
        "FILLED, settled",
    ):
        assert told in story


def test_the_command_says_why_an_order_cannot_be_adopted() -> None:
    world = before_belay(market((8900, 10000), volume="0.4"))
    world.advance(hours=1, minutes=1)
    assert "cannot be adopted: cron-buy was filled, in part at least" in " ".join(
        command(world, "adopt").stdout.split()
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--strategy", "Nobody!"], "adopt.strategy"),
        (["--all-orders"], "name the strategy"),
        (["--strategy", STRATEGY, "--symbol", SYMBOL, "--quantity", "much", "--price", "1"], "adopt.quantity"),
        (["--strategy", STRATEGY, "--order", "nobody", "--new-strategy"], "the venue has no order nobody"),
        (["--strategy", STRATEGY, "--all-orders"], "no tick of ema-cross has come yet"),
    ],
)
def test_a_bad_wish_is_one_line_and_exit_code_2(arguments: list[str], named: str) -> None:
    refused = command(suspected(), "adopt", *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert named in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_adoption_keeps_who_made_it() -> None:
    world = suspected()
    adopting(world, **COINS, author="ann")
    (kept,) = world.account.adoptions
    assert kept == Adoption(
        strategy=STRATEGY, symbol=SYMBOL, quantity=Decimal("0.5"), price=Decimal(8000), author="ann", at=world.now
    )
