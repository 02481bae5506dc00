"""One row of a venue's answer as an order, a trade or a balance, and rights: exact decimals, and nothing unsaid.

Raises `Unbelievable` for whatever lacks a part, has a wrong one, or holds money as a float. Asks nobody.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

from pydantic import ValidationError

from belay.adapters.live.bounds import DIGITS, EXPONENT_DIGITS
from belay.adapters.live.profiles.answers import KEY, OrderFields, Rights, TradeFields, dig
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.redaction import REDACTED
from belay.domain.checkup import Access
from belay.domain.decisions import Side
from belay.domain.record import ZERO
from belay.domain.slots import EPOCH
from belay.domain.venues import VenueOrder, VenueStatus, VenueTrade

SymbolOf = Callable[[str], str | None]
# What a venue's names and ids look like. Ids become parts of keys; a client order id may be anybody's.
LONGEST, ID = 64, re.compile(r"[A-Za-z0-9_.:-]{1,64}")
RIGHT = re.compile(r"[\w-]{1,60}")
UNITS = {"s": Decimal(1_000_000), "ms": Decimal(1_000)}

# ccxt's own structures, for venues whose raw answers are not described. Its numbers are kept as texts.
UNIFIED_ORDERS = OrderFields(
    id="id",
    client_id="clientOrderId",
    market="symbol",
    side="side",
    type="type",
    limit_types=("limit",),
    quantity="amount",
    price="price",
    filled="filled",
    status="status",
    statuses={
        "open": VenueStatus.OPEN,
        "closed": VenueStatus.FILLED,
        "canceled": VenueStatus.CANCELLED,
        # Of Coinbase and HTX, which ccxt passes on as they are: the venue has them, and they are not over.
        "PENDING": VenueStatus.OPEN,
        "QUEUED": VenueStatus.OPEN,
        "EDIT_QUEUED": VenueStatus.OPEN,
        "CANCEL_QUEUED": VenueStatus.OPEN,
        "canceling": VenueStatus.OPEN,
        "expired": VenueStatus.EXPIRED,
        "rejected": VenueStatus.REJECTED,
    },
    updated=("lastUpdateTimestamp", "timestamp"),
    unit="ms",
)
UNIFIED_TRADES = TradeFields(
    id="id",
    order_id="order",
    market="symbol",
    side="side",
    sides={"buy": "buy", "sell": "sell"},
    quantity="amount",
    price="price",
    fee="fee.cost",
    fee_asset="fee.currency",
    time="timestamp",
    unit="ms",
    cost="cost",
    fees="fees",
)


class Unbelievable(Exception):
    """An answer that is not what it must be; says which part, never its value."""


def order_fields(profile: CcxtProfile) -> OrderFields:
    return profile.reading.orders if profile.reading else UNIFIED_ORDERS


def trade_fields(profile: CcxtProfile) -> TradeFields:
    return profile.reading.trades if profile.reading else UNIFIED_TRADES


def read_order(profile: CcxtProfile, row: dict[str, Any], symbol_of: SymbolOf) -> VenueOrder:
    fields = order_fields(profile)
    status = fields.statuses.get(read_text(row, fields.status))
    if status is None:
        raise Unbelievable("order's status")
    limited = read_text(row, fields.type) in fields.limit_types
    quantity, filled = read_number(row, fields.quantity), read_number(row, fields.filled)
    if status is VenueStatus.FILLED and filled < quantity:
        status = VenueStatus.CANCELLED  # ccxt calls closed what was cancelled after a part of it was filled
    try:
        return VenueOrder(
            venue_order_id=_id(row, fields.id),
            client_order_id=profile.ours(_client_id(row, fields.client_id)),
            symbol=_symbol(row, fields.market, symbol_of),
            side=Side(read_text(row, fields.side).lower()),
            quantity=quantity,
            limit_price=read_number(row, fields.price) if limited else None,
            filled_quantity=filled,
            status=status,
            updated_at=read_instant(row, fields.updated, fields.unit),
        )
    except ValidationError as error:
        part = _part(error)
    except ValueError:
        part = "side"
    raise Unbelievable(f"order's {part}")


def read_trade(profile: CcxtProfile, row: dict[str, Any], symbol_of: SymbolOf, asset_of: SymbolOf) -> VenueTrade | None:
    """One trade; None where its market is none that is traded."""
    fields = trade_fields(profile)
    symbol = symbol_of(read_text(row, fields.market))
    if symbol is None:
        return None
    side = fields.sides.get(read_text(row, fields.side).lower())
    fees, told = _fees(row, fields, symbol, asset_of)
    try:
        return VenueTrade(
            venue=profile.name,
            symbol=symbol,
            venue_order_id=_id(row, fields.order_id),
            client_order_id=profile.ours(_client_id(row, fields.client_id)),
            side=Side(side or ""),
            trade_id=_id(row, fields.id),
            quantity=read_number(row, fields.quantity),
            price=read_number(row, fields.price),
            fees=fees,
            at=read_instant(row, (fields.time,), fields.unit),
            cost=_cost(row, fields),
            estimated=fields.estimated or not told,
        )
    except ValidationError as error:
        part = _part(error)
    except ValueError:
        part = "side"
    raise Unbelievable(f"trade's {part}")


def _part(error: ValidationError) -> str:
    """Which part of a record was wrong, never its value."""
    return str(error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"][0])


def _cost(row: dict[str, Any], fields: TradeFields) -> Decimal | None:
    return None if fields.cost is None or dig(row, fields.cost) is None else read_number(row, fields.cost)


def _fees(row: dict[str, Any], fields: TradeFields, symbol: str, asset_of: SymbolOf) -> tuple[dict[str, Decimal], bool]:
    """What was taken by asset, a rebate negative, and whether anything was said of it at all."""
    several = dig(row, fields.fees) if fields.fees else None
    if isinstance(several, list) and several:
        parts = [(dig(part, "cost"), dig(part, "currency")) for part in several]
    else:
        named = dig(row, fields.fee_asset) if fields.fee_asset else symbol.split("/")[1]
        parts = [(dig(row, fields.fee), named)]
    if fields.fees is not None:  # ccxt's own: it gives None for what a venue leaves out
        parts = [part for part in parts if part[0] is not None]
    taken: dict[str, Decimal] = {}
    for cost, currency in parts:
        fee = number(cost)
        if fee:
            asset = _fee_asset(currency, fields, asset_of)
            taken[asset] = taken.get(asset, ZERO) + fee
    return {asset: fee for asset, fee in taken.items() if fee}, bool(parts)


def _fee_asset(currency: Any, fields: TradeFields, asset_of: SymbolOf) -> str:
    text = read_text({"asset": currency}, "asset")
    asset = text if fields.fee_asset is None else asset_of(text)
    if asset is None:
        raise Unbelievable("trade's fee asset")
    return plain_text(asset, "fee asset")


def read_rights(rights: Rights, document: Any) -> Access:
    """Raises `Unbelievable`. What an object does not name is not told; what a list does not name is not given."""
    found = dig(document, rights.path)
    if not isinstance(found, dict | list) or not all(isinstance(name, str) and RIGHT.fullmatch(name) for name in found):
        raise Unbelievable("shape")
    names: dict[str, tuple[str, ...]] = rights.names.model_dump()
    known = {*rights.harmless, *chain.from_iterable(names.values())}
    if isinstance(found, dict):
        given = {name: value for name, value in found.items() if isinstance(value, bool)}
    else:
        given = dict.fromkeys(known, False) | dict.fromkeys(found, True)
    bound = dig(document, rights.bound)
    return Access(
        **{what: _all_given([given.get(name) for name in needed]) for what, needed in names.items() if needed},
        bound=bool(bound) if isinstance(bound, bool | list) else None,
        more=tuple(sorted(name for name, value in given.items() if value and name not in known)),
        account=read_account(document, rights.account),
    )


def read_account(document: Any, path: str) -> str | None:
    """The venue's own id of the account, whatever stands between its letters and digits; None where it tells none."""
    found = dig(document, path) if path else None
    text = "".join(character for character in str(found) if character.isalnum())
    plain = isinstance(found, str | int | Decimal) and not isinstance(found, bool)
    return text if plain and ID.fullmatch(text) else None


def _all_given(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def number(value: Any) -> Decimal:
    """An exact decimal: a text, an integer or a decimal, never a float, and none that is out of bounds."""
    if isinstance(value, Decimal | str | int) and not isinstance(value, bool):
        try:
            exact = Decimal(value)
        except (InvalidOperation, ValueError):
            raise Unbelievable("number") from None
        if exact.is_finite() and len(exact.as_tuple().digits) <= DIGITS and abs(exact.adjusted()) < 10**EXPONENT_DIGITS:
            return exact
    raise Unbelievable("number")


def read_number(row: dict[str, Any], path: str) -> Decimal:
    return number(dig(row, path))


def read_text(row: dict[str, Any], path: str) -> str:
    value = row.get(KEY) if path == KEY else dig(row, path)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == "" or not isinstance(value, str | int):
        raise Unbelievable(path)
    return plain_text(str(value), path)


def plain_text(text: str, path: str) -> str:
    """A text of a line that holds nothing which was taken out of it."""
    if len(text) > LONGEST or not text.isprintable() or REDACTED in text:
        raise Unbelievable(path)
    return text


def _id(row: dict[str, Any], path: str) -> str:
    text = read_text(row, path)
    if not ID.fullmatch(text) or isinstance(dig(row, path), bool):
        raise Unbelievable(path)
    return text


def _client_id(row: dict[str, Any], path: str | None) -> str | None:
    value = dig(row, path) if path else None
    return None if value is None else plain_text(str(value), path or "")


def _symbol(row: dict[str, Any], path: str, symbol_of: SymbolOf) -> str:
    symbol = symbol_of(read_text(row, path))
    if symbol is None:
        raise Unbelievable("market")
    return symbol


def read_instant(row: dict[str, Any], paths: tuple[str, ...], unit: str) -> datetime:
    """The first time that is told, whole microseconds."""
    told = next((found for path in paths if (found := dig(row, path)) not in (None, 0, "0", "")), None)
    try:
        return EPOCH + timedelta(microseconds=int(number(told) * UNITS[unit]))
    except ArithmeticError:
        raise Unbelievable("time") from None
