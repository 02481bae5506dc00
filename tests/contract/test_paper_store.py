"""Both stores of the paper venue behave the same: in memory, and in DynamoDB as moto plays it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError, ConnectTimeoutError
from moto import mock_aws

from belay.adapters.paper.clock import ReplayFeed, load_candles, set_replay_clock
from belay.adapters.paper.faults import FaultyPaperVenue
from belay.adapters.paper.state import FaultKind, InjectedFault, PaperOrder, Step, Submission, VenueState
from belay.adapters.paper.store import InMemoryPaperStore, PaperStore
from belay.adapters.paper.table import DynamoPaperStore
from belay.adapters.paper.venue import PaperVenue
from belay.domain.decisions import Side, TimeInForce
from belay.domain.errors import Conflict, InvalidInput, VenueUnavailable
from belay.domain.market import Candle
from belay.domain.venues import OrderRequest, OutcomeKind, VenueStatus, VenueTrade
from tests.builders import make_candles, make_document, make_order, make_paper_settings, make_request, make_trade

TABLE = "paper-venue"
START = datetime(2024, 3, 1, tzinfo=UTC)
BTC = "BTC/USD"


def make_paper_table(client: Any) -> None:
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


MakeStore = Callable[[str], PaperStore]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        make_paper_table(client)
        yield client


@pytest.fixture(params=["memory", "dynamodb"])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Opens the store of an account. In memory, each account has one; in DynamoDB each call opens it anew."""
    if request.param == "memory":
        stores: dict[str, PaperStore] = {}
        return lambda account: stores.setdefault(account, InMemoryPaperStore(account))
    client = request.getfixturevalue("client")
    return lambda account: DynamoPaperStore(client, TABLE, account)


@pytest.fixture
def store(make_store: MakeStore) -> PaperStore:
    return make_store("paper")


def state(version: int = 0, **changes: Any) -> VenueState:
    return VenueState(**{"balances": {"USD": "10000.10"}, "version": version, **changes})


def closed(venue_order_id: str, client_order_id: str = "a" * 32) -> PaperOrder:
    return PaperOrder(
        venue_order_id=venue_order_id,
        client_order_id=client_order_id,
        symbol=BTC,
        side=Side.BUY,
        quantity=Decimal("0.1"),
        limit_price=None,
        time_in_force=TimeInForce.GTC,
        lock_price=Decimal(100),
        filled_quantity=Decimal("0.1"),
        status=VenueStatus.FILLED,
        arrived_at=START,
        updated_at=START,
    )


def trade(number: int, second: int, symbol: str = BTC) -> VenueTrade:
    return make_trade(f"{number:012d}", at=START + timedelta(seconds=second), symbol=symbol)


def submission(submission_id: str, sequence: int) -> Submission:
    return Submission(
        submission_id=submission_id,
        sequence=sequence,
        received_at=START,
        request=make_request(make_order()),
        code="ACCEPTED",
    )


def fault(sequence: int, kind: FaultKind = FaultKind.DROPPED, **changes: Any) -> InjectedFault:
    return InjectedFault(
        **{
            "sequence": sequence,
            "kind": kind,
            "client_order_id": "a" * 32,
            "symbol": BTC,
            "side": Side.BUY,
            "quantity": "0.1",
            "claimed_at": START,
            "at": START,
            "placed": False,
            "detail": "never arrives",
            **changes,
        }
    )


# --- the state and its history --------------------------------------------------------------------


def test_an_account_that_never_changed_has_no_state(store: PaperStore) -> None:
    assert store.state() is None


def test_a_committed_state_is_read_back_one_version_on(store: PaperStore) -> None:
    store.commit(Step(state=state(orders={"1": closed("1")}, time=START)))
    assert store.state() == state(1, orders={"1": closed("1")}, time=START)


def test_a_state_computed_from_an_older_version_is_refused_with_all_that_belongs_to_it(store: PaperStore) -> None:
    store.commit(Step(state=state(0)))
    store.commit(Step(state=state(1)))
    for stale in (0, 1, 5):
        with pytest.raises(Conflict):
            store.commit(
                Step(
                    state=state(stale, next_order=9),
                    trades=(trade(1, 0),),
                    closed=(closed("1"),),
                    submission=submission("s", 1),
                )
            )
    assert store.state() == state(2)
    assert store.trades(BTC, START, START).trades == ()
    assert store.closed_order("1") is None
    assert store.submissions() == ()


def test_a_submission_is_recorded_once_whatever_the_version(store: PaperStore) -> None:
    store.commit(Step(state=state(0), submission=submission("s", 1)))
    with pytest.raises(Conflict):
        store.commit(Step(state=state(1), submission=submission("s", 2)))
    assert store.submission("s") == submission("s", 1)
    assert store.submission("t") is None
    assert store.state() == state(1)


def test_injected_faults_are_listed_by_delivery_beyond_one_page(store: PaperStore) -> None:
    store.page_size = 2
    late, partial = fault(2, FaultKind.LATE_FILLS), fault(2, FaultKind.PARTIAL_FILL)
    store.commit(Step(state=state(), faults=(fault(10), late, fault(1))))
    store.commit(Step(state=state(1), faults=(partial,)))
    assert store.faults() == (fault(1), late, partial, fault(10))
    assert store.fault(2, FaultKind.LATE_FILLS) == late
    assert store.fault(2, FaultKind.DROPPED) is None


def test_a_fault_is_written_with_its_step_or_not_at_all_and_may_be_set_right(store: PaperStore) -> None:
    delayed = fault(1, FaultKind.DELAYED, placed=True)
    store.commit(Step(state=state(), faults=(delayed,)))
    with pytest.raises(Conflict):
        store.commit(Step(state=state(), faults=(fault(1, FaultKind.DELAYED), fault(2))))
    assert store.faults() == (delayed,)
    store.commit(Step(state=state(1), faults=(fault(1, FaultKind.DELAYED),)))
    assert store.faults() == (fault(1, FaultKind.DELAYED),)


def test_submissions_are_listed_in_order_of_arrival_beyond_one_page(store: PaperStore) -> None:
    store.page_size = 2
    for sequence, submission_id in enumerate(["c", "a", "ab", "b", "aa"], start=1):
        store.commit(Step(state=state(sequence - 1), submission=submission(submission_id, sequence)))
    assert [found.submission_id for found in store.submissions()] == ["c", "a", "ab", "b", "aa"]


def test_closed_orders_are_found_by_either_id_the_latest_of_a_client_order_id_first(store: PaperStore) -> None:
    orders = (closed("000000000001"), closed("000000000002"), closed("000000000003", "a" * 31))
    store.commit(Step(state=state(), closed=orders))
    assert store.closed_order("000000000002") == orders[1]
    assert store.closed_orders("a" * 32) == (orders[1], orders[0])
    assert store.closed_orders("a" * 31) == (orders[2],)
    assert store.closed_orders("b" * 32) == ()


def test_trades_are_paged_within_a_closed_window_of_one_symbol_oldest_first(store: PaperStore) -> None:
    store.page_size = 2
    trades = [trade(number, second) for number, second in enumerate([0, 1, 1, 1, 2, 3], start=1)]
    store.commit(Step(state=state(), trades=(*reversed(trades), trade(7, 1, "ETH/USD"))))
    found: list[VenueTrade] = []
    page: str | None = None
    while True:
        answer = store.trades(BTC, START + timedelta(seconds=1), START + timedelta(seconds=2), page)
        assert 0 < len(answer.trades) <= 2
        found += answer.trades
        page = answer.next_page
        if page is None:
            break
    assert found == trades[1:5]


def test_accounts_do_not_see_each_other(make_store: MakeStore) -> None:
    make_store("one").commit(
        Step(state=state(), closed=(closed("1"),), trades=(trade(1, 0),), submission=submission("s", 1))
    )
    other = make_store("other")
    assert other.state() is None
    assert other.closed_orders("a" * 32) == ()
    assert other.trades(BTC, START, START).trades == ()
    assert other.submissions() == ()
    make_store("one").commit(Step(state=state(1), faults=(fault(1),)))
    assert other.faults() == ()


# --- the replay -----------------------------------------------------------------------------------


def hourly(count: int) -> tuple[Candle, ...]:
    return make_candles([100 + number for number in range(count)], until=START + timedelta(hours=count))


def test_candles_are_read_from_either_end_of_a_window(store: PaperStore) -> None:
    candles = hourly(30)
    store.save_candles(BTC, "1h", candles)
    at = candles[20].open_time
    assert store.candles_until(BTC, "1h", at, 3) == list(candles[18:21])
    assert store.candles_until(BTC, "1h", at + timedelta(minutes=59), 1) == [candles[20]]
    assert store.candles_from(BTC, "1h", candles[5].open_time, at, 4) == list(candles[5:9])
    assert store.candles_from(BTC, "1h", candles[19].open_time, at, 100) == list(candles[19:21])
    assert store.candles_until(BTC, "5m", at, 3) == []
    assert store.candles_until("ETH/USD", "1h", at, 3) == []


def test_saving_candles_again_replaces_them_and_timeframes_are_listed_finest_first(store: PaperStore) -> None:
    candles = hourly(2)
    for timeframe in ("1h", "1d", "5m", "1h"):
        store.save_candles(BTC, timeframe, candles)
    changed = candles[0].model_copy(update={"volume": Decimal(7)})
    store.save_candles(BTC, "1h", [changed])
    assert store.candles_until(BTC, "1h", START + timedelta(days=1), 9) == [changed, candles[1]]
    assert store.timeframes(BTC) == ("5m", "1h", "1d")
    assert store.timeframes("ETH/USD") == ()


def test_the_replay_time_moves_forward_only(store: PaperStore) -> None:
    assert store.replay_time() is None
    store.set_replay_time(START)
    store.set_replay_time(START)
    store.set_replay_time(START + timedelta(hours=1))
    with pytest.raises(InvalidInput, match="cannot go back from 2024-03-01T01:00"):
        store.set_replay_time(START)
    assert store.replay_time() == START + timedelta(hours=1)


# --- the whole venue on it ------------------------------------------------------------------------


def test_two_processes_see_one_venue_that_fills_across_more_than_one_transaction(make_store: MakeStore) -> None:
    document = make_document()
    dipping = [
        candle.model_copy(update={"low": Decimal(40)}) if number == 2 else candle
        for number, candle in enumerate(hourly(5))
    ]
    load_candles(make_store("paper"), document, BTC, "1h", dipping)
    set_replay_clock(make_store("paper"), document, START + timedelta(hours=1))
    one, other = (
        PaperVenue(document, store, ReplayFeed(store)) for store in (make_store("paper"), make_store("paper"))
    )
    for number in range(30):
        request = OrderRequest(
            client_order_id=f"{number:032x}",
            symbol=BTC,
            side=Side.BUY,
            quantity=Decimal("0.3"),
            limit_price=Decimal(50),
            time_in_force=TimeInForce.GTC,
            claimed_at=START + timedelta(hours=1),
            fence_at=START + timedelta(hours=1, seconds=10),
        )
        venue = one if number % 2 else other
        assert venue.submit(request).kind is OutcomeKind.ACCEPTED
    set_replay_clock(make_store("paper"), document, START + timedelta(hours=4))
    assert one.open_orders() == ()
    assert len(other.trades(BTC, START, START + timedelta(days=1)).trades) == 30
    assert one.balances() == other.balances()
    assert one.balances().total["BTC"] == 9
    assert [found.sequence for found in make_store("paper").submissions()] == list(range(1, 31))


def inject_faults(client_order_id: Callable[[int], str], *stores: PaperStore) -> None:
    """Thirty requests, a minute apart, each from another process, at a venue that injects faults."""
    rich = make_paper_settings(balances={"USD": "100000", "BTC": "10"}, faults={"seed": 3})
    document = make_document(paper=rich)
    load_candles(stores[0], document, BTC, "1h", hourly(5))
    for number in range(30):
        set_replay_clock(stores[0], document, START + timedelta(hours=1, minutes=number))
        now = stores[0].replay_time()
        assert now is not None
        request = make_request(make_order(), client_order_id=client_order_id(number), claimed_at=now)
        request = request.model_copy(update={"fence_at": now + timedelta(seconds=10)})
        store = stores[number % len(stores)]
        FaultyPaperVenue(document, store, ReplayFeed(store), new_id=partial(str, number)).submit(request)
    set_replay_clock(stores[0], document, START + timedelta(hours=2))
    FaultyPaperVenue(document, stores[0], ReplayFeed(stores[0])).balances()


def test_processes_inject_on_this_store_what_one_injects_in_memory(make_store: MakeStore) -> None:
    here, reference = (make_store("paper"), make_store("paper")), InMemoryPaperStore("paper")
    inject_faults("{:032x}".format, *here)
    inject_faults("{:032x}".format, reference)
    assert here[0].faults() == reference.faults()
    assert here[0].submissions() == reference.submissions()
    assert here[0].state() == reference.state()
    assert len({row.kind for row in reference.faults()}) >= 9


# --- only the table -------------------------------------------------------------------------------


class LosingAnswers:
    """A client that writes, loses the answer, and like the SDK sends the same again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        self._client.transact_write_items(**arguments)
        # moto forgets the request token; the table would answer the repetition with success.
        return self._client.transact_write_items(**{**arguments, "ClientRequestToken": "another"})


def test_a_submission_that_meets_its_own_first_write_is_one_accepted_order(client: Any) -> None:
    document = make_document()
    calm = DynamoPaperStore(client, TABLE, "paper")
    losing = DynamoPaperStore(LosingAnswers(client), TABLE, "paper")  # type: ignore[arg-type]
    load_candles(calm, document, BTC, "1h", hourly(5))
    set_replay_clock(calm, document, START + timedelta(hours=1, minutes=5))
    outcome = PaperVenue(document, losing, ReplayFeed(calm)).submit(
        make_request(make_order(), claimed_at=START + timedelta(hours=1), fence_at=START + timedelta(hours=2))
    )
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert len(calm.submissions()) == 1
    assert len(calm.closed_orders(make_order().order_id)) == 1


class Failing:
    """A client whose every call fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            raise self._error

        return call


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://dynamodb"),
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetItem"),
        ClientError({"Error": {"Code": "InternalServerError"}}, "TransactWriteItems"),
    ],
)
def test_a_table_that_does_not_answer_is_no_evidence(error: Exception) -> None:
    store = DynamoPaperStore(Failing(error), TABLE, "paper")  # type: ignore[arg-type]
    reads: list[Callable[[], object]] = [
        store.state,
        store.submissions,
        store.replay_time,
        lambda: store.trades(BTC, START, START),
        lambda: store.closed_orders("a" * 32),
        lambda: store.commit(Step(state=state())),
        lambda: store.save_candles(BTC, "1h", hourly(1)),
    ]
    for read in reads:
        with pytest.raises(VenueUnavailable, match="no answer"):
            read()


def test_books_that_cannot_be_read_are_no_evidence(client: Any) -> None:
    client.put_item(
        TableName=TABLE, Item={"pk": {"S": "PAPER#paper"}, "sk": {"S": "STATE"}, "body": {"S": '{"orders": 1}'}}
    )
    with pytest.raises(VenueUnavailable, match="cannot be read"):
        DynamoPaperStore(client, TABLE, "paper").state()


def test_candles_the_table_did_not_take_at_once_are_written_again(client: Any) -> None:
    class Throttled:
        calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def batch_write_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
            Throttled.calls += 1
            taken, left = RequestItems[TABLE][:10], RequestItems[TABLE][10:]
            client.batch_write_item(RequestItems={TABLE: taken})
            return {"UnprocessedItems": {TABLE: left} if left else {}}

    DynamoPaperStore(Throttled(), TABLE, "paper").save_candles(BTC, "1h", hourly(25))  # type: ignore[arg-type]
    assert len(DynamoPaperStore(client, TABLE, "paper").candles_until(BTC, "1h", START + timedelta(days=9), 99)) == 25
    assert Throttled.calls == 3


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms such as !Ref as plain text."""


_Loader.add_multi_constructor("!", lambda loader, tag, node: str(node.value))


def test_the_template_defines_the_table_these_tests_run_on(client: Any) -> None:
    text = (Path(__file__).parents[2] / "template.yaml").read_text()
    template = yaml.load(text, _Loader)  # nosec B506 # noqa: S506 a SafeLoader with more tags
    properties = template["Resources"]["PaperVenueTable"]["Properties"]
    made = client.describe_table(TableName=TABLE)["Table"]
    assert properties["KeySchema"] == made["KeySchema"]
    assert "GlobalSecondaryIndexes" not in properties


ROW = {
    "sequence": 12,
    "kind": "delayed",
    "client_order_id": "a" * 32,
    "symbol": BTC,
    "side": "buy",
    "quantity": "0.1",
    "claimed_at": "2024-03-01T00:00:00Z",
    "at": "2024-03-01T00:00:02Z",
    "placed": True,
    "detail": "nobody answers",
}


def test_a_fault_is_one_row_that_others_can_read(client: Any) -> None:
    store = DynamoPaperStore(client, TABLE, "paper")
    store.commit(Step(state=state(), faults=(InjectedFault.model_validate_json(json.dumps(ROW)),)))
    key = {"pk": {"S": "PAPER#paper"}, "sk": {"S": "FAULT#000012#delayed"}}
    item = client.get_item(TableName=TABLE, Key=key)["Item"]
    assert json.loads(item["body"]["S"]) == ROW


class Recording:
    """A client that notes what is asked of the table, as its permissions name it."""

    NAMES = {
        "get_item": "GetItem",
        "query": "Query",
        "put_item": "PutItem",
        "Put": "PutItem",
        "ConditionCheck": "ConditionCheckItem",
        "batch_write_item": "BatchWriteItem",
    }

    def __init__(self, client: Any) -> None:
        self._client = client
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            asked = [next(iter(action)) for action in arguments.get("TransactItems", [])] or [name]
            self.asked |= {self.NAMES[what] for what in asked}
            return getattr(self._client, name)(**arguments)

        return call


def test_injecting_faults_neither_deletes_nor_updates(client: Any) -> None:
    """The operator loads candles; the functions may do no more than this with the table."""
    operator, function = DynamoPaperStore(client, TABLE, "paper"), Recording(client)
    inject_faults("{:032x}".format, operator, DynamoPaperStore(function, TABLE, "paper"))  # type: ignore[arg-type]
    assert function.asked <= {"ConditionCheckItem", "GetItem", "PutItem", "Query"}
    assert {row.kind for row in operator.faults()} > {FaultKind.DELAYED, FaultKind.EXPIRED, FaultKind.DROPPED}
