"""A document that means another account at a venue than the history is about stops everything, until it is mended."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from belay.domain.account import Account
from belay.domain.errors import BelayError, Conflict, InvalidInput, VenueUnavailable
from belay.domain.flows import Flow, FlowKind
from belay.domain.identity import HOSTS, differing, identity_of
from belay.domain.in_flight import unsettled
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.orders import Order, same_order
from belay.domain.reconciliation import VenueView, compared
from belay.domain.record import Record, digest
from belay.domain.venues import VenueOrder
from belay.ports import Services
from belay.workflows.foreseen import foreseen
from belay.workflows.session import Session, open_session
from belay.workflows.still import steady
from belay.workflows.updates import AUTHOR, end_incident, open_incident
from belay.workflows.views import Views, read

# Of the latest orders, how many are searched for some that the venue may still show, and how many it is asked about.
LATEST, MOST_ASKED = 20, 3
BACK = "Set the document that the account had before, or correct the hosts."
SUBJECT = "document"
INCIDENT = f"{IncidentKind.IDENTITY_CHANGED}:{SUBJECT}"


class SameVenueRequest(Record):
    """A person's word that the hosts of the stored document are those of the same account at the same venue."""

    reason: str = Field(min_length=1, max_length=500)
    author: str = Field(min_length=1, max_length=200)


class SameVenue(Record):
    """The hosts that the account's history was about and is about now; `changed` False: they were the same already."""

    account: str
    changed: bool
    before: tuple[str, ...]
    after: tuple[str, ...]


def require_identity(session: Session, at: datetime) -> str:
    """Open or end the incident about a document that means another account. Returns what stands against acting."""
    services, name = session.services, session.document.account
    account = services.ledger.account(name)
    field = differing(account.identity, session.document)
    known = services.ledger.incident(name, INCIDENT) if field or account.identity is not None else None
    if field is None:
        if known is not None and known.status == "open":
            end_incident(services, name, INCIDENT, "the document means the account that its history is about")
        return ""
    open_incident(services, _changed(session, field, at))
    return f"identity: {field} means another account than its history is about"


def standing_change(session: Session, at: datetime) -> Incident | None:
    """What there is to say where the document means another account than the history is about."""
    field = differing(session.services.ledger.account(session.document.account).identity, session.document)
    return _changed(session, field, at) if field else None


def keep_identity(session: Session, account: Account, venue: VenueView) -> None:
    """A clean run of an account that an earlier version opened: what was compared is what its history is about. The
    venue's own id of the account is told, too, once, as a flow of nothing."""
    told = venue.balances.account
    known = account.identity or identity_of(session.document)
    meant = known.model_copy(update={"venue_account": known.venue_account or told})
    if meant == account.identity:
        return
    ledger, kept = session.services.ledger, account.bumped(identity=meant)
    with suppress(Conflict):  # the next clean run records it
        if meant.venue_account == known.venue_account:
            ledger.save_account(kept)
        else:
            ledger.record_flow(_first_seen(session, str(told), venue.time), kept)


def _first_seen(session: Session, venue_account: str, at: datetime) -> Flow:
    return Flow(
        account=session.document.account,
        flow_id=f"{FlowKind.ADJUSTMENT}:venue account:{venue_account}",
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=at,
        recorded_at=session.services.clock.now(),
        author=AUTHOR,
        evidence=f"the venue tells this account as {venue_account}: from now on a key of another one is refused",
    )


def refuse_other_identity(session: Session) -> None:
    """Raises InvalidInput where the document means another account: nothing may be taken from what is there."""
    if field := differing(session.services.ledger.account(session.document.account).identity, session.document):
        problem = "means another account than the history is about"
        raise InvalidInput(field, problem, f"See `belay incidents show {INCIDENT}`.")


def answer(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Answer an event like `{"account": "main", "same_venue": {"reason": "…", "author": "…"}}`."""
    try:
        request = SameVenueRequest.model_validate(event["same_venue"])
        found = same_venue(str(event.get("account", "")), request, services)
    except ValidationError as error:
        invalid = InvalidInput.from_validation("same_venue", error, "See `belay account set --help`.")
        return {"error": invalid.field, "problem": invalid.problem, "remedy": invalid.remedy}
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except BelayError as error:
        return {"error": "same_venue", "problem": str(error), "remedy": "Ask again; nothing is sent until then."}
    return found.model_dump(mode="json")


def same_venue(account: str, request: SameVenueRequest, services: Services) -> SameVenue:
    """Take other hosts for the same venue, if two equal readings there are what the account should have, what the
    venue recorded there since included: that is counted by the next run.

    Raises:
        InvalidInput: more than hosts differs, not everything could be read, the balances are others, or the outcome of
            an order is open and nothing there is known to be of this account.
        VenueUnavailable: the venue could not be read.
        Conflict: the account changed meanwhile.
    """
    session = open_session(services, account)
    held, meant = services.ledger.account(account), identity_of(session.document)
    field = differing(held.identity, session.document)
    before = held.identity.hosts if held.identity else meant.hosts
    if field is None:
        require_identity(session, services.clock.now())  # also where a process stopped before it ended the incident
        return SameVenue(account=account, changed=False, before=before, after=meant.hosts)
    if field != HOSTS:
        raise InvalidInput(field, "means another account, not another host", "Give the other account its own name.")
    views = read(session)
    _require_read(views)
    _require_ours(session, views)
    _require_equal(session, views)
    at = steady(session, views)
    if at is None:
        raise InvalidInput(HOSTS, "the balances moved between two readings", "Ask again in a minute.")
    flow = Flow(
        account=account,
        flow_id=f"{FlowKind.ADJUSTMENT}:hosts:{digest(f'{before}{meant.hosts}{held.version}')}",
        kind=FlowKind.ADJUSTMENT,
        amounts={},
        at=at,
        recorded_at=services.clock.now(),
        author=request.author,
        evidence=f"{', '.join(before) or 'the usual host'} became {', '.join(meant.hosts) or 'the usual host'}: "
        f"{request.reason}",
    )
    kept = meant.model_copy(update={"venue_account": held.identity.venue_account if held.identity else None})
    services.ledger.record_flow(flow, views.ledger.account.bumped(identity=kept))
    end_incident(services, account, INCIDENT, f"the same venue: {request.reason}", request.author)
    return SameVenue(account=account, changed=True, before=before, after=meant.hosts)


def _require_read(views: Views) -> None:
    if unread := [*views.gaps, *(row.problem for row in views.venue.balances.unread)]:
        raise InvalidInput(HOSTS, f"not everything could be read there: {unread[0]}", BACK)


def _require_ours(session: Session, views: Views) -> None:
    """Where an order's outcome is open, balances may be anything, and the silence of another account would be taken for
    its absence: then something there has to be known as of this account."""
    if (waiting := unsettled(views.ledger)) and not _of_this_account(session, views):
        problem = f"order {waiting[0]} is not settled, and nothing there shows that it is the same account"
        raise InvalidInput(HOSTS, problem, f"{BACK} Ask again once it is settled, or once it is shown there.")


def _of_this_account(session: Session, views: Views) -> bool:
    """Whether the venue tells the account's own id there, or shows an order that was sent under an id of ours."""
    known = views.ledger.account.identity
    if known is not None and known.venue_account is not None and known.venue_account == views.venue.balances.account:
        return True
    ours = ((views.ledger.owner(seen), seen) for seen in views.venue.shown)
    if any(order is not None and _is_that(order, seen) for order, seen in ours):
        return True
    recent = session.services.ledger.orders(session.document.account, LATEST)
    asked = [order for order in recent if order.venue_order_ids and order.settled][:MOST_ASKED]
    return any((seen := _shown(session, order)) is not None and _is_that(order, seen) for order in asked)


def _shown(session: Session, order: Order) -> VenueOrder | None:
    with suppress(VenueUnavailable):  # that shows nothing
        return session.venue.lookup(order.symbol, order.order_id)
    return None


def _is_that(order: Order, seen: VenueOrder) -> bool:
    known = not order.venue_order_ids or seen.venue_order_id in order.venue_order_ids
    return known and seen.client_order_id == order.order_id and same_order(order, seen)


def _require_equal(session: Session, views: Views) -> None:
    """Explained by what is counted, and by what the venue recorded there that is still to be counted."""
    other = _unexplained(views, views.ledger.account)
    other = other and _unexplained(views, foreseen(session, views))
    if other:
        raise InvalidInput(HOSTS, f"what is there of {other[0]} is not what the account has", BACK)


def _unexplained(views: Views, account: Account) -> list[str]:
    found = compared(views.ledger.model_copy(update={"account": account}), views.venue)
    return [asset for asset, difference in found.items() if not difference.explained]


def _changed(session: Session, field: str, at: datetime) -> Incident:
    account = session.services.ledger.account(session.document.account)
    return Incident(
        account=session.document.account,
        kind=IncidentKind.IDENTITY_CHANGED,
        subject=SUBJECT,
        expected=f"the account that its history is about: {account.identity}",
        actual=f"{field} says {identity_of(session.document)}",
        action="Nothing is sent, cancelled or compared meanwhile. Set the document that the account had before; give "
        "the other account a name of its own: belay account set FILE. For another host of the same venue: belay "
        'account set FILE --same-venue "…".',
        opened_at=at,
    )
