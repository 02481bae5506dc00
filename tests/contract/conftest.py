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

from belay.adapters.aws.ledger import DynamoLedger, Tables
from belay.adapters.memory.ledger import InMemoryLedger
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


TABLES = Tables("ledger", "accounts", "configuration")
COPIED = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes")


@cache
def _resources() -> dict[str, Any]:
    text = TEMPLATE.read_text()
    template = yaml.load(text, _Loader)  # nosec B506 # noqa: S506 a SafeLoader with more tags
    resources: dict[str, Any] = template["Resources"]
    return resources


def make_tables(client: Any, tables: Tables = TABLES) -> None:
    """The ledger's tables as template.yaml defines them."""
    for kind, name in tables._asdict().items():
        _make_table(client, f"{kind.capitalize()}Table", name)


def make_paper_table(client: Any, name: str) -> None:
    _make_table(client, "PaperVenueTable", name)


def _make_table(client: Any, resource: str, name: str) -> None:
    defined = _resources()[resource]["Properties"]
    client.create_table(TableName=name, **{key: defined[key] for key in COPIED if key in defined})


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
    """A client of a moto that has the ledger's tables."""
    make_tables(aws_client("dynamodb"))
    return OneAtATime(aws_client("dynamodb"))


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return InMemoryLedger()
    return DynamoLedger(request.getfixturevalue("dynamodb"), TABLES)
