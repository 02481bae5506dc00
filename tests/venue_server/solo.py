"""One account alone, without HTTP, threads or a wall clock: for a test of a thousand steps in memory.

solo = Solo("kraken", START)
solo.act("set_terms", rounded=True)
solo.act("deposit_from_outside", asset="BTC", amount=Decimal(1), credited_after=60)
solo.act("order", symbol="BTC/USD", side="buy", quantity=Decimal("0.1"), limit=Decimal(61000))
solo.pin("BTC/USD", Decimal(60900)); solo.advance(60); solo.truth()
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.venue_server import binance, kraken
from tests.venue_server.account import QUOTES, Account
from tests.venue_server.fees import Fees
from tests.venue_server.market import LISTED, Prices, listed_markets
from tests.venue_server.timing import Agenda, ManualTime


class Solo(Account):
    """An account alone with a clock of its own: for a test of a thousand steps in memory."""

    def __init__(
        self, venue: str, start: datetime, *, seed: int = 0, markets: int = len(LISTED), fees: Fees | None = None
    ) -> None:
        self.clock = ManualTime(start)
        self._agenda = Agenda()
        ids = binance.ids() if venue == "binance" else kraken.ids(seed)
        prices = Prices(listed_markets(QUOTES[venue], markets), seed)
        super().__init__(venue, prices, ids, self._agenda.add, fees or Fees())
        self.books.match(start)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def act(self, name: str, /, **arguments: Any) -> Any:
        """`do`, now."""
        return self.do(name, self.now, **arguments)

    def pin(self, symbol: str, price: Decimal | None) -> None:
        """The market stands at this price from now on; what it reaches is filled."""
        self.books.prices.pin(symbol, price, self.now)
        self.books.reprice(self.now)

    def advance(self, seconds: float) -> None:
        """Everything due until then happens at its own time."""
        self.clock.advance(seconds)
        self._agenda.run(self.now, self.books.match)
