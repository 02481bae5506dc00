"""The emulator's guard before there is an emulator: which one it is for, and that it refuses any other."""

import importlib
import importlib.metadata
from types import SimpleNamespace

import pytest

from belay.local import emulator
from belay.local.emulator import NEEDED, WRITTEN_FOR, load
from belay.local.programs import ROOT


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, SimpleNamespace]:
    """An emulator that has everything, which a test may take away."""
    made = {name: SimpleNamespace(**dict.fromkeys(items, object())) for name, items in NEEDED.items()}
    monkeypatch.setattr(importlib, "import_module", lambda name: made[name.removeprefix("ministack.")])
    monkeypatch.setattr(importlib.metadata, "version", lambda _: WRITTEN_FOR)
    return made


def test_the_guard_is_written_for_the_emulator_that_is_installed() -> None:
    assert f"\nministack=={WRITTEN_FOR} " in (ROOT / "requirements-ministack.txt").read_text()


def test_an_emulator_with_everything_is_guarded(parts: dict[str, SimpleNamespace]) -> None:
    assert load() == parts


def test_another_version_is_not_started(parts: dict[str, SimpleNamespace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.6.0")
    with pytest.raises(SystemExit, match=rf"is version 1\.6\.0, but its guard is written for {WRITTEN_FOR}: run"):
        load()


@pytest.mark.parametrize(("name", "item"), [(name, item) for name, items in NEEDED.items() for item in items])
def test_an_emulator_without_what_the_guard_replaces_or_calls_is_not_started(
    parts: dict[str, SimpleNamespace], name: str, item: str
) -> None:
    delattr(parts[name], item)
    with pytest.raises(SystemExit, match=rf"has no {name}\.{item}, which its guard needs"):
        load()


def test_an_emulator_that_checks_no_rights_is_not_started(parts: dict[str, SimpleNamespace]) -> None:
    parts["app"].AUTH = False
    with pytest.raises(SystemExit, match="start it with AUTH=true"):
        load()


def test_the_guard_needs_nothing_of_belay_since_it_runs_in_the_emulators_environment() -> None:
    source = (ROOT / "shared/belay/local/emulator.py").read_text()
    assert emulator.__name__ == "belay.local.emulator"
    assert "import belay" not in source
    assert "from belay" not in source
