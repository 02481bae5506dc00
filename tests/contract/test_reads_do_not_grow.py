"""What a run of the reconciler reads of the real tables depends on what is open and new, never on what there was."""

from typing import Any

import pytest

from belay.adapters.aws import items
from belay.adapters.aws.ledger import DynamoLedger
from belay.adapters.aws.table import Item
from tests.builders import ACCOUNT, NOW, make_incident, make_trade, seconds
from tests.contract.conftest import TABLES
from tests.world import World


class Counting:
    """A client that counts the requests for items, and the items that come."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.read: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def run(**request: Any) -> Any:
            answer = call(**request)
            if name in ("get_item", "query"):
                self.read.append((name, len(answer.get("Items", [])) + ("Item" in answer)))
            return answer

        return run if callable(call) else call


def put(client: Any, table: str, item: Item) -> None:
    """As it is, whatever lies there."""
    attributes = {"pk": item.pk, "sk": item.sk, "body": item.body, **item.attributes}
    wire = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
    client.put_item(TableName=table, Item=wire)


def read_by_a_run(client: Any, orders: int, incidents: int, foreign: int) -> list[tuple[str, int]]:
    """What the run of a quiet minute asks for, in an account with so many settled orders with a fill each, resolved
    incidents, and trades of nobody."""
    counting = Counting(client)
    world: Any = World()
    world.ledger = DynamoLedger(counting, TABLES)  # type: ignore[arg-type]
    world.configure(world.document)
    assert world.reconcile().clean
    bought = world.buy()
    world.deliver()
    world.minutes(3)
    (order,), (fill,) = world.ledger.orders(ACCOUNT, 1), world.ledger.fills(ACCOUNT, 1)
    assert order.settled
    for number in range(orders):
        names = {"order_id": f"{number:032x}", "decision_id": f"{order.decision_id}.{number}"}
        put(client, TABLES.ledger, items.order(order.model_copy(update=names)))
        put(client, TABLES.ledger, items.pointer(order.model_copy(update=names)))
        put(client, TABLES.ledger, items.fill(fill.model_copy(update=names)))
        put(client, TABLES.accounts, items.owner(order.model_copy(update=names), f"old-{number}"))
    for number in range(incidents):
        resolved = make_incident(subject=f"A{number}").model_copy(update={"status": "resolved", "resolution": "seen"})
        put(client, TABLES.accounts, items.incident(resolved))
    for number in range(foreign):
        put(client, TABLES.accounts, items.unattributed(ACCOUNT, make_trade(f"F{number}", at=NOW - seconds(number))))
    world.minutes(3)
    counting.read.clear()
    world.advance(minutes=1)
    world.reconcile()
    assert world.order(bought.order_id).settled
    return counting.read


def test_r40_r41_a_run_reads_as_many_items_of_a_large_account_as_of_a_small_one(dynamodb: Any) -> None:
    small = read_by_a_run(dynamodb, 10, 0, 10)
    for table in TABLES:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                dynamodb.delete_item(TableName=table, Key={key: item[key] for key in ("pk", "sk")})
    large = read_by_a_run(dynamodb, 1_000, 250, 200)
    assert len(small) == len(large)
    assert sum(count for _, count in small) == sum(count for _, count in large)
    assert small == large


@pytest.mark.parametrize("kind", ["get_item", "query"])
def test_the_count_notices_what_is_read(dynamodb: Any, kind: str) -> None:
    assert kind in {name for name, _ in read_by_a_run(dynamodb, 1, 0, 0)}
