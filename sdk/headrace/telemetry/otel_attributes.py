"""What spans say of runs, tasks, events: Hatchet's attributes, under `hatchet.`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.run.ids import task_run_id, workflow_id
from headrace.core.run.request import Child

if TYPE_CHECKING:
    from headrace.core.durable.log import Entry
    from headrace.core.events.event import Event
    from headrace.core.run.plans.plan import Json
    from headrace.core.run.record import RunRecord
    from headrace.core.run.request import StartRun
    from headrace.settings.settings import Settings

Value: TypeAlias = "str | bool | int | float"


class OTelAttribute(str, Enum):  # noqa: UP042  # Hatchet's is a str with the Enum's own str()
    """The attributes of spans. `OpenTelemetryConfig(excluded_attributes=[...])` leaves some out."""

    NAMESPACE = "namespace"
    ADDITIONAL_METADATA = "additional_metadata"
    WORKFLOW_NAME = "workflow_name"
    PRIORITY = "priority"
    ACTION_PAYLOAD = "payload"
    ACTION_NAME = "action_name"
    CHILD_WORKFLOW_INDEX = "child_workflow_index"
    CHILD_WORKFLOW_KEY = "child_workflow_key"
    GET_GROUP_KEY_RUN_ID = "get_group_key_run_id"
    PARENT_WORKFLOW_RUN_ID = "parent_workflow_run_id"
    RETRY_COUNT = "retry_count"
    STEP_ID = "step_id"
    STEP_RUN_ID = "step_run_id"
    STEP_NAME = "step_name"
    TENANT_ID = "tenant_id"
    WORKER_ID = "worker_id"
    WORKFLOW_ID = "workflow_id"
    WORKFLOW_RUN_ID = "workflow_run_id"
    WORKFLOW_VERSION_ID = "workflow_version_id"
    EVENT_KEY = "event_key"
    FILTER_SCOPE = "scope"
    CHILD_INDEX = "child_index"
    CHILD_KEY = "child_key"
    DESIRED_WORKER_ID = "desired_worker_id"
    PARENT_ID = "parent_id"
    PARENT_STEP_RUN_ID = "parent_step_run_id"
    STICKY = "sticky"
    RUN_AT_TIMESTAMPS = "run_at_timestamps"
    TRIGGERING_EVENT_EXTERNAL_ID = "triggering_event_external_id"
    TRIGGERING_EVENT_KEY = "triggering_event_key"
    KEY = "key"
    SIGNAL_KEY = "signal_key"
    NUM_CONDITIONS = "num_conditions"
    MEMO_FN_NAME = "memo_fn_name"


class Attributes:
    """Makes attributes by the settings: payloads only where they may be logged, and none that is excluded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._excluded = frozenset(
            str(getattr(each, "value", each)) for each in settings.otel.excluded_attributes
        )

    def of_start(self, wanted: StartRun) -> dict[str, Value]:
        """Of one run that is started."""
        options, origin = wanted.options, wanted.origin
        link = origin.parent if isinstance(origin, Child) else None
        return self._made(
            {
                OTelAttribute.WORKFLOW_NAME: wanted.workflow,
                OTelAttribute.ACTION_PAYLOAD: self._payload(wanted.input),
                OTelAttribute.ADDITIONAL_METADATA: _json(options.metadata),
                OTelAttribute.PRIORITY: int(options.priority) if options.priority is not None else None,
                OTelAttribute.STICKY: options.sticky,
                OTelAttribute.DESIRED_WORKER_ID: options.desired_worker_id,
                OTelAttribute.PARENT_ID: link.run_id if link is not None else None,
                OTelAttribute.CHILD_INDEX: link.index if link is not None else None,
                OTelAttribute.CHILD_KEY: link.key if link is not None else None,
            }
        )

    def of_starts(self, wanted: Sequence[StartRun]) -> dict[str, Value]:
        """Of a bulk run: how many, and of what."""
        names = list(dict.fromkeys(each.workflow for each in wanted))
        made = self._made({OTelAttribute.WORKFLOW_NAME: ",".join(names)})
        return {
            "hatchet.num_workflows": len(wanted),
            "hatchet.unique_workflow_names": json.dumps(names),
            **made,
        }

    def of_events(self, events: Sequence[Event], *, bulk: bool) -> dict[str, Value]:
        """Of events that are pushed."""
        if bulk:
            keys = list(dict.fromkeys(each.key for each in events))
            made = self._made({OTelAttribute.EVENT_KEY: ",".join(keys)})
            return {
                "hatchet.num_events": len(events),
                "hatchet.unique_event_keys": json.dumps(keys),
                **made,
            }
        [event] = events
        return self._made(
            {
                OTelAttribute.EVENT_KEY: event.key,
                OTelAttribute.ACTION_PAYLOAD: self._payload(event.payload),
                OTelAttribute.ADDITIONAL_METADATA: _json(event.metadata),
                OTelAttribute.PRIORITY: event.priority,
                OTelAttribute.FILTER_SCOPE: event.scope,
            }
        )

    def of_schedule(self, workflow: str, due_ms: int, metadata: Mapping[str, Json]) -> dict[str, Value]:
        """Of a run that is scheduled."""
        return self._made(
            {
                OTelAttribute.WORKFLOW_NAME: workflow,
                OTelAttribute.RUN_AT_TIMESTAMPS: json.dumps(
                    [datetime.fromtimestamp(due_ms / 1000, UTC).isoformat()]
                ),
                OTelAttribute.ADDITIONAL_METADATA: _json(metadata),
            }
        )

    def of_attempt(self, worker: str, record: RunRecord, task: str) -> dict[str, Value]:
        """Of an attempt at a task."""
        link, row = record.parent, record.tasks[task]
        workflow = record.plan.workflow
        return self._made(
            {
                OTelAttribute.WORKER_ID: worker,
                OTelAttribute.WORKFLOW_RUN_ID: record.run_id,
                OTelAttribute.WORKFLOW_ID: workflow_id(workflow),
                OTelAttribute.WORKFLOW_NAME: workflow,
                OTelAttribute.WORKFLOW_VERSION_ID: record.plan.version,
                OTelAttribute.STEP_ID: f"{workflow}:{task}",
                OTelAttribute.STEP_NAME: task,
                OTelAttribute.ACTION_NAME: f"{workflow}:{task}",
                OTelAttribute.STEP_RUN_ID: task_run_id(record.plan, record.run_id, task),
                OTelAttribute.RETRY_COUNT: row.retry_count,
                OTelAttribute.PRIORITY: record.priority,
                OTelAttribute.PARENT_WORKFLOW_RUN_ID: link.run_id if link is not None else None,
                OTelAttribute.CHILD_WORKFLOW_INDEX: link.index if link is not None else None,
                OTelAttribute.CHILD_WORKFLOW_KEY: link.key if link is not None else None,
                OTelAttribute.TRIGGERING_EVENT_EXTERNAL_ID: _text(record.metadata.get("hatchet__event_id")),
                OTelAttribute.TRIGGERING_EVENT_KEY: _text(record.metadata.get("hatchet__event_key")),
                OTelAttribute.ADDITIONAL_METADATA: _json(record.metadata),
                OTelAttribute.ACTION_PAYLOAD: self._payload(record.input.text),
            }
        )

    def of_wait(self, task_external_id: str, wait: Entry, says: str) -> dict[str, Value]:
        """Of a wait of a durable task. `says`: what for, in words."""
        made = self._made(
            {
                OTelAttribute.SIGNAL_KEY: wait.label or None,
                OTelAttribute.NUM_CONDITIONS: len(wait.groups),
                OTelAttribute.STEP_RUN_ID: task_external_id,
            }
        )
        return {"hatchet.wait_for": says, **made}

    def _payload(self, text: str | None) -> str | None:
        return text if self._settings.log_payloads else None

    def _made(self, values: Mapping[OTelAttribute, Value | None]) -> dict[str, Value]:
        usual: dict[OTelAttribute, Value | None] = {
            OTelAttribute.TENANT_ID: self._settings.stack,
            OTelAttribute.NAMESPACE: self._settings.prefix or None,
        }
        return {"instrumentor": "hatchet", **dict(self._named({**usual, **values}))}

    def _named(self, values: Mapping[OTelAttribute, Value | None]) -> Iterable[tuple[str, Value]]:
        for attribute, value in values.items():
            if value is not None and attribute.value not in self._excluded:
                yield f"hatchet.{attribute.value}", value


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _json(metadata: Mapping[str, Json]) -> str | None:
    return json.dumps(dict(metadata), separators=(",", ":"), ensure_ascii=False) if metadata else None
