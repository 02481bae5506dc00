"""The one place where adapters meet workflows: each function's services from its environment."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

from belay.adapters.aws import client_configuration
from belay.adapters.ccxt_market import CcxtMarketData
from belay.adapters.clock import SystemClock
from belay.adapters.dynamodb import DynamoLedger
from belay.adapters.gather import gather_in_threads
from belay.adapters.market_cache import DynamoMarketCache
from belay.adapters.paper_faults import FaultyPaperVenue
from belay.adapters.paper_store import DynamoPaperStore
from belay.adapters.paper_venue import LiveFeed, PaperMarketData, PaperVenue
from belay.adapters.replay import ReplayClock, ReplayFeed, ReplayMarketData
from belay.adapters.secrets import SsmSecrets
from belay.adapters.sns import SnsAlerts
from belay.adapters.sqs import SqsQueue
from belay.adapters.ssm import SsmKillSwitch
from belay.domain.account import AccountDocument, StopLevel
from belay.domain.errors import InvalidInput
from belay.ports import Clock, KillSwitch, MarketData, Queue, Services, SwitchReading, Venue, Venues

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from belay.adapters.ccxt_accounts import LiveAccounts

Environment = Mapping[str, str]
CONFIGURATION = client_configuration()


@dataclass(frozen=True)
class NoSwitch:
    """For functions that never submit and so may not read the switch: whoever asks is told to stop."""

    def read(self) -> SwitchReading:
        return SwitchReading(level=StopLevel.HALTED, reason="this function has no access to the kill switch")


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
    """

    def __init__(self, dynamodb: "DynamoDBClient", table_name: str, secret: str | None) -> None:
        super().__init__()
        self._dynamodb = dynamodb
        self._table_name = table_name
        self._secret = secret

    def _connect(self, document: AccountDocument) -> Connections:
        account = self._accounts.open(document)
        return Connections(SystemClock(), account.market_data, account.venue)

    @cached_property
    def _accounts(self) -> "LiveAccounts":
        # Only where there is a live account: its transport takes time to import.
        from belay.adapters.ccxt_accounts import LiveAccounts

        cache = DynamoMarketCache(self._dynamodb, self._table_name)
        secrets = SsmSecrets(_client("ssm")) if self._secret else None
        return LiveAccounts(secrets, self._secret, cache, SystemClock())


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
    """Decides and publishes: no trading key, no switch."""
    queue = SqsQueue(_client("sqs"), intents_url=_required(environment, "INTENTS_QUEUE_URL"))
    return _services(environment, NoSwitch(), queue, secret=None)


def executor_services(environment: Environment) -> Services:
    """The only function that submits, and the only one that reads the switch."""
    switch = SsmKillSwitch(_client("ssm"), _required(environment, "KILL_SWITCH_PARAMETER"))
    queue = SqsQueue(_client("sqs"), follow_ups_url=_required(environment, "FOLLOW_UPS_QUEUE_URL"))
    services = _services(environment, switch, queue, secret="executor_secret")  # noqa: S106 a field's name
    return replace(services, follow_up_seconds=_seconds(environment, "FOLLOW_UP_SECONDS"))


def reconciler_services(environment: Environment) -> Services:
    """Compares, repairs, publishes again, ticks again: never submits."""
    queue = SqsQueue(
        _client("sqs"),
        _client("lambda"),
        intents_url=_required(environment, "INTENTS_QUEUE_URL"),
        evaluator=_required(environment, "EVALUATOR_FUNCTION_NAME"),
    )
    return _services(environment, NoSwitch(), queue, secret="reconciler_secret")  # noqa: S106 a field's name


def _services(environment: Environment, switch: KillSwitch, queue: Queue, secret: str | None) -> Services:
    dynamodb, paper_table = _client("dynamodb"), _required(environment, "PAPER_TABLE_NAME")
    return Services(
        stage=_required(environment, "STAGE"),
        layer_version=_required(environment, "LAYER_VERSION"),
        ledger=DynamoLedger(dynamodb, _required(environment, "TABLE_NAME")),
        venues=AccountVenues(PaperVenues(dynamodb, paper_table), LiveVenues(dynamodb, paper_table, secret)),
        kill_switch=switch,
        queue=queue,
        alerts=SnsAlerts(_client("sns"), _required(environment, "INCIDENTS_TOPIC_ARN")),
        gather=gather_in_threads,
        clock=SystemClock(),
        new_id=lambda: uuid.uuid4().hex,
    )


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
