"""Whether the records of an order hold together, and what is said where they do not. Repairs nothing: what was replaced
is not known here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from belay.domain.account import Account
from belay.domain.chain import flaw, of_later
from belay.domain.documents import Configuration
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order
from belay.domain.reconciliation import Mismatch
from belay.ports import Ledger

MOVED_ON = "it has moved on since it was read"
ACTION = (
    "Something wrote over the ledger, or made an order that nobody decided. Look at what the strategies do; compare "
    "`belay explain` with the venue and with the head in the functions' log lines. Resolving this takes the records of "
    "an order that was sent as they are, and what was never sent off every list; neither is sent by it."
)


class Examined(NamedTuple):
    """What was found of an order: its `flaw` (empty where everything holds together), and whether a person took its
    records as they are. `later`: the part of them that is a later version's to act on; then nothing is judged."""

    flaw: str
    accepted: bool
    later: str = ""

    @property
    def problem(self) -> str:
        return self.flaw or (f"{self.later} is of a later version" if self.later else "")


def beyond(account: Account, configuration: Configuration) -> str:
    """What only a later version may act on, of the two records on which everything of an account rests."""
    for what, record in (("state", account), ("document", configuration)):
        if not record.understood:
            return f"the {what} of account {account.account} is of a later version (schema {record.reads_from})"
    return ""


def examine(ledger: Ledger, order: Order) -> Examined:
    """Look at everything stored about an order, and at whether it is the order that was handed in."""
    history = ledger.history(order)
    stored, accepted = history.order, history.acceptance is not None
    if later := of_later(history):
        return Examined(flaw="", accepted=accepted, later=later)
    if stored is not None and stored.record.version > order.version:
        return Examined(flaw=MOVED_ON, accepted=accepted)
    if stored is not None and stored.record != order:
        return Examined(flaw="another order is stored under its key", accepted=accepted)
    return Examined(flaw=flaw(history), accepted=accepted)


class Examination:
    """The orders that one run has looked at: each is examined once at each version that it is seen at."""

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account
        self._whole: dict[str, int] = {}
        self.later: dict[str, str] = {}

    def flawed(self, orders: Mapping[str, Order], missing: Iterable[str]) -> dict[str, str]:
        """The flaws by order id. What is of a later version is in `later` instead.

        Args:
            missing: ids of orders that hold a reservation and are not in the ledger.
        """
        found = dict.fromkeys(missing, "the account holds a reservation for it, the ledger has no such order")
        for order_id, order in orders.items():
            if self._whole.get(order_id) == order.version:
                continue
            examined = self._examined(order)
            if examined.later:
                self.later[order_id] = examined.problem
            elif examined.flaw:
                found[order_id] = examined.flaw
            else:
                self._whole[order_id] = order.version
        return found

    def _examined(self, order: Order) -> Examined:
        if order.account != self._account:
            return Examined(flaw=f"it names account {order.account}", accepted=False)
        try:
            return examine(self._ledger, order)
        except ValidationError as error:
            return Examined(flaw=f"a record of it cannot be read: {error.title}", accepted=False)


def mismatches(flawed: Mapping[str, str], unreadable: Iterable[str]) -> Iterator[Mismatch]:
    """What a person is asked about once a later run saw it too: a change between two reads looks like a flaw, once."""
    for subject, problem in flawed.items():
        yield _broken(subject, f"order {subject}: {problem}")
    for key in unreadable:
        yield _broken(key, f"what is stored under {key} cannot be read")


def _broken(subject: str, actual: str) -> Mismatch:
    return Mismatch(
        kind=IncidentKind.BROKEN_RECORD,
        subject=subject,
        symbol=None,
        expected="records as they were written",
        actual=actual,
        action=ACTION,
    )
