"""The database of a checked run: its exported rows as tables, amounts and instants written in one way. Judges nothing.

Imports nothing of Belay. An amount is text, which `check_sql` multiplies and sums; a row is named by file, line and
sort key.
"""

import hashlib
import json
import sqlite3
from typing import Any

from belay.demo.check_sql import teach

# What was read, as it was read.
READ = """
CREATE TABLE item (file TEXT, row TEXT, pk TEXT, sk TEXT, body TEXT, digest TEXT, bare TEXT);
CREATE TABLE evaluation (row TEXT, request TEXT, response TEXT);
CREATE TABLE died (function TEXT);
CREATE TABLE legal (said INTEGER, before TEXT, after TEXT);
"""

LEDGER = """
CREATE TABLE decision AS
SELECT row, body ->> 'decision_id' AS id, body ->> 'slot' AS slot, body -> 'slot' ->> 'timeframe' AS timeframe,
    body -> 'slot' ->> 'candle_open' AS opened, body -> 'decision' ->> 'kind' AS kind,
    body -> 'decision' ->> 'reason' AS reason,
    (SELECT json_group_array(value) FROM json_each(body, '$.order_ids') WHERE value IS NOT NULL) AS order_ids, digest
FROM item WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk = 'DECISION';

CREATE TABLE ledger_order AS
SELECT row, body ->> 'order_id' AS id, body ->> 'decision_id' AS decision_id, body ->> 'symbol' AS symbol,
    body ->> 'side' AS side, body -> 'attempt' -> 'request' ->> 'quantity' AS quantity, body ->> 'state' AS state,
    body ->> 'version' AS version, body ->> 'filled_quantity' AS filled_quantity,
    body ->> 'filled_notional' AS filled_notional, body -> 'venue_order_ids' AS venue_order_ids,
    body ->> 'head' AS head, bare
FROM item WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk GLOB 'ORDER#*' AND sk NOT GLOB 'ORDER#*#*';

-- One row for each venue order that a ledger order knows, and one without for those that should know theirs.
CREATE TABLE seen AS
SELECT ledger_order.*, venue.value AS venue_order_id
FROM ledger_order LEFT JOIN json_each(venue_order_ids) AS venue
WHERE venue.value IS NOT NULL OR state IN ('ACKNOWLEDGED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED', 'EXPIRED');

CREATE TABLE event AS
SELECT row, body ->> 'order_id' AS order_id, body ->> 'sequence' AS sequence, body ->> 'from_state' AS from_state,
    body ->> 'to_state' AS to_state, body ->> 'cause' AS cause, body ->> 'attempt_id' AS attempt_id,
    body -> 'detail' -> 'request' AS request, body ->> 'previous' AS previous,
    body ->> 'order_digest' AS order_digest, digest
FROM item WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk GLOB 'ORDER#*#EVENT#*';

-- An operator's word ends an order; a fill or a move after it takes the word's place. `said`: it stood as this came.
CREATE TABLE followed AS
SELECT event.*, coalesce((
    SELECT word.cause GLOB 'said to be *' FROM event AS word
    WHERE word.order_id = event.order_id AND word.sequence < event.sequence
        AND (word.cause GLOB 'said to be *' OR word.cause = 'filled' OR word.from_state <> word.to_state)
    ORDER BY word.sequence DESC LIMIT 1
), 0) AS said
FROM event;

-- One claim, and how it ended if it was without an order. What the executor held back in its last look, or could not
-- hand to the venue, never left; what an operator said of it, the venue may have shown to be otherwise.
CREATE TABLE attempt AS
SELECT claim.row, claim.order_id, claim.request, moment(claim.request ->> 'claimed_at') AS claimed_at,
    verdict.row AS verdict_row, verdict.to_state AS verdict,
    coalesce(verdict.cause IN ('stopped', 'no_time_left', 'fence_passed', 'NOT_DELIVERED'), 0) AS held_back
FROM event AS claim LEFT JOIN event AS verdict
    ON verdict.order_id = claim.order_id AND verdict.attempt_id = claim.attempt_id
    AND verdict.to_state IN ('NOT_SENT', 'REJECTED') AND verdict.from_state <> verdict.to_state
    AND (verdict.cause NOT GLOB 'said to be *'
        OR verdict.order_id IN (SELECT id FROM ledger_order WHERE state = 'NOT_SENT'))
WHERE claim.to_state = 'SUBMITTED' AND claim.from_state <> 'SUBMITTED';

CREATE TABLE fill AS
SELECT row, body ->> 'order_id' AS order_id, body ->> 'previous' AS previous, digest
FROM item WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk GLOB 'ORDER#*#FILL#*';

CREATE TABLE anchor AS
SELECT row, body ->> 'order_id' AS order_id, body ->> 'version' AS version, body ->> 'head' AS head,
    body ->> 'order_digest' AS order_digest
FROM item WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk GLOB 'ANCHOR#*' AND sk NOT GLOB '*#ACCEPTED';

CREATE TABLE incident AS
SELECT row, body ->> 'kind' AS kind, body ->> 'status' AS status
FROM item WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk GLOB 'INCIDENT#*';

CREATE TABLE account AS
SELECT row, body FROM item WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk = 'STATE';

-- What a trade's fee really was, where the venue's ledger told it only later.
CREATE TABLE correction AS
SELECT row, body ->> 'order_id' AS order_id, body -> 'detail' -> 'fees' AS fees,
    'ORDER#' || (body ->> 'order_id') || '#FILL#' || (body -> 'detail' ->> 'trade') AS fill
FROM item WHERE file = 'ledger' AND sk GLOB 'ORDER#*#EVENT#*' AND body ->> 'cause' = 'fee corrected';

CREATE TABLE flow AS
SELECT row, body ->> 'flow_id' AS id, body ->> 'kind' AS kind, body -> 'amounts' AS amounts,
    body ->> 'strategy' AS strategy, body -> 'trade' ->> 'symbol' AS symbol
FROM item WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk GLOB 'FLOW#*';

-- What the newest proof of all says that the venue's rounding made of balances, and of how many bookings.
CREATE TABLE rounding AS
SELECT row, asset.key AS asset, asset.value AS amount FROM item, json_each(body, '$.rounding') AS asset
WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk = 'PROOF';

CREATE TABLE taken AS
SELECT row, asset.key AS asset, asset.value AS bookings FROM item, json_each(body, '$.bookings') AS asset
WHERE file = 'accounts' AND pk GLOB 'ACCOUNT#*' AND sk = 'PROOF';

CREATE TABLE document AS
SELECT body -> 'document' AS body
FROM item WHERE file = 'configuration' AND pk GLOB 'ACCOUNT#*' AND sk = 'CONFIG#CURRENT';
"""

VENUE = """
CREATE TABLE venue_order AS
SELECT row, body ->> 'venue_order_id' AS id, body ->> 'client_order_id' AS client_order_id,
    body ->> 'symbol' AS symbol, body ->> 'side' AS side, body ->> 'quantity' AS quantity,
    body ->> 'filled_quantity' AS filled_quantity
FROM (
    SELECT row, body FROM item WHERE file = 'paper' AND sk GLOB 'ORDER#*'
    UNION ALL
    SELECT row || ' open order ' || open.key, open.value FROM item, json_each(body, '$.orders') AS open
    WHERE file = 'paper' AND sk = 'STATE'
);

CREATE TABLE submission AS
SELECT row, body -> 'request' AS request, body -> 'request' ->> 'client_order_id' AS order_id,
    moment(body -> 'request' ->> 'claimed_at') AS claimed_at, body ->> 'code' AS code,
    body -> 'venue_order' ->> 'venue_order_id' AS venue_order_id,
    body -> 'venue_order' ->> 'filled_quantity' AS filled_at_once
FROM item WHERE file = 'paper' AND sk GLOB 'SUBMISSION#*';

CREATE TABLE fault AS
SELECT row, sk, body ->> 'sequence' AS sequence, body ->> 'kind' AS kind, body ->> 'client_order_id' AS order_id,
    body ->> 'symbol' AS symbol, body ->> 'side' AS side, body ->> 'quantity' AS quantity,
    moment(body ->> 'claimed_at') AS claimed_at, body ->> 'placed' AS placed
FROM item WHERE file = 'paper' AND sk GLOB 'FAULT#*';

-- The deliveries that never became an order: by the faults they met, else by how the venue judged the request.
CREATE TABLE turned_away AS
SELECT min(row) AS row, order_id, claimed_at, iif(max(kind = 'refused'), 'REJECTED', 'NOT_SENT') AS verdict
FROM fault WHERE NOT placed GROUP BY sequence, order_id, claimed_at
UNION ALL
SELECT row, order_id, claimed_at, iif(code = 'FENCE_PASSED', 'NOT_SENT', 'REJECTED') FROM submission
WHERE code <> 'ACCEPTED' AND (order_id, claimed_at) NOT IN (SELECT order_id, claimed_at FROM fault WHERE NOT placed);

-- What came or went at the venue without a trade, as its own records have it.
CREATE TABLE movement AS
SELECT row || ' movement ' || moved.key AS row, moved.value ->> 'flow_id' AS id, moved.value ->> 'kind' AS kind,
    moved.value -> 'amounts' AS amounts
FROM item, json_each(body, '$.movements') AS moved WHERE file = 'paper' AND sk = 'STATE';

CREATE TABLE candle AS
SELECT substr(pk, instr(pk, '#CANDLES#') + 9) AS market, body ->> 'open_time' AS opened, body ->> 'close' AS close
FROM item WHERE file = 'paper' AND pk GLOB '*#CANDLES#*';
"""

BOOKS = """
CREATE TABLE trade AS
SELECT book, row, order_id, strategy, trade ->> 'symbol' AS symbol, trade ->> 'venue_order_id' AS venue_order_id,
    trade ->> 'side' AS side, trade ->> 'trade_id' AS id, trade ->> 'quantity' AS quantity,
    trade ->> 'price' AS price, coalesce(trade ->> 'cost', times(trade ->> 'quantity', trade ->> 'price')) AS notional,
    coalesce(corrected, trade -> 'fees') AS fees
FROM (
    SELECT 'ledger' AS book, row, body ->> 'order_id' AS order_id, body ->> 'strategy' AS strategy,
        body -> 'trade' AS trade, (SELECT fees FROM correction WHERE fill = sk) AS corrected
    FROM item WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk GLOB 'ORDER#*#FILL#*'
    UNION ALL
    SELECT 'venue', row, NULL, NULL, body, NULL FROM item WHERE file = 'paper' AND pk GLOB '*#TRADES#*'
);

CREATE TABLE move AS
SELECT book, strategy, symbol, base(symbol) AS asset, signed(quantity, side = 'buy') AS change FROM trade
UNION ALL
SELECT book, strategy, symbol, quote(symbol), signed(notional, side = 'sell') FROM trade
UNION ALL
SELECT book, strategy, symbol, fee.key, signed(fee.value, 0) FROM trade, json_each(trade.fees) AS fee;

CREATE TABLE opening AS
SELECT asset.key AS asset, asset.value AS amount FROM document, json_each(body, '$.paper.balances') AS asset;

-- A venue that was never asked to trade holds what it began with.
CREATE TABLE held AS
SELECT asset.key AS asset, asset.value AS amount FROM item, json_each(body, '$.balances') AS asset
WHERE file = 'paper' AND sk = 'STATE';
INSERT INTO held SELECT * FROM opening WHERE NOT EXISTS (SELECT * FROM item WHERE file = 'paper' AND sk = 'STATE');

CREATE TABLE shift AS
SELECT 'ledger' AS book, kind, strategy, symbol, asset.key AS asset, asset.value AS change
FROM flow, json_each(amounts) AS asset
UNION ALL
SELECT 'venue', kind, NULL, NULL, asset.key, asset.value FROM movement, json_each(amounts) AS asset;

-- How many amounts were booked: two a trade, and one for each asset that a fee was taken in, as it was first told and
-- as it was corrected.
CREATE TABLE booking AS
SELECT base(symbol) AS asset FROM trade WHERE book = 'ledger'
UNION ALL SELECT quote(symbol) FROM trade WHERE book = 'ledger'
UNION ALL SELECT fee.key FROM item, json_each(body, '$.trade.fees') AS fee
    WHERE file = 'ledger' AND pk GLOB 'DECISION#*' AND sk GLOB 'ORDER#*#FILL#*'
UNION ALL SELECT fee.key FROM correction, json_each(fees) AS fee;

CREATE TABLE balance AS
SELECT book, asset, money_sum(iif(held, '0', amount)) AS expected, money_sum(iif(held, amount, '0')) AS found
FROM (
    SELECT book, asset, amount, 0 AS held FROM opening, (SELECT 'ledger' AS book UNION SELECT 'venue')
    UNION ALL SELECT book, asset, change, 0 FROM move
    UNION ALL SELECT book, asset, change, 0 FROM shift
    UNION ALL SELECT 'ledger', asset, amount, 0 FROM rounding
    UNION ALL SELECT book, asset, amount, 1 FROM held, (SELECT 'ledger' AS book UNION SELECT 'venue')
) GROUP BY book, asset;

-- The same amounts twice: as the account's item states them, and as opening balances, fills and flows add up to them.
CREATE TABLE holding AS
SELECT 1 AS stated, strategy.key || ' ' || symbol.key AS what, symbol.value ->> 'quantity' AS amount
FROM account, json_each(body, '$.positions') AS strategy, json_each(strategy.value) AS symbol
UNION ALL SELECT 1, 'opening ' || asset.key, asset.value FROM account, json_each(body, '$.opening') AS asset
UNION ALL SELECT 1, 'traded ' || asset.key, asset.value FROM account, json_each(body, '$.flows') AS asset
UNION ALL SELECT 1, 'flow of ' || asset.key, asset.value FROM account, json_each(body, '$.external') AS asset
UNION ALL SELECT 1, 'bookings of ' || asset.key, asset.value FROM account, json_each(body, '$.bookings') AS asset
UNION ALL SELECT 0, strategy || ' ' || symbol, change FROM move WHERE book = 'ledger' AND asset = base(symbol)
UNION ALL SELECT 0, 'opening ' || asset, amount FROM opening
UNION ALL SELECT 0, strategy || ' ' || symbol, change FROM shift WHERE strategy IS NOT NULL AND asset = base(symbol)
UNION ALL SELECT 0, 'opening ' || asset, change FROM shift WHERE book = 'ledger' AND kind = 'opening'
UNION ALL SELECT 0, 'traded ' || asset, change FROM move WHERE book = 'ledger'
UNION ALL SELECT 0, 'flow of ' || asset, change FROM shift WHERE book = 'ledger' AND kind <> 'opening'
UNION ALL SELECT 0, 'bookings of ' || asset, '1' FROM booking;
"""

# The only moves an order may make; staying where it is is none.
LEGAL = {
    "CREATED": "SUBMITTED DENIED LAPSED",
    "SUBMITTED": "ACKNOWLEDGED PARTIALLY_FILLED FILLED CANCELLED EXPIRED REJECTED NOT_SENT UNKNOWN",
    "UNKNOWN": "ACKNOWLEDGED PARTIALLY_FILLED FILLED CANCELLED EXPIRED REJECTED NOT_SENT",
    "ACKNOWLEDGED": "PARTIALLY_FILLED FILLED CANCELLED EXPIRED REJECTED",
    "PARTIALLY_FILLED": "FILLED CANCELLED EXPIRED",
    "REJECTED": "ACKNOWLEDGED PARTIALLY_FILLED FILLED CANCELLED EXPIRED",
    "NOT_SENT": "ACKNOWLEDGED PARTIALLY_FILLED FILLED CANCELLED EXPIRED SUBMITTED",
    "CANCELLED": "FILLED",
    "EXPIRED": "FILLED",
}
# What the venue may show an order to be of which an operator said that it was over.
REOPENED = {
    "CANCELLED": "ACKNOWLEDGED PARTIALLY_FILLED FILLED EXPIRED",
    "NOT_SENT": "ACKNOWLEDGED PARTIALLY_FILLED FILLED CANCELLED EXPIRED",
}


class Database:
    """The rows of one run, first as they are put in, then as tables."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:")
        teach(self._db)
        self._db.executescript(READ)
        for said, table in ((0, LEGAL), (1, {**LEGAL, **REOPENED})):
            moves = ((said, before, after) for before, afters in table.items() for after in afters.split())
            self._db.executemany("INSERT INTO legal VALUES (?, ?, ?)", moves)

    def put_item(self, file: str, row: str, pk: str, sk: str, body: dict[str, Any] | None, text: str) -> None:
        """An item of one of the tables, `text` as it is stored; without a body where it holds no record."""
        head = json.dumps({"head": body.get("head") if body else ""}, separators=(",", ":"))[1:-1]
        digests = _digest(text), _digest(text.replace(head, '"head":""', 1))
        self._db.execute(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)", (file, row, pk, sk, json.dumps(body), *digests)
        )

    def put_evaluation(self, row: str, request: object, response: object) -> None:
        self._db.execute("INSERT INTO evaluation VALUES (?, ?, ?)", (row, json.dumps(request), json.dumps(response)))

    def put_death(self, function: str) -> None:
        """A worker of this function that ended while it was invoked."""
        self._db.execute("INSERT INTO died VALUES (?)", (function,))

    def arrange(self) -> None:
        """Make the tables of everything that was put in. Raises sqlite3.Error where a value makes no sense."""
        for tables in (LEDGER, VENUE, BOOKS):
            self._db.executescript(tables)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of the answer. Raises sqlite3.Error where a value makes no sense."""
        return self._db.execute(question).fetchall()

    def close(self) -> None:
        self._db.close()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
