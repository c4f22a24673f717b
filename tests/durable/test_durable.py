"""Durable tasks as their users write them, on the local runtime: real handlers, virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from headrace import (
    Context,
    DurableContext,
    EmptyModel,
    EvictionPolicy,
    FailedTaskRunExceptionGroup,
    Hatchet,
    SleepCondition,
    TaskRunError,
    UserEventCondition,
    or_,
)
from headrace.core.run.derived.graph import states
from headrace.core.run.record import RunStatus
from headrace.engine.durable.journal import Journal
from headrace.engine.waits.points import waited_for
from headrace.errors import DefinitionError
from headrace.ports import Ports
from headrace.settings.settings import Settings
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

said: list[Any] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    said.clear()


def result_of(hatchet: Hatchet, task: Any, *, stack: LocalStack | None = None) -> Any:
    """Run a task to its end in virtual time; what it gave."""
    with local(hatchet, backend="memory", background=False) as found:
        ref = task.run(wait_for_result=False)
        found.drain()
        return ref.result()


def failure_of(hatchet: Hatchet, task: Any) -> TaskRunError:
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        result_of(hatchet, task)
    return caught.value.exceptions[0]


# ---------------------------------------------------------------- sleeps


def test_a_sleep_of_days_holds_nothing_and_ends_on_time() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def reminder(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append("start")
        began = await ctx.aio_now()
        slept = await ctx.aio_sleep_for(timedelta(days=10))
        ended = await ctx.aio_now()
        return {
            "slept": slept.duration.days,
            "took": (ended - began).total_seconds(),
            "n": ctx.invocation_count,
        }

    with local(hatchet, backend="memory", background=False) as stack:
        ref = reminder.run(wait_for_result=False)
        stack.deliver_all()
        assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.RUNNING
        assert hatchet.runs.get_details(ref.workflow_run_id).task_runs["reminder"].is_evicted
        stack.drain()
        found = ref.result()
    assert found["slept"] == 10
    assert 864_000 <= found["took"] <= 864_001
    assert found["n"] == 2
    assert said == ["start", "start"]


def test_sleep_until_and_a_time_that_has_passed() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        now = await ctx.aio_now()
        await ctx.aio_sleep_until(now - timedelta(hours=1))
        assert (await ctx.aio_now()) - now < timedelta(seconds=1)
        await ctx.aio_sleep_until(now + timedelta(hours=1))
        return {"took": ((await ctx.aio_now()) - now).total_seconds()}

    assert 3600 <= result_of(hatchet, work)["took"] <= 3601


def test_many_sleeps_in_a_row_are_remembered() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        times = [await ctx.aio_now()]
        for _ in range(5):
            await ctx.aio_sleep_for("1h")
            times.append(await ctx.aio_now())
        return {"hours": [round((b - a).total_seconds() / 3600) for a, b in pairwise(times)]}

    assert result_of(hatchet, work) == {"hours": [1, 1, 1, 1, 1]}


def test_sleeps_beside_each_other_end_in_their_order() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        order: list[int] = []

        async def one(hours: int) -> None:
            await ctx.aio_sleep_for(timedelta(hours=hours))
            order.append(hours)

        await asyncio.gather(one(3), one(1), one(2))
        return {"order": order}

    assert result_of(hatchet, work) == {"order": [1, 2, 3]}


def test_wait_for_any_of_two_sleeps_says_which_it_was() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        return await ctx.aio_wait_for(
            "either",
            or_(
                SleepCondition(timedelta(hours=2)),
                SleepCondition(timedelta(minutes=5), readable_data_key="soon"),
            ),
        )

    assert list(result_of(hatchet, work)["CREATE"]) == ["soon"]


def test_all_of_two_sleeps_ends_with_the_later() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        began = await ctx.aio_now()
        found = await ctx.aio_wait_for("both", SleepCondition("2h"), SleepCondition("5m"))
        return {"keys": sorted(found["CREATE"]), "took": ((await ctx.aio_now()) - began).total_seconds()}

    found = result_of(hatchet, work)
    assert found["keys"] == ["sleep:2h", "sleep:5m"]
    assert 7200 <= found["took"] <= 7201


# ---------------------------------------------------------------- memos


def test_a_memo_is_made_once_across_sleeps_and_retries() -> None:
    hatchet = Hatchet()

    def dice(sides: int) -> dict[str, int]:
        said.append(sides)
        return {"rolled": len(said)}

    @hatchet.durable_task(retries=2)
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first = await ctx._aio_memo(dice, dict[str, int], 6)
        await ctx.aio_sleep_for(timedelta(hours=1))
        if ctx.retry_count < 2:
            raise RuntimeError("again")
        return {"first": first, "attempt": ctx.attempt_number}

    assert result_of(hatchet, work) == {"first": {"rolled": 1}, "attempt": 3}
    assert said == [6]


# ---------------------------------------------------------------- determinism


def test_another_duration_at_replay_fails_at_once() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task(retries=3)
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append(1)
        try:
            await ctx.aio_sleep_for(timedelta(hours=len(said)))
        except BaseException:
            said.append("seen")
            raise
        return {}

    error = failure_of(hatchet, work)
    assert error.exc_type == "NonDeterminismError"
    assert "node 0" in error.exc
    assert said == [1, 1]


def test_another_kind_at_replay_fails_at_once() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append(1)
        if len(said) > 1:
            await ctx.aio_now()
        await ctx.aio_sleep_for(timedelta(hours=1))
        return {}

    assert "the log has a sleep or a wait, the code asked for the time" in failure_of(hatchet, work).exc


def test_a_child_of_another_input_at_replay_fails_at_once() -> None:
    """Its result is another child's: of a branch that was quicker the first time, or of what the code read then."""
    hatchet = Hatchet()

    @hatchet.task()
    async def charge(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return input

    @hatchet.durable_task(execution_timeout=timedelta(minutes=1))
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append(1)
        return await charge.aio_run({"n": len(said)})

    assert (
        "the log has a child run of other arguments, the code asked for a run of charge"
        in failure_of(hatchet, work).exc
    )


# ---------------------------------------------------------------- what code does not see


@pytest.mark.parametrize("way", ["finally", "except", "async with", "group"])
def test_a_suspension_is_invisible(way: str) -> None:
    hatchet = Hatchet()

    class Door:
        async def __aenter__(self) -> None:
            said.append("in")

        async def __aexit__(self, *error: object) -> None:
            said.append("out")

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        hour = timedelta(hours=1)
        match way:
            case "finally":
                try:
                    await ctx.aio_sleep_for(hour)
                finally:
                    said.append("finally")
            case "except":
                try:
                    await ctx.aio_sleep_for(hour)
                except BaseException as error:
                    said.append(repr(error))
                    raise
            case "async with":
                async with Door():
                    await ctx.aio_sleep_for(hour)
            case _:
                async with asyncio.TaskGroup() as group:
                    group.create_task(ctx.aio_sleep_for(hour))
                    group.create_task(ctx.aio_sleep_for(2 * hour))
        return {"done": True}

    assert result_of(hatchet, work) == {"done": True}
    assert said == {"finally": ["finally"], "except": [], "async with": ["in", "in", "out"], "group": []}[way]


@pytest.mark.parametrize("way", ["wait", "as_completed", "first"])
def test_asyncio_s_ways_of_waiting_suspend_too(way: str) -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append("start")

        async def one(hours: int) -> int:
            await ctx.aio_sleep_for(timedelta(hours=hours))
            return hours

        tasks = [asyncio.create_task(one(hours)) for hours in (3, 1, 2)]
        match way:
            case "wait":
                await asyncio.wait(tasks)
                return {"got": [task.result() for task in tasks]}
            case "as_completed":
                return {"got": [await each for each in asyncio.as_completed(tasks)]}
            case _:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return {"got": [task.result() for task in done]}

    expected = {"wait": [3, 1, 2], "as_completed": [1, 2, 3], "first": [1]}[way]
    assert result_of(hatchet, work) == {"got": expected}
    assert len(said) > 1


def test_a_timer_of_the_code_holds_the_invocation_and_is_replayed() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append("start")
        try:
            await asyncio.wait_for(ctx.aio_sleep_for(timedelta(hours=1)), 0.2)
            timed_out = False
        except TimeoutError:
            timed_out = True
        await ctx.aio_sleep_for(timedelta(hours=2))
        return {"timed_out": timed_out}

    assert result_of(hatchet, work) == {"timed_out": True}
    assert said == ["start", "start"]


# ---------------------------------------------------------------- children


def fan_out() -> tuple[Hatchet, Any, Any]:
    hatchet = Hatchet()

    @hatchet.task(name="child")
    async def child(input: dict, ctx: Context) -> dict[str, Any]:  # type: ignore[type-arg]
        said.append(("child", input["n"]))
        if input["n"] == 1:
            raise ValueError("one")
        return {"n": input["n"]}

    return hatchet, child, hatchet


def test_a_failure_among_children_is_given_in_its_place() -> None:
    hatchet, child, _ = fan_out()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        found = await asyncio.gather(*[child.aio_run({"n": n}) for n in range(3)], return_exceptions=True)
        return {"found": [each["n"] if isinstance(each, dict) else type(each).__name__ for each in found]}

    with local(hatchet, backend="memory"):
        assert parent.run() == {"found": [0, "TaskRunError", 2]}
    assert sorted(said) == [("child", 0), ("child", 1), ("child", 2)]


def test_children_between_sleeps_run_once() -> None:
    hatchet, child, _ = fan_out()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        got = []
        for n in (0, 2, 4):
            got.append((await child.aio_run({"n": n}))["n"])
            await ctx.aio_sleep_for(timedelta(hours=1))
        return {"got": got}

    assert result_of(hatchet, parent) == {"got": [0, 2, 4]}
    assert said == [("child", 0), ("child", 2), ("child", 4)]


def test_many_children_at_once() -> None:
    hatchet, child, _ = fan_out()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        items = [child.create_bulk_run_item({"n": n}) for n in range(2, 22)]
        return {"got": [each["n"] for each in await child.aio_run_many(items)]}

    assert result_of(hatchet, parent) == {"got": list(range(2, 22))}
    assert len(said) == 20


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        pytest.param(lambda ctx: ctx.aio_sleep_for(timedelta(seconds=-1)), "negative", id="negative"),
        pytest.param(lambda ctx: ctx.aio_sleep_until(datetime(2030, 1, 1)), "no time zone", id="naive"),
        pytest.param(lambda ctx: ctx.aio_wait_for("key"), "at least one condition", id="no condition"),
        pytest.param(
            lambda ctx: ctx.aio_wait_for("key", SleepCondition("1h"), SleepCondition("1h")),
            "Conditions must have unique readable data keys.",
            id="two of one key",
        ),
        pytest.param(
            lambda ctx: ctx.aio_wait_for_event("key", lookback_window=timedelta(hours=1)),
            "Both `lookback_window` and scope must be provided together",
            id="look-back without scope",
        ),
        pytest.param(
            lambda ctx: ctx.aio_wait_for_event("key", "input.x =="), "input.x ==|Syntax", id="expression"
        ),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_asked(ask: Any, says: str) -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        with pytest.raises(ValueError, match=says):
            await ask(ctx)
        return {"wait_index": ctx.wait_index}

    assert result_of(hatchet, work) == {"wait_index": 0}


def test_an_operation_after_the_task_s_end_is_refused() -> None:
    hatchet = Hatchet()
    kept: list[DurableContext] = []

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        kept.append(ctx)
        return {}

    result_of(hatchet, work)
    with pytest.raises(RuntimeError, match="the task has ended"):
        asyncio.run(kept[0].aio_sleep_for(timedelta(seconds=1)))


def test_now_is_utc() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        return {"zone": str((await ctx.aio_now()).tzinfo)}

    assert result_of(hatchet, work) == {"zone": str(UTC)}


# ---------------------------------------------------------------- eviction


def test_a_policy_that_holds_never_gives_up_the_invocation() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task(eviction_policy=EvictionPolicy(ttl=None, allow_capacity_eviction=False))
    async def holds(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for(timedelta(seconds=2))
        return {"invocations": ctx.invocation_count}

    @hatchet.durable_task()
    async def lets_go(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for(timedelta(seconds=2))
        return {"invocations": ctx.invocation_count}

    with local(hatchet, backend="memory"):
        assert [task.run()["invocations"] for task in (holds, lets_go)] == [1, 2]


@pytest.mark.parametrize("ttl", [timedelta(seconds=-1), 5, "5m"])
def test_a_ttl_that_is_none_is_refused(ttl: Any) -> None:
    with pytest.raises(DefinitionError, match="EvictionPolicy: ttl"):
        EvictionPolicy(ttl=ttl)


@pytest.mark.parametrize("fails", [True, False])
def test_memos_made_at_once_are_all_kept_where_the_task_then_fails(fails: bool) -> None:
    hatchet = Hatchet()

    def made(number: int) -> int:
        said.append(number)
        return number

    @hatchet.durable_task(retries=1)
    async def flaky(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        numbers = await asyncio.gather(*(ctx._aio_memo(made, int, number) for number in range(20)))
        if ctx.retry_count == 0 and fails:
            raise ValueError("not yet")
        return {"sum": sum(numbers)}

    assert result_of(hatchet, flaky) == {"sum": 190}
    assert sorted(said) == list(range(20))


@pytest.mark.parametrize("made", ["memo", "sleep"])
def test_what_is_written_before_an_earlier_operation_is_answered_leaves_no_hole_in_the_log(made: str) -> None:
    """The later operation is written while the earlier one is open; the attempt then fails, and a retry begins with that log."""
    hatchet = Hatchet()

    @hatchet.durable_task(retries=1)
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first = asyncio.create_task(ctx.aio_wait_for_event("go"))
        await asyncio.sleep(0)
        value = await ctx._aio_memo(lambda: 7, int) if made == "memo" else await ctx.aio_sleep_for("1ms")
        if ctx.retry_count == 0:
            raise RuntimeError("this time")
        return {"n": (await first)["n"], "made": value == 7}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = work.run(wait_for_result=False)
        stack.deliver_all()
        assert stack.suspended_at(ref) == (0,)
        stack.push_event("go", {"n": 1})
        stack.drain()
        assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.COMPLETED
        assert ref.result() == {"n": 1, "made": made == "memo"}


def test_a_timeout_that_comes_as_the_task_is_about_to_be_suspended_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The timer goes off in the same turn of the loop in which the look before the suspension comes back."""
    hatchet, look = Hatchet(), Journal.look

    def slow(journal: Journal, entries: Any) -> Any:
        time.sleep(0.05)
        return look(journal, entries)

    monkeypatch.setattr(Journal, "look", slow)

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first = asyncio.create_task(ctx.aio_wait_for_event("never"))
        await asyncio.sleep(0.2)  # its subscription is put: what follows is a look
        asyncio.get_running_loop().call_later(0.01, time.sleep, 0.1)
        try:
            await asyncio.wait_for(first, 0.03)
        except TimeoutError:
            await ctx.aio_sleep_for("1h")
        return {"done": True}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = work.run(wait_for_result=False)
        stack.deliver_all()
        assert stack.suspended_at(ref) == (1,)
        stack.drain()
        assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.COMPLETED


# ---------------------------------------------------------------- namespaces


@pytest.mark.parametrize("namespace", ["", "Staging"])
def test_a_wait_for_an_event_is_within_the_namespace_as_a_push_is(namespace: str) -> None:
    hatchet = Hatchet(config=Settings(namespace=namespace))
    elsewhere = Hatchet(config=Settings(namespace="elsewhere"))

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first = await ctx.aio_wait_for_event("order:paid", "input.n > 0")
        second = await ctx.aio_wait_for("either", or_(UserEventCondition("a"), UserEventCondition("b")))
        third = await ctx.aio_wait_for_event(
            "past", scope="s", lookback_window=timedelta(hours=1), payload_validator=dict[str, int]
        )
        return {"first": first, "second": second, "third": third}

    with local(hatchet, backend="memory", background=False) as stack:
        engine = hatchet.engine
        elsewhere.use(Ports(store=engine.store, queues=engine.queues, clock=engine.clock, ids=engine.ids))
        hatchet.event.push("past", {"n": 3}, scope="s")
        ref = work.run(wait_for_result=False)
        stack.deliver_all()
        elsewhere.event.push("order:paid", {"n": 9})
        hatchet.event.push("order:paid", {"n": 1})
        stack.deliver_all()
        hatchet.event.push("b", {"n": 2})
        stack.drain()
        assert ref.result() == {"first": {"n": 1}, "second": {"CREATE": {"b": [{"n": 2}]}}, "third": {"n": 3}}


# ---------------------------------------------------------------- seen from outside


def test_a_run_says_what_its_tasks_wait_for() -> None:
    hatchet = Hatchet()

    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)

    @hatchet.durable_task()
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        paid = UserEventCondition("order:paid", "input.n > 1", scope="s")
        until = ctx.aio_sleep_until(soon)
        either = ctx.aio_wait_for("either", or_(paid, UserEventCondition("order:lost")))
        await asyncio.gather(until, either)
        return {}

    flow = hatchet.workflow(name="flow")

    @flow.task(
        wait_for=[UserEventCondition("go"), UserEventCondition("ready")],
        cancel_if=[UserEventCondition("stop")],
    )
    def step(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        durable = waits.run(wait_for_result=False)
        flow.run(wait_for_result=False)
        stack.deliver_all()
        [found] = hatchet.runs.get_details(durable.workflow_run_id).task_runs.values()
        [record] = [each for each in stack.runs() if each.plan.workflow == "flow"]
    assert found.waits_for == (
        f"{soon:%Y-%m-%d %H:%M:%S} UTC; event order:paid of scope s (input.n > 1) or event order:lost"
    )
    words = waited_for(states(record)["step"], record.plan.task("step"))
    assert words == "event go, and event ready; cancelled by event stop"


def test_a_sleep_that_would_outlive_its_run_fails_the_task() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task(retries=3)
    async def sleeps(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        said.append("start")
        await ctx.aio_sleep_for(timedelta(days=40))
        return {}

    error = failure_of(hatchet, sleeps)
    assert "ends after the run is deleted" in error.exc
    assert "retention_days" in error.exc
    assert said == ["start"]


def test_a_timer_that_cannot_go_off_in_time_holds_nothing_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        slept = await asyncio.wait_for(ctx.aio_sleep_for(timedelta(hours=1)), 7_200)
        return {"slept": slept.duration.total_seconds(), "invocations": ctx.invocation_count}

    assert result_of(hatchet, waits) == {"slept": 3600, "invocations": 2}
    assert [
        record.getMessage()
        for record in caplog.records
        if "timer of asyncio's of 7200 s" in record.getMessage()
    ]


# ---------------------------------------------------------------- waits that were cancelled


def child_of(hatchet: Hatchet) -> Any:
    @hatchet.durable_task(name="slow")
    async def slow(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for("2h")
        return {"n": 7}

    return slow


@pytest.mark.parametrize("again", ["retry", "replay"])
@pytest.mark.parametrize("waited", ["sleep", "event", "child", "held"])
def test_what_an_attempt_that_failed_stopped_waiting_for_is_waited_for_by_the_next(
    waited: str, again: str
) -> None:
    """A task group cancels the others of its tasks as one fails; where the next attempt does not fail, they wait on."""
    hatchet = Hatchet()
    slow = child_of(hatchet)
    policy = EvictionPolicy(ttl=None, allow_capacity_eviction=False) if waited == "held" else None

    @hatchet.durable_task(retries=1 if again == "retry" else 0, eviction_policy=policy)
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        async def fails() -> None:
            await asyncio.sleep(0.05)
            if ctx.attempt_number == 1:
                raise RuntimeError("this time")
            await ctx.aio_sleep_for("1s")

        async def waits() -> Any:
            match waited:
                case "sleep":
                    return (await ctx.aio_sleep_for("1h")).duration.total_seconds()
                case "held":
                    return (await ctx.aio_sleep_for("2s")).duration.total_seconds()
                case "event":
                    return (await ctx.aio_wait_for_event("go"))["n"]
                case _:
                    return (await slow.aio_run())["n"]

        async with asyncio.TaskGroup() as group:
            found = group.create_task(waits())
            group.create_task(fails())
        return {"found": found.result()}

    with local(hatchet, backend="memory", background=waited == "held") as stack:
        ref = work.run(wait_for_result=False)
        if waited == "held":
            with contextlib.suppress(FailedTaskRunExceptionGroup):
                ref.result()
        else:
            stack.deliver_all()
        if again == "replay":
            hatchet.runs.replay(ref.workflow_run_id)
        if waited != "held":
            stack.deliver_all()
            stack.push_event("go", {"n": 3})
            stack.drain()
        assert ref.result() == {"found": {"sleep": 3600, "held": 2, "event": 3, "child": 7}[waited]}


def test_code_that_waits_on_where_it_stopped_waiting_before_it_was_suspended_fails() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        first = asyncio.create_task(ctx.aio_sleep_for("2h"))
        await asyncio.sleep(0.01)
        if not said:
            said.append("cancelled")
            first.cancel()
        await ctx.aio_sleep_for("1h")
        await first

    assert "the log says that the code stopped waiting there" in failure_of(hatchet, work).exc
