"""POST /_control {"do": name, ...}: what a test in another process says to the server. A table without rules."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.venue_server.account import from_text
from tests.venue_server.exchange import Exchange
from tests.venue_server.wire import Raw, Reply, json_reply


def control(exchange: Exchange, raw: Raw) -> Reply:
    """200 with the result, 400 with what is wrong."""
    try:
        order = json.loads(raw.body)
        act = ORDERS[order.pop("do")]
        with exchange.lock:
            return json_reply(act(exchange, **order))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return json_reply({"error": f"{type(error).__name__}: {error}", "orders": sorted(ORDERS)}, 400)


def _state(exchange: Exchange) -> Any:
    now = exchange.run_due()
    return {"now": now.isoformat(), "faults_dealt": dict(exchange.script.hits)}


def _audit(exchange: Exchange, start: int = 0) -> Any:
    exchange.run_due()
    return {"rows": exchange.audit.rows[start:]}


def _add_key(exchange: Exchange, venue: str, name: str, **flags: bool) -> Any:
    """The only answer with a secret in it."""
    key = exchange.add_key(venue, name, **flags)
    return {"name": key.name, "apiKey": key.api_key, "secret": key.secret}


def _change_key(exchange: Exchange, venue: str, name: str, **flags: bool) -> Any:
    exchange.change_key(venue, name, **flags)
    return {}


def _faults(exchange: Exchange, faults: list[dict[str, Any]], clear: bool = False) -> Any:
    if clear:
        exchange.script.clear()
    exchange.script.load(faults)
    return {}


def _offset(exchange: Exchange, seconds: float) -> Any:
    exchange.clock.offset_seconds = seconds
    return _state(exchange)


def _advance(exchange: Exchange, seconds: float) -> Any:
    exchange.advance(seconds)
    return _state(exchange)


def _release(exchange: Exchange) -> Any:
    exchange.release()
    return _state(exchange)


def _engine_delay(exchange: Exchange, seconds: float) -> Any:
    exchange.engine_delay_seconds = seconds
    return {}


def _pin(exchange: Exchange, venue: str, symbol: str, price: str | None) -> Any:
    exchange.pin_price(venue, symbol, None if price is None else Decimal(price))
    return {}


def _deposit(exchange: Exchange, venue: str, asset: str, amount: str) -> Any:
    exchange.deposit(venue, asset, Decimal(amount))
    return {}


def _act(exchange: Exchange, venue: str, name: str, **arguments: Any) -> Any:
    """What happened, if it is an order, some orders or a movement, as the truth tells it."""
    result = exchange.act(venue, name, **from_text(arguments))
    told = result if isinstance(result, list) else [result]
    return {"result": [one.truth() for one in told if hasattr(one, "truth")]}


def _orders_per_client_id(exchange: Exchange) -> Any:
    exchange.run_due()
    return exchange.audit.orders_per_client_id()


ORDERS: dict[str, Callable[..., Any]] = {
    "state": _state,
    "audit": _audit,
    "orders_per_client_id": _orders_per_client_id,
    "truth": lambda exchange, venue: exchange.truth(venue),
    "add_key": _add_key,
    "change_key": _change_key,
    "faults": _faults,
    "offset": _offset,
    "advance": _advance,
    "release": _release,
    "engine_delay": _engine_delay,
    "pin_price": _pin,
    "deposit": _deposit,
    "act": _act,
}
