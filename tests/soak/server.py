"""The venue server as a process of its own, with an account at one venue. Knows nothing of Belay."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.venue_server.server import BINANCE_PATHS

STOP_SECONDS = 10
ANSWER_SECONDS = 30


class Server:
    """A context manager. `audit` is the file to which the server appends what it received and decided."""

    def __init__(self, venue: str, seed: int, markets: int, audit: Path) -> None:
        self.venue = venue
        self.audit = audit
        self._command = [sys.executable, "-m", "tests.venue_server", "--seed", str(seed), "--markets", str(markets)]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.audit.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self._command, "--audit", str(self.audit)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, order: str, **values: Any) -> Any:
        """One order of the server's control endpoint, and its answer."""
        body = json.dumps({"do": order, **values}).encode()
        request = urllib.request.Request(f"{self.url}/_control", data=body, method="POST")  # noqa: S310 (loopback)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)

    def options(self) -> dict[str, Any]:
        """Constructor options with which ccxt's class reaches this server."""
        if self.venue == "binance":
            return {"urls": {"api": {name: self.url + path for name, path in BINANCE_PATHS.items()}}}
        return {"urls": {"api": {"public": self.url, "private": self.url}}}

    def key(self, name: str) -> tuple[str, str]:
        made = self.ask("add_key", venue=self.venue, name=name)
        return made["apiKey"], made["secret"]

    def faults(self, *items: Any) -> None:
        self.ask("faults", faults=list(items))

    def dealt(self) -> dict[str, int]:
        """How often each fault has hit a request."""
        return dict(self.ask("state")["faults_dealt"])

    def truth(self) -> dict[str, Any]:
        """The books: orders, trades and balances."""
        return dict(self.ask("truth", venue=self.venue))

    def client_id(self, order_id: str) -> str:
        """How an order's id is told to this venue."""
        parts = [order_id[:8], order_id[8:12], order_id[12:16], order_id[16:20], order_id[20:]]
        return "-".join(parts) if self.venue == "kraken" else order_id


class Received:
    """The new orders that the server has received, by client order id, read from its audit as it grows."""

    def __init__(self, audit: Path) -> None:
        self._file = audit.open()
        self._rest = ""
        self.counts: dict[str, int] = {}

    def __contains__(self, client_order_id: str) -> bool:
        self._read()
        return client_order_id in self.counts

    def all(self) -> dict[str, int]:
        self._read()
        return dict(self.counts)

    def close(self) -> None:
        self._file.close()

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            row = json.loads(line)
            if row["row"] == "request" and row["kind"] == "create_order":
                name = row["client_order_id"] or ""
                self.counts[name] = self.counts.get(name, 0) + 1
