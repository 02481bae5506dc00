"""The terminal as documents are shown on it: their texts can neither act on it nor be taken for markup."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from rich.console import Console
from rich.text import Text

from belay.domain.texts import shown

# What markup is made of, and the signs that stand for it in documents until the markup around them was read: `shown`
# lets no such sign through. Escaping would not do, since two texts together may make a tag that neither holds.
STAND_INS = str.maketrans("[\\", "\ue000\ue001")
PIPE_WIDTH = 140  # columns where no terminal says its own width
STOOD_FOR = str.maketrans("\ue000\ue001", "[\\")


class Terminal(Console):
    """A console that knows the stand-ins. Emoji codes and numbers stay as they are written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        rendered = super().render_str(text, **options)
        rendered.plain = rendered.plain.translate(STOOD_FOR)
        return rendered


def written(text: str) -> str:
    """A document's text to put between markup on a `Terminal`."""
    return shown(text).translate(STAND_INS)


def readable(document: Any) -> Any:
    """A document with every text in it, names included, as it is `written`."""
    match document:
        case str():
            return written(document)
        case Mapping():
            return {written(name): readable(value) for name, value in document.items()}
        case list() | tuple():
            return [readable(value) for value in document]
    return document


def shows[D](show: Callable[[Terminal, D], None]) -> Callable[[Terminal, D], None]:
    """What `show` is handed is `readable`, so that it cannot forget a text."""

    @wraps(show)
    def show_readable(out: Terminal, document: D) -> None:
        show(out, readable(document))

    return show_readable


def as_json(document: Any) -> str:
    """Exact data in ASCII without a control character but line breaks, which no terminal takes for more than text."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def terminal_console(*, quiet: bool = False) -> Terminal:
    """Standard output, as wide as its terminal says; wide enough for a line of text where there is none."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Terminal(quiet=quiet, width=width)
