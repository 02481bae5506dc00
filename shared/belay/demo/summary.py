"""What a demo run amounted to, counted from its exported rows: the ledger's, the venue's, the evaluations.

Reads the stored JSON with lines of its own, not with the code that wrote it, so that it can disagree.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

type Row = Mapping[str, Any]
type Body = dict[str, Any]

LEDGER_TABLES = ("ledger", "accounts", "configuration")
UNRESOLVED = {"UNKNOWN", "SUBMITTED"}
FEE_CORRECTED = "fee corrected"
CRASH = "crash_"  # how the kinds of faults begin that end the process


def summarise(folder: Path, market: str, seconds: float, *, seed: int | None = None) -> dict[str, Any]:
    """The summary of the rows in `folder`: the three tables of the ledger, paper.jsonl and evaluations.jsonl.

    Args:
        seconds: how long the run took.
        seed: what the faults, or a generated market, came from.
    """
    ledger = [row for name in LEDGER_TABLES for row in read_rows(folder / f"{name}.jsonl")]
    paper = list(read_rows(folder / "paper.jsonl"))
    evaluations = list(read_rows(folder / "evaluations.jsonl"))
    return {"market": market, "seed": seed, **count(ledger, paper, evaluations), "seconds": round(seconds, 1)}


def read_rows(file: Path) -> Iterator[Row]:
    with file.open() as lines:
        for line in lines:
            yield json.loads(line)


def count(ledger: Sequence[Row], paper: Sequence[Row], evaluations: Sequence[Row]) -> dict[str, Any]:
    """The counts of a run. Each row is an item: `pk`, `sk` and the record as JSON text in `body`.

    `denied` is by the limit that denied, `faults_injected` by kind without those that end the process, `incidents` by
    kind how many are open; `unknown_open` counts orders whose outcome is not proven; `equity` is in quote currency,
    valued at the closes of the first and the last evaluated slot.
    """
    decisions = _records(ledger, "DECISION#", "DECISION")
    orders = [body for row, body in _items(ledger, "DECISION#", "ORDER#") if row["sk"].count("#") == 1]
    fills = [body for row, body in _items(ledger, "DECISION#", "ORDER#") if "#FILL#" in row["sk"]]
    events = [body for row, body in _items(ledger, "DECISION#", "ORDER#") if "#EVENT#" in row["sk"]]
    denials = [body for body in events if body["to_state"] == "DENIED" != body["from_state"]]
    incidents = [body for body in _records(ledger, "ACCOUNT#", "INCIDENT#") if body["status"] == "open"]
    faults = [body["kind"] for body in _records(paper, "PAPER#", "FAULT#")]
    (document,) = (stored["document"] for stored in _records(ledger, "ACCOUNT#", "CONFIG#CURRENT"))
    opening = document["paper"]["balances"]
    state = next(iter(_records(paper, "PAPER#", "STATE")), {"balances": opening, "orders": {}})
    venue_orders = [*_records(paper, "PAPER#", "ORDER#"), *state["orders"].values()]
    closes, quote = _closes(paper), document["symbols"][0].split("/")[1]
    first, last = _first_and_last(decisions)
    return {
        "chaos": document["paper"].get("faults") is not None,
        "candles": len(closes),
        "slots": len({row["request"]["scheduled_time"] for row in evaluations}),
        "evaluations": len(evaluations),
        "decisions": _tally(body["decision"]["kind"] for body in decisions),
        "holds_by_reason": _tally(b["decision"]["reason"] for b in decisions if b["decision"]["kind"] == "hold"),
        "orders": _tally(body["state"] for body in orders),
        "denied": _tally(body["cause"].removeprefix("denied: ") for body in denials),
        "venue_orders": len(venue_orders),
        "duplicate_venue_orders": len(venue_orders) - len({order["client_order_id"] for order in venue_orders}),
        "fills": len(fills),
        "faults_injected": _tally(kind for kind in faults if not kind.startswith(CRASH)),
        "function_crashes_injected": sum(kind.startswith(CRASH) for kind in faults),
        "unknown_open": sum(body["state"] in UNRESOLVED for body in orders),
        "incidents_open": len(incidents),
        "incidents": _tally(body["kind"] for body in incidents),
        "balances_match": _expected(opening, ledger) == _amounts(state["balances"]),
        "equity": {
            "start": _equity(opening, quote, closes, first),
            "end": _equity(state["balances"], quote, closes, last),
        },
    }


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _items(rows: Iterable[Row], pk: str, sk: str) -> Iterator[tuple[Row, Body]]:
    """The rows whose keys start so, with their records."""
    for row in rows:
        if row["pk"].startswith(pk) and row["sk"].startswith(sk):
            yield row, json.loads(row["body"])


def _records(rows: Iterable[Row], pk: str, sk: str) -> list[Body]:
    """The records of one kind, without what lies under longer partition keys."""
    return [body for row, body in _items(rows, pk, sk) if row["pk"].count("#") == 1]


def _expected(opening: Mapping[str, str], ledger: Sequence[Row]) -> dict[str, Decimal]:
    """What the balances must be if what the ledger recorded is all that happened."""
    balances = {asset: Decimal(amount) for asset, amount in opening.items()}
    for asset, change in _changes(ledger):
        balances[asset] = balances.get(asset, Decimal(0)) + Decimal(change)
    return {asset: amount for asset, amount in balances.items() if amount}


def _changes(ledger: Sequence[Row]) -> Iterator[tuple[str, Decimal | str]]:
    """By asset, what fills (with the fees that they proved to have), flows and the venue's rounding made of it."""
    story = list(_items(ledger, "DECISION#", "ORDER#"))
    corrected = {
        f"ORDER#{body['order_id']}#FILL#{body['detail']['trade']}": body["detail"]["fees"]
        for row, body in story
        if "#EVENT#" in row["sk"] and body.get("cause") == FEE_CORRECTED
    }
    for row, body in story:
        if "#FILL#" in row["sk"]:
            trade = body["trade"]
            base, quote = trade["symbol"].split("/")
            sign, quantity = (1 if trade["side"] == "buy" else -1), Decimal(trade["quantity"])
            yield base, sign * quantity
            yield quote, -sign * Decimal(trade.get("cost") or quantity * Decimal(trade["price"]))
            fees = corrected.get(row["sk"], trade["fees"])
            yield from ((asset, -Decimal(fee)) for asset, fee in fees.items())
    for body in _records(ledger, "ACCOUNT#", "FLOW#"):
        yield from body["amounts"].items()
    for row, body in _items(ledger, "ACCOUNT#", "PROOF"):
        if row["sk"] == "PROOF":
            yield from body.get("rounding", {}).items()


def _amounts(balances: Mapping[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in balances.items() if Decimal(amount)}


def _closes(paper: Iterable[Row]) -> dict[tuple[str, str, str], Decimal]:
    """The close of every stored candle, by base asset, timeframe and open time."""
    closes = {}
    for row in paper:
        if "#CANDLES#" in row["pk"]:
            symbol, timeframe = row["pk"].split("#")[-2:]
            candle = json.loads(row["body"])
            closes[symbol.split("/")[0], timeframe, candle["open_time"]] = Decimal(candle["close"])
    return closes


def _first_and_last(decisions: list[Body]) -> tuple[Body, Body]:
    """The slots of the first and the last decision."""
    slots = sorted((body["slot"] for body in decisions), key=lambda slot: slot["candle_open"])
    return slots[0], slots[-1]


def _equity(balances: Mapping[str, str], quote: str, closes: Mapping[tuple[str, str, str], Decimal], slot: Body) -> str:
    """Balances in quote currency, everything else valued at its candle's close."""
    total = Decimal(0)
    for asset, held in balances.items():
        price = Decimal(1) if asset == quote else closes[asset, slot["timeframe"], slot["candle_open"]]
        total += Decimal(held) * price
    return f"{total.normalize():f}"
