"""Exits that did not go out, looked at again by every run: told as it is by now, and over once nothing is left."""

from contextlib import suppress

from belay.domain.incidents import Incident, IncidentKind
from belay.domain.leaving import not_placed, nothing_left
from belay.domain.orders import Order
from belay.workflows.session import Session
from belay.workflows.updates import end_incident, open_incident
from belay.workflows.views import Views


def follow_exits(session: Session, views: Views) -> None:
    """Let each open incident about an exit say what is left to sell, and end those of which nothing is."""
    services, name = session.services, views.ledger.account.account
    for incident in services.ledger.open_incidents(name):
        if incident.kind is not IncidentKind.EXIT_NOT_PLACED or not incident.understood:
            continue
        if (order := services.ledger.order(incident.subject)) is None:
            continue
        if over := _over(session, order, views):
            end_incident(services, name, incident.incident_id, over)
        else:
            open_incident(services, _as_of_now(incident, order, views))


def _as_of_now(incident: Incident, order: Order, views: Views) -> Incident:
    orders = views.ledger.orders.values()
    return not_placed(order, incident.actual, views.ledger.account, orders, incident.opened_at)


def _over(session: Session, order: Order, views: Views) -> str:
    """Why nothing is to be done any more; empty where something is."""
    account, price = views.ledger.account, views.prices.get(order.symbol)
    if nothing_left(account, order):
        return f"{order.strategy} holds nothing of {order.symbol} any more"
    with suppress(Exception):  # what cannot be judged is left to sell
        held = account.position(order.strategy, order.symbol).quantity
        if price is not None and session.market_data.market(order.symbol).too_small(held, price.value):
            return f"what {order.strategy} holds of {order.symbol} is too little to be sold"
    return ""
