"""Incidents: facts that need a person, with what was compared and what to do."""

from typing import Literal

from belay.domain.record import OpenEnum, Record, Symbol, Utc


class IncidentKind(OpenEnum):
    INVALID_EVENT = "invalid_event"
    UNKNOWN_OUTCOME = "unknown_outcome"
    UNKNOWN_VENUE_ORDER = "unknown_venue_order"
    MISSING_ORDER = "missing_order"
    BALANCE_MISMATCH = "balance_mismatch"
    OVERFILL = "overfill"
    DUPLICATE_VENUE_ORDER = "duplicate_venue_order"
    ORDER_MISMATCH = "order_mismatch"
    UNATTRIBUTED_TRADE = "unattributed_trade"
    WRONG_ABSENCE_PROOF = "wrong_absence_proof"
    EXIT_NOT_PLACED = "exit_not_placed"
    VENUE_CONFIGURATION = "venue_configuration"
    VENUE_UNREACHABLE = "venue_unreachable"
    CLOCK_OFFSET = "clock_offset"
    MISSED_SLOT = "missed_slot"
    FILLS_MISSING = "fills_missing"
    BROKEN_RECORD = "broken_record"
    UNREADABLE_ROW = "unreadable_row"
    NOT_RECONCILED = "not_reconciled"
    STALE_PROOF = "stale_proof"
    SYMBOL_UNAVAILABLE = "symbol_unavailable"
    IDENTITY_CHANGED = "identity_changed"
    FEE_UNCONFIRMED = "fee_unconfirmed"
    WRONG_WORD = "wrong_word"


class Incident(Record):
    """`expected` is the ledger's value, `actual` the venue's; `action` says what the person should do.

    `told` is False while the alert could not be delivered: the reconciler then tells it again.

    `incident_id` is made from kind and subject, so that the same fact opens one incident, however often it is seen. No
    kind holds a colon: the first one ends it, whatever the subject holds.
    """

    account: str
    kind: IncidentKind
    subject: str
    symbol: Symbol | None = None
    expected: str
    actual: str
    action: str
    opened_at: Utc
    status: Literal["open", "resolved"] = "open"
    told: bool = True
    resolution: str = ""

    @property
    def incident_id(self) -> str:
        return f"{self.kind}:{self.subject}"
