"""The documents of `views`, `explain` and `operations` as text for a terminal. Formats; looks nothing up."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.table import Table

from belay.cli.terminal import STAND_INS, Terminal, as_json, shows, written

type Document = dict[str, Any]

LEVEL_STYLES = {"running": "green", "reduce-only": "yellow", "halted": "bold red"}
STATE_STYLES = {
    "FILLED": "green",
    "UNKNOWN": "bold red",
    "SUBMITTED": "yellow",
    "DENIED": "yellow",
    "REJECTED": "yellow",
}
CHECK_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
VERDICT_STYLES = {"pass": "green", "resize": "yellow", "wait": "yellow", "deny": "bold red"}


@shows
def status(out: Terminal, document: Document) -> None:
    switch = document["switch"]
    out.print(f"Stage {document['stage']}   switch {_level(switch['level'])} {_why(switch['reason'])}")
    if not document["accounts"]:
        out.print("No account yet: store one with `belay account set FILE` (see `belay account example`).")
    for account in document["accounts"]:
        _account(out, account)


def _account(out: Terminal, account: Document) -> None:
    version = account["configuration_version"]
    configured = f"{account['venue']}, {account['mode']}, document v{version}" if version else "no document"
    out.print(f"\n[bold]Account {account['account']}[/]   {configured}   {', '.join(account['symbols'])}")
    rows = Table.grid(padding=(0, 2))
    rows.add_row("gate", _gate(account["gate"]))
    rows.add_row("stops", "\n".join(_stop(stop) for stop in account["stops"]) or "none")
    rows.add_row("open orders", ", ".join(f"{n} {state}" for state, n in account["open_orders"].items()) or "none")
    if account["unresolved"]:
        rows.add_row("unresolved", "\n".join(f"[bold red]{order_id}[/]" for order_id in account["unresolved"]))
    rows.add_row("incidents", "\n".join(_incident(incident) for incident in account["incidents"]) or "none open")
    rows.add_row("positions", "\n".join(_position(position) for position in account["positions"]) or "none")
    rows.add_row("strategies", "\n".join(_latest(latest) for latest in account["strategies"]) or "none has ticked yet")
    out.print(Padding(rows, (0, 0, 0, 2), expand=False))


def _gate(gate: Document) -> str:
    if gate["open"]:
        return f"[green]open[/]: reconciled {_age(gate['age_seconds'])} ago"
    age = f" ({_age(gate['age_seconds'])} ago)" if gate["age_seconds"] is not None else ""
    return f"[yellow]closed[/]: {gate['reason']}{age}; no entries until the next clean reconciliation"


def _stop(stop: Document) -> str:
    scope = " ".join(part for part in (stop["strategy"], stop["symbol"]) if part) or "whole account"
    by = f"incident {stop['incident']}" if stop["incident"] else stop["author"]
    return f"{_level(stop['level'])} {scope}: {stop['reason']} (by {by}, {_short(stop['at'])})"


def _incident(incident: Document) -> str:
    title = f"[bold red]{incident['incident_id']}[/] ({_short(incident['opened_at'])})"
    facts = f"  expected {incident['expected']}; actual {incident['actual']}"
    return f"{title}\n{facts}\n  {incident['action']}"


def _position(position: Document) -> str:
    cost = f" at average cost {_number(position['average_cost'])}" if position["average_cost"] else ""
    held = f"{_number(position['quantity'])} {position['symbol']}{cost}"
    return f"{position['strategy']}: {held}, realised P&L {_number(position['realised_pnl'])}"


def _latest(latest: Document) -> str:
    decision = latest["last_decision"]
    if decision is None:
        return f"{latest['strategy']}: no decision yet"
    return f"{latest['strategy']}: {_decided(decision)} (candle {_short(decision['candle_open'])})"


def _decided(decision: Document) -> str:
    if decision["kind"] == "hold":
        return f"hold, {decision['reason']}"
    return ", ".join(_leg(leg) for leg in decision["legs"])


def _leg(leg: Document) -> str:
    if leg["kind"] == "cancel":
        return f"cancel {leg['order_id']}: {leg['reason']}"
    return f"{leg['kind']} {_sized(leg)} {_priced(leg)}: {leg['reason']}"


def _sized(asked: Document) -> str:
    """A leg's or an order's size: in base currency, or what it spends, or all of the position."""
    if asked.get("quantity"):
        return f"{_number(asked['quantity'])} {asked['symbol']}"
    return f"{asked['symbol']} for {_number(asked['notional'])}" if asked.get("notional") else f"all {asked['symbol']}"


def _priced(asked: Document) -> str:
    return f"at limit {_number(asked['limit_price'])}" if asked.get("limit_price") else "at market"


@shows
def decisions(out: Terminal, documents: list[Document]) -> None:
    """Two lines per decision: what and why, then the ids that `belay explain` takes."""
    for document in documents:
        out.print(f"[bold]{_short(document['candle_open'])}[/]  {document['strategy']}  {_decided(document)}")
        if document["detail"]:
            out.print(f"    {document['detail']}")
        out.print(f"    [dim]{document['decision_id']}[/]")
        for leg in document["legs"]:
            out.print(f"    [dim]order {leg['order_id']}[/]")
    if not documents:
        out.print("No decisions.")


@shows
def orders(out: Terminal, documents: list[Document]) -> None:
    """Two lines per order: what became of it, then its id."""
    for document in documents:
        out.print(f"[bold]{_short(document['created_at'])}[/]  {_asked(document)}  {_became(document)}")
        out.print(f"    [dim]{document['order_id']}[/]  {document['strategy']}: {document['reason']}")
    if not documents:
        out.print("No orders.")


@shows
def order(out: Terminal, document: Document) -> None:
    _order(out, document)


def _order(out: Terminal, document: Document) -> None:
    out.print(f"{_asked(document)}  {_became(document)}")
    out.print(f"[dim]{document['order_id']}[/]  {document['strategy']}: {document['reason']}")


@shows
def order_event(out: Terminal, event: Document) -> None:
    venue = f"venue {_second(event['exchange_time'])}" if event["exchange_time"] else "the venue said nothing"
    out.print(f"{_state(event['to'])}  {event['cause']}  [dim]{venue}, recorded {_second(event['recorded_at'])}[/]")


@shows
def cancelling(out: Terminal, document: Document) -> None:
    _order(out, document)
    out.print("A cancel is requested: each reconciliation repeats it at the venue until the order is done.")


def _asked(order: Document) -> str:
    return f"{order['side']} {_sized(order)} {_priced(order)}"


def _became(order: Document) -> str:
    filled = ""
    if order["average_price"]:
        filled = f", {_number(order['filled_quantity'])} filled at {_number(order['average_price'])}"
    return f"{_state(order['state'])}{filled}{'' if order['settled'] else ' (not settled yet)'}"


# --- explain --------------------------------------------------------------------------------------


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
    lines: list[Any] = [_decided(decision)]
    if decision["detail"]:
        lines.append(decision["detail"])
    rows = Table.grid(padding=(0, 2))
    rows.add_row("strategy", f"{decision['strategy']} ({decision['algorithm']}: {_pairs(decision['parameters'])})")
    rows.add_row(
        "candle",
        f"{_short(decision['candle_open'])} to {_short(decision['candle_close'])}, {decision['timeframe']}",
    )
    rows.add_row("inputs", _pairs(decision["inputs"]) or "none")
    rows.add_row("decided", f"{_second(decision['decided_at'])} venue time; stored {_second(decision['recorded_at'])}")
    version = decision["configuration_version"]
    rows.add_row("configuration", f"account document v{version}" if version else "no account document")
    return [*lines, rows]


def _per_order(orders: list[Document], answer: Any) -> list[Any]:
    """Each order's part of an answer, under the order's name where there are several."""
    parts: list[Any] = []
    for order in orders:
        if len(orders) > 1:
            parts.append(f"[bold]{_asked(order)}[/]  [dim]{order['order_id']}[/]")
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
        verdict = line["verdict"]
        style = VERDICT_STYLES.get(verdict, "none")
        table.add_row(line["limit"], _number(line["value"]), _number(line["bound"]), f"[{style}]{verdict}[/]")
    led_to = f"{_state(last['led_to'])}, {last['cause']}" if last["led_to"] else last["cause"]
    return [f"Checked {_second(last['at'])}{earlier}: {led_to}", table]


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
        fence = f", the venue refuses it after {_second(claim['fence_at'])}" if claim["fence_at"] else ", no fence"
        answers = ", ".join(f"{a['outcome']} ({a['code']})" for a in claim["answers"]) or "no answer stored"
        rows.add_row(
            f"claim {number}",
            f"{_second(claim['at'])}{fence}\nattempt {claim['attempt_id']}: {answers}",
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
            _second(fill["at"]),
            _number(fill["quantity"]),
            _number(fill["price"]),
            _fees(fill["fees"]),
            fill["trade_id"],
        )
    asked = f" of {_number(order['quantity'])}" if order["quantity"] else ""
    filled, average = _number(order["filled_quantity"]), _number(order["average_price"])
    total = f"{filled}{asked} {order['symbol']} at average {average}"
    unexplained = "" if order["explained"] else f"; the venue says {order['venue_filled']} in all"
    return [f"{total}, fees {_fees(order['fees'])}{unexplained}", table]


def _stands(order: Document) -> list[str]:
    settled = "settled, nothing more is expected" if order["settled"] else "not settled yet"
    asked = ", a cancel is requested" if order["cancel_requested"] else ""
    steps = " > ".join(_steps(order["events"]))
    lines = [f"{_state(order['state'])}, {settled}{asked}", f"[dim]{steps}[/]"]
    if order["records"] != "whole":
        lines.append(f"[bold red]Its records do not hold together[/]: {order['records']}.")
    return lines


def _steps(events: list[Document]) -> list[str]:
    """Each move once, by the state it led to, with the second of the venue's (else the function's) clock."""
    moves = [event for event in events if event["from"] != event["to"] or event["sequence"] == 0]
    return [f"{event['to']} {_clock(event['exchange_time'] or event['recorded_at'])}" for event in moves]


def _surroundings(account: Document) -> list[str]:
    gate = account["gate"]
    if account["reconciled_since"]:
        reconciled = f"Reconciled since: yes, clean at {_second(gate['proof_completed_at'])} venue time."
    else:
        reconciled = f"[yellow]Not reconciled since[/]: {gate['reason'] or 'the next run is due'}."
    stops = [_stop(stop) for stop in account["stops"]]
    if account["switch"]["level"] != "running":
        stops.insert(0, f"switch {_level(account['switch']['level'])}: {account['switch']['reason']}")
    incidents = [_incident(incident) for incident in account["incidents"]]
    return [
        reconciled,
        f"Stops: {'; '.join(stops) or 'none'}.",
        f"Open incidents: {'none.' if not incidents else ''}",
        *incidents,
    ]


# --- before trading -------------------------------------------------------------------------------


@shows
def doctor(out: Terminal, document: Document) -> None:
    """One line per check."""
    out.print(f"[bold]Stage {document['stage']}[/]")
    _checks(out, document["checks"])
    for account in document["accounts"]:
        traded = f"   {account['venue']}, {account['mode']}" if account["mode"] else ""
        out.print(f"[bold]Account {account['account']}[/]{traded}")
        _checks(out, account["checks"])
    out.print(f"{document['ok']} ok, {document['warn']} warn, {document['fail']} fail")


def _checks(out: Terminal, checks: list[Document]) -> None:
    for check in checks:
        level = f"[{CHECK_STYLES[check['level']]}]{check['level']:<4}[/]"
        remedy = f"  > {check['remedy']}" if check["remedy"] else ""
        out.print(f"  {level}  {check['check']}: {check['found']}{remedy}", soft_wrap=True)


@shows
def venues(out: Terminal, documents: list[Document]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("venue", "client order id", "fence", "absence", "second attempt", "unverified"):
        table.add_column(column, overflow="fold")
    for document in documents:
        known = (
            document["venue"],
            document["uniqueness"],
            document["fence"],
            "provable" if document["absence_provable"] else "not provable",
            document["second_attempt"],
            ", ".join(document["unverified"]) or "nothing",
        )
        unsupported = (
            document["venue"],
            "[yellow]cannot be traded[/]",
            "",
            "",
            "",
            document["unsupported"] or "",
        )
        table.add_row(*(unsupported if document["unsupported"] else known))
    out.print(table)
    out.print('Any other venue of ccxt: "venue_profile": "generic", which assumes nothing and sends nothing twice.')


@shows
def venue(out: Terminal, document: Document) -> None:
    looked_up = (f"{lookup['method']} for {_age(lookup['retention_seconds'])}" for lookup in document["lookups"])
    rows = Table.grid(padding=(0, 2))
    rows.add_row("client order id", f"uniqueness {document['uniqueness']}")
    rows.add_row("fence", f"{document['fence']}, absence {'' if document['absence_provable'] else 'not '}provable")
    rows.add_row("second attempt", document["second_attempt"])
    rows.add_row("look-ups", ", ".join(looked_up))
    rows.add_row("market buys", "of a base quantity" if document["market_buys"] else "refused: limit prices only")
    rows.add_row("fees", document["fee_quirks"] or "nothing is known to be special")
    rows.add_row("test host", "yes" if document["sandbox"] else "none")
    rows.add_row("a key holds", ", ".join(document["credentials"]))
    rows.add_row("unverified", ", ".join(document["unverified"]) or "nothing")
    rows.add_row("notes", "\n".join(document["notes"]) or "none")
    refused = f"   [yellow]cannot be traded: {document['unsupported']}[/]" if document["unsupported"] else ""
    out.print(f"[bold]{document['venue']}[/]{refused}")
    out.print(Padding(rows, (0, 0, 0, 2), expand=False))


# --- operations -----------------------------------------------------------------------------------


@shows
def halted(out: Terminal, document: Document) -> None:
    if "switch" in document:
        out.print(f"Switch: {_level(document['switch']['level'])} {_why(document['switch']['reason'])}")
    for account in document["accounts"]:
        out.print(f"Account {account['account']}: {_stop(account['stop'])}")
        out.print(f"  {_fence(account['last_outstanding_fence'])}")
    if not document["accounts"]:
        out.print("No account is stored, so there was no account to stop.")


def _fence(fence: str | None) -> str:
    if fence is None:
        return "No request is on its way: the outcome of every submitted order is known."
    if fence == "unbounded":
        return "[bold red]A request is on its way without a fence: it may be accepted at any time (unbounded).[/]"
    return f"[yellow]A request is on its way and may still be accepted until {_second(fence)} (venue time).[/]"


@shows
def released(out: Terminal, document: Document) -> None:
    if "switch" in document:
        out.print(f"Switch: {_level(document['switch']['level'])} {_why(document['switch']['reason'])}")
    for account in document["accounts"]:
        out.print(f"Account {account['account']}: {len(account['released'])} stop(s) released")
        for stop in account["remaining"]:
            out.print(f"  still standing: {_stop(stop)}")


@shows
def adopted(out: Terminal, document: Document) -> None:
    """What was adopted, what that resolved, and what is left to adopt."""
    out.print(f"[bold]Account {document['account']}[/]")
    if document["reconciled"]:
        out.print("  Its books were opened just now.")
    for done in document["adopted"]:
        already = " [dim](already)[/]" if done["already"] else ""
        out.print(f"  [green]adopted[/] by {done['strategy']}: {_adopted(done)}{already}")
    for incident_id in document["resolved"]:
        out.print(f"  resolved incident {incident_id}")
    left = [_balance(balance) for balance in document["balances"] if Decimal(balance["left"])]
    left += [_foreign(order) for order in document["orders"]]
    out.print("  Left to adopt:" if left else "  Nothing is left to adopt.")
    for line in left:
        out.print(f"    {line}")


def _adopted(done: Document) -> str:
    if done["order_id"]:
        return f"order {done['order_id']}, {done['side']} {_sized(done)} {_priced({'limit_price': done['price']})}"
    return f"{_sized(done)} at a cost of {_number(done['price'])}"


def _balance(balance: Document) -> str:
    return f"balance  {_number(balance['left'])} {balance['symbol']} of {_number(balance['opening'])} at the opening"


def _foreign(foreign: Document) -> str:
    seen = foreign["seen"]
    name = seen["client_order_id"] or f"(venue order {seen['venue_order_id']})"
    asked = f"order    {name}  {seen['side']} {_sized(seen)} {_priced(seen)}"
    if not foreign["problem"]:
        return asked
    return f"{asked}\n      [yellow]cannot be adopted[/]: {foreign['problem']}. {foreign['remedy']}"


@shows
def stored(out: Terminal, document: Document) -> None:
    outcome = "stored" if document["stored"] else "unchanged"
    out.print(f"Account {document['account']}: {outcome}, version {document['version']}")


@shows
def incidents(out: Terminal, documents: list[Document]) -> None:
    for document in documents:
        done = f"  [green]resolved[/]: {document['resolution']}" if document["status"] == "resolved" else ""
        out.print(_incident(document) + (f"\n{done}" if done else ""))
    if not documents:
        out.print("No open incidents.")


@shows
def resolved(out: Terminal, document: Document) -> None:
    lifted = len(document["released"])
    out.print(f"Account {document['account']}: {document['incident_id']} resolved, {lifted} stop(s) lifted")
    for stop in document["remaining"]:
        out.print(f"  still standing: {_stop(stop)}")


@shows
def validated(out: Terminal, document: Document) -> None:
    out.print(f"Account {document['account']}: the document is valid")
    for limit in document["missing_limits"]:
        out.print(f"  [yellow]missing limit[/] {limit}: entries are denied until it is given")


def configuration(out: Terminal, document: Document) -> None:
    """The document itself stands there exactly, as it may be stored again."""
    author, at = written(document["author"]), _second(document["stored_at"])
    out.print(f"[bold]Account {document['document']['account']}[/]   v{document['version']}, by {author}, {at}")
    out.print(JSONHighlighter()(as_json(document["document"])), soft_wrap=True)


# --- words ----------------------------------------------------------------------------------------


def _level(level: str) -> str:
    return f"[{LEVEL_STYLES[level]}]{level}[/]"


def _why(reason: str) -> str:
    return f"({reason})" if reason else ""


def _state(state: str) -> str:
    style = STATE_STYLES.get(state)
    return f"[{style}]{state}[/]" if style else state


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_number(_value(value))}" for name, value in values.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).translate(STAND_INS)


def _fees(fees: Mapping[str, str]) -> str:
    return ", ".join(f"{_number(fee)} {asset}" for asset, fee in fees.items()) or "none"


def _number(value: str) -> str:
    """A decimal cut to eight places for reading; anything else as it is."""
    whole, point, decimals = value.partition(".")
    if not point or not (whole.lstrip("-") + decimals).isdigit():
        return value
    return f"{whole}.{decimals[:8]}".rstrip("0").rstrip(".")


def _short(instant: str) -> str:
    """2019-10-17 08:00Z, to the minute."""
    return f"{instant[:10]} {instant[11:16]}Z"


def _second(instant: str) -> str:
    return f"{instant[:10]} {instant[11:19]}Z"


def _clock(instant: str) -> str:
    return instant[11:19]


def _age(seconds: int) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h, 2 d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
