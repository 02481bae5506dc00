"""The deployed stack as a whole: what survives a deployment and a restart. What functions do is tested elsewhere."""

import pytest

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


def test_nothing_waits_in_a_queue_of_an_idle_stack(stack: Stack) -> None:
    assert stack.queues_empty()
