"""The account's limits as a pure, total function: what an intent may do now, with one recorded line per limit.

Limits only tighten entries: an exit is stopped by `halted`, by sanity checks and by its cap, the strategy's own
position minus exits that are open or unknown (freqtrade #13332). A limit that is missing denies and names itself.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from belay.domain.account import Account, OperatorStops, StopLevel, strictest
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.identity import differing
from belay.domain.market import Market, Price
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.record import ZERO, NonNegative, Record, Utc, base_asset, quote_asset
from belay.domain.venues import Balances, UnreadRow, VenueOrder


class LineVerdict(StrEnum):
    PASS = "pass"  # noqa: S105 a verdict
    RESIZE = "resize"
    WAIT = "wait"
    DENY = "deny"


class Line(Record):
    """One limit as it was checked: its name, the value compared, the bound, and what follows."""

    limit: str
    value: str
    bound: str
    verdict: LineVerdict


class Verdict(Record):
    """The result of a check. `action` is the strictest line's; `quantity` in base, `price` in quote currency."""

    action: LineVerdict
    reason: str
    quantity: NonNegative
    price: Decimal
    lines: tuple[Line, ...]


class Situation(Record):
    """What was gathered for one check: venue state and the operators' switch, all at venue time `now`.

    `prices` by symbol: the order's own, and every symbol with a position as far as it has one now. `offset_seconds`:
    venue minus local clock. `unread`: rows of the open orders that are not understood.
    `flaw`: what does not hold together in the order's records, see `chain`: with one nothing is checked. `accepted`: a
    person took its records as they are.
    """

    now: Utc
    offset_seconds: Decimal
    switch: StopLevel
    switch_reason: str
    stops: OperatorStops
    flaw: str
    accepted: bool
    market: Market
    prices: dict[str, Price]
    balances: Balances
    venue_orders: tuple[VenueOrder, ...]
    proof: Proof | None
    unread: tuple[UnreadRow, ...] = ()


class Case(NamedTuple):
    order: Order
    account: Account
    document: AccountDocument
    at: Situation

    @property
    def price(self) -> Decimal:
        """What the order is valued at: its limit as it would be sent, else the reference price."""
        limit = self.order.limit_price
        return self.at.market.round_price(limit, self.order.side) if limit else self.at.prices[self.order.symbol].value

    def value_of(self, symbol: str) -> Decimal | None:
        """What a unit is valued at. Without a price of now, the last one known or what it cost, whichever is more: too
        high a value only tightens what is judged by it."""
        price, bound = self.at.prices.get(symbol), self.document.limits.max_price_age_seconds
        if price is not None and (symbol == self.order.symbol or bound is None or self.age(price.at) <= bound):
            return price.value
        before = self.at.proof.prices.get(symbol) if self.at.proof else None
        known = [seen.value for seen in (price, before) if seen is not None]
        return max([*known, *self._unit_costs(symbol)], default=None)

    def _unit_costs(self, symbol: str) -> Iterator[Decimal]:
        for held in self.account.positions.values():
            position = held.get(symbol)
            if position is not None and position.quantity > 0 and position.cost > 0:
                yield position.cost / position.quantity

    def age(self, since: datetime) -> Decimal:
        """Seconds between `since` and now. A time that lies ahead is as little to be trusted as one that is past."""
        return Decimal(str(abs((self.at.now - since).total_seconds())))


Check = Callable[[Case], Line]
Cap = Callable[[Case], tuple[str, Decimal | None, str]]


def check(order: Order, account: Account, document: AccountDocument, situation: Situation) -> Verdict:
    """Decide whether an intent may be claimed now, and how large.

    Returns:
        A verdict whose action is `pass` (send as asked), `resize` (send smaller), `wait` (not now, try again before it
        lapses) or `deny` (never).
    """
    case = Case(order, account, document, situation)
    listed = order.reducing or order.symbol in document.symbols
    if not listed or order.symbol not in situation.prices:
        return _verdict(case, ZERO, (_line("symbol", order.symbol, ", ".join(document.symbols), False),))
    if case.price <= 0:
        return _verdict(case, ZERO, (_line("limit_price", order.limit_price, situation.market.price_tick, False),))
    checks = EXIT_CHECKS if order.reducing else ENTRY_CHECKS
    lines = [evaluate(case) for evaluate in checks]
    if not order.reducing and document.unknown_fields:
        lines.append(_unknown_limits(document))
    if order.reducing and any(line.verdict is not LineVerdict.PASS for line in lines):
        # How much there is to leave is not known before the entry that it waits for.
        return _verdict(case, ZERO, tuple(lines))
    quantity, sized = _size(case)
    return _verdict(case, quantity, (*lines, *sized))


def _verdict(case: Case, quantity: Decimal, lines: tuple[Line, ...]) -> Verdict:
    for action in (LineVerdict.DENY, LineVerdict.WAIT, LineVerdict.RESIZE):
        if worst := next((line for line in lines if line.verdict is action), None):
            price = case.price if case.order.symbol in case.at.prices else ZERO
            return Verdict(action=action, reason=worst.limit, quantity=quantity, price=price, lines=lines)
    return Verdict(action=LineVerdict.PASS, reason="within limits", quantity=quantity, price=case.price, lines=lines)


def _line(limit: str, value: object, bound: object, passed: bool, otherwise: LineVerdict = LineVerdict.DENY) -> Line:
    return Line(limit=limit, value=str(value), bound=str(bound), verdict=LineVerdict.PASS if passed else otherwise)


def _at_most(
    limit: str, value: Decimal, bound: Decimal | int | None, otherwise: LineVerdict = LineVerdict.DENY
) -> Line:
    if bound is None:
        return _line(limit, value, "missing", False)
    return _line(limit, value, bound, value <= bound, otherwise)


# --- checks: allowed or not ------------------------------------------------------------------------------------------


def _stop(case: Case) -> Line:
    """The strictest of the operators' switch and stops and of the stops of incidents."""
    standing = (*case.account.stops, *case.at.stops.stops)
    level, reason = strictest(standing, case.order.strategy, case.order.symbol)
    if case.at.switch.rank >= level.rank:
        level, reason = case.at.switch, case.at.switch_reason
    allowed = StopLevel.REDUCE_ONLY if case.order.reducing else StopLevel.RUNNING
    value = level if level is StopLevel.RUNNING else f"{level}: {reason}"
    # An exit may still go out if the stop is released before it lapses; an entry is merely missed.
    otherwise = LineVerdict.WAIT if case.order.reducing else LineVerdict.DENY
    return _line("stop", value, allowed, level.rank <= allowed.rank, otherwise)


def _records(case: Case) -> Line:
    """An order whose records a person took as they are is never sent again."""
    value = "taken as they are by a person" if case.at.accepted else "whole"
    return _line("records", value, "whole", not case.at.accepted)


def _unknown_limits(document: AccountDocument) -> Line:
    """What this version does not know of the document may be a limit: entries wait, exits go."""
    return _line("document", ", ".join(document.unknown_fields), "known fields", False, LineVerdict.WAIT)


def identity_line(account: Account, document: AccountDocument) -> Line:
    """A document that means another account than the history is about: nothing is sent, whoever wrote it."""
    field = differing(account.identity, document)
    return _line("identity", field or "unchanged", "unchanged", field is None, LineVerdict.WAIT)


def _retired(case: Case) -> Line:
    """Nobody reads a symbol that was given up: nothing of it is proven, and what is held of it counts in no limit."""
    symbol = case.order.symbol
    if symbol not in case.account.retired:
        return _line("retired", "no", "no", True)
    return _line("retired", f"{symbol} is retired", f'no: belay symbols take-back {symbol} --reason "…"', False)


def _identity(case: Case) -> Line:
    return identity_line(case.account, case.document)


def _clock_offset(case: Case) -> Line:
    """Beyond the bound nothing is claimed; it waits, since one slow answer of the venue looks like an offset.

    An exit is not trapped by a bound that was never configured.
    """
    offset, bound = abs(case.at.offset_seconds), case.document.limits.clock_offset_seconds
    if bound is None and case.order.reducing:
        return _line("clock_offset_seconds", offset, "missing", True)
    return _at_most("clock_offset_seconds", offset, bound, LineVerdict.WAIT)


def _reconciliation_age(case: Case) -> Line:
    """The gate: closed means wait, since the next clean reconciliation opens it.

    A proof is as old as the first thing it read: its process may have been frozen before it read the last.
    """
    bound = case.document.limits.max_reconciliation_age_seconds
    if bound is None:
        return _line("max_reconciliation_age_seconds", "-", "missing", False)
    if case.at.proof is None:
        return _line("max_reconciliation_age_seconds", "no proof", bound, False, LineVerdict.WAIT)
    if case.order.symbol in case.at.proof.uncovered:
        unread = f"{case.order.symbol} could not be read in full"
        return _line("max_reconciliation_age_seconds", unread, bound, False, LineVerdict.WAIT)
    age = case.age(case.at.proof.started_at)
    return _line("max_reconciliation_age_seconds", age, bound, age <= bound, LineVerdict.WAIT)


def _unresolved_in_symbol(case: Case) -> Line:
    held = [
        r.order_id
        for r in case.account.reservations.values()
        if r.symbol == case.order.symbol and r.unresolved and r.order_id != case.order.order_id
    ]
    return _line("unresolved_order_in_symbol", held[0] if held else "none", "none", not held)


def _exit_behind_unresolved_entry(case: Case) -> Line:
    order = case.order
    held = [
        r.order_id
        for r in case.account.reservations.values()
        if (r.strategy, r.symbol) == (order.strategy, order.symbol) and r.unresolved and not r.reducing
    ]
    return _line("unresolved_entry", held[0] if held else "none", "none", not held, LineVerdict.WAIT)


def _submissions_per_minute(case: Case) -> Line:
    limits = case.document.limits
    if limits.submissions_per_minute is None or limits.reserved_exit_submissions is None:
        missing = "submissions_per_minute" if limits.submissions_per_minute is None else "reserved_exit_submissions"
        return _line(missing, "-", "missing", False)
    bound = limits.submissions_per_minute - limits.reserved_exit_submissions
    return _at_most("submissions_per_minute", Decimal(case.account.submissions_since(case.at.now) + 1), bound)


def _input_age(case: Case) -> Line:
    return _at_most(
        "max_input_age_seconds", case.age(case.order.market_time), case.document.limits.max_input_age_seconds
    )


def _price_age(case: Case) -> Line:
    """Of the order's own symbol: what else is held is valued without a price of now, see `Case.value_of`."""
    age = case.age(case.at.prices[case.order.symbol].at)
    return _at_most("max_price_age_seconds", age, case.document.limits.max_price_age_seconds)


def _balance_age(case: Case) -> Line:
    return _at_most(
        "max_balance_age_seconds", case.age(case.at.balances.at), case.document.limits.max_balance_age_seconds
    )


ENTRY_CHECKS: tuple[Check, ...] = (
    _identity,
    _records,
    _retired,
    _stop,
    _clock_offset,
    _unresolved_in_symbol,
    _submissions_per_minute,
    _input_age,
    _price_age,
    _balance_age,
    _reconciliation_age,
)
EXIT_CHECKS: tuple[Check, ...] = (_identity, _records, _stop, _clock_offset, _exit_behind_unresolved_entry)


# --- caps: how much --------------------------------------------------------------------------------------------------
# Each gives a name, the largest base quantity it allows (None: the limit is missing) and the bound as configured.


def _order_notional(case: Case) -> tuple[str, Decimal | None, str]:
    bound = case.document.limits.max_order_notional
    return "max_order_notional", bound and bound / case.price, str(bound or "missing")


def _position_notional(case: Case) -> tuple[str, Decimal | None, str]:
    symbol = case.order.symbol
    bound = case.document.limits.max_position_notional.get(symbol)
    used = _held_notional(case, symbol) + _reserved_buys(case, symbol)
    return "max_position_notional", bound and (bound - used) / case.price, str(bound or "missing")


def _aggregate_exposure(case: Case) -> tuple[str, Decimal | None, str]:
    """Everything held at its value plus what open buys may add; unknown without every held symbol's value."""
    bound = case.document.limits.max_aggregate_exposure
    held = case.account.exposed_symbols(case.document) - case.account.given_up
    if without := sorted(symbol for symbol in held if case.value_of(symbol) is None):
        return "max_aggregate_exposure", None, f"no price of {', '.join(without)}"
    used = _reserved_buys(case) + sum((_held_notional(case, symbol) for symbol in held), ZERO)
    return "max_aggregate_exposure", bound and (bound - used) / case.price, str(bound or "missing")


def _available_quote(case: Case) -> tuple[str, Decimal | None, str]:
    quote, locked = quote_asset(case.order.symbol), ZERO
    for foreign in _foreign_buys(case):
        price = foreign.limit_price or case.value_of(foreign.symbol)
        if price is None:
            return "available_balance", None, f"no price of {foreign.symbol}, which another order buys"
        locked += foreign.remaining * price
    available = case.at.balances.total.get(quote, ZERO) - locked - _reserved_buys(case)
    if (free := case.at.balances.free.get(quote)) is not None:
        available = min(available, free)
    return "available_balance", available / (case.price * (1 + case.order.assumed_cost)), f"{available} {quote}"


def _own_position(case: Case) -> tuple[str, Decimal | None, str]:
    order = case.order
    left = case.account.left_to_sell(order.strategy, order.symbol, besides=order.order_id)
    return "own_position", left, str(left)


def _available_base(case: Case) -> tuple[str, Decimal | None, str]:
    """What the venue would let go: its total less what open sells lock there.

    Our reservations are left out: a sell that has filled but is not yet counted has left the balance already, and
    must not trap the exit of another strategy.
    """
    base = base_asset(case.order.symbol)
    locked = sum(
        (
            o.remaining
            for o in case.at.venue_orders
            if o.side is Side.SELL and base_asset(o.symbol) == base and o.client_order_id != case.order.order_id
        ),
        ZERO,
    )
    available = case.at.balances.total.get(base, ZERO) - locked
    free = case.at.balances.free.get(base)
    if free is not None and any(_may_lock(row, base) for row in case.at.unread):
        available = min(available, free)
    return "available_balance", available, f"{available} {base}"


def _may_lock(row: UnreadRow, asset: str) -> bool:
    """Whether an order that is not understood may have locked some of an asset. How much, only the venue knows."""
    known = row.assets or (row.symbol.split("/") if row.symbol else ())
    return not known or asset in known


ENTRY_CAPS: tuple[Cap, ...] = (_order_notional, _position_notional, _aggregate_exposure, _available_quote)
EXIT_CAPS: tuple[Cap, ...] = (_own_position, _available_base)


def _size(case: Case) -> tuple[Decimal, list[Line]]:
    """The quantity after every cap, floored to the venue's step; below the venue's minimum it is denied."""
    order, market = case.order, case.at.market
    caps = [cap(case) for cap in (EXIT_CAPS if order.reducing else ENTRY_CAPS)]
    wanted = _wanted(case, caps)
    lines = [_cap_line(case, name, wanted, most, bound) for name, most, bound in caps]
    allowed = min([wanted, *(most for _, most, _ in caps if most is not None)])
    quantity = market.floor_quantity(max(allowed, ZERO))
    # An entry must leave something that can be sold again after its fee (freqtrade #2011).
    sellable = quantity if order.reducing else market.floor_quantity(quantity * (1 - market.taker_fee))
    minimum = f"{market.min_quantity} and notional {market.min_notional}"
    enough = not market.too_small(sellable, case.price)
    leftover = "dust" if allowed > ZERO else "nothing_to_sell"
    lines.append(_line("venue_minimum" if enough or not order.reducing else leftover, sellable, minimum, enough))
    return quantity, lines


def _wanted(case: Case, caps: list[tuple[str, Decimal | None, str]]) -> Decimal:
    order = case.order
    if order.quantity is not None:
        return order.quantity
    if order.notional is not None:
        return order.notional / case.price
    return max(caps[0][1] or ZERO, ZERO)


def _cap_line(case: Case, name: str, wanted: Decimal, most: Decimal | None, bound: str) -> Line:
    if most is None:
        return _line(name, wanted * case.price, bound, False)
    smaller = LineVerdict.RESIZE if case.order.resizable and most > 0 else LineVerdict.DENY
    value = wanted if case.order.reducing else wanted * case.price
    return _line(name, value, bound, wanted <= most, smaller)


def _held_notional(case: Case, symbol: str) -> Decimal:
    """What is held, at its value. A sell counted before its buy (negative) makes no room for more."""
    return max(case.account.symbol_quantity(symbol), ZERO) * (case.value_of(symbol) or ZERO)


def _reserved_buys(case: Case, symbol: str | None = None) -> Decimal:
    return sum(
        (
            r.notional
            for r in case.account.reservations.values()
            if r.side is Side.BUY and symbol in (None, r.symbol) and r.order_id != case.order.order_id
        ),
        ZERO,
    )


def _foreign_buys(case: Case) -> list[VenueOrder]:
    """Open buys at the venue that hold no reservation of ours: what they lock is not available."""
    ours, quote = case.account.reservations, quote_asset(case.order.symbol)
    return [
        o
        for o in case.at.venue_orders
        if o.side is Side.BUY and o.client_order_id not in ours and quote_asset(o.symbol) == quote
    ]
