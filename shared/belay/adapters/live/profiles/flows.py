"""Where a venue records what came and went without a trade of ours, as a profile describes it. Reads no answer."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from belay.adapters.live.profiles.answers import Rows
from belay.domain.flows import FlowKind
from belay.domain.record import Record

Method = r"^[a-z][A-Za-z0-9]*$"


def _known(kind: FlowKind) -> FlowKind:
    """Stored flows may be of a later version; a profile is of this one."""
    if not kind.known:
        raise ValueError(f"{kind!r} is no kind of flow: use one of {', '.join(FlowKind)}")
    return kind


Kind = Annotated[FlowKind, AfterValidator(_known)]


class Leg(Record):
    """One amount that a row moves: of the asset that it names at `asset`, or always of `of`.

    `amount`: the first of these paths that is told counts. `sign`: 1 came, -1 went; `turns`: where the row says -1
    there, it is the other way round.
    """

    amount: tuple[str, ...] = Field(min_length=1)
    asset: str | None = None
    of: str | None = None
    sign: Literal[1, -1]
    turns: str | None = None

    @model_validator(mode="after")
    def _names_its_asset(self) -> Self:
        if (self.asset is None) == (self.of is None):
            raise ValueError("a leg has an asset that the row names, or always the same one")
        return self


class FlowList(Record):
    """One list of a venue that keeps several. A flow's id is `name` with what the row says at each path of `id`, or
    with a digest of all of the row where it has no id.

    `params` go with each request, `start` and `end` name the times of a window in ms, of at most `window_days`.
    `page`: the parameter that pages, counting pages from 1 or rows from 0; None: all that can be had is one page.
    `at_request`: what is pending has left the balance already, and comes back where it ends void.
    `parts`: each row is a group, with the rows proper under this name.
    `asked`: the time by which the venue applies the window; `time`: when the amount moved, the first that is told.
    `status`: where the row says how far it is, among `done` (counts), `pending` (not yet: what is read ends before it)
    and `void` (never); any other is not understood. `where`: rows that say anything else there move another wallet.
    `also_in`: the list which may show the same event under an id of its own. `weight`: its share of
    `FlowRecords.weight`. `optional`: an account for which the list is not kept is told so by an error.
    """

    name: str = Field(pattern=r"^[a-z][a-z-]{0,39}$")
    method: str = Field(pattern=Method)
    kind: Kind
    rows: Rows
    params: dict[str, str] = {}
    start: str = "startTime"
    end: str = "endTime"
    window_days: int = Field(gt=0)
    page: str | None = None
    counts: Literal["pages", "rows"] = "pages"
    size: str | None = "size"
    page_size: int = Field(gt=0)
    parts: str | None = None
    id: tuple[str, ...] = ()
    asked: tuple[str, ...] = Field(min_length=1)
    time: tuple[str, ...] = Field(min_length=1)
    status: str | None = None
    done: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    void: tuple[str, ...] = ()
    where: dict[str, tuple[str, ...]] = {}
    legs: tuple[Leg, ...] = Field(min_length=1)
    also_in: str | None = None
    weight: int = Field(default=1, gt=0)
    optional: bool = False
    at_request: bool = False


class LedgerFields(Record):
    """The one ledger of a venue whose every row is an amount and a fee of one asset: newest first, by number.

    `kinds`: what a row is, by `type/subtype` or, where that is not named, by `type`. `trade`: the types of the rows of
    trades, whose fees the ledger alone tells exactly; `link` names the trade.
    """

    method: str = Field(pattern=Method)
    params: dict[str, str] = {}
    rows: Rows
    page_size: int = Field(gt=0)
    id: str
    link: str
    time: str
    type: str
    subtype: str
    asset: str
    amount: str
    fee: str
    trade: tuple[str, ...]
    kinds: dict[str, Kind]


class FlowRecords(Record):
    """All of a venue's records: one `ledger`, or `lists`, of which one run reads as many as `weight` allows.

    `denied`: codes that say that the key may not read them, `right` how that right is called.
    """

    ledger: LedgerFields | None = None
    lists: tuple[FlowList, ...] = ()
    weight: int = Field(default=12, gt=0)
    denied: tuple[str, ...] = ()
    right: str

    @property
    def pending_days(self) -> int:
        """A row of a ledger has moved its balance, one of a list may be there before it does. Looked for is as far back
        as one sweep of the shortest window reaches with a day to spare."""
        return max(min((entry.window_days for entry in self.lists), default=1) - 1, 0)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.ledger is None) == (not self.lists):
            raise ValueError("a venue keeps one ledger, or lists")
        names = [entry.name for entry in self.lists]
        if len(set(names)) < len(names):
            raise ValueError("two lists of one name: their ids could meet")
        known: set[str] = set()
        for entry in self.lists:
            if entry.also_in is not None and entry.also_in not in known:
                raise ValueError(f"{entry.name} is to be compared with {entry.also_in}, which is not read before it")
            known.add(entry.name)
        return self
