"""The twin of the tables' orders: decisions, orders with their stories, cancels, schedules, refused events."""

from belay.adapters.memory.books import Books, locked
from belay.adapters.records import (
    cancel_position,
    cancels_of,
    decision_position,
    fill_position,
    order_digest,
    order_position,
    refused_position,
    schedule_key,
    told,
)
from belay.domain.account import Account
from belay.domain.chain import Acceptance, Anchor, History, Stored
from belay.domain.decisions import DecisionRecord
from belay.domain.errors import Conflict, WrittenByLater
from belay.domain.fills import Fill
from belay.domain.orders import Order, OrderEvent
from belay.domain.slots import Tick
from belay.domain.transitions import Change
from belay.ports import CancelRequest, RefusedEvent, Story


class OrderBooks(Books):
    """The part of `ports.Ledger` that tells what was decided and what became of it."""

    # --- decisions -----------------------------------------------------------------------------

    @locked
    def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._decisions.get(decision_id)

    @locked
    def record_decision(
        self,
        record: DecisionRecord,
        orders: tuple[Order, ...],
        events: tuple[OrderEvent, ...],
        account: Account | None = None,
    ) -> DecisionRecord:
        if record.decision_id in self._decisions:
            if (decided := self._decisions.get(record.decision_id)) is None:
                raise WrittenByLater("decision")
            return decided
        if any(order.order_id in self._orders for order in orders):
            raise Conflict("order")
        if not all(self._owns(order) for order in orders):
            raise Conflict("venue order")
        if account is not None:
            self._save_account(account)
        slot = record.slot
        self._decisions[record.decision_id] = record
        self._decision_lines[slot.account, slot.strategy][decision_position(record)] = record
        for order in orders:
            self._keep(order)
            if record.by_a_person:
                self._anchors[order.account, order.order_id] = Anchor.of(order)
        for event in events:
            self._append(event, record.write_id)
        for request in cancels_of(record):
            self._cancels[request.account][request.order_id] = request
        return record

    @locked
    def decisions(self, account: str, strategy: str, limit: int) -> tuple[DecisionRecord, ...]:
        return self._decision_lines[account, strategy].latest(limit)

    @locked
    def story(self, decision_id: str) -> Story | None:
        decision = self._decisions.get(decision_id)
        if decision is None:
            return None
        orders = [order for order_id in decision.order_ids if order_id and (order := self._orders.get(order_id))]
        events = [event for order in orders for event in self._events[order.order_id].all(_sequence)]
        fills = [fill for order in orders for fill in self._fills[order.order_id].all(fill_position)]
        return told(decision, orders, events, fills)

    # --- orders --------------------------------------------------------------------------------

    @locked
    def order(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    @locked
    def history(self, order: Order) -> History:
        found, key = self._orders.get(order.order_id), (order.account, order.order_id)
        stored = Stored(found, order_digest(self._orders.text(order.order_id), found.head)) if found else None
        events, fills = self._events[order.order_id], self._fills[order.order_id]
        return History(
            order=stored,
            decision=self._decisions.stored(order.decision_id),
            events=tuple(event for number in sorted(events.keys()) if (event := events.stored(number))),
            fills=tuple(fill for name in sorted(fills.keys()) if (fill := fills.stored(name))),
            anchor=self._anchors.get(key),
            acceptance=self._acceptances.get(key),
            later=self._beyond(order),
        )

    def _beyond(self, order: Order) -> str:
        """A part of an order's records that only a later version can read."""
        key = (order.account, order.order_id)
        parts = {
            "order": order.order_id in self._orders.beyond(),
            "decision": order.decision_id in self._decisions.beyond(),
            "event": bool(self._events[order.order_id].beyond()),
            "fill": bool(self._fills[order.order_id].beyond()),
            "anchor": key in self._anchors.beyond(),
            "acceptance": key in self._acceptances.beyond(),
        }
        return next((f"what is stored as its {what}" for what, later in parts.items() if later), "")

    @locked
    def open_orders(self, account: str) -> tuple[Order, ...]:
        return self._open_orders[account].all(order_position)

    @locked
    def orders(self, account: str, limit: int) -> tuple[Order, ...]:
        return self._order_lines[account].latest(limit)

    @locked
    def fills(self, account: str, limit: int) -> tuple[Fill, ...]:
        return self._fill_lines[account].latest(limit)

    @locked
    def order_of_venue_id(self, account: str, symbol: str, venue_order_id: str) -> str | None:
        return self._venue_orders.get((account, symbol, venue_order_id))

    @locked
    def commit(self, change: Change) -> None:
        if later := self._of_later(change):
            if self._written_by_us(change):
                return None
            raise WrittenByLater(later[0])
        lost = self._lost(change)
        if not lost:
            return self._apply(change)
        if self._written_by_us(change):
            return None
        raise Conflict(lost[0])

    @locked
    def accept_history(self, acceptance: Acceptance, decision_id: str) -> None:
        anchor = acceptance.anchor
        order = self._orders.get(anchor.order_id)
        if order is None or (order.decision_id, order.version) != (decision_id, anchor.version):
            raise Conflict("order")
        key = (anchor.account, anchor.order_id)
        if self._orders.of_later(anchor.order_id) or self._anchors.of_later(key) or self._acceptances.of_later(key):
            raise WrittenByLater("order")
        self._anchors[anchor.account, anchor.order_id] = anchor
        self._acceptances[anchor.account, anchor.order_id] = acceptance

    # --- cancels, schedules, refused events ----------------------------------------------------

    @locked
    def cancel_requests(self, account: str) -> tuple[CancelRequest, ...]:
        standing = (*self._cancels[account].all(cancel_position), *self._asked_cancels[account].all(cancel_position))
        return tuple(sorted({one.order_id: one for one in standing}.values(), key=cancel_position))

    @locked
    def request_cancel(self, request: CancelRequest) -> None:
        self._asked_cancels[request.account][request.order_id] = request

    @locked
    def clear_cancel(self, account: str, order_id: str) -> None:
        self._cancels[account].withdraw(order_id)
        self._asked_cancels[account].withdraw(order_id)

    @locked
    def register_schedule(self, tick: Tick) -> None:
        known = self._schedules[tick.account].get(schedule_key(tick))
        if self._schedules[tick.account].of_later(schedule_key(tick)):
            return
        if known is None or known.scheduled_time <= tick.scheduled_time:
            self._schedules[tick.account][schedule_key(tick)] = tick

    @locked
    def drop_schedule(self, schedule: Tick) -> None:
        self._schedules[schedule.account].withdraw(schedule_key(schedule))

    @locked
    def schedules(self, account: str) -> tuple[Tick, ...]:
        return self._schedules[account].all(schedule_key)

    @locked
    def refuse(self, event: RefusedEvent) -> None:
        if not self._refused[event.account].of_later(event.subject):
            self._refused[event.account][event.subject] = event

    @locked
    def refused_events(self, account: str) -> tuple[RefusedEvent, ...]:
        return self._refused[account].all(refused_position)

    @locked
    def clear_refused(self, event: RefusedEvent) -> None:
        self._refused[event.account].withdraw(event.subject)


def _sequence(event: OrderEvent) -> str:
    return f"{event.sequence:06}"
