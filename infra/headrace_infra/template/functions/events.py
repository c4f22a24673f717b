"""The queue and the function of events, for apps that use any; and the rules that bring in events of AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.events.event import HANDLED_WITHIN_MS
from headrace.engine.events.push import EVENTS_QUEUE
from headrace_infra.template.functions.workers import (
    SUPPORT_MEMORY,
    Source,
    common,
    environment,
    function_block,
    log_group,
    model,
)
from headrace_infra.template.intrinsics import Block, att, named, ref
from headrace_infra.template.policies import events_policy
from headrace_infra.template.queues import DEAD_LETTERS, RETENTION_S, queue_encryption
from headrace_infra.template.roles import role
from headrace_infra.template.unit import EVENTS, Unit

FUNCTION = "EventsFunction"
BATCH_SIZE = 10
TIMEOUT_S = HANDLED_WITHIN_MS // 1_000

MAX_RECEIVE_COUNT = 1_000
"""The most SQS takes. A message that is no event is dropped at once; for any other it is the store or a queue that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsUse:
    """What an app uses of events. `patterns`: EventBridge patterns, each with the worker that asks for it."""

    patterns: Sequence[tuple[str, Mapping[str, Any]]] = ()


def events_resources(use: EventsUse | None, units: list[Unit], source: Source) -> Block:
    """Nothing for an app without events."""
    if use is None:
        return {}
    rules = {f"EventRule{number}": _rule(*each) for number, each in enumerate(use.patterns, 1)}
    return {EVENTS: _queue(), **_function(units, source), **rules, **_queue_policy(list(rules))}


def _queue() -> Block:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": named(EVENTS_QUEUE),
            **queue_encryption(),
            "MessageRetentionPeriod": RETENTION_S,
            "VisibilityTimeout": TIMEOUT_S,
            "RedrivePolicy": {
                "deadLetterTargetArn": att(DEAD_LETTERS, "Arn"),
                "maxReceiveCount": MAX_RECEIVE_COUNT,
            },
        },
    }


def _function(units: list[Unit], source: Source) -> Block:
    """Starts what events trigger. It goes by what is published, so it loads none of the app's code."""
    first = model(units)
    variables = {**environment(units, source), "POWERTOOLS_SERVICE_NAME": EVENTS_QUEUE}
    properties = {
        **common(EVENTS_QUEUE, FUNCTION, "events", source, first.runtime, first.options.architecture),
        "Description": "Starts the runs that events trigger",
        "MemorySize": SUPPORT_MEMORY,
        "Timeout": TIMEOUT_S,
        "Environment": {"Variables": variables},
    }
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": att(EVENTS, "Arn"),
            "FunctionName": ref(FUNCTION),
            "BatchSize": BATCH_SIZE,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }
    return {
        FUNCTION: function_block(properties),
        "EventsMapping": mapping,
        **role(FUNCTION, events_policy(units)),
        **log_group(EVENTS_QUEUE, FUNCTION),
    }


def _rule(worker: str, pattern: Mapping[str, Any]) -> Block:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": f"Events of AWS for worker {worker}",
            "EventPattern": json.loads(json.dumps(pattern)),
            "State": "ENABLED",
            "Targets": [{"Id": "events", "Arn": att(EVENTS, "Arn")}],
        },
    }


def _queue_policy(rules: list[str]) -> Block:
    """Only these rules may send; the stack's own functions may by their roles."""
    if not rules:
        return {}
    arns = [att(rule, "Arn") for rule in rules]
    statement = {
        "Sid": "RulesSend",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": att(EVENTS, "Arn"),
        "Condition": {"ArnEquals": {"aws:SourceArn": arns if len(arns) > 1 else arns[0]}},
    }
    return {
        "EventsQueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [ref(EVENTS)],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            },
        }
    }
