"""SleepCondition and UserEventCondition as users write them, from the definition to the data in the task's context."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import (
    Context,
    EmptyModel,
    Hatchet,
    ParentCondition,
    SleepCondition,
    UserEventCondition,
    or_,
)
from headrace.core.run.record import RunStatus
from headrace.errors import DefinitionError
from headrace.settings.settings import Settings
from headrace_infra.testing import local


def flow(hatchet: Hatchet, **conditions: Any) -> Any:
    workflow = hatchet.workflow(name="flow")

    @workflow.task()
    def first(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    made = {
        name: each(first) if callable(each) and not isinstance(each, type) else each
        for name, each in conditions.items()
    }

    @workflow.task(parents=[first], **made)
    def second(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return ctx.trigger_data

    return workflow


@pytest.mark.parametrize("namespace", ["", "staging"])
def test_an_event_brings_its_payload_and_a_sleep_its_length(namespace: str) -> None:
    hatchet = Hatchet(config=Settings(namespace=namespace))
    either = or_(
        SleepCondition(timedelta(days=2)), UserEventCondition(event_key="go", expression="input.n > 1")
    )
    workflow = flow(hatchet, wait_for=[either])
    with local(hatchet, backend="memory", background=False) as stack:
        told = workflow.run(wait_for_result=False)
        stack.deliver_all()
        hatchet.event.push("go", {"n": 1})
        hatchet.event.push("go", {"n": 2})
        stack.deliver_all()
        assert told.result()["second"] == {"go": {"n": 2}}
        late = workflow.run(wait_for_result=False)
        stack.drain()
        assert late.result()["second"] == {"sleep:48h": {"sleep_duration": "172800s"}}


def test_skip_if_and_cancel_if_on_time_and_events() -> None:
    hatchet = Hatchet()
    workflow = flow(
        hatchet,
        wait_for=[SleepCondition("1h")],
        skip_if=[UserEventCondition(event_key="skip")],
        cancel_if=[UserEventCondition(event_key="stop")],
    )
    with local(hatchet, backend="memory", background=False) as stack:
        for key, status in (("skip", RunStatus.COMPLETED), ("stop", RunStatus.CANCELLED)):
            ref = workflow.run(wait_for_result=False)
            stack.deliver_all()
            assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.RUNNING
            hatchet.event.push(key, {})
            stack.drain()
            assert hatchet.runs.get_status(ref.workflow_run_id) is status


def test_a_parent_s_output_and_time_together() -> None:
    hatchet = Hatchet()
    workflow = flow(
        hatchet,
        wait_for=lambda first: [
            SleepCondition("90s"),
            or_(ParentCondition(first, "output.n == 1"), UserEventCondition(event_key="never")),
        ],
    )
    with local(hatchet, backend="memory", background=False) as stack:
        began_ms = stack.clock.now_ms()
        ref = workflow.run(wait_for_result=False)
        stack.drain()
        assert ref.result()["second"] == {"sleep:90s": {"sleep_duration": "90s"}}
        assert 90_000 <= stack.clock.now_ms() - began_ms < 100_000


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (lambda: [SleepCondition(timedelta(seconds=-1))], "cannot be negative"),
        (lambda: [SleepCondition("5m"), SleepCondition(timedelta(minutes=5))], "unique readable data keys"),
        (lambda: ["1h"], "is not a condition"),
        (lambda: [UserEventCondition("k", "input.")], "the condition on event 'k'"),
        (
            lambda: [UserEventCondition("k", consider_events_since=datetime(2026, 1, 1, tzinfo=UTC))],
            "scope must be provided together",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_definition(condition: Any, says: str) -> None:
    with pytest.raises((DefinitionError, ValueError), match=says):
        flow(Hatchet(), wait_for=condition())
