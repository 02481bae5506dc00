"""What happens to an account beside Belay: money that comes and goes, others' orders, rows and symbols that go wrong.

All of it is the venue's doing or its owner's, chosen by the run's choices; where all is calm, nothing of it happens.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from belay.domain.flows import FlowKind, VenueFlow
from belay.domain.venues import VenueStatus
from tests.simulation.choices import Choices
from tests.simulation.scheduler import Scheduler
from tests.simulation.venue import BASE_PRICES, TICK, TrueOrder, TrueVenue

# How long after it happened the venue's record of it can be read, in seconds.
RECORDED_AFTER, RECORDED_WEIGHTS = (0, 40, 200), (3, 2, 1)
# How long something stands that is no event of a moment, in seconds. None: until a person does something about it.
LASTS, LASTING_WEIGHTS = (60, 150, None), (3, 2, 2)
DELAYS = (5.0, 20.0, 35.0)
SYMBOLS = tuple(BASE_PRICES)
# SOL is an asset that nobody here uses. The amounts are none that an order of ours, a fee or rounding comes to.
DEPOSITS = {"USD": Decimal("250.37"), "BTC": Decimal("0.0311"), "SOL": Decimal("3.3")}
TRADED = {"BTC/USD": Decimal("0.0123"), "ETH/USD": Decimal("0.2345")}


class Beside:
    """The events of one run; `happened` are their names, in order."""

    def __init__(self, venue: TrueVenue, scheduler: Scheduler) -> None:
        self.happened: list[str] = []
        # When the last of it is over.
        self.until_ms = 0
        self._venue, self._scheduler, self._choices = venue, scheduler, scheduler.choices

    def schedule(self, slots: int) -> None:
        for number, name in enumerate(self.names(self._choices, slots), start=1):
            if name != NOTHING:
                delay = DELAYS[self._choices.pick(f"beside/{number}/delay", (1, 1, 1))]
                self._scheduler.at(int((60 * number + delay) * 1000), partial(self._act, name, number))

    @staticmethod
    def names(choices: Choices, slots: int) -> list[str]:
        """What happens in each of these minutes."""
        names, weights = tuple(EVENTS), tuple(EVENTS.values())
        return [names[choices.pick(f"beside/{number}", weights)] for number in range(1, slots + 1)]

    def _act(self, name: str, number: int) -> None:
        self.happened.append(name)
        acts: dict[str, Callable[[str], object]] = {
            "a deposit": partial(self._flow, FlowKind.DEPOSIT, 1),
            "a withdrawal": partial(self._flow, FlowKind.WITHDRAWAL, -1),
            "money without a record": self._gift,
            "interest": self._interest,
            "an order by hand": self._order,
            "a trade by hand": self._trade,
            "an unreadable order": self._spoil_order,
            "an unreadable trade": self._spoil_trades,
            "a symbol unavailable": self._withdraw_symbol,
        }
        acts[name](f"beside/{number}")

    def _among[T](self, key: str, answers: tuple[T, ...], weights: tuple[float, ...] | None = None) -> T:
        return answers[self._choices.pick(key, weights or (1,) * len(answers))]

    # --- money ---

    def _record(self, kind: FlowKind, asset: str, amount: Decimal) -> VenueFlow:
        number = f"{kind.value}|F{len(self._venue.records) + 1}"
        return VenueFlow(flow_id=number, kind=kind, amounts={asset: amount}, at=self._scheduler.now, evidence="ok")

    def _flow(self, kind: FlowKind, sign: int, key: str) -> None:
        asset = "USD" if sign < 0 else self._among(f"{key}/asset", tuple(DEPOSITS))
        amount = sign * DEPOSITS[asset]
        after = self._among(f"{key}/recorded", RECORDED_AFTER, RECORDED_WEIGHTS)
        self._venue.move(asset, amount, self._record(kind, asset, amount), after)
        self._end(after, lambda: None)

    def _gift(self, key: str) -> None:
        asset = self._among(f"{key}/asset", ("USD", "BTC"))
        self._venue.move(asset, DEPOSITS[asset], None, 0)

    def _interest(self, key: str) -> None:
        asset = self._among(f"{key}/asset", ("BTC", "USD"))
        amount = Decimal("0.1234")
        self._venue.move(asset, amount, self._record(FlowKind.INTEREST, asset, amount), 0)

    # --- by hand ---

    def _symbol(self, key: str) -> str:
        return self._among(f"{key}/symbol", SYMBOLS)

    def _lasts(self, key: str, then: Callable[[], None]) -> int | None:
        """How long it lasts, and what ends it then."""
        seconds = self._among(f"{key}/lasts", LASTS, LASTING_WEIGHTS)
        if seconds is not None:
            self._end(seconds, then)
        return seconds

    def _end(self, seconds: float, then: Callable[[], None]) -> None:
        self.until_ms = max(self.until_ms, self._venue.now_ms + int(seconds * 1000))
        self._scheduler.after(seconds * 1000, then)

    def _order(self, key: str) -> TrueOrder:
        symbol = self._symbol(key)
        limit = (BASE_PRICES[symbol] * Decimal("0.9")).quantize(TICK)
        order = self._venue.by_hand(symbol, TRADED[symbol], limit)
        self._lasts(key, partial(self._venue.cancel_by_hand, order))
        return order

    def _trade(self, key: str) -> None:
        symbol = self._symbol(key)
        self._venue.by_hand(symbol, TRADED[symbol], None)

    # --- what goes wrong at the venue ---

    def _spoil_order(self, key: str) -> None:
        """An open order's row, ours where there is one; otherwise somebody's."""
        symbol, now = self._symbol(key), self._venue.now_ms
        ours = [
            order for order in self._venue.orders if order.status is VenueStatus.OPEN and order.request.symbol == symbol
        ]
        order = ours[-1] if ours else self._order(key)
        lasts = self._among(f"{key}/unreadable", (60, 150))
        order.spoiled_ms, order.readable_ms = now, now + lasts * 1000
        self._scheduler.tell("venue", f"shows {order.venue_order_id} as nobody understands")

    def _spoil_trades(self, key: str) -> None:
        """The rows of what was traded in the last minute, and of a trade by hand."""
        symbol, now = self._symbol(key), self._venue.now_ms
        if self._among(f"{key}/whose", ("by hand", "ours")) == "by hand":
            self._venue.by_hand(symbol, TRADED[symbol], None)
        lasts = self._among(f"{key}/unreadable", (60, 150))
        for order in (*self._venue.orders, *self._venue.foreign):
            for true in order.trades:
                if order.request.symbol == symbol and now - true.visible_ms <= 60_000:
                    true.spoiled_ms, true.readable_ms = now, now + lasts * 1000
        self._scheduler.tell("venue", f"shows trades of {symbol} as nobody understands")

    def _withdraw_symbol(self, key: str) -> None:
        symbol = self._symbol(key)
        self._venue.unavailable.setdefault(symbol, self._venue.now_ms)
        self._lasts(key, partial(self._list_again, symbol))
        self._scheduler.tell("venue", f"no longer lists {symbol}")

    def _list_again(self, symbol: str) -> None:
        self._venue.unavailable.pop(symbol, None)
        self._scheduler.tell("venue", f"lists {symbol} again")

    # --- the way back, as far as it is not Belay's ---

    def cancel_all(self) -> None:
        for order in self._venue.foreign:
            self._venue.cancel_by_hand(order)

    def list_all(self) -> None:
        for symbol in tuple(self._venue.unavailable):
            self._list_again(symbol)


NOTHING = "nothing"
# What may happen in a minute, by how often; the first is that nothing does.
EVENTS: dict[str, float] = {
    NOTHING: 80,
    "a deposit": 1.5,
    "a withdrawal": 1,
    "money without a record": 1,
    "interest": 1,
    "an order by hand": 1,
    "a trade by hand": 1,
    "an unreadable order": 1,
    "an unreadable trade": 1,
    "a symbol unavailable": 1,
}
