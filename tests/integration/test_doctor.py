"""`belay doctor` before a live account trades: real functions with real ccxt classes against the venue server."""

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from itertools import count
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from belay.adapters.aws import telemetry
from belay.adapters.aws.secrets import Credentials
from belay.adapters.live import accounts as live_accounts
from belay.adapters.live.account_market import InMemoryMarketCache
from belay.adapters.live.accounts import LiveAccount, LiveAccounts
from belay.adapters.live.profiles import profile_of
from belay.adapters.live.public_market import CcxtMarketData
from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryAlerts, InMemoryKillSwitch, InMemoryQueue, gather_in_order
from belay.adapters.paper.store import InMemoryPaperStore
from belay.adapters.paper.venue import LiveFeed, PaperMarketData, PaperVenue
from belay.bootstrap import NoSwitch
from belay.cli.desk import Desk, FunctionFailed, Switch, desk_over
from belay.cli.main import app
from belay.domain.account import StopLevel
from belay.domain.decisions import Side, TimeInForce
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import AccountRefused
from belay.domain.proofs import fingerprint
from belay.domain.surroundings import Subscription, Surroundings, SwitchView
from belay.domain.venues import OrderRequest, OutcomeKind
from belay.local.programs import ROOT
from belay.ports import Clock, MarketData, Services, Venue
from belay.workflows.adopt import answer as adopt
from belay.workflows.doctor import answer
from belay.workflows.reconcile import reconcile
from tests.builders import make_document, make_incident, make_limits, make_paper_settings, make_stop
from tests.integration.test_build import ENVIRONMENT
from tests.venue_server import ManualTime, VenueServer
from tests.world import World

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("venue", ["binance", "kraken"])
EACH_FUNCTION = pytest.mark.parametrize("function", ["executor", "reconciler"])
QUOTES = {"binance": "USDT", "kraken": "USD"}
ON_CALL = Subscription(protocol="email", endpoint="ann@desk.example", confirmed=True)
RUNNING = SwitchView(level=StopLevel.RUNNING, reason="first start")
SURROUNDINGS = Surroundings(subscriptions=(ON_CALL,), switch=RUNNING)
LAYER = "layer:1"
# What fails where no function opens the account.
UNOPENED = {"executor", "reconciler", "keys differ"}
# What a new key at a known venue is told all the same.
EXPECTED = {"executor key, addresses", "reconciler key, addresses", "unverified", "hosts"}


@dataclass
class MachineClock:
    """The functions' clock: the market's plus what it is wrong by. Implements `ports.Clock`."""

    base: ManualTime
    wrong_seconds: float = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.base.now().timestamp() + self.wrong_seconds, UTC)

    def sleep(self, seconds: float) -> None:
        self.base.advance(seconds)


@dataclass
class KeyStore:
    """Implements `secrets.Secrets`."""

    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self, name: str) -> Credentials:
        if name not in self.keys:
            raise AccountRefused("key_unreadable", f"{name} cannot be read (ParameterNotFound): store it")
        return Credentials(self.keys[name])


@dataclass
class FunctionVenues:
    """Implements `ports.Venues` for one function: a live account with its own key, or a paper one on a live market."""

    accounts: LiveAccounts
    machine: MachineClock
    opened: dict[str, LiveAccount] = field(default_factory=dict)

    def clock(self, _document: AccountDocument) -> Clock:
        return self.machine

    def market_data(self, document: AccountDocument) -> MarketData:
        if document.paper is not None:
            return PaperMarketData(_public(document), document.paper)
        return self._open(document).market_data

    def venue(self, document: AccountDocument) -> Venue:
        if document.paper is not None:
            return PaperVenue(document, InMemoryPaperStore(document.account), LiveFeed(_public(document)))
        return self._open(document).venue

    def _open(self, document: AccountDocument) -> LiveAccount:
        name = document.model_dump_json()
        if name not in self.opened:
            self.opened[name] = self.accounts.open(document)
        return self.opened[name]


def _public(document: AccountDocument) -> CcxtMarketData:
    assert document.paper is not None
    return CcxtMarketData(str(document.paper.exchange), document.options)


@dataclass
class Practice:
    """One stage with one live account, and an operator who may ask for everything."""

    venue: str
    server: VenueServer
    base: ManualTime
    machine: MachineClock
    keys: KeyStore = field(default_factory=KeyStore)
    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    switch: InMemoryKillSwitch = field(default_factory=InMemoryKillSwitch)
    cache: InMemoryMarketCache = field(default_factory=InMemoryMarketCache)
    around: Surroundings = SURROUNDINGS
    asked: list[tuple[str, Any]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    functions: dict[str, FunctionVenues] = field(default_factory=dict)
    instead: dict[str, Callable[[Any], dict[str, Any]]] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=count)

    @property
    def symbol(self) -> str:
        return f"BTC/{QUOTES[self.venue]}"

    # --- before ---

    def give_key(self, function: str, **flags: bool) -> None:
        key = self.server.add_key(self.venue, function, **flags)
        self.keys.keys[f"/belay/dev/{function}/main"] = {"apiKey": key.api_key, "secret": key.secret}
        self.secrets += [key.api_key, key.secret]

    def document(self, **changes: Any) -> AccountDocument:
        document: dict[str, Any] = {
            "account": "main",
            "venue": self.venue,
            "mode": "live",
            "paper": None,
            "symbols": (self.symbol,),
            "options": {**self.server.client_options(self.venue), "timeout": 300},
            "executor_secret": "/belay/dev/executor/main",
            "reconciler_secret": "/belay/dev/reconciler/main",
            "sandbox": False,
            "limits": make_limits(max_position_notional={self.symbol: "5000"}),
        }
        return make_document(**{**document, **changes})

    def store(self, **changes: Any) -> None:
        document = self.document(**changes)
        before = self.ledger.configuration(document.account)
        version = before.version + 1 if before else 1
        self.ledger.store_configuration(
            Configuration(version=version, document=document, author="ann", stored_at=self.base.now())
        )

    def reconcile(self) -> None:
        assert reconcile("main", self.services("reconciler")).clean

    # --- the functions and the desk ---

    def services(self, function: str) -> Services:
        if function not in self.functions:
            accounts = LiveAccounts("dev", self.keys, f"{function}_secret", self.cache, self.machine)
            self.functions[function] = FunctionVenues(accounts, self.machine)
        return Services(
            stage="dev",
            layer_version=LAYER,
            ledger=self.ledger,
            venues=self.functions[function],
            kill_switch=self.switch if function == "executor" else NoSwitch(),
            queue=InMemoryQueue(),
            alerts=InMemoryAlerts(),
            gather=gather_in_order,
            clock=self.machine,
            new_id=lambda: f"id-{next(self.ids):06}",
        )

    def ask(self, function: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """As the desk invokes it: what passes is text."""

        def invoke(event: Mapping[str, Any]) -> dict[str, Any]:
            told = json.loads(json.dumps(event))
            self.asked.append((function, told))
            said = self.instead[function](told) if function in self.instead else answer(told, self.services(function))
            passed = json.dumps(said)
            assert not [secret for secret in self.secrets if secret in passed]
            return cast(dict[str, Any], json.loads(passed))

        return invoke

    def desk(self) -> Desk:
        return Desk(
            stage="dev",
            ledger=self.ledger,
            switch=cast(Switch, self.switch),
            proof_of=lambda stored: self.ledger.proof("main", fingerprint(stored, LAYER, self.ledger.table_id)),
            venue_time=lambda _document: self.base.now(),
            publish=lambda _order: None,
            ask_reconciler=self.ask("reconciler"),
            ask_executor=self.ask("executor"),
            surroundings=lambda: self.around,
        )

    def run(self, *arguments: str) -> Result:
        """Run `belay`; whatever it says, it does not say a key."""
        result = CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: self.desk())
        assert not [secret for secret in self.secrets if secret in result.stdout + result.stderr]
        return result

    def checks(self) -> dict[str, dict[str, str]]:
        """Every check by its name, those of the stage too; the exit code says whether one failed."""
        result = self.run("doctor", "--json")
        document = json.loads(result.stdout)
        found = [check for part in (document, *document["accounts"]) for check in part["checks"]]
        assert len(found) == len({check["check"] for check in found}), "a check was told twice"
        assert result.exit_code == (1 if any(check["level"] == "fail" for check in found) else 0)
        return {check["check"]: check for check in found}

    def failures(self) -> set[str]:
        return {name for name, check in self.checks().items() if check["level"] == "fail"}

    def check(self, name: str) -> tuple[str, str, str]:
        """Level, what was found, what to do."""
        check = self.checks()[name]
        return check["level"], check["found"], check["remedy"]

    # --- others ---

    def trade_by_hand(self, **changes: Any) -> None:
        """Somebody places an order in this account at the venue itself."""
        account = self.functions["executor"]._open(self.document())
        now = account.market_data.time()
        request = {
            "client_order_id": f"{next(self.ids):032x}",
            "symbol": self.symbol,
            "side": Side.BUY,
            "quantity": "0.01",
            "limit_price": None,
            "time_in_force": TimeInForce.GTC,
            "claimed_at": now,
            "fence_at": account.venue.profile.fence_at(now),
            **changes,
        }
        assert account.venue.submit(OrderRequest.model_validate(request)).kind is OutcomeKind.ACCEPTED


@pytest.fixture
def base() -> ManualTime:
    return ManualTime(START)


@pytest.fixture
def server(base: ManualTime) -> Iterator[VenueServer]:
    with VenueServer(base) as running:
        yield running


def practice_at(venue: str, server: VenueServer, base: ManualTime) -> Practice:
    practice = Practice(venue, server, base, MachineClock(base))
    practice.switch.write(StopLevel.RUNNING, "first start", "ann", START)
    practice.give_key("executor")
    practice.give_key("reconciler")
    practice.store()
    return practice


@pytest.fixture
def practice(venue: str, server: VenueServer, base: ManualTime) -> Practice:
    return practice_at(venue, server, base)


@pytest.fixture
def binance(server: VenueServer, base: ManualTime) -> Practice:
    return practice_at("binance", server, base)


@pytest.fixture
def kraken(server: VenueServer, base: ManualTime) -> Practice:
    return practice_at("kraken", server, base)


# --- a healthy account --------------------------------------------------------------------------------


@BOTH
def test_a_healthy_account_passes_every_check(practice: Practice) -> None:
    practice.reconcile()
    checks = practice.checks()
    assert {name for name, check in checks.items() if check["level"] != "ok"} == EXPECTED
    assert {name for name in checks if name not in EXPECTED} == {
        "on-call",
        "kill switch",
        "document",
        "stops",
        "incidents",
        "limits",
        "reconciler key",
        "reconciler key, withdrawal",
        "executor key",
        "executor key, withdrawal",
        "keys differ",
        "clock",
        f"symbol {practice.symbol}",
        f"size {practice.symbol}",
        "open orders",
        "funds",
        "balances",
        "fence",
        "second attempt",
        "market orders",
        "fees",
        "gate",
    }
    assert checks["executor key"]["found"] == "is accepted and may read and trade"
    assert checks["reconciler key"]["found"] == "is accepted and may read and cancel"
    assert checks["hosts"]["found"].startswith(f"{practice.server.url}; http is for tests")


@BOTH
def test_examining_sends_nothing_to_the_venue_and_stores_nothing(practice: Practice) -> None:
    practice.reconcile()
    before = practice.ledger.account("main"), practice.ledger.suspicion("main"), practice.ledger.incidents("main")
    mark = len(practice.server.audit.requests())
    practice.checks()
    kinds = {request["kind"] for request in practice.server.audit.requests()[mark:]}
    assert kinds <= {"time", "key_info", "markets", "assets", "ticker", "open_orders", "balances"}
    assert "key_info" in kinds
    after = practice.ledger.account("main"), practice.ledger.suspicion("main"), practice.ledger.incidents("main")
    assert after == before


@BOTH
def test_each_function_uses_its_own_key_and_an_earlier_version_of_it_would_do_nothing(practice: Practice) -> None:
    practice.checks()
    assert {request["key"] for request in practice.server.audit.requests("key_info")} == {"executor", "reconciler"}
    assert [(function, event["doctor"]) for function, event in practice.asked] == [
        (function, {"function": function}) for function in ("reconciler", "executor")
    ]
    assert all(event["Records"] == [] for _, event in practice.asked)


@BOTH
def test_a_person_reads_one_line_per_check(practice: Practice) -> None:
    practice.reconcile()
    document = json.loads(practice.run("doctor", "--json").stdout)
    result = practice.run("doctor")
    lines = result.stdout.splitlines()
    shown = [line for line in lines if line.split()[0] in ("ok", "warn", "fail")]
    assert len(shown) == len(document["checks"]) + len(document["accounts"][0]["checks"])
    assert lines[0] == "Stage dev"
    assert f"Account main   {practice.venue}, live" in lines
    assert lines[-1] == f"{document['ok']} ok, {document['warn']} warn, 0 fail"
    assert result.exit_code == 0
    (unverified,) = [line for line in shown if "unverified: " in line]
    assert "history_lag_seconds, miss_spacing_seconds" in unverified
    assert "> Nobody has verified" in unverified


# --- keys ---------------------------------------------------------------------------------------------


@BOTH
@EACH_FUNCTION
def test_a_key_that_can_withdraw_fails(practice: Practice, function: str) -> None:
    practice.server.exchange.change_key(practice.venue, function, withdraw=True)
    assert practice.failures() == {f"{function} key, withdrawal"}
    assert practice.check(f"{function} key, withdrawal") == (
        "fail",
        "the key can withdraw everything",
        "Take the right to withdraw away at the venue, or store a key without it.",
    )


@BOTH
@EACH_FUNCTION
def test_a_revoked_key_fails(practice: Practice, function: str) -> None:
    practice.server.exchange.change_key(practice.venue, function, revoked=True)
    assert practice.failures() == {f"{function} key", "keys differ"}
    _, found, remedy = practice.check(f"{function} key")
    assert found == {"binance": "-2015", "kraken": "EAPI:Invalid key"}[practice.venue]
    assert "check the API key, its permissions, its allowed addresses and the region" in remedy
    assert practice.checks().get("open orders", {}).get("level") == ("ok" if function == "executor" else None)


@BOTH
@EACH_FUNCTION
def test_a_key_that_may_only_read_fails(practice: Practice, function: str) -> None:
    practice.server.exchange.change_key(practice.venue, function, trade=False)
    lacking = {"executor": "trade", "reconciler": "cancel"}[function]
    assert practice.failures() == {f"{function} key"}
    assert practice.check(f"{function} key") == (
        "fail",
        f"is accepted, but may not {lacking}",
        f"Give this key the right to {lacking} on spot at the venue.",
    )


@BOTH
def test_a_key_that_may_not_read_fails_and_the_rest_is_still_checked(practice: Practice) -> None:
    practice.server.exchange.change_key(practice.venue, "reconciler", read=False)
    assert practice.failures() == {"reconciler key", "balances"}
    assert practice.check("reconciler key")[1] == "is accepted, but may not read"
    assert practice.check("clock")[0] == "ok"


@BOTH
@EACH_FUNCTION
def test_a_key_that_was_not_stored_fails_and_names_the_secret(practice: Practice, function: str) -> None:
    name = f"/belay/dev/{function}/main"
    del practice.keys.keys[name]
    assert practice.failures() == {f"{function} key", "keys differ"}
    level, found, remedy = practice.check(f"{function} key")
    assert (level, found) == ("fail", "key_unreadable")
    assert remedy == f"{name} cannot be read (ParameterNotFound): store it."


@BOTH
def test_one_key_for_both_functions_fails(practice: Practice) -> None:
    keys = practice.keys.keys
    keys["/belay/dev/executor/main"] = keys["/belay/dev/reconciler/main"]
    assert practice.failures() == {"keys differ"}
    assert practice.check("keys differ")[1] == "executor and reconciler have the same key"


@BOTH
def test_the_digest_that_tells_two_keys_apart_stays_inside(practice: Practice) -> None:
    """It is compared at the desk, and shown to nobody."""
    event = {"account": "main", "doctor": {"function": "executor"}}
    digest = answer(event, practice.services("executor"))["key"]
    assert digest != answer({**event, "doctor": {}}, practice.services("reconciler"))["key"]
    assert digest not in practice.run("doctor", "--json").stdout


@BOTH
def test_at_a_venue_that_does_not_tell_a_keys_rights_somebody_has_to_look(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = profile_of(practice.document()).model_copy(update={"rights": None})
    monkeypatch.setattr(live_accounts, "profile_of", lambda _document: silent)
    assert practice.failures() == set()
    assert practice.check("executor key, withdrawal") == (
        "warn",
        "the venue does not tell whether the key can withdraw",
        "Look at the key's page at the venue: it must not be able to withdraw.",
    )
    practice.server.exchange.change_key(practice.venue, "executor", revoked=True)
    assert practice.failures() == {"executor key", "keys differ"}


@BOTH
@pytest.mark.parametrize("fault", ["drop_html", "accept_empty", "accept_truncated", "drop_status", "drop_hang"])
def test_an_answer_about_the_key_that_cannot_be_believed_proves_nothing(practice: Practice, fault: str) -> None:
    practice.server.add_fault(fault, kind="key_info", times=None)
    assert practice.failures() == {"executor key", "reconciler key", "keys differ"}
    assert practice.check("executor key")[2].startswith("Ask again")


def test_rights_that_an_answer_does_not_name_are_not_taken_for_absent(binance: Practice) -> None:
    binance.server.add_fault("accept_braces", kind="key_info", times=None)
    assert binance.failures() == set()
    assert binance.check("executor key")[:2] == (
        "warn",
        "is accepted; the venue does not tell whether it may read and trade",
    )
    assert binance.check("executor key, withdrawal")[0] == "warn"


# --- the way to the venue ------------------------------------------------------------------------------


@BOTH
def test_37_a_region_that_the_venue_refuses_is_named_and_is_no_matter_of_the_key(practice: Practice) -> None:
    practice.server.add_fault("restricted", kind=None, times=None)
    assert practice.failures() == {"region", "keys differ"}
    status = {"binance": 451, "kraken": 403}[practice.venue]
    assert practice.check("region") == (
        "fail",
        f"the venue answers HTTP {status}: it refuses this region or network",
        "Deploy the stack to a region that the venue serves.",
    )
    assert practice.check("not checked")[0] == "warn"


@BOTH
def test_a_venue_that_cannot_be_reached_is_told_once_and_nothing_else_of_it(practice: Practice) -> None:
    practice.server.stop()
    assert {"venue", "executor key", "reconciler key"} <= practice.failures()
    assert practice.check("venue")[1].startswith("cannot be reached")
    assert f"symbol {practice.symbol}" not in practice.checks()


@BOTH
@pytest.mark.parametrize(("wrong", "way"), [(30, "behind"), (-30, "ahead of")])
def test_a_clock_that_is_half_a_minute_off_fails(practice: Practice, wrong: float, way: str) -> None:
    practice.machine.wrong_seconds = wrong
    assert practice.failures() == {"clock"}
    _, found, remedy = practice.check("clock")
    assert found == f"the venue's is 30.000 s {way} ours; limits.clock_offset_seconds is 5"
    assert remedy.startswith("Nothing is claimed meanwhile.")


# --- symbols and sizes --------------------------------------------------------------------------------


@BOTH
def test_a_symbol_that_the_venue_does_not_list_fails_and_the_others_are_checked(practice: Practice) -> None:
    nowhere, quote = f"NOWHERE/{QUOTES[practice.venue]}", QUOTES[practice.venue]
    bounds = {practice.symbol: "5000", nowhere: "5000"}
    practice.store(symbols=(nowhere, practice.symbol), limits=make_limits(max_position_notional=bounds))
    assert practice.failures() == {f"symbol {nowhere}"}
    assert practice.check(f"symbol {nowhere}") == (
        "fail",
        f"{practice.venue} has no spot market NOWHERE/{quote}",
        "Correct the account document's symbols, or take this one out.",
    )
    assert practice.check(f"size {practice.symbol}")[0] == "ok"


@BOTH
def test_a_symbol_that_is_closed_for_trading_fails(practice: Practice) -> None:
    practice.checks()
    ((key, text),) = practice.cache._texts.items()
    stored = json.loads(text)
    stored["markets"][practice.symbol]["active"] = False
    practice.cache.store(key, json.dumps(stored))
    practice.functions.clear()  # a later process
    assert practice.failures() == {f"symbol {practice.symbol}"}
    assert practice.check(f"symbol {practice.symbol}")[1] == "is listed, but not open for trading"


@BOTH
def test_a_symbol_without_a_price_fails(practice: Practice) -> None:
    practice.server.add_fault("drop_html", kind="ticker", times=None)
    assert practice.failures() == {f"symbol {practice.symbol}"}
    assert practice.check(f"symbol {practice.symbol}")[2].startswith("Ask again")


@BOTH
@pytest.mark.parametrize("name", ["max_order_notional", "max_aggregate_exposure", "max_position_notional"])
def test_an_order_size_below_the_venues_minimum_fails_and_names_the_limit(practice: Practice, name: str) -> None:
    bound: Any = {practice.symbol: "4"} if name == "max_position_notional" else "4"
    bounds = {"max_position_notional": {practice.symbol: "5000"}, name: bound}
    practice.store(limits=make_limits(**bounds))
    practice.server.exchange.pin_price(practice.venue, practice.symbol, Decimal(50_000))
    assert practice.failures() == {f"size {practice.symbol}"}
    _, found, remedy = practice.check(f"size {practice.symbol}")
    named = f"{name} of {practice.symbol}" if name == "max_position_notional" else name
    told = "at 50000, 5.50 buys the least that can be sold again"
    assert found == f"{named} is 4 {QUOTES[practice.venue]}; {told}"
    assert remedy == "Raise it to 5.50 or more: every entry is denied."


@BOTH
def test_an_order_size_that_a_fall_would_trap_is_warned_of(practice: Practice) -> None:
    practice.store(limits=make_limits(max_position_notional={practice.symbol: "5000"}, max_order_notional="6"))
    practice.server.exchange.pin_price(practice.venue, practice.symbol, Decimal(50_000))
    assert practice.failures() == set()
    level, _, remedy = practice.check(f"size {practice.symbol}")
    assert level == "warn"
    assert "after a fall of a tenth the venue would not let the position be sold" in remedy


# --- what is there already ----------------------------------------------------------------------------


@BOTH
def test_open_orders_and_coins_that_are_nobodys_are_named(practice: Practice) -> None:
    practice.checks()
    practice.trade_by_hand()
    practice.trade_by_hand(limit_price="30000", client_order_id="5" * 32)
    level, found, remedy = practice.check("open orders")
    assert (level, found) == ("warn", f"1 not Belay's: {'5' * 32} (buy {practice.symbol})")
    assert "belay adopt" in remedy
    level, found, _ = practice.check("balances")
    assert (level, found.split()[-1]) == ("warn", "BTC")
    assert practice.failures() == set()


@BOTH
def test_coins_that_a_strategy_has_adopted_are_no_longer_nobodys(practice: Practice) -> None:
    practice.server.exchange.deposit(practice.venue, "BTC", Decimal("0.5"))
    practice.reconcile()
    assert practice.check("balances")[1] == "no strategy's: 0.5 BTC"
    practice.ledger.save_account(practice.ledger.account("main").with_stop(make_stop(level=StopLevel.REDUCE_ONLY)))
    wish = {"strategy": "trend", "symbol": practice.symbol, "whole": True, "price": "50000", "new_strategy": True}
    assert adopt({"account": "main", "adopt": wish}, practice.services("reconciler"))["adopted"]
    assert practice.check("balances")[0] == "ok"


@BOTH
def test_an_account_without_money_to_spend_is_warned_of(practice: Practice) -> None:
    quote = QUOTES[practice.venue]
    practice.server.exchange.deposit(practice.venue, quote, Decimal(-100_000))
    assert practice.check("funds") == (
        "warn",
        f"no {quote}: nothing can be bought",
        f"Deposit {quote} before entries are expected.",
    )


def test_a_fee_currency_that_the_account_holds_and_does_not_list_is_warned_of(binance: Practice) -> None:
    assert binance.check("fees")[0] == "ok"
    binance.server.exchange.deposit("binance", "BNB", Decimal(2))
    level, found, remedy = binance.check("fees")
    assert level == "warn"
    assert found.startswith("the account holds BNB, in which fees may be taken")
    assert "balance mismatch" in remedy


# --- the document -------------------------------------------------------------------------------------


def test_an_account_that_is_stopped_is_told_so_and_how_to_go_on(binance: Practice) -> None:
    halted = binance.run("halt", "--scope", "account", "--reason", "something smells", "--author", "ann")
    assert halted.exit_code == 0
    incident = make_incident(account="main")
    binance.ledger.open_incident(incident)
    level, found, remedy = binance.check("stops")
    assert (level, found) == ("warn", "the whole account: halted by ann (something smells)")
    assert "belay release --account main" in remedy
    level, found, remedy = binance.check("incidents")
    assert (level, found) == ("warn", f"1 open: {incident.incident_id}")
    assert f"belay incidents resolve {incident.incident_id} --account main" in remedy


@BOTH
def test_every_missing_limit_is_named(practice: Practice) -> None:
    practice.store(limits=make_limits(max_position_notional={}, max_order_notional=None, clock_offset_seconds=None))
    assert practice.failures() == {"document", "limits"}
    missing = f"missing: max_order_notional, clock_offset_seconds, max_position_notional.{practice.symbol}"
    assert practice.check("limits")[1] == missing


@BOTH
def test_a_secret_that_is_not_named_fails(practice: Practice) -> None:
    practice.store(executor_secret=None)
    assert practice.failures() == {"document", *UNOPENED}
    for check in ("document", "executor", "reconciler"):
        assert practice.check(check)[1] == "account.executor_secret: is missing"


@BOTH
def test_a_document_that_was_rewritten_in_the_ledger_is_named_and_nothing_is_asked(practice: Practice) -> None:
    """No function opens the account, so that no key is read, let alone sent."""
    practice.keys.keys.clear()
    place = "account.options.urls.api.private"
    for evil in ("http://evil.example", "https://x@evil.example"):
        urls = practice.document().options["urls"]["api"] | {"private": evil}
        practice.store(options={"urls": {"api": urls}})
        assert practice.failures() == {"document", *UNOPENED}
        assert practice.check("reconciler")[1] == f"{place}: is no address that a key may be sent to"
    assert practice.server.audit.requests() == []


@BOTH
def test_every_host_that_a_key_may_be_sent_to_is_told_whole(practice: Practice) -> None:
    urls = practice.document().options["urls"]["api"] | {"private": "https://api.evil.example:8443/api/v3"}
    practice.store(options={"urls": {"api": urls}, "timeout": 100})
    assert practice.check("hosts")[1].startswith(f"{practice.server.url}, https://api.evil.example:8443; ")


def test_a_venue_without_a_profile_fails_before_anything_is_asked_of_it(binance: Practice) -> None:
    binance.store(venue="bitstamp")
    failures = binance.failures()
    assert failures == {"document", "reconciler", "executor", "keys differ"}
    assert "venue_profile" in binance.check("document")[2]
    assert binance.server.audit.requests() == []


def test_the_generic_profile_says_all_that_it_leaves_open(binance: Practice) -> None:
    binance.store(venue_profile="generic")
    assert binance.failures() == {"balances"}
    assert "fetch_open_orders" in binance.check("balances")[1]
    options = {**binance.document().options, "options": {"warnOnFetchOpenOrdersWithoutSymbol": False}}
    binance.store(venue_profile="generic", options=options)
    assert binance.failures() == set()
    warned = {name for name, check in binance.checks().items() if check["level"] == "warn"}
    assert {"fence", "second attempt", "market orders", "unverified"} <= warned
    assert binance.check("fence")[1] == "none; absence cannot be proven, what is unknown stays so"


@BOTH
def test_before_the_first_clean_reconciliation_the_gate_is_closed(practice: Practice) -> None:
    level, found, _ = practice.check("gate")
    assert (level, found) == ("warn", "closed: not reconciled yet by this deployment with this account document")
    practice.reconcile()
    assert practice.check("gate")[1] == "open, the last clean reconciliation began 0 s ago"
    practice.base.advance(3600)
    assert practice.check("gate")[1].startswith("closed: the last clean reconciliation is too old")


# --- the stage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscriptions", "found"),
    [
        ((), "nobody is told of incidents"),
        ((ON_CALL.model_copy(update={"confirmed": False}),), "not confirmed: email ann@desk.example"),
        (None, "cannot be seen: AuthorizationError"),
    ],
)
def test_a_live_account_needs_somebody_who_is_told_of_incidents(
    binance: Practice, subscriptions: Any, found: str
) -> None:
    changed = {"subscriptions": subscriptions, "unseen": "" if subscriptions is not None else "AuthorizationError"}
    binance.around = binance.around.model_copy(update=changed)
    assert binance.failures() == {"on-call"}
    assert binance.check("on-call")[1] == found


@pytest.mark.parametrize("unread", ["ParameterNotFound", "AccessDeniedException", "it is malformed"])
def test_a_switch_that_cannot_be_read_fails(binance: Practice, unread: str) -> None:
    binance.around = binance.around.model_copy(update={"switch": None, "unread": unread})
    assert binance.failures() == {"kill switch"}
    assert binance.check("kill switch")[1] == f"cannot be read: {unread}"


def test_a_switch_that_the_executor_reads_otherwise_fails(binance: Practice) -> None:
    binance.switch.text = "running"
    assert binance.failures() == {"kill switch"}
    found = "is running, but the executor reads halted: the kill switch is malformed; set it again"
    assert binance.check("kill switch")[1] == found


def test_a_switch_that_halts_on_purpose_is_as_it_should_be(binance: Practice) -> None:
    binance.switch.write(StopLevel.HALTED, "not yet", "ann", START)
    binance.around = binance.around.model_copy(update={"switch": SwitchView(level=StopLevel.HALTED, reason="not yet")})
    assert binance.check("kill switch") == ("ok", "halted: not yet", "")


# --- functions that do not answer ---------------------------------------------------------------------


def _failed(_event: Any) -> dict[str, Any]:
    raise FunctionFailed("belay-dev-executor failed: Runtime.ImportModuleError; see its log")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (lambda _event: {"results": []}, "its deployed version cannot examine anything yet"),
        (_failed, "does not answer: belay-dev-executor failed: Runtime.ImportModuleError; see its log"),
    ],
)
@EACH_FUNCTION
def test_a_function_that_does_not_answer_is_a_failed_check(
    binance: Practice, function: str, said: Any, found: str
) -> None:
    binance.instead[function] = said
    assert binance.failures() == {function, "keys differ"}
    assert binance.check(function)[1] == found


def test_what_a_function_answers_is_data_whatever_it_is_asked(binance: Practice) -> None:
    def said(event: Any) -> str:
        return str(answer(event, binance.services("reconciler"))["error"])

    assert said({"account": "nobody", "doctor": {}}) == "account"
    assert said({"account": "main", "doctor": {"function": "evaluator"}}) == "doctor.function"
    assert said({"doctor": []}) == "doctor"


# --- a stage without accounts, accounts that do not exist ----------------------------------------------


def test_a_stage_without_an_account_says_how_to_store_one(binance: Practice) -> None:
    binance.ledger = InMemoryLedger()
    assert binance.failures() == {"accounts"}
    assert "belay account set" in binance.check("accounts")[2]


def test_an_account_that_does_not_exist_is_bad_input(binance: Practice) -> None:
    result = binance.run("doctor", "--account", "nobody")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no account nobody" in result.stderr


# --- paper accounts -----------------------------------------------------------------------------------


def test_a_paper_account_on_a_live_market_gets_what_applies(kraken: Practice) -> None:
    paper = make_paper_settings(replay=False, exchange="kraken", balances={"USD": "10000"}, min_notional="10")
    kraken.ledger = InMemoryLedger()
    public = {"account": "main", "venue": "paper", "mode": "paper", "paper": paper, "sandbox": None}
    kraken.store(**public, executor_secret=None, reconciler_secret=None)
    kraken.around = kraken.around.model_copy(update={"subscriptions": ()})
    checks = kraken.checks()
    assert {name: check["level"] for name, check in checks.items()} == {
        "on-call": "warn",
        "kill switch": "ok",
        "document": "ok",
        "stops": "ok",
        "incidents": "ok",
        "limits": "ok",
        "clock": "ok",
        f"symbol {kraken.symbol}": "ok",
        f"size {kraken.symbol}": "ok",
        "open orders": "ok",
        "funds": "ok",
        "balances": "ok",
        "gate": "warn",
    }
    assert not [request for request in kraken.server.audit.requests() if request["key"]]


def test_a_replay_account_has_no_clock_of_its_own_to_check() -> None:
    world = World()
    examined = answer({"account": "paper", "doctor": {}}, world.services())
    assert [(found["check"], found["level"]) for found in examined["findings"]] == [
        ("symbol BTC/USD", "ok"),
        ("size BTC/USD", "ok"),
        ("open orders", "ok"),
        ("funds", "ok"),
        ("balances", "ok"),
    ]
    asked = answer({"account": "paper", "doctor": {"function": "executor"}}, world.services())
    assert (asked["findings"], asked["switch"]["level"]) == ([], "running")


# --- the handler --------------------------------------------------------------------------------------


class Context:
    """What the logger wants to know of an invocation."""

    function_name = "belay-dev-reconciler"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:belay-dev-reconciler"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> tuple[World, Callable[[str], dict[str, Any]]]:
    """A world, and what the reconciler's handler answers there to a sample event."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    specification = importlib.util.spec_from_file_location("reconciler_app", ROOT / "functions/reconciler/app.py")
    assert specification is not None
    assert specification.loader is not None
    handler = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(handler)
    world = World()
    monkeypatch.setattr(handler, "SERVICES", world.services())

    def handle(sample: str) -> dict[str, Any]:
        event = json.loads((ROOT / f"events/reconciler/{sample}.json").read_text())
        return dict(handler.handler(event, Context()))

    return world, handle


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("request_name", ["doctor", "adopt"])
def test_the_reconcilers_handler_answers_the_sample_of_each_request(
    request_name: str, handled: tuple[World, Callable[[str], dict[str, Any]]]
) -> None:
    world, handle = handled
    answered = handle(request_name)
    assert answered["account"] == "paper"
    assert {"doctor": "findings", "adopt": "adopted"}[request_name] in answered
    assert world.incidents() == []


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_the_reconcilers_handler_looks_at_an_incident_before_it_ends_it(
    handled: tuple[World, Callable[[str], dict[str, Any]]],
) -> None:
    world, handle = handled
    assert handle("resolve")["error"] == "resolve.incident_id"
    world.open_gate()
    world.ledger.open_incident(make_incident())
    looked = handle("resolve")
    assert (looked["status"], looked["resolution"]) == ("resolved", "a deposit, rebased")


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_the_reconcilers_schedule_asks_for_an_invocation_of_each_account(
    handled: tuple[World, Callable[[str], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", "Belay")
    world, handle = handled
    assert handle("scheduled-run") == {"results": []}
    assert [message.body for message in world.queue.follow_ups] == [{"account": "paper"}]
    (result,) = handle("follow-up")["results"]
    assert (result["account"], result["clean"]) == ("paper", True)


# --- the operator's own rights, on AWS ----------------------------------------------------------------


OUTPUTS = {
    "LedgerTableName": "ledger",
    "AccountsTableName": "accounts",
    "ConfigurationTableName": "configuration",
    "IntentsQueueUrl": "https://queue",
    "KillSwitchParameterName": "/belay/dev/kill-switch",
    "ReconcilerFunctionName": "belay-dev-reconciler",
    "ExecutorFunctionName": "belay-dev-executor",
}


class Aws:
    """moto, with clients of a region and credentials that are nobody's."""

    @cached_property
    def topic(self) -> str:
        return str(self.client("sns").create_topic(Name="incidents")["TopicArn"])

    def client(self, service: str) -> Any:
        session = boto3.session.Session("testing", "testing", region_name="eu-west-1")
        return session.client(cast(Any, service))

    def surroundings(self) -> Surroundings:
        return desk_over("dev", {**OUTPUTS, "IncidentsTopicArn": self.topic}, self.client).surroundings()


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        yield Aws()


def test_who_is_told_and_the_stored_switch_are_read_with_the_operators_rights(aws: Aws) -> None:
    aws.client("sns").subscribe(TopicArn=aws.topic, Protocol="email", Endpoint="ann@desk.example")
    aws.client("sns").subscribe(TopicArn=aws.topic, Protocol="https", Endpoint="https://pager.example/hook/t0ken")
    value = '{"level": "reduce-only", "reason": "maintenance", "author": "ann", "at": "2024-03-01T12:00:00Z"}'
    aws.client("ssm").put_parameter(Name=OUTPUTS["KillSwitchParameterName"], Value=value, Type="String")
    seen = aws.surroundings()
    assert seen.switch == SwitchView(level=StopLevel.REDUCE_ONLY, reason="maintenance")
    assert seen.subscriptions is not None
    assert {(one.protocol, one.endpoint, one.confirmed) for one in seen.subscriptions} == {
        ("email", "ann@desk.example", True),
        ("https", "pager.example", True),
    }


def test_what_is_missing_or_malformed_is_told_as_such(aws: Aws) -> None:
    assert (aws.surroundings().subscriptions, aws.surroundings().unread) == ((), "ParameterNotFound")
    aws.client("ssm").put_parameter(Name=OUTPUTS["KillSwitchParameterName"], Value="on", Type="String")
    assert (aws.surroundings().switch, aws.surroundings().unread) == (None, "it is malformed")
    aws.client("sns").delete_topic(TopicArn=aws.topic)
    assert (aws.surroundings().subscriptions, aws.surroundings().unseen) == (None, "NotFound")


class Subscribers:
    """An SNS client whose topic has one subscription that nobody has confirmed; moto confirms each at once."""

    def get_paginator(self, _name: str) -> "Subscribers":
        return self

    def paginate(self, **_arguments: str) -> list[dict[str, Any]]:
        waiting = {"Protocol": "email", "Endpoint": "ann@desk.example", "SubscriptionArn": "PendingConfirmation"}
        return [{"Subscriptions": []}, {"Subscriptions": [waiting]}]


def test_a_subscription_that_nobody_confirmed_is_seen_as_such(aws: Aws) -> None:
    def client(service: str) -> Any:
        return Subscribers() if service == "sns" else aws.client(service)

    seen = desk_over("dev", {**OUTPUTS, "IncidentsTopicArn": "topic"}, client).surroundings()
    assert seen.subscriptions == (ON_CALL.model_copy(update={"confirmed": False}),)


# --- belay venues -------------------------------------------------------------------------------------


def no_desk(*arguments: str) -> Result:
    """Run `belay` where nothing may be asked of AWS."""

    def unreachable(_stage: str, _local: bool) -> Desk:
        raise AssertionError("AWS was asked")

    return CliRunner().invoke(app, list(arguments), obj=unreachable)


def test_the_venues_are_listed_without_aws() -> None:
    told = {one["venue"]: one for one in json.loads(no_desk("venues", "--json").stdout)}
    assert {name for name, one in told.items() if one["absence_provable"]} == {"binance", "kraken"}
    assert told["kraken"]["fence"] == "deadline of 10 s"
    assert told["kraken"]["second_attempt"] == "after_absence"
    assert "lookups" in told["kraken"]["unverified"]
    assert told["bitfinex"]["unsupported"]
    shown = no_desk("venues").stdout
    assert all(name in shown for name in told)


def test_one_venue_is_told_with_its_notes() -> None:
    told = json.loads(no_desk("venues", "binance", "--json").stdout)
    assert told["sandbox"] is True
    assert "BNB" in told["fee_quirks"]
    assert told["notes"][0] in " ".join(no_desk("venues", "binance").stdout.split())


def test_a_venue_that_is_not_known_is_bad_input() -> None:
    result = no_desk("venues", "nowhere")
    assert result.exit_code == 2
    assert "'nowhere' has no venue profile" in result.stderr
