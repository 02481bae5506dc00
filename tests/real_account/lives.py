"""The life of one account from a seed, and what must hold at its end."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random

from tests.real_account.owner import act, calm
from tests.real_account.served import served
from tests.real_account.truth import wrong
from tests.real_account.venue import InMemory
from tests.real_account.way_back import deal, lead_back
from tests.real_account.world import START, Place, World
from tests.venue_server.wallets import unbalanced

STEPS = 200
LOOK_EVERY, RESTART_EVERY = 8, 25
VENUES = ("binance", "kraken")


def placed(venue: str, seed: int, *, wire: bool) -> AbstractContextManager[Place]:
    """Where the life is: in memory, or over the wire."""
    return served(venue, START, seed) if wire else nullcontext(InMemory(venue, START, seed))


def lived(place: Place, seed: int, folder: Path, steps: int = STEPS) -> tuple[World, list[str]]:
    """An account after so many minutes, in each of which its owner or its strategy did something; now and then somebody
    looks at the incidents, so that it trades again, and the functions start cold."""
    place.act("set_terms", rounded=True)
    world, chance, story = World(place), Random(seed), list[str]()
    world.minute()
    for step in range(steps):
        if step % LOOK_EVERY == LOOK_EVERY - 1:
            deal(world, folder)
        if step % RESTART_EVERY == RESTART_EVERY - 1:
            world.restart()
        story.append(f"{world.now():%H:%M} {act(world, chance)}")
        world.minute()
    calm(world)
    return world, story


def require_the_way_back(venue: str, seed: int, folder: Path, steps: int = STEPS, *, wire: bool = False) -> None:
    """Raises AssertionError, with the story, where the account is stuck, or does not add up."""
    with placed(venue, seed, wire=wire) as place:
        world, story = lived(place, seed, folder, steps)
        try:
            lead_back(world, folder)
            assert unbalanced(world.place.truth()) == {}
            assert world.unexplained() == {}
            assert wrong(world) == []
            assert len(set(world.accepted())) == len(world.accepted())
        except BaseException as error:
            error.add_note(f"{venue} {seed}: " + "; ".join(story))
            raise
