"""Venue profiles: what the files may say, what is not verified, and client order ids in the venues' formats."""

import json
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.live.profiles import known_venues, load_profile, profile_of
from belay.adapters.live.profiles.answers import Meaning, Rows, dig, rows_of
from belay.adapters.live.profiles.client_ids import FORMATS, ClientId
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.public_market import exchange_class
from belay.domain.errors import InvalidInput
from tests.builders import NOW, make_document

VENUES = (
    "binance",
    "bitfinex",
    "bitget",
    "bybit",
    "coinbase",
    "gate",
    "htx",
    "hyperliquid",
    "kraken",
    "kucoin",
    "mexc",
    "okx",
)
COMPLETE = ("binance", "kraken")
ORDER_IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)


def written(venue: str) -> dict[str, Any]:
    """A profile's file as it is written."""
    folder = files("belay.adapters.live.profiles")
    document: dict[str, Any] = json.loads((folder / f"{venue}.json").read_text())
    return document


RIGHTS = written("binance")["rights"]


def live(venue: str, **changes: Any) -> Any:
    return make_document(venue=venue, mode="live", paper=None, **changes)


# --- the files ----------------------------------------------------------------------------------------


def test_each_of_the_twelve_venues_has_a_profile_that_the_schema_accepts() -> None:
    assert known_venues() == VENUES
    assert [load_profile(venue).name for venue in VENUES] == list(VENUES)


@pytest.mark.parametrize("venue", VENUES)
def test_what_a_profile_asks_of_its_class_the_class_has(venue: str) -> None:
    """Look-ups, skipped methods, credentials: a wrong name would only be found out while trading."""
    profile, exchange = load_profile(venue), exchange_class(venue)({})
    for lookup in profile.lookups:
        assert callable(getattr(exchange, lookup.method))
    for method in (*profile.preflight.skip, *profile.preflight.preload, "create_order", "cancel_order"):
        assert callable(getattr(exchange, method))
    if profile.rights is not None:
        assert callable(getattr(exchange, profile.rights.method))
    if profile.flows is not None:
        methods = {entry.method for entry in profile.flows.lists}
        methods |= {profile.flows.ledger.method} if profile.flows.ledger else set()
        assert all(callable(getattr(exchange, method)) for method in methods)
    required = {name for name, needed in exchange.requiredCredentials.items() if needed}
    assert required <= set(profile.credentials)


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "blue"},
        {"fence": {"kind": "receive_window", "key": "recvWindow"}},
        {"second_attempt": "always"},
        {"uniqueness": "per account"},
        {"lookups": []},
        {"codes": {"perhaps": [{"codes": ["-1"], "statuses": [400]}]}},
        {"codes": {"unknown": [{"codes": ["-1"], "statuses": []}]}},
        {"unverified": ["fence.colour"]},
        {"name": None},
        {"rights": {**RIGHTS, "method": "__class__"}},
        {"rights": {**RIGHTS, "colour": "blue"}},
        {"rights": {**RIGHTS, "names": {**RIGHTS["names"], "withdraw": []}}},
        {"rights": {**RIGHTS, "names": {"read": ["enableReading"]}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_field_that_is_unknown_missing_or_wrong_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        CcxtProfile.model_validate({**written("binance"), **change})


@pytest.mark.parametrize("meaning", ["rejected", "not_placed"])
def test_a_status_alone_never_says_that_no_order_came_of_a_request(meaning: str) -> None:
    with pytest.raises(ValueError, match="a status alone proves nothing"):
        CcxtProfile.model_validate({**written("binance"), "codes": {meaning: [{"statuses": [400]}]}})


def test_a_fence_that_is_not_verified_is_never_definitive_and_allows_no_second_attempt() -> None:
    with pytest.raises(ValueError, match="not verified is not definitive"):
        CcxtProfile.model_validate({**written("binance"), "unverified": ["fence"]})
    gateway_only = {**written("binance"), "fence": {**written("binance")["fence"], "definitive": False}}
    with pytest.raises(ValueError, match="second attempt needs a definitive fence"):
        CcxtProfile.model_validate(gateway_only)


# --- what is not verified -----------------------------------------------------------------------------


@pytest.mark.parametrize("venue", sorted(set(VENUES) - set(COMPLETE)))
def test_a_venue_that_nobody_verified_is_conservative_in_everything(venue: str) -> None:
    profile = load_profile(venue)
    assert {"history_lag_seconds", "lookups", "history"} <= set(profile.unverified)
    assert not any(profile.rules(meaning) for meaning in Meaning)
    assert profile.second_attempt == "never"
    assert profile.fence is None or not profile.fence.definitive
    assert profile.domain().absence_provable_from(NOW) is None


def test_what_the_complete_profiles_leave_unverified_is_named() -> None:
    assert load_profile("binance").unverified == (
        "history_lag_seconds",
        "miss_spacing_seconds",
        "budget.requests_per_minute",
        "flows",
    )
    assert set(load_profile("kraken").unverified) >= {"history_lag_seconds", "lookups", "fee_quirks"}


def test_an_unverified_code_proves_nothing() -> None:
    doubtful = CcxtProfile.model_validate({**written("binance"), "unverified": ["codes.rejected"]})
    assert load_profile("binance").rules(Meaning.REJECTED)
    assert doubtful.rules(Meaning.REJECTED) == ()


# --- opting in ----------------------------------------------------------------------------------------


def test_a_venue_without_a_profile_needs_the_generic_one_to_be_asked_for() -> None:
    with pytest.raises(InvalidInput, match=r'"venue_profile": "generic"'):
        profile_of(live("bitstamp"))
    assert profile_of(live("bitstamp", venue_profile="generic")).name == "bitstamp"


def test_the_generic_profile_assumes_nothing() -> None:
    profile = profile_of(live("bitstamp", venue_profile="generic"))
    assert (profile.fence, profile.second_attempt, profile.uniqueness) == (None, "never", "none")
    assert not any(profile.rules(meaning) for meaning in Meaning)
    assert not profile.market_buys
    assert profile.domain().fence_at(NOW) is None


def test_under_the_generic_profile_a_known_venue_is_still_asked_what_a_key_may_do() -> None:
    """A key that can withdraw is refused, whatever profile its account trades with."""
    for venue in COMPLETE:
        assert profile_of(live(venue, venue_profile="generic")).rights == load_profile(venue).rights is not None
    assert profile_of(live("bitstamp", venue_profile="generic")).rights is None


def test_a_venue_that_cannot_carry_our_order_ids_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot carry an order id"):
        profile_of(live("bitfinex"))


# --- what the workflows see ---------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "window", "grace"), [("binance", 5, 15), ("kraken", 10, 15)])
def test_absence_is_provable_once_engine_delay_and_look_up_lag_have_passed(venue: str, window: int, grace: int) -> None:
    profile = load_profile(venue).domain()
    fence_at = profile.fence_at(NOW)
    assert fence_at == NOW + timedelta(seconds=window)
    assert profile.absence_provable_from(fence_at) == NOW + timedelta(seconds=window + grace)
    assert (profile.uniqueness, profile.resend) == ("open_only", "after_absence")


def test_a_look_up_counts_no_longer_than_the_shortest_retention_of_its_parts() -> None:
    lookups = [{**written("kraken")["lookups"][0], "retention_seconds": seconds} for seconds in (9000, 60)]
    assert CcxtProfile.model_validate({**written("kraken"), "lookups": lookups}).domain().closed_retention_seconds == 60


def test_a_submission_takes_no_longer_than_its_timeouts_together() -> None:
    profile = load_profile("binance")
    assert profile.domain().submit_timeout_seconds > profile.connect_timeout_seconds + profile.read_timeout_seconds


# --- client order ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@given(order_id=ORDER_IDS)
def test_an_order_id_survives_every_format_and_back(form: Any, order_id: str) -> None:
    client_id = ClientId(format=form, create="x", cancel="x")
    text = client_id.to_venue(order_id)
    assert client_id.from_venue(text) == order_id
    assert len(text) <= 36


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("hex32", "0123456789abcdef0123456789abcdef"),
        ("uuid", "01234567-89ab-cdef-0123-456789abcdef"),
        ("0xhex32", "0x0123456789abcdef0123456789abcdef"),
        ("t-base64", "t-ASNFZ4mrze8BI0VniavN7w"),
    ],
)
def test_an_order_id_is_written_as_the_venue_wants_it(form: Any, text: str) -> None:
    order_id = "0123456789abcdef0123456789abcdef"
    assert ClientId(format=form, create="x", cancel="x").to_venue(order_id) == text


def test_an_id_that_a_venue_shows_in_capitals_is_still_ours() -> None:
    kraken = load_profile("kraken")
    assert kraken.ours("01234567-89AB-CDEF-0123-456789ABCDEF") == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("form", FORMATS)
@given(text=st.text(max_size=40))
def test_a_foreign_id_is_never_taken_for_ours(form: Any, text: str) -> None:
    client_id = ClientId(format=form, create="x", cancel="x")
    ours = client_id.from_venue(text)
    assert ours is None or client_id.to_venue(ours) in (text, text.lower())


@pytest.mark.parametrize("text", ["web_123", "x-R4BD3S82", "0123456789abcdef", "t-!!!", "t-AAAAAAAAAAAAAAAAAAAAA9"])
def test_a_foreign_id_stays_as_it_is(text: str) -> None:
    assert load_profile("binance").ours(text) == text
    assert load_profile("gate").ours(text) == text


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("foreign", ["cron-1", "x-R4BD3S82", "0123456789ABCDEF0123456789ABCDEF"])
def test_the_id_of_an_adopted_order_is_sent_as_the_venue_showed_it(form: Any, foreign: str) -> None:
    assert ClientId(format=form, create="x", cancel="x").to_venue(foreign) == foreign


def test_no_client_order_id_is_none() -> None:
    assert load_profile("kraken").ours(None) is None
    assert load_profile("kraken").ours("") is None


# --- reading by path ----------------------------------------------------------------------------------


def test_only_takes_the_single_element_of_a_list() -> None:
    assert dig({"txid": ["A"]}, "txid.only") == "A"
    assert dig({"txid": ["A", "B"]}, "txid.only") is None
    assert dig({"txid": "A"}, "txid.only") is None


@pytest.mark.parametrize("document", [None, 1, "text", [], {}, {"result": None}, {"result": {"open": []}}])
def test_rows_of_another_shape_are_none_at_all(document: Any) -> None:
    assert rows_of(document, Rows(path="result.open", kind="object")) is None


def test_rows_of_an_object_carry_their_key() -> None:
    found = rows_of({"open": {"A": {"vol": "1"}}}, Rows(path="open", kind="object"))
    assert found == [{"@key": "A", "vol": "1"}]


def test_something_else_among_the_rows_of_a_list_is_a_row_of_which_nothing_is_known() -> None:
    assert rows_of([{"id": 1}, None], Rows(path="", kind="list")) == [{"id": 1}, {}]
    assert rows_of({"A": {"id": 1}, "B": None}, Rows(path="", kind="object")) == [{"@key": "A", "id": 1}, {"@key": "B"}]
    assert rows_of([], Rows(path="", kind="list")) == []
