"""What may be said in a variable of make, and which folders the demo may delete."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from belay.cli.main import app
from belay.cli.make_variables import switch, whole
from belay.demo.run import make_anew, own_folder
from belay.domain.errors import InvalidInput
from belay.local import build
from belay.local.programs import SAM


def test_whole_numbers_and_switches_are_what_they_say() -> None:
    assert [whole("SEED", text, 0) for text in ("0", "7", "9" * 18)] == [0, 7, 10**18 - 1]
    assert [switch("CLEAN", text) for text in ("", "0", "1")] == [False, False, True]


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "0", "\u0661", "9" * 5_000, "$(id)"])
def test_what_is_no_whole_number_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^HOURS: .* is not a whole number from 1 up"):
        whole("HOURS", text, 1)


@pytest.mark.parametrize("text", ["yes", "true", "00", " 1"])
def test_what_is_neither_1_nor_0_switches_nothing(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^CLEAN: .* is neither 1 nor 0"):
        switch("CLEAN", text)


def test_a_build_is_for_one_of_two_architectures_and_for_arm64_where_none_is_named() -> None:
    begin = [str(SAM), "build", "--parameter-overrides"]
    assert build.command("") == [*begin, "Architecture=arm64"]
    assert build.command("x86_64") == [*begin, "Architecture=x86_64"]
    with pytest.raises(InvalidInput, match=r"^ARCHITECTURE: 'arm64 Stage=prod' is none"):
        build.command("arm64 Stage=prod")


# --- the folder of a demo ----------------------------------------------------------------------------------------


def demo_in(folder: Path) -> Path:
    for name in ("aws/state", "rows"):
        (folder / name).mkdir(parents=True)
    for name in ("aws/port", "rows/ledger.jsonl", "summary.json", "report.html"):
        (folder / name).touch()
    return folder


def test_a_demo_is_made_anew_where_nothing_or_an_earlier_demo_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty", demo_in(tmp_path / "earlier")):
        make_anew(own_folder(str(folder)))
        assert [path.name for path in folder.rglob("*")] == ["rows"]
        assert folder.stat().st_mode & 0o077 == 0


FOREIGN = {
    "a project": ["notes.txt"],
    "a project with rows of its own": ["rows/mine.csv", "src/app.py"],
    "a demo with something else in it": ["rows/ledger.jsonl", "notes.txt"],
    "a demo with other rows": ["rows/ledger.jsonl", "rows/mine.csv"],
    "a demo without rows": ["summary.json"],
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_that_holds_anything_else_is_left_alone(files: list[str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    refused = CliRunner().invoke(app, ["demo", "--output", str(tmp_path), "--seed", "1"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"belay: OUTPUT: {tmp_path} holds something else than a demo. ")
    assert all((tmp_path / name).exists() for name in files)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file/below", tmp_path / ("x" * 300)):
        with pytest.raises(InvalidInput, match=r"^OUTPUT: .* cannot be used: "):
            own_folder(str(wrong))


def test_a_link_to_a_demo_is_not_followed_into_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = demo_in(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match=r"^OUTPUT: .* cannot be made: "):
        make_anew(own_folder(str(tmp_path / "link")))
    assert (elsewhere / "summary.json").exists()


def test_wrong_candles_name_their_variable_and_where_they_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "candles.csv").write_text("no header\n")
    command = ["--candles", str(tmp_path / "candles.csv"), "--output", str(tmp_path / "demo")]
    refused = CliRunner().invoke(app, ["demo", *command])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"belay: CANDLES: {tmp_path}/candles.csv, line 1: is not the header. ")
    assert not (tmp_path / "demo").exists()
