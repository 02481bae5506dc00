"""The promises about an account beside which things happen, checked against what is true at the venue.

A fact is something that stands there and is not Belay's: an order or a trade by hand, a row that nobody understands, a
symbol that is not to be had. Each has the id of the incident that tells it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from belay.domain.account import Account
from belay.domain.flows import Flow, FlowKind
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.proofs import Proof
from belay.domain.venues import VenueStatus, VenueTrade
from belay.domain.way_back import WAYS
from tests.builders import ACCOUNT
from tests.simulation.books import ZERO, moved
from tests.simulation.people import ENDED_BY_PEOPLE
from tests.simulation.processes import Process
from tests.simulation.scheduler import START
from tests.simulation.venue import TrueOrder, TrueTrade

if TYPE_CHECKING:
    from tests.simulation.world import World

ALL = 10_000
K = IncidentKind
OF_FACTS = frozenset({K.UNKNOWN_VENUE_ORDER, K.UNATTRIBUTED_TRADE, K.UNREADABLE_ROW, K.SYMBOL_UNAVAILABLE})
# Average costs are quotients of 28 digits.
QUOTIENTS = Decimal("0.000000001")

Require = Callable[[str, bool, Callable[[], str]], None]


class Fact(NamedTuple):
    """What stands, by the id of its incident, in which symbol, and since when it can be seen."""

    incident: str
    symbol: str
    since_ms: int


class Truth:
    """Compares what Belay tells of the account's surroundings with what is so.

    Args:
        require: called with a promise, whether it holds, and what was seen.
    """

    def __init__(self, world: "World", require: Require) -> None:
        self._world, self._require = world, require

    # --- what is so ---

    def facts(self) -> Iterator[Fact]:
        """Everything that stands now and is not Belay's."""
        venue, now = self._world.venue, self._world.scheduler.now_ms
        for order in (*venue.orders, *venue.foreign):
            yield from self._of_order(order, now)
            for true in order.trades:
                yield from self._of_trade(order, true, now)
        for symbol, since in venue.unavailable.items():
            yield Fact(f"{K.SYMBOL_UNAVAILABLE}:{symbol}", symbol, since)

    def _of_order(self, order: TrueOrder, now: int) -> Iterator[Fact]:
        venue, symbol = self._world.venue, order.request.symbol
        if order.visible_ms > now or venue._shown(order, now).status is not VenueStatus.OPEN:
            return
        if now < order.readable_ms:
            yield Fact(f"{K.UNREADABLE_ROW}:{order.row.key}", symbol, max(order.spoiled_ms, order.visible_ms))
        elif order in venue.foreign:
            since = max(order.visible_ms, order.readable_ms)
            yield Fact(f"{K.UNKNOWN_VENUE_ORDER}:{symbol}:{order.venue_order_id}", symbol, since)

    def _of_trade(self, order: TrueOrder, true: TrueTrade, now: int) -> Iterator[Fact]:
        foreign, unread = order in self._world.venue.foreign, now < true.readable_ms
        if true.visible_ms > now or not (foreign or unread) or self._counts(true.trade):
            return
        symbol = order.request.symbol
        if unread:
            yield Fact(f"{K.UNREADABLE_ROW}:{true.row.key}", symbol, max(true.spoiled_ms, true.visible_ms))
        else:
            since = max(true.visible_ms, true.readable_ms)
            yield Fact(f"{K.UNATTRIBUTED_TRADE}:{symbol}", symbol, since)

    def _counts(self, trade: VenueTrade) -> bool:
        """Whether it is a fill or a flow, or in the balances that the books began with."""
        ledger, key = self._world.ledger, trade.key
        opened_at = ledger.account(ACCOUNT).opened_at
        if opened_at is not None and trade.at <= opened_at:
            return True
        return ledger.flow(ACCOUNT, key) is not None or any(fill.key == key for fill in ledger.fills(ACCOUNT, ALL))

    def _moved_beside(self) -> frozenset[str]:
        """The assets whose balances something else than fills that can be read has ever moved."""
        venue = self._world.venue
        assets = {booking.asset for booking in venue.books.bookings if booking.why not in ("trade", "fee")}
        hidden = "a symbol unavailable" in self._world.beside.happened
        for order in (*venue.foreign, *venue.orders):
            for true in order.trades:
                if order in venue.foreign or true.readable_ms or hidden:
                    assets |= {*order.request.symbol.split("/"), *true.trade.fees}
        return frozenset(assets)

    # --- while it runs ---

    def alarm_is_true(self, incident: Incident) -> bool:
        """Whether what an incident of these kinds tells has ever been so."""
        venue = self._world.venue
        every = (*venue.orders, *venue.foreign)
        match incident.kind:
            case K.UNKNOWN_VENUE_ORDER:
                return incident.subject in {f"{o.request.symbol}:{o.venue_order_id}" for o in venue.foreign}
            case K.BALANCE_MISMATCH:
                return incident.subject in self._moved_beside()
            case K.UNREADABLE_ROW:
                rows = [order.row for order in every if order.readable_ms]
                rows += [true.row for order in every for true in order.trades if true.readable_ms]
                return incident.subject in {row.key for row in rows}
            case K.SYMBOL_UNAVAILABLE:
                return "a symbol unavailable" in self._world.beside.happened
        return False

    def proven(self, proof: Proof) -> None:
        """A proof says nothing of a symbol in which something stood when it began, and takes in no more rounding than
        there can have been."""
        began = int((proof.started_at - START).total_seconds() * 1000)
        covered = [f for f in self.facts() if f.since_ms <= began and f.symbol not in proof.uncovered]
        self._require(
            "no proof covers what is not ours",
            not covered,
            lambda: f"the proof of {proof.started_at:%T} covers {covered}",
        )
        books = self._world.venue.books
        too_much = {a: r for a, r in proof.rounding.items() if abs(r) > books.most_rounding(a)}
        self._require("only the venue's rounding is taken in", not too_much, lambda: f"taken in: {too_much}")

    def ended(self, process: Process, incident_id: str) -> None:
        """Whoever ends an incident has looked, and seen nothing of it."""
        if "calls trades foreign" in process.name:  # says so of what it was told, and asks no venue
            return
        standing = [f for f in self.facts() if f.incident == incident_id and f.since_ms <= process.notes["began"]]
        self._require(
            "an incident ends only where its fact is gone",
            not standing,
            lambda: f"{process.name} ends {incident_id}, which stands",
        )

    def said(self, process: Process, before: Order | None, order: Order) -> None:
        """A person's word ends only what the venue, asked about it, does not show."""
        if order.word is None or (before is not None and before.word is not None):
            return
        shown = [
            true.venue_order_id
            for true in self._world.venue.orders
            if true.request.client_order_id == order.order_id
            and true.visible_ms <= process.notes["began"]
            and true.closed_ms is None
        ]
        label = self._world.label(order.order_id)
        self._require(
            "no word goes against the venue's",
            not shown,
            lambda: f"{label} is said to be {order.word}, and the venue shows {shown}",
        )

    def counted(self) -> None:
        """Each flow is one of the venue's records, or a person's word, once; together they are what came and went."""
        ledger = self._world.ledger
        flows = ledger.flows(ACCOUNT, ALL)
        recorded = {record.flow_id: record.amounts for _, record in self._world.venue.records}
        external: Counter[str] = Counter()
        for flow in flows:
            if flow.kind is not FlowKind.OPENING:
                external.update(flow.amounts)
            self._require(
                "each flow is a record of the venue, once",
                self._is_true(flow, recorded),
                lambda f=flow: f"{f.flow_id}: {f.amounts}",  # type: ignore[misc]
            )
        account = ledger.account(ACCOUNT)
        self._require(
            "each flow is a record of the venue, once",
            _without_zeros(account.external) == _without_zeros(external),
            lambda: f"the account has {account.external}, flows add up to {dict(external)}",
        )

    def _is_true(self, flow: Flow, recorded: dict[str, dict[str, Decimal]]) -> bool:
        if flow.kind in (FlowKind.OPENING, FlowKind.REBASE):
            return True
        if flow.kind is FlowKind.TRADE:
            trades = {t.trade.key: moved(t.trade) for o in self._world.venue.foreign for t in o.trades}
            return trades.get(flow.flow_id) == flow.amounts
        return recorded.get(flow.flow_id) == flow.amounts

    def no_profit(self, account: Account, paid: dict[tuple[str, str], Decimal]) -> None:
        """What positions cost and have realised is what their fills paid and nothing else.

        Args:
            paid: by strategy and symbol, what fills took from the quote currency.
        """
        for strategy, held in account.positions.items():
            for symbol, position in held.items():
                difference = position.cost - position.realised_pnl - paid.get((strategy, symbol), ZERO)
                self._require(
                    "profit comes of fills alone",
                    abs(difference) <= QUOTIENTS,
                    lambda s=strategy, y=symbol, d=difference: f"{s} has {d} more in {y} than its fills paid",  # type: ignore[misc]
                )

    # --- at rest ---

    def at_rest(self) -> None:
        books = self._world.venue.books
        self._require(
            "the venue's books add up",
            books.add_up() == books.balances,
            lambda: f"{books.add_up()} by bookings, {books.balances} held",
        )
        open_now = {one.incident_id: one for one in self._world.ledger.open_incidents(ACCOUNT)}
        standing = {fact.incident for fact in self.facts()}
        self._require(
            "what stands at the venue is told",
            standing <= open_now.keys(),
            lambda: f"not told: {standing - {*open_now}}",
        )
        over = {key for key, one in open_now.items() if one.kind in OF_FACTS} - standing
        self._require("what is gone is over", not over, lambda: f"still open: {sorted(over)}")
        self._balances(open_now)
        self._not_stuck(open_now)

    def _balances(self, open_now: dict[str, Incident]) -> None:
        """Opening, fills, flows and recorded rounding are the venue's balances to the last digit, or it is told."""
        ledger, books = self._world.ledger, self._world.venue.books
        account, proof = ledger.account(ACCOUNT), ledger.last_proof(ACCOUNT)
        if account.opening is None:
            return
        expected, rounding = account.expected_balances(), proof.rounding if proof else {}
        proven = proof is not None and proof.account_version == account.version
        # What an order may still do to them explains what differs.
        moving = {asset for held in account.reservations.values() for asset in held.symbol.split("/")}
        for asset in sorted((self._world.document.assets | account.traded.keys()) - moving):
            difference = books.balances.get(asset, ZERO) - expected.get(asset, ZERO) - rounding.get(asset, ZERO)
            told = f"{K.BALANCE_MISMATCH}:{asset}" in open_now
            bound = ZERO if proven else 2 * books.most_rounding(asset)
            self._require(
                "the ledger explains the balances",
                told or abs(difference) <= bound,
                lambda a=asset, d=difference: f"{a} differs by {d}",  # type: ignore[misc]
            )
            self._require(
                "what is gone is over",
                not told or difference != 0,
                lambda a=asset: f"{a} is as expected, and its mismatch is open",  # type: ignore[misc]
            )

    def _not_stuck(self, open_now: dict[str, Incident]) -> None:
        """The account was proven since all is calm, or something stands that a command leads back from."""
        proof = self._world.ledger.last_proof(ACCOUNT)
        rested = self._world.rested_ms
        fresh = proof is not None and (proof.started_at - START).total_seconds() * 1000 >= rested
        back = [one for one in open_now.values() if WAYS[one.kind].commands]
        self._require(
            "nothing stays stuck",
            fresh or any(one.symbol is None for one in back),
            lambda: f"last proof {proof.started_at if proof else None}, open: {sorted(open_now)}",
        )
        for symbol in proof.uncovered if proof is not None and fresh else ():
            known = any(one.symbol in (None, symbol) for one in back)
            self._require(
                "nothing stays stuck",
                known,
                lambda s=symbol: f"{s} is not covered, open: {sorted(open_now)}",  # type: ignore[misc]
            )

    def led_back(self) -> None:
        """People have done what the incidents say: nothing of what every run looks at is left."""
        left = sorted(i.incident_id for i in self._world.ledger.open_incidents(ACCOUNT) if i.kind in ENDED_BY_PEOPLE)
        self._require("every mismatch has a way back", not left, lambda: f"still open: {left}")
        proof = self._world.ledger.last_proof(ACCOUNT)
        uncovered = proof.uncovered if proof else ("everything",)
        self._require("every mismatch has a way back", not uncovered, lambda: f"not covered: {uncovered}")


def _without_zeros(amounts: Any) -> dict[str, Decimal]:
    return {asset: amount for asset, amount in amounts.items() if amount}
