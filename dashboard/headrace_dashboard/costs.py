"""What the last day cost: units that CloudWatch counted for this stack's table, queues and functions, times their list price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headrace.app import Headrace
from headrace.aws.prices import PRICES
from headrace.core.table import INDEXES
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.ports import NEXT
from headrace_dashboard.formats import now_of

DAY_S = 86_400
QUEUES = (EVENTS_QUEUE, "dead-letters")
FUNCTIONS = ("clock", EVENTS_QUEUE, "dead-letters", "webhooks", "dashboard-look", "dashboard-act")
SQS_METRICS = (
    "NumberOfMessagesSent",
    "NumberOfMessagesReceived",
    "NumberOfMessagesDeleted",
    "NumberOfEmptyReceives",
)
CLOUDWATCH_TAKES = 500
"""Metrics in a request (GetMetricData). A day is one period, so that each answers with at most two values and no answer has a second page."""
HERE = "What a workflow costs is counted here by: headrace cost MODULE:APP --workflow NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kind of unit: how many, and what they cost."""

    what: str
    units: float
    dollars: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The lines, or why there are none."""

    lines: tuple[Line, ...]
    missing: str = ""

    @property
    def dollars(self) -> float:
        return sum(line.dollars for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    what: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]


def last_day(hatchet: Headrace) -> Cost:
    """The last 24 hours of this zone. The page says what is not in it; CloudWatch is some minutes behind."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    asked = asked_of(hatchet)
    try:
        totalled = sums(boto3.client("cloudwatch"), asked, now_of(hatchet))
    except (BotoCoreError, ClientError) as error:
        return Cost(lines=(), missing=f"CloudWatch gave no figures: {error} {HERE}")
    totals: dict[str, float] = {}
    for each, total in zip(asked, totalled, strict=True):
        totals[each.what] = totals.get(each.what, 0.0) + total
    if not any(totals.values()):
        return Cost(
            lines=(),
            missing=f"CloudWatch counted nothing in the last 24 hours: an emulated AWS never does. {HERE}",
        )
    return Cost(lines=tuple(_line(what, units) for what, units in totals.items()))


def asked_of(hatchet: Headrace) -> list[_Asked]:
    """The metrics of all that the template makes in this zone. A queue or function that a stack has not got counts nothing."""
    settings = hatchet.settings
    table = settings.table or settings.home
    out: list[_Asked] = []
    for what, metric in (
        ("DynamoDB write units", "ConsumedWriteCapacityUnits"),
        ("DynamoDB read units", "ConsumedReadCapacityUnits"),
    ):
        out.append(
            _Asked(what=what, namespace="AWS/DynamoDB", metric=metric, dimensions={"TableName": table})
        )
        out.extend(
            _Asked(
                what=what,
                namespace="AWS/DynamoDB",
                metric=metric,
                dimensions={"TableName": table, "GlobalSecondaryIndexName": index},
            )
            for index in INDEXES
        )
    workers = [worker.name for worker in hatchet.workers.list().rows]
    for queue in (*workers, *(name + NEXT for name in workers), *QUEUES):
        dimensions = {"QueueName": f"{settings.home}-{queue}"}
        out.extend(
            _Asked(what="SQS requests", namespace="AWS/SQS", metric=metric, dimensions=dimensions)
            for metric in SQS_METRICS
        )
    for function in (*workers, *FUNCTIONS):
        dimensions = {"FunctionName": f"{settings.home}-{function}"}
        out.append(
            _Asked(
                what="Lambda requests", namespace="AWS/Lambda", metric="Invocations", dimensions=dimensions
            )
        )
    return out


def sums(client: Any, asked: Sequence[_Asked], end: datetime) -> list[float]:
    """What each metric counted in the day before `end`, in the order asked."""
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": each.namespace,
                    "MetricName": each.metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in each.dimensions.items()],
                },
                "Period": DAY_S,
                "Stat": "Sum",
            },
        }
        for number, each in enumerate(asked)
    ]
    found: dict[str, float] = {}
    for first in range(0, len(queries), CLOUDWATCH_TAKES):
        answer = client.get_metric_data(
            MetricDataQueries=queries[first : first + CLOUDWATCH_TAKES],
            StartTime=end - timedelta(seconds=DAY_S),
            EndTime=end,
        )
        for result in answer["MetricDataResults"]:
            found[result["Id"]] = found.get(result["Id"], 0.0) + sum(result["Values"])
    return [found.get(f"m{number}", 0.0) for number in range(len(asked))]


_KINDS = {
    "DynamoDB write units": "write",
    "DynamoDB read units": "read",
    "SQS requests": "sqs",
    "Lambda requests": "invocation",
}


def _line(what: str, units: float) -> Line:
    return Line(what=what, units=units, dollars=units * PRICES[_KINDS[what]].dollars)
