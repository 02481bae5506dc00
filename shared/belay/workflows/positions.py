"""Positions that cannot be: strategies have more of an asset than there should be, or one has less than nothing.

Tells what the ledger knows of the reason, since what passes is not to be written off. Asks no venue but for what is too
little to be sold.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from belay.domain.flows import Flow, FlowKind
from belay.domain.incidents import WITHIN_A_DAY, IncidentKind
from belay.domain.reconciliation import Mismatch, compared
from belay.domain.record import ZERO, base_asset, plain
from belay.domain.venues import VenueTrade
from belay.domain.write_off import oversold, short_symbols
from belay.workflows.session import Session
from belay.workflows.views import Views

LATEST = 100  # flows, and fills, among which a reason is looked for
PASSES_IN = timedelta(days=1)
WRITE_OFF = 'belay write-off {symbol} --strategy {strategy} --reason "…".'
# What went by these may come back, which is waited for: a day.
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


class Part(NamedTuple):
    """A part of what is told: what should be, what is, and what to do."""

    expected: str
    actual: str
    action: str


def _astray(session: Session, views: Views, symbol: str, lacking: Decimal, sold: dict[str, Decimal]) -> Mismatch:
    parts = [_oversold(symbol, strategy, quantity) for strategy, quantity in sold.items()]
    if lacking > 0:
        reason = Reason("What was sold too much was another's.") if sold else _reason(session, views, symbol)
        parts.append(_short(views, symbol, lacking, reason))
    return Mismatch(
        kind=IncidentKind.POSITION_MISMATCH,
        subject=symbol,
        symbol=symbol,
        expected="; ".join(dict.fromkeys(part.expected for part in parts)),
        actual="; ".join(part.actual for part in parts),
        action=" ".join(part.action for part in parts),
    )


def _oversold(symbol: str, strategy: str, quantity: Decimal) -> Part:
    return Part(
        expected="no strategy sells more than it has",
        actual=f"{strategy} has sold {plain(quantity)} {base_asset(symbol)} more",
        action=f"{strategy} sold what was another's, or nobody's. If none of its fills is missing (belay fills), make "
        f"it up, with --price for what: {WRITE_OFF.format(symbol=symbol, strategy=strategy)}",
    )


def _short(views: Views, symbol: str, lacking: Decimal, reason: "Reason") -> Part:
    account, asset = views.ledger.account, base_asset(symbol)
    gone = "If it has not come back within a day" if reason.passes else "If they are gone for good"
    return Part(
        expected=f"at most the {plain(account.expected(asset))} {asset} that the account should have"
        f"{WITHIN_A_DAY if reason.passes else ''}",
        actual=f"strategies hold {plain(account.owned(asset))} {asset}, {plain(lacking)} more",
        action=f"{reason.told} {gone}, say whose they were, and with --price what they brought: "
        f"{WRITE_OFF.format(symbol=symbol, strategy='STRATEGY')}",
    )


# --- why an asset is short -------------------------------------------------------------------------------------------


class Reason(NamedTuple):
    """`passes`: it may be over within a day."""

    told: str
    passes: bool = False


def _reason(session: Session, views: Views, symbol: str) -> Reason:
    """What is known to have taken some of an asset besides orders in it, and what may yet prove that it is there."""
    asset = base_asset(symbol)
    if any(views.ledger.owner(trade) is None for trade in _uncounted(views, asset)):
        return Reason("First say whose the trades are that wait for their order: belay trades list.")
    difference = compared(views.ledger, views.venue).get(asset)
    if difference is not None and difference.residual > 0 and not difference.explained:
        return Reason(
            f"First find out whose the {plain(difference.residual)} {asset} are that the venue has beyond that."
        )
    known = "Coins of a strategy left otherwise than by its orders: belay flows."
    last, fees = _last_to_leave(session, asset), _fees_elsewhere(session, asset)
    if last is not None:
        known += f" The last: {last.kind} of {plain(-last.amounts[asset])} {asset}, {last.at:%FT%TZ}."
    if last is not None and last.kind in PASSING and views.venue.time < last.at + PASSES_IN:
        return Reason(f"{known} {PASSING[last.kind]}", passes=True)
    if fees > 0:
        known += (
            f" Fees of orders in other symbols took {plain(fees)} {asset} of late. Keep some {asset} there that is no "
            "strategy's, a deposit is enough and ends this, or have the venue take fees otherwise; else they go on "
            "taking a strategy's."
        )
    return Reason(known)


def _uncounted(views: Views, asset: str) -> list[VenueTrade]:
    return [trade for trade in views.ledger.uncounted(views.venue.trades) if asset in trade.symbol.split("/")]


def _last_to_leave(session: Session, asset: str) -> Flow | None:
    flows = session.services.ledger.flows(session.document.account, LATEST)
    return max((flow for flow in flows if flow.amounts.get(asset, ZERO) < 0), key=lambda flow: flow.at, default=None)


def _fees_elsewhere(session: Session, asset: str) -> Decimal:
    fills = session.services.ledger.fills(session.document.account, LATEST)
    elsewhere = (fill.trade for fill in fills if asset not in fill.trade.symbol.split("/"))
    return sum((trade.fees.get(asset, ZERO) for trade in elsewhere), ZERO)
