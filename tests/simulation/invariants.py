"""The promises, as checks of what is stored and of what is true at the venue; none looks into a workflow.

Some hold after every effect, some once the world has come to rest. Each is named after what it promises.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from belay.domain.account import Account, StopLevel
from belay.domain.decisions import Side
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.record import ZERO, base_asset
from belay.domain.venues import OrderRequest, VenueStatus
from tests.builders import ACCOUNT
from tests.simulation.books import moved
from tests.simulation.faults import Kind
from tests.simulation.processes import Effect, Process
from tests.simulation.truth import Truth
from tests.simulation.venue import TrueOrder
from tests.simulation.world import LIMITS, SYMBOLS, World

ALL = 10_000
LEVELS = {StopLevel.RUNNING: 0, StopLevel.REDUCE_ONLY: 1, StopLevel.HALTED: 2}
AT_VENUE = {"ACKNOWLEDGED", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED"}
# Which states may follow which, written down a second time on purpose.
LEGAL = {
    "CREATED": {"SUBMITTED", "DENIED", "LAPSED"},
    "SUBMITTED": AT_VENUE | {"REJECTED", "NOT_SENT", "UNKNOWN"},
    "UNKNOWN": AT_VENUE | {"REJECTED", "NOT_SENT"},
    "ACKNOWLEDGED": {"PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED", "REJECTED"},
    "PARTIALLY_FILLED": {"FILLED", "CANCELLED", "EXPIRED"},
    "REJECTED": AT_VENUE,
    "NOT_SENT": AT_VENUE | {"SUBMITTED"},
    "CANCELLED": {"FILLED"},
    "EXPIRED": {"FILLED"},
}
NO_ORDER = {"CREATED", "DENIED", "LAPSED", "NOT_SENT", "REJECTED"}
# What the venue's word for a finished order is called in the ledger.
ENDED = {
    VenueStatus.FILLED: "FILLED",
    VenueStatus.CANCELLED: "CANCELLED",
    VenueStatus.EXPIRED: "EXPIRED",
    VenueStatus.REJECTED: "REJECTED",
}
# An exit may be refused for want of something to sell, and may wait for these; no limit on entries traps it.
EXIT_DENIALS = {"nothing_to_sell", "dust", "own_position", "available_balance"}
EXIT_WAITS = {
    "stop",
    "clock_offset_seconds",
    "unresolved_entry",
    "contended",
    "venue unavailable",
    "symbol unavailable",
}
# What can only be where something happens beside Belay, or a promise of the venue does not hold.
FOREIGN = {
    IncidentKind.WRONG_ABSENCE_PROOF,
    IncidentKind.OVERFILL,
    IncidentKind.UNKNOWN_VENUE_ORDER,
    IncidentKind.DUPLICATE_VENUE_ORDER,
    IncidentKind.ORDER_MISMATCH,
    IncidentKind.BALANCE_MISMATCH,
    IncidentKind.UNREADABLE_ROW,
    IncidentKind.SYMBOL_UNAVAILABLE,
}
# Between the check and the claim, and in what was reserved before, prices may have moved this much.
PRICE_ROOM = Decimal("1.01")


@dataclass(frozen=True)
class Violation:
    """A promise that did not hold, when, and what was seen instead."""

    promise: str
    detail: str
    at: int

    def __str__(self) -> str:
        return f"{self.promise}: {self.detail}"


class Watch:
    """Looks on while a world runs, and afterwards; keeps the first violation of each promise."""

    def __init__(self, world: World) -> None:
        self.violations: list[Violation] = []
        self._world = world
        self._orders: dict[str, Order] = {}
        self._decisions: dict[str, str] = {}
        self._proofs: dict[str, tuple[str, int, datetime]] = {}
        self._claims: list[tuple[datetime, bool]] = []
        self._truth = Truth(world, self._require)
        world.scheduler.watch = self._after
        world.scheduler.before = self._before
        world.venue.accepted = self._accepted

    def _broken(self, promise: str, detail: str) -> None:
        if promise not in {violation.promise for violation in self.violations}:
            self.violations.append(Violation(promise, detail, self._world.scheduler.now_ms))
            self._world.scheduler.tell("promise", f"broken: {promise}", detail)

    def _require(self, promise: str, holds: bool, detail: Callable[[], str]) -> None:
        if not holds:
            self._broken(promise, detail())

    # --- before and after every effect ---

    def _before(self, process: Process, effect: Effect) -> None:
        process.notes.setdefault("began", self._world.scheduler.now_ms)
        if effect.name == "venue.submit":
            self._sending(process, effect.arguments[0])

    def _after(self, process: Process, effect: Effect, answer: Any) -> None:
        match effect.name:
            case "switch.read":
                process.notes["switch"] = answer.level
            case "ledger.commit":
                self._committed(process, effect.arguments[0])
            case "ledger.save_account":
                self._account_agrees()
            case "ledger.record_decision":
                self._decided(process, effect.arguments[0].decision_id, answer)
            case "ledger.store_proof":
                self._proven(process, effect.arguments[0])
            case "ledger.open_incident":
                self._alarm_is_true(effect.arguments[0])
            case "ledger.record_flow":
                self._account_agrees()
                self._truth.counted()
            case "ledger.resolve_incident":
                self._truth.ended(process, effect.arguments[1])

    def _sending(self, process: Process, request: OrderRequest) -> None:
        """A send follows its own claim, and a look at the switch after that claim which allowed it."""
        notes, reducing = process.notes, request.side is Side.SELL
        claimed = notes.pop("claimed", None)
        label = self._world.label(request.client_order_id)
        self._require(
            "a claim gives the right to send, once",
            claimed == request,
            lambda: f"{process.name} sends {label} without a claim of its own",
        )
        level = notes.get("switch")
        allowed = StopLevel.REDUCE_ONLY if reducing else StopLevel.RUNNING
        self._require(
            "nothing is sent after the guard saw a halt",
            level is not None and LEVELS[level] <= LEVELS[allowed],
            lambda: f"{process.name} sends {label} having read {level} since its claim",
        )

    def _committed(self, process: Process, change: Any) -> None:
        order = self._world.ledger.order(change.order.order_id)
        assert order is not None
        before = self._orders.get(order.order_id)
        self._orders[order.order_id] = order
        if before is not None and before.version == order.version:
            return self._account_agrees()
        self._truth.said(process, before, order)
        self._legal(before, order)
        if order.state == "SUBMITTED" and (before is None or before.state != "SUBMITTED"):
            self._claimed(process, order, change)
        if order.reducing:
            self._exit_not_trapped(order, change.event.cause)
        self._absent_where_said(order)
        self._own_venue_ids(order)
        return self._account_agrees()

    def _legal(self, before: Order | None, order: Order) -> None:
        was = before.state if before else "CREATED"
        legal = order.state == was or order.state in LEGAL.get(was, set())
        follows = before is None or order.version == before.version + 1
        label = self._world.label(order.order_id)
        self._require("only legal transitions", legal and follows, lambda: f"{label} went from {was} to {order.state}")

    def _exit_not_trapped(self, order: Order, cause: str) -> None:
        what, _, why = cause.partition(": ")
        allowed = {"denied": EXIT_DENIALS, "waiting": EXIT_WAITS}.get(what)
        label = self._world.label(order.order_id)
        self._require(
            "no limit traps an exit",
            allowed is None or why.partition(": ")[0] in allowed,
            lambda: f"{label} is {cause}",
        )

    def _absent_where_said(self, order: Order) -> None:
        """What is said not to be there is not there; another than its rejected shell, that is."""
        if order.state in NO_ORDER:
            there = [o for o in self._world.venue.orders if o.request.client_order_id == order.order_id]
            label = self._world.label(order.order_id)
            self._require(
                "not sent only where the venue has no such order",
                all(o.status is VenueStatus.REJECTED for o in there),
                lambda: f"{label} is {order.state}, and at the venue it is {there[0].venue_order_id}",
            )

    def _own_venue_ids(self, order: Order) -> None:
        own = {o.venue_order_id for o in self._world.venue.orders if o.request.client_order_id == order.order_id}
        self._require(
            "only its own venue orders are attached to an order",
            own.issuperset(order.venue_order_ids),
            lambda: f"{self._world.label(order.order_id)} has {order.venue_order_ids}, at the venue it is {own}",
        )

    def _alarm_is_true(self, incident: Incident) -> None:
        """Every proof is right: only an answer about another order, or what happened beside Belay, says otherwise."""
        mixed_up = self._world.scheduler.fired[Kind.MIXED_UP]
        self._require(
            "no alarm is false",
            incident.kind not in FOREIGN or bool(mixed_up) or self._truth.alarm_is_true(incident),
            lambda: f"{incident.incident_id}: expected {incident.expected}, actual {incident.actual}",
        )

    # --- claims ---

    def _claimed(self, process: Process, order: Order, change: Any) -> None:
        assert order.attempt is not None
        request = order.attempt.request
        process.notes["claimed"], process.notes["switch"] = request, None
        self._claims.append((request.claimed_at, order.reducing))
        label, account = self._world.label(order.order_id), self._world.ledger.account(ACCOUNT)
        stops = (*account.stops, *self._world.ledger.operator_stops(ACCOUNT).stops)
        level = max((LEVELS[s.level] for s in stops if s.covers(order.strategy, order.symbol)), default=0)
        self._require(
            "no claim commits after a stop",
            level <= (1 if order.reducing else 0),
            lambda: f"{label} is claimed under {stops}",
        )
        if not order.reducing:
            self._proof_is_fresh(process, label, request, change.requirement)
            self._within_limits(label, order, request, account)

    def _proof_is_fresh(self, process: Process, label: str, request: OrderRequest, requirement: Any) -> None:
        configuration = self._world.ledger.configuration(ACCOUNT)
        assert configuration is not None
        proof = self._proofs.get(requirement.proof_fingerprint or "")
        bound = timedelta(seconds=LIMITS.max_reconciliation_age_seconds or 0)
        self._require(
            "no entry without a fresh clean proof",
            proof is not None
            and proof[:2] == (process.layer_version, configuration.version)
            and abs(request.claimed_at - proof[2]) <= bound,
            lambda: f"{label} is claimed at {request.claimed_at:%T} by {process.layer_version} with {proof}",
        )

    def _within_limits(self, label: str, order: Order, request: OrderRequest, account: Account) -> None:
        price = request.limit_price or self._world.venue.price(order.symbol)
        reserved = {
            symbol: sum(
                (
                    r.quantity * r.price
                    for r in account.reservations.values()
                    if r.symbol == symbol and r.side is Side.BUY
                ),
                ZERO,
            )
            for symbol in SYMBOLS.values()
        }
        held = {
            symbol: max(account.symbol_quantity(symbol), ZERO) * self._world.venue.price(symbol)
            for symbol in SYMBOLS.values()
        }
        used = {
            "max_order_notional": (request.quantity * price, LIMITS.max_order_notional),
            "max_position_notional": (
                held[order.symbol] + reserved[order.symbol],
                LIMITS.max_position_notional[order.symbol],
            ),
            "max_aggregate_exposure": (
                sum(held.values(), ZERO) + sum(reserved.values(), ZERO),
                LIMITS.max_aggregate_exposure,
            ),
        }
        for limit, (value, bound) in used.items():
            self._require(
                "never over a limit",
                bound is not None and value <= bound * PRICE_ROOM,
                lambda v=value, b=bound, name=limit: f"{label} brings {name} to {v}, over {b}",  # type: ignore[misc]
            )
        since = request.claimed_at - timedelta(minutes=1)
        recent = sum(1 for at, _ in self._claims if at > since)
        entries = (LIMITS.submissions_per_minute or 0) - (LIMITS.reserved_exit_submissions or 0)
        self._require(
            "never over a limit", recent <= entries, lambda: f"{label} is submission {recent} within a minute"
        )

    def _proven(self, process: Process, proof: Any) -> None:
        configuration, ledger = self._world.ledger.configuration(ACCOUNT), self._world.ledger
        assert configuration is not None
        stored = ledger.proof(ACCOUNT, proof.fingerprint)
        if stored != proof:
            return
        known = self._proofs.get(proof.fingerprint)
        if known is None or known[2] != proof.started_at:
            self._require(
                "a proof is of the account as it is",
                proof.account_version == ledger.account(ACCOUNT).version,
                lambda: f"{process.name} proves version {proof.account_version}, which is over",
            )
        self._truth.proven(proof)
        version = process.notes.get("configuration", configuration.version)
        self._proofs[proof.fingerprint] = (process.layer_version, version, proof.started_at)

    # --- what the ledger says of itself ---

    def _account_agrees(self) -> None:
        account = self._world.ledger.account(ACCOUNT)
        for order in self._world.ledger.orders(ACCOUNT, ALL):
            self._orders[order.order_id] = order
        self._reservations_agree(account)
        self._fills_agree(account)

    def _reservations_agree(self, account: Account) -> None:
        """Exactly the orders that were claimed and are not settled hold one, of what is left of them."""
        claimed = {o.order_id: o for o in self._orders.values() if o.attempt is not None and not o.settled}
        expected = {
            key: (o.symbol, o.side, o.remaining, o.state in ("SUBMITTED", "UNKNOWN")) for key, o in claimed.items()
        }
        actual = {key: (r.symbol, r.side, r.quantity, r.unresolved) for key, r in account.reservations.items()}
        differing = sorted(key for key in {*expected, *actual} if expected.get(key) != actual.get(key))
        self._require(
            "reservations are the open orders",
            not differing,
            lambda: ", ".join(
                f"{self._world.label(key)}: order {expected.get(key)}, reserved {actual.get(key)}" for key in differing
            ),
        )

    def _fills_agree(self, account: Account) -> None:
        """Positions and orders are what their fills add up to, and each fill is a trade of the venue, once."""
        true = {t.trade.key: (t.trade, o) for o in self._world.venue.orders for t in o.trades}
        positions: Counter[tuple[str, str]] = Counter()
        paid: dict[tuple[str, str], Decimal] = {}
        filled: Counter[str] = Counter()
        fills = self._world.ledger.fills(ACCOUNT, ALL)
        for fill in fills:
            trade, order = true.get(fill.key, (None, None))
            self._require(
                "each fill is a trade of the venue, once",
                order is not None and fill.order_id == order.request.client_order_id and fill.trade == trade,
                lambda f=fill: f"{f.key} of {self._world.label(f.order_id)}",  # type: ignore[misc]
            )
            changes, (base, quote) = moved(fill.trade), fill.trade.symbol.split("/")
            positions[fill.strategy, fill.trade.symbol] += changes[base]  # type: ignore[assignment]
            key = fill.strategy, fill.trade.symbol
            paid[key] = paid.get(key, ZERO) - changes[quote]
            filled[fill.order_id] += fill.trade.quantity  # type: ignore[assignment]
        self._require(
            "each fill is a trade of the venue, once",
            len({fill.key for fill in fills}) == len(fills)
            and all(o.filled_quantity == filled[o.order_id] for o in self._orders.values()),
            lambda: "an order's filled quantity is not the sum of its fills",
        )
        held = {(s, symbol): p.quantity for s, of in account.positions.items() for symbol, p in of.items()}
        self._require(
            "positions are the sum of their fills",
            {key: q for key, q in held.items() if q} == {key: q for key, q in positions.items() if q},
            lambda: f"{held}, fills add up to {dict(positions)}",
        )
        self._truth.no_profit(account, paid)

    def _decided(self, process: Process, decision_id: str, answer: Any) -> None:
        stored = self._world.ledger.decision(decision_id)
        text = stored.model_dump_json() if stored else ""
        first = self._decisions.setdefault(decision_id, text)
        slot = process.notes["slot"]
        self._require(
            "one slot, one decision",
            stored is not None and stored == answer and first == text and stored.slot.candle_open == slot,
            lambda: f"{process.name} stored {decision_id} for the slot of {slot:%H:%M}",
        )

    # --- what happens at the venue ---

    def _accepted(self, accepted: TrueOrder) -> None:
        venue, request = self._world.venue, accepted.request
        label = self._world.label(request.client_order_id)
        same = [o.venue_order_id for o in venue.orders if o.request.client_order_id == request.client_order_id]
        self._require(
            "at most one venue order per order id", len(same) == 1, lambda: f"{label} is {' and '.join(same)}"
        )
        order = self._world.ledger.order(request.client_order_id)
        self._require(
            "nothing reaches the venue that the ledger does not know",
            order is not None and order.state != "CREATED",
            lambda: f"{label} is {order.state if order else 'not in the ledger'}",
        )
        if order is None:
            return
        self._absent_where_said(order)
        if request.side is Side.SELL:
            self._covered(order, label)

    def _covered(self, order: Order, label: str) -> None:
        """A strategy never sells more than its own orders bought, whatever is still open."""
        held = leaving = ZERO
        for true in self._world.venue.orders:
            owner = self._orders.get(true.request.client_order_id)
            if owner is None or (owner.strategy, owner.symbol) != (order.strategy, order.symbol):
                continue
            base = base_asset(order.symbol)
            held += sum((moved(t.trade)[base] for t in true.trades), ZERO)
            if true.closed_ms is None and true.request.side is Side.SELL:
                leaving += true.request.quantity - true.filled
        self._require(
            "an exit never sells more than its strategy owns",
            leaving <= held,
            lambda: f"{label}: {leaving} for sale, {held} held",
        )

    # --- at rest ---

    def at_rest(self) -> None:
        """Called once, when the world has become calm."""
        open_incidents = {i.incident_id: i for i in self._world.ledger.incidents(ACCOUNT) if i.status == "open"}
        subjects = {incident.subject for incident in open_incidents.values()}
        # Nothing is known of the orders of a symbol that is not to be had.
        subjects |= {o.order_id for o in self._world.ledger.orders(ACCOUNT, ALL) if o.symbol in subjects}
        for order in self._world.ledger.orders(ACCOUNT, ALL):
            self._settled_and_true(order, subjects)
        self._messages_are_settled(subjects)
        told = {incident.incident_id for incident in self._world.alerts.incidents}
        untold = sorted(open_incidents.keys() - told)
        self._require("on-call is told of every incident", not untold, lambda: f"not told: {untold}")
        self._everything_is_counted(subjects)
        self._truth.at_rest()
        for decision_id in sorted(self._decisions):
            for flaw in self._unexplained(decision_id):
                self._broken("every decision explains itself", f"{decision_id}: {flaw}")

    def led_back(self) -> None:
        """Called where people have dealt with what stood."""
        self.at_rest()
        self._truth.led_back()

    def _settled_and_true(self, order: Order, subjects: set[str]) -> None:
        """Settled and equal to the venue's truth, at work there, or visibly a person's."""
        label, asked = self._world.label(order.order_id), order.order_id in subjects
        there = [o for o in self._world.venue.orders if o.request.client_order_id == order.order_id]
        if order.state == "UNKNOWN":
            promise = "what is unknown has an open incident"
            return self._require(promise, asked, lambda: f"{label} is UNKNOWN and nobody is asked")
        true = there[0] if there else None
        if true is None:
            expected, at_work = NO_ORDER - {"CREATED"}, False
        elif true.closed_ms is None:
            expected, at_work = {"PARTIALLY_FILLED" if true.filled else "ACKNOWLEDGED"}, True
        else:
            expected, at_work = {ENDED[true.status]}, False
        truth = "not there" if true is None else f"{true.venue_order_id}, {true.status}, {true.filled} filled"
        self._require(
            "at rest each order is what it is at the venue",
            asked or order.state in expected,
            lambda: f"{label} is {order.state}, at the venue it is {truth}",
        )
        self._require(
            "at rest each order is settled",
            asked or order.settled is not at_work,
            lambda: f"{label} is {order.state}, settled: {order.settled}; at the venue it is {truth}",
        )
        return None

    def _messages_are_settled(self, subjects: set[str]) -> None:
        queue = self._world.queue
        waiting = [message.name for group in queue.groups.values() for message in group]
        self._require(
            "every message is settled or in the dead-letter queue with a record",
            not queue.waiting
            and all(
                (order := self._world.ledger.order(message.order_id)) is not None
                and (order.settled or order.venue_order_ids or order.order_id in subjects)
                for message in queue.dead
            ),
            lambda: f"waiting: {waiting}, follow-ups: {queue.follow_ups}, dead: {[m.name for m in queue.dead]}",
        )

    def _everything_is_counted(self, subjects: set[str]) -> None:
        """Every trade is counted, or a person is asked about that very trade."""
        true = {t.trade.key for o in self._world.venue.orders for t in o.trades}
        uncounted = true - {fill.key for fill in self._world.ledger.fills(ACCOUNT, ALL)}
        hidden = {t.trade.key for o in self._world.venue.orders for t in o.trades if o.request.symbol in subjects}
        missing = sorted(uncounted - subjects - hidden)
        self._require("every fill counts", not missing, lambda: f"not counted: {missing}")

    def _unexplained(self, decision_id: str) -> Iterator[str]:
        story = self._world.ledger.story(decision_id)
        if story is None:
            yield "there is no story"
            return
        held = story.decision.held
        if held is not None and not held.reason:
            yield "a hold without a reason"
        if len(story.orders) != sum(1 for order_id in story.decision.order_ids if order_id):
            yield "an order is missing"
        for order in story.orders:
            events = [event for event in story.events if event.order_id == order.order_id]
            if [event.sequence for event in events] != list(range(order.version + 1)):
                yield f"an event of {self._world.label(order.order_id)} is missing"
            chain = pairwise(events)
            if any(later.from_state != earlier.to_state for earlier, later in chain) or (
                events and events[-1].to_state != order.state
            ):
                yield f"the events of {self._world.label(order.order_id)} do not follow each other"
            for event in events:
                checked = event.cause == "claimed" or event.cause.startswith("denied: ")
                if checked and not event.detail.get("limits"):
                    yield f"{self._world.label(order.order_id)} is {event.cause} without its limits"
            counted = sum((f.trade.quantity for f in story.fills if f.order_id == order.order_id), ZERO)
            if counted != order.filled_quantity:
                yield f"a fill of {self._world.label(order.order_id)} is missing"
