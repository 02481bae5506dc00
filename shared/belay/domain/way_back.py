"""The way back of every incident: what ends it by itself, the command that does, and the test that goes there and back.

One table, which the command, the alerts and the runbook print. Knows texts, runs nothing.
"""

import shlex
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from belay.domain.incidents import BY_ANOTHER_EXIT, LEAVES, WAS_NEVER_SENT, WITHIN_A_DAY, Incident, IncidentKind
from belay.domain.record import plain

K = IncidentKind
REASON = '--reason "…"'
RESOLVE = f"belay incidents resolve {{incident}} {REASON}"


class Way(NamedTuple):
    """`automatic`: what ends it by itself; empty where nothing does. `commands` with what is known of the incident in
    braces; what a person has to fill in stands in capitals. `test` goes there and back. `unsent`: the commands instead
    where the order was never sent, `leaving` where another exit of the position is on its way, `passing` where it may
    be over within a day."""

    automatic: str
    commands: tuple[str, ...]
    test: str
    unsent: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()


WAYS: dict[IncidentKind, Way] = {
    K.INVALID_EVENT: Way("", (RESOLVE,), "test_an_event_that_was_refused_is_over_once_a_person_says_so"),
    K.UNKNOWN_OUTCOME: Way(
        "the venue shows the order, or its absence is proven",
        (
            "belay resolve {order}",
            f"belay resolve {{order}} --absent {REASON}",
            f"belay resolve {{order}} --filled rows.json {REASON}",
        ),
        "test_r18_an_unknown_order_ends_by_a_persons_word_and_its_symbol_takes_entries_again",
    ),
    K.UNKNOWN_VENUE_ORDER: Way(
        "the order is no longer open at the venue",
        ("belay adopt", "belay adopt --strategy STRATEGY --order CLIENT_ORDER_ID"),
        "test_adopted_balances_and_orders_fill_and_the_ledger_equals_the_venue",
    ),
    K.MISSING_ORDER: Way(
        "the venue shows the order again",
        ("belay resolve {order}", f"belay resolve {{order}} --cancelled {REASON}"),
        "test_r17_a_working_order_that_the_venue_lost_is_called_cancelled",
    ),
    K.BALANCE_MISMATCH: Way(
        "the venue's records, or a trade, explain the difference",
        ("belay rebase", f"belay rebase --asset {{asset}}{{amount}} {REASON}"),
        "test_a_balance_that_no_record_explains_is_taken_by_the_command_that_its_incident_prints",
    ),
    K.OVERFILL: Way("", ("belay explain {order}", RESOLVE), "test_an_overfill_is_over_once_a_person_says_so"),
    K.DUPLICATE_VENUE_ORDER: Way(
        "", ("belay explain {order}", RESOLVE), "test_a_second_venue_order_is_over_once_a_person_says_so"
    ),
    K.ORDER_MISMATCH: Way(
        "",
        ("belay resolve {order}", f"belay resolve {{order}} {REASON}"),
        "test_r17_an_order_that_was_changed_at_the_venue_is_taken_as_it_is",
        unsent=(RESOLVE,),
    ),
    K.UNATTRIBUTED_TRADE: Way(
        "the trade turns out to be one of our orders'",
        (
            "belay trades list",
            f"belay trades foreign --symbol {{symbol}} {REASON}",
            f"belay trades attribute TRADE --strategy STRATEGY {REASON}",
            "belay adopt --strategy STRATEGY --order CLIENT_ORDER_ID",
        ),
        "test_r15_a_trade_by_hand_that_is_called_foreign_leaves_a_clean_account",
    ),
    K.WRONG_ABSENCE_PROOF: Way(
        "", ("belay explain {order}", RESOLVE), "test_a_wrong_proof_of_absence_is_over_once_a_person_says_so"
    ),
    K.EXIT_NOT_PLACED: Way(
        "nothing of it is left to sell",
        ("belay order --symbol {symbol} --side sell --quantity all --strategy {strategy}", RESOLVE),
        "test_an_exit_that_did_not_go_out_is_sold_by_hand",
        leaving=("belay orders --open", RESOLVE),
    ),
    K.VENUE_CONFIGURATION: Way(
        "what was refused is read again",
        ("belay doctor", RESOLVE),
        "test_it_ends_by_itself_once_the_venue_is_read_again",
    ),
    K.VENUE_UNREACHABLE: Way(
        "the venue is read again", (), "test_a_part_that_stays_unread_is_an_incident_too_and_ends_by_itself"
    ),
    K.CLOCK_OFFSET: Way(
        "the clocks agree again", (), "test_clocks_that_differ_are_one_incident_until_they_agree_again"
    ),
    K.MISSED_SLOT: Way("", (RESOLVE,), "test_a_missed_slot_is_over_once_a_person_says_so"),
    K.FILLS_MISSING: Way(
        "the history shows the fills",
        (f"belay resolve {{order}} --filled rows.json {REASON}",),
        "test_fills_that_the_venue_owes_are_given_by_its_rows",
    ),
    K.BROKEN_RECORD: Way(
        "",
        ("belay explain {order}", RESOLVE),
        "test_a_sent_order_that_was_written_over_is_left_as_it_is_until_a_person_looked",
    ),
    K.UNREADABLE_ROW: Way(
        "the row is gone, or is understood; one of a trade or a booking stays, and a person takes it as it is",
        (f"belay resolve ORDER --filled rows.json {REASON}", RESOLVE, "belay rebase"),
        "test_a_trades_row_that_is_not_understood_is_taken_as_it_is_and_its_balances_by_a_rebase",
    ),
    K.NOT_RECONCILED: Way(
        "the next run gets through with it",
        ("belay status",),
        "test_what_could_not_be_reconciled_ends_by_itself_once_a_run_gets_through",
    ),
    K.STALE_PROOF: Way(
        "the next clean run", ("belay status",), "test_a_proof_that_was_too_old_ends_with_the_next_clean_run"
    ),
    K.SYMBOL_UNAVAILABLE: Way(
        "the venue trades the symbol again, or the account document leaves it out",
        (f"belay symbols retire {{symbol}} {REASON}", "belay account set FILE"),
        "test_a_symbol_that_was_delisted_is_retired_and_leaves_the_document",
        passing=("belay positions", "belay account set FILE"),
    ),
    K.IDENTITY_CHANGED: Way(
        "the document means the account that its history is about",
        ("belay account set FILE", 'belay account set FILE --same-venue "…"'),
        "test_a_document_of_another_account_is_over_once_the_right_one_is_stored",
    ),
    K.FEE_UNCONFIRMED: Way(
        "the venue's ledger tells the fees",
        (RESOLVE, "belay rebase"),
        "test_fees_that_the_venue_never_tells_are_taken_as_estimated_by_a_persons_word",
    ),
    K.WRONG_WORD: Way(
        "",
        ("belay explain {order}", RESOLVE),
        "test_what_was_said_wrongly_of_an_order_is_over_once_a_person_says_so",
    ),
    K.POSITION_MISMATCH: Way(
        "the account has again what its strategies hold: it has come back, or there is more that is no strategy's",
        (
            "belay flows",
            f"belay write-off {{symbol}} --strategy STRATEGY {REASON}",
        ),
        "test_coins_of_a_strategy_that_are_gone_are_written_off",
        passing=("belay flows",),
    ),
}
OF_A_LATER_VERSION = Way("what that version says", (), "")


def commands(incident: Incident) -> tuple[str, ...]:
    """The commands that lead back from an incident, as they can be typed: with its order, trade, symbol or asset."""
    known = {"symbol": incident.symbol or "SYMBOL", "incident": incident.incident_id}
    known |= dict.fromkeys(("order", "asset"), incident.subject)
    known["strategy"] = incident.expected.partition(LEAVES)[0]
    quoted = {name: shlex.quote(value) for name, value in known.items()} | {"amount": _amount(incident)}
    account = f" --account {shlex.quote(incident.account)}"
    way = WAYS.get(incident.kind, OF_A_LATER_VERSION)
    templates = way.commands
    if incident.expected.endswith((WAS_NEVER_SENT, BY_ANOTHER_EXIT, WITHIN_A_DAY)):
        templates = way.unsent or way.leaving or way.passing or way.commands
    return tuple(template.format(**quoted) + account for template in templates)


def ending(order_id: str) -> str:
    """How a person ends an order that stands in the way of something."""
    order = shlex.quote(order_id)
    return f"belay cancel {order} {REASON}; where the venue does not know it: belay resolve {order}."


def _amount(incident: Incident) -> str:
    """The option that lets a rebase take only what the incident says to differ; none where it says no two amounts."""
    try:
        expected, actual = (Decimal(text.partition(" ")[0]) for text in (incident.expected, incident.actual))
    except InvalidOperation:
        return ""
    return f" --amount {shlex.quote(f'{incident.subject}={plain(actual - expected)}')}"
