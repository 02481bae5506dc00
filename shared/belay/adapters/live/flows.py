"""What a venue records of an account beside its trades: one ledger or several lists, a bounded part of them at a time.

What a row moved is what the venue says, never computed. A row that is not understood is told and not counted. What
is read ends before one that is not final; it counts once it has moved the balance.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from belay.adapters.live.flow_lists import Found, ListWindow, TooMany, read_list
from belay.adapters.live.ledger_rows import LedgerPart, read_ledger
from belay.adapters.live.profiles.flows import FlowList, FlowRecords, LedgerFields
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.reading import Unbelievable
from belay.adapters.live.rows import Told
from belay.adapters.live.signed import SignedRequests
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, NotUnderstood, VenueUnavailable
from belay.domain.flows import FlowPage, VenueFlow
from belay.domain.venues import UnreadRow

# Of one run: a page of Kraken's ledger costs a fifth to a quarter of all that a key may ask in a row. What no shorter
# window would have fewer rows of, such as the fills of one large order, has to be asked for all the same.
LEDGER_PAGES, MOST_LEDGER_PAGES, LEDGER_TRIES = 3, 10, 2
SHORTEST = timedelta(seconds=2)
# A sweep that did not come to its end for so long is given up: a list that stays unreadable must not hide what is new.
STALE = timedelta(hours=2)
# Within it the same event in another list, under an id of its own, is taken for the same.
SAME = timedelta(minutes=10)


@dataclass
class Sweep:
    """A window of which some lists are read at `now`, and what they held: all are told of again until every list is
    read, since nobody knows whether what was told was also kept."""

    start: datetime
    end: datetime
    now: datetime
    done: dict[str, Found] = field(default_factory=dict)


class FlowReader:
    """Reads one account's flows. It keeps how far it came only to be quicker: started anew, it begins anew."""

    def __init__(self, profile: CcxtProfile, document: AccountDocument, signed: SignedRequests, told: Told) -> None:
        self._records = None if document.sandbox else profile.flows  # no test host keeps such records
        self._venue = profile.name
        self._signed = signed
        self._told = told
        self._sweep: Sweep | None = None
        self._span: timedelta | None = None

    def read(self, start: datetime, end: datetime) -> FlowPage:
        """What the venue recorded with start <= time <= end, as far as `read_until`. When it moved may be later: of a
        withdrawal, when it was completed.

        Raises:
            Unbelievable, VenueUnavailable: nothing could be read.
        """
        if self._records is None or end < start:
            return FlowPage(read_until=start, covered=False)
        if self._records.ledger is not None:
            return self._ledger(self._records, self._records.ledger, start, end)
        return self._lists(self._records, start, end)

    # --- one ledger ---

    def _ledger(self, records: FlowRecords, fields: LedgerFields, start: datetime, end: datetime) -> FlowPage:
        until = end if self._span is None else min(end, start + self._span)
        try:
            for _ in range(LEDGER_TRIES):
                shortest = until - start <= SHORTEST
                part = LedgerPart(start, until, MOST_LEDGER_PAGES if shortest else LEDGER_PAGES)
                try:
                    page = read_ledger(fields, part, self._ask, self._signed.asset_of, self._told)
                except TooMany as many:
                    if shortest:
                        raise Unbelievable("number of rows in a second") from None
                    self._span = max((until - start) * many.share, SHORTEST)
                    until = start + self._span
                else:
                    self._span = self._span * 2 if self._span is not None and until < end else None
                    return page
        except AccountRefused as error:
            return FlowPage(read_until=start, covered=False, unread=(self._denied(records, "ledger", error),))
        return FlowPage(read_until=start)

    def _ask(self, method: str, params: dict[str, str]) -> object:
        return self._signed.ask(method, params).document

    # --- several lists ---

    def _lists(self, records: FlowRecords, start: datetime, end: datetime) -> FlowPage:
        """Lists in their order, until all of the run's weight is spent; the next run goes on with the others."""
        sweep = self._sweep
        if sweep is None or not sweep.start <= start < sweep.end or end - sweep.now > STALE:
            longest = timedelta(days=min(entry.window_days for entry in records.lists))
            sweep = self._sweep = Sweep(start, min(end, start + longest), end)
        problems = self._read_on(records, sweep)
        if sweep is not self._sweep or len(sweep.done) < len(records.lists):
            return self._page(sweep, start, problems)
        self._sweep = None
        pending = [found.pending for found in sweep.done.values() if found.pending is not None]
        return self._page(sweep, max(min([sweep.end, *pending]), start), problems)

    def _read_on(self, records: FlowRecords, sweep: Sweep) -> tuple[UnreadRow, ...]:
        """Read lists while there is weight left. Raises VenueUnavailable where not one could be read."""
        spent, before = 0, len(sweep.done)
        problems: list[UnreadRow] = []
        for entry in records.lists:
            if entry.name in sweep.done or (entry.also_in is not None and entry.also_in not in sweep.done):
                continue
            if spent and spent + entry.weight > records.weight:
                break
            spent += entry.weight
            try:
                sweep.done[entry.name] = self._attempted(records, entry, sweep)
            except (NotUnderstood, Unbelievable) as error:
                problems.append(self._unread(entry.name, f"list not understood: {error}"))
            except TooMany:
                self._sweep = _shorter(sweep)
                break
            except VenueUnavailable:
                if len(sweep.done) == before:
                    raise
                break
        return tuple(problems)

    def _attempted(self, records: FlowRecords, entry: FlowList, sweep: Sweep) -> Found:
        """A list that is not kept for every account may be refused, and then explains nothing."""
        try:
            return self._found(entry, sweep)
        except AccountRefused as error:
            denied = self._denied(records, entry.name, error)
            return Found() if entry.optional else Found(unread=(denied,), covered=False)
        except (NotUnderstood, Unbelievable):
            if not entry.optional:
                raise
            return Found()
        except TooMany:
            if sweep.end - sweep.start > SHORTEST:
                raise
            raise Unbelievable("more rows in a second than can be read") from None

    def _found(self, entry: FlowList, sweep: Sweep) -> Found:
        asked = ListWindow(sweep.start, sweep.end, sweep.now)
        found = read_list(entry, asked, self._ask, self._signed.asset_of, self._told)
        if entry.also_in is None:
            return found
        others = sweep.done[entry.also_in].flows
        return replace(found, flows=tuple(flow for flow in found.flows if not _is_among(flow, others)))

    def _page(self, sweep: Sweep, until: datetime, problems: tuple[UnreadRow, ...]) -> FlowPage:
        done = sweep.done.values()
        return FlowPage(
            flows=tuple(flow for found in done for flow in found.flows),
            unread=(*(row for found in done for row in found.unread), *problems),
            read_until=until,
            covered=all(found.covered for found in done),
            coming=tuple(flow for found in done for flow in found.coming),
            out=tuple(flow for found in done for flow in found.out),
            void=tuple(flow for found in done for flow in found.void),
            as_of=sweep.now,
        )

    # --- words ---

    def _denied(self, records: FlowRecords, name: str, error: AccountRefused) -> UnreadRow:
        """The missing right; any other refusal concerns the whole account, and is raised."""
        if error.code not in records.denied:
            raise error
        return self._unread(name, f"the key lacks the right {records.right!r} ({error.code})")

    def _unread(self, name: str, problem: str) -> UnreadRow:
        return UnreadRow(what="flow", reference=name, problem=self._told(f"{self._venue}: {problem}"))


def _shorter(sweep: Sweep) -> Sweep:
    return Sweep(sweep.start, sweep.start + max((sweep.end - sweep.start) / 2, SHORTEST), sweep.now)


def _is_among(flow: VenueFlow, others: tuple[VenueFlow, ...]) -> bool:
    return any(flow.amounts == other.amounts and abs(flow.at - other.at) <= SAME for other in others)
