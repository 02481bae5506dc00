"""What a ledger in memory holds, and how a change to an order goes into it, whole or not at all. Speaks to nobody."""

from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate

from belay.adapters.memory.drawers import Drawer, Line, Standing
from belay.adapters.records import fill_position, order_position
from belay.domain.account import Account, OperatorStops
from belay.domain.chain import Acceptance, Anchor, place
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict, Unreadable, WrittenByLater
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.incidents import Incident, IncidentEntry
from belay.domain.orders import Order, OrderEvent
from belay.domain.proofs import Proof
from belay.domain.record import Record
from belay.domain.slots import EPOCH, Tick
from belay.domain.transitions import Change, Requirement
from belay.domain.venues import VenueTrade
from belay.ports import CancelRequest, Cursor, RefusedEvent, Suspicion


def locked[B: Books, **P, T](method: Callable[Concatenate[B, P], T]) -> Callable[Concatenate[B, P], T]:
    """Run a method as one step that no other thread sees half done."""

    @wraps(method)
    def run(self: B, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return run


class Books:
    """Every record, and beside them what the indexes of the tables hold. Whoever uses them holds `lock`."""

    def __init__(self, table_id: str = "in-memory") -> None:
        self.table_id = table_id
        self.lock = RLock()
        self._versions: dict[str, int] = {}
        self._configurations = Drawer[tuple[str, int], Configuration](Configuration)
        self._operator_stops = Drawer[str, OperatorStops](OperatorStops)
        self._accounts = Drawer[str, Account](Account)
        self._anchors = Drawer[tuple[str, str], Anchor](Anchor)
        self._acceptances = Drawer[tuple[str, str], Acceptance](Acceptance)
        self._decisions = Drawer[str, DecisionRecord](DecisionRecord)
        self._orders = Drawer[str, Order](Order)
        self._writers: dict[tuple[str, int], str] = {}
        self._proofs = Drawer[tuple[str, str], Proof](Proof)
        self._last_proofs = Drawer[str, Proof](Proof)
        self._cursors = Drawer[tuple[str, str], Cursor](Cursor)
        self._suspicions = Drawer[str, Suspicion](Suspicion)
        self._venue_orders: dict[tuple[str, str, str], str] = {}
        # By order.
        self._events = defaultdict[str, Drawer[int, OrderEvent]](lambda: Drawer(OrderEvent))
        self._fills = defaultdict[str, Drawer[str, Fill]](lambda: Drawer(Fill))
        # By account.
        self._schedules = defaultdict[str, Standing[Tick]](lambda: Standing(Tick))
        self._refused = defaultdict[str, Standing[RefusedEvent]](lambda: Standing(RefusedEvent))
        self._unattributed = defaultdict[str, Standing[VenueTrade]](lambda: Standing(VenueTrade))
        self._cancels = defaultdict[str, Standing[CancelRequest]](lambda: Standing(CancelRequest))  # of decisions
        self._asked_cancels = defaultdict[str, Standing[CancelRequest]](lambda: Standing(CancelRequest))  # of people
        self._flows = defaultdict[str, Drawer[str, Flow]](lambda: Drawer(Flow))
        self._incidents = defaultdict[str, Standing[Incident]](lambda: Standing(Incident))
        self._incident_entries = defaultdict[tuple[str, str], Drawer[str, IncidentEntry]](lambda: Drawer(IncidentEntry))
        # What the indexes of the table hold.
        self._open_orders = defaultdict[str, Line[Order]](lambda: Line(Order))
        self._loose_lines = defaultdict[tuple[str, str], Line[VenueTrade]](lambda: Line(VenueTrade))
        self._decision_lines = defaultdict[tuple[str, str], Line[DecisionRecord]](lambda: Line(DecisionRecord))
        self._order_lines = defaultdict[str, Line[Order]](lambda: Line(Order))
        self._flow_lines = defaultdict[str, Line[Flow]](lambda: Line(Flow))
        self._fill_lines = defaultdict[str, Line[Fill]](lambda: Line(Fill))

    def _account_of(self, account: str) -> Account:
        return self._needed(self._accounts, account, f"the state of account {account}") or Account(account=account)

    def _stops_of(self, account: str) -> OperatorStops:
        what = f"the operators' stops of account {account}"
        return self._needed(self._operator_stops, account, what) or OperatorStops(account=account)

    @staticmethod
    def _needed[K, R: Record](drawer: Drawer[K, R], key: K, what: str) -> R | None:
        """Raises Unreadable where there is a record that cannot be read."""
        record = drawer.get(key)
        if record is None and key in drawer:
            raise Unreadable(what, later=drawer.of_later(key))
        return record

    # --- what a change requires -------------------------------------------------------------------

    def _lost(self, change: Change) -> list[str]:
        """The parts of a change that are not as they were read, in the order in which they are written."""
        order, account, fill = change.order, change.account, change.fill
        stored = self._orders.get(order.order_id)
        conditions = {
            "order": stored is not None
            and stored.version == change.previous_version
            and change.event.sequence not in self._events[order.order_id],
            "account": account is None or self._account_of(account.account).version == account.version - 1,
            "fill": fill is None or fill.key not in self._fills[fill.order_id],
            "venue order": self._owns(order),
            "anchor": self._anchored(change),
            **self._requirements(order.account, change.requirement),
        }
        return [what for what, holds in conditions.items() if not holds]

    def _of_later(self, change: Change) -> list[str]:
        """The parts of a change that would go over what a later version wrote, or that rest on it."""
        order, account, requirement = change.order, change.account, change.requirement
        name, key = order.account, (order.account, order.order_id)
        parts = {
            "order": self._orders.of_later(order.order_id),
            "account": account is not None and self._accounts.of_later(name),
            "anchor": self._anchors.of_later(key),
        }
        if requirement is not None:
            fingerprint = requirement.proof_fingerprint or ""
            parts |= {
                "configuration": self._configurations.of_later((name, self._versions.get(name, 0))),
                "operators' stops": self._operator_stops.of_later(name),
                "proof": self._proofs.of_later((name, fingerprint)),
            }
        return [what for what, later in parts.items() if later]

    def _anchored(self, change: Change) -> bool:
        """Whether what is known beside the account is where this change goes on from."""
        anchor = self._anchors.get((change.order.account, change.order.order_id))
        if anchor is None:
            return change.previous_version == 0
        return anchor.place == place(change.previous_version, change.previous_head, change.previous_digest)

    def _owns(self, order: Order) -> bool:
        """Whether each of the order's venue orders is its own or nobody's."""
        keys = ((order.account, order.symbol, venue_id) for venue_id in order.venue_order_ids)
        return all(self._venue_orders.get(key, order.order_id) == order.order_id for key in keys)

    def _requirements(self, account: str, requirement: Requirement | None) -> dict[str, bool]:
        if requirement is None:
            return {}
        required = {
            "configuration": self._versions.get(account) == requirement.configuration_version,
            "operators' stops": self._stops_of(account).version == requirement.stops_version,
        }
        if requirement.proof_fingerprint is None:
            return required
        proof = self._proofs.get((account, requirement.proof_fingerprint))
        checked = requirement.proof_completed_at or EPOCH
        return {**required, "proof": proof is not None and proof.completed_at >= checked}

    def _written_by_us(self, change: Change) -> bool:
        """Whether the change had been written before: its order or its event bears its writer's id."""
        ours, stored = change.order.write_id, self._orders.get(change.order.order_id)
        if stored is not None and stored.version != change.previous_version and stored.write_id == ours:
            return True
        return self._writers.get((change.order.order_id, change.event.sequence)) == ours

    # --- what it leaves ---------------------------------------------------------------------------

    def _apply(self, change: Change) -> None:
        order, fill = change.order, change.fill
        self._keep(order)
        self._append(change.event, order.write_id)
        self._anchors[order.account, order.order_id] = Anchor.of(order)
        if change.account is not None:
            self._accounts[change.account.account] = change.account
        if fill is not None:
            self._fills[fill.order_id][fill.key] = fill
            self._fill_lines[fill.account][fill_position(fill)] = fill

    def _keep(self, order: Order) -> None:
        self._orders[order.order_id] = order
        for venue_id in order.venue_order_ids:
            self._venue_orders[order.account, order.symbol, venue_id] = order.order_id
        self._order_lines[order.account][order_position(order)] = order
        if order.settled:
            self._open_orders[order.account].drop(order_position(order))
        else:
            self._open_orders[order.account][order_position(order)] = order

    def _append(self, event: OrderEvent, writer: str) -> None:
        self._events[event.order_id][event.sequence] = event
        self._writers[event.order_id, event.sequence] = writer

    def _save_account(self, account: Account) -> None:
        stored = self._account_of(account.account)
        if self._accounts.holds(account.account, account):
            return
        if not (account.understood and stored.understood) and not account.differs_in_stops_only(stored):
            raise WrittenByLater("account")
        if stored.version == account.version - 1:
            self._accounts[account.account] = account
        elif not self._accounts.holds(account.account, account):
            raise Conflict("account")
