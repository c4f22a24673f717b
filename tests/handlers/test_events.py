"""The events function: what it drops, what it tries again, and what becomes of an event in the dead-letter queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.core.events.event import encode_message
from headrace.engine.events.handle import Handled
from headrace.errors import StackNotFound, StoreUnavailable
from headrace_handlers import dead_letters, events
from headrace_infra.local.dispatcher import LambdaContext
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local


def app() -> Headrace:
    hatchet = Headrace()

    @hatchet.task(name="welcome", on_events=["user:*"])
    def welcome(input: EmptyModel, ctx: Context) -> None: ...

    return hatchet


def sqs(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{n}",
                "receiptHandle": f"r{n}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1764122400000"},
                "eventSource": "aws:sqs",
            }
            for n, body in enumerate(bodies)
        ]
    }


def failed(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def pushed(stack: LocalStack, key: str = "user:created") -> str:
    """The message of an event, as the queue holds it; it is taken out of it."""
    stack.push_event(key)
    [message] = stack.engine.queues.receive("events", limit=10, wait_s=0)
    stack.engine.queues.delete(message)
    return message.body


def test_a_batch_reports_what_is_to_come_again_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hatchet, told = app(), list[Handled]()
    with local(hatchet, backend="memory", background=False) as stack:
        good, bad = pushed(stack), json.dumps({"what": "?"})
        handler = events.make_handler(hatchet, report=told.extend)
        assert failed(handler(sqs(good, bad, "no json"), LambdaContext("events", 60))) == []
        assert told == [Handled(started=1)]
        other = pushed(stack)
        write = stack.engine.store.write

        def unavailable(*arguments: Any) -> Any:
            raise StoreUnavailable("DynamoDB does not answer")

        object.__setattr__(stack.engine.store, "write", unavailable)
        assert failed(handler(sqs(other, bad), LambdaContext("events", 60))) == ["m0"]
        object.__setattr__(stack.engine.store, "write", write)
        assert failed(handler(sqs(other), LambdaContext("events", 60))) == []
        stack.drain()
        assert len(stack.runs()) == 2


def test_an_event_in_the_dead_letter_queue_is_handled_and_anything_else_is_dropped() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        handler = dead_letters.make_handler(hatchet)
        answer = handler(sqs(pushed(stack), "no json", "{}"), LambdaContext("dead-letters", 60))
        assert failed(answer) == []
        stack.drain()
        assert len(stack.runs()) == 1


def test_many_events_with_many_workflows_start_each_run_once() -> None:
    hatchet, ran = Headrace(), list[tuple[str, int]]()
    for n in range(20):

        @hatchet.task(name=f"step-{n}", on_events=["tick"])
        def step(input: EmptyModel, ctx: Context) -> None:
            ran.append((ctx.workflow_name, int(ctx.additional_metadata["n"])))

    with local(hatchet, backend="memory", background=False) as stack:
        for n in range(30):
            stack.push_event("tick", additional_metadata={"n": n})
        bodies = [
            message.body
            for _ in range(3)
            for message in stack.engine.queues.receive("events", limit=10, wait_s=0)
        ]
        assert [json.loads(encoded)["event"]["key"] for encoded in bodies] == ["tick"] * 30
        handler = events.make_handler(hatchet, report=lambda handled: None)
        for first in range(0, 30, 10):
            handler(sqs(*bodies[first : first + 10]), LambdaContext("events", 60))
        stack.drain(timeout=100)  # they are still in the queue, and come again
        assert len(ran) == len(set(ran)) == 600


def test_encoding_is_compact() -> None:
    from headrace.core.events.event import Event, event_id_at

    event = Event(event_id=event_id_at(1_764_122_400_000, b"x"), key="k", pushed_at_ms=1_764_122_400_000)
    assert len(encode_message(event)) < 120


@pytest.mark.parametrize("backend", ["memory", "moto"])
def test_a_stack_without_events_says_so_when_one_is_pushed(backend: Any) -> None:
    hatchet = Headrace()

    @hatchet.task(name="plain")
    def plain(input: EmptyModel, ctx: Context) -> None: ...

    with (
        local(hatchet, backend=backend, background=False) as stack,
        pytest.raises(StackNotFound, match=r"queue for events once one of its workflows has on_events"),
    ):
        stack.push_event("user:created")
