"""What a trade costs, and in which asset. Decides from rates and prices; books nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

FEE_UNIT = Decimal("0.00000001")


@dataclass(frozen=True)
class Charge:
    """A fee as it is taken, and its worth in quote currency. Negative: a rebate."""

    asset: str
    amount: Decimal
    value: Decimal


@dataclass(frozen=True)
class Fees:
    """Rates of the notional (or of the quantity, for a fee in base currency); a negative one is a rebate.

    `token`: the asset in which fees are paid while there is enough of it: BNB on Binance, KFEE on Kraken. `token_share`
    of the standard fee is asked then; `token_price` in quote currency, None for the market's. `extra`: tax and special
    commission, which no discount touches. `exact`: only the wallet rounds a fee.
    """

    taker: Decimal = Decimal("0.001")
    maker: Decimal = Decimal("0.001")
    extra: Decimal = Decimal(0)
    token: str | None = None
    token_share: Decimal = Decimal("0.75")
    token_price: Decimal | None = None
    exact: bool = False

    def rate(self, maker: bool) -> Decimal:
        return self.maker if maker else self.taker

    @property
    def highest(self) -> Decimal:
        return max(self.taker, self.maker) + self.extra

    def charge(
        self,
        base: str,
        quote: str,
        quantity: Decimal,
        notional: Decimal,
        *,
        in_base: bool,
        maker: bool,
        held: Callable[[str], Decimal],
        price: Callable[[str], Decimal | None],
    ) -> Charge:
        """The fee of one trade.

        Args:
            held: what there is free of an asset, before the trade.
            price: of an asset in the trade's quote currency, None without a market.
        """
        rate = self.rate(maker)
        value = self._kept(notional * (rate + self.extra))
        paid = self._in_token(notional, rate, held, price)
        if paid is not None:
            return Charge(self.token or "", paid, value)
        if in_base:
            return Charge(base, self._kept(quantity * (rate + self.extra)), value)
        return Charge(quote, value, value)

    def _kept(self, amount: Decimal) -> Decimal:
        return amount if self.exact else amount.quantize(FEE_UNIT)

    def _in_token(
        self,
        notional: Decimal,
        rate: Decimal,
        held: Callable[[str], Decimal],
        price: Callable[[str], Decimal | None],
    ) -> Decimal | None:
        """Binance commission FAQ: the standard commission is converted and reduced by the discount, tax and special
        commission are converted only; "if you do not have enough BNB to pay the discounted commission, the full
        commission will be taken out of your received amount". Its fictional example asks 0.25 of the standard
        commission; on the exchange 25 % are taken off. open: the direction of the rounding to 8 places.

        Kraken support, article 204799657: fee credits are used first, if held; 100 of them are worth one dollar.
        """
        if self.token is None or rate < 0:
            return None
        worth = self.token_price or price(self.token)
        if not worth:
            return None
        amount = (notional * (rate * self.token_share + self.extra) / worth).quantize(FEE_UNIT)
        return amount if amount <= held(self.token) else None
