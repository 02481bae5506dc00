"""Runs independent reads at the same time. Knows nothing about what they read."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def gather_in_threads(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run every call in a thread of its own and wait for all.

    Returns:
        The results by name, in the order of `calls`.

    Raises:
        Exception: what the first failing call, in the order of `calls`, raised.
    """
    with ThreadPoolExecutor(max_workers=len(calls) or 1) as pool:
        running = {name: pool.submit(call) for name, call in calls.items()}
        return {name: result.result() for name, result in running.items()}
