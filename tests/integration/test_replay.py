"""`belay replay`: the decisions and order ids of the demo, figures that follow from its rows, clear refusals."""

import csv
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from belay.adapters.paper.candle_files import COLUMNS, generated_candles
from belay.adapters.paper.clock import ReplayFeed
from belay.adapters.paper.faults import FaultyPaperVenue
from belay.adapters.paper.store import PaperStore
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.domain.decisions import DecisionRecord
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.incidents import IncidentKind
from belay.domain.market import Candle
from belay.domain.orders import Order
from belay.domain.slots import EPOCH
from belay.local.stack import ROOT
from belay.ports import Venue
from belay.replay import command as replay
from belay.replay.engine import ReplayEngine, replay_document
from tests.scheduled import own_schedules

HOUR = timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
WARM_UP = 60
BTC, ETH = "BTC/USD", "ETH/USD"
EMA, RSI = "ema-cross-btc", "rsi-reversion-btc"
COSTS = {"fee": "0.001", "slippage": "0.0005"}
DOCUMENT = replay_document(AccountDocument.parse(example_document()))
TICKS = [schedule.event for schedule in own_schedules(ROOT / "template.yaml")]
LOAD = replay.load_strategies(ROOT)


def write_candles(file: Path, candles: Sequence[Candle]) -> Path:
    with file.open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(COLUMNS)
        for c in candles:
            at = (c.open_time - EPOCH) // timedelta(milliseconds=1)
            rows.writerow([at, c.open, c.high, c.low, c.close, c.volume])
    return file


def market(count: int, seed: int = 7) -> tuple[Candle, ...]:
    """Candles of `count` slots, and before them what strategies look back upon."""
    return generated_candles(seed, WARM_UP + count, "1h", START)


def refuse_to_open(_stage: str, _local: bool) -> NoReturn:
    raise AssertionError("a replay opens no desk: there is no AWS")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)], obj=refuse_to_open)


def printed(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module", autouse=True)
def _own_schedules() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "read_schedules", own_schedules)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return write_candles(folder / "candles.csv", market(600))


@pytest.fixture(scope="module")
def whole(file: Path) -> dict[str, Any]:
    """What the command prints of all 600 slots, with both scheduled strategies."""
    return printed("--candles", file)


# --- the same as the slots one by one, and as the demo ---------------------------------------------


class Lived:
    """An engine that lived through the slots of these candles."""

    def __init__(self, engine: ReplayEngine, candles: Sequence[Candle], first: int = WARM_UP) -> None:
        self.engine = engine
        engine.prepare({BTC: candles}, "1h", candles[first].open_time)
        self.records = [record for candle in candles[first:] for record in engine.slot(candle.open_time + HOUR)]
        engine.finish()

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(reversed(self.engine.ledger.orders(DOCUMENT.account, 10_000)))


def test_every_decision_is_the_one_that_its_slot_alone_leads_to() -> None:
    """A new account for each slot, which knows nothing of the slots before, decides the same."""
    candles = market(100)
    together = Lived(ReplayEngine(DOCUMENT, "dev", TICKS, LOAD), candles).records
    alone: list[DecisionRecord] = []
    for end in range(WARM_UP, len(candles)):
        alone += Lived(ReplayEngine(DOCUMENT, "dev", TICKS, LOAD), candles[: end + 1], end).records
    assert [(r.slot, r.decision, r.order_ids, r.market_time) for r in together] == [
        (r.slot, r.decision, r.order_ids, r.market_time) for r in alone
    ]
    assert Counter(record.decision.kind for record in together).keys() == {"hold", "trade"}


def test_a_replay_that_begins_later_gives_the_same_order_ids(file: Path, whole: dict[str, Any]) -> None:
    late = printed("--candles", file, "--hours", "240")
    assert late["slots"] == 240
    first_slot = datetime.fromisoformat(late["first_close"]) - HOUR
    shared = [row for row in whole["orders"] if datetime.fromisoformat(row["candle_open"]) >= first_slot]
    assert [row["order_id"] for row in shared] == [row["order_id"] for row in late["orders"]]
    assert {row["strategy"] for row in shared} == {EMA, RSI}
    assert 30 < len(shared) < len(whole["orders"]) - 30


class Exited(BaseException):
    """The process ended on purpose."""


class FaultyEngine(ReplayEngine):
    """The same on the venue that loses requests and answers, hides orders and fills, and ends processes."""

    def _venue(self, store: PaperStore) -> Venue:
        def end(_status: int) -> NoReturn:
            raise Exited

        feed = ReplayFeed(store)
        return FaultyPaperVenue(self.document, store, feed, self._new_id, lambda _seconds: None, end)

    def _execute(self, order_id: str) -> None:
        """A message whose function exited comes back."""
        try:
            super()._execute(order_id)
        except Exited:
            self._execute(order_id)


@cache
def calm() -> Lived:
    return Lived(ReplayEngine(DOCUMENT, "dev", TICKS, LOAD), market(200))


@pytest.mark.parametrize("seed", [7, 8])
def test_faults_change_no_order_id_but_for_an_exit_that_failed(seed: int) -> None:
    """So the order ids of the demo are those of a replay, whatever is injected."""
    paper = {**json.loads(DOCUMENT.model_dump_json())["paper"], "faults": {"seed": seed, "crashes": 3}}
    document = AccountDocument.model_validate({**DOCUMENT.model_dump(), "paper": paper})
    faulty = Lived(FaultyEngine(document, "dev", TICKS, LOAD), market(200))
    again = [order for order in faulty.orders if "the exit failed" in order.reason]
    failed = [i for i in faulty.engine.ledger.incidents("paper") if i.kind is IncidentKind.EXIT_NOT_PLACED]
    assert len(again) <= len(failed)
    assert {order.order_id for order in faulty.orders if order not in again} == {o.order_id for o in calm().orders}
    assert Counter(order.state for order in faulty.orders) != Counter(order.state for order in calm().orders)


def test_without_faults_no_exit_is_decided_twice(whole: dict[str, Any]) -> None:
    assert not [row for row in whole["orders"] if "the exit failed" in row["reason"]]
    assert whole["incidents_open"] == 0


def test_the_limits_of_the_example_account_deny_nothing_in_a_calm_run(whole: dict[str, Any]) -> None:
    assert set(whole["orders_by_state"]) <= {"FILLED", "DENIED"}
    assert set(whole["denied_by"]) <= {"nothing_to_sell"}
    assert whole["orders_by_state"].get("DENIED", 0) <= 2


def test_an_order_id_names_stage_and_strategy(file: Path) -> None:
    """What is not the demo's stage or strategy is not the demo's order."""
    of_candles = ("--candles", file, "--hours", "60")
    algorithm = ("--algorithm", "ema_cross", "--parameters", json.dumps(TICKS[0]["parameters"]))
    told = [
        printed(EMA, *of_candles),
        printed("another", *algorithm, *of_candles),
        printed(EMA, *of_candles, "--stage", "prod"),
        printed(EMA, *algorithm, *of_candles),
    ]
    dev, another, prod, unscheduled = ({row["order_id"] for row in document["orders"]} for document in told)
    assert dev == unscheduled
    assert len(dev | another | prod) == 3 * len(dev) > 0


# --- the figures, computed again from the rows -----------------------------------------------------


def amounts(texts: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in texts.items()}


def test_every_slot_has_one_decision_of_each_strategy(whole: dict[str, Any]) -> None:
    assert whole["slots"] == 600
    assert {strategy: sum(counts.values()) for strategy, counts in whole["decisions"].items()} == {EMA: 600, RSI: 600}
    trades = Counter((row["strategy"], row["reason"]) for row in whole["orders"])
    assert all(whole["decisions"][strategy][reason] == count for (strategy, reason), count in trades.items())


def test_the_counts_of_orders_are_those_of_their_rows(whole: dict[str, Any]) -> None:
    rows = whole["orders"]
    assert whole["orders_by_state"] == Counter(row["state"] for row in rows)
    assert whole["denied_by"] == Counter(row["cause"][8:] for row in rows if row["state"] == "DENIED")
    assert len({row["order_id"] for row in rows}) == len(rows) > 100


def test_what_an_order_filled_is_what_its_fills_say(whole: dict[str, Any]) -> None:
    for row in whole["orders"]:
        fills = [fill for fill in whole["fills"] if fill["order_id"] == row["order_id"]]
        quantity = sum(Decimal(fill["quantity"]) for fill in fills)
        notional = sum(Decimal(fill["quantity"]) * Decimal(fill["price"]) for fill in fills)
        assert Decimal(row["filled_quantity"]) == quantity
        assert row["average_price"] is None if not quantity else Decimal(row["average_price"]) == notional / quantity
        assert sum(amounts(row["fees"]).values()) == sum(sum(amounts(fill["fees"]).values()) for fill in fills)
        assert {fill["side"] for fill in fills} <= {row["side"]}


def test_fees_are_those_of_the_fills(whole: dict[str, Any]) -> None:
    assert amounts(whole["fees"]) == {"USD": sum(Decimal(fill["fees"]["USD"]) for fill in whole["fills"])}


def test_realised_profit_is_what_the_exits_brought_over_what_their_entries_cost(whole: dict[str, Any]) -> None:
    """Each strategy leaves with everything that it holds, so that what it paid since the last exit is the cost."""
    realised, paid, quantity = Decimal(0), dict.fromkeys((EMA, RSI), Decimal(0)), dict.fromkeys((EMA, RSI), Decimal(0))
    for fill in whole["fills"]:
        strategy, amount = fill["strategy"], Decimal(fill["quantity"])
        notional, fee = amount * Decimal(fill["price"]), Decimal(fill["fees"]["USD"])
        if fill["side"] == "buy":
            paid[strategy] += notional + fee
            quantity[strategy] += amount
        else:
            assert amount == quantity[strategy]
            realised += notional - fee - paid[strategy]
            paid[strategy] = quantity[strategy] = Decimal(0)
    assert Decimal(whole["realised_pnl"]) == pytest.approx(realised, abs=Decimal("1e-8"))
    held = {strategy: position[BTC] for strategy, position in whole["positions"].items()}
    assert {name: Decimal(position["quantity"]) for name, position in held.items()} == quantity
    assert {name: Decimal(position["cost"]) for name, position in held.items()} == paid


def test_equity_is_what_the_fills_left_at_each_close(whole: dict[str, Any]) -> None:
    cash, coins, told = Decimal(whole["opening"]["USD"]), Decimal(whole["opening"]["BTC"]), []
    for row, following in pairwise([*whole["equity"], {"at": "9999"}]):
        for fill in whole["fills"]:
            if row["at"] <= fill["at"] < following["at"]:
                sign = 1 if fill["side"] == "buy" else -1
                coins += sign * Decimal(fill["quantity"])
                cash -= sign * Decimal(fill["quantity"]) * Decimal(fill["price"]) + Decimal(fill["fees"]["USD"])
        told.append(cash + coins * Decimal(row["closes"][BTC]))
    assert [Decimal(row["equity"]) for row in whole["equity"]] == told
    assert Decimal(whole["equity_end"]) == told[-1]
    opening = amounts(whole["opening"])
    worth = opening["USD"] + opening["BTC"] * Decimal(whole["equity"][0]["closes"][BTC])
    assert Decimal(whole["equity_start"]) == worth


def test_equity_moved_by_what_was_realised_and_what_is_still_held(whole: dict[str, Any]) -> None:
    last = Decimal(whole["equity"][-1]["closes"][BTC])
    positions = [held[BTC] for held in whole["positions"].values()]
    unrealised = sum(Decimal(held["quantity"]) * last - Decimal(held["cost"]) for held in positions)
    moved = Decimal(whole["equity_end"]) - Decimal(whole["opening"]["USD"])
    assert moved == pytest.approx(Decimal(whole["realised_pnl"]) + unrealised, abs=Decimal("1e-8"))


def test_drawdown_is_the_deepest_fall_from_a_peak(whole: dict[str, Any]) -> None:
    values = [Decimal(whole["equity_start"]), *(Decimal(row["equity"]) for row in whole["equity"])]
    deepest = max((max(values[: end + 1]) - value) / max(values[: end + 1]) for end, value in enumerate(values))
    told = whole["max_drawdown"]
    by_time = {row["at"]: Decimal(row["equity"]) for row in whole["equity"]}
    peak, trough = by_time[told["peak_at"]], by_time[told["trough_at"]]
    assert told["peak_at"] < told["trough_at"]
    assert Decimal(told["fraction"]) == pytest.approx(deepest) == pytest.approx((peak - trough) / peak)
    assert Decimal(told["amount"]) == peak - trough > 0


def test_holding_is_compared_from_the_first_close_to_the_last(whole: dict[str, Any]) -> None:
    first, last = (Decimal(whole["equity"][end]["closes"][BTC]) for end in (0, -1))
    held = whole["buy_and_hold"][BTC]
    assert (Decimal(held["first_close"]), Decimal(held["last_close"])) == (first, last)
    assert Decimal(held["equity_end"]) == pytest.approx(Decimal(whole["equity_start"]) * last / first)


# --- the command ----------------------------------------------------------------------------------


def test_it_prints_one_document_the_same_every_time_and_progress_elsewhere(file: Path) -> None:
    first, second = (run("--candles", file, "--hours", "48", "--json") for _ in range(2))
    assert first.stdout == second.stdout
    assert "Replaying slot 1 of 48" in first.stderr
    assert json.loads(first.stdout)["first_close"] == "2024-01-26T13:00:00.000000Z"


def test_a_person_reads_what_was_decided_and_what_came_of_it(file: Path) -> None:
    result, told = run("--candles", file, "--hours", "100"), printed("--candles", file, "--hours", "100")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout
    assert f"{told['orders_by_state']['FILLED']} FILLED" in lines
    assert f"{float(told['realised_pnl']):,.2f} USD" in lines
    assert f"{float(told['max_drawdown']['fraction']):.2%}" in lines
    for part in ("100 slots of 1h", "no_cross", "fees", "equity", "BTC/USD held", "Fills are a model"):
        assert part in lines


def test_it_writes_nothing_that_was_not_asked_for(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--candles", file, "--hours", "24").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_one_strategy_runs_by_its_name_and_with_other_parameters(file: Path) -> None:
    told = printed(EMA, "--candles", file, "--hours", "100", "--parameters", '{"fast": 5, "slow": 20}')
    (strategy,) = told["strategies"]
    assert strategy["parameters"] == {"fast": 5, "slow": 20, "notional": "1000", **COSTS}
    assert told["decisions"].keys() == {EMA}
    assert told["orders"] != printed(EMA, "--candles", file, "--hours", "100")["orders"]


def test_a_plot_is_one_page_that_loads_nothing(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "plot.html"
    assert run("--candles", file, "--hours", "100", "--plot", page).exit_code == 0
    content = page.read_text()
    assert content.lower().count("<!doctype html>") == 1
    assert not re.findall(r"<(?:script|img|iframe)[^>]* src=|<link[^>]* href=(?!.data:)", content)
    parts = [f"{EMA} entry", f"{RSI} exit", "Equity and drawdown", "no_cross", "realised P&amp;L", "Fills are a model"]
    for part in parts:
        assert part in content


@pytest.fixture(scope="module")
def two_markets(folder: Path) -> list[str | Path]:
    """Arguments for an account with two symbols, whose files cover times of their own."""
    document = json.loads(example_document())
    document["symbols"] = [BTC, ETH]
    document["limits"]["max_position_notional"] = {BTC: "9000", ETH: "9000"}
    document["limits"] |= {"max_order_notional": "9000", "max_aggregate_exposure": "12000"}
    (folder / "two.json").write_text(json.dumps(document))
    ether = write_candles(folder / "ether.csv", generated_candles(5, 150, "1h", START + 20 * HOUR))
    coins = write_candles(folder / "coins.csv", generated_candles(6, 140, "1h", START))
    return ["--account-document", folder / "two.json", "--candles", f"{ETH}={ether}", "--candles", coins]


def test_a_strategy_of_several_symbols_trades_each_of_them(two_markets: list[str | Path]) -> None:
    weights = {BTC: "0.6", ETH: "0.3"}
    parameters = {"weights": weights, "budget": "10000", "band": "0.01", **COSTS}
    told = printed("--algorithm", "rebalance", "--parameters", json.dumps(parameters), *two_markets)
    assert told["slots"] == 140 - 20 - 1
    assert {(row["symbol"], row["side"]) for row in told["orders"]} == {
        (symbol, side) for symbol in (BTC, ETH) for side in ("buy", "sell")
    }
    assert max(Counter(row["decision_id"] for row in told["orders"]).values()) == 2
    last, (held,) = told["equity"][-1], told["positions"].values()
    for symbol, weight in weights.items():
        value = Decimal(held[symbol]["quantity"]) * Decimal(last["closes"][symbol])
        assert abs(value / Decimal(last["equity"]) - Decimal(weight)) < Decimal("0.03")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "--candles: there is no file for BTC/USD"),
        (("--candles", "FILE", "nobody_wrote_this"), "STRATEGY: nobody_wrote_this is not scheduled"),
        (("--candles", "FILE", "--timeframe", "4h"), "STRATEGY: nothing is scheduled"),
        (("--candles", "FILE", "--timeframe", "1w"), "--timeframe: 1w is not a timeframe"),
        (("--candles", "FILE", "--timeframe", "4h", "--algorithm", "ema_cross"), "ema-cross.parameters.fee"),
        (("--candles", "FILE", "--algorithm", "nobody_wrote_this"), "no strategy is called nobody_wrote_this"),
        (("--candles", "FILE", "--algorithm", "../ema"), "no strategy is called ../ema. Use one of"),
        (("--candles", "FILE", "--algorithm", "ema_cross", "My strategy"), "STRATEGY: String should match"),
        (("--candles", "FILE", "--algorithm", "ema_cross", "--symbol", "BTC"), "--symbol: String should match"),
        (("--candles", "FILE", "--algorithm", "ema_cross", "a", "b"), "STRATEGY: one algorithm is one strategy"),
        (("--candles", "FILE", "--symbol", BTC), "--symbol: a schedule names its own"),
        (("--candles", "FILE", "--algorithm", "rebalance", "--symbol", ETH), "rebalance.parameters.fee"),
        (("--candles", "FILE", "--parameters", "{"), "--parameters: is not JSON"),
        (("--candles", "FILE", "--parameters", "[]"), "--parameters: is not a JSON object"),
        (("--candles", "FILE", "--parameters", "{}"), "--parameters: they are of one schedule, not of 2"),
        (("--candles", "FILE", EMA, "--parameters", '{"fast": 0}'), "ema-cross-btc.parameters.fast"),
        (("--candles", "FILE", EMA, "--parameters", '{"leverage": 3}'), "ema-cross-btc.parameters.leverage"),
        (("--candles", "FILE", "--candles", "FILE"), "--candles: two files for BTC/USD"),
        (("--candles", "FILE", "--candles", "ETH/USD=FILE"), "--candles: no strategy here looks at ETH/USD"),
        (("--candles", "missing.csv"), "missing.csv: cannot be read"),
        (("--candles", "FILE", "--hours", "601"), "660 candles; 601 hours need 661, 60 of them to warm up"),
        (("--candles", "FILE", "--hours", "0"), "--hours"),
        (("--candles", "FILE", "--plot", "missing/plot.html"), "--plot: missing/plot.html cannot be written"),
        (("--candles", "FILE", "--account-document", "missing.json"), "missing.json: cannot be read"),
        (("--candles", "FILE", "--account", "other"), "--account: the document is of account paper"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(file: Path, arguments: Sequence[str], problem: str) -> None:
    result = run(*(argument.replace("FILE", str(file)) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("belay: ")
    assert result.stderr.count("\n") == 1
    assert problem in result.stderr


def test_files_without_a_time_in_common_are_refused(two_markets: list[str | Path], folder: Path) -> None:
    later = write_candles(folder / "later.csv", generated_candles(5, 10, "1h", START + 200 * HOUR))
    parameters = {"weights": {BTC: "0.6", ETH: "0.3"}, "budget": "10000", "band": "0.01", **COSTS}
    arguments = [*two_markets[:2], "--candles", f"{ETH}={later}", *two_markets[-2:]]
    result = run("--algorithm", "rebalance", "--parameters", json.dumps(parameters), *arguments)
    assert (result.exit_code, "no time in common" in result.stderr) == (2, True)


def test_a_symbol_that_the_account_does_not_trade_is_refused(file: Path) -> None:
    parameters = json.dumps({"weights": {ETH: "0.5"}, "budget": "100", "band": "0.1", **COSTS})
    result = run("--algorithm", "rebalance", "--parameters", parameters, "--candles", f"{ETH}={file}")
    assert (result.exit_code, "does not trade ETH/USD" in result.stderr) == (2, True)


def test_a_live_accounts_document_is_refused() -> None:
    live = DOCUMENT.model_copy(update={"mode": "live", "paper": None})
    with pytest.raises(InvalidInput, match="--account-document: paper is a live account"):
        replay_document(live)


def test_a_replay_runs_on_its_candles_and_without_faults_whatever_the_document_says() -> None:
    paper = {**json.loads(example_document())["paper"], "faults": {"seed": 1, "crashes": 3}}
    document = AccountDocument.parse(json.dumps({**json.loads(example_document()), "paper": paper}))
    assert replay_document(document) == DOCUMENT
    assert DOCUMENT.paper is not None
    assert (DOCUMENT.paper.replay, DOCUMENT.paper.exchange, DOCUMENT.paper.faults) == (True, None, None)


def test_outside_a_checkout_the_error_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"strategies: there are none in .*checkout"):
        replay.run(replay.Request(), DOCUMENT, "dev", tmp_path, Console(quiet=True))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of somebody else, who adds a strategy of their own: only what a replay reads."""

    def imported() -> list[str]:
        return [name for name in sys.modules if name.split(".")[0] == "strategies"]

    for name in imported():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copytree(ROOT / "functions/evaluator/strategies", tmp_path / "functions/evaluator/strategies")
    shutil.copy(ROOT / "template.yaml", tmp_path)
    yield tmp_path
    for name in imported():
        del sys.modules[name]


DIP = """
from belay.domain.decisions import Buy, Hold, Reduce, Trade
from belay.domain.record import Positive
from belay.domain.strategy import StrategyParameters


class Parameters(StrategyParameters):
    notional: Positive


def candles_needed(_):
    return 2


def symbols(slot, _):
    return (slot.symbol,)


def decide(state):
    symbol = state.slot.symbol
    before, now = (candle.close for candle in state.markets[symbol].candles)
    if state.markets[symbol].position.quantity > 0 and now > before:
        return Trade(legs=(Reduce(symbol=symbol, reason="up"),))
    if now < before:
        return Trade(legs=(Buy(symbol=symbol, notional=state.parameters.notional, reason="down"),))
    return Hold(reason="quiet")
"""


def replay_in(checkout: Path, file: Path, strategy: str) -> dict[str, Any]:
    (checkout / "functions/evaluator/strategies/dip.py").write_text(strategy)
    parameters = json.dumps({"notional": "100", **COSTS})
    request = replay.Request(candles=(str(file),), hours=48, algorithm="dip", parameters=parameters)
    return replay.run(request, DOCUMENT, "dev", checkout, Console(quiet=True))


def test_a_strategy_of_ones_own_is_one_more_file(checkout: Path, file: Path) -> None:
    told = replay_in(checkout, file, DIP)
    assert told["slots"] == 48
    assert {row["side"] for row in told["orders"]} == {"buy", "sell"}
    assert told["decisions"]["dip"].keys() == {"down", "up", "quiet"}


@pytest.mark.parametrize("broken", ["def decide(:", "import nothing_of_that_name", "Parameters = 3"])
def test_a_strategy_that_cannot_be_used_is_one_clear_error(checkout: Path, file: Path, broken: str) -> None:
    with pytest.raises(InvalidInput, match=r"^dip: the strategy dip cannot be used: .* Correct its file\.$"):
        replay_in(checkout, file, broken)
