"""A venue's one ledger, whose every row is an amount and a fee of one asset; pages by number, newest first."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import ValidationError

from belay.adapters.live.flow_lists import TooMany
from belay.adapters.live.profiles.answers import dig, rows_of
from belay.adapters.live.profiles.flows import LedgerFields
from belay.adapters.live.reading import SymbolOf, Unbelievable, plain_text, read_instant, read_number, read_text
from belay.adapters.live.rows import MOST_UNREAD, Told, row_digest, safe
from belay.domain.flows import FeeRow, FlowPage, VenueFlow
from belay.domain.record import ZERO
from belay.domain.slots import EPOCH
from belay.domain.venues import UnreadRow

SECOND = timedelta(seconds=1)
# The rows of one trade lie about a millisecond apart: all of them are asked for, also at the edge of a window.
APART = 5 * SECOND


class LedgerPart(NamedTuple):
    """A closed window, and how many pages of it may be asked for."""

    start: datetime
    end: datetime
    pages: int


class Entry(NamedTuple):
    """One row. `kind`: `type/subtype`."""

    reference: str
    link: str
    kind: str
    type: str
    asset: str
    amount: Decimal
    fee: Decimal
    at: datetime


def read_ledger(
    fields: LedgerFields,
    part: LedgerPart,
    ask: Callable[[str, dict[str, str]], Any],
    asset_of: SymbolOf,
    told: Told,
) -> FlowPage:
    """Every row is a flow of its own, so that no two readings can put them together differently; what belongs together
    has the same link in its evidence. The rows of a trade are none: they tell its fee.

    Raises:
        TooMany, Unbelievable, and whatever `ask` raises.
    """
    flows: list[VenueFlow] = []
    unread: list[UnreadRow] = []
    trades: dict[str, list[Entry]] = {}
    for reference, row in _rows(fields, part, ask).items():
        try:
            entry = _entry(fields, reference, row, asset_of)
            inside = part.start <= entry.at <= part.end
            if entry.type in fields.trade:
                trades.setdefault(entry.link, []).append(entry)
            elif inside and (flow := _flow(fields, entry, told)) is not None:
                flows.append(flow)
        except (Unbelievable, ValidationError, ValueError) as doubt:
            problem = str(doubt) if isinstance(doubt, Unbelievable) else "a value out of bounds"
            unread.append(_unread(fields, reference, row, asset_of, told, problem))
    if len(unread) > MOST_UNREAD:
        raise Unbelievable(f"{len(unread)} rows")
    ended = {link: entries for link, entries in trades.items() if _ended_in(part, entries)}
    return FlowPage(
        flows=tuple(sorted(flows, key=lambda flow: (flow.at, flow.flow_id))),
        fees=tuple(FeeRow(trade_id=link, fees=_fees(entries)) for link, entries in sorted(ended.items())),
        unread=tuple(unread),
        read_until=part.end,
    )


def _rows(fields: LedgerFields, part: LedgerPart, ask: Callable[[str, dict[str, str]], Any]) -> dict[str, Any]:
    """By id: rows that appear meanwhile push others to later pages, so that one may be shown twice. An empty page ends
    it, whatever the venue counts."""
    times = {
        "start": str((part.start - APART - EPOCH) // SECOND - 1),
        "end": str((part.end + APART - EPOCH) // SECOND + 1),
    }
    found: dict[str, Any] = {}
    shown = 0
    for _ in range(part.pages):
        document = ask(fields.method, {**fields.params, **times, "ofs": str(shown)})
        rows = rows_of(document, fields.rows)
        count = dig(document, fields.rows.count) if fields.rows.count else None
        if rows is None:
            raise Unbelievable("shape")
        if not rows:
            return found
        if not isinstance(count, int) or isinstance(count, bool):
            raise Unbelievable("number of rows")
        if count > part.pages * fields.page_size:
            raise TooMany(part.pages * fields.page_size / 2 / count)
        found |= {read_text(row, fields.id): row for row in rows}
        shown += len(rows)
        if shown >= count:
            return found
    raise TooMany


def _entry(fields: LedgerFields, reference: str, row: dict[str, Any], asset_of: SymbolOf) -> Entry:
    kind = read_text(row, fields.type)
    subtype = dig(row, fields.subtype)
    asset = plain_text(asset_of(read_text(row, fields.asset)) or "", "asset")
    if not asset or not isinstance(subtype, str | None):
        raise Unbelievable("asset" if not asset else "subtype")
    return Entry(
        reference=reference,
        link=read_text(row, fields.link),
        kind=f"{kind}/{subtype or ''}",
        type=kind,
        asset=asset,
        amount=read_number(row, fields.amount),
        fee=read_number(row, fields.fee),
        at=read_instant(row, (fields.time,), "s"),
    )


def _flow(fields: LedgerFields, entry: Entry, told: Told) -> VenueFlow | None:
    kind = fields.kinds.get(entry.kind) or fields.kinds.get(entry.type)
    if kind is None:
        raise Unbelievable("type")
    net = entry.amount - entry.fee
    if net == 0:
        return None
    return VenueFlow(
        flow_id=f"ledger:{entry.reference}",
        kind=kind,
        amounts={entry.asset: net},
        at=entry.at,
        evidence=told(f"ledger {entry.reference}, {entry.kind.rstrip('/')}, {entry.link}"),
    )


def _ended_in(part: LedgerPart, entries: list[Entry]) -> bool:
    return part.start <= max(entry.at for entry in entries) <= part.end


def _fees(entries: list[Entry]) -> dict[str, Decimal]:
    fees: dict[str, Decimal] = {}
    for entry in entries:
        fees[entry.asset] = fees.get(entry.asset, ZERO) + entry.fee
    return {asset: fee for asset, fee in fees.items() if fee}


def _unread(
    fields: LedgerFields, reference: str, row: dict[str, Any], asset_of: SymbolOf, told: Told, problem: str
) -> UnreadRow:
    said = [value for path in (fields.type, fields.subtype) if isinstance(value := dig(row, path), str) and value]
    try:
        asset = asset_of(read_text(row, fields.asset))
    except Unbelievable:
        asset = None
    return UnreadRow(
        what="flow",
        reference=safe(told, f"ledger:{reference or row_digest(row)}"),
        status=safe(told, "/".join(said)),
        assets=(safe(told, asset),) if asset else (),
        problem=told(f"not understood: {problem}"),
    )
