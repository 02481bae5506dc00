"""What a text from outside may be: one that can be stored, and shown to a person without acting on what shows it."""

import re
import unicodedata

# Categories of characters that act or cannot be seen: controls, formats (bidi, zero width), surrogates, private use,
# unassigned, line and paragraph separators.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks of Unicode's property Default_Ignorable_Code_Point, and the blank of Braille: drawn as nothing.
IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
MORE = "…"
SURROGATE = re.compile("[\ud800-\udfff]")
NO_CHARACTER = "\ufffd"


def storable(text: str) -> str:
    """The text, of which every part is a character: a lone surrogate is half of one, and can be encoded by nobody."""
    return text if text.isascii() else SURROGATE.sub(NO_CHARACTER, text)


def shown(text: str) -> str:
    r"""A text on one line in which everything can be seen: what acts or is invisible stands as an escape, as `\x1b`.

    Letters of all scripts, accents, symbols and spaces stay. A backslash stays, too, so that a text shown twice is the
    same as shown once; what was really there, `--json` tells.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def bounded(text: str, most: int) -> str:
    """As `shown`, in at most so many characters; the last is an ellipsis where something was left out."""
    whole = shown(text[: most + 1])
    return whole if len(whole) <= most else whole[: most - 1] + MORE


def paragraph(text: str) -> str:
    """As `shown`, but for the line breaks (`\\n`) of a text that is made of several lines."""
    return "\n".join(map(shown, text.split("\n")))


def _visible(sign: str) -> str:
    acts = unicodedata.category(sign) in UNSEEN or IGNORED.match(sign)
    return sign.encode("unicode_escape").decode("ascii") if acts else sign
