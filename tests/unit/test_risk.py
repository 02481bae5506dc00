"""The account's limits: entries are resized or denied, exits are never trapped, and every line is recorded."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from belay.domain.account import Account, Position, StopLevel, VenueIdentity
from belay.domain.decisions import Reduce, Side
from belay.domain.documents import AccountDocument, Limits
from belay.domain.market import Price
from belay.domain.orders import Order
from belay.domain.risk import LineVerdict, Situation, Verdict, check
from belay.domain.venues import Balances
from tests.builders import (
    NOW,
    PRICE,
    QUANTITY,
    STRATEGY,
    SYMBOL,
    make_account,
    make_buy,
    make_decision,
    make_document,
    make_limits,
    make_market,
    make_order,
    make_proof,
    make_reservation,
    make_sell,
    make_situation,
    make_stop,
    make_venue_order,
    seconds,
)

PASS, RESIZE, WAIT, DENY = LineVerdict.PASS, LineVerdict.RESIZE, LineVerdict.WAIT, LineVerdict.DENY
ETH = "ETH/USD"
AT = NOW + seconds(3)
ZERO = Decimal(0)


def entry(**changes: Any) -> Order:
    return make_order(make_decision(make_buy(**changes)))


def leave(**changes: Any) -> Order:
    """A `Reduce` of everything, unless `changes` say how much."""
    return make_order(make_decision(Reduce(symbol=SYMBOL, reason="out", **changes)))


def holding(quantity: str = "0.5", **changes: Any) -> Account:
    position = Position(quantity=Decimal(quantity), cost=Decimal(quantity) * PRICE)
    return make_account(positions={STRATEGY: {SYMBOL: position}}, **changes)


def reserved(*reservations: Any) -> dict[str, Any]:
    return {"reservations": {held.order_id: held for held in reservations}}


def limited(**changes: Any) -> AccountDocument:
    return make_document(limits=make_limits(**changes))


def verdict(
    order: Order,
    account: Account | None = None,
    document: AccountDocument | None = None,
    situation: Situation | None = None,
) -> Verdict:
    return check(order, account or make_account(), document or make_document(), situation or make_situation())


def balances(at: Any = AT, **total: str) -> Balances:
    return Balances(total={asset: Decimal(amount) for asset, amount in total.items()}, at=at)


# --- what a verdict says ----------------------------------------------------------------------------------------------


def test_an_entry_within_its_limits_goes_as_asked_with_one_line_for_each_limit() -> None:
    allowed = verdict(entry())
    assert (allowed.action, allowed.quantity, allowed.price) == (PASS, QUANTITY, PRICE)
    assert [line.limit for line in allowed.lines] == [
        "identity",
        "records",
        "retired",
        "stop",
        "clock_offset_seconds",
        "unresolved_order_in_symbol",
        "submissions_per_minute",
        "max_input_age_seconds",
        "max_price_age_seconds",
        "max_balance_age_seconds",
        "max_reconciliation_age_seconds",
        "max_order_notional",
        "max_position_notional",
        "max_aggregate_exposure",
        "available_balance",
        "venue_minimum",
    ]


def test_a_line_tells_its_value_and_its_bound() -> None:
    lines = {line.limit: line for line in verdict(entry()).lines}
    line = lines["max_order_notional"]
    assert (Decimal(line.value), Decimal(line.bound), line.verdict) == (Decimal(1000), Decimal(2000), PASS)


def test_a_symbol_that_the_account_does_not_trade_is_denied() -> None:
    assert verdict(entry(symbol=ETH)).reason == "symbol"
    priced = make_situation(prices={ETH: Price(value=1, at=AT)})
    denied = verdict(entry(symbol=ETH), situation=priced)
    assert (denied.action, denied.reason, denied.quantity) == (DENY, "symbol", ZERO)


# --- missing limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(Limits.model_fields))
def test_a_missing_limit_denies_an_entry_and_names_itself(name: str) -> None:
    missing: Any = {} if name == "max_position_notional" else None
    denied = verdict(entry(), document=limited(**{name: missing}))
    assert (denied.action, denied.reason) == (DENY, name)
    assert [line.bound for line in denied.lines if line.limit == name] == ["missing"]


def test_a_position_limit_of_another_symbol_does_not_serve() -> None:
    assert verdict(entry(), document=limited(max_position_notional={ETH: "5000"})).reason == "max_position_notional"


# --- stops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "entry_may", "exit_may"),
    [(StopLevel.RUNNING, True, True), (StopLevel.REDUCE_ONLY, False, True), (StopLevel.HALTED, False, False)],
)
@pytest.mark.parametrize("by", ["switch", "stop"])
def test_a_stop_forbids_what_its_level_says_whoever_set_it(
    level: StopLevel, entry_may: bool, exit_may: bool, by: str
) -> None:
    """Corpus 49 and 50: the strictest of the operators' switch and the account's own stops wins."""
    situation = make_situation(switch=level if by == "switch" else StopLevel.RUNNING, switch_reason="drill")
    stops = (make_stop(level=level),) if by == "stop" else ()
    entering = verdict(entry(), make_account(stops=stops), situation=situation)
    leaving = verdict(leave(), holding(stops=stops), situation=situation)
    assert (entering.action is PASS, leaving.action is PASS) == (entry_may, exit_may)
    assert entering.reason == ("within limits" if entry_may else "stop")


# --- freshness, both sides of every bound -----------------------------------------------------------------------------


def aged(name: str, age: float) -> tuple[Order, Situation]:
    at = AT - seconds(age)
    situations = {
        "max_input_age_seconds": make_situation(),
        "max_price_age_seconds": make_situation(prices={SYMBOL: Price(value=PRICE, at=at)}),
        "max_balance_age_seconds": make_situation(balances=balances(at, USD="10000")),
        "max_reconciliation_age_seconds": make_situation(proof=make_proof(started_at=at, completed_at=at)),
        "clock_offset_seconds": make_situation(offset_seconds=str(age)),
    }
    order = entry()
    if name == "max_input_age_seconds":
        order = order.model_copy(update={"market_time": at})
    return order, situations[name]


@pytest.mark.parametrize(
    ("name", "otherwise"),
    [
        ("max_input_age_seconds", DENY),
        ("max_price_age_seconds", DENY),
        ("max_balance_age_seconds", DENY),
        ("max_reconciliation_age_seconds", WAIT),
        ("clock_offset_seconds", WAIT),
    ],
)
@pytest.mark.parametrize("sign", [1, -1], ids=["behind", "ahead"])
def test_an_age_counts_up_to_its_bound_and_not_beyond(name: str, otherwise: LineVerdict, sign: int) -> None:
    """freqtrade PR #6943, #11725, LEAN #4680: an age that is always true, and what is stale. A time that lies ahead
    by more than the bound is as wrong: a proof from the future would hold the gate open."""
    document = limited(**{name: 60})
    for age, action in ((60, PASS), (60.001, otherwise)):
        order, situation = aged(name, sign * age)
        allowed = verdict(order, document=document, situation=situation)
        assert allowed.action is action
        assert allowed.reason == ("within limits" if action is PASS else name)


def test_a_stale_price_of_the_orders_own_symbol_denies_and_one_of_another_does_not() -> None:
    account = holding()
    account = account.model_copy(update={"positions": {"other": {ETH: Position(quantity=Decimal(1))}}})
    fresh, stale = Price(value=PRICE, at=AT), Price(value=1, at=AT - seconds(61))
    others = make_situation(prices={SYMBOL: fresh, ETH: stale})
    assert verdict(entry(), account, situation=others).reason == "within limits"
    own = make_situation(prices={SYMBOL: stale.model_copy(update={"value": PRICE}), ETH: fresh})
    assert verdict(entry(), account, situation=own).reason == "max_price_age_seconds"


def test_without_a_proof_an_entry_waits_for_the_gate() -> None:
    waiting = verdict(entry(), situation=make_situation(proof=None))
    assert (waiting.action, waiting.reason) == (WAIT, "max_reconciliation_age_seconds")


def test_a_denial_is_stronger_than_a_wait_and_a_wait_than_a_resize() -> None:
    closed = make_situation(proof=None)
    assert verdict(entry(), situation=closed, document=limited(max_price_age_seconds=None)).action is DENY
    assert verdict(entry(), situation=closed, document=limited(max_order_notional="500")).action is WAIT


# --- rate -------------------------------------------------------------------------------------------------------------


def test_an_entry_leaves_the_last_submissions_of_a_minute_to_exits() -> None:
    """freqtrade #12441: each bot assumed the whole request budget."""
    document = limited(submissions_per_minute=10, reserved_exit_submissions=2)
    for used, action in ((7, PASS), (8, DENY)):
        account = make_account(submissions=(NOW,) * used)
        allowed = verdict(entry(), account, document)
        assert (allowed.action, allowed.reason) == (
            action,
            "within limits" if action is PASS else "submissions_per_minute",
        )


def test_submissions_older_than_a_minute_do_not_count() -> None:
    account = make_account(submissions=(AT - seconds(60),) * 50)
    assert verdict(entry(), account).action is PASS


# --- unresolved orders ------------------------------------------------------------------------------------------------


def test_an_unresolved_order_blocks_entries_in_its_symbol_only() -> None:
    """hummingbot #8457: six live orders dropped, and trading went on."""
    unknown = make_reservation(unresolved=True, strategy="other", symbol=SYMBOL, quantity="0.01")
    assert verdict(entry(), make_account(**reserved(unknown))).reason == "unresolved_order_in_symbol"
    elsewhere = make_reservation(unresolved=True, symbol=ETH, quantity="0.01")
    assert verdict(entry(), make_account(**reserved(elsewhere))).action is PASS


def test_an_exit_waits_for_its_strategys_unresolved_entry_even_when_it_owns_nothing_yet() -> None:
    """Denied, it would never go out; the entry that fills a second later would have no exit."""
    unknown = make_reservation(unresolved=True)
    for account in (make_account(**reserved(unknown)), holding(**reserved(unknown))):
        for order in (leave(), make_order(make_decision(make_sell(quantity="9")))):
            waiting = verdict(order, account)
            assert (waiting.action, waiting.reason) == (WAIT, "unresolved_entry")


@pytest.mark.parametrize(
    "unknown",
    [
        make_reservation(unresolved=True, strategy="other"),
        make_reservation(unresolved=True, symbol=ETH),
        make_reservation(unresolved=True, reducing=True, side=Side.SELL, quantity="0.1"),
        make_reservation(unresolved=False),
    ],
    ids=["another strategy", "another symbol", "an exit", "resolved"],
)
def test_an_exit_waits_for_nothing_else(unknown: Any) -> None:
    assert verdict(leave(), holding(**reserved(unknown))).action is PASS


# --- how much an entry may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_order_notional": "500"}, "max_order_notional"),
        ({"max_position_notional": {SYMBOL: "500"}}, "max_position_notional"),
        ({"max_aggregate_exposure": "500"}, "max_aggregate_exposure"),
    ],
)
def test_an_entry_above_a_limit_is_made_smaller(changes: dict[str, Any], reason: str) -> None:
    resized = verdict(entry(), document=limited(**changes))
    assert (resized.action, resized.reason, resized.quantity) == (RESIZE, reason, Decimal("0.05"))


@pytest.mark.parametrize("limit", ["max_order_notional", "max_aggregate_exposure"])
def test_an_entry_of_exactly_the_limit_is_not_touched(limit: str) -> None:
    assert verdict(entry(), document=limited(**{limit: "1000"})).action is PASS
    assert verdict(entry(), document=limited(**{limit: "999.99"})).action is RESIZE


def test_positions_and_open_buys_use_up_the_position_limit() -> None:
    document = limited(max_position_notional={SYMBOL: "2000"})
    account = holding("0.05", **reserved(make_reservation(quantity="0.1")))
    assert verdict(entry(), account, document).quantity == Decimal("0.05")
    full = holding("0.1", **reserved(make_reservation(quantity="0.1")))
    assert verdict(entry(), full, document).action is DENY


def test_limits_hold_across_strategies_and_symbols() -> None:
    document = limited(max_aggregate_exposure="2500")
    account = make_account(
        positions={"other": {ETH: Position(quantity=Decimal(1))}},
        **reserved(make_reservation(symbol=ETH, strategy="third", quantity="1", price="500")),
    )
    prices = {SYMBOL: Price(value=PRICE, at=AT), ETH: Price(value=1500, at=AT)}
    assert verdict(entry(), account, document, make_situation(prices=prices)).quantity == Decimal("0.05")


def test_exposure_without_a_price_is_unknown_and_denies() -> None:
    account = make_account(positions={"other": {ETH: Position(quantity=Decimal(1))}})
    denied = verdict(entry(), account)
    assert (denied.action, denied.reason) == (DENY, "max_aggregate_exposure")
    assert [line.bound for line in denied.lines if line.limit == denied.reason] == [f"no price of {ETH}"]


def test_a_sell_counted_before_its_buy_makes_no_room_for_an_entry() -> None:
    document = limited(max_position_notional={SYMBOL: "500"}, max_aggregate_exposure="500")
    assert verdict(entry(), holding("-1"), document).quantity == Decimal("0.05")


def test_an_entry_spends_only_what_is_available() -> None:
    """Available is the venue's total less what foreign orders lock and what ours reserve, costs included."""
    situation = make_situation(
        balances=balances(USD="2505.25"),
        venue_orders=(make_venue_order(client_order_id="someone", quantity="0.1", limit_price="10000"),),
    )
    account = make_account(**reserved(make_reservation(order_id="r1", cost_rate="0.00375")))
    resized = verdict(entry(), account, situation=situation)
    assert (resized.reason, resized.quantity) == ("available_balance", Decimal("0.05"))


def test_our_own_open_orders_are_not_subtracted_twice() -> None:
    ours = make_venue_order(client_order_id="r1", quantity="0.1", limit_price="10000")
    account = make_account(**reserved(make_reservation("r1")))
    situation = make_situation(balances=balances(USD="2002"), venue_orders=(ours,))
    assert verdict(entry(), account, situation=situation).action is PASS


def test_a_foreign_order_without_a_price_is_valued_at_its_own_symbols_price() -> None:
    foreign = make_venue_order(client_order_id=None, symbol=ETH, quantity="1", limit_price=None)
    prices = {SYMBOL: Price(value=PRICE, at=AT), ETH: Price(value=1500, at=AT)}
    for usd, action in (("2501.5", PASS), ("2501", RESIZE)):
        situation = make_situation(balances=balances(USD=usd), venue_orders=(foreign,), prices=prices)
        assert verdict(entry(), situation=situation).action is action
    unpriced = make_situation(venue_orders=(foreign,))
    assert verdict(entry(), situation=unpriced).reason == "available_balance"


def test_an_order_the_venue_overfilled_frees_no_money() -> None:
    foreign = make_venue_order(client_order_id=None, quantity="0.1", filled_quantity="0.5", limit_price="10000")
    situation = make_situation(balances=balances(USD="500.75"), venue_orders=(foreign,))
    assert verdict(entry(), situation=situation).quantity == Decimal("0.05")


def test_an_entry_by_notional_is_floored_to_the_step() -> None:
    allowed = verdict(
        entry(quantity=None, notional="1000"), situation=make_situation(market=make_market(quantity_step="0.03"))
    )
    assert (allowed.action, allowed.quantity) == (PASS, Decimal("0.09"))


def test_a_limit_order_is_valued_at_the_price_that_would_be_sent() -> None:
    situation = make_situation(market=make_market(price_tick="500"))
    allowed = verdict(entry(limit_price="9999"), situation=situation)
    assert allowed.price == Decimal(9500)


def test_a_limit_price_below_one_tick_is_denied_and_not_sent_as_zero() -> None:
    denied = verdict(entry(limit_price="0.001"))
    assert (denied.action, denied.reason, denied.quantity) == (DENY, "limit_price", ZERO)


@pytest.mark.parametrize(
    ("market", "quantity"),
    [
        ({"min_quantity": "0.1"}, "0.1"),
        ({"min_notional": "1000"}, "0.1"),
        ({"quantity_step": "1"}, "0.1"),
        ({"quantity_step": "1"}, "0.9999"),
    ],
)
def test_an_entry_below_the_venues_minimum_is_denied_and_never_enlarged(market: dict[str, str], quantity: str) -> None:
    """freqtrade #2011: what remains after the fee must be large enough to be sold again."""
    denied = verdict(entry(quantity=quantity), situation=make_situation(market=make_market(**market)))
    assert (denied.action, denied.reason) == (DENY, "venue_minimum")


def test_an_entry_that_just_survives_its_fee_is_allowed() -> None:
    situation = make_situation(market=make_market(min_quantity="0.0999", taker_fee="0.001"))
    assert verdict(entry(), situation=situation).action is PASS
    assert verdict(entry(quantity="0.0999"), situation=situation).reason == "venue_minimum"


# --- exits ------------------------------------------------------------------------------------------------------------


def test_a_reduce_without_a_quantity_leaves_the_whole_position() -> None:
    assert verdict(leave(), holding("0.5")).quantity == Decimal("0.5")


def test_exits_are_capped_at_the_position_less_the_exits_that_are_open_or_unknown() -> None:
    """freqtrade #13332, PR #2799: a double sell."""
    open_exit = make_reservation("x1", side=Side.SELL, reducing=True, quantity="0.2")
    unknown = make_reservation("x2", side=Side.SELL, reducing=True, quantity="0.2", unresolved=True)
    account = holding("0.5", **reserved(open_exit, unknown))
    assert verdict(leave(), account).quantity == Decimal("0.1")
    resized = verdict(leave(quantity="0.3"), account)
    assert (resized.action, resized.reason, resized.quantity) == (RESIZE, "own_position", Decimal("0.1"))


def test_an_exit_sent_again_is_not_capped_by_its_own_reservation() -> None:
    order = leave()
    own = make_reservation(order.order_id, side=Side.SELL, reducing=True, quantity="0.5")
    assert verdict(order, holding("0.5", **reserved(own))).quantity == Decimal("0.5")


def test_a_strategy_cannot_sell_what_another_one_holds() -> None:
    account = make_account(positions={"other": {SYMBOL: Position(quantity=Decimal(1))}})
    denied = verdict(leave(), account)
    assert (denied.action, denied.reason) == (DENY, "nothing_to_sell")


def test_a_sell_of_more_than_is_owned_is_denied_and_one_of_exactly_that_is_not() -> None:
    sell = make_order(make_decision(make_sell(quantity="0.5")))
    assert verdict(sell, holding("0.5")).action is PASS
    denied = verdict(sell, holding("0.4999"))
    assert (denied.action, denied.reason) == (DENY, "own_position")


def test_a_remainder_too_small_to_sell_is_dust() -> None:
    """LEAN #6666, freqtrade #12322: a residue, and a trade that could not die."""
    denied = verdict(leave(), holding("0.0009"), situation=make_situation(market=make_market(min_quantity="0.001")))
    assert (denied.action, denied.reason) == (DENY, "dust")
    assert verdict(leave(), holding("0.00005")).reason == "dust"


def test_an_exit_is_not_trapped_by_another_strategys_exit_that_filled_a_moment_ago() -> None:
    """It has left the balance already, and its reservation stands until the fill is counted."""
    filled = make_reservation("x1", strategy="other", side=Side.SELL, reducing=True, quantity="0.5")
    situation = make_situation(balances=balances(BTC="0.5"))
    assert verdict(leave(), holding("0.5", **reserved(filled)), situation=situation).quantity == Decimal("0.5")


def test_an_exit_sells_no_more_than_the_venue_would_let_go() -> None:
    """LEAN #4851: the position exceeded the wallet."""
    situation = make_situation(balances=balances(BTC="0.4"))
    resized = verdict(leave(), holding("0.5"), situation=situation)
    assert (resized.action, resized.reason, resized.quantity) == (RESIZE, "available_balance", Decimal("0.4"))


def test_what_a_foreign_sell_locks_is_not_available_to_an_exit() -> None:
    foreign = make_venue_order(client_order_id=None, side=Side.SELL, quantity="0.8", limit_price="20000")
    situation = make_situation(venue_orders=(foreign,))
    assert verdict(leave(), holding("0.5"), situation=situation).quantity == Decimal("0.2")


def test_an_offset_of_the_clock_makes_an_exit_wait_and_does_not_end_it() -> None:
    """ccxt #2281, corpus 59: nothing is claimed while the clocks disagree; a slow answer looks just like that."""
    situation = make_situation(offset_seconds="-30")
    assert verdict(leave(), holding(), situation=situation).action is WAIT


@given(
    missing=st.sets(st.sampled_from(sorted(set(Limits.model_fields) - {"clock_offset_seconds"}))),
    age=st.integers(0, 10**6),
    used=st.integers(0, 100),
    proven=st.booleans(),
    level=st.sampled_from([StopLevel.RUNNING, StopLevel.REDUCE_ONLY]),
)
def test_no_limit_of_entries_ever_stops_an_exit(
    missing: set[str], age: int, used: int, proven: bool, level: StopLevel
) -> None:
    gone: dict[str, Any] = {name: {} if name == "max_position_notional" else None for name in missing}
    at = AT - seconds(age)
    unknown = make_reservation(unresolved=True, strategy="other", quantity="100")
    account = holding("0.5", submissions=(NOW,) * used, stops=(make_stop(level=level),), **reserved(unknown))
    situation = make_situation(
        prices={SYMBOL: Price(value=PRICE, at=at)},
        balances=balances(at, BTC="0.5"),
        proof=make_proof(completed_at=at) if proven else None,
        switch=level,
    )
    order = leave().model_copy(update={"market_time": at})
    allowed = check(order, account, limited(**{"max_order_notional": "1", **gone}), situation)
    assert (allowed.action, allowed.quantity) == (PASS, Decimal("0.5"))


# --- any case at all --------------------------------------------------------------------------------------------------

AMOUNTS = st.decimals(Decimal("1E-8"), Decimal("1E9"), places=8)
SMALL = st.decimals(ZERO, Decimal("0.5"), places=4)
STEPS = st.sampled_from([Decimal(step) for step in ("1E-8", "0.0001", "0.0003", "1", "7")])
SYMBOLS = st.sampled_from([SYMBOL, ETH])
OPTIONAL = st.none() | AMOUNTS
SECONDS = st.none() | st.integers(1, 1000)
INSTANTS = st.integers(-2000, 2000).map(lambda offset: AT + seconds(offset))
# What passes most checks, so that the caps decide.
ORDINARY = st.decimals(Decimal("0.01"), Decimal(100), places=4)
LARGE = st.decimals(Decimal(100), Decimal("1E5"), places=2)


def orders(amounts: st.SearchStrategy[Decimal], symbols: st.SearchStrategy[str]) -> st.SearchStrategy[Order]:
    optional = st.none() | amounts
    legs = st.one_of(
        st.builds(make_buy, symbol=symbols, quantity=amounts, limit_price=optional),
        st.builds(make_buy, quantity=st.none(), notional=amounts, limit_price=optional),
        st.builds(make_sell, symbol=symbols, quantity=amounts, limit_price=optional),
        st.builds(Reduce, symbol=st.just(SYMBOL), quantity=optional, limit_price=optional, reason=st.just("out")),
    )
    return legs.map(lambda leg: make_order(make_decision(leg)))


def reservations(amounts: st.SearchStrategy[Decimal], unresolved: st.SearchStrategy[bool]) -> st.SearchStrategy[Any]:
    held = st.builds(
        make_reservation,
        order_id=st.sampled_from(["r1", "r2", "r3"]),
        strategy=st.sampled_from([STRATEGY, "other"]),
        symbol=SYMBOLS,
        side=st.sampled_from(Side),
        quantity=amounts,
        price=amounts,
        cost_rate=SMALL,
        unresolved=unresolved,
    )
    return st.lists(held.map(lambda r: r.model_copy(update={"reducing": r.side is Side.SELL})), max_size=3)


def accounts(
    quantities: st.SearchStrategy[Decimal], held: st.SearchStrategy[Any], used: st.SearchStrategy[int]
) -> st.SearchStrategy[Account]:
    one = quantities.map(lambda quantity: Position(quantity=quantity))
    own, positions = st.fixed_dictionaries({SYMBOL: one}), st.dictionaries(SYMBOLS, one)
    return st.builds(
        lambda by_strategy, reserved_, count: make_account(
            positions=by_strategy, submissions=(NOW,) * count, **reserved(*reserved_)
        ),
        st.fixed_dictionaries({}, optional={STRATEGY: own | positions, "other": positions}),
        held,
        used,
    )


def foreign(amounts: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Any]:
    one = st.builds(
        make_venue_order,
        client_order_id=st.sampled_from([None, "r1", "someone"]),
        symbol=SYMBOLS,
        side=st.sampled_from(Side),
        quantity=amounts,
        filled_quantity=amounts,
        limit_price=st.none() | amounts,
    )
    return st.lists(one, max_size=2).map(tuple)


ANY_LIMITS = st.builds(
    Limits,
    max_order_notional=OPTIONAL,
    max_position_notional=st.dictionaries(SYMBOLS, AMOUNTS),
    max_aggregate_exposure=OPTIONAL,
    submissions_per_minute=SECONDS,
    reserved_exit_submissions=SECONDS,
    max_price_age_seconds=SECONDS,
    max_balance_age_seconds=SECONDS,
    max_input_age_seconds=SECONDS,
    max_reconciliation_age_seconds=SECONDS,
    clock_offset_seconds=SECONDS,
)
ANY_SITUATION = st.builds(
    make_situation,
    now=INSTANTS,
    offset_seconds=st.integers(-1000, 1000),
    switch=st.sampled_from(StopLevel),
    market=st.builds(
        make_market,
        quantity_step=STEPS,
        price_tick=STEPS,
        min_quantity=SMALL,
        min_notional=SMALL,
        taker_fee=st.decimals(ZERO, Decimal(2), places=4),
    ),
    prices=st.dictionaries(SYMBOLS, st.builds(Price, value=AMOUNTS, at=INSTANTS)),
    balances=st.builds(
        Balances,
        total=st.dictionaries(st.sampled_from(["USD", "BTC"]), st.decimals(Decimal(-1), Decimal("1E9"), places=8)),
        at=INSTANTS,
    ),
    venue_orders=foreign(AMOUNTS),
    proof=st.none() | INSTANTS.map(lambda at: make_proof(completed_at=at)),
)
ANY_ACCOUNT = accounts(
    st.decimals(Decimal(-10), Decimal("1E6"), places=8), reservations(AMOUNTS, st.booleans()), st.integers(0, 50)
)
CAPS = st.builds(
    lambda order, position, exposure: make_limits(
        max_order_notional=order, max_position_notional={SYMBOL: position}, max_aggregate_exposure=exposure
    ),
    LARGE,
    LARGE,
    LARGE,
)
CALM_SITUATION = st.builds(
    make_situation,
    market=st.builds(make_market, quantity_step=STEPS, price_tick=STEPS, min_notional=SMALL, min_quantity=SMALL),
    prices=st.fixed_dictionaries(
        {symbol: st.builds(Price, value=ORDINARY, at=st.just(AT)) for symbol in (SYMBOL, ETH)}
    ),
    balances=st.builds(Balances, total=st.fixed_dictionaries({"USD": LARGE, "BTC": ORDINARY}), at=st.just(AT)),
    venue_orders=foreign(ORDINARY),
)
CALM_ACCOUNT = accounts(
    st.decimals(Decimal(-1), Decimal(200), places=4), reservations(ORDINARY, st.just(False)), st.integers(0, 3)
)


@given(orders(AMOUNTS, SYMBOLS), ANY_ACCOUNT, ANY_LIMITS, ANY_SITUATION)
def test_a_check_always_gives_a_verdict_that_its_lines_explain(
    order: Order, account: Account, limits: Limits, situation: Situation
) -> None:
    result = check(order, account, make_document(limits=limits), situation)
    assert result.lines
    assert (result.action is PASS) == all(line.verdict is PASS for line in result.lines)
    if result.action is not PASS:
        assert result.reason in {line.limit for line in result.lines if line.verdict is result.action}


def used_notional(account: Account, prices: Mapping[str, Price], symbol: str) -> Decimal:
    """What a symbol takes of the limits, summed here in another way than the check does it."""
    held = sum((positions.get(symbol, Position()).quantity for positions in account.positions.values()), ZERO)
    buys = [r for r in account.reservations.values() if r.symbol == symbol and r.side is Side.BUY]
    value = prices[symbol].value * held if held > 0 else ZERO
    return value + sum((r.quantity * r.price * (1 + r.cost_rate) for r in buys), ZERO)


@given(orders(ORDINARY, st.just(SYMBOL)), CALM_ACCOUNT, CAPS, CALM_SITUATION)
def test_an_allowed_quantity_is_within_every_cap_and_what_the_venue_takes(
    order: Order, account: Account, limits: Limits, situation: Situation
) -> None:
    result = check(order, account, make_document(limits=limits), situation)
    event(f"{'exit' if order.reducing else 'entry'} {result.action}")
    if result.action not in (PASS, RESIZE):
        return
    quantity, price, market = result.quantity, result.price, situation.market
    slack = Decimal(1) + Decimal("1E-20")
    assert quantity > 0
    assert quantity % market.quantity_step == 0
    assert quantity >= market.min_quantity
    assert quantity * price >= market.min_notional
    assert order.quantity is None or quantity <= order.quantity
    assert order.notional is None or quantity * price <= order.notional * slack
    if order.reducing:
        leaving = sum(
            r.quantity
            for r in account.reservations.values()
            if r.reducing and (r.strategy, r.symbol) == (STRATEGY, SYMBOL)
        )
        assert quantity <= account.position(STRATEGY, SYMBOL).quantity - leaving
        assert quantity <= situation.balances.total["BTC"]
        return
    notional = quantity * price
    used = {symbol: used_notional(account, situation.prices, symbol) for symbol in (SYMBOL, ETH)}
    reserved_buys = sum(r.notional for r in account.reservations.values() if r.side is Side.BUY)
    assert limits.max_order_notional is not None
    assert limits.max_aggregate_exposure is not None
    assert notional <= limits.max_order_notional * slack
    assert used[SYMBOL] + notional <= limits.max_position_notional[SYMBOL] * slack
    assert sum(used.values()) + notional <= limits.max_aggregate_exposure * slack
    assert notional * (1 + order.assumed_cost) + reserved_buys <= situation.balances.total["USD"] * slack


def test_r26_entries_and_exits_wait_where_the_document_means_another_account() -> None:
    account = make_account(identity=VenueIdentity(venue="elsewhere", mode="paper", sandbox=None))
    for order in (entry(), leave()):
        found = verdict(order, account=account)
        assert (found.action, found.reason) == (LineVerdict.WAIT, "identity")
