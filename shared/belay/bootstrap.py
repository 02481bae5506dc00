"""The one place where adapters meet workflows: each function's services from its environment."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import boto3

from belay.adapters.aws import client_configuration
from belay.adapters.ccxt_market import CcxtMarketData
from belay.adapters.clock import SystemClock
from belay.adapters.dynamodb import DynamoLedger
from belay.adapters.gather import gather_in_threads
from belay.adapters.paper_store import DynamoPaperStore, PaperStore
from belay.adapters.paper_venue import PaperVenue, ReplayClock, ReplayMarketData
from belay.adapters.sns import SnsAlerts
from belay.adapters.sqs import SqsQueue
from belay.adapters.ssm import SsmKillSwitch
from belay.domain.account import AccountDocument, PaperSettings, StopLevel
from belay.domain.errors import InvalidInput
from belay.ports import Clock, KillSwitch, MarketData, Services, SwitchReading, Venue

Environment = Mapping[str, str]
CONFIGURATION = client_configuration()


@dataclass(frozen=True)
class NoSwitch:
    """For functions that never submit and so may not read the switch: whoever asks is told to stop."""

    def read(self) -> SwitchReading:
        return SwitchReading(level=StopLevel.HALTED, reason="this function has no access to the kill switch")


@dataclass(frozen=True)
class StoredPaperVenues:
    """Connections of paper accounts, whose venue lives in a table of its own."""

    table_name: str

    def clock(self, document: AccountDocument) -> Clock:
        return ReplayClock(self._store(document)) if _settings(document).replay else SystemClock()

    def market_data(self, document: AccountDocument) -> MarketData:
        settings = _settings(document)
        if settings.exchange is not None:
            return CcxtMarketData(settings.exchange, document.options)
        return ReplayMarketData(self._store(document), settings, self.clock(document))

    def venue(self, document: AccountDocument) -> Venue:
        return PaperVenue(document, self._store(document), self.market_data(document))

    def _store(self, document: AccountDocument) -> PaperStore:
        client = boto3.client("dynamodb", config=CONFIGURATION)
        return DynamoPaperStore(client, self.table_name, document.account)


def _settings(document: AccountDocument) -> PaperSettings:
    if document.paper is None:
        raise InvalidInput("account.mode", "live venues are not supported yet", "Use mode paper.")
    return document.paper


def evaluator_services(environment: Environment) -> Services:
    """Decides and publishes: no trading key, no switch."""
    return _services(environment, NoSwitch(), intents=True, evaluator=False)


def executor_services(environment: Environment) -> Services:
    """The only function that submits, and the only one that reads the switch."""
    switch = SsmKillSwitch(
        boto3.client("ssm", config=CONFIGURATION), _required(environment, "KILL_SWITCH_PARAMETER")
    )
    return _services(environment, switch, intents=False, evaluator=False)


def reconciler_services(environment: Environment) -> Services:
    """Compares, repairs, publishes again, ticks again: never submits."""
    return _services(environment, NoSwitch(), intents=True, evaluator=True)


def _services(environment: Environment, switch: KillSwitch, *, intents: bool, evaluator: bool) -> Services:
    return Services(
        stage=_required(environment, "STAGE"),
        layer_version=_required(environment, "LAYER_VERSION"),
        ledger=DynamoLedger(boto3.client("dynamodb", config=CONFIGURATION), _required(environment, "TABLE_NAME")),
        venues=StoredPaperVenues(_required(environment, "PAPER_TABLE_NAME")),
        kill_switch=switch,
        queue=SqsQueue(
            boto3.client("sqs", config=CONFIGURATION),
            boto3.client("lambda", config=CONFIGURATION) if evaluator else None,
            intents_url=_required(environment, "INTENTS_QUEUE_URL") if intents else None,
            follow_ups_url=_required(environment, "FOLLOW_UPS_QUEUE_URL"),
            evaluator=_required(environment, "EVALUATOR_FUNCTION_NAME") if evaluator else None,
        ),
        alerts=SnsAlerts(boto3.client("sns", config=CONFIGURATION), _required(environment, "INCIDENTS_TOPIC_ARN")),
        gather=gather_in_threads,
        clock=SystemClock(),
        new_id=lambda: uuid.uuid4().hex,
    )


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise InvalidInput(f"environment.{name}", "is not set", "Set it for this function in template.yaml.")
    return value
