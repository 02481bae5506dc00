"""What the venue's own books say of a life, beside what Belay made of it. Uses nothing of Belay's arithmetic."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from belay.domain.flows import TAKES, Flow
from belay.workflows.flows import CURSOR
from tests.real_account.world import ACCOUNT, STRATEGY, World
from tests.venue_server.orders import Trade
from tests.venue_server.wallets import Entry

ZERO, ALL = Decimal(0), 100_000
# Kraken tells a trade's cost to five places (cost_decimals).
UNTOLD = Decimal("0.000005")


class Moved(NamedTuple):
    """One booking of one asset."""

    amount: Decimal
    at: datetime


def wrong(world: World) -> list[str]:
    """Everything that Belay holds otherwise than the venue's books have it."""
    return [*_records(world), *_trades(world), *_positions(world)]


# --- what came and went without a trade -----------------------------------------------------------------


def _records(world: World) -> Iterator[str]:
    """Each booking that is no trade's is in one flow, with its amount, or in a balance that was taken as it was after
    it; no flow counts what is no booking."""
    counted, booked = _counted(world), _booked(world)
    cursor = world.ledger.cursor(ACCOUNT, CURSOR)
    assert cursor is not None
    read = cursor.read_until  # what came since, and explains itself, is read within a quarter of an hour
    for record, asset in sorted(counted.keys() - booked.keys()):
        yield f"a flow counts {counted[record, asset]} {asset} of {record}, which the venue never booked"
    for (record, asset), moved in sorted(booked.items()):
        if asset not in world.compared():
            continue
        taken = _taken(world, asset)
        needed = [one for one in moved if taken < one.at <= read]
        free = [one for one in moved if one not in needed]
        sums = {
            sum((one.amount for one in (*needed, *some)), ZERO)
            for number in range(len(free) + 1)
            for some in combinations(free, number)
        }
        found = counted.get((record, asset), ZERO)
        if found not in sums:
            yield f"flows count {found} {asset} of {record}, booked {moved}, last taken at {taken}"


def _counted(world: World) -> dict[tuple[str, str], Decimal]:
    """By the venue's record and asset, what flows say of it."""
    counted: dict[tuple[str, str], Decimal] = {}
    for flow in world.ledger.flows(ACCOUNT, ALL):
        if flow.kind in TAKES or flow.trade is not None:
            continue
        record = flow.flow_id.split("|")[0].rsplit(":", 1)[-1]
        for asset, amount in flow.amounts.items():
            counted[record, asset] = counted.get((record, asset), ZERO) + amount
    return counted


def _booked(world: World) -> dict[tuple[str, str], list[Moved]]:
    """By the record and asset, what it moved of the coins that are spent as this asset. Kraken's records are the rows
    of its ledger, Binance's the rows of its lists."""
    booked: dict[tuple[str, str], list[Moved]] = {}
    for entry in world.place.books.wallets.entries:
        asset = _spent_as(world, entry)
        if entry.kind == "trade" or asset is None or entry.amount == entry.fee:
            continue
        record = entry.entry_id if world.place.venue == "kraken" else entry.refid
        booked.setdefault((record, asset), []).append(Moved(entry.amount - entry.fee, entry.at))
    return booked


def _spent_as(world: World, entry: Entry) -> str | None:
    wallet = entry.asset
    for suffix in world.place.books.wallets.spent_through:
        wallet = wallet.removesuffix(suffix)
    return None if "." in wallet or wallet.startswith("LD") else wallet


def _taken(world: World, asset: str) -> datetime:
    """When its balance was last taken as it was."""
    account = world.ledger.account(ACCOUNT)
    assert account.opened_at is not None
    takes = (flow.at for flow in world.ledger.flows(ACCOUNT, ALL) if flow.kind in TAKES and asset in flow.amounts)
    return max([account.opened_at, *takes])


# --- trades ---------------------------------------------------------------------------------------------


def _trades(world: World) -> Iterator[str]:
    """A trade of an order that came by the API is one fill; any other is one flow, or in a balance taken after it."""
    accepted = set(world.accepted())
    fills = [(fill.trade.symbol, fill.trade.trade_id) for fill in world.ledger.fills(ACCOUNT, ALL)]
    about = [flow for flow in world.ledger.flows(ACCOUNT, ALL) if flow.trade is not None and flow.fill_of is None]
    flows = [flow for flow in about if flow.true_fees is None]  # a corrected fee is a flow of its own
    for trade in world.place.books.trades:
        name = f"{trade.side} {trade.symbol} {trade.trade_id}"
        filled = fills.count((trade.symbol, trade.trade_id))
        if trade.client_order_id in accepted:
            if filled != 1:
                yield f"{name} of our order is {filled} fills"
        elif filled:
            yield f"{name} is nobody's, and a fill"
        else:
            yield from _foreign(world, trade, [flow for flow in flows if _is_of(flow, trade)])


def _foreign(world: World, trade: Trade, flows: list[Flow]) -> Iterator[str]:
    told = set(flows[0].amounts) if flows else set()
    for asset in {*trade.symbol.split("/"), trade.fee_asset} & world.compared():
        if asset not in told and trade.at > _taken(world, asset):
            yield f"{trade.side} {trade.symbol} {trade.trade_id} is in no flow, and {asset} was not taken after it"
    if len(flows) > 1:
        yield f"{trade.side} {trade.symbol} {trade.trade_id} is {len(flows)} flows"


def _is_of(flow: Flow, trade: Trade) -> bool:
    return flow.trade is not None and (flow.trade.symbol, flow.trade.trade_id) == (trade.symbol, trade.trade_id)


# --- positions ------------------------------------------------------------------------------------------


def _positions(world: World) -> Iterator[str]:
    """Of each symbol: what the strategy holds, and what it paid less what it realised, by the venue's raw trades alone.
    Money that came and went is in neither. What was written off is not held any more; what it had cost is lost."""
    account, flows = world.ledger.account(ACCOUNT), world.ledger.flows(ACCOUNT, ALL)
    given_up = {*account.retired, *(f.flow_id.split("|")[1] for f in flows if f.flow_id.startswith("write-off|"))}
    for symbol in world.symbols:
        trades = _own(world, symbol)
        held = sum((_came(trade, trade.symbol.split("/")[0]) for trade in trades), ZERO)
        paid = -sum((_came(trade, trade.symbol.split("/")[1]) for trade in trades), ZERO)
        position = account.position(STRATEGY, symbol)
        if symbol not in given_up and position.quantity != held:
            yield f"{symbol}: the strategy holds {position.quantity}, and traded {held}"
        if abs(position.cost - position.realised_pnl - paid) > UNTOLD * len(trades):
            yield f"{symbol}: cost {position.cost}, realised {position.realised_pnl}, and it paid {paid}"


def _own(world: World, symbol: str) -> list[Trade]:
    """The trades of the strategy's orders, and those that a person gave it."""
    accepted, flows = set(world.accepted()), world.ledger.flows(ACCOUNT, ALL)
    given = [flow for flow in flows if flow.strategy == STRATEGY and flow.trade is not None and flow.fill_of is None]
    return [
        trade
        for trade in world.place.books.trades
        if trade.symbol == symbol and (trade.client_order_id in accepted or any(_is_of(flow, trade) for flow in given))
    ]


def _came(trade: Trade, asset: str) -> Decimal:
    base = trade.symbol.split("/")[0]
    sign = 1 if (trade.side == "buy") == (asset == base) else -1
    return sign * (trade.quantity if asset == base else trade.notional) - (trade.fee if trade.fee_asset == asset else 0)
