"""Keeps ccxt to what was answered: each row of a list is parsed on its own, and what it cannot parse stays raw instead
of hiding all the others; no price is made up."""

from collections.abc import Callable
from typing import Any

RAW, UNPARSED = "info", "unparsed"
Parse = Callable[..., dict[str, Any]]


def read_rows_apart(exchange: Any) -> None:
    """For an instance that reads. A row that is left raw is `{"info": row, "unparsed": name of what was raised}`."""
    exchange.parse_orders = _apart(exchange, exchange.parse_order)
    exchange.parse_trades = _apart(exchange, exchange.parse_trade)


def read_markets_apart(exchange: Any) -> None:
    """A market that ccxt cannot parse is as one that is not listed."""
    parse = exchange.parse_market

    def each(market: Any) -> Any:
        try:
            return parse(market)
        except Exception:
            return None

    exchange.parse_market = each


def make_up_no_price(exchange: Any) -> None:
    """Of a ticker without a last price ccxt would compute one from the day's open and change."""
    parse = exchange.safe_ticker

    def told(ticker: dict[str, Any], market: Any = None) -> Any:
        said = exchange.omit_zero(exchange.safe_string_2(ticker, "last", "close"))
        return parse(ticker, market) | ({} if said is not None else {"last": None, "close": None})

    exchange.safe_ticker = told


def _apart(exchange: Any, parse: Parse) -> Callable[..., list[dict[str, Any]]]:
    def each(
        rows: Any, market: Any = None, since: Any = None, _limit: Any = None, params: Any = None
    ) -> list[dict[str, Any]]:
        if isinstance(rows, dict):
            rows = [{"id": name, **row} if isinstance(row, dict) else row for name, row in rows.items()]
        parsed: list[dict[str, Any]] = []
        left: list[dict[str, Any]] = []
        for row in rows or ():
            try:
                parsed.append(exchange.extend(parse(row, market), params or {}))
            except Exception as error:
                left.append({RAW: row, UNPARSED: type(error).__name__})
        # ccxt drops what bears no time, or another symbol than was asked for: here it is looked at like any other row.
        return [*(row for row in parsed if since is None or not _is_before(row, since)), *left]

    return each


def _is_before(row: dict[str, Any], since: int) -> bool:
    at = row.get("timestamp")
    return isinstance(at, int) and at < since
