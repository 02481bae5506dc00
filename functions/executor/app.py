"""The executor: one intent in, at most one venue order out. Parses, calls the workflow, translates; decides nothing."""

import os
import re
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from belay.adapters.aws.queue import message_field
from belay.adapters.aws.telemetry import count, logger, metrics
from belay.bootstrap import executor_services
from belay.domain.errors import InvalidInput
from belay.workflows import doctor
from belay.workflows.execute import execute
from belay.workflows.updates import refuse_event

SERVICES = executor_services(os.environ)
ORDER_ID = re.compile(r"[0-9a-f]{32}")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Execute the intents of one SQS event; each body is `{"order_id": <32 hex characters>}`. Or tell of its key."""
    if "doctor" in event:
        return doctor.answer(event, SERVICES)
    results = [_execute(record, context) for record in event.get("Records", [event])]
    return {"results": results}


def _execute(record: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    try:
        order_id = _order_id(record)
        logger.append_keys(correlation_id=order_id)
        logger.info("received")
        executed = execute(order_id, SERVICES, lambda: context.get_remaining_time_in_millis() / 1000)
    except InvalidInput as error:
        refuse_event(SERVICES, {"body": record.get("body", record)}, error)
        logger.error("intent refused", error=str(error))
        count("InvalidEvents")
        return {"result": "refused", "error": str(error)}
    result = executed.model_dump(mode="json")
    logger.info("executed", **result)
    count("Intents")
    return result


def _order_id(record: dict[str, Any]) -> str:
    order_id = message_field(record, "order_id")
    if not isinstance(order_id, str) or not ORDER_ID.fullmatch(order_id):
        raise InvalidInput("message.order_id", "is not 32 hex characters", "Send only what Belay published.")
    return order_id
