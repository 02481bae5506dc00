"""What the README shows works as it stands there: its strategies, its documents, its commands."""

import json
import re
import shlex
import sys
import types
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from belay.cli.main import app
from belay.cli.views import missing_limits
from belay.domain.account import Position
from belay.domain.decisions import Buy, Cancel, Hold, Reduce, Trade
from belay.domain.documents import AccountDocument
from belay.domain.orders import Order
from belay.domain.slots import Slot, Tick
from belay.domain.strategy import MarketState, State, Strategy
from tests.builders import NOW, STAGE, make_candles, make_limits, make_market, make_order

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
MIGRATION = "## From your cron script"


def blocks(language: str, text: str = README) -> list[str]:
    return [body for found, body in BLOCK.findall(text) if found == language]


def section(title: str) -> str:
    """A chapter, from its title to the next."""
    assert f"\n{title}\n" in README, f"the README has no chapter {title}"
    return README.split(f"\n{title}\n")[1].split("\n## ")[0]


def loaded(source: str) -> Any:
    """A strategy as the evaluator would import it."""
    module = types.ModuleType("shown_in_the_readme")
    sys.modules[module.__name__] = module  # pydantic looks a model's module up by name
    code = compile(source, "README.md", "exec")
    exec(code, module.__dict__)  # nosec B102 # noqa: S102 the guide's own code
    return module


def strategies() -> list[Any]:
    return [loaded(source) for source in blocks("python") if "def decide(" in source]


def commands() -> Iterator[str]:
    lines = (line.strip() for body in blocks("") for line in body.splitlines())
    return (line.split("#")[0].split(" > ")[0] for line in lines if line.startswith("belay "))


# --- every chapter ---------------------------------------------------------------------------------------------------


def test_every_python_block_is_python() -> None:
    for source in blocks("python"):
        compile(source, "README.md", "exec")


def test_every_strategy_has_what_the_evaluator_asks_of_one() -> None:
    wanted = {name for name in vars(Strategy) if not name.startswith("_")} | {"Parameters"}
    shown = strategies()
    assert shown
    for strategy in shown:
        assert wanted <= vars(strategy).keys()
        assert {"fee", "slippage"} < strategy.Parameters.model_fields.keys()


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_and_each_of_its_options_exists(command: str) -> None:
    """`--help` comes last: what stands before it is read, but nothing is done."""
    asked = CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"])
    assert asked.exit_code == 0, asked.stderr
    assert "Usage: " in asked.stdout


# --- moving in -------------------------------------------------------------------------------------------------------


def migrated() -> tuple[Any, Tick, AccountDocument]:
    """Strategy, schedule and account document of the migration."""
    text = section(MIGRATION)
    (strategy,) = [loaded(source) for source in blocks("python", text) if "def decide(" in source]
    schedule, document = blocks("json", text)
    event = json.loads(schedule)
    assert event["scheduled_time"] == "<aws.scheduler.scheduled-time>"
    return strategy, Tick.parse({**event, "scheduled_time": NOW}), AccountDocument.parse(document)


def decided(closes: Iterable[Any], held: str = "0", open_orders: tuple[Order, ...] = ()) -> Hold | Trade:
    """What the migrated strategy says, as its schedule asks it."""
    strategy, tick, _ = migrated()
    parameters = strategy.Parameters.model_validate(tick.parameters)
    slot = Slot.of(tick, STAGE)
    assert strategy.symbols(slot, parameters) == (tick.symbol,)
    market = MarketState(
        candles=make_candles(list(closes)), market=make_market(), position=Position(quantity=Decimal(held))
    )
    state: State[Any] = State(
        slot=slot,
        parameters=parameters,
        now=NOW,
        markets={tick.symbol: market},
        open_orders=open_orders,
        limits=make_limits(),
    )
    answer: Hold | Trade = strategy.decide(state)
    return answer


RISING, FALLING = range(101, 151), range(150, 100, -1)


def test_the_migrated_schedule_names_the_migrated_strategy_and_account() -> None:
    strategy, tick, document = migrated()
    assert strategy.candles_needed(strategy.Parameters.model_validate(tick.parameters)) == 50
    assert (tick.account, document.mode) == (document.account, "paper")
    assert tick.symbol in document.symbols
    assert f"strategies/{tick.algorithm}.py" in section(MIGRATION)
    assert missing_limits(document) == []


@pytest.mark.parametrize(
    ("closes", "held", "wanted"),
    [
        (RISING, "0", Buy),
        (RISING, "0.00001", Buy),
        (RISING, "1", None),
        (FALLING, "1", Reduce),
        (FALLING, "0", None),
        ([100] * 50, "1", None),
        (list(RISING)[:49], "0", None),
    ],
)
def test_the_migrated_strategy_holds_while_the_close_is_above_its_average(
    closes: Iterable[Any], held: str, wanted: Any
) -> None:
    decision = decided(closes, held)
    if wanted is None:
        assert isinstance(decision, Hold)
        return
    assert isinstance(decision, Trade)
    (leg,) = decision.legs
    assert isinstance(leg, wanted)


def test_the_migrated_strategy_cancels_what_did_not_fill_before_it_decides_anew() -> None:
    decision = decided(RISING, open_orders=(make_order(),))
    assert isinstance(decision, Trade)
    assert [type(leg) for leg in decision.legs] == [Cancel]


def test_the_migration_adopts_for_the_strategy_that_it_schedules() -> None:
    _, tick, document = migrated()
    (command,) = [line for line in commands() if line.startswith("belay adopt -")]
    given = dict(pairwise(shlex.split(command)))
    assert (given["--strategy"], given["--symbol"]) == (tick.strategy, tick.symbol)
    assert document.paper is not None
    assert document.paper.balances[tick.symbol.split("/")[0]] > 0
