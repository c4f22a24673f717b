"""Events: what they start, filters and scopes, listing."""

import asyncio
from typing import Any

from hatchet_sdk import BulkPushEventWithMetadata, Context, DefaultFilter, Hatchet
from pydantic import BaseModel

hatchet = Hatchet()
seen: list[dict[str, Any]] = []


class UserInput(BaseModel):
    user: str


def noted(ctx: Context, input: UserInput) -> dict[str, str]:
    seen.append(
        {
            "user": input.user,
            "key": ctx.triggering_event_key,
            "event": ctx.triggering_event_id,
            "by_event": ctx.was_triggered_by_event,
            "filter": ctx.filter_payload,
            "metadata": ctx.additional_metadata,
        }
    )
    return {}


@hatchet.task(on_events=["user:create", "user:upd*"], input_validator=UserInput)
def on_user(input: UserInput, ctx: Context) -> dict[str, str]:
    return noted(ctx, input)


@hatchet.task(
    on_events=["order:paid"],
    input_validator=UserInput,
    default_filters=[DefaultFilter(expression="input.user == 'ada'", scope="shop", payload={"vip": True})],
)
def on_order(input: UserInput, ctx: Context) -> dict[str, str]:
    return noted(ctx, input)


async def started(event_id: str, count: int) -> list[dict[str, Any]]:
    for _ in range(400):
        found = [each for each in seen if each["event"] == event_id]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    return found


async def test_an_event_starts_a_run() -> None:
    for key in ("user:create", "user:updated"):
        event = await hatchet.event.aio_push(key, {"user": "ada"}, additional_metadata={"trace": "1"})
        [run] = await started(event.event_id, 1)
        assert (run["user"], run["key"], run["by_event"], run["metadata"]["trace"]) == ("ada", key, True, "1")
        assert run["metadata"]["hatchet__event_id"] == event.event_id


async def test_in_bulk() -> None:
    events = await hatchet.event.aio_bulk_push(
        [BulkPushEventWithMetadata(key="user:create", payload={"user": str(n)}) for n in range(3)]
    )
    assert [(await started(event.event_id, 1))[0]["user"] for event in events] == ["0", "1", "2"]


async def test_filters() -> None:
    other = await hatchet.event.aio_push("order:paid", {"user": "bob"}, scope="shop")
    event = await hatchet.event.aio_push("order:paid", {"user": "ada"}, scope="shop")
    [run] = await started(event.event_id, 1)
    assert run["filter"] == {"vip": True}
    made = await on_order.aio_create_filter(expression="input.user == 'bob'", scope="late", payload={"n": 1})
    assert [each.metadata.id for each in (await hatchet.filters.aio_list(scopes=["late"])).rows or []] == [
        made.metadata.id
    ]
    late: list[dict[str, Any]] = []
    for _ in range(50):
        pushed = await hatchet.event.aio_push("order:paid", {"user": "bob"}, scope="late")
        await asyncio.sleep(0.1)
        late = [each for each in seen if each["event"] == pushed.event_id]
        if late:
            break
    assert late[0]["filter"] == {"n": 1}
    await hatchet.filters.aio_delete(made.metadata.id)
    assert [each for each in seen if each["event"] == other.event_id] == []


async def test_listed() -> None:
    event = await hatchet.event.aio_push(
        "user:create", {"user": "eve"}, additional_metadata={"listed": "yes"}
    )
    await started(event.event_id, 1)
    rows: list[Any] = []
    for _ in range(100):
        rows = (
            await hatchet.event.aio_list(keys=["user:create"], additional_metadata={"listed": "yes"})
        ).rows or []
        if rows and rows[0].workflow_run_summary.succeeded == 1:
            break
        await asyncio.sleep(0.05)
    assert [row.metadata.id for row in rows] == [event.event_id]
    assert rows[0].workflow_run_summary.succeeded == 1
    runs = (await hatchet.runs.aio_list(triggering_event_external_id=event.event_id)).rows
    assert [run.workflow_name for run in runs] == ["on_user"]
