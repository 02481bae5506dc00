"""What the owner of an account does beside Belay, and what the venue does with it: the acts that a test may choose.

Each is done at the venue's own books. What cannot be done now (nothing to sell, no order to edit) is simply not done.
"""

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from random import Random

from belay.domain.decisions import Buy, Cancel, Reduce
from tests.real_account.world import STRATEGY, World
from tests.venue_server.books import Refused
from tests.venue_server.orders import Order, Status

Act = Callable[[World, Random], object]
CENT = Decimal("0.01")


def _symbol(world: World, chance: Random) -> str:
    return chance.choice(world.listed())


def _quote(world: World) -> str:
    return world.symbols[0].split("/")[1]


def _base(world: World, chance: Random) -> str:
    return _symbol(world, chance).split("/")[0]


def _price(world: World, symbol: str) -> Decimal:
    return world.place.books.prices.at(symbol, world.now())


def _to_tick(world: World, symbol: str, price: Decimal) -> Decimal:
    tick = world.place.books.prices.markets[symbol].tick
    return (price / tick).to_integral_value(ROUND_DOWN) * tick


def _size(world: World, symbol: str, notional: str) -> Decimal:
    step = world.place.books.prices.markets[symbol].step
    return (Decimal(notional) / _price(world, symbol) / step).to_integral_value(ROUND_DOWN) * step


def _amount(chance: Random, places: int, most: int) -> Decimal:
    """An odd amount, to the last place."""
    return Decimal(chance.randint(1, most * 10**places)).scaleb(-places)


# --- through Belay ------------------------------------------------------------------------------------


def buy(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    notional = _amount(chance, 2, 900) + 50
    world.decide(symbol, Buy(symbol=symbol, notional=notional, reason="up"))


def buy_at_limit(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    factor = Decimal(chance.choice(("0.998", "0.9995", "1.001")))
    price = _to_tick(world, symbol, _price(world, symbol) * factor)
    world.decide(symbol, Buy(symbol=symbol, notional=Decimal(400), limit_price=price, reason="dip"))


def leave(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    if world.ledger.account(world.document.account).position(STRATEGY, symbol).quantity > 0:
        world.decide(symbol, Reduce(symbol=symbol, reason="down"))


def cancel(world: World, chance: Random) -> None:
    orders = world.ledger.open_orders(world.document.account)
    if orders:
        order = chance.choice(orders)
        world.decide(order.symbol, Cancel(order_id=order.order_id, reason="stale"))


# --- money that comes and goes ------------------------------------------------------------------------


def deposit(world: World, chance: Random) -> None:
    asset = chance.choice((_quote(world), _base(world, chance), "SOL"))
    world.place.act(
        "deposit_from_outside",
        asset=asset,
        amount=_amount(chance, 4, 3),
        credited_after=chance.choice((0, 30, 200)),
        lag=chance.choice((0, 40)),
    )


def withdraw(world: World, chance: Random) -> None:
    free = world.place.books.free(_quote(world))
    if free > 100:
        world.place.act(
            "withdraw", asset=_quote(world), amount=Decimal(50), fee=Decimal("1.5"), lag=chance.choice((0, 40))
        )


def withdraw_slowly(world: World, chance: Random) -> None:
    """The balance falls at once; the withdrawal is done, or fails and comes back, minutes later."""
    if world.place.books.free(_quote(world)) > 100:
        fails = chance.random() < 0.4
        done_after = None if fails else 150
        movement = world.place.act(
            "withdraw", asset=_quote(world), amount=Decimal(40), fee=Decimal(1), done_after=done_after
        )
        if fails:
            world.later(3, lambda: world.place.act("fail_withdrawal", movement=movement))


def take_back(world: World, _chance: Random) -> None:
    """A deposit that was credited and is then reversed."""
    movement = world.place.act("deposit_from_outside", asset=_quote(world), amount=Decimal(30))
    world.later(2, lambda: world.place.act("fail_deposit", movement=movement))


def earn(world: World, chance: Random) -> None:
    base = _base(world, chance)
    free = world.place.books.free(base)
    held = world.ledger.account(world.document.account).symbol_quantity(f"{base}/{_quote(world)}")
    amount = Decimal("0.0001")
    if free - held > amount:  # the owner's own coins
        world.place.act("earn", asset=base, amount=amount, out=False)


def interest(world: World, chance: Random) -> None:
    world.place.act("dividend", asset=_base(world, chance), amount=_amount(chance, 5, 1) / 1000)


def transfer(world: World, chance: Random) -> None:
    world.place.act("transfer", asset=_quote(world), amount=Decimal(25), out=chance.random() < 0.6)


def convert(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    base, quote = symbol.split("/")
    received = (Decimal(100) / _price(world, symbol)).quantize(Decimal("0.00000001"))
    world.place.act("convert", asset=quote, amount=Decimal(100), target=base, received=received)


def gift(world: World, chance: Random) -> None:
    """Money without any record of the venue's."""
    world.place.books.deposit(chance.choice((_quote(world), _base(world, chance))), _amount(chance, 6, 1))


# --- by hand ------------------------------------------------------------------------------------------


def trade_by_hand(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    world.place.act("order", symbol=symbol, side="buy", quantity=_size(world, symbol, "200"))


def rest_by_hand(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    limit = _to_tick(world, symbol, _price(world, symbol) * Decimal("0.97"))
    world.place.act("order", symbol=symbol, side="buy", quantity=_size(world, symbol, "150"), limit=limit)


def stop_by_hand(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    if world.place.books.free(symbol.split("/")[0]) > _size(world, symbol, "60"):
        stop = _to_tick(world, symbol, _price(world, symbol) * Decimal("0.95"))
        world.place.act("order", symbol=symbol, side="sell", quantity=_size(world, symbol, "50"), stop=stop)


def _foreign(world: World) -> list[Order]:
    ours = set(world.accepted())
    return [order for order in world.place.books.open() if order.request.client_order_id not in ours]


def cancel_by_hand(world: World, chance: Random) -> None:
    """Any open order, Belay's too."""
    orders = world.place.books.open()
    if orders:
        order = chance.choice(orders)
        world.place.act("cancel", order_id=order.venue_order_id, symbol=order.request.symbol)


def edit_by_hand(world: World, chance: Random) -> None:
    orders = [order for order in world.place.books.open() if order.request.limit_price]
    if orders:
        order = chance.choice(orders)
        quantity = order.request.quantity + world.place.books.prices.markets[order.request.symbol].step
        world.place.act("edit", order_id=order.venue_order_id, symbol=order.request.symbol, quantity=quantity)


def forget(world: World, chance: Random) -> None:
    """One of Belay's working orders: cancelled at the venue and then unknown to it."""
    ours = set(world.accepted())
    orders = [order for order in world.place.books.open() if order.request.client_order_id in ours]
    if orders:
        order = chance.choice(orders)
        world.place.act("forget", order_id=order.venue_order_id, symbol=order.request.symbol)


def spoil(world: World, chance: Random) -> None:
    orders = [order for order in _foreign(world) if not order.raw]
    if orders:
        order = chance.choice(orders)
        world.place.act(
            "spoil_order", order_id=order.venue_order_id, symbol=order.request.symbol, raw={"status": "ODD"}
        )


def spoil_trade(world: World, chance: Random) -> None:
    trades = [trade for trade in world.place.books.trades if trade.symbol in world.symbols]
    if trades and chance.random() < 0.5:
        trade = trades[-1]
        world.place.act("spoil_trade", trade_id=trade.trade_id, symbol=trade.symbol, raw={"id": None, "vol": None})
        world.later(4, lambda: world.place.books.spoil_trade(trade, {}))


def unspoil(world: World, _chance: Random) -> None:
    for order in world.place.books.orders:
        order.raw = {}


# --- terms and markets --------------------------------------------------------------------------------


def pay_in_token(world: World, chance: Random) -> None:
    token = "KFEE" if world.place.venue == "kraken" else "BNB"
    if world.place.books.wallets.balance(token) == 0:
        world.place.act("deposit_from_outside", asset=token, amount=Decimal(5))
    world.place.act("set_terms", token=chance.random() < 0.7)


def rebate(world: World, chance: Random) -> None:
    world.place.act("set_terms", maker=Decimal(chance.choice(("-0.0002", "0.0016"))))


def move(world: World, chance: Random) -> None:
    symbol = _symbol(world, chance)
    factor = Decimal(chance.choice(("0.96", "0.99", "1.01", "1.04")))
    world.place.pin(symbol, _to_tick(world, symbol, _price(world, symbol) * factor))


def halt_market(world: World, chance: Random) -> None:
    """For a few minutes, or for so long that what waits for it lapses."""
    symbol, status = _symbol(world, chance), "cancel_only" if world.place.venue == "kraken" else "HALT"
    world.place.act("set_status", symbol=symbol, status=status)
    world.later(chance.choice((3, 15)), lambda: _resume(world, symbol))


def _resume(world: World, symbol: str) -> None:
    if symbol in world.listed():
        world.place.act("set_status", symbol=symbol, status="")


def delist(world: World, chance: Random) -> None:
    """Once in a while, for good; one symbol stays."""
    if chance.random() < 0.3 and len(world.listed()) > 1:
        world.place.act("delist", symbol=chance.choice(world.listed()))


def quiet(_world: World, _chance: Random) -> None:
    """Nothing happens."""


ACTS: dict[Act, int] = {
    buy: 8,
    buy_at_limit: 4,
    leave: 5,
    cancel: 2,
    quiet: 6,
    deposit: 3,
    withdraw: 2,
    interest: 2,
    transfer: 2,
    convert: 2,
    gift: 1,
    trade_by_hand: 2,
    rest_by_hand: 2,
    stop_by_hand: 1,
    cancel_by_hand: 2,
    edit_by_hand: 1,
    forget: 1,
    spoil: 1,
    unspoil: 1,
    pay_in_token: 1,
    rebate: 1,
    move: 4,
    halt_market: 1,
    withdraw_slowly: 1,
    take_back: 1,
    earn: 1,
    spoil_trade: 1,
    delist: 1,
}


def act(world: World, chance: Random) -> str:
    """One act by chance; its name."""
    chosen = chance.choices(list(ACTS), list(ACTS.values()))[0]
    try:
        chosen(world, chance)
    except Refused:
        return f"{chosen.__name__} (refused)"
    return chosen.__name__


def calm(world: World) -> None:
    """Markets trade again, rows are readable: what is left is for Belay and its operator to deal with."""
    unspoil(world, Random(0))
    for symbol in world.listed():
        world.place.act("set_status", symbol=symbol, status="")


__all__ = ["Status", "act", "calm"]
