"""The claim's time on the wire: exactly the field by which the venue refuses stale requests, nothing else. Asks nobody.

A process that froze after its last look and sends later is refused by the venue itself. Nonces stay fresh.
"""

from datetime import datetime, timedelta
from typing import Any

from belay.adapters.live.profiles.model import FenceProfile
from belay.domain.slots import EPOCH
from belay.domain.venues import OrderRequest


def pin(fence: FenceProfile, request: OrderRequest, exchange: Any) -> dict[str, Any]:
    """Pin one request on an instance that sends nothing else.

    Returns:
        The parameters that go with it.

    Raises:
        ValueError: the request was claimed without a fence.
    """
    if request.fence_at is None:
        raise ValueError("the request has no fence")
    value = _value(fence, request.claimed_at, request.fence_at)
    claimed = milliseconds(request.claimed_at)
    if fence.via == "header":
        exchange.headers = {**exchange.headers, fence.key: str(value)}
        return {}
    if fence.via == "param":
        return {fence.key: value, **({fence.claim_key: claimed} if fence.claim_key else {})}
    exchange.options[fence.key] = value
    # The class signs this window with its own clock, so that clock stands still for this call.
    exchange.milliseconds = exchange.nonce = lambda: claimed
    return {}


def _value(fence: FenceProfile, claimed_at: datetime, fence_at: datetime) -> int | str:
    if fence.kind == "receive_window":
        return milliseconds(fence_at) - milliseconds(claimed_at)
    if fence.kind == "expiry_header":
        return milliseconds(fence_at)
    return f"{fence_at:%Y-%m-%dT%H:%M:%SZ}"


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (at - EPOCH) // timedelta(milliseconds=1)
