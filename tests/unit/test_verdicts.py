"""When a person may say what became of an order."""

from datetime import timedelta

from belay.adapters.paper.venue import PAPER_PROFILE
from belay.domain.orders import Order
from belay.domain.verdicts import EXECUTOR_TIMEOUT, absent_from
from tests.builders import NOW, make_claim, make_order, seconds
from tests.unit.test_template import TEMPLATE


def claimed() -> Order:
    return make_claim(make_order()).order


def test_the_executor_lives_as_long_as_the_template_lets_it() -> None:
    assert TEMPLATE["Resources"]["ExecutorFunction"]["Properties"]["Timeout"] == EXECUTOR_TIMEOUT.total_seconds()


def test_absence_may_be_said_ten_minutes_and_a_grace_after_the_fence() -> None:
    attempt = claimed().attempt
    assert attempt is not None
    assert attempt.fence_at == NOW + seconds(13)
    assert absent_from(attempt, PAPER_PROFILE) == NOW + seconds(13 + 2) + timedelta(minutes=10)


def test_without_a_fence_it_counts_from_when_the_sender_can_no_longer_be_alive() -> None:
    attempt = claimed().attempt
    assert attempt is not None
    unfenced = attempt.model_copy(update={"request": attempt.request.model_copy(update={"fence_at": None})})
    profile = PAPER_PROFILE.model_copy(update={"fence": None})
    assert absent_from(unfenced, profile) == NOW + seconds(3) + EXECUTOR_TIMEOUT + timedelta(minutes=10)
