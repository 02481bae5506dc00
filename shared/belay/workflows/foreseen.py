"""What an account would be once everything that the venue recorded of it is counted. Stores nothing."""

from contextlib import suppress
from datetime import timedelta

from belay.domain.account import Account
from belay.domain.errors import VenueUnavailable
from belay.domain.flows import FlowPage, VenueFlow
from belay.workflows.flows import CURSOR, MOST_READS, OVERLAPS, Moves, flow_of
from belay.workflows.session import Session
from belay.workflows.views import Views


def foreseen(session: Session, views: Views) -> Account:
    """The account with what its venue's records name and no run has counted yet; as it is where they cannot be read."""
    account, now = views.ledger.account, views.venue.time
    if account.opened_at is None:
        return account
    cursor = session.services.ledger.cursor(account.account, CURSOR)
    earliest = account.opened_at - timedelta(days=session.venue.profile.pending_days)
    start = max(earliest, min(cursor.read_until - OVERLAPS[-1], now)) if cursor else min(earliest, now)
    seen = set[str]()
    with suppress(VenueUnavailable):
        for _ in range(MOST_READS):
            page = session.venue.flows(start, now)
            for row, moves in _told(page):
                flow = flow_of(session.services, account, row, moves)
                if flow is not None and flow.flow_id not in seen:
                    account = account.with_flow(flow)
                    seen.add(flow.flow_id)
            if not start < page.read_until < now:
                break
            start = page.read_until
    return account


def _told(page: FlowPage) -> tuple[tuple[VenueFlow, Moves | None], ...]:
    return (*((row, None) for row in page.flows), *((row, Moves.BACK) for row in page.void))
