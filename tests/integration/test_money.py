"""Every balance explained: fees in other assets, rounding, deposits, assets that come into use, and the way back."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import Hold
from belay.domain.errors import InvalidInput, SymbolUnavailable, VenueUnavailable
from belay.domain.flows import FeeRow, FlowKind, FlowPage, VenueFlow
from belay.domain.incidents import IncidentKind
from belay.domain.orders import OrderState
from belay.domain.rebase import Rebased, RebaseRequest
from belay.domain.venues import Balances, Outcome, OutcomeKind, TradePage, UnreadRow, VenueTrade
from belay.workflows import identity, rebase
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy, make_document, make_paper_settings
from tests.integration.test_isolation import delisted
from tests.integration.test_isolation import two_symbols as with_ether
from tests.world import (
    FAULTS,
    Fault,
    World,
    afterwards,
    blaming,
    changed,
    disturbed,
    flat_candles,
    instead,
    make_reduce,
    meanwhile,
)

K = IncidentKind
D = Decimal
ETH = "ETH/USD"


def ready(**paper: Any) -> World:
    """An account whose books are open; `paper` are settings of its venue."""
    world = World(document=make_document(paper=make_paper_settings(**paper)))
    world.open_gate()
    world.advance(seconds=1)
    return world


def clean(world: World, **duration: float) -> None:
    world.advance(**(duration or {"minutes": 1}))
    result = world.reconcile()
    assert result.clean, result.reason


def stopped(world: World) -> bool:
    return strictest(world.account.stops, "ema-cross", SYMBOL)[0] is StopLevel.REDUCE_ONLY


def mismatched(world: World) -> None:
    """Two runs see a balance that nothing explains."""
    for _ in range(2):
        world.advance(minutes=1)
        assert not world.reconcile().clean
    assert world.kinds() == [K.BALANCE_MISMATCH]
    assert stopped(world)


def flows(world: World) -> list[tuple[FlowKind, dict[str, Any]]]:
    return [(flow.kind, flow.amounts) for flow in world.ledger.flows(ACCOUNT, 100)]


def asked(world: World, **wish: Any) -> dict[str, Any]:
    whole = {"reason": "a deposit by hand", "author": "ann", **wish} if wish else {}
    return rebase.answer({"account": ACCOUNT, "rebase": whole}, world.services())


# --- fees, rounding --------------------------------------------------------------------------------------------------

TOKEN = {
    "balances": {"USD": "10000", "BTC": "0", "BNB": "1.5"},
    "fee_asset": "BNB",
    "fee_token_price": "300",
}


def test_r10_fees_in_a_token_leave_the_account_clean() -> None:
    world = ready(**TOKEN)
    assert world.account.opening == {"USD": 10_000, "BTC": 0, "BNB": D("1.5")}
    world.buy()
    world.deliver()
    world.minutes(2)
    world.check_promises()
    assert world.account.traded["BNB"] < 0


def test_r10_a_token_that_an_earlier_version_left_out_enters_the_opening_when_a_fee_is_taken_in_it() -> None:
    world = ready(**TOKEN)
    without = {"USD": D(10_000), "BTC": D(0)}
    world.ledger.save_account(world.account.bumped(opening=without))
    world.buy()
    world.deliver()
    world.minutes(3)
    assert world.account.opening == {**without, "BNB": D("1.5")}
    assert flows(world) == [(FlowKind.OPENING, {"BNB": D("1.5")})]
    world.check_promises()
    (opening,) = world.ledger.flows(ACCOUNT, 10)
    assert (opening.author, opening.flow_id) == ("belay", "opening:BNB")


@pytest.mark.parametrize("fee_asset", ["quote", "received"])
def test_fees_in_base_or_quote_leave_the_account_clean(fee_asset: str) -> None:
    world = ready(fee_asset=fee_asset)
    world.buy()
    world.deliver()
    world.minutes(2)
    world.check_promises()
    assert world.position() == (D("0.1") if fee_asset == "quote" else D("0.0999"))


def rounds(world: World, decimals: int) -> None:
    """The venue keeps quote balances to so many decimals."""

    def kept(found: Balances) -> Balances:
        usd = found.total["USD"].quantize(D(1).scaleb(-decimals))
        return found.model_copy(update={"total": {**found.total, "USD": usd}, "decimals": {"USD": decimals}})

    world.steps.always("venue.balances", changed(kept))


def test_r11_a_wallet_that_keeps_fewer_decimals_than_trades_have_leaves_the_account_clean() -> None:
    world = ready()
    rounds(world, 4)
    world.buy(quantity="0.1234")
    world.deliver()
    world.minutes(2)
    clean(world)
    proof = world.ledger.last_proof(ACCOUNT)
    assert proof is not None
    expected = world.account.expected_balances()["USD"]
    assert (expected, expected + proof.rounding["USD"]) == (D("8764.148383"), D("8764.1484"))
    assert world.kinds() == []


def test_r11_a_leak_is_not_taken_for_rounding() -> None:
    world = ready()
    rounds(world, 4)
    world.buy(quantity="0.1234")
    world.deliver()
    world.minutes(2)
    world.move(FlowKind.WITHDRAWAL, recorded=False, USD="-0.0001")
    mismatched(world)


def test_rounding_does_not_keep_an_absence_from_being_proven() -> None:
    world = ready()
    rounds(world, 4)
    world.buy(quantity="0.1234")
    world.deliver()
    world.minutes(2)
    world.advance(minutes=58)
    world.reconcile()
    world.steps.next("venue.submit", instead(Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")))
    (lost,) = world.decide(make_buy(quantity="0.01"))
    world.deliver()
    world.minutes(3)
    assert world.state(lost) is OrderState.NOT_SENT


# --- estimated fees --------------------------------------------------------------------------------------------------


def estimates(world: World) -> None:
    """The venue's list of trades tells fees that are half as much again as what was taken."""

    def told(page: TradePage) -> TradePage:
        trades = tuple(guessed(trade) for trade in page.trades)
        return page.model_copy(update={"trades": trades})

    def guessed(trade: VenueTrade) -> VenueTrade:
        fees = {asset: fee * D("1.5") for asset, fee in trade.fees.items()}
        return trade.model_copy(update={"fees": fees, "estimated": True})

    world.steps.always("venue.trades", changed(told))


def tells_fees(world: World) -> None:
    """Its ledger tells what was taken."""
    rows = tuple(FeeRow(trade_id=trade.trade_id, fees=trade.fees) for trade in world.venue_trades())
    world.steps.always("venue.flows", changed(lambda page: page.model_copy(update={"fees": rows})))


def test_an_estimated_fee_counts_at_once_and_is_corrected_when_the_venues_ledger_tells_it() -> None:
    world = ready()
    estimates(world)
    order = world.buy()
    world.deliver()
    clean(world)
    assert world.position() == D("0.1")
    assert not world.order(order.order_id).settled
    tells_fees(world)
    world.minutes(2)
    assert world.order(order.order_id).settled
    assert world.causes(order).count("fee corrected") == 1
    (trade,) = world.venue_trades()
    assert world.order(order.order_id).fees == trade.fees
    assert world.account.expected_balances() == world.venue().balances().total
    assert world.account.position("ema-cross", SYMBOL).cost == trade.notional + trade.fees["USD"]
    assert world.kinds() == []


def test_a_fee_that_the_venue_never_tells_is_asked_about_and_taken_as_estimated_once_that_is_resolved() -> None:
    world = ready()
    estimates(world)
    order = world.buy()
    world.deliver()
    world.minutes(9)
    assert world.kinds() == []
    world.minutes(3)
    assert world.kinds() == [K.FEE_UNCONFIRMED]
    assert not world.order(order.order_id).settled
    world.ledger.resolve_incident(ACCOUNT, f"{K.FEE_UNCONFIRMED}:{order.order_id}", "as estimated (ann)")
    world.minutes(2)
    assert world.order(order.order_id).settled
    assert "fees taken as estimated" in world.causes(order)
    assert K.FEE_UNCONFIRMED not in world.kinds()


def test_a_fee_that_comes_late_ends_its_incident() -> None:
    world = ready()
    estimates(world)
    order = world.buy()
    world.deliver()
    world.minutes(12)
    assert world.kinds() == [K.FEE_UNCONFIRMED]
    tells_fees(world)
    world.minutes(2)
    assert world.kinds() == []
    assert world.order(order.order_id).settled


# --- flows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amounts"),
    [
        (FlowKind.DEPOSIT, {"USD": "25"}),
        (FlowKind.WITHDRAWAL, {"USD": "-25"}),
        (FlowKind.INTEREST, {"USD": "0.01"}),
        (FlowKind.DIVIDEND, {"BTC": "0.5"}),
        (FlowKind.CONVERSION, {"USD": "-1000", "BTC": "0.1"}),
        (FlowKind.TRANSFER, {"USD": "-9000"}),
    ],
)
def test_r14_what_the_venue_records_is_counted_as_a_flow(kind: FlowKind, amounts: dict[str, str]) -> None:
    world = ready()
    world.venue().move(kind, **amounts)  # type: ignore[arg-type]
    clean(world)
    assert flows(world) == [(kind, {asset: D(amount) for asset, amount in amounts.items()})]
    assert world.account.positions == {}
    clean(world, hours=2)
    assert len(flows(world)) == 1
    world.check_promises()


def test_r14_what_was_recorded_before_the_books_were_opened_is_in_the_opening() -> None:
    world = World()
    world.move(USD="25")
    world.open_gate()
    clean(world, hours=1)
    assert flows(world) == []
    assert world.account.expected_balances()["USD"] == 10_025


def test_records_are_read_every_fifteen_minutes_while_nothing_asks_for_them() -> None:
    world = ready()
    mark = len(world.steps.calls)
    for _ in range(30):
        clean(world)
    assert len(world.steps.since(mark, "venue.flows")) == 2


def test_an_asset_that_nothing_uses_is_recorded_and_stops_nothing() -> None:
    world = ready()
    world.move(FlowKind.DIVIDEND, DOGE="100")
    clean(world)
    world.move(recorded=False, DOGE="100")
    clean(world)
    clean(world, minutes=15)
    assert flows(world) == [(FlowKind.DIVIDEND, {"DOGE": 100})]


def row(flow_id: str, at: Any, **amounts: Any) -> VenueFlow:
    return VenueFlow(
        flow_id=flow_id,
        kind=FlowKind.DEPOSIT,
        amounts=amounts,
        at=at,
        evidence="as the venue says",
    )


def records(world: World, *rows: VenueFlow, **page: Any) -> None:
    """What the venue's records hold from now on; windows are honoured."""

    def read(_call: str, perform: Any) -> FlowPage:
        start, end = perform.args
        told = tuple(each for each in rows if start <= each.at <= end)
        return FlowPage(**{"flows": told, "read_until": end, **page})

    world.steps.always("venue.flows", read)


def test_a_row_that_comes_late_under_an_earlier_time_is_counted() -> None:
    world = ready()
    clean(world, minutes=40)
    world.move(recorded=False, USD="25")
    world.advance(minutes=1)
    assert not world.reconcile().clean
    records(world, row("d1", NOW + timedelta(minutes=5), USD="25"))
    clean(world)
    assert flows(world) == [(FlowKind.DEPOSIT, {"USD": 25})]


def test_a_row_of_hours_ago_is_found_where_nothing_later_explains_a_balance() -> None:
    world = ready()
    clean(world, hours=10)
    world.move(recorded=False, USD="25")
    records(world, row("d1", NOW + timedelta(minutes=5), USD="25"))
    clean(world)
    assert len(flows(world)) == 1


def test_the_cursor_moves_only_past_what_was_read() -> None:
    world = ready()
    until = NOW + timedelta(minutes=3)
    records(world, read_until=until)
    world.advance(minutes=20)
    world.reconcile()
    cursor = world.ledger.cursor(ACCOUNT, "flows")
    assert cursor is not None
    assert cursor.read_until == until


def test_records_that_cannot_be_read_stop_nothing_that_they_would_not_explain() -> None:
    world = ready()
    world.steps.always("venue.flows", instead(VenueUnavailable("no permission")))
    clean(world, minutes=20)
    world.move(USD="25")
    mismatched(world)
    world.steps.calm()
    world.advance(minutes=1)
    world.reconcile()
    assert world.account.expected_balances()["USD"] == 10_025


def test_a_row_that_is_not_understood_is_told_once_and_stops_nothing() -> None:
    world = ready()
    unread = UnreadRow(what="flow", reference="L1", status="reserve", problem="unknown type reserve")
    records(world, unread=(unread,))
    clean(world, minutes=20)
    assert world.kinds() == [K.UNREADABLE_ROW]
    (incident,) = world.incidents()
    assert "L1" in incident.actual
    world.ledger.resolve_incident(ACCOUNT, incident.incident_id, "seen", "ann", world.services().clock.now())
    clean(world, minutes=20)
    assert world.kinds() == []
    assert not stopped(world)


def test_a_right_that_the_key_lacks_is_told_until_a_person_ends_it_and_again_while_it_lacks() -> None:
    world = ready()
    lacking = UnreadRow(what="flow", reference="ledger", problem="the key lacks the right 'Query ledger entries'")
    records(world, unread=(lacking,))
    for _ in range(5):
        clean(world, minutes=7)
        assert world.kinds() == [K.UNREADABLE_ROW]
    (incident,) = world.incidents()
    told = len(world.alerts.incidents)
    world.ledger.resolve_incident(ACCOUNT, incident.incident_id, "granted", "ann", world.services().clock.now())
    records(world)
    clean(world, hours=24)
    records(world, unread=(lacking,))
    clean(world, hours=2)
    assert world.kinds() == [K.UNREADABLE_ROW]
    assert len(world.alerts.incidents) == told + 1


def test_a_flow_that_two_runs_read_at_once_is_counted_once() -> None:
    world = ready()
    world.move(USD="25")
    world.advance(minutes=1)
    world.steps.next("ledger.record_flow", meanwhile(lambda: world.reconcile()))
    world.reconcile()
    assert world.account.external == {"USD": 25}


def test_a_flow_does_not_lose_to_a_claim_that_changed_the_account_meanwhile() -> None:
    world = ready()
    world.move(USD="25")
    world.advance(minutes=1)
    world.steps.next("ledger.record_flow", meanwhile(lambda: world.ledger.save_account(world.account.bumped())))
    world.reconcile()
    assert world.account.external == {"USD": 25}


# --- assets that come into use ---------------------------------------------------------------------------------------


def two_symbols(world: World) -> None:
    world.configure(world.document.model_copy(update={"symbols": (SYMBOL, ETH)}))
    world.load_candles(flat_candles(), ETH)


def test_r16_an_asset_that_was_held_when_the_books_were_opened_is_explained_when_its_symbol_is_added() -> None:
    world = ready(balances={"USD": "10000", "BTC": "0", "ETH": "3"})
    two_symbols(world)
    clean(world)
    assert flows(world) == []


def test_r16_a_symbol_that_is_added_brings_what_is_held_of_it_into_the_opening() -> None:
    world = ready(balances={"USD": "10000", "BTC": "0", "ETH": "3"})
    world.ledger.save_account(world.account.bumped(opening={"USD": D(10_000), "BTC": D(0)}))
    two_symbols(world)
    clean(world)
    assert flows(world) == [(FlowKind.OPENING, {"ETH": 3})]
    assert world.account.unowned("ETH") == 3
    world.move(FlowKind.WITHDRAWAL, recorded=False, ETH="-1")
    mismatched(world)


def test_an_asset_does_not_enter_the_opening_between_two_readings_that_differ() -> None:
    world = ready()
    two_symbols(world)
    world.steps.next("venue.balances", afterwards(lambda: world.move(ETH="2", recorded=False)))
    clean(world)
    assert flows(world) == []
    proof = world.ledger.last_proof(ACCOUNT)
    assert proof is not None
    assert proof.uncovered == (ETH,)
    clean(world)
    assert flows(world) == [(FlowKind.OPENING, {"ETH": 2})]


# --- rebase ----------------------------------------------------------------------------------------------------------


def test_r14_what_no_record_explains_is_taken_by_a_rebase_and_the_account_is_clean_again() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    mismatched(world)
    told = asked(world)
    assert told["shifts"] == {"USD": {"before": "10000", "after": "10025", "amount": "25"}}
    assert flows(world) == []
    done = Rebased.model_validate(asked(world, assets=["USD"]))
    assert done.taken
    assert done.resolved == (f"{K.BALANCE_MISMATCH}:USD",)
    assert not stopped(world)
    clean(world)
    world.check_promises()
    (flow,) = world.ledger.flows(ACCOUNT, 10)
    assert (flow.kind, flow.amounts, flow.author, flow.evidence) == (
        FlowKind.REBASE,
        {"USD": D(25)},
        "ann",
        "a deposit by hand",
    )


def test_a_rebase_that_is_repeated_changes_nothing() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.advance(minutes=1)
    assert asked(world, whole=True)["taken"]
    again = asked(world, whole=True)
    assert (again["taken"], again["shifts"]) == (False, {})
    assert len(flows(world)) == 1


def test_two_operators_who_rebase_at_once_lose_neither() -> None:
    world = ready()
    world.move(recorded=False, USD="25", BTC="1")
    world.advance(minutes=1)
    world.steps.next("ledger.record_flow", meanwhile(lambda: asked(world, assets=["BTC"])))
    assert asked(world, assets=["USD"])["taken"]
    assert world.account.external == {"BTC": 1, "USD": 25}
    assert len(flows(world)) == 2


def test_a_rebase_for_another_difference_than_the_one_there_is_takes_nothing() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.advance(minutes=1)
    refused = asked(world, assets=["USD"], amounts={"USD": "24"})
    assert (refused["error"], refused["problem"]) == ("rebase.amounts", "USD differs by 25, not by 24")
    assert flows(world) == []
    assert asked(world, assets=["USD"], amounts={"USD": "25"})["taken"]


def test_a_rebase_is_refused_while_it_is_not_known_what_became_of_an_order() -> None:
    world = ready()
    world.steps.next("venue.submit", instead(Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")))
    world.buy()
    world.deliver()
    world.steps.always("venue.lookup", instead(None))
    world.move(recorded=False, USD="25")
    world.advance(minutes=1)
    refused = asked(world, whole=True)
    assert refused["error"] == "account"
    assert "is not settled" in refused["problem"]
    assert flows(world) == []


def test_a_rebase_is_refused_while_a_trade_belongs_to_nobody() -> None:
    world = ready()
    world.trade_by_hand()
    world.advance(minutes=1)
    assert "belongs to no order" in asked(world, whole=True)["problem"]


def test_a_rebase_is_refused_where_not_everything_could_be_read() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.steps.next("venue.trades", instead(VenueUnavailable("no answer")))
    assert "not everything could be read" in asked(world, whole=True)["problem"]


def test_what_differs_is_told_also_where_not_everything_could_be_read() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.steps.next("venue.trades", instead(VenueUnavailable("no answer")))
    told = asked(world)
    assert told["shifts"].keys() == {"USD"}
    assert told["unread"] == ["trades of BTC/USD: no answer"]


def test_a_symbol_that_is_halted_keeps_no_balance_from_being_taken() -> None:
    """Its trades and balances are read; that it has no price of now concerns none of them."""
    world = World()
    world.holding()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    world.steps.always("market.price", instead(SymbolUnavailable("BTC/USD is halted")))
    world.move(recorded=False, USD="25")
    world.minutes(3)
    assert asked(world)["unread"] == ["price of BTC/USD: BTC/USD is halted"]
    assert asked(world, assets=["USD"])["taken"]


def test_what_was_not_read_of_one_symbol_keeps_no_other_ones_balance_from_being_taken() -> None:
    world = with_ether()
    world.move(recorded=False, BTC="1")
    world.steps.always("venue.trades", silent_of("ETH/USD"))
    world.advance(minutes=1)
    assert "trades of ETH/USD" in asked(world, assets=["USD"])["problem"], "which may have moved it"
    assert asked(world, assets=["BTC"])["taken"]
    assert world.account.external == {"BTC": 1}


def silent_of(symbol: str) -> Any:
    def silent(_call: str, perform: Any) -> Any:
        if perform.args[0] == symbol:
            raise VenueUnavailable("no answer")
        return perform()

    return silent


def test_a_symbol_that_is_not_traded_keeps_no_balance_from_being_taken_whatever_its_trades_moved() -> None:
    """Its trades may never be read; one that is after all is in the balances already."""
    world = with_ether()
    world.move(recorded=False, ETH="1", USD="-990")
    delisted(world)
    world.advance(minutes=1)
    assert asked(world, assets=["USD"])["taken"]
    assert asked(world, assets=["ETH"])["taken"]
    assert world.account.external == {"USD": -990, "ETH": 1}


def test_a_rebase_is_refused_while_balances_move() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.steps.next("venue.balances", afterwards(lambda: world.move(recorded=False, USD="1")))
    assert "moved between two readings" in asked(world, whole=True)["problem"]
    assert flows(world) == []


def test_a_rebase_of_an_asset_that_is_not_compared_is_refused() -> None:
    refused = asked(ready(), assets=["DOGE"])
    assert refused["error"] == "rebase.assets"
    assert "BTC, USD" in refused["remedy"]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"assets": ("USD",), "whole": True, "reason": "r", "author": "a"}, "either"),
        ({"whole": True, "author": "a"}, "reason"),
        ({"whole": True, "reason": "r"}, "reason"),
        ({"assets": ("USD",), "amounts": {"BTC": "1"}, "reason": "r", "author": "a"}, "BTC"),
    ],
)
def test_a_wish_that_contradicts_itself_is_refused(wish: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        RebaseRequest.parse(wish)


def test_a_record_that_comes_after_a_rebase_took_its_amount_is_not_counted_again() -> None:
    world = ready()
    world.move(USD="25")
    world.steps.always("venue.flows", instead(VenueUnavailable("late")))
    mismatched(world)
    assert asked(world, whole=True)["taken"]
    world.steps.calm()
    clean(world, minutes=20)
    assert flows(world) == [(FlowKind.REBASE, {"USD": 25})]


def rebased_before_its_record() -> tuple[World, VenueFlow]:
    """A deposit whose record could not be read was taken by a rebase; the record, as it comes later."""
    world = ready()
    world.move(recorded=False, USD="1000")
    late, at = row("late", world.now, USD="1000"), world.now
    mismatched(world)
    assert at < world.now
    assert asked(world, whole=True)["taken"]
    return world, late


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_rebase_took_is_not_counted_again_however_many_flows_came_since(kept: bool) -> None:
    """An account of an earlier version does not keep when a balance was taken: its latest flows are asked."""
    world, late = rebased_before_its_record()
    many = 101 if kept else 50
    world.advance(minutes=1)
    world.move(recorded=False, USD=str(D("0.01") * many))
    if not kept:
        world.ledger.save_account(world.account.bumped(taken={}))
    records(world, late, *(row(f"i{number}", world.now, USD="0.01") for number in range(many)))
    clean(world)
    clean(world, minutes=20)
    assert world.account.external == {"USD": 1000 + D("0.01") * many}


def test_a_rebase_that_stopped_before_it_ended_its_incident_ends_it_when_it_is_repeated() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    mismatched(world)
    world.steps.next("ledger.resolve_incident", instead(VenueUnavailable("stopped")))
    asked(world, whole=True)
    assert world.kinds() == [K.BALANCE_MISMATCH]
    assert asked(world, whole=True)["resolved"] == [f"{K.BALANCE_MISMATCH}:USD"]
    assert world.kinds() == []


# --- identity --------------------------------------------------------------------------------------------------------


def other(world: World) -> None:
    world.configure(world.document.model_copy(update={"venue": "elsewhere"}))


def test_r26_opening_the_books_records_which_account_they_are_about() -> None:
    world = ready()
    known = world.account.identity
    assert known is not None
    assert (known.venue, known.mode, known.hosts) == ("paper", "paper", ())


def test_r26_nothing_is_sent_to_another_account_than_the_history_is_about() -> None:
    world = World()
    world.holding()
    before = world.document
    (leave,) = world.decide(make_reduce())
    other(world)
    mark = len(world.steps.calls)
    assert not world.reconcile().clean
    assert {done.detail for done in world.deliver()} == {"identity"}
    assert world.state(leave) is OrderState.CREATED
    assert not [call for call in world.steps.since(mark) if call.startswith("venue.")]
    assert world.kinds() == [K.IDENTITY_CHANGED]
    world.configure(before)
    world.minutes(2)
    assert world.state(leave) is OrderState.FILLED
    world.minutes(2)
    world.check_promises()


def test_r26_an_entry_waits_too() -> None:
    world = ready()
    entry = world.buy()
    other(world)
    assert world.execute(entry.order_id).detail == "identity"
    assert world.state(entry) is OrderState.CREATED


def test_r26_an_account_that_an_earlier_version_opened_gets_its_identity_with_a_clean_run() -> None:
    world = ready()
    world.ledger.save_account(world.account.bumped(identity=None))
    clean(world)
    assert world.account.identity is not None


def test_r26_adopting_and_rebasing_are_refused_for_another_account() -> None:
    world = ready()
    other(world)
    assert asked(world, whole=True)["error"] == "account.venue"


def same(world: World, **changes: str) -> dict[str, Any]:
    wish = {"reason": "the venue moved", "author": "ann", **changes}
    return identity.answer({"account": ACCOUNT, "same_venue": wish}, world.services())


def moved_hosts(world: World) -> None:
    known = world.account.identity
    assert known is not None
    before = known.model_copy(update={"hosts": ("old.example",)})
    world.ledger.save_account(world.account.bumped(identity=before))


def test_r26_another_host_is_the_same_venue_once_a_person_says_so_and_the_balances_agree() -> None:
    world = ready()
    moved_hosts(world)
    world.advance(minutes=1)
    assert not world.reconcile().clean
    assert world.kinds() == [K.IDENTITY_CHANGED]
    done = same(world)
    assert (done["changed"], done["before"], done["after"]) == (True, ["old.example"], [])
    assert world.kinds() == []
    clean(world)
    (flow,) = world.ledger.flows(ACCOUNT, 10)
    assert (flow.kind, flow.amounts, flow.author) == (FlowKind.ADJUSTMENT, {}, "ann")
    assert same(world)["changed"] is False


def test_r26_a_host_with_other_balances_is_not_the_same_venue() -> None:
    world = ready()
    moved_hosts(world)
    world.move(recorded=False, USD="25")
    refused = same(world)
    assert refused["error"] == "account.options"
    assert "USD" in refused["problem"]
    assert world.ledger.flows(ACCOUNT, 10) == ()


def test_r26_another_venue_is_never_the_same_venue() -> None:
    world = ready()
    other(world)
    assert same(world)["error"] == "account.venue"
    assert same(world, reason="")["error"] == "same_venue.reason"


# --- every step that may fail -----------------------------------------------------------------------------------------


def deposited() -> World:
    world = ready()
    world.move(USD="25")
    world.advance(minutes=1)
    return world


def unexplained() -> World:
    world = ready()
    world.move(recorded=False, USD="25")
    mismatched(world)
    return world


def told_late() -> World:
    """An order whose estimated fee the venue's ledger tells by now."""
    world = ready()
    estimates(world)
    world.buy()
    world.deliver()
    clean(world)
    tells_fees(world)
    world.advance(minutes=1)
    return world


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_run_stops_a_flow_is_counted_once(fault: Fault) -> None:
    for step, world in disturbed(deposited, lambda world: world.reconcile(), fault):
        with blaming(step):
            world.minutes(3)
            assert flows(world) == [(FlowKind.DEPOSIT, {"USD": 25})]
            world.check_promises()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_rebase_stops_it_takes_once_and_its_repetition_ends_the_incident(fault: Fault) -> None:
    for step, world in disturbed(unexplained, lambda world: asked(world, whole=True), fault):
        with blaming(step):
            again = asked(world, whole=True)
            assert "error" not in again
            assert flows(world) == [(FlowKind.REBASE, {"USD": 25})]
            assert not stopped(world)
            world.minutes(2)
            world.check_promises()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wherever_a_run_stops_a_fee_is_corrected_once(fault: Fault) -> None:
    (trade,) = told_late().venue_trades()
    for step, world in disturbed(told_late, lambda world: world.reconcile(), fault):
        with blaming(step):
            estimates(world)
            tells_fees(world)
            world.minutes(3)
            (order,) = world.ledger.orders(ACCOUNT, 10)
            assert order.fees == trade.fees
            assert world.causes(order).count("fee corrected") == 1
            assert order.settled
            assert world.account.expected_balances() == world.venue().balances().total


# --- a difference beside an order at the venue -----------------------------------------------------------------------


def beside_a_mismatch() -> World:
    world = World()
    world.holding("0.1")
    world.move(recorded=False, USD="500")
    mismatched(world)
    return world


def test_a_resting_exit_neither_ends_a_mismatch_nor_lifts_its_stop() -> None:
    world = beside_a_mismatch()
    (leave,) = world.decide(make_reduce(limit_price="20000"))
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(5)
    assert world.state(leave) == "ACKNOWLEDGED"
    assert not world.reconcile().clean
    assert world.kinds() == [K.BALANCE_MISMATCH]
    assert stopped(world)


def test_a_fill_whose_trade_the_history_owes_leaves_a_mismatch_standing_and_nothing_proven() -> None:
    world = beside_a_mismatch()
    world.steps.always("venue.trades", instead(TradePage(trades=())))
    world.decide(make_reduce())
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    for _ in range(3):
        world.advance(minutes=1)
        result = world.reconcile()
        assert (result.clean, result.reason) == (False, "not conclusive yet: balance_mismatch:USD")
    assert world.kinds() == [K.BALANCE_MISMATCH]
    assert stopped(world)
    assert "not settled" in asked(world, assets=["USD"])["problem"]
    world.steps.calm()
    world.minutes(2)
    assert world.kinds() == [K.BALANCE_MISMATCH]


def test_money_that_leaves_beside_a_resting_buy_is_told() -> None:
    world = World()
    world.open_gate()
    world.decide(make_buy(quantity="0.1", limit_price="9000"))
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(1)
    world.move(FlowKind.WITHDRAWAL, recorded=False, USD="-800")
    mismatched(world)
