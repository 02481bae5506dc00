"""From a clean account through each incident to a clean proof, and the table that says how: domain/way_back.py."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from belay.cli import operations, trading
from belay.cli.desk import Desk
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.domain.account import StopLevel
from belay.domain.decisions import Hold, Side
from belay.domain.errors import InvalidInput
from belay.domain.incidents import IncidentKind
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order, OrderState
from belay.domain.record import ZERO
from belay.domain.venues import TradePage, VenueOrder
from belay.domain.way_back import WAYS, commands
from belay.workflows.updates import refuse_event
from tests.builders import ACCOUNT, STAGE, SYMBOL, make_incident
from tests.corpus import known as known_names
from tests.integration.test_reconcile import denied_by_the_venue_itself
from tests.integration.test_resolve_order import forget, forgotten, remember, resolve
from tests.way_back import PAGE, written
from tests.world import UnfencedVenue, World, changed, make_reduce, refuse

K, S = IncidentKind, OrderState
# Their way back needs what reconciles rows, proofs and balances.
NOT_YET = {K.BALANCE_MISMATCH, K.UNREADABLE_ROW, K.NOT_RECONCILED, K.STALE_PROOF, K.IDENTITY_CHANGED}
ROWS = [
    {
        "trade_id": "T1",
        "venue_order_id": "V1",
        "side": "buy",
        "quantity": "0.1",
        "price": "10000",
        "fees": {"USD": "1"},
        "time": "2024-03-01T12:00:00Z",
    }
]


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_kind_of_incident_has_its_way_back() -> None:
    assert WAYS.keys() == set(K)
    assert all(way.automatic or way.commands for way in WAYS.values())


def test_every_way_back_is_gone_by_a_test_that_there_is() -> None:
    known = {name.rpartition("::")[2] for name in known_names().tests}
    assert {kind for kind, way in WAYS.items() if way.test is None} == NOT_YET
    assert [way.test for way in WAYS.values() if way.test and way.test not in known] == []


def test_the_runbook_has_the_table() -> None:
    """After a change, `python -m tests.way_back` writes it."""
    assert PAGE.read_text() == written(PAGE.read_text())


@pytest.mark.parametrize("kind", [kind for kind in K if WAYS[kind].commands])
@pytest.mark.parametrize("subject", ["0123456789abcdef0123456789abcdef", "paper|BTC/USD|1|buy|it's 2%7C; rm -rf $HOME"])
def test_r59_the_command_that_an_incident_prints_is_one(
    kind: IncidentKind, subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes through the command's own parser, and as far as the stage that it would act on."""
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text(example_document())
    Path("rows.json").write_text(json.dumps(ROWS))
    incident = make_incident(kind=kind, subject=subject, symbol=SYMBOL, account=ACCOUNT)

    def reached(stage: str, _local: bool) -> Desk:
        raise InvalidInput("reached", stage, "It was read.")

    for command in commands(incident):
        program, *words = shlex.split(command.replace("STRATEGY", "ema-cross"))
        assert program == "belay"
        result = CliRunner().invoke(app, words, obj=reached)
        assert result.stderr == "belay: reached: dev. It was read.\n", command
    assert any(subject in shlex.split(command) for command in commands(incident)) or "{order}" not in str(WAYS[kind])


# --- there and back --------------------------------------------------------------------------------------------------


def ready() -> World:
    world = World()
    world.open_gate()
    return world


def desk(world: World) -> Desk:
    unused: Any = lambda *_: None  # noqa: E731 never called
    return Desk(STAGE, world.ledger, world.switch, unused, unused, world.queue.publish_intent, unused)


def say_it_is_over(world: World) -> None:
    (incident,) = world.incidents()
    operations.resolve_incident(desk(world), ACCOUNT, incident.incident_id, "looked at it", "ada")


def require_clean(world: World) -> None:
    """Nothing waits for a person, nothing is stopped, and it is proven."""
    world.minutes(2)
    assert world.reconcile().clean
    assert world.kinds() == []
    assert world.account.stops == ()


def test_an_event_that_was_refused_is_over_once_a_person_says_so() -> None:
    world = ready()
    refuse_event(world.services(), {"account": ACCOUNT}, InvalidInput("tick.symbol", "is missing", "Add it."))
    assert world.kinds() == [K.INVALID_EVENT]
    say_it_is_over(world)
    require_clean(world)


def test_an_overfill_is_over_once_a_person_says_so() -> None:
    world = ready()
    order = world.buy()
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    more = world.trade_by_hand(quantity="0.05").venue_order_id
    ours = world.order(order.order_id).venue_order_ids[0]

    def of_one_order(page: TradePage) -> TradePage:
        named = (t.model_copy(update={"venue_order_id": ours}) if t.venue_order_id == more else t for t in page.trades)
        return page.model_copy(update={"trades": tuple(named)})

    world.steps.always("venue.trades", changed(of_one_order))
    world.advance(seconds=5)
    world.reconcile()
    assert K.OVERFILL in world.kinds()
    for incident in world.incidents():
        operations.resolve_incident(desk(world), ACCOUNT, incident.incident_id, "sold the rest", "ada")
    require_clean(world)


def test_a_second_venue_order_is_over_once_a_person_says_so() -> None:
    world = ready()
    order = world.buy(limit_price="9000")
    world.deliver()
    world.strategy.says = Hold(reason="quiet")

    def two(shown: tuple[VenueOrder, ...]) -> tuple[VenueOrder, ...]:
        return (*shown, *(one.model_copy(update={"venue_order_id": "000000000777"}) for one in shown))

    world.steps.always("venue.open_orders", changed(two))
    world.advance(seconds=5)
    world.reconcile()
    assert world.kinds() == [K.DUPLICATE_VENUE_ORDER]
    world.steps.calm()  # one is cancelled at the venue
    say_it_is_over(world)
    require_clean(world)
    assert world.state(order) is S.ACKNOWLEDGED


def test_a_wrong_proof_of_absence_is_over_once_a_person_says_so() -> None:
    world, order = denied_by_the_venue_itself()
    world.strategy.says = Hold(reason="quiet")
    world.steps.calm()
    naming = {"client_order_id": order.order_id}
    named = changed(
        lambda page: page.model_copy(update={"trades": tuple(t.model_copy(update=naming) for t in page.trades)})
    )
    world.steps.always("venue.trades", named)
    world.advance(seconds=1)
    world.reconcile()
    assert world.kinds() == [K.WRONG_ABSENCE_PROOF]
    say_it_is_over(world)
    require_clean(world)
    assert world.state(order) is S.FILLED


def test_an_exit_that_did_not_go_out_is_sold_by_hand() -> None:
    world = World(venue_type=UnfencedVenue)
    held = world.holding()
    world.set_switch(StopLevel.HALTED)
    world.decide(make_reduce())
    world.strategy.says = Hold(reason="quiet")
    world.minutes(8)
    assert world.kinds() == [K.EXIT_NOT_PLACED]
    world.set_switch(StopLevel.RUNNING)
    sold = sell_by_hand(world)
    world.deliver()
    say_it_is_over(world)
    require_clean(world)
    assert (world.state(sold), world.position(), held) == (S.FILLED, ZERO, world.order(sold.order_id).filled_quantity)


def sell_by_hand(world: World) -> Order:
    asked = ManualOrder(
        order_id="a" * 32,
        account=ACCOUNT,
        strategy="ema-cross",
        symbol=SYMBOL,
        side=Side.SELL,
        cost="0.005",
        expiry_seconds=300,
        reason="by hand",
        author="ada",
    )
    place = Desk(
        STAGE,
        world.ledger,
        world.switch,
        lambda _: None,
        lambda _: world.now,
        world.queue.publish_intent,
        lambda _: {},
    )
    trading.place(place, asked, "by-hand-1")
    return world.order(asked.order_id)


def test_a_missed_slot_is_over_once_a_person_says_so() -> None:
    world = ready()
    world.tick()
    world.advance(hours=3)
    world.queue.ticks.clear()
    world.reconcile()
    world.queue.ticks.clear()
    assert world.kinds() == [K.MISSED_SLOT]
    say_it_is_over(world)
    require_clean(world)


def test_what_was_said_wrongly_of_an_order_is_over_once_a_person_says_so() -> None:
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    remember(world)
    world.reconcile()
    assert world.kinds() == [K.WRONG_WORD]
    say_it_is_over(world)
    require_clean(world)
    assert world.state(order) is S.ACKNOWLEDGED


def test_r18_an_unknown_order_whose_word_was_wrong_can_be_given_another() -> None:
    """Said to be cancelled, seen again, lost again: nothing of it stands in the way of the next word."""
    world, order = forgotten()
    resolve(world, order, verdict="cancelled")
    remember(world)
    world.reconcile()
    forget(world)
    world.minutes(3)
    resolve(world, order, verdict="cancelled")
    for incident in world.incidents():
        operations.resolve_incident(desk(world), ACCOUNT, incident.incident_id, "looked at it", "ada")
    require_clean(world)
    assert world.state(order) is S.CANCELLED


def test_an_outage_while_a_person_asks_changes_nothing() -> None:
    world, order = forgotten()
    world.steps.always("venue.lookup", refuse)
    before = world.order(order.order_id)
    with pytest.raises(Exception, match="no answer"):
        resolve(world, order, verdict="cancelled")
    assert world.order(order.order_id) == before
