"""What the account earned, paid and holds: positions, fills, flows, as documents and as rows of CSV. Reads only.

Numbers are `Decimal`s in rows, and plain texts in documents: never in exponent form.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from belay.domain import money
from belay.domain.documents import AccountDocument
from belay.domain.fills import Fill
from belay.domain.flows import Flow
from belay.domain.money import Holding, Mark, Minimum, Worth
from belay.domain.orders import Order
from belay.domain.record import base_asset, iso, plain, quote_asset
from belay.ports import Ledger

type Document = dict[str, Any]

VALUED = 1_000  # fills among which the last price of a symbol is looked for

POSITION_COLUMNS = (
    *("account", "strategy", "symbol", "quantity", "average_cost", "cost", "realised_pnl", "unrealised_pnl", "value"),
    *("price", "price_source", "price_at", "dust"),
)
FILL_COLUMNS = (
    *("at", "recorded_at", "account", "strategy", "symbol", "side", "quantity", "price", "notional"),
    *("base", "base_change", "quote", "quote_change", "fee_assets", "fees", "fees_estimated"),
    *("order_id", "venue", "venue_order_id", "trade_id"),
)
ORDER_COLUMNS = (
    *(
        "created_at",
        "account",
        "strategy",
        "symbol",
        "side",
        "reducing",
        "quantity",
        "notional",
        "limit_price",
        "state",
    ),
    *("settled", "filled_quantity", "filled_notional", "average_price", "fee_assets", "fees"),
    *("order_id", "decision_id", "venue_order_ids", "expires_at", "reason"),
)
FLOW_COLUMNS = ("at", "recorded_at", "account", "kind", "asset", "amount", "strategy", "author", "evidence", "flow_id")


# --- positions -------------------------------------------------------------------------------------------------------


def positions(ledger: Ledger, accounts: Iterable[str]) -> list[Document]:
    """Each account's positions, fees of its latest fills and equity, every value with where its price is from."""
    return [_plain(_books(ledger, name)) for name in accounts]


def position_rows(ledger: Ledger, accounts: Iterable[str]) -> list[Document]:
    return [row for name in accounts for row in _books(ledger, name)["positions"]]


def _books(ledger: Ledger, name: str) -> Document:
    account, configuration = ledger.account(name), ledger.configuration(name)
    proof, fills = ledger.last_proof(name), _counting(ledger, ledger.fills(name, VALUED))
    document = configuration.document if configuration else None
    quote = document.quote if document else ""
    known = money.marks(proof.prices if proof else {}, fills)
    held = money.holdings(account, known, _minimums(document))
    orders = ledger.orders(name, VALUED) if any(fill.trade.estimated for fill in fills) else ()
    return {
        "account": name,
        "quote": quote,
        "positions": [_position(name, holding) for holding in held],
        "fees": {**_worth(money.worth(money.fees(fills, orders), quote, known)), "fills": len(fills)},
        "fees_since": iso(min(fill.trade.at for fill in fills)) if fills else None,
        "equity": _worth(money.equity(account, quote, known)),
    }


def _minimums(document: AccountDocument | None) -> Mapping[str, Minimum]:
    """Of a paper account; those of a live venue are not stored."""
    if document is None or document.paper is None:
        return {}
    smallest = Minimum(quantity=document.paper.min_quantity, notional=document.paper.min_notional)
    return dict.fromkeys(document.symbols, smallest)


def _position(account: str, holding: Holding) -> Document:
    return {"account": account, **holding.model_dump(exclude={"mark"}), **_mark(holding.mark)}


def _mark(mark: Mark | None) -> Document:
    return {
        "price": mark and mark.value,
        "price_source": mark and mark.source.value,
        "price_at": mark and iso(mark.at),
    }


def _worth(worth: Worth) -> Document:
    parts = [{"asset": p.asset, "amount": p.amount, "value": p.value, **_mark(p.mark)} for p in worth.parts]
    return {"quote": worth.quote, "total": worth.total, "parts": parts, "unpriced": list(worth.unpriced)}


# --- fills, orders, flows --------------------------------------------------------------------------------------------


def fills(ledger: Ledger, accounts: Iterable[str], strategy: str | None, limit: int) -> list[Document]:
    """The latest fills, newest first, a row each; changes are signed, fees in it included."""
    found = [fill for name in accounts for fill in ledger.fills(name, limit) if strategy in (None, fill.strategy)]
    found.sort(key=lambda fill: (fill.trade.at, fill.key), reverse=True)
    return [_fill(fill) for fill in _corrected(ledger, _counting(ledger, found)[:limit])]


def _counting(ledger: Ledger, fills: Iterable[Fill]) -> list[Fill]:
    """Without those that a person gave and a true trade has taken the place of."""
    fills = list(fills)
    orders = [ledger.order(order_id) for order_id in {fill.order_id for fill in fills if fill.given}]
    replaced = {key for order in orders if order is not None for key in order.replaced}
    return [fill for fill in fills if fill.key not in replaced]


def _corrected(ledger: Ledger, fills: list[Fill]) -> list[Fill]:
    """The same fills, estimated fees as they were corrected since; a story is read once for each decision."""
    stories = {fill.decision_id: ledger.story(fill.decision_id) for fill in fills if fill.trade.estimated or fill.given}
    events = {decision_id: story.events if story else () for decision_id, story in stories.items()}
    return [money.corrected(fill, events.get(fill.decision_id, ())) for fill in fills]


def _fill(fill: Fill) -> Document:
    trade = fill.trade
    base, quote, changes = base_asset(trade.symbol), quote_asset(trade.symbol), trade.asset_changes()
    return {
        "at": iso(trade.at),
        "recorded_at": iso(fill.recorded_at),
        "account": fill.account,
        "strategy": fill.strategy,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "quantity": trade.quantity,
        "price": trade.price,
        "notional": trade.notional,
        "base": base,
        "base_change": changes[base],
        "quote": quote,
        "quote_change": changes[quote],
        "fees": trade.fees,
        "fees_estimated": trade.estimated,
        "order_id": fill.order_id,
        "venue": trade.venue,
        "venue_order_id": trade.venue_order_id,
        "trade_id": trade.trade_id,
    }


def flows(ledger: Ledger, accounts: Iterable[str], limit: int) -> list[Document]:
    """The latest flows, newest first: what came and went without an order."""
    found = [flow for name in accounts for flow in ledger.flows(name, limit)]
    found.sort(key=lambda flow: (flow.at, flow.flow_id), reverse=True)
    return [_flow(flow) for flow in found[:limit]]


def _flow(flow: Flow) -> Document:
    return {
        "at": iso(flow.at),
        "recorded_at": iso(flow.recorded_at),
        "account": flow.account,
        "flow_id": flow.flow_id,
        "kind": flow.kind.value,
        "amounts": flow.amounts,
        "strategy": flow.strategy,
        "author": flow.author,
        "evidence": flow.evidence,
    }


def flow_rows(documents: Iterable[Document]) -> list[Document]:
    """A row for each asset that a flow moved; one without amounts has one row without an asset."""
    return [
        {**flow, "asset": asset, "amount": amount}
        for flow in documents
        for asset, amount in (flow["amounts"] or {None: None}).items()
    ]


def fee_rows(documents: Iterable[Document]) -> list[Document]:
    """Fees as two cells, in the same order: their assets and their signed amounts, each list divided by semicolons."""
    return [
        {
            **document,
            "fee_assets": ";".join(document["fees"]),
            "fees": ";".join(plain(Decimal(fee)) for fee in document["fees"].values()),
        }
        for document in documents
    ]


def order_row(order: Order) -> Document:
    """An order as a row of CSV, but for its fees."""
    asked = order.attempt.request.quantity if order.attempt else order.quantity
    return {
        "created_at": iso(order.created_at),
        "account": order.account,
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side.value,
        "reducing": order.reducing,
        "quantity": asked,
        "notional": order.notional,
        "limit_price": order.limit_price,
        "state": order.state.value,
        "settled": order.settled,
        "filled_quantity": order.filled_quantity,
        "filled_notional": order.filled_notional,
        "average_price": order.average_price,
        "fees": order.fees,
        "order_id": order.order_id,
        "decision_id": order.decision_id,
        "venue_order_ids": ";".join(order.venue_order_ids),
        "expires_at": iso(order.expires_at),
        "reason": order.reason,
    }


def plained(documents: Iterable[Document]) -> list[Document]:
    """The same with every number as a plain text."""
    return [_plain(document) for document in documents]


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
    return value
