"""What an account is worth: average cost, profit, fees, dust and equity, by hand to the last digit."""

from decimal import Decimal
from typing import Any

import pytest

from belay.domain.account import Account, Position
from belay.domain.decisions import Side
from belay.domain.fills import Fill
from belay.domain.market import Price
from belay.domain.money import Mark, Minimum, Source, corrected, equity, fees, holdings, marks, worth
from belay.domain.orders import FEE_CORRECTED
from belay.domain.record import plain
from tests.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    SYMBOL,
    make_account,
    make_decision,
    make_events,
    make_order,
    make_orders,
    make_trade,
    seconds,
)

MINIMUM = Minimum(quantity=Decimal("0.0001"), notional=Decimal(10))


def mark(value: str = "12000", source: Source = Source.RECONCILIATION) -> Mark:
    return Mark(value=Decimal(value), at=NOW, source=source)


def fill(**trade: Any) -> Fill:
    order = make_order()
    return Fill(
        account=ACCOUNT,
        strategy=STRATEGY,
        decision_id=order.decision_id,
        order_id=order.order_id,
        trade=make_trade(**trade),
        recorded_at=NOW,
        previous="",
    )


def holding(account: Account, known: dict[str, Mark], minimum: Minimum | None = MINIMUM) -> Any:
    (found,) = holdings(account, known, {SYMBOL: minimum} if minimum else {})
    return found


def traded(*trades: Any) -> Account:
    account = make_account()
    for trade in trades:
        account = account.with_fill(STRATEGY, "o1", trade)
    return account


def test_profit_is_what_was_sold_for_less_what_that_part_cost_and_the_rest_at_its_mark() -> None:
    bought = make_trade("T1", quantity="0.3", price="10000", fees={"USD": "3"})
    sold = make_trade("T2", side=Side.SELL, quantity="0.1", price="11000", fees={"USD": "1.1"})
    held = holding(traded(bought, sold), {SYMBOL: mark()})
    assert held.quantity == Decimal("0.2")
    assert held.average_cost == Decimal(10010)
    assert held.cost == Decimal(2002)
    assert held.realised_pnl == Decimal("1098.9") - Decimal(1001)
    assert held.value == Decimal(2400)
    assert held.unrealised_pnl == Decimal(398)
    assert held.mark.source is Source.RECONCILIATION


def test_a_fee_in_what_was_bought_makes_the_rest_dearer() -> None:
    held = holding(traded(make_trade(quantity="0.1", fees={"BTC": "0.0001"})), {SYMBOL: mark("10000")})
    assert held.quantity == Decimal("0.0999")
    assert held.unrealised_pnl == Decimal("-1.0000")


def test_without_a_price_nothing_is_valued_and_it_is_said() -> None:
    held = holding(traded(make_trade()), {})
    assert (held.value, held.unrealised_pnl, held.mark) == (None, None, None)
    valued = equity(make_account(opening={"USD": "5", "BTC": "1"}), "USD", {})
    assert (valued.total, valued.unpriced) == (Decimal(5), ("BTC",))


@pytest.mark.parametrize(
    ("quantity", "price", "minimum", "dust"),
    [
        ("0.00009", "12000", MINIMUM, True),  # below the smallest quantity
        ("0.0005", "12000", MINIMUM, True),  # 6 USD
        ("0.001", "12000", MINIMUM, False),
        ("0.001", None, MINIMUM, None),  # is it 10 USD?
        ("0.001", "12000", None, None),
        ("0", None, None, False),
    ],
)
def test_dust_is_what_the_venue_would_not_take(
    quantity: str, price: str | None, minimum: Minimum | None, dust: bool | None
) -> None:
    account = make_account(positions={STRATEGY: {SYMBOL: Position(quantity=Decimal(quantity), cost=Decimal(1))}})
    assert holding(account, {SYMBOL: mark(price)} if price else {}, minimum).dust is dust


def test_fees_are_added_up_by_asset_a_rebate_is_negative_and_a_token_is_converted_where_it_has_a_price() -> None:
    paid = fees([fill(fees={"BNB": "0.01", "USD": "-0.5"}), fill(fees={"BNB": "0.02", "GT": "3"})])
    assert paid == {"BNB": Decimal("0.03"), "USD": Decimal("-0.5"), "GT": Decimal(3)}
    valued = worth(paid, "USD", {"BNB/USD": mark("600", Source.LAST_FILL)})
    assert valued.total == Decimal("17.5")
    assert valued.unpriced == ("GT",)
    (token,) = [part for part in valued.parts if part.asset == "BNB"]
    assert token.mark is not None
    assert token.mark.source is Source.LAST_FILL


def test_the_latest_price_is_taken_and_says_where_it_is_from() -> None:
    proven = {SYMBOL: Price(value=Decimal(10500), at=NOW + seconds(60))}
    later, earlier = fill(price="10600", at=NOW + seconds(90)), fill(price="9000", at=NOW)
    assert marks(proven, [earlier])[SYMBOL].source is Source.RECONCILIATION
    assert marks(proven, [earlier, later])[SYMBOL] == mark("10600", Source.LAST_FILL).model_copy(
        update={"at": NOW + seconds(90)}
    )


def test_equity_is_what_the_books_hold_flows_included() -> None:
    account = make_account(opening={"USD": "1000"}, external={"USD": "-100", "BTC": "0.01"})
    assert equity(account, "USD", {SYMBOL: mark("10000")}).total == Decimal(1000)


@pytest.mark.parametrize(
    ("number", "written"),
    [("0E-8", "0"), ("-0.00", "0"), ("1E+3", "1000"), ("0.00000001", "0.00000001"), ("1E-18", "0." + "0" * 17 + "1")],
)
def test_a_number_is_never_written_with_an_exponent(number: str, written: str) -> None:
    assert plain(Decimal(number)) == written


def test_a_fee_that_was_corrected_since_counts_as_it_was_corrected() -> None:
    """The fill stays as it was counted; its order knows."""
    guessed = fill(fees={"USD": "1.5"}, estimated=True)
    order = make_order(filled_quantity=guessed.trade.quantity, fees={"BNB": "0.003"})
    assert fees([guessed], [order]) == {"BNB": Decimal("0.003")}
    assert fees([guessed]) == {"USD": Decimal("1.5")}
    beyond = order.model_copy(update={"filled_quantity": guessed.trade.quantity * 2})
    assert fees([guessed], [beyond]) == {"USD": Decimal("1.5")}, "of an order with more fills than these"


def test_a_fill_says_the_fee_that_the_venues_ledger_told_and_is_no_estimate_any_more() -> None:
    guessed, other = fill(fees={"USD": "1.5"}, estimated=True), fill(trade_id="T2", estimated=True)
    (event, *_) = make_events(make_decision(), make_orders(make_decision()))
    told = {"trade": guessed.key, "fees": {"BNB": "0.003"}}
    events = (event, event.model_copy(update={"cause": FEE_CORRECTED, "detail": told}))
    found = corrected(guessed, events)
    assert (found.trade.fees, found.trade.estimated) == ({"BNB": Decimal("0.003")}, False)
    assert corrected(other, events) == other
