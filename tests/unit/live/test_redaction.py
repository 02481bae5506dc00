"""Nothing secret in a text: a key in every encoding below, a part of it, and what looks like a key or a signature."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay.adapters.live.redaction import FRAGMENT, REDACTED, TEXT_LENGTH, Redaction

KEY = "vmPlantedKey9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh"
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlantedPlantedPlantedzyxwvuts\n-----END EC PRIVATE KEY-----\n"
REDACTION = Redaction((KEY, SECRET, PEM, "hunter2"))

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "of an address": lambda text: quote(text, safe=""),
    "of a form": quote_plus,
    "every octet of an address": lambda text: "".join(f"%{octet:02X}" for octet in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with its slashes escaped": lambda text: text.replace("/", r"\/"),
    "JSON of escapes only": lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    "HTML": html.escape,
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of an address": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 within a longer text": lambda text: base64.b64encode(f"user:{text}:".encode()).decode(),
    "base64 within a text that is longer by one": lambda text: base64.b64encode(f"users:{text}:".encode()).decode(),
}


def parts(text: str, length: int) -> set[str]:
    return {text[at : at + length].lower() for at in range(len(text) - length + 1)}


def shows(told: str, encoded: str, length: int) -> bool:
    return any(part in told.lower() for part in parts(encoded, length))


@pytest.mark.parametrize("value", [KEY, SECRET], ids=["key", "secret"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_key_is_found_in_every_encoding(name: str, value: str) -> None:
    encoded = ENCODINGS[name](value)
    told = REDACTION.told(f"the venue says {encoded} is bad")
    assert (told[:15], told[-7:]) == ("the venue says ", " is bad")
    # At its ends a neighbour's bits may be left.
    assert not shows(told, encoded, 48 if "escapes" in name else 24 if "octet" in name else 10)


def test_a_secret_that_is_base64_is_found_in_hex_too() -> None:
    assert REDACTION.told(base64.b64decode(SECRET).hex()) == REDACTED


@pytest.mark.parametrize("value", [KEY, SECRET], ids=["key", "secret"])
@given(data=st.data())
def test_eight_characters_of_a_key_in_a_row_are_a_part_of_it(value: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(FRAGMENT, len(value)))
    first = data.draw(st.integers(0, len(value) - length))
    part = value[first : first + length]
    around = data.draw(st.tuples(*[st.text("#{} ", max_size=12)] * 2))
    assert REDACTION.clear(part.join(around)) == REDACTED.join(around)


@given(before=st.integers(TEXT_LENGTH - len(KEY) - 2, TEXT_LENGTH + 2))
def test_a_key_across_the_cut_is_redacted_before_it_is_cut(before: int) -> None:
    told = REDACTION.told("." * before + KEY + "." * 50)
    assert len(told) <= TEXT_LENGTH
    assert not any(part in told.lower() for part in parts(KEY, 4))


def test_a_short_value_is_found_as_a_word_only() -> None:
    assert REDACTION.told("hunter2, Hunter2 and hunter22") == f"{REDACTED}, {REDACTED} and hunter22"
    assert Redaction(("1",)).told("1 of 1") == "1 of 1"


@pytest.mark.parametrize("value", ["ab", "SELL", "usdt", "100.5", "id", "BTCUSDT"])
def test_an_answer_keeps_its_words_however_short_a_passphrase_is(value: str) -> None:
    answer = '{"ab": "ab", "id": "12", "symbol": "BTCUSDT", "side": "SELL", "asset": "USDT", "amount": "100.5"}'
    assert Redaction((KEY, value)).clear(answer) == answer


def test_what_a_key_was_is_known_after_it_was_changed() -> None:
    redaction = Redaction((KEY,))
    redaction.learn((SECRET,))
    assert redaction.clear(f"{KEY} {SECRET}") == f"{REDACTED} {REDACTED}"
    assert KEY not in repr(redaction)


OTHERS: dict[str, tuple[str, str]] = {
    "a header": ("X-MBX-APIKEY: abcdef, Host: x", "X-MBX-APIKEY: [redacted], Host: x"),
    "headers as Python shows them": ("{'API-Sign': 'ab+/cd==', 'a': 1}", "{'API-Sign': '[redacted]', 'a': 1}"),
    "another venue's": (
        "KC-API-PASSPHRASE=abc OK-ACCESS-SIGN=d",
        "KC-API-PASSPHRASE=[redacted] OK-ACCESS-SIGN=[redacted]",
    ),
    "an authorization": ("Authorization: Bearer abc.def-ghi end", "Authorization: [redacted] end"),
    "a bearer": ("it was Bearer eyJhbGciOi.J9", "it was Bearer [redacted]"),
    "a signed address": (
        "GET https://host/api?symbol=BTC&signature=0a1b&x=1",
        "GET https://host/api?symbol=BTC&signature=[redacted]&x=1",
    ),
    "a sign": ("https://host/api?sign=0a1b", "https://host/api?sign=[redacted]"),
    "JSON": ('{"apiKey": "abc", "secret":"def"}', '{"apiKey": "[redacted]", "secret":"[redacted]"}'),
    "a block": ("bad key -----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY----- end", "bad key [redacted] end"),
    "half a block": ("bad key -----BEGIN PRIVATE KEY-----\nMIG", "bad key [redacted]"),
    "a signature in hex": (f"of {'0123456789abcdef' * 4}.", "of [redacted]."),
    "a signature in base64": (f"of {base64.b64encode(bytes(range(64))).decode()}", "of [redacted]"),
}


@pytest.mark.parametrize(("text", "told"), OTHERS.values(), ids=OTHERS)
def test_what_looks_like_a_key_or_a_signature_is_not_told_whoever_owns_it(text: str, told: str) -> None:
    assert Redaction().told(text) == told


def test_what_is_told_can_be_stored() -> None:
    assert REDACTION.told("\ud800 and \U0001f44d\udfff") == "\ufffd and \U0001f44d\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        "Invalid API-key, IP, or permissions for action.",
        "Signature for this request is not valid.",
        "EAPI:Invalid key",
        "EAPI:Invalid signature",
        "EGeneral:Invalid arguments:signature",
        "Account has insufficient balance for requested action.",
        "http_400 BadRequest",
        "/belay/prod/executor/main cannot be read (AccessDeniedException): store it, or allow this role it",
        "0123456789abcdef" * 2,
        "01234567-89ab-cdef-0123-456789abcdef",
        "local_min_notional",
        "privatePostTradeBatchOrdersOfEveryKindWithoutAnyNumber",
    ],
)
def test_what_is_no_secret_is_told(text: str) -> None:
    assert REDACTION.told(text) == text
