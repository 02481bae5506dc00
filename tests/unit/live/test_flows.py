"""What a venue's own records tell of deposits, withdrawals, rewards and the rest, in the shapes that it documents.

Kraken: "Get Ledgers Info", https://docs.kraken.com/api-reference/account-data/get-ledgers-info. Binance: the pages of
https://developers.binance.com/docs/wallet, /convert, /simple_earn and /sub_account that each row names.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from belay.adapters.live.flow_lists import MOST_PAGES
from belay.adapters.live.flows import FlowReader
from belay.adapters.live.profiles import load_profile
from belay.adapters.live.profiles.flows import FlowRecords
from belay.adapters.live.reading import Unbelievable
from belay.adapters.live.redaction import Redaction
from belay.adapters.live.signed import Answer, SignedRequests
from belay.domain.errors import AccountRefused, NotUnderstood, VenueUnavailable
from belay.domain.flows import FlowKind, FlowPage, VenueFlow
from tests.builders import make_document

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
AT = START + timedelta(minutes=30)
SECONDS, MS = Decimal(int(AT.timestamp())), int(AT.timestamp()) * 1000
ASSETS = {"XXBT": "BTC", "XBT.F": "BTC", "XBT.M": "BTC.M", "ZUSD": "USD", "XETH": "ETH"}


@dataclass
class Records:
    """What a venue answers, by method; stands in for `SignedRequests`."""

    answers: dict[str, Callable[[dict[str, str]], Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def ask(self, method: str, params: dict[str, str]) -> Answer:
        self.asked.append((method, params))
        return Answer(self.answers.get(method, empty)(params), None)

    def asset_of(self, name: str) -> str | None:
        return ASSETS.get(name, name)

    def reader(self, venue: str, **changes: Any) -> FlowReader:
        profile = load_profile(venue)
        document = make_document(venue=venue, mode="live", paper=None, **changes)
        return FlowReader(profile, document, cast(SignedRequests, self), Redaction().told)


def empty(params: dict[str, str]) -> Any:
    """A list of Binance without a row, wherever it has them."""
    return _Lists() if "ofs" not in params else {"error": [], "result": {"ledger": {}, "count": 0}}


class _Lists(list[Any]):
    pass


def by_name(found: tuple[VenueFlow, ...]) -> dict[str, VenueFlow]:
    return {flow.flow_id: flow for flow in found}


# --- Kraken -----------------------------------------------------------------------------------------------------------


def entry(kind: str, asset: str, amount: str, fee: str = "0", **changes: Any) -> dict[str, Any]:
    row = {
        "refid": "REF", "time": SECONDS, "type": kind, "subtype": "", "aclass": "currency", "asset": asset,
        "amount": amount, "fee": fee, "balance": "0.0000000000",
    }  # fmt: skip
    return {**row, **changes}


def ledger(rows: dict[str, Any], count: int | None = None) -> Records:
    def answer(params: dict[str, str]) -> Any:
        first = int(params["ofs"])
        inside = [(name, row) for name, row in rows.items() if _inside(params, row["time"])]
        shown = dict(inside[first : first + 50])
        return {"error": [], "result": {"ledger": shown, "count": len(inside) if count is None else count}}

    return Records({"privatePostLedgers": answer})


def _inside(params: dict[str, str], time: Any) -> bool:
    """`start` excludes and `end` includes its own second."""
    return time is None or int(params["start"]) < time <= int(params["end"])


def kraken(rows: dict[str, Any]) -> FlowPage:
    return ledger(rows).reader("kraken").read(START, END)


@pytest.mark.parametrize(
    ("row", "kind", "amounts"),
    [
        (entry("deposit", "XXBT", "0.5", "0.0001"), FlowKind.DEPOSIT, {"BTC": "0.4999"}),
        (entry("withdrawal", "XETH", "-0.28058", "0.005"), FlowKind.WITHDRAWAL, {"ETH": "-0.28558"}),
        (entry("withdrawal", "XETH", "0.28058", "-0.005"), FlowKind.WITHDRAWAL, {"ETH": "0.28558"}),
        (entry("staking", "XETH", "0.01", "0.003"), FlowKind.INTEREST, {"ETH": "0.007"}),
        (entry("earn", "XBT.F", "0.01", "0.003", subtype="reward"), FlowKind.INTEREST, {"BTC": "0.007"}),
        (entry("dividend", "ZUSD", "1.25"), FlowKind.DIVIDEND, {"USD": "1.25"}),
        (entry("transfer", "ZUSD", "-5", subtype="spottofutures"), FlowKind.TRANSFER, {"USD": "-5"}),
        (entry("adjustment", "ZUSD", "-5"), FlowKind.ADJUSTMENT, {"USD": "-5"}),
    ],
    ids=lambda value: str(value) if isinstance(value, FlowKind) else "",
)
def test_r14_a_row_of_krakens_ledger_is_a_flow_of_its_amount_less_its_fee(
    row: dict[str, Any], kind: FlowKind, amounts: dict[str, str]
) -> None:
    [flow] = kraken({"L4UESK-KG3EQ-UFO4T5": row}).flows
    assert (flow.flow_id, flow.kind, flow.at) == ("ledger:L4UESK-KG3EQ-UFO4T5", kind, AT)
    assert flow.amounts == {asset: Decimal(amount) for asset, amount in amounts.items()}
    assert "REF" in flow.evidence


def test_a_conversion_in_the_app_is_a_pair_of_flows_with_one_reference() -> None:
    page = kraken({"L1": entry("spend", "ZUSD", "-100", "1.5"), "L2": entry("receive", "XXBT", "0.0016")})
    assert [(flow.kind, dict(flow.amounts)) for flow in page.flows] == [
        (FlowKind.CONVERSION, {"USD": Decimal("-101.5")}),
        (FlowKind.CONVERSION, {"BTC": Decimal("0.0016")}),
    ]
    assert all("REF" in flow.evidence for flow in page.flows)


def test_r12_a_move_into_an_earn_product_that_is_spent_through_its_asset_comes_to_nothing() -> None:
    rows = {"L1": entry("earn", "XXBT", "-0.3", subtype="autoallocation")}
    rows |= {"L2": entry("earn", "XBT.F", "0.3", subtype="autoallocation")}
    page = kraken(rows)
    assert sum(flow.amounts["BTC"] for flow in page.flows) == 0
    bonded = kraken({**rows, "L2": entry("earn", "XBT.M", "0.3", subtype="allocation")})
    assert [dict(flow.amounts) for flow in bonded.flows] == [{"BTC": Decimal("-0.3")}, {"BTC.M": Decimal("0.3")}]


def test_r14_the_rows_of_a_trade_tell_its_fee_and_are_no_flows() -> None:
    rows = {
        "L1": entry("trade", "XXBT", "0.1", refid="T1"),
        "L2": entry("trade", "ZUSD", "-6200.01", "16.12", refid="T1", time=SECONDS + Decimal("0.001")),
        "L3": entry("trade", "XETH", "1", "0.0026", refid="T2", subtype="tradespot"),
        "L4": entry("trade", "KFEE", "0", "12.5", refid="T2"),
        "L5": entry("trade", "ZUSD", "-5", refid="T3"),
    }
    page = kraken(rows)
    assert page.flows == ()
    assert {fee.trade_id: fee.fees for fee in page.fees} == {
        "T1": {"USD": Decimal("16.12")},
        "T2": {"ETH": Decimal("0.0026"), "KFEE": Decimal("12.5")},
        "T3": {},
    }


def test_a_trade_at_the_edge_of_a_window_tells_its_fee_only_once_all_its_rows_lie_before_it() -> None:
    edge = Decimal(int(END.timestamp()))
    rows = {
        "L1": entry("trade", "XXBT", "0.1", "0.0002", refid="T1", time=edge - Decimal("0.0005")),
        "L2": entry("trade", "ZUSD", "-6200", refid="T1", time=edge + Decimal("0.0005")),
    }
    records = ledger(rows)
    assert records.reader("kraken").read(START, END).fees == ()
    [fee] = records.reader("kraken").read(END, END + timedelta(hours=1)).fees
    assert fee.fees == {"BTC": Decimal("0.0002")}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "lottery"}, "type"),
        ({"amount": "much"}, "number"),
        ({"time": None}, "number"),
        ({"fee": 0.5}, "number"),
    ],
)
def test_a_row_that_is_not_understood_is_told_and_not_counted(change: dict[str, Any], problem: str) -> None:
    page = kraken({"L1": {**entry("deposit", "XXBT", "0.5"), **change}, "L2": entry("deposit", "XXBT", "1")})
    assert [flow.flow_id for flow in page.flows] == ["ledger:L2"]
    [row] = page.unread
    assert (row.what, row.reference, row.assets) == ("flow", "ledger:L1", ("BTC",))
    assert row.problem == f"not understood: {problem}"
    assert page.covered


def test_every_page_of_a_window_is_read_and_a_row_that_moved_to_a_later_page_counts_once() -> None:
    rows = {f"L{number}": entry("deposit", "XXBT", "1") for number in range(120)}
    records = ledger(rows)
    page = records.reader("kraken").read(START, END)
    assert len(page.flows) == len(by_name(page.flows)) == 120
    assert (page.read_until, [params["ofs"] for _, params in records.asked]) == (END, ["0", "50", "100"])
    assert {params["type"] for _, params in records.asked} == {"all"}


def test_a_ledger_that_counts_more_rows_than_it_has_is_read_to_its_end() -> None:
    assert len(ledger({"L1": entry("deposit", "XXBT", "1")}, count=99).reader("kraken").read(START, END).flows) == 1


def test_a_window_with_more_rows_than_may_be_asked_for_is_read_in_parts_that_end() -> None:
    """A request costs a quarter of what the key may ask in a row."""
    times = {f"L{n:05}": int(START.timestamp()) + n for n in range(3600)}

    def answer(params: dict[str, str]) -> Any:
        inside = [n for n, at in times.items() if int(params["start"]) < at <= int(params["end"])][::-1]
        first = int(params["ofs"])
        shown = {n: entry("deposit", "XXBT", "1", time=times[n]) for n in inside[first : first + 50]}
        return {"error": [], "result": {"ledger": shown, "count": len(inside)}}

    records = Records({"privatePostLedgers": answer})
    reader, start, found, runs = records.reader("kraken"), START, dict[str, VenueFlow](), 0
    while start < END and runs < 200:
        asked = len(records.asked)
        page = reader.read(start, END)
        assert len(records.asked) - asked <= 6
        found |= by_name(page.flows)
        start, runs = page.read_until, runs + 1
    assert (start, len(found)) == (END, 3600)


def test_a_key_without_the_right_says_which_and_closes_nothing() -> None:
    def denied(_params: dict[str, str]) -> Any:
        raise AccountRefused("EGeneral:Permission denied", "check the key")

    page = Records({"privatePostLedgers": denied}).reader("kraken").read(START, END)
    assert (page.covered, page.read_until, page.flows) == (False, START, ())
    assert "'Query ledger entries'" in page.unread[0].problem


def test_any_other_refusal_concerns_the_whole_account() -> None:
    def refused(_params: dict[str, str]) -> Any:
        raise AccountRefused("EAPI:Invalid key", "check the key")

    with pytest.raises(AccountRefused):
        Records({"privatePostLedgers": refused}).reader("kraken").read(START, END)


@pytest.mark.parametrize("venue", ["okx", "bybit", "coinbase"])
def test_a_venue_whose_records_are_not_described_says_so_and_is_not_asked(venue: str) -> None:
    records = Records()
    page = records.reader(venue).read(START, END)
    assert (page.covered, page.read_until, records.asked) == (False, START, [])


def test_binances_test_host_keeps_no_such_records() -> None:
    records = Records()
    assert records.reader("binance", sandbox=True).read(START, END).covered is False
    assert records.asked == []


# --- Binance ----------------------------------------------------------------------------------------------------------

# wallet/capital/deposite-history
DEPOSIT = {
    "id": "769800519366885376", "amount": "0.001", "coin": "BNB", "network": "BNB", "status": 1, "address": "bnb136ns",
    "addressTag": "101764890", "txId": "98A3EA560C6B3336", "insertTime": MS, "completeTime": MS + 60_000,
    "transferType": 0, "confirmTimes": "1/1", "unlockConfirm": 0, "walletType": 0,
}  # fmt: skip
# wallet/capital/withdraw-history
WITHDRAWAL = {
    "id": "b6ae22b3aa844210a7041aee7589627c", "amount": "8.91000000", "transactionFee": "0.004", "coin": "USDT",
    "status": 6, "address": "0x94df8b", "txId": "0xb5ef8c", "applyTime": "2024-03-01 12:30:00", "network": "ETH",
    "transferType": 0, "info": "", "confirmNo": 3, "walletType": 0, "completeTime": "2024-03-01 12:40:41",
}  # fmt: skip
# wallet/asset/assets-divided-record
DIVIDEND = {
    "id": 1637366104, "amount": "10.00000000", "asset": "BHFT", "divTime": MS, "enInfo": "BHFT distribution",
    "tranId": 2968885920, "direction": 1,
}  # fmt: skip
# wallet/asset/dust-log
DUST = {
    "total": 1,
    "userAssetDribblets": [
        {
            "operateTime": MS, "totalTransferedAmount": "0.00132256", "totalServiceChargeAmount": "0.00002699",
            "transId": 45178372831,
            "userAssetDribbletDetails": [
                {
                    "transId": 4359321, "serviceChargeAmount": "0.000009", "amount": "0.0009", "operateTime": MS,
                    "transferedAmount": "0.000441", "fromAsset": "USDT",
                },
                {
                    "transId": 4359322, "serviceChargeAmount": "0.00001799", "amount": "0.0009", "operateTime": MS,
                    "transferedAmount": "0.00088156", "fromAsset": "ETH",
                },
            ],
        }
    ],
}  # fmt: skip
# convert/trade/Get-Convert-Trade-History
CONVERSION = {
    "quoteId": "f3b91c525b2644c7bc1e1cd31b6e1aa6", "orderId": 940708407462087195, "orderStatus": "SUCCESS",
    "fromAsset": "USDT", "fromAmount": "20", "toAsset": "BNB", "toAmount": "0.06154036", "ratio": "0.00307702",
    "inverseRatio": "324.99", "createTime": MS,
}  # fmt: skip
# wallet/asset/query-user-universal-transfer
TRANSFER = {
    "asset": "USDT", "amount": "1", "type": "MAIN_UMFUTURE", "status": "CONFIRMED", "tranId": 11415955596,
    "timestamp": MS,
}  # fmt: skip
# sub_account/asset-management/Sub-account-Transfer-History
SUB = {
    "counterParty": "master", "email": "master@test.com", "type": 1, "asset": "BTC", "qty": "1",
    "fromAccountType": "SPOT", "toAccountType": "SPOT", "status": "SUCCESS", "tranId": 11798835829, "time": MS,
}  # fmt: skip
# fiat/rest-api/Get-Fiat-Deposit-Withdraw-History
FIAT = {
    "orderNo": "7d76d611-0568-4f43-afb6-24cac7767365", "fiatCurrency": "BRL", "indicatedAmount": "10.00",
    "amount": "9.50", "totalFee": "0.50", "method": "BankAccount", "status": "Successful", "createTime": MS,
    "updateTime": MS + 1000,
}  # fmt: skip
# simple_earn/history: subscription, redemption, rewards
SUBSCRIPTION = {
    "amount": "100.00000000", "asset": "USDT", "time": MS, "purchaseId": 26055, "productId": "USDT001", "type": "AUTO",
    "sourceAccount": "SPOTANDFUNDING", "amtFromSpot": "30", "amtFromFunding": "70", "status": "SUCCESS",
}  # fmt: skip
REDEMPTION = {
    "amount": "10.54000000", "asset": "USDT", "time": MS, "projectId": "USDT001", "redeemId": 40607,
    "destAccount": "SPOT", "status": "PAID",
}  # fmt: skip
REWARD = {"asset": "BUSD", "rewards": "0.00006408", "projectId": "USDT001", "type": "BONUS", "time": MS}
EARN = "sapiGetSimpleEarn"


def sapi(**rows: Any) -> Records:
    """Binance's lists, each by its method; what is not named is empty."""
    records = load_profile("binance").flows
    assert records is not None
    answers: dict[str, Callable[[dict[str, str]], Any]] = {}
    for listed in records.lists:
        path = listed.rows.path

        def answer(params: dict[str, str], method: str = listed.method, path: str = path) -> Any:
            found = rows.get(method, [])
            shown = found(params) if callable(found) else found
            if isinstance(shown, dict):
                return shown
            return {path: shown, "code": "000000"} if path else shown

        answers[listed.method] = answer
    return Records(answers)


def swept(records: Records, start: datetime = START, end: datetime = END) -> tuple[FlowPage, dict[str, VenueFlow]]:
    """Every run until all lists are read: the last page, and every flow that any of them told."""
    reader, found = records.reader("binance"), dict[str, VenueFlow]()
    page = FlowPage(read_until=start)
    for _ in range(10):
        page = reader.read(start, end)
        found |= by_name(page.flows)
        if page.read_until > start:
            return page, found
    return page, found


def only(method: str, *rows: dict[str, Any], **query: str) -> dict[str, VenueFlow]:
    """What comes of these rows where a request has these parameters."""

    def shown(params: dict[str, str]) -> list[Any]:
        return list(rows) if query.items() <= params.items() else []

    return swept(sapi(**{method: shown}))[1]


FLOWS: dict[str, tuple[str, dict[str, str], dict[str, Any], str, FlowKind, dict[str, str], datetime]] = {
    "a deposit": (
        "sapiGetCapitalDepositHisrec", {}, DEPOSIT,
        "deposit:769800519366885376", FlowKind.DEPOSIT, {"BNB": "0.001"}, AT,
    ),
    "a deposit that cannot be withdrawn yet": (
        "sapiGetCapitalDepositHisrec", {}, {**DEPOSIT, "status": 6, "completeTime": 0},
        "deposit:769800519366885376", FlowKind.DEPOSIT, {"BNB": "0.001"}, AT,
    ),
    "a withdrawal and its fee": (
        "sapiGetCapitalWithdrawHistory", {}, WITHDRAWAL,
        "withdrawal:b6ae22b3aa844210a7041aee7589627c", FlowKind.WITHDRAWAL, {"USDT": "-8.914"},
        START + timedelta(minutes=30),
    ),
    "a distribution": (
        "sapiGetAssetAssetDividend", {}, DIVIDEND,
        "dividend:1637366104", FlowKind.DIVIDEND, {"BHFT": "10"}, AT,
    ),
    "a distribution that is taken back": (
        "sapiGetAssetAssetDividend", {}, {**DIVIDEND, "direction": -1},
        "dividend:1637366104", FlowKind.DIVIDEND, {"BHFT": "-10"}, AT,
    ),
    "a conversion": (
        "sapiGetConvertTradeFlow", {}, CONVERSION,
        "convert:940708407462087195", FlowKind.CONVERSION, {"USDT": "-20", "BNB": "0.06154036"}, AT,
    ),
    "a transfer to futures": (
        "sapiGetAssetTransfer", {"type": "MAIN_UMFUTURE"}, TRANSFER,
        "transfer-main-umfuture:11415955596", FlowKind.TRANSFER, {"USDT": "-1"}, AT,
    ),
    "a transfer from funding": (
        "sapiGetAssetTransfer", {"type": "FUNDING_MAIN"}, {**TRANSFER, "type": "FUNDING_MAIN"},
        "transfer-funding-main:11415955596", FlowKind.TRANSFER, {"USDT": "1"}, AT,
    ),
    "a transfer from a sub-account": (
        "sapiGetSubAccountTransferSubUserHistory", {"type": "1"}, SUB,
        "sub-in:11798835829", FlowKind.TRANSFER, {"BTC": "1"}, AT,
    ),
    "a transfer to a sub-account": (
        "sapiGetSubAccountTransferSubUserHistory", {"type": "2"}, {**SUB, "type": 2},
        "sub-out:11798835829", FlowKind.TRANSFER, {"BTC": "-1"}, AT,
    ),
    "a bank's deposit": (
        "sapiGetFiatOrders", {"transactionType": "0"}, FIAT,
        f"fiat-in:{FIAT['orderNo']}", FlowKind.DEPOSIT, {"BRL": "9.50"}, AT + timedelta(seconds=1),
    ),
    "a withdrawal to a bank": (
        "sapiGetFiatOrders", {"transactionType": "1"}, FIAT,
        f"fiat-out:{FIAT['orderNo']}", FlowKind.WITHDRAWAL, {"BRL": "-10"}, AT,
    ),
    "a subscription, what came from spot": (
        f"{EARN}FlexibleHistorySubscriptionRecord", {}, SUBSCRIPTION,
        "earn-in-flexible:26055", FlowKind.EARN, {"USDT": "-30"}, AT,
    ),
    "a redemption": (
        f"{EARN}FlexibleHistoryRedemptionRecord", {}, REDEMPTION,
        "earn-out-flexible:40607", FlowKind.EARN, {"USDT": "10.54"}, AT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOWS)
def test_r14_a_row_of_a_list_of_binance_is_the_flow_that_it_documents(name: str) -> None:
    method, query, row, flow_id, kind, amounts, at = FLOWS[name]
    found = only(method, row, **query)
    assert set(found) == {flow_id}
    flow = found[flow_id]
    assert (flow.kind, flow.at) == (kind, at)
    assert flow.amounts == {asset: Decimal(amount) for asset, amount in amounts.items()}
    assert method in flow.evidence


def test_each_asset_of_a_dust_conversion_is_a_flow_of_what_was_credited_net() -> None:
    found = swept(sapi(sapiGetAssetDribblet=lambda _params: DUST))[1]
    assert {name: dict(flow.amounts) for name, flow in found.items()} == {
        "dust:45178372831:4359321": {"USDT": Decimal("-0.0009"), "BNB": Decimal("0.000441")},
        "dust:45178372831:4359322": {"ETH": Decimal("-0.0009"), "BNB": Decimal("0.00088156")},
    }


@pytest.mark.parametrize(
    ("method", "row"),
    [
        ("sapiGetCapitalDepositHisrec", {**DEPOSIT, "walletType": 1}),
        ("sapiGetCapitalDepositHisrec", {**DEPOSIT, "status": 2}),
        ("sapiGetCapitalWithdrawHistory", {**WITHDRAWAL, "status": 1}),
        ("sapiGetAssetTransfer", {**TRANSFER, "status": "FAILED"}),
        (f"{EARN}FlexibleHistoryRedemptionRecord", {**REDEMPTION, "destAccount": "FUNDING"}),
    ],
    ids=["to the funding wallet", "rejected", "cancelled", "failed", "redeemed to funding"],
)
def test_what_never_touched_the_spot_wallet_is_no_flow(method: str, row: dict[str, Any]) -> None:
    assert only(method, row) == {}


def test_a_deposit_that_is_pending_is_told_as_coming_and_what_is_read_ends_before_it() -> None:
    page, found = swept(sapi(sapiGetCapitalDepositHisrec=[{**DEPOSIT, "status": 0}]))
    assert (found, page.unread, page.read_until) == ({}, (), AT)
    assert [flow.flow_id for flow in page.coming] == ["deposit:769800519366885376"]
    assert (page.out, page.void, page.as_of) == ((), (), END)


def test_a_withdrawal_counts_when_it_is_asked_for_and_what_is_read_ends_before_one_that_is_pending() -> None:
    """It leaves `free` at once: only "user asset" (sapi/v3/asset/getUserAsset) shows it, as `withdrawing`."""
    page, found = swept(sapi(sapiGetCapitalWithdrawHistory=[{**WITHDRAWAL, "status": 4, "completeTime": ""}]))
    assert page.out == tuple(found.values()) != ()
    assert (page.coming, page.void, page.unread, page.read_until) == ((), (), (), AT)


@pytest.mark.parametrize(
    ("method", "row"),
    [
        ("sapiGetCapitalDepositHisrec", {**DEPOSIT, "status": 2}),
        ("sapiGetCapitalWithdrawHistory", {**WITHDRAWAL, "status": 5, "completeTime": ""}),
    ],
)
def test_what_came_to_nothing_is_told_so_and_holds_nothing_back(method: str, row: dict[str, Any]) -> None:
    page, found = swept(sapi(**{method: [row]}))
    assert found == {}
    assert len(page.void) == 1
    assert (page.coming, page.out, page.unread, page.read_until) == ((), (), (), END)


def test_a_row_that_came_to_nothing_and_is_not_understood_moved_nothing_all_the_same() -> None:
    page, found = swept(sapi(sapiGetCapitalDepositHisrec=[{**DEPOSIT, "status": 2, "amount": "?"}]))
    assert (found, page.void, page.unread, page.read_until) == ({}, (), (), END)


def test_what_is_pending_for_ever_is_told_and_holds_nothing_back() -> None:
    records = sapi(sapiGetCapitalDepositHisrec=[{**DEPOSIT, "status": 0}])
    page, _ = swept(records, START, AT + timedelta(days=7) - timedelta(seconds=1))
    assert (page.unread, page.read_until) == ((), AT)
    page, _ = swept(records, START, AT + timedelta(days=7))
    assert page.read_until == START + timedelta(days=7)  # the longest window that every list takes
    [row] = page.unread
    assert (row.reference, row.assets, row.status) == ("deposit:769800519366885376", ("BNB",), "0")


@pytest.mark.parametrize(
    "change", [{"status": 5}, {"amount": "-1"}, {"coin": None}, {"insertTime": "soon"}, {"id": None}]
)
def test_a_strange_row_of_a_list_is_told_and_the_others_count(change: dict[str, Any]) -> None:
    page, found = swept(sapi(sapiGetCapitalDepositHisrec=[{**DEPOSIT, **change}, {**DEPOSIT, "id": "2"}]))
    assert set(found) == {"deposit:2"}
    assert len(page.unread) == 1
    assert page.read_until == END


def test_a_reward_without_an_id_is_known_by_what_it_is() -> None:
    method = f"{EARN}FlexibleHistoryRewardsRecord"
    first = only(method, REWARD, type="BONUS")
    written_otherwise = only(method, {**REWARD, "rewards": "0.000064080", "more": "said"}, type="BONUS")
    another = only(method, {**REWARD, "time": MS + 1}, type="BONUS")
    assert set(first) == set(written_otherwise) != set(another)
    [flow] = first.values()
    assert (flow.kind, flow.amounts) == (FlowKind.INTEREST, {"BUSD": Decimal("0.00006408")})


def test_a_reward_that_stands_among_the_dividends_too_counts_once() -> None:
    dividend = {**DIVIDEND, "asset": "BUSD", "amount": "0.00006408", "divTime": MS + 60_000}
    rewards = {f"{EARN}FlexibleHistoryRewardsRecord": lambda params: [REWARD] if params["type"] == "BONUS" else []}
    _, found = swept(sapi(sapiGetAssetAssetDividend=[dividend], **rewards))
    assert set(found) == {"dividend:1637366104"}


def test_a_run_asks_a_bounded_number_of_lists_and_the_next_goes_on() -> None:
    records = sapi(sapiGetCapitalDepositHisrec=[DEPOSIT])
    reader, flows = records.reader("binance"), load_profile("binance").flows
    assert flows is not None
    runs = []
    for _ in range(10):
        before = len(records.asked)
        page = reader.read(START, END)
        runs.append(len(records.asked) - before)
        # Told again in each run, since nobody knows whether what was told was kept.
        assert "deposit:769800519366885376" in by_name(page.flows)
        if page.read_until == END:
            break
        assert page.read_until == START
    assert sum(runs) == len(flows.lists)
    assert max(runs) <= flows.weight
    heavy = [name for name, params in records.asked if name == "sapiGetFiatOrders"]
    assert len(heavy) == 2


def test_the_two_heaviest_lists_are_never_asked_in_one_run() -> None:
    """Each costs half of what an account may ask in a minute."""
    records = sapi()
    reader = records.reader("binance")
    for _ in range(10):
        before = len(records.asked)
        reader.read(START, END)
        assert [name for name, _ in records.asked[before:]].count("sapiGetFiatOrders") <= 1


def test_a_process_that_starts_anew_begins_anew_and_loses_nothing() -> None:
    records = sapi(sapiGetCapitalDepositHisrec=[DEPOSIT])
    for _ in range(3):
        page = records.reader("binance").read(START, END)
        assert ("deposit:769800519366885376" in by_name(page.flows), page.read_until) == (True, START)


def test_every_page_of_a_list_is_read() -> None:
    rows = [{**DEPOSIT, "id": str(number)} for number in range(1500)]

    def shown(params: dict[str, str]) -> list[Any]:
        return rows[int(params["offset"]) :][: int(params["limit"])]

    assert len(swept(sapi(sapiGetCapitalDepositHisrec=shown))[1]) == 1500


def test_a_list_with_more_pages_than_one_run_asks_for_is_read_in_shorter_windows() -> None:
    rows = [{**DEPOSIT, "id": str(n), "insertTime": MS - 1_800_000 + n * 500} for n in range(7000)]

    def shown(params: dict[str, str]) -> list[Any]:
        inside = [r for r in rows if int(params["startTime"]) <= int(str(r["insertTime"])) <= int(params["endTime"])]
        return inside[int(params["offset"]) :][: int(params["limit"])]

    records = sapi(sapiGetCapitalDepositHisrec=shown)
    reader, start, found = records.reader("binance"), START, dict[str, VenueFlow]()
    for _ in range(60):
        before = sum(name == "sapiGetCapitalDepositHisrec" for name, _ in records.asked)
        page = reader.read(start, END)
        assert sum(name == "sapiGetCapitalDepositHisrec" for name, _ in records.asked) - before <= MOST_PAGES
        found |= by_name(page.flows)
        start = page.read_until
        if start == END:
            break
    assert (start, len(found)) == (END, 7000)


def test_a_list_that_only_some_accounts_have_explains_nothing_and_stops_nothing() -> None:
    def refused(_params: dict[str, str]) -> Any:
        raise NotUnderstood("binance sapiGetSubAccountTransferSubUserHistory: -12015 BadRequest")

    page, found = swept(sapi(sapiGetCapitalDepositHisrec=[DEPOSIT], sapiGetSubAccountTransferSubUserHistory=refused))
    assert (len(found), page.unread, page.covered, page.read_until) == (1, (), True, END)


def test_a_list_that_is_not_understood_is_named_and_the_others_are_told() -> None:
    records = sapi(sapiGetCapitalDepositHisrec=[DEPOSIT], sapiGetAssetAssetDividend=lambda _params: {"rows": None})
    page, found = swept(records)
    assert set(found) == {"deposit:769800519366885376"}
    assert [row.reference for row in page.unread] == ["dividend"]
    assert page.read_until == START  # it is asked again


def test_a_list_that_stays_unreadable_does_not_hide_what_came_later() -> None:
    later = START + timedelta(hours=4)
    new = {**DEPOSIT, "id": "new", "insertTime": int(later.timestamp() * 1000)}
    broken = {"sapiGetAssetAssetDividend": lambda _params: {"rows": None}}
    reader = sapi(sapiGetCapitalDepositHisrec=[DEPOSIT, new], **broken).reader("binance")
    for _ in range(6):
        assert reader.read(START, END).read_until == START
    assert "deposit:new" in by_name(reader.read(START, later).flows)


def test_a_list_that_the_key_may_not_read_is_named() -> None:
    def denied(_params: dict[str, str]) -> Any:
        raise AccountRefused("-2015", "check the key")

    page, _ = swept(sapi(sapiGetCapitalWithdrawHistory=denied))
    assert (page.covered, [row.reference for row in page.unread]) == (False, ["withdrawal"])
    assert "'Enable Reading'" in page.unread[0].problem


def test_a_venue_that_is_silent_in_the_middle_is_asked_again_and_what_was_told_stays() -> None:
    silent = [True]

    def answer(_params: dict[str, str]) -> list[Any]:
        if silent:
            raise VenueUnavailable("no answer")
        return []

    records = sapi(sapiGetCapitalDepositHisrec=[DEPOSIT], sapiGetCapitalWithdrawHistory=answer)
    reader = records.reader("binance")
    first = reader.read(START, END)
    assert (set(by_name(first.flows)), first.read_until) == ({"deposit:769800519366885376"}, START)
    with pytest.raises(VenueUnavailable):
        reader.read(START, END)
    silent.clear()
    assert "deposit:769800519366885376" in by_name(reader.read(START, END).flows)


# --- what a profile may say -------------------------------------------------------------------------------------------


def test_lists_whose_ids_could_meet_and_records_that_are_both_kinds_are_refused() -> None:
    flows = load_profile("binance").flows
    assert flows is not None
    written = flows.model_dump(mode="json")
    with pytest.raises(ValueError, match="two lists of one name"):
        FlowRecords.model_validate({**written, "lists": [written["lists"][0]] * 2})
    with pytest.raises(ValueError, match="one ledger, or lists"):
        FlowRecords.model_validate({"right": "x"})
    reward = next(entry for entry in written["lists"] if entry["also_in"])
    with pytest.raises(ValueError, match="not read before it"):
        FlowRecords.model_validate({**written, "lists": [reward]})


def test_a_second_with_more_rows_than_can_be_read_is_told_as_that() -> None:
    rows = {f"L{number}": entry("deposit", "XXBT", "1") for number in range(501)}
    reader = ledger(rows).reader("kraken")
    with pytest.raises(Unbelievable, match="rows in a second"):
        read_until_the_end(reader)


def test_the_many_rows_of_one_moment_are_read_in_one_run() -> None:
    rows = {f"L{number}": entry("deposit", "XXBT", "1") for number in range(500)}
    assert len(read_until_the_end(ledger(rows).reader("kraken"))) == 500


def read_until_the_end(reader: FlowReader) -> dict[str, VenueFlow]:
    """As the workflow does: each run from where the one before had read to."""
    start, found = START, dict[str, VenueFlow]()
    for _ in range(200):
        page = reader.read(start, END)
        found |= by_name(page.flows)
        start = page.read_until
        if start == END:
            return found
    raise AssertionError("it never ends")
