"""`belay up`, `down` and `tick`: the deployed stack kept running on this machine, on its real schedules.

Starts and stops the daemon that does it (`daemon`), and tells what runs: with paper money, or at a venue with keys from
the environment. Never reaches AWS. Nothing is traded before a person releases it. A tick fires schedules by hand, for
who does not want to wait for the hour. `python -m belay.local.up run` is the daemon itself.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from belay.adapters.live.profiles import profile_of
from belay.cli import views, words
from belay.cli.desk import MakeClient, desk_over
from belay.cli.exits import BAD_INPUT
from belay.domain.account import Stop, StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.texts import paragraph, shown
from belay.local.account import paper_settings, require_same_market, source
from belay.local.announcement import announcement, local_clients
from belay.local.daemon import DRAIN_SECONDS, POLL_SECONDS, Given, deliver_with, run
from belay.local.keys import read_keys, without_keys
from belay.local.leftovers import end_leftovers
from belay.local.place import BEGIN_ANEW, Place
from belay.local.private import keep_private, private_folder
from belay.local.programs import ROOT, STOP_SECONDS, StackError
from belay.local.stack import STACK_NAME, STAGE
from belay.local.ticker import Firing, Schedule, read_schedules, tick_of
from belay.local.variables import Variables

LONGEST_INTERVAL = timedelta(days=366)
# What of an account is sent, by the level that holds for all of it.
WHAT_LEAVES = {
    StopLevel.HALTED: "It decides, but sends no order before it is released",
    StopLevel.REDUCE_ONLY: "It decides, and sends exits only: no entry before it is released",
    StopLevel.RUNNING: "It trades",
}
LOST = "what happened since the last clean stop could not be stored; the next `make up` starts halted"
EVERYTHING = (None, None)  # the scope of a stop of the whole account


def start(place: Place, variables: Variables, *, same_key: bool) -> int:
    """Start the daemon, relay what it says until the stack is ready, and tell what runs."""
    variables.document(STAGE)  # what is wrong with one is told, whether it is used or not
    if place.owner() is not None:
        if announcement(place.announcement) is None:
            raise StackError("it is being started or stopped just now; try again in a moment")
        ignored = " What it trades stays as it is: use `belay --local account set FILE`." if variables.any else ""
        print(f"Already running; `make down` stops it.{ignored}\n")
    elif code := launch(place, prepared(place, variables, same_key=same_key)):
        return code
    describe(place)
    return 0


def prepared(place: Place, variables: Variables, *, same_key: bool) -> Given:
    """What the daemon is to be given: whatever is wrong with it is refused before anything is started.

    Raises:
        InvalidInput: names the variable.
    """
    wanted, begun = variables.document(STAGE), place.begun()
    kept = begun.document if begun else None
    if wanted and kept:
        require_same_market(kept, wanted)
    if wanted and kept and not variables.account:
        # Variables name a market; its document is the stored one by now, which an operator may have changed.
        if variables.symbols and wanted.symbols != kept.symbols:
            problem = f"this stack trades {','.join(kept.symbols)}"
            raise InvalidInput("SYMBOLS", problem, f"Use `belay --local account set FILE`. {BEGIN_ANEW}")
        wanted = None
    document = wanted or kept
    live = document is not None and document.mode == "live"
    return Given(wanted, read_keys(os.environ, document, same_key=same_key) if document and live else {})


def launch(place: Place, given: Given) -> int:
    """Returns 0 once the stack can be used, else the exit code of the daemon that failed."""
    private_folder(place.folder)
    with place.log.open("ab") as log:
        daemon = subprocess.Popen(  # noqa: S603 this program
            [sys.executable, "-m", "belay.local.up", "run", "--folder", str(place.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=without_keys(os.environ),
            start_new_session=True,
            text=True,
        )
    assert daemon.stdin is not None  # noqa: S101 it is a pipe
    assert daemon.stdout is not None  # noqa: S101 it is a pipe
    try:
        with daemon.stdin as handing:
            handing.write(given.to_json())
        for line in daemon.stdout:
            print(paragraph(line), end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        daemon.terminate()
        daemon.wait()
        raise
    ready = announcement(place.announcement) is not None
    return 0 if ready else daemon.wait() or 1


def describe(place: Place) -> None:
    """What runs, on which market, and how to look at it."""
    found, begun = announcement(place.announcement), place.begun()
    if found is None or begun is None:
        raise StackError(f"it has ended by itself (log: {place.log})")
    clients = local_clients(found)
    desk = desk_over(STAGE, found["outputs"], clients)
    document = begun.document
    gate = views.gate(desk, desk.ledger.configuration(document.account))
    switch = desk.switch.read()
    told = live_rows if document.mode == "live" else paper_rows
    rows = [
        *told(document, deployed_schedules(clients)),
        ("gate", "open" if gate["open"] else f"closed: {gate['reason']}"),
        ("switch", f"{switch.level}: {switch.reason}"),
    ]
    stops = views.standing_stops(desk.ledger, document.account)
    level = level_of_all(switch.level, stops)
    if stops:
        rows.append(("stops", f"{len(stops)}: see `{belay()} --local status`"))
    if incidents := views.incidents(desk.ledger, (document.account,), resolved_too=False):
        rows.append(("incidents", f"{len(incidents)} open: see `{belay()} --local incidents list`"))
    trades = level is StopLevel.RUNNING
    commands = [
        (f"{belay()} --local status", "how it stands"),
        (f"{belay()} --local decisions", "what was decided, and why"),
        *live_commands(document),
        (f"{belay()} --local {'halt' if trades else 'release'}", "stop trading" if trades else "let it trade"),
        ("make down", "stop it; the next `make up` goes on from there"),
        ("make down CLEAN=1", "and delete it all, to begin anew"),
    ]
    print(f"Belay runs on this machine, on an AWS emulator at {shown(found['endpoint'])}\n")
    show(rows)
    print(f"\n{what_leaves(level, stops)}\n")
    show(commands)
    print(f"\nLog: {place.log}")


def level_of_all(switch: StopLevel, stops: Iterable[Stop]) -> StopLevel:
    """How far everything of an account is stopped: by the switch, or by a stop of the whole account."""
    whole = (stop.level for stop in stops if stop.scope == EVERYTHING)
    strictest = max((switch, *whole), key=lambda level: level.rank)
    return strictest if strictest.known else StopLevel.HALTED


def what_leaves(level: StopLevel, stops: Iterable[Stop]) -> str:
    """What is sent at this level of everything; stops of a strategy or symbol may take something away from it."""
    narrowed = level is not StopLevel.HALTED and any(stop.scope != EVERYTHING for stop in stops)
    return f"{WHAT_LEAVES[level]}{', except what is stopped' if narrowed else ''}."


def paper_rows(document: AccountDocument, schedules: Sequence[Schedule]) -> list[tuple[str, str]]:
    settings = paper_settings(document)
    opened = ", ".join(f"{amount} {asset}" for asset, amount in settings.balances.items())
    return [
        ("market", source(document) + ("" if settings.exchange else ", whose prices are made up")),
        ("account", f"{document.account}, paper money: {opened} at first"),
        *(("strategy", line) for line in strategies(schedules, document)),
    ]


def live_rows(document: AccountDocument, schedules: Sequence[Schedule]) -> list[tuple[str, str]]:
    """Of a live account also what nobody has verified of its venue, and that no schedule of another account is its."""
    limits, unverified = document.limits, profile_of(document).unverified
    own = [schedule for schedule in schedules if (tick_of(schedule) or {}).get("account") == document.account]
    return [
        ("market", f"{source(document)}: ORDERS ARE REAL"),
        ("account", f"{document.account}: {', '.join(document.symbols)}"),
        ("limits", f"{limits.max_order_notional} per order, {limits.max_aggregate_exposure} in all, {document.quote}"),
        ("keys", "in memory only: gone with `make down` or a crash, and the next `make up` asks for them again"),
        ("keys", "no other user of this machine and no web page can read them; every program that you run can"),
        *(("unverified", f"{name}, taken conservatively") for name in unverified),
        *(("strategy", line) for line in strategies(own, document)),
        *(() if own else [("strategy", "none ticks this account: it takes orders by hand")]),
    ]


def live_commands(document: AccountDocument) -> list[tuple[str, str]]:
    if document.mode != "live":
        return []
    return [
        (f"{belay()} --local doctor", "whether keys, clock and limits are fit"),
        (f"{belay()} --local order --symbol {document.symbols[0]} --side buy ...", "one order by hand"),
    ]


def show(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"  {name:<{width}}   {shown(text)}")


def strategies(schedules: Sequence[Schedule], document: AccountDocument) -> Iterator[str]:
    for schedule in schedules:
        if event := tick_of(schedule):
            other = "" if event["account"] == document.account else f" (holds: there is no account {event['account']})"
            yield f"{event['symbol']} {event['timeframe']}: {schedule.description or event['strategy']}{other}"


def deployed_schedules(clients: MakeClient) -> tuple[Schedule, ...]:
    return read_schedules(clients("cloudformation"), clients("scheduler"), STACK_NAME)


def belay() -> str:
    """The operator's command, as it is typed here."""
    program = Path(sys.executable).parent / "belay"
    return str(program.relative_to(ROOT)) if program.is_relative_to(ROOT) else "belay"


def stop(place: Place, clean: bool) -> None:
    """Stop the daemon and wait for it; with `clean` delete everything afterwards. Harmless where nothing runs.

    Raises:
        StackError: it does not stop, or its last run was not stored and is not to be deleted.
    """
    owner = place.owner()
    if owner:
        with suppress(ProcessLookupError):
            os.kill(owner, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS + 2 * STOP_SECONDS
        while place.owner():
            if time.monotonic() > deadline:
                raise StackError(f"process {owner} does not stop (log: {place.log})")
            time.sleep(POLL_SECONDS)
        if place.unstored.exists() and not clean:
            raise StackError(f"stopped, but {LOST} (log: {place.log})")
        print("Stopped." if clean else "Stopped; all is kept.")
    elif end_leftovers(place.state):
        print("Its daemon was killed; the emulator that was left is ended, too.")
    else:
        print("Nothing runs here.")
    if clean and place.lock.exists():
        with place.owned():
            shutil.rmtree(place.folder)
        print(f"Deleted {place.folder}")


def tick(place: Place, name: str | None, at: datetime | None) -> None:
    """Fire each schedule, or the one named, for its last time until `at`, now, whether it fired for that or not.

    Raises:
        InvalidInput: there is no such schedule.
        StackError: nothing runs here.
    """
    found = announcement(place.announcement)
    if found is None:
        raise StackError("nothing runs here; start it with `make up`")
    clients = local_clients(found)
    schedules = deployed_schedules(clients)
    chosen = [schedule for schedule in schedules if name in (None, schedule.name)]
    if not chosen:
        known = ", ".join(schedule.name for schedule in schedules)
        raise InvalidInput("SCHEDULE", f"there is no schedule {name}", f"Schedules: {known}.")
    until, deliver = at or datetime.now(UTC), deliver_with(clients("lambda"))
    for schedule in chosen:
        if last := schedule.expression.last(until - LONGEST_INTERVAL, until):
            deliver(schedule.function, Firing(schedule, last).event(f"by-hand-{os.getpid()}"))
            print(f"{shown(schedule.name)} fired for {words.second(last)}")


# --- the daemon's own program -------------------------------------------------------------------------------------

FORMER = {"start": "belay up", "stop": "belay down", "tick": "belay tick"}  # what this program did once


def main(arguments: Sequence[str]) -> int:
    """Be the daemon, in the folder named; whoever asks for anything else is told the command of today."""
    match arguments:
        case ["run", "--folder", folder]:
            return run(Place(Path(folder)), Given.from_json(sys.stdin.read()))
    asked = next(iter(arguments), "")
    print(f"up: this is `{FORMER.get(asked, 'belay up')}` now. See `{belay()} --help`.", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    keep_private()
    sys.exit(main(sys.argv[1:]))
