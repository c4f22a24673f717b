"""A function for each worker, one for the dead letters and the clock's; with their mappings and log groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.core.run.transitions.claim import MAX_CRASHES
from headrace_infra.template.bucket import BUCKET
from headrace_infra.template.intrinsics import Block, att, named, ref, when
from headrace_infra.template.policies import clock_policy, dead_letters_policy, worker_policy
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.roles import role, role_of
from headrace_infra.template.tables import TABLE
from headrace_infra.template.unit import Unit, queue_urls

ALIAS = "live"
LEAST_CONCURRENCY = 2
"""The least MaximumConcurrency that SQS's mapping takes."""

SUPPORT_MEMORY = 512
SUPPORT_TIMEOUT_S = 60
SEALED = "HEADRACE_SEALED"
"""Has the functions that do without the app's code load it for its payload codec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the code is: the folder that `sam build` packs, and the app in it as module:attribute. `events`: whether it uses events.
    `sealed`: whether it has a payload codec."""

    code_uri: str
    app: str
    namespace: str = ""
    zone: str = ""
    events: bool = False
    max_crashes: int = MAX_CRASHES
    sealed: bool = False


def worker_function(unit: Unit, units: list[Unit], source: Source) -> Block:
    """The worker's function, mapping and log group; nothing for a worker that is run as processes."""
    if unit.process:
        return {}
    options = unit.options
    properties: dict[str, Any] = {
        **common(unit.name, unit.function, "worker", source, unit.runtime, options.architecture),
        "Description": f"Worker {unit.name}",
        "MemorySize": options.memory,
        "Timeout": unit.timeout_s,
        "Environment": {
            "Variables": {
                **environment([each for each in units if each.name in unit.sends], source),
                "HEADRACE_WORKER": unit.name,
                "HEADRACE_VISIBILITY_S": str(unit.visibility_s),
                "POWERTOOLS_SERVICE_NAME": unit.name,
                **options.environment,
            }
        },
    }
    if options.reserved_concurrency is not None:
        properties["ReservedConcurrentExecutions"] = options.reserved_concurrency
    if options.vpc is not None:
        properties["VpcConfig"] = {
            "SubnetIds": list(options.vpc.subnet_ids),
            "SecurityGroupIds": list(options.vpc.security_group_ids),
        }
    if options.snap_start:
        properties |= {"SnapStart": {"ApplyOn": "PublishedVersions"}, "AutoPublishAlias": ALIAS}
    return {
        unit.function: function_block(properties),
        f"{unit.id}Mapping": _mapping(unit, unit.queue, _most_at_once(unit)),
        **({f"{unit.id}NextMapping": _mapping(unit, unit.next_queue, _most_next(unit))} if unit.next else {}),
        **role(
            unit.function,
            worker_policy(unit, units, events=source.events),
            others=options.policies,
            network=options.vpc is not None,
        ),
        **log_group(unit.name, unit.function),
    }


def _most_next(unit: Unit) -> int | None:
    """A quarter of what the worker may run at once, at least SQS's least, is for its second queue."""
    most = unit.options.maximum_concurrency
    return None if most is None else max(LEAST_CONCURRENCY, most // 4)


def _most_at_once(unit: Unit) -> int | None:
    most, of_next = unit.options.maximum_concurrency, _most_next(unit)
    return (
        most if of_next is None or most is None or not unit.next else max(LEAST_CONCURRENCY, most - of_next)
    )


def _mapping(unit: Unit, queue: str, most: int | None) -> Block:
    """A plain mapping rather than SAM's event: SAM's adds a role that may receive from every queue of the account."""
    options = unit.options
    target = f"{unit.function}Alias{ALIAS}" if options.snap_start else unit.function
    properties: dict[str, Any] = {
        "EventSourceArn": att(queue, "Arn"),
        "FunctionName": ref(target),
        "BatchSize": options.batch_size,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if most is not None:
        properties["ScalingConfig"] = {"MaximumConcurrency": most}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}


def dead_letters_function(units: list[Unit], source: Source) -> Block:
    """Fails the task of a message that no worker could process, with the reason."""
    function = "DeadLettersFunction"
    first = model(units)
    properties = {
        **common("dead-letters", function, "dead_letters", source, first.runtime, first.options.architecture),
        "Description": "Ends as FAILED what no worker could finish",
        "MemorySize": SUPPORT_MEMORY,
        "Timeout": SUPPORT_TIMEOUT_S,
        "Environment": {
            "Variables": {**environment(units, source), "POWERTOOLS_SERVICE_NAME": "dead-letters"}
        },
    }
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": att(DEAD_LETTERS, "Arn"),
            "FunctionName": ref(function),
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }
    return {
        function: function_block(properties),
        "DeadLettersMapping": mapping,
        **role(function, dead_letters_policy(units, events=source.events)),
        **log_group("dead-letters", function),
    }


def clock_function(units: list[Unit], source: Source, events: Block) -> Block:
    """Once a minute it sends what is due later than SQS can delay. A tick that fails is not tried again: the next one comes."""
    function = "ClockFunction"
    first = model(units)
    properties = {
        **common("clock", function, "clock", source, first.runtime, first.options.architecture),
        "Description": "Sends, once a minute, what is due soon",
        "MemorySize": SUPPORT_MEMORY,
        "Timeout": SUPPORT_TIMEOUT_S,
        "Environment": {"Variables": {**environment(units, source), "POWERTOOLS_SERVICE_NAME": "clock"}},
        "EventInvokeConfig": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
        "Events": events,
    }
    return {
        function: function_block(properties),
        **role(function, clock_policy(units)),
        **log_group("clock", function),
    }


def model(units: list[Unit]) -> Unit:
    """The worker whose runtime and architecture the other functions take."""
    return next((unit for unit in units if not unit.process), units[0])


def common(
    name: str, function: str, handler: str, source: Source, runtime: str, architecture: str
) -> dict[str, Any]:
    return {
        "FunctionName": named(name),
        "CodeUri": source.code_uri,
        "Handler": f"headrace_handlers.{handler}.handler",
        "Runtime": runtime,
        "Architectures": [architecture],
        "Role": att(role_of(function), "Arn"),
        "LoggingConfig": {"LogGroup": ref(f"{function}Logs")},
    }


def environment(units: list[Unit], source: Source) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "HEADRACE_APP": source.app,
        "HEADRACE_STACK": ref("AWS::StackName"),
        "HEADRACE_TABLE": ref(TABLE),
        "HEADRACE_BUCKET": ref(BUCKET),
        "HEADRACE_QUEUES": queue_urls(units, events=source.events),
        "HEADRACE_RETENTION_DAYS": ref("RetentionDays"),
        "POWERTOOLS_METRICS_NAMESPACE": "Headrace",
        "POWERTOOLS_LOG_LEVEL": ref("LogLevel"),
    }
    if source.zone:
        variables["HEADRACE_ZONE"] = source.zone
    if source.max_crashes != MAX_CRASHES:
        variables["HEADRACE_MAX_CRASHES"] = str(source.max_crashes)
    if source.sealed:
        variables[SEALED] = "1"
    if source.namespace:
        variables["HEADRACE_NAMESPACE"] = source.namespace
    return variables


def function_block(properties: dict[str, Any]) -> Block:
    """`make` builds it, by the Makefile of its folder: SAM's own builder leaves out the bytecode."""
    return {
        "Type": "AWS::Serverless::Function",
        "Metadata": {"BuildMethod": "makefile"},
        "Properties": properties,
    }


def log_group(name: str, function: str) -> Block:
    return {
        f"{function}Logs": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{name}"},
                "RetentionInDays": ref("LogRetentionDays"),
                "KmsKeyId": when("HasKmsKey", ref("KmsKeyArn")),
            },
        }
    }
