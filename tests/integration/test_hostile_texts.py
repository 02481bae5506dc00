"""A hostile text in any free-text field of any record is a text: on the terminal, on pages, in alerts and in logs."""

import io
import json
import logging
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from belay.adapters.aws import telemetry
from belay.adapters.aws.alerts import SnsAlerts
from belay.adapters.memory.ledger import InMemoryLedger
from belay.cli.desk import Desk
from belay.cli.main import app, told_of
from belay.cli.terminal import Terminal, shows
from belay.demo import report
from belay.demo.check import Finding as BrokenRow
from belay.demo.check import Result as Checked
from belay.demo.check import lines
from belay.demo.exported import Exported, read_exported
from belay.demo.run import show_summary
from belay.domain import way_back
from belay.domain.account import Adoption, StopLevel, VenueIdentity
from belay.domain.checkup import Finding, Level
from belay.domain.decisions import Cancel, DecisionRecord, Side
from belay.domain.errors import InvalidInput
from belay.domain.incidents import Incident, IncidentEntry, IncidentKind, Looked
from belay.domain.orders import OrderState, Verdict, Word
from belay.domain.rebase import Rebased, Shift
from belay.domain.reconciliation import Mismatch
from belay.domain.surroundings import Subscription, Surroundings, SwitchView
from belay.domain.texts import shown
from belay.local import up
from belay.local.programs import StackError
from belay.pages import page as pages
from belay.ports import CancelRequest, SwitchReading
from belay.replay import command as replaying
from belay.replay import plan
from belay.replay.engine import ReplayEngine
from belay.workflows.adopt import Adoptable, Adopted, Balance, Foreign
from belay.workflows.doctor import Examined
from belay.workflows.execute import Executed
from belay.workflows.reconcile import Reconciled
from belay.workflows.resolve_order import Choice, Resolved
from belay.workflows.retire import Retired, TakenBack
from belay.workflows.trades import Said, Trades
from belay.workflows.write_off import WrittenOff
from tests.builders import (
    NOW,
    STRATEGY,
    SYMBOL,
    make_decision,
    make_events,
    make_flow,
    make_hold,
    make_incident,
    make_orders,
    make_proof,
    make_reservation,
    make_sell,
    make_slot,
    make_stop,
    make_tick,
    make_trade,
    make_venue_order,
)
from tests.demo_rows import Demo, write_demo
from tests.hostile import EVERYTHING, HOSTILE, SAFE, Field, Poison, Poisoned, Together, acting, text_fields
from tests.scheduled import own_schedules

ACCOUNT, HOURS = "paper", 24
WRITES = (
    "store_",
    "save_",
    "record_",
    "register_",
    "drop_",
    "commit",
    "request_",
    "clear_",
    "open_incident",
    "resolve_",
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Records that no person is shown: what workflows hand each other, and what is read by the venue or by a check alone.
UNSEEN = {
    *("Acceptance", "Anchor", "Change", "RefusedEvent"),
    *("Access", "AdoptRequest", "Balances", "Cursor", "Delivery", "Estimate", "FaultState", "Filled", "LedgerView"),
    *("Gap", "Line", "RebaseRequest", "ResolveRequest", "SameVenue", "SameVenueRequest", "Scheduled"),
    *("ManualOrder", "Observed", "Outcome", "Reading", "Requirement", "Rest", "Situation", "Stamp", "State"),
    *("FeeRow", "Holding", "Mark", "RetireRequest", "TradeRow", "TradesRequest", "UnreadRow", "Valued", "VenueFlow"),
    *("VerdictRequest", "Worth", "WriteOffRequest"),
    *("Suspicion", "SwitchValue", "Terms", "TradePage", "VenueProfile", "VenueState", "VenueView", "Verdict", "Views"),
}  # fmt: skip


# --- what there is to show ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger() -> InMemoryLedger:
    """A day of a demo with faults, and of everything else that a person may be shown at least one."""
    demo = Demo(HOURS, 7)
    demo.trade()
    made, slot = demo.ledger, make_slot(-900)
    record = make_decision(Cancel(order_id="f" * 32, reason="too late"), make_sell(), slot=slot)
    orders = tuple(
        order.model_copy(update={"estimated": ("T1",), "replaced": ("T2",)}) for order in make_orders(record)
    )
    made.record_decision(record, orders, make_events(record, orders))
    held = make_hold(slot=make_slot(-901))
    made.record_decision(held.model_copy(update={"decision": held.decision.model_copy(update={"detail": "x"})}), (), ())
    made.register_schedule(make_tick(scheduled_time=slot.candle_close))
    made.request_cancel(CancelRequest(account=ACCOUNT, order_id="f" * 32, reason="x", requested_at=NOW))
    for incident in (make_incident(), make_incident(subject="BTC", status="resolved", resolution="found")):
        made.open_incident(incident)
    made.append_incident_entry(
        IncidentEntry(
            account=ACCOUNT,
            incident_id="balance_mismatch:USD",
            at=NOW,
            what="opened",
            author="belay",
            reason="expected x, found x",
        )
    )
    account = made.account(ACCOUNT)
    stops = (make_stop(strategy=STRATEGY, symbol=SYMBOL), make_stop(incident="balance_mismatch:USD"))
    adoption = Adoption(strategy=STRATEGY, symbol=SYMBOL, quantity="0.1", price="1", author="ada", at=NOW)
    changes: dict[str, Any] = {"stops": stops, "adoptions": (adoption,), "reservations": {"r1": make_reservation()}}
    changes["owing"] = ("T9",)
    changes["identity"] = VenueIdentity(venue="paper", mode="paper", sandbox=None, hosts=("x",), venue_account="x")
    made.save_account(account.bumped(**changes))
    proven = made.last_proof(ACCOUNT)
    assert proven is not None
    told = {"uncovered": (SYMBOL,), "because": {SYMBOL: "x"}, "account_version": made.account(ACCOUNT).version}
    made.store_proof(proven.model_copy(update=told))
    made.record_flow(make_flow(), made.account(ACCOUNT).bumped())
    made.store_unattributed(ACCOUNT, make_trade("T9"))
    return made


@dataclass(frozen=True)
class Office:
    """The command over a ledger, a switch and functions that all answer with a poison."""

    ledger: InMemoryLedger
    poison: Callable[[Any], Any]

    def run(self, *arguments: str) -> Result:
        environment = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "USER": "ada"}
        return CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: self.desk(), env=environment)

    def desk(self) -> Desk:
        ledger: Any = Poisoned(self.ledger, self.poison, WRITES)
        return Desk(
            stage="dev",
            ledger=ledger,
            switch=self,
            proof_of=lambda _: self.poison(make_proof()),
            venue_time=lambda _: NOW,
            publish=lambda _: None,
            ask_reconciler=lambda event: self.answered(ANSWERS[(event.keys() - {"account", "Records"}).pop()]),
            ask_executor=lambda _: self.answered(EXAMINED),
            surroundings=lambda: self.poison(SURROUNDINGS),
        )

    def answered(self, record: Any) -> dict[str, Any]:
        answer: dict[str, Any] = record if isinstance(record, dict) else self.poison(record).model_dump(mode="json")
        return answer

    def read(self) -> SwitchReading:
        reading: SwitchReading = self.poison(SwitchReading(level=StopLevel.HALTED, reason="x"))
        return reading

    def write(self, *_: object) -> None:
        """Nothing is changed here."""


RECONCILED = Reconciled(account=ACCOUNT, clean=True, reason="", repairs=0, cancels=0, published=0, ticked=0)
ADOPTABLE = Adoptable(
    account=ACCOUNT,
    reconciled=RECONCILED,
    adopted=(
        Adopted(strategy=STRATEGY, symbol=SYMBOL, quantity=Decimal(1), price=Decimal(1), already=False),
        Adopted(
            strategy=STRATEGY,
            symbol=SYMBOL,
            quantity=Decimal(1),
            price=None,
            order_id="mine",
            side=Side.BUY,
            already=True,
        ),
    ),
    resolved=("unknown_venue_order:V1",),
    balances=(Balance(symbol=SYMBOL, opening=Decimal(1), left=Decimal(1)),),
    orders=(
        Foreign(seen=make_venue_order(), problem="is another's", remedy="Cancel it."),
        Foreign(seen=make_venue_order(client_order_id=None)),
    ),
)
EXAMINED = Examined(
    account=ACCOUNT,
    findings=(
        Finding(check="x", level=Level.WARN, found="x", remedy="x"),
        Finding(check="y", level=Level.FAIL, found="x", remedy="x"),
    ),
    held=("USD",),
    switch=SwitchView(level=StopLevel.RUNNING, reason="x"),
)
WORD = Word(verdict=Verdict.CANCELLED, author="ada", reason="x", at=NOW)
RESOLVED = Resolved(
    account=ACCOUNT,
    order_id="mine",
    state=OrderState.UNKNOWN,
    settled=False,
    filled_quantity="0",
    shown=None,
    trades_read=False,
    word=WORD,
    already=True,
    choices=(Choice(verdict=Verdict.ABSENT, problem="x", remedy="x"), Choice(verdict=Verdict.FILLED)),
    resolved=("unknown_outcome:mine",),
    no_symbol="x",
)
SAID = Trades(
    account=ACCOUNT,
    said=(Said(trade=make_trade(), strategy=STRATEGY, author="ada", reason="x", already=True, taken=("USD",)),),
    resolved=("unattributed_trade:x",),
    left=(make_trade("T2"),),
)
RETIRED = Retired(
    account=ACCOUNT,
    symbol=SYMBOL,
    written_off=(make_flow(),),
    already=True,
    listed=True,
    resolved=("symbol_unavailable:x",),
)
WRITTEN_OFF = WrittenOff(account=ACCOUNT, symbol=SYMBOL, record=make_flow(), left=Decimal(1), short=Decimal(1))
TAKEN_BACK = TakenBack(account=ACCOUNT, symbol=SYMBOL, record=make_flow(), listed=True)
REBASED = Rebased(
    account=ACCOUNT,
    taken=False,
    shifts={"USD": Shift(before=Decimal(1), after=Decimal(2), amount=Decimal(1))},
    flow_id="rebase:x",
    resolved=("balance_mismatch:USD",),
    unread=("price of ETH/USD: it is halted",),
)
LOOKED = Looked(
    account=ACCOUNT,
    incident_id="balance_mismatch:USD",
    status="resolved",
    expected="x",
    actual="x",
    problem="x",
    remedy="x",
    commands=("x",),
    resolution="x",
    lifted=1,
)
ANSWERS: dict[str, Any] = {
    "adopt": ADOPTABLE,
    "doctor": EXAMINED,
    "rebase": REBASED,
    "resolve": LOOKED,
    "resolve_order": RESOLVED,
    "retire": RETIRED,
    "take_back": TAKEN_BACK,
    "write_off": WRITTEN_OFF,
    "trades": SAID,
}
SURROUNDINGS = Surroundings(
    subscriptions=(Subscription(protocol="email", endpoint="ada@example.org", confirmed=True),),
    switch=SwitchView(level=StopLevel.HALTED, reason="x"),
)
MISMATCH = Mismatch(
    kind=IncidentKind.UNKNOWN_VENUE_ORDER, subject="V1", symbol=SYMBOL, expected="x", actual="x", action="x"
)


# --- the terminal ---------------------------------------------------------------------------------------------------


def commands(ledger: InMemoryLedger) -> Iterator[tuple[str, ...]]:
    """Every command that shows a document of this stage."""
    orders = ledger.orders(ACCOUNT, 1_000)
    filled = next(order for order in orders if order.state is OrderState.FILLED)
    denied = next((order for order in orders if order.state is OrderState.DENIED), filled)
    open_order = next(order for order in orders if not order.settled)
    yield from (("status",), ("decisions",), ("orders",), ("orders", "--open"), ("incidents", "list", "--all"))
    yield from (("explain", order.order_id) for order in {filled.order_id: filled, denied.order_id: denied}.values())
    yield from (("explain", ledger.decisions(ACCOUNT, STRATEGY, 9)[number].decision_id) for number in (0, 1))
    yield from (("halt",), ("halt", "--scope", "account"), ("release",), ("release", "--scope", "account"))
    yield ("incidents", "resolve", "balance_mismatch:USD", "--reason", "found")
    yield ("incidents", "show", "balance_mismatch:USD")
    yield ("rebase",)
    yield ("cancel", open_order.order_id, "--reason", "x")
    yield from (("adopt",), ("doctor",), ("account", "show"))
    yield from (("positions",), ("fills",), ("flows",), ("trades", "list"))
    yield from ((name, "--csv") for name in ("positions", "fills", "flows", "orders"))
    yield ("resolve", open_order.order_id, "--account", ACCOUNT)
    yield ("trades", "foreign", "T1", "--reason", "x")
    yield from (("symbols", word, SYMBOL, "--reason", "x") for word in ("retire", "take-back"))
    yield ("write-off", SYMBOL, "--strategy", STRATEGY, "--reason", "x")


def test_every_command_shows_the_sample_as_it_is(ledger: InMemoryLedger) -> None:
    """So that the walks below do not look at errors alone."""
    for command in commands(ledger):
        result = Office(ledger, lambda value: value).run(*command)
        assert (result.stderr, result.stdout != "") == ("", True), command


def require_plain(told: str) -> None:
    """Nothing acts but the colours that are Belay's own, and no line was forged."""
    assert "35;43" not in told
    plain = COLOURS.sub("", told)
    assert acting(plain) == set()
    assert not [line for line in plain.splitlines() if line.strip().startswith("FORGED")]


def walk_terminal(ledger: InMemoryLedger, poison: Callable[[Any], Any], *, complete: bool) -> None:
    office = Office(ledger, poison)
    for command in commands(ledger):
        result = office.run(*command)
        require_plain(result.stdout)
        require_plain(result.stderr)
        assert not result.stderr or (result.stderr.startswith("belay: id: the ledger has no") and not complete), command


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_exact_in_json_which_no_terminal_takes_for_more(ledger: InMemoryLedger, name: str) -> None:
    told = Office(ledger, Poison((Incident, "expected"), HOSTILE[name])).run("incidents", "list", "--json").stdout
    assert {incident["expected"] for incident in json.loads(told)} == {HOSTILE[name]}
    assert told.isascii()
    assert acting(told) == set()


def test_ordinary_international_text_is_shown_as_it_was_written(ledger: InMemoryLedger) -> None:
    told = Office(ledger, Poison((Incident, "action"), SAFE)).run("incidents", "list").stdout
    assert "".join(SAFE.split()) in "".join(COLOURS.sub("", told).split())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_argument_is_told_on_one_plain_line(ledger: InMemoryLedger, name: str) -> None:
    result = Office(ledger, lambda value: value).run("explain", HOSTILE[name] or "x")
    require_plain(result.stderr)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_an_argument_that_is_no_utf_8_is_refused_before_anything_is_done(ledger: InMemoryLedger) -> None:
    result = Office(ledger, lambda value: value).run("halt", "--reason", "caf\udce9")
    assert result.stderr.startswith("belay: caf\\udce9: is not written in UTF-8.")


@pytest.mark.parametrize(
    ("first", "second"),
    [("[magenta", "on yellow]"), ("[link=https://evil.example", "]"), ("\\", "\\\\\\"), ("[/]", "[bold]")],
)
def test_a_tag_cannot_be_made_of_two_texts_nor_can_one_of_ours_be_escaped(first: str, second: str) -> None:
    @shows
    def show(out: Terminal, document: list[str]) -> None:
        out.print(f"{document[0]} {document[1]}[bold]x[/] [bold]{document[0]}[/] [bold]{document[1]}[/]")

    stream = io.StringIO()
    show(Terminal(file=stream, force_terminal=True, color_system="standard", width=200), [first, second])
    bold = [f"\x1b[1m{text}\x1b[0m" for text in ("x", first, second)]
    assert stream.getvalue() == f"{first} {second}{' '.join(bold)}\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_what_make_up_tells_is_one_line_for_each_fact(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    up.show([("strategy", HOSTILE[name]), ("switch", HOSTILE[name])])
    told = capsys.readouterr()
    assert told.out == "".join(f"  {fact:<8}   {shown(HOSTILE[name])}\n" for fact in ("strategy", "switch"))
    for problem in (StackError(HOSTILE[name].replace("\n", "")), InvalidInput(HOSTILE[name], HOSTILE[name], "x")):
        message, _ = told_of(problem)
        assert acting(message) == set()
        assert "\n" not in message


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_demo_tells_of_its_rows_is_text(name: str, demo: Path) -> None:
    summary = json.loads((demo / "summary.json").read_text())
    stream = io.StringIO()
    hostile = {"market": HOSTILE[name], "holds_by_reason": {HOSTILE[name]: 1}}
    show_summary(Terminal(file=stream, force_terminal=True, color_system="standard"), summary | hostile)
    require_plain(stream.getvalue())
    broken = BrokenRow(HOSTILE[name], HOSTILE[name], HOSTILE[name], HOSTILE[name])
    told = list(lines([Checked("x", HOSTILE[name], (broken,))]))
    assert len(told) == 3
    assert acting("".join(told)) <= IGNORED


# --- pages ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements, attributes, comments and texts of a page, and what its charts are handed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.texts: list[str] = []
        self.scripts: dict[str | None, list[str]] = {}
        self._inside: tuple[str, str | None] = ("", None)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = (tag, dict(attrs).get("type"))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ("", None)

    def handle_data(self, data: str) -> None:
        tag, kind = self._inside
        if tag == "script":
            self.scripts.setdefault(kind, []).append(data)
        elif tag != "style":
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def texts(figure: Any, without: str = "") -> Iterator[str]:
    """The texts of a figure, `without` those of one name."""
    match figure:
        case str():
            yield figure
        case list():
            for part in figure:
                yield from texts(part, without)
        case dict():
            for name, part in figure.items():
                yield from texts(part, without) if name != without else ()


MARKUP = re.compile(r"<(?!br>|extra>|/extra>)|%\{(?!text|x|y)|&evil")


def require_own_page(html: str) -> None:
    """Each element, attribute and script is the page's own; the rest is text that does not act."""
    read = Page(html)
    assert not [tag for tag in read.tags if "evil" in tag]
    assert not [name for name, _ in read.attributes if "evil" in name or name.startswith("on")]
    assert all(value.startswith(("#", "data:")) for name, value in read.attributes if name in ("href", "src", "action"))
    assert read.comments == []
    assert read.scripts[None] == [PLOTLY, (files("belay.pages") / "templates" / "page.js").read_text()]
    assert acting("".join((*read.texts, *(value for _, value in read.attributes)))) == set()
    for figure in read.scripts["application/json"]:
        assert acting("".join(texts(json.loads(figure)))) == set()
        # The ids that marks link to are not drawn.
        assert [text for text in texts(json.loads(figure), "customdata") if MARKUP.search(text)] == []


PLOTLY = "// no charts are drawn here"


@pytest.fixture(autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made again that is the same for each text: the commands, the schedules, the megabytes of a page."""
    library = tmp_path_factory.getbasetemp() / "plotly.js"
    library.write_text(PLOTLY)
    monkeypatch.setattr(pages, "PLOTLY", library)
    monkeypatch.setattr(testing, "_get_command", made_once)
    monkeypatch.setattr(plan, "read_schedules", read_once)


made_once, read_once = cache(get_command), cache(own_schedules)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo"), hours=HOURS)


@pytest.fixture(scope="module")
def exported(demo: Path) -> Exported:
    run = read_exported(demo)
    run.incidents += [make_incident(), make_incident(status="resolved", resolution="found")]
    return run


def poisoned_run(run: Exported, poison: Callable[[Any], Any]) -> Exported:
    def each(found: Any) -> Any:
        return type(found)(found.default_factory, {key: poison(part) for key, part in found.items()})

    return Exported(
        summary=run.summary,
        configuration=poison(run.configuration),
        account=poison(run.account),
        proof=poison(run.proof),
        decisions=poison(run.decisions),
        orders=poison(run.orders),
        events=each(run.events),
        fills=poison(run.fills),
        incidents=poison(run.incidents),
        candles=run.candles,
        submissions=each(run.submissions),
        venue_orders=each(run.venue_orders),
        faults=each(run.faults),
    )


# Links between records that lead nowhere with another text in them, and what cannot be told in full then.
BROKEN = {
    ("InjectedFault", "client_order_id"): {"report"},
    ("Order", "decision_id"): {"terminal", "replay"},
    ("Order", "order_id"): {"replay"},
    ("OrderEvent", "order_id"): {"replay"},
}


def walk_report(run: Exported, demo: Path, poison: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "read_exported", lambda _: poisoned_run(run, poison))
    require_own_page(report.write_report(demo).read_text())


@dataclass
class Replayed:
    """A replay that was lived through, told again with a poison. Stands in for the engine."""

    ledger: Any
    decisions: dict[Any, tuple[DecisionRecord, ...]]
    poison: Callable[[Any], Any]

    def prepare(self, *_: object) -> None:
        """It is over already."""

    finish = prepare

    def slot(self, closed: Any) -> tuple[DecisionRecord, ...]:
        told: tuple[DecisionRecord, ...] = self.poison(self.decisions[closed])
        return told

    def fills(self) -> Any:
        return tuple(reversed(self.ledger.fills(ACCOUNT, 10_000)))


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("candles") / "candles.csv"
    rows = (f"{c.open_time.timestamp() * 1000:.0f},{c.open},{c.high},{c.low},{c.close},{c.volume}" for c in MARKET)
    file.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    return file


# Letters and marks that are drawn as nothing, of which the independent checker knows no list.
IGNORED = {"\u034f", "\u3164", "\ufe0f"}
MARKET = Demo(HOURS, 7).candles


@pytest.fixture(scope="module")
def replayed(candles: Path) -> Replayed:
    lived: list[Replayed] = []

    class Engine(ReplayEngine):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            lived.append(Replayed(self.ledger, {}, lambda value: value))

        def slot(self, closed: Any) -> tuple[DecisionRecord, ...]:
            lived[0].decisions[closed] = super().slot(closed)
            return lived[0].decisions[closed]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "ReplayEngine", Engine)
        patch.setattr(plan, "read_schedules", read_once)
        result = CliRunner().invoke(app, ["replay", "--candles", str(candles)])
    assert result.exit_code == 0, result.stderr
    return lived[0]


def walk_replay(told: Replayed, candles: Path, monkeypatch: pytest.MonkeyPatch, page: Path, *, complete: bool) -> None:
    monkeypatch.setattr(replaying, "ReplayEngine", lambda *_: told)
    environment = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    result = CliRunner().invoke(app, ["replay", "--candles", str(candles), "--plot", str(page)], env=environment)
    require_plain(result.stdout)
    assert (result.exit_code == 0) == complete, result.stderr
    if complete:
        require_own_page(page.read_text())


# --- alerts and logs ------------------------------------------------------------------------------------------------


class Topic:
    """What SNS is asked to publish; refuses it where it is `down`."""

    def __init__(self, *, down: bool = False) -> None:
        self.published: list[dict[str, str]] = []
        self._down = down

    def publish(self, **message: str) -> None:
        if self._down:
            raise ConnectionError("no route")
        self.published.append(message)


def alert_of(incident: Incident) -> dict[str, str]:
    topic: Any = Topic()
    assert SnsAlerts(topic, "arn").incident(incident)
    (message,) = topic.published
    return dict(message)


FACTS = ["What to do", "", "Account", "Incident", "Symbol", "Expected", "Actual", "Opened"]


def walk_alerts(poison: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    for incident in (poison(make_incident()), poison(MISMATCH).incident(ACCOUNT, NOW)):
        message = alert_of(incident)
        told = [line.partition(":")[0] for line in message["Message"].split("\n")]
        assert told == FACTS + ["Command"] * len(way_back.commands(incident))
        assert acting(message["Message"]) == set()
        assert len(message["Message"].encode()) <= 256 * 1024
        assert re.fullmatch(r"Belay [ -~]{1,94}", message["Subject"])
        caplog.clear()
        down: Any = Topic(down=True)
        assert not SnsAlerts(down, "arn").incident(incident)
        assert acting(caplog.records[-1].getMessage()) | {"\n"} == {"\n"}
        assert "\n" not in caplog.records[-1].getMessage()


@pytest.fixture
def log() -> Iterator[io.BytesIO]:
    """What the functions log, as bytes."""
    written = io.BytesIO()
    handler: Any = telemetry.logger.registered_handler
    before = handler.setStream(io.TextIOWrapper(written, encoding="utf-8", write_through=True))
    yield written
    handler.setStream(before)


def walk_log(poison: Callable[[Any], Any], log: io.BytesIO) -> None:
    executed = poison(Executed(order_id="f" * 32, result="submitted", detail="x")).model_dump(mode="json")
    reconciled = poison(RECONCILED).model_dump(mode="json")
    log.seek(0)
    log.truncate()
    telemetry.logger.info("executed", **executed)
    telemetry.logger.info("reconciled", **reconciled)
    lines = log.getvalue().decode("ascii").splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["executed", "reconciled"]
    assert json.loads(lines[0])["detail"] == executed["detail"]


# --- the walks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def walk(
    ledger: InMemoryLedger,
    exported: Exported,
    demo: Path,
    replayed: Replayed,
    candles: Path,
    log: io.BytesIO,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., None]:
    """Through everything that a person or a line reads."""
    caplog.set_level(logging.ERROR)

    def through(poison: Callable[[Any], Any], broken: Collection[str] = ()) -> None:
        walk_terminal(ledger, poison, complete="terminal" not in broken)
        again = Replayed(Poisoned(replayed.ledger, poison), replayed.decisions, poison)
        walk_replay(again, candles, monkeypatch, tmp_path / "replay.html", complete="replay" not in broken)
        walk_alerts(poison, caplog)
        walk_log(poison, log)
        with pytest.raises(KeyError) if "report" in broken else nullcontext():
            walk_report(exported, demo, poison, monkeypatch)

    return through


SEEN = [field for field in text_fields() if field[0].__name__ not in UNSEEN]


@pytest.mark.parametrize("field", SEEN, ids=lambda field: f"{field[0].__name__}.{field[1]}")
def test_a_hostile_text_in_any_field_is_a_text_wherever_it_is_shown(field: Field, walk: Callable[..., None]) -> None:
    poison = Poison(field, EVERYTHING)
    walk(poison, BROKEN.get((field[0].__name__, field[1]), ()))
    assert poison.met > 0


def test_what_is_said_to_be_unseen_is_shown_nowhere(walk: Callable[..., None]) -> None:
    poison = Together(Poison(field, EVERYTHING) for field in text_fields() if field not in SEEN)
    walk(poison)
    assert {each.field for each in poison.poisons if each.met} == set()


# Fields that say what belongs to what: with the same text in all of them nothing is found any more.
IDENTITIES = re.compile(r".*(account|strategy|_id|_ids|orders|positions|reservations|holds|closed|held)")


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_text_in_all_fields_at_once_is_a_text_wherever_it_is_shown(
    name: str, walk: Callable[..., None]
) -> None:
    walk(Together(Poison(field, HOSTILE[name]) for field in SEEN if not IDENTITIES.fullmatch(field[1])))
