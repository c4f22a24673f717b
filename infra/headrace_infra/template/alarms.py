"""Alarms for what needs a person. They notify the topic that the parameter AlarmTopicArn names, if any."""

from __future__ import annotations

from typing import Any

from headrace_infra.template.intrinsics import NO_VALUE, Block, att, ref, when
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.unit import EVENTS, Unit

PERIOD_S = 300
STUCK_S = 900


def alarms(units: list[Unit], *, events: bool = False) -> Block:
    out: Block = {
        "DeadLettersAlarm": _alarm(
            "A message kept failing its worker. Its task is FAILED with the reason: look at the worker's log",
            "AWS/Lambda",
            "Invocations",
            "Sum",
            1,
            FunctionName=ref("DeadLettersFunction"),
        ),
        "DeadLettersStuckAlarm": _alarm(
            "The dead-letter queue is not empty, and its function cannot empty it: look at its log",
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            "Maximum",
            STUCK_S,
            QueueName=att(DEAD_LETTERS, "QueueName"),
        ),
        "DeadLettersErrorsAlarm": _errors("dead letters", "DeadLettersFunction"),
        "ClockErrorsAlarm": _errors("the clock", "ClockFunction"),
    }
    if events:
        out["EventsErrorsAlarm"] = _errors("events", "EventsFunction")
        out["EventsAgeAlarm"] = _alarm(
            "Events are not handled: look at the log of the function of events",
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            "Maximum",
            STUCK_S,
            QueueName=att(EVENTS, "QueueName"),
        )
    for unit in units:
        if not unit.process:
            out[f"{unit.id}ErrorsAlarm"] = _errors(f"worker {unit.name}", unit.function)
        out[f"{unit.id}AgeAlarm"] = _alarm(
            f"Worker {unit.name} does not keep up, or "
            + ("none of its processes runs" if unit.process else "is throttled or broken"),
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            "Maximum",
            max(STUCK_S, 2 * unit.visibility_s),
            QueueName=att(unit.queue, "QueueName"),
        )
    return out


def _errors(what: str, function: str) -> Block:
    """A task that raises is no error of its function: these are imports that fail, time-outs and lost processes."""
    return _alarm(
        f"The function of {what} failed: a task that raises does not do that, so look at its log",
        "AWS/Lambda",
        "Errors",
        "Sum",
        1,
        FunctionName=ref(function),
    )


def _alarm(
    description: str, namespace: str, metric: str, statistic: str, threshold: int, **dimensions: Any
) -> Block:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Statistic": statistic,
            "Period": PERIOD_S,
            "EvaluationPeriods": 1,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [when("HasAlarmTopic", ref("AlarmTopicArn"), NO_VALUE)],
        },
    }
