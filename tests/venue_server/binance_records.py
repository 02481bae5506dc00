"""Binance's records of what is no order: one endpoint for each kind of event, no common cursor. Keeps nothing.

Sources: developers.binance.com/docs (wallet, simple earn, convert) and binance-api-swagger. What they leave open is
decided against the client and marked "open:" here; so is, throughout, the order of the rows: the newest first.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.venue_server.account import Account
from tests.venue_server.movements import Movement
from tests.venue_server.orders import ZERO
from tests.venue_server.wire import Call, Route, VenueError, fixed, milliseconds, moment

DEPOSITS = {"pending": 0, "credited": 6, "done": 1, "failed": 2}
WITHDRAWALS = {"pending": 4, "done": 6, "failed": 3}
FIAT = {"pending": "Processing", "credited": "Processing", "done": "Successful", "failed": "Failed"}
WORDS = {"airdrop": "Airdrop", "staking": "ETH Staking", "reward": "Flexible rewards", "rebate": "Commission rebate"}
DUST_RECORDS = 100
TRANSFERS_KEPT = timedelta(days=180)


class Records:
    """The routes, over one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._movements = account.movements

    def routes(self) -> dict[tuple[str, str], Route]:
        answers = {
            "v1/capital/deposit/hisrec": ("deposits", self._deposits),
            "v1/capital/withdraw/history": ("withdrawals", self._withdrawals),
            "v1/fiat/orders": ("fiat", self._fiat),
            "v1/asset/assetDividend": ("dividends", self._dividends),
            "v1/asset/dribblet": ("dust", self._dust),
            "v1/convert/tradeFlow": ("conversions", self._conversions),
            "v1/asset/transfer": ("transfers", self._transfers),
            "v1/sub-account/transfer/subUserHistory": ("transfers", self._sub_account),
            "v1/simple-earn/flexible/position": ("earn", self._positions),
            "v1/simple-earn/locked/position": ("earn", self._positions),
            "v1/bnbBurn": ("fees", self._burn),
            "v1/spot/delist-schedule": ("markets", self._delistings),
        }
        answers |= {
            f"v1/simple-earn/{product}/history/{name}": ("earn", answer)
            for product in ("flexible", "locked")
            for name, answer in (
                ("subscriptionRecord", self._subscriptions),
                ("redemptionRecord", self._redemptions),
                ("rewardsRecord", self._rewards),
            )
        }
        routes = {("GET", f"/sapi/{path}"): Route(kind, "read", answer) for path, (kind, answer) in answers.items()}
        routes["POST", "/sapi/v3/asset/getUserAsset"] = Route("balances", "read", self._user_assets)
        routes["GET", "/api/v3/account/commission"] = Route("fees", "read", self._commission)
        return routes

    # --- from and to the outside ------------------------------------------------------------------------------

    def _deposits(self, call: Call, now: datetime) -> Any:
        """Deposit history: less than 90 days, 1000 rows, `offset`; walletType 0 spot, 1 funding."""
        rows = self._within(call, now, "deposit", days=90, most=90)
        shown = [
            {
                "id": row.movement_id,
                "amount": _plain(row.amount),
                "coin": row.asset,
                "network": row.asset,
                "status": DEPOSITS[row.status],
                "address": f"address-{row.movement_id}",
                "addressTag": "",
                "txId": f"tx-{row.movement_id}",
                "insertTime": milliseconds(row.at),
                "completeTime": milliseconds(row.updated_at),
                "transferType": 0,
                "confirmTimes": "1/1" if row.status != "pending" else "0/1",
                "unlockConfirm": 1,
                "walletType": int(bool(row.detail.get("funding"))),
            }
            | row.raw
            for row in _of(call, "coin", rows)
        ]
        wanted = call.params.get("status")
        return _cut(call, [row for row in shown if wanted in (None, str(row["status"]))], 1000, 1000)

    def _withdrawals(self, call: Call, now: datetime) -> Any:
        """Withdraw history: less than 90 days, 1000 rows; times are UTC text without a zone, completeTime for status 6
        only; the fee is apart from the amount."""
        rows = self._within(call, now, "withdrawal", days=90, most=90)
        shown = [
            {
                "id": row.movement_id,
                "amount": _plain(row.amount),
                "transactionFee": _plain(row.fee),
                "coin": row.asset,
                "status": WITHDRAWALS[row.status],
                "address": f"address-{row.movement_id}",
                "txId": f"tx-{row.movement_id}" if row.status == "done" else "",
                "applyTime": f"{row.at:%Y-%m-%d %H:%M:%S}",
                "network": row.asset,
                "transferType": 0,
                "walletType": 0,
                **({"completeTime": f"{row.updated_at:%Y-%m-%d %H:%M:%S}"} if row.status == "done" else {}),
            }
            | row.raw
            for row in _of(call, "coin", rows)
        ]
        return _cut(call, shown, 1000, 1000)

    def _fiat(self, call: Call, now: datetime) -> Any:
        """Fiat orders: transactionType 0 deposit or 1 withdrawal, mandatory; 30 days; 100 rows, at most 500."""
        kinds = {"0": "fiat_deposit", "1": "fiat_withdrawal"}
        rows = self._within(call, now, kinds[_needed(call, "transactionType", kinds)], days=30, start="beginTime")
        shown = [
            {
                "orderNo": row.movement_id,
                "fiatCurrency": row.asset,
                "indicatedAmount": _plain(row.amount + row.fee),
                "amount": _plain(row.amount),
                "totalFee": _plain(row.fee),
                "method": "BankAccount",
                "status": FIAT[row.status],
                "createTime": milliseconds(row.at),
                "updateTime": milliseconds(row.updated_at),
            }
            | row.raw
            for row in rows
        ]
        data = _page(call, shown, "page", "rows", 100, 500)
        return {"code": "000000", "message": "success", "data": data, "total": len(shown), "success": True}

    # --- given and converted ------------------------------------------------------------------------------------

    def _dividends(self, call: Call, now: datetime) -> Any:
        """Asset dividend record: 180 days, 20 rows unless told otherwise, at most 500; direction -1 takes back."""
        rows = list(_of(call, "asset", self._within(call, now, "dividend", days=180, most=180)))
        shown = [
            {
                "id": int(row.movement_id),
                "amount": _plain(abs(row.amount)),
                "asset": row.asset,
                "divTime": milliseconds(row.at),
                "enInfo": WORDS.get(row.detail["why"], row.detail["why"]),
                "tranId": int(row.movement_id) + 2_968_000_000,
                "direction": 1 if row.amount >= 0 else -1,
            }
            | row.raw
            for row in rows
        ]
        return {"rows": _cut(call, shown, 20, 500), "total": len(shown)}

    def _dust(self, call: Call, now: datetime) -> Any:
        """Dust log: the last 100 records, whatever the window."""
        rows = self._within(call, now, "dust")[:DUST_RECORDS]
        return {"total": len(rows), "userAssetDribblets": [_dribblet(row) | row.raw for row in rows]}

    def _conversions(self, call: Call, now: datetime) -> Any:
        """Convert trade flow: both times mandatory, at most 30 days apart; 100 rows, at most 1000."""
        for name in ("startTime", "endTime"):
            _needed(call, name)
        rows = self._within(call, now, "convert", most=30)
        shown = [_conversion(row) | row.raw for row in rows]
        listed = _cut(call, shown, 100, 1000)
        bounds = {name: int(call.params[name]) for name in ("startTime", "endTime")}
        return {"list": listed, **bounds, "limit": len(listed), "moreData": len(listed) < len(shown)}

    # --- between the owner's wallets ----------------------------------------------------------------------------

    def _transfers(self, call: Call, now: datetime) -> Any:
        """Query user universal transfer: `type` mandatory; 7 days unless told otherwise, 6 months kept; 10 rows a page,
        at most 100."""
        kind = _needed(call, "type")
        rows = [row for row in self._within(call, now, "transfer", days=7) if now - row.at <= TRANSFERS_KEPT]
        shown = [
            {
                "asset": row.asset,
                "amount": _plain(row.amount),
                "type": _transfer_type(row),
                "status": "CONFIRMED",
                "tranId": int(row.movement_id),
                "timestamp": milliseconds(row.at),
            }
            | row.raw
            for row in rows
            if row.detail["other"] != "SUB" and _transfer_type(row) == kind
        ]
        return {"total": len(shown), "rows": _page(call, shown, "current", "size", 10, 100)}

    def _sub_account(self, call: Call, now: datetime) -> Any:
        """Sub-account transfer history: outgoing (2) unless type is 1; 30 days; 500 rows."""
        out = call.params.get("type", "2") != "1"
        rows = _of(call, "asset", self._within(call, now, "transfer", days=30))
        shown = [
            {
                "counterParty": "master",
                "email": "master@example.com",
                "type": 2 if out else 1,
                "asset": row.asset,
                "qty": _plain(row.amount),
                "fromAccountType": "SPOT",
                "toAccountType": "SPOT",
                "status": "SUCCESS",
                "tranId": int(row.movement_id),
                "time": milliseconds(row.at),
            }
            | row.raw
            for row in rows
            if row.detail["other"] == "SUB" and row.detail["out"] == out
        ]
        return _cut(call, shown, 500, 500)

    # --- earn -----------------------------------------------------------------------------------------------------

    def _subscriptions(self, call: Call, now: datetime) -> Any:
        def show(row: Movement) -> dict[str, Any]:
            kind = "AUTO" if row.detail["automatic"] else "NORMAL"
            sources = {"sourceAccount": "SPOT", "amtFromSpot": fixed(row.amount), "amtFromFunding": "0"}
            return {"purchaseId": int(row.movement_id), "type": kind, **sources, "status": "SUCCESS"}

        return self._earned(call, now, "subscription", show)

    def _redemptions(self, call: Call, now: datetime) -> Any:
        def show(row: Movement) -> dict[str, Any]:
            return {"redeemId": int(row.movement_id), "destAccount": "SPOT", "status": "PAID"}

        return self._earned(call, now, "redemption", show)

    def _rewards(self, call: Call, now: datetime) -> Any:
        """Flexible rewards: `type` is mandatory, and a row has no id."""
        if "flexible" in call.raw.path:
            kind = _needed(call, "type")
            return self._earned(call, now, "reward", lambda row: {"rewards": fixed(row.amount), "type": kind})
        return self._earned(call, now, "reward", lambda _row: {"type": "Locked Rewards"})

    def _earned(self, call: Call, now: datetime, kind: str, show: Any) -> Any:
        """Simple earn history: 3 months at most, 30 days unless told otherwise; 10 rows a page, at most 100."""
        product = "flexible" if "/flexible/" in call.raw.path else "locked"
        rows = [
            row
            for row in _of(call, "asset", self._within(call, now, kind, days=30, most=93))
            if row.detail["product"] == product
        ]
        shown = [
            {"asset": row.asset, "time": milliseconds(row.at), "amount": fixed(row.amount)}
            | {"productId" if product == "flexible" else "projectId": f"{row.asset}001"}
            | show(row)
            | row.raw
            for row in rows
        ]
        return {"rows": _page(call, shown, "current", "size", 10, 100), "total": len(shown)}

    def _positions(self, call: Call, _now: datetime) -> Any:
        """What is in the products, by the asset's own name: the only map from `LD...` to it."""
        product = "flexible" if "/flexible/" in call.raw.path else "locked"
        total = "totalAmount" if product == "flexible" else "amount"
        shown = [
            {
                "asset": asset,
                total: fixed(amount),
                "productId": f"{asset}001",
                "canRedeem": True,
                "autoSubscribe": False,
            }
            for asset, amount in sorted(self._movements.in_products(product).items())
            if amount and call.params.get("asset") in (None, asset)
        ]
        return {"rows": _page(call, shown, "current", "size", 10, 100), "total": len(shown)}

    def _delistings(self, _call: Call, _now: datetime) -> Any:
        """Spot delist schedule: what is announced, by its time."""
        by_time: dict[datetime, list[str]] = {}
        for symbol, at in sorted(self._account.books.prices.announced.items()):
            by_time.setdefault(at, []).append(symbol.replace("/", ""))
        return [{"delistTime": milliseconds(at), "symbols": symbols} for at, symbols in sorted(by_time.items())]

    # --- balances and fees --------------------------------------------------------------------------------------------

    def _user_assets(self, call: Call, _now: datetime) -> Any:
        """User assets: what is there only, with what is being withdrawn apart."""
        books = self._account.books
        withdrawing = {asset: self._movements.withdrawing(asset) for asset in books.balances}
        return [
            {
                "asset": asset,
                "free": fixed(books.free(asset)),
                "locked": fixed(books.locked(asset)),
                "freeze": "0",
                "withdrawing": fixed(withdrawing[asset]),
                "ipoable": "0",
                "btcValuation": "0",
            }
            for asset, amount in sorted(books.balances.items())
            if (amount or withdrawing[asset]) and call.params.get("asset") in (None, asset)
        ]

    def _burn(self, _call: Call, _now: datetime) -> Any:
        return {"spotBNBBurn": self._account.books.fees.token is not None, "interestBNBBurn": False}

    def _commission(self, call: Call, _now: datetime) -> Any:
        fees = self._account.books.fees
        none = {"maker": fixed(ZERO), "taker": fixed(ZERO), "buyer": fixed(ZERO), "seller": fixed(ZERO)}
        on = fees.token is not None
        return {
            "symbol": _needed(call, "symbol"),
            "standardCommission": none | {"maker": fixed(fees.maker), "taker": fixed(fees.taker)},
            "specialCommission": none,
            "taxCommission": none | {"buyer": fixed(fees.extra), "seller": fixed(fees.extra)},
            "discount": {
                "enabledForAccount": on,
                "enabledForSymbol": on,
                "discountAsset": "BNB",
                "discount": fixed(fees.token_share),
            },
        }

    def _within(
        self,
        call: Call,
        now: datetime,
        kind: str,
        *,
        days: int | None = None,
        most: int | None = None,
        start: str = "startTime",
    ) -> list[Movement]:
        """The newest first. open: a start alone reads the default window from it, an end alone the one before it; the
        text for a window that is too long."""
        since, until = _moment(call, start), _moment(call, "endTime")
        default = timedelta(days=days) if days is not None else None
        if default is not None:
            if since is None:
                since = (until or now) - default
            until = until or since + default
        if most is not None and since and until and until - since > timedelta(days=most):
            raise VenueError("-9000", f"The time interval must be within {most} days.")
        return [
            row
            for row in reversed(self._movements.shown(now, kind))
            if (since is None or row.at >= since) and (until is None or row.at <= until)
        ]


def _dribblet(row: Movement) -> dict[str, Any]:
    """open: whether transferedAmount is before or after the service charge; here after."""
    gross = sum(row.detail["received"].values(), ZERO)
    details = []
    for asset, amount in row.detail["amounts"].items():
        part = row.detail["received"][asset]
        charge = row.fee * part / gross if gross else ZERO
        details.append(
            {
                "transId": int(row.movement_id),
                "fromAsset": asset,
                "amount": _plain(amount),
                "transferedAmount": fixed(part - charge),
                "serviceChargeAmount": fixed(charge),
                "operateTime": milliseconds(row.at),
                "targetAsset": next(iter(row.into)),
            }
        )
    return {
        "operateTime": milliseconds(row.at),
        "totalTransferedAmount": fixed(gross - row.fee),
        "totalServiceChargeAmount": fixed(row.fee),
        "transId": int(row.movement_id),
        "userAssetDribbletDetails": details,
    }


def _conversion(row: Movement) -> dict[str, Any]:
    [(target, received)] = row.into.items()
    return {
        "quoteId": f"quote-{row.movement_id}",
        "orderId": int(row.movement_id),
        "orderStatus": "SUCCESS",
        "fromAsset": row.asset,
        "fromAmount": _plain(row.amount),
        "toAsset": target,
        "toAmount": _plain(received),
        "ratio": fixed(received / row.amount),
        "inverseRatio": fixed(row.amount / received),
        "createTime": milliseconds(row.at),
    }


def _transfer_type(row: Movement) -> str:
    other = row.detail["other"]
    return f"MAIN_{other}" if row.detail["out"] else f"{other}_MAIN"


def _plain(amount: Decimal) -> str:
    """Without padding, as these endpoints write amounts."""
    return f"{amount.normalize():f}"


def _needed(call: Call, name: str, values: Iterable[str] | None = None) -> str:
    value = call.params.get(name, "")
    if not value or (values is not None and value not in values):
        raise VenueError("-1102", f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _of(call: Call, name: str, rows: Iterable[Movement]) -> Iterable[Movement]:
    return (row for row in rows if call.params.get(name) in (None, row.asset))


def _number(call: Call, name: str, default: int) -> int:
    value = call.params.get(name, str(default))
    if not value.isdigit():
        raise VenueError("-1100", f"Illegal characters found in parameter '{name}'.")
    return int(value)


def _moment(call: Call, name: str) -> datetime | None:
    return moment(_number(call, name, 0)) if name in call.params else None


def _cut(call: Call, rows: list[Any], default: int, most: int) -> list[Any]:
    offset = _number(call, "offset", 0)
    return rows[offset : offset + min(_number(call, "limit", default), most)]


def _page(call: Call, rows: list[Any], page: str, size: str, default: int, most: int) -> list[Any]:
    number, long = max(_number(call, page, 1), 1), min(_number(call, size, default), most)
    return rows[(number - 1) * long : number * long]
