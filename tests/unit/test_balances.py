"""What balances should be: intervals, rounding, estimates, and that nothing is lost or made in any order of events."""

from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay.domain.account import Account, Position
from belay.domain.balances import Difference, differences, in_use, rounded_now, unopened
from belay.domain.chain import Anchor, History, Stored, flaw
from belay.domain.decisions import Side
from belay.domain.errors import IllegalTransition
from belay.domain.flows import FlowKind
from belay.domain.orders import Order, OrderState
from belay.domain.proofs import Proof
from belay.domain.record import ZERO
from belay.domain.transitions import Change, accept_fees, correct_fee, record_fill, release
from belay.domain.venues import Balances, VenueTrade
from tests.builders import (
    NOW,
    STRATEGY,
    SYMBOL,
    make_account,
    make_claim,
    make_decision,
    make_document,
    make_events,
    make_flow,
    make_order,
    make_proof,
    make_reservation,
    make_stamp,
    make_trade,
)

D = Decimal


def amounts(**given: str) -> dict[str, Decimal]:
    return {asset: D(amount) for asset, amount in given.items()}


def opened(**opening: str) -> Account:
    return make_account(opening=amounts(**opening), opened_at=NOW)


def held(decimals: dict[str, int] | None = None, **total: str) -> Balances:
    return Balances(total=amounts(**total), at=NOW, decimals=decimals or {})


def difference(account: Account, balances: Balances, asset: str = "USD", **more: Any) -> Difference:
    document = more.pop("document", make_document())
    return differences(account, document, more.pop("last", None), balances, **more)[asset]


def filled(account: Account, *trades: VenueTrade) -> Account:
    for trade in trades:
        account = account.with_fill(STRATEGY, "order", trade)
    return account


# --- which assets ----------------------------------------------------------------------------------------------------


def test_assets_in_use_are_those_of_symbols_positions_orders_and_fees() -> None:
    account = make_account(
        positions={STRATEGY: {"ETH/USD": Position(quantity=D(1)), "SOL/USD": Position()}},
        traded={"BNB": D("-0.1")},
        reservations={"r": make_reservation(symbol="ADA/USD")},
    )
    assert in_use(account, make_document()) == {"USD", "BTC", "ETH", "BNB", "ADA"}


def test_what_is_retired_is_in_use_no_longer() -> None:
    traded = {"ETH": D(1), "USD": D(-1)}
    assert in_use(make_account(traded=traded, retired=("ETH/USD",)), make_document()) == {"USD", "BTC"}
    both = make_document(symbols=(SYMBOL, "ETH/USD"))
    assert in_use(make_account(traded=traded, retired=("ETH/USD",)), both) == {"USD", "BTC"}


def test_what_is_retired_and_held_or_ordered_again_is_in_use() -> None:
    retired = make_account(traded={"USD": Decimal(1)}, retired=("ETH/USD",))
    held = retired.bumped(positions={STRATEGY: {"ETH/USD": Position(quantity=Decimal(1))}})
    ordered = retired.bumped(reservations={"o": make_reservation(symbol="ETH/USD")})
    assert "ETH" not in in_use(retired, make_document())
    assert "ETH" in in_use(held, make_document())
    assert "ETH" in in_use(ordered, make_document())


def test_an_asset_that_nothing_uses_is_not_compared() -> None:
    account = opened(USD="10", BTC="0", DOGE="5")
    assert differences(account, make_document(), None, held(USD="10")).keys() == {"USD", "BTC"}


def test_an_asset_in_use_that_was_never_opened_is_not_compared_but_named() -> None:
    account = filled(opened(USD="10000", BTC="0"), make_trade(fees=amounts(BNB="0.1")))
    assert "BNB" not in differences(account, make_document(), None, held(USD="9000", BTC="0.1", BNB="4"))
    assert unopened(account, make_document()) == {"BNB"}
    assert unopened(make_account(), make_document()) == frozenset()


def test_r10_a_fee_in_a_third_asset_is_expected_from_what_was_there_at_the_opening() -> None:
    account = filled(opened(USD="10000", BTC="0", BNB="1.5"), make_trade(fees=amounts(BNB="0.00775001")))
    found = difference(account, held(USD="9000", BTC="0.1", BNB="1.49224999"), "BNB")
    assert (found.expected, found.residual) == (D("1.49224999"), ZERO)


def test_r13_what_a_trade_moved_is_the_venues_own_amount() -> None:
    account = filled(opened(USD="10000", BTC="0"), make_trade(price="10000.01", cost="1000", fees={}))
    assert difference(account, held(USD="9000")).residual == 0
    assert account.position(STRATEGY, SYMBOL).cost == 1000


# --- rounding --------------------------------------------------------------------------------------------------------

KRAKEN = {"USD": 4, "BTC": 10}


def test_r11_rounding_of_a_wallet_is_accepted_within_half_a_unit_by_booking() -> None:
    trade = make_trade(quantity="0.1", price="10000", cost="1000.9014743730", fees=amounts(USD="0.1"))
    account = filled(opened(USD="99999.9999999", BTC="0"), trade)
    expected = account.expected_balances()["USD"]
    for off, explained in (("0.0001", True), ("-0.0001", True), ("0.000101", False), ("-0.000101", False)):
        balances = Balances(total={"USD": expected + D(off)}, at=NOW, decimals=KRAKEN)
        assert difference(account, balances).explained is explained, off


def test_r11_the_values_that_were_seen() -> None:
    trade = make_trade(price="10000", cost="1000", fees=amounts(USD="1.0014743730"))
    account = filled(opened(USD="100000", BTC="0"), trade)
    found = difference(account, held(KRAKEN, USD="98998.9985", BTC="0.1"))
    assert (found.expected, found.explained, found.taken_in) == (D("98998.9985256270"), True, D("-0.0000256270"))


def test_without_a_booking_there_is_no_rounding() -> None:
    assert not difference(opened(USD="100", BTC="0"), held(KRAKEN, USD="99.99995")).explained


def test_an_asset_whose_decimals_are_not_known_must_match() -> None:
    account = filled(opened(USD="10000", BTC="0"), make_trade())
    assert not difference(account, held(USD="8998.99999")).explained
    tolerant = make_document(balance_tolerance={"USD": "0.00001"})
    assert difference(account, held(USD="8998.99999"), document=tolerant).explained


def test_a_trade_that_is_about_to_be_counted_is_a_booking_too() -> None:
    account = opened(USD="10000", BTC="0")
    found = difference(account, held(KRAKEN, USD="8999.0001"), uncounted=[make_trade()])
    assert (found.residual, found.explained) == (D("0.0001"), True)


def proof_of(account: Account, balances: Balances, last: Proof | None, **more: Any) -> Proof:
    found = differences(account, make_document(), last, balances, **more)
    rounding, bookings = rounded_now(found, last)
    return make_proof(rounding=rounding, bookings=bookings)


def test_what_is_taken_in_once_is_expected_from_then_on() -> None:
    account = filled(opened(USD="10000", BTC="0"), make_trade())
    balances = held(KRAKEN, USD="8999.0001", BTC="0.1")
    proof = proof_of(account, balances, None)
    assert (proof.rounding, proof.bookings) == ({"USD": D("0.0001")}, {"BTC": 1, "USD": 2})
    after = difference(account, balances, last=proof)
    assert (after.residual, after.rounding.still) == (ZERO, True)
    leaking = difference(account, held(KRAKEN, USD="8999.0002", BTC="0.1"), last=proof)
    assert not leaking.explained


def test_nothing_is_taken_in_while_something_moves_and_its_bookings_count_later() -> None:
    moving = filled(opened(USD="10000", BTC="0"), make_trade()).bumped(reservations={"r": make_reservation()})
    balances = held(KRAKEN, USD="8999.0001", BTC="0.1")
    proof = proof_of(moving, balances, None)
    assert (proof.rounding, proof.bookings) == ({}, {})
    still = moving.bumped(reservations={})
    assert difference(still, balances, last=proof).explained
    assert proof_of(still, balances, proof).rounding == {"USD": D("0.0001")}


def test_over_its_life_an_account_takes_in_no_more_than_all_its_bookings_allow() -> None:
    """Decimals that grew: what was taken in before leaves no room for more in its direction."""
    account = filled(opened(USD="10000", BTC="0"), *(make_trade(f"T{n}", fees={}) for n in range(3)))
    last = make_proof(rounding=amounts(USD="0.00015"), bookings={"USD": 2})
    found = difference(account, held({"USD": 4}, USD="7000.00016"), last=last)
    assert (found.residual, found.explained) == (D("0.00001"), False)
    assert difference(account, held({"USD": 4}, USD="7000.0001"), last=last).explained


def test_a_tolerance_is_not_taken_for_rounding() -> None:
    account = filled(opened(USD="10000", BTC="0"), make_trade())
    document = make_document(balance_tolerance={"USD": "1"})
    found = differences(account, document, None, held(KRAKEN, USD="8999.5", BTC="0.1"))
    assert found["USD"].explained
    assert rounded_now(found, None)[0] == {"USD": D("0.0001")}


# --- estimated fees --------------------------------------------------------------------------------------------------


def estimated(trade_id: str = "T1", **changes: Any) -> VenueTrade:
    return make_trade(trade_id, **{"fees": {"USD": "2.6"}, "estimated": True, **changes})


@pytest.mark.parametrize(
    ("usd", "btc", "explained"),
    [
        ("8997.4", "0.1", True),  # as estimated
        ("9000", "0.1", True),  # no fee, or one in a credit
        ("8994.8", "0.1", True),  # twice as much
        ("8994.79", "0.1", False),
        ("9000", "0.09974", True),  # in base
        ("9000", "0.09948", True),
        ("9000", "0.09947", False),
        ("9000.01", "0.1", False),
        ("8997.4", "0.10001", False),
    ],
)
def test_an_estimated_fee_is_an_interval_in_quote_and_base(usd: str, btc: str, explained: bool) -> None:
    account = opened(USD="10000", BTC="0")
    found = differences(account, make_document(), None, held(USD=usd, BTC=btc), [estimated()])
    assert all(each.explained for each in found.values()) is explained


def sent(account: Account | None = None) -> tuple[Order, Account]:
    claimed = make_claim(make_order(), account or opened(USD="10000", BTC="0"))
    assert claimed.account is not None
    return claimed.order, claimed.account


def after(change: Change | None) -> tuple[Order, Account]:
    assert change is not None
    assert change.account is not None
    return change.order, change.account


TRUE_FEES: list[dict[str, str]] = [{"USD": "2.61"}, {"BTC": "0.00026"}, {"KFEE": "260"}, {"USD": "-0.1"}, {}]


@pytest.mark.parametrize("true", TRUE_FEES, ids=str)
def test_a_corrected_fee_is_as_if_it_had_been_counted_at_first(true: dict[str, str]) -> None:
    fees = amounts(**true)
    order, account = sent()
    order, account = after(record_fill(order, account, estimated(), make_stamp("w1")))
    assert order.estimated == (estimated().key,)
    order, account = after(correct_fee(order, account, estimated(), fees, make_stamp("w2")))
    at_first, booked = sent()
    known = make_trade(fees=true)
    at_first, booked = after(record_fill(at_first, booked, known, make_stamp("w1")))
    assert order.estimated == ()
    assert order.fees == {asset: fee for asset, fee in at_first.fees.items() if fee}
    assert account.positions == booked.positions
    assert {a: v for a, v in account.traded.items() if v} == {a: v for a, v in booked.traded.items() if v}
    assert all(account.bookings[asset] >= count for asset, count in booked.bookings.items())


def test_a_fee_is_corrected_once_and_only_where_it_was_estimated() -> None:
    order, account = sent()
    order, account = after(record_fill(order, account, estimated(), make_stamp("w1")))
    order, account = after(correct_fee(order, account, estimated(), amounts(USD="1"), make_stamp("w2")))
    assert correct_fee(order, account, estimated(), amounts(USD="5"), make_stamp("w3")) is None
    assert accept_fees(order, make_stamp("w3"), {}) is None


def test_a_correction_is_part_of_the_story_and_the_sums_still_add_up() -> None:
    record = make_decision()
    order = make_order(record)
    events = [*make_events(record, (order,))]
    claimed = make_claim(order, opened(USD="10000", BTC="0"))
    order, account, events = claimed.order, claimed.account, [*events, claimed.event]
    assert account is not None
    fill = record_fill(order, account, estimated(), make_stamp("w1"))
    order, account = after(fill)
    change = correct_fee(order, account, estimated(), amounts(BTC="0.00026"), make_stamp("w2"))
    assert change is not None
    counted = fill.fill
    assert counted is not None

    def told(order: Order) -> str:
        return flaw(
            History(
                order=Stored(order, order.bare_digest),
                decision=Stored(record, record.digest),
                events=tuple(Stored(event, event.digest) for event in (*events, fill.event, change.event)),
                fills=(Stored(counted, counted.digest),),
                anchor=Anchor.of(order),
                acceptance=None,
            )
        )

    assert told(change.order) == ""
    forged = change.order.model_copy(update={"fees": amounts(BTC="0.1")})
    assert told(forged) != ""


# --- conservation ----------------------------------------------------------------------------------------------------

CENT = D("0.0001")
FEES = st.sampled_from(["quote", "base", "token", "rebate", "none"])
TRADES = st.tuples(
    st.sampled_from(Side),
    st.integers(1, 10**6).map(lambda n: D(n) / 10**6),
    st.integers(1, 10**7).map(lambda n: D(n) / 100),
    st.integers(-5, 5),
    FEES,
    FEES,
    st.booleans(),
)
FLOWS = st.tuples(st.sampled_from(["USD", "BTC", "BNB"]), st.integers(-(10**6), 10**6).map(lambda n: D(n) / 10**4))
EVENTS = st.lists(st.one_of(TRADES, FLOWS), max_size=12)


def fees_of(kind: str, cost: Decimal, quantity: Decimal) -> dict[str, Decimal]:
    return {
        "quote": {"USD": (cost * D("0.0026")).quantize(D("1e-8"))},
        "base": {"BTC": (quantity * D("0.001")).quantize(D("1e-10"))},
        "token": {"BNB": (cost * D("0.00075") / 300).quantize(D("1e-8"))},
        "rebate": {"USD": -(cost * D("0.0001")).quantize(D("1e-8"))},
        "none": {},
    }[kind]


DECIMALS = {"USD": 4, "BTC": 6, "BNB": 5}


class Venue:
    """Wallets that keep so many decimals, each amount booked half even; an account that counts what it is told."""

    def __init__(self) -> None:
        self.wallet = amounts(USD="100000", BTC="10", BNB="5")
        self.account = opened(USD="100000", BTC="10", BNB="5")
        self.last: Proof | None = None
        self.paid = ZERO
        self.owed: list[tuple[VenueTrade, dict[str, Decimal]]] = []
        self._numbers = count(1)

    def book(self, asset: str, amount: Decimal) -> None:
        self.wallet[asset] += amount.quantize(D(1).scaleb(-DECIMALS[asset]), rounding=ROUND_HALF_EVEN)

    def move(self, asset: str, amount: Decimal) -> None:
        self.wallet[asset] += amount
        flow = make_flow(f"deposit:{next(self._numbers)}", **{asset: str(amount)})
        self.account = self.account.with_flow(flow)

    def trade(self, side: Side, quantity: Decimal, price: Decimal, off: int, told: str, true: str, wrong: bool) -> None:
        """The venue's cost is not price times quantity; a fee that is told wrong is corrected later."""
        cost = abs((quantity * price).quantize(CENT) + off * CENT)
        fees = fees_of(true, cost, quantity)
        trade = make_trade(
            f"T{next(self._numbers)}",
            side=side,
            quantity=quantity,
            price=price,
            cost=cost,
            fees=fees_of(told, cost, quantity) if wrong else fees,
            estimated=wrong,
        )
        sign = 1 if side is Side.BUY else -1
        for asset, amount in (("BTC", sign * quantity), ("USD", -sign * cost), *((a, -fee) for a, fee in fees.items())):
            self.book(asset, amount)
        self.paid += sign * cost + fees.get("USD", ZERO)
        self.account = self.account.with_fill(STRATEGY, "o", trade)
        self.owed += [(trade, fees)] if wrong else []

    def correct(self, number: int) -> None:
        trade, fees = self.owed.pop(number)
        self.account = self.account.with_fee(STRATEGY, trade, trade.model_copy(update={"fees": fees}))

    def prove(self) -> Proof:
        balances = Balances(total=self.wallet, at=NOW, decimals=DECIMALS)
        found = differences(self.account, make_document(), self.last, balances)
        assert all(each.explained for each in found.values()), found
        rounding, bookings = rounded_now(found, self.last)
        self.last = make_proof(rounding=rounding, bookings=bookings)
        return self.last


@settings(max_examples=150, deadline=None)
@given(events=EVENTS, data=st.data())
def test_opening_fills_flows_and_recorded_rounding_are_the_venues_balances(events: list[Any], data: Any) -> None:
    """To the last digit, whenever fees are corrected, flows arrive and proofs are stored."""
    venue = Venue()
    for event in events:
        (venue.move if len(event) == 2 else venue.trade)(*event)
        while venue.owed and data.draw(st.booleans()):
            venue.correct(data.draw(st.integers(0, len(venue.owed) - 1)))
        if not venue.owed and data.draw(st.booleans()):
            venue.prove()
    while venue.owed:
        venue.correct(0)
    rounding, expected = venue.prove().rounding, venue.account.expected_balances()
    for asset, balance in venue.wallet.items():
        assert expected[asset] + rounding.get(asset, ZERO) == balance
        most = D(5).scaleb(-DECIMALS[asset] - 1) * venue.account.bookings.get(asset, 0)
        assert abs(rounding.get(asset, ZERO)) <= most
    position = venue.account.position(STRATEGY, SYMBOL)
    assert abs(position.cost - position.realised_pnl - venue.paid) < D("1e-15")


@settings(max_examples=100, deadline=None)
@given(flows=st.lists(FLOWS, max_size=6), trades=st.lists(TRADES, max_size=4))
def test_flows_are_never_profit_and_their_order_does_not_matter(flows: list[Any], trades: list[Any]) -> None:
    made = [make_trade(f"T{n}", side=t[0], quantity=t[1], price=t[2]) for n, t in enumerate(trades)]
    moved = [make_flow(f"f:{n}", **{asset: str(amount)}) for n, (asset, amount) in enumerate(flows)]
    account = filled(opened(USD="1", BTC="1"), *made)
    before = account.positions
    first, last = account, opened(USD="1", BTC="1")
    for flow in moved:
        first = first.with_flow(flow)
    for flow in reversed(moved):
        last = last.with_flow(flow)
    assert first.positions == before
    assert first.expected_balances() == filled(last, *made).expected_balances()


def test_what_an_asset_held_before_it_was_used_belongs_to_the_opening() -> None:
    entering = make_flow("opening:ETH", ETH="3").model_copy(update={"kind": FlowKind.OPENING})
    account = opened(USD="1", BTC="0").with_flow(entering)
    assert account.opening == amounts(USD="1", BTC="0", ETH="3")
    assert account.external == {}
    assert account.unowned("ETH") == 3


def test_an_order_at_the_venue_with_estimates_is_not_released() -> None:
    order, account = sent()
    order, account = after(record_fill(order, account, estimated(), make_stamp("w1")))
    assert (order.state, order.explained) == (OrderState.FILLED, True)
    with pytest.raises(IllegalTransition):
        release(order, account, make_stamp("w2"), "settled")
    accepted = accept_fees(order, make_stamp("w3"), {"resolution": "as estimated"})
    assert accepted is not None
    assert release(accepted.order, account, make_stamp("w4"), "settled").order.settled


# --- orders at the venue ---------------------------------------------------------------------------------------------


def reserved(**changes: Any) -> Account:
    return opened(USD="10000", BTC="1").bumped(reservations={"r1": make_reservation(**changes)})


@pytest.mark.parametrize(
    ("filling", "usd", "explained"),
    [
        (None, "9000", True),  # not known: it may have filled in full
        (None, "8999", False),
        ({"r1": "0"}, "9000", False),  # the venue shows it, and nothing of it is filled
        ({"r1": "0"}, "10000", True),
        ({"r1": "0.04"}, "9600", True),
        ({"r1": "0.04"}, "9599", False),
    ],
)
def test_an_order_explains_no_more_than_the_venue_shows_as_filled(filling: Any, usd: str, explained: bool) -> None:
    shown = filling and {order_id: D(quantity) for order_id, quantity in filling.items()}
    assert difference(reserved(), held(USD=usd, BTC="1"), filling=shown).explained is explained


def test_an_exit_without_a_limit_upward_explains_nothing_while_it_rests() -> None:
    account = reserved(side=Side.SELL, reducing=True)
    more = held(USD="10500", BTC="1")
    assert difference(account, more).explained
    assert not difference(account, more).explained_at_rest
    assert not difference(account, more, filling={"r1": ZERO}).explained


def test_rounding_is_not_taken_in_beside_an_order_that_may_fill() -> None:
    found = differences(reserved(), make_document(), None, held(USD="10000", BTC="1"), filling={"r1": ZERO})
    assert not found["USD"].quiet
    assert found["USD"].moving.still
