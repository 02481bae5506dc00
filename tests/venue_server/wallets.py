"""What an account holds, wallet by wallet, and every change of it. Knows no orders and no venue's language.

Each change is an entry (the venue's own record of it, if it keeps one) of an amount and a fee, and each of these is a
booking. Nothing else moves a balance, so opening + bookings = balance to the last digit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

ZERO = Decimal(0)


@dataclass(frozen=True)
class Booking:
    """What a wallet changed by, and how far that is from what it should exactly have been."""

    asset: str
    amount: Decimal
    reason: str
    at: datetime | None
    rounding: Decimal

    def truth(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "amount": str(self.amount),
            "reason": self.reason,
            "at": self.at.isoformat() if self.at else None,
            "rounding": str(self.rounding),
        }


@dataclass(frozen=True)
class Entry:
    """One row of the venue's ledger: balance = balance before + amount - fee (Kraken support, article 360001169383)."""

    entry_id: str
    refid: str
    kind: str
    subtype: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    at: datetime
    visible_from: datetime


@dataclass
class Wallets:
    """The wallets by the venue's name for them; `BTC.F` and `LDBTC` are wallets beside `BTC`.

    `decimals`: to how many places a wallet is kept, once `rounded` is set (before that, to all of them);
    `other_decimals` for the assets not named. `spent_through`: suffixes of wallets that are spent through the asset.
    `earning`: assets whose wallet is emptied into the first of these at once (auto-earn).
    """

    new_id: Callable[[str, str], str]
    decimals: dict[str, int] = field(default_factory=dict)
    other_decimals: int = 8
    rounded: bool = False
    spent_through: tuple[str, ...] = ()
    earning: set[str] = field(default_factory=set)
    opening: dict[str, Decimal] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    bookings: list[Booking] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    elsewhere: dict[str, Decimal] = field(default_factory=dict)

    def open(self, asset: str, amount: Decimal) -> None:
        """What was there before anything happened."""
        self.opening[asset] = self.opening.get(asset, ZERO) + amount
        self.balances[asset] = self.balances.get(asset, ZERO) + amount

    def balance(self, asset: str) -> Decimal:
        return self.balances.get(asset, ZERO)

    def owned(self, asset: str) -> Decimal:
        """What can be spent as this asset, locked or not."""
        return sum((self.balance(wallet) for wallet in self.wallets_of(asset)), ZERO)

    def wallets_of(self, asset: str) -> tuple[str, ...]:
        # Kraken: "X.F" is spent through X. Which of the two goes first is open; here the bare one does.
        return asset, *(asset + suffix for suffix in self.spent_through)

    def places(self, wallet: str) -> int:
        asset = next((wallet.removesuffix(end) for end in self.spent_through if wallet.endswith(end)), wallet)
        return self.decimals.get(wallet, self.decimals.get(asset, self.other_decimals))

    def kept(self, wallet: str, exact: Decimal) -> Decimal:
        """As the wallet keeps it.

        Kraken: wallets keep `Assets.decimals` (Get Asset Info), half-even (bought 39148.13654 at 4 decimals, credited
        .1365); amount and fee are rounded apart, so that each of them is off by up to half a unit.
        """
        return exact.quantize(Decimal(1).scaleb(-self.places(wallet)), ROUND_HALF_EVEN) if self.rounded else exact

    # --- changes --------------------------------------------------------------------------------------------

    def move(self, asset: str, amount: Decimal, reason: str, at: datetime | None = None) -> None:
        """A change that the venue keeps no row of; a wallet holds no more places of it than of any other."""
        kept = self.kept(asset, amount)
        self._book(asset, kept, reason, at, kept - amount)

    def post(
        self,
        asset: str,
        amount: Decimal,
        kind: str,
        refid: str,
        at: datetime,
        *,
        fee: Decimal = ZERO,
        subtype: str = "",
        lag: float = 0,
    ) -> list[Entry]:
        """A change and its row; what one wallet does not have is taken from the next, with a row for each.

        Trades "funded from several wallets" have one row for each wallet (BittyTax issue 499).
        """
        pieces = self._pieces(asset, self.kept(asset, amount), self.kept(asset, fee))
        rounding = {"amount": self.kept(asset, amount) - amount, "fee": fee - self.kept(asset, fee)}
        entries = []
        for wallet, gross, charge in pieces:
            last = wallet == pieces[-1][0]
            if gross or (last and rounding["amount"]):
                self._book(wallet, gross, kind, at, rounding["amount"] if last else ZERO)
            if charge or (last and rounding["fee"]):
                self._book(wallet, -charge, "fee", at, rounding["fee"] if last else ZERO)
            if gross or charge:  # a side that rounds to nothing has no row (rotki issue 13038)
                entries.append(self._enter(wallet, gross, charge, kind, subtype, refid, at, lag))
        if asset in self.earning:
            self._allocate(asset, at, lag)
        return entries

    def sweep(self, at: datetime) -> None:
        """Auto-earn begins: what is there already goes too."""
        for asset in sorted(self.earning):
            self._allocate(asset, at, 0)

    def _pieces(self, asset: str, amount: Decimal, fee: Decimal) -> list[tuple[str, Decimal, Decimal]]:
        bare, *others = self.wallets_of(asset)
        missing = fee - amount - self.balance(bare)
        through = next((other for other in others if self.balance(other) >= missing > 0), None)
        if through is None:
            return [(bare, amount, fee)]
        # The fee goes with the last row.
        first = max(self.balance(bare), ZERO)
        pieces = [(bare, -first, ZERO)] if first else []
        return [*pieces, (through, amount + first, fee)]

    def _allocate(self, asset: str, at: datetime, lag: float) -> None:
        """With auto-earn the bare asset reads 0 (freqtrade issue 11118): one refid, two rows, net 0."""
        amount = self.balance(asset)
        if amount <= 0:
            return
        refid, into = self.new_id("earn", asset), self.wallets_of(asset)[1]
        for wallet, change in ((asset, -amount), (into, amount)):
            self._book(wallet, change, "earn", at)
            self._enter(wallet, change, ZERO, "earn", "autoallocation", refid, at, lag)

    def _enter(
        self,
        wallet: str,
        amount: Decimal,
        fee: Decimal,
        kind: str,
        subtype: str,
        refid: str,
        at: datetime,
        lag: float,
    ) -> Entry:
        entry = Entry(
            entry_id=self.new_id("ledger", wallet),
            refid=refid,
            kind=kind,
            subtype=subtype,
            asset=wallet,
            amount=amount,
            fee=fee,
            balance=self.balance(wallet),
            at=at,
            visible_from=at + timedelta(seconds=lag),
        )
        self.entries.append(entry)
        return entry

    def _book(self, wallet: str, amount: Decimal, reason: str, at: datetime | None, rounding: Decimal = ZERO) -> None:
        self.balances[wallet] = self.balance(wallet) + amount
        self.bookings.append(Booking(wallet, amount, reason, at, rounding))

    # --- what is known of it ------------------------------------------------------------------------------------

    def shown_entries(self, now: datetime) -> list[Entry]:
        """Oldest first, as far as the venue shows them yet."""
        return sorted((entry for entry in self.entries if entry.visible_from <= now), key=lambda entry: entry.at)

    def lock_elsewhere(self, asset: str, amount: Decimal) -> None:
        """Locked by another service of the venue, without an order; negative to let go.

        Binance, spot glossary: `locked` is "in open orders and other services by the platform".
        """
        self.elsewhere[asset] = self.elsewhere.get(asset, ZERO) + amount

    def truth(self, locked: Callable[[str], Decimal]) -> dict[str, dict[str, str]]:
        return {
            wallet: {
                "opening": str(self.opening.get(wallet, ZERO)),
                "amount": str(amount),
                "locked": str(locked(wallet)),
            }
            for wallet, amount in sorted(self.balances.items())
        }


def unbalanced(truth: dict[str, Any]) -> dict[str, Decimal]:
    """By wallet, what does not add up in a truth: balance - (opening + bookings). Empty, unless a server has a bug."""
    held = {name: Decimal(wallet["amount"]) for name, wallet in truth["wallets"].items()}
    added = {name: Decimal(wallet["opening"]) for name, wallet in truth["wallets"].items()}
    for booking in _bookings(truth):
        added[booking[0]] = added.get(booking[0], ZERO) + booking[1]
    return {name: left for name in held | added if (left := held.get(name, ZERO) - added.get(name, ZERO))}


def _bookings(truth: dict[str, Any]) -> Iterable[tuple[str, Decimal]]:
    return ((booking["asset"], Decimal(booking["amount"])) for booking in truth["bookings"])
