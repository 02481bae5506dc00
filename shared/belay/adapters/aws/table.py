"""One DynamoDB table with keys pk and sk: reads, conditional writes, transactions. Knows no record of Belay.

Every item holds its record as JSON text in `body`; conditions and indexes look at the attributes beside it.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from belay.domain.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Attribute = str | int
WHOLE = re.compile(r"-?[0-9]{1,18}")
Action = dict[str, Any]

# How long a write waits, in seconds, while other transactions hold its items.
PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32)
CONTENTION = frozenset(
    {
        "TransactionConflictException",
        "TransactionInProgressException",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }
)


# The local index, and its sort key, of what still stands: only such items bear it.
STANDING = "standing"
# What lists an item: the keys of the indexes.
LISTED = frozenset({STANDING, "open_account", "open_since", "timeline_pk", "timeline_sk"})


class Item(NamedTuple):
    pk: str
    sk: str
    body: str
    attributes: Mapping[str, Attribute] = {}


class Condition(NamedTuple):
    """What must hold of the item that is stored under the same key."""

    expression: str
    values: Mapping[str, Attribute] = {}


ABSENT = Condition("attribute_not_exists(pk)")


class Part(NamedTuple):
    """One line of a transaction; `what` names it to whoever loses it."""

    what: str
    action: Action


class Lost(NamedTuple):
    """A part whose condition failed, and the item that is stored there, if any."""

    what: str
    stored: Item | None


class Table:
    """All reads but those of a global index are consistent. Errors other than lost conditions are botocore's."""

    def __init__(self, client: "DynamoDBClient", name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    @cached_property
    def table_id(self) -> str:
        """Changes when the table is restored or made again under the same name."""
        table = self._client.describe_table(TableName=self._name)["Table"]
        return table.get("TableId") or f"{table['TableArn']}@{table['CreationDateTime'].isoformat()}"

    # --- reads ------------------------------------------------------------------------------------

    def item(self, pk: str, sk: str) -> Item | None:
        answer = self._client.get_item(TableName=self._name, Key=_key(pk, sk), ConsistentRead=True)
        return _item(answer["Item"]) if "Item" in answer else None

    def body(self, pk: str, sk: str) -> str | None:
        found = self.item(pk, sk)
        return found.body if found is not None else None

    def partition(self, pk: str, prefix: str = "") -> Iterator[Item]:
        """The items of one partition whose sort key starts with `prefix`, by sort key."""
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition, values = "pk = :pk AND begins_with(sk, :prefix)", {":pk": pk, ":prefix": prefix}
        return self._query(condition, values, ConsistentRead=True)

    def standing(self, pk: str, prefix: str, most: int | None = None, *, latest: bool = False) -> Iterator[Item]:
        """The items of one partition that still stand, by the position that begins with `prefix`; the first `most`, or
        the `latest` ones, latest first."""
        options: dict[str, Any] = {"ScanIndexForward": False} if latest else {}
        if most is not None:
            options["Limit"] = most
        found = self._query(
            f"pk = :pk AND begins_with({STANDING}, :prefix)",
            {":pk": pk, ":prefix": prefix},
            IndexName=STANDING,
            ConsistentRead=True,
            **options,
        )
        return islice(found, most)

    def index(self, name: str, attribute: str, value: str) -> Iterator[Item]:
        """The items of one index partition, by its sort key; the last writes may still be missing."""
        return self._query(f"{attribute} = :value", {":value": value}, IndexName=name)

    def latest(self, name: str, attribute: str, value: str, limit: int) -> Iterator[Item]:
        """The last `limit` items of one index partition, latest first."""
        found = self._query(
            f"{attribute} = :value", {":value": value}, IndexName=name, ScanIndexForward=False, Limit=limit
        )
        return islice(found, limit)

    def set_aside(self, pk: str, sk: str) -> None:
        """An item is on no list any more, neither as standing nor in a global index. It is kept."""
        item = self.item(pk, sk)
        if item is not None:
            kept = {name: value for name, value in item.attributes.items() if name not in LISTED}
            self.put(item._replace(attributes=kept), Condition("body = :body", {":body": item.body}))

    def _query(self, condition: str, values: Mapping[str, Attribute], **options: Any) -> Iterator[Item]:
        """Page by page: DynamoDB ends a page at 1 MB or at `Limit`, whichever comes first."""
        while True:
            answer = self._client.query(
                TableName=self._name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=_wire(values),
                **options,
            )
            yield from map(_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            options["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # --- writes -----------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None, what: str = "item") -> list[Lost]:
        """Write one item if the condition holds.

        Returns:
            What lost, as `write` does; empty when it was written.

        Raises:
            Conflict: transactions of others kept holding the item; nothing was written.
        """
        arguments = self.putting(item, condition)["Put"]
        try:
            self._patiently(lambda: self._client.put_item(**arguments))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return [_lost(what, error.response)]
        return []

    def withdraw(self, pk: str, sk: str) -> None:
        """An item no longer stands, unless it was written anew since it was read here. It is kept."""
        item = self.item(pk, sk)
        if item is None:
            return
        kept = {name: value for name, value in item.attributes.items() if name != STANDING}
        self.put(item._replace(attributes=kept), Condition("body = :body", {":body": item.body}))

    def write(self, parts: list[Part]) -> list[Lost]:
        """Write all parts or none.

        The token makes a repetition of the very same parts within ten minutes succeed without writing again.

        Returns:
            The parts whose conditions failed, in order; empty when all were written.

        Raises:
            Conflict: transactions of others kept holding some item; nothing was written.
        """
        actions: list[Any] = [part.action for part in parts]
        token = hashlib.sha256(json.dumps(actions).encode()).hexdigest()[:32]
        try:
            self._patiently(lambda: self._client.transact_write_items(TransactItems=actions, ClientRequestToken=token))
        except ClientError as error:
            lost = [
                _lost(part.what, reason)
                for part, reason in zip(parts, _reasons(error), strict=False)
                if reason["Code"] == "ConditionalCheckFailed"
            ]
            if not lost:
                raise
            return lost
        return []

    def putting(self, item: Item, condition: Condition | None = None) -> Action:
        written = {"pk": item.pk, "sk": item.sk, "body": item.body, **item.attributes}
        attributes = {name: _value(value) for name, value in written.items()}
        return {"Put": {"TableName": self._name, "Item": attributes, **_conditional(condition)}}

    def checking(self, pk: str, sk: str, condition: Condition) -> Action:
        return {"ConditionCheck": {"TableName": self._name, "Key": _key(pk, sk), **_conditional(condition)}}

    def _patiently(self, write: Callable[[], object]) -> None:
        pauses = iter(PAUSES)
        while True:
            try:
                write()
            except ClientError as error:
                if not _contended(error):
                    raise
                pause = next(pauses, None)
                if pause is None:
                    raise Conflict("transaction") from error
                self._sleep(pause)
            else:
                return


def _contended(error: ClientError) -> bool:
    """Whether the write was refused only because another transaction was under way: it may be tried again."""
    codes = [error.response["Error"]["Code"], *(reason["Code"] for reason in _reasons(error))]
    return not CONTENTION.isdisjoint(codes)


def _reasons(error: ClientError) -> list[dict[str, Any]]:
    """Why each action of a cancelled transaction was refused, `None` as text for those that were not."""
    return error.response.get("CancellationReasons", [])  # type: ignore[return-value]


def _lost(what: str, refusal: Mapping[str, Any]) -> Lost:
    """Nothing is stored where a condition failed because there was nothing."""
    return Lost(what, _item(refusal["Item"]) if "Item" in refusal else None)


def _conditional(condition: Condition | None) -> dict[str, Any]:
    if condition is None:
        return {}
    values = {"ExpressionAttributeValues": _wire(condition.values)} if condition.values else {}
    return {
        "ConditionExpression": condition.expression,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **values,
    }


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _wire(values: Mapping[str, Attribute]) -> dict[str, Any]:
    return {name: _value(value) for name, value in values.items()}


def _value(value: Attribute) -> dict[str, str]:
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _item(wire: Mapping[str, Any]) -> Item:
    """An item as text and whole numbers; what is stored as something else is its text, and no body an empty one."""
    attributes = {name: _plain(value) for name, value in wire.items()}
    return Item(str(attributes.pop("pk")), str(attributes.pop("sk")), str(attributes.pop("body", "")), attributes)


def _plain(value: Mapping[str, Any]) -> Attribute:
    number = value.get("N", "")
    if WHOLE.fullmatch(number):
        return int(number)
    return str(value.get("S", value))
