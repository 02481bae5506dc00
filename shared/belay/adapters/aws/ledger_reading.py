"""How the parts of the ledger read their tables: one record or a list, and what becomes of what cannot be read."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from belay.adapters.aws.locked import LockedTable, of_later, reads_from
from belay.adapters.aws.table import Item, Table
from belay.domain.errors import Unreadable
from belay.domain.orders import Order
from belay.domain.record import Record, digest, joined

# Longer than any key that a record of ours has, and short enough to name an incident.
LONGEST_KEY = 500


class TableReader:
    """The three tables, and what their lists held that could not be read."""

    def __init__(
        self,
        ledger: LockedTable,
        accounts: LockedTable,
        configuration: LockedTable,
        written: Callable[[Order], None],
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._configuration = configuration
        self._written = written
        self._unreadable = defaultdict[str, set[str]](set)
        self._later = defaultdict[str, set[str]](set)

    def _listed[R: Record](self, model: type[R], account: str, found: Iterable[Item]) -> tuple[R, ...]:
        """The records of an account's list. What cannot be read, or is another account's, is remembered, and the others
        are given; what has a key that no record of ours has is taken off the list at once, unless a later version has.
        """
        records = []
        for item in found:
            record = understandable(model, item)
            if record is not None and getattr(record, "account", account) == account:
                records.append(record)
                continue
            key = joined(item.pk, item.sk)
            if record is None and of_later(item):
                self._later[account].add(key)
                continue
            if len(key) > LONGEST_KEY:
                self._ledger.set_aside(item.pk, item.sk)
                key = f"a key of {len(key)} characters, {digest(key)}"
            self._unreadable[account].add(key)
        return tuple(records)


def understandable[R: Record](model: type[R], item: Item | None) -> R | None:
    """The record of an item; None where there is none, or none that can be read."""
    try:
        return model.stored(item.body, reads_from(item)) if item is not None else None
    except ValidationError:
        return None


def record_at[R: Record](table: Table, model: type[R], pk: str, sk: str) -> R | None:
    return understandable(model, table.item(pk, sk))


def needed[R: Record](table: Table, model: type[R], pk: str, sk: str, what: str) -> R | None:
    """A record without which nothing can be done. Raises Unreadable where there is one that cannot be read."""
    item = table.item(pk, sk)
    record = understandable(model, item)
    if item is not None and record is None:
        raise Unreadable(what, later=of_later(item))
    return record


def if_understood[R: Record](record: R | None) -> R | None:
    return record if record is not None and record.understood else None
