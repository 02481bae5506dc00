"""The demo's rows as `tests.demo_rows` makes them in memory are the items that the real tables hold."""

import pytest

from belay.adapters.aws.ledger import DynamoLedger
from belay.adapters.paper.clock import load_candles, set_replay_clock
from belay.adapters.paper.table import DynamoPaperStore
from tests.builders import NOW, SYMBOL
from tests.contract.conftest import TABLES, aws_client, make_paper_table, make_tables
from tests.demo_rows import Demo, Row, ledger_rows, paper_rows

HOURS, SEED = 5, 7
# What the venue's table adds to each item for its own conditional writes.
VERSION = "version"


def scanned(table: str) -> list[Row]:
    pages = aws_client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [
        {name: next(iter(value.values())) for name, value in item.items()} for page in pages for item in page["Items"]
    ]


def by_key(rows: list[Row], *ignored: str) -> dict[tuple[str, str], Row]:
    return {(row["pk"], row["sk"]): {k: v for k, v in row.items() if k not in ignored} for row in rows}


@pytest.mark.usefixtures("aws")
def test_the_rows_made_in_memory_are_the_items_of_the_tables() -> None:
    in_memory, stored = Demo(HOURS, SEED), Demo(HOURS, SEED)
    client = aws_client("dynamodb")
    make_tables(client)
    make_paper_table(client, "paper")
    account = stored.document.account
    stored.ledger = DynamoLedger(client, TABLES)  # type: ignore[assignment]
    stored.store = DynamoPaperStore(client, "paper", account)  # type: ignore[assignment]
    load_candles(stored.store, stored.document, SYMBOL, "1h", in_memory.candles)
    set_replay_clock(stored.store, stored.document, NOW)
    stored.configure(stored.document)
    # A proof names the table that it holds for.
    in_memory.ledger.table_id = stored.ledger.table_id
    in_memory.trade()
    stored.trade()
    assert in_memory.fills()
    assert in_memory.store.faults()
    for table, rows in ledger_rows(in_memory.ledger, account).items():
        assert by_key(rows) == by_key(scanned(table)), table
    assert by_key(paper_rows(in_memory.store)) == by_key(scanned("paper"), VERSION)
