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

UNRESOLVED = {"UNKNOWN", "SUBMITTED"}


def summarise(folder: Path, market: str, seconds: float) -> dict[str, Any]:
    """The summary of the rows in `folder`: ledger.jsonl, paper.jsonl and evaluations.jsonl.

    `seconds` is how long the run took; `equity` is in quote currency, valued at the first and the last close of the
    evaluated slots; `unknown_open` counts orders whose outcome is not proven.
    """
    ledger, paper = list(read_rows(folder / "ledger.jsonl")), list(read_rows(folder / "paper.jsonl"))
    evaluations = list(read_rows(folder / "evaluations.jsonl"))
    return {"market": market, **count(ledger, paper, evaluations), "seconds": round(seconds, 1)}


def read_rows(file: Path) -> Iterator[Row]:
    with file.open() as lines:
        for line in lines:
            yield json.loads(line)


def count(ledger: Sequence[Row], paper: Sequence[Row], evaluations: Sequence[Row]) -> dict[str, Any]:
    """The counts of a run. Each row is an item: `pk`, `sk` and the record as JSON text in `body`."""
    decisions = _records(ledger, "DECISION#", "DECISION")
    orders = [body for row, body in _items(ledger, "DECISION#", "ORDER#") if row["sk"].count("#") == 1]
    fills = [body for row, body in _items(ledger, "DECISION#", "ORDER#") if "#FILL#" in row["sk"]]
    incidents = _records(ledger, "ACCOUNT#", "INCIDENT#")
    (document,) = (stored["document"] for stored in _records(ledger, "ACCOUNT#", "CONFIG#CURRENT"))
    opening = document["paper"]["balances"]
    state = next(iter(_records(paper, "PAPER#", "STATE")), {"balances": opening, "orders": {}})
    venue_orders = [*_records(paper, "PAPER#", "ORDER#"), *state["orders"].values()]
    candles = [json.loads(row["body"]) for row in paper if "#CANDLES#" in row["pk"]]
    first, last = _evaluated(candles, decisions)
    quote = document["symbols"][0].split("/")[1]
    return {
        "candles": len(candles),
        "slots": len({row["request"]["scheduled_time"] for row in evaluations}),
        "evaluations": len(evaluations),
        "decisions": _tally(body["decision"]["kind"] for body in decisions),
        "holds_by_reason": _tally(b["decision"]["reason"] for b in decisions if b["decision"]["kind"] == "hold"),
        "orders": _tally(body["state"] for body in orders),
        "venue_orders": len(venue_orders),
        "duplicate_venue_orders": len(venue_orders) - len({order["client_order_id"] for order in venue_orders}),
        "fills": len(fills),
        "unknown_open": sum(body["state"] in UNRESOLVED for body in orders),
        "incidents_open": sum(body["status"] == "open" for body in incidents),
        "balances_match": _expected(opening, fills) == _amounts(state["balances"]),
        "equity": {
            "start": _equity(opening, quote, first),
            "end": _equity(state["balances"], quote, last),
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


def _expected(opening: Mapping[str, str], fills: list[Body]) -> dict[str, Decimal]:
    """What the balances must be if the fills in the ledger are all that happened."""
    balances = {asset: Decimal(amount) for asset, amount in opening.items()}
    for fill in fills:
        trade = fill["trade"]
        base, quote = trade["symbol"].split("/")
        quantity = Decimal(trade["quantity"]) * (1 if trade["side"] == "buy" else -1)
        moves = [(base, quantity), (quote, -quantity * Decimal(trade["price"]))]
        moves += [(asset, -Decimal(fee)) for asset, fee in trade["fees"].items()]
        for asset, change in moves:
            balances[asset] = balances.get(asset, Decimal(0)) + change
    return {asset: amount for asset, amount in balances.items() if amount}


def _amounts(balances: Mapping[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in balances.items() if Decimal(amount)}


def _evaluated(candles: list[Body], decisions: list[Body]) -> tuple[Body, Body]:
    """The candles of the first and the last decided slot."""
    opened = sorted(body["slot"]["candle_open"] for body in decisions)
    by_time = {candle["open_time"]: candle for candle in candles}
    return by_time[opened[0]], by_time[opened[-1]]


def _equity(balances: Mapping[str, str], quote: str, candle: Body) -> str:
    """Balances in quote currency, the base currency valued at the candle's close."""
    prices = {quote: Decimal(1)}
    close = Decimal(candle["close"])
    total = sum((Decimal(held) * prices.get(asset, close) for asset, held in balances.items()), Decimal(0))
    return f"{total.normalize():f}"
