"""The account of the test venue's books through Belay's ports, as a live adapter would show it. Decides nothing.

What a row says is the books' business (see tests/venue_server, with its sources); here it only gets Belay's names. A
row that was spoiled is one that is not understood.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from belay.adapters.live.profiles import load_profile
from belay.bootstrap import Connections, KeptVenues
from belay.domain.checkup import Access
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.errors import SymbolUnavailable
from belay.domain.flows import FeeRow, FlowKind, FlowPage, VenueFlow
from belay.domain.market import Candle, Market, Price
from belay.domain.slots import TIMEFRAMES
from belay.domain.venues import (
    Balances,
    OrderRequest,
    Outcome,
    OutcomeKind,
    TradePage,
    UnreadRow,
    VenueOrder,
    VenueProfile,
    VenueStatus,
    VenueTrade,
)
from belay.ports import Clock, Venues
from tests.venue_server.movements import Movement
from tests.venue_server.orders import NewOrder, Order, Plan, Refused, Status, Trade
from tests.venue_server.solo import Solo
from tests.venue_server.wallets import Entry

STATUSES = {
    Status.OPEN: VenueStatus.OPEN,
    Status.FILLED: VenueStatus.FILLED,
    Status.CANCELLED: VenueStatus.CANCELLED,
    Status.EXPIRED: VenueStatus.EXPIRED,
}
# Of Kraken's ledger (Get Ledgers Info, type), of Binance's lists: which kind of flow a row is.
KINDS = {
    "deposit": FlowKind.DEPOSIT,
    "withdrawal": FlowKind.WITHDRAWAL,
    "staking": FlowKind.INTEREST,
    "interest": FlowKind.INTEREST,
    "reward": FlowKind.INTEREST,
    "dividend": FlowKind.DIVIDEND,
    "airdrop": FlowKind.DIVIDEND,
    "dust": FlowKind.DUST,
    "spend": FlowKind.CONVERSION,
    "receive": FlowKind.CONVERSION,
    "conversion": FlowKind.CONVERSION,
    "convert": FlowKind.CONVERSION,
    "transfer": FlowKind.TRANSFER,
    "earn": FlowKind.EARN,
    "subscription": FlowKind.EARN,
    "redemption": FlowKind.EARN,
    "adjustment": FlowKind.ADJUSTMENT,
}
PAGE = 10
MARKETS = 6


class InMemory(Solo):
    """The account of a world that reaches it directly. Implements `world.Place`."""

    def __init__(self, venue: str, start: datetime, seed: int = 0) -> None:
        super().__init__(venue, start, seed=seed, markets=MARKETS)
        self.options: dict[str, Any] = {}
        self.plan = Plan()  # how the next orders fare
        self.answers = True  # to a submission

    def connect(self, _function: str, clock: Clock) -> Venues:
        return Directly(self, clock)


class Directly(KeptVenues):
    def __init__(self, solo: InMemory, clock: Clock) -> None:
        super().__init__()
        self._solo, self._clock = solo, clock

    def _connect(self, _document: AccountDocument) -> Connections:
        venue = SoloVenue(self._solo)
        return Connections(self._clock, venue, venue)


class SoloVenue:
    """Implements `ports.Venue` and `ports.MarketData` over one account of the test venue."""

    def __init__(self, solo: InMemory) -> None:
        self.profile: VenueProfile = load_profile(solo.venue).domain()
        self.solo = solo

    @property
    def _kraken(self) -> bool:
        return self.solo.venue == "kraken"

    # --- market data ------------------------------------------------------------------------------------

    def time(self) -> datetime:
        return self.solo.now

    def market(self, symbol: str) -> Market:
        market = self.solo.books.prices.listed().get(symbol)
        if market is None:
            raise SymbolUnavailable(f"the venue does not list {symbol}")
        fees = self.solo.books.fees
        return Market(
            symbol=symbol,
            quantity_step=market.step,
            price_tick=market.tick,
            min_quantity=market.min_quantity,
            min_notional=market.min_notional,
            taker_fee=max(fees.taker + fees.extra, Decimal(0)),
            maker_fee=max(fees.maker + fees.extra, Decimal(0)),
        )

    def price(self, symbol: str) -> Price:
        prices, now = self.solo.books.prices, self.solo.now
        if symbol not in prices.listed() or not prices.trades(symbol) or prices.at(symbol, now) <= 0:
            raise SymbolUnavailable(f"the venue does not trade {symbol}")
        return Price(value=prices.at(symbol, now), at=min(now, prices.last_trades.get(symbol, now)))

    def candles(self, symbol: str, timeframe: str, until: datetime, limit: int) -> tuple[Candle, ...]:
        width = TIMEFRAMES[timeframe]
        found = self.solo.books.prices.candles(
            symbol, int(width.total_seconds()), until - width * limit, until - width, self.solo.now
        )
        return tuple(
            Candle(open_time=one.opened, open=one.open, high=one.high, low=one.low, close=one.close, volume=one.volume)
            for one in found
        )

    # --- what it shows ----------------------------------------------------------------------------------

    def balances(self) -> Balances:
        """Kraken: X.F is spent through X. Other earn wallets are none of the account's coins."""
        wallets, books = self.solo.books.wallets, self.solo.books
        named = sorted({asset for wallet in wallets.balances if (asset := self._spent_as(wallet)) is not None})
        decimals = {asset: wallets.places(asset) for asset in named} if wallets.rounded else {}
        return Balances(
            total={asset: wallets.owned(asset) for asset in named},
            free={asset: books.free(asset) for asset in named},
            decimals=decimals,
            at=self.solo.now,
        )

    def _spent_as(self, wallet: str) -> str | None:
        for suffix in self.solo.books.wallets.spent_through:
            wallet = wallet.removesuffix(suffix)
        products = "." in wallet or (not self._kraken and wallet.startswith("LD") and wallet != "LDO")
        return None if products else wallet

    def open_orders(self) -> tuple[VenueOrder | UnreadRow, ...]:
        shown = self.solo.books.shown_orders(self.solo.now)
        return tuple(_row(order) for order in shown if order.status is Status.OPEN)

    def lookup(self, symbol: str, client_order_id: str, venue_order_id: str | None = None) -> VenueOrder | None:
        if symbol not in self.solo.books.prices.listed():
            raise SymbolUnavailable(f"the venue does not list {symbol}")
        for order in reversed(self.solo.books.shown_orders(self.solo.now)):
            named = (
                order.request.client_order_id == client_order_id
                if venue_order_id is None
                else order.venue_order_id == venue_order_id
            )
            row = _row(order)
            if named and order.request.symbol == symbol and isinstance(row, VenueOrder):
                return row
        return None

    def trades(self, symbol: str, start: datetime, end: datetime, page: str | None = None) -> TradePage:
        if symbol not in self.solo.books.prices.listed():
            raise SymbolUnavailable(f"the venue does not list {symbol}")
        shown = self.solo.books.shown_trades(self.solo.now)
        found = [trade for trade in shown if trade.symbol == symbol and start <= trade.at <= end]
        first = int(page or 0)
        rows = [self._trade(trade) for trade in found[first : first + PAGE]]
        return TradePage(
            trades=tuple(row for row in rows if isinstance(row, VenueTrade)),
            unread=tuple(row for row in rows if isinstance(row, UnreadRow)),
            next_page=str(first + PAGE) if first + PAGE < len(found) else None,
        )

    def _trade(self, trade: Trade) -> VenueTrade | UnreadRow:
        if self.solo.books.row_of(trade, {"id": trade.trade_id}) != {"id": trade.trade_id}:
            assets = tuple(trade.symbol.split("/"))
            return UnreadRow(
                what="trade", reference=trade.trade_id, symbol=trade.symbol, assets=assets, problem="its quantity"
            )
        # Kraken's list of trades tells an estimate in quote currency; the ledger tells the fee.
        asset, fee = (trade.symbol.split("/")[1], trade.fee_value) if self._kraken else (trade.fee_asset, trade.fee)
        return VenueTrade(
            venue=self.solo.venue,
            symbol=trade.symbol,
            venue_order_id=trade.venue_order_id,
            side=Side(trade.side),
            trade_id=trade.trade_id,
            quantity=trade.quantity,
            price=trade.price,
            fees={asset: fee} if fee else {},
            at=trade.at,
            cost=trade.notional,
            estimated=self._kraken,
        )

    # --- what it recorded beside trades -----------------------------------------------------------------

    def flows(self, start: datetime, end: datetime) -> FlowPage:
        if self._kraken:
            shown = self.solo.books.wallets.shown_entries(self.solo.now)
            entries = [entry for entry in shown if start <= entry.at <= end]
            return FlowPage(flows=tuple(self._of_ledger(entries)), fees=tuple(self._fees(entries)), read_until=end)
        rows = [row for row in self.solo.movements.rows if row.visible_from <= self.solo.now]
        pending = [row.at for row in rows if row.status == "pending" and row.at >= start]
        inside = [row for row in rows if start <= row.at <= end]
        out = tuple(self._of_list(row for row in inside if row.status == "pending" and row.kind == "withdrawal"))
        return FlowPage(
            flows=(*self._of_list(row for row in inside if row.status in ("done", "credited")), *out),
            read_until=min([end, *pending]),  # what is pending is asked for again
            coming=tuple(self._of_list(row for row in inside if row.status == "pending" and row.kind != "withdrawal")),
            out=out,
            void=tuple(self._of_list(row for row in inside if row.status == "failed")),
            as_of=end,
        )

    def _of_ledger(self, entries: list[Entry]) -> Iterator[VenueFlow]:
        for entry in entries:
            asset = self._spent_as(entry.asset)
            if entry.kind != "trade" and asset is not None:
                yield VenueFlow(
                    flow_id=f"ledger:{entry.entry_id}",
                    kind=KINDS.get(entry.kind, FlowKind.ADJUSTMENT),
                    amounts={asset: entry.amount - entry.fee},
                    at=entry.at,
                    evidence=f"{entry.kind} {entry.subtype}".strip(),
                )

    def _fees(self, entries: list[Entry]) -> Iterator[FeeRow]:
        """By trade: the ledger's rows of a trade bear its id, the fee is in the row's asset."""
        fees: dict[str, dict[str, Decimal]] = {}
        for entry in entries:
            asset = self._spent_as(entry.asset)
            if entry.kind == "trade" and asset is not None:
                told = fees.setdefault(entry.refid, {})
                told[asset] = told.get(asset, Decimal(0)) + entry.fee
        for trade_id, told in fees.items():
            yield FeeRow(trade_id=trade_id, fees={asset: fee for asset, fee in told.items() if fee})

    def _of_list(self, rows: Iterable[Movement]) -> Iterator[VenueFlow]:
        """Binance's lists, as far as a movement has one."""
        for row in rows:
            if row.kind in LISTS:
                yield VenueFlow(
                    flow_id=f"{row.kind}:{row.movement_id}",
                    kind=KINDS.get(row.kind, FlowKind.ADJUSTMENT),
                    amounts=LISTS[row.kind](row),
                    at=row.at,
                    evidence=f"{row.kind} {row.movement_id}",
                )

    # --- orders -----------------------------------------------------------------------------------------

    def submit(self, request: OrderRequest) -> Outcome:
        now = self.solo.now
        if request.fence_at is not None and now > request.fence_at:
            return Outcome(kind=OutcomeKind.NOT_SENT, code="too late", exchange_time=now)
        new = NewOrder(
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity,
            limit_price=request.limit_price,
            time_in_force=str(request.time_in_force).upper(),
            immediate=request.limit_price is None,
            fee_in="quote" if self._kraken or request.side is Side.SELL else "base",
        )
        try:
            order = self.solo.books.place(new, now, self.solo.plan)
        except Refused as refused:
            return Outcome(kind=OutcomeKind.REJECTED, code=refused.refusal.value, exchange_time=now)
        if not self.solo.answers:
            return Outcome(kind=OutcomeKind.UNKNOWN, code="no_answer")
        shown = _row(order)
        assert isinstance(shown, VenueOrder)
        return Outcome(kind=OutcomeKind.ACCEPTED, code="ok", venue_order=shown, exchange_time=now)

    def cancel(self, symbol: str, client_order_id: str) -> None:
        for order in self.solo.books.open():
            request = order.request
            if (request.symbol, request.client_order_id) == (symbol, client_order_id) and order.status is Status.OPEN:
                self.solo.books.cancel(order, self.solo.now)

    def access(self) -> Access:
        return Access(read=True, trade=True, cancel=True, withdraw=False)


def _row(order: Order) -> VenueOrder | UnreadRow:
    request = order.request
    if order.raw or order.without:
        return UnreadRow(
            what="order",
            reference=order.venue_order_id,
            market=request.symbol,
            status=str(order.raw.get("status", "")),
            symbol=request.symbol,
            assets=tuple(request.symbol.split("/")),
            problem="its status",
        )
    return VenueOrder(
        venue_order_id=order.venue_order_id,
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        side=Side(request.side),
        quantity=request.quantity,
        limit_price=request.limit_price,
        filled_quantity=order.filled,
        status=STATUSES[order.status],
        updated_at=order.updated_at,
    )


def _swap(row: Movement) -> dict[str, Decimal]:
    """What went and what came of it."""
    went = row.detail.get("amounts") or {row.asset: row.amount}
    amounts = {asset: -amount for asset, amount in went.items()}
    for asset, amount in row.into.items():
        amounts[asset] = amounts.get(asset, Decimal(0)) + amount
    return amounts


LISTS: dict[str, Callable[[Movement], dict[str, Decimal]]] = {
    "deposit": lambda row: {row.asset: row.amount - row.fee},
    "withdrawal": lambda row: {row.asset: -row.amount - row.fee},
    "dividend": lambda row: {row.asset: row.amount},
    "interest": lambda row: {row.asset: row.amount},
    "dust": _swap,
    "convert": _swap,
    "transfer": lambda row: {row.asset: -row.amount if row.detail.get("out") else row.amount},
    "subscription": lambda row: {row.asset: -row.amount},
    "redemption": lambda row: {row.asset: row.amount},
}
