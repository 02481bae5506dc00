"""The paper venue: how it matches, what it refuses, what its answers prove, and what a replay shows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belay.adapters.paper.clock import (
    MAX_BARS,
    ReplayClock,
    ReplayFeed,
    ReplayMarketData,
    load_candles,
    set_replay_clock,
)
from belay.adapters.paper.refusals import MAX_OPEN_ORDERS, REFUSALS
from belay.adapters.paper.state import Step, VenueState
from belay.adapters.paper.store import InMemoryPaperStore, PaperStore
from belay.adapters.paper.venue import OUTCOMES, LiveFeed, PaperMarketData, PaperVenue
from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import AccountDocument
from belay.domain.errors import Conflict, InvalidInput, VenueUnavailable
from belay.domain.flows import FlowKind
from belay.domain.market import Candle, Market, Price
from belay.domain.record import ZERO
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind, VenueOrder, VenueStatus, VenueTrade
from tests.builders import make_document, make_paper_settings

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BTC, ETH = "BTC/USD", "ETH/USD"


def dec(value: object) -> Decimal:
    return Decimal(str(value))


def hours(number: float) -> datetime:
    return START + number * HOUR


def candle(hour: int, *ohlc: object, volume: object = 100) -> Candle:
    """The candle that opens `hour` hours after START; with one price only, it never moves."""
    opened, high, low, close = (dec(price) for price in (ohlc if len(ohlc) == 4 else (ohlc[0],) * 4))
    return Candle(open_time=hours(hour), open=opened, high=high, low=low, close=close, volume=dec(volume))


FLAT = tuple(candle(hour, 100) for hour in range(6))


def document(**changes: Any) -> AccountDocument:
    """A paper account in replay without fees or slippage; `changes` are to its paper settings."""
    free = {"taker_fee": "0", "maker_fee": "0", "slippage": "0", "min_notional": "1", "participation": "0.1"}
    symbols = changes.pop("symbols", (BTC, ETH))
    paper = make_paper_settings(**{**free, "balances": {"USD": "10000", "BTC": "5"}, **changes})
    return make_document(symbols=symbols, paper=paper)


class World:
    """One account's venue in a replay, and its trader."""

    def __init__(self, candles: Sequence[Candle] = FLAT, store: PaperStore | None = None, **changes: Any) -> None:
        self.document = document(**changes)
        self.store = store or InMemoryPaperStore("paper")
        self.waits: list[float] = []
        self.venue = PaperVenue(self.document, self.store, ReplayFeed(self.store), pause=self.waits.append)
        load_candles(self.store, self.document, BTC, "1h", candles)
        self._ids = count(1)

    def at(self, hour: float) -> "World":
        set_replay_clock(self.store, self.document, hours(hour))
        return self

    def request(self, side: Side, quantity: object, limit: object = None, **changes: Any) -> OrderRequest:
        now = self.store.replay_time()
        assert now is not None
        request: dict[str, Any] = {
            "client_order_id": f"{next(self._ids):032x}",
            "symbol": BTC,
            "side": side,
            "quantity": dec(quantity),
            "limit_price": None if limit is None else dec(limit),
            "time_in_force": TimeInForce.GTC,
            "claimed_at": now,
            "fence_at": now + timedelta(seconds=10),
        }
        return OrderRequest(**{**request, **changes})

    def buy(self, quantity: object, limit: object = None, **changes: Any) -> Outcome:
        return self.venue.submit(self.request(Side.BUY, quantity, limit, **changes))

    def sell(self, quantity: object, limit: object = None, **changes: Any) -> Outcome:
        return self.venue.submit(self.request(Side.SELL, quantity, limit, **changes))

    def trades(self, symbol: str = BTC) -> list[VenueTrade]:
        found: list[VenueTrade] = []
        page: str | None = None
        while True:
            answer = self.venue.trades(symbol, hours(-1), hours(10_000), page)
            found += answer.trades
            page = answer.next_page
            if page is None:
                return found

    def executions(self) -> list[Any]:
        """Quantity and price of each trade."""
        return [(trade.quantity, trade.price) for trade in self.trades()]

    def order(self, outcome: Outcome) -> VenueOrder:
        assert outcome.venue_order is not None
        assert outcome.venue_order.client_order_id is not None
        found = self.venue.lookup(outcome.venue_order.symbol, outcome.venue_order.client_order_id)
        assert found is not None
        return found

    def balance(self, asset: str) -> Any:
        return self.venue.balances().total[asset]


def progress(order: VenueOrder | None) -> tuple[Any, ...]:
    assert order is not None
    return order.status, order.filled_quantity


# --- market orders --------------------------------------------------------------------------------


def test_a_market_order_fills_at_the_open_of_the_candle_that_contains_now() -> None:
    world = World([candle(0, 90), candle(1, 100, 130, 80, 120)]).at(1.5)
    outcome = world.buy(2)
    assert (outcome.kind, outcome.code) == (OutcomeKind.ACCEPTED, "ACCEPTED")
    assert progress(outcome.venue_order) == (VenueStatus.FILLED, 2)
    assert world.executions() == [(2, 100)]
    assert outcome.exchange_time == hours(1.5)


def test_without_a_candle_of_now_a_market_order_fills_at_the_last_close() -> None:
    world = World([candle(0, 100, 130, 80, 120)]).at(1.5)
    world.buy(2)
    assert world.executions() == [(2, 120)]


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "100.06"), (Side.SELL, "99.94")])
def test_slippage_and_rounding_to_the_tick_are_both_against_a_market_order(side: Side, price: str) -> None:
    world = World(slippage="0.00055").at(1)
    world.venue.submit(world.request(side, 1))
    assert world.executions() == [(1, dec(price))]


def test_fees_are_taken_in_quote_currency_from_buys_and_from_sells() -> None:
    world = World(taker_fee="0.001").at(1)
    world.buy(2)
    assert (world.balance("USD"), world.balance("BTC")) == (dec("9799.8"), 7)
    world.sell(1)
    assert (world.balance("USD"), world.balance("BTC")) == (dec("9899.7"), 6)
    assert [trade.fees for trade in world.trades()] == [{"USD": dec("0.2")}, {"USD": dec("0.1")}]


def test_fees_are_taken_from_what_is_received_where_the_settings_say_so() -> None:
    world = World(taker_fee="0.001", fee_asset="received").at(1)
    world.buy(2)
    assert (world.balance("USD"), world.balance("BTC")) == (9800, dec("6.998"))
    world.sell(1)
    assert (world.balance("USD"), world.balance("BTC")) == (dec("9899.9"), dec("5.998"))
    assert [trade.fees for trade in world.trades()] == [{"BTC": dec("0.002")}, {"USD": dec("0.1")}]


def test_a_fee_that_is_not_taken_in_quote_currency_leaves_all_of_it_to_spend() -> None:
    world = World(taker_fee="0.001", fee_asset="received", balances={"USD": "200"}).at(1)
    world.buy(2)
    assert world.balance("USD") == 0


def test_fees_are_taken_in_a_token_until_it_does_not_suffice() -> None:
    balances = {"USD": "10000", "BTC": "5", "BNB": "0.001"}
    world = World(taker_fee="0.001", fee_asset="BNB", fee_token_price="300", balances=balances).at(1)
    world.buy(2)
    assert world.trades()[0].fees == {"BNB": dec("0.00066666")}
    assert (world.balance("USD"), world.balance("BTC"), world.balance("BNB")) == (9800, 7, dec("0.00033334"))
    world.sell(1)
    world.buy(2)
    assert [trade.fees for trade in world.trades()[1:]] == [{"BNB": dec("0.00033333")}, {"BTC": dec("0.002")}]
    assert world.balance("BNB") == dec("0.00000001")


def test_a_token_that_is_traded_itself_pays_its_fee_from_what_is_left_of_it() -> None:
    world = World(taker_fee="0.001", fee_asset="BTC", fee_token_price="100", balances={"USD": "0", "BTC": "2"}).at(1)
    world.sell(1)
    world.sell("0.999")
    assert [trade.fees for trade in world.trades()] == [{"BTC": dec("0.001")}, {"USD": dec("0.0999")}]
    assert world.balance("BTC") == 0


def test_what_comes_and_goes_is_in_the_balances_and_where_it_is_recorded_among_the_flows() -> None:
    world = World().at(1)
    world.venue.move(FlowKind.DEPOSIT, USD="25")
    world.at(2)
    world.venue.move(FlowKind.WITHDRAWAL, BTC="-1", recorded=False)
    assert (world.balance("USD"), world.balance("BTC")) == (10_025, 4)
    (flow,) = world.venue.flows(hours(0), hours(3)).flows
    assert (flow.kind, flow.amounts, flow.at) == (FlowKind.DEPOSIT, {"USD": dec(25)}, hours(1))
    assert world.venue.flows(hours(1.5), hours(3)).flows == ()
    with pytest.raises(ArithmeticError, match="overdraws BTC"):
        world.venue.move(FlowKind.WITHDRAWAL, BTC="-5")


def test_a_large_market_order_takes_its_share_of_the_last_candle_and_the_rest_at_later_opens() -> None:
    prices = [candle(0, 100, volume=100), candle(1, 101, volume=20), candle(2, 102, volume=300), candle(3, 103)]
    world = World(prices).at(1.5)
    outcome = world.buy(15)
    assert world.order(outcome).filled_quantity == 10
    world.at(3.5)
    assert world.executions() == [(10, 101), (2, 102), (3, 103)]
    assert [trade.at for trade in world.trades()] == [hours(1.5), hours(2), hours(3)]
    assert world.order(outcome).status is VenueStatus.FILLED


def test_a_market_order_whose_rest_is_immediate_or_cancel_expires_with_what_it_got() -> None:
    world = World().at(1)
    shown = world.buy(15, time_in_force=TimeInForce.IOC).venue_order
    assert progress(shown) == (VenueStatus.EXPIRED, 10)


def test_the_rest_of_a_market_buy_that_can_no_longer_be_paid_is_cancelled() -> None:
    world = World([candle(0, 100), candle(1, 100), candle(2, 950)]).at(1)
    outcome = world.buy(20)
    world.at(2)
    assert world.executions() == [(10, 100), (dec("9.4736"), 950)]
    assert world.order(outcome).status is VenueStatus.CANCELLED
    assert world.balance("USD") == dec("0.08")


def test_without_a_closed_candle_a_market_order_waits_for_the_next_open() -> None:
    world = World().at(0.5)
    assert world.order(world.buy(2)).filled_quantity == 0
    world.at(1)
    assert world.executions() == [(2, 100)]


def test_an_order_that_costs_the_last_cent_is_paid_in_any_number_of_parts() -> None:
    thin = [candle(hour, "33.33", volume="0.001") for hour in range(6)]
    cost = dec("0.0003") * dec("33.33") * dec("1.00375")
    world = World(thin, balances={"USD": cost}, taker_fee="0.00375", min_notional="0").at(1)
    outcome = world.buy("0.0003")
    world.at(5)
    assert world.executions() == [(dec("0.0001"), dec("33.33"))] * 3
    assert world.order(outcome).status is VenueStatus.FILLED
    assert 0 <= world.balance("USD") < dec("0.0000001")


# --- limit orders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("slippage", "price"), [("0", 100), ("0.01", 101), ("0.1", 105)])
def test_a_limit_buy_that_crosses_on_arrival_takes_at_its_limit_or_better(slippage: str, price: int) -> None:
    world = World(slippage=slippage, taker_fee="0.001", maker_fee="0.0005").at(1)
    world.buy(1, 105)
    assert world.executions() == [(1, price)]
    assert world.trades()[0].fees == {"USD": price * dec("0.001")}


def test_a_limit_order_fills_as_maker_at_its_limit_once_a_later_candle_trades_through_it() -> None:
    prices = [candle(0, 100), candle(1, 100), candle(2, 100, 100, 94, 99), candle(3, 99)]
    world = World(prices, maker_fee="0.001").at(1.5)
    outcome = world.buy(2, 95)
    world.at(2.9)
    assert world.order(outcome).filled_quantity == 0
    world.at(3)
    assert world.executions() == [(2, 95)]
    assert world.trades()[0].fees == {"USD": dec("0.19")}
    assert world.trades()[0].at == hours(3)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_candle_that_only_touches_the_limit_does_not_fill_it(side: Side) -> None:
    world = World([candle(0, 100), candle(1, 100, 105, 95, 100), candle(2, 100)]).at(1)
    outcome = world.venue.submit(world.request(side, 1, 95 if side is Side.BUY else 105))
    world.at(3)
    assert world.order(outcome).status is VenueStatus.OPEN


def test_a_candle_that_was_already_open_when_a_limit_order_arrived_does_not_fill_it() -> None:
    world = World([candle(0, 100), candle(1, 100, 100, 50, 100), candle(2, 100)]).at(1.01)
    outcome = world.buy(1, 95)
    world.at(3)
    assert world.order(outcome).filled_quantity == 0


def test_a_limit_order_takes_no_more_than_its_share_of_each_candle() -> None:
    dips = [candle(hour, 100, 100, 90, 100, volume=30) for hour in range(1, 5)]
    world = World([candle(0, 100), *dips]).at(1)
    world.buy(7, 95)
    world.at(5)
    assert world.executions() == [(3, 95), (3, 95), (1, 95)]


def test_the_rest_of_a_limit_order_that_partly_crossed_rests_unless_it_is_immediate_or_cancel() -> None:
    world = World([candle(0, 100), candle(1, 100), candle(2, 100, 100, 90, 95)]).at(1.5)
    resting = world.buy(12, 101)
    expired = world.buy(12, 101, time_in_force=TimeInForce.IOC)
    assert world.order(resting).status is VenueStatus.OPEN
    assert progress(world.order(expired)) == (VenueStatus.EXPIRED, 10)
    world.at(3)
    assert world.order(resting).status is VenueStatus.FILLED


def test_funds_of_resting_orders_are_locked_and_a_cancel_frees_them() -> None:
    world = World().at(1)
    resting = world.request(Side.BUY, 100, 90)
    world.venue.submit(resting)
    world.sell(5, 110)
    assert (world.balance("USD"), world.balance("BTC")) == (10_000, 5)
    assert world.buy(12).code == "INSUFFICIENT_FUNDS"
    assert world.sell(1).code == "INSUFFICIENT_FUNDS"
    world.venue.cancel(BTC, resting.client_order_id)
    assert world.buy(10).kind is OutcomeKind.ACCEPTED


def test_a_cancel_ends_an_open_order_and_changes_nothing_else() -> None:
    world = World().at(1)
    outcome = world.buy(12, 100)
    assert outcome.venue_order is not None
    world.venue.cancel(BTC, "f" * 32)
    world.venue.cancel(ETH, str(outcome.venue_order.client_order_id))
    assert len(world.venue.open_orders()) == 1
    world.at(1.2).venue.cancel(BTC, str(outcome.venue_order.client_order_id))
    order = world.order(outcome)
    assert (*progress(order), order.updated_at) == (VenueStatus.CANCELLED, 10, hours(1.2))
    world.at(3).venue.cancel(BTC, str(outcome.venue_order.client_order_id))
    assert world.order(outcome) == order


# --- refusals and what they prove -----------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "FENCE_REQUIRED": {"fence_at": None},
    "FENCE_PASSED": {"fence_at": hours(1) - timedelta(microseconds=1)},
    "INVALID_CLIENT_ORDER_ID": {"client_order_id": "two words"},
    "INVALID_SYMBOL": {"symbol": "DOGE/USD"},
    "LOT_SIZE": {"quantity": dec("0.00015")},
    "PRICE_FILTER": {"limit_price": dec("100.001")},
    "MIN_NOTIONAL": {"quantity": dec("0.0001")},
    "DUPLICATE_CLIENT_ORDER_ID": {"client_order_id": "1" * 32},
    "INSUFFICIENT_FUNDS": {"quantity": dec(90)},
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refused_request_names_its_code_and_changes_nothing_but_the_record_of_requests(code: str) -> None:
    world = World().at(1)
    world.buy(15, 90, client_order_id="1" * 32)
    before = world.venue.balances(), world.venue.open_orders()
    outcome = world.venue.submit(world.request(Side.BUY, 1).model_copy(update=REFUSED[code]))
    expected = {"FENCE_PASSED": OutcomeKind.NOT_SENT, "DUPLICATE_CLIENT_ORDER_ID": OutcomeKind.UNKNOWN}
    assert (outcome.code, outcome.kind) == (code, expected.get(code, OutcomeKind.REJECTED))
    assert outcome.venue_order is None
    assert (world.venue.balances(), world.venue.open_orders()) == before
    last = world.store.submissions()[-1]
    assert (last.code, last.sequence, last.received_at) == (code, 2, hours(1))


def test_every_refusal_says_what_it_proves() -> None:
    assert {code for code, _ in REFUSALS} - OUTCOMES.keys() == {"DUPLICATE_CLIENT_ORDER_ID"}
    assert {code for code, _ in REFUSALS} - REFUSED.keys() == {"MAX_NUM_ORDERS"}


def test_a_request_is_good_up_to_the_very_moment_of_its_fence() -> None:
    world = World().at(1)
    assert world.buy(1, fence_at=hours(1)).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("quantity", ["1E+18", "1E-18", "0.00001", "123456789012345678"])
def test_a_quantity_beyond_all_measure_is_refused(quantity: str) -> None:
    assert World().at(1).buy(quantity).kind is OutcomeKind.REJECTED


def test_the_book_holds_a_bounded_number_of_orders() -> None:
    world = World().at(1)
    for _ in range(MAX_OPEN_ORDERS):
        assert world.buy("0.1", 50).kind is OutcomeKind.ACCEPTED
    assert world.buy("0.1", 50).code == "MAX_NUM_ORDERS"


def test_a_client_order_id_is_refused_only_while_an_order_with_it_is_open() -> None:
    world = World().at(1)
    request = world.request(Side.BUY, 1, client_order_id="a" * 32)
    first, second = world.venue.submit(request), world.venue.submit(request)
    assert first.kind is second.kind is OutcomeKind.ACCEPTED
    assert second.venue_order is not None
    assert world.venue.lookup(BTC, "a" * 32) == second.venue_order
    assert len(world.store.closed_orders("a" * 32)) == 2


def test_a_look_up_finds_open_and_closed_orders_by_client_order_id_and_symbol() -> None:
    world = World().at(1)
    resting, filled = world.buy(1, 90).venue_order, world.buy(1).venue_order
    assert resting is not None
    assert filled is not None
    assert world.venue.lookup(BTC, str(resting.client_order_id)) == resting
    assert world.venue.lookup(BTC, str(filled.client_order_id)) == filled
    assert world.venue.lookup(ETH, str(filled.client_order_id)) is None
    assert world.venue.lookup(BTC, "f" * 32) is None


def test_a_look_up_finds_an_order_that_fills_in_the_very_same_moment() -> None:
    world = World([candle(0, 100), candle(1, 100, 100, 90, 100), candle(2, 100)]).at(1)
    outcome = world.buy(1, 95)
    world.at(2)
    assert world.order(outcome).status is VenueStatus.FILLED


# --- one write, or none ---------------------------------------------------------------------------


class TroubledStore(InMemoryPaperStore):
    """Books whose commits meet trouble: one planned step for each commit, then none."""

    def __init__(self) -> None:
        super().__init__("paper")
        self.before_commit: list[Callable[[], None]] = []
        self.after_commit: list[Callable[[], None]] = []

    def commit(self, step: Step) -> None:
        if self.before_commit:
            self.before_commit.pop(0)()
        super().commit(step)
        if self.after_commit:
            self.after_commit.pop(0)()


def no_answer() -> None:
    raise VenueUnavailable("no answer")


def test_when_the_answer_is_lost_the_outcome_is_unknown_and_a_look_up_finds_the_order() -> None:
    store = TroubledStore()
    world = World(store=store).at(1)
    store.after_commit = [no_answer]
    request = world.request(Side.BUY, 1)
    assert world.venue.submit(request).kind is OutcomeKind.UNKNOWN
    assert world.venue.lookup(BTC, request.client_order_id) is not None


def test_a_write_that_loses_to_its_own_success_is_one_order_and_accepted() -> None:
    def repeated() -> None:
        raise Conflict("paper STATE")

    store = TroubledStore()
    world = World(store=store).at(1)
    store.after_commit = [repeated]
    outcome = world.buy(1)
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert world.executions() == [(1, 100)]
    assert len(store.submissions()) == 1


def test_when_nothing_was_written_the_request_was_not_sent() -> None:
    class Unreachable(InMemoryPaperStore):
        def state(self) -> VenueState | None:
            raise VenueUnavailable("no connection")

    world = World(store=Unreachable("paper")).at(1)
    outcome = world.buy(1)
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "NOT_DELIVERED")


def test_without_market_data_a_request_is_not_sent_and_reads_give_no_evidence() -> None:
    world = World().at(1)
    outcome = world.venue.submit(world.request(Side.BUY, 1, symbol=ETH))
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "NOT_DELIVERED")
    without_clock = World()
    with pytest.raises(VenueUnavailable, match="no time"):
        without_clock.venue.balances()


def test_a_request_frozen_before_its_write_cannot_land_after_a_look_up_missed_it_behind_the_fence() -> None:
    store = TroubledStore()
    world = World(store=store).at(1)
    request = world.request(Side.BUY, 1)
    seen: list[VenueOrder | None] = []

    def thaw_late() -> None:
        set_replay_clock(store, world.document, hours(1) + timedelta(seconds=12))
        seen.append(world.venue.lookup(BTC, request.client_order_id))

    store.before_commit = [thaw_late]
    outcome = world.venue.submit(request)
    assert seen == [None]
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "FENCE_PASSED")
    assert world.venue.open_orders() == ()
    assert world.trades() == []


def test_a_venue_that_stays_contended_gives_up_without_claiming_to_know() -> None:
    def lost() -> None:
        raise Conflict("paper STATE")

    store = TroubledStore()
    world = World(store=store).at(1)
    store.before_commit = [lost] * 100
    assert world.buy(1).kind is OutcomeKind.UNKNOWN
    with pytest.raises(VenueUnavailable, match="busy"):
        world.venue.lookup(BTC, "f" * 32)
    assert 0 < max(world.waits) < 0.2


def test_the_same_request_from_twenty_threads_makes_one_open_order() -> None:
    world = World().at(1)
    request = world.request(Side.BUY, 1, 90)
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(world.venue.submit, [request] * 20))
    kinds = sorted(outcome.kind for outcome in outcomes)
    assert kinds == [OutcomeKind.ACCEPTED] + [OutcomeKind.UNKNOWN] * 19
    assert len(world.venue.open_orders()) == 1


def test_different_requests_from_ten_threads_are_all_taken_in_some_order() -> None:
    world = World().at(1)
    requests = [world.request(Side.BUY, 1) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(world.venue.submit, requests))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert [submission.sequence for submission in world.store.submissions()] == list(range(1, 11))
    assert (world.balance("USD"), world.balance("BTC")) == (9000, 15)


def test_more_fills_than_one_transaction_holds_are_all_stored() -> None:
    world = World([candle(0, 100), candle(1, 100, 100, 40, 100), candle(2, 100)]).at(1)
    outcomes = [world.buy("0.1", 50) for _ in range(120)]
    world.at(2)
    assert world.venue.open_orders() == ()
    assert len(world.trades()) == 120
    assert all(world.order(outcome).status is VenueStatus.FILLED for outcome in outcomes)


def test_an_order_left_alone_for_longer_than_one_read_of_candles_is_matched_with_all_of_them() -> None:
    last = 2 * MAX_BARS + 100
    prices = [candle(hour, 100) for hour in range(last)] + [candle(last, 100, 100, 50, 100), candle(last + 1, 100)]
    world = World(prices).at(1)
    world.buy(1, 60)
    world.at(last + 1)
    assert [trade.at for trade in world.trades()] == [hours(last + 1)]


def test_reading_without_open_orders_writes_nothing() -> None:
    world = World().at(1)
    world.venue.balances()
    world.venue.open_orders()
    world.trades()
    assert world.store.state() is None


# --- properties -----------------------------------------------------------------------------------


class Move(NamedTuple):
    """One thing a trader does, `minutes` after the last one."""

    minutes: int
    kind: str
    symbol: str
    side: Side
    tenths: int
    offset: int
    time_in_force: TimeInForce


MOVES = st.lists(
    st.builds(
        Move,
        minutes=st.sampled_from([0, 1, 20, 60, 150]),
        kind=st.sampled_from(["market", "limit", "limit", "cancel"]),
        symbol=st.sampled_from([BTC, ETH]),
        side=st.sampled_from(Side),
        tenths=st.integers(1, 120),
        offset=st.integers(-15, 15),
        time_in_force=st.sampled_from(TimeInForce),
    ),
    min_size=3,
    max_size=10,
)
SHAPES = st.tuples(*[st.integers(60, 160)] * 4, st.integers(0, 60))
MARKETS = st.lists(SHAPES, min_size=14, max_size=14)
FEE_ASSETS: list[dict[str, str]] = [{}, {"fee_asset": "received"}, {"fee_asset": "BNB", "fee_token_price": "3"}]
RATES = st.fixed_dictionaries(
    {
        "taker_fee": st.sampled_from(["0", "0.001", "0.00375"]),
        "maker_fee": st.sampled_from(["0", "0.0005", "0.005"]),
        "slippage": st.sampled_from(["0", "0.0005", "0.02"]),
        "participation": st.sampled_from(["0.05", "0.1", "0.37"]),
    }
)
COSTS = st.tuples(RATES, st.sampled_from(FEE_ASSETS)).map(lambda costs: {**costs[0], **costs[1]})
Shape = tuple[int, int, int, int, int]


def shaped(shapes: Sequence[Shape]) -> list[Candle]:
    return [
        candle(hour, opened, max(shape[:4]), min(shape[:4]), close, volume=volume)
        for hour, shape in enumerate(shapes)
        for opened, _, _, close, volume in [shape]
    ]


class Played(NamedTuple):
    """All that a trader can see in the end."""

    outcomes: list[Outcome]
    balances: dict[str, Decimal]
    open_orders: tuple[VenueOrder, ...]
    orders: list[VenueOrder | None]
    trades: list[VenueTrade]


BALANCES = {"USD": "3000", "BTC": "20", "ETH": "10", "BNB": "0.05"}


def play(
    markets: dict[str, list[Candle]],
    moves: Sequence[Move],
    costs: dict[str, Any],
    looks: Sequence[int] = (),
    end: int = 14 * 60,
) -> Played:
    """Trade from minute 60 to minute `end` of a replay, looking at the venue at the minutes `looks` as well."""
    world = World(markets[BTC], balances=BALANCES, **costs)
    load_candles(world.store, world.document, ETH, "1h", markets[ETH])
    moments: list[tuple[int, Move | None]] = [(minute, None) for minute in looks if 60 <= minute <= end]
    minute = 60
    for move in moves:
        minute += move.minutes
        if minute <= end:
            moments.append((minute, move))
    outcomes: list[Outcome] = []
    sent: list[tuple[str, str]] = []
    for moment, act in sorted(moments, key=lambda planned: (planned[0], planned[1] is not None)):
        world.at(moment / 60)
        if act is None:
            world.venue.open_orders()
        elif act.kind == "cancel":
            for symbol, client_order_id in sent[-2:]:
                world.venue.cancel(symbol, client_order_id)
        else:
            limit = dec(100 + act.offset) if act.kind == "limit" else None
            request = world.request(
                act.side, dec(act.tenths) / 10, limit, symbol=act.symbol, time_in_force=act.time_in_force
            )
            outcomes.append(world.venue.submit(request))
            sent.append((request.symbol, request.client_order_id))
        assert all(total >= 0 for total in world.venue.balances().total.values())
    world.at(end / 60)
    return Played(
        outcomes=outcomes,
        balances=world.venue.balances().total,
        open_orders=world.venue.open_orders(),
        orders=[world.venue.lookup(symbol, client_order_id) for symbol, client_order_id in sent],
        trades=world.trades(BTC) + world.trades(ETH),
    )


prop = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@prop
@given(btc=MARKETS, eth=MARKETS, moves=MOVES, costs=COSTS)
def test_trades_explain_the_balances_exactly_and_no_order_fills_beyond_its_quantity(
    btc: list[Shape], eth: list[Shape], moves: list[Move], costs: dict[str, str]
) -> None:
    played = play({BTC: shaped(btc), ETH: shaped(eth)}, moves, costs)
    expected = {asset: dec(amount) for asset, amount in BALANCES.items()}
    filled: dict[str, Decimal] = {}
    for trade in played.trades:
        for asset, change in trade.asset_changes().items():
            expected[asset] += change
        filled[trade.venue_order_id] = filled.get(trade.venue_order_id, ZERO) + trade.quantity
    assert played.balances == expected
    accepted = [order for order in played.orders if order is not None]
    assert {order.venue_order_id: order.filled_quantity for order in accepted if order.filled_quantity} == filled
    assert all(order.filled_quantity <= order.quantity for order in accepted)
    assert len({trade.key for trade in played.trades}) == len(played.trades)
    assert not [outcome for outcome in played.outcomes if outcome.kind is OutcomeKind.UNKNOWN]


@prop
@given(btc=MARKETS, eth=MARKETS, moves=MOVES, costs=COSTS, looks=st.lists(st.integers(60, 14 * 60), max_size=12))
def test_how_often_anyone_looks_makes_no_difference(
    btc: list[Shape], eth: list[Shape], moves: list[Move], costs: dict[str, str], looks: list[int]
) -> None:
    markets = {BTC: shaped(btc), ETH: shaped(eth)}
    assert play(markets, moves, costs, looks) == play(markets, moves, costs)


@prop
@given(btc=MARKETS, eth=MARKETS, other=MARKETS, moves=MOVES, costs=COSTS, end=st.integers(60, 13 * 60 + 59))
def test_what_has_not_happened_yet_changes_nothing(
    btc: list[Shape],
    eth: list[Shape],
    other: list[Shape],
    moves: list[Move],
    costs: dict[str, str],
    end: int,
) -> None:
    now = end // 60

    def otherwise(shapes: list[Shape]) -> list[Candle]:
        """The same past and the same present open, but another course of the present candle and of the future."""
        return shaped([*shapes[:now], (shapes[now][0], *other[now][1:]), *other[now + 1 :]])

    actual = play({BTC: shaped(btc), ETH: shaped(eth)}, moves, costs, end=end)
    assert play({BTC: otherwise(btc), ETH: otherwise(eth)}, moves, costs, end=end) == actual


# --- the replayed market --------------------------------------------------------------------------


def replayed(world: World) -> ReplayMarketData:
    settings_ = world.document.paper
    assert settings_ is not None
    return ReplayMarketData(world.store, settings_, ReplayClock(world.store))


def test_a_replay_shows_closed_candles_only_whatever_is_asked() -> None:
    market = replayed(World().at(2.5))
    assert market.candles(BTC, "1h", hours(5), 10) == FLAT[:2]
    assert market.candles(BTC, "1h", hours(2), 1) == FLAT[1:2]
    assert market.candles(BTC, "1h", hours(1), 10) == FLAT[:1]
    assert market.candles(BTC, "1h", hours(0.5), 10) == ()


def test_the_replayed_price_is_as_of_now_or_as_old_as_the_last_close() -> None:
    world = World([candle(0, 100, 120, 90, 110)])
    market = replayed(world)
    world.at(0.5)
    assert market.price(BTC) == Price(value=dec(100), at=hours(0.5))
    world.at(3)
    assert market.price(BTC) == Price(value=dec(110), at=hours(1))


def test_a_replay_without_data_gives_no_evidence() -> None:
    world = World().at(1)
    market = replayed(world)
    with pytest.raises(VenueUnavailable, match="no candles of ETH/USD"):
        market.price(ETH)
    with pytest.raises(VenueUnavailable, match="no 5m candles of BTC/USD"):
        market.candles(BTC, "5m", hours(1), 1)
    early = World([candle(5, 100)]).at(1)
    with pytest.raises(VenueUnavailable, match="has begun"):
        replayed(early).price(BTC)


def test_a_replay_matches_against_the_finest_candles_it_has() -> None:
    world = World().at(1)
    fine = [candle(0, 100), candle(1, 77)]
    load_candles(
        world.store,
        world.document,
        BTC,
        "5m",
        [
            fine[0].model_copy(update={"open_time": hours(1) - timedelta(minutes=5)}),
            fine[1].model_copy(update={"open_time": hours(1)}),
        ],
    )
    world.buy(1)
    assert world.executions() == [(1, 77)]
    assert replayed(world).candles(BTC, "1h", hours(1), 5) == FLAT[:1]


def test_the_filters_of_a_replayed_market_are_the_accounts() -> None:
    market = replayed(World(taker_fee="0.002")).market(BTC)
    assert (market.symbol, market.quantity_step, market.taker_fee) == (BTC, dec("0.0001"), dec("0.002"))


def test_the_replay_clock_goes_forward_only_and_does_not_wait() -> None:
    world = World().at(1)
    clock = ReplayClock(world.store)
    clock.sleep(3600)
    world.at(1)
    assert clock.now() == hours(1)
    with pytest.raises(InvalidInput, match="cannot go back"):
        world.at(0.5)


@pytest.mark.parametrize(
    "unfit",
    [
        make_document(paper=make_paper_settings(replay=False, exchange="kraken")),
        make_document(mode="live", venue="kraken", paper=None),
    ],
    ids=["paper on a live market", "live"],
)
def test_only_paper_accounts_in_replay_take_candles_and_a_replay_time(unfit: AccountDocument) -> None:
    store = InMemoryPaperStore("paper")
    with pytest.raises(InvalidInput, match="not a paper account with replay"):
        load_candles(store, unfit, BTC, "1h", FLAT)
    with pytest.raises(InvalidInput, match="not a paper account with replay"):
        set_replay_clock(store, unfit, START)
    assert (store.timeframes(BTC), store.replay_time()) == ((), None)


def test_only_whole_series_of_the_accounts_symbols_are_loaded() -> None:
    world = World()
    with pytest.raises(InvalidInput, match="not one of the account's"):
        load_candles(world.store, world.document, "DOGE/USD", "1h", FLAT)
    with pytest.raises(InvalidInput, match="not one 1h after"):
        load_candles(world.store, world.document, BTC, "1h", [FLAT[0], FLAT[2]])
    with pytest.raises(InvalidInput, match="timeframe"):
        load_candles(world.store, world.document, BTC, "7m", FLAT)


# --- on a live market -----------------------------------------------------------------------------


class LiveMarket:
    """A live exchange's public data as the test moves it; candles are published a little after they closed."""

    def __init__(self) -> None:
        self.now = START
        self.last = dec(100)
        self.published: list[Candle] = []

    def time(self) -> datetime:
        return self.now

    def market(self, symbol: str) -> Market:
        raise AssertionError(f"the exchange's filters of {symbol} do not count on paper")

    def price(self, symbol: str) -> Price:
        assert symbol == BTC
        return Price(value=self.last, at=self.now)

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        assert (symbol, timeframe) == (BTC, "1m")
        return tuple(candle for candle in self.published if candle.open_time < until)[-limit:]

    def publish(self, minute: int, *ohlc: object, volume: object = 100) -> None:
        moved = candle(0, *ohlc, volume=volume)
        self.published.append(moved.model_copy(update={"open_time": START + timedelta(minutes=minute)}))


def live_venue(market: LiveMarket) -> PaperVenue:
    free = {"taker_fee": "0", "maker_fee": "0", "slippage": "0", "replay": False, "exchange": "kraken"}
    return PaperVenue(make_document(paper=make_paper_settings(**free)), InMemoryPaperStore("paper"), LiveFeed(market))


def live_request(market: LiveMarket, quantity: object, limit: object = None) -> OrderRequest:
    return OrderRequest(
        client_order_id="a" * 32,
        symbol=BTC,
        side=Side.BUY,
        quantity=dec(quantity),
        limit_price=None if limit is None else dec(limit),
        time_in_force=TimeInForce.GTC,
        claimed_at=market.now,
        fence_at=market.now + timedelta(seconds=10),
    )


def test_on_a_live_market_a_market_order_fills_at_the_last_price() -> None:
    market = LiveMarket()
    market.publish(-1, 90)
    venue = live_venue(market)
    shown = venue.submit(live_request(market, 3)).venue_order
    assert shown is not None
    assert shown.status is VenueStatus.FILLED
    assert venue.balances().total["USD"] == 9700


def test_on_a_live_market_a_candle_published_late_still_fills_and_is_dated_when_it_was_found() -> None:
    market = LiveMarket()
    venue = live_venue(market)
    venue.submit(live_request(market, 1, 95))
    market.now = START + timedelta(seconds=61)
    assert venue.open_orders()[0].filled_quantity == 0
    market.publish(0, 100, 100, 90, 100)
    market.now = START + timedelta(seconds=65)
    assert venue.open_orders() == ()
    page = venue.trades(BTC, START, market.now)
    assert [(trade.price, trade.at) for trade in page.trades] == [(dec(95), market.now)]


def test_a_clock_that_steps_back_does_not_take_the_venue_back() -> None:
    market = LiveMarket()
    venue = live_venue(market)
    venue.lookup(BTC, "f" * 32)
    market.now = START - timedelta(seconds=5)
    assert venue.balances().at == START


def test_on_a_live_market_the_filters_and_fees_are_still_the_accounts() -> None:
    paper = make_paper_settings(replay=False, exchange="kraken", taker_fee="0.003")
    market = LiveMarket()
    market.publish(0, 90)
    data = PaperMarketData(market, paper)
    assert data.market(BTC).taker_fee == dec("0.003")
    assert (data.time(), data.price(BTC).value) == (START, dec(100))
    assert len(data.candles(BTC, "1m", START + HOUR, 5)) == 1


def test_a_paper_venue_is_made_for_paper_accounts_only() -> None:
    store = InMemoryPaperStore("paper")
    with pytest.raises(InvalidInput, match="not a paper account"):
        PaperVenue(make_document(mode="live", paper=None), store, ReplayFeed(store))
