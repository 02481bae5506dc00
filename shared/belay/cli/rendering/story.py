"""One decision's whole story as five questions and answers for a terminal. Formats; looks nothing up."""

from collections.abc import Iterable
from typing import Any

from rich.padding import Padding
from rich.table import Table

from belay.cli import words
from belay.cli.rendering import phrases
from belay.cli.terminal import Terminal, shows

type Document = dict[str, Any]


@shows
def explain(out: Terminal, document: Document) -> None:
    """The five questions, each with its answer."""
    out.print(f"[bold]Decision {document['decision']['decision_id']}[/]")
    _question(out, 1, "What was decided, and from which inputs?", _decided_from(document["decision"]))
    orders = document["orders"]
    none = ["No order was asked for, so nothing more followed."] if not orders else []
    _question(out, 2, "Which limits were checked?", none or _per_order(orders, _checked))
    _question(out, 3, "Was it submitted exactly once?", none or _per_order(orders, _submitted))
    _question(out, 4, "What did the venue fill?", none or _per_order(orders, _filled))
    _question(
        out,
        5,
        "Where does it stand now: settled, reconciled, stopped?",
        [*_per_order(orders, _stands), *_surroundings(document["account"])],
    )


def _question(out: Terminal, number: int, question: str, answer: Iterable[Any]) -> None:
    out.print(f"\n[bold cyan]{number}. {question}[/]")
    for part in answer:
        out.print(Padding(part, (0, 0, 0, 3), expand=False))


def _decided_from(decision: Document) -> list[Any]:
    lines: list[Any] = [phrases.decided(decision)]
    if decision["detail"]:
        lines.append(decision["detail"])
    rows = Table.grid(padding=(0, 2))
    rows.add_row("strategy", f"{decision['strategy']} ({decision['algorithm']}: {words.pairs(decision['parameters'])})")
    rows.add_row(
        "candle",
        f"{words.minute(decision['candle_open'])} to {words.minute(decision['candle_close'])}, {decision['timeframe']}",
    )
    rows.add_row("inputs", words.pairs(decision["inputs"]) or "none")
    rows.add_row(
        "decided", f"{words.second(decision['decided_at'])} venue time; stored {words.second(decision['recorded_at'])}"
    )
    version = decision["configuration_version"]
    rows.add_row("configuration", f"account document v{version}" if version else "no account document")
    return [*lines, rows]


def _per_order(orders: list[Document], answer: Any) -> list[Any]:
    """Each order's part of an answer, under the order's name where there are several."""
    parts: list[Any] = []
    for order in orders:
        if len(orders) > 1:
            parts.append(f"[bold]{phrases.request(order)}[/]  [dim]{order['order_id']}[/]")
        parts.extend(answer(order))
    return parts


def _checked(order: Document) -> list[Any]:
    if not order["checks"]:
        adopted = order["submission"]["verdict"] == "adopted"
        return ["None: it was at the venue before and was adopted." if adopted else "Not checked yet."]
    last = order["checks"][-1]
    earlier = f", the last of {len(order['checks'])} checks" if len(order["checks"]) > 1 else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("limit", "value", "bound", "verdict"):
        table.add_column(column, overflow="fold", no_wrap=column in ("limit", "verdict"))
    for line in last["limits"]:
        value, bound = words.number(line["value"]), words.number(line["bound"])
        table.add_row(line["limit"], value, bound, words.verdict(line["verdict"]))
    led_to = f"{words.state(last['led_to'])}, {last['cause']}" if last["led_to"] else last["cause"]
    return [f"Checked {words.second(last['at'])}{earlier}: {led_to}", table]


SUBMISSION_ANSWERS = {
    "exactly once": "[green]Yes[/]: the venue has one order for it.",
    "more than once": "[bold red]No: the venue has several orders for it.[/]",
    "unknown": "[bold red]Unknown[/]: the outcome is not proven, so nothing is sent again.",
    "never sent": "It was never sent.",
    "adopted": "It was at the venue before and was adopted: Belay sent nothing, and the venue has one order for it.",
    "no order at the venue": "It was claimed, and no order came of it at the venue.",
}


def _submitted(order: Document) -> list[Any]:
    submission = order["submission"]
    lines = [SUBMISSION_ANSWERS[submission["verdict"]]]
    rows = Table.grid(padding=(0, 2))
    rows.add_row("client order id", order["order_id"])
    if submission["venue_order_ids"]:
        rows.add_row("venue order id", ", ".join(submission["venue_order_ids"]))
    for number, claim in enumerate(submission["claims"], start=1):
        fence = f", the venue refuses it after {words.second(claim['fence_at'])}" if claim["fence_at"] else ", no fence"
        answers = ", ".join(f"{a['outcome']} ({a['code']})" for a in claim["answers"]) or "no answer stored"
        rows.add_row(
            f"claim {number}",
            f"{words.second(claim['at'])}{fence}\nattempt {claim['attempt_id']}: {answers}",
        )
    return [*lines, rows]


def _filled(order: Document) -> list[Any]:
    if not order["fills"]:
        return [
            "Nothing." if order["explained"] else f"The venue says {order['venue_filled']}; no fill is recorded yet."
        ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("time", "quantity", "price", "fees", "trade"):
        table.add_column(column)
    for fill in order["fills"]:
        table.add_row(
            words.second(fill["at"]),
            words.number(fill["quantity"]),
            words.number(fill["price"]),
            words.amounts(fill["fees"]),
            fill["trade_id"],
        )
    asked = f" of {words.number(order['quantity'])}" if order["quantity"] else ""
    filled, average = words.number(order["filled_quantity"]), words.number(order["average_price"])
    total = f"{filled}{asked} {order['symbol']} at average {average}"
    unexplained = "" if order["explained"] else f"; the venue says {order['venue_filled']} in all"
    return [f"{total}, fees {words.amounts(order['fees'])}{unexplained}", table]


def _stands(order: Document) -> list[str]:
    settled = "settled, nothing more is expected" if order["settled"] else "not settled yet"
    asked = ", a cancel is requested" if order["cancel_requested"] else ""
    steps = " > ".join(_steps(order["events"]))
    lines = [f"{words.state(order['state'])}, {settled}{asked}", f"[dim]{steps}[/]"]
    if order["records"] != "whole":
        lines.append(f"[bold red]Its records do not hold together[/]: {order['records']}.")
    return lines


def _steps(events: list[Document]) -> list[str]:
    """Each move once, by the state it led to, with the second of the venue's (else the function's) clock."""
    moves = [event for event in events if event["from"] != event["to"] or event["sequence"] == 0]
    return [f"{event['to']} {words.clock(event['exchange_time'] or event['recorded_at'])}" for event in moves]


def _surroundings(account: Document) -> list[str]:
    gate = account["gate"]
    if account["reconciled_since"]:
        reconciled = f"Reconciled since: yes, clean at {words.second(gate['proof_completed_at'])} venue time."
    else:
        reconciled = f"[yellow]Not reconciled since[/]: {gate['reason'] or 'the next run is due'}."
    stops = [phrases.stop(stop) for stop in account["stops"]]
    if account["switch"]["level"] != "running":
        stops.insert(0, f"switch {words.level(account['switch']['level'])}: {account['switch']['reason']}")
    incidents = [phrases.incident(incident) for incident in account["incidents"]]
    return [
        reconciled,
        f"Stops: {'; '.join(stops) or 'none'}.",
        f"Open incidents: {'none.' if not incidents else ''}",
        *incidents,
    ]
