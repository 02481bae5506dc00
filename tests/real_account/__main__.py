"""Many lives of an account, one seed each: `python -m tests.real_account --runs 1000`, or over the wire: `--wire`."""

import argparse
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from belay.adapters.aws.telemetry import logger
from tests.real_account.lives import VENUES, require_the_way_back

RUNS, PROCESSES = 1000, 2


def failure(venue: str, seed: int, *, wire: bool) -> str:
    """What went wrong in one life; empty where nothing did."""
    logger.setLevel("ERROR")  # of the adapters: a life over the wire opens many connections
    with TemporaryDirectory() as folder:
        try:
            require_the_way_back(venue, seed, Path(folder), wire=wire)
        except Exception:
            return traceback.format_exc(limit=-3)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--wire", action="store_true", help="the real adapters and ccxt classes at a venue server")
    asked = parser.parse_args()
    lives = [(VENUES[n % len(VENUES)], asked.seed + n // len(VENUES)) for n in range(asked.runs)]
    failed, every = 0, 1 if asked.wire else 50
    with ProcessPoolExecutor(PROCESSES) as pool:
        ends = pool.map(partial(failure, wire=asked.wire), *zip(*lives, strict=True))
        for number, ((venue, seed), told) in enumerate(zip(lives, ends, strict=True), 1):
            if told:
                failed += 1
                sys.stdout.write(f"{venue} {seed}: {told}\n")
                sys.stdout.flush()
            if number % every == 0 or number == len(lives):
                where = " over the wire" if asked.wire else ""
                sys.stdout.write(f"lives of an account{where}  {number} of {len(lives)}, {failed} stuck or wrong\n")
                sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
