"""`belay resolve --filled`: rows that are another order's, or that the venue tells otherwise, are never believed."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from belay.cli import books
from belay.domain.chain import flaw
from belay.domain.decisions import Hold
from belay.domain.errors import VenueUnavailable
from belay.domain.incidents import IncidentKind
from belay.domain.orders import Order, OrderState
from belay.domain.venues import TradePage, VenueTrade
from belay.workflows.fills import count_fill
from tests.builders import ACCOUNT, NOW, SYMBOL, make_buy
from tests.world import UnfencedVenue, World, instead, lose_answer, refuse

WORD = {"verdict": "filled", "author": "ada", "reason": "copied from the app"}
Rows = list[dict[str, Any]]
NO_TRADES = instead(TradePage(trades=()))
HISTORY_DOWN = instead(VenueUnavailable("the history is down"))


def ask(world: World, order: Order, rows: Rows) -> dict[str, Any]:
    """What the reconciler answers to the command."""
    return world.ask({"account": ACCOUNT, "resolve_order": {"order": order.order_id, "trades": rows, **WORD}})


def copied(trade: VenueTrade, **changes: Any) -> dict[str, Any]:
    """A trade as a person copies it."""
    row = {
        "trade_id": trade.trade_id,
        "venue_order_id": trade.venue_order_id,
        "side": trade.side.value,
        "quantity": str(trade.quantity),
        "price": str(trade.price),
        "fees": {asset: str(fee) for asset, fee in trade.fees.items()},
        "time": trade.at.isoformat(),
    }
    return {**row, **changes}


def beside_another(trades: Any = NO_TRADES, **changes: Any) -> tuple[World, Order, Order]:
    """An order of which the venue tells nothing, not even its fill, and one that filled just before it and is counted;
    the venue's list of `trades` shows neither."""
    world = World(venue_type=UnfencedVenue)
    world.open_gate()
    (other,) = world.decide(make_buy(quantity="0.05"), strategy="other")
    world.deliver()
    world.reconcile()
    world.advance(seconds=20)
    order = world.buy(**changes)
    world.steps.next("venue.submit", lose_answer)
    world.steps.always("venue.lookup", hiding(order))
    world.steps.always("venue.open_orders", instead(()))
    world.steps.always("venue.trades", trades)
    world.deliver()
    world.strategy.says = Hold(reason="quiet")
    world.minutes(12)
    assert world.state(order) is OrderState.UNKNOWN
    return world, world.order(order.order_id), world.order(other.order_id)


def hiding(order: Order) -> Any:
    """The venue finds nothing under this client order id; under a venue order id it finds what there is."""

    def look(_call: str, perform: Any) -> Any:
        return perform() if "venue_order_id" in perform.keywords or perform.args[1] != order.order_id else None

    return look


def of(world: World, order: Order) -> VenueTrade:
    """The venue's trade of an order, whatever it shows of it."""
    shown = world.venue().lookup(SYMBOL, order.order_id)
    assert shown is not None
    return next(trade for trade in world.venue_trades() if trade.venue_order_id == shown.venue_order_id)


def require_refused(world: World, order: Order, rows: Rows, field: str, problem: str = "") -> None:
    before = world.order(order.order_id), world.account, world.fills()
    told = ask(world, order, rows)
    assert told.get("error") == f"resolve_order.trades.{len(rows) - 1}.{field}"
    assert problem in told["problem"]
    assert (world.order(order.order_id), world.account, world.fills()) == before


def test_the_orders_own_row_is_believed_and_ends_it() -> None:
    world, order, _ = beside_another()
    told = ask(world, order, [copied(of(world, order), symbol=SYMBOL)])
    assert (told.get("error"), told.get("state")) == (None, "FILLED")
    world.steps.calm()
    world.minutes(2)
    assert world.reconcile().clean
    world.check_promises()


# --- another order's -------------------------------------------------------------------------------------------------


def test_r17_a_row_that_is_a_fill_of_another_order_is_refused() -> None:
    world, order, other = beside_another()
    require_refused(world, order, [copied(of(world, other))], "trade_id", f"is a fill of order {other.order_id}")


def test_a_trade_id_of_another_orders_fill_is_refused_under_whatever_venue_order() -> None:
    world, order, other = beside_another()
    row = copied(of(world, other), venue_order_id=of(world, order).venue_order_id)
    require_refused(world, order, [row], "trade_id", f"is a fill of order {other.order_id}")


def test_a_row_of_another_of_our_venue_orders_is_refused() -> None:
    world, order, other = beside_another()
    row = copied(of(world, order), venue_order_id=of(world, other).venue_order_id)
    require_refused(world, order, [row], "venue_order_id", f"is our order {other.order_id}")


def test_a_row_of_a_venue_order_that_somebody_placed_by_hand_is_refused() -> None:
    world, order, _ = beside_another()
    by_hand = world.trade_by_hand(quantity="0.01")
    row = copied(of(world, order), venue_order_id=by_hand.venue_order_id)
    require_refused(world, order, [row], "venue_order_id", f"of client order id {by_hand.client_order_id}")


def test_while_the_venue_cannot_say_whose_a_venue_order_is_no_row_counts() -> None:
    world, order, _ = beside_another()
    row = copied(of(world, order))
    look = hiding(order)

    def silent(call: str, perform: Any) -> Any:
        return refuse(call, perform) if "venue_order_id" in perform.keywords else look(call, perform)

    world.steps.always("venue.lookup", silent)
    assert "could not be asked" in ask(world, order, [row])["problem"]
    assert world.state(order) is OrderState.UNKNOWN
    assert len(world.fills()) == 1


# --- what cannot be this order's -------------------------------------------------------------------------------------

CANNOT_BE: dict[str, tuple[dict[str, Any], str]] = {
    "another symbol": ({"symbol": "ETH/USD"}, "symbol"),
    "the other side": ({"side": "sell"}, "side"),
    "more than its quantity": ({"quantity": "0.11"}, "quantity"),
    "before it was created": ({"time": (NOW - timedelta(minutes=2)).isoformat()}, "time"),
    "worse than its limit": ({"price": "10500.01"}, "price"),
}


@pytest.mark.parametrize("name", CANNOT_BE)
def test_a_row_that_cannot_be_this_orders_is_refused_by_its_field(name: str) -> None:
    change, field = CANNOT_BE[name]
    world, order, _ = beside_another(limit_price="10500")
    require_refused(world, order, [copied(of(world, order), **change)], field)


def test_rows_that_together_are_more_than_the_order_are_refused_at_the_row_that_is_too_much() -> None:
    world, order, _ = beside_another()
    row = copied(of(world, order), quantity="0.06")
    require_refused(world, order, [row, {**row, "trade_id": "T-other"}], "quantity", "more than the 0.1")


def test_of_an_order_that_the_venue_shows_no_more_is_filled_than_it_shows() -> None:
    """It rests unfilled, and the venue shows it: rows of a fill are another's."""
    world = World()
    world.open_gate()
    order = world.buy(limit_price="9000")
    world.deliver()
    seen = world.venue().lookup(SYMBOL, order.order_id)
    assert seen is not None
    row = {"trade_id": "T9", "venue_order_id": seen.venue_order_id, "side": "buy", "quantity": "0.1", "price": "9000"}
    require_refused(world, order, [{**row, "fees": {}, "time": world.now.isoformat()}], "quantity", "more than the 0")


# --- what the venue tells otherwise ----------------------------------------------------------------------------------

TOLD_OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "less of it": ({"quantity": "0.09"}, "quantity"),
    "another price": ({"price": "9999"}, "price"),
    "another hour": ({"time": (NOW + timedelta(minutes=9)).isoformat()}, "time"),
    "another fee": ({"fees": {"USD": "0.5"}}, "fees"),
    "another amount": ({"cost": "999"}, "cost"),
    "another order": ({"venue_order_id": "V-99"}, "venue_order_id"),
}


@pytest.mark.parametrize("name", TOLD_OTHERWISE)
def test_r17_a_row_that_the_venues_list_of_trades_tells_otherwise_is_refused(name: str) -> None:
    """The list shows the trade, and does not say whose it is."""
    change, field = TOLD_OTHERWISE[name]
    world, order, _ = beside_another()
    nameless = of(world, order).model_copy(update={"client_order_id": None})
    world.steps.always("venue.trades", instead(TradePage(trades=(nameless,))))
    require_refused(world, order, [copied(nameless, **change)], field, "the venue told of trade")


def test_an_estimated_fee_may_be_told_better_by_a_person_and_the_venues_row_counts() -> None:
    world, order, _ = beside_another()
    nameless = of(world, order).model_copy(update={"client_order_id": None, "estimated": True})
    world.steps.always("venue.trades", instead(TradePage(trades=(nameless,))))
    assert ask(world, order, [copied(nameless, fees={"BTC": "0.0001"})]).get("error") is None
    counted = next(fill for fill in world.fills() if fill.order_id == order.order_id)
    assert (counted.trade.estimated, counted.trade.fees) == (True, nameless.fees)


def test_a_row_that_was_counted_otherwise_before_is_refused_and_the_same_one_changes_nothing() -> None:
    world, order, _ = beside_another()
    trade = of(world, order)
    row = copied(trade, quantity="0.04")
    assert ask(world, order, [row]).get("error") is None
    require_refused(world, order, [{**row, "price": "10001"}], "price", "the venue told of trade")
    before = world.fills()
    assert ask(world, order, [row])["already"] is True
    assert world.fills() == before
    assert world.position() == Decimal("0.04")


# --- what cannot be meant, where nothing tells it otherwise ----------------------------------------------------------

CANNOT_BE_MEANT: dict[str, tuple[dict[str, Any], str, str]] = {
    "a fee in quote currency beyond 5 %": ({"fees": {"USD": "51"}}, "fees.USD", "51 is not between -50 and 50"),
    "a fee in base currency beyond 5 %": ({"fees": {"BTC": "400"}}, "fees.BTC", "400 is not between -0.005 and 0.005"),
    "a rebate beyond 5 %": ({"fees": {"BTC": "-1"}}, "fees.BTC", "-1 is not between -0.005 and 0.005"),
    "a fee in an asset that is not there": ({"fees": {"BNB": "0.1"}}, "fees.BNB", "the account holds no more BNB"),
    "no cost": ({"cost": "0"}, "cost", "0 is not between 990 and 1010"),
    "the fee for a cost": ({"cost": "0.4"}, "cost", "price times quantity is 1000"),
    "an absurd price": ({"price": "0.0000001"}, "price", "0.0000001 is not between 5000 and 20000"),
}


@pytest.mark.parametrize("name", CANNOT_BE_MEANT)
def test_a_row_with_an_amount_that_cannot_be_meant_is_refused_with_its_bound(name: str) -> None:
    change, field, problem = CANNOT_BE_MEANT[name]
    world, order, _ = beside_another()
    plain = {"price": "10000", "fees": {}}
    require_refused(world, order, [copied(of(world, order), **{**plain, **change})], field, problem)


def test_amounts_at_their_bounds_are_believed() -> None:
    world, order, _ = beside_another()
    row = copied(of(world, order), price="10000", fees={"USD": "50"}, cost="1010")
    assert ask(world, order, [row]).get("error") is None


def test_fees_in_a_third_asset_are_together_no_more_than_is_held() -> None:
    world, order, _ = beside_another()
    account = world.account
    world.ledger.save_account(account.bumped(opening={**(account.opening or {}), "BNB": Decimal("0.5")}))
    row = copied(of(world, order), quantity="0.05", fees={"BNB": "0.3"})
    require_refused(world, order, [row, {**row, "trade_id": "T-other"}], "fees.BNB", "0.3 is not between -0.2 and 0.2")


# --- a true trade takes the place of a row that was copied wrongly ---------------------------------------------------


def settled_by(*rows: dict[str, Any]) -> tuple[World, Order]:
    """The order, ended by rows of its fill, all of them changed as given; then the venue shows everything."""
    world, order, _ = beside_another(trades=HISTORY_DOWN)
    true = of(world, order)
    assert ask(world, order, [copied(true, **changes) for changes in rows]).get("error") is None
    world.steps.calm()
    return world, order


WRONGLY_COPIED: dict[str, tuple[dict[str, Any], ...]] = {
    "its trade id": ({"trade_id": "T-wrong"},),
    "its trade id and fee": ({"trade_id": "T-wrong", "fees": {"USD": "1"}},),
    "its trade id and price": ({"trade_id": "T-wrong", "price": "9000"},),
    "two rows for one": ({"trade_id": "T-1", "quantity": "0.04"}, {"trade_id": "T-2", "quantity": "0.06"}),
}


@pytest.mark.parametrize("name", WRONGLY_COPIED)
def test_r17_a_true_trade_takes_the_place_of_rows_that_were_copied_wrongly(name: str) -> None:
    """Nothing is counted twice, and the books are what they would be, had nobody given a row."""
    world, order = settled_by(*WRONGLY_COPIED[name])
    world.minutes(3)
    assert world.reconcile().clean
    assert balanced(world)
    true, found = of(world, order), world.order(order.order_id)
    assert (found.filled_quantity, found.filled_notional) == (true.quantity, true.notional)
    assert {a: fee for a, fee in found.fees.items() if fee} == {a: fee for a, fee in true.fees.items() if fee}
    assert (found.given, len(found.replaced), found.settled) == ({}, len(WRONGLY_COPIED[name]), True)
    position = world.account.position(order.strategy, SYMBOL)
    assert position.quantity == true.quantity - true.fees.get("BTC", Decimal(0))
    assert position.cost == true.notional + true.fees.get("USD", Decimal(0))
    assert position.realised_pnl == Decimal(0)
    assert not [one for one in world.ledger.open_incidents(ACCOUNT) if one.kind is IncidentKind.OVERFILL]


COPIED_UNDER_ITS_ID: dict[str, dict[str, Any]] = {
    "in all": {},
    "another price": {"price": "9000"},
    "another fee": {"fees": {"USD": "1"}},
    "a part of it": {"quantity": "0.04"},
}


@pytest.mark.parametrize("name", COPIED_UNDER_ITS_ID)
def test_r17_a_row_counts_as_the_venue_tells_its_trade_in_the_end(name: str) -> None:
    world, order = settled_by(COPIED_UNDER_ITS_ID[name])
    world.minutes(3)
    assert world.reconcile().clean
    assert balanced(world)
    true, found = of(world, order), world.order(order.order_id)
    assert (found.filled_quantity, found.filled_notional) == (true.quantity, true.notional)
    assert (found.given, found.replaced, found.settled, found.word) == ({}, (), True, None)
    assert world.account.position(order.strategy, SYMBOL).realised_pnl == 0
    assert flaw(world.ledger.history(found)) == ""
    wrong = [one for one in world.ledger.open_incidents(ACCOUNT) if one.kind is IncidentKind.WRONG_WORD]
    assert bool(wrong) == ("quantity" in COPIED_UNDER_ITS_ID[name])
    mark = len(world.steps.calls)
    world.minutes(1)
    assert not world.steps.since(mark, "ledger.commit")  # it is told once


def balanced(world: World) -> bool:
    expected, actual = world.account.expected_balances(), world.venue().balances().total
    return {a: b for a, b in expected.items() if b} == {a: b for a, b in actual.items() if b}


def test_what_took_a_rows_place_is_told_in_the_orders_story() -> None:
    world, order = settled_by({"trade_id": "T-wrong"})
    world.minutes(3)
    story = world.ledger.story(order.decision_id)
    assert story is not None
    (event,) = [event for event in story.events if "instead_of" in event.detail]
    assert event.detail["instead_of"] == list(world.order(order.order_id).replaced)
    assert flaw(world.ledger.history(world.order(order.order_id))) == ""


@pytest.mark.parametrize("trade_id", ["T-wrong", None])
def test_a_balance_that_was_taken_with_a_wrong_row_is_not_moved_by_the_true_one(trade_id: str | None) -> None:
    """The wrong row says less was paid: a rebase takes what that was off by, and then the trade is shown."""
    world, order, _ = beside_another(trades=HISTORY_DOWN)
    row = copied(of(world, order), price="9900")
    assert ask(world, order, [{**row, "trade_id": trade_id or row["trade_id"]}]).get("error") is None
    world.minutes(6)
    assert world.reconcile().reason
    world.steps.always("venue.trades", NO_TRADES)
    told = world.ask({"account": ACCOUNT, "rebase": {"whole": True, "reason": "as the venue has it", "author": "ada"}})
    assert told.get("error") is None
    world.steps.calm()
    world.minutes(4)
    found = world.order(order.order_id)
    assert (found.given, len(found.replaced), found.filled_notional) == (
        {},
        1 if trade_id else 0,
        of(world, order).notional,
    )
    assert world.reconcile().clean
    assert balanced(world)


def test_the_list_of_fills_has_a_trade_once_and_as_the_venue_tells_it() -> None:
    for changes in ({"trade_id": "T-wrong"}, {"price": "9000"}):
        world, order = settled_by(changes)
        world.minutes(3)
        true = of(world, order)
        listed = [row for row in books.fills(world.ledger, (ACCOUNT,), None, 10) if row["order_id"] == order.order_id]
        assert [(row["trade_id"], row["price"]) for row in listed] == [(true.trade_id, true.price)]


def test_a_right_row_beside_a_wrong_one_stays() -> None:
    world, order, _ = beside_another()
    true = of(world, order)
    rows = [copied(true, quantity="0.06"), copied(true, trade_id="T-right", quantity="0.04", price="9999")]
    rows[0]["trade_id"] = "T-wrong"
    assert ask(world, order, rows).get("error") is None
    part = true.model_copy(update={"quantity": Decimal("0.06"), "trade_id": "T-true"})
    assert count_fill(world.services(), order.order_id, part)
    found = world.order(order.order_id)
    assert (found.filled_quantity, [key.rpartition("|")[2] for key in found.replaced]) == (Decimal("0.1"), ["T-wrong"])


def test_a_row_whose_place_was_taken_counts_again_once_the_venue_tells_it() -> None:
    """It was right, and another that was wrong looked the same."""
    world, order, _ = beside_another()
    true = of(world, order)
    first, second = ({"trade_id": name, "quantity": "0.05"} for name in ("T-1", "T-2"))
    assert ask(world, order, [copied(true, **first), copied(true, **second)]).get("error") is None
    for name in ("T-3", "T-1"):
        part = true.model_copy(update={"quantity": Decimal("0.05"), "trade_id": name})
        count_fill(world.services(), order.order_id, part)
        assert world.order(order.order_id).filled_quantity == Decimal("0.1")
        assert flaw(world.ledger.history(world.order(order.order_id))) == ""
    assert not count_fill(world.services(), order.order_id, true.model_copy(update={"trade_id": "T-3"}))


def test_more_than_was_asked_for_and_given_is_still_an_overfill() -> None:
    world, order = settled_by({"trade_id": "T-wrong", "quantity": "0.02"})
    assert count_fill(world.services(), order.order_id, of(world, order))
    assert world.order(order.order_id).replaced
    more = of(world, order).model_copy(update={"trade_id": "T-more"})
    assert count_fill(world.services(), order.order_id, more)
    assert world.order(order.order_id).filled_quantity == Decimal("0.2")
