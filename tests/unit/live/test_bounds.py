"""What one answer may cost: each bound at its edge, and an attack on each."""

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import pytest

from belay.adapters.live import bounds
from belay.adapters.live.bounds import (
    DEPTH,
    DIGITS,
    ITEMS,
    PRIVATE_BYTES,
    VALUES,
    Deadline,
    OutOfBounds,
    TimedResponse,
    believable_text,
    inflated,
    within,
)


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


# --- bytes -------------------------------------------------------------------------------------------


def pieces(body: bytes, size: int = 1000) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("", bytes), ("identity", bytes), ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_body_may_be_exactly_as_long_as_the_bound(encoding: str, compress: Any) -> None:
    body = b"ab" * 2500
    assert inflated(pieces(compress(body)), encoding, len(body)) == body
    with pytest.raises(OutOfBounds, match="longer than 4999 bytes"):
        inflated(pieces(compress(body)), encoding, len(body) - 1)


def test_nothing_is_nothing_however_it_is_compressed() -> None:
    assert inflated([], "gzip", 10) == b""


@pytest.mark.parametrize(
    ("body", "encoding", "problem"),
    [
        (b"{}", "br", "not asked for"),
        (b"{}", "gzip, gzip", "not asked for"),
        (b"{}", "gzip", "not to be decompressed"),
        (gzip.compress(b"{}", mtime=0)[:-1], "gzip", "not one whole"),
        (gzip.compress(b"{}", mtime=0) * 2, "gzip", "not one whole"),
    ],
)
def test_a_body_that_cannot_be_decompressed_whole_is_none(body: bytes, encoding: str, problem: str) -> None:
    with pytest.raises(OutOfBounds, match=problem):
        inflated([body], encoding, 1000)


def test_input_without_output_has_an_end_too() -> None:
    empty_blocks = b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * 1000
    with pytest.raises(OutOfBounds, match="longer than"):
        inflated(pieces(empty_blocks), "deflate", 3000)


# --- depth, values, numbers --------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_an_answer_may_be_as_deep_as_the_bound() -> None:
    for shape in (
        nested(DEPTH),
        b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
        b'["[[[[\\"[[",' * DEPTH + b"1" + b"]" * DEPTH,
    ):
        assert believable_text(shape) == shape.decode()
    for shape in (nested(DEPTH + 1), b'{"a":' * (DEPTH + 1) + b"1" + b"}" * (DEPTH + 1), b"[" * 40, nested(100_000)):
        with pytest.raises(OutOfBounds, match="deeper than"):
            believable_text(shape)


def test_brackets_in_texts_are_no_depth() -> None:
    text = json.dumps({"message": "[" * 5000, "and": '\\"{' * 5000})
    assert believable_text(text.encode()) == text


def test_an_answer_may_have_as_many_values_as_the_bound() -> None:
    rows = b"[" + b"0," * (ITEMS - 1) + b"0]"
    assert believable_text(b"[" + b",".join([rows] * (VALUES // (ITEMS + 1))) + b"]")
    with pytest.raises(OutOfBounds, match="values"):
        believable_text(b"[" + b"0," * VALUES + b"0]")
    with pytest.raises(OutOfBounds, match="values"):
        believable_text(b"]" * (VALUES + 1))


TRICKY = (b'"["', b'"\\"]"', b'"[\\\\"', b'""', b'",,,"')
LISTS: dict[str, Callable[[int], bytes]] = {
    "numbers": lambda items: b"[" + b",".join([b"0"] * items) + b"]",
    "objects": lambda items: b"[" + b",".join([b'{"a": [], "b": 1}'] * items) + b"]",
    "texts": lambda items: b"[" + b",".join(islice(cycle(TRICKY), items)) + b"]",
    "an object": lambda items: b"{" + b",".join(b'"%d,": "[,]"' % number for number in range(items)) + b"}",
}


@pytest.mark.parametrize("name", LISTS)
def test_one_list_or_object_may_have_as_many_items_as_the_bound(name: str) -> None:
    honest, hostile = (LISTS[name](items) for items in (ITEMS, ITEMS + 1))
    assert (len(json.loads(honest)), len(json.loads(hostile))) == (ITEMS, ITEMS + 1)
    for around in (b"%b", b'{"error": [], "result": [[1], %b, 2]}'):
        assert believable_text(around % honest)
        with pytest.raises(OutOfBounds, match="items"):
            believable_text(around % hostile)


def test_commas_in_texts_are_no_items() -> None:
    text = json.dumps({"message": "," * ITEMS * 2, "and": ['\\",[' * ITEMS, "],{" * ITEMS]})
    assert believable_text(text.encode()) == text


HONEST = [
    "0.1", "-1", "1e-7", "1E+30", "9" * DIGITS, '"0.00000001"', '"1E-8"', '"ab12e345"', '"OABCDE-12E45-678901"',
    '"2024-03-01T12:00:00.123456Z"', '"' + "0123456789" * 7 + 'x"', '"https://host/1e999999"',
]  # fmt: skip
HOSTILE = [
    "9" * (DIGITS + 1), "-0." + "1" * DIGITS, "1e999999999", "1E-100", '"1e999999999"', '"1e-100"',
    '"' + "9" * 65 + '"', '"1_0e9_9_9_9"', '" 1e 999 "', '"1\\u0065999"', '"\\u0661e\\u0661\\u0661\\u0661"',
    '"1e١١١"', '"' + "9" * 100_000 + '"',
]  # fmt: skip


@pytest.mark.parametrize("number", HONEST)
def test_an_honest_number_or_word_is_read(number: str) -> None:
    text = f'{{"price": [{number}]}}'
    assert believable_text(text.encode()) == text


@pytest.mark.parametrize("number", HOSTILE, ids=lambda number: number[:20])
def test_a_number_that_nobody_should_compute_with_is_refused_also_as_a_text(number: str) -> None:
    for text in (number, f'{{"error": [], "result": {{"vol": {number}}}}}', f'{{"orderId": [{number}]}}'):
        with pytest.raises(OutOfBounds, match="number"):
            believable_text(text.encode())


def test_an_id_of_hex_digits_is_no_number_even_where_it_looks_like_one() -> None:
    looks_like_one = "123456789012345678901234567e1234"
    assert believable_text(f'{{"clientOrderId": "{looks_like_one}"}}'.encode())
    for elsewhere in (f'{{"price": "{looks_like_one}"}}', f'{{"orderId": {looks_like_one}}}'):
        with pytest.raises(OutOfBounds):
            believable_text(elsewhere.encode())


def test_a_long_word_of_digits_is_looked_at_once() -> None:
    """It must not take the square of its length."""
    assert believable_text(b'["' + b"9" * 1_000_000 + b'x"]')


def test_what_is_no_json_is_nobodys_number() -> None:
    assert believable_text(b"<html>1e999999999</html>")


def test_attacks_of_any_size_cost_little_memory() -> None:
    """300 MiB in 300 KiB, and as many objects as fit into the bounds."""
    spaces = zlib.compressobj(9)
    bomb = b"".join(spaces.compress(b" " * 1_048_576) for _ in range(300)) + spaces.flush()
    objects = b"[" + (b"[" + b'{"":[]},' * 9_000 + b"0],") * 22
    tracemalloc.start()
    try:
        with pytest.raises(OutOfBounds):
            inflated(pieces(bomb), "deflate", bounds.PUBLIC_BYTES)
        believable_text(inflated([objects], "", PRIVATE_BYTES) + b'"1e99"]')
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200_000_000


# --- time --------------------------------------------------------------------------------------------


class Dripping(io.RawIOBase):
    """A connected socket that gives one byte a second, for hours."""

    def __init__(self, clock: Clock, begins: bytes) -> None:
        self._clock = clock
        self._bytes = iter(begins)
        self.waits: list[float | None] = [7.0]

    def gettimeout(self) -> float | None:
        return self.waits[-1]

    def settimeout(self, seconds: float | None) -> None:
        self.waits.append(seconds)

    def makefile(self, _mode: str, buffering: int) -> "Dripping":
        assert buffering == 0
        return self

    def readinto(self, buffer: Any) -> int:
        self._clock.seconds += 1
        if self._clock.seconds > 9000:
            return 0  # so that a test ends that fails
        buffer[0] = next(self._bytes, ord("a"))
        return 1


@pytest.mark.parametrize(
    "begins",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"H",
    ],
    ids=["a header", "an interim answer", "the body", "a chunk", "the status"],
)
def test_whatever_is_sent_byte_by_byte_is_ended_by_the_deadline(begins: bytes) -> None:
    clock = Clock()
    connected: Any = Dripping(clock, begins)

    def answer() -> bytes:
        response = TimedResponse(connected)
        response.begin()
        return response.read()

    with within(Deadline(100, clock)), pytest.raises(TimeoutError):
        answer()
    assert clock.seconds == 1100
    assert connected.waits[1:4] == [7, 7, 7]  # each wait is bounded, too
    assert connected.waits[-1] == 1  # and the last one by what was left


def test_a_deadline_begins_when_it_is_first_asked_for() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.seconds += 60
    assert deadline.left() == 10
    clock.seconds += 4
    assert deadline.left() == 6
    assert deadline.within(60).left() == 6
    assert deadline.within(2).left() == 2
    clock.seconds += 6
    with pytest.raises(TimeoutError):
        deadline.left()


def test_a_part_keeps_to_the_whole_and_the_whole_goes_on_after_it() -> None:
    whole, part = Deadline(10, Clock()), Deadline(1, Clock())
    with within(whole):
        with within(part):
            assert bounds.current() is part
        assert bounds.current() is whole
    assert bounds.current() is None
