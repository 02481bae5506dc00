"""One venue's account with all that happens in it. Speaks no venue's language; whoever has it says what time it is."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.venue_server.books import Books, Schedule
from tests.venue_server.fees import Fees
from tests.venue_server.hand import Hand
from tests.venue_server.market import Prices
from tests.venue_server.movements import Movements

QUOTES = {"binance": "USDT", "kraken": "USD"}
START_BALANCE = Decimal(100_000)
# Binance keeps 8 places (commission FAQ, asset precision in exchangeInfo); Kraken what Get Asset Info says: USD 4,
# most coins 10, and fee credits 2.
PLACES: dict[str, tuple[int, dict[str, int]]] = {
    "binance": (8, {}),
    "kraken": (10, {"USD": 4, "EUR": 4, "USDT": 8, "KFEE": 2}),
}
# Kraken, Get Account Balance: .F auto-earn, .B yield bearing, .S staked, .M opt-in, .P parachain. Only X.F is spent.
KRAKEN_PRODUCTS = {"flexible": ".F", "yield": ".B", "staked": ".S", "opt_in": ".M", "parachain": ".P"}
# The wallet of flexible earn is LD and the asset, with exceptions (Binance.Net issue 833); a locked product has none.
BINANCE_PRODUCTS = {"BAKE": "LDBAKET"}
FEE_TOKENS = {"binance": "BNB", "kraken": "KFEE"}
# Arguments that are numbers when they come as text from another process.
AMOUNTS = frozenset(
    {"amount", "amounts", "extra", "fee", "fraction", "limit", "maker", "max_market_quantity", "max_position"}
    | {"max_quantity", "min_notional", "min_quantity", "price", "profit", "quantity", "received", "shown", "spend"}
    | {"step", "stop", "stop_limit", "taker", "tick", "trailing"}
)
NESTED = frozenset({"working", "then", "closes"})


def earn_wallet(venue: str) -> Callable[[str, str], str | None]:
    """The name of the wallet that an earn product's coins are in, None where no balance shows them."""

    def name(asset: str, product: str) -> str | None:
        if venue == "kraken":
            return asset + KRAKEN_PRODUCTS[product]
        return BINANCE_PRODUCTS.get(asset, f"LD{asset}") if product == "flexible" else None

    return name


class Account:
    """The books, the movements and the owner's hand of one venue's account, which is kept as its terms say."""

    def __init__(
        self, venue: str, prices: Prices, ids: Callable[[str, str], str], schedule: Schedule, fees: Fees
    ) -> None:
        self.venue = venue
        self.books = Books(prices, ids, schedule, fees)
        self.movements = Movements(self.books.wallets, ids, schedule, earn_wallet(venue))
        self.hand = Hand(venue, self.books)
        # Kraken, Get Trades History, consolidate_taker: one row for the taker trades of an order.
        self.consolidates = False
        wallets = self.books.wallets
        wallets.other_decimals, wallets.decimals = PLACES[venue]
        wallets.spent_through = (".F",) if venue == "kraken" else ()
        wallets.open(QUOTES[venue], START_BALANCE)

    def set_terms(
        self,
        at: datetime,
        *,
        rounded: bool | None = None,
        taker: Decimal | str | None = None,
        maker: Decimal | str | None = None,
        extra: Decimal | str | None = None,
        token: bool | None = None,
        earning: list[str] | None = None,
        consolidates: bool | None = None,
        entry_lag: float | None = None,
    ) -> None:
        """How the account is kept from now on; what is not named stays.

        Args:
            rounded: wallets keep the asset's decimals only.
            token: fees are paid in BNB (or KFEE) while there is enough.
            earning: assets that auto-earn takes at once (Kraken).
            entry_lag: seconds until the ledger shows what a trade moved.
        """
        wallets, fees = self.books.wallets, self.books.fees
        told = {"taker": taker, "maker": maker, "extra": extra}
        rates: dict[str, Any] = {name: Decimal(rate) for name, rate in told.items() if rate is not None}
        fees = replace(fees, **rates)
        if token is not None:
            worth = Decimal("0.01") if self.venue == "kraken" else None
            share = Decimal(1) if self.venue == "kraken" else Decimal("0.75")
            name = FEE_TOKENS[self.venue] if token else None
            fees = replace(fees, token=name, token_price=worth, token_share=share)
        if rounded is not None:
            wallets.rounded = rounded
            fees = replace(fees, exact=rounded and self.venue == "kraken")
        self.books.fees = fees
        if earning is not None:
            wallets.earning = set(earning)
            wallets.sweep(at)
        self.consolidates = self.consolidates if consolidates is None else consolidates
        self.books.entry_lag = self.books.entry_lag if entry_lag is None else entry_lag

    def do(self, name: str, now: datetime, /, **arguments: Any) -> Any:
        """Any method of `Movements` or `Hand`, or set_terms; `movement` may be named by its id."""
        act = next((getattr(one, name) for one in (self.movements, self.hand, self) if hasattr(type(one), name)), None)
        if act is None:
            raise ValueError(f"{name}: no act of Movements, Hand or Account")
        if isinstance(arguments.get("movement"), str):
            arguments["movement"] = self.movements.named(arguments["movement"])
        if "at" in inspect.signature(act).parameters:
            arguments.setdefault("at", now)
        return act(**arguments)

    def truth(self) -> dict[str, Any]:
        return self.books.truth() | {"movements": [row.truth() for row in self.movements.rows]}


def from_text(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as they come in JSON, with numbers for amounts."""

    def read(name: str, value: Any) -> Any:
        if name in NESTED and isinstance(value, dict):
            return from_text(value)
        if name == "at":
            return datetime.fromisoformat(value)
        if name not in AMOUNTS or value is None:
            return value
        return {key: Decimal(text) for key, text in value.items()} if isinstance(value, dict) else Decimal(value)

    return {name: read(name, value) for name, value in arguments.items()}
