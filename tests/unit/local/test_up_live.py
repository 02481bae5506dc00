"""`make up MODE=live` without an emulator: which account the variables make, whose keys, and where these never go."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from belay.adapters.memory.ports import InMemoryKillSwitch
from belay.cli.documents import example_document
from belay.cli.main import app
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.slots import EPOCH
from belay.local import daemon, up
from belay.local import keys as api_keys
from belay.local.account import first_document, require_same_market, source
from belay.local.daemon import Given, hold_live
from belay.local.keys import read_keys, store, variable, without_keys
from belay.local.place import Begun, Place
from belay.local.programs import StackError
from belay.local.stack import Stack
from belay.local.variables import Variables

HOSTS = {"urls": {"api": {"public": "http://127.0.0.1:8080/api/v3", "private": "http://127.0.0.1:8080/api/v3"}}}
OPTIONS = json.dumps(HOSTS)
KEYS = {
    "BELAY_EXECUTOR_KEY": "planted-executor-key",
    "BELAY_EXECUTOR_SECRET": "planted-executor-secret",
    "BELAY_RECONCILER_KEY": "planted-reconciler-key",
    "BELAY_RECONCILER_SECRET": "planted-reconciler-secret",
}


def made(**given: str) -> AccountDocument:
    document = Variables(**{"venue": "binance", "mode": "live", "options": OPTIONS, **given}).document("dev")
    assert document is not None
    return document


LIVE = made()


# --- the account -------------------------------------------------------------------------------------------


def test_nothing_asked_for_is_no_document() -> None:
    assert Variables().document("dev") is None


def test_a_live_account_has_the_examples_limits_and_names_a_key_for_each_function() -> None:
    document = made(symbols="ETH/USDT, BTC/USDT")
    example = AccountDocument.parse(example_document()).limits
    assert (document.account, document.venue, document.mode) == ("live", "binance", "live")
    assert document.symbols == ("ETH/USDT", "BTC/USDT")
    assert document.limits.max_order_notional == example.max_order_notional
    assert document.limits.max_position_notional == dict.fromkeys(document.symbols, 4000)
    assert (document.executor_secret, document.reconciler_secret) == (
        "/belay/dev/executor/live",
        "/belay/dev/reconciler/live",
    )


def test_each_venue_has_a_symbol_to_begin_with() -> None:
    assert LIVE.symbols == ("BTC/USDT",)
    assert made(venue="kraken").symbols == ("BTC/USD",)


def test_hosts_of_ones_own_are_the_venue_and_no_test_host() -> None:
    assert LIVE.sandbox is False
    assert source(LIVE) == "binance, live at http://127.0.0.1:8080, https://api.binance.com:443"
    on_test = made(options='{"timeout": 5000}', sandbox="true")
    assert source(on_test) == "binance, live at https://testnet.binance.vision:443"
    assert source(made(options="", sandbox="false")) == "binance, live at https://api.binance.com:443"
    assert source(made(venue="kraken")) == "kraken, live at http://127.0.0.1:8080"


def test_a_file_is_completed_by_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    written = LIVE.model_dump(mode="json", exclude={"executor_secret", "reconciler_secret", "sandbox", "options"})
    file.write_text(json.dumps(written | {"account": "desk", "venue": "kraken", "symbols": ["BTC/USDT"]}))
    document = made(account=str(file))
    assert (document.account, document.venue, document.options) == ("desk", "binance", HOSTS)
    assert document.executor_secret == "/belay/dev/executor/desk"


def test_a_venue_without_a_mode_is_where_paper_money_takes_its_prices_from() -> None:
    document = Variables(venue="binance").document("dev")
    assert document is not None
    assert (document.mode, document.account, source(document)) == (
        "paper",
        "paper",
        "the live public prices of binance",
    )


def test_what_the_file_alone_says_is_what_is_run(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(example_document())
    assert Variables(account=str(file)).document("dev") == AccountDocument.parse(example_document())


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an unknown venue": ({"venue": "nosuch"}, r"^VENUE: 'nosuch' has no venue profile"),
    "no venue": ({"venue": ""}, r"^VENUE: is missing"),
    "an unknown mode": ({"mode": "real"}, r"^MODE: 'real' is no mode"),
    "options that are no JSON": ({"options": "{urls"}, r"^VENUE_OPTIONS: is not JSON"),
    "options that are a list": ({"options": "[]"}, r"^VENUE_OPTIONS: is not a JSON object"),
    "a key among the options": (
        {"options": '{"apiKey": "planted"}', "sandbox": "true"},
        r"^VENUE_OPTIONS: options.apiKey is",
    ),
    "an option that loosens": (
        {"options": '{"verbose": true}', "sandbox": "true"},
        r"^VENUE_OPTIONS\.verbose: may not",
    ),
    "a symbol that is none": ({"symbols": "BTCUSDT"}, r"^SYMBOLS\.0: "),
    "two quote currencies": ({"symbols": "BTC/USDT,BTC/EUR"}, r"all symbols of an account share one quote"),
    "neither a test host nor real": ({"options": ""}, r"^SANDBOX: is missing. .*real money"),
    "neither true nor false": ({"sandbox": "maybe"}, r"^SANDBOX: 'maybe' is neither true nor false"),
    "no test host to be had": (
        {"venue": "kraken", "options": "", "sandbox": "1"},
        r"^SANDBOX: kraken has no test host",
    ),
    "hosts and a test host": ({"sandbox": "true"}, r"^VENUE_OPTIONS: hosts are given"),
    "symbols on paper": ({"mode": "paper", "symbols": "BTC/USD"}, r"^SYMBOLS: is for MODE=live only"),
    "a paper file": ({"account": "PAPER"}, r"^MODE: live, but the mode of .* is paper"),
}


@pytest.mark.parametrize(("given", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_the_variables_names_the_one_to_correct(
    tmp_path: Path, given: dict[str, str], problem: str
) -> None:
    if "account" in given:
        (tmp_path / "paper.json").write_text(example_document())
        given = {"account": str(tmp_path / "paper.json")}
    with pytest.raises(InvalidInput, match=problem) as refused:
        made(**given)
    assert "planted" not in str(refused.value)


def test_no_exchange_is_asked_before_a_live_account_is_begun() -> None:
    def unasked(_: AccountDocument) -> bool:
        pytest.fail("a live account needs no prices to begin with")

    assert first_document(LIVE, unasked, print).document == LIVE


OTHERS = {
    "another venue": made(venue="kraken"),
    "another host": made(options=OPTIONS.replace("8080", "8081")),
    "the venue itself": made(options="", sandbox="false"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_live_stack_does_not_change_where_its_orders_go(other: AccountDocument) -> None:
    with pytest.raises(InvalidInput, match=r"ACCOUNT: its market is .*CLEAN=1"):
        require_same_market(LIVE, other)


# --- the keys ----------------------------------------------------------------------------------------------------


def test_each_function_has_the_key_of_its_own_variables() -> None:
    keys = read_keys(KEYS, LIVE, same_key=False)
    assert {name: key.options()["secret"] for name, key in keys.items()} == {
        "/belay/dev/executor/live": "planted-executor-secret",
        "/belay/dev/reconciler/live": "planted-reconciler-secret",
    }


@pytest.mark.parametrize("missing", KEYS)
def test_a_key_that_is_missing_names_its_variable_and_shows_no_other(missing: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{missing}: is not set") as refused:
        read_keys({**KEYS, missing: "  "}, LIVE, same_key=False)
    assert "planted" not in str(refused.value)


def test_a_venue_that_wants_a_password_too_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"^BELAY_EXECUTOR_PASSWORD: is not set"):
        read_keys(KEYS, made(venue="okx"), same_key=False)


def test_one_key_for_both_functions_is_refused_unless_somebody_insists() -> None:
    same = {**KEYS, "BELAY_RECONCILER_KEY": KEYS["BELAY_EXECUTOR_KEY"]}
    with pytest.raises(InvalidInput, match=r"^BELAY_RECONCILER_KEY: is the executor's key, too\. .*SAME_KEY=1") as told:
        read_keys(same, LIVE, same_key=False)
    assert "planted" not in str(told.value)
    assert len(read_keys(same, LIVE, same_key=True)) == 2


def test_no_other_process_inherits_a_key() -> None:
    assert without_keys({**KEYS, "PATH": "/bin"}) == {"PATH": "/bin"}
    assert {variable(function, field) for function in api_keys.FUNCTIONS for field in api_keys.SUFFIXES} >= KEYS.keys()


def test_what_is_handed_to_the_daemon_arrives_and_shows_nothing() -> None:
    given = Given(LIVE, read_keys(KEYS, LIVE, same_key=False))
    arrived = Given.from_json(given.to_json())
    assert arrived.document == LIVE
    assert api_keys.to_json(arrived.keys) == api_keys.to_json(given.keys)
    assert "planted" not in repr(arrived)
    assert Given.from_json("") == Given()


class Parameters:
    """What a boto3 client of the parameter store does, on a dictionary; it answers as long as `answers`."""

    def __init__(self, **held: str) -> None:
        self.held = dict(held)
        self.answers = True

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> None:  # noqa: N803 (the service's)
        self._answer()
        assert Overwrite
        self.held[Name] = Type

    def _answer(self) -> None:
        if not self.answers:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def test_the_keys_are_stored_as_secure_strings_beside_the_switch() -> None:
    ssm = Parameters(**{"/belay/dev/kill-switch": "String"})
    store(ssm, read_keys(KEYS, LIVE, same_key=False))
    assert ssm.held == {
        "/belay/dev/kill-switch": "String",
        "/belay/dev/executor/live": "SecureString",
        "/belay/dev/reconciler/live": "SecureString",
    }


def test_an_emulator_that_does_not_answer_fails_the_start_and_nothing_else() -> None:
    ssm = Parameters()
    ssm.answers = False
    with pytest.raises(StackError, match="could not be stored") as failed:
        store(ssm, read_keys(KEYS, LIVE, same_key=False))
    assert "planted" not in str(failed.value)


# --- what was released before --------------------------------------------------------------------------------------


class KeptStack:
    """A local stack whose switch was kept, as `hold_live` sees it; `deployed` is whether there is a deployment."""

    def __init__(self, deployed: bool = True) -> None:
        self.deployed = deployed

    def read_outputs(self) -> dict[str, str]:
        if not self.deployed:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")
        return {}

    def client(self, _service: str) -> None: ...


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> InMemoryKillSwitch:
    switch = InMemoryKillSwitch()
    monkeypatch.setattr(daemon, "desk_over", lambda *_: SimpleNamespace(switch=switch))
    return switch


@pytest.mark.parametrize("level", [StopLevel.RUNNING, StopLevel.REDUCE_ONLY])
def test_a_live_account_sends_not_even_exits_after_a_start_before_it_is_released(
    switch: InMemoryKillSwitch, level: StopLevel
) -> None:
    switch.write(level, "released before", "ann", EPOCH)
    said: list[str] = []
    hold_live(cast("Stack", KeptStack()), said.append)
    assert switch.read().level is StopLevel.HALTED
    assert said == ["Halted: a live account is released anew after each start"]


def test_a_live_account_that_is_halted_keeps_the_reason_why(switch: InMemoryKillSwitch) -> None:
    switch.write(StopLevel.HALTED, "something smells", "ann", EPOCH)
    hold_live(cast("Stack", KeptStack()), print)
    assert switch.read().reason == "something smells"


def test_a_new_live_stack_has_no_switch_to_set(switch: InMemoryKillSwitch) -> None:
    hold_live(cast("Stack", KeptStack(deployed=False)), print)
    assert switch.text is None


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "up")


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in api_keys.VARIABLES & os.environ.keys():
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_keys")
def test_up_without_keys_starts_nothing(place: Place) -> None:
    asked = ["up", "--venue", "binance", "--mode", "live", "--venue-options", OPTIONS]
    refused = CliRunner().invoke(app, [*asked, "--folder", str(place.folder)])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("belay: BELAY_EXECUTOR_KEY: is not set.")
    assert not place.folder.exists()


def test_prices_of_an_exchange_that_does_not_exist_are_refused_by_the_variable() -> None:
    with pytest.raises(InvalidInput, match=r"^VENUE: ccxt has no exchange 'nosuch'"):
        Variables(venue="nosuch").document("dev")


@pytest.mark.usefixtures("no_keys")
def test_a_live_stack_asks_for_its_keys_at_each_start(place: Place) -> None:
    with place.owned():
        place.keep(Begun(document=LIVE, seed=7, start=EPOCH))
    refused = CliRunner().invoke(app, ["up", "--folder", str(place.folder)])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("belay: BELAY_EXECUTOR_KEY: is not set.")


def test_the_variables_of_a_stack_that_was_begun_change_nothing_but_a_file_does(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with place.owned():
        place.keep(Begun(document=LIVE, seed=7, start=EPOCH))
    given = {"venue": "binance", "mode": "live", "options": OPTIONS}
    again = up.prepared(place, Variables(**given), same_key=False)
    assert again.document is None
    assert len(again.keys) == 2
    with pytest.raises(InvalidInput, match=r"^SYMBOLS: this stack trades BTC/USDT\. .*account set"):
        up.prepared(place, Variables(**given, symbols="ETH/USDT"), same_key=False)
    changed = LIVE.model_copy(update={"requests_per_minute": 100})
    (tmp_path / "account.json").write_text(changed.model_dump_json())
    from_file = Variables(**given, account=str(tmp_path / "account.json"))
    assert up.prepared(place, from_file, same_key=False).document == changed


def test_a_live_account_is_told_with_its_limits_what_is_unverified_and_that_nothing_ticks_it() -> None:
    told = up.live_rows(LIVE, ())
    assert ("market", f"{source(LIVE)}: ORDERS ARE REAL") in told
    assert ("limits", "1200 per order, 5000 in all, USDT") in told
    assert ("unverified", "history_lag_seconds, taken conservatively") in told
    assert told[-1] == ("strategy", "none ticks this account: it takes orders by hand")
