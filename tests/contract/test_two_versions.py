"""The version before on this version's records, and this one on its: nothing raises, nothing is acted on that the one
who acts does not understand, and what both understand goes on from hand to hand.

The version before is the commit that previous_version.toml names, taken from this repository's own history.
"""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from belay.domain.record import SCHEMA

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("side_by_side.py")
PREVIOUS = tomllib.loads(Path(__file__).with_name("previous_version.toml").read_text())
OLD, NEW = "layer:1", "layer:2"
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, as it was released."""
    git = ["git", "-C", str(ROOT), "archive", PREVIOUS["commit"], "shared", "tests", "functions", "template.yaml"]
    packed = subprocess.run(git, capture_output=True, check=False)
    if packed.returncode:
        pytest.fail(f"commit {PREVIOUS['commit']} is not in this clone: fetch its whole history")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def at_work(root: Path, rows: Rows | None, *acts: tuple[Any, ...]) -> tuple[list[Any], Rows]:
    """What a version answers to these acts, and the rows that it leaves."""
    path = os.pathsep.join(str(root / part) for part in (".", "shared", "functions/evaluator"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=json.dumps({"rows": rows, "acts": acts}),
        capture_output=True,
        text=True,
        env=environment,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told["answers"], told["rows"]


def bodies(rows: Rows, table: str, prefix: str = "") -> dict[tuple[str, str], str]:
    found = ((item["pk"]["S"], item["sk"]["S"], item["body"]["S"]) for item in rows[table])
    return {(pk, sk): body for pk, sk, body in found if sk.startswith(prefix)}


def changed(rows: Rows, sk: str, **fields: Any) -> Rows:
    """The account's rows with these fields of one record written anew, as a later version leaves them."""
    told: Rows = json.loads(json.dumps(rows))
    for item in told["accounts"]:
        if item["sk"]["S"] == sk:
            item["body"]["S"] = json.dumps({**json.loads(item["body"]["S"]), **fields}, separators=(",", ":"))
            item["reads_from"] = {"N": str(SCHEMA)}
    return told


def test_the_version_before_is_the_one_that_reads_tolerantly() -> None:
    assert (PREVIOUS["version"], SCHEMA) == ("0.1.1", 2)


def test_r48_what_says_nothing_new_goes_from_hand_to_hand(before: Path) -> None:
    opened = (("reconcile", OLD), ("buy", "0.1"), ("minutes", OLD, 2), ("next_hour",), ("buy", "0.02", "9000"))
    answers, rows = at_work(before, None, *opened, ("minutes", OLD, 1))
    assert answers[-1]["clean"], answers
    # This version goes on from there: the exit leaves, what rests is known, the story holds together.
    answers, rows = at_work(ROOT, rows, ("minutes", NEW, 2), ("next_hour",), ("leave",), ("minutes", NEW, 3))
    assert answers[0]["clean"], answers
    assert answers[-1]["clean"], answers
    sold = answers[2]
    # And the one before, after a roll-back: it reads its own records and ours, and goes on trading.
    answers, rows = at_work(before, rows, ("minutes", OLD, 2), ("next_hour",), ("buy", "0.03"), ("minutes", OLD, 2))
    assert answers[0]["clean"], answers
    assert answers[-1]["clean"], answers
    told, _ = at_work(ROOT, rows, ("command", "explain", sold, "--json"), ("minutes", NEW, 2))
    assert json.loads(told[0]["out"])["orders"][0]["state"] == "FILLED"
    assert told[1]["clean"], told


def test_r48_the_version_before_leaves_an_account_alone_that_flows_have_moved(before: Path) -> None:
    _, rows = at_work(ROOT, None, ("reconcile", NEW), ("buy", "0.1"), ("minutes", NEW, 2), ("next_hour",))
    (order,), rows = at_work(ROOT, changed(rows, "STATE", external={"USD": "100"}), ("buy", "0.1"))
    answers, after = at_work(
        before, rows, ("submissions",), ("reconcile", OLD), ("execute", order), ("minutes", OLD, 3), ("submissions",)
    )
    sent, reconciled, executed, later, sent_since = answers
    assert sent_since == sent
    assert executed["result"] == "waiting"
    assert "later version" in executed["detail"]
    assert not reconciled["clean"]
    assert not later["clean"]
    for table in ("ledger", "accounts"):
        kept = bodies(after, table)
        assert {key: kept.get(key) for key in bodies(rows, table)} == bodies(rows, table)


def test_r48_the_version_before_shows_stops_and_cancels_what_it_may_not_act_on(before: Path) -> None:
    _, rows = at_work(ROOT, None, ("reconcile", NEW), ("minutes", NEW, 1))
    (order, *_), rows = at_work(ROOT, rows, ("buy", "0.02", "9000"), ("minutes", NEW, 2))
    rows = changed(rows, "STATE", external={"USD": "100"})
    halt = ("command", "halt", "--scope", "account", "--account", "paper", "--reason", "look")
    answers, after = at_work(before, rows, ("command", "status", "--json"), halt, ("command", "explain", order))
    assert all(not answer["raised"] for answer in answers), answers
    assert answers[0]["code"] == 0
    assert answers[1]["code"] == 0, answers[1]
    assert json.loads(bodies(after, "accounts", "STATE").popitem()[1])["external"] == {"USD": "100"}
    assert any("look" in body for body in bodies(after, "configuration", "STOPS").values())


def test_r48_new_kinds_of_incidents_and_flows_raise_nothing_in_the_version_before(before: Path) -> None:
    _, rows = at_work(ROOT, None, ("reconcile", NEW), ("minutes", NEW, 1))
    incident = next(item for item in rows["accounts"] if item["sk"]["S"] == "STATE")
    body = {
        "account": "paper",
        "kind": "symbol_unavailable",
        "subject": "BTC/USD",
        "symbol": "BTC/USD",
        "expected": "BTC/USD is listed",
        "actual": "it is not",
        "action": "look",
        "opened_at": "2024-03-01T12:00:00Z",
        "status": "open",
        "told": False,
        "resolution": "",
    }
    told = {
        "pk": incident["pk"],
        "sk": {"S": "INCIDENT#symbol_unavailable:BTC/USD"},
        "body": {"S": json.dumps(body)},
        "standing": {"S": "INCIDENT#2024-03-01T12:00:00.000000Z#symbol_unavailable:BTC/USD"},
        "incident_status": {"S": "untold"},
        "opened_at": {"S": "2024-03-01T12:00:00.000000Z"},
        "reads_from": {"N": "1"},
    }
    rows["accounts"].append(told)
    listed = ("command", "incidents", "list", "--json")
    answers, _ = at_work(before, rows, ("minutes", OLD, 2), listed, ("command", "status"))
    assert "symbol_unavailable" in answers[1]["out"]
    assert not any(answer["raised"] for answer in answers[1:])
