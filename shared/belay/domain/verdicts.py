"""What an operator may say of an order that the venue does not tell the end of: when, and on what evidence."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from pydantic import Field, ValidationError, model_validator

from belay.domain.decisions import Side
from belay.domain.errors import InvalidInput
from belay.domain.orders import NEVER_SENT, UNRESOLVED, WORKING, Attempt, Order, Verdict
from belay.domain.record import ZERO, Amount, NonNegative, Positive, Record, Symbol, Utc, iso, plain
from belay.domain.venues import VenueOrder, VenueProfile, VenueTrade

# Where the venue's profile gives no time after which absence may be concluded.
WITHOUT_HORIZON = timedelta(minutes=10)
# How long the function that sends may live: template.yaml has it.
EXECUTOR_TIMEOUT = timedelta(seconds=30)
# How long a venue must have said that it has no such symbol before a person may end an order in it: a halt, an upgrade
# or a broken list of markets is over by then.
SYMBOL_GONE_FOR = timedelta(days=1)
# How far before its claim a trade of an order may be dated: clocks differ.
DATING = timedelta(seconds=60)

# What a row may say that the venue does not tell: fees as fractions of what the trade moved, a cost that is off price
# times quantity by so much, a price so many times as high or low as the order's own. Who is beyond has mistyped.
MOST_FEE = Decimal("0.05")
COST_IS_OFF = Decimal("0.01")
PRICE_FACTOR = 2


class TradeRow(Record):
    """One trade as the venue's own pages show it, whole, or it is no evidence; `fees` by asset, a rebate negative.
    Without a `symbol` it is of the order's."""

    trade_id: str = Field(min_length=1, max_length=200)
    venue_order_id: str = Field(min_length=1, max_length=200)
    side: Side
    quantity: Positive
    price: Positive
    fees: dict[str, Amount]
    time: Utc
    cost: NonNegative | None = None
    symbol: Symbol | None = None


class VerdictRequest(Record):
    """What a person says of `order`; without a `verdict`, what the venue says of it.

    `trades`: the venue's rows of what filled, for the verdict `filled`. `reason` is kept.
    """

    order: str = Field(min_length=1, max_length=200)
    verdict: Verdict | None = None
    trades: tuple[TradeRow, ...] = Field(default=(), max_length=500)
    reason: str = Field(default="", max_length=500)
    author: str = Field(default="operator", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _is_one_wish(self) -> Self:
        if (self.verdict is Verdict.FILLED) != bool(self.trades):
            raise ValueError("give the venue's trade rows with the verdict filled, and only then")
        if self.verdict is not None and not self.reason.strip():
            raise ValueError("give a reason: it is kept")
        return self

    @classmethod
    def parse(cls, wish: object) -> "VerdictRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("resolve_order", error, "See `belay resolve --help`.") from None


def absent_from(attempt: Attempt, profile: VenueProfile) -> datetime:
    """The venue time from which a person may say that a request never became an order: not before the venue could still
    have taken it, and told of it."""
    grace = timedelta(seconds=profile.fence.grace_seconds if profile.fence else 0)
    return (attempt.fence_at or attempt.request.claimed_at + EXECUTOR_TIMEOUT) + WITHOUT_HORIZON + grace


def watched_until(order: Order, profile: VenueProfile) -> datetime:
    """How long the venue can be asked about an order by its id."""
    if order.attempt is None:
        raise ValueError(f"{order.order_id} was never sent")
    return order.attempt.request.claimed_at + timedelta(seconds=profile.closed_retention_seconds)


def require_sent(order: Order) -> None:
    """Raises InvalidInput: there is nothing to say of an order that was never sent, or that is done."""
    if order.state in NEVER_SENT or order.attempt is None:
        remedy = "Cancel it, if it still waits: `belay cancel`."
        raise InvalidInput("resolve_order.order", f"{order.order_id} is {order.state} and was never sent", remedy)
    if order.settled and order.word is None:
        problem = f"{order.order_id} is {order.state} and settled"
        raise InvalidInput("resolve_order.order", problem, "There is nothing to resolve; `belay explain` tells it.")


def obstacle(order: Order, verdict: Verdict, now: datetime, profile: VenueProfile) -> InvalidInput | None:
    """What stands against saying this of an order that the venue, asked just now, does not know."""
    state = f"{order.order_id} is {order.state}"
    if order.settled and verdict is not Verdict.FILLED:
        said = order.word.verdict if order.word else "settled"
        return InvalidInput(f"resolve_order.{verdict}", f"{state}, said to be {said}", "Only fills can change that.")
    match verdict:
        case Verdict.ABSENT:
            return _not_absent(order, state, now, profile)
        case Verdict.CANCELLED:
            return _not_cancelled(order, state)
        case Verdict.FILLED:
            return None


def symbol_obstacle(order: Order, verdict: Verdict, now: datetime, since: datetime | None) -> InvalidInput | None:
    """What stands against saying anything of an order that cannot be looked up, since the venue has no such symbol.

    Args:
        since: when the open incident about that was opened, if there is one.
    """
    if since is not None and now >= since + SYMBOL_GONE_FOR:
        return None
    problem = f"{order.order_id} is {order.state}, and the venue says that it has no {order.symbol}"
    when = f"after {since + SYMBOL_GONE_FOR:%FT%TZ}" if since else "once an incident has said so for a day"
    remedy = f"Ask again {when}: until then it may only be halted, and the order still there."
    return InvalidInput(f"resolve_order.{verdict}", problem, remedy)


def _not_absent(order: Order, state: str, now: datetime, profile: VenueProfile) -> InvalidInput | None:
    field = "resolve_order.absent"
    if order.venue_order_ids or order.filled_quantity:
        known = ", ".join(order.venue_order_ids)
        return InvalidInput(field, f"{state}: the venue had it as {known}", "Say --cancelled, or --filled ROWS.json.")
    if order.state not in UNRESOLVED or order.attempt is None:
        return InvalidInput(field, state, "It settles by itself with the next runs.")
    start = absent_from(order.attempt, profile)
    if now < start:
        return InvalidInput(field, f"{state}, and may still show up at the venue", f"Ask again after {start:%FT%TZ}.")
    return None


def _not_cancelled(order: Order, state: str) -> InvalidInput | None:
    field = "resolve_order.cancelled"
    if not order.venue_order_ids:
        return InvalidInput(field, f"{state}: the venue never acknowledged it", "Say --absent.")
    if not order.explained:
        problem = f"{state}, {order.venue_filled} filled at the venue and {order.filled_quantity} counted"
        return InvalidInput(field, problem, "Give the venue's rows of what filled: --filled ROWS.json.")
    if order.state not in WORKING:
        return InvalidInput(field, state, "It settles by itself with the next runs.")
    return None


def evidenced(order: Order, rows: Iterable[TradeRow], profile: VenueProfile) -> tuple[VenueTrade, ...]:
    """The rows as trades, under the key that the venue's own answer would give them."""
    return tuple(
        VenueTrade(
            venue=profile.name,
            symbol=order.symbol,
            venue_order_id=row.venue_order_id,
            client_order_id=None,
            side=row.side,
            trade_id=row.trade_id,
            quantity=row.quantity,
            price=row.price,
            fees=row.fees,
            at=row.time,
            cost=row.cost,
        )
        for row in rows
    )


def require_fitting(
    order: Order,
    rows: tuple[TradeRow, ...],
    trades: tuple[VenueTrade, ...],
    counted: frozenset[str],
    now: datetime,
    shown: VenueOrder | None,
) -> None:
    """Refuse rows that cannot be fills of this order, all of them together.

    Args:
        trades: the same as `rows`.
        counted: keys of the fills that it has already.
        shown: the order as the venue shows it now, if it does.

    Raises:
        InvalidInput: names the row and its field.
    """
    if order.attempt is None:
        raise ValueError(f"{order.order_id} was never sent")
    sent = order.attempt.request
    known = order.venue_order_ids or (trades[0].venue_order_id,)
    seen: set[str] = set()
    owed = (shown.filled_quantity if shown is not None else sent.quantity) - order.filled_quantity
    left = owed
    for number, (row, trade) in enumerate(zip(rows, trades, strict=True)):
        beyond = sent.limit_price is not None and (
            trade.price > sent.limit_price if trade.side is Side.BUY else trade.price < sent.limit_price
        )
        left -= ZERO if trade.key in counted else trade.quantity
        problems = {
            "symbol": (row.symbol not in (None, order.symbol), f"{row.symbol}, the order is in {order.symbol}"),
            "side": (trade.side is not order.side, f"{trade.side}, the order is a {order.side}"),
            "venue_order_id": (trade.venue_order_id not in known, f"the order is {', '.join(known)} at the venue"),
            "trade_id": (trade.key in seen, "stands there twice"),
            "price": (beyond, f"{trade.price} is beyond the order's limit, {sent.limit_price}"),
            "time": (
                not sent.claimed_at - DATING <= trade.at <= now + DATING,
                f"the order left {sent.claimed_at:%FT%TZ}",
            ),
            "quantity": (left < 0, f"more than the {owed} that the order has left"),
        }
        seen.add(trade.key)
        for field, (wrong, problem) in problems.items():
            if wrong:
                remedy = "Copy the rows of this very order from the venue's own history."
                raise InvalidInput(f"resolve_order.trades.{number}.{field}", problem, remedy)


def require_plausible(number: int, trade: VenueTrade, attempt: Attempt, held: Mapping[str, Decimal]) -> None:
    """Refuse row `number` where an amount in it cannot be meant: there is nothing to compare it with.

    Args:
        held: what the account should hold by asset, less the fees of the rows before.

    Raises:
        InvalidInput: names the row and the field, the value and what it may be.
    """
    base, quote = trade.symbol.split("/")
    moved = {base: trade.quantity, quote: trade.notional}
    own, product = attempt.request.limit_price or attempt.price, trade.quantity * trade.price
    facts = [
        ("price", trade.price, own / PRICE_FACTOR, own * PRICE_FACTOR, f"the order's own is {plain(own)}"),
        (
            *("cost", trade.notional, product * (1 - COST_IS_OFF), product * (1 + COST_IS_OFF)),
            f"price times quantity is {plain(product)}",
        ),
    ]
    for asset, fee in trade.fees.items():
        most = moved[asset] * MOST_FEE if asset in moved else max(held.get(asset, ZERO), ZERO)
        why = f"the trade moved {plain(moved[asset])}" if asset in moved else "the account holds no more"
        facts.append((f"fees.{asset}", fee, -most, most, f"{why} {asset}"))
    for field, value, least, most, why in facts:
        if not least <= value <= most:
            problem = f"{plain(value)} is not between {plain(least)} and {plain(most)}: {why}"
            remedy = "Copy the row as the venue has it, a fee positive and in the asset that it was taken in."
            raise InvalidInput(f"resolve_order.trades.{number}.{field}", problem, remedy)


def require_as_told(number: int, trade: VenueTrade, told: Iterable[VenueTrade]) -> None:
    """Refuse row `number` where the venue told of its trade otherwise. A fee that was only estimated may differ.

    Raises:
        InvalidInput: names the row and the field.
    """
    same = [one for one in told if (one.symbol, one.trade_id) == (trade.symbol, trade.trade_id)]
    known = next((one for one in same if one.side is trade.side), same[0] if same else None)
    if known is None:
        return
    facts = {
        "side": (trade.side, known.side, trade.side is known.side),
        "venue_order_id": (trade.venue_order_id, known.venue_order_id, trade.venue_order_id == known.venue_order_id),
        "quantity": (trade.quantity, known.quantity, trade.quantity == known.quantity),
        "price": (trade.price, known.price, trade.price == known.price),
        "time": (iso(trade.at), iso(known.at), abs(trade.at - known.at) < timedelta(seconds=1)),
        "cost": (trade.notional, known.notional, trade.cost in (None, known.notional)),
        "fees": (_told(trade), _told(known), known.estimated or _told(trade) == _told(known)),
    }
    for field, (given, right, equal) in facts.items():
        if not equal:
            problem = f"{given}, the venue told of trade {trade.trade_id}: {right}"
            raise InvalidInput(f"resolve_order.trades.{number}.{field}", problem, "Copy the row as the venue has it.")


def _told(trade: VenueTrade) -> str:
    return ", ".join(f"{plain(fee)} {asset}" for asset, fee in sorted(trade.fees.items()) if fee) or "none"
