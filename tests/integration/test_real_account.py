"""Two hundred steps of an ordinary account: at the end it is clean, or its incidents print what makes it clean."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.real_account.lives import VENUES, require_the_way_back
from tests.real_account.venue import InMemory
from tests.real_account.world import ACCOUNT, START, World


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1_000_000))
def test_an_account_is_clean_or_says_how_it_becomes_clean(venue: str, seed: int, tmp_path_factory: Any) -> None:
    require_the_way_back(venue, seed, tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("movement", ["withdrawal", "deposit"])
def test_what_moved_a_balance_before_a_rebase_took_it_counts_once_however_late_it_is_final(
    venue: str, movement: str
) -> None:
    """A withdrawal takes from the balance when it is asked for; a deposit is credited long before it is unlocked."""
    place = InMemory(venue, START, seed=1)
    world, asset = World(place), "USDT" if venue == "binance" else "USD"
    world.minute()
    world.minute()
    if movement == "withdrawal":
        place.act("withdraw", asset=asset, amount=Decimal(40), fee=Decimal(1), done_after=30 * 60)
    else:
        place.act("deposit_from_outside", asset=asset, amount=Decimal(100), unlocked_after=30 * 60, lag=20 * 60)
    for _ in range(3):
        world.minute()
    assert world.command("rebase", "--asset", asset, "--reason", "I know of it").exit_code == 0
    for _ in range(45):
        world.minute()
    assert world.unexplained() == {}
    assert len(world.ledger.flows(ACCOUNT, 10)) == 1


def test_a_withdrawal_that_was_pending_when_the_books_were_opened_is_in_the_opening() -> None:
    place = InMemory("binance", START, seed=1)
    world = World(place)
    place.act("withdraw", asset="USDT", amount=Decimal(40), fee=Decimal(1), done_after=10 * 60)
    for _ in range(30):
        world.minute()
    assert world.unexplained() == {}
    assert world.ledger.flows(ACCOUNT, 10) == ()
