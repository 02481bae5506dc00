"""The account: the one aggregate that limits protect, with the stops that bind it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import Field

from belay.domain.decisions import Side
from belay.domain.documents import AccountDocument
from belay.domain.flows import TAKES, Flow, FlowKind
from belay.domain.record import ZERO, NonNegative, OpenEnum, Positive, Record, Symbol, Utc, base_asset
from belay.domain.venues import VenueTrade


class StopLevel(OpenEnum):
    """How much a stop forbids; listed from nothing to everything. A level of a later version forbids everything."""

    RUNNING = "running"
    REDUCE_ONLY = "reduce-only"
    HALTED = "halted"

    @property
    def rank(self) -> int:
        levels = list(StopLevel)
        return levels.index(self) if self.known else levels.index(StopLevel.HALTED)


class Stop(Record):
    """A standing order to stop. `strategy` and `symbol` narrow its scope; both None stops the whole account."""

    level: StopLevel
    strategy: str | None = None
    symbol: Symbol | None = None
    reason: str
    author: str
    at: Utc
    incident: str | None = None

    @property
    def scope(self) -> tuple[str | None, str | None]:
        return (self.strategy, self.symbol)

    @property
    def key(self) -> tuple[str | None, ...]:
        return (self.level, *self.scope, self.author, self.incident)

    def covers(self, strategy: str, symbol: str) -> bool:
        return self.strategy in (None, strategy) and self.symbol in (None, symbol)


def strictest(stops: Iterable[Stop], strategy: str, symbol: str) -> tuple[StopLevel, str]:
    """The level of the strictest stop that covers an order, with its reason."""
    covering = [stop for stop in stops if stop.covers(strategy, symbol)]
    found = max(covering, key=lambda stop: stop.level.rank, default=None)
    return (found.level, found.reason) if found else (StopLevel.RUNNING, "")


class OperatorStops(Record):
    """The stops that operators set in one account, versioned. No function may write them."""

    account: str
    version: int = 0
    stops: tuple[Stop, ...] = ()

    def with_stop(self, stop: Stop) -> "OperatorStops":
        """Add a stop; the same one again replaces the earlier. A weaker one never takes a stricter one back."""
        return self.changed((*(held for held in self.stops if held.key != stop.key), stop))

    def changed(self, stops: tuple[Stop, ...]) -> "OperatorStops":
        return self.model_copy(update={"version": self.version + 1, "stops": stops})


class Position(Record):
    """A strategy's holding of one symbol, derived from fills and from what it adopted.

    `quantity` is base currency net of fees taken in it; `cost` is what that quantity cost in quote currency, fees
    included (average cost); `realised_pnl` is in quote currency, after fees in base or quote currency. A sell that is
    counted before its buy makes both negative until the buy arrives; nothing is realised before.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO

    def after(self, trade: VenueTrade) -> "Position":
        base, quote = trade.symbol.split("/")
        changes = trade.asset_changes()
        return self.moved(changes[base], -changes[quote])

    def before(self, trade: VenueTrade) -> "Position":
        """As if `trade`, which was counted, never had been: in all where nothing was counted since, in quantity and in
        cost less realised P&L always."""
        base, quote = trade.symbol.split("/")
        changes = trade.asset_changes()
        moved, paid = changes[base], -changes[quote]
        if self.quantity * moved < 0:  # it closed a part, at the average cost that what is left has
            closed = self.cost * abs(moved) / abs(self.quantity)
            changed = {"cost": self.cost + closed, "realised_pnl": self.realised_pnl + closed + paid}
            return self.model_copy(update={"quantity": self.quantity - moved, **changed})
        if abs(self.quantity) > abs(moved) and (self.cost - paid) * moved > 0:
            return self.model_copy(update={"quantity": self.quantity - moved, "cost": self.cost - paid})
        return self.moved(-moved, -paid)

    def corrected(self, trade: VenueTrade, true: VenueTrade) -> "Position":
        """After `trade`, which was counted, proves to have been `true`, which differs in its fees.

        What of an opening trade is still held bears its part of the difference as cost, what was closed since realises
        the rest; of a closing trade all is realised. So it is as if `true` had been counted at first wherever nothing
        was closed in between, and the sum of cost and realised P&L is so always.
        """
        base, quote = trade.symbol.split("/")
        before, after = trade.asset_changes(), true.asset_changes()
        moved, paid = after[base] - before[base], before[quote] - after[quote]
        opening = self.quantity * before[base] > 0
        held = min(Decimal(1), abs(self.quantity / trade.quantity)) if opening else ZERO
        borne = self.model_copy(
            update={"cost": self.cost + paid * held, "realised_pnl": self.realised_pnl - (paid - paid * held)}
        )
        if opening:
            return borne.model_copy(update={"quantity": borne.quantity + moved})
        return borne.moved(moved, ZERO)

    def moved(self, moved: Decimal, paid: Decimal) -> "Position":
        """After `moved` of the base currency came in (or, negative, went out) and `paid` of the quote went out."""
        if self.quantity * moved >= 0:
            return self.model_copy(update={"quantity": self.quantity + moved, "cost": self.cost + paid})
        closing = min(abs(self.quantity), abs(moved))
        closed_cost = self.cost * (closing / abs(self.quantity))
        closed_paid = paid * (closing / abs(moved))
        return self.model_copy(
            update={
                "quantity": self.quantity + moved,
                "cost": self.cost - closed_cost + paid - closed_paid,
                "realised_pnl": self.realised_pnl - closed_cost - closed_paid,
            }
        )


class Reservation(Record):
    """What a claimed order may still do to the account. `unresolved`: its outcome at the venue is not yet known.

    `at_market`: no limit bounds its price; `price` is only what it was valued at.
    """

    order_id: str
    strategy: str
    symbol: Symbol
    side: Side
    reducing: bool
    quantity: NonNegative
    price: Positive
    cost_rate: NonNegative
    unresolved: bool
    at_market: bool = False

    @property
    def notional(self) -> Decimal:
        """Quote currency needed for what is left of a buy, assumed costs included."""
        return self.quantity * self.price * (1 + self.cost_rate)


class Adoption(Record):
    """A part of what was nobody's that a person gave to a strategy, as bought at `price` per unit."""

    strategy: str
    symbol: Symbol
    quantity: Positive
    price: Positive
    author: str
    at: Utc


class VenueIdentity(Record):
    """Which account at which venue. `hosts` are those that options name; `venue_account` where the venue tells one."""

    venue: str
    mode: str
    sandbox: bool | None
    hosts: tuple[str, ...] = ()
    venue_account: str | None = None


RATE_WINDOW = timedelta(minutes=1)
MOST_WATCHED = 32


class Account(Record):
    """Everything that can tighten a limit, in one versioned item. `stops` are those of incidents.

    `positions` by strategy, then symbol. `submissions` are the venue times of claims within the rate window.
    `opening` is the balance by asset at the first reconciliation, at venue time `opened_at` (None before it); `traded`
    (stored as `flows`) is the net change by asset through recorded fills, `external` that through recorded flows:
    the three together are what the venue should hold. `adoptions` are what of it a person gave to strategies, while
    these have it. `bookings` counts by asset the amounts that trades booked. `retired` are symbols whose positions
    were written off. `identity` is the account at the venue that all this is about. `watched` are orders that ended by
    an operator's word, each with the venue time until which it is looked up on. `taken`: the venue time at which
    an asset's balance was last taken as it was, by a rebase or when it entered the opening after `opened_at`. `owing`:
    ids of flows whose trades' fees are estimates that the venue's ledger has yet to correct.
    """

    account: str
    version: int = 0
    positions: dict[str, dict[str, Position]] = {}
    reservations: dict[str, Reservation] = {}
    submissions: tuple[Utc, ...] = ()
    stops: tuple[Stop, ...] = ()
    opening: dict[str, Decimal] | None = None
    opened_at: Utc | None = None
    adoptions: tuple[Adoption, ...] = ()
    traded: dict[str, Decimal] = Field(default={}, alias="flows")
    external: dict[str, Decimal] = {}
    bookings: dict[str, int] = {}
    retired: tuple[Symbol, ...] = ()
    identity: VenueIdentity | None = None
    watched: dict[str, Utc] = {}
    taken: dict[str, Utc] = {}
    owing: tuple[str, ...] = ()

    @property
    def needs(self) -> int:
        """Schema 1 expects of a balance what opening and fills explain."""
        return 2 if self.external or self.retired else 1

    def position(self, strategy: str, symbol: str) -> Position:
        return self.positions.get(strategy, {}).get(symbol, Position())

    def left_to_sell(self, strategy: str, symbol: str, besides: str | None = None) -> Decimal:
        """A strategy's position minus what exits that are open or unknown may still sell of it, `besides` one order."""
        leaving = (
            held.quantity
            for held in self.reservations.values()
            if (held.strategy, held.symbol) == (strategy, symbol) and held.reducing and held.order_id != besides
        )
        return self.position(strategy, symbol).quantity - sum(leaving, ZERO)

    def symbol_quantity(self, symbol: str) -> Decimal:
        """Base currency held in a symbol: all strategies' positions and what is no strategy's."""
        held = (positions[symbol].quantity for positions in self.positions.values() if symbol in positions)
        return self.unowned(base_asset(symbol)) + sum((max(quantity, ZERO) for quantity in held), ZERO)

    def exposed_symbols(self, document: AccountDocument) -> frozenset[str]:
        """Every symbol in which something is held, by a strategy or by none."""
        return self.held_symbols() | {s for s in document.symbols if self.unowned(base_asset(s))}

    def expected(self, asset: str) -> Decimal:
        """What the venue should hold of an asset."""
        return sum((part.get(asset, ZERO) for part in (self.opening or {}, self.traded, self.external)), ZERO)

    def owned(self, asset: str) -> Decimal:
        """What strategies have of an asset, whichever symbols it is the base of. Who sold more than it had has taken
        nothing from what the others have."""
        positions = (item for held in self.positions.values() for item in held.items())
        return sum((max(one.quantity, ZERO) for symbol, one in positions if base_asset(symbol) == asset), ZERO)

    def unowned(self, asset: str) -> Decimal:
        """What there should be of an asset beyond what strategies have: it is nobody's."""
        return max(self.expected(asset) - self.owned(asset), ZERO)

    def short(self, asset: str) -> Decimal:
        """What strategies have of an asset beyond what there should be; zero where that is not known yet."""
        known = asset in (self.opening or {})
        return max(self.owned(asset) - self.expected(asset), ZERO) if known else ZERO

    def held_symbols(self) -> frozenset[str]:
        return frozenset(s for held in self.positions.values() for s, position in held.items() if position.quantity)

    @property
    def given_up(self) -> frozenset[str]:
        """The retired symbols that nobody reads: in one nothing is held and no order is open."""
        reserved = {reservation.symbol for reservation in self.reservations.values()}
        return frozenset(self.retired) - self.held_symbols() - reserved

    def submissions_since(self, at: datetime) -> int:
        return sum(1 for submission in self.submissions if submission > at - RATE_WINDOW)

    def bumped(self, **changes: Any) -> "Account":
        return self.model_copy(update={**changes, "version": self.version + 1})

    def with_reservation(self, reservation: Reservation, claimed_at: datetime) -> "Account":
        recent = tuple(at for at in self.submissions if at > claimed_at - RATE_WINDOW)
        return self.bumped(
            reservations={**self.reservations, reservation.order_id: reservation}, submissions=(*recent, claimed_at)
        )

    def with_resolution(self, order_id: str, unresolved: bool) -> "Account":
        held = self.reservations[order_id]
        changed = held.model_copy(update={"unresolved": unresolved})
        return self.bumped(reservations={**self.reservations, order_id: changed})

    def without_reservation(self, order_id: str) -> "Account":
        return self.bumped(reservations={key: held for key, held in self.reservations.items() if key != order_id})

    def without_reservation_of(self, order_id: str) -> "Account":
        """The account itself where there is none."""
        return self.without_reservation(order_id) if order_id in self.reservations else self

    def with_fill(
        self, strategy: str, order_id: str, trade: VenueTrade, instead_of: tuple[VenueTrade, ...] = ()
    ) -> "Account":
        """Apply one fill: position and balance flows; the reservation shrinks and its outcome is no longer unknown.

        Args:
            instead_of: fills that were counted and are no longer, since this one is. Where they moved the same, nothing
                moves.
        """
        held, symbol = self.positions.get(strategy, {}), trade.symbol
        position, moved, quantity = self.position(strategy, symbol), trade.asset_changes(), trade.quantity
        for one in instead_of:
            moved = summed(moved, {asset: -change for asset, change in one.asset_changes().items()})
            quantity -= one.quantity
        if not instead_of or any(moved.values()):
            for one in instead_of:
                position = position.before(one)
            position = position.after(trade)
        reservations = dict(self.reservations)
        if reservation := reservations.get(order_id):
            left = max(reservation.quantity - quantity, ZERO)
            reservations[order_id] = reservation.model_copy(update={"quantity": left, "unresolved": False})
        return self.bumped(
            positions={**self.positions, strategy: {**held, symbol: position}},
            traded=summed(self.traded, moved),
            bookings=counted(self.bookings, trade.bookings),
            reservations=reservations,
        )

    def with_fee(self, strategy: str, trade: VenueTrade, true: VenueTrade) -> "Account":
        """Count a fill's true fee in place of its estimate. `bookings` only grow: proofs count from them."""
        held, symbol = self.positions.get(strategy, {}), trade.symbol
        position = self.position(strategy, symbol).corrected(trade, true)
        undone = {asset: -change for asset, change in trade.asset_changes().items()}
        return self.bumped(
            positions={**self.positions, strategy: {**held, symbol: position}},
            traded=summed(self.traded, summed(undone, true.asset_changes())),
            bookings={a: self.bookings.get(a, 0) + (a in true.fees) for a in {**self.bookings, **true.fees}},
        )

    def with_flow(self, flow: Flow) -> "Account":
        """Count one flow; a trade that was given to a strategy moves its position too, and back where it is taken
        back. What an asset held before it was first used belongs to the opening."""
        taken = self.taken
        if flow.kind in TAKES:
            taken = {**taken, **{asset: max(flow.at, taken.get(asset, flow.at)) for asset in flow.amounts}}
        if flow.kind is FlowKind.OPENING:
            return self.bumped(opening=summed(self.opening or {}, flow.amounts), taken=taken)
        positions = self.positions
        if flow.strategy is not None and flow.trade is not None:
            held, symbol = positions.get(flow.strategy, {}), flow.trade.symbol
            position = _position_by(flow, flow.trade, self.position(flow.strategy, symbol))
            positions = {**positions, flow.strategy: {**held, symbol: position}}
        booked = counted(self.bookings, {} if flow.fill_of else _booked_by(flow))
        external = summed(self.external, flow.amounts)
        owing = self.owing
        if flow.trade is not None:
            owing = tuple(key for key in owing if key != flow.trade.key)
            owing += (flow.flow_id,) if flow.trade.estimated and not flow.fill_of and flow.true_fees is None else ()
        return self.bumped(positions=positions, external=external, bookings=booked, taken=taken, owing=owing)

    def has_taken(self, asset: str, at: datetime) -> bool:
        """Whether what a trade at `at` did to an asset was in its balance when that was last taken as it was."""
        return asset in self.taken and at <= self.taken[asset]

    def already_in(self, trade: VenueTrade) -> dict[str, Decimal]:
        """What of a trade's changes was in its assets' balances when they were last taken as they were."""
        changes = trade.asset_changes().items()
        return {asset: change for asset, change in changes if self.has_taken(asset, trade.at)}

    def with_adoption(self, adoption: Adoption) -> "Account":
        """Make a part of what is nobody's a strategy's position. What the account holds in all does not change."""
        held = self.positions.get(adoption.strategy, {})
        position = self.position(adoption.strategy, adoption.symbol)
        grown = position.moved(adoption.quantity, adoption.quantity * adoption.price)
        positions = {**self.positions, adoption.strategy: {**held, adoption.symbol: grown}}
        return self.bumped(positions=positions, adoptions=(*self.adoptions, adoption))

    def watching(self, order_id: str, until: datetime, now: datetime) -> "Account":
        """Look an order up on, for a while; of too many, those go first whose time is over soonest."""
        standing = {**{key: end for key, end in self.watched.items() if end > now}, order_id: until}
        kept = sorted(standing, key=standing.__getitem__)[-MOST_WATCHED:]
        return self.bumped(watched={key: standing[key] for key in sorted(kept)})

    def with_write_off(self, strategy: str, symbol: str) -> "Account":
        """Give a strategy's position up: what it cost is lost, whatever is still at the venue."""
        position = self.position(strategy, symbol)
        return self.with_position(strategy, symbol, position.moved(-position.quantity, ZERO))

    def with_position(self, strategy: str, symbol: str, position: Position) -> "Account":
        """A person's word for what a strategy has. Once that is nothing, what it adopted may come back and be adopted
        again."""
        held, adoptions = self.positions.get(strategy, {}), self.adoptions
        if not position.quantity:
            adoptions = tuple(one for one in adoptions if (one.strategy, one.symbol) != (strategy, symbol))
        return self.bumped(positions={**self.positions, strategy: {**held, symbol: position}}, adoptions=adoptions)

    def with_retired(self, symbol: str) -> "Account":
        return self.bumped(retired=tuple(sorted({*self.retired, symbol})))

    def without_retired(self, symbol: str) -> "Account":
        return self.bumped(retired=tuple(held for held in self.retired if held != symbol))

    def with_stop(self, stop: Stop) -> "Account":
        return self.bumped(stops=(*self.stops, stop))

    def without_stops(self, incidents: frozenset[str]) -> "Account":
        """Without the stops of these incidents; the account itself where there are none."""
        kept = tuple(stop for stop in self.stops if stop.incident not in incidents)
        return self.bumped(stops=kept) if kept != self.stops else self

    def differs_in_stops_only(self, before: "Account") -> bool:
        """What may still be written over an account that is not understood."""
        return before.model_copy(update={"stops": self.stops, "version": self.version}) == self

    def expected_balances(self) -> dict[str, Decimal]:
        return summed(summed(self.opening or {}, self.traded), self.external)


def _position_by(flow: Flow, trade: VenueTrade, held: Position) -> Position:
    """A strategy's position after a flow of a trade that a person gave to it."""
    if flow.fill_of:
        return held.before(trade)
    return held.after(trade) if flow.true_fees is None else held.corrected(trade, trade.costing(flow.true_fees))


def _booked_by(flow: Flow) -> dict[str, int]:
    if flow.true_fees is not None:
        return dict.fromkeys(flow.true_fees, 1)
    return flow.trade.bookings if flow.trade else {}


def summed(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Amounts by asset, added up."""
    return {asset: one.get(asset, ZERO) + other.get(asset, ZERO) for asset in {**one, **other}}


def counted(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Numbers by asset, added up."""
    return {asset: one.get(asset, 0) + other.get(asset, 0) for asset in {**one, **other}}
