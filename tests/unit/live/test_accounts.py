"""Live accounts: what their documents must say, and which key each function gets."""

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any, cast

import pytest

from belay.adapters.memory.ledger import InMemoryLedger
from belay.adapters.memory.ports import InMemoryKillSwitch
from belay.bootstrap import AccountVenues, LiveVenues, PaperVenues
from belay.cli.desk import Desk
from belay.cli.operations import set_document
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused, InvalidInput
from belay.domain.identity import identity_of
from tests.builders import make_document, make_limits, make_paper_settings

LIVE: dict[str, Any] = {
    "account": "main",
    "venue": "binance",
    "mode": "live",
    "paper": None,
    "symbols": ("BTC/USDT",),
    "executor_secret": "/belay/dev/executor/main",
    "reconciler_secret": "/belay/dev/reconciler/main",
    "sandbox": False,
    "limits": make_limits(max_position_notional={"BTC/USDT": "5000"}),
}


def document(**changes: Any) -> AccountDocument:
    return make_document(**{**LIVE, **changes})


@pytest.fixture
def desk() -> Desk:
    """An operator's desk over an empty ledger."""

    def unused(*_arguments: Any) -> Any:
        raise AssertionError("storing a document asks nobody")

    switch: Any = InMemoryKillSwitch()
    return Desk("dev", InMemoryLedger(), switch, unused, unused, unused, unused)


# --- what must be said --------------------------------------------------------------------------------


def test_a_live_document_that_says_everything_is_stored(desk: Desk) -> None:
    assert set_document(desk, document(), "ann") == {"account": "main", "version": 1, "stored": True}
    stored = desk.ledger.configuration("main")
    assert stored is not None
    assert stored.document.venue == "binance"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"executor_secret": None}, "account.executor_secret"),
        ({"reconciler_secret": None}, "account.reconciler_secret"),
        ({"executor_secret": "/belay/prod/executor/main"}, "account.executor_secret"),
        ({"executor_secret": "/belay/dev/reconciler/main"}, "account.executor_secret"),
        ({"reconciler_secret": "/belay/dev/executor/main"}, "account.reconciler_secret"),
        ({"executor_secret": "/belay/dev/executor/"}, "account.executor_secret"),
        ({"executor_secret": "/belay/dev/executor/../kill-switch"}, "account.executor_secret"),
        ({"executor_secret": "/belay/dev/kill-switch"}, "account.executor_secret"),
        ({"sandbox": None}, "account.sandbox"),
        ({"sandbox": True, "options": {"urls": {}}}, "account.options"),
        ({"sandbox": True, "venue": "kraken"}, "account.sandbox"),
        ({"options": {"httpProxy": "http://proxy"}}, "account.options.httpProxy"),
        ({"options": {"verbose": True}}, "account.options.verbose"),
        ({"options": {"enableRateLimit": True}}, "account.options.enableRateLimit"),
        ({"options": {"session": None}}, "account.options.session"),
        ({"options": {"options": {"maxRetriesOnFailure": 3}}}, "account.options.options.maxRetriesOnFailure"),
        ({"options": {"timeout": 10**9}}, "account.options.timeout"),
        ({"options": {"hostname": "u@evil.example"}}, "account.options.hostname"),
        ({"options": {"urls": {"api": {"private": "http://evil.example"}}}}, "account.options.urls.api.private"),
        ({"options": {"urls": {"test": {"x": "https://u:p@evil.example"}}}}, "account.options.urls.test.x"),
        (
            {"limits": LIVE["limits"].model_copy(update={"submissions_per_minute": None})},
            "account.limits.submissions_per_minute",
        ),
        ({"limits": make_limits()}, "account.limits.max_position_notional"),
        ({"venue": "bitstamp"}, "account.venue"),
        ({"venue": "bitfinex"}, "account.venue"),
    ],
)
def test_a_live_document_that_leaves_something_out_is_refused_and_not_stored(
    desk: Desk, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_document(desk, document(**changes), "ann")
    assert refused.value.field == field
    assert desk.ledger.configuration("main") is None


def test_every_limit_has_to_be_stated(desk: Desk) -> None:
    for name in LIVE["limits"].model_dump():
        missing = LIVE["limits"].model_copy(update={name: {} if name == "max_position_notional" else None})
        with pytest.raises(InvalidInput) as refused:
            set_document(desk, document(limits=missing), "ann")
        assert refused.value.field == f"account.limits.{name}"


def test_a_venue_without_a_profile_is_traded_on_explicit_wish_only(desk: Desk) -> None:
    assert set_document(desk, document(venue="bitstamp", venue_profile="generic"), "ann")["stored"]


def test_a_live_document_has_no_paper_settings() -> None:
    parts = json.loads(document().model_dump_json())
    with pytest.raises(InvalidInput, match="paper settings belong to mode paper"):
        AccountDocument.parse(json.dumps({**parts, "paper": json.loads(make_paper_settings().model_dump_json())}))


@pytest.mark.parametrize("name", ["apiKey", "secret", "password", "privateKey"])
def test_a_key_in_the_document_is_refused(name: str) -> None:
    parts = json.loads(document().model_dump_json())
    with pytest.raises(InvalidInput, match="is a credential"):
        AccountDocument.parse(json.dumps({**parts, "options": {name: "planted"}}))


# --- which key each function gets ---------------------------------------------------------------------


class Parameters:
    """An SSM client that notes which parameter is asked for, and has none."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_parameter(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments["Name"])
        assert arguments["WithDecryption"]
        return {"Parameter": {"Type": "String"}}


@pytest.mark.parametrize("secret", ["executor_secret", "reconciler_secret", None])
def test_a_function_asks_for_its_own_key_only(secret: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, table = Parameters(), cast("Any", object())
    monkeypatch.setattr("belay.bootstrap._client", lambda _service: parameters)
    venues, asked = LiveVenues(table, "paper", secret, "dev"), document()
    venue: Any = venues.venue(asked)
    with pytest.raises(AccountRefused):
        venue._key.get()
    assert parameters.asked == ([getattr(asked, secret)] if secret else [])
    assert venues.venue(asked) is venue


REWRITTEN: list[dict[str, Any]] = [
    {"executor_secret": "/belay/dev/reconciler/main"},
    {"reconciler_secret": "/belay/dev/executor/main"},
    {"executor_secret": "/belay/prod/executor/main"},
    {"reconciler_secret": "/belay/prod/reconciler/main"},
    {"executor_secret": None},
    {"options": {"urls": {"api": {"private": "http://evil.example/api/v3"}}}},
    {"options": {"urls": {"api": {"private": "https://evil.example@10.0.0.1/api/v3"}}}},
    {"options": {"hostname": "evil.example/"}},
    {"options": {"httpsProxy": "https://evil.example"}},
    {"options": {"options": {"sandboxMode": True}}},
    {"sandbox": None},
    {"sandbox": True, "venue": "kraken"},
]


@pytest.mark.parametrize("secret", ["executor_secret", "reconciler_secret", None])
@pytest.mark.parametrize("changes", REWRITTEN, ids=str)
def test_a_function_opens_no_account_whose_document_was_rewritten_and_asks_for_no_key(
    changes: dict[str, Any], secret: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it comes from the ledger, whoever put it there."""
    parameters, table = Parameters(), cast("Any", object())
    monkeypatch.setattr("belay.bootstrap._client", lambda _service: parameters)
    venues, asked = LiveVenues(table, "paper", secret, "dev"), document(**changes)
    for connect in (venues.venue, venues.market_data, venues.clock):
        with pytest.raises(InvalidInput, match=r"^account\."):
            connect(asked)
    assert parameters.asked == []


def test_a_missing_limit_denies_entries_and_keeps_no_function_from_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    table: Any = object()
    monkeypatch.setattr("belay.bootstrap._client", lambda _service: Parameters())
    limits = LIVE["limits"].model_copy(update={"clock_offset_seconds": None})
    venues = LiveVenues(table, "paper", "reconciler_secret", "dev")
    assert type(venues.venue(document(limits=limits))).__name__ == "CcxtVenue"


def test_a_function_of_another_stage_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table: Any = object()
    monkeypatch.setattr("belay.bootstrap._client", lambda _service: Parameters())
    with pytest.raises(InvalidInput, match=r"^account\.executor_secret: is not the name of a key under /belay/prod/"):
        LiveVenues(table, "paper", "executor_secret", "prod").venue(document())


def test_the_mode_decides_which_venue_an_account_has() -> None:
    client: Any = object()
    venues = AccountVenues(PaperVenues(client, "paper"), LiveVenues(client, "paper", None, "dev"))
    assert type(venues.venue(make_document())).__name__ == "PaperVenue"
    assert type(venues.venue(document())).__name__ == "CcxtVenue"
    assert type(venues.market_data(document())).__name__ == "LiveMarketData"


def test_an_account_on_paper_pays_nothing_for_the_live_transport() -> None:
    """Importing it takes a part of a cold start."""
    program = "import sys; import belay.bootstrap; print(sorted({'requests', 'ccxt'} & sys.modules.keys()))"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "AWS_DEFAULT_REGION": "eu-west-1"},
    )
    assert shown.stdout.strip() == "[]"


# --- which account it is (R26) ----------------------------------------------------------------------------------------


def with_history(desk: Desk, stored: AccountDocument) -> None:
    """The account's books were opened under this document."""
    set_document(desk, stored, "ann")
    account = desk.ledger.account(stored.account)
    desk.ledger.save_account(account.bumped(opening={"USDT": Decimal(5)}, identity=identity_of(stored)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"venue": "kraken"}, "account.venue"),
        ({"sandbox": True}, "account.sandbox"),
        ({"options": {"hostname": "elsewhere.example"}}, "account.options"),
        (
            {"mode": "paper", "paper": make_paper_settings(), "sandbox": None},
            "account.mode",
        ),
    ],
)
def test_r26_a_document_that_means_another_account_is_refused_once_there_is_a_history(
    desk: Desk, changes: dict[str, Any], field: str
) -> None:
    set_document(desk, document(), "ann")
    set_document(desk, document(**changes), "ann")  # nothing happened yet
    set_document(desk, document(), "ann")
    with_history(desk, document())
    with pytest.raises(InvalidInput) as refused:
        set_document(desk, document(**changes), "ann")
    assert refused.value.field == field
    stored = desk.ledger.configuration("main")
    assert stored is not None
    assert stored.document == document()


def test_r26_an_account_that_an_earlier_version_opened_is_what_its_document_says(desk: Desk) -> None:
    with_history(desk, document())
    desk.ledger.save_account(desk.ledger.account("main").bumped(identity=None))
    with pytest.raises(InvalidInput, match=r"account\.venue"):
        set_document(desk, document(venue="kraken"), "ann")


def test_r26_another_host_is_stored_where_a_person_says_it_is_the_same_venue_and_nothing_else_is(desk: Desk) -> None:
    with_history(desk, document())
    moved = document(options={"hostname": "binance.me"})
    with pytest.raises(InvalidInput, match="--same-venue"):
        set_document(desk, moved, "ann")
    assert set_document(desk, moved, "ann", same_venue="it has a new address")["stored"]
    with pytest.raises(InvalidInput, match=r"account\.venue"):
        set_document(desk, document(venue="kraken"), "ann", same_venue="it is not")


def test_r26_what_else_changes_is_no_other_account(desk: Desk) -> None:
    with_history(desk, document())
    assert set_document(desk, document(executor_secret="/belay/dev/executor/new"), "ann")["stored"]
    assert set_document(desk, document(options={"timeout": 5000}), "ann")["stored"]
