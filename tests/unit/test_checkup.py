"""What the doctor makes of each fact: the level, the words, and that every trouble comes with what to do."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from belay.adapters.live.profiles import load_profile
from belay.adapters.live.reading import Unbelievable, read_rights
from belay.domain.account import Stop, StopLevel
from belay.domain.checkup import (
    Access,
    DoctorRequest,
    Finding,
    Level,
    fail,
    judge_access,
    judge_balances,
    judge_clock,
    judge_keys,
    judge_orders,
    judge_refusal,
    judge_size,
    ok,
)
from belay.domain.errors import InvalidInput
from belay.domain.risk import LineVerdict, check
from belay.domain.surroundings import (
    ProfileFacts,
    Subscription,
    Surroundings,
    SwitchView,
    judge_gate,
    judge_hosts,
    judge_incidents,
    judge_limits,
    judge_on_call,
    judge_profile,
    judge_stops,
    judge_switch,
)
from tests.builders import (
    PRICE,
    make_account,
    make_document,
    make_limits,
    make_market,
    make_order,
    make_situation,
    make_stop,
    make_venue_order,
)

FULL = Access(read=True, trade=True, cancel=True, withdraw=False, bound=True)


def levels(findings: Any) -> dict[str, Level]:
    return {finding.check: finding.level for finding in findings}


# --- findings -----------------------------------------------------------------------------------------


def test_a_finding_says_what_to_do_exactly_if_something_is_to_be_done() -> None:
    assert ok("gate", "open").remedy == ""
    with pytest.raises(ValidationError):
        fail("gate", "closed", "")
    with pytest.raises(ValidationError):
        Finding(check="gate", level=Level.OK, found="open", remedy="Rejoice.")


@pytest.mark.parametrize("asked", [{"function": "evaluator"}, {"key": "planted"}, [], None])
def test_a_request_that_is_none_is_refused_and_not_repeated(asked: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^doctor") as refused:
        DoctorRequest.parse(asked)
    assert "planted" not in str(refused.value)


# --- keys ---------------------------------------------------------------------------------------------


def test_a_key_with_exactly_the_rights_it_needs_is_as_it_should_be() -> None:
    for function in ("executor", "reconciler"):
        assert set(levels(judge_access(function, FULL)).values()) == {Level.OK}


@pytest.mark.parametrize(
    ("changes", "function", "check", "level"),
    [
        ({"withdraw": True}, "executor", "executor key, withdrawal", Level.FAIL),
        ({"withdraw": True}, "reconciler", "reconciler key, withdrawal", Level.FAIL),
        ({"withdraw": None}, "executor", "executor key, withdrawal", Level.WARN),
        ({"read": False}, "executor", "executor key", Level.FAIL),
        ({"trade": False}, "executor", "executor key", Level.FAIL),
        ({"cancel": False}, "reconciler", "reconciler key", Level.FAIL),
        ({"trade": None}, "executor", "executor key", Level.WARN),
        ({"read": False, "trade": None}, "executor", "executor key", Level.FAIL),
        ({"bound": False}, "executor", "executor key, addresses", Level.WARN),
        ({"bound": None}, "executor", "executor key, addresses", Level.WARN),
        ({"more": ("enableFutures",)}, "executor", "executor key, more rights", Level.WARN),
    ],
)
def test_each_right_that_is_missing_or_too_much_is_one_finding(
    changes: dict[str, Any], function: Any, check: str, level: Level
) -> None:
    found = levels(judge_access(function, FULL.model_copy(update=changes)))
    assert found.pop(check) is level
    assert set(found.values()) == {Level.OK}


def test_the_reconciler_needs_no_right_to_trade_and_the_executor_none_to_cancel() -> None:
    assert levels(judge_access("reconciler", FULL.model_copy(update={"trade": False})))["reconciler key"] is Level.OK
    assert levels(judge_access("executor", FULL.model_copy(update={"cancel": False})))["executor key"] is Level.OK


def test_a_key_of_which_nothing_is_told_is_never_as_it_should_be() -> None:
    assert Level.OK not in levels(judge_access("executor", Access())).values()
    assert Level.FAIL not in levels(judge_access("executor", Access())).values()


@pytest.mark.parametrize(
    ("code", "check", "found"),
    [
        ("http_451", "region", "the venue answers HTTP 451: it refuses this region or network"),
        ("http_403", "region", "the venue answers HTTP 403: it refuses this region or network"),
        ("-2015", "executor key", "-2015"),
        ("key_malformed", "executor key", "key_malformed"),
    ],
)
def test_a_refused_region_is_told_from_a_refused_key(code: str, check: str, found: str) -> None:
    finding = judge_refusal("executor", code, "store it")
    assert (finding.check, finding.level, finding.found) == (check, Level.FAIL, found)


@pytest.mark.parametrize(
    ("reconciler", "executor", "level"),
    [("a", "b", Level.OK), ("a", "a", Level.FAIL), (None, "a", Level.FAIL), (None, None, Level.FAIL)],
)
def test_two_functions_have_two_keys(reconciler: str | None, executor: str | None, level: Level) -> None:
    assert judge_keys(reconciler, executor).level is level


@pytest.mark.parametrize(
    ("accounts", "level"), [(("1", "2"), Level.FAIL), (("1", "1"), Level.OK), (("1", None), Level.OK)]
)
def test_r26_two_functions_have_keys_of_one_account(accounts: tuple[str | None, str | None], level: Level) -> None:
    assert judge_keys("a", "b", accounts).level is level


# --- what a venue answers about a key, as it documents it ------------------------------------------------

BINANCE = {
    "ipRestrict": False,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": True,
    "enableSpotAndMarginTrading": True,
    "enablePortfolioMarginTrading": False,
}
TRADING = ["query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades"]


def kraken(*permissions: str, addresses: tuple[str, ...] = ()) -> dict[str, Any]:
    key = {"apiKeyName": "belay", "apiKey": "planted", "nonceWindow": 0, "ipAllowlist": list(addresses)}
    return {"error": [], "result": {**key, "permissions": list(permissions)}}


def rights_at(venue: str, answer: Any) -> Access:
    """An answer, read as the venue's profile says."""
    rights = load_profile(venue).rights
    assert rights is not None
    return read_rights(rights, answer)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"read": True, "trade": True, "cancel": True, "withdraw": False, "bound": False}),
        ({"enableWithdrawals": True, "ipRestrict": True}, {"withdraw": True, "bound": True}),
        ({"enableSpotAndMarginTrading": False}, {"trade": False, "cancel": False, "read": True}),
        ({"enableWithdrawals": "false"}, {"withdraw": None}),
        (
            {"enableFutures": True, "permitsUniversalTransfer": True},
            {"more": ("enableFutures", "permitsUniversalTransfer")},
        ),
        ({"enableTeleport": True}, {"more": ("enableTeleport",)}),
    ],
)
def test_binances_answer_is_read_as_documented(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    access = rights_at("binance", {**BINANCE, **changes})
    assert {name: getattr(access, name) for name in expected} == expected


def test_what_binance_leaves_out_is_not_told() -> None:
    for name in ("enableReading", "enableWithdrawals", "enableSpotAndMarginTrading"):
        access = rights_at("binance", {key: value for key, value in BINANCE.items() if key != name})
        assert None in (access.read, access.withdraw, access.trade)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            kraken(*TRADING),
            {"read": True, "trade": True, "cancel": True, "withdraw": False, "bound": False, "more": ()},
        ),
        (kraken(*TRADING, "withdraw-funds", addresses=("192.0.2.1",)), {"withdraw": True, "bound": True}),
        (kraken(*TRADING[:-1]), {"trade": True, "cancel": False}),
        (kraken("query-funds"), {"read": False, "trade": False}),
        (kraken(*TRADING, "query-ledger", "earn-funds"), {"more": ("earn-funds",)}),
    ],
)
def test_krakens_answer_is_read_as_documented(answer: Any, expected: dict[str, Any]) -> None:
    access = rights_at("kraken", answer)
    assert {name: getattr(access, name) for name in expected} == expected


@pytest.mark.parametrize(
    "permissions", [None, "withdraw-funds", 7, [1], [["withdraw-funds"]], ["<html>"], ["\x1b[2J"], [None]]
)
def test_an_answer_of_another_shape_is_not_believed(permissions: Any) -> None:
    with pytest.raises(Unbelievable):
        rights_at("kraken", {"error": [], "result": {"permissions": permissions}})


# --- sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["5", "9.99", "10", "10.01", "11", "11.5", "12", "13", "20", "2000"])
@pytest.mark.parametrize("fee", ["0", "0.001", "0.06"])
def test_an_order_size_fails_exactly_where_risk_would_deny_the_entry(bound: str, fee: str) -> None:
    market, limits = make_market(taker_fee=fee), make_limits(max_order_notional=bound)
    order = make_order(quantity=None, notional=bound, resizable=True)
    verdict = check(order, make_account(), make_document(limits=limits), make_situation(market=market))
    (line,) = [line for line in verdict.lines if line.limit == "venue_minimum"]
    finding = judge_size(market, PRICE, limits)
    assert finding is not None
    assert (finding.level is Level.FAIL) == (line.verdict is LineVerdict.DENY)


@given(
    price=st.decimals("0.001", "100000", places=3),
    step=st.sampled_from(["1", "0.1", "0.001", "0.00001"]),
    least_quantity=st.decimals("0", "10", places=4),
    least_notional=st.decimals("0", "50", places=2),
    fee=st.decimals("0", "0.01", places=4),
)
def test_the_least_size_that_is_named_suffices_and_a_step_less_does_not(
    price: Decimal, step: str, least_quantity: Decimal, least_notional: Decimal, fee: Decimal
) -> None:
    market = make_market(quantity_step=step, min_quantity=least_quantity, min_notional=least_notional, taker_fee=fee)

    def level(bound: Decimal) -> Level:
        unbounded: dict[str, Any] = {"max_position_notional": {}, "max_aggregate_exposure": None}
        finding = judge_size(market, price, make_limits(max_order_notional=bound, **unbounded))
        assert finding is not None
        return finding.level

    finding = judge_size(market, price, make_limits(max_order_notional="1e-18"))
    assert finding is not None
    assert finding.level is Level.FAIL
    least = Decimal(finding.remedy.split()[3])
    assert level(least) is not Level.FAIL
    less = least - Decimal(step) * price - Decimal("0.01")
    assert less <= 0 or level(less) is Level.FAIL


def test_without_any_limit_there_is_no_size_to_judge() -> None:
    unbounded = make_limits(max_order_notional=None, max_position_notional={}, max_aggregate_exposure=None)
    assert judge_size(make_market(), PRICE, unbounded) is None


# --- the rest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "bound", "level"),
    [
        ("5", 5, Level.OK),
        ("-5", 5, Level.OK),
        ("5.001", 5, Level.FAIL),
        ("-30", 5, Level.FAIL),
        ("0", None, Level.WARN),
    ],
)
def test_a_clock_is_judged_by_its_limit(offset: str, bound: int | None, level: Level) -> None:
    assert judge_clock(Decimal(offset), bound).level is level


def test_missing_limits_are_named() -> None:
    assert judge_limits(["max_order_notional", "submissions_per_minute"]).found == (
        "missing: max_order_notional, submissions_per_minute"
    )
    assert judge_limits([]).level is Level.OK


KNOWN = ProfileFacts("deadline of 10 s", True, True, True, "Taken in BNB where the account pays with it.", ())


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, set()),
        ({"fence": "none", "definitive": False}, {"fence"}),
        ({"second_attempt": False}, {"second attempt"}),
        ({"market_buys": False}, {"market orders"}),
        ({"unverified": ("lookups", "fence")}, {"unverified"}),
    ],
)
def test_whatever_a_profile_leaves_open_is_warned_of(changes: dict[str, Any], warned: set[str]) -> None:
    found = judge_profile(KNOWN._replace(**changes), {"BTC", "USD"}, ["USD"])
    assert {finding.check for finding in found if finding.level is Level.WARN} == warned
    assert {finding.level for finding in found} <= {Level.OK, Level.WARN}


@pytest.mark.parametrize(
    ("held", "listed", "level"),
    [
        (["USD"], {"BTC", "USD"}, Level.OK),
        (["BNB", "USD"], {"BTC", "USD"}, Level.WARN),
        (["BNB", "USD"], {"BNB", "USD"}, Level.OK),
        (["BN", "BNBX"], {"BTC", "USD"}, Level.OK),
    ],
)
def test_a_fee_asset_matters_when_it_is_held_and_not_listed(held: list[str], listed: set[str], level: Level) -> None:
    assert levels(judge_profile(KNOWN, listed, held))["fees"] is level


def test_foreign_orders_are_named_but_not_all_of_many() -> None:
    orders = [make_venue_order(client_order_id=f"cron-{number}") for number in range(7)]
    finding = judge_orders([*orders, make_venue_order(client_order_id=None)])
    assert finding.found.startswith("8 not Belay's: cron-0 (buy BTC/USD), cron-1 (buy BTC/USD)")
    assert finding.found.endswith("and 3 more")
    assert judge_orders([]).level is Level.OK


def test_before_the_books_are_opened_every_coin_is_nobodys() -> None:
    total = {"USD": Decimal(100), "BTC": Decimal("0.5"), "DOGE": Decimal(9)}
    found = judge_balances(make_document(), make_account(), total)
    assert [(finding.check, finding.level, finding.found) for finding in found] == [
        ("funds", Level.OK, "100 USD"),
        ("balances", Level.WARN, "no strategy's: 0.5 BTC"),
    ]
    opened = make_account(opening={"BTC": Decimal("0.2"), "USD": Decimal(100)})
    assert judge_balances(make_document(), opened, total)[1].found == "no strategy's: 0.2 BTC"
    assert levels(judge_balances(make_document(), make_account(), {})) == {"funds": Level.WARN, "balances": Level.OK}


HEARD = Subscription(protocol="email", endpoint="ann@desk.example", confirmed=True)
WAITING = HEARD.model_copy(update={"confirmed": False, "endpoint": "bob@desk.example"})


@pytest.mark.parametrize(
    ("subscriptions", "live", "paper"),
    [
        ((HEARD,), Level.OK, Level.OK),
        ((HEARD, WAITING), Level.OK, Level.OK),
        ((WAITING,), Level.FAIL, Level.WARN),
        ((), Level.FAIL, Level.WARN),
        (None, Level.FAIL, Level.WARN),
    ],
)
def test_somebody_must_be_told_of_a_live_accounts_incidents(subscriptions: Any, live: Level, paper: Level) -> None:
    around = Surroundings(subscriptions=subscriptions, unseen="AuthorizationError", switch=None)
    assert (judge_on_call(around, live=True).level, judge_on_call(around, live=False).level) == (live, paper)


def test_who_has_not_confirmed_is_named_beside_who_has() -> None:
    around = Surroundings(subscriptions=(HEARD, WAITING), switch=None)
    assert judge_on_call(around, live=True).found == "email ann@desk.example; not confirmed: email bob@desk.example"


def test_the_switch_is_judged_by_what_the_executor_reads() -> None:
    running = SwitchView(level=StopLevel.RUNNING, reason="")
    around = Surroundings(subscriptions=(), switch=running)
    assert judge_switch(around, running).level is Level.OK
    assert judge_switch(around, None).found == "running"
    halted = SwitchView(level=StopLevel.HALTED, reason="cannot be read: AccessDeniedException")
    assert judge_switch(around, halted).level is Level.FAIL
    assert "AccessDeniedException" in judge_switch(around, halted).found
    missing = around.model_copy(update={"switch": None, "unread": "ParameterNotFound"})
    assert judge_switch(missing, halted).level is Level.FAIL


@pytest.mark.parametrize(
    ("why_closed", "age", "level", "found"),
    [
        (None, 12, Level.OK, "open, the last clean reconciliation began 12 s ago"),
        ("too old", 900, Level.WARN, "closed: too old, the last clean reconciliation began 900 s ago"),
        ("not reconciled yet", None, Level.WARN, "closed: not reconciled yet"),
    ],
)
def test_a_closed_gate_is_warned_of(why_closed: str | None, age: int | None, level: Level, found: str) -> None:
    finding = judge_gate(why_closed, age)
    assert (finding.level, finding.found) == (level, found)


STOPS = {
    "an operator's, of everything": (
        make_stop(author="ann"),
        "the whole account: halted by ann (maintenance)",
        "belay release --account paper --reason ...",
    ),
    "an operator's, of one symbol of a strategy": (
        make_stop(strategy="my strategy", symbol="BTC/USD", level=StopLevel.REDUCE_ONLY),
        "my strategy in BTC/USD: reduce-only by operator (maintenance)",
        "belay release --account paper --strategy 'my strategy' --symbol BTC/USD --reason ...",
    ),
    "an incident's": (
        make_stop(author="belay", incident="overfill:abc", reason="incident overfill:abc"),
        "the whole account: halted by belay (incident overfill:abc)",
        "belay incidents resolve overfill:abc --account paper --reason ...",
    ),
}


@pytest.mark.parametrize(("stop", "found", "command"), STOPS.values(), ids=STOPS)
def test_what_is_stopped_is_warned_of_with_the_command_that_lifts_it(stop: Stop, found: str, command: str) -> None:
    finding = judge_stops("paper", (stop,))
    assert (finding.level, finding.found) == (Level.WARN, found)
    assert finding.remedy == f"Once the cause is dealt with: {command}."


def test_open_incidents_are_warned_of() -> None:
    finding = judge_incidents("paper", ["overfill:abc", "balance_mismatch:USD"])
    assert (finding.level, finding.found) == (Level.WARN, "2 open: overfill:abc, balance_mismatch:USD")
    assert "belay incidents resolve overfill:abc --account paper" in finding.remedy


def test_an_account_that_nothing_stops_is_fit() -> None:
    assert [judge_stops("paper", ()).level, judge_incidents("paper", ()).level] == [Level.OK, Level.OK]


def test_every_host_is_told_and_none_at_all_is_a_failure() -> None:
    origins = ("http://127.0.0.1:8080", "https://api.example:443")
    assert judge_hosts(origins[1:]) == ok("hosts", "https://api.example:443")
    on_this_machine = judge_hosts(origins)
    assert on_this_machine.level is Level.WARN
    assert on_this_machine.found.startswith("http://127.0.0.1:8080, https://api.example:443; http is for tests")
    assert judge_hosts(()).level is Level.FAIL
