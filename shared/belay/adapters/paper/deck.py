"""Which faults are dealt, by seed: a card to each request that is sent, a hand to each order placed. Injects none."""

import random
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from belay.adapters.paper.state import FaultKind
from belay.domain.documents import FaultSettings

Kind = FaultKind


class Way(Enum):
    """How a request comes to the venue."""

    AT_ONCE = auto()
    LATER = auto()
    NEVER = auto()
    REFUSED = auto()


class Card(NamedTuple):
    """What one delivery meets: `kind` None is nothing."""

    way: Way
    kind: FaultKind | None = None
    may_crash: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether the request will never be placed."""
        return self.way in (Way.NEVER, Way.REFUSED) or self.kind is Kind.EXPIRED


ORDERLY = Card(Way.AT_ONCE)
CRASHES = (Card(Way.NEVER, Kind.CRASH_BEFORE_SEND), Card(Way.AT_ONCE, Kind.CRASH_AFTER_ACCEPT))
CRASH_KINDS = frozenset(card.kind for card in CRASHES)
DECK = (
    Card(Way.AT_ONCE, Kind.ANSWER_LOST),
    Card(Way.AT_ONCE, Kind.ANSWER_LOST),
    Card(Way.LATER, Kind.DELAYED),
    Card(Way.LATER, Kind.EXPIRED),
    Card(Way.NEVER, Kind.DROPPED),
    Card(Way.NEVER, Kind.DROPPED),
    Card(Way.AT_ONCE, Kind.SERVER_ERROR),
    Card(Way.NEVER, Kind.SERVER_ERROR),
    Card(Way.REFUSED, Kind.REFUSED),
    Card(Way.AT_ONCE, may_crash=True),
    ORDERLY,
    ORDERLY,
)


class Hand(NamedTuple):
    """What one order meets once it is placed. Partial and late: its second trade shows before its first."""

    partial: bool = False
    late: bool = False
    lagging: bool = False


HANDS = (
    Hand(partial=True),
    Hand(partial=True),
    Hand(partial=True, lagging=True),
    Hand(partial=True, late=True),
    Hand(partial=True, late=True, lagging=True),
    Hand(late=True),
    Hand(late=True),
    Hand(late=True, lagging=True),
    Hand(lagging=True),
    Hand(lagging=True),
    Hand(),
    Hand(),
)


def dealt_card(settings: FaultSettings, sequence: int, crashes: int) -> Card:
    """What the `sequence`-th delivery meets, from 1 on, after so many crashes: one of each deck may be the next."""
    card = _dealt(f"{settings.seed}", DECK, sequence)
    if not card.may_crash:
        return card
    return CRASHES[crashes % len(CRASHES)] if crashes < settings.crashes else ORDERLY


def dealt_hand(settings: FaultSettings, number: int) -> Hand:
    """What the venue's order of this number meets, from 1 on."""
    return _dealt(f"{settings.seed}:placed", HANDS, number)


def _dealt[T](seed: str, deck: Sequence[T], number: int) -> T:
    shuffled, place = divmod(number - 1, len(deck))
    return random.Random(f"{seed}:{shuffled}").sample(deck, len(deck))[place]  # noqa: S311 repeatable
