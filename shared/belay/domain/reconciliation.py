"""Compare the ledger with the venue as two values. Finds; repairs nothing, concludes no absence, invents no fill."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from belay.domain.account import Account
from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import NEVER_SENT, WORKING, Order, OrderState, Word, same_order
from belay.domain.record import ZERO, Record, Symbol, Utc, base_asset, quote_asset
from belay.domain.transitions import reading
from belay.domain.venues import Balances, VenueOrder, VenueStatus, VenueTrade


class LedgerView(Record):
    """What the ledger holds: the account, every order that may still change or that the venue mentions.

    `orders` by order id; `by_venue_id` maps symbol and venue order id to order id (venue order ids alone may repeat
    across symbols); `recorded_trades` are keys already counted.
    """

    account: Account
    document: AccountDocument
    orders: dict[str, Order]
    by_venue_id: dict[tuple[str, str], str]
    recorded_trades: frozenset[str]

    def order_for(self, seen: VenueOrder | VenueTrade) -> Order | None:
        by_venue = self.by_venue_id.get((seen.symbol, seen.venue_order_id))
        order_id = seen.client_order_id if seen.client_order_id in self.orders else by_venue
        return self.orders.get(order_id) if order_id else None

    def owner(self, seen: VenueOrder | VenueTrade) -> Order | None:
        """The order that a trade fills or the venue shows: one that was sent, of the same symbol and side."""
        order = self.order_for(seen)
        if order is None or order.state in NEVER_SENT:
            return None
        return order if (order.symbol, order.side) == (seen.symbol, seen.side) else None

    def uncounted(self, trades: tuple[VenueTrade, ...]) -> tuple[VenueTrade, ...]:
        """Those of `trades` that are not yet counted, each once."""
        new = {trade.key: trade for trade in trades if trade.key not in self.recorded_trades}
        return tuple(new.values())


class VenueView(Record):
    """What the venue says at `time`: open orders, look-ups by order id (None: a well-formed miss), trades, balances."""

    time: Utc
    open_orders: tuple[VenueOrder, ...]
    lookups: dict[str, VenueOrder | None]
    trades: tuple[VenueTrade, ...]
    balances: Balances

    @property
    def shown(self) -> tuple[VenueOrder, ...]:
        """Every order that the venue shows, open or found by a look-up."""
        return (*self.open_orders, *(seen for seen in self.lookups.values() if seen is not None))


class Observed(Record):
    """The venue shows an order of ours: attach it, follow its state."""

    order_id: str
    seen: VenueOrder


class Filled(Record):
    """A trade of one of our orders that is not yet counted."""

    order_id: str
    trade: VenueTrade


class Unattributed(Record):
    """A trade that matches no order yet."""

    trade: VenueTrade


class Mismatch(Record):
    """Ledger and venue disagree in a way that no automatic repair settles. `symbol` None concerns the account."""

    kind: IncidentKind
    subject: str
    symbol: Symbol | None
    expected: str
    actual: str
    action: str

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.subject}"

    def incident(self, account: str, at: datetime) -> Incident:
        return Incident(
            account=account,
            kind=self.kind,
            subject=self.subject,
            symbol=self.symbol,
            expected=self.expected,
            actual=self.actual,
            action=self.action,
            opened_at=at,
        )


Finding = Observed | Filled | Unattributed | Mismatch


def reconcile(ledger: LedgerView, venue: VenueView) -> tuple[Finding, ...]:
    """Every difference between the two views, orders first, then trades, then balances."""
    return (
        *_orders(ledger, venue),
        *_duplicates(ledger, venue),
        *_trades(ledger, venue),
        *_balances(ledger, venue),
    )


def _orders(ledger: LedgerView, venue: VenueView) -> Iterator[Finding]:
    for seen in venue.shown:
        order = ledger.order_for(seen)
        yield from _foreign_order(seen) if order is None else _own_order(order, seen)
    for order_id, lookup in venue.lookups.items():
        order = ledger.orders[order_id]
        if lookup is None:
            yield from _missing(order)


def _foreign_order(seen: VenueOrder) -> Iterator[Finding]:
    yield Mismatch(
        kind=IncidentKind.UNKNOWN_VENUE_ORDER,
        subject=seen.venue_order_id,
        symbol=seen.symbol,
        expected="no such order",
        actual=f"{seen.side} {seen.quantity} {seen.symbol}, client order id {seen.client_order_id}",
        action="Find out who placed it; cancel it at the venue and resolve the incident, or make it ours: belay adopt.",
    )


def _own_order(order: Order, seen: VenueOrder) -> Iterator[Finding]:
    known = order.attempt is not None and order.state not in NEVER_SENT
    if not known or not same_order(order, seen):
        yield Mismatch(
            kind=IncidentKind.ORDER_MISMATCH,
            subject=order.order_id,
            symbol=order.symbol,
            expected=_described(order),
            actual=f"{seen.side} {seen.quantity} {seen.symbol} at {seen.limit_price or 'market'}",
            action="The order was changed at the venue, someone else used its id, or the ledger was restored: compare "
            "both. An order that was changed is taken as it is by belay resolve.",
        )
        return
    shown, news = f"an order that is {seen.status}, {seen.filled_quantity} filled", reading(order, seen)
    if order.word is not None:
        if contradicted := wrong_word(order, seen):
            yield contradicted
    elif order.state is OrderState.NOT_SENT and seen.status is not VenueStatus.REJECTED:
        yield _wrong_proof(order, shown)
    if news is not None:
        yield Observed(order_id=order.order_id, seen=seen)


def _duplicates(ledger: LedgerView, venue: VenueView) -> Iterator[Finding]:
    """Orders of ours that the venue knows under one more id than before, whether an order or a trade tells."""
    told: dict[str, dict[str, None]] = {}
    mentions: tuple[VenueOrder | VenueTrade, ...] = (*venue.shown, *ledger.uncounted(venue.trades))
    for seen in mentions:
        order = ledger.owner(seen)
        if order is not None:
            told.setdefault(order.order_id, dict.fromkeys(order.venue_order_ids))[seen.venue_order_id] = None
    for order_id, venue_ids in told.items():
        order = ledger.orders[order_id]
        known = order.venue_order_ids or tuple(venue_ids)[:1]
        if new := [venue_id for venue_id in venue_ids if venue_id not in known]:
            yield Mismatch(
                kind=IncidentKind.DUPLICATE_VENUE_ORDER,
                subject=order_id,
                symbol=order.symbol,
                expected=", ".join(known),
                actual=", ".join(new),
                action="The venue holds two orders of one order id: cancel one, then resolve.",
            )


def _described(order: Order) -> str:
    if order.attempt is None or order.state in NEVER_SENT:
        return f"an order that is {order.state} and was never sent"
    sent = order.attempt.request
    return f"{sent.side} {sent.quantity} {sent.symbol} at {sent.limit_price or 'market'}"


def _missing(order: Order) -> Iterator[Finding]:
    """A working order must be found; what a miss says of any other order is judged where orders are settled."""
    if order.state in WORKING:
        yield Mismatch(
            kind=IncidentKind.MISSING_ORDER,
            subject=order.order_id,
            symbol=order.symbol,
            expected=f"{order.state} at the venue as {', '.join(order.venue_order_ids)}",
            actual="the venue does not know it",
            action="Look the order up at the venue by its id, then say what it says: belay resolve.",
        )


def _trades(ledger: LedgerView, venue: VenueView) -> Iterator[Finding]:
    filled: dict[str, Decimal] = {}
    for trade in ledger.uncounted(venue.trades):
        order = ledger.owner(trade)
        if order is None:
            yield Unattributed(trade=trade)
            yield _foreign_trade(trade)
            continue
        yield Filled(order_id=order.order_id, trade=trade)
        filled[order.order_id] = filled.get(order.order_id, order.filled_quantity) + trade.quantity
    for order_id, total in filled.items():
        yield from _suspicious_fill(ledger.orders[order_id], total)


def _foreign_trade(trade: VenueTrade) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.UNATTRIBUTED_TRADE,
        subject=trade.key,
        symbol=trade.symbol,
        expected="a trade of one of our orders",
        actual=f"{trade.side} {trade.quantity} {trade.symbol} at {trade.price}, venue order {trade.venue_order_id}",
        action="Find out who traded. Give the trade to a strategy, or call it foreign: belay trades. Was it an order "
        "from before Belay, adopt that: belay adopt.",
    )


def _suspicious_fill(order: Order, filled: Decimal) -> Iterator[Finding]:
    if order.word is not None:
        yield _wrong_word(order, order.word, f"{filled} {order.symbol} filled")
    elif order.state is OrderState.NOT_SENT:
        yield _wrong_proof(order, f"a fill of {filled} {order.symbol}")
    if order.attempt is not None and filled > order.attempt.request.quantity:
        yield Mismatch(
            kind=IncidentKind.OVERFILL,
            subject=order.order_id,
            symbol=order.symbol,
            expected=f"at most {order.attempt.request.quantity}",
            actual=str(filled),
            action="The venue filled more than was asked: check for a second order, then resolve.",
        )


def _wrong_proof(order: Order, actual: str) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.WRONG_ABSENCE_PROOF,
        subject=order.order_id,
        symbol=None,
        expected="NOT_SENT, absence proven",
        actual=actual,
        action="An order believed never sent is at the venue: keep the account halted and check the venue's profile.",
    )


def wrong_word(order: Order, seen: VenueOrder) -> Mismatch | None:
    """What is to be told where the venue shows more of an order than a person said of it."""
    news = reading(order, seen)
    if order.word is None or news is None:
        return None
    if news.state not in WORKING and news.venue_filled <= order.filled_quantity:
        return None
    return _wrong_word(order, order.word, f"an order that is {seen.status}, {seen.filled_quantity} filled")


def _wrong_word(order: Order, word: Word, actual: str) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.WRONG_WORD,
        subject=order.order_id,
        symbol=order.symbol,
        expected=f"{word.verdict}, {order.filled_quantity} filled, as {word.author} said: {word.reason}",
        actual=actual,
        action="The venue is followed again. Look at what was done since on the strength of that word; then resolve.",
    )


def _balances(ledger: LedgerView, venue: VenueView) -> Iterator[Finding]:
    for asset, residual in residuals(ledger, venue).items():
        tolerance = ledger.document.balance_tolerance.get(asset, ZERO)
        low, high = _in_flight(ledger.account, asset)
        if (low is None or low - tolerance <= residual) and (high is None or residual <= high + tolerance):
            continue
        held = venue.balances.total.get(asset, ZERO)
        yield Mismatch(
            kind=IncidentKind.BALANCE_MISMATCH,
            subject=asset,
            symbol=None,
            expected=f"{held - residual} {asset}",
            actual=f"{held} {asset}",
            action="Find the deposit, withdrawal or manual trade that explains it and reverse it; then resolve.",
        )


def residuals(ledger: LedgerView, venue: VenueView) -> dict[str, Decimal]:
    """Venue balance minus what opening balances and fills explain, by asset; empty before the opening is recorded.

    Trades of our orders that are not yet counted are taken into account as if they were.
    """
    if ledger.account.opening is None:
        return {}
    expected = ledger.account.expected_balances()
    for trade in ledger.uncounted(venue.trades):
        if ledger.owner(trade) is None:
            continue
        for asset, change in trade.asset_changes().items():
            expected[asset] = expected.get(asset, ZERO) + change
    assets = sorted(ledger.document.assets | expected.keys())
    return {asset: venue.balances.total.get(asset, ZERO) - expected.get(asset, ZERO) for asset in assets}


def _in_flight(account: Account, asset: str) -> tuple[Decimal | None, Decimal | None]:
    """How far orders that are still at the venue may move a balance before their fills are counted.

    None: not bounded. A sell may fill better than its price, and a buy at market worse than it was valued at.
    """
    low, high = ZERO, ZERO
    bounded = {Side.BUY: True, Side.SELL: True}
    for held in account.reservations.values():
        base, quote = base_asset(held.symbol), quote_asset(held.symbol)
        if held.side is Side.BUY:
            high += held.quantity if asset == base else ZERO
            low -= held.notional if asset == quote else ZERO
        else:
            low -= held.quantity if asset == base else ZERO
        if asset == quote and held.quantity > 0 and (held.at_market or held.side is Side.SELL):
            bounded[held.side] = False
    return (low if bounded[Side.BUY] else None, high if bounded[Side.SELL] else None)
