"""Whatever user code raises, wherever it stands, ends its attempt at once with the reason. It never runs a second time by itself."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, field_serializer, model_validator
from typing_extensions import TypedDict

from headrace import (
    Context,
    Depends,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Hatchet,
    NonRetryableException,
    ParentCondition,
)
from headrace.errors import InvalidDependencyError, TaskRunError
from headrace_infra.testing import local

ran: list[str] = []
raising: list[BaseException] = []


class Odd(BaseException):
    """Not an Exception."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


ERRORS = [
    IndexError("list index out of range"),
    KeyError("customer"),
    RecursionError("too deep"),
    Odd("odd"),
    Mute(),
]


def boom() -> None:
    raise raising[0]


class Input(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def look(cls, data: Any) -> Any:
        boom()
        return data


class Output(BaseModel):
    text: str = ""

    @field_serializer("text")
    def written(self, value: str) -> str:
        boom()
        return value


def in_the_body(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        ran.append("work")
        boom()


def in_an_async_body(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    async def work(input: EmptyModel, ctx: Context) -> None:
        ran.append("work")
        boom()


def in_an_async_body_s_task(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    async def work(input: EmptyModel, ctx: Context) -> None:
        ran.append("work")

        async def inner() -> None:
            boom()

        await asyncio.create_task(inner())


def in_the_validator(hatchet: Hatchet) -> None:
    @hatchet.task(name="work", input_validator=Input)
    def work(input: Input, ctx: Context) -> None:
        raise AssertionError("a refused input reached the code")


def in_the_output(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> Output:
        ran.append("work")
        return Output()


def needed(input: Any, ctx: Context) -> str:
    ran.append("needed")
    boom()
    return ""


@contextmanager
def closing(input: Any, ctx: Context) -> Iterator[str]:
    yield ""
    boom()


def in_a_dependency(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context, text: Annotated[str, Depends(needed)]) -> None:
        raise AssertionError("code ran without its dependency")


def at_a_dependency_s_end(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    async def work(input: EmptyModel, ctx: Context, text: Annotated[str, Depends(closing)]) -> None:
        ran.append("work")


def in_the_lifespan(hatchet: Hatchet) -> None:
    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        raise AssertionError("code ran without its lifespan")

    async def lifespan() -> AsyncGenerator[str, None]:
        ran.append("lifespan")
        boom()
        yield ""

    hatchet.worker("w", workflows=list(hatchet._workflows_by_name.values()), lifespan=lifespan)


PLACES: list[Callable[[Hatchet], None]] = [
    in_the_body,
    in_an_async_body,
    in_an_async_body_s_task,
    in_the_validator,
    in_the_output,
    in_a_dependency,
    at_a_dependency_s_end,
    in_the_lifespan,
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_one_execution_and_the_reason(place: Callable[[Hatchet], None], error: BaseException) -> None:
    ran.clear()
    raising[:] = [error]
    hatchet = Hatchet()
    place(hatchet)
    with local(hatchet, backend="memory", background=False) as stack:
        ref = hatchet.stubs.task(name="work").run({"n": 1}, wait_for_result=False)
        began = stack.clock.now_ms()
        stack.drain(60)
        assert stack.clock.now_ms() - began < 10_000
        assert stack.invocations == 1
        assert len(ran) <= 1
        failure = failure_of(ref)
    assert type(error).__name__ in f"{failure.exc_type}: {failure.exc}\n{failure.trace}"


def failure_of(ref: Any) -> TaskRunError:
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        ref.result()
    return caught.value.exceptions[0]


def only_failure(hatchet: Hatchet, name: str = "work", *, executions: int = 1) -> TaskRunError:
    """Run a task until nothing is left to do; its error."""
    with local(hatchet, backend="memory", background=False) as stack:
        ref = hatchet.stubs.task(name=name).run({}, wait_for_result=False)
        stack.drain(60)
        assert stack.invocations == executions
        return failure_of(ref)


def test_sync_code_from_which_cancellation_escapes() -> None:
    hatchet = Hatchet()

    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        async def inner() -> None:
            raise asyncio.CancelledError("a library gave up")

        asyncio.run(inner())

    assert only_failure(hatchet).exc_type == "CancelledError"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_ends_processes_ends_the_attempt(error: BaseException) -> None:
    raising[:] = [error]
    hatchet = Hatchet()
    in_an_async_body_s_task(hatchet)
    assert only_failure(hatchet).exc_type == type(error).__name__
    hatchet = Hatchet()
    in_the_body(hatchet)
    assert only_failure(hatchet).exc_type == type(error).__name__


def test_a_file_name_that_is_not_utf_8() -> None:
    hatchet = Hatchet()
    name = os.fsdecode(b"caf\xe9.txt")

    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        ctx.log(f"cannot read {name}")
        ctx.put_stream(name)
        raise FileNotFoundError(f"no such file: {name}")

    assert only_failure(hatchet).exc == "no such file: caf\\udce9.txt"


def test_an_exception_without_a_message_says_its_type_and_line() -> None:
    hatchet = Hatchet()

    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        raise TimeoutError

    text = str(only_failure(hatchet))
    assert text.startswith("TimeoutError\n")
    assert "raise TimeoutError" in text


def test_a_group_that_holds_a_final_failure_is_not_retried() -> None:
    hatchet = Hatchet()

    @hatchet.task(name="work", retries=3)
    async def work(input: EmptyModel, ctx: Context) -> None:
        async def pay() -> None:
            raise NonRetryableException("card declined")

        async with asyncio.TaskGroup() as group:
            group.create_task(pay())

    assert "card declined" in only_failure(hatchet).trace


# ---------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("output", "expression", "says"),
    [
        ({"items": []}, "output.items[0].done", "index out of bounds"),
        ({}, "output.nothing == 1", "no such key"),
        ({"n": 1}, "output.n / 0 == 1", "zero"),
        ({"errors": 3}, "output.errors", "it gives 3: it has to give true or false"),
        ({"errors": "three"}, "output.errors", "it gives three"),
    ],
)
def test_a_condition_that_gives_no_answer_fails_at_once(
    output: dict[str, Any], expression: str, says: str
) -> None:
    ran.clear()
    hatchet = Hatchet()
    flow = hatchet.workflow(name="flow")

    @flow.task()
    def find(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        ran.append("find")
        return output

    @flow.task(parents=[find], skip_if=[ParentCondition(parent=find, expression=expression)])
    def store(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        ran.append("store")
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = flow.run(wait_for_result=False)
        stack.drain(60)
        failure = failure_of(ref)
    assert ran == ["find"]
    assert says in failure.exc
    assert expression in failure.exc


# ---------------------------------------------------------------- outputs, dependencies, lifespans


@pytest.mark.parametrize(
    ("text", "fine"),
    [(r"s.replace('\u0000', '')", True), (r"\\u0000", True), ("a\u0000b", False), ("\\\u0000", False)],
)
def test_a_nul_is_refused_and_a_text_that_spells_one_is_not(text: str, fine: bool) -> None:
    hatchet = Hatchet()

    @hatchet.task()
    def work(input: EmptyModel, ctx: Context) -> dict[str, str]:
        return {"text": text}

    with local(hatchet, backend="memory"):
        if fine:
            assert work.run() == {"text": text}
        else:
            with pytest.raises(FailedTaskRunExceptionGroup, match="remove_null_unicode_character"):
                work.run()


class Session:
    """A context manager by class, as clients and sessions are."""

    state = "new"

    def __enter__(self) -> Session:
        self.state = "open"
        return self

    def __exit__(self, *error: object) -> None:
        Session.state = "closed"


class AsyncSession:
    """The same, async."""

    state = "new"

    async def __aenter__(self) -> AsyncSession:
        self.state = "open"
        return self

    async def __aexit__(self, *error: object) -> None:
        AsyncSession.state = "closed"


sessions: list[type[Session] | type[AsyncSession]] = []


def made(input: Any, ctx: Context) -> Session | AsyncSession:
    return sessions[0]()


@pytest.mark.parametrize("kind", [Session, AsyncSession])
def test_a_dependency_that_is_a_context_manager_is_entered_and_closed(
    kind: type[Session] | type[AsyncSession],
) -> None:
    sessions[:] = [kind]
    hatchet = Hatchet()

    @hatchet.task()
    def plain(input: EmptyModel, ctx: Context, session: Annotated[Any, Depends(made)]) -> dict[str, str]:
        return {"state": session.state}

    @hatchet.task()
    async def asynchronous(
        input: EmptyModel, ctx: Context, session: Annotated[Any, Depends(made)]
    ) -> dict[str, str]:
        return {"state": session.state}

    with local(hatchet, backend="memory"):
        for each in (plain, asynchronous):
            kind.state = "new"
            assert each.run() == {"state": "open"}
            assert kind.state == "closed"


def test_an_annotation_that_cannot_be_resolved_hides_no_dependency() -> None:
    def conn(input: Any, ctx: Any) -> str:
        return "db"

    def work(input, ctx, conn):  # type: ignore[no-untyped-def]
        return {"conn": conn}

    work.__globals__["conn_dependency"] = conn
    work.__annotations__ = {"ctx": "Elsewhere", "conn": "Annotated[str, Depends(conn_dependency)]"}
    hatchet = Hatchet()
    task = hatchet.task(name="work")(work)
    with local(hatchet, backend="memory"):
        assert task.run() == {"conn": "db"}


def test_a_dependency_that_cannot_be_resolved_is_refused_where_it_is_defined() -> None:
    def work(input, ctx, conn):  # type: ignore[no-untyped-def]
        return {"conn": conn}

    work.__annotations__ = {"conn": "Annotated[str, Depends(only_for_type_checkers)]"}
    with pytest.raises(InvalidDependencyError, match=r"'conn'.*TYPE_CHECKING"):
        Hatchet().task(name="work")(work)


def test_a_lifespan_s_context_variable_is_seen_and_reset() -> None:
    tenant = contextvars.ContextVar("tenant", default="unset")
    ended: list[str] = []

    async def lifespan() -> AsyncGenerator[None, None]:
        token = tenant.set("acme")
        yield
        tenant.reset(token)
        ended.append(tenant.get())

    hatchet = Hatchet()

    @hatchet.task()
    def plain(input: EmptyModel, ctx: Context) -> dict[str, str]:
        return {"tenant": tenant.get()}

    @hatchet.task()
    async def asynchronous(input: EmptyModel, ctx: Context) -> dict[str, str]:
        return {"tenant": tenant.get()}

    hatchet.worker("w", workflows=[plain, asynchronous], lifespan=lifespan)
    with local(hatchet, backend="memory"):
        assert plain.run() == asynchronous.run() == {"tenant": "acme"}
    assert ended == ["unset"]


def test_an_input_validator_that_pydantic_refuses_is_refused_where_it_is_defined() -> None:
    class Strange(TypedDict):
        value: object

    class NotAType:
        pass

    def work(input: Any, ctx: Context) -> None:
        """Never runs."""

    Hatchet().task(name="fine", input_validator=Strange)(work)
    with pytest.raises(
        ValueError, match=r"task work of workflow work: input_validator NotAType is not a type"
    ):
        Hatchet().task(name="work", input_validator=NotAType)(work)
