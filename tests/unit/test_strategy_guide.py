"""The guide to strategies: what it shows decides as it says, and what it moves here from cron fits together."""

import json
import shlex
import sys
import types
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from belay.cli.views import missing_limits
from belay.domain.account import Position
from belay.domain.decisions import Buy, Cancel, Hold, Reduce, Trade
from belay.domain.documents import AccountDocument
from belay.domain.orders import Order
from belay.domain.slots import Slot, Tick
from belay.domain.strategy import MarketState, State, Strategy
from tests.builders import NOW, STAGE, make_candles, make_limits, make_market, make_order, make_tick
from tests.pages import Page, page

GUIDE = page("functions/README.md")
MIGRATION = GUIDE.section("## From your cron script")


def loaded(source: str) -> Any:
    """A strategy as the evaluator would import it."""
    module = types.ModuleType("shown_in_the_guide")
    sys.modules[module.__name__] = module  # pydantic looks a model's module up by name
    code = compile(source, GUIDE.path, "exec")
    exec(code, module.__dict__)  # nosec B102 # noqa: S102 the guide's own code
    return module


def strategies(shown: Page) -> list[Any]:
    return [loaded(source) for source in shown.blocks("python") if "def decide(" in source]


def test_every_strategy_has_what_the_evaluator_asks_of_one() -> None:
    wanted = {name for name in vars(Strategy) if not name.startswith("_")} | {"Parameters"}
    assert len(strategies(GUIDE)) == 2
    for strategy in strategies(GUIDE):
        assert wanted <= vars(strategy).keys()
        assert {"fee", "slippage"} < strategy.Parameters.model_fields.keys()


def asked(
    strategy: Any, tick: Tick, closes: Iterable[Any], held: str = "0", open_orders: tuple[Order, ...] = ()
) -> Hold | Trade:
    """What a strategy says of these closes."""
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


@pytest.mark.parametrize(
    ("closes", "held", "wanted"),
    [([4, 3, 2, 1], "0", Buy), ([4, 3, 3, 1], "0", None), ([4, 3, 2, 3], "1", Reduce), ([4, 3, 2, 1], "1", None)],
)
def test_the_first_strategy_buys_after_three_falling_closes_and_leaves_after_a_rising_one(
    closes: list[int], held: str, wanted: Any
) -> None:
    dip = loaded(GUIDE.section("## Adding a strategy").blocks("python")[0])
    command = next(line for line in GUIDE.shown() if "--algorithm dip" in line)
    given = dict(pairwise(shlex.split(command)))
    tick = make_tick(algorithm="dip", parameters=json.loads(given["--parameters"]))
    assert dip.candles_needed(dip.Parameters.model_validate(tick.parameters)) == len(closes)
    decision = asked(dip, tick, closes, held)
    assert [type(leg) for leg in decision.legs] == [wanted] if isinstance(decision, Trade) else wanted is None


# --- moving in -------------------------------------------------------------------------------------------------------


class CronsExchange:
    """What the script of the page asks of ccxt."""

    def __init__(self, closes: Iterable[float], held: float) -> None:
        self.closes, self.held = closes, held
        self.orders: list[tuple[Any, ...]] = []

    def __call__(self, _: dict[str, str]) -> "CronsExchange":
        return self

    def fetch_ohlcv(self, symbol: str, timeframe: str, limit: int) -> list[list[float]]:
        """The last candle is the one that has not closed."""
        return [[0, 0, 0, 0, close, 0] for close in (*self.closes, 0)][-limit:]

    def fetch_balance(self) -> dict[str, dict[str, float]]:
        return {"BTC": {"free": self.held}}

    def milliseconds(self) -> int:
        return 1_700_000_000_000

    def create_order(self, *order: Any) -> None:
        self.orders.append(order)


@pytest.mark.parametrize("held", [0, 1])
@pytest.mark.parametrize("closes", [range(101, 151), range(150, 100, -1), [100] * 50])
def test_the_script_and_the_strategy_that_it_becomes_want_the_same(
    closes: Iterable[int], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script,) = [source for source in MIGRATION.blocks("python") if "import ccxt" in source]
    exchange = CronsExchange(closes, held)
    monkeypatch.setitem(sys.modules, "ccxt", types.SimpleNamespace(kraken=exchange))
    loaded(script)
    decision = decided(closes, str(held))
    legs = decision.legs if isinstance(decision, Trade) else ()
    sides = [{Buy: "buy", Reduce: "sell"}[type(leg)] for leg in legs]
    assert [order[2] for order in exchange.orders] == sides
    assert [order[4] for order in exchange.orders] == [leg.limit_price for leg in legs if not isinstance(leg, Cancel)]


def migrated() -> tuple[Any, Tick, AccountDocument]:
    """Strategy, schedule and account document of the migration."""
    (strategy,) = strategies(MIGRATION)
    schedule, document = MIGRATION.blocks("json")
    event = json.loads(schedule)
    assert event["scheduled_time"] == "<aws.scheduler.scheduled-time>"
    return strategy, Tick.parse({**event, "scheduled_time": NOW}), AccountDocument.parse(document)


def decided(closes: Iterable[Any], held: str = "0", open_orders: tuple[Order, ...] = ()) -> Hold | Trade:
    """What the migrated strategy says, as its schedule asks it."""
    strategy, tick, _ = migrated()
    return asked(strategy, tick, closes, held, open_orders)


RISING, FALLING = range(101, 151), range(150, 100, -1)


def test_the_migrated_schedule_names_the_migrated_strategy_and_account() -> None:
    strategy, tick, document = migrated()
    assert strategy.candles_needed(strategy.Parameters.model_validate(tick.parameters)) == 50
    assert (tick.account, document.mode) == (document.account, "paper")
    assert tick.symbol in document.symbols
    assert f"strategies/{tick.algorithm}.py" in MIGRATION.text
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
    (command,) = [line for line in MIGRATION.shown() if line.startswith("belay adopt -")]
    given = dict(pairwise(shlex.split(command)))
    assert (given["--strategy"], given["--symbol"]) == (tick.strategy, tick.symbol)
    assert document.paper is not None
    assert document.paper.balances[tick.symbol.split("/")[0]] > 0
