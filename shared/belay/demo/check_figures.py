"""The figures of a checked run's summary: questions in SQL to the tables of `check_rows`. Imports nothing of Belay."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

type Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Figure:
    """One figure of the summary: a question, and how its rows become the figure."""

    shape: Callable[[Rows], Any]
    question: str


def whole(rows: Rows) -> int:
    return int(rows[0][0])


def truth(rows: Rows) -> bool:
    return bool(rows[0][0])


def by_name(rows: Rows) -> dict[str, Any]:
    return {str(name): value for name, value in rows}


FIGURES = {
    "chaos": Figure(truth, "SELECT body ->> '$.paper.faults' IS NOT NULL FROM document"),
    "candles": Figure(whole, "SELECT count(*) FROM candle"),
    "slots": Figure(whole, "SELECT count(DISTINCT request ->> 'scheduled_time') FROM evaluation"),
    "evaluations": Figure(whole, "SELECT count(*) FROM evaluation"),
    "decisions": Figure(by_name, "SELECT kind, count(*) FROM decision GROUP BY kind"),
    "holds_by_reason": Figure(by_name, "SELECT reason, count(*) FROM decision WHERE kind = 'hold' GROUP BY reason"),
    "orders": Figure(by_name, "SELECT state, count(*) FROM ledger_order GROUP BY state"),
    "denied": Figure(
        by_name,
        """
        SELECT replace(cause, 'denied: ', ''), count(*) FROM event
        WHERE to_state = 'DENIED' AND from_state <> to_state GROUP BY cause
        """,
    ),
    "venue_orders": Figure(whole, "SELECT count(*) FROM venue_order"),
    "duplicate_venue_orders": Figure(whole, "SELECT count(*) - count(DISTINCT client_order_id) FROM venue_order"),
    "fills": Figure(whole, "SELECT count(*) FROM trade WHERE book = 'ledger'"),
    "faults_injected": Figure(by_name, "SELECT kind, count(*) FROM fault WHERE kind NOT GLOB 'crash_*' GROUP BY kind"),
    "function_crashes_injected": Figure(whole, "SELECT count(*) FROM fault WHERE kind GLOB 'crash_*'"),
    "unknown_open": Figure(whole, "SELECT count(*) FROM ledger_order WHERE state IN ('UNKNOWN', 'SUBMITTED')"),
    "incidents_open": Figure(whole, "SELECT count(*) FROM incident WHERE status = 'open'"),
    "incidents": Figure(by_name, "SELECT kind, count(*) FROM incident WHERE status = 'open' GROUP BY kind"),
    "balances_match": Figure(truth, "SELECT count(*) = 0 FROM balance WHERE book = 'ledger' AND expected <> found"),
    "equity": Figure(
        by_name,
        """
        WITH edge AS (
            SELECT 'start' AS name, min(opened) AS opened FROM decision
            UNION ALL SELECT 'end', max(opened) FROM decision
        ), purse AS (
            SELECT 'start' AS name, asset, amount FROM opening UNION ALL SELECT 'end', asset, amount FROM held
        ), paid AS (SELECT quote(body ->> '$.symbols[0]') AS quote FROM document), valued AS (
            SELECT DISTINCT name, asset, amount, iif(asset = quote, '1', close) AS price
            FROM purse JOIN edge USING (name) JOIN decision USING (opened) JOIN paid
            LEFT JOIN candle ON candle.opened = edge.opened AND market = asset || '/' || quote || '#' || timeframe
        )
        SELECT name, money_sum(times(amount, price)) FROM valued GROUP BY name
        """,
    ),
}
# What the faults were drawn from; no row where there were none.
FAULT_SEED = "SELECT body ->> '$.paper.faults.seed' FROM document WHERE body ->> '$.paper.faults' IS NOT NULL"
