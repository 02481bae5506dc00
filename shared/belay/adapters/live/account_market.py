"""A live account's public data: venue time by a measured offset, and only the markets that it trades. Holds no key."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from belay.adapters.live.asset_names import Asset, AssetNames, listed_assets
from belay.adapters.live.connect import connect, open_wire
from belay.adapters.live.outcomes import errors_in, meaning_of
from belay.adapters.live.profiles.answers import Meaning
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.public_market import CcxtMarketData
from belay.adapters.live.reading import Unbelievable
from belay.adapters.live.wire import Budget
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, SymbolUnavailable, VenueUnavailable
from belay.ports import Clock

REFUSALS = (Meaning.CONFIGURATION,)
REMEDY = "trade from a region and an address that it serves"
CLOCK_AGE = timedelta(seconds=5)
MARKETS_AGE = timedelta(hours=1)
Markets = dict[str, dict[str, Any]]
# Of ccxt's markets; `altname` is Kraken's. What else there is, nobody here reads.
PARTS = frozenset(
    {
        "id", "lowercaseId", "symbol", "base", "quote", "settle", "baseId", "quoteId", "settleId", "altname", "type",
        "spot", "margin", "swap", "future", "option", "index", "active", "contract", "linear", "inverse", "subType",
        "taker", "maker", "contractSize", "percentage", "tierBased", "feeSide", "precision", "limits", "created",
        "expiry", "expiryDatetime", "strike", "optionType", "marginModes",
    }
)  # fmt: skip
# A name, shorter than the keys of most venues, or a number.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+-]{0,23}|-?[0-9.]{1,64}")


class VenueClock:
    """The venue's time: the machine's clock plus an offset that is measured again after `CLOCK_AGE`.

    The offset errs towards the past, by the answer's way and by what the venue rounds off: a claim's fence then lies
    too early rather than too late, and absence is concluded too late rather than too early.
    """

    def __init__(self, ask: Callable[[], datetime], local: Clock) -> None:
        self._ask = ask
        self._local = local
        self._offset: timedelta | None = None
        self._measured_at = local.now()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Raises VenueUnavailable when the offset is too old and the venue does not tell its time."""
        with self._lock:
            age = self._local.now() - self._measured_at
            if self._offset is None or not timedelta(0) <= age < CLOCK_AGE:
                told = self._ask()
                self._measured_at = self._local.now()
                self._offset = told - self._measured_at
            return self._local.now() + self._offset

    def estimate(self) -> datetime:
        """The same without asking, from the last offset, however old."""
        return self._local.now() + (self._offset or timedelta(0))


class MarketCache(Protocol):
    """Keeps markets across processes. It may forget, and never fails."""

    def load(self, key: str) -> str | None: ...
    def store(self, key: str, text: str) -> None: ...


class InMemoryMarketCache:
    """Implements `MarketCache` for this process."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def load(self, key: str) -> str | None:
        return self._texts.get(key)

    def store(self, key: str, text: str) -> None:
        self._texts[key] = text


class LiveMarketData(CcxtMarketData):
    """Implements `ports.MarketData` for one live account, and knows its markets by the venue's ids.

    Markets are fetched whole, cut down to the account's symbols, and used for an hour, also by later processes.
    `redact` takes a key out of a text: what it would change is not believed.
    """

    def __init__(
        self,
        document: AccountDocument,
        profile: CcxtProfile,
        budget: Budget,
        local: Clock,
        cache: MarketCache,
        redact: Callable[[str], str] = str,
    ) -> None:
        super().__init__(
            document.venue,
            document.options,
            lambda _venue, _options: connect(document, profile, open_wire(document, profile, budget)),
        )
        self._exchange.number = str  # as in every other instance, which are given these markets
        self._profile = profile
        self._cache = cache
        self._redact = redact
        self._key = _cache_key(document)
        self._wanted = set(document.symbols)
        self._local = local
        self._fetched_at: datetime | None = None
        self._not_listed: set[str] | None = None  # once everything was listed, what of the wanted is not there
        self._symbols: dict[str, str] = {}
        self._unreadable: set[str] = set()
        self._assets: tuple[datetime, AssetNames] | None = None
        self._catalogue_lock = threading.RLock()
        self.clock = VenueClock(super().time, local)

    def time(self) -> datetime:
        return self.clock.now()

    def _received_at(self) -> datetime:
        return self.clock.now()

    def _ask(self, method: str, *arguments: object) -> Any:
        """What is public is asked before anything else: a venue that refuses a region says so here first."""
        try:
            return super()._ask(method, *arguments)
        except VenueUnavailable:
            call = self._exchange.session.last
            if call is None or meaning_of(self._profile, call, errors_in(self._profile, call), REFUSALS) is None:
                raise
            code = f"http_{call.status}"
        raise AccountRefused(code, f"{self._profile.name} refuses this machine: {REMEDY}")

    # --- markets ---

    def entries(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """The account's markets, and the one of `symbol`, for another instance of the class."""
        with self._catalogue_lock:
            self._catalogue(symbol)
            return list(self._listed.values())

    def symbol_of(self, market_id: str) -> str | None:
        """The symbol of a venue's market id, of any spot market; None where there is none."""
        with self._catalogue_lock:
            self._catalogue()
            if market_id not in self._symbols and self._not_listed is None:
                self._fetch()
            return self._symbols.get(market_id)

    def known_symbol(self, market_id: str) -> str | None:
        """The same without asking the venue."""
        return self._symbols.get(market_id)

    def asset(self, name: str) -> Asset | None:
        """What a wallet's name stands for by the venue's list of assets; None where it has none, or not this one."""
        if not self._profile.market.assets:
            return None
        with self._catalogue_lock:
            now = self._local.now()
            if self._assets is None or not timedelta(0) <= now - self._assets[0] < MARKETS_AGE:
                listed = self._believed("list of assets", lambda: listed_assets(self._ask("fetch_currencies")))
                if not listed:
                    raise self._unbelievable("list of assets")
                self._assets = (now, AssetNames(listed, self._profile.market.spendable))
            return self._assets[1].find(name)

    def _market(self, symbol: str) -> Any:
        with self._catalogue_lock:
            self._catalogue(symbol)
            if symbol in self._unreadable:
                raise self.missing(symbol)
            return super()._market(symbol)

    def missing(self, symbol: str) -> VenueUnavailable:
        """Why there is no market of a symbol."""
        if symbol in self._unreadable:
            return self._unbelievable(f"market of {symbol}")
        return SymbolUnavailable(f"{self._profile.name} does not list {symbol}")

    def _is_open(self, market: Mapping[str, Any]) -> bool:
        return super()._is_open(market) or market["info"].get("status") in self._profile.market.open

    def _find_market(self, symbol: str) -> Any:
        return self._listed.get(symbol)

    def _catalogue(self, symbol: str | None = None) -> None:
        """Make sure that the account's markets are known and young enough, and that of `symbol` if there is one."""
        if symbol is not None:
            self._wanted.add(symbol)
        now = self._local.now()
        if self._fetched_at is None or not timedelta(0) <= now - self._fetched_at < MARKETS_AGE:
            known = self._load(now)
        else:
            known = self._wanted <= self._listed.keys() | (self._not_listed or set())
        if not known:
            self._fetch()

    def _load(self, now: datetime) -> bool:
        stored = _unpacked(self._cache.load(self._key))
        if stored is None or not timedelta(0) <= now - stored[0] < MARKETS_AGE:
            return False
        fetched_at, markets = stored
        self._keep(markets, fetched_at)
        return self._wanted <= markets.keys()

    def _fetch(self) -> None:
        self._believed("list of markets", self._fetch_all)

    def _fetch_all(self) -> None:
        listed = self._list_markets()
        trimmed, unreadable = self._believable({symbol: listed[symbol] for symbol in self._wanted & listed.keys()})
        self._keep(trimmed, self._local.now())
        self._unreadable = unreadable
        self._symbols |= _ids(listed.values())
        self._not_listed = self._wanted - trimmed.keys()
        self._cache.store(self._key, _packed(trimmed, self._local.now()))

    def _believable(self, markets: Markets) -> tuple[Markets, set[str]]:
        """The markets that can be read, and the symbols of the others, such as of one that repeats a key."""
        trimmed: Markets = {}
        for symbol, market in markets.items():
            try:
                kept = _trimmed(market, self._profile)
                text = json.dumps(kept)
            except (Unbelievable, AttributeError, KeyError, TypeError, ValueError):
                continue
            if self._redact(text) == text:
                trimmed[symbol] = kept
        return trimmed, markets.keys() - trimmed.keys()

    def _keep(self, markets: Markets, fetched_at: datetime) -> None:
        self._listed, self._fetched_at, self._not_listed = markets, fetched_at, None
        self._symbols = _ids(markets.values())
        self._markets.clear()


def _ids(markets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Every name under which a venue's answers may speak of a market."""
    return {
        str(market[name]): market["symbol"]
        for market in markets
        for name in ("symbol", "id", "altname")
        if market.get(name)
    }


def _trimmed(market: Mapping[str, Any], profile: CcxtProfile) -> dict[str, Any]:
    """What is needed of a market, and of that only names, numbers and flags: it is kept where others read it.

    Raises:
        Unbelievable: the venue's name of it is none.
    """
    needed, info = profile.market.info, market.get("info") or {}
    known = market.keys() if needed is None else PARTS & market.keys()
    kept = {name: _plain(market[name]) for name in sorted(known - {"info"})}
    if not isinstance(kept.get("id"), str):
        raise Unbelievable("market's id")
    return {**kept, "info": _plain({name: info[name] for name in (info if needed is None else needed) if name in info})}


def _plain(value: Any) -> Any:
    """The value without any text that is longer than a name; a part of an object or a list, not at all."""
    if isinstance(value, dict):
        plain = {name: _plain(part) for name, part in value.items() if _plain(name) is not None}
        return {name: part for name, part in plain.items() if part is not None or value[name] is None}
    if isinstance(value, list | tuple):
        return [part for part in map(_plain, value) if part is not None]
    return value if not isinstance(value, str) or NAME.fullmatch(value) else None


def _cache_key(document: AccountDocument) -> str:
    parts = [document.venue, document.sandbox, document.options, sorted(document.symbols)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _packed(markets: Markets, at: datetime) -> str:
    return json.dumps({"at": at.isoformat(), "markets": markets})


def _unpacked(text: str | None) -> tuple[datetime, Markets] | None:
    try:
        stored = json.loads(text or "")
        return datetime.fromisoformat(stored["at"]), dict(stored["markets"])
    except (KeyError, TypeError, ValueError):
        return None
