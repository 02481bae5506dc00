"""One live account at the venue server: the real workflows, the real `CcxtVenue`, the real ccxt classes over HTTP.

Server, functions and schedules share one clock that only a test moves; the ledger, the queues and the switch are in
memory. Each function has connections and a key of its own, as when deployed. Nothing here decides what a workflow
should do: it says what became of the orders, and compares the ledger with the server's books.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from belay.adapters.aws.secrets import Credentials
from belay.adapters.gather import gather_in_threads
from belay.adapters.live.account_market import InMemoryMarketCache
from belay.adapters.live.accounts import LiveAccounts
from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch, InMemoryQueue, ManualClock
from belay.bootstrap import Connections, KeptVenues
from belay.domain.account import Account, StopLevel, strictest, summed
from belay.domain.decisions import Buy, Reduce, Side, Trade
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import AccountRefused
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.manual import ManualOrder, decided
from belay.domain.orders import UNRESOLVED, WORKING, Order, OrderState
from belay.domain.slots import Tick
from belay.domain.transitions import Stamp
from belay.domain.venues import VenueTrade
from belay.ports import Services, Venues
from belay.workflows.evaluate import evaluate
from belay.workflows.execute import Executed, execute
from belay.workflows.reconcile import Reconciled, reconcile
from tests.builders import STAGE, STRATEGY, make_document, make_limits, make_tick
from tests.venue_server import VenueServer
from tests.world import COSTS, Scripted, Stepping, Steps

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
ACCOUNT = "main"
QUOTES = {"binance": "USDT", "kraken": "USD"}
PRICE = Decimal(62_000)
# Limits that rest at PRICE, and the prices that reach them.
LIMITS = {Side.BUY: Decimal(61_000), Side.SELL: Decimal(63_000)}
BEYOND = {Side.BUY: Decimal(60_900), Side.SELL: Decimal(63_100)}
QUANTITY = Decimal("0.1")
# What somebody else holds in the account: a sell that is executed twice finds enough coins to do so.
OTHERS_COINS = Decimal(1)
# An exit that did not get through is proven absent within three minutes, and sent again before this.
EXPIRY_SECONDS = 600
MINUTE = timedelta(minutes=1)
S = OrderState
# Which states of the ledger agree with what the server's books say of an order that is not open any more.
ENDED = {"filled": {S.FILLED}, "cancelled": {S.CANCELLED}, "expired": {S.EXPIRED, S.CANCELLED}}


@dataclass
class MachineClock:
    """A function's own clock: the market's plus what it is wrong by. Implements `ports.Clock`."""

    base: ManualClock
    wrong_seconds: float = 0

    def now(self) -> datetime:
        return self.base.now() + timedelta(seconds=self.wrong_seconds)

    def sleep(self, seconds: float) -> None:
        self.base.sleep(seconds)


@dataclass
class KeyStore:
    """Implements `secrets.Secrets`: the keys by the names of their secrets."""

    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self, name: str) -> Credentials:
        if name not in self.keys:
            raise AccountRefused("key_unreadable", f"{name} cannot be read (ParameterNotFound): store it")
        return Credentials(self.keys[name])


class FunctionVenues(KeptVenues):
    """The connections of one function while it is warm. Every call through them is a step."""

    def __init__(self, desk: "Desk", secret: str | None) -> None:
        super().__init__()
        self._desk = desk
        self._accounts = LiveAccounts(STAGE, desk.keys, secret, desk.cache, desk.machine)

    def _connect(self, document: AccountDocument) -> Connections:
        account, steps = self._accounts.open(document), self._desk.steps
        market_data = Stepping("market", account.market_data, steps)
        return Connections(self._desk.machine, market_data, Stepping("venue", account.venue, steps))


class DeskQueue(InMemoryQueue):
    """Follow-ups become due after their delay."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.due: list[datetime] = []

    def follow_up(self, account: str, delay_seconds: int) -> None:
        self.due.append(self._clock.now() + timedelta(seconds=delay_seconds))


class Desk:
    """An account with 100,000 of quote currency and a coin of somebody else's, its gate closed, at noon.

    Args:
        bases: the assets it trades, against the venue's quote currency.
    """

    def __init__(
        self,
        venue: str,
        server: VenueServer,
        clock: ManualClock,
        *,
        bases: Iterable[str] = ("BTC",),
        **document: Any,
    ) -> None:
        self.venue, self.server, self.clock = venue, server, clock
        self.machine = MachineClock(clock)
        self.steps = Steps()
        self.ledger = InMemoryLedger()
        self.queue = DeskQueue(clock)
        self.switch, self.alerts = InMemoryKillSwitch(), InMemoryAlerts()
        self.keys, self.cache = KeyStore(), InMemoryMarketCache()
        self.strategy = Scripted()
        self.reconciled: list[Reconciled] = []
        self._ids = count(1)
        self._document = self._make_document(tuple(map(self.pair, bases)), document)
        self._document.require_live(STAGE)
        for function in ("executor", "reconciler"):
            self._add_key(function)
        self.restart()
        self.configure(self._document)
        self.switch.write(StopLevel.RUNNING, "as told", "operator", START)
        server.exchange.deposit(venue, "BTC", OTHERS_COINS)
        self.pin(PRICE)

    def _make_document(self, symbols: tuple[str, ...], changes: dict[str, Any]) -> AccountDocument:
        limits = make_limits(
            max_order_notional="20000",
            max_position_notional=dict.fromkeys(symbols, "200000"),
            max_aggregate_exposure="300000",
            submissions_per_minute=60,
        )
        document: dict[str, Any] = {
            "account": ACCOUNT,
            "venue": self.venue,
            "mode": "live",
            "paper": None,
            "symbols": symbols,
            "limits": limits,
            "options": self.server.client_options(self.venue),
            "sandbox": False,
            "executor_secret": f"/belay/{STAGE}/executor/main",
            "reconciler_secret": f"/belay/{STAGE}/reconciler/main",
        }
        return make_document(**{**document, **changes})

    def _add_key(self, function: str) -> None:
        key = self.server.add_key(self.venue, function)
        self.keys.keys[f"/belay/{STAGE}/{function}/main"] = {"apiKey": key.api_key, "secret": key.secret}

    def function(self, secret: str | None) -> Services:
        """A cold start: connections of its own, nothing remembered."""
        venues: Venues = FunctionVenues(self, secret)
        return Services(
            stage=STAGE,
            layer_version="layer:1",
            ledger=Stepping("ledger", self.ledger, self.steps),
            venues=venues,
            kill_switch=Stepping("switch", self.switch, self.steps),
            queue=self.queue,
            alerts=self.alerts,
            gather=gather_in_threads,
            clock=self.machine,
            new_id=lambda: f"id-{next(self._ids):06}",
        )

    # --- what the outside does ---

    def pair(self, base: str) -> str:
        return f"{base}/{QUOTES[self.venue]}"

    @property
    def symbol(self) -> str:
        return self.pair("BTC")

    @property
    def document(self) -> AccountDocument:
        return self._document

    def configure(self, document: AccountDocument) -> None:
        before = self.ledger.configuration(ACCOUNT)
        version = before.version + 1 if before else 1
        self._document = document
        self.ledger.store_configuration(
            Configuration(version=version, document=document, author="operator", stored_at=self.now)
        )

    def pin(self, price: Decimal) -> None:
        """The market stands at this price from now on; resting orders that it reaches are filled."""
        self.server.exchange.pin_price(self.venue, self.symbol, price)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Time passes at the venue and for the machines, and nobody does anything."""
        self.clock.sleep(seconds)
        self.server.exchange.run_due()

    def restart(self) -> None:
        """Every function starts cold."""
        self.evaluator, self.executor, self.reconciler = map(
            self.function, (None, "executor_secret", "reconciler_secret")
        )

    # --- what the functions do ---

    def tick(self, **changes: Any) -> Tick:
        noon = {"scheduled_time": START, "account": ACCOUNT, "symbol": self.symbol, "parameters": COSTS}
        return make_tick(**{**noon, "order_expiry_seconds": EXPIRY_SECONDS, **changes})

    def decide(self, *legs: Any, **changes: Any) -> Order:
        """The schedule fires and the strategy trades; the order that comes of its first leg, its message waiting."""
        self.strategy.says = Trade(legs=legs)
        record = evaluate(self.tick(**changes), self.evaluator, lambda _algorithm: self.strategy)
        assert record.order_ids, record.decision
        return self.order(record.order_ids[0] or "")

    def enter(self, **changes: Any) -> Order:
        """The strategy wants to buy 0.1 BTC, at market unless a limit is given."""
        return self.decide(Buy(**{"symbol": self.symbol, "quantity": QUANTITY, "reason": "time to enter", **changes}))

    def leave(self, **changes: Any) -> Order:
        """The strategy wants to sell all that it holds."""
        return self.decide(Reduce(**{"symbol": self.symbol, "reason": "time to leave", **changes}))

    def by_hand(self, number: int = 1, **changes: Any) -> Order:
        """An operator's order, stored and published as `belay order` does it."""
        request = {
            "order_id": f"{number:032x}",
            "account": ACCOUNT,
            "symbol": self.symbol,
            "side": Side.BUY,
            "quantity": QUANTITY,
            "cost": "0.005",
        }
        asked = ManualOrder.model_validate({**request, **changes})
        configuration = self.ledger.configuration(ACCOUNT)
        assert configuration is not None
        stamp = Stamp(write_id=f"desk-{number}", exchange_time=self.now, recorded_at=self.now)
        record, order, event = decided(asked, STAGE, self.now, configuration.version, stamp)
        self.ledger.record_decision(record, (order,), (event,))
        self.queue.publish_intent(order)
        return self.order(order.order_id)

    def execute(self, order: Order, services: Services | None = None) -> Executed:
        return execute(order.order_id, services or self.executor, lambda: 30.0)

    def reconcile(self) -> Reconciled:
        self.reconciled.append(reconcile(ACCOUNT, self.reconciler))
        return self.reconciled[-1]

    def deliver(self) -> list[Executed]:
        """Every intent that waits, once; one whose receiver does not return stays and is delivered again."""
        done = []
        for message in list(self.queue.intents):
            done.append(execute(message.body["order_id"], self.executor, lambda: 30.0))
            self.queue.intents.remove(message)
        return done

    # --- the schedules ---

    def go_on(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Deliver and reconcile as queues and schedules would: follow-ups when due, and on each minute."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end and not enough():
            minute = self.now.replace(second=0, microsecond=0) + MINUTE
            self.queue.due = [at for at in self.queue.due if at > self.now]
            moment = min([minute, end, *self.queue.due])
            self.advance((moment - self.now).total_seconds())
            self.deliver()
            self.watch()
            if moment == minute or moment in self.queue.due:
                self.reconcile()
                self.watch()

    def settle(self, minutes: int = 15) -> None:
        """Go on until every order is settled. A limit that rests there and is known to is reached by the price."""

        def enough() -> bool:
            for order in self.ledger.orders(ACCOUNT, 1000):
                if order.state in WORKING and order.limit_price is not None and self.reconciled[-1].clean:
                    self.pin(BEYOND[order.side])
            return self._settled()

        self.go_on(minutes * 60, enough)

    def _settled(self) -> bool:
        settled = all(order.settled for order in self.ledger.orders(ACCOUNT, 1000))
        return settled and not self.queue.intents and self.reconciled[-1].clean

    def open_gate(self) -> None:
        assert self.reconcile().clean, self.reconciled[-1]

    def hold(self) -> Decimal:
        """Buy what an exit can sell, and see it through; what the strategy holds then."""
        self.open_gate()
        self.by_hand(0xB0, strategy=STRATEGY)
        self.deliver()
        self.go_on(60, self._settled)
        assert self._settled(), self.reconciled[-1]
        return self.position()

    # --- what is known afterwards ---

    def order(self, order_id: str) -> Order:
        found = self.ledger.order(order_id)
        assert found is not None, f"the ledger has no order {order_id}"
        return found

    def state(self, order: Order) -> OrderState:
        return self.order(order.order_id).state

    @property
    def account(self) -> Account:
        return self.ledger.account(ACCOUNT)

    def position(self, base: str = "BTC") -> Decimal:
        """What all strategies hold of a symbol."""
        symbol = self.pair(base)
        return sum((held[symbol].quantity for held in self.account.positions.values() if symbol in held), Decimal(0))

    def client_id(self, order: Order) -> str:
        """How the venue was told the order's id."""
        text = order.order_id
        dashed = "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
        return dashed if self.venue == "kraken" else text

    def sent(self, order: Order) -> list[dict[str, Any]]:
        """Every request for it that the server received."""
        return self.server.audit.requests("create_order", self.client_id(order))

    def placed(self, order: Order) -> tuple[str, ...]:
        """The venue orders that the server made of it."""
        return self.server.audit.orders_per_client_id().get(self.client_id(order), ())

    def attempts(self, order: Order) -> int:
        attempt = self.order(order.order_id).attempt
        return attempt.number if attempt else 0

    def causes(self, order: Order) -> list[str]:
        story = self.ledger.story(order.decision_id)
        assert story is not None
        return [event.cause for event in story.events if event.order_id == order.order_id]

    def incidents(self) -> list[Incident]:
        return [incident for incident in self.ledger.incidents(ACCOUNT) if incident.status == "open"]

    def kinds(self) -> list[IncidentKind]:
        return sorted(incident.kind for incident in self.incidents())

    def stopped(self) -> StopLevel:
        return strictest(self.account.stops, STRATEGY, self.symbol)[0]

    # --- the ledger against the books ---

    def watch(self) -> None:
        """What holds at every moment: nothing is denied that is so, nothing told that is not, no entry sent twice."""
        trades = {(row["symbol"], row["trade_id"]) for row in self._books("trades")}
        assert {(fill.trade.symbol, fill.trade.trade_id) for fill in self.ledger.fills(ACCOUNT, 10_000)} <= trades
        for order in self.ledger.orders(ACCOUNT, 1000):
            if order.state in (S.REJECTED, S.NOT_SENT):
                assert not self.placed(order), f"{order.state}, and the venue made {self.placed(order)} of it"
            assert order.reducing or len(self.sent(order)) <= 1, "an entry was sent twice"
        assert self.server.audit.followed() == [], "a redirect was followed"

    def check(self, *incidents: IncidentKind) -> None:
        """The ledger holds exactly what the server's books hold, or says openly that it does not know.

        Args:
            incidents: the only ones that may be open.
        """
        self.watch()
        per_id = self.server.audit.orders_per_client_id()
        if IncidentKind.DUPLICATE_VENUE_ORDER not in incidents:
            assert max(map(len, per_id.values()), default=0) <= 1, f"two orders of one id: {per_id}"
        assert self.kinds() == sorted(incidents), self.incidents()
        self._check_orders()
        self._check_fills()
        self._check_balances()
        if all(order.settled for order in self.ledger.orders(ACCOUNT, 1000)):
            assert self.account.reservations == {}

    def _check_orders(self) -> None:
        books, orders = self._books("orders"), self.ledger.orders(ACCOUNT, 1000)
        known = Counter((order.symbol, venue_id) for order in orders for venue_id in order.venue_order_ids)
        assert known == Counter((row["symbol"], row["venue_order_id"]) for row in books), "not the venue's orders"
        for order in orders:
            rows = [row for row in books if row["client_order_id"] == self.client_id(order)]
            filled = sum((Decimal(row["filled"]) for row in rows), Decimal(0))
            assert order.filled_quantity == filled, f"{order.state}: {order.filled_quantity}, filled {filled}"
            for row in rows[:1]:
                states = ENDED.get(row["status"], WORKING)
                complete = filled >= Decimal(row["quantity"])
                assert order.state in ({S.FILLED} if complete else states), f"{order.state}, which is {row}"
            if not rows:
                assert order.state not in UNRESOLVED or self.kinds(), f"{order.state} and nobody knows"

    def _check_fills(self) -> None:
        def facts(fills: Iterable[VenueTrade]) -> list[Any]:
            return sorted((t.symbol, t.venue_order_id, t.trade_id, t.quantity, t.price, t.fees, t.at) for t in fills)

        told = [
            VenueTrade(
                venue=self.venue,
                symbol=row["symbol"],
                venue_order_id=row["venue_order_id"],
                side=row["side"],
                trade_id=row["trade_id"],
                quantity=row["quantity"],
                price=row["price"],
                fees={row["fee_asset"]: row["fee"]},
                at=row["at"],
            )
            for row in self._books("trades")
        ]
        assert facts(fill.trade for fill in self.ledger.fills(ACCOUNT, 10_000)) == facts(told)

    def _check_balances(self) -> None:
        truth = {asset: Decimal(amount) for asset, amount in self.server.truth(self.venue)["balances"].items()}
        proof = self.ledger.last_proof(ACCOUNT)
        expected = summed(self.account.expected_balances(), proof.rounding if proof else {})
        assert {asset: amount for asset, amount in expected.items() if amount} == {
            asset: amount for asset, amount in truth.items() if amount
        }
        assert self.position() == truth.get("BTC", Decimal(0)) - OTHERS_COINS

    def _books(self, what: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.server.truth(self.venue)[what]
        return rows


NewDesk = Callable[..., Desk]
