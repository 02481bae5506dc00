"""What fails of one order, trade or symbol stays with it: the rest is reconciled, traded and told as what it is."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from belay.adapters.paper.clock import load_candles
from belay.domain.account import StopLevel, strictest
from belay.domain.decisions import Side
from belay.domain.errors import Conflict, NotUnderstood, SymbolUnavailable
from belay.domain.incidents import IncidentKind, ResolveRequest
from belay.domain.market import Price
from belay.domain.orders import Order, OrderState
from belay.domain.venues import UnreadRow
from belay.workflows.look import look
from belay.workflows.reconcile import reconcile
from belay.workflows.schedule import ask_for_all
from belay.workflows.sightings import SIGHTING_BOUND
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy, make_document, make_limits, make_paper_settings
from tests.world import (
    Fault,
    LaggingVenue,
    World,
    changed,
    flat_candles,
    instead,
    lose_answer,
    make_reduce,
    refuse,
)

K, S = IncidentKind, OrderState
ETHER = "ETH/USD"


def two_symbols(venue_type: Any = None, **settings: Any) -> World:
    limits = make_limits(max_position_notional={SYMBOL: "5000", ETHER: "5000"})
    paper = make_paper_settings(**settings)
    document = make_document(symbols=(SYMBOL, ETHER), limits=limits, paper=paper)
    world = World(document=document, **({"venue_type": venue_type} if venue_type else {}))
    load_candles(world.store, document, ETHER, "1h", flat_candles())
    world.open_gate()
    return world


def of_ether(fault: Fault) -> Fault:
    return lambda call, perform: fault(call, perform) if perform.args[0] == ETHER else perform()  # type: ignore[attr-defined]


def level(world: World, symbol: str) -> StopLevel:
    return strictest(world.account.stops, "ema-cross", symbol)[0]


def with_row(row: UnreadRow) -> Fault:
    shown: Fault = changed(lambda found: (*found, row))
    return shown


ROW = UnreadRow(
    what="order", reference="77", market="ETHUSD", status="PENDING_日", symbol=ETHER, problem="its status is not known"
)


# --- rows that are not understood ------------------------------------------------------------------------------------


def test_r1_an_order_row_that_is_not_understood_keeps_entries_from_its_symbol_only() -> None:
    world = two_symbols()
    world.steps.always("venue.open_orders", with_row(ROW))
    world.minutes(3)
    (incident,) = world.incidents()
    assert (incident.kind, incident.symbol) == (K.UNREADABLE_ROW, ETHER)
    assert "PENDING_日" in incident.actual
    assert len(world.alerts.incidents) == 1, "told once"
    assert (level(world, SYMBOL), level(world, ETHER)) == (StopLevel.RUNNING, StopLevel.REDUCE_ONLY)
    bitcoin, ether = world.decide(make_buy(), make_buy(symbol=ETHER))
    world.deliver()
    assert (world.state(bitcoin), world.state(ether)) == (S.FILLED, S.DENIED)


def test_r1_a_row_of_a_market_that_is_none_of_ours_is_told_and_stops_nothing() -> None:
    world = two_symbols()
    row = ROW.model_copy(update={"symbol": None, "market": "DOGEEUR", "assets": ("DOGE", "EUR")})
    world.steps.always("venue.open_orders", with_row(row))
    world.minutes(2)
    assert world.kinds() == [K.UNREADABLE_ROW]
    assert world.account.stops == ()
    assert world.reconcile().clean


def test_r1_an_exit_of_the_rows_asset_is_bounded_by_what_the_venue_says_is_free() -> None:
    world = two_symbols()
    world.holding()

    def partly_free(found: Any) -> Any:
        return found.model_copy(update={"free": {**found.total, "BTC": Decimal("0.04")}})

    world.steps.always("venue.balances", changed(partly_free))
    world.steps.always("venue.open_orders", with_row(ROW))
    (exit_,) = world.decide(make_reduce(quantity="0.1"))
    world.deliver()
    assert world.order(exit_.order_id).attempt.request.quantity == Decimal("0.1"), "another asset's row"  # type: ignore[union-attr]


def test_a_row_that_is_gone_in_two_looks_ends_its_incident_and_its_stop() -> None:
    world = two_symbols()
    world.steps.always("venue.open_orders", with_row(ROW))
    world.minutes(2)
    world.steps.calm()
    world.minutes(1)
    assert world.kinds() == [K.UNREADABLE_ROW], "one look is not enough"
    world.minutes(1)
    assert world.kinds() == []
    assert world.account.stops == ()


def test_r2_a_trade_row_that_is_not_understood_keeps_the_cursor_of_its_symbol_only() -> None:
    world = two_symbols()
    row = UnreadRow(what="trade", reference="T9", market="ETHUSD", symbol=ETHER, problem="its fee is not understood")
    before = world.ledger.cursor(ACCOUNT, ETHER)
    order = world.decide(make_buy(symbol=ETHER))[0]
    world.deliver()
    world.steps.always("venue.trades", of_ether(changed(lambda page: page.model_copy(update={"unread": (row,)}))))
    world.minutes(2)
    assert world.order(order.order_id).filled_quantity == Decimal("0.1"), "the others are counted"
    stays = world.ledger.cursor(ACCOUNT, ETHER)
    assert stays is not None
    assert before is not None
    assert stays.read_until == before.read_until
    bitcoin = world.ledger.cursor(ACCOUNT, SYMBOL)
    assert bitcoin is not None
    assert bitcoin.read_until == world.now
    assert world.kinds() == [K.UNREADABLE_ROW]
    request = ResolveRequest(incident_id=world.incidents()[0].incident_id, reason="a fee in points", author="anna")
    assert look(ACCOUNT, request, world.services()).status == "resolved", "a trade's row stays at the venue for good"
    world.minutes(2)
    assert world.kinds() == []
    moved = world.ledger.cursor(ACCOUNT, ETHER)
    assert moved is not None
    assert moved.read_until == world.now


# --- what fails of one thing -----------------------------------------------------------------------------------------


def test_r3_an_order_whose_writes_keep_losing_is_an_incident_of_its_symbol_and_the_rest_goes_on() -> None:
    world = two_symbols()
    bitcoin, ether = world.decide(make_buy(), make_buy(symbol=ETHER))
    world.deliver()

    def loses(_call: str, perform: Any) -> Any:
        if perform.args[0].order.order_id == ether.order_id:
            raise Conflict("order")
        return perform()

    world.steps.always("ledger.commit", loses)
    world.minutes(3)
    assert world.state(bitcoin) is S.FILLED
    assert world.order(ether.order_id).filled_quantity == 0
    assert {incident.kind for incident in world.incidents()} == {K.NOT_RECONCILED}
    assert {incident.symbol for incident in world.incidents()} == {ETHER}
    assert level(world, SYMBOL) is StopLevel.RUNNING
    world.steps.calm()
    world.minutes(4)
    assert world.state(ether) is S.FILLED
    assert world.kinds() == []


def test_an_error_that_nobody_foresaw_in_one_symbols_history_is_that_symbols() -> None:
    world = two_symbols()
    world.steps.always("venue.trades", of_ether(instead(KeyError("secret"))))
    world.minutes(3)
    assert world.kinds() == [K.NOT_RECONCILED]
    assert world.incidents()[0].symbol == ETHER
    assert "secret" not in world.incidents()[0].actual
    assert world.reconcile().uncovered.keys() == {ETHER}


def test_r9_what_is_not_understood_and_a_symbol_that_is_gone_are_told_as_what_they_are() -> None:
    world = two_symbols()
    world.steps.always("venue.trades", of_ether(instead(NotUnderstood("a list without a shape"))))
    world.minutes(3)
    (incident,) = world.incidents()
    assert (incident.kind, "not understood" in incident.actual) == (K.NOT_RECONCILED, True)
    world.steps.always("venue.balances", instead(NotUnderstood("no believable balances")))
    world.minutes(12)
    assert K.VENUE_UNREACHABLE not in world.kinds()
    whole = next(one for one in world.incidents() if one.subject == "reconciling")
    assert "status page" not in whole.action
    order = world.buy()
    assert world.deliver()[-1].detail.startswith("answer not understood")
    assert world.state(order) is S.CREATED


# --- dead coins ------------------------------------------------------------------------------------------------------


def delisted(world: World) -> None:
    for call in ("venue.trades", "venue.lookup", "market.price", "market.market"):
        world.steps.always(call, of_ether(instead(SymbolUnavailable(f"{ETHER} is not listed"))))


def buy_in_the_next_hour(world: World, **changes: Any) -> Order:
    world.advance(seconds=(NOW + timedelta(hours=1) - world.now).total_seconds())
    world.reconcile()
    order = world.buy(**changes)
    world.deliver()
    return world.order(order.order_id)


def test_r31_a_held_coin_that_is_delisted_stops_its_symbol_and_entries_elsewhere_go_on() -> None:
    world = two_symbols()
    world.decide(make_buy(symbol=ETHER))
    world.deliver()
    world.minutes(2)
    delisted(world)
    world.minutes(3)
    assert world.kinds() == [K.SYMBOL_UNAVAILABLE]
    assert (level(world, SYMBOL), level(world, ETHER)) == (StopLevel.RUNNING, StopLevel.REDUCE_ONLY)
    order = buy_in_the_next_hour(world)
    assert world.state(order) is S.FILLED
    proof = world.ledger.last_proof(ACCOUNT)
    assert proof is not None
    assert proof.prices[ETHER].value == Decimal(10_000), "its last known price"
    assert proof.uncovered == (ETHER,)


def test_r31_what_has_no_price_is_valued_at_its_last_price_or_its_cost_whichever_bounds_more() -> None:
    limits = make_limits(max_position_notional={SYMBOL: "5000", ETHER: "5000"}, max_aggregate_exposure="1999")
    world = two_symbols()
    world.decide(make_buy(symbol=ETHER))
    world.deliver()
    world.minutes(2)
    world.configure(world.document.model_copy(update={"limits": limits}))
    world.minutes(1)
    delisted(world)
    limited = buy_in_the_next_hour(world)
    assert limited.attempt is not None
    assert limited.attempt.request.quantity < Decimal("0.1"), "1,000 and its costs are held in ether"


def test_r31_a_held_coin_whose_market_stands_still_stops_its_symbol() -> None:
    world = two_symbols()
    world.decide(make_buy(symbol=ETHER))
    world.deliver()
    world.minutes(2)
    old = Price(value=Decimal(10_000), at=world.now - timedelta(hours=2))
    world.steps.always("market.price", of_ether(instead(old)))
    world.minutes(2)
    (incident,) = world.incidents()
    assert (incident.kind, incident.symbol) == (K.SYMBOL_UNAVAILABLE, ETHER)
    assert world.reconcile().clean
    world.steps.calm()
    world.minutes(2)
    assert world.kinds() == []


def test_r32_a_listed_symbol_that_is_not_held_and_is_delisted_keeps_only_its_own_entries_waiting() -> None:
    world = two_symbols()
    delisted(world)
    world.minutes(2)
    assert world.kinds() == [K.SYMBOL_UNAVAILABLE]
    assert world.incidents()[0].symbol == ETHER
    assert world.reconcile().clean
    order = world.buy()
    world.deliver()
    assert world.state(order) is S.FILLED
    world.configure(make_document())
    world.minutes(3)
    assert world.kinds() == [], "taking it out of the document is the way back"


def test_r33_a_stale_price_of_dust_denies_no_entry_elsewhere() -> None:
    world = two_symbols()
    world.decide(make_buy(symbol=ETHER, quantity="0.002"))
    world.deliver()
    world.minutes(2)
    dear = changed(lambda market: market.model_copy(update={"min_notional": Decimal(50)}))
    world.steps.always("market.market", of_ether(dear))
    old = Price(value=Decimal(10_000), at=world.now - timedelta(days=30))
    world.steps.always("market.price", of_ether(instead(old)))
    assert world.state(buy_in_the_next_hour(world)) is S.FILLED
    assert world.kinds() == []


# --- a fact and its incident -----------------------------------------------------------------------------------------


def test_r58_the_second_look_is_asked_for_right_after_the_venues_lag() -> None:
    world = two_symbols(LaggingVenue)
    world.trade_by_hand(limit_price="9000")
    world.queue.follow_ups.clear()
    world.advance(seconds=5)
    world.reconcile()
    assert [message.delay_seconds for message in world.queue.follow_ups] == [21]
    world.advance(seconds=21)
    world.reconcile()
    assert world.kinds() == [K.UNKNOWN_VENUE_ORDER]
    assert len(world.queue.follow_ups) == 1, "what is known already asks for no further look"


def test_r58_the_text_of_an_incident_follows_the_fact_and_its_history_keeps_what_was_said() -> None:
    world = two_symbols()

    def deposited(amount: int) -> Fault:
        shown: Fault = changed(lambda b: b.model_copy(update={"total": {**b.total, "USD": b.total["USD"] + amount}}))
        return shown

    world.steps.always("venue.balances", deposited(25))
    world.minutes(2)
    world.steps.always("venue.balances", deposited(40))
    world.minutes(1)
    (incident,) = world.incidents()
    assert incident.actual == "10040 USD"
    assert len(world.alerts.incidents) == 1
    world.steps.calm()
    world.minutes(2)
    assert world.incidents() == []
    history = world.ledger.incident_history(ACCOUNT, "balance_mismatch:USD")
    assert [(entry.what, entry.author) for entry in history] == [
        ("opened", "belay"),
        ("changed", "belay"),
        ("resolved", "belay"),
    ]


def test_r58_resolving_looks_first_and_a_fact_that_stands_stays_open_with_its_stop() -> None:
    world = two_symbols()
    seen = world.trade_by_hand(limit_price="9000")
    world.minutes(2)
    (incident,) = world.incidents()
    request = ResolveRequest(incident_id=incident.incident_id, reason="cancelled it", author="anna")
    looked = look(ACCOUNT, request, world.services())
    assert (looked.status, looked.problem) == ("open", "the fact still stands")
    assert "belay adopt" in looked.remedy
    assert level(world, SYMBOL) is StopLevel.REDUCE_ONLY
    world.venue().cancel(SYMBOL, str(seen.client_order_id))
    world.steps.always("venue.balances", refuse)
    assert look(ACCOUNT, request, world.services()).status == "open", "what cannot be looked at stays open"
    world.steps.calm()
    assert look(ACCOUNT, request, world.services()).lifted == 1
    assert world.incidents() == []
    (*_, last) = world.ledger.incident_history(ACCOUNT, incident.incident_id)
    assert (last.what, last.author, last.reason) == ("resolved", "anna", "cancelled it")
    assert look(ACCOUNT, request, world.services()).resolution == "cancelled it", "asked twice, it ends once"


def test_one_stop_stands_for_all_incidents_of_its_kind_and_symbol_until_the_last_is_over() -> None:
    world = two_symbols()
    first, second = world.trade_by_hand(limit_price="9000"), world.trade_by_hand(limit_price="9100")
    world.minutes(2)
    assert (len(world.incidents()), len(world.account.stops)) == (2, 1)
    for left, seen in ((1, first), (0, second)):
        world.venue().cancel(SYMBOL, str(seen.client_order_id))
        world.minutes(2)
        assert (len(world.incidents()), len(world.account.stops)) == (left, left)


# --- sightings -------------------------------------------------------------------------------------------------------


def missed_by_client_id(call: str, perform: Any) -> Any:
    return perform() if perform.keywords.get("venue_order_id") else None


def test_r65_a_trade_that_may_be_an_unresolved_orders_is_looked_up_by_the_venues_id() -> None:
    world = two_symbols()
    world.steps.next("venue.submit", lose_answer)
    order = world.buy()
    world.deliver()
    world.steps.always("venue.lookup", missed_by_client_id)
    world.advance(seconds=5)
    world.reconcile()
    assert world.state(order) is S.FILLED
    assert world.order(order.order_id).filled_quantity == Decimal("0.1")
    world.steps.calm()
    world.minutes(2)
    assert world.alerts.incidents == []
    world.check_promises()


def test_r65_while_the_venue_has_not_said_whose_it_is_nobody_is_alarmed_and_that_is_bounded() -> None:
    world = two_symbols()
    world.steps.next("venue.submit", lose_answer)
    world.buy()
    world.deliver()
    world.steps.always("venue.lookup", instead(None))
    world.minutes(4)
    assert not {K.UNATTRIBUTED_TRADE, K.BALANCE_MISMATCH} & set(world.kinds())
    assert world.reconcile().uncovered.keys() == {SYMBOL}, "of its symbol nothing is proven meanwhile"
    world.advance(seconds=SIGHTING_BOUND.total_seconds())
    world.minutes(2)
    assert K.UNATTRIBUTED_TRADE in world.kinds()
    world.steps.calm()
    world.minutes(4)
    assert world.kinds() == [], "an alarm that turned out to be about our own order ends by itself"
    assert world.account.stops == ()


def test_a_strangers_trade_of_another_side_or_size_is_no_sighting() -> None:
    world = two_symbols()
    world.steps.next("venue.submit", refuse)
    world.buy()
    world.deliver()
    world.steps.always("venue.lookup", instead(None))
    world.trade_by_hand(Side.BUY, "0.2")
    world.minutes(2)
    assert K.UNATTRIBUTED_TRADE in world.kinds()


# --- accounts --------------------------------------------------------------------------------------------------------


def test_r45_the_schedule_asks_for_each_account_and_one_that_cannot_be_asked_for_keeps_no_other_waiting() -> None:
    world = two_symbols()
    other = make_document(account="other")
    world.ledger.store_configuration(
        world.ledger.configuration(ACCOUNT).model_copy(update={"document": other, "version": 1})  # type: ignore[union-attr]
    )
    world.queue.follow_ups.clear()
    assert ask_for_all(world.services()).asked == ("other", ACCOUNT)
    assert [message.body for message in world.queue.follow_ups] == [{"account": "other"}, {"account": ACCOUNT}]
    world.steps.next("queue.follow_up", refuse)
    scheduled = ask_for_all(world.services())
    assert scheduled.asked == (ACCOUNT,)
    assert list(scheduled.failed) == ["other"]


def test_r45_a_proof_that_is_too_old_is_an_incident_of_its_account_and_ends_with_the_next_one() -> None:
    world = two_symbols()
    for minutes, known in ((10, []), (1, []), (2, [K.STALE_PROOF])):
        world.advance(minutes=minutes)
        ask_for_all(world.services())
        assert world.kinds() == known
    world.minutes(1)
    assert world.kinds() == []


def test_r45_a_run_reads_no_further_than_its_invocation_has_time() -> None:
    world = two_symbols()
    done = reconcile(ACCOUNT, world.services(), lambda: 5.0)
    assert done.uncovered.keys() == {SYMBOL, ETHER}
    assert all("the next run goes on" in why for why in done.uncovered.values())


def test_r3_a_record_that_cannot_be_read_is_an_incident_of_its_order_and_the_rest_goes_on() -> None:
    world = two_symbols()
    resting, filled = world.decide(make_buy(symbol=ETHER, limit_price="9000"), make_buy())
    world.deliver()
    ledger: Any = world.ledger
    ledger._anchors._bodies[ACCOUNT, resting.order_id] = "{}"
    world.minutes(2)
    assert world.order(filled.order_id).filled_quantity == Decimal("0.1")
    assert [(incident.kind, incident.subject) for incident in world.incidents()] == [
        (K.BROKEN_RECORD, resting.order_id)
    ]
