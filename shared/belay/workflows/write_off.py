"""Take from a strategy's position what is no longer there, by a person's word. Asks no venue."""

from collections.abc import Mapping
from typing import Any

from belay.domain.errors import Conflict
from belay.domain.flows import Flow
from belay.domain.record import Amount, Record, Symbol, base_asset
from belay.domain.write_off import WriteOffRequest, written_off_of
from belay.ports import Services
from belay.workflows.requests import Answer, answered
from belay.workflows.session import open_session
from belay.workflows.updates import TRIES


class WrittenOff(Record):
    """The `record` of it; `left` of the strategy's position, and how much is `short` of the asset still. Its incident
    ends with the next runs."""

    account: str
    symbol: Symbol
    record: Flow
    left: Amount
    short: Amount


def answer(event: Mapping[str, Any], services: Services) -> Answer:
    return answered(event, "write_off", lambda account, wish: write_off(account, WriteOffRequest.parse(wish), services))


def write_off(name: str, request: WriteOffRequest, services: Services) -> WrittenOff:
    """One conditional step. Repeated it finds nothing short any more and is refused: it never takes more than that.

    Raises:
        InvalidInput: so much is not short, or is not the strategy's, or its price is far from what is known.
        Conflict: others kept changing the account.
    """
    session, proof = open_session(services, name), services.ledger.last_proof(name)
    price = proof.prices.get(request.symbol) if proof else None
    for _ in range(TRIES):
        flow, after = written_off_of(services.ledger.account(name), request, price, session.clock.now())
        try:
            services.ledger.record_flow(flow, after)
        except Conflict:
            continue
        left = after.position(request.strategy, request.symbol).quantity
        short = after.short(base_asset(request.symbol))
        return WrittenOff(account=name, symbol=request.symbol, record=flow, left=left, short=short)
    raise Conflict(f"account {name}")
