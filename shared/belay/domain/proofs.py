"""Proofs: the stored result of one clean reconciliation, which opens the gate for entries."""

import hashlib
import json
from decimal import Decimal

from pydantic import Field

from belay.domain.documents import Configuration
from belay.domain.market import Price
from belay.domain.record import Record, Symbol, Utc


class Proof(Record):
    """What one clean run compared. Times are venue time; `residuals` is venue minus expected, by asset.

    `fingerprint` names the deployment, configuration and table it holds for. `uncovered` are symbols of which something
    could not be read: for them it proves nothing; `because` says why, for a person. `rounding` is what the venue's rounding made of balances since the
    account was opened, `bookings` how many booked amounts that accounts for, both by asset, see `balances`. `prices`
    are those of symbols that are held, the last ones known.
    """

    account: str
    fingerprint: str
    run_id: str
    started_at: Utc
    completed_at: Utc
    account_version: int
    open_orders: int
    trades_read: int
    residuals: dict[str, Decimal]
    uncovered: tuple[Symbol, ...] = ()
    rounding: dict[str, Decimal] = {}
    bookings: dict[str, int] = {}
    prices: dict[Symbol, Price] = {}
    because: dict[Symbol, str] = Field(default={}, exclude_if=lambda told: not told)

    @property
    def needs(self) -> int:
        """To schema 1 a proof covered every symbol."""
        return 2 if self.uncovered else 1


def fingerprint(configuration: Configuration, layer_version: str, table_id: str) -> str:
    """One name for everything whose change must close the gate: deployment, configuration and table.

    The document counts by its content: one that was rewritten under its version is another one, too.
    """
    content = json.dumps(json.loads(configuration.document.text), sort_keys=True)
    document = hashlib.sha256(content.encode()).hexdigest()
    parts = [layer_version, configuration.version, document, table_id]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
