"""The ledger's decisions, orders with their stories, and what is asked for: cancels, schedules, refused events."""

from collections.abc import Iterator

from belay.adapters.aws import items, keys
from belay.adapters.aws.conditions import (
    absent_or,
    at_version,
    raise_lost,
    stored_at_version,
    winner,
)
from belay.adapters.aws.ledger_reading import TableReader, record_at, understandable
from belay.adapters.aws.locked import of_later
from belay.adapters.aws.table import ABSENT, Condition, Part
from belay.adapters.records import cancel_position, cancels_of, told
from belay.domain.account import Account
from belay.domain.chain import Acceptance, Anchor, History, place
from belay.domain.decisions import DecisionRecord
from belay.domain.fills import Fill
from belay.domain.orders import Order, OrderEvent
from belay.domain.record import iso
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.ports import CancelRequest, RefusedEvent, Story

# How many refused events are handed out at once: the others wait for the next run.
MOST_REFUSED = 50
# The same of cancel requests.
MOST_CANCELS = 200


class OrderTables(TableReader):
    """The part of `ports.Ledger` that tells what was decided and what became of it."""

    # --- decisions -----------------------------------------------------------------------------

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return record_at(self._ledger, DecisionRecord, keys.decision(decision_id), keys.DECISION)

    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        """Who loses gets what is stored, be it its own record that an earlier try had stored unnoticed."""
        table, item = self._ledger, items.decision(record)
        if record.held is not None:
            return winner(record, table.put(item, ABSENT, "decision"))
        parts = [Part("decision", table.putting(item, ABSENT))]
        for order in orders:
            parts.append(Part("order", table.putting(items.order(order), ABSENT)))
            parts.append(Part("order", table.putting(items.pointer(order), ABSENT)))
            parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        for event in events:
            parts.append(Part("order", table.putting(items.event(event, record), ABSENT)))
        parts += [Part("cancel", table.putting_over(items.cancel(request))) for request in cancels_of(record)]
        if record.by_a_person:
            parts += [Part("anchor", self._accounts.putting(items.anchor(Anchor.of(one)), ABSENT)) for one in orders]
        if account is not None:
            previous = at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(items.account(account), previous)))
        won = winner(record, table.write(parts))
        for order in orders if won.write_id == record.write_id else ():
            self._written(order)
        return won

    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.decisions_line(account, strategy), limit)
        return self._listed(DecisionRecord, account, found)

    def story(self, decision_id: str) -> Story | None:
        found = self._collection(decision_id)
        if found.decision is None:
            return None
        orders = [order.record for order in found.orders.values()]
        return told(
            found.decision.record, orders, [event.record for event in found.events], [f.record for f in found.fills]
        )

    # --- orders --------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        pointer = record_at(self._ledger, items.OrderPointer, keys.order(order_id), keys.ORDER)
        if pointer is None:
            return None
        order = record_at(self._ledger, Order, keys.decision(pointer.decision_id), keys.order(order_id))
        # A record under another's key is not the order that was asked for.
        ours = order is not None and (order.order_id, order.decision_id) == (order_id, pointer.decision_id)
        return order if ours else None

    def history(self, order: Order) -> History:
        anchored, accepted = keys.anchor(order.order_id), keys.accepted(order.order_id)
        # Another id may begin with this one: only these two keys count.
        beside = {item.sk: item for item in self._accounts.partition(keys.account(order.account), anchored)}
        anchor, acceptance = beside.get(anchored), beside.get(accepted)
        found = self._collection(order.decision_id)
        later = [sk for sk in found.later if sk == keys.DECISION or keys.of_order(sk, order.order_id)]
        read_anchor, read_acceptance = understandable(Anchor, anchor), understandable(Acceptance, acceptance)
        for item, read in ((anchor, read_anchor), (acceptance, read_acceptance)):
            later += [item.sk] if item is not None and read is None and of_later(item) else []
        return History(
            order=found.orders.get(order.order_id),
            decision=found.decision,
            events=tuple(event for event in found.events if event.record.order_id == order.order_id),
            fills=tuple(fill for fill in found.fills if fill.record.order_id == order.order_id),
            anchor=read_anchor,
            acceptance=read_acceptance,
            later=f"what is stored under {later[0]}" if later else "",
        )

    def open_orders(self, account: str) -> tuple[Order, ...]:
        found = self._ledger.index(keys.OPEN_ORDERS, keys.OPEN_ACCOUNT, account)
        return self._listed(Order, account, found)

    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.orders_line(account), limit)
        return self._listed(Order, account, found)

    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        found = self._ledger.latest(keys.TIMELINE, keys.TIMELINE_PK, keys.fills_line(account), limit)
        return self._listed(Fill, account, found)

    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        # Beside the body, since every version's conditions look there.
        item = self._accounts.item(keys.account(account), keys.venue_order(symbol, venue_order_id))
        return str(item.attributes.get("order_id", "")) or None if item is not None else None

    def commit(self, change: Change) -> None:
        """One transaction. It may lose although it had succeeded: the write id of what is stored tells.

        this writer   commit v2 ─► written, response lost          commit v2 again ─► condition fails
        someone else                                      commit v3
        stored        order v1     order v2, event 2 by us         order v3, event 2 still by us
        """
        order, account, ledger = change.order, change.account, self._ledger
        parts = [
            Part("order", ledger.putting(items.order(order), stored_at_version(change.previous_version))),
            Part("order", ledger.putting(items.event(change.event, order), ABSENT)),
        ]
        if account is not None:
            previous = at_version(account.version - 1)
            parts.append(Part("account", self._accounts.putting(items.account(account), previous)))
        if change.fill is not None:
            parts.append(Part("fill", ledger.putting(items.fill(change.fill), ABSENT)))
        parts += [self._owning(order, venue_order_id) for venue_order_id in order.venue_order_ids]
        parts.append(self._anchoring(change))
        if change.requirement is not None:
            parts += self._requiring(order.account, change.requirement)
        lost = ledger.write(parts)
        if not any(part.stored and part.stored.attributes.get("write_id") == order.write_id for part in lost):
            raise_lost(lost)
        self._written(order)

    def _anchoring(self, change: Change) -> Part:
        """The head moves on from the one that this change was computed from, beside the account."""
        before = place(change.previous_version, change.previous_head, change.previous_digest)
        condition = Condition("anchored = :anchored", {":anchored": before})
        if not change.previous_version:
            condition = absent_or(condition.expression, {":anchored": before})
        return Part("anchor", self._accounts.putting(items.anchor(Anchor.of(change.order)), condition))

    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        anchor = acceptance.anchor
        version = stored_at_version(anchor.version)
        order = self._ledger.checking(keys.decision(decision_id), keys.order(anchor.order_id), version)
        parts = [
            Part("order", order),
            Part("anchor", self._accounts.putting(items.anchor(anchor))),
            Part("acceptance", self._accounts.putting(items.acceptance(acceptance))),
        ]
        raise_lost(self._accounts.write(parts))

    def _owning(self, order: Order, venue_order_id: str) -> Part:
        """One venue order belongs to one of our orders, for good."""
        condition = absent_or("order_id = :order_id", {":order_id": order.order_id})
        return Part("venue order", self._accounts.putting(items.owner(order, venue_order_id), condition))

    def _requiring(self, account: str, requirement: Requirement) -> Iterator[Part]:
        version, stops = stored_at_version(requirement.configuration_version), at_version(requirement.stops_version)
        yield Part("configuration", self._configuration.checking(keys.account(account), keys.CONFIGURATION, version))
        yield Part("operators' stops", self._configuration.checking(keys.account(account), keys.STOPS, stops))
        if requirement.proof_fingerprint is not None:
            checked = iso(requirement.proof_completed_at or EPOCH)
            condition = Condition("completed_at >= :checked", {":checked": checked})
            sk = keys.proof(requirement.proof_fingerprint)
            yield Part("proof", self._accounts.checking(keys.account(account), sk, condition))

    def _collection(self, decision_id: str) -> items.Collection:
        return items.Collection(self._ledger.partition(keys.decision(decision_id)))

    # --- cancels, schedules, refused events ----------------------------------------------------

    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        pk = keys.account(account)
        asked = self._listed(CancelRequest, account, self._accounts.standing(pk, keys.CANCELS, MOST_CANCELS))
        decided = self._listed(CancelRequest, account, self._ledger.standing(pk, keys.CANCELS, MOST_CANCELS))
        return tuple(sorted({one.order_id: one for one in (*decided, *asked)}.values(), key=cancel_position))

    def request_cancel(self, request: CancelRequest) -> None:
        """A person's request lies where no strategy can take it back; a decision's lies beside the decision."""
        raise_lost(self._accounts.write([Part("cancel", self._accounts.putting_over(items.cancel(request)))]))

    def clear_cancel(self, account: str, order_id: str) -> None:
        for table in (self._accounts, self._ledger):
            table.withdraw(keys.account(account), keys.cancel(order_id))

    def register_schedule(self, tick: Tick) -> None:
        not_later = absent_or("scheduled_time <= :seen", {":seen": iso(tick.scheduled_time)})
        self._ledger.put(items.schedule(tick), not_later)

    def drop_schedule(self, schedule: Tick) -> None:
        self._ledger.withdraw(keys.account(schedule.account), keys.schedule(schedule))

    def schedules(self, account: str) -> tuple[Tick, ...]:
        return self._listed(Tick, account, self._ledger.standing(keys.account(account), keys.SCHEDULES))

    def refuse(self, event: RefusedEvent) -> None:
        self._ledger.put(items.refused(event))

    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]:
        found = self._ledger.standing(keys.account(account), keys.REFUSED, MOST_REFUSED)
        return self._listed(RefusedEvent, account, found)

    def clear_refused(self, event: RefusedEvent) -> None:
        self._ledger.withdraw(keys.account(event.account), keys.refused(event))
