"""Flows: what came to an account or left it without a trade of its orders. Append-only, each counted once."""

from belay.domain.record import Amount, OpenEnum, Record, Utc
from belay.domain.venues import UnreadRow, VenueTrade


class FlowKind(OpenEnum):
    """What a movement was; one that only a later version knows counts as what its amounts say."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    INTEREST = "interest"
    DIVIDEND = "dividend"
    DUST = "dust"
    CONVERSION = "conversion"
    TRANSFER = "transfer"
    EARN = "earn"
    ADJUSTMENT = "adjustment"
    TRADE = "trade"
    REBASE = "rebase"
    OPENING = "opening"


# Those by which an asset's balance is taken as it is.
TAKES = frozenset({FlowKind.OPENING, FlowKind.REBASE})


class Flow(Record):
    """Amounts by asset that came (or, negative, went), fees included, at venue time `at`.

    `flow_id` is the venue's own id behind the name of its list, a trade's key, or an operator's. `evidence` is the
    venue's word for it, or the operator's reason. `trade`: the trade that nobody's order explains, where it is one;
    `strategy` has the position that came of it.
    `fill_of`: the order whose fill that trade proved to be; then this takes back what it was counted as before.
    `true_fees`: what that trade cost, by the venue's ledger; then this only puts them in place of its estimated ones.
    """

    account: str
    flow_id: str
    kind: FlowKind
    amounts: dict[str, Amount]
    at: Utc
    recorded_at: Utc
    author: str
    evidence: str
    strategy: str | None = None
    trade: VenueTrade | None = None
    fill_of: str | None = None
    true_fees: dict[str, Amount] | None = None

    @property
    def needs(self) -> int:
        return 2


class VenueFlow(Record):
    """One movement as the venue's records tell it. `amounts` by asset, fees included."""

    flow_id: str
    kind: FlowKind
    amounts: dict[str, Amount]
    at: Utc
    evidence: str


class FeeRow(Record):
    """What a trade's fee really was, by the venue's ledger; amounts by asset, a rebate negative."""

    trade_id: str
    fees: dict[str, Amount]


class FlowPage(Record):
    """What a venue recorded in a window: movements, and the fees of trades where only its ledger tells them.

    `read_until`: up to where everything was read. `covered` False: this venue keeps no such record that can be read.
    Not every movement is final when it is recorded. Those of `coming` have not moved a balance yet, those of `out`,
    which are among `flows`, may yet come back, and those of `void` have moved nothing in the end. All this was so at
    `as_of` or later.
    """

    flows: tuple[VenueFlow, ...] = ()
    fees: tuple[FeeRow, ...] = ()
    unread: tuple[UnreadRow, ...] = ()
    read_until: Utc
    covered: bool = True
    coming: tuple[VenueFlow, ...] = ()
    out: tuple[VenueFlow, ...] = ()
    void: tuple[VenueFlow, ...] = ()
    as_of: Utc | None = None
