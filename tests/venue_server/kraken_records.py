"""Kraken's ledger and its lists of deposits and withdrawals. Keeps nothing.

Sources: docs.kraken.com, Get Ledgers Info, Query Ledgers, Get Status of Recent Deposits and Withdrawals. What they
leave open is decided against the client and marked "open:" here.
"""

import base64
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.venue_server import kraken_shapes as shapes
from tests.venue_server.account import Account
from tests.venue_server.movements import Movement
from tests.venue_server.wallets import Entry
from tests.venue_server.wire import Call, Route, VenueError, decimal_of

PAGE = 50
QUERIED = 20
INVALID = "EGeneral:Invalid arguments"
# What may be asked for. Rows have more types: none of spend, receive, reward, conversion can be asked for, but "all".
FILTERS = frozenset(
    {"all", "deposit", "withdrawal", "trade", "margin", "rollover", "credit", "transfer", "settled", "staking"}
    | {"dividend", "sale", "adjustment", "nfttrade", "nftcreatorfee", "nftrebate", "custodytransfer"}
)
STATUSES = {"pending": "Pending", "credited": "Settled", "done": "Success", "failed": "Failure"}


class Records:
    """The routes, over one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._wallets = account.books.wallets

    def routes(self) -> dict[str, Route]:
        return {
            "private/Ledgers": Route("ledger", "ledger", self._ledgers),
            "private/QueryLedgers": Route("ledger", "ledger", self._query),
            "private/DepositStatus": Route("deposits", "read", self._deposits),
            # "Funds permissions - Withdraw or Data - Query ledger entries".
            "private/WithdrawStatus": Route("withdrawals", "ledger", self._withdrawals),
        }

    def ledger_ids(self, trade_ids: list[str], now: datetime) -> list[str]:
        return [entry.entry_id for entry in self._wallets.shown_entries(now) if entry.refid in trade_ids]

    def _ledgers(self, call: Call, now: datetime) -> Any:
        """50 at a time from `ofs`."""
        kind = call.params.get("type", "all")
        if kind not in FILTERS:
            raise VenueError(INVALID)
        named = call.params.get("asset", "all")
        assets = None if named == "all" else {shapes.asset_named(name) for name in named.split(",")}
        entries = self._wallets.shown_entries(now)
        inside = [
            entry
            for entry in _between(call, entries)
            if kind in ("all", entry.kind) and (assets is None or entry.asset in assets)
        ]
        offset = call.params.get("ofs", "0")
        if not offset.isdigit():
            raise VenueError(INVALID)
        page = inside[int(offset) : int(offset) + PAGE]
        result: dict[str, Any] = {"ledger": {entry.entry_id: self._row(entry) for entry in page}}
        return result if call.params.get("without_count", "").lower() == "true" else result | {"count": len(inside)}

    def _query(self, call: Call, now: datetime) -> Any:
        """By their ids, 20 at most."""
        wanted = call.params.get("id", "").split(",")
        if not all(wanted) or len(wanted) > QUERIED:
            raise VenueError(INVALID)
        entries = {entry.entry_id: entry for entry in self._wallets.shown_entries(now)}
        return {name: self._row(entries[name]) for name in wanted if name in entries}

    def _row(self, entry: Entry) -> dict[str, Any]:
        books = self._account.books
        amounts = {"amount": entry.amount, "fee": entry.fee, "balance": entry.balance}
        return {
            "refid": entry.refid,
            "time": round(entry.at.timestamp(), 6),
            "type": entry.kind,
            "subtype": entry.subtype,
            "aclass": "currency",
            "asset": shapes.asset_id(entry.asset),
            **{name: shapes.amount_of(books, entry.asset, amount) for name, amount in amounts.items()},
        }

    # --- deposits and withdrawals -----------------------------------------------------------------------------

    def _deposits(self, call: Call, now: datetime) -> Any:
        return self._statuses(call, now, ("deposit", "fiat_deposit"), 25)

    def _withdrawals(self, call: Call, now: datetime) -> Any:
        return self._statuses(call, now, ("withdrawal", "fiat_withdrawal"), 500)

    def _statuses(self, call: Call, now: datetime, kinds: tuple[str, str], size: int) -> Any:
        """The newest first; `time` is that of the request, in whole seconds; a page of 25 or 500 unless `limit` says
        otherwise, the next one by `cursor`. open: whether the list without a cursor is cut too; here it is."""
        start, end = (decimal_of(call.params.get(name)) for name in ("start", "end"))
        asset = call.params.get("asset")
        rows = [
            row
            for row in reversed(self._account.movements.shown(now, *kinds))
            if (start is None or Decimal(str(row.at.timestamp())) >= start)
            and (end is None or Decimal(str(row.at.timestamp())) <= end)
            and (asset is None or row.asset == shapes.asset_named(asset))
        ]
        limit, cursor = call.params.get("limit", str(size)), call.params.get("cursor", "false")
        offset = _offset(cursor)
        if not limit.isdigit() or offset is None:
            raise VenueError(INVALID)
        page = [self._status(row) for row in rows[offset : offset + int(limit)]]
        if cursor.lower() == "false":
            return page
        left = offset + int(limit) < len(rows)
        following = {"next_cursor": base64.b64encode(str(offset + int(limit)).encode()).decode()} if left else {}
        return {f"{kinds[0]}s": page, **following}

    def _status(self, row: Movement) -> dict[str, Any]:
        books = self._account.books
        return {
            "method": row.asset,
            "network": row.asset,
            "aclass": "currency",
            "asset": shapes.asset_id(row.asset),
            "refid": row.movement_id,
            "txid": f"tx-{row.movement_id}",
            "info": f"address-{row.movement_id}",
            "amount": shapes.amount_of(books, row.asset, row.amount),
            "fee": shapes.amount_of(books, row.asset, row.fee),
            "time": int(row.at.timestamp()),
            "status": STATUSES[row.status],
            **row.raw,
        }


def _between(call: Call, entries: list[Entry]) -> list[Entry]:
    """The newest first; `start` excludes and `end` includes, each by time or by the place of the entry with this id."""
    places = {entry.entry_id: place for place, entry in enumerate(entries)}
    low, high = Decimal("-Infinity"), Decimal("Infinity")
    first, last = 0, len(entries) - 1
    for name in ("start", "end"):
        text = call.params.get(name)
        number = decimal_of(text)
        if text in places:
            first, last = (places[text] + 1, last) if name == "start" else (first, places[text])
        elif number is not None:
            low, high = (number, high) if name == "start" else (low, number)
        elif text is not None:
            raise VenueError(INVALID)
    shown = reversed(entries[first : last + 1])
    return [entry for entry in shown if low < Decimal(str(entry.at.timestamp())) <= high]


def _offset(cursor: str) -> int | None:
    if cursor.lower() in ("true", "false"):
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode())
    except ValueError:
        return None
