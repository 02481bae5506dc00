"""Whose coins are they? What is nobody's is what the account should have of an asset less what strategies have of it.

Two strategies and an owner in one account of the test venue: the owner withdraws, lends, and sells by hand.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import Account
from belay.domain.decisions import Buy, Reduce
from belay.domain.incidents import Incident, IncidentKind
from belay.domain.money import equity, marks
from belay.domain.record import ZERO
from belay.domain.slots import Tick
from belay.domain.way_back import commands
from belay.workflows.evaluate import evaluate
from tests.real_account.venue import InMemory
from tests.real_account.world import ACCOUNT, COSTS, START, World

D = Decimal
BTC, ETH, XRP = "BTC/USDT", "ETH/USDT", "XRP/USDT"
K = IncidentKind


def opened(**before: str) -> World:
    """An account whose books are open; `before`: what was there by then."""
    place = InMemory("binance", START, seed=1)
    place.act("set_terms", rounded=True)
    for asset, amount in before.items():
        place.act("deposit_from_outside", asset=asset, amount=D(amount))
    world = World(place)
    minutes(world, 2)
    return world


def minutes(world: World, count: int = 3) -> None:
    for _ in range(count):
        world.minute()


def decide(world: World, strategy: str, leg: Any) -> None:
    world.strategy.legs = (leg,)
    named = {"account": ACCOUNT, "strategy": strategy, "algorithm": strategy, "symbol": leg.symbol}
    tick = Tick.model_validate({**named, "timeframe": "1m", "scheduled_time": world.now(), "parameters": COSTS})
    evaluate(tick, world.services("evaluator"), lambda _: world.strategy)
    world.deliver()
    minutes(world, 2)


def buy(world: World, strategy: str, symbol: str = BTC, notional: int = 2000) -> Decimal:
    """What the strategy holds then."""
    decide(world, strategy, Buy(symbol=symbol, notional=D(notional), reason="up"))
    return held(world, strategy, symbol)


def leave(world: World, strategy: str, symbol: str = BTC) -> None:
    decide(world, strategy, Reduce(symbol=symbol, reason="down"))


def account(world: World) -> Account:
    return world.ledger.account(ACCOUNT)


def held(world: World, strategy: str, symbol: str = BTC) -> Decimal:
    return account(world).position(strategy, symbol).quantity


def typed(world: World, *words: str, code: int = 0) -> str:
    done = world.command(*words)
    assert done.exit_code == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def told(world: World, kind: IncidentKind = K.POSITION_MISMATCH) -> Incident:
    (incident,) = [one for one in world.incidents() if one.kind is kind]
    return incident


def kinds(world: World) -> set[IncidentKind]:
    return {one.kind for one in world.incidents()} - {K.MISSED_SLOT}


def adopt(world: World, quantity: str, *, price: str = "59000", code: int = 0) -> str:
    typed(world, "halt", "--scope", "account", "--reason", "adopting")
    wish = ("--strategy", "trend", "--symbol", BTC, "--quantity", quantity, "--price", price, "--new-strategy")
    said = typed(world, "adopt", *wish, code=code)
    typed(world, "release", "--scope", "account", "--reason", "adopted")
    return said


# --- adopting, limits ------------------------------------------------------------------------------------------------


def test_coins_of_the_opening_that_were_withdrawn_cannot_be_adopted_and_sell_nobody_elses() -> None:
    world = opened(BTC="0.05")
    world.place.act("withdraw", asset="BTC", amount=D("0.049"), fee=D("0.001"))
    minutes(world)
    mine = buy(world, "hodl")
    assert "Nothing is left to adopt" in typed(world, "adopt")
    assert "0 BTC are no strategy's" in adopt(world, "all", code=2)
    leave(world, "trend")
    assert held(world, "hodl") == mine
    assert account(world).symbol_quantity(BTC) == mine, "the limits count no more"


def test_coins_that_the_venue_lacks_unexplained_cannot_be_adopted() -> None:
    world = opened(BTC="0.05")
    world.place.books.wallets.balances["BTC"] -= D("0.02")
    said = adopt(world, "all", code=2)
    assert "the account has 0.03 BTC, 0.02 less than it should" in said
    assert account(world).adoptions == ()


def test_a_deposit_counts_in_the_limits_and_can_be_adopted() -> None:
    world = opened()
    world.place.act("deposit_from_outside", asset="BTC", amount=D("0.05"))
    minutes(world, 10)
    assert account(world).symbol_quantity(BTC) == D("0.05")
    assert BTC in account(world).exposed_symbols(world.document)
    adopt(world, "0.03")
    assert held(world, "trend") == D("0.03")
    assert account(world).symbol_quantity(BTC) == D("0.05")


def test_coins_that_come_back_after_a_write_off_can_be_adopted_again() -> None:
    world = opened(BTC="0.05")
    adopt(world, "0.05")
    world.place.act("earn", asset="BTC", amount=D("0.05"), out=False)
    minutes(world, 4)
    typed(world, "write-off", BTC, "--strategy", "trend", "--reason", "thought to be gone")
    world.place.act("earn", asset="BTC", amount=D("0.05"), out=True)
    minutes(world, 4)
    assert "balance  0.05 BTC/USDT" in typed(world, "adopt")
    assert "(already)" not in adopt(world, "0.05")
    assert held(world, "trend") == D("0.05")
    assert "(already)" in adopt(world, "0.05"), "a repetition adopts nothing"
    assert held(world, "trend") == D("0.05")


def test_an_asset_that_enters_the_opening_below_nothing_makes_no_room_in_its_limit() -> None:
    """It was deposited, sold in a market that nobody read, and came into use after that: there is none of it."""
    gone = Account(account=ACCOUNT, opening={"SOL": D(-150)}, external={"SOL": D(150)})
    there = gone.bumped(traded={"SOL": D(30)}).with_position(
        "trend", "SOL/USDT", gone.position("", "").moved(D(30), D(5000))
    )
    assert gone.symbol_quantity("SOL/USDT") == ZERO
    assert there.symbol_quantity("SOL/USDT") == 30
    phantom = Account(account=ACCOUNT, opening={"SOL": D(150)}, external={"SOL": D(-150)})
    assert phantom.symbol_quantity("SOL/USDT") == phantom.unowned("SOL") == ZERO


# --- trades ----------------------------------------------------------------------------------------------------------


def test_a_buy_whose_coins_were_sold_again_is_given_to_no_strategy() -> None:
    world = opened()
    mine = buy(world, "hodl")
    world.place.act("order", symbol=BTC, side="buy", quantity=D("0.03"))
    world.place.advance(5)
    world.place.act("order", symbol=BTC, side="sell", quantity=D("0.0299"))
    minutes(world)
    bought, sold = sorted(world.ledger.unattributed_trades(ACCOUNT), key=lambda trade: trade.at)
    typed(world, "trades", "foreign", sold.key, "--reason", "mine")
    wish = ("--strategy", "trend", "--new-strategy", "--reason", "for trend")
    assert "strategies would have" in typed(world, "trades", "attribute", bought.key, *wish, code=2)
    leave(world, "trend")
    typed(world, "trades", "foreign", bought.key, "--reason", "mine, too")
    minutes(world, 4)
    assert held(world, "hodl") == mine == account(world).expected("BTC") - account(world).unowned("BTC")
    assert kinds(world) == set()


# --- a strategy that sold another's ----------------------------------------------------------------------------------


def oversold() -> World:
    """`trend` sold its coins and 0.2 ETH of `hodl`'s: the owner had changed its order at the venue."""
    world = opened()
    mine = buy(world, "trend", ETH, 1000)
    buy(world, "hodl", ETH, 2000)
    price = world.place.books.prices.at(ETH, world.now()) * D("1.02")
    limit = price.quantize(D("0.01"))
    decide(world, "trend", Reduce(symbol=ETH, limit_price=limit, reason="take profit"))
    (order,) = world.place.books.open()
    quantity = (mine + D("0.2")).quantize(D("0.0001"))
    world.place.act("edit", order_id=order.venue_order_id, symbol=ETH, quantity=quantity)
    minutes(world, 4)
    (open_one,) = world.ledger.open_orders(ACCOUNT)
    typed(world, "resolve", open_one.order_id, "--reason", "changed in the app")
    world.place.pin(ETH, limit + 1)
    minutes(world, 5)
    return world


def test_a_negative_position_hides_no_others_missing_coins_and_has_a_way_back() -> None:
    world = oversold()
    lacking = -held(world, "trend", ETH)
    assert D("0.19") < lacking < D("0.21")
    incident = told(world)
    assert f"trend has sold {lacking.normalize():f} ETH more" in incident.actual
    assert f"{lacking.normalize():f} more" in incident.actual.partition("; ")[2], "that is what hodl lacks"
    trend = account(world).position("trend", ETH)
    said = typed(world, "write-off", ETH, "--strategy", "trend", "--reason", "it was hodl's")
    assert "made up at" in said
    after = account(world).position("trend", ETH)
    assert (after.quantity, after.cost, after.realised_pnl) == (ZERO, ZERO, trend.realised_pnl), "at what it sold for"
    minutes(world, 3)
    assert "trend" not in told(world).actual
    typed(world, "write-off", ETH, "--strategy", "hodl", "--price", "3300", "--reason", "trend sold them")
    minutes(world, 4)
    assert kinds(world) == set()
    assert account(world).owned("ETH") == account(world).expected("ETH")
    mine = buy(world, "trend", ETH, 1000)
    assert mine > 0, "what it buys now is its own"


def test_no_more_is_made_up_than_was_sold_and_at_no_odd_price() -> None:
    world = oversold()
    words = ("write-off", ETH, "--strategy", "trend", "--reason", "x")
    assert "more than it had, no more" in typed(world, *words, "--quantity", "1", code=2)
    assert "a unit is not between" in typed(world, *words, "--price", "33000", code=2)
    assert held(world, "trend", ETH) < 0


# --- a write-off and its price ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["590000", "5900"])
def test_a_price_with_a_digit_too_many_or_too_few_is_refused_with_its_bounds(price: str) -> None:
    world = opened()
    mine = buy(world, "trend")
    world.place.act("withdraw", asset="BTC", amount=D("0.03"), fee=ZERO)
    minutes(world, 4)
    words = ("write-off", BTC, "--strategy", "trend", "--reason", "sold elsewhere", "--price")
    said = typed(world, *words, price, code=2)
    assert f"{price} USDT a unit is not between 2" in said
    assert held(world, "trend") == mine
    typed(world, *words, "59000")
    assert held(world, "trend") == mine - D("0.03")


# --- delisted --------------------------------------------------------------------------------------------------------


def test_a_delisted_coin_that_the_venue_converts_is_taken_and_written_off_at_what_it_brought() -> None:
    world = opened()
    buy(world, "trend", XRP, 1000)
    cost = account(world).position("trend", XRP).cost
    world.place.act("delist", symbol=XRP)
    there = world.place.books.wallets.balances["XRP"]
    world.place.books.wallets.balances["XRP"] = ZERO
    world.place.books.wallets.balances["USDT"] += there / 2
    minutes(world, 4)
    for asset in ("USDT", "XRP"):
        (incident,) = [one for one in world.incidents() if one.incident_id == f"{K.BALANCE_MISMATCH}:{asset}"]
        typed(world, *commands(incident)[-1].replace('"…"', "converted").split()[1:])
    typed(world, "write-off", XRP, "--strategy", "trend", "--price", "0.5", "--reason", "converted")
    minutes(world, 4)
    assert account(world).position("trend", XRP).realised_pnl == there / 2 - cost
    assert kinds(world) == {K.SYMBOL_UNAVAILABLE}
    assert equity(account(world), "USDT", {}).total == world.place.books.wallets.owned("USDT")


def test_coins_of_a_retired_symbol_that_the_venue_takes_away_are_told_stop_nothing_and_leave_the_equity() -> None:
    world = opened()
    buy(world, "trend", XRP, 1000)
    world.place.act("delist", symbol=XRP)
    minutes(world, 4)
    assert "retire" not in " ".join(commands(told(world, K.SYMBOL_UNAVAILABLE)))
    assert "may be a halt" in typed(world, "symbols", "retire", XRP, "--reason", "gone", code=2)
    world.sleep(86400)
    minutes(world, 3)
    printed = commands(told(world, K.SYMBOL_UNAVAILABLE))[0].replace('"…"', "gone")
    typed(world, *printed.split()[1:])
    minutes(world, 3)
    world.place.books.wallets.balances["XRP"] = ZERO
    minutes(world, 4)
    incident = told(world, K.BALANCE_MISMATCH)
    assert [stop.incident for stop in account(world).stops if stop.incident == incident.incident_id] == []
    assert world.minute().clean
    typed(world, *commands(incident)[-1].replace('"…"', "gone").split()[1:])
    minutes(world, 3)
    prices = marks({}, world.ledger.fills(ACCOUNT, 9))
    assert equity(account(world), "USDT", prices).total == world.place.books.wallets.owned("USDT")
    assert kinds(world) == set()


# --- fees in a coin that a strategy holds ----------------------------------------------------------------------------


def test_fees_that_eat_a_strategys_coins_are_named_and_a_deposit_ends_it() -> None:
    world = opened()
    assert isinstance(world.place, InMemory)
    world.place.books.fees = replace(world.place.books.fees, token="XRP")
    mine = buy(world, "hodl", XRP, 600)
    for _ in range(3):
        buy(world, "trend", BTC, 4500)
        leave(world, "trend", BTC)
    minutes(world, 3)
    incident = told(world)
    assert "Fees of orders in other symbols took" in incident.action
    assert "Keep some XRP there that is no strategy's" in incident.action
    world.place.act("deposit_from_outside", asset="XRP", amount=D(100))
    minutes(world, 12)
    assert kinds(world) == set()
    assert held(world, "hodl", XRP) == mine
    assert account(world).unowned("XRP") > 0
