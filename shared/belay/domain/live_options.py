"""What a live account's document may say of its venue's class: where the venue is, and little else. Asks nobody.

A function that holds a key trusts no document: ccxt's constructor sets any attribute it is given, and extends its own.
What is not listed here could send a key elsewhere, send an order twice, loosen the fence or print what is signed.
"""

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from belay.domain.errors import InvalidInput

LIVE_OPTIONS = frozenset({"hostname", "options", "timeout", "urls"})
TIMEOUT_MILLISECONDS = range(100, 60_001)
# Of ccxt's own `options`: everything else is refused, and a value that is not listed is, too. Belay measures the
# venue's clock itself, and what a venue needs beyond these is in its profile.
INNER_OPTIONS: dict[str, tuple[Any, ...]] = {
    "defaultType": ("spot",),
    "fetchCurrencies": (False,),
    "fetchMargins": (False,),
    "fetchMarkets": ({"types": ["spot"]},),
    "recvWindow": tuple(range(1_000, 60_001, 1_000)),
    "warnOnFetchOpenOrdersWithoutSymbol": (False,),
}
HOSTNAME = "{hostname}"

# What ccxt's constructors take as credentials, and what venues call theirs: letters only, in lower case.
CREDENTIALS = frozenset(
    {
        "secret",
        "password",
        "passphrase",
        "uid",
        "login",
        "token",
        "walletaddress",
        "twofa",
        "accountid",
        "authorization",
    }
)
CREDENTIAL_ENDS = ("apikey", "apisecret", "secretkey", "privatekey", "apisign")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter, so that no number is taken for an address; addresses are looked at one by one.
_HOST = rf"(?:(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?|[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}|\[::1\])"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
BARE = re.compile(rf"(?P<host>{_HOST}){_PORT}", re.ASCII)
ORIGIN = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST}){_PORT}(?=[/?]|\Z)", re.ASCII)
PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII)
PORTS = {"http": 80, "https": 443}
REMEDY = "Write it like https://host[:port]/path; plain http reaches this machine only."


def credential_in(options: Any, place: str = "options") -> str | None:
    """Where a credential is named, at any depth and in any spelling; its value is not looked at."""
    for name, value, inner in _entries(options, place):
        word = re.sub(r"[^a-z]", "", name.lower())
        if word in CREDENTIALS or word.endswith(CREDENTIAL_ENDS):
            return inner
        if found := credential_in(value, inner):
            return found
    return None


def _entries(options: Any, place: str) -> Iterator[tuple[str, Any, str]]:
    if isinstance(options, dict):
        yield from ((str(name), value, f"{place}.{name}") for name, value in options.items())
    elif isinstance(options, list):
        yield from (("", value, f"{place}.{number}") for number, value in enumerate(options))


def require_live_options(options: Mapping[str, Any]) -> None:
    """Refuse whatever is not known to be harmless.

    Raises:
        InvalidInput: names the place; the value may be a secret and is not repeated.
    """
    if unknown := sorted(options.keys() - LIVE_OPTIONS):
        remedy = f"A live account may set {_listed(LIVE_OPTIONS)}."
        raise InvalidInput(f"account.options.{unknown[0]}", "may not be set for a live account", remedy)
    timeout = options.get("timeout", TIMEOUT_MILLISECONDS[0])
    if type(timeout) is not int or timeout not in TIMEOUT_MILLISECONDS:
        first, last = TIMEOUT_MILLISECONDS[0], TIMEOUT_MILLISECONDS[-1]
        remedy = f"Give whole milliseconds from {first} to {last}, or leave it out."
        raise InvalidInput("account.options.timeout", "is not such a number", remedy)
    _require_hosts(options)
    _require_inner(options.get("options", {}))


def _require_hosts(options: Mapping[str, Any]) -> None:
    """Every place where ccxt takes a host from."""
    hostname = options.get("hostname")
    if "hostname" in options and not _is_bare(hostname):
        raise InvalidInput("account.options.hostname", "is no host", "Write it like host[:port], or leave it out.")
    if "urls" not in options:
        return
    if not isinstance(options["urls"], dict):
        raise InvalidInput(
            "account.options.urls", "is no object", 'Write it like {"api": {"private": "https://host"}}.'
        )
    for place, address in _leaves(options["urls"], "urls"):
        named = f"account.options.{place}"
        if place.startswith("urls.hostnames."):
            if not _is_bare(address):
                raise InvalidInput(named, "is no host", "Write it like host[:port], or leave it out.")
        elif not _is_address(address, hostname or "hostname.example"):
            raise InvalidInput(named, "is no address that a key may be sent to", REMEDY)


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield place, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f"{place}.{name}")


def _is_bare(host: Any) -> bool:
    found = BARE.fullmatch(host) if isinstance(host, str) else None
    return found is not None and _is_name_or_loopback(found["host"]) and _port(found["port"], 0) is not None


def _is_address(address: Any, hostname: str) -> bool:
    if not isinstance(address, str):
        return False
    whole = address.replace(HOSTNAME, hostname, 1)
    found = ORIGIN.match(whole)
    return found is not None and PATH.fullmatch(whole[found.end() :]) is not None and origin_of(whole) is not None


def _require_inner(inner: Any) -> None:
    if not isinstance(inner, dict):
        raise InvalidInput("account.options.options", "is no object", "Leave it out.")
    for name, value in inner.items():
        if name not in INNER_OPTIONS:
            remedy = f"A live account may set {_listed(INNER_OPTIONS)}."
            raise InvalidInput(f"account.options.options.{name}", "may not be set for a live account", remedy)
        # As text, since to Python 1 is True.
        if json.dumps(value) not in map(json.dumps, INNER_OPTIONS[name]):
            raise InvalidInput(f"account.options.options.{name}", "may not have this value", _values(name))


def _values(name: str) -> str:
    values = [json.dumps(value) for value in INNER_OPTIONS[name]]
    return f"Leave it out, or give {values[0]}{f', … or {values[-1]}' if len(values) > 1 else ''}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# --- origins ---------------------------------------------------------------------------------------------------------


def origin_of(url: str) -> str | None:
    """`scheme://host:port` of an address that a request may go to, the port always told.

    None for every other: http to another machine, user names, numbers that are read as addresses, anything odd.
    """
    found = ORIGIN.match(url)
    port = _port(found["port"], PORTS[found["scheme"]]) if found else None
    if found is None or port is None or not _is_name_or_loopback(found["host"]):
        return None
    if found["scheme"] == "http" and not _is_loopback(found["host"]):
        return None
    return f"{found['scheme']}://{found['host']}:{port}"


def hosts_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The hosts that options name, each once, with the port where it means something: a loopback's does not, since
    whatever stands in for a venue there listens where it can."""
    hostname = options.get("hostname")
    named = [hostname, *(address for _, address in _leaves(options.get("urls") or {}, "urls"))]
    texts = [text.replace(HOSTNAME, hostname or "hostname.example", 1) for text in named if isinstance(text, str)]
    found = [match for text in texts if (match := ORIGIN.match(text) or BARE.fullmatch(text))]
    return tuple(sorted({_host_named(match) for match in found}))


def _host_named(found: re.Match[str]) -> str:
    host, port = found["host"], found["port"]
    usual = str(PORTS.get(found.groupdict().get("scheme", "https"), ""))
    return host if port in (None, usual) or _is_loopback(host) else f"{host}:{port}"


def _port(text: str | None, otherwise: int) -> int | None:
    port = int(text) if text else otherwise
    return port if port < 65_536 else None


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "[::1]"):
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _is_name_or_loopback(host: str) -> bool:
    return _is_loopback(host) or re.search(r"[a-z]", host) is not None
