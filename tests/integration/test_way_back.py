"""From a clean account through each incident to a clean proof, and the table that says how: domain/way_back.py."""

import json
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from belay.cli import trading
from belay.cli.desk import Desk
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.domain.account import StopLevel
from belay.domain.decisions import Hold, Side
from belay.domain.errors import InvalidInput
from belay.domain.flows import FlowKind
from belay.domain.incidents import IncidentKind, Looked, ResolveRequest
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order, OrderState
from belay.domain.record import ZERO
from belay.domain.slots import Slot
from belay.domain.venues import TradePage, UnreadRow, VenueOrder
from belay.domain.way_back import WAYS, commands
from belay.workflows.look import look
from belay.workflows.outage import SUBMITTING, account_refused, refusal
from belay.workflows.schedule import ask_for_all
from belay.workflows.updates import refuse_event
from tests.builders import ACCOUNT, STAGE, SYMBOL, make_buy, make_incident, make_limits, make_tick
from tests.corpus import known as known_names
from tests.integration.test_isolation import ETHER, delisted, two_symbols
from tests.integration.test_money import estimates
from tests.integration.test_reconcile import denied_by_the_venue_itself
from tests.integration.test_resolve_order import forget, forgotten, remember, resolve
from tests.integration.test_restore import restored
from tests.way_back import PAGE, written
from tests.world import (
    FAULTS,
    UnfencedVenue,
    World,
    blaming,
    changed,
    disturbed,
    instead,
    make_reduce,
    meanwhile,
    refuse,
)

K, S, D = IncidentKind, OrderState, Decimal
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
    assert [way.test for way in WAYS.values() if way.test not in known] == []


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
    return Desk(
        STAGE,
        world.ledger,
        world.switch,
        lambda _: None,
        lambda _: world.now,
        world.queue.publish_intent,
        world.ask,
    )


def typed(world: World, *words: str, code: int = 0) -> str:
    """What `belay` says to these words."""
    result = CliRunner().invoke(app, list(words), obj=lambda _stage, _local: desk(world))
    assert result.exit_code == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def do(world: World, kind: IncidentKind, *, containing: str = "", code: int = 0) -> str:
    """Type the commands that the only open incident of a kind prints, or of them those that contain a text."""
    (incident,) = [one for one in world.incidents() if one.kind is kind]
    printed = [command for command in commands(incident) if containing in command]
    assert printed, commands(incident)
    return "\n".join(typed(world, *shlex.split(command)[1:], code=code) for command in printed)


def say_it_is_over(world: World) -> None:
    (incident,) = world.incidents()
    do(world, incident.kind, containing="incidents resolve")


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
        typed(world, "incidents", "resolve", incident.incident_id, "--reason", "sold the rest")
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
    trading.place(desk(world), asked, "by-hand-1")
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


def test_the_schedule_of_a_missed_slot_is_forgotten_with_it_and_no_other() -> None:
    world = ready()
    retired, alive = make_tick(), make_tick(strategy="another")
    for tick in (retired, alive):
        world.ledger.register_schedule(tick)
    subject = Slot.of(retired, STAGE).schedule_id
    world.ledger.open_incident(make_incident(kind=K.MISSED_SLOT, subject=subject, symbol=SYMBOL))
    say_it_is_over(world)
    assert world.ledger.schedules(ACCOUNT) == (alive,)


def test_an_incident_of_no_account_is_over_once_a_person_says_so() -> None:
    world = ready()
    refuse_event(world.services(), {"account": "?"}, InvalidInput("tick.account", "is not known", "Correct it."))
    (incident,) = world.ledger.open_incidents("none")
    (command,) = commands(incident)
    assert "resolved" in typed(world, *shlex.split(command)[1:])
    assert world.ledger.open_incidents("none") == ()


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
        typed(world, "incidents", "resolve", incident.incident_id, "--reason", "looked at it")
    require_clean(world)
    assert world.state(order) is S.CANCELLED


def test_an_outage_while_a_person_asks_changes_nothing() -> None:
    world, order = forgotten()
    world.steps.always("venue.lookup", refuse)
    before = world.order(order.order_id)
    with pytest.raises(Exception, match="no answer"):
        resolve(world, order, verdict="cancelled")
    assert world.order(order.order_id) == before


# --- rows, proofs, balances, identity, fees --------------------------------------------------------------------------


def test_a_balance_that_no_record_explains_is_taken_by_the_command_that_its_incident_prints() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.minutes(2)
    assert world.kinds() == [K.BALANCE_MISMATCH]
    do(world, K.BALANCE_MISMATCH)
    require_clean(world)


def test_r28_an_exit_that_a_restored_table_never_sent_ends_by_the_command_that_its_incident_prints() -> None:
    world = World()
    world.holding("0.2")
    (leave,) = world.decide(make_reduce(quantity="0.1"))
    again = restored(world)
    world.deliver()
    assert again.execute(leave.order_id).detail == "restored table"
    (incident,) = again.incidents()
    assert [command.split()[:3] for command in commands(incident)] == [["belay", "incidents", "resolve"]]
    do(again, K.ORDER_MISMATCH)
    assert again.kinds() == []


def test_the_command_that_an_incident_prints_takes_no_other_amount_than_it_says() -> None:
    world = ready()
    world.move(recorded=False, USD="25")
    world.minutes(2)
    (incident,) = world.incidents()
    assert "--amount USD=25 " in incident.action
    world.move(recorded=False, USD="-5000")
    refused = do(world, K.BALANCE_MISMATCH, containing="--amount USD=25 ", code=2)
    assert "USD differs by -4975" in refused
    assert "not by 25" in refused
    assert world.account.external == {}
    world.minutes(1)
    do(world, K.BALANCE_MISMATCH, containing="--amount USD=-4975 ")
    assert world.account.external == {"USD": -4975}
    require_clean(world)


def test_a_trades_row_that_is_not_understood_is_taken_as_it_is_and_its_balances_by_a_rebase() -> None:
    world = ready()
    row = UnreadRow(what="trade", reference="T9", market="BTCUSD", symbol=SYMBOL, problem="its fee is not understood")
    world.trade_by_hand()
    world.steps.always("venue.trades", changed(lambda page: page.model_copy(update={"trades": (), "unread": (row,)})))
    world.minutes(3)
    assert K.UNREADABLE_ROW in world.kinds()
    do(world, K.UNREADABLE_ROW, containing="incidents resolve")
    world.minutes(2)
    moved = world.incidents()
    assert {(one.kind, one.subject) for one in moved} == {(K.BALANCE_MISMATCH, "USD"), (K.BALANCE_MISMATCH, "BTC")}
    for incident in moved:
        typed(world, *shlex.split(commands(incident)[-1])[1:])
    require_clean(world)


def test_what_could_not_be_reconciled_ends_by_itself_once_a_run_gets_through() -> None:
    world = ready()
    world.steps.always("venue.trades", instead(KeyError("secret")))
    world.minutes(3)
    assert world.kinds() == [K.NOT_RECONCILED]
    assert f"nothing is proven of {SYMBOL}" in do(world, K.NOT_RECONCILED)
    world.steps.calm()
    require_clean(world)


def test_a_proof_that_was_too_old_ends_with_the_next_clean_run() -> None:
    world = ready()
    world.advance(minutes=11)
    ask_for_all(world.services())
    world.advance(minutes=3)
    ask_for_all(world.services())
    assert world.kinds() == [K.STALE_PROOF]
    assert "2024-03-01 12:00:00Z" in do(world, K.STALE_PROOF), "when the last one was"
    assert stays_open(world, K.STALE_PROOF) == "the fact still stands"
    require_clean(world)


def test_a_document_of_another_account_is_over_once_the_right_one_is_stored(tmp_path: Path) -> None:
    world = ready()
    before = world.document
    world.configure(before.model_copy(update={"venue": "elsewhere"}))
    world.reconcile()
    assert world.kinds() == [K.IDENTITY_CHANGED]
    assert stays_open(world, K.IDENTITY_CHANGED) == "the fact still stands"
    file = tmp_path / "FILE"
    file.write_text(before.model_dump_json(exclude_none=True))
    typed(world, "account", "set", str(file))
    require_clean(world)


def test_nothing_is_over_that_is_looked_for_in_another_account(tmp_path: Path) -> None:
    """The document means another account, in which what the incident is about is not to be seen."""
    world = ready()
    world.move(recorded=False, USD="25")
    world.minutes(2)
    world.configure(world.document.model_copy(update={"venue": "elsewhere"}))
    assert "another account" in stays_open(world, K.BALANCE_MISMATCH)


def test_a_symbol_that_was_delisted_is_retired_and_leaves_the_document(tmp_path: Path) -> None:
    world = two_symbols()
    world.decide(make_buy(symbol=ETHER))
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    delisted(world)
    world.minutes(2)
    assert world.kinds() == [K.SYMBOL_UNAVAILABLE]
    assert stays_open(world, K.SYMBOL_UNAVAILABLE) == "the fact still stands"
    (halted,) = world.incidents()
    assert not any("retire" in command for command in commands(halted)), "it may only be halted"
    world.advance(hours=24)
    world.minutes(2)
    do(world, K.MISSED_SLOT)
    do(world, K.SYMBOL_UNAVAILABLE, containing="retire")
    limits = make_limits(max_position_notional={SYMBOL: "5000"})
    left = world.document.model_copy(update={"symbols": (SYMBOL,), "limits": limits})
    file = tmp_path / "FILE"
    file.write_text(left.model_dump_json(exclude_none=True))
    typed(world, "account", "set", str(file))
    require_clean(world)
    assert world.account.position("ema-cross", ETHER).quantity == ZERO


def coins_gone(by: FlowKind = FlowKind.CONVERSION) -> World:
    """A strategy's 0.1 BTC; what the venue's records name took 0.04 of it."""
    world = World()
    world.holding("0.1")
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    world.move(by, BTC="-0.04")
    world.minutes(4)
    return world


@pytest.mark.parametrize(
    ("by", "told"),
    [
        (FlowKind.WITHDRAWAL, "One that fails counts back by itself"),
        (FlowKind.EARN, "Redeem it at the venue"),
        (FlowKind.TRANSFER, "Bring it back"),
    ],
)
def test_what_may_come_back_is_told_as_that_and_no_write_off_is_printed_for_a_day(by: FlowKind, told: str) -> None:
    world = coins_gone(by)
    (incident,) = world.incidents()
    assert f"{by} of 0.04 BTC" in incident.action
    assert told in incident.action
    assert [command.split()[1] for command in commands(incident)] == ["flows"]
    world.advance(hours=24)
    world.reconcile()
    (incident,) = (one for one in world.incidents() if one.kind is K.POSITION_MISMATCH)
    assert "write-off" in commands(incident)[-1]


def test_coins_of_a_strategy_that_are_gone_are_written_off() -> None:
    world = coins_gone()
    assert world.kinds() == [K.POSITION_MISMATCH]
    assert stays_open(world, K.POSITION_MISMATCH) == "the fact still stands"
    (incident,) = world.incidents()
    assert "strategies hold 0.1 BTC, 0.04 more" in incident.actual
    (printed,) = [command for command in commands(incident) if "write-off" in command]
    words = shlex.split(printed.replace("STRATEGY", "ema-cross"))[1:]
    cost = world.account.position("ema-cross", SYMBOL).cost
    assert "written off at 12000" in typed(world, *words, "--price", "12000")
    position = world.account.position("ema-cross", SYMBOL)
    assert (position.quantity, position.cost) == (D("0.06"), cost * D("0.6"))
    assert position.realised_pnl == 480 - cost * D("0.4")
    assert "no more" in typed(world, *words, code=2), "a repetition takes nothing"
    require_clean(world)
    assert world.account.position("ema-cross", SYMBOL) == position


def test_what_is_short_and_too_little_to_be_sold_is_no_incident() -> None:
    world = World()
    world.holding("0.1")
    world.strategy.says = Hold(reason="quiet")
    world.minutes(2)
    world.move(FlowKind.WITHDRAWAL, BTC="-0.00000001")
    world.minutes(4)
    assert world.kinds() == []
    assert world.reconcile().clean


def test_coins_that_come_back_end_it() -> None:
    world = coins_gone()
    world.move(FlowKind.DEPOSIT, BTC="0.04")
    require_clean(world)


def test_no_more_is_written_off_than_is_short_nor_from_whom_it_was_not() -> None:
    world = coins_gone()
    for words in (("--strategy", "ema-cross", "--quantity", "0.05"), ("--strategy", "another")):
        typed(world, "write-off", SYMBOL, *words, "--reason", "x", code=2)
    assert world.position() == D("0.1")


def test_fees_that_the_venue_never_tells_are_taken_as_estimated_by_a_persons_word() -> None:
    world = ready()
    estimates(world)
    order = world.buy()
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(12)
    assert world.kinds() == [K.FEE_UNCONFIRMED]
    do(world, K.FEE_UNCONFIRMED)
    world.minutes(4)
    assert world.kinds() == [K.BALANCE_MISMATCH], "half as much again was estimated as was taken"
    do(world, K.BALANCE_MISMATCH)
    require_clean(world)
    assert world.order(order.order_id).settled


# --- looking first ---------------------------------------------------------------------------------------------------


def stays_open(world: World, kind: IncidentKind) -> str:
    """A person says that it is over: what the answer says against it; both values and the commands are in it, too."""
    (incident,) = [one for one in world.incidents() if one.kind is kind]
    stops = world.account.stops
    words = ["incidents", "resolve", incident.incident_id, "--reason", "it is over"]
    told = json.loads(typed(world, *words, "--json", code=1))
    assert (told["status"], told["commands"]) == ("open", list(commands(incident)))
    assert (told["expected"], told["actual"]) == (incident.expected, incident.actual)
    shown = typed(world, *words, code=1)
    assert incident.actual in " ".join(shown.split())
    assert all(command in " ".join(shown.split()) for command in commands(incident))
    assert world.account.stops == stops
    assert incident in world.incidents()
    return str(told["problem"])


def refused_order() -> World:
    """The venue refused an order of this key: whether it may trade again, a person has to say."""
    world = ready()
    account_refused(world.services(), ACCOUNT, SUBMITTING, "-2015", "Look at the key.", world.now)
    assert world.account.stops != ()
    return world


def say(world: World, author: str = "ada") -> Looked:
    request = ResolveRequest(incident_id=refusal(SUBMITTING), reason=f"{author} looked at the key", author=author)
    return look(ACCOUNT, request, world.services())


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_any_step_a_repetition_ends_the_incident_and_lifts_its_stop(fault: Any) -> None:
    for step, world in disturbed(refused_order, say, fault):
        with blaming(step):
            assert say(world).status == "resolved"
            assert world.account.stops == ()
            assert world.incidents() == []
            (*_, last) = world.ledger.incident_history(ACCOUNT, refusal(SUBMITTING))
            assert (last.what, last.author, last.reason) == ("resolved", "ada", "ada looked at the key")


def test_two_operators_who_end_an_incident_at_once_are_both_in_its_history() -> None:
    world = refused_order()
    world.steps.next("ledger.resolve_incident", meanwhile(lambda: say(world, "bob")))
    assert say(world).status == "resolved"
    authors = {line.author for line in world.ledger.incident_history(ACCOUNT, refusal(SUBMITTING))}
    assert authors == {"belay", "ada", "bob"}
    known = world.ledger.incident(ACCOUNT, refusal(SUBMITTING))
    assert known is not None
    assert known.resolved_by == "bob", "who was first"
    assert say(world).resolution == "bob looked at the key"
    assert world.account.stops == ()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"reason": "x"}, "resolve.incident_id"),
        ({"incident_id": "overfill:x", "reason": ""}, "resolve.reason"),
        ({"incident_id": "overfill:x", "reason": "x", "author": ""}, "resolve.author"),
        ({"incident_id": "overfill:x", "reason": "x"}, "resolve.incident_id"),
        ({"incident_id": "overfill:x", "reason": "x", "force": True}, "resolve.force"),
        ("overfill:x", "resolve"),
    ],
)
def test_a_wish_that_is_none_is_refused_with_its_field(wish: Any, field: str) -> None:
    world = refused_order()
    before = world.account, world.incidents()
    assert world.ask({"account": ACCOUNT, "resolve": wish})["error"] == field
    assert (world.account, world.incidents()) == before
