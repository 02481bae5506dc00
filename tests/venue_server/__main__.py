"""`python -m tests.venue_server`: the server as a process of its own, on the machine's clock, until it is stopped.

Prints one line of JSON with its address when it listens. Keys are made, and everything else is changed, through
POST /_control.
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.venue_server.market import LISTED
from tests.venue_server.server import VenueServer


def main() -> int:
    arguments = _arguments()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    server = VenueServer(
        seed=arguments.seed, markets=arguments.markets, audit_file=arguments.audit, port=arguments.port
    )
    server.load_faults(arguments.faults)
    with server:
        sys.stdout.write(json.dumps({"url": server.url}) + "\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.venue_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--audit", type=Path, help="append every request and decision to this file, as JSON lines")
    parser.add_argument("--seed", type=int, default=0, help="of prices, ids and keys")
    parser.add_argument("--markets", type=int, default=len(LISTED), help="how many symbols are listed")
    parser.add_argument("--faults", type=_faults, default=[], help="a JSON list, or a file with one: see faults.Script")
    return parser.parse_args()


def _faults(text: str) -> list[dict[str, Any]]:
    content = text if text.lstrip().startswith("[") else Path(text).read_text()
    items = json.loads(content)
    if not isinstance(items, list):
        raise argparse.ArgumentTypeError("a JSON list of faults")
    return items


if __name__ == "__main__":
    sys.exit(main())
