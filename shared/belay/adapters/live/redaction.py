"""Nothing secret in a text: what a key is made of, in the encodings below, and what looks like a key or a signature.

Every text that leaves an adapter is redacted whole and cut afterwards, since a cut key is still a part of a key.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from string import ascii_lowercase, ascii_uppercase
from urllib.parse import quote

from belay.domain.texts import storable

REDACTED = "[redacted]"
# So many characters of a key in a row are a part of it. Of a shorter value only the whole is, as a word of its own, and
# only in what is told: in an answer the same word is a side, an asset or an amount.
FRAGMENT = 8
SHORTEST = 4
CODE_LENGTH, TEXT_LENGTH = 100, 300
LONGEST = 65_536  # of which no more is looked at, far beyond what is told
# Lower case without changing a length, as str.lower may.
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", re.DOTALL)
NAMED = re.compile(
    r"""(?P<name>(?<![a-z0-9])(?:[a-z]{1,20}[-_]){0,4}
    (?:authorization|(?:api|access|private|secret|listen)[-_]?(?:key|sign|secret)|mbx[-_]apikey|access[-_]sign
    |sign(?:ature)?|passphrase|password|secret|token|cookie)["']?\s{0,3}[:=]\s{0,3}["']?)
    (?:(?:bearer|basic|digest)\s+)?(?:\[redacted\]|[^\s"'&,;)\]}>])+""",
    re.IGNORECASE | re.VERBOSE,
)
BEARER = re.compile(r"\b(?P<name>bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
# Signatures, tokens and keys of whatever venue: long, and no words. An order id of ours has 32 characters.
RUN = re.compile(
    r"(?<![A-Za-z0-9+/_=-])(?:0x)?(?:[0-9a-fA-F]{40,}"
    r"|(?=[A-Za-z+/_-]*[0-9])(?=[A-Z0-9+/_-]*[a-z])(?=[a-z0-9+/_-]*[A-Z])[A-Za-z0-9+_-][A-Za-z0-9+/_-]{39,})={0,2}"
)


class Redaction:
    """Knows every value of a key that was ever read, by its fragments: a venue may also repeat a key of yesterday."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._words: set[str] = set()
        self._fragments: dict[int, _Fragments] = {}
        self.learn(values)

    def __repr__(self) -> str:
        return "Redaction()"

    def learn(self, values: Iterable[str]) -> None:
        for value in set(values) - self._values:
            self._values.add(value)
            if SHORTEST <= len(value) < FRAGMENT:
                self._words.add(value.translate(LOWER))
            for form, length in _forms(value) if len(value) >= FRAGMENT else ():
                lowered = form.translate(LOWER)
                windows = {lowered[at : at + length] for at in range(len(lowered) - length + 1)}
                # Another dictionary, since other threads read this one.
                known = self._fragments[length].all if length in self._fragments else frozenset()
                self._fragments = {**self._fragments, length: _Fragments(length, known | windows)}

    def clear(self, text: str) -> str:
        """An answer's text without any part of the key."""
        return _without(text, self._parts(text.translate(LOWER)))

    def told(self, text: object, length: int = TEXT_LENGTH) -> str:
        """What may be told and stored: without the key and without what looks like one, and only then cut."""
        whole = storable(str(text)[:LONGEST])
        lowered = whole.translate(LOWER)
        left = PEM.sub(REDACTED, _without(whole, [*self._parts(lowered), *self._whole_words(lowered)]))
        for pattern in (NAMED, BEARER):
            left = pattern.sub(rf"\g<name>{REDACTED}", left)
        return RUN.sub(REDACTED, left)[:length]

    def _parts(self, lowered: str) -> list[tuple[int, int]]:
        found = self._fragments.items()
        return [(at, at + length) for length, fragments in found for at in fragments.places(lowered)]

    def _whole_words(self, lowered: str) -> Iterator[tuple[int, int]]:
        for word in tuple(self._words):
            for match in re.finditer(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", lowered):
                yield match.span()


class _Fragments:
    """Texts of one length, and where in another text they are. A part of each is looked for first, at every few places:
    an answer may have millions."""

    def __init__(self, length: int, texts: frozenset[str]) -> None:
        self.all = texts
        self._length, self._part = length, length // 2
        self._step = length - self._part + 1
        self._parts = {text[at : at + self._part] for text in texts for at in range(self._step)}

    def places(self, text: str) -> Iterator[int]:
        for near in range(0, len(text) - self._part + 1, self._step):
            if text[near : near + self._part] in self._parts:
                first = max(near - self._step + 1, 0)
                yield from (at for at in range(first, near + 1) if text[at : at + self._length] in self.all)


def _forms(value: str) -> Iterator[tuple[str, int]]:
    """The ways in which a value may be written, each with how much of it in a row is a part of the value."""
    octets = value.encode()
    yield value, FRAGMENT
    for written in (quote(value, safe=""), json.dumps(value)[1:-1], value.replace("/", r"\/"), html.escape(value)):
        if written != value:
            yield written, FRAGMENT + 4
    yield "".join(f"%{octet:02x}" for octet in octets), 3 * FRAGMENT
    yield "".join(f"\\u{ord(character):04x}" for character in value), 6 * FRAGMENT
    yield octets.hex(), 2 * FRAGMENT
    # Base64 of the value, wherever in a longer text it begins; eight of its characters are at least nine of these.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + octets).decode().rstrip("=")
        for alphabet in (encoded, encoded.translate(str.maketrans("+/", "-_"))):
            yield alphabet[shift + 1 if shift else 0 :], FRAGMENT + 1
    try:
        yield base64.b64decode(value, validate=True).hex(), 2 * FRAGMENT
    except (ValueError, binascii.Error):
        return


def _without(text: str, hidden: list[tuple[int, int]]) -> str:
    """The text with one mark in the place of each stretch that is hidden."""
    left: list[str] = []
    end = 0
    for start, stop in sorted(hidden):
        if start > end or not left:
            left += [text[end:start], REDACTED]
        end = max(end, stop)
    return "".join([*left, text[end:]])
