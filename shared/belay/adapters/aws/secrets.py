"""API keys by the name of a secret: SSM SecureStrings, made outside the stack. Never shows what it has read.

The value is JSON: {"apiKey": ..., "secret": ...}, with "password", "uid", "walletAddress" or "privateKey" where the
venue asks for them.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from belay.domain.errors import AccountRefused

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

FIELDS = frozenset({"apiKey", "secret", "password", "uid", "walletAddress", "privateKey"})


class Credentials:
    """One key, as ccxt's constructors take it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._values))})"

    def has(self, names: tuple[str, ...]) -> bool:
        return all(self._values.get(name) for name in names)

    def options(self) -> dict[str, str]:
        """As constructor options. Whoever holds these holds the key."""
        return dict(self._values)


class Secrets(Protocol):
    def read(self, name: str) -> Credentials:
        """The key of this name, read now.

        Raises:
            AccountRefused: there is none, it cannot be read, or it is malformed.
        """


class SsmSecrets:
    """Implements `Secrets`."""

    def __init__(self, client: "SSMClient") -> None:
        self._client = client

    def read(self, name: str) -> Credentials:
        parameter, failure = self._parameter(name)
        if failure:
            raise AccountRefused(
                "key_unreadable", f"{name} cannot be read ({failure}): store it, or allow this role it"
            )
        if parameter.get("Type") != "SecureString":
            raise AccountRefused("key_unprotected", f"{name} is no SecureString: store the key anew as one")
        credentials = parse_credentials(str(parameter.get("Value", "")))
        if credentials is None:
            raise AccountRefused("key_malformed", f"{name} is not a JSON object of {', '.join(sorted(FIELDS))}")
        return credentials

    def _parameter(self, name: str) -> tuple[Mapping[str, Any], str]:
        """The parameter, or why there is none; an exception could hold what was answered."""
        try:
            return dict(self._client.get_parameter(Name=name, WithDecryption=True)["Parameter"]), ""
        except ClientError as error:
            return {}, error.response.get("Error", {}).get("Code", "refused")
        except BotoCoreError as error:
            return {}, type(error).__name__


def parse_credentials(text: str) -> Credentials | None:
    """Credentials from JSON text; None where it is not what it must be. A parser's own error would quote the text."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, dict) or not values or values.keys() - FIELDS:
        return None
    if not all(isinstance(value, str) and value for value in values.values()):
        return None
    return Credentials(values)
