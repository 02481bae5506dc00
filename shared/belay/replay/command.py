"""`belay replay`: runs strategies over candle files with the real workflows, without AWS; writes nothing but its plot.

The venue is the paper venue. What is run is in `plan`, how an account is lived through in `engine`, what came of it in
`figures`, and how that is shown in `showing` and `plot`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from belay.domain.documents import AccountDocument
from belay.domain.record import iso
from belay.replay.engine import ReplayEngine, replay_document
from belay.replay.figures import figures
from belay.replay.plan import Request, load_strategies, make_plan
from belay.replay.plot import require_place, write_plot
from belay.replay.showing import shown

type Document = dict[str, Any]


def run(request: Request, document: AccountDocument, stage: str, root: Path, progress: Console) -> Document:
    """Replay what was asked for; returns the document that `showing.show` prints.

    Args:
        document: a paper account's; the market is replayed whatever it says of one.
        stage: part of every order id.
        root: the checkout that holds template.yaml and the strategies.
        progress: where it says how far it is.

    Raises:
        InvalidInput: anything about the request, the files or the strategies is not as it must be.
    """
    if request.plot is not None:
        require_place(request.plot)
    account, load = replay_document(document), load_strategies(root)
    plan = make_plan(request, account, root, load)
    engine = ReplayEngine(account, stage, plan.ticks, load)
    engine.prepare(plan.markets, plan.timeframe, plan.begin)
    reasons: dict[str, Counter[str]] = {tick["strategy"]: Counter() for tick in plan.ticks}
    for close in shown(plan.closes, progress):
        for record in engine.slot(close.at):
            held = record.held
            given = [held.reason] if held else [leg.reason for leg in record.trade_legs]
            reasons[record.slot.strategy].update(given)
    engine.finish()
    made = {
        "stage": stage,
        "account": account.account,
        "quote": account.quote,
        "timeframe": plan.timeframe,
        "slots": len(plan.closes),
        "first_close": iso(plan.closes[0].at),
        "last_close": iso(plan.closes[-1].at),
        "strategies": list(plan.ticks),
        "decisions": {strategy: dict(sorted(counts.items())) for strategy, counts in reasons.items()},
        **figures(engine.ledger, account.account, account.quote, plan.closes),
    }
    if request.plot is not None:
        write_plot(request.plot, made, plan, engine)
    return made
