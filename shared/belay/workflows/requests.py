"""What a person's requests to the reconciler have in common: how they are answered, and incidents that they end."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from belay.domain.errors import BelayError, Conflict, InvalidInput, VenueUnavailable
from belay.domain.record import Record
from belay.ports import Services
from belay.workflows.session import Session
from belay.workflows.updates import end_incident

type Answer = dict[str, Any]

TRIES = 3


def answered(event: Mapping[str, Any], name: str, carry_out: Callable[[str, Any], Record]) -> Answer:
    """Do what an event like `{"account": "paper", "trades": {}}` asks for; what stands against it is data, too.

    A run that writes meanwhile is no reason to send a person away: the same is asked anew, of what is there by then.
    """
    try:
        return _repeated(carry_out, str(event.get("account", "")), event[name]).model_dump(mode="json")
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except VenueUnavailable as error:
        return {"error": name, "problem": f"the venue could not be asked: {error}", "remedy": "Nothing was changed."}
    except BelayError as error:
        return {"error": name, "problem": str(error), "remedy": "Ask again: what was done stays done, and once."}


def _repeated(carry_out: Callable[[str, Any], Record], account: str, wish: Any) -> Record:
    for _ in range(TRIES - 1):
        try:
            return carry_out(account, wish)
        except Conflict:
            continue
    return carry_out(account, wish)


def require_strategy(session: Session, strategy: str, is_new: bool, field: str) -> None:
    """What a misspelt strategy owned, nobody would ever sell. One is known by its ticks, or by what it holds.

    Raises:
        InvalidInput: it is not known, and not said to be new.
    """
    ledger, account = session.services.ledger, session.document.account
    known = {tick.strategy for tick in ledger.schedules(account)} | ledger.account(account).positions.keys()
    if strategy not in known and not is_new:
        problem = f"no tick of {strategy} has come yet; known are: {', '.join(sorted(known)) or 'none'}"
        raise InvalidInput(field, problem, "Correct the name, wait for its first tick, or add --new-strategy.")


def end_incidents(
    services: Services, account: str, incident_ids: Iterable[str], resolution: str, author: str
) -> tuple[str, ...]:
    """Lift the stops of these incidents and resolve those that are open. Returns these."""
    stopped_by = {stop.incident for stop in services.ledger.account(account).stops}
    ended = []
    for incident_id in incident_ids:
        known = services.ledger.incident(account, incident_id)
        is_open = known is not None and known.status == "open"
        if is_open or incident_id in stopped_by:
            end_incident(services, account, incident_id, resolution, author)
        if is_open:
            ended.append(incident_id)
    return tuple(ended)
