"""The market cache in DynamoDB: it keeps what fits, and is never in the way."""

from typing import Any

import boto3
from botocore.config import Config

from belay.adapters.aws.market_cache import MAX_BYTES, DynamoMarketCache
from tests.contract.conftest import aws_client

TABLE = "paper"


def make_paper_table(client: Any) -> None:
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


def test_what_was_stored_last_is_loaded(aws: None) -> None:
    client = aws_client("dynamodb")
    make_paper_table(client)
    cache = DynamoMarketCache(client, TABLE)
    assert cache.load("key") is None
    for text in ("first", "second"):
        cache.store("key", text)
    assert DynamoMarketCache(client, TABLE).load("key") == "second"
    assert cache.load("another") is None


def test_what_does_not_fit_into_an_item_is_not_kept(aws: None) -> None:
    client = aws_client("dynamodb")
    make_paper_table(client)
    cache = DynamoMarketCache(client, TABLE)
    cache.store("key", "x" * MAX_BYTES)
    cache.store("key", "y" * (MAX_BYTES + 1))
    assert cache.load("key") == "x" * MAX_BYTES


def test_a_table_that_may_not_be_used_is_as_good_as_empty(aws: None) -> None:
    cache = DynamoMarketCache(aws_client("dynamodb"), "missing")
    cache.store("key", "text")
    assert cache.load("key") is None


def test_a_table_that_cannot_be_reached_is_as_good_as_empty() -> None:
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:1",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
    )
    cache = DynamoMarketCache(client, TABLE)
    cache.store("key", "text")
    assert cache.load("key") is None
