"""A local stack with a live account, as `make up MODE=live` starts it, and a person's hands on it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from belay.cli.desk import Desk, desk_over
from belay.local.announcement import announcement, local_clients
from belay.local.keys import without_keys
from belay.local.leftovers import leftovers
from belay.local.place import Place
from belay.local.stack import STAGE
from tests.soak.server import Server

ACCOUNT = "live"
TIMEOUT_MS = 2_000  # how long a function waits for an answer
LIMITS = {
    "max_order_notional": "2000",
    "max_aggregate_exposure": "90000",
    "submissions_per_minute": 90,
    "reserved_exit_submissions": 10,
    "max_price_age_seconds": 30,
    "max_balance_age_seconds": 30,
    "max_input_age_seconds": 900,
    "max_reconciliation_age_seconds": 300,
    "clock_offset_seconds": 5,
}
MOST_PER_SYMBOL = "20000"
REQUESTS_PER_MINUTE = 12_000  # the server counts none, and the run is in a hurry
EXECUTOR = b"AWS_LAMBDA_FUNCTION_NAME=belay-dev-executor"


class Local:
    """One stack in `folder`; `desk` is there once it is up."""

    def __init__(self, folder: Path, server: Server, symbols: Iterable[str]) -> None:
        self.place = Place(folder / "up")
        self._server = server
        self._document = folder / "account.json"
        self._symbols = list(symbols)
        self.desk: Desk
        self._clients: Any = None
        self._outputs: dict[str, str] = {}

    def up(self) -> None:
        """Raises RuntimeError with what was said."""
        self._command("down", "--clean")
        self._document.write_text(json.dumps(self._account(), indent=2))
        environment: dict[str, str] = {}
        for function in ("executor", "reconciler"):
            key, secret = self._server.key(function)
            environment |= {f"BELAY_{function.upper()}_KEY": key, f"BELAY_{function.upper()}_SECRET": secret}
        options = json.dumps(self._server.options() | {"timeout": TIMEOUT_MS})
        wanted = ["--account", str(self._document), "--venue", self._server.venue, "--mode", "live"]
        self._command("up", *wanted, "--venue-options", options, environment=environment)
        found = announcement(self.place.announcement)
        assert found is not None
        self._outputs, self._clients = found["outputs"], local_clients(found)
        self.desk = desk_over(STAGE, self._outputs, self._clients)

    def down(self) -> None:
        self._command("down")

    def _account(self) -> dict[str, Any]:
        return {
            "account": ACCOUNT,
            "venue": self._server.venue,
            "mode": "live",
            "symbols": self._symbols,
            "limits": LIMITS | {"max_position_notional": dict.fromkeys(self._symbols, MOST_PER_SYMBOL)},
            "requests_per_minute": REQUESTS_PER_MINUTE,
        }

    def _command(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "belay.cli.main", *arguments, "--folder", str(self.place.folder)]
        held = without_keys(os.environ) | (environment or {})
        done = subprocess.run(command, env=held, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"`up {arguments[0]}` ended with code {done.returncode}:\n{done.stdout}{done.stderr}")

    def kill_executors(self) -> int:
        """Kill every executor as it runs, without a warning. Returns how many there were."""
        killed = 0
        for process in leftovers(self.place.state):
            with suppress(OSError):
                if EXECUTOR in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                    os.kill(process, signal.SIGKILL)
                    killed += 1
        return killed

    def messages(self, queue: str) -> int:
        """Waiting, delayed or being worked on, in the queue whose URL is this output."""
        names = ["", "NotVisible", "Delayed"]
        wanted = [f"ApproximateNumberOfMessages{name}" for name in names]
        answer = self._clients("sqs").get_queue_attributes(QueueUrl=self._outputs[queue], AttributeNames=wanted)
        return sum(int(count) for count in answer["Attributes"].values())

    def dead(self) -> int:
        return sum(self.messages(f"{name}DeadLetterQueueUrl") for name in ("Intents", "FollowUps"))
