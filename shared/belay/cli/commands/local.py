"""What runs on this machine alone: up, down, tick, demo, replay. Never reaches AWS.

The stack, the demo and the replay are loaded by the command that runs them: no other one waits for their charts.
"""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperCommand

from belay.adapters.live.profiles import known_venues
from belay.cli.documents import example_document, read_document
from belay.cli.exits import FAILED, interrupted_with
from belay.cli.make_variables import switch
from belay.cli.session import Session, command
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.local.announcement import UP_STACK
from belay.local.private import keep_private
from belay.local.programs import ROOT

PANEL = "On this machine"

app = typer.Typer()

SWITCHES = frozenset({"--same-key", "--clean"})


class Switched(TyperCommand):
    """A command with switches: `--clean`, `--clean=1` or `--clean=0`, and as nothing the empty variable of make."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Typer knows options with a value and without one; a switch that stands alone is given its 1 here."""
        stated = [
            f"{argument}=1" if argument in SWITCHES and after.startswith("-") else argument
            for argument, after in pairwise([*args, "-"])
        ]
        return super().parse_args(ctx, stated)


Folder = Annotated[Path, typer.Option(help="Where it keeps everything.", show_default=".local/up")]


def moment(text: str) -> datetime:
    """An instant in UTC. Raises BadParameter for a time without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is without a time zone")
    return found.astimezone(UTC)


@command(app, "belay up --venue kraken", panel=PANEL, options=(), cls=Switched)
def up(
    _: Session,
    account: Annotated[
        str | None, typer.Option(metavar="FILE", help="The account's document, in JSON; default: an example on paper.")
    ] = None,
    venue: Annotated[
        str | None,
        typer.Option(help="Where to trade live, or whose prices to trade on paper.", autocompletion=known_venues),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="<paper|live>", help="Live takes its keys from the environment.")
    ] = None,
    venue_options: Annotated[
        str | None, typer.Option(metavar="JSON", help="Of ccxt's constructor, such as hosts of your own.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="What a live account trades, such as BTC/USDT,ETH/USDT.")] = None,
    sandbox: Annotated[
        str | None, typer.Option(metavar="<true|false>", help="Live: the venue's test host, or real money.")
    ] = None,
    same_key: Annotated[
        str, typer.Option(metavar="[1|0]", help="Live, for a test: one key may serve both functions.")
    ] = "",
    folder: Folder = UP_STACK.parent,
) -> None:
    """Keep the deployed stack running here, on its real schedules, or say what runs. Releases nothing."""
    from belay.local import up as local_stack
    from belay.local.place import Place
    from belay.local.variables import Variables

    keep_private()
    variables = Variables(
        account=account or None,
        venue=venue or None,
        mode=mode or None,
        options=venue_options or None,
        symbols=symbols or None,
        sandbox=sandbox or None,
    )
    with interrupted_with("what was started is stopped"):
        code = local_stack.start(Place(folder), variables, same_key=switch("SAME_KEY", same_key))
    if code:
        raise typer.Exit(code)


@command(app, "belay down --clean", panel=PANEL, options=(), cls=Switched)
def down(
    _: Session,
    clean: Annotated[str, typer.Option(metavar="[1|0]", help="And delete everything it kept.")] = "",
    folder: Folder = UP_STACK.parent,
) -> None:
    """Stop what `belay up` runs; everything is kept."""
    from belay.local import up as local_stack
    from belay.local.place import Place

    keep_private()
    local_stack.stop(Place(folder), switch("CLEAN", clean))


@command(app, "belay tick ema-cross-btc --at 2026-01-31T10:00:00Z", panel=PANEL, options=())
def tick(
    _: Session,
    schedule: Annotated[
        str | None, typer.Argument(metavar="SCHEDULE", help="Only this one, by its deployed name; default: each.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="For its last time until then; default: now."),
    ] = None,
    folder: Folder = UP_STACK.parent,
) -> None:
    """Fire schedules of what `belay up` runs by hand, for their last time."""
    from belay.local import up as local_stack
    from belay.local.place import Place

    keep_private()
    local_stack.tick(Place(folder), schedule, at)


@command(app, "belay demo --hours 48 --seed 7", panel=PANEL, options=("as_json",))
def demo(
    session: Session,
    candles: Annotated[
        str | None,
        typer.Option(
            envvar="CANDLES", metavar="FILE", help="CSV of 1h candles; default: a live exchange's, else generated."
        ),
    ] = None,
    hours: Annotated[str, typer.Option(envvar="HOURS", metavar="<int>", help="Slots to replay.")] = "240",
    seed: Annotated[
        str | None, typer.Option(envvar="SEED", metavar="<int>", help="Which faults; generates a market.")
    ] = None,
    chaos: Annotated[str, typer.Option(envvar="CHAOS", metavar="<1|0>", help="Whether faults are injected.")] = "1",
    output: Annotated[
        str, typer.Option(envvar="OUTPUT", metavar="FOLDER", help="Made anew; holds the report.")
    ] = "build/demo",
) -> None:
    """Replay candles through the deployed functions on the paper venue, with faults, and check what became of them."""
    from belay.demo.run import Asked, run

    keep_private()
    with interrupted_with("the local stack is stopped"):
        clean = run(Asked(candles, hours, seed, chaos, output), as_json=session.as_json)
    if not clean:
        raise typer.Exit(FAILED)


Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d"]


@command(app, "belay replay ema-cross-btc --candles btc.csv --hours 720 --plot replay.html", panel=PANEL)
def replay(
    session: Session,
    strategies: Annotated[
        list[str] | None, typer.Argument(metavar="STRATEGY", help="As scheduled in template.yaml; default: all.")
    ] = None,
    candles: Annotated[
        list[str] | None,
        typer.Option(help="CSV: timestamp in ms, open, high, low, close, volume. SYMBOL=FILE for one more."),
    ] = None,
    timeframe: Annotated[Timeframe, typer.Option(help="Of the candles, and of the schedules to run.")] = "1h",
    hours: Annotated[int | None, typer.Option(min=1, help="Only the last so many; default: all.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="Run this one, scheduled or not, with --parameters.")] = None,
    parameters: Annotated[str | None, typer.Option(help="JSON; of one scheduled strategy, those to change.")] = None,
    symbol: Annotated[str | None, typer.Option(help="With --algorithm; default: the account's first.")] = None,
    account_document: Annotated[
        Path | None, typer.Option(help="A paper account's document; default: `belay account example`.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the charts to this HTML file.")] = None,
) -> None:
    """Run strategies over candles from a file, in memory, with the real workflows: decisions, fills, P&L. No AWS."""
    from belay.replay import command as replaying
    from belay.replay import plan, showing

    document = read_document(account_document) if account_document else AccountDocument.parse(example_document())
    if session.account not in (None, document.account):
        remedy = "Give its document as --account-document."
        raise InvalidInput("--account", f"the document is of account {document.account}", remedy)
    request = plan.Request(
        strategies=strategies or (),
        candles=candles or (),
        timeframe=timeframe,
        hours=hours,
        algorithm=algorithm,
        parameters=parameters,
        symbol=symbol,
        plot=plot,
    )
    session.show(replaying.run(request, document, session.stage, ROOT, Console(stderr=True)), showing.show)
