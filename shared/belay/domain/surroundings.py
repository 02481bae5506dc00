"""What `belay doctor` finds beside the venue: the account as it is stored, and the stage it runs in. Asks nobody."""

import re
import shlex
from collections.abc import Collection, Iterable
from typing import NamedTuple

from belay.domain.account import Stop, StopLevel
from belay.domain.checkup import Finding, fail, listed, ok, warn
from belay.domain.record import Record


class Subscription(Record):
    """Somebody who is told of incidents. `endpoint` without what may be secret in it."""

    protocol: str
    endpoint: str
    confirmed: bool


class SwitchView(Record):
    """The kill switch as somebody reads it."""

    level: StopLevel
    reason: str


class Surroundings(Record):
    """What an operator's own rights show of a stage: who is told of incidents, and the switch as it is stored.

    None where that cannot be read, for the reason beside it.
    """

    subscriptions: tuple[Subscription, ...] | None
    unseen: str = ""
    switch: SwitchView | None
    unread: str = ""


class ProfileFacts(NamedTuple):
    """What a venue's profile means for an account. `fence` in words, `definitive`: it may prove absence."""

    fence: str
    definitive: bool
    second_attempt: bool
    market_buys: bool
    fee_quirks: str
    unverified: tuple[str, ...]


# --- the account -----------------------------------------------------------------------------------------------------


def judge_limits(missing: Iterable[str]) -> Finding:
    if names := ", ".join(missing):
        remedy = "State each in the account document: every entry is denied until then."
        return fail("limits", f"missing: {names}", remedy)
    return ok("limits", "all are stated")


def judge_stops(account: str, stops: Iterable[Stop]) -> Finding:
    """What is stopped of an account, by whom, and the command that lifts each stop."""
    standing = tuple(stops)
    if not standing:
        return ok("stops", "none")
    found = listed([f"{_stopped(stop)}: {stop.level} by {stop.author} ({stop.reason})" for stop in standing])
    commands = dict.fromkeys(_lifting(account, stop) for stop in standing)
    return warn("stops", found, f"Once the cause is dealt with: {listed(list(commands))}.")


def _stopped(stop: Stop) -> str:
    named = [part for part in (stop.strategy, stop.symbol) if part]
    return " in ".join(named) or "the whole account"


def _lifting(account: str, stop: Stop) -> str:
    if stop.incident:
        return _resolving(account, stop.incident)
    scope = {"--account": account, "--strategy": stop.strategy, "--symbol": stop.symbol}
    options = " ".join(f"{option} {shlex.quote(value)}" for option, value in scope.items() if value)
    return f"belay release {options} --reason ..."


def _resolving(account: str, incident_id: str) -> str:
    return f"belay incidents resolve {shlex.quote(incident_id)} --account {shlex.quote(account)} --reason ..."


def judge_incidents(account: str, incident_ids: Iterable[str]) -> Finding:
    """What waits for a person, by the ids of the open incidents."""
    waiting = list(incident_ids)
    if not waiting:
        return ok("incidents", "none is open")
    remedy = f"Read belay incidents list and do what it says; then {_resolving(account, waiting[0])}."
    return warn("incidents", f"{len(waiting)} open: {listed(waiting)}", remedy)


def judge_hosts(origins: Collection[str]) -> Finding:
    """Where a live account's requests go, and with them its keys: everything that may be asked, whole."""
    if not origins:
        remedy = "Correct the account document's options: each host is https, or http on this machine."
        return fail("hosts", "none that may be asked", remedy)
    told = ", ".join(origins)
    if any(origin.startswith("http:") for origin in origins):
        found = f"{told}; http is for tests: whoever holds that port reads the key's name and every request, whole"
        return warn("hosts", found, "Use https hosts for real money, or be sure that the port is your own program's.")
    return ok("hosts", told)


def judge_profile(profile: ProfileFacts, listed: Collection[str], held: Iterable[str]) -> tuple[Finding, ...]:
    """What the venue's profile promises, leaves open and does not know.

    Args:
        listed: the assets of the account's symbols.
        held: the assets that the venue account holds.
    """
    return (
        _fence(profile),
        ok("second attempt", "an exit that is proven absent is sent again")
        if profile.second_attempt
        else warn(
            "second attempt",
            "never: an exit that did not go out is not sent again",
            "Be ready to leave by hand when an exit_not_placed incident comes.",
        ),
        ok("market orders", "may buy a base quantity")
        if profile.market_buys
        else warn(
            "market orders",
            "a market buy of a base quantity is refused before it is sent",
            "Let the strategies buy with a limit price.",
        ),
        _fees(profile.fee_quirks, {asset for asset in held if asset not in listed}),
        warn(
            "unverified",
            ", ".join(profile.unverified),
            "Nobody has verified these parts of the venue's profile; start with small limits and watch the incidents.",
        )
        if profile.unverified
        else ok("unverified", "nothing"),
    )


def _fence(profile: ProfileFacts) -> Finding:
    if profile.definitive:
        return ok("fence", f"{profile.fence}; absence can be proven")
    remedy = "Be ready to look such orders up at the venue when an unknown_outcome incident comes."
    return warn("fence", f"{profile.fence}; absence cannot be proven, what is unknown stays so", remedy)


def _fees(quirks: str, unlisted: Iterable[str]) -> Finding:
    """A fee in an asset that the account does not list is a balance mismatch, which stops entries."""
    taken = sorted(asset for asset in unlisted if re.search(rf"\b{re.escape(asset)}\b", quirks))
    if taken:
        found = f"the account holds {taken[0]}, in which fees may be taken, and lists no symbol of it. {quirks}"
        remedy = f"Switch paying fees with {taken[0]} off at the venue: such a fee is a balance mismatch."
        return warn("fees", found, remedy)
    return ok("fees", quirks or "taken in quote or base currency")


# --- the stage -------------------------------------------------------------------------------------------------------


def judge_on_call(around: Surroundings, *, live: bool) -> Finding:
    """Whether somebody is told of incidents; of a live account's somebody must be."""
    judged, subscriptions = fail if live else warn, around.subscriptions
    if subscriptions is None:
        return judged("on-call", f"cannot be seen: {around.unseen}", "Allow yourself sns:ListSubscriptionsByTopic.")
    told = [f"{one.protocol} {one.endpoint}" for one in subscriptions if one.confirmed]
    waiting = [f"{one.protocol} {one.endpoint}" for one in subscriptions if not one.confirmed]
    if told:
        unheard = f"; not confirmed: {listed(waiting)}" if waiting else ""
        return ok("on-call", f"{listed(told)}{unheard}")
    if waiting:
        return judged("on-call", f"not confirmed: {listed(waiting)}", "Confirm it: open the link that was sent there.")
    return judged("on-call", "nobody is told of incidents", "Deploy with OnCallEndpoint, then confirm it.")


def judge_switch(around: Surroundings, read: SwitchView | None) -> Finding:
    """The switch as it is stored and, where the executor said so, as the executor reads it."""
    stored = around.switch
    if stored is None:
        remedy = "Write it with belay halt or belay release --reason ...: until then everything is halted."
        return fail("kill switch", f"cannot be read: {around.unread}", remedy)
    if read is not None and read.level is not stored.level:
        found = f"is {stored.level}, but the executor reads {read.level}: {read.reason}"
        return fail("kill switch", found, "Ask again; if it stays so, compare the executor's role with the stack's.")
    return ok("kill switch", f"{stored.level}: {stored.reason}" if stored.reason else str(stored.level))


def judge_gate(why_closed: str | None, age_seconds: int | None) -> Finding:
    """Whether a clean reconciliation is recent enough for entries."""
    age = "" if age_seconds is None else f", the last clean reconciliation began {age_seconds} s ago"
    if why_closed is None:
        return ok("gate", f"open{age}")
    remedy = "Entries wait. Look again in two minutes; then the reconciler's log says why its runs are not clean."
    return warn("gate", f"closed: {why_closed}{age}", remedy)
