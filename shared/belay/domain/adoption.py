"""Adopting what is no strategy's: balances and open orders become a strategy's own.

Judges what may be adopted and computes what would be stored; asks nobody and moves nothing at the venue.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple, Self

from pydantic import ValidationError, model_validator

from belay.domain.account import Account, Adoption, OperatorStops, StopLevel, strictest
from belay.domain.decisions import ADOPTED, Buy, DecisionRecord, Sell, Side, Trade
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.orders import Attempt, Order, OrderEvent, OrderState, created_orders, seal
from belay.domain.record import ZERO, Name, NonNegative, Positive, Record, Symbol, Utc, base_asset, plain
from belay.domain.slots import Slot, last_closed
from belay.domain.transitions import Stamp, reservation_of
from belay.domain.venues import OrderRequest, VenueOrder, VenueStatus

# An adoption is about no candle: its decision is filed under the minute in which it was made.
TIMEFRAME = "1m"
# What a client order id may consist of, since it becomes a part of the ledger's keys.
CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
CANCEL = "Cancel it at the venue; the strategy places what it still wants."


class AdoptRequest(Record):
    """What a person asks to adopt; nothing at all asks what could be adopted.

    `quantity` of what is no strategy's in base currency, or the `whole` of that, becomes the position of `strategy` in
    `symbol`, as bought at `price` per unit. `orders` are client order ids. `new_strategy`: it has no
    tick yet, so that its name cannot be checked.
    """

    strategy: Name | None = None
    symbol: Symbol | None = None
    quantity: Positive | None = None
    whole: bool = False
    price: Positive | None = None
    orders: tuple[str, ...] = ()
    all_orders: bool = False
    new_strategy: bool = False
    author: str = "operator"

    @model_validator(mode="after")
    def _is_one_wish(self) -> Self:
        if self.quantity is not None and self.whole:
            raise ValueError("give either a quantity or the whole of what is left")
        if len({self.symbol is None, self.price is None, not self.wants_balance}) > 1:
            raise ValueError("a balance needs its symbol, quantity and price together")
        if self.orders and self.all_orders:
            raise ValueError("give either some orders or all of them")
        if (self.strategy is None) == self.wants_something:
            raise ValueError("name the strategy and what it adopts: a balance, orders or both")
        return self

    @property
    def wants_balance(self) -> bool:
        return self.quantity is not None or self.whole

    @property
    def wants_something(self) -> bool:
        return self.wants_balance or bool(self.orders) or self.all_orders

    @classmethod
    def parse(cls, wish: object) -> "AdoptRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("adopt", error, "See `belay adopt --help`.") from None


class Terms(Record):
    """On what terms an order is taken over, by whom, and when in venue time. `cost_rate`: its fees, as a fraction."""

    stage: Name
    strategy: Name
    author: str
    at: Utc
    cost_rate: NonNegative
    configuration_version: int
    layer_version: str


class Takeover(Record):
    """A venue order as an order of a strategy: everything that has to be stored in one step."""

    record: DecisionRecord
    order: Order
    event: OrderEvent
    account: Account


class Candidate(NamedTuple):
    """An order that the venue shows and the ledger does not know.

    `counted`: how much of it the trades since the opening explain. `namesakes`: open orders that bear the same client
    order id, itself included. `taken`: an order of another account bears it.
    """

    seen: VenueOrder
    document: AccountDocument
    counted: Decimal
    namesakes: int
    taken: bool

    @property
    def name(self) -> str:
        return self.seen.client_order_id or f"venue order {self.seen.venue_order_id}"


def _never_filled(candidate: Candidate) -> bool:
    return candidate.seen.status is not VenueStatus.OPEN and not candidate.seen.filled_quantity


# Why an order cannot be adopted, and what to do instead; the first that holds is told.
OBSTACLES: tuple[tuple[Callable[[Candidate], bool], str, str], ...] = (
    (lambda c: c.seen.client_order_id is None, "has no client order id", CANCEL),
    (
        lambda c: not CLIENT_ORDER_ID.fullmatch(c.seen.client_order_id or ""),
        "has a client order id that the ledger cannot keep",
        CANCEL,
    ),
    (lambda c: c.namesakes > 1, "shares its client order id with another open order", CANCEL),
    (lambda c: c.taken, "bears the id of an order of another account", CANCEL),
    (
        lambda c: c.seen.symbol not in c.document.symbols,
        "is in a symbol that the account does not list",
        "Add the symbol to the account document, or cancel the order at the venue.",
    ),
    (_never_filled, "is over and was never filled", "There is nothing to adopt."),
    (
        lambda c: c.seen.filled_quantity > c.counted,
        "was filled, in part at least, before the account was opened, by trades that somebody spoke of, or unseen yet",
        CANCEL,
    ),
)


def obstacle(candidate: Candidate) -> InvalidInput | None:
    """What keeps an order from being adopted by whomever; None where nothing does."""
    for stands, problem, remedy in OBSTACLES:
        if stands(candidate):
            return InvalidInput("adopt.orders", f"{candidate.name} {problem}", remedy)
    return None


def _require_stopped(account: Account, stops: OperatorStops, strategy: str, symbol: str) -> None:
    """A strategy that trades meanwhile would decide from what it had before."""
    level, _ = strictest((*account.stops, *stops.stops), strategy, symbol)
    if level is StopLevel.RUNNING:
        problem = f"{strategy} may enter {symbol} meanwhile"
        raise InvalidInput(
            "adopt", problem, f"Stop it first: belay halt --account {account.account} --reason adopting."
        )


def adopted_before(account: Account, request: AdoptRequest) -> Adoption | None:
    """The adoption that a repeated request asks for again: the same quantity at the same price, or all that is left."""
    wish = (request.strategy, request.symbol, request.price)
    for adoption in account.adoptions:
        quantity = ZERO if request.whole else adoption.quantity
        left = left_to_adopt(account, adoption.symbol) if request.whole else request.quantity
        if (adoption.strategy, adoption.symbol, adoption.price) == wish and quantity == left:
            return adoption
    return None


def left_to_adopt(account: Account, symbol: str) -> Decimal:
    """What of a symbol's base asset is no strategy's; nothing while it is not known what was there at first."""
    base = base_asset(symbol)
    return account.unowned(base) if base in (account.opening or {}) else ZERO


def adopt_balance(
    account: Account, stops: OperatorStops, document: AccountDocument, request: AdoptRequest, at: Utc
) -> Account:
    """The account after a wish for a balance was granted.

    Raises:
        InvalidInput: more than is no strategy's, not a symbol of the account, or entries are not stopped.
    """
    strategy, symbol, price = request.strategy, request.symbol, request.price
    if strategy is None or symbol is None or price is None:
        raise ValueError("the request asks for no balance")
    if symbol not in document.symbols:
        listed = ", ".join(document.symbols)
        raise InvalidInput("adopt.symbol", f"{symbol} is not one of the account's symbols", f"Use one of {listed}.")
    left = left_to_adopt(account, symbol)
    quantity = left if request.quantity is None else request.quantity
    if not 0 < quantity <= left:
        problem = f"{plain(left)} {base_asset(symbol)} are no strategy's and left to adopt"
        raise InvalidInput("adopt.quantity", problem, "Ask for no more than that; belay adopt shows it.")
    _require_stopped(account, stops, strategy, symbol)
    adoption = Adoption(strategy=strategy, symbol=symbol, quantity=quantity, price=price, author=request.author, at=at)
    return account.with_adoption(adoption)


def take_over(
    seen: VenueOrder, price: Decimal, account: Account, stops: OperatorStops, terms: Terms, stamp: Stamp
) -> Takeover:
    """An order without obstacles, as the ledger would keep it from `terms.at` on; what filled is counted afterwards.

    Args:
        price: what it is valued at: its limit, or the market's price where it has none.

    Raises:
        InvalidInput: it sells more than the strategy has, or entries are not stopped.
    """
    _require_stopped(account, stops, terms.strategy, seen.symbol)
    _require_owned(seen, account, terms.strategy)
    record = _decision(seen, account.account, terms, stamp)
    (created,) = created_orders(record, terms.at, terms.cost_rate)
    request = OrderRequest(
        client_order_id=created.order_id,
        symbol=seen.symbol,
        side=seen.side,
        quantity=seen.quantity,
        limit_price=seen.limit_price,
        time_in_force=created.time_in_force,
        claimed_at=terms.at,
        fence_at=None,
    )
    attempt = Attempt(attempt_id=stamp.write_id, number=1, request=request, price=price)
    order, event = _at_the_venue(created, attempt, record, seen)
    return Takeover(
        record=record,
        order=order,
        event=event,
        account=account.bumped(
            reservations={**account.reservations, order.order_id: reservation_of(order, attempt)},
        ),
    )


def _require_owned(seen: VenueOrder, account: Account, strategy: str) -> None:
    if seen.side is Side.BUY:
        return
    left = account.left_to_sell(strategy, seen.symbol)
    if seen.quantity > left:
        problem = f"{seen.client_order_id} sells {seen.quantity} {seen.symbol}, {strategy} has {left} to sell"
        remedy = "Let it adopt the balance first, or in the same command."
        raise InvalidInput("adopt.orders", problem, remedy)


def adoption_id(stage: str, account: str, strategy: str, symbol: str, client_order_id: str) -> str:
    """The key of the decision to adopt an order."""
    return ".".join([stage, account, strategy, symbol, ADOPTED, client_order_id])


def _decision(seen: VenueOrder, account: str, terms: Terms, stamp: Stamp) -> DecisionRecord:
    client_order_id = str(seen.client_order_id)
    leg = (Buy if seen.side is Side.BUY else Sell)(
        symbol=seen.symbol, quantity=seen.quantity, limit_price=seen.limit_price, reason=f"adopted by {terms.author}"
    )
    return DecisionRecord(
        decision_id=adoption_id(terms.stage, account, terms.strategy, seen.symbol, client_order_id),
        slot=Slot(
            stage=terms.stage,
            account=account,
            strategy=terms.strategy,
            symbol=seen.symbol,
            timeframe=TIMEFRAME,
            candle_open=last_closed(terms.at, TIMEFRAME),
        ),
        algorithm=ADOPTED,
        parameters={"author": terms.author},
        decision=Trade(legs=(leg,), inputs={"venue_order_id": seen.venue_order_id, "status": seen.status}),
        order_ids=(client_order_id,),
        decided_at=terms.at,
        recorded_at=stamp.recorded_at,
        configuration_version=terms.configuration_version,
        layer_version=terms.layer_version,
        write_id=stamp.write_id,
    )


def _at_the_venue(
    created: Order, attempt: Attempt, record: DecisionRecord, seen: VenueOrder
) -> tuple[Order, OrderEvent]:
    """The first line of the order's story: it was at the venue already, and Belay never claimed it."""
    state = OrderState.ACKNOWLEDGED
    here = {"state": state, "attempt": attempt, "venue_order_ids": (seen.venue_order_id,)}
    return seal(
        created.model_copy(update=here),
        record.digest,
        from_state=state,
        to_state=state,
        cause=ADOPTED,
        exchange_time=record.decided_at,
        recorded_at=record.recorded_at,
        detail={"venue_order": seen.model_dump(mode="json"), "author": record.parameters["author"]},
    )
