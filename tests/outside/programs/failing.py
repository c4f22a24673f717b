"""Retries, final failures, timeouts, exceptions as values, outputs that cannot be."""

from datetime import timedelta
from typing import Any

import pytest
from hatchet_sdk import Context, EmptyModel, Hatchet, NonRetryableException, V1TaskStatus
from hatchet_sdk.clients.rest.models.v1_task_event_type import V1TaskEventType
from hatchet_sdk.exceptions import TaskRunError
from pydantic import BaseModel

hatchet = Hatchet()
flow = hatchet.workflow(name="Once")


class Index(BaseModel):
    index: int


@flow.task(retries=1)
def final(input: EmptyModel, ctx: Context) -> None:
    raise NonRetryableException("not again")


@flow.task(retries=1)
def repeated(input: EmptyModel, ctx: Context) -> None:
    raise ValueError("once more")


@hatchet.task(retries=3)
def third_time(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if ctx.retry_count < 2:
        raise RuntimeError("not yet")
    return {"retries": ctx.retry_count, "attempt": ctx.attempt_number, "of": ctx.max_attempts}


@hatchet.task(input_validator=Index)
async def even(input: Index, ctx: Context) -> dict[str, str]:
    if input.index % 2:
        raise ValueError(f"odd {input.index}")
    return {"result": str(input.index)}


@hatchet.task(execution_timeout=timedelta(seconds=1))
async def slow(input: EmptyModel, ctx: Context) -> dict[str, str]:
    import asyncio

    await asyncio.sleep(30)
    return {}


@hatchet.task(execution_timeout=timedelta(seconds=1))
async def refreshed(input: EmptyModel, ctx: Context) -> dict[str, str]:
    import asyncio

    ctx.refresh_timeout(timedelta(seconds=10))
    await asyncio.sleep(1.2)
    return {"status": "late and well"}


@hatchet.task()
def illegal(input: EmptyModel, ctx: Context) -> Any:
    return 17


def test_events_of_a_failure() -> None:
    ref = flow.run(wait_for_result=False)
    with pytest.raises(Exception, match="failed"):
        ref.result()
    details = hatchet.runs.get(ref.workflow_run_id)
    assert details.run.status == V1TaskStatus.FAILED
    ids = {task.display_name.rsplit("-", 1)[0]: task.task_external_id for task in details.tasks}

    def count(task: str, kind: str) -> int:
        return sum(
            event.task_id == ids[task] and event.event_type == V1TaskEventType(kind)
            for event in details.task_events
        )

    assert (count("final", "FAILED"), count("final", "RETRYING")) == (1, 0)
    assert (count("repeated", "FAILED"), count("repeated", "RETRYING")) == (2, 1)


def test_retries() -> None:
    assert third_time.run() == {"retries": 2, "attempt": 3, "of": 4}


async def test_exceptions_as_values() -> None:
    results = await even.aio_run_many(
        [even.create_bulk_run_item(input=Index(index=i)) for i in range(4)], return_exceptions=True
    )
    assert [results[0], results[2]] == [{"result": "0"}, {"result": "2"}]
    for index in (1, 3):
        assert isinstance(results[index], Exception)
        assert f"odd {index}" in str(results[index])


def test_timeouts() -> None:
    with pytest.raises(Exception, match=r"Task exceeded timeout of 1s"):
        slow.run()
    assert refreshed.run() == {"status": "late and well"}


def test_outputs_are_objects() -> None:
    with pytest.raises(
        Exception, match=r"Tasks must return either a dictionary, a Pydantic BaseModel, or a dataclass"
    ):
        illegal.run()


def test_errors_travel_as_text() -> None:
    error = TaskRunError("no", "ValueError", "trace", "id")
    again = TaskRunError.deserialize(error.serialize(include_metadata=True))
    assert (again.exc, again.exc_type, again.task_run_external_id) == ("no", "ValueError", "id")
    assert TaskRunError.deserialize("plain words").exc_type == "HatchetError"
