"""Texts that try to be more than text, and a way to put one into any free-text field of any record. Shows nothing.

Which fields there are is read from the models, so that a new one is covered by itself.
"""

import importlib
import pkgutil
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

import belay.domain
import belay.workflows
from belay.adapters.aws import kill_switch as ssm
from belay.adapters.paper import market as paper_market
from belay.adapters.paper import state as paper_state
from belay.domain.record import Record
from belay.domain.texts import shown

HOSTILE = {
    "HTML": "<evil-element evil-attribute=1>' evil-quote=1 \" evil-quotes=1><!--<script>evil()</script></script>",
    "plotly": "<b>bold</b> <a href=\"javascript:evil()\">link</a> %{evil} &lt;evil-entity&gt;",
    "ANSI colour": "\x1b[31mred\x1b[0m",
    "C1 colour": "\x9b31mred",
    "OSC 8 link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "title": "\x1b]0;owned\x07",
    "bell and backspaces": "\x07\x08\x08\x08\x7f",
    "forged line": "ok\r\nFORGED What to do: send it all\nFORGED 2024-01-01T00:00:00Z all is well",
    "other line ends": "a\u2028FORGED\u2029FORGED\x85FORGED\x0b\x0c\x1cFORGED",
    "bidi": "\u202egnp.exe\u2066\u2069\u200f\u061c",
    "zero width": "ad\u200bmin\u200d\u2060\ufeff\u00ad\ufe0f\u034f\u3164\U000e0041",
    "lone surrogate": "\udfff\ud800",
    "private and unassigned": "\ue000\ue001\U0010fffd\u0378",
    "closing tag": "loud[/] [/magenta]",
    "rich markup": "] [magenta on yellow]loud[/] [link=https://evil.example]click[/link] :skull: \\",
    "half a tag": "x] [link=https://evil.example/",
    "template": "{{7*7}} {% evil %} ${7*7} %(evil)s {evil}",
    "CSV formula": "=cmd|' /C calc'!A0",
    "very long": "long " * 2_000,
}  # fmt: skip
EVERYTHING = " ".join(text[:1_000] for text in HOSTILE.values())
SAFE = "naïve Ωmega 日本語\u3000かな עברית عربي हिन्दी ไทย 👍🏽 «10\u00a0000 €» 1/2 - a_b-c.d:e|f#g%h\\i [1] {x}"

MODULES = (belay.domain, belay.workflows)
Field = tuple[type[Record], str]


def acting(text: str) -> set[str]:
    """The signs of a text of several lines that are more than text."""
    return {sign for sign in set(text) - {"\n"} if shown(sign) != sign}


# --- which fields hold free text ----------------------------------------------------------------------------------


def records() -> list[type[Record]]:
    """Every record of domain, ports and workflows, and what the report reads of the paper venue."""
    for package in MODULES:
        for found in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{found.name}")
    wanted = (
        "belay.domain.",
        "belay.workflows.",
        "belay.ports",
        paper_market.__name__,
        paper_state.__name__,
        ssm.__name__,
    )
    return sorted({model for model in _below(Record) if model.__module__.startswith(wanted)}, key=_name)


def _name(model: type[Record]) -> str:
    return f"{model.__module__}.{model.__name__}"


def _below(model: type[Record]) -> Iterator[type[Record]]:
    for lower in model.__subclasses__():
        yield lower
        yield from _below(lower)


def text_fields() -> list[Field]:
    return [
        (model, name)
        for model in records()
        if "[" not in model.__name__
        for name, field in model.model_fields.items()
        if holds_text(_kind(field))
    ]


def _kind(field: FieldInfo) -> Any:
    """A field's type with what pydantic took out of it."""
    kind: Any = field.annotation
    return Annotated[(kind, *field.metadata)] if field.metadata else kind


def holds_text(kind: Any) -> bool:
    """Whether a value of this type has a text in it that may be anything, outside of other records."""
    if kind is str or kind is Any:
        return True
    if isinstance(kind, TypeAliasType):
        return holds_text(kind.__value__)
    if get_origin(kind) is Annotated:
        inner, *bounds = get_args(kind)
        return holds_text(inner) and not any(map(_restricts, bounds))
    return get_origin(kind) in (Union, types.UnionType, tuple, list, dict, frozenset, Mapping) and any(
        map(holds_text, get_args(kind))
    )


def _restricts(bound: Any) -> bool:
    return isinstance(bound, AfterValidator) or bool(getattr(bound, "pattern", None))


# --- putting a text there -----------------------------------------------------------------------------------------

# What has to stay what it is, or nothing would be shown at all: times, amounts and kinds within free data.
FIGURE = re.compile(r"[-+0-9.:TZ]*")
KINDS = frozenset({"outcome"})


class Poison:
    """Puts a text into one field of every record of one model, wherever it lies. `met`: how often."""

    def __init__(self, field: Field, text: str) -> None:
        self.field = field
        self.text = text
        self.met = 0

    def __call__(self, value: Any) -> Any:
        """The value with the text in it. Records are not validated again: a store may hold what no model lets in."""
        if isinstance(value, Record):
            changed = {name: self(getattr(value, name)) for name in type(value).model_fields}
            model, name = self.field
            if type(value) is model:
                changed[name] = self._put(_kind(model.model_fields[name]), changed[name])
            return value.model_copy(update=changed)
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            return tuple(map(self, value))
        if isinstance(value, list):
            return list(map(self, value))
        if isinstance(value, dict):
            return {key: self(part) for key, part in value.items()}
        return value

    def _put(self, kind: Any, value: Any) -> Any:
        if isinstance(kind, TypeAliasType):
            return self._put(kind.__value__, value)
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return value if any(map(_restricts, parts[1:])) else self._put(parts[0], value)
        if origin in (Union, types.UnionType):
            return self._put(next(part for part in parts if holds_text(part)), value)
        if kind is str:
            return self._text()
        if kind is Any:
            return self._free(value)
        if origin is tuple:
            return tuple(self._put(parts[0], part) for part in value)
        if origin is dict and parts[1] is Any:
            return {**self._free(value), self._text(): self.text}
        if origin is dict and parts[0] is str:
            known = value or ({"": Decimal(1)} if not holds_text(parts[1]) else {"": ""})
            return {self._text(): self._put(parts[1], part) for part in known.values()}
        return value

    def _free(self, value: Any) -> Any:
        match value:
            case str() if not FIGURE.fullmatch(value) or not value:
                return self._text()
            case list() | tuple():
                return [self._free(part) for part in value]
            case dict():
                return {name: part if name in KINDS else self._free(part) for name, part in value.items()}
        return value

    def _text(self) -> str:
        self.met += 1
        return self.text


class Together:
    """Several poisons at once."""

    def __init__(self, poisons: Iterable[Poison]) -> None:
        self.poisons = tuple(poisons)

    def __call__(self, value: Any) -> Any:
        for poison in self.poisons:
            value = poison(value)
        return value


class Poisoned[T]:
    """Something whose answers are poisoned; what is written to it is forgotten."""

    def __init__(self, target: T, poison: Callable[[Any], Any], forgotten: tuple[str, ...] = ()) -> None:
        self._target = target
        self._poison = poison
        self._forgotten = forgotten

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        if name.startswith(self._forgotten):
            return lambda *arguments, **_: arguments[0] if arguments else None
        return lambda *arguments, **named: self._poison(found(*arguments, **named))
