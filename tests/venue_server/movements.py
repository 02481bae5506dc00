"""What comes and goes without an order: the balance change and the venue's record of each. Speaks no venue's language.

A movement is at `at`; its record can be read `lag` seconds later. Amounts are positive and as the account sees them.
Which endpoint shows a movement, and as what, is the dialects' business; the ledger rows are the wallets' entries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.venue_server.wallets import ZERO, Wallets

DAY = 86_400.0


@dataclass
class Movement:
    """One record. `status`: "pending", "credited" (there, but not to be withdrawn), "done", "failed".

    `into`: what was received for it, by asset; `detail`: what only this kind has. `at` is the time of the request,
    `updated_at` that of its last change.
    """

    movement_id: str
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    status: str
    at: datetime
    updated_at: datetime
    visible_from: datetime
    into: dict[str, Decimal] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def truth(self) -> dict[str, Any]:
        return {
            "id": self.movement_id,
            "kind": self.kind,
            "asset": self.asset,
            "amount": str(self.amount),
            "fee": str(self.fee),
            "status": self.status,
            "at": self.at.isoformat(),
            "visible_from": self.visible_from.isoformat(),
            "into": {asset: str(amount) for asset, amount in self.into.items()},
        }


class Movements:
    """The movements of one account. `earn_wallet` names the wallet of an asset in an earn product."""

    def __init__(
        self,
        wallets: Wallets,
        ids: Callable[[str, str], str],
        schedule: Callable[[datetime | None, Callable[[datetime], None]], None],
        earn_wallet: Callable[[str, str], str | None],
    ) -> None:
        self.rows: list[Movement] = []
        self._wallets = wallets
        self._ids = ids
        self._schedule = schedule
        self._earn_wallet = earn_wallet

    def shown(self, now: datetime, *kinds: str) -> list[Movement]:
        """Oldest first, as far as the venue shows them yet."""
        rows = (row for row in self.rows if row.kind in kinds and row.visible_from <= now)
        return sorted(rows, key=lambda row: row.at)

    def named(self, movement_id: str) -> Movement:
        return next(row for row in self.rows if row.movement_id == movement_id)

    # --- from and to the outside ------------------------------------------------------------------------------

    def deposit_from_outside(
        self,
        asset: str,
        amount: Decimal,
        at: datetime,
        *,
        fee: Decimal = ZERO,
        credited_after: float = 0,
        unlocked_after: float = 0,
        fiat: bool = False,
        funding: bool = False,
        lag: float = 0,
    ) -> Movement:
        """Pending until `credited_after`, when the balance rises; final after another `unlocked_after`.

        Binance deposit history: 0 pending, 6 credited but cannot withdraw, 1 success; walletType 1 lands in the
        funding wallet, not here. Kraken: Pending, then Success.
        """
        kind = "fiat_deposit" if fiat else "deposit"
        movement = self._add(kind, asset, amount, at, fee=fee, status="pending", lag=lag, funding=funding)

        def credit(when: datetime) -> None:
            if movement.status != "pending":
                return
            movement.status, movement.updated_at = "credited", when
            if not funding:
                self._post(asset, amount, "deposit", movement, when, fee=fee, lag=lag)
            self._after(unlocked_after, when, unlock)

        def unlock(when: datetime) -> None:
            if movement.status == "credited":
                movement.status, movement.updated_at = "done", when

        self._after(credited_after, at, credit)
        return movement

    def fail_deposit(self, movement: Movement, at: datetime) -> None:
        """Rejected; one already credited is taken back by an opposite row (rotki, Kraken importer)."""
        if movement.status in ("credited", "done"):
            self._post(movement.asset, -movement.amount, "deposit", movement, at, fee=-movement.fee)
        movement.status, movement.updated_at = "failed", at

    def withdraw(
        self,
        asset: str,
        amount: Decimal,
        at: datetime,
        *,
        fee: Decimal = ZERO,
        done_after: float | None = 0,
        fiat: bool = False,
        lag: float = 0,
        entry_lag: float = 0,
    ) -> Movement:
        """The balance falls by amount and fee at the request; `done_after` None leaves it pending.

        Kraken, Get Account Balance: net of pending withdrawals; its ledger row may be later (`entry_lag`). Binance:
        pending ones are `withdrawing`, which /api/v3/account does not know (getUserAsset).
        """
        kind = "fiat_withdrawal" if fiat else "withdrawal"
        movement = self._add(kind, asset, amount, at, fee=fee, status="pending", lag=lag)
        self._post(asset, -amount, "withdrawal", movement, at, fee=fee, lag=entry_lag)

        def finish(when: datetime) -> None:
            if movement.status == "pending":
                movement.status, movement.updated_at = "done", when

        if done_after is not None:
            self._after(done_after, at, finish)
        return movement

    def fail_withdrawal(self, movement: Movement, at: datetime) -> None:
        """It returns with its fee; Kraken reverses it by an opposite row (rotki, Kraken importer)."""
        self._post(movement.asset, movement.amount, "withdrawal", movement, at, fee=-movement.fee)
        movement.status, movement.updated_at = "failed", at

    def withdrawing(self, asset: str) -> Decimal:
        rows = (row for row in self.rows if row.kind == "withdrawal" and row.status == "pending")
        return sum((row.amount + row.fee for row in rows if row.asset == asset), ZERO)

    # --- given and taken by the venue ---------------------------------------------------------------------------

    def dividend(
        self, asset: str, amount: Decimal, at: datetime, *, fee: Decimal = ZERO, why: str = "staking", lag: float = 0
    ) -> Movement:
        """Interest, a rebate or an airdrop (`why`); negative where the venue takes one back.

        Binance assetDividend: direction 1 or -1. Kraken: `staking`, or `earn` and `reward`, whose fee is the venue's
        commission; an airdrop is a `transfer` without a subtype.
        """
        movement = self._add("dividend", asset, amount, at, fee=fee, lag=lag, why=why)
        kinds = {"staking": ("staking", ""), "reward": ("earn", "reward"), "airdrop": ("transfer", "")}
        kind, subtype = kinds.get(why, ("dividend", ""))
        self._post(asset, amount, kind, movement, at, fee=fee, subtype=subtype, lag=lag)
        return movement

    # --- one thing for another --------------------------------------------------------------------------------------

    def convert(
        self, asset: str, amount: Decimal, target: str, received: Decimal, at: datetime, *, lag: float = 0
    ) -> Movement:
        """Instant buy and convert. Kraken: `spend` and `receive` of one refid, never in TradesHistory."""
        movement = self._add("convert", asset, amount, at, into={target: received}, lag=lag)
        self._post(asset, -amount, "spend", movement, at, lag=lag)
        self._post(target, received, "receive", movement, at, lag=lag)
        return movement

    def sweep_dust(
        self,
        amounts: Mapping[str, Decimal],
        target: str,
        received: Mapping[str, Decimal],
        at: datetime,
        *,
        fee: Decimal = ZERO,
        lag: float = 0,
    ) -> Movement:
        """Several small amounts into one asset; `received` says what came of each, and the fee is the target's.

        Binance dribblet: one transId, a detail for each asset. open: whether transferedAmount is before or after the
        service charge; here after. Kraken: n `spend`, one `receive`, subtype dustsweeping, the fee on a leg of it.
        """
        gross = sum(received.values(), ZERO)
        movement = self._add("dust", ",".join(amounts), ZERO, at, fee=fee, into={target: gross - fee}, lag=lag)
        movement.detail |= {"amounts": dict(amounts), "received": dict(received)}
        for asset, amount in amounts.items():
            self._post(asset, -amount, "spend", movement, at, subtype="dustsweeping", lag=lag)
        self._post(target, gross, "receive", movement, at, fee=fee, subtype="dustsweeping", lag=lag)
        return movement

    def convert_delisted(
        self, asset: str, amount: Decimal, target: str, received: Decimal, at: datetime, *, days: float = 2
    ) -> Movement:
        """Forced. Kraken: `delistingconversion`, two refids, often days apart (BittyTax issue 499). Binance: no record
        of it was found."""
        movement = self._add("delisting", asset, amount, at, into={target: received})
        self._post(asset, -amount, "transfer", movement, at, subtype="delistingconversion")

        def pay(when: datetime) -> None:
            refid = self._ids("movement", "")
            self._wallets.post(target, received, "transfer", refid, when, subtype="delistingconversion")

        self._after(days * DAY, at, pay)
        return movement

    # --- between the owner's own wallets ----------------------------------------------------------------------------

    def transfer(
        self, asset: str, amount: Decimal, at: datetime, *, other: str = "FUNDING", out: bool = True, lag: float = 0
    ) -> Movement:
        """To another wallet of the same owner that no balance here shows, or from it: FUNDING, UMFUTURE, MARGIN...

        Binance asset/transfer: MAIN_x out, x_MAIN in; `other` "SUB" is the master's side of a sub-account. Kraken:
        `transfer`, spottofutures and spotfromfutures.
        """
        movement = self._add("transfer", asset, amount, at, lag=lag, other=other, out=out)
        subtype = "spottofutures" if out else "spotfromfutures"
        self._post(asset, -amount if out else amount, "transfer", movement, at, subtype=subtype, lag=lag)
        return movement

    def earn(
        self,
        asset: str,
        amount: Decimal,
        at: datetime,
        *,
        product: str = "flexible",
        out: bool = False,
        automatic: bool = False,
        lag: float = 0,
    ) -> Movement:
        """Into an earn product, or `out` of it. Kraken: one refid, two rows, net 0."""
        kind = "redemption" if out else "subscription"
        movement = self._add(kind, asset, amount, at, lag=lag, product=product, automatic=automatic)
        wallet = self._earn_wallet(asset, product)
        subtype = "deallocation" if out else "autoallocation" if automatic else "allocation"
        for name, change in ((wallet, -amount), (asset, amount)) if out else ((asset, -amount), (wallet, amount)):
            if name is not None:
                self._post(name, change, "earn", movement, at, subtype=subtype, lag=lag)
        return movement

    def earn_reward(
        self, asset: str, amount: Decimal, at: datetime, *, product: str = "flexible", lag: float = 0
    ) -> Movement:
        """Paid into the product's own wallet. open: on Binance real-time rewards are; bonus ones may go to spot."""
        movement = self._add("reward", asset, amount, at, lag=lag, product=product)
        wallet = self._earn_wallet(asset, product)
        self._post(wallet or asset, amount, "earn", movement, at, subtype="reward", lag=lag)
        return movement

    def in_products(self, product: str) -> dict[str, Decimal]:
        """What is in an earn product, by asset."""
        signs = {"subscription": 1, "redemption": -1, "reward": 1}
        held: dict[str, Decimal] = {}
        for row in self.rows:
            if row.kind in signs and row.detail["product"] == product:
                held[row.asset] = held.get(row.asset, ZERO) + signs[row.kind] * row.amount
        return held

    def spoil_movement(self, movement: Movement, raw: dict[str, Any]) -> Movement:
        """Its row says this instead."""
        movement.raw = raw
        return movement

    # --- how they are written down ----------------------------------------------------------------------------------

    def _add(
        self,
        kind: str,
        asset: str,
        amount: Decimal,
        at: datetime,
        *,
        fee: Decimal = ZERO,
        status: str = "done",
        into: dict[str, Decimal] | None = None,
        lag: float = 0,
        **detail: Any,
    ) -> Movement:
        movement = Movement(
            movement_id=self._ids("movement", ""),
            kind=kind,
            asset=asset,
            amount=amount,
            fee=fee,
            status=status,
            at=at,
            updated_at=at,
            visible_from=at + timedelta(seconds=lag),
            into=into or {},
            detail=detail,
        )
        self.rows.append(movement)
        return movement

    def _post(
        self,
        asset: str,
        amount: Decimal,
        kind: str,
        movement: Movement,
        at: datetime,
        *,
        fee: Decimal = ZERO,
        subtype: str = "",
        lag: float = 0,
    ) -> None:
        self._wallets.post(asset, amount, kind, movement.movement_id, at, fee=fee, subtype=subtype, lag=lag)

    def _after(self, seconds: float, at: datetime, act: Callable[[datetime], None]) -> None:
        if seconds:
            self._schedule(at + timedelta(seconds=seconds), act)
        else:
            act(at)
