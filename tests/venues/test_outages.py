"""One fault on every order for minutes, and a venue that is down or refuses the account: entries stop, nothing is lost
or repeated, one incident says what to do, and what is safe goes on by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import product

import pytest

from belay.domain.account import StopLevel
from belay.domain.decisions import Side
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.workflows.updates import end_incident
from tests.builders import STAGE, STRATEGY
from tests.venue_server.faults import NAMES
from tests.venues.desk import BEYOND, LIMITS, Desk, NewDesk
from tests.venues.test_every_fault import UNTOLD

S, I = OrderState, IncidentKind  # noqa: E741
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
BASES = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC", "DOT", "LINK", "AVAX")
QUANTITIES = dict(zip(BASES, ("0.01", "0.1", "2", "1000", "1000", "4000", "5", "50", "30", "10"), strict=True))
SPACING_SECONDS = 20
FAULTS = ("accept_hang", "accept_error", "hold", "drop_status", "lagging")


def barrage(desk: Desk, bases: tuple[str, ...]) -> list[Order]:
    """Ten orders, one every 20 s, while the schedules go on."""
    orders = []
    for number, base in enumerate(bases, 1):
        orders.append(desk.by_hand(number, symbol=desk.pair(base), quantity=QUANTITIES[base]))
        desk.deliver()
        desk.go_on(SPACING_SECONDS)
    return orders


def always(desk: Desk, fault: str) -> bool:
    """Let a fault meet every order; whether orders come of it."""
    if fault == "lagging":
        desk.server.add_fault("accept_reset", times=None, order_lag=3.0, trade_lag=3.0)
        return True
    desk.server.add_fault(fault, times=None, **({"error": UNTOLD[desk.venue]} if fault == "accept_error" else {}))
    return NAMES[fault].get("process") != "never"


@pytest.mark.parametrize(("venue", "fault"), [*product(["binance", "kraken"], FAULTS)])
def test_the_same_fault_on_every_order_for_200_seconds_gives_one_order_each_or_none(
    new_desk: NewDesk, venue: str, fault: str
) -> None:
    """The fault that made other systems place 2, and 9 and 13 when it went on."""
    desk = new_desk(venue, markets=len(BASES), bases=BASES)
    desk.open_gate()
    placed = always(desk, fault)
    orders = barrage(desk, BASES)
    desk.server.clear_faults()
    desk.settle()
    desk.check()
    assert {desk.state(order) for order in orders} == {S.FILLED if placed else S.NOT_SENT}
    assert [len(desk.sent(order)) for order in orders] == [1] * len(orders)


@pytest.mark.parametrize(("venue", "fault"), [*product(["binance", "kraken"], ["accept_hang", "drop_status"])])
def test_the_same_fault_on_every_order_of_one_symbol_lets_no_entry_out_behind_an_unresolved_one(
    new_desk: NewDesk, venue: str, fault: str
) -> None:
    desk = new_desk(venue)
    desk.open_gate()
    always(desk, fault)
    orders = barrage(desk, ("BTC",) * 10)
    desk.server.clear_faults()
    desk.settle()
    desk.check()
    states = {desk.state(order) for order in orders}
    assert states <= {S.FILLED, S.NOT_SENT, S.DENIED}
    assert all(len(desk.sent(order)) == int(desk.state(order) is not S.DENIED) for order in orders)


# --- trouble with the account or the whole venue ---------------------------------------------------------------------

Act = Callable[[Desk], object]


@dataclass(frozen=True)
class Trouble:
    """Something that lasts: how it begins and ends, for how many minutes, and the incident that it is."""

    begin: Act
    end: Act
    incident: IncidentKind
    minutes: int = 20


def _key(*functions: str, **flags: bool) -> Act:
    def change(desk: Desk) -> None:
        for function in functions:
            desk.server.exchange.change_key(desk.venue, function, **flags)

    return change


def _keys(*functions: str, flag: str, good: bool) -> Trouble:
    return Trouble(_key(*functions, **{flag: not good}), _key(*functions, **{flag: good}), I.VENUE_CONFIGURATION)


def _all_answers(name: str, incident: IncidentKind, minutes: int = 20) -> Trouble:
    return Trouble(
        lambda desk: desk.server.add_fault(name, kind=None, times=None),
        lambda desk: desk.server.clear_faults(),
        incident,
        minutes,
    )


def _lose_secret(desk: Desk) -> None:
    del desk.keys.keys[f"/belay/{STAGE}/reconciler/main"]
    desk.restart()


def _store_another_key(desk: Desk) -> None:
    key = desk.server.add_key(desk.venue, "another")
    desk.keys.keys[f"/belay/{STAGE}/reconciler/main"] = {"apiKey": key.api_key, "secret": key.secret}


TROUBLES = {
    "executor's key revoked": _keys("executor", flag="revoked", good=False),
    "reconciler's key revoked": _keys("reconciler", flag="revoked", good=False),
    "both keys revoked": _keys("executor", "reconciler", flag="revoked", good=False),
    "reconciler's key may not read": _keys("reconciler", flag="read", good=True),
    "executor's key may not read": _keys("executor", flag="read", good=True),
    "reconciler's secret is gone": Trouble(_lose_secret, _store_another_key, I.VENUE_CONFIGURATION),
    "maintenance for an hour": _all_answers("maintenance", I.VENUE_UNREACHABLE, 60),
    "pages of a network for an hour": _all_answers("accept_html", I.VENUE_UNREACHABLE, 60),
    "down for an hour": Trouble(
        lambda desk: desk.server.stop(), lambda desk: desk.server.start(), I.VENUE_UNREACHABLE, 60
    ),
}
# Kraken's network answers with a page, which could mean anything.
RESTRICTED = {"binance": I.VENUE_CONFIGURATION, "kraken": I.VENUE_UNREACHABLE}
MESSED = [
    *[(venue, name, trouble) for venue, (name, trouble) in product(RESTRICTED, TROUBLES.items())],
    *[(venue, "restricted location", _all_answers("restricted", kind)) for venue, kind in RESTRICTED.items()],
]


def of_the_venue(desk: Desk) -> list[str]:
    """What on-call was told about the venue as such."""
    kinds = (I.VENUE_CONFIGURATION, I.VENUE_UNREACHABLE)
    return [incident.action for incident in desk.alerts.incidents if incident.kind in kinds]


@pytest.mark.parametrize(
    ("venue", "trouble"), [pytest.param(venue, trouble, id=f"{venue}-{name}") for venue, name, trouble in MESSED]
)
def test_trouble_that_lasts_stops_entries_with_one_incident_and_ends_by_itself_with_nothing_lost(
    new_desk: NewDesk, venue: str, trouble: Trouble
) -> None:
    desk = new_desk(venue, bases=("BTC", "ETH"))
    desk.open_gate()
    resting = desk.by_hand(1, limit_price=LIMITS[Side.BUY])
    desk.deliver()
    desk.go_on(60)
    trouble.begin(desk)
    desk.go_on(400)
    entry = desk.by_hand(2, symbol=desk.pair("ETH"))
    desk.deliver()
    desk.pin(BEYOND[Side.BUY])
    desk.go_on(trouble.minutes * 60)
    assert (desk.sent(entry), desk.state(entry) in (S.LAPSED, S.DENIED)) == ([], True)
    assert desk.kinds() == [trouble.incident]
    assert len(of_the_venue(desk)) == 1
    trouble.end(desk)
    desk.go_on(180)
    assert desk.state(resting) is S.FILLED
    after = desk.by_hand(3, symbol=desk.pair("ETH"))
    desk.deliver()
    desk.settle()
    assert desk.state(after) is S.FILLED
    assert desk.stopped() is StopLevel.RUNNING
    desk.check()


@BOTH
def test_a_key_that_may_not_trade_stops_entries_until_a_person_says_that_it_may(new_desk: NewDesk, venue: str) -> None:
    """To find out by itself it would have to send an order."""
    desk = new_desk(venue, bases=("BTC", "ETH"))
    desk.open_gate()
    desk.server.exchange.change_key(venue, "executor", trade=False)
    order = desk.enter()
    desk.deliver()
    desk.server.exchange.change_key(venue, "executor", trade=True)
    desk.settle()
    assert (desk.state(order), len(desk.sent(order))) == (S.NOT_SENT, 1)
    desk.check(I.VENUE_CONFIGURATION)
    denied = desk.by_hand(2, symbol=desk.pair("ETH"))
    desk.deliver()
    assert (desk.state(denied), desk.sent(denied)) == (S.DENIED, [])
    [incident] = desk.incidents()
    end_incident(desk.executor, incident.account, incident.incident_id, "the key may trade now")
    allowed = desk.by_hand(3, symbol=desk.pair("ETH"))
    desk.deliver()
    desk.settle()
    assert desk.state(allowed) is S.FILLED
    desk.check()


@BOTH
@pytest.mark.parametrize("name", ["executor's key revoked", "maintenance for an hour", "down for an hour"])
def test_an_exit_waits_for_the_end_of_trouble_and_goes_out_then(new_desk: NewDesk, venue: str, name: str) -> None:
    trouble = TROUBLES[name]
    desk = new_desk(venue)
    desk.hold()
    trouble.begin(desk)
    order = desk.by_hand(2, side=Side.SELL, quantity=None, strategy=STRATEGY, expiry_seconds=900)
    desk.deliver()
    desk.go_on(300)
    assert (desk.state(order), desk.sent(order)) == (S.CREATED, [])
    trouble.end(desk)
    desk.settle()
    assert (desk.state(order), len(desk.sent(order))) == (S.FILLED, 1)


@BOTH
def test_an_exit_that_trouble_outlasts_pages(new_desk: NewDesk, venue: str) -> None:
    desk = new_desk(venue)
    desk.hold()
    desk.server.stop()
    order = desk.by_hand(2, side=Side.SELL, quantity=None, strategy=STRATEGY)
    desk.deliver()
    desk.go_on(420)
    desk.server.start()
    desk.settle()
    assert desk.state(order) is S.LAPSED
    desk.check(I.EXIT_NOT_PLACED)


@BOTH
@pytest.mark.parametrize("placed", [True, False])
def test_an_outcome_that_is_open_through_an_hour_of_maintenance_is_found_out_after_it(
    new_desk: NewDesk, venue: str, placed: bool
) -> None:
    desk = new_desk(venue)
    desk.open_gate()
    desk.server.add_fault("accept_close" if placed else "drop")
    order = desk.enter()
    desk.deliver()
    TROUBLES["maintenance for an hour"].begin(desk)
    started = desk.now
    desk.go_on(55 * 60)
    assert desk.state(order) is S.UNKNOWN
    desk.server.clear_faults()
    desk.settle()
    assert desk.now < started + timedelta(minutes=60)
    assert desk.state(order) is (S.FILLED if placed else S.NOT_SENT)
    assert [incident.kind for incident in desk.alerts.incidents] == [I.VENUE_UNREACHABLE]
    desk.check()


@BOTH
def test_fills_that_could_not_be_read_for_an_hour_are_no_missing_fills(new_desk: NewDesk, venue: str) -> None:
    """They are counted in the first run after it: nobody has to look for them."""
    desk = new_desk(venue)
    desk.open_gate()
    order = desk.enter()
    desk.deliver()
    TROUBLES["maintenance for an hour"].begin(desk)
    desk.go_on(60 * 60)
    desk.server.clear_faults()
    desk.settle()
    assert desk.state(order) is S.FILLED
    assert [incident.kind for incident in desk.alerts.incidents] == [I.VENUE_UNREACHABLE]
    desk.check()


@BOTH
def test_a_key_that_may_read_all_but_trades_stops_entries_until_it_may(new_desk: NewDesk, venue: str) -> None:
    """Kraken's keys have a right of its own for that."""
    desk = new_desk(venue)
    desk.open_gate()
    forbidden = {"binance": "-2015", "kraken": "EGeneral:Permission denied"}[venue]
    desk.server.add_fault("drop_error", kind="trades", times=None, error=forbidden)
    desk.go_on(60)
    assert (desk.kinds(), desk.stopped()) == ([I.VENUE_CONFIGURATION], StopLevel.REDUCE_ONLY)
    desk.server.clear_faults()
    desk.go_on(60)
    assert desk.stopped() is StopLevel.RUNNING
    desk.check()
