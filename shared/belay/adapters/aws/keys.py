"""What is stored under which key of the ledger's three DynamoDB tables. Reads and writes nothing.

ledger: what was decided and what became of it. The evaluator may write here, and nowhere else.

    pk                        sk                                holds
    DECISION#<decision id>    DECISION                          the decision           } one collection per
                              ORDER#<order id>                  an order of it         } decision, so that one
                              ORDER#<order id>#EVENT#<seq>      one of its transitions } query tells the whole
                              ORDER#<order id>#FILL#<trade>     one of its fills       } story
    ORDER#<order id>          ORDER                             which decision's collection it is in
    ACCOUNT#<account>         CANCEL#<order id>                 a cancel request
                              SCHEDULE#<strategy>#<symbol>#<timeframe>   the latest tick
                              REFUSED#<subject>                 an event that the evaluator could not act on

accounts: what binds orders. Executor and reconciler write here.

    ACCOUNT#<account>         STATE                             the versioned account
                              ANCHOR#<order id>                 version and head of an order's story
                              ANCHOR#<order id>#ACCEPTED        a person's word on it
                              PROOF#<fingerprint>               the newest proof of a deployment
                              PROOF                             the newest proof of all
                              FLOW#<id>                         what came or went without a trade of ours
                              CURSOR#<symbol>                   how far trades were read
                              UNATTRIBUTED#<trade>              a trade that matched no order
                              VENUEORDER#<symbol>#<venue id>    whose venue order it is
                              SUSPICION                         the mismatches of the last reconciliation
                              INCIDENT#<id>                     what needs a person
                              HISTORY#<id>#<time>               a line of its history

configuration: what operators say. No function writes here.

    ACCOUNT#<account>         CONFIG#CURRENT, CONFIG#v000001    the account's document and the history of it
                              STOPS                             the operators' stops
    ACCOUNTS                  <account>                         the list of accounts

Index `open-orders` holds the orders that are not settled; index `timeline` decisions by strategy and candle, orders and
fills by account and time. The local index `standing`, whose reads are consistent, holds what still stands of requests,
schedules, refused events, loose trades and incidents, and the flows by time.
"""

from belay.adapters.records import schedule_key
from belay.domain.record import joined
from belay.domain.slots import Tick
from belay.domain.venues import VenueTrade
from belay.ports import RefusedEvent

# Partitions and sort keys without a part of their own.
ACCOUNTS = "ACCOUNTS"
CONFIGURATION = "CONFIG#CURRENT"
STOPS, STATE, SUSPICION, LAST_PROOF = "STOPS", "STATE", "SUSPICION", "PROOF"
DECISION, ORDER = "DECISION", "ORDER"
# How the sort keys of one kind begin.
SCHEDULES, REFUSED, CANCELS = "SCHEDULE#", "REFUSED#", "CANCEL#"
UNATTRIBUTED, INCIDENTS, FLOWS = "UNATTRIBUTED#", "INCIDENT#", "FLOW#"
HISTORY = "HISTORY#"
# The global indexes and their partition keys.
OPEN_ORDERS, OPEN_ACCOUNT = "open-orders", "open_account"
TIMELINE, TIMELINE_PK = "timeline", "timeline_pk"

# --- partitions -----------------------------------------------------------------------------------


def decision(decision_id: str) -> str:
    return f"DECISION#{decision_id}"


def order(order_id: str) -> str:
    """Also the sort key of the order within its decision's collection."""
    return f"ORDER#{order_id}"


def account(account: str) -> str:
    return f"ACCOUNT#{account}"


# --- sort keys ------------------------------------------------------------------------------------


def event(order_id: str, sequence: int) -> str:
    return f"{order(order_id)}#EVENT#{sequence:06}"


def of_order(sk: str, order_id: str) -> bool:
    """Whether this sort key of a decision's collection is that of an order or of something in its story."""
    return sk == order(order_id) or sk.startswith(f"{order(order_id)}#")


def fill(order_id: str, trade_key: str) -> str:
    return f"{order(order_id)}#FILL#{trade_key}"


def configuration(version: int) -> str:
    return f"CONFIG#v{version:06}"


def venue_order(symbol: str, venue_order_id: str) -> str:
    return f"VENUEORDER#{symbol}#{venue_order_id}"


def anchor(order_id: str) -> str:
    return f"ANCHOR#{order_id}"


def accepted(order_id: str) -> str:
    return f"{anchor(order_id)}#ACCEPTED"


def proof(fingerprint: str) -> str:
    return f"PROOF#{fingerprint}"


def flow(flow_id: str) -> str:
    return f"{FLOWS}{flow_id}"


def cursor(symbol: str) -> str:
    return f"CURSOR#{symbol}"


def schedule(tick: Tick) -> str:
    return f"{SCHEDULES}{schedule_key(tick)}"


def refused(event: RefusedEvent) -> str:
    return f"{REFUSED}{event.subject}"


def cancel(order_id: str) -> str:
    return f"{CANCELS}{order_id}"


def unattributed(trade: VenueTrade) -> str:
    return f"{UNATTRIBUTED}{trade.key}"


def incident(incident_id: str) -> str:
    return f"{INCIDENTS}{incident_id}"


def history(incident_id: str) -> str:
    """How the lines of one incident begin; no other's begin like that, since no id holds this separator escaped."""
    return f"{HISTORY}{joined(incident_id, by='#')}#"


def loose(symbol: str) -> str:
    """How the positions of a symbol's loose trades begin."""
    return f"{UNATTRIBUTED}{symbol}#"


# --- lines of the timeline ------------------------------------------------------------------------


def decisions_line(account: str, strategy: str) -> str:
    return f"DECISIONS#{account}#{strategy}"


def orders_line(account: str) -> str:
    return f"ORDERS#{account}"


def fills_line(account: str) -> str:
    return f"FILLS#{account}"
