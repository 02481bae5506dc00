"""The API keys of a local live account: from the environment into the emulator's secret store, which is in memory.

Writes no key to a file, a log or an argument list, so each `make up` asks the environment for them again.
"""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from belay.adapters.aws.secrets import Credentials
from belay.adapters.live.profiles import profile_of
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.local.programs import StackError

FUNCTIONS = ("executor", "reconciler")
# The last part of a variable's name, by the field of the key that it holds.
SUFFIXES = {
    "apiKey": "KEY",
    "secret": "SECRET",
    "password": "PASSWORD",
    "uid": "UID",
    "walletAddress": "WALLET_ADDRESS",
    "privateKey": "PRIVATE_KEY",
}
NAMED_BY = ("apiKey", "privateKey")  # what tells one key from another

# Keys by the names of their secrets.
type Keys = Mapping[str, Credentials]


def variable(function: str, field: str) -> str:
    """The environment variable of one field of a function's key, such as `BELAY_EXECUTOR_KEY`."""
    return f"BELAY_{function.upper()}_{SUFFIXES[field]}"


VARIABLES = frozenset(variable(function, field) for function in FUNCTIONS for field in SUFFIXES)


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for every other process."""
    return {name: value for name, value in environment.items() if name not in VARIABLES}


def read_keys(environment: Mapping[str, str], document: AccountDocument, *, same_key: bool) -> dict[str, Credentials]:
    """Each function's key for a live account.

    Args:
        same_key: whether one key may serve both functions.

    Raises:
        InvalidInput: names the variable that is not set, or holds the other function's key.
    """
    needed = profile_of(document).credentials
    found = {function: _read(environment, function, needed, document.venue) for function in FUNCTIONS}
    named_by = next(field for field in NAMED_BY if field in needed)
    if not same_key and len({values[named_by] for values in found.values()}) < len(FUNCTIONS):
        problem = "is the executor's key, too"
        remedy = f"Make a key for each function at {document.venue}; for a test, SAME_KEY=1 lets one serve both."
        raise InvalidInput(variable("reconciler", named_by), problem, remedy)
    return {str(getattr(document, f"{function}_secret")): Credentials(values) for function, values in found.items()}


def _read(environment: Mapping[str, str], function: str, needed: tuple[str, ...], venue: str) -> dict[str, str]:
    found = {field: environment.get(variable(function, field), "").strip() for field in SUFFIXES}
    if missing := next((field for field in needed if not found[field]), None):
        remedy = f"Put the {function}'s key for {venue} into the environment (`read -rs` keeps it out of the history)."
        raise InvalidInput(variable(function, missing), "is not set", remedy)
    return {field: value for field, value in found.items() if value}


def to_json(keys: Keys) -> dict[str, dict[str, str]]:
    """For a pipe between two processes, and for nothing else."""
    return {name: credentials.options() for name, credentials in keys.items()}


def from_json(values: Mapping[str, Mapping[str, str]]) -> dict[str, Credentials]:
    return {name: Credentials(fields) for name, fields in values.items()}


# --- in the emulator -------------------------------------------------------------------------------------------------


def store(ssm: Any, keys: Keys) -> None:
    """Raises StackError, which holds no part of a key."""
    failure = ""
    for name, credentials in keys.items():
        try:
            ssm.put_parameter(Name=name, Value=json.dumps(credentials.options()), Type="SecureString", Overwrite=True)
        except (BotoCoreError, ClientError) as error:
            failure = f"{name} could not be stored ({type(error).__name__})"
    if failure:
        raise StackError(failure)
