"""The real adapters on moto and the in-memory ones, so that one suite holds them equal."""

from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from threading import RLock
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from moto import mock_aws

from belay.adapters.dynamodb import DynamoLedger
from belay.adapters.memory import InMemoryLedger
from belay.ports import Ledger

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms such as !Ref as plain values."""


def _short_form(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _short_form)


@cache
def _ledger_table() -> dict[str, Any]:
    text = TEMPLATE.read_text()
    template = yaml.load(text, _Loader)  # nosec B506 # noqa: S506 a SafeLoader with more tags
    table = template["Resources"]["LedgerTable"]["Properties"]
    copied = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {key: table[key] for key in copied}


def make_table(client: Any, name: str) -> None:
    """The ledger's table as template.yaml defines it."""
    client.create_table(TableName=name, **_ledger_table())


@cache
def aws_client(service: str) -> Any:
    """One client for all tests, whatever this machine is configured for; moto answers it, see `aws`."""
    credentials: Any = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    configuration: Any = {"ignore_configured_endpoint_urls": True}
    return boto3.client(service, region_name="eu-west-1", config=Config(**configuration), **credentials)


class OneAtATime:
    """A client whose requests are atomic, as DynamoDB's are; moto's are not between threads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = RLock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._locked(found) if callable(found) else found

    def _locked(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return call(*args, **kwargs)

        return run


@pytest.fixture
def aws() -> Iterator[None]:
    """An AWS of moto with nothing in it."""
    with mock_aws():
        yield


@pytest.fixture
def dynamodb(aws: None) -> Any:
    """A client of a moto that has the ledger's table."""
    make_table(aws_client("dynamodb"), "ledger")
    return OneAtATime(aws_client("dynamodb"))


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return InMemoryLedger()
    return DynamoLedger(request.getfixturevalue("dynamodb"), "ledger")
