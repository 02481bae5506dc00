"""Examine one account before it trades: what its key, its venue and its markets say. Changes nothing anywhere."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from belay.domain.checkup import (
    Access,
    DoctorRequest,
    Finding,
    Function,
    fail,
    judge_access,
    judge_balances,
    judge_clock,
    judge_orders,
    judge_refusal,
    judge_size,
    ok,
    warn,
)
from belay.domain.errors import AccountRefused, BelayError, InvalidInput, SymbolUnavailable, VenueUnavailable
from belay.domain.identity import of_this_account
from belay.domain.record import Record, plain
from belay.domain.surroundings import SwitchView
from belay.domain.venues import VenueOrder, readable
from belay.ports import Services
from belay.workflows.session import Session, open_session

ASK_AGAIN = "Ask again; if it stays so, see the venue's status page and the function's log."


class Examined(Record):
    """What one function found. `key`: the digest of its key; `held`: the assets at the venue; `switch`: as the executor
    reads it; `venue_account`: the account that the key is of, by the venue's own id."""

    account: str
    findings: tuple[Finding, ...]
    key: str | None = None
    held: tuple[str, ...] = ()
    switch: SwitchView | None = None
    venue_account: str | None = None


def answer(event: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Examine what an event like `{"account": "paper", "doctor": {}}` asks for; what stands against it is data, too."""
    try:
        examined = examine(str(event.get("account", "")), DoctorRequest.parse(event["doctor"]), services)
    except InvalidInput as error:
        return {"error": error.field, "problem": error.problem, "remedy": error.remedy}
    except BelayError as error:
        return {"error": "doctor", "problem": str(error), "remedy": ASK_AGAIN}
    return examined.model_dump(mode="json")


def examine(account: str, request: DoctorRequest, services: Services) -> Examined:
    """Everything that can be seen from the place, and with the key, of the function that is asked.

    Raises:
        InvalidInput: the account has no document, or one that names no venue that can be traded.
    """
    session = open_session(services, account)
    access, findings = _access(session, request.function)
    key = access.key if access else None
    if request.function == "executor":
        read = services.kill_switch.read()
        switch = SwitchView(level=read.level, reason=read.reason)
        return Examined(account=account, findings=tuple(findings), key=key, switch=switch, venue_account=_of(access))
    held: tuple[str, ...] = ()
    if any(finding.check == "region" for finding in findings) or not _tells_time(session, findings):
        remedy = "Put right what is said above and ask again."
        findings.append(warn("not checked", "clock, symbols, sizes, orders and balances", remedy))
    else:
        findings += _markets(session, access.closed if access else ())
        if access is not None:
            held = _holdings(session, findings)
        else:
            findings.append(warn("not checked", "orders and balances", "Put the key right and ask again."))
    return Examined(account=account, findings=tuple(findings), key=key, held=held, venue_account=_of(access))


def _of(access: Access | None) -> str | None:
    return access.account if access else None


def _access(session: Session, function: Function) -> tuple[Access | None, list[Finding]]:
    """What the function's key may do, None where that cannot be seen. A paper account has no key to speak of."""
    try:
        access = session.venue.access()
    except AccountRefused as error:
        return None, [judge_refusal(function, error.code, error.remedy)]
    except VenueUnavailable as error:
        return None, [fail(f"{function} key", str(error), ASK_AGAIN)]
    return access, list(judge_access(function, access)) if session.document.mode == "live" else []


def _tells_time(session: Session, findings: list[Finding]) -> bool:
    """Whether the venue can be reached at all; on a replay account there is only one clock."""
    try:
        offset = session.market_data.time() - session.clock.now()
    except VenueUnavailable as error:
        findings.append(fail("venue", f"cannot be reached: {error}", ASK_AGAIN))
        return False
    paper = session.document.paper
    if paper is None or not paper.replay:
        bound = session.document.limits.clock_offset_seconds
        findings.append(judge_clock(Decimal(str(offset.total_seconds())), bound))
    return True


def _markets(session: Session, closed: Iterable[str]) -> Iterable[Finding]:
    """Each symbol: is it listed and open, and do the limits leave room for an entry and its exit?"""
    market_data, limits = session.market_data, session.document.limits
    for symbol in session.document.symbols:
        check = f"symbol {symbol}"
        try:
            market, price = market_data.market(symbol), market_data.price(symbol).value
        except SymbolUnavailable as error:
            if symbol in closed:
                yield fail(
                    check, "is listed, but not open for trading", "Wait for the venue to open it, or take it out."
                )
            else:
                yield fail(check, str(error), "Correct the account document's symbols, or take this one out.")
            continue
        except InvalidInput as error:
            yield fail(check, error.problem, "Correct the account document's symbols, or take this one out.")
            continue
        except VenueUnavailable as error:
            yield fail(check, str(error), ASK_AGAIN)
            continue
        if symbol in closed:
            yield fail(check, "is listed, but not open for trading", "Wait for the venue to open it, or take it out.")
        else:
            yield ok(check, f"listed, at {plain(price)}")
        if size := judge_size(market, price, limits):
            yield size


def _holdings(session: Session, findings: list[Finding]) -> tuple[str, ...]:
    """What lies at the venue and is nobody's; the assets that are held."""
    try:
        account = session.services.ledger.account(session.document.account)
        orders = readable(session.venue.open_orders())
        balances = of_this_account(account, session.venue.balances())
    except VenueUnavailable as error:
        findings.append(fail("balances", f"orders and balances cannot be read: {error}", ASK_AGAIN))
        return ()
    findings.append(judge_orders([seen for seen in orders if _foreign(seen, session)]))
    findings += judge_balances(session.document, account, balances.total)
    return tuple(sorted(asset for asset, amount in balances.total.items() if amount > 0))


def _foreign(seen: VenueOrder, session: Session) -> bool:
    ledger, account = session.services.ledger, session.document.account
    order_id = seen.client_order_id or ledger.order_of_venue_id(account, seen.symbol, seen.venue_order_id)
    order = ledger.order(order_id) if order_id else None
    return order is None or order.account != account
