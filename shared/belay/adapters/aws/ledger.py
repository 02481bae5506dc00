"""The ledger on three DynamoDB tables: what each read returns and what each write requires. Nothing is deleted.

`keys` says what is stored under which key, `items` how. It decides nothing: rules are in the domain.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from belay.adapters.aws import items, keys
from belay.adapters.aws.ledger_accounts import AccountTables
from belay.adapters.aws.ledger_incidents import IncidentTables
from belay.adapters.aws.ledger_orders import OrderTables
from belay.adapters.aws.ledger_reading import record_at, understandable
from belay.adapters.aws.locked import LockedTable, of_later
from belay.domain.orders import Order
from belay.domain.record import parted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Tables(NamedTuple):
    """The names of the ledger's tables."""

    ledger: str
    accounts: str
    configuration: str


class DynamoLedger(OrderTables, AccountTables, IncidentTables):
    """`ports.Ledger`. Errors other than `Conflict` are botocore's.

    `written` is handed every order that was stored, with the head of its story: what a log keeps of it, nobody who can
    write the tables can change.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        tables: Tables,
        sleep: Callable[[float], None] = time.sleep,
        written: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        ledger, accounts, configuration = (LockedTable(client, name, sleep) for name in tables)
        super().__init__(ledger, accounts, configuration, written)

    @property
    def table_id(self) -> str:
        return "|".join(table.table_id for table in (self._ledger, self._accounts, self._configuration))

    # --- what cannot be read ----------------------------------------------------------------------

    def later(self, account: str) -> tuple[str, ...]:
        return tuple(sorted(self._later.pop(account, ())))

    def is_later(self, name: str) -> bool:
        item = self._ledger.item(keys.order(name), keys.ORDER)
        pointer = understandable(items.OrderPointer, item)
        if pointer is not None:
            item = self._ledger.item(keys.decision(pointer.decision_id), keys.order(name))
        item = item or self._ledger.item(keys.decision(name), keys.DECISION)
        return item is not None and of_later(item)

    def unreadable(self, account: str) -> tuple[str, ...]:
        return tuple(sorted(self._unreadable.pop(account, ())))

    def restore_pointer(self, order: Order) -> None:
        self._ledger.put(items.pointer(order))

    def set_aside(self, subject: str) -> None:
        pointer = record_at(self._ledger, items.OrderPointer, keys.order(subject), keys.ORDER)
        key = (keys.decision(pointer.decision_id), keys.order(subject)) if pointer else parted(subject)
        if len(key) == 2:
            self._ledger.set_aside(*key)
