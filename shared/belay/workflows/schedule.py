"""What the reconciler's schedule does: ask for each account's reconciliation, and notice one that falls silent."""

from datetime import timedelta

from belay.domain.errors import BelayError
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.record import Record
from belay.ports import Services, Suspicion
from belay.workflows.outage import STALE
from belay.workflows.pending import tell_again
from belay.workflows.updates import NO_ACCOUNT, open_incident

# Three runs of the schedule and what a venue that answers slowly may take.
PROOF_BOUND = timedelta(minutes=10)
# A stack that was down has old proofs only: the runs that are asked for come first.
SPACING = timedelta(minutes=2)


class Scheduled(Record):
    """Which accounts were asked for; which of them could not be, or could not be looked at, and why."""

    asked: tuple[str, ...]
    failed: dict[str, str]
    stale: tuple[str, ...]


def ask_for_all(services: Services) -> Scheduled:
    """Publish one follow-up for each account: whichever hangs, the others are reconciled."""
    asked, failed, old = list[str](), dict[str, str](), dict[str, Incident]()
    for account in services.ledger.accounts():
        try:
            services.queue.follow_up(account, 0)
            asked.append(account)
            if (incident := stale_proof(account, services)) is not None:
                old[account] = incident
        except Exception as error:  # an account's own; the others are asked for all the same
            failed[account] = str(error) if isinstance(error, BelayError) else type(error).__name__
    tell_again(services, NO_ACCOUNT)
    return Scheduled(asked=tuple(asked), failed=failed, stale=_seen_twice(old, services))


def stale_proof(account: str, services: Services) -> Incident | None:
    """What there is to say of the last proof's age, by the account's own clock: on a replay account the market's."""
    configuration, proof = services.ledger.configuration(account), services.ledger.last_proof(account)
    if configuration is None:
        return None
    if proof is None:
        since, now, last = configuration.stored_at, services.clock.now(), "none"
    else:
        document = configuration.document
        clock = services.venues.clock(document) if document.mode == "paper" else services.clock  # asks no live venue
        since, now = proof.completed_at, clock.now()
        last = f"the last one is of {proof.completed_at:%FT%TZ}"
    if now - since <= PROOF_BOUND:
        return None
    return Incident(
        account=account,
        kind=IncidentKind.STALE_PROOF,
        subject=STALE.partition(":")[2],
        expected=f"a clean reconciliation every minute, at most {PROOF_BOUND.total_seconds():.0f} s apart",
        actual=last,
        action="Read the account's other incidents, then the reconciler's log of it. Entries wait; this ends by itself "
        "with the next clean reconciliation.",
        opened_at=services.clock.now(),
    )


def _seen_twice(old: dict[str, Incident], services: Services) -> tuple[str, ...]:
    """Open those that an earlier firing saw, too. Their first sightings lie where no account's own are."""
    ledger, now = services.ledger, services.clock.now()
    before = ledger.suspicion(NO_ACCOUNT)
    seen_before = before.first_seen if before else {}
    first_seen = {account: seen_before.get(account, now) for account in sorted(old)}
    if first_seen != seen_before:
        ledger.store_suspicion(Suspicion(account=NO_ACCOUNT, first_seen=first_seen))
    stale = tuple(account for account, since in first_seen.items() if now >= since + SPACING)
    for account in stale:
        open_incident(services, old[account])
    return stale
