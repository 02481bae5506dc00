"""Every request as it was received and what became of it: append-only rows, in memory and in a file. No secrets.

Rows: `request` as it arrived; `decision` of the venue, with the order if it became one; `answer` as it was given;
`followed` when a client followed a redirect; `event` for what was done to the server. A request may have several
decisions (two copies) or a late one (held), after its answer.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, Any]


class Audit:
    """The rows of one server. Written under the server's lock."""

    def __init__(self, path: Path | None = None) -> None:
        self.rows: list[Row] = []
        self._file: TextIO | None = path.open("a", buffering=1) if path else None

    def append(self, row: str, at: datetime, **values: Any) -> None:
        entry = {"row": row, "at": at.isoformat(), **values}
        self.rows.append(entry)
        if self._file:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        if self._file:
            self._file.close()

    def requests(self, kind: str | None = None, client_order_id: str | None = None) -> list[Row]:
        """The requests as received, oldest first."""
        return [
            row
            for row in self._of("request")
            if kind in (None, row["kind"]) and client_order_id in (None, row["client_order_id"])
        ]

    def decisions(self, client_order_id: str | None = None) -> list[Row]:
        """What the venue decided, oldest first."""
        return [row for row in self._of("decision") if client_order_id in (None, row["client_order_id"])]

    def answers(self, request: int) -> list[Row]:
        return [row for row in self._of("answer") if row["request"] == request]

    def followed(self) -> list[Row]:
        return self._of("followed")

    def orders_per_client_id(self) -> dict[str, tuple[str, ...]]:
        """The venue order ids made for each client order id that a create request bore, none included."""
        found: dict[str, list[str]] = {row["client_order_id"] or "": [] for row in self.requests("create_order")}
        for row in self._of("decision"):
            if row["created"]:
                found[row["client_order_id"] or ""].append(row["venue_order_id"])
        return {client_order_id: tuple(ids) for client_order_id, ids in found.items()}

    def _of(self, row: str) -> list[Row]:
        return [entry for entry in self.rows if entry["row"] == row]
