"""What is asked for and what goes wrong, decided by a seed. Starts nothing.

Of N orders at one venue each fault is dealt at least T = 15 N / 500 times. What never reaches the books is dealt to
new orders only a few times, so that nine of ten get there, and to look-ups, trades, balances, times and prices for the
rest. Two copies of one request are dealt to resting limit orders only: a client order id is unique among open orders
only, so that of a market order the venue itself makes two.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.venue_server.faults import NAMES

FAULTS = tuple(sorted(set(NAMES) - {"none"}))
NEVER = tuple(name for name in FAULTS if NAMES[name].get("process") == "never")
TWO_COPIES = ("copied", "replayed")
WHOLE_RUN, EACH = 500, 15
MOST_NEVER = 0.07  # of all orders
DECK = 0.85  # of all orders: so many new orders reach the venue for certain
READS = {
    "binance": ("query_order", "open_orders", "trades", "balances", "time", "ticker"),
    "kraken": ("closed_orders", "open_orders", "trades", "balances", "time", "ticker"),
}
# Codes that do not tell whether there is an order, and codes that tell that there is none.
UNTOLD = {"binance": "-1007", "kraken": "EService:Timeout"}
REFUSED = {"binance": "-1021", "kraken": "EAPI:Rate limit exceeded"}
HOLD_SECONDS = 3.0  # longer than the client waits, less than the venue's window

Kind = Literal["market", "crossing", "resting"]
KINDS: tuple[Kind, ...] = ("market", "crossing", "resting")
WEIGHTS = (50, 30, 20)


@dataclass(frozen=True)
class Asked:
    """One order: `kind` says how it is priced, `sells` whether it would rather sell, if there is something to sell.

    `rule` is a fault of this order alone; `killed`: the executor is killed while it waits for the venue's answer.
    `reads` are faults of whatever is read from then on.
    """

    number: int
    order_id: str
    kind: Kind
    sells: bool
    symbol_draw: float
    size_draw: float
    rule: str | None = None
    killed: bool = False
    reads: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Plan:
    """`deck` is dealt to the new orders that the server receives; each fault comes at least `each` times."""

    each: int
    asked: tuple[Asked, ...]
    deck: Mapping[str, Any]


def settings(venue: str) -> dict[str, dict[str, Any]]:
    """Fields of some faults that the server leaves open or that would take too long."""
    return {
        "accept_error": {"error": UNTOLD[venue]},
        "drop_error": {"error": REFUSED[venue]},
        "rate_limited": {"retry_after": 1},
        "banned": {"retry_after": 1},
        "hold": {"seconds": HOLD_SECONDS},
    }


def make_plan(venue: str, seed: int, number: int) -> Plan:
    draw = random.Random(f"{seed}:{venue}:{number}")
    each = max(number * EACH // WHOLE_RUN, 1)
    times = each + max(each // 7, 1)  # some to spare: not every order that is asked for is sent
    lost = _lost(draw, each, int(number * MOST_NEVER))
    dealt = {name: times for name in FAULTS if name not in (*NEVER, *TWO_COPIES)} | lost
    reads = [
        {"name": name, "kind": draw.choice(READS[venue]), **settings(venue).get(name, {})}
        for name in NEVER
        for _ in range(times - lost.get(name, 0))
    ]
    rules = [name for name in TWO_COPIES for _ in range(times + each // 7)]  # lost with an order that is denied
    kills = ["killed"] * max(number // 60, 1)
    special = dict(zip(draw.sample(range(number), len(rules) + len(kills)), rules + kills, strict=True))
    due: dict[int, list[Mapping[str, Any]]] = {}
    for fault in reads:
        due.setdefault(draw.randrange(number), []).append(fault)
    asked = tuple(_asked(draw, place, special.get(place), tuple(due.get(place, ()))) for place in range(number))
    plain = max(int(number * DECK) - len(special) - sum(dealt.values()), 0)
    deck = {"deck": dealt, "plain": plain, "seed": seed, "venue": venue, "settings": settings(venue)}
    return Plan(each, asked, deck)


def _lost(draw: random.Random, each: int, most: int) -> dict[str, int]:
    """How often each fault that keeps an order from the books hits a new order: a restricted account needs a person."""
    dealt: dict[str, int] = {}
    names = draw.sample(NEVER, len(NEVER))
    for place in range(min(most, each * len(NEVER))):
        name = names[place % len(names)]
        dealt[name] = 1 if name == "restricted" else dealt.get(name, 0) + 1
    return dealt


def _asked(draw: random.Random, number: int, special: str | None, reads: tuple[Mapping[str, Any], ...]) -> Asked:
    (kind,) = draw.choices(KINDS, WEIGHTS)
    return Asked(
        number=number,
        order_id=f"{draw.getrandbits(128):032x}",
        kind="resting" if special in TWO_COPIES else kind,
        sells=draw.random() < 0.5,
        symbol_draw=draw.random(),
        size_draw=draw.random(),
        rule=special if special in TWO_COPIES else "accept_hang" if special == "killed" else None,
        killed=special == "killed",
        reads=reads,
    )
