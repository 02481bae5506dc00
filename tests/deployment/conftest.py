"""The stack as it is deployed: built once, on one emulator, shared by every deployment test."""

from collections.abc import Iterator

import pytest

from belay.domain.account import StopLevel
from belay.local.stack import Stack
from tests.deployment.desk import open_desk, set_switch


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("aws")) as running:
        running.deploy()
        yield running


@pytest.fixture(scope="module")
def trading(stack: Stack) -> Stack:
    """The stack with the operators' switch on running."""
    set_switch(open_desk(stack), StopLevel.RUNNING)
    return stack
