"""What an account's balances should be, and how far they may be from it before nobody can say why.

    expected = opening + traded + external + what the venue's rounding has made of them so far
    |actual - expected| may be what orders at the venue have moved that is not counted yet, what fees that are only
    estimated may come to be, half a unit of the asset's decimals for each amount booked since rounding was last taken
    in, and the document's tolerance

An order that the venue shows has moved what it shows as filled; only one of which it is not known stands for its whole
size, at the market for no more than `WORST_FILL` times what it was valued at. What only an order explains may be
explained by something else once the order is done: it opens nothing, and it ends nothing.

What is within the rounding bound is taken into a proof's running sum, so that a leak cannot hide in it: the sum is
bounded by all bookings there ever were. While anything is in flight in an asset nothing of it is taken in.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from belay.domain.account import Account, Reservation, summed
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.proofs import Proof
from belay.domain.record import ZERO, Record, base_asset, quote_asset
from belay.domain.venues import Balances, VenueTrade

# How many times what it was valued at an order may move in quote currency where no limit bounds that: its price was
# seconds old, and venues refuse or halt long before a price has doubled. Were it left open, one unknown order would
# explain the loss of everything. What really goes beyond is told, and is over once its fills are counted.
WORST_FILL = Decimal(2)


class Range(Record):
    """How far something may have moved a balance."""

    low: Decimal = ZERO
    high: Decimal = ZERO

    def plus(self, low: Decimal, high: Decimal) -> "Range":
        return Range(low=self.low + low, high=self.high + high)

    def holds(self, value: Decimal) -> bool:
        return self.low <= value <= self.high

    @property
    def still(self) -> bool:
        return self.low == 0 and self.high == 0


class Difference(Record):
    """One asset's balance beside what is expected of it. `moving`: what orders and estimated fees may have made of it,
    `owed`: the fees alone; `quiet`: neither goes on to move it. `rounding`: what the venue's rounding may have made of
    it, `rounded` what it had before; `bookings`: amounts booked."""

    expected: Decimal
    actual: Decimal
    moving: Range
    owed: Range
    quiet: bool
    rounding: Range
    rounded: Decimal
    bookings: int
    tolerance: Decimal

    @property
    def residual(self) -> Decimal:
        return self.actual - self.expected

    @property
    def explained(self) -> bool:
        return self._within(self.moving)

    @property
    def explained_at_rest(self) -> bool:
        """Without anything that an order at the venue may have done."""
        return self._within(self.owed)

    def _within(self, moved: Range) -> bool:
        bounds = moved.plus(self.rounding.low, self.rounding.high).plus(-self.tolerance, self.tolerance)
        return bounds.holds(self.residual)

    @property
    def taken_in(self) -> Decimal:
        """What of the residual is the venue's rounding."""
        return max(self.rounding.low, min(self.residual, self.rounding.high))


def in_use(account: Account, document: AccountDocument) -> frozenset[str]:
    """The assets that a symbol, a position, an order or a fee uses: any other never stops anything."""
    symbols = {*document.symbols, *account.held_symbols()} - account.given_up
    symbols |= {held.symbol for held in account.reservations.values()}
    used = {document.quote, *(asset for symbol in symbols for asset in symbol.split("/"))}
    return frozenset(used | (account.traded.keys() - {base_asset(symbol) for symbol in account.given_up}))


def unopened(account: Account, document: AccountDocument) -> frozenset[str]:
    """Assets in use of which it is not known what was there before: they are compared once they enter the opening."""
    return frozenset() if account.opening is None else in_use(account, document) - account.opening.keys()


def uncompared(account: Account, document: AccountDocument) -> tuple[str, ...]:
    """The symbols of which an asset has not entered the opening yet: a proof says nothing of them."""
    missing = unopened(account, document)
    return tuple(symbol for symbol in document.symbols if missing.intersection(symbol.split("/")))


def differences(
    account: Account,
    document: AccountDocument,
    last: Proof | None,
    balances: Balances,
    uncounted: Iterable[VenueTrade] = (),
    estimates: Iterable["Estimate"] = (),
    filling: Mapping[str, Decimal] | None = None,
) -> dict[str, Difference]:
    """By asset, for every one that is in use, or of a retired symbol, and in the opening; none before that is recorded.

    Args:
        last: the newest proof of the account, whichever deployment stored it.
        uncounted: trades of our orders that are about to be counted.
        estimates: the fees that may still turn out to be others, those of `uncounted` left out.
        filling: by order id, what the venue shows as filled beyond what is counted; an order that is not among them may
            have filled in full.
    """
    trades = tuple(uncounted)
    expected, bookings = account.expected_balances(), dict(account.bookings)
    for trade in trades:
        expected = summed(expected, trade.asset_changes())
        bookings = {a: bookings.get(a, 0) + trade.bookings.get(a, 0) for a in {**bookings, **trade.bookings}}
    owed = (*estimates, *(Estimate.of(trade) for trade in trades if trade.estimated))
    rounded, settled = (last.rounding, last.bookings) if last else ({}, {})
    written_off = {base_asset(symbol) for symbol in account.retired}  # which the venue may take away without a record
    compared = (in_use(account, document) | written_off) & (account.opening or {}).keys()
    held, shown = tuple(account.reservations.values()), filling or {}
    filled = [one.model_copy(update={"quantity": shown.get(one.order_id, one.quantity)}) for one in held]
    return {
        asset: Difference(
            expected=expected.get(asset, ZERO) + rounded.get(asset, ZERO),
            actual=balances.total.get(asset, ZERO),
            moving=_moving(asset, filled, owed),
            owed=_moving(asset, (), owed),
            quiet=_moving(asset, held, owed).still,
            rounding=_rounding(
                balances.decimals.get(asset),
                bookings.get(asset, 0),
                settled.get(asset, 0),
                rounded.get(asset, ZERO),
            ),
            rounded=rounded.get(asset, ZERO),
            bookings=bookings.get(asset, 0),
            tolerance=document.balance_tolerance.get(asset, ZERO),
        )
        for asset in sorted(compared)
    }


def rounded_now(found: dict[str, Difference], last: Proof | None) -> tuple[dict[str, Decimal], dict[str, int]]:
    """A proof's `rounding` and `bookings`: the running sums by asset, and how many bookings they account for.

    An asset in which something moves, or whose decimals are not known, keeps what the last proof said of it, so that
    its next bound counts the bookings of now, too.
    """
    rounding, bookings = (dict(last.rounding), dict(last.bookings)) if last else ({}, {})
    for asset, difference in found.items():
        if difference.quiet and difference.bookings > bookings.get(asset, 0):
            total = difference.rounded + difference.taken_in
            rounding |= {asset: total} if total or asset in rounding else {}
            bookings[asset] = difference.bookings
    return rounding, bookings


class Estimate(Record):
    """What of a balance hangs on fees that the venue's ledger has yet to tell: `fees` as booked, `price` of a unit."""

    symbol: str
    fees: dict[str, Decimal]
    price: Decimal

    @classmethod
    def of(cls, trade: VenueTrade) -> "Estimate":
        return cls(symbol=trade.symbol, fees=trade.fees, price=trade.price)

    def range(self, asset: str) -> Range:
        """The true fee is taken to lie between nothing and twice the estimate, all of it in quote or all in base.

        What was booked comes back, then the true one goes: so a quote balance may be one estimate more or less than
        booked, a base balance up to two estimates less. A third asset (a fee credit) is compared once it is known.
        """
        base, quote = self.symbol.split("/")
        if asset not in (base, quote):
            return Range()
        value = self.fees.get(quote, ZERO) + self.fees.get(base, ZERO) * self.price
        most = 2 * value / (self.price if asset == base else 1)
        ends = sorted((self.fees.get(asset, ZERO), self.fees.get(asset, ZERO) - most))
        return Range(low=ends[0], high=ends[1])


def _rounding(decimals: int | None, bookings: int, settled: int, rounded: Decimal) -> Range:
    """Half a unit per booking since rounding was last taken in, and in all never more than that for all bookings."""
    if decimals is None:
        return Range()
    half = Decimal(5).scaleb(-decimals - 1)
    since, ever = half * max(bookings - settled, 0), half * bookings
    return Range(low=min(ZERO, max(-since, -ever - rounded)), high=max(ZERO, min(since, ever - rounded)))


def _moving(asset: str, reservations: Iterable[Reservation], estimates: Iterable[Estimate]) -> Range:
    """How far what is left of orders may move a balance before their fills are counted, and fees after.

    A sell may fill better than its price, and a buy at market worse than it was valued at.
    """
    moving = Range()
    for held in reservations:
        base, quote = base_asset(held.symbol), quote_asset(held.symbol)
        if asset == base:
            moving = moving.plus(ZERO, held.quantity) if held.side is Side.BUY else moving.plus(-held.quantity, ZERO)
        if asset == quote and held.quantity > 0:
            if held.side is Side.BUY:
                moving = moving.plus(-held.notional * (WORST_FILL if held.at_market else 1), ZERO)
            else:
                moving = moving.plus(ZERO, held.notional * WORST_FILL)
    for estimate in estimates:
        owed = estimate.range(asset)
        moving = moving.plus(owed.low, owed.high)
    return moving
