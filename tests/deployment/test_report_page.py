"""The demo's report as a browser shows it: every chart drawn, nothing in the console, nothing asked of the network."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from belay.demo.exported import read_exported
from belay.demo.report import write_report
from belay.demo.stories import stories
from tests.chromium import DESKTOP, PHONE, Chromium, find_chromium
from tests.demo_rows import read_rows, write_demo, write_rows
from tests.hostile import HOSTILE

RENDERED_WITHIN_SECONDS = 2
CHARTS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demo = write_demo(tmp_path_factory.mktemp("demo"), hours=240)
    write_report(demo)
    return demo


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    return folder / "report.html"


@pytest.fixture(scope="module")
def running() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    with Chromium(program) as chromium:
        yield chromium


@pytest.fixture
def browser(running: Chromium, report: Path) -> Chromium:
    """The report, freshly opened in a light window of a desktop."""
    running.problems.clear()
    running.requests.clear()
    running.look()
    running.open(report)
    return running


# What every chart drew, axes left out, and nothing that cannot be seen.
MARKS = """
[...document.querySelectorAll("[data-figure]")].map(node => {
    const sizes = [...node.querySelectorAll(".cartesianlayer .trace path")].map(path => path.getBBox());
    return [node.dataset.figure, sizes.filter(({ width, height }) => width + height > 0).length];
})
"""


def marks(browser: Chromium) -> dict[str, int]:
    return dict(browser.ask(MARKS))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_chart_has_marks_and_nothing_is_in_the_console(
    browser: Chromium, report: Path, width: int, dark: bool
) -> None:
    browser.look(dark=dark, width=width)
    browser.open(report)
    drawn = marks(browser)
    assert len(drawn) == CHARTS
    assert all(drawn.values()), drawn
    assert browser.problems == []


def test_the_charts_show_every_candle_and_every_fill(browser: Chromium, folder: Path) -> None:
    run = read_exported(folder)
    candles = browser.ask("document.querySelectorAll('[data-figure=figure-price-0] .boxlayer path.box').length")
    fills = browser.ask("document.querySelectorAll('[data-figure=figure-price-0] .scatterlayer .points path').length")
    assert (candles, fills) == (240, len(run.fills))


def test_nothing_is_asked_of_the_network(browser: Chromium, report: Path) -> None:
    assert {address for address in browser.requests if not address.startswith(("data:", "blob:"))} == {report.as_uri()}


def test_the_page_is_never_wider_than_a_phone(browser: Chromium, report: Path) -> None:
    browser.look(width=PHONE)
    browser.open(report)
    browser.ask("document.querySelectorAll('details').forEach(details => details.open = true)")
    browser.settle()
    assert browser.ask("document.documentElement.scrollWidth") == PHONE


# --- colours ---------------------------------------------------------------------------------------

COLOURS = """({
    page: getComputedStyle(document.body).backgroundColor,
    axis: document.querySelector("[data-figure=figure-equity] .xtick text").style.fill,
    line: document.querySelector("[data-figure=figure-equity] .js-line").style.stroke,
})"""


def test_the_colours_follow_the_scheme_while_the_page_is_open(browser: Chromium) -> None:
    browser.ask("window.loaded = 'once'")
    light = browser.ask(COLOURS)
    browser.look(dark=True)
    dark = browser.ask(COLOURS)
    assert all(light[part] != dark[part] for part in light), (light, dark)
    browser.look()
    assert browser.ask(COLOURS) == light
    assert browser.ask("window.loaded") == "once"
    assert all(marks(browser).values())


def test_a_dark_screen_prints_on_white_paper(browser: Chromium, tmp_path: Path) -> None:
    light = browser.ask(COLOURS)
    browser.look(dark=True)
    dark = browser.ask(COLOURS)
    browser.ask(f"addEventListener('beforeprint', () => {{ window.printed = {COLOURS} }})")
    browser.print_to(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert browser.ask("window.printed") == light
    assert browser.ask(COLOURS) == dark
    assert browser.problems == []


# --- stories ---------------------------------------------------------------------------------------

SHOWN = "[...document.querySelectorAll('.story')].filter(story => story.checkVisibility()).map(story => story.id)"


def press(browser: Chromium, selector: str) -> None:
    browser.ask(f"document.querySelector({json.dumps(selector)}).click()")
    browser.settle()


def test_each_button_shows_the_decisions_of_its_kind_only(browser: Chromium, folder: Path) -> None:
    told = [story for story in stories(read_exported(folder)) if story.kinds]
    every = [story.decision.decision_id for story in told]
    assert browser.ask(SHOWN) == every
    for kind in {kind for story in told for kind in story.kinds}:
        of_kind = [story.decision.decision_id for story in told if kind in story.kinds]
        press(browser, f"button[data-kind={kind}]")
        assert browser.ask(SHOWN) == of_kind
        assert browser.ask("document.querySelector('[data-shown]').textContent") == str(len(of_kind))
        pressed = browser.ask("[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.dataset.kind)")
        assert pressed == [kind]
        count = browser.ask(f"document.querySelector('button[data-kind={kind}] span').textContent")
        assert count == str(len(of_kind))
    press(browser, "button[data-kind='']")
    assert browser.ask(SHOWN) == every


def test_one_button_opens_all_that_are_shown_and_closes_them(browser: Chromium) -> None:
    press(browser, "button[data-kind=dropped]")
    press(browser, "[data-toggle]")
    opened = "[...document.querySelectorAll('.story')].filter(story => story.open).map(story => story.id)"
    assert browser.ask(opened) == browser.ask(SHOWN) != []
    press(browser, "[data-toggle]")
    assert browser.ask(opened) == []


def test_a_link_to_a_decision_opens_its_story(browser: Chromium, folder: Path, report: Path) -> None:
    told = [story for story in stories(read_exported(folder)) if story.kinds][-1].decision.decision_id
    browser.open(report, anchor=told)
    assert open_in_view(browser) == [told]


def test_a_link_opens_a_story_that_was_filtered_out(browser: Chromium) -> None:
    press(browser, "button[data-kind=refused]")
    hidden = browser.ask("document.querySelector('.story[hidden]').id")
    browser.ask(f"location.hash = encodeURIComponent({json.dumps(hidden)})")
    browser.settle()
    assert open_in_view(browser) == [hidden]


def open_in_view(browser: Chromium) -> list[str]:
    shown: list[str] = browser.ask(
        """[...document.querySelectorAll(".story")].filter(story => {
            const { top } = story.getBoundingClientRect();
            return story.open && top >= 0 && top < innerHeight;
        }).map(story => story.id)"""
    )
    return shown


def test_a_click_on_a_fill_opens_the_story_of_its_order(browser: Chromium, folder: Path) -> None:
    browser.ask("document.querySelector('[data-figure=figure-price-0]').scrollIntoView()")
    place = browser.ask(
        """(() => {
            const node = document.querySelector("[data-figure=figure-price-0]");
            const linked = ({ customdata }) => customdata?.findIndex(link => link) >= 0;
            const number = node.data.findIndex(linked);
            const point = node.data[number].customdata.findIndex(link => link);
            // The first trace is the candles.
            const trace = node.querySelectorAll(".scatterlayer .trace")[number - 1];
            const { x, y, width, height } = trace.querySelectorAll(".points path")[point].getBoundingClientRect();
            return { x: x + width / 2, y: y + height / 2, link: node.data[number].customdata[point] };
        })()"""
    )
    browser.click(place["x"], place["y"])
    assert place["link"] in {story.decision.decision_id for story in stories(read_exported(folder))}
    assert open_in_view(browser) == [place["link"]]


# --- texts from outside ----------------------------------------------------------------------------

LABELS = (
    """[...document.querySelectorAll("[data-figure=figure-decisions] .ytick text")].map(label => label.textContent)"""
)
FOREIGN = (
    """document.querySelectorAll("evil-element, [evil-attribute], svg a, [style*=bold]:not(.legendtext)").length"""
)


def test_a_hostile_reason_is_drawn_as_the_text_that_it_is(browser: Chromium, folder: Path, tmp_path: Path) -> None:
    reason = HOSTILE["plotly"] + HOSTILE["HTML"] + HOSTILE["bidi"]
    (tmp_path / "summary.json").write_bytes((folder / "summary.json").read_bytes())
    shutil.copytree(folder / "rows", tmp_path / "rows")
    ledger = tmp_path / "rows" / "ledger.jsonl"
    rows = read_rows(ledger)
    for row in rows:
        row["body"] = row["body"].replace("RSI crossed above", json.dumps(reason)[1:-1])
    write_rows(ledger, rows)
    report = write_report(tmp_path)
    browser.requests.clear()
    browser.open(report)
    assert browser.problems == []
    assert {address for address in browser.requests if not address.startswith(("data:", "about:"))} == {report.as_uri()}
    assert browser.ask(FOREIGN) == 0
    assert any(label.startswith("reduce: <b>bold</b> <a") for label in browser.ask(LABELS)), browser.ask(LABELS)
    assert browser.ask("typeof evil") == "undefined"


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Chromium, report: Path, tmp_path: Path) -> None:
    changed = tmp_path / "report.html"
    injected = "<script>window.evil = 1</script><img src='data:,' onerror='window.evil = 2'></main>"
    changed.write_text(report.read_text().replace("</main>", injected))
    browser.open(changed)
    assert browser.ask("typeof window.evil") == "undefined"
    assert len([problem for problem in browser.problems if "Content Security Policy" in problem]) == 2


# --- size ------------------------------------------------------------------------------------------


def test_a_month_of_three_hundred_orders_is_drawn_in_two_seconds(browser: Chromium, tmp_path: Path) -> None:
    demo = write_demo(tmp_path, hours=720, instances=2)
    report = write_report(demo)
    assert len(read_exported(demo).orders) >= 300
    times = []
    for _ in range(3):
        browser.open(report)
        assert all(marks(browser).values())
        times.append(browser.busy_seconds())
    assert min(times) < RENDERED_WITHIN_SECONDS
    assert browser.problems == []


def test_the_log_of_a_page_with_an_error_would_be_heard(browser: Chromium, tmp_path: Path) -> None:
    """What the other tests rely on: a problem is noticed, and so is a request."""
    broken = tmp_path / "broken.html"
    broken.write_text("<script>console.error('loud'); fetch('https://example.invalid/'); nobody.knows()</script>")
    browser.open(broken)
    assert any("loud" in problem for problem in browser.problems)
    assert any(re.search("nobody is not defined", problem) for problem in browser.problems)
    assert "https://example.invalid/" in browser.requests
