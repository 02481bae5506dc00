"""Positions that cannot be: strategies have more of an asset than there should be, or one has less than nothing.

Tells what the ledger knows of the reason, since what passes is not to be written off. Asks no venue but for what is too
little to be sold.
"""

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

from belay.domain.flows import Flow, FlowKind
from belay.domain.incidents import IncidentKind
from belay.domain.reconciliation import Mismatch, compared
from belay.domain.record import ZERO, base_asset, plain
from belay.domain.venues import VenueTrade
from belay.domain.write_off import oversold, short_symbols
from belay.workflows.session import Session
from belay.workflows.views import Views

LATEST = 100  # flows, and fills, among which a reason is looked for
WRITE_OFF = 'belay write-off {symbol} --strategy {strategy} --reason "…".'
# What went by these may come back.
PASSING: dict[FlowKind, str] = {
    FlowKind.WITHDRAWAL: "One that fails counts back by itself, and this ends with it.",
    FlowKind.EARN: "Redeem it at the venue, and this ends by itself.",
    FlowKind.TRANSFER: "Bring it back, and this ends by itself.",
}


def positions_astray(session: Session, views: Views) -> Iterator[Mismatch]:
    """One for each symbol, unless it is all too little to be sold."""
    account = views.ledger.account
    sold, short = oversold(account), short_symbols(account)
    for symbol in sorted({*sold, *short}):
        lacking = short.get(symbol, ZERO)
        if _is_dust(session, views, symbol, max(lacking, *sold.get(symbol, {}).values(), ZERO)):
            continue
        yield _astray(session, views, symbol, lacking, sold.get(symbol, {}))


def _is_dust(session: Session, views: Views, symbol: str, quantity: Decimal) -> bool:
    """What cannot be judged is none."""
    price = views.prices.get(symbol)
    with suppress(Exception):
        return price is not None and session.market_data.market(symbol).too_small(quantity, price.value)
    return False


def _astray(session: Session, views: Views, symbol: str, lacking: Decimal, sold: dict[str, Decimal]) -> Mismatch:
    account, asset = views.ledger.account, base_asset(symbol)
    expected, actual, action = [], [], []
    for strategy, quantity in sold.items():
        expected.append("no strategy sells more than it has")
        actual.append(f"{strategy} has sold {plain(quantity)} {asset} more")
        action.append(
            f"{strategy} sold what was another's, or nobody's. If none of its fills is missing (belay fills), make it "
            f"up, with --price for what: {WRITE_OFF.format(symbol=symbol, strategy=strategy)}"
        )
    if lacking > 0:
        expected.append(f"at most the {plain(account.expected(asset))} {asset} that the account should have")
        actual.append(f"strategies hold {plain(account.owned(asset))} {asset}, {plain(lacking)} more")
        action += [
            "What was sold too much was another's."
            if sold
            else f"Coins of a strategy left otherwise than by its orders: belay flows.{_reason(session, views, asset)}",
            "Only if they are gone for good, say whose they were, and with --price what they brought: "
            + WRITE_OFF.format(symbol=symbol, strategy="STRATEGY"),
        ]
    return Mismatch(
        kind=IncidentKind.POSITION_MISMATCH,
        subject=symbol,
        symbol=symbol,
        expected="; ".join(dict.fromkeys(expected)),
        actual="; ".join(actual),
        action=" ".join(action),
    )


def _reason(session: Session, views: Views, asset: str) -> str:
    """What is known to have taken some of an asset, besides orders in it, and what may yet prove that it is there."""
    ledger, name = session.services.ledger, session.document.account
    if any(views.ledger.owner(trade) is None and asset in trade.symbol.split("/") for trade in _waiting(views)):
        return " First say whose the trades are that wait for their order: belay trades list."
    difference = compared(views.ledger, views.venue).get(asset)
    if difference is not None and difference.residual > 0 and not difference.explained:
        return f" First find out whose the {plain(difference.residual)} {asset} are that the venue has beyond that."
    left = [flow for flow in ledger.flows(name, LATEST) if flow.amounts.get(asset, ZERO) < 0]
    told = f" The last to leave: {_told(max(left, key=lambda flow: flow.at), asset)}" if left else ""
    fees = sum(
        (
            fill.trade.fees.get(asset, ZERO)
            for fill in ledger.fills(name, LATEST)
            if asset not in fill.trade.symbol.split("/")
        ),
        ZERO,
    )
    if fees > 0:
        told += (
            f" Fees of orders in other symbols took {plain(fees)} {asset} of late. Keep some {asset} there that is no "
            "strategy's, a deposit is enough and ends this, or have the venue take fees otherwise; else they go on "
            "taking a strategy's."
        )
    return told


def _waiting(views: Views) -> tuple[VenueTrade, ...]:
    return views.ledger.uncounted(views.venue.trades)


def _told(flow: Flow, asset: str) -> str:
    went = f"{flow.kind} of {plain(-flow.amounts[asset])} {asset}, {flow.at:%FT%TZ}."
    return f"{went} {PASSING[flow.kind]}" if flow.kind in PASSING else went
