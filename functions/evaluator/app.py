"""The evaluator: one tick in, one stored decision out. Parses, calls the workflow, translates; decides nothing."""

import os
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from belay.adapters.aws.telemetry import count, logger, metrics
from belay.bootstrap import evaluator_services
from belay.domain.errors import InvalidInput
from belay.domain.slots import Tick
from belay.workflows.evaluate import evaluate
from belay.workflows.updates import refused
from strategies import load

SERVICES = evaluator_services(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Evaluate one tick; its form is `belay.domain.slots.Tick`."""
    try:
        record = evaluate(Tick.parse(event), SERVICES, load)
    except InvalidInput as error:
        SERVICES.ledger.refuse(refused(SERVICES, event, error))  # the reconciler tells it: nobody is told from here
        logger.error("tick refused", error=str(error))
        count("InvalidEvents")
        return {"kind": "refused", "error": str(error)}
    held = record.held
    result: dict[str, Any] = {
        "decision_id": record.decision_id,
        "kind": record.decision.kind,
        "reason": held.reason if held else ", ".join(leg.reason for leg in record.trade_legs),
        "order_ids": [order_id for order_id in record.order_ids if order_id],
    }
    logger.info("decided", **result)
    count("Holds" if held else "Trades")
    return result
