"""Properties of template.yaml that the emulator cannot prove; reads the file, deploys nothing."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from tests.rights import MAY_WRITE

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = cfn_yaml.load(str(ROOT / "template.yaml"))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
ON_CALL = [{"Ref": "IncidentsTopic"}]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: body.get("Properties", {}) for name, body in RESOURCES.items() if body["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
QUEUES = of_type("AWS::SQS::Queue")
ALARMS = of_type("AWS::CloudWatch::Alarm")
ROLES = of_type("AWS::IAM::Role")
GROUPS = of_type("AWS::Logs::LogGroup")
EVENTS = {(function, name): event for function, body in FUNCTIONS.items() for name, event in body["Events"].items()}
SCHEDULES = {
    f"{function}.{name}": event["Properties"]
    for (function, name), event in EVENTS.items()
    if event["Type"] == "ScheduleV2"
}
READERS = {
    event["Properties"]["Queue"]["Fn::GetAtt"][0]: event["Properties"]
    for event in EVENTS.values()
    if event["Type"] == "SQS"
}


def attribute(name: str, of: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, of]}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: str) -> Iterator[dict[str, Any]]:
    for policy in ROLES[role]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def actions_on(role: str, resource: Any) -> set[str]:
    granted = (entry for entry in statements(role) if resource in listed(entry["Resource"]))
    return {action for entry in granted for action in listed(entry["Action"])}


def dead_letter_queues() -> set[str]:
    targets = [QUEUES[name]["RedrivePolicy"]["deadLetterTargetArn"] for name in READERS]
    targets += [schedule["DeadLetterConfig"]["Arn"] for schedule in SCHEDULES.values()]
    targets += [
        body["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]
        for body in FUNCTIONS.values()
        if "EventInvokeConfig" in body
    ]
    return {target["Fn::GetAtt"][0] for target in targets}


# ---- Queues --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_queue_that_feeds_a_function_gives_up_to_a_dead_letter_queue_after_five_receives(name: str) -> None:
    redrive = QUEUES[name]["RedrivePolicy"]
    assert redrive["maxReceiveCount"] >= 5
    dead = QUEUES[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]
    assert dead.get("FifoQueue") == QUEUES[name].get("FifoQueue")


@pytest.mark.parametrize("name", sorted(READERS))
def test_messages_are_handled_one_by_one(name: str) -> None:
    assert READERS[name]["BatchSize"] == 1
    assert "MaximumConcurrency" in READERS[name]["ScalingConfig"]


def test_every_queue_is_read_by_a_function_or_collects_failures() -> None:
    assert set(QUEUES) == set(READERS) | dead_letter_queues()


@pytest.mark.parametrize("name", sorted(dead_letter_queues()))
def test_a_message_in_a_dead_letter_queue_raises_an_alarm_and_is_kept_for_fourteen_days(name: str) -> None:
    dimension = {"Name": "QueueName", "Value": attribute(name, "QueueName")}
    alarms = [alarm for alarm in ALARMS.values() if dimension in alarm["Dimensions"]]
    assert [(a["MetricName"], a["Threshold"], a["AlarmActions"]) for a in alarms] == [
        ("ApproximateNumberOfMessagesVisible", 0, ON_CALL)
    ]
    assert QUEUES[name]["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.parametrize("name", sorted(QUEUES))
def test_a_queue_is_encrypted(name: str) -> None:
    assert QUEUES[name]["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize(
    ("parameter", "function"),
    [("VisibilityTimeout", "ExecutorFunction"), ("FollowUpsVisibilityTimeout", "ReconcilerFunction")],
)
def test_a_message_stays_hidden_for_six_times_its_functions_timeout(parameter: str, function: str) -> None:
    assert TEMPLATE["Parameters"][parameter]["Default"] == 6 * FUNCTIONS[function]["Timeout"]
    assert TEMPLATE["Parameters"][parameter]["MinValue"] >= FUNCTIONS[function]["Timeout"]


# ---- Schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_retries_briefly_and_hands_over_what_it_could_not_deliver(name: str) -> None:
    assert SCHEDULES[name]["RetryPolicy"]["MaximumRetryAttempts"] <= 2
    assert SCHEDULES[name]["RetryPolicy"]["MaximumEventAgeInSeconds"] == 60
    assert SCHEDULES[name]["DeadLetterConfig"]["Arn"] == attribute("TicksDeadLetterQueue", "Arn")


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_is_named_by_stage_runs_in_utc_and_can_be_switched_off(name: str) -> None:
    assert SCHEDULES[name]["Name"]["Fn::Sub"].startswith("belay-${Stage}-")
    assert SCHEDULES[name]["ScheduleExpressionTimezone"] == "UTC"
    assert SCHEDULES[name]["State"] == {"Ref": "ScheduleState"}


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_sends_its_scheduled_time(name: str) -> None:
    assert json.loads(SCHEDULES[name]["Input"])["scheduled_time"] == "<aws.scheduler.scheduled-time>"


def test_schedule_names_differ() -> None:
    names = [schedule["Name"]["Fn::Sub"] for schedule in SCHEDULES.values()]
    assert len(names) == len(set(names))


def test_no_two_schedules_tick_the_same_strategy_instance() -> None:
    """Copied, and not given its own name: they would share their slots, and so one decision."""
    inputs = [json.loads(body["Input"]) for name, body in SCHEDULES.items() if name.startswith("EvaluatorFunction.")]
    instances = [(tick["account"], tick["strategy"], tick["symbol"], tick["timeframe"]) for tick in inputs]
    assert len(instances) == len(set(instances)) > 1


def test_an_evaluator_tick_names_the_whole_strategy_instance() -> None:
    inputs = [body["Input"] for name, body in SCHEDULES.items() if name.startswith("EvaluatorFunction.")]
    ticks = [json.loads(text) for text in inputs]
    wanted = {"scheduled_time", "account", "strategy", "algorithm", "symbol", "timeframe", "parameters"}
    assert [set(tick) for tick in ticks] == [wanted] * len(ticks)
    assert all((ROOT / f"functions/evaluator/strategies/{tick['algorithm']}.py").exists() for tick in ticks)


@pytest.mark.parametrize("name", ["EvaluatorFunction", "ReconcilerFunction"])
def test_a_function_that_is_invoked_asynchronously_is_not_retried_and_its_failure_is_kept(name: str) -> None:
    config = FUNCTIONS[name]["EventInvokeConfig"]
    assert config["MaximumRetryAttempts"] == 0
    assert config["MaximumEventAgeInSeconds"] == 60
    assert config["DestinationConfig"]["OnFailure"]["Type"] == "SQS"


# ---- Permissions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_has_its_own_role_and_no_ready_made_policy(name: str) -> None:
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]
    assert "Policies" not in FUNCTIONS[name]
    assert "ManagedPolicyArns" not in ROLES[role]
    assert [body["Role"]["Fn::GetAtt"][0] for body in FUNCTIONS.values()].count(role) == 1


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_role_names_its_actions_and_its_resources(name: str) -> None:
    for entry in statements(name):
        assert entry["Effect"] == "Allow"
        assert not any("*" in action for action in listed(entry["Action"]))
        assert "*" not in listed(entry["Resource"])
        assert not any("*" in without_own_trees(str(resource)) for resource in listed(entry["Resource"]))


def without_own_trees(resource: str) -> str:
    """A resource without what may end in anything: a table's indexes, a function's own API keys."""
    return re.sub(r"/index/\*|/belay/\$\{Stage\}/(executor|reconciler)/\*", "", resource)


READING = {"dynamodb:ConditionCheckItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query"}
WRITING = {"dynamodb:PutItem"}


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_function_reads_and_puts_items_and_deletes_and_updates_none(name: str) -> None:
    granted = {action for entry in statements(name) for action in listed(entry["Action"])}
    assert {action for action in granted if action.startswith("dynamodb:")} <= READING | WRITING


@pytest.mark.parametrize("function", ["evaluator", "executor", "reconciler"])
def test_a_function_writes_the_tables_that_the_tests_in_memory_let_it_write(function: str) -> None:
    role = f"{function.capitalize()}Role"
    written = {
        table
        for table in ("ledger", "accounts", "configuration")
        if actions_on(role, attribute(f"{table.capitalize()}Table", "Arn")) & WRITING
    }
    assert written == MAY_WRITE[function]


def test_nobody_is_told_anything_by_the_evaluator() -> None:
    """A topic's own default policy would let every role of the account publish: another one stands in its place."""
    (policy,) = of_type("AWS::SNS::TopicPolicy").values()
    assert policy["Topics"] == [{"Ref": "IncidentsTopic"}]
    assert [entry["Principal"] for entry in policy["PolicyDocument"]["Statement"]] == [
        {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert [role for role in ROLES if "sns:Publish" in actions_on(role, {"Ref": "IncidentsTopic"})] == [
        "ExecutorRole",
        "ReconcilerRole",
    ]


def test_only_the_executor_receives_intents() -> None:
    intents = attribute("IntentsQueue", "Arn")
    assert [role for role in ROLES if "sqs:ReceiveMessage" in actions_on(role, intents)] == ["ExecutorRole"]


def test_the_evaluator_cannot_trade_on_the_paper_venue() -> None:
    granted = actions_on("EvaluatorRole", attribute("PaperVenueTable", "Arn"))
    assert granted <= {"dynamodb:GetItem", "dynamodb:Query"}


# ---- Kill switch, tables, logs -------------------------------------------------------------------


def test_the_kill_switch_is_not_in_the_stack_and_nobody_here_may_write_it() -> None:
    assert not [name for name, body in RESOURCES.items() if body["Type"].startswith("AWS::SSM::")]
    granted = {action for role in ROLES for entry in statements(role) for action in listed(entry["Action"])}
    assert {action for action in granted if action.startswith("ssm:")} == {"ssm:GetParameter"}


def test_a_function_reads_the_api_keys_of_its_own_folder_and_nobody_elses() -> None:
    folders = {
        role: [parameter.split(":parameter")[1] for parameter in parameters(role) if parameter.endswith("/*")]
        for role in ROLES
    }
    assert {role: folder for role, folder in folders.items() if folder} == {
        "ExecutorRole": ["/belay/${Stage}/executor/*"],
        "ReconcilerRole": ["/belay/${Stage}/reconciler/*"],
    }


def parameters(role: str) -> list[str]:
    readable = [entry for entry in statements(role) if "ssm:GetParameter" in listed(entry["Action"])]
    return [resource["Fn::Sub"] for entry in readable for resource in listed(entry["Resource"])]


def test_the_executor_may_read_the_kill_switch_that_the_stack_prints() -> None:
    name = TEMPLATE["Outputs"]["KillSwitchParameterName"]["Value"]["Fn::Sub"]
    variables = FUNCTIONS["ExecutorFunction"]["Environment"]["Variables"]
    assert variables["KILL_SWITCH_PARAMETER"] == {"Fn::Sub": name}
    assert [resource.endswith(f":parameter{name}") for resource in parameters("ExecutorRole")].count(True) == 1


LEDGER = ["LedgerTable", "AccountsTable", "ConfigurationTable"]


@pytest.mark.parametrize("name", LEDGER)
def test_the_ledger_outlives_its_stack(name: str) -> None:
    ledger = RESOURCES[name]
    assert ledger["DeletionPolicy"] == "Retain"
    assert ledger["UpdateReplacePolicy"] == "Retain"
    assert ledger["Properties"]["DeletionProtectionEnabled"] == {"Fn::If": ["IsProd", True, False]}


@pytest.mark.parametrize("name", [*LEDGER, "PaperVenueTable"])
def test_a_table_is_on_demand_encrypted_and_can_be_restored_to_any_second(name: str) -> None:
    table = RESOURCES[name]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


@pytest.mark.parametrize("name", LEDGER)
def test_nothing_in_the_ledger_expires(name: str) -> None:
    assert "TimeToLiveSpecification" not in RESOURCES[name]["Properties"]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_functions_log_group_has_a_retention_and_is_the_only_one_it_may_write(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert "RetentionInDays" in GROUPS[group]
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]
    writable = [entry["Resource"] for entry in statements(role) if "logs:PutLogEvents" in entry["Action"]]
    assert writable == [attribute(group, "Arn")]


# ---- Version ------------------------------------------------------------------------------------------


def test_the_stack_tells_the_projects_version_which_the_changelog_has_as_its_latest() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert TEMPLATE["Outputs"]["Version"]["Value"] == version
    releases = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(release for release in releases if release != "Unreleased") == version


# ---- Alarms --------------------------------------------------------------------------------------

HEARTBEATS = {"EvaluatorHeartbeatAlarm", "ReconcilerHeartbeatAlarm"}


@pytest.mark.parametrize("name", sorted(HEARTBEATS))
def test_silence_is_an_alarm(name: str) -> None:
    assert ALARMS[name]["TreatMissingData"] == "breaching"
    assert ALARMS[name]["ComparisonOperator"] == "LessThanThreshold"
    assert ALARMS[name]["Threshold"] == 1


@pytest.mark.parametrize("name", sorted(set(ALARMS) - HEARTBEATS))
def test_an_alarm_on_failures_stays_quiet_without_data(name: str) -> None:
    assert ALARMS[name]["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_reaches_the_person_on_call_and_says_what_to_do(name: str) -> None:
    description = ALARMS[name]["AlarmDescription"]
    assert ALARMS[name]["AlarmActions"] == ON_CALL
    assert all(part in description for part in ("Symptom: ", "First action: ", "Runbook: shared/RUNBOOK.md#"))
    assert len(description) <= 1024


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_points_to_the_entry_of_its_own_name_in_the_runbook(name: str) -> None:
    entry = ALARMS[name]["AlarmName"]["Fn::Sub"].removeprefix("belay-${Stage}-")
    assert ALARMS[name]["AlarmDescription"].split("shared/RUNBOOK.md#")[1].split() == [entry]
    assert f"\n### {entry}\n" in (ROOT / "shared/RUNBOOK.md").read_text()


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_functions_errors_raise_an_alarm(name: str) -> None:
    watched = [a["Dimensions"][0]["Value"] for a in ALARMS.values() if a["MetricName"] == "Errors"]
    assert watched.count({"Ref": name}) == 1


def test_the_reconcilers_heartbeat_is_the_metric_of_this_stages_reconciler() -> None:
    service = FUNCTIONS["ReconcilerFunction"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    alarm = ALARMS["ReconcilerHeartbeatAlarm"]
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert alarm["Namespace"] == shared["POWERTOOLS_METRICS_NAMESPACE"]
    assert alarm["Dimensions"] == [{"Name": "service", "Value": service}]


def test_an_on_call_endpoint_is_subscribed_to_the_incidents_when_there_is_one() -> None:
    assert RESOURCES["OnCallSubscription"]["Condition"] == "HasOnCall"
    assert RESOURCES["OnCallSubscription"]["Properties"]["Endpoint"] == {"Ref": "OnCallEndpoint"}
    assert TEMPLATE["Parameters"]["OnCallEndpoint"]["Default"] == ""


# ---- Layer and dependencies ----------------------------------------------------------------------


def test_functions_and_layer_have_the_same_architecture() -> None:
    asked = {"Ref": "Architecture"}
    layer = RESOURCES["BelayLayer"]
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [asked]
    assert layer["Properties"]["CompatibleArchitectures"] == [asked]
    assert layer["Metadata"]["BuildArchitecture"] == asked
    for architecture in TEMPLATE["Parameters"]["Architecture"]["AllowedValues"]:
        context = layer["Metadata"]["ContextPath"]["Fn::Sub"].replace("${Architecture}", architecture)
        assert f"ARCHITECTURE := {architecture}\n" in (ROOT / context / "Makefile").read_text()


REQUIREMENTS = [
    "shared/requirements.txt",
    "requirements-dev.txt",
    "requirements-sam.txt",
    "requirements-ministack.txt",
]


def pins(file: str) -> set[tuple[str, str]]:
    text = (ROOT / file).read_text()
    return set(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_tests_run_with_exactly_the_packages_of_the_layer() -> None:
    assert pins("shared/requirements.txt") <= pins("requirements-dev.txt")


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_requirements_record_hashes_but_no_download_addresses(file: str) -> None:
    text = (ROOT / file).read_text()
    assert text.count("--hash=sha256:") >= len(pins(file)) > 0
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
