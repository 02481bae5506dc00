"""Ledger against venue: what is a repair, what is a mismatch, and that repairing once is enough."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.domain.account import Account
from belay.domain.balances import WORST_FILL
from belay.domain.decisions import Side
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.reconciliation import (
    Filled,
    Finding,
    LedgerView,
    Mismatch,
    Observed,
    Unattributed,
    VenueView,
    reconcile,
    residuals,
)
from belay.domain.transitions import observe, record_fill
from belay.domain.venues import Balances, VenueOrder, VenueStatus, VenueTrade
from tests.builders import (
    NOW,
    QUANTITY,
    SYMBOL,
    make_account,
    make_claim,
    make_decision,
    make_document,
    make_order,
    make_reservation,
    make_slot,
    make_stamp,
    make_trade,
    make_venue_order,
    seconds,
)

S = OrderState
KIND = IncidentKind
STAMP = make_stamp("repair")
OPENING = {"USD": Decimal(10_000), "BTC": Decimal(0)}


def claimed(hour: int = 0, **changes: Any) -> Order:
    order = make_claim(make_order(make_decision(slot=make_slot(hour)))).order
    return order.model_copy(update=changes)


def ledger(*orders: Order, account: Account | None = None, recorded: Iterable[str] = (), **document: Any) -> LedgerView:
    account = account or make_account(opening=OPENING, opened_at=NOW)
    return LedgerView(
        account=account,
        document=make_document(**document),
        orders={order.order_id: order for order in orders},
        by_venue_id={(o.symbol, venue_id): o.order_id for o in orders for venue_id in o.venue_order_ids},
        recorded_trades=frozenset(recorded),
    )


def venue(
    *open_orders: VenueOrder,
    lookups: dict[str, VenueOrder | None] | None = None,
    trades: Iterable[VenueTrade] = (),
    **total: str,
) -> VenueView:
    held = {asset: Decimal(amount) for asset, amount in (total or {"USD": "10000"}).items()}
    return VenueView(
        time=NOW + seconds(60),
        open_orders=open_orders,
        lookups=lookups or {},
        trades=tuple(trades),
        balances=Balances(total=held, at=NOW + seconds(60)),
    )


def mismatches(findings: Iterable[Finding]) -> list[IncidentKind]:
    return [finding.kind for finding in findings if isinstance(finding, Mismatch)]


# --- orders -----------------------------------------------------------------------------------------------------------


def test_a_ledger_that_agrees_with_the_venue_has_no_findings() -> None:
    assert reconcile(ledger(), venue()) == ()


def test_an_order_of_ours_at_the_venue_is_attached_by_its_client_order_id() -> None:
    order = claimed()
    seen = make_venue_order(order)
    assert reconcile(ledger(order), venue(seen)) == (Observed(order_id=order.order_id, seen=seen),)


def test_an_order_is_recognised_by_its_venue_id_where_the_venue_gives_no_client_id() -> None:
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    seen = make_venue_order(order, client_order_id=None, filled_quantity="0.04")
    assert reconcile(ledger(order), venue(seen)) == (Observed(order_id=order.order_id, seen=seen),)


def test_venue_ids_that_repeat_across_symbols_are_not_confused() -> None:
    """Corpus 58."""
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    seen = make_venue_order(order, client_order_id=None, symbol="ETH/USD")
    assert mismatches(reconcile(ledger(order), venue(seen))) == [KIND.UNKNOWN_VENUE_ORDER]


def test_an_open_order_that_nobody_knows_is_a_mismatch() -> None:
    """hummingbot #3374, OctoBot #1333, freqtrade #11608: sweep what you do not know."""
    (found,) = reconcile(ledger(), venue(make_venue_order(client_order_id="someone")))
    assert isinstance(found, Mismatch)
    assert (found.kind, found.subject, found.symbol) == (KIND.UNKNOWN_VENUE_ORDER, f"{SYMBOL}:V1", SYMBOL)
    assert found.action


@pytest.mark.parametrize("difference", [{"quantity": "0.2"}, {"side": Side.SELL}, {"limit_price": "1"}])
def test_an_order_with_our_id_that_is_not_what_we_sent_is_not_attached(difference: dict[str, Any]) -> None:
    order = claimed()
    found = reconcile(ledger(order), venue(make_venue_order(order, **difference)))
    assert mismatches(found) == [KIND.ORDER_MISMATCH]
    assert not any(isinstance(finding, Observed) for finding in found)


@pytest.mark.parametrize("state", [S.CREATED, S.DENIED, S.LAPSED])
def test_a_venue_order_of_an_intent_that_was_never_sent_is_a_mismatch(state: OrderState) -> None:
    """Corpus 60: the table was restored to an hour ago."""
    order = make_order().model_copy(update={"state": state})
    assert mismatches(reconcile(ledger(order), venue(make_venue_order(order)))) == [KIND.ORDER_MISMATCH]


def test_two_venue_orders_of_one_order_id_are_an_incident() -> None:
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    found = reconcile(ledger(order), venue(make_venue_order(order, venue_order_id="V2")))
    assert mismatches(found) == [KIND.DUPLICATE_VENUE_ORDER]


@pytest.mark.parametrize("state", [S.SUBMITTED, S.UNKNOWN, S.REJECTED, S.NOT_SENT])
def test_a_miss_of_an_order_whose_outcome_is_open_proves_nothing_by_itself(state: OrderState) -> None:
    """ccxt #2599, freqtrade #4403: not found just after creation. The reconciler judges misses over time."""
    order = claimed(state=state)
    assert reconcile(ledger(order), venue(lookups={order.order_id: None})) == ()


@pytest.mark.parametrize("state", [S.ACKNOWLEDGED, S.PARTIALLY_FILLED])
def test_an_order_that_was_at_work_and_is_gone_is_a_mismatch_and_not_a_cancel(state: OrderState) -> None:
    """freqtrade #11461, nautilus_trader #5000: a working order is not dropped because it is not found."""
    order = claimed(state=state, venue_order_ids=("V1",))
    assert mismatches(reconcile(ledger(order), venue(lookups={order.order_id: None}))) == [KIND.MISSING_ORDER]


@pytest.mark.parametrize("state", [S.CANCELLED, S.EXPIRED, S.FILLED])
def test_a_finished_order_may_be_forgotten_by_the_venue(state: OrderState) -> None:
    """nautilus_trader #3104: history that is older than the venue keeps."""
    order = claimed(state=state, venue_order_ids=("V1",))
    assert reconcile(ledger(order), venue(lookups={order.order_id: None})) == ()


def test_a_venue_that_lags_behind_our_fills_is_no_news() -> None:
    order = claimed(state=S.FILLED, venue_order_ids=("V1",), venue_filled=QUANTITY, filled_quantity=QUANTITY)
    assert reconcile(ledger(order), venue(make_venue_order(order, filled_quantity="0.04"))) == ()


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"filled_quantity": "0.04"}, True), ({}, True), ({"status": VenueStatus.REJECTED}, False)],
    ids=["filled", "open", "rejected"],
)
def test_an_order_that_was_believed_absent_and_is_at_the_venue_proves_the_proof_wrong(
    changes: dict[str, Any], wrong: bool
) -> None:
    order = claimed(state=S.NOT_SENT)
    kinds = mismatches(reconcile(ledger(order), venue(make_venue_order(order, **changes))))
    assert (KIND.WRONG_ABSENCE_PROOF in kinds) is wrong


# --- trades -----------------------------------------------------------------------------------------------------------


def test_a_trade_of_ours_that_is_not_counted_is_a_fill_and_explains_the_balances() -> None:
    """Lean.Brokerages.InteractiveBrokers #249: fills during a disconnect were never recovered."""
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    trade = make_trade()
    found = reconcile(ledger(order), venue(trades=[trade], USD="8999", BTC="0.1"))
    assert found == (Filled(order_id=order.order_id, trade=trade),)


def test_a_counted_trade_is_not_found_again_and_a_doubled_one_is_found_once() -> None:
    """hummingbot #3317, nautilus_trader #3046."""
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    old, new = make_trade("T1", quantity="0.06"), make_trade("T2", quantity="0.04")
    view = ledger(order.model_copy(update={"filled_quantity": Decimal("0.06")}), recorded=[old.key])
    found = reconcile(view, venue(trades=[old, new, new], USD="9599", BTC="0.04"))
    assert found == (Filled(order_id=order.order_id, trade=new),)


def test_trade_ids_that_repeat_across_symbols_are_two_trades() -> None:
    """hummingbot #3317, corpus 58: trade ids are unique within a market at most."""
    assert make_trade("1").key != make_trade("1", symbol="ETH/USD").key
    assert make_trade("1").key != make_trade("1", venue_order_id="V2").key
    assert make_trade("1").key != make_trade("1", side=Side.SELL).key


def test_a_fill_before_the_acknowledgement_is_attributed_by_the_clients_id() -> None:
    """Corpus 56."""
    order = claimed()
    trade = make_trade(client_order_id=order.order_id)
    found = reconcile(ledger(order), venue(trades=[trade], USD="8999", BTC="0.1"))
    assert found == (Filled(order_id=order.order_id, trade=trade),)


@pytest.mark.parametrize("trade", [make_trade(), make_trade(client_order_id="someone")])
def test_a_trade_that_matches_no_order_is_kept_and_never_made_a_fill(trade: VenueTrade) -> None:
    """nautilus_trader #4736: a restart invented a fill."""
    found = reconcile(ledger(), venue(trades=[trade]))
    assert found[0] == Unattributed(trade=trade)
    assert mismatches(found) == [KIND.UNATTRIBUTED_TRADE]


@pytest.mark.parametrize("difference", [{"side": Side.SELL}, {"symbol": "ETH/USD"}])
def test_a_trade_of_another_side_or_symbol_does_not_fill_our_order(difference: dict[str, Any]) -> None:
    order = claimed()
    trade = make_trade(client_order_id=order.order_id, **difference)
    found = reconcile(ledger(order), venue(trades=[trade]))
    assert found[0] == Unattributed(trade=trade)
    assert not any(isinstance(finding, Filled) for finding in found)


def test_a_trade_of_an_intent_that_was_never_sent_hides_no_balance() -> None:
    order = make_order().model_copy(update={"state": S.DENIED})
    trade = make_trade(client_order_id=order.order_id)
    found = reconcile(ledger(order), venue(trades=[trade], USD="8999", BTC="0.1"))
    assert mismatches(found) == [KIND.UNATTRIBUTED_TRADE, KIND.BALANCE_MISMATCH, KIND.BALANCE_MISMATCH]


def test_more_than_was_asked_is_an_overfill_and_still_counts() -> None:
    order = claimed(state=S.PARTIALLY_FILLED, venue_order_ids=("V1",), filled_quantity=Decimal("0.06"))
    exact, more = make_trade(quantity="0.04"), make_trade(quantity="0.0401")
    assert mismatches(reconcile(ledger(order), venue(trades=[exact], USD="9599", BTC="0.04"))) == []
    found = reconcile(ledger(order), venue(trades=[more], USD="9598", BTC="0.0401"))
    assert mismatches(found) == [KIND.OVERFILL]
    assert Filled(order_id=order.order_id, trade=more) in found


def test_a_fill_of_an_order_proven_absent_is_an_incident_for_the_whole_account() -> None:
    order = claimed(state=S.NOT_SENT)
    found = reconcile(ledger(order), venue(trades=[make_trade(client_order_id=order.order_id)], USD="8999", BTC="0.1"))
    wrong = [f for f in found if isinstance(f, Mismatch)]
    assert [(f.kind, f.symbol) for f in wrong] == [(KIND.WRONG_ABSENCE_PROOF, None)]


# --- balances ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("usd", "found"), [("10000.5", 0), ("9999.5", 0), ("10000.51", 1), ("9999.49", 1)])
def test_a_residual_counts_beyond_the_tolerance_only(usd: str, found: int) -> None:
    differing = reconcile(ledger(balance_tolerance={"USD": "0.5"}), venue(USD=usd))
    assert mismatches(differing) == [KIND.BALANCE_MISMATCH] * found


def test_an_asset_without_a_tolerance_must_match_and_a_missing_one_is_zero() -> None:
    assert mismatches(reconcile(ledger(), venue(USD="10000", BTC="1E-8"))) == [KIND.BALANCE_MISMATCH]
    assert reconcile(ledger(), venue(USD="10000")) == ()


def test_nothing_is_compared_before_the_opening_balances_are_known() -> None:
    assert reconcile(ledger(account=make_account()), venue(USD="77")) == ()


def test_a_fee_in_a_third_asset_is_expected_to_leave_its_balance() -> None:
    """LEAN #6123: fees net per asset."""
    account = make_account(opening={**OPENING, "BNB": Decimal(1)}).with_fill("s", "r1", make_trade(fees={"BNB": "0.5"}))
    assert reconcile(ledger(account=account), venue(USD="9000", BTC="0.1", BNB="0.5")) == ()
    assert mismatches(reconcile(ledger(account=account), venue(USD="9000", BTC="0.1", BNB="1"))) == [
        KIND.BALANCE_MISMATCH
    ]


@pytest.mark.parametrize(
    ("total", "clean"),
    [
        ({"USD": "10000", "BTC": "0"}, True),
        ({"USD": "9000", "BTC": "0.1"}, True),
        ({"USD": "8999.99", "BTC": "0.1"}, False),
        ({"USD": "9000", "BTC": "0.1001"}, False),
        ({"USD": "10000.01", "BTC": "0"}, False),
        ({"USD": "10000", "BTC": "-0.0001"}, False),
    ],
)
def test_an_open_buy_may_move_the_balances_as_far_as_it_may_fill(total: dict[str, Any], clean: bool) -> None:
    account = make_account(opening=OPENING, reservations={"r1": make_reservation("r1")})
    assert (reconcile(ledger(account=account), venue(**total)) == ()) is clean


def test_an_open_sell_explains_at_most_its_quantity_and_twice_what_it_was_valued_at() -> None:
    opening = {"USD": Decimal(0), "BTC": Decimal(1)}
    sell = make_reservation("r1", side=Side.SELL, reducing=True)
    account = make_account(opening=opening, reservations={"r1": sell})
    most = WORST_FILL * sell.notional
    assert reconcile(ledger(account=account), venue(USD=f"{most}", BTC="0.9")) == ()
    assert mismatches(reconcile(ledger(account=account), venue(USD=f"{most + 1}", BTC="0.9"))) == [
        KIND.BALANCE_MISMATCH
    ]
    assert mismatches(reconcile(ledger(account=account), venue(USD="1", BTC="0.8"))) == [KIND.BALANCE_MISMATCH]
    done = account.model_copy(update={"reservations": {"r1": sell.model_copy(update={"quantity": Decimal(0)})}})
    assert mismatches(reconcile(ledger(account=done), venue(USD="1", BTC="1"))) == [KIND.BALANCE_MISMATCH]


def test_an_open_buy_at_market_explains_at_most_its_quantity_and_twice_what_it_was_valued_at() -> None:
    buy = make_reservation("r1", at_market=True)
    account = make_account(opening=OPENING, reservations={"r1": buy})
    least = OPENING["USD"] - WORST_FILL * buy.notional
    assert reconcile(ledger(account=account), venue(USD=f"{least}", BTC="0.1")) == ()
    assert mismatches(reconcile(ledger(account=account), venue(USD=f"{least - 1}"))) == [KIND.BALANCE_MISMATCH]
    assert mismatches(reconcile(ledger(account=account), venue(USD="9500", BTC="0.2"))) == [KIND.BALANCE_MISMATCH]
    done = account.model_copy(update={"reservations": {"r1": buy.model_copy(update={"quantity": Decimal(0)})}})
    assert mismatches(reconcile(ledger(account=done), venue(USD="5000"))) == [KIND.BALANCE_MISMATCH]


def test_residuals_are_what_the_venue_holds_beyond_what_is_explained() -> None:
    order = claimed(state=S.ACKNOWLEDGED, venue_order_ids=("V1",))
    view = venue(trades=[make_trade(), make_trade()], USD="9000", BTC="0.1")
    assert residuals(ledger(order), view) == {"BTC": 0, "USD": 1}


def test_a_mismatch_becomes_an_incident_that_is_the_same_every_time() -> None:
    (found,) = reconcile(ledger(), venue(USD="9990"))
    assert isinstance(found, Mismatch)
    one, two = found.incident("paper", NOW), found.incident("paper", NOW + seconds(60))
    assert one.incident_id == two.incident_id == found.key == "balance_mismatch:USD"
    assert (one.expected, one.actual) == ("10000 USD", "9990 USD")


# --- any venue at all -------------------------------------------------------------------------------------------------

STATES = st.sampled_from(sorted(set(S) - {S.CREATED, S.DENIED, S.LAPSED}))
SIGHTS = st.tuples(
    st.sampled_from(VenueStatus), st.sampled_from(["0", "0.04", "0.1"]), st.sampled_from(["V1", "V2"]), st.booleans()
)
TRADE_IDS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["0.01", "0.04", "0.1"])), max_size=5)


def shown_as(
    order: Order, trades: list[VenueTrade], status: VenueStatus, filled: str, venue_id: str, named: bool
) -> VenueOrder:
    """The order as a venue shows it that agrees with its own trades."""
    traded = sum((trade.quantity for trade in trades if trade.client_order_id == order.order_id), Decimal(0))
    return make_venue_order(
        order,
        status=status,
        filled_quantity=max(Decimal(filled), traded),
        venue_order_id=f"{venue_id}.{order.order_id}",
        client_order_id=order.order_id if named else None,
    )


def repaired(view: LedgerView, findings: Iterable[Finding]) -> LedgerView:
    """The ledger after every automatic repair, as the workflow commits them one by one."""
    orders, account, recorded = dict(view.orders), view.account, set(view.recorded_trades)
    for finding in findings:
        if isinstance(finding, Observed):
            change = observe(orders[finding.order_id], account, finding.seen, "seen", STAMP)
        elif isinstance(finding, Filled):
            assert finding.trade.key not in recorded
            recorded.add(finding.trade.key)
            change = record_fill(orders[finding.order_id], account, finding.trade, STAMP)
        else:
            continue
        if change is not None:
            orders[finding.order_id], account = change.order, change.account or account
    return ledger(*orders.values(), account=account, recorded=recorded)


@given(st.data(), st.lists(STATES, min_size=2, max_size=2))
def test_repairing_once_is_enough_and_the_order_of_trades_makes_no_difference(
    data: st.DataObject, states: list[OrderState]
) -> None:
    """Corpus 54: two reconcilers, repeated runs, shuffled and doubled reports."""
    orders = [claimed(hour, state=state) for hour, state in enumerate(states)]
    trades = [
        make_trade(f"T{number}", quantity=quantity, client_order_id=orders[which].order_id)
        for number, (which, quantity) in enumerate(data.draw(TRADE_IDS))
    ]
    sights = [data.draw(st.none() | SIGHTS) for _ in orders]
    shown = [shown_as(order, trades, *sight) for order, sight in zip(orders, sights, strict=True) if sight is not None]
    before = ledger(*orders)
    findings = reconcile(before, venue(*shown, trades=trades))
    shuffled = reconcile(before, venue(*shown, trades=data.draw(st.permutations([*trades, *trades]))))
    assert sorted(map(repr, shuffled)) == sorted(map(repr, findings))
    after = repaired(before, findings)
    again = reconcile(after, venue(*shown, trades=trades))
    assert not any(isinstance(finding, Observed | Filled) for finding in again)
    assert repaired(after, again) == after
