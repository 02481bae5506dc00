"""What each function may write, by table, as template.yaml's roles have it: the same refusals for ledgers in memory.

tests/contract/test_rights.py holds the table equal to what the real adapter writes, tests/unit/test_template.py to the
roles.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

CONFIGURATION, LEDGER, ACCOUNTS = frozenset({"configuration"}), frozenset({"ledger"}), frozenset({"accounts"})

# Which tables each call of the ledger writes; what is not listed reads.
WRITES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("store_configuration", "save_operator_stops"), CONFIGURATION),
    **dict.fromkeys(("record_decision", "register_schedule", "drop_schedule", "refuse", "clear_refused"), LEDGER),
    **dict.fromkeys(("set_aside", "restore_pointer"), LEDGER),
    "clear_cancel": LEDGER | ACCOUNTS,
    **dict.fromkeys(("request_cancel", "save_account", "accept_history", "store_proof", "store_cursor"), ACCOUNTS),
    **dict.fromkeys(("store_unattributed", "drop_unattributed", "store_suspicion"), ACCOUNTS),
    **dict.fromkeys(("open_incident", "follow_incident", "resolve_incident", "record_flow"), ACCOUNTS),
    "append_incident_entry": ACCOUNTS,
    "commit": LEDGER | ACCOUNTS,
}
MAY_WRITE = {
    "evaluator": LEDGER,
    "executor": LEDGER | ACCOUNTS,
    "reconciler": LEDGER | ACCOUNTS,
    "operator": LEDGER | ACCOUNTS | CONFIGURATION,
}


class Forbidden(Exception):
    """What IAM answers."""


class Restricted:
    """A ledger in the hands of one function."""

    def __init__(self, ledger: Any, function: str) -> None:
        self._ledger = ledger
        self._function = function

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        return self._allowed(name, found) if name in WRITES else found

    def _allowed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            if beyond := written_by(name, args, kwargs) - MAY_WRITE[self._function]:
                raise Forbidden(f"the {self._function} may not write the {', '.join(sorted(beyond))} table: {name}")
            return call(*args, **kwargs)

        return run


def written_by(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> frozenset[str]:
    """What a person decided is known beside the account from the beginning; other calls write what their name says."""
    by_a_person = name == "record_decision" and (args[0] if args else kwargs["record"]).by_a_person
    return WRITES[name] | ACCOUNTS if by_a_person else WRITES[name]
