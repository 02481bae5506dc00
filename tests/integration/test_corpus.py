"""What went wrong in other systems, replayed here: the same trigger, and the promise that must hold. One test a row.

The rows are in tests/corpus.toml. Those whose number is missing here have their test where what they need is set up: at
a venue server, in the doctor's examination, beside what else the reconciler finds.
"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from belay.adapters.paper.clock import load_candles
from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import Hold, Side, TimeInForce
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.slots import Slot, order_id
from belay.domain.venues import Balances, Outcome, OutcomeKind, TradePage, VenueOrder, VenueStatus, VenueTrade
from belay.ports import CancelRequest
from tests.builders import (
    ACCOUNT,
    NOW,
    SYMBOL,
    make_buy,
    make_candles,
    make_document,
    make_limits,
    make_paper_settings,
    make_sell,
    make_slot,
    make_tick,
)
from tests.world import (
    EFFECTS,
    Crash,
    LaggingVenue,
    UnfencedVenue,
    World,
    changed,
    flat_candles,
    instead,
    lose_answer,
    make_reduce,
    meanwhile,
    refuse,
    stop_after,
    stop_before,
    twice,
)

S, K = OrderState, IncidentKind
ETHER = "ETH/USD"


def ready(**world: Any) -> World:
    made = World(**world)
    made.open_gate()
    return made


def entered(world: World, **changes: Any) -> Order:
    order = world.buy(**changes)
    world.deliver()
    return order


def left(world: World, **changes: Any) -> Order:
    """An exit whose message was delivered once."""
    (order,) = world.decide(make_reduce(**changes))
    world.deliver()
    return order


def holding(**world: Any) -> World:
    made = World(**world)
    made.holding()
    return made


def crashes(world: World, act: Any) -> None:
    with pytest.raises(Crash):
        act()


# --- duplicates ------------------------------------------------------------------------------------------------------


def test_01_a_read_timeout_is_never_answered_by_ordering_again() -> None:
    """Row 1: scrtlabs/catalyst #317, #315."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    for _ in range(5):
        world.execute(order.order_id)
    world.minutes(2)
    assert world.accepted(order) == 1
    world.check_promises()


def test_02_an_order_that_landed_and_closed_after_the_timeout_is_found_among_the_closed_ones() -> None:
    """Row 2: ccxt #2599, PR #1880."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world)
    assert world.venue().open_orders() == ()
    world.minutes(1)
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_03_a_filled_order_that_reads_as_cancelled_keeps_its_fills_and_is_not_placed_again() -> None:
    """Row 3: freqtrade #11461."""
    world = holding()
    as_cancelled = changed(lambda seen: seen and seen.model_copy(update={"status": VenueStatus.CANCELLED}))
    world.steps.always("venue.lookup", as_cancelled)
    world.steps.next("venue.submit", lose_answer)
    order = left(world)
    world.minutes(4)
    assert world.accepted(order) == 1
    assert world.position() == 0
    world.check_promises()


def test_04_a_failure_that_was_none_does_not_repeat_the_exit() -> None:
    """Row 4: hummingbot #7294."""
    world = holding()
    failed = Outcome(kind=OutcomeKind.REJECTED, code="INSUFFICIENT_FUNDS", exchange_time=world.now)
    world.steps.next("venue.submit", changed(lambda _outcome: failed))
    order = left(world)
    world.minutes(4)
    assert world.accepted(order) == 1
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_05_two_exits_never_sell_more_than_the_position() -> None:
    """Row 5: freqtrade #13332, PR #2799."""
    world = holding()
    first = left(world, quantity="0.06")
    world.advance(minutes=60)
    second = left(world, quantity="0.06")
    world.minutes(2)
    assert world.order(first.order_id).filled_quantity == Decimal("0.06")
    assert world.order(second.order_id).filled_quantity == Decimal("0.04")
    assert world.position() == 0


def test_06_a_restart_creates_no_second_order() -> None:
    """Row 6: nautilus_trader #3176."""
    world = ready()
    order = entered(world, limit_price="9000")
    for restart in range(3):
        world.reconcile(f"layer:{restart + 2}")
        world.tick(at=NOW)
        world.deliver()
        world.advance(seconds=20)
    assert world.accepted(order) == 1
    assert len(world.ledger.orders(ACCOUNT, 10)) == 1


def test_07_every_attempt_bears_the_same_client_order_id() -> None:
    """Row 7: kalshi-starter-code-python #135."""
    world = holding()
    world.steps.next("venue.submit", refuse)
    order = left(world)
    world.minutes(4)
    attempt = world.order(order.order_id).attempt
    assert attempt is not None
    assert attempt.number == 2
    assert attempt.request.client_order_id == order.order_id
    assert world.accepted(order) == 1


def test_08_ids_of_two_stages_accounts_or_strategies_never_meet() -> None:
    """Row 8: hummingbot #4673, PR #5161."""
    slots = [
        make_slot(),
        make_slot(stage="prod"),
        make_slot(account="other"),
        make_slot(strategy="other"),
        make_slot(symbol=ETHER),
    ]
    assert len({order_id(slot, Side.BUY, 0) for slot in slots}) == len(slots)


# --- lost and zombie orders ------------------------------------------------------------------------------------------


def test_09_an_outage_drops_no_live_order() -> None:
    """Row 9: hummingbot #8457, DNS outage, six live orders dropped."""
    world = ready()
    orders = world.decide(*(make_buy(limit_price=str(9000 + n), quantity="0.02") for n in range(6)))
    world.deliver()
    for call in ("venue.open_orders", "venue.lookup", "venue.trades", "venue.balances", "market.time"):
        world.steps.always(call, refuse)
    for _ in range(30):
        world.advance(minutes=1)
        assert not world.reconcile().clean
    assert {world.state(order) for order in orders} == {S.ACKNOWLEDGED}
    assert len(world.account.reservations) == 6
    world.steps.calm()
    world.minutes(1)
    assert world.venue().open_orders() != ()
    assert {world.state(order) for order in orders} == {S.ACKNOWLEDGED}


def test_10_a_buy_that_seemed_dead_is_found_when_it_comes_to_life() -> None:
    """Row 10: hummingbot #3374."""
    world = ready(venue_type=UnfencedVenue)
    order = world.buy()
    world.steps.next("venue.submit", meanwhile(partial(world.minutes, 5)))
    world.execute(order.order_id)
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert world.position() == Decimal("0.1")
    world.check_promises()


def test_11_an_ambiguous_submission_does_not_age_into_a_verdict() -> None:
    """Row 11: nautilus_trader #4152."""
    world = ready(venue_type=UnfencedVenue)
    world.steps.next("venue.submit", refuse)
    order = entered(world)
    for _ in range(12):
        world.advance(hours=1)
        world.reconcile()
    assert world.state(order) is S.UNKNOWN
    assert order.order_id in world.account.reservations
    assert K.UNKNOWN_OUTCOME in world.kinds()


@pytest.mark.parametrize("limit_price", [None, "9000", "11000"])
@pytest.mark.parametrize("time_in_force", list(TimeInForce))
def test_12_the_look_up_finds_every_kind_of_order(limit_price: str | None, time_in_force: TimeInForce) -> None:
    """Row 12: nautilus_trader PR #4411."""
    world = ready(volume="0.5")
    world.steps.next("venue.submit", lose_answer)
    order = entered(world, limit_price=limit_price, time_in_force=time_in_force)
    assert world.execute(order.order_id).result == "resolved"
    assert world.order(order.order_id).venue_order_ids


def test_13_a_cancel_that_crossed_a_fill_keeps_the_fill() -> None:
    """Row 13: freqtrade #3647."""
    world = ready(volume="0.5")
    order = entered(world)
    cancel(world, order)
    world.steps.next("venue.cancel", meanwhile(partial(world.advance, hours=1)))
    world.reconcile()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    world.check_promises()


def cancel(world: World, order: Order) -> None:
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)


def test_15_an_order_that_is_not_found_just_after_its_creation_is_not_given_up() -> None:
    """Row 15: freqtrade #4403, ccxt #1786."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = entered(world, limit_price="9000")
    world.steps.always("venue.open_orders", instead(()))
    world.steps.always("venue.lookup", instead(None))
    world.execute(order.order_id)
    world.advance(seconds=11)
    world.reconcile()
    assert world.state(order) is S.UNKNOWN
    assert world.order(order.order_id).misses == ()
    world.steps.calm()
    world.minutes(1)
    assert world.state(order) is S.ACKNOWLEDGED


def test_16_an_order_that_only_the_ledger_holds_open_is_noticed() -> None:
    """Row 16: OctoBot #1333."""
    world = ready()
    order = entered(world, limit_price="9000")
    world.steps.always("venue.open_orders", instead(()))
    world.steps.always("venue.lookup", instead(None))
    world.minutes(2)
    assert world.kinds() == [K.MISSING_ORDER]
    assert world.incidents()[0].subject == order.order_id


@pytest.mark.parametrize(("age", "state"), [(299, S.FILLED), (300, S.LAPSED)])
def test_17_an_order_is_as_old_as_it_is(age: int, state: OrderState) -> None:
    """Row 17: freqtrade PR #6943, a predicate on order age was always true."""
    world = ready()
    order = world.buy()
    world.advance(seconds=age)
    world.deliver()
    assert world.state(order) is state


# --- fills -----------------------------------------------------------------------------------------------------------


def test_18_a_terminal_order_stays_fillable_even_after_it_was_settled() -> None:
    """Row 18: hummingbot #4738."""
    world = ready()
    order = entered(world, limit_price="9000")
    world.venue().cancel(SYMBOL, order.order_id)
    world.minutes(2)
    assert world.order(order.order_id).settled
    (venue_id,) = world.order(order.order_id).venue_order_ids
    late = VenueTrade(
        venue="paper",
        symbol=SYMBOL,
        venue_order_id=venue_id,
        side=Side.BUY,
        trade_id="late",
        quantity="0.01",
        price="9000",
        fees={"USD": "0.09"},
        at=world.now,
    )
    world.steps.always("venue.trades", instead(TradePage(trades=(late,))))
    world.reconcile()
    assert world.position() == Decimal("0.01")
    assert world.order(order.order_id).filled_quantity == Decimal("0.01")


def test_19_the_same_fill_read_twice_counts_once() -> None:
    """Row 19: hummingbot #3317."""
    world = ready()
    entered(world)
    world.steps.always("venue.trades", changed(lambda page: TradePage(trades=page.trades * 2)))
    world.minutes(3)
    assert len(world.fills()) == 1
    world.check_promises()


def test_20_fills_of_a_disconnect_are_recovered() -> None:
    """Row 20: Lean.Brokerages.InteractiveBrokers #249."""
    world = ready(volume="0.2")
    order = entered(world)
    world.advance(hours=7)
    world.strategy.says = Hold(reason="quiet")
    world.tick()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert len(world.fills()) == 5
    world.check_promises()


def test_21_a_rejected_liquidation_is_not_tried_without_end() -> None:
    """Row 21: Lean.Brokerages.TradeStation #101."""
    world = holding()
    rejected = Outcome(kind=OutcomeKind.REJECTED, code="MIN_NOTIONAL", exchange_time=world.now)
    world.steps.always("venue.submit", instead(rejected))
    mark = len(world.steps.calls)
    left(world)
    world.minutes(8)
    assert len(world.steps.since(mark, "venue.submit")) == 1
    assert world.kinds() == [K.EXIT_NOT_PLACED]
    assert len(world.alerts.incidents) == 1


def test_22_fills_replayed_after_a_restart_change_nothing() -> None:
    """Row 22: nautilus_trader #3046. Not even when the cursors are lost."""
    world = ready()
    entered(world)
    world.minutes(2)
    world.steps.always("ledger.cursor", instead(None))
    world.minutes(3)
    assert len(world.fills()) == 1
    assert world.alerts.incidents == []
    world.check_promises()


def test_23_fills_beyond_the_page_limit_and_within_one_second_are_all_read() -> None:
    """Row 23: ccxt #8327, #6696, #15827."""
    world = ready()
    world.store.page_size = 3
    orders = world.decide(*(make_buy(quantity="0.02", reason=str(n)) for n in range(8)))
    world.deliver()
    world.minutes(1)
    world.store.page_size = 200
    assert len(world.fills()) == len(orders) == 8
    assert len({fill.trade.at for fill in world.fills()}) == 1
    world.check_promises()


# --- restart and position --------------------------------------------------------------------------------------------


def test_24_no_fill_is_invented_for_a_balance_that_nothing_explains() -> None:
    """Row 24: nautilus_trader #4736."""
    world = holding()
    world.trade_by_hand(Side.SELL, "0.03")
    world.minutes(2)
    assert world.position() == Decimal("0.1")
    assert len(world.fills()) == 1
    assert K.BALANCE_MISMATCH in world.kinds()


def test_25_working_orders_survive_a_restart() -> None:
    """Row 25: nautilus_trader #5000, startup drops 14 working orders."""
    world = ready()
    orders = world.decide(*(make_buy(quantity="0.003", limit_price="9000", reason=str(n)) for n in range(8)))
    world.deliver()
    world.advance(minutes=1)
    world.reconcile("layer:2")
    world.advance(minutes=1)
    assert world.reconcile("layer:2").clean
    assert {world.state(order) for order in orders} == {S.ACKNOWLEDGED}
    assert len(world.venue().open_orders()) == 8


def test_26_a_position_needs_no_history_of_the_venue() -> None:
    """Row 26: nautilus_trader #3104, a position older than 10 days fails reconciliation."""
    candles = make_candles([10_000] * 24 * 14, NOW + timedelta(days=13))
    world = holding(candles=candles)
    world.advance(days=11)
    world.tick()
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.advance(minutes=1)
    assert world.reconcile().clean
    assert world.position() == Decimal("0.1")
    order = left(world)
    assert world.accepted(order) == 1


def test_27_a_resting_exit_is_remembered_across_a_restart() -> None:
    """Row 27: OctoBot #3190, hummingbot #366, here for the exits there are: limit sells."""
    world = holding()
    order = left(world, limit_price="10500")
    world.advance(minutes=1)
    world.reconcile("layer:2")
    assert order.order_id in {seen.client_order_id for seen in world.venue().open_orders()}
    assert world.account.reservations[order.order_id].reducing
    world.advance(minutes=59)
    second = left(world)
    assert world.state(second) is S.DENIED, "what is already for sale is not sold again"


def test_28_an_order_called_filled_moves_no_position_without_its_fills() -> None:
    """Row 28: freqtrade #9128."""
    world = ready()
    order = entered(world, limit_price="9000")
    as_filled = changed(lambda seen: tuple(order.model_copy(update={"status": VenueStatus.FILLED}) for order in seen))
    world.steps.always("venue.open_orders", as_filled)
    world.minutes(5)
    assert world.position() == 0
    assert not world.order(order.order_id).settled
    assert order.order_id in world.account.reservations
    world.minutes(10)
    assert world.kinds() == [K.FILLS_MISSING]


@pytest.mark.parametrize(("age", "state"), [(60, S.FILLED), (61, S.DENIED), (86_400, S.DENIED)])
def test_29_an_entry_is_sized_from_fresh_balances_only(age: int, state: OrderState) -> None:
    """Row 29: LEAN #4680, day-stale cash keeps selling until nothing is left."""
    world = ready()
    stale = changed(lambda found: Balances(total=found.total, at=found.at - timedelta(seconds=age)))
    world.steps.always("venue.balances", stale)
    assert world.state(entered(world)) is state


def test_30_a_strategy_sells_only_what_is_its_own() -> None:
    """Row 30: freqtrade #8666, #4470."""
    world = holding()
    (order,) = world.decide(make_sell(), strategy="other")
    world.deliver()
    assert world.state(order) is S.DENIED
    assert world.position() == Decimal("0.1")


# --- fees, dust, filters ---------------------------------------------------------------------------------------------


def test_31_a_fee_in_the_base_currency_is_taken_off_the_position() -> None:
    """Row 31: LEAN #4851, #6123, nautilus_trader #2689."""
    fee = Decimal("0.0001")
    world = ready()

    def in_base(page: TradePage) -> TradePage:
        bought = (trade.model_copy(update={"fees": {"BTC": fee}}) for trade in page.trades)
        return TradePage(trades=tuple(bought))

    def less_the_fee(found: Balances) -> Balances:
        if not found.total.get("BTC"):
            return found
        quote_fee = sum((trade.fees["USD"] for trade in world.venue_trades() if trade.side is Side.BUY), Decimal(0))
        return found.model_copy(
            update={"total": {"BTC": found.total["BTC"] - fee, "USD": found.total["USD"] + quote_fee}}
        )

    world.steps.always("venue.trades", changed(in_base))
    world.steps.always("venue.balances", changed(less_the_fee))
    entered(world)
    world.minutes(1)
    assert world.position() == Decimal("0.0999")
    assert world.reconcile().reason in ("", "proof was changed by someone else since it was read")
    world.advance(hours=1)
    attempt = world.order(left(world).order_id).attempt
    assert attempt is not None
    assert attempt.request.quantity == Decimal("0.0999")
    assert world.alerts.incidents == []


def test_32_a_residue_below_the_lot_size_is_dust_and_is_not_enlarged() -> None:
    """Row 32: LEAN #6666, freqtrade #4324."""
    world = holding()
    left(world, quantity="0.0999")
    world.minutes(1)
    assert world.position() == Decimal("0.0001")
    world.configure(make_document(paper=make_paper_settings(min_quantity="0.001", min_notional="0")))
    world.advance(minutes=60)
    residue = left(world)
    assert world.causes(residue)[-1] == "denied: dust"
    assert world.position() == Decimal("0.0001")


def test_33_a_remainder_below_the_minimum_notional_is_dust_once_and_sends_nothing() -> None:
    """Row 33: freqtrade #12322, a trade that can't die."""
    world = holding()
    left(world, quantity="0.0995")
    world.minutes(1)
    submissions = len(world.store.submissions())
    world.advance(minutes=60)
    residue = left(world)
    world.minutes(8)
    assert world.causes(residue)[-1] == "denied: dust"
    assert len(world.store.submissions()) == submissions


def test_34_an_entry_that_could_not_be_sold_again_is_not_made() -> None:
    """Row 34: freqtrade #2011, #1723."""
    world = ready()
    assert world.state(entered(world, quantity="0.001")) is S.DENIED
    world.advance(minutes=60)
    world.reconcile()
    assert world.state(entered(world, quantity="0.0011")) is S.FILLED


# --- environment -----------------------------------------------------------------------------------------------------


def test_36_strategies_share_one_budget_of_submissions() -> None:
    """Row 36: freqtrade #12441, #7187, ccxt #14639: bans, each bot assuming the whole request budget."""
    world = ready(document=make_document(limits=make_limits(submissions_per_minute=5)))
    states = []
    for number in range(5):
        (order,) = world.decide(make_buy(quantity="0.01"), strategy=f"strategy-{number}")
        world.deliver()
        states.append(world.state(order))
    assert states == [S.FILLED] * 3 + [S.DENIED] * 2, "two of five are kept for exits"


def test_38_signals_come_from_closed_and_fresh_candles_only() -> None:
    """Row 38: freqtrade #746, #11725, candles 5,148 minutes stale."""
    world = World(candles=flat_candles())
    world.advance(minutes=1)
    world.tick()
    assert world.strategy.seen[-1].markets[SYMBOL].candles[-1].open_time == NOW - timedelta(hours=1)
    stale = World(candles=make_candles([10_000] * 24, NOW - timedelta(minutes=5148 + 12)))
    record = stale.tick()
    assert record.held is not None
    assert record.held.reason == "stale_candles"


def test_39_one_symbols_failure_stays_with_that_symbol() -> None:
    """Row 39: Lean.Brokerages.TradeStation #104."""
    world = two_symbols()
    bitcoin, ether = world.decide(make_buy(), make_buy(symbol=ETHER))
    world.deliver()

    def only_bitcoin(call: str, perform: Any) -> Any:
        return refuse(call, perform) if perform.args[0] == ETHER else perform()

    world.steps.always("venue.trades", only_bitcoin)
    world.minutes(1)
    assert world.order(bitcoin.order_id).filled_quantity == Decimal("0.1")
    assert world.order(bitcoin.order_id).settled
    assert world.order(ether.order_id).filled_quantity == 0
    assert world.alerts.incidents == []


def two_symbols() -> World:
    limits = make_limits(max_position_notional={SYMBOL: "5000", ETHER: "5000"})
    document = make_document(symbols=(SYMBOL, ETHER), limits=limits)
    world = World(document=document)
    load_candles(world.store, document, ETHER, "1h", flat_candles())
    world.open_gate()
    return world


def test_40_one_bad_reading_latches_nothing() -> None:
    """Row 40: a single bad equity reading latched a halt."""
    world = ready()
    nothing = changed(lambda found: Balances(total={"USD": Decimal(0), "BTC": Decimal(0)}, at=found.at))
    world.advance(minutes=1)
    world.steps.next("venue.balances", nothing)
    world.reconcile()
    world.minutes(1)
    assert strictest(world.account.stops, "ema-cross", SYMBOL)[0] is StopLevel.RUNNING
    assert world.alerts.incidents == []


def test_41_a_change_of_daylight_saving_changes_no_slot() -> None:
    """Row 41: lumibot PR #662."""
    before = datetime(2024, 3, 31, 3, 0, tzinfo=timezone(timedelta(hours=2)))
    after = datetime(2024, 3, 31, 1, 0, tzinfo=UTC)
    ids = {Slot.of(make_tick(scheduled_time=at), "dev").decision_id for at in (before, after)}
    assert ids == {"dev.paper.ema-cross.BTC/USD.1h.2024-03-31T00:00Z"}


# --- this architecture's own traps -----------------------------------------------------------------------------------


def test_42_a_crash_before_the_message_was_sent_loses_no_intent() -> None:
    """Row 42."""
    world = ready()
    world.steps.next("queue.publish_intent", stop_before)
    crashes(world, world.buy)
    world.minutes(2)
    (order,) = world.ledger.orders(ACCOUNT, 10)
    assert order.state is S.FILLED
    world.check_promises()


def test_43_a_message_sent_twice_is_one_order() -> None:
    """Row 43."""
    world = ready()
    world.steps.next("queue.publish_intent", stop_after)
    crashes(world, world.buy)
    world.advance(seconds=40)
    world.tick(at=NOW)
    world.reconcile()
    assert len(world.queue.intents) == 2
    world.deliver()
    (order,) = world.ledger.orders(ACCOUNT, 10)
    assert world.accepted(order) == 1


def test_44_a_claim_repeated_by_the_client_library_is_still_won() -> None:
    """Row 44: claim stored, response lost, SDK retry fails its own condition."""
    world = ready()
    world.steps.next("ledger.commit", twice)
    order = entered(world)
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1


def test_45_a_crash_between_accept_and_settle_sends_nothing_again() -> None:
    """Row 45."""
    world = ready()
    order = world.buy()
    world.steps.next("venue.submit", stop_after)
    crashes(world, world.deliver)
    world.deliver()
    world.minutes(1)
    assert world.accepted(order) == 1
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_46_a_thawed_process_is_refused_by_the_venue_itself() -> None:
    """Row 46."""
    world = holding()
    (order,) = world.decide(make_reduce())
    world.steps.next("venue.submit", meanwhile(partial(world.minutes, 3)))
    assert world.execute(order.order_id).detail == "FENCE_PASSED"
    assert world.accepted(order) == 1
    world.minutes(1)
    world.check_promises()


def test_47_a_redelivery_while_the_first_executor_runs_sends_nothing() -> None:
    """Row 47."""
    world = ready()
    order = world.buy()
    world.steps.next("venue.submit", meanwhile(partial(world.execute, order.order_id)))
    world.execute(order.order_id)
    assert world.accepted(order) == 1
    assert len(world.store.submissions()) == 1


def test_48_a_message_redriven_a_day_later_does_nothing() -> None:
    """Row 48."""
    world = ready()
    done = entered(world)
    (late,) = world.decide(make_buy(), strategy="other")
    world.advance(hours=24)
    assert world.execute(late.order_id).result == "lapsed"
    assert world.execute(done.order_id).result == "already done"
    assert len(world.store.submissions()) == 1


@pytest.mark.parametrize("skip", [0, 1])
def test_49_a_switch_set_before_or_after_the_check_lets_nothing_leave(skip: int) -> None:
    """Row 49."""
    world = ready()
    order = world.buy()
    world.steps.next("switch.read", meanwhile(partial(world.set_switch, StopLevel.HALTED)), skip=skip)
    world.deliver()
    world.minutes(2)
    assert world.store.submissions() == ()
    assert world.state(order) is (S.NOT_SENT if skip else S.DENIED)
    world.check_promises()


def test_50_an_unreadable_switch_stops() -> None:
    """Row 50."""
    world = ready()
    world.steps.always("switch.read", refuse)
    assert world.state(entered(world)) is S.DENIED


def test_51_a_deployment_in_the_middle_of_an_open_order_goes_on_with_it() -> None:
    """Row 51."""
    world = ready(volume="0.5")
    order = entered(world)
    world.advance(hours=1)
    world.strategy.says = Hold(reason="quiet")
    world.tick()
    for _ in range(3):
        world.advance(seconds=20)
        world.reconcile("layer:2")
    assert world.state(order) is S.FILLED
    assert world.accepted(order) == 1
    world.check_promises()


def test_52_every_effect_has_its_own_sweep() -> None:
    """Row 52 is the sweeps in test_evaluate, test_execute and test_reconcile; here: their effects exist."""
    world = World()
    ports = {"ledger": world.ledger, "queue": world.queue, "alerts": world.alerts, "venue": world.venue()}
    for effect in EFFECTS:
        port, method = effect.split(".")
        assert callable(getattr(ports[port], method))


def test_53_a_reconciliation_between_claim_and_settle_disturbs_neither() -> None:
    """Row 53."""
    for call in ("switch.read", "venue.submit"):
        world = ready()
        order = world.buy()
        world.steps.next(call, meanwhile(world.reconcile), skip=1 if call == "switch.read" else 0)
        world.deliver()
        assert world.state(order) is S.FILLED
        assert world.alerts.incidents == []


def test_54_two_reconcilers_at_once_count_once() -> None:
    """Row 54."""
    world = ready()
    entered(world)
    world.advance(seconds=5)
    world.steps.next("ledger.commit", meanwhile(world.reconcile))
    world.reconcile()
    assert len(world.fills()) == 1
    world.minutes(1)
    world.check_promises()


@pytest.mark.parametrize("answer", [ValueError("<html>"), Outcome(kind=OutcomeKind.ACCEPTED, code="200")])
def test_55_an_answer_that_cannot_be_believed_is_unknown(answer: Any) -> None:
    """Row 55: 200 with HTML, empty, truncated JSON."""
    world = ready()
    world.steps.next("venue.submit", instead(answer))
    order = entered(world)
    assert world.state(order) is S.UNKNOWN
    world.minutes(1)
    assert world.state(order) in (S.UNKNOWN, S.NOT_SENT)
    assert world.execute(order.order_id).result in ("unresolved", "already done")
    assert world.store.submissions() == ()


def test_56_a_fill_before_the_acknowledgement_counts_once() -> None:
    """Row 56."""
    world = ready()
    order = world.buy()

    def fill_first(outcome: Outcome) -> Outcome:
        world.reconcile()
        return outcome

    world.steps.next("venue.submit", changed(fill_first))
    world.deliver()
    assert world.state(order) is S.FILLED
    assert len(world.fills()) == 1
    world.minutes(1)
    world.check_promises()


def test_57_a_cancel_and_a_fill_that_cross_both_count() -> None:
    """Row 57."""
    world = ready(volume="0.5", venue_type=LaggingVenue)
    order = entered(world)
    cancel(world, order)
    world.minutes(3)
    assert world.state(order) is S.CANCELLED
    assert world.order(order.order_id).filled_quantity == Decimal("0.05")
    world.check_promises()


def test_58_a_trade_id_used_again_for_another_symbol_is_another_trade() -> None:
    """Row 58: and so may the venue's order id be."""

    def same_numbers(order: VenueOrder | VenueTrade) -> Any:
        numbers = {"venue_order_id": "1", **({"trade_id": "1"} if isinstance(order, VenueTrade) else {})}
        return order.model_copy(update=numbers)

    world = two_symbols()
    world.steps.always(
        "venue.submit",
        changed(lambda out: out.model_copy(update={"venue_order": same_numbers(out.venue_order)})),
    )
    world.steps.always("venue.lookup", changed(lambda seen: seen and same_numbers(seen)))
    world.steps.always("venue.trades", changed(lambda page: TradePage(trades=tuple(map(same_numbers, page.trades)))))
    bitcoin, ether = world.decide(make_buy(), make_buy(symbol=ETHER))
    world.deliver()
    world.minutes(1)
    assert {fill.order_id for fill in world.fills()} == {bitcoin.order_id, ether.order_id}
    assert len(world.fills()) == 2
    assert world.alerts.incidents == []


@pytest.mark.parametrize(("offset", "state"), [(5, S.FILLED), (30, S.CREATED), (-30, S.CREATED)])
def test_59_nothing_is_claimed_while_the_clocks_disagree(offset: int, state: OrderState) -> None:
    """Rows 35 and 59: ccxt #2281, clock of the Lambda 30 s off."""
    world = ready()
    world.steps.always("clock.now", changed(lambda now: now + timedelta(seconds=offset)))
    assert world.state(entered(world)) is state


def test_60_a_restored_table_closes_the_gate_and_what_it_forgot_keeps_it_closed() -> None:
    """Row 60: table restored to an hour ago."""
    world = ready()
    world.minutes(1)
    forgetful = World()
    forgetful.store = world.store
    forgetful.open_gate()
    entered(world)
    forgetful.ledger.table_id = "restored"
    for _ in range(3):
        forgetful.advance(seconds=20)
        assert not forgetful.reconcile().clean
    (order,) = forgetful.decide(make_buy(), strategy="other", at=NOW)
    forgetful.deliver()
    assert forgetful.state(order) in (S.CREATED, S.DENIED)
    assert forgetful.store.submissions() == world.store.submissions()
    assert len(world.store.submissions()) == 1
