"""The corpus: each row names tests that exist, each test that bears an id has its row, and the page shows them all."""

import json
from pathlib import Path
from typing import Any

import pytest

from belay.domain.errors import InvalidInput
from tests import corpus
from tests.corpus import BEGIN, END, HEAD, NUMBERED, PAGE, ROWS, Known, Row, collected, filled, known, read

LOST, TWICE = "tests/unit/test_lost.py::test_07_an_answer_is_lost", "tests/unit/test_lost.py::test_twice"
ELSEWHERE = "tests/venues/test_found.py::test_twice"
KNOWN = Known(frozenset({"P2", "P4"}), frozenset({LOST, TWICE, ELSEWHERE}))
ROW = {
    "id": "7",
    "happens": "an answer is lost",
    "right": "one order",
    "promise": "P2",
    "test": "test_07_an_answer_is_lost",
}


def toml(*rows: dict[str, Any]) -> str:
    """Rows as corpus.toml writes them; its texts and lists are written as JSON's."""
    return "\n".join(f"[[row]]\n{''.join(f'{n} = {json.dumps(v)}\n' for n, v in row.items())}" for row in rows)


def rows(*given: dict[str, Any], known: Known = KNOWN) -> tuple[Row, ...]:
    return read(toml(*given), known)


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name != field}


# --- this checkout ----------------------------------------------------------------------------------------------------


def test_the_table_of_the_page_is_the_one_that_the_rows_give() -> None:
    page = PAGE.read_text()
    assert page == filled(page, read(ROWS.read_text(), known())), "run python -m tests.corpus"


def test_the_promises_and_the_tests_are_found_where_they_are() -> None:
    found = known()
    assert found.promises == {f"P{number}" for number in range(1, 10)}
    here = "tests/unit/test_corpus_rows.py::test_the_promises_and_the_tests_are_found_where_they_are"
    assert here in found.tests
    assert sum(bool(NUMBERED.match(test.rpartition("::")[2])) for test in found.tests) > 50


# --- a row ------------------------------------------------------------------------------------------------------------


def test_a_row_names_its_tests_by_name_or_by_file_and_name() -> None:
    (row,) = rows({**ROW, "test": ["test_07_an_answer_is_lost", ELSEWHERE]})
    assert row.test == (LOST, ELSEWHERE)
    assert rows(ROW)[0].test == (LOST,)


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        (without("id"), "row number 1.id", "Field required"),
        ({**ROW, "id": "07"}, "row 07.id", "String should match pattern"),
        ({**ROW, "id": "X7"}, "row X7.id", "String should match pattern"),
        ({**ROW, "id": 7}, "row 7.id", "Input should be a valid string"),
        (without("happens"), "row 7.happens", "Field required"),
        ({**ROW, "happens": ""}, "row 7.happens", "String should match pattern"),
        ({**ROW, "right": "one | order"}, "row 7.right", "String should match pattern"),
        ({**ROW, "right": "one\norder"}, "row 7.right", "String should match pattern"),
        ({**ROW, "seen": " "}, "row 7.seen", "String should match pattern"),
        ({**ROW, "promise": "P3"}, "row 7.promise", "'P3' is none of the promises in README.md"),
        (without("promise"), "row 7.promise", "Field required"),
        (without("test"), "row 7.test", "Field required"),
        ({**ROW, "test": []}, "row 7.test", "Tuple should have at least 1 item"),
        ({**ROW, "test": ""}, "row 7.test", "there is no test ''"),
        ({**ROW, "test": "test_gone"}, "row 7.test", "there is no test 'test_gone'"),
        ({**ROW, "test": ["test_07_an_answer_is_lost", "lost"]}, "row 7.test", "there is no test 'lost'"),
        ({**ROW, "test": "tests/unit/test_found.py::test_twice"}, "row 7.test", "there is no test"),
        ({**ROW, "test": "test_twice"}, "row 7.test", f"'test_twice' is in several files: name it as one of {TWICE}"),
        ({**ROW, "status": "open"}, "row 7.status", "Extra inputs are not permitted"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_row_and_field(row: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rows(row)
    assert refused.value.field == field
    assert refused.value.problem.startswith(problem)
    assert "tests/corpus.toml" in refused.value.remedy


def test_a_wrong_row_without_an_id_is_told_by_its_place() -> None:
    with pytest.raises(InvalidInput, match=r"^row number 2\.id: "):
        rows(ROW, without("id"))


@pytest.mark.parametrize("text", ["", "row = 7", "row = [7]", "row = []", f"stage = 'dev'\n{toml(ROW)}", "[[row]"])
def test_what_is_no_list_of_rows_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^corpus: "):
        read(text, KNOWN)


# --- rows together ----------------------------------------------------------------------------------------------------


def test_two_rows_with_one_id_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^row 7\.id: is the id of another row, too"):
        rows(ROW, {**ROW, "happens": "something else"})


@pytest.mark.parametrize(
    ("test", "row"), [("test_10_it_is_late", "10"), ("test_003_it_is_late", "3"), ("test_r10_it_is_late", "R10")]
)
def test_a_test_that_bears_an_id_has_its_row_and_is_named_there(test: str, row: str) -> None:
    more = KNOWN._replace(tests=KNOWN.tests | {f"tests/unit/test_late.py::{test}"})
    with pytest.raises(InvalidInput, match=f"^row {row}: is missing, and tests/unit/test_late.py::{test} bears its id"):
        rows(ROW, known=more)
    with pytest.raises(InvalidInput, match=rf"^row {row}\.test: does not name tests/unit/test_late.py::{test}, "):
        rows(ROW, {**ROW, "id": row, "test": "test_07_an_answer_is_lost"}, known=more)
    assert rows(ROW, {**ROW, "id": row, "test": test}, known=more)[1].id == row


def test_a_row_of_a_real_account_is_another_one_than_the_row_of_that_number() -> None:
    both = KNOWN._replace(tests=KNOWN.tests | {"tests/unit/test_late.py::test_r7_it_is_late"})
    assert [row.id for row in rows(ROW, {**ROW, "id": "R7", "test": "test_r7_it_is_late"}, known=both)] == ["7", "R7"]


def test_only_the_functions_that_pytest_would_collect_are_tests() -> None:
    source = "def test_this(): ...\ndef helper():\n    def test_inner(): ...\n'''\ndef test_text(): ...\n'''\n"
    assert collected(Path("tests/unit/test_some.py"), source) == ["tests/unit/test_some.py::test_this"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_table_stands_between_the_marks_and_nothing_else_changes() -> None:
    page = filled(f"# Tests\n{BEGIN}old\n{END}after\n", rows({**ROW, "seen": "a report"}))
    assert page == (
        f"# Tests\n{BEGIN}{HEAD}"
        "| 7 | an answer is lost | one order | P2 | [`test_07_an_answer_is_lost`](unit/test_lost.py) | a report |\n"
        f"{END}after\n"
    )
    assert filled(page, rows({**ROW, "seen": "a report"})) == page


@pytest.mark.parametrize("page", ["# Tests\n", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_the_marks_is_refused(page: str) -> None:
    with pytest.raises(InvalidInput, match="lacks the marks"):
        filled(page, rows(ROW))


def test_the_command_writes_the_page_and_leaves_it_where_the_rows_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, text = tmp_path / "README.md", tmp_path / "corpus.toml"
    page.write_text(f"{BEGIN}{END}")
    for name, value in {"PAGE": page, "ROWS": text, "known": lambda: KNOWN}.items():
        monkeypatch.setattr(corpus, name, value)
    text.write_text(toml(ROW))
    assert corpus.main() == 0
    written = page.read_text()
    assert "test_07_an_answer_is_lost" in written
    text.write_text(toml({**ROW, "promise": "P3"}))
    assert corpus.main() == 2
    assert capsys.readouterr().err.startswith("corpus: row 7.promise: ")
    assert page.read_text() == written
