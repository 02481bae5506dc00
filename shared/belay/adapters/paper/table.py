"""The paper venue's books in a DynamoDB table of its own. Knows no record: `store` says what lies under which key."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import batched, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from belay.adapters.aws.table import ABSENT, Condition, Item, Part, Table
from belay.adapters.paper.store import PaperStore, Put
from belay.domain.errors import Conflict, VenueUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoPaperStore(PaperStore):
    """The books in the paper venue's own DynamoDB table, with keys `pk` and `sk`."""

    def __init__(self, client: "DynamoDBClient", table_name: str, account: str) -> None:
        super().__init__(account)
        self._table = _PaperTable(client, table_name)

    def _get(self, pk: str, sk: str) -> str | None:
        with _answering():
            return self._table.body(pk, sk)

    def _span(self, pk: str, low: str, high: str, limit: int, *, newest: bool = False) -> list[tuple[str, str]]:
        with _answering():
            found = self._table.span(pk, low or " ", high, limit, newest=newest)
            return [(item.sk, item.body) for item in found]

    def _write(self, puts: Sequence[Put]) -> None:
        with _answering():
            lost = self._table.write([Part(put.sk, self._table.putting(_item(put), _condition(put))) for put in puts])
        if lost:
            raise Conflict(f"paper {lost[0].what}")

    def _load(self, puts: Sequence[Put]) -> None:
        with _answering():
            for batch in batched(puts, 25, strict=False):
                self._table.load([_item(put) for put in batch])


class _PaperTable(Table):
    """What the paper venue asks of a table beyond what the ledger does."""

    def span(self, pk: str, low: str, high: str, limit: int, *, newest: bool) -> Iterator[Item]:
        """Up to `limit` items of one partition with low <= sort key <= high."""
        found = self._query(
            "pk = :pk AND sk BETWEEN :low AND :high",
            {":pk": pk, ":low": low, ":high": high},
            ConsistentRead=True,
            ScanIndexForward=not newest,
            Limit=limit,
        )
        return islice(found, limit)

    def load(self, items: Sequence[Item]) -> None:
        """Write up to 25 items unconditionally, again and again those that were throttled."""
        left: list[Any] = [{"PutRequest": {"Item": self.putting(item)["Put"]["Item"]}} for item in items]
        while left:
            answer = self._client.batch_write_item(RequestItems={self._name: left})
            left = answer.get("UnprocessedItems", {}).get(self._name, [])
            if left:
                self._sleep(0.2)


def _item(put: Put) -> Item:
    return Item(put.pk, put.sk, put.body, {} if put.over is None else {"version": put.over + 1})


def _condition(put: Put) -> Condition | None:
    if put.over is None:
        return None
    return Condition("version = :over", {":over": put.over}) if put.over else ABSENT


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise VenueUnavailable(f"the paper venue's table gave no answer: {error}") from error
