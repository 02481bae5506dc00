"""Deliberate bugs, each a patch of the code under test. A simulation that does not find one of them has a hole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.records import decision_position
from belay.domain import balances, reconciliation, risk, transitions, venues
from belay.domain.account import Account
from belay.domain.orders import TERMINAL, UNRESOLVED, OrderState
from belay.domain.record import ZERO
from belay.domain.venues import Outcome, OutcomeKind
from belay.ports import Cursor
from belay.workflows import (
    execute,
    fills,
    findings,
    flows,
    gaps,
    look,
    pending,
    reconcile,
    resolve,
    resolve_order,
    settling,
    updates,
    venue_view,
    windows,
)
from belay.workflows.evaluate import evaluate
from tests.simulation import world
from tests.simulation.venue import TrueVenue

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """One bug by its name, and the attributes that make it. `beside`: it shows where something happens beside Belay."""

    name: str
    patches: tuple[Patch, ...]
    beside: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in self.patches]
        for owner, name, bug in self.patches:
            setattr(owner, name, bug)
        try:
            yield
        finally:
            for owner, name, original in before:
                setattr(owner, name, original)


def _sends_again(order: Any, session: Any) -> Any:
    if order.state not in UNRESOLVED:
        return _find_out(order, session)
    outcome = execute._submit(order, session)
    attempt = order.attempt.attempt_id
    updates.update_order(
        session.services,
        order.order_id,
        None,
        lambda o, account, stamp: transitions.settle(o, account, attempt, outcome, stamp),
    )
    return execute.Executed(order_id=order.order_id, result="sent again")


def _settles_anyway(order: Any, account: Any, _attempt_id: str, outcome: Any, stamp: Any) -> Any:
    """Whoever comes last is right."""
    if order.attempt is None:
        return None
    claimed = order.model_copy(update={"state": OrderState.SUBMITTED})
    return _from(order, _settle(claimed, account, order.attempt.attempt_id, outcome, stamp))


def _from(order: Any, change: Any) -> Any:
    """A change that says it was computed from the order as it is stored: the bug is in the rules, not in the books."""
    return change and change.model_copy(update={"previous_digest": order.bare_digest})


def _loses(*forgiven: str, claims_only: bool = False) -> Callable[[Any, Any], list[str]]:
    """The ledger's conditions without some of them."""

    def lost(ledger: Any, change: Any) -> list[str]:
        found = _lost(ledger, change)
        if claims_only and change.requirement is None:
            return found
        return [what for what in found if what not in forgiven]

    return lost


def _by_local_clock(order: Any, missed: bool, session: Any, seen: Any) -> bool:
    local = seen.venue.model_copy(update={"time": session.services.clock.now()})
    return _judge_absence(order, missed, session, seen.model_copy(update={"venue": local}))


def _concludes(order: Any, session: Any, seen: Any, outcome: Outcome) -> bool:
    def change(latest: Any, account: Any, stamp: Any) -> Any:
        return transitions.settle(latest, account, order.attempt.attempt_id, outcome, stamp)

    return updates.update_as_judged(session.services, order, seen.venue.time, change) is not None


def _not_found_is_rejected(order: Any, missed: bool, session: Any, seen: Any) -> bool:
    if not missed:
        return _judge_absence(order, missed, session, seen)
    outcome = Outcome(kind=OutcomeKind.REJECTED, code="ORDER_NOT_FOUND")
    return _concludes(order, session, seen, outcome)


def _ages_into_rejected(order: Any, missed: bool, session: Any, seen: Any) -> bool:
    if seen.venue.time < order.attempt.request.claimed_at + timedelta(seconds=60):
        return _judge_absence(order, missed, session, seen)
    outcome = Outcome(kind=OutcomeKind.REJECTED, code="TOO_OLD")
    return _concludes(order, session, seen, outcome)


def _guard_without_switch(order: Any, session: Any, situation: Any, remaining_seconds: Any) -> Any:
    fence_at = order.attempt.fence_at
    if fence_at is not None and execute._venue_time(session, situation) >= fence_at:
        return execute._not_sent("fence_passed", "")
    return None


def _never_releases(*arguments: Any) -> Any:
    return _release(*arguments).model_copy(update={"account": None})


def _releases_at_once(order: Any, account: Any, attempt_id: str, outcome: Any, stamp: Any) -> Any:
    """A rejection gives the reservation back, and the confirmation of it does so again."""
    change = _settle(order, account, attempt_id, outcome, stamp)
    gone = outcome.kind in (OutcomeKind.REJECTED, OutcomeKind.NOT_SENT)
    if change is None or not gone or order.order_id not in account.reservations:
        return change
    return change.model_copy(update={"account": account.without_reservation(order.order_id)})


def _slot_by_clock(tick: Any, services: Any, load: Any) -> Any:
    return _evaluate(tick.model_copy(update={"scheduled_time": services.clock.now()}), services, load)


def _claims_what_the_message_says(order: Any, *arguments: Any) -> Any:
    """The message was written when the order was new."""
    return _from(order, _claim(order.model_copy(update={"state": OrderState.CREATED}), *arguments))


def _first_page(session: Any, symbol: str, start: Any, end: Any) -> Any:
    return windows.Window(session.venue.trades(symbol, start, end).trades, (), whole=True, requests=1)


def _past_the_gap(seen: Any, symbol: str) -> Cursor:
    return Cursor(symbol=symbol, read_until=seen.venue.time)


def _stores_any_proof(ledger: Any, proof: Any) -> None:
    ledger._proofs[proof.account, proof.fingerprint] = proof
    ledger._last_proofs[proof.account] = proof


def _later_decision_wins(ledger: Any, record: Any, orders: Any, events: Any, account: Any = None) -> Any:
    if account is not None:
        ledger.save_account(account)
    ledger._decisions[record.decision_id] = record
    for order in orders:
        if order.order_id not in ledger._orders:
            ledger._keep(order)
            ledger._append(events[orders.index(order)], record.write_id)
    slot = record.slot
    ledger._decision_lines[slot.account, slot.strategy][decision_position(record)] = record
    return record


def _ignores_late_fills(
    order: Any, account: Any, trade: Any, stamp: Any, detail: Any = None, given: Any = False, instead_of: Any = ()
) -> Any:
    if order.state in TERMINAL:
        return None
    return _record_fill(order, account, trade, stamp, detail, given=given, instead_of=instead_of)


def _owns_all(case: Any) -> Any:
    held = case.account.position(case.order.strategy, case.order.symbol).quantity
    return "own_position", held, str(held)


def _retries(order: Any, session: Any) -> Outcome:
    """A transport that sends again what was not answered, signed anew."""
    first = _submit(order, session)
    if first.kind is not OutcomeKind.UNKNOWN:
        return first
    claimed_at = session.market_data.time()
    fresh = {"claimed_at": claimed_at, "fence_at": session.venue.profile.fence_at(claimed_at)}
    attempt = order.attempt.model_copy(update={"request": order.attempt.request.model_copy(update=fresh)})
    return _submit(order.model_copy(update={"attempt": attempt}), session)


def _reads_silence_as(kind: OutcomeKind) -> Callable[[Any, Any], Outcome]:
    """What is not understood is taken for an answer: an error page for a refusal, a redirect for nothing done."""

    def submit(order: Any, session: Any) -> Outcome:
        outcome = _submit(order, session)
        return outcome.model_copy(update={"kind": kind}) if outcome.kind is OutcomeKind.UNKNOWN else outcome

    return submit


def _signs_when_it_leaves(true_venue: Any, request: Any) -> Outcome:
    """The fenced field bears the time of sending, not that of the claim."""
    now = true_venue.time()
    fresh = {"fence_at": true_venue.profile.fence_at(now)}
    return _true_submit(true_venue, request.model_copy(update=fresh))


def _cancel_ends_it(session: Any, now: Any, failures: Any, flawed: Any) -> int:
    """Asked to cancel, so it is cancelled."""
    asked = _repeat_cancels(session, now, failures, flawed)
    for order in session.services.ledger.open_orders(session.document.account):
        if order.state in (OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED):
            updates.update_as_judged(
                session.services,
                order,
                now,
                lambda o, _, stamp: transitions._move(o, OrderState.CANCELLED, "cancelled", stamp, {}),
            )
    return asked


def _opens_with_what_it_trades(session: Any, views: Any) -> bool:
    """The books begin with the assets of the document alone, and others never enter them: they begin with nothing."""
    if not _open_books(session, views):
        return False
    ledger = session.services.ledger
    account = ledger.account(session.document.account)
    kept = {asset: held if asset in session.document.assets else ZERO for asset, held in account.opening.items()}
    ledger.save_account(account.bumped(opening=kept))
    return True


def _rounds_anything(*_: Any) -> Any:
    return balances.Range(low=Decimal(-1_000_000), high=Decimal(1_000_000))


def _is_profit(account: Any, flow: Any) -> Any:
    """What came to the account, some strategy has earned."""
    counted = _with_flow(account, flow)
    earned = flow.amounts.get("USD")
    if earned is None or not counted.positions:
        return counted
    strategy = min(counted.positions)
    symbol, position = min(counted.positions[strategy].items())
    richer = position.model_copy(update={"realised_pnl": position.realised_pnl + earned})
    held = {**counted.positions[strategy], symbol: richer}
    return counted.model_copy(update={"positions": {**counted.positions, strategy: held}})


def _counts_what_it_reads(services: Any, name: str, row: Any, *moves: Any) -> Any:
    """Reading with overlap counts with overlap."""
    again = services.ledger.flow(name, row.flow_id) is not None
    return _record(services, name, row.model_copy(update={"flow_id": f"{row.flow_id} again"}) if again else row, *moves)


def _drops_rows(*arguments: Any) -> Any:
    return _window(*arguments)._replace(unread=())


def _raises_at_once(_failures: Any, subject: str, symbol: Any, act: Any, otherwise: Any) -> Any:
    return act()


def _tries_once(_gaps: Any, symbol: str, what: str, read: Any) -> Any:
    return read()


def _asks_nobody(_session: Any, order: Any) -> Any:
    return resolve_order.Asked(None, (), order.attempt.request.claimed_at + timedelta(days=1))


_find_out, _settle, _claim = execute._find_out, transitions.settle, transitions.claim
_lost, _evaluate, _record_fill = InMemoryLedger._lost, evaluate, transitions.record_fill
_judge_absence, _release, _repeat_cancels = settling._judge_absence, transitions.release, pending.repeat_cancels

_open_books, _with_flow, _record, _window = reconcile._open_books, Account.with_flow, flows.record, windows._window
_submit, _true_submit = execute._submit, TrueVenue.submit

PIPELINE = (
    Mutation("sends again without proof of absence", ((execute, "_find_out", _sends_again),)),
    Mutation("settles without attempt or version", ((execute, "settle", _settles_anyway),)),
    Mutation("claims without the account's version", ((InMemoryLedger, "_lost", _loses("account", claims_only=True)),)),
    Mutation("judges the fence by the local clock", ((settling, "_judge_absence", _by_local_clock),)),
    Mutation("treats not found as rejected", ((settling, "_judge_absence", _not_found_is_rejected),)),
    Mutation("lets the unknown age into a rejection", ((settling, "_judge_absence", _ages_into_rejected),)),
    Mutation(
        "concludes absence before fence and grace",
        (
            (
                venues.VenueProfile,
                "absence_provable_from",
                lambda _, fence_at: fence_at and fence_at - timedelta(days=1),
            ),
        ),
    ),
    Mutation("sends without a last look at the switch", ((execute, "_guard", _guard_without_switch),)),
    Mutation("never releases a reservation", ((settling, "release", _never_releases),)),
    Mutation("releases a reservation twice", ((execute, "settle", _releases_at_once),)),
    Mutation("takes the slot from the clock", ((world, "evaluate", _slot_by_clock),)),
    Mutation(
        "acts on the message's body",
        ((execute, "claimable", lambda *_: True), (execute, "claim", _claims_what_the_message_says)),
    ),
    Mutation(
        "attaches without comparing",
        tuple((module, "same_order", lambda *_: True) for module in (resolve, reconciliation, execute)),
    ),
    Mutation("advances the cursor past an unread page", ((windows, "_window", _first_page),)),
    Mutation(
        "counts a fill twice", ((InMemoryLedger, "_lost", _loses("fill")), (reconcile, "next_cursor", _past_the_gap))
    ),
    Mutation("traps an exit behind a limit", ((risk, "EXIT_CHECKS", (*risk.EXIT_CHECKS, risk._reconciliation_age)),)),
    Mutation("stores a proof that raced", ((InMemoryLedger, "store_proof", _stores_any_proof),)),
    Mutation("lets the later decision win", ((InMemoryLedger, "record_decision", _later_decision_wins),)),
    Mutation("ignores fills of finished orders", ((fills, "record_fill", _ignores_late_fills),)),
    Mutation(
        "opens the gate without a proof",
        ((risk, "ENTRY_CHECKS", tuple(c for c in risk.ENTRY_CHECKS if c is not risk._reconciliation_age)),),
    ),
    Mutation(
        "claims under a stop", ((risk, "ENTRY_CHECKS", tuple(c for c in risk.ENTRY_CHECKS if c is not risk._stop)),)
    ),
    Mutation("forgets what other orders reserve", ((risk, "_reserved_buys", lambda *_: ZERO),)),
    Mutation("sells what another exit is selling", ((risk, "EXIT_CAPS", (_owns_all, risk._available_base)),)),
    Mutation("sends again what was not answered", ((execute, "_submit", _retries),)),
    Mutation("reads an error's body as a rejection", ((execute, "_submit", _reads_silence_as(OutcomeKind.REJECTED)),)),
    Mutation("takes a redirect for nothing done", ((execute, "_submit", _reads_silence_as(OutcomeKind.NOT_SENT)),)),
    Mutation("does not pin the fence to the claim", ((TrueVenue, "submit", _signs_when_it_leaves),)),
    Mutation("takes a cancel for its effect", ((reconcile, "repeat_cancels", _cancel_ends_it),)),
)

BESIDE = (
    Mutation("opens the books without what is held", ((reconcile, "_open_books", _opens_with_what_it_trades),), True),
    Mutation("takes any difference for rounding", ((balances, "_rounding", _rounds_anything),), True),
    Mutation("counts a flow as profit", ((Account, "with_flow", _is_profit),), True),
    Mutation("counts a flow twice", ((flows, "record", _counts_what_it_reads),), True),
    Mutation("drops an order's row that it cannot read", ((venue_view, "unread", lambda rows: ()),), True),
    Mutation("drops a trade's row that it cannot read", ((windows, "_window", _drops_rows),), True),
    Mutation(
        "lets one symbol stop the rest",
        ((findings.Failures, "kept", _raises_at_once), (gaps.Gaps, "tried", _tries_once)),
        True,
    ),
    Mutation("takes a person's word without asking the venue", ((resolve_order, "_ask", _asks_nobody),), True),
    Mutation("ends an incident whose fact stands", ((look, "_stands", lambda incident, session: None),), True),
)
MUTATIONS = (*PIPELINE, *BESIDE)
