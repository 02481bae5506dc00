"""Stops, incidents, decisions and orders in a few words, which several pages share. Looks nothing up."""

from typing import Any

from belay.cli import words

type Document = dict[str, Any]


def stop(standing: Document) -> str:
    scope = " ".join(part for part in (standing["strategy"], standing["symbol"]) if part) or "whole account"
    by = f"incident {standing['incident']}" if standing["incident"] else standing["author"]
    return f"{words.level(standing['level'])} {scope}: {standing['reason']} (by {by}, {words.minute(standing['at'])})"


def incident(told: Document) -> str:
    """Which, what was compared, what to do, and the commands that do it."""
    title = f"[bold red]{told['incident_id']}[/] ({words.minute(told['opened_at'])})"
    facts = f"  expected {told['expected']}; actual {told['actual']}"
    commands = "".join(f"\n    {command}" for command in told["commands"])
    return f"{title}\n{facts}\n  {told['action']}{commands}"


def decided(decision: Document) -> str:
    if decision["kind"] == "hold":
        return f"hold, {decision['reason']}"
    return ", ".join(leg(asked) for asked in decision["legs"])


def leg(asked: Document) -> str:
    if asked["kind"] == "cancel":
        return f"cancel {asked['order_id']}: {asked['reason']}"
    return f"{asked['kind']} {sized(asked)} {priced(asked)}: {asked['reason']}"


def sized(asked: Document) -> str:
    """A leg's or an order's size: in base currency, or what it spends, or all of the position."""
    if asked.get("quantity"):
        return f"{words.number(asked['quantity'])} {asked['symbol']}"
    return (
        f"{asked['symbol']} for {words.number(asked['notional'])}"
        if asked.get("notional")
        else f"all {asked['symbol']}"
    )


def priced(asked: Document) -> str:
    return f"at limit {words.number(asked['limit_price'])}" if asked.get("limit_price") else "at market"


def request(order: Document) -> str:
    return f"{order['side']} {sized(order)} {priced(order)}"


def became(order: Document) -> str:
    filled = ""
    if order["average_price"]:
        filled = f", {words.number(order['filled_quantity'])} filled at {words.number(order['average_price'])}"
    return f"{words.state(order['state'])}{filled}{'' if order['settled'] else ' (not settled yet)'}"
