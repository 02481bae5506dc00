"""What an operator may change: stops, switch, documents; for the rest the reconciler is asked. Conditional writes,
repeated on conflict."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from belay.adapters.live.profiles import profile_of
from belay.cli.desk import Desk
from belay.cli.targets import Target
from belay.cli.views import standing_stops
from belay.domain.account import Account, OperatorStops, Stop, StopLevel, VenueIdentity
from belay.domain.adoption import AdoptRequest
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import BelayError, Conflict, InvalidInput, Unreadable
from belay.domain.identity import HOSTS, differing, known_identity
from belay.domain.record import Record, iso
from belay.ports import Ledger

WRITE_ATTEMPTS = 20
type Document = dict[str, Any]


class Incomplete(BelayError):
    """A stop of everything that did not reach everything; says what is stopped and what is not."""


def halt_everything(desk: Desk, level: StopLevel, reason: str, author: str) -> Document:
    """Set the switch, before anything is read, and stop every account: then no claim on one can commit.

    Raises:
        Incomplete: names what could not be stopped.
    """
    failures = Failures()
    failures.kept("the switch", lambda: desk.switch.write(level, reason, author, desk.now()))
    names = failures.kept("the list of accounts", desk.ledger.accounts) or ()
    stopped = _halt_each(desk, names, level, reason, author, Target(), failures)
    return {"switch": {"level": level, "reason": reason}, **stopped}


def halt_accounts(
    desk: Desk, accounts: Iterable[str], level: StopLevel, reason: str, author: str, target: Target
) -> Document:
    """Stop the same of each account; tells what may still be on its way to the venue.

    Raises:
        Incomplete: names the accounts in which it could not be stopped.
    """
    return _halt_each(desk, accounts, level, reason, author, target, Failures())


class Failures(list[str]):
    """What could not be stopped, and why: a part that fails does not keep the others from being stopped."""

    def kept[T](self, what: str, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except Exception as error:
            self.append(f"{what} ({error})")
            return None


def _halt_each(
    desk: Desk,
    accounts: Iterable[str],
    level: StopLevel,
    reason: str,
    author: str,
    target: Target,
    failures: Failures,
) -> Document:
    def stop(account: str) -> Document:
        return _halt(desk, account, level, reason, author, target)

    done = [one for name in accounts if (one := failures.kept(f"account {name}", partial(stop, name)))]
    if failures:
        stopped = ", ".join(one["account"] for one in done) or "none"
        raise Incomplete(f"NOT everything is stopped: failed for {'; '.join(failures)}; accounts stopped: {stopped}")
    return {"accounts": done}


def _halt(desk: Desk, account: str, level: StopLevel, reason: str, author: str, target: Target) -> Document:
    stop = Stop(level=level, **target._asdict(), reason=reason, author=author, at=desk.now())
    change_stops(desk.ledger, account, lambda held: held.with_stop(stop))
    return {
        "account": account,
        "stop": stop.model_dump(mode="json"),
        # Read after the stop is stored: every claim that it did not prevent is there.
        "last_outstanding_fence": _fence_of(desk.ledger, account),
    }


def _fence_of(ledger: Ledger, name: str) -> str | None:
    try:
        return last_outstanding_fence(ledger, ledger.account(name))
    except Unreadable:
        return "unbounded"  # the stop stands all the same


def last_outstanding_fence(ledger: Ledger, account: Account) -> str | None:
    """Until when (venue time) the venue may still accept a request claimed before `account` was read.

    "unbounded" where a request has no fence; None where every outcome is known.
    """
    unresolved = [ledger.order(held.order_id) for held in account.reservations.values() if held.unresolved]
    fences = [order.attempt.fence_at if order and order.attempt else None for order in unresolved]
    known = [fence for fence in fences if fence is not None]
    if len(known) < len(fences):
        return "unbounded"
    return iso(max(known)) if known else None


def release_everything(desk: Desk, reason: str, author: str) -> Document:
    """Lift the operators' stops on whole accounts, then the switch; incidents' stops stay."""
    accounts = [release_account(desk, name, Target()) for name in desk.ledger.accounts()]
    desk.switch.write(StopLevel.RUNNING, reason, author, desk.now())
    return {"switch": _switch(desk), "accounts": accounts}


def release_accounts(desk: Desk, accounts: Iterable[str], target: Target) -> Document:
    """Lift the operators' stops of exactly this in each account; says how the switch stands, which it leaves alone."""
    released = [release_account(desk, name, target) for name in accounts]
    return {"switch": _switch(desk), "accounts": released}


def release_account(desk: Desk, account: str, target: Target) -> Document:
    """Lift the operators' stops of exactly this; tells which others still stand and why."""
    before = standing_stops(desk.ledger, account)

    def lifted(held: OperatorStops) -> OperatorStops:
        kept = tuple(stop for stop in held.stops if stop.scope != target)
        return held.changed(kept) if kept != held.stops else held

    change_stops(desk.ledger, account, lifted)
    return _released(account, before, standing_stops(desk.ledger, account))


def is_stopped(ledger: Ledger, account: str, target: Target) -> bool:
    """Whether an operator's stop is of exactly this."""
    return any(stop.scope == target for stop in ledger.operator_stops(account).stops)


def _released(account: str, before: tuple[Stop, ...], after: tuple[Stop, ...]) -> Document:
    return {
        "account": account,
        "released": [stop.model_dump(mode="json") for stop in before if stop not in after],
        "remaining": [stop.model_dump(mode="json") for stop in after],
    }


def _switch(desk: Desk) -> Document:
    return desk.switch.read().model_dump(mode="json")


def adopt(desk: Desk, account: str, request: AdoptRequest) -> Document:
    """Have the reconciler adopt what is asked for, or list what could be adopted: it can read the venue.

    Raises:
        InvalidInput: something of it cannot be adopted.
    """
    return ask(desk, account, "adopt", request)


def ask(desk: Desk, account: str, name: str, request: Record | Document) -> Document:
    """What the reconciler answers to a request of this name.

    Raises:
        InvalidInput: it refuses, and has changed nothing.
    """
    wish = request.model_dump(mode="json", exclude_defaults=True) if isinstance(request, Record) else request
    answer = desk.ask_reconciler({"account": account, name: wish})
    if "error" in answer:
        raise InvalidInput(answer["error"], answer["problem"], answer["remedy"])
    return answer


def account_of(desk: Desk, order_id: str) -> str:
    """The account of an order.

    Raises:
        InvalidInput: the ledger has no such order.
    """
    order = desk.ledger.order(order_id)
    if order is None:
        raise InvalidInput("ORDER", f"the ledger has no order {order_id}", "See `belay orders --open`.")
    return order.account


def change_account(ledger: Ledger, name: str, change: Callable[[Account], Account]) -> None:
    """Read, change, write; again when someone else wrote meanwhile. What is not changed is not written."""
    _change(lambda: ledger.account(name), change, ledger.save_account, f"account {name}")


def change_stops(ledger: Ledger, name: str, change: Callable[[OperatorStops], OperatorStops]) -> None:
    """The same for the operators' stops of an account."""
    _change(lambda: ledger.operator_stops(name), change, ledger.save_operator_stops, f"the stops of account {name}")


def _change[T](read: Callable[[], T], change: Callable[[T], T], write: Callable[[T], None], what: str) -> None:
    for _ in range(WRITE_ATTEMPTS):
        held = read()
        changed = change(held)
        if changed is held:
            return
        try:
            write(changed)
        except Conflict:
            continue
        return
    raise Conflict(what)


def set_document(desk: Desk, document: AccountDocument, author: str, same_venue: str = "") -> Document:
    """Store a document as the account's next version, unless it equals the current one.

    Args:
        same_venue: why hosts that differ from those the account's history is about are the same venue. Nothing is sent
            there before the reconciler has found the account's balances there.

    Raises:
        InvalidInput: a live account leaves out what must be said, a symbol that is still in use is missing, or it is
            another account at a venue than the one that the history is about.
    """
    if document.mode == "live":
        require_live(desk, document)
    account = desk.ledger.account(document.account)
    stored = desk.ledger.configuration(document.account)
    known = known_identity(account, stored.document if stored else None)
    _require_same_identity(known, document, same_venue)
    if account.identity is None and differing(
        known, document
    ):  # or nothing would be left to compare, and to go back to
        change_account(
            desk.ledger, document.account, lambda held: held if held.identity else held.bumped(identity=known)
        )
    in_use = account.held_symbols() | {held.symbol for held in account.reservations.values()}
    if missing := sorted(in_use - set(document.symbols)):
        problem = f"{missing[0]} is missing, but has a position or an open order"
        raise InvalidInput("account.symbols", problem, "Leave it in until nothing is held or open in it.")
    for _ in range(WRITE_ATTEMPTS):
        current = desk.ledger.configuration(document.account)
        if current is not None and current.document == document:
            return {"account": document.account, "version": current.version, "stored": False}
        version = current.version + 1 if current else 1
        following = Configuration(version=version, document=document, author=author, stored_at=desk.now())
        try:
            desk.ledger.store_configuration(following)
        except Conflict:
            continue
        return {"account": document.account, "version": version, "stored": True}
    raise Conflict(f"account {document.account}")


def _require_same_identity(known: VenueIdentity | None, document: AccountDocument, same_venue: str) -> None:
    field = differing(known, document)
    if field is None or (field == HOSTS and same_venue):
        return
    otherwise = " If it is the same venue under another host, say so with --same-venue REASON." * (field == HOSTS)
    problem = f"means another account at a venue than {document.account} has its history with"
    raise InvalidInput(field, problem, f"Give the other account a name of its own.{otherwise}")


def confirm_venue(desk: Desk, account: str, reason: str, author: str) -> Document:
    """Have the reconciler look whether the hosts of the stored document are the same venue, and record that they are.

    Raises:
        InvalidInput: what is there is not what the account has.
    """
    return ask(desk, account, "same_venue", {"reason": reason, "author": author})


def require_live(desk: Desk, document: AccountDocument) -> None:
    """A live account states everything, at a venue of which something is known.

    Raises:
        InvalidInput: names the first thing that is missing.
    """
    document.require_live(desk.stage)
    profile_of(document)
