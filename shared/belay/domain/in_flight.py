"""What may be moving a balance beyond what is counted: orders and trades, by what each of them can touch.

An order that the venue shows, with as much filled as is counted, has moved nothing that is not known, however long it
rests: two readings that are equal show that it did not move meanwhile.
"""

from collections.abc import Iterator

from belay.domain.account import Account
from belay.domain.documents import AccountDocument
from belay.domain.orders import NEVER_SENT
from belay.domain.reconciliation import LedgerView, VenueView, filling
from belay.domain.venues import VenueTrade


def unsettled(ledger: LedgerView) -> tuple[str, ...]:
    """The ids of the orders that were sent and of which something may still come."""
    sent = (key for key, order in ledger.orders.items() if not order.settled and order.state not in NEVER_SENT)
    return tuple(sorted({*sent, *ledger.account.reservations}))


def in_flight(ledger: LedgerView, venue: VenueView, asset: str) -> str | None:
    """The first order that may have moved this asset by what is not counted."""
    ours = tuple(trade for trade in ledger.uncounted(venue.trades) if ledger.owner(trade) is not None)
    beyond = filling(ledger, venue, ours)
    for order_id, symbol in _symbols(ledger):
        order = ledger.orders.get(order_id)
        known = order is not None and order.explained and not order.estimated and beyond.get(order_id) == 0
        if not known and touches(symbol, asset, ledger.account, ledger.document):
            return order_id
    return None


def uncounted(ledger: LedgerView, venue: VenueView, asset: str) -> VenueTrade | None:
    """The first trade that is not counted, and moved this asset, or may have by its true fee."""

    def moved(trade: VenueTrade) -> bool:
        owes = trade.estimated and touches(trade.symbol, asset, ledger.account, ledger.document)
        return owes or asset in trade.asset_changes()

    return next(filter(moved, ledger.uncounted(venue.trades)), None)


def touches(symbol: str, asset: str, account: Account, document: AccountDocument) -> bool:
    """Whether what happens in a symbol may move an asset: its own two, and any that no symbol names, as a fee."""
    return asset in symbol.split("/") or asset not in named(account, document)


def named(account: Account, document: AccountDocument) -> frozenset[str]:
    symbols = {*document.symbols, *account.held_symbols()}
    return frozenset(asset for symbol in symbols for asset in symbol.split("/"))


def _symbols(ledger: LedgerView) -> Iterator[tuple[str, str]]:
    for order_id in unsettled(ledger):
        order = ledger.orders.get(order_id)
        yield order_id, order.symbol if order else ledger.account.reservations[order_id].symbol
