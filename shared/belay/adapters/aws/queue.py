"""Messages between the functions: SQS queues, and one asynchronous Lambda invocation. None carries a fact to act on."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from belay.domain.errors import InvalidInput
from belay.domain.orders import Order
from belay.domain.slots import Tick

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

MAX_DELAY_SECONDS = 900


class SqsQueue:
    """A function names only the destinations it uses; using another one raises `InvalidInput`."""

    def __init__(
        self,
        sqs: "SQSClient",
        functions: "LambdaClient | None" = None,
        *,
        intents_url: str | None = None,
        follow_ups_url: str | None = None,
        evaluator: str | None = None,
    ) -> None:
        self._sqs = sqs
        self._functions = functions
        self._intents_url = intents_url
        self._follow_ups_url = follow_ups_url
        self._evaluator = evaluator

    def publish_intent(self, order: Order) -> None:
        """SQS drops a repeated deduplication id for five minutes: a deliberate re-send has a new number."""
        self._sqs.send_message(
            QueueUrl=_configured(self._intents_url, "INTENTS_QUEUE_URL"),
            MessageBody=json.dumps({"order_id": order.order_id}),
            MessageGroupId=order.message_group,
            MessageDeduplicationId=order.deduplication_id,
        )

    def follow_up(self, account: str, delay_seconds: int) -> None:
        """SQS delays at most 15 minutes; a longer wait ends then."""
        self._sqs.send_message(
            QueueUrl=_configured(self._follow_ups_url, "FOLLOW_UPS_QUEUE_URL"),
            MessageBody=json.dumps({"account": account}),
            DelaySeconds=possible_delay(delay_seconds),
        )

    def tick(self, tick: Tick) -> None:
        _configured(self._functions, "EVALUATOR_FUNCTION_NAME").invoke(
            FunctionName=_configured(self._evaluator, "EVALUATOR_FUNCTION_NAME"),
            InvocationType="Event",
            Payload=tick.model_dump_json(),
        )


def message_field(record: Mapping[str, Any], name: str) -> Any:
    """A field of the JSON body of a received message; None where the body is none, or has no such field."""
    try:
        return json.loads(record.get("body", ""))[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def possible_delay(seconds: int) -> int:
    """The delay that SQS grants when asked for `seconds`."""
    return min(max(seconds, 0), MAX_DELAY_SECONDS)


def _configured[T](destination: T | None, variable: str) -> T:
    if destination is None:
        remedy = "Set it for this function in template.yaml."
        raise InvalidInput(f"environment.{variable}", "is missing", remedy)
    return destination
