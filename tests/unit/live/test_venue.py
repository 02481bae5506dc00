"""The live venue through the real ccxt classes, against the venue server: every read, every fault, on the wire."""

import base64
import json
import logging
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal, getcontext
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belay.adapters.gather import gather_in_threads
from belay.adapters.live.account_market import LiveMarketData
from belay.adapters.live.accounts import LiveAccount, LiveAccounts
from belay.adapters.live.profiles import load_profile, profile_of
from belay.adapters.live.public_market import exchange_class
from belay.adapters.live.wire import Budget
from belay.domain.decisions import Side, TimeInForce
from belay.domain.errors import AccountRefused, InvalidInput, NotUnderstood, SymbolUnavailable, VenueUnavailable
from belay.domain.venues import OutcomeKind, VenueStatus, VenueTrade, readable
from tests.unit.live.trading import (
    BOTH,
    FAR_BELOW,
    QUOTES,
    START,
    Trading,
    answering,
)
from tests.venue_server.faults import HOSTILE
from tests.venue_server.server import bomb

# --- an order's life ----------------------------------------------------------------------------------


@BOTH
def test_a_market_order_is_accepted_found_and_its_trades_are_exact(trading: Trading) -> None:
    account = trading.open()
    request, outcome = trading.placed(account)
    found = account.venue.lookup(trading.symbol, request.client_order_id)
    assert outcome.venue_order is not None
    assert found is not None
    assert found.venue_order_id == outcome.venue_order.venue_order_id
    assert (found.client_order_id, found.status) == (request.client_order_id, VenueStatus.FILLED)
    assert (found.quantity, found.filled_quantity, found.limit_price) == (request.quantity, request.quantity, None)
    [told] = trading.server.truth(trading.venue)["trades"]
    [trade] = account.venue.trades(trading.symbol, START, account.market_data.time()).trades
    assert (trade.price, trade.quantity) == (Decimal(told["price"]), Decimal(told["quantity"]))
    assert trade.fees == {told["fee_asset"]: Decimal(told["fee"])}
    assert (trade.venue_order_id, trade.side, trade.at) == (found.venue_order_id, Side.BUY, START)


@BOTH
@pytest.mark.parametrize("time_in_force", TimeInForce)
def test_a_limit_order_is_sent_as_it_was_meant(trading: Trading, time_in_force: TimeInForce) -> None:
    account = trading.open()
    limit = Decimal("30000.1")
    request, _ = trading.placed(account, limit_price=limit, time_in_force=time_in_force, quantity="0.01234")
    [order] = trading.server.truth(trading.venue)["orders"]
    assert (order["type"], Decimal(order["limit_price"]), Decimal(order["quantity"])) == (
        "limit",
        limit,
        request.quantity,
    )
    resting = time_in_force is TimeInForce.GTC
    shown = readable(account.venue.open_orders())
    assert [seen.client_order_id for seen in shown] == ([request.client_order_id] if resting else [])
    found = account.venue.lookup(trading.symbol, request.client_order_id)
    assert found is not None
    assert found.limit_price == limit
    assert found.status is (VenueStatus.OPEN if resting else VenueStatus.EXPIRED) or trading.venue == "kraken"


@BOTH
def test_amounts_and_prices_reach_the_venue_as_exact_plain_numbers(trading: Trading) -> None:
    """A float would be written 9e-05."""
    grt = trading.pair("GRT")
    account = trading.open(symbols=(trading.symbol, grt))
    trading.placed(account, quantity="0.00009")
    trading.placed(account, symbol=grt, quantity="1234.5", limit_price="0.0451")
    names = {"binance": ("quantity", "price"), "kraken": ("volume", "price")}[trading.venue]
    sent = [tuple(request["params"].get(name) for name in names) for request in trading.sent()]
    assert sent == [("0.00009", None), ("1234.5", "0.0451")]


@BOTH
def test_an_exit_sells_what_was_bought(trading: Trading) -> None:
    account = trading.open()
    trading.placed(account, quantity="0.02")
    trading.placed(account, side=Side.SELL, quantity="0.01")
    truth = trading.server.truth(trading.venue)["balances"]
    total = account.venue.balances().total
    assert total == {asset: Decimal(amount) for asset, amount in truth.items() if Decimal(amount)}
    assert set(total) == {"BTC", QUOTES[trading.venue]}


@BOTH
def test_what_is_locked_in_open_orders_still_belongs_to_the_balance(trading: Trading) -> None:
    account = trading.open()
    before = account.venue.balances().total
    trading.placed(account, limit_price=FAR_BELOW)
    assert account.venue.balances().total == before


@BOTH
def test_r26_the_venues_own_id_of_the_account_is_read_where_it_tells_it(trading: Trading) -> None:
    """Binance with the balances; Kraken only with what it tells of a key, which no run asks for."""
    account = trading.open()
    told = {"binance": ("354937868", None), "kraken": (None, "AA00N84G354937868")}[trading.venue]
    account.venue.balances()
    asked = len(trading.server.audit.requests())
    assert account.venue.balances().account == told[0]
    assert len(trading.server.audit.requests()) == asked + 1
    assert account.venue.access().account == told[1]


@BOTH
def test_a_cancelled_order_is_shown_as_cancelled(trading: Trading) -> None:
    account = trading.open()
    request, _ = trading.placed(account, limit_price=FAR_BELOW)
    account.venue.cancel(trading.symbol, request.client_order_id)
    found = account.venue.lookup(trading.symbol, request.client_order_id)
    assert found is not None
    assert found.status is VenueStatus.CANCELLED
    assert account.venue.open_orders() == ()


@BOTH
def test_a_cancel_that_finds_no_order_changes_nothing(trading: Trading) -> None:
    account = trading.open()
    request, _ = trading.placed(account)
    account.venue.cancel(trading.symbol, request.client_order_id)
    account.venue.cancel(trading.symbol, uuid.uuid4().hex)
    assert trading.orders() == 1


@BOTH
def test_among_orders_of_one_client_order_id_the_open_one_is_found(trading: Trading) -> None:
    """An id is free again once its order is filled, so two orders may have borne it."""
    account = trading.open()
    request, _ = trading.placed(account)
    trading.base.advance(1)
    _, second = trading.placed(account, client_order_id=request.client_order_id, limit_price=FAR_BELOW)
    assert second.venue_order is not None
    found = account.venue.lookup(trading.symbol, request.client_order_id)
    assert found is not None
    assert (found.venue_order_id, found.status) == (second.venue_order.venue_order_id, VenueStatus.OPEN)


@BOTH
def test_a_foreign_order_in_a_symbol_that_is_not_traded_is_shown_all_the_same(trading: Trading) -> None:
    """It holds back money, and somebody has to explain it."""
    everything = trading.open(symbols=(trading.symbol, trading.pair("ETH")))
    trading.placed(everything, symbol=trading.pair("ETH"), limit_price=Decimal(1000), quantity="0.1")
    [shown] = trading.open().venue.open_orders()
    assert shown.symbol == trading.pair("ETH")


@BOTH
def test_an_order_that_others_placed_is_found_and_cancelled_by_the_id_they_gave_it(trading: Trading) -> None:
    """An adopted order keeps its id."""
    account = trading.open()
    cron = account.venue._signed._private(trading.symbol)
    cron.create_order(trading.symbol, "limit", "buy", "0.01", "30000", {"clientOrderId": "cron-17"})
    [shown] = readable(account.venue.open_orders())
    assert shown.client_order_id == "cron-17"
    assert account.venue.lookup(trading.symbol, "cron-17") == shown
    account.venue.cancel(trading.symbol, "cron-17")
    assert account.venue.open_orders() == ()


# --- the pinned fence ---------------------------------------------------------------------------------


@BOTH
def test_a_process_that_froze_before_it_sent_is_refused_by_the_venue(trading: Trading) -> None:
    account = trading.open()
    window = load_profile(trading.venue).fence
    assert window is not None
    request = trading.request(account)
    trading.base.advance(window.window_seconds + 1)
    outcome = account.venue.submit(request)
    refusals = {"binance": "-1021", "kraken": "EService:Deadline elapsed"}
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, refusals[trading.venue])
    assert (len(trading.sent()), trading.orders()) == (1, 0)


@BOTH
def test_a_process_that_froze_for_less_than_the_window_is_not_refused(trading: Trading) -> None:
    account = trading.open()
    request = trading.request(account)
    trading.base.advance(4)
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED


def test_binance_is_told_the_claims_time_and_the_window_from_it(binance: Trading) -> None:
    account = binance.open()
    request = binance.request(account)
    binance.base.advance(2)
    account.venue.submit(request)
    [sent] = binance.sent()
    assert int(sent["params"]["timestamp"]) == int(request.claimed_at.timestamp() * 1000)
    assert sent["params"]["recvWindow"] == "5000"


def test_kraken_is_told_the_deadline_and_a_fresh_nonce(kraken: Trading) -> None:
    account = kraken.open()
    first, second = kraken.request(account), kraken.request(account)
    for request in (first, second):
        account.venue.submit(request)
    nonces = [int(sent["params"]["nonce"]) for sent in kraken.sent()]
    assert [sent["params"]["deadline"] for sent in kraken.sent()] == ["2024-03-01T12:00:10Z"] * 2
    assert nonces[0] < nonces[1]


@BOTH
@pytest.mark.parametrize("wrong_seconds", [-30, 30])
def test_a_machine_whose_clock_is_wrong_reads_and_sends_in_venue_time(trading: Trading, wrong_seconds: int) -> None:
    trading.clock.wrong_seconds = wrong_seconds
    account = trading.open()
    assert account.market_data.time() == START
    assert account.market_data.price(trading.symbol).at == START
    request, _ = trading.placed(account)
    assert account.venue.lookup(trading.symbol, request.client_order_id) is not None
    assert account.venue.balances().at == START
    assert len(account.venue.trades(trading.symbol, START, START).trades) == 1


@BOTH
def test_a_request_without_its_fence_is_not_sent(trading: Trading) -> None:
    account = trading.open()
    outcome = account.venue.submit(trading.request(account, fence_at=None))
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "not_requested")
    assert trading.sent() == []


# --- every fault of a submission ----------------------------------------------------------------------

UNKNOWN, NOT_SENT, ACCEPTED = OutcomeKind.UNKNOWN, OutcomeKind.NOT_SENT, OutcomeKind.ACCEPTED
FAULTS: dict[str, OutcomeKind | dict[str, OutcomeKind]] = {
    "none": ACCEPTED,
    "accept_hang": UNKNOWN,
    "accept_status": UNKNOWN,
    "accept_reset": UNKNOWN,
    "accept_close": UNKNOWN,
    "accept_cut": UNKNOWN,
    "accept_html": UNKNOWN,
    "accept_empty": UNKNOWN,
    "accept_truncated": UNKNOWN,
    "accept_braces": UNKNOWN,
    "hold": UNKNOWN,
    "copied": ACCEPTED,
    "replayed": ACCEPTED,
    "drop": UNKNOWN,
    "drop_reset": UNKNOWN,
    "drop_hang": UNKNOWN,
    "drop_status": UNKNOWN,
    "drop_html": UNKNOWN,
    "redirect": UNKNOWN,
    "rate_limited": {"binance": NOT_SENT, "kraken": UNKNOWN},
    "banned": {"binance": NOT_SENT, "kraken": UNKNOWN},
    "maintenance": UNKNOWN,
    "restricted": {"binance": OutcomeKind.CONFIGURATION, "kraken": UNKNOWN},
    "partial_fill": ACCEPTED,
    "partial_expire": ACCEPTED,
    "late_fill": ACCEPTED,
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leads_to_what_is_known_and_nothing_is_sent_twice(trading: Trading, fault: str) -> None:
    expected = FAULTS[fault]
    account = trading.open()
    request = trading.request(account)
    trading.server.add_fault(fault)
    outcome = account.venue.submit(request)
    assert outcome.kind is (expected[trading.venue] if isinstance(expected, dict) else expected)
    assert len(trading.sent()) == 1
    assert trading.server.audit.followed() == []
    if outcome.kind in (OutcomeKind.REJECTED, OutcomeKind.NOT_SENT):
        assert trading.orders() == 0


CODES = {
    "binance": ["-1000", "-1001", "-1006", "-1007", "-1008", "-1016"],
    "kraken": ["EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error"],
}


@pytest.mark.parametrize(("venue", "code"), [(venue, code) for venue, codes in CODES.items() for code in codes])
@pytest.mark.parametrize("placed", [True, False])
def test_an_error_that_does_not_tell_is_unknown_whether_or_not_there_is_an_order(
    trading: Trading, code: str, placed: bool
) -> None:
    account = trading.open()
    request = trading.request(account)
    trading.server.add_fault("accept_error" if placed else "drop_error", error=code)
    outcome = account.venue.submit(request)
    assert (outcome.kind, outcome.code) == (OutcomeKind.UNKNOWN, code)
    assert trading.orders() == int(placed)


def test_a_refusal_of_the_engine_is_a_rejection(binance: Trading, kraken: Trading) -> None:
    codes = {}
    for trading in (binance, kraken):
        account = trading.open()
        outcome = account.venue.submit(trading.request(account, quantity="1000"))
        assert outcome.kind is OutcomeKind.REJECTED
        assert trading.orders() == 0
        codes[trading.venue] = outcome.code
    assert codes == {"binance": "-2010", "kraken": "EOrder:Insufficient funds"}


@BOTH
def test_a_duplicate_among_open_orders_is_unknown_and_then_found(trading: Trading) -> None:
    account = trading.open()
    request, _ = trading.placed(account, limit_price=FAR_BELOW)
    again = account.venue.submit(request)
    assert again.kind is OutcomeKind.UNKNOWN
    assert trading.orders() == 1
    assert account.venue.lookup(trading.symbol, request.client_order_id) is not None


@BOTH
def test_a_venue_that_cannot_be_reached_has_not_received_the_order(trading: Trading) -> None:
    account = trading.open()
    account.venue.balances()
    request = trading.request(account)
    trading.server.stop()
    outcome = account.venue.submit(request)
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "not_connected")
    trading.server.start()
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED


@BOTH
def test_a_submission_never_uses_a_connection_that_was_kept(trading: Trading) -> None:
    """A connection that broke while the process was frozen would make the outcome unknown."""
    account = trading.open()
    trading.placed(account)
    request = trading.request(account)
    trading.server.stop()
    trading.server.start()
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED


@BOTH
def test_ccxt_may_not_repeat_an_order_even_if_the_document_asks_for_it(trading: Trading) -> None:
    retries = {"maxRetriesOnFailure": 3, "order": {"maxRetriesOnFailure": 3}, "AddOrder": {"maxRetriesOnFailure": 3}}
    options = {**trading.document().options, "options": retries}
    with pytest.raises(InvalidInput, match="may not be set for a live account"):
        trading.open(options=options)
    account = trading.open_with(load_profile(trading.venue), options=options)
    request = trading.request(account)
    trading.server.add_fault("accept_close")
    assert account.venue.submit(request).kind is OutcomeKind.UNKNOWN
    assert (len(trading.sent()), trading.orders()) == (1, 1)


@BOTH
def test_the_environments_proxies_are_not_used(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    account = trading.open()
    trading.placed(account)


@BOTH
def test_our_own_rounding_survives_a_submission(trading: Trading) -> None:
    account = trading.open()
    before = getcontext().copy()
    trading.placed(account, limit_price=FAR_BELOW)
    assert (getcontext().rounding, getcontext().traps) == (before.rounding, before.traps)


# --- what is not sent at all --------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": "0.010001"}, "local_quantity_step"),
        ({"quantity": "0.00001"}, "local_min_quantity"),
        ({"limit_price": "30000.05"}, "local_price_tick"),
        ({"limit_price": "10000", "quantity": "0.0001"}, "local_min_notional"),
    ],
)
def test_a_request_that_breaks_the_venues_rules_is_refused_without_a_request(
    trading: Trading, changes: dict[str, Any], code: str
) -> None:
    account = trading.open()
    outcome = account.venue.submit(trading.request(account, **changes))
    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, code)
    assert trading.sent() == []


def test_the_venues_largest_values_are_kept_too(binance: Trading) -> None:
    account = binance.open()
    for changes, code in (
        ({"quantity": "9000001"}, "local_max_quantity"),
        ({"quantity": "8000000", "limit_price": "30000"}, "local_max_notional"),
    ):
        assert account.venue.submit(binance.request(account, **changes)).code == code
    assert binance.sent() == []


@BOTH
def test_an_order_in_a_symbol_that_the_venue_does_not_list_is_not_sent(trading: Trading) -> None:
    account = trading.open()
    outcome = account.venue.submit(trading.request(account, symbol=trading.pair("NOPE")))
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "market_unknown")
    assert trading.sent() == []


# --- reads give evidence or nothing -------------------------------------------------------------------

READS: dict[str, tuple[str, Callable[[Trading, LiveAccount], Any]]] = {
    "balances": ("balances", lambda trading, account: account.venue.balances()),
    "open orders": ("open_orders", lambda trading, account: account.venue.open_orders()),
    "trades": ("trades", lambda trading, account: account.venue.trades(trading.symbol, START, START)),
    "lookup": (
        "query_order",
        lambda trading, account: account.venue.lookup(trading.symbol, uuid.uuid4().hex),
    ),
    "cancel": ("cancel_order", lambda trading, account: account.venue.cancel(trading.symbol, uuid.uuid4().hex)),
}
BROKEN = [
    "accept_hang",
    "accept_status",
    "accept_reset",
    "accept_close",
    "accept_cut",
    "accept_html",
    "accept_empty",
    "accept_truncated",
    "accept_braces",
    "redirect",
    "rate_limited",
    "maintenance",
]


@BOTH
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("read", READS)
def test_an_answer_that_is_missing_or_malformed_is_no_evidence(trading: Trading, read: str, broken: str) -> None:
    kind, ask = READS[read]
    if read == "lookup" and trading.venue == "kraken":
        kind = "closed_orders"
    account = trading.open()
    trading.placed(account)
    # A look-up that is asked again after a broken connection, which it may be, breaks again.
    trading.server.add_fault(broken, kind=kind, times=None)
    if (read, broken) == ("cancel", "accept_braces"):
        ask(trading, account)  # what a cancel is answered is no evidence either way
        return
    with pytest.raises(VenueUnavailable, match=trading.venue):
        ask(trading, account)
    assert trading.server.audit.followed() == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(["1", "0", "buy"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def names(venue: str) -> list[str]:
    """What the venue calls the parts of orders, trades and balances."""
    reading = load_profile(venue).reading
    assert reading is not None
    fields = [*reading.orders.model_dump().values(), *reading.trades.model_dump().values(), *reading.balances.total]
    return sorted(
        {text.split(".")[0] for text in fields if isinstance(text, str)} | {"asset", "balances", "updateTime"}
    )


def bodies(venue: str) -> st.SearchStrategy[str]:
    """Answers with the venue's own names in the venue's own places, and anything as their values."""
    rows = st.dictionaries(st.sampled_from(names(venue)), VALUES, max_size=8)
    if venue == "binance":
        shaped: st.SearchStrategy[Any] = st.one_of(st.lists(rows, max_size=2), rows)
    else:
        keyed = st.dictionaries(st.text(max_size=5), rows | VALUES, max_size=2)
        places = st.dictionaries(st.sampled_from(["open", "closed", "trades", "count"]), keyed | VALUES, max_size=3)
        shaped = st.builds(lambda result: {"error": [], "result": result}, places | keyed)
    return st.one_of(shaped.map(json.dumps), VALUES.map(json.dumps), st.text(max_size=20))


@BOTH
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_whatever_is_answered_a_read_gives_evidence_or_says_that_it_has_none(
    trading: Trading, data: st.DataObject
) -> None:
    account = trading.kept
    read = data.draw(st.sampled_from(sorted(READS)))
    status = data.draw(st.sampled_from([200, 200, 200, 204, 302, 400, 404, 500]))
    answer = answering(status, data.draw(bodies(trading.venue)))
    with pytest.MonkeyPatch.context() as patched, suppress(VenueUnavailable):
        patched.setattr(requests.Session, "request", answer)
        READS[read][1](trading, account)


NOTHING_OPEN = {"binance": "[]", "kraken": '{"error": [], "result": {"open": {}}}'}


@BOTH
@pytest.mark.parametrize("status", [201, 202, 204, 206, 302, 304])
def test_a_good_answer_under_another_status_than_200_is_no_evidence(trading: Trading, status: int) -> None:
    account = trading.kept
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(requests.Session, "request", answering(200, NOTHING_OPEN[trading.venue]))
        assert account.venue.open_orders() == ()
        patched.setattr(requests.Session, "request", answering(status, NOTHING_OPEN[trading.venue]))
        with pytest.raises(VenueUnavailable, match=f"http_{status}"):
            account.venue.open_orders()


@BOTH
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=75)
@given(data=st.data())
def test_whatever_is_answered_a_submission_ends_in_an_outcome(trading: Trading, data: st.DataObject) -> None:
    account = trading.kept
    request = trading.request(account)
    answer = answering(data.draw(st.sampled_from([200, 400, 500])), data.draw(bodies(trading.venue)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(requests.Session, "request", answer)
        outcome = account.venue.submit(request)
    assert outcome.kind is not OutcomeKind.ACCEPTED or outcome.venue_order is not None


@BOTH
def test_a_connection_that_broke_is_opened_again_for_a_read(trading: Trading) -> None:
    account = trading.open()
    account.venue.balances()
    trading.server.stop()
    trading.server.start()
    assert account.venue.balances().total


@BOTH
def test_a_venue_that_cannot_be_reached_is_no_evidence(trading: Trading) -> None:
    account = trading.open()
    account.venue.balances()
    trading.server.stop()
    for read, (_, ask) in READS.items():
        with pytest.raises(VenueUnavailable):
            ask(trading, account)
        assert read
    trading.base.advance(60)
    with pytest.raises(VenueUnavailable):
        account.market_data.time()


@BOTH
def test_an_order_that_look_ups_do_not_show_yet_is_a_miss_and_then_found(trading: Trading) -> None:
    account = trading.open()
    trading.server.add_fault("lagging_lookup")
    request, _ = trading.placed(account)
    assert account.venue.lookup(trading.symbol, request.client_order_id) is None
    trading.base.advance(4)
    assert account.venue.lookup(trading.symbol, request.client_order_id) is not None


def test_an_archived_order_is_no_miss(binance: Trading) -> None:
    account = binance.open()
    request, _ = binance.placed(account, limit_price=FAR_BELOW)
    account.venue.cancel(binance.symbol, request.client_order_id)
    binance.base.advance(91 * 86_400)
    with pytest.raises(VenueUnavailable, match="-2026"):
        account.venue.lookup(binance.symbol, request.client_order_id)


def test_a_read_with_a_nonce_that_came_too_late_is_asked_again(kraken: Trading) -> None:
    """Another function's request overtook ours; a fresh nonce does."""
    account = kraken.open()
    kraken.server.add_fault("drop_error", kind="balances", error="EAPI:Invalid nonce", times=2)
    assert account.venue.balances().total


def test_reads_at_the_same_time_do_not_overtake_each_other(kraken: Trading) -> None:
    account = kraken.open()
    kraken.placed(account)
    reads = {str(number): account.venue.balances if number % 2 else account.venue.open_orders for number in range(12)}
    assert len(gather_in_threads(reads)) == 12
    refused = [row for row in kraken.server.audit.decisions() if row["code"] == "EAPI:Invalid nonce"]
    assert refused == []


def test_a_nonce_that_never_fits_is_given_up(kraken: Trading) -> None:
    account = kraken.open()
    kraken.server.add_fault("drop_error", kind="balances", error="EAPI:Invalid nonce", times=None)
    with pytest.raises(VenueUnavailable, match="Invalid nonce"):
        account.venue.balances()


# --- pages of trades ----------------------------------------------------------------------------------


def read_all(account: LiveAccount, symbol: str, end: datetime) -> tuple[list[VenueTrade], int]:
    """Every trade of a window and how many pages it took."""
    page = account.venue.trades(symbol, START, end)
    found, pages = list(page.trades), 1
    while page.next_page is not None:
        page = account.venue.trades(symbol, START, end, page.next_page)
        found.extend(page.trades)
        pages += 1
    return found, pages


@BOTH
@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 100, 130])
def test_every_trade_of_a_window_is_read_once_however_many_pages_it_has(trading: Trading, number: int) -> None:
    profile = load_profile(trading.venue)
    paged = profile.model_copy(update={"history": profile.history.model_copy(update={"page_size": 50})})
    account = trading.open_with(paged)
    if number:
        trading.server.exchange.books(trading.venue).trades_per_fill = number
        trading.placed(account, quantity="0.5")
    found, pages = read_all(account, trading.symbol, START + timedelta(seconds=1))
    truth = [trade["trade_id"] for trade in trading.server.truth(trading.venue)["trades"]]
    assert sorted(trade.trade_id for trade in found) == sorted(truth)
    assert len(truth) == number
    assert pages >= number / 50


def test_a_window_longer_than_a_day_is_read_in_parts(binance: Trading) -> None:
    account = binance.open()
    for _ in range(3):
        binance.placed(account)
        binance.base.advance(30 * 3600)
    found, pages = read_all(account, binance.symbol, account.market_data.time())
    assert len(found) == 3
    assert pages == 4


@BOTH
def test_trades_outside_the_window_or_of_other_symbols_are_left_out(trading: Trading) -> None:
    eth = trading.pair("ETH")
    account = trading.open(symbols=(trading.symbol, eth))
    trading.placed(account)
    trading.base.advance(10)
    trading.placed(account, symbol=eth, quantity="0.1")
    trading.placed(account)
    trading.base.advance(10)
    trading.placed(account)
    window = START + timedelta(seconds=5), START + timedelta(seconds=15)
    assert [trade.at for trade in account.venue.trades(trading.symbol, *window).trades] == [
        START + timedelta(seconds=10)
    ]
    assert [trade.symbol for trade in account.venue.trades(eth, *window).trades] == [eth]


def test_one_answer_of_kraken_serves_every_symbol_of_a_window(kraken: Trading) -> None:
    symbols = tuple(kraken.pair(base) for base in ("BTC", "ETH", "SOL"))
    account = kraken.open(symbols=symbols)
    for _ in range(2):
        end = account.market_data.time()
        for symbol in symbols:
            account.venue.trades(symbol, START, end)
        kraken.base.advance(60)
    assert len(kraken.server.audit.requests("trades")) == 2


# --- keys ---------------------------------------------------------------------------------------------

PLANTED = {"apiKey": "planted-key-0123456789", "secret": "cGxhbnRlZC1zZWNyZXQtOTg3NjU0MzIxMA=="}


@BOTH
def test_a_revoked_key_stops_the_account_and_says_what_to_do(trading: Trading) -> None:
    account = trading.open()
    trading.server.exchange.change_key(trading.venue, "executor", revoked=True)
    with pytest.raises(AccountRefused, match="check the API key, its permissions") as refused:
        account.venue.balances()
    codes = {"binance": "-2015", "kraken": "EAPI:Invalid key"}
    assert refused.value.code == codes[trading.venue]
    outcome = account.venue.submit(trading.request(account))
    assert (outcome.kind, outcome.code) == (OutcomeKind.CONFIGURATION, codes[trading.venue])


@BOTH
def test_a_key_without_the_right_to_trade_is_a_matter_of_configuration(trading: Trading) -> None:
    account = trading.open()
    trading.server.exchange.change_key(trading.venue, "executor", trade=False)
    assert account.venue.submit(trading.request(account)).kind is OutcomeKind.CONFIGURATION
    assert account.venue.balances().total
    assert trading.orders() == 0


@BOTH
def test_the_key_is_read_again_once_the_venue_has_refused_it(trading: Trading) -> None:
    account = trading.open()
    account.venue.balances()
    account.venue.balances()
    assert trading.keys.read_names == ["/belay/dev/executor/main"]
    trading.server.exchange.change_key(trading.venue, "executor", revoked=True)
    with pytest.raises(AccountRefused):
        account.venue.balances()
    rotated = trading.server.add_key(trading.venue, "rotated")
    trading.keys.values = {"apiKey": rotated.api_key, "secret": rotated.secret}
    assert account.venue.balances().total


@BOTH
def test_the_key_is_read_again_once_the_venue_has_refused_an_order_because_of_it(trading: Trading) -> None:
    account = trading.open()
    request = trading.request(account)
    trading.server.exchange.change_key(trading.venue, "executor", revoked=True)
    assert account.venue.submit(request).kind is OutcomeKind.CONFIGURATION
    rotated = trading.server.add_key(trading.venue, "rotated")
    trading.keys.values = {"apiKey": rotated.api_key, "secret": rotated.secret}
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED


@BOTH
def test_a_function_without_a_key_reads_public_data_and_sends_nothing(trading: Trading) -> None:
    account = LiveAccounts("dev", trading.keys, None, trading.cache, trading.clock).open(trading.document())
    assert account.market_data.price(trading.symbol).value > 0
    with pytest.raises(AccountRefused, match="holds no key"):
        account.venue.balances()
    assert account.venue.submit(trading.request(account)).kind is OutcomeKind.NOT_SENT
    assert trading.keys.read_names == []


@BOTH
def test_an_incomplete_key_is_refused_before_anything_is_asked(trading: Trading) -> None:
    trading.keys.values = {"apiKey": "only"}
    account = trading.open()
    with pytest.raises(AccountRefused, match="must hold apiKey, secret"):
        account.venue.open_orders()
    outcome = account.venue.submit(trading.request(account))
    assert (outcome.kind, trading.sent()) == (OutcomeKind.NOT_SENT, [])


def everything_in(error: BaseException) -> str:
    """All that a log could show of an exception: its text, its story, what it was raised from or during."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        found = pending.pop()
        if found is not None and found not in seen:
            seen.append(found)
            pending += [found.__cause__, found.__context__]
    told = ["".join(traceback.format_exception(found)) + repr(found) + repr(vars(found)) for found in seen]
    held = [repr(getattr(getattr(found, "request", None), "headers", "")) for found in seen]
    return "".join(told + held)


@BOTH
@pytest.mark.parametrize("broken", ["none", *BROKEN, "restricted", "banned"])
def test_no_part_of_a_key_is_ever_shown(trading: Trading, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    trading.keys.values = dict(PLANTED)
    account = trading.open()
    request = trading.request(account)
    trading.server.add_fault(broken, kind=None, times=None)
    shown = [account.venue.submit(request).model_dump_json()]
    for _, ask in READS.values():
        try:
            shown.append(repr(ask(trading, account)))
        except VenueUnavailable as error:
            shown.append(everything_in(error))
    shown += [caplog.text, repr(trading.keys.read("x")), json.dumps(trading.server.audit.rows)]
    for value in PLANTED.values():
        assert not any(value in text for text in shown)


ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "of an address": lambda text: quote(text, safe=""),
    "JSON of escapes only": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "a part of it": lambda text: text[5:15],
    "across the cut of a code": lambda text: "x" * 70 + text,
    "across the cut of a text": lambda text: "x" * 270 + text,
    "behind a name": lambda text: f"X-MBX-APIKEY: {text} API-Sign={text}&signature={text}",
}
# What is answered to whatever is asked, with the key in the place of KEY: the status and the body.
REPEATED: dict[str, dict[str, tuple[int, str]]] = {
    "binance": {
        "rejected": (400, '{"code": -1013, "msg": "KEY"}'),
        "not sent": (400, '{"code": -1021, "msg": "KEY"}'),
        "unknown": (500, '{"code": -1007, "msg": "KEY"}'),
        "configuration": (401, '{"code": -2015, "msg": "Invalid KEY"}'),
        "a code of it": (400, '{"code": "KEY", "msg": ""}'),
        "an order of it": (200, '{"orderId": "KEY", "clientOrderId": "KEY", "symbol": "KEY", "status": "KEY"}'),
        "orders of it": (
            200,
            (
                '[{"orderId": "KEY", "clientOrderId": "KEY", "symbol": "BTCUSDT", "status": "NEW", "side": "BUY",'
                ' "type": "LIMIT", "origQty": "1", "price": "1", "executedQty": "0", "updateTime": 1}]'
            ),
        ),
        "trades of it": (
            200,
            (
                '[{"id": "KEY", "orderId": "KEY", "symbol": "BTCUSDT", "isBuyer": true, "qty": "1", "price": "1",'
                ' "commission": "1", "commissionAsset": "KEY", "time": 1709294400000}]'
            ),
        ),
        "an asset of it": (200, '{"balances": [{"asset": "KEY", "free": "1", "locked": "0"}]}'),
        "a right of it": (200, '{"KEY": true, "enableReading": true}'),
        "a time of it": (200, '{"serverTime": "KEY"}'),
        "a market of it": (200, '{"symbols": [{"symbol": "KEY", "status": "KEY", "baseAsset": "KEY"}]}'),
        "a page of it": (403, "<html>KEY</html>"),
    },
    "kraken": {
        "rejected": (200, '{"error": ["EOrder:Insufficient funds"], "beside": "KEY"}'),
        "not sent": (200, '{"error": ["EAPI:Rate limit exceeded"], "beside": "KEY"}'),
        "unknown": (200, '{"error": ["EService:Timeout KEY"]}'),
        "configuration": (200, '{"error": ["EAPI:Invalid key"], "beside": "KEY"}'),
        "a code of it": (200, '{"error": ["KEY"]}'),
        "an order of it": (200, '{"error": [], "result": {"txid": ["KEY"], "descr": {"order": "KEY"}}}'),
        "orders of it": (
            200,
            (
                '{"error": [], "result": {"open": {"KEY": {"cl_ord_id": "KEY", "status": "open", "vol": "1", "opentm":'
                ' 1, "vol_exec": "0",'
                ' "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1"}}}}}'
            ),
        ),
        "trades of it": (
            200,
            (
                '{"error": [], "result": {"count": 1, "trades": {"KEY": {"ordertxid": "KEY", "pair": "XBTUSD",'
                ' "fee": "1", "type": "buy", "vol": "1", "price": "1", "time": 1709294400}}}}'
            ),
        ),
        "an asset of it": (200, '{"error": [], "result": {"KEY": {"balance": "1"}}}'),
        "a right of it": (200, '{"error": [], "result": {"permissions": ["KEY"], "apiKey": "KEY"}}'),
        "a time of it": (200, '{"error": [], "result": {"unixtime": "KEY"}}'),
        "a market of it": (200, '{"error": [], "result": {"KEY": {"altname": "KEY", "base": "KEY", "quote": "KEY"}}}'),
        "a page of it": (403, "<html>KEY</html>"),
    },
}
PUBLIC: dict[str, Callable[[Trading, LiveAccount], Any]] = {
    "time": lambda trading, account: account.market_data.time(),
    "price": lambda trading, account: account.market_data.price(trading.symbol),
    "candles": lambda trading, account: account.market_data.candles(trading.symbol, "1m", START, 3),
    "market": lambda trading, account: account.market_data.market(trading.symbol),
    "another market": lambda trading, account: account.market_data.market(trading.pair("SOL")),
    "a market's id": lambda trading, account: account.market_data.symbol_of("unheard of"),
}
EVERY_READ = {
    **{name: ask for name, (_, ask) in READS.items()},
    "access": lambda trading, account: account.venue.access(),
    **PUBLIC,
}


def fragments(text: str, length: int) -> set[str]:
    return {text[at : at + length].lower() for at in range(len(text) - length + 1)}


def told_of(trading: Trading, account: LiveAccount) -> str:
    """Everything that comes out of an account: an outcome, every read or what it raises."""
    shown = [account.venue.submit(trading.request(account)).model_dump_json()]
    for ask in EVERY_READ.values():
        try:
            shown.append(repr(ask(trading, account)))
        except (VenueUnavailable, InvalidInput) as error:
            shown += [everything_in(error), f"raised from {error.__cause__!r} during {error.__context__!r}"]
    assert all(text.endswith("raised from None during None") for text in shown if text.startswith("raised from"))
    return "\n".join(shown).lower()


@pytest.mark.parametrize(("venue", "place"), [(venue, place) for venue, places in REPEATED.items() for place in places])
def test_a_venue_that_repeats_a_key_does_not_get_it_told(
    trading: Trading, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In every encoding that is looked for, as whatever it is answered, and to whatever is asked."""
    caplog.set_level(logging.DEBUG)
    account, values = trading.kept, trading.keys.values.values()
    status, body = REPEATED[trading.venue][place]
    parts = set().union(*(fragments(value, 8) for value in values))
    encoded = [ECHOES[name](value) for value in values for name in ("base64", "hex", "JSON of escapes only")]
    parts_encoded = set().union(*(fragments(text, 18) for text in encoded))
    for name, echo in ECHOES.items():
        for value in values:
            caplog.clear()
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(requests.Session, "request", answering(status, body.replace("KEY", echo(value))))
                shown = told_of(trading, account) + caplog.text.lower()
            assert parts.isdisjoint(fragments(shown, 8)), name
            assert parts_encoded.isdisjoint(fragments(shown, 18)), name


@BOTH
def test_the_request_that_was_signed_is_not_told_either(trading: Trading) -> None:
    account = trading.kept
    trading.server.add_fault("accept_echo", kind=None, times=None)
    shown = told_of(trading, account)
    assert "[redacted]" in shown
    for sent in trading.server.audit.rows:
        for name in ("signature", "nonce"):
            assert (sent.get("params") or {}).get(name, "no such") not in shown
    for value in trading.keys.values.values():
        assert not any(part in shown for part in fragments(value, 8))


def test_a_long_message_is_cut(binance: Trading) -> None:
    account, message = binance.kept, json.dumps({"code": -1000, "msg": "x" * 500_000})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(requests.Session, "request", answering(500, message))
        outcome = account.venue.submit(binance.request(account))
    assert (outcome.code, len(outcome.detail)) == ("-1000", 300)


@BOTH
def test_ccxts_own_error_while_an_instance_is_made_does_not_leave_either(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some classes ask for accounts first."""
    profile = load_profile(trading.venue)
    profile = profile.model_copy(update={"preflight": profile.preflight.model_copy(update={"preload": ("planted",)})})
    account = trading.open_with(profile)

    def planted(_exchange: Any) -> None:
        raise requests.ConnectionError(f"https://host/?signature={trading.keys.values['secret']}")

    monkeypatch.setattr(exchange_class(trading.venue), "planted", planted, raising=False)
    with pytest.raises(VenueUnavailable, match="ConnectionError") as refused:
        account.venue.balances()
    assert trading.keys.values["secret"] not in everything_in(refused.value)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert account.venue.submit(trading.request(account)).kind is OutcomeKind.NOT_SENT


# --- hostile answers ----------------------------------------------------------------------------------

HALVES = ("\ufffd", "\ufffd:\ufffd")
NO_EVIDENCE = r"no.believable|no_answer|RequestTimeout|unbelievable|\ufffd|_time failed"


@BOTH
@pytest.mark.parametrize("fault", [name for name in HOSTILE if name != "accept_echo"])
def test_a_hostile_answer_is_no_evidence_and_leaves_an_order_unknown(trading: Trading, fault: str) -> None:
    bomb()  # takes longer to make than a client here waits
    account = trading.open()
    request = trading.request(account)
    account.market_data.market(trading.symbol)
    trading.server.add_fault(fault)
    outcome = account.venue.submit(request)
    assert (outcome.kind, len(trading.sent()), trading.orders()) == (OutcomeKind.UNKNOWN, 1, 1)
    assert outcome.code in ("unbelievable_answer", "no_answer", *HALVES)
    assert outcome.model_dump_json().encode()
    assert outcome.detail or fault in ("accept_drip", "accept_half")
    if fault == "accept_long_id":
        return  # what is read may hold no id
    for kind in ("balances", "open_orders", "trades", "time"):
        trading.server.add_fault(fault, kind=kind, times=None)
    trading.base.advance(60)
    for ask in (*(ask for name, (_, ask) in READS.items() if name != "lookup"), PUBLIC["time"]):
        with pytest.raises(VenueUnavailable, match=NO_EVIDENCE):
            ask(trading, account)


HUGE = st.sampled_from(["1e999999999", "9" * 100, 10**80, 1e300, -1, "NaN", "Infinity", "-0", "\u0000", "x" * 5000])


@BOTH
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    read=st.sampled_from(sorted(EVERY_READ)),
    later=st.sampled_from([0, 6, 3700]),
    path=st.lists(st.integers(0, 1000), max_size=6),
    value=VALUES | HUGE,
    spared=st.integers(0, 2),
)
def test_a_good_answer_with_anything_in_it_is_evidence_or_none_and_nothing_else(
    trading: Trading, read: str, later: int, path: list[int], value: Any, spared: int
) -> None:
    """A part of what the venue really answers, replaced; `spared` of the answers are left as they are."""
    account, request, left = trading.kept, requests.Session.request, [spared]

    def mutated(*arguments: Any, **options: Any) -> requests.Response:
        response = request(*arguments, **options)
        content = json.loads(response.raw.read())
        left[0] -= 1
        return answering(
            response.status_code, json.dumps(content if left[0] >= 0 else _mutated(content, path, value))
        )()

    trading.base.advance(later)
    with pytest.MonkeyPatch.context() as patched, suppress(VenueUnavailable, InvalidInput):
        patched.setattr(requests.Session, "request", mutated)
        EVERY_READ[read](trading, account)


def _mutated(content: Any, path: list[int], value: Any) -> Any:
    """The same with the part at a path, each step of it one of the names there, replaced by something else."""
    names = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else []
    if not names or not path:
        return value
    name, changed = names[path[0] % len(names)], dict(content) if isinstance(content, dict) else list(content)
    changed[name] = _mutated(content[name], path[1:], value)
    return changed


# --- the request budget -------------------------------------------------------------------------------


def spend(read: Callable[[], Any]) -> None:
    """Read until the budget is used up."""

    def forever() -> None:
        while True:
            read()

    with pytest.raises(VenueUnavailable, match="request budget is used up"):
        forever()


@BOTH
def test_reads_leave_the_last_requests_to_submissions_and_cancels(trading: Trading) -> None:
    seconds = [0.0]
    profile = load_profile(trading.venue)
    account = trading.open_with(profile, Budget(30, 5, lambda: seconds[0]))
    resting, _ = trading.placed(account, limit_price=FAR_BELOW)
    request = trading.request(account)
    spend(account.venue.balances)
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED
    account.venue.cancel(trading.symbol, resting.client_order_id)
    seconds[0] += 30
    assert account.venue.balances().total


def test_public_and_private_requests_share_one_budget(binance: Trading) -> None:
    account = binance.open(requests_per_minute=70)
    spend(lambda: account.market_data.price(binance.symbol))
    with pytest.raises(VenueUnavailable, match="request budget is used up"):
        account.venue.balances()


def test_a_later_version_of_a_document_goes_on_with_what_is_left(binance: Trading) -> None:
    accounts = LiveAccounts("dev", binance.keys, "executor_secret", binance.cache, binance.clock)
    first = accounts.open(binance.document())
    second = accounts.open(binance.document(balance_tolerance={"USDT": "1"}))
    assert first.venue._budget is second.venue._budget


@BOTH
def test_a_venue_that_asks_to_wait_is_left_alone_but_for_orders(trading: Trading) -> None:
    account = trading.open()
    request = trading.request(account)
    trading.server.add_fault("rate_limited", kind="balances", retry_after=30)
    with pytest.raises(VenueUnavailable):
        account.venue.balances()
    with pytest.raises(VenueUnavailable, match="asked to wait for"):
        account.venue.open_orders()
    assert trading.server.audit.requests("open_orders") == []
    assert account.venue.submit(request).kind is OutcomeKind.ACCEPTED


# --- markets ------------------------------------------------------------------------------------------


@BOTH
def test_markets_are_listed_once_for_all_processes_of_an_hour(trading: Trading) -> None:
    def trade() -> LiveAccount:
        account = trading.open()
        assert account.market_data.market(trading.symbol).price_tick == Decimal("0.1")
        trading.placed(account)
        account.venue.trades(trading.symbol, START, account.market_data.time())
        return account

    *_, last = (trade() for _ in range(3))
    assert len(trading.server.audit.requests("markets")) == 1
    trading.base.advance(3700)
    trading.open().market_data.market(trading.symbol)
    last.market_data.market(trading.symbol)
    assert len(trading.server.audit.requests("markets")) == 2


@BOTH
def test_only_the_symbols_that_are_traded_are_kept(trading: Trading) -> None:
    account = trading.open()
    assert [entry["symbol"] for entry in account.market_data.entries()] == [trading.symbol]
    [text] = trading.cache._texts.values()
    assert "ETH" not in text


def plant(patch: pytest.MonkeyPatch, **planted: Any) -> None:
    """A venue whose list of markets says more than it should."""
    listed = LiveMarketData._list_markets

    def more(market_data: LiveMarketData) -> dict[str, Any]:
        markets = listed(market_data)
        info = planted.get("info", {})
        return {symbol: {**market, **planted, "info": {**market["info"], **info}} for symbol, market in markets.items()}

    patch.setattr(LiveMarketData, "_list_markets", more)


@BOTH
def test_of_a_market_only_names_numbers_and_flags_that_are_needed_are_kept(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks in public may hold no key, and would not recognise one."""
    key = trading.keys.values["apiKey"]
    plant(monkeypatch, note="unheard of", settleId=key, marginModes={key: True, "cross": key}, info={"more": key})
    account = trading.open()
    assert account.venue.submit(trading.request(account)).kind is OutcomeKind.ACCEPTED
    [text] = trading.cache._texts.values()
    assert trading.symbol in text
    assert not [part for part in (key, "unheard of") if part in text]


@BOTH
def test_a_market_that_repeats_a_part_of_a_known_key_is_not_kept(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = trading.open()
    account.venue._key.get()
    plant(monkeypatch, baseId=trading.keys.values["apiKey"][:12])
    with pytest.raises(NotUnderstood, match=f"no believable market of {trading.symbol}"):
        account.market_data.market(trading.symbol)
    assert trading.keys.values["apiKey"][:12] not in "".join(trading.cache._texts.values())


@BOTH
def test_a_symbol_that_was_not_foreseen_is_added(trading: Trading) -> None:
    account = trading.open()
    account.venue.balances()
    assert account.market_data.price(trading.pair("ETH")).value > 0
    assert account.venue.lookup(trading.pair("ETH"), uuid.uuid4().hex) is None


@BOTH
def test_a_cache_with_something_else_in_it_is_as_good_as_empty(trading: Trading) -> None:
    trading.open().market_data.entries()
    for text in ("", "{}", "[]", '{"at": "2024-03-01T12:00:00+00:00"}', '{"at": 1, "markets": {}}', "\x00"):
        trading.cache._texts = dict.fromkeys(trading.cache._texts, text)
        assert trading.open().market_data.market(trading.symbol).symbol == trading.symbol


def test_an_unlisted_symbol_is_told_as_that(binance: Trading) -> None:
    with pytest.raises(SymbolUnavailable, match="no spot market NOPE/USDT"):
        binance.open(symbols=("NOPE/USDT",)).market_data.market("NOPE/USDT")


# --- venue time ---------------------------------------------------------------------------------------


@BOTH
def test_the_offset_is_measured_again_after_some_seconds(trading: Trading) -> None:
    account = trading.open()
    for _ in range(3):
        account.market_data.time()
    assert len(trading.server.audit.requests("time")) == 1
    trading.base.advance(6)
    account.market_data.time()
    assert len(trading.server.audit.requests("time")) == 2


@BOTH
def test_the_offset_is_measured_again_when_the_machines_clock_went_back(trading: Trading) -> None:
    account = trading.open()
    account.market_data.time()
    trading.clock.wrong_seconds = -3600
    assert account.market_data.time() == START


@BOTH
def test_a_venue_whose_own_clock_is_wrong_is_followed(trading: Trading) -> None:
    trading.server.clock.offset_seconds = 100
    account = trading.open()
    assert account.market_data.time() == START + timedelta(seconds=100)
    trading.placed(account)


# --- a venue of which nothing is known ----------------------------------------------------------------

UNKNOWN_VENUE = {"options": {"warnOnFetchOpenOrdersWithoutSymbol": False, "fetchMarkets": {"types": ["spot"]}}}


def generic(trading: Trading) -> LiveAccount:
    options = {**trading.document().options, **UNKNOWN_VENUE}
    return trading.open(venue_profile="generic", options=options)


def test_with_the_generic_profile_orders_are_placed_and_read_through_ccxts_own_structures(binance: Trading) -> None:
    account = generic(binance)
    request, outcome = binance.placed(account, limit_price=FAR_BELOW)
    assert outcome.venue_order is not None
    [shown] = readable(account.venue.open_orders())
    assert (shown.client_order_id, shown.quantity) == (request.client_order_id, request.quantity)
    assert shown.limit_price == FAR_BELOW
    assert account.venue.balances().total == {"USDT": Decimal(100_000)}
    assert account.venue.lookup(binance.symbol, request.client_order_id) == shown
    binance.server.exchange.pin_price("binance", binance.symbol, FAR_BELOW - 1)
    binance.base.advance(20)
    [trade] = account.venue.trades(binance.symbol, START, account.market_data.time()).trades
    assert (trade.price, trade.quantity) == (FAR_BELOW, request.quantity)
    assert account.venue.lookup(binance.symbol, request.client_order_id) is None


def test_with_the_generic_profile_no_code_is_a_refusal_and_nothing_is_fenced(binance: Trading) -> None:
    account = generic(binance)
    outcome = account.venue.submit(binance.request(account, quantity="100", limit_price=FAR_BELOW))
    assert (outcome.kind, outcome.code) == (OutcomeKind.UNKNOWN, "http_400")
    [sent] = binance.sent()
    assert "recvWindow" in sent["params"]  # ccxt's own, from the moment of sending
    assert account.venue.profile.fence is None


def test_with_the_generic_profile_a_market_buy_is_not_sent(binance: Trading) -> None:
    """Some venues take its amount in quote currency."""
    account = generic(binance)
    outcome = account.venue.submit(binance.request(account))
    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "local_market_buy")
    assert binance.sent() == []


def test_with_the_generic_profile_an_empty_answer_is_no_list(binance: Trading) -> None:
    account = generic(binance)
    assert account.venue.open_orders() == ()
    for broken in ("accept_braces", "accept_html", "accept_empty"):
        binance.server.add_fault(broken, kind="open_orders")
        with pytest.raises(VenueUnavailable):
            account.venue.open_orders()


def test_with_the_generic_profile_a_full_page_of_trades_is_not_taken_for_all(binance: Trading) -> None:
    profile = profile_of(binance.document(venue_profile="generic"))
    account = binance.open_with(profile, options={**binance.document().options, **UNKNOWN_VENUE})
    binance.server.exchange.books("binance").trades_per_fill = profile.history.page_size
    binance.placed(account, limit_price=Decimal(90_000), quantity="0.5")
    page = account.venue.trades(binance.symbol, START, START + timedelta(seconds=1))
    assert (len(page.trades), page.full, page.next_page) == (profile.history.page_size, True, None)


def test_with_the_generic_profile_a_cancel_names_the_venues_own_id(binance: Trading) -> None:
    account = generic(binance)
    by_venue_id = account.venue._venue.client_id
    assert by_venue_id is not None
    account.venue._venue = account.venue._venue.model_copy(
        update={"client_id": by_venue_id.model_copy(update={"cancel": None})}
    )
    request, _ = binance.placed(account, limit_price=FAR_BELOW)
    account.venue.cancel(binance.symbol, request.client_order_id)
    assert account.venue.open_orders() == ()
