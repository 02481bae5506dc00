"""The table of who may write what, against the requests that the real ledger sends."""

from collections.abc import Callable
from typing import Any

import pytest

from belay.adapters.aws.ledger import DynamoLedger
from belay.domain.account import OperatorStops, StopLevel
from belay.domain.adoption import Terms, take_over
from belay.domain.chain import Acceptance, Anchor
from belay.domain.decisions import Cancel
from belay.domain.orders import Order
from belay.ports import CancelRequest, Cursor, Ledger, RefusedEvent, Suspicion
from tests.builders import (
    ACCOUNT,
    NOW,
    PRICE,
    STRATEGY,
    SYMBOL,
    make_account,
    make_buy,
    make_claim,
    make_configuration,
    make_decision,
    make_entry,
    make_events,
    make_flow,
    make_incident,
    make_orders,
    make_proof,
    make_stamp,
    make_stop,
    make_tick,
    make_trade,
    make_venue_order,
)
from tests.contract.conftest import TABLES
from tests.contract.situations import claimed, configured, decided
from tests.rights import WRITES, Forbidden, Restricted, written_by

WRITING = ("put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items")


class Listening:
    """A client that tells which tables were written."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.written: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def run(**request: Any) -> Any:
            if name == "transact_write_items":
                actions = [action for item in request["TransactItems"] for action in item.items()]
                self.written |= {body["TableName"] for kind, body in actions if kind != "ConditionCheck"}
            elif name in WRITING:
                self.written.add(request["TableName"])
            return call(**request)

        return run if callable(call) else call


CANCEL = CancelRequest(account=ACCOUNT, order_id="a", reason="stale", requested_at=NOW)
REFUSED = RefusedEvent(account=ACCOUNT, field="tick", problem="bad", received="{}", at=NOW)


def commit(ledger: Ledger) -> None:
    configured(ledger)
    order = decided(ledger)
    ledger.commit(make_claim(order, ledger.account(ACCOUNT)))


def record_decision(ledger: Ledger) -> None:
    record = make_decision()
    orders = make_orders(record)
    ledger.record_decision(record, orders, make_events(record, orders))


def accept(ledger: Ledger) -> None:
    order: Order = claimed(ledger)
    acceptance = Acceptance(anchor=Anchor.of(order), author="ann", reason="looked at", at=NOW)
    ledger.accept_history(acceptance, order.decision_id)


def drop_schedule(ledger: Ledger) -> None:
    ledger.register_schedule(make_tick())
    ledger.drop_schedule(make_tick())


def clear_refused(ledger: Ledger) -> None:
    ledger.refuse(REFUSED)
    ledger.clear_refused(REFUSED)


def clear_cancel(ledger: Ledger) -> None:
    ledger.request_cancel(CANCEL)
    record = make_decision(make_buy(), Cancel(order_id="a", reason="stale"))
    orders = make_orders(record)
    ledger.record_decision(record, orders, make_events(record, orders))
    ledger.clear_cancel(ACCOUNT, "a")


def drop_unattributed(ledger: Ledger) -> None:
    ledger.store_unattributed(ACCOUNT, make_trade())
    ledger.drop_unattributed(ACCOUNT, make_trade())


def resolve(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    ledger.resolve_incident(ACCOUNT, make_incident().incident_id, "seen")


def follow(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    ledger.follow_incident(make_incident(actual="9980 USD"))


CALLS: dict[str, Callable[[Ledger], Any]] = {
    "store_configuration": lambda ledger: ledger.store_configuration(make_configuration()),
    "save_operator_stops": lambda ledger: ledger.save_operator_stops(
        OperatorStops(account=ACCOUNT).with_stop(make_stop())
    ),
    "record_decision": record_decision,
    "register_schedule": lambda ledger: ledger.register_schedule(make_tick()),
    "drop_schedule": drop_schedule,
    "refuse": lambda ledger: ledger.refuse(REFUSED),
    "clear_refused": clear_refused,
    "set_aside": lambda ledger: ledger.set_aside(claimed(ledger).order_id),
    "restore_pointer": lambda ledger: ledger.restore_pointer(claimed(ledger)),
    "request_cancel": lambda ledger: ledger.request_cancel(CANCEL),
    "clear_cancel": clear_cancel,
    "commit": commit,
    "save_account": lambda ledger: ledger.save_account(make_account().bumped()),
    "accept_history": accept,
    "store_proof": lambda ledger: ledger.store_proof(make_proof()),
    "store_cursor": lambda ledger: ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW)),
    "store_unattributed": lambda ledger: ledger.store_unattributed(ACCOUNT, make_trade()),
    "drop_unattributed": drop_unattributed,
    "store_suspicion": lambda ledger: ledger.store_suspicion(Suspicion(account=ACCOUNT, first_seen={})),
    "open_incident": lambda ledger: ledger.open_incident(make_incident()),
    "follow_incident": follow,
    "resolve_incident": resolve,
    "append_incident_entry": lambda ledger: ledger.append_incident_entry(make_entry()),
    "record_flow": lambda ledger: ledger.record_flow(make_flow(), make_account().with_flow(make_flow())),
}


class Recording:
    """A ledger that tells which tables one of its calls wrote."""

    def __init__(self, ledger: Ledger, client: Listening, watched: str) -> None:
        self._ledger, self._client, self._watched = ledger, client, watched
        self.tables: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if name != self._watched:
            return found

        def run(*args: Any, **kwargs: Any) -> Any:
            self._client.written.clear()
            answer = found(*args, **kwargs)
            self.tables |= self._client.written
            return answer

        return run


@pytest.mark.parametrize("call", WRITES)
def test_each_call_writes_exactly_the_tables_that_are_said(dynamodb: Any, call: str) -> None:
    client: Any = Listening(dynamodb)
    ledger: Any = Recording(DynamoLedger(client, TABLES), client, call)
    CALLS[call](ledger)
    assert ledger.tables == WRITES[call]


def test_adopting_an_order_writes_the_account_as_well(dynamodb: Any) -> None:
    client: Any = Listening(dynamodb)
    ledger = DynamoLedger(client, TABLES)
    ledger.save_account(make_account().with_stop(make_stop(level=StopLevel.REDUCE_ONLY)))
    terms = Terms(
        stage="dev", strategy=STRATEGY, author="ann", at=NOW, cost_rate=0, configuration_version=1, layer_version="l"
    )
    seen = make_venue_order(client_order_id="cron-1", limit_price=PRICE)
    stops = OperatorStops(account=ACCOUNT)
    taken = take_over(seen, PRICE, ledger.account(ACCOUNT), stops, terms, make_stamp())
    arguments = (taken.record, (taken.order,), (taken.event,), taken.account)
    client.written.clear()
    ledger.record_decision(*arguments)
    assert client.written == written_by("record_decision", arguments, {}) == {"ledger", "accounts"}


def test_every_call_that_is_not_listed_writes_nothing(ledger: Ledger) -> None:
    calls = {name for name in dir(Ledger) if not name.startswith("_")} - {"table_id"}
    assert WRITES.keys() == CALLS.keys()
    assert WRITES.keys() <= calls
    reads = {"account", "accounts", "configuration", "cursor", "decision", "decisions", "fills", "history", "incident"}
    reads |= {"incidents", "open_incidents", "open_orders", "operator_stops", "order", "order_of_venue_id", "orders"}
    reads |= {"flow", "flows", "last_proof"}
    reads |= {
        "proof",
        "refused_events",
        "unreadable",
        "later",
        "is_later",
        "schedules",
        "story",
        "suspicion",
        "unattributed_trades",
        "cancel_requests",
        "loose_trades",
        "incident_history",
    }
    assert calls - WRITES.keys() == reads


def test_a_call_beyond_a_functions_rights_is_refused(ledger: Ledger) -> None:
    evaluator: Any = Restricted(ledger, "evaluator")
    with pytest.raises(Forbidden, match="the evaluator may not write the accounts table: open_incident"):
        evaluator.open_incident(make_incident())
    with pytest.raises(Forbidden, match="configuration"):
        Restricted(ledger, "reconciler").save_operator_stops(OperatorStops(account=ACCOUNT))
    assert evaluator.incidents(ACCOUNT) == ()
