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
        "ClockSilentAlarm": _silent_clock(),
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
            out[f"{unit.id}AmplificationAlarm"] = _amplification(unit)
        if unit.next:
            out[f"{unit.id}NextAgeAlarm"] = _alarm(
                f"Runs of worker {unit.name} that have started do not go on",
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                "Maximum",
                max(STUCK_S, 2 * unit.visibility_s),
                QueueName=att(unit.next_queue, "QueueName"),
            )
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


AMPLIFICATION = 5
"""Messages handled for each attempt that started or lined up. One that waits takes three at most."""

AMPLIFICATION_MESSAGES = 1_000
"""In a period: below that, a ratio says nothing."""


def _amplification(unit: Unit) -> Block:
    """Compares what SQS counts with what the worker counts of itself, so that a worker that is stopped or throttled does not ring."""
    ids = ["handled", "went_on"][: len(unit.queues)]
    handled = f"({' + '.join(f'FILL({id}, 0)' for id in ids)})" if unit.next else "handled"
    metrics = [
        *(
            _metric(id, "AWS/SQS", "NumberOfMessagesDeleted", QueueName=att(queue, "QueueName"))
            for id, queue in zip(ids, unit.queues, strict=True)
        ),
        _metric("started", "Headrace", "RunsStarted", Worker=unit.name),
        _metric("parked", "Headrace", "RunsParked", Worker=unit.name),
        {
            "Id": "ratio",
            "Expression": f"IF({handled} > {AMPLIFICATION_MESSAGES}, {handled} / (FILL(started, 0) + FILL(parked, 0) + 1), 0)",
            "Label": "messages an attempt",
            "ReturnData": True,
        },
    ]
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": f"Worker {unit.name} handles many messages for each attempt: look at what its tasks wait for",
            "Metrics": metrics,
            "EvaluationPeriods": 3,
            "Threshold": AMPLIFICATION,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            **_actions(),
        },
    }


def _metric(id: str, namespace: str, name: str, **dimensions: Any) -> Block:
    pairs = [{"Name": each, "Value": value} for each, value in dimensions.items()]
    stat = {
        "Metric": {"Namespace": namespace, "MetricName": name, "Dimensions": pairs},
        "Period": PERIOD_S,
        "Stat": "Sum",
    }
    return {"Id": id, "MetricStat": stat, "ReturnData": False}


def _silent_clock() -> Block:
    """It is invoked once a minute: no data is the worst there can be."""
    alarm = _alarm(
        "The clock has not run for ten minutes: crons, schedules and long waits stand still. Is its schedule enabled?",
        "AWS/Lambda",
        "Invocations",
        "Sum",
        1,
        FunctionName=ref("ClockFunction"),
    )
    return {
        **alarm,
        "Properties": alarm["Properties"]
        | {
            "ComparisonOperator": "LessThanThreshold",
            "EvaluationPeriods": 2,
            "TreatMissingData": "breaching",
        },
    }


def _actions() -> Block:
    return {"AlarmActions": [when("HasAlarmTopic", ref("AlarmTopicArn"), NO_VALUE)]}


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
            **_actions(),
        },
    }
