"""Two hundred steps of an ordinary account: at the end it is clean, or its incidents print what makes it clean."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belay.domain.decisions import Buy
from tests.real_account.lives import VENUES, require_the_way_back
from tests.real_account.venue import InMemory
from tests.real_account.world import ACCOUNT, START, World
from tests.venue_server.orders import Plan


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1_000_000))
def test_an_account_is_clean_or_says_how_it_becomes_clean(venue: str, seed: int, tmp_path_factory: Any) -> None:
    require_the_way_back(venue, seed, tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("token", [False, True])
def test_r14_the_true_fee_of_a_fill_that_a_rebase_took_is_counted_once(venue: str, token: bool) -> None:
    """The venue shows an order of ours and its trade a quarter of an hour late; by then a person said that it was
    absent and took the balances, true fee included. Kraken's list estimates the fee; its ledger tells it after that."""
    world = quiet_world(venue, token)
    place = world.place
    assert isinstance(place, InMemory)
    symbol, quote = world.symbols[0], world.symbols[0].split("/")[1]
    place.plan = Plan(order_lag=15 * 60, trade_lag=15 * 60)
    place.answers = False
    world.decide(symbol, Buy(symbol=symbol, notional=Decimal(300), reason="up"))
    (order,) = world.ledger.orders(ACCOUNT, 10)
    for _ in range(12):
        world.minute()
    if world.ledger.account(ACCOUNT).reservations:
        done = world.command("resolve", order.order_id, "--absent", "--reason", "nothing there")
        assert done.exit_code == 0, done.stdout
    done = world.command("rebase", "--all", "--reason", "bought in the app, perhaps")
    assert done.exit_code == 0, done.stdout
    for _ in range(90):
        world.minute()
    found = world.ledger.order(order.order_id)
    assert found is not None
    assert (found.settled, found.estimated, found.filled_quantity) == (True, (), found.venue_filled)
    assert sum(found.fees.values()) > 0
    assert (quote in found.fees) == (not token and venue == "kraken")
    assert world.unexplained() == {}


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("token", [False, True])
def test_r15_the_fee_of_a_trade_by_hand_that_was_called_foreign_is_what_the_venue_took(venue: str, token: bool) -> None:
    world = quiet_world(venue, token)
    symbol = world.symbols[0]
    world.place.act("order", symbol=symbol, side="buy", quantity=Decimal("0.01"))
    for _ in range(3):
        world.minute()
    done = world.command("trades", "foreign", "--symbol", symbol, "--reason", "by hand")
    assert done.exit_code == 0, done.stdout
    for _ in range(3):
        world.minute()
    assert world.unexplained() == {}
    assert world.reconcile().clean
    assert world.incidents() == ()


def quiet_world(venue: str, token: bool) -> World:
    """An account whose books are open, and which pays its fees in a token that it holds, or not."""
    place = InMemory(venue, START, seed=1)
    world = World(place)
    place.act("set_terms", rounded=True)
    if token:
        place.act("deposit_from_outside", asset="KFEE" if venue == "kraken" else "BNB", amount=Decimal(500))
        place.act("set_terms", token=True)
    world.minute()
    world.minute()
    return world
