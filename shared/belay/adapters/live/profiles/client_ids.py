"""Our order ids as the venues want their client order ids, and back. Knows no venue: a profile names its format."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from belay.domain.record import Record

ORDER_ID = r"[0-9a-f]{32}"


class ClientIdFormat(NamedTuple):
    """A reversible way to write an order id, 32 hex characters, as a venue wants its client order ids."""

    pattern: str
    to_venue: Callable[[str], str]
    from_venue: Callable[[str], str]


def _dashed(order_id: str) -> str:
    return "-".join([order_id[:8], order_id[8:12], order_id[12:16], order_id[16:20], order_id[20:]])


def _base64(order_id: str) -> str:
    return "t-" + base64.urlsafe_b64encode(bytes.fromhex(order_id)).decode().rstrip("=")


FORMATS = {
    "hex32": ClientIdFormat(ORDER_ID, str, str),
    "uuid": ClientIdFormat(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", _dashed, lambda text: text.replace("-", "").lower()
    ),
    "0xhex32": ClientIdFormat(r"0x[0-9a-f]{32}", lambda order_id: f"0x{order_id}", lambda text: text[2:]),
    "t-base64": ClientIdFormat(
        r"t-[A-Za-z0-9_-]{22}", _base64, lambda text: base64.urlsafe_b64decode(text[2:] + "==").hex()
    ),
}


class ClientId(Record):
    """How the client order id is written and handed over. `cancel` None: it is given in place of the venue's id."""

    format: Literal["hex32", "uuid", "0xhex32", "t-base64"]
    create: str
    cancel: str | None

    def to_venue(self, order_id: str) -> str:
        """An adopted order keeps the id that it had at the venue, which is none of ours."""
        return FORMATS[self.format].to_venue(order_id) if re.fullmatch(ORDER_ID, order_id) else order_id

    def from_venue(self, text: str) -> str | None:
        """The order id that was written so; None where the text is none of ours."""
        way = FORMATS[self.format]
        if not re.fullmatch(way.pattern, text):
            return None
        try:
            order_id = way.from_venue(text)
        except (ValueError, binascii.Error):
            return None
        return order_id if way.to_venue(order_id) in (text, text.lower()) else None
