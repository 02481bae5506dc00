"""The reconciler's workflow in a world of memory: it repairs, proves what is clean, and asks about the rest."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import Hold, Trade
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.slots import TIMEFRAMES
from belay.domain.venues import Balances, TradePage
from belay.ports import CancelRequest
from belay.workflows.execute import execute
from belay.workflows.reconcile import Reconciled, reconcile
from belay.workflows.session import open_session
from belay.workflows.windows import MOST_REQUESTS
from tests.builders import (
    ACCOUNT,
    NOW,
    SYMBOL,
    make_buy,
    make_candles,
    make_document,
    make_limits,
    make_trade,
)
from tests.world import (
    FAULTS,
    Crash,
    Fault,
    LaggingVenue,
    World,
    afterwards,
    blaming,
    disturbed,
    instead,
    lose_answer,
    make_reduce,
    meanwhile,
    refuse,
    stop_after,
    stop_before,
)

S = OrderState
K = IncidentKind


def ready(**world: Any) -> World:
    made = World(**world)
    made.open_gate()
    return made


def level(world: World) -> StopLevel:
    return strictest(world.account.stops, "ema-cross", SYMBOL)[0]


# --- the first run, the gate -----------------------------------------------------------------------------------------


def test_the_first_run_records_the_opening_and_proves_it() -> None:
    world = World()
    result = world.reconcile()
    assert result.clean
    assert world.account.opening == {"BTC": Decimal(0), "USD": Decimal(10_000)}
    assert world.account.opened_at == NOW
    world.check_promises()


def test_the_opening_is_recorded_once() -> None:
    world = ready()
    world.advance(minutes=1)
    assert world.reconcile().clean
    assert world.account.opened_at == NOW


def test_an_account_without_a_document_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="nobody has no document"):
        reconcile("nobody", World().services())


@pytest.mark.parametrize("change", ["layer", "configuration"])
def test_a_new_deployment_closes_the_gate_until_it_has_reconciled_itself(change: str) -> None:
    """Corpus row 51; the old deployment's proof does not count for the new one."""
    world = ready()
    if change == "configuration":
        world.configure(make_document(limits=make_limits(max_order_notional="1500")))
    order = world.buy()
    services = world.services("layer:2" if change == "layer" else "layer:1")
    assert execute(order.order_id, services, lambda: 30.0).detail == "max_reconciliation_age_seconds"
    assert world.state(order) is S.CREATED
    world.advance(seconds=1)
    assert world.reconcile("layer:2" if change == "layer" else "layer:1").clean
    assert execute(order.order_id, services, lambda: 30.0).result == "submitted"


def test_several_deployments_keep_their_gates_open_side_by_side() -> None:
    world = ready()
    world.advance(seconds=1)
    assert world.reconcile("layer:2").clean
    first = world.ledger.proof(ACCOUNT, _fingerprint(world, "layer:1"))
    second = world.ledger.proof(ACCOUNT, _fingerprint(world, "layer:2"))
    assert first is not None
    assert second is not None


def _fingerprint(world: World, layer_version: str) -> str:
    return open_session(world.services(layer_version), ACCOUNT).fingerprint


def test_a_proof_too_old_makes_entries_wait() -> None:
    """Both sides of the bound."""
    for age, state in ((300, S.ACKNOWLEDGED), (301, S.CREATED)):
        world = ready(document=make_document(limits=make_limits(max_input_age_seconds=3600)))
        world.advance(seconds=age)
        leg = make_buy(limit_price="9000")
        (order,) = world.decide(leg, at=NOW, max_lateness_seconds=600, order_expiry_seconds=3600)
        world.deliver()
        assert world.state(order) is state


# --- repairs ---------------------------------------------------------------------------------------------------------


def test_fills_are_counted_once_however_often_they_are_read() -> None:
    """hummingbot #3317, nautilus_trader #3046: the same fill logged twice, cached fills replayed."""
    world = ready()
    world.buy()
    world.deliver()
    for _ in range(5):
        world.reconcile()
    assert len(world.fills()) == 1
    assert world.position() == Decimal("0.1")
    world.minutes(1)
    world.check_promises()


def test_a_fill_is_not_counted_again_when_the_cursor_was_not_moved_on() -> None:
    """A crash between the fill's transaction and the cursor: no second count, no overfill, no incident."""
    world = ready()
    world.buy()
    world.deliver()
    world.steps.next("ledger.store_cursor", stop_before)
    with pytest.raises(Crash):
        world.reconcile()
    world.minutes(2)
    assert world.alerts.incidents == []
    world.check_promises()


def test_a_partial_fill_is_followed_to_the_end() -> None:
    world = ready(volume="0.5")
    order = world.buy()
    world.deliver()
    world.minutes(1)
    assert world.state(order) is S.PARTIALLY_FILLED
    assert world.position() == Decimal("0.05")
    assert world.account.reservations[order.order_id].quantity == Decimal("0.05")
    world.advance(hours=1)
    world.minutes(1)
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_a_cancel_that_crosses_a_fill_keeps_the_fill() -> None:
    """hummingbot #4738, freqtrade #3647: cancel says "not open", tracking stops, fill lost."""
    world = ready(volume="0.5")
    order = world.buy()
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.steps.next("venue.cancel", meanwhile(lambda: world.advance(hours=1)))
    world.reconcile()
    world.minutes(2)
    assert world.state(order) is S.FILLED
    assert world.position() == Decimal("0.1")
    assert world.ledger.cancel_requests(ACCOUNT) == ()
    world.check_promises()


def test_a_fill_that_becomes_known_after_the_cancel_is_counted() -> None:
    world = ready(volume="0.5", venue_type=LaggingVenue)
    order = world.buy()
    world.deliver()
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.venue().cancel(SYMBOL, order.order_id)
    world.advance(seconds=5)
    world.reconcile()
    assert world.state(order) is S.CANCELLED
    assert world.fills() == ()
    world.minutes(1)
    assert not world.order(order.order_id).settled, "the venue says more was filled than the fills explain"
    assert order.order_id in world.account.reservations
    world.steps.calm()
    world.minutes(2)
    assert world.state(order) is S.CANCELLED
    assert world.position() == Decimal("0.05")
    world.check_promises()


def test_a_finished_order_is_settled_only_after_the_venues_history_lag() -> None:
    world = ready(venue_type=LaggingVenue)
    order = world.buy(limit_price="9000")
    world.deliver()
    world.venue().cancel(SYMBOL, order.order_id)
    world.reconcile()
    world.advance(seconds=19)
    world.reconcile()
    assert world.state(order) is S.CANCELLED
    assert order.order_id in world.account.reservations
    world.advance(seconds=1)
    world.reconcile()
    assert world.order(order.order_id).settled
    assert world.account.reservations == {}


def test_a_cancel_is_repeated_until_the_order_is_terminal() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.steps.always("venue.cancel", refuse)
    for _ in range(3):
        world.advance(minutes=1)
        assert world.reconcile().cancels == 0
    world.steps.calm()
    world.advance(minutes=1)
    assert world.reconcile().cancels == 1
    world.minutes(1)
    assert world.state(order) is S.CANCELLED
    assert world.ledger.cancel_requests(ACCOUNT) == ()


def test_a_cancel_of_an_order_that_was_never_sent_lapses_it() -> None:
    world = World()
    order = world.buy()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.reconcile()
    assert world.state(order) is S.LAPSED
    assert world.causes(order)[-1] == "cancelled: enough"
    assert world.deliver()[-1].result == "already done"
    assert world.store.submissions() == ()


def test_a_cancel_that_reaches_the_venue_before_its_order_is_asked_again() -> None:
    world = ready()
    world.steps.next("venue.submit", refuse)
    order = world.buy(limit_price="9000")
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="enough", requested_at=world.now)
    world.ledger.request_cancel(request)
    world.reconcile()
    assert world.state(order) is S.UNKNOWN
    assert world.ledger.cancel_requests(ACCOUNT) == (request.model_copy(update={"asked": 1}),)


def test_working_orders_survive_a_new_deployment() -> None:
    """nautilus_trader #5000: startup drops 14 working orders."""
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.advance(minutes=1)
    world.reconcile("layer:2")
    world.advance(minutes=1)
    assert world.reconcile("layer:2").clean
    assert world.state(order) is S.ACKNOWLEDGED
    assert world.accepted(order) == 1


# --- mismatches ------------------------------------------------------------------------------------------------------


def two_runs(world: World, kind: IncidentKind) -> tuple[Reconciled, Reconciled]:
    """A mismatch is suspected by the first run and an incident with a stop after the second."""
    world.advance(minutes=1)
    first = world.reconcile()
    assert not first.clean or SYMBOL in first.uncovered
    assert world.incidents() == []
    assert level(world) is StopLevel.RUNNING
    world.advance(minutes=1)
    second = world.reconcile()
    assert not second.clean or SYMBOL in second.uncovered
    assert kind in world.kinds()
    assert level(world) is StopLevel.REDUCE_ONLY
    return first, second


def test_14_a_foreign_order_at_the_venue_needs_two_runs_to_become_an_incident_with_a_stop() -> None:
    """hummingbot #3374, freqtrade #11608: sweep venue open orders you do not know."""
    world = ready()
    world.trade_by_hand(limit_price="9000")
    two_runs(world, K.UNKNOWN_VENUE_ORDER)
    assert world.kinds() == [K.UNKNOWN_VENUE_ORDER]


def test_a_foreign_trade_needs_two_runs_to_become_an_incident_with_a_stop() -> None:
    """freqtrade #8666, #4470: a manual trade in the account; no fill of ours is invented for it."""
    world = ready()
    world.trade_by_hand()
    two_runs(world, K.UNATTRIBUTED_TRADE)
    assert sorted(world.kinds()) == [K.BALANCE_MISMATCH, K.BALANCE_MISMATCH, K.UNATTRIBUTED_TRADE]
    assert world.fills() == ()
    assert len(world.ledger.unattributed_trades(ACCOUNT)) == 1


def deposit(world: World, amount: str) -> None:
    """Balances as the venue shows them after a transfer."""

    def with_deposit(_call: str, perform: Any) -> Balances:
        found: Balances = perform()
        total = {**found.total, "USD": found.total["USD"] + Decimal(amount)}
        return found.model_copy(update={"total": total})

    world.steps.always("venue.balances", with_deposit)


def test_a_balance_that_nothing_explains_needs_two_runs_and_names_both_values() -> None:
    world = ready()
    deposit(world, "25")
    two_runs(world, K.BALANCE_MISMATCH)
    (incident,) = world.incidents()
    assert (incident.expected, incident.actual) == ("10000 USD", "10025 USD")
    assert "belay rebase" in incident.action


def test_a_residual_within_the_tolerance_is_clean_and_one_above_it_is_not() -> None:
    tolerant = make_document(balance_tolerance={"USD": "25"})
    world = ready(document=tolerant)
    deposit(world, "25")
    world.advance(minutes=1)
    assert world.reconcile().clean
    world.steps.calm()
    deposit(world, "25.01")
    world.advance(minutes=1)
    assert not world.reconcile().clean


def test_a_mismatch_that_one_run_saw_and_the_next_did_not_is_forgotten() -> None:
    """Corpus row 40: a single bad reading latched a halt."""
    world = ready()
    deposit(world, "25")
    world.advance(minutes=1)
    assert not world.reconcile().clean
    world.steps.calm()
    world.advance(minutes=1)
    assert world.reconcile().clean
    deposit(world, "25")
    world.advance(minutes=1)
    world.reconcile()
    assert world.incidents() == []


def test_an_incident_is_told_once_however_often_it_is_seen() -> None:
    world = ready()
    deposit(world, "25")
    world.minutes(6)
    assert len(world.alerts.incidents) == 1
    assert len(world.account.stops) == 1


@pytest.mark.parametrize("fault", [stop_before, stop_after])
def test_an_incident_whose_teller_died_is_told_by_the_next_run(fault: Fault) -> None:
    """Told twice is a nuisance; recorded and never told would be silence."""
    world = ready()
    deposit(world, "25")
    world.steps.next("alerts.incident", fault)
    for _ in range(2):
        world.advance(minutes=1)
        with suppress(Crash):
            world.reconcile()
    world.minutes(3)
    assert len(world.incidents()) == 1
    assert len(world.alerts.incidents) == (1 if fault is stop_before else 2)


def test_an_incident_that_could_not_be_delivered_is_told_again_until_it_is() -> None:
    """A page lost because SNS was down once would be silence, too."""
    world = ready()
    deposit(world, "25")
    world.steps.always("alerts.incident", refuse)
    world.minutes(3)
    (incident,) = world.incidents()
    assert (incident.told, world.alerts.incidents) == (False, [])
    world.steps.calm()
    deposit(world, "25")
    world.minutes(2)
    (incident,) = world.incidents()
    assert incident.told
    assert len(world.alerts.incidents) == 1


def test_two_reconciliations_at_one_moment_are_no_second_opinion() -> None:
    world = ready()
    deposit(world, "25")
    world.advance(minutes=1)
    for _ in range(3):
        world.reconcile()
    assert world.incidents() == []
    world.advance(minutes=1)
    world.reconcile()
    assert world.kinds() == [K.BALANCE_MISMATCH]


def test_a_trade_kept_as_unattributed_by_a_slower_run_is_dropped_once_another_has_counted_it() -> None:
    world = ready()
    order = world.buy()
    world.deliver()
    world.minutes(1)
    (trade,) = world.venue_trades()
    world.ledger.store_unattributed(ACCOUNT, trade)
    world.minutes(1)
    assert world.ledger.unattributed_trades(ACCOUNT) == ()
    assert len(world.fills()) == 1
    assert world.state(order) is S.FILLED
    world.check_promises()


def test_two_venue_orders_of_one_order_id_are_an_incident_at_once() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    sent = world.order(order.order_id).attempt
    assert sent is not None
    world.venue().cancel(SYMBOL, order.order_id)
    world.trade_by_hand(
        client_order_id=order.order_id, quantity=sent.request.quantity, limit_price=sent.request.limit_price
    )
    world.advance(seconds=5)
    assert not world.reconcile().clean, "a run that opened an incident proves nothing"
    assert world.kinds() == [K.DUPLICATE_VENUE_ORDER]
    assert level(world) is StopLevel.REDUCE_ONLY
    assert len(world.order(order.order_id).venue_order_ids) == 2


def test_two_venue_orders_of_one_order_id_are_found_when_both_appear_at_once() -> None:
    """The answer was lost, so the ledger knows neither when the venue shows both."""
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    world.buy(limit_price="9000")
    world.deliver()
    (shown,) = world.venue().open_orders()
    both = (shown, shown.model_copy(update={"venue_order_id": "000000000777"}))
    world.steps.always("venue.open_orders", instead(both))
    world.advance(seconds=5)
    world.reconcile()
    assert world.kinds() == [K.DUPLICATE_VENUE_ORDER]


def test_a_fill_of_a_second_venue_order_is_found_too() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    second = make_trade(
        client_order_id=order.order_id, venue_order_id="000000000777", quantity="0.01", price="9000", at=world.now
    )
    world.steps.always("venue.trades", instead(TradePage(trades=(second,))))
    world.advance(seconds=5)
    world.reconcile()
    assert K.DUPLICATE_VENUE_ORDER in world.kinds()


def test_an_order_that_the_venue_no_longer_knows_needs_two_runs() -> None:
    """OctoBot #1333: bot shows 147 open orders, venue 143."""
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.steps.always("venue.open_orders", instead(()))
    world.steps.always("venue.lookup", instead(None))
    two_runs(world, K.MISSING_ORDER)
    assert world.state(order) is S.ACKNOWLEDGED, "nothing is guessed"


def test_a_fill_on_an_order_proven_absent_halts_the_account_at_once() -> None:
    world, order = denied_by_the_venue_itself()
    world.steps.calm()

    def naming_their_order(_call: str, perform: Any) -> TradePage:
        found: TradePage = perform()
        named = tuple(t.model_copy(update={"client_order_id": order.order_id}) for t in found.trades)
        return found.model_copy(update={"trades": named})

    world.steps.always("venue.trades", naming_their_order)
    world.advance(seconds=1)
    world.reconcile()
    assert world.kinds() == [K.WRONG_ABSENCE_PROOF]
    assert level(world) is StopLevel.HALTED
    assert world.position() == Decimal("0.1"), "the fill counts all the same"
    assert world.state(order) is S.FILLED


def test_a_fill_of_an_order_proven_absent_that_names_no_order_is_a_foreign_trade() -> None:
    world, _order = denied_by_the_venue_itself()
    world.steps.calm()
    two_runs(world, K.UNATTRIBUTED_TRADE)


def test_a_fill_hidden_for_longer_than_any_history_lag_still_shows_in_the_balances() -> None:
    world, _order = denied_by_the_venue_itself()
    world.minutes(5)
    world.steps.calm()
    world.minutes(2)
    assert K.BALANCE_MISMATCH in world.kinds()
    assert level(world) is StopLevel.REDUCE_ONLY


def denied_by_the_venue_itself() -> tuple[World, Order]:
    """The answer to an order that filled was lost, and the venue lies consistently about it until absence is proven."""
    world = ready()
    order = world.buy()
    nothing = world.venue().balances()
    world.steps.next("venue.submit", lose_answer)
    world.deliver()
    world.steps.always("venue.lookup", instead(None))
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.steps.always("venue.balances", instead(nothing))
    world.advance(seconds=12)
    world.reconcile()
    world.advance(seconds=1)
    world.reconcile()
    assert world.state(order) is S.NOT_SENT
    return world, order


# --- proofs ----------------------------------------------------------------------------------------------------------


def proof(world: World) -> Any:
    return world.ledger.proof(ACCOUNT, _fingerprint(world, "layer:1"))


def test_a_proof_says_what_was_compared() -> None:
    world = ready()
    world.buy(limit_price="9000")
    world.deliver()
    world.minutes(1)
    stored = proof(world)
    assert stored.open_orders == 1
    assert stored.residuals == {"BTC": 0, "USD": 0}
    assert stored.account_version == world.account.version
    assert stored.started_at == world.now


def test_a_proof_is_not_stored_when_the_account_moved_while_it_was_made() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.advance(seconds=10)
    world.steps.next("ledger.store_proof", meanwhile(lambda: world.execute(order.order_id)))
    result = world.reconcile()
    assert not result.clean
    assert proof(world).completed_at == NOW


def test_a_mismatch_seen_while_the_account_moved_is_no_suspicion() -> None:
    """An order that filled between two reads looks like a deposit: such a run is inconclusive."""
    world = ready()
    first, second, third = world.decide(make_buy(), make_buy(quantity="0.02"), make_buy(quantity="0.03"))
    for order in (first, second, third):
        world.advance(seconds=20)
        world.reconcile()
        world.advance(seconds=1)
        world.steps.next("venue.balances", meanwhile(partial(world.execute, order.order_id)))
        assert world.reconcile().reason.startswith("inconclusive")
    assert world.ledger.suspicion(ACCOUNT) is None
    assert world.alerts.incidents == []
    world.minutes(2)
    world.check_promises()


def test_a_proof_is_not_stored_when_something_could_not_be_read() -> None:
    world = ready()
    world.advance(minutes=1)
    world.steps.next("venue.trades", refuse)
    assert world.reconcile().reason.startswith("not everything could be read: trades of BTC/USD")
    assert proof(world).completed_at == NOW


def test_a_venue_that_does_not_answer_gives_no_proof_and_everything_else_goes_on() -> None:
    world = ready()
    order = world.buy()
    world.queue.intents.clear()
    world.advance(minutes=1)
    world.steps.always("venue.open_orders", refuse)
    result = world.reconcile()
    assert not result.clean
    assert result.published == 1
    world.advance(minutes=5)
    world.reconcile()
    assert world.state(order) is S.LAPSED


def test_two_reconcilers_at_once_count_once_and_open_nothing() -> None:
    """Corpus row 54: the second one runs through at every single step of the first."""

    def make() -> World:
        world = ready()
        world.buy()
        world.deliver()
        world.advance(seconds=5)
        return world

    rehearsal = make()
    mark = len(rehearsal.steps.calls)
    rehearsal.reconcile()
    for number, call in enumerate(rehearsal.steps.since(mark)):
        for when in (meanwhile, afterwards):
            world = make()
            world.steps.at(number, when(world.reconcile))
            with blaming(f"{when.__name__} {call} {number}"):
                world.reconcile()
                world.minutes(2)
                assert world.alerts.incidents == []
                assert len(world.fills()) == 1
                world.check_promises()


# --- what still waits ------------------------------------------------------------------------------------------------


def test_a_lost_message_is_published_again_under_a_higher_deduplication_number() -> None:
    """Corpus rows 42 and 43: the queue remembers a deduplication id for five minutes."""
    world = ready()
    order = world.buy()
    sent = [message.deduplication_id for message in world.queue.intents]
    world.queue.intents.clear()
    world.advance(seconds=29)
    assert world.reconcile().published == 0
    world.advance(seconds=1)
    assert world.reconcile().published == 1
    again = [message.deduplication_id for message in world.queue.intents]
    named = [text.rpartition("-")[0] for text in (*sent, *again)]
    assert named == [f"{order.order_id}-0", f"{order.order_id}-1"]
    world.deliver()
    assert world.accepted(order) == 1


def test_a_message_that_was_not_lost_after_all_is_harmless_twice() -> None:
    world = World()
    order = world.buy()
    world.advance(seconds=40)
    world.reconcile()
    assert len(world.queue.intents) == 2
    world.deliver()
    assert world.accepted(order) == 1


def test_intents_lapse_when_nobody_claims_them_and_an_exit_that_lapses_pages() -> None:
    world = World()
    world.holding()
    world.decide(make_buy(), make_reduce())
    world.queue.intents.clear()
    world.advance(seconds=300)
    world.reconcile()
    assert {order.state for order in world.ledger.orders(ACCOUNT, 2)} == {S.LAPSED}
    assert world.kinds() == [K.EXIT_NOT_PLACED]


def test_an_intent_lapses_at_its_expiry_and_not_a_second_earlier() -> None:
    """freqtrade PR #6943: a predicate on order age was always true."""
    world = ready()
    order = world.buy()
    world.queue.intents.clear()
    world.advance(seconds=299)
    world.reconcile()
    assert world.state(order) is S.CREATED
    world.queue.intents.clear()
    world.advance(seconds=1)
    world.reconcile()
    assert world.state(order) is S.LAPSED


def test_an_exit_given_up_at_the_very_moment_it_is_claimed_again_stays_watched() -> None:
    world = World()
    world.holding()
    world.steps.next("venue.submit", refuse)
    (order,) = world.decide(make_reduce(limit_price="10500"))
    world.deliver()
    for _ in range(3):
        world.advance(seconds=20)
        world.reconcile()
    world.queue.intents.clear()
    assert world.state(order) is S.NOT_SENT
    world.advance(seconds=(world.order(order.order_id).expires_at - world.now).total_seconds() - 1)

    def claimed_a_second_before_expiry() -> None:
        assert world.execute(order.order_id).result == "submitted"
        world.advance(seconds=1)

    world.steps.next("market.time", instead(world.order(order.order_id).expires_at))
    world.steps.next("ledger.commit", meanwhile(claimed_a_second_before_expiry))
    world.reconcile()
    world.minutes(1)
    assert world.state(order) is S.ACKNOWLEDGED
    assert order.order_id in world.account.reservations
    assert not world.order(order.order_id).settled


# --- missed slots ----------------------------------------------------------------------------------------------------


def scheduled(timeframe: str = "1h", **tick: Any) -> World:
    """A world in which a schedule has ticked once, and is then dead."""
    world = ready()
    if timeframe != "1h":
        load(world, timeframe)
    world.tick(timeframe=timeframe, **tick)
    return world


def load(world: World, timeframe: str) -> None:
    """Candles of a short timeframe for some hours around noon."""
    until = NOW + 300 * TIMEFRAMES[timeframe]
    world.load_candles(make_candles([10_000] * 600, until, timeframe), timeframe=timeframe)


def test_a_missed_slot_is_ticked_again_while_it_is_fresh() -> None:
    world = scheduled()
    world.advance(minutes=60)
    assert world.reconcile().ticked == 0
    world.advance(seconds=119)
    assert world.reconcile().ticked == 0
    world.advance(seconds=1)
    assert world.reconcile().ticked == 1
    world.deliver()
    assert len(world.ledger.decisions(ACCOUNT, "ema-cross", 10)) == 2
    assert world.reconcile().ticked == 0
    assert world.alerts.incidents == []


def test_a_missed_slot_pages_when_it_is_too_late_for_it() -> None:
    world = scheduled()
    world.advance(minutes=60)
    world.advance(seconds=300)
    world.reconcile()
    assert world.kinds() == []
    world.advance(seconds=1)
    world.reconcile()
    assert world.kinds() == [K.MISSED_SLOT]
    world.minutes(3)
    assert len(world.alerts.incidents) == 1


@pytest.mark.parametrize("timeframe", ["1m", "5m"])
def test_a_short_timeframe_that_falls_silent_is_ticked_again_and_pages_when_nobody_answers(timeframe: str) -> None:
    world = scheduled(timeframe)
    ticked = 0
    for _ in range(15):
        world.advance(minutes=1)
        ticked += world.reconcile().ticked
        world.queue.ticks.clear()
    assert ticked > 0
    assert K.MISSED_SLOT in world.kinds()


@pytest.mark.parametrize("timeframe", ["1m", "5m"])
def test_a_short_timeframe_whose_ticks_arrive_is_left_alone(timeframe: str) -> None:
    world = ready()
    load(world, timeframe)
    for minute in range(20):
        if timedelta(minutes=minute) % TIMEFRAMES[timeframe] == timedelta(0):
            world.tick(timeframe=timeframe)
        world.advance(minutes=1)
        assert world.reconcile().ticked == 0
    assert world.alerts.incidents == []


def test_a_slot_that_held_is_not_missed() -> None:
    world = scheduled()
    world.minutes(10)
    assert world.alerts.incidents == []
    assert world.queue.ticks == []


# --- cursors ---------------------------------------------------------------------------------------------------------


def test_every_page_of_trades_is_read_before_the_cursor_moves() -> None:
    """ccxt #8327, #6696, #15827: fills lost at page limits."""
    world = ready(volume="0.02", document=make_document(limits=make_limits()))
    world.store.page_size = 2
    order = world.buy(quantity="0.02")
    world.deliver()
    for _ in range(9):
        world.advance(hours=1)
        world.venue().balances()
    world.minutes(2)
    assert len(world.venue_trades()) >= 2 or world.store.trades(SYMBOL, NOW, world.now).next_page
    assert world.state(order) is S.FILLED
    assert world.order(order.order_id).filled_quantity == Decimal("0.02")
    assert len(world.fills()) == 10


def test_a_page_that_could_not_be_read_leaves_the_cursor_where_it_was() -> None:
    world = ready(volume="0.02")
    world.store.page_size = 2
    order = world.buy(quantity="0.02")
    world.deliver()
    world.advance(hours=9)
    before = world.ledger.cursor(ACCOUNT, SYMBOL)
    world.steps.always("venue.trades", lambda _call, perform: _only_the_first_page(world, perform))
    world.reconcile()
    world.steps.calm()
    assert world.ledger.cursor(ACCOUNT, SYMBOL) == before
    world.minutes(2)
    assert world.order(order.order_id).filled_quantity == Decimal("0.02")
    world.store.page_size = 200
    world.check_promises(K.MISSED_SLOT)  # nine hours went by without a tick


def _only_the_first_page(world: World, perform: Any) -> Any:
    if world.steps.calls[-2] == "venue.trades":
        raise VenueUnavailable("502 on the second page")
    return perform()


def test_a_trade_that_appears_late_inside_the_overlap_is_still_counted() -> None:
    """Lean.Brokerages.InteractiveBrokers #249: cursor with overlap."""
    world = ready()
    order = world.buy()
    world.deliver()
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.advance(seconds=50)
    world.reconcile()
    assert world.fills() == ()
    world.steps.calm()
    world.advance(seconds=5)
    world.reconcile()
    assert world.order(order.order_id).filled_quantity == Decimal("0.1")


def test_a_trade_that_matched_nothing_is_attached_when_its_order_becomes_known() -> None:
    world = ready()
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    world.steps.always("venue.lookup", refuse)
    world.advance(seconds=5)
    world.reconcile()
    assert len(world.ledger.unattributed_trades(ACCOUNT)) == 1
    world.steps.calm()
    world.advance(hours=1)
    world.reconcile()
    assert world.ledger.unattributed_trades(ACCOUNT) == ()
    assert world.state(order) is S.FILLED
    world.minutes(1)
    world.check_promises()


# --- any single step may fail ----------------------------------------------------------------------------------------


def a_busy_account() -> World:
    """All that a run can find: fills, a lost answer, a lost message, a late intent, a cancel, a missed slot."""
    world = World(volume="2")
    world.holding()
    at = world.now

    def decided(strategy: str, *legs: Any, **tick: Any) -> Order:
        world.strategy.says = Trade(legs=legs)
        record = world.tick(at, strategy=strategy, **tick)
        return world.order(record.order_ids[0] or "")

    decided("filled", make_buy(quantity="0.02"))
    resting = decided("resting", make_buy(quantity="0.02", limit_price="9000"))
    world.deliver()
    request = CancelRequest(account=ACCOUNT, order_id=resting.order_id, reason="enough", requested_at=at)
    world.ledger.request_cancel(request)
    decided("lost", make_buy(quantity="0.02"))
    decided("late", make_buy(quantity="0.02"), order_expiry_seconds=20)
    world.queue.intents.clear()
    world.steps.next("venue.submit", lose_answer)
    decided("ema-cross", make_reduce(quantity="0.05"))
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.ledger.register_schedule(world.make_tick(at, strategy="missed"))
    world.advance(seconds=130)
    return world


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_of_a_reconciliation_is_made_good_by_the_next_ones(fault: Fault) -> None:
    """Corpus row 52: DynamoDB throttles or times out at every single call."""
    for step, world in disturbed(a_busy_account, World.reconcile, fault):
        with blaming(step):
            world.deliver()
            world.minutes(4)
            states = {order.strategy: order.state for order in world.ledger.orders(ACCOUNT, 5)}
            assert states.pop("lost") in (S.FILLED, S.DENIED, S.LAPSED)  # it may meet the unknown one, or come too late
            assert states == {"filled": S.FILLED, "resting": S.CANCELLED, "late": S.LAPSED, "ema-cross": S.FILLED}
            assert len(world.ledger.decisions(ACCOUNT, "missed", 5)) == 1
            world.check_promises()


def exits_to_give_up() -> World:
    """One exit that was proven absent, and one of another strategy that nobody claimed, both expired."""
    world = World()
    world.open_gate()
    world.decide(make_buy(quantity="0.05"), strategy="other")
    world.deliver()
    world.minutes(1)
    world.holding()
    world.steps.next("venue.submit", refuse)
    world.decide(make_reduce(quantity="0.05"))
    world.deliver()
    for _ in range(3):
        world.advance(seconds=20)
        world.reconcile()
    world.decide(make_reduce(quantity="0.05"), at=NOW + timedelta(hours=1), strategy="other")
    world.queue.intents.clear()
    world.advance(seconds=300)
    return world


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_of_giving_up_an_exit_never_keeps_it_from_paging(fault: Fault) -> None:
    for step, world in disturbed(exits_to_give_up, World.reconcile, fault):
        with blaming(step):
            world.minutes(3)
            states = {order.state for order in world.ledger.orders(ACCOUNT, 5) if order.reducing}
            assert states == {S.NOT_SENT, S.LAPSED}
            world.check_promises(K.EXIT_NOT_PLACED, K.EXIT_NOT_PLACED)


def test_a_stop_is_in_place_even_when_the_process_dies_before_the_incident_is_stored() -> None:
    world = ready()
    deposit(world, "25")
    world.advance(minutes=1)
    world.reconcile()
    world.advance(minutes=1)
    world.steps.next("ledger.save_account", stop_after)
    with pytest.raises(Crash):
        world.reconcile()
    assert level(world) is StopLevel.REDUCE_ONLY
    world.minutes(1)
    assert world.kinds() == [K.BALANCE_MISMATCH]
    assert len(world.alerts.incidents) == 1


def test_a_history_without_an_end_is_a_gap_and_ends_the_reading_of_it() -> None:
    world = World()
    world.reconcile()
    pages: list[TradePage] = []

    def another(_call: str, _perform: Any) -> TradePage:
        pages.append(TradePage(trades=(), next_page=f"page {len(pages)}"))
        return pages[-1]

    world.steps.always("venue.trades", another)
    reconciled = world.reconcile()
    assert len(pages) <= MOST_REQUESTS
    assert "more trades within a second" in reconciled.uncovered[SYMBOL]
