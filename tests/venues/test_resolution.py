"""What becomes of orders after they were sent, at both venues: look-ups, cancels, late and many fills, and no proof."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from belay.adapters.live import accounts
from belay.adapters.live.profiles import profile_of
from belay.adapters.live.profiles.model import CcxtProfile
from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import AccountDocument
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.ports import CancelRequest
from tests.venues.desk import ACCOUNT, BEYOND, LIMITS, QUANTITY, Desk, NewDesk
from tests.venues.test_every_fault import CASES
from tests.world import meanwhile

S, I = OrderState, IncidentKind  # noqa: E741
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
WAYS = pytest.mark.parametrize("exits", [False, True], ids=["entry", "exit"])


def profiled(monkeypatch: pytest.MonkeyPatch, change: Callable[[CcxtProfile], CcxtProfile]) -> None:
    """Let accounts that are opened from now on have a changed profile."""

    def changed(document: AccountDocument) -> CcxtProfile:
        return change(profile_of(document))

    monkeypatch.setattr(accounts, "profile_of", changed)


def resting(desk: Desk, fault: str = "none", **fields: Any) -> Order:
    """An entry that rests below the market, after its submission met a fault."""
    desk.open_gate()
    desk.server.add_fault(fault, **fields)
    order = desk.enter(limit_price=LIMITS[Side.BUY])
    desk.deliver()
    return order


def cancel(desk: Desk, order: Order) -> None:
    """An operator asks for it; the reconciler repeats it until the order has ended."""
    request = CancelRequest(account=ACCOUNT, order_id=order.order_id, reason="no longer wanted", requested_at=desk.now)
    desk.ledger.request_cancel(request)


def status(desk: Desk, order: Order) -> list[str]:
    rows = desk.server.truth(desk.venue)["orders"]
    return [row["status"] for row in rows if row["client_order_id"] == desk.client_id(order)]


# --- look-ups --------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", ["market", "limit"])
def test_an_order_whose_answer_and_look_ups_lag_three_seconds_is_missed_at_first_and_then_attached(
    new_desk: NewDesk, venue: str, kind: str
) -> None:
    """freqtrade #4403: order not found just after creation."""
    desk = new_desk(venue)
    desk.open_gate()
    desk.server.add_fault("accept_close", order_lag=3.0, trade_lag=3.0)
    order = desk.enter(**({"limit_price": LIMITS[Side.BUY]} if kind == "limit" else {}))
    desk.deliver()
    desk.advance(2)
    assert desk.execute(order).result == "unresolved"
    desk.reconcile()
    assert (desk.state(order), desk.order(order.order_id).misses) == (S.UNKNOWN, ())
    desk.advance(2)
    assert desk.execute(order).result == "resolved"
    desk.settle()
    desk.check()
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)


@BOTH
def test_an_order_that_ended_unfilled_before_anybody_looked_is_found(new_desk: NewDesk, venue: str) -> None:
    """ccxt #2599: open orders alone prove nothing, and neither do trades."""
    desk = new_desk(venue)
    desk.open_gate()
    desk.server.add_fault("accept_close")
    order = desk.enter(limit_price=LIMITS[Side.BUY], time_in_force=TimeInForce.IOC)
    desk.deliver()
    desk.settle()
    assert desk.state(order) in (S.EXPIRED, S.CANCELLED)
    desk.check()


@BOTH
@WAYS
def test_reconciliations_at_every_second_conclude_nothing_early(new_desk: NewDesk, venue: str, exits: bool) -> None:
    """The order comes to be as late as the venue's documents allow, and is shown as late as the profile allows."""
    desk = new_desk(venue, requests_per_minute=100_000)
    if exits:
        desk.hold()
    else:
        desk.open_gate()
    place, seconds, lag = {"binance": ("matching", 14.9, 5.0), "kraken": ("engine", 9.9, 15.0)}[venue]
    desk.server.add_fault("hold", hold_at=place, seconds=seconds, order_lag=lag, trade_lag=lag)
    order = desk.leave() if exits else desk.enter()
    desk.deliver()
    for _ in range(40):
        desk.advance(1)
        desk.reconcile()
        desk.deliver()
        desk.watch()
    desk.settle()
    desk.check()
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)


# --- refused ---------------------------------------------------------------------------------------------------------


@BOTH
@WAYS
def test_coins_that_are_gone_when_the_order_arrives_reject_it_and_a_look_up_confirms_that(
    new_desk: NewDesk, venue: str, exits: bool
) -> None:
    desk = new_desk(venue)
    if exits:
        desk.hold()
    else:
        desk.open_gate()
    order = desk.leave() if exits else desk.enter()
    asset = "BTC" if exits else desk.pair("BTC").split("/")[1]
    exchange = desk.server.exchange
    everything = exchange.books(venue).balances[asset]
    desk.steps.next("venue.submit", meanwhile(lambda: exchange.deposit(venue, asset, -everything)))
    desk.deliver()
    assert desk.state(order) is S.REJECTED
    assert order.order_id in desk.account.reservations
    exchange.deposit(venue, asset, everything)
    desk.settle()
    desk.check(*[I.EXIT_NOT_PLACED] * exits)
    assert (desk.state(order), len(desk.sent(order)), desk.placed(order)) == (S.REJECTED, 1, ())


# --- cancels ---------------------------------------------------------------------------------------------------------


@BOTH
def test_a_cancel_that_a_fill_crosses_ends_with_the_fill(new_desk: NewDesk, venue: str) -> None:
    """Corpus row 57; freqtrade #3647: an order "cancelled" on timeout had filled."""
    desk = new_desk(venue)
    order = resting(desk)
    cancel(desk, order)
    desk.steps.next("venue.cancel", meanwhile(lambda: desk.pin(BEYOND[Side.BUY])))
    desk.go_on(120)
    assert desk.server.audit.requests("cancel_order")
    assert (desk.state(order), status(desk, order)) == (S.FILLED, ["filled"])
    assert desk.ledger.cancel_requests(ACCOUNT) == ()
    desk.check()


@BOTH
def test_a_cancel_after_a_part_was_filled_keeps_that_part_although_its_trade_shows_later(
    new_desk: NewDesk, venue: str
) -> None:
    """hummingbot #4738: cancel says "not open", tracking stops, fill lost."""
    desk = new_desk(venue)
    order = resting(desk, "partial_fill", rest_after=100_000.0, trade_lag=8.0)
    cancel(desk, order)
    desk.go_on(120)
    assert (desk.state(order), desk.order(order.order_id).filled_quantity) == (S.CANCELLED, QUANTITY * 4 / 10)
    desk.check()


@BOTH
@pytest.mark.parametrize("fault", ["accept_close", "accept_hang", "accept_html", "drop", "drop_hang", "maintenance"])
def test_a_cancel_without_an_answer_is_asked_for_again_until_the_order_has_ended(
    new_desk: NewDesk, venue: str, fault: str
) -> None:
    desk = new_desk(venue)
    order = resting(desk)
    desk.server.add_fault(fault, kind="cancel_order", times=2)
    cancel(desk, order)
    desk.go_on(300)
    assert (desk.state(order), status(desk, order)) == (S.CANCELLED, ["cancelled"])
    assert desk.ledger.cancel_requests(ACCOUNT) == ()
    desk.check()


@BOTH
@pytest.mark.parametrize("placed", [True, False])
def test_a_cancel_of_an_order_whose_outcome_is_open_cancels_what_there_is_and_changes_no_verdict(
    new_desk: NewDesk, venue: str, placed: bool
) -> None:
    desk = new_desk(venue)
    order = resting(desk, "accept_close" if placed else "drop", order_lag=3.0)
    cancel(desk, order)
    desk.go_on(300)
    assert desk.state(order) is (S.CANCELLED if placed else S.NOT_SENT)
    desk.check()


@BOTH
def test_an_exit_that_was_cancelled_while_it_was_lost_is_not_sent_again(new_desk: NewDesk, venue: str) -> None:
    desk = new_desk(venue)
    desk.hold()
    desk.server.add_fault("drop")
    order = desk.leave()
    desk.deliver()
    cancel(desk, order)
    desk.settle()
    assert (desk.state(order), len(desk.sent(order))) == (S.NOT_SENT, 1)
    desk.check()


# --- fills -----------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("terminal", ["expired", "cancelled"])
def test_a_fill_that_comes_long_after_the_order_ended_is_counted(new_desk: NewDesk, venue: str, terminal: str) -> None:
    desk = new_desk(venue)
    if terminal == "expired":
        order = resting(desk, "late_fill", rest_after=400.0)
    else:
        order = resting(desk, "partial_fill", rest_after=100_000.0, trade_lag=400.0)
        cancel(desk, order)
    desk.go_on(500)
    desk.settle()
    filled = QUANTITY if terminal == "expired" else QUANTITY * 4 / 10
    assert desk.order(order.order_id).filled_quantity == filled
    desk.check()


@BOTH
@pytest.mark.parametrize("lost", [False, True])
def test_trades_and_orders_of_two_symbols_that_bear_the_same_numbers_are_told_apart(
    new_desk: NewDesk, venue: str, lost: bool
) -> None:
    """Corpus row 58."""
    desk = new_desk(venue, bases=("BTC", "ETH"))
    desk.open_gate()
    desk.server.exchange.books(venue).trades_per_fill = 3
    desk.server.add_fault("accept_close" if lost else "none", times=None)
    orders = [desk.by_hand(1), desk.by_hand(2, symbol=desk.pair("ETH"), quantity="1")]
    desk.deliver()
    desk.settle()
    desk.check()
    assert [desk.state(order) for order in orders] == [S.FILLED, S.FILLED]
    trades = desk.server.truth(venue)["trades"]
    repeated = len(trades) - len({trade["trade_id"] for trade in trades})
    assert repeated == (3 if venue == "binance" else 0), "the venue numbers trades by symbol, or for all of them"


@BOTH
@pytest.mark.parametrize("broken_page", [None, 1, 2])
def test_trades_on_more_than_two_pages_are_counted_once_even_if_a_page_is_missing_at_first(
    new_desk: NewDesk, venue: str, broken_page: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ccxt #8327, #6696, #15827: fills lost at page limits."""

    def in_small_pages(profile: CcxtProfile) -> CcxtProfile:
        return profile.model_copy(update={"history": profile.history.model_copy(update={"page_size": 50})})

    profiled(monkeypatch, in_small_pages)
    desk = new_desk(venue)
    desk.open_gate()
    desk.server.exchange.books(venue).trades_per_fill = 130
    desk.server.add_fault("accept_close")
    if broken_page is not None:
        desk.server.add_fault("accept_truncated", kind="trades", skip=broken_page)
    order = desk.enter()
    desk.deliver()
    asked = len(desk.server.audit.requests("trades"))
    desk.settle()
    desk.check()
    assert len(desk.server.audit.requests("trades")) - asked > 2
    assert len(desk.ledger.fills(ACCOUNT, 1000)) == 130
    assert desk.state(order) is S.FILLED


# --- no proof --------------------------------------------------------------------------------------------------------


def unproven(profile: CcxtProfile) -> CcxtProfile:
    """As if the fence were only the gateway's: it proves nothing, and nothing is sent again."""
    assert profile.fence is not None
    fence = profile.fence.model_copy(update={"definitive": False})
    return profile.model_copy(update={"fence": fence, "second_attempt": "never"})


@pytest.mark.parametrize(
    ("venue", "fault", "exits"), [*product(["binance", "kraken"], ["drop", "drop_hang", "drop_html"], [False, True])]
)
def test_where_absence_cannot_be_proven_the_order_stays_unknown_and_a_person_is_asked(
    new_desk: NewDesk, venue: str, fault: str, exits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nautilus_trader #4152: an ambiguous submit ages into REJECTED."""
    profiled(monkeypatch, unproven)
    desk = new_desk(venue)
    if exits:
        desk.hold()
    else:
        desk.open_gate()
    desk.server.add_fault(fault)
    order = desk.leave() if exits else desk.enter()
    desk.deliver()
    desk.go_on(15 * 60)
    assert (desk.state(order), len(desk.sent(order))) == (S.UNKNOWN, 1)
    assert desk.account.reservations[order.order_id].unresolved
    desk.check(I.UNKNOWN_OUTCOME)
    another = desk.by_hand(3)
    desk.deliver()
    assert (desk.state(another), desk.sent(another)) == (S.DENIED, [])
    assert desk.causes(another)[-1] == "denied: unresolved_order_in_symbol"


@BOTH
@pytest.mark.parametrize("fault", ["drop", "refused"])
def test_an_exit_proven_absent_is_sent_again_only_where_the_profile_allows_it(
    new_desk: NewDesk, venue: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiled(monkeypatch, lambda profile: profile.model_copy(update={"second_attempt": "never"}))
    desk = new_desk(venue)
    desk.hold()
    desk.server.add_fault(CASES[fault].fault, **CASES[fault].settings(venue))
    order = desk.leave()
    desk.deliver()
    desk.settle()
    assert (desk.state(order), len(desk.sent(order))) == (S.NOT_SENT, 1)
    desk.check(I.EXIT_NOT_PLACED)


@pytest.mark.parametrize(
    ("venue", "fault", "kind"),
    [*product(["binance", "kraken"], ["accept_close", "accept_html", "late"], ["market", "limit"])],
)
def test_where_absence_cannot_be_proven_an_order_that_is_there_is_found_and_the_question_closes(
    new_desk: NewDesk, venue: str, fault: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`late`: the look-ups show it only after a person was asked."""
    profiled(monkeypatch, unproven)
    desk = new_desk(venue)
    desk.open_gate()
    late = fault == "late"
    lag = 800.0 if late else 0.0
    desk.server.add_fault("accept_close" if late else fault, order_lag=lag, trade_lag=lag)
    order = desk.enter(**({"limit_price": LIMITS[Side.BUY]} if kind == "limit" else {}))
    desk.deliver()
    desk.go_on(13 * 60)
    assert (desk.kinds() == []) is not late
    desk.settle()
    assert desk.state(order) is S.FILLED
    desk.check()


def test_with_the_generic_profile_a_lost_order_stays_unknown_and_one_that_is_there_is_found(new_desk: NewDesk) -> None:
    options = {"options": {"warnOnFetchOpenOrdersWithoutSymbol": False, "fetchMarkets": {"types": ["spot"]}}}
    desk = new_desk("binance", venue_profile="generic")
    merged = {**desk.document.options, **options}
    desk.configure(desk.document.model_copy(update={"options": merged}))
    desk.open_gate()
    desk.server.add_fault("accept_close")
    desk.server.add_fault("drop")
    found = desk.enter(limit_price=LIMITS[Side.BUY])
    desk.deliver()
    desk.go_on(60)
    assert desk.state(found) is S.ACKNOWLEDGED
    lost = desk.by_hand(2, limit_price=LIMITS[Side.BUY])
    desk.deliver()
    desk.go_on(15 * 60)
    assert (desk.state(lost), len(desk.sent(lost))) == (S.UNKNOWN, 1)
    desk.check(I.UNKNOWN_OUTCOME)
