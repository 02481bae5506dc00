"""What `sam build` makes: the layer for both architectures, and functions that need nothing but the layer."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from belay.local.build import NOT_IN_THE_LAYER, build, machine_architecture
from belay.local.programs import ROOT

ELF_MACHINES = {"x86_64": 62, "arm64": 183}
UNCHECKED_HASH = 0b01
VENUES = (
    "binance bitfinex bitget bybit coinbase gate htx hyperliquid kraken kucoin mexc okx".split()  # noqa: SIM905
)
FUNCTIONS = {
    "evaluator": "EvaluatorFunction",
    "executor": "ExecutorFunction",
    "reconciler": "ReconcilerFunction",
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "STAGE": "dev",
    "LEDGER_TABLE_NAME": "ledger",
    "ACCOUNTS_TABLE_NAME": "accounts",
    "CONFIGURATION_TABLE_NAME": "configuration",
    "PAPER_TABLE_NAME": "paper",
    "INTENTS_QUEUE_URL": "http://127.0.0.1:9/intents",
    "FOLLOW_UPS_QUEUE_URL": "http://127.0.0.1:9/follow-ups",
    "FOLLOW_UP_SECONDS": "5",
    "KILL_SWITCH_PARAMETER": "/belay/dev/kill-switch",
    "INCIDENTS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:incidents",
    "LAYER_VERSION": "arn:aws:lambda:us-east-1:000000000000:layer:belay-dev:1",
    "EVALUATOR_FUNCTION_NAME": "evaluator",
    "POWERTOOLS_SERVICE_NAME": "belay-dev-test",
    "POWERTOOLS_METRICS_NAMESPACE": "Belay",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
# `import ccxt` loads every exchange; the layer has twelve, each imported alone through a bare package.
IMPORT_ONE_VENUE = """
import importlib, sys, types
stub = types.ModuleType("ccxt")
stub.__path__ = [f"{sys.path[0]}/ccxt"]
sys.modules["ccxt"] = stub
venue = importlib.import_module(f"ccxt.{sys.argv[1]}")
assert getattr(venue, sys.argv[1])({"apiKey": "none"}).id == sys.argv[1]
"""


def layer(architecture: str) -> Path:
    return build(architecture) / "BelayLayer/python"


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_bare(paths: list[Path], code: str, *arguments: str) -> None:
    """Run code in an interpreter that sees the standard library and these folders, nothing else."""
    first = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n"
    subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", first + code, *arguments],
        check=True,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("architecture", ELF_MACHINES)
def test_every_library_in_the_layer_is_for_the_asked_architecture(architecture: str) -> None:
    libraries = [path for path in layer(architecture).rglob("*.so*") if path.is_file()]
    machines = {path.name: int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries}
    assert machines == dict.fromkeys(machines, ELF_MACHINES[architecture])
    assert any("pydantic_core" in name for name in machines)


@pytest.mark.parametrize("architecture", ELF_MACHINES)
def test_every_module_in_the_layer_is_compiled_and_never_checked_against_its_source(
    architecture: str,
) -> None:
    python = layer(architecture)
    for source in python.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        header = compiled.read_bytes()[:8] if compiled.exists() else b""
        assert header == importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little"), source


@pytest.mark.parametrize("architecture", ELF_MACHINES)
def test_nothing_in_the_layer_records_where_it_was_built(architecture: str) -> None:
    build_places = [os.fsencode(place) for place in (ROOT, Path.home() / ".cache", layer(architecture))]
    for path in layer(architecture).rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(place in content for place in build_places), path


@pytest.mark.parametrize("architecture", ELF_MACHINES)
def test_the_layer_has_what_functions_use_and_no_more(architecture: str) -> None:
    python = layer(architecture)
    assert sorted(path.stem for path in (python / "ccxt").glob("*.py")) == ["__init__", *VENUES]
    unused = ["aiohttp", "uvloop", "ccxt/pro", "ccxt/async_support", "botocore/data/ec2"]
    assert not [name for name in unused if (python / name).exists()]
    assert sum(path.stat().st_size for path in python.rglob("*") if path.is_file()) < 70_000_000


@pytest.mark.parametrize("architecture", ELF_MACHINES)
def test_the_layer_carries_these_rooms_of_belay_and_no_page(architecture: str) -> None:
    """An edit of a page or of a command must make no new version of the layer, which would close the gate."""
    carried, source = layer(architecture) / "belay", ROOT / "shared/belay"
    rooms = ("adapters", "domain", "workflows")
    expected = {"__init__.py", "bootstrap.py", "ports.py", "py.typed"} | {
        str(path.relative_to(source))
        for room in rooms
        for path in (source / room).rglob("*")
        if path.suffix in (".py", ".json")
    }
    files = {str(path.relative_to(carried)) for path in carried.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} == expected
    assert {path.name for path in source.iterdir() if path.is_dir()} - {"__pycache__"} == {*rooms, *NOT_IN_THE_LAYER}


def test_two_builds_give_the_same_layer(tmp_path: Path) -> None:
    architecture = machine_architecture()
    subprocess.run(
        ["make", "--makefile", ROOT / f"shared/layer/{architecture}/Makefile", "build-BelayLayer"],
        cwd=ROOT / "shared",
        env=os.environ | {"ARTIFACTS_DIR": str(tmp_path), "PYTHON": sys.executable},
        check=True,
        capture_output=True,
    )
    assert digests(tmp_path / "python") == digests(layer(architecture))


@pytest.mark.parametrize("venue", VENUES)
def test_each_venue_can_be_imported_alone_from_the_layer(venue: str) -> None:
    run_bare([layer(machine_architecture())], IMPORT_ONE_VENUE, venue)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_built_handler_needs_nothing_but_the_layer(function: str) -> None:
    folder = build()
    run_bare(
        [folder / "BelayLayer/python", folder / FUNCTIONS[function]],
        "import app; assert callable(app.handler)",
    )
