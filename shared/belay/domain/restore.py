"""A table that may have been restored knows less than was sent: what is asked before an order's first claim.

Until a table has its first proof under its own id, and for every slot that closed before that, an earlier life of the
table may have sent what this one believes unsent.
"""

import re
from collections.abc import Container, Iterable
from datetime import datetime
from enum import StrEnum

from belay.domain.orders import Order
from belay.domain.venues import VenueOrder

OURS = re.compile(r"[0-9a-f]{32}")


class Precaution(StrEnum):
    """What becomes of an order before its first claim: it is claimed, it is too late, or a person has to say."""

    CLAIM = "claim"
    LAPSE = "lapse"
    WAIT = "wait"


def is_doubtful(order: Order, first_proof_at: datetime | None) -> bool:
    """Whether an earlier life of the table may have sent an order that this one never did.

    Args:
        first_proof_at: when the table was first proven under its own id; None: not yet.
    """
    return order.attempt is None and (first_proof_at is None or order.market_time < first_proof_at)


def newest_of_ours(shown: Iterable[VenueOrder], known: Container[str]) -> datetime | None:
    """When the venue last changed an open order with an id like ours that this table never sent: up to then, at least,
    it has forgotten what was sent."""
    forgotten = (
        seen.updated_at
        for seen in shown
        if seen.client_order_id and OURS.fullmatch(seen.client_order_id) and seen.client_order_id not in known
    )
    return max(forgotten, default=None)


def precaution(order: Order, seen: VenueOrder | None, newest: datetime | None) -> Precaution:
    """What a look-up of a doubtful order leads to.

    Args:
        seen: what the venue has under the order's id; None: a well-formed miss.
        newest: of `newest_of_ours`.
    """
    if seen is None and (newest is None or order.market_time > newest):
        return Precaution.CLAIM
    return Precaution.WAIT if order.reducing else Precaution.LAPSE
