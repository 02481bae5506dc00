"""Where a live account's document may send a key, and what it may tell the venue's class: little."""

from typing import Any

import pytest

from belay.domain.errors import InvalidInput
from belay.domain.live_options import INNER_OPTIONS, credential_in, hosts_of, origin_of, require_live_options

# --- hosts --------------------------------------------------------------------------------------------

ADDRESSES = {
    "https://api.binance.com": "https://api.binance.com:443",
    "https://api.binance.com/api/v3": "https://api.binance.com:443",
    "https://venue:8443/": "https://venue:8443",
    "https://xn--4ca.example/v1": "https://xn--4ca.example:443",
    "https://1inch.example.io/a/b/": "https://1inch.example.io:443",
    "http://127.0.0.1:8080/api/v3": "http://127.0.0.1:8080",
    "http://127.255.0.9": "http://127.255.0.9:80",
    "http://localhost:9": "http://localhost:9",
    "https://localhost": "https://localhost:443",
    "http://[::1]:9/x": "http://[::1]:9",
}
NOWHERE = [
    "http://api.binance.com",
    "http://10.0.0.1",
    "http://169.254.169.254/latest/meta-data",
    "https://169.254.169.254",
    "https://93.184.216.34",
    "http://128.0.0.1",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1.",
    "http://127.1",
    "http://127.0.0.01",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.0.0.1",
    "http://0177.0.0.1",
    "http://localhost.example.com",
    "http://localhost.",
    "http://[::ffff:127.0.0.1]",
    "http://[fe80::1]",
    "http://[::1",
    "https://api.binance.com.",
    "https://.binance.com",
    "https://api..binance.com",
    "https://-a.example",
    "https://2130706433",
    "https://evil.0x7f000001",
    "https://user@api.binance.com",
    "https://api.binance.com:pw@evil.example",
    "https://api.binance.com\\@evil.example",
    "https://api.binance.com\\.evil.example",
    "https://api.binance.com%2eevil.example",
    "https://api.binance.com:0",
    "https://api.binance.com:65536",
    "https://api.binance.com:443443",
    "https://api.binance.com:",
    "https://api.binance.com#x",
    "https://api.binance.com\n",
    "https://api.bina\tnce.com",
    "https:// api.binance.com",
    " https://api.binance.com",
    "https:api.binance.com",
    "https:///api.binance.com",
    "https://",
    "//api.binance.com",
    "api.binance.com",
    "HTTPS://api.binance.com",
    "https://API.binance.com",
    "https://аpi.binance.com",
    "https://api。binance.com",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "ws://127.0.0.1",
    "http+unix://127.0.0.1",
    "",
]
# With these behind it, an address has an origin for a request and is none for a document.
BEHIND = ["?x=1", "/a?x=1", "/a#x", "/a\\b", "/a b", "/a\n", "/%2e%2e", "/..", "/.", "//", "/a//b", "/{path}", "/@x"]


@pytest.mark.parametrize(("address", "origin"), ADDRESSES.items())
def test_https_and_this_machine_are_where_a_key_may_be_sent(address: str, origin: str) -> None:
    assert origin_of(address) == origin
    assert origin_of(f"{address.rstrip('/')}?signed=1") == origin
    require_live_options({"urls": {"api": {"private": address}}})


@pytest.mark.parametrize("address", NOWHERE)
def test_nothing_else_is_an_origin(address: str) -> None:
    assert origin_of(address) is None


@pytest.mark.parametrize("address", [*NOWHERE, *(f"https://api.example{behind}" for behind in BEHIND), 7, None, ["x"]])
@pytest.mark.parametrize("place", ["urls.api.private", "urls.api", "urls.test.spot.public", "urls.www"])
def test_an_address_of_a_document_is_one_wherever_it_stands(place: str, address: Any) -> None:
    value = address
    for name in reversed(place.split(".")):
        value = {name: value}
    with pytest.raises(InvalidInput, match="plain http reaches this machine only") as refused:
        require_live_options(value)
    assert refused.value.field == f"account.options.{place}"
    assert str(address).removeprefix("https://") in ("", *"7x") or str(address) not in str(refused.value)


@pytest.mark.parametrize("hostname", ["api.example", "api.example:8443", "127.0.0.1:80", "localhost", "[::1]:1"])
def test_a_hostname_is_a_host(hostname: str) -> None:
    require_live_options({"hostname": hostname})
    require_live_options({"urls": {"hostnames": {"spot": hostname}}})


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        "https://api.example",
        "api.example/x",
        "u@api.example",
        "api.example.",
        "10.0.0.1",
        "2130706433",
        "a b",
        None,
        1,
    ],
)
def test_anything_else_is_no_hostname(hostname: Any) -> None:
    for options in ({"hostname": hostname}, {"urls": {"hostnames": {"spot": hostname}}}):
        with pytest.raises(InvalidInput, match="is no host"):
            require_live_options(options)


def test_the_only_template_is_ccxts_hostname() -> None:
    require_live_options({"urls": {"api": "https://api.{hostname}/v5"}})
    require_live_options({"urls": {"api": "http://{hostname}/v5"}, "hostname": "127.0.0.1:8080"})
    for options in (
        {"urls": {"api": "http://{hostname}"}},
        {"urls": {"api": "http://127.0.0.1{hostname}"}, "hostname": "example.com"},
        {"urls": {"api": "https://api.{hostname}"}, "hostname": "127.0.0.1"},
        {"urls": {"api": "https://{hostname}.{hostname}"}},
        {"urls": {"api": "https://{version}.example"}},
    ):
        with pytest.raises(InvalidInput, match=r"^account\.options\.urls\.api"):
            require_live_options(options)


def test_urls_are_an_object() -> None:
    with pytest.raises(InvalidInput, match=r"^account\.options\.urls: is no object"):
        require_live_options({"urls": "https://api.example"})


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [100, 5000, 60_000])
def test_a_timeout_has_bounds(timeout: int) -> None:
    require_live_options({"timeout": timeout})


@pytest.mark.parametrize("timeout", [0, 99, 60_001, -5, True, 5000.5, "5000", None, 10**30, float("inf")])
def test_another_timeout_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^account\.options\.timeout"):
        require_live_options({"timeout": timeout})


@pytest.mark.parametrize(
    "name",
    [
        "verbose", "httpProxy", "httpsProxy", "proxyUrl", "socksProxy", "proxies", "headers", "userAgent", "session",
        "enableRateLimit", "sign", "fetch", "requiredCredentials", "verify", "validateServerSsl", "aiohttp_trust_env",
        "trust_env", "requests_trust_env", "origin", "rateLimit", "api", "has", "version", "markets", "nonce", "number",
    ],
)  # fmt: skip
def test_no_other_attribute_of_the_class_may_be_set(name: str) -> None:
    with pytest.raises(InvalidInput, match="may not be set for a live account") as refused:
        require_live_options({name: {}})
    assert refused.value.field == f"account.options.{name}"


@pytest.mark.parametrize(
    "name",
    [
        "adjustForTimeDifference", "timeDifference", "maxRetriesOnFailure", "broker", "brokerId", "partner", "tag",
        "clientOrderId", "createOrder", "fetchBalance", "fetchAccounts", "sandboxMode", "enableDemoTrading", "headers",
        "order", "AddOrder", "newOrderRespType", "builderFee", "timeInForce", "marginMode", "networks", "refSet", "hf",
    ],
)  # fmt: skip
def test_of_the_class_s_own_options_only_harmless_ones_may_be_set(name: str) -> None:
    with pytest.raises(InvalidInput, match="may not be set for a live account") as refused:
        require_live_options({"options": {name: True}})
    assert refused.value.field == f"account.options.options.{name}"


def test_each_option_has_its_values() -> None:
    for name, values in INNER_OPTIONS.items():
        for value in values[:3]:
            require_live_options({"options": {name: value}})
        for value in (None, "swap", 1, 0, True, {"types": ["spot", "linear"]}, "fetchMarketsV2", 10**6):
            with pytest.raises(InvalidInput, match="may not have this value") as refused:
                require_live_options({"options": {name: value}})
            assert refused.value.field == f"account.options.options.{name}"
    with pytest.raises(InvalidInput, match=r"^account\.options\.options: is no object"):
        require_live_options({"options": []})


# --- credentials --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"apiKey": 1}, "options.apiKey"),
        ({"APIKEY": 1}, "options.APIKEY"),
        ({"api_key": 1}, "options.api_key"),
        ({"options": {"Secret": 1}}, "options.options.Secret"),
        ({"headers": {"X-MBX-APIKEY": 1}}, "options.headers.X-MBX-APIKEY"),
        ({"headers": {"Authorization": 1}}, "options.headers.Authorization"),
        ({"options": {"accounts": [{"a": 1}, {"privateKey": 1}]}}, "options.options.accounts.1.privateKey"),
        ({"urls": {"api": {"ok": {"walletAddress": 1}}}}, "options.urls.api.ok.walletAddress"),
        ({"options": {"passphrase": 1}}, "options.options.passphrase"),
        ({"options": {"my-secret-key": 1}}, "options.options.my-secret-key"),
    ],
)
def test_a_credential_is_found_wherever_it_stands(options: dict[str, Any], place: str) -> None:
    assert credential_in(options) == place


def test_what_is_none_is_not_taken_for_one() -> None:
    assert credential_in({"timeout": 1, "urls": {"api": {"private": "x"}}, "options": {"recvWindow": [1]}}) is None


def test_r26_the_hosts_that_options_name_are_told_without_a_loopbacks_port() -> None:
    assert hosts_of({}) == ()
    assert hosts_of({"hostname": "b.example", "timeout": 5000}) == ("b.example",)
    urls = {"api": {"public": "https://api.a.example/v3", "private": "https://api.a.example:443/v3"}}
    assert hosts_of({"urls": urls}) == ("api.a.example",)
    assert hosts_of({"urls": {"api": "https://a.example:8443"}}) == ("a.example:8443",)
    one, other = ({"urls": {"api": f"http://127.0.0.1:{port}"}} for port in (8080, 9090))
    assert hosts_of(one) == hosts_of(other) == ("127.0.0.1",)
    named = {"hostname": "b.example", "urls": {"api": "https://api.{hostname}/v1"}}
    assert hosts_of(named) == ("api.b.example", "b.example")
