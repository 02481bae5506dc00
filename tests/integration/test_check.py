"""The separate checker: rows of a small faulty run are green, and each thing planted into them turns it red by name."""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from belay.adapters.paper.clock import ReplayFeed, set_replay_clock
from belay.adapters.paper.faults import FaultyPaperVenue
from belay.adapters.paper.venue import PaperVenue
from belay.demo.check import check, examine, lines, main
from belay.demo.check_rows import LEGAL
from belay.demo.check_rows import REOPENED as REOPENED_AGAIN
from belay.demo.summary import summarise
from belay.domain.decisions import DecisionRecord, Hold, Trade
from belay.domain.documents import AccountDocument
from belay.domain.flows import FlowKind
from belay.domain.orders import REOPENED, TRANSITIONS, OrderState
from belay.domain.record import digest, iso
from belay.replay.pace import MOST_STEPS, STEP, needs_time
from tests.builders import ACCOUNT, NOW, make_buy, make_candles, make_document, make_incident, make_paper_settings
from tests.demo_rows import Moves, ledger_rows, paper_rows, read_rows, write_demo
from tests.world import Crash, World, make_reduce

SEED, HOURS = 4, 30
STRATEGIES = ("ema-cross", "rsi-reversion")
# What comes and goes without a trade, by the hour.
MOVES = {5: {"USD": "250.5"}, 11: {"USD": "-0.00000007", "BTC": "0.00100001"}}
CLI = Path(__file__).parents[2] / "shared" / "belay" / "demo"

type Row = dict[str, Any]

# What the emulator's log says of a function that worked, of one that raised and of one that exited.
WORKED = """\
2026-11-22 15:15:26 INFO [lambda] ESM: Lambda belay-dev-{0} processed 1 SQS messages from intents.fifo
2026-11-22 15:15:26 INFO [lambda] ESM: Lambda belay-dev-{0} output:
{{"level":"INFO","message":"executed"}}
"""
RAISED = """\
2026-11-22 15:15:27 WARNING [lambda] ESM: Lambda belay-dev-{0} failed processing SQS batch from intents.fifo \
(errorType=Runtime.HandlerError errorMessage=Worker process died)
Traceback (most recent call last):
  File "app.py", line 11, in handler
ValueError: Worker process died
"""
EXITED = """\
2026-11-22 15:15:21 WARNING [lambda] ESM: Lambda belay-dev-{0} failed processing SQS batch from intents.fifo \
(errorType=Runtime.HandlerError errorMessage=Worker process died)
{{"level":"INFO","message":"about to send"}}
Worker process died
2026-11-22 15:15:26 INFO [lambda_runtime] Lambda worker spawned for belay-dev-{0} (python3.13, cold start)
"""


# --- a run ---------------------------------------------------------------------------------------------------------


class FaultyWorld(World):
    """Two strategies in one account at a venue that injects faults; where a process would exit, a Crash is raised."""

    def __init__(self) -> None:
        self.submissions = count(1)
        self.crashes = 0
        closes = [10_000 + 40 * (hour % 7) for hour in range(2 * HOURS)]
        super().__init__(
            venue_type=FaultyPaperVenue,
            document=make_document(
                paper=make_paper_settings(faults={"seed": SEED, "crashes": 2}, fee_asset="received"),
            ),
            candles=make_candles(closes, NOW + timedelta(hours=HOURS)),
        )

    def venue(self, document: AccountDocument | None = None) -> PaperVenue:
        return FaultyPaperVenue(
            document or self.document,
            self.store,
            ReplayFeed(self.store),
            new_id=lambda: f"submission-{next(self.submissions):06}",
            end_process=self._exit,
        )

    def _exit(self, status: int) -> None:
        self.crashes += 1
        raise Crash(f"exit {status}")

    def trade(self) -> Iterator[Row]:
        """Hour by hour as the demo does it; gives the evaluations as the demo writes them."""
        says = cycle([make_buy(quantity="0.05"), make_reduce(), None])
        for hour in range(HOURS):
            self._move_on(NOW + timedelta(hours=hour))
            if amounts := MOVES.get(hour):
                self.move(FlowKind.DEPOSIT, recorded=True, **amounts)
            self._settle()
            for strategy in STRATEGIES:
                leg = next(says)
                self.strategy.says = Trade(legs=(leg,)) if leg else Hold(reason="quiet")
                yield evaluated(self.tick(strategy=strategy))
            if hour == 0:  # the first order is held back in the executor's last look
                self.execute(self.queue.intents[0].body["order_id"], remaining=1.0)
            self._work_off()
            self._settle()
        for _ in range(3):
            self._move_on(self.now + STEP)
            self._settle()

    def _settle(self) -> None:
        for _ in range(MOST_STEPS):
            if not any(map(needs_time, self.ledger.open_orders(ACCOUNT))):
                return
            self._move_on(self.now + STEP)

    def _move_on(self, at: Any) -> None:
        set_replay_clock(self.store, self.document, at)
        self.reconcile()
        self._work_off()

    def _work_off(self) -> None:
        while self.queue.intents:
            with suppress(Crash):
                self.deliver()


def evaluated(record: DecisionRecord) -> Row:
    """A row of evaluations.jsonl: the tick, and the evaluator's answer."""
    held = record.held
    response = {
        "decision_id": record.decision_id,
        "kind": record.decision.kind,
        "reason": held.reason if held else ", ".join(leg.reason for leg in record.trade_legs),
        "order_ids": [order_id for order_id in record.order_ids if order_id],
    }
    return {"request": {"scheduled_time": iso(record.slot.candle_close)}, "response": response}


@dataclass
class Run:
    """What a demo leaves, with the bodies of its rows as objects, so that a test can change them."""

    rows: dict[str, list[Row]]
    summary: Row
    log: str

    def write(self, folder: Path) -> Path:
        for name in ("rows", "aws"):
            (folder / name).mkdir(exist_ok=True)
        for name, rows in self.rows.items():
            written = [row if name == "evaluations" else {**row, "body": text(row["body"])} for row in rows]
            (folder / "rows" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
        (folder / "summary.json").write_text(json.dumps(self.summary))
        (folder / "aws" / "ministack.log").write_text(self.log)
        return folder

    def find(self, file: str, sk: str, **body: Any) -> list[Row]:
        """The rows whose sort key is like `sk` and whose body says so."""
        return [
            row
            for row in self.rows[file]
            if fnmatchcase(row["sk"], sk) and all(row["body"].get(name) == value for name, value in body.items())
        ]

    def order(self, state: str = "FILLED") -> Row:
        """The row of a ledger order."""
        return next(row for row in self.find("ledger", "ORDER#*", state=state) if row["sk"].count("#") == 1)

    def fault(self, kind: str) -> Row:
        return self.find("paper", f"FAULT#*#{kind}")[0]

    def drop(self, file: str, *dropped: Row) -> None:
        self.rows[file] = [row for row in self.rows[file] if row not in dropped]

    def add(self, file: str, row: Row, sk: str, **body: Any) -> None:
        """A row like another, under another sort key."""
        self.rows[file].append({**row, "sk": sk, "body": {**row["body"], **body}})


def text(body: object) -> str:
    """A body as it was stored, to the letter: digests are of that."""
    return body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def parsed(rows: list[dict[str, str]]) -> list[Row]:
    return [row if row["sk"].startswith("CLIENT#") else {**row, "body": json.loads(row["body"])} for row in rows]


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    world = FaultyWorld()
    evaluations = list(world.trade())
    world.ledger.open_incident(make_incident(subject="EUR"))
    rows = {
        **{table: parsed(items) for table, items in ledger_rows(world.ledger, ACCOUNT).items()},
        "paper": parsed(paper_rows(world.store)),
        "evaluations": evaluations,
    }
    log = WORKED.format("executor") + RAISED.format("executor") + EXITED.format("executor") * world.crashes
    run = Run(rows, {}, log)
    folder = run.write(tmp_path_factory.mktemp("run"))
    run.summary = summarise(folder / "rows", "candles.csv", 12.5, seed=SEED)
    return run


@pytest.fixture
def run(traded: Run) -> Run:
    return deepcopy(traded)


# --- a clean run ---------------------------------------------------------------------------------------------------


def test_a_run_in_which_every_kind_of_fault_was_met_is_green(run: Run, tmp_path: Path) -> None:
    assert check(run.write(tmp_path)) == []
    assert {row["body"]["kind"] for row in run.find("paper", "FAULT#*")} == {
        *("answer_lost", "delayed", "expired", "refused", "dropped", "server_error", "partial_fill", "late_fills"),
        *("out_of_order_fills", "lagging_lookup", "crash_before_send", "crash_after_accept"),
    }
    assert run.summary["function_crashes_injected"] == run.log.count("about to send") == 2
    assert {"FILLED", "NOT_SENT", "REJECTED", "DENIED"} <= set(run.summary["orders"])


def test_a_calm_run_that_only_held_is_green_and_its_seed_is_that_of_its_market(run: Run, tmp_path: Path) -> None:
    only_hold(run)
    folder = run.write(tmp_path)
    run.summary = summarise(folder / "rows", "generated, seed 11", 1, seed=11)
    assert run.summary["chaos"] is False
    assert check(run.write(tmp_path)) == []
    run.summary["seed"] = 12
    assert [finding.row for finding in check(run.write(tmp_path))] == ["summary.json seed"]


HISTORY: dict[int, Moves] = {
    20: {FlowKind.DEPOSIT: {"USD": "1000.01"}, FlowKind.INTEREST: {"BTC": "0.00000001"}},
    60: {FlowKind.WITHDRAWAL: {"USD": "-333.33333333"}, FlowKind.CONVERSION: {"USD": "-10.1", "BTC": "0.00010007"}},
}


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_the_demos_balances_are_explained_to_the_last_digit_fees_in_base_and_flows_included(
    seed: int, tmp_path: Path
) -> None:
    folder = write_demo(tmp_path, 120, seed, moves=HISTORY)
    died = sum(row["sk"].partition("crash_")[1] != "" for row in read_rows(folder / "rows" / "paper.jsonl"))
    (folder / "aws").mkdir()
    (folder / "aws" / "ministack.log").write_text(EXITED.format("executor") * died)
    results = {result.check: result for result in examine(folder)}
    assert [finding for result in results.values() for finding in result.findings] == []
    assert results[next(name for name in results if name.startswith(FLOWS))].figures == "4 movements, 4 flows"
    fills = [json.loads(row["body"]) for row in read_rows(folder / "rows" / "ledger.jsonl") if "#FILL#" in row["sk"]]
    assert {asset for fill in fills for asset in fill["trade"]["fees"]} == {"BTC", "USD"}


def only_hold(run: Run) -> None:
    """As if every decision had been to hold, at a venue without faults that was never asked to trade."""
    run.drop("paper", *(row for row in run.rows["paper"] if "#CANDLES#" not in row["pk"]))
    run.drop("ledger", *run.find("ledger", "ORDER*"))
    run.drop("accounts", *run.find("accounts", "ANCHOR#*"), *run.find("accounts", "FLOW#*"))
    run.find("accounts", "PROOF")[0]["body"]["bookings"] = {}
    run.find("accounts", "STATE")[0]["body"].update(positions={}, flows={}, external={}, bookings={})
    run.find("configuration", "CONFIG#CURRENT")[0]["body"]["document"]["paper"]["faults"] = None
    for row in run.find("ledger", "DECISION"):
        row["body"].update(order_ids=[], decision={"kind": "hold", "reason": "quiet"})
    for row in run.rows["evaluations"]:
        row["response"].update(order_ids=[], kind="hold")
    run.log = WORKED.format("executor")


def test_what_the_venue_turned_away_by_its_own_rules_needs_no_fault(run: Run, tmp_path: Path) -> None:
    run.drop("paper", *run.find("paper", "FAULT#*#expired"), *run.find("paper", "FAULT#*#refused"))
    for kind in ("expired", "refused"):
        del run.summary["faults_injected"][kind]
    assert check(run.write(tmp_path)) == []
    shown = list(lines(examine(tmp_path)))
    assert any("refusals" in line and ": 0 attempts" not in line for line in shown)


@pytest.mark.parametrize(("own", "the_orders"), [(LEGAL, TRANSITIONS), (REOPENED_AGAIN, REOPENED)])
def test_the_checkers_own_tables_of_legal_moves_are_those_of_the_orders(
    own: dict[str, str], the_orders: dict[OrderState, frozenset[OrderState]]
) -> None:
    allowed = {before: {*map(str, afters)} for before, afters in the_orders.items() if afters}
    assert {before: set(afters.split()) for before, afters in own.items()} == allowed


# --- what is planted -----------------------------------------------------------------------------------------------

type Plant = Callable[[Run], str]
PLANTED: list[tuple[Plant, str, str]] = []


def breaks(name: str, says: str = "") -> Callable[[Plant], Plant]:
    """This breaks the check whose name begins so, and returns the row that a finding has to name; it `says` why."""

    def register(plant: Plant) -> Plant:
        PLANTED.append((plant, name, says))
        return plant

    return register


# PLANTED is complete only after this module, hence a fixture of its own instead of a mark.
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "planted" in metafunc.fixturenames:
        metafunc.parametrize("planted", PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])


def test_what_is_planted_turns_the_run_red_and_is_named(
    planted: tuple[Plant, str, str], run: Run, tmp_path: Path
) -> None:
    plant, name, says = planted
    row = plant(run)
    findings = [finding for finding in check(run.write(tmp_path)) if finding.check.startswith(name)]
    assert any(row in finding.row and says in str(finding) for finding in findings), findings


CHAINED = "each story's records carry the digest"


@breaks(CHAINED)
def an_event_that_was_written_over(run: Run) -> str:
    claimed = run.find("ledger", "*#EVENT#*", cause="claimed")[0]
    claimed["body"]["detail"]["limits"] = []
    return str(claimed["sk"]).replace("#EVENT#000001", "#EVENT#000002")


@breaks(CHAINED)
def a_last_event_that_was_written_over(run: Run) -> str:
    last = run.find("ledger", f"{run.order()['sk']}#EVENT#*")[-1]
    last["body"]["cause"] = "nothing to see"
    return str(run.order()["sk"])


@breaks(CHAINED)
def an_order_that_was_written_over(run: Run) -> str:
    run.order()["body"]["publications"] = 17
    return str(run.order()["sk"])


@breaks(CHAINED)
def a_fill_that_was_written_over(run: Run) -> str:
    fill = run.find("ledger", "*#FILL#*")[0]
    fill["body"]["recorded_at"] = "2019-01-01T00:00:00Z"
    return str(fill["sk"])


@breaks(CHAINED)
def a_decision_that_was_written_over(run: Run) -> str:
    order = run.order()
    named = run.find("ledger", "DECISION", decision_id=order["body"]["decision_id"])[0]
    named["body"]["parameters"] = {"harmless": True}
    return f"{order['sk']}#EVENT#000000"


@breaks(CHAINED, "beside the account")
def a_story_that_was_written_anew_from_end_to_end(run: Run) -> str:
    """Everything that the evaluator could write, written as if it had always been so: the head gives it away."""
    order = run.order()
    events = run.find("ledger", f"{order['sk']}#EVENT#*")
    bare = digest(text({**order["body"], "publications": 17, "head": ""}))
    events[-1]["body"]["order_digest"] = bare
    order["body"].update(publications=17, head=digest(text(events[-1]["body"])))
    return str(order["sk"])


@breaks(CHAINED, "a head of version")
def a_head_that_is_not_known_beside_the_account(run: Run) -> str:
    order = run.order()
    run.drop("accounts", *run.find("accounts", f"ANCHOR#{order['body']['order_id']}"))
    return str(order["sk"])


@breaks(CHAINED, "a head of version")
def a_head_of_another_text_of_the_order(run: Run) -> str:
    order = run.order()
    run.find("accounts", f"ANCHOR#{order['body']['order_id']}")[0]["body"]["order_digest"] = "0" * 32
    return str(order["sk"])


@breaks(CHAINED, "an order ffff")
def a_head_of_no_order(run: Run) -> str:
    run.add("accounts", run.find("accounts", "ANCHOR#*")[0], "ANCHOR#ffff", order_id="ffff")
    return "ANCHOR#ffff"


@breaks("at most one venue order per order id")
def a_second_venue_order(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    run.add("paper", row, "ORDER#000000000999", venue_order_id="000000000999")
    return "ORDER#000000000999"


@breaks("at most one venue order per order id")
def a_second_venue_order_that_is_still_open(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    run.find("paper", "STATE")[0]["body"]["orders"]["000000000999"] = {**row["body"], "venue_order_id": "000000000999"}
    return "open order 000000000999"


@breaks("every venue order is its ledger order", "a ledger order ffffffffffffffffffffffffffffffff that knows it")
def a_venue_order_that_no_ledger_order_knows(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    run.add("paper", row, "ORDER#000000000999", venue_order_id="000000000999", client_order_id="f" * 32)
    return "ORDER#000000000999"


@breaks("every venue order is its ledger order")
def a_ledger_order_without_its_venue_order(run: Run) -> str:
    row = run.order()
    run.drop("paper", *run.find("paper", "ORDER#*", client_order_id=row["body"]["order_id"]))
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def a_filled_order_that_names_no_venue_order(run: Run) -> str:
    row = run.order()
    row["body"]["venue_order_ids"] = []
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def another_quantity_at_the_venue(run: Run) -> str:
    row = run.order()
    run.find("paper", "ORDER#*", client_order_id=row["body"]["order_id"])[0]["body"]["quantity"] = "0.0501"
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def another_side_at_the_venue(run: Run) -> str:
    row = run.order()
    run.find("paper", "ORDER#*", client_order_id=row["body"]["order_id"])[0]["body"]["side"] = "short"
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def another_filled_quantity_in_the_ledger(run: Run) -> str:
    row = run.order()
    row["body"]["filled_quantity"] = "0.0001"
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def another_average_price_in_the_ledger(run: Run) -> str:
    row = run.order()
    row["body"]["filled_notional"] = "1"
    return str(row["sk"])


@breaks("every venue order is its ledger order")
def a_venue_order_filled_by_more_than_its_trades(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    row["body"]["filled_quantity"] = "0.0501"
    return str(row["sk"])


@breaks("every venue trade is exactly one fill")
def a_missing_fill(run: Run) -> str:
    row = run.find("ledger", "*#FILL#*")[0]
    run.drop("ledger", row)
    return str(trade_of(run, row)["sk"])


@breaks("every venue trade is exactly one fill")
def a_doubled_fill(run: Run) -> str:
    row = run.find("ledger", "*#FILL#*")[0]
    run.add("ledger", row, f"{row['sk']}-again")
    return str(trade_of(run, row)["sk"])


@breaks("every venue trade is exactly one fill")
def a_fill_that_the_venue_never_reported(run: Run) -> str:
    row = run.find("ledger", "*#FILL#*")[0]
    run.add("ledger", row, f"{row['sk']}-more", trade={**row["body"]["trade"], "trade_id": "000000000999"})
    return f"{row['sk']}-more"


@breaks("every venue trade is exactly one fill")
def a_fill_at_another_price(run: Run) -> str:
    row = run.find("ledger", "*#FILL#*")[0]
    row["body"]["trade"]["price"] = "10000.01"
    return str(row["sk"])


@breaks("every venue trade is exactly one fill")
def a_fill_with_another_fee(run: Run) -> str:
    row = next(row for row in run.find("ledger", "*#FILL#*") if "USD" in row["body"]["trade"]["fees"])
    row["body"]["trade"]["fees"]["USD"] = "0.01"
    return str(row["sk"])


@breaks("every venue trade is exactly one fill")
def a_fill_of_another_order(run: Run) -> str:
    first, *others = run.find("ledger", "*#FILL#*")
    first["body"]["order_id"] = next(o["body"]["order_id"] for o in others if o["pk"] != first["pk"])
    return str(first["sk"])


def trade_of(run: Run, fill: Row) -> Row:
    trade_id = fill["body"]["trade"]["trade_id"]
    return next(row for row in run.rows["paper"] if "#TRADES#" in row["pk"] and row["body"]["trade_id"] == trade_id)


@breaks("opening balances, the ledger's fills, flows and rounding")
def a_wrong_balance(run: Run) -> str:
    run.find("paper", "STATE")[0]["body"]["balances"]["USD"] = "9999.99"
    return "STATE"


@breaks("opening balances, the venue's trades and movements")
def a_trade_that_no_balance_shows(run: Run) -> str:
    row = trade_of(run, run.find("ledger", "*#FILL#*")[0])
    row["body"]["price"] = "1.00"
    return "STATE"


@breaks("the account's opening balances, positions")
def a_position_that_the_fills_do_not_give(run: Run) -> str:
    positions = run.find("accounts", "STATE")[0]["body"]["positions"]
    positions["ema-cross"]["BTC/USD"]["quantity"] = "0.0123"
    return "STATE"


@breaks("the account's opening balances, positions")
def a_position_of_a_strategy_that_never_traded(run: Run) -> str:
    run.find("accounts", "STATE")[0]["body"]["positions"]["someone"] = {"BTC/USD": {"quantity": "0.1"}}
    return "STATE"


@breaks("the account's opening balances, positions")
def an_opening_balance_that_was_not_there(run: Run) -> str:
    run.find("accounts", "STATE")[0]["body"]["opening"]["USD"] = "10001"
    return "STATE"


FLOWS = "every movement that the venue recorded"
IN_THE_LEDGER = "opening balances, the ledger's fills, flows and rounding"
AT_THE_VENUE = "opening balances, the venue's trades and movements"


@breaks(FLOWS, "expected deposit of 250.5 USD once")
def a_flow_that_is_counted_twice(run: Run) -> str:
    row = run.find("accounts", "FLOW#*", amounts=MOVES[5])[0]
    run.add("accounts", row, f"{row['sk']}-again")
    return f"{row['sk']}-again"


@breaks(IN_THE_LEDGER)
def a_flow_that_is_counted_twice_under_another_id(run: Run) -> str:
    row = run.find("accounts", "FLOW#*")[0]
    run.add("accounts", row, "FLOW#rebase:again", flow_id="rebase:again", kind="rebase")
    return "STATE"


@breaks("the account's opening balances, positions", "flow of USD")
def a_flow_that_the_account_counts_twice(run: Run) -> str:
    run.find("accounts", "STATE")[0]["body"]["external"]["USD"] = "501"
    return "STATE"


@breaks(FLOWS, "found none")
def a_movement_that_the_ledger_missed(run: Run) -> str:
    run.drop("accounts", *run.find("accounts", "FLOW#*", amounts=MOVES[5]))
    return "STATE movement 0"


@breaks(FLOWS, "expected none once")
def a_flow_that_the_venue_never_recorded(run: Run) -> str:
    del run.find("paper", "STATE")[0]["body"]["movements"][0]
    return str(run.find("accounts", "FLOW#*", amounts=MOVES[5])[0]["sk"])


@breaks(FLOWS)
def a_flow_of_another_amount(run: Run) -> str:
    row = run.find("accounts", "FLOW#*", amounts=MOVES[5])[0]
    row["body"]["amounts"]["USD"] = "250.50000001"
    return str(row["sk"])


@breaks(AT_THE_VENUE)
def a_movement_that_no_balance_shows(run: Run) -> str:
    run.find("paper", "STATE")[0]["body"]["movements"][0]["amounts"]["USD"] = "250.50000001"
    return "STATE"


@breaks(IN_THE_LEDGER, " BTC")
def a_fee_in_base_that_is_left_out(run: Run) -> str:
    fee_in_base(run)["body"]["trade"]["fees"] = {}
    return "STATE"


@breaks("the account's opening balances, positions", "traded BTC")
def a_fee_in_base_that_the_account_left_out(run: Run) -> str:
    fee = Decimal(fee_in_base(run)["body"]["trade"]["fees"]["BTC"])
    traded = run.find("accounts", "STATE")[0]["body"]["flows"]
    traded["BTC"] = str(Decimal(traded["BTC"]) + fee)
    return "STATE"


@breaks("the account's opening balances, positions", "bookings of BTC")
def bookings_that_no_fill_made(run: Run) -> str:
    run.find("accounts", "STATE")[0]["body"]["bookings"]["BTC"] += 1
    return "STATE"


@breaks(IN_THE_LEDGER, " BTC")
def rounding_that_is_invented(run: Run) -> str:
    run.find("accounts", "PROOF")[0]["body"]["rounding"] = {"BTC": "0.000000005"}
    return "STATE"


@breaks("what is called the venue's rounding", "bookings")
def rounding_of_what_was_never_booked(run: Run) -> str:
    run.find("accounts", "PROOF")[0]["body"]["rounding"] = {"EUR": "0.000000005"}
    return "PROOF"


@breaks("what is called the venue's rounding", "bookings")
def rounding_for_more_bookings_than_there_were(run: Run) -> str:
    run.find("accounts", "PROOF")[0]["body"]["bookings"]["BTC"] += 1
    return "PROOF"


@breaks(IN_THE_LEDGER, " USD")
def a_trade_that_moved_another_amount_than_it_told(run: Run) -> str:
    fee_in_base(run)["body"]["trade"]["cost"] = "1.00"
    return "STATE"


@breaks(IN_THE_LEDGER, " BTC")
def a_fee_that_was_corrected_and_is_not(run: Run) -> str:
    corrected(run, fee_in_base(run), {"BTC": "0.00000001"})
    return "STATE"


@breaks("every venue trade is exactly one fill", "a fill whose fee it corrects")
def a_corrected_fee_of_no_fill(run: Run) -> str:
    return corrected(run, fee_in_base(run), {}, trade="nothing")


def fee_in_base(run: Run) -> Row:
    """The first fill whose fee was taken in the base currency."""
    return next(row for row in run.find("ledger", "*#FILL#*") if "BTC" in row["body"]["trade"]["fees"])


def corrected(run: Run, fill: Row, fees: dict[str, str], **detail: str) -> str:
    """As if the venue's ledger had told the fees of a fill later; returns where that stands."""
    key = fill["sk"].partition("#FILL#")[2]
    event = run.find("ledger", "*#EVENT#*", order_id=fill["body"]["order_id"])[-1]
    sk = f"{fill['sk'].partition('#FILL#')[0]}#EVENT#{event['body']['sequence'] + 1:06}"
    told = {"cause": "fee corrected", "detail": {"trade": key, "fees": fees, **detail}}
    run.add("ledger", event, sk, sequence=event["body"]["sequence"] + 1, **told)
    return sk


def test_a_fee_that_the_venues_ledger_told_later_counts_in_place_of_its_estimate(run: Run, tmp_path: Path) -> None:
    """Of all that is compared only the digests miss the record that was added here by hand."""
    fill = fee_in_base(run)
    true, fill["body"]["trade"]["fees"] = fill["body"]["trade"]["fees"], {"USD": "0.4"}
    corrected(run, fill, true)
    found = {finding.check for finding in check(run.write(tmp_path))}
    assert not any(name.startswith((IN_THE_LEDGER, AT_THE_VENUE, "every venue trade")) for name in found)


def test_a_rebate_is_a_fee_with_the_other_sign(run: Run, tmp_path: Path) -> None:
    """Written into both books by hand, which of all that is compared only the digests tell."""
    fill = next(row for row in run.find("ledger", "*#FILL#*") if "USD" in row["body"]["trade"]["fees"])
    gained = Decimal(fill["body"]["trade"]["fees"]["USD"]) + Decimal("0.01")
    for trade in (fill["body"]["trade"], trade_of(run, fill)["body"]):
        trade["fees"] = {"USD": "-0.01"}
    for amounts in (
        run.find("paper", "STATE")[0]["body"]["balances"],
        run.find("accounts", "STATE")[0]["body"]["flows"],
    ):
        amounts["USD"] = str(Decimal(amounts["USD"]) + gained)
    folder = run.write(tmp_path)
    run.summary = summarise(folder / "rows", "candles.csv", 12.5, seed=SEED)
    found = {finding.check for finding in check(run.write(tmp_path))}
    assert all(name.startswith(CHAINED) for name in found), found


@breaks("NOT_SENT in the ledger")
def a_not_sent_order_whose_request_was_not_dropped(run: Run) -> str:
    row = run.fault("dropped")
    run.drop("paper", row)
    return str(ended(run, row, "NOT_SENT")["sk"])


@breaks("NOT_SENT in the ledger")
def a_dropped_request_that_the_ledger_took_for_sent(run: Run) -> str:
    row = run.find("paper", "SUBMISSION#*", code="ACCEPTED")[0]["body"]["request"]
    dropped = run.fault("dropped")
    named = {"client_order_id": row["client_order_id"], "claimed_at": row["claimed_at"]}
    run.add("paper", dropped, "FAULT#000999#dropped", sequence=999, **named)
    return "FAULT#000999#dropped"


@breaks("NOT_SENT in the ledger")
def a_request_behind_its_fence_that_the_ledger_forgot(run: Run) -> str:
    row = run.fault("expired")
    end = ended(run, row, "NOT_SENT")
    end["body"].update(to_state="UNKNOWN", from_state="UNKNOWN")
    return str(row["sk"])


@breaks("REJECTED in the ledger")
def a_rejected_order_that_the_venue_did_not_refuse(run: Run) -> str:
    row = run.fault("refused")
    refused = {"client_order_id": row["body"]["client_order_id"], "claimed_at": row["body"]["claimed_at"]}
    judged = [s for s in run.find("paper", "SUBMISSION#*") if refused.items() <= s["body"]["request"].items()]
    run.drop("paper", row, *judged)
    return str(ended(run, row, "REJECTED")["sk"])


@breaks("REJECTED in the ledger")
def a_refusal_that_the_ledger_took_for_a_loss(run: Run) -> str:
    row = run.fault("refused")
    ended(run, row, "REJECTED")["body"]["to_state"] = "NOT_SENT"
    return str(row["sk"])


def ended(run: Run, fault: Row, state: str) -> Row:
    """The event in which the attempt that met a fault ended without an order."""
    order_id = fault["body"]["client_order_id"]
    claims = run.find("ledger", "*#EVENT#*", order_id=order_id, cause="claimed")
    met = next(c for c in claims if c["body"]["detail"]["request"]["claimed_at"] == fault["body"]["claimed_at"])
    events = run.find("ledger", "*#EVENT#*", order_id=order_id, attempt_id=met["body"]["attempt_id"], to_state=state)
    return next(event for event in events if event["body"]["from_state"] != state)


@breaks("what the executor held back")
def a_request_that_was_held_back_and_arrived(run: Run) -> str:
    held = run.find("ledger", "*#EVENT#*", cause="no_time_left")[0]
    claim = run.find("ledger", "*#EVENT#*", attempt_id=held["body"]["attempt_id"], cause="claimed")[0]
    arrived = run.find("paper", "SUBMISSION#*")[0]
    run.add("paper", arrived, "SUBMISSION#again", request=claim["body"]["detail"]["request"])
    return str(held["sk"])


@breaks("each claim reached the venue at most once")
def a_request_that_was_received_twice(run: Run) -> str:
    row = run.find("paper", "SUBMISSION#*", code="ACCEPTED")[-1]
    run.add("paper", row, "SUBMISSION#submission-999999", sequence=999)
    return "SUBMISSION#submission-999999"


@breaks("each claim reached the venue at most once")
def a_request_that_nobody_claimed(run: Run) -> str:
    row = run.find("paper", "SUBMISSION#*", code="ACCEPTED")[0]
    row["body"]["request"]["quantity"] = "0.0499"
    return str(row["sk"])


@breaks("every accepted request is its venue order")
def an_accepted_request_without_an_order(run: Run) -> str:
    row = run.find("paper", "SUBMISSION#*", code="ACCEPTED")[0]
    run.drop("paper", *run.find("paper", f"ORDER#{row['body']['venue_order']['venue_order_id']}"))
    return str(row["sk"])


@breaks("every accepted request is its venue order")
def an_order_that_nobody_asked_the_venue_for(run: Run) -> str:
    row = run.find("paper", "SUBMISSION#*", code="ACCEPTED")[0]
    run.drop("paper", row)
    return f"ORDER#{row['body']['venue_order']['venue_order_id']}"


@breaks("every fault met a claim", "expected a claim of")
def a_fault_of_no_attempt(run: Run) -> str:
    row = run.fault("answer_lost")
    row["body"]["claimed_at"] = "2024-03-01T00:00:00Z"
    return str(row["sk"])


@breaks("every fault met a claim")
def a_fault_under_another_key(run: Run) -> str:
    row = run.fault("answer_lost")
    row["body"]["kind"] = "delayed"
    return str(row["sk"])


@breaks("every fault met a claim")
def a_lost_answer_to_a_request_that_never_arrived(run: Run) -> str:
    row = run.fault("dropped")
    row["body"]["placed"] = True
    return str(row["sk"])


@breaks("every fault met a claim", "expected one word on delivery")
def a_delivery_that_was_placed_and_was_not(run: Run) -> str:
    placed, dropped = run.fault("answer_lost"), run.fault("dropped")
    sk = f"FAULT#{placed['body']['sequence']:06}#dropped"
    run.add("paper", dropped, sk, **{**placed["body"], "kind": "dropped", "placed": False})
    return sk


@breaks("every fault met a claim")
def a_partial_fill_that_filled_at_once(run: Run) -> str:
    row = run.fault("partial_fill")
    for submission in run.find("paper", "SUBMISSION#*", code="ACCEPTED"):
        shown = submission["body"]["venue_order"]
        if shown["client_order_id"] == row["body"]["client_order_id"]:
            shown["filled_quantity"] = shown["quantity"]
    return str(row["sk"])


@breaks("one decision per slot")
def a_second_decision_for_a_slot(run: Run) -> str:
    row = run.find("ledger", "DECISION")[0]
    run.rows["ledger"].append({**row, "pk": f"{row['pk']}-again"})
    return "DECISION"


@breaks("every evaluation's decision is stored")
def an_evaluation_whose_decision_is_not_stored(run: Run) -> str:
    missing = run.rows["evaluations"][3]["response"]["decision_id"]
    run.drop("ledger", *run.find("ledger", "DECISION", decision_id=missing))
    return "evaluations.jsonl:4"


@breaks("every evaluation's decision is stored")
def an_evaluation_that_was_answered_otherwise(run: Run) -> str:
    run.rows["evaluations"][0]["response"]["order_ids"] = ["f" * 32]
    return "evaluations.jsonl:1"


@breaks("every order is one that its decision names")
def a_decision_without_its_order(run: Run) -> str:
    row = run.order()
    run.drop("ledger", row)
    return "DECISION"


@breaks("every order is one that its decision names")
def an_order_that_no_decision_asked_for(run: Run) -> str:
    row = run.order()
    run.add("ledger", row, f"ORDER#{'f' * 32}", order_id="f" * 32)
    return f"ORDER#{'f' * 32}"


@breaks("each order's events are an unbroken chain", "expected event 1; found event 2")
def a_gap_in_the_events(run: Run) -> str:
    sk = run.order()["sk"]
    run.drop("ledger", *run.find("ledger", f"{sk}#EVENT#000001"))
    return f"{sk}#EVENT#000002"


@breaks("each order's events are an unbroken chain")
def a_missing_last_event(run: Run) -> str:
    row = run.order()
    run.drop("ledger", *run.find("ledger", f"{row['sk']}#EVENT#{row['body']['version']:06}"))
    return str(row["sk"])


@breaks("each order's events are an unbroken chain", "expected a move from SUBMITTED; found from CREATED")
def an_event_that_does_not_follow_the_one_before_it(run: Run) -> str:
    sk = run.order()["sk"]
    run.find("ledger", f"{sk}#EVENT#000002")[0]["body"]["from_state"] = "CREATED"
    return f"{sk}#EVENT#000002"


@breaks("each order's events are an unbroken chain")
def a_move_that_no_order_may_make(run: Run) -> str:
    row = run.order("DENIED")
    last = run.find("ledger", f"{row['sk']}#EVENT#{row['body']['version']:06}")[0]
    last["body"]["to_state"] = row["body"]["state"] = "FILLED"
    return str(last["sk"])


def said_to_be_over(run: Run, state: str = "CANCELLED") -> str:
    """An unknown order of which an operator said that it was over, until the venue showed it; returns where it did."""
    shown = run.find("ledger", "*#EVENT#*", from_state="UNKNOWN", to_state="FILLED")[0]
    sequence, order_id = shown["body"]["sequence"], shown["body"]["order_id"]
    (before,) = run.find("ledger", "*#EVENT#*", sequence=sequence - 1, order_id=order_id)
    after = run.find("ledger", "*#EVENT#*", sequence=sequence + 1, order_id=order_id)[0]
    before["body"].update(cause="said to be cancelled", to_state=state)
    shown["body"].update(from_state=state, to_state="ACKNOWLEDGED")
    after["body"]["from_state"] = "ACKNOWLEDGED"
    return str(shown["sk"])


def test_what_an_operator_said_of_an_order_the_venue_may_show_to_be_otherwise(run: Run, tmp_path: Path) -> None:
    said_to_be_over(run)
    broken = [finding for finding in check(run.write(tmp_path)) if finding.check.startswith("each order's events")]
    assert broken == []


@breaks("each order's events are an unbroken chain", "a legal move")
def a_cancelled_order_that_came_to_life_without_a_word(run: Run) -> str:
    sk = said_to_be_over(run)
    run.find("ledger", f"{sk.partition('#EVENT#')[0]}#EVENT#*", cause="said to be cancelled")[0]["body"]["cause"] = (
        "seen"
    )
    return sk


@breaks("each order's events are an unbroken chain", "said to be over")
def an_order_that_was_sent_again_after_it_was_said_to_be_absent(run: Run) -> str:
    sk = said_to_be_over(run, "NOT_SENT")
    run.find("ledger", sk)[0]["body"]["to_state"] = "SUBMITTED"
    return sk


@breaks("each order's events are an unbroken chain")
def an_order_in_another_state_than_its_last_event(run: Run) -> str:
    row = run.order("DENIED")
    row["body"]["state"] = "LAPSED"
    return str(row["sk"])


@breaks("each order's events are an unbroken chain")
def events_of_no_order(run: Run) -> str:
    row = run.find("ledger", "*#EVENT#000000")[0]
    run.add("ledger", row, f"ORDER#{'f' * 32}#EVENT#000000", order_id="f" * 32)
    return f"ORDER#{'f' * 32}#EVENT#000000"


@breaks("no order's outcome is open")
def an_unknown_order(run: Run) -> str:
    row = run.order()
    row["body"]["state"] = "UNKNOWN"
    return str(row["sk"])


@breaks("no order's outcome is open")
def a_submitted_order(run: Run) -> str:
    row = run.order("NOT_SENT")
    row["body"]["state"] = "SUBMITTED"
    return str(row["sk"])


@breaks("every injected crash is an executor that died")
def a_crash_without_a_died_worker(run: Run) -> str:
    run.log = run.log.replace(EXITED.format("executor"), "", 1)
    return "ministack.log"


@breaks("every injected crash is an executor that died")
def a_died_worker_without_a_crash(run: Run) -> str:
    run.log += EXITED.format("executor")
    return "ministack.log"


@breaks("every injected crash is an executor that died")
def another_function_that_died(run: Run) -> str:
    run.log = run.log.replace(EXITED.format("executor"), EXITED.format("reconciler"), 1)
    return "ministack.log"


@breaks("each item is exported once")
def an_item_that_is_exported_twice(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    run.rows["paper"].append(row)
    return str(row["sk"])


@breaks("everything can be read")
def a_body_that_is_no_record(run: Run) -> str:
    row = run.find("paper", "ORDER#*")[0]
    row["body"] = "nothing"
    return str(row["sk"])


@breaks("everything can be read")
def an_amount_that_is_none(run: Run) -> str:
    run.find("ledger", "*#FILL#*")[0]["body"]["trade"]["quantity"] = "much"
    return "rows"


@breaks("everything can be read")
def a_time_that_is_none(run: Run) -> str:
    run.fault("dropped")["body"]["claimed_at"] = "noon"
    return "rows"


@breaks("everything can be read")
def an_account_without_a_document(run: Run) -> str:
    run.drop("configuration", *run.find("configuration", "CONFIG#CURRENT"))
    return "rows, summed up"


NEEDED = {
    ("ledger", "DECISION"): ("decision_id", "slot", "decision.kind"),
    ("ledger", "ORDER#*"): ("order_id", "decision_id", "symbol", "side", "state", "version", "filled_quantity"),
    ("ledger", "*#EVENT#*"): ("order_id", "sequence", "from_state", "to_state", "cause"),
    ("ledger", "*#EVENT#00000?"): ("detail.request", "detail.request.claimed_at"),
    ("ledger", "*#FILL#*"): ("order_id", "strategy", "trade.price", "trade.symbol"),
    ("paper", "ORDER#*"): ("venue_order_id", "client_order_id", "symbol", "side", "quantity", "filled_quantity"),
    ("paper", "SUBMISSION#*"): ("request", "request.client_order_id", "request.claimed_at", "code"),
    ("paper", "FAULT#*"): ("kind", "client_order_id", "symbol", "side", "quantity", "claimed_at", "placed"),
    ("accounts", "FLOW#*"): ("flow_id", "kind", "amounts"),
    ("paper", "20*#*"): ("symbol", "venue_order_id", "side", "trade_id", "quantity", "price", "fees"),
}
PARTS = [(file, sk, part) for (file, sk), parts in NEEDED.items() for part in parts]


@pytest.mark.parametrize(("file", "sk", "part"), PARTS, ids=[f"{file} {sk} {part}" for file, sk, part in PARTS])
def test_a_record_without_a_part_that_comparisons_need_is_red(
    file: str, sk: str, part: str, run: Run, tmp_path: Path
) -> None:
    *outer, last = part.split(".")
    row = next(row for row in run.find(file, sk) if last in inner(row, outer))
    del inner(row, outer)[last]
    findings = [finding for finding in check(run.write(tmp_path)) if finding.check == "each record is complete"]
    assert [finding.row.endswith(row["sk"]) for finding in findings] == [True]


def inner(row: Row, names: list[str]) -> Row:
    found: Row = row["body"]
    for name in names:
        found = found.get(name, {})
    return found


# --- the summary ---------------------------------------------------------------------------------------------------

CHANGED: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: not value,
    int: lambda value: value + 1,
    str: lambda value: f"{value}1",
    dict: lambda value: {**value, "more": 1},
}
NO_FIGURES = {"market", "seconds"}
KEYS = (
    *("seed", "chaos", "candles", "slots", "evaluations", "decisions", "holds_by_reason", "orders", "denied"),
    *("venue_orders", "duplicate_venue_orders", "fills", "faults_injected", "function_crashes_injected"),
    *("unknown_open", "incidents_open", "incidents", "balances_match", "equity"),
)


def named(run: Run, folder: Path) -> list[str]:
    return [finding.row for finding in check(run.write(folder))]


def test_every_figure_of_the_summary_is_among_those_that_are_changed_here(run: Run) -> None:
    assert set(run.summary) == {*KEYS, *NO_FIGURES}


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_figure_is_red(key: str, run: Run, tmp_path: Path) -> None:
    run.summary[key] = CHANGED[type(run.summary[key])](run.summary[key])
    assert named(run, tmp_path) == [f"summary.json {key}"]


@pytest.mark.parametrize("key", ["decisions", "orders", "faults_injected", "incidents", "equity"])
def test_a_changed_part_of_a_figure_is_red(key: str, run: Run, tmp_path: Path) -> None:
    part, value = next(iter(run.summary[key].items()))
    run.summary[key][part] = CHANGED[type(value)](value)
    assert named(run, tmp_path) == [f"summary.json {key}"]


@pytest.mark.parametrize("key", [*KEYS, *sorted(NO_FIGURES)])
def test_a_figure_that_is_missing_is_red(key: str, run: Run, tmp_path: Path) -> None:
    del run.summary[key]
    assert named(run, tmp_path) == ([] if key == "seed" and run.summary["chaos"] is False else [f"summary.json {key}"])


def test_a_figure_that_the_checker_does_not_know_is_red(run: Run, tmp_path: Path) -> None:
    run.summary["profit"] = "1000000"
    (finding,) = check(run.write(tmp_path))
    assert str(finding) == 'summary.json profit: expected nothing; found "1000000"'


# --- independence --------------------------------------------------------------------------------------------------


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    files = sorted(CLI.glob("check*.py"))
    own = {f"belay.demo.{file.stem}" for file in files}
    assert "belay.demo.check" in own
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            assert all(name in own or name.partition(".")[0] in sys.stdlib_module_names for name in names), (
                file.name,
                names,
            )


# --- the command ---------------------------------------------------------------------------------------------------


def test_a_person_gets_a_line_for_each_check_and_then_the_verdict(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run.write(tmp_path))]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok   ") for line in shown[:-1])
    assert shown[-1] == f"green: all {len(shown) - 1} checks hold"
    crashes = next(line for line in shown if "crash" in line)
    assert crashes == "ok   every injected crash is an executor that died, and the other way round: 2 injected, 2 died"


def test_what_is_red_is_told_below_its_check_and_not_without_end(run: Run, tmp_path: Path) -> None:
    for row in run.rows["evaluations"]:
        row["response"] = {}
    shown = list(lines(examine(run.write(tmp_path))))
    red = next(number for number, line in enumerate(shown) if line.startswith("RED"))
    assert shown[red + 1].startswith("       evaluations.jsonl:1: expected ")
    assert shown[red + 6] == f"       and {len(run.rows['evaluations']) - 5} more"
    assert shown[-1].startswith("red: 1 of ")


def test_json_has_every_check_and_finding(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.summary["fills"] = 0
    assert main([str(run.write(tmp_path)), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    (red,) = [result for result in told["checks"] if result["findings"]]
    assert told["green"] is False
    assert red["findings"][0]["row"] == "summary.json fills"


@pytest.mark.parametrize(
    "missing",
    [
        "summary.json",
        *(f"rows/{name}.jsonl" for name in ("ledger", "accounts", "configuration", "paper", "evaluations")),
        "aws/ministack.log",
    ],
)
def test_a_file_that_is_not_there_is_red(missing: str, run: Run, tmp_path: Path) -> None:
    (run.write(tmp_path) / missing).unlink()
    assert [finding.row for finding in check(tmp_path)] == [Path(missing).name]


def test_a_folder_without_a_run_is_red(tmp_path: Path) -> None:
    assert main([str(tmp_path / "nothing")]) == 1
