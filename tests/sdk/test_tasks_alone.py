"""`mock_run`, dependencies and types, with no backend at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel

from headrace import Context, Depends, EmptyModel, Headrace, IllegalTaskOutputError, InvalidDependencyError
from headrace.values.codec import input_text, output_text, remove_null_unicode_character

app = Headrace()
closed: list[str] = []


class In(BaseModel):
    n: int


def base(input: In, ctx: Context) -> int:
    return input.n


async def doubled(input: In, ctx: Context, below: Annotated[int, Depends(base)]) -> int:
    return below * 2


@contextmanager
def resource(input: In, ctx: Context) -> Iterator[str]:
    yield "open"
    closed.append("resource")


@asynccontextmanager
async def aio_resource(input: In, ctx: Context) -> AsyncIterator[str]:
    yield "open too"
    closed.append("aio_resource")


@app.task(input_validator=In)
def sync_task(
    input: In,
    ctx: Context,
    double: Annotated[int, Depends(doubled)],
    thing: Annotated[str, Depends(resource)],
    other: Annotated[str, Depends(aio_resource)],
) -> dict[str, Any]:
    return {"double": double, "thing": thing, "other": other, "closed": list(closed)}


@app.task(input_validator=In)
async def async_task(
    input: In,
    ctx: Context,
    double: Annotated[int, Depends(doubled)],
    thing: Annotated[str, Depends(resource)],
    other: Annotated[str, Depends(aio_resource)],
) -> dict[str, Any]:
    return {"double": double, "thing": thing, "other": other, "closed": list(closed)}


def test_dependencies_of_every_kind_in_sync_code() -> None:
    closed.clear()
    assert sync_task.mock_run(In(n=4)) == {"double": 8, "thing": "open", "other": "open too", "closed": []}
    assert closed == ["aio_resource", "resource"]


async def _async_result() -> dict[str, Any]:
    return await async_task.aio_mock_run(In(n=4), dependencies={"double": 1})


def test_dependencies_of_every_kind_in_async_code() -> None:
    import asyncio

    closed.clear()
    assert asyncio.run(_async_result()) == {"double": 1, "thing": "open", "other": "open too", "closed": []}
    assert closed == ["aio_resource", "resource"]


def test_the_wrong_flavour_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="is async: use aio_mock_run"):
        async_task.mock_run(In(n=1))


def lonely(input: In) -> int:
    return 1


def test_a_dependency_takes_the_input_and_the_context() -> None:
    def broken(input: In, ctx: Context, x: Annotated[int, Depends(lonely)]) -> None: ...

    broken.__annotations__["x"] = Annotated[int, Depends(lonely)]
    with pytest.raises(InvalidDependencyError, match="'lonely' of parameter 'x'"):
        app.task(name="broken")(broken)


def round_a(input: In, ctx: Context, x: int) -> int:
    return x


def round_b(input: In, ctx: Context, x: int) -> int:
    return x


def test_dependencies_cannot_go_round() -> None:
    round_a.__annotations__["x"] = Annotated[int, Depends(round_b)]
    round_b.__annotations__["x"] = Annotated[int, Depends(round_a)]
    with pytest.raises(InvalidDependencyError, match="round_a -> round_b -> round_a"):
        app.task(name="round")(round_a)


def test_the_context_of_a_mock_run() -> None:
    @app.task(name="curious", retries=4)
    def curious(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        ctx.log("a line")
        ctx.put_stream(b"chunk")
        ctx.refresh_timeout("5s")
        before = ctx.is_cancelled
        ctx.cancel()
        return {
            "retry": ctx.retry_count,
            "attempt": ctx.attempt_number,
            "of": ctx.max_attempts,
            "who": ctx.additional_metadata["who"],
            "lifespan": ctx.lifespan,
            "cancelled": [before, ctx.is_cancelled],
        }

    found = curious.mock_run(additional_metadata={"who": "me"}, retry_count=2, lifespan="db")
    assert found == {
        "retry": 2,
        "attempt": 3,
        "of": 5,
        "who": "me",
        "lifespan": "db",
        "cancelled": [False, True],
    }


def test_parents_of_a_mock_run() -> None:
    flow = app.workflow(name="mocked")

    @flow.task()
    def first(input: EmptyModel, ctx: Context) -> In:
        return In(n=1)

    @flow.task(parents=[first])
    def second(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": ctx.task_output(first).n + 1}

    assert second.mock_run(parent_outputs={"first": {"n": 41}}) == {"n": 42}


@dataclass
class Point:
    x: int


class Named(TypedDict):
    name: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ({}, None),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (In(n=1), '{"n":1}'),
        (Point(x=2), '{"x":2}'),
        (Named(name="é"), '{"name":"é"}'),
    ],
)
def test_outputs_are_json_objects(value: object, text: str | None) -> None:
    assert output_text(value) == text


@pytest.mark.parametrize("value", [1, "text", [1], object(), {"a": object()}, {"a": "x\u0000"}, float("nan")])
def test_other_outputs_are_illegal(value: object) -> None:
    with pytest.raises(IllegalTaskOutputError):
        output_text(value)


def test_the_null_character_can_be_removed() -> None:
    assert remove_null_unicode_character({"a\u0000": ["b\u0000", ("c\u0000",)]}, "-") == {
        "a-": ["b-", ("c-",)]
    }


def test_an_input_is_a_json_object() -> None:
    assert input_text(In(n=1)) == '{"n":1}'
    assert input_text({}) is None
    with pytest.raises(TypeError, match="not list"):
        input_text([1])


@pytest.mark.parametrize("value", [{"a": object()}, {"a": "\ud800"}])
def test_an_input_that_is_no_json_is_refused_at_the_call(value: object) -> None:
    with pytest.raises(TypeError, match="the input cannot be serialised to JSON"):
        input_text(value)
