"""The emulator's guard before there is an emulator: which one it is for, that it refuses any other, what is kept."""

import importlib
import importlib.metadata
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from belay.local import emulator
from belay.local.emulator import NEEDED, WRITTEN_FOR, Storing, load, restore_all_or_end
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


# --- what is kept ------------------------------------------------------------------------------------------------


def emulator_with(save_all: Callable[[object], None]) -> tuple[SimpleNamespace, logging.Logger]:
    return SimpleNamespace(save_all=save_all), logging.Logger("persistence")  # noqa: LOG001 nobody else's


def test_what_the_emulator_only_logs_that_it_could_not_store_was_not_stored() -> None:
    app, log = emulator_with(lambda _: log.error("failed to save ssm: No space left on device"))
    storing = Storing(app, log)
    app.save_all({})
    assert not storing.succeeded


def test_what_was_stored_without_an_error_was_stored_whatever_was_logged_before() -> None:
    app, log = emulator_with(lambda _: log.info("saved ssm"))
    storing = Storing(app, log)
    log.error("something else")
    assert not storing.succeeded  # nothing was stored yet
    app.save_all({})
    assert storing.succeeded


class Ended(BaseException):
    """The process."""


class Service:
    """One service of the emulator."""

    def __init__(self) -> None:
        self.restored: list[object] = []

    def load_persisted_state(self, state: object) -> None:
        if state == "broken":
            raise KeyError("records")
        self.restored.append(state)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    def end(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)
    return Service()


def restore(service: Service, folder: Path, state: object) -> None:
    """As the emulator does it when it starts, where `state` is what it reads from its file."""
    app = SimpleNamespace(_state_map={"ssm": "ssm", "sqs": "sqs"}, _get_module=lambda _: service)
    restore_all_or_end(app, SimpleNamespace(STATE_DIR=str(folder), load_state=lambda _: state))
    app._load_persisted_state()


def test_what_was_stored_is_restored_and_what_was_not_is_not_asked_for(service: Service, tmp_path: Path) -> None:
    (tmp_path / "ssm.json").touch()
    restore(service, tmp_path, {"parameters": 1})
    assert service.restored == [{"parameters": 1}]


@pytest.mark.parametrize("state", [None, "broken"])
def test_an_emulator_that_cannot_restore_a_file_ends_instead_of_beginning_with_nothing(
    service: Service, tmp_path: Path, state: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ssm.json").touch()
    with pytest.raises(Ended):
        restore(service, tmp_path, state)
    assert f"cannot restore {tmp_path}/ssm.json: " in capsys.readouterr().err
