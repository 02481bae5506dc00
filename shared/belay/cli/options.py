"""Options that several commands have, each declared once. Nothing of the shared ones, which are in `session`."""

from typing import Annotated

import typer

Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
Author = Annotated[str, typer.Option(envvar="USER", help="Who acts.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, a row each.")]
Strategy = Annotated[str | None, typer.Option(help="Only this strategy.")]
NewStrategy = Annotated[
    bool, typer.Option("--new-strategy", help="The strategy has no tick yet: its name cannot be checked.")
]
