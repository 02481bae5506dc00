"""The deployed stack as a whole: what survives a deployment and a restart. What functions do is tested elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from belay.local.programs import StackError
from belay.local.stack import Stack

FUNCTIONS = ["EvaluatorFunctionName", "ExecutorFunctionName", "ReconcilerFunctionName"]


@pytest.mark.parametrize("output", FUNCTIONS)
def test_each_function_carries_the_layer_and_knows_its_version(stack: Stack, output: str) -> None:
    function = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs[output])
    layer = stack.outputs["LayerVersionArn"]
    assert [attached["Arn"] for attached in function["Layers"]] == [layer]
    assert function["Environment"]["Variables"]["LAYER_VERSION"] == layer


def test_a_kill_switch_set_by_an_operator_survives_a_deployment_and_a_restart(stack: Stack) -> None:
    name = stack.outputs["KillSwitchParameterName"]
    ssm = stack.client("ssm")
    before = ssm.get_parameters(Names=[name])["Parameters"]
    ssm.put_parameter(Name=name, Value="halted: kept through a deployment", Type="String", Overwrite=True)

    stack.deploy({"ExecutorConcurrency": "3"})
    stack.restart()

    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == "halted: kept through a deployment"
    ssm.delete_parameter(Name=name)
    for parameter in before:
        ssm.put_parameter(Name=name, Value=parameter["Value"], Type="String")


def test_what_the_ledger_holds_survives_a_restart(stack: Stack) -> None:
    dynamodb = stack.client("dynamodb")
    key = {"pk": {"S": "TEST#restart"}, "sk": {"S": "row"}}
    dynamodb.put_item(TableName=stack.outputs["LedgerTableName"], Item=key)

    stack.restart()

    assert dynamodb.get_item(TableName=stack.outputs["LedgerTableName"], Key=key)["Item"] == key
    dynamodb.delete_item(TableName=stack.outputs["LedgerTableName"], Key=key)
    assert stack.read_outputs() == stack.outputs


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Stack]:
    """An emulator with nothing deployed, stopped once after it was told something."""
    stack = Stack(tmp_path)
    stack.start()
    tell(stack, "first")
    assert stack.stop()
    yield stack
    stack.stop()


def tell(stack: Stack, value: str) -> None:
    stack.client("ssm").put_parameter(Name="/told", Value=value, Type="String", Overwrite=True)


def told(stack: Stack) -> Any:
    return stack.client("ssm").get_parameter(Name="/told")["Parameter"]["Value"]


def test_a_stop_that_cannot_store_everything_says_so_and_leaves_what_was_stored_before(empty: Stack) -> None:
    empty.start()
    tell(empty, "second")
    in_the_way = empty.state / "state/ssm.json.tmp"
    in_the_way.mkdir()
    assert not empty.stop()
    in_the_way.rmdir()
    empty.start()
    assert told(empty) == "first"


def test_a_damaged_file_is_neither_taken_for_nothing_nor_written_over(empty: Stack) -> None:
    file = empty.state / "state/ssm.json"
    whole = file.read_text()
    file.write_text(whole[:-9])
    with pytest.raises(StackError, match=r"cannot restore .*ssm\.json"):
        empty.start()
    assert file.read_text() == whole[:-9]
    file.write_text(whole)
    empty.start()
    assert told(empty) == "first"


def test_nothing_waits_in_a_queue_of_an_idle_stack(stack: Stack) -> None:
    assert stack.queues_empty()
