"""The ledger in memory, with the semantics of the one on tables. Reads no clock and no randomness."""

from typing import Any

from belay.adapters.memory.books import locked
from belay.adapters.memory.drawers import Drawer
from belay.adapters.memory.ledger_accounts import AccountBooks
from belay.adapters.memory.ledger_incidents import IncidentBooks
from belay.adapters.memory.ledger_orders import OrderBooks
from belay.adapters.records import order_position
from belay.domain.orders import Order


class InMemoryLedger(OrderBooks, AccountBooks, IncidentBooks):
    """`ports.Ledger` in one process, safe between threads: each method is one step under `lock`."""

    # --- what cannot be read ----------------------------------------------------------------------

    @locked
    def later(self, account: str) -> tuple[str, ...]:
        lists: dict[str, Drawer[str, Any]] = {
            "ORDER": self._open_orders[account],
            "SCHEDULE": self._schedules[account],
            "REFUSED": self._refused[account],
            "CANCEL": self._cancels[account],
            "CANCEL ": self._asked_cancels[account],
            "UNATTRIBUTED": self._unattributed[account],
            "INCIDENT": self._incidents[account],
        }
        return tuple(sorted(f"{kind.strip()}#{key}" for kind, drawer in lists.items() for key in drawer.beyond()))

    @locked
    def is_later(self, name: str) -> bool:
        return self._orders.of_later(name) or self._decisions.of_later(name)

    @locked
    def unreadable(self, account: str) -> tuple[str, ...]:  # noqa: ARG002 the port's
        """Nothing is stored here but what was read before."""
        return ()

    @locked
    def restore_pointer(self, order: Order) -> None:
        """Orders are found by their ids here."""

    @locked
    def set_aside(self, subject: str) -> None:
        if (order := self._orders.get(subject)) is not None:
            position = order_position(order)
            self._open_orders[order.account].drop(position)
            self._order_lines[order.account].drop(position)
