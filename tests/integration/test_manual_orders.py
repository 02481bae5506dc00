"""An order placed by hand, from the operator's desk through the real workflows; and a cancel asked for there."""

from decimal import Decimal
from typing import Any, cast

import pytest

from belay.cli import trading
from belay.cli.desk import Desk, Switch
from belay.cli.explain import explain
from belay.domain.errors import InvalidInput
from belay.domain.incidents import IncidentKind
from belay.domain.manual import ManualOrder
from belay.domain.orders import Order, OrderState
from tests.builders import ACCOUNT, STAGE, SYMBOL
from tests.world import FAULTS, Fault, World, blaming, disturbed

S = OrderState
ID = "0123456789abcdef0123456789abcdef"


def desk(world: World) -> Desk:
    services = world.services()
    return Desk(
        stage=STAGE,
        ledger=services.ledger,
        switch=cast(Switch, world.switch),
        proof_of=lambda _configuration: None,
        venue_time=lambda _document: world.now,
        publish=services.queue.publish_intent,
        ask_reconciler=lambda _event: {},
    )


def asked(**changes: Any) -> ManualOrder:
    request = {"order_id": ID, "account": ACCOUNT, "symbol": SYMBOL, "side": "buy", "quantity": "0.1", "author": "ada"}
    return ManualOrder.model_validate(request | changes)


def place(world: World, **changes: Any) -> Any:
    return trading.place(desk(world), asked(**changes), f"desk-{len(world.steps.calls)}", new_strategy=True)


def ready() -> World:
    world = World()
    world.open_gate()
    return world


def placed(world: World) -> Order:
    return world.order(ID)


def test_an_order_by_hand_fills_like_any_other_and_explains_itself() -> None:
    world = ready()
    assert place(world)["state"] == "CREATED"
    world.deliver()
    world.minutes(2)
    assert (placed(world).state, placed(world).filled_quantity) == (S.FILLED, Decimal("0.1"))
    assert world.account.position("manual", SYMBOL).quantity == Decimal("0.1")
    story = explain(desk(world), ID)
    assert story["decision"]["algorithm"] == "manual"
    assert story["decision"]["parameters"]["author"] == "ada"
    assert story["orders"][0]["checks"][-1]["limits"]
    world.check_promises()


def test_the_same_order_again_is_the_same_order() -> None:
    world = ready()
    place(world)
    world.deliver()
    place(world)
    assert world.deliver() == []
    world.minutes(2)
    assert world.accepted(placed(world)) == 1
    world.check_promises()


def test_an_order_whose_message_was_lost_goes_out_all_the_same() -> None:
    world = ready()
    place(world)
    world.queue.intents.clear()
    place(world)  # within five minutes the queue drops a repetition
    world.minutes(2)
    assert placed(world).state is S.FILLED
    world.check_promises()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": "0.2"}, "--quantity"),
        ({"side": "sell"}, "--side"),
        ({"limit_price": "7000"}, "--limit-price"),
        ({"strategy": "ema-cross"}, "--strategy"),
    ],
)
def test_another_request_under_the_same_id_is_refused_and_named(changes: dict[str, str], field: str) -> None:
    world = ready()
    place(world)
    with pytest.raises(InvalidInput, match=field):
        place(world, **changes)


def test_another_reason_is_no_other_order() -> None:
    world = ready()
    place(world, reason="first thought")
    assert place(world, reason="second thought")["order_id"] == ID


def test_the_id_of_a_strategys_order_cannot_be_taken() -> None:
    world = ready()
    taken = world.buy()
    with pytest.raises(InvalidInput, match="not placed by hand"):
        place(world, order_id=taken.order_id)


def test_a_sell_by_hand_sells_what_its_strategy_holds_and_no_more() -> None:
    world = World()
    held = world.holding("0.1")
    place(world, side="sell", quantity=None, strategy="ema-cross")
    world.deliver()
    world.minutes(2)
    assert placed(world).filled_quantity == held
    assert world.position() == 0
    world.check_promises()


def test_a_sell_of_what_nobody_holds_is_denied() -> None:
    world = ready()
    place(world, side="sell", quantity="0.1")
    world.deliver()
    assert placed(world).state is S.DENIED


def test_selling_all_of_nothing_is_refused_at_once_and_stores_nothing() -> None:
    world = ready()
    with pytest.raises(InvalidInput, match=f"nothing to sell: ema-cross holds 0 {SYMBOL}"):
        place(world, side="sell", quantity=None, strategy="ema-cross")
    assert world.ledger.order(ID) is None
    world.minutes(8)
    assert world.kinds() == []


def test_a_sell_of_all_that_is_repeated_once_it_filled_is_the_same_order() -> None:
    world = World()
    world.holding("0.1")
    place(world, side="sell", quantity=None, strategy="ema-cross")
    world.deliver()
    world.minutes(2)
    assert place(world, side="sell", quantity=None, strategy="ema-cross")["state"] == S.FILLED


def test_limits_hold_for_orders_by_hand() -> None:
    world = ready()
    bound = world.document.limits.max_order_notional
    assert bound is not None
    place(world, quantity=None, notional=str(bound * 10))
    world.deliver()
    attempt = placed(world).attempt
    assert attempt is not None
    assert attempt.request.quantity * attempt.price <= bound


def test_an_order_by_hand_that_nobody_claims_lapses() -> None:
    world = ready()
    place(world, expiry_seconds=30)
    world.queue.intents.clear()
    world.advance(seconds=31)
    world.reconcile()
    assert placed(world).state is S.LAPSED
    world.check_promises()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_placing_it_may_stop_or_fail_anywhere_and_be_repeated(fault: Fault) -> None:
    for step, world in disturbed(ready, place, fault):
        with blaming(step):
            place(world)
            world.deliver()
            world.minutes(2)
            assert world.accepted(placed(world)) == 1
            world.check_promises()


def test_an_account_or_symbol_that_is_not_known_is_named() -> None:
    with pytest.raises(InvalidInput, match="--account"):
        place(ready(), account="nobody")
    with pytest.raises(InvalidInput, match="--symbol"):
        place(ready(), symbol="DOGE/USD")


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_is_carried_out_by_the_next_reconciliation() -> None:
    world = ready()
    place(world, limit_price="1000")
    world.deliver()
    assert placed(world).state is S.ACKNOWLEDGED
    trading.cancel(desk(world), ID, "changed my mind")
    world.minutes(2)
    assert placed(world).state is S.CANCELLED
    world.check_promises()


def test_a_cancel_of_what_was_not_sent_yet_gives_it_up() -> None:
    world = ready()
    place(world)
    trading.cancel(desk(world), ID, "changed my mind")
    world.reconcile()
    assert placed(world).state is S.LAPSED
    world.deliver()
    assert world.store.submissions() == ()


def test_what_is_settled_or_unknown_cannot_be_cancelled() -> None:
    world = ready()
    with pytest.raises(InvalidInput, match="has no order"):
        trading.cancel(desk(world), ID, "why not")
    place(world)
    world.deliver()
    world.minutes(2)
    with pytest.raises(InvalidInput, match="FILLED and settled"):
        trading.cancel(desk(world), ID, "why not")


# --- following -------------------------------------------------------------------------------------------------------


def test_following_tells_each_event_once_and_ends_when_it_is_filled() -> None:
    world = ready()
    place(world)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        world.deliver()
        world.minutes(1)

    told = list(trading.follow(desk(world), ID, 60, sleep))
    assert [event["sequence"] for event in told] == list(range(len(told)))
    assert told[0]["cause"] == "decided"
    assert told[-1]["to"] == "FILLED"
    assert len(pauses) < 60


def test_following_ends_with_its_time_while_the_order_rests() -> None:
    world = ready()
    place(world, limit_price="1000")
    world.deliver()
    pauses: list[float] = []
    told = list(trading.follow(desk(world), ID, 5, pauses.append))
    assert told[-1]["to"] == "ACKNOWLEDGED"
    assert len(pauses) == 6
    assert not trading.is_done(placed(world))


def test_an_exit_by_hand_that_lapses_pages() -> None:
    world = World()
    world.holding("0.1")
    place(world, side="sell", quantity=None, strategy="ema-cross", expiry_seconds=30)
    world.queue.intents.clear()
    world.advance(seconds=31)
    world.reconcile()
    assert IncidentKind.EXIT_NOT_PLACED in world.kinds()
