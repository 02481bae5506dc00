"""A table in which nothing of a later version is written over. Knows of a record only who may act on it."""

from belay.adapters.aws.table import Action, Condition, Item, Table
from belay.domain.record import SCHEMA

# The attribute that names the lowest schema that may act on an item; the first one did not write it.
READS_FROM = "reads_from"
# Each by itself, since an attribute of another type equals none and cannot be compared with any.
_SCHEMAS = {f":schema_{number}": number for number in range(1, SCHEMA + 1)}
_ONE_OF_THEM = " OR ".join(f"{READS_FROM} = {name}" for name in _SCHEMAS)
UNDERSTOOD = Condition(f"(attribute_not_exists({READS_FROM}) OR {_ONE_OF_THEM})", _SCHEMAS)


def reads_from(item: Item) -> int:
    """The lowest schema that may act on an item. What is no such number is of a later version, too."""
    stored = item.attributes.get(READS_FROM, 1)
    return stored if isinstance(stored, int) and stored >= 1 else SCHEMA + 1


def of_later(item: Item) -> bool:
    return reads_from(item) > SCHEMA


class LockedTable(Table):
    """Every condition also requires that this version understands what is stored; an item that is itself a later
    version's is one that may be written nevertheless."""

    def putting(self, item: Item, condition: Condition | None = None) -> Action:
        return self.putting_over(item, condition if of_later(item) else _understood(condition))

    def putting_over(self, item: Item, condition: Condition | None = None) -> Action:
        """Also over an item of a later version."""
        return super().putting(item, condition)

    def checking(self, pk: str, sk: str, condition: Condition) -> Action:
        return super().checking(pk, sk, _understood(condition))


def _understood(condition: Condition | None) -> Condition:
    if condition is None:
        return UNDERSTOOD
    both = f"({condition.expression}) AND {UNDERSTOOD.expression}"
    return Condition(both, {**condition.values, **UNDERSTOOD.values})
