"""Any history of writes, stale and repeated ones too, leaves every ledger with the same answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from belay.adapters.aws.ledger import DynamoLedger
from belay.adapters.memory.ledger import InMemoryLedger
from belay.domain.account import Account
from belay.domain.decisions import Cancel, DecisionRecord
from belay.domain.errors import BelayError, Conflict
from belay.domain.orders import Order
from belay.domain.transitions import Change, Stamp, lapse, note, observe, record_fill, release
from belay.ports import CancelRequest, Cursor, Ledger, Suspicion
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    STRATEGY,
    SYMBOL,
    make_buy,
    make_claim,
    make_configuration,
    make_decision,
    make_events,
    make_flow,
    make_incident,
    make_orders,
    make_proof,
    make_requirement,
    make_slot,
    make_stamp,
    make_stop,
    make_tick,
    make_trade,
    make_venue_order,
    seconds,
)
from tests.contract.conftest import TABLES

SLOTS = range(3)
Step = tuple[str, int, bool]


@dataclass
class Writer:
    """One writer at one ledger. It acts on what it reads now or, when stale, on what it read before."""

    ledger: Ledger
    number: int = 0
    read: dict[str, Any] = field(default_factory=dict)
    last: Change | None = None

    def take(self, step: Step) -> str:
        """Take one step; gives what came of it."""
        name, which, stale = step
        self.number += 1
        try:
            return repr(STEPS[name](self, which, stale))
        except Conflict as lost:
            return f"conflict: {lost.what}"
        except BelayError as refused:
            return type(refused).__name__

    def stamp(self) -> Stamp:
        return make_stamp(f"write-{self.number}", recorded_at=NOW + seconds(self.number))

    def order(self, which: int, stale: bool) -> Order | None:
        order: Order | None = self._reading(f"order {which}", stale, lambda: self.ledger.order(order_id(which)))
        return order

    def account(self, stale: bool) -> Account:
        account: Account = self._reading("account", stale, lambda: self.ledger.account(ACCOUNT))
        return account

    def _reading(self, what: str, stale: bool, read: Callable[[], Any]) -> Any:
        if not stale or what not in self.read:
            self.read[what] = read()
        return self.read[what]

    def commit(self, change: Change | None) -> None:
        if change is not None:
            self.last = change
            self.ledger.commit(change)


def decision(which: int) -> DecisionRecord:
    return make_decision(make_buy(), Cancel(order_id="a" * 32, reason="stale"), slot=make_slot(which))


def order_id(which: int) -> str:
    return next(found for found in decision(which).order_ids if found)


def decide(writer: Writer, which: int, _stale: bool) -> DecisionRecord:
    record = decision(which).model_copy(update={"write_id": f"write-{writer.number}"})
    orders = make_orders(record)
    return writer.ledger.record_decision(record, orders, make_events(record, orders))


def claim(writer: Writer, which: int, stale: bool) -> None:
    proof = writer.ledger.proof(ACCOUNT, FINGERPRINT) if which else None
    needed = make_requirement(
        proof_fingerprint=FINGERPRINT if which else None, proof_completed_at=proof.completed_at if proof else None
    )
    if order := writer.order(which, stale):
        write_id = f"write-{writer.number}"
        writer.commit(make_claim(order, writer.account(stale), write_id=write_id, requirement=needed))


def see(writer: Writer, which: int, stale: bool) -> None:
    if order := writer.order(which, stale):
        seen = make_venue_order(order, venue_order_id=f"V{which // 2}")
        writer.commit(observe(order, writer.account(stale), seen, "seen", writer.stamp()))


def fill(writer: Writer, which: int, stale: bool) -> None:
    if order := writer.order(which, stale):
        trade = make_trade(f"T{writer.number % 2}", venue_order_id=f"V{which // 2}", quantity="0.05")
        writer.commit(record_fill(order, writer.account(stale), trade, writer.stamp()))


def remark(writer: Writer, which: int, stale: bool) -> None:
    if order := writer.order(which, stale):
        writer.commit(note(order, "remark", writer.stamp(), {"number": writer.number}))


def settle(writer: Writer, which: int, stale: bool) -> None:
    if order := writer.order(which, stale):
        writer.commit(release(order, writer.account(stale), writer.stamp(), "explained"))


def expire(writer: Writer, which: int, stale: bool) -> None:
    if order := writer.order(which, stale):
        writer.commit(lapse(order, writer.stamp(), "expired", asked_for=False))


def repeat(writer: Writer, _which: int, _stale: bool) -> None:
    writer.commit(writer.last)


def stop(writer: Writer, which: int, stale: bool) -> None:
    writer.ledger.save_account(writer.account(stale).with_stop(make_stop(author=f"operator-{which}")))


def configure(writer: Writer, which: int, _stale: bool) -> None:
    stored = writer.ledger.configuration(ACCOUNT)
    version = stored.version if stored else 0
    writer.ledger.store_configuration(make_configuration(version + which, balance_tolerance={"USD": which}))


def prove(writer: Writer, which: int, stale: bool) -> None:
    version = writer.account(stale).version
    writer.ledger.store_proof(make_proof(completed_at=NOW + seconds(which), account_version=version))


def receive(writer: Writer, which: int, stale: bool) -> None:
    flow = make_flow(f"deposit:{which}", USD=str(writer.number))
    writer.ledger.record_flow(flow, writer.account(stale).with_flow(flow))


def find(writer: Writer, which: int, _stale: bool) -> None:
    writer.ledger.store_unattributed(ACCOUNT, make_trade(f"T{which}", venue_order_id="V0", quantity="0.05"))


def advance(writer: Writer, which: int, _stale: bool) -> None:
    cursor = Cursor(symbol=SYMBOL, read_until=NOW + seconds(which), recent_keys=(str(writer.number),))
    writer.ledger.store_cursor(ACCOUNT, cursor)


def schedule(writer: Writer, which: int, _stale: bool) -> None:
    writer.ledger.register_schedule(make_tick(scheduled_time=NOW + seconds(which)))


def cancel(writer: Writer, which: int, stale: bool) -> None:
    if stale:
        return writer.ledger.clear_cancel(ACCOUNT, order_id(which))
    request = CancelRequest(account=ACCOUNT, order_id=order_id(which), reason="x", requested_at=NOW)
    return writer.ledger.request_cancel(request)


def suspect(writer: Writer, which: int, stale: bool) -> object:
    incident = make_incident(subject=f"asset {which}", opened_at=NOW + seconds(writer.number))
    if stale:
        writer.ledger.resolve_incident(ACCOUNT, incident.incident_id, f"by {writer.number}")
        return None
    suspicion = Suspicion(account=ACCOUNT, first_seen={incident.incident_id: NOW + seconds(writer.number)})
    writer.ledger.store_suspicion(suspicion)
    return writer.ledger.open_incident(incident)


STEPS: dict[str, Callable[[Writer, int, bool], object]] = {
    step.__name__: step
    for step in (
        *(decide, claim, see, fill, remark, settle, expire, repeat),
        *(stop, configure, prove, receive, find, advance, schedule, cancel, suspect),
    )
}


def answers(ledger: Ledger) -> dict[str, object]:
    """Everything that a ledger can be asked about the sample account."""
    orders = [order_id(which) for which in SLOTS]
    return {
        "accounts": ledger.accounts(),
        "configuration": ledger.configuration(ACCOUNT),
        "account": ledger.account(ACCOUNT),
        "decisions": ledger.decisions(ACCOUNT, STRATEGY, 2),
        "stories": [ledger.story(decision(which).decision_id) for which in SLOTS],
        "schedules": ledger.schedules(ACCOUNT),
        "each order": [ledger.order(order) for order in orders],
        "open orders": ledger.open_orders(ACCOUNT),
        "orders": ledger.orders(ACCOUNT, 2),
        "fills": ledger.fills(ACCOUNT, 3),
        "venue orders": [ledger.order_of_venue_id(ACCOUNT, SYMBOL, venue_id) for venue_id in ("V0", "V1")],
        "proof": ledger.proof(ACCOUNT, FINGERPRINT),
        "last proof": ledger.last_proof(ACCOUNT),
        "flows": [ledger.flow(ACCOUNT, f"deposit:{which}") for which in SLOTS],
        "latest flows": ledger.flows(ACCOUNT, 2),
        "cursor": ledger.cursor(ACCOUNT, SYMBOL),
        "unattributed": ledger.unattributed_trades(ACCOUNT),
        "loose": ledger.loose_trades(ACCOUNT, SYMBOL, 2),
        "cancels": ledger.cancel_requests(ACCOUNT),
        "suspicion": ledger.suspicion(ACCOUNT),
        "incidents": ledger.incidents(ACCOUNT),
        "open incidents": ledger.open_incidents(ACCOUNT),
    }


STEPS_OF_A_HISTORY = 150
WEIGHTS = {"claim": 4, "fill": 4, "see": 3, "repeat": 2, "decide": 2}


def history(seed: int) -> list[Step]:
    """A random history: mostly of orders, with one write in four based on an old reading."""
    chance = Random(seed)
    names = chance.choices(list(STEPS), [WEIGHTS.get(name, 1) for name in STEPS], k=STEPS_OF_A_HISTORY)
    return [(name, chance.choice(SLOTS), chance.random() < 0.25) for name in ("configure", *names)]


@pytest.mark.parametrize("seed", range(6))
def test_every_ledger_gives_the_same_answers_after_the_same_history(dynamodb: Any, seed: int) -> None:
    writers = [Writer(InMemoryLedger()), Writer(DynamoLedger(dynamodb, TABLES))]
    for step in history(seed):
        in_memory, stored = (writer.take(step) for writer in writers)
        assert in_memory == stored, step
    in_memory_answers, stored_answers = (answers(writer.ledger) for writer in writers)
    assert in_memory_answers == stored_answers
