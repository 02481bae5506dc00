"""The demo's report: its figures, its words, its stories, and that nothing in it comes from elsewhere."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from plotly.graph_objects import Figure

from belay.demo.exported import Exported, read_exported
from belay.demo.report import write_report
from belay.demo.series import equity_points, function_seconds, market_seconds
from belay.demo.stories import KINDS, OrderStory, most_telling, stories
from belay.domain.errors import InvalidInput
from belay.domain.fills import Fill
from belay.domain.orders import TRANSITIONS
from belay.pages.figures import (
    MOST_CANDLES,
    Point,
    decisions_figure,
    drawdown_figure,
    drawdowns,
    equity_figure,
    faults_figure,
    latency_figure,
    price_figure,
)
from belay.pages.page import Section, chart, decimal, page
from tests.builders import NOW, SYMBOL, make_candles, make_trade
from tests.demo_rows import read_rows, write_demo, write_rows

MEGABYTE = 1_000_000
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days with faults, and their report."""
    demo = write_demo(tmp_path_factory.mktemp("demo"), hours=240)
    write_report(demo)
    return demo


@pytest.fixture(scope="module")
def run(folder: Path) -> Exported:
    return read_exported(folder)


def summary_of(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def copied(folder: Path, to: Path) -> Path:
    """The same rows and summary in a folder of the test's own."""
    (to / "rows").mkdir()
    for file in (*folder.glob("*.json"), *folder.glob("rows/*")):
        (to / file.relative_to(folder)).write_bytes(file.read_bytes())
    return to


class Page(HTMLParser):
    """What a report says: text by element id and by class, attributes, and the ids themselves."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._skipped = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in ("script", "style")
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text.append(" ".join(data.split()))

    @property
    def words(self) -> str:
        return " ".join(part for part in self.text if part)

    def after(self, name: str) -> str:
        """The text that follows a name, as in a list of facts."""
        told = [part for part in self.text if part]
        return told[told.index(name) + 1]


@pytest.fixture(scope="module")
def read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


# --- figures ---------------------------------------------------------------------------------------


def coloured(value: Any) -> Any:
    """A figure with real colours, as the page gives it."""
    return json.loads(re.sub(r"var\(--[a-z0-9-]+\)", "#123456", json.dumps(value)))


def points(*values: str) -> list[Point]:
    return [Point(NOW + HOUR * number, Decimal(value)) for number, value in enumerate(values)]


def fill(side: str = "buy", strategy: str = "ema-cross", price: str = "100", hours: float = 0) -> Fill:
    trade = make_trade(side=side, price=price, quantity="0.5", at=NOW + HOUR * hours, fees={"USD": "1"})
    return Fill(
        account="paper", strategy=strategy, decision_id="d1", order_id="o1", trade=trade, recorded_at=NOW, previous=""
    )


FIGURES = {
    "price": price_figure(make_candles([100, 101, 99]), [fill(), fill("sell")], {"o1": "story"}),
    "price of nothing": price_figure([], []),
    "equity": equity_figure(points("100", "90")),
    "equity of nothing": equity_figure([]),
    "drawdown": drawdown_figure(points("100", "90")),
    "decisions": decisions_figure({"a": {"no_cross": 3, "buy: up": 1}, "b": {"no_cross": 2}}),
    "faults": faults_figure({"dropped": {"NOT_SENT": 2, "FILLED": 1}, "delayed": {"FILLED": 1}}),
    "latency": latency_figure({"known": [1.0, 0.5], "never": []}, "seconds", log=True),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_one_that_plotly_knows(name: str) -> None:
    figure = FIGURES[name]
    known = Figure(coloured(figure)).to_plotly_json()
    assert len(known["data"]) == len(figure["data"])
    assert known["layout"]["height"] == figure["layout"]["height"]


def marks(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"] if trace.get("mode") == "markers"}


def test_every_fill_stands_at_its_time_and_price_by_strategy_and_side() -> None:
    fills = [fill(price="100.5"), fill("sell", price="102", hours=2), fill(strategy="rsi", price="99")]
    drawn = marks(price_figure(make_candles([100, 101, 99]), fills))
    assert drawn["ema-cross entry"]["y"] == [100.5]
    assert drawn["ema-cross exit"]["x"] == ["2024-03-01T14:00:00.000"]
    assert drawn["rsi entry"]["y"] == [99.0]
    assert drawn["rsi exit"]["y"] == []
    assert drawn["ema-cross entry"]["marker"]["symbol"] == "triangle-up"
    assert drawn["ema-cross exit"]["marker"]["symbol"] == "triangle-down"
    assert drawn["ema-cross entry"]["marker"]["color"] != drawn["rsi entry"]["marker"]["color"]


def test_a_fill_links_to_the_story_of_its_order() -> None:
    filled = fill()
    drawn = marks(price_figure([], [filled], {filled.order_id: "the story"}))
    assert drawn["ema-cross entry"]["customdata"] == ["the story"]


def test_so_many_candles_that_none_can_be_told_from_the_next_are_drawn_as_a_line() -> None:
    few, many = make_candles([100] * MOST_CANDLES), make_candles([100] * (MOST_CANDLES + 1))
    assert [trace["type"] for trace in price_figure(few, [])["data"]] == ["candlestick"]
    (line,) = price_figure(many, [])["data"]
    assert (line["mode"], len(line["y"])) == ("lines", MOST_CANDLES + 1)


def test_a_drawdown_is_measured_from_the_highest_value_so_far() -> None:
    below = [point.value for point in drawdowns(points("100", "80", "120", "90", "120"))]
    assert below == [0, Decimal("-0.2"), 0, Decimal("-0.25"), 0]


def test_nothing_is_below_the_peak_of_an_account_without_money() -> None:
    assert [point.value for point in drawdowns(points("0", "0"))] == [0, 0]


def test_bars_stand_in_the_order_of_their_totals_with_the_largest_on_top() -> None:
    figure = decisions_figure({"a": {"rare": 1, "often": 4}, "b": {"often": 5, "now and then": 3}})
    assert figure["layout"]["yaxis"]["categoryarray"] == ["rare", "now and then", "often"]
    assert {trace["name"]: dict(zip(trace["y"], trace["x"], strict=True)) for trace in figure["data"]} == {
        "a": {"rare": 1, "often": 4},
        "b": {"now and then": 3, "often": 5},
    }


def test_a_latency_line_rises_by_one_order_at_each_value() -> None:
    (line,) = latency_figure({"known": [10.0, 0.0, 10.0, 20.0]}, "seconds")["data"]
    assert line["x"][:-1] == [0.0, 0.0, 10.0, 10.0, 20.0]
    assert line["y"] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_text_is_no_markup_to_the_charts() -> None:
    figure = decisions_figure({"<b>bold</b>": {"<a href='x'>link</a>": 1}})
    (bar,) = figure["data"]
    assert bar["name"] == "&lt;b&gt;bold&lt;/b&gt;"
    assert "<a" not in "".join(bar["y"])


# --- series ----------------------------------------------------------------------------------------


def test_equity_is_valued_at_each_close_before_what_was_decided_on_it_and_after_the_last_fill() -> None:
    candles = make_candles([100, 110, 120], until=NOW + HOUR * 3)
    fills = [fill(price="100", hours=1), fill("sell", price="120", hours=3)]
    worth = equity_points({"USD": Decimal(1000), "BTC": Decimal(0)}, fills, {"BTC": candles}, "1h")
    # Buys 0.5 for 50 and a fee of 1 once the first candle has closed; sells it for 60 and a fee of 1 at the end.
    assert [point.value for point in worth] == [1000, 949 + 55, 949 + 60, 949 + 60 - 1]
    assert [point.at for point in worth] == [NOW + HOUR, NOW + HOUR * 2, NOW + HOUR * 3, NOW + HOUR * 3]


def test_the_equity_line_begins_and_ends_with_the_summarys_figures(folder: Path, run: Exported) -> None:
    paper = run.configuration.document.paper
    assert paper is not None
    opened = {record.slot.candle_open for record in run.decisions}
    candles = [candle for candle in run.candles[SYMBOL, "1h"] if candle.open_time in opened]
    worth = equity_points(paper.balances, run.fills, {"BTC": candles}, "1h")
    equity = summary_of(folder)["equity"]
    assert (worth[0].value, worth[-1].value) == (Decimal(equity["start"]), Decimal(equity["end"]))


def test_latencies_are_measured_from_each_claim(run: Exported) -> None:
    claims = sum(event.cause == "claimed" for events in run.events.values() for event in events)
    known, answered = market_seconds(run)["outcome known"], function_seconds(run)["claim to answer"]
    assert len(known) == claims
    assert min(known) == 0
    assert 10 <= max(known) <= 60
    assert 0 < len(answered) < claims
    assert all(0 < seconds < 1 for seconds in answered)


# --- stories ---------------------------------------------------------------------------------------


def told(run: Exported) -> Iterator[OrderStory]:
    for story in stories(run):
        yield from story.orders


def test_a_story_tells_every_event_of_its_order_in_sequence(run: Exported) -> None:
    for order in told(run):
        recorded = [event.recorded_at for event in run.events[order.order.order_id]]
        assert [moment.recorded_at for moment in order.moments if moment.source == "ledger"] == recorded


def test_a_story_tells_each_fault_and_each_request_at_the_venue_once_after_the_claim(run: Exported) -> None:
    for order in told(run):
        sources = Counter(moment.source for moment in order.moments)
        assert (sources["fault"], sources["venue"]) == (len(order.faults), len(order.submissions))
        titles = [moment.title.split(":")[0] for moment in order.moments]
        first = next((number for number, moment in enumerate(order.moments) if moment.source != "ledger"), None)
        assert first is None or "Claimed" in titles[:first]
    assert sum(len(order.faults) for order in told(run)) == sum(map(len, run.faults.values()))


def test_a_story_shows_the_states_that_its_order_went_through(run: Exported) -> None:
    for order in told(run):
        states = [moment.state for moment in order.moments if moment.state]
        assert states[0] == "CREATED"
        assert states[-1] == order.order.state
        assert all(after in TRANSITIONS[before] for before, after in pairwise(states))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_of_fault_has_a_story(kind: str, run: Exported) -> None:
    met = [story for story in stories(run) if kind in story.kinds]
    assert met
    words = [moment.title for story in met for order in story.orders for moment in order.moments]
    assert f"Fault: {KINDS[kind].name}" in words  # type: ignore[index]


def test_a_request_that_came_late_stands_between_the_silence_and_the_look_up_that_found_it(run: Exported) -> None:
    (order, *_) = [
        o for o in told(run) if {fault.kind for fault in o.faults} >= {"delayed"} and len(o.submissions) == 1
    ]
    titles = [moment.title for moment in order.moments]
    unknown = titles.index("No proof of what became of it: unknown")
    arrived = titles.index("The venue accepts the request")
    seen = titles.index("Seen at the venue under its order id")
    assert titles.index("Fault: delayed") < unknown < arrived < seen


def test_every_cause_that_the_workflows_write_has_words(run: Exported) -> None:
    for order in told(run):
        for moment in order.moments:
            assert moment.title[:1].isupper(), moment
            assert "_" not in moment.title, moment


def test_the_most_telling_decision_met_a_fault_and_filled(run: Exported) -> None:
    story = most_telling(stories(run))
    assert story is not None
    assert story.kinds
    assert any(order.fills for order in story.orders)
    assert most_telling([]) is None


def test_the_answer_to_exactly_once_is_the_venues_own(run: Exported) -> None:
    for order in told(run):
        assert order.verdict.startswith("Yes") == (len(order.venue_orders) == 1)
        assert len(order.venue_orders) <= 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("998.5022466300549176235646530", "998.50224663"),
        ("1200.00", "1,200"),
        ("0E-8", "0"),
        ("1E+3", "1,000"),
        (Decimal("-0.125"), "-0.125"),
        (7, "7"),
        ("10000 USD", "10000 USD"),
        ("NaN", "NaN"),
        ("none", "none"),
    ],
)
def test_a_decimal_is_shown_without_what_nobody_reads(value: object, shown: str) -> None:
    assert decimal(value) == shown


# --- the page --------------------------------------------------------------------------------------


def test_the_headline_figures_are_the_summarys(folder: Path, read: Page) -> None:
    summary = summary_of(folder)
    assert read.after("Orders at the venue") == str(summary["venue_orders"])
    assert read.after("Outcomes unknown") == "0"
    assert read.after("Fills counted") == str(summary["fills"])
    assert read.after("Faults injected") == str(sum(summary["faults_injected"].values()))
    assert read.after("Crashes injected") == str(summary["function_crashes_injected"]) == "4"
    assert read.after("Equity, USD") == f"{Decimal(summary['equity']['end']):,.2f}"
    assert "Every order was placed once, or provably not at all." in read.words
    assert "ema-cross-btc and rsi-reversion-btc traded BTC/USD over 240 candles of 1h" in read.words


def test_each_kind_of_fault_is_listed_with_its_count(folder: Path, read: Page) -> None:
    for kind, count in summary_of(folder)["faults_injected"].items():
        assert f"{KINDS[kind].name} {KINDS[kind].meaning} {count}" in read.words


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"duplicate_venue_orders": 1}, "1 order at the venue is a duplicate."),
        ({"duplicate_venue_orders": 2}, "2 orders at the venue are a duplicate."),
        ({"unknown_open": 3}, "3 orders still have an unknown outcome."),
        ({"balances_match": False}, "The venue's balances are not what the recorded fills explain."),
        ({"unknown_open": 1, "incidents_open": 1}, "1 incident for a person to look at: see below."),
    ],
)
def test_a_run_that_broke_a_promise_says_so_first(
    wrong: dict[str, Any], said: str, folder: Path, tmp_path: Path
) -> None:
    demo = copied(folder, tmp_path)
    (demo / "summary.json").write_text(json.dumps(summary_of(folder) | wrong))
    broken = Page(write_report(demo).read_text())
    assert "This run broke a promise." in broken.words
    assert said in broken.words
    assert "Every order was placed once" not in broken.words
    assert ("div", "class", "verdict") in broken.attributes


def test_a_calm_run_says_that_nothing_was_injected(tmp_path: Path) -> None:
    calm = Page(write_report(write_demo(tmp_path, hours=48, chaos=False)).read_text())
    assert "No faults were injected." in calm.words
    assert "stories" not in calm.ids
    assert "answers" in calm.ids


def test_every_faulted_decision_can_be_linked_to(read: Page, run: Exported) -> None:
    faulted = {story.decision.decision_id for story in stories(run) if story.kinds}
    assert faulted <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))


def test_every_chart_has_its_figure(read: Page) -> None:
    named = {value for _, name, value in read.attributes if name == "data-figure"}
    assert named == {identity for identity in read.ids if identity.startswith("figure-")}
    assert len(named) == 7


def test_the_page_asks_nobody_for_anything(folder: Path, read: Page) -> None:
    loading = [(tag, value) for tag, name, value in read.attributes if name in ("src", "href", "srcset", "action")]
    assert loading
    assert all(value.startswith(("#", "data:")) for _, value in loading)
    html = (folder / "report.html").read_text()
    assert "default-src 'none'" in html
    own = html.replace(html[html.index("plotly.js v") : html.index('"use strict";\n\n// Draws')], "")
    assert "://" not in own
    assert "@import" not in own


def test_the_chart_library_is_inside_once_with_its_licence(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    assert html.count("* plotly.js v") == 1
    assert "Licensed under the MIT license" in html


def test_the_report_of_a_long_run_stays_small_enough_to_send(tmp_path: Path) -> None:
    assert write_report(write_demo(tmp_path, hours=720)).stat().st_size <= 6 * MEGABYTE


def test_what_strategies_and_venues_write_is_text_and_never_markup(folder: Path, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    demo = copied(folder, tmp_path)
    rows = demo / "rows"
    ledger, accounts = read_rows(rows / "ledger.jsonl"), read_rows(rows / "accounts.jsonl")
    quoted = json.dumps(evil)[1:-1]
    for row in ledger:
        row["body"] = row["body"].replace("RSI crossed above", f"{quoted} RSI crossed above")
    write_rows(rows / "ledger.jsonl", ledger)
    write_rows(rows / "accounts.jsonl", [*accounts, incident_row(evil)])
    html = write_report(demo).read_text()
    assert evil not in html
    assert "<img" not in html
    assert "alert(2)" in Page(html).words


def incident_row(text: str) -> dict[str, str]:
    body = {
        "account": "paper",
        "kind": "balance_mismatch",
        **dict.fromkeys(("subject", "expected", "actual", "action"), text),
        "opened_at": "2024-03-01T12:00:00Z",
    }
    return {"pk": "ACCOUNT#paper", "sk": f"INCIDENT#balance_mismatch:{text}", "body": json.dumps(body)}


def test_writing_the_report_again_gives_the_same_page(folder: Path) -> None:
    before = (folder / "report.html").read_bytes()
    assert write_report(folder).read_bytes() == before


@pytest.mark.parametrize(
    "missing",
    ["summary.json", "rows/ledger.jsonl", "rows/accounts.jsonl", "rows/configuration.jsonl", "rows/paper.jsonl"],
)
def test_a_folder_that_is_not_a_demos_is_refused_by_name(missing: str, folder: Path, tmp_path: Path) -> None:
    demo = copied(folder, tmp_path)
    (demo / missing).unlink()
    with pytest.raises(InvalidInput, match=r"is not what a demo leaves.*Run `make demo`"):
        write_report(demo)


def test_a_row_that_cannot_be_read_is_refused(folder: Path, tmp_path: Path) -> None:
    demo = copied(folder, tmp_path)
    with (demo / "rows" / "paper.jsonl").open("a") as rows:
        rows.write("{half a row\n")
    with pytest.raises(InvalidInput, match="is not what a demo leaves"):
        write_report(demo)


def test_a_page_of_ones_own_needs_only_titles_and_charts() -> None:
    body = chart("equity", equity_figure(points("100", "90")), "Equity", "In USD & so on.")
    own = Page(page("A <replay>", [Section("equity", "Equity", body)], "Of two days"))
    assert "A <replay> Of two days Equity In USD & so on." in own.words
    assert "figure-equity" in own.ids


# --- colours ---------------------------------------------------------------------------------------

STYLE = (Path(__file__).parents[2] / "shared" / "belay" / "pages" / "templates" / "page.css").read_text()
COLOURS = {name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", STYLE)}
GROUNDS = ("page", "card", "tint")
TEXT = ("ink", "muted", "accent", "good", "bad", "warn")
MARKS = ("quiet", "good", "bad", "warn", "series-1", "series-2", "series-3", "series-4")


def luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
def test_text_can_be_read_and_marks_can_be_seen_on_every_ground(ground: str, scheme: int) -> None:
    """The bounds are those of WCAG 2.2, level AA: 4.5 for text, 3 for what is drawn."""
    behind = COLOURS[ground][scheme]
    assert {name for name in TEXT if contrast(COLOURS[name][scheme], behind) < 4.5} == set()
    assert {name for name in MARKS if contrast(COLOURS[name][scheme], behind) < 3} == set()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_figure_in_a_bar_can_be_read(scheme: int) -> None:
    assert {
        name for name in (*MARKS, "muted") if contrast(COLOURS["card"][scheme], COLOURS[name][scheme]) < 4.5
    } == set()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_verdict_can_be_read_on_its_own_ground(scheme: int) -> None:
    for name in ("good", "bad"):
        assert contrast(COLOURS[name][scheme], COLOURS[f"{name}-tint"][scheme]) >= 4.5
        assert contrast(COLOURS["ink"][scheme], COLOURS[f"{name}-tint"][scheme]) >= 4.5


def test_every_colour_that_a_figure_names_is_one_of_the_pages() -> None:
    named = set(re.findall(r"var\(--([a-z0-9-]+)\)", json.dumps(FIGURES)))
    assert named <= COLOURS.keys()
