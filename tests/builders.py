"""Sample domain values with sensible defaults, so that a test names only what it is about. Holds no rule.

The world of the samples: account `paper`, strategy `ema-cross`, BTC/USD hourly candles, one buy of 0.1 BTC.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from belay.domain.account import Account, OperatorStops, Reservation, Stop, StopLevel
from belay.domain.decisions import (
    Buy,
    Cancel,
    DecisionRecord,
    Hold,
    Reduce,
    Sell,
    Side,
    TimeInForce,
    Trade,
    leg_order_ids,
)
from belay.domain.documents import AccountDocument, Configuration, Limits, PaperSettings
from belay.domain.flows import Flow, FlowKind
from belay.domain.incidents import Incident, IncidentEntry, IncidentKind
from belay.domain.market import Candle, Market, Price
from belay.domain.orders import Order, OrderEvent, created_event, created_orders
from belay.domain.proofs import Proof
from belay.domain.record import Positive
from belay.domain.risk import Situation
from belay.domain.slots import TIMEFRAMES, Slot, Tick
from belay.domain.transitions import Change, Requirement, Stamp, claim
from belay.domain.venues import Balances, OrderRequest, VenueOrder, VenueStatus, VenueTrade

STAGE = "dev"
ACCOUNT = "paper"
STRATEGY = "ema-cross"
SYMBOL = "BTC/USD"
VENUE = "paper"
NOW = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
PRICE = Decimal(10000)
QUANTITY = Decimal("0.1")
FINGERPRINT = "f00dfeedf00dfeed"

Leg = Buy | Sell | Reduce | Cancel


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


# --- ticks, slots, market -------------------------------------------------------------------------


def make_tick(**changes: Any) -> Tick:
    return Tick(
        **{
            "scheduled_time": NOW,
            "account": ACCOUNT,
            "strategy": STRATEGY,
            "algorithm": "ema_cross",
            "symbol": SYMBOL,
            "timeframe": "1h",
            "parameters": {"fast": 5, "slow": 20, "notional": "1000", "fee": "0.001", "slippage": "0.0005"},
            **changes,
        }
    )


def make_slot(hour: int = 0, **changes: Any) -> Slot:
    """The slot of the candle that closed at NOW, or `hour` hours after it."""
    slot = {
        "stage": STAGE,
        "account": ACCOUNT,
        "strategy": STRATEGY,
        "symbol": SYMBOL,
        "timeframe": "1h",
        "candle_open": NOW + timedelta(hours=hour - 1),
    }
    return Slot(**{**slot, **changes})


def make_market(**changes: Any) -> Market:
    market: dict[str, Any] = {
        "symbol": SYMBOL,
        "quantity_step": "0.0001",
        "price_tick": "0.01",
        "min_quantity": "0.0001",
        "min_notional": "10",
        "taker_fee": "0.001",
        "maker_fee": "0.0005",
    }
    return Market(**{**market, **changes})


def make_candles(closes: list[Any], until: datetime = NOW, timeframe: str = "1h") -> tuple[Candle, ...]:
    """Candles with these closing prices, the last closing at `until`; each opens at the close before it."""
    step = TIMEFRAMES[timeframe]
    prices = [Decimal(str(close)) for close in closes]
    opens = [prices[0], *prices[:-1]]
    return tuple(
        Candle(
            open_time=until - step * (len(prices) - number),
            open=opened,
            high=max(opened, close),
            low=min(opened, close),
            close=close,
            volume=Decimal(100),
        )
        for number, (opened, close) in enumerate(zip(opens, prices, strict=True))
    )


# --- account --------------------------------------------------------------------------------------


def make_limits(**changes: Any) -> Limits:
    limits: dict[str, Any] = {
        "max_order_notional": "2000",
        "max_position_notional": {SYMBOL: "5000"},
        "max_aggregate_exposure": "8000",
        "submissions_per_minute": 10,
        "reserved_exit_submissions": 2,
        "max_price_age_seconds": 60,
        "max_balance_age_seconds": 60,
        "max_input_age_seconds": 600,
        "max_reconciliation_age_seconds": 300,
        "clock_offset_seconds": 5,
    }
    return Limits(**{**limits, **changes})


def make_paper_settings(**changes: Any) -> PaperSettings:
    settings: dict[str, Any] = {
        "balances": {"USD": "10000", "BTC": "0"},
        "taker_fee": "0.001",
        "maker_fee": "0.0005",
        "slippage": "0.0005",
        "participation": "0.1",
        "quantity_step": "0.0001",
        "price_tick": "0.01",
        "min_quantity": "0.0001",
        "min_notional": "10",
        "replay": True,
    }
    return PaperSettings(**{**settings, **changes})


def make_document(**changes: Any) -> AccountDocument:
    document: dict[str, Any] = {
        "account": ACCOUNT,
        "venue": VENUE,
        "mode": "paper",
        "symbols": (SYMBOL,),
        "limits": make_limits(),
        "paper": make_paper_settings(),
    }
    return AccountDocument(**{**document, **changes})


def make_configuration(version: int = 1, **changes: Any) -> Configuration:
    """Version `version` of the account's document; `changes` are to the document."""
    return Configuration(version=version, document=make_document(**changes), author="operator", stored_at=NOW)


def make_account(**changes: Any) -> Account:
    return Account(**{"account": ACCOUNT, **changes})


def make_stop(**changes: Any) -> Stop:
    return Stop(**{"level": StopLevel.HALTED, "reason": "maintenance", "author": "operator", "at": NOW, **changes})


# --- decisions ------------------------------------------------------------------------------------


def make_buy(**changes: Any) -> Buy:
    return Buy(**{"symbol": SYMBOL, "quantity": QUANTITY, "reason": "fast crossed above slow", **changes})


def make_sell(**changes: Any) -> Sell:
    return Sell(**{"symbol": SYMBOL, "quantity": QUANTITY, "reason": "fast crossed below slow", **changes})


def make_hold(slot: Slot | None = None, *, reason: str = "no_cross", **changes: Any) -> DecisionRecord:
    return _decision(slot or make_slot(), Hold(reason=reason), changes)


def make_decision(*legs: Leg, slot: Slot | None = None, **changes: Any) -> DecisionRecord:
    """A decision to trade; without legs, to buy."""
    return _decision(slot or make_slot(), Trade(legs=legs or (make_buy(),)), changes)


def _decision(slot: Slot, decision: Hold | Trade, changes: dict[str, Any]) -> DecisionRecord:
    legs = decision.legs if isinstance(decision, Trade) else ()
    record: dict[str, Any] = {
        "decision_id": slot.decision_id,
        "slot": slot,
        "algorithm": "ema_cross",
        "parameters": {"fast": 5, "slow": 20},
        "decision": decision,
        "order_ids": leg_order_ids(slot, legs),
        "market_time": slot.candle_close,
        "decided_at": slot.candle_close + seconds(2),
        "recorded_at": slot.candle_close + seconds(2),
        "configuration_version": 1,
        "layer_version": "layer:1",
        "write_id": f"evaluation-{slot.decision_id}",
    }
    return DecisionRecord(**{**record, **changes})


def make_orders(record: DecisionRecord) -> tuple[Order, ...]:
    """The CREATED orders of a decision."""
    return created_orders(record, record.slot.candle_close + seconds(300), Decimal("0.0015"))


def make_events(record: DecisionRecord, orders: tuple[Order, ...]) -> tuple[OrderEvent, ...]:
    return tuple(created_event(order, record) for order in orders)


# --- orders ---------------------------------------------------------------------------------------


def make_order(record: DecisionRecord | None = None, **changes: Any) -> Order:
    """The first order of a decision, CREATED; validated again after `changes`."""
    order = make_orders(record or make_decision())[0]
    return Order.model_validate({**order.model_dump(), **changes})


def make_stamp(write_id: str = "write-1", **changes: Any) -> Stamp:
    return Stamp(
        **{
            "write_id": write_id,
            "exchange_time": NOW + seconds(3),
            "recorded_at": NOW + seconds(3),
            **changes,
        }
    )


def make_request(order: Order, **changes: Any) -> OrderRequest:
    request: dict[str, Any] = {
        "client_order_id": order.order_id,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": order.quantity or QUANTITY,
        "limit_price": order.limit_price,
        "time_in_force": TimeInForce.GTC,
        "claimed_at": NOW + seconds(3),
        "fence_at": NOW + seconds(13),
    }
    return OrderRequest(**{**request, **changes})


def make_requirement(**changes: Any) -> Requirement:
    """What a claim requires by default: the first configuration, and no proof."""
    requirement: dict[str, Any] = {
        "configuration_version": 1,
        "stops_version": 0,
        "proof_fingerprint": None,
        "proof_completed_at": None,
    }
    return Requirement(**{**requirement, **changes})


def make_claim(
    order: Order,
    account: Account | None = None,
    *,
    write_id: str = "claim-1",
    requirement: Requirement | None = None,
    price: Positive = PRICE,
) -> Change:
    """The change that gives `write_id` the right to send."""
    return claim(
        order,
        account or make_account(account=order.account),
        make_request(order),
        price,
        requirement or make_requirement(),
        make_stamp(write_id),
        {"limits": []},
    )


# --- venue ----------------------------------------------------------------------------------------


def make_venue_order(order: Order | None = None, **changes: Any) -> VenueOrder:
    order = order or make_order()
    seen: dict[str, Any] = {
        "venue_order_id": "V1",
        "client_order_id": order.order_id,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": order.quantity or QUANTITY,
        "limit_price": order.limit_price,
        "filled_quantity": "0",
        "status": VenueStatus.OPEN,
        "updated_at": NOW + seconds(4),
    }
    return VenueOrder(**{**seen, **changes})


def make_trade(trade_id: str = "T1", **changes: Any) -> VenueTrade:
    """A trade at the venue that fills the sample order in full."""
    trade: dict[str, Any] = {
        "venue": VENUE,
        "symbol": SYMBOL,
        "venue_order_id": "V1",
        "side": Side.BUY,
        "trade_id": trade_id,
        "quantity": QUANTITY,
        "price": PRICE,
        "fees": {"USD": "1"},
        "at": NOW + seconds(5),
    }
    return VenueTrade(**{**trade, **changes})


# --- reconciliation -------------------------------------------------------------------------------


def make_flow(flow_id: str = "deposit:1", **amounts: str) -> Flow:
    """A deposit of 100 USD, or whatever amounts are given."""
    return Flow(
        account=ACCOUNT,
        flow_id=flow_id,
        kind=FlowKind.DEPOSIT,
        amounts={asset: Decimal(amount) for asset, amount in (amounts or {"USD": "100"}).items()},
        at=NOW,
        recorded_at=NOW,
        author="belay",
        evidence="deposit 1, status 1",
    )


def make_proof(run_id: str = "run-1", **changes: Any) -> Proof:
    proof: dict[str, Any] = {
        "account": ACCOUNT,
        "fingerprint": FINGERPRINT,
        "run_id": run_id,
        "started_at": NOW,
        "completed_at": NOW + seconds(1),
        "account_version": 0,
        "open_orders": 0,
        "trades_read": 0,
        "residuals": {"USD": "0"},
    }
    return Proof(**{**proof, **changes})


def make_incident(**changes: Any) -> Incident:
    incident: dict[str, Any] = {
        "account": ACCOUNT,
        "kind": IncidentKind.BALANCE_MISMATCH,
        "subject": "USD",
        "expected": "10000 USD",
        "actual": "9990 USD",
        "action": "Find the withdrawal that explains the difference.",
        "opened_at": NOW,
    }
    return Incident(**{**incident, **changes})


def make_entry(**changes: Any) -> IncidentEntry:
    """The line that says that the sample incident was opened."""
    entry: dict[str, Any] = {
        "account": ACCOUNT,
        "incident_id": make_incident().incident_id,
        "at": NOW,
        "what": "opened",
        "author": "belay",
        "reason": "expected 10000 USD, found 9990 USD",
    }
    return IncidentEntry(**{**entry, **changes})


# --- risk -----------------------------------------------------------------------------------------


def make_situation(**changes: Any) -> Situation:
    """Everything fresh, the switch on, the gate open, 10000 USD and 1 BTC at the venue, nothing else there."""
    situation: dict[str, Any] = {
        "now": NOW + seconds(3),
        "offset_seconds": "0",
        "switch": StopLevel.RUNNING,
        "switch_reason": "",
        "stops": OperatorStops(account=ACCOUNT),
        "flaw": "",
        "accepted": False,
        "market": make_market(),
        "prices": {SYMBOL: Price(value=PRICE, at=NOW + seconds(3))},
        "balances": Balances(total={"USD": Decimal(10000), "BTC": Decimal(1)}, at=NOW + seconds(3)),
        "venue_orders": (),
        "proof": make_proof(),
    }
    return Situation(**{**situation, **changes})


def make_reservation(order_id: str = "r1", **changes: Any) -> Reservation:
    """What a buy of 0.1 BTC at 10000 that the venue has acknowledged still holds."""
    reservation: dict[str, Any] = {
        "order_id": order_id,
        "strategy": STRATEGY,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "reducing": False,
        "quantity": QUANTITY,
        "price": PRICE,
        "cost_rate": "0",
        "unresolved": False,
    }
    return Reservation(**{**reservation, **changes})
