"""The stack as it is deployed: built once, on one emulator, shared by every deployment test."""

from collections.abc import Iterator

import pytest

from belay.cli.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("aws")) as running:
        running.deploy()
        yield running
