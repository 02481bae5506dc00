"""The way back of every incident as a table of the runbook. `python -m tests.way_back` writes it there."""

from pathlib import Path

from belay.domain.way_back import WAYS, Way

PAGE = Path(__file__).parents[1] / "shared" / "RUNBOOK.md"
BEGIN, END = "<!-- way back: begin -->\n", "<!-- way back: end -->\n"
HEAD = "| incident | ends by itself once | command | there and back |\n|---|---|---|---|\n"
WRITTEN = {
    "order": "ORDER",
    "asset": "ASSET",
    "amount": " --amount ASSET=AMOUNT",
    "symbol": "SYMBOL",
    "incident": "ID",
    "strategy": "STRATEGY",
}


def table() -> str:
    return HEAD + "".join(_row(kind.value, way) for kind, way in WAYS.items())


def _row(kind: str, way: Way) -> str:
    told = [(command, "") for command in way.commands]
    told += [(command, "never sent: ") for command in way.unsent]
    told += [(command, "another exit on its way: ") for command in way.leaving]
    told += [(command, "for less than a day: ") for command in way.passing]
    commands = "<br>".join(f"{when}`{command.format(**WRITTEN)}`" for command, when in told)
    proven = f"`{way.test}`" if way.test else ""
    return f"| [{kind}](#{kind}) | {way.automatic} | {commands} | {proven} |\n"


def written(page: str) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
