"""The twin of the tables' incidents and what was appended about each."""

from datetime import datetime

from belay.adapters.memory.books import Books, locked
from belay.adapters.records import incident_position, resolved
from belay.domain.incidents import Incident, IncidentEntry


class IncidentBooks(Books):
    """The part of `ports.Ledger` that needs a person."""

    @locked
    def incidents(self, account: str) -> tuple[Incident, ...]:
        return self._incidents[account].kept(incident_position)

    @locked
    def open_incidents(self, account: str) -> tuple[Incident, ...]:
        return self._incidents[account].all(incident_position)

    @locked
    def incident(self, account: str, incident_id: str) -> Incident | None:
        return self._incidents[account].get(incident_id)

    @locked
    def open_incident(self, incident: Incident) -> bool:
        incidents, key = self._incidents[incident.account], incident.incident_id
        stored = incidents.get(key)
        if incidents.of_later(key):
            return False
        if stored is not None and stored.status == "open" and stored.told:
            return incidents.holds(key, incident)
        incidents[key] = incident
        return True

    @locked
    def follow_incident(self, incident: Incident) -> bool:
        stored = self._incidents[incident.account].get(incident.incident_id)
        if stored is None or stored.status == "resolved" or stored.opened_at != incident.opened_at:
            return False
        self._incidents[incident.account][incident.incident_id] = incident
        return True

    @locked
    def resolve_incident(
        self, account: str, incident_id: str, resolution: str, author: str = "belay", at: datetime | None = None
    ) -> bool:
        incident = self._incidents[account].get(incident_id)
        if incident is None or not incident.understood or incident.status == "resolved":
            return False
        self._incidents[account][incident_id] = resolved(incident, resolution, author, at)
        self._incidents[account].withdraw(incident_id)
        return True

    @locked
    def append_incident_entry(self, entry: IncidentEntry) -> None:
        self._incident_entries[entry.account, entry.incident_id][entry.position] = entry

    @locked
    def incident_history(self, account: str, incident_id: str) -> tuple[IncidentEntry, ...]:
        return self._incident_entries[account, incident_id].all(lambda entry: entry.position)
