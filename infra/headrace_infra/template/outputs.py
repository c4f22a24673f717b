"""What a person or a script asks the deployed stack for."""

from __future__ import annotations

from headrace_infra.template.bucket import BUCKET
from headrace_infra.template.intrinsics import Block, ref
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.tables import TABLE
from headrace_infra.template.unit import EVENTS, Unit


def outputs(units: list[Unit], *, events: bool = False) -> Block:
    out = {
        "TableName": _output("Table of runs", ref(TABLE)),
        "BucketName": _output("Bucket of large payloads", ref(BUCKET)),
        "DeadLettersQueueUrl": _output("Queue of what no worker could finish", ref(DEAD_LETTERS)),
    }
    if events:
        out["EventsQueueUrl"] = _output("Queue of events", ref(EVENTS))
    for unit in units:
        out[f"{unit.queue}Url"] = _output(f"Queue of worker {unit.name}", ref(unit.queue))
        if not unit.process:
            out[f"{unit.function}Name"] = _output(f"Function of worker {unit.name}", ref(unit.function))
    return out


def _output(description: str, value: Block) -> Block:
    return {"Description": description, "Value": value}
