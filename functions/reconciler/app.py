"""The reconciler: compares an account with its venue; its schedule asks for every one of them. Never submits."""

import os
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from belay.adapters.aws.queue import message_field
from belay.adapters.aws.telemetry import count, logger, metrics
from belay.bootstrap import reconciler_services
from belay.domain.errors import InvalidInput
from belay.workflows import reconcile, schedule, updates
from belay.workflows.answers import REQUESTS

SERVICES = reconciler_services(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request; else reconcile the account of an event, `{"account": name}` or such a follow-up. The schedule's
    names none: each account is asked for, to be reconciled in an invocation of its own."""
    for name in REQUESTS.keys() & event.keys():
        return REQUESTS[name](event, SERVICES)
    if not event.keys() & {"account", "Records"}:
        results, failed = [], [*schedule.ask_for_all(SERVICES).failed]
    else:
        failed = list[str]()
        results = [result for account in _accounts(event) if (result := _reconcile(account, context, failed))]
    if failed:
        raise RuntimeError(f"reconciliation failed for {', '.join(map(ascii, failed))}; see the log")
    return {"results": results}


def _reconcile(account: str, context: LambdaContext, failed: list[str]) -> dict[str, Any] | None:
    left = context.get_remaining_time_in_millis
    try:
        result = reconcile.reconcile(account, SERVICES, lambda: left() / 1000).model_dump(mode="json")
    except InvalidInput as error:
        updates.refuse_event(SERVICES, {"account": account}, error)
        logger.error("account refused", account=account, error=str(error))
        return None
    except Exception:
        logger.exception("reconciliation failed", account=account)
        failed.append(account)
        return None
    logger.info("reconciled", **result)
    count("ReconciliationCompleted")
    count("ReconciliationClean", int(result["clean"]))
    return result


def _accounts(event: dict[str, Any]) -> list[str]:
    if "Records" not in event:
        return [str(event["account"])]
    asked_for = [(message_field(record, "account"), record) for record in event["Records"]]
    for record in (record for account, record in asked_for if not account):
        error = InvalidInput("follow-up.account", "is missing", "Send only what Belay published.")
        updates.refuse_event(SERVICES, {"body": record.get("body")}, error)
    return [str(account) for account, _ in asked_for if account]
