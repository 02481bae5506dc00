"""The real adapters on moto and the in-memory ones, so that one suite holds them equal."""

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from belay.adapters.dynamodb import DynamoLedger
from belay.adapters.memory import InMemoryLedger
from belay.ports import Ledger

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
REGION = "eu-west-1"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms such as !Ref as plain values."""


def _short_form(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _short_form)


def make_table(client: Any, name: str) -> None:
    """The ledger's table as template.yaml defines it."""
    template = yaml.load(TEMPLATE.read_text(), _Loader)  # noqa: S506: a SafeLoader with more tags
    table = template["Resources"]["LedgerTable"]["Properties"]
    copied = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    client.create_table(TableName=name, **{key: table[key] for key in copied})


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
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing in a test reaches AWS, whatever the machine is configured for."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


@pytest.fixture
def dynamodb(aws: None) -> Any:
    """A client of a moto that has the ledger's table."""
    client = boto3.client("dynamodb")
    make_table(client, "ledger")
    return OneAtATime(client)


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return InMemoryLedger()
    return DynamoLedger(request.getfixturevalue("dynamodb"), "ledger")
