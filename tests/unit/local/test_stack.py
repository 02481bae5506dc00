"""The harness around the emulator: it must never act on the caller's own AWS account."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from belay.domain.errors import InvalidInput
from belay.local import programs
from belay.local import stack as harness
from belay.local.port import free_port, listening
from belay.local.private import private_folder, write_private
from belay.local.programs import StackError
from belay.local.stack import Stack

CALLERS_OWN = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "https://elsewhere.example",
    "BINANCE_API_SECRET": "real",
}

# A web server on the socket that it is given.
OPEN_TO_ALL = """
import http.server, socket, sys
class Open(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Open, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[-1]))
server.serve_forever()
"""


@pytest.mark.parametrize("building", [True, False])
def test_a_child_process_sees_nothing_of_the_callers_account(monkeypatch: pytest.MonkeyPatch, building: bool) -> None:
    for name, value in CALLERS_OWN.items():
        monkeypatch.setenv(name, value)
    environment = programs.environment(building=building)
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
    assert client._get_credentials().access_key == stack.administrator.access_key


def test_each_stack_has_an_administrator_of_its_own_whose_secret_is_not_shown(tmp_path: Path) -> None:
    one, other = Stack(tmp_path).administrator, Stack(tmp_path).administrator
    assert len({one.access_key, other.access_key, one.secret, other.secret}) == 4
    assert one.secret not in repr(one)


def test_a_missing_tool_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "MINISTACK", programs.ROOT / ".tools/absent")
    with pytest.raises(StackError, match="make setup"):
        Stack(tmp_path).start()


def test_an_emulator_that_ends_at_once_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho the reason\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(harness, "MINISTACK", broken)
    with pytest.raises(StackError, match=r"ended with code 3\nthe reason"):
        Stack(tmp_path / "state").start()


# A web server on the socket that it is given, which ends with code 1 when it is asked to.
STORES_NOTHING = f"""
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit("No space left on device"))
{OPEN_TO_ALL.replace("send_response(200)", "send_response(403)")}
"""


def test_an_emulator_that_stored_nothing_says_so_however_often_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unable, said = tmp_path / "unable", list[str]()
    unable.write_text(f"#!{sys.executable}\nimport sys\n{STORES_NOTHING}")
    unable.chmod(0o755)
    monkeypatch.setattr(harness, "MINISTACK", unable)
    stack = Stack(tmp_path / "state", said.append)
    stack.start()
    assert [stack.stop(), stack.stop()] == [False, False]
    assert said == [f"The AWS emulator could not store its state (log: {stack.log})"]


def test_an_emulator_that_answers_whoever_asks_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.write_text(f"#!{sys.executable}\n{OPEN_TO_ALL}")
    open_to_all.chmod(0o755)
    monkeypatch.setattr(harness, "MINISTACK", open_to_all)
    stack = Stack(tmp_path / "state")
    with pytest.raises(StackError, match="answers without a key"):
        stack.start()
    assert not stack.running


def test_a_port_is_taken_before_the_emulator_starts_so_that_no_other_program_answers_on_it(tmp_path: Path) -> None:
    port = free_port()
    with listening(port), socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_a_folder_is_its_users_alone_also_where_it_was_open_before(tmp_path: Path) -> None:
    folder = tmp_path / "up"
    folder.mkdir(mode=0o755)
    write_private(private_folder(folder) / "stack.json", "{}")
    assert [stat.S_IMODE(made.stat().st_mode) for made in (folder, folder / "stack.json")] == [0o700, 0o600]


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(InvalidInput, match="belongs to another user"):
        private_folder(tmp_path)


def test_what_is_kept_private_is_readable_by_nobody_else_and_leaves_no_core(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from belay.local.private import keep_private\n"
        "keep_private(); Path(sys.argv[1]).touch(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    told = subprocess.run([sys.executable, "-c", script, tmp_path / "file"], capture_output=True, text=True, check=True)
    assert told.stdout == "(0, 0)\n"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
