"""Incidents: facts that need a person, with what was compared and what to do."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from belay.domain.errors import InvalidInput
from belay.domain.record import OpenEnum, Record, Symbol, Utc, digest, iso


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
    POSITION_MISMATCH = "position_mismatch"


# What is looked at again by every run: the text follows the fact, and a fact that is gone ends the incident.
ENDS_BY_RULE = frozenset(
    {
        IncidentKind.UNKNOWN_VENUE_ORDER,
        IncidentKind.MISSING_ORDER,
        IncidentKind.BALANCE_MISMATCH,
        IncidentKind.ORDER_MISMATCH,
        IncidentKind.UNATTRIBUTED_TRADE,
        IncidentKind.FILLS_MISSING,
        IncidentKind.UNREADABLE_ROW,
        IncidentKind.NOT_RECONCILED,
        IncidentKind.STALE_PROOF,
        IncidentKind.SYMBOL_UNAVAILABLE,
        IncidentKind.POSITION_MISMATCH,
    }
)
# Whose text follows the fact while they are open.
FOLLOWED = ENDS_BY_RULE | {IncidentKind.EXIT_NOT_PLACED}
# How `expected` of an order's incident ends where its order was never sent: there is nothing to ask the venue about.
WAS_NEVER_SENT = "was never sent"
# In `expected` of an exit that did not go out: behind the strategy, and at the end where another exit is on its way.
LEAVES, BY_ANOTHER_EXIT = " leaves ", " by another exit"
# How `expected` ends where it may be so again by itself: a symbol that may only be halted, coins that may come back.
WITHIN_A_DAY = " again within a day"


class Incident(Record):
    """`expected` is the ledger's value, `actual` the venue's; `action` says what the person should do.

    `told` is False while the alert could not be delivered: the reconciler then tells it again.

    `resolved_by` and `resolved_at`: who said that it is over, and when; `belay` where the fact itself was gone.

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
    resolved_by: str = ""
    resolved_at: Utc | None = None

    @property
    def incident_id(self) -> str:
        return f"{self.kind}:{self.subject}"

    @property
    def wording(self) -> tuple[str, str, str]:
        """What a person reads of the fact; it follows the fact while the incident is open."""
        return self.expected, self.actual, self.action


class IncidentEntry(Record):
    """One line of an incident's history, which is only ever appended to: what happened, who did it, and why."""

    account: str
    incident_id: str
    at: Utc
    what: Literal["opened", "changed", "resolved"]
    author: str
    reason: str

    @property
    def position(self) -> str:
        """Time order, and of one moment the order in which things happen; the same line appended twice is one."""
        rank = ("opened", "changed", "resolved").index(self.what)
        return f"{iso(self.at)}#{rank}#{digest(self.model_dump_json())[:12]}"


class ResolveRequest(Record):
    """A person asks to end an incident: `incident_id` as the list shows it."""

    incident_id: Annotated[str, Field(min_length=1, max_length=1_000)]
    reason: Annotated[str, Field(min_length=1, max_length=1_000)]
    author: Annotated[str, Field(min_length=1, max_length=200)] = "operator"

    @classmethod
    def parse(cls, wish: object) -> "ResolveRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("resolve", error, "See `belay incidents resolve --help`.") from None


class Looked(Record):
    """What came of it. `status` stays open while the fact stands, or could not be looked at: `problem` says which,
    `remedy` what to do, `commands` how. `expected` and `actual` as of this look. `lifted`: how many stops went with
    it."""

    account: str
    incident_id: str
    status: Literal["open", "resolved"]
    expected: str
    actual: str
    problem: str = ""
    remedy: str = ""
    commands: tuple[str, ...] = ()
    resolution: str = ""
    lifted: int = 0
