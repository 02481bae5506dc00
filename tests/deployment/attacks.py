"""What another user of the machine, and a page in a browser, can try at a local stack. Asserts nothing."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from belay.local.programs import REGION
from tests.chromium import Chromium

NOBODY = 65534
OWN_HOST, FOREIGN_HOST = "127.0.0.1", "rebound.example"

# Becomes the other user only after it has read its own libraries, which that user may not be able to do.
SCRIPT = """
import encodings.idna, http.client, json, os, sys
asked = json.load(sys.stdin)
if asked["user"] is not None:
    os.setgroups([])
    os.setresgid(*[asked["user"]] * 3)
    os.setresuid(*[asked["user"]] * 3)
told = {"user": os.getuid(), "answers": [], "readable": []}
for method, path, headers, body in asked["requests"]:
    connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=60)
    connection.request(method, path, body.encode(), headers)
    answer = connection.getresponse()
    told["answers"].append([answer.status, answer.read().decode(errors="replace")])
    connection.close()
for path in asked["paths"]:
    try:
        os.close(os.open(path, os.O_RDONLY))
        told["readable"].append(path)
    except PermissionError:
        pass
print(json.dumps(told))
"""


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: str


class Told(NamedTuple):
    """As whom it was tried, what was answered (status and body), and which paths could be opened."""

    user: int
    answers: list[tuple[int, str]]
    readable: list[str]


def as_nobody(port: int, requests: Sequence[Request], paths: Iterable[Path]) -> Told:
    """Ask, and open files, as a user who owns nothing. Only root can become that user."""
    return _tried(port, requests, paths, NOBODY)


def as_oneself(port: int, requests: Sequence[Request]) -> Told:
    return _tried(port, requests, (), None)


def _tried(port: int, requests: Sequence[Request], paths: Iterable[Path], user: int | None) -> Told:
    asked = {"user": user, "port": port, "requests": requests, "paths": [str(path) for path in paths]}
    command = [sys.executable, "-I", "-c", SCRIPT]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return Told(told["user"], [(status, body) for status, body in told["answers"]], told["readable"])


# --- requests --------------------------------------------------------------------------------------------------------


def parameter_call(operation: str, values: Mapping[str, Any]) -> Request:
    """A call of the parameter store, not signed."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"AmazonSSM.{operation}"}
    return Request("POST", "/", headers, json.dumps(values))


def signed(request: Request, credentials: Credentials, port: int, host: str = OWN_HOST) -> Request:
    """As a client of these credentials sends it to a host of that name."""
    made = AWSRequest(request.method, f"http://{host}:{port}{request.path}", request.headers, request.body.encode())
    SigV4Auth(credentials, "ssm", REGION).add_auth(made)
    return request._replace(headers={**dict(made.headers.items()), "Host": f"{host}:{port}"})


def with_header(request: Request, name: str, value: str) -> Request:
    return request._replace(headers={**request.headers, name: value})


def guessed(function_arn: str, role_arn: str) -> Credentials:
    """The keys that the emulator by itself gives to a function, which follow from names that are no secret."""
    digest = _sha256(f"{function_arn}:{role_arn}")
    return Credentials(f"ASIA{digest[:16].upper()}", _sha256(f"secret:{digest}"), _sha256(f"token:{digest}"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- ports -----------------------------------------------------------------------------------------------------------


def listening(processes: Iterable[int]) -> set[tuple[str, int]]:
    """The addresses, in hexadecimal as the kernel shows them, and ports on which these processes listen."""
    held = {inode for process in processes for inode in _sockets(process)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in held:
                address, port = local.split(":")
                found.add((address, int(port, 16)))
    return found


def _sockets(process: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        link = str(descriptor.readlink())
        if link.startswith("socket:["):
            yield link.removeprefix("socket:[").removesuffix("]")


# --- a page ----------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><title>A page of another origin</title><script>
async function ask(base, requests) {
    const told = [];
    for (const [path, options] of requests) {
        try {
            const answer = await fetch(base + path, options);
            told.push([answer.type, await answer.text()]);
        } catch (error) {
            told.push(["failed", String(error)]);
        }
    }
    return told;
}
function submit(address, enctype, name, value) {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    const field = document.createElement("input");
    frame.name = form.target = "answer" + document.forms.length;
    document.body.append(frame, form);
    Object.assign(form, { method: "post", action: address, enctype });
    Object.assign(field, { name, value });
    form.append(field);
    return new Promise(done => { frame.onload = () => done(true); form.submit(); });
}
</script><body></body>
"""


class Website:
    """Serves the page, and takes every request of it from anywhere as MiniStack by itself does; `taken` are they."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                taken.append((self.command, self.path, self.headers.get("Content-Type", "")))
                body = PAGE.encode()
                self.send_response(200)
                for name, value in (("Content-Type", "text/html"), ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                for name in ("Origin", "Methods", "Headers"):
                    self.send_header(f"Access-Control-Allow-{name}", "*")
                # The wildcard covers every header but this one.
                self.send_header("Access-Control-Allow-Headers", "Authorization")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_OPTIONS = _answer  # noqa: N815 (the base class's names)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator["Website"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def ask_from_page(browser: Chromium, base: str, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[str]]:
    """The kind of each answer that the open page gets, `failed` without one, and what it can read of it."""
    told: list[list[str]] = browser.ask(f"ask({json.dumps(base)}, {json.dumps(requests)})")
    return told


def submit_from_page(browser: Chromium, address: str, enctype: str, name: str, value: str) -> None:
    """Send a form into a frame of the open page, and wait until that shows an answer."""
    browser.ask(f"submit({', '.join(map(json.dumps, (address, enctype, name, value)))})")
