"""Every command that a text names is one, with the options named: in the program's own texts and the runbook."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from belay.cli.main import app
from belay.domain.incidents import IncidentKind
from belay.domain.way_back import WAYS

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "shared" / "belay").rglob("*.py"))
PAGES = [ROOT / "shared" / "RUNBOOK.md"]
BELAY: Any = get_command(app)
# What stands for a value, or is one: X is what the program fills in.
VALUE = r"X|[A-Z][\w.]*|rows\.json|account\.json|\"…\"|'…'|…|\.\.\.|\{\w+\}|all|sell"
NAMED = re.compile(rf"(?<![\w/.-])belay((?: [a-z][a-z-]*)+)((?: (?:--[a-z-]+|{VALUE}))*)")
# Words that follow the program's name where no command is meant.
NO_COMMANDS = {"key", "with"}


def named(text: str) -> Iterator[tuple[str, Any, list[str]]]:
    """Each command that a text names: as it stands there, itself (None if there is no such), and its options."""
    for found in NAMED.finditer(" ".join(text.split())):
        words, command = found[1].split(), BELAY
        if words[0] in NO_COMMANDS:
            continue
        followed = []
        while words and words[0] in getattr(command, "commands", {}):
            followed.append(words[0])
            command = command.commands[words.pop(0)]
        options = re.findall(r"--[a-z-]+", found[2]) if not words or set(words) <= {"all", "sell"} else []
        is_one = bool(followed) and (not hasattr(command, "commands") or "--help" in options)
        yield f"belay {' '.join([*followed, *options])}", command if is_one else None, options


def flags(command: Any) -> set[str]:
    return {"--help", *(option for parameter in command.params for option in parameter.opts)}


def written(node: ast.expr) -> str:
    """A text of the program, what is filled in as X."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in values)
    return ""


def texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in inside:
            yield written(node)


def wrong(text: str) -> list[str]:
    return [told for told, command, options in named(text) if command is None or not set(options) <= flags(command)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_text_of_the_program_names_a_command_that_there_is_not(path: Path) -> None:
    assert [told for text in texts(path) for told in wrong(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_code_of_the_runbook_names_a_command_that_there_is_not(path: Path) -> None:
    spans = re.findall(r"`([^`]+)`", path.read_text())
    assert [told for span in spans for told in wrong(span)] == []


@pytest.mark.parametrize(
    "text",
    ["See belay trades.", "belay nothing", "belay incidents close X", 'belay resolve ORDER --gone --reason "…"'],
)
def test_a_command_that_there_is_not_is_found(text: str) -> None:
    assert wrong(text) != []


def incidents() -> Iterator[tuple[IncidentKind, str]]:
    """Each kind with what its incidents say is to be done, as far as that is written where they are made."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assigned = {
            target.id: written(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            said = {word.arg: word.value for word in node.keywords}
            kind, action = said.get("kind"), said.get("action")
            if node.func.id not in ("Incident", "Mismatch") or not isinstance(kind, ast.Attribute) or action is None:
                continue
            if ast.unparse(kind.value) == "IncidentKind":
                told = assigned.get(action.id, "") if isinstance(action, ast.Name) else written(action)
                yield IncidentKind[kind.attr], told


def test_what_an_incident_says_is_to_be_done_is_among_the_commands_that_it_prints() -> None:
    told = list(incidents())
    assert {kind for kind, _ in told} == set(IncidentKind)
    unprinted = [
        (kind, said)
        for kind, action in told
        for said, command, options in named(action)
        if not any(command is other and set(options) <= set(given) for _, other, given in printed(kind))
    ]
    assert unprinted == []


def printed(kind: IncidentKind) -> list[tuple[str, Any, list[str]]]:
    known = {**dict.fromkeys(("order", "asset", "symbol", "incident"), "X"), "amount": ""}
    return [one for template in WAYS[kind].commands for one in named(template.format(**known))]
