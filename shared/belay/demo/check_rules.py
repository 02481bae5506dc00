"""What must hold in a checked run: questions in SQL to the tables of `check_rows`. Imports nothing of Belay.

A check is two questions: which figures to show, as one text, and which rows break it, as (row, expected, found).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """It holds when `broken` has no rows."""

    name: str
    figures: str
    broken: str


CHECKS = (
    Check(
        "each item is exported once",
        "SELECT count(*) || ' items' FROM item",
        """
        SELECT group_concat(row), 'one item ' || pk || ' ' || sk, count(*) || ' of them' FROM item
        GROUP BY file, pk, sk HAVING count(*) > 1
        """,
    ),
    # What is missing is NULL, which no comparison below would notice.
    Check(
        "each record is complete",
        "SELECT count(*) || ' records' FROM item WHERE body <> 'null'",
        """
        SELECT row, 'a whole decision', 'a part' FROM decision WHERE id || slot || kind || order_ids IS NULL
        UNION ALL
        SELECT row, 'a whole order', 'a part' FROM ledger_order
        WHERE id || decision_id || symbol || side || state || version || filled_quantity || filled_notional
            || venue_order_ids IS NULL
        UNION ALL
        SELECT row, 'a whole event', 'a part' FROM event
        WHERE order_id || sequence || from_state || to_state || cause IS NULL
        UNION ALL
        SELECT row, 'a whole claim', 'a part' FROM attempt WHERE order_id || request || claimed_at IS NULL
        UNION ALL
        SELECT row, 'a whole venue order', 'a part' FROM venue_order
        WHERE id || client_order_id || symbol || side || quantity || filled_quantity IS NULL
        UNION ALL
        SELECT row, 'a whole request', 'a part' FROM submission WHERE order_id || request || claimed_at || code IS NULL
        UNION ALL
        SELECT row, 'a whole fault', 'a part' FROM fault
        WHERE sequence || kind || order_id || symbol || side || quantity || claimed_at || placed IS NULL
        UNION ALL
        SELECT row, 'a whole trade', 'a part' FROM trade
        WHERE symbol || venue_order_id || side || id || quantity || price || fees IS NULL
        UNION ALL
        SELECT row, 'a whole fill', 'a part' FROM trade WHERE book = 'ledger' AND order_id || strategy IS NULL
        UNION ALL
        SELECT row, 'a whole flow', 'a part' FROM flow WHERE id || kind || amounts IS NULL
        UNION ALL
        SELECT row, 'a whole movement', 'a part' FROM movement WHERE id || kind || amounts IS NULL
        """,
    ),
    Check(
        "one decision per slot",
        "SELECT count(*) || ' decisions, ' || count(DISTINCT slot) || ' slots' FROM decision",
        """
        SELECT group_concat(row), 'one decision for ' || slot, group_concat(id, ', ') FROM decision
        GROUP BY slot HAVING count(*) > 1
        """,
    ),
    Check(
        "every evaluation's decision is stored as it was answered",
        "SELECT count(*) || ' evaluations' FROM evaluation",
        """
        SELECT evaluation.row, response, coalesce(kind || ' with orders ' || order_ids, 'no such decision')
        FROM evaluation LEFT JOIN decision ON decision.id = response ->> 'decision_id'
        WHERE decision.id IS NULL OR kind IS NOT response ->> 'kind' OR order_ids IS NOT response ->> 'order_ids'
        """,
    ),
    Check(
        "every order is one that its decision names, and the other way round",
        "SELECT count(*) || ' orders' FROM ledger_order",
        """
        WITH named AS (
            SELECT decision.row, decision.id AS decision_id, leg.value AS id FROM decision, json_each(order_ids) AS leg
        )
        SELECT row, 'order ' || id, 'none' FROM named
        WHERE (decision_id, id) NOT IN (SELECT decision_id, id FROM ledger_order)
        UNION ALL
        SELECT row, 'a decision that names it', 'none' FROM ledger_order
        WHERE (decision_id, id) NOT IN (SELECT decision_id, id FROM named)
        """,
    ),
    Check(
        "each order's events are an unbroken chain of legal moves up to its state",
        "SELECT count(*) || ' events' FROM event",
        """
        WITH chain AS (
            SELECT *, coalesce(lag(sequence) OVER story + 1, 0) AS next,
                lag(to_state, 1, 'CREATED') OVER story AS before
            FROM event WINDOW story AS (PARTITION BY order_id ORDER BY sequence)
        ), last AS (SELECT order_id, max(sequence) AS sequence, to_state FROM event GROUP BY order_id)
        SELECT row, 'event ' || next, 'event ' || sequence FROM chain WHERE sequence IS NOT next
        UNION ALL
        SELECT row, 'a move from ' || before, 'from ' || from_state FROM chain WHERE from_state <> before
        UNION ALL
        SELECT row, 'a legal move', from_state || ' to ' || to_state || iif(said, ', said to be over', '')
        FROM followed
        WHERE from_state <> to_state AND (said, from_state, to_state) NOT IN (SELECT * FROM legal)
        UNION ALL
        SELECT row, 'an order', 'none' FROM event WHERE order_id NOT IN (SELECT id FROM ledger_order)
        UNION ALL
        SELECT row, 'a last event ' || version || ' to ' || state, coalesce(sequence || ' to ' || to_state, 'none')
        FROM ledger_order LEFT JOIN last ON order_id = id WHERE sequence IS NOT version OR to_state IS NOT state
        """,
    ),
    Check(
        "each story's records carry the digest of the one before, and its head is known beside the account",
        """
        SELECT count(*) || ' events and fills, ' || (SELECT count(*) FROM anchor) || ' heads' FROM
            (SELECT row FROM event UNION ALL SELECT row FROM fill)
        """,
        """
        WITH told AS (
            SELECT *, lag(digest) OVER (PARTITION BY order_id ORDER BY sequence) AS before,
                row_number() OVER (PARTITION BY order_id ORDER BY sequence DESC) AS from_end FROM event
        ), linked AS (
            SELECT told.*, coalesce(told.before, decision.digest) AS expected,
                coalesce(fill.previous, told.previous) AS found, fill.row AS fill_row
            FROM told LEFT JOIN ledger_order ON ledger_order.id = told.order_id
            LEFT JOIN decision ON decision.id = ledger_order.decision_id
            LEFT JOIN fill ON fill.order_id = told.order_id AND fill.digest = told.previous
        )
        SELECT row, 'to go on from ' || coalesce(expected, 'a decision'), coalesce(found, 'nothing') FROM linked
        WHERE found IS NOT expected
        UNION ALL
        SELECT row, 'one event that counts it', 'none' FROM fill
        WHERE row NOT IN (SELECT fill_row FROM linked WHERE fill_row IS NOT NULL)
        UNION ALL
        SELECT ledger_order.row, 'its last event: ' || told.digest || ' of ' || order_digest,
            coalesce(head, 'no head') || ' of ' || bare
        FROM ledger_order JOIN told ON order_id = ledger_order.id AND from_end = 1
        WHERE head IS NOT told.digest OR bare IS NOT order_digest
        UNION ALL
        SELECT ledger_order.row, 'a head of version ' || ledger_order.version || ' beside the account',
            coalesce('one of version ' || anchor.version, 'none')
        FROM ledger_order LEFT JOIN anchor ON anchor.order_id = ledger_order.id
        WHERE (ledger_order.version OR anchor.version IS NOT NULL) AND (anchor.version IS NOT ledger_order.version
            OR anchor.head IS NOT ledger_order.head OR anchor.order_digest IS NOT ledger_order.bare)
        UNION ALL
        SELECT row, 'an order ' || order_id, 'none' FROM anchor WHERE order_id NOT IN (SELECT id FROM ledger_order)
        """,
    ),
    Check(
        "no order's outcome is open",
        """
        SELECT count(*) FILTER (WHERE state IN ('UNKNOWN', 'SUBMITTED')) || ' of ' || count(*) || ' orders'
        FROM ledger_order
        """,
        "SELECT row, 'a proven outcome', state FROM ledger_order WHERE state IN ('UNKNOWN', 'SUBMITTED')",
    ),
    Check(
        "at most one venue order per order id",
        "SELECT count(*) || ' venue orders, ' || count(DISTINCT client_order_id) || ' order ids' FROM venue_order",
        """
        SELECT group_concat(row), 'one venue order of ' || client_order_id, group_concat(id, ', ') FROM venue_order
        GROUP BY client_order_id HAVING count(*) > 1
        """,
    ),
    Check(
        "every venue order is its ledger order, and the other way round",
        "SELECT count(*) || ' of the venue, ' || (SELECT count(*) FROM seen) || ' of the ledger' FROM venue_order",
        """
        WITH traded AS (
            SELECT venue_order_id, money_sum(quantity) AS quantity, money_sum(notional) AS notional
            FROM trade WHERE book = 'venue' GROUP BY venue_order_id
        ), told AS (
            SELECT venue_order.row, venue_order.id, client_order_id, symbol || ' ' || side || ' '
                || money(venue_order.quantity) || ', filled ' || coalesce(traded.quantity, '0') || ' for '
                || coalesce(notional, '0') AS word,
                money(filled_quantity) AS filled, coalesce(traded.quantity, '0') AS traded
            FROM venue_order LEFT JOIN traded ON traded.venue_order_id = venue_order.id
        ), kept AS (
            SELECT row, id, venue_order_id, symbol || ' ' || side || ' ' || coalesce(money(quantity), 'nothing')
                || ', filled ' || money(filled_quantity) || ' for ' || money(filled_notional) AS word
            FROM seen
        )
        SELECT row, 'a ledger order ' || client_order_id || ' that knows it', 'none' FROM told
        WHERE (id, client_order_id) NOT IN (SELECT venue_order_id, id FROM kept WHERE venue_order_id IS NOT NULL)
        UNION ALL
        SELECT row, 'its venue order ' || coalesce(venue_order_id, ''), 'none' FROM kept
        WHERE venue_order_id IS NULL OR (venue_order_id, id) NOT IN (SELECT id, client_order_id FROM told)
        UNION ALL
        SELECT kept.row, told.word, kept.word FROM kept JOIN told ON told.id = venue_order_id
        WHERE client_order_id = kept.id AND told.word IS NOT kept.word
        UNION ALL
        SELECT row, 'filled ' || traded || ', as its trades say', 'filled ' || filled FROM told WHERE filled <> traded
        """,
    ),
    Check(
        "every venue trade is exactly one fill, and the other way round",
        """
        SELECT count(*) FILTER (WHERE book = 'venue') || ' trades, ' || count(*) FILTER (WHERE book = 'ledger')
            || ' fills' FROM trade
        """,
        """
        WITH counted AS (
            SELECT group_concat(row) AS row, venue_order_id, id, count(*) FILTER (WHERE book = 'venue') AS trades,
                count(*) FILTER (WHERE book = 'ledger') AS fills
            FROM trade GROUP BY symbol, venue_order_id, side, id
        ), paired AS (
            SELECT fill.row, fill.order_id, venue.venue_order_id,
                money(venue.quantity) || ' at ' || money(venue.price) || ' for ' || money(venue.notional)
                    || ', fees ' || amounts(venue.fees) AS told,
                money(fill.quantity) || ' at ' || money(fill.price) || ' for ' || money(fill.notional)
                    || ', fees ' || amounts(fill.fees) AS kept
            FROM trade AS venue JOIN trade AS fill USING (symbol, venue_order_id, side, id)
            WHERE venue.book = 'venue' AND fill.book = 'ledger'
        )
        SELECT row, 'trade ' || id || ' of venue order ' || venue_order_id || ' once on either side',
            trades || ' at the venue, ' || fills || ' in the ledger' FROM counted WHERE trades <> 1 OR fills <> 1
        UNION ALL
        SELECT row, told, kept FROM paired WHERE told IS NOT kept
        UNION ALL
        SELECT row, 'a fill of the order that venue order ' || venue_order_id || ' names', order_id FROM paired
        WHERE (venue_order_id, order_id) NOT IN (SELECT id, client_order_id FROM venue_order)
        UNION ALL
        SELECT row, 'a fill whose fee it corrects', 'none' FROM correction
        WHERE fill NOT IN (SELECT sk FROM item WHERE file = 'ledger')
        UNION ALL
        SELECT group_concat(row), 'one correction of a fee', count(*) || ' of them' FROM correction
        GROUP BY fill HAVING count(*) > 1
        """,
    ),
    # What an operator took as it was, the venue has no record of.
    Check(
        "every movement that the venue recorded is exactly one flow, and the other way round",
        "SELECT count(*) || ' movements, ' || (SELECT count(*) FROM flow) || ' flows' FROM movement",
        """
        WITH both AS (
            SELECT row, id, kind || ' of ' || amounts(amounts) AS told, NULL AS kept FROM movement
            UNION ALL
            SELECT row, id, NULL, kind || ' of ' || amounts(amounts) FROM flow
            WHERE kind NOT IN ('trade', 'rebase', 'opening')
        )
        SELECT group_concat(row), coalesce(group_concat(told), 'none') || ' once on either side of ' || id,
            coalesce(group_concat(kept), 'none')
        FROM both GROUP BY id HAVING count(told) <> 1 OR count(kept) <> 1 OR max(told) <> max(kept)
        """,
    ),
    Check(
        "each claim reached the venue at most once, and nothing else did",
        "SELECT (SELECT count(*) FROM attempt) || ' claims, ' || count(*) || ' requests received' FROM submission",
        """
        SELECT group_concat(row), 'one request of ' || order_id || ' claimed at ' || claimed_at, count(*) || ' of them'
        FROM submission GROUP BY order_id, claimed_at HAVING count(*) > 1
        UNION ALL
        SELECT row, 'a claim of exactly this request', request FROM submission
        WHERE (order_id, request) NOT IN (SELECT order_id, request FROM attempt)
        """,
    ),
    Check(
        "every accepted request is its venue order, and the other way round",
        "SELECT count(*) || ' accepted' FROM submission WHERE code = 'ACCEPTED'",
        """
        WITH accepted AS (
            SELECT row, venue_order_id || ' of ' || order_id || ', ' || (request ->> 'symbol') || ' '
                || (request ->> 'side') || ' ' || money(request ->> 'quantity') AS word
            FROM submission WHERE code = 'ACCEPTED'
        ), booked AS (
            SELECT row, id || ' of ' || client_order_id || ', ' || symbol || ' ' || side || ' '
                || money(quantity) AS word FROM venue_order
        )
        SELECT row, 'venue order ' || coalesce(word, ''), 'none' FROM accepted
        WHERE word IS NULL OR word NOT IN (SELECT word FROM booked)
        UNION ALL
        SELECT row, 'an accepted request for ' || word, 'none' FROM booked
        WHERE word NOT IN (SELECT word FROM accepted WHERE word IS NOT NULL)
        """,
    ),
    Check(
        "every fault met a claim, and what it says is so",
        "SELECT count(*) || ' faults in ' || count(DISTINCT sequence) || ' deliveries' FROM fault",
        """
        SELECT row, 'the key ' || printf('FAULT#%06d#%s', sequence, kind), sk FROM fault
        WHERE sk <> printf('FAULT#%06d#%s', sequence, kind)
        UNION ALL
        SELECT row, 'a claim of ' || side || ' ' || quantity || ' at ' || claimed_at, 'none' FROM fault
        WHERE NOT EXISTS (
            SELECT * FROM attempt WHERE attempt.order_id = fault.order_id AND attempt.claimed_at = fault.claimed_at
            AND request ->> 'symbol' = symbol AND request ->> 'side' = side
            AND money(request ->> 'quantity') = money(quantity)
        )
        UNION ALL
        SELECT group_concat(row), 'one word on delivery ' || sequence,
            group_concat(kind || iif(placed, ' placed', ' not placed'))
        FROM fault GROUP BY sequence HAVING count(DISTINCT order_id || claimed_at || placed) > 1
        UNION ALL
        SELECT row, iif(placed, 'an accepted request', 'no accepted request'), iif(placed, 'none', 'one') FROM fault
        WHERE placed IS NOT ((order_id, claimed_at) IN (
            SELECT order_id, claimed_at FROM submission WHERE code = 'ACCEPTED'
        ))
        UNION ALL
        SELECT fault.row, 'a part filled at once', 'all of it' FROM fault JOIN submission USING (order_id, claimed_at)
        WHERE kind = 'partial_fill' AND code = 'ACCEPTED' AND money(filled_at_once) = money(quantity)
        """,
    ),
    Check(
        "NOT_SENT in the ledger is what never became an order at the venue, and the other way round",
        """
        SELECT count(*) || ' attempts, ' || (SELECT count(*) FROM turned_away WHERE verdict = 'NOT_SENT')
            || ' deliveries' FROM attempt WHERE verdict = 'NOT_SENT' AND NOT held_back
        """,
        """
        WITH both AS (
            SELECT verdict_row AS row, order_id, claimed_at, 1 AS ledger, 0 AS venue FROM attempt
            WHERE verdict = 'NOT_SENT' AND NOT held_back
            UNION ALL
            SELECT row, order_id, claimed_at, 0, 1 FROM turned_away WHERE verdict = 'NOT_SENT'
        )
        SELECT group_concat(row), 'the same on both sides of ' || order_id || ' claimed at ' || claimed_at,
            sum(ledger) || ' NOT_SENT, ' || sum(venue) || ' deliveries that never became an order'
        FROM both GROUP BY order_id, claimed_at HAVING sum(ledger) <> sum(venue)
        """,
    ),
    Check(
        "REJECTED in the ledger is what the venue refused, and the other way round",
        """
        SELECT count(*) || ' attempts, ' || (SELECT count(*) FROM turned_away WHERE verdict = 'REJECTED')
            || ' refusals' FROM attempt WHERE verdict = 'REJECTED'
        """,
        """
        WITH both AS (
            SELECT verdict_row AS row, order_id, claimed_at, 1 AS ledger, 0 AS venue FROM attempt
            WHERE verdict = 'REJECTED'
            UNION ALL
            SELECT row, order_id, claimed_at, 0, 1 FROM turned_away WHERE verdict = 'REJECTED'
        )
        SELECT group_concat(row), 'the same on both sides of ' || order_id || ' claimed at ' || claimed_at,
            sum(ledger) || ' REJECTED, ' || sum(venue) || ' refused'
        FROM both GROUP BY order_id, claimed_at HAVING sum(ledger) <> sum(venue)
        """,
    ),
    Check(
        "what the executor held back never reached the venue",
        "SELECT count(*) || ' held back' FROM attempt WHERE held_back",
        """
        SELECT verdict_row, 'nothing at the venue', 'a request claimed at ' || claimed_at FROM attempt
        WHERE held_back AND (order_id, claimed_at) IN (
            SELECT order_id, claimed_at FROM submission UNION SELECT order_id, claimed_at FROM fault
        )
        """,
    ),
    Check(
        "what is called the venue's rounding comes with bookings that fills made",
        """
        SELECT coalesce((SELECT group_concat(money(amount) || ' ' || asset, ', ') FROM rounding), '0') || ' in '
            || count(*) || ' bookings' FROM booking
        """,
        """
        WITH counted AS (SELECT asset, count(*) AS bookings FROM booking GROUP BY asset)
        SELECT row, 'bookings of ' || rounding.asset, money(amount) || ' without any' FROM rounding
        LEFT JOIN counted USING (asset) WHERE money(amount) <> '0' AND counted.asset IS NULL
        UNION ALL
        SELECT row, 'at most ' || coalesce(counted.bookings, 0) || ' bookings of ' || taken.asset, taken.bookings
        FROM taken LEFT JOIN counted USING (asset) WHERE taken.bookings > coalesce(counted.bookings, 0)
        """,
    ),
    Check(
        "opening balances, the ledger's fills, flows and rounding are the venue's balances",
        "SELECT group_concat(found || ' ' || asset, ', ') FROM balance WHERE book = 'ledger'",
        """
        SELECT 'paper.jsonl STATE', expected || ' ' || asset, found || ' ' || asset FROM balance
        WHERE book = 'ledger' AND expected <> found
        """,
    ),
    Check(
        "opening balances, the venue's trades and movements are the venue's balances",
        "SELECT group_concat(found || ' ' || asset, ', ') FROM balance WHERE book = 'venue'",
        """
        SELECT 'paper.jsonl STATE', expected || ' ' || asset, found || ' ' || asset FROM balance
        WHERE book = 'venue' AND expected <> found
        """,
    ),
    Check(
        "the account's opening balances, positions, sums and bookings are those of its fills and flows",
        "SELECT count(DISTINCT what) || ' amounts' FROM holding",
        """
        SELECT coalesce((SELECT row FROM account), 'accounts.jsonl'),
            what || ' ' || money_sum(iif(stated, '0', amount)), money_sum(iif(stated, amount, '0'))
        FROM holding GROUP BY what
        HAVING money_sum(iif(stated, '0', amount)) <> money_sum(iif(stated, amount, '0'))
        """,
    ),
    Check(
        "every injected crash is an executor that died, and the other way round",
        """
        SELECT count(*) || ' injected, ' || (SELECT count(*) FROM died) || ' died' FROM fault
        WHERE kind GLOB 'crash_*'
        """,
        """
        SELECT 'ministack.log', injected || ' workers died', died FROM
            (SELECT count(*) AS injected FROM fault WHERE kind GLOB 'crash_*'), (SELECT count(*) AS died FROM died)
        WHERE injected <> died
        UNION ALL
        SELECT 'ministack.log', 'only executors die', function FROM died WHERE function NOT GLOB '*-executor'
        """,
    ),
)
