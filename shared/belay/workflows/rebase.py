"""Take balances as they are, where a person knows why and no record of the venue does. Sends nothing to the venue."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from belay.domain.balances import Difference
from belay.domain.errors import BelayError, Conflict, InvalidInput
from belay.domain.flows import Flow, FlowKind
from belay.domain.in_flight import in_flight, uncounted
from belay.domain.incidents import IncidentKind
from belay.domain.rebase import Rebased, RebaseRequest, Shift
from belay.domain.reconciliation import compared
from belay.domain.record import Utc
from belay.domain.venues import UnreadRow
from belay.domain.way_back import ending
from belay.ports import Services
from belay.workflows.identity import refuse_other_identity
from belay.workflows.session import Session, open_session
from belay.workflows.still import steady, unread_about
from belay.workflows.updates import TRIES, end_incident
from belay.workflows.views import Views, read

AGAIN = "Ask again in a minute; nothing was changed."


def answer(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Rebase as an event like `{"account": "paper", "rebase": {}}` asks; what stands against it is data, too."""
    try:
        rebased = rebase(str(event.get("account", "")), RebaseRequest.parse(event["rebase"]), services)
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except BelayError as error:
        return {"error": "rebase", "problem": str(error), "remedy": "Ask again: what is taken is taken once."}
    return rebased.model_dump(mode="json")


def rebase(account: str, request: RebaseRequest, services: Services) -> Rebased:
    """Record as one flow what the balances asked for differ by; without a wish, only say by what.

    Asked twice it takes once, since nothing differs any longer; of two at once each takes what the other left.

    Raises:
        InvalidInput: something may have moved one of the balances and is not counted or not read, a balance moves, or
            differs by another amount than the person saw; nothing was changed.
        VenueUnavailable: the venue could not be read.
        Conflict: others kept changing the account.
    """
    session = open_session(services, account)
    refuse_other_identity(session)
    for _ in range(TRIES):
        views = read(session)
        found = _compared(views)
        asked = tuple(found) if request.whole or not request.wants_something else request.assets
        shifts = _shifts(asked, found)
        if not request.wants_something:
            return Rebased(account=account, taken=False, shifts=shifts, unread=_unread(views))
        _require_read(asked if request.assets else shifts, views)
        _require_seen(request, shifts)
        if not shifts:
            return Rebased(account=account, taken=False, shifts={}, resolved=_end(session, asked, request))
        _require_settled(shifts, views)
        flow = _flow(session, request, shifts, _steady(session, views))
        try:
            services.ledger.record_flow(flow, views.ledger.account.with_flow(flow))
        except Conflict:
            continue
        resolved = _end(session, asked, request)
        return Rebased(account=account, taken=True, shifts=shifts, flow_id=flow.flow_id, resolved=resolved)
    raise Conflict(f"account {account}")


def _compared(views: Views) -> dict[str, Difference]:
    account = views.ledger.account
    if account.opening is None:
        problem = f"the balances of {account.account} at its start are not known yet"
        raise InvalidInput("account", problem, "Ask again once a reconciliation has recorded them.")
    return compared(views.ledger, views.venue)


def _unread(views: Views) -> tuple[str, ...]:
    apart = f"the venue's clock is {views.offset.total_seconds():.0f} s from this machine's"
    clocks = () if views.clocks_agree else (apart,)
    return (*clocks, *map(str, views.gaps), *(_row_told(row) for row in views.venue.balances.unread))


def _row_told(row: UnreadRow) -> str:
    return f"{row.key}: {row.problem}"


def _require_read(assets: Collection[str], views: Views) -> None:
    """What could not be read and may have moved one of these assets: then its difference may come of that alone."""
    if not views.clocks_agree:
        raise InvalidInput("account", _unread(views)[0], "Ask again once they agree.")
    for missing in filter(None, (unread_about(views, asset) for asset in assets)):
        told = _row_told(missing) if isinstance(missing, UnreadRow) else str(missing)
        raise InvalidInput("account", f"not everything could be read: {told}", AGAIN)


def _shifts(asked: tuple[str, ...], found: Mapping[str, Difference]) -> dict[str, Shift]:
    if unknown := [asset for asset in asked if asset not in found]:
        problem = f"{unknown[0]} is no asset that this account compares"
        remedy = f"Compared are {', '.join(found)}. One that comes into use is taken in by itself."
        raise InvalidInput("rebase.assets", problem, remedy)
    differing = {asset: found[asset] for asset in asked if not found[asset].explained_at_rest}
    return {
        asset: Shift(before=difference.expected, after=difference.actual, amount=difference.residual)
        for asset, difference in differing.items()
    }


def _require_seen(request: RebaseRequest, shifts: Mapping[str, Shift]) -> None:
    """A command that was written for another difference than this one takes nothing."""
    for asset, amount in sorted(request.amounts.items()):
        now = shifts[asset].amount if asset in shifts else None
        if now is not None and now != amount:
            problem = f"{asset} differs by {now}, not by {amount}"
            raise InvalidInput("rebase.amounts", problem, "Look again: belay rebase shows what differs now.")


def _require_settled(assets: Iterable[str], views: Views) -> None:
    """Nothing that Belay knows of may explain, beyond what is counted, what these assets differ by."""
    ledger = views.ledger
    for asset in assets:
        if waiting := in_flight(ledger, views.venue, asset):
            problem = f"order {waiting} is not settled, and may explain what {asset} differs by"
            raise InvalidInput("account", problem, f"Wait for it, or: {ending(waiting)}")
        trade = uncounted(ledger, views.venue, asset)
        if trade is not None and ledger.owner(trade) is None:
            problem = f"trade {trade.key} belongs to no order, and may explain what {asset} differs by"
            raise InvalidInput("account", problem, "Give it to a strategy, or call it foreign: belay trades list.")
        if trade is not None:
            raise InvalidInput("account", f"trade {trade.key} is about to be counted", AGAIN)


def _steady(session: Session, views: Views) -> Utc:
    at = steady(session, views)
    if at is None:
        raise InvalidInput("account", "the balances moved between two readings", AGAIN)
    return at


def _flow(session: Session, request: RebaseRequest, shifts: Mapping[str, Shift], at: Utc) -> Flow:
    services = session.services
    return Flow(
        account=session.document.account,
        flow_id=f"{FlowKind.REBASE}:{services.new_id()}",
        kind=FlowKind.REBASE,
        amounts={asset: shift.amount for asset, shift in shifts.items()},
        at=at,
        recorded_at=services.clock.now(),
        author=request.author,
        evidence=request.reason,
    )


def _end(session: Session, assets: tuple[str, ...], request: RebaseRequest) -> tuple[str, ...]:
    """End the incidents about balances that are explained by now, also where a process stopped before it did so."""
    services, account = session.services, session.document.account
    named = {f"{IncidentKind.BALANCE_MISMATCH}:{asset}" for asset in assets}
    standing = [i.incident_id for i in services.ledger.open_incidents(account) if i.incident_id in named]
    for incident_id in standing:
        end_incident(services, account, incident_id, f"rebased: {request.reason}", request.author)
    return tuple(standing)
