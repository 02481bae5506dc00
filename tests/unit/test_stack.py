"""The harness around the emulator: it must never act on the caller's own AWS account."""

from pathlib import Path

import pytest

from belay.cli.local import stack as harness
from belay.cli.local.stack import Stack, StackError

CALLERS_OWN = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "https://elsewhere.example",
    "BINANCE_API_SECRET": "real",
}


@pytest.mark.parametrize("building", [True, False])
def test_a_child_process_sees_nothing_of_the_callers_account(monkeypatch: pytest.MonkeyPatch, building: bool) -> None:
    for name, value in CALLERS_OWN.items():
        monkeypatch.setenv(name, value)
    environment = harness._environment(building=building)
    assert not environment.keys() & CALLERS_OWN.keys()
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


def test_a_client_talks_to_the_emulator_as_its_administrator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CALLERS_OWN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE")
    stack = Stack(tmp_path)
    client = stack.client("sqs")
    assert client.meta.endpoint_url == stack.endpoint
    assert stack.endpoint.startswith("http://127.0.0.1:")
    assert client._get_credentials().access_key == "test"


def test_a_missing_tool_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "MINISTACK", harness.ROOT / ".tools/absent")
    with pytest.raises(StackError, match="make setup"):
        Stack(tmp_path).start()


def test_an_emulator_that_ends_at_once_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho the reason\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(harness, "MINISTACK", broken)
    with pytest.raises(StackError, match=r"ended with code 3\nthe reason"):
        Stack(tmp_path / "state").start()
