"""Texts from outside: everything in them can be seen, and what people write in their own scripts stays readable."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.domain.errors import FIELD, InvalidInput
from belay.domain.slots import Tick
from belay.domain.texts import bounded, paragraph, shown, storable
from tests.builders import make_tick
from tests.hostile import HOSTILE, SAFE

TEXTS = st.text(st.characters())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x7f\x85\x9b", r"\x00\x7f\x85\x9b"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\u202e\u2066\u200e\u061c", r"\u202e\u2066\u200e\u061c"),
        ("\u200b\u200d\ufeff\u00ad", r"\u200b\u200d\ufeff\xad"),
        ("\ud800", r"\ud800"),
        ("\ue000\U0010fffd\u0378", r"\ue000\U0010fffd\u0378"),
        ("\u3164\u2800\ufe0f\U000e0101", r"\u3164\u2800\ufe0f\U000e0101"),
    ],
)
def test_what_acts_or_cannot_be_seen_stands_as_an_escape(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_what_people_write_stays_as_it_is() -> None:
    assert shown(SAFE) == SAFE


@pytest.mark.parametrize("show", [shown, paragraph, lambda text: bounded(text, 40)])
@given(text=TEXTS)
def test_a_text_that_is_shown_twice_is_the_same_as_shown_once(show: Callable[[str], str], text: str) -> None:
    assert show(show(text)) == show(text)


@given(text=TEXTS)
def test_a_shown_text_is_one_line_without_a_control_format_or_surrogate(text: str) -> None:
    once = shown(text)
    assert len(once.splitlines()) <= 1
    assert not {unicodedata.category(sign) for sign in once} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_shown_text_can_be_written_in_utf_8(name: str) -> None:
    assert shown(HOSTILE[name]).encode().decode() == shown(HOSTILE[name])


@given(text=st.text(st.characters(exclude_categories=())))
def test_a_storable_text_can_be_encoded_and_keeps_every_whole_character(text: str) -> None:
    once = storable(text)
    assert once.encode().decode() == once
    assert [(sign, kept) for sign, kept in zip(text, once, strict=True) if sign != kept] == [
        (sign, "\ufffd") for sign in text if "\ud800" <= sign <= "\udfff"
    ]


@given(text=TEXTS, most=st.integers(1, 50))
def test_a_bounded_text_is_never_longer_and_says_when_something_is_missing(text: str, most: int) -> None:
    cut = bounded(text, most)
    assert len(cut) <= most
    assert cut == shown(text) or cut.endswith("…")


def test_a_paragraph_keeps_its_own_line_breaks_and_no_other() -> None:
    assert paragraph("one\ntwo\rthree\u2028\x1b") == "one\ntwo\\rthree\\u2028\\x1b"


def test_a_made_up_field_is_named_on_one_line_and_not_at_any_length() -> None:
    """It becomes a part of an incident's key, of which a table bounds the length."""
    with pytest.raises(InvalidInput) as refused:
        Tick.parse({**make_tick().model_dump(mode="json"), "x\u202e\n" + "y" * 5_000: 1})
    assert refused.value.field.startswith("tick.x\\u202e\\nyyy")
    assert len(refused.value.field) == FIELD
