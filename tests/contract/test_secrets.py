"""Keys from SSM: read by name, only as SecureStrings, and never shown."""

import json
import traceback
from typing import Any

import boto3
import pytest
from botocore.config import Config

from belay.adapters.aws.secrets import SsmSecrets, parse_credentials
from belay.domain.errors import AccountRefused
from tests.contract.conftest import aws_client

NAME = "/belay/dev/executor/main"
KEY = {"apiKey": "planted-key-0123456789", "secret": "planted-secret-9876543210"}


def store(value: str, kind: str = "SecureString") -> SsmSecrets:
    client = aws_client("ssm")
    client.put_parameter(Name=NAME, Value=value, Type=kind, Overwrite=True)
    return SsmSecrets(client)


def test_a_key_is_read_as_ccxts_constructor_takes_it(aws: None) -> None:
    assert store(json.dumps(KEY)).read(NAME).options() == KEY


def test_a_key_is_read_afresh_each_time(aws: None) -> None:
    secrets = store(json.dumps(KEY))
    assert secrets.read(NAME).has(("apiKey",))
    store(json.dumps({**KEY, "apiKey": "rotated"}))
    assert secrets.read(NAME).options()["apiKey"] == "rotated"


def test_a_key_that_is_not_there_says_what_to_do(aws: None) -> None:
    with pytest.raises(AccountRefused, match="ParameterNotFound") as refused:
        SsmSecrets(aws_client("ssm")).read(NAME)
    assert refused.value.code == "key_unreadable"


def test_a_key_that_lies_there_in_the_open_is_not_used(aws: None) -> None:
    with pytest.raises(AccountRefused, match="no SecureString"):
        store(json.dumps(KEY), "String").read(NAME)


MALFORMED = [
    json.dumps(KEY)[:-1],
    json.dumps([KEY]),
    json.dumps({**KEY, "more": "x"}),
    json.dumps({**KEY, "secret": 5}),
    json.dumps({**KEY, "secret": ""}),
    "{}",
    KEY["secret"],
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_key_is_refused_without_being_shown(aws: None, text: str) -> None:
    with pytest.raises(AccountRefused, match="is not a JSON object") as refused:
        store(text).read(NAME)
    error: BaseException = refused.value
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert not any(value in shown for value in KEY.values())
    assert (error.__cause__, error.__context__) == (None, None)


def test_a_store_that_cannot_be_reached_is_no_key() -> None:
    client: Any = boto3.client(
        "ssm",
        endpoint_url="http://127.0.0.1:1",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(AccountRefused, match="EndpointConnectionError"):
        SsmSecrets(client).read(NAME)


def test_credentials_show_only_what_they_are_made_of() -> None:
    credentials = parse_credentials(json.dumps(KEY))
    assert repr(credentials) == "Credentials(apiKey, secret)"
