"""Two hundred steps of an ordinary account: at the end it is clean, or its incidents print what makes it clean."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.real_account.lives import VENUES, require_the_way_back


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1_000_000))
def test_an_account_is_clean_or_says_how_it_becomes_clean(venue: str, seed: int, tmp_path_factory: Any) -> None:
    require_the_way_back(venue, seed, tmp_path_factory.mktemp("rows"))
