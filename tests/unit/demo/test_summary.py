"""The demo's summary over small hand-made rows, its verdict, and what it does with bad input."""

import json
from pathlib import Path
from typing import Any

import pytest

from belay.adapters.paper.candle_files import generated_candles
from belay.cli.documents import example_document
from belay.demo import __main__ as demo
from belay.demo.__main__ import is_healthy
from belay.demo.market import GENERATED_FROM, WARM_UP, find_market
from belay.demo.summary import count, summarise
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.local.schedules import Schedule

OPENED = ["2019-10-17T08:00:00Z", "2019-10-17T09:00:00Z"]
DECISION = "dev.paper.ema-cross-btc.BTC/USD.1h.2019-10-17T08:00Z"
DENIED = "dev.paper.rsi-reversion-btc.BTC/USD.1h.2019-10-17T09:00Z"

Row = dict[str, Any]


def row(pk: str, sk: str, body: object) -> Row:
    return {"pk": pk, "sk": sk, "body": body if isinstance(body, str) else json.dumps(body)}


def decided(opened: str, decision: Row, strategy: str = "ema-cross-btc") -> Row:
    slot = {"strategy": strategy, "symbol": "BTC/USD", "timeframe": "1h", "candle_open": opened}
    return row(f"DECISION#{strategy}.{opened}", "DECISION", {"slot": slot, "decision": decision})


def event(before: str, after: str, cause: str) -> Row:
    return {"from_state": before, "to_state": after, "cause": cause}


def trade(price: str = "8000") -> Row:
    fees = {"USD": "0.8"}
    return {"symbol": "BTC/USD", "side": "buy", "quantity": "0.1", "price": price, "fees": fees}


def ledger() -> list[Row]:
    """One hold, two decisions to buy, of which one order filled and one was denied, and a resolved incident."""
    document = {"symbols": ["BTC/USD"], "paper": {"balances": {"USD": "10000", "BTC": "0"}}}
    return [
        decided(OPENED[0], {"kind": "trade"}),
        decided(OPENED[1], {"kind": "hold", "reason": "no_cross"}, strategy="ema-cross-btc"),
        decided(OPENED[1], {"kind": "trade"}, strategy="rsi-reversion-btc"),
        row(f"DECISION#{DECISION}", "ORDER#abc", {"state": "FILLED"}),
        row(f"DECISION#{DECISION}", "ORDER#abc#EVENT#000000", event("CREATED", "CREATED", "decided")),
        row(f"DECISION#{DENIED}", "ORDER#def", {"state": "DENIED"}),
        row(f"DECISION#{DENIED}", "ORDER#def#EVENT#000000", event("CREATED", "CREATED", "decided")),
        row(f"DECISION#{DENIED}", "ORDER#def#EVENT#000001", event("CREATED", "DENIED", "denied: max_order_notional")),
        row(f"DECISION#{DENIED}", "ORDER#def#EVENT#000002", event("DENIED", "DENIED", "refused")),
        row(f"DECISION#{DECISION}", "ORDER#abc#FILL#paper|T1", {"trade": trade()}),
        row("ORDER#abc", "ORDER", {"decision_id": DECISION}),
        row("ACCOUNT#paper", "CONFIG#CURRENT", {"document": document}),
        row("ACCOUNT#paper", "CONFIG#v000001", {"document": document}),
        row("ACCOUNT#paper", "INCIDENT#x", {"status": "resolved", "kind": "missed_slot"}),
    ]


def candle(opened: str, close: str) -> Row:
    return row("PAPER#paper#CANDLES#BTC/USD#1h", opened, {"open_time": opened, "close": close})


def paper() -> list[Row]:
    """The venue after that order: one closed order, its trade, balances that it explains."""
    return [
        row("PAPER#paper", "STATE", {"balances": {"USD": "9199.2", "BTC": "0.1"}, "orders": {}}),
        row("PAPER#paper", "ORDER#1", {"client_order_id": "abc"}),
        row("PAPER#paper", "CLIENT#abc#1", "1"),
        row("PAPER#paper#TRADES#BTC/USD", "T1", trade()),
        candle(OPENED[0], "8000"),
        candle(OPENED[1], "8100"),
    ]


def evaluations() -> list[Row]:
    """The second slot was evaluated for two strategies."""
    return [{"request": {"scheduled_time": opened}, "response": {}} for opened in (*OPENED, OPENED[1])]


def fault(sequence: int, kind: str) -> Row:
    return row("PAPER#paper", f"FAULT#{sequence:06}#{kind}", {"sequence": sequence, "kind": kind})


def counted(ledger_rows: list[Row] | None = None, paper_rows: list[Row] | None = None) -> Row:
    return count(ledger_rows or ledger(), paper_rows or paper(), evaluations())


def without(rows: list[Row], sort_key: str) -> list[Row]:
    return [item for item in rows if not item["sk"].startswith(sort_key)]


# --- counting --------------------------------------------------------------------------------------


def test_every_count_comes_from_the_rows() -> None:
    assert counted() == {
        "chaos": False,
        "candles": 2,
        "slots": 2,
        "evaluations": 3,
        "decisions": {"hold": 1, "trade": 2},
        "holds_by_reason": {"no_cross": 1},
        "orders": {"DENIED": 1, "FILLED": 1},
        "denied": {"max_order_notional": 1},
        "venue_orders": 1,
        "duplicate_venue_orders": 0,
        "fills": 1,
        "faults_injected": {},
        "function_crashes_injected": 0,
        "unknown_open": 0,
        "incidents_open": 0,
        "incidents": {},
        "balances_match": True,
        "equity": {"start": "10000", "end": "10009.2"},
    }
    assert is_healthy(counted())


def test_a_second_venue_order_of_one_client_order_id_is_a_duplicate() -> None:
    closed = counted(paper_rows=[*paper(), row("PAPER#paper", "ORDER#2", {"client_order_id": "abc"})])
    assert (closed["venue_orders"], closed["duplicate_venue_orders"]) == (2, 1)
    assert not is_healthy(closed)


def test_a_duplicate_that_is_still_open_counts_too() -> None:
    state = {"balances": {"USD": "9199.2", "BTC": "0.1"}, "orders": {"2": {"client_order_id": "abc"}}}
    rows = [row("PAPER#paper", "STATE", state), *without(paper(), "STATE")]
    assert counted(paper_rows=rows)["duplicate_venue_orders"] == 1


@pytest.mark.parametrize("wrong", [{"USD": "9199.1", "BTC": "0.1"}, {"USD": "9199.2", "BTC": "0.2"}])
def test_a_balance_that_the_fills_do_not_explain_is_red(wrong: Row) -> None:
    rows = [row("PAPER#paper", "STATE", {"balances": wrong, "orders": {}}), *without(paper(), "STATE")]
    assert counted(paper_rows=rows)["balances_match"] is False
    assert not is_healthy(counted(paper_rows=rows))


def test_a_fill_that_the_ledger_missed_is_red() -> None:
    rows = without(ledger(), "ORDER#abc#FILL")
    assert counted(rows)["balances_match"] is False


@pytest.mark.parametrize("state", ["UNKNOWN", "SUBMITTED"])
def test_an_order_whose_outcome_is_not_proven_is_red(state: str) -> None:
    rows = [*ledger(), row("DECISION#other", "ORDER#ghi", {"state": state})]
    assert counted(rows)["unknown_open"] == 1
    assert not is_healthy(counted(rows))


def test_open_incidents_are_counted_by_kind() -> None:
    kinds = ["exit_not_placed", "missed_slot", "exit_not_placed"]
    opened = [row("ACCOUNT#paper", f"INCIDENT#{n}", {"status": "open", "kind": kind}) for n, kind in enumerate(kinds)]
    summary = counted([*ledger(), *opened])
    assert summary["incidents_open"] == 3
    assert summary["incidents"] == {"exit_not_placed": 2, "missed_slot": 1}


def test_faults_are_counted_by_kind_and_those_that_end_the_process_by_themselves() -> None:
    kinds = ["dropped", "crash_before_send", "dropped", "partial_fill", "crash_after_accept"]
    injected = [fault(sequence, kind) for sequence, kind in enumerate(kinds, 1)]
    summary = counted(paper_rows=[*paper(), *injected])
    assert summary["faults_injected"] == {"dropped": 2, "partial_fill": 1}
    assert summary["function_crashes_injected"] == 2


@pytest.mark.parametrize(("faults", "chaos"), [({"seed": 7, "crashes": 3}, True), (None, False)])
def test_there_is_chaos_where_the_account_asks_for_faults(faults: Row | None, chaos: bool) -> None:
    paper_settings = {"balances": {"USD": "10000", "BTC": "0"}, "faults": faults}
    document = {"symbols": ["BTC/USD"], "paper": paper_settings}
    rows = [*without(ledger(), "CONFIG#CURRENT"), row("ACCOUNT#paper", "CONFIG#CURRENT", {"document": document})]
    assert counted(rows)["chaos"] is chaos


def test_what_is_held_is_valued_at_the_close_of_its_own_market() -> None:
    state = {"balances": {"USD": "100", "BTC": "0.1", "ETH": "2"}, "orders": {}}
    others = [
        row(f"PAPER#paper#CANDLES#ETH/USD#{t}", OPENED[1], {"open_time": OPENED[1], "close": close})
        for t, close in (("1h", "200"), ("1m", "999"))
    ]
    rows = [row("PAPER#paper", "STATE", state), *without(paper(), "STATE"), *others]
    assert counted(paper_rows=rows)["equity"]["end"] == "1310"


def test_a_venue_that_never_traded_still_has_its_opening_balances() -> None:
    rows = [item for item in paper() if "CANDLES" in item["pk"]]
    summary = counted([item for item in ledger() if not item["sk"].startswith("ORDER")], rows)
    assert summary["balances_match"] is True
    assert summary["equity"] == {"start": "10000", "end": "10000"}


def test_the_summary_is_read_from_the_exported_files(tmp_path: Path) -> None:
    stored = {"ledger": ledger(), "accounts": [], "configuration": []}
    for name, rows in {**stored, "paper": paper(), "evaluations": evaluations()}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rows))
    summary = summarise(tmp_path, "made up", 1.26, seed=7)
    assert (summary["market"], summary["seed"], summary["seconds"], summary["fills"]) == ("made up", 7, 1.3, 1)


# --- the market ------------------------------------------------------------------------------------


def candle_file(folder: Path, count: int) -> str:
    lines = [
        f"{int(c.open_time.timestamp() * 1000)},{c.open},{c.high},{c.low},{c.close},{c.volume}"
        for c in generated_candles(1, count, "1h", GENERATED_FROM)
    ]
    file = folder / "candles.csv"
    file.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    return str(file)


def test_the_last_hours_of_a_file_are_its_slots_after_a_warm_up(tmp_path: Path) -> None:
    market = find_market(candle_file(tmp_path, 100), 10, None, print)
    assert market.label == "candles.csv"
    assert len(market.slots) == 10
    assert len(market.candles) == WARM_UP + 10
    assert market.slots[-1] == generated_candles(1, 100, "1h", GENERATED_FROM)[-1]


def test_a_file_that_is_too_short_says_how_many_hours_are_possible(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Use HOURS=40 or less"):
        find_market(candle_file(tmp_path, 100), 240, None, print)
    with pytest.raises(InvalidInput, match="Give at least 61 candles"):
        find_market(candle_file(tmp_path, 60), 240, None, print)


def test_a_seed_gives_a_generated_market_that_is_labelled_so() -> None:
    market = find_market(None, 24, 7, print)
    assert market.label == "generated, seed 7"
    assert len(market.slots) == 24


def test_the_demo_runs_the_schedules_of_its_account_and_market_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a document for another account, or candles of another market."""
    own = {"account": "paper", "strategy": "dip-btc", "symbol": "BTC/USD", "timeframe": "1h"}
    others = [{"account": "other"}, {"symbol": "ETH/USD"}, {"timeframe": "1m"}]
    written = [Schedule("Dip", "rate(1 hour)", event) for event in (own, *({**own, **other} for other in others))]
    monkeypatch.setattr(demo, "read_schedules", lambda _: written)
    assert demo.scheduled(AccountDocument.parse(example_document())) == [own]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--candles", "/no/such/file.csv"], "/no/such/file.csv: cannot be read"),
        (["--hours", "0"], "HOURS: '0' is not a whole number from 1 up"),
        (["--hours", "many"], "HOURS"),
        (["--seed", "-3"], "SEED"),
        (["--colour"], "--colour"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("demo: ")
    assert named in captured.err
    assert captured.err.count("\n") == 1
