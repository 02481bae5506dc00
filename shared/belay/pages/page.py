"""A self-contained HTML page of text and charts. Knows nothing of what it shows.

Nothing in a page comes from elsewhere: it opens without a network, and forbids itself to use one, or to run any script
but its own.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from belay.domain.texts import shown
from belay.pages.figures import Figure

PLOTLY = files("plotly") / "package_data" / "plotly.min.js"


class Section(NamedTuple):
    """A part of a page: `anchor` is its id, `body` is HTML in which everything foreign is escaped."""

    anchor: str
    title: str
    body: Markup


def page(title: str, sections: Sequence[Section], lead: Markup | str = "") -> str:
    """A whole document: a title, a lead, the sections in order, and the plotly.js that draws their charts."""
    skeleton = _templates().get_template("page.html.jinja")
    scripts = [PLOTLY.read_text(encoding="utf-8"), _own("page.js")]
    return skeleton.render(
        title=title,
        lead=lead,
        sections=sections,
        style=_trusted(_own("page.css")),
        scripts=list(map(_trusted, scripts)),
        allowed=" ".join(map(_source, scripts)),
    )


def chart(anchor: str, figure: Figure, name: str, caption: str) -> Markup:
    """A figure of `belay.pages.figures` as HTML. A screen reader says `name`; `caption` stands below the chart."""
    return part("page.parts.html.jinja", "chart", anchor, figure, name, caption)


def part(template: str, macro: str, *arguments: Any) -> Markup:
    """What a template's macro makes of the arguments, each of them escaped where it is not Markup."""
    made: Markup = getattr(_templates().get_template(template).module, macro)(*arguments)
    return made


def _own(name: str) -> str:
    return (files("belay.pages") / "templates" / name).read_text(encoding="utf-8")


def _trusted(text: str) -> Markup:
    return Markup(text)  # nosec B704 # noqa: S704 only files that come with the code


def _source(script: str) -> str:
    """A script as a content security policy names it: no other one runs on the page, wherever it came from."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("belay.pages"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


def _visible(value: Any) -> Any:
    """What a template is about to write, before it is escaped; Markup is a template's own."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


# --- words ----------------------------------------------------------------------------------------


def decimal(value: object) -> str:
    """A decimal for reading: thousands apart, at most eight places, no empty ones. Anything else as it is."""
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return str(value)
    if not number.is_finite():
        return str(value)
    text = f"{round(number, 8):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _clock(at: datetime | None, form: str = "%H:%M:%S") -> str:
    return f"{at:{form}}" if at else ""


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{decimal(amount)} {asset}" for asset, amount in amounts.items()) or "none"


FILTERS: dict[str, Any] = {
    "shown": shown,
    "decimal": decimal,
    "money": money,
    "amounts": _amounts,
    "pairs": lambda values: ", ".join(f"{name} {decimal(value)}" for name, value in values.items()),
    "clock": _clock,
    "fine_clock": lambda at: _clock(at, "%H:%M:%S.%f")[:-3],
    "minute": lambda at: _clock(at, "%Y-%m-%d %H:%M"),
    "second": lambda at: _clock(at, "%Y-%m-%d %H:%M:%S"),
}
