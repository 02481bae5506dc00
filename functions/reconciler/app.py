"""The reconciler: compares every account, or the one an event names, with its venue. Never submits."""

import os
from typing import Any

from belay.adapters.aws.queue import message_field
from belay.adapters.aws.telemetry import count, logger, metrics
from belay.bootstrap import reconciler_services
from belay.domain.errors import InvalidInput
from belay.workflows import adopt, doctor, identity, pending, rebase, reconcile, updates

SERVICES = reconciler_services(os.environ)
REQUESTS = {"adopt": adopt.answer, "doctor": doctor.answer, "rebase": rebase.answer, "same_venue": identity.answer}


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request; else reconcile the accounts of an event: `{"account": name}`, such follow-ups, or all."""
    for name in REQUESTS.keys() & event.keys():
        return REQUESTS[name](event, SERVICES)
    failed: list[str] = []
    results = [result for account in _accounts(event) if (result := _reconcile(account, failed))]
    if failed:
        raise RuntimeError(f"reconciliation failed for {', '.join(map(ascii, failed))}; each error is logged above")
    return {"results": results}


def _reconcile(account: str, failed: list[str]) -> dict[str, Any] | None:
    """One account's failure must not keep the others from being reconciled."""
    try:
        result = reconcile.reconcile(account, SERVICES).model_dump(mode="json")
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


def _accounts(event: dict[str, Any]) -> tuple[str, ...]:
    if "Records" in event:
        return tuple(account for record in event["Records"] if (account := _followed_up(record)))
    if "account" not in event:
        pending.tell_again(SERVICES, updates.NO_ACCOUNT)
    return (str(event["account"]),) if "account" in event else SERVICES.ledger.accounts()


def _followed_up(record: dict[str, Any]) -> str | None:
    if account := message_field(record, "account"):
        return str(account)
    error = InvalidInput("follow-up.account", "is missing", "Send only what Belay published.")
    updates.refuse_event(SERVICES, {"body": record.get("body")}, error)
    return None
