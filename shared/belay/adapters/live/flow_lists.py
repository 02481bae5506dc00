"""One of the lists in which a venue records what came and went: page by page, each row on its own."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import ValidationError

from belay.adapters.live.fence import milliseconds
from belay.adapters.live.profiles.answers import dig, rows_of
from belay.adapters.live.profiles.flows import FlowList, Leg
from belay.adapters.live.reading import SymbolOf, Unbelievable, plain_text, read_instant, read_number, read_text
from belay.adapters.live.rows import MOST_UNREAD, Told, row_digest, safe
from belay.domain.flows import VenueFlow
from belay.domain.record import ZERO, iso
from belay.domain.venues import UnreadRow

Ask = Callable[[str, dict[str, str]], Any]
MOST_PAGES = 3
GROUP = "@group"
# What is pending for longer holds nothing back any more: it is told of as not understood instead.
PENDING_DAYS = 7
TEXT_TIME = "%Y-%m-%d %H:%M:%S"  # Binance's, in UTC without saying so


class TooMany(Exception):
    """More rows than may be asked for at once; `share` of the window has about as many as may."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__(share)
        self.share = share


@dataclass(frozen=True)
class Found:
    """What a list held, as `FlowPage` tells it. `pending`: the time of the oldest row that is not final."""

    flows: tuple[VenueFlow, ...] = ()
    unread: tuple[UnreadRow, ...] = ()
    pending: datetime | None = None
    covered: bool = True
    coming: tuple[VenueFlow, ...] = ()
    out: tuple[VenueFlow, ...] = ()
    void: tuple[VenueFlow, ...] = ()


class ListWindow(NamedTuple):
    """The closed window that is read, at venue time `now`."""

    start: datetime
    end: datetime
    now: datetime


def read_list(entry: FlowList, window: ListWindow, ask: Ask, asset_of: SymbolOf, told: Told) -> Found:
    """Raises TooMany, Unbelievable, and whatever `ask` raises."""
    found: dict[str, dict[str, VenueFlow]] = {state: {} for state in ("done", "pending", "void")}
    unread: dict[str, UnreadRow] = {}
    waiting: list[datetime] = []
    for row in _rows(entry, window, ask):
        state = ""
        try:
            asked = _moment(row, entry.asked)
            if not window.start <= asked <= window.end:
                continue
            state = _state(entry, row)
            if state == "pending":
                _require_recent(asked, window.now)
                waiting.append(asked)
            if state in found and (flow := _flow(entry, row, asset_of, told)) is not None:
                found[state][flow.flow_id] = flow
        except (Unbelievable, ValidationError, ValueError) as doubt:
            if state == "void":
                continue  # it moved nothing
            problem = str(doubt) if isinstance(doubt, Unbelievable) else "a value out of bounds"
            row_unread = _unread(entry, row, asset_of, told, problem)
            unread[row_unread.reference] = row_unread
    if len(unread) > MOST_UNREAD:
        raise Unbelievable(f"{len(unread)} rows")
    done, pending, void = (tuple(flows.values()) for flows in found.values())
    out, coming = (pending, ()) if entry.at_request else ((), pending)
    return Found(
        flows=(*done, *out),
        unread=tuple(unread.values()),
        pending=min(waiting, default=None),
        coming=coming,
        out=out,
        void=void,
    )


def _require_recent(asked: datetime, now: datetime) -> None:
    if (now - asked).days >= PENDING_DAYS:
        raise Unbelievable(f"it is pending for {PENDING_DAYS} days or more")


def _rows(entry: FlowList, window: ListWindow, ask: Ask) -> Iterable[dict[str, Any]]:
    """Every row of the window, however the list pages; where it does not, a full page may lack some."""
    times = {entry.start: str(milliseconds(window.start)), entry.end: str(milliseconds(window.end) + 1)}
    size = {entry.size: str(entry.page_size)} if entry.size else {}
    for number in range(MOST_PAGES):
        place = number + 1 if entry.counts == "pages" else number * entry.page_size
        page = {entry.page: str(place)} if entry.page else {}
        rows = rows_of(ask(entry.method, {**entry.params, **times, **size, **page}), entry.rows)
        if rows is None:
            raise Unbelievable(f"{entry.name}: shape")
        for row in rows:
            yield from _parts(entry, row)
        if len(rows) < entry.page_size:
            return
        if entry.page is None:
            break
    raise TooMany


def _parts(entry: FlowList, row: dict[str, Any]) -> Iterable[dict[str, Any]]:
    parts = row.get(entry.parts) if entry.parts else None
    if entry.parts is None:
        return (row,)
    if not isinstance(parts, list):
        return ({},)
    group = {name: value for name, value in row.items() if name != entry.parts}
    return tuple({**(part if isinstance(part, dict) else {}), GROUP: group} for part in parts)


def _state(entry: FlowList, row: dict[str, Any]) -> str:
    """`done`, `pending` or `void`; `other` where it is another wallet's."""
    for path, ours in entry.where.items():
        if dig(row, path) is not None and read_text(row, path) not in ours:
            return "other"
    if entry.status is None:
        return "done"
    text = read_text(row, entry.status)
    states = {"done": entry.done, "pending": entry.pending, "void": entry.void}
    found = next((state for state, texts in states.items() if text in texts), None)
    if found is None:
        raise Unbelievable("status")
    return found


def _flow(entry: FlowList, row: dict[str, Any], asset_of: SymbolOf, told: Told) -> VenueFlow | None:
    """None where nothing moved."""
    at = _moment(row, entry.time)
    amounts: dict[str, Decimal] = {}
    for leg in entry.legs:
        asset, amount = _moved(leg, row, asset_of)
        amounts[asset] = amounts.get(asset, ZERO) + amount
    amounts = {asset: amount for asset, amount in amounts.items() if amount}
    reference = ":".join(read_text(row, path) for path in entry.id) or _content(at, amounts)
    if not amounts:
        return None
    return VenueFlow(
        flow_id=f"{entry.name}:{reference}",
        kind=entry.kind,
        amounts=amounts,
        at=at,
        evidence=told(f"{entry.method} {reference}"),
    )


def _moved(leg: Leg, row: dict[str, Any], asset_of: SymbolOf) -> tuple[str, Decimal]:
    asset = plain_text(asset_of(leg.of or read_text(row, leg.asset or "")) or "", "asset")
    path = next((path for path in leg.amount if dig(row, path) not in (None, "")), leg.amount[0])
    amount = read_number(row, path)
    if amount < 0 or not asset:
        raise Unbelievable("amount")
    return asset, amount * leg.sign * _direction(leg, row)


def _direction(leg: Leg, row: dict[str, Any]) -> int:
    if leg.turns is None or dig(row, leg.turns) is None:
        return 1
    direction = {"1": 1, "-1": -1}.get(read_text(row, leg.turns))
    if direction is None:
        raise Unbelievable("direction")
    return direction


def _content(at: datetime, amounts: dict[str, Decimal]) -> str:
    """The id of a row that has none: what it moved and when, written in one way."""
    parts = [iso(at), *(f"{asset} {amount.normalize():f}" for asset, amount in sorted(amounts.items()))]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _moment(row: dict[str, Any], paths: tuple[str, ...]) -> datetime:
    """The first of these times that is told."""
    told = next((path for path in paths if dig(row, path) not in (None, "", 0, "0")), paths[0])
    value = dig(row, told)
    if isinstance(value, str) and not value.isdecimal():
        try:
            return datetime.strptime(value, TEXT_TIME).replace(tzinfo=UTC)
        except ValueError:
            raise Unbelievable("time") from None
    try:
        return read_instant(row, (told,), "ms")
    except (OverflowError, ValueError):
        raise Unbelievable("time") from None


def _unread(entry: FlowList, row: dict[str, Any], asset_of: SymbolOf, told: Told, problem: str) -> UnreadRow:
    reference = ":".join(str(dig(row, path)) for path in entry.id if dig(row, path) is not None)
    status = dig(row, entry.status) if entry.status else None
    return UnreadRow(
        what="flow",
        reference=safe(told, f"{entry.name}:{reference or row_digest(row)}"),
        status=safe(told, status) if isinstance(status, str | int) else "",
        assets=tuple(dict.fromkeys(_assets(entry, row, asset_of, told))),
        problem=told(f"not understood: {problem}"),
    )


def _assets(entry: FlowList, row: dict[str, Any], asset_of: SymbolOf, told: Told) -> Iterable[str]:
    for leg in entry.legs:
        try:
            asset = asset_of(leg.of or read_text(row, leg.asset or ""))
        except Unbelievable:
            continue
        if asset:
            yield safe(told, asset)
