"""The life of an ordinary account through the real adapters: what they show and cache of it is judged by the books."""

from pathlib import Path

import pytest

from tests.real_account.lives import VENUES, require_the_way_back

STEPS = 40


@pytest.mark.parametrize("venue", VENUES)
def test_an_account_over_the_wire_is_clean_or_says_how_it_becomes_clean(venue: str, tmp_path: Path) -> None:
    require_the_way_back(venue, 3, tmp_path, STEPS, wire=True)
