"""The one place where adapters meet workflows: each function's services from its environment."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

from belay.adapters.aws.alerts import SnsAlerts
from belay.adapters.aws.client import client_configuration
from belay.adapters.aws.kill_switch import SsmKillSwitch
from belay.adapters.aws.ledger import DynamoLedger, Tables
from belay.adapters.aws.market_cache import DynamoMarketCache
from belay.adapters.aws.queue import SqsQueue
from belay.adapters.aws.secrets import SsmSecrets
from belay.adapters.aws.telemetry import logger
from belay.adapters.clock import SystemClock
from belay.adapters.gather import gather_in_threads
from belay.adapters.live.public_market import CcxtMarketData
from belay.adapters.paper.clock import ReplayClock, ReplayFeed, ReplayMarketData
from belay.adapters.paper.faults import FaultyPaperVenue
from belay.adapters.paper.table import DynamoPaperStore
from belay.adapters.paper.venue import LiveFeed, PaperMarketData, PaperVenue
from belay.domain.account import StopLevel
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.incidents import Incident
from belay.domain.orders import Order
from belay.ports import Alerts, Clock, KillSwitch, MarketData, Queue, Services, SwitchReading, Venue, Venues

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from belay.adapters.live.accounts import LiveAccounts

Environment = Mapping[str, str]
CONFIGURATION = client_configuration()


@dataclass(frozen=True)
class NoSwitch:
    """For functions that never submit and so may not read the switch: whoever asks is told to stop."""

    def read(self) -> SwitchReading:
        return SwitchReading(level=StopLevel.HALTED, reason="this function has no access to the kill switch")


@dataclass(frozen=True)
class NoAlerts:
    """For the evaluator, which may tell nobody: what it has to say is a record that the reconciler tells."""

    def incident(self, _incident: Incident) -> bool:
        return False


@dataclass(frozen=True)
class Connections:
    clock: Clock
    market_data: MarketData
    venue: Venue


class KeptVenues(ABC):
    """Implements `ports.Venues`: the connections of each account document, kept while the process is warm."""

    def __init__(self) -> None:
        self._connected: dict[str, Connections] = {}

    def clock(self, document: AccountDocument) -> Clock:
        return self._connections(document).clock

    def market_data(self, document: AccountDocument) -> MarketData:
        return self._connections(document).market_data

    def venue(self, document: AccountDocument) -> Venue:
        return self._connections(document).venue

    def _connections(self, document: AccountDocument) -> Connections:
        key = document.model_dump_json()
        if key not in self._connected:
            self._connected[key] = self._connect(document)
        return self._connected[key]

    @abstractmethod
    def _connect(self, document: AccountDocument) -> Connections: ...


class PaperVenues(KeptVenues):
    """Connections of paper accounts, whose venue lives in a table of its own."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        super().__init__()
        self._client = client
        self._table_name = table_name

    def _connect(self, document: AccountDocument) -> Connections:
        settings = document.paper
        if settings is None:
            raise InvalidInput("account.mode", f"{document.account} is not a paper account", "Use mode paper.")
        store = DynamoPaperStore(self._client, self._table_name, document.account)
        venue_type = FaultyPaperVenue if settings.faults else PaperVenue
        if settings.exchange is None:
            replay = ReplayClock(store)
            market_data = ReplayMarketData(store, settings, replay)
            return Connections(replay, market_data, venue_type(document, store, ReplayFeed(store)))
        exchange = CcxtMarketData(settings.exchange, document.options)
        venue = venue_type(document, store, LiveFeed(exchange))
        return Connections(SystemClock(), PaperMarketData(exchange, settings), venue)


class LiveVenues(KeptVenues):
    """Connections of live accounts, each with the key that its document names for this function.

    Args:
        secret: the document's field that names it; None holds no key and reads public data only.
        stage: in whose folders the key is.
    """

    def __init__(self, dynamodb: "DynamoDBClient", table_name: str, secret: str | None, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self._dynamodb = dynamodb
        self._table_name = table_name
        self._secret = secret

    def _connect(self, document: AccountDocument) -> Connections:
        account = self._accounts.open(document)
        return Connections(SystemClock(), account.market_data, account.venue)

    @cached_property
    def _accounts(self) -> "LiveAccounts":
        # Only where there is a live account: its transport takes time to import.
        from belay.adapters.live.accounts import LiveAccounts

        cache = DynamoMarketCache(self._dynamodb, self._table_name)
        secrets = SsmSecrets(_client("ssm")) if self._secret else None
        return LiveAccounts(self._stage, secrets, self._secret, cache, SystemClock())


class AccountVenues:
    """Implements `ports.Venues`: paper or live, as the account's document says."""

    def __init__(self, paper: Venues, live: Venues) -> None:
        self._by_mode = {"paper": paper, "live": live}

    def clock(self, document: AccountDocument) -> Clock:
        return self._by_mode[document.mode].clock(document)

    def market_data(self, document: AccountDocument) -> MarketData:
        return self._by_mode[document.mode].market_data(document)

    def venue(self, document: AccountDocument) -> Venue:
        return self._by_mode[document.mode].venue(document)


def evaluator_services(environment: Environment) -> Services:
    """Decides and publishes: no trading key, no switch, nobody to tell."""
    queue = SqsQueue(_client("sqs"), intents_url=_required(environment, "INTENTS_QUEUE_URL"))
    return _services(environment, NoSwitch(), queue, NoAlerts(), secret=None)


def executor_services(environment: Environment) -> Services:
    """The only function that submits, and the only one that reads the switch."""
    switch = SsmKillSwitch(_client("ssm"), _required(environment, "KILL_SWITCH_PARAMETER"))
    queue = SqsQueue(_client("sqs"), follow_ups_url=_required(environment, "FOLLOW_UPS_QUEUE_URL"))
    alerts = _alerts(environment)
    services = _services(environment, switch, queue, alerts, secret="executor_secret")  # noqa: S106 a field's name
    return replace(services, follow_up_seconds=_seconds(environment, "FOLLOW_UP_SECONDS"))


def reconciler_services(environment: Environment) -> Services:
    """Compares, repairs, publishes again, ticks again: never submits."""
    queue = SqsQueue(
        _client("sqs"),
        _client("lambda"),
        intents_url=_required(environment, "INTENTS_QUEUE_URL"),
        follow_ups_url=_required(environment, "FOLLOW_UPS_QUEUE_URL"),
        evaluator=_required(environment, "EVALUATOR_FUNCTION_NAME"),
    )
    alerts = _alerts(environment)
    return _services(environment, NoSwitch(), queue, alerts, secret="reconciler_secret")  # noqa: S106 a field's name


def _services(
    environment: Environment, switch: KillSwitch, queue: Queue, alerts: Alerts, secret: str | None
) -> Services:
    dynamodb, paper_table = _client("dynamodb"), _required(environment, "PAPER_TABLE_NAME")
    stage = _required(environment, "STAGE")
    return Services(
        stage=stage,
        layer_version=_required(environment, "LAYER_VERSION"),
        ledger=DynamoLedger(dynamodb, _tables(environment), written=_log_head),
        venues=AccountVenues(PaperVenues(dynamodb, paper_table), LiveVenues(dynamodb, paper_table, secret, stage)),
        kill_switch=switch,
        queue=queue,
        alerts=alerts,
        gather=gather_in_threads,
        clock=SystemClock(),
        new_id=lambda: uuid.uuid4().hex,
    )


def _log_head(order: Order) -> None:
    logger.info("stored", order_id=order.order_id, state=order.state, order_version=order.version, head=order.head)


def _alerts(environment: Environment) -> Alerts:
    return SnsAlerts(_client("sns"), _required(environment, "INCIDENTS_TOPIC_ARN"))


def _tables(environment: Environment) -> Tables:
    return Tables(*(_required(environment, f"{name.upper()}_TABLE_NAME") for name in Tables._fields))


def _client(service: Any) -> Any:
    return boto3.client(service, config=CONFIGURATION)


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise InvalidInput(f"environment.{name}", "is not set", "Set it for this function in template.yaml.")
    return value


def _seconds(environment: Environment, name: str) -> int:
    value = _required(environment, name)
    if not value.isdecimal():
        raise InvalidInput(f"environment.{name}", f"{value!r} is not a number of seconds", "Write it like 5.")
    return int(value)
