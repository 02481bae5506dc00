"""What a later version leaves in a ledger: stored records that bear `reads_from`, or fields that nobody here knows.

A place names one stored record, as both ledgers know it; so the same records can be laid under the code of any version.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from belay.adapters.aws import keys
from belay.adapters.memory.ledger import InMemoryLedger
from belay.domain.orders import Order
from belay.domain.record import SCHEMA
from belay.ports import Ledger
from tests.builders import ACCOUNT, FINGERPRINT, SYMBOL

LATER = SCHEMA + 1


class Place(NamedTuple):
    """Where one record lies: table, pk and sk on DynamoDB, a drawer and its key in memory."""

    table: str
    pk: str
    sk: str
    drawer: Callable[[Any], Any]
    key: Any


STATE = Place("accounts", keys.account(ACCOUNT), keys.STATE, lambda books: books._accounts, ACCOUNT)
STOPS = Place("configuration", keys.account(ACCOUNT), keys.STOPS, lambda books: books._operator_stops, ACCOUNT)
DOCUMENT = Place(
    "configuration", keys.account(ACCOUNT), keys.CONFIGURATION, lambda books: books._configurations, (ACCOUNT, 1)
)
PROOF = Place(
    "accounts", keys.account(ACCOUNT), keys.proof(FINGERPRINT), lambda books: books._proofs, (ACCOUNT, FINGERPRINT)
)
CURSOR = Place("accounts", keys.account(ACCOUNT), keys.cursor(SYMBOL), lambda books: books._cursors, (ACCOUNT, SYMBOL))
SUSPICION = Place("accounts", keys.account(ACCOUNT), keys.SUSPICION, lambda books: books._suspicions, ACCOUNT)


def order_place(order: Order) -> Place:
    return Place(
        "ledger",
        keys.decision(order.decision_id),
        keys.order(order.order_id),
        lambda books: books._orders,
        order.order_id,
    )


def anchor_place(order: Order) -> Place:
    key = (order.account, order.order_id)
    return Place("accounts", keys.account(order.account), keys.anchor(key[1]), lambda books: books._anchors, key)


def decision_place(order: Order) -> Place:
    pk = keys.decision(order.decision_id)
    return Place("ledger", pk, keys.DECISION, lambda books: books._decisions, order.decision_id)


def incident_place(incident_id: str) -> Place:
    pk, sk = keys.account(ACCOUNT), keys.incident(incident_id)
    return Place("accounts", pk, sk, lambda books: books._incidents[ACCOUNT], incident_id)


def taken_over(ledger: Ledger, place: Place, reads_from: int | None = LATER, **fields: Any) -> str:
    """A later version writes the record anew, with these fields at its end. Returns the text that it stored."""
    body = {**json.loads(text_of(ledger, place)), **fields}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    overwrite(ledger, place, text, reads_from)
    return text


def overwrite(ledger: Ledger, place: Place, text: str, reads_from: int | None = LATER) -> None:
    if isinstance(ledger, InMemoryLedger):
        drawer = place.drawer(ledger)
        drawer.plant(place.key, text, reads_from or 1)
        for line in (ledger._open_orders[ACCOUNT], ledger._order_lines[ACCOUNT]) if place.sk[:5] == "ORDER" else ():
            for position in line.keys():  # noqa: SIM118 a drawer is no dict
                if position.endswith(f"#{place.key}"):
                    line.plant(position, text, reads_from or 1)
        return
    item = raw(ledger, place)
    marked = {} if reads_from is None else {"reads_from": {"N": str(reads_from)}}
    _client(ledger).put_item(TableName=place.table, Item={**item, "body": {"S": text}, **marked})


def mark(ledger: Any, place: Place, attribute: dict[str, Any]) -> None:
    """Give a stored item of DynamoDB this very attribute."""
    _client(ledger).put_item(TableName=place.table, Item={**raw(ledger, place), "reads_from": attribute})


def text_of(ledger: Ledger, place: Place) -> str:
    if isinstance(ledger, InMemoryLedger):
        return str(place.drawer(ledger).text(place.key))
    return str(raw(ledger, place)["body"]["S"])


def reads_from_of(ledger: Ledger, place: Place) -> int | None:
    """As it is stored; None where it says nothing."""
    if isinstance(ledger, InMemoryLedger):
        return int(place.drawer(ledger).reads_from(place.key))
    attribute = raw(ledger, place).get("reads_from")
    return int(attribute["N"]) if attribute else None


def raw(ledger: Any, place: Place) -> dict[str, Any]:
    key = {"pk": {"S": place.pk}, "sk": {"S": place.sk}}
    item: dict[str, Any] = _client(ledger).get_item(TableName=place.table, Key=key)["Item"]
    return item


def _client(ledger: Any) -> Any:
    return ledger._ledger._client
