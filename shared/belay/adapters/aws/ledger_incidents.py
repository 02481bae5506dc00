"""The ledger's incidents and what was appended about each."""

from datetime import datetime

from belay.adapters.aws import items, keys
from belay.adapters.aws.conditions import (
    absent_or,
    repeated,
)
from belay.adapters.aws.ledger_reading import TableReader, record_at
from belay.adapters.aws.table import Condition
from belay.adapters.records import incident_position, resolved
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.record import iso


class IncidentTables(TableReader):
    """The part of `ports.Ledger` that needs a person."""

    def incidents(self, account: str) -> tuple[Incident, ...]:
        stored = self._accounts.partition(keys.account(account), keys.INCIDENTS)
        return tuple(sorted(self._listed(Incident, account, stored), key=incident_position))

    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return self._listed(Incident, account, self._accounts.standing(keys.account(account), keys.INCIDENTS))

    def incident(self, account: str, incident_id: str) -> Incident | None:
        return record_at(self._accounts, Incident, keys.account(account), keys.incident(incident_id))

    def open_incident(self, incident: Incident) -> bool:
        item = items.incident(incident)
        lost = self._accounts.put(item, absent_or("incident_status <> :open", {":open": "open"}))
        return not lost or repeated(lost, item.body)

    def follow_incident(self, incident: Incident) -> bool:
        return self._rewritten(incident)

    def resolve_incident(
        self, account: str, incident_id: str, resolution: str, author: str = "belay", at: datetime | None = None
    ) -> bool:
        incident = self.incident(account, incident_id)
        if incident is None or not incident.understood or incident.status == "resolved":
            return False
        return self._rewritten(resolved(incident, resolution, author, at))

    def _rewritten(self, incident: Incident) -> bool:
        """Over the one that was read. Lost to someone who resolved it, perhaps to a new opening after that: neither is
        ours to touch."""
        item = items.incident(incident)
        as_read = Condition(
            "incident_status <> :resolved AND opened_at = :opened",
            {":resolved": "resolved", ":opened": iso(incident.opened_at)},
        )
        lost = self._accounts.put(item, as_read)
        return not lost or repeated(lost, item.body)

    def append_incident_entry(self, entry: IncidentEntry) -> None:
        self._accounts.put(items.incident_entry(entry))

    def incident_history(self, account: str, incident_id: str) -> tuple[IncidentEntry, ...]:
        found = self._accounts.partition(keys.account(account), keys.history(incident_id))
        return self._listed(IncidentEntry, account, found)
