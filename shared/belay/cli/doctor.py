"""What `belay doctor` and `belay venues` tell before an account trades, as plain documents. Changes nothing."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from belay.adapters.live.profiles import known_venues, load_profile, profile_of
from belay.adapters.live.profiles.model import CcxtProfile
from belay.cli import views
from belay.cli.desk import Desk
from belay.cli.operations import require_live
from belay.domain.checkup import Finding, Function, Level, fail, judge_keys, ok, refused, warn
from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import BelayError, InvalidInput, Unreadable
from belay.domain.surroundings import (
    ProfileFacts,
    SwitchView,
    judge_gate,
    judge_hosts,
    judge_incidents,
    judge_limits,
    judge_on_call,
    judge_profile,
    judge_stops,
    judge_switch,
)
from belay.workflows.doctor import Examined

type Document = dict[str, Any]


def doctor(desk: Desk, accounts: tuple[str, ...]) -> Document:
    """Examine the stage and these accounts: each function looks with its own key from its own place, and tells."""
    around = desk.surroundings()
    examined = [_examine_account(desk, name) for name in accounts]
    read = next((switch for _, switch in examined if switch is not None), None)
    live = any(account["mode"] == "live" for account, _ in examined)
    stage = [judge_on_call(around, live=live), judge_switch(around, read)]
    if not accounts:
        remedy = "Write one (see belay account example) and store it with belay account set FILE."
        stage.append(fail("accounts", "none is stored", remedy))
    accounts_told = [account for account, _ in examined]
    checks = [check for part in ({"checks": _dumped(stage)}, *accounts_told) for check in part["checks"]]
    levels = Counter(check["level"] for check in checks)
    told = {level.value: levels[level] for level in Level}
    return {
        "stage": desk.stage,
        "versions": views.versions(desk),
        "checks": _dumped(stage),
        "accounts": accounts_told,
        **told,
    }


def _dumped(findings: list[Finding]) -> list[Document]:
    return [finding.model_dump(mode="json") for finding in findings]


def _examine_account(desk: Desk, name: str) -> tuple[Document, SwitchView | None]:
    """Everything about one account, and how its executor reads the switch, if it said so."""
    configuration, findings = _stored_document(desk, name)
    findings.append(judge_stops(name, views.standing_stops(desk.ledger, name)))
    waiting = views.incidents(desk.ledger, (name,), resolved_too=False)
    findings.append(judge_incidents(name, (incident["incident_id"] for incident in waiting)))
    if configuration is None:
        return {"account": name, "venue": None, "mode": None, "checks": _dumped(findings)}, None
    document = configuration.document
    findings.append(judge_limits(views.missing_limits(document)))
    reconciler = _ask(desk.ask_reconciler, name, "reconciler", findings)
    executor = _ask(desk.ask_executor, name, "executor", findings)
    if document.mode == "live":
        findings += [_examine_keys(reconciler, executor), *_examine_hosts(document)]
        findings += _examine_profile(document, reconciler.held if reconciler else ())
    gate = views.gate(desk, configuration)
    findings.append(judge_gate(gate["reason"], gate["age_seconds"]))
    told = {"account": name, "venue": document.venue, "mode": document.mode, "checks": _dumped(findings)}
    return told, executor.switch if executor else None


def _stored_document(desk: Desk, name: str) -> tuple[Configuration | None, list[Finding]]:
    try:
        configuration = desk.ledger.configuration(name)
    except Unreadable as error:
        return None, [refused("document", error)]
    if configuration is None:
        return None, [fail("document", "none is stored", "Store one with belay account set FILE.")]
    try:
        if configuration.document.mode == "live":
            require_live(desk, configuration.document)
    except InvalidInput as error:
        return configuration, [refused("document", error)]
    if not configuration.understood:
        remedy = "Deploy that version again: this one only stops and cancels."
        return configuration, [fail("document", "is of a later version of Belay", remedy)]
    if unknown := ", ".join(configuration.document.unknown_fields):
        remedy = "Deploy the version that knows them, or store the document without them."
        return configuration, [warn("document", f"this version does not know {unknown}: entries wait", remedy)]
    return configuration, [ok("document", f"version {configuration.version} is valid")]


def _ask(
    ask: Callable[[Mapping[str, Any]], Document], account: str, function: Function, findings: list[Finding]
) -> Examined | None:
    """What a function finds; what keeps it from answering is a finding, too."""
    # An earlier version, which does not know the request, finds no records to act on.
    event = {"account": account, "doctor": {"function": function}, "Records": []}
    again = "See its log, and whether you may invoke it."
    try:
        answer = ask(event)
    except (BelayError, BotoCoreError, ClientError) as error:
        findings.append(fail(function, f"does not answer: {error}", again))
        return None
    if "error" in answer:
        findings.append(fail(function, f"{answer['error']}: {answer['problem']}", answer["remedy"]))
        return None
    if "findings" not in answer:
        remedy = "Deploy this version of the stack and ask again."
        findings.append(fail(function, "its deployed version cannot examine anything yet", remedy))
        return None
    examined = Examined.model_validate(answer)
    findings += (finding for finding in examined.findings if finding not in findings)  # both see the same region
    return examined


def _examine_keys(reconciler: Examined | None, executor: Examined | None) -> Finding:
    (one, its), (other, others) = (
        (found.key, found.venue_account) if found else (None, None) for found in (reconciler, executor)
    )
    return judge_keys(one, other, (its, others))


def _examine_hosts(document: AccountDocument) -> tuple[Finding, ...]:
    """Nothing where there is no such venue: then the document has been found wanting."""
    # Only where there is a live account: its transport takes time to import.
    from belay.adapters.live.connect import origins_of

    try:
        return (judge_hosts(origins_of(document)),)
    except InvalidInput:
        return ()


def _examine_profile(document: AccountDocument, held: tuple[str, ...]) -> tuple[Finding, ...]:
    """Nothing where there is no profile: then the document has been found wanting."""
    try:
        profile = profile_of(document)
    except InvalidInput:
        return ()
    facts = ProfileFacts(
        fence=_fence(profile),
        definitive=profile.fence is not None and profile.fence.definitive,
        second_attempt=profile.second_attempt != "never",
        market_buys=profile.market_buys,
        fee_quirks=profile.fee_quirks,
        unverified=profile.unverified,
    )
    return judge_profile(facts, document.assets, held)


def _fence(profile: CcxtProfile) -> str:
    if profile.fence is None:
        return "none"
    return f"{profile.fence.kind.replace('_', ' ')} of {profile.fence.window_seconds} s"


def venues() -> list[Document]:
    """The venues that have a profile, in short."""
    return [_in_short(load_profile(name)) for name in known_venues()]


def _in_short(profile: CcxtProfile) -> Document:
    return {
        "venue": profile.name,
        "unsupported": profile.unsupported,
        "uniqueness": profile.uniqueness,
        "fence": _fence(profile),
        "absence_provable": profile.fence is not None and profile.fence.definitive,
        "second_attempt": profile.second_attempt,
        "unverified": list(profile.unverified),
    }


def venue(name: str) -> Document:
    """Everything that concerns whoever trades there.

    Raises:
        InvalidInput: it has no profile.
    """
    profile = load_profile(name)
    return {
        **_in_short(profile),
        "market_buys": profile.market_buys,
        "sandbox": profile.sandbox,
        "credentials": list(profile.credentials),
        "lookups": [
            {"method": lookup.method, "retention_seconds": lookup.retention_seconds} for lookup in profile.lookups
        ],
        "fee_quirks": profile.fee_quirks,
        "notes": list(profile.notes),
    }
