"""What reconciliation remembers in every ledger: proofs, cursors, loose trades, cancels, suspicions, incidents."""

import pytest

from belay.domain.errors import Conflict
from belay.domain.incidents import IncidentKind
from belay.ports import CancelRequest, Cursor, Ledger, Suspicion
from tests.builders import (
    ACCOUNT,
    FINGERPRINT,
    NOW,
    SYMBOL,
    make_account,
    make_entry,
    make_flow,
    make_incident,
    make_proof,
    make_stop,
    make_trade,
    seconds,
)

# --- proofs ---------------------------------------------------------------------------------------


def test_a_proof_is_read_back_under_its_fingerprint_only(ledger: Ledger) -> None:
    ledger.store_proof(make_proof())
    assert ledger.proof(ACCOUNT, FINGERPRINT) == make_proof()
    assert ledger.proof(ACCOUNT, "another") is None
    assert ledger.proof("other", FINGERPRINT) is None


def test_a_newer_proof_replaces_an_older_one(ledger: Ledger) -> None:
    ledger.store_proof(make_proof())
    newer = make_proof("run-2", completed_at=NOW + seconds(60))
    ledger.store_proof(newer)
    assert ledger.proof(ACCOUNT, FINGERPRINT) == newer


def test_a_proof_of_the_same_instant_replaces_the_earlier_one_as_on_a_replay_clock(ledger: Ledger) -> None:
    ledger.store_proof(make_proof(completed_at=NOW))
    ledger.store_proof(make_proof("run-2", completed_at=NOW))
    assert ledger.proof(ACCOUNT, FINGERPRINT) == make_proof("run-2", completed_at=NOW)


def test_a_proof_older_than_the_stored_one_is_refused(ledger: Ledger) -> None:
    ledger.store_proof(make_proof(completed_at=NOW))
    with pytest.raises(Conflict) as lost:
        ledger.store_proof(make_proof("run-2", completed_at=NOW - seconds(1)))
    assert lost.value.what == "proof"
    assert ledger.proof(ACCOUNT, FINGERPRINT) == make_proof(completed_at=NOW)


def test_a_proof_is_refused_when_the_account_has_moved_since_it_began(ledger: Ledger) -> None:
    ledger.save_account(make_account().with_stop(make_stop()))
    with pytest.raises(Conflict) as lost:
        ledger.store_proof(make_proof(account_version=0))
    assert lost.value.what == "account"
    assert ledger.proof(ACCOUNT, FINGERPRINT) is None
    ledger.store_proof(make_proof(account_version=1))


def test_a_proof_of_an_account_that_does_not_exist_yet_is_refused_at_any_later_version(ledger: Ledger) -> None:
    with pytest.raises(Conflict):
        ledger.store_proof(make_proof(account_version=1))


def test_storing_the_same_proof_again_succeeds(ledger: Ledger) -> None:
    ledger.store_proof(make_proof())
    ledger.store_proof(make_proof())


def test_the_last_proof_is_the_newest_of_all_deployments(ledger: Ledger) -> None:
    assert ledger.last_proof(ACCOUNT) is None
    ledger.store_proof(make_proof(completed_at=NOW))
    ledger.store_proof(make_proof("run-2", fingerprint="next", completed_at=NOW + seconds(60)))
    assert ledger.last_proof(ACCOUNT) == ledger.proof(ACCOUNT, "next")
    assert ledger.last_proof("other") is None


def test_a_proof_older_than_another_deployments_is_refused(ledger: Ledger) -> None:
    ledger.store_proof(make_proof("run-2", fingerprint="next", completed_at=NOW + seconds(60)))
    with pytest.raises(Conflict) as lost:
        ledger.store_proof(make_proof(completed_at=NOW))
    assert lost.value.what == "proof"
    assert ledger.proof(ACCOUNT, FINGERPRINT) is None


# --- flows ----------------------------------------------------------------------------------------


def test_a_flow_is_counted_once_however_often_it_is_recorded(ledger: Ledger) -> None:
    flow = make_flow(USD="100")
    ledger.record_flow(flow, make_account().with_flow(flow))
    ledger.record_flow(flow, make_account().with_flow(flow))  # its answer was lost
    with pytest.raises(Conflict):
        ledger.record_flow(make_flow(USD="200"), ledger.account(ACCOUNT).with_flow(flow))
    assert ledger.flow(ACCOUNT, flow.flow_id) == flow
    assert ledger.flow(ACCOUNT, "deposit:2") is None
    assert ledger.account(ACCOUNT).external == {"USD": 100}


def test_a_flow_is_refused_with_an_account_that_has_moved(ledger: Ledger) -> None:
    ledger.save_account(make_account().with_stop(make_stop()))
    with pytest.raises(Conflict) as lost:
        ledger.record_flow(make_flow(), make_account().with_flow(make_flow()))
    assert lost.value.what == "account"
    assert ledger.flows(ACCOUNT, 10) == ()


def test_a_flow_is_refused_where_another_of_the_same_amount_has_moved_the_account(ledger: Ledger) -> None:
    first, other = make_flow("deposit:1", USD="25"), make_flow("deposit:2", USD="25")
    ledger.record_flow(first, make_account().with_flow(first))
    with pytest.raises(Conflict) as lost:
        ledger.record_flow(other, make_account().with_flow(other))
    assert lost.value.what == "account"
    assert ledger.flows(ACCOUNT, 10) == (first,)


def test_the_latest_flows_come_newest_first(ledger: Ledger) -> None:
    flows = [make_flow(f"deposit:{number}").model_copy(update={"at": NOW + seconds(number)}) for number in (2, 1, 3)]
    for flow in flows:
        ledger.record_flow(flow, ledger.account(ACCOUNT).with_flow(flow))
    assert [flow.flow_id for flow in ledger.flows(ACCOUNT, 2)] == ["deposit:3", "deposit:2"]


# --- cursors and loose trades ---------------------------------------------------------------------


def test_a_cursor_advances_and_never_goes_back(ledger: Ledger) -> None:
    assert ledger.cursor(ACCOUNT, SYMBOL) is None
    first = Cursor(symbol=SYMBOL, read_until=NOW, recent_keys=("a", "b"))
    later = Cursor(symbol=SYMBOL, read_until=NOW + seconds(0.000001), recent_keys=("b",))
    for cursor in (first, later, first):
        ledger.store_cursor(ACCOUNT, cursor)
    assert ledger.cursor(ACCOUNT, SYMBOL) == later
    assert ledger.cursor(ACCOUNT, "ETH/USD") is None


def test_a_cursor_that_stands_still_takes_the_newer_keys(ledger: Ledger) -> None:
    ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW))
    ledger.store_cursor(ACCOUNT, Cursor(symbol=SYMBOL, read_until=NOW, recent_keys=("a",)))
    assert ledger.cursor(ACCOUNT, SYMBOL) == Cursor(symbol=SYMBOL, read_until=NOW, recent_keys=("a",))


def test_unattributed_trades_are_kept_once_each_in_the_order_of_venue_time(ledger: Ledger) -> None:
    late, early = make_trade("T1", at=NOW + seconds(9)), make_trade("T2", at=NOW)
    for trade in (late, early, late):
        ledger.store_unattributed(ACCOUNT, trade)
    assert ledger.unattributed_trades(ACCOUNT) == (early, late)
    assert ledger.unattributed_trades("other") == ()


# --- cancels --------------------------------------------------------------------------------------


def make_cancel(order_id: str, at: float = 0) -> CancelRequest:
    return CancelRequest(account=ACCOUNT, order_id=order_id, reason="stale", requested_at=NOW + seconds(at))


def test_cancel_requests_stand_oldest_first_until_they_are_cleared(ledger: Ledger) -> None:
    ledger.request_cancel(make_cancel("a", 5))
    ledger.request_cancel(make_cancel("b", 1))
    assert ledger.cancel_requests(ACCOUNT) == (make_cancel("b", 1), make_cancel("a", 5))
    ledger.clear_cancel(ACCOUNT, "b")
    ledger.clear_cancel(ACCOUNT, "never requested")
    assert ledger.cancel_requests(ACCOUNT) == (make_cancel("a", 5),)


# --- suspicions and incidents ---------------------------------------------------------------------


def test_the_last_suspicion_is_kept(ledger: Ledger) -> None:
    assert ledger.suspicion(ACCOUNT) is None
    ledger.store_suspicion(Suspicion(account=ACCOUNT, first_seen={"balance_mismatch:USD": NOW}))
    last = Suspicion(account=ACCOUNT, first_seen={})
    ledger.store_suspicion(last)
    assert ledger.suspicion(ACCOUNT) == last


def test_an_incident_opens_once_however_often_it_is_seen(ledger: Ledger) -> None:
    assert ledger.open_incident(make_incident())
    assert not ledger.open_incident(make_incident(actual="9980 USD", opened_at=NOW + seconds(60)))
    assert ledger.incidents(ACCOUNT) == (make_incident(),)


def test_a_resolved_incident_opens_again_when_it_is_seen_again(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    ledger.resolve_incident(ACCOUNT, make_incident().incident_id, "a deposit, rebased")
    (resolved,) = ledger.incidents(ACCOUNT)
    assert (resolved.status, resolved.resolution) == ("resolved", "a deposit, rebased")
    again = make_incident(opened_at=NOW + seconds(60))
    assert ledger.open_incident(again)
    assert ledger.incidents(ACCOUNT) == (again,)


def test_a_resolution_is_not_overwritten_by_another(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    ledger.resolve_incident(ACCOUNT, make_incident().incident_id, "the first")
    ledger.resolve_incident(ACCOUNT, make_incident().incident_id, "the second")
    (resolved,) = ledger.incidents(ACCOUNT)
    assert resolved.resolution == "the first"


def test_resolving_an_incident_that_was_never_opened_does_nothing(ledger: Ledger) -> None:
    ledger.resolve_incident(ACCOUNT, "balance_mismatch:USD", "nothing to see")
    assert ledger.incidents(ACCOUNT) == ()


def test_an_open_incident_says_what_is_so_by_now(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    assert ledger.follow_incident(make_incident(actual="9980 USD"))
    assert ledger.open_incidents(ACCOUNT) == (make_incident(actual="9980 USD"),)


def test_an_incident_that_ended_or_opened_again_meanwhile_is_not_written_over(ledger: Ledger) -> None:
    read = make_incident()
    assert not ledger.follow_incident(read)
    ledger.open_incident(read)
    ledger.resolve_incident(ACCOUNT, read.incident_id, "found", "anna", NOW)
    assert not ledger.follow_incident(make_incident(actual="9980 USD"))
    again = make_incident(opened_at=NOW + seconds(60))
    ledger.open_incident(again)
    assert not ledger.follow_incident(make_incident(actual="9980 USD"))
    assert ledger.open_incidents(ACCOUNT) == (again,)


def test_a_resolution_says_who_and_when(ledger: Ledger) -> None:
    ledger.open_incident(make_incident())
    ledger.resolve_incident(ACCOUNT, make_incident().incident_id, "found", "anna", NOW)
    (resolved,) = ledger.incidents(ACCOUNT)
    assert (resolved.resolved_by, resolved.resolved_at) == ("anna", NOW)
    assert ledger.open_incidents(ACCOUNT) == ()


def test_the_history_of_an_incident_is_appended_to_and_is_its_own(ledger: Ledger) -> None:
    first, second = make_entry(), make_entry(at=NOW + seconds(1), what="resolved", author="anna", reason="found")
    for entry in (second, first, first, make_entry(incident_id="balance_mismatch:USD#2")):
        ledger.append_incident_entry(entry)
    assert ledger.incident_history(ACCOUNT, first.incident_id) == (first, second)


def test_the_loose_trades_of_a_symbol_are_listed_latest_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    trades = [make_trade(f"T{number}", at=NOW + seconds(number)) for number in range(4)]
    for trade in (*trades, make_trade("E1", symbol="ETH/USD")):
        ledger.store_unattributed(ACCOUNT, trade)
    assert ledger.loose_trades(ACCOUNT, SYMBOL, 2) == (trades[3], trades[2])
    ledger.drop_unattributed(ACCOUNT, trades[3])
    assert ledger.loose_trades(ACCOUNT, SYMBOL, None) == tuple(trades[2::-1])
    assert len(ledger.unattributed_trades(ACCOUNT)) == 4


def test_incidents_are_listed_newest_last(ledger: Ledger) -> None:
    subjects = [("USD", 5), ("BTC", 1), ("ETH", 9)]
    for subject, at in subjects:
        ledger.open_incident(make_incident(subject=subject, opened_at=NOW + seconds(at)))
    ledger.open_incident(make_incident(kind=IncidentKind.MISSED_SLOT, account="other"))
    assert [incident.subject for incident in ledger.incidents(ACCOUNT)] == ["BTC", "USD", "ETH"]


def test_one_incident_is_found_by_its_id_whether_open_or_resolved(ledger: Ledger) -> None:
    incident = make_incident()
    assert ledger.incident(ACCOUNT, incident.incident_id) is None
    ledger.open_incident(incident)
    assert ledger.incident(ACCOUNT, incident.incident_id) == incident
    ledger.resolve_incident(ACCOUNT, incident.incident_id, "explained")
    resolved = ledger.incident(ACCOUNT, incident.incident_id)
    assert resolved is not None
    assert resolved.status == "resolved"
