"""Compare the ledger with the venue as two values. Finds; repairs nothing, concludes no absence, invents no fill."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from belay.domain.account import Account
from belay.domain.balances import Difference, Estimate, differences, in_use
from belay.domain.documents import AccountDocument
from belay.domain.incidents import WAS_NEVER_SENT, Incident, IncidentKind
from belay.domain.orders import NEVER_SENT, WORKING, Order, OrderState, Word, same_order
from belay.domain.proofs import Proof
from belay.domain.record import ZERO, Record, Symbol, Utc, joined, plain
from belay.domain.transitions import reading
from belay.domain.venues import Balances, VenueOrder, VenueStatus, VenueTrade

# A run reads no more of a symbol's loose trades than this, unless one may belong to an order.
MANY = 10


class LedgerView(Record):
    """What the ledger holds: the account, every order that may still change or that the venue mentions.

    `orders` by order id; `by_venue_id` maps symbol and venue order id to order id (venue order ids alone may repeat
    across symbols); `recorded_trades` are keys already counted; `last_proof`: the newest, whatever it holds for;
    `owing`: trades that count as flows with fees that are only estimated.
    """

    account: Account
    document: AccountDocument
    orders: dict[str, Order]
    by_venue_id: dict[tuple[str, str], str]
    recorded_trades: frozenset[str]
    last_proof: Proof | None = None
    owing: tuple[VenueTrade, ...] = ()

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
    """What the venue says at `time`: open orders, look-ups by order id (None: a well-formed miss), trades, balances.

    `sightings`: keys of trades that may be those of an order whose outcome is still open.
    """

    time: Utc
    open_orders: tuple[VenueOrder, ...]
    lookups: dict[str, VenueOrder | None]
    trades: tuple[VenueTrade, ...]
    balances: Balances
    sightings: frozenset[str] = frozenset()

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
    """Ledger and venue disagree in a way that no automatic repair settles. `symbol` None concerns the account.

    `stops` False: it is told, and stands in nothing's way.
    """

    kind: IncidentKind
    subject: str
    symbol: Symbol | None
    expected: str
    actual: str
    action: str
    stops: bool = True

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
        subject=joined(seen.symbol, seen.venue_order_id, by=":"),  # venues number orders by symbol
        symbol=seen.symbol,
        expected="no such order",
        actual=f"{seen.side} {seen.quantity} {seen.symbol}, client order id {seen.client_order_id}",
        action="Find out who placed it. Cancel it at the venue, and this ends by itself; or make it ours: belay adopt "
        "--strategy STRATEGY --order CLIENT_ORDER_ID.",
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
            action=_way_on(order, known),
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


def _way_on(order: Order, known: bool) -> str:
    if known:
        return (
            "The order was changed at the venue, or someone else used its id: compare both. An order that was changed "
            f'is taken as it is: belay resolve {order.order_id} --reason "…".'
        )
    return (
        "Someone else used its id, or the ledger was restored and has forgotten that it was sent: cancel it at the "
        "venue, look at the position, then resolve. What it filled is a trade of no order."
    )


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
        return f"an order that is {order.state} and {WAS_NEVER_SENT}"
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
            action=f"Look the order up at the venue by its id. belay resolve {order.order_id} asks once more; if the "
            f'venue lost it: belay resolve {order.order_id} --cancelled --reason "…".',
        )


def _trades(ledger: LedgerView, venue: VenueView) -> Iterator[Finding]:
    filled: dict[str, Decimal] = {}
    foreign: dict[str, list[VenueTrade]] = {}
    for trade in ledger.uncounted(venue.trades):
        order = ledger.owner(trade)
        if order is None:
            yield Unattributed(trade=trade)
            if trade.key not in venue.sightings:
                foreign.setdefault(trade.symbol, []).append(trade)
            continue
        yield Filled(order_id=order.order_id, trade=trade)
        more = trade.quantity - order.given.get(trade.key, ZERO)
        if more or trade.key not in order.given:
            filled[order.order_id] = filled.get(order.order_id, order.filled_quantity) + more
    for symbol, trades in foreign.items():
        yield _foreign_trades(symbol, trades)
    for order_id, total in filled.items():
        yield from _suspicious_fill(ledger.orders[order_id], _beside_given(ledger.orders[order_id], total))


def _beside_given(order: Order, filled: Decimal) -> Decimal:
    """What of an order is filled once true trades have taken the place of rows that a person gave."""
    if order.attempt is None:
        return filled
    beyond = max(filled - order.attempt.request.quantity, ZERO)
    return filled - beyond if beyond <= sum(order.given.values(), ZERO) else filled


def _foreign_trades(symbol: str, trades: list[VenueTrade]) -> Mismatch:
    """One for each symbol, however many: the latest are at hand, which is what a person looks for first."""
    count = f"{len(trades)} or more" if len(trades) >= MANY else str(len(trades))
    last = max(trades, key=lambda trade: (trade.at, trade.key))
    return Mismatch(
        kind=IncidentKind.UNATTRIBUTED_TRADE,
        subject=symbol,
        symbol=symbol,
        expected="trades of our orders only",
        actual=f"{count} of no order of ours; the latest: {last.side} {last.quantity} {symbol} at {last.price}, venue "
        f"order {last.venue_order_id}, trade {last.trade_id}, {last.at:%FT%TZ}",
        action="Find out who traded: belay trades list. Then give each to a strategy, belay trades attribute, or call "
        "it foreign, belay trades foreign. Entries in the symbol stay stopped while a trade without an order stands.",
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
    used = in_use(ledger.account, ledger.document)
    for asset, difference in compared(ledger, venue).items():
        if difference.explained:
            continue
        taking = f"--asset {asset} --amount {asset}={plain(difference.residual)}"
        yield Mismatch(
            kind=IncidentKind.BALANCE_MISMATCH,
            subject=asset,
            symbol=None,
            expected=f"{difference.expected} {asset}",
            actual=f"{difference.actual} {asset}",
            action="Find the deposit, withdrawal or trade that explains it. Where the venue's records name it, it is "
            f'counted by itself; otherwise: belay rebase {taking} --reason "…".',
            stops=asset in used,
        )


def compared(ledger: LedgerView, venue: VenueView) -> dict[str, Difference]:
    """Every asset in use, compared; trades of our orders that are not yet counted are taken as if they were."""
    uncounted = [trade for trade in ledger.uncounted(venue.trades) if ledger.owner(trade) is not None]
    owed = [estimate for order in ledger.orders.values() if (estimate := _estimate(order))]
    owed += [Estimate.of(trade) for trade in ledger.owing]
    shown = filling(ledger, venue, uncounted)
    return differences(ledger.account, ledger.document, ledger.last_proof, venue.balances, uncounted, owed, shown)


def filling(ledger: LedgerView, venue: VenueView, uncounted: Iterable[VenueTrade]) -> dict[str, Decimal]:
    """What of each order that the venue shows is filled there beyond its trades, those of `uncounted` included."""
    shown: dict[str, dict[str, Decimal]] = {}
    for seen in venue.shown:
        if (order := ledger.owner(seen)) is not None:
            shown.setdefault(order.order_id, {})[seen.venue_order_id] = seen.filled_quantity
    known = {order_id: ledger.orders[order_id].filled_quantity for order_id in shown}
    for trade in uncounted:
        if (order := ledger.owner(trade)) is not None and order.order_id in known:
            known[order.order_id] += trade.quantity
    return {order_id: max(sum(each.values(), ZERO) - known[order_id], ZERO) for order_id, each in shown.items()}


def at_rest(ledger: LedgerView, venue: VenueView, assets: Iterable[str]) -> bool:
    """Whether these assets are explained without anything that an order at the venue could have done to them."""
    found = compared(ledger, venue)
    return all(asset in found and found[asset].explained_at_rest for asset in assets)


def residuals(ledger: LedgerView, venue: VenueView) -> dict[str, Decimal]:
    """Venue balance minus what is expected of it, by asset; empty before the opening is recorded."""
    return {asset: difference.residual for asset, difference in compared(ledger, venue).items()}


def _estimate(order: Order) -> Estimate | None:
    """All fees of an order of which some are estimated: no less than what is still open, since they have one sign."""
    if not order.estimated or order.average_price is None:
        return None
    return Estimate(symbol=order.symbol, fees=order.fees, price=order.average_price)
