"""Tells on-call about incidents through SNS. Failing is only logged: the ledger has the incident."""

import logging
from typing import TYPE_CHECKING

from belay.domain.incidents import Incident
from belay.domain.record import iso
from belay.domain.texts import bounded
from belay.domain.way_back import commands

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

MAX_SUBJECT = 100
# Of each text in a message: all of them together stay far below the 256 KB of SNS, and can still be read.
MAX_TEXT = 2_000
log = logging.getLogger(__name__)


class SnsAlerts:
    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def incident(self, incident: Incident) -> bool:
        try:
            self._client.publish(TopicArn=self._topic_arn, Subject=_subject(incident), Message=_message(incident))
        except Exception as error:  # the workflow must go on: the incident is recorded as one to be told again
            told = [bounded(text, MAX_TEXT) for text in (incident.incident_id, incident.account, type(error).__name__)]
            log.error("incident %s of account %s was not published: %s", *told)  # noqa: TRY400
            return False
        return True


def _subject(incident: Incident) -> str:
    """SNS accepts up to 100 printable ASCII characters."""
    text = f"Belay {incident.account}: {incident.kind.replace('_', ' ')} {incident.subject}"
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)[:MAX_SUBJECT]


def _message(incident: Incident) -> str:
    """One line per fact: no text can begin a line of its own."""
    facts = {
        "Account:": incident.account,
        "Incident:": incident.incident_id,
        "Symbol:": incident.symbol or "the whole account",
        "Expected:": incident.expected,
        "Actual:": incident.actual,
        "Opened:": iso(incident.opened_at),
    }
    lines = (f"{name:<12}{bounded(text, MAX_TEXT)}" for name, text in facts.items())
    ways = (f"{'Command:':<12}{bounded(command, MAX_TEXT)}" for command in commands(incident))
    return "\n".join([f"What to do: {bounded(incident.action, MAX_TEXT)}", "", *lines, *ways])
