"""A version of Belay at work on rows that another one left: loads them, acts, tells what came of it, gives rows back.

Run as a program with the code of either version on the path; it imports only what both of them have. On its input:
`{"rows": {table: [item, …]} or null, "acts": [[name, argument, …], …]}`; on its output the answers and the rows.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto import mock_aws
from typer.testing import CliRunner

from belay.adapters.aws.ledger import DynamoLedger
from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.table import DynamoPaperStore
from belay.cli.desk import Desk
from belay.cli.main import app
from tests.builders import ACCOUNT, NOW, SYMBOL
from tests.contract.conftest import TABLES, aws_client, make_paper_table, make_tables
from tests.world import World, flat_candles, make_reduce

PAPER = "paper"


class Side:
    """One version with its tables, its venue and its command."""

    def __init__(self, rows: dict[str, list[Any]] | None) -> None:
        self.client = aws_client("dynamodb")
        make_tables(self.client)
        make_paper_table(self.client, PAPER)
        world: Any = World()
        document = world.document
        world.ledger, world.store = DynamoLedger(self.client, TABLES), DynamoPaperStore(self.client, PAPER, ACCOUNT)
        if rows is None:
            load_candles(world.store, document, SYMBOL, "1h", flat_candles())
            set_replay_clock(world.store, document, NOW)
            world.configure(document)
        for table, items in (rows or {}).items():
            for item in items:
                self.client.put_item(TableName=table, Item=item)
        self.world = world
        world.document = world.ledger.configuration(ACCOUNT).document

    def rows(self) -> dict[str, list[Any]]:
        scan = self.client.get_paginator("scan")
        tables = (*TABLES, PAPER)
        return {table: [item for page in scan.paginate(TableName=table) for item in page["Items"]] for table in tables}

    # --- acts -----------------------------------------------------------------------------------------------

    def reconcile(self, layer: str) -> Any:
        return json.loads(self.world.reconcile(layer).model_dump_json())

    def minutes(self, layer: str, count: int) -> Any:
        """The last run's result, of one a minute."""
        self.world.advance(minutes=1)
        self.world.deliver()
        done = self.world.reconcile(layer)
        return self.minutes(layer, count - 1) if count > 1 else json.loads(done.model_dump_json())

    def buy(self, quantity: str, limit: str | None = None) -> str:
        return str(self.world.buy(quantity=quantity, **({"limit_price": limit} if limit else {})).order_id)

    def leave(self) -> str:
        return str(self.world.decide(make_reduce())[0].order_id)

    def execute(self, order_id: str) -> Any:
        return json.loads(self.world.execute(order_id).model_dump_json())

    def next_hour(self) -> None:
        self.world.advance(minutes=61 - self.world.now.minute)

    def submissions(self) -> int:
        return len(self.world.store.submissions())

    def command(self, *arguments: str) -> Any:
        desk = Desk(
            stage="dev",
            ledger=self.world.ledger,
            switch=self.world.switch,
            proof_of=lambda _: None,
            venue_time=lambda _: self.world.now,
            publish=lambda _: None,
            ask_reconciler=lambda _: {},
        )
        result = CliRunner().invoke(app, list(arguments), obj=lambda _stage, _local: desk)
        raised = result.exception is not None and not isinstance(result.exception, SystemExit)
        return {"code": result.exit_code, "out": result.stdout, "err": result.stderr, "raised": raised}


def main() -> None:
    asked = json.load(sys.stdin)
    with mock_aws():
        side, answers = Side(asked["rows"]), []
        for name, *arguments in asked["acts"]:
            act: Callable[..., Any] = getattr(side, name)
            answers.append(act(*arguments))
        json.dump({"answers": answers, "rows": side.rows(), "at": datetime.now(UTC).isoformat()}, sys.stdout)


if __name__ == "__main__":
    main()
