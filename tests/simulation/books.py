"""What the venue's wallets hold, by the venue's own arithmetic: amounts in, rounded amounts booked, sums of them.

Shares nothing with the rules under test: what an execution moves is worked out here from side, size, price and fees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from belay.domain.venues import VenueTrade

ZERO = Decimal(0)
# In which fees may be taken beside what is traded; held from the beginning.
TOKEN = "TKN"
TOKEN_PRICE = Decimal(10)
FEE, REBATE = Decimal("0.001"), Decimal("0.0002")
# How many decimals the wallets of a venue that rounds keep.
DECIMALS = {"USD": 4, "BTC": 6, "ETH": 6, TOKEN: 6, "SOL": 6}
# What is held before the books are opened.
HOLDINGS = (
    {"USD": Decimal(10000), "BTC": ZERO, "ETH": ZERO, TOKEN: Decimal(5)},
    {"USD": Decimal(10000), "BTC": Decimal("0.2"), "ETH": ZERO, TOKEN: Decimal(5)},
)


@dataclass(frozen=True)
class Booking:
    """One amount as it was booked, next to what it is exactly; `why`: the venue's word for it."""

    asset: str
    exact: Decimal
    booked: Decimal
    why: str


class Books:
    """One account's wallets.

    Args:
        rounds: whether each amount is rounded to what its wallet keeps when it is booked.
    """

    def __init__(self, opening: Mapping[str, Decimal], rounds: bool) -> None:
        self.opening = dict(opening)
        self.balances = dict(opening)
        self.decimals = DECIMALS if rounds else {}
        self.bookings: list[Booking] = []

    def book(self, asset: str, amount: Decimal, why: str) -> None:
        places = self.decimals.get(asset)
        kept = amount if places is None else amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
        self.bookings.append(Booking(asset, amount, kept, why))
        self.balances[asset] = self.balances.get(asset, ZERO) + kept

    def execute(self, symbol: str, side: str, quantity: Decimal, price: Decimal, fees: Mapping[str, Decimal]) -> None:
        """Book an execution: both legs and each fee apart, as venues do."""
        base, quote = symbol.split("/")
        for asset, amount in moves(base, quote, side, quantity, price):
            self.book(asset, amount, "trade")
        for asset, fee in fees.items():
            self.book(asset, -fee, "fee")

    def add_up(self) -> dict[str, Decimal]:
        """The balances again, from the opening and every booking since."""
        total = dict(self.opening)
        for booking in self.bookings:
            total[booking.asset] = total.get(booking.asset, ZERO) + booking.booked
        return total

    def most_rounding(self, asset: str) -> Decimal:
        """How far rounding may have brought a wallet from exact amounts: half a unit for each execution's amount."""
        places = self.decimals.get(asset)
        booked = sum(1 for booking in self.bookings if booking.asset == asset and booking.why in ("trade", "fee"))
        return ZERO if places is None else booked * Decimal(5).scaleb(-places - 1)


def moves(base: str, quote: str, side: str, quantity: Decimal, price: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """What both sides of an execution come to before fees."""
    if side == "buy":
        return (base, quantity), (quote, -quantity * price)
    return (base, -quantity), (quote, quantity * price)


def fees_of(how: str, symbol: str, side: str, quantity: Decimal, price: Decimal) -> dict[str, Decimal]:
    """A fee by asset, a rebate negative; of sells, what would be taken in base is taken in quote."""
    base, quote = symbol.split("/")
    value = quantity * price
    if how == "base" and side == "buy":
        return {base: quantity * FEE}
    return {
        "token": {TOKEN: (value * FEE / TOKEN_PRICE).quantize(Decimal("0.00000001"))},
        "rebate": {quote: -value * REBATE},
    }.get(how, {quote: value * FEE})


def moved(trade: VenueTrade) -> dict[str, Decimal]:
    """What an execution comes to by asset, worked out from its row."""
    base, quote = trade.symbol.split("/")
    total = dict(moves(base, quote, trade.side, trade.quantity, trade.price))
    for asset, fee in trade.fees.items():
        total[asset] = total.get(asset, ZERO) - fee
    return total
