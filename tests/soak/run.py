"""One run at one venue: place every order by hand as `belay order` does, follow the run, wait until it is settled.

It plays the operator, too: it releases the account, cancels what rests for long, and resolves the incident of an order
that the venue refused to this key. It never touches the ledger otherwise.
"""

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from pathlib import Path
from typing import Any

from belay.cli import operations, trading
from belay.domain.decisions import Side
from belay.domain.errors import BelayError, InvalidInput
from belay.domain.manual import ManualOrder
from belay.domain.orders import UNRESOLVED, WORKING, Order, OrderState
from belay.domain.record import base_asset
from belay.workflows.outage import SUBMITTING, refusal
from tests.soak.compare import Compared, compare
from tests.soak.local import ACCOUNT, Local
from tests.soak.plan import TWO_COPIES, Asked, Plan, make_plan
from tests.soak.server import Received, Server
from tests.venue_server.account import QUOTES
from tests.venue_server.market import LISTED, Market, Prices, listed_markets

AUTHOR = "the soak run"
PACE_SECONDS = 1.2
MOST_WAITING = 8  # intents that the executor has not taken yet; one that it could not check comes back later
FRESH = timedelta(seconds=10)
REST_SECONDS = 25.0
EXPIRY_SECONDS = 900
SETTLE_SECONDS = 480.0
RECONCILE_SECONDS = 15.0
LOOK_SECONDS = 0.3
KILL_WITHIN_SECONDS = 20.0
TELL_SECONDS = 20.0
NOTIONALS = (60, 400)
SMALLEST_SALE = Decimal(15)
# How far a limit order lies from the price: across it, near it, and where it is not reached.
CROSSING, NEAR, FAR = Decimal("0.01"), Decimal("0.002"), Decimal("0.05")


class Run:
    """Everything of one run. `placed` are the orders asked for, by id, with when (monotonic seconds) and how."""

    def __init__(self, folder: Path, server: Server, plan: Plan, seed: int) -> None:
        markets = listed_markets(QUOTES[server.venue], len(LISTED))
        self.markets: dict[str, Market] = markets
        self.server = server
        self.plan = plan
        self.prices = Prices(markets, seed)
        self.local = Local(folder, server, markets)
        self.placed: dict[str, tuple[float, Asked]] = {}
        self.kills = 0
        self.resolved = 0
        self._received: Received | None = None
        self._cancelled: set[str] = set()
        self._began = time.monotonic()
        self._told = 0.0

    @property
    def received(self) -> Received:
        assert self._received is not None
        return self._received

    def __call__(self) -> Compared:
        self._say("starting the stack")
        self.local.up()
        try:
            self._received = Received(self.server.audit)
            operations.release_everything(self.local.desk, "the soak begins", AUTHOR)
            self.server.faults(dict(self.plan.deck))
            for asked in self.plan.asked:
                self._place(asked)
            settled = self._settle()
            return compare(self, settled=settled)
        finally:
            if self._received:
                self._received.close()
            self.local.down()

    # --- one order after the other ---------------------------------------------------------------------

    def _place(self, asked: Asked) -> None:
        began = time.monotonic()
        order = self._when(lambda: self._chosen(asked), "something can be ordered")
        rule = {"name": asked.rule, "client_order_id": self.server.client_id(asked.order_id)} if asked.rule else None
        self.server.faults(*([rule] if rule else []), *map(dict, asked.reads))
        trading.place(self.local.desk, order, uuid.uuid4().hex)
        self.placed[asked.order_id] = (time.monotonic(), asked)
        if asked.killed:
            self._kill(asked)
        self._look_after()
        time.sleep(max(began + PACE_SECONDS - time.monotonic(), 0))

    def _chosen(self, asked: Asked) -> ManualOrder | None:
        """The order, of a symbol in which nothing is waiting or unknown; None while there is none."""
        ledger = self.local.desk.ledger
        account, orders = ledger.account(ACCOUNT), ledger.open_orders(ACCOUNT)
        fresh = datetime.now(UTC) - FRESH
        if sum(order.state is OrderState.CREATED and order.created_at > fresh for order in orders) >= MOST_WAITING:
            return None
        busy = {order.symbol for order in orders if order.state in UNRESOLVED | {OrderState.CREATED}}
        free = [symbol for symbol in self.markets if symbol not in busy]
        sellable = {symbol: self._sellable(symbol, account, orders) for symbol in free}
        sells = [symbol for symbol in free if sellable[symbol]]
        stopped = bool(account.stops)
        side = Side.SELL if sells and (asked.sells or stopped) else Side.BUY
        choice = sells if side is Side.SELL else ([] if stopped else free)
        if not choice:
            return None
        symbol = choice[int(asked.symbol_draw * len(choice))]
        low, high = NOTIONALS
        size: dict[str, Any] = (
            {"quantity": sellable[symbol]}
            if side is Side.SELL
            else {"notional": Decimal(low + int((high - low) * asked.size_draw))}
        )
        return ManualOrder(
            order_id=asked.order_id,
            account=ACCOUNT,
            symbol=symbol,
            side=side,
            limit_price=self._limit(asked, symbol, side),
            expiry_seconds=EXPIRY_SECONDS,
            reason=f"number {asked.number} of the soak",
            author=AUTHOR,
            **size,
        )

    def _sellable(self, symbol: str, account: Any, orders: Sequence[Order]) -> Decimal | None:
        """What of a position no other sell has, if it is enough to be sold in one go."""
        leaving = sum(order.quantity or Decimal(0) for order in orders if order.symbol == symbol and order.reducing)
        left = account.position("manual", symbol).quantity - leaving
        quantity = (left / self.markets[symbol].step).to_integral_value(ROUND_DOWN) * self.markets[symbol].step
        enough = quantity >= self.markets[symbol].min_quantity and quantity * self._price(symbol) >= SMALLEST_SALE
        return quantity if enough else None

    def _limit(self, asked: Asked, symbol: str, side: Side) -> Decimal | None:
        if asked.kind == "market":
            return None
        far = FAR if asked.rule in TWO_COPIES else NEAR
        away = CROSSING if asked.kind == "crossing" else -far
        wanted = self._price(symbol) * (1 + away if side is Side.BUY else 1 - away)
        tick, rounding = self.markets[symbol].tick, ROUND_DOWN if side is Side.BUY else ROUND_UP
        return (wanted / tick).to_integral_value(rounding) * tick

    def _price(self, symbol: str) -> Decimal:
        return self.prices.at(symbol, datetime.now(UTC))

    def _kill(self, asked: Asked) -> None:
        """Kill the executor while it waits for the answer to this order, which the server has taken."""
        name, deadline = self.server.client_id(asked.order_id), time.monotonic() + KILL_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if name in self.received:
                self.kills += self.local.kill_executors()
                return
            time.sleep(0.05)

    # --- the operator ------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Cancel what rests for long, resolve what asks for a person, and tell how it stands."""
        desk, now = self.local.desk, time.monotonic()
        orders = desk.ledger.open_orders(ACCOUNT)
        for order in orders:
            since = self.placed[order.order_id][0]
            if order.state in WORKING and now > since + REST_SECONDS and order.order_id not in self._cancelled:
                try:
                    trading.cancel(desk, order.order_id, "it rests for too long")
                except InvalidInput:
                    continue  # it ended meanwhile
                self._cancelled.add(order.order_id)
        if any(stop.incident == refusal(SUBMITTING) for stop in desk.ledger.account(ACCOUNT).stops):
            wish = {"incident_id": refusal(SUBMITTING), "reason": "the key was looked at", "author": AUTHOR}
            operations.ask(desk, ACCOUNT, "resolve", wish)
            self.resolved += 1
        if now > self._told + TELL_SECONDS:
            self._told = now
            unknown = sum(order.state in UNRESOLVED for order in orders)
            self._say(
                f"{len(self.placed)} of {len(self.plan.asked)} orders placed, {len(orders)} not settled, "
                f"{unknown} unknown, {sum(self.server.dealt().values())} faults"
            )

    def _settle(self) -> bool:
        """Wait until every order is settled and a run of the reconciler was clean; False when that does not come."""
        desk, asked_at = self.local.desk, 0.0
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            self._look_after()
            if time.monotonic() > asked_at + RECONCILE_SECONDS:
                asked_at = time.monotonic()
                clean = self._reconciled()
                quiet = not self.local.messages("IntentsQueueUrl") and not self.local.messages("FollowUpsQueueUrl")
                if clean and quiet and not desk.ledger.open_orders(ACCOUNT):
                    return True
            time.sleep(LOOK_SECONDS)
        return False

    def _reconciled(self) -> bool:
        try:
            (result,) = self.local.desk.ask_reconciler({"account": ACCOUNT})["results"]
        except BelayError:
            return False
        return bool(result["clean"])

    def _when[T](self, found: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (value := found()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.server.venue}: {what}: not within {SETTLE_SECONDS:.0f} s")
            self._look_after()
            time.sleep(LOOK_SECONDS)
        return value

    def free_assets(self) -> dict[str, Decimal]:
        """What the strategy holds, by asset."""
        held = self.local.desk.ledger.account(ACCOUNT).positions.get("manual", {})
        return {base_asset(symbol): position.quantity for symbol, position in held.items()}

    def _say(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        sys.stderr.write(f"{self.server.venue:<8} {minutes:>2}:{seconds:02}  {line}\n")


def soak(venue: str, folder: Path, seed: int, number: int) -> Compared:
    """One venue, `number` orders."""
    folder.mkdir(parents=True, exist_ok=True)
    with Server(venue, seed, len(LISTED), folder / "audit.jsonl") as server:
        return Run(folder, server, make_plan(venue, seed, number), seed)()
