"""Whether the records of an order hold together, and what follows where they do not: the account stops, a person looks.

Repairs nothing: what was replaced is not known here.
"""

from collections.abc import Iterable, Mapping

from belay.domain.account import StopLevel
from belay.domain.chain import flaw
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order
from belay.domain.record import Utc
from belay.ports import Ledger, Services
from belay.workflows.updates import open_incident

# A change that commits between two reads looks like a flaw once, not twice alike.
READINGS = 4


def flaw_of(ledger: Ledger, order: Order) -> str:
    """What does not hold together in an order's records; empty where everything does, or where it has just moved on."""
    before = None
    for _ in range(READINGS):
        history = ledger.history(order)
        found = flaw(history)
        if not found or (history.order is not None and history.order.record.version != order.version):
            return ""
        if history == before:
            return found
        before = history
    return ""


class Examination:
    """The orders that one run has looked at: each is examined once at each version that it is seen at."""

    def __init__(self, services: Services, account: str) -> None:
        self._services = services
        self._account = account
        self._whole: dict[str, int] = {}

    def flawed(self, orders: Mapping[str, Order], missing: Iterable[str], at: Utc) -> dict[str, str]:
        """The flaws by order id, for each of which the account is stopped.

        Args:
            missing: ids of orders that hold a reservation and are not in the ledger.
        """
        found = dict.fromkeys(missing, "the account holds a reservation for it, the ledger has no such order")
        for order_id, order in orders.items():
            if self._whole.get(order_id) == order.version:
                continue
            if problem := flaw_of(self._services.ledger, order):
                found[order_id] = problem
            else:
                self._whole[order_id] = order.version
        for order_id, problem in found.items():
            stop_for(self._services, self._account, order_id, problem, at)
        return found


def stop_for(services: Services, account: str, order_id: str, problem: str, at: Utc) -> None:
    """Halt the account of an order whose records do not hold together."""
    incident = Incident(
        account=account,
        kind=IncidentKind.BROKEN_RECORD,
        subject=order_id,
        expected="the records of the order as they were written",
        actual=f"order {order_id}: {problem}",
        action="Something wrote over the ledger, or made an order that nobody decided. Look at what the strategies do; "
        "compare `belay explain` with the venue and with the head in the functions' log lines. Resolving this takes "
        "the records as they are.",
        opened_at=at,
    )
    open_incident(services, incident, StopLevel.HALTED)
