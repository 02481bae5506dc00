"""An instance for a live account: what it is never allowed, what venues need beforehand, and how a claim is pinned."""

from types import SimpleNamespace
from typing import Any

import pytest

from belay.adapters.aws.secrets import Credentials
from belay.adapters.live.connect import RisingNonce, connect, open_wire, origins_of
from belay.adapters.live.fence import pin
from belay.adapters.live.profiles import load_profile
from belay.adapters.live.wire import Budget, ForeignHost
from belay.domain.errors import InvalidInput
from tests.builders import NOW, make_document, make_order, make_request, seconds

CLAIMED = 1709294403000
REQUEST = make_request(make_order(), fence_at=NOW + seconds(6))


def instance(venue: str, **changes: Any) -> Any:
    document = make_document(venue=venue, mode="live", paper=None, **changes)
    profile = load_profile(venue)
    wire = open_wire(document, profile, Budget(0, 0, lambda: 0.0), profile.order_path)
    return connect(document, profile, wire, Credentials({"apiKey": "key", "secret": "secret"}))


# --- instances ----------------------------------------------------------------------------------------


def test_what_could_send_twice_or_show_a_key_is_off_whatever_the_document_says() -> None:
    wished = {"maxRetriesOnFailure": 3, "adjustForTimeDifference": True, "recvWindow": 4000}
    exchange = instance("binance", options={"options": wished, "verbose": True, "httpProxy": "http://proxy"})
    assert (exchange.options["maxRetriesOnFailure"], exchange.options["adjustForTimeDifference"]) == (0, False)
    assert exchange.options["recvWindow"] == 4000
    assert (exchange.verbose, exchange.enableRateLimit, exchange.httpProxy) == (False, False, None)
    assert exchange.session.trust_env is False


def test_a_key_is_given_to_the_instance_and_to_nothing_else() -> None:
    exchange = instance("kraken")
    assert (exchange.apiKey, exchange.secret) == ("key", "secret")
    assert not exchange.logger.isEnabledFor(50)


def test_the_test_host_is_used_where_it_is_asked_for() -> None:
    assert "testnet" in instance("binance", sandbox=True).urls["api"]["private"]
    assert "testnet" not in instance("binance", sandbox=False).urls["api"]["private"]


ORIGINS = {
    "binance": ("https://api.binance.com:443",),
    "kraken": ("https://api.kraken.com:443",),
    "bybit": ("https://api.bybit.com:443",),
    "okx": ("https://www.okx.com:443",),
    "htx": ("https://api.hbdm.vn:443", "https://api.huobi.pro:443"),
}


@pytest.mark.parametrize("venue", ORIGINS)
def test_an_instance_may_ask_its_own_hosts_only(venue: str) -> None:
    document = make_document(venue=venue, mode="live", paper=None)
    assert origins_of(document) == ORIGINS[venue]
    assert instance(venue).session.origins == set(ORIGINS[venue])


def test_the_hosts_of_a_document_are_told_and_asked_instead() -> None:
    own = {"public": "http://127.0.0.1:8080/api/v3", "private": "https://broker.example:8443/api/v3"}
    document = make_document(venue="binance", mode="live", paper=None, options={"urls": {"api": own}})
    expected = ("http://127.0.0.1:8080", "https://api.binance.com:443", "https://broker.example:8443")
    assert origins_of(document) == expected
    tested = make_document(venue="binance", mode="live", paper=None, sandbox=True)
    assert origins_of(tested) == ("https://testnet.binance.vision:443",)
    named = make_document(venue="bybit", mode="live", paper=None, options={"hostname": "bybit.eu"})
    assert origins_of(named) == ("https://api.bybit.eu:443",)


@pytest.mark.parametrize(
    ("venue", "options", "place"),
    [
        ("binance", {"hostname": "broker.example"}, "hostname"),
        ("kraken", {"hostname": "broker.example"}, "hostname"),
        ("binance", {"urls": {"api": "https://broker.example"}}, "urls.api"),
        ("binance", {"urls": {"api": {"privat": "https://broker.example"}}}, "urls.api.privat"),
        ("binance", {"urls": {"api": {"private": {"v3": "https://broker.example"}}}}, "urls.api.private"),
        ("bybit", {"urls": {"hostnames": {"spot": "broker.example"}}}, "urls.hostnames"),
        ("htx", {"urls": {"hostnames": {"spots": "broker.example"}}}, "urls.hostnames.spots"),
        ("htx", {"options": {"fetchMarkets": {"types": ["spot"]}}}, "options.fetchMarkets.types"),
    ],
)
def test_an_option_that_the_class_would_ignore_or_break_on_is_refused(
    venue: str, options: dict[str, Any], place: str
) -> None:
    """Where nothing is made with a host, the key would go to the real one."""
    document = make_document(venue=venue, mode="live", paper=None, options=options)
    for make in (lambda: origins_of(document), lambda: instance(venue, options=options)):
        with pytest.raises(InvalidInput) as refused:
            make()
        assert refused.value.field == f"account.options.{place}"


def test_what_is_no_origin_is_never_asked() -> None:
    """The second lock, should the first one fail."""
    evil = {"public": "http://evil.example", "private": "https://x@evil.example", "sapi": "https://10.0.0.1"}
    exchange = instance("binance", options={"urls": {"api": evil}})
    assert exchange.session.origins == frozenset()
    for method in ("fetch_time", "fetch_balance"):
        with pytest.raises(ForeignHost):
            getattr(exchange, method)()
    assert list(exchange.session.calls) == []


def test_hyperliquid_neither_approves_a_fee_nor_sets_a_referrer() -> None:
    """Its class would, with the first order of every process."""
    exchange = instance("hyperliquid")
    assert exchange.initialize_client() is True
    assert list(exchange.session.calls) == []


def test_the_document_may_make_timeouts_shorter_but_not_longer() -> None:
    def timeouts(**options: Any) -> Any:
        document = make_document(venue="binance", mode="live", paper=None, options=options)
        return open_wire(document, load_profile("binance"), Budget(0, 0, lambda: 0.0))._timeouts

    assert timeouts() == (3, 7)
    assert timeouts(timeout=5000) == (3, 5)
    assert timeouts(timeout=90_000) == (3, 7)


def test_nonces_rise_however_fast_they_are_drawn() -> None:
    draw = RisingNonce()
    drawn = [draw() for _ in range(1000)]
    assert drawn == sorted(set(drawn))


# --- the pinned claim ---------------------------------------------------------------------------------


def pinned(venue: str) -> tuple[dict[str, Any], Any]:
    exchange = SimpleNamespace(headers={"kept": "yes"}, options={}, milliseconds=lambda: 1, nonce=lambda: 1)
    fence = load_profile(venue).fence
    assert fence is not None
    return pin(fence, REQUEST, exchange), exchange


def test_a_receive_window_counts_from_the_claim() -> None:
    params, exchange = pinned("binance")
    assert params == {"timestamp": CLAIMED, "recvWindow": 3000}
    assert exchange.nonce() == 1


def test_a_deadline_is_the_fence_in_whole_seconds() -> None:
    params, exchange = pinned("kraken")
    assert params == {"deadline": "2024-03-01T12:00:06Z"}
    assert exchange.nonce() == 1


def test_an_expiry_header_is_the_fence_in_milliseconds() -> None:
    params, exchange = pinned("okx")
    assert params == {}
    assert exchange.headers == {"kept": "yes", "expTime": str(CLAIMED + 3000)}


def test_where_the_class_signs_with_its_own_clock_that_clock_stands_still() -> None:
    params, exchange = pinned("bybit")
    assert params == {}
    assert exchange.options == {"recvWindow": 3000}
    assert (exchange.milliseconds(), exchange.nonce()) == (CLAIMED, CLAIMED)


def test_a_request_without_a_fence_is_not_pinned_to_a_guess() -> None:
    fence = load_profile("kraken").fence
    assert fence is not None
    with pytest.raises(ValueError, match="has no fence"):
        pin(fence, REQUEST.model_copy(update={"fence_at": None}), SimpleNamespace())
