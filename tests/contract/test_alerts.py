"""Telling on-call: every alert names its action, and a failure to tell stops nothing."""

import json
from typing import Any

import pytest

from belay.adapters.aws.alerts import SnsAlerts
from belay.adapters.memory.ports import InMemoryAlerts
from tests.builders import make_incident
from tests.contract.conftest import aws_client


class Topic:
    """A topic of moto that delivers into a queue."""

    def __init__(self) -> None:
        sns = aws_client("sns")
        self._sqs = aws_client("sqs")
        self.arn = sns.create_topic(Name="incidents")["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName="on-call")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"])
        self.alerts = SnsAlerts(sns, self.arn)

    def delivered(self) -> Any:
        (message,) = self._sqs.receive_message(QueueUrl=self._queue)["Messages"]
        return json.loads(message["Body"])


@pytest.fixture
def topic(aws: None) -> Topic:
    return Topic()


def test_an_alert_says_what_differs_and_what_to_do(topic: Topic) -> None:
    incident = make_incident()
    topic.alerts.incident(incident)
    told = topic.delivered()
    assert told["Subject"] == "Belay paper: balance mismatch USD"
    assert told["Message"].startswith(f"What to do: {incident.action}")
    for fact in (incident.expected, incident.actual, incident.incident_id, "2024-03-01T12:00:00"):
        assert fact in told["Message"]


def test_a_subject_that_sns_would_refuse_is_made_acceptable(topic: Topic) -> None:
    topic.alerts.incident(make_incident(subject="naïve\n" + "x" * 200))
    subject = topic.delivered()["Subject"]
    assert len(subject) == 100
    assert subject.startswith("Belay paper: balance mismatch na?ve?xxx")


def test_an_alert_that_cannot_be_sent_is_logged_and_raises_nothing(aws: None, caplog: pytest.LogCaptureFixture) -> None:
    SnsAlerts(aws_client("sns"), "arn:aws:sns:eu-west-1:123456789012:missing").incident(make_incident())
    assert "balance_mismatch:USD of account paper was not published" in caplog.text


def test_alerts_in_memory_are_kept_in_order() -> None:
    alerts = InMemoryAlerts()
    alerts.incident(make_incident(subject="USD"))
    alerts.incident(make_incident(subject="BTC"))
    assert [incident.subject for incident in alerts.incidents] == ["USD", "BTC"]
