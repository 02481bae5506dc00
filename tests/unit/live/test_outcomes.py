"""What one submission led to. The table of what may be believed stands here a second time, written by hand.

Its source is the venues' documentation as the project has collected it, not the profiles: a code that slips into a
profile makes the properties below fail.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.live.outcomes import Sent, classify
from belay.adapters.live.profiles import load_profile, profile_of
from belay.adapters.live.profiles.answers import Meaning
from belay.adapters.live.profiles.model import CcxtProfile
from belay.adapters.live.wire import Call, Phase
from belay.domain.venues import OrderRequest, Outcome, OutcomeKind, VenueStatus
from tests.builders import NOW, make_document, make_order, make_request, seconds

BINANCE, KRAKEN = load_profile("binance"), load_profile("kraken")
REQUEST = make_request(make_order(limit_price="10000"))
OUR_ID = REQUEST.client_order_id
OUR_UUID = "-".join([OUR_ID[:8], OUR_ID[8:12], OUR_ID[12:16], OUR_ID[16:20], OUR_ID[20:]])
SYMBOLS = {"BTCUSD": "BTC/USD", "XBTUSD": "BTC/USD", "BTC/USD": "BTC/USD"}

INSUFFICIENT = "Account has insufficient balance for requested action."
# (HTTP status, code, message or None for any). Nothing else may ever be taken for a refusal.
BINANCE_REJECTED = {(400, str(-code), None) for code in (1013, *range(1100, 1131))} | {(400, "-2010", INSUFFICIENT)}
BINANCE_NOT_SENT = {
    (400, "-1021", None),
    (400, "-1015", None),
    (429, "-1015", None),
    (429, "-1003", None),
    (418, "-1003", None),
}
KRAKEN_REJECTED = {"EOrder:Insufficient funds", "EOrder:Order minimum not met"}
KRAKEN_NOT_SENT = {"EService:Deadline elapsed", "EAPI:Invalid nonce", "EAPI:Rate limit exceeded"}
REFUSALS = {OutcomeKind.REJECTED, OutcomeKind.NOT_SENT}


def answered(body: Any, status: int = 200) -> Sent:
    text = body if isinstance(body, str) else json.dumps(body)
    call = Call(method="POST", path="/order", phase=Phase.ANSWERED, status=status, body=text)
    return Sent(orders=(call,), returned=None, at=NOW + seconds(5))


def unanswered(*phases: Phase) -> Sent:
    return Sent(orders=[Call("POST", "/order", phase) for phase in phases], returned=None, at=NOW)


def outcome(profile: CcxtProfile, sent: Sent, request: OrderRequest = REQUEST) -> Outcome:
    return classify(profile, request, sent, SYMBOLS.get)


def binance_order(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSD",
        "orderId": 28,
        "clientOrderId": OUR_ID,
        "transactTime": 1507725176595,
        "price": "10000.00000000",
        "origQty": "0.10000000",
        "executedQty": "0.04000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        **changes,
    }


def kraken_order(**changes: Any) -> dict[str, Any]:
    result = {"descr": {"order": "buy 0.1 XBTUSD @ limit 10000.0"}, "txid": ["OUF4EM-FRGI2-MQMWZD"]}
    return {"error": [], "result": {**result, **changes}}


# --- the table, by hand -------------------------------------------------------------------------------


def binance_allows(status: int, document: Any) -> OutcomeKind | None:
    """The refusal that this answer may be, by the table above."""
    if not isinstance(document, dict) or "code" not in document or document.get("orderId"):
        return None
    code, message = str(document["code"]), document.get("msg")
    for kind, table in ((OutcomeKind.REJECTED, BINANCE_REJECTED), (OutcomeKind.NOT_SENT, BINANCE_NOT_SENT)):
        if (status, code, None) in table or (status, code, message) in table:
            return kind
    return None


def kraken_allows(status: int, document: Any) -> OutcomeKind | None:
    if status != 200 or not isinstance(document, dict) or document.get("result"):
        return None
    errors = document.get("error")
    if not isinstance(errors, list) or not errors or not all(isinstance(error, str) for error in errors):
        return None
    for kind, table in ((OutcomeKind.REJECTED, KRAKEN_REJECTED), (OutcomeKind.NOT_SENT, KRAKEN_NOT_SENT)):
        if set(errors) <= table:
            return kind
    return None


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        *((*row, OutcomeKind.REJECTED) for row in sorted(BINANCE_REJECTED, key=str)),
        *((*row, OutcomeKind.NOT_SENT) for row in sorted(BINANCE_NOT_SENT, key=str)),
    ],
)
def test_what_binance_documents_as_a_refusal_is_one(
    status: int, code: str, message: str | None, kind: OutcomeKind
) -> None:
    said = {"code": int(code), "msg": message or "words"}
    assert outcome(BINANCE, answered(said, status)).kind is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((error, OutcomeKind.REJECTED) for error in sorted(KRAKEN_REJECTED)),
        *((error, OutcomeKind.NOT_SENT) for error in sorted(KRAKEN_NOT_SENT)),
    ],
)
def test_what_kraken_documents_as_a_refusal_is_one(error: str, kind: OutcomeKind) -> None:
    told = outcome(KRAKEN, answered({"error": [error]}))
    assert (told.kind, told.code) == (kind, error)


def refusals_of(profile: CcxtProfile, meaning: Meaning) -> set[tuple[int, str, str | None]]:
    """What a profile takes for a refusal, as rows like the table's."""
    return {
        (status, code, rule.message)
        for rule in profile.rules(meaning)
        for code in rule.codes
        for status in rule.statuses
    }


def test_the_profiles_list_what_the_table_lists_and_no_code_more() -> None:
    assert refusals_of(BINANCE, Meaning.REJECTED) == BINANCE_REJECTED
    assert refusals_of(BINANCE, Meaning.NOT_PLACED) == BINANCE_NOT_SENT
    assert refusals_of(KRAKEN, Meaning.REJECTED) == {(200, error, None) for error in KRAKEN_REJECTED}
    assert refusals_of(KRAKEN, Meaning.NOT_PLACED) == {(200, error, None) for error in KRAKEN_NOT_SENT}


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 403, 404, 409, 418, 429, 451, 500, 502, 503, 504])
def test_every_code_of_binance_under_every_status_is_what_the_table_says(status: int) -> None:
    for code in range(-2100, -900):
        for message in ("words", INSUFFICIENT):
            said = {"code": code, "msg": message}
            told = outcome(BINANCE, answered(said, status)).kind
            assert (told if told in REFUSALS else None) == binance_allows(status, said), said


# --- nothing else is one ------------------------------------------------------------------------------

CODES = sorted(code for _, code, _ in BINANCE_REJECTED | BINANCE_NOT_SENT)
STATUSES = st.sampled_from([200, 400]) | st.sampled_from(
    [200, 201, 202, 204, 301, 302, 304, 400, 401, 403, 404, 409, 418, 429, 451, 500, 502, 503, 504]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BINANCE_CODES = st.one_of(
    st.sampled_from(CODES).map(int),
    st.sampled_from(CODES).map(lambda code: int(code) + 1),
    st.sampled_from(CODES).map(lambda code: -int(code)),
    st.sampled_from(CODES).map(lambda code: int(code) * 10),
    st.sampled_from([-1000, -1001, -1006, -1007, -1008, -1016, -2011, -2013, -2014, -2015, -2026, 0, 200]),
    st.integers(-10_000, 10_000),
    VALUES,
)
MESSAGES = st.one_of(
    st.sampled_from(
        [INSUFFICIENT, "Duplicate order sent.", "Market is closed.", INSUFFICIENT + " ", INSUFFICIENT.lower()]
    ),
    st.text(max_size=30),
    VALUES,
)
BINANCE_BODIES = st.one_of(
    st.fixed_dictionaries({"code": BINANCE_CODES, "msg": MESSAGES}),
    st.fixed_dictionaries({"code": BINANCE_CODES, "msg": MESSAGES, "orderId": st.integers(0, 10**9)}),
    st.fixed_dictionaries({"code": BINANCE_CODES}),
    st.builds(lambda code, msg: {"data": {"code": code, "msg": msg}}, BINANCE_CODES, MESSAGES),
    st.builds(lambda code, msg: [{"code": code, "msg": msg}], BINANCE_CODES, MESSAGES),
    VALUES,
)
KRAKEN_WORDS = sorted(KRAKEN_REJECTED | KRAKEN_NOT_SENT)
KRAKEN_ERRORS = st.one_of(
    st.sampled_from(KRAKEN_WORDS),
    st.sampled_from(KRAKEN_WORDS).map(lambda error: error + ":volume"),
    st.sampled_from(KRAKEN_WORDS).map(lambda error: error.replace(":", "")),
    st.sampled_from(KRAKEN_WORDS).map(str.upper),
    st.sampled_from(
        [
            "EService:Unavailable",
            "EService:Busy",
            "EService:Timeout",
            "EGeneral:Internal error",
            "EGeneral:Invalid arguments",
            "EGeneral:Invalid arguments:cl_ord_id not unique",
            "EOrder:Unknown order",
        ]
    ),
    st.text(max_size=20),
    VALUES,
)
KRAKEN_BODIES = st.one_of(
    st.fixed_dictionaries({"error": st.lists(KRAKEN_ERRORS, max_size=2)}),
    st.fixed_dictionaries({"error": st.lists(KRAKEN_ERRORS, max_size=2), "result": VALUES}),
    st.fixed_dictionaries({"error": KRAKEN_ERRORS}),
    st.builds(lambda errors: {"result": {"error": errors}}, st.lists(KRAKEN_ERRORS, max_size=2)),
    VALUES,
)


@st.composite
def texts(draw: st.DrawFn, bodies: st.SearchStrategy[Any]) -> str:
    """A body as it may arrive: whole, cut, inside a page, or with something behind it."""
    text = json.dumps(draw(bodies))
    form = draw(st.sampled_from(["whole", "whole", "whole", "cut", "page", "more"]))
    if form == "cut":
        return text[: draw(st.integers(0, len(text)))]
    return {"whole": text, "page": f"<html>{text}</html>", "more": text + text}[form]


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@given(text=texts(BINANCE_BODIES), status=STATUSES)
def test_nothing_but_the_documented_refusals_of_binance_is_ever_one(text: str, status: int) -> None:
    told = outcome(BINANCE, answered(text, status))
    if told.kind in REFUSALS:
        assert binance_allows(status, parsed(text)) is told.kind


@given(text=texts(KRAKEN_BODIES), status=STATUSES)
def test_nothing_but_the_documented_refusals_of_kraken_is_ever_one(text: str, status: int) -> None:
    told = outcome(KRAKEN, answered(text, status))
    if told.kind in REFUSALS:
        assert kraken_allows(status, parsed(text)) is told.kind


UNVERIFIED = [
    *(
        load_profile(venue)
        for venue in ("bitget", "bybit", "coinbase", "gate", "htx", "hyperliquid", "kucoin", "mexc", "okx")
    ),
    profile_of(make_document(venue="bitstamp", mode="live", paper=None, venue_profile="generic")),
]


@pytest.mark.parametrize("profile", UNVERIFIED, ids=lambda profile: profile.name)
@given(text=texts(BINANCE_BODIES | KRAKEN_BODIES), status=STATUSES, code=st.data())
def test_no_answer_of_a_venue_that_nobody_verified_is_ever_a_refusal(
    profile: CcxtProfile, text: str, status: int, code: st.DataObject
) -> None:
    named = [c for rules in profile.codes.values() for rule in rules for c in rule.codes] or ["51008"]
    listed = code.draw(st.sampled_from(named))
    for body in (text, json.dumps({"code": listed, "retCode": listed, "msg": listed}), json.dumps({"error": [listed]})):
        assert outcome(profile, answered(body, status)).kind is OutcomeKind.UNKNOWN


@given(phases=st.lists(st.sampled_from(Phase), max_size=3))
def test_a_request_that_may_have_left_is_never_said_not_to_have_been_sent(phases: list[Phase]) -> None:
    told = outcome(BINANCE, unanswered(*phases))
    if told.kind in REFUSALS:
        assert set(phases) <= {Phase.NOT_REQUESTED, Phase.NOT_CONNECTED}


def test_phases_decide_where_there_is_no_answer() -> None:
    assert outcome(KRAKEN, unanswered()).kind is OutcomeKind.NOT_SENT
    assert outcome(KRAKEN, unanswered(Phase.NOT_CONNECTED)).kind is OutcomeKind.NOT_SENT
    lost = outcome(KRAKEN, unanswered(Phase.NO_ANSWER))
    assert (lost.kind, lost.code) == (OutcomeKind.UNKNOWN, "no_answer")


# --- acceptance ---------------------------------------------------------------------------------------


def test_an_accepted_order_is_read_from_the_answer() -> None:
    told = outcome(BINANCE, answered(binance_order()))
    assert (told.kind, told.code) == (OutcomeKind.ACCEPTED, "accepted")
    order = told.venue_order
    assert order is not None
    assert (order.venue_order_id, order.client_order_id, order.symbol) == ("28", OUR_ID, "BTC/USD")
    assert (str(order.quantity), str(order.filled_quantity)) == ("0.10000000", "0.04000000")
    assert order.status is VenueStatus.OPEN
    assert told.exchange_time == order.updated_at


def test_where_the_venue_names_only_its_id_the_order_is_what_was_asked_for() -> None:
    order = outcome(KRAKEN, answered(kraken_order())).venue_order
    assert order is not None
    assert order.venue_order_id == "OUF4EM-FRGI2-MQMWZD"
    assert (order.quantity, order.limit_price, order.side) == (REQUEST.quantity, REQUEST.limit_price, REQUEST.side)
    assert order.filled_quantity == 0
    assert order.updated_at == NOW + seconds(5)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>ok</html>",
        "{}",
        "[]",
        "null",
        '"28"',
        json.dumps(binance_order())[:-20],
        binance_order(orderId=None),
        binance_order(orderId="<html>ok</html>"),
        binance_order(orderId=True),
        binance_order(orderId=0),
        binance_order(orderId=-1),
        binance_order(orderId=28.5),
        binance_order(clientOrderId="web_1"),
        binance_order(clientOrderId=None),
        binance_order(symbol="ETHUSD"),
        binance_order(status="SOMETHING"),
        binance_order(side="LEFT"),
        binance_order(origQty="0"),
        binance_order(origQty="NaN"),
        binance_order(transactTime=None),
        binance_order(transactTime="soon"),
        {"orderId": 28, "clientOrderId": OUR_ID},
        binance_order(code=-1000, msg="An unknown error occurred"),
        binance_order(code=-1013, msg="Filter failure: LOT_SIZE"),
        [binance_order()],
    ],
)
def test_an_answer_of_binance_that_is_not_wholly_believable_is_unknown(body: Any) -> None:
    assert outcome(BINANCE, answered(body)).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>ok</html>",
        "{}",
        {"error": []},
        {"error": [], "result": {}},
        kraken_order(txid=[]),
        kraken_order(txid=["OUF4EM-FRGI2-MQMWZD", "OUF4EM-FRGI2-MQMWZE"]),
        kraken_order(txid="OUF4EM-FRGI2-MQMWZD"),
        kraken_order(txid=["<html>"]),
        kraken_order(txid=["TUF4EM-FRGI2-MQMWZD"]),
        {**kraken_order(), "error": ["EService:Busy"]},
        {**kraken_order(), "error": ["EOrder:Insufficient funds"]},
        {**kraken_order(txid=["A", "B"]), "error": ["EOrder:Insufficient funds"]},
    ],
)
def test_an_answer_of_kraken_that_is_not_wholly_believable_is_unknown(body: Any) -> None:
    assert outcome(KRAKEN, answered(body)).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("status", [201, 202, 204, 302, 400, 500, 502])
def test_an_order_in_an_answer_that_is_no_plain_success_is_unknown(status: int) -> None:
    assert outcome(BINANCE, answered(binance_order(), status)).kind is OutcomeKind.UNKNOWN
    assert outcome(KRAKEN, answered(kraken_order(), status)).kind is OutcomeKind.UNKNOWN


def test_what_is_accepted_without_a_description_of_answers_needs_an_id_that_the_venue_said() -> None:
    profile = UNVERIFIED[-1]
    told = {"id": "A-17", "clientOrderId": OUR_ID}

    def kind(returned: Any, body: str = '{"orderID": "A-17"}', status: int = 200) -> OutcomeKind:
        sent = answered(body, status)
        return outcome(profile, Sent(sent.orders, returned, NOW)).kind

    assert kind(told) is OutcomeKind.ACCEPTED
    assert kind({"id": "A-17"}) is OutcomeKind.ACCEPTED
    doubtful = [
        None,
        {},
        {**told, "id": None},
        {**told, "id": "<html>"},
        {**told, "id": "B-9"},
        {**told, "clientOrderId": "x"},
    ]
    assert {kind(returned) for returned in doubtful} == {OutcomeKind.UNKNOWN}
    assert kind(told, body="A-17") is OutcomeKind.UNKNOWN
    assert kind(told, status=500) is OutcomeKind.UNKNOWN


# --- the rest -----------------------------------------------------------------------------------------


def test_a_duplicate_is_unknown_since_an_order_of_this_id_exists() -> None:
    told = outcome(BINANCE, answered({"code": -2010, "msg": "Duplicate order sent."}, 400))
    assert (told.kind, told.code, told.detail) == (OutcomeKind.UNKNOWN, "-2010", "Duplicate order sent.")


@pytest.mark.parametrize(
    ("profile", "body", "status", "code"),
    [
        (BINANCE, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401, "-2015"),
        (BINANCE, {"code": -2014, "msg": "API-key format invalid."}, 401, "-2014"),
        (BINANCE, {"code": -1022, "msg": "Signature for this request is not valid."}, 400, "-1022"),
        (BINANCE, {"code": 0, "msg": "Service unavailable from a restricted location."}, 451, "0"),
        (BINANCE, "<html>not here</html>", 451, "http_451"),
    ],
)
def test_a_venue_that_refuses_the_account_says_so(profile: CcxtProfile, body: Any, status: int, code: str) -> None:
    told = outcome(profile, answered(body, status))
    assert (told.kind, told.code) == (OutcomeKind.CONFIGURATION, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": -1007, "msg": "Timeout waiting for response"}, 504, "-1007"),
        ({"code": -2010, "msg": "Market is closed."}, 400, "-2010"),
        ("<html>too many</html>", 429, "http_429"),
        ("<html>Bad Gateway</html>", 502, "http_502"),
        ("", 302, "http_302"),
    ],
)
def test_an_unknown_outcome_keeps_the_venues_own_code(body: Any, status: int, code: str) -> None:
    told = outcome(BINANCE, answered(body, status))
    assert (told.kind, told.code) == (OutcomeKind.UNKNOWN, code)


def test_an_answer_out_of_bounds_is_unknown_and_says_which_bound() -> None:
    broken = Call("POST", "/order", Phase.OUT_OF_BOUNDS, problem="longer than 5 bytes")
    told = outcome(BINANCE, Sent(orders=[broken], returned=None, at=NOW))
    assert (told.kind, told.code, told.detail) == (OutcomeKind.UNKNOWN, "unbelievable_answer", "longer than 5 bytes")
