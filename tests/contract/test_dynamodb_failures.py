"""What DynamoDB does that a dictionary does not: lost responses, transactions in each other's way, throttling."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from belay.adapters.aws import items, keys
from belay.adapters.aws.ledger import DynamoLedger, Tables
from belay.adapters.aws.table import PAUSES, STANDING
from belay.adapters.records import trade_position
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict
from belay.domain.orders import OrderState
from belay.domain.transitions import note
from belay.ports import Ledger
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    QUANTITY,
    SYMBOL,
    make_account,
    make_claim,
    make_configuration,
    make_decision,
    make_events,
    make_hold,
    make_incident,
    make_orders,
    make_proof,
    make_stamp,
    make_stop,
    make_trade,
)
from tests.contract.conftest import TABLES, make_tables
from tests.contract.situations import configured, decided, filled

WRITES = ("put_item", "transact_write_items")


class SentTwice:
    """A network that loses the first answer to each write, so that the SDK sends the same request again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return self._twice(call) if name in WRITES else call

    def _twice(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(**request: Any) -> Any:
            call(**request)
            return call(**request)

        return run


class Refusing:
    """A table that refuses the next writes with these errors."""

    def __init__(self, client: Any, *errors: ClientError) -> None:
        self._client = client
        self.errors = list(errors)
        self.tokens: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return self._refusing(call) if name in WRITES else call

    def _refusing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(**request: Any) -> Any:
            self.tokens.append(request.get("ClientRequestToken", ""))
            if self.errors:
                raise self.errors.pop(0)
            return call(**request)

        return run


def cancelled(*codes: str) -> ClientError:
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
        "CancellationReasons": [{"Code": code} for code in codes],
    }
    return ClientError(response, "TransactWriteItems")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "refused"}}, "PutItem")


@pytest.fixture
def twice(dynamodb: Any) -> Ledger:
    client: Any = SentTwice(dynamodb)
    return DynamoLedger(client, TABLES)


# --- lost responses -------------------------------------------------------------------------------


def test_a_decision_whose_answer_was_lost_is_known_to_be_stored(twice: Ledger) -> None:
    assert twice.record_decision(make_hold(), (), ()) == make_hold()
    record = make_decision(slot=make_hold().slot.model_copy(update={"strategy": "other"}))
    orders = make_orders(record)
    assert twice.record_decision(record, orders, make_events(record, orders)) == record


def test_a_claim_whose_answer_was_lost_is_known_to_have_won(twice: Ledger) -> None:
    configured(twice)
    order = decided(twice)
    twice.commit(make_claim(order))
    stored = twice.order(order.order_id)
    assert stored is not None
    assert (stored.state, stored.version) == (OrderState.SUBMITTED, 1)
    assert twice.account(ACCOUNT).version == 1


def test_a_fill_whose_answer_was_lost_is_counted_once(twice: Ledger) -> None:
    twice.commit(filled(twice))
    assert twice.account(ACCOUNT).symbol_quantity(SYMBOL) == QUANTITY
    assert len(twice.fills(ACCOUNT, 10)) == 1


def test_account_configuration_proof_and_incident_whose_answers_were_lost_are_known_to_be_stored(
    twice: Ledger,
) -> None:
    twice.store_configuration(make_configuration())
    twice.store_proof(make_proof())
    twice.save_account(make_account().with_stop(make_stop()))
    assert twice.open_incident(make_incident())
    twice.resolve_incident(ACCOUNT, make_incident().incident_id, "found")
    assert twice.configuration(ACCOUNT) == make_configuration()
    assert twice.proof(ACCOUNT, FINGERPRINT) == make_proof()
    assert twice.account(ACCOUNT).version == 1
    assert [incident.resolution for incident in twice.incidents(ACCOUNT)] == ["found"]


def test_a_claim_that_lost_to_another_is_not_mistaken_for_one_that_won(dynamodb: Any, twice: Ledger) -> None:
    configured(twice)
    order = decided(twice)
    DynamoLedger(dynamodb, TABLES).commit(make_claim(order, write_id="the-winner"))
    with pytest.raises(Conflict, match="order"):
        twice.commit(make_claim(order, write_id="the-loser"))


# --- contention -----------------------------------------------------------------------------------


def test_a_transaction_in_the_way_of_another_is_tried_again_after_a_pause(dynamodb: Any) -> None:
    slept: list[float] = []
    client: Any = Refusing(dynamodb)
    ledger = DynamoLedger(client, TABLES, slept.append)
    configured(ledger)
    order = decided(ledger)
    client.tokens.clear()
    client.errors = [cancelled("None", "TransactionConflict"), cancelled("ThrottlingError", "None")]
    ledger.commit(make_claim(order))
    assert slept == list(PAUSES[:2])
    assert len(client.tokens) == 3
    assert len(set(client.tokens)) == 1


def test_a_transaction_that_stays_in_the_way_is_a_conflict_in_the_end(dynamodb: Any) -> None:
    slept: list[float] = []
    client: Any = Refusing(dynamodb)
    ledger = DynamoLedger(client, TABLES, slept.append)
    configured(ledger)
    order = decided(ledger)
    client.errors = [cancelled("TransactionConflict", "None")] * 20
    with pytest.raises(Conflict) as lost:
        ledger.commit(make_claim(order))
    assert lost.value.what == "transaction"
    assert slept == list(PAUSES)


def test_a_part_that_lost_counts_only_when_no_other_transaction_was_under_way(dynamodb: Any) -> None:
    client: Any = Refusing(dynamodb)
    ledger = DynamoLedger(client, TABLES, lambda _seconds: None)
    client.errors = [cancelled("TransactionConflict", "ConditionalCheckFailed")]
    record = make_decision()
    assert decided(ledger, record).decision_id == record.decision_id


@pytest.mark.parametrize("code", ["TransactionConflictException", "TransactionInProgressException"])
def test_a_put_that_meets_a_transaction_is_tried_again(dynamodb: Any, code: str) -> None:
    client: Any = Refusing(dynamodb, refused(code))
    ledger = DynamoLedger(client, TABLES, lambda _seconds: None)
    ledger.save_account(make_account().bumped())
    assert ledger.account(ACCOUNT).version == 1


def test_an_error_that_says_nothing_about_conditions_is_raised_as_it_is(dynamodb: Any) -> None:
    client: Any = Refusing(dynamodb, refused("AccessDeniedException"), cancelled("ValidationError"))
    ledger = DynamoLedger(client, TABLES, lambda _seconds: None)
    with pytest.raises(ClientError, match="AccessDenied"):
        ledger.save_account(make_account().bumped())
    with pytest.raises(ClientError, match="TransactionCanceled"):
        ledger.store_configuration(make_configuration())


def test_different_changes_never_share_a_token(dynamodb: Any) -> None:
    client: Any = Refusing(dynamodb)
    ledger = DynamoLedger(client, TABLES)
    configured(ledger)
    order = decided(ledger)
    client.tokens.clear()
    ledger.commit(note(order, "one", make_stamp("same-writer"), {}))
    with pytest.raises(Conflict):
        ledger.commit(note(order, "another", make_stamp("other-writer"), {}))
    assert len(set(client.tokens)) == 2
    assert all(0 < len(token) <= 36 for token in client.tokens)


# --- the table itself -----------------------------------------------------------------------------


def test_the_table_id_changes_when_any_of_the_tables_is_made_again(dynamodb: Any) -> None:
    first = DynamoLedger(dynamodb, TABLES).table_id
    assert first == DynamoLedger(dynamodb, TABLES).table_id
    make_tables(dynamodb, Tables("restored", "restored-accounts", "restored-configuration"))
    for restored in (
        TABLES._replace(ledger="restored"),
        TABLES._replace(accounts="restored-accounts"),
        TABLES._replace(configuration="restored-configuration"),
    ):
        assert DynamoLedger(dynamodb, restored).table_id != first


def test_every_version_of_a_configuration_stays_in_the_table(dynamodb: Any) -> None:
    ledger = DynamoLedger(dynamodb, TABLES)
    kept = [make_configuration(version, balance_tolerance={"USD": version}) for version in (1, 2, 3)]
    for configuration in kept:
        ledger.store_configuration(configuration)
    history = dynamodb.query(
        TableName=TABLES.configuration,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": f"ACCOUNT#{ACCOUNT}"}, ":prefix": {"S": "CONFIG#v"}},
    )
    assert [Configuration.model_validate_json(item["body"]["S"]) for item in history["Items"]] == kept


def test_a_loose_trade_that_an_older_version_stored_by_time_is_still_found(dynamodb: Any) -> None:
    ledger = DynamoLedger(dynamodb, TABLES)
    old, new = make_trade("T1"), make_trade("T2", at=NOW + timedelta(seconds=9))
    ledger.store_unattributed(ACCOUNT, new)
    item = items.unattributed(ACCOUNT, old)
    ledger._accounts.put(item._replace(attributes={STANDING: f"{keys.UNATTRIBUTED}{trade_position(old)}"}))
    assert ledger.loose_trades(ACCOUNT, old.symbol, 5) == (new, old)
