"""Makes the strategies importable as in the evaluator's package; properties take as long as the machine needs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2] / "functions" / "evaluator"))
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _own_umask() -> Iterator[None]:
    """A command that keeps its files private does so for its own process, which is not that of the tests."""
    before = os.umask(0)
    os.umask(before)
    yield
    os.umask(before)
