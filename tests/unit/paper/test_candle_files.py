"""Reading candle files: what is accepted, and what the error says about each way to be wrong."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from belay.adapters.paper import candle_files
from belay.adapters.paper.candle_files import generated_candles, read_candles
from belay.domain.errors import InvalidInput
from belay.domain.market import check_candles

HEADER = "timestamp,open,high,low,close,volume"
# 2019-10-17T00:00:00Z and the two hours after it.
FIRST, SECOND, THIRD = (f"{1571270400000 + hour * 3_600_000},100,110,90,105.5,12.5" for hour in range(3))
START = datetime(2019, 10, 17, tzinfo=UTC)


def written(tmp_path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "candles.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_a_file_becomes_candles_with_exact_numbers_and_utc_times(tmp_path: Path) -> None:
    first, second = read_candles(written(tmp_path, HEADER, FIRST, SECOND), "1h")
    assert first.open_time == START
    assert second.open_time == START + timedelta(hours=1)
    shown = [first.open, first.high, first.low, first.close, first.volume]
    assert [str(number) for number in shown] == ["100", "110", "90", "105.5", "12.5"]


def test_a_byte_order_mark_and_blank_lines_are_harmless(tmp_path: Path) -> None:
    assert len(read_candles(written(tmp_path, HEADER, FIRST, "", SECOND, "", encoding="utf-8-sig"), "1h")) == 2


LATE = FIRST.replace("1571270400000", "1571270401000")
WRONG = {
    "no header": ([FIRST, SECOND], "line 1: is not the header"),
    "another column order": (["timestamp,open,low,high,close,volume", FIRST], "line 1: is not the header"),
    "an empty file": ([], "line 1: is not the header"),
    "a header alone": ([HEADER], "candles.csv: holds no candles"),
    "a word for a number": ([HEADER, FIRST, SECOND.replace("110", "high")], "line 3, column high: 'high' is not"),
    "an empty field": ([HEADER, FIRST.replace("110", "")], "line 2, column high: '' is not a number"),
    "not a number": ([HEADER, FIRST.replace("110", "NaN")], "line 2, column high: 'NaN' is not a number"),
    "infinity": ([HEADER, FIRST.replace("12.5", "inf")], "line 2, column volume: 'inf' is not a number"),
    "a negative volume": ([HEADER, FIRST.replace("12.5", "-1")], "line 2, column volume: Input should be greater"),
    "a price of zero": ([HEADER, FIRST.replace("90", "0")], "line 2, column low: Input should be greater"),
    "a low above the high": ([HEADER, FIRST.replace("90", "120")], "column low to high: low <= open, close <= high"),
    "too few columns": ([HEADER, FIRST, "1571274000000,100"], "line 3: 2 columns"),
    "too many columns": ([HEADER, FIRST + ",1"], "line 2: 7 columns"),
    "a broken millisecond": ([HEADER, FIRST.replace("000,100", "000.5,100")], "column timestamp: .* not a whole"),
    "a time beyond all calendars": ([HEADER, "1E+30,1,1,1,1,1"], "line 2, column timestamp: .* not a time"),
    "a time that would be computed for hours": ([HEADER, "1e4000000,1,1,1,1,1"], r": 1e\+4000000 is not a time"),
    "a time before everything": ([HEADER, "-1e4000000,1,1,1,1,1"], r": -1e\+4000000 is not a time"),
    "times off the hour": ([HEADER, LATE], "line 2, column timestamp: 1571270401000 is not the start of a 1h"),
    "times in seconds": (
        [HEADER, FIRST.replace("400000,", "400,")],
        "timestamp: 1571270400 is not a time in milliseconds between",
    ),
    "an unsorted line": ([HEADER, SECOND, FIRST], "line 3, column timestamp: .* unsorted or doubled"),
    "a doubled line": ([HEADER, FIRST, FIRST], "line 3, column timestamp: .* unsorted or doubled"),
    "a gap": ([HEADER, FIRST, THIRD], "line 3, column timestamp: .* is not one 1h after"),
    "an open quote": ([HEADER, '"' + FIRST], "is not a CSV file"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_refused_with_its_line_and_column(wrong: str, tmp_path: Path) -> None:
    lines, message = WRONG[wrong]
    with pytest.raises(InvalidInput, match=message) as caught:
        read_candles(written(tmp_path, *lines), "1h")
    assert "candles.csv" in caught.value.field


@pytest.mark.parametrize("number", ["x" * 10_000, "1" * 10_000, f"1571270400000.{'1' * 10_000}"])
def test_an_error_does_not_repeat_all_of_a_long_field(number: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="column timestamp") as caught:
        read_candles(written(tmp_path, HEADER, f"{number},1,1,1,1,1"), "1h")
    assert len(caught.value.problem) < 150


def test_a_file_that_is_not_text_a_folder_and_a_missing_file_are_refused_by_name(tmp_path: Path) -> None:
    binary = tmp_path / "candles.bin"
    binary.write_bytes(b"\x00\xff\xfe\x81")
    for path in (binary, tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(InvalidInput, match=path.name):
            read_candles(path, "1h")


def test_a_pipe_a_device_and_a_folder_are_no_regular_files_and_nothing_waits_for_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), tmp_path):
        with pytest.raises(InvalidInput, match=rf"^{path}: is not a regular file"):
            read_candles(path, "1h")


def test_a_file_that_is_too_large_is_refused_and_one_at_the_limit_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_files, "MOST_BYTES", 2**20)
    path = written(tmp_path, HEADER, FIRST)
    with path.open("a") as file:
        file.write("\n" * (2**20 - path.stat().st_size))
    assert len(read_candles(path, "1h")) == 1
    with path.open("a") as file:
        file.write("\n")
    with pytest.raises(InvalidInput, match=r"candles\.csv: is larger than 1 MiB"):
        read_candles(path, "1h")


def test_a_path_that_is_swapped_after_it_was_opened_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = written(tmp_path, HEADER, FIRST), os.open

    def swapping(*arguments: Any, **options: Any) -> int:
        descriptor = opened(*arguments, **options)
        path.unlink()
        os.mkfifo(path)
        return descriptor

    monkeypatch.setattr(os, "open", swapping)
    assert len(read_candles(path, "1h")) == 1


def test_an_unknown_timeframe_is_refused_before_the_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="7m is not known"):
        read_candles(tmp_path / "missing.csv", "7m")


def test_the_generated_market_is_a_whole_series_of_plausible_candles() -> None:
    candles = generated_candles(7, 500, "1h", START)
    check_candles(candles, "1h")
    assert len(candles) == 500
    assert candles[0].open_time == START
    assert all(Decimal(1000) < candle.low < candle.high < Decimal(64_000) for candle in candles)
    assert all(candle.volume > 1 for candle in candles)
    assert all(candle.close == candle.close.quantize(Decimal("0.01")) for candle in candles)
    assert max(c.close for c in candles) > min(c.close for c in candles) * Decimal("1.05")


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    assert generated_candles(7, 50, "1h", START) == generated_candles(7, 50, "1h", START)
    assert generated_candles(7, 50, "1h", START) != generated_candles(8, 50, "1h", START)


def test_a_generated_market_begins_on_a_candle_and_has_one() -> None:
    with pytest.raises(InvalidInput, match="not the open time"):
        generated_candles(7, 5, "1h", START + timedelta(minutes=1))
    with pytest.raises(InvalidInput, match="count"):
        generated_candles(7, 0, "1h", START)
