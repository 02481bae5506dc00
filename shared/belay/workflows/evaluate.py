"""A tick becomes one stored decision, and its order ids become messages. Sends no order, holds no trading key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from pydantic import ValidationError

from belay.domain.account import Account
from belay.domain.decisions import BY_PEOPLE, Cancel, DecisionRecord, Hold, Trade, leg_order_ids
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import BelayError, InvalidInput, VenueUnavailable, WrittenByLater
from belay.domain.market import Candle, check_candles
from belay.domain.orders import Order, OrderState, created_event, created_orders
from belay.domain.record import ZERO
from belay.domain.slots import TIMEFRAMES, Slot, Tick
from belay.domain.strategy import MarketState, State, Strategy, StrategyParameters
from belay.ports import Clock, MarketData, Services
from belay.workflows.integrity import beyond

POLL_SECONDS = 1
EARLIEST = timedelta(seconds=60)
LoadStrategy = Callable[[str], Strategy[Any]]


class StrategyFailed(BelayError):
    """The user's code raised something, or answered what is not an answer."""


@dataclass(frozen=True)
class Evaluation:
    """What was decided and from what: `now` in venue time, `market_time` the close of the last candle used."""

    decision: Hold | Trade
    now: datetime
    market_time: datetime | None = None
    assumed_cost: Decimal = ZERO
    configuration_version: int | None = None


def evaluate(tick: Tick, services: Services, load: LoadStrategy) -> DecisionRecord:
    """Decide once for the tick's slot and publish the stored decision.

    A repeated tick publishes what is stored, whatever it would decide now. Bad parameters, late ticks, missing
    candles and failing strategies are stored as holds with their reason.

    Returns:
        The stored decision.

    Raises:
        InvalidInput: the scheduled time has not come; its slot is left to the tick that comes then.
    """
    slot = Slot.of(tick, services.stage)
    stored = services.ledger.decision(slot.decision_id)
    if stored is None:
        configuration = services.ledger.configuration(tick.account)
        _require_due(tick, configuration, services)
        services.ledger.register_schedule(tick)  # before anything can fail, so that the slot is missed if it does
        made = _evaluate(slot, tick, configuration, services, load)
        try:
            stored = _store(slot, tick, made, services)
        except WrittenByLater as error:
            raise InvalidInput("tick.scheduled_time", str(error), "Deploy that version again for this slot.") from None
    _publish(stored, services)
    return stored


def _require_due(tick: Tick, configuration: Configuration | None, services: Services) -> None:
    """A decision made ahead of time would use up the slot; two clocks may differ by a little."""
    try:
        clock = services.venues.clock(configuration.document) if configuration else services.clock
        now = clock.now()
    except (VenueUnavailable, InvalidInput):
        return  # evaluating the slot meets the same problem, and records it
    if tick.scheduled_time > now + EARLIEST:
        problem = f"{tick.scheduled_time:%FT%TZ} has not come, it is {now:%FT%TZ}"
        raise InvalidInput("tick.scheduled_time", problem, "Send a tick when its time has come.")


def _store(slot: Slot, tick: Tick, made: Evaluation, services: Services) -> DecisionRecord:
    legs = made.decision.legs if isinstance(made.decision, Trade) else ()
    record = DecisionRecord(
        decision_id=slot.decision_id,
        slot=slot,
        algorithm=tick.algorithm,
        parameters=tick.parameters,
        decision=made.decision,
        order_ids=leg_order_ids(slot, legs),
        market_time=made.market_time,
        decided_at=made.now,
        recorded_at=services.clock.now(),
        configuration_version=made.configuration_version,
        layer_version=services.layer_version,
        write_id=services.new_id(),
    )
    expires_at = slot.candle_close + timedelta(seconds=tick.order_expiry_seconds)
    orders = created_orders(record, expires_at, made.assumed_cost)
    return services.ledger.record_decision(record, orders, tuple(created_event(order, record) for order in orders))


def _publish(stored: DecisionRecord, services: Services) -> None:
    for order_id in stored.order_ids if stored.understood else ():
        order = services.ledger.order(order_id) if order_id else None
        if order is not None and order.understood and order.state is OrderState.CREATED:
            services.queue.publish_intent(order)


def _evaluate(
    slot: Slot, tick: Tick, configuration: Configuration | None, services: Services, load: LoadStrategy
) -> Evaluation:
    now = services.clock.now()
    if configuration is None:
        return Evaluation(_hold("account_not_configured", f"store a document for account {tick.account}"), now)
    document = configuration.document
    try:
        market_data = services.venues.market_data(document)
        patience = _patience(tick, document, services)
        now = patience.ask(market_data.time)
        made = _evaluate_at(now, slot, tick, configuration, market_data, patience, services, load)
    except VenueUnavailable as error:
        made = Evaluation(_hold("market_data_unavailable", str(error)), now)
    except InvalidInput as error:
        made = Evaluation(_hold("invalid_input", str(error)), now)
    except StrategyFailed as error:
        made = Evaluation(_hold("strategy_error", str(error)), now)
    return Evaluation(made.decision, made.now, made.market_time, made.assumed_cost, configuration.version)


def _evaluate_at(
    now: datetime,
    slot: Slot,
    tick: Tick,
    configuration: Configuration,
    market_data: MarketData,
    patience: "Patience",
    services: Services,
    load: LoadStrategy,
) -> Evaluation:
    document = configuration.document
    if now - tick.scheduled_time > timedelta(seconds=tick.max_lateness_seconds):
        return Evaluation(_hold("late_tick", f"scheduled {tick.scheduled_time:%FT%TZ}, seen {now:%FT%TZ}"), now)
    if tick.algorithm in BY_PEOPLE:
        raise InvalidInput("tick.algorithm", f"{tick.algorithm} is what people do", "Give the strategy another name.")
    strategy = _asked(lambda: load(tick.algorithm))
    parameters = _asked(lambda: _parameters(strategy, tick))
    symbols = _asked(lambda: tuple(strategy.symbols(slot, parameters)))
    if unknown := [symbol for symbol in (slot.symbol, *symbols) if symbol not in document.symbols]:
        listed = ", ".join(document.symbols)
        return Evaluation(_hold("unknown_symbol", f"{unknown[0]} is not one of the account's symbols: {listed}"), now)
    account = services.ledger.account(tick.account)
    if later := beyond(account, configuration):
        return Evaluation(_hold("later_version", later), now)
    needed = _asked(lambda: int(strategy.candles_needed(parameters)))
    markets = {}
    for symbol in symbols:
        read = partial(market_data.candles, symbol, slot.timeframe, slot.candle_close, needed)
        candles = patience.ask(read, lambda found: bool(found) and found[-1].open_time >= slot.candle_open)
        if problem := _unusable(candles, slot, document, now):
            return Evaluation(problem, now)
        markets[symbol] = MarketState(
            candles=candles,
            market=patience.ask(partial(market_data.market, symbol)),
            position=account.position(tick.strategy, symbol),
        )
    state: State[Any] = State(
        slot=slot,
        parameters=parameters,
        now=now,
        markets=markets,
        open_orders=_own_open_orders(account, tick, services),
        limits=document.limits,
    )
    return Evaluation(_decide(strategy, state, document), now, slot.candle_close, parameters.assumed_cost)


def _own_open_orders(account: Account, tick: Tick, services: Services) -> tuple[Order, ...]:
    return tuple(order for order in services.ledger.open_orders(account.account) if order.strategy == tick.strategy)


@dataclass
class Patience:
    """How long one tick may wait for the market in all: `polls` more, and not past `until` on the function's clock.

    Both, since waiting does not move a replay's clock, and a slow answer is no poll.
    """

    function_clock: Clock
    account_clock: Clock
    until: datetime
    polls: int

    def ask[T](self, read: Callable[[], T], enough: Callable[[T], bool] = lambda _: True) -> T:
        """Read again while it fails or is not enough; then give what there is, or raise VenueUnavailable."""
        while True:
            last = self.polls <= 0 or self.function_clock.now() >= self.until
            try:
                found = read()
            except VenueUnavailable:
                if last:
                    raise
            else:
                if last or enough(found):
                    return found
            self.account_clock.sleep(POLL_SECONDS)
            self.polls -= 1


def _patience(tick: Tick, document: AccountDocument, services: Services) -> Patience:
    return Patience(
        function_clock=services.clock,
        account_clock=services.venues.clock(document),
        until=services.clock.now() + timedelta(seconds=tick.candle_wait_seconds),
        polls=tick.candle_wait_seconds // POLL_SECONDS,
    )


def _unusable(candles: tuple[Candle, ...], slot: Slot, document: AccountDocument, now: datetime) -> Hold | None:
    try:
        check_candles(candles, slot.timeframe)
    except InvalidInput as error:
        return _hold("bad_candles", str(error))
    last = candles[-1]
    if last.open_time == slot.candle_open:
        return None
    age = (now - last.open_time - TIMEFRAMES[slot.timeframe]).total_seconds()
    bound = document.limits.max_input_age_seconds
    reason = "stale_candles" if bound is not None and age > bound else "candle_not_published"
    return _hold(reason, f"the last candle opened {last.open_time:%FT%TZ}, the slot's opens {slot.candle_open:%FT%TZ}")


def _asked[T](question: Callable[[], T]) -> T:
    """A strategy is the user's code: whatever it raises becomes a recorded hold, never a lost tick."""
    try:
        return question()
    except InvalidInput:
        raise
    except Exception as error:
        raise StrategyFailed(f"{type(error).__name__}: {error}") from error


def _parameters(strategy: Strategy[Any], tick: Tick) -> StrategyParameters:
    try:
        parameters: StrategyParameters = strategy.Parameters.model_validate(tick.parameters)
    except ValidationError as error:
        raise InvalidInput.from_validation("tick.parameters", error, "Correct the schedule's parameters.") from None
    return parameters


def _decide(strategy: Strategy[Any], state: State[Any], document: AccountDocument) -> Hold | Trade:
    decision: object = _asked(lambda: strategy.decide(state))
    if isinstance(decision, Hold):
        return decision
    if not isinstance(decision, Trade):
        raise StrategyFailed(f"decide returned {type(decision).__name__}, neither a Hold nor a Trade")
    own = {order.order_id for order in state.open_orders}
    for leg in decision.legs:
        if isinstance(leg, Cancel):
            if leg.order_id not in own:
                return _hold("strategy_error", f"cancel of {leg.order_id}, which is not an open order of this strategy")
        elif leg.symbol not in document.symbols:
            return _hold("unknown_symbol", f"{leg.symbol} is not one of the account's symbols")
    return decision


def _hold(reason: str, detail: str) -> Hold:
    return Hold(reason=reason, detail=detail)
