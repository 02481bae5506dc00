"""An operator who does what the open incidents print, no more: each command, through the command's own parser.

What a person has to fill in comes from where a person would look: the account's own strategy, the venue's own rows. An
order that somebody left open at the venue is cancelled there, as its incident says.
"""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from belay.domain.incidents import WITHIN_A_DAY, Incident, IncidentKind
from belay.domain.verdicts import SYMBOL_GONE_FOR
from belay.domain.way_back import commands
from belay.workflows.reconcile import Reconciled
from tests.real_account.world import ACCOUNT, STRATEGY, World

ROUNDS = 15
ROWS = "rows.json"


class Stuck(AssertionError):
    """Nothing that is printed leads back to a clean account."""


def lead_back(world: World, folder: Path) -> list[str]:
    """Let the schedule run, and do what the incidents say until the account is clean; what was typed.

    Raises:
        Stuck: it does not become clean.
    """
    typed: list[str] = []
    for _ in range(ROUNDS):
        run = _minutes(world)
        if run.clean and not world.incidents() and not world.ledger.account(ACCOUNT).stops:
            return typed
        done = deal(world, folder)
        typed += done
        _wait(world, done)
    told = "\n".join(f"{one.incident_id}: {one.actual} | {one.action}" for one in world.incidents())
    raise Stuck(f"{_minutes(world)}\n{told}\n" + "\n".join(typed[-40:]))


def _wait(world: World, done: list[str]) -> None:
    """Until an answer may be another, where one said when: a person comes back the day after."""
    times = [datetime.fromisoformat(text) for line in done for text in re.findall(r"Ask again after\s+(\S+Z)", line)]
    if times and (seconds := (max(times) - world.now()).total_seconds()) > 0:
        world.sleep(seconds + 60)


def _minutes(world: World) -> Reconciled:
    """Three minutes go by; the last run's result."""
    world.minute()
    world.minute()
    return world.minute()


def deal(world: World, folder: Path) -> list[str]:
    """Go through the open incidents once; what was typed."""
    return [line for incident in world.incidents() for line in _deal_with(world, incident, folder)]


def _deal_with(world: World, incident: Incident, folder: Path) -> Iterator[str]:
    if incident.kind is IncidentKind.UNKNOWN_VENUE_ORDER:
        _cancel_at_the_venue(world, incident)
        return
    if incident.kind is IncidentKind.SYMBOL_UNAVAILABLE and incident.symbol in world.listed():
        return  # it is halted, no more: who waits has it back
    if incident.expected.endswith(WITHIN_A_DAY):
        yield f"{incident.incident_id}: Ask again after {incident.opened_at + SYMBOL_GONE_FOR:%FT%TZ}"
        return
    for printed in commands(incident):
        words = [STRATEGY if word == "STRATEGY" else word for word in shlex.split(printed)[1:]]
        if ROWS in words:
            words[words.index(ROWS)] = str(_rows(world, incident, folder))
        if any(word.isupper() and word.replace("_", "").isalpha() and len(word) > 4 for word in words):
            continue  # a choice that another printed command makes, too
        done = world.command(*words)
        told = (done.stdout + done.stderr).strip()
        yield f"{shlex.join(words)} -> {done.exit_code} {told[-300:]}"
        yield from _ended(world, told)


def _ended(world: World, told: str) -> Iterator[str]:
    """An order that a refusal names as in its way is ended by the commands that it prints."""
    for order_id in re.findall(r"belay cancel\s+([0-9a-f]{32})", told):
        for words in (("cancel", order_id), ("resolve", order_id, "--cancelled")):
            done = world.command(*words, "--reason", "it is in the way")
            yield f"{shlex.join(words)} -> {done.exit_code} {(done.stdout + done.stderr).strip()[-300:]}"


def _cancel_at_the_venue(world: World, incident: Incident) -> None:
    for order in world.place.books.open():
        if f"{order.request.symbol}:{order.venue_order_id}" == incident.subject:
            world.place.act("cancel", order_id=order.venue_order_id, symbol=order.request.symbol)


def _rows(world: World, incident: Incident, folder: Path) -> Path:
    """The venue's rows of an order's trades, as a person copies them."""
    trades = [
        trade
        for trade in world.place.books.trades
        if (trade.client_order_id or "").replace("-", "") == incident.subject
    ]
    rows = [
        {
            "trade_id": trade.trade_id,
            "venue_order_id": trade.venue_order_id,
            "side": trade.side,
            "quantity": str(trade.quantity),
            "price": str(trade.price),
            "fees": {trade.fee_asset: str(trade.fee)} if trade.fee else {},
            "time": trade.at.isoformat(),
        }
        for trade in trades
    ]
    file = folder / ROWS
    file.write_text(json.dumps(rows))
    return file
