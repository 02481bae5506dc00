"""The rows of a venue's list, each on its own: one that is not understood stands as that and hides no other."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from belay.adapters.live.profiles.answers import KEY, BalanceFields, dig
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import (
    SymbolOf,
    Unbelievable,
    number,
    order_fields,
    plain_text,
    read_number,
    read_order,
    read_text,
    read_trade,
    trade_fields,
)
from belay.adapters.live.redaction import REDACTED
from belay.adapters.live.tolerant import RAW, UNPARSED
from belay.domain.errors import BelayError
from belay.domain.record import SYMBOL, ZERO
from belay.domain.texts import bounded
from belay.domain.venues import UnreadRow, VenueOrder, VenueTrade

Told = Callable[[object], str]
# Of one answer. Where more are not understood it is the answer that is not, and one alarm is better than thousands.
MOST_UNREAD = 100
SHOWN = 64
# Where the venues name these parts in rows which ccxt could not parse; the first that is there.
USUAL = {
    "id": ("id", "orderId", "order_id", "ordId", "oid", "tradeId", "trade_id", "execId", "billId"),
    "client": (
        "clientOrderId", "client_order_id", "orderLinkId", "clOrdId", "clientOid", "cloid", "client-order-id", "text",
    ),
    "market": ("symbol", "product_id", "instId", "currency_pair", "pair", "market", "coin"),
    "status": ("status", "state", "orderStatus"),
    "side": ("side", "type"),
}  # fmt: skip


@dataclass(frozen=True)
class UnreadOrder:
    """A row of a list of orders that is not understood. `client_id` as far as it can be told whose it is."""

    row: UnreadRow
    client_id: str | None
    readable: bool

    def may_be(self, order_id: str) -> bool:
        return not self.readable or self.client_id == order_id


@dataclass(frozen=True)
class Trades:
    """The rows of a list of trades. `ids`: the venue's, of all rows that tell one; `rows`: how many there were."""

    trades: tuple[VenueTrade, ...]
    unread: tuple[UnreadRow, ...]
    ids: tuple[str, ...]
    rows: int


@dataclass
class Wallets:
    """Balances by asset, zeros left out of the totals."""

    total: dict[str, Decimal]
    free: dict[str, Decimal]
    decimals: dict[str, int]
    unread: tuple[UnreadRow, ...]


def read_orders(
    profile: CcxtProfile, rows: Iterable[dict[str, Any]], symbol_of: SymbolOf, told: Told
) -> tuple[VenueOrder | UnreadOrder, ...]:
    found: list[VenueOrder | UnreadOrder] = []
    for row in rows:
        try:
            _require_parsed(row)
            found.append(read_order(profile, row, symbol_of))
        except Unbelievable as doubt:
            found.append(_unread_order(profile, row, symbol_of, told, doubt))
    _require_few(sum(isinstance(entry, UnreadOrder) for entry in found))
    return tuple(found)


def read_trades(
    profile: CcxtProfile, rows: list[dict[str, Any]], symbol_of: SymbolOf, asset_of: SymbolOf, told: Told
) -> Trades:
    """Trades in markets that are not known are nobody's, and left out."""
    trades: list[VenueTrade] = []
    doubts: list[UnreadRow] = []
    fields = trade_fields(profile)
    for row in rows:
        try:
            _require_parsed(row)
            trade = read_trade(profile, row, symbol_of, asset_of)
            trades += [trade] if trade is not None else []
        except Unbelievable as doubt:
            fee = _raw(row, fields.fee_asset, "") if fields.fee_asset else ""
            unread = _unread("trade", row, (fields.id, fields.market, "", fields.side), symbol_of, told, doubt)
            assets = tuple(dict.fromkeys((*unread.assets, *([safe(told, fee)] if fee else ()))))
            doubts.append(unread.model_copy(update={"assets": assets}))
    _require_few(len(doubts))
    ids = tuple(text for row in rows if (text := _raw(row, fields.id, "id")))
    return Trades(tuple(trades), tuple(doubts), ids, len(rows))


# --- balances --------------------------------------------------------------------------------------------------------


def read_balances(
    fields: BalanceFields,
    rows: Iterable[dict[str, Any]],
    asset_of: SymbolOf,
    decimals_of: Callable[[str], int | None],
    told: Told,
) -> Wallets:
    """Several wallets of one asset count together; with one of them not understood, nothing of the asset is told."""
    wallets = Wallets({}, {}, {}, ())
    doubts: dict[str, UnreadRow] = {}
    for row in rows:
        name = _raw(row, fields.asset, "")
        asset = ""
        try:
            asset = plain_text(asset_of(read_text(row, fields.asset)) or "", "asset")
            total = sum((read_number(row, part) for part in fields.total), ZERO)
            free = _free(fields, row, total)
        except Unbelievable as doubt:
            asset = asset or safe(told, name)
            doubts[asset] = _doubt("balance", name or row_digest(row), (asset,) if asset else (), told, doubt)
            continue
        decimals = fields.decimals if fields.decimals is not None else decimals_of(name)
        wallets.total[asset] = wallets.total.get(asset, ZERO) + total
        if free is not None:
            wallets.free[asset] = wallets.free.get(asset, ZERO) + free
        if decimals is not None:
            wallets.decimals[asset] = min(decimals, wallets.decimals.get(asset, decimals))
    return _without(wallets, doubts)


def _free(fields: BalanceFields, row: dict[str, Any], total: Decimal) -> Decimal | None:
    """What no order locks, where the row tells it."""
    if fields.free is not None:
        return None if dig(row, fields.free) is None else read_number(row, fields.free)
    if fields.held is not None and dig(row, fields.held) is not None:
        return total - read_number(row, fields.held)
    return None


def unified_balances(balances: dict[str, Any], told: Told) -> Wallets:
    totals, free = balances.get("total"), balances.get("free")
    if not isinstance(totals, dict):
        raise Unbelievable("balances")
    wallets = Wallets({}, {}, {}, ())
    doubts: dict[str, UnreadRow] = {}
    for name, amount in totals.items():
        try:
            asset = plain_text(str(name), "asset")
            wallets.total[asset] = number(amount)
            if isinstance(free, dict) and free.get(name) is not None:
                wallets.free[asset] = number(free[name])
        except Unbelievable as doubt:
            asset = safe(told, name)
            doubts[asset] = _doubt("balance", str(name), (asset,), told, doubt)
    return _without(wallets, doubts)


def _without(wallets: Wallets, doubts: dict[str, UnreadRow]) -> Wallets:
    _require_few(len(doubts))
    total = {asset: amount for asset, amount in wallets.total.items() if amount and asset not in doubts}
    free = {asset: amount for asset, amount in wallets.free.items() if asset in total}
    return Wallets(total, free, wallets.decimals, tuple(doubts.values()))


# --- rows that are not understood ------------------------------------------------------------------------------------


def safe(told: Told, text: object) -> str:
    """A venue's text as it may be stored and shown."""
    return bounded(told(text), SHOWN)


def _require_parsed(row: dict[str, Any]) -> None:
    if UNPARSED in row:
        raise Unbelievable(f"ccxt cannot parse it ({row[UNPARSED]})")


def _require_few(unread: int) -> None:
    if unread > MOST_UNREAD:
        raise Unbelievable(f"{unread} rows")


def _unread_order(
    profile: CcxtProfile, row: dict[str, Any], symbol_of: SymbolOf, told: Told, doubt: Unbelievable
) -> UnreadOrder:
    fields = order_fields(profile)
    unread = _unread("order", row, (fields.id, fields.market, fields.status, fields.side), symbol_of, told, doubt)
    found = _places(row, fields.client_id or "", "client")
    value = next((value for value in found if value is not None), None)
    readable = bool(row.keys() - {KEY}) and bool(found) and (value is None or isinstance(value, str | int))
    text = "" if value is None else str(value)
    return UnreadOrder(unread, profile.ours(text), readable and REDACTED not in text)


def _unread(
    what: Literal["order", "trade"],
    row: dict[str, Any],
    paths: tuple[str, str, str, str],
    symbol_of: SymbolOf,
    told: Told,
    doubt: Unbelievable,
) -> UnreadRow:
    """What can be told of a row. An order locks one asset of its market, a trade has moved both."""
    reference, market, status, side = (
        _raw(row, path, usual) for path, usual in zip(paths, ("id", "market", "status", "side"), strict=True)
    )
    try:
        pair = symbol_of(plain_text(market, "market")) if market else None
    except Unbelievable:
        pair = None
    base, _, quote = (pair or "").partition("/")
    locked = {"buy": (quote,), "sell": (base,)} if what == "order" else {}
    assets = locked.get(side.lower(), (base, quote)) if pair else ()
    unread = _doubt(what, reference or row_digest(row), tuple(safe(told, asset) for asset in assets), told, doubt)
    symbol = pair if pair and SYMBOL.fullmatch(pair) else None
    return unread.model_copy(update={"market": safe(told, market), "status": safe(told, status), "symbol": symbol})


def _doubt(
    what: Literal["order", "trade", "balance"], reference: str, assets: tuple[str, ...], told: Told, doubt: Unbelievable
) -> UnreadRow:
    problem = f"not understood: {doubt}"
    return UnreadRow(what=what, reference=safe(told, reference), assets=assets, problem=told(problem))


def _raw(row: dict[str, Any], path: str, usual: str) -> str:
    """A part of a row as it stands there, whatever it looks like; empty where it is no text and no whole number."""
    for value in _places(row, path, usual):
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _places(row: dict[str, Any], path: str, usual: str) -> list[Any]:
    """What stands where a part should; of a row that ccxt left as it was, at each of the usual names that it has."""
    if UNPARSED in row:
        raw = row.get(RAW)
        return [raw[name] for name in USUAL.get(usual, ()) if name in raw] if isinstance(raw, dict) else []
    return [row.get(KEY) if path == KEY else dig(row, path)] if path else []


def row_digest(row: dict[str, Any]) -> str:
    """What a row without an id is known by."""
    try:
        text = json.dumps(row, sort_keys=True, default=str)
    except (BelayError, TypeError, ValueError, RecursionError):
        text = repr(sorted(row))
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:12]}"
