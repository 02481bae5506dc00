"""What an order in flight may explain, and what it may not: balances, a rebase, an opening, another host, a row."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from belay.domain.account import StopLevel
from belay.domain.decisions import Buy, Reduce
from belay.domain.errors import VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from tests.real_account.venue import InMemory, SoloVenue
from tests.real_account.world import ACCOUNT, START, World
from tests.venue_server.orders import Plan

K, S, D = IncidentKind, OrderState, Decimal
BTC, ETH, XRP = "BTC/USDT", "ETH/USDT", "XRP/USDT"
HOURS = 3600.0


def ready(venue: str = "binance") -> World:
    world = World(InMemory(venue, START, seed=1))
    world.place.act("set_terms", rounded=True)
    minutes(world, 2)
    return world


def place(world: World) -> InMemory:
    assert isinstance(world.place, InMemory)
    return world.place


def minutes(world: World, number: int) -> None:
    for _ in range(number):
        world.minute()


def clean(world: World, within: int = 4) -> None:
    minutes(world, within)
    result = world.reconcile()
    assert result.clean, result.reason
    assert (kinds(world), world.ledger.account(ACCOUNT).stops) == ([], ())


def kinds(world: World) -> list[IncidentKind]:
    """Beside the slots that no schedule ticks in these worlds."""
    return [incident.kind for incident in world.incidents() if incident.kind is not K.MISSED_SLOT]


def bought(world: World, symbol: str, notional: int = 3000) -> Order:
    """What the strategy's buy at the market became."""
    world.decide(symbol, Buy(symbol=symbol, notional=D(notional), reason="up"))
    return latest(world)


def latest(world: World) -> Order:
    return max(world.ledger.orders(ACCOUNT, 50), key=lambda order: order.created_at)


def state(world: World, order: Order) -> OrderState:
    found = world.ledger.order(order.order_id)
    assert found is not None
    return found.state


def unknown(world: World, symbol: str = BTC, *, arrived: bool = True) -> Order:
    """A buy at the market whose answer is lost, and which no look-up shows for hours."""
    place(world).plan = Plan(order_lag=5 * HOURS, trade_lag=5 * HOURS)
    place(world).answers = False
    order = bought(world, symbol)
    place(world).plan, place(world).answers = Plan(), True
    assert state(world, order) is S.UNKNOWN
    return order


def resting(world: World, symbol: str) -> Order:
    """A take-profit a fifth above the price, at the venue."""
    bought(world, symbol, 2000)
    minutes(world, 3)
    venue = SoloVenue(place(world))
    above = venue.market(symbol).round_price(venue.price(symbol).value * D("1.2"), "sell")
    world.decide(symbol, Reduce(symbol=symbol, limit_price=above, reason="take profit"))
    minutes(world, 1)
    assert state(world, latest(world)) is S.ACKNOWLEDGED
    return latest(world)


def gone(world: World, asset: str, amount: str) -> None:
    """An amount leaves, or (negative) comes, that no record of the venue names."""
    place(world).books.deposit(asset, -D(amount))


# --- balances --------------------------------------------------------------------------------------------------------


def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: Any, **__: Any) -> None:
        raise VenueUnavailable("look-ups are down")

    monkeypatch.setattr(SoloVenue, "lookup", lookup)


@pytest.mark.parametrize("looked_up", [True, False])
def test_r18_an_unknown_buy_explains_no_more_than_it_may_have_cost(
    looked_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ready()
    order = unknown(world)
    if not looked_up:
        silent(monkeypatch)
    minutes(world, 2)
    assert K.BALANCE_MISMATCH not in kinds(world)
    gone(world, "USDT", "80000")
    minutes(world, 3)
    assert K.BALANCE_MISMATCH in kinds(world)
    assert any(stop.level is StopLevel.REDUCE_ONLY for stop in world.ledger.account(ACCOUNT).stops)
    assert not world.reconcile().clean
    gone(world, "USDT", "-80000")
    monkeypatch.undo()
    place(world).advance(5 * HOURS)
    minutes(world, 12)
    assert state(world, order) is S.FILLED
    assert K.BALANCE_MISMATCH not in kinds(world)
    assert world.unexplained() == {}


def test_r18_an_unknown_exit_explains_no_gain_beyond_what_it_may_have_brought() -> None:
    world = ready()
    bought(world, ETH, 2000)
    minutes(world, 3)
    place(world).plan, place(world).answers = Plan(order_lag=5 * HOURS, trade_lag=5 * HOURS), False
    world.decide(ETH, Reduce(symbol=ETH, reason="down"))
    gone(world, "USDT", "-9000")
    minutes(world, 3)
    assert K.BALANCE_MISMATCH in kinds(world)


# --- a rebase --------------------------------------------------------------------------------------------------------


def rebased(world: World, asset: str, amount: str) -> Any:
    return world.command("rebase", "--asset", asset, "--amount", f"{asset}={amount}", "--reason", "a gift")


@pytest.mark.parametrize("asset", ["BTC", "ETH", "USDT"])
def test_r14_while_an_order_rests_as_it_is_counted_a_balance_is_taken(asset: str) -> None:
    world = ready()
    order = resting(world, ETH)
    gone(world, asset, "-0.0001")
    minutes(world, 3)
    assert kinds(world) == [K.BALANCE_MISMATCH]
    done = rebased(world, asset, "0.0001")
    assert done.exit_code == 0, done.output
    clean(world)
    assert state(world, order) is S.ACKNOWLEDGED
    place(world).pin(ETH, D(90000))
    clean(world)
    assert state(world, order) is S.FILLED
    assert world.unexplained() == {}


def test_r14_an_unknown_order_keeps_only_its_own_assets_from_being_taken() -> None:
    world = ready()
    order = unknown(world, ETH)
    gone(world, "BTC", "-0.0001")
    minutes(world, 3)
    done = rebased(world, "BTC", "0.0001")
    assert done.exit_code == 0, done.output
    gone(world, "USDT", "20000")
    minutes(world, 3)
    refused = world.command("rebase", "--asset", "USDT", "--reason", "gone")
    assert refused.exit_code != 0
    assert order.order_id in refused.output.replace("\n", "")


# --- an asset that comes into use ------------------------------------------------------------------------------------


def with_symbol(world: World, symbol: str, file: Path) -> None:
    limits = world.document.limits
    positions = {**limits.max_position_notional, symbol: D(20000)}
    stated = limits.model_copy(update={"max_position_notional": positions})
    world.document = world.document.model_copy(update={"symbols": (*world.document.symbols, symbol), "limits": stated})
    stored(world, file)


def stored(world: World, file: Path, *options: str) -> Any:
    file.write_text(world.document.model_dump_json())
    return world.command("account", "set", str(file), *options)


def entered(world: World, asset: str) -> bool:
    return asset in (world.ledger.account(ACCOUNT).opening or {})


def halted(world: World) -> None:
    bought(world, ETH, 2000)
    minutes(world, 3)
    place(world).act("set_status", symbol=ETH, status="HALT")
    minutes(world, 3)


@pytest.mark.parametrize("before", [halted, lambda world: resting(world, ETH), lambda world: unknown(world, XRP)])
def test_r16_what_does_not_concern_an_asset_keeps_it_out_of_no_opening(
    before: Callable[[World], Any], tmp_path: Path
) -> None:
    world = ready()
    place(world).act("deposit_from_outside", asset="SOL", amount=D(3))
    before(world)
    with_symbol(world, "SOL/USDT", tmp_path / "document.json")
    minutes(world, 2)
    assert entered(world, "SOL")
    order = bought(world, "SOL/USDT", 500)
    assert state(world, order) is not S.LAPSED
    assert order.attempt is not None


# --- fills that are owed ---------------------------------------------------------------------------------------------


def owing(world: World) -> Order:
    """A buy that the venue shows as filled, and of which its history has no trade."""
    place(world).plan = Plan(trade_lag=HOURS)
    order = bought(world, ETH, 1000)
    place(world).plan = Plan()
    minutes(world, 2)
    assert state(world, order) is S.FILLED
    return order


def test_r6_while_trades_of_an_order_are_owed_no_entry_of_its_symbol_leaves_and_status_says_so() -> None:
    world = ready()
    order = owing(world)
    again = bought(world, ETH, 1000)
    elsewhere = bought(world, BTC, 1000)
    minutes(world, 2)
    assert again.attempt is None
    assert state(world, again) in (S.CREATED, S.LAPSED)
    assert elsewhere.attempt is not None
    result = world.reconcile()
    assert order.order_id in result.uncovered[ETH]
    assert order.order_id in world.command("status").output.replace("\n", "").replace(" ", "")
    place(world).advance(HOURS)
    minutes(world, 4)
    assert world.reconcile().uncovered == {}
    assert bought(world, ETH, 1000).attempt is not None


def test_r2_a_row_that_may_be_a_trade_of_our_own_order_is_not_taken_as_it_is_while_that_is_owed(tmp_path: Path) -> None:
    world = ready()
    order = bought(world, ETH, 1000)
    trade = place(world).books.trades[-1]
    place(world).act("spoil_trade", trade_id=trade.trade_id, symbol=ETH, raw={"id": None})
    minutes(world, 4)
    (incident,) = (one for one in world.incidents() if one.kind is K.UNREADABLE_ROW)
    resolve = ("incidents", "resolve", incident.incident_id, "--reason", "as printed")
    refused = world.command(*resolve)
    assert refused.exit_code != 0
    assert f"belay resolve {order.order_id} --filled" in " ".join(refused.output.split())
    assert any(stop.symbol == ETH for stop in world.ledger.account(ACCOUNT).stops)
    assert bought(world, ETH, 1000).attempt is None
    row = {
        "trade_id": trade.trade_id,
        "venue_order_id": trade.venue_order_id,
        "side": "buy",
        "quantity": str(trade.quantity),
        "price": str(trade.price),
        "fees": {trade.fee_asset: str(trade.fee)},
        "time": trade.at.isoformat(),
    }
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([row]))
    done = world.command("resolve", order.order_id, "--filled", str(rows), "--reason", "the venue's rows")
    assert done.exit_code == 0, done.output
    done = world.command(*resolve)
    assert done.exit_code == 0, done.output
    minutes(world, 4)
    assert world.unexplained() == {}
    assert bought(world, ETH, 1000).attempt is not None


# --- another host ----------------------------------------------------------------------------------------------------


def moved(world: World, file: Path) -> Any:
    """The document names another host, and a person says that it is the same venue."""
    world.document = world.document.model_copy(update={"options": {"hostname": "api.other.example"}})
    return stored(world, file, "--same-venue", "the venue moved")


def strangers(world: World, usdt: str) -> InMemory:
    """What is at the other host: an account of somebody else."""
    ours, other = place(world), InMemory("binance", world.now(), seed=1)
    for asset in other.books.wallets.balances:
        other.books.wallets.balances[asset] = D(usdt) if asset == "USDT" else D(0)
    world.place = other
    world.restart()
    return ours


def test_r26_while_an_order_is_unknown_the_account_of_a_stranger_is_not_ours(tmp_path: Path) -> None:
    world = ready()
    before = world.document
    order = unknown(world)
    minutes(world, 1)
    ours = strangers(world, "98000")
    refused = moved(world, tmp_path / "document.json")
    assert refused.exit_code != 0
    assert order.order_id in refused.output.replace("\n", "")
    minutes(world, 14)
    absent = world.command("resolve", order.order_id, "--absent", "--reason", "not in its history")
    assert absent.exit_code != 0
    assert state(world, order) is S.UNKNOWN
    ours.advance((world.now() - ours.now).total_seconds())
    world.document, world.place = before, ours
    world.restart()
    assert stored(world, tmp_path / "document.json").exit_code == 0
    ours.advance(5 * HOURS)
    minutes(world, 12)
    assert state(world, order) is S.FILLED
    assert world.unexplained() == {}
    assert K.IDENTITY_CHANGED not in kinds(world)


@pytest.mark.parametrize("symbol", [None, ETH])
def test_r26_a_host_that_shows_an_order_of_ours_is_taken_while_another_order_is_open(
    symbol: str | None, tmp_path: Path
) -> None:
    """One that rests there, or one that is long settled."""
    world = ready()
    if symbol is None:
        resting(world, ETH)
    else:
        bought(world, symbol, 1000)
        minutes(world, 4)
        unknown(world, BTC)
    done = moved(world, tmp_path / "document.json")
    assert done.exit_code == 0, done.output
    minutes(world, 3)
    assert K.IDENTITY_CHANGED not in kinds(world)


def test_r26_what_was_deposited_while_the_host_moved_is_counted_and_exits_go(tmp_path: Path) -> None:
    world = ready()
    bought(world, ETH, 1000)
    minutes(world, 4)
    place(world).act("deposit_from_outside", asset="USDT", amount=D(100))
    place(world).advance(600)
    done = moved(world, tmp_path / "document.json")
    assert done.exit_code == 0, done.output
    clean(world)
    assert world.ledger.account(ACCOUNT).external == {"USDT": D(100)}
    world.decide(ETH, Reduce(symbol=ETH, reason="down"))
    clean(world)
    assert state(world, latest(world)) is S.FILLED


def test_r26_what_another_account_received_is_not_counted_in_ours(tmp_path: Path) -> None:
    world = ready()
    strangers(world, "777").advance(0)
    place(world).act("deposit_from_outside", asset="USDT", amount=D(100))
    place(world).advance(60)
    assert moved(world, tmp_path / "document.json").exit_code != 0
    assert world.ledger.flows(ACCOUNT, 10) == ()
    assert world.ledger.account(ACCOUNT).external == {}


@pytest.mark.parametrize("kept", [True, False])
def test_r26_as_long_as_nothing_is_confirmed_the_document_before_can_be_set_back(kept: bool, tmp_path: Path) -> None:
    """Of an account that an earlier version opened, the document alone says what it is."""
    world = ready()
    before, account = world.document, world.ledger.account(ACCOUNT)
    if not kept:
        world.ledger.save_account(account.bumped(identity=None))
    ours = strangers(world, "777")
    assert moved(world, tmp_path / "document.json").exit_code != 0
    assert not world.reconcile().clean
    world.document, world.place = before, ours
    world.restart()
    done = stored(world, tmp_path / "document.json")
    assert done.exit_code == 0, done.output
    clean(world)
