"""Every fault of a new order × market, limit × entry, exit × Binance, Kraken, through everything but AWS itself.

After the fault the schedules go on, five seconds and whole minutes at a time, until everything is settled.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from belay.domain.account import StopLevel
from belay.domain.decisions import Side
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from tests.venue_server.faults import HOSTILE, NAMES
from tests.venues.desk import ACCOUNT, LIMITS, Desk, NewDesk

S, I = OrderState, IncidentKind  # noqa: E741
VENUES, KINDS, WAYS = ("binance", "kraken"), ("market", "limit"), ("entry", "exit")
# Codes that do not tell whether there is an order, and codes that tell that there is none.
UNTOLD = {"binance": "-1007", "kraken": "EService:Timeout"}
REFUSED = {"binance": "-1015", "kraken": "EAPI:Rate limit exceeded"}
CLOSED = {"binance": "-2010", "kraken": "EService:Market in cancel_only mode"}
WINDOW_SECONDS = {"binance": 5, "kraken": 10}


@dataclass(frozen=True)
class Case:
    """One fault by name. `fields` may depend on the venue: a mapping by venue then.

    `lasts`: for how many seconds something is still to come.
    """

    fault: str
    fields: dict[str, Any] = field(default_factory=dict)
    lasts: float = 0

    def settings(self, venue: str) -> dict[str, Any]:
        return {name: value[venue] if isinstance(value, dict) else value for name, value in self.fields.items()}


def _named(name: str) -> Case:
    return Case(name, {"error": UNTOLD} if name.endswith("_error") else {})


def _held(place: str, extra: Mapping[str, float], **fields: Any) -> Case:
    """Held at a place for the venue's window and some seconds more."""
    seconds = {venue: WINDOW_SECONDS[venue] + extra[venue] for venue in VENUES}
    return Case("hold", {"hold_at": place, "seconds": seconds, **fields})


AFTER, BEFORE = {"binance": 1, "kraken": 1}, {"binance": -1, "kraken": -3}
# As late as the venue's documents allow, and shown as late as the profile allows: at Kraken the engine judges itself.
LATEST, SLOWEST = {"binance": 9.5, "kraken": 0}, {"binance": 5, "kraken": 14}

CASES: dict[str, Case] = {
    **{name: _named(name) for name in (*NAMES, *HOSTILE)},
    "refused": Case("drop_error", {"error": REFUSED}),
    "market closed": Case("drop_error", {"error": CLOSED}),
    "lost and lagging": Case("accept_close", {"order_lag": 3.0, "trade_lag": 3.0}),
    "held at the gateway past the fence": _held("gateway", AFTER),
    "held before the engine past the fence": _held("engine", AFTER),
    "held at the gateway within the fence": _held("gateway", BEFORE),
    "held before the engine within the fence": _held("engine", BEFORE),
    "held as long as can be": _held("matching", LATEST, order_lag=SLOWEST, trade_lag=SLOWEST),
    "lost and partly filled": Case("accept_reset", {"fraction": "0.4", "rest_after": 90.0}),
    "lost and filled after its end": Case("accept_html", {"terminal_first": True, "rest_after": 7.0}),
    "filled minutes after its end": Case("late_fill", {"rest_after": 200.0}, lasts=260),
}
NEVER_PLACED = {name for name, case in CASES.items() if NAMES.get(case.fault, {}).get("process") == "never"} | {
    "held at the gateway past the fence",
    "held before the engine past the fence",
}
MATRIX = [pytest.param(*combination, id="-".join(combination)) for combination in product(VENUES, CASES, KINDS, WAYS)]


def submitted(desk: Desk, name: str, kind: str, way: str) -> Order:
    """An entry, or an exit of what was bought before; its submission has met the fault once."""
    exits = way == "exit"
    if exits:
        desk.hold()
    else:
        desk.open_gate()
    desk.server.add_fault(CASES[name].fault, **CASES[name].settings(desk.venue))
    limit = {"limit_price": LIMITS[Side.SELL if exits else Side.BUY]} if kind == "limit" else {}
    order = desk.leave(**limit) if exits else desk.enter(**limit)
    desk.deliver()
    desk.watch()
    return order


def duplicated(desk: Desk, name: str, kind: str) -> bool:
    """Whether the venue makes two orders of one request: its ids are unique among open orders only.

    At Kraken a whole request that comes twice meets the nonce.
    """
    return kind == "market" and (name == "copied" or (name == "replayed" and desk.venue == "binance"))


def expected_incidents(desk: Desk, name: str, kind: str, way: str) -> list[IncidentKind]:
    """What is sold twice is one time another's."""
    if duplicated(desk, name, kind):
        return [I.DUPLICATE_VENUE_ORDER, I.OVERFILL, *([I.POSITION_MISMATCH] if way == "exit" else [])]
    return [I.VENUE_CONFIGURATION] if (name, desk.venue) == ("restricted", "binance") else []


def meet(desk: Desk, name: str, kind: str, way: str) -> None:
    """The whole story of one case, with everything that it promises."""
    order = submitted(desk, name, kind, way)
    desk.go_on(CASES[name].lasts)
    desk.settle()
    incidents = expected_incidents(desk, name, kind, way)
    desk.check(*incidents)
    lost = name in NEVER_PLACED
    assert len(desk.placed(order)) == (2 if duplicated(desk, name, kind) else int(not lost or way == "exit"))
    assert desk.attempts(order) == len(desk.sent(order)) == (2 if lost and way == "exit" else 1)
    assert desk.order(order.order_id).settled
    assert desk.stopped() is (StopLevel.REDUCE_ONLY if incidents else StopLevel.RUNNING)
    assert (desk.state(order) is S.NOT_SENT) == (lost and way == "entry")


@pytest.mark.parametrize(("venue", "name", "kind", "way"), MATRIX)
def test_at_most_one_order_comes_of_it_and_the_ledger_comes_to_the_venues_truth(
    new_desk: NewDesk, venue: str, name: str, kind: str, way: str
) -> None:
    meet(new_desk(venue), name, kind, way)


@pytest.mark.parametrize(("venue", "name", "way"), [*product(VENUES, HOSTILE, WAYS)])
def test_a_hostile_answer_leaves_the_order_unknown_and_tells_nothing_of_the_key(
    new_desk: NewDesk, venue: str, name: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the ledger nor on-call nor a log, also where everything that is read is answered so, too."""
    caplog.set_level(logging.DEBUG)
    desk = new_desk(venue)
    order = submitted(desk, name, "market", way)
    assert desk.state(order) is S.UNKNOWN
    for kind in ("open_orders", "query_order", "closed_orders", "balances", "trades"):
        desk.server.add_fault(name, kind=kind, times=None)
    desk.go_on(60 if name == "accept_drip" else 12 * 60)  # a drip takes real time with each read
    told = [*desk.alerts.incidents, *desk.ledger.incidents(ACCOUNT), desk.ledger.story(order.decision_id)]
    shown = f"{told} {vars(desk.ledger)} {desk.reconciled} {caplog.text}".lower()
    assert shown.encode()
    secrets = {value[at : at + 12] for key in desk.keys.keys.values() for value in key.values() for at in range(20)}
    assert desk.alerts.incidents or name in ("accept_drip", "accept_long_id")
    assert not [secret for secret in secrets if secret.lower() in shown]


def test_every_fault_that_the_server_knows_is_met() -> None:
    assert {case.fault for case in CASES.values()} == {*NAMES, *HOSTILE}
