"""Markets kept in the paper venue's table, beside what a venue remembers, so that a cold start need not list them all.

    MARKETS#<key>   MARKETS

Only a convenience: what cannot be read or written is as if it had not been there. The evaluator's role may not write.
"""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Below DynamoDB's bound of 400 KB for an item.
MAX_BYTES = 380_000
SORT_KEY = "MARKETS"


class DynamoMarketCache:
    """Implements `live.account_market.MarketCache`."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def load(self, key: str) -> str | None:
        try:
            answer = self._client.get_item(TableName=self._table, Key=_key(key))
        except (BotoCoreError, ClientError):
            return None
        return answer.get("Item", {}).get("body", {}).get("S")

    def store(self, key: str, text: str) -> None:
        if len(text.encode()) > MAX_BYTES:
            return
        try:
            self._client.put_item(TableName=self._table, Item={**_key(key), "body": {"S": text}})
        except (BotoCoreError, ClientError):
            return


def _key(key: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"MARKETS#{key}"}, "sk": {"S": SORT_KEY}}
