"""The life of one account from a seed, and what must hold at its end."""

from pathlib import Path
from random import Random

from tests.real_account.owner import act, calm
from tests.real_account.way_back import deal, lead_back
from tests.real_account.world import START, World
from tests.venue_server.solo import Solo
from tests.venue_server.wallets import unbalanced

STEPS = 200
VENUES = ("binance", "kraken")


def lived(venue: str, seed: int, folder: Path, steps: int = STEPS) -> tuple[World, list[str]]:
    """An account after so many minutes, in each of which its owner or its strategy did something; now and then somebody
    looks at the incidents, so that it trades again."""
    solo = Solo(venue, START, seed=seed, markets=6)
    solo.act("set_terms", rounded=True)
    world, chance, story = World(solo), Random(seed), list[str]()
    world.minute()
    for step in range(steps):
        if step % 8 == 7:
            deal(world, folder)
        story.append(f"{world.now():%H:%M} {act(world, chance)}")
        world.minute()
    calm(world)
    return world, story


def require_the_way_back(venue: str, seed: int, folder: Path, steps: int = STEPS) -> None:
    """Raises AssertionError, with the story, where the account is stuck, or does not add up."""
    world, story = lived(venue, seed, folder, steps)
    try:
        lead_back(world, folder)
        assert unbalanced(world.solo.truth()) == {}
        assert world.unexplained() == {}
        assert len(set(world.venue.accepted)) == len(world.venue.accepted)
    except BaseException as error:
        error.add_note(f"{venue} {seed}: " + "; ".join(story))
        raise
