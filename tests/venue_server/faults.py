"""What may go wrong with one request, as data, and which requests it hits. Does nothing itself.

A fault says three things: whether the request is processed, what the client gets to see, and how an order that came
of it fares. The names below are combinations of these; every field may be set beside a name.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import Any, Literal, get_args

from tests.venue_server.books import Plan

Process = Literal["now", "never", "held", "copied", "replayed"]
"""`copied`: two copies of the request reach the engine behind the gateway; `replayed`: it is sent twice as a whole."""
Answer = Literal[
    "normal", "hang", "close", "reset", "cut", "html", "empty", "truncated", "braces", "redirect",
    "status", "error", "rate_limited", "banned", "maintenance", "restricted",
    "drip", "bomb", "deep", "number", "long_id", "echo", "items", "interim", "half",
]  # fmt: skip
"""`close` and `reset` end the connection without a byte, `cut` in the middle of the body; the rest are bodies.

Those of the last line are hostile: a byte now and then and no end, 64 MiB in 64 KiB, brackets in brackets, a number of
a billion digits, an id of thousands, everything that the request and its key were made of, a list of a hundred thousand
objects, an interim status and nothing behind it, and an error whose code and text are halves of characters.
"""
HoldAt = Literal["gateway", "engine", "matching"]
"""Where a held request waits: before every check; before the last check; after it, where the venue has such a place."""

NAMES: dict[str, dict[str, Any]] = {
    "none": {},
    # Processed, but the client does not hear of it.
    "accept_hang": {"answer": "hang"},
    "accept_status": {"answer": "status", "status": 502},
    "accept_reset": {"answer": "reset"},
    "accept_close": {"answer": "close"},
    "accept_cut": {"answer": "cut"},
    "accept_html": {"answer": "html"},
    "accept_empty": {"answer": "empty"},
    "accept_truncated": {"answer": "truncated"},
    "accept_braces": {"answer": "braces"},
    "accept_error": {"answer": "error"},
    # Processed later than the client waits, or twice.
    "hold": {"process": "held", "seconds": 2.0},
    "copied": {"process": "copied"},
    "replayed": {"process": "replayed"},
    # Never processed.
    "drop": {"process": "never", "answer": "close"},
    "drop_reset": {"process": "never", "answer": "reset"},
    "drop_hang": {"process": "never", "answer": "hang"},
    "drop_status": {"process": "never", "answer": "status", "status": 503},
    "drop_html": {"process": "never", "answer": "html"},
    "drop_error": {"process": "never", "answer": "error"},
    "redirect": {"process": "never", "answer": "redirect"},
    "rate_limited": {"process": "never", "answer": "rate_limited"},
    "banned": {"process": "never", "answer": "banned"},
    "maintenance": {"process": "never", "answer": "maintenance"},
    "restricted": {"process": "never", "answer": "restricted"},
    # Accepted in an orderly way; what follows is not.
    "partial_fill": {"fraction": "0.4", "rest_after": 5.0},
    "partial_expire": {"fraction": "0.4", "rest_expires": True},
    "late_fill": {"terminal_first": True, "rest_after": 5.0},
    "lagging_lookup": {"order_lag": 3.0, "trade_lag": 3.0},
    "lagging_trades": {"trade_lag": 3.0},
}
# What no venue does unless it is broken or somebody else's: processed, and answered with an attack on the client.
HOSTILE: dict[str, dict[str, Any]] = {
    "accept_drip": {"answer": "drip"},
    "accept_bomb": {"answer": "bomb"},
    "accept_deep": {"answer": "deep"},
    "accept_number": {"answer": "number"},
    "accept_long_id": {"answer": "long_id"},
    "accept_echo": {"answer": "echo"},
    "accept_items": {"answer": "items"},
    "accept_interim": {"answer": "interim"},
    "accept_half": {"answer": "half"},
}


@dataclass(frozen=True)
class Fault:
    """One rule: which requests it hits, and what happens to them. `None` matches everything.

    `kind` is a kind of request (see the dialects), `skip` lets that many matching requests pass first, `times` is how
    many it hits (None: every one). Times are in seconds of the server's clock; `seconds` holds a request, None until
    it is released. `error` is the venue's raw code for an `error` answer; `status` an HTTP status.
    """

    name: str = "none"
    venue: str | None = None
    kind: str | None = "create_order"
    client_order_id: str | None = None
    symbol: str | None = None
    skip: int = 0
    times: int | None = 1
    process: Process = "now"
    answer: Answer = "normal"
    seconds: float | None = None
    hold_at: HoldAt = "engine"
    status: int = 502
    error: str | None = None
    retry_after: int = 30
    fraction: str | None = None
    rest_after: float | None = None
    rest_expires: bool = False
    terminal_first: bool = False
    order_lag: float = 0
    trade_lag: float = 0

    def __post_init__(self) -> None:
        allowed = (("process", Process), ("answer", Answer), ("hold_at", HoldAt))
        for name, choices in allowed:
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {get_args(choices)}")
        if self.answer == "error" and not self.error:
            raise ValueError("error: an answer of this kind needs the venue's raw code")

    @property
    def plan(self) -> Plan:
        return Plan(
            fraction=None if self.fraction is None else Decimal(self.fraction),
            rest_after=self.rest_after,
            rest_expires=self.rest_expires,
            terminal_first=self.terminal_first,
            order_lag=self.order_lag,
            trade_lag=self.trade_lag,
        )

    def matches(self, venue: str, kind: str, client_order_id: str | None, symbol: str | None) -> bool:
        wanted = (
            (self.venue, venue),
            (self.kind, kind),
            (self.client_order_id, client_order_id),
            (self.symbol, symbol),
        )
        return all(want is None or want == got for want, got in wanted)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


ORDERLY = Fault()


def fault(name: str, **fields_set: Any) -> Fault:
    """A fault by name, with any field set otherwise. Unknown names and fields are errors."""
    known = {**NAMES, **HOSTILE}
    if name not in known:
        raise ValueError(f"fault {name!r}: one of {sorted(known)}")
    if unknown := set(fields_set) - {field.name for field in fields(Fault)}:
        raise ValueError(f"fault {name}: no field {sorted(unknown)}")
    return Fault(**{"name": name, **known[name], **fields_set})


@dataclass(frozen=True)
class Deck:
    """Deals faults to requests of one kind by seed, so that of `cards` requests each name gets exactly its number.

    `cards` maps names to numbers; `plain` requests of a deck get nothing; `settings` sets fields of a name's faults.
    """

    cards: Mapping[str, int]
    plain: int
    seed: int
    venue: str | None = None
    kind: str = "create_order"
    settings: Mapping[str, Mapping[str, Any]] | None = None

    def deal(self, number: int) -> Fault:
        """The card of the request with this number, counted from 0."""
        names = [name for name, copies in sorted(self.cards.items()) for _ in range(copies)] + ["none"] * self.plain
        deck, place = divmod(number, len(names))
        random.Random(f"{self.seed}:{deck}").shuffle(names)
        name = names[place]
        return fault(name, **(self.settings or {}).get(name, {}))


class Script:
    """The faults of a run: rules first, in the order they were added, then the deck. Counts what it dealt."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._deck: Deck | None = None
        self._dealt = 0
        self.hits: Counter[str] = Counter()

    def add(self, rule: Fault) -> None:
        self._rules.append(_Rule(rule))

    def use(self, deck: Deck | None) -> None:
        self._deck, self._dealt = deck, 0

    def clear(self) -> None:
        self._rules, self._deck = [], None

    def load(self, items: Sequence[Mapping[str, Any]]) -> None:
        """From JSON: each item is a fault `{"name": ..., ...}` or `{"deck": {name: number}, "plain": n, "seed": n}`."""
        for item in items:
            entry = dict(item)
            if "deck" in entry:
                self.use(Deck(cards=entry.pop("deck"), **entry))
            else:
                self.add(fault(**entry))

    def draw(self, venue: str, kind: str, client_order_id: str | None, symbol: str | None) -> Fault:
        """What happens to this request."""
        drawn = self._drawn(venue, kind, client_order_id, symbol)
        if drawn.name != "none":
            self.hits[drawn.name] += 1
        return drawn

    def _drawn(self, venue: str, kind: str, client_order_id: str | None, symbol: str | None) -> Fault:
        for rule in self._rules:
            if rule.fault.matches(venue, kind, client_order_id, symbol) and rule.hit():
                return rule.fault
        if self._deck is None or kind != self._deck.kind or self._deck.venue not in (None, venue):
            return ORDERLY
        self._dealt += 1
        return self._deck.deal(self._dealt - 1)


class _Rule:
    """A fault and how often it was met."""

    def __init__(self, rule: Fault) -> None:
        self.fault = rule
        self._met = 0

    def hit(self) -> bool:
        """Count one matching request; True if the fault is for it."""
        self._met += 1
        number = self._met - self.fault.skip
        return number > 0 and (self.fault.times is None or number <= self.fault.times)


def held(rule: Fault, seconds: float) -> Fault:
    """The same, held in the matching engine: how an engine that is always slow treats an orderly request."""
    return replace(rule, process="held", hold_at="matching", seconds=seconds) if rule.process == "now" else rule
