"""A headless Chromium on a pipe: opens a page, asks it, and hears what it logs and what it requests.

Speaks the browser's DevTools protocol: messages of JSON, each ended by a zero byte, to its file descriptor 3 and from
its file descriptor 4.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
PATIENCE_SECONDS = 60
PHONE, DESKTOP = 390, 1200


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """One browser with one page. `problems` are console errors, warnings and exceptions; `requests` are addresses."""

    def __init__(self, program: str) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._unread = b""
        self._events: list[dict[str, Any]] = []
        child_reads, self._out = (_high(end) for end in os.pipe())
        self._in, child_writes = (_high(end) for end in os.pipe())
        log = Path(self._folder.name) / "log"
        files = [
            (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, child_reads, 3),
            (os.POSIX_SPAWN_DUP2, child_writes, 4),
        ]
        command = [program, *FLAGS, f"--user-data-dir={self._folder.name}/profile", "about:blank"]
        self._pid = os.posix_spawn(program, command, os.environ, file_actions=files, setpgroup=0)
        os.close(child_reads)
        os.close(child_writes)

    def __enter__(self) -> Self:
        try:
            self._attach()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _attach(self) -> None:
        (page,) = (target for target in self._call("Target.getTargets")["targetInfos"] if target["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Performance.enable", timeDomain="threadTicks")

    def _end(self) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    # --- what a person does ---

    def open(self, file: Path, anchor: str = "") -> None:
        """Load a file, also when it is shown already, and wait until it has loaded and drawn."""
        self.visit(file.absolute().as_uri() + (f"#{anchor}" if anchor else ""))

    def visit(self, wanted: str) -> None:
        """The same with an address."""
        for address in ("about:blank", wanted):
            self._events.clear()
            self._call("Page.navigate", url=address)
            self._wait_for("Page.loadEventFired")
        self.settle()

    def look(self, *, dark: bool = False, width: int = DESKTOP, height: int = 900) -> None:
        """Prefer a colour scheme, and show the page that wide."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        phone = width <= PHONE
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.settle()

    def settle(self) -> None:
        """Until two frames were drawn after whatever was asked."""
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited; an exception in it is raised here."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"].get("description", answer))
        return answer["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Point at a place of the window and press there."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def busy_seconds(self) -> float:
        """Processor time that the page has taken since it was opened; other programs do not count."""
        metrics = self._call("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    def screenshot(self, file: Path, *, whole: bool = False, clip: dict[str, float] | None = None) -> None:
        area = {"clip": {**clip, "scale": 1}} if clip else {}
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole or bool(clip), **area)
        file.write_bytes(base64.b64decode(shot["data"]))

    def print_to(self, file: Path) -> None:
        printed = self._call("Page.printToPDF", printBackground=True, preferCSSPageSize=False)
        file.write_bytes(base64.b64decode(printed["data"]))

    # --- the pipe ---

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == number:
                if "error" in heard:
                    raise AssertionError(f"{method}: {heard['error']}")
                result: dict[str, Any] = heard["result"]
                return result

    def _wait_for(self, event: str) -> None:
        while not any(heard["method"] == event for heard in self._events):
            self._hear()

    def _hear(self) -> dict[str, Any]:
        """The next message; events are remembered."""
        until = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._in], [], [], max(until - time.monotonic(), 0))
            read = os.read(self._in, 1 << 20) if ready else b""
            if not read:
                raise AssertionError(f"Chromium said nothing for {PATIENCE_SECONDS} s, or ended")
            self._unread += read
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._remember(message)
        return message

    def _remember(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        parameters = event["params"]
        match event["method"]:
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.problems.append(str([part.get("value", part) for part in parameters["args"]]))
            case "Runtime.exceptionThrown":
                self.problems.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.problems.append(str(parameters["entry"]["text"]))
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])


def _high(descriptor: int) -> int:
    """The same pipe under a number that is not one of the browser's own."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high
