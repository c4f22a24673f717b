"""Code around every task of an app."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from headrace import (
    Context,
    DefinitionError,
    Depends,
    DurableContext,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Hatchet,
)
from headrace_infra.testing import local


def tracing(app: Hatchet, seen: list[str]) -> None:
    """Two hooks on each side, one of each kind async."""

    @app.middleware.before
    def first(input: Any, ctx: Context) -> None:
        seen.append(f"first {ctx.task_name}")

    @app.middleware.before
    async def second(input: Any, ctx: Context) -> dict[str, int]:
        await asyncio.sleep(0)
        seen.append("second")
        return {"n": input["n"] + 1}

    @app.middleware.after
    def inner(output: Any, ctx: Context) -> dict[str, int]:
        seen.append("inner")
        return {"n": output["n"] * 10}

    @app.middleware.after
    async def outer(output: Any, ctx: Context) -> None:
        seen.append(f"outer {output['n']}")


def doubled(input: dict[str, int], ctx: Any) -> int:
    return input["n"] * 2


EXPECTED = ["first task", "second", "outer 42", "inner"]


def sync_task(input: dict[str, int], ctx: Context, twice: Annotated[int, Depends(doubled)]) -> dict[str, int]:
    return {"n": twice}


async def async_task(
    input: dict[str, int], ctx: Context, twice: Annotated[int, Depends(doubled)]
) -> dict[str, int]:
    return {"n": twice}


async def durable_task(input: dict[str, int], ctx: DurableContext) -> dict[str, int]:
    return {"n": input["n"] * 2}


@pytest.mark.parametrize("kind", ["sync", "async", "durable", "workflow"])
def test_hooks_change_inputs_and_outputs_in_their_order(kind: str) -> None:
    """Before-hooks from the first to the last, after-hooks from the last to the first."""
    app, seen = Hatchet(), list[str]()
    tracing(app, seen)
    task: Any
    match kind:
        case "sync":
            task = app.task(name="task")(sync_task)
        case "async":
            task = app.task(name="task")(async_task)
        case "durable":
            task = app.durable_task(name="task")(durable_task)
        case _:
            task = app.workflow(name="flow", input_validator=dict)
            task.task(name="task")(sync_task)
    with local(app, backend="memory"):
        found = task.run({"n": 20})
    assert found == ({"task": {"n": 420}} if kind == "workflow" else {"n": 420})
    assert seen == EXPECTED


def test_hooks_run_in_unit_tests_too() -> None:
    app, seen = Hatchet(), list[str]()
    tracing(app, seen)
    task = app.task(name="task")(sync_task)
    assert task.mock_run({"n": 20}) == {"n": 420}
    slow = app.task(name="task2")(async_task)
    assert asyncio.run(slow.aio_mock_run({"n": 20})) == {"n": 420}
    assert seen == [*EXPECTED, "first task2", *EXPECTED[1:]]


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_a_hook_raises_ends_the_attempt_with_the_reason(side: str) -> None:
    app, ran = Hatchet(), list[str]()

    def hook(value: Any, ctx: Context) -> None:
        raise PermissionError("no tenant")

    getattr(app.middleware, side)(hook)

    def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
        ran.append("work")
        return {}

    task = app.task(name="task", retries=1)(work)
    with local(app, backend="memory"), pytest.raises(FailedTaskRunExceptionGroup) as caught:
        task.run()
    assert (caught.value.exceptions[0].exc_type, caught.value.exceptions[0].exc) == (
        "PermissionError",
        "no tenant",
    )
    assert len(ran) == (0 if side == "before" else 2)


@pytest.mark.parametrize("hook", [3, lambda input: None])
def test_a_hook_takes_two_parameters(hook: Any) -> None:
    with pytest.raises(
        DefinitionError,
        match=r"middleware\.before takes a function of two parameters, the input and the context",
    ):
        Hatchet().middleware.before(hook)
