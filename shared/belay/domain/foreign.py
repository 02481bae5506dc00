"""Trades of no order: what a person says of them, and what stands against it. Asks nobody, moves nothing."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Self

from pydantic import Field, ValidationError, model_validator

from belay.domain.account import Account, summed
from belay.domain.decisions import Side
from belay.domain.errors import InvalidInput
from belay.domain.flows import Flow, FlowKind
from belay.domain.record import ZERO, Name, Record, Symbol, base_asset, plain
from belay.domain.venues import VenueTrade

LIST = "`belay trades list` shows those that wait."


class TradesRequest(Record):
    """What a person says of trades that no order explains; nothing at all asks which there are.

    `attribute`: that trade is `strategy`'s, and moves its position. `foreign`: those trades, or all of a `symbol`, are
    nobody's here. A trade is named by its key, or by its id where only one bears it. `new_strategy`: it has no tick
    yet.
    """

    attribute: str | None = None
    strategy: Name | None = None
    new_strategy: bool = False
    foreign: tuple[str, ...] = ()
    symbol: Symbol | None = None
    reason: str = Field(default="", max_length=500)
    author: str = Field(default="operator", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _is_one_wish(self) -> Self:
        if (self.attribute is None) != (self.strategy is None):
            raise ValueError("give a trade and the strategy that it is given to together")
        if sum((self.attribute is not None, bool(self.foreign), self.symbol is not None)) > 1:
            raise ValueError("give one of: a trade for a strategy, foreign trades, a symbol whose trades are foreign")
        if self.wants_something and not self.reason.strip():
            raise ValueError("give a reason: it is kept")
        return self

    @property
    def wants_something(self) -> bool:
        return self.attribute is not None or bool(self.foreign) or self.symbol is not None

    @classmethod
    def parse(cls, wish: object) -> "TradesRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("trades", error, "See `belay trades --help`.") from None


def named(name: str, trades: Iterable[VenueTrade]) -> VenueTrade | None:
    """The trade of this key, or the only one that bears this id.

    Raises:
        InvalidInput: several bear it.
    """
    known = tuple(trades)
    found = [trade for trade in known if trade.key == name] or [trade for trade in known if trade.trade_id == name]
    if len(found) > 1:
        raise InvalidInput("trades.trade", f"{len(found)} trades have the id {name}", "Name one by its whole key.")
    return found[0] if found else None


def flow_of(trade: VenueTrade, request: TradesRequest, account: Account, recorded_at: datetime) -> Flow:
    """The trade as a flow: it is known by the trade's own key, so that it counts once, whenever it is read again. What
    of it was in a balance when that was taken as it was, is left out."""
    taken = account.already_in(trade)
    return Flow(
        account=account.account,
        flow_id=trade.key,
        kind=FlowKind.TRADE,
        amounts={asset: change for asset, change in trade.asset_changes().items() if asset not in taken},
        at=trade.at,
        recorded_at=recorded_at,
        author=request.author,
        evidence=request.reason,
        strategy=request.strategy,
        trade=trade,
    )


def back_id(key: str) -> str:
    """The id of the flow that takes a trade back."""
    return f"{key}|ours"


def fee_id(key: str) -> str:
    """The id of the flow that corrects the estimated fee of a trade."""
    return f"{key}|fee"


def fee_corrected(account: Account, flow: Flow, fees: Mapping[str, Decimal], recorded_at: datetime) -> Flow | None:
    """What puts the true fee of a trade that counts as a flow in place of its estimate; None where it has been, or
    where the trade is a fill by now."""
    trade = flow.trade
    if trade is None or flow.flow_id not in account.owing:
        return None
    changes = _fee_changes(trade, fees)
    return Flow(
        account=account.account,
        flow_id=fee_id(flow.flow_id),
        kind=FlowKind.TRADE,
        amounts={asset: change for asset, change in changes.items() if not account.has_taken(asset, trade.at)},
        at=trade.at,
        recorded_at=recorded_at,
        author="belay",
        evidence=f"the venue's ledger tells the fee of trade {trade.trade_id}",
        strategy=flow.strategy,
        trade=trade,
        true_fees=dict(fees),
    )


def fee_taken_back(
    account: Account, trade: VenueTrade, fees: Mapping[str, Decimal], order_id: str, recorded_at: datetime
) -> Flow | None:
    """What keeps the correction of a fill's fee from counting where it counts already; None where it does not.

    A balance that was taken as it was holds every trade until then with its true fee, whether the fill was counted by
    then (the rebase took what the estimate was off by) or came later (it was taken back with its estimate). So in an
    asset that was taken since the trade, a correction moves nothing: this flow takes back what the fill gains by it.
    """
    changes = _fee_changes(trade, fees)
    back = {asset: -change for asset, change in changes.items() if account.has_taken(asset, trade.at)}
    if not back:
        return None
    return Flow(
        account=account.account,
        flow_id=back_id(fee_id(trade.key)),
        kind=FlowKind.TRADE,
        amounts=back,
        at=trade.at,
        recorded_at=recorded_at,
        author="belay",
        evidence=f"the fee of a fill of order {order_id}; the balance of {', '.join(sorted(back))} was taken with it",
        trade=trade,
        fill_of=order_id,
    )


def _fee_changes(trade: VenueTrade, fees: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """By asset, what a trade moved by its true fees beyond what it moved by the estimated ones."""
    before, after = trade.asset_changes(), trade.costing(fees).asset_changes()
    changes = {asset: after.get(asset, ZERO) - before.get(asset, ZERO) for asset in {**before, **after}}
    return {asset: change for asset, change in changes.items() if change}


def taken_back(
    account: Account,
    flow: Flow | None,
    trade: VenueTrade,
    order_id: str,
    recorded_at: datetime,
    corrected: Flow | None = None,
    instead_of: Iterable[VenueTrade] = (),
) -> Flow | None:
    """What takes back what `trade` was counted as, before it counts as a fill of an order: as a flow, or in a balance
    that was taken as it was. None where it was nothing.

    Args:
        instead_of: fills that it will take the place of. What of one was in a balance that was taken as it was had been
            taken back, or left out of what that balance was off by: that has to be counted again.
        flow: the trade as a person spoke of it.
        corrected: what corrected its fee since, if anything did.
    """
    back = dict(account.already_in(trade)) if flow is None else {**trade.asset_changes(), **flow.amounts}
    spoken_of = trade if flow is None else flow.trade
    if corrected is not None and corrected.true_fees is not None and spoken_of is not None:
        back, spoken_of = summed(back, corrected.amounts), spoken_of.costing(corrected.true_fees)
    for one in instead_of:
        back = summed(back, {asset: -change for asset, change in account.already_in(one).items()})
    back = {asset: amount for asset, amount in back.items() if amount or flow is not None}
    if not back:
        return None
    return Flow(
        account=account.account,
        flow_id=back_id(trade.key),
        kind=FlowKind.TRADE,
        amounts={asset: -amount for asset, amount in back.items()},
        at=trade.at,
        recorded_at=recorded_at,
        author="belay",
        evidence=f"a fill of order {order_id}; {_counted_as(flow, back)}",
        strategy=flow.strategy if flow else None,
        trade=spoken_of,
        fill_of=order_id,
    )


def _counted_as(flow: Flow | None, amounts: Iterable[str]) -> str:
    if flow is None:
        return f"the balance of {', '.join(sorted(amounts))} was taken with it"
    return f"{flow.author} had {f'given it to {flow.strategy}' if flow.strategy else 'called it foreign'}"


def require_owned(account: Account, flow: Flow, is_dust: Callable[[Decimal], bool]) -> None:
    """A strategy cannot have sold what it does not have, nor have what is not there: that is somebody else's.

    Args:
        flow: the trade as it would be counted.
        is_dust: whether so much of the symbol is too little to be sold.

    Raises:
        InvalidInput: it sells more than the strategy could, or strategies would have more than there should be.
    """
    strategy, trade = flow.strategy, flow.trade
    if strategy is None or trade is None:
        return
    if trade.side is Side.BUY:
        _require_there(account.with_flow(flow), base_asset(trade.symbol), is_dust)
        return
    left = account.left_to_sell(strategy, trade.symbol)
    if trade.quantity > left:
        problem = f"the trade sells {trade.quantity} {trade.symbol}, {strategy} has {left} to sell"
        raise InvalidInput("trades.strategy", problem, "Give it to the strategy that sold, or call it foreign.")


def _require_there(after: Account, asset: str, is_dust: Callable[[Decimal], bool]) -> None:
    short = after.short(asset)
    if short > 0 and not is_dust(short):
        owned, expected = plain(after.owned(asset)), plain(after.expected(asset))
        problem = f"with it strategies would have {owned} {asset}, and the account should have {expected}"
        remedy = f"Call it foreign; what of it is still there can be adopted. If the {asset} of a strategy are gone: "
        raise InvalidInput("trades.strategy", problem, f"{remedy}belay write-off takes them first.")
